//! DNS: authoritative servers, recursive resolvers, and the caches between them and a program.
//!
//! Sources: RFC 1035 (TTL in whole seconds), RFC 2136 (update), RFC 2308 (negative answers), BIND's reference manual for the knobs of
//! resolvers, resolv.conf(5) for programs. **Not modelled:** the walk from the root (a resolver knows which server has which zone),
//! secondaries and zone transfers (`change_delay` stands for them), record types other than addresses, truncation and TCP, DNSSEC, search
//! lists, the processing time of servers, ICMP (a port that nobody listens on costs the asker the same as a lost datagram).

pub mod authority;
pub mod config;
pub mod msg;
pub mod name;
pub mod note;
pub mod recursor;
pub mod stub;

pub use authority::Authority;
pub use config::{Dns, Resolver};
pub use recursor::Recursor;

use crate::node::process::Pid;

/// The port.
pub const PORT: u16 = 53;
/// The port of Consul's own DNS.
pub const CONSUL_PORT: u16 = 8600;

/// The datagram port that a process asks from.
pub fn own_port(me: Pid) -> u16 {
    // Connections take their ports from 32768 on.
    20_000 + me.0 % 12_000
}
