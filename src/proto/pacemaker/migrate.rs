//! Live migration: the actions of a move without a stop, and what a migration that broke off has left behind.

use super::cib::{History, HistoryOp};
use super::history::{OpIx, newer};
use super::model::{NodeIx, Role, RscIx, Sched, Side, act, ord};

impl Sched {
    /// Whether a resource can move live from where it is.
    pub(super) fn can_migrate(&self, r: RscIx, now: NodeIx) -> bool {
        let rsc = &self.rscs[r];
        let well = |n: NodeIx| !self.nodes[n].unclean;
        let free = rsc.allow_migrate && rsc.managed && !rsc.failed && !rsc.start_pending;
        free && well(now) && rsc.assigned.is_some_and(|(n, _)| well(n))
    }

    /// Makes the actions of a migration.
    pub(super) fn make_migration(&mut self, r: RscIx, now: NodeIx) {
        let Some((then, _)) = self.rscs[r].assigned else { return };
        let start = self.start_action(r, then, true);
        let stop = self.stop_action(r, now, true);
        let partial = self.rscs[r].migrating_to.is_some();
        let to = if partial {
            None
        } else {
            let key = self.key_of(r, "migrate_to");
            Some(self.action(Some(r), &key, "migrate_to", Some(now), true))
        };
        let key = self.key_of(r, "migrate_from");
        let from = self.action(Some(r), &key, "migrate_from", Some(then), true);
        self.acts[start].flags |= act::MIGRATES | act::PSEUDO;
        self.acts[stop].flags |= act::MIGRATES;
        self.acts[from].flags |= act::MIGRATES;
        let needs = self.acts[start].needs;
        let ties = ord::OPTIONAL | ord::IMPLIES_FIRST_MIGRATABLE;
        if let Some(to) = to {
            self.acts[to].flags |= act::MIGRATES;
            self.acts[to].needs = needs;
            self.acts[to].migration = Some((now, then));
            self.order_tasks(r, "monitor", r, "migrate_to", ord::OPTIONAL);
            self.order_tasks(r, "migrate_to", r, "migrate_from", ties);
        } else {
            self.acts[from].needs = needs;
            self.order_tasks(r, "monitor", r, "migrate_from", ord::OPTIONAL);
        }
        self.order_tasks(r, "migrate_from", r, "stop", ties);
        self.order_tasks(r, "migrate_from", r, "start", ties | ord::PSEUDO_LEFT);
        self.acts[from].migration = Some((now, then));
    }

    /// Orderings between starts and stops hold for migrations, too.
    pub(super) fn order_migrations(&mut self, first: &Side, then: &Side) {
        let (Some(f), Some(t)) = (first.rsc, then.rsc) else { return };
        if f == t || self.is_inside(f, t) || self.is_inside(t, f) {
            return;
        }
        let (moves_first, moves_then) = (self.rscs[f].allow_migrate, self.rscs[t].allow_migrate);
        if !moves_first && !moves_then {
            return;
        }
        let tasks = (self.side_task(first), self.side_task(then));
        let tied = if moves_first { ord::OPTIONAL | ord::FIRST_NON_MIGRATABLE } else { ord::OPTIONAL };
        let partial = self.rscs[t].migrating_to.is_some();
        match (tasks.0.as_str(), tasks.1.as_str()) {
            ("start", "start") => {
                if moves_first && moves_then {
                    self.order_tasks(f, "migrate_from", t, "migrate_to", ord::OPTIONAL);
                }
                if moves_then {
                    self.order_tasks(f, "start", t, "migrate_to", tied);
                }
            }
            ("stop", "stop") if moves_then => {
                self.order_tasks(f, "stop", t, "migrate_to", tied);
                if partial {
                    self.order_tasks(f, "stop", t, "migrate_from", tied);
                }
            }
            ("promote", "start") if moves_then => {
                self.order_tasks(f, "promote", t, "migrate_to", ord::OPTIONAL)
            }
            ("demote", "stop") if moves_then => {
                self.order_tasks(f, "demote", t, "migrate_to", ord::OPTIONAL);
                if partial {
                    self.order_tasks(f, "demote", t, "migrate_from", ord::OPTIONAL);
                }
            }
            _ => {}
        }
    }

    fn history_on(&self, r: RscIx, node: &str) -> Option<&History> {
        let id = &self.rscs[r].id;
        let states = self.cib.nodes.iter().filter(|s| s.name == node);
        states.flat_map(|s| &s.histories).find(|h| h.id == *id)
    }

    /// Whether a node knows the result of any operation of a resource.
    fn knows_result(&self, r: RscIx, node: &str) -> bool {
        self.history_on(r, node).is_some_and(|h| h.ops.iter().any(|o| o.rc != 193))
    }

    /// A migration's operation on a node. With a result, only one that had it.
    fn migration_op(
        &self,
        r: RscIx,
        task: &str,
        node: &str,
        other: &str,
        rc: Option<i32>,
    ) -> Option<&HistoryOp> {
        let op = self.history_on(r, node)?.ops.iter().find(|o| {
            o.task == task
                && if task == "migrate_to" { o.target.as_deref() } else { o.source.as_deref() } == Some(other)
        })?;
        (rc.is_none() || (rc == Some(op.rc) && op.status == 0)).then_some(op)
    }

    fn moved_after(&self, r: RscIx, node: &str, op: &HistoryOp, same_node: bool) -> bool {
        self.history_on(r, node).is_some_and(|h| {
            h.ops.iter().any(|o| {
                let moves = matches!(o.task.as_str(), "start" | "stop" | "migrate_to" | "migrate_from");
                o != op && moves && newer(o, op, same_node).is_gt()
            })
        })
    }

    /// Whether a node's history of a resource says something newer than a migration.
    fn newer_state(&self, r: RscIx, node: &str, to: Option<&HistoryOp>, from: Option<&HistoryOp>) -> bool {
        let Some(mut op) = from.or(to) else { return false };
        let mut same_node = false;
        if op.target.as_deref() == Some(node) {
            if let Some(f) = from {
                (op, same_node) = (f, true);
            }
        } else if op.source.as_deref() == Some(node)
            && let Some(t) = to
        {
            (op, same_node) = (t, true);
        }
        let stopped = self.history_on(r, node).and_then(|h| h.ops.iter().find(|o| o.task == "monitor"));
        let stopped = stopped.filter(|o| o.rc == 7 && o.status == 0);
        self.moved_after(r, node, op, same_node) || stopped.is_some_and(|o| newer(o, op, same_node).is_gt())
    }

    fn ends(op: &HistoryOp) -> Option<(String, String)> {
        Some((op.source.clone()?, op.target.clone()?))
    }

    /// A `migrate_to` that went well.
    pub(super) fn migrated(&mut self, r: RscIx, n: NodeIx, ix: OpIx) {
        let cib = self.cib.clone();
        let op = &cib.nodes[ix.0].histories[ix.1].ops[ix.2];
        let Some((source, target)) = Sched::ends(op).filter(|(s, _)| *s == self.nodes[n].name) else {
            return;
        };
        let source_moved = self.moved_after(r, &source, op, true);
        let from = self.migration_op(r, "migrate_from", &target, &source, None).cloned();
        if source_moved && from.is_some() {
            return;
        }
        let target_moved = self.newer_state(r, &target, Some(op), from.as_ref());
        if source_moved && target_moved {
            return;
        }
        self.rscs[r].role = Role::Started;
        let target_name = target;
        let target = self.find_node(&target_name).filter(|t| self.nodes[*t].online);
        let reachable = target.is_some();
        let target = target.filter(|_| !target_moved);
        let source = self.find_node(&source).filter(|s| self.nodes[*s].online);
        match (from, target) {
            (Some(f), _) if f.rc == 0 && f.status == 0 => {
                self.rscs[r].role = Role::Stopped;
                self.rscs[r].dangling.insert(0, n);
            }
            (Some(f), Some(t)) if f.status != -1 => self.add_running(r, t, true),
            (Some(f), None) if f.status != -1 => self.migration_broke(r),
            // On a target whose history was cleaned, a probe must tell first.
            _ if reachable && !self.knows_result(r, &target_name) => {}
            (_, Some(t)) => {
                self.add_running(r, t, false);
                if source.is_some() {
                    self.rscs[r].migrating_to = Some(t);
                    self.rscs[r].migrating_from = source;
                }
            }
            _ if !source_moved => self.migration_broke(r),
            _ => {}
        }
    }

    fn migration_broke(&mut self, r: RscIx) {
        self.rscs[r].failed = true;
        self.rscs[r].needs_stop = true;
        self.rscs[r].allow_migrate = false;
    }

    /// A `migrate_to` that failed: the target may be active all the same.
    pub(super) fn migration_failed(&mut self, r: RscIx, n: NodeIx, ix: OpIx) {
        let cib = self.cib.clone();
        let op = &cib.nodes[ix.0].histories[ix.1].ops[ix.2];
        let Some((source, target)) = Sched::ends(op).filter(|(s, _)| *s == self.nodes[n].name) else {
            return;
        };
        self.rscs[r].role = Role::Started;
        let from = self.migration_op(r, "migrate_from", &target, &source, Some(0)).cloned();
        if self.knows_result(r, &target) && !self.newer_state(r, &target, Some(op), from.as_ref()) {
            if let Some(t) = self.find_node(&target).filter(|t| self.nodes[*t].online) {
                self.add_running(r, t, false);
            }
        } else if !self.moved_after(r, &source, op, true) {
            self.rscs[r].dangling.insert(0, n);
        }
    }

    /// A `migrate_from` that failed: the source may be active all the same.
    pub(super) fn migration_failed_here(&mut self, r: RscIx, n: NodeIx, ix: OpIx) {
        let cib = self.cib.clone();
        let op = &cib.nodes[ix.0].histories[ix.1].ops[ix.2];
        let Some((source, target)) = Sched::ends(op).filter(|(_, t)| *t == self.nodes[n].name) else {
            return;
        };
        self.rscs[r].role = Role::Started;
        let to = self.migration_op(r, "migrate_to", &source, &target, Some(0)).cloned();
        if self.knows_result(r, &source)
            && !self.newer_state(r, &source, to.as_ref(), Some(op))
            && let Some(s) = self.find_node(&source).filter(|s| self.nodes[*s].online)
        {
            self.add_running(r, s, true);
        }
    }
}
