//! What stands on the ring: the synchronisation of a new one, the groups, and the clients of this host.

use super::api::{Api, Confchg, Event, Group, Left, NodeId, Quorum, Request, RingId};
use super::msg::{Body, Mcast};
use super::nodes::Nodes;
use super::note::Note;
use super::quorum::{Because, NodeInfo};
use super::srp::Up;
use super::{Corosync, T_DEVICE, T_WINDOW};
use crate::node::process::{Action, ConnId, Tcp};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// A client on this host.
#[derive(Clone, Debug)]
struct Conn {
    conn: ConnId,
    groups: Vec<Group>,
    tracks: bool,
    device: bool,
}

/// Groups, clients, and how far the synchronisation is.
#[derive(Clone, Debug)]
pub(super) struct Service {
    me: NodeId,
    clients: Vec<Conn>,
    /// Which node has a process in which group; sorted.
    groups: Vec<(Group, NodeId)>,
    members: Nodes,
    ring: RingId,
    /// Who is gone since the groups were told last.
    left: Nodes,
    /// What the nodes of the new ring have said.
    said: Vec<(NodeId, Arc<[Group]>)>,
    ready: Nodes,
    own_ready: bool,
    joined_groups: bool,
    active: bool,
    /// Whether the clients were told that there is quorum.
    pub(super) told: bool,
    told_waits: bool,
}
impl Service {
    pub(super) fn new(me: NodeId) -> Service {
        Service {
            me,
            clients: Vec::new(),
            groups: Vec::new(),
            members: Nodes::one(me),
            ring: RingId::default(),
            left: Nodes::NONE,
            said: Vec::new(),
            ready: Nodes::NONE,
            own_ready: false,
            joined_groups: false,
            active: false,
            told: false,
            told_waits: false,
        }
    }
    fn send(conn: ConnId, event: Event, ctx: &mut Cx<'_>) {
        ctx.act(Action::TcpSend(conn, Msg::Corosync(Box::new(Api::Event(event)))));
    }
    /// To all local processes in the group.
    fn to_group(&self, group: Group, event: &Event, ctx: &mut Cx<'_>) {
        if !self.groups.contains(&(group, self.me)) {
            return;
        }
        for c in self.clients.iter().filter(|c| c.groups.contains(&group)) {
            Self::send(c.conn, event.clone(), ctx);
        }
    }
    fn of(&self, group: Group) -> Vec<NodeId> {
        self.groups.iter().filter(|(g, _)| *g == group).map(|(_, n)| *n).collect()
    }
    fn change(&self, group: Group, left: Vec<(NodeId, Left)>, joined: Vec<NodeId>, ctx: &mut Cx<'_>) {
        let change = Confchg { group, members: self.of(group), left, joined };
        self.to_group(group, &Event::Confchg(change), ctx);
    }
    fn add(&mut self, group: Group, node: NodeId) -> bool {
        match self.groups.binary_search(&(group, node)) {
            Ok(_) => false,
            Err(i) => {
                self.groups.insert(i, (group, node));
                true
            }
        }
    }
    fn remove(&mut self, group: Group, node: NodeId) -> bool {
        let found = self.groups.binary_search(&(group, node));
        found.is_ok_and(|i| {
            self.groups.remove(i);
            true
        })
    }
    fn state(&self, quorate: bool) -> Event {
        Event::Quorum(Quorum { quorate, ring: self.ring, members: self.members.iter().collect() })
    }
    /// All have said who is in which group: who is gone is told, then who is new.
    fn settle_groups(&mut self, ctx: &mut Cx<'_>) {
        self.joined_groups = true;
        let left = std::mem::take(&mut self.left);
        let mut names: Vec<Group> = self.groups.iter().map(|g| g.0).collect();
        names.extend(self.said.iter().flat_map(|s| s.1.iter().copied()));
        names.sort_unstable();
        names.dedup();
        for group in names.iter().copied() {
            let mut gone = Vec::new();
            for node in self.of(group) {
                let said = self.said.iter().find(|s| s.0 == node);
                let why = match said {
                    _ if left.has(node) => Left::NodeDown,
                    Some((_, list)) if list.contains(&group) => continue,
                    Some(_) => Left::ProcDown,
                    None => Left::NodeDown,
                };
                gone.push((node, why));
            }
            if !gone.is_empty() {
                for (node, _) in &gone {
                    self.remove(group, *node);
                }
                self.change(group, gone, Vec::new(), ctx);
            }
        }
        let said = std::mem::take(&mut self.said);
        for group in names {
            let mut new = Vec::new();
            for (node, _) in said.iter().filter(|s| s.1.contains(&group)) {
                if self.add(group, *node) {
                    new.push(*node);
                }
            }
            if !new.is_empty() {
                new.sort_unstable();
                self.change(group, Vec::new(), new, ctx);
            }
        }
    }
}

impl Corosync {
    /// Handles what the ring has brought.
    pub(super) fn pump(&mut self, ctx: &mut Cx<'_>) {
        loop {
            let news = self.srp.drain();
            if news.is_empty() {
                return;
            }
            for up in news {
                match up {
                    Up::Deliver(m) => self.deliver(&m, ctx),
                    Up::Transitional => {}
                    Up::Regular { ring, members, left, .. } => self.new_ring(ring, members, left, ctx),
                }
            }
        }
    }
    fn new_ring(&mut self, ring: RingId, members: Nodes, left: Nodes, ctx: &mut Cx<'_>) {
        let s = &mut self.service;
        s.left = s.left.and(left);
        (s.ring, s.members) = (ring, members);
        s.said.clear();
        s.ready = Nodes::NONE;
        (s.own_ready, s.joined_groups, s.active) = (false, false, false);
        if self.quorum.sync(ring, members) {
            ctx.set_timer(T_WINDOW, self.window);
        }
        if self.quorum.waiting {
            ctx.set_timer(T_DEVICE, self.device.1);
            self.note(Note::DeviceWait { at_most: self.device.1 }, ctx);
        }
        self.tell_device(ctx);
        let own = |(g, n): &(Group, NodeId)| (*n == self.me).then_some(*g);
        let groups: Arc<[Group]> = self.service.groups.iter().filter_map(own).collect();
        let info = self.quorum.info(false);
        self.srp.mcast(Body::Sync(info, groups), true, &self.net, ctx);
        self.maybe_ready(ctx);
    }
    /// This node has nothing more to wait for.
    fn maybe_ready(&mut self, ctx: &mut Cx<'_>) {
        if self.srp.syncing && !self.service.own_ready && !self.quorum.waiting {
            self.service.own_ready = true;
            self.srp.mcast(Body::Barrier, true, &self.net, ctx);
        }
    }
    fn deliver(&mut self, m: &Mcast, ctx: &mut Cx<'_>) {
        match &m.body {
            Body::Cpg(group, payload) => {
                let event = Event::Deliver { group: *group, from: m.from, payload: payload.clone() };
                self.service.to_group(*group, &event, ctx);
            }
            Body::CpgJoin(group) => {
                if self.service.add(*group, m.from) {
                    self.service.change(*group, Vec::new(), vec![m.from], ctx);
                }
            }
            Body::CpgLeave(group, why) => {
                if self.service.groups.contains(&(*group, m.from)) {
                    self.service.remove(*group, m.from);
                    self.service.change(*group, vec![(m.from, *why)], Vec::new(), ctx);
                }
            }
            Body::Info(info) => self.heard(m.from, *info, ctx),
            Body::Sync(info, groups) => {
                self.quorum.heard(m.from, *info);
                self.service.said.push((m.from, groups.clone()));
                let said: Nodes = self.service.said.iter().map(|s| s.0).collect();
                if m.ring == self.service.ring && self.service.members.within(said) {
                    self.service.settle_groups(ctx);
                }
            }
            Body::Barrier => {
                self.service.ready = self.service.ready.with(m.from);
                let all = self.service.members.within(self.service.ready);
                if m.ring == self.service.ring && all && self.service.joined_groups {
                    self.activate(ctx);
                }
            }
            Body::Old(_) => {}
        }
    }
    fn heard(&mut self, from: NodeId, info: NodeInfo, ctx: &mut Cx<'_>) {
        self.quorum.heard(from, info);
        if info.leaving && from == self.me {
            self.leave(ctx);
        } else if self.service.active {
            self.tell_votes(ctx);
        }
    }
    /// The ring is of use.
    fn activate(&mut self, ctx: &mut Cx<'_>) {
        if std::mem::replace(&mut self.service.active, true) {
            return;
        }
        self.quorum.activate();
        self.srp.synced(self.service.ring, &self.net, ctx);
        self.note(Note::Synchronised { ring: self.service.ring }, ctx);
        self.announce(true, ctx);
    }
    /// Tells what has changed in the votes.
    pub(super) fn tell_votes(&mut self, ctx: &mut Cx<'_>) {
        if self.service.active {
            self.announce(false, ctx);
        }
    }
    fn announce(&mut self, always: bool, ctx: &mut Cx<'_>) {
        let q = &self.quorum;
        let (quorate, before) = (q.quorate, std::mem::replace(&mut self.service.told, q.quorate));
        let waits = !quorate && q.because == Because::WaitForAll;
        let first_wait = waits && !std::mem::replace(&mut self.service.told_waits, waits);
        let (votes, quorum, expected, because) = (q.total, q.quorum, q.expected, q.because);
        if quorate != before {
            self.service.told_waits = false;
            self.note(Note::Quorum { has: quorate, votes, quorum, because }, ctx);
        } else if first_wait {
            self.note(Note::WaitsForAll { votes, expected }, ctx);
        }
        if always || quorate != before {
            let event = self.service.state(quorate);
            for c in self.service.clients.iter().filter(|c| c.tracks) {
                Service::send(c.conn, event.clone(), ctx);
            }
        }
    }
    fn note(&self, note: Note, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::Corosync(Box::new(note)));
    }

    // ---- clients -----------------------------------------------------------------------------------------------------

    pub(super) fn client(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        match news {
            Tcp::Accepted { .. } => {
                self.service.clients.push(Conn { conn, groups: Vec::new(), tracks: false, device: false });
                Service::send(conn, Event::Local(self.me), ctx);
            }
            Tcp::Data(Msg::Corosync(m)) => {
                if let Api::Request(request) = *m {
                    self.asked(conn, request, ctx);
                }
            }
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                ctx.act(Action::Close(conn));
                let Some(i) = self.service.clients.iter().position(|c| c.conn == conn) else { return };
                let gone = self.service.clients.remove(i);
                for group in gone.groups {
                    self.send_to_all(Body::CpgLeave(group, Left::ProcDown), ctx);
                }
            }
            Tcp::Connected | Tcp::Data(_) => {}
        }
    }
    fn send_to_all(&mut self, body: Body, ctx: &mut Cx<'_>) {
        self.srp.mcast(body, false, &self.net, ctx);
    }
    fn asked(&mut self, conn: ConnId, request: Request, ctx: &mut Cx<'_>) {
        let Some(c) = self.service.clients.iter_mut().find(|c| c.conn == conn) else { return };
        match request {
            Request::Join(group) => {
                if !c.groups.contains(&group) {
                    c.groups.push(group);
                    self.send_to_all(Body::CpgJoin(group), ctx);
                }
            }
            Request::Leave(group) => {
                if c.groups.contains(&group) {
                    c.groups.retain(|g| *g != group);
                    self.send_to_all(Body::CpgLeave(group, Left::Leave), ctx);
                }
            }
            Request::Mcast(group, payload) => {
                if c.groups.contains(&group) {
                    self.send_to_all(Body::Cpg(group, payload), ctx);
                }
            }
            Request::TrackQuorum => {
                c.tracks = true;
                if self.service.active {
                    let event = self.service.state(self.service.told);
                    Service::send(conn, event, ctx);
                }
            }
            Request::DeviceRegister => {
                c.device = true;
                self.quorum.registered = true;
                self.tell_device(ctx);
            }
            Request::DevicePoll(ring, cast) => self.polled(ring, cast, ctx),
        }
    }

    // ---- the quorum device -------------------------------------------------------------------------------------------

    fn tell_device(&self, ctx: &mut Cx<'_>) {
        let members: Vec<NodeId> = self.service.members.iter().collect();
        for c in self.service.clients.iter().filter(|c| c.device) {
            Service::send(c.conn, Event::NodeList(self.service.ring, members.clone()), ctx);
        }
    }
    fn polled(&mut self, ring: RingId, cast: bool, ctx: &mut Cx<'_>) {
        if ring != self.quorum.ring {
            return;
        }
        let changed = (self.quorum.alive, self.quorum.cast) != (true, cast);
        self.device_is(true, cast, changed, ctx);
        ctx.set_timer(T_DEVICE, self.device.0);
    }
    /// The device has not polled in time.
    pub(super) fn device_silent(&mut self, ctx: &mut Cx<'_>) {
        if self.quorum.alive {
            self.note(Note::DeviceLost { waited: self.service.active }, ctx);
            self.device_is(false, false, true, ctx);
        }
    }
    fn device_is(&mut self, alive: bool, cast: bool, changed: bool, ctx: &mut Cx<'_>) {
        let voted = std::mem::replace(&mut self.quorum.cast, cast);
        self.quorum.alive = alive;
        self.quorum.waiting = false;
        if voted != cast {
            self.note(Note::DeviceVote { votes: cast }, ctx);
        }
        if changed {
            let info = self.quorum.info(false);
            self.srp.mcast(Body::Info(info), self.srp.syncing, &self.net, ctx);
        }
        self.maybe_ready(ctx);
    }
}
