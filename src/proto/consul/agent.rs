//! A client agent: it forwards what its host's programs ask over HTTP to a server, and tries the next one when that does not answer.

use super::local::{END_TIMER, Local, Place, Wants};
use super::msg::{Error, Msg, Reply, Request};
use super::note::Note;
use super::server::{HTTP_PORT, RPC_PORT};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Ctx, Input, Signal, Tcp, TcpOptions, Timer};
use std::sync::Arc;

/// Whom an answer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum For {
    Conn(ConnId, u32),
    /// The agent's own services and DNS interface.
    Local(u32),
}
#[derive(Clone, Debug)]
struct Call {
    client: For,
    ask: Arc<Request>,
    server: ConnId,
    tries: usize,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    servers: Vec<Ip>,
    /// The server that it asks at present.
    at: usize,
    calls: Vec<Option<Call>>,
    local: Local,
}

/// The timer of a call.
fn timer(slot: usize) -> Timer {
    Timer(END_TIMER.saturating_add(slot as u16))
}

/// A server that has not taken the connection by then is left for the next one.
const DIAL_TIMEOUT: Span = Span::secs(10);

impl Agent {
    /// An agent of these servers, at this place among all agents.
    pub fn new(servers: Vec<Ip>, place: Place) -> Self {
        Agent { servers, at: 0, calls: Vec::new(), local: Local::new(place) }
    }
    /// What an end leaves of it.
    pub fn reset(&mut self) {
        self.calls.clear();
        self.local.reset();
    }
    /// Its gossip, services and DNS.
    pub fn local(&self) -> &Local {
        &self.local
    }
    /// Handles one input.
    pub fn on<M: From<Msg>, N: From<Note>, F>(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, M, N, F>) {
        if let Some(wants) = self.local.on(&input, ctx) {
            self.local.serf_mut().events.clear();
            return self.wanted(wants, ctx);
        }
        match input {
            Input::Start => {
                self.local.start(ctx);
                self.at = ctx.below(self.servers.len() as u64) as usize;
                ctx.act(Action::Listen(HTTP_PORT, 4096));
            }
            Input::Tcp(conn, Tcp::Data(Msg::Request(tag, ask))) => match self.local.asked(&ask, ctx) {
                Some((reply, wants)) => {
                    ctx.act(Action::TcpSend(conn, Msg::Reply(tag, reply).into()));
                    self.wanted(wants, ctx);
                }
                None => self.call(For::Conn(conn, tag), self.mine(ask), ctx),
            },
            Input::Tcp(conn, news) => self.tcp(conn, news, ctx),
            Input::Timer(Timer(t)) => {
                let slot = t.wrapping_sub(END_TIMER);
                if let Some(conn) = self.calls.get(slot as usize).and_then(|c| c.as_ref().map(|c| c.server)) {
                    ctx.act(Action::Close(conn));
                    self.next(slot as usize, ctx);
                }
            }
            // `leave_on_terminate` is true for clients.
            Input::Signal(Signal::Term) => {
                self.local.serf().leave(ctx);
                ctx.act(Action::Exit(0));
            }
            _ => {}
        }
    }
    fn wanted<M: From<Msg>, N: From<Note>, F>(&mut self, wants: Wants, ctx: &mut Ctx<'_, M, N, F>) {
        for (tag, request) in wants {
            self.call(For::Local(tag), Arc::new(request), ctx);
        }
    }
    /// A session belongs to the agent's node.
    fn mine(&self, ask: Arc<Request>) -> Arc<Request> {
        match &*ask {
            Request::SessionCreate(id, s) if s.node.is_none() && self.local.node().is_some() => {
                let mut s = s.clone();
                Arc::make_mut(&mut s).node = self.local.node();
                Arc::new(Request::SessionCreate(*id, s))
            }
            _ => ask,
        }
    }
    fn call<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        client: For,
        ask: Arc<Request>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let slot = self.calls.iter().position(Option::is_none).unwrap_or(self.calls.len());
        if slot == self.calls.len() {
            self.calls.push(None);
        }
        let server = self.dial(slot, ctx);
        self.calls[slot] = Some(Call { client, ask, server, tries: 1 });
    }
    fn answer<M: From<Msg>, N: From<Note>, F>(&mut self, to: For, reply: Reply, ctx: &mut Ctx<'_, M, N, F>) {
        match to {
            For::Conn(conn, tag) => ctx.act(Action::TcpSend(conn, Msg::Reply(tag, reply).into())),
            For::Local(tag) => self.local.answered(tag, &reply, ctx),
        }
    }
    fn dial<M: From<Msg>, N: From<Note>, F>(&self, slot: usize, ctx: &mut Ctx<'_, M, N, F>) -> ConnId {
        ctx.set_timer(timer(slot), DIAL_TIMEOUT);
        let ip = self.servers.get(self.at).copied().unwrap_or(Ip::NONE);
        ctx.connect(Endpoint::new(ip, RPC_PORT), Plane::dcs, TcpOptions::default())
    }
    fn tcp<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        conn: ConnId,
        news: Tcp<Msg>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let Some(slot) = self.calls.iter().position(|c| c.as_ref().is_some_and(|c| c.server == conn)) else {
            if news == Tcp::Closed {
                ctx.act(Action::Close(conn));
            }
            self.given_up(conn, ctx);
            return;
        };
        match news {
            Tcp::Connected => {
                ctx.cancel_timer(timer(slot));
                if let Some(c) = &self.calls[slot] {
                    ctx.act(Action::TcpSend(conn, Msg::Request(slot as u32, c.ask.clone()).into()));
                }
            }
            Tcp::Data(Msg::Reply(_, reply)) => {
                if let Some(c) = self.calls[slot].take() {
                    self.answer(c.client, reply, ctx);
                    ctx.act(Action::Close(conn));
                }
            }
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                if news == Tcp::Closed {
                    ctx.act(Action::Close(conn));
                }
                self.next(slot, ctx);
            }
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
        }
    }
    /// The client has gone: nobody waits for the server any more.
    fn given_up<M: From<Msg>, N: From<Note>, F>(&mut self, client: ConnId, ctx: &mut Ctx<'_, M, N, F>) {
        for (slot, call) in self.calls.iter_mut().enumerate() {
            if call.as_ref().is_some_and(|c| matches!(c.client, For::Conn(conn, _) if conn == client))
                && let Some(c) = call.take()
            {
                ctx.cancel_timer(timer(slot));
                ctx.act(Action::Close(c.server));
            }
        }
    }
    /// The server failed: the next one, each once.
    fn next<M: From<Msg>, N: From<Note>, F>(&mut self, slot: usize, ctx: &mut Ctx<'_, M, N, F>) {
        self.at = (self.at + 1) % self.servers.len().max(1);
        let tried = self.calls[slot].as_ref().map_or(0, |c| c.tries);
        if tried < self.servers.len() {
            let server = self.dial(slot, ctx);
            if let Some(c) = &mut self.calls[slot] {
                c.server = server;
                c.tries += 1;
            }
        } else if let Some(c) = self.calls[slot].take() {
            ctx.cancel_timer(timer(slot));
            self.answer(c.client, Reply::Failed(Error::NoServers), ctx);
        }
    }
}
