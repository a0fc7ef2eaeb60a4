//! Monitors that recur, and probes of what is not known.

use super::actions::{by_action, key};
use super::model::{Discovery, Kind, NodeIx, OpConfig, Role, RscIx, Sched, act, ord};

impl Sched {
    /// Makes the recurring operations of a primitive.
    pub(super) fn make_recurring(&mut self, r: RscIx) {
        let rsc = &self.rscs[r];
        if rsc.blocked || rsc.maintenance {
            return;
        }
        let node = rsc.assigned.map(|(n, _)| n);
        let wanted = rsc.next_role != Role::Stopped || !rsc.managed;
        let start = match node {
            Some(n) if !self.nodes[n].maintenance && wanted => Some(self.start_action(r, n, true)),
            _ => None,
        };
        for op in self.rscs[r].ops.clone() {
            let cannot = matches!(
                op.name.as_str(),
                "stop" | "start" | "demote" | "promote" | "reload-agent" | "migrate_to" | "migrate_from"
            );
            if op.interval == 0 || op.id.is_empty() || cannot || self.is_duplicate(r, &op) {
                continue;
            }
            let op_key = key(&self.rscs[r].id, &op.name, op.interval);
            if self.op_config(r, &op_key, false).is_none() {
                continue;
            }
            let role = op.role.as_deref().and_then(Role::of).unwrap_or_default();
            if let Some(start) = start {
                self.recur_active(r, start, node, &op, &op_key, role);
            }
            self.recur_inactive(r, node, &op, &op_key, role);
        }
    }

    /// Whether a resource has two operations of one name and interval: none of them then recurs.
    fn is_duplicate(&self, r: RscIx, op: &OpConfig) -> bool {
        let same = |o: &&OpConfig| o.name == op.name && o.interval == op.interval && !o.id.is_empty();
        self.rscs[r].ops.iter().filter(same).count() > 1
    }

    fn recur_active(
        &mut self,
        r: RscIx,
        start: usize,
        node: Option<NodeIx>,
        op: &OpConfig,
        op_key: &str,
        role: Role,
    ) {
        if role == Role::Stopped {
            return;
        }
        let known = self.find_exact(r, op_key, node);
        let steady = self.flags_of(start, None) & act::OPTIONAL != 0;
        let optional =
            steady && !known.is_empty() && !known.iter().any(|a| self.acts[*a].is(act::RESCHEDULE));
        let next = self.rscs[r].next_role;
        if (role != Role::Unknown && next != role) || (role == Role::Unknown && next == Role::Promoted) {
            if optional {
                let cancel = self.cancel_action(r, &op.name, op.interval, node);
                let after = match (self.rscs[r].role, next) {
                    (Role::Unpromoted | Role::Started, Role::Promoted) => Some("promote"),
                    (Role::Unpromoted | Role::Started, Role::Stopped) => Some("stop"),
                    (Role::Promoted, _) => Some("demote"),
                    _ => None,
                };
                if let Some(task) = after {
                    let then = self.by_task(r, task);
                    self.order(by_action(cancel), then, ord::RUNNABLE_LEFT);
                }
            }
            return;
        }
        let monitor = self.action(Some(r), op_key, &op.name, node, optional);
        let gone = node.is_none_or(|n| !self.nodes[n].online || self.nodes[n].unclean);
        if !self.acts[start].is(act::RUNNABLE) || gone {
            self.acts[monitor].flags &= !act::RUNNABLE;
        }
        if next == Role::Promoted {
            self.acts[monitor].expected = Some(8);
        }
        if node.is_none() || self.rscs[r].managed {
            for task in ["start", "reload-agent"] {
                let first = self.by_task(r, task);
                let then = super::model::Side { rsc: None, ..by_action(monitor) };
                self.order(first, then, ord::IMPLIES_THEN | ord::RUNNABLE_LEFT);
            }
            let task = match (next, self.rscs[r].role) {
                (Role::Promoted, _) => Some("promote"),
                (_, Role::Promoted) => Some("demote"),
                _ => None,
            };
            if let Some(task) = task {
                let first = self.by_task(r, task);
                self.order(first, by_action(monitor), ord::OPTIONAL | ord::RUNNABLE_LEFT);
            }
        }
    }

    fn recur_inactive(&mut self, r: RscIx, node: Option<NodeIx>, op: &OpConfig, op_key: &str, role: Role) {
        if role != Role::Stopped || !self.rscs[r].unique {
            return;
        }
        for n in 0..self.nodes.len() {
            if Some(n) == node {
                if !self.find_exact(r, op_key, node).is_empty() {
                    let cancel = self.cancel_action(r, &op.name, op.interval, node);
                    if matches!(self.rscs[r].next_role, Role::Started | Role::Unpromoted) {
                        let then = self.by_task(r, "start");
                        self.order(by_action(cancel), then, ord::RUNNABLE_LEFT);
                    }
                }
                continue;
            }
            let optional = !self.find_exact(r, op_key, Some(n)).is_empty();
            let monitor = self.action(Some(r), op_key, &op.name, Some(n), optional);
            self.acts[monitor].expected = Some(7);
            if self.rscs[r].managed {
                for probe in self.actions_of(r, "monitor", Some(n), false) {
                    self.link(probe, monitor, ord::RUNNABLE_LEFT);
                }
            }
            for stop in self.actions_of(r, "stop", Some(n), true) {
                let both = !self.acts[stop].is(act::OPTIONAL) && !self.acts[monitor].is(act::OPTIONAL);
                if both && !self.rscs[r].managed {
                    self.acts[monitor].flags |= act::OPTIONAL;
                }
                if !self.acts[stop].is(act::RUNNABLE) {
                    self.acts[monitor].flags &= !act::RUNNABLE;
                }
                if self.rscs[r].managed {
                    self.order(by_action(stop), by_action(monitor), ord::IMPLIES_THEN | ord::RUNNABLE_LEFT);
                }
            }
            if !self.nodes[n].online || self.nodes[n].unclean {
                self.acts[monitor].flags &= !act::RUNNABLE;
            }
        }
    }

    /// Cancels a recurring operation.
    pub(super) fn cancel_action(
        &mut self,
        r: RscIx,
        task: &str,
        interval: u64,
        node: Option<NodeIx>,
    ) -> usize {
        let op_key = key(&self.rscs[r].id, task, interval);
        let a = self.action(Some(r), &op_key, "cancel", node, false);
        let action = &mut self.acts[a];
        action.task = "cancel".into();
        action.cancels = Some(task.to_owned());
        action.interval = interval;
        a
    }

    /// Cancels a recurring operation that should not be there.
    pub(super) fn plan_cancel(&mut self, r: RscIx, task: &str, interval: u64, node: NodeIx) {
        let cancel = self.cancel_action(r, task, interval, Some(node));
        let stop = self.by_task(r, "stop");
        self.order(stop, by_action(cancel), ord::OPTIONAL);
    }

    /// Plans probes on every node.
    pub(super) fn plan_probes(&mut self) {
        for n in 0..self.nodes.len() {
            let d = &self.nodes[n];
            if !d.online {
                if self.is_failed_remote(n) {
                    self.fence_node(n, "the connection is unrecoverable");
                }
                continue;
            }
            if d.unclean || d.undiscovered {
                continue;
            }
            if d.attributes.get("probe_complete").is_some_and(|v| !super::sets::is_true(Some(v))) {
                let name = format!("probe_complete-{}", d.name);
                self.action(None, &name, "probe_complete", Some(n), false);
                continue;
            }
            for r in self.top.clone() {
                self.probe(r, n);
            }
        }
    }

    pub(super) fn probe(&mut self, r: RscIx, n: NodeIx) -> bool {
        match self.rscs[r].kind {
            Kind::Clone => return self.probe_clone(r, n),
            Kind::Bundle => return self.probe_bundle(r, n),
            _ => {}
        }
        if self.nodes[n].remote {
            let rsc = &self.rscs[r];
            let holds_guest = self.guest_of(n).is_some() && self.guest_in(r).is_some();
            if rsc.xml.get("class") == Some("stonith") || holds_guest || rsc.connection {
                return false;
            }
        }
        let children = self.rscs[r].children.clone();
        if !children.is_empty() {
            return children.into_iter().fold(false, |any, c| self.probe(c, n) | any);
        }
        let rsc = &self.rscs[r];
        if rsc.kind == Kind::Group
            || (rsc.container.is_some() && !rsc.connection)
            || rsc.orphan
            || rsc.known_on[n]
        {
            return false;
        }
        let mut top = self.outermost(r);
        let slot = rsc.allowed.get(n);
        if (rsc.exclusive_discovery || self.rscs[top].exclusive_discovery)
            && slot.is_none_or(|s| s.discovery != Discovery::Exclusive)
        {
            return false;
        }
        if slot.map_or(self.nodes[n].discovery, |s| s.discovery) == Discovery::Never
            || self.guest_is_down(n, top)
        {
            return false;
        }
        let probe = self.action(Some(r), &self.key_of(r, "monitor"), "monitor", Some(n), false);
        self.acts[probe].flags &= !act::OPTIONAL;
        if !self.rscs[r].running_on.contains(&n) {
            self.acts[probe].expected = Some(7);
        } else if self.rscs[r].role == Role::Promoted {
            self.acts[probe].expected = Some(8);
        }
        if self.rscs[top].kind != Kind::Clone {
            top = r;
        }
        let mut kind = ord::OPTIONAL;
        if !self.acts[probe].is(act::RUNNABLE) && self.rscs[r].running_on.is_empty() {
            kind |= ord::RUNNABLE_LEFT;
        }
        let start = self.by_task(top, "start");
        self.order(by_action(probe), start, kind);
        let reload =
            super::model::Side { rsc: Some(top), key: Some(self.key_of(r, "reload-agent")), action: None };
        self.order(by_action(probe), reload, ord::OPTIONAL);
        true
    }

    fn knows(&self, r: RscIx, n: NodeIx) -> bool {
        let rsc = &self.rscs[r];
        if rsc.children.is_empty() { rsc.known_on[n] } else { rsc.children.iter().any(|c| self.knows(*c, n)) }
    }

    fn probe_clone(&mut self, c: RscIx, n: NodeIx) -> bool {
        self.sort_by_number(c);
        if self.rscs[c].exclusive_discovery {
            let slot = self.rscs[c].allowed.get(n);
            if slot.is_some_and(|s| s.discovery != Discovery::Exclusive) {
                self.rscs[c].allowed.0[n] = None;
                return false;
            }
        }
        let children = self.rscs[c].children.clone();
        if self.rscs[c].unique {
            return children.into_iter().fold(false, |any, i| self.probe(i, n) | any);
        }
        let known = children.iter().copied().find(|i| self.knows(*i, n));
        let placed = || children.iter().copied().find(|i| self.place(*i, false).is_some_and(|(m, _)| m == n));
        match known.or_else(placed).or_else(|| children.first().copied()) {
            Some(i) => self.probe(i, n),
            None => false,
        }
    }
}
