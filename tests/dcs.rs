//! Patroni's client of its DCS: how long a call takes to fail, sessions and leases, what wakes the loop; over etcd and over Consul.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{Chance, Engine, MS, Model, SEC, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::net::rules::{Effect, HostSet, Rule};
use firedrill::node::disk::End;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{Action, HostId, Input, Pid, Process, Tcp, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::consul::Place;
use firedrill::proto::consul::config::Expiry;
use firedrill::proto::consul::local::DNS_PORT;
use firedrill::proto::consul::msg::NodeId;
use firedrill::proto::consul::server::HTTP_PORT;
use firedrill::proto::dns::msg::Dns;
use firedrill::proto::etcd::member::CLIENT_PORT;
use firedrill::proto::http::Http;
use firedrill::proto::patroni::REST_PORT;
use firedrill::proto::patroni::dcs::{
    self, Cause, Client, Cluster, ConsulOptions, DcsError, Key, MemberData, Op, Reply, Setup, Status, Timing,
};
use firedrill::proto::patroni::process::Dcs;
use firedrill::proto::raft::{Member, Role, Rules};
use firedrill::proto::{Cx, Daemon, Files, Msg, Note, consul, etcd, label};
use firedrill::scenario::types::Sysctl;
use std::sync::Arc;
use std::task::Poll;

/// What a probe does, in place of the HA loop.
#[derive(Clone, Debug)]
enum Do {
    Get,
    Acquire,
    Update(u64),
    Touch(&'static str),
    Release,
    Watch(Span),
    Call(Op),
    /// The member tells this role of itself, and its REST interface answers 200 to it.
    Role(&'static str),
    /// Asks the agent of a host for a name.
    Dns(u16, &'static str),
}
#[derive(Clone, Debug)]
struct Done {
    begun: Time,
    ended: Time,
    result: dcs::Result,
}
/// A Patroni without a head: it makes calls at given times.
#[derive(Clone)]
struct Probe {
    setup: Setup,
    timing: Timing,
    client: Client,
    script: Vec<(Span, Do)>,
    at: usize,
    begun: Time,
    done: Vec<Done>,
    view: Arc<Cluster>,
    role: &'static str,
    answers: Vec<(Time, Dns)>,
}
const NEXT: Timer = Timer(0);
const FIRST: u16 = 1;

impl Probe {
    fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        let mut state = match input {
            Input::Start => {
                ctx.act(Action::Listen(REST_PORT, 128));
                ctx.act(Action::Bind(5353));
                self.begun = ctx.now;
                self.client.begin(Op::Connect, ctx)
            }
            Input::Tcp(c, Tcp::Data(Msg::Http(Http::Request(_, path, _)))) => {
                let status = if path.strip_prefix('/') == Some(self.role) { 200 } else { 503 };
                ctx.act(Action::TcpSend(*c, Msg::Http(Http::Response(status, None))));
                Poll::Pending
            }
            Input::Packet { msg: Msg::Dns(answer), .. } => {
                self.answers.push((ctx.now, Dns::clone(answer)));
                Poll::Pending
            }
            Input::Timer(NEXT) => {
                let (_, what) = self.script[self.at].clone();
                self.at += 1;
                self.begun = ctx.now;
                if let Do::Dns(host, name) = what {
                    let msg = Msg::Dns(Box::new(Dns::Query(self.at as u16, name.into())));
                    let (from, to) = (Endpoint::new(Ip::NONE, 5353), Endpoint::new(ip(host), DNS_PORT));
                    ctx.act(Action::Send { from, to, net: None, plane: Plane::dns, msg });
                    return self.next(ctx);
                }
                let leader = self.view.leader.clone();
                let op = match what {
                    Do::Get => Op::GetCluster,
                    Do::Acquire => Op::Acquire,
                    Do::Update(optime) => {
                        let status = Some(Status { optime, ..Status::default() });
                        Op::UpdateLeader { leader: leader.expect("a leader"), status, failsafe: None }
                    }
                    Do::Touch(state) => Op::TouchMember(Arc::new(data(state))),
                    Do::Role(role) => {
                        self.role = role;
                        Op::TouchMember(Arc::new(MemberData { role: role.into(), ..data("running") }))
                    }
                    Do::Dns(..) => unreachable!("no call"),
                    Do::Release => Op::DeleteLeader { leader, optime: None },
                    Do::Watch(nap) => {
                        let mine = self.view.leader_name() == Some(&self.setup.name);
                        Op::Watch(leader.filter(|_| !mine).map(|l| l.version), nap)
                    }
                    Do::Call(op) => op,
                };
                let poll = self.client.poll(input, ctx);
                assert!(poll.is_pending());
                self.client.begin(op, ctx)
            }
            input => self.client.poll(input, ctx),
        };
        while let Poll::Ready(result) = state {
            if let Ok(Reply::Cluster(view)) = &result {
                self.view = view.clone();
            }
            self.done.push(Done { begun: self.begun, ended: ctx.now, result });
            state = Poll::Pending;
            self.next(ctx);
        }
        if let Input::Tcp(c, Tcp::Closed) = input {
            ctx.act(Action::Close(*c));
        }
    }
    fn next(&self, ctx: &mut Cx<'_>) {
        if let Some((at, _)) = self.script.get(self.at) {
            ctx.set_timer(NEXT, (Time::ZERO + *at).since(ctx.now));
        }
    }
}
fn data(state: &str) -> MemberData {
    MemberData {
        conn_url: "postgres://10.0.0.4:5432/postgres".into(),
        api_url: "http://10.0.0.4:8008/patroni".into(),
        state: state.into(),
        role: "replica".into(),
        ..MemberData::default()
    }
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
enum Node {
    Daemon(Daemon),
    Probe(Box<Probe>),
}
impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = Files;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self {
            Node::Daemon(d) => d.on(input, ctx),
            Node::Probe(p) => p.on(&input, ctx),
        }
    }
    fn reset(&mut self, end: End, files: &mut Files) {
        match self {
            Node::Daemon(d) => d.reset(end, files),
            Node::Probe(p) => {
                p.client = Client::new(&p.setup, p.timing);
                p.at = p.script.len();
            }
        }
    }
}

fn ip(n: u16) -> Ip {
    Ip(0x0A00_0001 + u32::from(n))
}
struct Lab {
    world: World<Node>,
    notes: Vec<(Time, HostId, Note)>,
    acts: Vec<(Span, Act)>,
}
/// What happens to the world from outside.
#[derive(Clone)]
enum Act {
    Boot(u16),
    Off(u16),
    Kill(Pid),
    Start(Pid),
    Pause(Pid),
    /// This host and all others no longer hear each other.
    Cut(u16),
    /// These two no longer hear each other.
    Part(u16, u16),
    Heal,
    Call(Pid, Msg),
}
impl Model for Lab {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.world.log.entries.clear();
        match event {
            Ev::Outer(n) => match self.acts[n as usize].1.clone() {
                Act::Boot(h) => self.world.boot_now(HostId(h), s),
                Act::Off(h) => self.world.power_off(HostId(h), s),
                Act::Kill(p) => self.world.kill(p, s),
                Act::Start(p) => self.world.start_now(p, s),
                Act::Pause(p) => self.world.pause(p, false),
                Act::Cut(h) => {
                    let others = HostSet::new((0..9).filter(|o| *o != h).collect());
                    let one = HostSet::new(vec![h]);
                    let by = s.current();
                    for (from, to) in [(one.clone(), others.clone()), (others, one)] {
                        self.world.rules.push(Rule { from, to, plane: None, effect: Effect::Drop, by });
                    }
                }
                Act::Part(a, b) => {
                    let by = s.current();
                    for (a, b) in [(a, b), (b, a)] {
                        let (from, to) = (HostSet::new(vec![a]), HostSet::new(vec![b]));
                        self.world.rules.push(Rule { from, to, plane: None, effect: Effect::Drop, by });
                    }
                }
                Act::Heal => self.world.rules.clear(),
                Act::Call(p, msg) => self.world.call(p, msg, s),
            },
            event => self.world.handle(event, s),
        }
        for e in &self.world.log.entries {
            if let (Some(host), What::Note(n)) = (e.host, &e.what) {
                self.notes.push((e.at, host, n.clone()));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Members on hosts 0 to 2: 3.4.
    Etcd,
    /// The same with pre-vote, as newer versions have it.
    Etcd35,
    /// Servers on hosts 0 to 2, agents on the others.
    Consul,
}
struct Run(Engine<Lab>);
/// Probes and what they do: the host (0 to 2 with a member of the store, 3 and 4 without one) and the script.
type Probes = Vec<(u16, Vec<(Span, Do)>)>;
impl Run {
    fn new(kind: Kind, seed: u64, probes: Probes, acts: Vec<(Span, Act)>) -> Run {
        let least = Span::secs(10);
        Run::with(kind, seed, probes, acts, Timing::default(), ConsulOptions::default(), least)
    }
    /// Processes are numbered by host, the store first.
    fn with(
        kind: Kind,
        seed: u64,
        probes: Probes,
        acts: Vec<(Span, Act)>,
        timing: Timing,
        options: ConsulOptions,
        session_ttl_min: Span,
    ) -> Run {
        let mut world = World::new(seed, Level::Story, label);
        let latency = SpanRange::new(Span::us(100), Span::us(300));
        let net = world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
        let zero = SpanRange::exactly(Span::ZERO);
        for i in 0..5u16 {
            let h = world.add_host(&format!("n{i}"), Sysctl::default().neigh(), zero, zero);
            world.plug(h, net, Cidr { ip: ip(i), prefix: 24 });
            let servers: Vec<Ip> = (0..3).map(ip).collect();
            let place = Place {
                me: NodeId(i),
                nodes: (0..5).map(|n| (format!("n{n}").into(), ip(n))).collect(),
                servers: (0..3).map(NodeId).collect(),
                session_ttl_min,
            };
            let daemon = match (kind, i < 3) {
                (Kind::Etcd | Kind::Etcd35, true) => {
                    let rules = Rules::etcd(kind == Kind::Etcd35);
                    let config = etcd::Config { me: Member(i as u8), members: servers, rules };
                    Some(Daemon::Etcd(Box::new(etcd::Etcd::new(config))))
                }
                (Kind::Etcd | Kind::Etcd35, false) => None,
                (Kind::Consul, true) => {
                    let config = consul::Config {
                        me: Member(i as u8),
                        servers,
                        rules: Rules::consul(5, true),
                        rpc_hold_timeout: Span::secs(7),
                        expiry: Expiry::Exact,
                        place,
                    };
                    Some(Daemon::ConsulServer(Box::new(consul::Server::new(config))))
                }
                (Kind::Consul, false) => Some(Daemon::ConsulAgent(consul::Agent::new(servers, place))),
            };
            if let Some(daemon) = daemon {
                world.add_proc(h, "store", None, Node::Daemon(daemon));
            }
            if let Some((_, script)) = probes.iter().find(|p| p.0 == i) {
                let dcs = match kind {
                    Kind::Etcd | Kind::Etcd35 => {
                        Dcs::Etcd((0..3).map(|m| Endpoint::new(ip(m), CLIENT_PORT)).collect())
                    }
                    Kind::Consul => Dcs::Consul(Endpoint::new(ip(i), HTTP_PORT)),
                };
                let setup = Setup {
                    dcs,
                    namespace: "service".into(),
                    scope: "demo".into(),
                    name: format!("n{i}").into(),
                    consul: options.clone(),
                    first_timer: FIRST,
                };
                let probe = Probe {
                    client: Client::new(&setup, timing),
                    setup,
                    timing,
                    script: script.clone(),
                    at: 0,
                    begun: Time::ZERO,
                    done: Vec::new(),
                    view: Arc::default(),
                    role: "replica",
                    answers: Vec::new(),
                };
                world.add_proc(h, "probe", None, Node::Probe(Box::new(probe)));
            }
        }
        let mut all: Vec<(Span, Act)> = (0..5).map(|i| (Span::ZERO, Act::Boot(i))).collect();
        all.extend(acts);
        let mut e = Engine::new(Lab { world, notes: Vec::new(), acts: all.clone() });
        for (n, (at, _)) in all.iter().enumerate() {
            e.sched.at(Time::ZERO + *at, Ev::Outer(n as u32));
        }
        Run(e)
    }
    fn to(&mut self, at: Span) {
        self.0.run_until(Time(at.0));
    }
    fn probe(&self, host: u16) -> &Probe {
        let procs = &self.0.model.world.procs;
        let mine = procs.iter().filter(|p| p.host == HostId(host));
        mine.filter_map(|p| if let Node::Probe(p) = &p.logic { Some(&**p) } else { None }).next().unwrap()
    }
    fn daemon(&self, pid: u16) -> &Daemon {
        match &self.0.model.world.procs[pid as usize].logic {
            Node::Daemon(d) => d,
            Node::Probe(_) => panic!("a probe"),
        }
    }
    /// What the majority holds: the value of a key of the cluster.
    fn holds(&self, key: &str) -> Option<String> {
        let daemons = self.0.model.world.procs.iter().filter_map(|p| match &p.logic {
            Node::Daemon(d) => Some(d),
            Node::Probe(_) => None,
        });
        let of_etcd = daemons.clone().filter_map(|d| if let Daemon::Etcd(e) = d { Some(&**e) } else { None });
        let of_consul =
            daemons.filter_map(|d| if let Daemon::ConsulServer(s) = d { Some(&**s) } else { None });
        let etcd = etcd::majority(of_etcd).and_then(|s| s.get(&format!("/service/demo/{key}")));
        let consul = consul::majority(of_consul).and_then(|s| s.get(&format!("service/demo/{key}")));
        etcd.map(|kv| kv.value.to_string()).or_else(|| consul.map(|e| e.value.to_string()))
    }
    /// When a key is gone, looking every millisecond from then on.
    fn gone(&mut self, key: &str, from: Span) -> Span {
        let mut at = from;
        self.to(at);
        while self.holds(key).is_some() {
            at = Span(at.0 + MS);
            self.to(at);
            assert!(at < Span(from.0 + 100 * SEC), "{key} is still there");
        }
        at
    }
    /// The marks of a kind, with what they say.
    fn marks(&self, kind: &str) -> Vec<(Span, String)> {
        let all = self.0.model.notes.iter().filter(|n| n.2.mark() == Some(kind));
        all.map(|(at, _, n)| (Span(at.0), format!("{}: {}", n.text().0, n.text().1))).collect()
    }
    fn done(&self, host: u16) -> &[Done] {
        &self.probe(host).done
    }
    fn leader(&self) -> u16 {
        let procs = self.0.model.world.procs.iter();
        let leads = |d: &Daemon| match d {
            Daemon::Etcd(e) => e.raft().role() == Role::Leader,
            Daemon::ConsulServer(s) => s.raft().role() == Role::Leader,
            _ => false,
        };
        let mut of = procs.filter(|p| matches!(&p.logic, Node::Daemon(d) if leads(d)));
        of.next().expect("a leader").host.0
    }
}
fn took(d: &Done) -> u64 {
    d.ended.since(d.begun).0
}
/// The script of a primary that has the lock: it takes it at 20 s.
fn primary() -> Vec<(Span, Do)> {
    vec![
        (Span::secs(30), Do::Touch("running")),
        (Span::secs(31), Do::Get),
        (Span::secs(31), Do::Acquire),
        (Span::secs(32), Do::Get),
        (Span::secs(33), Do::Update(100)),
        (Span::secs(34), Do::Get),
    ]
}

#[test]
fn a_primary_takes_the_lock_publishes_and_lets_go() {
    for kind in [Kind::Etcd, Kind::Consul] {
        let mut script = primary();
        script.push((Span::secs(35), Do::Release));
        script.push((Span::secs(36), Do::Get));
        let mut r = Run::new(kind, 1, vec![(3, script)], Vec::new());
        r.to(Span::secs(40));
        let done: Vec<&dcs::Result> = r.done(3).iter().map(|d| &d.result).collect();
        assert_eq!(done.len(), 9, "{kind:?} {done:?}");
        assert_eq!(*done[1], Ok(Reply::Done(true)), "touched");
        assert_eq!(*done[3], Ok(Reply::Done(true)), "acquired");
        let Ok(Reply::Cluster(view)) = done[4] else { panic!("{:?}", done[4]) };
        assert_eq!(view.leader_name(), Some("n3"));
        assert_eq!(view.leader_member().unwrap().data, data("running"));
        assert_eq!(view.leader.as_ref().unwrap().session, r.probe(3).client.session());
        assert_eq!(*done[5], Ok(Reply::Done(true)), "updated");
        let Ok(Reply::Cluster(view)) = done[6] else { panic!("{:?}", done[6]) };
        assert_eq!(view.status.optime, 100);
        assert_eq!(*done[7], Ok(Reply::Done(true)), "released");
        let Ok(Reply::Cluster(view)) = done[8] else { panic!("{:?}", done[8]) };
        assert!(view.is_unlocked() && view.member("n3").is_some());
    }
}

#[test]
fn d_on_consul_is_what_the_retries_make_of_it() {
    // The agent stops answering, or does not exist any more.
    for (hangs, min, max, mean) in [(true, 10_290, 11_910, 11_100), (false, 8_200, 10_000, 9_300)] {
        let mut all = Vec::new();
        for seed in 1..=120u64 {
            let mut script = primary();
            script.push((Span::secs(40), Do::Update(200)));
            let agent = Pid(3);
            let act = if hangs { Act::Pause(agent) } else { Act::Kill(agent) };
            let mut r = Run::new(Kind::Consul, seed, vec![(3, script)], vec![(Span::secs(39), act)]);
            r.to(Span::secs(60));
            let d = r.done(3).last().unwrap();
            assert!(
                matches!(d.result, Err(DcsError { cause, took: t }) if t.0 == took(d)
                && cause == if hangs { Cause::TimedOut } else { Cause::Refused }),
                "{d:?}"
            );
            assert!((min..=max).contains(&(took(d) / MS)), "hangs {hangs}: {}", took(d) / MS);
            all.push(took(d) / MS);
        }
        let (low, high) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
        assert!(high - low > (max - min) * 6 / 10, "spread {low} to {high}");
        let found = all.iter().sum::<u64>() / all.len() as u64;
        assert!(found.abs_diff(mean) < 150, "mean {found}");
    }
}

#[test]
fn d_on_etcd_of_a_host_that_is_cut_off() {
    // With a member of its own, which answers and has no leader, and without one.
    for (host, min, max) in [(0u16, 8_200, 11_700), (3, 8_200, 11_700)] {
        let mut all = Vec::new();
        for seed in 1..=120u64 {
            let mut script = primary();
            script.push((Span::secs(40), Do::Get));
            script.push((Span::secs(40), Do::Update(200)));
            let mut r =
                Run::new(Kind::Etcd, seed, vec![(host, script)], vec![(Span::secs(36), Act::Cut(host))]);
            r.to(Span::secs(60));
            let done = r.done(host);
            let read = &done[done.len() - 2];
            assert!(took(read) < MS && read.result.is_ok(), "the view comes from the cache: {read:?}");
            let d = done.last().unwrap();
            assert!(matches!(d.result, Err(DcsError { took: t, .. }) if t.0 == took(d)), "{d:?}");
            assert!((min..=max).contains(&(took(d) / MS)), "host {host}: {}", took(d) / MS);
            all.push(took(d) / MS);
        }
        let mean = all.iter().sum::<u64>() / all.len() as u64;
        if host == 0 {
            // Where the own member stands in the lists, and the jitter, make the difference.
            assert!((9_800..=10_500).contains(&mean), "mean {mean}");
            assert!(*all.iter().min().unwrap() < 9_000 && *all.iter().max().unwrap() > 11_600);
        } else {
            assert_eq!(mean, 11_666, "one answer too late, five connections that do not come");
        }
    }
}

#[test]
fn d_on_etcd_with_all_members_dead_is_the_wait_for_the_cache() {
    for seed in 1..=20u64 {
        let mut script = primary();
        script.push((Span::secs(40), Do::Get));
        let kill = |m| (Span::secs(36), Act::Kill(Pid(m)));
        let mut r = Run::new(Kind::Etcd, seed, vec![(3, script)], vec![kill(0), kill(1), kill(2)]);
        r.to(Span::secs(60));
        let d = r.done(3).last().unwrap();
        assert_eq!(d.result, Err(DcsError { cause: Cause::NoCache, took: Span::secs(10) }));
        assert_eq!(took(d), 10 * SEC);
    }
}

/// The script of a member without the lock, which renews its session and then waits.
fn replica(until: u64) -> Vec<(Span, Do)> {
    // The first watch only takes away what has woken it before.
    let mut script = vec![(Span::ms(30_500), Do::Touch("running")), (Span::secs(35), Do::Get)];
    script.push((Span::secs(35), Do::Watch(Span::secs(9))));
    script.extend(
        (36..until)
            .step_by(10)
            .flat_map(|at| [(Span::secs(at), Do::Watch(Span::secs(9))), (Span::secs(at), Do::Get)]),
    );
    script
}
/// The watches of a host: begin, end, woken.
fn watches(r: &Run, host: u16) -> Vec<(Span, Span, bool)> {
    let woken = |d: &Done| match d.result {
        Ok(Reply::Woken(w)) => Some((Span(d.begun.0), Span(d.ended.0), w)),
        _ => None,
    };
    r.done(host).iter().filter_map(woken).collect()
}

#[test]
fn etc_09_a_primary_that_is_cut_off_sees_itself_lead_and_fails_with_the_keepalive() {
    let mut all = Vec::new();
    for seed in 1..=100u64 {
        // Cycles every 10 s, beginning with a renewal at 40 s; the cut comes at any time after it.
        let mut script = primary();
        script.extend(
            [(40, 200), (50, 300)]
                .into_iter()
                .flat_map(|(at, lsn)| [(Span::secs(at), Do::Get), (Span::secs(at), Do::Update(lsn))]),
        );
        let cut = Span::ms(40_100 + seed * 98);
        let host = if seed % 2 == 0 { 0 } else { 3 };
        let mut r = Run::new(Kind::Etcd, seed, vec![(host, script)], vec![(cut, Act::Cut(host))]);
        r.to(Span::ms(35_000));
        let on_leader = r.leader() == host;
        r.to(Span::secs(80));
        let done = r.done(host);
        let Ok(Reply::Cluster(view)) = &done[done.len() - 2].result else { panic!("{done:?}") };
        assert_eq!(view.leader_name(), Some(&*format!("n{host}")), "it sees itself");
        let d = done.last().unwrap();
        if d.result.is_ok() {
            // The own member led, and had not noticed yet that it was alone: it renewed.
            assert!(on_leader && 50 * SEC - cut.0 < 2 * SEC, "seed {seed}, cut {cut}");
            continue;
        }
        let after = d.ended.0 - cut.0;
        assert!((8_200 * MS..=21_700 * MS).contains(&after), "{}", Span(after));
        all.push(after);
    }
    assert!(all.iter().max().unwrap() - all.iter().min().unwrap() > 9 * SEC);
}

#[test]
fn etc_10_a_replica_that_is_cut_off_keeps_its_view() {
    for (seed, host) in [(1, 4), (2, 4), (3, 2), (4, 2)] {
        let probes = vec![(3, primary()), (host, replica(120))];
        let mut r = Run::new(Kind::Etcd, seed, probes, vec![(Span::secs(45), Act::Cut(host))]);
        r.to(Span::secs(130));
        assert_eq!(r.holds("leader"), None, "the lease is over for the others");
        for d in r.done(host).iter().filter(|d| d.ended > Time::secs(46)) {
            if let Ok(Reply::Cluster(view)) = &d.result {
                assert_eq!(view.leader_name(), Some("n3"), "at {}", d.ended);
            }
        }
        assert!(r.probe(host).view.leader_name() == Some("n3"));
    }
}

#[test]
fn etc_11_replicas_wake_when_the_leader_publishes_and_when_the_key_goes() {
    for seed in 1..=20u64 {
        let mut script = primary();
        script.extend([(Span::secs(40), Do::Update(200)), (Span::secs(50), Do::Get)]);
        script.push((Span::secs(50), Do::Call(Op::Set(Key::Config, r#"{"ttl":30}"#.into(), None))));
        script.push((Span::secs(60), Do::Call(Op::Set(Key::Config, r#"{"ttl":40}"#.into(), None))));
        script.push((Span::secs(70), Do::Get));
        script.push((Span::secs(70), Do::Release));
        let mut r = Run::new(Kind::Etcd, seed, vec![(3, script), (4, replica(90))], Vec::new());
        r.to(Span::secs(100));
        let seen = watches(&r, 4);
        let ends: Vec<(u64, bool)> = seen.iter().skip(1).map(|w| (w.1.0 / MS, w.2)).collect();
        assert!(ends[0].1 && (40_000..=40_100).contains(&ends[0].0), "status: {ends:?}");
        // The first /config wakes nobody: there was none before. The nap is half a second longer than asked for.
        assert_eq!(ends[1], (55_500, false));
        assert!(ends[2].1 && (60_000..=60_100).contains(&ends[2].0), "config: {ends:?}");
        assert!(ends[3].1 && (70_000..=70_100).contains(&ends[3].0), "leader: {ends:?}");
    }
}

#[test]
fn etc_12_a_release_does_not_delete_the_key_of_a_successor() {
    for kind in [Kind::Etcd, Kind::Consul] {
        let mut old = primary();
        // It believes to lead and lets go, long after its key has gone to another.
        old.push((Span::secs(90), Do::Release));
        let mut new = vec![(Span::secs(40), Do::Touch("running"))];
        new.extend((45..100).step_by(5).map(|at| (Span::secs(at), Do::Touch("running"))));
        let at = new.partition_point(|s| s.0 < Span::secs(80));
        new.insert(at, (Span::secs(80), Do::Acquire));
        let mut r = Run::new(kind, 3, vec![(3, old), (4, new)], Vec::new());
        r.to(Span::secs(95));
        let gave = r.done(3).last().unwrap();
        assert_eq!(gave.result, Ok(Reply::Done(false)), "{kind:?}");
        assert_eq!(r.holds("leader").as_deref(), Some("n4"));
    }
}

#[test]
fn etc_13_an_answer_of_an_older_term_is_refused() {
    for seed in 1..=10u64 {
        let mut script = primary();
        script.push((Span::secs(46), Do::Get));
        script.push((Span::secs(46), Do::Update(200)));
        script.extend((60..75).step_by(5).map(|at| (Span::secs(at), Do::Get)));
        // Member 0 loses the others, not its clients; they elect twice without it, and then only it is left.
        let ask =
            |m| Msg::Etcd(Box::new(etcd::msg::Msg::Request(0, etcd::msg::Request::MoveLeader(Member(m)))));
        let acts = vec![
            (Span::secs(36), Act::Call(Pid(1), ask(1))),
            (Span::secs(40), Act::Part(0, 1)),
            (Span::secs(40), Act::Part(0, 2)),
            (Span::secs(43), Act::Call(Pid(1), ask(2))),
            (Span::secs(44), Act::Call(Pid(2), ask(1))),
            (Span::secs(58), Act::Kill(Pid(1))),
            (Span::secs(58), Act::Kill(Pid(2))),
        ];
        let mut r = Run::new(Kind::Etcd35, seed, vec![(3, script)], acts);
        r.to(Span::secs(57));
        assert_eq!(r.done(3).last().unwrap().result, Ok(Reply::Done(true)), "updated by the others");
        let Daemon::Etcd(alone) = r.daemon(0) else { panic!("etcd") };
        assert_eq!(alone.store().get("/service/demo/status").unwrap().value.to_string(), r#"{"optime":100}"#);
        r.to(Span::secs(90));
        let late: Vec<&Done> = r.done(3).iter().filter(|d| d.begun >= Time::secs(60)).collect();
        assert!(!late.is_empty());
        for d in late {
            assert!(matches!(d.result, Err(DcsError { cause: Cause::NoCache, .. })), "{d:?}");
        }
    }
}

#[test]
fn csl_05_patroni_raises_its_session_to_what_the_servers_take() {
    let timing = Timing { ttl: Span::secs(20), loop_wait: Span::secs(5), retry_timeout: Span::secs(7) };
    let script = vec![(Span::secs(30), Do::Touch("running"))];
    let (options, least) = (ConsulOptions::default(), Span::secs(15));
    let mut r = Run::with(Kind::Consul, 1, vec![(3, script)], Vec::new(), timing, options, least);
    r.to(Span::secs(31));
    // The first try is refused; with the new time the next one 5 s later works.
    let connected = &r.done(3)[0];
    assert!(connected.result == Ok(Reply::Done(true)) && took(connected) >= 5 * SEC, "{connected:?}");
    assert_eq!(r.probe(3).client.ttl(), Span::secs(30), "twice 15 s");
    let id = r.probe(3).client.session().unwrap();
    let Daemon::ConsulServer(s) = r.daemon(r.leader()) else { panic!("a server") };
    let session = s.state().sessions().find(|s| s.0.0 == id.0).unwrap().1;
    assert_eq!(session.ttl, Span::secs(15));
}

#[test]
fn csl_13_the_end_of_the_agent_alone_does_not_end_the_session() {
    for seed in 1..=20u64 {
        let mut script = primary();
        script.push((Span::secs(40), Do::Update(200)));
        script.push((Span::secs(50), Do::Update(300)));
        let kill = Span::ms(40_050 + seed * 490);
        let mut r = Run::new(Kind::Consul, seed, vec![(3, script)], vec![(kill, Act::Kill(Pid(3)))]);
        r.to(Span::secs(65));
        let d = r.done(3).last().unwrap();
        let failed = d.ended.0 - kill.0;
        assert!(d.result.is_err() && (8_200 * MS..=20_000 * MS).contains(&failed), "{}", Span(failed));
        let lived = r.gone("leader", Span::secs(65)).0 - kill.0;
        assert!((20 * SEC..=30_100 * MS).contains(&lived), "{}", Span(lived));
    }
}

#[test]
fn csl_14_with_serf_health_the_death_of_a_host_ends_the_session_at_once() {
    let mut all = Vec::new();
    for seed in 1..=60u64 {
        for checks in [true, false] {
            let options = ConsulOptions {
                checks: if checks { vec!["serfHealth".into()] } else { Vec::new() },
                ..ConsulOptions::default()
            };
            let off = Span::ms(40_000 + seed * 17);
            let probes = vec![(3, primary())];
            let acts = vec![(off, Act::Off(3))];
            let least = Span::secs(10);
            let mut r = Run::with(Kind::Consul, seed, probes, acts, Timing::default(), options, least);
            r.to(off);
            assert_eq!(r.holds("leader").as_deref(), Some("n3"));
            let lived = r.gone("leader", off).0 - off.0;
            assert!(r.holds("members/n3").is_none(), "the member key goes along");
            let (expired, lost) = (r.marks("lease_expired"), r.marks("node_lost"));
            assert_eq!((expired.len(), lost.len()), (1, 1), "{expired:?} {lost:?}");
            if checks {
                assert!((4_900 * MS..=8_500 * MS).contains(&lived), "{}", Span(lived));
                assert!(expired[0].1.contains("serfHealth of n3 is critical"), "{expired:?}");
                all.push(lived);
            } else {
                assert!(lived > 20 * SEC, "without checks the gossip changes nothing: {}", Span(lived));
                assert!(expired[0].1.contains("last renewal at 33.0"), "{expired:?}");
            }
        }
    }
    let (low, high) = (all.iter().min().unwrap(), all.iter().max().unwrap());
    assert!(high - low > SEC);
    let late = all.iter().filter(|t| **t > 8 * SEC).count();
    assert!(late * 20 <= all.len(), "{late} of {} take longer than 8 s", all.len());
}

fn asked(from: u64, to: u64, host: u16, name: &'static str) -> Vec<(Span, Do)> {
    (from * 10..to * 10).map(|at| (Span::ms(at * 100), Do::Dns(host, name))).collect()
}
/// The answers of a host's probe: when, and the addresses.
fn answers(r: &Run, host: u16) -> Vec<(Span, Vec<Ip>)> {
    let addresses = |(at, a): &(Time, Dns)| match a {
        Dns::Answer(_, list, ttl) => {
            assert_eq!(*ttl, Span::ZERO, "nobody may cache it");
            Some((Span(at.0), list.to_vec()))
        }
        _ => None,
    };
    r.probe(host).answers.iter().filter_map(addresses).collect()
}

#[test]
fn csl_15_the_service_follows_the_role_and_leaves_dns_with_the_host() {
    let options = ConsulOptions { register_service: true, ..ConsulOptions::default() };
    let (mut first, mut left) = (Vec::new(), Vec::new());
    for seed in 1..=30u64 {
        let script = vec![
            (Span::secs(30), Do::Role("replica")),
            (Span::secs(31), Do::Get),
            (Span::secs(40), Do::Role("primary")),
            (Span::secs(41), Do::Get),
            (Span::secs(50), Do::Role("primary")),
        ];
        let off = Span::ms(60_000 + seed * 19);
        let mut ask = asked(30, 40, 4, "replica.demo.service.consul");
        ask.extend(asked(40, 80, 4, "primary.demo.service.consul"));
        let acts = vec![(off, Act::Off(3))];
        let least = Span::secs(10);
        let probes = vec![(3, script), (4, ask)];
        let mut r = Run::with(Kind::Consul, seed, probes, acts, Timing::default(), options.clone(), least);
        r.to(Span::secs(100));
        let all = answers(&r, 4);
        let shown = |from: u64, to: u64| {
            let within = move |a: &&(Span, Vec<Ip>)| (from * SEC..to * SEC).contains(&a.0.0);
            all.iter().filter(within).map(|a| (a.0, a.1 == [ip(3)]))
        };
        // The check of a new service begins critical, and passes within its interval.
        let passed = shown(30, 40).find(|a| a.1).expect("a replica").0.0 - 30 * SEC;
        assert!(passed <= 5_200 * MS, "{}", Span(passed));
        first.push(passed);
        // One that is registered again keeps its result: the new role shows at once.
        let (at, _) = shown(40, 60).find(|a| a.1).expect("a primary");
        assert!(at <= Span::ms(40_300), "{at}");
        assert!(shown(41, 60).all(|a| a.1), "and stays");
        let (gone, _) = shown(60, 80).find(|a| !a.1).expect("it leaves");
        let after = gone.0 - off.0;
        assert!((4_900 * MS..=8_600 * MS).contains(&after), "{}", Span(after));
        left.push(after);
        let changes =
            r.0.model.notes.iter().filter(|n| matches!(&n.2, Note::Consul(consul::note::Note::Check { .. })));
        assert_eq!(changes.count(), 1, "the check changed once");
    }
    assert!(first.iter().max().unwrap() - first.iter().min().unwrap() > 2 * SEC, "the stagger: {first:?}");
}

#[test]
fn net_17_an_isolated_server_answers_dns_with_what_it_knew() {
    let options = ConsulOptions { register_service: true, ..ConsulOptions::default() };
    let script = vec![
        (Span::secs(30), Do::Role("primary")),
        (Span::secs(40), Do::Role("primary")),
        (Span::secs(61), Do::Get),
        (Span::secs(70), Do::Touch("stopped")),
    ];
    let mut here = asked(50, 80, 0, "primary.demo.service.consul");
    here.extend(asked(100, 110, 0, "primary.demo.service.consul"));
    let there = asked(50, 110, 4, "primary.demo.service.consul");
    let acts = vec![(Span::secs(60), Act::Cut(0)), (Span::secs(90), Act::Heal)];
    let least = Span::secs(10);
    let probes = vec![(3, script), (0, here), (4, there)];
    let mut r = Run::with(Kind::Consul, 5, probes, acts, Timing::default(), options, least);
    r.to(Span::secs(120));
    let last = |host: u16, before: u64| {
        answers(&r, host).into_iter().rfind(|a| a.0 < Span::secs(before)).expect("an answer").1
    };
    assert_eq!((last(0, 79), last(4, 79)), (vec![ip(3)], Vec::new()), "it does not know that it has stopped");
    assert_eq!((last(0, 109), last(4, 109)), (Vec::new(), Vec::new()), "healed");
}

#[test]
fn the_leader_moves_and_keys_go_when_an_operator_says_so() {
    for kind in [Kind::Etcd, Kind::Consul] {
        let of = |m: u8| match kind {
            Kind::Etcd | Kind::Etcd35 => {
                let ask = etcd::msg::Request::MoveLeader(Member(m));
                Msg::Etcd(Box::new(etcd::msg::Msg::Request(0, ask)))
            }
            Kind::Consul => {
                let ask = consul::msg::Request::MoveLeader(Member(m));
                Msg::Consul(Box::new(consul::msg::Msg::Request(0, Arc::new(ask))))
            }
        };
        let delete = match kind {
            Kind::Etcd | Kind::Etcd35 => {
                let then = vec![etcd::msg::Op::Delete("/service/demo/leader".into())];
                let txn = Arc::new(etcd::msg::Txn { then, ..etcd::msg::Txn::default() });
                Msg::Etcd(Box::new(etcd::msg::Msg::Request(0, etcd::msg::Request::Txn(txn))))
            }
            Kind::Consul => {
                let ask = consul::msg::Request::Delete("service/demo/leader".into(), None);
                Msg::Consul(Box::new(consul::msg::Msg::Request(0, Arc::new(ask))))
            }
        };
        let mut acts: Vec<(Span, Act)> =
            (0..3u8).map(|m| (Span::secs(40 + 2 * u64::from(m)), Act::Call(Pid(1), of(m)))).collect();
        acts.push((Span::secs(50), Act::Call(Pid(2), delete)));
        let mut r = Run::new(kind, 2, vec![(3, primary())], acts);
        for m in 0..3u16 {
            r.to(Span::secs(41 + 2 * u64::from(m)));
            assert_eq!(r.leader(), m, "{kind:?}");
            assert_eq!(r.holds("leader").as_deref(), Some("n3"));
        }
        r.to(Span::ms(50_100));
        assert_eq!(r.holds("leader"), None);
        assert!(r.marks("leader_elected").len() >= 3);
        assert!(r.marks("lease_expired").is_empty());
    }
}

#[test]
fn quorums_that_go_and_come_and_leases_that_end_are_told_with_their_reasons() {
    for kind in [Kind::Etcd, Kind::Consul] {
        let acts = vec![
            (Span::secs(60), Act::Kill(Pid(1))),
            (Span::secs(60), Act::Kill(Pid(2))),
            (Span::secs(90), Act::Start(Pid(1))),
        ];
        let mut r = Run::new(kind, 4, vec![(3, primary())], acts);
        r.to(Span::secs(59));
        assert!(r.marks("quorum_lost").is_empty(), "{:?}", r.marks("quorum_lost"));
        r.to(Span::secs(160));
        let (lost, gained) = (r.marks("quorum_lost"), r.marks("quorum_gained"));
        assert!(!lost.is_empty() && lost[0].0 > Span::secs(60) && lost[0].0 < Span::secs(90), "{lost:?}");
        assert!(!gained.is_empty() && gained[0].0 > Span::secs(90), "{gained:?}");
        // The lease began anew with the election after 90 s, and ends one lease later.
        let elected = r.marks("leader_elected").last().unwrap().0;
        let (at, why) = &r.marks("lease_expired")[0];
        assert!(why.contains("election"), "{kind:?} {why}");
        let lived = at.0 - elected.0;
        let least = if kind == Kind::Etcd { 31 } else { 30 };
        assert!((least * SEC - 10 * MS..=least * SEC + 700 * MS).contains(&lived), "{}", Span(lived));
    }
}
