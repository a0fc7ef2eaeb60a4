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

/// What the majority holds: the store of the member that has applied most, since what is applied is committed. `None` if none has applied
/// anything (all of them have just been started).
pub fn majority<'a>(members: impl Iterator<Item = &'a Etcd>) -> Option<&'a store::Store> {
    members.max_by_key(|m| m.applied()).filter(|m| m.applied() > 0).map(Etcd::store)
}
