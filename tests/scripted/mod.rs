//! A small world for the tests of names and of applications: hosts on one network, DNS servers, applications, and SQL servers that do as
//! they are told instead of being PostgreSQL.
#![allow(dead_code, unreachable_pub, missing_docs)] // Each test file uses its part.

use firedrill::engine::{Chance, Engine, EventId, Model, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::net::rules::{Effect, HostSet, Rule};
use firedrill::node::disk::End;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{Action, ConnId, Ctx, HostId, Input, Pid, Process, Tcp, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::app::config::Connect;
use firedrill::proto::app::note::Note as Told;
use firedrill::proto::app::{App, Application, Place, Setup, Target};
use firedrill::proto::client::process::{Kind, Note as Ended, Outcome};
use firedrill::proto::dns::authority::Entry;
use firedrill::proto::dns::msg::Dns as Message;
use firedrill::proto::dns::recursor::Upstream;
use firedrill::proto::dns::stub::ResolvConf;
use firedrill::proto::dns::{Authority, Dns, Recursor, Resolver};
use firedrill::proto::http::Http;
use firedrill::proto::postgres::msg::{
    Answer, Branch, Lsn, Place as Spot, Sql, SqlState, Statement, WriteId,
};
use firedrill::proto::{Daemon, Files, Msg, Note, label};
use firedrill::scenario::types::Sysctl;
use std::sync::Arc;

/// What a scripted server does from some moment on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Do {
    /// It serves: a primary.
    Primary,
    /// It serves reads.
    Standby,
    /// It refuses sessions: 57P03.
    Starting,
    /// It refuses sessions: 53300.
    Full,
    /// It takes what comes and says nothing.
    Silent,
    /// It closes each new connection at once.
    Hang,
    /// It commits, and closes without an answer.
    Vanish,
    /// It ends its sessions: 57P01.
    Shutdown,
}

/// A scripted server.
#[derive(Clone, Debug)]
pub struct Server {
    script: Vec<(Span, Do)>,
    now: Do,
    takes: Span,
    sessions: Vec<ConnId>,
    due: Vec<(ConnId, Sql)>,
    pub done: Vec<WriteId>,
    pub accepted: u32,
    answers: u16,
    pub tests: u32,
}
impl Server {
    pub fn new(first: Do) -> Server {
        let (sessions, due, done) = (Vec::new(), Vec::new(), Vec::new());
        let takes = Span::us(200);
        Server {
            script: vec![(Span::ZERO, first)],
            now: first,
            takes,
            sessions,
            due,
            done,
            accepted: 0,
            answers: 0,
            tests: 0,
        }
    }
    pub fn then(mut self, at: Span, what: Do) -> Server {
        self.script.push((at, what));
        self
    }
    pub fn takes(mut self, span: Span) -> Server {
        self.takes = span;
        self
    }
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, Note, Files>) {
        match input {
            Input::Start => {
                ctx.act(Action::Listen(5432, 200));
                ctx.act(Action::Listen(8008, 200));
                for (i, (at, _)) in self.script.iter().enumerate() {
                    ctx.set_timer(Timer(i as u16), *at);
                }
            }
            Input::Timer(Timer(i)) if i < 100 => {
                self.now = self.script[i as usize].1;
                if self.now == Do::Shutdown {
                    for c in self.sessions.drain(..) {
                        ctx.act(Action::TcpSend(c, Msg::Sql(Sql::Fatal(SqlState::AdminShutdown))));
                        ctx.act(Action::Close(c));
                    }
                }
            }
            Input::Timer(_) => {
                let (c, sql) = self.due.remove(0);
                ctx.act(Action::TcpSend(c, Msg::Sql(sql)));
            }
            // The health check of a manager beside the server: 200 for a primary.
            Input::Tcp(c, Tcp::Data(Msg::Http(Http::Request(..)))) => {
                let status = if self.now == Do::Primary { 200 } else { 503 };
                ctx.act(Action::TcpSend(c, Msg::Http(Http::Response(status, None))));
            }
            Input::Tcp(_, Tcp::Accepted { to, .. }) if to.port == 8008 => {}
            Input::Tcp(c, Tcp::Accepted { .. }) => {
                self.accepted += 1;
                if self.now == Do::Hang {
                    ctx.act(Action::Close(c));
                }
            }
            Input::Tcp(c, Tcp::Data(Msg::Sql(sql))) => self.sql(c, sql, ctx),
            Input::Tcp(c, Tcp::Closed) => {
                ctx.act(Action::Close(c));
                self.sessions.retain(|s| *s != c);
            }
            Input::Tcp(c, Tcp::Reset | Tcp::TimedOut) => self.sessions.retain(|s| *s != c),
            _ => {}
        }
    }
    fn sql(&mut self, c: ConnId, sql: Sql, ctx: &mut Ctx<'_, Msg, Note, Files>) {
        let place = Spot { branch: Branch(0), lsn: Lsn(self.done.len() as u64) };
        let standby = self.now == Do::Standby;
        let answer = match (self.now, sql) {
            (Do::Silent | Do::Hang, _) => return,
            (Do::Starting | Do::Shutdown, Sql::Startup { .. }) => Sql::Fatal(SqlState::CannotConnectNow),
            (Do::Full, Sql::Startup { .. }) => Sql::Fatal(SqlState::TooManyConnections),
            (_, Sql::Startup { .. }) => {
                self.sessions.push(c);
                Sql::Ready(ctx.host, standby)
            }
            (Do::Standby, Sql::Query(n, Statement::Write(..))) => Sql::Error(n, SqlState::ReadOnly),
            (Do::Vanish, Sql::Query(_, Statement::Write(w, _))) => {
                self.done.push(w);
                ctx.act(Action::Close(c));
                return;
            }
            (_, Sql::Query(n, Statement::Write(w, _))) => {
                self.done.push(w);
                Sql::Done(n, Answer::Written(place, false))
            }
            (_, Sql::Query(n, Statement::IsInRecovery)) => {
                self.tests += 1;
                Sql::Done(n, Answer::InRecovery(standby))
            }
            (_, Sql::Query(n, _)) => Sql::Done(n, Answer::Seen(place)),
            _ => return,
        };
        if let Sql::Fatal(_) = answer {
            ctx.act(Action::TcpSend(c, Msg::Sql(answer)));
            ctx.act(Action::Close(c));
        } else {
            self.due.push((c, answer));
            // One timer for each answer; they keep their order, as all take the same time.
            self.answers = (self.answers + 1) % 1000;
            ctx.set_timer(Timer(100 + self.answers), self.takes);
        }
    }
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
pub enum Node {
    Real(Daemon),
    Sql(Server),
}
impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = Files;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, Note, Files>) {
        match self {
            Node::Real(d) => d.on(input, ctx),
            Node::Sql(s) => s.on(input, ctx),
        }
    }
    fn reset(&mut self, end: End, files: &mut Files) {
        match self {
            Node::Real(d) => d.reset(end, files),
            Node::Sql(s) => (s.sessions, s.due) = (Vec::new(), Vec::new()),
        }
    }
}

pub type Sched = Scheduler<Ev<Msg>>;
type Act = Box<dyn Fn(&mut World<Node>, &mut Sched)>;

pub struct Lab {
    pub world: World<Node>,
    acts: Vec<Act>,
    pub notes: Vec<(Time, Option<Pid>, Note)>,
    pub arp_failed: Vec<(Time, Ip)>,
}
impl Model for Lab {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Sched) {
        self.world.log.entries.clear();
        match event {
            Ev::Outer(n) => self.acts[n as usize](&mut self.world, s),
            event => self.world.handle(event, s),
        }
        for e in &self.world.log.entries {
            match &e.what {
                What::Note(n) => self.notes.push((e.at, e.pid, n.clone())),
                What::ArpFailed(ip) => self.arp_failed.push((e.at, *ip)),
                _ => {}
            }
        }
    }
}

/// Hosts are numbered in the order in which they are added; host n has the address 10.0.0.(n + 1).
pub struct Run(pub Engine<Lab>);

pub fn ip(host: u16) -> Ip {
    Ip(0x0A00_0001 + u32::from(host))
}

impl Run {
    pub fn new(seed: u64) -> Run {
        let mut world = World::new(seed, Level::Story, label);
        let latency = SpanRange::new(Span::us(100), Span::us(300));
        world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
        Run(Engine::new(Lab { world, acts: Vec::new(), notes: Vec::new(), arp_failed: Vec::new() }))
    }
    /// Adds a host with one process, booted at the start.
    pub fn host(&mut self, node: Node) -> HostId {
        let world = &mut self.0.model.world;
        let zero = SpanRange::exactly(Span::ZERO);
        let n = world.hosts.len() as u16;
        let h = world.add_host(&format!("h{n}"), Sysctl::default().neigh(), zero, zero);
        world.plug(h, firedrill::node::process::NetId(0), Cidr { ip: ip(n), prefix: 24 });
        world.add_proc(h, "daemon", None, node);
        self.at(Span::ZERO, move |w, s| w.boot_now(h, s));
        h
    }
    /// Adds a process to a host.
    pub fn also(&mut self, host: HostId, node: Node) -> Pid {
        self.0.model.world.add_proc(host, "other", None, node)
    }
    pub fn server(&mut self, server: Server) -> HostId {
        self.host(Node::Sql(server))
    }
    /// An authoritative server of the root zone.
    pub fn dns(&mut self, config: Dns, records: &[(&str, &[HostId], Span)]) -> HostId {
        let entry = |(name, hosts, ttl): &(&str, &[HostId], Span)| Entry {
            name: (*name).into(),
            addresses: hosts.iter().map(|h| ip(h.0)).collect(),
            ttl: *ttl,
        };
        let zone = records.iter().map(entry).collect();
        self.host(Node::Real(Daemon::Dns(Authority::new(config, zone))))
    }
    pub fn resolver(&mut self, config: Resolver, servers: &[HostId]) -> HostId {
        let zones = vec![("".into(), servers.iter().map(|h| Endpoint::new(ip(h.0), 53)).collect())];
        let upstream = Upstream { zones, ..Upstream::default() };
        self.host(Node::Real(Daemon::Resolver(Recursor::new(config, upstream))))
    }
    /// A resolver that knows only where Consul is.
    pub fn forwarder(&mut self, consul: &[Endpoint]) -> HostId {
        let upstream = Upstream { consul: consul.to_vec(), ..Upstream::default() };
        self.host(Node::Real(Daemon::Resolver(Recursor::new(Resolver::default(), upstream))))
    }
    /// An application; names are those that are no addresses, `nameservers` by host.
    pub fn app(&mut self, config: Application, nameservers: &[HostId]) -> HostId {
        self.host(Self::application(config, nameservers))
    }
    pub fn application(config: Application, nameservers: &[HostId]) -> Node {
        let servers: Vec<Endpoint> = nameservers.iter().map(|h| Endpoint::new(ip(h.0), 53)).collect();
        Self::asking(config, &servers)
    }
    pub fn asking(config: Application, nameservers: &[Endpoint]) -> Node {
        let target = |p: &firedrill::proto::dns::name::HostPort| Target {
            place: p.ip().map_or_else(|| Place::Named(p.host.as_str().into()), Place::At),
            port: p.port.unwrap_or(5432),
        };
        let resolv = ResolvConf {
            nameservers: nameservers.to_vec(),
            timeout: config.resolv_timeout,
            attempts: config.resolv_attempts,
        };
        let setup = Setup { targets: config.connect.0.iter().map(target).collect(), resolv };
        Node::Real(Daemon::App(Box::new(App::new(config, setup))))
    }
    /// Something that happens at a moment.
    pub fn at(&mut self, at: Span, act: impl Fn(&mut World<Node>, &mut Sched) + 'static) {
        let n = self.0.model.acts.len() as u32;
        self.0.model.acts.push(Box::new(act));
        self.0.sched.at(Time(at.0), Ev::Outer(n));
    }
    /// The operator changes a name.
    pub fn change(&mut self, at: Span, dns: HostId, name: &str, to: &[HostId]) {
        let (name, to): (Arc<str>, Arc<[Ip]>) = (name.into(), to.iter().map(|h| ip(h.0)).collect());
        self.at(at, move |w, s| {
            let pid = w.host(dns).procs[0];
            w.call(pid, Msg::Dns(Box::new(Message::Update(1, name.clone(), to.clone()))), s);
        });
    }
    /// Nothing of a plane (or nothing at all) passes between the two, in both directions.
    pub fn cut(&mut self, at: Span, a: HostId, b: HostId, plane: Option<Plane>) {
        self.at(at, move |w, _| {
            for (from, to) in [(a, b), (b, a)] {
                let (from, to) = (HostSet::new(vec![from.0]), HostSet::new(vec![to.0]));
                w.rules.push(Rule { from, to, plane, effect: Effect::Drop, by: EventId(0) });
            }
        });
    }
    pub fn heal(&mut self, at: Span) {
        self.at(at, |w, _| w.rules.clear());
    }
    pub fn power_off(&mut self, at: Span, host: HostId) {
        self.at(at, move |w, s| w.power_off(host, s));
    }
    pub fn to(&mut self, at: Span) -> &mut Run {
        self.0.run_until(Time(at.0));
        self
    }
    pub fn scripted(&self, host: HostId) -> &Server {
        let w = &self.0.model.world;
        match &w.proc(w.host(host).procs[0]).logic {
            Node::Sql(s) => s,
            Node::Real(_) => panic!("no scripted server"),
        }
    }
    pub fn daemon(&self, host: HostId) -> &Daemon {
        let w = &self.0.model.world;
        match &w.proc(w.host(host).procs[0]).logic {
            Node::Real(d) => d,
            Node::Sql(_) => panic!("a scripted server"),
        }
    }
    /// Operations that ended: when, and how.
    pub fn ended(&self, app: HostId) -> Vec<(Time, Ended)> {
        let pid = Some(self.0.model.world.host(app).procs[0]);
        let mine = self.0.model.notes.iter().filter(|(_, p, _)| *p == pid);
        mine.filter_map(|(at, _, n)| if let Note::Client(e) = n { Some((*at, *e)) } else { None }).collect()
    }
    /// What the application told beside that.
    pub fn told(&self, app: HostId) -> Vec<(Time, Told)> {
        let pid = Some(self.0.model.world.host(app).procs[0]);
        let mine = self.0.model.notes.iter().filter(|(_, p, _)| *p == pid);
        mine.filter_map(|(at, _, n)| if let Note::App(t) = n { Some((*at, t.clone())) } else { None })
            .collect()
    }
    /// When the last operation was answered by this server, counted from a moment, by when it was begun.
    pub fn last_on(&self, app: HostId, server: HostId) -> Option<Time> {
        let all = self.ended(app);
        all.iter().filter(|(_, e)| e.outcome == Outcome::Ok(server)).map(|(_, e)| e.sent).max()
    }
    pub fn first_on(&self, app: HostId, server: HostId) -> Option<Time> {
        let all = self.ended(app);
        all.iter().filter(|(_, e)| e.outcome == Outcome::Ok(server)).map(|(_, e)| e.sent).min()
    }
}

/// `"name:port"` or several, by commas.
pub fn connect(text: &str) -> Connect {
    Connect(text.split(',').map(|p| p.parse().unwrap()).collect())
}
pub fn writes(e: &[(Time, Ended)]) -> Vec<Ended> {
    e.iter().map(|(_, e)| *e).filter(|e| e.kind == Kind::Write).collect()
}
