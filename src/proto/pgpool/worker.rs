//! The worker: every `sr_check_period` it asks all nodes how far they are, and writes down how far behind the primary each standby is.
//!
//! Source: `src/streaming_replication/pool_worker_child.c` (`check_replication_time_lag`); manual, "Streaming Replication Check". What it wrote last is
//! what routing goes by, until it writes again. It asks one node after the other; while it does it holds the lock that the search for a
//! primary needs ([`super::find`]), and a node that accepts a connection and does not answer holds it up without limit. If somebody else has
//! the lock (a follow-primary process, for as long as its command runs), or a failover is under way, the round is left out.
//!
//! With `detach_false_primary` it asks for primaries that the standbys do not follow ([`super::judge`]) to be degenerated, without votes; in a
//! watchdog only the leader's worker does, and only with a quorum.
//!
//! The delay in time (`delay_threshold_by_time`) is that of the last commit that a standby has not replayed, counted from when this worker first
//! saw the primary at or behind it: in truth the primary measures it (`pg_stat_replication.replay_lag`), so here it is known to `sr_check_period`.
//!
//! **Not modelled:** `log_standby_delay`, `replication_delay_source_cmd`.

use super::Setup;
use super::config::Mode;
use super::judge::{self, Judged};
use super::msg::Cause;
use super::note::Note;
use super::shared::Shared;
use super::watchdog::msg::State;
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, TcpOptions, Timer};
use crate::proto::postgres::data::SenderState;
use crate::proto::postgres::msg::{Answer, Lsn, Sql, Statement};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

const T_ROUND: Timer = Timer(0);
const T_CONNECT: Timer = Timer(1);
/// How many positions of the primary are remembered.
const SEEN: usize = 512;

/// What a node said.
#[derive(Clone, Debug, Default)]
struct Said {
    in_recovery: bool,
    lsn: Lsn,
    standbys: Vec<(Arc<str>, bool)>,
    upstream: Option<Ip>,
}

/// The worker.
#[derive(Clone, Debug)]
pub struct Worker {
    setup: Arc<Setup>,
    /// The node that is asked, and its connection.
    asks: Option<(u8, ConnId)>,
    said: Vec<Option<Said>>,
    /// When the primary was seen where.
    seen: Vec<(Time, Lsn)>,
}

impl Worker {
    /// A worker that has not been forked.
    pub fn new(setup: Arc<Setup>) -> Self {
        Worker { setup, asks: None, said: Vec::new(), seen: Vec::new() }
    }
    /// It has ended.
    pub fn reset(&mut self, shared: &mut Shared) {
        if self.asks.is_some() {
            shared.unlock();
        }
        *self = Worker::new(self.setup.clone());
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start | Input::Timer(T_ROUND) => self.round(ctx),
            Input::Timer(T_CONNECT) => {
                if let Some((n, conn)) = self.asks {
                    ctx.act(Action::Close(conn));
                    self.ask(n + 1, ctx);
                }
            }
            Input::Tcp(conn, news) => self.news(conn, news, ctx),
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn round(&mut self, ctx: &mut Cx<'_>) {
        let streams = self.setup.mode == Mode::StreamingReplication;
        if !streams || self.setup.config.sr_check_period.is_zero() {
            return;
        }
        if ctx.files.pgpool.switching || !ctx.files.pgpool.lock() {
            ctx.set_timer(T_ROUND, self.setup.config.sr_check_period);
            return;
        }
        self.said = vec![None; self.setup.backends.len()];
        self.ask(0, ctx);
    }
    fn ask(&mut self, from: u8, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_CONNECT);
        let next = (from..self.setup.backends.len() as u8).find(|n| ctx.files.pgpool.valid(*n));
        let Some(n) = next else { return self.over(ctx) };
        let b = &self.setup.backends[usize::from(n)];
        let conn = ctx.connect(Endpoint::new(b.ip, b.port), Plane::client, TcpOptions::default());
        self.asks = Some((n, conn));
        ctx.set_timer(T_CONNECT, self.setup.config.connect_timeout);
    }
    fn news(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        let Some((n, _)) = self.asks.filter(|a| a.1 == conn) else { return };
        match news {
            Tcp::Connected => {
                ctx.cancel_timer(T_CONNECT);
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: true })));
            }
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => {
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Query(0, Statement::Status))));
            }
            Tcp::Data(Msg::Sql(Sql::Done(_, Answer::Status(s)))) => {
                let lsn = if s.in_recovery { s.replayed } else { s.insert };
                let streams = |s: &crate::proto::postgres::data::Standby| {
                    (s.application_name.clone(), s.state == SenderState::Streaming)
                };
                let standbys = s.standbys.iter().map(streams).collect();
                let (in_recovery, upstream) = (s.in_recovery, s.upstream);
                self.said[usize::from(n)] = Some(Said { in_recovery, lsn, standbys, upstream });
                ctx.act(Action::Close(conn));
                self.ask(n + 1, ctx);
            }
            Tcp::Data(Msg::Sql(Sql::Fatal(_))) | Tcp::Closed => {
                ctx.act(Action::Close(conn));
                self.ask(n + 1, ctx);
            }
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
            Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => self.ask(n + 1, ctx),
        }
    }
    /// All have been asked.
    fn over(&mut self, ctx: &mut Cx<'_>) {
        self.asks = None;
        self.judge(ctx);
        ctx.files.pgpool.unlock();
        let config = &self.setup.config;
        ctx.set_timer(T_ROUND, config.sr_check_period);
        let primary = ctx.files.pgpool.primary.map(usize::from);
        let Some(at) = primary.and_then(|p| self.said[p].as_ref()).map(|s| s.lsn) else { return };
        if self.seen.last().is_none_or(|s| s.1 < at) {
            self.seen.push((ctx.now, at));
        }
        if self.seen.len() > SEEN {
            self.seen.remove(0);
        }
        let followers =
            primary.and_then(|p| self.said[p].as_ref()).map(|s| s.standbys.clone()).unwrap_or_default();
        // Nodes that are down too: `auto_failback` wants to know who streams again.
        for (n, b) in ctx.files.pgpool.backends.iter_mut().enumerate() {
            let host = &self.setup.backends[n].host;
            b.streaming = followers.iter().any(|f| f.0 == *host && f.1);
        }
        for (n, said) in self.said.iter().enumerate() {
            let Some(said) = said else { continue };
            let behind = if said.in_recovery { at.since(said.lsn) } else { 0 };
            let first = self.seen.iter().find(|s| s.1 > said.lsn).map(|s| s.0);
            let time = first.filter(|_| behind > 0).map_or(Span::ZERO, |t| ctx.now.since(t));
            let before = ctx.files.pgpool.too_late(n as u8, config);
            let b = &mut ctx.files.pgpool.backends[n];
            b.delay = (behind, time);
            b.checked = Some(ctx.now);
            b.standby = said.in_recovery;
            let late = ctx.files.pgpool.too_late(n as u8, config);
            if late != before {
                let node = super::names(&self.setup, &[n as u8]);
                ctx.note(Note::Late { node, late, bytes: behind, time }.into());
            }
        }
    }
    /// Looks for primaries that nobody follows.
    fn judge(&self, ctx: &mut Cx<'_>) {
        if !self.setup.config.detach_false_primary {
            return;
        }
        let said = |s: &Option<Said>| {
            s.as_ref().map(|s| judge::Said { in_recovery: s.in_recovery, upstream: s.upstream })
        };
        let said: Vec<Option<judge::Said>> = self.said.iter().map(said).collect();
        let ips: Vec<Ip> = self.setup.backends.iter().map(|b| b.ip).collect();
        let wd = &ctx.files.pgpool.wd;
        let may = !self.setup.config.use_watchdog || wd.state == Some(State::Coordinator) && wd.quorum >= 0;
        for (n, judged) in judge::judge(&said, &ips, &self.setup.config).into_iter().enumerate() {
            if judged == Judged::False && may {
                super::degenerate(&self.setup, &[n as u8], Cause::FalsePrimary, ctx);
            }
        }
    }
}
