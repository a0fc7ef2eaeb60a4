//! `pacemaker-schedulerd`: a CIB in, a transition graph out. It remembers nothing.

use super::config::AgentTimes;
use super::msg::{Daemon, Graph, Line, Local, Op, Step};
use super::{Place, draw, tell};
use crate::engine::Span;
use crate::node::process::{Action, Input, Timer};
use crate::proto::pacemaker::model::{ActIx, Kind, NodeIx, Rsc, Sched};
use crate::proto::pacemaker::plan::Plan;
use crate::proto::pacemaker::score;
use crate::proto::pacemaker::sets::About;
use crate::proto::pacemaker::time::interval;
use crate::proto::pacemaker::{history::base_name, schedule};
use crate::proto::{Cx, Msg};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The answer is ready.
const READY: Timer = Timer(0);
/// `timeout` of an operation that states none.
const TIMEOUT: Span = Span::secs(20);

/// The process.
#[derive(Clone, Debug, Default)]
pub struct Schedulerd {
    place: Arc<Place>,
    waiting: Option<(u32, Arc<Graph>)>,
}

impl Schedulerd {
    /// Before its start.
    pub fn new(place: Arc<Place>) -> Self {
        Schedulerd { place, waiting: None }
    }
    /// As it was before its start.
    pub fn reset(&mut self) {
        self.waiting = None;
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => cx.act(Action::Bind(Daemon::Schedulerd.port())),
            Input::Packet { msg: Msg::Crm(m), .. } => match *m {
                Local::Schedule { re, cib, now } => {
                    let graph = schedule(&cib, now).map(|p| graph(&p, &self.place.name)).unwrap_or_default();
                    self.waiting = Some((re, Arc::new(graph)));
                    let took = draw(cx, self.place.times.scheduler);
                    cx.set_timer(READY, took);
                }
                Local::Quit => cx.act(Action::Exit(0)),
                _ => {}
            },
            Input::Timer(READY) => {
                if let Some((re, graph)) = self.waiting.take() {
                    tell(&self.place, Daemon::Controld, Local::Graph { re, graph }, cx);
                }
            }
            _ => {}
        }
    }
}

/// The plan as a controller carries it out.
pub fn graph(plan: &Plan, dc: &Arc<str>) -> Graph {
    let s = &plan.sched;
    let line = |i: &crate::proto::pacemaker::summary::Item| {
        let what = i.rsc.clone().or_else(|| i.from.clone()).unwrap_or_default();
        let story = i.rsc.as_deref().zip(i.to.as_deref()).map(|(r, to)| told(s, r, to)).unwrap_or_default();
        Line { change: i.change.clone(), what, details: i.details(), reason: reason(i), story }
    };
    fn reason(i: &crate::proto::pacemaker::summary::Item) -> String {
        let why = i.reason.clone().unwrap_or_default();
        if i.blocked { format!("{why} (blocked)") } else { why }
    }
    let steps = plan.actions.iter().enumerate().map(|(at, a)| {
        let action = &s.acts[a.act];
        Step {
            key: a.key.clone(),
            task: a.task.clone(),
            rsc: a.rsc.clone(),
            node: a.node.clone(),
            pseudo: a.pseudo,
            delay: a.delay,
            fencing: action.fencing.clone(),
            after: a.after.clone(),
            stuck: a.stuck,
            urgent: action.priority >= score::INF,
            op: (!a.pseudo).then(|| operation(s, a.act, dc, at)).flatten().map(Arc::new),
            cancels: action.cancels.clone().map(|t| (t, Span::ms(action.interval))),
        }
    });
    Graph {
        steps: steps.collect(),
        summary: plan.summary.iter().map(line).collect(),
        batch_limit: u32::try_from(s.options.batch_limit).unwrap_or(0),
        recheck: s.recheck,
        forbidden: forbidden(s).into(),
    }
}

/// Primitives and nodes (that are there) where their score is -INFINITY; of a clone's instances it has to be so for all.
fn forbidden(s: &Sched) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let primitives = || {
        let stonith = |r: &&Rsc| r.xml.get("class") == Some("stonith");
        s.rscs.iter().filter(|r| r.kind == Kind::Primitive && !r.orphan).filter(move |r| !stonith(r))
    };
    for r in primitives() {
        let name = base_name(&r.id);
        for (n, node) in s.nodes.iter().enumerate().filter(|(_, node)| node.online) {
            let is = |o: &Rsc| o.allowed.get(n).is_none_or(|slot| slot.score <= -score::INF);
            let known = || all.iter().any(|(a, b)| a == name && *b == node.name);
            if is(r) && !known() && primitives().filter(|o| base_name(&o.id) == name).all(is) {
                all.push((name.to_owned(), node.name.clone()));
            }
        }
    }
    all
}

/// Why a resource goes to a node: what the rules gave it there.
fn told(s: &Sched, rsc: &str, node: &str) -> String {
    let (Some(r), Some(n)) = (s.find_rsc(rsc), s.find_node(node)) else { return String::new() };
    let mut words: Vec<String> = Vec::new();
    for t in s.story(r, n) {
        if t.before != Some(t.after) && t.before.is_some() {
            let text = format!("{} -> {}", t.cause.text(), score::show(t.after));
            if !words.contains(&text) {
                words.push(text);
            }
        }
    }
    words.join("; ")
}

fn operation(s: &Sched, a: ActIx, dc: &Arc<str>, at: usize) -> Option<Op> {
    let action = &s.acts[a];
    let r = action.rsc?;
    let rsc = &s.rscs[r];
    let id = match &rsc.history_name {
        Some(name) if rsc.orphan => name.clone(),
        _ if rsc.unique => rsc.id.clone(),
        _ => base_name(&rsc.xml_id).to_owned(),
    };
    let xml = &rsc.xml;
    let text = |k: &str| xml.get(k).map(str::to_owned);
    let meta = s.op_meta(r, &action.key, &action.task, action.interval);
    let timeout = meta.get("timeout").map_or(TIMEOUT, |t| Span::ms(interval(t)));
    let mut params = BTreeMap::new();
    let about = About { node: action.node.map(|n: NodeIx| &s.nodes[n].attributes), ..About::default() };
    s.pairs(xml, "instance_attributes", about, None, false, &mut params);
    Some(Op {
        rsc: id,
        agent: (text("class"), text("provider"), text("type")),
        task: if action.task == "reload-agent" { "reload-agent".into() } else { action.task.clone() },
        interval: Span::ms(action.interval),
        timeout,
        params,
        expected: action.expected.unwrap_or(0),
        key: (dc.clone(), 0, at),
        action: action.key.clone(),
        migration: action.migration.map(|(x, y)| (s.nodes[x].name.clone(), s.nodes[y].name.clone())),
        notify: s.notify_lists(a),
    })
}

/// How long an agent takes is no part of a CIB: by resource.
pub type AgentTable = BTreeMap<String, AgentTimes>;
