//! Placement: one resource after the other gets the node with the best score.

use super::colocation::Merge;
use super::model::{Kind, MultipleActive, NodeIx, QuorumPolicy, Role, RscIx, Sched, Strategy, act};
use super::score::{INF, Share};
use super::sorting::merge_sort;
use super::story::Cause;
use std::cmp::Ordering;

impl Sched {
    /// Places everything.
    pub(super) fn assign_all(&mut self) {
        if self.options.strategy != Strategy::Default {
            self.sort_resources();
        }
        let (connections, others): (Vec<_>, Vec<_>) =
            self.top.iter().partition(|r| self.rscs[**r].connection);
        for r in connections {
            self.assign(r, self.rscs[r].migrating_to);
        }
        for r in others {
            self.assign(r, None);
        }
    }

    /// Places a resource, with a node preferred among equals; tells where.
    pub(super) fn assign(&mut self, r: RscIx, prefer: Option<NodeIx>) -> Option<NodeIx> {
        match self.rscs[r].kind {
            Kind::Primitive => self.assign_primitive(r, prefer),
            Kind::Group => self.assign_group(r, prefer),
            Kind::Clone => {
                self.assign_clone(r, prefer);
                None
            }
            Kind::Bundle => {
                self.assign_bundle(r, prefer);
                None
            }
        }
    }

    fn assign_primitive(&mut self, r: RscIx, prefer: Option<NodeIx>) -> Option<NodeIx> {
        if let Some(p) = self.rscs[r].parent
            && !self.rscs[p].placing
        {
            self.assign(p, prefer);
        }
        if !self.rscs[r].provisional {
            return self.rscs[r].assigned.map(|(n, _)| n);
        }
        if self.rscs[r].placing {
            return None;
        }
        self.rscs[r].placing = true;
        // The lists may grow while others are placed; what is added before the place reached is not seen.
        let mut at = 0;
        while let Some(&c) = self.rscs[r].with_others.get(at) {
            self.apply_with(r, c);
            at = self.rscs[r].with_others.iter().position(|x| *x == c).map_or(at + 1, |p| p.max(at) + 1);
        }
        for c in self.rscs[r].others_with.clone() {
            if self.has_influence(c, None) {
                self.merge_into(r, c, Merge { active: true, ..Merge::default() });
            }
        }
        if self.rscs[r].next_role == Role::Stopped {
            self.add_score_everywhere(r, -INF, &Cause::TargetRole);
        } else if self.rscs[r].next_role > self.rscs[r].role
            && !self.options.quorum
            && self.options.no_quorum == QuorumPolicy::Freeze
        {
            self.rscs[r].next_role = self.rscs[r].role;
        }
        self.print_scores(r, "assign");
        if self.options.fencing && !self.options.fence_device {
            self.rscs[r].managed = false;
        }
        if !self.rscs[r].managed {
            self.rscs[r].next_role = self.rscs[r].role;
            let current = self.current(r);
            self.finish(r, current, true);
        } else if self.options.stop_all {
            self.finish(r, None, true);
        } else if self.rscs[r].provisional {
            self.choose(r, prefer);
        }
        self.rscs[r].placing = false;
        if self.rscs[r].connection {
            self.connection_assigned(r);
        }
        self.rscs[r].assigned.map(|(n, _)| n)
    }

    /// Places what a resource depends on, and applies the colocation.
    fn apply_with(&mut self, r: RscIx, c: usize) {
        let constraint = self.colocations[c].clone();
        let may_undo =
            constraint.dependent_role >= Role::Promoted || (constraint.score < 0 && constraint.score > -INF);
        let saved = may_undo.then(|| self.rscs[r].allowed.copy());
        self.assign(constraint.primary, None);
        let before = self.rscs[r].allowed.clone();
        self.apply_colocation(r, constraint.primary, c, true);
        let other = self.rscs[constraint.primary].id.clone();
        self.tell_table(
            r,
            &before,
            &Cause::With { id: constraint.id.clone(), other, score: constraint.score },
        );
        if let Some(saved) = saved
            && !self.any_available(&self.rscs[r].allowed)
        {
            let before = std::mem::replace(&mut self.rscs[r].allowed, saved);
            self.tell_table(r, &before, &Cause::TakenBack(constraint.id));
        }
    }

    /// The order of nodes with scores, the best first.
    fn better(&self, a: (NodeIx, i32), b: (NodeIx, i32), active: Option<NodeIx>) -> Ordering {
        let worth = |(n, score): (NodeIx, i32)| if self.available(n) { score } else { -INF };
        let order = worth(b).cmp(&worth(a));
        if order.is_ne() {
            return order;
        }
        let (x, y) = (&self.nodes[a.0], &self.nodes[b.0]);
        let by_name = || x.name.cmp(&y.name);
        if self.options.strategy == Strategy::Minimal {
            return by_name();
        }
        if self.options.strategy == Strategy::Balanced {
            let order = self.freer(a.0, b.0);
            if order.is_ne() {
                return order;
            }
        }
        let here = |n: NodeIx| active == Some(n);
        x.placed.cmp(&y.placed).then(here(b.0).cmp(&here(a.0))).then_with(by_name)
    }

    /// The nodes of a table, the best first.
    pub(super) fn ranked(&self, r: RscIx, active: Option<NodeIx>) -> Vec<(NodeIx, i32)> {
        let score = |n: NodeIx| self.rscs[r].allowed.get(n).map_or(0, |s| s.score);
        let mut nodes: Vec<(NodeIx, i32)> =
            self.table_order(r).into_iter().rev().map(|n| (n, score(n))).collect();
        merge_sort(&mut nodes, &mut |a, b| self.better(a, b, active));
        nodes
    }

    fn choose(&mut self, r: RscIx, prefer: Option<NodeIx>) {
        let freest = self.ban_full_nodes(r);
        let prefer = prefer.or(freest);
        let ranked = self.ranked(r, self.current(r));
        let Some(&best) = ranked.first() else {
            self.finish(r, None, false);
            return;
        };
        let mut chosen = prefer.and_then(|p| ranked.iter().find(|(n, _)| *n == p).copied());
        chosen = chosen.filter(|(n, score)| *score >= best.1 && *score >= 0 && self.available(*n));
        let chosen = chosen.unwrap_or_else(|| {
            let told_apart =
                self.rscs[r].parent.is_some_and(|p| self.rscs[p].kind == Kind::Clone && self.rscs[p].unique);
            let current = self.current(r).filter(|n| self.available(*n) && self.nodes[*n].base >= 0);
            match current {
                Some(now) if !told_apart && best.1 > 0 && self.available(best.0) => {
                    let equals = ranked.iter().take_while(|(_, score)| *score == best.1);
                    equals.into_iter().find(|(n, _)| *n == now).copied().unwrap_or(best)
                }
                _ => best,
            }
        });
        self.finish(r, Some(chosen.0), false);
    }

    /// Puts a resource on a node, or nowhere.
    pub(super) fn finish(&mut self, r: RscIx, node: Option<NodeIx>, force: bool) -> bool {
        let slot = node.and_then(|n| self.rscs[r].allowed.get(n));
        let score = slot.map_or(0, |s| s.score);
        let mut node = node;
        if let (Some(n), false) = (node, force)
            && (score < 0 || (!self.available(n) && self.guest_of(n).is_none()))
        {
            self.rscs[r].next_role = Role::Stopped;
            node = None;
        }
        self.unassign(r);
        self.rscs[r].provisional = false;
        let Some(n) = node else {
            self.rscs[r].next_role = Role::Stopped;
            for a in self.rscs[r].actions.clone() {
                let action = &mut self.acts[a];
                match action.task.as_str() {
                    "stop" => action.flags &= !act::OPTIONAL,
                    "start" => action.flags &= !act::RUNNABLE,
                    _ if action.interval > 0 && action.expected != Some(7) => action.flags &= !act::RUNNABLE,
                    _ => {}
                }
            }
            return false;
        };
        // A forced place is a node as it is, not an entry of the table.
        let score = if force { self.nodes[n].base } else { score };
        self.rscs[r].assigned = Some((n, score));
        self.nodes[n].placed += 1;
        self.consume(n, r);
        true
    }

    /// Takes a resource from where it was put.
    pub(super) fn unassign(&mut self, r: RscIx) {
        if let Some((n, _)) = self.rscs[r].assigned.take() {
            self.rscs[r].provisional = true;
            self.nodes[n].placed -= 1;
            self.release(n, r);
        }
    }

    /// Puts a resource, or all that is in it, on a node or nowhere; tells whether something was somewhere.
    pub(super) fn force(&mut self, r: RscIx, node: Option<NodeIx>) -> bool {
        let children = self.rscs[r].children.clone();
        if children.is_empty() {
            let was = self.rscs[r].assigned.is_some();
            self.finish(r, node, true);
            return was;
        }
        children.into_iter().fold(false, |any, c| self.force(c, node) | any)
    }

    fn assign_group(&mut self, r: RscIx, prefer: Option<NodeIx>) -> Option<NodeIx> {
        if !self.rscs[r].provisional {
            return self.rscs[r].assigned.map(|(n, _)| n);
        }
        if self.rscs[r].placing {
            return None;
        }
        let Some(&first) = self.rscs[r].children.first() else {
            self.rscs[r].provisional = false;
            return None;
        };
        self.rscs[r].placing = true;
        self.rscs[r].role = self.rscs[first].role;
        self.hand_to_members(r);
        self.print_scores(r, "group");
        let mut place = None;
        for m in self.rscs[r].children.clone() {
            let node = self.assign(m, prefer);
            place = place.or(node);
        }
        self.rscs[r].next_role = self.rscs[first].next_role;
        self.rscs[r].placing = false;
        self.rscs[r].provisional = false;
        if self.rscs[r].colocated { place } else { None }
    }

    /// Gives the colocations of a group to its first and last member.
    fn hand_to_members(&mut self, r: RscIx) {
        let members = self.rscs[r].children.clone();
        let (Some(&first), Some(&last)) = (members.first(), members.last()) else { return };
        let outward = std::mem::take(&mut self.rscs[r].with_others);
        for &c in &outward {
            self.add_with_others(first, c);
        }
        let mut unmanaged = !self.rscs[first].managed;
        for &m in &members[1..] {
            if unmanaged {
                for &c in outward.iter().filter(|c| self.colocations[**c].score >= INF).collect::<Vec<_>>() {
                    self.add_with_others(m, c);
                }
            } else if !self.rscs[m].managed {
                unmanaged = true;
            }
        }
        for c in std::mem::take(&mut self.rscs[r].others_with) {
            self.add_others_with(last, c);
        }
    }

    /// The finer order in which resources are placed when capacity counts.
    fn sort_resources(&mut self) {
        let mut nodes: Vec<(NodeIx, i32)> = self.nodes.iter().enumerate().map(|(n, d)| (n, d.base)).collect();
        merge_sort(&mut nodes, &mut |a, b| self.better(a, b, None));
        let top = self.top.clone();
        let mut wishes = vec![None; self.rscs.len()];
        for &r in &top {
            wishes[r] = self.merge(r, None, None, Share::WHOLE, Merge { outward: true, ..Merge::default() });
        }
        let mut sorted = top;
        merge_sort(&mut sorted, &mut |a, b| {
            let order = self.rscs[b].priority.cmp(&self.rscs[a].priority);
            if order.is_ne() {
                return order;
            }
            let score = |r: RscIx, n: NodeIx| {
                wishes[r].as_ref().and_then(|t: &super::model::Table| t.get(n)).map_or(-INF, |s| s.score)
            };
            let now = |r: RscIx| self.current(r).map_or(-INF, |n| score(r, n));
            nodes
                .iter()
                .fold(now(b).cmp(&now(a)), |o, (n, _)| o.then_with(|| score(b, *n).cmp(&score(a, *n))))
        });
        self.top = sorted;
    }

    /// Whether it is found active twice, so that it must be stopped; how it is then treated.
    pub(super) fn multiple_needs_stop(&mut self, r: RscIx, all: usize, clean: usize) -> bool {
        let several = if self.rscs[r].needs_fencing { all } else { clean } > 1;
        if !several {
            self.rscs[r].stop_unexpected = false;
            return false;
        }
        match self.rscs[r].multiple {
            MultipleActive::StopStart => true,
            MultipleActive::StopUnexpected => {
                self.rscs[r].stop_unexpected = true;
                true
            }
            _ => false,
        }
    }
}
