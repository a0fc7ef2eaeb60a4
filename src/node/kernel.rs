//! The kernel of every host: timers, datagrams, ARP, and the delivery of inputs to processes.

use super::log::{Label, LostBy, What};
use super::process::{Action, Ctx, HostId, Input, NetId, Pid, Probe, Process, Signal, Timer};
use super::tcp::{NOWHERE, Segment};
use super::world::{Ev, Frame, Life, Payload, Power, Sch, World};
use crate::engine::{EventId, Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip, Mac};
use crate::net::arp::{Entry as Neigh, Next, Nud, wheel};

/// How long a reachable time holds (`neigh_periodic_work`).
pub(crate) const REACHABLE_PERIOD: Span = Span::secs(300);

impl<P: Process> World<P> {
    /// Handles one event.
    #[inline(always)]
    pub fn handle(&mut self, event: Ev<P::Msg>, s: &mut Sch<P>) {
        self.changed = false;
        match event {
            Ev::Segment { from_mac, mac, sent, plane, from, to, near, segment } => {
                self.segment_arrives((from_mac, mac), sent, plane, (from, to), near, segment, s);
            }
            Ev::Datagram { from_mac, mac, sent, plane, from, to, msg } => {
                self.datagram(from_mac, mac, sent, plane, from, to, msg, s);
            }
            Ev::Timer(pid, generation, timer) => {
                if self.procs[pid.0 as usize].generation == generation {
                    self.timer(pid, timer, s);
                }
            }
            Ev::Synced(pid, generation, tag) => {
                let p = &self.procs[pid.0 as usize];
                if p.generation == generation {
                    let ok = !self.host(p.host).disk.full;
                    self.input(pid, Input::Synced { tag, ok }, s);
                }
            }
            seldom => self.handle_seldom(seldom, s),
        }
    }
    /// The events that are few: they have a function of their own, so that the others have a small one.
    #[cold]
    fn handle_seldom(&mut self, event: Ev<P::Msg>, s: &mut Sch<P>) {
        match event {
            Ev::Arrive(mac, sent, id) => {
                if let Some(frame) = self.flight.land(id) {
                    self.arrive(mac, sent, frame, s);
                }
            }
            Ev::Ack { ports, sent, plane, from, to, number } => {
                self.set_aside = Some(EventId(s.current().0 + 1));
                self.segment_hindered(ports, sent, plane, (from, to), NOWHERE, Segment::Ack(number), s);
                self.set_aside = None;
            }
            Ev::Wake(pid, generation) => {
                if self.procs[pid.0 as usize].generation == generation {
                    self.drain(pid, s);
                }
            }
            Ev::Neigh(host, net, ip) => self.neigh_timer(host, net, ip, s),
            Ev::Tcp(host, conn) => self.tcp_timer(host, conn, s),
            Ev::Exec(pid, generation, tag, run) => {
                if self.procs[pid.0 as usize].generation == generation {
                    let ok = if run.1 { None } else { Some(self.probe(pid, &run.0)) };
                    self.input(pid, Input::Exec { tag, ok }, s);
                }
            }
            Ev::Watchdog(host, life) => {
                if self.host(host).life == life {
                    self.watchdog_expired(host, s);
                }
            }
            Ev::Shutdown(host, life) => {
                if self.host(host).life == life && self.host(host).power == Power::On {
                    self.power_off(host, s);
                    self.power_on(host, s);
                }
            }
            Ev::Booted(host, life) => self.booted(host, life, s),
            Ev::Start(pid, generation) => {
                if self.procs[pid.0 as usize].generation == generation {
                    self.start_now(pid, s);
                }
            }
            Ev::Thaw(host, freeze) => {
                if self.host(host).freezes == freeze {
                    self.thaw(host, s);
                }
            }
            Ev::Outer(_) | Ev::Segment { .. } | Ev::Datagram { .. } | Ev::Timer(..) | Ev::Synced(..) => {}
        }
    }

    /// Whether the host's kernel hears frames.
    #[inline]
    fn deaf(&self, host: HostId) -> bool {
        let h = &self.hosts[host.0 as usize];
        h.power != Power::On || h.freeze.is_some_and(|f| !f.queued)
    }

    // ---- frames ----------------------------------------------------------------------------------------------------

    /// Whether a frame that reaches an interface gets into the kernel, and what the log says of it.
    fn receive(
        &mut self,
        from: Mac,
        mac: Mac,
        sent: Time,
        label: impl FnOnce(&Self) -> Label,
        s: &Sch<P>,
    ) -> Option<(HostId, NetId)> {
        let (host, i) = self.macs[mac.0 as usize];
        let nic = &self.hosts[host.0 as usize].nics[i as usize];
        let (net, carrier) = (nic.net, nic.carrier);
        let sender = self.macs[from.0 as usize].0;
        // What a host sends to itself goes over no wire.
        let wire = from != mac;
        if (wire && !carrier) || self.deaf(host) {
            let why = if carrier || !wire { LostBy::HostDown } else { LostBy::NoCarrier };
            let label = label(self);
            self.lost(s, sender, host, label, why);
            return None;
        }
        if self.log.level == super::log::Level::Full {
            let label = label(self);
            self.tell(s, Some(host), None, What::Frame(sender, sent, label));
        }
        Some((host, net))
    }

    /// A segment reaches an interface; `near` is where the receiver may find its connection.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn segment_arrives(
        &mut self,
        (from_mac, mac): (Mac, Mac),
        sent: Time,
        plane: Plane,
        (from, to): (Endpoint, Endpoint),
        near: u32,
        segment: Segment<P::Msg>,
        s: &mut Sch<P>,
    ) {
        let (host, nic) = self.macs[mac.0 as usize];
        let h = &self.hosts[host.0 as usize];
        // Nearly always nothing is in the way.
        if h.power == Power::On
            && h.freeze.is_none()
            && (h.nics[nic as usize].carrier || from_mac == mac)
            && self.log.level != super::log::Level::Full
            && !P::hooked(&h.files)
            && h.takes(to.ip)
        {
            self.segment(host, (from, to), plane, near, segment, s);
        } else {
            self.segment_hindered((from_mac, mac), sent, plane, (from, to), near, segment, s);
        }
    }
    /// The same where something may be in the way.
    #[allow(clippy::too_many_arguments)]
    #[cold]
    fn segment_hindered(
        &mut self,
        (from_mac, mac): (Mac, Mac),
        sent: Time,
        plane: Plane,
        (mut from, mut to): (Endpoint, Endpoint),
        near: u32,
        mut segment: Segment<P::Msg>,
        s: &mut Sch<P>,
    ) {
        let label = |w: &Self| w.segment_label(plane, &segment);
        let Some((host, _)) = self.receive(from_mac, mac, sent, label, s) else { return };
        if P::hooked(&self.hosts[host.0 as usize].files) {
            match self.hook(host, plane, Payload::Tcp(from, to, segment), s) {
                Some(Payload::Tcp(f, t, own)) => (from, to, segment) = (f, t, own),
                _ => return,
            }
        }
        let sender = self.macs[from_mac.0 as usize].0;
        self.own_segment(host, sender, (from, to), plane, near, segment, s);
    }
    /// A segment that the host does not pass on.
    #[allow(clippy::too_many_arguments)]
    fn own_segment(
        &mut self,
        host: HostId,
        sender: HostId,
        (from, to): (Endpoint, Endpoint),
        plane: Plane,
        near: u32,
        segment: Segment<P::Msg>,
        s: &mut Sch<P>,
    ) {
        if self.owns(host, to.ip) {
            self.segment(host, (from, to), plane, near, segment, s);
        } else {
            let label = self.segment_label(plane, &segment);
            self.lost(s, sender, host, label, LostBy::NotHere(to.ip));
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn datagram(
        &mut self,
        from_mac: Mac,
        mac: Mac,
        sent: Time,
        plane: Plane,
        from: Endpoint,
        to: Endpoint,
        msg: P::Msg,
        s: &mut Sch<P>,
    ) {
        let label = |w: &Self| {
            let (word, number) = (w.label)(&msg);
            Label { plane, word, number }
        };
        let Some((host, _)) = self.receive(from_mac, mac, sent, label, s) else { return };
        let (from, to, msg) = if to.ip.is_multicast() || !P::hooked(&self.hosts[host.0 as usize].files) {
            (from, to, msg)
        } else {
            match self.hook(host, plane, Payload::Datagram(from, to, msg), s) {
                Some(Payload::Datagram(from, to, msg)) => (from, to, msg),
                _ => return,
            }
        };
        self.deliver(host, from_mac, plane, (from, to, msg), s);
    }
    /// A datagram that the host does not pass on.
    fn deliver(
        &mut self,
        host: HostId,
        from_mac: Mac,
        plane: Plane,
        (from, to, msg): (Endpoint, Endpoint, P::Msg),
        s: &mut Sch<P>,
    ) {
        if !to.ip.is_multicast() && !self.owns(host, to.ip) {
            let (word, number) = (self.label)(&msg);
            let label = Label { plane, word, number };
            self.lost(s, self.macs[from_mac.0 as usize].0, host, label, LostBy::NotHere(to.ip));
            return;
        }
        let pid = self.hosts[host.0 as usize].bound.iter().find(|(p, _)| *p == to.port).map(|b| b.1);
        if let Some(pid) = pid {
            self.input(pid, Input::Packet { from, to, msg }, s);
        }
    }

    fn arrive(&mut self, mac: Mac, sent: Time, frame: Frame<P::Msg>, s: &mut Sch<P>) {
        let Some((host, net)) = self.receive(frame.from, mac, sent, |w| w.frame_label(&frame), s) else {
            return;
        };
        let Frame { from: sender_port, to: frame_to, plane, mut payload } = frame;
        if P::hooked(&self.hosts[host.0 as usize].files) {
            match self.hook(host, plane, payload, s) {
                Some(own) => payload = own,
                None => return,
            }
        }
        let sender = self.macs[sender_port.0 as usize].0;
        if let Payload::Tunnel(outer, inner) = payload {
            match self.unpack(host, outer, *inner) {
                Some(inner) => payload = inner,
                None => {
                    let label = Label { plane, word: "IP in IP", number: 0 };
                    self.lost(s, sender, host, label, LostBy::NotHere(outer));
                    return;
                }
            }
        }
        match payload {
            Payload::Arp { reply, sender, mac: sender_mac, target } => {
                self.arp_heard(host, net, reply, sender, sender_mac, target, frame_to, s);
            }
            Payload::Tcp(from, to, segment) => {
                self.own_segment(host, sender, (from, to), plane, NOWHERE, segment, s);
            }
            Payload::Datagram(from, to, msg) => self.deliver(host, sender_port, plane, (from, to, msg), s),
            Payload::Tunnel(..) => {}
        }
    }

    // ---- sending ---------------------------------------------------------------------------------------------------

    pub(crate) fn neigh_entry(&self, host: HostId, net: NetId, ip: Ip) -> Option<&Neigh> {
        self.hosts[host.0 as usize].neigh.iter().find(|(n, e)| *n == net && e.ip == ip).map(|(_, e)| e)
    }

    /// The hardware address to use for `ip`, if there is one; the entry notices that it is used.
    #[inline]
    pub(crate) fn neigh_use(&mut self, host: HostId, net: NetId, ip: Ip, s: &mut Sch<P>) -> Option<Mac> {
        let now = s.now();
        let h = &mut self.hosts[host.0 as usize];
        let (delay, retrans, phase) = (h.parms.delay_first_probe_time, h.parms.retrans_time, h.tick_phase);
        if let Some((_, e)) = h.neigh.iter_mut().find(|(n, e)| *n == net && e.ip == ip) {
            e.used = now;
            match e.state {
                Nud::Reachable | Nud::Delay | Nud::Probe => return Some(e.mac),
                Nud::Stale => {
                    e.state = Nud::Delay;
                    e.updated = now;
                    s.arm(e.timer, wheel(now, now + delay, phase));
                    return Some(e.mac);
                }
                Nud::Incomplete => return None,
                Nud::Failed => {
                    e.state = Nud::Incomplete;
                    (e.probes, e.updated) = (1, now);
                    s.arm(e.timer, wheel(now, now + retrans, phase));
                    return None;
                }
            }
        }
        let timer = s.new_timer(Ev::Neigh(host, net, ip));
        s.arm(timer, wheel(now, now + retrans, phase));
        h.neigh.push((
            net,
            Neigh {
                ip,
                mac: Mac(0),
                state: Nud::Incomplete,
                confirmed: Time::ZERO,
                updated: now,
                used: now,
                probes: 1,
                timer,
                because: s.current(),
            },
        ));
        None
    }

    pub(crate) fn arp_ask(&mut self, host: HostId, net: NetId, own: Ip, target: Ip, to: Mac, s: &mut Sch<P>) {
        let Some(mac) = self.hosts[host.0 as usize].nics.iter().find(|n| n.net == net).map(|n| n.mac) else {
            return;
        };
        let payload = Payload::Arp { reply: false, sender: own, mac, target };
        self.transmit(host, net, Frame { from: mac, to, plane: Plane::arp, payload }, s);
    }

    /// The reachable time of a host's interfaces, between half and one and a half `base_reachable_time`: drawn anew every 300 s
    /// (`neigh_periodic_work`), the same for all its entries. The draw of a period does not depend on how often it is asked for.
    fn reachable_time(&mut self, host: HostId, now: Time) -> Span {
        let h = &self.hosts[host.0 as usize];
        let base = h.parms.base_reachable_time;
        let (stream, half) = (h.s_reachable, Span(base.0 / 2));
        let period = (now.0 + h.reachable_phase.0) / REACHABLE_PERIOD.0;
        let (mut drawn, mut time) = h.reachable;
        while drawn <= period {
            time = self.streams.span(stream, SpanRange::new(half, half + base));
            drawn += 1;
        }
        self.hosts[host.0 as usize].reachable = (drawn, time);
        time
    }

    fn neigh_timer(&mut self, host: HostId, net: NetId, ip: Ip, s: &mut Sch<P>) {
        if self.hosts[host.0 as usize].power != Power::On {
            return;
        }
        let now = s.now();
        if let Some(f) = self.hosts[host.0 as usize].freeze
            && !f.queued
        {
            // The kernel stands still: it looks again when it goes on.
            if let Some(e) = self.neigh_entry(host, net, ip) {
                let timer = e.timer;
                s.arm(timer, now + Span::ms(100));
            }
            return;
        }
        self.settle_all(host, s);
        let reachable = self.reachable_time(host, now);
        let h = &mut self.hosts[host.0 as usize];
        let (parms, phase) = (h.parms, h.tick_phase);
        let Some((_, e)) = h.neigh.iter_mut().find(|(n, e)| *n == net && e.ip == ip) else { return };
        let (timer, mac) = (e.timer, e.mac);
        let next = e.on_timer(now, reachable, &parms);
        let usable = matches!(e.state, Nud::Reachable | Nud::Delay | Nud::Probe);
        if !usable {
            self.ways_changed();
        }
        let own = self.route(host, ip).map(|r| r.1);
        match next {
            Next::Rest => {}
            Next::At(at) => {
                s.arm(timer, wheel(now, at, phase));
            }
            Next::ProbeUnicast(at) | Next::ProbeBroadcast(at) => {
                s.arm(timer, wheel(now, at, phase));
                if let Some(own) = own {
                    let to = if matches!(next, Next::ProbeUnicast(_)) { mac } else { Mac::ALL };
                    self.arp_ask(host, net, own, ip, to, s);
                }
            }
            Next::Failed => {
                self.tell(s, Some(host), None, What::ArpFailed(ip));
                self.changed = true;
                let waiting = std::mem::take(&mut self.hosts[host.0 as usize].waiting);
                let (failed, rest): (Vec<_>, Vec<_>) =
                    waiting.into_iter().partition(|w| w.0 == net && w.1 == ip);
                self.hosts[host.0 as usize].waiting = rest;
                for (_, _, frame) in failed {
                    self.undeliverable(host, frame.plane, frame.payload, s);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn arp_heard(
        &mut self,
        host: HostId,
        net: NetId,
        reply: bool,
        sender: Ip,
        mac: Mac,
        target: Ip,
        frame_to: Mac,
        s: &mut Sch<P>,
    ) {
        self.settle_all(host, s);
        let now = s.now();
        let gratuitous = sender == target;
        let unicast_reply = reply && frame_to != Mac::ALL;
        let reachable = self.reachable_time(host, now);
        let asked_us = !reply && !gratuitous && self.answers_arp(host, target);
        let h = &mut self.hosts[host.0 as usize];
        let (parms, phase) = (h.parms, h.tick_phase);
        if let Some((_, e)) = h.neigh.iter_mut().find(|(n, e)| *n == net && e.ip == sender) {
            let (before, old) = (e.state, e.mac);
            let moved = e.hear(mac, unicast_reply, gratuitous, now, &parms);
            let (timer, after) = (e.timer, e.state);
            if moved || matches!(before, Nud::Incomplete | Nud::Failed) {
                e.because = s.current();
            }
            if after == Nud::Reachable && before != Nud::Reachable {
                s.arm(timer, wheel(now, now + reachable, phase));
            } else if after == Nud::Stale {
                s.disarm(timer);
            }
            if moved || after == Nud::Stale {
                self.ways_changed();
            }
            if moved {
                self.changed = true;
                self.tell(s, Some(host), None, What::ArpMoved(sender, old, mac, gratuitous));
            }
            if before == Nud::Incomplete && after != Nud::Incomplete {
                self.flush(host, net, sender, s);
            }
        } else if asked_us || (gratuitous && parms.arp_accept) {
            let timer = s.new_timer(Ev::Neigh(host, net, sender));
            h.neigh.push((
                net,
                Neigh {
                    ip: sender,
                    mac,
                    state: Nud::Stale,
                    confirmed: Time::ZERO,
                    updated: now,
                    used: Time::ZERO,
                    probes: 0,
                    timer,
                    because: s.current(),
                },
            ));
        }
        if asked_us {
            let Some(own_mac) = self.hosts[host.0 as usize].nics.iter().find(|n| n.net == net).map(|n| n.mac)
            else {
                return;
            };
            let payload = Payload::Arp { reply: true, sender: target, mac: own_mac, target: sender };
            self.transmit(host, net, Frame { from: own_mac, to: mac, plane: Plane::arp, payload }, s);
        }
    }

    /// Sends what waited for an ARP answer.
    fn flush(&mut self, host: HostId, net: NetId, ip: Ip, s: &mut Sch<P>) {
        let mut i = 0;
        while let Some(w) = self.hosts[host.0 as usize].waiting.get(i) {
            if w.0 != net || w.1 != ip {
                i += 1;
                continue;
            }
            let mut frame = self.hosts[host.0 as usize].waiting.remove(i).2;
            if let Some(mac) = self.neigh_use(host, net, ip, s) {
                frame.to = mac;
                self.transmit(host, net, frame, s);
            }
        }
    }

    /// TCP progress confirms the neighbour.
    pub(crate) fn confirm(&mut self, host: HostId, ip: Ip, now: Time) {
        let ip = self.next_hop(host, ip);
        for (_, e) in &mut self.hosts[host.0 as usize].neigh {
            if e.ip == ip && !matches!(e.state, Nud::Incomplete | Nud::Failed) {
                e.confirmed = e.confirmed.max(now);
            }
        }
    }

    // ---- processes -------------------------------------------------------------------------------------------------

    /// Hands an input to a process: now, or when it gets to it.
    #[inline]
    pub(crate) fn input(&mut self, pid: Pid, input: Input<P::Msg>, s: &mut Sch<P>) {
        let p = &self.procs[pid.0 as usize];
        let h = &self.hosts[p.host.0 as usize];
        if p.life == Life::Running && h.gets_to_it() {
            self.run(pid, input, s);
        } else {
            self.input_later(pid, input, s);
        }
    }
    /// A timer of a process runs out.
    #[inline]
    fn timer(&mut self, pid: Pid, timer: Timer, s: &mut Sch<P>) {
        let p = &mut self.procs[pid.0 as usize];
        let h = &self.hosts[p.host.0 as usize];
        if !(p.life == Life::Running && h.gets_to_it()) {
            return self.input_later(pid, Input::Timer(timer), s);
        }
        match p.logic.quiet(timer) {
            Some(span) => self.set_timer(pid, timer, span, s),
            None => self.run(pid, Input::Timer(timer), s),
        }
    }
    #[cold]
    fn input_later(&mut self, pid: Pid, input: Input<P::Msg>, s: &mut Sch<P>) {
        let p = &self.procs[pid.0 as usize];
        let h = &self.hosts[p.host.0 as usize];
        if p.life == Life::Dead || h.power != Power::On {
            return;
        }
        if p.life != Life::Running || h.freeze.is_some() {
            let clock_stops = h.freeze.is_some_and(|f| f.clock_stops);
            let p = &mut self.procs[pid.0 as usize];
            match input {
                Input::Timer(timer) if clock_stops => p.overdue.push((s.now(), timer)),
                input => p.inbox.push_back(input),
            }
            return;
        }
        if h.wakeup.max > Span::ZERO {
            let (stream, range) = (h.s_wakeup, h.wakeup);
            let p = &mut self.procs[pid.0 as usize];
            p.inbox.push_back(input);
            if !p.waking {
                p.waking = true;
                let generation = p.generation;
                let delay = self.streams.span(stream, range);
                s.after(delay, Ev::Wake(pid, generation));
            }
        }
    }

    /// A process works through its inbox: overdue timers first, as an event loop does.
    pub(crate) fn drain(&mut self, pid: Pid, s: &mut Sch<P>) {
        let p = &mut self.procs[pid.0 as usize];
        p.waking = false;
        if p.life != Life::Running || self.hosts[p.host.0 as usize].freeze.is_some() {
            return;
        }
        let generation = p.generation;
        let (mut timers, mut others) = std::mem::take(&mut self.batch);
        for input in p.inbox.drain(..) {
            if matches!(input, Input::Timer(_)) { timers.push(input) } else { others.push(input) }
        }
        for input in timers.drain(..).chain(others.drain(..)) {
            if self.procs[pid.0 as usize].generation == generation {
                self.run(pid, input, s);
            }
        }
        self.batch = (timers, others);
    }

    #[inline(never)]
    fn run(&mut self, pid: Pid, input: Input<P::Msg>, s: &mut Sch<P>) {
        let mut out = std::mem::take(&mut self.out);
        let host = self.procs[pid.0 as usize].host;
        let now = self.clock(host, s.now());
        let p = &mut self.procs[pid.0 as usize];
        let h = &mut self.hosts[host.0 as usize];
        let wall_clock = i64::try_from(now.0).unwrap_or(i64::MAX).saturating_add(h.clock_offset);
        let mut ctx = Ctx {
            now,
            wall_clock,
            me: pid,
            host,
            event: s.current(),
            out: &mut out,
            files: &mut h.files,
            has_watchdog: h.watchdog.present,
            next_conn: &mut h.next_conn,
            luck: (&mut self.streams, p.luck),
            addresses: &h.addresses,
            nics: &h.nics,
        };
        p.logic.on(input, &mut ctx);
        let generation = p.generation;
        for action in out.drain(..) {
            self.act(pid, host, action, s);
            // An end of the process is an end of what it asked for.
            if self.procs[pid.0 as usize].generation != generation {
                break;
            }
        }
        self.out = out;
    }

    #[inline]
    fn act(&mut self, pid: Pid, host: HostId, action: Action<P::Msg, P::Note>, s: &mut Sch<P>) {
        match action {
            Action::TcpSend(conn, msg) => self.tcp_send(host, conn, Some(msg), s),
            Action::Send { from, to, net, plane, msg } => self.send(host, from, to, net, plane, msg, s),
            Action::SetTimer(timer, span) => self.set_timer(pid, timer, span, s),
            Action::Sync(tag) => self.sync(pid, host, tag, s),
            Action::Note(note) => self.tell(s, Some(host), Some(pid), What::Note(note)),
            seldom => self.act_seldom(pid, host, seldom, s),
        }
    }
    #[allow(clippy::too_many_arguments)]
    fn send(
        &mut self,
        host: HostId,
        mut from: Endpoint,
        to: Endpoint,
        net: Option<NetId>,
        plane: Plane,
        msg: P::Msg,
        s: &mut Sch<P>,
    ) {
        if to.ip.is_multicast() {
            let Some(net) = net else { return };
            let Some(mac) = self.hosts[host.0 as usize].nics.iter().find(|n| n.net == net).map(|n| n.mac)
            else {
                return;
            };
            let payload = Payload::Datagram(from, to, msg);
            self.transmit(host, net, Frame { from: mac, to: Mac::ALL, plane, payload }, s);
            return;
        }
        if let Some(way) = self.way(host, to.ip, 0) {
            let way = self.known(host, way);
            from.ip = if from.ip == Ip::NONE { way.own } else { from.ip };
            return self.send_along(host, &way, plane, Payload::Datagram(from, to, msg), s);
        }
        if from.ip == Ip::NONE {
            from.ip = self.route(host, to.ip).map_or(Ip::NONE, |r| r.1);
            from.ip = if self.owns(host, to.ip) { to.ip } else { from.ip };
        }
        self.emit(host, to.ip, plane, Payload::Datagram(from, to, msg), s);
    }
    fn sync(&mut self, pid: Pid, host: HostId, tag: u16, s: &mut Sch<P>) {
        let h = &self.hosts[host.0 as usize];
        let (stream, range) = (h.s_disk, h.disk.slow.unwrap_or(h.disk.time));
        let took = self.streams.span(stream, range);
        let disk = &mut self.hosts[host.0 as usize].disk;
        disk.busy_until = disk.busy_until.max(s.now()) + took;
        let at = disk.busy_until;
        s.at(at, Ev::Synced(pid, self.procs[pid.0 as usize].generation, tag));
    }
    /// What is asked for now and then; see [`World::handle_seldom`].
    #[inline(never)]
    fn act_seldom(&mut self, pid: Pid, host: HostId, action: Action<P::Msg, P::Note>, s: &mut Sch<P>) {
        match action {
            Action::Bind(port) => self.hosts[host.0 as usize].bound.push((port, pid)),
            Action::Listen(port, backlog) => {
                self.hosts[host.0 as usize].tcp.listeners.insert(port, (pid, backlog));
            }
            Action::ListenShared(port, backlog, pick) => self.listen_shared(host, pid, port, backlog, pick),
            Action::Accept(port) => self.accept(host, pid, port, s),
            Action::NotAccept(port) => {
                if let Some(l) = self.hosts[host.0 as usize].tcp.shared.get_mut(&port) {
                    l.acceptors.retain(|p| *p != pid);
                }
            }
            Action::Tell(to, msg) => self.input(to, Input::Call(msg), s),
            Action::Connect(conn, to, plane, options) => {
                self.tcp_connect(host, pid, conn, to, plane, options, s)
            }
            Action::Close(conn) => self.tcp_close(host, conn, s),
            Action::Shutdown(conn) => self.tcp_shutdown(host, conn, s),
            Action::Abort(conn) => self.tcp_abort(host, conn, s),
            Action::Unaccepted(port, n) => {
                self.hosts[host.0 as usize].tcp.unaccepted.insert(port, n);
            }
            Action::AddAddress(net, cidr) => self.add_address(host, net, cidr, s),
            Action::RemoveAddress(net, ip) => self.remove_address(host, net, ip, s),
            Action::GratuitousArp(net, ip) => {
                let Some(mac) = self.hosts[host.0 as usize].nics.iter().find(|n| n.net == net).map(|n| n.mac)
                else {
                    return;
                };
                let payload = Payload::Arp { reply: false, sender: ip, mac, target: ip };
                self.transmit(host, net, Frame { from: mac, to: Mac::ALL, plane: Plane::arp, payload }, s);
            }
            Action::CancelTimer(timer) => {
                if let Some(Some(id)) = self.procs[pid.0 as usize].timers.get(timer.0 as usize) {
                    s.disarm(*id);
                }
                let p = &mut self.procs[pid.0 as usize];
                p.inbox.retain(|i| !matches!(i, Input::Timer(t) if *t == timer));
            }
            Action::Spawn(child) => self.start_now(child, s),
            Action::Signal(to, signal) => self.signal(to, signal, s),
            Action::Watchdog(what) => self.watchdog(host, what, s),
            Action::Power(to, what) => self.switch(pid, to, what, s),
            Action::Exec(probe, run_time, timeout, tag) => {
                let name = format!("host/{}/exec/{tag}", self.hosts[host.0 as usize].name);
                let stream = self.streams.named(&name);
                let mut took = self.streams.span(stream, run_time);
                if let Probe::Answers(port) = &probe
                    && self.silent(host, *port)
                {
                    took = timeout + Span(1);
                }
                let killed = took > timeout;
                let generation = self.procs[pid.0 as usize].generation;
                s.after(took.min(timeout), Ev::Exec(pid, generation, tag, Box::new((probe, killed))));
            }
            Action::Exit(_) => self.end(pid, false, s),
            Action::TcpSend(..)
            | Action::Send { .. }
            | Action::SetTimer(..)
            | Action::Sync(_)
            | Action::Note(_) => {}
        }
    }

    fn set_timer(&mut self, pid: Pid, timer: Timer, span: Span, s: &mut Sch<P>) {
        let p = &mut self.procs[pid.0 as usize];
        let i = timer.0 as usize;
        if p.timers.len() <= i {
            p.timers.resize(i + 1, None);
        }
        let generation = p.generation;
        let id = *p.timers[i].get_or_insert_with(|| s.new_timer(Ev::Timer(pid, generation, timer)));
        let drift = self.hosts[p.host.0 as usize].drift_ppm;
        let span = if drift == 0 {
            span
        } else {
            span.ratio(1_000_000, (1_000_000 + i64::from(drift)).max(1) as u64)
        };
        s.arm(id, s.now() + span);
    }

    /// Whether a check of this local port would hang: its process exists but does not run.
    fn silent(&self, host: HostId, port: u16) -> bool {
        self.host(host)
            .tcp
            .listeners
            .get(&port)
            .is_some_and(|(p, _)| matches!(self.proc(*p).life, Life::Stopped | Life::Hung))
    }
    fn probe(&self, pid: Pid, probe: &Probe) -> bool {
        let host = self.proc(pid).host;
        match probe {
            Probe::Running(name) => self
                .host(host)
                .procs
                .iter()
                .any(|p| self.proc(*p).name == *name && self.proc(*p).life != Life::Dead),
            Probe::Answers(port) => self
                .host(host)
                .tcp
                .listeners
                .get(port)
                .is_some_and(|(p, _)| self.proc(*p).life == Life::Running),
            Probe::Powered(other) => self.host(*other).power != Power::Off,
        }
    }

    // ---- addresses -------------------------------------------------------------------------------------------------

    pub(crate) fn add_address(&mut self, host: HostId, net: NetId, cidr: Cidr, s: &mut Sch<P>) {
        if self.owns(host, cidr.ip) {
            return;
        }
        self.settle_all(host, s);
        self.hosts[host.0 as usize].addresses.push((net, cidr));
        self.ways_changed();
        self.changed = true;
        self.tell(s, Some(host), None, What::AddressAdded(cidr.ip));
    }
    pub(crate) fn remove_address(&mut self, host: HostId, net: NetId, ip: Ip, s: &mut Sch<P>) {
        self.settle_all(host, s);
        let before = self.hosts[host.0 as usize].addresses.len();
        self.hosts[host.0 as usize].addresses.retain(|(n, a)| *n != net || a.ip != ip);
        if self.hosts[host.0 as usize].addresses.len() != before {
            self.ways_changed();
            self.changed = true;
            self.tell(s, Some(host), None, What::AddressRemoved(ip));
        }
    }

    /// The carrier of an interface comes or goes; the host's processes are told.
    pub fn carrier(&mut self, host: HostId, net: NetId, up: bool, s: &mut Sch<P>) {
        let Some(nic) = self.hosts[host.0 as usize].nics.iter().find(|n| n.net == net) else { return };
        if nic.carrier == up {
            return;
        }
        let mac = nic.mac;
        self.settle_all(host, s);
        let (_, i) = self.macs[mac.0 as usize];
        self.hosts[host.0 as usize].nics[i as usize].carrier = up;
        self.ways_changed();
        self.nets[net.0 as usize].forget(mac);
        self.changed = true;
        for i in 0..self.hosts[host.0 as usize].procs.len() {
            let pid = self.hosts[host.0 as usize].procs[i];
            self.input(pid, Input::Carrier(net, up), s);
        }
    }
    /// Sends a signal to a process that can hear it.
    pub fn signal(&mut self, pid: Pid, signal: Signal, s: &mut Sch<P>) {
        match signal {
            Signal::Kill => self.kill(pid, s),
            signal => self.input(pid, Input::Signal(signal), s),
        }
    }
    /// Hands a process an operator's command.
    pub fn call(&mut self, pid: Pid, msg: P::Msg, s: &mut Sch<P>) {
        self.input(pid, Input::Call(msg), s);
    }
    /// The event that is being handled, as evidence.
    pub fn event(s: &Sch<P>) -> EventId {
        s.current()
    }
}
