//! What clients, servers and standbys say to each other.

use crate::node::process::{HostId, Pid};
use std::sync::Arc;

/// A position in the write-ahead log: bytes since the beginning of the history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize)]
pub struct Lsn(pub u64);
impl Lsn {
    /// The position so many bytes further on.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Lsn {
        Lsn(self.0.saturating_add(bytes))
    }
    /// The bytes from `earlier` to here; none if it is later.
    pub const fn since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
impl std::fmt::Display for Lsn {
    /// As PostgreSQL writes it: `0/5000028`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A stretch of WAL in which no position is used twice: it ends at a promotion, and at a crash that lost its tail. Unlike a timeline number
/// it is unique in a run: two standbys that are promoted apart from each other may both begin timeline 2, but never the same branch.
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
    /// 42704 `undefined_object`: no slot of this name.
    UndefinedObject,
    /// 42710 `duplicate_object`: a slot of this name exists.
    DuplicateObject,
    /// 55006 `object_in_use`: a walsender uses the slot.
    ObjectInUse,
    /// 53400 `configuration_limit_exceeded`: all slots are taken.
    LimitExceeded,
    /// 55000 `object_not_in_prerequisite_state`: recovery is in progress, or is not.
    WrongState,
    /// 25P02 `in_failed_sql_transaction`.
    InFailedTransaction,
    /// 42601 `syntax_error`.
    SyntaxError,
    /// 42P01 `undefined_table`.
    UndefinedTable,
    /// 0A000 `feature_not_supported`: an unlogged table on a standby.
    FeatureNotSupported,
    /// XX000 `internal_error`: a pgpool could not go on.
    InternalError,
    /// 57000 `operator_intervention`: a pgpool ended the session (an idle limit).
    OperatorIntervention,
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
            SqlState::UndefinedObject => "42704",
            SqlState::DuplicateObject => "42710",
            SqlState::ObjectInUse => "55006",
            SqlState::LimitExceeded => "53400",
            SqlState::WrongState => "55000",
            SqlState::InFailedTransaction => "25P02",
            SqlState::SyntaxError => "42601",
            SqlState::UndefinedTable => "42P01",
            SqlState::FeatureNotSupported => "0A000",
            SqlState::InternalError => "XX000",
            SqlState::OperatorIntervention => "57000",
        }
    }
}

/// Who begins a session, and with which database.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Login {
    /// The user.
    pub user: Arc<str>,
    /// The database.
    pub database: Arc<str>,
    /// The protocol's major version.
    pub protocol: u8,
    /// `application_name`.
    pub application: Arc<str>,
    /// The user is a superuser.
    pub superuser: bool,
}
impl Default for Login {
    fn default() -> Self {
        Login {
            user: "app".into(),
            database: "app".into(),
            protocol: 3,
            application: "".into(),
            superuser: false,
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
    /// What Patroni asks once a cycle: positions, timeline, standbys (`pg_stat_replication`), slots.
    Status,
    /// `pg_create_physical_replication_slot(name, true)`.
    CreateSlot(Arc<str>),
    /// `pg_drop_replication_slot(name)`.
    DropSlot(Arc<str>),
    /// `pg_replication_slot_advance(name, lsn)`.
    AdvanceSlot(Box<(Arc<str>, Lsn)>),
    /// `pg_promote(wait => false)`.
    Promote,
    /// Any other command; the number is that of the write, if it is one.
    Sql(Arc<super::sql::Command>, WriteId),
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
    /// A write inside a transaction changed so many rows.
    Changed(u32),
}

/// What travels between a client and a server. A client closes the connection to say goodbye.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sql {
    /// The client begins a session; a superuser may use the reserved connections.
    Startup {
        /// Whether the user is a superuser.
        superuser: bool,
    },
    /// The same, with a user and a database that are named.
    Login(Arc<Login>),
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

/// What travels between a server and its standbys beside [`Data`] and [`Positions`], and what `pg_rewind` and `pg_basebackup` ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wal {
    /// `IDENTIFY_SYSTEM`.
    Identify,
    /// The answer.
    Identity(Arc<super::data::Identity>),
    /// `START_REPLICATION`.
    Start(Start),
    /// Replication begins; the history that is going to be sent, and the sender's `max_connections`.
    Started(super::history::History, u32),
    /// It does not.
    Refused(Refusal),
    /// The sender has flushed so much; `true`: it wants a reply.
    Keepalive(Lsn, bool),
    /// The sender ends the stream: its timeline is over (`true`), or it is shutting down.
    Done(bool),
}

/// What a standby asks to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Its cluster.
    pub system_id: u64,
    /// Its `application_name`.
    pub application_name: Arc<str>,
    /// Its slot.
    pub slot: Option<Arc<str>>,
    /// Its timeline.
    pub timeline: u32,
    /// Where its WAL ends. (A server is told a position only; the branch is for the model, which sees at once what a standby finds out when
    /// the first record does not fit.)
    pub end: Place,
}

/// A piece of WAL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Data {
    /// From here.
    pub from: Lsn,
    /// To here.
    pub to: Lsn,
    /// How far the sender has flushed.
    pub end: Lsn,
    /// The sender's wall clock when the last commit in it was made.
    pub time: i64,
    /// A commit in it waits until it has been written (`remote_write`).
    pub write_feedback: bool,
    /// A commit in it waits until it has been applied (`remote_apply`).
    pub apply_feedback: bool,
    /// The last checkpoint record in it.
    pub checkpoint: Option<super::data::Checkpoint>,
}

/// How far a standby is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Positions {
    /// Written.
    pub write: Lsn,
    /// Flushed.
    pub flush: Lsn,
    /// Applied.
    pub apply: Lsn,
    /// It wants a reply.
    pub ask: bool,
}

/// Why a server does not send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// "The database system is starting up".
    StartingUp,
    /// "The database system is shutting down".
    ShuttingDown,
    /// Another cluster.
    OtherSystem,
    /// The standby has left the history that the server has, here.
    Diverged {
        /// Whether the timeline numbers show it; if not, the WAL itself does.
        by_number: bool,
        /// Where they part.
        at: Lsn,
    },
    /// The standby is ahead of what the server has flushed, which is this.
    Ahead(Lsn),
    /// What is needed has been recycled; the oldest that is left is this.
    Removed(Lsn),
    /// No slot of this name.
    NoSlot,
    /// Another walsender uses the slot.
    SlotActive,
    /// The slot lost its WAL (`max_slot_wal_keep_size`).
    SlotInvalidated,
    /// `max_wal_senders` are running.
    TooMany,
}
