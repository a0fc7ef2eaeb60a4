//! The token of a ring: who has it may send; on its way it collects what somebody lacks, and up to where all have everything.

use super::recovery::{envelope, wrap};
use super::{Mcast, NodeId, Nodes, Sent, Srp, State, T_HOLD, T_MERGE, Up};
use crate::proto::Cx;
use crate::proto::corosync::knet::Net;
use crate::proto::corosync::msg::{Body, Token, Totem};
use crate::proto::corosync::note::{Note, Why};
use std::sync::Arc;

/// So many requests for missing messages fit into a token (`RETRANSMIT_ENTRIES_MAX`).
const RTR_MAX: usize = 30;

impl Srp {
    pub(super) fn token(&mut self, mut t: Token, mut rtr: Vec<u32>, net: &Net, ctx: &mut Cx<'_>) {
        if self.discard {
            return;
        }
        if t.seq == self.last_seq {
            if !std::mem::replace(&mut self.merge_set, true) {
                ctx.set_timer(T_MERGE, self.set.merge);
            }
            self.unchanged += 1;
        } else {
            self.merge_set = false;
            ctx.cancel_timer(T_MERGE);
            ctx.cancel_timer(T_HOLD);
            self.unchanged = 0;
        }
        self.last_seq = t.seq;
        let held = if self.is_rep() {
            self.unchanged > self.set.unchanged
        } else {
            self.unchanged >= self.set.unchanged
        };
        self.held = held;
        if self.state == State::Commit || t.ring != self.ring || t.token_seq <= self.token_seq {
            return;
        }
        self.heard = ctx.now;
        if self.state == State::Operational {
            self.free(t.aru);
        }
        let last_aru = std::mem::replace(&mut self.last_aru, t.aru);
        let window = self.set.window.saturating_sub(u32::from(t.fcc));
        let mut allowed = self.set.max_messages.min(window);
        let repeated = self.answer_rtr(&mut rtr, &mut allowed, net, ctx);
        self.ask_rtr(t.seq, &mut rtr);
        let sent = self.send_new(&mut t, allowed, net, ctx);
        let others = u32::from(t.fcc).saturating_sub(self.sent_last);
        self.sent_last = repeated + sent;
        t.fcc = (others + self.sent_last).min(u32::from(u16::MAX)) as u16;
        if self.aru < t.aru || t.aru_addr == self.me.0 || t.aru_addr == 0 {
            t.aru = self.aru;
            t.aru_addr = if t.aru == t.seq { 0 } else { self.me.0 };
        }
        self.aru_count = if t.aru == last_aru && t.aru_addr != 0 { self.aru_count + 1 } else { 0 };
        if self.aru_count > self.set.fail_recv && t.aru_addr == self.me.0 {
            Self::note(Note::FailedToReceive, ctx);
            self.failed_to_recv = true;
            self.failed = self.failed.and(Nodes::one(self.me));
            self.gather(Why::FailedToReceive, net, ctx);
            return;
        }
        self.token_seq = t.token_seq;
        t.token_seq += 1;
        if self.state == State::Recovery {
            self.recovering(&mut t, net, ctx);
        }
        let hold = self.is_rep() && self.held;
        if !hold {
            net.send(self.next(), wrap(t, &rtr), ctx);
        }
        self.sent = Sent::Token(t, rtr);
        if self.state == State::Operational {
            self.deliver_ready();
        }
        self.token_timers(ctx);
        if hold {
            ctx.set_timer(T_HOLD, self.set.timers.hold);
        }
    }
    /// Forgets what everybody has.
    fn free(&mut self, token_aru: u32) {
        let all = token_aru.min(self.last_aru).min(self.high_delivered);
        if self.regular.first_key_value().is_some_and(|(seq, _)| *seq <= all) {
            self.regular = self.regular.split_off(&(all + 1));
        }
    }
    /// Sends again what others ask for and this node has.
    fn answer_rtr(&self, rtr: &mut Vec<u32>, allowed: &mut u32, net: &Net, ctx: &mut Cx<'_>) -> u32 {
        let mut repeated = 0;
        let map = if self.state == State::Recovery { &self.recovery } else { &self.regular };
        rtr.retain(|seq| match map.get(seq) {
            Some(m) if *allowed > 0 => {
                self.cast_message(m, net, ctx);
                *allowed -= 1;
                repeated += 1;
                false
            }
            _ => true,
        });
        repeated
    }
    /// Asks for what this node lacks, once it has lacked it for some rotations: packets may overtake each other.
    fn ask_rtr(&mut self, seq: u32, rtr: &mut Vec<u32>) {
        if self.aru >= seq {
            return;
        }
        let map = if self.state == State::Recovery { &self.recovery } else { &self.regular };
        for n in self.aru + 1..=seq {
            if rtr.len() >= RTR_MAX {
                break;
            }
            if map.contains_key(&n) || rtr.contains(&n) {
                continue;
            }
            let missed = self.misses.entry(n).or_insert(0);
            *missed += 1;
            if *missed > self.set.miss_count {
                rtr.push(n);
            }
        }
    }
    fn cast_message(&self, m: &Arc<Mcast>, net: &Net, ctx: &mut Cx<'_>) {
        for to in net.everyone().without(Nodes::one(self.me)).iter() {
            net.send(to, Totem::Mcast(m.clone()), ctx);
        }
    }
    fn next_body(&mut self) -> Option<Body> {
        if self.state == State::Recovery {
            self.retrans.pop_front().map(envelope)
        } else if self.syncing {
            self.sync_queue.pop_front()
        } else {
            self.queue.pop_front()
        }
    }
    fn send_new(&mut self, t: &mut Token, allowed: u32, net: &Net, ctx: &mut Cx<'_>) -> u32 {
        let mut sent = 0;
        while sent < allowed
            && let Some(body) = self.next_body()
        {
            t.seq += 1;
            sent += 1;
            let m = Arc::new(Mcast { ring: self.ring, seq: t.seq, from: self.me, body });
            self.cast_message(&m, net, ctx);
            self.store(m);
        }
        sent
    }
    fn store(&mut self, m: Arc<Mcast>) {
        let recovery = self.state == State::Recovery;
        self.high_seq = self.high_seq.max(m.seq);
        let map = if recovery { &mut self.recovery } else { &mut self.regular };
        if m.seq > self.aru {
            map.entry(m.seq).or_insert(m);
        }
        let map = if recovery { &self.recovery } else { &self.regular };
        while map.contains_key(&(self.aru + 1)) {
            self.aru += 1;
        }
        if !self.misses.is_empty() {
            self.misses = self.misses.split_off(&(self.aru + 1));
        }
    }
    pub(super) fn message(&mut self, m: Arc<Mcast>, net: &Net, ctx: &mut Cx<'_>) {
        if m.ring != self.ring {
            let from: NodeId = m.from;
            self.foreign(from, Why::Merge(net.name(from)), net, ctx);
            return;
        }
        // From COMMIT on the name of the ring is the new one's, of which nothing can have come before RECOVERY.
        if matches!(self.state, State::Commit | State::Gather) && self.ring != self.old_ring {
            return;
        }
        self.store(m);
        if self.state == State::Operational {
            self.deliver_ready();
        }
    }
    fn deliver_ready(&mut self) {
        while let Some(m) = self.regular.get(&(self.high_delivered + 1)) {
            self.high_delivered += 1;
            self.up.push(Up::Deliver(m.clone()));
        }
    }
}
