//! What clients, servers and standbys say to each other.

use crate::node::process::{HostId, Pid};
use std::sync::Arc;

/// A position in the write-ahead log: bytes since the beginning of the history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize)]
pub struct Lsn(pub u64);

/// A history between two promotions. Unlike a timeline number it is unique in a run: two standbys that are promoted apart from each other
/// may both begin timeline 2, but never the same branch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize)]
pub struct Branch(pub u32);

/// A place in a history: everything up to this position of this branch (and of the branches before it, up to where it left them).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
pub struct Place {
    /// The branch.
    pub branch: Branch,
    /// The position.
    pub lsn: Lsn,
}

/// A write that a client asked for. An operation that is tried again has several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WriteId {
    /// The client's process.
    pub client: Pid,
    /// The client's number of the operation.
    pub operation: u32,
    /// Which try it is, from 0.
    pub attempt: u16,
}

/// An error code, as clients see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum SqlState {
    /// 25006 `read_only_sql_transaction`.
    ReadOnly,
    /// 57P01 `admin_shutdown`.
    AdminShutdown,
    /// 57P02 `crash_shutdown`.
    CrashShutdown,
    /// 57P03 `cannot_connect_now`.
    CannotConnectNow,
    /// 53300 `too_many_connections`.
    TooManyConnections,
    /// 53100 `disk_full`.
    DiskFull,
    /// 40001 `serialization_failure`: a recovery conflict.
    RecoveryConflict,
    /// 57014 `query_canceled`.
    QueryCanceled,
}
impl SqlState {
    /// The five characters.
    pub const fn code(self) -> &'static str {
        match self {
            SqlState::ReadOnly => "25006",
            SqlState::AdminShutdown => "57P01",
            SqlState::CrashShutdown => "57P02",
            SqlState::CannotConnectNow => "57P03",
            SqlState::TooManyConnections => "53300",
            SqlState::DiskFull => "53100",
            SqlState::RecoveryConflict => "40001",
            SqlState::QueryCanceled => "57014",
        }
    }
}

/// A statement, each a transaction of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Statement {
    /// An INSERT that writes so many bytes of WAL.
    Write(WriteId, u32),
    /// A SELECT of what is newest.
    Read,
    /// `SELECT pg_is_in_recovery()` / `SHOW transaction_read_only`.
    IsInRecovery,
    /// `CHECKPOINT`.
    Checkpoint,
    /// What Patroni asks once a cycle: positions, timeline, standbys (`pg_stat_replication`).
    Status,
}

/// What a statement gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Committed there. The place is for whoever judges the run; no client decides by it. `true`: the wait for standbys was cut, and
    /// the client got a warning.
    Written(Place, bool),
    /// What a read saw: all that is committed up to there.
    Seen(Place),
    /// Whether the server is in recovery (and so read-only).
    InRecovery(bool),
    /// The server's state.
    Status(Arc<super::data::Status>),
    /// Done.
    Done,
}

/// What travels between a client and a server. A client closes the connection to say goodbye.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sql {
    /// The client begins a session; a superuser may use the reserved connections.
    Startup {
        /// Whether the user is a superuser.
        superuser: bool,
    },
    /// The client asks, under its number for it.
    Query(u32, Statement),
    /// The client cancels what it asked last (in truth on a connection of its own).
    Cancel,
    /// The session has begun: which host it is on (for whoever judges the run), and whether the server is in recovery, as the parameter
    /// `in_hot_standby` tells it.
    Ready(HostId, bool),
    /// The answer.
    Done(u32, Answer),
    /// ERROR: the statement failed, the session goes on.
    Error(u32, SqlState),
    /// FATAL: the session ends.
    Fatal(SqlState),
}

/// What travels between a primary and its standbys, and what `pg_rewind` and `pg_basebackup` ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wal {
    /// `IDENTIFY_SYSTEM`.
    Identify,
}
