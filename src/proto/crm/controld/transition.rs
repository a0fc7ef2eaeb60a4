//! Transitions: asking the scheduler, carrying its graph out, giving it up when something new happens.
//!
//! While other changes of the CIB are under way the controller finds that its copy is old, waits a second and asks again (`controld_schedulerd.c`): how
//! often is drawn from what was measured ([`super::super::config::Times::re_ask`]). A failed action ends its transition: what is under way ends,
//! nothing new begins, and the scheduler is asked again.

use super::lrm::{entry, header};
use super::{ACTION, Controld, RE_ASK, RECHECK, RECHECK_INTERVAL, State};
use crate::engine::{Span, Time};
use crate::proto::crm::cib::property_of;
use crate::proto::crm::msg::{
    ActionKey, Daemon, FenceError, Fencing, Graph, Line, Local, Op, Update, Versioned, Wire,
};
pub(super) use crate::proto::crm::note::Cause;
use crate::proto::crm::note::Note;
use crate::proto::crm::{NodeId, seconds, tell, weighted};
use crate::proto::pacemaker::score::show;
use crate::proto::pacemaker::time::interval;
use crate::proto::{Cx, Note as Told};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// `cluster-delay`: an action may take its timeout and this before it is given up.
const CLUSTER_DELAY: Span = Span::secs(60);
/// `stonith-timeout`.
const STONITH_TIMEOUT: Span = Span::secs(60);
/// `stonith-max-attempts`.
const MAX_ATTEMPTS: u32 = 10;

/// How far an action is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    Waits,
    /// Under way; given up at this time.
    Runs(Option<Time>),
    Done,
    Failed,
}

/// A transition under way.
#[derive(Clone, Debug)]
pub(super) struct Transition {
    pub(super) id: i64,
    pub(super) graph: Arc<Graph>,
    pub(super) progress: Vec<Progress>,
    /// Nothing new begins.
    pub(super) aborted: bool,
    /// And why the scheduler is asked when all that runs has ended.
    then: Option<Cause>,
}

/// The transition engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Engine {
    numbers: u32,
    pub(super) last: i64,
    pub(super) running: Option<Transition>,
    /// The number of the question to `based` or to the scheduler.
    asked: Option<u32>,
    /// Something happened since the CIB was read.
    again: bool,
    /// Whether it waits to ask again.
    waits: bool,
    pub(super) cause: Option<Cause>,
    /// Nodes that have joined at some time.
    pub(super) seen: BTreeSet<NodeId>,
    /// Nodes that were lost and have not come back.
    pub(super) away: BTreeSet<NodeId>,
    /// It waits for its own changes before it asks.
    held: bool,
    /// Nodes that were told to leave.
    pub(super) shut_down: BTreeSet<NodeId>,
    /// It is its own turn to leave, when the transition is over.
    goes: bool,
    failures: BTreeMap<Arc<str>, u32>,
    pub(super) told: Vec<Line>,
    /// Where the last plan wants resources never to be.
    pub(super) forbidden: Arc<[(String, String)]>,
    settings: Settings,
}

/// Cluster properties that the controller itself goes by.
#[derive(Clone, Debug)]
struct Settings {
    recheck: Span,
    stonith_timeout: Span,
    max_attempts: u32,
    start_failure_is_fatal: bool,
}
impl Default for Settings {
    fn default() -> Self {
        Settings {
            recheck: RECHECK_INTERVAL,
            stonith_timeout: STONITH_TIMEOUT,
            max_attempts: MAX_ATTEMPTS,
            start_failure_is_fatal: true,
        }
    }
}

impl Engine {
    pub(super) fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }
    /// Everything that was going on is forgotten: another one coordinates.
    pub(super) fn drop_all(&mut self) {
        self.running = None;
        self.asked = None;
        self.again = false;
        self.waits = false;
        self.held = false;
        self.cause = None;
        self.goes = false;
        self.told.clear();
        self.forbidden = Arc::default();
    }
    pub(super) fn fencing(&self) -> Vec<String> {
        let Some(t) = &self.running else { return Vec::new() };
        let steps = t.graph.steps.iter().zip(&t.progress);
        let open = steps.filter(|(s, p)| {
            s.task == "stonith" && !s.pseudo && !matches!(p, Progress::Done | Progress::Failed)
        });
        open.filter_map(|(s, _)| s.node.clone()).collect()
    }
}
impl Transition {
    fn in_flight(&self) -> usize {
        self.progress.iter().filter(|p| matches!(p, Progress::Runs(_))).count()
    }
}

impl Controld {
    /// Something has happened that the scheduler must know (`abort_transition`).
    pub(super) fn invoke(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        if !self.is_dc() {
            return;
        }
        match self.state {
            State::Integration => {
                self.engine.cause = self.engine.cause.max(Some(cause));
            }
            State::PolicyEngine => {
                self.engine.again = true;
                self.engine.cause = self.engine.cause.max(Some(cause));
            }
            State::TransitionEngine => {
                if let Some(t) = &mut self.engine.running {
                    t.aborted = true;
                    t.then = t.then.max(Some(cause));
                }
                self.go_on(cx);
            }
            _ => {
                self.state = State::PolicyEngine;
                self.engine.again = false;
                self.engine.cause = None;
                cx.cancel_timer(RECHECK);
                let times = self.place.times.clone();
                let weights = match cause {
                    Cause::Lost => times.re_ask,
                    Cause::NewDc => times.re_ask_new_dc,
                    Cause::Joined => times.re_ask_join,
                    Cause::Event | Cause::Recheck => Vec::new(),
                };
                let again = weighted(cx, &weights);
                if again == 0 {
                    return self.ask_cib(cx);
                }
                self.engine.waits = true;
                cx.note(Told::Crm(Box::new(Note::AskedAgain { times: again, cause })));
                cx.set_timer(RE_ASK, Span::secs(again));
            }
        }
    }
    /// Nodes join: nothing new begins until they are in.
    pub(super) fn hold(&mut self, cx: &mut Cx<'_>) {
        self.engine.waits = false;
        self.engine.asked = None;
        cx.cancel_timer(RE_ASK);
        cx.cancel_timer(RECHECK);
        if let Some(t) = &mut self.engine.running {
            t.aborted = true;
        }
    }
    pub(super) fn ask_cib(&mut self, cx: &mut Cx<'_>) {
        if !self.is_dc() || self.state != State::PolicyEngine {
            return;
        }
        self.engine.waits = false;
        self.engine.again = false;
        self.engine.held = self.made < self.sent;
        if self.engine.held {
            return;
        }
        let re = self.engine.number();
        self.engine.asked = Some(re);
        tell(&self.place, Daemon::Based, Local::Query { from: Daemon::Controld, re }, cx);
    }
    pub(super) fn cib_for_scheduler(&mut self, re: u32, cib: Versioned, cx: &mut Cx<'_>) {
        if self.engine.asked != Some(re) || self.state != State::PolicyEngine {
            return;
        }
        // What the last transition has begun and not ended ends first.
        let root = &cib.cib.root;
        let time = |name: &str, usual: Span| property_of(root, name).map_or(usual, |t| Span::ms(interval(t)));
        self.engine.settings = Settings {
            recheck: time("cluster-recheck-interval", RECHECK_INTERVAL),
            stonith_timeout: time("stonith-timeout", STONITH_TIMEOUT),
            max_attempts: property_of(root, "stonith-max-attempts")
                .and_then(|n| n.parse().ok())
                .unwrap_or(MAX_ATTEMPTS),
            start_failure_is_fatal: property_of(root, "start-failure-is-fatal") != Some("false"),
        };
        let mut cib = cib.cib;
        // `no-quorum-policy=suicide` is for those who have had quorum.
        let fences = matches!(property_of(&cib.root, "no-quorum-policy"), Some("suicide" | "fence"));
        if fences && self.ever_quorate && !self.quorate {
            Arc::make_mut(&mut Arc::make_mut(&mut cib).root).set("no-quorum-panic", "1");
        }
        let re = self.engine.number();
        self.engine.asked = Some(re);
        let now = seconds(cx);
        tell(&self.place, Daemon::Schedulerd, Local::Schedule { re, cib, now }, cx);
    }
    pub(super) fn graph(&mut self, re: u32, graph: Arc<Graph>, cx: &mut Cx<'_>) {
        if self.engine.asked != Some(re) || self.state != State::PolicyEngine {
            return;
        }
        self.engine.asked = None;
        if self.engine.again {
            return self.ask_cib(cx);
        }
        for line in &graph.summary {
            if !self.engine.told.contains(line) {
                cx.note(Told::Crm(Box::new(Note::Decided {
                    line: Arc::new(line.clone()),
                    quorate: self.quorate,
                })));
            }
        }
        self.engine.told.clone_from(&graph.summary);
        self.engine.forbidden = graph.forbidden.clone();
        self.engine.last += 1;
        let progress = vec![Progress::Waits; graph.steps.len()];
        self.engine.running =
            Some(Transition { id: self.engine.last, graph, progress, aborted: false, then: None });
        self.state = State::TransitionEngine;
        self.go_on(cx);
    }
    /// Begins what can begin; ends the transition when nothing runs any more.
    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>) {
        loop {
            let Some(t) = &self.engine.running else { return };
            let graph = t.graph.clone();
            let limit = graph.batch_limit as usize;
            let ready = |t: &Transition, at: usize| {
                let s = &graph.steps[at];
                t.progress[at] == Progress::Waits
                    && (!t.aborted || s.urgent)
                    && !s.stuck
                    && s.after.iter().all(|a| t.progress.get(*a) == Some(&Progress::Done))
                    && (s.pseudo || limit == 0 || t.in_flight() < limit)
            };
            // Agents first: what is only for the order is passed through afterwards.
            let first = |pseudo: bool| {
                (0..graph.steps.len()).find(|at| graph.steps[*at].pseudo == pseudo && ready(t, *at))
            };
            match first(false).or_else(|| first(true)) {
                Some(at) => self.carry_out(&graph, at, cx),
                None => break,
            }
        }
        self.watch_actions(cx);
        let over = self.engine.running.as_ref().is_some_and(|t| t.in_flight() == 0);
        if over {
            self.transition_over(cx);
        }
    }
    fn transition_over(&mut self, cx: &mut Cx<'_>) {
        let Some(t) = self.engine.running.take() else { return };
        if self.state != State::TransitionEngine {
            return;
        }
        self.state = State::Idle;
        if std::mem::take(&mut self.engine.goes) {
            return tell(&self.place, Daemon::Pacemakerd, Local::Shutdown, cx);
        }
        if let Some(cause) = t.then {
            return self.invoke(cause, cx);
        }
        let mut recheck = self.engine.settings.recheck;
        if let Some(at) = t.graph.recheck {
            let left = u64::try_from(at - seconds(cx)).unwrap_or(0) + 1;
            if recheck.is_zero() || Span::secs(left) < recheck {
                recheck = Span::secs(left);
            }
        }
        if !recheck.is_zero() {
            cx.set_timer(RECHECK, recheck);
        }
    }
    fn set(&mut self, at: usize, progress: Progress) {
        if let Some(p) = self.engine.running.as_mut().and_then(|t| t.progress.get_mut(at)) {
            *p = progress;
        }
    }
    fn carry_out(&mut self, graph: &Arc<Graph>, at: usize, cx: &mut Cx<'_>) {
        let s = &graph.steps[at];
        let id = self.engine.last;
        let key: ActionKey = (self.place.name.clone(), id, at);
        let node = s.node.as_deref().unwrap_or_default();
        let peer = self.place.id_of(node);
        if s.pseudo {
            return self.set(at, Progress::Done);
        }
        match s.task.as_str() {
            "stonith" => {
                self.set(at, Progress::Runs(None));
                let delay = Span::secs(u64::try_from(s.delay).unwrap_or(0));
                let action = s.fencing.clone().unwrap_or_else(|| "reboot".into());
                let reason = graph.summary.iter().find(|l| l.what == node && l.change.starts_with("Fence"));
                let reason: Arc<str> = reason.map(|l| l.reason.as_str()).unwrap_or_default().into();
                let target: Arc<str> = node.into();
                let note = Note::FenceRequested {
                    target: target.clone(),
                    action: action.as_str().into(),
                    delay,
                    reason,
                };
                cx.note(Told::Crm(Box::new(note)));
                let fencing =
                    Fencing { target, action, delay, timeout: self.engine.settings.stonith_timeout };
                tell(&self.place, Daemon::Fenced, Local::Fence(fencing), cx);
            }
            "do_shutdown" => {
                let Some(peer) = peer else { return self.set(at, Progress::Done) };
                self.engine.shut_down.insert(peer);
                // Its own going waits until everything else is done.
                let own = peer == self.place.me;
                self.engine.goes |= own;
                self.set(at, if own { Progress::Done } else { Progress::Runs(None) });
                let leaves = Update::Node {
                    node: node.into(),
                    in_ccm: None,
                    crmd: None,
                    join: None,
                    expected: Some("down"),
                };
                self.change(vec![leaves], cx);
                if !own {
                    self.say(Wire::ShutdownNow { to: peer }, cx);
                }
            }
            "clear_failcount" => {
                let rsc = s
                    .rsc
                    .as_deref()
                    .map(crate::proto::pacemaker::history::base_name)
                    .unwrap_or_default()
                    .to_owned();
                for what in ["fail-count", "last-failure"] {
                    let prefix = format!("{what}-{rsc}#");
                    tell(
                        &self.place,
                        Daemon::Attrd,
                        Local::ClearAttributes { node: node.into(), prefix },
                        cx,
                    );
                }
                let id = crate::proto::pacemaker::actions::key(&rsc, "last_failure", 0);
                self.change(vec![Update::EraseOp { node: node.into(), rsc, id }], cx);
                self.set(at, Progress::Done);
            }
            "delete" | "lrm_delete" => {
                let rsc = s.op.as_ref().map(|o| o.rsc.clone()).or_else(|| s.rsc.clone()).unwrap_or_default();
                let Some(peer) = peer else { return self.set(at, Progress::Done) };
                self.set(at, Progress::Runs(Some(cx.now + CLUSTER_DELAY)));
                self.say(Wire::Delete { to: peer, rsc, key }, cx);
            }
            "cancel" => {
                let (Some(peer), Some((task, interval)), Some(op)) = (peer, s.cancels.clone(), s.op.as_ref())
                else {
                    return self.set(at, Progress::Done);
                };
                self.set(at, Progress::Runs(Some(cx.now + CLUSTER_DELAY)));
                self.say(Wire::Cancel { to: peer, rsc: op.rsc.clone(), task, interval, key }, cx);
            }
            _ => {
                let (Some(peer), Some(op)) = (peer, s.op.as_ref()) else {
                    return self.set(at, Progress::Done);
                };
                let mut op: Op = (**op).clone();
                op.key = key;
                self.set(at, Progress::Runs(Some(cx.now + op.timeout + CLUSTER_DELAY)));
                let op = Arc::new(op);
                if peer == self.place.me {
                    self.execute(&op, cx);
                } else {
                    self.say(Wire::Do { to: peer, op }, cx);
                }
            }
        }
    }
    fn watch_actions(&self, cx: &mut Cx<'_>) {
        let Some(t) = &self.engine.running else { return cx.cancel_timer(ACTION) };
        let first =
            t.progress.iter().filter_map(|p| if let Progress::Runs(at) = p { *at } else { None }).min();
        match first {
            Some(at) => cx.set_timer(ACTION, Span(at.0.saturating_sub(cx.now.0))),
            None => cx.cancel_timer(ACTION),
        }
    }
    /// Actions whose nodes do not answer are taken for failed.
    pub(super) fn actions_lost(&mut self, cx: &mut Cx<'_>) {
        let Some(t) = &self.engine.running else { return };
        let lost: Vec<usize> = (0..t.progress.len())
            .filter(|at| matches!(t.progress[*at], Progress::Runs(Some(by)) if by <= cx.now))
            .collect();
        let graph = t.graph.clone();
        for at in lost {
            let step = &graph.steps[at];
            if let (Some(op), Some(node)) = (&step.op, &step.node) {
                let mut e = entry(op, seconds(cx));
                (e.rc, e.status) = (1, 2);
                let by = ("".into(), i64::MIN, 0);
                self.change(
                    vec![Update::Op {
                        node: node.as_str().into(),
                        of: Arc::new(header(op)),
                        op: Arc::new(e),
                        by,
                    }],
                    cx,
                );
            }
            self.failed(at, Some(Cause::Event));
        }
        self.go_on(cx);
    }
    fn failed(&mut self, at: usize, then: Option<Cause>) {
        self.set(at, Progress::Failed);
        if let Some(t) = &mut self.engine.running {
            t.aborted = true;
            t.then = t.then.max(then);
        }
    }
    /// An action without a result in the CIB is done.
    pub(super) fn acted(&mut self, key: &ActionKey, ok: bool, cx: &mut Cx<'_>) {
        if self.engine.running.as_ref().is_some_and(|t| t.id == key.1) {
            if ok {
                self.set(key.2, Progress::Done);
            } else {
                self.failed(key.2, Some(Cause::Event));
            }
            self.go_on(cx);
        }
    }
    /// The CIB has changed.
    pub(super) fn changed(&mut self, updates: &[Update], cx: &mut Cx<'_>) {
        for u in updates {
            match u {
                Update::Mark { node, number } if *node == self.place.name => {
                    self.made = self.made.max(*number);
                    if self.engine.held && self.made >= self.sent {
                        self.ask_cib(cx);
                    }
                }
                Update::EraseHistory { node, rsc }
                    if *node == self.place.name && self.lrm.remove(rsc).is_some() =>
                {
                    tell(&self.place, Daemon::Execd, Local::Forget { rsc: rsc.clone() }, cx);
                }
                Update::EraseOp { node, rsc, id } if *node == self.place.name => {
                    if let Some(h) = self.lrm.get_mut(rsc) {
                        h.ops.retain(|o| o.id != *id);
                    }
                }
                _ => {}
            }
        }
        if !self.is_dc() {
            for u in updates {
                // Every node knows who has been there: the next DC needs it.
                if let Update::Node { node, join: Some("member"), .. } = u {
                    self.engine.seen.extend(self.place.id_of(node));
                }
            }
            return;
        }
        for u in updates {
            match u {
                Update::Op { node, op, by, .. } if op.status != -1 => self.result(node, op, by, cx),
                Update::Attribute { .. } | Update::NodeAttribute { .. } | Update::Config(_) => {
                    self.invoke(Cause::Event, cx)
                }
                Update::EraseHistory { .. } => {
                    let ours = self.engine.running.as_ref().is_some_and(|t| {
                        t.graph.steps.iter().any(|s| matches!(s.task.as_str(), "delete" | "lrm_delete"))
                    });
                    if !ours {
                        self.invoke(Cause::Event, cx);
                    }
                }
                _ => {}
            }
        }
    }
    fn result(
        &mut self,
        node: &Arc<str>,
        op: &crate::proto::pacemaker::cib::HistoryOp,
        by: &ActionKey,
        cx: &mut Cx<'_>,
    ) {
        if by.1 == i64::MIN {
            return;
        }
        let ok = op.status == 0 && op.expected == Some(op.rc);
        let ours = by.0 == self.place.name
            && self
                .engine
                .running
                .as_ref()
                .is_some_and(|t| t.id == by.1 && matches!(t.progress.get(by.2), Some(Progress::Runs(_))));
        if !ok {
            self.count_failure(node, op, cx);
        }
        if ours {
            if ok {
                self.set(by.2, Progress::Done);
            } else {
                self.failed(by.2, Some(Cause::Event));
            }
            self.go_on(cx);
        } else if !ok {
            self.invoke(Cause::Event, cx);
        }
    }
    /// The fail count of the resource on the node (`update_failcount`).
    fn count_failure(&self, node: &Arc<str>, op: &crate::proto::pacemaker::cib::HistoryOp, cx: &mut Cx<'_>) {
        let value = match op.task.as_str() {
            "start" if self.engine.settings.start_failure_is_fatal => show(1_000_000),
            "stop" => show(1_000_000),
            "monitor" if op.interval == 0 => return,
            _ => "++".to_owned(),
        };
        let tail = format!("_{}_{}", op.task, op.interval);
        let rsc = op.key.strip_suffix(&tail).unwrap_or(&op.key);
        let name = |what: &str| format!("{what}-{rsc}#{}_{}", op.task, op.interval);
        let attribute =
            |name: String, value: String| Local::Attribute { node: node.clone(), name, value: Some(value) };
        tell(&self.place, Daemon::Attrd, attribute(name("fail-count"), value), cx);
        tell(&self.place, Daemon::Attrd, attribute(name("last-failure"), seconds(cx).to_string()), cx);
    }

    // ---- fencing ---------------------------------------------------------------------------------------------------

    /// Whether the present transition fences a node, or has: that it goes is no news then.
    pub(super) fn is_fenced_here(&self, target: &str) -> bool {
        let Some(t) = &self.engine.running else { return false };
        let steps = t.graph.steps.iter().zip(&t.progress);
        let fences = |s: &crate::proto::crm::msg::Step| {
            s.task == "stonith" && !s.pseudo && s.node.as_deref() == Some(target)
        };
        steps.into_iter().any(|(s, p)| fences(s) && *p != Progress::Waits)
    }
    /// The step that fences a node.
    fn fencing_step(&self, target: &str) -> Option<usize> {
        let t = self.engine.running.as_ref()?;
        (0..t.progress.len()).find(|at| {
            let s = &t.graph.steps[*at];
            s.task == "stonith"
                && !s.pseudo
                && s.node.as_deref() == Some(target)
                && matches!(t.progress[*at], Progress::Runs(_))
        })
    }
    pub(super) fn fenced(
        &mut self,
        target: &Arc<str>,
        by: &Arc<str>,
        action: &str,
        result: Result<(), FenceError>,
        cx: &mut Cx<'_>,
    ) {
        if *target == self.place.name && result.is_ok() && action != "on" {
            // fence-reaction=stop.
            cx.note(Told::Crm(Box::new(Note::ToldFenced { by: by.clone() })));
            tell(&self.place, Daemon::Pacemakerd, Local::Quit, cx);
            return cx.act(crate::node::process::Action::Exit(100));
        }
        if !self.is_dc() {
            return;
        }
        let step = self.fencing_step(target);
        match result {
            Ok(()) => {
                self.engine.failures.remove(target);
                if let Some(id) = self.place.id_of(target) {
                    self.engine.shut_down.remove(&id);
                }
                let down = Update::Node {
                    node: target.clone(),
                    in_ccm: Some(false),
                    crmd: Some(false),
                    join: Some("down"),
                    expected: Some("down"),
                };
                self.change(vec![Update::EraseNode { node: target.clone() }, down], cx);
                match step {
                    Some(at) => {
                        self.set(at, Progress::Done);
                        self.go_on(cx);
                    }
                    None => self.invoke(Cause::Event, cx),
                }
            }
            Err(_) => {
                let Some(at) = step else { return };
                let times = self.engine.failures.entry(target.clone()).or_default();
                *times += 1;
                let times = *times;
                let more = times < self.engine.settings.max_attempts;
                if times == self.engine.settings.max_attempts {
                    cx.note(Told::Crm(Box::new(Note::FenceGivenUp { target: target.clone(), times })));
                }
                self.failed(at, more.then_some(Cause::Event));
                self.go_on(cx);
            }
        }
    }
    /// The own fencer is gone, and what was asked of it with it.
    pub(super) fn fencer_gone(&mut self, cx: &mut Cx<'_>) {
        let Some(t) = &self.engine.running else { return };
        let open: Vec<usize> = (0..t.progress.len())
            .filter(|at| t.graph.steps[*at].task == "stonith" && matches!(t.progress[*at], Progress::Runs(_)))
            .collect();
        if open.is_empty() {
            return;
        }
        for at in open {
            self.failed(at, Some(Cause::Event));
        }
        self.go_on(cx);
    }
    /// A peer is gone: what it was doing will never be answered.
    pub(super) fn peer_is_gone(&mut self, node: &str, in_order: bool, cx: &mut Cx<'_>) {
        let Some(t) = &mut self.engine.running else { return };
        let graph = t.graph.clone();
        for (at, s) in graph.steps.iter().enumerate() {
            if s.node.as_deref() != Some(node)
                || s.task == "stonith"
                || !matches!(t.progress[at], Progress::Runs(_))
            {
                continue;
            }
            if s.task == "do_shutdown" && in_order {
                t.progress[at] = Progress::Done;
            } else {
                t.progress[at] = Progress::Failed;
                t.aborted = true;
            }
        }
        self.go_on(cx);
    }
}
