//! GATHER: everybody repeats whom it has heard of and whom it has given up, until all who are left say the same. Who says nothing is in
//! everybody's list of nodes still, so that only the consensus timer gives it up: a crash costs the token timeout *and* the consensus timeout.

use super::{
    NodeId, Nodes, RingId, Srp, State, T_CONSENSUS, T_HOLD, T_JOIN, T_MERGE, T_RETRANSMIT, T_TOKEN, T_WARNING,
};
use crate::engine::Span;
use crate::proto::Cx;
use crate::proto::corosync::knet::Net;
use crate::proto::corosync::msg::Totem;
use crate::proto::corosync::note::{Note, Why};

/// The late tail that was measured: in one of so many changes, so much.
const TAIL_ONE_IN: u64 = 6;
const TAIL: (Span, Span) = (Span::ms(120), Span::ms(930));

/// The late tail of the change that ends a ring: a function of the run and of the ring, because it is one for all its nodes.
fn tail_of(salt: u64, ring: RingId) -> Span {
    let draw = scramble(salt ^ (u64::from(ring.seq) << 16 | u64::from(ring.rep.0)));
    if !draw.is_multiple_of(TAIL_ONE_IN) {
        return Span::ZERO;
    }
    TAIL.0 + Span(scramble(draw) % (TAIL.1.0 - TAIL.0.0 + 1))
}
/// A number that has nothing to do with its neighbours' (the last step of SplitMix64).
fn scramble(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}

impl Srp {
    /// Enters GATHER, or begins it again.
    pub(super) fn gather(&mut self, why: Why, net: &Net, ctx: &mut Cx<'_>) {
        // The first reason is the one that is told with the new membership.
        self.why.get_or_insert(why);
        self.discard = true;
        self.originated = false;
        self.held = false;
        self.proc = self.proc.with(self.me);
        self.state = State::Gather;
        self.send_join(net, ctx);
        ctx.set_timer(T_JOIN, self.set.join);
        for timer in [T_RETRANSMIT, T_MERGE, T_WARNING, T_HOLD] {
            ctx.cancel_timer(timer);
        }
        self.merge_set = false;
        self.ask_again(ctx);
    }
    /// What GATHER has heard so far counts no more, and its time begins anew.
    fn ask_again(&mut self, ctx: &mut Cx<'_>) {
        ctx.set_timer(T_CONSENSUS, self.set.timers.consensus + self.tail());
        ctx.cancel_timer(T_TOKEN);
        self.agreed = Nodes::one(self.me);
    }
    /// The late tail of this change of the membership: all who come from one ring have the same.
    fn tail(&self) -> Span {
        match self.set.late_tail {
            Some(salt) if self.proc.len() >= 3 => tail_of(salt, self.old_ring),
            _ => Span::ZERO,
        }
    }
    pub(super) fn send_join(&self, net: &Net, ctx: &mut Cx<'_>) {
        let join = Totem::Join {
            from: self.me,
            ring_seq: self.ring.seq,
            proc: self.proc,
            failed: self.failed,
            leave: false,
        };
        net.cast(&join, ctx);
    }
    /// Says goodbye: the others need not wait.
    pub(in crate::proto::corosync) fn send_leave(&self, net: &Net, ctx: &mut Cx<'_>) {
        let me = Nodes::one(self.me);
        let leave = Totem::Join {
            from: self.me,
            ring_seq: self.ring.seq,
            proc: self.proc.without(me),
            failed: self.failed.and(me),
            leave: true,
        };
        net.cast(&leave, ctx);
    }
    /// Whether all who are not given up have said the same.
    fn all_agree(&self) -> bool {
        let left = self.proc.without(self.failed);
        !left.is_empty() && left.within(self.agreed)
    }
    pub(super) fn consensus_timeout(&mut self, net: &Net, ctx: &mut Cx<'_>) {
        if self.state != State::Gather {
            return;
        }
        if self.all_agree() {
            self.agreed = Nodes::one(self.me);
            ctx.set_timer(T_TOKEN, self.set.timers.token);
            return;
        }
        let silent = self.proc.without(self.failed).without(self.agreed);
        let note = Note::ConsensusTimeout { waited: self.set.timers.consensus, silent: net.names(silent) };
        Self::note(note, ctx);
        self.failed = self.failed.and(silent);
        self.gather(Why::TokenLost, net, ctx);
    }
    /// A join message that a standing ring does not care for.
    fn ignored(&self, (from, ring_seq): (NodeId, u32), failed: Nodes) -> bool {
        failed.has(self.me) || (self.members.has(from) && ring_seq < self.ring.seq)
    }
    pub(super) fn join(
        &mut self,
        (from, ring_seq, leave): (NodeId, u32, bool),
        (proc, failed): (Nodes, Nodes),
        net: &Net,
        ctx: &mut Cx<'_>,
    ) {
        self.ring_seq = self.ring_seq.max(ring_seq);
        if leave {
            self.leaving = self.leaving.with(from);
        }
        let of_new = self.new_members.has(from) && ring_seq >= self.ring.seq;
        let again = || Why::Join(net.name(from));
        match self.state {
            State::Operational if self.ignored((from, ring_seq), failed) => {}
            State::Operational | State::Gather => self.weigh((from, leave), (proc, failed), net, ctx),
            State::Commit if of_new => {
                self.weigh((from, leave), (proc, failed), net, ctx);
                self.gather(again(), net, ctx);
            }
            State::Recovery if of_new => {
                self.weigh((from, leave), (proc, failed), net, ctx);
                self.restore();
                self.gather(again(), net, ctx);
            }
            State::Commit | State::Recovery => {}
        }
    }
    /// What a join message says against what this node believes.
    fn weigh(
        &mut self,
        (from, leave): (NodeId, bool),
        (proc, failed): (Nodes, Nodes),
        net: &Net,
        ctx: &mut Cx<'_>,
    ) {
        let why = |net: &Net| if leave { Why::Leave(net.name(from)) } else { Why::Join(net.name(from)) };
        if (proc, failed) == (self.proc, self.failed) {
            if !leave {
                self.agreed = self.agreed.with(from);
            }
            if self.all_agree() && std::mem::take(&mut self.failed_to_recv) {
                self.proc = Nodes::one(self.me);
                self.failed = Nodes::NONE;
                self.create_commit(net, ctx);
            } else if self.all_agree() && self.proc.without(self.failed).lowest() == Some(self.me) {
                self.create_commit(net, ctx);
            } else if self.state == State::Operational {
                self.gather(why(net), net, ctx);
            }
            return;
        }
        let nothing_new = proc.within(self.proc) && failed.within(self.failed);
        if nothing_new || self.failed.has(from) {
            if self.state == State::Operational {
                self.gather(why(net), net, ctx);
            }
            return;
        }
        let before = (self.proc, self.failed);
        self.proc = self.proc.and(proc);
        if failed.has(self.me) {
            self.failed = self.failed.with(from);
        } else if self.members.has(from) {
            self.failed = self.failed.and(failed);
        }
        // Of a stranger's failed list nothing is taken over, so that such a join may change nothing. GATHER begins anew all the same: the
        // consensus timer runs from here, for as long as the stranger repeats what it says. The program also answers at once with a join
        // that says what its last one said, and so on, back and forth as fast as the sockets can. These answers can change nothing but the
        // timers that are restarted already, and are left out: here the join timer's repetition is the answer.
        if self.state == State::Gather && before == (self.proc, self.failed) {
            self.ask_again(ctx);
            return;
        }
        self.gather(why(net), net, ctx);
    }
}
