//! A server as a process: Raft over its disk, the state, the leader's timers of the sessions, and the requests of clients and agents.

use super::msg::{Command, Consistency, Error, Msg, Reply, Request, SessionId};
use super::state::{SESSION_TTL_MAX, SESSION_TTL_MIN, State};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::disk::End;
use crate::node::process::{Action, ConnId, Ctx, Input, Signal, Tcp, Timer};
use crate::proto::raft::{Durable, Io, Member, Out, Raft, Role, Rules};
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
}

/// Whom an answer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum For {
    Conn(ConnId, u32),
    Server(Member, u32),
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
    /// The leader's timers of the sessions.
    expires: BTreeMap<SessionId, Time>,
    pending: Vec<Pending>,
    next: u32,
}

/// The next session ends.
const T_SESSION: Timer = Timer(Raft::<Command>::TIMERS);
/// Requests that wait for a leader are tried again.
const T_HOLD: Timer = Timer(Raft::<Command>::TIMERS + 1);
/// A blocking query's wait is over.
const T_WAIT: Timer = Timer(Raft::<Command>::TIMERS + 2);
/// A session ends after so many times its TTL (`session_ttl.go`).
const TTL_MULTIPLIER: u64 = 2;
/// Waits and retries vary by up to this part of them.
const JITTER: u64 = 16;

impl Server {
    /// A server with an empty disk.
    pub fn new(config: Config) -> Self {
        let member = Durable::new(config.rules, config.me, config.servers.len());
        Server {
            config,
            member,
            state: State::default(),
            applied: 0,
            expires: BTreeMap::new(),
            pending: Vec::new(),
            next: 0,
        }
    }
    /// What an end of this kind leaves of it.
    pub fn reset(&mut self, end: End) {
        let config = self.config.clone();
        let (rules, me, servers) = (config.rules, config.me, config.servers.len());
        let member = self.member.clone().reset(end, rules, me, servers);
        *self = Server { member, ..Server::new(config) };
    }
    /// Its Raft.
    pub fn raft(&self) -> &Raft<Command> {
        self.member.raft()
    }
    /// What it has applied.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Handles one input.
    pub fn on<N>(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, N>) {
        match input {
            Input::Start => {
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
                let Some(ready) = self.member.synced(tag, ok) else { return ctx.act(Action::Exit(1)) };
                ready.into_iter().for_each(|o| self.carry_out(o, ctx));
            }
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

    fn drive<N>(
        &mut self,
        ctx: &mut Ctx<'_, Msg, N>,
        step: impl FnOnce(&mut Raft<Command>, &mut Io<'_, Command>),
    ) {
        for o in self.member.drive(ctx, step) {
            self.carry_out(o, ctx);
        }
    }
    fn carry_out<N>(&mut self, out: Out<Command>, ctx: &mut Ctx<'_, Msg, N>) {
        match out {
            Out::Send(to, m) => self.tell(to, Msg::Raft(m), ctx),
            Out::Timer(..) | Out::Cancel(_) => {}
            Out::Committed(index) => self.apply(index, ctx),
            Out::Elected => {
                // Timers are not replicated: every session gets all of its time again.
                let now = ctx.now;
                let end = |ttl: Span| now + Span(TTL_MULTIPLIER * ttl.0);
                self.expires = self.state.sessions().map(|(id, s)| (id, end(s.ttl))).collect();
                self.arm(ctx);
            }
            Out::SteppedDown => {
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
    fn tell<N>(&self, to: Member, msg: Msg, ctx: &mut Ctx<'_, Msg, N>) {
        let Some(ip) = self.config.servers.get(to.0 as usize) else { return };
        let (from, to) = (Endpoint::new(Ip::NONE, RPC_PORT), Endpoint::new(*ip, RPC_PORT));
        ctx.act(Action::Send { from, to, net: None, plane: Plane::dcs, msg });
    }
    fn answer<N>(&self, to: For, reply: Reply, ctx: &mut Ctx<'_, Msg, N>) {
        match to {
            For::Conn(conn, tag) => ctx.act(Action::TcpSend(conn, Msg::Reply(tag, reply))),
            For::Server(m, n) => self.tell(m, Msg::Reply(n, reply), ctx),
        }
    }

    fn request<N>(&mut self, to: For, ask: Arc<Request>, ctx: &mut Ctx<'_, Msg, N>) {
        if let Request::Get { consistency: Consistency::Stale, .. } = &*ask {
            return self.read(to, ask, ctx);
        }
        let deadline = ctx.now + self.config.rpc_hold_timeout;
        self.route(to, ask, deadline, ctx);
    }
    /// To the leader, if there is one; a request that came from a server goes no further.
    fn route<N>(&mut self, to: For, ask: Arc<Request>, deadline: Time, ctx: &mut Ctx<'_, Msg, N>) {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        match (self.raft().leader(), to) {
            (Some(l), _) if l == self.config.me => self.lead(to, ask, ctx),
            (Some(l), For::Conn(..)) => {
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
    fn rearm_hold<N>(&self, ctx: &mut Ctx<'_, Msg, N>) {
        if self.pending.iter().any(|p| matches!(p.wait, Wait::Hold(_) | Wait::Forwarded(_))) {
            let wait = Span(1 + ctx.below(self.config.rpc_hold_timeout.0 / JITTER));
            ctx.set_timer(T_HOLD, wait);
        }
    }
    /// Looks again at what waits for a leader, or for one that leads no longer.
    fn held<N>(&mut self, ctx: &mut Ctx<'_, Msg, N>) {
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
    fn lead<N>(&mut self, to: For, ask: Arc<Request>, ctx: &mut Ctx<'_, Msg, N>) {
        match &*ask {
            Request::Get { consistency: Consistency::Default | Consistency::Stale, .. } => {
                return self.read(to, ask, ctx);
            }
            Request::SessionRenew(id) => {
                let Some(ttl) = self.state.session(*id).map(|s| s.ttl) else {
                    return self.answer(to, Reply::Failed(Error::NotFound), ctx);
                };
                self.expires.insert(*id, ctx.now + Span(TTL_MULTIPLIER * ttl.0));
                self.arm(ctx);
                return self.answer(to, Reply::Done(true), ctx);
            }
            Request::SessionCreate(_, s) if s.ttl < SESSION_TTL_MIN || s.ttl > SESSION_TTL_MAX => {
                return self.answer(to, Reply::Failed(Error::InvalidTtl), ctx);
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
    fn read<N>(&mut self, to: For, ask: Arc<Request>, ctx: &mut Ctx<'_, Msg, N>) {
        let Request::Get { prefix, blocking, .. } = &*ask else { return };
        let (keys, index) = self.state.keys(prefix);
        match blocking {
            Some((known, wait)) if index <= *known => {
                let until = ctx.now + Span(wait.0 + ctx.below(wait.0 / JITTER + 1));
                self.next = self.next.wrapping_add(1);
                let number = self.next;
                self.pending.push(Pending { to, number, ask, wait: Wait::Change(until) });
                self.rearm_wait(ctx);
            }
            _ => self.answer(to, Reply::Keys(Arc::new(keys), index), ctx),
        }
    }
    fn rearm_wait<N>(&self, ctx: &mut Ctx<'_, Msg, N>) {
        let ends =
            self.pending.iter().filter_map(|p| if let Wait::Change(t) = p.wait { Some(t) } else { None });
        match ends.min() {
            Some(at) => ctx.set_timer(T_WAIT, at.since(ctx.now)),
            None => ctx.cancel_timer(T_WAIT),
        }
    }
    /// Answers blocking queries whose keys have changed or whose wait is over.
    fn changed<N>(&mut self, ctx: &mut Ctx<'_, Msg, N>) {
        let mut i = 0;
        while let Some(p) = self.pending.get(i) {
            let (Wait::Change(until), Request::Get { prefix, blocking: Some((known, _)), .. }) =
                (&p.wait, &*p.ask)
            else {
                i += 1;
                continue;
            };
            let (keys, index) = self.state.keys(prefix);
            if index > *known || ctx.now >= *until {
                let to = p.to;
                self.pending.remove(i);
                self.answer(to, Reply::Keys(Arc::new(keys), index), ctx);
            } else {
                i += 1;
            }
        }
        self.rearm_wait(ctx);
    }

    fn apply<N>(&mut self, index: u32, ctx: &mut Ctx<'_, Msg, N>) {
        while self.applied < index {
            self.applied += 1;
            let Some(command) = self.raft().command(self.applied).cloned() else { continue };
            let result = self.state.apply(u64::from(self.applied), command.at, &command.act);
            let leads = self.raft().role() == Role::Leader;
            match &command.act {
                Request::SessionCreate(id, s) if leads => {
                    self.expires.insert(*id, ctx.now + Span(TTL_MULTIPLIER * s.ttl.0));
                    self.arm(ctx);
                }
                Request::SessionDestroy(id) => {
                    self.expires.remove(id);
                    self.arm(ctx);
                }
                _ => {}
            }
            let mine = |p: &Pending| leads && p.number == command.number && p.wait == Wait::Apply;
            if let Some(i) = self.pending.iter().position(mine) {
                let p = self.pending.remove(i);
                match (&command.act, result) {
                    (Request::Get { .. }, _) => self.read(p.to, p.ask, ctx),
                    (_, Ok(done)) => self.answer(p.to, Reply::Done(done), ctx),
                    (_, Err(e)) => self.answer(p.to, Reply::Failed(e), ctx),
                }
            }
        }
        self.changed(ctx);
    }
    fn arm<N>(&self, ctx: &mut Ctx<'_, Msg, N>) {
        match self.expires.values().min() {
            Some(at) => ctx.set_timer(T_SESSION, at.since(ctx.now)),
            None => ctx.cancel_timer(T_SESSION),
        }
    }
    /// The leader destroys sessions whose time is over.
    fn expire<N>(&mut self, ctx: &mut Ctx<'_, Msg, N>) {
        let now = ctx.now;
        let over: Vec<SessionId> = self.expires.iter().filter(|(_, at)| **at <= now).map(|e| *e.0).collect();
        for id in over {
            self.expires.remove(&id);
            let act = Request::SessionDestroy(id);
            self.drive(ctx, |r, io| {
                r.propose(Command { number: 0, at: now, act }, io);
            });
        }
        self.arm(ctx);
    }
}
