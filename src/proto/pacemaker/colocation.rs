//! Colocations: read, kept in two sorted lists of each resource, applied to what depends on something placed, and passed on as wishes to
//! what is placed first.

use super::model::{Colocation, Kind, Role, RscIx, Sched, Slot, Table, act, ord};
use super::score::{self, INF, Share, add};
use super::sets::{boolean, resolved};
use super::story::Cause;
use super::xml::Element;
use std::cmp::Ordering;

/// Far below -INFINITY: the node is out, for good or until the end of the merge.
const UNUSABLE: i32 = -100 * INF;

/// How wishes are merged.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Merge {
    /// The merge is part of a chain: it is dropped if nothing is left.
    pub active: bool,
    /// Wishes do not make a good node bad.
    pub positive: bool,
    /// Follow what the resource depends on, not what depends on it.
    pub outward: bool,
}

/// What a colocation changes.
#[derive(PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Priority,
    Scores,
}

impl Sched {
    /// Reads `<rsc_colocation>`.
    pub(super) fn read_colocation(&mut self, e: &Element) {
        let root = self.cib.root.clone();
        let sets: Vec<&Element> = e.all("resource_set").filter_map(|s| resolved(&root, s)).collect();
        let score = e.get("score").map_or(0, score::parse);
        if sets.is_empty() {
            return self.read_simple_colocation(e, score);
        }
        let mut last: Option<&Element> = None;
        for set in sets {
            let Some(members) = self.set_members(e, set) else { return };
            self.colocate_set(e, set, &members, score);
            if let Some(before) = last {
                let Some(earlier) = self.set_members(e, before) else { return };
                self.colocate_sets(e, (before, &earlier), (set, &members), score);
            }
            last = Some(set);
        }
    }

    pub(super) fn set_members(&mut self, e: &Element, set: &Element) -> Option<Vec<RscIx>> {
        let mut out = Vec::new();
        for name in self.members(set) {
            match self.constrained(&name) {
                Some(r) => out.push(r),
                None => {
                    self.warn(e, format!("there is no resource `{name}`, so the rest is ignored"));
                    return None;
                }
            }
        }
        Some(out)
    }

    fn influence(&self, e: &Element, r: RscIx) -> bool {
        e.get("influence").and_then(boolean).unwrap_or(self.rscs[r].critical)
    }

    fn read_simple_colocation(&mut self, e: &Element, score: i32) {
        for side in ["rsc-instance", "with-rsc-instance"] {
            if e.get(side).is_some() {
                return self.warn(e, format!("`{side}` is not modelled, so the constraint is ignored"));
            }
        }
        let role = |k: &str| e.get(k).map_or(Some(Role::Unknown), Role::of);
        let (Some(dependent_role), Some(primary_role)) = (role("rsc-role"), role("with-rsc-role")) else {
            return self.warn(e, "a role is not known, so the constraint is ignored");
        };
        let side = |s: &mut Sched, k: &str| -> Option<Vec<RscIx>> {
            let name = e.get(k)?;
            let found = match (s.constrained(name), s.tags.get(name)) {
                (Some(r), _) => vec![r],
                (None, Some(tag)) => tag.iter().filter_map(|m| s.constrained(m)).collect(),
                _ => Vec::new(),
            };
            if found.is_empty() {
                s.warn(e, format!("there is no resource `{name}`, so the constraint is ignored"));
                return None;
            }
            Some(found)
        };
        let Some(dependents) = side(self, "rsc") else { return };
        let Some(primaries) = side(self, "with-rsc") else { return };
        for &dependent in &dependents {
            for &primary in &primaries {
                let influence = self.influence(e, dependent);
                self.new_colocation(Colocation {
                    id: e.id().to_owned(),
                    dependent,
                    primary,
                    dependent_role,
                    primary_role,
                    score,
                    attribute: e.get("node-attribute").map(str::to_owned),
                    influence,
                });
            }
        }
    }

    fn pair(
        &mut self,
        e: &Element,
        id: &str,
        dependent: RscIx,
        primary: RscIx,
        roles: (Role, Role),
        score: i32,
    ) {
        let influence = self.influence(e, dependent);
        let (dependent_role, primary_role) = roles;
        let attribute = None;
        let id = id.to_owned();
        self.new_colocation(Colocation {
            id,
            dependent,
            primary,
            dependent_role,
            primary_role,
            score,
            attribute,
            influence,
        });
    }

    fn colocate_set(&mut self, e: &Element, set: &Element, members: &[RscIx], score: i32) {
        let score = set.get("score").map_or(score, score::parse);
        if score == 0 || set.get("sequential").and_then(boolean) == Some(false) {
            return;
        }
        let role = set.get("role").and_then(Role::of).unwrap_or_default();
        let backwards = set.get("ordering").is_some_and(|o| !o.eq_ignore_ascii_case("group"));
        if score > 0 {
            for two in members.windows(2) {
                let (dependent, primary) = if backwards { (two[0], two[1]) } else { (two[1], two[0]) };
                self.pair(e, set.id(), dependent, primary, (role, role), score);
            }
            return;
        }
        for (k, &dependent) in members.iter().enumerate() {
            for &primary in &members[..k] {
                self.pair(e, set.id(), dependent, primary, (role, role), score);
            }
        }
    }

    fn colocate_sets(&mut self, e: &Element, a: (&Element, &[RscIx]), b: (&Element, &[RscIx]), score: i32) {
        if score == 0 {
            return;
        }
        let role = |s: &Element| s.get("role").and_then(Role::of).unwrap_or_default();
        let roles = (role(a.0), role(b.0));
        let sequential = |s: &Element| s.get("sequential").and_then(boolean) != Some(false);
        // Of a sequential set only one end counts: the first of the dependent set, the last of the other.
        let dependents = if sequential(a.0) { &a.1[..a.1.len().min(1)] } else { a.1 };
        let primaries = if sequential(b.0) { &b.1[b.1.len().saturating_sub(1)..] } else { b.1 };
        for &dependent in dependents {
            for &primary in primaries {
                self.pair(e, e.id(), dependent, primary, roles, score);
            }
        }
    }

    /// Adds a colocation.
    pub(super) fn new_colocation(&mut self, mut c: Colocation) {
        if c.score == 0 {
            return;
        }
        for role in [&mut c.dependent_role, &mut c.primary_role] {
            if *role == Role::Started {
                *role = Role::Unknown;
            }
        }
        let (dependent, primary) = (c.dependent, c.primary);
        let (roles, score) = ((c.dependent_role, c.primary_role), c.score);
        let at = self.colocations.len();
        self.colocations.push(c);
        self.add_with_others(dependent, at);
        self.add_others_with(primary, at);
        if score <= -INF {
            self.order_apart(dependent, roles.0, primary, roles.1);
            self.order_apart(primary, roles.1, dependent, roles.0);
        }
    }

    /// What must not be together stops first and starts then.
    fn order_apart(&mut self, first: RscIx, first_role: Role, then: RscIx, then_role: Role) {
        let firsts: &[&str] = match first_role {
            Role::Promoted => &["demote"],
            Role::Unpromoted => &["stop", "promote"],
            _ => &["stop"],
        };
        let thens: &[&str] = match then_role {
            Role::Promoted => &["promote"],
            Role::Unpromoted => &["start", "demote"],
            _ => &["start"],
        };
        for a in firsts {
            for b in thens {
                self.order_tasks(first, a, then, b, ord::ANTI_COLOCATION);
            }
        }
    }

    /// The order of colocations: by the other resource's priority, kind, and name.
    fn rank(&self, a: RscIx, b: RscIx) -> Ordering {
        let (x, y) = (&self.rscs[a], &self.rscs[b]);
        let promotable = |r: &super::model::Rsc| r.kind == Kind::Clone && r.promotable;
        y.priority
            .cmp(&x.priority)
            .then(y.kind.cmp(&x.kind))
            .then(promotable(y).cmp(&promotable(x)))
            .then_with(|| x.id.cmp(&y.id))
    }

    /// Puts a colocation among those in which a resource depends on others.
    pub(super) fn add_with_others(&mut self, r: RscIx, c: usize) {
        let me = self.colocations[c].primary;
        let at =
            self.rscs[r].with_others.iter().position(|o| self.rank(me, self.colocations[*o].primary).is_le());
        let at = at.unwrap_or(self.rscs[r].with_others.len());
        self.rscs[r].with_others.insert(at, c);
    }

    /// Puts a colocation among those in which others depend on a resource.
    pub(super) fn add_others_with(&mut self, r: RscIx, c: usize) {
        let me = self.colocations[c].dependent;
        let at = self.rscs[r]
            .others_with
            .iter()
            .position(|o| self.rank(me, self.colocations[*o].dependent).is_le());
        let at = at.unwrap_or(self.rscs[r].others_with.len());
        self.rscs[r].others_with.insert(at, c);
    }

    /// Whether the dependent's wishes count.
    pub(super) fn has_influence(&self, c: usize, r: Option<RscIx>) -> bool {
        let c = &self.colocations[c];
        let primary = &self.rscs[r.unwrap_or(c.primary)];
        // A container that runs well is not moved because of the connection to it.
        if self.rscs[c.dependent].nested && !primary.failed && primary.running_on.len() == 1 {
            return false;
        }
        c.influence || primary.running_on.is_empty()
    }

    /// The value of a node attribute by which nodes are compared.
    pub(super) fn value<'a>(&'a self, n: usize, attribute: Option<&str>) -> Option<&'a str> {
        match attribute {
            None => Some(&self.nodes[n].id),
            Some(a) => self.nodes[n].attributes.get(a).map(String::as_str),
        }
    }

    /// Without an attribute, it is the node's own name or id; nodes of Pacemaker Remote of which nothing is on record have none, and are alike.
    pub(super) fn same_value(&self, a: usize, b: usize, attribute: Option<&str>) -> bool {
        if attribute.is_none() {
            return a == b || (!self.nodes[a].named && !self.nodes[b].named);
        }
        match (self.value(a, attribute), self.value(b, attribute)) {
            (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
            (None, None) => true,
            _ => false,
        }
    }

    /// What a colocation changes for a dependent one; `preview`: what it will change.
    pub(super) fn effect(&self, dependent: RscIx, primary: RscIx, c: usize, preview: bool) -> Effect {
        let (d, p, c) = (&self.rscs[dependent], &self.rscs[primary], &self.colocations[c]);
        if !preview && p.provisional {
            return Effect::Nothing;
        }
        let of_promotable = d.parent.is_some_and(|x| self.rscs[x].promotable);
        if c.dependent_role >= Role::Unpromoted && of_promotable && !d.provisional {
            return Effect::Priority;
        }
        if !preview && !d.provisional {
            return Effect::Nothing;
        }
        let other = |role: Role, next: Role| role != Role::Unknown && role != next;
        let same = |role: Role, next: Role| role != Role::Unknown && role == next;
        let (dr, pr) = ((c.dependent_role, d.next_role), (c.primary_role, p.next_role));
        if c.score > 0 && (other(dr.0, dr.1) || other(pr.0, pr.1)) {
            return Effect::Nothing;
        }
        if c.score < 0 && (same(dr.0, dr.1) || same(pr.0, pr.1)) {
            return Effect::Nothing;
        }
        Effect::Scores
    }

    /// Applies a colocation to the dependent one. `outer`: the dependent one's kind decides how; else the primary's.
    pub(super) fn apply_colocation(&mut self, dependent: RscIx, primary: RscIx, c: usize, outer: bool) {
        let kind = self.rscs[if outer { dependent } else { primary }].kind;
        match (kind, outer) {
            (Kind::Primitive, true) => self.apply_colocation(dependent, primary, c, false),
            (Kind::Primitive, false) => match self.effect(dependent, primary, c, false) {
                Effect::Priority => self.apply_to_priority(dependent, primary, c),
                Effect::Scores => self.apply_to_scores(dependent, primary, c),
                Effect::Nothing => {}
            },
            (Kind::Group, true) => {
                let members = self.rscs[dependent].children.clone();
                let mandatory = self.colocations[c].score >= INF;
                if self.rscs[dependent].colocated {
                    if let Some(&m) = members.first() {
                        self.apply_colocation(m, primary, c, true);
                    }
                } else if !mandatory {
                    members.into_iter().for_each(|m| self.apply_colocation(m, primary, c, true));
                }
            }
            (Kind::Group, false) => {
                let rsc = &self.rscs[primary];
                if rsc.provisional {
                    return;
                }
                let mandatory = self.colocations[c].score >= INF;
                let members = rsc.children.clone();
                if rsc.colocated {
                    let member = if mandatory { members.last() } else { members.first() };
                    if let Some(&m) = member {
                        self.apply_colocation(dependent, m, c, false);
                    }
                } else if !mandatory {
                    members.into_iter().for_each(|m| self.apply_colocation(dependent, m, c, false));
                }
            }
            (Kind::Clone | Kind::Bundle, true) => {}
            (Kind::Bundle, false) => self.apply_with_bundle(dependent, primary, c),
            (Kind::Clone, false) => self.apply_with_clone(dependent, primary, c),
        }
    }

    fn apply_to_scores(&mut self, dependent: RscIx, primary: RscIx, c: usize) {
        let (score, attribute) = (self.colocations[c].score, self.colocations[c].attribute.clone());
        let place = self.rscs[primary].assigned.map(|(n, _)| n);
        if place.is_none() && score < 0 {
            return;
        }
        let mut work = self.rscs[dependent].allowed.copy();
        for n in 0..self.nodes.len() {
            let Some(slot) = work.slot(n) else { continue };
            match place {
                None => slot.score = add(-score, slot.score),
                Some(p) if self.same_value(n, p, attribute.as_deref()) => {
                    if score < INF {
                        slot.score = add(score, slot.score);
                    }
                }
                Some(_) if score >= INF => slot.score = add(-score, slot.score),
                Some(_) => {}
            }
        }
        if score.abs() >= INF || self.any_available(&work) {
            self.rscs[dependent].allowed = work;
        }
    }

    fn apply_to_priority(&mut self, dependent: RscIx, primary: RscIx, c: usize) {
        let (Some((p, _)), Some((d, _))) = (self.rscs[primary].assigned, self.rscs[dependent].assigned)
        else {
            return;
        };
        let c = &self.colocations[c];
        if !self.same_value(d, p, c.attribute.as_deref()) {
            if c.score >= INF && c.dependent_role == Role::Promoted {
                self.rscs[dependent].priority = -INF;
            }
            return;
        }
        if c.primary_role != Role::Unknown && c.primary_role != self.rscs[primary].next_role {
            return;
        }
        let score = if c.dependent_role == Role::Unpromoted { -c.score } else { c.score };
        self.rscs[dependent].priority = add(score, self.rscs[dependent].priority);
    }

    /// The best score of a resource on nodes that are like `n`.
    fn best_like(&self, r: RscIx, n: usize, attribute: Option<&str>) -> i32 {
        let alike = |m: usize| self.same_value(m, n, attribute);
        let rows = self.rscs[r].allowed.slots().filter(|(m, _)| self.available(*m) && alike(*m));
        rows.map(|(_, s)| s.score).max().unwrap_or(-INF).max(-INF)
    }

    fn add_wishes(&self, table: &mut Table, r: RscIx, attribute: Option<&str>, share: Share, positive: bool) {
        for n in 0..self.nodes.len() {
            let score = self.best_like(r, n, attribute);
            let Some(slot) = table.slot(n) else { continue };
            if (share.is_negative() && score < 0) || slot.score == UNUSABLE {
                continue;
            }
            let new = add(share.times(score), slot.score);
            if positive && new < 0 && slot.score > 0 {
                slot.score = UNUSABLE;
            } else if !(positive && new < 0 && slot.score == 0) {
                slot.score = new;
            }
        }
    }

    /// Adds to a table the wishes of a resource and, through it, of those that depend on it. Without a table, its own is the start.
    pub(super) fn merge(
        &mut self,
        r: RscIx,
        table: Option<Table>,
        attribute: Option<&str>,
        share: Share,
        how: Merge,
    ) -> Option<Table> {
        if self.rscs[r].merging {
            return table;
        }
        self.rscs[r].merging = true;
        let start = match (self.rscs[r].kind, &table) {
            (Kind::Group, _) => {
                let members = &self.rscs[r].children;
                let member = if table.is_none() { members.last() } else { members.first() };
                match member.copied() {
                    Some(m) => self.merge(m, table.as_ref().map(Table::copy), attribute, share, how),
                    None => None,
                }
            }
            (_, None) => Some(self.rscs[r].allowed.copy()),
            (_, Some(t)) => {
                let mut work = t.copy();
                self.add_wishes(&mut work, r, attribute, share, how.positive);
                Some(work)
            }
        };
        let Some(mut work) = start else {
            self.rscs[r].merging = false;
            return table;
        };
        if self.any_available(&work) {
            let list = if how.outward {
                self.rscs[r].with_others.clone()
            } else if self.rscs[r].kind == Kind::Group {
                self.rscs[r].children.last().map(|m| self.rscs[*m].others_with.clone()).unwrap_or_default()
            } else {
                self.rscs[r].others_with.clone()
            };
            for c in list {
                if !how.outward && !self.has_influence(c, None) {
                    continue;
                }
                let constraint = self.colocations[c].clone();
                let other = if how.outward { constraint.primary } else { constraint.dependent };
                let passed = if share.is_negative() { -constraint.score } else { constraint.score };
                let how = Merge { active: true, ..how };
                if let Some(t) = self.merge(
                    other,
                    Some(work.copy()),
                    constraint.attribute.as_deref(),
                    Share::of(passed),
                    how,
                ) {
                    work = t;
                }
            }
        } else if how.active {
            self.rscs[r].merging = false;
            return table;
        }
        if how.positive {
            work.0.iter_mut().flatten().filter(|s| s.score == UNUSABLE).for_each(|s| s.score = 1);
        }
        self.rscs[r].merging = false;
        Some(work)
    }

    /// Merges the wishes of the dependent of a colocation (or, `outward`, of its primary) into the table of a resource.
    pub(super) fn merge_into(&mut self, r: RscIx, c: usize, how: Merge) {
        let constraint = self.colocations[c].clone();
        let other = if how.outward { constraint.primary } else { constraint.dependent };
        let table = self.rscs[r].allowed.copy();
        let before = self.rscs[r].allowed.clone();
        let inner = Merge { outward: false, ..how };
        let merged = self.merge(
            other,
            Some(table),
            constraint.attribute.as_deref(),
            Share::of(constraint.score),
            inner,
        );
        if let Some(merged) = merged {
            // A merge that was refused leaves the table, and the counts in it, as they were.
            if merged.0.iter().zip(&before.0).any(|(a, b)| a.map(|s| s.score) != b.map(|s| s.score)) {
                self.rscs[r].allowed = merged;
            }
        }
        let cause =
            Cause::Wish { id: constraint.id, other: self.rscs[other].id.clone(), score: constraint.score };
        self.tell_table(r, &before, &cause);
    }

    /// What can not start drags along what must be with it.
    pub(super) fn block_dependents(&mut self, a: usize) {
        let action = &self.acts[a];
        let start = action.task == "start";
        if action.is(act::RUNNABLE) || (!start && action.task != "promote") {
            return;
        }
        let Some(own) = action.rsc else { return };
        let task = action.task.clone();
        let r = self.outermost(own);
        let r = self.bundle_of(r).unwrap_or(r);
        if self.rscs[r].others_with.is_empty() {
            return;
        }
        for c in self.rscs[r].children.clone() {
            match self.newest(c, None, Some(&task), None) {
                Some(x) if !self.acts[x].is(act::RUNNABLE) => {}
                _ => return,
            }
        }
        for c in self.rscs[r].others_with.clone() {
            let c = self.colocations[c].clone();
            if c.score < INF || (!start && c.primary_role != Role::Promoted) {
                continue;
            }
            let task = if c.dependent_role == Role::Promoted { "promote" } else { "start" };
            self.mark_blocked(c.dependent, task, own);
        }
    }

    fn mark_blocked(&mut self, r: RscIx, task: &str, because: RscIx) {
        let reason = format!("colocation with {}", self.rscs[because].id);
        for a in self.rscs[r].actions.clone().into_iter().rev() {
            if self.acts[a].is(act::RUNNABLE) && self.acts[a].task.eq_ignore_ascii_case(task) {
                self.acts[a].flags &= !act::RUNNABLE;
                self.give_reason(a, &reason);
                self.block_dependents(a);
                self.settle(a);
            }
        }
        for c in self.rscs[r].children.clone() {
            self.mark_blocked(c, task, because);
        }
    }

    /// Nodes that are not in a list get -INFINITY; those of the list that are missing are put in with it. With `merge`, the scores of the
    /// list are added.
    pub(super) fn exclude_others(&mut self, r: RscIx, list: &[(usize, i32)], merge: bool) {
        for n in 0..self.nodes.len() {
            let found = list.iter().find(|(m, _)| *m == n);
            match (self.rscs[r].allowed.slot(n), found) {
                (Some(slot), None) => slot.score = -INF,
                (Some(slot), Some((_, score))) if merge => slot.score = add(slot.score, *score),
                (None, Some(_)) => self.rscs[r].allowed.0[n] = Some(Slot { score: -INF, ..Slot::default() }),
                _ => {}
            }
        }
    }
}
