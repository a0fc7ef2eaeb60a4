//! Gossip between the agents of a cluster (serf, memberlist with its LAN settings): who is alive, as each of them sees it.
//!
//! Every second an agent probes the next of the others. Without an answer after half a second it asks three more to try, and at the end of
//! the second it suspects the silent one. A suspicion ends after 4 s (with up to ten agents), once two others have had the same
//! experience; with fewer confirmations it takes longer, up to 24 s, unless there are not enough agents to confirm anything. Then the agent
//! is dead, until it says something newer of itself.
//!
//! Sources: `memberlist/state.go`, `suspicion.go`, `config.go` (`DefaultLANConfig`), `serf/serf.go` (`reconnect`). **Not modelled:** the
//! awareness of the agent's own health that lengthens its probes (Lifeguard), the probe over TCP, encryption, reaping after 72 h.

use super::msg::{Msg, NodeId};
use super::note::Note;
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Ctx, Timer};
use std::sync::Arc;

/// The port of the LAN gossip.
pub const SERF_PORT: u16 = 8301;
const PROBE_INTERVAL: Span = Span::secs(1);
const PROBE_TIMEOUT: Span = Span::ms(500);
const INDIRECT_CHECKS: usize = 3;
const SUSPICION_MULT: u64 = 4;
const SUSPICION_MAX_MULT: u64 = 6;
const RETRANSMIT_MULT: u8 = 4;
const GOSSIP_INTERVAL: Span = Span::ms(200);
const GOSSIP_NODES: usize = 3;
const GOSSIP_TO_THE_DEAD: Span = Span::secs(30);
const PUSH_PULL_INTERVAL: Span = Span::secs(30);
/// Serf's `ReconnectInterval`, and Consul's `retry_interval` of joins.
const RECONNECT_INTERVAL: Span = Span::secs(30);

const T_PROBE: u16 = 0;
const T_ACK: u16 = 1;
const T_GOSSIP: u16 = 2;
const T_SUSPECT: u16 = 3;
const T_SYNC: u16 = 4;
const T_RECONNECT: u16 = 5;
/// So many timers are used.
pub(super) const TIMERS: u16 = 6;

/// What an agent thinks of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Never heard of.
    Unknown,
    /// It is there.
    Alive,
    /// It did not answer; for everybody but the gossip it is still there.
    Suspect,
    /// It has failed.
    Dead,
    /// It has said goodbye.
    Left,
}
/// Something that is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rumour {
    /// It is there, with this incarnation.
    Alive(NodeId, u32),
    /// It did not answer the second one.
    Suspect(NodeId, NodeId, u32),
    /// It has failed, as the second one found.
    Dead(NodeId, NodeId, u32),
    /// It says goodbye.
    Left(NodeId, u32),
}
impl Rumour {
    fn about(self) -> NodeId {
        match self {
            Rumour::Alive(n, _) | Rumour::Suspect(n, ..) | Rumour::Dead(n, ..) | Rumour::Left(n, _) => n,
        }
    }
}
/// What agents say to each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gossip {
    /// Are you there? And what I suspect of you.
    Ping(u32, Option<u32>),
    /// I am; under the number of the question.
    Ack(u32),
    /// Ask this one for me.
    Indirect(u32, NodeId),
    /// News.
    Rumours(Arc<[Rumour]>),
    /// All that I know; and whether I want the same of you.
    State(Arc<[(NodeId, Status, u32)]>, bool),
}

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    begun: Time,
    /// Who has found the same: a bit each, the first one included.
    heard: u64,
}
#[derive(Clone, Copy, Debug)]
struct Known {
    status: Status,
    incarnation: u32,
    changed: Time,
    suspicion: Option<Suspicion>,
}
#[derive(Clone, Copy, Debug)]
struct Probe {
    target: NodeId,
    seq: u32,
}

/// The gossip of an agent.
#[derive(Clone, Debug)]
pub struct Serf {
    me: NodeId,
    nodes: Arc<[(Arc<str>, Ip)]>,
    /// Whom it asks to let it in: the servers.
    join: Vec<NodeId>,
    known: Vec<Known>,
    order: Vec<NodeId>,
    at: usize,
    probe: Option<Probe>,
    /// Questions for others: own number, who asked, its number.
    relays: Vec<(u32, NodeId, u32)>,
    queue: Vec<(Rumour, u8)>,
    seq: u32,
    joined: bool,
    first_timer: u16,
    /// Who has come or gone since the owner last looked.
    pub(super) events: Vec<(NodeId, Status)>,
}

impl Serf {
    pub(super) fn new(me: NodeId, nodes: Arc<[(Arc<str>, Ip)]>, join: Vec<NodeId>, first_timer: u16) -> Self {
        let unknown = Known { status: Status::Unknown, incarnation: 0, changed: Time::ZERO, suspicion: None };
        let known = vec![unknown; nodes.len()];
        Serf {
            me,
            known,
            join,
            order: Vec::new(),
            at: 0,
            probe: None,
            relays: Vec::new(),
            queue: Vec::new(),
            seq: 0,
            joined: false,
            first_timer,
            events: Vec::new(),
            nodes,
        }
    }
    /// What it was before it was started.
    pub(super) fn reset(&mut self) {
        *self = Serf::new(self.me, self.nodes.clone(), std::mem::take(&mut self.join), self.first_timer);
    }
    /// What it thinks of an agent.
    pub fn status(&self, node: NodeId) -> Status {
        self.known.get(node.0 as usize).map_or(Status::Unknown, |k| k.status)
    }
    /// The agents with their names.
    pub fn nodes(&self) -> &[(Arc<str>, Ip)] {
        &self.nodes
    }
    /// The agents that it has heard of, and whether they count as alive.
    pub(super) fn members(&self) -> impl Iterator<Item = (NodeId, bool)> + '_ {
        let counts = |(i, k): (usize, &Known)| match k.status {
            Status::Alive | Status::Suspect => Some((NodeId(i as u16), true)),
            Status::Dead => Some((NodeId(i as u16), false)),
            Status::Unknown | Status::Left => None,
        };
        self.known.iter().enumerate().filter_map(counts)
    }
    fn timer(&self, n: u16) -> Timer {
        Timer(self.first_timer + n)
    }

    pub(super) fn start<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        if self.nodes.is_empty() {
            return;
        }
        ctx.act(Action::Bind(SERF_PORT));
        self.seq = ctx.below(1 << 30) as u32;
        self.incarnate(self.me, Status::Alive, 1, ctx.now);
        for (timer, interval) in
            [(T_PROBE, PROBE_INTERVAL), (T_SYNC, PUSH_PULL_INTERVAL), (T_RECONNECT, RECONNECT_INTERVAL)]
        {
            let phase = Span(ctx.below(interval.0));
            ctx.set_timer(self.timer(timer), phase);
        }
        self.ask_in(ctx);
    }
    /// `retry_join`.
    fn ask_in<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        for n in self.join.iter().filter(|n| **n != self.me) {
            self.say(*n, Gossip::State(self.state(), true), ctx);
        }
    }
    /// Says goodbye to all.
    pub(super) fn leave<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        let Some(me) = self.known.get(self.me.0 as usize) else { return };
        let rumour: Arc<[Rumour]> = [Rumour::Left(self.me, me.incarnation)].into();
        for (n, _) in self.members().filter(|m| m.0 != self.me) {
            self.say(n, Gossip::Rumours(rumour.clone()), ctx);
        }
    }
    fn say<M: From<Msg>, N: From<Note>, F>(&self, to: NodeId, gossip: Gossip, ctx: &mut Ctx<'_, M, N, F>) {
        let Some((_, ip)) = self.nodes.get(to.0 as usize) else { return };
        let (from, to) = (Endpoint::new(Ip::NONE, SERF_PORT), Endpoint::new(*ip, SERF_PORT));
        let msg = Msg::Gossip(self.me, gossip);
        ctx.act(Action::Send { from, to, net: None, plane: Plane::dcs, msg: msg.into() });
    }
    fn state(&self) -> Arc<[(NodeId, Status, u32)]> {
        let all = self.known.iter().enumerate().filter(|(_, k)| k.status != Status::Unknown);
        all.map(|(i, k)| (NodeId(i as u16), k.status, k.incarnation)).collect()
    }
    fn incarnate(&mut self, n: NodeId, status: Status, incarnation: u32, now: Time) {
        if let Some(k) = self.known.get_mut(n.0 as usize) {
            *k = Known { status, incarnation, changed: now, suspicion: None };
        }
    }
    /// Other agents that fit, in a drawn order.
    fn some<M: From<Msg>, N: From<Note>, F>(
        &self,
        count: usize,
        fits: impl Fn(NodeId, &Known) -> bool,
        ctx: &mut Ctx<'_, M, N, F>,
    ) -> Vec<NodeId> {
        let all = self.known.iter().enumerate().map(|(i, k)| (NodeId(i as u16), k));
        let mut list: Vec<NodeId> =
            all.filter(|(n, k)| *n != self.me && fits(*n, k)).map(|(n, _)| n).collect();
        for i in 0..list.len().min(count) {
            let j = i + ctx.below((list.len() - i) as u64) as usize;
            list.swap(i, j);
        }
        list.truncate(count);
        list
    }

    /// A timer ran out: whether it was one of these.
    pub(super) fn timed<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        timer: Timer,
        ctx: &mut Ctx<'_, M, N, F>,
    ) -> bool {
        match timer.0.checked_sub(self.first_timer) {
            Some(T_PROBE) => {
                ctx.set_timer(timer, PROBE_INTERVAL);
                if let Some(p) = self.probe.take() {
                    let incarnation = self.known[p.target.0 as usize].incarnation;
                    self.rumour(Rumour::Suspect(p.target, self.me, incarnation), ctx);
                }
                self.probe_next(ctx);
            }
            Some(T_ACK) => self.probe_indirectly(ctx),
            Some(T_GOSSIP) => self.pass_on(ctx),
            Some(T_SUSPECT) => self.condemn(ctx),
            Some(T_SYNC) => {
                ctx.set_timer(timer, PUSH_PULL_INTERVAL);
                for n in self.some(1, |_, k| k.status == Status::Alive, ctx) {
                    self.say(n, Gossip::State(self.state(), true), ctx);
                }
            }
            Some(T_RECONNECT) => {
                ctx.set_timer(timer, RECONNECT_INTERVAL);
                if !self.joined {
                    self.ask_in(ctx);
                }
                // As many tries in all as there are failed agents, whoever makes them.
                let (alive, failed) = self.members().fold((0u64, 0u64), |(a, f), (_, up)| match up {
                    true => (a + 1, f),
                    false => (a, f + 1),
                });
                if failed > 0 && ctx.below(alive.max(1)) < failed {
                    for n in self.some(1, |_, k| k.status == Status::Dead, ctx) {
                        self.say(n, Gossip::State(self.state(), true), ctx);
                    }
                }
            }
            _ => return false,
        }
        true
    }
    fn probe_next<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        for _ in 0..=2 * self.known.len() {
            if self.at >= self.order.len() {
                self.at = 0;
                self.order.clear();
                let others = self.known.iter().enumerate().map(|(i, k)| (NodeId(i as u16), k.status));
                let me = self.me;
                self.order.extend(others.filter(|o| o.0 != me && o.1 != Status::Unknown).map(|o| o.0));
                for i in (1..self.order.len()).rev() {
                    self.order.swap(i, ctx.below(i as u64 + 1) as usize);
                }
                if self.order.is_empty() {
                    return;
                }
            }
            let target = self.order[self.at];
            self.at += 1;
            let k = self.known[target.0 as usize];
            if matches!(k.status, Status::Alive | Status::Suspect) {
                self.seq = self.seq.wrapping_add(1);
                let suspect = (k.status == Status::Suspect).then_some(k.incarnation);
                self.say(target, Gossip::Ping(self.seq, suspect), ctx);
                self.probe = Some(Probe { target, seq: self.seq });
                ctx.set_timer(self.timer(T_ACK), PROBE_TIMEOUT);
                return;
            }
        }
    }
    fn probe_indirectly<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        let Some(p) = self.probe else { return };
        let others = self.some(INDIRECT_CHECKS, |n, k| n != p.target && k.status == Status::Alive, ctx);
        for n in others {
            self.say(n, Gossip::Indirect(p.seq, p.target), ctx);
        }
    }

    /// Something arrived.
    pub(super) fn heard<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        from: NodeId,
        gossip: Gossip,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        match gossip {
            Gossip::Ping(seq, suspect) => {
                if let Some(incarnation) = suspect {
                    self.rumour(Rumour::Suspect(self.me, from, incarnation), ctx);
                }
                self.say(from, Gossip::Ack(seq), ctx);
            }
            Gossip::Ack(seq) => {
                if self.probe.is_some_and(|p| p.seq == seq) {
                    self.probe = None;
                    ctx.cancel_timer(self.timer(T_ACK));
                }
                if let Some(i) = self.relays.iter().position(|r| r.0 == seq) {
                    let (_, origin, theirs) = self.relays.swap_remove(i);
                    self.say(origin, Gossip::Ack(theirs), ctx);
                }
            }
            Gossip::Indirect(theirs, target) => {
                self.seq = self.seq.wrapping_add(1);
                if self.relays.len() >= 16 {
                    self.relays.remove(0);
                }
                self.relays.push((self.seq, from, theirs));
                self.say(target, Gossip::Ping(self.seq, None), ctx);
            }
            Gossip::Rumours(list) => {
                for r in list.iter() {
                    self.rumour(*r, ctx);
                }
            }
            Gossip::State(list, reply) => {
                if reply {
                    self.say(from, Gossip::State(self.state(), false), ctx);
                }
                self.joined = true;
                for (n, status, incarnation) in list.iter() {
                    let r = match status {
                        Status::Alive => Rumour::Alive(*n, *incarnation),
                        // Who is dead for the other one may defend itself here.
                        Status::Suspect | Status::Dead => Rumour::Suspect(*n, self.me, *incarnation),
                        Status::Left => Rumour::Left(*n, *incarnation),
                        Status::Unknown => continue,
                    };
                    self.rumour(r, ctx);
                }
            }
        }
    }

    /// Takes a rumour in, and passes it on if it is news.
    fn rumour<M: From<Msg>, N: From<Note>, F>(&mut self, r: Rumour, ctx: &mut Ctx<'_, M, N, F>) {
        let n = r.about();
        let Some(k) = self.known.get(n.0 as usize).copied() else { return };
        match r {
            Rumour::Alive(_, incarnation) => {
                if n == self.me || (k.status != Status::Unknown && incarnation <= k.incarnation) {
                    return;
                }
                self.incarnate(n, Status::Alive, incarnation, ctx.now);
                if !matches!(k.status, Status::Alive | Status::Suspect) {
                    self.events.push((n, Status::Alive));
                }
                self.spread(r, ctx);
                self.arm(ctx);
            }
            Rumour::Suspect(_, from, incarnation) => {
                if k.status == Status::Unknown || incarnation < k.incarnation {
                    return;
                }
                if n == self.me {
                    return self.refute(incarnation, ctx);
                }
                if let Some(s) = k.suspicion {
                    let bit = 1 << (from.0 & 63);
                    let (needed, ..) = self.suspicion();
                    if s.heard & bit == 0 && u64::from(s.heard.count_ones()) <= needed {
                        let heard = Suspicion { heard: s.heard | bit, ..s };
                        self.known[n.0 as usize].suspicion = Some(heard);
                        self.spread(r, ctx);
                        self.arm(ctx);
                    }
                    return;
                }
                if k.status != Status::Alive {
                    return;
                }
                self.incarnate(n, Status::Suspect, incarnation, ctx.now);
                let heard = Suspicion { begun: ctx.now, heard: 1 << (from.0 & 63) };
                self.known[n.0 as usize].suspicion = Some(heard);
                self.spread(r, ctx);
                self.arm(ctx);
            }
            Rumour::Dead(_, _, incarnation) | Rumour::Left(_, incarnation) => {
                let left = matches!(r, Rumour::Left(..));
                let over = matches!(k.status, Status::Dead | Status::Left | Status::Unknown);
                if incarnation < k.incarnation || over {
                    return;
                }
                if n == self.me {
                    return self.refute(incarnation, ctx);
                }
                let status = if left { Status::Left } else { Status::Dead };
                self.incarnate(n, status, incarnation, ctx.now);
                self.events.push((n, status));
                self.spread(r, ctx);
                self.arm(ctx);
            }
        }
    }
    /// It is said to be silent or dead, and says that it is not.
    fn refute<M: From<Msg>, N: From<Note>, F>(&mut self, accused: u32, ctx: &mut Ctx<'_, M, N, F>) {
        let me = self.me;
        let incarnation = self.known[me.0 as usize].incarnation.max(accused) + 1;
        self.incarnate(me, Status::Alive, incarnation, ctx.now);
        self.spread(Rumour::Alive(me, incarnation), ctx);
    }
    fn spread<M: From<Msg>, N: From<Note>, F>(&mut self, r: Rumour, ctx: &mut Ctx<'_, M, N, F>) {
        // A newer rumour of an agent takes the place of an older one.
        self.queue.retain(|(q, _)| q.about() != r.about());
        if self.queue.is_empty() {
            let phase = Span(ctx.below(GOSSIP_INTERVAL.0));
            ctx.set_timer(self.timer(T_GOSSIP), phase);
        }
        let mut digits = 1;
        let mut n = self.count() + 1;
        while n > 10 {
            (digits, n) = (digits + 1, n.div_ceil(10));
        }
        self.queue.push((r, RETRANSMIT_MULT * digits));
    }
    fn pass_on<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        let now = ctx.now;
        let fits = |_: NodeId, k: &Known| match k.status {
            Status::Alive | Status::Suspect => true,
            Status::Dead => now.since(k.changed) <= GOSSIP_TO_THE_DEAD,
            Status::Unknown | Status::Left => false,
        };
        for n in self.some(GOSSIP_NODES, fits, ctx) {
            if self.queue.is_empty() {
                break;
            }
            let rumours: Arc<[Rumour]> = self.queue.iter().map(|q| q.0).collect();
            self.say(n, Gossip::Rumours(rumours), ctx);
            self.queue.iter_mut().for_each(|q| q.1 -= 1);
            self.queue.retain(|q| q.1 > 0);
        }
        if !self.queue.is_empty() {
            ctx.set_timer(self.timer(T_GOSSIP), GOSSIP_INTERVAL);
        }
    }

    /// The agents that it knows, itself included.
    fn count(&self) -> u64 {
        self.known.iter().filter(|k| !matches!(k.status, Status::Unknown | Status::Left)).count() as u64
    }
    /// How many confirmations a suspicion wants, and how long it takes with all of them and with none.
    fn suspicion(&self) -> (u64, Span, Span) {
        let n = self.count();
        let least = Span(SUSPICION_MULT * PROBE_INTERVAL.0 * log10(n) / 1000);
        let wanted = SUSPICION_MULT - 2;
        let needed = if n < wanted + 2 { 0 } else { wanted };
        (needed, least, least.times(SUSPICION_MAX_MULT))
    }
    fn ends(&self, s: Suspicion) -> Time {
        let (needed, least, most) = self.suspicion();
        let confirmed = u64::from(s.heard.count_ones()).saturating_sub(1);
        let takes = match (needed, confirmed) {
            (0, _) => least,
            (_, 0) => most,
            // log 2 / log 3 of the way.
            (_, 1) => Span((most.0 - (most.0 - least.0) / 100_000 * 63_093) / 1_000_000 * 1_000_000),
            _ => least,
        };
        s.begun + takes
    }
    fn arm<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        let ends = self.known.iter().filter_map(|k| k.suspicion).map(|s| self.ends(s));
        match ends.min() {
            Some(at) => ctx.set_timer(self.timer(T_SUSPECT), at.since(ctx.now)),
            None => ctx.cancel_timer(self.timer(T_SUSPECT)),
        }
    }
    fn condemn<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        for i in 0..self.known.len() {
            let k = self.known[i];
            if k.suspicion.is_some_and(|s| self.ends(s) <= ctx.now) {
                self.rumour(Rumour::Dead(NodeId(i as u16), self.me, k.incarnation), ctx);
            }
        }
        self.arm(ctx);
    }
}

/// `max(1, log10(n))` in thousandths, for the sizes that a stack has.
fn log10(n: u64) -> u64 {
    /// Of 10, 15, 20, ..., 65; between them nearly straight.
    const TABLE: [u64; 12] = [1000, 1176, 1301, 1398, 1477, 1544, 1602, 1653, 1699, 1740, 1778, 1813];
    if n <= 10 {
        return 1000;
    }
    let i = ((n - 10) / 5).min(10) as usize;
    TABLE[i] + (TABLE[i + 1] - TABLE[i]) * (n - 10 - 5 * i as u64).min(5) / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: usize) -> Serf {
        let nodes: Vec<(Arc<str>, Ip)> = (0..n).map(|i| ("n".into(), Ip(i as u32))).collect();
        let mut s = Serf::new(NodeId(0), nodes.into(), Vec::new(), 0);
        (0..n).for_each(|i| s.incarnate(NodeId(i as u16), Status::Alive, 1, Time::ZERO));
        s
    }
    #[test]
    fn suspicions_end_as_memberlist_ends_them() {
        let ends = |n: usize, heard| of(n).ends(Suspicion { begun: Time::ZERO, heard }).as_ms();
        assert_eq!(ends(3, 1), 4_000, "too few to confirm");
        assert_eq!([ends(6, 1), ends(6, 3), ends(6, 7)], [24_000, 11_381, 4_000]);
        assert_eq!(ends(15, 7), 4_704);
    }
}
