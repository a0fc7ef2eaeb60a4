//! `corosync-qnetd`: the server of quorum devices (corosync-qnetd(8); `qnetd-algo-ffsplit.c`, `qnetd-algo-lms.c`).
//!
//! A client that says nothing for 1.5 times its heartbeat is gone. ffsplit decides when all clients of a partition tell the same membership;
//! first it tells those who have no vote, and when they have confirmed that, those who have it: at most one partition holds it.
//!
//! **Not modelled:** several clusters on one server, TLS, heuristics, the `2nodelms` and `test` algorithms.

use super::api::{NodeId, RingId};
use super::config::Algorithm;
use super::nodes::Nodes;
use super::note::{Note, Rule};
use super::qdevice::{PORT, Qnet, Tie, Vote};
use crate::engine::{Span, Time};
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

const T_DPD: Timer = Timer(0);
const T_ALGO: Timer = Timer(1);

/// What a client has said.
#[derive(Clone, Debug)]
struct Client {
    conn: ConnId,
    node: NodeId,
    config: Nodes,
    algorithm: Algorithm,
    tie: Tie,
    keep: bool,
    heartbeat: Span,
    heard: Time,
    ring: RingId,
    members: Nodes,
    /// ffsplit: the number of the last vote, and whether it waits for its confirmation.
    sent: u32,
    pending: bool,
    /// lms: the last decision.
    last: Option<bool>,
    /// lms: when it is looked at again.
    again: Option<Time>,
}

/// How far ffsplit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Telling {
    Nothing,
    Nacks,
    Acks,
}

/// The server.
#[derive(Clone, Debug)]
pub struct Qnetd {
    /// `dpd_interval_coefficient` in tenths.
    dpd: u32,
    clients: Vec<Client>,
    accepted: Vec<ConnId>,
    /// Who has the vote.
    quorate: Nodes,
    told: Option<(Nodes, Rule)>,
    telling: Telling,
    names: Arc<[(NodeId, Arc<str>)]>,
}
impl Qnetd {
    /// A server before its start; the names of the nodes are for words.
    pub fn new(dpd: u32, names: Arc<[(NodeId, Arc<str>)]>) -> Qnetd {
        Qnetd {
            dpd,
            clients: Vec::new(),
            accepted: Vec::new(),
            quorate: Nodes::NONE,
            told: None,
            telling: Telling::Nothing,
            names,
        }
    }
    /// As before its start.
    pub fn reset(&mut self) {
        *self = Qnetd::new(self.dpd, self.names.clone());
    }
    /// The nodes that are connected.
    pub fn clients(&self) -> Nodes {
        self.clients.iter().map(|c| c.node).collect()
    }
    /// The nodes that have the vote.
    pub fn voters(&self) -> Nodes {
        self.quorate
    }
    fn names(&self, nodes: Nodes) -> Arc<str> {
        let of: Vec<&str> = self.names.iter().filter(|n| nodes.has(n.0)).map(|n| &*n.1).collect();
        of.join(", ").into()
    }
    fn patience(&self, c: &Client) -> Span {
        c.heartbeat.ratio(u64::from(self.dpd), 10)
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => ctx.act(Action::Listen(PORT, 10)),
            Input::Signal(Signal::Term | Signal::Int) => ctx.act(Action::Exit(0)),
            Input::Tcp(conn, Tcp::Accepted { .. }) => self.accepted.push(conn),
            Input::Tcp(conn, Tcp::Data(Msg::Qnet(m))) => self.said(conn, *m, ctx),
            Input::Tcp(conn, Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable) => {
                ctx.act(Action::Close(conn));
                self.gone(conn, ctx);
            }
            Input::Timer(T_DPD) => self.look(ctx),
            Input::Timer(T_ALGO) => self.again(ctx),
            _ => {}
        }
        self.schedule(ctx);
    }
    fn schedule(&self, ctx: &mut Cx<'_>) {
        if let Some(at) = self.clients.iter().map(|c| c.heard + self.patience(c)).min() {
            ctx.set_timer(T_DPD, at.since(ctx.now));
        }
        if let Some(at) = self.clients.iter().filter_map(|c| c.again).min() {
            ctx.set_timer(T_ALGO, at.since(ctx.now));
        }
    }
    fn look(&mut self, ctx: &mut Cx<'_>) {
        while let Some(c) = self.clients.iter().find(|c| ctx.now.since(c.heard) >= self.patience(c)) {
            let (conn, silent) = (c.conn, ctx.now.since(c.heard));
            let note = Note::ClientSilent { node: self.names(Nodes::one(c.node)), silent };
            ctx.note(crate::proto::Note::Corosync(Box::new(note)));
            ctx.act(Action::Close(conn));
            self.gone(conn, ctx);
        }
    }
    fn gone(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        self.accepted.retain(|c| *c != conn);
        let Some(i) = self.clients.iter().position(|c| c.conn == conn) else { return };
        let gone = self.clients.remove(i);
        if gone.algorithm == Algorithm::ffsplit && !self.clients.is_empty() {
            self.ffsplit(ctx);
        }
        if self.clients.is_empty() {
            self.quorate = Nodes::NONE;
            self.told = None;
            self.telling = Telling::Nothing;
        }
    }
    fn said(&mut self, conn: ConnId, msg: Qnet, ctx: &mut Cx<'_>) {
        if let Qnet::Init { node, config, algorithm, tie, keep, heartbeat } = msg {
            // A node that comes again replaces itself.
            if let Some(old) = self.clients.iter().find(|c| c.node == node).map(|c| c.conn) {
                ctx.act(Action::Close(old));
                self.gone(old, ctx);
            }
            let c = Client {
                conn,
                node,
                config,
                algorithm,
                tie,
                keep,
                heartbeat,
                heard: ctx.now,
                ring: RingId::default(),
                members: Nodes::NONE,
                sent: 0,
                pending: false,
                last: None,
                again: None,
            };
            let i = self.clients.partition_point(|c| c.node < node);
            self.clients.insert(i, c);
            return;
        }
        let Some(i) = self.clients.iter().position(|c| c.conn == conn) else { return };
        self.clients[i].heard = ctx.now;
        match msg {
            Qnet::Membership(ring, members) => {
                (self.clients[i].ring, self.clients[i].members) = (ring, members);
                match self.clients[i].algorithm {
                    Algorithm::ffsplit => {
                        let vote = if self.ffsplit(ctx) { Vote::NoChange } else { Vote::Wait };
                        Self::say(conn, Qnet::Reply(ring, vote), ctx);
                    }
                    Algorithm::lms => self.reply_lms(i, ctx),
                }
            }
            Qnet::QuorumList(_) if self.clients[i].algorithm == Algorithm::lms => self.reply_lms(i, ctx),
            Qnet::Echo(n) => Self::say(conn, Qnet::EchoReply(n), ctx),
            Qnet::VoteReply(n) if self.clients[i].sent == n => {
                self.clients[i].pending = false;
                self.go_on(ctx);
            }
            _ => {}
        }
    }
    fn say(conn: ConnId, msg: Qnet, ctx: &mut Cx<'_>) {
        ctx.act(Action::TcpSend(conn, Msg::Qnet(Box::new(msg))));
    }
    fn decided(&mut self, nodes: Nodes, rule: Rule, ctx: &mut Cx<'_>) {
        if self.told.replace((nodes, rule)) != Some((nodes, rule)) {
            let note = Note::Vote { nodes: self.names(nodes), rule };
            ctx.note(crate::proto::Note::Corosync(Box::new(note)));
        }
    }

    // ---- ffsplit -----------------------------------------------------------------------------------------------------

    /// Whether all connected nodes of each partition tell the same.
    fn stable(&self) -> bool {
        let of = |n: NodeId| self.clients.iter().find(|c| c.node == n);
        self.clients.iter().all(|a| {
            a.config == self.clients[0].config
                && a.members.iter().filter_map(of).all(|b| a.ring == b.ring && a.members.within(b.members))
        })
    }
    /// Decides; false: the memberships do not fit together yet.
    fn ffsplit(&mut self, ctx: &mut Cx<'_>) -> bool {
        self.telling = Telling::Nothing;
        if !self.stable() {
            return false;
        }
        let keep = self.clients.iter().all(|c| c.keep);
        let mut best: Option<usize> = None;
        let mut rule = Rule::Nobody;
        for i in 0..self.clients.len() {
            if let Some(why) = self.better(i, best, keep) {
                if best.is_none_or(|b| self.clients[b].members != self.clients[i].members) {
                    rule = why;
                }
                best = Some(i);
            } else if let Some(b) = best
                && self.clients[b].members != self.clients[i].members
                && let Some(why) = self.better(b, Some(i), keep)
            {
                rule = why;
            }
        }
        self.quorate = best.map_or(Nodes::NONE, |i| self.clients[i].members);
        self.decided(self.quorate, rule, ctx);
        self.telling = Telling::Nacks;
        if !self.tell_votes(false, ctx) {
            self.telling = Telling::Acks;
            self.tell_votes(true, ctx);
        }
        true
    }
    /// Whether a client's partition is better than another's, and by which rule.
    fn better(&self, i: usize, than: Option<usize>, keep: bool) -> Option<Rule> {
        let a = &self.clients[i];
        let all = a.config.len();
        if a.members.len() > all / 2 {
            return Some(Rule::Majority);
        }
        if !all.is_multiple_of(2) || a.members.len() < all / 2 {
            return None;
        }
        let connected = |members: Nodes| self.clients().common(members).len();
        let other = than.map(|b| &self.clients[b]);
        let (ours, theirs) = (connected(a.members), other.map_or(0, |b| connected(b.members)));
        if ours != theirs {
            return (ours > theirs).then_some(Rule::Clients);
        }
        if let Some(b) = other.filter(|_| keep) {
            match (self.quorate.has(a.node), self.quorate.has(b.node)) {
                (true, false) => return Some(Rule::Active),
                (false, true) => return None,
                _ => {}
            }
        }
        a.tie.of(a.config).filter(|n| a.members.has(*n)).map(|_| Rule::TieBreaker)
    }
    /// Tells those who have the vote, or those who have not; false if there are none.
    fn tell_votes(&mut self, acks: bool, ctx: &mut Cx<'_>) -> bool {
        let quorate = self.quorate;
        let mut any = false;
        for c in self.clients.iter_mut().filter(|c| quorate.has(c.node) == acks) {
            c.sent += 1;
            c.pending = true;
            any = true;
            let vote = if acks { Vote::Ack } else { Vote::Nack };
            Self::say(c.conn, Qnet::VoteInfo(c.sent, c.ring, vote), ctx);
        }
        any
    }
    /// Somebody has confirmed.
    fn go_on(&mut self, ctx: &mut Cx<'_>) {
        let quorate = self.quorate;
        let waits = |acks: bool| self.clients.iter().any(|c| c.pending && quorate.has(c.node) == acks);
        match self.telling {
            Telling::Nacks if !waits(false) => {
                self.telling = Telling::Acks;
                self.tell_votes(true, ctx);
            }
            Telling::Acks if !waits(true) => self.telling = Telling::Nothing,
            _ => {}
        }
    }

    // ---- lms ---------------------------------------------------------------------------------------------------------

    fn reply_lms(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let vote = self.lms(i, ctx);
        let (conn, ring) = (self.clients[i].conn, self.clients[i].ring);
        Self::say(conn, Qnet::Reply(ring, vote), ctx);
    }
    fn again(&mut self, ctx: &mut Cx<'_>) {
        for i in 0..self.clients.len() {
            if self.clients[i].again.is_some_and(|at| at <= ctx.now) {
                let vote = self.lms(i, ctx);
                if matches!(vote, Vote::Ack | Vote::Nack) {
                    let c = &mut self.clients[i];
                    c.sent += 1;
                    Self::say(c.conn, Qnet::VoteInfo(c.sent, c.ring, vote), ctx);
                }
            }
        }
    }
    /// Decides for one client.
    fn lms(&mut self, i: usize, ctx: &mut Cx<'_>) -> Vote {
        let me = self.clients[i].clone();
        self.clients[i].again = None;
        let known = || self.clients.iter().filter(|c| !c.members.is_empty());
        let ours = |c: &&Client| me.members.has(c.node) || c.members.has(me.node);
        if known().filter(ours).any(|c| c.ring != me.ring) {
            self.clients[i].again = Some(ctx.now + me.heartbeat);
            return Vote::Wait;
        }
        let mut parts: Vec<(RingId, u32)> = Vec::new();
        for c in known() {
            match parts.iter_mut().find(|p| p.0 == c.ring) {
                Some(p) => p.1 += 1,
                None => parts.push((c.ring, 1)),
            }
        }
        let rival = known().any(|c| c.ring != me.ring && c.last == Some(true));
        let most = parts.iter().map(|p| p.1).max().unwrap_or(0);
        let leaders = parts.iter().filter(|p| p.1 == most).count();
        let own = parts.iter().find(|p| p.0 == me.ring).map_or(0, |p| p.1);
        let (ack, rule) = if parts.len() <= 1 {
            (true, Rule::OnlyOne)
        } else if me.last.is_none() && rival {
            // Not remembered: it is to be known later that this partition has not voted.
            self.decided_lms(&me, false, Rule::Newcomer, ctx);
            return Vote::Nack;
        } else if leaders == 1 {
            (own == most, Rule::Largest)
        } else {
            let node = me.tie.of(self.clients());
            let with = known().find(|c| Some(c.node) == node).is_some_and(|c| c.ring == me.ring);
            (with, Rule::TieBreaker)
        };
        self.clients[i].last = Some(ack);
        self.decided_lms(&me, ack, rule, ctx);
        if ack { Vote::Ack } else { Vote::Nack }
    }
    fn decided_lms(&mut self, me: &Client, ack: bool, rule: Rule, ctx: &mut Cx<'_>) {
        if ack {
            self.quorate = me.members;
            self.decided(me.members, rule, ctx);
        } else {
            self.quorate = self.quorate.without(Nodes::one(me.node));
        }
    }
}
