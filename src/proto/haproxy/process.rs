//! HAProxy as a process. Without sections it is a plain service that listens, and answers every request with the name of its host; with
//! them it is a [`Proxy`].

use super::config::HAProxy;
use super::proxy::Proxy;
use super::setup::Setup;
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

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
    proxy: Option<Box<Proxy>>,
}

impl Service {
    /// A plain service with this configuration.
    pub fn new(config: HAProxy) -> Self {
        Service { config, waiting: Vec::new(), served: 0, proxy: None }
    }
    /// A proxy: its configuration, and what that means.
    pub fn with(config: HAProxy, setup: Setup) -> Self {
        let proxy = Some(Box::new(Proxy::new(Arc::new(setup))));
        Service { proxy, ..Service::new(config) }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        if let Some(p) = &mut self.proxy {
            **p = Proxy::new(p.setup.clone());
        } else {
            *self = Service::new(self.config.clone());
        }
    }
    /// The proxy, if it is one.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }
    /// Requests answered since the start.
    pub fn served(&self) -> u64 {
        self.served
    }
    /// The port.
    pub fn port(&self) -> u16 {
        self.config.bind
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        if let Some(p) = &mut self.proxy {
            return p.on(input, ctx);
        }
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
