//! COMMIT and RECOVERY: the commit token goes round twice, then what some survivors of an old ring have and others lack is sent again in the new
//! ring, and the old ring is delivered to its end. Only then the new ring stands.

use super::{RingId, START, Sent, Srp, State, T_CONSENSUS, T_JOIN, T_RETRANSMIT, Up};
use crate::proto::Cx;
use crate::proto::corosync::knet::Net;
use crate::proto::corosync::msg::{Body, Commit, CommitEntry, Token, Totem};
use crate::proto::corosync::nodes::Nodes;
use crate::proto::corosync::note::{Note, Why};

impl Srp {
    /// This node is the lowest of those who agree.
    pub(super) fn create_commit(&mut self, net: &Net, ctx: &mut Cx<'_>) {
        let members = self.proc.without(self.failed);
        let commit = Commit {
            ring: RingId { seq: self.ring_seq.max(self.ring.seq) + 4, rep: self.me },
            members,
            index: 0,
            entries: vec![CommitEntry::default(); members.len() as usize],
        };
        self.enter_commit(commit, net, ctx);
    }
    fn enter_commit(&mut self, mut commit: Commit, net: &Net, ctx: &mut Cx<'_>) {
        let (aru, _) = *self.old.get_or_insert((self.aru, self.high_seq));
        self.new_members = commit.members;
        self.received = self.aru == self.high_seq;
        if let Some(entry) = commit.entries.get_mut(commit.index) {
            *entry = CommitEntry {
                ring: self.old_ring,
                aru,
                high_delivered: self.high_delivered,
                received: self.received,
            };
        }
        // Who of the same ring has less than another lacks something.
        let old_ring = self.old_ring;
        let of_ring = |e: &CommitEntry| e.ring == old_ring;
        let so_far = ..=commit.index.min(commit.entries.len().saturating_sub(1));
        let high = commit.entries[so_far].iter().filter(|e| of_ring(e)).map(|e| e.aru).max().unwrap_or(aru);
        for e in commit.entries[so_far].iter_mut().filter(|e| of_ring(e) && e.aru < high) {
            e.received = false;
        }
        self.received &= aru >= high;
        commit.index += 1;
        ctx.cancel_timer(T_JOIN);
        ctx.cancel_timer(T_CONSENSUS);
        self.ring = commit.ring;
        self.ring_seq = commit.ring.seq;
        self.state = State::Commit;
        self.sent_last = 0;
        self.token_timers(ctx);
        self.send_commit(commit, net, ctx);
    }
    fn send_commit(&mut self, commit: Commit, net: &Net, ctx: &mut Cx<'_>) {
        self.sent = Sent::Commit(commit);
        self.repeat(net, ctx);
        ctx.set_timer(T_RETRANSMIT, self.set.timers.retransmit);
    }
    pub(super) fn commit_token(&mut self, commit: Commit, net: &Net, ctx: &mut Cx<'_>) {
        let round = commit.index == commit.entries.len();
        match self.state {
            State::Operational => {}
            State::Gather => {
                let agreed = commit.members == self.proc.without(self.failed);
                if agreed && !round && commit.ring.seq > self.ring.seq {
                    self.enter_commit(commit, net, ctx);
                }
            }
            State::Commit if commit.ring == self.ring && round => self.enter_recovery(commit, net, ctx),
            State::Commit => {}
            State::Recovery => {
                if self.is_rep() && !self.originated && commit.ring == self.ring {
                    self.originated = true;
                    self.first_token(net, ctx);
                }
            }
        }
    }
    fn enter_recovery(&mut self, commit: Commit, net: &Net, ctx: &mut Cx<'_>) {
        self.discard = false;
        self.recovery.clear();
        self.misses.clear();
        self.retrans.clear();
        self.token_seq = 0;
        self.last_seq = 0;
        self.retrans_count = 0;
        self.rotation = 0;
        let of: Vec<_> = commit.members.iter().zip(&commit.entries).collect();
        let together = |e: &CommitEntry| e.ring == self.old_ring;
        self.trans =
            of.iter().filter(|(n, e)| together(e) && self.members.has(*n)).map(|(n, _)| *n).collect();
        let lacks = of.iter().any(|(n, e)| self.trans.has(*n) && !e.received);
        if lacks {
            self.deliver = self.trans;
            let (_, high) = self.old.unwrap_or((self.aru, self.high_seq));
            let low = of.iter().filter(|(n, _)| self.trans.has(*n)).map(|(_, e)| e.aru).min();
            let low = low.unwrap_or(high).min(high);
            self.retrans.extend(self.regular.range(low + 1..=high.max(low + 1)).map(|(_, m)| m.clone()));
        }
        self.state = State::Recovery;
        self.send_commit(commit, net, ctx);
        (self.aru, self.high_seq, self.install_seq) = (START, START, START);
        (self.aru_count, self.unchanged) = (0, 0);
        self.token_timers(ctx);
    }
    fn first_token(&mut self, net: &Net, ctx: &mut Cx<'_>) {
        self.set_retrans = !self.retrans.is_empty();
        let token = Token {
            ring: self.ring,
            seq: START,
            aru: START - 1,
            token_seq: 1,
            fcc: 0,
            aru_addr: self.me.0,
            retrans_flg: self.set_retrans,
        };
        self.sent = Sent::Token(token, Vec::new());
        self.repeat(net, ctx);
        self.token_timers(ctx);
    }
    /// The token was lost in RECOVERY: the old ring's state comes back.
    pub(super) fn restore(&mut self) {
        if let Some((aru, high)) = self.old {
            (self.aru, self.high_seq) = (aru, high);
        }
    }
    /// RECOVERY's part of the token: whether everybody has sent what it had of the old ring, and received it.
    pub(super) fn recovering(&mut self, t: &mut Token, net: &Net, ctx: &mut Cx<'_>) {
        if !self.retrans.is_empty() {
            if !t.retrans_flg {
                t.retrans_flg = true;
                self.set_retrans = true;
            }
        } else if t.retrans_flg && std::mem::take(&mut self.set_retrans) {
            t.retrans_flg = false;
        }
        self.retrans_count = if t.retrans_flg { 0 } else { self.retrans_count + 1 };
        if self.retrans_count == 2 {
            self.install_seq = t.seq;
        }
        if self.retrans_count >= 2 && !self.received && self.install_seq <= self.aru {
            self.received = true;
            self.deliver = self.trans;
        }
        if self.retrans_count >= 3 && self.install_seq <= t.aru {
            self.rotation += 1;
        } else {
            self.rotation = 0;
        }
        if self.rotation == 2 {
            (self.rotation, self.retrans_count) = (0, 0);
            self.enter_operational(net, ctx);
        }
    }
    fn enter_operational(&mut self, net: &Net, ctx: &mut Cx<'_>) {
        self.originated = false;
        self.agreed = Nodes::NONE;
        let (_, mut high) = self.old.take().unwrap_or((START, START));
        for m in self.recovery.values() {
            if let Body::Old(old) = &m.body
                && old.ring == self.old_ring
            {
                self.regular.entry(old.seq).or_insert_with(|| old.clone());
                high = high.max(old.seq);
            }
        }
        // The old ring up to its first gap; then, when it is over, what the others that came along have sent after it.
        while self.high_delivered < high
            && let Some(m) = self.regular.get(&(self.high_delivered + 1))
        {
            self.high_delivered += 1;
            self.up.push(Up::Deliver(m.clone()));
        }
        let left = self.members.without(self.trans);
        let joined = self.new_members.without(self.trans);
        self.up.push(Up::Transitional);
        for m in self.regular.range(self.high_delivered + 1..).map(|(_, m)| m) {
            if m.seq <= high && self.deliver.has(m.from) {
                self.up.push(Up::Deliver(m.clone()));
            }
        }
        self.regular = std::mem::take(&mut self.recovery);
        let old = |m: &std::sync::Arc<super::Mcast>| matches!(m.body, Body::Old(_));
        self.high_delivered = self.regular.iter().rev().find(|(_, m)| old(m)).map_or(START, |(seq, _)| *seq);
        self.members = self.new_members;
        self.proc = self.members;
        self.failed = Nodes::NONE;
        self.set_retrans = false;
        self.last_aru = START;
        self.received = true;
        self.state = State::Operational;
        self.old_ring = self.ring;
        self.syncing = true;
        self.sync_queue.clear();
        let why = self.why.take().unwrap_or(Why::Start);
        let (gone, failed) = (left, left.without(self.leaving));
        self.leaving = Nodes::NONE;
        let note = Note::Membership {
            ring: self.ring,
            members: net.names(self.members),
            joined: net.names(joined),
            left: net.names(gone),
            failed: net.names(failed),
            count: self.members.len(),
            why,
        };
        Self::note(note, ctx);
        for node in gone.iter() {
            let note = Note::NodeLost { node: net.name(node), left: !failed.has(node) };
            Self::note(note, ctx);
        }
        self.up.push(Up::Regular { ring: self.ring, members: self.members, joined, left });
    }
}

/// A message of the old ring in an envelope of the new one.
pub(super) fn envelope(m: std::sync::Arc<super::Mcast>) -> Body {
    Body::Old(m)
}

/// What goes round as a token.
pub(super) fn wrap(t: Token, rtr: &[u32]) -> Totem {
    if rtr.is_empty() { Totem::Token(t) } else { Totem::TokenRtr(Box::new((t, rtr.to_vec()))) }
}
