//! Who becomes DC (`lib/cluster/election.c`).
//!
//! Whoever wants to be elected votes; who hears it compares: the older feature set wins, then the longer CPU time, then the smaller name. The
//! worse one says that it does not stand; the better one votes itself. Who has the answers of all has won.

use super::{COUNTING, Cause, Controld, DC_DEADTIME, DEADTIME, ELECTION, ELECTION_TIMEOUT, State};
use crate::engine::{Span, Time};
use crate::proto::crm::msg::Wire;
use crate::proto::crm::note::{ElectionWhy, Note};
use crate::proto::crm::{NodeId, draw};
use crate::proto::{Cx, Note as Told};
use std::collections::BTreeSet;

/// Who has lost less than this ago does not vote again.
const DAMPING: Span = Span::secs(2);

/// An election.
#[derive(Clone, Debug, Default)]
pub(super) struct Election {
    round: u32,
    answers: BTreeSet<NodeId>,
    lost: Option<Time>,
    counting: bool,
}

impl Election {
    /// How many have answered in this round, itself included.
    pub(super) fn answers(&self) -> usize {
        self.answers.len()
    }
}

impl Controld {
    pub(super) fn begin_election(&mut self, why: ElectionWhy, cx: &mut Cx<'_>) {
        if self.is_dc() {
            self.release();
        }
        self.dc = None;
        cx.note(Told::Crm(Box::new(Note::ElectionBegins { why })));
        self.state = State::Election;
        self.run_for_dc(cx);
    }
    fn run_for_dc(&mut self, cx: &mut Cx<'_>) {
        let e = &mut self.election;
        e.round += 1;
        e.counting = false;
        e.answers.clear();
        e.answers.insert(self.place.me);
        let round = e.round;
        cx.cancel_timer(COUNTING);
        cx.set_timer(ELECTION, ELECTION_TIMEOUT);
        let vote = Wire::Vote { round, feature_set: self.feature_set, cpu: self.cpu };
        self.say(vote, cx);
    }
    /// Somebody votes for itself.
    pub(super) fn vote(&mut self, from: NodeId, round: u32, set: [u32; 3], cpu: Span, cx: &mut Cx<'_>) {
        if from == self.place.me {
            return self.count(cx);
        }
        if self.state == State::Starting {
            return;
        }
        let (mine, theirs) = (self.place.name.to_lowercase(), self.place.name_of(from).to_lowercase());
        // Smaller is better: feature set, minus CPU time, name.
        let better =
            (self.feature_set, std::cmp::Reverse(self.cpu), mine) < (set, std::cmp::Reverse(cpu), theirs);
        if !better {
            self.election.lost = Some(cx.now);
            self.election.counting = false;
            cx.cancel_timer(ELECTION);
            cx.cancel_timer(COUNTING);
            if self.is_dc() {
                cx.note(Told::Crm(Box::new(Note::NoLongerDc { winner: self.place.name_of(from) })));
                self.release();
            }
            self.dc = None;
            self.state = State::Pending;
            cx.set_timer(DC_DEADTIME, DEADTIME);
            return self.say(Wire::NoVote { to: from, round }, cx);
        }
        let damped = self.election.lost.is_some_and(|t| cx.now.since(t) < DAMPING);
        if damped {
            return;
        }
        if self.state == State::Election {
            // Its own vote is under way, or has been answered: the other will hear it.
            if !self.election.answers.contains(&from) {
                self.run_for_dc(cx);
            }
        } else {
            self.begin_election(ElectionWhy::Vote(self.place.name_of(from)), cx);
        }
    }
    /// Somebody does not stand against this node.
    pub(super) fn no_vote(&mut self, from: NodeId, round: u32, cx: &mut Cx<'_>) {
        if self.state == State::Election && round == self.election.round {
            self.election.answers.insert(from);
            self.count(cx);
        }
    }
    pub(super) fn count(&mut self, cx: &mut Cx<'_>) {
        if self.state != State::Election || self.election.counting {
            return;
        }
        if self.peers.is_subset(&self.election.answers) {
            self.election.counting = true;
            let alone = self.peers.len() <= 1;
            let takes = if alone { Span::ZERO } else { draw(cx, self.place.times.election) };
            cx.set_timer(COUNTING, takes);
        }
    }
    pub(super) fn win(&mut self, cx: &mut Cx<'_>) {
        if self.state != State::Election {
            return;
        }
        cx.cancel_timer(ELECTION);
        cx.cancel_timer(DC_DEADTIME);
        self.election.counting = false;
        self.dc = Some(self.place.me);
        let others = self.peers.len().saturating_sub(1);
        cx.note(Told::Crm(Box::new(Note::Elected { others, cpu: self.cpu })));
        self.engine.cause = Some(Cause::NewDc);
        self.take_over(cx);
    }
}
