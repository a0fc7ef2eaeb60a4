//! How nodes come into the DC's picture: it offers, they ask with their CIB, it takes the newest for all, they confirm with what their executors
//! know (`controld_join_dc.c`, `controld_join_client.c`).

use super::{Cause, Controld, DC_DEADTIME, DEADTIME, INTEGRATION, INTEGRATION_TIMEOUT, JOINED, State};
use crate::proto::crm::msg::{Daemon, Local, Update, Versioned, Wire};
use crate::proto::crm::note::{ElectionWhy, Note};
use crate::proto::crm::{NodeId, draw, tell};
use crate::proto::pacemaker::cib::History;
use crate::proto::{Cx, Note as Told};
use std::collections::BTreeMap;

/// How far a node has come.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Phase {
    Offered,
    Requested(Versioned),
    Acked,
    Confirmed,
}

/// Joins under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Join {
    id: u32,
    phases: BTreeMap<NodeId, Phase>,
    /// Nodes have come that were not there when this DC began.
    grown: bool,
    /// The offer that waits for the own CIB: from, join, number of the question.
    asked: Option<(NodeId, u32, u32)>,
}
impl Join {
    pub(super) fn forget(&mut self, node: NodeId) {
        self.phases.remove(&node);
    }
    /// All that have begun are in.
    pub(super) fn done(&self) -> bool {
        self.phases.values().all(|p| *p == Phase::Confirmed)
    }
}

impl Controld {
    /// A new DC: everybody joins anew.
    pub(super) fn take_over(&mut self, cx: &mut Cx<'_>) {
        self.state = State::Integration;
        self.join = Join { id: self.join.id, ..Join::default() };
        // Who is not there any more: a DC that died could not write it down.
        let mut updates = vec![self.cluster()];
        for (n, name) in &self.place.nodes {
            if !self.members.contains(n) {
                if self.election_knows(*n) {
                    let gone = Update::Node {
                        node: name.clone(),
                        in_ccm: Some(false),
                        crmd: Some(false),
                        join: Some("down"),
                        expected: None,
                    };
                    updates.push(gone);
                    updates.push(Update::EraseAttributes { node: name.clone() });
                }
            } else if !self.peers.contains(n) {
                updates.push(Update::Node {
                    node: name.clone(),
                    in_ccm: Some(true),
                    crmd: Some(false),
                    join: Some("down"),
                    expected: None,
                });
                updates.push(Update::EraseAttributes { node: name.clone() });
            }
        }
        self.change(updates, cx);
        let all: Vec<NodeId> = self.peers.iter().copied().collect();
        self.offer(&all, cx);
    }
    /// Only nodes that have been seen are written down as gone: one that was never seen stays unknown.
    fn election_knows(&self, node: NodeId) -> bool {
        self.engine.seen.contains(&node)
    }
    /// The DC asks nodes to join.
    pub(super) fn offer(&mut self, nodes: &[NodeId], cx: &mut Cx<'_>) {
        self.join.id += 1;
        let id = self.join.id;
        for n in nodes {
            self.join.phases.insert(*n, Phase::Offered);
        }
        // What the DC itself knows belongs to the picture.
        self.join.phases.insert(self.place.me, Phase::Offered);
        if nodes.iter().any(|n| !self.engine.seen.contains(n) || self.engine.away.contains(n))
            || self.state != State::Integration
        {
            self.join.grown = true;
        }
        self.hold(cx);
        self.state = State::Integration;
        cx.set_timer(INTEGRATION, INTEGRATION_TIMEOUT);
        self.say(Wire::Offer { join: id }, cx);
        // An offer is for all that hear it.
        for n in self.peers.clone() {
            self.join.phases.entry(n).or_insert(Phase::Offered);
        }
        for p in self.join.phases.values_mut() {
            *p = Phase::Offered;
        }
    }
    pub(super) fn offered(&mut self, from: NodeId, join: u32, cx: &mut Cx<'_>) {
        if self.state == State::Starting {
            return;
        }
        if self.is_dc() && from != self.place.me {
            let other = self.place.name_of(from);
            return self.begin_election(ElectionWhy::TwoDcs(other), cx);
        }
        if self.state == State::Election && from != self.place.me {
            return;
        }
        cx.cancel_timer(DC_DEADTIME);
        self.dc = Some(from);
        if from != self.place.me {
            self.state = State::NotDc;
        }
        let re = self.engine.number();
        self.join.asked = Some((from, join, re));
        tell(&self.place, Daemon::Based, Local::Query { from: Daemon::Controld, re }, cx);
    }
    /// The own CIB has come for an offer.
    pub(super) fn cib_for_join(&mut self, re: u32, cib: &Versioned, cx: &mut Cx<'_>) -> bool {
        let Some((dc, join, _)) = self.join.asked.filter(|a| a.2 == re) else { return false };
        self.join.asked = None;
        self.say(Wire::JoinRequest { to: dc, join, cib: cib.clone() }, cx);
        // Without an answer the DC is given up.
        if dc != self.place.me {
            cx.set_timer(DC_DEADTIME, DEADTIME);
        }
        true
    }
    pub(super) fn join_request(&mut self, from: NodeId, join: u32, cib: &Versioned, cx: &mut Cx<'_>) {
        if join != self.join.id || !self.is_dc() {
            return;
        }
        self.join.phases.insert(from, Phase::Requested(cib.clone()));
        self.finalize(cx);
    }
    fn finalize(&mut self, cx: &mut Cx<'_>) {
        let all = |j: &Join| j.phases.values().all(|p| matches!(p, Phase::Requested(_)));
        if self.join.phases.is_empty() || !all(&self.join) {
            return;
        }
        let key = |(n, p): (&NodeId, &Phase)| match p {
            Phase::Requested(v) => {
                Some((v.epoch, v.updates, *n == self.place.me, std::cmp::Reverse(*n), v.clone()))
            }
            _ => None,
        };
        let best = self.join.phases.iter().filter_map(key).max_by_key(|k| (k.0, k.1, k.2, k.3));
        let differ = self
            .join
            .phases
            .iter()
            .filter_map(key)
            .any(|k| best.as_ref().is_some_and(|b| *b.4.cib != *k.4.cib));
        if let (Some((.., cib)), true) = (best, differ) {
            self.change(vec![Update::Replace(cib), self.cluster()], cx);
        }
        let join = self.join.id;
        for (n, p) in &mut self.join.phases {
            *p = Phase::Acked;
            let wire = Wire::Ack { to: *n, join };
            self.corosync.mcast(
                super::GROUP,
                crate::proto::pacemaker::cpg::Payload::Crm(std::sync::Arc::new(wire)),
                cx,
            );
        }
    }
    pub(super) fn acked(&self, from: NodeId, join: u32, cx: &mut Cx<'_>) {
        if self.dc != Some(from) {
            return;
        }
        cx.cancel_timer(DC_DEADTIME);
        let histories: Vec<History> = self.lrm.values().cloned().collect();
        self.say(Wire::Confirm { to: from, join, histories }, cx);
    }
    pub(super) fn confirmed(&mut self, from: NodeId, join: u32, histories: &[History], cx: &mut Cx<'_>) {
        if join != self.join.id || !self.is_dc() {
            return;
        }
        let node = self.place.name_of(from);
        let news = self.engine.seen.insert(from) | self.engine.away.remove(&from);
        self.join.phases.insert(from, Phase::Confirmed);
        if news && from != self.place.me {
            cx.note(Told::Crm(Box::new(Note::NodeJoined { node: node.clone() })));
        }
        let updates = vec![
            Update::Lrm { node: node.clone(), histories: histories.to_vec().into() },
            Update::Node {
                node,
                in_ccm: Some(true),
                crmd: Some(true),
                join: Some("member"),
                expected: Some("member"),
            },
        ];
        self.change(updates, cx);
        if self.join.done() && self.state == State::Integration {
            cx.cancel_timer(INTEGRATION);
            let takes = draw(cx, self.place.times.join);
            cx.set_timer(JOINED, takes);
        }
    }
    /// Nodes that did not answer in time are left out.
    pub(super) fn give_up_joins(&mut self, cx: &mut Cx<'_>) {
        self.join.phases.retain(|_, p| *p != Phase::Offered);
        self.finalize(cx);
    }
    pub(super) fn all_joined(&mut self, cx: &mut Cx<'_>) {
        if !self.is_dc() || self.state != State::Integration || !self.join.done() {
            return;
        }
        let cause = match (std::mem::take(&mut self.join.grown), self.engine.cause.take()) {
            (false, Some(c)) => c,
            (_, Some(Cause::Lost)) => Cause::Lost,
            _ => Cause::Joined,
        };
        self.state = State::Idle;
        self.invoke(cause, cx);
    }
}
