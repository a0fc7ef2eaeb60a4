//! Ordering constraints, read from the configuration; and what resources order by themselves: members of groups, instances of clones.

use super::actions::by_action;
use super::model::{Kind, Role, RscIx, Sched, Side, act, ord};
use super::score::{self, number};
use super::sets::{boolean, is_true, resolved};
use super::xml::Element;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Optional,
    Mandatory,
    Serialize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symmetry {
    No,
    Yes,
    Inverse,
}

fn inverse(action: &str) -> Option<&'static str> {
    Some(match action {
        "start" => "stop",
        "stop" => "start",
        "promote" => "demote",
        "demote" => "promote",
        "promoted" => "demoted",
        "demoted" => "promoted",
        "running" => "stopped",
        "stopped" => "running",
        _ => return None,
    })
}

fn strength(e: &Element) -> Strength {
    match e.get("kind").map(str::to_ascii_lowercase).as_deref() {
        Some("optional") => Strength::Optional,
        Some("serialize") => Strength::Serialize,
        None if e.get("score").is_some_and(|s| score::parse(s) == 0) => Strength::Optional,
        _ => Strength::Mandatory,
    }
}

fn symmetry(e: &Element, outer: Strength, inherited: Option<&str>) -> Symmetry {
    let kind = if e.get("kind").is_some() || e.get("score").is_some() { strength(e) } else { outer };
    match e.get("symmetrical").and_then(boolean).or_else(|| inherited.map(|v| is_true(Some(v)))) {
        Some(true) if kind != Strength::Serialize => Symmetry::Yes,
        Some(_) => Symmetry::No,
        None if kind == Strength::Serialize => Symmetry::No,
        None => Symmetry::Yes,
    }
}

fn kind_of(strength: Strength, first: &str, symmetry: Symmetry) -> u32 {
    ord::OPTIONAL
        | match (strength, symmetry) {
            (Strength::Optional, _) => 0,
            (Strength::Serialize, _) => ord::SERIALIZE,
            (Strength::Mandatory, Symmetry::No) => ord::ASYMMETRICAL,
            (Strength::Mandatory, Symmetry::Inverse) => ord::IMPLIES_FIRST,
            (Strength::Mandatory, Symmetry::Yes) if matches!(first, "start" | "promote") => {
                ord::IMPLIES_THEN | ord::RUNNABLE_LEFT
            }
            (Strength::Mandatory, Symmetry::Yes) => ord::IMPLIES_THEN,
        }
}

impl Sched {
    /// Reads `<rsc_order>`.
    pub(super) fn read_order(&mut self, e: &Element) {
        let root = self.cib.root.clone();
        let sets: Vec<&Element> = e.all("resource_set").filter_map(|s| resolved(&root, s)).collect();
        let kind = strength(e);
        let symmetric = symmetry(e, kind, None);
        if sets.is_empty() {
            return self.read_simple_order(e, kind, symmetric);
        }
        let mut last: Option<(&Element, Vec<RscIx>)> = None;
        for set in sets {
            let Some(members) = self.set_members(e, set) else { return };
            self.order_set(set, &members, kind, e.get("symmetrical"));
            if let Some((before, earlier)) = &last {
                self.order_sets((before, earlier), (set, &members), kind, symmetric);
                if symmetric == Symmetry::Yes {
                    self.order_sets((set, &members), (before, earlier), kind, Symmetry::Inverse);
                }
            }
            last = Some((set, members));
        }
    }

    fn read_simple_order(&mut self, e: &Element, kind: Strength, symmetric: Symmetry) {
        for side in ["first-instance", "then-instance"] {
            if e.get(side).is_some() {
                return self.warn(e, format!("`{side}` is not modelled, so the constraint is ignored"));
            }
        }
        let mut sides: [Vec<RscIx>; 2] = [Vec::new(), Vec::new()];
        for (k, side) in ["first", "then"].into_iter().enumerate() {
            let Some(name) = e.get(side) else {
                return self.warn(e, format!("there is no `{side}`, so the constraint is ignored"));
            };
            sides[k] = match (self.constrained(name), self.tags.get(name)) {
                (Some(r), _) => vec![r],
                (None, Some(tag)) => tag.iter().filter_map(|m| self.constrained(m)).collect(),
                _ => Vec::new(),
            };
            if sides[k].is_empty() {
                return self.warn(e, format!("there is no resource `{name}`, so the constraint is ignored"));
            }
        }
        let first_action = e.get("first-action").unwrap_or("start").to_owned();
        let then_action = e.get("then-action").unwrap_or(&first_action).to_owned();
        for &first in &sides[0] {
            for &then in &sides[1] {
                let restarts = kind == Strength::Optional && self.rscs[then].restart_type;
                let mut flags = kind_of(kind, &first_action, symmetric);
                if restarts {
                    flags |= ord::IMPLIES_THEN;
                }
                match self.least_instances(first, e) {
                    0 => self.order_tasks(first, &first_action, then, &then_action, flags),
                    n => {
                        self.order_after_some(e.id(), (first, &first_action), (then, &then_action), flags, n)
                    }
                }
                if symmetric != Symmetry::Yes {
                    continue;
                }
                let (Some(stop_then), Some(stop_first)) = (inverse(&then_action), inverse(&first_action))
                else {
                    self.warn(e, "its actions have no inverse, so only one direction is ordered");
                    continue;
                };
                let mut flags = kind_of(kind, stop_first, Symmetry::Inverse);
                if restarts {
                    flags |= ord::IMPLIES_FIRST;
                }
                self.order_tasks(then, stop_then, first, stop_first, flags);
            }
        }
    }

    /// How many instances of a clone must be active before what comes then; 0 if all must.
    fn least_instances(&self, first: RscIx, e: &Element) -> i32 {
        if self.rscs[first].kind != Kind::Clone {
            return 0;
        }
        if let Some(n) = self.rscs[first].meta.get("clone-min") {
            return i32::try_from(number(n).unwrap_or(0).clamp(0, i64::from(i32::MAX))).unwrap_or(0);
        }
        i32::from(e.get("require-all").and_then(boolean) == Some(false))
    }

    fn order_after_some(
        &mut self,
        id: &str,
        first: (RscIx, &str),
        then: (RscIx, &str),
        flags: u32,
        least: i32,
    ) {
        let met = self.pseudo(&format!("clone-one-or-more:{id}"));
        self.acts[met].needed_before = least;
        self.acts[met].flags |= act::ANY;
        for c in self.rscs[first.0].children.clone() {
            let side = self.by_task(c, first.1);
            self.order(side, by_action(met), ord::ONE_OR_MORE | ord::IMPLIES_THEN_SHOWN);
        }
        let side = self.by_task(then.0, then.1);
        self.order(by_action(met), side, flags | ord::RUNNABLE_LEFT);
    }

    fn order_set(&mut self, set: &Element, members: &[RscIx], outer: Strength, inherited: Option<&str>) {
        let action = set.get("action").unwrap_or("start");
        let kind = if set.get("kind").is_some() { strength(set) } else { outer };
        let symmetric = symmetry(set, outer, inherited);
        let sequential = set.get("sequential").is_none_or(|s| is_true(Some(s)));
        let flags = kind_of(kind, action, symmetric);
        if members.len() == 1 {
            return;
        }
        for (k, &r) in members.iter().enumerate() {
            if kind == Strength::Serialize {
                for &then in &members[k + 1..] {
                    self.order_tasks(r, action, then, action, flags);
                }
            } else if sequential && k > 0 {
                self.order_tasks(members[k - 1], action, r, action, flags);
            }
        }
        let (Symmetry::Yes, Some(back)) = (symmetric, inverse(action)) else { return };
        let flags = kind_of(kind, back, Symmetry::Inverse);
        if sequential {
            for two in members.windows(2) {
                self.order_tasks(two[1], back, two[0], back, flags);
            }
        }
    }

    fn order_sets(
        &mut self,
        a: (&Element, &[RscIx]),
        b: (&Element, &[RscIx]),
        kind: Strength,
        symmetric: Symmetry,
    ) {
        let action = |s: &Element| {
            let given = s.get("action").unwrap_or("start").to_owned();
            match symmetric {
                Symmetry::Inverse => inverse(&given).map_or(given, str::to_owned),
                _ => given,
            }
        };
        let (first, then) = (action(a.0), action(b.0));
        let all = matches!(first.as_str(), "stop" | "demote")
            || a.0.get("require-all").and_then(boolean) != Some(false);
        let flags = kind_of(kind, &then, symmetric);
        if !all {
            let one = self.pseudo(&format!("one-or-more:{}", a.0.id()));
            self.acts[one].flags |= act::ANY;
            for &r in a.1 {
                let side = self.by_task(r, &first);
                self.order(side, by_action(one), ord::ONE_OR_MORE | ord::IMPLIES_THEN_SHOWN);
            }
            for &r in b.1 {
                let side = self.by_task(r, &then);
                self.order(by_action(one), side, flags | ord::RUNNABLE_LEFT);
            }
            return;
        }
        let sequential = |s: &Element| s.get("sequential").and_then(boolean) == Some(true);
        let inverted = symmetric == Symmetry::Inverse;
        let end = |members: &[RscIx], last: bool| {
            if last { members.last() } else { members.first() }.map(|r| vec![*r]).unwrap_or_default()
        };
        let firsts = if sequential(a.0) { end(a.1, !inverted) } else { a.1.to_vec() };
        let thens = if sequential(b.0) { end(b.1, inverted) } else { b.1.to_vec() };
        for &x in &firsts {
            for &y in &thens {
                self.order_tasks(x, &first, y, &then, flags);
            }
        }
    }

    /// What a resource orders within itself.
    pub(super) fn order_inside(&mut self, r: RscIx) {
        match self.rscs[r].kind {
            Kind::Primitive => self.order_primitive(r),
            Kind::Group => self.order_group(r),
            Kind::Clone => self.order_clone(r),
            Kind::Bundle => self.order_bundle(r),
        }
    }

    fn order_primitive(&mut self, r: RscIx) {
        if !self.rscs[r].managed {
            return;
        }
        self.order_tasks(r, "stop", r, "start", ord::OPTIONAL | ord::IMPLIES_THEN | ord::RESTART);
        if self.rscs[self.outermost(r)].promotable || self.rscs[r].role > Role::Unpromoted {
            self.order_tasks(r, "demote", r, "stop", ord::PROMOTED_IMPLIES_FIRST);
            self.order_tasks(r, "start", r, "promote", ord::RUNNABLE_LEFT);
        }
        self.order_tasks(r, "lrm_delete", r, "monitor", ord::SAME_NODE | ord::THEN_CANCELS_FIRST);
        if !self.rscs[r].utilization.is_empty() && self.options.strategy != super::model::Strategy::Default {
            self.order_load(r);
        }
        self.tie_to_container(r);
    }

    fn order_group(&mut self, g: RscIx) {
        self.order_tasks(g, "stop", g, "stopped", ord::RUNNABLE_LEFT);
        self.order_tasks(g, "stopped", g, "start", ord::OPTIONAL);
        self.order_tasks(g, "start", g, "running", ord::RUNNABLE_LEFT);
        let (ordered, colocated) = (self.rscs[g].ordered, self.rscs[g].colocated);
        let promotable = self.rscs[self.outermost(g)].promotable;
        let (mut previous, mut last_active): (Option<RscIx>, Option<RscIx>) = (None, None);
        let shown_then = ord::RUNNABLE_LEFT | ord::IMPLIES_THEN | ord::IMPLIES_THEN_SHOWN;
        for m in self.rscs[g].children.clone() {
            self.order_inside(m);
            let (mut down, mut down_after) = (ord::IMPLIES_FIRST_SHOWN, ord::IMPLIES_THEN_SHOWN);
            if previous.is_none() && ordered {
                down |= ord::OPTIONAL;
                down_after = ord::IMPLIES_THEN;
            }
            if let (Some(p), true) = (previous, colocated) {
                let influence = self.rscs[m].critical;
                self.new_colocation(super::model::Colocation {
                    id: "group:internal_colocation".into(),
                    dependent: m,
                    primary: p,
                    dependent_role: Role::Unknown,
                    primary_role: Role::Unknown,
                    score: score::INF,
                    attribute: None,
                    influence,
                });
            }
            if promotable {
                self.order_tasks(g, "demote", m, "demote", down);
                self.order_tasks(m, "demote", g, "demoted", down_after);
                self.order_tasks(m, "promote", g, "promoted", shown_then);
                self.order_tasks(g, "promote", m, "promote", ord::IMPLIES_FIRST_SHOWN);
            }
            self.order_tasks(g, "stop", m, "stop", down);
            self.order_tasks(m, "stop", g, "stopped", down_after);
            self.order_tasks(g, "start", m, "start", ord::IMPLIES_FIRST_SHOWN);
            self.order_tasks(m, "start", g, "running", shown_then);
            let follows = ord::IMPLIES_THEN | ord::RUNNABLE_LEFT;
            match previous {
                _ if !ordered => {
                    self.order_tasks(g, "start", m, "start", follows | ord::IMPLIES_FIRST_SHOWN);
                    if promotable {
                        self.order_tasks(g, "promote", m, "promote", follows | ord::IMPLIES_FIRST_SHOWN);
                    }
                }
                None => {
                    self.order_tasks(g, "start", m, "start", ord::NONE);
                    if promotable {
                        self.order_tasks(g, "promote", m, "promote", ord::NONE);
                    }
                }
                Some(p) => {
                    self.order_tasks(p, "start", m, "start", follows);
                    self.order_tasks(m, "stop", p, "stop", ord::OPTIONAL | ord::RESTART);
                    if promotable {
                        self.order_tasks(p, "promote", m, "promote", follows);
                        self.order_tasks(m, "demote", p, "demote", ord::OPTIONAL);
                    }
                }
            }
            if !self.rscs[m].running_on.is_empty() {
                let idle = previous.is_some_and(|p| self.rscs[p].running_on.is_empty());
                if let (true, true, Some(last)) = (ordered, idle, last_active) {
                    self.order_tasks(m, "stop", last, "stop", ord::OPTIONAL);
                }
                last_active = Some(m);
            }
            previous = Some(m);
        }
    }

    fn order_clone(&mut self, c: RscIx) {
        let ordered = self.rscs[c].clone.ordered;
        self.order_tasks(c, "stopped", c, "start", ord::OPTIONAL);
        self.order_tasks(c, "start", c, "running", ord::RUNNABLE_LEFT);
        self.order_tasks(c, "stop", c, "stopped", ord::RUNNABLE_LEFT);
        let promotable = self.rscs[c].promotable;
        if promotable {
            self.order_tasks(c, "demoted", c, "stop", ord::OPTIONAL);
            self.order_tasks(c, "running", c, "promote", ord::RUNNABLE_LEFT);
        }
        if ordered {
            self.sort_by_number(c);
        }
        let mut last: Option<RscIx> = None;
        for i in self.rscs[c].children.clone() {
            self.order_inside(i);
            self.order_tasks(c, "start", i, "start", ord::RUNNABLE_LEFT | ord::IMPLIES_FIRST_SHOWN);
            self.order_tasks(i, "start", c, "running", ord::IMPLIES_THEN_SHOWN);
            if let (true, Some(l)) = (ordered, last) {
                self.order_tasks(l, "start", i, "start", ord::OPTIONAL);
            }
            self.order_tasks(c, "stop", i, "stop", ord::IMPLIES_FIRST_SHOWN);
            self.order_tasks(i, "stop", c, "stopped", ord::IMPLIES_THEN_SHOWN);
            if let (true, Some(l)) = (ordered, last) {
                self.order_tasks(i, "stop", l, "stop", ord::OPTIONAL);
            }
            last = Some(i);
        }
        if !promotable {
            return;
        }
        self.order_promotable_restart(c);
        let mut last: Option<RscIx> = None;
        for i in self.rscs[c].children.clone() {
            self.order_tasks(i, "demote", i, "promote", ord::OPTIONAL);
            self.order_tasks(c, "promote", i, "promote", ord::OPTIONAL);
            self.order_tasks(i, "promote", c, "promoted", ord::OPTIONAL);
            if let (true, Some(l)) = (ordered, last) {
                self.order_tasks(l, "promote", i, "promote", ord::OPTIONAL);
            }
            self.order_tasks(c, "demote", i, "demote", ord::IMPLIES_FIRST_SHOWN);
            self.order_tasks(i, "demote", c, "demoted", ord::IMPLIES_THEN_SHOWN);
            if let (true, Some(l)) = (ordered, last) {
                self.order_tasks(i, "demote", l, "demote", ord::OPTIONAL);
            }
            last = Some(i);
        }
    }

    /// Instances are stopped and demoted before others start or are promoted.
    pub(super) fn order_promotable_restart(&mut self, c: RscIx) {
        for (first, then) in [
            ("stopped", "start"),
            ("stopped", "promote"),
            ("demoted", "stop"),
            ("demoted", "start"),
            ("demoted", "promote"),
            ("running", "promote"),
            ("demote", "demoted"),
        ] {
            self.order_tasks(c, first, c, then, ord::OPTIONAL);
        }
    }

    /// The first side of an ordering as it is when orderings are applied.
    pub(super) fn side_task(&self, side: &Side) -> String {
        match (side.action, &side.key) {
            (Some(a), _) => self.acts[a].task.clone(),
            (None, Some(k)) => super::history::split_key(k).0.to_owned(),
            _ => String::new(),
        }
    }
}
