//! Resource agents: programs that start, stop and look after a resource (OCF Resource Agent API 1.1).
//!
//! An agent is asked again and again, [`Agent::step`] by step, until it says that it has ended; in between it sleeps, or waits for something it
//! has asked the host. What it knows between two calls is in files ([`RunFile`]) and in the kernel, as with a shell script.
//!
//! Exit codes: 0 success, 1 generic error, 5 not installed, 6 not configured, 7 not running, 8 running and promoted.
//!
//! An agent that is a long script keeps its place in a value of its own ([`pgsql::Script`]).

pub mod pgsql;

use super::config::AgentTimes;
use super::msg::{Daemon, Local, Op};
use super::note::Note;
use super::{Place, draw, tell};
use crate::engine::{Span, SpanRange};
use crate::net::addr::{Cidr, Ip};
use crate::node::process::{Action, NetId, Pid, Probe, Signal};
use crate::proto::pacemaker::cib::Cib;
use crate::proto::postgres::msg::{Answer, Statement};
use crate::proto::{Cx, Note as Told};
use std::sync::Arc;

/// `OCF_SUCCESS`.
pub const OK: i32 = 0;
/// `OCF_ERR_GENERIC`.
pub const ERROR: i32 = 1;
/// `OCF_ERR_INSTALLED`.
pub const NOT_INSTALLED: i32 = 5;
/// `OCF_ERR_CONFIGURED`.
pub const NOT_CONFIGURED: i32 = 6;
/// `OCF_NOT_RUNNING`.
pub const NOT_RUNNING: i32 = 7;
/// `OCF_RUNNING_PROMOTED`.
pub const PROMOTED: i32 = 8;

/// What agents leave of a resource on a host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunFile {
    /// It runs.
    pub running: bool,
    /// It is promoted.
    pub promoted: bool,
}

/// What is wrong with an agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Broken {
    /// The resource.
    pub resource: String,
    /// The operation.
    pub task: String,
    /// It hangs until it is killed; otherwise it ends with exit code 1.
    pub hangs: bool,
}

/// What an agent does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Then {
    /// It has ended, with this exit code.
    Exit(i32),
    /// It goes on after this.
    After(Span),
    /// It looks at something of the host, and goes on with the answer.
    Look(Probe),
    /// It lets the fencer ask the device, and goes on with the answer.
    AskDevice,
    /// It reads the CIB (`crm_mon`, `crm_attribute -G`), and goes on with it.
    ReadCib,
    /// It asks the database server of the host (`psql`), and goes on with the answer.
    Psql(Statement),
    /// It never ends by itself.
    Hang,
}

/// What an agent has been told.
#[derive(Clone, Debug)]
pub enum Said {
    /// The answer to [`Then::ReadCib`].
    Cib(Arc<Cib>),
    /// The answer to [`Then::Psql`]; nothing: psql has failed (exit code 2: no connection, or it broke).
    Sql(Option<Answer>),
}

/// A call of an agent.
#[derive(Debug)]
pub struct Call<'a> {
    /// What it is to do.
    pub op: &'a Op,
    /// How often it has been asked before in this call.
    pub pass: u32,
    /// The answer to [`Then::Look`] or [`Then::AskDevice`].
    pub seen: Option<bool>,
    /// The answer to [`Then::ReadCib`] or [`Then::Psql`].
    pub said: Option<Said>,
    /// How long its actions take.
    pub times: &'a AgentTimes,
    /// The host.
    pub place: &'a Place,
}

impl Call<'_> {
    /// A parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.op.params.get(name).map(String::as_str)
    }
    /// Draws how long the action takes.
    pub fn takes(&self, cx: &mut Cx<'_>) -> Span {
        let usual = SpanRange::new(Span::ms(20), Span::ms(60));
        let range = match self.op.task.as_str() {
            "start" => self.times.start.unwrap_or(usual),
            "stop" => self.times.stop.unwrap_or(usual),
            "promote" => self.times.promote.unwrap_or(usual),
            "demote" => self.times.demote.unwrap_or(usual),
            _ => self.times.monitor.unwrap_or(SpanRange::new(Span::ms(15), Span::ms(40))),
        };
        draw(cx, range)
    }
    /// `crm_attribute --promotion`: the node's fitness for promotion; `None` withdraws it.
    pub fn promotion_score(&self, score: Option<i32>, cx: &mut Cx<'_>) {
        let (node, name) = (self.place.name.clone(), format!("master-{}", self.op.rsc));
        tell(
            self.place,
            Daemon::Attrd,
            Local::Attribute { node, name, value: score.map(|s| s.to_string()) },
            cx,
        );
    }
}

/// An agent.
pub trait Agent {
    /// Goes on with a call.
    fn step(&self, call: &Call<'_>, cx: &mut Cx<'_>) -> Then;
}

/// The agent of an operation.
pub fn of(op: &Op) -> Box<dyn Agent> {
    let (class, _, kind) = (op.agent.0.as_deref(), &op.agent.1, op.agent.2.as_deref());
    match (class, kind) {
        (Some("stonith"), _) => Box::new(FenceAgent),
        (Some("systemd" | "service" | "lsb"), Some(_)) => Box::new(Service),
        (_, Some("IPaddr2" | "IPaddr")) => Box::new(Address),
        (_, Some("Stateful")) => Box::new(Stateful),
        _ => Box::new(Dummy),
    }
}

/// The step that every agent here has in common: first it takes its time, and it may be broken.
fn first(call: &Call<'_>, cx: &mut Cx<'_>) -> Option<Then> {
    let op = call.op;
    let broken = cx.files.crm.broken.iter().find(|b| b.resource == op.rsc && b.task == op.task).cloned();
    match (broken, call.pass) {
        (Some(b), 0) if b.hangs => Some(Then::Hang),
        (_, 0) => Some(Then::After(call.takes(cx))),
        (Some(_), _) => Some(Then::Exit(ERROR)),
        _ => None,
    }
}

/// `ocf:pacemaker:Dummy`: a file.
#[derive(Clone, Copy, Debug)]
pub struct Dummy;
impl Agent for Dummy {
    fn step(&self, call: &Call<'_>, cx: &mut Cx<'_>) -> Then {
        if let Some(then) = first(call, cx) {
            return then;
        }
        let file = cx.files.crm.run.entry(call.op.rsc.clone()).or_default();
        match call.op.task.as_str() {
            "start" | "migrate_from" => file.running = true,
            "stop" | "migrate_to" => *file = RunFile::default(),
            "monitor" => return Then::Exit(if file.running { OK } else { NOT_RUNNING }),
            _ => {}
        }
        Then::Exit(OK)
    }
}

/// `ocf:pacemaker:Stateful`: a file with two roles, and a promotion score of 5, or 10 where it is promoted.
#[derive(Clone, Copy, Debug)]
pub struct Stateful;
impl Agent for Stateful {
    fn step(&self, call: &Call<'_>, cx: &mut Cx<'_>) -> Then {
        if let Some(then) = first(call, cx) {
            return then;
        }
        let file = cx.files.crm.run.entry(call.op.rsc.clone()).or_default();
        let score = match call.op.task.as_str() {
            "start" | "demote" => {
                *file = RunFile { running: true, promoted: false };
                Some(5)
            }
            "promote" => {
                *file = RunFile { running: true, promoted: true };
                Some(10)
            }
            "stop" => {
                *file = RunFile::default();
                None
            }
            "monitor" => {
                let (rc, score) = match (file.running, file.promoted) {
                    (true, true) => (PROMOTED, 10),
                    (true, false) => (OK, 5),
                    _ => return Then::Exit(NOT_RUNNING),
                };
                call.promotion_score(Some(score), cx);
                return Then::Exit(rc);
            }
            _ => return Then::Exit(OK),
        };
        call.promotion_score(score, cx);
        Then::Exit(OK)
    }
}

/// `ocf:heartbeat:IPaddr2`: an address of the kernel. `ip`, `cidr_netmask`, `nic` (the name of a network).
#[derive(Clone, Copy, Debug)]
pub struct Address;
impl Address {
    /// The network and the address that the parameters mean.
    pub fn of(call: &Call<'_>) -> Option<(NetId, Cidr)> {
        let ip: Ip = call.param("ip")?.parse().ok()?;
        let (net, own) = call.place.nets.iter().find(|(_, n)| n.contains(ip)).or(call.place.nets.first())?;
        let prefix = call.param("cidr_netmask").and_then(|m| m.parse().ok()).unwrap_or(own.prefix);
        Some((*net, Cidr { ip, prefix }))
    }
}
impl Agent for Address {
    fn step(&self, call: &Call<'_>, cx: &mut Cx<'_>) -> Then {
        if let Some(then) = first(call, cx) {
            return then;
        }
        let Some((net, cidr)) = Address::of(call) else { return Then::Exit(NOT_INSTALLED) };
        let there = cx.addresses().iter().any(|(_, a)| a.ip == cidr.ip);
        let rsc: Arc<str> = call.op.rsc.as_str().into();
        match call.op.task.as_str() {
            "start" => {
                cx.act(Action::AddAddress(net, cidr));
                cx.act(Action::GratuitousArp(net, cidr.ip));
                if !there {
                    cx.note(Told::Crm(Box::new(Note::VipUp { ip: cidr.ip, rsc })));
                }
            }
            "stop" => {
                cx.act(Action::RemoveAddress(net, cidr.ip));
                if there {
                    cx.note(Told::Crm(Box::new(Note::VipDown { ip: cidr.ip, rsc })));
                }
            }
            "monitor" => {
                return Then::Exit(if there { OK } else { NOT_RUNNING });
            }
            _ => {}
        }
        Then::Exit(OK)
    }
}

/// `systemd:NAME`: a process of the host.
#[derive(Clone, Copy, Debug)]
pub struct Service;
/// How often `systemctl stop` looks whether the process is gone.
const POLL: Span = Span::ms(50);
impl Agent for Service {
    fn step(&self, call: &Call<'_>, cx: &mut Cx<'_>) -> Then {
        if let Some(then) = first(call, cx) {
            return then;
        }
        let name = call.op.agent.2.clone().unwrap_or_default();
        let Some(pid): Option<Pid> = call.place.services.get(&name).copied() else {
            return Then::Exit(NOT_INSTALLED);
        };
        match (call.op.task.as_str(), call.seen) {
            ("start", None) => {
                cx.act(Action::Spawn(pid));
                Then::Look(Probe::Running(name))
            }
            ("stop", None) => {
                if call.pass == 1 {
                    cx.act(Action::Signal(pid, Signal::Term));
                }
                Then::Look(Probe::Running(name))
            }
            ("stop", Some(true)) => Then::After(POLL),
            ("stop", Some(false)) => Then::Exit(OK),
            ("start", Some(true)) | ("monitor", Some(true)) => Then::Exit(OK),
            ("start", Some(false)) => Then::Exit(ERROR),
            ("monitor", Some(false)) => Then::Exit(NOT_RUNNING),
            ("monitor", None) => Then::Look(Probe::Running(name)),
            _ => Then::Exit(OK),
        }
    }
}

/// `stonith:...`: the "resource" of a fence device is that the node watches it.
#[derive(Clone, Copy, Debug)]
pub struct FenceAgent;
impl Agent for FenceAgent {
    fn step(&self, call: &Call<'_>, cx: &mut Cx<'_>) -> Then {
        if let Some(then) = first(call, cx) {
            return then;
        }
        let running = cx.files.crm.run.get(&call.op.rsc).is_some_and(|f| f.running);
        match (call.op.task.as_str(), call.seen) {
            ("monitor", _) if call.op.interval.is_zero() => {
                Then::Exit(if running { OK } else { NOT_RUNNING })
            }
            ("start" | "monitor", None) => Then::AskDevice,
            ("start" | "monitor", Some(ok)) => {
                cx.files.crm.run.entry(call.op.rsc.clone()).or_default().running = ok;
                Then::Exit(if ok { OK } else { ERROR })
            }
            ("stop", _) => {
                cx.files.crm.run.remove(&call.op.rsc);
                Then::Exit(OK)
            }
            _ => Then::Exit(OK),
        }
    }
}
