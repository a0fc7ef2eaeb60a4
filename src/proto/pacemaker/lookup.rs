//! Questions about a run: what is where, what is inside what; and the scores, with their stories.

use super::model::{
    Discovery, Kind, NodeIx, Printed, QuorumPolicy, Role, Rsc, RscIx, Sched, Slot, Table, Warning,
};
use super::story::{Cause, Tale};
use super::xml::Element;

impl Sched {
    /// Whether a node can run resources.
    pub fn available(&self, n: NodeIx) -> bool {
        let d = &self.nodes[n];
        d.online && !d.shutdown && !d.unclean && !d.standby && !d.maintenance
    }

    /// Whether a table has a node that can run resources and may.
    pub fn any_available(&self, table: &Table) -> bool {
        table.slots().any(|(n, s)| s.score >= 0 && self.available(n))
    }

    /// The outermost resource around one; inside a bundle, what is directly in it.
    pub fn outermost(&self, mut r: RscIx) -> RscIx {
        while let Some(p) = self.rscs[r].parent.filter(|p| self.rscs[*p].kind != Kind::Bundle) {
            r = p;
        }
        r
    }

    /// Whether `child` is somewhere in `parent`.
    pub fn is_inside(&self, child: RscIx, parent: RscIx) -> bool {
        let mut at = child;
        while let Some(p) = self.rscs[at].parent {
            if p == parent {
                return true;
            }
            at = p;
        }
        false
    }

    /// Whether it is a clone without told-apart instances.
    pub fn is_anonymous_clone(&self, r: RscIx) -> bool {
        self.rscs[r].kind == Kind::Clone && !self.rscs[r].unique
    }

    /// The node where it is active, how many there are, and how many clean ones.
    pub fn active_on(&self, r: RscIx) -> (Option<NodeIx>, usize, usize) {
        let rsc = &self.rscs[r];
        let well = |n: NodeIx| self.nodes[n].online && !self.nodes[n].unclean;
        let clean = rsc.running_on.iter().filter(|n| well(**n)).count();
        let mut active: Option<NodeIx> = None;
        for &n in &rsc.running_on {
            if let Some(source) = rsc.migrating_from {
                if n == source {
                    active = Some(n);
                }
            } else if !rsc.needs_fencing && well(n) && active.is_none_or(|a| !well(a)) {
                active = Some(n);
            }
            active = active.or(Some(n));
        }
        (active, rsc.running_on.len(), clean)
    }

    /// The node where it is now.
    pub fn current(&self, r: RscIx) -> Option<NodeIx> {
        self.active_on(r).0
    }

    /// The nodes of it and of what is in it: where it goes, or where it runs.
    pub fn places(&self, r: RscIx, now: bool) -> Vec<(NodeIx, i32)> {
        let mut out = Vec::new();
        self.collect_places(r, now, &mut out);
        out
    }

    fn collect_places(&self, r: RscIx, now: bool, out: &mut Vec<(NodeIx, i32)>) {
        let rsc = &self.rscs[r];
        let mut put = |n: NodeIx, score: i32| {
            if !out.iter().any(|(m, _)| *m == n) {
                out.push((n, score));
            }
        };
        if !rsc.children.is_empty() {
            for &c in &rsc.children {
                self.collect_places(c, now, out);
            }
        } else if now {
            rsc.running_on.iter().for_each(|n| put(*n, self.nodes[*n].base));
        } else if let Some((n, score)) = rsc.assigned {
            put(n, score);
        }
    }

    /// The only node of it, if there is only one; with the score that it had.
    pub fn place(&self, r: RscIx, now: bool) -> Option<(NodeIx, i32)> {
        match self.places(r, now).as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// The role of it or the highest in it.
    pub fn role_of(&self, r: RscIx, now: bool) -> Role {
        let rsc = &self.rscs[r];
        if rsc.kind == Kind::Primitive {
            return if now { rsc.role } else { rsc.next_role };
        }
        self.instances(r).into_iter().map(|c| self.role_of(c, now)).max().unwrap_or_default()
    }

    /// Whether it is active: all of it, or any.
    pub fn is_active(&self, r: RscIx, all: bool) -> bool {
        let rsc = &self.rscs[r];
        match rsc.kind {
            Kind::Primitive => {
                rsc.running_on.iter().any(|n| self.nodes[*n].unclean || self.nodes[*n].online || !rsc.managed)
            }
            Kind::Group => {
                let n = rsc.children.iter().filter(|c| self.is_active(**c, all)).count();
                n > 0 && (!all || n == rsc.children.len())
            }
            Kind::Clone | Kind::Bundle if all => rsc.children.iter().all(|c| self.is_active(*c, true)),
            Kind::Clone | Kind::Bundle => rsc.children.iter().any(|c| self.is_active(*c, false)),
        }
    }

    /// Whether a fact holds for it or anything in it.
    pub fn any_in(&self, r: RscIx, fact: &impl Fn(&Rsc) -> bool) -> bool {
        fact(&self.rscs[r]) || self.rscs[r].children.iter().any(|c| self.any_in(*c, fact))
    }

    /// Whether a node can be fenced.
    pub fn can_fence(&self, node: NodeIx) -> bool {
        if let Some(guest) = self.guest_of(node) {
            return self.rscs[guest].running_on.iter().all(|h| self.nodes[*h].online || self.can_fence(*h));
        }
        let o = &self.options;
        o.fencing
            && o.fence_device
            && (o.quorum || o.no_quorum == QuorumPolicy::Ignore || self.nodes[node].online)
    }

    /// A resource by name: its id, or the name of its history; in what is in it, too.
    pub fn find_in(&self, r: RscIx, name: &str) -> Option<RscIx> {
        let rsc = &self.rscs[r];
        if rsc.id == name || rsc.history_name.as_deref() == Some(name) {
            return Some(r);
        }
        rsc.children.iter().find_map(|c| self.find_in(*c, name))
    }

    /// A resource by name.
    pub fn find_rsc(&self, name: &str) -> Option<RscIx> {
        self.top.iter().find_map(|r| self.find_in(*r, name))
    }

    /// The resource that a constraint means.
    pub fn constrained(&self, name: &str) -> Option<RscIx> {
        let r = self.find_rsc(name)?;
        Some(if self.rscs[r].id.eq_ignore_ascii_case(name) { r } else { self.outermost(r) })
    }

    /// A node by name.
    pub fn find_node(&self, name: &str) -> Option<NodeIx> {
        self.nodes.iter().position(|n| !n.absent && n.name.eq_ignore_ascii_case(name))
    }

    /// Adds to a score of a resource and of what is in it; a node that is not in the table is put there.
    pub fn add_score(&mut self, r: RscIx, node: NodeIx, score: i32, cause: &Cause) {
        let never = self.nodes[node].discovery == Discovery::Never;
        if *cause == Cause::Symmetric && (never || self.rscs[r].exclusive_discovery) {
            return;
        }
        for c in self.rscs[r].children.clone() {
            self.add_score(c, node, score, cause);
        }
        let (base, discovery) = (self.nodes[node].base, self.nodes[node].discovery);
        let before = self.rscs[r].allowed.get(node);
        let start = before.unwrap_or(Slot { score: base, count: 0, discovery });
        let after = Slot { score: super::score::add(start.score, score), ..start };
        self.rscs[r].allowed.0[node] = Some(after);
        self.tell(r, node, before.map(|s| s.score), after.score, cause);
    }

    /// The same on every node.
    pub fn add_score_everywhere(&mut self, r: RscIx, score: i32, cause: &Cause) {
        for n in (0..self.nodes.len()).filter(|n| !self.nodes[*n].absent).collect::<Vec<_>>() {
            self.add_score(r, n, score, cause);
        }
        if score <= -super::score::INF {
            self.rscs[r].assigned = None;
        }
    }

    /// Remembers why a score changed.
    pub fn tell(&mut self, r: RscIx, node: NodeIx, before: Option<i32>, after: i32, cause: &Cause) {
        if before != Some(after) {
            self.tales.push(Tale { rsc: r, node, before, after, cause: cause.clone() });
        }
    }

    /// Remembers why a table changed.
    pub fn tell_table(&mut self, r: RscIx, before: &Table, cause: &Cause) {
        for n in 0..self.nodes.len() {
            if let Some(after) = self.rscs[r].allowed.get(n) {
                self.tell(r, n, before.get(n).map(|s| s.score), after.score, cause);
            }
        }
    }

    /// Prints the scores of a resource, and of what is in it.
    pub fn print_scores(&mut self, r: RscIx, by: &'static str) {
        if self.rscs[r].orphan {
            return;
        }
        let rows: Vec<Printed> = self.rscs[r]
            .allowed
            .slots()
            .map(|(n, s)| Printed {
                by,
                rsc: self.rscs[r].id.clone(),
                node: Some(self.nodes[n].name.clone()),
                score: s.score.clamp(-super::score::INF, super::score::INF),
            })
            .collect();
        self.printed.extend(rows);
        for c in self.rscs[r].children.clone() {
            self.print_scores(c, by);
        }
    }

    /// Remarks on the configuration.
    pub fn warn(&mut self, e: &Element, text: impl Into<String>) {
        self.warnings.push(Warning { line: e.line, element: e.name.clone(), text: text.into() });
    }
}
