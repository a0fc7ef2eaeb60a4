//! `pacemaker-execd`, once called the LRM: it runs agents on its node, one at a time for each resource, repeats monitors, and decides nothing.
//!
//! The interval of a monitor counts from the end of the one before. The result of a repeated monitor is reported when it differs from the last.
//! An agent that outlives its `timeout` is killed.
//!
//! When the controller is gone its monitors are dropped; when the fencer is gone what was under way with fence devices, their monitors too, has failed.

use super::agents::pgsql::Script;
use super::agents::{self, Call, Said, Then};
use super::config::AgentTimes;
use super::msg::{Daemon, Done, Local, Op};
use super::note::Note;
use super::schedulerd::AgentTable;
use super::{Place, tell};
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, NetId, Tcp, TcpOptions, Timer};
use crate::proto::postgres::msg::{Sql, Statement};
use crate::proto::{Cx, Msg, Note as Told, postgres};
use std::collections::VecDeque;
use std::sync::Arc;

/// Timers of a resource: its place times this, plus one of the kinds below, or `EVERY` plus the place of a monitor.
const TIMERS: u16 = 16;
const STEP: u16 = 0;
const TIMEOUT: u16 = 1;
const ARP: u16 = 2;
const EVERY: u16 = 3;
/// `arp_count` and `arp_interval` of IPaddr2.
const ARP_COUNT: u32 = 5;
const ARP_INTERVAL: Span = Span::ms(200);
/// `PCMK_EXEC_DONE`, `PCMK_EXEC_TIMEOUT`, `PCMK_EXEC_NOT_CONNECTED`.
const DONE: i32 = 0;
const TIMED_OUT: i32 = 2;
const NOT_CONNECTED: i32 = 8;

/// An agent at work.
#[derive(Clone, Debug)]
struct Running {
    op: Arc<Op>,
    since: Time,
    pass: u32,
    script: Option<Box<Script>>,
    psql: Option<(ConnId, Statement)>,
}

/// A monitor that is repeated.
#[derive(Clone, Debug)]
struct Monitor {
    op: Arc<Op>,
    last: Option<i32>,
}

/// A resource as the executor knows it.
#[derive(Clone, Debug, Default)]
struct Rsc {
    name: String,
    queue: VecDeque<Arc<Op>>,
    running: Option<Running>,
    monitors: Vec<Option<Monitor>>,
    arps: Option<(NetId, Ip, u32)>,
}

/// The process.
#[derive(Clone, Debug, Default)]
pub struct Execd {
    place: Arc<Place>,
    times: Arc<AgentTable>,
    rscs: Vec<Rsc>,
}

impl Execd {
    /// Before its start.
    pub fn new(place: Arc<Place>, times: Arc<AgentTable>) -> Self {
        Execd { place, times, rscs: Vec::new() }
    }
    /// As it was before its start.
    pub fn reset(&mut self) {
        self.rscs.clear();
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => cx.act(Action::Bind(Daemon::Execd.port())),
            Input::Timer(t) => {
                let (r, kind) = (usize::from(t.0 / TIMERS), t.0 % TIMERS);
                match kind {
                    STEP => self.step(r, None, None, cx),
                    TIMEOUT => self.finish(r, agents::ERROR, TIMED_OUT, cx),
                    ARP => self.arp(r, cx),
                    k => self.repeat(r, usize::from(k - EVERY), cx),
                }
            }
            Input::Exec { tag, ok } => self.step(usize::from(tag), Some(ok == Some(true)), None, cx),
            Input::Tcp(conn, news) => self.psql(conn, news, cx),
            Input::Packet { msg: Msg::Crm(m), .. } => match *m {
                Local::Execute(op) => self.execute(op, cx),
                Local::Cancel { rsc, task, interval } => {
                    self.cancel(&rsc, |o| o.task == task && o.interval == interval, cx)
                }
                Local::Forget { rsc } => {
                    self.cancel(&rsc, |_| true, cx);
                }
                Local::Monitored { device, ok } => {
                    if let Some(r) = self.rscs.iter().position(|r| r.name == device) {
                        self.step(r, Some(ok), None, cx);
                    }
                }
                // Its client is gone: nobody wants its monitors any more (`lrmd_opt_drop_recurring`).
                Local::Gone(Daemon::Controld) => {
                    let names: Vec<String> = self.rscs.iter().map(|r| r.name.clone()).collect();
                    for name in names {
                        self.cancel(&name, |o| !o.interval.is_zero(), cx);
                    }
                }
                Local::Gone(Daemon::Fenced) => self.fencer_gone(cx),
                Local::Cib { re, cib } if self.waits_for_cib(re) => {
                    self.step(re as usize, None, Some(Said::Cib(cib.cib)), cx);
                }
                Local::Quit => cx.act(Action::Exit(0)),
                _ => {}
            },
            _ => {}
        }
    }
    /// Whatever was going on with fence devices has failed, and their monitors too: a new fencer may know nothing of them.
    fn fencer_gone(&mut self, cx: &mut Cx<'_>) {
        for r in 0..self.rscs.len() {
            let is = |o: &Op| o.agent.0.as_deref() == Some("stonith");
            if self.rscs[r].running.as_ref().is_some_and(|run| is(&run.op)) {
                self.finish(r, agents::ERROR, NOT_CONNECTED, cx);
            }
            let waits: Vec<Arc<Op>> = self.rscs[r]
                .monitors
                .iter()
                .flatten()
                .filter(|m| is(&m.op) && m.last != Some(agents::ERROR))
                .map(|m| m.op.clone())
                .collect();
            for op in waits {
                cx.set_timer(Execd::timer(r, TIMEOUT), op.timeout);
                self.rscs[r].running = Some(Running { op, since: cx.now, pass: 0, psql: None, script: None });
                self.finish(r, agents::ERROR, NOT_CONNECTED, cx);
            }
        }
    }
    fn find(&mut self, name: &str) -> usize {
        self.rscs.iter().position(|r| r.name == name).unwrap_or_else(|| {
            self.rscs.push(Rsc { name: name.to_owned(), ..Rsc::default() });
            self.rscs.len() - 1
        })
    }
    fn timer(r: usize, kind: u16) -> Timer {
        Timer(u16::try_from(r).unwrap_or(u16::MAX / TIMERS - 1) * TIMERS + kind)
    }
    fn execute(&mut self, op: Arc<Op>, cx: &mut Cx<'_>) {
        let r = self.find(&op.rsc);
        if !matches!(op.task.as_str(), "monitor" | "notify") {
            let name = op.rsc.clone();
            self.cancel(&name, |_| true, cx);
        }
        if !op.interval.is_zero() {
            let monitors = &mut self.rscs[r].monitors;
            let new = Some(Monitor { op: op.clone(), last: None });
            let same = monitors.iter().position(|m| {
                m.as_ref().is_some_and(|m| m.op.task == op.task && m.op.interval == op.interval)
            });
            match same.or_else(|| monitors.iter().position(Option::is_none)) {
                Some(at) => monitors[at] = new,
                None if monitors.len() < usize::from(TIMERS - EVERY) => monitors.push(new),
                None => return,
            }
        }
        self.rscs[r].queue.push_back(op);
        self.next(r, cx);
    }
    fn cancel(&mut self, name: &str, which: impl Fn(&Op) -> bool, cx: &mut Cx<'_>) {
        let r = self.find(name);
        let rsc = &mut self.rscs[r];
        rsc.queue.retain(|o| o.interval.is_zero() || !which(o));
        for (at, m) in rsc.monitors.iter_mut().enumerate() {
            if m.as_ref().is_some_and(|m| which(&m.op)) {
                *m = None;
                cx.cancel_timer(Execd::timer(r, EVERY + at as u16));
            }
        }
        // One at work is left to its end; its result is nobody's.
        if let Some(run) = rsc.running.as_mut().filter(|x| !x.op.interval.is_zero() && which(&x.op)) {
            let mut op = (*run.op).clone();
            op.key.1 = i64::MIN;
            run.op = Arc::new(op);
        }
    }
    fn repeat(&mut self, r: usize, at: usize, cx: &mut Cx<'_>) {
        let Some(m) = self.rscs.get(r).and_then(|x| x.monitors.get(at)).and_then(Option::as_ref) else {
            return;
        };
        let op = m.op.clone();
        self.rscs[r].queue.push_back(op);
        self.next(r, cx);
    }
    fn next(&mut self, r: usize, cx: &mut Cx<'_>) {
        let rsc = &mut self.rscs[r];
        if rsc.running.is_some() {
            return;
        }
        let Some(op) = rsc.queue.pop_front() else { return };
        cx.set_timer(Execd::timer(r, TIMEOUT), op.timeout);
        let script = Script::of(&op, &self.place).map(Box::new);
        rsc.running = Some(Running { op, since: cx.now, pass: 0, script, psql: None });
        self.step(r, None, None, cx);
    }
    fn step(&mut self, r: usize, seen: Option<bool>, said: Option<Said>, cx: &mut Cx<'_>) {
        let usual = AgentTimes::default();
        let Some(run) = self.rscs.get_mut(r).and_then(|x| x.running.as_mut()) else { return };
        let op = run.op.clone();
        let call = Call {
            op: &op,
            pass: run.pass,
            seen,
            said,
            times: self.times.get(&op.rsc).unwrap_or(&usual),
            place: &self.place,
        };
        run.pass += 1;
        let then = match &mut run.script {
            Some(script) => script.step(&call, cx),
            None => agents::of(&op).step(&call, cx),
        };
        match then {
            Then::Exit(rc) => self.finish(r, rc, DONE, cx),
            Then::After(span) => cx.set_timer(Execd::timer(r, STEP), span),
            Then::Look(probe) => cx.exec(probe, SpanRange::exactly(Span::ZERO), op.timeout, r as u16),
            Then::AskDevice => {
                tell(&self.place, Daemon::Fenced, Local::Monitor { device: op.rsc.clone() }, cx)
            }
            Then::ReadCib => {
                let re = u32::try_from(r).unwrap_or(u32::MAX);
                tell(&self.place, Daemon::Based, Local::Query { from: Daemon::Execd, re }, cx);
            }
            Then::Psql(statement) => {
                let to = Endpoint::new(self.place.ip, postgres::PORT);
                let conn = cx.connect(to, Plane::client, TcpOptions::default());
                if let Some(run) = self.rscs.get_mut(r).and_then(|x| x.running.as_mut()) {
                    run.psql = Some((conn, statement));
                }
            }
            Then::Hang => {}
        }
    }
    /// Whether the agent of a resource has asked for the CIB: one that was killed meanwhile has not.
    fn waits_for_cib(&self, re: u32) -> bool {
        let run = self.rscs.get(re as usize).and_then(|x| x.running.as_ref());
        run.and_then(|x| x.script.as_ref()).is_some_and(|s| s.waits_for_cib())
    }
    /// Something happens on the connection of a `psql`. It has no timeout of its own.
    fn psql(&mut self, conn: ConnId, news: Tcp<Msg>, cx: &mut Cx<'_>) {
        let is =
            |x: &Rsc| x.running.as_ref().and_then(|run| run.psql.as_ref()).is_some_and(|psql| psql.0 == conn);
        let Some(r) = self.rscs.iter().position(is) else { return };
        let answer = match news {
            Tcp::Connected => {
                return cx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: true })));
            }
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => {
                let run = self.rscs[r].running.as_ref();
                if let Some((_, statement)) = run.and_then(|run| run.psql.clone()) {
                    cx.act(Action::TcpSend(conn, Msg::Sql(Sql::Query(1, statement))));
                }
                return;
            }
            Tcp::Data(Msg::Sql(Sql::Done(_, answer))) => Some(answer),
            Tcp::Data(Msg::Sql(Sql::Error(..) | Sql::Fatal(_))) => None,
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => None,
            Tcp::Data(_) | Tcp::Accepted { .. } => return,
        };
        cx.act(Action::Close(conn));
        if let Some(run) = self.rscs[r].running.as_mut() {
            run.psql = None;
        }
        self.step(r, None, Some(Said::Sql(answer)), cx);
    }
    fn finish(&mut self, r: usize, rc: i32, status: i32, cx: &mut Cx<'_>) {
        let Some(run) = self.rscs.get_mut(r).and_then(|x| x.running.take()) else { return };
        cx.cancel_timer(Execd::timer(r, TIMEOUT));
        cx.cancel_timer(Execd::timer(r, STEP));
        if let Some((conn, _)) = run.psql {
            cx.act(Action::Close(conn));
        }
        let op = run.op;
        let took = Span::ms(cx.now.since(run.since).as_ms());
        if op.task == "start" && rc == agents::OK && op.agent.2.as_deref() == Some("IPaddr2") {
            let call = Call {
                op: &op,
                pass: 0,
                seen: None,
                said: None,
                times: &AgentTimes::default(),
                place: &self.place,
            };
            if let Some((net, cidr)) = agents::Address::of(&call) {
                self.rscs[r].arps = Some((net, cidr.ip, ARP_COUNT - 1));
                cx.set_timer(Execd::timer(r, ARP), ARP_INTERVAL);
            }
        }
        self.tell(&op, rc, status, took, cx);
        let mut report = op.key.1 != i64::MIN;
        if !op.interval.is_zero() {
            let found = self.rscs[r].monitors.iter_mut().enumerate().find_map(|(at, m)| {
                m.as_mut().filter(|m| m.op.task == op.task && m.op.interval == op.interval).map(|m| (at, m))
            });
            match found {
                Some((at, m)) => {
                    report &= m.last != Some(rc);
                    m.last = Some(rc);
                    cx.set_timer(Execd::timer(r, EVERY + at as u16), op.interval);
                }
                None => report = false,
            }
        }
        if report {
            tell(&self.place, Daemon::Controld, Local::Executed(Done { op, rc, status, took }), cx);
        }
        self.next(r, cx);
    }
    /// The facts that an operation makes.
    fn tell(&self, op: &Arc<Op>, rc: i32, status: i32, took: Span, cx: &mut Cx<'_>) {
        let ok = status == DONE && rc == agents::OK;
        let rsc: Arc<str> = op.rsc.as_str().into();
        let note = match op.task.as_str() {
            "start" if ok => {
                Note::Started { rsc, took, fence_device: op.agent.0.as_deref() == Some("stonith") }
            }
            "stop" if ok => Note::Stopped { rsc, took },
            "promote" if ok => Note::Promoted { rsc, took },
            "demote" if ok => Note::Demoted { rsc, took },
            "migrate_to" | "migrate_from" | "notify" | "reload-agent" | "meta-data" if ok => return,
            "monitor" if !op.interval.is_zero() && status == DONE && rc == op.expected => return,
            "monitor" if op.interval.is_zero() && status == DONE => return,
            _ => Note::OperationFailed {
                rsc,
                task: op.task.as_str().into(),
                interval: op.interval,
                rc,
                timed_out: status == TIMED_OUT,
            },
        };
        cx.note(Told::Crm(Box::new(note)));
    }
    fn arp(&mut self, r: usize, cx: &mut Cx<'_>) {
        let Some((net, ip, left)) = self.rscs.get_mut(r).and_then(|x| x.arps.take()) else { return };
        if left == 0 || !cx.addresses().iter().any(|(_, a)| a.ip == ip) {
            return;
        }
        cx.act(Action::GratuitousArp(net, ip));
        if left > 1 {
            self.rscs[r].arps = Some((net, ip, left - 1));
            cx.set_timer(Execd::timer(r, ARP), ARP_INTERVAL);
        }
    }
}
