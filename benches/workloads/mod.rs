//! The workloads that the engine is measured with, written twice: as a bare loop (a standard binary heap, the handler, nothing
//! else) and as a model of firedrill's engine. All randomness is a hash of identities, so both do the same work in the same
//! order and their check values must be equal.
//!
//! - **W1**, the hold model: every event schedules one other, after an exponential delay of mean 1 s, at a uniformly drawn target.
//! - **W2**, a heartbeat mesh: a beat every 100 ms to every peer, latency 1 ms +- 0.2 ms, a detector of 500 ms for each ordered
//!   pair; node 0 dies in the middle.
//! - **W3**, leader election with a lease among five nodes, 1% loss, the leader dies every 30 s for 2 s.

use firedrill::engine::{Engine, Model, Scheduler, Span, Time, TimerId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const MS: u64 = 1_000_000;
const SEC: u64 = 1_000_000_000;

/// One round of the SplitMix64 generator (Steele, Lea, Flood 2014), used as a hash.
#[inline(always)]
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
/// 800 us to 1.2 ms from the upper half of a hash.
#[inline(always)]
fn latency(hash: u64) -> u64 {
    800_000 + (((hash >> 32) * 400_001) >> 32)
}

/// What a program did: the work, and what must be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) work: u64,
    pub(crate) check: String,
}

// ------------------------------------------------------------------------------------------------ W1

#[derive(Clone, Copy)]
struct Token {
    r: u64,
    lp: u32,
}

/// The state of W1: visits and an order-independent sum for each process, and a hash of the order.
#[derive(Clone)]
struct Hold {
    n: u64,
    visits: Vec<(u64, u64)>,
    order: u64,
}

impl Hold {
    fn new(n: u64) -> Self {
        Hold { n, visits: vec![(0, 0); n as usize], order: 0 }
    }
    fn first(lp: u64) -> (u64, Token) {
        let r = mix(42 ^ (lp << 8));
        (Self::delay(r), Token { r, lp: lp as u32 })
    }
    #[inline(always)]
    fn delay(r: u64) -> u64 {
        let u = ((r >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0);
        (-u.ln() * 1e9) as u64 + 1
    }
    #[inline(always)]
    fn hit(&mut self, now: u64, t: Token) -> (u64, Token) {
        let v = &mut self.visits[t.lp as usize];
        v.0 += 1;
        v.1 = v.1.wrapping_add(now ^ t.r);
        self.order = self.order.rotate_left(5) ^ now.wrapping_add(u64::from(t.lp));
        let r = mix(t.r);
        (Self::delay(r), Token { r, lp: (((r & 0xffff_ffff) * self.n) >> 32) as u32 })
    }
    fn done(&self) -> Done {
        let (count, sum) = self.visits.iter().fold((0, 0u64), |(c, s), v| (c + v.0, s.wrapping_add(v.1)));
        Done { work: count, check: format!("{sum:016x} ord={:016x}", self.order) }
    }
}

impl Model for Hold {
    type Event = Token;
    #[inline]
    fn handle(&mut self, t: Token, sched: &mut Scheduler<Token>) {
        let (delay, next) = self.hit(sched.now().0, t);
        sched.after(Span(delay), next);
    }
}

#[derive(Clone, Copy)]
struct Inline<T> {
    at: u64,
    seq: u64,
    event: T,
}
impl<T> PartialEq for Inline<T> {
    fn eq(&self, o: &Self) -> bool {
        (self.at, self.seq) == (o.at, o.seq)
    }
}
impl<T> Eq for Inline<T> {}
impl<T> PartialOrd for Inline<T> {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl<T> Ord for Inline<T> {
    #[inline]
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(o.at, o.seq))
    }
}

/// W1 as a bare loop: events inline in a standard binary heap.
pub(crate) fn w1_bare(n: u64, events: u64) -> impl FnOnce() -> Done {
    let mut hold = Hold::new(n);
    let mut heap = BinaryHeap::new();
    for lp in 0..n {
        let (at, event) = Hold::first(lp);
        heap.push(Reverse(Inline { at, seq: lp, event }));
    }
    move || {
        for seq in n..n + events {
            let Some(Reverse(e)) = heap.pop() else { break };
            let (delay, event) = hold.hit(e.at, e.event);
            heap.push(Reverse(Inline { at: e.at + delay, seq, event }));
        }
        hold.done()
    }
}

/// W1 on the engine.
pub(crate) fn w1_engine(n: u64, events: u64) -> impl FnOnce() -> Done {
    let mut engine = Engine::new(Hold::new(n));
    for lp in 0..n {
        let (at, event) = Hold::first(lp);
        engine.sched.at(Time(at), event);
    }
    move || {
        for _ in 0..events {
            engine.step(Time::MAX);
        }
        engine.model.done()
    }
}

// ------------------------------------------------------------------------------------------------ W2

const BEAT: u64 = 100 * MS;
const DEADTIME: u64 = 500 * MS;

/// Simulated seconds of W2 for `n` nodes: about two million messages.
fn w2_seconds(n: u64) -> u64 {
    match n {
        3 => 20_000,
        10 => 2_000,
        100 => 20,
        _ => 2_000_000 / (n * (n - 1) * 10),
    }
}
#[inline(always)]
fn w2_latency(src: u64, dst: u64, k: u64) -> u64 {
    latency(mix((src << 52) ^ (dst << 42) ^ k))
}

#[derive(Clone, Default)]
struct Watcher {
    seen: Vec<u64>,
    delivered: u64,
    detections: u64,
    detected_at: u64,
}

fn w2_done(sent: u64, nodes: &[Watcher]) -> Done {
    let delivered: u64 = nodes.iter().map(|w| w.delivered).sum();
    let det: u64 = nodes.iter().map(|w| w.detections).sum();
    let at: u64 = nodes.iter().fold(0, |s, w| s.wrapping_add(w.detected_at));
    let seen = nodes.iter().flat_map(|w| &w.seen).fold(0u64, |s, x| s.wrapping_add(*x));
    Done {
        work: delivered,
        check: format!("sent:{sent}/dlv:{delivered}/det:{det}/detsum:{at}/seen:{seen:016x}"),
    }
}

#[derive(Clone, Copy)]
enum Mesh {
    Deliver { src: u16, dst: u16 },
    Beat { node: u16 },
    Silent { idx: u32 },
    Crash,
}

/// W2 as a bare loop: the heap of packed keys would be faster, this is the plain one, with a generation for each timer.
pub(crate) fn w2_bare(n: u64) -> impl FnOnce() -> Done {
    #[derive(Clone, Copy)]
    enum Ev {
        Deliver { src: u16, dst: u16 },
        Beat { node: u16 },
        Silent { idx: u32, generation: u32 },
        Crash,
    }
    move || {
        let nn = n as usize;
        let end = w2_seconds(n) * SEC;
        let mut heap: BinaryHeap<Reverse<u128>> = BinaryHeap::new();
        let mut slab: Vec<Ev> = Vec::new();
        let mut free: Vec<u32> = Vec::new();
        let mut seq = 0u64;
        let mut at =
            |heap: &mut BinaryHeap<Reverse<u128>>, slab: &mut Vec<Ev>, free: &mut Vec<u32>, t: u64, e: Ev| {
                let slot = match free.pop() {
                    Some(i) => {
                        slab[i as usize] = e;
                        i
                    }
                    None => {
                        slab.push(e);
                        slab.len() as u32 - 1
                    }
                };
                heap.push(Reverse((u128::from(t) << 64) | u128::from((seq << 24) | u64::from(slot))));
                seq += 1;
            };
        let mut nodes = vec![Watcher { seen: vec![0; nn], ..Watcher::default() }; nn];
        let (mut alive, mut beats) = (vec![true; nn], vec![0u64; nn]);
        let mut generation = vec![0u32; nn * nn];
        let mut sent = 0u64;
        at(&mut heap, &mut slab, &mut free, end / 2 + 37 * MS, Ev::Crash);
        for i in 0..nn {
            at(&mut heap, &mut slab, &mut free, i as u64 * BEAT / n, Ev::Beat { node: i as u16 });
            for p in (0..nn).filter(|p| *p != i) {
                let idx = (i * nn + p) as u32;
                at(&mut heap, &mut slab, &mut free, DEADTIME, Ev::Silent { idx, generation: 0 });
            }
        }
        while let Some(Reverse(k)) = heap.pop() {
            let now = (k >> 64) as u64;
            if now > end {
                break;
            }
            let slot = (k as u32) & 0xff_ffff;
            free.push(slot);
            match slab[slot as usize] {
                Ev::Deliver { src, dst } if alive[dst as usize] => {
                    let node = &mut nodes[dst as usize];
                    node.seen[src as usize] = now;
                    node.delivered += 1;
                    let idx = dst as usize * nn + src as usize;
                    generation[idx] += 1;
                    let e = Ev::Silent { idx: idx as u32, generation: generation[idx] };
                    at(&mut heap, &mut slab, &mut free, now + DEADTIME, e);
                }
                Ev::Beat { node } if alive[node as usize] => {
                    let i = u64::from(node);
                    let b = beats[node as usize];
                    beats[node as usize] += 1;
                    for p in (0..n).filter(|p| *p != i) {
                        let e = Ev::Deliver { src: node, dst: p as u16 };
                        at(&mut heap, &mut slab, &mut free, now + w2_latency(i, p, b), e);
                        sent += 1;
                    }
                    at(&mut heap, &mut slab, &mut free, now + BEAT, Ev::Beat { node });
                }
                Ev::Silent { idx, generation: g } => {
                    let owner = idx as usize / nn;
                    if alive[owner] && generation[idx as usize] == g {
                        nodes[owner].detections += 1;
                        nodes[owner].detected_at = nodes[owner].detected_at.wrapping_add(now);
                    }
                }
                Ev::Crash => alive[0] = false,
                _ => {}
            }
        }
        w2_done(sent, &nodes)
    }
}

#[derive(Clone)]
struct MeshModel {
    n: usize,
    nodes: Vec<Watcher>,
    alive: Vec<bool>,
    beats: Vec<u64>,
    timers: Vec<Option<TimerId>>,
    sent: u64,
}

impl Model for MeshModel {
    type Event = Mesh;
    #[inline]
    fn handle(&mut self, event: Mesh, sched: &mut Scheduler<Mesh>) {
        let now = sched.now();
        match event {
            Mesh::Deliver { src, dst } => {
                if self.alive[dst as usize] {
                    let node = &mut self.nodes[dst as usize];
                    node.seen[src as usize] = now.0;
                    node.delivered += 1;
                    if let Some(t) = self.timers[dst as usize * self.n + src as usize] {
                        sched.arm(t, now + Span(DEADTIME));
                    }
                }
            }
            Mesh::Beat { node } => {
                if self.alive[node as usize] {
                    let (i, n) = (u64::from(node), self.n as u64);
                    let b = self.beats[node as usize];
                    self.beats[node as usize] += 1;
                    for p in (0..n).filter(|p| *p != i) {
                        sched.after(Span(w2_latency(i, p, b)), Mesh::Deliver { src: node, dst: p as u16 });
                        self.sent += 1;
                    }
                    sched.after(Span(BEAT), Mesh::Beat { node });
                }
            }
            Mesh::Silent { idx } => {
                let owner = idx as usize / self.n;
                if self.alive[owner] {
                    let w = &mut self.nodes[owner];
                    w.detections += 1;
                    w.detected_at = w.detected_at.wrapping_add(now.0);
                }
            }
            Mesh::Crash => self.alive[0] = false,
        }
    }
}

/// W2 on the engine: the detectors are its timers.
pub(crate) fn w2_engine(n: u64) -> impl FnOnce() -> Done {
    move || {
        let nn = n as usize;
        let end = w2_seconds(n) * SEC;
        let mut engine = Engine::new(MeshModel {
            n: nn,
            nodes: vec![Watcher { seen: vec![0; nn], ..Watcher::default() }; nn],
            alive: vec![true; nn],
            beats: vec![0; nn],
            timers: vec![None; nn * nn],
            sent: 0,
        });
        engine.sched.at(Time(end / 2 + 37 * MS), Mesh::Crash);
        for i in 0..nn {
            engine.sched.at(Time(i as u64 * BEAT / n), Mesh::Beat { node: i as u16 });
            for p in (0..nn).filter(|p| *p != i) {
                let idx = i * nn + p;
                let t = engine.sched.new_timer(Mesh::Silent { idx: idx as u32 });
                engine.sched.arm(t, Time(DEADTIME));
                engine.model.timers[idx] = Some(t);
            }
        }
        engine.run_until(Time(end));
        w2_done(engine.model.sent, &engine.model.nodes)
    }
}

// ------------------------------------------------------------------------------------------------ W3

const N: usize = 5;
const HOUR: u64 = 3600 * SEC;
const DOWN_EVERY: u64 = 30 * SEC;
const DOWN_FOR: u64 = 2 * SEC;
const LEADER_BEAT: u64 = 50 * MS;
const LEASE: u64 = 150 * MS;

#[derive(Clone, Copy)]
enum Note {
    Ask { term: u32 },
    Vote { term: u32, ok: bool },
    Beat { term: u32, at: u64 },
    Ack { term: u32, at: u64 },
}
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Follower,
    Candidate,
    Leader,
}
trait Io {
    fn send(&mut self, from: usize, to: usize, note: Note);
    fn arm_election(&mut self, node: usize, at: u64);
    fn cancel_election(&mut self, node: usize);
    fn arm_beat(&mut self, node: usize, at: u64, term: u32);
}
#[derive(Clone)]
struct Member {
    id: usize,
    role: Role,
    term: u32,
    voted: Option<usize>,
    votes: u32,
    draws: u64,
    acks: [u64; N],
    lease_until: u64,
    elections: u64,
    wins: u64,
    leased: u64,
    heard: u64,
}

impl Member {
    fn new(id: usize) -> Self {
        Member {
            id,
            role: Role::Follower,
            term: 0,
            voted: None,
            votes: 0,
            draws: 0,
            acks: [0; N],
            lease_until: 0,
            elections: 0,
            wins: 0,
            leased: 0,
            heard: 0,
        }
    }
    fn wait(&mut self, now: u64, io: &mut impl Io) {
        self.draws += 1;
        let h = mix(((self.id as u64 + 1) << 58) ^ self.draws);
        io.arm_election(self.id, now + 150 * MS + (((h >> 32) * 150 * MS) >> 32));
    }
    fn start(&mut self, now: u64, io: &mut impl Io) {
        (self.role, self.votes, self.acks, self.lease_until) = (Role::Follower, 0, [0; N], 0);
        self.wait(now, io);
    }
    fn tell(&self, io: &mut impl Io, note: Note) {
        for p in (0..N).filter(|p| *p != self.id) {
            io.send(self.id, p, note);
        }
    }
    fn election(&mut self, now: u64, io: &mut impl Io) {
        if self.role == Role::Leader {
            return;
        }
        self.role = Role::Candidate;
        self.term += 1;
        (self.voted, self.votes) = (Some(self.id), 1 << self.id);
        self.elections += 1;
        self.tell(io, Note::Ask { term: self.term });
        self.wait(now, io);
    }
    fn beat(&mut self, now: u64, term: u32, io: &mut impl Io) {
        if self.role == Role::Leader && term == self.term {
            self.leased += u64::from(self.lease_until > now);
            self.tell(io, Note::Beat { term, at: now });
            io.arm_beat(self.id, now + LEADER_BEAT, term);
        }
    }
    fn newer(&mut self, now: u64, term: u32, io: &mut impl Io) -> bool {
        if term <= self.term {
            return false;
        }
        let led = self.role == Role::Leader;
        (self.term, self.voted, self.role) = (term, None, Role::Follower);
        if led {
            self.wait(now, io);
        }
        true
    }
    fn hear(&mut self, now: u64, from: usize, note: Note, io: &mut impl Io) {
        self.heard += 1;
        match note {
            Note::Ask { term } => {
                self.newer(now, term, io);
                let ok =
                    term == self.term && self.role == Role::Follower && self.voted.is_none_or(|v| v == from);
                if ok {
                    self.voted = Some(from);
                    self.wait(now, io);
                }
                io.send(self.id, from, Note::Vote { term: self.term, ok });
            }
            Note::Vote { term, ok } => {
                if !self.newer(now, term, io) && ok && term == self.term && self.role == Role::Candidate {
                    self.votes |= 1 << from;
                    if self.votes.count_ones() as usize * 2 > N {
                        (self.role, self.acks, self.lease_until) = (Role::Leader, [0; N], 0);
                        self.wins += 1;
                        io.cancel_election(self.id);
                        self.beat(now, self.term, io);
                    }
                }
            }
            Note::Beat { term, at } => {
                if term >= self.term {
                    self.newer(now, term, io);
                    self.role = Role::Follower;
                    self.wait(now, io);
                }
                io.send(self.id, from, Note::Ack { term: self.term, at });
            }
            Note::Ack { term, at } => {
                if !self.newer(now, term, io) && self.role == Role::Leader && term == self.term {
                    self.acks[from] = self.acks[from].max(at);
                    self.acks[self.id] = now;
                    let mut acks = self.acks;
                    acks.sort_unstable();
                    self.lease_until = acks[N / 2] + LEASE;
                }
            }
        }
    }
}

/// Latency of the k-th note from `src` to `dst`, or nothing: one in a hundred is lost.
#[inline(always)]
fn w3_net(src: u64, dst: u64, k: u64) -> Option<u64> {
    let h = mix(0x5151 ^ (src << 56) ^ (dst << 48) ^ k);
    (((h & 0xffff_ffff) * 100) >> 32 != 0).then(|| latency(h))
}

fn w3_done(members: &[Member]) -> Done {
    let sum = |f: fn(&Member) -> u64| members.iter().map(f).sum::<u64>();
    let term = members.iter().map(|m| m.term).max().unwrap_or(0);
    let heard = sum(|m| m.heard);
    Done {
        work: heard,
        check: format!(
            "elections:{}/wins:{}/leasebeats:{}/rx:{heard}/term:{term}",
            sum(|m| m.elections),
            sum(|m| m.wins),
            sum(|m| m.leased)
        ),
    }
}

#[derive(Clone, Copy)]
enum Ring {
    Note { from: u8, to: u8, note: Note },
    Elect { node: u8, generation: u32 },
    Beat { node: u8, term: u32 },
    CrashTick,
    Restart { node: u8 },
}

/// W3 as a bare loop.
pub(crate) fn w3_bare() -> impl FnOnce() -> Done {
    struct Bare {
        heap: BinaryHeap<Reverse<u128>>,
        slab: Vec<Ring>,
        free: Vec<u32>,
        seq: u64,
        now: u64,
        pair: [[u64; N]; N],
        generation: [u32; N],
    }
    impl Bare {
        #[inline(always)]
        fn at(&mut self, t: u64, e: Ring) {
            let slot = match self.free.pop() {
                Some(i) => {
                    self.slab[i as usize] = e;
                    i
                }
                None => {
                    self.slab.push(e);
                    self.slab.len() as u32 - 1
                }
            };
            self.heap.push(Reverse((u128::from(t) << 64) | u128::from((self.seq << 24) | u64::from(slot))));
            self.seq += 1;
        }
    }
    impl Io for Bare {
        #[inline(always)]
        fn send(&mut self, from: usize, to: usize, note: Note) {
            let k = self.pair[from][to];
            self.pair[from][to] += 1;
            if let Some(l) = w3_net(from as u64, to as u64, k) {
                self.at(self.now + l, Ring::Note { from: from as u8, to: to as u8, note });
            }
        }
        fn arm_election(&mut self, node: usize, at: u64) {
            self.generation[node] += 1;
            self.at(at, Ring::Elect { node: node as u8, generation: self.generation[node] });
        }
        fn cancel_election(&mut self, node: usize) {
            self.generation[node] += 1;
        }
        fn arm_beat(&mut self, node: usize, at: u64, term: u32) {
            self.at(at, Ring::Beat { node: node as u8, term });
        }
    }
    move || {
        let mut io = Bare {
            heap: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            seq: 0,
            now: 0,
            pair: [[0; N]; N],
            generation: [0; N],
        };
        let mut members: Vec<Member> = (0..N).map(Member::new).collect();
        let mut up = [true; N];
        io.at(DOWN_EVERY, Ring::CrashTick);
        for m in &mut members {
            m.start(0, &mut io);
        }
        while let Some(Reverse(k)) = io.heap.pop() {
            let now = (k >> 64) as u64;
            if now > HOUR {
                break;
            }
            io.now = now;
            let slot = (k as u32) & 0xff_ffff;
            io.free.push(slot);
            match io.slab[slot as usize] {
                Ring::Note { from, to, note } if up[to as usize] => {
                    members[to as usize].hear(now, from as usize, note, &mut io);
                }
                Ring::Elect { node, generation } => {
                    let i = node as usize;
                    if up[i] && io.generation[i] == generation {
                        members[i].election(now, &mut io);
                    }
                }
                Ring::Beat { node, term } if up[node as usize] => {
                    members[node as usize].beat(now, term, &mut io);
                }
                Ring::CrashTick => {
                    if let Some(i) = (0..N).find(|i| up[*i] && members[*i].role == Role::Leader) {
                        up[i] = false;
                        members[i].role = Role::Follower;
                        io.cancel_election(i);
                        io.at(now + DOWN_FOR, Ring::Restart { node: i as u8 });
                    }
                    io.at(now + DOWN_EVERY, Ring::CrashTick);
                }
                Ring::Restart { node } => {
                    up[node as usize] = true;
                    members[node as usize].start(now, &mut io);
                }
                _ => {}
            }
        }
        w3_done(&members)
    }
}

#[derive(Clone)]
struct Leases {
    members: Vec<Member>,
    up: [bool; N],
    pair: [[u64; N]; N],
    elections: Vec<TimerId>,
}
struct OnEngine<'a> {
    sched: &'a mut Scheduler<Ring>,
    pair: &'a mut [[u64; N]; N],
    elections: &'a [TimerId],
}
impl Io for OnEngine<'_> {
    #[inline(always)]
    fn send(&mut self, from: usize, to: usize, note: Note) {
        let k = self.pair[from][to];
        self.pair[from][to] += 1;
        if let Some(l) = w3_net(from as u64, to as u64, k) {
            self.sched.after(Span(l), Ring::Note { from: from as u8, to: to as u8, note });
        }
    }
    #[inline(always)]
    fn arm_election(&mut self, node: usize, at: u64) {
        self.sched.arm(self.elections[node], Time(at));
    }
    fn cancel_election(&mut self, node: usize) {
        self.sched.disarm(self.elections[node]);
    }
    fn arm_beat(&mut self, node: usize, at: u64, term: u32) {
        self.sched.at(Time(at), Ring::Beat { node: node as u8, term });
    }
}
impl Model for Leases {
    type Event = Ring;
    fn handle(&mut self, event: Ring, sched: &mut Scheduler<Ring>) {
        let now = sched.now().0;
        let Leases { members, up, pair, elections } = self;
        let mut io = OnEngine { sched, pair, elections };
        match event {
            Ring::Note { from, to, note } if up[to as usize] => {
                members[to as usize].hear(now, from as usize, note, &mut io);
            }
            Ring::Elect { node, .. } if up[node as usize] => members[node as usize].election(now, &mut io),
            Ring::Beat { node, term } if up[node as usize] => {
                members[node as usize].beat(now, term, &mut io);
            }
            Ring::CrashTick => {
                if let Some(i) = (0..N).find(|i| up[*i] && members[*i].role == Role::Leader) {
                    up[i] = false;
                    members[i].role = Role::Follower;
                    io.cancel_election(i);
                    io.sched.at(Time(now + DOWN_FOR), Ring::Restart { node: i as u8 });
                }
                io.sched.at(Time(now + DOWN_EVERY), Ring::CrashTick);
            }
            Ring::Restart { node } => {
                up[node as usize] = true;
                members[node as usize].start(now, &mut io);
            }
            _ => {}
        }
    }
}

/// W3 on the engine.
pub(crate) fn w3_engine() -> impl FnOnce() -> Done {
    move || {
        let members = (0..N).map(Member::new).collect();
        let leases = Leases { members, up: [true; N], pair: [[0; N]; N], elections: Vec::new() };
        let mut engine = Engine::new(leases);
        engine.sched.at(Time(DOWN_EVERY), Ring::CrashTick);
        engine.model.elections =
            (0..N).map(|i| engine.sched.new_timer(Ring::Elect { node: i as u8, generation: 0 })).collect();
        let Leases { members, pair, elections, .. } = &mut engine.model;
        for m in members {
            m.start(0, &mut OnEngine { sched: &mut engine.sched, pair, elections });
        }
        engine.run_until(Time(HOUR));
        w3_done(&engine.model.members)
    }
}
