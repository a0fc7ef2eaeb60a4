//! What happens to hosts and processes from outside: power, freezes, signals, starts and ends.

use super::disk::End;
use super::log::What;
use super::process::{HostId, Input, Pid, Process, Signal, Switch, Watchdog};
use super::world::{Ev, Freeze, Life, Power, Sch, World};
use crate::engine::Time;

impl<P: Process> World<P> {
    /// The power comes: the host boots and its daemons start. Nothing if it is on already.
    pub fn power_on(&mut self, host: HostId, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        if h.power != Power::Off || (!h.outlets.is_empty() && h.outlets.iter().all(|o| !o.1)) {
            return;
        }
        h.power = Power::Booting;
        h.life += 1;
        let (life, range) = (h.life, h.boot_time);
        let stream = self.streams.named(&format!("host/{}/boot", self.hosts[host.0 as usize].name));
        let took = self.streams.span(stream, range);
        s.after(took, Ev::Booted(host, life));
    }
    /// The host is up at once, as it is at the start of a run.
    pub fn boot_now(&mut self, host: HostId, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        h.power = Power::Booting;
        h.life += 1;
        let life = h.life;
        self.booted(host, life, s);
    }
    pub(crate) fn booted(&mut self, host: HostId, life: u32, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        if h.life != life || h.power != Power::Booting {
            return;
        }
        h.power = Power::On;
        h.addresses = h.nics.iter().map(|n| (n.net, n.primary)).collect();
        self.ways_changed();
        self.changed = true;
        if s.now() > Time::ZERO {
            self.tell(s, Some(host), None, What::Booted);
        }
        for i in 0..self.hosts[host.0 as usize].procs.len() {
            let pid = self.hosts[host.0 as usize].procs[i];
            if self.procs[pid.0 as usize].autostart {
                self.start_now(pid, s);
            }
        }
    }
    /// The power goes: everything volatile is lost, nobody is told.
    pub fn power_off(&mut self, host: HostId, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        if h.power == Power::Off {
            return;
        }
        self.settle_all(host, s);
        let h = &mut self.hosts[host.0 as usize];
        h.power = Power::Off;
        h.life += 1;
        h.freezes += 1;
        h.freeze = None;
        h.stopping = false;
        h.addresses.clear();
        if let Some(timer) = h.watchdog.running.take() {
            s.free_timer(timer);
        }
        h.watchdog.overdue = false;
        h.waiting.clear();
        h.bound.clear();
        for (_, e) in h.neigh.drain(..) {
            s.free_timer(e.timer);
        }
        for (_, c) in h.tcp.iter() {
            s.free_timer(c.timer);
        }
        h.tcp = super::tcp::Table::default();
        self.ways_changed();
        self.changed = true;
        for i in 0..self.hosts[host.0 as usize].procs.len() {
            let pid = self.hosts[host.0 as usize].procs[i];
            self.forget(pid, End::PowerLost, s);
        }
    }
    /// The power supply of a host fails or comes back, and with it that of every device that lives from it.
    pub fn mains(&mut self, host: HostId, on: bool, s: &mut Sch<P>) {
        for i in 0..self.hosts.len() {
            let h = HostId(i as u16);
            if h == host || self.hosts[i].fed_by == Some(host) {
                if on { self.power_on(h, s) } else { self.power_off(h, s) }
            }
        }
    }
    /// What a process does to the power or the links of a host.
    pub(crate) fn switch(&mut self, pid: Pid, host: HostId, what: Switch, s: &mut Sch<P>) {
        match what {
            Switch::Off => self.power_off(host, s),
            Switch::On => self.power_on(host, s),
            Switch::Reset => {
                self.power_off(host, s);
                self.power_on(host, s);
            }
            Switch::Link(net, up) => self.carrier(host, net, up, s),
            Switch::Outlet(on) => {
                let Some(h) = self.hosts.get_mut(host.0 as usize) else { return };
                h.outlets.iter_mut().filter(|o| o.0 == pid).for_each(|o| o.1 = on);
                let any = h.outlets.iter().any(|o| o.1);
                if on || !any {
                    self.mains(host, on, s);
                }
            }
        }
    }
    /// The host stands still.
    pub fn freeze(&mut self, host: HostId, queued: bool, clock_stops: bool, s: &mut Sch<P>) {
        let h = &self.hosts[host.0 as usize];
        if h.power != Power::On || h.freeze.is_some() {
            return;
        }
        self.settle_all(host, s);
        let h = &mut self.hosts[host.0 as usize];
        h.freezes += 1;
        h.freeze = Some(Freeze { since: s.now(), queued, clock_stops });
        self.changed = true;
        self.tell(s, Some(host), None, What::Frozen);
    }
    /// The host goes on. Its timers are overdue, or have kept their remaining time if the clocks stood still.
    pub fn thaw(&mut self, host: HostId, s: &mut Sch<P>) {
        let Some(freeze) = self.hosts[host.0 as usize].freeze.take() else { return };
        let still = s.now().since(freeze.since);
        self.hosts[host.0 as usize].freezes += 1;
        self.changed = true;
        self.tell(s, Some(host), None, What::Thawed(still));
        let dog = &mut self.hosts[host.0 as usize].watchdog;
        if freeze.clock_stops
            && !dog.hardware
            && let Some(timer) = dog.running
        {
            // Its clock stood still as well: it has as much time left as it had.
            dog.overdue = false;
            let at = (dog.fed + dog.timeout + still).max(s.now());
            dog.fed += still;
            s.arm(timer, at);
        }
        if self.hosts[host.0 as usize].watchdog.overdue {
            self.watchdog_expired(host, s);
            return;
        }
        if freeze.clock_stops {
            let h = &mut self.hosts[host.0 as usize];
            h.stood_still += still;
            for i in 0..h.procs.len() {
                let pid = self.hosts[host.0 as usize].procs[i];
                let p = &mut self.procs[pid.0 as usize];
                // A timer that ran out during the freeze by true time had so much left when the clock stopped.
                let overdue: Vec<(Time, super::process::Timer)> = std::mem::take(&mut p.overdue);
                p.inbox.retain(|i| !matches!(i, Input::Timer(_)));
                for id in p.timers.iter().flatten() {
                    if let Some(at) = s.deadline(*id) {
                        s.arm(*id, at + still);
                    }
                }
                for (at, timer) in overdue {
                    if let Some(Some(id)) = self.procs[pid.0 as usize].timers.get(timer.0 as usize) {
                        s.arm(*id, at + still);
                    }
                }
            }
        }
        for i in 0..self.hosts[host.0 as usize].procs.len() {
            let pid = self.hosts[host.0 as usize].procs[i];
            self.get_going(pid, s);
        }
    }

    /// A process that stood still gets to what has waited, after its wake-up time.
    fn get_going(&mut self, pid: Pid, s: &mut Sch<P>) {
        let h = &self.hosts[self.procs[pid.0 as usize].host.0 as usize];
        if h.wakeup.max.is_zero() {
            self.drain(pid, s);
            return;
        }
        let (stream, range) = (h.s_wakeup, h.wakeup);
        let delay = self.streams.span(stream, range);
        let p = &mut self.procs[pid.0 as usize];
        p.waking = true;
        let generation = p.generation;
        s.after(delay, Ev::Wake(pid, generation));
    }

    /// Starts a process that does not run.
    pub fn start_now(&mut self, pid: Pid, s: &mut Sch<P>) {
        let p = &mut self.procs[pid.0 as usize];
        if p.life != Life::Dead || self.hosts[p.host.0 as usize].power != Power::On {
            return;
        }
        p.life = Life::Running;
        p.generation += 1;
        let host = p.host;
        if s.now() > Time::ZERO {
            self.tell(s, Some(host), Some(pid), What::Started);
        }
        self.changed = true;
        self.input(pid, Input::Start, s);
    }
    /// Forgets a process: timers, inbox, sockets.
    fn forget(&mut self, pid: Pid, end: End, s: &mut Sch<P>) {
        let p = &mut self.procs[pid.0 as usize];
        p.life = Life::Dead;
        p.generation += 1;
        p.waking = false;
        p.inbox.clear();
        p.overdue.clear();
        for id in p.timers.drain(..).flatten() {
            s.free_timer(id);
        }
        p.doomed = false;
        let host = p.host;
        p.logic.reset(end, &mut self.hosts[host.0 as usize].files);
        self.hosts[host.0 as usize].bound.retain(|b| b.1 != pid);
        self.changed = true;
    }
    /// A process ends: its sockets are closed by the kernel, its children get SIGTERM, its parent is told.
    pub fn end(&mut self, pid: Pid, killed: bool, s: &mut Sch<P>) {
        if self.procs[pid.0 as usize].life == Life::Dead {
            return;
        }
        let (host, parent) = (self.procs[pid.0 as usize].host, self.procs[pid.0 as usize].parent);
        self.tell(s, Some(host), Some(pid), What::Ended(killed));
        self.forget(pid, End::Killed, s);
        self.tcp_owner_gone(host, pid, s);
        let children: Vec<Pid> =
            self.host(host).procs.iter().copied().filter(|c| self.proc(*c).parent == Some(pid)).collect();
        for child in children {
            self.signal(child, Signal::Term, s);
        }
        if let Some(parent) = parent {
            self.signal(parent, Signal::ChildDied(pid), s);
        }
        let h = &mut self.hosts[host.0 as usize];
        if h.stops_first == Some(pid) && std::mem::take(&mut h.stopping) {
            for last in h.stops_last.clone() {
                self.signal(last, Signal::Term, s);
            }
            self.kernel_ends(host, s);
        }
    }
    /// An orderly reboot: daemons get SIGTERM, those that are stopped first before those that they need; when they have had their time the kernel
    /// ends, and the host boots.
    pub fn reboot(&mut self, host: HostId, s: &mut Sch<P>) {
        let h = self.host(host);
        let waits = h.stops_first.is_some_and(|p| self.proc(p).life != Life::Dead);
        let now: Vec<Pid> = h.procs.iter().copied().filter(|p| !waits || !h.stops_last.contains(p)).collect();
        self.hosts[host.0 as usize].stopping = waits;
        for pid in now {
            self.signal(pid, Signal::Term, s);
        }
        if !waits {
            self.kernel_ends(host, s);
        }
    }
    fn kernel_ends(&self, host: HostId, s: &mut Sch<P>) {
        let h = self.host(host);
        s.after(h.shutdown_time, Ev::Shutdown(host, h.life));
    }
    /// SIGKILL. A process that hangs in the kernel does not die before the hang is over.
    pub fn kill(&mut self, pid: Pid, s: &mut Sch<P>) {
        if self.procs[pid.0 as usize].life == Life::Hung {
            self.procs[pid.0 as usize].doomed = true;
        } else {
            self.end(pid, true, s);
        }
    }
    /// What a process does with the host's watchdog device.
    pub(crate) fn watchdog(&mut self, host: HostId, what: Watchdog, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        if !h.watchdog.present {
            return;
        }
        let now = s.now();
        match what {
            Watchdog::Arm(timeout) => {
                h.watchdog.timeout = timeout;
                h.watchdog.fed = now;
                let life = h.life;
                let timer = *h.watchdog.running.get_or_insert_with(|| s.new_timer(Ev::Watchdog(host, life)));
                s.arm(timer, now + timeout);
            }
            Watchdog::Feed => {
                let timeout = h.watchdog.timeout;
                if let Some(timer) = h.watchdog.running {
                    h.watchdog.fed = now;
                    s.arm(timer, now + timeout);
                }
            }
            Watchdog::Disarm => {
                if let Some(timer) = h.watchdog.running.take() {
                    s.free_timer(timer);
                }
            }
        }
    }
    /// The watchdog's time is over: the host is reset, as by its reset button, and boots. A `softdog` is a timer of the kernel: while the
    /// whole host stands still, so does it.
    pub(crate) fn watchdog_expired(&mut self, host: HostId, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        if h.freeze.is_some_and(|f| !f.queued) && !h.watchdog.hardware {
            h.watchdog.overdue = true;
            return;
        }
        let unfed = s.now().since(h.watchdog.fed);
        self.tell(s, Some(host), None, What::WatchdogReset(unfed));
        self.power_off(host, s);
        self.power_on(host, s);
    }
    /// SIGKILL to a process and all its children at once, the children first told to nobody.
    pub fn kill_all(&mut self, pid: Pid, s: &mut Sch<P>) {
        let host = self.procs[pid.0 as usize].host;
        let family: Vec<Pid> = self
            .host(host)
            .procs
            .iter()
            .copied()
            .filter(|c| *c == pid || self.proc(*c).parent == Some(pid))
            .collect();
        for p in family.iter().rev() {
            if !matches!(self.procs[p.0 as usize].life, Life::Dead | Life::Hung) {
                self.tell(s, Some(host), Some(*p), What::Ended(true));
                self.forget(*p, End::Killed, s);
                self.tcp_owner_gone(host, *p, s);
            }
        }
    }
    /// SIGSTOP or a hang, for a process and its children.
    pub fn pause(&mut self, pid: Pid, hung: bool) {
        let host = self.procs[pid.0 as usize].host;
        for i in 0..self.hosts[host.0 as usize].procs.len() {
            let p = self.hosts[host.0 as usize].procs[i];
            let p = &mut self.procs[p.0 as usize];
            if p.life == Life::Running
                && (self.hosts[host.0 as usize].procs[i] == pid || p.parent == Some(pid))
            {
                p.life = if hung { Life::Hung } else { Life::Stopped };
                self.changed = true;
            }
        }
    }
    /// SIGCONT, or the end of a hang, for a process and its children.
    pub fn resume(&mut self, pid: Pid, s: &mut Sch<P>) {
        let host = self.procs[pid.0 as usize].host;
        for i in 0..self.hosts[host.0 as usize].procs.len() {
            let q = self.hosts[host.0 as usize].procs[i];
            let p = &mut self.procs[q.0 as usize];
            if matches!(p.life, Life::Stopped | Life::Hung) && (q == pid || p.parent == Some(pid)) {
                p.life = Life::Running;
                self.changed = true;
                if p.doomed {
                    self.end(q, true, s);
                } else {
                    self.get_going(q, s);
                }
            }
        }
        // Connections may wait for a process that stood still.
        let ports: Vec<u16> = self.hosts[host.0 as usize].tcp.shared.keys().copied().collect();
        for port in ports {
            self.hand_out(host, port, s);
        }
    }
}
