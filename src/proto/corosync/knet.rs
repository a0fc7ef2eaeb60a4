//! The transport: kronosnet's links, or plain UDP.
//!
//! knet (libknet, `threads_heartbeat.c`) sends a ping on each link to each host once in `ping_interval`. Its thread looks every 200 ms
//! (`GRID`), so that the interval is rounded up to that. A link without an answer for `ping_timeout` is down; it is up again with the answer
//! after `pong_count` answers. For ten seconds after it was down or new its timeout is longer (ten times, nine times, ...). Data goes over the
//! first link that is up (`link_mode: passive`); from a host without a link that is up nothing is taken. The loss of the last link tells
//! nobody: the token timeout decides.
//!
//! **Not modelled:** path MTU discovery, encryption, compression, SCTP, `link_mode: active` and `rr`, priorities of links.

use super::api::NodeId;
use super::config::Transport;
use super::msg::Totem;
use super::nodes::Nodes;
use super::note::Note;
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Timer};
use crate::proto::{Cx, Msg};

/// `mcastport`: that of link 0; link 1 has the next.
pub const PORT: u16 = 5405;
/// How often knet's heartbeat thread looks (`KNET_THREADS_TIMER_RES`).
const GRID: Span = Span::ms(200);
/// `KNET_LINK_PONG_TIMEOUT_BACKOFF`.
const BACKOFF: u64 = 10;
/// The most links (`INTERFACE_MAX`).
pub const LINKS: usize = 8;

/// Another node as the transport knows it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// Its address on each link.
    pub links: Vec<Ip>,
    /// The name of its host, for words.
    pub name: std::sync::Arc<str>,
}

/// One link to one node.
#[derive(Clone, Copy, Debug)]
struct Link {
    up: bool,
    pongs: u32,
    pinged: Option<Time>,
    ponged: Option<Time>,
    /// Since when its timeout is longer.
    slow: Time,
}
const NEW: Link = Link { up: false, pongs: 0, pinged: None, ponged: None, slow: Time::ZERO };

/// How the transport is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which.
    pub transport: Transport,
    /// Between two pings.
    pub interval: Span,
    /// Down after this.
    pub timeout: Span,
    /// Up after so many, and one.
    pub pong_count: u32,
}

/// The transport of a node.
#[derive(Clone, Debug)]
pub struct Net {
    me: NodeId,
    settings: Settings,
    /// All nodes, this one too, by id.
    peers: std::sync::Arc<[Peer]>,
    links: Vec<Vec<Link>>,
    phase: Span,
    timer: Timer,
}

impl Net {
    /// A transport that has not begun; `timer` is its own.
    pub fn new(me: NodeId, settings: Settings, peers: std::sync::Arc<[Peer]>, timer: Timer) -> Net {
        let links = peers.iter().map(|p| vec![NEW; p.links.len()]).collect();
        Net { me, settings, peers, links, phase: Span::ZERO, timer }
    }
    /// As before the start.
    pub fn reset(&mut self) {
        for l in self.links.iter_mut().flatten() {
            *l = NEW;
        }
    }
    fn knet(&self) -> bool {
        self.settings.transport == Transport::knet
    }
    /// All nodes.
    pub fn everyone(&self) -> Nodes {
        self.peers.iter().map(|p| p.id).collect()
    }
    /// The name of a node's host.
    pub fn name(&self, node: NodeId) -> std::sync::Arc<str> {
        self.peers.iter().find(|p| p.id == node).map_or_else(|| "?".into(), |p| p.name.clone())
    }
    /// The names of nodes' hosts, with commas.
    pub fn names(&self, nodes: Nodes) -> std::sync::Arc<str> {
        let names: Vec<_> = self.peers.iter().filter(|p| nodes.has(p.id)).map(|p| &*p.name).collect();
        names.join(", ").into()
    }
    /// Takes its ports and begins to ping.
    pub fn start(&mut self, ctx: &mut Cx<'_>) {
        let links = if self.knet() { self.links.iter().map(Vec::len).max().unwrap_or(1) } else { 1 };
        for link in 0..links {
            ctx.act(Action::Bind(PORT + link as u16));
        }
        for l in self.links.iter_mut().flatten() {
            l.slow = ctx.now;
        }
        if self.knet() && self.peers.len() > 1 {
            self.phase = Span(ctx.below(GRID.0));
            ctx.set_timer(self.timer, self.phase);
        }
    }
    /// Whether something sent to the node has a way.
    fn way(&self, i: usize) -> Option<usize> {
        if self.peers[i].id == self.me || !self.knet() {
            return Some(0);
        }
        self.links[i].iter().position(|l| l.up)
    }
    /// Whether a link to the node is up (udpu: always).
    pub fn reaches(&self, node: NodeId) -> bool {
        self.peers.iter().position(|p| p.id == node).is_some_and(|i| self.way(i).is_some())
    }
    /// Sends to one node.
    pub fn send(&self, to: NodeId, msg: Totem, ctx: &mut Cx<'_>) {
        if let Some(i) = self.peers.iter().position(|p| p.id == to)
            && let Some(link) = self.way(i)
        {
            self.put(i, link, msg, ctx);
        }
    }
    /// Sends to all nodes of the list, this one too.
    pub fn cast(&self, msg: &Totem, ctx: &mut Cx<'_>) {
        for i in 0..self.peers.len() {
            if let Some(link) = self.way(i) {
                self.put(i, link, msg.clone(), ctx);
            }
        }
    }
    fn put(&self, i: usize, link: usize, msg: Totem, ctx: &mut Cx<'_>) {
        let port = PORT + link as u16;
        let Some(to) = self.peers[i].links.get(link) else { return };
        let me = self.peers.iter().find(|p| p.id == self.me).and_then(|p| p.links.get(link));
        ctx.act(Action::Send {
            from: Endpoint::new(me.copied().unwrap_or(Ip::NONE), port),
            to: Endpoint::new(*to, port),
            net: None,
            plane: Plane::heartbeat,
            msg: Msg::Totem(msg),
        });
    }
    /// Something arrived: totem's messages come back with their sender's id, if the transport takes them.
    pub fn arrived(
        &mut self,
        from: Endpoint,
        to: Endpoint,
        msg: Totem,
        ctx: &mut Cx<'_>,
    ) -> Option<(NodeId, Totem)> {
        let link = usize::from(to.port.checked_sub(PORT)?);
        let i = self.peers.iter().position(|p| p.links.get(link) == Some(&from.ip))?;
        match msg {
            Totem::Ping(l, sent) => {
                self.put(i, usize::from(l), Totem::Pong(l, sent), ctx);
                None
            }
            Totem::Pong(l, sent) => {
                self.pong(i, usize::from(l), sent, ctx);
                None
            }
            msg => (self.way(i).is_some()).then(|| (self.peers[i].id, msg)),
        }
    }
    fn pong(&mut self, i: usize, n: usize, sent: Time, ctx: &mut Cx<'_>) {
        let (timeout, count) = (self.settings.timeout, self.settings.pong_count);
        let Some(l) = self.links[i].get_mut(n) else { return };
        l.ponged = Some(ctx.now);
        if ctx.now.since(sent) > timeout || l.up {
            return;
        }
        if l.pongs < count {
            l.pongs += 1;
            return;
        }
        l.up = true;
        let note = Note::LinkUp { node: self.name(self.peers[i].id), link: n as u8, pongs: count + 1 };
        ctx.note(crate::proto::Note::Corosync(Box::new(note)));
        self.schedule(ctx);
    }
    fn patience(&self, l: &Link, now: Time) -> Span {
        let passed = now.since(l.slow).0 / crate::engine::SEC;
        self.settings.timeout.times(BACKOFF.saturating_sub(passed).max(1))
    }
    /// The heartbeat thread looks.
    pub fn look(&mut self, ctx: &mut Cx<'_>) {
        let now = ctx.now;
        for i in 0..self.peers.len() {
            if self.peers[i].id == self.me {
                continue;
            }
            for n in 0..self.links[i].len() {
                let l = self.links[i][n];
                if l.pinged.is_none_or(|p| now.since(p) >= self.settings.interval) {
                    self.links[i][n].pinged = Some(now);
                    self.put(i, n, Totem::Ping(n as u8, now), ctx);
                }
                let Some(last) = l.ponged else { continue };
                let patience = self.patience(&l, now);
                if now.since(last) < patience {
                    continue;
                }
                self.links[i][n] = Link { up: false, pongs: 0, ponged: None, slow: now, ..self.links[i][n] };
                if l.up {
                    let others = self.links[i].iter().position(|l| l.up).map(|n| n as u8);
                    let node = self.name(self.peers[i].id);
                    let note =
                        Note::LinkDown { node, link: n as u8, silent: now.since(last), patience, others };
                    ctx.note(crate::proto::Note::Corosync(Box::new(note)));
                }
            }
        }
        self.schedule(ctx);
    }
    /// The next look that finds something to do.
    fn schedule(&self, ctx: &mut Cx<'_>) {
        let now = ctx.now;
        let mut next: Option<Time> = None;
        let mut due = |at: Time| next = Some(next.map_or(at, |n| n.min(at)));
        for (p, links) in self.peers.iter().zip(&self.links).filter(|(p, _)| p.id != self.me) {
            for l in links.iter().take(p.links.len()) {
                due(l.pinged.map_or(now, |p| p + self.settings.interval));
                if let Some(last) = l.ponged {
                    due(last + self.patience(l, now).min(self.settings.timeout.times(BACKOFF)));
                }
            }
        }
        let Some(next) = next else { return };
        // On the thread's grid, not before the next look.
        let wanted = next.0.max(now.0 + 1).saturating_sub(self.phase.0);
        let at = Time(wanted.div_ceil(GRID.0) * GRID.0 + self.phase.0);
        ctx.set_timer(self.timer, at.since(now));
    }
    /// Which links to a node are up.
    pub fn links(&self, node: NodeId) -> impl Iterator<Item = bool> + '_ {
        let i = self.peers.iter().position(|p| p.id == node);
        i.into_iter().flat_map(|i| self.links[i].iter().map(|l| l.up))
    }
}
