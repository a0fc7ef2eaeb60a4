//! The knobs of Consul, under their own names and with their own defaults.

use crate::engine::Span;
use serde::{Deserialize, Serialize};

/// A Consul agent: the servers of a stack form one cluster, the other agents are its clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consul {
    /// `server`: it takes part in Raft. Default false.
    pub server: bool,
    /// `performance.raft_multiplier`, 1 to 10. Default 5.
    pub raft_multiplier: u64,
    /// `limits.rpc_hold_timeout`: how long a request waits for a leader. Default 7 s.
    pub rpc_hold_timeout: Span,
    /// The raft library asks before it holds an election (since 1.7 of the library, 2024). Default true.
    pub pre_vote: bool,
    /// `session_ttl_min`: the shortest session that the servers take. Default 10 s.
    pub session_ttl_min: Span,
    /// When a session that is not renewed ends. Not a knob of Consul's: it promises the TTL and takes twice as long. Default Exact.
    pub session_expiry: Expiry,
}
/// When a session that is not renewed ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expiry {
    /// After twice its TTL, as Consul does it.
    #[default]
    Exact,
    /// At any time between once and twice its TTL, which is all that is promised.
    Contract,
}
impl Default for Consul {
    fn default() -> Self {
        Consul {
            server: false,
            raft_multiplier: 5,
            rpc_hold_timeout: Span::secs(7),
            pre_vote: true,
            session_ttl_min: Span::secs(10),
            session_expiry: Expiry::Exact,
        }
    }
}
