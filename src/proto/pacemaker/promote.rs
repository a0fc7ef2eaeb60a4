//! Promotable clones: promotion scores pull instances to nodes, and decide which of them are promoted.

use super::colocation::Merge;
use super::model::{NodeIx, QuorumPolicy, Role, RscIx, Sched};
use super::score::{INF, add};
use super::sorting::merge_sort;
use super::story::Cause;

impl Sched {
    /// Adds promotion scores to the tables of the instances, once.
    pub(super) fn add_promotion_scores(&mut self, c: RscIx) {
        if std::mem::replace(&mut self.rscs[c].clone.promotion_added, true) {
            return;
        }
        for i in self.rscs[c].children.clone() {
            for n in self.rscs[i].allowed.nodes().collect::<Vec<_>>() {
                if !self.available(n) {
                    continue;
                }
                let (score, _) = self.promotion_score(i, n);
                if score > 0 {
                    let before = self.rscs[i].allowed.get(n).map(|s| s.score);
                    if let Some(slot) = self.rscs[i].allowed.slot(n) {
                        slot.score = add(slot.score, score);
                        let after = slot.score;
                        self.tell(i, n, before, after, &Cause::PromotionScore);
                    }
                }
                self.rscs[i].priority = self.rscs[i].priority.max(score);
            }
        }
    }

    /// The promotion score of an instance on a node, and whether there is one.
    fn promotion_score(&self, r: RscIx, n: NodeIx) -> (i32, bool) {
        let rsc = &self.rscs[r];
        if !rsc.children.is_empty() {
            return rsc.children.iter().fold((0, false), |(sum, any), c| {
                let (score, one) = self.promotion_score(*c, n);
                (sum.saturating_add(score), any | one)
            });
        }
        if !self.promotion_counts(r, n) {
            return (0, false);
        }
        let attribute = |name: &str| self.nodes[n].attributes.get(&format!("master-{name}"));
        let value = attribute(rsc.history_name.as_deref().unwrap_or(&rsc.id));
        let value = value.or_else(|| if rsc.unique { None } else { attribute(&self.bare_id(r)) });
        value.map_or((0, false), |v| (self.health_or_score(v), true))
    }

    /// Whether the score that a node has for a primitive counts for this instance.
    fn promotion_counts(&self, r: RscIx, n: NodeIx) -> bool {
        let rsc = &self.rscs[r];
        let allowed = rsc.allowed.get(n).is_some_and(|s| s.score >= 0);
        let clone = self.outermost(r);
        if !rsc.unique {
            let name = self.bare_id(r);
            let instances = &self.rscs[clone].children;
            let active = instances.iter().find_map(|i| self.active_member(*i, &name, n));
            if active == Some(r) {
                return allowed;
            }
            let known = || {
                instances
                    .iter()
                    .filter_map(|i| self.named_member(*i, &name))
                    .any(|m| self.rscs[m].known_on[n])
            };
            if active.is_none() && known() {
                return allowed;
            }
        }
        if rsc.running_on.is_empty() && !rsc.known_on.contains(&true) {
            return allowed;
        }
        (rsc.known_on[n] || rsc.running_on.contains(&n)) && allowed
    }

    fn named_member(&self, r: RscIx, name: &str) -> Option<RscIx> {
        let rsc = &self.rscs[r];
        if rsc.id == name || rsc.xml_id == name {
            return Some(r);
        }
        rsc.children.iter().find_map(|c| self.named_member(*c, name))
    }

    fn active_member(&self, r: RscIx, name: &str, n: NodeIx) -> Option<RscIx> {
        let rsc = &self.rscs[r];
        if (rsc.id == name || rsc.xml_id == name) && rsc.running_on.contains(&n) {
            return Some(r);
        }
        rsc.children.iter().find_map(|c| self.active_member(*c, name, n))
    }

    /// Decides the roles of placed instances.
    pub(super) fn set_roles(&mut self, c: RscIx) {
        self.rscs[c].allowed.0.iter_mut().flatten().for_each(|s| s.count = 0);
        for i in self.rscs[c].children.clone() {
            self.set_priority(c, i);
        }
        self.sort_for_promotion(c);
        let mut promoted = 0;
        for i in self.rscs[c].children.clone() {
            self.set_role(c, i, &mut promoted);
        }
    }

    fn unpromoted_now(&mut self, r: RscIx) {
        if self.rscs[r].role == Role::Started {
            self.rscs[r].role = Role::Unpromoted;
        }
        for c in self.rscs[r].children.clone() {
            self.unpromoted_now(c);
        }
    }

    fn set_priority(&mut self, c: RscIx, i: RscIx) {
        if self.role_of(i, true) == Role::Started {
            self.unpromoted_now(i);
        }
        let Some((n, _)) = self.place(i, false) else { return };
        let next = self.role_of(i, false);
        match next {
            Role::Started | Role::Unknown => {
                let (score, any) = self.promotion_score(i, n);
                self.rscs[i].priority = if any { score } else { -1 };
            }
            Role::Unpromoted | Role::Stopped => self.rscs[i].priority = -INF,
            Role::Promoted => {}
        }
        for r in [i, c] {
            for l in self.rscs[r].locations.clone() {
                let l = &self.locations[l];
                let score = l.nodes.iter().find(|(m, _)| *m == n).map(|(_, s)| *s);
                if let (Role::Promoted, Some(score)) = (l.role, score) {
                    self.rscs[i].priority = add(self.rscs[i].priority, score);
                }
            }
        }
        for x in self.rscs[i].with_others.clone() {
            self.apply_colocation(i, self.colocations[x].primary, x, true);
        }
        self.rscs[i].sort_index = if next == Role::Promoted { INF } else { self.rscs[i].priority };
    }

    fn sort_for_promotion(&mut self, c: RscIx) {
        if std::mem::replace(&mut self.rscs[c].clone.promotion_sorted, true) {
            return;
        }
        self.rscs[c].merging = true;
        for i in self.rscs[c].children.clone() {
            let index = self.rscs[i].sort_index;
            let Some((n, _)) = self.place(i, false).filter(|_| index >= 0) else { continue };
            let before = self.rscs[c].allowed.get(n).map(|s| s.score);
            if let Some(slot) = self.rscs[c].allowed.slot(n) {
                slot.score = add(index, slot.score);
                let after = slot.score;
                self.tell(c, n, before, after, &Cause::PromotionIndex);
            }
        }
        for x in self.rscs[c].with_others.clone() {
            if self.colocations[x].dependent_role == Role::Promoted {
                let active = self.colocations[x].score < INF;
                self.merge_into(c, x, Merge { active, positive: false, outward: true });
            }
        }
        for x in self.rscs[c].others_with.clone() {
            if self.colocations[x].primary_role == Role::Promoted && self.has_influence(x, None) {
                self.merge_into(c, x, Merge { active: true, positive: true, outward: false });
            }
        }
        self.require_promotion_tickets(c);
        for i in self.rscs[c].children.clone() {
            let place = self.place(i, false);
            let rsc = &self.rscs[i];
            if !rsc.managed && rsc.next_role == Role::Promoted {
                self.rscs[i].sort_index = INF;
            } else if let (Some((n, _)), true) = (place, rsc.sort_index >= 0) {
                self.rscs[i].sort_index = self.rscs[c].allowed.get(n).map_or(0, |s| s.score);
            }
        }
        let wishes = self.wishes_of_instances(c);
        let mut children = self.rscs[c].children.clone();
        merge_sort(&mut children, &mut |a, b| {
            let (x, y) = (&self.rscs[a], &self.rscs[b]);
            y.sort_index
                .cmp(&x.sort_index)
                .then_with(|| self.role_of(b, true).cmp(&self.role_of(a, true)))
                .then_with(|| self.compare_instances(&wishes, a, b))
        });
        self.rscs[c].children = children;
        self.rscs[c].merging = false;
    }

    /// The node on which an instance may be promoted.
    fn promotable_on(&self, r: RscIx) -> Option<NodeIx> {
        let rsc = &self.rscs[r];
        if rsc.children.iter().any(|c| self.promotable_on(*c).is_none()) {
            return None;
        }
        let (n, _) = self.place(r, false)?;
        if !rsc.managed {
            if self.role_of(r, true) != Role::Promoted {
                return None;
            }
        } else if rsc.priority < 0
            || !self.available(n)
            || self.guest_of(n).is_some_and(|g| self.place(g, false).is_none())
        {
            return None;
        }
        let clone = self.outermost(r);
        let slot = self.rscs[clone].allowed.get(n)?;
        let full = slot.count >= self.rscs[clone].clone.promoted_node_max;
        if full && rsc.managed { None } else { Some(n) }
    }

    fn set_role(&mut self, c: RscIx, i: RscIx, promoted: &mut i32) {
        let place = self.place(i, false);
        let printed = super::model::Printed {
            by: "promotion",
            rsc: self.rscs[i].id.clone(),
            node: place.map(|(n, _)| self.nodes[n].name.clone()),
            score: self.rscs[i].sort_index.clamp(-INF, INF),
        };
        self.printed.push(printed);
        let may = *promoted < self.rscs[c].clone.promoted_max || !self.rscs[c].managed;
        let node = if self.rscs[i].sort_index >= 0 && may { self.promotable_on(i) } else { None };
        let Some(n) = node else { return self.next_unpromoted(i) };
        let frozen = !self.options.quorum && self.options.no_quorum == QuorumPolicy::Freeze;
        if self.rscs[i].role < Role::Promoted && frozen {
            return self.next_unpromoted(i);
        }
        if let Some(slot) = self.rscs[c].allowed.slot(n) {
            slot.count += 1;
        }
        self.next_promoted(i);
        *promoted += 1;
    }

    fn next_unpromoted(&mut self, r: RscIx) {
        let placed = !self.places(r, false).is_empty();
        self.rscs[r].next_role = if placed { Role::Unpromoted } else { Role::Stopped };
        for c in self.rscs[r].children.clone() {
            self.next_unpromoted(c);
        }
    }

    fn next_promoted(&mut self, r: RscIx) {
        if self.rscs[r].next_role == Role::Unknown {
            self.rscs[r].next_role = Role::Promoted;
        }
        for c in self.rscs[r].children.clone() {
            self.next_promoted(c);
        }
    }

    /// Applies a colocation with a role of a promotable clone to something that is to be placed.
    pub(super) fn apply_with_role(&mut self, dependent: RscIx, clone: RscIx, c: usize) {
        let constraint = self.colocations[c].clone();
        let mut places = Vec::new();
        for i in self.rscs[clone].children.clone() {
            let Some((n, score)) = self.place(i, false) else { continue };
            if self.role_of(i, false) != constraint.primary_role {
                continue;
            }
            if constraint.score < INF {
                for m in 0..self.nodes.len() {
                    let alike = self.same_value(m, n, constraint.attribute.as_deref());
                    if let (true, Some(slot)) = (alike, self.rscs[dependent].allowed.slot(m)) {
                        slot.score = add(slot.score, constraint.score);
                    }
                }
            }
            places.insert(0, (n, score));
        }
        let both = constraint.dependent_role == Role::Promoted && constraint.primary_role == Role::Promoted;
        if constraint.score >= INF && !both {
            self.exclude_others(dependent, &places, true);
        }
    }

    /// Applies a colocation with a role of a promotable clone to the promotion priority of something placed.
    pub(super) fn raise_with_role(&mut self, dependent: RscIx, clone: RscIx, c: usize) {
        let (role, score) = (self.colocations[c].primary_role, self.colocations[c].score);
        if self.partner(dependent, clone, role, false).is_some() {
            self.rscs[dependent].priority = add(self.rscs[dependent].priority, score);
        } else if score >= INF {
            self.rscs[dependent].priority = -INF;
        }
    }

    /// After its actions are made, an instance has its clone's priority again.
    pub(super) fn reset_priorities(&mut self, c: RscIx) {
        let priority = self.rscs[c].priority;
        for i in self.rscs[c].children.clone() {
            self.rscs[i].priority = priority;
        }
    }
}
