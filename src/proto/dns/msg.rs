//! What resolvers and servers say.

use crate::engine::Span;
use crate::net::addr::Ip;
use std::sync::Arc;

/// A datagram of DNS, under the asker's number for it. A TTL is a whole number of seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dns {
    /// A question for the addresses of a name.
    Query(u16, Arc<str>),
    /// The addresses (none: NXDOMAIN), and for how long the answer holds.
    Answer(u16, Arc<[Ip]>, Span),
    /// SERVFAIL, or REFUSED.
    Failure(u16),
    /// RFC 2136 update: the name has these addresses from now on (none: it is deleted).
    Update(u16, Arc<str>, Arc<[Ip]>),
    /// The update has been taken.
    Updated(u16),
}
