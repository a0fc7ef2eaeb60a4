//! HAProxy between clients and databases, each behaviour by its number: a proxy, three servers with a REST port and a database port, and
//! clients that do as a script says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{Chance, Engine, EventId, MS, Model, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::net::rules::{Effect, HostSet, Rule};
use firedrill::node::disk::End;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{Action, ConnId, HostId, Input, Pid, Process, Tcp, TcpOptions, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::dns::msg::Dns;
use firedrill::proto::haproxy::config::HAProxy;
use firedrill::proto::haproxy::note::{Failure, Gone, Note as Hap, Why};
use firedrill::proto::haproxy::process::Service;
use firedrill::proto::haproxy::setup::{Setup, expand};
use firedrill::proto::http::Http;
use firedrill::proto::patroni::rest::Body;
use firedrill::proto::{Cx, Files, Msg, Note};
use firedrill::scenario::types::Sysctl;
use std::sync::Arc;

/// Messages on the way: a check is there and back in less.
const EPS: u64 = 5 * MS;

/// What a client does: connects then, and asks at once and again and again.
#[derive(Clone, Debug)]
struct Call {
    at: Span,
    port: u16,
    /// Ask when connected, and then this often.
    ask: bool,
    every: Option<Span>,
    /// Close so long after the call began.
    close: Option<Span>,
    conn: Option<ConnId>,
    connected: Option<Time>,
    answers: Vec<(Time, HostId)>,
    ended: Option<(Time, Tcp<()>)>,
    status: Option<u16>,
}
fn call(at: Span, port: u16) -> Call {
    Call {
        at,
        port,
        ask: true,
        every: None,
        close: None,
        conn: None,
        connected: None,
        answers: Vec::new(),
        ended: None,
        status: None,
    }
}
impl Call {
    fn every(mut self, span: Span) -> Self {
        self.every = Some(span);
        self
    }
    fn close(mut self, span: Span) -> Self {
        self.close = Some(span);
        self
    }
    fn silent(mut self) -> Self {
        self.ask = false;
        self
    }
    /// How long after the call it ended.
    fn took(&self) -> Span {
        Span(self.ended.as_ref().expect("it ends").0.0 - self.at.0)
    }
    fn end(&self) -> Tcp<()> {
        self.ended.as_ref().expect("it ends").1.clone()
    }
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
enum Node {
    HAProxy(Service),
    /// A server that answers HTTP on 8008 with these codes: the primary's path, the replica's.
    Rest {
        primary: u16,
        replica: u16,
        delay: Span,
        asked: Vec<Time>,
        waiting: Vec<(ConnId, u16)>,
        backlog: u32,
    },
    /// A server that answers requests with its host.
    Db {
        sessions: Vec<ConnId>,
        accepted: u32,
        ended: Vec<(Time, Tcp<()>)>,
        asked: Vec<Time>,
    },
    /// An agent that says a word.
    Agent(&'static str),
    /// A name server that knows one address.
    Names(Ip),
    Client {
        calls: Vec<Call>,
        to: Ip,
    },
}
fn bare(t: &Tcp<Msg>) -> Tcp<()> {
    match t {
        Tcp::Closed => Tcp::Closed,
        Tcp::Reset => Tcp::Reset,
        Tcp::TimedOut => Tcp::TimedOut,
        Tcp::Unreachable => Tcp::Unreachable,
        _ => Tcp::Connected,
    }
}

impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = Files;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self {
            Node::HAProxy(p) => p.on(input, ctx),
            Node::Rest { primary, replica, delay, asked, waiting, backlog } => match input {
                Input::Start => ctx.act(Action::Listen(8008, *backlog)),
                Input::Tcp(conn, Tcp::Data(Msg::Http(Http::Request(_, path, _)))) => {
                    asked.push(ctx.now);
                    let code = if &*path == "/replica" { *replica } else { *primary };
                    if delay.is_zero() {
                        ctx.act(Action::TcpSend(conn, Msg::Http(Http::Response(code, None))));
                    } else {
                        waiting.push((conn, code));
                        ctx.set_timer(Timer(waiting.len() as u16), *delay);
                    }
                }
                Input::Tcp(conn, Tcp::Closed) => ctx.act(Action::Close(conn)),
                Input::Timer(Timer(n)) => {
                    let (conn, code) = waiting[usize::from(n) - 1];
                    ctx.act(Action::TcpSend(conn, Msg::Http(Http::Response(code, None))));
                }
                _ => {}
            },
            Node::Db { sessions, accepted, ended, asked } => match input {
                Input::Start => ctx.act(Action::Listen(5432, 200)),
                Input::Tcp(conn, Tcp::Accepted { .. }) => {
                    sessions.push(conn);
                    *accepted += 1;
                }
                Input::Tcp(conn, Tcp::Data(Msg::Request { id })) => {
                    asked.push(ctx.now);
                    ctx.act(Action::TcpSend(conn, Msg::Response { id, host: ctx.host }));
                }
                Input::Tcp(conn, Tcp::Data(Msg::Http(Http::Request(..)))) => {
                    ctx.act(Action::TcpSend(conn, Msg::Http(Http::Response(200, None))));
                }
                Input::Tcp(conn, news) => {
                    sessions.retain(|c| *c != conn);
                    ended.push((ctx.now, bare(&news)));
                    if news == Tcp::Closed {
                        ctx.act(Action::Close(conn));
                    }
                }
                _ => {}
            },
            Node::Agent(word) => match input {
                Input::Start => ctx.act(Action::Listen(7000, 10)),
                Input::Tcp(conn, Tcp::Accepted { .. }) => {
                    let body = Arc::new(Body::Text((*word).into()));
                    ctx.act(Action::TcpSend(conn, Msg::Http(Http::Response(200, Some(body)))));
                    ctx.act(Action::Close(conn));
                }
                _ => {}
            },
            Node::Names(address) => match input {
                Input::Start => ctx.act(Action::Bind(53)),
                Input::Packet { from, to, msg: Msg::Dns(d) } => {
                    let Dns::Query(n, _) = *d else { return };
                    let msg = Msg::Dns(Box::new(Dns::Answer(n, vec![*address].into(), Span::secs(5))));
                    ctx.act(Action::Send { from: to, to: from, net: None, plane: Plane::dns, msg });
                }
                _ => {}
            },
            Node::Client { calls, to } => client(calls, *to, input, ctx),
        }
    }
    fn reset(&mut self, _: End, _: &mut Files) {
        match self {
            Node::HAProxy(p) => p.reset(),
            Node::Db { sessions, .. } => sessions.clear(),
            _ => {}
        }
    }
}
fn client(calls: &mut [Call], to: Ip, input: Input<Msg>, ctx: &mut Cx<'_>) {
    match input {
        Input::Start => {
            for (i, c) in calls.iter().enumerate() {
                ctx.set_timer(Timer(3 * i as u16), c.at);
            }
        }
        Input::Timer(Timer(t)) => {
            let c = &mut calls[usize::from(t / 3)];
            match (t % 3, c.conn) {
                (0, _) => {
                    c.conn =
                        Some(ctx.connect(Endpoint::new(to, c.port), Plane::client, TcpOptions::default()));
                    if let Some(close) = c.close {
                        ctx.set_timer(Timer(t + 1), close);
                    }
                }
                (1, Some(conn)) => ctx.act(Action::Close(conn)),
                (_, Some(conn)) if c.ended.is_none() => {
                    ctx.act(Action::TcpSend(conn, Msg::Request { id: 0 }));
                    ctx.set_timer(Timer(t), c.every.unwrap());
                }
                _ => {}
            }
        }
        Input::Tcp(conn, news) => {
            let Some(i) = calls.iter().position(|c| c.conn == Some(conn)) else { return };
            let c = &mut calls[i];
            match news {
                Tcp::Connected => {
                    c.connected = Some(ctx.now);
                    if c.ask {
                        ctx.act(Action::TcpSend(conn, Msg::Request { id: 0 }));
                    }
                    if let Some(every) = c.every {
                        ctx.set_timer(Timer(3 * i as u16 + 2), every);
                    }
                }
                Tcp::Data(Msg::Response { host, .. }) => c.answers.push((ctx.now, host)),
                Tcp::Data(Msg::Http(Http::Response(status, _))) => c.status = Some(status),
                Tcp::Data(_) => {}
                news => {
                    c.ended.get_or_insert((ctx.now, bare(&news)));
                    ctx.act(Action::Close(conn));
                }
            }
        }
        _ => {}
    }
}

/// What is done to the world.
#[derive(Clone, Debug)]
enum Do {
    Boot(u16),
    Kill(Pid),
    Pause(Pid),
    Resume(Pid),
    Start(Pid),
    /// A host is cut off from all others.
    Cut(u16),
    Heal,
    /// The codes of a REST server.
    Says(u16, u16, u16),
    /// What an agent says.
    Word(u16, &'static str),
    /// What the name server says.
    Name(u16),
}
struct Lab {
    world: World<Node>,
    plan: Vec<Do>,
    notes: Vec<(Time, Hap)>,
    events: u64,
}
impl Model for Lab {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.events += 1;
        self.world.log.entries.clear();
        if let Ev::Outer(n) = event {
            match self.plan[n as usize].clone() {
                Do::Boot(h) => self.world.boot_now(HostId(h), s),
                Do::Kill(p) => self.world.kill(p, s),
                Do::Pause(p) => self.world.pause(p, false),
                Do::Resume(p) => self.world.resume(p, s),
                Do::Start(p) => self.world.start_now(p, s),
                Do::Cut(h) => {
                    let others: Vec<u16> = (0..HOSTS).filter(|o| *o != h).collect();
                    let (a, b) = (HostSet::new(vec![h]), HostSet::new(others));
                    for (from, to) in [(a.clone(), b.clone()), (b, a)] {
                        let rule = Rule { from, to, plane: None, effect: Effect::Drop, by: EventId(0) };
                        self.world.rules.push(rule);
                    }
                }
                Do::Heal => self.world.rules.clear(),
                Do::Word(h, word) => self.world.procs[agent(h).0 as usize].logic = Node::Agent(word),
                Do::Name(h) => self.world.procs[NAMES].logic = Node::Names(ip(h)),
                Do::Says(h, p, r) => {
                    if let Node::Rest { primary, replica, .. } =
                        &mut self.world.procs[rest(h).0 as usize].logic
                    {
                        (*primary, *replica) = (p, r);
                    }
                }
            }
        } else {
            self.world.handle(event, s);
        }
        for e in &self.world.log.entries {
            if let What::Note(Note::HAProxy(n)) = &e.what {
                self.notes.push((e.at, n.clone()));
            }
        }
    }
}

/// Host 0 is the proxy, 1 to 3 are the servers, 4 and more are clients.
const HOSTS: u16 = 7;
const PROXY: Pid = Pid(0);
/// The process of the last client's host, which may be a name server instead.
const NAMES: usize = 12;
/// The first client.
const CLIENT: usize = 4;
fn rest(host: u16) -> Pid {
    Pid(2 * host - 1)
}
fn db(host: u16) -> Pid {
    Pid(2 * host)
}
fn agent(host: u16) -> Pid {
    Pid(6 + host)
}
fn ip(host: u16) -> Ip {
    Ip(0x0A00_0001 + u32::from(host))
}

struct Run(Engine<Lab>);
impl Run {
    /// A lab: the configuration, the REST codes of the primary's path (the replica's are the others), the clients' calls, and what is done.
    fn with(seed: u64, config: &str, calls: &[Vec<Call>], plan: &[(Span, Do)], latency: SpanRange) -> Run {
        let config: HAProxy = ron::Options::default()
            .with_default_extension(
                ron::extensions::Extensions::IMPLICIT_SOME | ron::extensions::Extensions::UNWRAP_NEWTYPES,
            )
            .from_str(config)
            .unwrap_or_else(|e| panic!("{e}"));
        let known = |h: &str| h.strip_prefix("db").and_then(|n| n.parse().ok()).map(ip);
        let names = vec![Endpoint::new(ip(HOSTS - 1), 53)];
        let setup = Setup::new(&expand(&config, &["db1", "db2", "db3"]), names, &known);
        let mut world = World::new(seed, Level::Story, |_| ("message", 0));
        let net = world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
        let zero = SpanRange::exactly(Span::ZERO);
        for i in 0..HOSTS {
            let h = world.add_host(&format!("n{i}"), Sysctl::default().neigh(), zero, zero);
            world.plug(h, net, Cidr { ip: ip(i), prefix: 24 });
            match i {
                0 => {
                    world.add_proc(
                        h,
                        "haproxy",
                        None,
                        Node::HAProxy(Service::with(config.clone(), setup.clone())),
                    );
                }
                1..=3 => {
                    let (primary, replica) = if i == 1 { (200, 503) } else { (503, 200) };
                    let node = Node::Rest {
                        primary,
                        replica,
                        delay: Span::ZERO,
                        asked: Vec::new(),
                        waiting: Vec::new(),
                        backlog: 5,
                    };
                    world.add_proc(h, "rest", None, node);
                    let node =
                        Node::Db { sessions: Vec::new(), accepted: 0, ended: Vec::new(), asked: Vec::new() };
                    world.add_proc(h, "db", None, node);
                }
                _ => {}
            }
        }
        for i in 1..=3 {
            world.add_proc(HostId(i), "agent", None, Node::Agent("ready up 100%"));
        }
        for i in CLIENT as u16..HOSTS {
            let calls = calls.get(i as usize - CLIENT).cloned().unwrap_or_default();
            world.add_proc(HostId(i), "client", None, Node::Client { calls, to: ip(0) });
        }
        let mut all: Vec<(Span, Do)> = (0..HOSTS).rev().map(|h| (Span::ZERO, Do::Boot(h))).collect();
        all.extend_from_slice(plan);
        let lab =
            Lab { world, plan: all.iter().map(|d| d.1.clone()).collect(), notes: Vec::new(), events: 0 };
        let mut e = Engine::new(lab);
        for (n, (at, _)) in all.iter().enumerate() {
            e.sched.at(Time(at.0), Ev::Outer(n as u32));
        }
        Run(e)
    }
    fn new(seed: u64, config: &str, calls: &[Vec<Call>], plan: &[(Span, Do)]) -> Run {
        Run::with(seed, config, calls, plan, SpanRange::new(Span::us(100), Span::us(300)))
    }
    fn to(mut self, at: Span) -> Run {
        self.0.run_until(Time(at.0));
        self
    }
    fn calls(&self, client: usize) -> &[Call] {
        match &self.0.model.world.procs[10 + client].logic {
            Node::Client { calls, .. } => calls,
            _ => panic!("no client"),
        }
    }
    fn service(&self) -> &Service {
        match &self.0.model.world.procs[PROXY.0 as usize].logic {
            Node::HAProxy(s) => s,
            _ => panic!("no proxy"),
        }
    }
    fn up(&self, section: &str) -> Vec<&str> {
        self.service().proxy().unwrap().up(section).collect()
    }
    fn db(&self, host: u16) -> (u32, usize, &[(Time, Tcp<()>)]) {
        match &self.0.model.world.procs[db(host).0 as usize].logic {
            Node::Db { accepted, sessions, ended, .. } => (*accepted, sessions.len(), ended),
            _ => panic!("no database"),
        }
    }
    fn asked(&self, host: u16) -> &[Time] {
        match &self.0.model.world.procs[rest(host).0 as usize].logic {
            Node::Rest { asked, .. } => asked,
            _ => panic!("no server"),
        }
    }
    /// When a server went down (or up) in a section first, at or after a time.
    fn went(&self, up: bool, section: &str, server: &str, after: Span) -> Option<Span> {
        let hit = |n: &Hap| match n {
            Hap::Down { section: s, server: v, .. } => !up && &**s == section && &**v == server,
            Hap::Up { section: s, server: v, .. } => up && &**s == section && &**v == server,
            _ => false,
        };
        self.0.model.notes.iter().find(|(at, n)| at.0 >= after.0 && hit(n)).map(|(at, _)| Span(at.0))
    }
    fn down(&self, section: &str, server: &str, after: Span) -> Span {
        self.went(false, section, server, after).expect("it goes down")
    }
    fn notes(&self) -> impl Iterator<Item = &Hap> {
        self.0.model.notes.iter().map(|n| &n.1)
    }
}
/// The fault comes at one of many phases of the checks.
fn phase(seed: u64) -> Span {
    Span::secs(30) + Span(seed * 61_803_398 % 6_000_000_000)
}
/// What was measured over the seeds lies in (low, high], and the range is used.
fn spread(what: &str, all: &[Span], low_ms: u64, high_ms: u64) {
    for d in all {
        let ok = d.0 + EPS > low_ms * MS && d.0 <= high_ms * MS + EPS;
        assert!(ok, "{what}: {d}, expected ({low_ms}, {high_ms}] ms");
    }
    if all.len() >= 30 {
        let (min, max) = (all.iter().min().unwrap().0, all.iter().max().unwrap().0);
        let width = (high_ms - low_ms) * MS;
        assert!(
            max - min >= width * 3 / 4,
            "{what}: only {} of {} ms are used",
            (max - min) / MS,
            width / MS
        );
        let mean = all.iter().map(|d| d.0).sum::<u64>() / all.len() as u64;
        let middle = (low_ms + high_ms) * MS / 2;
        assert!(mean.abs_diff(middle) <= width / 6, "{what}: the mean is {}", Span(mean));
    }
}
fn near(what: &str, d: Span, ms: u64, slack_ms: u64) {
    assert!(d.0.abs_diff(ms * MS) <= slack_ms * MS, "{what}: {d}, expected {ms} +- {slack_ms} ms");
}
const SEEDS: u64 = 60;
/// The configuration that comes with Patroni.
const PATRONI: &str = "(patroni: true)";
fn at(ms: u64) -> Span {
    Span::ms(ms)
}

#[test]
fn hap_01_a_server_that_says_503_is_down_and_its_sessions_are_cut_within_six_to_nine_seconds() {
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let calls = vec![vec![call(at(20_000), 5000).every(at(500))]];
        let r = Run::new(seed, PATRONI, &calls, &[(t, Do::Says(1, 503, 200))]).to(Span::secs(60));
        let down = r.down("primary", "db1", t);
        all.push(Span(down.0 - t.0));
        let c = &r.calls(0)[0];
        assert_eq!(c.end(), Tcp::Closed, "a FIN");
        assert!(c.ended.as_ref().unwrap().0.0 - down.0 < EPS, "the session is cut at the transition");
        assert_eq!(r.db(1).1, 0, "and on the server's side too");
        let why = r.notes().find_map(|n| match n {
            Hap::Down { section, why, cut: true, sessions: 1, .. } if &**section == "primary" => Some(why),
            _ => None,
        });
        assert_eq!(why, Some(&Why::Checks(3, Failure::Status(503))));
    }
    spread("503", &all, 6_000, 9_000);
}

#[test]
fn hap_01_a_refused_check_costs_the_same() {
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let r = Run::new(seed, PATRONI, &[], &[(t, Do::Kill(rest(1)))]).to(Span::secs(60));
        all.push(Span(r.down("primary", "db1", t).0 - t.0));
    }
    spread("refused", &all, 6_000, 9_000);
}

#[test]
fn hap_02_a_black_hole_costs_three_seconds_a_check() {
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let t = phase(seed);
        // Checks keep the ARP entry alive; it lives for 15 s and more after the last contact.
        let r = Run::new(seed, PATRONI, &[], &[(t, Do::Cut(1))]).to(Span::secs(60));
        all.push(Span(r.down("primary", "db1", t).0 - t.0));
    }
    spread("black hole", &all, 15_000, 18_000);
}

/// One listener only, and nobody else who asks.
const ONE: &str = r#"(
    defaults: (retries: 2, timeout_connect: "4s", timeout_client: "30m", timeout_server: "30m", timeout_check: "5s"),
    listen: { "primary": (bind: 5000, option_httpchk: "OPTIONS /primary", http_check_expect_status: "200",
        default_server: (inter: "3s", fall: 3, rise: 2, on_marked_down: ShutdownSessions, check: true, port: 8008),
        server: [(address: "db1:5432"), (address: "db2:5432"), (address: "db3:5432")]) },
)"#;

#[test]
fn hap_03_a_frozen_server_costs_five_seconds_a_check_until_its_accept_queue_is_full() {
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let r = Run::new(seed, ONE, &[], &[(t, Do::Pause(rest(1)))]).to(Span::secs(80));
        all.push(Span(r.down("primary", "db1", t).0 - t.0));
    }
    spread("frozen", &all, 21_000, 24_000);
    // Six places: monitors that ask once a second take what two listeners leave.
    let monitor: Vec<Call> = (0..90).map(|i| call(at(i * 1000 + 7), 8008).close(at(900)).silent()).collect();
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let mut r = Run::new(seed, PATRONI, std::slice::from_ref(&monitor), &[(t, Do::Pause(rest(1)))]);
        if let Node::Client { to, .. } = &mut r.0.model.world.procs[10].logic {
            *to = ip(1);
        }
        let r = r.to(Span::secs(80));
        all.push(Span(r.down("primary", "db1", t).0 - t.0));
    }
    for d in &all {
        assert!(
            d.0 + EPS > 17_000 * MS && d.0 <= 20_000 * MS + EPS,
            "two of three checks meet a full queue: {d}"
        );
    }
    // A queue that is full from the start: the black hole's time.
    let flood: Vec<Call> = (0..80).map(|i| call(at(29_000 + i * 100), 8008).silent()).collect();
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let mut r = Run::new(
            seed,
            ONE,
            std::slice::from_ref(&flood),
            &[(at(28_900), Do::Pause(rest(1))), (at(28_950), Do::Heal)],
        );
        if let Node::Client { to, .. } = &mut r.0.model.world.procs[10].logic {
            *to = ip(1);
        }
        let r = r.to(Span::secs(80));
        all.push(r.down("primary", "db1", at(28_900)));
    }
    assert!(all.iter().all(|d| d.0 >= 28_900 * MS + 15_000 * MS), "{all:?}");
}

#[test]
fn hap_04_two_failures_and_a_success_leave_it_up() {
    for seed in 1..=20 {
        // Checks of db1 come at 0, 3, 6, ... s: two fail, one is good, two fail, ...
        let plan: Vec<(Span, Do)> = (0..10)
            .flat_map(|k| {
                let t = 29_500 + 9_000 * k;
                [(at(t), Do::Says(1, 503, 200)), (at(t + 6_000), Do::Says(1, 200, 503))]
            })
            .collect();
        let r = Run::new(seed, ONE, &[], &plan).to(Span::secs(110));
        assert_eq!(r.went(false, "primary", "db1", Span::ZERO), None);
        let failed = r.service().proxy().unwrap().servers().next().unwrap().checks.1;
        assert!(failed >= 16, "{failed} checks failed");
    }
}

#[test]
fn hap_05_from_down_a_failure_in_between_starts_the_count_anew() {
    for seed in 1..=20 {
        let plan = [
            (at(29_500), Do::Says(1, 503, 200)),
            // Down for long; then good, bad, good, good.
            (at(59_500), Do::Says(1, 200, 503)),
            (at(62_500), Do::Says(1, 503, 200)),
            (at(65_500), Do::Says(1, 200, 503)),
        ];
        let r = Run::new(seed, ONE, &[], &plan).to(Span::secs(110));
        let up = r.went(true, "primary", "db1", at(40_000)).expect("it comes up");
        let good: Vec<u64> = r.asked(1).iter().map(|t| t.0).filter(|t| *t > 59_500 * MS).collect();
        assert!(up.0.abs_diff(good[3]) < EPS, "up at {up}, the fourth check was at {}", Time(good[3]));
    }
}

#[test]
fn hap_06_the_first_check_of_a_dead_server_takes_it_down() {
    for seed in 1..=20 {
        let r = Run::new(seed, PATRONI, &[], &[(Span::ms(1), Do::Cut(2))]).to(Span::secs(20));
        let down = r.down("primary", "db2", Span::ZERO);
        assert!(down <= at(6_000 + 100), "down at {down}");
        let r = Run::new(seed, PATRONI, &[], &[(Span::us(1), Do::Kill(rest(2)))]).to(Span::secs(20));
        assert!(r.down("primary", "db2", Span::ZERO) <= at(3_010));
        let first = r.notes().find_map(|n| match n {
            Hap::Down { server, why, .. } if &**server == "db2" => Some(why.clone()),
            _ => None,
        });
        assert_eq!(first, Some(Why::Checks(1, Failure::Refused)));
    }
}

#[test]
fn hap_07_without_a_server_a_client_is_closed_at_once() {
    for seed in 1..=20 {
        let calls = vec![vec![call(at(45_000), 5000), call(at(10_000), 5000)]];
        let r = Run::new(seed, PATRONI, &calls, &[(at(30_000), Do::Says(1, 503, 200))]).to(Span::secs(60));
        let c = &r.calls(0)[0];
        assert!(c.connected.is_some(), "it is accepted");
        assert_eq!(c.end(), Tcp::Closed);
        assert!(c.took() < at(50), "{}", c.took());
        assert!(r.notes().any(|n| matches!(n, Hap::Away { why: Gone::Nobody, .. })));
        assert_eq!(r.calls(0)[1].answers.len(), 1, "before, it worked");
    }
}

#[test]
fn hap_08_a_refused_session_is_tried_again_after_a_turn_around_of_a_second() {
    for seed in 1..=20 {
        let calls = vec![vec![call(at(20_000), 5000)]];
        let kill = [(at(10_000), Do::Kill(db(1)))];
        let r = Run::new(seed, PATRONI, &calls, &kill).to(Span::secs(60));
        near("retries 2", r.calls(0)[0].took(), 2_000, 10);
        assert_eq!(r.calls(0)[0].end(), Tcp::Closed);
        assert!(r.notes().any(|n| matches!(n, Hap::Away { why: Gone::Connect, tries: 3, .. })));
        assert_eq!(r.up("primary"), ["db1"], "checks look at another port");
        let stock =
            r#"(listen: { "x": (bind: 5000, timeout_connect: "5s", server: [(address: "db1:5432")]) })"#;
        let r = Run::new(seed, stock, &calls, &kill).to(Span::secs(60));
        near("retries 3", r.calls(0)[0].took(), 3_000, 10);
        let quick = stock.replace("5s", "300ms");
        let r = Run::new(seed, &quick, &calls, &kill).to(Span::secs(60));
        near("a shorter timeout connect", r.calls(0)[0].took(), 900, 10);
    }
}

#[test]
fn hap_08_a_server_that_comes_back_in_time_serves_the_session() {
    let calls = vec![vec![call(at(20_000), 5000)]];
    let plan = [(at(10_000), Do::Kill(db(1))), (at(21_500), Do::Start(db(1)))];
    let r = Run::new(1, PATRONI, &calls, &plan).to(Span::secs(60));
    let c = &r.calls(0)[0];
    assert_eq!(c.ended, None);
    near("the third try", Span(c.answers[0].0.0 - c.at.0), 2_000, 10);
}

#[test]
fn hap_09_a_black_hole_costs_every_try_its_timeout_and_without_an_arp_entry_three_seconds_and_a_turn_around()
{
    for seed in 1..=20 {
        // The cut comes just before the call: the ARP entry lives, and so does the server in the eyes of the checks.
        let t = phase(seed);
        let calls = vec![vec![call(t + at(10), 5000)]];
        let r = Run::new(seed, PATRONI, &calls, &[(t, Do::Cut(1))]).to(Span::secs(80));
        near("three times four seconds", r.calls(0)[0].took(), 12_000, 200);
        // No checks, and the entry has failed long ago.
        let plain = r#"(listen: { "x": (bind: 5000, retries: 2, timeout_connect: "4s", server: [(address: "db1:5432")]) })"#;
        let calls = vec![vec![
            call(at(5_000), 5000).close(at(1_000)),
            call(at(100_000), 5000),
            call(at(200_000), 5000),
        ]];
        let r = Run::new(seed, plain, &calls, &[(at(10_000), Do::Cut(1))]).to(Span::secs(260));
        assert_eq!(r.calls(0)[0].answers.len(), 1);
        near("a stale entry is still used", r.calls(0)[1].took(), 12_000, 200);
        let took = r.calls(0)[2].took();
        assert!(took >= at(10_900) && took <= at(11_800), "{took}");
    }
}

#[test]
fn hap_10_a_full_server_queues_for_the_timeout_and_a_free_place_goes_to_the_oldest() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s", server: [(address: "db1:5432", maxconn: 2)]) })"#;
    for seed in 1..=20 {
        let hold = |ms| call(at(ms), 5000).close(Span::secs(60));
        let calls = vec![vec![hold(10_000), hold(10_100), hold(11_000), hold(11_500)]];
        let r = Run::new(seed, config, &calls, &[]).to(Span::secs(40));
        near("the third", r.calls(0)[2].took(), 4_000, 5);
        near("the fourth", r.calls(0)[3].took(), 4_000, 5);
        assert_eq!((r.calls(0)[2].end(), r.calls(0)[3].end()), (Tcp::Closed, Tcp::Closed));
        assert!(r.notes().any(|n| matches!(n, Hap::Away { why: Gone::QueueTimeout, .. })));
        let mut calls = calls;
        calls[0][0] = call(at(10_000), 5000).close(at(2_000));
        let r = Run::new(seed, config, &calls, &[]).to(Span::secs(40));
        near("a place is free a second later", Span(r.calls(0)[2].answers[0].0.0 - 11_000 * MS), 1_000, 5);
        near("the next in the queue", r.calls(0)[3].took(), 4_000, 5);
        assert_eq!(r.db(1).0, 3);
    }
    let own = config.replace("timeout_connect: \"4s\"", "timeout_connect: \"4s\", timeout_queue: \"1s\"");
    let calls = vec![(0..3).map(|i| call(at(10_000 + i), 5000)).collect()];
    let r = Run::new(1, &own, &calls, &[]).to(Span::secs(40));
    near("timeout queue", r.calls(0)[2].took(), 1_000, 5);
}

#[test]
fn hap_10_a_full_queue_sends_to_the_common_one_and_a_frontend_has_its_own_maxconn() {
    // Two servers by address: the client's own is full, and so is its queue; the third waits for either.
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s", timeout_queue: "30s", balance: Source,
        default_server: (maxconn: 1, maxqueue: 1), server: [(address: "db1:5432"), (address: "db2:5432")]) })"#;
    let mine = 1 + (ip(CLIENT as u16).0 % 2) as u16;
    let first: Vec<Call> = (0..4).map(|i| call(at(10_000 + 100 * i), 5000)).collect();
    // Another client comes and goes at the other server.
    let other = vec![call(at(12_000), 5000).close(at(1_000))];
    let r = Run::new(1, config, &[first, other], &[]).to(Span::secs(30));
    let hosts: Vec<Option<u16>> = r.calls(0).iter().map(|c| c.answers.first().map(|a| a.1.0)).collect();
    assert_eq!(hosts, [Some(mine), None, Some(3 - mine), None]);
    near("when the other is free", Span(r.calls(0)[2].answers[0].0.0 - 13_000 * MS), 0, 5);
    // The frontend's own limit: the third is held back by the kernel, another frontend is not.
    let config = r#"(listen: { "x": (bind: 5000, maxconn: 2, timeout_connect: "4s", server: [(address: "db1:5432")]),
        "y": (bind: 5001, timeout_connect: "4s", server: [(address: "db1:5432")]) })"#;
    let calls = vec![vec![
        call(at(10_000), 5000),
        call(at(10_100), 5000),
        call(at(10_200), 5000),
        call(at(10_300), 5001),
    ]];
    let r = Run::new(1, config, &calls, &[]).to(Span::secs(30));
    let served: Vec<bool> = r.calls(0).iter().map(|c| !c.answers.is_empty()).collect();
    assert_eq!(served, [true, true, false, true]);
    assert!(r.calls(0)[2].connected.is_some());
}

#[test]
fn hap_11_without_shutdown_sessions_a_session_survives_the_server() {
    let keep = ONE.replace("on_marked_down: ShutdownSessions, ", "");
    for seed in 1..=20 {
        let t = phase(seed);
        let calls = vec![vec![call(at(20_000), 5000).every(at(1_000)), call(at(50_000), 5000)]];
        let r = Run::new(seed, &keep, &calls, &[(t, Do::Says(1, 503, 200))]).to(Span::secs(60));
        assert!(r.down("primary", "db1", t) < at(50_000));
        let c = &r.calls(0)[0];
        assert_eq!(c.ended, None);
        assert!(c.answers.last().unwrap().0 > Time(59 * 1_000 * MS), "it still works");
        assert_eq!(r.calls(0)[1].end(), Tcp::Closed, "a new one does not");
        assert!(r.notes().any(|n| matches!(n, Hap::Down { cut: false, sessions: 1, .. })));
    }
}

#[test]
fn hap_12_a_new_primary_is_up_within_three_to_six_seconds() {
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let r = Run::new(seed, PATRONI, &[], &[(t, Do::Says(2, 200, 503))]).to(Span::secs(60));
        let up = r.went(true, "primary", "db2", t).expect("it comes up");
        all.push(Span(up.0 - t.0));
        assert_eq!(r.up("primary"), ["db1", "db2"], "nobody else decides who is primary");
        assert_eq!(r.up("replicas"), ["db3"]);
    }
    spread("up", &all, 3_000, 6_000);
}

#[test]
fn hap_13_fastinter_and_shorter_intervals() {
    let fast = ONE.replace("inter: \"3s\"", "inter: \"3s\", fastinter: \"1s\"");
    let short = ONE.replace("inter: \"3s\", fall: 3", "inter: \"1s\", fall: 2");
    let slow_up = ONE.replace("inter: \"3s\"", "inter: \"3s\", downinter: \"10s\"");
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let r = Run::new(seed, &fast, &[], &[(t, Do::Kill(rest(1)))]).to(Span::secs(60));
        a.push(Span(r.down("primary", "db1", t).0 - t.0));
        let r = Run::new(seed, &short, &[], &[(t, Do::Kill(rest(1)))]).to(Span::secs(60));
        b.push(Span(r.down("primary", "db1", t).0 - t.0));
        // The first wait is a whole downinter, the second is not.
        let t = Span::secs(40) + Span(seed * 618_033_988 % 10_000_000_000);
        let r = Run::new(seed, &slow_up, &[], &[(t, Do::Says(2, 200, 503))]).to(Span::secs(80));
        c.push(Span(r.went(true, "primary", "db2", t).expect("it comes up").0 - t.0));
    }
    spread("fastinter", &a, 2_000, 5_000);
    spread("inter 1s fall 2", &b, 1_000, 2_000);
    spread("downinter", &c, 3_000, 13_000);
}

/// Stock HAProxy: checks by connecting, 2 s, 3, 2.
const STOCK: &str = r#"(listen: { "x": (bind: 5000, timeout_connect: "5s", default_server: (check: true),
    server: [(address: "db1:5432"), (address: "db2:5432"), (address: "db3:5432")]) })"#;

#[test]
fn lbv_07_stock_haproxy_refused_is_down_in_four_to_six_seconds_and_up_in_two_to_four() {
    let (mut refused, mut up) = (Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let back = Span::secs(60) + Span(seed * 61_803_398 % 4_000_000_000);
        let plan = [(t, Do::Kill(db(1))), (back, Do::Start(db(1)))];
        let r = Run::new(seed, STOCK, &[], &plan).to(Span::secs(80));
        refused.push(Span(r.down("x", "db1", t).0 - t.0));
        up.push(Span(r.went(true, "x", "db1", back).unwrap().0 - back.0));
    }
    spread("refused", &refused, 4_000, 6_000);
    spread("up", &up, 2_000, 4_000);
}

#[test]
fn lbv_08_stock_haproxy_dropped_is_down_in_ten_to_twelve_seconds() {
    let mut hole = Vec::new();
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let r = Run::new(seed, STOCK, &[], &[(t, Do::Cut(1))]).to(Span::secs(60));
        hole.push(Span(r.down("x", "db1", t).0 - t.0));
    }
    spread("black hole", &hole, 10_000, 12_000);
}

#[test]
fn lbv_11_with_redispatch_no_client_sees_that_a_server_refuses() {
    // 100 clients a second over three servers, one of which refuses for the five seconds until it is down.
    let calls = vec![(0..1_500).map(|i| call(at(20_000 + i * 10), 5000).close(at(5))).collect::<Vec<_>>()];
    for (redispatch, errors) in [("option_redispatch: -1,", false), ("", true)] {
        let config = STOCK.replace("bind: 5000,", &format!("bind: 5000, {redispatch}"));
        let r = Run::new(1, &config, &calls, &[(at(25_000), Do::Kill(db(1)))]).to(Span::secs(60));
        let down = r.down("x", "db1", at(25_000));
        let lost = r.calls(0).iter().filter(|c| c.answers.is_empty()).count() as u64;
        // Without it, a third of those who come lose: their share until the server is down, less those whose 3 s outlast it.
        let share = (down.0 - 25_000 * MS) / (30 * MS);
        assert!(
            if errors { lost.abs_diff(share) <= 2 } else { lost == 0 },
            "{lost} of {share}: {redispatch}"
        );
    }
}

#[test]
fn lbv_20_four_are_served_six_are_queued_and_get_503_after_five_seconds() {
    let config = r#"(listen: { "x": (bind: 5000, mode: Http, timeout_connect: "1s", timeout_queue: "5s",
        default_server: (maxconn: 2), server: [(address: "db1:5432"), (address: "db2:5432")]) })"#;
    let calls = vec![(0..10).map(|i| call(at(10_000 + i), 5000).close(at(10_000))).collect::<Vec<_>>()];
    let r = Run::new(1, config, &calls, &[]).to(Span::secs(40));
    let (served, queued) = r.calls(0).split_at(4);
    assert!(served.iter().all(|c| c.answers.len() == 1));
    for c in queued {
        assert_eq!((c.answers.len(), c.status), (0, Some(503)));
        near("timeout queue", c.took(), 5_000, 5);
    }
}

#[test]
fn hap_14_a_server_that_goes_moves_two_thirds_of_the_sources() {
    use firedrill::proto::haproxy::balance::{Balancer, Load, Pick, SCALE};
    use firedrill::proto::haproxy::config::Balance;
    let load = Load {
        weight: SCALE,
        configured: 1,
        backup: false,
        up: true,
        served: 0,
        queued: 0,
        maxconn: 0,
        maxqueue: 0,
    };
    let mut loads = vec![load; 3];
    let mut b = Balancer::new(Balance::Source, &loads, false);
    let of = |b: &mut Balancer, loads: &[Load]| -> Vec<Pick> {
        (0..6_000u32).map(|i| b.pick(loads, Ip(0x0A00_0000 + i), None)).collect()
    };
    let before = of(&mut b, &loads);
    loads[2].up = false;
    b.changed(&loads, 2);
    let after = of(&mut b, &loads);
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert_eq!(moved, 4_000, "an address modulo 3, then modulo 2");
    // And through the proxy: the same client always reaches the same server.
    let config = STOCK.replace("bind: 5000,", "bind: 5000, balance: Source,");
    let calls: Vec<Vec<Call>> =
        (0..3).map(|_| (0..5).map(|i| call(at(10_000 + i * 500), 5000)).collect()).collect();
    let r = Run::new(1, &config, &calls, &[]).to(Span::secs(20));
    for client in 0..3 {
        let expected = HostId(1 + (ip(CLIENT as u16 + client).0 % 3) as u16);
        assert!(r.calls(client as usize).iter().all(|c| c.answers[0].1 == expected), "client {client}");
    }
}

#[test]
fn hap_15_backups_serve_only_when_no_other_server_is_up() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "5s", default_server: (check: true),
        server: [(address: "db1:5432"), (address: "db2:5432", backup: true), (address: "db3:5432", backup: true)]) })"#;
    let calls = vec![(0..60).map(|i| call(at(10_000 + i * 1_000), 5000).close(at(500))).collect()];
    let plan = [(at(30_000), Do::Kill(db(1))), (at(50_000), Do::Start(db(1)))];
    for (allbackups, backups) in [(false, vec![2]), (true, vec![2, 3])] {
        let config = config.replace("bind: 5000,", &format!("bind: 5000, option_allbackups: {allbackups},"));
        let r = Run::new(3, &config, &calls, &plan).to(Span::secs(80));
        let mut between: Vec<u16> = Vec::new();
        for c in r.calls(0) {
            let Some((t, host)) = c.answers.first() else { continue };
            if *t < Time(30_000 * MS) || *t > Time(55_000 * MS) {
                assert_eq!(host.0, 1);
            } else if *t > Time(36_100 * MS) && *t < Time(50_000 * MS) && !between.contains(&host.0) {
                between.push(host.0);
            }
        }
        between.sort_unstable();
        assert_eq!(between, backups, "allbackups {allbackups}");
    }
}

#[test]
fn hap_20_the_next_check_begins_after_the_end_of_the_one_before() {
    for delay in [1_000, 2_500] {
        let mut r = Run::new(1, ONE, &[], &[]);
        if let Node::Rest { delay: d, .. } = &mut r.0.model.world.procs[rest(1).0 as usize].logic {
            *d = at(delay);
        }
        let r = r.to(Span::secs(60));
        let gaps: Vec<u64> = r.asked(1).windows(2).map(|w| w[1].0 - w[0].0).collect();
        assert!(gaps.len() > 8);
        for g in gaps {
            assert!(g.abs_diff((3_000 + delay) * MS) < EPS, "{} ms", g / MS);
        }
        assert_eq!(r.up("primary"), ["db1"]);
    }
}

// ---- the data path ------------------------------------------------------------------------------------------------------

#[test]
fn global_maxconn_leaves_clients_in_the_kernel_where_they_hang() {
    let config = r#"(maxconn: 3, listen: { "x": (bind: 5000, timeout_connect: "4s", server: [(address: "db1:5432")]) })"#;
    for seed in 1..=10 {
        let mut calls: Vec<Call> = (0..9).map(|i| call(at(10_000 + i * 10), 5000)).collect();
        calls[0] = call(at(10_000), 5000).close(at(3_000));
        let r = Run::new(seed, config, &[calls], &[]).to(Span::secs(20));
        let c = r.calls(0);
        for (i, c) in c.iter().enumerate().take(3) {
            assert_eq!(c.answers.len(), 1, "{i}");
        }
        let (fourth, fifth) = (&c[3], &c[4]);
        assert!(fourth.connected.unwrap() < Time(10_040 * MS), "it is connected at once, by the kernel");
        near("and served when a session ends", Span(fourth.answers[0].0.0 - 13_000 * MS), 0, 5);
        assert!(fifth.connected.is_some() && fifth.answers.is_empty() && fifth.ended.is_none(), "it hangs");
        // The accept queue has one place more than its length, which is maxconn: 4 wait, the other SYNs are dropped.
        let connected = c.iter().filter(|c| c.connected.is_some_and(|t| t < Time(11_000 * MS))).count();
        assert_eq!(connected, 7);
        assert!(c[7].connected.is_some_and(|t| t > Time(13_000 * MS)), "a later SYN finds the place");
        assert!(c[8].connected.is_none());
        assert!(r.notes().any(|n| matches!(n, Hap::Full { sessions: 3, .. })));
    }
}

#[test]
fn a_client_that_gave_up_in_the_accept_queue_is_passed_over_in_no_time() {
    let config = r#"(maxconn: 1, listen: { "x": (bind: 5000, timeout_connect: "4s", server: [(address: "db1:5432")]) })"#;
    let calls = vec![vec![
        call(at(10_000), 5000).close(at(5_000)),
        call(at(11_000), 5000).silent().close(at(1_000)),
        call(at(12_000), 5000),
    ]];
    let r = Run::new(1, config, &calls, &[]).to(Span::secs(20));
    near("the third", Span(r.calls(0)[2].answers[0].0.0 - 15_000 * MS), 0, 5);
    assert_eq!(r.db(1).0, 2, "the second never reached a server");
}

#[test]
fn a_client_that_gives_up_after_it_has_spoken_still_holds_its_place() {
    // The server is a black hole: the client leaves after 2 s, HAProxy tries on.
    let config = r#"(listen: { "x": (bind: 5000, retries: 2, timeout_connect: "4s", ABORT server: [(address: "db1:5432", maxconn: 1)]) })"#;
    let sessions = |silent: bool, abort: &str, t: u64| {
        let mut second = call(at(10_100), 5000).close(at(2_000));
        second.ask = !silent;
        let calls = vec![vec![call(at(5_000), 5000).close(at(500)), second]];
        let cut = [(at(10_000), Do::Cut(1))];
        let r = Run::new(1, &config.replace("ABORT", abort), &calls, &cut).to(at(t));
        r.service().proxy().unwrap().sessions()
    };
    // Who has said nothing gets out by closing.
    assert_eq!((sessions(true, "", 12_000), sessions(true, "", 12_200)), (1, 0));
    // For who has, all tries are made.
    assert_eq!((sessions(false, "", 22_000), sessions(false, "", 22_200)), (1, 0));
    assert_eq!(sessions(false, "option_abortonclose: true,", 12_200), 0);
    // In a queue it is the same.
    let busy = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s", ABORT server: [(address: "db1:5432", maxconn: 1)]) })"#;
    let calls = vec![vec![call(at(10_000), 5000), call(at(11_000), 5000).close(at(2_000))]];
    for (abort, left) in [("", 2), ("option_abortonclose: true,", 1)] {
        let r = Run::new(1, &busy.replace("ABORT", abort), &calls, &[]).to(at(13_500));
        assert_eq!(r.service().proxy().unwrap().sessions(), left, "{abort}");
    }
}

#[test]
fn ends_and_resets_are_passed_on() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s", server: [(address: "db1:5432")]) })"#;
    for seed in 1..=10 {
        // The server is killed: its kernel resets, and so does the proxy.
        let calls = vec![vec![call(at(10_000), 5000)]];
        let r = Run::new(seed, config, &calls, &[(at(12_000), Do::Kill(db(1)))]).to(Span::secs(20));
        assert_eq!(r.calls(0)[0].end(), Tcp::Reset);
        near("at once", r.calls(0)[0].took(), 2_000, 5);
        // The client's kernel resets.
        let r = Run::new(seed, config, &calls, &[(at(12_000), Do::Kill(Pid(10)))]).to(Span::secs(20));
        assert_eq!(r.db(1).2[0].1, Tcp::Reset);
        // The client closes: a FIN to the server, whose FIN comes back.
        let calls = vec![vec![call(at(10_000), 5000).close(at(2_000))]];
        let r = Run::new(seed, config, &calls, &[]).to(Span::secs(20));
        assert_eq!(r.db(1).2[0].1, Tcp::Closed);
        assert_eq!(r.service().proxy().unwrap().sessions(), 0);
        // The proxy itself is killed: all its sessions break, and new ones are refused.
        let calls = vec![vec![call(at(10_000), 5000), call(at(13_000), 5000)]];
        let r = Run::new(seed, config, &calls, &[(at(12_000), Do::Kill(PROXY))]).to(Span::secs(20));
        assert_eq!((r.calls(0)[0].end(), r.calls(0)[1].end()), (Tcp::Reset, Tcp::Reset));
        assert_eq!(r.db(1).1, 0);
    }
}

#[test]
fn a_session_whose_server_is_silent_keeps_its_place_after_the_client_has_gone() {
    // The server is frozen: it never answers the FIN.
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s", timeout_server: "60s",
        server: [(address: "db1:5432", maxconn: 1)]) })"#;
    let calls = vec![vec![call(at(10_000), 5000).close(at(5_000)), call(at(20_000), 5000)]];
    let r = Run::new(1, config, &calls, &[(at(11_000), Do::Pause(db(1)))]).to(Span::secs(100));
    near("no place for the next", r.calls(0)[1].took(), 4_000, 5);
    assert_eq!(r.service().proxy().unwrap().sessions(), 0, "until timeout server");
    let r = Run::new(1, config, &calls, &[(at(11_000), Do::Pause(db(1)))]).to(Span::secs(69));
    assert_eq!(r.service().proxy().unwrap().sessions(), 1);
    let plan = [(at(11_000), Do::Pause(db(1))), (at(22_000), Do::Resume(db(1)))];
    let r = Run::new(1, config, &calls, &plan).to(Span::secs(40));
    near("or until it goes on", Span(r.calls(0)[1].answers[0].0.0 - 20_000 * MS), 2_000, 5);
}

#[test]
fn idle_sessions_end_by_their_timeouts_and_cost_no_events() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s", timeout_client: "30m", timeout_server: "20s",
        server: [(address: "db1:5432")]) })"#;
    let calls = vec![vec![call(at(10_000), 5000).every(at(15_000)), call(at(10_000), 5000)]];
    let r = Run::new(1, config, &calls, &[]).to(Span::secs(100));
    assert_eq!(r.calls(0)[0].ended, None, "it speaks every 15 s");
    near("the other", r.calls(0)[1].took(), 20_000, 5);
    assert!(r.notes().any(|n| matches!(n, Hap::Away { why: Gone::Idle, .. })));
    let quiet = config.replace("20s", "30m");
    let calls = vec![(0..50).map(|_| call(at(10_000), 5000)).collect()];
    let mut r = Run::new(1, &quiet, &calls, &[]).to(Span::secs(20));
    let before = r.0.model.events;
    r = r.to(Span::secs(1_500));
    assert!(r.0.model.events - before < 20, "{} events", r.0.model.events - before);
}

#[test]
fn redispatch_takes_the_retry_elsewhere() {
    // No checks: db1 looks up for ever, and refuses.
    let config = r#"(listen: { "x": (bind: 5000, balance: BALANCE, timeout_connect: "4s", REDISPATCH
        server: [(address: "db1:5432"), (address: "db2:5432"), (address: "db3:5432")]) })"#;
    let calls = vec![(0..30).map(|i| call(at(10_000 + i * 100), 5000).close(at(50_000))).collect::<Vec<_>>()];
    let kill = [(at(5_000), Do::Kill(db(1)))];
    for (balance, redispatch, lost, slow) in [
        ("Roundrobin", "", 10, 0),
        // In turn, any server will do: at once.
        ("Roundrobin", "option_redispatch: -1,", 0, 0),
        ("StaticRr", "option_redispatch: -1,", 0, 0),
        ("Roundrobin", "option_redispatch: 1,", 0, 0),
    ] {
        let config = config.replace("BALANCE", balance).replace("REDISPATCH", redispatch);
        let r = Run::new(1, &config, &calls, &kill).to(Span::secs(40));
        let c = r.calls(0);
        assert_eq!(c.iter().filter(|c| c.answers.is_empty()).count(), lost, "{config}");
        let late = c.iter().filter(|c| c.answers.first().is_some_and(|a| a.0.0 - c.at.0 > 100 * MS)).count();
        assert_eq!(late, slow, "{config}");
    }
    // By load, only the last retry goes elsewhere: three seconds late.
    let config = config.replace("BALANCE", "First").replace("REDISPATCH", "option_redispatch: -1,");
    let r = Run::new(1, &config, &calls, &kill).to(Span::secs(40));
    for c in r.calls(0) {
        near("the last retry", Span(c.answers[0].0.0 - c.at.0), 3_000, 10);
        assert_eq!(c.answers[0].1.0, 2);
    }
}

#[test]
fn algorithms_spread_sessions_as_they_say() {
    let config = r#"(listen: { "x": (bind: 5000, balance: BALANCE, timeout_connect: "4s",
        server: [(address: "db1:5432", SECOND), (address: "db2:5432"), (address: "db3:5432")]) })"#;
    let calls = vec![(0..24).map(|i| call(at(10_000 + i * 100), 5000)).collect::<Vec<_>>()];
    let row = |balance: &str, second: &str| -> String {
        let config = config.replace("BALANCE", balance).replace("SECOND", second);
        let r = Run::new(1, &config, &calls, &[]).to(Span::secs(20));
        r.calls(0).iter().map(|c| c.answers.first().map_or('-', |a| char::from(b'0' + a.1.0 as u8))).collect()
    };
    assert_eq!(row("Roundrobin", "weight: 1"), "123".repeat(8));
    assert_eq!(row("Leastconn", "weight: 1"), "123".repeat(8));
    assert_eq!(row("First", "weight: 1"), "1".repeat(24));
    assert_eq!(row("First", "maxconn: 5"), format!("11111{}", "2".repeat(19)));
    for balance in ["Roundrobin", "StaticRr", "Leastconn"] {
        let weighted = row(balance, "weight: 2");
        assert_eq!(weighted.matches('1').count(), 12, "{balance}: {weighted}");
        assert_eq!(row(balance, "weight: 0").matches('1').count(), 0, "{balance}");
    }
    // Sessions that stay count: one server has five, and the next five go elsewhere.
    let config = config.replace("BALANCE", "Leastconn").replace("SECOND", "weight: 1");
    let mut calls: Vec<Call> = (0..9).map(|i| call(at(10_000 + i * 100), 5000)).collect();
    for i in [1, 2, 4, 5, 7, 8] {
        calls[i] = call(at(10_000 + i as u64 * 100), 5000).close(at(2_000));
    }
    calls.extend((0..4).map(|i| call(at(20_000 + i * 100), 5000)));
    let r = Run::new(1, &config, &[calls], &[]).to(Span::secs(30));
    let later: Vec<u16> = r.calls(0)[9..].iter().map(|c| c.answers[0].1.0).collect();
    assert_eq!(later, [2, 3, 2, 3]);
}

#[test]
fn without_redispatch_a_queue_waits_for_its_server_with_it_it_goes_elsewhere() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s", timeout_queue: "30s", balance: Source, REDISPATCH
        default_server: (check: true, maxconn: 1, on_marked_down: ShutdownSessions),
        server: [(address: "db1:5432"), (address: "db2:5432"), (address: "db3:5432")]) })"#;
    let mine = 1 + (ip(CLIENT as u16).0 % 3) as u16;
    let calls = vec![vec![call(at(10_000), 5000), call(at(10_500), 5000), call(at(11_000), 5000)]];
    let plan = [(at(12_000), Do::Cut(mine))];
    let r = Run::new(1, &config.replace("REDISPATCH", "option_redispatch: -1,"), &calls, &plan)
        .to(Span::secs(60));
    let down = r.went(false, "x", &format!("db{mine}"), at(12_000)).unwrap();
    assert_eq!(r.calls(0)[0].end(), Tcp::Closed);
    let second = &r.calls(0)[1];
    assert!(second.answers[0].0.0 - down.0 < EPS && second.answers[0].1.0 != mine);
    let r = Run::new(1, &config.replace("REDISPATCH", ""), &calls, &plan).to(Span::secs(60));
    assert!(r.calls(0)[1].answers.is_empty(), "it goes to the dead server when the first is cut");
}

// ---- B6 and the traps ---------------------------------------------------------------------------------------------------

#[test]
fn after_a_switchover_both_servers_may_be_up_for_six_seconds_and_half_of_the_sessions_go_wrong() {
    let (mut both, mut old) = (Vec::new(), 0);
    for seed in 1..=SEEDS {
        let t = phase(seed);
        let calls =
            vec![(0..300).map(|i| call(at(30_000 + i * 100), 5000).close(at(50))).collect::<Vec<_>>()];
        let plan = [(t, Do::Says(1, 503, 200)), (t, Do::Says(2, 200, 503))];
        let r = Run::new(seed, PATRONI, &calls, &plan).to(Span::secs(60));
        let (down, up) = (r.down("primary", "db1", t), r.went(true, "primary", "db2", t).unwrap());
        if up < down {
            both.push(Span(down.0 - up.0));
            let between: Vec<&Call> = r.calls(0).iter().filter(|c| c.at > up && c.at < down).collect();
            let wrong = between.iter().filter(|c| c.answers.first().is_some_and(|a| a.1.0 == 1)).count();
            assert!(wrong.abs_diff(between.len() - wrong) <= 1, "roundrobin");
            old += wrong;
        }
    }
    assert!(both.len() > 50 && both.iter().all(|d| *d <= Span::secs(6)), "{both:?}");
    assert!(old > 500);
}

#[test]
fn a_tcp_check_of_the_database_port_says_that_all_are_up() {
    let r = Run::new(1, STOCK, &[], &[]).to(Span::secs(60));
    assert_eq!(r.up("x"), ["db1", "db2", "db3"], "replicas and all");
    // And a database that is frozen passes: its kernel connects.
    let r = Run::new(1, STOCK, &[], &[(at(20_000), Do::Pause(db(1)))]).to(Span::secs(60));
    assert_eq!(r.up("x"), ["db1", "db2", "db3"]);
}

#[test]
fn a_dead_database_under_a_healthy_rest_port_is_never_down() {
    for seed in 1..=10 {
        let calls = vec![vec![call(at(40_000), 5000)]];
        let plan = [(at(30_000), Do::Kill(db(1))), (at(50_000), Do::Start(db(1)))];
        let r = Run::new(seed, PATRONI, &calls, &plan).to(Span::secs(80));
        assert_eq!(r.went(false, "primary", "db1", Span::ZERO), None);
        near("clients are closed after", r.calls(0)[0].took(), 2_000, 10);
    }
}

#[test]
fn a_lost_packet_of_a_check_is_repeated_and_costs_nothing() {
    for seed in 1..=10 {
        let plan = [(at(30_000), Do::Cut(1)), (at(30_900), Do::Heal)];
        let r = Run::new(seed, PATRONI, &[], &plan).to(Span::secs(60));
        assert_eq!(r.went(false, "primary", "db1", Span::ZERO), None);
    }
}

#[test]
fn the_first_checks_are_spread_over_the_smallest_interval() {
    let latency = SpanRange::exactly(Span::us(100));
    let r = Run::with(1, ONE, &[], &[], latency).to(Span::secs(3));
    let first: Vec<u64> = (1..=3).map(|h| r.asked(h)[0].0 / MS).collect();
    assert!(first[0] < 5 && first[1].abs_diff(1_000) < 5 && first[2].abs_diff(2_000) < 5, "{first:?}");
    // Two listeners: six checks, half a second apart.
    let r = Run::with(1, PATRONI, &[], &[], latency).to(Span::secs(3));
    let mut all: Vec<u64> = (1..=3).flat_map(|h| r.asked(h).iter().map(|t| t.0 / MS)).collect();
    all.sort_unstable();
    for (i, t) in all.iter().enumerate() {
        assert!(t.abs_diff(500 * i as u64) < 5, "{all:?}");
    }
}

#[test]
fn spread_checks_draws_every_interval() {
    let config = ONE.replace("defaults:", "spread_checks: 20, defaults:");
    let r = Run::new(5, &config, &[], &[]).to(Span::secs(900));
    let gaps: Vec<u64> = r.asked(1).windows(2).map(|w| (w[1].0 - w[0].0) / MS).collect();
    assert!(gaps.iter().all(|g| (2_399..=3_605).contains(g)));
    let (min, max) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*min < 2_450 && *max > 3_550, "{min} to {max}");
    assert!((gaps.iter().sum::<u64>() / gaps.len() as u64).abs_diff(3_000) < 60);
}

#[test]
fn a_frozen_proxy_is_connected_to_and_silent_and_checks_go_on_afterwards() {
    let calls = vec![vec![call(at(10_000), 5000).every(at(1_000)), call(at(32_000), 5000)]];
    let plan = [(at(30_000), Do::Pause(PROXY)), (at(60_000), Do::Resume(PROXY))];
    let r = Run::new(1, PATRONI, &calls, &plan).to(Span::secs(80));
    let c = &r.calls(0)[1];
    assert!(c.connected.unwrap() < Time(32_010 * MS), "by the kernel");
    assert!(c.answers[0].0 >= Time(60_000 * MS));
    assert_eq!(r.up("primary"), ["db1"], "no check failed by the freeze");
}

#[test]
fn an_agent_drains_weighs_and_takes_down_and_its_silence_says_nothing() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "4s",
        default_server: (check: true, agent_check: true, agent_port: 7000, agent_inter: "1s", weight: 10),
        server: [(address: "db1:5432"), (address: "db2:5432")]) })"#;
    let calls = vec![(0..100).map(|i| call(at(1_000 + i * 1_000), 5000).close(at(100))).collect::<Vec<_>>()];
    let plan = [
        (at(19_500), Do::Word(1, "drain")),
        (at(39_500), Do::Word(1, "ready 50%")),
        (at(59_500), Do::Word(1, "down")),
        (at(79_500), Do::Word(1, "up 100%")),
        (at(89_500), Do::Kill(agent(1))),
    ];
    let r = Run::new(1, config, &calls, &plan).to(Span::secs(110));
    let share = |from: u64, to: u64| {
        let mine = r.calls(0).iter().filter(|c| c.at > at(from) && c.at < at(to));
        mine.filter(|c| c.answers[0].1.0 == 1).count()
    };
    assert_eq!(share(2_000, 18_500), 8);
    assert_eq!(share(21_000, 39_000), 0, "drained: up, but no new sessions");
    assert!((5..=7).contains(&share(41_000, 59_000)), "{}", share(41_000, 59_000));
    assert_eq!(share(61_000, 79_000), 0);
    let down = r.down("x", "db1", Span::ZERO);
    assert!(down > at(59_500) && down < at(60_600), "{down}");
    assert!(r.notes().any(|n| matches!(n, Hap::Down { why: Why::Agent(w), .. } if &**w == "down")));
    assert!(share(91_000, 100_000) >= 4, "a dead agent does not matter");
}

#[test]
fn observe_learns_from_sessions() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "1s", retries: 0,
        default_server: (check: true, port: 8008, inter: "30s", observe: Layer4, error_limit: 3, on_error: MarkDown),
        server: [(address: "db1:5432"), (address: "db2:5432", backup: true)]) })"#;
    let calls = vec![(0..10).map(|i| call(at(40_000 + i * 1_000), 5000)).collect::<Vec<_>>()];
    let r = Run::new(1, config, &calls, &[(at(35_000), Do::Kill(db(1)))]).to(Span::secs(55));
    let down = r.down("x", "db1", at(35_000));
    assert!(down > at(42_000) && down < at(42_010), "with the third error, long before a check: {down}");
    assert!(r.notes().any(|n| matches!(n, Hap::Down { why: Why::Errors(3), .. })));
    assert_eq!(r.calls(0)[5].answers[0].1.0, 2);
    let failcheck = config.replace("MarkDown", "FailCheck");
    let r = Run::new(1, &failcheck, &calls, &[(at(35_000), Do::Kill(db(1)))]).to(Span::secs(55));
    let down = r.down("x", "db1", at(35_000));
    assert!(down > at(48_000) && down < at(48_010), "three errors are one failed check: {down}");
}

#[test]
fn a_server_that_comes_back_slowly_gets_its_share_slowly() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "1s",
        default_server: (check: true, port: 8008, slowstart: "60s"),
        server: [(address: "db1:5432", weight: 16), (address: "db2:5432", weight: 16)]) })"#;
    let calls = vec![(0..1_500).map(|i| call(at(10_000 + i * 100), 5000).close(at(20))).collect::<Vec<_>>()];
    let plan = [(at(20_000), Do::Kill(rest(1))), (at(40_000), Do::Start(rest(1)))];
    let r = Run::new(1, config, &calls, &plan).to(Span::secs(170));
    let up = r.went(true, "x", "db1", at(40_000)).unwrap();
    let share = |from: u64, to: u64| {
        let mine = r.calls(0).iter().filter(|c| c.at > up + Span::secs(from) && c.at < up + Span::secs(to));
        let all: Vec<u16> = mine.map(|c| c.answers[0].1.0).collect();
        100 * all.iter().filter(|h| **h == 1).count() / all.len()
    };
    let shares = [share(1, 5), share(20, 25), share(55, 60), share(65, 75)];
    assert!(shares[0] <= 10 && (20..=33).contains(&shares[1]), "{shares:?}");
    assert!((45..=50).contains(&shares[2]) && (49..=51).contains(&shares[3]), "{shares:?}");
}

#[test]
fn a_server_that_comes_up_may_take_the_sessions_of_the_backups_back() {
    let config = r#"(listen: { "x": (bind: 5000, timeout_connect: "1s", default_server: (check: true),
        server: [(address: "db1:5432", on_marked_up: ShutdownBackupSessions), (address: "db2:5432", backup: true)]) })"#;
    let calls = vec![vec![call(at(40_000), 5000)]];
    let plan = [(at(20_000), Do::Kill(db(1))), (at(60_000), Do::Start(db(1)))];
    let r = Run::new(1, config, &calls, &plan).to(Span::secs(80));
    let up = r.went(true, "x", "db1", at(60_000)).unwrap();
    let c = &r.calls(0)[0];
    assert_eq!(c.answers[0].1.0, 2);
    assert!(c.ended.as_ref().unwrap().0.0 - up.0 < EPS);
    assert!(r.notes().any(|n| matches!(n, Hap::Cut { n: 1, up: true, .. })));
}

#[test]
fn a_segment_that_overtakes_another_waits_for_it() {
    // A 503 and the end of the connection leave together; delays are drawn for each frame.
    let config = r#"(listen: { "web": (bind: 80, mode: Http) })"#;
    for seed in 1..=30 {
        let calls = vec![vec![call(at(5_000), 80)]];
        let r = Run::with(seed, config, &calls, &[], SpanRange::new(Span::us(100), Span::ms(5)))
            .to(Span::secs(7));
        let c = &r.calls(0)[0];
        assert_eq!((c.status, c.end()), (Some(503), Tcp::Closed));
        assert!(c.took() < at(50), "no retransmission: {}", c.took());
    }
}

#[test]
fn in_http_mode_a_client_without_a_server_gets_503() {
    let config = r#"(frontend: { "web": (bind: 80, mode: Http, default_backend: "app", timeout_client: "10s") },
        backend: { "app": (mode: Http, timeout_connect: "1s", retries: 1, option_httpchk: "/primary",
            server: [(address: "db1:5432", check: true, port: 8008)]) })"#;
    let calls = vec![vec![call(at(5_000), 80), call(at(30_000), 80), call(at(40_000), 80).silent()]];
    let r = Run::new(1, config, &calls, &[(at(10_000), Do::Says(1, 503, 503))]).to(Span::secs(60));
    assert_eq!(r.calls(0)[0].answers.len(), 1);
    let c = &r.calls(0)[1];
    assert_eq!((c.status, c.end()), (Some(503), Tcp::Closed));
    assert!(c.took() < at(50));
    near("who asks nothing is sent away", r.calls(0)[2].took(), 10_000, 10);
    assert_eq!(r.calls(0)[2].status, Some(408));
}

#[test]
fn net_16_a_name_is_looked_up_once() {
    let config =
        r#"(listen: { "x": (bind: 5000, timeout_connect: "1s", server: [(address: "pg.example:5432")]) })"#;
    let calls = vec![vec![call(at(5_000), 5000), call(at(500_000), 5000), call(at(700_000), 5000)]];
    let plan = [
        (Span::ZERO, Do::Name(1)),
        (at(10_000), Do::Name(2)),
        (at(600_000), Do::Kill(PROXY)),
        (at(601_000), Do::Start(PROXY)),
    ];
    let mut r = Run::new(1, config, &calls, &plan);
    r.0.model.world.procs[NAMES].logic = Node::Names(ip(1));
    let r = r.to(Span::secs(800));
    let hosts: Vec<u16> = r.calls(0).iter().map(|c| c.answers[0].1.0).collect();
    assert_eq!(hosts, [1, 1, 2], "only a restart notices the new address");
    // Nobody answers: it gives up after two questions and does not start.
    let mut r = Run::new(1, config, &calls, &[]);
    r.0.model.world.procs[NAMES].logic = Node::Agent("");
    let r = r.to(Span::secs(20));
    assert!(r.notes().any(|n| matches!(n, Hap::NoAddress { .. })));
    assert_eq!(r.calls(0)[0].end(), Tcp::Reset);
    assert!(!r.service().proxy().unwrap().listening());
}

// ---- scenarios that are wrong -------------------------------------------------------------------------------------------

/// What is said of a stack with this HAProxy and this HAProxy only, mistakes and warnings.
fn said(haproxy: &str, others: &str) -> String {
    let text = format!(
        r#"Stack(about: "a test", networks: {{ "lan": () }}, hosts: {{ "lb": (runs: [{haproxy}]), "app1": (runs: [HAProxy()]), {others} }})"#
    );
    firedrill::scenario::load::check_stack("x.ron".to_owned(), text).render(false)
}

#[test]
fn mistakes_have_their_sentences() {
    let db = r#""db1": (runs: [Etcd(), Postgres(), Patroni()]), "db2": (runs: [Etcd(), Postgres(), Patroni()]), "db3": (runs: [Etcd()]),"#;
    let section = |inner: &str| {
        format!(
            r#"HAProxy(defaults: (timeout_connect: "4s", timeout_client: "1m", timeout_server: "1m"), listen: {{ "x": ({inner}) }})"#
        )
    };
    let one = |server: &str| section(&format!("bind: 5000, server: [({server})]"));
    for (haproxy, others, parts) in [
        (one(r#"address: "ap1:80""#), "", vec!["there is no host `ap1`", "did you mean `app1`?"]),
        (one(r#"address: "app1:0""#), "", vec!["a port goes from 1 to 65535"]),
        (one(r#"address: "app1""#), "", vec!["expected a host with a port such as `db1:5432`"]),
        (one(r#"weight: 1"#), "", vec!["a server needs an address"]),
        (one(r#"address: "app1:80", port: 0"#), "", vec!["a port goes from 1 to 65535"]),
        (one(r#"address: "app1:80", fall: 0, rise: 0"#), "", vec!["fall is 1 or more", "rise is 1 or more"]),
        (one(r#"address: "app1:80", inter: "0s""#), "", vec!["inter is 1ms or more"]),
        (one(r#"address: "app1:80", inter: "30d""#), "", vec!["inter is at most 24.8 days"]),
        (one(r#"address: "app1:80", weight: 300"#), "", vec!["a weight goes from 0 to 256"]),
        (one(r#"address: "app1:80", agent_check: true"#), "", vec!["an agent needs a port"]),
        (one(r#"address: "app1:80", maxqueue: 5"#), "", vec!["without `maxconn` nobody waits"]),
        (
            section(r#"bind: 5000, server: [(address: "app1:80"), (address: "app1:81")]"#),
            "",
            vec!["two servers are called `app1`"],
        ),
        (section(r#"server: [(address: "app1:80")]"#), "", vec!["`x` needs a port"]),
        (section("bind: 5000"), "", vec!["`x` has no server"]),
        (section(r#"bind: 5000, option_httpchk: "FETCH /""#), "", vec!["`FETCH` is not a method"]),
        (section(r#"bind: 5000, http_check_expect_status: "20""#), "", vec!["`20` is not a status code"]),
        (
            r#"HAProxy(listen: { "x": (bind: 5000, server: [(address: "app1:80")]) })"#.to_owned(),
            "",
            vec!["without timeout_client, timeout_connect, timeout_server"],
        ),
        (
            r#"HAProxy(frontend: { "x": (bind: 80, default_backend: "yy") }, backend: { "y": (server: [(address: "app1:80")]) })"#
                .to_owned(),
            "",
            vec!["there is no backend `yy`", "did you mean `y`?", "no frontend uses `y`"],
        ),
        ("HAProxy(patroni: true)".to_owned(), "", vec!["no host of this stack runs Patroni"]),
        (
            r#"HAProxy(patroni: true, listen: { "mine": (bind: 5000) })"#.to_owned(),
            db,
            vec!["port 5000 belongs to `mine` already"],
        ),
        (
            one(r#"address: "db1:5432", check: true"#),
            db,
            vec!["all nodes look UP", "option_httpchk"],
        ),
        (
            section(r#"bind: 5000, option_httpchk: "/primary", server: [(address: "db1:5432", check: true)]"#),
            db,
            vec!["PostgreSQL does not answer HTTP"],
        ),
        (
            one(r#"address: "pg.example:5432""#),
            r#""ns": (runs: [Dns()])"#,
            vec!["looked up once, at the start"],
        ),
        ("HAProxy(spread_checks: 60)".to_owned(), "", vec!["from 0 to 50 percent"]),
    ] {
        let said = said(&haproxy, others);
        for part in parts {
            assert!(said.contains(part), "expected {part:?} of {haproxy} in:\n{said}");
        }
    }
    // What is right is not complained of.
    let good = |h: &str, o: &str| {
        let said = said(h, o);
        assert!(!said.contains("haproxy") && !said.contains("HAProxy"), "{said}");
    };
    good("HAProxy(patroni: true)", db);
    good(&one(r#"address: "app1:80", check: true, fall: 1, weight: 0"#), "");
}

// ---- behind a pair of keepalived ----------------------------------------------------------------------------------------

mod pair {
    use super::{EPS, MS, Span, Time, near, spread};
    use firedrill::node::log::{Level, What};
    use firedrill::proto::Note;
    use firedrill::proto::client::process::Outcome;
    use firedrill::scenario::load::{Loaded, load};
    use firedrill::trace::run::{Run, run};

    /// Two proxies with an address between them, and two services that answer on port 80.
    const STACK: &str = r#"Stack(about: "proxies behind an address", networks: { "lan": (latency: "100us..300us", subnet: "10.0.0.0/24") }, hosts: {
        "app1": (addresses: { "lan": "10.0.0.11/24" }, runs: [HAProxy()]),
        "app2": (addresses: { "lan": "10.0.0.12/24" }, runs: [HAProxy()]),
        "lb1": (addresses: { "lan": "10.0.0.1/24" }, runs: [PROXY, Keepalived(priority: 101, vip: "10.0.0.100/24", KEEP)]),
        "lb2": (addresses: { "lan": "10.0.0.2/24" }, runs: [PROXY, Keepalived(priority: 100, vip: "10.0.0.100/24", KEEP)]),
        "user": (addresses: { "lan": "10.0.0.200/24" }, runs: [CLIENT]),
    })"#;
    const PROXY: &str = r#"HAProxy(listen: { "web": (bind: 5000, timeout_connect: "4s", timeout_client: "30m", timeout_server: "30m",
        default_server: (check: true), server: [(address: "app1:80"), (address: "app2:80")]) })"#;
    const SHORT: &str = r#"Client(connect: "10.0.0.100:5000", requests: Every("50ms"), timeout: "500ms")"#;

    fn drill(keep: &str, client: &str, body: &str) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let stack = STACK.replace("PROXY", PROXY).replace("KEEP", keep).replace("CLIENT", client);
        std::fs::write(dir.path().join("stack.ron"), stack).unwrap();
        let file = dir.path().join("drill.ron");
        std::fs::write(&file, format!(r#"Drill(about: "a test", stack: "stack.ron", {body})"#)).unwrap();
        match load(file.to_str().unwrap(), &[], None) {
            Ok(l) => l,
            Err(r) => panic!("{}", r.iter().map(|r| r.render(false)).collect::<String>()),
        }
    }
    fn runs(l: &Loaded, seeds: u64) -> Vec<Run> {
        (1..=seeds).map(|seed| run(&l.stack, &l.drill, seed, Level::Story, true)).collect()
    }
    fn mark(r: &Run, kind: &str, host: &str, after: Time) -> Option<Time> {
        r.marks.iter().find(|m| m.kind == kind && r.host(m.host) == host && m.at >= after).map(|m| m.at)
    }
    fn fault(r: &Run, n: usize) -> Time {
        r.marks
            .iter()
            .filter(|m| matches!(m.kind, "fault" | "healed"))
            .nth(n - 1)
            .expect("the fault fires")
            .at
    }
    fn takeovers(l: &Loaded, seeds: u64) -> Vec<Span> {
        let all = runs(l, seeds);
        all.iter()
            .map(|r| mark(r, "vip_up", "lb2", fault(r, 1)).expect("takeover").since(fault(r, 1)))
            .collect()
    }

    #[test]
    fn hap_16_the_address_moves_within_its_time_and_new_sessions_work() {
        let l = drill("", SHORT, r#"until: "50s", faults: [At("30s..31s", PowerOff("lb1"))]"#);
        spread("power off", &takeovers(&l, 60), 2_609, 3_610);
        for r in runs(&l, 10) {
            let (down, up) = (fault(&r, 1), mark(&r, "vip_up", "lb2", fault(&r, 1)).unwrap());
            let outage = r.outages(true).into_iter().max_by_key(|o| o.length()).expect("an outage");
            assert!(outage.over && outage.from >= down && outage.to <= up + Span::secs(2), "{outage:?}");
            assert!(mark(&r, "backend_down", "lb2", down).is_none(), "the other proxy knows its servers");
        }
        let l = drill("", SHORT, r#"until: "50s", faults: [At("30s..31s", Stop("lb1", "keepalived"))]"#);
        for t in takeovers(&l, 20) {
            near("clean stop", t, 609, 20);
        }
    }

    #[test]
    fn hap_16_sessions_through_the_lost_proxy_die() {
        let session = r#"Client(connect: "10.0.0.100:5000", protocol: Session, requests: Every("200ms"), timeout: "60s")"#;
        let l = drill("", session, r#"until: "60s", faults: [At("30s..31s", PowerOff("lb1"))]"#);
        for r in runs(&l, 20) {
            let up = mark(&r, "vip_up", "lb2", fault(&r, 1)).unwrap();
            let broken = r.log.iter().find_map(|e| match &e.what {
                What::Note(Note::Client(n)) if n.outcome == Outcome::Reset => Some(e.at),
                _ => None,
            });
            // The next retransmission after the move meets a host that does not know the session.
            let after = broken.expect("a reset").since(up);
            assert!(after <= Span::secs(4), "{after}");
        }
    }

    #[test]
    fn hap_17_a_killed_haproxy_is_noticed_by_the_script_and_then_costs_the_skew() {
        let keep = r#"track_script: [(script: Running("haproxy"), interval: "2s", fall: 2)]"#;
        let l = drill(keep, SHORT, r#"until: "60s", faults: [At("30s..32s", Kill("lb1", "haproxy"))]"#);
        let mut all = Vec::new();
        for r in runs(&l, 60) {
            let f = mark(&r, "fault_state", "lb1", fault(&r, 1)).expect("FAULT");
            all.push(f.since(fault(&r, 1)));
            near("then the skew", mark(&r, "vip_up", "lb2", f).unwrap().since(f), 609, 2);
            // Between, the address is at a host that refuses.
            assert!(
                r.outages(true).iter().any(|o| o.length() > Span::secs(2) && o.length() < Span::ms(5_700))
            );
        }
        spread("two failures at two seconds", &all, 2_000, 4_000);
        // The shorthand: once a second, the first failure counts.
        let l = drill(
            r#"track: "haproxy""#,
            SHORT,
            r#"until: "60s", faults: [At("30s..32s", Kill("lb1", "haproxy"))]"#,
        );
        for t in takeovers(&l, 30) {
            assert!(t.0 <= 1_609 * MS + 4 * EPS, "{t}");
        }
    }

    #[test]
    fn hap_17_a_script_that_looks_for_the_process_keeps_the_address_at_a_proxy_without_servers() {
        let faults = r#"[At("30s", Cut("lb1", from: Hosts(["app1", "app2"])))]"#;
        let l = drill(r#"track: "haproxy""#, SHORT, &format!(r#"until: "80s", faults: {faults}"#));
        for r in runs(&l, 10) {
            assert!(mark(&r, "no_server", "lb1", fault(&r, 1)).is_some());
            assert_eq!(mark(&r, "vip_up", "lb2", fault(&r, 1)), None);
            assert!(!r.outages(true).last().unwrap().over, "the other proxy would have had two");
        }
        // A frozen proxy passes the script too.
        let l = drill(
            r#"track: "haproxy""#,
            SHORT,
            r#"until: "60s", faults: [At("30s", Pause("lb1", "haproxy"))]"#,
        );
        for r in runs(&l, 5) {
            assert_eq!(mark(&r, "vip_up", "lb2", fault(&r, 1)), None);
        }
    }

    #[test]
    fn hap_18_with_nopreempt_the_address_stays_where_it_is() {
        let back = r#"until: "100s", faults: [At("30s", PowerOff("lb1")), At("40s..41s", PowerOn("lb1"))]"#;
        for r in runs(&drill("nopreempt: true", SHORT, back), 10) {
            assert_eq!(mark(&r, "vip_up", "lb1", fault(&r, 2)), None);
        }
        // Without it, it comes back one own master-down time (priority 101: 3.605 s) after the start.
        for r in runs(&drill("", SHORT, back), 10) {
            let start = mark(&r, "backup", "lb1", fault(&r, 2)).unwrap();
            near("preempts", mark(&r, "vip_up", "lb1", start).unwrap().since(start), 3_605, 2);
        }
    }

    #[test]
    fn hap_19_a_partition_makes_two_masters_until_it_heals() {
        let l = drill(
            "",
            SHORT,
            r#"until: "60s", faults: [At("30s", Cut("lb1", from: "lb2")), At("40s..41s", Heal)]"#,
        );
        for r in runs(&l, 40) {
            let v = r.violations.iter().find(|v| v.invariant == "TwoMasters").expect("two masters");
            assert!(v.to >= fault(&r, 2));
            let gone = mark(&r, "backup", "lb2", fault(&r, 2)).expect("the lower one leaves");
            assert!(gone.since(fault(&r, 2)) <= Span::ms(1_020));
            // Two proxies at work do no harm: both ask the same servers.
            assert!(r.marks.iter().all(|m| m.kind != "backend_down"));
        }
    }
}

// ---- in front of Patroni ------------------------------------------------------------------------------------------------

/// B6 of the specification with real databases: what Patroni does and what HAProxy makes of it.
mod behind {
    use super::{EPS, MS, Span, Time, spread};
    use firedrill::node::log::{Level, What};
    use firedrill::proto::Note;
    use firedrill::proto::haproxy::note::Note as Hap;
    use firedrill::scenario::load::load;
    use firedrill::trace::run::{Run, run};

    /// The measured topology: three databases, each with Patroni and a member of etcd, a proxy, a writer.
    const STACK: &str = r#"Stack(about: "Patroni behind HAProxy", networks: { "lan": (subnet: "10.0.0.0/24") }, hosts: {
        "db1": (runs: [Etcd(), Postgres(), Patroni()]),
        "db2": (runs: [Etcd(), Postgres(), Patroni()]),
        "db3": (runs: [Etcd(), Postgres(), Patroni()]),
        "hap": (runs: [HAProxy(patroni: true)]),
        "user": (runs: [Application(connect: "hap:5000", writes: Pause("60ms"), connect_timeout: "2s", statement_timeout: "2s",
            start_after: "40s")]),
    })"#;

    fn play(seed: u64, faults: &str) -> Run {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stack.ron"), STACK).unwrap();
        let file = dir.path().join("drill.ron");
        let text =
            format!(r#"Drill(about: "a test", stack: "stack.ron", until: "180s", faults: [{faults}])"#);
        std::fs::write(&file, text).unwrap();
        match load(file.to_str().unwrap(), &[], None) {
            Ok(l) => run(&l.stack, &l.drill, seed, Level::Story, true),
            Err(r) => panic!("{}", r.iter().map(|r| r.render(false)).collect::<String>()),
        }
    }
    /// When Patroni took the leader key, and where, from a time on.
    fn elected(r: &Run, after: Time) -> Option<(Time, String)> {
        let patroni = |m: &&firedrill::trace::marks::Mark| {
            m.kind == "leader_elected"
                && m.at >= after
                && m.pid.is_some_and(|p| r.processes[p.0 as usize] == "patroni")
        };
        r.marks.iter().find(patroni).map(|m| (m.at, r.host(m.host).to_owned()))
    }
    fn went(r: &Run, up: bool, server: &str, after: Time) -> Option<Time> {
        let hit = |n: &Hap| match n {
            Hap::Down { section, server: s, .. } => !up && &**section == "primary" && &**s == server,
            Hap::Up { section, server: s, .. } => up && &**section == "primary" && &**s == server,
            _ => false,
        };
        r.log.iter().find_map(|e| match &e.what {
            What::Note(Note::HAProxy(n)) if e.at >= after && hit(n) => Some(e.at),
            _ => None,
        })
    }
    /// A run in which something happens to the primary, at a phase of its own; the primary's name.
    fn hit(seed: u64, fault: &str) -> (Run, String, Time) {
        let (_, primary) = elected(&play(seed, ""), Time::ZERO).expect("a primary");
        let at = 80_000 + seed * 618 % 10_000;
        let r = play(seed, &format!(r#"At("{at}ms", {})"#, fault.replace("PRIMARY", &primary)));
        (r, primary, Time(at * MS))
    }

    #[test]
    fn the_host_of_the_primary_loses_its_power() {
        let (mut down, mut up) = (Vec::new(), Vec::new());
        for seed in 1..=40 {
            let (r, old, t) = hit(seed, r#"PowerOff("PRIMARY")"#);
            down.push(went(&r, false, &old, t).expect("the old one is down").since(t));
            let (lock, new) = elected(&r, t).expect("a new primary");
            let ready = went(&r, true, &new, lock).expect("the new one is up");
            up.push(ready.since(lock));
            // New sessions work with the first UP: each try before was closed at once.
            let outage = r.outages(true).into_iter().max_by_key(|o| o.length()).expect("an outage");
            assert!(
                outage.over && outage.to >= ready && outage.to.since(ready) < Span::ms(250),
                "{outage:?}"
            );
        }
        spread("old down", &down, 15_000, 18_000);
        spread("new up after the lock", &up, 3_000, 6_000);
    }

    #[test]
    fn patroni_alone_is_killed_and_the_healthy_primary_is_cut_off() {
        let mut down = Vec::new();
        for seed in 1..=40 {
            let (r, old, t) = hit(seed, r#"Kill("PRIMARY", "patroni")"#);
            let gone = went(&r, false, &old, t).expect("the old one is down");
            down.push(gone.since(t));
            let (lock, _) = elected(&r, t).expect("a new primary");
            assert!(lock.since(gone) > Span::secs(10), "the proxy is first, by far");
            let first = r.outages(true).into_iter().find(|o| o.from >= t).expect("an outage").from;
            assert!(first.since(gone).0.max(gone.since(first).0) < 2_100 * MS, "from then on clients fail");
        }
        spread("old down", &down, 6_000, 9_000);
    }

    #[test]
    fn the_database_alone_is_killed_and_the_proxy_never_notices() {
        for seed in 1..=20 {
            let (r, old, t) = hit(seed, r#"Kill("PRIMARY", "postgres")"#);
            assert_eq!(went(&r, false, &old, t), None, "seed {seed}");
            let outage = r.outages(true).into_iter().find(|o| o.from >= t - Span(EPS)).expect("an outage");
            assert!(outage.over && outage.length() < Span::secs(25), "{outage:?}");
        }
    }
}
