//! Virtual synchrony: in a world of crashes, cuts, losses and pauses, two nodes that go together from one membership of a group to the next
//! have heard the same messages in between, in the same order; and no message is heard twice.

use firedrill::engine::{Chance, Engine, EventId, Model, Scheduler, Span, SpanRange, Time};
use firedrill::net::addr::{Cidr, Ip};
use firedrill::net::rules::{Effect, HostSet, Rule};
use firedrill::node::disk::End;
use firedrill::node::log::{Entry, Level, What};
use firedrill::node::process::{Ctx, HostId, Input, Pid, Process, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::corosync::api::{Client, Event, Group, News, NodeId};
use firedrill::proto::corosync::config::{Corosync as Config, Transport};
use firedrill::proto::corosync::knet::{self, Net, Peer};
use firedrill::proto::corosync::{Corosync, Settings, T_KNET, quorum, srp};
use firedrill::proto::pacemaker::cpg::Payload;
use firedrill::proto::{Cx, Files, Msg, Note, label};
use firedrill::scenario::types::Sysctl;
use std::collections::BTreeMap;

const GROUP: Group = Group("test");
const SAY: Timer = Timer(0);

/// A member of the group that says a number now and then, and writes down what it hears.
#[derive(Clone, Default)]
struct Member {
    corosync: Client,
    said: u64,
    every: Span,
    /// So many at once, and no more.
    burst: Option<u64>,
    /// What it has heard since the last change; then the changes, each with what was heard before it.
    heard: Vec<(NodeId, u64)>,
    changes: Vec<Change>,
    lost: usize,
}
#[derive(Clone, Debug)]
struct Change {
    before: Vec<(NodeId, u64)>,
    members: Vec<NodeId>,
    left: Vec<NodeId>,
    joined: Vec<NodeId>,
}
impl Member {
    fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        match self.corosync.on(input, ctx) {
            Some(News::Connected(_)) => self.corosync.join(GROUP, ctx),
            Some(News::Event(Event::Deliver { from, payload: Payload::Blob(n), .. })) => {
                self.heard.push((from, n));
            }
            Some(News::Event(Event::Confchg(c))) => self.changes.push(Change {
                before: std::mem::take(&mut self.heard),
                members: c.members,
                left: c.left.into_iter().map(|l| l.0).collect(),
                joined: c.joined,
            }),
            Some(News::Lost) => self.lost += 1,
            _ => {}
        }
        match input {
            Input::Start => {
                self.corosync.connect(ctx);
                ctx.set_timer(SAY, self.every);
            }
            Input::Timer(SAY) => {
                for _ in 0..self.burst.unwrap_or_else(|| 1 + ctx.below(3)) {
                    self.said += 1;
                    self.corosync.mcast(GROUP, Payload::Blob(self.said), ctx);
                }
                if self.burst.is_none() {
                    ctx.set_timer(SAY, self.every);
                }
            }
            _ => {}
        }
    }
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
enum Daemon {
    Corosync(Corosync),
    Member(Member),
}
impl Process for Daemon {
    type Msg = Msg;
    type Note = Note;
    type Files = Files;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, Note, Files>) {
        match self {
            Daemon::Corosync(c) => c.on(input, ctx),
            Daemon::Member(m) => m.on(&input, ctx),
        }
    }
    fn reset(&mut self, end: End, _: &mut Files) {
        if let Daemon::Corosync(c) = self {
            c.reset(end);
        }
    }
}

/// A frame that arrived, and the host that it arrived at.
#[derive(Clone, Copy, Debug)]
struct Seen {
    from: u16,
    to: u16,
    sent: Time,
    word: &'static str,
}
struct Lab(World<Daemon>, Vec<Do>, Vec<Seen>);
#[derive(Clone)]
enum Do {
    Boot(u16),
    Off(u16),
    Cut(u16, u16),
    Loss(u64),
    Heal,
    Pause(u16),
    Resume(u16),
}
impl Model for Lab {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.0.log.entries.clear();
        let Ev::Outer(n) = event else {
            self.0.handle(event, s);
            let frame = |e: &Entry<Note>| match &e.what {
                What::Frame(from, sent, label) => {
                    Some(Seen { from: from.0, to: e.host?.0, sent: *sent, word: label.word })
                }
                _ => None,
            };
            self.2.extend(self.0.log.entries.iter().filter_map(frame));
            return;
        };
        let set = |bits: u16| HostSet::new((0..16).filter(|i| bits >> i & 1 == 1).collect());
        let drop = |from: u16, to: u16| Rule {
            from: set(from),
            to: set(to),
            plane: None,
            effect: Effect::Drop,
            by: EventId(0),
        };
        match self.1[n as usize].clone() {
            Do::Boot(h) => self.0.boot_now(HostId(h), s),
            Do::Off(h) => self.0.power_off(HostId(h), s),
            Do::Cut(a, b) => self.0.rules.extend([drop(a, b), drop(b, a)]),
            Do::Loss(percent) => {
                let chance = Chance { ppb: percent * 10_000_000 };
                self.0.rules.push(Rule {
                    from: set(u16::MAX),
                    to: set(u16::MAX),
                    plane: None,
                    effect: Effect::Loss(chance),
                    by: EventId(0),
                });
            }
            Do::Heal => self.0.rules.clear(),
            Do::Pause(h) => self.0.pause(Pid(2 * h), false),
            Do::Resume(h) => self.0.resume(Pid(2 * h), s),
        }
    }
}

fn settings(n: u16, c: &Config) -> Settings {
    Settings {
        srp: srp::Settings {
            timers: c.timers(usize::from(n)),
            join: c.join,
            merge: c.merge,
            warning: Span::ZERO,
            fail_recv: c.fail_recv_const,
            unchanged: c.seqno_unchanged_const,
            window: c.window_size,
            max_messages: c.max_messages,
            miss_count: c.miss_count_const,
            late_tail: None,
        },
        quorum: quorum::Settings {
            votes: 1,
            expected: n,
            two_node: false,
            wait_for_all: false,
            tie_breaker: None,
            last_man_standing: false,
            allow_downscale: false,
            device_votes: 0,
        },
        window: Span::secs(10),
        device: (Span::secs(10), Span::secs(30)),
    }
}

/// A cluster with a member of the group on each node; what it is told and does is in the engine.
fn cluster(
    (seed, n, level): (u64, u16, Level),
    config: &Config,
    latency: SpanRange,
    of: impl Fn(u16) -> Member,
    plan: Vec<(Time, Do)>,
) -> Engine<Lab> {
    let mut world = World::new(seed, level, label);
    let net = world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
    let zero = SpanRange::exactly(Span::ZERO);
    let ip = |i: u16| Ip(0x0A00_0001 + u32::from(i));
    let peers: std::sync::Arc<[Peer]> = (0..n)
        .map(|i| Peer { id: NodeId(i + 1), links: vec![ip(i)], name: format!("n{i}").into() })
        .collect();
    let t = config.timers(usize::from(n));
    for i in 0..n {
        let host = world.add_host(&format!("n{i}"), Sysctl::default().neigh(), zero, zero);
        world.plug(host, net, Cidr { ip: ip(i), prefix: 24 });
        let (interval, timeout) = (t.ping_interval, t.ping_timeout);
        let knet = knet::Settings { transport: config.transport, interval, timeout, pong_count: 2 };
        let me = NodeId(i + 1);
        let net = Net::new(me, knet, peers.clone(), T_KNET);
        let daemon = Corosync::new(me, settings(n, config), net);
        world.add_proc(host, "corosync", None, Daemon::Corosync(daemon));
        world.add_proc(host, "member", None, Daemon::Member(of(i)));
    }
    let mut engine = Engine::new(Lab(world, plan.iter().map(|p| p.1.clone()).collect(), Vec::new()));
    for (i, (at, _)) in plan.iter().enumerate() {
        engine.sched.at(*at, Ev::Outer(i as u32));
    }
    engine
}
fn members(engine: &Engine<Lab>, n: u16) -> Vec<Member> {
    let member = |i: u16| match &engine.model.0.procs[usize::from(2 * i + 1)].logic {
        Daemon::Member(m) => m.clone(),
        Daemon::Corosync(_) => panic!("a member"),
    };
    (0..n).map(member).collect()
}
fn lab(seed: u64, n: u16, transport: Transport, plan: Vec<(Time, Do)>, end: Time) -> Vec<Member> {
    let config = Config { token: Some(Span::ms(1000)), transport, ..Config::default() };
    let latency = SpanRange { min: Span::us(100), max: Span::us(900) };
    let of = |i: u16| Member { every: Span::ms(7 + 13 * u64::from(i)), ..Member::default() };
    let mut engine = cluster((seed, n, Level::Off), &config, latency, of, plan);
    engine.run_until(end);
    members(&engine, n)
}

/// Three nodes that are quiet but for what some of them say at once after ten seconds: the frames from then on, and the members.
fn burst(config: &Config, said: [u64; 3]) -> (Vec<Seen>, Vec<Member>) {
    let of =
        |i: u16| Member { every: Span::secs(10), burst: Some(said[usize::from(i)]), ..Member::default() };
    let plan: Vec<(Time, Do)> = (0..3).map(|h| (Time::ZERO, Do::Boot(h))).collect();
    let latency = SpanRange::exactly(Span::us(200));
    let mut engine = cluster((1, 3, Level::Full), config, latency, of, plan);
    engine.run_until(Time::secs(11));
    let frames = engine.model.2.iter().copied().filter(|f| f.sent >= Time::secs(10)).collect();
    (frames, members(&engine, 3))
}

#[test]
fn so_many_messages_go_with_one_visit_of_the_token_and_so_many_with_a_rotation() {
    // Each visit: the messages of one instant, as their receiver behind the sender sees them.
    let visits = |frames: &[Seen]| {
        let mut all: Vec<(Time, u16, usize)> = Vec::new();
        for f in frames.iter().filter(|f| f.word == "totem" && f.to == (f.from + 1) % 3) {
            match all.iter_mut().find(|v| (v.0, v.1) == (f.sent, f.from)) {
                Some(v) => v.2 += 1,
                None => all.push((f.sent, f.from, 1)),
            }
        }
        all.sort();
        all.into_iter().map(|v| v.2).collect::<Vec<_>>()
    };
    let udpu = Config { transport: Transport::udpu, ..Config::default() };
    let (frames, members) = burst(&udpu, [60, 0, 0]);
    assert_eq!(visits(&frames), [17, 17, 17, 9], "max_messages");
    assert!(members.iter().all(|m| m.heard.len() == 60));
    let few = Config { max_messages: 25, ..udpu.clone() };
    assert_eq!(visits(&burst(&few, [60, 0, 0]).0), [25, 25, 10]);
    // 50 in a rotation: the third node may send 16. Its predecessor's share is free again only when it has the token itself.
    let (frames, members) = burst(&udpu, [60, 60, 60]);
    let all = visits(&frames);
    assert_eq!(all[..3], [17, 17, 16], "window_size: {all:?}");
    assert!(all.windows(3).all(|w| w.iter().sum::<usize>() <= 50), "{all:?}");
    assert!(members.iter().all(|m| m.heard == members[0].heard && m.heard.len() == 180));
}

/// What two nodes that went together from one membership to the next have heard in between.
fn check(seed: u64, members: &[Member]) -> usize {
    let mut compared = 0;
    type Step<'a> = (&'a [NodeId], &'a Change);
    type Together = (Vec<NodeId>, Vec<NodeId>);
    let mut steps: BTreeMap<Together, Vec<(NodeId, Step<'_>)>> = BTreeMap::new();
    for (i, m) in members.iter().enumerate() {
        let me = NodeId(i as u16 + 1);
        let mut seen: BTreeMap<NodeId, u64> = BTreeMap::new();
        for c in &m.changes {
            for (from, n) in &c.before {
                let last = seen.insert(*from, *n);
                assert!(
                    last.is_none_or(|l| l < *n),
                    "seed {seed}: {me:?} heard {n} of {from:?} after {last:?}"
                );
            }
            // A member that comes again starts anew, as its process may have.
            for j in &c.joined {
                seen.remove(j);
            }
        }
        for pair in m.changes.windows(2) {
            let key = (pair[0].members.clone(), pair[1].members.clone());
            steps.entry(key).or_default().push((me, (&pair[0].members, &pair[1])));
        }
    }
    for ((_, _), of) in steps {
        for (a, (_, x)) in &of {
            for (b, (_, y)) in &of {
                // The first message tells whether it is the same step, for a pair of memberships can come again.
                let same = x.before.first() == y.before.first() && !x.before.is_empty();
                let together = !x.left.contains(b) && !y.left.contains(a);
                let stayed = !x.joined.contains(b) && !y.joined.contains(a);
                if a < b && same && together && stayed && (&x.left, &x.joined) == (&y.left, &y.joined) {
                    assert_eq!(x.before, y.before, "seed {seed}: {a:?} and {b:?}");
                    compared += 1;
                }
            }
        }
    }
    compared
}

#[test]
fn without_faults_all_hear_the_same() {
    for transport in [Transport::knet, Transport::udpu] {
        let boot = (0..4).map(|h| (Time::ZERO, Do::Boot(h))).collect();
        let all = lab(1, 4, transport, boot, Time::secs(20));
        for m in &all {
            assert_eq!(m.changes.last().unwrap().members.len(), 4);
            assert!(m.heard.len() > 1000, "{}", m.heard.len());
            let n = m.heard.len().min(all[0].heard.len());
            assert_eq!(m.heard[..n], all[0].heard[..n]);
        }
    }
}

#[test]
fn the_group_hears_of_a_death_and_its_last_messages_alike() {
    let mut compared = 0;
    for seed in 1..=40 {
        let mut plan: Vec<(Time, Do)> = (0..4).map(|h| (Time::ZERO, Do::Boot(h))).collect();
        plan.push((Time::secs(10), Do::Loss(5)));
        plan.push((Time::secs(12) + Span::us(seed * 333), Do::Off((seed % 4) as u16)));
        plan.push((Time::secs(30), Do::Heal));
        let all = lab(seed, 4, Transport::udpu, plan, Time::secs(40));
        for (i, m) in all.iter().enumerate().filter(|(i, _)| *i as u64 != seed % 4) {
            let gone = NodeId((seed % 4) as u16 + 1);
            let told = m.changes.iter().filter(|c| c.left.contains(&gone)).count();
            assert!(told >= 1, "seed {seed}, n{i}: {:?}", m.changes.last().map(|c| &c.members));
            assert_eq!(m.changes.last().unwrap().members.len(), 3, "seed {seed}");
        }
        compared += check(seed, &all);
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn any_faults_leave_the_order_alone() {
    let mut compared = 0;
    let mut changes = 0;
    for seed in 1..=150u64 {
        let n = 3 + (seed % 3) as u16;
        let mut plan: Vec<(Time, Do)> = (0..n).map(|h| (Time::ZERO, Do::Boot(h))).collect();
        let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut draw = |bound: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x % bound
        };
        let mut at = Time::secs(6);
        for _ in 0..12 {
            at += Span::us(100_000 + draw(4_000_000));
            let who = draw(u64::from(n)) as u16;
            let all = (1u16 << n) - 1;
            let side = 1 + draw(u64::from(all) - 1) as u16;
            let what = match draw(8) {
                0 => Do::Off(who),
                1 => Do::Boot(who),
                2 | 3 => Do::Cut(side, all & !side),
                4 => Do::Loss(1 + draw(30)),
                5 => Do::Pause(who),
                6 => Do::Resume(who),
                _ => Do::Heal,
            };
            plan.push((at, what));
        }
        let end = at + Span::secs(1);
        plan.extend([(end, Do::Heal)]);
        plan.extend((0..n).flat_map(|h| [(end, Do::Resume(h)), (end, Do::Boot(h))]));
        let transport = if seed % 2 == 0 { Transport::knet } else { Transport::udpu };
        let all = lab(seed, n, transport, plan, end + Span::secs(25));
        compared += check(seed, &all);
        changes += all.iter().map(|m| m.changes.len()).sum::<usize>();
        // When all is healed the group is whole again.
        for m in all.iter().filter(|m| m.corosync.connected()) {
            assert_eq!(m.changes.last().unwrap().members.len(), usize::from(n), "seed {seed}");
        }
    }
    assert!(compared > 300 && changes > 2000, "{compared} of {changes}");
}
