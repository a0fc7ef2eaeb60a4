//! What the agent tells.

use crate::say;
use std::sync::Arc;

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words of each fact.
pub enum Fact {
    /// `PGSQL.lock` keeps it from starting.
    Locked,
    /// The lock is written.
    Locks,
    /// The lock is removed.
    Unlocks,
    /// The lock stays, as standbys run.
    LockStays { standbys: String },
    /// What the primary thinks of a node's data has changed.
    DataStatus { node: Arc<str>, old: String, new: String },
    /// Positions are the same as last time, or not.
    Compared { same: u32, of: u32 },
    /// Its data is the newest.
    Newest,
    /// Somebody has newer data.
    NotNewest,
    /// Its data is out of date.
    OutOfDate { status: String },
    /// Whom commits wait for has changed.
    Synchronous { node: Option<Arc<str>> },
    /// A fast stop took too long.
    Escalates { after: u64 },
    /// A standby with newer data than the one to be promoted.
    Newer { than: Arc<str> },
    /// The operator has copied the primary's data and removed the lock.
    Rebuilt { lock: bool },
}

impl Fact {
    /// The stable kind of mark that the fact is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Fact::Locked => "pgsql_locked",
            Fact::Newest => "master_right",
            Fact::OutOfDate { .. } | Fact::Compared { .. } | Fact::Unlocks | Fact::Locks => return None,
            Fact::NotNewest => "not_newest",
            Fact::LockStays { .. } => "lock_stays",
            Fact::DataStatus { .. } => "data_status",
            Fact::Synchronous { .. } => "sync_changed",
            Fact::Escalates { .. } => "stop_escalated",
            Fact::Newer { .. } => "newer_data",
            Fact::Rebuilt { .. } => "rebuilt",
        })
    }
    /// What happened and why, in words.
    pub fn text(&self, rsc: &str) -> (String, String) {
        match self {
            Fact::Locked => (say!("pgsql-locked", rsc = rsc), say!("pgsql-locked-why")),
            Fact::Locks => (say!("pgsql-locks", rsc = rsc), say!("pgsql-locks-why")),
            Fact::Unlocks => (say!("pgsql-unlocks", rsc = rsc), say!("pgsql-unlocks-why")),
            Fact::LockStays { standbys } => {
                (say!("pgsql-lock-stays", rsc = rsc), say!("pgsql-lock-stays-why", standbys = standbys))
            }
            Fact::DataStatus { node, old, new } => {
                let old = if old.is_empty() { "-" } else { old };
                (say!("pgsql-data", rsc = rsc, node = node, old = old, new = new), say!("pgsql-data-why"))
            }
            Fact::Compared { same, of } => {
                (say!("pgsql-compared", same = same, of = of), say!("pgsql-compared-why"))
            }
            Fact::Newest => (say!("pgsql-newest"), say!("pgsql-newest-why")),
            Fact::NotNewest => (say!("pgsql-not-newest"), say!("pgsql-not-newest-why")),
            Fact::OutOfDate { status } => {
                (say!("pgsql-out-of-date", status = status), say!("pgsql-out-of-date-why"))
            }
            Fact::Synchronous { node: Some(node) } => {
                (say!("pgsql-sync", node = node), say!("pgsql-sync-why"))
            }
            Fact::Synchronous { node: None } => (say!("pgsql-async"), say!("pgsql-async-why")),
            Fact::Escalates { after } => {
                (say!("pgsql-escalates", after = after), say!("pgsql-escalates-why"))
            }
            Fact::Newer { than } => (say!("pgsql-newer", than = than), say!("pgsql-newer-why")),
            Fact::Rebuilt { lock: true } => (say!("pgsql-rebuilt", rsc = rsc), say!("pgsql-rebuilt-why")),
            Fact::Rebuilt { .. } => (say!("pgsql-copied"), say!("pgsql-copied-why")),
        }
    }
}
