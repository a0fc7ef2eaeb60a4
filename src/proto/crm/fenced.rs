//! `pacemaker-fenced`: makes sure that a node is dead, with the devices that the CIB has.
//!
//! Who is asked first owns the operation. It asks all fencers which of their devices can fence the node, waits for the answers of all that are in
//! the group, and lets one after the other be run: on a peer that watches the device ("verified") and is not the node itself, if there is one. The
//! runner waits the delay first: what was asked for (`priority-fencing-delay`) and, for the first device, `pcmk_delay_base` and a draw up to
//! `pcmk_delay_max`: whole seconds, the maximum itself only since 3.0. The owner tells the result to all.
//!
//! A topology: level after level; a level has succeeded when all its devices have. A reboot with several devices in a level is off with all, then on
//! with all, and a failing on is no failure. Without a device, and with `stonith-watchdog-timeout`, the node is taken for dead after that time.
//!
//! **Not modelled:** unfencing, `pcmk_host_check` (a device without a host list or map can fence every node), device attributes by rules, location
//! constraints of devices, `pcmk_ACTION_retries` and `pcmk_action_limit`, a fencer's wait for devices that are registered later.

use super::cib::property_of;
use super::msg::{Candidate, Daemon, FenceError, Fencing, Local, Update, Versioned, Wire};
use super::note::Note;
use super::{NodeId, Place, tell};
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::node::process::{Action, Input, Timer};
use crate::proto::corosync::api::{Client, Event, Group, News};
use crate::proto::fence::agent::{self, Call};
use crate::proto::fence::msg::Command;
use crate::proto::pacemaker::cpg::Payload;
use crate::proto::pacemaker::time::interval;
use crate::proto::pacemaker::xml::Element;
use crate::proto::{Cx, Msg, Note as Told};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The process group.
pub const GROUP: Group = Group("stonith-ng");
/// `stonith-timeout` of an operation that states none.
const TIMEOUT: Span = Span::secs(60);
/// Timers: two of every operation of its own, then one of every job that it runs.
const OPERATIONS: u16 = 64;

/// A device of the CIB.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Device {
    id: String,
    params: BTreeMap<String, String>,
}
impl Device {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }
    /// The port of a node, if the device can fence it.
    fn port(&self, node: &str) -> Option<String> {
        let split = |c: char| c == ';' || c == ',' || c.is_whitespace();
        if let Some(map) = self.param("pcmk_host_map") {
            let found =
                map.split(split).filter_map(|p| p.split_once([':', '='])).find(|(n, _)| n.trim() == node);
            if let Some((_, port)) = found {
                return Some(port.trim().to_owned());
            }
            self.param("pcmk_host_list")?;
        }
        match self.param("pcmk_host_list") {
            Some(list) if !list.split(split).any(|n| n == node) => None,
            _ => Some(self.param("plug").or(self.param("port")).unwrap_or(node).to_owned()),
        }
    }
    /// Some port of it, to ask whether it is there.
    fn any_port(&self) -> Option<String> {
        let list = self.param("pcmk_host_list").or(self.param("pcmk_host_map"))?;
        let first = list.split([';', ',', ' ']).find(|n| !n.is_empty())?;
        self.port(first.split([':', '=']).next().unwrap_or(first))
    }
    /// `pcmk_delay_base`, which may differ by node (`a:5s;b:0s`).
    fn delay_base(&self, node: &str) -> Span {
        let Some(text) = self.param("pcmk_delay_base") else { return Span::ZERO };
        if !text.contains(':') {
            return Span::ms(interval(text));
        }
        let parts = text.split([';', ',']).filter_map(|p| p.split_once(':'));
        parts.into_iter().find(|(n, _)| n.trim() == node).map_or(Span::ZERO, |(_, d)| Span::ms(interval(d)))
    }
    fn delay_max(&self) -> Span {
        self.param("pcmk_delay_max").map_or(Span::ZERO, |t| Span::ms(interval(t)))
    }
}

/// What an operation waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Phase {
    /// The answers of these peers.
    Query(BTreeSet<NodeId>),
    /// A device that a peer runs.
    Device,
    /// The watchdog of the node.
    Watchdog,
}

/// A fencing that this fencer owns.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Operation {
    id: u32,
    slot: u16,
    fencing: Fencing,
    phase: Phase,
    answers: BTreeMap<NodeId, Vec<Candidate>>,
    /// What is left to run: the level, the device, the action.
    todo: Vec<(u8, String, &'static str)>,
    first: bool,
}

/// A device that this fencer runs for an owner.
#[derive(Clone, Debug)]
struct Job {
    timer: u16,
    owner: NodeId,
    id: u32,
    device: String,
    target: Arc<str>,
    action: String,
    /// It waits its delay.
    waits: bool,
    call: Option<Call>,
    /// It watches its own device.
    own: bool,
}

/// The process.
#[derive(Clone, Debug, Default)]
pub struct Fenced {
    place: Arc<Place>,
    corosync: Client,
    members: BTreeSet<NodeId>,
    cib: Option<Versioned>,
    devices: Vec<Device>,
    operations: Vec<Operation>,
    jobs: Vec<Job>,
    next: u32,
    jobs_started: u16,
    queries: u32,
}

impl Fenced {
    /// Before its start.
    pub fn new(place: Arc<Place>) -> Self {
        Fenced { place, ..Fenced::default() }
    }
    /// As it was before its start.
    pub fn reset(&mut self) {
        *self = Fenced::new(self.place.clone());
    }
    /// The nodes that it is about to have fenced.
    pub fn pending(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().map(|o| &*o.fencing.target)
    }
    /// Its devices, as the CIB has them.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(|d| d.id.as_str())
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match self.corosync.on(&input, cx) {
            Some(News::Connected(_)) => return self.corosync.join(GROUP, cx),
            Some(News::Lost) => return cx.act(Action::Exit(102)),
            Some(News::Event(Event::Deliver { from, payload: Payload::Crm(wire), .. })) => {
                return self.hear(from, &wire, cx);
            }
            Some(News::Event(Event::Confchg(change))) => {
                self.members = change.members.iter().copied().collect();
                return self.peers_left(cx);
            }
            Some(News::Event(_)) => return,
            None => {}
        }
        if self.jobs_on(&input, cx) {
            return;
        }
        match input {
            Input::Start => {
                cx.act(Action::Bind(Daemon::Fenced.port()));
                cx.act(Action::Bind(agent::PORT));
                self.corosync.connect(cx);
                self.query(cx);
            }
            Input::Timer(Timer(t)) if t < 2 * OPERATIONS => self.timer(t, cx),
            Input::Packet { msg: Msg::Crm(m), .. } | Input::Call(Msg::Crm(m)) => match *m {
                Local::Cib { cib, .. } => self.read(cib),
                Local::Changed(updates)
                    if updates.iter().any(|u| matches!(u, Update::Config(_) | Update::Replace(_))) =>
                {
                    self.query(cx);
                }
                Local::Gone(Daemon::Based) => cx.act(Action::Exit(102)),
                Local::Fence(fencing) => self.begin(fencing, cx),
                Local::Operator(super::config::Operator::Fence { node }) => {
                    let timeout = self.timeout();
                    self.begin(
                        Fencing {
                            target: node.as_str().into(),
                            action: "reboot".into(),
                            delay: Span::ZERO,
                            timeout,
                        },
                        cx,
                    );
                }
                Local::Monitor { device } => self.monitor(device, cx),
                Local::Quit => cx.act(Action::Exit(0)),
                _ => {}
            },
            _ => {}
        }
    }
    fn query(&mut self, cx: &mut Cx<'_>) {
        self.queries += 1;
        tell(&self.place, Daemon::Based, Local::Query { from: Daemon::Fenced, re: self.queries }, cx);
    }
    fn timeout(&self) -> Span {
        let root = self.cib.as_ref().map(|c| &c.cib.root);
        root.and_then(|r| property_of(r, "stonith-timeout")).map_or(TIMEOUT, |t| Span::ms(interval(t)))
    }
    fn read(&mut self, cib: Versioned) {
        fn walk(e: &Element, into: &mut Vec<Device>) {
            if e.name == "primitive" && e.get("class") == Some("stonith") {
                let pairs = |set: &str| -> BTreeMap<String, String> {
                    let all = e.all(set).flat_map(|s| s.all("nvpair"));
                    all.filter_map(|p| Some((p.get("name")?.to_owned(), p.get("value")?.to_owned())))
                        .collect()
                };
                if pairs("meta_attributes")
                    .get("target-role")
                    .is_none_or(|r| !r.eq_ignore_ascii_case("stopped"))
                {
                    into.push(Device { id: e.id().to_owned(), params: pairs("instance_attributes") });
                }
            }
            e.children.iter().for_each(|c| walk(c, into));
        }
        self.devices.clear();
        if let Some(resources) = cib.cib.root.find("resources") {
            walk(resources, &mut self.devices);
        }
        self.cib = Some(cib);
    }
    /// The levels of a device for a node: 0 without a topology for the node.
    fn levels(&self, node: &str, device: &str) -> Vec<u8> {
        let Some(cib) = &self.cib else { return Vec::new() };
        let topology = cib.cib.root.find("fencing-topology");
        let levels: Vec<&Element> = topology
            .iter()
            .flat_map(|t| t.all("fencing-level"))
            .filter(|l| l.get("target") == Some(node))
            .collect();
        if levels.is_empty() {
            return vec![0];
        }
        let has = |l: &&&Element| l.get("devices").is_some_and(|d| d.split(',').any(|x| x.trim() == device));
        levels.iter().filter(has).filter_map(|l| l.get("index").and_then(|i| i.parse().ok())).collect()
    }
    fn watchdog_timeout(&self) -> Option<Span> {
        let text = property_of(&self.cib.as_ref()?.cib.root, "stonith-watchdog-timeout")?;
        if text.trim().starts_with('-') {
            // Twice what the own host's `sbd` was told.
            return self.place.watchdog.map(|w| w.times(2));
        }
        Some(Span::ms(interval(text))).filter(|s| !s.is_zero())
    }

    // ---- the owner -------------------------------------------------------------------------------------------------

    fn begin(&mut self, fencing: Fencing, cx: &mut Cx<'_>) {
        if self.operations.iter().any(|o| o.fencing.target == fencing.target) {
            return;
        }
        let Some(slot) = (0..OPERATIONS).find(|s| self.operations.iter().all(|o| o.slot != *s)) else {
            return;
        };
        self.next += 1;
        let id = self.next;
        let timeout = fencing.timeout + fencing.delay;
        cx.set_timer(Timer(2 * slot), timeout);
        let ask = Wire::WhoCan { id, target: fencing.target.clone(), action: fencing.action.clone() };
        let peers = self.members.clone();
        self.operations.push(Operation {
            id,
            slot,
            fencing,
            phase: Phase::Query(peers),
            answers: BTreeMap::new(),
            todo: Vec::new(),
            first: true,
        });
        self.say(ask, cx);
    }
    fn say(&self, wire: Wire, cx: &mut Cx<'_>) {
        self.corosync.mcast(GROUP, Payload::Crm(Arc::new(wire)), cx);
    }
    fn peers_left(&mut self, cx: &mut Cx<'_>) {
        let members = self.members.clone();
        let mut ready = Vec::new();
        for o in &mut self.operations {
            if let Phase::Query(left) = &mut o.phase {
                left.retain(|n| members.contains(n));
                if left.is_empty() {
                    ready.push(o.id);
                }
            }
        }
        for id in ready {
            self.choose(id, cx);
        }
    }
    /// All answers are in: what is to be run, in which order.
    fn choose(&mut self, id: u32, cx: &mut Cx<'_>) {
        let watchdog = self.watchdog_timeout();
        let Some(o) = self.operations.iter_mut().find(|o| o.id == id) else { return };
        let mut levels: BTreeMap<u8, Vec<String>> = BTreeMap::new();
        let mut verified = BTreeSet::new();
        for c in o.answers.values().flatten() {
            let list = levels.entry(c.level).or_default();
            if !list.contains(&c.device) {
                list.push(c.device.clone());
            }
            if c.verified {
                verified.insert(c.device.clone());
            }
        }
        if levels.is_empty() {
            match watchdog {
                Some(span) => {
                    o.phase = Phase::Watchdog;
                    cx.set_timer(Timer(2 * o.slot + 1), span);
                    // The whole operation lasts at least that long.
                    cx.set_timer(Timer(2 * o.slot), span + o.fencing.timeout);
                    let note = Note::WatchdogAwaited { target: o.fencing.target.clone(), span };
                    cx.note(Told::Crm(Box::new(note)));
                }
                None => self.end(id, Err(FenceError::NoDevice), cx),
            }
            return;
        }
        for (level, mut devices) in levels {
            devices.sort_by_key(|d| !verified.contains(d));
            let both = level > 0 && devices.len() > 1 && o.fencing.action == "reboot";
            let action = match (both, o.fencing.action.as_str()) {
                (true, _) | (_, "off") => "off",
                (_, "on") => "on",
                _ => "reboot",
            };
            o.todo.extend(devices.iter().map(|d| (level, d.clone(), action)));
            if both {
                o.todo.extend(devices.iter().map(|d| (level, d.clone(), "on")));
            }
        }
        self.run_next(id, cx);
    }
    fn run_next(&mut self, id: u32, cx: &mut Cx<'_>) {
        let Some(o) = self.operations.iter_mut().find(|o| o.id == id) else { return };
        let Some((level, device, action)) = o.todo.first().cloned() else {
            return self.end(id, Err(FenceError::Failed), cx);
        };
        o.phase = Phase::Device;
        let target = o.fencing.target.clone();
        let place = self.place.clone();
        let fits = |(n, list): (&NodeId, &Vec<Candidate>)| {
            let c = list.iter().find(|c| c.device == device && c.level == level)?;
            let itself = place.name_of(*n) == target;
            Some((itself, !c.verified, *n != place.me, *n, c.delay_base, c.delay_max))
        };
        let Some((.., peer, base, max)) = o.answers.iter().filter_map(fits).min() else {
            o.todo.retain(|t| t.1 != device);
            return self.run_next(id, cx);
        };
        let mut delay = Span::ZERO;
        if o.first && action != "on" {
            delay = o.fencing.delay + base + drawn(|n| cx.below(n), base, max, place.version.0 >= 3);
            // `stonith-timeout` is for the agents: the delay comes on top.
            cx.set_timer(Timer(2 * o.slot), o.fencing.timeout + delay);
            if !delay.is_zero() {
                cx.note(Told::Crm(Box::new(Note::FenceDelayed {
                    target: target.clone(),
                    delay,
                    requested: o.fencing.delay,
                    base,
                })));
            }
        }
        o.first = false;
        self.say(Wire::RunDevice { to: peer, id, device, target, action: action.to_owned(), delay }, cx);
    }
    fn device_result(&mut self, id: u32, device: &str, ok: bool, cx: &mut Cx<'_>) {
        let Some(o) = self.operations.iter_mut().find(|o| o.id == id) else { return };
        let Some((level, _, action)) = o.todo.first().filter(|t| t.1 == device).cloned() else { return };
        o.todo.remove(0);
        let ok = ok || action == "on" && o.fencing.action == "reboot";
        let rest = o.todo.iter().any(|t| t.0 == level);
        match (ok, level) {
            (true, 0) => self.end(id, Ok(()), cx),
            (true, _) if !rest => self.end(id, Ok(()), cx),
            (true, _) => self.run_next(id, cx),
            (false, 0) => self.run_next(id, cx),
            (false, _) => {
                o.todo.retain(|t| t.0 != level);
                self.run_next(id, cx);
            }
        }
    }
    fn timer(&mut self, t: u16, cx: &mut Cx<'_>) {
        let Some(o) = self.operations.iter().find(|o| o.slot == t / 2) else { return };
        let (id, dead) = (o.id, t % 2 == 1);
        self.end(id, if dead { Ok(()) } else { Err(FenceError::TimedOut) }, cx);
    }
    fn end(&mut self, id: u32, result: Result<(), FenceError>, cx: &mut Cx<'_>) {
        let Some(at) = self.operations.iter().position(|o| o.id == id) else { return };
        let o = self.operations.remove(at);
        cx.cancel_timer(Timer(2 * o.slot));
        cx.cancel_timer(Timer(2 * o.slot + 1));
        let note = match result {
            Ok(()) => Note::Fenced {
                target: o.fencing.target.clone(),
                action: o.fencing.action.as_str().into(),
                watchdog: o.phase == Phase::Watchdog,
            },
            Err(why) => Note::FenceFailed { target: o.fencing.target.clone(), why },
        };
        cx.note(Told::Crm(Box::new(note)));
        let wire = Wire::FenceResult {
            target: o.fencing.target,
            action: o.fencing.action,
            by: self.place.name.clone(),
            result,
        };
        self.say(wire, cx);
    }

    // ---- everybody -------------------------------------------------------------------------------------------------

    fn hear(&mut self, from: NodeId, wire: &Wire, cx: &mut Cx<'_>) {
        match wire {
            Wire::WhoCan { id, target, .. } => {
                let mut devices = Vec::new();
                for d in self.devices.iter().filter(|d| d.port(target).is_some()) {
                    let verified = cx.files.crm.run.get(&d.id).is_some_and(|f| f.running);
                    let (delay_base, delay_max) = (d.delay_base(target), d.delay_max());
                    let of =
                        |level| Candidate { device: d.id.clone(), level, verified, delay_base, delay_max };
                    devices.extend(self.levels(target, &d.id).into_iter().map(of));
                }
                self.say(Wire::ICan { to: from, id: *id, devices }, cx);
            }
            Wire::ICan { to, id, devices } if *to == self.place.me => {
                let Some(o) = self.operations.iter_mut().find(|o| o.id == *id) else { return };
                let Phase::Query(left) = &mut o.phase else { return };
                left.remove(&from);
                let all = left.is_empty();
                o.answers.insert(from, devices.clone());
                if all {
                    self.choose(*id, cx);
                }
            }
            Wire::RunDevice { to, id, device, target, action, delay } if *to == self.place.me => {
                let timer = self.job_timer();
                self.jobs.push(Job {
                    timer,
                    owner: from,
                    id: *id,
                    device: device.clone(),
                    target: target.clone(),
                    action: action.clone(),
                    waits: true,
                    call: None,
                    own: false,
                });
                cx.set_timer(Timer(timer), *delay);
            }
            Wire::DeviceResult { to, id, device, ok } if *to == self.place.me => {
                self.device_result(*id, device, *ok, cx)
            }
            Wire::FenceResult { target, action, by, result } => {
                let mine = from == self.place.me;
                let what = Local::Fenced {
                    target: target.clone(),
                    action: action.clone(),
                    by: by.clone(),
                    result: *result,
                    mine,
                };
                tell(&self.place, Daemon::Controld, what, cx);
            }
            _ => {}
        }
    }

    // ---- the runner ------------------------------------------------------------------------------------------------

    fn job_timer(&mut self) -> u16 {
        self.jobs_started = (self.jobs_started + 1) % 512;
        2 * OPERATIONS + self.jobs_started
    }
    fn device_address(&self, device: &str) -> Option<Ip> {
        let d = self.devices.iter().find(|d| d.id == device)?;
        // `fence_sbd` writes to the disks of its own host: the `sbd` there does it.
        if d.param("devices").is_some() {
            return Some(self.place.ip);
        }
        let at = d.param("ip").or(d.param("ipaddr"))?;
        self.place.devices.get(at).copied().or_else(|| at.parse().ok())
    }
    fn monitor(&mut self, device: String, cx: &mut Cx<'_>) {
        let Some(ip) = self.device_address(&device) else {
            return tell(&self.place, Daemon::Execd, Local::Monitored { device, ok: false }, cx);
        };
        let timer = self.job_timer();
        self.next += 1;
        let id = self.call_id(cx);
        let known = self.devices.iter().find(|d| d.id == device);
        let port = known.and_then(Device::any_port).unwrap_or_default();
        let call = Call::start(id, Command::Monitor, port.as_str().into(), ip, Timer(timer), cx);
        let job = Job {
            timer,
            owner: self.place.me,
            id,
            device,
            target: "".into(),
            action: "monitor".into(),
            waits: false,
            call: Some(call),
            own: true,
        };
        self.jobs.push(job);
    }
    /// A number that no other call of this host has had, before a reboot neither: devices remember what they have done.
    fn call_id(&self, cx: &Cx<'_>) -> u32 {
        let ms = cx.wall_clock.div_euclid(1_000_000);
        (ms as u32) << 4 | (self.next & 15)
    }
    fn jobs_on(&mut self, input: &Input<Msg>, cx: &mut Cx<'_>) -> bool {
        if let Input::Timer(Timer(t)) = input
            && let Some(at) = self.jobs.iter().position(|j| j.waits && j.timer == *t)
        {
            self.jobs[at].waits = false;
            self.start_call(at, cx);
            return true;
        }
        if !matches!(input, Input::Timer(_) | Input::Packet { msg: Msg::Fence(_), .. }) {
            return false;
        }
        for at in 0..self.jobs.len() {
            let ended = self.jobs[at].call.as_mut().and_then(|c| c.on(input, cx));
            if let Some(result) = ended {
                let ok = result.is_ok_and(|o| o.is_success());
                self.job_ended(at, ok, cx);
                return true;
            }
        }
        matches!(input, Input::Packet { .. })
            || matches!(input, Input::Timer(Timer(t)) if *t >= 2 * OPERATIONS)
    }
    fn start_call(&mut self, at: usize, cx: &mut Cx<'_>) {
        let (device, target, timer) =
            (self.jobs[at].device.clone(), self.jobs[at].target.clone(), self.jobs[at].timer);
        let port = self.devices.iter().find(|d| d.id == device).and_then(|d| d.port(&target));
        let (Some(ip), Some(port)) = (self.device_address(&device), port) else {
            return self.job_ended(at, false, cx);
        };
        let command = match self.jobs[at].action.as_str() {
            "off" => Command::Off,
            "on" => Command::On,
            _ => Command::Reboot,
        };
        let device: Arc<str> = device.as_str().into();
        cx.note(Told::Crm(Box::new(Note::AgentCalled { target, device, command: command.word() })));
        self.next += 1;
        let call = Call::start(self.call_id(cx), command, port.as_str().into(), ip, Timer(timer), cx);
        self.jobs[at].call = Some(call);
    }
    fn job_ended(&mut self, at: usize, ok: bool, cx: &mut Cx<'_>) {
        let job = self.jobs.remove(at);
        cx.cancel_timer(Timer(job.timer));
        if job.own {
            tell(&self.place, Daemon::Execd, Local::Monitored { device: job.device, ok }, cx);
        } else {
            self.say(Wire::DeviceResult { to: job.owner, id: job.id, device: job.device, ok }, cx);
        }
    }
}

/// How many whole seconds, equally likely from 0 on, the random part of a delay is drawn from (base and maximum in seconds); 0: none is drawn.
/// Before 3.0 the maximum itself never comes.
pub const fn drawable(base: u64, max: u64, with_maximum: bool) -> u64 {
    let width = max.saturating_sub(base);
    if with_maximum && width > 0 { width + 1 } else { width }
}

/// The random part of a delay: whole seconds out of [`drawable`], by a draw below a number.
pub fn drawn(below: impl FnOnce(u64) -> u64, base: Span, max: Span, with_maximum: bool) -> Span {
    let choices = drawable(base.0 / 1_000_000_000, max.0 / 1_000_000_000, with_maximum);
    if choices == 0 { Span::ZERO } else { Span::secs(below(choices)) }
}
