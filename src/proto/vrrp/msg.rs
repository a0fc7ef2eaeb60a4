//! The advertisement.

use crate::engine::Span;
use crate::net::addr::Ip;

/// The IP protocol number of VRRP, which stands for its port here.
pub const PORT: u16 = 112;

/// A VRRP advertisement (RFC 5798 section 5.2, RFC 3768 section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advert {
    /// Protocol version, 2 or 3.
    pub version: u8,
    /// Virtual router ID.
    pub vrid: u8,
    /// The sender's priority; 0: it is leaving.
    pub priority: u8,
    /// The sender's interval between adverts.
    pub advert_int: Span,
    /// The sender's primary address.
    pub source: Ip,
}
