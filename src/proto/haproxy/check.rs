//! Health checks and agents.
//!
//! Source: HAProxy 2.6, `check.c`, `tcpcheck.c`; configuration manual ("inter", "timeout check", "agent-check"). The next check starts
//! `inter` after the *end* of the one before. Connecting may take the smaller one of `timeout connect` and `inter`, the answer
//! `timeout check`; without `timeout check`, `inter` bounds both.
//!
//! **Not modelled:** TLS, scripts of `tcp-check` and `http-check`, checks of other protocols, `track`, `max-spread-checks` over processes.

use super::balance::{SCALE, may_take};
use super::config::{OnError, OnMarkedDown, OnMarkedUp};
use super::note::{Failure, Note, Why};
use super::proxy::{End, Proxy};
use crate::engine::{SEC, Span};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Tcp, TcpOptions, Timer};
use crate::proto::http::Http;
use crate::proto::patroni::rest::Body;
use crate::proto::{Cx, Msg};

/// Checks that come more often than this do not set the pace of the first ones.
const SLOW: Span = Span::secs(1);

/// Where the check of a server stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// It waits for the next.
    Waiting,
    /// It connects.
    Connecting(ConnId),
    /// It waits for the answer.
    Asked(ConnId),
}

/// What the agent of a server has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Agent {
    conn: Option<ConnId>,
    down: bool,
    drain: bool,
    maint: bool,
    percent: u32,
}
impl Default for Agent {
    fn default() -> Self {
        Agent { conn: None, down: false, drain: false, maint: false, percent: 100 }
    }
}

impl Proxy {
    fn check_timer_of(server: usize) -> Timer {
        Timer(1 + 2 * server as u16)
    }
    fn agent_timer_of(server: usize) -> Timer {
        Timer(2 + 2 * server as u16)
    }

    /// The first checks, as far from each other as possible.
    pub(super) fn start_checks(&self, ctx: &mut Cx<'_>) {
        let setup = self.setup.clone();
        let mut tasks: Vec<(usize, bool, Span)> = Vec::new();
        for (i, t) in setup.servers.iter().enumerate() {
            if t.check {
                tasks.push((i, true, self.interval(i)));
            }
            if let Some((_, inter)) = t.agent {
                tasks.push((i, false, inter));
            }
        }
        let pace = tasks.iter().map(|t| t.2).filter(|d| *d >= SLOW).min().unwrap_or(Span::ZERO);
        for (n, (i, check, own)) in tasks.iter().enumerate() {
            let over = pace.max(*own).min(setup.max_spread.unwrap_or(Span(u64::MAX)));
            let wait = Span(over.0 / tasks.len() as u64 * n as u64);
            ctx.set_timer(if *check { Self::check_timer_of(*i) } else { Self::agent_timer_of(*i) }, wait);
        }
    }
    /// The interval that the state of a server asks for.
    fn interval(&self, i: usize) -> Span {
        let (t, s) = (&self.setup.servers[i], &self.servers[i]);
        if s.hurry {
            return t.fastinter.unwrap_or(t.inter);
        }
        if s.health.steady() {
            t.inter
        } else if s.health.down() {
            t.downinter.unwrap_or(t.inter)
        } else {
            t.fastinter.unwrap_or(t.inter)
        }
    }
    fn spread(&self, span: Span, ctx: &mut Cx<'_>) -> Span {
        let by = span.0 / 100 * u64::from(self.setup.spread);
        if by == 0 { span } else { Span(span.0 - by + ctx.below(2 * by + 1)) }
    }

    pub(super) fn check_timer(&mut self, i: usize, ctx: &mut Cx<'_>) {
        match self.servers[i].check {
            Check::Waiting if self.servers[i].agent.maint => {
                ctx.set_timer(Self::check_timer_of(i), self.setup.servers[i].inter);
            }
            Check::Waiting => self.begin_check(i, ctx),
            Check::Connecting(conn) => self.end_check(i, conn, Some(Failure::ConnectTimeout), ctx),
            Check::Asked(conn) => self.end_check(i, conn, Some(Failure::Silent), ctx),
        }
    }
    fn begin_check(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let setup = self.setup.clone();
        let (t, b) = (&setup.servers[i], &setup.backs[setup.servers[i].back]);
        let Some(ip) = self.servers[i].ip else { return };
        let limit = match (b.timeout_check, b.timeout_connect) {
            (Some(_), Some(connect)) => connect.min(t.inter),
            _ => t.inter,
        };
        let rest = b.httpchk.is_some() || t.check_port != t.port;
        let plane = if rest { Plane::rest } else { Plane::client };
        // The timer goes first: an address without a route is told of at once.
        ctx.set_timer(Self::check_timer_of(i), limit);
        let conn = ctx.connect(Endpoint::new(ip, t.check_port), plane, TcpOptions::default());
        self.know(conn, End::Check(i as u16));
        self.servers[i].check = Check::Connecting(conn);
    }
    pub(super) fn check_news(&mut self, i: usize, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        let setup = self.setup.clone();
        let b = &setup.backs[setup.servers[i].back];
        match news {
            Tcp::Connected => match &b.httpchk {
                None => self.end_check(i, conn, None, ctx),
                Some((h, path, _)) => {
                    if let Some(limit) = b.timeout_check {
                        ctx.set_timer(Self::check_timer_of(i), limit);
                    }
                    self.servers[i].check = Check::Asked(conn);
                    let request = Http::Request(h.method, path.clone(), None);
                    ctx.act(Action::TcpSend(conn, Msg::Http(request)));
                }
            },
            Tcp::Data(Msg::Http(Http::Response(status, _))) => {
                let good = b.httpchk.as_ref().is_some_and(|(_, _, codes)| codes.contains(status));
                self.end_check(i, conn, (!good).then_some(Failure::Status(status)), ctx);
            }
            Tcp::Reset if self.servers[i].check == Check::Connecting(conn) => {
                self.end_check(i, conn, Some(Failure::Refused), ctx);
            }
            Tcp::Unreachable => self.end_check(i, conn, Some(Failure::Unreachable), ctx),
            Tcp::TimedOut => self.end_check(i, conn, Some(Failure::ConnectTimeout), ctx),
            Tcp::Data(_) | Tcp::Closed | Tcp::Reset => self.end_check(i, conn, Some(Failure::Broken), ctx),
            Tcp::Accepted { .. } => {}
        }
    }
    fn end_check(&mut self, i: usize, conn: ConnId, failure: Option<Failure>, ctx: &mut Cx<'_>) {
        self.forget(conn);
        // A check is closed with a reset unless it was answered.
        let answered = matches!(failure, Some(Failure::Status(_)))
            || failure.is_none() && matches!(self.servers[i].check, Check::Asked(_));
        ctx.act(if answered { Action::Close(conn) } else { Action::Abort(conn) });
        let s = &mut self.servers[i];
        s.check = Check::Waiting;
        s.checks += 1;
        s.failed_checks += u64::from(failure.is_some());
        if failure.is_some() == s.last.is_some() {
            s.row += 1;
        } else {
            s.row = 1;
        }
        s.last = failure;
        match failure {
            None => s.health.good(),
            Some(_) => s.health.failed(),
        }
        let row = s.row;
        if let Some(f) = failure.filter(|_| row == 1) {
            let t = &self.setup.servers[i];
            let (section, server) = (self.setup.backs[t.back].name.clone(), t.name.clone());
            self.note(Note::CheckFailed { section, server, failure: f }, ctx);
        }
        let why = failure.map_or(Why::Passed(row), |f| Why::Checks(row, f));
        self.judge(i, why, ctx);
        let wait = self.spread(self.interval(i), ctx);
        self.servers[i].hurry = false;
        ctx.set_timer(Self::check_timer_of(i), wait);
    }

    /// `error_limit` errors of sessions in a row.
    pub(super) fn too_many_errors(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let t = &self.setup.servers[i];
        let (on_error, fast) = (t.on_error, t.fastinter);
        let s = &mut self.servers[i];
        let errors = std::mem::take(&mut s.errors);
        s.hurry = true;
        match on_error {
            OnError::Fastinter => {}
            OnError::FailCheck => s.health.failed(),
            OnError::SuddenDeath => {
                s.health.brink();
                s.health.failed();
            }
            OnError::MarkDown => {
                s.health.edge();
                s.health.failed();
            }
        }
        self.judge(i, Why::Errors(errors), ctx);
        // A shorter interval holds for the check that is waited for, too.
        if let Some(fast) = fast.filter(|_| self.servers[i].check == Check::Waiting) {
            ctx.set_timer(Self::check_timer_of(i), fast);
        }
    }

    /// Goes by what checks and the agent say now.
    fn judge(&mut self, i: usize, why: Why, ctx: &mut Cx<'_>) {
        let t = &self.setup.servers[i];
        let s = &self.servers[i];
        let up = (!t.check || s.health.up()) && !s.agent.down && !s.agent.maint;
        if up == s.up {
            self.weigh(i, ctx);
        } else if up {
            self.goes_up(i, why, ctx);
        } else {
            self.goes_down(i, why, ctx);
        }
    }
    fn goes_down(&mut self, i: usize, why: Why, ctx: &mut Cx<'_>) {
        self.servers[i].up = false;
        self.servers[i].warming = None;
        self.set_load(i, |l| l.up = false);
        let setup = self.setup.clone();
        let (t, b) = (&setup.servers[i], &setup.backs[setup.servers[i].back]);
        let mine: Vec<u16> = self.placed_on(i);
        let cut = t.on_marked_down == OnMarkedDown::ShutdownSessions;
        let left = self.backs[t.back].loads.iter().filter(|l| l.usable()).count() as u32;
        let note = Note::Down {
            section: b.name.clone(),
            server: t.name.clone(),
            why,
            sessions: mine.len() as u32,
            cut,
            left,
        };
        self.note(note, ctx);
        if cut && !mine.is_empty() {
            let (section, server, n) = (b.name.clone(), t.name.clone(), mine.len() as u32);
            self.note(Note::Cut { section, server, n, up: false }, ctx);
        }
        if left == 0 {
            self.note(Note::Nobody { section: b.name.clone() }, ctx);
        }
        // Sessions in its queue may go elsewhere if redispatch is on; the others wait on.
        let waiting: Vec<u16> = if b.redispatch == 0 {
            Vec::new()
        } else {
            self.servers[i].queue.drain(..).map(|(_, n)| n).collect()
        };
        self.set_load(i, |l| l.queued -= waiting.len() as u32);
        if cut {
            for n in mine {
                self.cut(n, ctx);
            }
        }
        for n in waiting {
            self.assign(n, None, ctx);
        }
    }
    fn goes_up(&mut self, i: usize, why: Why, ctx: &mut Cx<'_>) {
        let setup = self.setup.clone();
        let (t, b) = (&setup.servers[i], &setup.backs[setup.servers[i].back]);
        self.servers[i].up = true;
        self.servers[i].warming = (!t.slowstart.is_zero()).then_some(ctx.now);
        self.set_load(i, |l| l.up = true);
        self.weigh(i, ctx);
        let active = self.backs[t.back].loads.iter().filter(|l| l.usable()).count() as u32;
        let note =
            Note::Up { section: b.name.clone(), server: t.name.clone(), why, active, backup: t.backup };
        self.note(note, ctx);
        if t.on_marked_up == OnMarkedUp::ShutdownBackupSessions && !t.backup && t.weight > 0 {
            let on_backups: Vec<u16> = b
                .servers
                .clone()
                .filter(|k| setup.servers[*k].backup)
                .flat_map(|k| self.placed_on(k))
                .collect();
            if !on_backups.is_empty() {
                let (section, server) = (b.name.clone(), t.name.clone());
                self.note(Note::Cut { section, server, n: on_backups.len() as u32, up: true }, ctx);
            }
            for n in on_backups {
                self.cut(n, ctx);
            }
        }
        self.dequeue(i, ctx);
    }
    /// The weight in force: that of the configuration, less what the agent and a slow start take away.
    fn weigh(&mut self, i: usize, ctx: &Cx<'_>) {
        let t = &self.setup.servers[i];
        let s = &self.servers[i];
        let own = (t.weight * s.agent.percent / 100).min(256);
        let (mut weight, mut maxconn) = (own * SCALE, t.maxconn);
        if let Some(since) = s.warming {
            let (age, whole) = (ctx.now.since(since), t.slowstart);
            if age >= whole {
                self.servers[i].warming = None;
            } else {
                // The weight is worked out anew in steps, in whole seconds, and begins with a sixteenth.
                let step = Span(whole.0 / 20).max(Span::secs(1));
                let secs = age.0 / step.0 * step.0 / SEC;
                let seconds = whole.0.div_ceil(SEC);
                weight = own * ((u64::from(SCALE) * secs + seconds) / seconds).min(u64::from(SCALE)) as u32;
                let share = 100 * (age.0 / SEC) / seconds;
                maxconn = if maxconn == 0 { 0 } else { (u64::from(maxconn) * share / 100).max(1) as u32 };
            }
        }
        if self.servers[i].agent.drain {
            weight = 0;
        }
        let load = self.load(i);
        if load.weight != weight || load.maxconn != maxconn {
            self.set_load(i, |l| (l.weight, l.maxconn) = (weight, maxconn));
        }
    }
    /// Before a choice: a slow start goes on with time.
    pub(super) fn warm(&mut self, back: usize, ctx: &Cx<'_>) {
        for i in self.setup.backs[back].servers.clone() {
            if self.servers[i].warming.is_some() {
                self.weigh(i, ctx);
            }
        }
    }
    /// Whether a server may take sessions that wait for any.
    pub(super) fn takes_any(&self, i: usize) -> bool {
        let t = &self.setup.servers[i];
        let b = &self.setup.backs[t.back];
        may_take(&self.backs[t.back].loads, i - b.servers.start, b.allbackups)
    }

    // ---- agents ----------------------------------------------------------------------------------------------------

    pub(super) fn agent_timer(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let Some((port, inter)) = self.setup.servers[i].agent else { return };
        if let Some(conn) = self.servers[i].agent.conn {
            // No answer in time: that an agent is silent says nothing of the server.
            ctx.act(Action::Abort(conn));
            self.agent_done(i, conn, ctx);
            return;
        }
        let Some(ip) = self.servers[i].ip else { return };
        ctx.set_timer(Self::agent_timer_of(i), inter);
        let conn = ctx.connect(Endpoint::new(ip, port), Plane::rest, TcpOptions::default());
        self.know(conn, End::Agent(i as u16));
        self.servers[i].agent.conn = Some(conn);
    }
    fn agent_done(&mut self, i: usize, conn: ConnId, ctx: &mut Cx<'_>) {
        self.forget(conn);
        self.servers[i].agent.conn = None;
        let inter = self.setup.servers[i].agent.map_or(Span::ZERO, |a| a.1);
        let wait = self.spread(inter, ctx);
        ctx.set_timer(Self::agent_timer_of(i), wait);
    }
    pub(super) fn agent_news(&mut self, i: usize, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        match news {
            Tcp::Connected | Tcp::Accepted { .. } => return,
            Tcp::Data(Msg::Http(Http::Response(_, Some(body)))) => {
                ctx.act(Action::Close(conn));
                #[allow(irrefutable_let_patterns)] // Bodies of other kinds are no agent's.
                if let Body::Text(line) = &*body {
                    self.agent_says(i, line, ctx);
                }
            }
            Tcp::Data(_) | Tcp::Closed => ctx.act(Action::Close(conn)),
            Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {}
        }
        self.agent_done(i, conn, ctx);
    }
    fn agent_says(&mut self, i: usize, line: &str, ctx: &mut Cx<'_>) {
        let mut said = "";
        for word in line.split([' ', ',', '\t', '\r', '\n']).filter(|w| !w.is_empty()) {
            let word_lower = word.to_lowercase();
            let a = &mut self.servers[i].agent;
            match word_lower.as_str() {
                "up" => a.down = false,
                "down" | "stopped" | "fail" | "failed" => a.down = true,
                "drain" => a.drain = true,
                "maint" => a.maint = true,
                "ready" => (a.drain, a.maint) = (false, false),
                w => {
                    if let Some(Ok(n)) = w.strip_suffix('%').map(str::parse::<u32>) {
                        a.percent = n.min(25_600);
                    }
                    continue;
                }
            }
            said = word;
        }
        self.judge(i, Why::Agent(said.into()), ctx);
    }
}
