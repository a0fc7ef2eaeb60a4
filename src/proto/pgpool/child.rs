//! A child: it accepts a client, finds or builds a session with the servers, serves the client to its end, and keeps the connections.
//!
//! Source: `src/protocol/child.c` (`do_child`, `connection_count_up`), `src/protocol/pool_connection_pool.c`; manual, "Connections and
//! Authentication", "Connection Pooling". One client at a time, from accept to the end of the reset queries. Life times are looked at about once a
//! second, so that they act up to 1.2 s late (`client_idle_limit_in_recovery`: up to 1 s). What happens between the session's begin and its end is in `super::session`.
//!
//! **Not modelled:** the exchange of passwords (its time is part of the server's `connection_time`), TLS: a client that tries TLS first reports
//! a refusal by `reserved_connections` as a failed TLS exchange.

use super::Setup;
use super::cache::{Cache, Link, NEVER, Slot};
use super::config::{IdleLimit, Mode};
use super::msg::{Cause, Msg as Say};
use super::note::{EndWhy, Note};
use super::route::{Look, Session};
use super::session::Work;
use super::shared::{ChildState, Door, Login, Shared};
use crate::engine::{SEC, Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, TcpOptions, Timer};
use crate::proto::postgres::msg::{Sql, SqlState, Statement};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// `authentication_timeout`, the client's idle limit: what the client must do in time.
pub(super) const T_CLIENT: Timer = Timer(0);
/// `connect_timeout`.
const T_CONNECT: Timer = Timer(1);
/// The processors are done with something, or a gate is tried again.
pub(super) const T_CPU: Timer = Timer(2);
/// `child_life_time`.
const T_LIFE: Timer = Timer(3);
/// `connection_life_time`.
const T_CACHE: Timer = Timer(4);
/// Something is looked at again.
const T_AGAIN: Timer = Timer(5);

/// Life times are looked at so often, and a little later.
const LOOK: Span = Span::ms(1_200);
/// How long a child sleeps when a kept connection turns out to be broken.
const BROKEN: Span = Span::secs(1);

/// What a child is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    #[default]
    Off,
    /// It waits in `accept`.
    Accepting,
    /// Online recovery has closed the door: it accepts nobody before that is over; who comes waits in the kernel's queue.
    Barred,
    /// It waits for the startup packet.
    Startup,
    /// It has read the startup packet and works on it.
    TakingIn,
    /// A kept connection is broken: it sleeps, then waits for a failover to end.
    Broken,
    /// It connects to the servers, one after the other; this one is next.
    Connecting(u8, Option<ConnId>),
    /// Connected to all; it waits until they have let the session in.
    LettingIn,
    /// The session is open, its client silent.
    Idle,
    /// It has read a statement and works on it.
    Parsing(u32, Statement),
    /// Statements are with servers.
    Working(Box<Work>),
    /// The client is gone: a reset query is with the servers (which one, who has not answered).
    Resetting(usize, Vec<u8>),
}

/// The client of a child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Client {
    pub(super) conn: ConnId,
    pub(super) login: Arc<Login>,
    /// It has gone while a statement was under way.
    pub(super) gone: bool,
    pub(super) since: Time,
}

/// A child.
#[derive(Clone, Debug)]
pub struct Child {
    pub(super) n: u16,
    pub(super) setup: Arc<Setup>,
    pub(super) state: State,
    pub(super) cache: Cache,
    pub(super) client: Option<Client>,
    /// The slot of the session.
    pub(super) slot: usize,
    pub(super) session: Session,
    /// The number of the next statement to a server.
    pub(super) query: u32,
    /// Sessions since the fork.
    served: u32,
    /// It ends when its session does.
    leaving: bool,
    /// What the client has sent while a statement was under way.
    pub(super) pipeline: std::collections::VecDeque<(u32, Statement)>,
}

impl Child {
    /// A child that has not been forked.
    pub fn new(n: u16, setup: Arc<Setup>) -> Self {
        Child {
            n,
            state: State::Off,
            cache: Cache::new(setup.config.max_pool),
            client: None,
            slot: 0,
            session: Session::default(),
            query: 0,
            served: 0,
            leaving: false,
            pipeline: std::collections::VecDeque::new(),
            setup,
        }
    }
    /// It has ended: its place is free again.
    pub fn reset(&mut self, shared: &mut Shared) {
        if self.client.is_some() {
            shared.connected = shared.connected.saturating_sub(1);
        }
        if let State::Working(w) = &self.state {
            w.leave_gates(shared);
        }
        if let Some(c) = shared.children.get_mut(usize::from(self.n)) {
            *c = ChildState { served: (0, c.served.1, c.served.2), ..ChildState::default() };
        }
        *self = Child::new(self.n, self.setup.clone());
    }
    /// Its number.
    pub fn number(&self) -> u16 {
        self.n
    }
    /// What it was told.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
    pub(super) fn shown<'c>(&self, ctx: &'c mut Cx<'_>) -> Option<&'c mut ChildState> {
        ctx.files.pgpool.children.get_mut(usize::from(self.n))
    }
    pub(super) fn tell(note: Note, ctx: &mut Cx<'_>) {
        ctx.note(note.into());
    }
    pub(super) fn login(&self) -> Arc<Login> {
        self.client.as_ref().map(|c| c.login.clone()).unwrap_or_default()
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                if let Some(c) = self.shown(ctx) {
                    c.alive = true;
                }
                self.accept(ctx);
            }
            Input::Tcp(conn, Tcp::Accepted { .. }) => self.accepted(conn, ctx),
            Input::Tcp(conn, news) if self.client.as_ref().is_some_and(|c| c.conn == conn) => {
                self.client_news(news, ctx);
            }
            Input::Tcp(conn, news) => self.server_news(conn, news, ctx),
            Input::Timer(T_CLIENT) => self.silent_client(ctx),
            Input::Timer(T_CONNECT) => {
                if let State::Connecting(node, Some(conn)) = self.state {
                    ctx.act(Action::Close(conn));
                    self.unreached(node, ctx);
                }
            }
            Input::Timer(T_CPU) => self.worked(ctx),
            Input::Timer(T_LIFE) if self.state == State::Accepting => {
                Self::tell(Note::ChildOld { child: self.n, served: self.served }, ctx);
                ctx.act(Action::Exit(0));
            }
            Input::Timer(T_CACHE) => self.old_connections(ctx),
            Input::Timer(T_AGAIN) => self.again(ctx),
            Input::Call(Msg::Pgpool(m)) if matches!(*m, Say::Recovery(_)) => self.door(ctx),
            Input::Signal(Signal::Quit | Signal::Int) => ctx.act(Action::Exit(0)),
            Input::Signal(Signal::Term) => {
                // A smart stop; but without a parent there is nothing to wait for.
                self.leaving = true;
                if self.client.is_none() || ctx.files.pgpool.parent.is_none() {
                    ctx.act(Action::Exit(0));
                }
            }
            _ => {}
        }
    }

    // ---- a client comes ---------------------------------------------------------------------------------------------

    fn accept(&mut self, ctx: &mut Cx<'_>) {
        if ctx.files.pgpool.door == Door::Closed {
            self.state = State::Barred;
            return;
        }
        self.state = State::Accepting;
        let config = &self.setup.config;
        ctx.act(Action::Accept(config.port));
        if !config.child_life_time.is_zero() && self.served > 0 {
            let late = Span(ctx.below(LOOK.0));
            ctx.set_timer(T_LIFE, config.child_life_time + late);
        }
        self.watch_cache(ctx);
    }
    fn accepted(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_LIFE);
        let config = &self.setup.config;
        self.client = Some(Client { conn, login: Arc::new(Login::default()), gone: false, since: ctx.now });
        ctx.files.pgpool.connected += 1;
        let (r, most) = (u32::from(config.reserved_connections), u32::from(config.num_init_children));
        let connected = ctx.files.pgpool.connected;
        if r > 0 && connected > most.saturating_sub(r) {
            ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Fatal(SqlState::TooManyConnections))));
            ctx.act(Action::Close(conn));
            Self::tell(Note::Refused { child: self.n, connected, reserved: r }, ctx);
            return self.release(false, ctx);
        }
        self.state = State::Startup;
        if !config.authentication_timeout.is_zero() {
            ctx.set_timer(T_CLIENT, config.authentication_timeout);
        }
    }
    /// Online recovery closes the door or opens it; or an administrator waits for the clients to go.
    fn door(&mut self, ctx: &mut Cx<'_>) {
        let closed = ctx.files.pgpool.door == Door::Closed;
        match self.state {
            State::Accepting if closed => {
                ctx.act(Action::NotAccept(self.setup.config.port));
                ctx.cancel_timer(T_LIFE);
                self.state = State::Barred;
            }
            State::Barred if !closed => self.accept(ctx),
            State::Idle => self.watch_silence(ctx),
            _ => {}
        }
    }
    /// How long the client may be silent: `client_idle_limit`, or while clients are to go `client_idle_limit_in_recovery`. Both are looked
    /// at once a second, by a `select` that began with the silence or the last look.
    fn watch_silence(&self, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_CLIENT);
        let config = &self.setup.config;
        let limit = match (ctx.files.pgpool.door, config.client_idle_limit_in_recovery) {
            (Door::Open, _) if config.client_idle_limit.is_zero() => return,
            (Door::Open, _) => config.client_idle_limit + Span(ctx.below(LOOK.0)),
            (_, IdleLimit::Off) => return,
            (_, IdleLimit::Now) => Span(ctx.below(SEC)),
            // So many looks are let pass, the next one is too many.
            (_, IdleLimit::After(limit)) => limit + Span(ctx.below(SEC)),
        };
        ctx.set_timer(T_CLIENT, limit);
    }
    fn client_news(&mut self, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        match news {
            Tcp::Data(Msg::Sql(sql)) => self.client_says(sql, ctx),
            Tcp::Data(_) | Tcp::Connected | Tcp::Accepted { .. } | Tcp::Unreachable => {}
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut => {
                if news == Tcp::Closed
                    && let Some(c) = &self.client
                {
                    ctx.act(Action::Close(c.conn));
                }
                self.client_gone(ctx);
            }
        }
    }
    fn client_says(&mut self, sql: Sql, ctx: &mut Cx<'_>) {
        if let Some(c) = self.shown(ctx) {
            c.heard = Time::ZERO;
        }
        let now = ctx.now;
        if let Some(c) = self.shown(ctx) {
            c.heard = now;
        }
        match (&self.state, sql) {
            (State::Startup, Sql::Startup { superuser }) => {
                let login = Login { superuser, ..Login::default() };
                self.knocks(Arc::new(login), ctx);
            }
            (State::Startup, Sql::Login(login)) => self.knocks(login, ctx),
            (State::Idle, Sql::Query(id, statement)) => self.parse(id, statement, ctx),
            (State::Working(_) | State::Parsing(..), Sql::Query(id, statement)) => {
                self.pipeline.push_back((id, statement));
            }
            (State::Working(work), Sql::Cancel) => {
                for node in work.waits_for() {
                    if let Some(link) = self.cache.slots[self.slot].as_ref().and_then(|s| s.link(node)) {
                        ctx.act(Action::TcpSend(link.conn, Msg::Sql(Sql::Cancel)));
                    }
                }
            }
            _ => {}
        }
    }
    fn knocks(&mut self, login: Arc<Login>, ctx: &mut Cx<'_>) {
        if let Some(c) = &mut self.client {
            c.login = login;
        }
        ctx.cancel_timer(T_CLIENT);
        self.state = State::TakingIn;
        self.spend(self.setup.config.cpu_per_session, ctx);
    }
    /// Works for so long.
    pub(super) fn spend(&self, need: Span, ctx: &mut Cx<'_>) {
        let done = if need.is_zero() { ctx.now } else { ctx.files.cpu.take(ctx.now, need) };
        ctx.set_timer(T_CPU, done.since(ctx.now));
    }
    fn worked(&mut self, ctx: &mut Cx<'_>) {
        match std::mem::take(&mut self.state) {
            State::TakingIn => self.look_up(ctx),
            State::Parsing(id, statement) => self.dispatch(id, statement, ctx),
            State::Working(work) => {
                self.state = State::Working(work);
                self.try_gate(ctx);
            }
            other => self.state = other,
        }
    }

    // ---- the session with the servers -------------------------------------------------------------------------------

    /// The nodes that a session connects to.
    fn wanted(&self, ctx: &Cx<'_>) -> Vec<u8> {
        let shared = &ctx.files.pgpool;
        match self.setup.mode {
            Mode::Raw => shared.main().into_iter().collect(),
            _ => shared.attached().collect(),
        }
    }
    fn look_up(&mut self, ctx: &mut Cx<'_>) {
        let login = self.login();
        let wanted = self.wanted(ctx);
        let Some(i) = self.cache.find(&login) else { return self.build(ctx) };
        self.slot = i;
        let slot = &self.cache.slots[i];
        let sound =
            |n: &u8| slot.as_ref().and_then(|s| s.link(*n)).is_some_and(|l| !l.broken && l.server.is_some());
        if wanted.iter().all(sound) {
            // What is left of nodes that are detached goes.
            for n in 0..self.setup.backends.len() as u8 {
                if !wanted.contains(&n) {
                    self.drop_link(i, n, ctx);
                }
            }
            return self.begin_session(true, ctx);
        }
        let broken = wanted.iter().find(|n| !sound(n)).copied().unwrap_or(0);
        Self::tell(Note::CacheBroken { child: self.n, node: super::names(&self.setup, &[broken]) }, ctx);
        self.state = State::Broken;
        ctx.set_timer(T_AGAIN, BROKEN);
    }
    fn again(&mut self, ctx: &mut Cx<'_>) {
        match self.state {
            State::Broken if ctx.files.pgpool.switching => ctx.set_timer(T_AGAIN, Span::ms(100)),
            State::Broken => {
                self.discard(self.slot, ctx);
                self.build(ctx);
            }
            _ => {}
        }
    }
    fn drop_link(&mut self, slot: usize, node: u8, ctx: &mut Cx<'_>) {
        let Some(s) = &mut self.cache.slots[slot] else { return };
        if let Some(l) = s.links.get_mut(usize::from(node)).and_then(Option::take)
            && !l.broken
        {
            ctx.act(Action::Close(l.conn));
        }
    }
    /// Closes everything in a slot.
    pub(super) fn discard(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        for n in 0..self.setup.backends.len() as u8 {
            self.drop_link(slot, n, ctx);
        }
        self.cache.slots[slot] = None;
        self.show_cache(ctx);
    }
    fn show_cache(&self, ctx: &mut Cx<'_>) {
        let cached = self.cache.slots.iter().flatten().map(|s| s.login.clone()).collect();
        if let Some(c) = self.shown(ctx) {
            c.cached = cached;
        }
    }
    /// Nothing is kept for this login: a slot is found, and filled.
    fn build(&mut self, ctx: &mut Cx<'_>) {
        self.slot = self.cache.place();
        if let Some(old) = &self.cache.slots[self.slot] {
            Self::tell(
                Note::Evicted {
                    child: self.n,
                    user: old.login.user.clone(),
                    database: old.login.database.clone(),
                },
                ctx,
            );
            self.discard(self.slot, ctx);
        }
        let links = vec![None; self.setup.backends.len()];
        self.cache.slots[self.slot] = Some(Slot { login: self.login(), links, closetime: 0, released: None });
        self.connect(0, ctx);
    }
    fn connect(&mut self, from: u8, ctx: &mut Cx<'_>) {
        let next = self.wanted(ctx).into_iter().find(|n| *n >= from);
        let Some(node) = next else {
            self.state = State::LettingIn;
            return self.let_in(ctx);
        };
        let b = &self.setup.backends[usize::from(node)];
        let conn = ctx.connect(Endpoint::new(b.ip, b.port), Plane::client, TcpOptions::default());
        if let Some(s) = &mut self.cache.slots[self.slot] {
            s.links[usize::from(node)] = Some(Link { conn, server: None, broken: false });
        }
        self.state = State::Connecting(node, Some(conn));
        ctx.set_timer(T_CONNECT, self.setup.config.connect_timeout);
    }
    /// A node could not be connected to.
    fn unreached(&mut self, node: u8, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_CONNECT);
        if let Some(s) = &mut self.cache.slots[self.slot] {
            s.links[usize::from(node)] = None;
        }
        let shared = &ctx.files.pgpool;
        if self.setup.config.failover_on_backend_error && self.setup.mode != Mode::ParallelQuery {
            super::degenerate(&self.setup, &[node], Cause::Connect, ctx);
        } else if self.setup.mode.has_primary() && shared.writer() != Some(node) {
            // A standby that is not there is left out, for this session.
            Self::tell(Note::StandbySkipped { child: self.n, node: super::names(&self.setup, &[node]) }, ctx);
            return self.connect(node + 1, ctx);
        } else if self.setup.mode == Mode::ParallelQuery {
            return self.connect(node + 1, ctx);
        }
        self.fail(SqlState::InternalError, EndWhy::NoBackend(node), ctx);
    }
    /// Whether all servers have let the session in.
    fn let_in(&mut self, ctx: &mut Cx<'_>) {
        let all = self.cache.slots[self.slot].as_ref().is_some_and(|s| {
            let links = || s.links.iter().flatten();
            links().next().is_some() && links().all(|l| l.server.is_some())
        });
        let none = self.cache.slots[self.slot].as_ref().is_none_or(|s| s.links.iter().all(Option::is_none));
        if none {
            return self.fail(SqlState::InternalError, EndWhy::NoNode, ctx);
        }
        if all {
            self.begin_session(false, ctx);
        }
    }
    fn begin_session(&mut self, hit: bool, ctx: &mut Cx<'_>) {
        self.session = Session::default();
        let login = self.login();
        let config = &self.setup.config;
        let balances =
            config.load_balance_mode && !matches!(self.setup.mode, Mode::Raw | Mode::ParallelQuery);
        if balances && !config.statement_level_load_balance {
            self.session.balanced = Some(self.choose(ctx).0);
        }
        let (balanced, now) = (self.session.balanced, ctx.now);
        if let Some(c) = self.shown(ctx) {
            c.session = Some((login.clone(), now));
            c.balanced = balanced;
            c.served.1 += u32::from(hit);
            c.served.2 += u32::from(!hit);
        }
        self.show_cache(ctx);
        let waited = self.client.as_ref().map_or(Span::ZERO, |c| now.since(c.since));
        Self::tell(
            Note::Session {
                child: self.n,
                user: login.user.clone(),
                database: login.database.clone(),
                hit,
                balanced,
                took: waited,
            },
            ctx,
        );
        let node = self.session.balanced.or_else(|| ctx.files.pgpool.writer());
        let of = |n: u8| self.cache.slots[self.slot].as_ref().and_then(|s| s.link(n)).and_then(|l| l.server);
        let writer = ctx.files.pgpool.writer().and_then(of);
        let server = node.and_then(of).or(writer);
        let (host, _) = server.unwrap_or((ctx.host, false));
        self.answer_client(Sql::Ready(host, writer.is_some_and(|w| w.1)), ctx);
        self.idle(ctx);
    }
    pub(super) fn choose(&self, ctx: &mut Cx<'_>) -> (u8, super::route::Rule) {
        let login = self.login();
        let (streams, stream) = (&mut *ctx.luck.0, ctx.luck.1);
        let look = Look { setup: &self.setup, shared: &ctx.files.pgpool, login: &login, now: ctx.now };
        look.choose(&mut |n| streams.below(stream, n))
    }
    pub(super) fn answer_client(&self, sql: Sql, ctx: &mut Cx<'_>) {
        if let Some(c) = self.client.as_ref().filter(|c| !c.gone) {
            ctx.act(Action::TcpSend(c.conn, Msg::Sql(sql)));
        }
    }
    /// The session waits for its client.
    pub(super) fn idle(&mut self, ctx: &mut Cx<'_>) {
        self.state = State::Idle;
        let transaction = self.session.in_transaction;
        if let Some(c) = self.shown(ctx) {
            (c.busy, c.transaction) = (false, transaction);
        }
        if self.client.as_ref().is_some_and(|c| c.gone) {
            return self.end_session(ctx);
        }
        if let Some((id, statement)) = self.pipeline.pop_front() {
            return self.parse(id, statement, ctx);
        }
        let leaving = ctx.files.pgpool.door != Door::Open;
        if leaving && self.setup.config.client_idle_limit_in_recovery == IdleLimit::Now {
            // It is looked at before anything else is read.
            return self.silent_client(ctx);
        }
        self.watch_silence(ctx);
    }
    fn silent_client(&mut self, ctx: &mut Cx<'_>) {
        match self.state {
            State::Startup => {
                Self::tell(Note::SessionEnds { child: self.n, why: EndWhy::Authentication }, ctx);
                if let Some(c) = &self.client {
                    ctx.act(Action::Close(c.conn));
                }
                self.release(false, ctx);
            }
            State::Idle => {
                let leaving = ctx.files.pgpool.door != Door::Open;
                let why = if leaving { EndWhy::RecoveryLimit } else { EndWhy::IdleLimit };
                Self::tell(Note::SessionEnds { child: self.n, why }, ctx);
                self.answer_client(Sql::Fatal(SqlState::OperatorIntervention), ctx);
                if let Some(c) = &self.client {
                    ctx.act(Action::Close(c.conn));
                }
                self.end_session(ctx);
            }
            _ => {}
        }
    }

    // ---- the end of a session ---------------------------------------------------------------------------------------

    fn client_gone(&mut self, ctx: &mut Cx<'_>) {
        match self.state {
            State::Idle => self.end_session(ctx),
            // It is noticed when the answer cannot be delivered.
            State::Working(_) | State::Parsing(..) => {
                if let Some(c) = &mut self.client {
                    c.gone = true;
                }
            }
            State::Connecting(..) | State::LettingIn | State::Broken => {
                ctx.cancel_timer(T_CONNECT);
                ctx.cancel_timer(T_AGAIN);
                if self.state != State::Broken {
                    self.discard(self.slot, ctx);
                }
                self.release(false, ctx);
            }
            State::Startup | State::TakingIn => {
                ctx.cancel_timer(T_CPU);
                self.release(false, ctx);
            }
            State::Off | State::Accepting | State::Barred | State::Resetting(..) => {}
        }
    }
    /// The client is gone: the reset queries, then the slot is kept.
    pub(super) fn end_session(&mut self, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_CLIENT);
        self.pipeline.clear();
        let login = self.login();
        let kept = self.setup.config.connection_cache && !NEVER.contains(&&*login.database);
        if !kept {
            self.discard(self.slot, ctx);
            return self.release(true, ctx);
        }
        self.reset_query(0, ctx);
    }
    fn reset_query(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let Some(command) = self.setup.reset.get(i).cloned() else {
            if let Some(s) = &mut self.cache.slots[self.slot] {
                s.closetime = ctx.now.0 / SEC;
                s.released = Some(ctx.now);
            }
            return self.release(true, ctx);
        };
        let mut waits = Vec::new();
        let links = self.cache.slots[self.slot].as_ref().map(|s| s.links.clone()).unwrap_or_default();
        for (n, link) in links.iter().enumerate() {
            let Some(link) = link.filter(|l| !l.broken) else { continue };
            let id = self.next_query();
            let write = crate::proto::postgres::msg::WriteId { client: ctx.me, operation: id, attempt: 0 };
            let statement = Statement::Sql(command.clone(), write);
            ctx.act(Action::TcpSend(link.conn, Msg::Sql(Sql::Query(id, statement))));
            waits.push(n as u8);
        }
        if waits.is_empty() {
            self.discard(self.slot, ctx);
            return self.release(true, ctx);
        }
        self.state = State::Resetting(i, waits);
    }
    pub(super) fn next_query(&mut self) -> u32 {
        self.query = self.query.wrapping_add(1);
        self.query
    }
    /// The session is broken off: the client is told, nothing of it is kept.
    pub(super) fn fail(&mut self, code: SqlState, why: EndWhy, ctx: &mut Cx<'_>) {
        Self::tell(Note::SessionEnds { child: self.n, why }, ctx);
        self.answer_client(Sql::Fatal(code), ctx);
        if let Some(c) = self.client.as_ref().filter(|c| !c.gone) {
            ctx.act(Action::Close(c.conn));
        }
        self.abandon(ctx);
    }
    /// The session's connections to servers are closed with it.
    fn abandon(&mut self, ctx: &mut Cx<'_>) {
        for t in [T_CLIENT, T_CONNECT, T_CPU] {
            ctx.cancel_timer(t);
        }
        if let State::Working(w) = &self.state {
            w.leave_gates(&mut ctx.files.pgpool);
        }
        self.pipeline.clear();
        self.discard(self.slot, ctx);
        self.release(true, ctx);
    }
    /// The place is free: for the next client, if the child does not end here.
    fn release(&mut self, served: bool, ctx: &mut Cx<'_>) {
        self.client = None;
        ctx.cancel_timer(T_CLIENT);
        self.session = Session::default();
        ctx.files.pgpool.connected = ctx.files.pgpool.connected.saturating_sub(1);
        self.served += u32::from(served);
        let sessions = self.served;
        if let Some(c) = self.shown(ctx) {
            (c.session, c.balanced, c.transaction, c.busy) = (None, None, false, false);
            c.served.0 = sessions;
        }
        self.show_cache(ctx);
        let most = self.setup.config.child_max_connections;
        if self.leaving || (most > 0 && self.served >= most) {
            ctx.act(Action::Exit(0));
            return;
        }
        self.accept(ctx);
    }
    /// The next kept connection becomes too old.
    fn watch_cache(&self, ctx: &mut Cx<'_>) {
        let life = self.setup.config.connection_life_time;
        if life.is_zero() {
            return;
        }
        if let Some(at) = self.cache.next_end(life, None) {
            let late = Span(ctx.below(LOOK.0));
            ctx.set_timer(T_CACHE, at.since(ctx.now) + late);
        }
    }
    fn old_connections(&mut self, ctx: &mut Cx<'_>) {
        let life = self.setup.config.connection_life_time;
        let active = self.client.is_some().then_some(self.slot);
        for i in 0..self.cache.slots.len() {
            let old =
                self.cache.slots[i].as_ref().and_then(|s| s.released).is_some_and(|r| r + life <= ctx.now);
            if old && Some(i) != active {
                self.discard(i, ctx);
            }
        }
        self.watch_cache(ctx);
    }

    // ---- news of servers --------------------------------------------------------------------------------------------

    fn server_news(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        let Some((slot, node)) = self.cache.owner(conn) else { return };
        let current = slot == self.slot
            && !matches!(self.state, State::Accepting | State::Barred | State::Startup | State::TakingIn);
        match news {
            Tcp::Connected => {
                let sql = Sql::Login(self.login());
                ctx.act(Action::TcpSend(conn, Msg::Sql(sql)));
                ctx.cancel_timer(T_CONNECT);
                self.connect(node + 1, ctx);
            }
            Tcp::Data(Msg::Sql(sql)) => self.server_says(slot, node, sql, current, ctx),
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                if news == Tcp::Closed {
                    ctx.act(Action::Close(conn));
                }
                if matches!(self.state, State::Connecting(n, Some(_)) if n == node) {
                    return self.unreached(node, ctx);
                }
                self.break_link(slot, node);
                if current {
                    self.lost(node, None, ctx);
                }
            }
        }
    }
    fn break_link(&mut self, slot: usize, node: u8) {
        if let Some(l) = self.cache.slots[slot].as_mut().and_then(|s| s.links[usize::from(node)].as_mut()) {
            l.broken = true;
        }
    }
    fn server_says(&mut self, slot: usize, node: u8, sql: Sql, current: bool, ctx: &mut Cx<'_>) {
        match sql {
            Sql::Ready(host, standby) => {
                if let Some(l) =
                    self.cache.slots[slot].as_mut().and_then(|s| s.links[usize::from(node)].as_mut())
                {
                    l.server = Some((host, standby));
                }
                let b = &mut ctx.files.pgpool.backends[usize::from(node)];
                if b.status == super::shared::Status::Waiting {
                    b.status = super::shared::Status::Up;
                }
                if self.state == State::LettingIn {
                    self.let_in(ctx);
                }
            }
            Sql::Fatal(code) => {
                let link = self.cache.slots[slot].as_ref().and_then(|s| s.link(node).copied());
                self.break_link(slot, node);
                if let Some(l) = link {
                    ctx.act(Action::Close(l.conn));
                }
                if current {
                    self.lost(node, Some(code), ctx);
                }
            }
            Sql::Done(..) | Sql::Error(..) if current => match &mut self.state {
                State::Resetting(i, waits) => {
                    waits.retain(|n| *n != node);
                    if waits.is_empty() {
                        let next = *i + 1;
                        self.reset_query(next, ctx);
                    }
                }
                State::Working(_) => self.answered(node, sql, ctx),
                _ => {}
            },
            _ => {}
        }
    }
    /// A connection of the session is no more; `code`: what the server said before.
    fn lost(&mut self, node: u8, code: Option<SqlState>, ctx: &mut Cx<'_>) {
        let config = &self.setup.config;
        let busy = match &self.state {
            State::Working(w) => w.waits_for().any(|n| n == node),
            State::Resetting(_, waits) => waits.contains(&node),
            _ => false,
        };
        let shutdown = matches!(code, Some(SqlState::AdminShutdown | SqlState::CrashShutdown));
        let letting_in = matches!(self.state, State::Connecting(..) | State::LettingIn);
        let uses = busy || letting_in || self.uses(node, ctx);
        if !uses {
            // A standby that this session does not read from: nobody looks at its connection.
            return;
        }
        let cause = if letting_in && code.is_some() {
            None
        } else if shutdown && config.shutdown_fails_over() {
            Some(Cause::Shutdown)
        } else if config.failover_on_backend_error && (code.is_none() || (shutdown && busy)) {
            Some(Cause::Error)
        } else {
            None
        };
        if let Some(cause) = cause.filter(|_| self.setup.mode != Mode::ParallelQuery) {
            super::degenerate(&self.setup, &[node], cause, ctx);
        }
        if let State::Resetting(..) = self.state {
            self.discard(self.slot, ctx);
            return self.release(true, ctx);
        }
        let to_client = code.unwrap_or(SqlState::InternalError);
        self.fail(to_client, EndWhy::BackendLost(node, code), ctx);
    }
    /// Whether the session reads from a node or writes to it.
    fn uses(&self, node: u8, ctx: &Cx<'_>) -> bool {
        match self.setup.mode {
            Mode::NativeReplication | Mode::SnapshotIsolation | Mode::Raw | Mode::ParallelQuery => true,
            _ => {
                ctx.files.pgpool.writer() == Some(node)
                    || self.session.balanced == Some(node)
                    || self.setup.config.statement_level_load_balance
            }
        }
    }
}
