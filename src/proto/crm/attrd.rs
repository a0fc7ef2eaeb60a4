//! `pacemaker-attrd`: transient node attributes. Every node has all of them; one, the writer, writes them into the CIB.
//!
//! They live in its memory. One that starts knows nothing, and has the CIB forget its node's attributes too (`attrd_cib_init`): after a crash fail
//! counts and promotion scores of the node are gone. Without `pacemaker-based` it ends.

use super::msg::{Daemon, Local, Update, Wire};
use super::{NodeId, Place, tell};
use crate::node::process::{Action, Input};
use crate::proto::corosync::api::{Client, Event, Group, News};
use crate::proto::pacemaker::cpg::Payload;
use crate::proto::pacemaker::score;
use crate::proto::{Cx, Msg};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The process group.
pub const GROUP: Group = Group("attrd");

/// The process.
#[derive(Clone, Debug, Default)]
pub struct Attrd {
    place: Arc<Place>,
    corosync: Client,
    members: BTreeSet<NodeId>,
    values: BTreeMap<(NodeId, String), String>,
}

impl Attrd {
    /// Before its start.
    pub fn new(place: Arc<Place>) -> Self {
        Attrd { place, ..Attrd::default() }
    }
    /// As it was before its start.
    pub fn reset(&mut self) {
        *self = Attrd::new(self.place.clone());
    }
    /// The attributes of a node.
    pub fn of(&self, node: NodeId) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter(move |(k, _)| k.0 == node).map(|(k, v)| (k.1.as_str(), v.as_str()))
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match self.corosync.on(&input, cx) {
            Some(News::Connected(_)) => return self.corosync.join(GROUP, cx),
            Some(News::Lost) => return cx.act(Action::Exit(102)),
            Some(News::Event(Event::Deliver { payload: Payload::Crm(wire), .. })) => {
                return self.hear(&wire, cx);
            }
            Some(News::Event(Event::Confchg(change))) => {
                let was = self.writes();
                if change.joined.contains(&self.place.me) {
                    let node = self.place.name.clone();
                    tell(
                        &self.place,
                        Daemon::Based,
                        Local::Change(vec![Update::EraseAttributes { node }]),
                        cx,
                    );
                }
                self.members = change.members.iter().copied().collect();
                for (node, _) in &change.left {
                    self.values.retain(|k, _| k.0 != *node);
                }
                if !change.joined.is_empty() {
                    let me = self.place.me;
                    let own: Vec<_> = self
                        .values
                        .iter()
                        .filter(|(k, _)| k.0 == me)
                        .map(|(k, v)| (k.1.clone(), v.clone()))
                        .collect();
                    for (name, value) in own {
                        self.say(me, name, Some(value), cx);
                    }
                }
                if self.writes() && !was {
                    self.write_all(cx);
                }
                return;
            }
            Some(News::Event(_)) => return,
            None => {}
        }
        match input {
            Input::Start => {
                cx.act(Action::Bind(Daemon::Attrd.port()));
                self.corosync.connect(cx);
            }
            Input::Packet { msg: Msg::Crm(m), .. } => match *m {
                Local::Attribute { node, name, value } => {
                    let Some(id) = self.place.id_of(&node) else { return };
                    let value = match value.as_deref() {
                        Some("++") => {
                            let old = self.values.get(&(id, name.clone())).map_or(0, |v| score::parse(v));
                            Some(score::show(score::add(old, 1)))
                        }
                        _ => value,
                    };
                    self.say(id, name, value, cx);
                }
                Local::ClearAttributes { node, prefix } => {
                    let Some(id) = self.place.id_of(&node) else { return };
                    let mut names: Vec<String> = self
                        .values
                        .keys()
                        .filter(|k| k.0 == id && k.1.starts_with(&prefix))
                        .map(|k| k.1.clone())
                        .collect();
                    names.sort();
                    for name in names {
                        self.say(id, name, None, cx);
                    }
                }
                Local::Changed(updates)
                    if self.writes() && updates.iter().any(|u| matches!(u, Update::Replace(_))) =>
                {
                    self.write_all(cx);
                }
                Local::Gone(Daemon::Based) => cx.act(Action::Exit(102)),
                Local::Quit => cx.act(Action::Exit(0)),
                _ => {}
            },
            _ => {}
        }
    }
    fn writes(&self) -> bool {
        self.members.first() == Some(&self.place.me)
    }
    fn say(&self, node: NodeId, name: String, value: Option<String>, cx: &mut Cx<'_>) {
        self.corosync.mcast(GROUP, Payload::Crm(Arc::new(Wire::Attribute { node, name, value })), cx);
    }
    fn hear(&mut self, wire: &Wire, cx: &mut Cx<'_>) {
        let Wire::Attribute { node, name, value } = wire else { return };
        let key = (*node, name.clone());
        if self.values.get(&key) == value.as_ref() {
            return;
        }
        match value {
            Some(v) => drop(self.values.insert(key, v.clone())),
            None => drop(self.values.remove(&key)),
        }
        if self.writes() {
            let node = self.place.name_of(*node);
            let update = Update::Attribute { node, name: name.clone(), value: value.clone() };
            tell(&self.place, Daemon::Based, Local::Change(vec![update]), cx);
        }
    }
    fn write_all(&self, cx: &mut Cx<'_>) {
        let all: Vec<Update> = self
            .values
            .iter()
            .map(|((node, name), v)| Update::Attribute {
                node: self.place.name_of(*node),
                name: name.clone(),
                value: Some(v.clone()),
            })
            .collect();
        if !all.is_empty() {
            tell(&self.place, Daemon::Based, Local::Change(all), cx);
        }
    }
}
