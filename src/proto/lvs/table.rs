//! IPVS: the table in the kernel of a director, and what it does with packets.
//!
//! Source: `net/netfilter/ipvs/ip_vs_{core,conn,ctl}.c`, ipvs-sysctl. The table outlives the process that fills it: killing the checkers
//! freezes it as it is. An entry's time-out begins anew with every packet; entries are looked through when a packet comes, which is
//! when it matters.
//!
//! **Not modelled:** firewall marks, one-packet scheduling, applications with helpers (FTP), IPv6, `sloppy_tcp`, `drop_entry`,
//! `secure_tcp`, and that a synchronised entry keeps the counters of its packets.

use super::config::{Kind, Lvs, Transport};
use super::msg::Record;
use super::note::{MovedWhy, Names, Note};
use super::schedule::{Load, Scheduler};
use super::state::{State, Way, next};
use crate::engine::{Span, Time};
use crate::net::addr::{Cidr, Endpoint, Ip};
use crate::node::forward::{Flag, Packet, Verdict};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How long a template lives on while connections hang on it (`ip_vs_conn_expire`).
const CONTROLLED: Span = Span::secs(60);

/// A server in the table.
#[derive(Clone, Debug)]
pub struct Dest {
    /// Its address and port.
    pub address: Endpoint,
    /// How packets get there.
    pub kind: Kind,
    /// At so many connections it gets no more; 0: no limit.
    pub upper: u32,
    /// Below so many it gets some again.
    pub lower: u32,
    /// What schedulers know of it.
    pub load: Load,
    /// Connections that it has been given.
    pub scheduled: u64,
    /// That packets for it are dropped has been told.
    pub(super) told: bool,
}
impl Dest {
    /// A server without limits.
    pub fn new(address: Endpoint, kind: Kind, weight: u32) -> Self {
        let load = Load { listed: true, weight, ..Load::default() };
        Dest { address, kind, upper: 0, lower: 0, load, scheduled: 0, told: false }
    }
    fn bound(&mut self) {
        let l = &mut self.load;
        if self.upper > 0 && l.active + l.inactive >= self.upper {
            l.overload = true;
        }
    }
    fn unbound(&mut self) {
        let l = &mut self.load;
        let total = l.active + l.inactive;
        let ends =
            if self.lower > 0 { total < self.lower } else { total * 4 < self.upper * 3 || self.upper == 0 };
        if ends {
            l.overload = false;
        }
    }
}

/// A virtual service in the table.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its address and port.
    pub vip: Endpoint,
    /// Its protocol.
    pub transport: Transport,
    /// It is in the table.
    pub present: bool,
    /// The servers, in the order of the configuration; one that has left keeps its place, and its connections know it.
    pub dests: Vec<Dest>,
    /// The scheduler.
    pub scheduler: Scheduler,
    /// How long a client stays on its server; zero: no persistence.
    pub persistence: Span,
    /// How many bits of the client's address count.
    pub granularity: u8,
    /// That nobody was there for a connection has been told.
    told: bool,
    /// Where a hash or a template sent each client last.
    homes: BTreeMap<Ip, usize>,
    loads: Vec<Load>,
}
impl Service {
    fn changed(&mut self) {
        self.loads.clear();
        self.loads.extend(self.dests.iter().map(|d| d.load));
        self.scheduler.changed(&self.loads);
    }
    fn pick(&mut self, client: Ip) -> Option<usize> {
        self.loads.clear();
        self.loads.extend(self.dests.iter().map(|d| d.load));
        self.scheduler.pick(&self.loads, client, self.vip.ip)
    }
    /// The server of a hash for a client, whether or not it takes anything.
    fn hashed(&self, client: Ip) -> Option<&Dest> {
        use super::config::Algorithm;
        let by = match self.scheduler.algorithm {
            Algorithm::Sh => client,
            Algorithm::Dh => self.vip.ip,
            _ => return None,
        };
        let i = (*self.scheduler.buckets().get(super::schedule::bucket(by))?)?;
        self.dests.get(usize::from(i))
    }
}

/// Who a connection is: client, virtual service, protocol.
type Key = (Endpoint, Endpoint, Transport);

/// An entry of the connection table, or a persistence template.
#[derive(Clone, Debug)]
pub struct Conn {
    key: Key,
    server: Endpoint,
    kind: Kind,
    /// Service and server in the table, if it has them.
    dest: Option<(usize, usize)>,
    state: State,
    /// The state that was sent to the other director last.
    sent_state: State,
    timeout: Span,
    deadline: Time,
    /// The earliest item of the queue that is about this entry.
    queued: Time,
    /// Answers have never been seen.
    blind: bool,
    inactive: bool,
    packets: u32,
    /// The template that it hangs on, and which of those that had its place.
    control: Option<(u32, u32)>,
    controlled: u32,
    template: bool,
    /// It came from the other director and has had no packet here yet.
    from_peer: bool,
    /// What is unusual about it has been told: packets are dropped, or the server has weight 0.
    stalled: bool,
    birth: u32,
}

/// The table of a director's kernel.
#[derive(Clone, Debug, Default)]
pub struct Ipvs {
    services: Vec<Service>,
    conns: Vec<Option<Conn>>,
    free: Vec<u32>,
    births: u32,
    by_client: BTreeMap<Key, u32>,
    by_server: BTreeMap<(Endpoint, Endpoint, Transport), u32>,
    expiry: BinaryHeap<Reverse<(Time, u32, u32)>>,
    names: Names,
    options: Options,
    /// What waits to be sent to the other director, and since when.
    pub(super) outgoing: Vec<Record>,
    pub(super) oldest: Option<Time>,
}

/// Settings of the kernel.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    expire_nodest_conn: bool,
    expire_quiescent_template: bool,
    conn_reuse_mode: bool,
    sync: bool,
    threshold: u32,
    period: u32,
}

impl Ipvs {
    /// The settings of the kernel, and names for what is told.
    pub fn configure(&mut self, c: &Lvs, names: &Names) {
        self.names = names.clone();
        self.options = Options {
            expire_nodest_conn: c.expire_nodest_conn,
            expire_quiescent_template: c.expire_quiescent_template,
            conn_reuse_mode: c.conn_reuse_mode,
            sync: c.sync_daemon,
            threshold: c.sync_threshold,
            period: c.sync_period,
        };
    }
    /// The services.
    pub fn services(&self) -> &[Service] {
        &self.services
    }
    /// How many connections the table has, templates not counted.
    pub fn connections(&self) -> usize {
        self.conns.iter().flatten().filter(|c| !c.template).count()
    }
    /// How many templates it has.
    pub fn templates(&self) -> usize {
        self.conns.iter().flatten().filter(|c| c.template).count()
    }
    /// The server and the state of a connection.
    pub fn connection(&self, client: Endpoint, vip: Endpoint) -> Option<(Endpoint, State)> {
        let id = self.by_client.get(&(client, vip, Transport::Tcp))?;
        self.conns.get(*id as usize)?.as_ref().map(|c| (c.server, c.state))
    }
    /// The service of an address.
    pub fn service(&self, vip: Endpoint, transport: Transport) -> Option<usize> {
        self.services.iter().position(|s| s.vip == vip && s.transport == transport)
    }

    // ---- what the checkers do ----------------------------------------------------------------------------------------

    /// Adds a service, or takes one that was removed in again.
    pub fn add_service(&mut self, like: Service) -> usize {
        if let Some(i) = self.service(like.vip, like.transport) {
            let s = &mut self.services[i];
            (s.present, s.persistence, s.granularity) = (true, like.persistence, like.granularity);
            if s.scheduler.algorithm != like.scheduler.algorithm {
                s.scheduler = like.scheduler;
                s.changed();
            }
            return i;
        }
        self.services.push(like);
        self.services.len() - 1
    }
    /// Adds a server, or gives it this weight.
    pub fn add(&mut self, service: usize, like: &Dest) {
        let Some(s) = self.services.get_mut(service) else { return };
        match s.dests.iter_mut().find(|d| d.address == like.address) {
            Some(d) => {
                d.load.weight = like.load.weight;
                (d.load.listed, d.told) = (true, false);
                (d.kind, d.upper, d.lower) = (like.kind, like.upper, like.lower);
            }
            None => s.dests.push(like.clone()),
        }
        s.changed();
    }
    /// Makes a place for a server that is not in the table yet.
    pub fn reserve(&mut self, service: usize, like: &Dest) {
        let Some(s) = self.services.get_mut(service) else { return };
        if !s.dests.iter().any(|d| d.address == like.address) {
            let mut dest = like.clone();
            dest.load.listed = false;
            s.dests.push(dest);
        }
    }
    /// Removes a server; its connections stay in the table.
    pub fn remove(&mut self, service: usize, server: Endpoint) {
        let Some(s) = self.services.get_mut(service) else { return };
        if let Some(d) = s.dests.iter_mut().find(|d| d.address == server) {
            d.load.listed = false;
        }
        s.changed();
    }
    /// Removes a service with all its servers.
    pub fn remove_service(&mut self, service: usize) {
        let Some(s) = self.services.get_mut(service) else { return };
        s.present = false;
        for d in &mut s.dests {
            d.load.listed = false;
        }
        s.changed();
    }
    /// Gives a server another weight; returns the old one, if the server is in the table.
    pub fn set_weight(&mut self, service: usize, server: Endpoint, weight: u32) -> Option<u32> {
        let s = self.services.get_mut(service)?;
        let d = s.dests.iter_mut().find(|d| d.address == server && d.load.listed)?;
        let old = std::mem::replace(&mut d.load.weight, weight);
        s.changed();
        Some(old)
    }
    /// An operator's `ipvsadm -e`: every server with this address gets another weight.
    pub fn weigh(&mut self, server: Ip, weight: u32) -> Vec<Note> {
        let mut notes = Vec::new();
        for i in 0..self.services.len() {
            for k in 0..self.services[i].dests.len() {
                let address = self.services[i].dests[k].address;
                if address.ip == server
                    && let Some(from) = self.set_weight(i, address, weight)
                {
                    notes.push(Note::Weight { server: self.names.of(server), from, to: weight });
                }
            }
        }
        notes
    }

    // ---- packets -----------------------------------------------------------------------------------------------------

    /// Whether there is anything that packets could be for.
    #[inline]
    pub fn hooked(&self) -> bool {
        !self.services.is_empty()
    }

    /// What happens to a packet.
    pub fn forward(&mut self, p: &Packet, now: Time, notes: &mut Vec<Note>) -> Verdict {
        if self.services.is_empty() {
            return Verdict::Pass;
        }
        self.expire(now);
        if p.local { self.inward(p, now, notes) } else { self.outward(p, now) }
    }

    /// A packet from a server to a client, through the director that rewrote the client's: it gets the virtual address back.
    fn outward(&mut self, p: &Packet, now: Time) -> Verdict {
        let transport = if p.flag == Flag::Datagram { Transport::Udp } else { Transport::Tcp };
        let Some(id) = self.by_server.get(&(p.from, p.to, transport)).copied() else { return Verdict::Pass };
        if p.flag != Flag::Error {
            self.step(id, p.flag, Way::Out, now);
        }
        let Some(c) = self.get(id) else { return Verdict::Pass };
        Verdict::Forward { via: p.to.ip, from: c.key.1, to: p.to, tunnel: false }
    }

    fn inward(&mut self, p: &Packet, now: Time, notes: &mut Vec<Note>) -> Verdict {
        let transport = if p.flag == Flag::Datagram { Transport::Udp } else { Transport::Tcp };
        let key = (p.from, p.to, transport);
        let mut id = self.by_client.get(&key).copied();
        if let Some(i) = id
            && p.flag == Flag::Syn
            && self.begins_anew(i)
        {
            self.drop_conn(i);
            id = None;
        }
        if let Some(i) = id {
            let gone =
                self.get(i).and_then(|c| c.dest).is_some_and(|(s, d)| !self.services[s].dests[d].load.listed);
            if gone {
                let expires = self.options.expire_nodest_conn;
                self.tell_gone(i, expires, notes);
                if !expires {
                    return Verdict::Drop;
                }
                self.drop_conn(i);
                id = None;
            }
        }
        let id = match id {
            Some(id) => id,
            None => {
                let Some(service) = self.service(p.to, transport).filter(|s| self.services[*s].present)
                else {
                    return Verdict::Pass;
                };
                if transport == Transport::Tcp && p.flag != Flag::Syn {
                    if p.flag != Flag::Rst {
                        notes.push(Note::NoEntry { client: self.names.of(p.from.ip), to: p.to });
                    }
                    return Verdict::Pass;
                }
                match self.schedule(service, key, now, notes) {
                    Some(id) => id,
                    None => return Verdict::Refuse,
                }
            }
        };
        self.pass(id, p, now, notes)
    }

    /// A packet on a known connection goes to its server.
    fn pass(&mut self, id: u32, p: &Packet, now: Time, notes: &mut Vec<Note>) -> Verdict {
        let (mut goes_on, mut back) = (false, false);
        if let Some(c) = self.get_mut(id) {
            c.packets = c.packets.wrapping_add(1);
            goes_on = std::mem::take(&mut c.from_peer);
            back = std::mem::take(&mut c.stalled);
        }
        let way = if self.get(id).is_some_and(|c| c.blind) { Way::Blind } else { Way::In };
        self.step(id, p.flag, way, now);
        let Some(c) = self.get(id) else { return Verdict::Drop };
        let (server, kind, vip) = (c.server, c.kind, c.key.1);
        if goes_on || back {
            let (client, server) = (self.names.of(p.from.ip), self.names.of(server.ip));
            notes.push(if back { Note::Back { client, server } } else { Note::GoesOn { client, server } });
        }
        self.remember_for_peer(id, now);
        let to = if kind == Kind::NAT { server } else { vip };
        Verdict::Forward { via: server.ip, from: p.from, to, tunnel: kind == Kind::TUN }
    }

    /// A SYN on a known connection that is over, or whose server is not to be kept.
    fn begins_anew(&self, id: u32) -> bool {
        let Some(c) = self.get(id) else { return false };
        let quiet = c.dest.is_some_and(|(s, d)| self.services[s].dests[d].load.weight == 0);
        (self.options.expire_nodest_conn && quiet) || (self.options.conn_reuse_mode && c.state.reusable())
    }
    fn tell_gone(&mut self, id: u32, expires: bool, notes: &mut Vec<Note>) {
        let Some(c) = self.get(id) else { return };
        let (client, server) = (c.key.0.ip, c.server.ip);
        let (client, server) = (self.names.of(client), self.names.of(server));
        let dest = self.get_mut(id).and_then(|c| {
            c.stalled = c.state == State::Established;
            c.dest
        });
        if let Some((s, d)) = dest
            && self.get(id).is_some_and(|c| c.stalled)
            && !std::mem::replace(&mut self.services[s].dests[d].told, true)
        {
            notes.push(Note::Gone { client, server, expires });
        }
    }

    // ---- new connections ---------------------------------------------------------------------------------------------

    fn schedule(&mut self, service: usize, key: Key, now: Time, notes: &mut Vec<Note>) -> Option<u32> {
        let (client, vip) = (key.0.ip, key.1);
        let persistent = !self.services[service].persistence.is_zero();
        let template = persistent.then(|| {
            let bits = Cidr { ip: client, prefix: self.services[service].granularity }.mask();
            (Endpoint::new(Ip(client.0 & bits), 0), vip, key.2)
        });
        let held = template.and_then(|t| self.held(t, service, notes));
        let dest = match held {
            Some((_, dest)) => Some(dest),
            None => self.services[service].pick(client),
        };
        let Some(dest) = dest else {
            if !std::mem::replace(&mut self.services[service].told, true) {
                let s = &self.services[service];
                let hashed = s.hashed(client).map(|d| (self.names.of(client), self.names.of(d.address.ip)));
                notes.push(Note::NoServer { vip, hashed });
            }
            return None;
        };
        self.services[service].told = false;
        let control = match (held, template) {
            (Some((id, _)), _) => Some(id),
            (None, Some(t)) => {
                self.tell_moved(service, dest, client, notes);
                let timeout = self.services[service].persistence;
                if let Some(old) = self.by_client.get(&t).copied() {
                    self.drop_conn(old);
                }
                Some(self.make(t, service, dest, timeout, None, now))
            }
            (None, None) => {
                self.tell_moved(service, dest, client, notes);
                None
            }
        };
        let control = control.and_then(|t| Some((t, self.get(t)?.birth)));
        let id = self.make(key, service, dest, State::None.timeout(), control, now);
        self.services[service].dests[dest].scheduled += 1;
        if let Some((t, _)) = control {
            if let Some(c) = self.get_mut(t) {
                c.controlled += 1;
            }
            self.touch(t, now);
        }
        Some(id)
    }
    /// A client that a hash or a template kept on a server goes to another one.
    fn tell_moved(&mut self, service: usize, dest: usize, client: Ip, notes: &mut Vec<Note>) {
        let s = &mut self.services[service];
        let hashes = s.hashed(client).is_some();
        if !hashes && s.persistence.is_zero() {
            return;
        }
        let Some(before) = s.homes.insert(client, dest).filter(|b| *b != dest) else { return };
        let old = &s.dests[before];
        let why = if hashes {
            MovedWhy::Bucket(super::schedule::bucket(client))
        } else if !old.load.listed {
            MovedWhy::Gone
        } else if self.options.expire_quiescent_template && old.load.weight == 0 {
            MovedWhy::Quiescent
        } else {
            MovedWhy::Expired
        };
        let (from, to) = (self.names.of(old.address.ip), self.names.of(s.dests[dest].address.ip));
        notes.push(Note::Moved { client: self.names.of(client), from, to, why });
    }
    /// The template of a client, if it still holds: the server is in the table, and may be used.
    fn held(&mut self, key: Key, service: usize, notes: &mut Vec<Note>) -> Option<(u32, usize)> {
        let id = *self.by_client.get(&key)?;
        let (s, d) = self.get(id)?.dest?;
        let dest = &self.services[s].dests[d];
        if !dest.load.listed || (self.options.expire_quiescent_template && dest.load.weight == 0) {
            return None;
        }
        let quiet = dest.load.weight == 0 && s == service;
        let (client, server) = (key.0.ip, dest.address.ip);
        let told = self.get_mut(id).is_some_and(|c| std::mem::replace(&mut c.stalled, quiet));
        if quiet && !told {
            notes.push(Note::Sticks { client: self.names.of(client), server: self.names.of(server) });
        }
        Some((id, d))
    }
    fn make(
        &mut self,
        key: Key,
        service: usize,
        dest: usize,
        timeout: Span,
        control: Option<(u32, u32)>,
        now: Time,
    ) -> u32 {
        let d = &self.services[service].dests[dest];
        let (server, kind) = (d.address, d.kind);
        let conn = Conn {
            key,
            server,
            kind,
            dest: Some((service, dest)),
            state: State::None,
            sent_state: State::None,
            timeout,
            deadline: now + timeout,
            queued: Time::MAX,
            blind: kind != Kind::NAT,
            inactive: true,
            packets: 0,
            control,
            controlled: 0,
            template: key.0.port == 0,
            from_peer: false,
            stalled: false,
            birth: 0,
        };
        self.insert(conn, now)
    }
    fn insert(&mut self, mut conn: Conn, now: Time) -> u32 {
        self.births = self.births.wrapping_add(1);
        conn.birth = self.births;
        let (key, back) = (conn.key, (conn.server, conn.key.0, conn.key.2));
        if let (Some((s, d)), false) = (conn.dest, conn.template) {
            let dest = &mut self.services[s].dests[d];
            if conn.inactive {
                dest.load.inactive += 1;
            } else {
                dest.load.active += 1;
            }
            dest.bound();
        }
        let nat = conn.kind == Kind::NAT && !conn.template;
        let id = match self.free.pop() {
            Some(id) => {
                self.conns[id as usize] = Some(conn);
                id
            }
            None => {
                self.conns.push(Some(conn));
                self.conns.len() as u32 - 1
            }
        };
        self.by_client.insert(key, id);
        if nat {
            self.by_server.insert(back, id);
        }
        self.touch(id, now);
        id
    }

    // ---- life of an entry --------------------------------------------------------------------------------------------

    fn get(&self, id: u32) -> Option<&Conn> {
        self.conns.get(id as usize)?.as_ref()
    }
    fn get_mut(&mut self, id: u32) -> Option<&mut Conn> {
        self.conns.get_mut(id as usize)?.as_mut()
    }
    /// The time-out begins anew.
    fn touch(&mut self, id: u32, now: Time) {
        let Some(c) = self.conns.get_mut(id as usize).and_then(Option::as_mut) else { return };
        c.deadline = now + c.timeout;
        if c.deadline < c.queued {
            c.queued = c.deadline;
            let item = (c.deadline, id, c.birth);
            self.expiry.push(Reverse(item));
        }
    }
    /// A packet moves a connection from state to state.
    fn step(&mut self, id: u32, flag: Flag, way: Way, now: Time) {
        let Some(c) = self.conns.get_mut(id as usize).and_then(Option::as_mut) else { return };
        c.state = next(c.state, flag, way);
        c.timeout = c.state.timeout();
        let inactive = !c.state.active();
        if inactive != c.inactive {
            c.inactive = inactive;
            if let Some((s, d)) = c.dest {
                let load = &mut self.services[s].dests[d].load;
                if inactive {
                    (load.active, load.inactive) = (load.active.saturating_sub(1), load.inactive + 1);
                } else {
                    (load.active, load.inactive) = (load.active + 1, load.inactive.saturating_sub(1));
                }
            }
        }
        self.touch(id, now);
    }
    fn drop_conn(&mut self, id: u32) {
        let Some(c) = self.conns.get_mut(id as usize).and_then(Option::take) else { return };
        self.free.push(id);
        if self.by_client.get(&c.key) == Some(&id) {
            self.by_client.remove(&c.key);
        }
        let back = (c.server, c.key.0, c.key.2);
        if self.by_server.get(&back) == Some(&id) {
            self.by_server.remove(&back);
        }
        if let (Some((s, d)), false) = (c.dest, c.template) {
            let dest = &mut self.services[s].dests[d];
            let n = if c.inactive { &mut dest.load.inactive } else { &mut dest.load.active };
            *n = n.saturating_sub(1);
            dest.unbound();
        }
        if let Some(t) = c.control.and_then(|(t, birth)| self.get_mut(t).filter(|t| t.birth == birth)) {
            t.controlled = t.controlled.saturating_sub(1);
        }
    }
    /// Entries whose time is over leave. A template waits for the connections that hang on it.
    fn expire(&mut self, now: Time) {
        while let Some(Reverse((at, id, birth))) = self.expiry.peek().copied() {
            if at > now {
                return;
            }
            self.expiry.pop();
            let Some(c) = self.conns.get_mut(id as usize).and_then(Option::as_mut) else { continue };
            if c.birth != birth || c.queued != at {
                continue;
            }
            c.queued = Time::MAX;
            if c.deadline > now {
                c.queued = c.deadline;
                self.expiry.push(Reverse((c.deadline, id, birth)));
            } else if c.template && c.controlled > 0 {
                c.timeout = CONTROLLED;
                self.touch(id, at);
            } else {
                self.drop_conn(id);
            }
        }
    }

    // ---- the other director ------------------------------------------------------------------------------------------

    /// Puts a connection into the next message to the other director, when its state or the number of its packets asks for it.
    fn remember_for_peer(&mut self, id: u32, now: Time) {
        if !self.options.sync {
            return;
        }
        let Options { threshold, period, .. } = self.options;
        let Some(c) = self.conns.get_mut(id as usize).and_then(Option::as_mut) else { return };
        let tells = matches!(
            c.state,
            State::Established
                | State::FinWait
                | State::CloseWait
                | State::TimeWait
                | State::Close
                | State::Udp
        );
        let news = c.state != c.sent_state && !matches!(c.state, State::Established | State::Udp);
        let counted = if period > 0 { c.packets % period == threshold } else { c.packets == threshold };
        if !tells || !(news || counted) {
            return;
        }
        c.sent_state = c.state;
        let control = c.control;
        let record = Self::record(c);
        self.outgoing.push(record);
        if let Some(t) = control.and_then(|(t, birth)| self.get(t).filter(|t| t.birth == birth)) {
            let record = Self::record(t);
            self.outgoing.push(record);
        }
        self.oldest.get_or_insert(now);
    }
    fn record(c: &Conn) -> Record {
        Record {
            client: c.key.0,
            vip: c.key.1,
            transport: c.key.2,
            server: c.server,
            kind: c.kind,
            state: c.state,
            timeout: c.timeout,
            template: c.template,
        }
    }
    /// Takes in what the other director sent.
    pub fn learn(&mut self, records: &[Record], now: Time) {
        self.expire(now);
        for r in records {
            let key = (r.client, r.vip, r.transport);
            if let Some(id) = self.by_client.get(&key).copied() {
                if self.get(id).is_some_and(|c| c.server == r.server) {
                    self.relearn(id, r, now);
                    continue;
                }
                self.drop_conn(id);
            }
            let dest = self.service(r.vip, r.transport).and_then(|s| {
                let d = self.services[s].dests.iter().position(|d| d.address == r.server)?;
                Some((s, d))
            });
            let conn = Conn {
                key,
                server: r.server,
                kind: r.kind,
                dest,
                state: r.state,
                sent_state: r.state,
                timeout: r.timeout,
                deadline: now + r.timeout,
                queued: Time::MAX,
                blind: r.kind != Kind::NAT,
                inactive: !r.state.active(),
                packets: 0,
                control: None,
                controlled: 0,
                template: r.template,
                from_peer: !r.template,
                stalled: false,
                birth: 0,
            };
            self.insert(conn, now);
        }
    }
    fn relearn(&mut self, id: u32, r: &Record, now: Time) {
        let Some(c) = self.conns.get_mut(id as usize).and_then(Option::as_mut) else { return };
        (c.state, c.sent_state, c.timeout) = (r.state, r.state, r.timeout);
        let inactive = !r.state.active();
        if !c.template && inactive != c.inactive {
            c.inactive = inactive;
            if let Some((s, d)) = c.dest {
                let load = &mut self.services[s].dests[d].load;
                if inactive {
                    (load.active, load.inactive) = (load.active.saturating_sub(1), load.inactive + 1);
                } else {
                    (load.active, load.inactive) = (load.active + 1, load.inactive.saturating_sub(1));
                }
            }
        }
        self.touch(id, now);
    }
}

/// A service without servers.
pub fn service(c: &super::config::VirtualServer) -> Service {
    Service {
        vip: c.address,
        transport: c.protocol,
        present: true,
        dests: Vec::new(),
        scheduler: Scheduler::new(c.lb_algo),
        persistence: c.persistence_timeout,
        granularity: c.persistence_granularity,
        told: false,
        homes: BTreeMap::new(),
        loads: Vec::new(),
    }
}
