//! The health check: one process for each backend. It connects, waits for the session to begin, and sleeps `health_check_period`.
//!
//! Source: `src/main/health_check.c` (`do_health_check_child`, `establish_persistent_connection`). The period is a gap after a check, not
//! a rate: a cycle lasts p + (n+1) x T + n x r, where T is what an attempt costs: nothing if the server refuses, the smaller of
//! `connect_timeout` and `health_check_timeout` if packets are dropped, `health_check_timeout` if it accepts and does not answer. While its
//! request for a failover waits for the watchdog's answer, it waits too. A node that is down is not checked, unless it is down by
//! quarantine, or `auto_failback` may bring it back.
//!
//! Not modelled: the password, `health_check_database` (any database answers).

use super::config::Mode;
use super::msg::{Cause, Msg as Say, Request};
use super::shared::Status;
use super::{Role, Setup};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, TcpOptions, Timer};
use crate::proto::postgres::msg::Sql;
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The pause, between checks or between attempts.
const T_PAUSE: Timer = Timer(0);
/// The end of an attempt's patience.
const T_ALARM: Timer = Timer(1);
/// How often a health check that is switched off looks whether it still is.
const OFF: Span = Span::secs(30);
/// How long a request waits for the watchdog's answer (`WD_DEFAULT_IPC_COMMAND_TIMEOUT`): a watchdog that stands still is given up then.
const WATCHDOG_PATIENCE: Span = Span::secs(8);

/// A health check.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    setup: Arc<Setup>,
    node: u8,
    conn: Option<(ConnId, bool)>,
    attempt: u32,
    waits: bool,
    /// When `auto_failback` attached the node last.
    failback: Option<Time>,
}

impl HealthCheck {
    /// One that has not started.
    pub fn new(setup: Arc<Setup>, node: u8) -> Self {
        HealthCheck { setup, node, conn: None, attempt: 0, waits: false, failback: None }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        *self = HealthCheck::new(self.setup.clone(), self.node);
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => ctx.act(Action::Exit(0)),
            Input::Start => self.check(ctx),
            Input::Timer(T_PAUSE) if self.attempt > 0 => self.connect(ctx),
            Input::Timer(T_PAUSE) => {
                self.waits = false;
                self.check(ctx);
            }
            Input::Timer(T_ALARM) => {
                // Which of the two clocks ran out: only the alarm makes it a silence that cuts all sessions.
                let c = &self.setup.config;
                let connected = self.conn.is_some_and(|(_, open)| open);
                let alarm = connected || c.health_check_timeout <= c.connect_timeout;
                self.failed(alarm, ctx);
            }
            Input::Tcp(conn, news) if self.conn.is_some_and(|(c, _)| c == conn) => self.tcp(conn, &news, ctx),
            Input::Call(Msg::Pgpool(m)) if matches!(*m, Say::Verdict(_)) && self.waits => {
                self.waits = false;
                ctx.set_timer(T_PAUSE, self.setup.config.health_check_period);
            }
            _ => {}
        }
    }
    /// Whether the node is to be looked at.
    fn due(&self, ctx: &Cx<'_>) -> bool {
        let Some(b) = ctx.files.pgpool.backends.get(usize::from(self.node)) else { return false };
        b.status != Status::Down || b.quarantine || self.may_fail_back(ctx)
    }
    fn may_fail_back(&self, ctx: &Cx<'_>) -> bool {
        let c = &self.setup.config;
        let early = self.failback.is_some_and(|t| ctx.now.since(t) < c.auto_failback_interval);
        c.auto_failback
            && self.setup.mode == Mode::StreamingReplication
            && !early
            && ctx.files.pgpool.backends.get(usize::from(self.node)).is_some_and(|b| b.streaming)
    }
    fn check(&mut self, ctx: &mut Cx<'_>) {
        let period = self.setup.config.health_check_period;
        self.attempt = 0;
        if period.is_zero() {
            ctx.set_timer(T_PAUSE, OFF);
        } else if self.due(ctx) {
            self.connect(ctx);
        } else {
            ctx.set_timer(T_PAUSE, period);
        }
    }
    fn connect(&mut self, ctx: &mut Cx<'_>) {
        let Some(b) = self.setup.backends.get(usize::from(self.node)) else { return };
        let c = &self.setup.config;
        let conn = ctx.connect(Endpoint::new(b.ip, b.port), Plane::client, TcpOptions::default());
        self.conn = Some((conn, false));
        ctx.set_timer(T_ALARM, c.health_check_timeout.min(c.connect_timeout));
    }
    fn tcp(&mut self, conn: ConnId, news: &Tcp<Msg>, ctx: &mut Cx<'_>) {
        match news {
            Tcp::Connected => {
                self.conn = Some((conn, true));
                let c = &self.setup.config;
                // What the connection took of the alarm is below the network's delay.
                ctx.set_timer(T_ALARM, c.health_check_timeout);
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: true })));
            }
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => self.succeeded(ctx),
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => self.failed(false, ctx),
        }
        if let Tcp::Data(Msg::Sql(Sql::Fatal(_))) = news {
            self.failed(false, ctx);
        }
    }
    fn hang_up(&mut self, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_ALARM);
        if let Some((conn, _)) = self.conn.take() {
            ctx.act(Action::Close(conn));
        }
    }
    fn succeeded(&mut self, ctx: &mut Cx<'_>) {
        self.hang_up(ctx);
        self.attempt = 0;
        ctx.set_timer(T_PAUSE, self.setup.config.health_check_period);
        let Some(b) = ctx.files.pgpool.backends.get(usize::from(self.node)) else { return };
        if b.quarantine {
            super::request(Request::Up(self.node, true), ctx);
        } else if b.status == Status::Down && self.may_fail_back(ctx) {
            self.failback = Some(ctx.now);
            super::attach(&self.setup, self.node, ctx);
        }
    }
    fn failed(&mut self, alarm: bool, ctx: &mut Cx<'_>) {
        self.hang_up(ctx);
        let c = &self.setup.config;
        let (retries, delay, period) =
            (c.health_check_max_retries, c.health_check_retry_delay, c.health_check_period);
        if self.attempt < retries {
            self.attempt += 1;
            ctx.set_timer(T_PAUSE, delay);
            return;
        }
        self.attempt = 0;
        let b = ctx.files.pgpool.backends.get(usize::from(self.node));
        if b.is_some_and(|b| b.status == Status::Down && !b.quarantine) {
            ctx.set_timer(T_PAUSE, period);
            return;
        }
        let cause = if alarm { Cause::HealthCheckTimeout } else { Cause::HealthCheck };
        let watched = self.setup.pid(Role::Watchdog).is_some();
        if watched {
            // Its answer may arrive before this handler's later actions are done: the patience comes first.
            self.waits = true;
            ctx.set_timer(T_PAUSE, WATCHDOG_PATIENCE + period);
        }
        let asked = super::degenerate(&self.setup.clone(), &[self.node], cause, ctx);
        if !watched || !asked {
            self.waits = false;
            ctx.set_timer(T_PAUSE, period);
        }
    }
}
