//! Two state machines that are to come, sketched on the process interface to see that it carries them: Patroni's loop, which makes
//! blocking calls with retries and asks its peers in parallel, and a totem ring. They stand here, not in `proto`, until they are whole.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{Chance, Engine, Model, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::node::disk::{End, OnDisk};
use firedrill::node::log::{Level, What};
use firedrill::node::process::{Action, ConnId, Ctx, HostId, Input, NetId, Process, Tcp, TcpOptions, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::scenario::types::Sysctl;
use std::task::Poll;

fn ip(n: u16) -> Ip {
    Ip(0x0A00_0001 + u32::from(n))
}
fn number(e: Endpoint) -> u16 {
    (e.ip.0 & 0xff) as u16 - 1
}

/// A world of hosts in one network that runs one process on each.
struct Lab<P: Process>(World<P>, Vec<(Time, HostId, P::Note)>);
impl<P: Process> Model for Lab<P> {
    type Event = Ev<P::Msg>;
    fn handle(&mut self, event: Ev<P::Msg>, s: &mut Scheduler<Ev<P::Msg>>) {
        self.0.log.entries.clear();
        match event {
            Ev::Outer(n) if n < 100 => self.0.boot_now(HostId(n as u16), s),
            Ev::Outer(n) => self.0.power_off(HostId((n - 100) as u16), s),
            event => self.0.handle(event, s),
        }
        for e in &self.0.log.entries {
            if let (Some(host), What::Note(n)) = (e.host, &e.what) {
                self.1.push((e.at, host, n.clone()));
            }
        }
    }
}
fn lab<P: Process>(
    seed: u64,
    processes: Vec<P>,
    off: (u16, Span),
    end: Span,
) -> Vec<(Time, HostId, P::Note)> {
    let mut world = World::new(seed, Level::Story, |_| ("message", 0));
    let latency = SpanRange { min: Span::us(200), max: Span::us(600) };
    let net = world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
    let zero = SpanRange::exactly(Span::ZERO);
    let mut starts = Vec::new();
    for (i, p) in processes.into_iter().enumerate() {
        let h = world.add_host(&format!("n{i}"), Sysctl::default().neigh(), zero, zero);
        world.plug(h, net, Cidr { ip: ip(i as u16), prefix: 24 });
        world.add_proc(h, "daemon", None, p);
        starts.push(i as u32);
    }
    let mut engine = Engine::new(Lab(world, Vec::new()));
    for i in starts {
        engine.sched.at(Time::ZERO, Ev::Outer(i));
    }
    engine.sched.at(Time::ZERO + off.1, Ev::Outer(100 + u32::from(off.0)));
    engine.run_until(Time::ZERO + end);
    engine.model.1
}

// ---- Patroni's loop ----------------------------------------------------------------------------------------------------

const LOOP_WAIT: Span = Span::secs(10);
const RETRY_TIMEOUT: Span = Span::secs(10);
const TTL: Span = Span::secs(30);
const DCS: u16 = 3;
const PORT: u16 = 8008;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Msg {
    /// Who leads?
    Get,
    Cluster(Option<u16>),
    /// Create or refresh the leader key.
    Lock(u16),
    Locked(bool),
    /// GET /patroni: how far are you?
    Status,
    Position(u64),
}

/// A blocking request: connect, send, wait; again until the deadline. The caller hands every input to `poll` while it waits, and goes on
/// with its next statement when the answer is ready. `Err` is the timeout.
#[derive(Clone, Debug)]
struct Call {
    to: Endpoint,
    ask: Msg,
    conn: ConnId,
    deadline: Time,
    timer: Timer,
}
const RETRY: Span = Span::secs(1);
impl Call {
    fn new(to: u16, ask: Msg, timeout: Span, timer: Timer, ctx: &mut Ctx<'_, Msg, Note>) -> Call {
        let to = Endpoint { ip: ip(to), port: PORT };
        let conn = ctx.connect(to, Plane::client, TcpOptions::default());
        ctx.set_timer(timer, timeout);
        Call { to, ask, conn, deadline: ctx.now + timeout, timer }
    }
    fn poll(&mut self, input: &Input<Msg>, ctx: &mut Ctx<'_, Msg, Note>) -> Poll<Result<Msg, ()>> {
        match input {
            Input::Tcp(c, Tcp::Connected) if *c == self.conn => ctx.act(Action::TcpSend(self.conn, self.ask)),
            Input::Tcp(c, Tcp::Data(m)) if *c == self.conn => {
                ctx.act(Action::Close(self.conn));
                ctx.cancel_timer(self.timer);
                return Poll::Ready(Ok(*m));
            }
            Input::Tcp(c, _) if *c == self.conn => {
                let left = self.deadline.since(ctx.now);
                ctx.set_timer(self.timer, left.min(RETRY));
            }
            Input::Timer(t) if *t == self.timer => {
                ctx.act(Action::Close(self.conn));
                if ctx.now >= self.deadline {
                    return Poll::Ready(Err(()));
                }
                self.conn = ctx.connect(self.to, Plane::client, TcpOptions::default());
                ctx.set_timer(self.timer, self.deadline.since(ctx.now));
            }
            _ => {}
        }
        Poll::Pending
    }
}

/// Where the loop stands: one variant for each place where the program would block.
#[derive(Clone, Debug)]
enum Step {
    Sleeping,
    LoadCluster(Call),
    UpdateLock(Call),
    /// All peers at once, each with its own timeout.
    FetchNodeStatuses(Vec<Option<Call>>, bool),
    AcquireLock(Call),
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Note {
    Promoted,
    Demoted,
}
#[derive(Clone, Debug)]
enum Node {
    Patroni { id: u16, step: Step, leader: bool, position: u64, next: Time },
    Dcs { key: OnDisk<Option<u16>>, expires: Time, waiting: Option<(ConnId, u16)> },
}
const WAKE: Timer = Timer(0);
const CALL: Timer = Timer(1);

impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = ();
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, Note>) {
        match self {
            Node::Dcs { key, expires, waiting } => dcs(key, expires, waiting, input, ctx),
            Node::Patroni { id, step, leader, position, next } => {
                match &input {
                    Input::Start => {
                        ctx.act(Action::Listen(PORT, 128));
                        ctx.set_timer(WAKE, Span::ms(100 * u64::from(*id)));
                    }
                    // The REST API is a thread of its own: it answers whatever the loop does.
                    Input::Tcp(c, Tcp::Data(Msg::Status)) => {
                        ctx.act(Action::TcpSend(*c, Msg::Position(*position)));
                        return;
                    }
                    Input::Tcp(c, Tcp::Closed) => ctx.act(Action::Close(*c)),
                    _ => {}
                }
                let here = std::mem::replace(step, Step::Sleeping);
                *step = turn(here, (*id, leader, *position, next), &input, ctx);
            }
        }
    }
    fn reset(&mut self, end: End, (): &mut ()) {
        match self {
            Node::Patroni { step, leader, .. } => (*step, *leader) = (Step::Sleeping, false),
            Node::Dcs { key, waiting, .. } => {
                key.ended(end);
                *waiting = None;
            }
        }
    }
}

/// One turn of the loop: reads from top to bottom as the blocking program would.
fn turn(
    step: Step,
    (id, leader, position, next): (u16, &mut bool, u64, &mut Time),
    input: &Input<Msg>,
    ctx: &mut Ctx<'_, Msg, Note>,
) -> Step {
    let sleep = |ctx: &mut Ctx<'_, Msg, Note>| {
        ctx.set_timer(WAKE, next.since(ctx.now).max(Span::ms(1)));
        Step::Sleeping
    };
    match step {
        Step::Sleeping if matches!(input, Input::Timer(WAKE)) => {
            *next = ctx.now + LOOP_WAIT;
            Step::LoadCluster(Call::new(DCS, Msg::Get, RETRY_TIMEOUT, CALL, ctx))
        }
        Step::Sleeping => Step::Sleeping,
        Step::LoadCluster(mut call) => match call.poll(input, ctx) {
            Poll::Pending => Step::LoadCluster(call),
            Poll::Ready(Ok(Msg::Cluster(Some(l)))) if l == id => {
                Step::UpdateLock(Call::new(DCS, Msg::Lock(id), RETRY_TIMEOUT, CALL, ctx))
            }
            Poll::Ready(Ok(Msg::Cluster(None))) => {
                let peers = (0..DCS).filter(|p| *p != id);
                let ask = |p| Some(Call::new(p, Msg::Status, Span::secs(2), Timer(10 + p), ctx));
                Step::FetchNodeStatuses(peers.map(ask).collect(), true)
            }
            Poll::Ready(Ok(_)) => sleep(ctx),
            Poll::Ready(Err(())) => {
                if std::mem::take(leader) {
                    ctx.note(Note::Demoted);
                }
                sleep(ctx)
            }
        },
        Step::FetchNodeStatuses(mut calls, mut healthiest) => {
            for slot in &mut calls {
                let Some(call) = slot else { continue };
                if let Poll::Ready(answer) = call.poll(input, ctx) {
                    healthiest &= !matches!(answer, Ok(Msg::Position(p)) if p > position);
                    *slot = None;
                }
            }
            if calls.iter().any(Option::is_some) {
                Step::FetchNodeStatuses(calls, healthiest)
            } else if healthiest {
                Step::AcquireLock(Call::new(DCS, Msg::Lock(id), RETRY_TIMEOUT, CALL, ctx))
            } else {
                sleep(ctx)
            }
        }
        Step::UpdateLock(mut call) | Step::AcquireLock(mut call) => match call.poll(input, ctx) {
            Poll::Pending => Step::AcquireLock(call),
            Poll::Ready(result) => {
                let now = result == Ok(Msg::Locked(true));
                if now != *leader {
                    ctx.note(if now { Note::Promoted } else { Note::Demoted });
                }
                *leader = now;
                sleep(ctx)
            }
        },
    }
}

/// A store with one key that expires, written to disk before it answers.
fn dcs(
    key: &mut OnDisk<Option<u16>>,
    expires: &mut Time,
    waiting: &mut Option<(ConnId, u16)>,
    input: Input<Msg>,
    ctx: &mut Ctx<'_, Msg, Note>,
) {
    match input {
        Input::Start => ctx.act(Action::Listen(PORT, 128)),
        Input::Tcp(c, Tcp::Data(Msg::Get)) => {
            let holder = key.get().filter(|_| ctx.now < *expires);
            ctx.act(Action::TcpSend(c, Msg::Cluster(holder)));
        }
        Input::Tcp(c, Tcp::Data(Msg::Lock(who))) => {
            let free = ctx.now >= *expires || *key.get() == Some(who);
            if free && waiting.is_none() {
                key.write(Some(who));
                key.sync(who, ctx);
                *expires = ctx.now + TTL;
                *waiting = Some((c, who));
            } else {
                ctx.act(Action::TcpSend(c, Msg::Locked(false)));
            }
        }
        Input::Synced { tag, ok } => {
            key.synced(tag, ok);
            if let Some((c, _)) = waiting.take() {
                ctx.act(Action::TcpSend(c, Msg::Locked(ok)));
            }
        }
        Input::Tcp(c, Tcp::Closed) => ctx.act(Action::Close(c)),
        _ => {}
    }
}

#[test]
fn patronis_loop_reads_as_the_program_that_it_is() {
    for seed in 1..=20 {
        let patroni = |id| Node::Patroni {
            id,
            step: Step::Sleeping,
            leader: false,
            position: 100 - u64::from(id),
            next: Time::ZERO,
        };
        let store = Node::Dcs { key: OnDisk::new(None), expires: Time::ZERO, waiting: None };
        let died = Span::secs(45);
        let nodes = vec![patroni(0), patroni(1), patroni(2), store];
        let notes = lab(seed, nodes, (0, died), Span::secs(150));
        let promoted: Vec<(Time, HostId)> =
            notes.iter().filter(|n| n.2 == Note::Promoted).map(|n| (n.0, n.1)).collect();
        assert_eq!(promoted.len(), 2, "{notes:?}");
        assert_eq!(promoted[0].1, HostId(0), "the first to come");
        assert_eq!(promoted[1].1, HostId(1), "the one that is further than the other");
        // The last refresh was in the loop that began at 40 s: the key lives to 70 s; the loops of n1 begin at 0.1 s, 10.1 s, ...
        // Its question to the dead host takes the two seconds of the REST timeout.
        let at = promoted[1].0.0 / 1_000_000;
        assert!((72_100..72_120).contains(&at), "{at}");
    }
}

// ---- A totem ring ------------------------------------------------------------------------------------------------------

/// token 3000 ms + token_coefficient 650 ms for each node beyond two.
const TOKEN: Span = Span::ms(3000 + 2 * 650);
/// 1.2 times the token timeout.
const CONSENSUS: Span = Span::ms((3000 + 2 * 650) * 12 / 10);
const HOLD: Span = Span::ms(180);
const JOIN: Span = Span::ms(50);
const NET: NetId = NetId(0);
const GROUP: Endpoint = Endpoint { ip: Ip(0xEF00_0001), port: 5405 };
const T_TOKEN: Timer = Timer(0);
const T_CONSENSUS: Timer = Timer(1);
const T_JOIN: Timer = Timer(2);
const T_HOLD: Timer = Timer(3);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Totem {
    /// The token of a ring, and its members.
    Token {
        ring: u32,
        members: u8,
    },
    Join {
        proc: u8,
        failed: u8,
    },
    Commit {
        ring: u32,
        members: u8,
        left: u8,
    },
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Operational,
    Gather { proc: u8, failed: u8, agreed: u8 },
    Commit { members: u8 },
}
#[derive(Clone, Debug)]
struct Ring {
    id: u16,
    state: State,
    ring: u32,
    members: u8,
}
/// A ring has formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Formed(u8);

impl Ring {
    fn next(&self, members: u8) -> u16 {
        (1..=8).map(|d| (self.id + d) % 8).find(|n| members >> n & 1 == 1).unwrap()
    }
    fn pass(&self, to: u16, msg: Totem, ctx: &mut Ctx<'_, Totem, Formed>) {
        let to = Endpoint { ip: ip(to), port: GROUP.port };
        let from = Endpoint { ip: ip(self.id), port: GROUP.port };
        ctx.act(Action::Send { from, to, net: None, plane: Plane::heartbeat, msg });
        ctx.set_timer(T_TOKEN, TOKEN);
    }
    fn shout(&self, proc: u8, failed: u8, ctx: &mut Ctx<'_, Totem, Formed>) {
        let from = Endpoint { ip: ip(self.id), port: GROUP.port };
        let msg = Totem::Join { proc, failed };
        ctx.act(Action::Send { from, to: GROUP, net: Some(NET), plane: Plane::heartbeat, msg });
        ctx.set_timer(T_JOIN, JOIN);
    }
    fn become_gather(&mut self, proc: u8, failed: u8, ctx: &mut Ctx<'_, Totem, Formed>) {
        self.state = State::Gather { proc, failed, agreed: 1 << self.id };
        ctx.cancel_timer(T_TOKEN);
        ctx.cancel_timer(T_HOLD);
        ctx.set_timer(T_CONSENSUS, CONSENSUS);
        self.shout(proc, failed, ctx);
    }
    fn become_operational(&mut self, ring: u32, members: u8, ctx: &mut Ctx<'_, Totem, Formed>) {
        (self.state, self.ring, self.members) = (State::Operational, ring, members);
        ctx.cancel_timer(T_CONSENSUS);
        ctx.cancel_timer(T_JOIN);
        ctx.note(Formed(members));
    }
    /// All that are not given up have said the same: the lowest sends the commit token round.
    fn consensus(&mut self, ctx: &mut Ctx<'_, Totem, Formed>) {
        let State::Gather { proc, failed, agreed } = self.state else { return };
        let members = proc & !failed;
        if agreed & members == members
            && members.trailing_zeros() == u32::from(self.id)
            && members.count_ones() > 1
        {
            self.state = State::Commit { members };
            let left = members & !(1 << self.id);
            self.pass(self.next(members), Totem::Commit { ring: self.ring + 4, members, left }, ctx);
        }
    }
}
impl Process for Ring {
    type Msg = Totem;
    type Note = Formed;
    type Files = ();
    fn on(&mut self, input: Input<Totem>, ctx: &mut Ctx<'_, Totem, Formed>) {
        match (input, self.state) {
            (Input::Start, _) => {
                ctx.act(Action::Bind(GROUP.port));
                self.become_gather(1 << self.id, 0, ctx);
            }
            (Input::Timer(T_TOKEN), State::Operational | State::Commit { .. }) => {
                self.become_gather(self.members | 1 << self.id, 0, ctx);
            }
            (Input::Timer(T_JOIN), State::Gather { proc, failed, .. }) => self.shout(proc, failed, ctx),
            (Input::Timer(T_CONSENSUS), State::Gather { proc, failed, agreed }) => {
                // Who has not been heard is given up, and the others are told.
                let failed = failed | (proc & !agreed);
                self.become_gather(proc, failed, ctx);
            }
            (Input::Timer(T_HOLD), State::Operational) => {
                let msg = Totem::Token { ring: self.ring, members: self.members };
                self.pass(self.next(self.members), msg, ctx);
            }
            (Input::Packet { msg: Totem::Token { ring, members }, .. }, state) => match state {
                State::Operational if ring == self.ring => {
                    // The representative holds an idle token back, so that it does not race.
                    if members.trailing_zeros() == u32::from(self.id) {
                        ctx.set_timer(T_HOLD, HOLD);
                        ctx.set_timer(T_TOKEN, TOKEN);
                    } else {
                        self.pass(self.next(members), Totem::Token { ring, members }, ctx);
                    }
                }
                State::Commit { members: m } if m == members => {
                    self.become_operational(ring, members, ctx);
                    self.pass(self.next(members), Totem::Token { ring, members }, ctx);
                }
                _ => {}
            },
            (Input::Packet { from, msg: Totem::Join { proc, failed }, .. }, state) => {
                let (mine, gone, agreed) = match state {
                    State::Gather { proc, failed, agreed } => (proc, failed, agreed),
                    State::Operational if self.members >> number(from) & 1 == 0 || failed == 0 => {
                        (self.members, 0, 0)
                    }
                    _ => return,
                };
                let (all, lost) = (mine | proc, gone | failed);
                if (all, lost) != (mine, gone) || !matches!(state, State::Gather { .. }) {
                    self.become_gather(all | 1 << self.id, lost, ctx);
                } else if (proc, failed) == (mine, gone) {
                    self.state = State::Gather { proc, failed, agreed: agreed | 1 << number(from) };
                    // With everybody heard there is nothing to wait for.
                    if (mine & !gone).count_ones() > 1 {
                        self.consensus(ctx);
                    }
                }
            }
            (Input::Packet { msg: Totem::Commit { ring, members, left }, .. }, _) => {
                let left = left & !(1 << self.id);
                if left == 0 && members.trailing_zeros() == u32::from(self.id) {
                    self.become_operational(ring, members, ctx);
                    self.pass(self.next(members), Totem::Token { ring, members }, ctx);
                } else {
                    self.state = State::Commit { members };
                    ctx.cancel_timer(T_CONSENSUS);
                    ctx.cancel_timer(T_JOIN);
                    self.pass(self.next(members), Totem::Commit { ring, members, left }, ctx);
                }
            }
            _ => {}
        }
    }
    fn reset(&mut self, _: End, (): &mut ()) {
        *self = Ring { id: self.id, state: State::Operational, ring: 0, members: 0 };
    }
}

#[test]
fn a_totem_ring_closes_without_the_dead() {
    for seed in 1..=20 {
        let node = |id| Ring { id, state: State::Operational, ring: 0, members: 0 };
        let died = Span::ms(30_000);
        let notes = lab(seed, (0..4).map(node).collect(), (3, died), Span::secs(60));
        let of =
            |mask: u8| notes.iter().filter(move |n| n.2 == Formed(mask)).map(|n| n.0).collect::<Vec<_>>();
        assert_eq!(of(0b1111).len(), 4, "{notes:?}");
        let after = of(0b0111);
        assert_eq!(after.len(), 3, "{notes:?}");
        for at in after {
            // The token reaches the dead at most one hold after the death; token and consensus run out, and the joins meet.
            let took = at.0 / 1_000_000 - died.as_ms();
            let full = (TOKEN + CONSENSUS).as_ms();
            assert!((full - 2..full + HOLD.as_ms() + 60).contains(&took), "{took} of {full}");
        }
    }
}
