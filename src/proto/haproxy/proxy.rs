//! The state of a HAProxy with sections: what it knows of servers and sessions, and where its inputs go.

use super::balance::{Balancer, Load, SCALE};
use super::check::{Agent, Check};
use super::config::{Mode, Observe};
use super::health::Health;
use super::note::Note;
use super::setup::{Setup, Target};
use crate::engine::{Span, Time};
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, Timer};
use crate::proto::dns::msg::Dns;
use crate::proto::{Cx, Msg};
use std::collections::VecDeque;
use std::sync::Arc;

/// The timer of the start: it opens the listeners, or asks for an address again.
const START: Timer = Timer(0);
/// The port that DNS answers come to.
const DNS_PORT: u16 = 40_053;
/// `resolv.conf`: how long one question to a name server may take, and how often it is asked.
const DNS_TIMEOUT: Span = Span::secs(5);
const DNS_ATTEMPTS: u32 = 2;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The client of a session.
    Client(u16),
    /// The server of a session.
    Server(u16),
    /// A client that has not been accepted, at this frontend.
    Held(u16),
    /// A check of this server.
    Check(u16),
    /// A question to the agent of this server.
    Agent(u16),
}

/// A client that waits in the kernel's accept queue. What it has sent waits there too.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) conn: ConnId,
    pub(super) from: Ip,
    pub(super) arrived: u64,
    pub(super) sent: Vec<Msg>,
    pub(super) ended: bool,
    pub(super) reset: bool,
}

/// A frontend at work.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    pub(super) sessions: u32,
    pub(super) held: VecDeque<Held>,
}

/// A group of servers at work.
#[derive(Clone, Debug)]
pub(super) struct Back {
    pub(super) balancer: Balancer,
    pub(super) loads: Vec<Load>,
    /// Sessions that wait for any server: arrival and number.
    pub(super) queue: VecDeque<(u64, u16)>,
    pub(super) sessions: u32,
}

/// A server at work.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) ip: Option<Ip>,
    pub(super) health: Health,
    pub(super) check: Check,
    pub(super) agent: Agent,
    /// Up, all things considered.
    pub(super) up: bool,
    /// When it came up, while `slowstart` lasts.
    pub(super) warming: Option<Time>,
    /// The next check comes after `fastinter`.
    pub(super) hurry: bool,
    pub(super) errors: u32,
    /// Sessions in its queue: arrival and number.
    pub(super) queue: VecDeque<(u64, u16)>,
    pub(super) sessions: u64,
    pub(super) failed: u64,
    pub(super) checks: u64,
    pub(super) failed_checks: u64,
    /// Failed or good checks in a row.
    pub(super) row: u32,
    pub(super) last: Option<super::note::Failure>,
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) front: usize,
    pub(super) back: Option<usize>,
    pub(super) client: ConnId,
    pub(super) from: Ip,
    /// The client has closed its side.
    pub(super) client_ended: bool,
    /// The server has closed its side.
    pub(super) server_ended: bool,
    pub(super) stage: Stage,
    /// The server, counted among all, and whether one of its places is taken.
    pub(super) server: Option<usize>,
    pub(super) placed: bool,
    /// What the client has sent while there was no connection to a server.
    pub(super) sent: Vec<Msg>,
    pub(super) tries: u32,
    /// When anything passed last.
    pub(super) active: Time,
}
/// Where a session stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It waits for the client's first request (`mode http`).
    Request,
    /// It waits for a place on a server.
    Queued,
    /// It connects to the server.
    Connecting(ConnId),
    /// The connection failed: it waits before it tries again.
    TurnAround,
    /// Both sides are connected.
    Open(ConnId),
}

/// A server as it stands, for whoever looks on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The section.
    pub section: Arc<str>,
    /// The server.
    pub server: Arc<str>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a backup server.
    pub backup: bool,
    /// The health counter, and its highest value.
    pub health: (u32, u32),
    /// Sessions that have a place on it just now, and those in its queue.
    pub sessions: (u32, u32),
    /// Sessions since the start, and connections that failed.
    pub total: (u64, u64),
    /// Checks since the start, and failed ones.
    pub checks: (u64, u64),
}

/// A HAProxy with sections.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub(super) setup: Arc<Setup>,
    pub(super) fronts: Vec<Front>,
    pub(super) backs: Vec<Back>,
    pub(super) servers: Vec<Server>,
    pub(super) sessions: Vec<Option<Session>>,
    pub(super) free: Vec<u16>,
    pub(super) open: u32,
    /// What each connection is for, by number.
    pub(super) conns: Vec<(ConnId, End)>,
    pub(super) arrivals: u64,
    pub(super) resuming: bool,
    listening: bool,
    /// Names whose addresses are asked for: how often.
    asked: u32,
}

impl Proxy {
    /// A HAProxy that has not been started.
    pub fn new(setup: Arc<Setup>) -> Self {
        let load = |t: &Target| Load {
            weight: t.weight * SCALE,
            configured: t.weight,
            backup: t.backup,
            up: true,
            served: 0,
            queued: 0,
            maxconn: t.maxconn,
            maxqueue: t.maxqueue,
        };
        let back = |b: &super::setup::Back| {
            let loads: Vec<Load> = setup.servers[b.servers.clone()].iter().map(load).collect();
            Back {
                balancer: Balancer::new(b.balance, &loads, b.allbackups),
                loads,
                queue: VecDeque::new(),
                sessions: 0,
            }
        };
        let server = |t: &Target| Server {
            ip: t.ip,
            health: Health::new(t.rise, t.fall),
            check: Check::Waiting,
            agent: Agent::default(),
            up: true,
            warming: None,
            hurry: false,
            errors: 0,
            queue: VecDeque::new(),
            sessions: 0,
            failed: 0,
            checks: 0,
            failed_checks: 0,
            row: 0,
            last: None,
        };
        Proxy {
            fronts: vec![Front::default(); setup.fronts.len()],
            backs: setup.backs.iter().map(back).collect(),
            servers: setup.servers.iter().map(server).collect(),
            sessions: Vec::new(),
            free: Vec::new(),
            open: 0,
            conns: Vec::new(),
            arrivals: 0,
            resuming: false,
            listening: false,
            asked: 0,
            setup,
        }
    }
    /// The servers as they stand.
    pub fn servers(&self) -> impl Iterator<Item = View> + '_ {
        self.setup.servers.iter().zip(&self.servers).enumerate().map(|(i, (t, s))| {
            let load = self.load(i);
            View {
                section: self.setup.backs[t.back].name.clone(),
                server: t.name.clone(),
                up: s.up,
                backup: t.backup,
                health: s.health.value(),
                sessions: (load.served, load.queued),
                total: (s.sessions, s.failed),
                checks: (s.checks, s.failed_checks),
            }
        })
    }
    /// The servers of a section that are up, by name.
    pub fn up(&self, section: &str) -> impl Iterator<Item = &str> {
        let mine = move |t: &&(usize, &Target)| *self.setup.backs[t.1.back].name == *section;
        let all = self.setup.servers.iter().enumerate();
        let mut found: Vec<&str> = Vec::new();
        for t in all.filter(|t| mine(&t) && self.servers[t.0].up) {
            found.push(&t.1.name);
        }
        found.into_iter()
    }
    /// Frontends: name, port, sessions, and clients that wait in the kernel.
    pub fn listeners(&self) -> impl Iterator<Item = (&str, u16, u32, usize)> {
        let all = self.setup.fronts.iter().zip(&self.fronts);
        all.map(|(f, s)| (&*f.name, f.port, s.sessions, s.held.len()))
    }
    /// Sessions of the process.
    pub fn sessions(&self) -> u32 {
        self.open
    }
    /// Whether it accepts clients.
    pub fn listening(&self) -> bool {
        self.listening
    }
    pub(super) fn load(&self, server: usize) -> &Load {
        let t = &self.setup.servers[server];
        &self.backs[t.back].loads[server - self.setup.backs[t.back].servers.start]
    }
    /// Changes the load of a server and lets the balancer know.
    pub(super) fn set_load(&mut self, server: usize, change: impl FnOnce(&mut Load)) {
        let t = &self.setup.servers[server];
        let i = server - self.setup.backs[t.back].servers.start;
        let back = &mut self.backs[t.back];
        let before = (back.loads[i].up, back.loads[i].weight);
        change(&mut back.loads[i]);
        if before == (back.loads[i].up, back.loads[i].weight) {
            back.balancer.loaded(&back.loads, i);
        } else {
            back.balancer.changed(&back.loads, i);
        }
    }
    pub(super) fn end_of(&self, conn: ConnId) -> Option<End> {
        let i = self.conns.binary_search_by_key(&conn, |e| e.0).ok()?;
        Some(self.conns[i].1)
    }
    pub(super) fn know(&mut self, conn: ConnId, end: End) {
        match self.conns.binary_search_by_key(&conn, |e| e.0) {
            Ok(i) => self.conns[i].1 = end,
            Err(i) => self.conns.insert(i, (conn, end)),
        }
    }
    pub(super) fn forget(&mut self, conn: ConnId) {
        if let Ok(i) = self.conns.binary_search_by_key(&conn, |e| e.0) {
            self.conns.remove(i);
        }
    }
    /// The number of the first timer of a session: before it come those of checks and agents.
    pub(super) fn first_session_timer(&self) -> u16 {
        1 + 2 * self.servers.len() as u16
    }
    pub(super) fn note(&self, note: Note, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::HAProxy(note));
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                let range = self.setup.startup_time;
                let spread = range.max.0 - range.min.0;
                let drawn = if spread == 0 { 0 } else { ctx.below(spread + 1) };
                let time = Span(range.min.0 + drawn);
                if time.is_zero() { self.start(ctx) } else { ctx.set_timer(START, time) }
            }
            Input::Timer(START) if self.asked > 0 => self.look_up(ctx),
            Input::Timer(START) => self.start(ctx),
            Input::Timer(Timer(t)) if t >= self.first_session_timer() => {
                self.session_timer(t - self.first_session_timer(), ctx);
            }
            Input::Timer(Timer(t)) if t % 2 == 1 => self.check_timer(usize::from((t - 1) / 2), ctx),
            Input::Timer(Timer(t)) => self.agent_timer(usize::from((t - 2) / 2), ctx),
            Input::Tcp(conn, Tcp::Accepted { from, to }) => self.accepted(conn, from.ip, to.port, ctx),
            Input::Tcp(conn, news) => match self.end_of(conn) {
                Some(End::Client(i)) => self.client(i, news, ctx),
                Some(End::Server(i)) => self.server(i, news, ctx),
                Some(End::Held(f)) => self.held(usize::from(f), conn, news),
                Some(End::Check(s)) => self.check_news(usize::from(s), conn, news, ctx),
                Some(End::Agent(s)) => self.agent_news(usize::from(s), conn, news, ctx),
                None => {}
            },
            Input::Packet { msg: Msg::Dns(d), .. } => self.address(&d, ctx),
            Input::Signal(Signal::Term | Signal::Int) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }

    /// The configuration is read: names become addresses, once and for all (`init-addr last,libc`).
    fn start(&mut self, ctx: &mut Cx<'_>) {
        if self.unknown().is_some() {
            ctx.act(Action::Bind(DNS_PORT));
            self.look_up(ctx);
            return;
        }
        self.listening = true;
        for f in &self.setup.fronts {
            ctx.act(Action::Listen(f.port, f.backlog));
        }
        self.start_checks(ctx);
    }
    fn unknown(&self) -> Option<usize> {
        self.servers.iter().position(|s| s.ip.is_none())
    }
    fn look_up(&mut self, ctx: &mut Cx<'_>) {
        let Some(i) = self.unknown() else { return };
        let host = self.setup.servers[i].host.clone();
        let servers = &self.setup.nameservers;
        let turns = DNS_ATTEMPTS * servers.len() as u32;
        let Some(to) = servers.get(self.asked as usize % servers.len().max(1)).filter(|_| self.asked < turns)
        else {
            self.note(Note::NoAddress { name: host }, ctx);
            ctx.act(Action::Exit(1));
            return;
        };
        let to = *to;
        self.asked += 1;
        let msg = Msg::Dns(Box::new(Dns::Query(i as u16, host)));
        let from = Endpoint::new(Ip::NONE, DNS_PORT);
        ctx.set_timer(START, DNS_TIMEOUT);
        ctx.act(Action::Send { from, to, net: None, plane: crate::net::Plane::dns, msg });
    }
    fn address(&mut self, answer: &Dns, ctx: &mut Cx<'_>) {
        let Some(i) = self.unknown().filter(|_| self.asked > 0) else { return };
        let name = self.setup.servers[i].host.clone();
        match answer {
            Dns::Answer(n, ips, _) if usize::from(*n) == i => {
                ctx.cancel_timer(START);
                let Some(ip) = ips.first() else {
                    self.note(Note::NoAddress { name }, ctx);
                    ctx.act(Action::Exit(1));
                    return;
                };
                for (s, t) in self.servers.iter_mut().zip(&self.setup.servers) {
                    if t.host == name {
                        s.ip = Some(*ip);
                    }
                }
                self.note(Note::Address { name, ip: *ip }, ctx);
                self.asked = 0;
                self.start(ctx);
            }
            Dns::Failure(n) if usize::from(*n) == i => self.look_up(ctx),
            _ => {}
        }
    }
    /// A connection to a server worked, or did not: what `observe layer4` makes of it.
    pub(super) fn observe(&mut self, server: usize, good: bool, ctx: &mut Cx<'_>) {
        let t = &self.setup.servers[server];
        if t.observe == Observe::Nothing || !t.check {
            return;
        }
        if good {
            self.servers[server].errors = 0;
            return;
        }
        self.servers[server].errors += 1;
        if self.servers[server].errors >= t.error_limit.max(1) {
            self.too_many_errors(server, ctx);
        }
    }
    pub(super) fn http(&self, front: usize) -> bool {
        self.setup.fronts[front].mode == Mode::Http
    }
}
