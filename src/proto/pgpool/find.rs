//! Who is primary: the nodes are asked one after the other, in the order of their numbers.
//!
//! Source: `find_primary_node`, `find_primary_node_repeatedly` in `src/main/pgpool_main.c`. The first attached node that is not in
//! recovery is the primary; `ALWAYS_PRIMARY` is believed unasked. A node is left for the next when it refuses, or when its TCP connection
//! has not come about in `connect_timeout`. A connection that came about is waited for **without limit**: a node that accepts and does
//! not answer holds the search up until it answers or dies. While the worker asks (it holds the lock), the search waits.

use super::Setup;
use super::config::Flag;
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::postgres::msg::{Answer, Sql, Statement};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The pause between two rounds.
pub const ROUND: Span = Span::secs(1);
/// The pause before the lock is tried again (in truth a semaphore wakes the waiting process).
const LOCK: Span = Span::ms(10);

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
    /// The pause between two rounds, or the wait for the lock.
    Pause,
    Connecting(u8, ConnId),
    Asking(u8, ConnId),
}

/// A search.
#[derive(Clone, Debug)]
pub struct Find {
    setup: Arc<Setup>,
    timer: Timer,
    step: Step,
}

impl Find {
    /// A search that uses this timer.
    pub fn new(setup: Arc<Setup>, timer: Timer) -> Self {
        Find { setup, timer, step: Step::Idle }
    }
    /// Whether it is under way.
    pub fn busy(&self) -> bool {
        self.step != Step::Idle
    }
    /// The node that it waits for.
    pub fn waits_for(&self) -> Option<u8> {
        match self.step {
            Step::Connecting(n, _) | Step::Asking(n, _) => Some(n),
            Step::Idle | Step::Pause => None,
        }
    }
    /// The next round comes after a pause.
    pub fn again(&mut self, ctx: &mut Cx<'_>) {
        self.step = Step::Pause;
        ctx.set_timer(self.timer, ROUND);
    }
    /// A round begins.
    pub fn begin(&mut self, ctx: &mut Cx<'_>) -> Found {
        if ctx.files.pgpool.asking {
            self.step = Step::Pause;
            ctx.set_timer(self.timer, LOCK);
            return Found::Pending;
        }
        self.next(0, ctx)
    }
    /// Breaks the search off.
    pub fn stop(&mut self, ctx: &mut Cx<'_>) {
        if let Step::Connecting(_, conn) | Step::Asking(_, conn) = self.step {
            ctx.act(Action::Close(conn));
        }
        ctx.cancel_timer(self.timer);
        self.step = Step::Idle;
    }
    fn next(&mut self, from: u8, ctx: &mut Cx<'_>) -> Found {
        ctx.cancel_timer(self.timer);
        for n in from..self.setup.backends.len() as u8 {
            if !ctx.files.pgpool.valid(n) {
                continue;
            }
            let b = &self.setup.backends[usize::from(n)];
            if b.flag == Flag::ALWAYS_PRIMARY {
                self.step = Step::Idle;
                return Found::Primary(n);
            }
            let to = Endpoint::new(b.ip, b.port);
            let conn = ctx.connect(to, Plane::client, TcpOptions::default());
            self.step = Step::Connecting(n, conn);
            ctx.set_timer(self.timer, self.setup.config.connect_timeout);
            return Found::Pending;
        }
        self.step = Step::Idle;
        Found::Nobody
    }
    /// Takes in an input of the process.
    pub fn poll(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Found {
        match (self.step, input) {
            (Step::Pause, Input::Timer(t)) if *t == self.timer => self.begin(ctx),
            (Step::Connecting(n, conn), Input::Timer(t)) if *t == self.timer => {
                ctx.act(Action::Close(conn));
                self.next(n + 1, ctx)
            }
            (Step::Connecting(n, conn), Input::Tcp(c, news)) if *c == conn => match news {
                Tcp::Connected => {
                    ctx.cancel_timer(self.timer);
                    self.step = Step::Asking(n, conn);
                    ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: true })));
                    Found::Pending
                }
                _ => self.next(n + 1, ctx),
            },
            (Step::Asking(n, conn), Input::Tcp(c, news)) if *c == conn => match news {
                Tcp::Data(Msg::Sql(Sql::Ready(..))) => {
                    ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Query(0, Statement::IsInRecovery))));
                    Found::Pending
                }
                Tcp::Data(Msg::Sql(Sql::Done(_, Answer::InRecovery(standby)))) => {
                    ctx.act(Action::Close(conn));
                    if let Some(b) = ctx.files.pgpool.backends.get_mut(usize::from(n)) {
                        b.standby = *standby;
                    }
                    if *standby {
                        return self.next(n + 1, ctx);
                    }
                    self.step = Step::Idle;
                    Found::Primary(n)
                }
                Tcp::Data(Msg::Sql(Sql::Fatal(_))) | Tcp::Closed => {
                    ctx.act(Action::Close(conn));
                    self.next(n + 1, ctx)
                }
                Tcp::Data(_) => Found::Pending,
                _ => self.next(n + 1, ctx),
            },
            _ => Found::Pending,
        }
    }
}
