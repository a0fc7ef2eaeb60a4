//! The authoritative server.

use super::config;
use super::msg::Dns;
use super::name::{canonical, in_zone, words};
use super::note::Note;
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// A name with its addresses and the TTL of its answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name.
    pub name: Arc<str>,
    /// Its addresses; none: it does not exist.
    pub addresses: Arc<[Ip]>,
    /// For how long an answer holds.
    pub ttl: Span,
}

/// What is still on its way into the answers.
#[derive(Clone, Debug)]
struct Change {
    taken: Time,
    due: Time,
    name: Arc<str>,
    addresses: Arc<[Ip]>,
}

/// An authoritative server. The zone and what is on its way into it lie on the disk.
#[derive(Clone, Debug)]
pub struct Authority {
    config: config::Dns,
    zone: Vec<Entry>,
    pending: Vec<Change>,
}
impl Authority {
    /// A server with this configuration and these entries.
    pub fn new(config: config::Dns, zone: Vec<Entry>) -> Self {
        Authority { config, zone, pending: Vec::new() }
    }
    /// What it was before it was started: the zone is on the disk.
    pub fn reset(&mut self) {}
    /// The addresses of a name, as it answers now.
    pub fn addresses(&self, name: &str) -> &[Ip] {
        self.entry(name).map_or(&[], |e| &e.addresses)
    }
    fn entry(&self, name: &str) -> Option<&Entry> {
        self.zone.iter().find(|e| &*e.name == name)
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                ctx.act(Action::Bind(super::PORT));
                self.take_effect(ctx);
            }
            Input::Packet { from, to, msg: Msg::Dns(msg) } => {
                let answer = match *msg {
                    Dns::Query(id, name) => self.answer(id, &canonical(&name)),
                    Dns::Update(id, name, addresses) => self.update(id, name, addresses, Some(from), ctx),
                    Dns::Answer(..) | Dns::Failure(_) | Dns::Updated(_) => return,
                };
                let msg = Msg::Dns(Box::new(answer));
                ctx.act(Action::Send { from: to, to: from, net: None, plane: Plane::dns, msg });
            }
            Input::Call(Msg::Dns(msg)) => {
                if let Dns::Update(id, name, addresses) = *msg {
                    self.update(id, name, addresses, None, ctx);
                }
            }
            Input::Timer(_) => self.take_effect(ctx),
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }

    fn answer(&self, id: u16, name: &str) -> Dns {
        if !in_zone(name, &self.config.zone) {
            return Dns::Failure(id);
        }
        match self.entry(name).filter(|e| !e.addresses.is_empty()) {
            Some(e) => Dns::Answer(id, e.addresses.clone(), e.ttl),
            None => Dns::Answer(id, Arc::new([]), self.config.negative_ttl),
        }
    }

    fn update(
        &mut self,
        id: u16,
        name: Arc<str>,
        addresses: Arc<[Ip]>,
        by: Option<Endpoint>,
        ctx: &mut Cx<'_>,
    ) -> Dns {
        let name = canonical(&name);
        // An operator edits the zone itself; `allow_update` is about messages.
        let allowed = by.is_none() || self.config.allow_update;
        if !allowed || !in_zone(&name, &self.config.zone) {
            ctx.note(crate::proto::Note::Dns(Note::Refused { name, by }));
            return Dns::Failure(id);
        }
        let delay = draw(self.config.change_delay, ctx);
        let to = words(&addresses);
        ctx.note(crate::proto::Note::Dns(Note::Updating { name: name.clone(), to, by, delay }));
        let due = ctx.now + delay;
        let at = self.pending.partition_point(|c| c.due <= due);
        self.pending.insert(at, Change { taken: ctx.now, due, name, addresses });
        self.take_effect(ctx);
        Dns::Updated(id)
    }

    /// Lets what is due into the answers.
    fn take_effect(&mut self, ctx: &mut Cx<'_>) {
        while self.pending.first().is_some_and(|c| c.due <= ctx.now) {
            let change = self.pending.remove(0);
            let now = words(&change.addresses);
            let was = words(self.addresses(&change.name));
            match self.zone.iter_mut().find(|e| e.name == change.name) {
                Some(e) => e.addresses = change.addresses,
                None => self.zone.push(Entry {
                    name: change.name.clone(),
                    addresses: change.addresses,
                    ttl: self.config.update_ttl,
                }),
            }
            if now != was {
                let note = Note::Changed { name: change.name, was, now, taken: change.taken };
                ctx.note(crate::proto::Note::Dns(note));
            }
        }
        if let Some(next) = self.pending.first() {
            ctx.set_timer(Timer(0), next.due.since(ctx.now));
        }
    }
}

/// A length out of a range, out of the process's own stream.
pub(crate) fn draw(range: SpanRange, ctx: &mut Cx<'_>) -> Span {
    let room = range.max.saturating_sub(range.min);
    if room.is_zero() { range.min } else { range.min + Span(ctx.below(room.0 + 1)) }
}
