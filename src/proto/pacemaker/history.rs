//! What the history of a resource on a node says: whether it is active, in which role, what failed, and what follows from that.

use super::cib::HistoryOp;
use super::model::{Kind, MultipleActive, NodeIx, Role, RscIx, Sched, Slot, Table, act};
use super::score::INF;
use super::sorting::merge_sort;
use super::story::Cause;
use std::cmp::Ordering;

/// `on-fail`: what a failure leads to, the mildest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OnFail {
    /// Nothing.
    Ignore,
    /// A demotion.
    Demote,
    /// A restart, maybe elsewhere.
    Restart,
    /// The connection is made again, and the node behind it fenced.
    ResetRemote,
    /// What it runs in is restarted.
    RestartContainer,
    /// A move.
    Migrate,
    /// Nothing until the operator has looked.
    Block,
    /// A stop for good.
    Stop,
    /// The node runs nothing any more.
    Standby,
    /// The node is fenced.
    Fence,
}

/// A place in the status: node state, history, operation.
pub type OpIx = (usize, usize, usize);

/// What is gathered while a history is read.
struct Reading {
    last_failure: Option<String>,
    on_fail: OnFail,
}

/// Task and interval of an operation's key.
pub fn split_key(key: &str) -> (&str, u64) {
    let Some((rest, every)) = key.rsplit_once('_') else { return (key, 0) };
    let every = every.parse().unwrap_or(0);
    for task in ["migrate_to", "migrate_from"] {
        if rest.ends_with(&format!("_{task}")) {
            return (task, every);
        }
    }
    (rest.rsplit_once('_').map_or(rest, |(_, task)| task), every)
}

/// Where a resource's activity begins in its operations, and where it ended: places in the sorted list, or -1.
pub fn activity(ops: &[&HistoryOp]) -> (i64, i64) {
    let (mut start, mut stop, mut by_monitor, mut by_role) = (-1, -1, -1, -1);
    for (at, op) in (0_i64..).zip(ops) {
        match op.task.to_ascii_lowercase().as_str() {
            "stop" if op.status == 0 => stop = at,
            "start" | "migrate_from" => start = at,
            "monitor" if by_monitor <= stop && (op.rc == 0 || op.rc == 8) => {
                by_monitor = at;
            }
            "promote" | "demote" => by_role = at,
            _ => {}
        }
    }
    if start == -1 {
        start = if by_role == -1 { by_monitor } else { by_role };
    }
    (start, stop)
}

/// Which of two operations is newer, as far as can be told.
pub fn newer(a: &HistoryOp, b: &HistoryOp, same_node: bool) -> Ordering {
    let same_node = match (&a.on_node, &b.on_node) {
        (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
        _ => same_node,
    };
    if (same_node && a.id == b.id) || (a.call == -1 && b.call == -1) {
        return Ordering::Equal;
    }
    if a.call >= 0 && b.call >= 0 {
        if same_node && a.call != b.call {
            return a.call.cmp(&b.call);
        }
        let (x, y) = (a.changed.unwrap_or(-1), b.changed.unwrap_or(-1));
        return if x >= 0 && x < y {
            Ordering::Less
        } else if y >= 0 && x > y {
            Ordering::Greater
        } else {
            Ordering::Equal
        };
    }
    // One of them is pending: transitions tell.
    let (Some((p, x)), Some((q, y))) = (&a.transition, &b.transition) else { return Ordering::Equal };
    if !p.eq_ignore_ascii_case(q) || x == y {
        return if b.call == -1 { Ordering::Less } else { Ordering::Greater };
    }
    if (*x >= 0 && x < y) || *y == -1 { Ordering::Less } else { Ordering::Greater }
}

/// The operations of a history in the order in which they happened, with their places.
pub fn sorted(ops: &[HistoryOp]) -> Vec<(usize, &HistoryOp)> {
    let mut list: Vec<(usize, &HistoryOp)> = ops.iter().enumerate().rev().collect();
    merge_sort(&mut list, &mut |a, b| newer(a.1, b.1, true));
    list
}

/// The name of an instance without its number.
pub fn base_name(id: &str) -> &str {
    match id.rsplit_once(':') {
        Some((base, number)) if !base.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => base,
        _ => id,
    }
}

impl Sched {
    pub(super) fn read_history(&mut self, n: NodeIx, s: usize, h: usize) {
        let cib = self.cib.clone();
        let history = &cib.nodes[s].histories[h];
        if history.ops.is_empty() && !self.options.shutdown_lock {
            return;
        }
        let owner = match self.owner_of_history(n, &history.id) {
            None if !history.ops.is_empty() => self.orphan_of(history),
            owner => owner,
        };
        let Some(r) = owner else { return };
        if let (true, Some(since)) = (self.options.shutdown_lock, history.locked) {
            let limit = self.options.shutdown_lock_limit;
            if limit > 0 && self.now > since.saturating_add(limit) {
                self.forget_history(r, n);
            } else {
                self.rscs[r].locked_to = Some((n, since));
            }
        }
        let saved = self.rscs[r].role;
        self.rscs[r].role = Role::Unknown;
        let mut reading = Reading { last_failure: None, on_fail: OnFail::Ignore };
        let ops = sorted(&history.ops);
        for (o, _) in &ops {
            self.read_op(r, n, (s, h, *o), &mut reading);
        }
        let plain: Vec<&HistoryOp> = ops.iter().map(|(_, op)| *op).collect();
        let (start, stop) = activity(&plain);
        for (at, op) in (0_i64..).zip(&plain) {
            if !self.nodes[n].online {
                break;
            }
            let gone = (start < stop && at <= stop) || at < start;
            if !gone && op.interval > 0 && op.status != -1 {
                let key = format!("{}_{}_{}", self.rscs[r].id, op.task, op.interval);
                self.action(Some(r), &key, &op.task, Some(n), true);
            }
        }
        self.conclude(r, n, reading.on_fail);
        if let Some(role) = self.target_role(r) {
            let next = self.rscs[r].next_role;
            if next == Role::Unknown || role < next {
                self.rscs[r].next_role = role;
            }
        }
        if saved > self.rscs[r].role {
            self.rscs[r].role = saved;
        }
    }

    /// The resource that a history belongs to; for an anonymous clone, one of its instances.
    fn owner_of_history(&mut self, n: NodeIx, name: &str) -> Option<RscIx> {
        let zero = || format!("{}:0", base_name(name));
        let found = match self.find_rsc(name) {
            Some(r) if self.rscs[r].kind != Kind::Primitive => return None,
            Some(r) => r,
            None => self.find_rsc(&zero()).filter(|r| !self.rscs[*r].unique)?,
        };
        let top = self.outermost(found);
        let r = match self.bundle_of(top).filter(|_| self.is_anonymous_clone(top)) {
            Some(bundle) => self.replica_child(bundle, n)?,
            None if self.is_anonymous_clone(top) => self.free_instance(n, top, base_name(name))?,
            None => found,
        };
        let rsc = &mut self.rscs[r];
        if !rsc.id.eq_ignore_ascii_case(name) && rsc.history_name.as_deref() != Some(name) {
            rsc.history_name = Some(name.to_owned());
        }
        Some(r)
    }

    /// The primitive of a name in an instance.
    fn primitive_in(&self, r: RscIx, name: &str) -> Option<RscIx> {
        let rsc = &self.rscs[r];
        if rsc.id == name || rsc.xml_id == name {
            return Some(r);
        }
        rsc.children.iter().find_map(|c| self.primitive_in(*c, name))
    }

    /// The instance of an anonymous clone that a history on a node is given to.
    fn free_instance(&mut self, n: NodeIx, clone: RscIx, name: &str) -> Option<RscIx> {
        let (mut mine, mut idle, mut skip_idle) = (None, None, false);
        for child in self.rscs[clone].children.clone() {
            let mut places: Vec<NodeIx> = self.places(child, true).into_iter().map(|p| p.0).collect();
            self.pending_places(child, &mut places);
            if let Some(first) = places.first() {
                if *first == n {
                    mine = self.primitive_in(child, name);
                    if mine.is_some_and(|m| !self.rscs[m].running_on.is_empty()) {
                        skip_idle = true;
                        mine = None;
                    }
                    if mine.is_some() {
                        break;
                    }
                }
            } else if !skip_idle && idle.is_none() && !self.rscs[child].blocked {
                idle = self
                    .primitive_in(child, name)
                    .filter(|i| self.rscs[*i].pending.as_ref().is_none_or(|(_, at)| *at == n));
            }
        }
        let mut found = mine.or(if skip_idle { None } else { idle });
        if let Some(f) = found {
            let gone = (!self.nodes[n].online || self.nodes[n].unclean) && self.guest_of(n).is_none();
            let everywhere = self.rscs[clone].clone.max == self.present_nodes();
            if !self.rscs[f].needs_fencing && gone && !everywhere {
                found = None;
            }
        }
        found.or_else(|| {
            let made = self.new_instance(clone).ok().flatten()?;
            self.primitive_in(made, name)
        })
    }

    fn pending_places(&self, r: RscIx, places: &mut Vec<NodeIx>) {
        if let Some((_, at)) = &self.rscs[r].pending
            && !places.contains(at)
        {
            places.push(*at);
        }
        for &c in &self.rscs[r].children {
            self.pending_places(c, places);
        }
    }

    /// A resource that only the history knows.
    fn orphan_of(&mut self, history: &super::cib::History) -> Option<RscIx> {
        let mut xml = super::xml::Element::new("primitive", &[("id", &history.id)]);
        for (k, v) in [("class", &history.class), ("provider", &history.provider), ("type", &history.agent)] {
            if let Some(v) = v {
                xml.set(k, v);
            }
        }
        if let Some(c) = &history.container {
            xml.set("container", c);
        }
        let r = self.unpack(std::sync::Arc::new(xml), None, None).ok().flatten()?;
        if self.rscs[r].connection {
            self.link_orphan(r);
        }
        self.rscs[r].orphan_filler = history.container.is_some();
        self.rscs[r].orphan = true;
        self.top.push(r);
        if self.options.stop_orphans {
            self.add_score_everywhere(r, -INF, &Cause::Orphan);
        } else {
            self.rscs[r].managed = false;
        }
        Some(r)
    }

    fn set_active(&mut self, r: RscIx) {
        let promotable = self.rscs[self.outermost(r)].promotable;
        self.rscs[r].role = if promotable { Role::Unpromoted } else { Role::Started };
    }

    fn read_op(&mut self, r: RscIx, n: NodeIx, ix: OpIx, reading: &mut Reading) {
        let cib = self.cib.clone();
        let op = &cib.nodes[ix.0].histories[ix.1].ops[ix.2];
        if !(-1..=11).contains(&op.status) || matches!(op.task.as_str(), "notify" | "meta-data") {
            return;
        }
        let whole = if self.rscs[r].unique { r } else { self.outermost(r) };
        let expired = op.status != 7 && self.expiry(r, n, op, ix);
        let probe = op.task == "monitor" && op.interval == 0;
        let masked = probe && (op.rc == 5 || op.rc == 2 || op.status == 7);
        let expected = op.expected.unwrap_or(-1);
        let (rc, status) = self.effective(r, n, op, masked, reading);
        if expired && masked && op.rc != expected {
            if self.rscs[r].role <= Role::Stopped {
                self.rscs[r].role = Role::Unknown;
            }
            return;
        }
        if expired && rc != expected {
            if op.interval == 0 {
                return;
            }
            if self.nodes[n].online && !self.nodes[n].unclean {
                self.expired.push(ix);
                return;
            }
        }
        if masked {
            self.succeed(r, n, ix, expected, reading);
            self.add_score(whole, n, -INF, &Cause::ProbeFailed);
            return;
        }
        match status {
            1 => return,
            -1 => {
                self.under_way(r, n, op);
                return;
            }
            0 => {
                self.succeed(r, n, ix, rc, reading);
                return;
            }
            7 => {
                if self.on_fail(r, &op.key, &op.task).0 == OnFail::Ignore {
                    reading.on_fail = OnFail::Migrate;
                }
                self.add_score(whole, n, -INF, &Cause::HardError);
                self.fail(r, n, ix, rc, reading);
                return;
            }
            _ => {}
        }
        if let (8, Some(c)) = (status, self.nodes[n].connection.filter(|c| self.rscs[*c].managed)) {
            self.rscs[c].failed = true;
            self.rscs[c].needs_stop = true;
        }
        let how = self.on_fail(r, &op.key, &op.task).0;
        if how == OnFail::Ignore || (how == OnFail::RestartContainer && op.task == "stop") {
            self.succeed(r, n, ix, expected, reading);
            self.rscs[r].failure_ignored = true;
            if how == OnFail::RestartContainer && reading.on_fail <= OnFail::Restart {
                reading.on_fail = how;
            }
            return;
        }
        self.fail(r, n, ix, rc, reading);
        match status {
            5 | 10 | 11 => self.add_score(whole, n, -INF, &Cause::HardError),
            6 => self.add_score_everywhere(whole, -INF, &Cause::FatalError),
            _ => {}
        }
    }

    fn under_way(&mut self, r: RscIx, n: NodeIx, op: &HistoryOp) {
        match op.task.as_str() {
            "start" => {
                self.rscs[r].start_pending = true;
                self.set_active(r);
            }
            "promote" => self.rscs[r].role = Role::Promoted,
            "migrate_to" if self.nodes[n].unclean => {
                if let Some(target) = op.target.as_deref().and_then(|t| self.find_node(t)) {
                    self.stop_action(r, target, false);
                }
            }
            _ => {}
        }
        let probe = op.interval == 0 && op.task == "monitor";
        if self.rscs[r].pending.is_none() && !probe {
            self.rscs[r].pending = Some((op.task.clone(), n));
        }
    }

    /// What a result means: exit code and status after the rules for probes and roles.
    fn effective(
        &mut self,
        r: RscIx,
        n: NodeIx,
        op: &HistoryOp,
        masked: bool,
        reading: &mut Reading,
    ) -> (i32, i32) {
        let (mut rc, mut status) = (op.rc, op.status);
        let probe = op.task == "monitor" && op.interval == 0;
        if op.task == "monitor" {
            rc = match rc {
                190 => 0,
                191 => 8,
                rc => rc,
            };
        }
        if masked {
            (status, rc) = (0, 7);
        }
        if status != 0 && status != 4 {
            return (rc, status);
        }
        status = if op.expected == Some(rc) { 0 } else { 4 };
        match rc {
            0 if probe && op.expected == Some(7) => status = 0,
            7 if probe || op.expected == Some(7) || !self.rscs[r].managed => {
                status = 0;
                self.rscs[r].role = Role::Stopped;
                self.rscs[r].next_role = Role::Unknown;
                reading.on_fail = OnFail::Ignore;
            }
            8 => {
                if probe && op.expected != Some(8) {
                    status = 0;
                }
                self.rscs[r].role = Role::Promoted;
            }
            9 | 191 => {
                self.rscs[r].role = Role::Promoted;
                status = 4;
            }
            6 => status = 6,
            3 if op.interval > 0 => status = 3,
            2..=5 => {
                self.check_recoverable(r, n, op);
                status = 5;
            }
            0 | 7 => {}
            _ => status = if status == 0 { 4 } else { status },
        }
        (rc, status)
    }

    fn check_recoverable(&mut self, r: RscIx, n: NodeIx, op: &HistoryOp) {
        if op.task == "stop" && !self.can_fence(n) {
            self.rscs[r].managed = false;
            self.rscs[r].blocked = true;
        }
    }

    fn succeed(&mut self, r: RscIx, n: NodeIx, ix: OpIx, rc: i32, reading: &mut Reading) {
        let cib = self.cib.clone();
        let op = &cib.nodes[ix.0].histories[ix.1].ops[ix.2];
        let probe = op.task == "monitor" && op.interval == 0;
        let masked = probe && (op.rc == 5 || op.rc == 2 || op.status == 7);
        let mut clear = false;
        match op.task.to_ascii_lowercase().as_str() {
            _ if rc == 5 || masked => self.rscs[r].role = Role::Stopped,
            _ if rc == 7 => clear = true,
            "monitor" => {
                clear = reading.last_failure.as_deref().is_some_and(|k| k.eq_ignore_ascii_case(&op.key));
                if self.rscs[r].role < Role::Started {
                    self.set_active(r);
                }
            }
            "start" | "migrate_from" => {
                self.rscs[r].role = Role::Started;
                clear = true;
            }
            "stop" => {
                self.rscs[r].role = Role::Stopped;
                clear = true;
            }
            "promote" => {
                self.rscs[r].role = Role::Promoted;
                clear = true;
            }
            "demote" => {
                clear = reading.on_fail == OnFail::Demote;
                self.rscs[r].role = Role::Unpromoted;
            }
            "migrate_to" => self.migrated(r, n, ix),
            _ if self.rscs[r].role < Role::Started => self.set_active(r),
            _ => {}
        }
        let lasting =
            matches!(reading.on_fail, OnFail::Stop | OnFail::Fence | OnFail::Migrate | OnFail::Standby)
                || (reading.on_fail == OnFail::ResetRemote && self.rscs[r].reconnect > 0);
        if clear && !lasting {
            reading.on_fail = OnFail::Ignore;
            self.rscs[r].next_role = Role::Unknown;
        }
    }

    fn fail(&mut self, r: RscIx, n: NodeIx, ix: OpIx, rc: i32, reading: &mut Reading) {
        let cib = self.cib.clone();
        let op = &cib.nodes[ix.0].histories[ix.1].ops[ix.2];
        reading.last_failure = Some(op.key.clone());
        let (on_fail, fail_role) = self.on_fail(r, &op.key, &op.task);
        reading.on_fail = reading.on_fail.max(on_fail);
        match op.task.as_str() {
            "stop" => self.add_score(r, n, -INF, &Cause::StopFailed),
            "migrate_to" => self.migration_failed(r, n, ix),
            "migrate_from" => self.migration_failed_here(r, n, ix),
            "promote" => self.rscs[r].role = Role::Promoted,
            "demote" if on_fail == OnFail::Block => {
                self.rscs[r].role = Role::Promoted;
                self.rscs[r].next_role = Role::Stopped;
            }
            "demote" => self.rscs[r].role = if rc == 7 { Role::Stopped } else { Role::Unpromoted },
            _ => {}
        }
        let probe = op.task == "monitor" && op.interval == 0;
        if probe && rc == 5 {
            self.rscs[r].role = Role::Stopped;
        } else if self.rscs[r].role < Role::Started {
            self.set_active(r);
        }
        if fail_role != Role::Started && self.rscs[r].next_role < fail_role {
            self.rscs[r].next_role = fail_role;
        }
        if fail_role == Role::Stopped {
            let top = self.outermost(r);
            let whole = if self.is_anonymous_clone(top) { top } else { r };
            self.forbid_everywhere(whole, &Cause::OnFailStop);
        }
    }

    /// Puts -INFINITY into the table of a resource for every node.
    fn forbid_everywhere(&mut self, r: RscIx, cause: &Cause) {
        let before = self.rscs[r].allowed.clone();
        let slot = |d: &super::model::Node| Slot { score: -INF, count: 0, discovery: d.discovery };
        self.rscs[r].allowed = Table(self.nodes.iter().map(|d| (!d.absent).then(|| slot(d))).collect());
        self.tell_table(r, &before, cause);
    }

    /// What follows from a history that has been read.
    fn conclude(&mut self, r: RscIx, n: NodeIx, on_fail: OnFail) {
        if self.rscs[r].role != Role::Unknown {
            let mut at = Some(r);
            while let Some(x) = at {
                self.rscs[x].known_on[n] = true;
                at = if self.rscs[x].unique { None } else { self.rscs[x].parent };
            }
        }
        self.fence_where_active(r, n);
        let saved = on_fail;
        let on_fail = if self.nodes[n].unclean { OnFail::Ignore } else { on_fail };
        let active = !matches!(self.rscs[r].role, Role::Stopped | Role::Unknown);
        match on_fail {
            OnFail::Ignore => {}
            OnFail::Demote => {
                self.rscs[r].failed = true;
                self.demote_action(r, n, false);
            }
            OnFail::Fence => {
                let reason = format!("{} failed there", self.rscs[r].id);
                self.fence_node(n, &reason);
            }
            OnFail::Standby => self.nodes[n].standby = true,
            OnFail::Block => {
                self.rscs[r].managed = false;
                self.rscs[r].blocked = true;
            }
            OnFail::Migrate => self.add_score(r, n, -INF, &Cause::OnFailMigrate),
            OnFail::Stop => self.rscs[r].next_role = Role::Stopped,
            OnFail::Restart if active => {
                self.rscs[r].failed = true;
                self.rscs[r].needs_stop = true;
                self.stop_action(r, n, false);
            }
            OnFail::Restart => {}
            OnFail::RestartContainer => self.restart_container(r, n),
            OnFail::ResetRemote => self.reset_connection(r, n),
        }
        self.lost_connection(r);
        if active {
            self.add_running(r, n, saved != OnFail::Ignore);
            match on_fail {
                OnFail::Ignore => {}
                OnFail::Demote | OnFail::Block => self.rscs[r].failed = true,
                _ => {
                    self.rscs[r].failed = true;
                    self.rscs[r].needs_stop = true;
                }
            }
        } else if self.rscs[r].history_name.as_deref().is_some_and(|h| h.contains(':')) {
            self.rscs[r].history_name = None;
        } else {
            for a in self.actions_of(r, "stop", Some(n), false) {
                self.acts[a].flags |= act::OPTIONAL;
            }
        }
        if self.rscs[r].role == Role::Stopped
            && self.rscs[r].migrating_from == Some(n)
            && self.rscs[r].migrating_to.is_some()
            && !self.rscs[r].running_on.is_empty()
        {
            self.rscs[r].role = Role::Started;
        }
    }

    /// A resource runs on a node.
    pub(super) fn add_running(&mut self, r: RscIx, n: NodeIx, failed: bool) {
        if self.rscs[r].running_on.contains(&n) {
            return;
        }
        self.rscs[r].running_on.push(n);
        let primitive = self.rscs[r].kind == Kind::Primitive;
        if primitive {
            let rsc = &self.rscs[r];
            if rsc.priority != 0 && !failed {
                let more = if rsc.role == Role::Promoted { rsc.priority + 1 } else { rsc.priority };
                let hosts = self.guest_of(n).map(|g| self.rscs[g].running_on.clone()).unwrap_or_default();
                for n in hosts.into_iter().chain([n]) {
                    self.nodes[n].priority = self.nodes[n].priority.saturating_add(more);
                }
            }
            if self.nodes[n].maintenance {
                self.rscs[r].managed = false;
            }
        }
        if !self.rscs[r].managed {
            self.add_score(r, n, INF, &Cause::NotManaged);
            let mut at = self.rscs[r].parent;
            while let (Some(p), true) = (at, self.nodes[n].online) {
                self.rscs[p].running_on.push(n);
                at = self.rscs[p].parent;
            }
            return;
        }
        let (_, all, clean) = self.active_on(r);
        let several = if self.rscs[r].needs_fencing { all } else { clean } > 1;
        if primitive && several {
            match self.rscs[r].multiple {
                MultipleActive::StopOnly => self.forbid_everywhere(r, &Cause::MultipleActive),
                MultipleActive::Block => {
                    self.rscs[r].managed = false;
                    self.rscs[r].blocked = true;
                    let group = self.rscs[r].parent.filter(|p| {
                        matches!(self.rscs[*p].kind, Kind::Group | Kind::Bundle)
                            && self.rscs[*p].multiple == MultipleActive::Block
                    });
                    for c in group.map(|g| self.rscs[g].children.clone()).unwrap_or_default() {
                        self.rscs[c].managed = false;
                        self.rscs[c].blocked = true;
                    }
                }
                _ => {}
            }
        }
        if let Some(p) = self.rscs[r].parent {
            self.add_running(p, n, false);
        }
    }
}
