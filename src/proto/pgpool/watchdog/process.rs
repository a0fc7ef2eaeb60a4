//! The watchdog on the network: connections to the others, the virtual address, and what the local pgpool asks.

use super::super::config::Version;
use super::super::msg::{Cause, Msg as Say, Request as ToParent};
use super::super::note::Note as PoolNote;
use super::super::shared::{Door, Status};
use super::super::{Role, Setup};
use super::config::Settings;
use super::escalation::{Escalation, Step};
use super::machine::{Channel, Local, Machine, Out};
use super::msg::{BackendState, Body, NodeId, Packet, Request, RequestKind, State, Verdict};
use super::note::Note;
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, NetId, Pid, Signal, Tcp, TcpOptions, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

const T_SELECT: Timer = Timer(0);
const T_VIP: Timer = Timer(1);
const T_EXIT: Timer = Timer(2);
const T_WAKE: Timer = Timer(3);
/// The loop's `select`.
const SELECT: Span = Span::secs(1);
/// Process time: so much later than its timeout a sleeping `select` returns, at most (estimate for the two busy processors of the
/// measurement). It decides which of two survivors stands first, and so which of the two clusters of times an election falls into.
const SELECT_LATE: Span = Span::ms(5);
/// Process time of its end: its last words leave before its connections break (measured: an address is gone 0.1 s after them).
const STOPS: Span = Span::ms(20);
/// The loop also wakes for requests of the local pgpool's other processes, which shifts the seconds in which it looks at its timers. When
/// that happens is not known one by one: it is drawn once in each state that waits for answers, so that a lonely node leads 9.3 s to
/// 10.3 s after it noticed (measured: 9.3 s to 10.1 s), and a candidate without an answer 4 s to 5 s after it stood.
const WAKES_ALONE: SpanRange = SpanRange::new(Span::ms(150), Span::ms(640));
/// The same, for a candidate.
const WAKES_CANDIDATE: SpanRange = SpanRange::new(Span::ms(5), Span::ms(990));
/// Process time from the decision to the address: a fork and `ip addr add`. Measured: within 5 ms.
const IF_UP: SpanRange = SpanRange::new(Span::ms(2), Span::ms(6));
/// Process time from the end to the address's: a fork and `ip addr del` (measured after a stop: 110 ms to 140 ms; after a lost quorum: up
/// to 10 ms).
const IF_DOWN: SpanRange = SpanRange::new(Span::ms(2), Span::ms(10));

/// This node's number: all pgpools in the order of their hosts' names.
pub fn me(setup: &Setup) -> NodeId {
    setup.peers.iter().filter(|p| p.0 < setup.host).count() as NodeId
}
/// The number of a peer, by its place in [`Setup::peers`].
pub fn node_of(setup: &Setup, peer: usize) -> NodeId {
    (peer + usize::from(peer as NodeId >= me(setup))) as NodeId
}
/// The address of a peer, by its place.
pub fn peer_ip(setup: &Setup, peer: usize) -> Ip {
    setup.peers.get(peer).map_or(Ip::NONE, |p| p.1)
}
/// The name of a node.
pub fn name(setup: &Setup, node: NodeId) -> Arc<str> {
    let mine = me(setup);
    if node == mine {
        return setup.host.clone();
    }
    let place = usize::from(node) - usize::from(node > mine);
    setup.peers.get(place).map_or_else(|| "".into(), |p| p.0.clone())
}
fn settings(setup: &Setup) -> Settings {
    let c = &setup.config;
    let secs = |s: Span| (s.0 / 1_000_000_000) as i64;
    let names = (0..=setup.peers.len() as NodeId).map(|n| name(setup, n)).collect();
    let window =
        c.health_check_period.0 + c.health_check_retry_delay.0 * u64::from(c.health_check_max_retries);
    Settings {
        me: me(setup),
        names,
        priority: c.wd_priority as i32,
        half_votes: c.enable_consensus_with_half_votes,
        when_quorum_exists: c.failover_when_quorum_exists,
        require_consensus: c.failover_require_consensus,
        multiple: c.allow_multiple_failover_requests_from_node,
        remove_shutdown: c.wd_remove_shutdown_nodes,
        lost_removal: secs(c.wd_lost_node_removal_timeout),
        no_show_removal: secs(c.wd_no_show_node_removal_timeout),
        health_window: (window / 1_000_000_000) as u32,
        has_vip: c.delegate_ip.is_some(),
        forgets_silent_leader: c.version > Version::V43,
    }
}

/// A request of a process of this pgpool.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Asked {
    ipc: u32,
    request: Request,
    cause: Cause,
    by: Pid,
}

/// Connections to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Link {
    client: Option<ConnId>,
    server: Option<ConnId>,
}

/// The watchdog.
#[derive(Clone, Debug)]
pub struct Watchdog {
    setup: Arc<Setup>,
    machine: Machine,
    links: Vec<Link>,
    /// Connections of whom nobody has said yet.
    strangers: Vec<ConnId>,
    asked: Vec<Asked>,
    next_ipc: u32,
    escalation: Escalation,
    stopping: bool,
    /// The peers whose clients an online recovery here waits for.
    awaited: Vec<NodeId>,
    /// A peer's online recovery waits for the clients here: who, the number of its packet, since when.
    leaving: Option<(NodeId, u32, Time)>,
}

impl Watchdog {
    /// One that has not started.
    pub fn new(setup: Arc<Setup>) -> Self {
        let machine = Machine::new(Arc::new(settings(&setup)));
        Watchdog {
            links: vec![Link::default(); setup.peers.len() + 1],
            machine,
            strangers: Vec::new(),
            asked: Vec::new(),
            next_ipc: 0,
            escalation: Escalation::default(),
            stopping: false,
            awaited: Vec::new(),
            leaving: None,
            setup,
        }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        *self = Watchdog::new(self.setup.clone());
    }
    /// What it knows.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
    fn ip(&self, node: NodeId) -> Ip {
        let mine = me(&self.setup);
        if node == mine {
            return self.setup.ip;
        }
        peer_ip(&self.setup, usize::from(node) - usize::from(node > mine))
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Timer(T_EXIT) => {
                ctx.act(Action::Exit(0));
                return;
            }
            Input::Timer(T_VIP) => {
                self.vip(ctx);
                return;
            }
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => {
                self.stop(ctx);
                return;
            }
            _ if self.stopping => return,
            _ => {}
        }
        let now = ctx.wall_clock;
        let before = self.machine.state();
        let over = self.machine.wake(now);
        self.handle(input, ctx);
        let local = Self::local(ctx);
        self.machine.turn(over, &local, now);
        self.look_at_clients(ctx);
        self.flush(ctx);
        if before != self.machine.state() {
            self.other_waking(ctx);
            if matches!(self.machine.state(), State::Standby | State::Coordinator) {
                // Whoever led before has no follow-primary process any more.
                ctx.files.pgpool.lock_remotely(false);
            }
        }
        if !self.stopping {
            let late = ctx.below(SELECT_LATE.0 + 1);
            ctx.set_timer(T_SELECT, SELECT + Span(late));
        }
    }
    fn other_waking(&self, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_WAKE);
        let range = match self.machine.state() {
            State::Joining | State::Coordinator => WAKES_ALONE,
            State::Stand => WAKES_CANDIDATE,
            _ => return,
        };
        let after = Span(range.min.0 + ctx.below(range.max.0 - range.min.0 + 1));
        ctx.set_timer(T_WAKE, after);
    }
    fn local(ctx: &Cx<'_>) -> Local {
        let s = &ctx.files.pgpool;
        if s.primary.is_some() {
            return Local::default();
        }
        let quarantined = s.backends.iter().enumerate().filter(|(_, b)| b.quarantine && b.was_primary);
        Local { quarantined_primary: quarantined.map(|(i, _)| i as u8).collect() }
    }
    fn stop(&mut self, ctx: &mut Cx<'_>) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.machine.stop(ctx.wall_clock);
        self.flush(ctx);
        let wait = self.escalation.next().map_or(Span::ZERO, |t| t.since(ctx.now)).max(STOPS);
        ctx.set_timer(T_EXIT, wait);
    }
    fn handle(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        let now = ctx.wall_clock;
        match input {
            Input::Start => {
                ctx.files.pgpool.watchdog = Some(ctx.me);
                ctx.act(Action::Listen(self.setup.config.wd_port, 64));
                if ctx.files.pgpool.wd.escalated {
                    // The one before it was killed while it had the address: this one gives it up before it does anything else.
                    self.escalate(false, ctx);
                }
                self.machine.start(now);
            }
            Input::Tcp(conn, news) => self.tcp(conn, news, ctx),
            Input::Call(Msg::Pgpool(m)) => self.call(*m, ctx),
            Input::Carrier(..) => {
                let nets = &self.setup.nets;
                if !nets.iter().any(|(_, n)| ctx.carrier(*n)) {
                    self.machine.no_network(now);
                }
            }
            _ => {}
        }
    }
    fn tcp(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        let now = ctx.wall_clock;
        if let Tcp::Accepted { .. } = news {
            self.strangers.push(conn);
            return;
        }
        if self.strangers.contains(&conn) {
            self.strangers.retain(|c| *c != conn);
            let Tcp::Data(Msg::Pgpool(m)) = news else { return };
            let Say::Wd(packet) = *m else { return };
            let Body::AddNode(info) = packet.body else {
                ctx.act(Action::Close(conn));
                return;
            };
            let node = info.id;
            if let Some(old) = self.links[usize::from(node)].server.replace(conn) {
                ctx.act(Action::Close(old));
            }
            self.machine.greeted(&packet, now);
            return;
        }
        let of = |l: &Link| l.client == Some(conn) || l.server == Some(conn);
        let Some(node) = self.links.iter().position(of) else { return };
        let link = &mut self.links[node];
        let channel = if link.client == Some(conn) { Channel::Client } else { Channel::Server };
        let node = node as NodeId;
        match news {
            Tcp::Connected => self.machine.connected(node, now),
            Tcp::Data(Msg::Pgpool(m)) => {
                if let Say::Wd(packet) = *m {
                    self.machine.received(node, &packet, now);
                }
            }
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                if news == Tcp::Closed {
                    ctx.act(Action::Close(conn));
                }
                match channel {
                    Channel::Client => link.client = None,
                    Channel::Server => link.server = None,
                }
                self.machine.closed(node, channel, now);
            }
        }
    }
    fn call(&mut self, m: Say, ctx: &mut Cx<'_>) {
        let now = ctx.wall_clock;
        match m {
            Say::Ask { nodes, cause, by, kind, switchover } => {
                let request = Request {
                    kind,
                    nodes,
                    confirmed: matches!(cause, Cause::Admin | Cause::FalsePrimary),
                    flags: u8::from(cause.timed_out()) | u8::from(switchover) << 1,
                };
                self.ask(request, cause, by, ctx);
            }
            Say::NodeStatus(node, alive) => {
                if alive {
                    self.machine.found(node, now);
                } else {
                    self.machine.dead(node, now);
                }
            }
            Say::Indicate(begins) => self.machine.indicate(begins, now),
            Say::Recovery(begins) => self.tell_recovery(begins, ctx),
            Say::FollowLock(takes) => self.machine.lock_standbys(takes, now),
            _ => {}
        }
    }
    fn ask(&mut self, request: Request, cause: Cause, by: Pid, ctx: &Cx<'_>) {
        self.next_ipc += 1;
        let ipc = self.next_ipc;
        self.asked.push(Asked { ipc, request: request.clone(), cause, by });
        self.machine.ask(ipc, request, ctx.wall_clock);
    }

    /// Carries out what the machine asked for.
    fn flush(&mut self, ctx: &mut Cx<'_>) {
        while !self.machine.out.is_empty() {
            for out in std::mem::take(&mut self.machine.out) {
                self.carry(out, ctx);
            }
        }
        let wd = &mut ctx.files.pgpool.wd;
        wd.state = Some(self.machine.state());
        wd.quorum = self.machine.quorum();
        wd.escalated = self.machine.escalated();
        wd.leader = self.machine.leader();
    }
    fn carry(&mut self, out: Out, ctx: &mut Cx<'_>) {
        match out {
            Out::Send(node, channel, packet) => self.send(node, channel, packet, ctx),
            Out::Connect(node) => {
                let to = Endpoint::new(self.ip(node), self.setup.config.wd_port);
                let conn = ctx.connect(to, Plane::heartbeat, TcpOptions::default());
                if let Some(old) = self.links[usize::from(node)].client.replace(conn) {
                    ctx.act(Action::Close(old));
                }
            }
            Out::Close(node) => {
                let link = std::mem::take(&mut self.links[usize::from(node)]);
                for conn in [link.client, link.server].into_iter().flatten() {
                    ctx.act(Action::Close(conn));
                }
            }
            Out::Escalate => self.escalate(true, ctx),
            Out::DeEscalate => self.escalate(false, ctx),
            Out::Fatal => {
                ctx.files.pgpool.wd.fatal = true;
                self.stop(ctx);
            }
            Out::Reply(ipc, verdict) => self.verdict(ipc, verdict, ctx),
            Out::Carry(request) => {
                let nodes = request.nodes.to_vec();
                let what = match request.kind {
                    RequestKind::Degenerate => {
                        let cause =
                            if request.flags & 1 > 0 { Cause::HealthCheckTimeout } else { Cause::Watchdog };
                        ToParent::Down { nodes, cause, by: ctx.me }
                    }
                    RequestKind::Failback => ToParent::Up(nodes.first().copied().unwrap_or(0), false),
                    RequestKind::Promote => {
                        ToParent::Promote(nodes.first().copied().unwrap_or(0), request.flags & 2 > 0)
                    }
                };
                super::super::request(what, ctx);
            }
            Out::InformQuarantine => self.inform(ctx),
            Out::SyncBackends => {
                self.machine.ask_backends(ctx.wall_clock);
            }
            Out::Interrupt => {
                if let Some(pid) = self.setup.pid(Role::Lifecheck)
                    && matches!(self.machine.state(), State::Coordinator | State::Standby)
                {
                    ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::Joined))));
                }
                if self.machine.quorum() >= 0 {
                    self.inform(ctx);
                }
            }
            Out::TellBackends(node, id) => {
                let s = &ctx.files.pgpool;
                let state = |b: &super::super::shared::BackendState| match b.status {
                    // What is in quarantine here is up for everybody else.
                    Status::Down if b.quarantine => BackendState::Up,
                    Status::Down => BackendState::Down,
                    Status::Up => BackendState::Up,
                    Status::Waiting => BackendState::Waiting,
                };
                let states: Vec<BackendState> = s.backends.iter().map(state).collect();
                let body = Body::Backends(states.into(), s.primary);
                self.send(node, Channel::Client, Packet { id, body }, ctx);
            }
            Out::Backends(states, primary) => {
                super::super::request(ToParent::Sync(states.to_vec(), primary), ctx);
            }
            Out::Recovery(from, id, begins) => self.peer_recovers(from, id, begins, ctx),
            Out::ClientsGone(from, gone) => {
                if self.awaited.contains(&from) {
                    self.awaited.retain(|n| *n != from);
                    if !gone || self.awaited.is_empty() {
                        self.awaited.clear();
                        self.answer_pcp(gone, ctx);
                    }
                }
            }
            Out::LockStandby(takes) => ctx.files.pgpool.lock_remotely(takes),
            Out::Note(note) => ctx.note(PoolNote::Watchdog(note).into()),
        }
    }
    fn send(&self, node: NodeId, channel: Channel, packet: Packet, ctx: &mut Cx<'_>) {
        let link = self.links[usize::from(node)];
        let conn = match channel {
            Channel::Client => link.client.or(link.server),
            Channel::Server => link.server.or(link.client),
        };
        if let Some(conn) = conn {
            ctx.act(Action::TcpSend(conn, Msg::Pgpool(Box::new(Say::Wd(packet)))));
        }
    }
    /// Who has a backend in quarantine votes again.
    fn inform(&mut self, ctx: &Cx<'_>) {
        let quarantined: Vec<u8> = ctx
            .files
            .pgpool
            .backends
            .iter()
            .enumerate()
            .filter(|(_, b)| b.quarantine)
            .map(|(i, _)| i as u8)
            .collect();
        for node in quarantined {
            let request =
                Request { kind: RequestKind::Degenerate, nodes: [node].into(), confirmed: false, flags: 0 };
            self.ask(request, Cause::HealthCheck, ctx.me, ctx);
        }
    }
    /// The answer to a local request: the parent is told what to do.
    fn verdict(&mut self, ipc: u32, verdict: Verdict, ctx: &mut Cx<'_>) {
        let Some(i) = self.asked.iter().position(|a| a.ipc == ipc) else { return };
        let asked = self.asked.remove(i);
        let nodes = asked.request.nodes.to_vec();
        match (verdict, asked.request.kind) {
            (Verdict::Proceed, RequestKind::Degenerate) => {
                super::super::request(ToParent::Down { nodes, cause: asked.cause, by: asked.by }, ctx);
            }
            (Verdict::Proceed, RequestKind::Failback) => {
                super::super::request(ToParent::Up(nodes.first().copied().unwrap_or(0), false), ctx);
            }
            (Verdict::Proceed, RequestKind::Promote) => {
                let switchover = asked.request.flags & 2 > 0;
                super::super::request(
                    ToParent::Promote(nodes.first().copied().unwrap_or(0), switchover),
                    ctx,
                );
            }
            (Verdict::NoQuorum | Verdict::ConsensusMayFail, RequestKind::Degenerate) => {
                super::super::request(ToParent::Quarantine { nodes, cause: asked.cause }, ctx);
            }
            _ => {}
        }
        if asked.by != ctx.me {
            ctx.act(Action::Tell(asked.by, Msg::Pgpool(Box::new(Say::Verdict(verdict)))));
        }
    }

    // ---- online recovery ------------------------------------------------------------------------------------------------

    fn answer_pcp(&self, gone: bool, ctx: &mut Cx<'_>) {
        if let Some(pid) = self.setup.pid(Role::Pcp) {
            ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::ClientsGone(gone)))));
        }
    }
    /// The local PCP process begins or ends the second stage.
    fn tell_recovery(&mut self, begins: bool, ctx: &mut Cx<'_>) {
        let asked = self.machine.tell_recovery(begins, ctx.wall_clock);
        if begins {
            match asked {
                Some(peers) if peers.is_empty() => self.answer_pcp(true, ctx),
                Some(peers) => self.awaited = peers,
                None => self.answer_pcp(false, ctx),
            }
        } else {
            self.awaited.clear();
        }
    }
    /// A peer's begins or ends it: the door here too.
    fn peer_recovers(&mut self, from: NodeId, id: u32, begins: bool, ctx: &mut Cx<'_>) {
        if !begins {
            self.leaving = None;
            super::super::door(&self.setup, Door::Open, ctx);
        } else if ctx.files.pgpool.door != Door::Open {
            self.machine.answer_recovery(from, id, false, ctx.wall_clock);
        } else {
            super::super::door(&self.setup, Door::Closed, ctx);
            self.leaving = Some((from, id, ctx.now));
        }
    }
    /// Whether the clients here have gone, for a peer's recovery; whether the peers that a recovery here waits for are still there.
    fn look_at_clients(&mut self, ctx: &mut Cx<'_>) {
        if let Some((to, id, since)) = self.leaving {
            let c = &self.setup.config;
            let late = ctx.now.since(since) >= c.recovery_timeout;
            let wrong =
                super::super::recovery::counter_is_wrong(c.client_idle_limit_in_recovery, c.recovery_timeout);
            let gone = ctx.files.pgpool.connected == 0 || late && wrong;
            if gone || late {
                self.leaving = None;
                self.machine.answer_recovery(to, id, gone, ctx.wall_clock);
            }
        }
        if !self.awaited.is_empty() {
            let there = self.machine.reachable_peers();
            self.awaited.retain(|n| there.contains(n));
            if self.awaited.is_empty() {
                self.answer_pcp(true, ctx);
            }
        }
    }

    // ---- the virtual address ------------------------------------------------------------------------------------------

    fn address(&self, ctx: &Cx<'_>) -> Option<(NetId, Cidr)> {
        let vip = self.setup.config.delegate_ip?;
        let on = |(_, c): &&(NetId, Cidr)| c.contains(vip.ip);
        let (net, own) = ctx.addresses().iter().find(on)?;
        let prefix = if vip.prefix == 32 { own.prefix } else { vip.prefix };
        Some((*net, Cidr { ip: vip.ip, prefix }))
    }
    fn escalate(&mut self, up: bool, ctx: &mut Cx<'_>) {
        if self.setup.config.delegate_ip.is_none() {
            return;
        }
        let range = if up { IF_UP } else { IF_DOWN };
        let takes = Span(range.min.0 + ctx.below(range.max.0 - range.min.0 + 1));
        self.escalation.run(up, takes, ctx.now);
        self.arm(ctx);
    }
    fn arm(&self, ctx: &mut Cx<'_>) {
        if let Some(at) = self.escalation.next() {
            ctx.set_timer(T_VIP, at.since(ctx.now));
        }
    }
    fn vip(&mut self, ctx: &mut Cx<'_>) {
        let Some((net, cidr)) = self.address(ctx) else { return };
        for step in self.escalation.due(ctx.now) {
            let there = ctx.addresses().iter().any(|a| a.1.ip == cidr.ip);
            match step {
                Step::Up => {
                    if !there {
                        ctx.act(Action::AddAddress(net, cidr));
                    }
                    ctx.act(Action::GratuitousArp(net, cidr.ip));
                    ctx.note(PoolNote::Watchdog(Note::VipUp { vip: cidr.ip }).into());
                }
                Step::Arping => ctx.act(Action::GratuitousArp(net, cidr.ip)),
                Step::Down => {
                    ctx.act(Action::RemoveAddress(net, cidr.ip));
                    ctx.note(PoolNote::Watchdog(Note::VipDown { vip: cidr.ip }).into());
                }
            }
        }
        self.arm(ctx);
    }
}
