//! A shared disk: a slot for each node, reads and writes one after the other. What is written stays.

use super::config::SbdDisk;
use super::{Io, PORT, Slot};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::{Cx, Msg};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A disk.
#[derive(Clone, Debug)]
pub struct Disk {
    config: SbdDisk,
    slots: BTreeMap<Arc<str>, Slot>,
    queue: VecDeque<(Time, Endpoint, Endpoint, Io)>,
}
impl Disk {
    /// An empty disk.
    pub fn new(config: SbdDisk) -> Self {
        Disk { config, slots: BTreeMap::new(), queue: VecDeque::new() }
    }
    /// The storage lost power: what had been written is still there.
    pub fn reset(&mut self) {
        self.queue.clear();
    }
    /// What a node's slot holds.
    pub fn slot(&self, node: &str) -> Slot {
        self.slots.get(node).copied().unwrap_or_default()
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => cx.act(Action::Bind(PORT)),
            Input::Packet { from, to, msg: Msg::Sbd(io) } => {
                let before = self.queue.back().map_or(cx.now, |q| q.0.max(cx.now));
                let range = self.config.io_time;
                let width = range.max.0.saturating_sub(range.min.0);
                let took = if width == 0 { range.min } else { Span(range.min.0 + cx.below(width + 1)) };
                self.queue.push_back((before + took, from, to, *io));
                if self.queue.len() == 1 {
                    self.next(cx);
                }
            }
            Input::Timer(Timer(0)) => {
                if let Some((_, from, to, io)) = self.queue.pop_front() {
                    self.serve(from, to, io, cx);
                }
                self.next(cx);
            }
            Input::Signal(Signal::Term) => cx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn next(&self, cx: &mut Cx<'_>) {
        if let Some((at, ..)) = self.queue.front() {
            cx.set_timer(Timer(0), at.since(cx.now));
        }
    }
    fn serve(&mut self, from: Endpoint, to: Endpoint, io: Io, cx: &mut Cx<'_>) {
        let (id, slot) = match io {
            Io::Read { id, node } => (id, self.slot(&node)),
            Io::Write { id, node, slot } => {
                self.slots.insert(node, slot);
                (id, slot)
            }
            Io::Done { .. } => return,
        };
        let msg = Msg::Sbd(Box::new(Io::Done { id, slot }));
        cx.act(Action::Send { from: to, to: from, net: None, plane: Plane::storage, msg });
    }
}
