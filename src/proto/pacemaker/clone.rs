//! Clones: their instances are sorted and placed one by one, first those that can stay where they are.

use super::colocation::Merge;
use super::history::base_name;
use super::model::{Kind, NodeIx, Role, RscIx, Sched, Table};
use super::score::{INF, Share, add, number};
use super::sets::is_true;
use super::sorting::merge_sort;
use super::story::Cause;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The number of an instance.
fn instance_number(id: &str) -> i64 {
    id.rsplit_once(':').or_else(|| id.rsplit_once('-')).and_then(|(_, n)| number(n)).unwrap_or(0)
}

impl Sched {
    /// Sorts the instances of a clone by their numbers.
    pub(super) fn sort_by_number(&mut self, c: RscIx) {
        let mut children = self.rscs[c].children.clone();
        let number = |r: RscIx| instance_number(&self.rscs[r].id);
        merge_sort(&mut children, &mut |a, b| number(a).cmp(&number(b)));
        self.rscs[c].children = children;
    }

    /// How many instances of a clone one node may have, as interleaving compares them.
    fn copies_per_node(&self, r: RscIx) -> i64 {
        match self.rscs[r].kind {
            Kind::Clone => {
                self.rscs[r].meta.get("clone-node-max").map_or(1, |v| number(v).unwrap_or(0).max(0))
            }
            Kind::Bundle => self.rscs[r].bundle.as_ref().map_or(0, |b| i64::from(b.per_host)),
            _ => 1,
        }
    }

    /// The instances of a clone or containers of a bundle in the order in which they are placed.
    pub(super) fn sorted_instances(&mut self, c: RscIx) -> Vec<RscIx> {
        let mut instances = self.instances(c);
        let wishes = self.wishes_of_instances(c);
        merge_sort(&mut instances, &mut |a, b| self.compare_instances(&wishes, a, b));
        instances
    }

    pub(super) fn assign_clone(&mut self, c: RscIx, prefer: Option<NodeIx>) {
        if !self.rscs[c].provisional || self.rscs[c].placing {
            return;
        }
        if self.rscs[c].promotable {
            self.add_promotion_scores(c);
        }
        self.rscs[c].placing = true;
        for x in self.rscs[c].with_others.clone() {
            self.assign(self.colocations[x].primary, prefer);
        }
        for x in self.rscs[c].others_with.clone() {
            if self.has_influence(x, None) {
                self.merge_into(c, x, Merge { active: true, positive: true, outward: false });
            }
        }
        self.print_scores(c, "clone");
        let children = self.sorted_instances(c);
        self.rscs[c].children.clone_from(&children);
        let (max, node_max) = (self.rscs[c].clone.max, self.rscs[c].clone.node_max);
        self.distribute(c, &children, max, node_max);
        if self.rscs[c].promotable {
            self.set_roles(c);
        }
        self.rscs[c].provisional = false;
        self.rscs[c].placing = false;
    }

    /// The entry of a node in the table of what an instance is in.
    pub(super) fn parent_of(&self, r: RscIx) -> RscIx {
        self.rscs[r].parent.unwrap_or(r)
    }

    /// Places instances: at most so many, and so many on one node.
    pub(super) fn distribute(&mut self, c: RscIx, children: &[RscIx], max: i32, node_max: i32) {
        let mut free = 0;
        for n in self.rscs[c].allowed.nodes().collect::<Vec<_>>() {
            if let Some(slot) = self.rscs[c].allowed.slot(n) {
                slot.count = 0;
            }
            free += i32::from(self.available(n));
        }
        let all = max < free;
        let per_node = if free > 0 { max / free } else { 0 }.max(1);
        let mut placed = 0;
        for &i in children {
            if placed >= max {
                break;
            }
            let rsc = &self.rscs[i];
            if rsc.running_on.is_empty() || !rsc.provisional || rsc.failed {
                continue;
            }
            let Some(now) = self.current(i) else { continue };
            if !self.available(now) || self.nodes[now].base < 0 {
                continue;
            }
            let parent = self.parent_of(i);
            if self.rscs[parent].allowed.get(now).is_some_and(|s| s.count >= per_node) {
                continue;
            }
            if self.place_instance(c, i, Some(now), all, node_max) {
                placed += 1;
            }
        }
        for &i in children {
            if !self.rscs[i].provisional {
                continue;
            }
            if placed >= max {
                self.add_score_everywhere(i, -INF, &Cause::CloneMax);
            } else if self.place_instance(c, i, None, all, node_max) {
                placed += 1;
            }
        }
    }

    fn place_instance(&mut self, c: RscIx, i: RscIx, prefer: Option<NodeIx>, all: bool, limit: i32) -> bool {
        if self.rscs[i].placing {
            return false;
        }
        for x in self.rscs[c].with_others.clone() {
            let score = self.colocations[x].score;
            if all || !(0..INF).contains(&score) {
                self.add_with_others(i, x);
            }
        }
        for x in self.rscs[c].others_with.clone() {
            if self.has_influence(x, Some(i)) && (all || self.colocations[x].score < 0) {
                self.add_others_with(i, x);
            }
        }
        if let Some(p) = prefer
            && self.rscs[i].allowed.get(p).is_none_or(|s| s.score < 0)
        {
            return false;
        }
        let before = self.tables_in(i);
        for n in self.rscs[i].allowed.nodes().collect::<Vec<_>>() {
            self.check_instance(i, n, limit);
        }
        for (r, table) in before {
            self.tell_table(r, &table, &Cause::NoInstance);
        }
        let backup = self.rscs[i].allowed.copy();
        let mut chosen = self.assign(i, prefer);
        if let (Some(n), Some(p)) = (chosen, prefer)
            && n != p
        {
            let before = std::mem::replace(&mut self.rscs[i].allowed, backup);
            self.tell_table(i, &before, &Cause::Retried);
            self.unassign(i);
            chosen = None;
        }
        if let Some(n) = chosen {
            let parent = self.parent_of(i);
            if let Some(slot) = self.rscs[parent].allowed.slot(n) {
                slot.count += 1;
            }
        }
        chosen.is_some()
    }

    fn tables_in(&self, r: RscIx) -> Vec<(RscIx, Table)> {
        let mut out = vec![(r, self.rscs[r].allowed.clone())];
        for &c in &self.rscs[r].children {
            out.extend(self.tables_in(c));
        }
        out
    }

    /// Takes a node from an instance if it cannot run there.
    fn check_instance(&mut self, i: RscIx, n: NodeIx, limit: i32) {
        let slot = self.rscs[self.parent_of(i)].allowed.get(n);
        if self.available(n) && !self.rscs[i].orphan && slot.is_some_and(|s| s.score >= 0 && s.count < limit)
        {
            return;
        }
        self.lower(i, n, -INF);
    }

    fn lower(&mut self, r: RscIx, n: NodeIx, by: i32) {
        if let Some(slot) = self.rscs[r].allowed.slot(n) {
            slot.score = add(slot.score, by);
        }
        for c in self.rscs[r].children.clone() {
            self.lower(c, n, by);
        }
    }

    /// Which of two instances is placed first.
    pub(super) fn compare_instances(&self, wishes: &BTreeMap<RscIx, i32>, a: RscIx, b: RscIx) -> Ordering {
        let ((now_a, all_a, _), (now_b, all_b, _)) = (self.active_on(a), self.active_on(b));
        if all_a > 0 && all_b > 0 && all_a != all_b {
            return all_a.cmp(&all_b);
        }
        let allowed = |r: RscIx, n: Option<NodeIx>| {
            n.filter(|n| self.rscs[r].allowed.get(*n).is_some_and(|s| s.score >= 0))
        };
        let (here_a, here_b) = (allowed(a, now_a), allowed(b, now_b));
        let (can_a, can_b) = (here_a.is_some() || now_a.is_none(), here_b.is_some() || now_b.is_none());
        if can_a != can_b {
            return can_b.cmp(&can_a);
        }
        let (x, y) = (&self.rscs[a], &self.rscs[b]);
        if x.priority != y.priority {
            return y.priority.cmp(&x.priority);
        }
        let (m, n) = match (here_a, here_b) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (Some(m), Some(n)) => (m, n),
        };
        if self.available(m) != self.available(n) {
            return self.available(n).cmp(&self.available(m));
        }
        let of_parent = |r: RscIx, n: NodeIx| self.rscs[self.parent_of(r)].allowed.get(n);
        let (p, q) = match (of_parent(a, m), of_parent(b, n)) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (Some(p), Some(q)) => (p, q),
        };
        if p.count != q.count {
            return p.count.cmp(&q.count);
        }
        let failed = |r: RscIx| self.any_in(r, &|x| x.failed);
        if failed(a) != failed(b) {
            return failed(a).cmp(&failed(b));
        }
        let wished = wishes.get(&b).cmp(&wishes.get(&a));
        if wished.is_ne() {
            return wished;
        }
        instance_number(&x.id).cmp(&instance_number(&y.id))
    }

    /// What the colocations of their clone say of its instances where they are now, for comparing them.
    pub(super) fn wishes_of_instances(&mut self, clone: RscIx) -> BTreeMap<RscIx, i32> {
        self.instances(clone).into_iter().map(|i| (i, self.wished(clone, i))).collect()
    }

    fn wished(&mut self, clone: RscIx, i: RscIx) -> i32 {
        let Some(now) = self.current(i) else { return 0 };
        let mut table = Table::new(self.nodes.len());
        table.0[now] = Some(super::model::Slot { score: self.nodes[now].base, ..Default::default() });
        for x in self.rscs[clone].with_others.clone() {
            let c = self.colocations[x].clone();
            let (attribute, share) = (c.attribute.as_deref(), Share::of(c.score));
            let merged = self.merge(c.primary, Some(table.copy()), attribute, share, Merge::default());
            table = merged.unwrap_or(table);
        }
        for x in self.rscs[clone].others_with.clone() {
            if !self.has_influence(x, Some(i)) {
                continue;
            }
            let c = self.colocations[x].clone();
            let (attribute, share) = (c.attribute.as_deref(), Share::of(c.score));
            let how = Merge { positive: true, ..Merge::default() };
            let merged = self.merge(c.dependent, Some(table.copy()), attribute, share, how);
            table = merged.unwrap_or(table);
        }
        table.get(now).map_or(0, |s| s.score)
    }

    /// Whether an instance is on a node, in a role if one is asked for.
    fn fits(&self, i: RscIx, n: NodeIx, role: Role, now: bool) -> bool {
        if role != Role::Unknown && self.role_of(i, now) != role {
            return false;
        }
        !self.any_in(i, &|r| r.blocked) && self.place(i, now).is_some_and(|(m, _)| m == n)
    }

    /// The instance of a clone that goes with a resource: the one on its node, or on the best node that has one.
    pub(super) fn partner(&self, r: RscIx, clone: RscIx, role: Role, now: bool) -> Option<RscIx> {
        let instances = self.instances(clone);
        let on = |n: NodeIx| instances.iter().copied().find(|i| self.fits(*i, n, role, now));
        if let Some((n, _)) = self.place(r, now) {
            return on(n);
        }
        self.ranked(r, None).into_iter().find_map(|(n, _)| on(n))
    }

    /// Applies a colocation with a clone to a primitive.
    pub(super) fn apply_with_clone(&mut self, dependent: RscIx, clone: RscIx, c: usize) {
        if self.rscs[dependent].kind != Kind::Primitive {
            return;
        }
        let constraint = self.colocations[c].clone();
        if self.rscs[clone].promotable {
            if self.rscs[clone].provisional {
                return;
            }
            if constraint.primary_role != Role::Unknown {
                if self.rscs[dependent].provisional {
                    return self.apply_with_role(dependent, clone, c);
                }
                if constraint.dependent_role == Role::Promoted {
                    return self.raise_with_role(dependent, clone, c);
                }
            }
        }
        if self.rscs[clone].provisional {
            return;
        }
        let outer = constraint.dependent;
        let interleave = self.rscs[outer].kind > Kind::Group
            && is_true(self.rscs[outer].meta.get("interleave").map(String::as_str))
            && self.copies_per_node(outer) == self.copies_per_node(constraint.primary);
        if interleave {
            match self.partner(dependent, clone, Role::Unknown, false) {
                Some(i) => self.apply_colocation(dependent, i, c, true),
                None if constraint.score >= INF => {
                    self.force(dependent, None);
                }
                None => {}
            }
            return;
        }
        let instances = self.rscs[clone].children.clone();
        if constraint.score >= INF {
            let mut places: Vec<(NodeIx, i32)> = instances
                .iter()
                .filter(|i| !self.any_in(**i, &|r| r.blocked))
                .filter_map(|i| self.place(*i, false))
                .collect();
            places.reverse();
            self.exclude_others(dependent, &places, false);
            return;
        }
        for i in instances {
            self.apply_colocation(dependent, i, c, false);
        }
    }

    /// The name of a primitive in an instance, without numbers.
    pub(super) fn bare_id(&self, r: RscIx) -> String {
        base_name(&self.rscs[r].id).to_owned()
    }
}
