//! Addresses: IPv4, subnets, endpoints, hardware addresses.
//!
//! **Not modelled:** IPv6. VRRP's timers are the same for both families, and the caches of neighbour discovery follow the
//! same state machine as ARP's.

use crate::engine::time::text_serde;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ip(pub u32);

/// The multicast group of VRRP, 224.0.0.18 (RFC 5798 section 5.1.1.2).
pub const VRRP_GROUP: Ip = Ip(0xE000_0012);

impl Ip {
    /// Whether a packet to the address goes to many: a multicast group (224.0.0.0/4), or the broadcast address. (Switches flood both: there
    /// is no IGMP snooping here.)
    pub const fn is_multicast(self) -> bool {
        self.0 >> 28 == 0xE || self.0 == u32::MAX
    }
    /// 255.255.255.255: everybody on the network.
    pub const BROADCAST: Ip = Ip(u32::MAX);
    /// The address with all bits zero: "none".
    pub const NONE: Ip = Ip(0);
}
impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0.to_be_bytes();
        f.pad(&format!("{a}.{b}.{c}.{d}"))
    }
}
impl fmt::Debug for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Ip {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        s.parse::<std::net::Ipv4Addr>()
            .map(|a| Ip(u32::from(a)))
            .map_err(|_| "expected an IPv4 address such as `10.0.0.1`".to_owned())
    }
}
text_serde!(Ip, "an IPv4 address in quotes, such as \"10.0.0.1\"");

/// An address with its prefix length, `"10.0.0.100/24"`; without a prefix it is a /32, as in keepalived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The address.
    pub ip: Ip,
    /// The prefix length, 0 to 32.
    pub prefix: u8,
}
impl Cidr {
    /// The network mask.
    pub const fn mask(self) -> u32 {
        if self.prefix == 0 { 0 } else { u32::MAX << (32 - self.prefix) }
    }
    /// Whether `ip` lies in the subnet.
    pub const fn contains(self, ip: Ip) -> bool {
        ip.0 & self.mask() == self.ip.0 & self.mask()
    }
}
impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}
impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Cidr {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (ip, prefix) = s.split_once('/').unwrap_or((s, "32"));
        let prefix =
            prefix.parse::<u8>().ok().filter(|p| *p <= 32).ok_or("the prefix length goes from 0 to 32")?;
        Ok(Cidr { ip: ip.parse()?, prefix })
    }
}
text_serde!(Cidr, "an address with a prefix length in quotes, such as \"10.0.0.100/24\"");

/// An address and a port, `"10.0.0.100:5000"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Endpoint {
    /// The address.
    pub ip: Ip,
    /// The port.
    pub port: u16,
}
impl Endpoint {
    /// The endpoint `ip:port`.
    pub const fn new(ip: Ip, port: u16) -> Self {
        Endpoint { ip, port }
    }
}
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ip, self.port)
    }
}
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Endpoint {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (ip, port) =
            s.rsplit_once(':').ok_or("expected an address with a port such as `10.0.0.100:5000`")?;
        let port = port.parse().map_err(|_| format!("`{port}` is not a port (0 to 65535)"))?;
        Ok(Endpoint { ip: ip.parse()?, port })
    }
}
text_serde!(Endpoint, "an address with a port in quotes, such as \"10.0.0.100:5000\"");

/// A hardware address: every interface of the simulation has one, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mac(pub u16);
impl Mac {
    /// The broadcast (and, on a switch without snooping, multicast) address.
    pub const ALL: Mac = Mac(u16::MAX);
}
impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Mac::ALL {
            return f.write_str("ff:ff:ff:ff:ff:ff");
        }
        write!(f, "02:00:00:00:{:02x}:{:02x}", self.0 >> 8, self.0 & 255)
    }
}
impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
