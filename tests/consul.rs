//! Consul as Patroni leans on it: sessions, keys that they hold, blocking queries, changes of leader; three servers and a host with an agent
//! and a client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{Chance, Engine, MS, Model, SEC, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::node::disk::End;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{Action, ConnId, Ctx, HostId, Input, Process, Tcp, TcpOptions, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::consul::config::Expiry;
use firedrill::proto::consul::msg::{Behavior, Consistency, Error, Msg, Reply, Request, Session, SessionId};
use firedrill::proto::consul::server::HTTP_PORT;
use firedrill::proto::consul::{Agent, Config, Place, Server};
use firedrill::proto::raft::{Member, Role, Rules};
use firedrill::scenario::types::Sysctl;
use std::sync::Arc;

/// What the client does, and when.
type Script = Vec<(Span, u8, Request)>;

#[derive(Clone)]
enum Node {
    Server(Box<Server>),
    Agent(Box<Agent>),
    Client { script: Script, conns: Vec<Option<ConnId>> },
}
#[derive(Clone, PartialEq, Eq, Debug)]
enum Note {
    /// The client's number of a request, and what came back (nothing: the connection broke).
    Answer(usize, Option<Reply>),
    Consul(firedrill::proto::consul::note::Note),
}
impl From<firedrill::proto::consul::note::Note> for Note {
    fn from(n: firedrill::proto::consul::note::Note) -> Self {
        Note::Consul(n)
    }
}

impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = ();
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, Note>) {
        match self {
            Node::Server(e) => e.on(input, ctx),
            Node::Agent(a) => a.on(input, ctx),
            Node::Client { script, conns } => match input {
                Input::Start => {
                    for (i, (at, ..)) in script.iter().enumerate() {
                        ctx.set_timer(Timer(i as u16), *at);
                        conns.push(None);
                    }
                }
                Input::Timer(Timer(i)) => {
                    let to = Endpoint::new(ip(u16::from(script[i as usize].1)), HTTP_PORT);
                    conns[i as usize] = Some(ctx.connect(to, Plane::dcs, TcpOptions::default()));
                }
                Input::Tcp(conn, news) => {
                    let Some(i) = conns.iter().position(|c| *c == Some(conn)) else { return };
                    match news {
                        Tcp::Connected => {
                            ctx.act(Action::TcpSend(
                                conn,
                                Msg::Request(i as u32, Arc::new(script[i].2.clone())),
                            ));
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
        match self {
            Node::Server(e) => e.reset(end),
            Node::Agent(a) => a.reset(),
            Node::Client { .. } => {}
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
            let servers: Vec<Ip> = (0..3).map(ip).collect();
            if i < 3 {
                let config = Config {
                    me: Member(i),
                    servers,
                    rules: Rules::consul(5, true),
                    rpc_hold_timeout: Span::secs(7),
                    expiry: Expiry::Exact,
                    place: Place::alone(),
                };
                world.add_proc(h, "consul", None, Node::Server(Box::new(Server::new(config))));
            } else {
                world.add_proc(h, "consul", None, Node::Agent(Box::new(Agent::new(servers, Place::alone()))));
                world.add_proc(h, "client", None, Node::Client { script: script.clone(), conns: Vec::new() });
            }
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
    fn server(&self, m: u8) -> &Server {
        match &self.0.model.world.procs[m as usize].logic {
            Node::Server(e) => e,
            _ => panic!("no server"),
        }
    }
    fn leader(&self) -> u8 {
        (0..3u8).find(|m| self.server(*m).raft().role() == Role::Leader).expect("a leader")
    }
    fn leads(&self) -> bool {
        (0..3u8).any(|m| self.server(m).raft().role() == Role::Leader)
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

const ID: SessionId = SessionId(7);
const OTHER: SessionId = SessionId(8);
fn session(id: SessionId, ttl: u64, behavior: Behavior, lock_delay: Span) -> Request {
    let terms = Session { ttl: Span::secs(ttl), behavior, lock_delay, ..Session::default() };
    Request::SessionCreate(id, Arc::new(terms))
}
fn acquire(key: &str, value: &str, by: SessionId) -> Request {
    Request::Put { key: key.into(), value: value.into(), acquire: Some(by), cas: None }
}
fn get(consistency: Consistency, blocking: Option<(u64, Span)>) -> Request {
    Request::Get { prefix: "/leader".into(), consistency, blocking }
}
/// Whom the client asks: a server by number, or the agent of its host.
const AGENT: u8 = 3;
/// A session as Patroni makes it, through the agent, with the leader key and a member key; then a query that blocks until they are gone.
fn patroni() -> Script {
    vec![
        (Span::secs(30), AGENT, session(ID, 15, Behavior::Delete, Span::ms(1))),
        (Span::ms(30_100), AGENT, acquire("/leader", "db1", ID)),
        (Span::ms(30_200), AGENT, acquire("/members/db1", "running", ID)),
    ]
}
/// When the session has been invalidated, to a millisecond, looking from `from` on.
fn gone(r: &mut Run, from: Span, server: u8) -> Span {
    let mut at = from;
    r.to(at);
    while r.server(server).state().session(ID).is_some() {
        at = Span(at.0 + MS);
        r.to(at);
        assert!(at < Span::secs(200), "it never ends");
    }
    at
}
fn keys(reply: Option<&(Span, Option<Reply>)>) -> usize {
    match reply {
        Some((_, Some(Reply::Keys(k, _)))) => k.len(),
        other => panic!("keys: {other:?}"),
    }
}

#[test]
fn csl_01_a_session_ends_after_twice_its_time() {
    for seed in 1..=30 {
        let mut r = Run::new(seed, patroni());
        r.to(Span::ms(30_050));
        let created = r.answers(0)[0].clone();
        assert_eq!(created.1, Some(Reply::Done(true)));
        let lived = gone(&mut r, Span::secs(31), 1).0 - created.0.0;
        assert!((29_990 * MS..=30_120 * MS).contains(&lived), "lived {}", Span(lived));
    }
}

#[test]
fn csl_02_a_renewal_moves_the_end_and_no_index() {
    let mut script = patroni();
    script.push((Span::secs(45), AGENT, Request::SessionRenew(ID)));
    let mut r = Run::new(2, script);
    r.to(Span::secs(44));
    let before: Vec<(u64, u32)> =
        (0..3).map(|m| (r.server(m).state().index(), r.server(m).raft().commit())).collect();
    r.to(Span::secs(50));
    let after: Vec<(u64, u32)> =
        (0..3).map(|m| (r.server(m).state().index(), r.server(m).raft().commit())).collect();
    assert_eq!(before, after);
    let renewed = r.answers(3)[0].clone();
    assert_eq!(renewed.1, Some(Reply::Done(true)));
    let lived = gone(&mut r, Span::secs(60), 0).0 - renewed.0.0;
    assert!((29_990 * MS..=30_120 * MS).contains(&lived), "lived {}", Span(lived));
    let mut late = patroni();
    late.push((Span::secs(70), AGENT, Request::SessionRenew(ID)));
    let mut r = Run::new(2, late);
    r.to(Span::secs(71));
    assert_eq!(r.answers(3)[0].1, Some(Reply::Failed(Error::NotFound)));
}

#[test]
fn csl_04_a_new_leader_gives_every_session_its_whole_time() {
    let mut elections = Vec::new();
    for seed in 1..=20u64 {
        let mut r = Run::new(seed, patroni());
        // The session is up to 25 s old.
        let fault = Span::ms(31_000 + seed * 1_200);
        r.to(fault);
        let leader = r.leader();
        r.power(OFF, leader);
        let mut now = Span(fault.0 + MS);
        r.to(now);
        while !r.leads() {
            now = Span(now.0 + MS);
            r.to(now);
        }
        elections.push(now.0 - fault.0);
        let lived = gone(&mut r, now, (leader + 1) % 3).0 - now.0;
        assert!((29_990 * MS..=30_200 * MS).contains(&lived), "after the election: {}", Span(lived));
    }
    assert!(elections.iter().max().unwrap() - elections.iter().min().unwrap() > 3 * SEC);
}

#[test]
fn a_session_below_ten_seconds_or_above_a_day_is_refused() {
    let at = Span::secs(30);
    let script = vec![
        (at, AGENT, session(ID, 9, Behavior::Delete, Span::ZERO)),
        (at, AGENT, session(OTHER, 86_401, Behavior::Delete, Span::ZERO)),
        (at, AGENT, session(SessionId(9), 10, Behavior::Delete, Span::ZERO)),
    ];
    let mut r = Run::new(1, script);
    r.to(Span::secs(31));
    assert_eq!(r.answers(0)[0].1, Some(Reply::Failed(Error::InvalidTtl)));
    assert_eq!(r.answers(1)[0].1, Some(Reply::Failed(Error::InvalidTtl)));
    assert_eq!(r.answers(2)[0].1, Some(Reply::Done(true)));
}

#[test]
fn csl_06_a_session_takes_its_keys_along_or_lets_them_go() {
    for behavior in [Behavior::Delete, Behavior::Release] {
        let script = vec![
            (Span::secs(30), AGENT, session(ID, 15, behavior, Span::ms(1))),
            (Span::ms(30_100), AGENT, acquire("/leader", "db1", ID)),
            (Span::ms(30_200), AGENT, acquire("/leader/member", "running", ID)),
            (Span::secs(40), 0, Request::SessionDestroy(ID)),
            (Span::secs(41), 0, get(Consistency::Default, None)),
        ];
        let mut r = Run::new(1, script);
        r.to(Span::secs(42));
        let Some(Reply::Keys(keys, index)) = &r.answers(4)[0].1 else { panic!("keys") };
        if behavior == Behavior::Delete {
            assert!(keys.is_empty());
        } else {
            assert_eq!(keys.len(), 2);
            assert!(keys.iter().all(|k| k.session.is_none() && k.modify_index == *index), "one transaction");
        }
    }
}

#[test]
fn csl_07_lock_delay_keeps_others_off_after_an_invalidation_and_not_after_a_release() {
    for (delay, release, early) in
        [(Span::secs(15), false, false), (Span::ms(1), false, true), (Span::secs(15), true, true)]
    {
        let end = if release { Request::Release("/leader".into(), ID) } else { Request::SessionDestroy(ID) };
        let script = vec![
            (Span::secs(30), AGENT, session(ID, 15, Behavior::Delete, delay)),
            (Span::secs(30), AGENT, session(OTHER, 3600, Behavior::Delete, delay)),
            (Span::ms(30_500), AGENT, acquire("/leader", "db1", ID)),
            (Span::secs(40), AGENT, end),
            (Span::ms(40_100), AGENT, acquire("/leader", "db2", OTHER)),
            (Span::ms(54_800), AGENT, acquire("/leader", "db2", OTHER)),
            (Span::ms(55_200), AGENT, acquire("/leader", "db2", OTHER)),
        ];
        let mut r = Run::new(1, script);
        r.to(Span::secs(60));
        let taken: Vec<bool> = (4..7).map(|i| r.answers(i)[0].1 == Some(Reply::Done(true))).collect();
        assert_eq!(taken, [early, early, true], "delay {delay}, release {release}");
    }
}

#[test]
fn csl_08_of_two_that_acquire_one_succeeds_and_the_holder_again() {
    for seed in 1..=40 {
        let script = vec![
            (Span::secs(30), 0, session(ID, 15, Behavior::Delete, Span::ms(1))),
            (Span::secs(30), 1, session(OTHER, 15, Behavior::Delete, Span::ms(1))),
            (Span::secs(31), 0, acquire("/leader", "db1", ID)),
            (Span::secs(31), 1, acquire("/leader", "db2", OTHER)),
            (Span::secs(32), 2, acquire("/leader", "db1", ID)),
            (Span::secs(32), 2, acquire("/leader", "db2", OTHER)),
            (Span::secs(33), 2, acquire("/leader", "db3", SessionId(99))),
        ];
        let mut r = Run::new(seed, script);
        r.to(Span::secs(34));
        let won: Vec<bool> = (2..6).map(|i| r.answers(i)[0].1 == Some(Reply::Done(true))).collect();
        assert_ne!(won[0], won[1]);
        assert_eq!(won[..2], won[2..], "the holder again, the other again not");
        assert_eq!(r.answers(6)[0].1, Some(Reply::Failed(Error::InvalidSession)));
    }
}

#[test]
fn csl_09_a_minority_reads_old_data_and_ends_no_session() {
    for seed in 1..=10 {
        let mut script = patroni();
        for m in 0..3 {
            script.push((Span::secs(70), m, get(Consistency::Stale, None)));
            script.push((Span::secs(70), m, get(Consistency::Default, None)));
            script.push((Span::secs(70), m, get(Consistency::Consistent, None)));
            script.push((Span::secs(70), m, acquire("/leader", "db1", ID)));
        }
        let mut r = Run::new(seed, script);
        r.to(Span::secs(35));
        let alone = (r.leader() + (seed % 3) as u8) % 3;
        (0..3).filter(|m| *m != alone).for_each(|m| r.power(OFF, m));
        r.to(Span::secs(150));
        assert!(r.server(alone).state().session(ID).is_some(), "nobody commits its end");
        let of = |kind: usize| 3 + 4 * alone as usize + kind;
        assert_eq!(keys(r.answers(of(0)).first()), 1);
        for kind in 1..4 {
            let (at, reply) = r.answers(of(kind))[0].clone();
            assert_eq!(reply, Some(Reply::Failed(Error::NoClusterLeader)), "kind {kind}");
            // Held for rpc_hold_timeout, and looked at again within a sixteenth of it.
            assert!((76_990..=77_450).contains(&(at.0 / MS)), "kind {kind} at {at}");
        }
    }
}

#[test]
fn csl_11_a_blocking_query_ends_with_the_change_or_with_its_wait() {
    let mut waits = Vec::new();
    for seed in 1..=30 {
        let mut script = patroni();
        script.push((Span::secs(31), 0, get(Consistency::Default, None)));
        let mut first = Run::new(seed, script.clone());
        first.to(Span::secs(32));
        let Some(Reply::Keys(_, index)) = first.answers(3)[0].1 else { panic!("keys") };
        script.push((Span::secs(33), AGENT, get(Consistency::Default, Some((index, Span::secs(8))))));
        script.push((Span::secs(45), AGENT, get(Consistency::Default, Some((index, Span::secs(60))))));
        script.push((Span::secs(50), 1, Request::SessionDestroy(ID)));
        let mut r = Run::new(seed, script);
        r.to(Span::secs(80));
        let waited = r.answers(4)[0].0.0 - 33 * SEC;
        assert!((8 * SEC..=8_510 * MS).contains(&waited), "waited {}", Span(waited));
        waits.push(waited);
        let (at, _) = r.answers(5)[0];
        assert!((50_000..=50_050).contains(&(at.0 / MS)), "the deletion is told at {at}");
        assert_eq!(keys(r.answers(5).first()), 0);
    }
    assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > 300 * MS, "a sixteenth of jitter");
}

#[test]
fn an_agent_goes_on_to_the_next_server_and_says_when_there_is_none() {
    for (off, works) in [(1, true), (3, false)] {
        let mut script = patroni();
        script.push((Span::secs(60), AGENT, get(Consistency::Stale, None)));
        for seed in 1..=6 {
            let mut r = Run::new(seed, script.clone());
            r.to(Span::secs(35));
            for m in 0..off {
                r.power(OFF, (m + seed as u8) % 3);
            }
            r.to(Span::secs(150));
            let reply = r.answers(3)[0].1.clone();
            assert_eq!(matches!(reply, Some(Reply::Keys(..))), works, "{reply:?}");
            assert_eq!(reply == Some(Reply::Failed(Error::NoServers)), !works);
        }
    }
}

#[test]
fn csl_10_default_reads_of_an_isolated_leader_go_on_for_the_length_of_its_lease_only() {
    for seed in 1..=20u64 {
        // Reads of every server, twenty a second, around the loss of both others.
        let mut script = patroni();
        for step in 0..80u64 {
            for m in 0..3 {
                script.push((Span::ms(34_000 + 50 * step), m, get(Consistency::Default, None)));
            }
        }
        let mut r = Run::new(seed, script);
        r.to(Span::secs(35));
        let leader = r.leader();
        (0..3).filter(|m| *m != leader).for_each(|m| r.power(OFF, m));
        r.to(Span::secs(60));
        let read = |step: usize| {
            let (at, reply) = r.answers(3 + 3 * step + leader as usize)[0].clone();
            (at, matches!(reply, Some(Reply::Keys(..))))
        };
        let last = (0..80).filter(|step| read(*step).1).max().expect("reads before the cut");
        let lasted = read(last).0.0 as i64 / MS as i64 - 35_000;
        assert!((2_250..=2_510).contains(&lasted), "read for {lasted} ms after it was alone");
        assert!((0..last).all(|step| read(step).1), "without a gap before");
    }
}
