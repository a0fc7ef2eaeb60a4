//! The controller's side of its node's executor: it hands operations on and writes their results into the CIB.

use super::Controld;
use crate::engine::Span;
use crate::proto::Cx;
use crate::proto::crm::msg::{Daemon, Done, Local, Op, Update, Wire};
use crate::proto::crm::{seconds, tell};
use crate::proto::pacemaker::actions::key;
use crate::proto::pacemaker::cib::{Digest, History, HistoryOp};
use std::sync::Arc;

/// The entry of an operation in a history.
pub(super) fn entry(op: &Op, now: i64) -> HistoryOp {
    let every = op.interval.as_ms();
    let task = if op.task == "reload-agent" { "start" } else { &op.task };
    let own = key(&op.rsc, task, every);
    let id = if every > 0 || task.starts_with("migrate") { own.clone() } else { key(&op.rsc, "last", 0) };
    HistoryOp {
        id,
        key: own,
        task: task.to_owned(),
        interval: every,
        rc: 193,
        status: -1,
        call: -1,
        expected: Some(op.expected),
        transition: Some((op.key.0.to_string(), op.key.1)),
        changed: Some(now),
        digest: Digest::Current,
        source: op.migration.as_ref().map(|m| m.0.clone()),
        target: op.migration.as_ref().map(|m| m.1.clone()),
        ..HistoryOp::default()
    }
}
/// A history without entries.
pub(super) fn header(op: &Op) -> History {
    let (class, provider, agent) = op.agent.clone();
    History {
        id: op.rsc.clone(),
        class,
        provider,
        agent,
        locked: None,
        ops: Vec::new(),
        ..History::default()
    }
}

impl Controld {
    /// Hands an operation to the own executor.
    pub(super) fn execute(&mut self, op: &Arc<Op>, cx: &mut Cx<'_>) {
        if op.task != "notify" && op.interval.is_zero() {
            // record-pending: everybody knows that it has begun.
            let began = entry(op, seconds(cx));
            self.record(op, began, cx);
        }
        tell(&self.place, Daemon::Execd, Local::Execute(op.clone()), cx);
    }
    fn record(&mut self, op: &Arc<Op>, e: HistoryOp, cx: &mut Cx<'_>) {
        let known = self.lrm.entry(op.rsc.clone()).or_insert_with(|| header(op));
        match known.ops.iter_mut().find(|o| o.id == e.id) {
            Some(o) => *o = e.clone(),
            None => known.ops.push(e.clone()),
        }
        let of = Arc::new(header(op));
        let update = Update::Op { node: self.place.name.clone(), of, op: Arc::new(e), by: op.key.clone() };
        self.change(vec![update], cx);
    }
    /// The executor has a result.
    pub(super) fn executed(&mut self, done: &Done, cx: &mut Cx<'_>) {
        let op = &done.op;
        if op.task == "notify" {
            let dc = self.place.id_of(&op.key.0);
            if let Some(to) = dc {
                self.say(Wire::Acted { to, key: op.key.clone() }, cx);
            }
            return;
        }
        self.call += 1;
        let mut e = entry(op, seconds(cx));
        e.rc = done.rc;
        e.status = done.status;
        e.call = self.call;
        let failed = done.rc != op.expected || done.status != 0;
        if failed && !(op.task == "monitor" && op.interval.is_zero() && matches!(done.rc, 0 | 7 | 8)) {
            let mut silent = e.clone();
            silent.id = key(&op.rsc, "last_failure", 0);
            // Written first, so that the DC finds both when it hears of the result.
            let known = self.lrm.entry(op.rsc.clone()).or_insert_with(|| header(op));
            known.ops.retain(|o| o.id != silent.id);
            known.ops.push(silent.clone());
            let nobody: Arc<str> = "".into();
            let update = Update::Op {
                node: self.place.name.clone(),
                of: Arc::new(header(op)),
                op: Arc::new(silent),
                by: (nobody, i64::MIN, 0),
            };
            self.change(vec![update], cx);
        }
        self.record(op, e, cx);
    }
    /// No more of a monitor.
    pub(super) fn cancel(&mut self, rsc: &str, task: &str, interval: Span, cx: &mut Cx<'_>) {
        let id = key(rsc, task, interval.as_ms());
        if let Some(h) = self.lrm.get_mut(rsc) {
            h.ops.retain(|o| o.id != id);
        }
        tell(
            &self.place,
            Daemon::Execd,
            Local::Cancel { rsc: rsc.to_owned(), task: task.to_owned(), interval },
            cx,
        );
        self.change(vec![Update::EraseOp { node: self.place.name.clone(), rsc: rsc.to_owned(), id }], cx);
    }
    /// The resource is forgotten.
    pub(super) fn forget(&mut self, rsc: &str, cx: &mut Cx<'_>) {
        self.lrm.remove(rsc);
        tell(&self.place, Daemon::Execd, Local::Forget { rsc: rsc.to_owned() }, cx);
        self.change(vec![Update::EraseHistory { node: self.place.name.clone(), rsc: rsc.to_owned() }], cx);
    }
}
