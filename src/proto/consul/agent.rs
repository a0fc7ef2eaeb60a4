//! A client agent: it forwards what its host's programs ask over HTTP to a server, and tries the next one when that does not answer.

use super::msg::{Error, Msg, Reply, Request};
use super::server::{HTTP_PORT, RPC_PORT};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Ctx, Input, Signal, Tcp, TcpOptions, Timer};
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Call {
    client: (ConnId, u32),
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
}

/// A server that has not taken the connection by then is left for the next one.
const DIAL_TIMEOUT: Span = Span::secs(10);

impl Agent {
    /// An agent of these servers.
    pub fn new(servers: Vec<Ip>) -> Self {
        Agent { servers, at: 0, calls: Vec::new() }
    }
    /// What an end leaves of it.
    pub fn reset(&mut self) {
        *self = Agent::new(std::mem::take(&mut self.servers));
    }
    /// Handles one input.
    pub fn on<N>(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, N>) {
        match input {
            Input::Start => {
                self.at = ctx.below(self.servers.len() as u64) as usize;
                ctx.act(Action::Listen(HTTP_PORT, 4096));
            }
            Input::Tcp(conn, Tcp::Data(Msg::Request(tag, ask))) => {
                let slot = self.calls.iter().position(Option::is_none).unwrap_or(self.calls.len());
                if slot == self.calls.len() {
                    self.calls.push(None);
                }
                let server = self.dial(slot, ctx);
                self.calls[slot] = Some(Call { client: (conn, tag), ask, server, tries: 1 });
            }
            Input::Tcp(conn, news) => self.tcp(conn, news, ctx),
            Input::Timer(Timer(slot)) => {
                if let Some(conn) = self.calls.get(slot as usize).and_then(|c| c.as_ref().map(|c| c.server)) {
                    ctx.act(Action::Close(conn));
                    self.next(slot as usize, ctx);
                }
            }
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn dial<N>(&self, slot: usize, ctx: &mut Ctx<'_, Msg, N>) -> ConnId {
        ctx.set_timer(Timer(slot as u16), DIAL_TIMEOUT);
        let ip = self.servers.get(self.at).copied().unwrap_or(Ip::NONE);
        ctx.connect(Endpoint::new(ip, RPC_PORT), Plane::dcs, TcpOptions::default())
    }
    fn tcp<N>(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Ctx<'_, Msg, N>) {
        let Some(slot) = self.calls.iter().position(|c| c.as_ref().is_some_and(|c| c.server == conn)) else {
            if news == Tcp::Closed {
                ctx.act(Action::Close(conn));
            }
            self.given_up(conn, ctx);
            return;
        };
        match news {
            Tcp::Connected => {
                ctx.cancel_timer(Timer(slot as u16));
                if let Some(c) = &self.calls[slot] {
                    ctx.act(Action::TcpSend(conn, Msg::Request(c.client.1, c.ask.clone())));
                }
            }
            Tcp::Data(Msg::Reply(tag, reply)) => {
                if let Some(c) = self.calls[slot].take() {
                    ctx.act(Action::TcpSend(c.client.0, Msg::Reply(tag, reply)));
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
    fn given_up<N>(&mut self, client: ConnId, ctx: &mut Ctx<'_, Msg, N>) {
        for (slot, call) in self.calls.iter_mut().enumerate() {
            if call.as_ref().is_some_and(|c| c.client.0 == client)
                && let Some(c) = call.take()
            {
                ctx.cancel_timer(Timer(slot as u16));
                ctx.act(Action::Close(c.server));
            }
        }
    }
    /// The server failed: the next one, each once.
    fn next<N>(&mut self, slot: usize, ctx: &mut Ctx<'_, Msg, N>) {
        self.at = (self.at + 1) % self.servers.len().max(1);
        let tried = self.calls[slot].as_ref().map_or(0, |c| c.tries);
        if tried < self.servers.len() {
            let server = self.dial(slot, ctx);
            if let Some(c) = &mut self.calls[slot] {
                c.server = server;
                c.tries += 1;
            }
        } else if let Some(c) = self.calls[slot].take() {
            ctx.cancel_timer(Timer(slot as u16));
            let reply = Reply::Failed(Error::NoServers);
            ctx.act(Action::TcpSend(c.client.0, Msg::Reply(c.client.1, reply)));
        }
    }
}
