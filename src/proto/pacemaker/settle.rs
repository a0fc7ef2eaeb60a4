//! Orderings applied to actions: what becomes required, what can not run, what must be shown, until nothing changes.

use super::actions::key;
use super::history::split_key;
use super::model::{ActIx, Kind, NodeIx, Order, Role, RscIx, Sched, act, ord};
use super::sets::is_true;

/// The first action has changed.
const FIRST: u8 = 1;
/// The second action has changed.
const THEN: u8 = 2;

/// What a change of one action asks of another.
#[derive(Clone, Copy)]
struct Ask {
    node: Option<NodeIx>,
    flags: u32,
    filter: u32,
    kind: u32,
}

/// The task of a member that a task of its group or clone stands for.
fn atomic(task: &str) -> &str {
    match task {
        "stopped" => "stop",
        "running" => "start",
        "demoted" => "demote",
        "promoted" => "promote",
        t => t,
    }
}

impl Sched {
    /// Applies all orderings.
    pub(super) fn apply_orders(&mut self) {
        let mut at = 0;
        while at < self.orders.len() {
            let order = self.orders[at].clone();
            match (order.first.rsc, order.then.rsc) {
                (Some(r), _) => self.order_first(r, &order),
                (None, Some(then)) => self.order_after(order.first.action, then, &order),
                (None, None) => {
                    if let (Some(a), Some(b)) = (order.first.action, order.then.action) {
                        self.link(a, b, order.kind);
                    }
                }
            }
            at += 1;
        }
        for a in (0..self.acts.len()).rev() {
            self.block_dependents(a);
        }
        self.order_probes();
        for a in (0..self.acts.len()).rev() {
            self.settle(a);
        }
        self.drop_invalid_orders();
    }

    fn by_key(&mut self, r: RscIx, wanted: &str) -> Vec<ActIx> {
        let list = self.find_actions(Some(r), wanted, None);
        if !list.is_empty() {
            return list;
        }
        let (task, interval) = split_key(wanted);
        let own = key(&self.rscs[r].id, task, interval);
        self.find_actions(Some(r), &own, None)
    }

    fn order_first(&mut self, first: RscIx, order: &Order) {
        let wanted = order.first.key.clone().unwrap_or_default();
        let mut firsts = match order.first.action {
            Some(a) => vec![a],
            None => self.by_key(first, &wanted),
        };
        if firsts.is_empty() && order.then.rsc != Some(first) {
            let (task, interval) = split_key(&wanted);
            let role = self.role_of(first, true);
            let moot =
                (role == Role::Stopped && task == "stop") || (role == Role::Unpromoted && task == "demote");
            if !moot {
                let own = key(&self.rscs[first].id, task, interval);
                firsts.push(self.action(Some(first), &own, task, None, true));
            }
        }
        let then = order.then.rsc.or_else(|| order.then.action.and_then(|a| self.acts[a].rsc));
        for a in firsts {
            match (then, order.then.action) {
                (Some(then), _) => self.order_after(Some(a), then, order),
                (None, Some(b)) => {
                    self.link(a, b, order.kind);
                }
                (None, None) => {}
            }
        }
    }

    fn order_after(&mut self, first: Option<ActIx>, then: RscIx, order: &Order) {
        let thens = match order.then.action {
            Some(a) => vec![a],
            None => {
                let wanted = order.then.key.clone().unwrap_or_default();
                self.by_key(then, &wanted)
            }
        };
        let mut kind = order.kind;
        if first.is_some_and(|f| self.acts[f].rsc == Some(then) && self.acts[f].is(act::DANGLING)) {
            kind &= !ord::IMPLIES_THEN;
        }
        if first.is_none() && kind & ord::IMPLIES_THEN == 0 {
            return;
        }
        for b in thens {
            match first {
                Some(a) => {
                    self.link(a, b, kind);
                }
                None => self.acts[b].flags &= !act::RUNNABLE,
            }
        }
    }

    /// The facts about an action as its resource sees them: groups and clones sum up what is in them.
    pub(super) fn flags_of(&mut self, a: ActIx, node: Option<NodeIx>) -> u32 {
        let Some(r) = self.acts[a].rsc else { return self.acts[a].flags };
        match self.rscs[r].kind {
            Kind::Primitive => self.acts[a].flags,
            Kind::Group => self.group_flags(a, r, node),
            Kind::Clone => self.clone_flags(a, r, node, &self.rscs[r].children.clone()),
            Kind::Bundle => {
                let inside = match self.acts[a].task.as_str() {
                    "start" | "running" | "stop" | "stopped" | "do_shutdown" | "stonith" | "monitor" => None,
                    _ => self.rscs[r].bundle.as_ref().and_then(|b| b.child),
                };
                let list = inside.map_or_else(|| self.instances(r), |c| self.rscs[c].children.clone());
                self.clone_flags(a, r, node, &list)
            }
        }
    }

    fn member_task(&self, r: RscIx, task: &str) -> String {
        let known = matches!(
            task,
            "stop"
                | "stopped"
                | "start"
                | "running"
                | "do_shutdown"
                | "stonith"
                | "monitor"
                | "notify"
                | "notified"
                | "promote"
                | "promoted"
                | "demote"
                | "demoted"
        );
        match (known, self.rscs[r].kind) {
            (false, _) => "no_action".into(),
            (true, Kind::Primitive) => atomic(task).to_owned(),
            (true, _) => task.to_owned(),
        }
    }

    fn group_flags(&mut self, a: ActIx, g: RscIx, node: Option<NodeIx>) -> u32 {
        let mut flags = act::OPTIONAL | act::RUNNABLE | act::PSEUDO;
        let own = self.acts[a].task.clone();
        for m in self.rscs[g].children.clone() {
            let task = self.member_task(m, &own);
            match self.newest(m, None, Some(&task), node) {
                Some(x) => {
                    let of_member = self.flags_of(x, node);
                    if flags & act::OPTIONAL != 0 && of_member & act::OPTIONAL == 0 {
                        flags &= !act::OPTIONAL;
                        self.acts[a].flags &= !act::OPTIONAL;
                    }
                    if task != own && flags & act::RUNNABLE != 0 && of_member & act::RUNNABLE == 0 {
                        flags &= !act::RUNNABLE;
                        self.acts[a].flags &= !act::RUNNABLE;
                    }
                }
                None if task != "stop" && task != "demote" => flags &= !act::RUNNABLE,
                None => {}
            }
        }
        flags
    }

    fn clone_flags(&mut self, a: ActIx, c: RscIx, node: Option<NodeIx>, list: &[RscIx]) -> u32 {
        let mut flags = act::OPTIONAL | act::RUNNABLE | act::PSEUDO;
        let task = self.clone_task(a, c);
        let mut any = false;
        for &i in list {
            let on = if self.rscs[i].children.is_empty() { node } else { None };
            let Some(x) = self.newest(i, None, Some(&task), on) else { continue };
            let of_instance = self.flags_of(x, node);
            if flags & act::OPTIONAL != 0 && of_instance & act::OPTIONAL == 0 {
                flags &= !act::OPTIONAL;
                self.acts[a].flags &= !act::OPTIONAL;
            }
            any |= of_instance & act::RUNNABLE != 0;
        }
        if !any {
            flags &= !act::RUNNABLE;
            if node.is_none() {
                self.acts[a].flags &= !act::RUNNABLE;
            }
        }
        flags
    }

    /// The task of the instances that an action of a clone stands for.
    fn clone_task(&self, a: ActIx, c: RscIx) -> String {
        let Some(&first) = self.rscs[c].children.first() else { return "no_action".into() };
        let action = &self.acts[a];
        if matches!(action.task.as_str(), "notify" | "notified") {
            let task = action.key.strip_suffix("_0").and_then(|k| k.rsplit_once('_')).map_or("", |(_, t)| t);
            return self.member_task(first, task);
        }
        self.member_task(first, &action.task)
    }

    fn flags_for_order(&mut self, a: ActIx, node: Option<NodeIx>) -> u32 {
        let Some(r) = self.acts[a].rsc else { return self.acts[a].flags };
        let flags = self.flags_of(a, None);
        if node.is_none() || self.rscs[r].kind != Kind::Clone {
            return flags;
        }
        self.flags_of(a, node) | (flags & act::RUNNABLE)
    }

    /// The action that stands for the end of another one, if its resource has several parts.
    fn end_of(&self, a: ActIx) -> ActIx {
        let action = &self.acts[a];
        let Some(r) = action.rsc else { return a };
        let rsc = &self.rscs[r];
        if rsc.kind == Kind::Primitive || action.key.contains("notify") {
            return a;
        }
        let (task, interval) = split_key(&action.key);
        let end = match task {
            "stop" => "stopped",
            "start" => "running",
            "promote" => "promoted",
            "demote" => "demoted",
            "stopped" | "running" | "promoted" | "demoted" => task,
            _ => return a,
        };
        if interval > 0 {
            return a;
        }
        let heard = rsc.parent.is_none() || (rsc.kind == Kind::Clone && self.bundle_of(r).is_some());
        let wanted = if rsc.notify && heard {
            format!("{}_confirmed-post_notify_{end}_0", rsc.id)
        } else {
            key(&rsc.id, end, 0)
        };
        self.newest(r, Some(&wanted), None, None).unwrap_or(a)
    }

    /// Lets an action feel what is ordered before it, and tells those after it.
    pub(super) fn settle(&mut self, then: ActIx) {
        let last = self.acts[then].flags;
        let mut changed = 0;
        if self.acts[then].is(act::ANY) {
            let action = &mut self.acts[then];
            action.runnable_before = 0;
            action.needed_before = action.needed_before.max(1);
            action.flags &= !act::RUNNABLE;
        }
        for at in (0..self.acts[then].before.len()).rev() {
            let link = self.acts[then].before[at];
            let mut first = link.other;
            let group_place = |s: &Sched, a: ActIx| {
                let action = &s.acts[a];
                match action.rsc {
                    Some(r) if s.rscs[r].kind == Kind::Group && action.task == "start" => {
                        s.place(r, false).map(|(n, _)| n)
                    }
                    _ => action.node,
                }
            };
            let (first_node, then_node) = (group_place(self, first), group_place(self, then));
            if link.kind & ord::SAME_NODE != 0
                && let (Some(m), Some(n)) = (first_node, then_node)
                && m != n
            {
                self.acts[then].before[at].kind = ord::NONE;
                continue;
            }
            changed &= !FIRST;
            let (fr, tr) = (self.acts[first].rsc, self.acts[then].rsc);
            if fr.is_some() && link.kind & ord::THEN_CANCELS_FIRST != 0 && !self.acts[then].is(act::OPTIONAL)
            {
                self.acts[first].flags |= act::OPTIONAL;
                if let (Some(r), "reload-agent") = (fr, self.acts[first].task.as_str()) {
                    self.rscs[r].reload = false;
                }
            }
            if let (Some(f), Some(t)) = (fr, tr)
                && f != t
                && !self.is_inside(t, f)
            {
                first = self.end_of(first);
            }
            if first == link.other {
                let first_flags = self.flags_for_order(first, then_node);
                let then_flags = self.flags_for_order(then, first_node);
                changed |= self.feel(first, then, first_flags, then_flags, at);
            } else if self.link(first, then, self.acts[then].before[at].kind) {
                changed |= THEN;
                self.acts[then].before[at].kind = ord::NONE;
            }
            if changed & FIRST != 0 {
                for x in (0..self.acts[first].after.len()).rev() {
                    self.settle(self.acts[first].after[x].other);
                }
                self.settle(first);
            }
        }
        if self.acts[then].is(act::ANY) {
            if last == self.acts[then].flags {
                changed &= !THEN;
            } else {
                changed |= THEN;
            }
        }
        if changed & THEN != 0 {
            if last & act::RUNNABLE != 0 && !self.acts[then].is(act::RUNNABLE) {
                self.block_dependents(then);
            }
            self.settle(then);
            for x in (0..self.acts[then].after.len()).rev() {
                self.settle(self.acts[then].after[x].other);
            }
        }
    }

    /// What one ordering does to its two actions.
    fn feel(&mut self, first: ActIx, then: ActIx, first_flags: u32, then_flags: u32, at: usize) -> u8 {
        let mut changed = 0;
        let mut kind = self.acts[then].before[at].kind;
        let node = self.acts[then].node;
        let (fr, tr) = (self.acts[first].rsc, self.acts[then].rsc);
        let has = |k: u32, bit: u32| k & bit != 0;
        let ask = |flags: u32, filter: u32, kind: u32| Ask { node, flags, filter, kind };
        if has(kind, ord::IMPLIES_THEN) {
            if let Some(r) = tr {
                changed |= self.tell_pair(
                    r,
                    first,
                    then,
                    ask(first_flags & act::OPTIONAL, act::OPTIONAL, ord::IMPLIES_THEN),
                );
            } else if first_flags & act::OPTIONAL == 0 && self.acts[then].is(act::OPTIONAL) {
                self.acts[then].flags &= !act::OPTIONAL;
                changed |= THEN;
            }
        }
        if let (true, Some(r)) = (has(kind, ord::RESTART), tr) {
            changed |=
                self.tell_pair(r, first, then, ask(first_flags, act::OPTIONAL | act::RUNNABLE, ord::RESTART));
        }
        if has(kind, ord::IMPLIES_FIRST) {
            if let Some(r) = fr {
                changed |=
                    self.tell_pair(r, first, then, ask(first_flags, act::OPTIONAL, ord::IMPLIES_FIRST));
            } else if first_flags & act::OPTIONAL == 0 && self.acts[first].is(act::RUNNABLE) {
                self.acts[first].flags &= !act::RUNNABLE;
                changed |= FIRST;
            }
        }
        if let (true, Some(r)) = (has(kind, ord::PROMOTED_IMPLIES_FIRST), tr) {
            let a = ask(first_flags & act::OPTIONAL, act::OPTIONAL, ord::PROMOTED_IMPLIES_FIRST);
            changed |= self.tell_pair(r, first, then, a);
        }
        if has(kind, ord::ONE_OR_MORE) {
            if let Some(r) = tr {
                changed |= self.tell_pair(r, first, then, ask(first_flags, act::RUNNABLE, ord::ONE_OR_MORE));
            } else if first_flags & act::RUNNABLE != 0 {
                let action = &mut self.acts[then];
                action.runnable_before += 1;
                if action.runnable_before >= action.needed_before && !action.is(act::RUNNABLE) {
                    action.flags |= act::RUNNABLE;
                    changed |= THEN;
                }
            }
        }
        if let (true, Some(r)) = (has(kind, ord::PROBE), tr) {
            if first_flags & act::RUNNABLE == 0 && fr.is_some_and(|f| !self.rscs[f].running_on.is_empty()) {
                self.acts[then].before[at].kind = ord::NONE;
            } else {
                changed |=
                    self.tell_pair(r, first, then, ask(first_flags, act::RUNNABLE, ord::RUNNABLE_LEFT));
            }
        }
        if has(kind, ord::RUNNABLE_LEFT) {
            if let Some(r) = tr {
                changed |=
                    self.tell_pair(r, first, then, ask(first_flags, act::RUNNABLE, ord::RUNNABLE_LEFT));
            } else if first_flags & act::RUNNABLE == 0 && self.acts[then].is(act::RUNNABLE) {
                self.acts[then].flags &= !act::RUNNABLE;
                changed |= THEN;
            }
        }
        for (bit, filter) in [
            (ord::IMPLIES_FIRST_MIGRATABLE, act::OPTIONAL),
            (ord::PSEUDO_LEFT, act::OPTIONAL),
            (ord::OPTIONAL, act::RUNNABLE),
            (ord::ASYMMETRICAL, act::RUNNABLE),
        ] {
            kind = self.acts[then].before[at].kind;
            if let (true, Some(r)) = (has(kind, bit), tr) {
                changed |= self.tell_pair(r, first, then, ask(first_flags, filter, bit));
            }
        }
        if self.acts[first].is(act::RUNNABLE)
            && has(kind, ord::IMPLIES_THEN_SHOWN)
            && first_flags & act::OPTIONAL == 0
        {
            self.acts[then].flags |= act::SHOWN;
        }
        if has(kind, ord::IMPLIES_FIRST_SHOWN) && then_flags & act::OPTIONAL == 0 {
            self.acts[first].flags |= act::SHOWN;
        }
        if let (true, Some(r)) = (kind & (ord::IMPLIES_THEN | ord::IMPLIES_FIRST | ord::RESTART) != 0, fr) {
            let rsc = &self.rscs[r];
            let stuck = !rsc.managed
                && rsc.blocked
                && !self.acts[first].is(act::RUNNABLE)
                && self.acts[first].task == "stop";
            if stuck && self.acts[then].is(act::RUNNABLE) {
                self.acts[then].flags &= !act::RUNNABLE;
                changed |= THEN;
            }
        }
        changed
    }

    /// Lets a resource apply an ordering to a pair of actions.
    fn tell_pair(&mut self, r: RscIx, first: ActIx, then: ActIx, ask: Ask) -> u8 {
        match self.rscs[r].kind {
            Kind::Primitive => self.tell_actions(first, then, ask),
            Kind::Group => {
                let mut changed = self.tell_actions(first, then, ask);
                let Some(g) = self.acts[then].rsc else { return changed };
                let task = self.acts[then].task.clone();
                for m in self.rscs[g].children.clone() {
                    if let Some(x) = self.newest(m, None, Some(&task), ask.node) {
                        changed |= self.tell_pair(m, first, x, ask);
                    }
                }
                changed
            }
            Kind::Clone | Kind::Bundle => self.tell_clone(first, then, ask),
        }
    }

    fn interleaves(&self, first: ActIx, then: ActIx) -> bool {
        let (Some(f), Some(t)) = (self.acts[first].rsc, self.acts[then].rsc) else { return false };
        if f == t || self.rscs[f].kind < Kind::Clone || self.rscs[t].kind < Kind::Clone {
            return false;
        }
        let k = &self.acts[then].key;
        let who = if k.ends_with("_stop_0") || k.ends_with("_demote_0") { f } else { t };
        is_true(self.rscs[who].meta.get("interleave").map(String::as_str))
    }

    fn tell_clone(&mut self, first: ActIx, then: ActIx, ask: Ask) -> u8 {
        if self.interleaves(first, then) {
            return self.tell_interleaved(first, then, ask);
        }
        let Some(c) = self.acts[then].rsc else { return 0 };
        let mut changed = self.tell_actions(first, then, ask);
        let task = self.acts[then].task.clone();
        for i in self.instances(c) {
            let Some(x) = self.newest(i, None, Some(&task), ask.node) else { continue };
            let flags = self.flags_of(x, ask.node);
            let one = if flags & act::RUNNABLE != 0 { self.tell_pair(i, first, x, ask) } else { 0 };
            changed |= one;
            if one & THEN != 0 {
                for k in (0..self.acts[x].after.len()).rev() {
                    self.settle(self.acts[x].after[k].other);
                }
            }
        }
        changed
    }

    fn tell_interleaved(&mut self, first: ActIx, then: ActIx, ask: Ask) -> u8 {
        let (Some(f), Some(t)) = (self.acts[first].rsc, self.acts[then].rsc) else { return 0 };
        let key = &self.acts[first].key;
        let now = key.ends_with("_stopped_0") || key.ends_with("_demoted_0");
        let mut changed = 0;
        for i in self.instances(t) {
            let Some(partner) = self.partner(i, f, Role::Unknown, now) else {
                let bound = ask.kind & (ord::RUNNABLE_LEFT | ord::IMPLIES_THEN) != 0;
                if !now && bound && self.force(i, None) {
                    changed |= THEN;
                }
                continue;
            };
            let task = self.clone_task(first, f);
            let stops = self.acts[first].task.contains("stop");
            let inside = self.inside_of(f, partner, ask.node).filter(|_| stops);
            let Some(a) = self.newest(inside.unwrap_or(partner), None, Some(&task), ask.node) else {
                continue;
            };
            let own = self.acts[then].task.clone();
            let inside = self.inside_of(t, i, ask.node).filter(|_| own.contains("mote"));
            let Some(b) = self.newest(inside.unwrap_or(i), None, Some(&own), ask.node) else { continue };
            if self.link(a, b, ask.kind) {
                changed |= FIRST | THEN;
            }
            let flags = self.flags_of(a, ask.node);
            changed |= self.tell_pair(i, a, b, Ask { flags, ..ask });
        }
        changed
    }

    /// Takes a fact from an action because of another one, and remembers why.
    fn take(&mut self, a: ActIx, flag: u32, because: ActIx) {
        if !self.acts[a].is(flag) {
            return;
        }
        self.acts[a].flags &= !flag;
        if self.acts[a].rsc == self.acts[because].rsc {
            return;
        }
        let word = if flag == act::OPTIONAL { "required" } else { "unrunnable" };
        let other = &self.acts[because];
        let reason = match other.rsc {
            Some(r) => format!("{word} {} {}", self.rscs[r].id, other.task),
            None => format!("{word} {}", other.task),
        };
        if flag == act::MIGRATES || self.acts[a].reason.is_none() {
            self.acts[a].reason = Some(reason);
        }
    }

    fn tell_actions(&mut self, first: ActIx, then: ActIx, ask: Ask) -> u8 {
        let Ask { flags, filter, kind, .. } = ask;
        let (then_flags, first_flags) = (self.acts[then].flags, self.acts[first].flags);
        let on = |bit: u32| kind & bit != 0;
        let wants = |bit: u32| filter & bit != 0;
        let is = |s: &Sched, a: ActIx, bit: u32| s.acts[a].is(bit);
        if on(ord::ASYMMETRICAL) {
            self.tell_asymmetrical(first, then);
        }
        if on(ord::IMPLIES_FIRST) && then_flags & act::OPTIONAL == 0 {
            if wants(act::OPTIONAL) && flags & act::OPTIONAL == 0 && first_flags & act::OPTIONAL != 0 {
                self.take(first, act::OPTIONAL, then);
            }
            if flags & act::MIGRATES != 0 && !is(self, then, act::MIGRATES) {
                self.take(first, act::MIGRATES, then);
            }
        }
        let promoted = self.acts[then].rsc.is_some_and(|r| self.rscs[r].role == Role::Promoted);
        if on(ord::PROMOTED_IMPLIES_FIRST)
            && promoted
            && wants(act::OPTIONAL)
            && !is(self, then, act::OPTIONAL)
        {
            self.take(first, act::OPTIONAL, then);
            if is(self, first, act::MIGRATES) && !is(self, then, act::MIGRATES) {
                self.take(first, act::MIGRATES, then);
            }
        }
        if on(ord::IMPLIES_FIRST_MIGRATABLE) && wants(act::OPTIONAL) {
            if !is(self, then, act::MIGRATES | act::RUNNABLE) {
                self.take(first, act::RUNNABLE, then);
            }
            if !is(self, then, act::OPTIONAL) {
                self.take(first, act::OPTIONAL, then);
            }
        }
        if on(ord::PSEUDO_LEFT) && wants(act::OPTIONAL) && !is(self, first, act::RUNNABLE) {
            self.take(then, act::MIGRATES, first);
            self.acts[then].flags &= !act::PSEUDO;
        }
        if on(ord::RUNNABLE_LEFT)
            && wants(act::RUNNABLE)
            && is(self, then, act::RUNNABLE)
            && flags & act::RUNNABLE == 0
        {
            self.take(then, act::RUNNABLE, first);
            self.take(then, act::MIGRATES, first);
        }
        if on(ord::IMPLIES_THEN)
            && wants(act::OPTIONAL)
            && is(self, then, act::OPTIONAL)
            && flags & act::OPTIONAL == 0
            && !is(self, first, act::MIGRATES)
        {
            self.take(then, act::OPTIONAL, first);
        }
        if on(ord::RESTART) {
            self.tell_restart(first, then, filter);
        }
        let mut changed = 0;
        if then_flags != self.acts[then].flags {
            changed |= THEN;
            if self.acts[then].rsc.is_some_and(|r| self.rscs[r].parent.is_some()) {
                self.settle(then);
            }
        }
        if first_flags != self.acts[first].flags {
            changed |= FIRST;
        }
        changed
    }

    fn tell_asymmetrical(&mut self, first: ActIx, then: ActIx) {
        let Some(r) = self.acts[then].rsc else { return };
        let role = self.role_of(r, true);
        let action = &self.acts[then];
        if role == Role::Stopped && action.task == "stop" {
            return;
        }
        let here = matches!(self.rscs[r].running_on[..], [n] if action.node == Some(n));
        if role >= Role::Started && action.is(act::OPTIONAL) && here && action.task == "start" {
            return;
        }
        if !self.acts[first].is(act::RUNNABLE) {
            self.take(then, act::OPTIONAL, first);
            self.take(then, act::RUNNABLE, first);
        }
    }

    fn tell_restart(&mut self, first: ActIx, then: ActIx, filter: u32) {
        let Some(r) = self.acts[then].rsc else { return };
        let needed = filter & act::OPTIONAL != 0 && !self.acts[then].is(act::OPTIONAL);
        let stuck = filter & act::RUNNABLE != 0
            && !self.acts[then].is(act::RUNNABLE)
            && self.rscs[r].managed
            && self.acts[first].rsc == Some(r);
        if !needed && !stuck {
            return;
        }
        if self.acts[first].is(act::RUNNABLE) {
            self.take(first, act::OPTIONAL, then);
        }
        if !self.acts[then].is(act::OPTIONAL) {
            self.take(first, act::OPTIONAL, then);
        }
        if !self.acts[then].is(act::MIGRATES) {
            self.take(first, act::MIGRATES, then);
        }
        if !self.acts[first].is(act::OPTIONAL) && !self.acts[first].is(act::RUNNABLE) {
            self.take(then, act::RUNNABLE, first);
        }
    }

    /// Probes come before what other orderings put after a stop, and before restarts.
    fn order_probes(&mut self) {
        for r in self.top.clone() {
            self.probes_before_restarts(r);
        }
        self.probes_before_stops();
    }

    fn probes_before_restarts(&mut self, r: RscIx) {
        if self.rscs[r].kind != Kind::Primitive {
            self.rscs[r].children.clone().into_iter().for_each(|c| self.probes_before_restarts(c));
            return;
        }
        for probe in self.actions_of(r, "monitor", None, false) {
            for at in (0..self.acts[probe].after.len()).rev() {
                let after = self.acts[probe].after[at].other;
                self.probe_before(probe, after);
                self.acts.iter_mut().for_each(|a| a.flags &= !act::TRACKING);
            }
        }
    }

    fn probe_before(&mut self, probe: ActIx, after: ActIx) {
        let Some(pr) = self.acts[probe].rsc else { return };
        if self.acts[probe].task != "monitor" || self.acts[after].is(act::TRACKING) {
            return;
        }
        self.acts[after].flags |= act::TRACKING;
        let ar = self.acts[after].rsc;
        if let Some(r) = ar.filter(|r| self.rscs[*r].kind == Kind::Primitive && *r != pr) {
            let thens = match self.acts[after].task.as_str() {
                "start" => self.actions_of(r, "stop", None, false),
                "promote" => self.actions_of(r, "demote", None, false),
                _ => Vec::new(),
            };
            for then in thens {
                if !self.acts[then].is(act::PSEUDO) {
                    self.link(probe, then, ord::OPTIONAL);
                }
            }
        }
        let clone = ar.filter(|r| self.rscs[*r].kind >= Kind::Clone);
        let interleave =
            clone.is_some_and(|c| is_true(self.rscs[c].meta.get("interleave").map(String::as_str)));
        let partner = clone.filter(|_| interleave).and_then(|c| self.partner(pr, c, Role::Unknown, false));
        for at in (0..self.acts[after].after.len()).rev() {
            let link = self.acts[after].after[at];
            if link.kind & ord::IMPLIES_THEN == 0 {
                let Some(r) = ar.filter(|r| self.rscs[*r].kind != Kind::Primitive) else { continue };
                let other = self.acts[link.other].rsc;
                let Some(o) = other.filter(|o| self.rscs[*o].kind < Kind::Clone) else { continue };
                if self.rscs[pr].parent == Some(r) || self.rscs[o].parent != Some(r) {
                    continue;
                }
                if interleave && partner != Some(o) {
                    continue;
                }
            }
            self.probe_before(probe, link.other);
        }
    }

    fn probes_before_stops(&mut self) {
        for at in 0..self.orders.len() {
            let order = self.orders[at].clone();
            let Some(first) =
                order.first.rsc.filter(|f| order.kind != ord::NONE && order.then.rsc != Some(*f))
            else {
                continue;
            };
            let stops = match order.first.action {
                Some(a) => self.acts[a].task == "stop",
                None => order.first.key.as_ref().is_some_and(|k| k.ends_with("_stop_0")),
            };
            let leaves = order.then.rsc.is_some() && self.rscs[first].container == order.then.rsc;
            let both = leaves
                && match (order.then.action, &order.then.key) {
                    (Some(a), _) => self.acts[a].task == "stop",
                    (None, k) => k.as_ref().is_some_and(|k| k.ends_with("_stop_0")),
                };
            if !stops || both || (order.then.action.is_none() && order.then.key.is_none()) {
                continue;
            }
            let kind = match order.kind {
                k @ (ord::ANTI_COLOCATION | ord::LOAD) => k,
                k => ord::OPTIONAL | (k & (ord::FIRST_NON_MIGRATABLE | ord::SAME_NODE)),
            };
            let probes = self.actions_of(first, "monitor", None, false);
            if probes.is_empty() {
                continue;
            }
            let thens = match (order.then.action, order.then.rsc) {
                (Some(a), _) => vec![a],
                (None, Some(r)) => {
                    let wanted = order.then.key.clone().unwrap_or_default();
                    self.find_actions(Some(r), &wanted, None)
                }
                _ => Vec::new(),
            };
            for &probe in &probes {
                for &then in &thens {
                    let (p, t) = (&self.acts[probe], &self.acts[then]);
                    let elsewhere =
                        t.task == "do_shutdown" && p.node.is_some() && t.node.is_some() && p.node != t.node;
                    if !elsewhere {
                        self.link(probe, then, kind);
                    }
                }
            }
        }
    }

    /// Orderings that would tie a migration to itself are dropped.
    fn drop_invalid_orders(&mut self) {
        for a in (0..self.acts.len()).rev() {
            for at in (0..self.acts[a].before.len()).rev() {
                let link = self.acts[a].before[at];
                let input = &self.acts[link.other];
                let guest = input.node.and_then(|n| self.guest_of(n));
                let own = self.acts[a].rsc.filter(|r| !self.rscs[*r].fillers.is_empty());
                if link.kind & ord::PRESERVE == 0 && input.rsc.is_some() && own.is_some() && own == guest {
                    self.acts[a].before[at].kind = ord::NONE;
                    continue;
                }
                let load =
                    link.kind == ord::LOAD && self.acts[a].rsc.is_some() && self.acts[a].task == "migrate_to";
                if load && self.has_loop(a, a, at) {
                    self.acts[a].before[at].kind = ord::NONE;
                }
            }
        }
    }
}
