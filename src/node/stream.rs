//! The kernel's side of TCP: what segments and timers do to connections.

use super::log::What;
use super::process::{ConnId, HostId, Input, Pid, Process, Tcp, TcpOptions};
use super::tcp::{Conn, NOWHERE, Pick, Queued, Segment, Shared, State};
use super::world::{Ev, Frame, Life, Payload, Sch, World};
use crate::engine::sched::Armed;
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use std::collections::VecDeque;

impl<P: Process> World<P> {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn tcp_connect(
        &mut self,
        host: HostId,
        owner: Pid,
        id: ConnId,
        remote: Endpoint,
        plane: Plane,
        options: TcpOptions,
        s: &mut Sch<P>,
    ) {
        let own = self.owns(host, remote.ip);
        let from = if own { Some(remote.ip) } else { self.route(host, remote.ip).map(|r| r.1) };
        let port = self.hosts[host.0 as usize].tcp.port();
        let local = Endpoint::new(from.unwrap_or(Ip::NONE), port);
        self.new_conn(host, id, owner, local, remote, plane, options, State::SynSent, s);
        if from.is_none() {
            self.finish(host, id, Tcp::Unreachable, s);
            return;
        }
        self.put(host, id, Segment::Syn, s);
        self.rearm(host, id, s);
    }

    #[allow(clippy::too_many_arguments)]
    fn new_conn(
        &mut self,
        host: HostId,
        id: ConnId,
        owner: Pid,
        local: Endpoint,
        remote: Endpoint,
        plane: Plane,
        options: TcpOptions,
        state: State,
        s: &mut Sch<P>,
    ) {
        let timer = s.new_timer(Ev::Tcp(host, id));
        let table = &mut self.hosts[host.0 as usize].tcp;
        let unacked = table.queue();
        table.insert(
            id,
            Conn {
                owner,
                local,
                remote,
                plane,
                options,
                state,
                unacked,
                send_next: 0,
                recv_next: 0,
                ahead: Vec::new(),
                retries: 0,
                since: s.now(),
                heard: s.now(),
                probes: 0,
                timer,
                closed: false,
                reading: false,
                peer_closed: false,
                near: (0, NOWHERE),
                foreseen: None,
            },
        );
    }

    fn conn(&self, host: HostId, id: ConnId) -> Option<&Conn<P::Msg>> {
        self.hosts[host.0 as usize].tcp.get(id)
    }
    fn conn_mut(&mut self, host: HostId, id: ConnId) -> Option<&mut Conn<P::Msg>> {
        self.hosts[host.0 as usize].tcp.get_mut(id)
    }

    /// Sends a segment of a connection.
    fn put(&mut self, host: HostId, id: ConnId, segment: Segment<P::Msg>, s: &mut Sch<P>) {
        if let Some(place) = self.hosts[host.0 as usize].tcp.find(id) {
            self.put_at(host, place, segment, s);
        }
    }
    /// The same by place, where the segment is one that somebody has to hear ([`World::acknowledge`] sends the others).
    pub(crate) fn put_at(&mut self, host: HostId, place: u32, segment: Segment<P::Msg>, s: &mut Sch<P>) {
        let now = s.now();
        let h = &mut self.hosts[host.0 as usize];
        let Some((_, c)) = h.tcp.at(place) else { return };
        let (from, to, plane, near) = (c.local, c.remote, c.plane, c.near);
        let Some(way) = h.ways.get(near.0 as usize).filter(|w| w.leads(to.ip, self.epoch)) else {
            return self.put_first(host, place, segment, s);
        };
        let (from_mac, mac) = way.ports;
        match way.go(&mut h.neigh, &mut self.nets, &self.rules, &mut self.streams, now) {
            Some(at) => {
                s.at(at, Ev::Segment { from_mac, mac, sent: now, plane, from, to, near: near.1, segment });
            }
            None => {
                let (way, payload) = (*way, Payload::Tcp(from, to, segment));
                self.wire_along(host, &way, Frame { from: from_mac, to: mac, plane, payload }, s);
            }
        }
    }
    /// The same where no way is known yet.
    #[cold]
    fn put_first(&mut self, host: HostId, place: u32, segment: Segment<P::Msg>, s: &mut Sch<P>) {
        let Some((_, c)) = self.hosts[host.0 as usize].tcp.at(place) else { return };
        let (from, to, plane, last) = (c.local, c.remote, c.plane, c.near.0);
        let Some(way) = self.way(host, to.ip, last) else {
            self.emit(host, to.ip, plane, Payload::Tcp(from, to, segment), s);
            return;
        };
        let (known, now) = (self.known(host, way), s.now());
        let (from_mac, mac) = known.ports;
        let Some(at) = self.go_along(host, &known, now) else {
            let payload = Payload::Tcp(from, to, segment);
            return self.wire_along(host, &known, Frame { from: from_mac, to: mac, plane, payload }, s);
        };
        let Some((_, c)) = self.hosts[host.0 as usize].tcp.at(place) else { return };
        c.near.0 = way;
        s.at(at, Ev::Segment { from_mac, mac, sent: now, plane, from, to, near: c.near.1, segment });
    }

    /// Sets the connection's timer for what comes next: a retransmission, a keepalive probe, or nothing.
    fn rearm(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        if let Some(place) = self.hosts[host.0 as usize].tcp.find(id) {
            self.rearm_at(host, place, s);
        }
    }
    fn rearm_at(&mut self, host: HostId, place: u32, s: &mut Sch<P>) {
        let Some((_, c)) = self.hosts[host.0 as usize].tcp.at(place) else { return };
        match c.deadline(s.now()) {
            Some(at) => {
                s.arm(c.timer, at);
            }
            None => s.disarm(c.timer),
        }
    }
    /// The same, by an acknowledgement: the arming has the identity that was set aside for it.
    fn rearm_acked(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        let Some(seq) = self.set_aside.take() else { return self.rearm(host, id, s) };
        let Some(c) = self.conn(host, id) else { return };
        let at = c.deadline(s.now()).unwrap_or(Time::MAX);
        s.arm_as(c.timer, Armed { at, seq: seq.0, cause: s.current().0 });
    }

    pub(crate) fn tcp_timer(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        let h = &self.hosts[host.0 as usize];
        if h.freeze.is_some_and(|f| !f.queued) {
            if let Some(c) = self.conn(host, id) {
                let timer = c.timer;
                s.after(Span::ms(100), Ev::Tcp(host, id));
                s.disarm(timer);
            }
            return;
        }
        let (syn_retries, retries2) = (h.tcp_syn_retries, h.tcp_retries2);
        let now = s.now();
        let Some(place) = self.hosts[host.0 as usize].tcp.find(id) else { return };
        self.settle(host, place, s);
        let Some(c) = self.conn_mut(host, id) else { return };
        let user = c.options.user_timeout;
        if c.state == State::Open && c.unacked.is_empty() {
            // A keepalive probe is due, or one too many has gone unanswered.
            let Some((_, _, count)) = c.options.keepalive else { return };
            if c.probes >= count {
                self.finish(host, id, Tcp::TimedOut, s);
                return;
            }
            c.probes += 1;
            self.put(host, id, Segment::Probe, s);
            self.rearm(host, id, s);
            return;
        }
        let limit = if c.state == State::Open { retries2 } else { syn_retries };
        if c.retries >= limit || (!user.is_zero() && now >= c.since + user) {
            self.finish(host, id, Tcp::TimedOut, s);
            return;
        }
        c.retries += 1;
        let again = match c.state {
            State::SynSent => Some(Segment::Syn),
            State::SynReceived => Some(Segment::SynAck),
            State::Open => c.unacked.front().map(|(n, m)| Segment::Data(*n, m.clone())),
        };
        if let Some(segment) = again {
            self.put(host, id, segment, s);
        }
        self.rearm(host, id, s);
    }

    pub(crate) fn tcp_send(&mut self, host: HostId, id: ConnId, msg: Option<P::Msg>, s: &mut Sch<P>) {
        let now = s.now();
        let Some(place) = self.hosts[host.0 as usize].tcp.find(id) else { return };
        let Some((_, c)) = self.settled(host, place, s) else { return };
        if c.closed {
            return;
        }
        let n = c.send_next;
        c.send_next += 1;
        let first = c.unacked.is_empty();
        if first {
            c.since = now;
            c.retries = 0;
        }
        c.unacked.push_back((n, msg.clone()));
        c.closed = msg.is_none();
        // While the oldest segment is being repeated, the congestion window holds new ones back.
        if c.state == State::Open && c.retries == 0 {
            self.put_at(host, place, Segment::Data(n, msg), s);
            if first {
                self.rearm_at(host, place, s);
            }
        }
    }

    /// `shutdown(SHUT_WR)`: the process goes on reading.
    pub(crate) fn tcp_shutdown(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        let Some(c) = self.conn_mut(host, id) else { return };
        if c.state == State::Open {
            c.reading = true;
            self.tcp_send(host, id, None, s);
            self.reap(host, id, s);
        } else {
            self.drop_conn(host, id, s);
        }
    }
    /// A close with a reset.
    pub(crate) fn tcp_abort(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        if self.conn(host, id).is_some_and(|c| c.state != State::SynSent) {
            self.put(host, id, Segment::Rst, s);
        }
        self.drop_conn(host, id, s);
    }
    pub(crate) fn tcp_close(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        let Some(c) = self.conn_mut(host, id) else { return };
        c.reading = false;
        if c.state == State::Open {
            self.tcp_send(host, id, None, s);
            self.reap(host, id, s);
        } else {
            self.drop_conn(host, id, s);
        }
    }

    /// Forgets a connection that both sides have closed and that owes nothing.
    fn reap(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        if self.conn(host, id).is_some_and(|c| c.closed && c.peer_closed && c.unacked.is_empty()) {
            self.drop_conn(host, id, s);
        }
    }
    fn drop_conn(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        if let Some(place) = self.hosts[host.0 as usize].tcp.find(id) {
            self.settle(host, place, s);
        }
        if let Some(timer) = self.hosts[host.0 as usize].tcp.remove(id) {
            s.free_timer(timer);
        }
    }
    /// A connection ends with news for its process.
    fn finish(&mut self, host: HostId, id: ConnId, news: Tcp<P::Msg>, s: &mut Sch<P>) {
        let Some((owner, heard)) = self.conn(host, id).map(|c| (c.owner, !c.closed || c.reading)) else {
            return;
        };
        let news = self.keep(host, id, news);
        self.drop_conn(host, id, s);
        if let Some(news) = news.filter(|_| heard) {
            self.input(owner, Input::Tcp(id, news), s);
        }
    }

    /// No ARP answer while connecting: EHOSTUNREACH.
    pub(crate) fn tcp_unreachable(&mut self, host: HostId, port: u16, to: Endpoint, s: &mut Sch<P>) {
        if let Some(id) = self.hosts[host.0 as usize].tcp.to(port, to)
            && self.conn(host, id).is_some_and(|c| c.state == State::SynSent)
        {
            self.finish(host, id, Tcp::Unreachable, s);
        }
    }

    /// A process ended: the kernel closes what it had open.
    pub(crate) fn tcp_owner_gone(&mut self, host: HostId, pid: Pid, s: &mut Sch<P>) {
        let table = &mut self.hosts[host.0 as usize].tcp;
        table.unaccepted.retain(|port, _| table.listeners.get(port).is_some_and(|(p, _)| *p != pid));
        for l in table.shared.values_mut() {
            l.acceptors.retain(|p| *p != pid);
        }
        table.shared.retain(|port, _| table.listeners.get(port).is_some_and(|(p, _)| *p != pid));
        table.listeners.retain(|_, (p, _)| *p != pid);
        let mine: Vec<ConnId> = self.hosts[host.0 as usize]
            .tcp
            .iter()
            .filter(|(_, c)| c.owner == pid)
            .map(|(id, _)| id)
            .collect();
        for id in mine {
            self.put(host, id, Segment::Rst, s);
            self.drop_conn(host, id, s);
        }
    }

    /// A segment for one of the host's own addresses.
    pub(crate) fn segment(
        &mut self,
        host: HostId,
        (from, to): (Endpoint, Endpoint),
        plane: Plane,
        near: u32,
        segment: Segment<P::Msg>,
        s: &mut Sch<P>,
    ) {
        let now = s.now();
        let Some(place) = self.hosts[host.0 as usize].tcp.peer(to, from, near) else {
            match segment {
                Segment::Syn => self.syn(host, from, to, plane, s),
                Segment::Rst | Segment::Unreachable(_) => {}
                _ => {
                    self.emit(host, from.ip, plane, Payload::Tcp(to, from, Segment::Rst), s);
                }
            }
            return;
        };
        let Some((id, c)) = self.settled(host, place, s) else { return };
        let (id, owner) = (*id, c.owner);
        c.heard = now;
        c.probes = 0;
        match segment {
            // The next in order: what nearly all are.
            Segment::Data(n, msg) if n == c.recv_next && c.state == State::Open && c.ahead.is_empty() => {
                c.recv_next += 1;
                // Without anything to repeat, and without keepalive, no timer runs.
                let probes = c.options.keepalive.is_some() && c.unacked.is_empty();
                self.acknowledge(host, place, s);
                if probes {
                    self.rearm_at(host, place, s);
                }
                match msg {
                    Some(m) if self.hosts[host.0 as usize].tcp.shared.is_empty() => {
                        self.input(owner, Input::Tcp(id, Tcp::Data(m)), s);
                    }
                    msg => self.hand_over(host, id, msg, s),
                }
            }
            seldom => self.segment_seldom(host, id, from, seldom, s),
        }
    }
    /// What few segments are; see [`World::segment`].
    #[inline(never)]
    fn segment_seldom(
        &mut self,
        host: HostId,
        id: ConnId,
        from: Endpoint,
        segment: Segment<P::Msg>,
        s: &mut Sch<P>,
    ) {
        let now = s.now();
        let Some(c) = self.conn_mut(host, id) else { return };
        let owner = c.owner;
        match segment {
            Segment::Syn => self.put(host, id, Segment::SynAck, s),
            Segment::SynAck if c.state == State::SynSent => {
                self.open(host, id, from.ip, now);
                self.put(host, id, Segment::Ack(0), s);
                self.resend_all(host, id, s);
                self.input(owner, Input::Tcp(id, Tcp::Connected), s);
            }
            Segment::SynAck => self.put(host, id, Segment::Ack(0), s),
            Segment::Ack(n) => {
                self.established(host, id, s);
                let Some(c) = self.conn_mut(host, id) else { return };
                let before = c.unacked.len();
                while c.unacked.front().is_some_and(|(first, _)| *first < n) {
                    c.unacked.pop_front();
                }
                // Only progress moves the time of the next retransmission.
                let moved = c.unacked.len() != before || c.unacked.is_empty();
                if c.unacked.len() != before {
                    let stalled = c.retries > 0;
                    c.retries = 0;
                    c.since = now;
                    self.confirm(host, from.ip, now);
                    if stalled {
                        self.resend_all(host, id, s);
                    }
                }
                if moved {
                    self.rearm_acked(host, id, s);
                }
                self.reap(host, id, s);
            }
            Segment::Data(n, msg) => {
                self.established(host, id, s);
                let Some(c) = self.conn_mut(host, id) else { return };
                let idle = c.unacked.is_empty();
                let fresh = n == c.recv_next;
                if fresh {
                    c.recv_next += 1;
                    while c.ahead.iter().any(|(early, _)| *early == c.recv_next) {
                        c.recv_next += 1;
                    }
                }
                let ack = c.recv_next;
                if n > ack && c.ahead.iter().all(|(early, _)| *early != n) {
                    // A segment that overtook another waits for it.
                    c.ahead.push((n, msg));
                    self.put(host, id, Segment::Ack(ack), s);
                    return;
                }
                self.put(host, id, Segment::Ack(ack), s);
                // What the peer sends does not put off a retransmission, only a keepalive.
                if idle {
                    self.rearm(host, id, s);
                }
                if fresh {
                    self.hand_over(host, id, msg, s);
                    for n in n + 1..ack {
                        let Some(c) = self.conn_mut(host, id) else { return };
                        let Some(i) = c.ahead.iter().position(|(early, _)| *early == n) else { return };
                        let (_, msg) = c.ahead.swap_remove(i);
                        self.hand_over(host, id, msg, s);
                    }
                }
            }
            Segment::Rst => self.finish(host, id, Tcp::Reset, s),
            Segment::Unreachable(of_host) => {
                if c.state == State::SynSent {
                    let news = if of_host { Tcp::Unreachable } else { Tcp::Reset };
                    self.finish(host, id, news, s);
                }
            }
            Segment::Probe => {
                let ack = c.recv_next;
                self.put(host, id, Segment::Ack(ack), s);
            }
        }
    }

    /// Hands the next message of a connection, or its end, to the process.
    #[cold]
    fn hand_over(&mut self, host: HostId, id: ConnId, msg: Option<P::Msg>, s: &mut Sch<P>) {
        // The end of the handshake may have come with this segment, and given the connection to another process.
        let Some(owner) = self.conn(host, id).map(|c| c.owner) else { return };
        if let Some(m) = msg {
            if let Some(news) = self.keep(host, id, Tcp::Data(m)) {
                self.input(owner, Input::Tcp(id, news), s);
            }
            return;
        }
        let Some(c) = self.conn_mut(host, id) else { return };
        c.peer_closed = true;
        if (!c.closed || c.reading)
            && let Some(news) = self.keep(host, id, Tcp::Closed)
        {
            self.input(owner, Input::Tcp(id, news), s);
        }
        self.reap(host, id, s);
    }

    /// A SYN for a port of this host: accepted by the kernel if somebody listens, whether or not the process runs just now.
    fn syn(&mut self, host: HostId, from: Endpoint, to: Endpoint, plane: Plane, s: &mut Sch<P>) {
        let Some((owner, backlog)) = self.hosts[host.0 as usize].tcp.listeners.get(&to.port).copied() else {
            self.emit(host, from.ip, plane, Payload::Tcp(to, from, Segment::Rst), s);
            return;
        };
        if self.hosts[host.0 as usize].tcp.shared.contains_key(&to.port) {
            let taken = self.queue_taken(host, to.port);
            if taken > backlog {
                if let Some(l) = self.hosts[host.0 as usize].tcp.shared.get_mut(&to.port) {
                    l.dropped += 1;
                }
                self.tell(s, Some(host), Some(owner), What::QueueFull(to.port, taken));
                return;
            }
            self.half_open(host, owner, (from, to), plane, s);
            return;
        }
        let waiting = self.procs[owner.0 as usize]
            .inbox
            .iter()
            .filter(|i| matches!(i, Input::Tcp(_, Tcp::Accepted { to: at, .. }) if at.port == to.port))
            .count() as u32;
        let left = self.hosts[host.0 as usize].tcp.unaccepted.get(&to.port).copied().unwrap_or(0);
        if waiting + left > backlog {
            return;
        }
        self.half_open(host, owner, (from, to), plane, s);
    }
    fn half_open(
        &mut self,
        host: HostId,
        owner: Pid,
        (from, to): (Endpoint, Endpoint),
        plane: Plane,
        s: &mut Sch<P>,
    ) {
        let h = &mut self.hosts[host.0 as usize];
        let id = ConnId(h.next_conn);
        h.next_conn = h.next_conn.wrapping_add(1);
        self.new_conn(host, id, owner, to, from, plane, TcpOptions::default(), State::SynReceived, s);
        self.put(host, id, Segment::SynAck, s);
        self.rearm(host, id, s);
    }

    /// The handshake is over on the side that was connected to.
    fn established(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        let Some(c) = self.conn(host, id) else { return };
        if c.state != State::SynReceived {
            return;
        }
        let (owner, from, to) = (c.owner, c.remote, c.local);
        self.open(host, id, from.ip, s.now());
        if self.hosts[host.0 as usize].tcp.shared.contains_key(&to.port) {
            self.enqueue(host, id, (from, to), s);
            return;
        }
        self.input(owner, Input::Tcp(id, Tcp::Accepted { from, to }), s);
    }

    // ---- a port that several processes accept on -------------------------------------------------------------------

    pub(crate) fn listen_shared(&mut self, host: HostId, pid: Pid, port: u16, backlog: u32, pick: Pick) {
        let table = &mut self.hosts[host.0 as usize].tcp;
        table.listeners.insert(port, (pid, backlog));
        let new = Shared { pick, queue: VecDeque::new(), acceptors: Vec::new(), dropped: 0, told: false };
        table.shared.entry(port).or_insert(new);
    }
    /// How many places of the accept queue are taken; a handshake under way counts.
    fn queue_taken(&self, host: HostId, port: u16) -> u32 {
        let table = &self.hosts[host.0 as usize].tcp;
        let queued = table.shared.get(&port).map_or(0, |l| l.queue.len());
        let coming = table.iter().filter(|(_, c)| c.state == State::SynReceived && c.local.port == port);
        // A handshake that an idle process waits for will not stand in the queue.
        let idle = table.shared.get(&port).map_or(0, |l| {
            l.acceptors.iter().filter(|p| self.procs[p.0 as usize].life == Life::Running).count()
        });
        (queued + coming.count().saturating_sub(idle)) as u32
    }
    /// A handshake is over: a process that waits takes the connection, or it stands in the queue.
    fn enqueue(&mut self, host: HostId, id: ConnId, (from, to): (Endpoint, Endpoint), s: &mut Sch<P>) {
        let since = s.now();
        if let Some(l) = self.hosts[host.0 as usize].tcp.shared.get_mut(&to.port) {
            l.queue.push_back(Queued { id, from, to, since, news: Vec::new() });
        }
        self.hand_out(host, to.port, s);
    }
    /// A process waits in `accept`.
    pub(crate) fn accept(&mut self, host: HostId, pid: Pid, port: u16, s: &mut Sch<P>) {
        let Some(l) = self.hosts[host.0 as usize].tcp.shared.get_mut(&port) else { return };
        if !l.acceptors.contains(&pid) {
            l.acceptors.push(pid);
        }
        self.hand_out(host, port, s);
    }
    /// Connections go to processes that wait, the oldest first. A process that stands still takes none.
    pub(crate) fn hand_out(&mut self, host: HostId, port: u16, s: &mut Sch<P>) {
        loop {
            let procs = &self.procs;
            let h = &mut self.hosts[host.0 as usize];
            let Some(l) = h.tcp.shared.get_mut(&port) else { return };
            let ready = |p: &Pid| procs[p.0 as usize].life == Life::Running;
            let n = l.acceptors.iter().filter(|p| ready(p)).count();
            if n == 0 || l.queue.is_empty() {
                let (waits, pid) = (!l.queue.is_empty() && !l.told, h.tcp.listeners.get(&port).map(|l| l.0));
                l.told |= waits;
                if waits {
                    self.tell(s, Some(host), pid, What::ClientsWait(port));
                }
                return;
            }
            let nth = match l.pick {
                Pick::Fifo => 0,
                Pick::Lifo => n - 1,
                Pick::Uniform if n == 1 => 0,
                Pick::Uniform => {
                    let stream = self.streams.named(&format!("host/{}/accept/{port}", h.name));
                    self.streams.below(stream, n as u64) as usize
                }
            };
            let Some(pid) = l.acceptors.iter().copied().filter(ready).nth(nth) else { return };
            l.acceptors.retain(|p| *p != pid);
            let Some(q) = l.queue.pop_front() else { return };
            if let Some(c) = self.conn_mut(host, q.id) {
                c.owner = pid;
            }
            self.input(pid, Input::Tcp(q.id, Tcp::Accepted { from: q.from, to: q.to }), s);
            for news in q.news {
                self.input(pid, Input::Tcp(q.id, news), s);
            }
        }
    }
    /// What comes on a connection that nobody has accepted waits with it; of another it is given back.
    fn keep(&mut self, host: HostId, id: ConnId, news: Tcp<P::Msg>) -> Option<Tcp<P::Msg>> {
        let table = &mut self.hosts[host.0 as usize].tcp;
        if table.shared.is_empty() {
            return Some(news);
        }
        let port = table.get(id)?.local.port;
        let queued = table.shared.get_mut(&port).and_then(|l| l.queue.iter_mut().find(|q| q.id == id));
        let Some(q) = queued else { return Some(news) };
        q.news.push(news);
        None
    }
    fn open(&mut self, host: HostId, id: ConnId, peer: Ip, now: Time) {
        if let Some(c) = self.conn_mut(host, id) {
            c.state = State::Open;
            c.retries = 0;
            c.since = now;
        }
        self.confirm(host, peer, now);
    }
    /// What was handed over before the connection was open goes out now.
    fn resend_all(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        let mut i = 0;
        while let Some((n, msg)) = self.conn(host, id).and_then(|c| c.unacked.get(i)).cloned() {
            self.put(host, id, Segment::Data(n, msg), s);
            i += 1;
        }
        self.rearm(host, id, s);
    }
}
