//! The totem single ring protocol (`totemsrp.c`): membership, and messages in one order.
//!
//! ```text
//! OPERATIONAL --token lost, join, leave, foreign ring--> GATHER --all agree--> COMMIT --commit token, twice round--> RECOVERY --old
//! messages recovered--> OPERATIONAL, with a new ring id
//! ```
//!
//! The folder: `gather` is GATHER with its joins and the consensus timer, `recovery` COMMIT and RECOVERY, `token` the token of a ring,
//! messages and their repetition. An idle token is held at the representative (the lowest id), as in the real program, so that an idle ring
//! costs one rotation in `hold`.
//!
//! **Not modelled:** the packing of messages into packets and their fragmentation (each message is a packet), the backlog part of flow
//! control, the heartbeat timer (`heartbeat_failures_allowed`, off by default), `send_join`, several rings (RRP); the joins with which two nodes
//! that are in no ring together answer each other at once although they change nothing (their effect on timers is there, see `gather`).
//! Numbers do not wrap around.

mod gather;
mod recovery;
mod token;

use super::api::{NodeId, RingId};
use super::config::Timers;
use super::knet::Net;
use super::msg::{Body, Commit, Mcast, Token, Totem};
use super::nodes::Nodes;
use super::note::{Note, Why};
use crate::engine::{Span, Time};
use crate::node::process::Timer;
use crate::proto::Cx;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(super) const T_TOKEN: Timer = Timer(0);
pub(super) const T_RETRANSMIT: Timer = Timer(1);
pub(super) const T_HOLD: Timer = Timer(2);
pub(super) const T_MERGE: Timer = Timer(3);
pub(super) const T_JOIN: Timer = Timer(4);
pub(super) const T_CONSENSUS: Timer = Timer(5);
pub(super) const T_WARNING: Timer = Timer(6);

/// Before the first message of a ring.
const START: u32 = 1;

/// Where the membership stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// A ring stands.
    Operational,
    /// Who is there?
    Gather,
    /// All agree: the commit token goes round.
    Commit,
    /// Messages of the old ring are exchanged.
    Recovery,
}

/// The constants of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Derived timers.
    pub timers: Timers,
    /// `join`.
    pub join: Span,
    /// `merge`.
    pub merge: Span,
    /// `token_warning`, as a span; zero is off.
    pub warning: Span,
    /// `fail_recv_const`.
    pub fail_recv: u32,
    /// `seqno_unchanged_const`.
    pub unchanged: u32,
    /// `window_size`.
    pub window: u32,
    /// `max_messages`.
    pub max_messages: u32,
    /// `miss_count_const`.
    pub miss_count: u32,
    /// `late_tail`, with a number of the run that its draws come from.
    pub late_tail: Option<u64>,
}

/// What the ring tells those above, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Up {
    /// A message.
    Deliver(Arc<Mcast>),
    /// The old ring is over; what follows up to [`Up::Regular`] is what could be recovered of it.
    Transitional,
    /// A new ring.
    Regular { ring: RingId, members: Nodes, joined: Nodes, left: Nodes },
}

/// What is repeated when nothing is heard of it.
#[derive(Clone, Debug)]
enum Sent {
    Nothing,
    Token(Token, Vec<u32>),
    Commit(Commit),
}

/// The ring as one node sees it.
#[derive(Clone, Debug)]
pub struct Srp {
    me: NodeId,
    set: Settings,
    pub(super) state: State,
    /// The ring; from COMMIT on the new one.
    pub(super) ring: RingId,
    old_ring: RingId,
    /// The highest number of a ring heard of.
    ring_seq: u32,
    pub(super) members: Nodes,
    new_members: Nodes,
    trans: Nodes,
    deliver: Nodes,
    /// Whom GATHER has heard of, given up, and heard saying the same.
    proc: Nodes,
    failed: Nodes,
    agreed: Nodes,
    /// Messages of the ring, by number; those of the new ring in RECOVERY.
    regular: BTreeMap<u32, Arc<Mcast>>,
    recovery: BTreeMap<u32, Arc<Mcast>>,
    misses: BTreeMap<u32, u32>,
    aru: u32,
    high_seq: u32,
    high_delivered: u32,
    last_aru: u32,
    /// `aru` and `high_seq` of the old ring, from COMMIT on.
    old: Option<(u32, u32)>,
    token_seq: u32,
    last_seq: u32,
    unchanged: u32,
    held: bool,
    merge_set: bool,
    sent: Sent,
    discard: bool,
    originated: bool,
    set_retrans: bool,
    retrans_count: u32,
    rotation: u32,
    install_seq: u32,
    received: bool,
    aru_count: u32,
    failed_to_recv: bool,
    sent_last: u32,
    /// Messages not sent yet: of the synchronisation, and of everybody else.
    sync_queue: VecDeque<Body>,
    queue: VecDeque<Body>,
    /// A new ring is not synchronised yet: only its synchronisation is sent.
    pub(super) syncing: bool,
    retrans: VecDeque<Arc<Mcast>>,
    /// Who has said that it leaves.
    leaving: Nodes,
    /// When the token was seen last.
    heard: Time,
    why: Option<Why>,
    up: Vec<Up>,
}

impl Srp {
    /// A node before its start.
    pub fn new(me: NodeId, set: Settings) -> Srp {
        let ring = RingId { seq: 0, rep: me };
        Srp {
            me,
            set,
            state: State::Gather,
            ring,
            old_ring: ring,
            ring_seq: 0,
            members: Nodes::one(me),
            new_members: Nodes::NONE,
            trans: Nodes::NONE,
            deliver: Nodes::NONE,
            proc: Nodes::NONE,
            failed: Nodes::NONE,
            agreed: Nodes::NONE,
            regular: BTreeMap::new(),
            recovery: BTreeMap::new(),
            misses: BTreeMap::new(),
            aru: START,
            high_seq: START,
            high_delivered: START,
            last_aru: START,
            old: None,
            token_seq: 0,
            last_seq: 0,
            unchanged: 0,
            held: false,
            merge_set: false,
            sent: Sent::Nothing,
            discard: true,
            originated: false,
            set_retrans: false,
            retrans_count: 0,
            rotation: 0,
            install_seq: START,
            received: true,
            aru_count: 0,
            failed_to_recv: false,
            sent_last: 0,
            sync_queue: VecDeque::new(),
            queue: VecDeque::new(),
            syncing: false,
            retrans: VecDeque::new(),
            leaving: Nodes::NONE,
            heard: Time::ZERO,
            why: None,
            up: Vec::new(),
        }
    }
    /// The number of the run that its late tails come from.
    pub(super) fn late_tail(&self) -> Option<u64> {
        self.set.late_tail
    }
    /// As before the start, but for the number of the ring, which is on disk (`/var/lib/corosync/ringid_N`).
    pub fn reset(&mut self) {
        let seq = self.ring.seq;
        *self = Srp::new(self.me, self.set.clone());
        self.ring = RingId { seq, rep: self.me };
        self.old_ring = self.ring;
        self.ring_seq = seq;
    }
    /// Begins alone, looking for others. The number from disk grows by one (since 3.0.3): the representative of a ring that is back before
    /// the others have missed it comes from a ring of its own, and not from the one that its last life was in.
    pub(super) fn start(&mut self, net: &Net, ctx: &mut Cx<'_>) {
        self.heard = ctx.now;
        self.ring.seq += 1;
        self.old_ring = self.ring;
        self.ring_seq = self.ring_seq.max(self.ring.seq);
        self.gather(Why::Start, net, ctx);
    }
    /// What has happened since the last call, for those above.
    pub(super) fn drain(&mut self) -> Vec<Up> {
        std::mem::take(&mut self.up)
    }
    /// Sends a message to all when the token comes.
    pub(super) fn mcast(&mut self, body: Body, sync: bool, net: &Net, ctx: &mut Cx<'_>) {
        if sync {
            self.sync_queue.push_back(body);
        } else {
            self.queue.push_back(body);
        }
        self.cancel_hold(net, ctx);
    }
    /// The ring is synchronised: everybody else's messages may go. The last barrier of a ring may come out of its recovery, when the next
    /// ring stands already and has to be synchronised itself.
    pub(super) fn synced(&mut self, ring: RingId, net: &Net, ctx: &mut Cx<'_>) {
        if ring != self.old_ring {
            return;
        }
        self.syncing = false;
        if !self.queue.is_empty() {
            self.cancel_hold(net, ctx);
        }
    }
    fn cancel_hold(&mut self, net: &Net, ctx: &mut Cx<'_>) {
        if self.state == State::Operational && std::mem::take(&mut self.held) {
            net.cast(&Totem::HoldCancel(self.ring), ctx);
        }
    }
    /// Whether this node is the lowest of the ring.
    fn is_rep(&self) -> bool {
        self.ring.rep == self.me
    }
    /// The sender of the next message in the ring.
    fn next(&self) -> NodeId {
        if self.state == State::Operational { self.members } else { self.new_members }.after(self.me)
    }
    fn note(note: Note, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::Corosync(Box::new(note)));
    }

    // ---- timers ------------------------------------------------------------------------------------------------------

    fn token_timers(&self, ctx: &mut Cx<'_>) {
        ctx.set_timer(T_TOKEN, self.set.timers.token);
        if self.state == State::Operational && !self.set.warning.is_zero() {
            ctx.set_timer(T_WARNING, self.set.warning);
        }
        ctx.set_timer(T_RETRANSMIT, self.set.timers.retransmit);
    }
    fn repeat(&self, net: &Net, ctx: &mut Cx<'_>) {
        match &self.sent {
            Sent::Nothing => {}
            Sent::Token(t, rtr) if rtr.is_empty() => net.send(self.next(), Totem::Token(*t), ctx),
            Sent::Token(t, rtr) => {
                net.send(self.next(), Totem::TokenRtr(Box::new((*t, rtr.clone()))), ctx);
            }
            Sent::Commit(c) => net.send(self.next(), Totem::Commit(Box::new(c.clone())), ctx),
        }
    }
    /// One of its timers ran out.
    pub(super) fn timer(&mut self, timer: Timer, net: &Net, ctx: &mut Cx<'_>) {
        match timer {
            T_TOKEN => self.token_lost(net, ctx),
            T_RETRANSMIT if self.state != State::Gather => {
                self.repeat(net, ctx);
                ctx.set_timer(T_RETRANSMIT, self.set.timers.retransmit);
            }
            T_HOLD if matches!(self.state, State::Operational | State::Recovery) => self.repeat(net, ctx),
            T_MERGE => {
                self.merge_set = false;
                if self.state == State::Operational && self.is_rep() {
                    net.cast(&Totem::MergeDetect(self.ring, self.me), ctx);
                }
            }
            T_JOIN if matches!(self.state, State::Gather | State::Commit) => {
                self.send_join(net, ctx);
                ctx.set_timer(T_JOIN, self.set.join);
            }
            T_CONSENSUS => self.consensus_timeout(net, ctx),
            T_WARNING if self.state == State::Operational => {
                let silent = ctx.now.since(self.heard);
                Self::note(Note::TokenWarning { silent }, ctx);
            }
            _ => {}
        }
    }
    fn token_lost(&mut self, net: &Net, ctx: &mut Cx<'_>) {
        match self.state {
            State::Operational => {
                let t = self.set.timers;
                let last = self.heard;
                let note = Note::TokenLost { token: t.token, consensus: t.consensus, last };
                Self::note(note, ctx);
                self.gather(Why::TokenLost, net, ctx);
            }
            State::Gather => {
                self.consensus_timeout(net, ctx);
                self.gather(Why::TokenLost, net, ctx);
            }
            State::Commit => self.gather(Why::TokenLost, net, ctx),
            State::Recovery => {
                self.restore();
                self.gather(Why::TokenLost, net, ctx);
            }
        }
    }

    // ---- messages ------------------------------------------------------------------------------------------------------

    /// A message of another node, or of its own that came back.
    pub(super) fn on(&mut self, from: NodeId, msg: Totem, net: &Net, ctx: &mut Cx<'_>) {
        match msg {
            Totem::Token(t) => self.token(t, Vec::new(), net, ctx),
            Totem::TokenRtr(t) => self.token(t.0, t.1, net, ctx),
            Totem::Mcast(m) => self.message(m, net, ctx),
            Totem::Join { from, ring_seq, proc, failed, leave } => {
                self.join((from, ring_seq, leave), (proc, failed), net, ctx);
            }
            Totem::MergeDetect(ring, from) => {
                if ring != self.ring {
                    self.foreign(from, Why::Merge(net.name(from)), net, ctx);
                }
            }
            Totem::Commit(c) => self.commit_token(*c, net, ctx),
            Totem::HoldCancel(ring) => {
                if ring == self.ring {
                    self.unchanged = 0;
                    if self.is_rep() && self.state != State::Gather {
                        self.repeat(net, ctx);
                        ctx.set_timer(T_RETRANSMIT, self.set.timers.retransmit);
                    }
                }
            }
            Totem::Ping(..) | Totem::Pong(..) => {
                let _ = from;
            }
        }
    }
    /// Something of a ring that is not this one.
    fn foreign(&mut self, from: NodeId, why: Why, net: &Net, ctx: &mut Cx<'_>) {
        match self.state {
            State::Operational => {
                self.proc = self.proc.with(from);
                self.gather(why, net, ctx);
            }
            State::Gather if !self.proc.has(from) => {
                self.proc = self.proc.with(from);
                self.gather(why, net, ctx);
            }
            _ => {}
        }
    }
}
