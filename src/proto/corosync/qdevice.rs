//! `corosync-qdevice`, model net: a process beside Corosync that asks a server for a vote (corosync-qdevice(8)).
//!
//! It tells the server each new membership, and repeats the answer to votequorum every half of `timeout` (the cast-vote timer). It asks the
//! server for an echo every 0.8 times `timeout`; a server that has not answered by the next one is given up. Without a server ffsplit votes
//! no at once; lms goes on as before if the node is quorate and `wait_for_all` is set.
//!
//! **Not modelled:** TLS, heuristics (off by default), changes of the configuration, `master_wins`. The longer heartbeat of the
//! synchronisation, 0.8 times `sync_timeout`, is computed by the program and used for heuristics only: the echo keeps its interval.

use super::api::{Client, Event, NodeId, RingId};
use super::config::{Algorithm, Device};
use super::nodes::Nodes;
use super::note::Note;
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, TcpOptions, Timer};
use crate::proto::{Cx, Msg};

/// The port of `corosync-qnetd`.
pub const PORT: u16 = 5403;

/// `tie_breaker`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tie {
    /// The lowest id.
    Lowest,
    /// The highest.
    Highest,
    /// This one.
    Node(NodeId),
}
impl Tie {
    /// Reads the setting.
    pub fn parse(text: &str) -> Option<Tie> {
        match text {
            "lowest" => Some(Tie::Lowest),
            "highest" => Some(Tie::Highest),
            id => id.parse().ok().map(|n| Tie::Node(NodeId(n))),
        }
    }
    /// The node that it is among these.
    pub fn of(self, nodes: Nodes) -> Option<NodeId> {
        match self {
            Tie::Lowest => nodes.lowest(),
            Tie::Highest => nodes.highest(),
            Tie::Node(n) => Some(n),
        }
    }
}

/// An answer of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vote {
    /// Yes.
    Ack,
    /// No.
    Nack,
    /// It will be told.
    Wait,
    /// As before.
    NoChange,
}

/// What client and server say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qnet {
    /// Client: who it is, and how it wants to be served.
    Init {
        /// Its node.
        node: NodeId,
        /// The nodes of its configuration.
        config: Nodes,
        /// `algorithm`.
        algorithm: Algorithm,
        /// `tie_breaker`.
        tie: Tie,
        /// `keep_active_partition_tie_breaker`.
        keep: bool,
        /// Between two echo requests.
        heartbeat: Span,
    },
    /// Client: its membership.
    Membership(RingId, Nodes),
    /// Client: what votequorum has made of it.
    QuorumList(bool),
    /// Client: are you there?
    Echo(u32),
    /// Client: the vote has come.
    VoteReply(u32),
    /// Server: the answer to a list.
    Reply(RingId, Vote),
    /// Server: a vote that it tells by itself.
    VoteInfo(u32, RingId, Vote),
    /// Server: it is there.
    EchoReply(u32),
}

const T_ECHO: Timer = Timer(0);
const T_CAST: Timer = Timer(1);
const T_CONNECT: Timer = Timer(2);

/// The connection to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Server {
    None,
    Connecting(ConnId),
    Up(ConnId),
}

/// The daemon.
#[derive(Clone, Debug)]
pub struct Qdevice {
    conf: Device,
    host: Ip,
    config: Nodes,
    wait_for_all: bool,
    corosync: Client,
    node: NodeId,
    server: Server,
    ring: Option<(RingId, Nodes)>,
    quorate: bool,
    vote: Option<bool>,
    echo: (u32, u32),
    tried: Time,
}
impl Qdevice {
    /// A daemon before its start: the server's address, the nodes of the configuration.
    pub fn new(conf: Device, host: Ip, config: Nodes, wait_for_all: bool) -> Qdevice {
        Qdevice {
            conf,
            host,
            config,
            wait_for_all,
            corosync: Client::default(),
            node: NodeId(0),
            server: Server::None,
            ring: None,
            quorate: false,
            vote: None,
            echo: (0, 0),
            tried: Time::ZERO,
        }
    }
    /// As before its start.
    pub fn reset(&mut self) {
        *self = Qdevice::new(self.conf.clone(), self.host, self.config, self.wait_for_all);
    }
    /// Whether it has a connection to its server.
    pub fn connected(&self) -> bool {
        matches!(self.server, Server::Up(_))
    }
    /// What it votes.
    pub fn vote(&self) -> Option<bool> {
        self.vote
    }
    fn cast_interval(&self) -> Span {
        self.conf.timeout.ratio(1, 2)
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        use super::api::News;
        match self.corosync.on(&input, ctx) {
            Some(News::Connected(node)) => {
                self.node = node;
                self.corosync.track(ctx);
                self.corosync.ask(super::api::Request::DeviceRegister, ctx);
                return self.connect(ctx);
            }
            Some(News::Event(event)) => return self.event(event, ctx),
            // Without Corosync there is nothing to do.
            Some(News::Lost) => return ctx.act(Action::Exit(1)),
            None => {}
        }
        match input {
            Input::Start => self.corosync.connect(ctx),
            Input::Signal(Signal::Term | Signal::Int) => {
                self.corosync.close(ctx);
                ctx.act(Action::Exit(0));
            }
            Input::Tcp(conn, news) => self.network(conn, news, ctx),
            Input::Timer(T_ECHO) => self.echo(ctx),
            Input::Timer(T_CAST) => self.cast(ctx),
            Input::Timer(T_CONNECT) => self.connect(ctx),
            _ => {}
        }
    }
    fn event(&mut self, event: Event, ctx: &mut Cx<'_>) {
        match event {
            Event::NodeList(ring, members) => {
                let members: Nodes = members.into_iter().collect();
                self.ring = Some((ring, members));
                if let Server::Up(conn) = self.server {
                    self.update(Vote::Wait, ctx);
                    self.say(conn, Qnet::Membership(ring, members), ctx);
                } else if self.vote == Some(true) {
                    // A vote without a server must not move to a new membership.
                    self.update(Vote::Nack, ctx);
                }
            }
            Event::Quorum(state) => {
                self.quorate = state.quorate;
                if let (Server::Up(conn), Algorithm::lms) = (self.server, self.conf.algorithm) {
                    self.say(conn, Qnet::QuorumList(state.quorate), ctx);
                }
            }
            _ => {}
        }
    }
    fn say(&self, conn: ConnId, msg: Qnet, ctx: &mut Cx<'_>) {
        ctx.act(Action::TcpSend(conn, Msg::Qnet(Box::new(msg))));
    }
    /// The vote changes, and is told at once.
    fn update(&mut self, vote: Vote, ctx: &mut Cx<'_>) {
        match vote {
            Vote::Ack | Vote::Nack => {
                self.vote = Some(vote == Vote::Ack);
                self.cast(ctx);
            }
            Vote::Wait => {
                self.vote = None;
                ctx.cancel_timer(T_CAST);
            }
            Vote::NoChange => {}
        }
    }
    fn cast(&self, ctx: &mut Cx<'_>) {
        if let (Some(vote), Some((ring, _))) = (self.vote, self.ring) {
            self.corosync.ask(super::api::Request::DevicePoll(ring, vote), ctx);
            ctx.set_timer(T_CAST, self.cast_interval());
        }
    }
    fn connect(&mut self, ctx: &mut Cx<'_>) {
        if let Server::Connecting(conn) = self.server {
            ctx.act(Action::Close(conn));
        }
        let to = Endpoint::new(self.host, PORT);
        let conn = ctx.connect(to, Plane::quorum, TcpOptions::default());
        self.server = Server::Connecting(conn);
        self.tried = ctx.now;
        ctx.set_timer(T_CONNECT, self.conf.connect_timeout());
    }
    fn network(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        let (Server::Connecting(mine) | Server::Up(mine)) = self.server else { return };
        if mine != conn {
            return;
        }
        match news {
            Tcp::Connected => self.connected_to(conn, ctx),
            Tcp::Data(Msg::Qnet(m)) => self.answer(conn, *m, ctx),
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                ctx.act(Action::Close(conn));
                if self.connected() {
                    self.disconnected(false, ctx);
                } else {
                    // The next try comes when this one's time is over.
                    let left = self.conf.connect_timeout().saturating_sub(ctx.now.since(self.tried));
                    self.server = Server::None;
                    ctx.set_timer(T_CONNECT, left.max(Span::ms(1)));
                }
            }
            Tcp::Accepted { .. } | Tcp::Data(_) => {}
        }
    }
    fn connected_to(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        self.server = Server::Up(conn);
        ctx.cancel_timer(T_CONNECT);
        ctx.note(crate::proto::Note::Corosync(Box::new(Note::Connected)));
        let init = Qnet::Init {
            node: self.node,
            config: self.config,
            algorithm: self.conf.algorithm,
            tie: Tie::parse(&self.conf.tie_breaker).unwrap_or(Tie::Lowest),
            keep: self.conf.keep_active_partition_tie_breaker,
            heartbeat: self.conf.heartbeat(false),
        };
        self.say(conn, init, ctx);
        self.echo = (0, 0);
        ctx.set_timer(T_ECHO, self.conf.heartbeat(false));
        if let Some((ring, members)) = self.ring {
            self.say(conn, Qnet::Membership(ring, members), ctx);
        }
    }
    fn answer(&mut self, conn: ConnId, msg: Qnet, ctx: &mut Cx<'_>) {
        let current = |ring: RingId| self.ring.is_some_and(|r| r.0 == ring);
        match msg {
            Qnet::Reply(ring, vote) if current(ring) => self.update(vote, ctx),
            Qnet::VoteInfo(n, ring, vote) => {
                if current(ring) {
                    self.update(vote, ctx);
                }
                self.say(conn, Qnet::VoteReply(n), ctx);
            }
            Qnet::EchoReply(n) => self.echo.1 = n,
            _ => {}
        }
    }
    fn echo(&mut self, ctx: &mut Cx<'_>) {
        let Server::Up(conn) = self.server else { return };
        if self.echo.0 == self.echo.1 {
            self.echo.0 += 1;
            self.say(conn, Qnet::Echo(self.echo.0), ctx);
        } else if self.conf.algorithm == Algorithm::ffsplit || !self.keeps_its_vote() {
            ctx.act(Action::Abort(conn));
            return self.disconnected(true, ctx);
        }
        ctx.set_timer(T_ECHO, self.conf.heartbeat(false));
    }
    /// lms: a quorate node with `wait_for_all` goes on without its server.
    fn keeps_its_vote(&self) -> bool {
        self.quorate && self.wait_for_all
    }
    fn disconnected(&mut self, silent: bool, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::Corosync(Box::new(Note::Disconnected { silent })));
        self.server = Server::None;
        ctx.cancel_timer(T_ECHO);
        if self.conf.algorithm == Algorithm::ffsplit || !self.keeps_its_vote() {
            self.update(Vote::Nack, ctx);
        }
        // It gives the server some time: up to 0.9 times the cast-vote interval.
        let wait = Span(ctx.below(self.cast_interval().ratio(9, 10).0.max(1)));
        ctx.set_timer(T_CONNECT, wait.max(Span::ms(1)));
    }
}
