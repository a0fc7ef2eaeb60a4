//! Who is primary: the nodes are connected to one after the other, in the order of their numbers, and then asked.
//!
//! Source: `find_primary_node`, `find_primary_node_repeatedly` in `src/main/pgpool_main.c`. `ALWAYS_PRIMARY` is believed unasked. A node is
//! left out when it refuses, or when its TCP connection has not come about in `connect_timeout`. A connection that came about is waited
//! for **without limit**: a node that accepts and does not answer holds the search up until it answers or dies. Between the connections
//! and the questions it needs the lock that the worker has while it asks, and a follow-primary process while it runs; who does not get it
//! sleeps a second. While `follow_primary_command` runs the search looks at nothing: the primary is whoever it was.

use super::Setup;
use super::config::Flag;
use super::judge::{self, Judged, Said};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::postgres::msg::{Answer, Sql, Statement};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The pause between two rounds.
pub const ROUND: Span = Span::secs(1);
/// The sleep before the lock is tried again (`pool_acquire_follow_primary_lock`).
const LOCK: Span = Span::secs(1);

/// What a search has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It goes on.
    Pending,
    /// This node is the primary.
    Primary(u8),
    /// No node is.
    Nobody,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Step {
    #[default]
    Idle,
    /// The pause between two rounds.
    Pause,
    /// This node is connected to.
    Connecting(u8, ConnId),
    /// This node begins a session.
    Beginning(u8, ConnId),
    /// The wait for the lock.
    Lock,
    /// This node is asked.
    Asking(u8, ConnId),
}

/// A search.
#[derive(Clone, Debug)]
pub struct Find {
    setup: Arc<Setup>,
    timer: Timer,
    step: Step,
    conns: Vec<Option<ConnId>>,
    said: Vec<Option<Said>>,
    /// What the last round made of the nodes.
    judged: Vec<Judged>,
}

impl Find {
    /// A search that uses this timer.
    pub fn new(setup: Arc<Setup>, timer: Timer) -> Self {
        Find { setup, timer, step: Step::Idle, conns: Vec::new(), said: Vec::new(), judged: Vec::new() }
    }
    /// Whether it is under way.
    pub fn busy(&self) -> bool {
        self.step != Step::Idle
    }
    /// The node that it waits for.
    pub fn waits_for(&self) -> Option<u8> {
        match self.step {
            Step::Connecting(n, _) | Step::Beginning(n, _) | Step::Asking(n, _) => Some(n),
            Step::Idle | Step::Pause | Step::Lock => None,
        }
    }
    /// The primaries that nobody follows, as the last round saw them.
    pub fn false_primaries(&self) -> Vec<u8> {
        let all = self.judged.iter().enumerate();
        all.filter(|(_, j)| **j == Judged::False).map(|(n, _)| n as u8).collect()
    }
    /// The next round comes after a pause.
    pub fn again(&mut self, ctx: &mut Cx<'_>) {
        self.step = Step::Pause;
        ctx.set_timer(self.timer, ROUND);
    }
    /// A round begins.
    pub fn begin(&mut self, ctx: &mut Cx<'_>) -> Found {
        let all = self.setup.backends.len();
        self.conns = vec![None; all];
        self.said = vec![None; all];
        self.judged.clear();
        if let Some(primary) = ctx.files.pgpool.following {
            self.step = Step::Idle;
            return Found::Primary(primary);
        }
        let flagged = self.setup.backends.iter().position(|b| b.flag == Flag::ALWAYS_PRIMARY);
        if let Some(n) = flagged {
            self.step = Step::Idle;
            return Found::Primary(n as u8);
        }
        self.connect(0, ctx)
    }
    /// Breaks the search off.
    pub fn stop(&mut self, ctx: &mut Cx<'_>) {
        self.hang_up(ctx);
        ctx.cancel_timer(self.timer);
        self.step = Step::Idle;
    }
    fn hang_up(&mut self, ctx: &mut Cx<'_>) {
        for conn in self.conns.iter_mut().filter_map(Option::take) {
            ctx.act(Action::Close(conn));
        }
    }
    fn connect(&mut self, from: u8, ctx: &mut Cx<'_>) -> Found {
        ctx.cancel_timer(self.timer);
        let next = (from..self.setup.backends.len() as u8).find(|n| ctx.files.pgpool.valid(*n));
        let Some(n) = next else { return self.lock(ctx) };
        let b = &self.setup.backends[usize::from(n)];
        let conn = ctx.connect(Endpoint::new(b.ip, b.port), Plane::client, TcpOptions::default());
        self.conns[usize::from(n)] = Some(conn);
        self.step = Step::Connecting(n, conn);
        ctx.set_timer(self.timer, self.setup.config.connect_timeout);
        Found::Pending
    }
    fn lock(&mut self, ctx: &mut Cx<'_>) -> Found {
        if ctx.files.pgpool.asking {
            self.step = Step::Lock;
            ctx.set_timer(self.timer, LOCK);
            return Found::Pending;
        }
        self.ask(0, ctx)
    }
    fn ask(&mut self, from: u8, ctx: &mut Cx<'_>) -> Found {
        let next =
            (from..self.conns.len() as u8).find_map(|n| self.conns[usize::from(n)].map(|conn| (n, conn)));
        let Some((n, conn)) = next else { return self.over(ctx) };
        self.step = Step::Asking(n, conn);
        ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Query(0, Statement::Status))));
        Found::Pending
    }
    fn over(&mut self, ctx: &mut Cx<'_>) -> Found {
        self.hang_up(ctx);
        self.step = Step::Idle;
        for (n, said) in self.said.iter().enumerate() {
            if let (Some(said), Some(b)) = (said, ctx.files.pgpool.backends.get_mut(n)) {
                b.standby = said.in_recovery;
            }
        }
        let ips: Vec<Ip> = self.setup.backends.iter().map(|b| b.ip).collect();
        self.judged = judge::judge(&self.said, &ips, &self.setup.config);
        judge::primary(&self.judged).map_or(Found::Nobody, Found::Primary)
    }
    /// A node cannot be asked; the next one is.
    fn give_up(&mut self, n: u8, ctx: &mut Cx<'_>) -> Found {
        if let Some(conn) = self.conns.get_mut(usize::from(n)).and_then(Option::take) {
            ctx.act(Action::Close(conn));
        }
        match self.step {
            Step::Asking(..) => self.ask(n + 1, ctx),
            _ => self.connect(n + 1, ctx),
        }
    }
    /// Takes in an input of the process.
    pub fn poll(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Found {
        match (self.step, input) {
            (Step::Pause, Input::Timer(t)) if *t == self.timer => self.begin(ctx),
            (Step::Lock, Input::Timer(t)) if *t == self.timer => self.lock(ctx),
            (Step::Connecting(n, _), Input::Timer(t)) if *t == self.timer => self.give_up(n, ctx),
            (Step::Connecting(n, conn), Input::Tcp(c, Tcp::Connected)) if *c == conn => {
                ctx.cancel_timer(self.timer);
                self.step = Step::Beginning(n, conn);
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: true })));
                Found::Pending
            }
            (Step::Beginning(n, conn), Input::Tcp(c, Tcp::Data(Msg::Sql(Sql::Ready(..))))) if *c == conn => {
                self.connect(n + 1, ctx)
            }
            (Step::Asking(n, conn), Input::Tcp(c, Tcp::Data(Msg::Sql(Sql::Done(_, answer)))))
                if *c == conn =>
            {
                if let Answer::Status(s) = answer {
                    self.said[usize::from(n)] =
                        Some(Said { in_recovery: s.in_recovery, upstream: s.upstream });
                }
                self.ask(n + 1, ctx)
            }
            (
                Step::Connecting(n, conn) | Step::Beginning(n, conn) | Step::Asking(n, conn),
                Input::Tcp(c, news),
            ) if *c == conn => match news {
                Tcp::Data(Msg::Sql(Sql::Fatal(_) | Sql::Error(..)))
                | Tcp::Closed
                | Tcp::Reset
                | Tcp::TimedOut
                | Tcp::Unreachable => self.give_up(n, ctx),
                Tcp::Data(_) | Tcp::Connected | Tcp::Accepted { .. } => Found::Pending,
            },
            (_, Input::Tcp(c, Tcp::Closed | Tcp::Reset | Tcp::TimedOut)) => {
                // A connection that waits for its turn is gone.
                if let Some(slot) = self.conns.iter_mut().find(|s| **s == Some(*c)) {
                    *slot = None;
                    ctx.act(Action::Close(*c));
                }
                Found::Pending
            }
            _ => Found::Pending,
        }
    }
}
