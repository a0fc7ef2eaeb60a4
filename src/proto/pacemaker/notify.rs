//! Notifications: instances of a clone with `notify=true` hear before and after something of it starts, stops, or changes its role.

use super::model::{ActIx, NodeIx, Role, RscIx, Sched, act, ord};
use super::score::INF;

/// The notifications around one task of a clone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notice {
    task: String,
    pre: Option<ActIx>,
    pre_done: Option<ActIx>,
    post: Option<ActIx>,
    post_done: Option<ActIx>,
}

/// What `OCF_RESKEY_CRM_meta_notify_*` tell the agents of a clone with `notify=true`: the names of nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lists {
    /// `pre` or `post`, and the task: of a notification only.
    pub about: Option<(String, String)>,
    /// `promoted_uname`, once `master_uname`: where an instance is promoted as the transition begins.
    pub promoted: Vec<String>,
    /// `unpromoted_uname`, once `slave_uname`: where one runs that is not.
    pub unpromoted: Vec<String>,
    /// `start_uname`: where the transition starts one.
    pub start: Vec<String>,
    /// `stop_uname`.
    pub stop: Vec<String>,
    /// `promote_uname`.
    pub promote: Vec<String>,
    /// `demote_uname`.
    pub demote: Vec<String>,
}

/// Who does what, as far as notifications depend on it.
#[derive(Default)]
struct Doing {
    start: bool,
    stop: bool,
    promote: bool,
    demote: bool,
}

impl Sched {
    fn notice_action(
        &mut self,
        r: RscIx,
        around: ActIx,
        task: &str,
        kind: &str,
        notice: (&str, &str),
    ) -> ActIx {
        let (optional, of) = (self.acts[around].is(act::OPTIONAL), self.acts[around].task.clone());
        let key = format!("{}_{kind}_notify_{of}_0", self.rscs[r].id);
        let a = self.action(Some(r), &key, task, None, optional);
        self.acts[a].flags |= act::PSEUDO;
        self.acts[a].notice = Some((notice.0.to_owned(), notice.1.to_owned()));
        a
    }

    fn notice(&mut self, r: RscIx, task: &str, action: Option<ActIx>, complete: Option<ActIx>) -> Notice {
        let mut made = Notice { task: task.to_owned(), ..Notice::default() };
        if let Some(action) = action {
            let pre = self.notice_action(r, action, "notify", "pre", ("pre", task));
            let done = self.notice_action(r, action, "notified", "confirmed-pre", ("pre", task));
            self.acts[pre].flags |= act::RUNNABLE;
            self.acts[done].flags |= act::RUNNABLE;
            self.link(pre, done, ord::OPTIONAL);
            self.link(done, action, ord::OPTIONAL);
            (made.pre, made.pre_done) = (Some(pre), Some(done));
        }
        if let Some(complete) = complete {
            let post = self.notice_action(r, complete, "notify", "post", ("post", task));
            let done = self.notice_action(r, complete, "notified", "confirmed-post", ("post", task));
            for a in [post, done] {
                self.acts[a].priority = INF;
                let runnable = self.acts[complete].flags & act::RUNNABLE;
                self.acts[a].flags = (self.acts[a].flags & !act::RUNNABLE) | runnable;
            }
            self.link(complete, post, ord::IMPLIES_THEN);
            self.link(post, done, ord::IMPLIES_THEN);
            (made.post, made.post_done) = (Some(post), Some(done));
        }
        if let (Some(done), Some(post)) = (made.pre_done, made.post) {
            self.link(done, post, ord::OPTIONAL);
        }
        made
    }

    /// Puts notifications around a task of a clone, once; tells whether they are there.
    pub(super) fn announce(
        &mut self,
        c: RscIx,
        slot: usize,
        task: &str,
        action: ActIx,
        complete: ActIx,
    ) -> bool {
        if self.rscs[c].notify && self.rscs[c].clone.notices[slot].is_none() {
            let made = self.notice(c, task, Some(action), Some(complete));
            self.rscs[c].clone.notices[slot] = Some(made);
        }
        self.rscs[c].notify
    }

    /// The notifications of one task end before those of another begin.
    pub(super) fn order_announcements(&mut self, c: RscIx, first: usize, then: usize) {
        let notices = &self.rscs[c].clone.notices;
        let done = notices[first].as_ref().and_then(|n| n.post_done);
        let pre = notices[then].as_ref().and_then(|n| n.pre);
        if let (Some(done), Some(pre)) = (done, pre) {
            self.link(done, pre, ord::OPTIONAL);
        }
    }

    fn doing(&self, r: RscIx, doing: &mut Doing) {
        let rsc = &self.rscs[r];
        if !rsc.children.is_empty() {
            return rsc.children.iter().for_each(|c| self.doing(*c, doing));
        }
        for a in &rsc.actions {
            let a = &self.acts[*a];
            let Some(n) = a.node.filter(|_| !a.is(act::OPTIONAL)) else { continue };
            let fenced = a.task == "stop" && self.nodes[n].unclean;
            if !fenced && !a.is(act::RUNNABLE) {
                continue;
            }
            doing.start |= a.task == "start";
            doing.stop |= a.task == "stop";
            doing.promote |= a.task == "promote";
            doing.demote |= a.task == "demote";
        }
    }

    /// What an action of an instance of a clone is told of the transition; nothing without `notify=true`.
    pub fn notify_lists(&self, a: ActIx) -> Option<Lists> {
        let r = self.acts[a].rsc?;
        if !self.rscs[r].notify {
            return None;
        }
        let mut lists = Lists { about: self.acts[a].notice.clone(), ..Lists::default() };
        self.name_doers(self.outermost(r), &mut lists);
        let Lists { promoted, unpromoted, start, stop, promote, demote, .. } = &mut lists;
        for names in [promoted, unpromoted, start, stop, promote, demote] {
            names.sort_by(|a, b| super::unpack::natural(a, b));
            names.dedup();
        }
        Some(lists)
    }
    fn name_doers(&self, r: RscIx, lists: &mut Lists) {
        let rsc = &self.rscs[r];
        if !rsc.children.is_empty() {
            return rsc.children.iter().for_each(|c| self.name_doers(*c, lists));
        }
        let name = |n: NodeIx| self.nodes[n].name.clone();
        let here = rsc.running_on.iter().map(|n| name(*n));
        match rsc.role {
            Role::Promoted => lists.promoted.extend(here),
            Role::Unpromoted => lists.unpromoted.extend(here),
            _ => {}
        }
        for a in &rsc.actions {
            let a = &self.acts[*a];
            let Some(n) = a.node.filter(|_| !a.is(act::OPTIONAL)) else { continue };
            let fenced = a.task == "stop" && self.nodes[n].unclean;
            if !fenced && !a.is(act::RUNNABLE) {
                continue;
            }
            match a.task.as_str() {
                "start" => lists.start.push(name(n)),
                "stop" => lists.stop.push(name(n)),
                "promote" => lists.promote.push(name(n)),
                "demote" => lists.demote.push(name(n)),
                _ => {}
            }
        }
    }

    /// Makes the notifications of the instances.
    pub(super) fn make_notices(&mut self, c: RscIx) {
        for slot in 0..4 {
            let Some(notice) = self.rscs[c].clone.notices[slot].clone() else { continue };
            let mut doing = Doing::default();
            self.doing(c, &mut doing);
            let required = match notice.task.as_str() {
                "start" => doing.start,
                "stop" => doing.stop,
                "promote" => doing.promote,
                _ => doing.demote,
            };
            if required {
                for a in [notice.pre, notice.pre_done, notice.post, notice.post_done].into_iter().flatten() {
                    self.acts[a].flags &= !act::OPTIONAL;
                }
            }
            self.notify_instances(c, &notice, &doing);
        }
    }

    fn notify_instances(&mut self, r: RscIx, notice: &Notice, doing: &Doing) {
        let children = self.rscs[r].children.clone();
        if !children.is_empty() {
            return children.into_iter().for_each(|c| self.notify_instances(c, notice, doing));
        }
        let task = notice.task.as_str();
        let moot = match task {
            "start" => !doing.start,
            "promote" => !doing.promote,
            "demote" => !doing.demote,
            _ => false,
        };
        if moot {
            return;
        }
        if self.rscs[r].role != Role::Stopped && matches!(task, "stop" | "demote") {
            let stop = self.newest(r, None, Some("stop"), None);
            let pseudo = stop.is_some_and(|s| self.acts[s].is(act::PSEUDO));
            let stays = stop.is_none_or(|s| self.acts[s].is(act::OPTIONAL));
            for n in self.rscs[r].running_on.clone() {
                if pseudo && (self.nodes[n].unclean || self.nodes[n].reset) {
                    continue;
                }
                self.notify_one(r, n, notice.pre, notice.pre_done);
                if task == "demote" || stays {
                    self.notify_after(r, n, notice);
                }
            }
        }
        if self.rscs[r].next_role != Role::Stopped && matches!(task, "start" | "promote") {
            let start = self.newest(r, None, Some("start"), None);
            if let Some(s) = start.and_then(|s| self.acts[s].node) {
                let connection = self.nodes[s].connection;
                let up = connection.and_then(|c| self.newest(c, None, Some("start"), None));
                if up.is_some_and(|a| !self.acts[a].is(act::RUNNABLE)) {
                    return;
                }
            }
            let Some((n, _)) = self.rscs[r].assigned else { return };
            if task != "start" || start.is_none_or(|s| self.acts[s].is(act::OPTIONAL)) {
                self.notify_one(r, n, notice.pre, notice.pre_done);
            }
            self.notify_after(r, n, notice);
        }
    }

    fn notify_one(
        &mut self,
        r: RscIx,
        n: NodeIx,
        around: Option<ActIx>,
        done: Option<ActIx>,
    ) -> Option<ActIx> {
        let (around, done) = (around?, done?);
        if !self.nodes[n].online || !self.acts[around].is(act::RUNNABLE) {
            return None;
        }
        let (kind, task) = self.acts[around].notice.clone()?;
        let key = format!("{}_{kind}_notify_{task}_0", self.rscs[r].id);
        let optional = self.acts[around].is(act::OPTIONAL);
        let own = self.acts[around].task.clone();
        let a = self.action(Some(r), &key, &own, Some(n), optional);
        self.acts[a].notice = Some((kind, task));
        self.link(around, a, ord::OPTIONAL);
        self.link(a, done, ord::OPTIONAL);
        Some(a)
    }

    fn notify_after(&mut self, r: RscIx, n: NodeIx, notice: &Notice) {
        if let Some(a) = self.notify_one(r, n, notice.post, notice.post_done) {
            self.acts[a].priority = INF;
        }
        let Some(done) = notice.post_done else { return };
        for a in self.rscs[r].actions.clone().into_iter().rev() {
            if self.acts[a].interval > 0 && self.acts[a].task != "cancel" {
                self.link(done, a, ord::OPTIONAL);
            }
        }
    }

    /// The survivors hear of an instance that fencing has stopped.
    pub(super) fn announce_fencing(&mut self, r: RscIx, _stop: ActIx, fence: ActIx) {
        let notice = self.notice(r, "stop", None, Some(fence));
        let top = self.outermost(r);
        self.notify_instances(top, &notice, &Doing::default());
    }
}
