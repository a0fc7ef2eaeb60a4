//! Actions: made once for each key and node, found again, and linked to each other.

use super::history::split_key;
use super::model::{ActIx, Action, Link, Needs, NodeIx, QuorumPolicy, Role, RscIx, Sched, Side, act, ord};

/// The key of an operation.
pub fn key(rsc: &str, task: &str, interval: u64) -> String {
    format!("{rsc}_{task}_{interval}")
}

impl Sched {
    /// The key of a resource's operation that does not recur.
    pub(super) fn key_of(&self, r: RscIx, task: &str) -> String {
        key(&self.rscs[r].id, task, 0)
    }

    /// The actions of a key, oldest first. With a node, only those there; an action without a node is given it.
    pub(super) fn find_actions(&mut self, r: Option<RscIx>, key: &str, node: Option<NodeIx>) -> Vec<ActIx> {
        let list = match r {
            Some(r) => self.rscs[r].actions.clone(),
            None => (0..self.acts.len()).collect(),
        };
        let mut found = Vec::new();
        for a in list {
            let action = &mut self.acts[a];
            if !action.key.eq_ignore_ascii_case(key) {
                continue;
            }
            if let (Some(_), None) = (node, action.node) {
                action.node = node;
            }
            if node.is_none() || action.node == node {
                found.push(a);
            }
        }
        found
    }

    /// The actions of a key on a node, oldest first; nothing is changed.
    pub(super) fn find_exact(&self, r: RscIx, key: &str, node: Option<NodeIx>) -> Vec<ActIx> {
        let Some(node) = node else { return Vec::new() };
        let is =
            |a: &&ActIx| self.acts[**a].node == Some(node) && self.acts[**a].key.eq_ignore_ascii_case(key);
        self.rscs[r].actions.iter().filter(is).copied().collect()
    }

    /// The actions of a task, oldest first. `exact`: only those that are on the node already.
    pub(super) fn actions_of(
        &mut self,
        r: RscIx,
        task: &str,
        node: Option<NodeIx>,
        exact: bool,
    ) -> Vec<ActIx> {
        let key = self.key_of(r, task);
        if exact { self.find_exact(r, &key, node) } else { self.find_actions(Some(r), &key, node) }
    }

    /// The newest action of a key or a task of a resource, on a node if one is given.
    pub(super) fn newest(
        &self,
        r: RscIx,
        key: Option<&str>,
        task: Option<&str>,
        node: Option<NodeIx>,
    ) -> Option<ActIx> {
        let fits = |a: &&ActIx| {
            let a = &self.acts[**a];
            key.is_none_or(|k| a.key.eq_ignore_ascii_case(k))
                && task.is_none_or(|t| a.task.eq_ignore_ascii_case(t))
                && node.is_none_or(|n| a.node == Some(n))
        };
        self.rscs[r].actions.iter().rev().find(fits).copied()
    }

    /// The action of a key on a node: the one that exists, or a new one.
    pub(super) fn action(
        &mut self,
        r: Option<RscIx>,
        key: &str,
        task: &str,
        node: Option<NodeIx>,
        optional: bool,
    ) -> ActIx {
        let found = self.find_actions(r, key, node).first().copied();
        let a = found.unwrap_or_else(|| self.new_action(r, key, task, node, optional));
        let action = &self.acts[a];
        let left_alone = action.node.is_some()
            && !action.is(act::PSEUDO)
            && action.interval == 0
            && r.is_some_and(|r| !self.rscs[r].managed);
        if left_alone {
            self.acts[a].flags |= act::OPTIONAL;
        } else if !optional {
            self.acts[a].flags &= !act::OPTIONAL;
        }
        if let Some(r) = r {
            self.update_runnable(a, r);
        }
        a
    }

    fn new_action(
        &mut self,
        r: Option<RscIx>,
        key: &str,
        task: &str,
        node: Option<NodeIx>,
        optional: bool,
    ) -> ActIx {
        let mut flags = act::RUNNABLE;
        if optional {
            flags |= act::OPTIONAL;
        }
        if task == "lrm_delete" {
            flags |= act::BY_DC;
        }
        let needs = match r.map(|r| &self.rscs[r]) {
            Some(rsc) if task == "start" || task == "promote" => {
                match (rsc.needs_fencing, rsc.needs_quorum) {
                    (true, _) => Needs::Fencing,
                    (false, true) => Needs::Quorum,
                    _ => Needs::Nothing,
                }
            }
            _ => Needs::Nothing,
        };
        let a = self.acts.len();
        let interval = if r.is_some() { split_key(key).1 } else { 0 };
        self.acts.push(Action {
            rsc: r,
            task: task.to_owned(),
            key: key.to_owned(),
            node,
            flags,
            interval,
            needs,
            ..Action::default()
        });
        match r {
            Some(r) => self.rscs[r].actions.push(a),
            None => {
                self.singles.insert(key.to_owned(), a);
            }
        }
        a
    }

    /// What `no-quorum-policy` means for a resource now.
    fn quorum_policy(&mut self, r: RscIx) -> QuorumPolicy {
        if self.options.quorum {
            return QuorumPolicy::Ignore;
        }
        if self.options.no_quorum != QuorumPolicy::Demote {
            return self.options.no_quorum;
        }
        if self.rscs[r].role < Role::Unpromoted {
            return QuorumPolicy::Stop;
        }
        if self.rscs[r].next_role > Role::Unpromoted {
            self.rscs[r].next_role = Role::Unpromoted;
        }
        QuorumPolicy::Ignore
    }

    fn update_runnable(&mut self, a: ActIx, r: RscIx) {
        let action = &self.acts[a];
        if action.is(act::PSEUDO) {
            return;
        }
        let by_dc = action.is(act::BY_DC);
        let Some(n) = action.node else {
            self.acts[a].flags &= !act::RUNNABLE;
            return;
        };
        let guest = self.guest_of(n).is_some();
        if !by_dc && !self.nodes[n].online && (!guest || self.nodes[n].reset) {
            let stop = action.task == "stop";
            self.acts[a].flags &= !act::RUNNABLE;
            if self.rscs[r].managed && stop && !self.nodes[n].unclean {
                self.fence_node(n, "stop is unrunnable");
            }
        } else if !by_dc && self.nodes[n].pending {
            self.acts[a].flags &= !act::RUNNABLE;
        } else if action.needs == Needs::Nothing {
            self.acts[a].reason = None;
            if guest && !self.can_fence(n) {
                self.acts[a].flags &= !act::RUNNABLE;
            } else {
                self.acts[a].flags |= act::RUNNABLE;
            }
        } else {
            match self.quorum_policy(r) {
                QuorumPolicy::Stop => self.block(a, "no quorum"),
                QuorumPolicy::Freeze => {
                    if !self.is_active(r, true) || self.rscs[r].next_role > self.rscs[r].role {
                        self.block(a, "quorum freeze");
                    }
                }
                _ => self.acts[a].flags |= act::RUNNABLE,
            }
        }
    }

    fn block(&mut self, a: ActIx, reason: &str) {
        self.acts[a].flags &= !act::RUNNABLE;
        self.acts[a].reason = Some(reason.to_owned());
    }

    /// Gives a reason to an action that has none.
    pub(super) fn give_reason(&mut self, a: ActIx, reason: &str) {
        if self.acts[a].reason.is_none() {
            self.acts[a].reason = Some(reason.to_owned());
        }
    }

    /// An action that no agent carries out, without a resource.
    pub(super) fn pseudo(&mut self, name: &str) -> ActIx {
        if let Some(a) = self.singles.get(name) {
            return *a;
        }
        let a = self.action(None, name, name, None, true);
        self.acts[a].flags |= act::PSEUDO | act::RUNNABLE;
        a
    }

    /// An action that no agent carries out, of a resource.
    pub(super) fn pseudo_of(&mut self, r: RscIx, task: &str, optional: bool, runnable: bool) -> ActIx {
        let key = self.key_of(r, task);
        let a = self.action(Some(r), &key, task, None, optional);
        self.acts[a].flags |= act::PSEUDO;
        if runnable {
            self.acts[a].flags |= act::RUNNABLE;
        }
        a
    }

    fn plain(&mut self, r: RscIx, task: &str, n: NodeIx, optional: bool) -> ActIx {
        let key = self.key_of(r, task);
        self.action(Some(r), &key, task, Some(n), optional)
    }

    pub(super) fn start_action(&mut self, r: RscIx, n: NodeIx, optional: bool) -> ActIx {
        self.plain(r, "start", n, optional)
    }

    pub(super) fn stop_action(&mut self, r: RscIx, n: NodeIx, optional: bool) -> ActIx {
        self.plain(r, "stop", n, optional)
    }

    pub(super) fn promote_action(&mut self, r: RscIx, n: NodeIx, optional: bool) -> ActIx {
        self.plain(r, "promote", n, optional)
    }

    pub(super) fn demote_action(&mut self, r: RscIx, n: NodeIx, optional: bool) -> ActIx {
        self.plain(r, "demote", n, optional)
    }

    pub(super) fn delete_action(&mut self, r: RscIx, n: NodeIx, optional: bool) -> ActIx {
        self.plain(r, "delete", n, optional)
    }

    /// Plans that the fail count of a resource on a node is cleared.
    pub(super) fn clear_fail_count(&mut self, r: RscIx, n: NodeIx) -> ActIx {
        self.plain(r, "clear_failcount", n, false)
    }

    /// Fencing of a node.
    pub(super) fn fence_action(&mut self, n: NodeIx, optional: bool, reason: Option<&str>) -> ActIx {
        let how = self.options.fence_action.clone();
        self.fence_by(n, how, optional, reason)
    }

    pub(super) fn fence_by(&mut self, n: NodeIx, how: String, optional: bool, reason: Option<&str>) -> ActIx {
        let key = format!("stonith-{}-{how}", self.nodes[n].name);
        let a = match self.singles.get(&key) {
            Some(a) => *a,
            None => {
                let a = self.action(None, &key, "stonith", Some(n), true);
                self.acts[a].fencing = Some(how);
                a
            }
        };
        if !optional && self.can_fence(n) {
            self.acts[a].flags &= !act::OPTIONAL;
        }
        if let Some(reason) = reason {
            self.give_reason(a, reason);
        }
        a
    }

    /// Orders one action before another. False if that was known.
    pub(super) fn link(&mut self, first: ActIx, then: ActIx, kind: u32) -> bool {
        if kind == ord::NONE || self.acts[first].after.iter().any(|l| l.other == then && l.kind & kind != 0) {
            return false;
        }
        self.acts[first].after.push(Link { other: then, kind, dumped: false });
        self.acts[then].before.push(Link { other: first, kind, dumped: false });
        true
    }

    /// Remembers an ordering between actions that may be made later.
    pub(super) fn order(&mut self, first: Side, then: Side, kind: u32) {
        let fill = |s: &Sched, side: Side| Side {
            rsc: side.rsc.or_else(|| side.action.and_then(|a| s.acts[a].rsc)),
            key: side.key.or_else(|| side.action.map(|a| s.acts[a].key.clone())),
            action: side.action,
        };
        let (first, then) = (fill(self, first), fill(self, then));
        let moves = |s: &Sched, r: Option<RscIx>| r.is_some_and(|r| s.rscs[r].allow_migrate);
        if moves(self, first.rsc) || moves(self, then.rsc) {
            self.orders.push(super::model::Order { first: first.clone(), then: then.clone(), kind });
            self.order_migrations(&first, &then);
        } else {
            self.orders.push(super::model::Order { first, then, kind });
        }
    }

    /// Remembers an ordering between tasks of two resources.
    pub(super) fn order_tasks(&mut self, first: RscIx, task: &str, then: RscIx, then_task: &str, kind: u32) {
        let (a, b) = (self.by_task(first, task), self.by_task(then, then_task));
        self.order(a, b, kind);
    }

    /// The side of an ordering that is a task of a resource.
    pub(super) fn by_task(&self, r: RscIx, task: &str) -> Side {
        Side { rsc: Some(r), key: Some(self.key_of(r, task)), action: None }
    }
}

/// The side of an ordering that is one action.
pub fn by_action(a: ActIx) -> Side {
    Side { action: Some(a), ..Side::default() }
}
