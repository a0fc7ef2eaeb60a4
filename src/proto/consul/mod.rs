//! Consul as Patroni uses it: servers that agree through Raft, agents that forward to them, sessions, keys that sessions hold.
//!
//! Sources: `agent/consul/session_ttl.go`, `agent/consul/state/session.go`, `agent/consul/state/kvs.go`, `agent/consul/config.go`,
//! `agent/config/default.go`; the pages on sessions, consistency modes and blocking queries.
//! **Not modelled:** gossip (serf), health checks and the DNS interface, which come with the stack; ACLs, several datacenters, network
//! segments, autopilot, compaction of the log.

pub mod agent;
pub mod config;
pub mod msg;
pub mod note;
pub mod server;
pub mod state;

pub use agent::Agent;
pub use server::{Config, Server};
