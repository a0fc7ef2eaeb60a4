//! A transition carried out as if everything went well: what runs, in which order, and the status after it.

use super::cib::{Cib, Digest, History, HistoryOp, NodeState};
use super::graph::Step;
use super::model::{ActIx, Sched, act};

/// Something that ran.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// The resource; none for what concerns a node.
    pub rsc: Option<String>,
    /// What was done: an operation, or `reboot`, `off`, and the like for a node.
    pub task: String,
    /// Where.
    pub node: String,
    /// The interval in milliseconds.
    pub interval: u64,
}

impl Sched {
    /// Carries out the graph. Tells what ran, the CIB after it, and whether all of the graph could run.
    pub(super) fn run(&self, graph: &[Step]) -> (Vec<Ran>, Cib, bool) {
        let mut cib = (*self.cib).clone();
        let mut done = vec![false; self.acts.len()];
        let mut fired = vec![false; graph.len()];
        let mut ran = Vec::new();
        loop {
            let mut any = false;
            for (at, step) in graph.iter().enumerate() {
                if fired[at] || !step.after.iter().all(|a| done[*a]) {
                    continue;
                }
                fired[at] = true;
                any = true;
                done[step.action] = true;
                self.carry_out(step.action, &mut cib, &mut ran);
            }
            if !any {
                break;
            }
        }
        (ran, cib, fired.iter().all(|f| *f))
    }

    /// The name under which the history of a resource is kept.
    fn history_id(&self, r: usize) -> String {
        let rsc = &self.rscs[r];
        match &rsc.history_name {
            Some(name) if rsc.orphan => name.clone(),
            _ if rsc.unique => rsc.id.clone(),
            _ => rsc.xml_id.clone(),
        }
    }

    fn carry_out(&self, a: ActIx, cib: &mut Cib, ran: &mut Vec<Ran>) {
        let action = &self.acts[a];
        let Some(n) = action.node else { return };
        let node = self.nodes[n].name.clone();
        if action.task == "stonith" {
            if !action.is(act::PSEUDO) {
                let how = action.fencing.clone().unwrap_or_default();
                ran.push(Ran { rsc: None, task: how, node: node.clone(), interval: 0 });
                fenced(cib, &self.nodes[n].id, &node);
            }
            return;
        }
        if action.is(act::PSEUDO) {
            return;
        }
        if matches!(action.task.as_str(), "do_shutdown" | "clear_failcount" | "lrm_delete" | "probe_complete")
        {
            ran.push(Ran { rsc: None, task: action.task.clone(), node, interval: 0 });
            return;
        }
        let Some(r) = action.rsc else { return };
        let id = self.history_id(r);
        let shown = if self.find_rsc(&id).is_some() {
            id.clone()
        } else {
            self.rscs[r].history_name.clone().filter(|h| *h != id).unwrap_or_else(|| self.rscs[r].id.clone())
        };
        ran.push(Ran {
            rsc: Some(shown.clone()),
            task: action.task.clone(),
            node: node.clone(),
            interval: action.interval,
        });
        if matches!(action.task.as_str(), "delete" | "meta-data") {
            return;
        }
        let state = match cib.nodes.iter().position(|s| s.name == node) {
            Some(s) => &mut cib.nodes[s],
            None => {
                cib.nodes.push(NodeState {
                    id: self.nodes[n].id.clone(),
                    name: node.clone(),
                    ..NodeState::default()
                });
                let last = cib.nodes.len() - 1;
                &mut cib.nodes[last]
            }
        };
        let known = state
            .histories
            .iter()
            .position(|h| h.id == shown)
            .or_else(|| state.histories.iter().position(|h| h.id == id));
        let history = match known {
            Some(h) => &mut state.histories[h],
            None => {
                let xml = &self.rscs[r].xml;
                let text = |k: &str| xml.get(k).map(str::to_owned);
                state.histories.push(History {
                    id: id.clone(),
                    class: text("class"),
                    provider: text("provider"),
                    agent: text("type"),
                    container: None,
                    locked: None,
                    ops: Vec::new(),
                });
                let last = state.histories.len() - 1;
                &mut state.histories[last]
            }
        };
        let key = super::actions::key(&id, &action.task, action.interval);
        let op_id = match action.task.as_str() {
            "notify" => action.key.clone(),
            "migrate_to" | "migrate_from" => key.clone(),
            _ if action.interval > 0 => key.clone(),
            _ => super::actions::key(&id, "last", 0),
        };
        let task = if action.task == "reload-agent" { "start".to_owned() } else { action.task.clone() };
        let key = if task == action.task { key } else { super::actions::key(&id, &task, action.interval) };
        let expected = action.expected.unwrap_or(0);
        let call = history.ops.iter().map(|o| o.call).max().unwrap_or(0).max(0).saturating_add(1);
        let name = |n: usize| self.nodes[n].name.clone();
        let op = HistoryOp {
            id: op_id,
            key,
            task,
            interval: action.interval,
            rc: expected,
            status: 0,
            call,
            expected: Some(expected),
            transition: None,
            changed: Some(self.now),
            digest: Digest::Current,
            source: action.migration.map(|(s, _)| name(s)),
            target: action.migration.map(|(_, t)| name(t)),
            ..HistoryOp::default()
        };
        match history.ops.iter_mut().find(|o| o.id == op.id) {
            Some(o) => *o = op,
            None => history.ops.push(op),
        }
        state.histories.iter_mut().for_each(fold_doubles);
    }
}

/// The CIB matches what is written to it by id: of entries with one id, the first takes the facts of the last.
fn fold_doubles(history: &mut History) {
    for at in 0..history.ops.len() {
        let op = history.ops[at].clone();
        if let Some(first) = history.ops.iter_mut().find(|o| o.id == op.id) {
            *first = op;
        }
    }
}

/// A node that has been fenced: off, and nothing is known of it.
fn fenced(cib: &mut Cib, id: &str, node: &str) {
    let state = NodeState {
        id: id.to_owned(),
        name: node.to_owned(),
        in_ccm: Some("false".into()),
        crmd: Some("offline".into()),
        join: Some("down".into()),
        expected: Some("down".into()),
        fenced: None,
        attributes: None,
        histories: Vec::new(),
    };
    match cib.nodes.iter_mut().find(|s| s.name == node) {
        Some(s) => *s = state,
        None => cib.nodes.push(state),
    }
}
