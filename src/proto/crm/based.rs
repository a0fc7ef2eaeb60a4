//! `pacemaker-based`: the CIB. Changes go through the process group `cib`, so that every node makes the same ones in the same order.

use super::config::Operator;
use super::msg::{Daemon, Local, Update, Versioned, Wire};
use super::{Place, cib, tell};
use crate::node::process::{Action, Input, Signal};
use crate::proto::corosync::api::{Client, Confchg, Event, Group, News};
use crate::proto::pacemaker::cpg::Payload;
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The process group.
pub const GROUP: Group = Group("cib");

/// The process.
#[derive(Clone, Debug)]
pub struct Based {
    place: Arc<Place>,
    first: Versioned,
    cib: Versioned,
    corosync: Client,
    joined: bool,
    /// Changes that were asked for before it was in the group.
    waiting: Vec<Update>,
}

impl Based {
    /// Before its start; `first` is what the operator has written.
    pub fn new(place: Arc<Place>, first: Versioned) -> Self {
        Based {
            place,
            cib: first.clone(),
            first,
            corosync: Client::default(),
            joined: false,
            waiting: Vec::new(),
        }
    }
    /// As it was before its start.
    pub fn reset(&mut self) {
        *self = Based::new(self.place.clone(), self.first.clone());
    }
    /// The CIB that it holds.
    pub fn cib(&self) -> &Versioned {
        &self.cib
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match self.corosync.on(&input, cx) {
            Some(News::Connected(_)) => return self.corosync.join(GROUP, cx),
            Some(News::Lost) => return cx.act(Action::Exit(102)),
            Some(News::Event(Event::Deliver { payload: Payload::Crm(wire), .. })) => {
                if let Wire::Change(updates) = &*wire {
                    self.make(updates, cx);
                }
                return;
            }
            Some(News::Event(Event::Confchg(Confchg { .. }))) => {
                self.joined = true;
                let waiting = std::mem::take(&mut self.waiting);
                if !waiting.is_empty() && !self.changes_nothing(&waiting) {
                    self.ask(waiting, cx);
                }
                return;
            }
            Some(News::Event(_)) => return,
            None => {}
        }
        match input {
            Input::Start => {
                if let Some(saved) = &cx.files.crm.cib {
                    self.cib = saved.clone();
                }
                cx.act(Action::Bind(Daemon::Based.port()));
                self.corosync.connect(cx);
            }
            Input::Packet { msg: Msg::Crm(m), .. } | Input::Call(Msg::Crm(m)) => match *m {
                Local::Query { from, re } => {
                    tell(&self.place, from, Local::Cib { re, cib: self.cib.clone() }, cx);
                }
                Local::Change(updates) if !self.changes_nothing(&updates) => self.ask(updates, cx),
                Local::Operator(Operator::Cleanup { resource }) => self.clean_up(&resource, cx),
                Local::Operator(o) => self.ask(vec![Update::Config(o)], cx),
                Local::Quit => cx.act(Action::Exit(0)),
                _ => {}
            },
            Input::Signal(Signal::Term) => {}
            _ => {}
        }
    }
    fn ask(&mut self, updates: Vec<Update>, cx: &mut Cx<'_>) {
        if self.joined {
            self.corosync.mcast(GROUP, Payload::Crm(Arc::new(Wire::Change(updates))), cx);
        } else {
            self.waiting.extend(updates);
        }
    }
    /// `crm_resource --cleanup`: fail counts go everywhere; where an operation has failed the whole history of the resource goes, so that it is
    /// probed again. The tool reads the CIB to know where that is.
    fn clean_up(&mut self, resource: &str, cx: &mut Cx<'_>) {
        let mut updates = Vec::new();
        for rsc in cib::primitives_of(&self.cib.cib.root, resource) {
            for s in &self.cib.cib.nodes {
                let node: Arc<str> = s.name.as_str().into();
                for what in ["fail-count", "last-failure"] {
                    let (node, prefix) = (node.clone(), format!("{what}-{rsc}#"));
                    tell(&self.place, Daemon::Attrd, Local::ClearAttributes { node, prefix }, cx);
                }
                let failed = format!("{rsc}_last_failure_0");
                if s.histories.iter().any(|h| h.id == rsc && h.ops.iter().any(|o| o.id == failed)) {
                    updates.push(Update::EraseHistory { node, rsc: rsc.clone() });
                }
            }
        }
        if !updates.is_empty() {
            self.ask(updates, cx);
        }
    }
    fn make(&mut self, updates: &[Update], cx: &mut Cx<'_>) {
        let known: Vec<Update> = updates.iter().filter(|u| self.is_news(u)).cloned().collect();
        let before = self.cib.epoch;
        cib::apply(&mut self.cib, updates);
        if self.cib.epoch != before || cx.files.crm.cib.is_none() {
            let mut saved = self.cib.clone();
            saved.updates = 0;
            Arc::make_mut(&mut saved.cib).nodes.clear();
            cx.files.crm.cib = Some(saved);
        }
        if known.is_empty() {
            return;
        }
        let changed: Arc<[Update]> = known.into();
        for to in [Daemon::Controld, Daemon::Fenced, Daemon::Attrd] {
            let replaced = changed.iter().any(|u| matches!(u, Update::Replace(_) | Update::Config(_)));
            if to == Daemon::Controld || replaced {
                tell(&self.place, to, Local::Changed(changed.clone()), cx);
            }
        }
    }
    /// Attributes that are not there are deleted: the CIB is the same before and after.
    fn changes_nothing(&self, updates: &[Update]) -> bool {
        let [Update::EraseAttributes { node }] = updates else { return false };
        let state = self.cib.cib.nodes.iter().find(|s| *s.name == **node);
        self.joined && state.is_none_or(|s| s.attributes.is_none())
    }
    /// Whether it changes something: the same value of an attribute does not.
    fn is_news(&self, u: &Update) -> bool {
        if let Update::NodeAttribute { node, name, value } = u {
            return cib::permanent(&self.cib.cib, node, name) != Some(value);
        }
        let Update::Attribute { node, name, value } = u else { return true };
        cib::transient(&self.cib.cib, node, name) != value.as_deref()
    }
}
