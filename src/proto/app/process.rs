//! The application as a process: operations that come due, connections that carry them, and what is told of how they ended.
//!
//! An operation that certainly had no effect has failed; one that was sent and has no answer is unknown: the connection broke, or the
//! program's patience ended. What is tried again is decided apart for the two.

use super::config::{AfterError, Application, Connections, OnTimeout, Pace};
use super::dial::{Dial, Session};
use super::driver::{Setup, Shared};
use super::note::Note;
use crate::engine::{Span, Time};
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, HostId, Input, Signal, Tcp, Timer};
use crate::proto::client::process::{Kind, Note as Ended, Outcome};
use crate::proto::postgres::msg::{Answer, Sql, SqlState, Statement, WriteId};
use crate::proto::postgres::sql::Command;
use crate::proto::{Cx, Msg};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

/// Something that the program was asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    kind: Kind,
    number: u32,
    attempt: u16,
    /// The program (with `Pause`) that waits for its end.
    worker: Option<u16>,
    /// When it was due.
    since: Time,
    /// Retries after failures, and after unknown outcomes.
    tried: (u16, u16),
    /// It fails if it has no connection by then.
    pub(super) deadline: Time,
}

/// What is done later.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// An operation comes due.
    Arrive(Kind),
    /// A program goes on with its next operation.
    Worker(Kind, u16),
    /// An operation is tried again.
    Again(Op),
    /// An operation has waited long enough for a connection of the pool.
    Expire,
    /// The pool opens a connection.
    Open,
    /// The pool looks for connections that are idle for too long.
    House,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Ok,
    /// It had no effect.
    Failed(Outcome),
    /// It may have had one.
    Unknown(Outcome),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// No connection.
    Vacant,
    Dialing,
    Idle,
    /// The pool tests it before use.
    Testing,
    Working,
    /// The server has been asked to cancel.
    Cancelling,
}

/// A place for a connection.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    dial: Dial,
    pub(super) session: Option<Session>,
    pub(super) op: Option<Op>,
    /// It broke while nobody looked; the next use will notice.
    pub(super) gone: Option<Outcome>,
    /// Used last.
    pub(super) used: Time,
    /// The place of its connection in the order in which they were opened.
    pub(super) born: u32,
    /// It is closed when it becomes idle.
    pub(super) doomed: bool,
    /// The number of the statement that is under way.
    query: u32,
    /// The statement of the script that is next.
    step: usize,
}

/// An application.
#[derive(Clone, Debug)]
pub struct App {
    pub(super) shared: Shared,
    pub(super) slots: Vec<Slot>,
    /// Operations that wait for a connection of the pool, the oldest first.
    pub(super) waiting: VecDeque<Op>,
    /// What comes later, the next at the end.
    later: Vec<(Time, u32, Work)>,
    sequence: u32,
    /// The number of the next operation; it goes on after a restart, so that a number means one operation in a whole run.
    number: u32,
    query: u32,
    pub(super) opener: super::pool::Opener,
    moved: Option<Endpoint>,
    /// The script, read.
    script: Vec<Arc<Command>>,
}

const LATER: Timer = Timer(0);
/// Two timers of each place: the patience with what is under way, and the end of the connection's life.
const FIRST: u16 = 2;
pub(super) fn life(slot: usize) -> Timer {
    Timer(FIRST + 2 * slot as u16 + 1)
}
fn patience(slot: usize) -> Timer {
    Timer(FIRST + 2 * slot as u16)
}

impl App {
    /// An application with this configuration.
    pub fn new(config: Application, setup: Setup) -> Self {
        let read = |t: &String| Arc::new(Command::parse(t).with(config.wal_per_write, config.prepared));
        App {
            script: config.script.iter().map(read).collect(),
            shared: Shared::new(config, setup),
            slots: Vec::new(),
            waiting: VecDeque::new(),
            later: Vec::new(),
            sequence: 0,
            number: 0,
            query: 0,
            opener: super::pool::Opener::default(),
            moved: None,
        }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        self.shared.forget();
        self.slots.clear();
        self.waiting.clear();
        self.later.clear();
        self.opener = super::pool::Opener::default();
        self.moved = None;
    }
    /// Its sessions: where it connected to, and the server that it reached there.
    pub fn sessions(&self) -> impl Iterator<Item = (Endpoint, HostId)> + '_ {
        self.slots.iter().filter_map(|s| s.session.map(|s| (s.to, s.server)))
    }
    /// Operations without an end so far, and when the oldest came due.
    pub fn pending(&self) -> (usize, Option<Time>) {
        let open = self.slots.iter().filter_map(|s| s.op.as_ref()).chain(&self.waiting).map(|op| op.since);
        (open.clone().count(), open.min())
    }
    pub(super) fn config(&self) -> &Application {
        &self.shared.config
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => self.start(ctx),
            Input::Timer(LATER) => self.due(ctx),
            Input::Timer(Timer(t)) if t >= FIRST => {
                let slot = usize::from((t - FIRST) / 2);
                if (t - FIRST) % 2 == 1 {
                    self.end_of_life(slot, ctx);
                } else if self.slots[slot].state == State::Dialing {
                    self.dialed(slot, &input, ctx);
                } else {
                    self.impatient(slot, ctx);
                }
            }
            Input::Tcp(conn, _) => self.tcp(conn, input, ctx),
            Input::Packet { .. } => {
                for slot in 0..self.slots.len() {
                    if self.slots[slot].state == State::Dialing {
                        self.dialed(slot, &input, ctx);
                    }
                }
            }
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }

    // ---- what comes due --------------------------------------------------------------------------------------------

    fn start(&mut self, ctx: &mut Cx<'_>) {
        ctx.act(Action::Bind(crate::proto::dns::own_port(ctx.me)));
        let c = self.config();
        let (first, sessions) = (ctx.now + c.start_after, c.sessions);
        for (kind, pace) in [(Kind::Write, c.writes), (Kind::Read, c.reads), (self.script_kind(), c.scripts)]
        {
            match pace {
                None => {}
                Some(Pace::Every(_)) => self.later(first, Work::Arrive(kind), ctx),
                Some(Pace::Pause(pause)) => {
                    for w in 0..sessions {
                        // Programs that started together are not in step for long.
                        let lag = pause.ratio(u64::from(w), u64::from(sessions));
                        self.later(first + lag, Work::Worker(kind, w), ctx);
                    }
                }
            }
        }
        self.fill(ctx);
        if self.config().pool.is_some() {
            self.later(ctx.now + super::pool::HOUSE_KEEPING, Work::House, ctx);
        }
    }
    pub(super) fn later(&mut self, at: Time, work: Work, ctx: &mut Cx<'_>) {
        self.sequence += 1;
        let key = (at, self.sequence);
        let i = self.later.partition_point(|(a, n, _)| (*a, *n) > key);
        self.later.insert(i, (at, self.sequence, work));
        if i + 1 == self.later.len() {
            ctx.set_timer(LATER, at.since(ctx.now));
        }
    }
    fn due(&mut self, ctx: &mut Cx<'_>) {
        while self.later.last().is_some_and(|(at, ..)| *at <= ctx.now) {
            let Some((at, _, work)) = self.later.pop() else { return };
            match work {
                Work::Arrive(kind) => {
                    if let Some(Pace::Every(interval)) = self.pace(kind) {
                        self.later(at + interval, work, ctx);
                    }
                    self.begin(kind, None, ctx);
                }
                Work::Worker(kind, w) => self.begin(kind, Some(w), ctx),
                Work::Again(op) => self.dispatch(op, ctx),
                Work::Expire => self.expire(ctx),
                Work::Open => self.open(ctx),
                Work::House => self.keep_house(ctx),
            }
        }
        if let Some((at, ..)) = self.later.last() {
            ctx.set_timer(LATER, at.since(ctx.now));
        }
    }
    fn pace(&self, kind: Kind) -> Option<Pace> {
        let c = self.config();
        c.scripts.or(if kind == Kind::Write { c.writes } else { c.reads })
    }
    /// What a script counts as.
    fn script_kind(&self) -> Kind {
        if self.script.iter().any(|c| c.verb.writes()) { Kind::Write } else { Kind::Read }
    }
    fn begin(&mut self, kind: Kind, worker: Option<u16>, ctx: &mut Cx<'_>) {
        let number = self.number;
        self.number += 1;
        let op = Op { kind, number, attempt: 0, worker, since: ctx.now, tried: (0, 0), deadline: Time::MAX };
        self.dispatch(op, ctx);
    }

    /// Finds a connection for an operation.
    fn dispatch(&mut self, mut op: Op, ctx: &mut Cx<'_>) {
        if let Some(pool) = &self.config().pool {
            op.deadline = ctx.now + pool.connection_timeout;
            self.later(op.deadline, Work::Expire, ctx);
            self.waiting.push_back(op);
            self.serve(ctx);
            self.fill(ctx);
            return;
        }
        let slot = match op.worker {
            // Each program has its own place.
            Some(w) => Some(2 * usize::from(w) + usize::from(op.kind == Kind::Read)),
            None => {
                let c = self.config();
                let (most, own) = (usize::from(c.max_sessions), 2 * usize::from(c.sessions));
                let paused = [c.writes, c.reads, c.scripts].iter().any(|p| matches!(p, Some(Pace::Pause(_))));
                let first = if paused { own } else { 0 };
                let free = |i: &usize| self.slots.get(*i).is_none_or(|s| s.op.is_none());
                let open = |i: &usize| self.slots.get(*i).is_some_and(|s| s.session.is_some());
                let places = first..first + most;
                places.clone().find(|i| free(i) && open(i)).or_else(|| places.clone().find(free))
            }
        };
        match slot {
            Some(slot) => {
                self.place(slot);
                self.assign(slot, op, ctx);
            }
            None => self.over(op, End::Failed(Outcome::Busy), ctx),
        }
    }
    /// Makes room for connections up to this place.
    pub(super) fn place(&mut self, slot: usize) {
        while self.slots.len() <= slot {
            self.slots.push(Slot {
                state: State::Vacant,
                dial: Dial::new(patience(self.slots.len())),
                session: None,
                op: None,
                gone: None,
                used: Time::ZERO,
                born: 0,
                doomed: false,
                query: 0,
                step: 0,
            });
        }
    }

    // ---- connections -----------------------------------------------------------------------------------------------

    pub(super) fn assign(&mut self, slot: usize, op: Op, ctx: &mut Cx<'_>) {
        let s = &mut self.slots[slot];
        s.op = Some(op);
        if let Some(gone) = s.gone {
            // It sends into a connection that is no more, and cannot tell that from one that breaks just now.
            self.drop_session(slot, ctx);
            self.ended(slot, End::Unknown(gone), ctx);
        } else if s.session.is_some() {
            self.send(slot, ctx);
        } else {
            self.dial(slot, ctx);
        }
    }
    pub(super) fn dial(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let s = &mut self.slots[slot];
        s.state = State::Dialing;
        let done = s.dial.begin(&mut self.shared, ctx);
        self.after_dial(slot, done, ctx);
    }
    fn dialed(&mut self, slot: usize, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        let done = self.slots[slot].dial.poll(&mut self.shared, input, ctx);
        self.after_dial(slot, done, ctx);
    }
    fn after_dial(&mut self, slot: usize, done: Poll<Result<Session, Outcome>>, ctx: &mut Cx<'_>) {
        self.look_for_pinned(ctx);
        match done {
            Poll::Pending => {}
            Poll::Ready(Ok(session)) => {
                self.opened(session, ctx);
                self.sequence += 1;
                let s = &mut self.slots[slot];
                (s.session, s.state) = (Some(session), State::Idle);
                (s.used, s.born) = (ctx.now, self.sequence);
                if s.op.is_some() {
                    self.send(slot, ctx);
                } else {
                    self.pool_opened(slot, ctx);
                }
            }
            Poll::Ready(Err(outcome)) => {
                self.slots[slot].state = State::Vacant;
                if self.slots[slot].op.is_some() {
                    self.ended(slot, End::Failed(outcome), ctx);
                } else {
                    self.pool_failed(ctx);
                }
            }
        }
    }
    fn opened(&mut self, session: Session, ctx: &mut Cx<'_>) {
        if let Some(was) = self.moved
            && was != session.to
        {
            ctx.note(crate::proto::Note::App(Note::Moved { was, to: session.to }));
        }
        self.moved = Some(session.to);
    }
    /// Tells once after each change of a name that connections stay with the old address.
    fn look_for_pinned(&mut self, ctx: &mut Cx<'_>) {
        let Some(name) = self.shared.changed.take() else { return };
        let now = self.shared.last(&name);
        let old = |s: &&Session| self.shared.name(s.target) == Some(&name) && !now.contains(&s.to.ip);
        let mut stay = self.slots.iter().filter_map(|s| s.session.as_ref()).filter(old);
        let Some(first) = stay.next() else { return };
        let (to, connections) = (first.to, 1 + stay.count() as u32);
        let now = crate::proto::dns::name::words(now);
        ctx.note(crate::proto::Note::App(Note::Pinned { name, connections, to, now }));
    }

    pub(super) fn query(&mut self, slot: usize, statement: Statement, patience_of: Span, ctx: &mut Cx<'_>) {
        let s = &mut self.slots[slot];
        let Some(session) = s.session else { return };
        s.query = self.query;
        self.query = self.query.wrapping_add(1);
        ctx.act(Action::TcpSend(session.conn, Msg::Sql(Sql::Query(s.query, statement))));
        if !patience_of.is_zero() {
            ctx.set_timer(patience(slot), patience_of);
        }
    }
    pub(super) fn send(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(op) = self.slots[slot].op else { return };
        self.slots[slot].state = State::Working;
        if let Some(command) = self.script.first().cloned() {
            self.slots[slot].step = 1;
            return self.say(slot, command, &op, ctx);
        }
        let statement = match op.kind {
            Kind::Write => Statement::Write(write_id(&op, ctx), self.config().wal_per_write),
            Kind::Read | Kind::Both => Statement::Read,
        };
        let timeout = self.config().statement_timeout;
        self.query(slot, statement, timeout, ctx);
    }

    /// A statement of the script.
    fn say(&mut self, slot: usize, command: Arc<Command>, op: &Op, ctx: &mut Cx<'_>) {
        let statement = Statement::Sql(command, write_id(op, ctx));
        let timeout = self.config().statement_timeout;
        self.query(slot, statement, timeout, ctx);
    }

    /// The connection goes, orderly if it is still there.
    pub(super) fn drop_session(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let s = &mut self.slots[slot];
        if let Some(session) = s.session.take()
            && s.gone.is_none()
        {
            ctx.act(Action::Close(session.conn));
        }
        (s.state, s.gone, s.doomed) = (State::Vacant, None, false);
        ctx.cancel_timer(patience(slot));
        if self.config().pool.is_some() {
            ctx.cancel_timer(life(slot));
        }
    }

    /// The patience with a statement or a test is over.
    fn impatient(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        match self.slots[slot].state {
            State::Working if self.config().on_statement_timeout == OnTimeout::Cancel => {
                self.slots[slot].state = State::Cancelling;
                if let Some(session) = self.slots[slot].session {
                    ctx.act(Action::TcpSend(session.conn, Msg::Sql(Sql::Cancel)));
                }
                ctx.set_timer(patience(slot), self.config().statement_timeout);
            }
            State::Working | State::Cancelling => {
                self.drop_session(slot, ctx);
                self.ended(slot, End::Unknown(Outcome::Timeout), ctx);
            }
            State::Testing => self.test_failed(slot, ctx),
            State::Vacant | State::Dialing | State::Idle => {}
        }
    }

    fn tcp(&mut self, conn: ConnId, input: Input<Msg>, ctx: &mut Cx<'_>) {
        let of = |s: &Slot| {
            s.session.is_some_and(|x| x.conn == conn)
                || (s.state == State::Dialing && s.dial.conn() == Some(conn))
        };
        let Some(slot) = self.slots.iter().position(of) else { return };
        if self.slots[slot].state == State::Dialing {
            self.dialed(slot, &input, ctx);
            return;
        }
        let Input::Tcp(_, news) = input else { return };
        match news {
            Tcp::Data(Msg::Sql(sql)) => self.said(slot, sql, ctx),
            Tcp::Closed => {
                ctx.act(Action::Close(conn));
                self.broke(slot, Outcome::Closed, ctx);
            }
            Tcp::Reset => self.broke(slot, Outcome::Reset, ctx),
            Tcp::TimedOut => self.broke(slot, Outcome::Timeout, ctx),
            Tcp::Unreachable => self.broke(slot, Outcome::Unreachable, ctx),
            Tcp::Data(_) | Tcp::Connected | Tcp::Accepted { .. } => {}
        }
    }
    /// The connection is no more.
    fn broke(&mut self, slot: usize, outcome: Outcome, ctx: &mut Cx<'_>) {
        let s = &mut self.slots[slot];
        s.gone.get_or_insert(outcome);
        match s.state {
            State::Working | State::Cancelling => {
                self.drop_session(slot, ctx);
                self.ended(slot, End::Unknown(outcome), ctx);
            }
            State::Testing => self.test_failed(slot, ctx),
            State::Vacant | State::Dialing | State::Idle => {}
        }
    }
    fn said(&mut self, slot: usize, sql: Sql, ctx: &mut Cx<'_>) {
        let query = self.slots[slot].query;
        let testing = self.slots[slot].state == State::Testing;
        match sql {
            Sql::Done(n, answer) if n == query => {
                ctx.cancel_timer(patience(slot));
                if testing {
                    self.send(slot, ctx);
                } else {
                    self.answered(slot, &answer, ctx);
                }
            }
            // A test that the server answers with an error has been answered.
            Sql::Error(n, _) if n == query && testing => {
                ctx.cancel_timer(patience(slot));
                self.send(slot, ctx);
            }
            Sql::Error(n, state) if n == query => self.refused(slot, state, ctx),
            Sql::Fatal(state) => {
                // The server closes behind it; nothing more comes.
                if let Some(session) = self.slots[slot].session {
                    ctx.act(Action::Close(session.conn));
                }
                self.broke(slot, Outcome::Error(state), ctx);
            }
            Sql::Done(..) | Sql::Error(..) | Sql::Ready(..) => {}
            Sql::Startup { .. } | Sql::Login(_) | Sql::Query(..) | Sql::Cancel => {}
        }
    }
    fn answered(&mut self, slot: usize, answer: &Answer, ctx: &mut Cx<'_>) {
        let (Some(op), Some(session)) = (self.slots[slot].op, self.slots[slot].session) else { return };
        match answer {
            Answer::Written(place, _) => {
                let write = write_id(&op, ctx);
                ctx.note(crate::proto::Note::App(Note::Acked { write, place: *place }));
            }
            Answer::Seen(place) => {
                ctx.note(crate::proto::Note::App(Note::Seen { place: *place, host: session.server }));
            }
            Answer::InRecovery(_) | Answer::Status(_) | Answer::Done | Answer::Changed(_) => {}
        }
        let step = self.slots[slot].step;
        if let Some(command) = self.script.get(step).cloned() {
            self.slots[slot].step = step + 1;
            return self.say(slot, command, &op, ctx);
        }
        self.ended(slot, End::Ok, ctx);
    }
    fn refused(&mut self, slot: usize, state: SqlState, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(patience(slot));
        let keep = match &self.config().pool {
            Some(pool) => pool.evict == super::config::Evict::Hikari,
            None => self.config().after_error == AfterError::Keep,
        };
        if !keep {
            self.drop_session(slot, ctx);
        }
        self.ended(slot, End::Failed(Outcome::Error(state)), ctx);
    }

    // ---- ends ------------------------------------------------------------------------------------------------------

    /// An attempt ended; its connection, if it is still there, is free.
    fn ended(&mut self, slot: usize, end: End, ctx: &mut Cx<'_>) {
        let s = &mut self.slots[slot];
        let server = s.session.map(|x| x.server);
        let Some(op) = s.op.take() else { return };
        if s.session.is_some() {
            (s.state, s.used) = (State::Idle, ctx.now);
            let kept = || self.slots.iter().filter(|s| s.session.is_some() && s.op.is_none()).count();
            let c = self.config();
            let spare = c.pool.is_none() && op.worker.is_none() && kept() > usize::from(c.sessions);
            if spare || c.connections == Connections::PerOperation {
                self.drop_session(slot, ctx);
            }
        }
        match end {
            End::Ok => self.report(&op, server.map_or(Outcome::Closed, Outcome::Ok), ctx),
            end => self.over(op, end, ctx),
        }
        if self.config().pool.is_some() {
            self.freed(slot, ctx);
        }
    }
    /// An attempt did not succeed: it is tried again, or the operation has failed.
    pub(super) fn give_up(&mut self, op: Op, outcome: Outcome, ctx: &mut Cx<'_>) {
        self.over(op, End::Failed(outcome), ctx);
    }
    fn over(&mut self, mut op: Op, end: End, ctx: &mut Cx<'_>) {
        let (outcome, unknown) = match end {
            End::Ok => return,
            End::Failed(o) => (o, false),
            End::Unknown(o) => (o, true),
        };
        if op.kind == Kind::Write {
            let write = write_id(&op, ctx);
            let note = if unknown { Note::Unknown { write } } else { Note::Failed { write } };
            ctx.note(crate::proto::Note::App(note));
        }
        let c = self.config();
        let (tried, most) =
            if unknown { (&mut op.tried.1, c.retries_unknown) } else { (&mut op.tried.0, c.retries) };
        if *tried >= most {
            self.report(&op, outcome, ctx);
            return;
        }
        *tried += 1;
        op.attempt += 1;
        let n = u32::from(op.attempt) - 1;
        let mut wait = c.backoff.times(1u64.checked_shl(n).unwrap_or(u64::MAX)).min(c.backoff_max);
        if c.backoff_jitter {
            wait = Span(ctx.below(wait.0 + 1));
        }
        self.later(ctx.now + wait, Work::Again(op), ctx);
    }
    /// An operation is over.
    fn report(&mut self, op: &Op, outcome: Outcome, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::Client(Ended { kind: op.kind, sent: op.since, outcome }));
        if let (Some(w), Some(Pace::Pause(pause))) = (op.worker, self.pace(op.kind)) {
            self.later(ctx.now + pause, Work::Worker(op.kind, w), ctx);
        }
    }
}

fn write_id(op: &Op, ctx: &Cx<'_>) -> WriteId {
    WriteId { client: ctx.me, operation: op.number, attempt: op.attempt }
}
