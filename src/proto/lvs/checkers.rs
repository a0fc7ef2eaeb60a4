//! keepalived's checkers: they connect to the servers again and again, and put the live ones into the table.
//!
//! Source: keepalived's `check/{check_api,check_tcp,check_http,check_misc,ipwrapper}.c` and keepalived.conf(5). The next check begins
//! `delay_loop` after the last one ended. A failed check of a live server is repeated `retry` times, `delay_before_retry` apart, before
//! the server is down; one good check brings it up again.
//!
//! **Not modelled:** SSL_GET, SMTP, DNS, UDP, PING, BFD and file checks, several pages in one HTTP_GET and their digests, `misc_dynamic`,
//! virtual server groups, SNMP, e-mail, reloads (SIGHUP), `ha_suspend`. Scripts of the user are told, not run.

use super::config::{Check, Lvs, RealServer, Schedule, Script, VirtualServer};
use super::note::{Failure, Names, Note};
use super::table::{Dest, Ipvs, service};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint};
use crate::node::process::{Action, ConnId, Input, NetId, Probe, Signal, Tcp, TcpOptions, Timer};
use crate::proto::http::{Http, Method};
use crate::proto::{Cx, Msg};

/// What a checker is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    /// It waits for its next check.
    Waits,
    /// It connects, or waits for an answer.
    Asks(ConnId),
    /// Its script runs.
    Runs,
}

/// One check of one server.
#[derive(Clone, Debug)]
struct Checker {
    service: usize,
    server: usize,
    check: Check,
    schedule: Plan,
    up: bool,
    has_run: bool,
    retries: u32,
    doing: Doing,
}

/// When a check runs, everything filled in.
#[derive(Clone, Copy, Debug)]
struct Plan {
    to: Endpoint,
    timeout: Span,
    delay_loop: Span,
    warmup: Span,
    retry: u32,
    delay_before_retry: Span,
    alpha: bool,
}

/// A service and what the checkers know of it.
#[derive(Clone, Debug)]
struct Watched {
    table: usize,
    quorum_up: bool,
    sorry: bool,
    /// Its servers: in the table's eyes alive, as far as checks go.
    alive: Vec<bool>,
}

/// The checkers of a director.
#[derive(Clone, Debug)]
pub struct Checkers {
    config: Lvs,
    names: Names,
    nets: Vec<(NetId, Cidr)>,
    checkers: Vec<Checker>,
    watched: Vec<Watched>,
}

impl Checkers {
    /// The checkers of a director with this configuration, on a host with these networks.
    pub fn new(config: Lvs, names: Names, nets: Vec<(NetId, Cidr)>) -> Self {
        Checkers { config, names, nets, checkers: Vec::new(), watched: Vec::new() }
    }
    /// The state before the start. The table stays in the kernel, unless the kernel is gone as well.
    pub fn reset(&mut self, power_lost: bool, table: &mut Ipvs) {
        self.checkers.clear();
        self.watched.clear();
        if power_lost {
            *table = Ipvs::default();
        }
    }
    /// The configuration.
    pub fn config(&self) -> &Lvs {
        &self.config
    }
    /// Whether the n-th service has its quorum, and whether the sorry server stands in.
    pub fn quorum(&self, n: usize) -> Option<(bool, bool)> {
        self.watched.get(n).map(|w| (w.quorum_up, w.sorry))
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => self.start(cx),
            Input::Timer(Timer(t)) => {
                let k = usize::from(t / 2);
                if t % 2 == 0 { self.attempt(k, cx) } else { self.late(k, cx) }
            }
            Input::Tcp(conn, news) => self.tcp(conn, news, cx),
            Input::Exec { tag, ok } => self.script_ended(usize::from(tag), ok, cx),
            Input::Signal(Signal::Term) => self.stop(cx),
            _ => {}
        }
    }

    // ---- start and stop ----------------------------------------------------------------------------------------------

    fn start(&mut self, cx: &mut Cx<'_>) {
        for a in &self.config.addresses {
            let net = self.nets.iter().find(|(_, n)| n.contains(a.ip)).or(self.nets.first());
            if let Some((net, _)) = net {
                cx.act(Action::AddAddress(*net, *a));
                cx.act(Action::GratuitousArp(*net, a.ip));
            }
        }
        cx.files.ipvs.configure(&self.config, &self.names);
        let mut servers = 0;
        for n in 0..self.config.virtual_server.len() {
            servers += self.start_service(n, cx);
        }
        let services = self.config.virtual_server.len() as u32;
        let alpha = self.config.virtual_server.iter().any(|v| v.alpha);
        cx.note(crate::proto::Note::Lvs(Note::Started { services, servers, alpha }));
        for n in 0..self.watched.len() {
            self.first_quorum(n, cx);
        }
        for k in 0..self.checkers.len() {
            let warmup = self.checkers[k].schedule.warmup;
            let first = if warmup.is_zero() { Span::ZERO } else { Span(cx.below(warmup.0)) };
            cx.set_timer(Timer(k as u16 * 2), self.config.bootstrap_delay + first);
        }
    }
    /// Fills the table with a service; servers count as live until a check fails, or with `alpha` as failed until one succeeds.
    fn start_service(&mut self, n: usize, cx: &mut Cx<'_>) -> u32 {
        let v = &self.config.virtual_server[n];
        let table = cx.files.ipvs.add_service(service(v));
        let mut alive = Vec::new();
        for (i, r) in v.real_server.iter().enumerate() {
            let mut up = true;
            for check in &r.check {
                let schedule = plan(v, r, check);
                up &= !schedule.alpha;
                self.checkers.push(Checker {
                    service: n,
                    server: i,
                    check: check.clone(),
                    schedule,
                    up: !schedule.alpha,
                    has_run: false,
                    retries: 0,
                    doing: Doing::Waits,
                });
            }
            alive.push(up);
            cx.files.ipvs.reserve(table, &dest(v, r, r.weight));
        }
        if let Some(sorry) = v.sorry_server {
            cx.files.ipvs.reserve(table, &sorry_dest(v, sorry));
        }
        for (r, up) in v.real_server.iter().zip(&alive) {
            if *up {
                cx.files.ipvs.add(table, &dest(v, r, r.weight));
            } else if v.inhibit_on_failure {
                cx.files.ipvs.add(table, &dest(v, r, 0));
            }
        }
        self.watched.push(Watched { table, quorum_up: true, sorry: false, alive });
        v.real_server.len() as u32
    }
    /// A service may begin without its quorum.
    fn first_quorum(&mut self, n: usize, cx: &mut Cx<'_>) {
        let v = &self.config.virtual_server[n];
        if self.sum(n) < u64::from(v.quorum) + u64::from(v.hysteresis) {
            self.lose_quorum(n, cx);
        }
    }
    fn stop(&self, cx: &mut Cx<'_>) {
        cx.note(crate::proto::Note::Lvs(Note::Stopping));
        for n in 0..self.watched.len() {
            cx.files.ipvs.remove_service(self.watched[n].table);
            let v = &self.config.virtual_server[n];
            if v.omega {
                let down = v.real_server.iter().zip(&self.watched[n].alive).filter(|(_, a)| **a);
                for script in down.filter_map(|(r, _)| r.notify_down.clone()).chain(v.quorum_down.clone()) {
                    cx.note(crate::proto::Note::Lvs(Note::Script { script, why: "lvs-runs-omega" }));
                }
            }
        }
        for a in &self.config.addresses {
            if let Some((net, _)) = cx.addresses().iter().find(|(_, c)| c.ip == a.ip).copied() {
                cx.act(Action::RemoveAddress(net, a.ip));
            }
        }
        cx.act(Action::Exit(0));
    }

    // ---- one check ---------------------------------------------------------------------------------------------------

    fn attempt(&mut self, k: usize, cx: &mut Cx<'_>) {
        let Some(c) = self.checkers.get_mut(k) else { return };
        let timer = Timer(k as u16 * 2 + 1);
        let connect = |cx: &mut Cx<'_>| cx.connect(c.schedule.to, Plane::rest, TcpOptions::default());
        match &c.check {
            Check::TCP_CHECK(_) | Check::HTTP_GET(_) => {
                c.doing = Doing::Asks(connect(cx));
                cx.set_timer(timer, c.schedule.timeout);
            }
            Check::MISC_CHECK(m) => {
                let timeout = m.misc_timeout.unwrap_or(c.schedule.delay_loop);
                let probe = match &m.script {
                    Script::Connects => {
                        c.doing = Doing::Asks(connect(cx));
                        cx.set_timer(timer, timeout);
                        return;
                    }
                    Script::Running(p) => Probe::Running(p.clone()),
                    Script::Answers(p) => Probe::Answers(*p),
                };
                c.doing = Doing::Runs;
                cx.exec(probe, m.run_time, timeout, k as u16);
            }
        }
    }
    fn tcp(&mut self, conn: ConnId, news: Tcp<Msg>, cx: &mut Cx<'_>) {
        let Some(k) = self.checkers.iter().position(|c| c.doing == Doing::Asks(conn)) else {
            if news == Tcp::Closed {
                cx.act(Action::Close(conn));
            }
            return;
        };
        match news {
            Tcp::Connected => match &self.checkers[k].check {
                Check::HTTP_GET(h) => {
                    let ask = Http::Request(Method::GET, h.path.as_str().into(), None);
                    cx.act(Action::TcpSend(conn, Msg::Http(ask)));
                    cx.set_timer(Timer(k as u16 * 2 + 1), self.checkers[k].schedule.timeout);
                }
                _ => {
                    cx.act(Action::Close(conn));
                    self.ended(k, None, cx);
                }
            },
            Tcp::Data(Msg::Http(Http::Response(status, _))) => {
                cx.act(Action::Close(conn));
                let good = matches!(&self.checkers[k].check, Check::HTTP_GET(h) if h.status_code == status);
                self.ended(k, (!good).then_some(Failure::Status(status)), cx);
            }
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
            Tcp::Reset => self.ended(k, Some(self.how(k, Failure::Refused)), cx),
            Tcp::Closed => {
                cx.act(Action::Close(conn));
                self.ended(k, Some(Failure::Refused), cx);
            }
            Tcp::TimedOut => {
                let how = Failure::Timeout(self.checkers[k].schedule.timeout);
                self.ended(k, Some(self.how(k, how)), cx);
            }
            Tcp::Unreachable => self.ended(k, Some(self.how(k, Failure::Unreachable)), cx),
        }
    }
    /// A script only says that it failed.
    fn how(&self, k: usize, how: Failure) -> Failure {
        if matches!(self.checkers[k].check, Check::MISC_CHECK(_)) { Failure::Script } else { how }
    }
    fn late(&mut self, k: usize, cx: &mut Cx<'_>) {
        let Some(c) = self.checkers.get(k) else { return };
        let Doing::Asks(conn) = c.doing else { return };
        cx.act(Action::Close(conn));
        let how = match &c.check {
            Check::MISC_CHECK(m) => Failure::ScriptTimeout(m.misc_timeout.unwrap_or(c.schedule.delay_loop)),
            _ => Failure::Timeout(c.schedule.timeout),
        };
        self.ended(k, Some(how), cx);
    }
    fn script_ended(&mut self, k: usize, ok: Option<bool>, cx: &mut Cx<'_>) {
        let Some(c) = self.checkers.get(k).filter(|c| c.doing == Doing::Runs) else { return };
        let timeout = match &c.check {
            Check::MISC_CHECK(m) => m.misc_timeout.unwrap_or(c.schedule.delay_loop),
            _ => c.schedule.timeout,
        };
        let how = match ok {
            Some(true) => None,
            Some(false) => Some(Failure::Script),
            None => Some(Failure::ScriptTimeout(timeout)),
        };
        self.ended(k, how, cx);
    }

    /// A check is over: what it means, and when the next one is.
    fn ended(&mut self, k: usize, failure: Option<Failure>, cx: &mut Cx<'_>) {
        cx.cancel_timer(Timer(k as u16 * 2 + 1));
        let c = &mut self.checkers[k];
        c.doing = Doing::Waits;
        let first = !std::mem::replace(&mut c.has_run, true);
        let plan = c.schedule;
        let counts = c.up || first;
        let Some(how) = failure else {
            c.retries = 0;
            let comes_up = !std::mem::replace(&mut c.up, true);
            cx.set_timer(Timer(k as u16 * 2), plan.delay_loop);
            if comes_up {
                self.server_changed(k, None, 1, cx);
            }
            return;
        };
        if counts && c.retries < plan.retry {
            c.retries += 1;
            // The next attempt is still one of the first check.
            c.has_run &= !first;
            let left = plan.retry - c.retries;
            let up = c.up;
            cx.set_timer(Timer(k as u16 * 2), plan.delay_before_retry);
            if up {
                let (server, check) = (self.names.of(plan.to.ip), self.word(k));
                let again = plan.delay_before_retry;
                cx.note(crate::proto::Note::Lvs(Note::Failing { server, check, how, again, left }));
            }
            return;
        }
        let tries = c.retries + 1;
        c.retries = 0;
        let goes_down = std::mem::replace(&mut c.up, false);
        cx.set_timer(Timer(k as u16 * 2), plan.delay_loop);
        if goes_down {
            self.server_changed(k, Some(how), tries, cx);
        }
    }
    fn word(&self, k: usize) -> &'static str {
        match self.checkers[k].check {
            Check::TCP_CHECK(_) => "TCP_CHECK",
            Check::HTTP_GET(_) => "HTTP_GET",
            Check::MISC_CHECK(_) => "MISC_CHECK",
        }
    }

    // ---- servers and the quorum --------------------------------------------------------------------------------------

    /// A checker changed its mind: the server is live while none of its checkers has failed.
    fn server_changed(&mut self, k: usize, how: Option<Failure>, tries: u32, cx: &mut Cx<'_>) {
        let (n, i) = (self.checkers[k].service, self.checkers[k].server);
        let up = self.checkers.iter().filter(|c| c.service == n && c.server == i).all(|c| c.up);
        if self.watched[n].alive[i] == up {
            return;
        }
        self.watched[n].alive[i] = up;
        let v = &self.config.virtual_server[n];
        let r = &v.real_server[i];
        let pooled = !self.watched[n].sorry;
        let table = self.watched[n].table;
        let (server, check) = (self.names.of(r.address.ip), self.word(k));
        match how {
            None => {
                if pooled {
                    cx.files.ipvs.add(table, &dest(v, r, r.weight));
                }
                let weight = r.weight;
                cx.note(crate::proto::Note::Lvs(Note::Up { server, check, weight, pooled }));
            }
            Some(how) => {
                if v.inhibit_on_failure {
                    cx.files.ipvs.set_weight(table, r.address, 0);
                } else if pooled {
                    cx.files.ipvs.remove(table, r.address);
                }
                let inhibit = v.inhibit_on_failure;
                cx.note(crate::proto::Note::Lvs(Note::Down { server, check, how, tries, inhibit, pooled }));
            }
        }
        let script = if up { r.notify_up.clone() } else { r.notify_down.clone() };
        if let Some(script) = script {
            let why = if up { "lvs-runs-up" } else { "lvs-runs-down" };
            cx.note(crate::proto::Note::Lvs(Note::Script { script, why }));
        }
        self.look_at_quorum(n, cx);
    }
    fn sum(&self, n: usize) -> u64 {
        let v = &self.config.virtual_server[n];
        let live = v.real_server.iter().zip(&self.watched[n].alive).filter(|(_, a)| **a);
        live.map(|(r, _)| u64::from(r.weight)).sum()
    }
    fn look_at_quorum(&mut self, n: usize, cx: &mut Cx<'_>) {
        let v = &self.config.virtual_server[n];
        let (quorum, hysteresis, sum) = (u64::from(v.quorum), u64::from(v.hysteresis), self.sum(n));
        if self.watched[n].quorum_up {
            if sum == 0 || sum + hysteresis < quorum {
                self.lose_quorum(n, cx);
            }
        } else if sum >= quorum + hysteresis {
            self.gain_quorum(n, cx);
        }
    }
    /// The sorry server takes all; the live servers leave the table.
    fn lose_quorum(&mut self, n: usize, cx: &mut Cx<'_>) {
        let sum = self.sum(n);
        let v = &self.config.virtual_server[n];
        let w = &mut self.watched[n];
        w.quorum_up = false;
        if let Some(sorry) = v.sorry_server {
            for (r, alive) in v.real_server.iter().zip(&w.alive) {
                if *alive {
                    cx.files.ipvs.remove(w.table, r.address);
                }
            }
            cx.files.ipvs.add(w.table, &sorry_dest(v, sorry));
            w.sorry = true;
        }
        let sorry = v.sorry_server.map(|s| self.names.of(s.ip));
        let (vip, quorum, hysteresis) = (v.address, v.quorum, v.hysteresis);
        cx.note(crate::proto::Note::Lvs(Note::QuorumLost { vip, quorum, hysteresis, sum, sorry }));
        if let Some(script) = v.quorum_down.clone() {
            cx.note(crate::proto::Note::Lvs(Note::Script { script, why: "lvs-runs-quorum-down" }));
        }
    }
    fn gain_quorum(&mut self, n: usize, cx: &mut Cx<'_>) {
        let sum = self.sum(n);
        let v = &self.config.virtual_server[n];
        let w = &mut self.watched[n];
        w.quorum_up = true;
        if let Some(sorry) = v.sorry_server.filter(|_| w.sorry) {
            cx.files.ipvs.remove(w.table, sorry);
            w.sorry = false;
            for (r, alive) in v.real_server.iter().zip(&w.alive) {
                if *alive {
                    cx.files.ipvs.add(w.table, &dest(v, r, r.weight));
                }
            }
        }
        let sorry = v.sorry_server.map(|s| self.names.of(s.ip));
        let (vip, quorum, hysteresis) = (v.address, v.quorum, v.hysteresis);
        cx.note(crate::proto::Note::Lvs(Note::QuorumGained { vip, quorum, hysteresis, sum, sorry }));
        if let Some(script) = v.quorum_up.clone() {
            cx.note(crate::proto::Note::Lvs(Note::Script { script, why: "lvs-runs-quorum-up" }));
        }
    }
}

/// What a check goes by: its own words, those of the service, the defaults of its kind.
fn plan(v: &VirtualServer, r: &RealServer, check: &Check) -> Plan {
    let (own, retry, pause): (&Schedule, u32, Span) = match check {
        Check::TCP_CHECK(s) => (s, 1, Span::secs(1)),
        Check::HTTP_GET(h) => (&h.schedule, 1, Span::secs(3)),
        Check::MISC_CHECK(m) => (&m.schedule, 0, Span::secs(1)),
    };
    let delay_loop = own.delay_loop.unwrap_or(v.delay_loop);
    Plan {
        to: Endpoint::new(r.address.ip, own.connect_port.unwrap_or(r.address.port)),
        timeout: own.connect_timeout.unwrap_or(v.connect_timeout),
        delay_loop,
        warmup: own.warmup.or(v.warmup).unwrap_or(delay_loop),
        retry: own.retry.or(v.retry).unwrap_or(retry),
        delay_before_retry: own.delay_before_retry.or(v.delay_before_retry).unwrap_or(pause),
        alpha: own.alpha.unwrap_or(v.alpha),
    }
}
fn dest(v: &VirtualServer, r: &RealServer, weight: u32) -> Dest {
    let mut dest = Dest::new(r.address, r.lb_kind.unwrap_or(v.lb_kind), weight);
    (dest.upper, dest.lower) = (r.uthreshold, r.lthreshold);
    dest
}
fn sorry_dest(v: &VirtualServer, address: Endpoint) -> Dest {
    Dest::new(address, v.lb_kind, 1)
}
