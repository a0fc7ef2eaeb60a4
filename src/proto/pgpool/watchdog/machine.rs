//! The watchdog without a network: what it knows, and its main loop. `states` is what each state does with what happens.
//!
//! The original is a loop around `select` with a timeout of one second. Timers are looked at whenever the loop wakes, which is when
//! something arrives or when a second has passed since it woke last: a timer of one second so ends a whole second late if something
//! arrives just before its end. That, and who of two survivors stands first, makes an election take 2 to 3 or 6 to 7 seconds. Packets
//! are handled before the timer whose end was seen at the same waking, which then meets the new state.

use super::config::{
    CONNECTION_RETRY, Clock, LEAST_WINDOW, MISSED_BEACONS, SECOND, SEND_FAILURES, Settings, WAIT_FOR_REPLY,
    second_of, secs_between,
};
use super::consensus::{Rules, Votes};
use super::msg::{Body, Info, NodeId, Packet, Request, Service, State, Verdict};
use super::note::{Lost, Note};
use super::quorum;
use std::sync::Arc;

/// One of the two connections between a pair of watchdogs: each opens one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Channel {
    /// The one that this node opened.
    Client,
    /// The one that the peer opened.
    Server,
}

/// The connection that this node opens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Socket {
    /// None.
    Closed,
    /// On its way.
    Waiting,
    /// There.
    Connected,
}

/// A node's part in the count of members.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Membership {
    /// It counts.
    Active,
    /// It does not: it went in order, was lost for too long, or never came.
    Revoked,
}

/// What is known of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// What it told of itself last; `state` is also what this node made of it.
    pub info: Info,
    /// The connection to it.
    pub client: Socket,
    /// When that was tried last.
    pub tried: Clock,
    /// Whether it has a connection to this node.
    pub server: bool,
    pub(super) last_received: Clock,
    /// Since when a forwarded request waits for any word of it.
    pub(super) waiting: Option<Clock>,
    pub(super) failures: u32,
    pub(super) missed: u32,
    /// The lifecheck lost it: only the lifecheck finds it again.
    pub(super) by_lifecheck: bool,
    pub(super) lost_at: Clock,
    pub(super) has_lost_us: bool,
    /// Whether it counts.
    pub membership: Membership,
}
impl Peer {
    fn new(id: NodeId) -> Peer {
        let info = Info {
            id,
            state: State::Dead,
            priority: 0,
            startup: 0,
            since: 0,
            escalated: false,
            quorum: -1,
            standbys: 0,
        };
        Peer {
            info,
            client: Socket::Closed,
            tried: Clock::MIN / 2,
            server: false,
            last_received: 0,
            waiting: None,
            failures: 0,
            missed: 0,
            by_lifecheck: false,
            lost_at: 0,
            has_lost_us: false,
            membership: Membership::Active,
        }
    }
    /// Whether a packet can be sent.
    pub fn reachable(&self) -> bool {
        self.client == Socket::Connected || self.server
    }
}

/// Which command to the cluster is under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Asked {
    ReqInfo,
    Stand,
    Declare,
    Iam,
    Join,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum End {
    AllReplied,
    TimedOut,
    /// By whom, and whether it said `Error` and not just `Reject`.
    Refused(NodeId, bool),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Command {
    pub(super) asked: Asked,
    pub(super) id: u32,
    pub(super) at: Clock,
    pub(super) timeout: i64,
    /// To whom it was sent, and who has replied.
    pub(super) sent: Vec<(NodeId, bool)>,
}

/// A request that was handed on to the leader.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Forwarded {
    ipc: u32,
    id: u32,
    to: NodeId,
}

/// What a watchdog asks its process to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Out {
    /// Send a packet.
    Send(NodeId, Channel, Packet),
    /// Open a connection.
    Connect(NodeId),
    /// Close both connections.
    Close(NodeId),
    /// Run the escalation.
    Escalate,
    /// Run the de-escalation.
    DeEscalate,
    /// End: the whole pgpool follows (`POOL_EXIT_FATAL`).
    Fatal,
    /// Answer a local request.
    Reply(u32, Verdict),
    /// The local pgpool carries a request out that another asked for.
    Carry(Request),
    /// The local pgpool votes again for what it has in quarantine.
    InformQuarantine,
    /// The local pgpool fetches the states of backends from the leader.
    SyncBackends,
    /// The quorum is different, or this node is something else: the local pgpool looks again at what it has in quarantine.
    Interrupt,
    /// A peer asks for the states of backends.
    TellBackends(NodeId, u32),
    /// The states of backends, as the leader told them.
    Backends(Arc<[super::msg::BackendState]>, Option<u8>),
    /// The second stage of online recovery begins or ends at a peer; the number of its packet.
    Recovery(NodeId, u32, bool),
    /// What a peer's clients do.
    ClientsGone(NodeId, bool),
    /// The leader's follow-primary process takes or gives back the lock.
    LockStandby(bool),
    /// Something worth telling.
    Note(Note),
}

/// What the watchdog knows of the local pgpool when votes expire.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Local {
    /// The backends that are quarantined and were primary, as long as there is no primary.
    pub quarantined_primary: Vec<u8>,
}

/// A watchdog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    pub(super) set: Arc<Settings>,
    pub(super) state: State,
    pub(super) priority: i32,
    pub(super) startup: i64,
    pub(super) since: i64,
    pub(super) escalated: bool,
    pub(super) quorum: i8,
    pub(super) leader: Option<NodeId>,
    pub(super) standbys: Vec<NodeId>,
    pub(super) peers: Vec<Peer>,
    /// The timer of the state: set when, for so many seconds.
    pub(super) timer: Option<(Clock, i64)>,
    pub(super) commands: Vec<Command>,
    forwarded: Vec<Forwarded>,
    pub(super) votes: Votes,
    pub(super) window: u32,
    next_id: u32,
    last_broadcast: Option<(Service, Clock)>,
    /// What it asks for, in order; the process takes it after each call.
    pub out: Vec<Out>,
}

impl Machine {
    /// A watchdog that has not started.
    pub fn new(set: Arc<Settings>) -> Machine {
        let others = (0..set.names.len() as NodeId).filter(|n| *n != set.me);
        Machine {
            state: State::Dead,
            priority: set.priority,
            startup: 0,
            since: 0,
            escalated: false,
            quorum: -1,
            leader: None,
            standbys: Vec::new(),
            peers: others.map(Peer::new).collect(),
            timer: None,
            commands: Vec::new(),
            forwarded: Vec::new(),
            votes: Votes::default(),
            window: LEAST_WINDOW.max(set.health_window),
            next_id: 0,
            last_broadcast: None,
            out: Vec::new(),
            set,
        }
    }
    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }
    /// Its quorum: 1, 0 (on the edge), -1; for a standby, that of its leader.
    pub fn quorum(&self) -> i8 {
        match self.leader {
            Some(l) if l != self.set.me => self.peers[self.index(l)].info.quorum,
            _ => self.quorum,
        }
    }
    /// Whether it has escalated.
    pub fn escalated(&self) -> bool {
        self.escalated
    }
    /// Its leader.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }
    /// Leader, and accepted as such.
    pub fn true_leader(&self) -> bool {
        self.state == State::Coordinator && self.leader == Some(self.set.me)
    }
    /// What it knows of the others.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }
    /// The standbys that joined it.
    pub fn standbys(&self) -> &[NodeId] {
        &self.standbys
    }
    /// Members besides itself.
    pub fn members(&self) -> usize {
        self.peers.iter().filter(|p| p.membership == Membership::Active).count()
    }

    pub(super) fn index(&self, node: NodeId) -> usize {
        usize::from(node) - usize::from(node > self.set.me)
    }
    pub(super) fn peer(&mut self, node: NodeId) -> &mut Peer {
        let i = self.index(node);
        &mut self.peers[i]
    }
    pub(super) fn name(&self, node: NodeId) -> Arc<str> {
        self.set.names[usize::from(node)].clone()
    }
    pub(super) fn note(&mut self, note: Note) {
        self.out.push(Out::Note(note));
    }
    pub(super) fn set_timer(&mut self, secs: i64, now: Clock) {
        self.timer = Some((now, secs));
    }
    pub(super) fn number(&mut self) -> u32 {
        self.next_id += 1;
        // A reply has the number of what it answers: numbers of different nodes must not meet.
        u32::from(self.set.me) << 24 | self.next_id & 0xFF_FFFF
    }
    pub(super) fn info(&self) -> Info {
        Info {
            id: self.set.me,
            state: self.state,
            priority: self.priority,
            startup: self.startup,
            since: self.since,
            escalated: self.escalated,
            quorum: self.quorum,
            standbys: self.standbys.len() as u8,
        }
    }

    /// Sends to one; whether there is a connection.
    pub(super) fn send(&mut self, to: NodeId, id: u32, body: Body, now: Clock) -> bool {
        let p = self.peer(to);
        let channel = match (p.client, p.server) {
            (Socket::Connected, _) => Channel::Client,
            (_, true) => Channel::Server,
            _ => {
                p.failures += 1;
                return false;
            }
        };
        p.failures = 0;
        if matches!(body, Body::Failover(_)) && p.waiting.is_none() {
            p.waiting = Some(now);
        }
        self.out.push(Out::Send(to, channel, Packet { id, body }));
        true
    }
    /// Answers a packet.
    pub(super) fn reply(&mut self, to: NodeId, packet: &Packet, body: Body, now: Clock) {
        self.send(to, packet.id, body, now);
    }
    /// Sends to everybody who can be reached.
    pub(super) fn broadcast(&mut self, body: &Body, now: Clock) {
        let id = self.number();
        for i in 0..self.peers.len() {
            if self.peers[i].reachable() {
                self.send(self.peers[i].info.id, id, body.clone(), now);
            }
        }
    }
    /// A service message, to one or to all; the same one is not sent to all again within 5 seconds.
    pub(super) fn service(&mut self, to: Option<NodeId>, what: Service, now: Clock) {
        let Some(to) = to else {
            if let Some((last, at)) = self.last_broadcast
                && last == what
                && secs_between(now, at) < super::config::BROADCAST_AGAIN
            {
                return;
            }
            self.last_broadcast = Some((what, now));
            self.broadcast(&Body::Service(what), now);
            return;
        };
        let id = self.number();
        self.send(to, id, Body::Service(what), now);
    }
    /// Asks the cluster, or one node, and waits for the answers.
    pub(super) fn command(
        &mut self,
        to: Option<NodeId>,
        asked: Asked,
        body: &Body,
        timeout: i64,
        now: Clock,
    ) {
        let id = self.number();
        let mut sent = Vec::new();
        for i in 0..self.peers.len() {
            let p = &self.peers[i].info;
            let (node, active) = (p.id, p.state.active());
            if to.map_or(active, |t| t == node) && self.send(node, id, body.clone(), now) {
                sent.push((node, false));
            }
        }
        self.commands.push(Command { asked, id, at: now, timeout, sent });
    }

    /// Opens a connection.
    pub(super) fn connect(&mut self, to: NodeId, now: Clock) {
        let p = self.peer(to);
        (p.client, p.tried) = (Socket::Waiting, now);
        self.out.push(Out::Connect(to));
    }
    /// Opens connections to all with whom there is none at all.
    pub(super) fn connect_unreachable(&mut self, now: Clock) {
        for i in 0..self.peers.len() {
            let p = &self.peers[i];
            if p.client == Socket::Closed && !p.server && p.info.state != State::Shutdown {
                self.connect(p.info.id, now);
            }
        }
    }
    pub(super) fn close(&mut self, node: NodeId) {
        let p = self.peer(node);
        (p.client, p.server, p.waiting, p.failures) = (Socket::Closed, false, None, 0);
        self.out.push(Out::Close(node));
        let gone: Vec<u32> = self.forwarded.iter().filter(|f| f.to == node).map(|f| f.ipc).collect();
        self.forwarded.retain(|f| f.to != node);
        self.out.extend(gone.into_iter().map(|ipc| Out::Reply(ipc, Verdict::Cancelled)));
    }

    /// It starts.
    pub fn start(&mut self, now: Clock) {
        self.startup = second_of(now);
        for i in 0..self.peers.len() {
            self.connect(self.peers[i].info.id, now);
        }
        self.become_state(State::Loading, now);
    }
    /// The connection to a peer is there.
    pub fn connected(&mut self, peer: NodeId, now: Clock) {
        let p = self.peer(peer);
        (p.client, p.tried) = (Socket::Connected, now);
        let (id, info) = (self.number(), self.info());
        self.send(peer, id, Body::AddNode(info), now);
        let loading = self.state == State::Loading;
        let p = self.peer(peer);
        if loading && p.info.state == State::Dead {
            p.info.state = State::AddMessageSent;
        }
    }
    /// A connection is gone, or did not come about.
    pub fn closed(&mut self, peer: NodeId, channel: Channel, now: Clock) {
        let p = self.peer(peer);
        match channel {
            Channel::Client => {
                if p.client == Socket::Waiting {
                    p.tried = now;
                }
                p.client = Socket::Closed;
            }
            Channel::Server => p.server = false,
        }
    }
    /// A peer said who it is on a connection that it opened.
    pub fn greeted(&mut self, packet: &Packet, now: Clock) {
        let Body::AddNode(info) = packet.body else { return };
        let node = info.id;
        let was = self.peer(node).info.state;
        let p = self.peer(node);
        (p.info, p.server) = (info, true);
        p.membership = Membership::Active;
        p.last_received = now;
        // A node that was there all the time only opens its own connection: its greeting is no news.
        if !was.active() {
            self.on_packet(node, packet, now);
        }
        if was == State::Lost {
            self.found(node, now);
        }
    }
    /// A packet arrived from a node that is known.
    pub fn received(&mut self, from: NodeId, packet: &Packet, now: Clock) {
        self.on_packet(from, packet, now);
        self.peer(from).waiting = None;
    }

    /// Whether the timer of the state has run out; asked when the loop wakes, before what it woke for is handled.
    pub fn wake(&mut self, now: Clock) -> bool {
        let over = self.timer.is_some_and(|(at, secs)| secs_between(now, at) >= secs);
        if over {
            self.timer = None;
        }
        over
    }
    /// The rest of the loop, after what it woke for.
    pub fn turn(&mut self, timer_over: bool, local: &Local, now: Clock) {
        if timer_over {
            self.timer = None;
            self.on_timeout(now);
        }
        self.overdue_commands(now);
        self.reconnect(now);
        self.unreachable(now);
        if self.state == State::Coordinator {
            self.update_quorum(now);
            self.expire_votes(local, now);
        }
    }
    fn overdue_commands(&mut self, now: Clock) {
        while let Some(i) = self.commands.iter().position(|c| secs_between(now, c.at) >= c.timeout) {
            let command = self.commands.remove(i);
            self.on_finished(&command, End::TimedOut, now);
        }
    }
    fn reconnect(&mut self, now: Clock) {
        for i in 0..self.peers.len() {
            let p = &self.peers[i];
            if !matches!(p.info.state, State::Shutdown | State::Dead)
                && p.client == Socket::Closed
                && secs_between(now, p.tried) > CONNECTION_RETRY
            {
                self.connect(p.info.id, now);
            }
        }
    }
    fn unreachable(&mut self, now: Clock) {
        for i in 0..self.peers.len() {
            let p = &self.peers[i];
            let (node, state) = (p.info.id, p.info.state);
            if p.membership == Membership::Active {
                let lost = state == State::Lost
                    && self.set.lost_removal > 0
                    && secs_between(now, p.lost_at) >= self.set.lost_removal;
                let no_show = state == State::Dead
                    && self.set.no_show_removal > 0
                    && second_of(now) - self.startup >= self.set.no_show_removal;
                if lost || no_show {
                    self.revoke(node);
                }
            }
            if !state.active() {
                continue;
            }
            let p = &self.peers[i];
            let why = if p.reachable() || p.client == Socket::Waiting {
                match p.waiting {
                    Some(at) if secs_between(now, at) >= WAIT_FOR_REPLY => Lost::NoReply,
                    Some(_) => continue,
                    None if p.failures > SEND_FAILURES => Lost::SendFailure,
                    None if p.missed > MISSED_BEACONS => Lost::MissedBeacons,
                    None => continue,
                }
            } else {
                Lost::NotReachable
            };
            self.peer(node).missed = 0;
            self.lost(node, why, now);
        }
    }
    pub(super) fn revoke(&mut self, node: NodeId) {
        let p = self.peer(node);
        if p.membership == Membership::Active {
            p.membership = Membership::Revoked;
            let name = self.name(node);
            self.note(Note::Revoked { node: name });
        }
    }
    pub(super) fn update_quorum(&mut self, now: Clock) {
        let status = quorum::status(self.members(), self.standbys.len(), self.set.half_votes);
        if status != self.quorum {
            self.quorum = status;
            self.quorum_changed(now);
        }
    }
    fn expire_votes(&mut self, local: &Local, now: Clock) {
        let expired = self.votes.expire(self.window, now);
        let mine = expired.iter().any(|b| {
            b.by.contains(&self.set.me)
                && b.request.nodes.iter().any(|n| local.quarantined_primary.contains(n))
        });
        for b in expired {
            self.note(Note::VoteExpired {
                backend: b.request.nodes.first().copied().unwrap_or(0),
                votes: b.votes,
            });
        }
        if mine {
            self.priority = -1;
            self.note(Note::Resigns);
            self.service(None, Service::IamResigning, now);
            self.become_state(State::Joining, now);
        }
    }

    /// The local pgpool asks, under its number for it.
    pub fn ask(&mut self, ipc: u32, request: Request, now: Clock) {
        if self.true_leader() {
            let counted = self.judge(self.set.me, &request, now);
            self.out.push(Out::Reply(ipc, counted));
        } else if self.state == State::Standby
            && let Some(to) = self.leader
        {
            let id = self.number();
            if self.send(to, id, Body::Failover(request), now) {
                self.forwarded.push(Forwarded { ipc, id, to });
            } else {
                self.out.push(Out::Reply(ipc, Verdict::Cancelled));
            }
        } else {
            self.note(Note::Cancelled { state: self.state });
            self.out.push(Out::Reply(ipc, Verdict::Cancelled));
        }
    }
    /// A leader counts a request.
    pub(super) fn judge(&mut self, from: NodeId, request: &Request, now: Clock) -> Verdict {
        self.update_quorum(now);
        let rules = Rules {
            when_quorum_exists: self.set.when_quorum_exists,
            require_consensus: self.set.require_consensus,
            multiple: self.set.multiple,
            quorum: self.quorum,
            needed: quorum::votes(self.members(), self.set.half_votes),
        };
        let counted = self.votes.count(request, from, rules, now);
        let backend = request.nodes.first().copied().unwrap_or(0);
        match (counted.verdict, counted.votes) {
            (Verdict::Proceed, Some(votes)) => self.note(Note::Consensus { backend, votes }),
            (Verdict::BuildingConsensus | Verdict::ConsensusMayFail, Some(votes)) => {
                let (by, again) = (self.name(from), counted.verdict == Verdict::ConsensusMayFail);
                self.note(Note::Vote { backend, by, votes, needed: rules.needed, again });
            }
            (Verdict::NoQuorum, _) => {
                let by = self.name(from);
                self.note(Note::NoQuorum { backend, by });
            }
            _ => {}
        }
        if counted.verdict == Verdict::BuildingConsensus {
            self.broadcast(&Body::WaitingForConsensus, now);
            if from != self.set.me {
                self.out.push(Out::InformQuarantine);
            }
        }
        if counted.verdict == Verdict::Proceed && from != self.set.me {
            self.out.push(Out::Carry(Request { flags: counted.flags, ..request.clone() }));
            return Verdict::WillBeDone;
        }
        counted.verdict
    }
    pub(super) fn answered(&mut self, packet: &Packet, verdict: Verdict) -> bool {
        let Some(i) = self.forwarded.iter().position(|f| f.id == packet.id) else { return false };
        let f = self.forwarded.remove(i);
        self.out.push(Out::Reply(f.ipc, verdict));
        true
    }
    /// The local pgpool begins (`true`) or ends a change of backends.
    pub fn indicate(&mut self, begins: bool, now: Clock) {
        if self.state == State::Coordinator {
            self.broadcast(if begins { &Body::FailoverStart } else { &Body::FailoverEnd }, now);
        }
    }
    /// The local pgpool wants to know how its leader sees the backends; whether there is one to ask.
    pub fn ask_backends(&mut self, now: Clock) -> bool {
        match self.leader {
            Some(l) if l != self.set.me => {
                let id = self.number();
                self.send(l, id, Body::AskBackends, now)
            }
            _ => false,
        }
    }
    /// It is told to stop: the others are told, the address goes.
    pub fn stop(&mut self, now: Clock) {
        for i in 0..self.peers.len() {
            if self.peers[i].info.state.active() {
                let (to, id) = (self.peers[i].info.id, self.number());
                self.send(to, id, Body::GoingDown, now);
            }
        }
        if self.state == State::Coordinator {
            self.resign();
        }
    }
    /// When the loop wakes by itself.
    pub const SELECT: Clock = SECOND;
}
impl Machine {
    /// The second stage of an online recovery begins or ends on this pgpool: all are told. Whom it waits for then; nothing: it is neither
    /// leader nor standby, and cannot ask.
    pub fn tell_recovery(&mut self, begins: bool, now: Clock) -> Option<Vec<NodeId>> {
        if !matches!(self.state, State::Coordinator | State::Standby) {
            return None;
        }
        self.broadcast(&Body::Recovery(begins), now);
        Some(self.reachable_peers())
    }
    /// The peers that can be reached.
    pub fn reachable_peers(&self) -> Vec<NodeId> {
        self.peers.iter().filter(|p| p.reachable()).map(|p| p.info.id).collect()
    }
    /// A peer's clients have gone, or do not go: it is told.
    pub fn answer_recovery(&mut self, to: NodeId, id: u32, gone: bool, now: Clock) {
        self.send(to, id, Body::ClientsGone(gone), now);
    }
    /// The local follow-primary process takes the lock on the standbys, or gives it back. Only a leader's does.
    pub fn lock_standbys(&mut self, takes: bool, now: Clock) {
        if self.state == State::Coordinator {
            self.broadcast(&Body::LockStandby(takes), now);
        }
    }
}
