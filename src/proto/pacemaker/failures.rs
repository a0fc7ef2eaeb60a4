//! Failures: what `on-fail` makes of them, how they are counted, and when they are forgotten.

use super::cib::HistoryOp;
use super::history::{OnFail, base_name, split_key};
use super::model::{NodeIx, OpConfig, Role, RscIx, Sched};
use super::score;

impl Sched {
    /// The configured operation of a key.
    pub(super) fn op_config(&self, r: RscIx, key: &str, disabled_too: bool) -> Option<&OpConfig> {
        let rsc = &self.rscs[r];
        let find = |key: &str| {
            rsc.ops.iter().filter(|o| disabled_too || o.enabled).find(|o| {
                let is = |id: &str| key.eq_ignore_ascii_case(&format!("{id}_{}_{}", o.name, o.interval));
                is(&rsc.id) || rsc.history_name.as_deref().is_some_and(is)
            })
        };
        find(key).or_else(|| {
            if key.contains("migrate_to") || key.contains("migrate_from") {
                find(&format!("{}_migrate_0", rsc.id))
            } else if key.contains("_notify_") {
                find(&format!("{}_notify_0", rsc.id))
            } else {
                None
            }
        })
    }

    /// What is said of an operation, by its configuration and by `op_defaults`.
    pub fn op_meta(
        &self,
        r: RscIx,
        key: &str,
        task: &str,
        every: u64,
    ) -> std::collections::BTreeMap<String, String> {
        let xml = &self.rscs[r].xml;
        let agent = [xml.get("class"), xml.get("provider"), xml.get("type")];
        let about =
            super::sets::About { agent: Some(agent), operation: Some((task, every)), ..Default::default() };
        let mut meta = std::collections::BTreeMap::new();
        if let Some(d) = &self.op_defaults {
            self.pairs(d, "meta_attributes", about, None, false, &mut meta);
        }
        if task == "monitor" && every == 0 {
            let monitors =
                self.rscs[r].ops.iter().filter(|o| o.enabled && o.interval > 0 && o.name == "monitor");
            if let Some(t) = monitors.min_by_key(|o| o.interval).and_then(|o| o.meta.get("timeout")) {
                meta.insert("timeout".into(), t.clone());
            }
        }
        if let Some(o) = self.op_config(r, key, true) {
            for (k, v) in &o.meta {
                meta.insert(k.clone(), v.clone());
            }
        }
        meta.remove("id");
        meta
    }

    /// What a failure of an operation leads to, and the role after it.
    pub(super) fn on_fail(&self, r: RscIx, key: &str, task: &str) -> (OnFail, Role) {
        let every = split_key(key).1;
        let meta = self.op_meta(r, key, task, every);
        let mut value = meta.get("on-fail").map(|v| v.to_ascii_lowercase());
        let promoted_monitor = |o: &OpConfig| {
            o.name == "monitor"
                && o.interval > 0
                && o.role.as_deref().and_then(Role::of) == Some(Role::Promoted)
        };
        if task == "stop" && value.as_deref().is_some_and(|v| matches!(v, "standby" | "demote" | "stop")) {
            value = None;
        } else if task == "demote" && value.is_none() {
            let of_monitor = |o: &OpConfig| o.meta.get("on-fail").map(|v| v.to_ascii_lowercase());
            value = self.rscs[r]
                .ops
                .iter()
                .filter(|o| o.enabled && promoted_monitor(o))
                .filter_map(of_monitor)
                .find(|v| v != "demote");
        } else if value.as_deref() == Some("demote") {
            let fits =
                self.op_config(r, key, true).is_some_and(|o| o.name == "promote" || promoted_monitor(o));
            if !fits {
                value = None;
            }
        }
        let default = match task {
            "stop" if self.options.fencing => OnFail::Fence,
            "stop" => OnFail::Block,
            _ => OnFail::Restart,
        };
        let mut role = None;
        let on_fail = match value.as_deref() {
            Some("block") => OnFail::Block,
            Some("fence") if self.options.fencing => OnFail::Fence,
            Some("fence" | "stop") => {
                role = Some(Role::Stopped);
                OnFail::Stop
            }
            Some("standby") => OnFail::Standby,
            Some("ignore" | "nothing") => OnFail::Ignore,
            Some("migrate") => OnFail::Migrate,
            Some("restart") => OnFail::Restart,
            Some("demote") => OnFail::Demote,
            Some("restart-container") if self.rscs[r].container.is_some() => OnFail::RestartContainer,
            _ if self.rscs[r].container.is_some() => OnFail::RestartContainer,
            _ => default,
        };
        // A failure that drops the connection to a node has the node fenced; a probe or a start has no connection yet.
        let said = value.as_deref().is_some_and(|v| {
            let words =
                ["block", "fence", "stop", "standby", "ignore", "nothing", "migrate", "restart", "demote"];
            words.contains(&v)
        });
        let drops = !(task == "monitor" && every == 0) && task != "start";
        let remote = self.rscs[r].container.is_none() && self.is_remote_connection(r);
        let managed = self.rscs[r].managed;
        let on_fail = match (remote && drops && (!said || !managed), managed) {
            (true, false) => {
                role = Some(Role::Stopped);
                OnFail::Stop
            }
            (true, true) => {
                role = role.or((self.rscs[r].reconnect > 0).then_some(Role::Stopped));
                OnFail::ResetRemote
            }
            _ => on_fail,
        };
        let after = meta.get("role_after_failure").and_then(|v| Role::of(v));
        let usual = if task == "promote" { Role::Unpromoted } else { Role::Started };
        (on_fail, role.or(after).unwrap_or(usual))
    }

    /// Failures of a resource on a node, and when the last one was. With `effective`, failures that have expired do not count.
    pub(super) fn fail_count(
        &mut self,
        n: NodeIx,
        r: RscIx,
        effective: bool,
        op: Option<&HistoryOp>,
    ) -> (i32, i64) {
        let rsc = &self.rscs[r];
        let name = rsc.history_name.as_deref().unwrap_or(&rsc.id);
        let name = if rsc.unique { name } else { base_name(name) }.to_owned();
        let unique = rsc.unique;
        let version = self.cib.root.get("crm_feature_set").unwrap_or_default();
        let numbers: Vec<i64> = version.split('.').map(|p| score::number(p).unwrap_or(0)).collect();
        let legacy = numbers < vec![3, 0, 13];
        let fits = |key: &str, prefix: &str| {
            let Some(rest) = key.strip_prefix(prefix).and_then(|k| k.strip_prefix(&name)) else {
                return false;
            };
            let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
            let rest = match rest.strip_prefix(':') {
                Some(number) if !unique => {
                    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
                    if end == 0 {
                        return false;
                    }
                    &number[end..]
                }
                _ => rest,
            };
            if legacy {
                return rest.is_empty();
            }
            rest.strip_prefix('#')
                .and_then(|op| op.rsplit_once('_'))
                .is_some_and(|(task, every)| !task.is_empty() && !every.is_empty() && digits(every))
        };
        let (mut count, mut last) = (0, 0);
        for (k, v) in &self.nodes[n].attributes {
            if fits(k, "fail-count-") {
                count = score::add(count, score::parse(v));
            } else if fits(k, "last-failure-") {
                last = last.max(score::number(v).unwrap_or(0));
            }
        }
        if count > 0 && self.rscs[r].failure_timeout > 0 && self.failure_blocks(n, r, op) {
            self.rscs[r].failure_timeout = 0;
        }
        let timeout = self.rscs[r].failure_timeout;
        if effective && count > 0 && last > 0 && timeout > 0 && self.now > last.saturating_add(timeout) {
            count = 0;
        }
        (count, if count > 0 || !effective { last } else { 0 })
    }

    /// Failures that count toward a ban: those of what runs in it, too.
    pub(super) fn fail_count_with_fillers(&mut self, n: NodeIx, r: RscIx) -> i32 {
        let own = self.fail_count(n, r, true, None).0;
        if self.bundle_of(self.outermost(r)).is_some() {
            return own;
        }
        let fillers = self.rscs[r].fillers.clone();
        fillers.into_iter().fold(own, |sum, f| sum.saturating_add(self.fail_count_with_fillers(n, f)))
    }

    /// Whether `on-fail=block` applies to a failure, which then never expires.
    fn failure_blocks(&self, n: NodeIx, r: RscIx, op: Option<&HistoryOp>) -> bool {
        let name = base_name(&self.rscs[r].id);
        let matches = |o: &OpConfig, h: &HistoryOp| {
            o.interval == h.interval
                && o.name.eq_ignore_ascii_case(&h.task)
                && (h.id.eq_ignore_ascii_case(&format!("{name}_last_failure_0"))
                    || (h.id.eq_ignore_ascii_case(&format!("{name}_{}_{}", o.name, o.interval))
                        && h.expected.unwrap_or(-1) != h.rc))
        };
        let blocking =
            self.rscs[r].ops.iter().filter(|o| o.meta.get("on-fail").is_some_and(|v| v == "block"));
        let node = &self.nodes[n].name;
        blocking.into_iter().any(|o| match op {
            Some(h) => matches(o, h),
            None => self
                .cib
                .nodes
                .iter()
                .filter(|s| s.name == *node)
                .flat_map(|s| &s.histories)
                .filter(|h| h.id == name)
                .flat_map(|h| &h.ops)
                .any(|h| h.task == o.name && h.interval == o.interval && matches(o, h)),
        })
    }

    /// Whether a failure has expired; plans that the fail count is cleared where that is due.
    pub(super) fn expiry(&mut self, r: RscIx, n: NodeIx, op: &HistoryOp, ix: super::history::OpIx) -> bool {
        let last_failure = op.id.ends_with("_last_failure_0");
        let mut expired = false;
        let mut unexpired = 0;
        let timeout = self.rscs[r].failure_timeout;
        if let (true, Some(changed)) = (timeout > 0, op.changed) {
            expired = self.now >= changed.saturating_add(timeout) && !self.waits_for_fencing(r, op);
            let (count, last) = self.fail_count(n, r, true, Some(op));
            unexpired = count;
            let until = last.saturating_add(self.rscs[r].failure_timeout).saturating_add(1);
            if count > 0 && self.now < until {
                self.recheck_by(until);
            }
        }
        let mut clear = false;
        if expired && self.fail_count(n, r, false, Some(op)).0 > 0 {
            if unexpired == 0 {
                clear = true;
            } else {
                expired = false;
            }
        } else if expired && last_failure && self.rscs[r].reconnect > 0 {
            clear = true;
        }
        if !expired && last_failure && matches!(op.task.as_str(), "start" | "monitor") {
            if self.needs_address(r) {
                self.deferred.push((r, n, ix, true));
            } else {
                let changed = self.digest_verdict(r, n, op, false);
                clear |=
                    matches!(changed, super::changes::Verdict::Changed | super::changes::Verdict::Restart);
            }
        }
        if clear {
            let a = self.clear_fail_count(r, n);
            if self.options.fencing && self.rscs[r].reconnect > 0 {
                self.after_remote_fencing(a, r);
            }
        }
        if expired && op.interval == 0 && op.task == "monitor" && matches!(op.rc, 0 | 7 | 8 | 190 | 191) {
            expired = false;
        }
        expired
    }
}
