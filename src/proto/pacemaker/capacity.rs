//! Capacity: what nodes have, what resources take, and who does not fit.

use super::actions::by_action;
use super::model::{ActIx, Kind, NodeIx, RscIx, Sched, Side, Strategy, act, ord};
use super::score::INF;
use super::sorting::bucket_order;
use super::story::Cause;
use std::cmp::Ordering;
use std::collections::BTreeMap;

impl Sched {
    /// Which of two nodes has more left: less is freer.
    pub(super) fn freer(&self, a: NodeIx, b: NodeIx) -> Ordering {
        let (x, y) = (&self.nodes[a].utilization, &self.nodes[b].utilization);
        let has = |t: &BTreeMap<String, i32>, k: &str| t.get(k).copied().unwrap_or(0);
        let keys = x.keys().chain(y.keys().filter(|k| !x.contains_key(*k)));
        let balance: i32 = keys
            .map(|k| match has(x, k).cmp(&has(y, k)) {
                Ordering::Greater => -1,
                Ordering::Less => 1,
                Ordering::Equal => 0,
            })
            .sum();
        balance.cmp(&0)
    }

    /// A resource takes its share of a node.
    pub(super) fn consume(&mut self, n: NodeIx, r: RscIx) {
        for (k, v) in self.rscs[r].utilization.clone() {
            let left = self.nodes[n].utilization.get(&k).map_or(0, |have| have.saturating_sub(v));
            self.nodes[n].utilization.insert(k, left);
        }
    }

    /// A resource gives it back.
    pub(super) fn release(&mut self, n: NodeIx, r: RscIx) {
        for (k, v) in self.rscs[r].utilization.clone() {
            let have = self.nodes[n].utilization.entry(k).or_insert(0);
            *have = have.saturating_add(v);
        }
    }

    fn has_room(&self, n: NodeIx, needs: &BTreeMap<String, i32>) -> bool {
        needs.iter().all(|(k, v)| self.nodes[n].utilization.get(k).copied().unwrap_or(0) >= *v)
    }

    /// All that must be with a resource.
    fn together(&self, r: RscIx, origin: RscIx, list: &mut Vec<RscIx>) {
        if self.rscs[r].kind == Kind::Group {
            let in_clone = self.rscs[r].parent.is_some_and(|p| self.rscs[p].kind == Kind::Clone);
            let whole = self.rscs[r].colocated || in_clone;
            let count = if whole { self.rscs[r].children.len() } else { 1 };
            for &m in self.rscs[r].children.iter().take(count) {
                self.together(m, origin, list);
            }
        }
        if list.contains(&r) {
            return;
        }
        list.push(r);
        let bound = |c: usize, d: RscIx, p: RscIx| {
            self.colocations[c].score >= INF
                && self.effect(d, p, c, true) == super::colocation::Effect::Scores
        };
        for &c in &self.rscs[r].with_others {
            let primary = self.colocations[c].primary;
            if primary != origin && bound(c, r, primary) {
                self.together(primary, origin, list);
            }
        }
        for &c in &self.rscs[r].others_with {
            let dependent = self.colocations[c].dependent;
            let uncertain = self.rscs[r].kind == Kind::Clone && self.rscs[dependent].kind != Kind::Clone;
            if dependent != origin && !uncertain && bound(c, dependent, r) {
                self.together(dependent, origin, list);
            }
        }
    }

    fn add_needs(&self, r: RscIx, all: &[RscIx], needs: &mut BTreeMap<String, i32>) {
        let rsc = &self.rscs[r];
        if !rsc.provisional {
            return;
        }
        match rsc.kind {
            Kind::Primitive => {
                for (k, v) in &rsc.utilization {
                    let sum = needs.entry(k.clone()).or_insert(0);
                    *sum = sum.saturating_add(*v);
                }
            }
            Kind::Group => {
                let in_clone = rsc.parent.is_some_and(|p| self.rscs[p].kind == Kind::Clone);
                let count = if rsc.colocated || in_clone { rsc.children.len() } else { 1 };
                for &m in rsc.children.iter().take(count) {
                    if self.rscs[m].provisional && !all.contains(&m) {
                        self.add_needs(m, all, needs);
                    }
                }
            }
            Kind::Bundle => {
                if let Some(first) = self.instances(r).first() {
                    self.add_needs(*first, all, needs);
                }
            }
            Kind::Clone => {
                let mut any = false;
                for &i in &rsc.children {
                    if all.contains(&i) {
                        any = true;
                    } else if self.rscs[i].children.iter().any(|m| all.contains(m)) {
                        self.add_needs(i, all, needs);
                        any = true;
                    }
                }
                if let (false, Some(&first)) = (any, rsc.children.first()) {
                    self.add_needs(first, all, needs);
                }
            }
        }
    }

    /// Bans nodes without room; the freest one is preferred if none has room for everything.
    pub(super) fn ban_full_nodes(&mut self, r: RscIx) -> Option<NodeIx> {
        if self.options.strategy == Strategy::Default {
            return None;
        }
        let mut all = Vec::new();
        self.together(r, r, &mut all);
        if !all.contains(&r) {
            all.push(r);
        }
        let mut needs = BTreeMap::new();
        for &x in &all {
            self.add_needs(x, &all, &mut needs);
        }
        let nodes = self.table_order(r);
        let usable =
            |s: &Sched, n: NodeIx| s.available(n) && s.rscs[r].allowed.get(n).is_some_and(|x| x.score >= 0);
        let (mut any, mut freest): (bool, Option<NodeIx>) = (false, None);
        for &n in &nodes {
            if usable(self, n) {
                any |= self.has_room(n, &needs);
                if freest.is_none_or(|f| self.freer(n, f).is_lt()) {
                    freest = Some(n);
                }
            }
        }
        let own = self.rscs[r].utilization.clone();
        for n in nodes {
            if usable(self, n) && !self.has_room(n, if any { &needs } else { &own }) {
                self.add_score(r, n, -INF, &Cause::Capacity);
            }
        }
        if any { None } else { freest }
    }

    /// The nodes that a resource may run on, in the order that decides between equals.
    pub(super) fn table_order(&self, r: RscIx) -> Vec<NodeIx> {
        let nodes: Vec<NodeIx> = self.rscs[r].allowed.nodes().collect();
        let ids: Vec<&str> = nodes.iter().map(|n| self.nodes[*n].id.as_str()).collect();
        bucket_order(&ids).into_iter().filter_map(|k| nodes.get(k).copied()).collect()
    }

    fn load_stopped(&mut self, n: NodeIx) -> ActIx {
        let a = self.pseudo(&format!("load_stopped_{}", self.nodes[n].name));
        if self.acts[a].node.is_none() {
            self.acts[a].node = Some(n);
            self.acts[a].flags &= !act::OPTIONAL;
        }
        a
    }

    /// What leaves a node makes room before something comes.
    pub(super) fn order_load(&mut self, r: RscIx) {
        for n in self.rscs[r].running_on.clone() {
            let a = self.load_stopped(n);
            let stop = self.by_task(r, "stop");
            self.order(stop, by_action(a), ord::LOAD);
        }
        for n in self.rscs[r].allowed.nodes().collect::<Vec<_>>() {
            let a = self.load_stopped(n);
            for task in ["start", "migrate_to"] {
                let then: Side = self.by_task(r, task);
                self.order(by_action(a), then, ord::LOAD);
            }
        }
    }
}
