//! Location constraints: which nodes a resource likes, and by how much.
//!
//! **Not modelled:** `rsc-pattern`.

use super::model::{Discovery, Kind, Location, NodeIx, Role, RscIx, Sched, Slot};
use super::score::{self, INF, add};
use super::sets::{About, resolved};
use super::story::Cause;
use super::xml::Element;
use std::collections::BTreeMap;

impl Sched {
    /// Reads `<rsc_location>`.
    pub(super) fn read_location(&mut self, e: &Element) {
        let root = self.cib.root.clone();
        let sets: Vec<&Element> = e.all("resource_set").filter_map(|s| resolved(&root, s)).collect();
        for set in &sets {
            for name in self.members(set) {
                match self.constrained(&name) {
                    Some(r) => self.locate(e, r, set.get("role"), set.get("score")),
                    None => {
                        return self
                            .warn(e, format!("there is no resource `{name}`, so the rest is ignored"));
                    }
                }
            }
        }
        if !sets.is_empty() {
            return;
        }
        if e.get("rsc-pattern").is_some() {
            self.warn(e, "`rsc-pattern` is not modelled, so the constraint is ignored");
        }
        let Some(name) = e.get("rsc") else { return };
        let tag = self.tags.get(name).cloned();
        match (self.constrained(name), tag) {
            (Some(r), _) => self.locate(e, r, None, None),
            (None, Some(members)) => {
                for m in members {
                    if let Some(r) = self.constrained(&m) {
                        self.locate(e, r, None, None);
                    }
                }
            }
            (None, None) => {
                self.warn(e, format!("there is no resource `{name}`, so the constraint is ignored"))
            }
        }
    }

    /// The resources of a set, tags resolved.
    pub(super) fn members(&self, set: &Element) -> Vec<String> {
        let mut out = Vec::new();
        for r in set.all("resource_ref") {
            match self.tags.get(r.id()) {
                Some(tagged) if self.constrained(r.id()).is_none() => out.extend(tagged.iter().cloned()),
                _ => out.push(r.id().to_owned()),
            }
        }
        out
    }

    fn locate(&mut self, e: &Element, r: RscIx, role: Option<&str>, score: Option<&str>) {
        let score = score.or_else(|| e.get("score"));
        let discovery = match e.get("resource-discovery").unwrap_or("always") {
            "never" => Discovery::Never,
            "exclusive" => Discovery::Exclusive,
            _ => Discovery::Always,
        };
        if let (Some(node), Some(score)) = (e.get("node"), score) {
            let Some(n) = self.find_node(node) else {
                return self.warn(e, format!("there is no node `{node}`, so the constraint is ignored"));
            };
            let role = match role.or_else(|| e.get("role")).map(Role::of) {
                Some(None) => {
                    return self.warn(e, "the role is not known, so the constraint counts for every role");
                }
                Some(Some(Role::Started | Role::Unpromoted)) | None => Role::Unknown,
                Some(Some(r)) => r,
            };
            let nodes = vec![(n, score::parse(score))];
            return self.new_location(Location { id: e.id().to_owned(), rsc: r, nodes, role, discovery });
        }
        let rules: Vec<Element> = e.all("rule").cloned().collect();
        if rules.is_empty() {
            self.warn(e, "there is neither a node with a score nor a rule, so the constraint is ignored");
        }
        for rule in rules {
            self.locate_by_rule(r, &rule, discovery);
        }
    }

    fn locate_by_rule(&mut self, r: RscIx, rule: &Element, discovery: Discovery) {
        let root = self.cib.root.clone();
        let Some(rule) = resolved(&root, rule) else { return };
        let role = match rule.get("role").map(Role::of) {
            None => Role::Unknown,
            Some(Some(Role::Unknown) | None) => {
                return self.warn(rule, "the role is not known, so the rule is ignored");
            }
            Some(Some(Role::Unpromoted)) => Role::Unknown,
            Some(Some(role)) => role,
        };
        let mut nodes = Vec::new();
        for n in (0..self.nodes.len()).filter(|n| !self.nodes[*n].absent).collect::<Vec<_>>() {
            let mut parameters = BTreeMap::new();
            self.parameters(r, Some(n), &mut parameters);
            let attributes = &self.nodes[n].attributes;
            let about = About {
                node: Some(attributes),
                parameters: Some(&parameters),
                meta: Some(&self.rscs[r].meta),
                ..About::default()
            };
            if !self.rule_passes(rule, about) {
                continue;
            }
            let score = match (rule.get("score"), rule.get("score-attribute")) {
                (Some(s), _) => score::parse(s),
                (None, Some(a)) => attributes.get(a).map_or(-INF, |v| self.health_or_score(v)),
                (None, None) => 0,
            };
            // With `or`, a node comes with the score that it starts with.
            let any = rule.get("boolean-op").is_some_and(|b| b.eq_ignore_ascii_case("or"));
            nodes.push((n, if any { add(self.nodes[n].base, score) } else { score }));
        }
        self.new_location(Location { id: rule.id().to_owned(), rsc: r, nodes, role, discovery });
    }

    /// A score that may be a word of health.
    pub(super) fn health_or_score(&self, text: &str) -> i32 {
        match text.to_ascii_lowercase().as_str() {
            "red" => self.options.health[0],
            "yellow" => self.options.health[1],
            "green" => self.options.health[2],
            _ => score::parse(text),
        }
    }

    /// The parameters of a resource, for a node if one is given.
    pub(super) fn parameters(&self, r: RscIx, node: Option<NodeIx>, into: &mut BTreeMap<String, String>) {
        let about = About { node: node.map(|n| &self.nodes[n].attributes), ..About::default() };
        let mut at = Some(r);
        while let Some(x) = at {
            self.pairs(&self.rscs[x].xml, "instance_attributes", about, None, false, into);
            at = self.rscs[x].parent;
        }
        if let Some(d) = &self.rsc_defaults {
            self.pairs(d, "instance_attributes", about, None, false, into);
        }
    }

    pub(super) fn new_location(&mut self, location: Location) {
        let r = location.rsc;
        if location.discovery == Discovery::Exclusive {
            self.rscs[r].exclusive_discovery = true;
        }
        self.rscs[r].locations.insert(0, self.locations.len());
        self.locations.push(location);
    }

    /// The health of nodes, as location constraints on everything.
    pub(super) fn apply_health(&mut self) {
        let strategy =
            self.options.set.get("node-health-strategy").map(|s| s.to_ascii_lowercase()).unwrap_or_default();
        if matches!(strategy.as_str(), "" | "none") {
            return;
        }
        let base = match strategy.as_str() {
            "progressive" => self.options.set.get("node-health-base").map_or(0, |v| score::parse(v)),
            _ => 0,
        };
        for n in 0..self.nodes.len() {
            let marks = self.nodes[n].attributes.iter().filter(|(k, _)| k.starts_with("#health"));
            let health = marks.fold(base, |sum, (_, v)| add(self.health_or_score(v), sum));
            if health == 0 {
                continue;
            }
            for r in self.top.clone() {
                let allowed =
                    super::sets::is_true(self.rscs[r].meta.get("allow-unhealthy-nodes").map(String::as_str));
                if health > 0 || !allowed {
                    let nodes = vec![(n, health)];
                    let (role, discovery) = (Role::Unknown, Discovery::Always);
                    self.new_location(Location { id: strategy.clone(), rsc: r, nodes, role, discovery });
                }
            }
        }
    }

    /// Applies all location constraints, the last one first.
    pub(super) fn apply_locations(&mut self) {
        for l in (0..self.locations.len()).rev() {
            let location = self.locations[l].clone();
            self.apply_location(location.rsc, &location, false);
        }
    }

    pub(super) fn apply_location(&mut self, r: RscIx, location: &Location, zero: bool) {
        let children = self.rscs[r].children.clone();
        match self.rscs[r].kind {
            Kind::Primitive => self.apply_here(r, location, zero),
            Kind::Group => {
                self.apply_here(r, location, zero);
                let together = self.rscs[r].colocated;
                for (k, c) in children.into_iter().enumerate() {
                    self.apply_location(c, location, zero || (together && k > 0));
                }
            }
            Kind::Clone => {
                self.apply_here(r, location, zero);
                for c in children {
                    self.apply_location(c, location, zero);
                }
            }
            Kind::Bundle => {
                self.apply_here(r, location, zero);
                self.locate_replicas(r, location, zero);
            }
        }
    }

    fn apply_here(&mut self, r: RscIx, location: &Location, zero: bool) {
        if location.role > Role::Unknown && location.role != self.rscs[r].next_role {
            return;
        }
        let cause = Cause::Location(location.id.clone());
        for &(n, score) in &location.nodes {
            let score = if zero { 0 } else { score };
            let before = self.rscs[r].allowed.get(n);
            let mut slot = match before {
                Some(s) => Slot { score: add(s.score, score), ..s },
                None => Slot { score, count: 0, discovery: self.nodes[n].discovery },
            };
            if slot.discovery < location.discovery {
                if location.discovery == Discovery::Exclusive {
                    self.rscs[r].exclusive_discovery = true;
                }
                slot.discovery = location.discovery;
            }
            self.rscs[r].allowed.0[n] = Some(slot);
            if score != 0 {
                self.tell(r, n, before.map(|s| s.score), slot.score, &cause);
            }
        }
    }

    /// Resources of a node that shut down cleanly wait for it (`shutdown-lock`).
    pub(super) fn apply_locks(&mut self) {
        if self.options.shutdown_lock {
            self.top.clone().into_iter().for_each(|r| self.apply_lock(r));
        }
    }

    fn apply_lock(&mut self, r: RscIx) {
        match self.rscs[r].kind {
            Kind::Clone => return,
            Kind::Group => return self.rscs[r].children.clone().into_iter().for_each(|m| self.apply_lock(m)),
            Kind::Bundle => return,
            Kind::Primitive if self.rscs[r].fence_device || self.is_remote_connection(r) => return,
            Kind::Primitive => {}
        }
        let running = self.rscs[r].running_on.clone();
        let mut since = self.now;
        match (self.rscs[r].locked_to, &running[..]) {
            (Some((n, _)), [_, ..]) => {
                self.forget_history(r, n);
                self.rscs[r].locked_to = None;
            }
            (Some((_, at)), []) => since = at,
            (None, [n]) if self.nodes[*n].shutdown && !self.nodes[*n].unclean => {
                let said = self.nodes[*n]
                    .attributes
                    .get("shutdown")
                    .and_then(|v| score::number(v))
                    .filter(|t| *t != 0);
                since = said.unwrap_or(self.now);
                self.rscs[r].locked_to = Some((*n, since));
            }
            _ => {}
        }
        let Some((home, _)) = self.rscs[r].locked_to else { return };
        if self.options.shutdown_lock_limit > 0 {
            self.recheck_by(since.saturating_add(self.options.shutdown_lock_limit).saturating_add(1));
        }
        for n in (0..self.nodes.len()).filter(|n| *n != home && !self.nodes[*n].absent).collect::<Vec<_>>() {
            self.add_score(r, n, -INF, &Cause::ShutdownLock);
        }
    }

    /// Plans that the history of a resource on a node is deleted.
    pub(super) fn forget_history(&mut self, r: RscIx, n: NodeIx) {
        let key = self.key_of(r, "lrm_delete");
        self.action(Some(r), &key, "lrm_delete", Some(n), false);
    }

    /// Stickiness: what runs on one node likes to stay.
    pub(super) fn apply_stickiness(&mut self, r: RscIx) {
        let children = self.rscs[r].children.clone();
        if !children.is_empty() {
            children.into_iter().for_each(|c| self.apply_stickiness(c));
            return;
        }
        let rsc = &self.rscs[r];
        let [n] = rsc.running_on[..] else { return };
        let known = self.options.symmetric || rsc.allowed.get(n).is_some();
        if rsc.managed && rsc.stickiness >= 1 && known {
            self.add_score(r, n, rsc.stickiness, &Cause::Stickiness);
        }
    }

    /// Bans a resource from a node where it has failed too often.
    pub(super) fn apply_threshold(&mut self, r: RscIx, n: NodeIx) {
        let children = self.rscs[r].children.clone();
        if !children.is_empty() {
            children.into_iter().for_each(|c| self.apply_threshold(c, n));
            return;
        }
        if !self.actions_of(r, "clear_failcount", Some(n), true).is_empty() {
            return;
        }
        if let Some(count) = self.failed_too_often(r, n) {
            let whole = if self.rscs[r].unique { r } else { self.outermost(r) };
            let threshold = self.rscs[r].migration_threshold;
            self.add_score(whole, n, -INF, &Cause::Failures { count, threshold });
        }
    }

    /// The failures of a resource on a node, if they have reached its threshold.
    pub(super) fn failed_too_often(&mut self, r: RscIx, n: NodeIx) -> Option<i32> {
        let threshold = self.rscs[r].migration_threshold;
        if threshold == 0 || self.rscs[r].failure_ignored {
            return None;
        }
        let count = self.fail_count_with_fillers(n, r);
        (count > 0 && count >= threshold).then_some(count)
    }

    /// Bans a resource with exclusive discovery from nodes without it.
    pub(super) fn apply_exclusive(&mut self, r: RscIx, n: NodeIx) {
        let exclusive = self.rscs[r].exclusive_discovery || self.rscs[self.outermost(r)].exclusive_discovery;
        if !exclusive {
            return;
        }
        for c in self.rscs[r].children.clone() {
            self.apply_exclusive(c, n);
        }
        let before = self.rscs[r].allowed.get(n);
        if let Some(slot) = self.rscs[r].allowed.slot(n)
            && slot.discovery != Discovery::Exclusive
        {
            slot.score = -INF;
            self.tell(r, n, before.map(|s| s.score), -INF, &Cause::Exclusive);
        }
    }
}
