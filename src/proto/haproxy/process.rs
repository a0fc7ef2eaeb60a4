//! The service as a state machine: it listens, and answers every request with the name of its host.

use super::config::HAProxy;
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, Timer};
use crate::proto::{Cx, Msg};

/// Whom a request came from.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Datagram { from: Endpoint, to: Endpoint },
    Tcp(ConnId),
}

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    config: HAProxy,
    waiting: Vec<Option<(Peer, u32)>>,
    served: u64,
}

impl Service {
    /// A service with this configuration.
    pub fn new(config: HAProxy) -> Self {
        Service { config, waiting: Vec::new(), served: 0 }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = Service::new(self.config.clone());
    }
    /// Requests answered since the start.
    pub fn served(&self) -> u64 {
        self.served
    }
    /// The port.
    pub fn port(&self) -> u16 {
        self.config.bind
    }

    /// Its servers, and whether they are up.
    pub fn servers(&self) -> Vec<(String, bool)> {
        Vec::new()
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start if self.config.startup_time.min.is_zero() => self.open(ctx),
            Input::Start => ctx.set_timer(Timer(0), self.config.startup_time.min),
            Input::Timer(Timer(0)) => self.open(ctx),
            Input::Timer(Timer(t)) => self.answer(t as usize - 1, ctx),
            Input::Packet { from, to, msg: Msg::Request { id } } => {
                self.take(Peer::Datagram { from, to }, id, ctx)
            }
            Input::Tcp(conn, Tcp::Data(Msg::Request { id })) => self.take(Peer::Tcp(conn), id, ctx),
            Input::Tcp(conn, Tcp::Closed) => ctx.act(Action::Close(conn)),
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn open(&self, ctx: &mut Cx<'_>) {
        ctx.act(Action::Bind(self.config.bind));
        ctx.act(Action::Listen(self.config.bind, self.config.backlog));
    }
    fn take(&mut self, peer: Peer, id: u32, ctx: &mut Cx<'_>) {
        let slot = self.waiting.iter().position(Option::is_none).unwrap_or(self.waiting.len());
        if slot == self.waiting.len() {
            self.waiting.push(None);
        }
        self.waiting[slot] = Some((peer, id));
        if self.config.service_time.min == Span::ZERO {
            self.answer(slot, ctx);
        } else {
            ctx.set_timer(Timer(slot as u16 + 1), self.config.service_time.min);
        }
    }
    fn answer(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some((peer, id)) = self.waiting.get_mut(slot).and_then(Option::take) else { return };
        self.served += 1;
        let msg = Msg::Response { id, host: ctx.host };
        match peer {
            Peer::Tcp(conn) => ctx.act(Action::TcpSend(conn, msg)),
            Peer::Datagram { from, to } => {
                ctx.act(Action::Send { from: to, to: from, net: None, plane: Plane::client, msg });
            }
        }
    }
}
