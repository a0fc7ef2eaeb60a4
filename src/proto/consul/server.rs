//! A server as a process: Raft over its disk, the state, the leader's timers of the sessions, and the requests of clients and agents.

use super::config::Expiry;
use super::local::{Local, Place, Wants, service_of};
use super::msg::{
    Behavior, Check, Command, Consistency, Error, Msg, NodeId, Reply, Request, SessionId, Text,
};
use super::note::{Basis, Ended, Note};
use super::serf::Status;
use super::state::{SESSION_TTL_MAX, State};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::disk::End;
use crate::node::process::{Action, ConnId, Ctx, Input, Signal, Tcp, Timer};
use crate::proto::raft::{self, Durable, Io, Member, Out, Raft, Role, Rules};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The port of the HTTP interface, on agents and servers.
pub const HTTP_PORT: u16 = 8500;
/// The port of the servers, for agents and each other.
pub const RPC_PORT: u16 = 8300;

/// The settings of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Which server it is.
    pub me: Member,
    /// The servers' addresses, in their order.
    pub servers: Vec<Ip>,
    /// Election timers; [`Rules::consul`] with a `raft_multiplier` of 5 is the default.
    pub rules: Rules,
    /// `rpc_hold_timeout`: how long a request waits for a leader. Default 7 s.
    pub rpc_hold_timeout: Span,
    /// When a session ends that is not renewed.
    pub expiry: Expiry,
    /// Its place among all agents.
    pub place: Place,
}

/// Whom an answer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum For {
    Conn(ConnId, u32),
    Server(Member, u32),
    /// The server's own services and DNS interface.
    Local(u32),
    /// An operator's command of the host: nobody waits.
    Nobody,
}
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wait {
    /// There is no leader: until then.
    Hold(Time),
    /// This server was asked.
    Forwarded(Member),
    /// The command of this number is to be applied.
    Apply,
    /// A key is to change, until then.
    Change(Time),
}
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pending {
    to: For,
    number: u32,
    ask: Arc<Request>,
    wait: Wait,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    member: Durable<Command>,
    state: State,
    applied: u32,
    /// The leader's timers of the sessions: the end, and from when it counts.
    expires: BTreeMap<SessionId, (Time, Basis)>,
    /// A new leader compares the catalog with the gossip when this is applied.
    barrier: Option<u32>,
    local: Local,
    pending: Vec<Pending>,
    next: u32,
}

/// The next session ends.
const T_SESSION: Timer = Timer(Raft::<Command>::TIMERS);
/// Requests that wait for a leader are tried again.
const T_HOLD: Timer = Timer(Raft::<Command>::TIMERS + 1);
/// A blocking query's wait is over.
const T_WAIT: Timer = Timer(Raft::<Command>::TIMERS + 2);
/// A session whose end could not be written is looked at again after this.
const AGAIN: Span = Span::secs(10);
/// Waits and retries vary by up to this part of them.
const JITTER: u64 = 16;

impl Server {
    /// A server with an empty disk.
    pub fn new(config: Config) -> Self {
        let member = Durable::new(config.rules, config.me, config.servers.len());
        let local = Local::new(config.place.clone());
        Server {
            config,
            member,
            state: State::default(),
            applied: 0,
            expires: BTreeMap::new(),
            barrier: None,
            local,
            pending: Vec::new(),
            next: 0,
        }
    }
    /// What an end of this kind leaves of it.
    pub fn reset(&mut self, end: End) {
        let config = self.config.clone();
        let (rules, me, servers) = (config.rules, config.me, config.servers.len());
        let member = self.member.clone().reset(end, rules, me, servers);
        let mut local = self.local.clone();
        local.reset();
        *self = Server { member, local, ..Server::new(config) };
    }
    /// Its Raft.
    pub fn raft(&self) -> &Raft<Command> {
        self.member.raft()
    }
    /// What it has applied.
    pub fn state(&self) -> &State {
        &self.state
    }
    /// Up to which index of the log: what is applied is what a majority holds.
    pub fn applied(&self) -> u32 {
        self.applied
    }
    /// Whether it believes to lead.
    pub fn leads(&self) -> bool {
        self.raft().role() == Role::Leader
    }
    /// Its gossip, services and DNS.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// A message of another server's Raft, if it is one of the many that change nothing.
    #[inline]
    pub fn heard<M: From<Msg>, N, F>(
        &mut self,
        from: Ip,
        message: &raft::Message<Command>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) -> bool {
        let heard = self.member.heard(&self.config.servers, from, message, ctx.now);
        if let Some((from, Some(m))) = heard {
            self.tell(from, Msg::Raft(m), ctx);
            return true;
        }
        heard.is_some()
    }
    /// Handles one input.
    pub fn on<M: From<Msg>, N: From<Note>, F>(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, M, N, F>) {
        if let Some(wants) = self.local.on(&input, ctx) {
            self.wanted(wants, ctx);
            return self.gossiped(ctx);
        }
        match input {
            Input::Start => {
                self.local.start(ctx);
                ctx.act(Action::Bind(RPC_PORT));
                ctx.act(Action::Listen(RPC_PORT, 4096));
                ctx.act(Action::Listen(HTTP_PORT, 4096));
                self.drive(ctx, |r, io| r.start(io));
            }
            Input::Timer(T_SESSION) => self.expire(ctx),
            Input::Timer(T_HOLD) => self.held(ctx),
            Input::Timer(T_WAIT) => self.changed(ctx),
            Input::Timer(Timer(t)) => self.drive(ctx, |r, io| r.timer(t, io)),
            Input::Synced { tag, ok } => {
                let Some(mut ready) = self.member.synced(tag, ok) else { return ctx.act(Action::Exit(1)) };
                ready.drain(..).for_each(|o| self.carry_out(o, ctx));
                self.member.recycle(ready);
            }
            Input::Call(Msg::Request(_, ask)) => self.request(For::Nobody, ask, ctx),
            Input::Packet { from, msg, .. } => {
                let Some(from) = self.config.servers.iter().position(|ip| *ip == from.ip) else { return };
                let from = Member(from as u8);
                match msg {
                    Msg::Raft(m) => self.drive(ctx, |r, io| r.message(from, m, io)),
                    Msg::Request(n, ask) => self.request(For::Server(from, n), ask, ctx),
                    Msg::Reply(n, reply) => {
                        let asked = |p: &Pending| p.number == n && p.wait == Wait::Forwarded(from);
                        if let Some(i) = self.pending.iter().position(asked) {
                            let p = self.pending.swap_remove(i);
                            self.answer(p.to, reply, ctx);
                        }
                    }
                    Msg::Gossip(..) | Msg::Dns(_) | Msg::Http(_) => {}
                }
            }
            Input::Tcp(conn, Tcp::Data(Msg::Request(tag, ask))) => {
                self.request(For::Conn(conn, tag), ask, ctx);
            }
            Input::Tcp(conn, news @ (Tcp::Closed | Tcp::Reset | Tcp::TimedOut)) => {
                if news == Tcp::Closed {
                    ctx.act(Action::Close(conn));
                }
                self.pending.retain(|p| !matches!(p.to, For::Conn(c, _) if c == conn));
            }
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }

    fn drive<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        ctx: &mut Ctx<'_, M, N, F>,
        step: impl FnOnce(&mut Raft<Command>, &mut Io<'_, Command>),
    ) {
        let before = (self.raft().leader(), self.raft().has_quorum());
        let mut out = self.member.drive(ctx, step);
        for o in out.drain(..) {
            self.carry_out(o, ctx);
        }
        self.member.recycle(out);
        let after = (self.raft().leader(), self.raft().has_quorum());
        if before != after {
            self.turned(before, after, ctx);
        }
    }
    /// Whom it follows, or whether a quorum answers, has changed.
    fn turned<M: From<Msg>, N: From<Note>, F>(
        &self,
        before: (Option<Member>, bool),
        after: (Option<Member>, bool),
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let servers = self.config.servers.len();
        if before.1 != after.1 {
            ctx.note(Note::Quorum { has: after.1, servers, leader: after.0.map(|m| self.host(m)) }.into());
        }
        if let (Some(gone), None) = (before.0, after.0)
            && gone != self.config.me
            && self.raft().role() != Role::Follower
        {
            let heard = self.raft().last_contact();
            ctx.note(Note::LeaderSilent { leader: self.host(gone), heard, now: ctx.now }.into());
        }
    }
    /// The address of a server: what notes call it by.
    fn host(&self, m: Member) -> Ip {
        self.config.servers.get(m.0 as usize).copied().unwrap_or(Ip::NONE)
    }
    fn node_name(&self, node: NodeId) -> Text {
        let known = self.config.place.nodes.get(node.0 as usize).map(|n| n.0.clone());
        known.unwrap_or_else(|| "?".into())
    }
    /// What the server's own host wants.
    fn wanted<M: From<Msg>, N: From<Note>, F>(&mut self, wants: Wants, ctx: &mut Ctx<'_, M, N, F>) {
        for (tag, request) in wants {
            self.request(For::Local(tag), Arc::new(request), ctx);
        }
    }
    /// The leader writes down who has come or gone.
    fn gossiped<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        if self.local.serf().events.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.local.serf_mut().events);
        if !self.leads() {
            return;
        }
        for (node, status) in events {
            match status {
                Status::Left => self.write(Request::NodeGone(node), ctx),
                status => self.reconcile(node, status == Status::Alive, ctx),
            }
        }
    }
    fn reconcile<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        node: NodeId,
        alive: bool,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        if self.state.node(node) == Some(alive) {
            return;
        }
        if !alive || self.state.node(node).is_some() {
            ctx.note(Note::Serf { node: self.node_name(node), alive }.into());
        }
        self.write(Request::Health(node, alive), ctx);
    }
    /// A command of the leader's own.
    fn write<M: From<Msg>, N: From<Note>, F>(&mut self, act: Request, ctx: &mut Ctx<'_, M, N, F>) {
        let command = Command { number: 0, at: ctx.now, act };
        self.drive(ctx, |r, io| {
            r.propose(command, io);
        });
    }
    fn carry_out<M: From<Msg>, N: From<Note>, F>(&mut self, out: Out<Command>, ctx: &mut Ctx<'_, M, N, F>) {
        match out {
            Out::Send(to, m) => self.tell(to, Msg::Raft(m), ctx),
            Out::Timer(..) | Out::Cancel(_) => {}
            Out::Committed(index) => self.apply(index, ctx),
            Out::Elected => {
                // Timers are not replicated: every session gets all of its time again.
                let sessions: Vec<(SessionId, Span)> =
                    self.state.sessions().map(|(id, s)| (id, s.ttl)).collect();
                ctx.note(Note::Elected { term: self.raft().term() }.into());
                self.expires.clear();
                for (id, ttl) in sessions {
                    self.begin(id, ttl, Basis::Election(ctx.now), ctx);
                }
                self.arm(ctx);
                self.barrier = Some(self.raft().last_index());
            }
            Out::SteppedDown => {
                let has_quorum = self.raft().has_quorum();
                ctx.note(Note::SteppedDown { term: self.raft().term(), has_quorum }.into());
                self.barrier = None;
                self.expires.clear();
                self.arm(ctx);
                let (lost, rest) =
                    std::mem::take(&mut self.pending).into_iter().partition(|p| p.wait == Wait::Apply);
                self.pending = rest;
                for p in lost {
                    self.answer(p.to, Reply::Failed(Error::NoClusterLeader), ctx);
                }
            }
        }
    }
    fn tell<M: From<Msg>, N, F>(&self, to: Member, msg: Msg, ctx: &mut Ctx<'_, M, N, F>) {
        let Some(ip) = self.config.servers.get(to.0 as usize) else { return };
        let (from, to) = (Endpoint::new(Ip::NONE, RPC_PORT), Endpoint::new(*ip, RPC_PORT));
        ctx.act(Action::Send { from, to, net: None, plane: Plane::dcs, msg: msg.into() });
    }
    fn answer<M: From<Msg>, N: From<Note>, F>(&mut self, to: For, reply: Reply, ctx: &mut Ctx<'_, M, N, F>) {
        match to {
            For::Conn(conn, tag) => ctx.act(Action::TcpSend(conn, Msg::Reply(tag, reply).into())),
            For::Server(m, n) => self.tell(m, Msg::Reply(n, reply), ctx),
            For::Local(tag) => self.local.answered(tag, &reply, ctx),
            For::Nobody => {}
        }
    }
    /// A session's time begins.
    fn begin<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        id: SessionId,
        ttl: Span,
        basis: Basis,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let lasts = match self.config.expiry {
            Expiry::Exact => ttl.times(2),
            Expiry::Contract => Span(ttl.0 + ctx.below(ttl.0 + 1)),
        };
        self.expires.insert(id, (ctx.now + lasts, basis));
    }

    fn request<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        to: For,
        ask: Arc<Request>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        if let Some((reply, wants)) = self.local.asked(&ask, ctx) {
            self.answer(to, reply, ctx);
            return self.wanted(wants, ctx);
        }
        let ask = match &*ask {
            Request::Get { consistency: Consistency::Stale, .. } => return self.read(to, ask, ctx),
            Request::Lookup(name) => {
                let found = match service_of(name) {
                    Some((tag, service)) => self.state.addresses(tag.as_deref(), &service),
                    None => self.node_address(name),
                };
                return self.answer(to, Reply::Addresses(found.into()), ctx);
            }
            Request::SessionCreate(id, s) if s.node.is_none() && self.local.node().is_some() => {
                let mut s = s.clone();
                Arc::make_mut(&mut s).node = self.local.node();
                Arc::new(Request::SessionCreate(*id, s))
            }
            _ => ask,
        };
        let deadline = ctx.now + self.config.rpc_hold_timeout;
        self.route(to, ask, deadline, ctx);
    }
    /// `NAME.node.consul`.
    fn node_address(&self, name: &str) -> Vec<Ip> {
        let name = name.trim_end_matches('.').to_lowercase();
        let Some((node, _)) = name.strip_suffix(".consul").and_then(|n| n.split_once(".node")) else {
            return Vec::new();
        };
        let all = self.config.place.nodes.iter().enumerate();
        let known = all
            .filter(|(i, n)| n.0.eq_ignore_ascii_case(node) && self.state.node(NodeId(*i as u16)).is_some());
        known.map(|(_, n)| n.1).collect()
    }
    /// To the leader, if there is one; a request that came from a server goes no further.
    fn route<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        to: For,
        ask: Arc<Request>,
        deadline: Time,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        match (self.raft().leader(), to) {
            (Some(l), _) if l == self.config.me => self.lead(to, ask, ctx),
            (Some(l), For::Conn(..) | For::Local(_) | For::Nobody) => {
                self.tell(l, Msg::Request(number, ask.clone()), ctx);
                self.pending.push(Pending { to, number, ask, wait: Wait::Forwarded(l) });
                self.rearm_hold(ctx);
            }
            _ => {
                self.pending.push(Pending { to, number, ask, wait: Wait::Hold(deadline) });
                self.rearm_hold(ctx);
            }
        }
    }
    fn rearm_hold<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        if self.pending.iter().any(|p| matches!(p.wait, Wait::Hold(_) | Wait::Forwarded(_))) {
            let wait = Span(1 + ctx.below(self.config.rpc_hold_timeout.0 / JITTER));
            ctx.set_timer(T_HOLD, wait);
        }
    }
    /// Looks again at what waits for a leader, or for one that leads no longer.
    fn held<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        let leader = self.raft().leader();
        let (again, rest) = std::mem::take(&mut self.pending).into_iter().partition(|p| match p.wait {
            Wait::Hold(_) => true,
            Wait::Forwarded(l) => leader != Some(l),
            _ => false,
        });
        self.pending = rest;
        for p in again {
            let repeatable = matches!(&*p.ask, Request::Get { .. } | Request::SessionRenew(_));
            match p.wait {
                Wait::Hold(deadline) if ctx.now < deadline => self.route(p.to, p.ask, deadline, ctx),
                Wait::Forwarded(_) if repeatable => {
                    let deadline = ctx.now + self.config.rpc_hold_timeout;
                    self.route(p.to, p.ask, deadline, ctx);
                }
                _ => self.answer(p.to, Reply::Failed(Error::NoClusterLeader), ctx),
            }
        }
        self.rearm_hold(ctx);
    }

    /// The leader does what is asked.
    fn lead<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        to: For,
        ask: Arc<Request>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        match &*ask {
            Request::Get { consistency: Consistency::Default | Consistency::Stale, .. } => {
                return self.read(to, ask, ctx);
            }
            Request::SessionRenew(id) => {
                let Some(ttl) = self.state.session(*id).map(|s| s.ttl) else {
                    return self.answer(to, Reply::Failed(Error::NotFound), ctx);
                };
                self.begin(*id, ttl, Basis::Renewal(ctx.now), ctx);
                self.arm(ctx);
                return self.answer(to, Reply::Done(true), ctx);
            }
            Request::SessionCreate(_, s)
                if s.ttl < self.config.place.session_ttl_min || s.ttl > SESSION_TTL_MAX =>
            {
                return self.answer(to, Reply::Failed(Error::InvalidTtl), ctx);
            }
            Request::MoveLeader(member) => {
                let member = *member;
                if member != self.config.me {
                    ctx.note(Note::Moves(self.host(member)).into());
                }
                self.drive(ctx, |r, io| r.transfer(member, io));
                return self.answer(to, Reply::Done(true), ctx);
            }
            _ => {}
        }
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let command = Command { number, at: ctx.now, act: (*ask).clone() };
        self.pending.push(Pending { to, number, ask, wait: Wait::Apply });
        self.drive(ctx, |r, io| {
            r.propose(command, io);
        });
    }
    fn read<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        to: For,
        ask: Arc<Request>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let Request::Get { prefix, blocking, .. } = &*ask else { return };
        match blocking {
            Some((known, wait)) if self.state.index_of(prefix) <= *known => {
                let until = ctx.now + Span(wait.0 + ctx.below(wait.0 / JITTER + 1));
                self.next = self.next.wrapping_add(1);
                let number = self.next;
                self.pending.push(Pending { to, number, ask, wait: Wait::Change(until) });
                self.rearm_wait(ctx);
            }
            _ => {
                let (keys, index) = self.state.keys(prefix);
                self.answer(to, Reply::Keys(Arc::new(keys), index), ctx);
            }
        }
    }
    fn rearm_wait<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        let ends =
            self.pending.iter().filter_map(|p| if let Wait::Change(t) = p.wait { Some(t) } else { None });
        match ends.min() {
            Some(at) => ctx.set_timer(T_WAIT, at.since(ctx.now)),
            None => ctx.cancel_timer(T_WAIT),
        }
    }
    /// Answers blocking queries whose keys have changed or whose wait is over.
    fn changed<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        let mut i = 0;
        while let Some(p) = self.pending.get(i) {
            let (Wait::Change(until), Request::Get { prefix, blocking: Some((known, _)), .. }) =
                (&p.wait, &*p.ask)
            else {
                i += 1;
                continue;
            };
            if self.state.index_of(prefix) > *known || ctx.now >= *until {
                let (keys, index) = self.state.keys(prefix);
                let to = p.to;
                self.pending.remove(i);
                self.answer(to, Reply::Keys(Arc::new(keys), index), ctx);
            } else {
                i += 1;
            }
        }
        self.rearm_wait(ctx);
    }

    fn apply<M: From<Msg>, N: From<Note>, F>(&mut self, index: u32, ctx: &mut Ctx<'_, M, N, F>) {
        while self.applied < index {
            self.applied += 1;
            let Some(command) = self.raft().command(self.applied).cloned() else { continue };
            let result = self.state.apply(u64::from(self.applied), command.at, &command.act);
            let leads = self.raft().role() == Role::Leader;
            match &command.act {
                Request::SessionCreate(id, s) if leads && result.is_ok() => {
                    // A new leader that has to apply what was written before it begins such sessions anew.
                    let old = self.barrier.is_some_and(|b| self.applied < b);
                    let basis = if old { Basis::Election(ctx.now) } else { Basis::Create(ctx.now) };
                    self.begin(*id, s.ttl, basis, ctx);
                    self.arm(ctx);
                }
                _ => {}
            }
            if !self.state.ended.is_empty() {
                self.invalidated(&command, leads, ctx);
            }
            let mine = |p: &Pending| leads && p.number == command.number && p.wait == Wait::Apply;
            if let Some(i) = self.pending.iter().position(mine) {
                let p = self.pending.remove(i);
                if p.to == For::Nobody {
                    ctx.note(Note::Operator(p.ask.clone()).into());
                }
                match (&command.act, result) {
                    (Request::Get { .. }, _) => self.read(p.to, p.ask, ctx),
                    (_, Ok(done)) => self.answer(p.to, Reply::Done(done), ctx),
                    (_, Err(e)) => self.answer(p.to, Reply::Failed(e), ctx),
                }
            }
        }
        self.changed(ctx);
        if self.barrier.is_some_and(|b| self.applied >= b) {
            self.barrier = None;
            let members: Vec<(NodeId, bool)> = self.local.serf().members().collect();
            for (node, alive) in members {
                self.reconcile(node, alive, ctx);
            }
        }
    }
    /// Sessions have come to their end: the leader tells of those that held something.
    fn invalidated<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        command: &Command,
        leads: bool,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        for i in std::mem::take(&mut self.state.ended) {
            let ends = self.expires.remove(&i.id);
            let why = match (&command.act, ends) {
                (Request::Health(node, _), _) => Ended::Critical(Check::Serf, self.node_name(*node)),
                (Request::Catalog(node, id, _), _) => {
                    Ended::Critical(Check::Service(id.clone()), self.node_name(*node))
                }
                (Request::NodeGone(node), _) => Ended::NodeLeft(self.node_name(*node)),
                (Request::SessionDestroy(_), Some((_, basis))) if command.number == 0 => {
                    let (Basis::Create(at) | Basis::Renewal(at) | Basis::Election(at)) = basis;
                    Ended::Expired(basis, i.session.ttl, command.at.since(at))
                }
                _ => continue,
            };
            // A server that was restarted applies its whole log again: that is no news.
            let news = ctx.now.since(command.at) < AGAIN;
            if leads && news && !i.keys.is_empty() {
                let deleted = i.session.behavior == Behavior::Delete;
                ctx.note(Note::Session { keys: i.keys.into(), deleted, why }.into());
            }
        }
        self.arm(ctx);
    }
    fn arm<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        match self.expires.values().map(|e| e.0).min() {
            Some(at) => ctx.set_timer(T_SESSION, at.since(ctx.now)),
            None => ctx.cancel_timer(T_SESSION),
        }
    }
    /// The leader destroys sessions whose time is over; each is looked at again if the write should be lost.
    fn expire<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        let now = ctx.now;
        for (at, _) in self.expires.values_mut().filter(|e| e.0 <= now) {
            *at = now + AGAIN;
        }
        let over: Vec<SessionId> =
            self.expires.iter().filter(|(_, e)| e.0 == now + AGAIN).map(|e| *e.0).collect();
        for id in over {
            self.write(Request::SessionDestroy(id), ctx);
        }
        self.arm(ctx);
    }
}
