//! Names and places as scenarios write them: `"10.0.0.1:5432"`, `"db1"`, `"db.example"`.

use crate::engine::time::text_serde;
use crate::net::addr::{Endpoint, Ip};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A host by address or by name, with a port if one is written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HostPort {
    /// The address or the name, in lower case, without a final dot.
    pub host: String,
    /// The port, if it is written.
    pub port: Option<u16>,
}
impl HostPort {
    /// The address, if that is what is written.
    pub fn ip(&self) -> Option<Ip> {
        self.host.parse().ok()
    }
    /// The address with its port, if the host is an address.
    pub fn endpoint(&self, default_port: u16) -> Option<Endpoint> {
        Some(Endpoint::new(self.ip()?, self.port.unwrap_or(default_port)))
    }
}
impl FromStr for HostPort {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.trim().rsplit_once(':') {
            None => (text.trim(), None),
            Some((host, port)) => {
                let port = port.parse().ok().filter(|p| *p > 0);
                (host, Some(port.ok_or("a port goes from 1 to 65535")?))
            }
        };
        let host = normal(host);
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if host.is_empty() || !host.chars().all(letters) {
            return Err("expected a name or an address with a port, such as `db1:5432`".to_owned());
        }
        Ok(HostPort { host, port })
    }
}
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}
impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
text_serde!(HostPort, "a name or an address in quotes, with or without a port, such as \"db1:5432\"");

/// A name as DNS compares it: lower case, no final dot.
pub fn normal(name: &str) -> String {
    name.trim().trim_end_matches('.').to_ascii_lowercase()
}

/// The same for a name that came in a message; one that is so already is shared.
pub fn canonical(name: &Arc<str>) -> Arc<str> {
    let plain = |c: char| !c.is_ascii_uppercase() && !c.is_whitespace();
    if name.chars().all(plain) && !name.ends_with('.') { name.clone() } else { normal(name).into() }
}

/// Whether a name lies in a zone; every name lies in the zone with the empty name, the root.
pub fn in_zone(name: &str, zone: &str) -> bool {
    zone.is_empty() || name.strip_suffix(zone).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Addresses in words.
pub fn words(ips: &[Ip]) -> Arc<str> {
    let list: Vec<String> = ips.iter().map(ToString::to_string).collect();
    list.join(", ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        let p: HostPort = "DB.Example.:5432".parse().unwrap();
        assert_eq!((p.host.as_str(), p.port), ("db.example", Some(5432)));
        assert_eq!(p.to_string(), "db.example:5432");
        assert_eq!("10.0.0.1".parse::<HostPort>().unwrap().endpoint(53).unwrap().to_string(), "10.0.0.1:53");
        for bad in ["", ":1", "a b", "db:0", "db:70000", "db:x"] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_zone_ends_at_a_dot() {
        assert!(in_zone("db.example", "example") && in_zone("example", "example") && in_zone("x", ""));
        assert!(!in_zone("myexample", "example") && !in_zone("example", "db.example"));
    }
}
