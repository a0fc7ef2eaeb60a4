//! The transition summary: what happens to each resource, in the form in which `crm_simulate` prints it.

use super::model::{ActIx, NodeIx, Role, RscIx, Sched, act};

/// One line of the summary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// `Start`, `Stop`, `Move`, `Restart`, `Recover`, `Promote`, `Demote`, `Migrate`, `Reload`, `Re-promote`; for a node `Fence (reboot)`
    /// and the like, or `Shutdown`.
    pub change: String,
    /// The resource; none for a node.
    pub rsc: Option<String>,
    /// From where.
    pub from: Option<String>,
    /// To where.
    pub to: Option<String>,
    /// The role now, where it matters.
    pub role: Option<Role>,
    /// The role next, where it matters.
    pub next_role: Option<Role>,
    /// Why.
    pub reason: Option<String>,
    /// It can not be done now.
    pub blocked: bool,
}

impl Item {
    /// Where and in which role.
    pub fn details(&self) -> String {
        let word = |r: &Option<Role>| r.map(Role::word).unwrap_or_default();
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        let (role, next) = (word(&self.role), word(&self.next_role));
        match (from, to, self.role, self.next_role) {
            (None, Some(t), Some(_), Some(_)) => format!("{role} -> {next} {t}"),
            (None, Some(t), ..) => t.to_owned(),
            (Some(f), None, Some(_), Some(_)) => format!("{role} -> {next} {f}"),
            (Some(f), None, Some(_), None) => format!("{role} {f}"),
            (Some(f), None, ..) => f.to_owned(),
            (Some(f), Some(t), Some(_), None) => format!("{f} -> {t} {role}"),
            (Some(f), Some(t), None, None) => format!("{f} -> {t}"),
            (Some(f), Some(t), ..) => format!("{role} {f} -> {next} {t}"),
            (None, None, ..) => String::new(),
        }
    }
}

impl Sched {
    /// The summary, nodes first.
    pub(super) fn summarise(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        for a in (0..self.acts.len()).rev() {
            let action = &self.acts[a];
            if action.rsc.is_some() || action.is(act::OPTIONAL) {
                continue;
            }
            let change = match action.task.as_str() {
                "do_shutdown" => "Shutdown".to_owned(),
                "stonith" => format!("Fence ({})", action.fencing.clone().unwrap_or_default()),
                _ => continue,
            };
            // Without a reason nothing is printed.
            if let (Some(n), Some(reason)) = (action.node, action.reason.clone()) {
                let name = &self.nodes[n].name;
                let node = self.guest_of(n).map(|g| format!("{name} (resource: {})", self.rscs[g].id));
                items.push(Item {
                    change,
                    rsc: None,
                    from: Some(node.unwrap_or_else(|| name.clone())),
                    to: None,
                    role: None,
                    next_role: None,
                    reason: Some(reason),
                    blocked: false,
                });
            }
        }
        for r in self.top.clone() {
            self.summarise_resource(r, &mut items);
        }
        items
    }

    fn summarise_resource(&mut self, r: RscIx, items: &mut Vec<Item>) {
        let children = self.rscs[r].children.clone();
        if self.rscs[r].bundle.is_some() {
            return self.bundle_parts(r).into_iter().for_each(|c| self.summarise_resource(c, items));
        }
        if !children.is_empty() {
            return children.into_iter().for_each(|c| self.summarise_resource(c, items));
        }
        let next = self.rscs[r].assigned.map(|(n, _)| n);
        let mut current = None;
        if !self.rscs[r].running_on.is_empty() {
            current = self.current(r);
            if self.rscs[r].role == Role::Stopped {
                self.rscs[r].role = Role::Started;
            }
        }
        if (current.is_none() && (self.rscs[r].orphan || next.is_none())) || !self.rscs[r].managed {
            return;
        }
        self.summarise_change(r, current, next, items);
    }

    fn oldest(&mut self, r: RscIx, task: &str, node: Option<NodeIx>) -> Option<ActIx> {
        self.actions_of(r, task, node, false).first().copied()
    }

    fn summarise_change(
        &mut self,
        r: RscIx,
        current: Option<NodeIx>,
        next: Option<NodeIx>,
        items: &mut Vec<Item>,
    ) {
        let moving = current.is_some() && next.is_some() && current != next;
        let start = self.oldest(r, "start", next);
        let runs = |s: &Sched, a: Option<ActIx>| a.is_some_and(|a| s.acts[a].is(act::RUNNABLE));
        let from = if runs(self, start) { current } else { None };
        let mut stop = self.oldest(r, "stop", from);
        if stop.is_none() && self.rscs[r].stop_unexpected {
            stop = self.oldest(r, "stop", None);
        }
        let promote = self.oldest(r, "promote", next);
        let demote = self.oldest(r, "demote", next);
        let required = |s: &Sched, a: Option<ActIx>| a.is_some_and(|a| !s.acts[a].is(act::OPTIONAL));
        let (role, next_role) = (self.rscs[r].role, self.rscs[r].next_role);
        let failed = self.rscs[r].failed;
        let reasoned = |s: &Sched, a: Option<ActIx>| a.filter(|a| s.acts[*a].reason.is_some());
        if role == next_role {
            if next.is_none() {
                return;
            }
            let migrate = self.oldest(r, "migrate_from", next);
            if runs(self, migrate) && current.is_some() {
                self.item(items, "Migrate", r, current, next, start, None);
            } else if self.rscs[r].reload {
                self.item(items, "Reload", r, current, next, start, None);
            } else if !required(self, start) {
                if required(self, demote) && required(self, promote) {
                    self.item(items, "Re-promote", r, current, next, promote, demote);
                }
            } else if !runs(self, start) {
                let source = reasoned(self, stop).or(start);
                self.item(items, "Stop", r, current, None, stop, source);
            } else if moving {
                self.item(items, if failed { "Recover" } else { "Move" }, r, current, next, stop, None);
            } else if failed {
                self.item(items, "Recover", r, current, None, stop, None);
            } else {
                self.item(items, "Restart", r, current, next, start, None);
            }
            return;
        }
        if stop.is_some() && (next_role == Role::Stopped || (start.is_some() && !runs(self, start))) {
            for n in self.rscs[r].running_on.clone() {
                let one = self.oldest(r, "stop", Some(n));
                let source = reasoned(self, one).or(start);
                self.item(items, "Stop", r, Some(n), None, one, source);
            }
        } else if stop.is_some() && failed && self.rscs[r].needs_stop {
            self.item(items, "Recover", r, current, next, stop, start);
        } else if moving {
            self.item(items, "Move", r, current, next, stop, None);
        } else if self.rscs[r].reload {
            self.item(items, "Reload", r, current, next, start, None);
        } else if required(self, stop) {
            self.item(items, "Restart", r, current, next, start, None);
        } else if role == Role::Promoted {
            self.item(items, "Demote", r, current, next, demote, None);
        } else if next_role == Role::Promoted {
            self.item(items, "Promote", r, current, next, promote, None);
        } else if role == Role::Stopped && next_role > Role::Stopped {
            self.item(items, "Start", r, current, next, start, None);
        }
    }

    #[allow(clippy::too_many_arguments)] // What a line says.
    fn item(
        &self,
        items: &mut Vec<Item>,
        change: &str,
        r: RscIx,
        from: Option<NodeIx>,
        to: Option<NodeIx>,
        action: Option<ActIx>,
        source: Option<ActIx>,
    ) {
        let Some(action) = action else { return };
        let rsc = &self.rscs[r];
        let need_role = rsc.role > Role::Started || rsc.next_role > Role::Unpromoted;
        let same_host = from.is_some() && from == to;
        let same_role = rsc.role == rsc.next_role;
        let name = |n: Option<NodeIx>| n.map(|n| self.nodes[n].name.clone());
        let (role, next_role) = match (from, to) {
            (None, _) => (need_role.then_some(rsc.role), need_role.then_some(rsc.next_role)),
            (Some(_), None) => (need_role.then_some(rsc.role), None),
            _ if same_role => (need_role.then_some(rsc.role), None),
            _ => (Some(rsc.role), Some(rsc.next_role)),
        };
        let reason = self.acts[source.unwrap_or(action)].reason.clone();
        items.push(Item {
            change: change.to_owned(),
            rsc: Some(rsc.id.clone()),
            from: name(from),
            to: if same_host { None } else { name(to) },
            role,
            next_role,
            reason,
            blocked: !self.acts[action].is(act::RUNNABLE),
        });
    }
}

/// The lines of a summary, with the columns as wide as the longest names need.
pub fn lines(items: &[Item]) -> Vec<String> {
    // The names of the log's summary have widened the columns already when the summary is printed.
    let (mut wide, mut details_wide) = (5, 5);
    let mut out = Vec::new();
    for pass in 0..2 {
        for i in items {
            let Some(rsc) = &i.rsc else {
                if pass == 1 {
                    let node = i.from.as_deref().unwrap_or_default();
                    out.push(format!("{} {node} '{}'", i.change, i.reason.as_deref().unwrap_or_default()));
                }
                continue;
            };
            if rsc.len() > wide {
                wide = rsc.len() + 2;
            }
            let details = i.details();
            details_wide = details_wide.max(details.len());
            let reason = match (&i.reason, i.blocked) {
                (Some(r), true) => format!("  due to {r} (blocked)"),
                (Some(r), false) => format!("  due to {r}"),
                (None, true) => "  blocked".into(),
                (None, false) => String::new(),
            };
            if pass == 1 {
                out.push(format!("{:<8}   {rsc:<wide$}   ( {details:>details_wide$} ){reason}", i.change));
            }
        }
    }
    out
}
