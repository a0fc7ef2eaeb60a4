//! A real server: requests queue for workers, and each takes a worker its time.
//!
//! It models what a director's clients feel of a web server: how long they wait, whom it turns away, and that a request whose client has
//! given up is worked on all the same. **Not modelled:** keepalive time-outs, memory, work that slows other work down.

use super::config::{Distribution, WebServer};
use crate::engine::exponential::exponential;
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, Timer};
use crate::proto::http::Http;
use crate::proto::{Cx, Msg};
use std::collections::VecDeque;

/// Whom a request came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    Datagram { from: Endpoint, to: Endpoint },
    Tcp(ConnId),
}
/// A request.
#[derive(Clone, Copy, Debug)]
struct Request {
    peer: Peer,
    /// The client's number for it; `None` is an HTTP request.
    id: Option<u32>,
    came: Time,
    /// The client has closed its side.
    closed: bool,
}

/// What a server has done since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Requests answered.
    pub served: u64,
    /// Requests turned away.
    pub refused: u64,
    /// The time that answered requests waited for a worker, in nanoseconds.
    pub waited: u128,
    /// The time from their arrival to their answer, in nanoseconds.
    pub sojourn: u128,
}

/// A server.
#[derive(Clone, Debug)]
pub struct RealServer {
    config: WebServer,
    queue: VecDeque<Request>,
    workers: Vec<Option<Request>>,
    totals: Totals,
}

impl RealServer {
    /// A server with this configuration.
    pub fn new(config: WebServer) -> Self {
        let workers = vec![None; config.workers as usize];
        RealServer { config, queue: VecDeque::new(), workers, totals: Totals::default() }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = RealServer::new(self.config.clone());
    }
    /// What it has done.
    pub fn totals(&self) -> Totals {
        self.totals
    }
    /// Requests that wait, and those that are worked on.
    pub fn load(&self) -> (usize, usize) {
        (self.queue.len(), self.workers.iter().flatten().count())
    }
    /// The port.
    pub fn port(&self) -> u16 {
        self.config.bind
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start if self.config.startup_time.max.is_zero() => self.open(cx),
            Input::Start => {
                let time = draw(self.config.startup_time.min, self.config.startup_time.max, cx);
                cx.set_timer(Timer(0), time);
            }
            Input::Timer(Timer(0)) => self.open(cx),
            Input::Timer(Timer(t)) => self.done(usize::from(t) - 1, cx),
            Input::Packet { from, to, msg: Msg::Request { id } } => {
                self.take(Peer::Datagram { from, to }, Some(id), cx);
            }
            Input::Tcp(conn, Tcp::Data(Msg::Request { id })) => self.take(Peer::Tcp(conn), Some(id), cx),
            Input::Tcp(conn, Tcp::Data(Msg::Http(Http::Request(..)))) => self.take(Peer::Tcp(conn), None, cx),
            Input::Tcp(conn, Tcp::Closed) => self.closed(conn, cx),
            Input::Signal(Signal::Term) => cx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn open(&self, cx: &mut Cx<'_>) {
        cx.act(Action::Bind(self.config.bind));
        cx.act(Action::Listen(self.config.bind, self.config.backlog));
    }
    fn take(&mut self, peer: Peer, id: Option<u32>, cx: &mut Cx<'_>) {
        let request = Request { peer, id, came: cx.now, closed: false };
        if let Some(free) = self.workers.iter().position(Option::is_none) {
            self.work(free, request, cx);
        } else if self.queue.len() < self.config.queue as usize {
            self.queue.push_back(request);
        } else {
            self.totals.refused += 1;
            if let Peer::Tcp(conn) = peer {
                if id.is_none() {
                    cx.act(Action::TcpSend(conn, Msg::Http(Http::Response(503, None))));
                }
                cx.act(Action::Close(conn));
            }
        }
    }
    fn work(&mut self, worker: usize, request: Request, cx: &mut Cx<'_>) {
        let range = self.config.service_time;
        let time = match self.config.distribution {
            Distribution::Uniform => draw(range.min, range.max, cx),
            Distribution::Exponential => exponential(cx.below(u64::MAX), range.min),
        };
        self.totals.waited += u128::from(cx.now.since(request.came).0);
        self.workers[worker] = Some(request);
        cx.set_timer(Timer(worker as u16 + 1), time);
    }
    fn done(&mut self, worker: usize, cx: &mut Cx<'_>) {
        let Some(r) = self.workers.get_mut(worker).and_then(Option::take) else { return };
        self.totals.served += 1;
        self.totals.sojourn += u128::from(cx.now.since(r.came).0);
        let msg = match r.id {
            Some(id) => Msg::Response { id, host: cx.host },
            None => Msg::Http(Http::Response(200, None)),
        };
        match r.peer {
            Peer::Tcp(conn) => {
                cx.act(Action::TcpSend(conn, msg));
                if r.closed {
                    cx.act(Action::Close(conn));
                }
            }
            Peer::Datagram { from, to } => {
                cx.act(Action::Send { from: to, to: from, net: None, plane: Plane::client, msg });
            }
        }
        if let Some(next) = self.queue.pop_front() {
            self.work(worker, next, cx);
        }
    }
    /// The client closed its side: the connection ends when its requests are answered.
    fn closed(&mut self, conn: ConnId, cx: &mut Cx<'_>) {
        let pending = self.workers.iter_mut().flatten().chain(&mut self.queue);
        let last = pending.filter(|r| r.peer == Peer::Tcp(conn)).last();
        match last {
            Some(r) => r.closed = true,
            None => cx.act(Action::Close(conn)),
        }
    }
}

fn draw(min: Span, max: Span, cx: &mut Cx<'_>) -> Span {
    let width = max.0.saturating_sub(min.0);
    if width == 0 { min } else { Span(min.0 + cx.below(width + 1)) }
}
