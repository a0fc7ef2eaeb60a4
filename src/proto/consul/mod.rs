//! Consul as Patroni uses it: servers that agree through Raft, agents that forward to them, sessions, keys that sessions hold.
//!
//! Sources: `agent/consul/session_ttl.go`, `agent/consul/state/session.go`, `agent/consul/state/kvs.go`, `agent/consul/config.go`,
//! `agent/config/default.go`; the pages on sessions, consistency modes and blocking queries.
//! **Not modelled:** ACLs, several datacenters, network segments, autopilot, compaction of the log.

pub mod agent;
pub mod config;
pub mod local;
pub mod msg;
pub mod note;
pub mod serf;
pub mod server;
pub mod state;

pub use agent::Agent;
pub use local::{Local, Place};
pub use server::{Config, Server};

/// What the majority holds: the state of the server that has applied most, since what is applied is committed. `None` if none has applied
/// anything (all of them have just been started).
pub fn majority<'a>(servers: impl Iterator<Item = &'a Server>) -> Option<&'a state::State> {
    servers.max_by_key(|m| m.applied()).filter(|m| m.applied() > 0).map(Server::state)
}
