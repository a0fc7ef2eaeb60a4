//! How a program of blocking calls is written as a state machine.
//!
//! Patroni is a Python program with threads: the HA loop, one long action in the background, the requests of the REST interface. Each is
//! a [`Thread`] here: a stack of frames, a frame being the place in a function where it goes on. A function is cut at its blocking calls;
//! each piece returns a [`Flow`]: go on there, do something that may block and go on there with what comes of it, call a function, return,
//! or raise what Python would raise. A frame that catches exceptions gets them as [`Value::Error`].

use super::dcs::{self, Cluster, SyncState};
use super::fetch::{Ask, Fetches, Said};
use super::sql::{Failed, Once};
use super::{cycle, demote, follow, manual, member, race, serve, server, slots, sync};
use crate::engine::{Span, Time};
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::ConnId;
use crate::proto::postgres::data::{Identity, Status};
use crate::proto::postgres::msg::{Answer, Statement};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a function goes on.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    Cycle(cycle::At),
    Member(member::At),
    Race(race::At),
    Manual(manual::At),
    Follow(follow::At),
    Server(server::At),
    Demote(demote::At),
    Sync(sync::At),
    Serve(serve::At),
    Slots(slots::At),
}

impl Frame {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            Frame::Cycle(at) => at.catches(raised),
            Frame::Member(at) => at.catches(raised),
            Frame::Race(at) => at.catches(raised),
            Frame::Manual(at) => at.catches(raised),
            Frame::Follow(at) => at.catches(raised),
            Frame::Server(at) => at.catches(raised),
            Frame::Demote(at) => at.catches(raised),
            Frame::Sync(at) => at.catches(raised),
            Frame::Serve(at) => at.catches(raised),
            Frame::Slots(at) => at.catches(raised),
        }
    }
}

/// What a call gives back.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    Cluster(Arc<Cluster>),
    Info(Arc<Status>),
    Answer(Answer),
    /// `pg_isready`.
    Ready(Ready),
    Identity(Option<Arc<Identity>>),
    Said(Vec<Said>),
    /// The new `/sync`, or that it was not written.
    Sync(Option<SyncState>),
    /// For a frame that catches: what was raised.
    Error(Raised),
}
impl Value {
    /// Whether it is `True`.
    pub(super) fn yes(&self) -> bool {
        matches!(self, Value::Bool(true))
    }
}

/// What is raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Raised {
    /// `DCSError`: the DCS did not do it within `retry_timeout`.
    Dcs,
    /// `PostgresConnectionException` or an error of the database driver.
    Postgres(Failed),
    /// `sys.exit`: the program is to end.
    Exit,
}

/// What `pg_isready` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ready {
    Running,
    Reject,
    NoResponse,
}

/// What a piece of a function does at its end.
#[derive(Clone, Debug)]
pub(super) enum Flow {
    /// It goes on there.
    Go(Frame),
    /// It does something that may block; there it goes on with what comes of it.
    Do(Op, Frame),
    /// It calls the first; the second gets what that returns.
    Call(Frame, Frame),
    /// It returns.
    Return(Value),
    /// It raises.
    Raise(Raised),
}
impl Flow {
    /// `return`
    pub(super) fn done() -> Flow {
        Flow::Return(Value::Nothing)
    }
    /// `return True` or `False`
    pub(super) fn bool(b: bool) -> Flow {
        Flow::Return(Value::Bool(b))
    }
}

/// What may block.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// An operation on the DCS.
    Dcs(dcs::Op),
    /// The lock that the HA loop holds during a cycle and the background action at its beginning and end.
    Lock,
    /// A query on the HA loop's session.
    Query(Statement),
    /// A query on a session of its own.
    Once(Endpoint, Statement),
    /// `pg_isready`.
    IsReady,
    /// `IDENTIFY_SYSTEM` of a member, on a replication connection.
    Identify(Ip),
    /// Members are asked over REST.
    Fetch(Ask, Vec<(Arc<str>, Ip)>),
    /// `time.sleep`, or a program that runs so long.
    Sleep(Span),
    /// Until the server's process is gone, or so long.
    End(Option<Span>),
    /// The nap between two cycles.
    Watch(Span),
}

/// What a thread waits for.
#[derive(Clone, Debug, Default)]
pub(super) enum Waiting {
    #[default]
    Nothing,
    Lock,
    Dcs,
    /// An answer on the HA loop's session: the number of the question.
    Query(u16),
    Once(Once, bool),
    Identify(ConnId),
    Fetch(Fetches),
    Sleep,
    /// Deadline, and how long until the next look.
    End(Option<Time>, Span),
    Watch,
}

/// A thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    /// Its frames, the innermost last.
    pub(super) stack: Vec<Frame>,
    /// What it waits for.
    pub(super) waiting: Waiting,
    /// It hangs: what it waited for came, and it does not go on.
    pub(super) hung: bool,
    pub(super) ready: Option<Result<Value, Raised>>,
}
impl Thread {
    /// Whether it has nothing to do.
    pub(super) fn idle(&self) -> bool {
        self.stack.is_empty() && matches!(self.waiting, Waiting::Nothing)
    }
}

/// The HA loop.
pub(super) const HA: usize = 0;
/// The long action in the background (`AsyncExecutor`).
pub(super) const EXEC: usize = 1;
/// The `CHECKPOINT` after a promotion.
pub(super) const CHECKPOINT: usize = 2;
/// The first thread of the REST interface that answers a request which takes its time.
pub(super) const REST: usize = 3;
/// How many such requests there can be at once.
pub(super) const REST_THREADS: usize = 8;

/// Operations on the DCS that wait for their turn: the client does one at a time.
pub(super) type DcsQueue = VecDeque<(usize, dcs::Op)>;
