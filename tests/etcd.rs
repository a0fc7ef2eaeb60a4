//! etcd as Patroni leans on it: leases, transactions, watches, changes of leader; three members on three hosts and a client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{Chance, Engine, MS, Model, SEC, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::node::disk::End;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{Action, ConnId, Ctx, HostId, Input, Process, Tcp, TcpOptions, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::etcd::member::CLIENT_PORT;
use firedrill::proto::etcd::msg::{Compare, Error, LeaseId, Msg, Op, Reply, Request, Txn};
use firedrill::proto::etcd::{Config, Etcd};
use firedrill::proto::raft::{Member, Role, Rules};
use firedrill::scenario::types::{Stack, Sysctl};
use std::sync::Arc;

/// What the client does, and when.
type Script = Vec<(Span, u8, Request)>;

#[derive(Clone)]
enum Node {
    Etcd(Box<Etcd>),
    Client { script: Script, conns: Vec<Option<ConnId>> },
}
#[derive(Clone, PartialEq, Eq, Debug)]
enum Note {
    /// The client's number of a request, and what came back (nothing: the connection broke).
    Answer(usize, Option<Reply>),
    Etcd(firedrill::proto::etcd::note::Note),
}
impl From<firedrill::proto::etcd::note::Note> for Note {
    fn from(n: firedrill::proto::etcd::note::Note) -> Self {
        Note::Etcd(n)
    }
}

impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = ();
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, Note>) {
        match self {
            Node::Etcd(e) => e.on(input, ctx),
            Node::Client { script, conns } => match input {
                Input::Start => {
                    for (i, (at, ..)) in script.iter().enumerate() {
                        ctx.set_timer(Timer(i as u16), *at);
                        conns.push(None);
                    }
                }
                Input::Timer(Timer(i)) => {
                    let to = Endpoint::new(ip(u16::from(script[i as usize].1)), CLIENT_PORT);
                    conns[i as usize] = Some(ctx.connect(to, Plane::dcs, TcpOptions::default()));
                }
                Input::Tcp(conn, news) => {
                    let Some(i) = conns.iter().position(|c| *c == Some(conn)) else { return };
                    match news {
                        Tcp::Connected => {
                            ctx.act(Action::TcpSend(conn, Msg::Request(i as u32, script[i].2.clone())));
                        }
                        Tcp::Data(Msg::Reply(_, reply)) => ctx.note(Note::Answer(i, Some(reply))),
                        _ => ctx.note(Note::Answer(i, None)),
                    }
                }
                _ => {}
            },
        }
    }
    fn reset(&mut self, end: End, (): &mut ()) {
        if let Node::Etcd(e) = self {
            e.reset(end);
        }
    }
}

fn ip(n: u16) -> Ip {
    Ip(0x0A00_0001 + u32::from(n))
}
/// An outer event: boot or power off a host.
const OFF: u32 = 100;
const ON: u32 = 200;

struct Lab {
    world: World<Node>,
    notes: Vec<(Time, Note)>,
}
impl Model for Lab {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.world.log.entries.clear();
        match event {
            Ev::Outer(n) if n < OFF => self.world.boot_now(HostId(n as u16), s),
            Ev::Outer(n) if n < ON => self.world.power_off(HostId((n - OFF) as u16), s),
            Ev::Outer(n) => self.world.boot_now(HostId((n - ON) as u16), s),
            event => self.world.handle(event, s),
        }
        for e in &self.world.log.entries {
            if let What::Note(n) = &e.what {
                self.notes.push((e.at, n.clone()));
            }
        }
    }
}
struct Run(Engine<Lab>);
impl Run {
    fn new(seed: u64, script: Script) -> Run {
        let mut world = World::new(seed, Level::Story, |_| ("message", 0));
        let latency = SpanRange::new(Span::us(100), Span::us(300));
        let net = world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
        let zero = SpanRange::exactly(Span::ZERO);
        for i in 0..4u8 {
            let h = world.add_host(&format!("n{i}"), Sysctl::default().neigh(), zero, zero);
            world.plug(h, net, Cidr { ip: ip(u16::from(i)), prefix: 24 });
            let node = if i < 3 {
                let members = (0..3).map(ip).collect();
                Node::Etcd(Box::new(Etcd::new(Config { me: Member(i), members, rules: Rules::etcd(false) })))
            } else {
                Node::Client { script: script.clone(), conns: Vec::new() }
            };
            world.add_proc(h, "daemon", None, node);
        }
        let mut e = Engine::new(Lab { world, notes: Vec::new() });
        for i in 0..4 {
            e.sched.at(Time::ZERO, Ev::Outer(i));
        }
        Run(e)
    }
    fn to(&mut self, at: Span) {
        self.0.run_until(Time(at.0));
    }
    fn etcd(&self, m: u8) -> &Etcd {
        match &self.0.model.world.procs[m as usize].logic {
            Node::Etcd(e) => e,
            Node::Client { .. } => panic!("the client is no member"),
        }
    }
    fn leader(&self) -> u8 {
        (0..3u8).find(|m| self.etcd(*m).raft().role() == Role::Leader).expect("a leader")
    }
    fn leads(&self) -> bool {
        (0..3u8).any(|m| self.etcd(m).raft().role() == Role::Leader)
    }
    /// The answers to a request of the script, with their times.
    fn answers(&self, i: usize) -> Vec<(Span, Option<Reply>)> {
        let mine = self.0.model.notes.iter().filter_map(|(at, n)| match n {
            Note::Answer(k, reply) if *k == i => Some((Span(at.0), reply.clone())),
            _ => None,
        });
        mine.collect()
    }
    fn power(&mut self, what: u32, host: u8) {
        let now = self.0.sched.now();
        self.0.sched.at(now, Ev::Outer(what + u32::from(host)));
    }
}
fn put(key: &str, value: &str, lease: Option<LeaseId>) -> Request {
    create(None, key, value, lease)
}
fn create(absent: Option<&str>, key: &str, value: &str, lease: Option<LeaseId>) -> Request {
    Request::Txn(Arc::new(Txn {
        compare: absent.map(|k| Compare::Absent(k.into())).into_iter().collect(),
        then: vec![Op::Put(key.into(), value.into(), lease)],
        otherwise: Vec::new(),
    }))
}
fn range() -> Request {
    Request::Range { prefix: "/".into(), serializable: false }
}
const LEASE: LeaseId = LeaseId(7);
/// A lease of 30 s granted at 10 s with two keys on it, watched by member 0.
fn leased(phase: u64) -> Script {
    let at = |ms| Span::ms(ms + phase);
    vec![
        (at(9_000), 0, Request::Watch("/".into(), None)),
        (at(10_000), 1, Request::LeaseGrant(LEASE, 30)),
        (at(10_100), 1, put("/leader", "db1", Some(LEASE))),
        (at(10_200), 1, put("/members/db1", "running", Some(LEASE))),
    ]
}
/// When the watcher was told that `/leader` is gone.
fn gone(r: &Run) -> Option<Span> {
    let deleted = |reply: &Option<Reply>| matches!(reply, Some(Reply::Changed(c, ..)) if c.iter().any(|(k, v)| &**k == "/leader" && v.is_none()));
    r.answers(0).iter().find(|(_, reply)| deleted(reply)).map(|a| a.0)
}

#[test]
fn etc_01_a_lease_that_nobody_keeps_ends_at_the_next_scan_after_its_time() {
    let mut times = Vec::new();
    for seed in 1..=60 {
        let mut r = Run::new(seed, leased(seed * 8));
        r.to(Span::secs(60));
        let granted = r.answers(1)[0].0;
        assert!(matches!(r.answers(1)[0].1, Some(Reply::Granted(LEASE, 30, _))));
        let lived = gone(&r).expect("the key goes").0 - granted.0;
        assert!((30 * SEC - 5 * MS..=30_600 * MS).contains(&lived), "lived {}", Span(lived));
        times.push(lived);
    }
    let spread = times.iter().max().unwrap() - times.iter().min().unwrap();
    assert!(spread > 350 * MS, "the scan has a phase of its own: {}", Span(spread));
}

#[test]
fn etc_02_a_lease_of_one_second_becomes_two() {
    let mut r = Run::new(1, vec![(Span::secs(10), 2, Request::LeaseGrant(LEASE, 1))]);
    r.to(Span::secs(11));
    assert!(matches!(r.answers(0)[0].1, Some(Reply::Granted(LEASE, 2, _))));
}

#[test]
fn etc_03_any_member_keeps_a_lease_alive_and_without_a_leader_it_fails_after_seven_seconds() {
    for member in 0..3 {
        let mut script = leased(0);
        script.push((Span::secs(30), member, Request::LeaseKeepAlive(LEASE)));
        let mut r = Run::new(u64::from(member) + 1, script);
        r.to(Span::secs(80));
        assert_eq!(r.answers(4)[0].1, Some(Reply::KeptAlive(Span::secs(30))));
        let kept = r.answers(4)[0].0;
        let lived = gone(&r).unwrap().0 - kept.0;
        assert!((30 * SEC - 5 * MS..=30_600 * MS).contains(&lived), "from the keepalive: {}", Span(lived));
    }
    // A member alone.
    let mut script = leased(0);
    script.push((Span::secs(20), 0, Request::LeaseKeepAlive(LEASE)));
    script.push((Span::secs(20), 0, put("/x", "1", None)));
    let mut r = Run::new(3, script);
    r.to(Span::secs(15));
    r.power(OFF, 1);
    r.power(OFF, 2);
    r.to(Span::secs(60));
    let (at, reply) = r.answers(4)[0].clone();
    assert_eq!(reply, Some(Reply::Failed(Error::TimedOut)));
    assert!((26_990..=27_010).contains(&(at.0 / MS)), "{at}");
    assert_eq!(r.answers(5)[0].1, Some(Reply::Failed(Error::DeadlineExceeded)));
    assert_eq!(gone(&r), None, "nobody can revoke");
}

#[test]
fn etc_04_a_new_leader_gives_every_lease_its_whole_time_and_one_second() {
    let mut ends = Vec::new();
    for seed in 1..=40u64 {
        let mut r = Run::new(seed, leased(0));
        let fault = Span::ms(20_000 + seed * 211);
        r.to(fault);
        let leader = r.leader();
        if leader == 0 {
            continue; // The watcher's own member.
        }
        r.power(OFF, leader);
        let mut now = Span(fault.0 + MS);
        r.to(now);
        while !r.leads() {
            now = Span(now.0 + MS);
            r.to(now);
        }
        r.to(Span::secs(100));
        let lived = gone(&r).expect("it ends").0 - now.0;
        assert!((30_995 * MS..=31_600 * MS).contains(&lived), "after the election: {}", Span(lived));
        ends.push(lived);
    }
    assert!(ends.len() > 15 && ends.iter().max().unwrap() - ends.iter().min().unwrap() > 300 * MS);
    // A keepalive after the election replaces this by the plain time; a planned move does the same as a crash.
    for kept in [false, true] {
        let mut script = leased(0);
        script.push((Span::secs(20), 0, Request::MoveLeader(Member(1))));
        script.push((Span::secs(20), 1, Request::MoveLeader(Member(2))));
        script.push((Span::secs(20), 2, Request::MoveLeader(Member(0))));
        if kept {
            script.push((Span::secs(25), 0, Request::LeaseKeepAlive(LEASE)));
        }
        let mut r = Run::new(5, script);
        r.to(Span::secs(100));
        let expected = if kept { 55_000..=55_600 } else { 50_990..=51_650 };
        let at = gone(&r).unwrap().0 / MS;
        assert!(expected.contains(&at), "kept {kept}: gone at {at}");
    }
}

#[test]
fn etc_06_of_two_that_create_a_key_one_succeeds() {
    for seed in 1..=40 {
        let now = Span::secs(10);
        let script = vec![
            (now, 0, create(Some("/leader"), "/leader", "db1", None)),
            (now, 1, create(Some("/leader"), "/leader", "db2", None)),
            (now, 2, create(Some("/leader"), "/leader", "db3", None)),
            (Span::secs(11), 0, range()),
        ];
        let mut r = Run::new(seed, script);
        r.to(Span::secs(12));
        let won: Vec<usize> =
            (0..3).filter(|i| matches!(r.answers(*i)[0].1, Some(Reply::Txn(true, ..)))).collect();
        assert_eq!(won.len(), 1);
        let Some(Reply::Range(keys, ..)) = &r.answers(3)[0].1 else { panic!("a range") };
        assert_eq!(&*keys[0].value, format!("db{}", won[0] + 1));
    }
}

#[test]
fn etc_08_the_end_of_a_lease_takes_all_its_keys_in_one_revision() {
    let mut script = leased(0);
    script.push((Span::secs(12), 2, put("/config", "ttl 30", None)));
    script.push((Span::secs(15), 2, Request::LeaseRevoke(LEASE)));
    script.push((Span::secs(16), 1, range()));
    let mut r = Run::new(4, script);
    r.to(Span::secs(20));
    let changed: Vec<Reply> = r.answers(0).into_iter().filter_map(|a| a.1).collect();
    let Some(Reply::Changed(last, ..)) = changed.last() else { panic!("a change") };
    let keys: Vec<&str> = last.iter().map(|(k, _)| &**k).collect();
    assert_eq!(keys, ["/leader", "/members/db1"]);
    let Some(Reply::Range(keys, ..)) = &r.answers(6)[0].1 else { panic!("a range") };
    assert_eq!(keys.len(), 1, "only what hangs on no lease is left");
    assert_eq!(r.answers(5)[0].1, Some(Reply::Done));
}

#[test]
fn a_cluster_that_lost_power_comes_back_with_its_keys_and_gives_the_leases_their_time_again() {
    for seed in 1..=20 {
        let mut script = leased(0);
        script.push((Span::ms(69_900), 1, range()));
        let mut r = Run::new(seed, script);
        r.to(Span::secs(20));
        (0..3).for_each(|m| r.power(OFF, m));
        r.to(Span::secs(60));
        (0..3).for_each(|m| r.power(ON, m));
        r.to(Span::secs(70));
        let Some(Reply::Range(keys, ..)) = &r.answers(4)[0].1 else { panic!("a range: {:?}", r.answers(4)) };
        assert_eq!(keys.len(), 2, "both keys survived, though 30 s were over long ago");
        assert!(r.etcd(0).store().lease(LEASE).is_some());
    }
}

#[test]
fn a_serializable_read_answers_without_a_leader() {
    let mut script = leased(0);
    let local = Request::Range { prefix: "/".into(), serializable: true };
    script.push((Span::secs(25), 0, local));
    script.push((Span::secs(25), 0, range()));
    let mut r = Run::new(3, script);
    r.to(Span::secs(15));
    r.power(OFF, 1);
    r.power(OFF, 2);
    r.to(Span::secs(40));
    let Some(Reply::Range(keys, ..)) = &r.answers(4)[0].1 else { panic!("a range") };
    assert_eq!(keys.len(), 2);
    assert_eq!(r.answers(5)[0].1, Some(Reply::Failed(Error::DeadlineExceeded)));
}

/// What is said of a stack whose hosts n0, n1, ... run these: whether it is a warning, and the words.
fn lints(hosts: &[&str]) -> Vec<(bool, String)> {
    let hosts: Vec<String> =
        hosts.iter().enumerate().map(|(i, runs)| format!("\"n{i}\": (runs: [{runs}])")).collect();
    let text = format!(
        "Stack(about: \"a store\", networks: {{ \"lan\": (latency: \"200us..600us\") }}, hosts: {{ {} }})",
        hosts.join(", ")
    );
    let (stack, tree) = firedrill::scenario::load::read::<Stack>("test", &text).unwrap();
    let list = firedrill::scenario::lint::stack(&stack, &tree);
    list.into_iter().map(|d| (d.warning, d.message)).collect()
}

#[test]
fn stores_that_cannot_work_are_refused_and_weak_ones_are_told_of() {
    let server = "Consul(server: true)";
    assert_eq!(lints(&["Etcd()", "Etcd()", "Etcd()"]), []);
    assert_eq!(lints(&[server, server, server, "Consul()"]), []);
    for (hosts, warning, word) in [
        (vec!["Consul()", "Consul()"], false, "without a server"),
        (vec!["Etcd()"], true, "one etcd member"),
        (vec!["Etcd()", "Etcd()"], true, "the loss of either"),
        (vec![server; 4], true, "bear the loss of 1, like 3"),
        (vec!["Etcd()"; 9], false, "there can be 7"),
        (vec!["Etcd(election_timeout: \"400ms\")"; 3], false, "five times"),
        (vec!["Etcd(election_timeout: \"1050ms\")"; 3], false, "whole number"),
        (vec!["Consul(server: true, raft_multiplier: 11)", server, server], false, "from 1 to 10"),
    ] {
        let list = lints(&hosts);
        assert!(list.iter().any(|(w, m)| *w == warning && m.contains(word)), "{word}: {list:?}");
    }
}
