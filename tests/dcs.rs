//! Patroni's client of its DCS: how long a call takes to fail, sessions and leases, what wakes the loop; over etcd and over Consul.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{Chance, Engine, MS, Model, SEC, Scheduler, Span, SpanRange, Time};
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::net::rules::{Effect, HostSet, Rule};
use firedrill::node::disk::End;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{HostId, Input, Pid, Process, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::consul::server::HTTP_PORT;
use firedrill::proto::etcd::member::CLIENT_PORT;
use firedrill::proto::patroni::dcs::{
    self, Cause, Client, Cluster, ConsulOptions, DcsError, Failsafe, Key, MemberData, Op, Reply, Setup,
    Status, SyncState, Timing,
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
}
const NEXT: Timer = Timer(0);
const FIRST: u16 = 1;

impl Probe {
    fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        let mut state = match input {
            Input::Start => {
                self.begun = ctx.now;
                self.client.begin(Op::Connect, ctx)
            }
            Input::Timer(NEXT) => {
                let (_, what) = self.script[self.at].clone();
                self.at += 1;
                self.begun = ctx.now;
                let leader = self.view.leader.clone();
                let op = match what {
                    Do::Get => Op::GetCluster,
                    Do::Acquire => Op::Acquire,
                    Do::Update(optime) => {
                        let status = Some(Status { optime, ..Status::default() });
                        Op::UpdateLeader { leader: leader.expect("a leader"), status, failsafe: None }
                    }
                    Do::Touch(state) => Op::TouchMember(Arc::new(data(state))),
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
            if let Some((at, _)) = self.script.get(self.at) {
                ctx.set_timer(NEXT, (Time::ZERO + *at).since(ctx.now));
            }
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
    Resume(Pid),
    /// This host and all others no longer hear each other.
    Cut(u16),
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
                Act::Resume(p) => self.world.resume(p, s),
                Act::Cut(h) => {
                    let others = HostSet::new((0..9).filter(|o| *o != h).collect());
                    let one = HostSet::new(vec![h]);
                    let by = s.current();
                    for (from, to) in [(one.clone(), others.clone()), (others, one)] {
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
    /// Members on hosts 0 to 2, and so on.
    Etcd,
    Consul,
}
struct Run(Engine<Lab>);
/// Probes and what they do: the host (0 to 2 with a member of the store, 3 and 4 without one) and the script.
type Probes = Vec<(u16, Vec<(Span, Do)>)>;
impl Run {
    fn new(kind: Kind, seed: u64, probes: Probes, acts: Vec<(Span, Act)>) -> Run {
        Run::with(kind, seed, probes, acts, Timing::default(), ConsulOptions::default())
    }
    /// Processes are numbered by host, the store first.
    fn with(
        kind: Kind,
        seed: u64,
        probes: Probes,
        acts: Vec<(Span, Act)>,
        timing: Timing,
        options: ConsulOptions,
    ) -> Run {
        let mut world = World::new(seed, Level::Story, label);
        let latency = SpanRange::new(Span::us(100), Span::us(300));
        let net = world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
        let zero = SpanRange::exactly(Span::ZERO);
        for i in 0..5u16 {
            let h = world.add_host(&format!("n{i}"), Sysctl::default().neigh(), zero, zero);
            world.plug(h, net, Cidr { ip: ip(i), prefix: 24 });
            let servers: Vec<Ip> = (0..3).map(ip).collect();
            let daemon = match (kind, i < 3) {
                (Kind::Etcd, true) => {
                    let rules = Rules::etcd(false);
                    let config = etcd::Config { me: Member(i as u8), members: servers, rules };
                    Some(Daemon::Etcd(Box::new(etcd::Etcd::new(config)), Vec::new()))
                }
                (Kind::Etcd, false) => None,
                (Kind::Consul, true) => {
                    let config = consul::Config {
                        me: Member(i as u8),
                        servers,
                        rules: Rules::consul(5, true),
                        rpc_hold_timeout: Span::secs(7),
                    };
                    Some(Daemon::ConsulServer(Box::new(consul::Server::new(config)), Vec::new()))
                }
                (Kind::Consul, false) => Some(Daemon::ConsulAgent(consul::Agent::new(servers), Vec::new())),
            };
            if let Some(daemon) = daemon {
                world.add_proc(h, "store", None, Node::Daemon(daemon));
            }
            if let Some((_, script)) = probes.iter().find(|p| p.0 == i) {
                let dcs = match kind {
                    Kind::Etcd => Dcs::Etcd((0..3).map(|m| Endpoint::new(ip(m), CLIENT_PORT)).collect()),
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
    fn done(&self, host: u16) -> &[Done] {
        &self.probe(host).done
    }
    fn leader(&self) -> u16 {
        let procs = self.0.model.world.procs.iter();
        let leads = |d: &Daemon| match d {
            Daemon::Etcd(e, _) => e.raft().role() == Role::Leader,
            Daemon::ConsulServer(s, _) => s.raft().role() == Role::Leader,
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
        all.sort_unstable();
        println!("host {host}: {all:?}");
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
