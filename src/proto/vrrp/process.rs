//! keepalived's VRRP child and its parent.
//!
//! Follows RFC 3768 and RFC 5798 and the behaviour of keepalived 2.2 as measured (`scenarios/validation/keepalived`).
//!
//! A notify script is what it does after its time ([`super::notify`]); it is started and forgotten, as keepalived does (keepalived.conf(5),
//! `notify_master`).
//!
//! **Not modelled:** IPv6, authentication, VMACs, BFD, tracked files and processes, the checker child, `notify_backup`, `notify_fault` and
//! the other notify scripts.

use super::config::{Check, InitialState, Keepalived, NotifyScript, TrackInterface, VrrpScript};
use super::machine::Role;
use super::msg::{Advert, PORT};
use super::note::{BackupWhy, Note};
use super::timers::{master_down, skew};
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip, VRRP_GROUP};
use crate::node::process::{Action, Input, NetId, Pid, Probe, Signal, Timer};
use crate::proto::{Cx, Msg};
use crate::say;

/// Timers of an instance; its number times this, plus one of the kinds below. Scripts come after the instances.
const TIMERS: u16 = 5;
const ADVERT: u16 = 0;
const DOWN: u16 = 1;
const GARP: u16 = 2;
const LOWER_GARP: u16 = 3;
const REFRESH: u16 = 4;

/// The advert that is due exactly at the end of `preempt_delay` comes a little late on a real host and is refused (measured); here
/// it may come early by the variation of the link's delay, and is refused all the same.
const LATE: Span = Span::ms(2);

/// One VRRP instance.
#[derive(Clone, Debug)]
pub struct Instance {
    name: String,
    net: NetId,
    vips: Vec<Cidr>,
    base: u8,
    vrid: u8,
    interval: Span,
    nopreempt: bool,
    preempt_delay: Span,
    peers: Vec<Ip>,
    interfaces: Vec<(NetId, i16)>,
    scripts: Vec<usize>,
    role: Role,
    priority: u8,
    own: Ip,
    master_interval: Span,
    master: Option<(Ip, u8)>,
    last: Option<Time>,
    down_at: Option<Time>,
    zero: bool,
    refused: Option<u8>,
    delay_until: Option<Time>,
    lower_due: Vec<Time>,
    waits: bool,
    sent: u64,
    rival: Option<Rival>,
}

/// Another host that owns the same address (priority 255), as the one with the higher address sees it.
#[derive(Clone, Copy, Debug)]
struct Rival {
    /// Own adverts since it was heard first.
    sent: u8,
    /// Its interval.
    interval: Span,
    /// An advert of it from then on means that it goes on.
    until: Option<Time>,
}
/// The priority of an owner.
const OWNER: u8 = 255;

impl Instance {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }
    /// The configured priority.
    pub fn base_priority(&self) -> u8 {
        self.base
    }
    /// The priority with everything tracked counted in.
    pub fn effective_priority(&self) -> u8 {
        self.priority
    }
    /// The addresses that move.
    pub fn vips(&self) -> &[Cidr] {
        &self.vips
    }
    /// Whom it believes to be master: address and priority.
    pub fn master(&self) -> Option<(Ip, u8)> {
        self.master
    }
    /// When it accepted an advert last.
    pub fn last_advert(&self) -> Option<Time> {
        self.last
    }
    /// When its Master_Down timer runs out.
    pub fn down_at(&self) -> Option<Time> {
        self.down_at
    }
    /// Adverts sent.
    pub fn adverts_sent(&self) -> u64 {
        self.sent
    }
    /// What it believes, in words.
    pub fn belief(&self) -> String {
        match (self.role, self.master) {
            (Role::Master, _) => say!("ui-i-am-master"),
            (Role::Fault, _) => say!("ui-cannot"),
            (_, Some((ip, p))) => say!("ui-is-master", ip = ip, priority = p),
            (_, None) => say!("ui-no-master"),
        }
    }
}

#[derive(Clone, Debug)]
struct Script {
    config: VrrpScript,
    started: Time,
    streak: u32,
    /// Succeeds, as far as rise and fall go; `None`: not decided yet, counts as good unless `init_fail`.
    ok: bool,
    decided: bool,
}

/// keepalived's VRRP child.
#[derive(Clone, Debug)]
pub struct Vrrp {
    config: Keepalived,
    nets: Vec<(String, NetId)>,
    instances: Vec<Instance>,
    scripts: Vec<Script>,
    /// A notify script acts now.
    notifies: bool,
}

impl Vrrp {
    /// The child of a keepalived with this configuration, on a host with these networks (the first is the default interface).
    pub fn new(config: Keepalived, nets: Vec<(String, NetId)>) -> Self {
        let mut v = Vrrp { config, nets, instances: Vec::new(), scripts: Vec::new(), notifies: false };
        v.reset();
        v
    }
    /// The instances, `VI_1` first.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }
    /// What a notify script does now, if one has come to its point since this was asked last.
    pub(crate) fn notifies(&mut self) -> Option<NotifyScript> {
        std::mem::take(&mut self.notifies).then_some(self.config.notify_master).flatten()
    }
    /// The timer of notify scripts, after those of instances and check scripts.
    fn notify_timer(&self) -> Timer {
        Timer((self.instances.len() * TIMERS as usize + self.scripts.len()) as u16)
    }
    /// The state before the start.
    pub fn reset(&mut self) {
        self.notifies = false;
        self.instances.clear();
        self.scripts.clear();
        let c = self.config.clone();
        let mut first = super::config::VrrpInstance {
            vip: c.vip,
            virtual_ipaddress: c.virtual_ipaddress.clone(),
            track: c.track.clone(),
            track_script: Some(c.track_script.clone()),
            track_interface: Some(c.track_interface.clone()),
            ..Default::default()
        };
        first.virtual_router_id = Some(c.virtual_router_id);
        self.add("VI_1", &first, c.virtual_router_id);
        for (n, (name, i)) in c.vrrp_instance.iter().enumerate() {
            self.add(name, i, c.virtual_router_id.wrapping_add(n as u8 + 1));
        }
    }
    fn net(&self, name: Option<&String>) -> NetId {
        name.and_then(|n| self.nets.iter().find(|(m, _)| m == n))
            .or(self.nets.first())
            .map_or(NetId(0), |(_, id)| *id)
    }
    fn add(&mut self, name: &str, i: &super::config::VrrpInstance, vrid: u8) {
        let c = &self.config;
        let state = i.state.unwrap_or(c.state);
        let owner_by_state = if state == InitialState::MASTER { 255 } else { 100 };
        let base = i.priority.or(c.priority).unwrap_or(owner_by_state);
        let mut configs: Vec<VrrpScript> = i.track_script.clone().unwrap_or_else(|| c.track_script.clone());
        configs.extend(i.track.iter().map(|p| VrrpScript::new(Check::Running(p.clone()))));
        let interfaces: Vec<TrackInterface> =
            i.track_interface.clone().unwrap_or_else(|| c.track_interface.clone());
        let mut scripts = Vec::new();
        for config in configs {
            let at = self.scripts.iter().position(|s| s.config == config).unwrap_or_else(|| {
                let ok = !config.init_fail;
                self.scripts.push(Script { config, started: Time::ZERO, streak: 0, ok, decided: false });
                self.scripts.len() - 1
            });
            scripts.push(at);
        }
        let c = &self.config;
        let net = self.net(i.interface.as_ref().or(c.interface.as_ref()));
        let mut tracked: Vec<(NetId, i16)> =
            interfaces.iter().map(|t| (self.net(Some(&t.interface)), t.weight)).collect();
        if !c.dont_track_primary {
            tracked.push((net, 0));
        }
        let interval = i.advert_int.unwrap_or(c.advert_int);
        self.instances.push(Instance {
            name: name.to_owned(),
            net,
            vips: i.vip.into_iter().chain(i.virtual_ipaddress.iter().copied()).collect(),
            base,
            vrid: i.virtual_router_id.unwrap_or(vrid),
            interval,
            nopreempt: i.nopreempt.unwrap_or(c.nopreempt),
            preempt_delay: i.preempt_delay.unwrap_or(c.preempt_delay),
            peers: i.unicast_peer.clone().unwrap_or_else(|| c.unicast_peer.clone()),
            interfaces: tracked,
            scripts,
            role: Role::Init,
            priority: base,
            own: Ip::NONE,
            master_interval: interval,
            master: None,
            last: None,
            down_at: None,
            zero: false,
            refused: None,
            delay_until: None,
            lower_due: Vec::new(),
            waits: false,
            sent: 0,
            rival: None,
        });
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => self.start(cx),
            Input::Timer(t) if t == self.notify_timer() => self.notifies = true,
            Input::Timer(Timer(t)) if (t / TIMERS) as usize >= self.instances.len() => {
                self.run_script(t as usize - self.instances.len() * TIMERS as usize, cx);
            }
            Input::Timer(Timer(t)) => self.timer((t / TIMERS) as usize, t % TIMERS, cx),
            Input::Packet { from, msg: Msg::Advert(advert), .. } => self.advert(from.ip, advert, cx),
            Input::Exec { tag, ok } => self.script_ended(tag as usize, ok == Some(true), cx),
            Input::Carrier(net, up) => {
                let why = say!(if up { "vrrp-link-up" } else { "vrrp-link-down" }, net = self.net_name(net));
                self.recompute(&why, cx);
            }
            Input::Signal(Signal::Term) => self.stop(cx),
            _ => {}
        }
    }
    fn net_name(&self, net: NetId) -> String {
        self.nets.iter().find(|n| n.1 == net).map_or_else(String::new, |n| n.0.clone())
    }

    // ---- start and stop --------------------------------------------------------------------------------------------

    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.act(Action::Bind(PORT));
        for i in 0..self.instances.len() {
            let net = self.instances[i].net;
            let vips = self.instances[i].vips.clone();
            let left: Vec<Ip> = vips
                .iter()
                .map(|v| v.ip)
                .filter(|v| cx.addresses().iter().any(|(_, a)| a.ip == *v))
                .collect();
            for vip in left {
                cx.act(Action::RemoveAddress(net, vip));
                tell(cx, Note::VipDown { vip, left_over: true });
            }
            let own = cx
                .addresses()
                .iter()
                .find(|(n, a)| *n == net && !vips.iter().any(|v| v.ip == a.ip))
                .map(|(_, a)| a.ip);
            self.instances[i].own = own.unwrap_or(Ip::NONE);
            self.instances[i].priority = self.effective(i, cx);
        }
        for k in 0..self.scripts.len() {
            self.run_script(k, cx);
        }
        for i in 0..self.instances.len() {
            if self.instances[i].role != Role::Init {
                continue;
            }
            if let Some(why) = self.failed(i, cx) {
                self.instances[i].role = Role::Fault;
                let instance = self.instances[i].name.clone();
                tell(cx, Note::Fault { instance, why, was_master: false });
            } else if self.instances[i].base == 255 {
                self.want_master(i, false, cx);
            } else {
                self.become_backup(i, BackupWhy::Started, cx);
            }
        }
    }
    fn stop(&mut self, cx: &mut Cx<'_>) {
        let was_master = self.instances.iter().any(|i| i.role == Role::Master);
        tell(cx, Note::Stopping { was_master });
        for i in 0..self.instances.len() {
            if self.instances[i].role == Role::Master {
                self.send(i, 0, cx);
                self.drop_vips(i, cx);
            }
            self.instances[i].role = Role::Init;
        }
        cx.act(Action::Exit(0));
    }

    // ---- tracking --------------------------------------------------------------------------------------------------

    fn run_script(&mut self, k: usize, cx: &mut Cx<'_>) {
        let timer = Timer((self.instances.len() * TIMERS as usize + k) as u16);
        let Some(s) = self.scripts.get_mut(k) else { return };
        s.started = cx.now;
        let probe = match &s.config.script {
            Check::Running(p) => Probe::Running(p.clone()),
            Check::Answers(p) => Probe::Answers(*p),
        };
        let timeout = s.config.timeout.unwrap_or(s.config.interval);
        cx.set_timer(timer, s.config.interval);
        cx.exec(probe, s.config.run_time, timeout, k as u16);
    }
    fn script_ended(&mut self, k: usize, ok: bool, cx: &mut Cx<'_>) {
        let Some(s) = self.scripts.get_mut(k) else { return };
        let first = !s.decided;
        s.decided = true;
        if ok == s.ok {
            s.streak = 0;
            return;
        }
        s.streak += 1;
        let needed = if ok { s.config.rise } else { s.config.fall };
        // The first result of all decides at once, as keepalived leaves its initial state.
        if s.streak < needed && !first {
            return;
        }
        if s.streak < needed && first && !ok {
            return;
        }
        s.ok = ok;
        s.streak = 0;
        let script = match &s.config.script {
            Check::Running(p) => p.clone(),
            Check::Answers(p) => format!("port {p}"),
        };
        tell(cx, Note::Script { script: script.clone(), ok, after: needed });
        let why = say!(if ok { "vrrp-script-ok" } else { "vrrp-script-bad" }, script = script);
        self.recompute(&why, cx);
    }
    fn effective(&self, i: usize, cx: &Cx<'_>) -> u8 {
        let inst = &self.instances[i];
        if inst.base == 255 {
            return 255;
        }
        let mut sum = i32::from(inst.base);
        let mut count = |weight: i16, ok: bool| {
            if (weight > 0 && ok) || (weight < 0 && !ok) {
                sum += i32::from(weight);
            }
        };
        for k in &inst.scripts {
            count(self.scripts[*k].config.weight, self.scripts[*k].ok);
        }
        for (net, weight) in &inst.interfaces {
            count(*weight, cx.carrier(*net));
        }
        sum.clamp(1, 254) as u8
    }
    /// What keeps the instance from being master, if anything.
    fn failed(&self, i: usize, cx: &Cx<'_>) -> Option<String> {
        let inst = &self.instances[i];
        if let Some(k) =
            inst.scripts.iter().find(|k| self.scripts[**k].config.weight == 0 && !self.scripts[**k].ok)
        {
            let what = match &self.scripts[*k].config.script {
                Check::Running(p) => p.clone(),
                Check::Answers(p) => format!("port {p}"),
            };
            return Some(say!("vrrp-weight-0", script = what));
        }
        let down = inst.interfaces.iter().find(|(net, w)| *w == 0 && !cx.carrier(*net))?;
        Some(say!("vrrp-link-down", net = self.net_name(down.0)))
    }
    /// Something tracked has changed.
    fn recompute(&mut self, why: &str, cx: &mut Cx<'_>) {
        for i in 0..self.instances.len() {
            let (from, to) = (self.instances[i].priority, self.effective(i, cx));
            if from != to {
                self.instances[i].priority = to;
                let instance = self.instances[i].name.clone();
                tell(cx, Note::Priority { instance, from, to, why: why.to_owned() });
                self.shift_down_timer(i, from, to, cx);
            }
            let failed = self.failed(i, cx);
            match (failed, self.instances[i].role) {
                (Some(why), Role::Master | Role::Backup) => self.become_fault(i, why, cx),
                (None, Role::Fault) if !self.group_failed(i, cx) => {
                    for j in self.group(i) {
                        if self.instances[j].role == Role::Fault {
                            self.become_backup(j, BackupWhy::Recovered, cx);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    /// A changed priority moves a running Master_Down timer by the difference of the skews.
    fn shift_down_timer(&mut self, i: usize, from: u8, to: u8, cx: &mut Cx<'_>) {
        let version = self.config.version;
        let inst = &mut self.instances[i];
        let (Role::Backup, Some(at)) = (inst.role, inst.down_at) else { return };
        let (old, new) = (skew(version, from, inst.master_interval), skew(version, to, inst.master_interval));
        let at = if new > old { at + new.saturating_sub(old) } else { at - old.saturating_sub(new) };
        inst.down_at = Some(at);
        cx.set_timer(Timer(i as u16 * TIMERS + DOWN), at.since(cx.now));
    }

    // ---- sync groups -----------------------------------------------------------------------------------------------

    /// The members of the instance's sync group, itself included.
    fn group(&self, i: usize) -> Vec<usize> {
        let name = &self.instances[i].name;
        let members = self.config.vrrp_sync_group.values().find(|m| m.contains(name));
        members.map_or_else(
            || vec![i],
            |m| (0..self.instances.len()).filter(|j| m.contains(&self.instances[*j].name)).collect(),
        )
    }
    fn group_failed(&self, i: usize, cx: &Cx<'_>) -> bool {
        self.group(i).into_iter().any(|j| self.failed(j, cx).is_some())
    }

    // ---- roles: the only places where one changes ------------------------------------------------------------------

    fn become_backup(&mut self, i: usize, why: BackupWhy, cx: &mut Cx<'_>) {
        let was_master = self.instances[i].role == Role::Master;
        self.instances[i].role = Role::Backup;
        if was_master {
            self.drop_vips(i, cx);
        }
        let inst = &mut self.instances[i];
        inst.waits = false;
        inst.zero = false;
        inst.rival = None;
        inst.refused = None;
        inst.delay_until = None;
        if matches!(why, BackupWhy::Started | BackupWhy::Recovered) {
            (inst.last, inst.master, inst.master_interval) = (None, None, inst.interval);
        }
        for kind in [ADVERT, GARP, LOWER_GARP, REFRESH] {
            cx.cancel_timer(Timer(i as u16 * TIMERS + kind));
        }
        inst.lower_due.clear();
        let wait = self.restart_down_timer(i, cx);
        let inst = &self.instances[i];
        tell(cx, Note::Backup { instance: inst.name.clone(), why, priority: inst.priority, wait });
    }
    fn become_fault(&mut self, i: usize, why: String, cx: &mut Cx<'_>) {
        for j in self.group(i) {
            let was = self.instances[j].role;
            if !matches!(was, Role::Master | Role::Backup) {
                continue;
            }
            if was == Role::Master {
                self.send(j, 0, cx);
                self.drop_vips(j, cx);
            }
            let inst = &mut self.instances[j];
            inst.role = Role::Fault;
            (inst.down_at, inst.master, inst.waits) = (None, None, false);
            inst.lower_due.clear();
            for kind in 0..TIMERS {
                cx.cancel_timer(Timer(j as u16 * TIMERS + kind));
            }
            let why = if j == i { why.clone() } else { say!("vrrp-sync-group", why = why) };
            tell(cx, Note::Fault { instance: inst.name.clone(), why, was_master: was == Role::Master });
        }
    }
    /// The instance's timer ran out, or it owns the address. In a sync group everybody has to want it.
    fn want_master(&mut self, i: usize, was_down: bool, cx: &mut Cx<'_>) {
        let group = self.group(i);
        self.instances[i].waits = true;
        if group.iter().any(|j| !self.instances[*j].waits && self.instances[*j].role != Role::Master) {
            let instance = self.instances[i].name.clone();
            tell(cx, Note::GroupWaits { instance });
            self.restart_down_timer(i, cx);
            return;
        }
        for j in group {
            if self.instances[j].role != Role::Master {
                self.become_master(j, was_down, cx);
            }
        }
    }
    fn become_master(&mut self, i: usize, was_down: bool, cx: &mut Cx<'_>) {
        let version = self.config.version;
        let inst = &mut self.instances[i];
        let note = Note::Master {
            instance: inst.name.clone(),
            vip: inst.vips.first().copied(),
            was_down,
            last: inst.last,
            zero: inst.zero,
            interval: inst.master_interval,
            adverts: self.config.down_timer_adverts,
            skew: skew(version, inst.priority, inst.master_interval),
            priority: inst.priority,
            refused: inst.refused,
        };
        inst.role = Role::Master;
        (inst.waits, inst.zero, inst.refused, inst.down_at, inst.delay_until) =
            (false, false, None, None, None);
        inst.master = None;
        cx.cancel_timer(Timer(i as u16 * TIMERS + DOWN));
        tell(cx, note);
        let priority = self.instances[i].priority;
        self.send(i, priority, cx);
        self.again(i, cx);
        let (net, vips) = (self.instances[i].net, self.instances[i].vips.clone());
        for vip in &vips {
            cx.act(Action::AddAddress(net, *vip));
            tell(cx, Note::VipUp { vip: vip.ip });
        }
        let c = &self.config;
        let count = if c.min_garp || c.strict { 1 } else { c.garp_master_repeat };
        let (delay, refresh) = (c.garp_master_delay, c.garp_master_refresh);
        let second = !(c.min_garp || c.strict || delay.is_zero());
        self.garps(i, count, "garp-master", cx);
        if second {
            cx.set_timer(Timer(i as u16 * TIMERS + GARP), delay);
        }
        if !refresh.is_zero() {
            cx.set_timer(Timer(i as u16 * TIMERS + REFRESH), refresh);
        }
        if self.config.notify_master.is_some() {
            let SpanRange { min, max } = self.config.notify_time;
            let more = Span(cx.below(max.saturating_sub(min).0 + 1));
            cx.set_timer(self.notify_timer(), min + more);
        }
    }

    // ---- timers ----------------------------------------------------------------------------------------------------

    fn restart_down_timer(&mut self, i: usize, cx: &mut Cx<'_>) -> Span {
        let (version, adverts) = (self.config.version, self.config.down_timer_adverts);
        let inst = &mut self.instances[i];
        let wait = if inst.base == 255 {
            inst.interval + skew(version, 255, inst.interval)
        } else {
            master_down(version, inst.priority, inst.master_interval, adverts)
        };
        inst.down_at = Some(cx.now + wait);
        cx.set_timer(Timer(i as u16 * TIMERS + DOWN), wait);
        wait
    }
    fn again(&self, i: usize, cx: &mut Cx<'_>) {
        cx.set_timer(Timer(i as u16 * TIMERS + ADVERT), self.instances[i].interval);
    }
    fn timer(&mut self, i: usize, kind: u16, cx: &mut Cx<'_>) {
        let role = self.instances[i].role;
        match (kind, role) {
            (ADVERT, Role::Master) => {
                let priority = self.instances[i].priority;
                self.send(i, priority, cx);
                self.again(i, cx);
            }
            (DOWN, Role::Backup) => self.want_master(i, true, cx),
            (GARP, Role::Master) => {
                let count = self.config.garp_master_repeat;
                self.garps(i, count, "garp-delay", cx);
            }
            (LOWER_GARP, Role::Master) => {
                let now = cx.now;
                let due = self.instances[i].lower_due.iter().filter(|d| **d <= now).count() as u32;
                self.instances[i].lower_due.retain(|d| *d > now);
                let count = self.lower_repeat().times(due);
                self.garps(i, count, "garp-lower-delay", cx);
                if let Some(next) = self.instances[i].lower_due.first() {
                    cx.set_timer(Timer(i as u16 * TIMERS + LOWER_GARP), next.since(now));
                }
            }
            (REFRESH, Role::Master) => {
                let count = self.config.garp_master_refresh_repeat;
                self.garps(i, count, "garp-refresh", cx);
                cx.set_timer(Timer(i as u16 * TIMERS + REFRESH), self.config.garp_master_refresh);
            }
            _ => {}
        }
    }
    fn lower_repeat(&self) -> Repeat {
        Repeat(self.config.garp_lower_prio_repeat.unwrap_or(self.config.garp_master_repeat))
    }

    // ---- adverts ---------------------------------------------------------------------------------------------------

    fn advert(&mut self, from: Ip, a: Advert, cx: &mut Cx<'_>) {
        let Some(i) = self.instances.iter().position(|i| i.vrid == a.vrid) else { return };
        if a.source == self.instances[i].own {
            return;
        }
        let mine = self.instances[i].interval;
        let bad = if a.version != self.config.version {
            Some(say!("vrrp-bad-version", theirs = a.version, mine = self.config.version))
        } else if a.version == 2 && a.advert_int != mine {
            Some(say!("vrrp-bad-interval", theirs = a.advert_int, mine = mine))
        } else {
            None
        };
        if let Some(why) = bad {
            tell(cx, Note::BadAdvert { from, why });
            return;
        }
        match self.instances[i].role {
            Role::Backup => self.backup_hears(i, a, cx),
            Role::Master => self.master_hears(i, from, a, cx),
            Role::Init | Role::Fault => {}
        }
    }
    fn backup_hears(&mut self, i: usize, a: Advert, cx: &mut Cx<'_>) {
        let version = self.config.version;
        let inst = &mut self.instances[i];
        if a.priority == 0 {
            let wait = skew(version, inst.priority, inst.master_interval);
            (inst.zero, inst.refused) = (true, None);
            inst.down_at = Some(cx.now + wait);
            cx.set_timer(Timer(i as u16 * TIMERS + DOWN), wait);
            return;
        }
        let lower = a.priority < inst.priority;
        if lower && !inst.nopreempt {
            let until = match inst.delay_until {
                None if !inst.preempt_delay.is_zero() => {
                    let until = cx.now + inst.preempt_delay;
                    inst.delay_until = Some(until);
                    let (instance, delay) = (inst.name.clone(), inst.preempt_delay);
                    tell(cx, Note::PreemptDelay { instance, delay, theirs: a.priority });
                    until
                }
                until => until.unwrap_or(Time::ZERO),
            };
            if cx.now + LATE >= until {
                // Discarded: the timer runs on, and preemption happens when it ends.
                inst.refused = Some(a.priority);
                return;
            }
        } else {
            inst.delay_until = None;
        }
        if version == 3 {
            inst.master_interval = a.advert_int;
        }
        (inst.master, inst.last, inst.zero, inst.refused) =
            (Some((a.source, a.priority)), Some(cx.now), false, None);
        inst.waits = false;
        self.restart_down_timer(i, cx);
    }
    fn master_hears(&mut self, i: usize, from: Ip, a: Advert, cx: &mut Cx<'_>) {
        let (mine, own) = (self.instances[i].priority, self.instances[i].own);
        if a.priority == 0 {
            self.send(i, mine, cx);
            self.again(i, cx);
            return;
        }
        let both = mine == OWNER && a.priority == OWNER;
        if both && !self.yields(i, from, a, cx) {
            return;
        }
        let mine = self.instances[i].priority;
        if a.priority > mine || (a.priority == mine && a.source > own) {
            let inst = &mut self.instances[i];
            (inst.master, inst.last) = (Some((a.source, a.priority)), Some(cx.now));
            if self.config.version == 3 {
                inst.master_interval = a.advert_int;
            }
            if self.config.higher_prio_send_advert {
                self.send(i, mine, cx);
            }
            let why = if a.priority > mine {
                BackupWhy::HigherPriority { from, theirs: a.priority }
            } else {
                BackupWhy::HigherAddress { from }
            };
            self.become_backup(i, why, cx);
            for j in self.group(i) {
                if j != i && self.instances[j].role == Role::Master {
                    self.become_backup(j, BackupWhy::Group, cx);
                }
            }
            return;
        }
        let answered = !self.config.strict && !self.config.lower_prio_no_advert;
        tell(cx, Note::LowerHeard { from, theirs: a.priority, answered });
        if self.config.strict {
            return;
        }
        if answered {
            self.send(i, mine, cx);
            self.again(i, cx);
        }
        let count = self.lower_repeat().0;
        self.garps(i, count, "garp-lower", cx);
        let delay = self.config.garp_lower_prio_delay.unwrap_or(self.config.garp_master_delay);
        if count > 0 && !delay.is_zero() && !self.config.min_garp {
            let at = cx.now + delay;
            let inst = &mut self.instances[i];
            if inst.lower_due.is_empty() {
                cx.set_timer(Timer(i as u16 * TIMERS + LOWER_GARP), delay);
            }
            inst.lower_due.push(at);
        }
    }

    /// Two owners: the one with the higher address sends two more adverts and waits 1.2 times the longer interval; if the other goes
    /// on, it lowers itself to 254. The one with the lower address stays.
    fn yields(&mut self, i: usize, from: Ip, a: Advert, cx: &mut Cx<'_>) -> bool {
        let inst = &mut self.instances[i];
        if a.source > inst.own {
            return false;
        }
        let rival = inst.rival.get_or_insert(Rival { sent: 0, interval: a.advert_int, until: None });
        if rival.until.is_none_or(|until| cx.now < until) {
            return false;
        }
        (inst.rival, inst.base, inst.priority) = (None, OWNER - 1, OWNER - 1);
        let instance = inst.name.clone();
        tell(
            cx,
            Note::Priority {
                instance,
                from: OWNER,
                to: OWNER - 1,
                why: say!("vrrp-two-owners", from = from),
            },
        );
        true
    }

    // ---- effects ---------------------------------------------------------------------------------------------------

    fn send(&mut self, i: usize, priority: u8, cx: &mut Cx<'_>) {
        let version = self.config.version;
        let inst = &mut self.instances[i];
        inst.sent += 1;
        if let Some(r) = inst.rival.as_mut().filter(|r| r.until.is_none()) {
            r.sent += 1;
            if r.sent == 2 {
                r.until = Some(cx.now + inst.interval.max(r.interval).ratio(6, 5));
            }
        }
        let advert =
            Advert { version, vrid: inst.vrid, priority, advert_int: inst.interval, source: inst.own };
        let (from, net) = (Endpoint::new(inst.own, PORT), Some(inst.net));
        if inst.peers.is_empty() {
            let to = Endpoint::new(VRRP_GROUP, PORT);
            cx.act(Action::Send { from, to, net, plane: Plane::heartbeat, msg: Msg::Advert(advert) });
        } else {
            for peer in inst.peers.iter().filter(|p| **p != inst.own) {
                cx.act(Action::Send {
                    from,
                    to: Endpoint::new(*peer, PORT),
                    net,
                    plane: Plane::heartbeat,
                    msg: Msg::Advert(advert),
                });
            }
        }
        tell(cx, Note::AdvertSent { priority });
    }
    fn garps(&self, i: usize, count: u32, why: &'static str, cx: &mut Cx<'_>) {
        let inst = &self.instances[i];
        if count == 0 || inst.vips.is_empty() {
            return;
        }
        for vip in &inst.vips {
            for _ in 0..count {
                cx.act(Action::GratuitousArp(inst.net, vip.ip));
            }
        }
        tell(cx, Note::Garps { count: count * inst.vips.len() as u32, why });
    }
    fn drop_vips(&self, i: usize, cx: &mut Cx<'_>) {
        let inst = &self.instances[i];
        for vip in &inst.vips {
            cx.act(Action::RemoveAddress(inst.net, vip.ip));
            tell(cx, Note::VipDown { vip: vip.ip, left_over: false });
        }
    }
}

/// How many gratuitous ARPs make a burst.
struct Repeat(u32);
impl Repeat {
    fn times(&self, n: u32) -> u32 {
        self.0.saturating_mul(n)
    }
}

fn tell(cx: &mut Cx<'_>, note: Note) {
    cx.note(crate::proto::Note::Vrrp(note));
}

/// keepalived's parent: it starts the VRRP child, and starts it again when it dies.
#[derive(Clone, Debug)]
pub struct Parent {
    child: Pid,
    /// Process time from the start to the start of the child.
    pub startup: Span,
    /// Process time from the death of the child to the start of its successor.
    pub respawn: Span,
    again: bool,
}

impl Parent {
    /// The parent of this child.
    pub fn new(child: Pid, startup: Span, respawn: Span) -> Self {
        Parent { child, startup, respawn, again: false }
    }
    /// The state before the start.
    pub fn reset(&mut self) {
        self.again = false;
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start if self.startup.is_zero() => cx.act(Action::Spawn(self.child)),
            Input::Start => cx.set_timer(Timer(0), self.startup),
            Input::Timer(_) => {
                if self.again {
                    tell(cx, Note::Respawned);
                }
                self.again = false;
                cx.act(Action::Spawn(self.child));
            }
            Input::Signal(Signal::ChildDied(_)) => {
                tell(cx, Note::ChildDied);
                self.again = true;
                cx.set_timer(Timer(0), self.respawn);
            }
            Input::Signal(Signal::Term) => cx.act(Action::Exit(0)),
            _ => {}
        }
    }
}
