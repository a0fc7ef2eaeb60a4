//! etcd v3: a replicated map of keys with revisions, transactions, watches, and leases that delete their keys when they end.
//!
//! Sources: `server/lease/lessor.go`, `server/etcdserver/server.go` and `v3_server.go`, `server/embed/config.go`, `raft/raft.go`.
//! **Not modelled:** compaction, authentication, learners, quotas, range limits, the gRPC gateway's own time-outs. A linearizable read takes
//! the way of a write (one round trip and the disk, where etcd's read index needs the round trip only).

pub mod config;
pub mod member;
pub mod msg;
pub mod note;
pub mod store;

pub use member::{Config, Etcd};
