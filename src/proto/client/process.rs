//! The client as a state machine: it asks at fixed times, whatever became of the requests before, and notes every outcome.
//!
//! Requests are open-loop: a slow answer does not delay the next request. **Not modelled:** retries inside the client, pools
//! (they come with the database clients).

use super::config::{Client, Every, Protocol};
use crate::engine::Time;
use crate::engine::exponential::exponential;
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, HostId, Input, Tcp, TcpOptions, Timer};
use crate::proto::{Cx, Msg};

/// What a request counts as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub enum Kind {
    /// Both: a service that is no database.
    Both,
    /// A read.
    Read,
    /// A write.
    Write,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub enum Outcome {
    /// Answered by this host.
    Ok(HostId),
    /// ECONNREFUSED or a reset connection.
    Reset,
    /// No answer in time.
    Timeout,
    /// EHOSTUNREACH.
    Unreachable,
    /// The server closed the connection without an answer.
    Closed,
    /// The database refused.
    Error(crate::proto::postgres::msg::SqlState),
    /// The name of the service had no address.
    NoAddress,
    /// None of the servers had the role that was asked for (`target_session_attrs`).
    NoServer,
    /// The program had no free connection.
    Busy,
}

/// A request and how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    /// What it counts as.
    pub kind: Kind,
    /// When it was sent.
    pub sent: Time,
    /// How it ended.
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
struct Request {
    id: u32,
    kind: Kind,
    sent: Time,
    conn: Option<ConnId>,
}

/// A client.
#[derive(Clone, Debug)]
pub struct ClientProcess {
    config: Client,
    next: u32,
    open: Vec<Option<Request>>,
    session: Option<(ConnId, bool)>,
}

const KINDS: u16 = 3;

impl ClientProcess {
    /// A client with this configuration.
    pub fn new(config: Client) -> Self {
        ClientProcess { config, next: 0, open: Vec::new(), session: None }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = ClientProcess::new(self.config.clone());
    }
    /// Requests without an answer so far, and when the oldest was sent.
    pub fn waiting(&self) -> (usize, Option<Time>) {
        let open: Vec<Time> = self.open.iter().flatten().map(|r| r.sent).collect();
        (open.len(), open.iter().min().copied())
    }
    /// Where it connects to.
    pub fn target(&self) -> Endpoint {
        self.config.connect
    }
    fn streams(&self) -> [(Kind, Option<Every>); KINDS as usize] {
        let c = &self.config;
        [(Kind::Both, c.requests), (Kind::Read, c.reads), (Kind::Write, c.writes)]
    }
    fn options(&self) -> TcpOptions {
        let c = &self.config;
        TcpOptions {
            user_timeout: c.tcp_user_timeout,
            keepalive: c.keepalives.then_some((c.keepalives_idle, c.keepalives_interval, c.keepalives_count)),
        }
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                ctx.act(Action::Bind(CLIENT_PORT));
                for (i, (_, every)) in self.streams().into_iter().enumerate() {
                    if every.is_some() {
                        ctx.set_timer(Timer(i as u16), self.config.start_after);
                    }
                }
            }
            Input::Timer(Timer(i)) if i < KINDS => {
                let (kind, every) = self.streams()[i as usize];
                if let Some(every) = every {
                    let wait = match every {
                        Every::Every(interval) => interval,
                        Every::Poisson(mean) => exponential(ctx.below(u64::MAX), mean),
                    };
                    ctx.set_timer(Timer(i), wait);
                    self.ask(kind, ctx);
                }
            }
            Input::Timer(Timer(t)) => {
                if let Some(r) = self.open.get_mut((t - KINDS) as usize).and_then(Option::take) {
                    if self.config.protocol == Protocol::Tcp
                        && let Some(conn) = r.conn
                    {
                        ctx.act(Action::Close(conn));
                    }
                    self.ended(&r, Outcome::Timeout, ctx);
                }
            }
            Input::Packet { msg: Msg::Response { id, host }, .. } => self.answered(id, host, ctx),
            Input::Tcp(conn, event) => self.tcp(conn, event, ctx),
            _ => {}
        }
    }

    fn ask(&mut self, kind: Kind, ctx: &mut Cx<'_>) {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let to = self.config.connect;
        let conn = match self.config.protocol {
            Protocol::Udp => {
                let from = Endpoint { ip: crate::net::addr::Ip::NONE, port: CLIENT_PORT };
                ctx.act(Action::Send { from, to, net: None, plane: Plane::client, msg: Msg::Request { id } });
                None
            }
            Protocol::Tcp => Some(ctx.connect(to, Plane::client, self.options())),
            Protocol::Session => {
                let (conn, open) = match self.session {
                    Some(session) => session,
                    None => (ctx.connect(to, Plane::client, self.options()), false),
                };
                self.session = Some((conn, open));
                if open {
                    ctx.act(Action::TcpSend(conn, Msg::Request { id }));
                }
                Some(conn)
            }
        };
        let request = Request { id, kind, sent: ctx.now, conn };
        let slot = match self.open.iter().position(Option::is_none) {
            Some(free) => {
                self.open[free] = Some(request);
                free
            }
            None => {
                self.open.push(Some(request));
                self.open.len() - 1
            }
        };
        ctx.set_timer(Timer(KINDS + slot as u16), self.config.timeout);
    }

    fn tcp(&mut self, conn: ConnId, event: Tcp<Msg>, ctx: &mut Cx<'_>) {
        match event {
            Tcp::Connected => {
                if let Some((c, open)) = &mut self.session
                    && *c == conn
                {
                    *open = true;
                }
                for r in self.open.iter().flatten().filter(|r| r.conn == Some(conn)) {
                    ctx.act(Action::TcpSend(conn, Msg::Request { id: r.id }));
                }
            }
            Tcp::Data(Msg::Response { id, host }) => {
                if self.config.protocol == Protocol::Tcp {
                    ctx.act(Action::Close(conn));
                }
                self.answered(id, host, ctx);
            }
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                let outcome = match event {
                    Tcp::Closed => Outcome::Closed,
                    Tcp::TimedOut => Outcome::Timeout,
                    Tcp::Unreachable => Outcome::Unreachable,
                    _ => Outcome::Reset,
                };
                if event == Tcp::Closed {
                    ctx.act(Action::Close(conn));
                }
                if self.session.is_some_and(|(c, _)| c == conn) {
                    self.session = None;
                }
                for slot in 0..self.open.len() {
                    if self.open[slot].as_ref().is_some_and(|r| r.conn == Some(conn))
                        && let Some(r) = self.open[slot].take()
                    {
                        ctx.cancel_timer(Timer(KINDS + slot as u16));
                        self.ended(&r, outcome, ctx);
                    }
                }
            }
        }
    }

    fn answered(&mut self, id: u32, host: HostId, ctx: &mut Cx<'_>) {
        let Some(slot) = self.open.iter().position(|r| r.as_ref().is_some_and(|r| r.id == id)) else {
            return;
        };
        if let Some(r) = self.open[slot].take() {
            ctx.cancel_timer(Timer(KINDS + slot as u16));
            self.ended(&r, Outcome::Ok(host), ctx);
        }
    }
    fn ended(&self, r: &Request, outcome: Outcome, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::Client(Note { kind: r.kind, sent: r.sent, outcome }));
    }
}

/// The port that datagram clients are answered on.
const CLIENT_PORT: u16 = 40_000;
