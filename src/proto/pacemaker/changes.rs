//! Changes of the configuration since operations ran: other agents, other parameters, monitors that are gone.

use super::cib::{Digest, HistoryOp};
use super::digest::of_parameters;
use super::history::{activity, sorted};
use super::model::{Kind, NodeIx, RscIx, Sched, act, ord};
use super::time::milliseconds;
use std::collections::BTreeMap;

/// What the digest of an operation says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing has changed.
    Same,
    /// Something has changed that needs a restart.
    Restart,
    /// Something has changed.
    Changed,
    /// There is no digest.
    Unknown,
}

impl Sched {
    /// Looks at every history for changes.
    pub(super) fn find_changes(&mut self) {
        let cib = self.cib.clone();
        for n in 0..self.nodes.len() {
            if !self.nodes[n].maintenance && !self.available(n) {
                continue;
            }
            let name = self.nodes[n].name.clone();
            for (s, state) in cib.nodes.iter().enumerate().filter(|(_, s)| s.name == name) {
                for (h, history) in state.histories.iter().enumerate() {
                    if history.ops.is_empty() {
                        continue;
                    }
                    let mut owners = Vec::new();
                    for r in self.top.clone() {
                        self.owners(r, &history.id, &mut owners);
                    }
                    for r in owners.into_iter().rev() {
                        if self.rscs[r].kind == Kind::Primitive {
                            self.check_history(r, n, s, h);
                        }
                    }
                }
            }
        }
    }

    fn owners(&self, r: RscIx, name: &str, out: &mut Vec<RscIx>) {
        let rsc = &self.rscs[r];
        if rsc.id == name || rsc.history_name.as_deref() == Some(name) {
            out.push(r);
        }
        rsc.children.iter().for_each(|c| self.owners(*c, name, out));
    }

    fn check_history(&mut self, r: RscIx, n: NodeIx, s: usize, h: usize) {
        let cib = self.cib.clone();
        let history = &cib.nodes[s].histories[h];
        if self.rscs[r].orphan {
            let top = self.outermost(r);
            if !self.is_anonymous_clone(top) {
                self.clean_up(r, n, false);
            }
            return;
        }
        let active = self.rscs[r].running_on.contains(&n);
        let xml = self.rscs[r].xml.clone();
        let other = xml.get("type") != history.agent.as_deref()
            || xml.get("class") != history.class.as_deref()
            || xml.get("provider") != history.provider.as_deref();
        if other {
            if active {
                self.stop_action(r, n, false);
                self.rscs[r].start_pending = true;
            }
            self.clean_up(r, n, false);
        }
        if !active {
            return;
        }
        let ops = sorted(&history.ops);
        let plain: Vec<&HistoryOp> = ops.iter().map(|(_, o)| *o).collect();
        let (start, stop) = activity(&plain);
        if start < stop {
            return;
        }
        for (at, (o, op)) in (0_i64..).zip(&ops) {
            if at < start {
                continue;
            }
            if op.interval > 0 && (self.rscs[r].maintenance || self.nodes[n].maintenance) {
                self.plan_cancel(r, &op.task, op.interval, n);
            } else if op.interval > 0
                || matches!(op.task.as_str(), "monitor" | "start" | "promote" | "migrate_from")
            {
                if self.needs_address(r) {
                    self.deferred.push(super::model::Deferred {
                        rsc: r,
                        node: n,
                        op: (s, h, *o),
                        last_failure: false,
                    });
                    continue;
                }
                let expired = self.expired.contains(&(s, h, *o));
                if self.check_op(r, n, op, expired) && self.fail_count(n, r, true, None).0 != 0 {
                    self.clear_fail_count(r, n);
                }
            }
        }
    }

    /// Whether an operation is not as configured; plans what follows.
    pub(super) fn check_op(&mut self, r: RscIx, n: NodeIx, op: &HistoryOp, expired: bool) -> bool {
        if op.interval > 0 {
            let key = super::actions::key(&self.rscs[r].id, &op.task, op.interval);
            if self.op_config(r, &key, false).is_none() {
                if self.options.stop_orphan_actions {
                    self.plan_cancel(r, &op.task, op.interval, n);
                }
                return true;
            }
        }
        match self.digest_verdict(r, n, op, expired) {
            Verdict::Same => return false,
            Verdict::Restart => self.force_restart(r, op),
            Verdict::Changed | Verdict::Unknown if op.interval > 0 => {
                let key = super::actions::key(&self.rscs[r].id, &op.task, op.interval);
                let a = self.action(Some(r), &key, &op.task, Some(n), true);
                self.acts[a].flags |= act::RESCHEDULE;
            }
            Verdict::Changed | Verdict::Unknown if op.restart_digest.is_some() || expired => {
                self.plan_reload(r, n)
            }
            Verdict::Changed | Verdict::Unknown => self.force_restart(r, op),
        }
        true
    }

    fn force_restart(&mut self, r: RscIx, op: &HistoryOp) {
        let by_start = op.interval == 0 && matches!(op.task.as_str(), "monitor" | "migrate_from" | "promote");
        let task = if by_start { "start" } else { &op.task };
        let key = super::actions::key(&self.rscs[r].id, task, op.interval);
        let a = self.action(Some(r), &key, task, None, false);
        self.acts[a].reason = Some("resource definition change".into());
    }

    fn plan_reload(&mut self, r: RscIx, n: NodeIx) {
        let rsc = &self.rscs[r];
        if !rsc.managed || rsc.failed {
            return;
        }
        if rsc.start_pending {
            self.stop_action(r, n, false);
            return;
        }
        self.rscs[r].reload = true;
        let key = self.key_of(r, "reload-agent");
        let reload = self.action(Some(r), &key, "reload-agent", Some(n), false);
        self.give_reason(reload, "resource definition change");
        for task in ["stop", "demote"] {
            let then = self.by_task(r, task);
            self.order(super::actions::by_action(reload), then, ord::OPTIONAL | ord::THEN_CANCELS_FIRST);
        }
    }

    /// Compares the digest of an operation with the configuration.
    pub(super) fn digest_verdict(&self, r: RscIx, n: NodeIx, op: &HistoryOp, expired: bool) -> Verdict {
        if op.digest == Digest::Current && !expired {
            return Verdict::Same;
        }
        let key = super::actions::key(&self.rscs[r].id, &op.task, op.interval);
        let mut all = BTreeMap::new();
        self.parameters(r, Some(n), &mut all);
        let extra = self.op_config(r, &key, true).map(|o| o.parameters.clone()).unwrap_or_default();
        if let Some(a) = self.bundle_address(r) {
            all.insert("addr".into(), a);
        }
        for (k, v) in &extra {
            all.entry(k.clone()).or_insert_with(|| v.clone());
        }
        all.retain(|k, _| {
            let hidden =
                ["id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip"];
            !k.starts_with("CRM_meta_") && !hidden.contains(&k.as_str())
        });
        if op.interval > 0 {
            let meta = self.op_meta(r, &key, &op.task, op.interval);
            let timeout = meta.get("timeout").and_then(|t| milliseconds(t)).unwrap_or(20_000);
            all.insert("CRM_meta_timeout".into(), timeout.to_string());
        }
        let mut restart = all.clone();
        if let Some(list) = &op.restart_list {
            let names: Vec<&str> = list.split_whitespace().collect();
            restart.retain(|k, _| names.contains(&k.as_str()));
        }
        let wanted = op.restart_digest.as_deref();
        if expired || wanted.is_some_and(|d| d != of_parameters(&restart)) {
            return Verdict::Restart;
        }
        match &op.digest {
            Digest::Current => Verdict::Same,
            Digest::Missing => Verdict::Unknown,
            Digest::Of(d) if *d == of_parameters(&all) => Verdict::Same,
            Digest::Of(_) if op.interval == 0 && !extra.is_empty() => Verdict::Restart,
            Digest::Of(_) => Verdict::Changed,
        }
    }
}
