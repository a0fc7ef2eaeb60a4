//! From placement to actions: what a resource needs to come from its role and node to the next ones.

use super::actions::by_action;
use super::model::{ActIx, Kind, NodeIx, Role, RscIx, Sched, act, ord};
use super::score::INF;

/// The next role on the way from one to another.
fn toward(from: Role, to: Role) -> Role {
    use Role::{Promoted, Started, Stopped, Unknown, Unpromoted};
    match (from, to) {
        (Unknown, Unknown) => Unknown,
        (Unknown, _) => Stopped,
        (Stopped, Unknown | Stopped)
        | (Started | Unpromoted, Unknown | Stopped)
        | (Unpromoted, Started)
        | (Promoted, Unknown) => Stopped,
        (Stopped | Started, Started) => Started,
        (Started | Unpromoted | Promoted, Promoted) => Promoted,
        _ => Unpromoted,
    }
}

impl Sched {
    /// Makes the actions of a resource and of all that is in it.
    pub(super) fn make_actions(&mut self, r: RscIx) {
        match self.rscs[r].kind {
            Kind::Primitive => self.act_primitive(r),
            Kind::Group => self.act_group(r),
            Kind::Clone => self.act_clone(r),
            Kind::Bundle => self.act_bundle(r),
        }
    }

    fn act_primitive(&mut self, r: RscIx) {
        if self.rscs[r].next_role == Role::Unknown {
            self.rscs[r].next_role =
                if self.rscs[r].assigned.is_some() { Role::Started } else { Role::Stopped };
        }
        let (current, all, clean) = self.active_on(r);
        let next = self.rscs[r].assigned.map(|(n, _)| n);
        for n in self.rscs[r].dangling.clone() {
            let stop = self.stop_action(r, n, false);
            self.acts[stop].flags |= act::DANGLING;
            if self.options.remove_after_stop {
                self.clean_up(r, n, false);
            }
        }
        let (mut needs_stop, mut needs_promote, mut migrates, mut moving) = (false, false, false, false);
        if let (Some(now), Some(then)) = (current, next)
            && now != then
            && self.rscs[r].next_role >= Role::Started
        {
            moving = true;
            needs_stop = true;
            migrates = self.can_migrate(r, now);
        }
        let (from, to) = (self.rscs[r].migrating_from, self.rscs[r].migrating_to);
        let goes_on = from.is_some() && to.is_some() && migrates && all == 2 && current == from && next == to;
        if goes_on {
            self.rscs[r].stop_unexpected = false;
        } else if from.is_some() || to.is_some() {
            needs_stop = true;
            self.rscs[r].migrating_from = None;
            self.rscs[r].migrating_to = None;
            migrates = false;
            self.rscs[r].stop_unexpected = false;
        } else if self.multiple_needs_stop(r, all, clean) {
            needs_stop = true;
        }
        if self.rscs[r].start_pending {
            let key = self.key_of(r, "start");
            let start = self.action(Some(r), &key, "start", next, true);
            self.acts[start].flags |= act::SHOWN;
        }
        if moving {
            // The stop is needed already.
        } else if self.rscs[r].failed {
            if self.rscs[r].needs_stop {
                needs_stop = true;
            } else {
                needs_promote = self.rscs[r].next_role == Role::Promoted;
            }
        } else if self.rscs[r].blocked {
            needs_stop = true;
        } else if let (true, true, Some(n)) = (self.rscs[r].role > Role::Started, current.is_some(), next) {
            let start = self.start_action(r, n, true);
            needs_stop |= !self.acts[start].is(act::OPTIONAL);
        }
        self.restart(r, next, needs_stop, needs_promote);
        self.change_role(r, next);
        self.make_recurring(r);
        if let (true, Some(n)) = (migrates, current) {
            self.make_migration(r, n);
        }
    }

    /// The way down to stopped and up again, in case it is needed.
    fn restart(&mut self, r: RscIx, next: Option<NodeIx>, needs_stop: bool, needs_promote: bool) {
        self.rscs[r].restarting = true;
        let mut role = self.rscs[r].role;
        while role != Role::Stopped {
            let step = toward(role, Role::Stopped);
            if !self.step(r, role, step, next, !needs_stop) {
                break;
            }
            role = step;
        }
        while self.rscs[r].role <= self.rscs[r].next_role
            && role != self.rscs[r].role
            && !self.rscs[r].blocked
        {
            let step = toward(role, self.rscs[r].role);
            let required = needs_stop || (step == Role::Promoted && needs_promote);
            if !self.step(r, role, step, next, !required) {
                break;
            }
            role = step;
        }
        self.rscs[r].restarting = false;
    }

    fn change_role(&mut self, r: RscIx, next: Option<NodeIx>) {
        let mut role = self.rscs[r].role;
        while role != self.rscs[r].next_role {
            let step = toward(role, self.rscs[r].next_role);
            if !self.step(r, role, step, next, false) {
                break;
            }
            role = step;
        }
    }

    /// Makes the actions of one step between roles; false if it needs none.
    fn step(&mut self, r: RscIx, from: Role, to: Role, next: Option<NodeIx>, optional: bool) -> bool {
        use Role::{Promoted, Started, Stopped, Unknown, Unpromoted};
        match (from, to) {
            (Started, Stopped) | (Unpromoted, Stopped | Started) | (Unknown, Stopped) => {
                self.make_stops(r, optional)
            }
            (Stopped, Started | Unpromoted) => match next {
                Some(n) => self.make_start(r, n, optional),
                None => return false,
            },
            (Started | Unpromoted, Promoted) => match next {
                Some(n) => self.make_promote(r, n, optional),
                None => return false,
            },
            (Promoted, Stopped | Started | Unpromoted) => self.make_demotes(r, optional),
            _ => return false,
        }
        true
    }

    /// Whether this is where a resource that runs too often should be.
    fn is_expected(&self, r: RscIx, n: NodeIx) -> bool {
        let rsc = &self.rscs[r];
        let here = rsc.assigned.is_some_and(|(m, _)| m == n);
        rsc.stop_unexpected && rsc.restarting && rsc.next_role > Role::Stopped && here
    }

    fn make_stops(&mut self, r: RscIx, optional: bool) {
        let mut optional = optional;
        for n in self.rscs[r].running_on.clone() {
            if self.is_expected(r, n) {
                continue;
            }
            let next = self.rscs[r].assigned.map(|(n, _)| n);
            if let Some(target) = self.rscs[r].migrating_to {
                if n == target && Some(n) == next {
                    continue;
                }
                optional = false;
            }
            let stop = self.stop_action(r, n, optional);
            if next.is_none() {
                self.acts[stop].reason = Some("node availability".into());
            } else if self.rscs[r].restarting && self.rscs[r].stop_unexpected {
                self.acts[stop].reason = Some("being multiply active".into());
            }
            if !self.rscs[r].managed {
                self.acts[stop].flags &= !act::RUNNABLE;
            }
            if self.options.remove_after_stop {
                self.clean_up(r, n, optional);
            }
        }
    }

    fn make_start(&mut self, r: RscIx, n: NodeIx, optional: bool) {
        let start = self.start_action(r, n, true);
        if self.acts[start].is(act::RUNNABLE) && !optional {
            self.acts[start].flags &= !act::OPTIONAL;
        }
        if self.is_expected(r, n) {
            self.acts[start].flags |= act::PSEUDO;
        }
    }

    fn make_promote(&mut self, r: RscIx, n: NodeIx, optional: bool) {
        let starts = self.actions_of(r, "start", Some(n), true);
        if starts.iter().all(|a| self.acts[*a].is(act::RUNNABLE)) {
            let promote = self.promote_action(r, n, optional);
            if self.is_expected(r, n) {
                self.acts[promote].flags |= act::PSEUDO;
            }
        } else {
            for a in self.actions_of(r, "promote", Some(n), true) {
                self.acts[a].flags &= !act::RUNNABLE;
            }
        }
    }

    fn make_demotes(&mut self, r: RscIx, optional: bool) {
        for n in self.rscs[r].running_on.clone() {
            if !self.is_expected(r, n) {
                self.demote_action(r, n, optional);
            }
        }
    }

    /// Plans that the history of a resource on a node is deleted.
    pub(super) fn clean_up(&mut self, r: RscIx, n: NodeIx, optional: bool) {
        if self.rscs[r].failed || self.nodes[n].unclean || !self.nodes[n].online {
            return;
        }
        self.delete_action(r, n, optional);
        let kind = if optional { ord::IMPLIES_THEN } else { ord::OPTIONAL };
        self.order_tasks(r, "stop", r, "delete", kind);
        self.order_tasks(r, "delete", r, "start", kind);
    }

    fn act_group(&mut self, g: RscIx) {
        for m in self.rscs[g].children.clone() {
            self.make_actions(m);
        }
        let promotable = super::sets::is_true(self.rscs[g].meta.get("promotable").map(String::as_str));
        let more: &[&str] = if promotable { &["demote", "demoted", "promote", "promoted"] } else { &[] };
        for task in ["start", "running", "stop", "stopped"].iter().chain(more) {
            let a = self.pseudo_of(g, task, true, true);
            self.acts[a].flags |= act::RUNNABLE;
        }
    }

    /// Whether something in a resource starts, stops; whether anything is active.
    fn movement(&self, r: RscIx, stopping: &mut bool, starting: &mut bool, active: &mut bool) {
        let rsc = &self.rscs[r];
        if !rsc.children.is_empty() {
            rsc.children.iter().for_each(|c| self.movement(*c, stopping, starting, active));
            return;
        }
        *active |= !rsc.running_on.is_empty();
        for a in rsc.actions.iter().rev() {
            let a = &self.acts[*a];
            if a.is(act::OPTIONAL) || a.flags & (act::PSEUDO | act::RUNNABLE) == 0 {
                continue;
            }
            *stopping |= a.task == "stop";
            *starting |= a.task == "start" && a.is(act::RUNNABLE);
        }
    }

    fn act_clone(&mut self, c: RscIx) {
        let instances = self.rscs[c].children.clone();
        self.act_instances(c, &instances);
        if self.rscs[c].clone.ordered {
            self.chain_instances(c);
        }
        if self.rscs[c].promotable {
            self.act_promotable(c);
        }
    }

    /// Makes the actions of instances, those that stand for all of them, and, of a clone, the notifications around these.
    pub(super) fn act_instances(&mut self, c: RscIx, instances: &[RscIx]) {
        let clone = self.rscs[c].kind == Kind::Clone;
        let (mut starting, mut stopping, mut active, mut steady) = (false, false, false, true);
        for &i in instances {
            self.make_actions(i);
            let (mut stops, mut starts) = (false, false);
            self.movement(i, &mut stops, &mut starts, &mut active);
            steady &= !(stops && starts);
            starting |= starts;
            stopping |= stops;
        }
        let start = self.pseudo_of(c, "start", !starting, true);
        let started = self.pseudo_of(c, "running", !starting, false);
        self.acts[started].priority = INF;
        if active || starting {
            self.acts[started].flags |= act::RUNNABLE;
        }
        if clone {
            self.announce(c, 0, "start", start, started);
        }
        let stop = self.pseudo_of(c, "stop", !stopping, true);
        let stopped = self.pseudo_of(c, "stopped", !stopping, true);
        self.acts[stopped].priority = INF;
        if steady {
            self.acts[stop].flags |= act::MIGRATES;
        }
        if clone {
            self.announce(c, 1, "stop", stop, stopped);
            self.order_announcements(c, 1, 0);
        }
    }

    /// Instances of an ordered clone start one after the other, and stop the other way round.
    fn chain_instances(&mut self, c: RscIx) {
        self.sort_by_number(c);
        let (mut last_stop, mut last_start): (Option<ActIx>, Option<ActIx>) = (None, None);
        for i in self.rscs[c].children.clone() {
            if let Some(stop) = self.only_required(i, "stop") {
                if let Some(last) = last_stop {
                    self.link(stop, last, ord::OPTIONAL);
                }
                last_stop = Some(stop);
            }
            if let Some(start) = self.only_required(i, "start") {
                if let Some(last) = last_start {
                    self.link(last, start, ord::OPTIONAL);
                }
                last_start = Some(start);
            }
        }
    }

    /// The action of a task that must run, if there is just one.
    fn only_required(&mut self, r: RscIx, task: &str) -> Option<ActIx> {
        let list = self.actions_of(r, task, None, false);
        let mut required = list.into_iter().filter(|a| !self.acts[*a].is(act::OPTIONAL));
        let first = required.next();
        if required.next().is_some() { None } else { first }
    }

    fn role_changes(&self, r: RscIx, demoting: &mut bool, promoting: &mut bool) {
        let rsc = &self.rscs[r];
        if !rsc.children.is_empty() {
            rsc.children.iter().for_each(|c| self.role_changes(*c, demoting, promoting));
            return;
        }
        for a in &rsc.actions {
            let a = &self.acts[*a];
            if !a.is(act::OPTIONAL) {
                *demoting |= a.task == "demote";
                *promoting |= a.task == "promote";
            }
        }
    }

    fn act_promotable(&mut self, c: RscIx) {
        let (mut demoting, mut promoting) = (false, false);
        for i in self.rscs[c].children.clone() {
            self.make_actions(i);
            self.role_changes(i, &mut demoting, &mut promoting);
        }
        let promote = self.pseudo_of(c, "promote", !promoting, true);
        let promoted = self.pseudo_of(c, "promoted", !promoting, true);
        self.acts[promoted].priority = INF;
        self.announce(c, 2, "promote", promote, promoted);
        let demote = self.pseudo_of(c, "demote", !demoting, true);
        let demoted = self.pseudo_of(c, "demoted", !demoting, true);
        self.acts[demoted].priority = INF;
        if self.announce(c, 3, "demote", demote, demoted) {
            for (first, then) in [(1, 2), (0, 2), (3, 2), (3, 0), (3, 1)] {
                self.order_announcements(c, first, then);
            }
        }
        self.reset_priorities(c);
    }

    /// Plans fencing and shutdowns.
    pub(super) fn plan_fencing(&mut self) {
        let managed = self.top.iter().any(|r| self.any_in(*r, &|x| x.managed));
        let (mut dc_down, mut fences, mut shutdowns): (Option<ActIx>, Vec<ActIx>, Vec<ActIx>) =
            (None, vec![], vec![]);
        for n in 0..self.nodes.len() {
            if self.guest_of(n).is_some() {
                if self.nodes[n].reset && managed && self.can_fence(n) {
                    self.fence_guest(n);
                }
                continue;
            }
            if managed && self.nodes[n].unclean && self.can_fence(n) {
                let fence = self.fence_action(n, false, Some("node is unclean"));
                self.order_around_fence(fence, n);
                if self.nodes[n].is_dc {
                    dc_down = Some(fence);
                } else {
                    if let (false, Some(&last)) = (self.options.concurrent_fencing, fences.last()) {
                        self.link(last, fence, ord::OPTIONAL);
                    }
                    fences.push(fence);
                }
            } else if self.nodes[n].online && self.nodes[n].shutdown && !self.nodes[n].remote {
                let down = self.plan_shutdown(n);
                if self.nodes[n].is_dc {
                    dc_down = Some(down);
                } else {
                    shutdowns.push(down);
                }
            }
        }
        let Some(dc) = dc_down else { return };
        if self.acts[dc].task == "do_shutdown" {
            for a in shutdowns.into_iter().rev() {
                self.link(a, dc, ord::OPTIONAL);
            }
        }
        if self.options.concurrent_fencing {
            for a in fences.into_iter().rev() {
                self.link(a, dc, ord::OPTIONAL);
            }
        } else if let Some(&last) = fences.last() {
            self.link(last, dc, ord::OPTIONAL);
        }
    }

    /// How long the fencing of a node waits, in seconds: the side with the higher priorities is given time to win, if this partition has
    /// not more than half of the nodes.
    pub(super) fn fencing_delay(&self, fence: ActIx) -> i64 {
        let (Some(n), true) = (self.acts[fence].node, self.acts[fence].delayed) else { return 0 };
        let members = || self.nodes.iter().filter(|d| !d.remote && !d.ping);
        let online = members().filter(|d| d.online).count();
        let priorities = || members().map(|d| d.priority);
        let (top, lowest) = (priorities().max(), priorities().min());
        let few = online <= members().count() / 2;
        let matters = !self.nodes[n].online && !self.nodes[n].remote && few && top != lowest;
        if matters && Some(self.nodes[n].priority) == top { self.options.fencing_delay } else { 0 }
    }

    fn plan_shutdown(&mut self, n: NodeIx) -> ActIx {
        let key = format!("do_shutdown-{}", self.nodes[n].name);
        let down = self.action(None, &key, "do_shutdown", Some(n), false);
        for a in (0..self.acts.len()).rev() {
            let action = &self.acts[a];
            let Some(r) = action.rsc.filter(|_| action.node == Some(n) && action.task == "stop") else {
                continue;
            };
            let rsc = &self.rscs[r];
            if rsc.maintenance || self.nodes[n].maintenance || (!rsc.managed && !rsc.blocked) {
                continue;
            }
            self.acts[a].flags &= !act::OPTIONAL;
            self.order(by_action(a), by_action(down), ord::OPTIONAL | ord::RUNNABLE_LEFT);
        }
        down
    }

    /// Orders what a resource does around the fencing of a node.
    pub(super) fn order_around_fence(&mut self, fence: ActIx, target: NodeIx) {
        for r in self.top.clone() {
            self.order_vs_fence(r, fence, target);
        }
    }

    fn order_vs_fence(&mut self, r: RscIx, fence: ActIx, target: NodeIx) {
        let children = self.rscs[r].children.clone();
        if !children.is_empty() {
            children.into_iter().for_each(|c| self.order_vs_fence(c, fence, target));
        } else if self.rscs[r].managed {
            self.starts_after_fence(r, fence, target);
            self.stops_by_fence(r, fence, target);
        }
    }

    fn starts_after_fence(&mut self, r: RscIx, fence: ActIx, target: NodeIx) {
        use super::model::Needs;
        for a in self.rscs[r].actions.clone().into_iter().rev() {
            match self.acts[a].needs {
                Needs::Nothing => {}
                Needs::Fencing => {
                    self.link(fence, a, ord::OPTIONAL);
                }
                Needs::Quorum => {
                    let rsc = &self.rscs[r];
                    let parent = rsc.parent.filter(|p| self.is_anonymous_clone(*p));
                    let known = rsc.known_on[target] || parent.is_some_and(|p| self.rscs[p].known_on[target]);
                    if self.acts[a].task == "start" && rsc.allowed.get(target).is_some() && !known {
                        self.link(fence, a, ord::OPTIONAL | ord::RUNNABLE_LEFT);
                    }
                }
            }
        }
    }

    fn stops_by_fence(&mut self, r: RscIx, fence: ActIx, target: NodeIx) {
        let implied = self.rscs[r].needs_fencing || self.guest_of(target).is_some();
        let bundled = self.bundle_of(self.outermost(r)).is_some();
        let stops = self.actions_of(r, "stop", Some(target), false);
        let top = self.outermost(r);
        let parent_stop =
            if implied && !stops.is_empty() { self.newest(top, None, Some("stop"), None) } else { None };
        for a in stops {
            self.acts[a].flags |= act::PSEUDO | act::RUNNABLE;
            if implied {
                if !bundled {
                    self.link(fence, a, ord::PRESERVE);
                }
                if let Some(p) = parent_stop {
                    self.link(fence, p, ord::PRESERVE);
                }
            }
            if self.rscs[r].notify {
                self.announce_fencing(r, a, fence);
            }
        }
        for a in self.actions_of(r, "demote", Some(target), false) {
            let gone = self.acts[a].node.is_none_or(|n| !self.nodes[n].online || self.nodes[n].unclean);
            if gone || self.rscs[r].failed {
                self.acts[a].flags |= act::PSEUDO | act::RUNNABLE;
                if implied && !bundled {
                    self.link(fence, a, ord::PRESERVE | ord::OPTIONAL);
                }
            }
        }
    }
}
