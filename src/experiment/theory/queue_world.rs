//! A service with workers, as processes of the real engine: clients that arrive at random, a director that chooses, servers that queue.
//!
//! The network takes no time here, so that what is measured is the queue alone.

use crate::engine::{Chance, Engine, Model, Scheduler, Span, SpanRange, Time, exponential};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip};
use crate::net::arp::NeighParms;
use crate::node::disk::End;
use crate::node::log::Level;
use crate::node::process::{Action, Ctx, Input, Process, Timer};
use crate::node::world::{Ev, World};
use std::collections::VecDeque;

/// Who gets the next request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// One at random.
    Random,
    /// One after the other.
    Turn,
    /// The one with the fewest open requests, the first of them.
    Fewest,
}
/// How long a request is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Exponentially distributed.
    Exponential,
    /// Always the mean.
    Constant,
}
/// A service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Mean time between arrivals.
    pub arrivals: Span,
    /// Mean time of service.
    pub service: Span,
    /// Its distribution.
    pub kind: Service,
    /// Servers, each with a queue of its own.
    pub servers: u32,
    /// Workers of a server.
    pub workers: u32,
    /// Room in a server, workers included; nothing: without end.
    pub room: Option<u32>,
    /// Who gets the next request.
    pub choice: Choice,
    /// This server refuses everything at once.
    pub refuses: Option<u32>,
}

/// What was counted so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests that came.
    pub came: u64,
    /// That found no room.
    pub blocked: u64,
    /// That were refused by the broken server.
    pub refused: u64,
    /// Whose service began.
    pub begun: u64,
    /// That had to wait.
    pub waited: u64,
    /// That waited longer than a second.
    pub long: u64,
    /// The sum of all waits, in nanoseconds.
    pub wait: u128,
    /// The integral of the length of the queue over time, in nanoseconds.
    pub queue: u128,
}
impl Counts {
    /// What came after `earlier`.
    #[must_use]
    pub fn since(self, e: Counts) -> Counts {
        Counts {
            came: self.came - e.came,
            blocked: self.blocked - e.blocked,
            refused: self.refused - e.refused,
            begun: self.begun - e.begun,
            waited: self.waited - e.waited,
            long: self.long - e.long,
            wait: self.wait - e.wait,
            queue: self.queue - e.queue,
        }
    }
    fn add(&mut self, o: Counts) {
        self.came += o.came;
        self.blocked += o.blocked;
        self.refused += o.refused;
        self.begun += o.begun;
        self.waited += o.waited;
        self.long += o.long;
        self.wait += o.wait;
        self.queue += o.queue;
    }
}

/// A request, or the news that it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Msg {
    /// Serve this.
    Request,
    /// A server is done with one.
    Over(u32),
}

/// A process.
#[derive(Clone, Debug)]
pub enum Party {
    /// Clients and director: requests come at random and go to a server.
    Source {
        /// The service.
        setup: Setup,
        /// Whose turn it is.
        turn: u32,
        /// Open requests of each server.
        open: Vec<u32>,
    },
    /// A server.
    Server(Box<Server>),
}
/// A server: workers and a queue.
#[derive(Clone, Debug)]
pub struct Server {
    setup: Setup,
    me: u32,
    /// Busy workers, by their timers.
    busy: Vec<bool>,
    queue: VecDeque<Time>,
    /// When the queue changed last.
    at: Time,
    counts: Counts,
}

const PORT: u16 = 80;
fn server_ip(n: u32) -> Ip {
    Ip(0x0A00_0002 + n)
}

impl Process for Party {
    type Msg = Msg;
    type Note = ();
    type Files = ();
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, (), ()>) {
        match self {
            Party::Source { setup, turn, open } => match input {
                Input::Start => {
                    ctx.act(Action::Bind(PORT));
                    next_arrival(setup, ctx);
                }
                Input::Timer(_) => {
                    next_arrival(setup, ctx);
                    let n = match setup.choice {
                        Choice::Random => ctx.below(u64::from(setup.servers)) as u32,
                        Choice::Turn => {
                            *turn = (*turn + 1) % setup.servers;
                            *turn
                        }
                        Choice::Fewest => (0..setup.servers).min_by_key(|n| open[*n as usize]).unwrap_or(0),
                    };
                    open[n as usize] += 1;
                    send(server_ip(n), Msg::Request, ctx);
                }
                Input::Packet { msg: Msg::Over(n), .. } => open[n as usize] -= 1,
                _ => {}
            },
            Party::Server(s) => match input {
                Input::Start => ctx.act(Action::Bind(PORT)),
                Input::Packet { msg: Msg::Request, .. } => s.request(ctx),
                Input::Timer(Timer(w)) => {
                    s.busy[w as usize] = false;
                    s.over(ctx);
                    s.next(w, ctx);
                }
                _ => {}
            },
        }
    }
    fn reset(&mut self, _: End, (): &mut ()) {}
}
type Cx<'a> = Ctx<'a, Msg, (), ()>;

fn next_arrival(setup: &Setup, ctx: &mut Cx<'_>) {
    let draw = ctx.below(exponential::BOUND);
    ctx.set_timer(Timer(0), exponential::span(setup.arrivals, draw));
}
fn send(to: Ip, msg: Msg, ctx: &mut Cx<'_>) {
    let (from, to) = (Endpoint::new(Ip::NONE, PORT), Endpoint::new(to, PORT));
    ctx.act(Action::Send { from, to, net: None, plane: Plane::client, msg });
}

impl Server {
    fn new(setup: Setup, me: u32) -> Self {
        Server {
            setup,
            me,
            busy: vec![false; setup.workers as usize],
            queue: VecDeque::new(),
            at: Time::ZERO,
            counts: Counts::default(),
        }
    }
    fn account(&mut self, now: Time) {
        self.counts.queue += self.queue.len() as u128 * u128::from(now.since(self.at).0);
        self.at = now;
    }
    /// Only who chooses by open requests has to know.
    fn over(&self, ctx: &mut Cx<'_>) {
        if self.setup.choice == Choice::Fewest {
            send(Ip(0x0A00_0001), Msg::Over(self.me), ctx);
        }
    }
    fn request(&mut self, ctx: &mut Cx<'_>) {
        self.counts.came += 1;
        if self.setup.refuses == Some(self.me) {
            self.counts.refused += 1;
            return self.over(ctx);
        }
        let inside = self.busy.iter().filter(|b| **b).count() + self.queue.len();
        if self.setup.room.is_some_and(|k| inside as u32 >= k) {
            self.counts.blocked += 1;
            return self.over(ctx);
        }
        self.account(ctx.now);
        self.queue.push_back(ctx.now);
        if let Some(w) = self.busy.iter().position(|b| !b) {
            self.next(w as u16, ctx);
        }
    }
    fn next(&mut self, worker: u16, ctx: &mut Cx<'_>) {
        self.account(ctx.now);
        let Some(since) = self.queue.pop_front() else { return };
        let wait = ctx.now.since(since);
        self.counts.begun += 1;
        self.counts.waited += u64::from(!wait.is_zero());
        self.counts.long += u64::from(wait > Span::secs(1));
        self.counts.wait += u128::from(wait.0);
        self.busy[worker as usize] = true;
        let time = match self.setup.kind {
            Service::Constant => self.setup.service,
            Service::Exponential => {
                let draw = ctx.below(exponential::BOUND);
                exponential::span(self.setup.service, draw)
            }
        };
        ctx.set_timer(Timer(worker), time);
    }
}

/// The world as a model of the engine.
#[derive(Clone)]
pub struct Shop(World<Party>);
impl Model for Shop {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.0.log.entries.clear();
        match event {
            Ev::Outer(h) => self.0.boot_now(crate::node::process::HostId(h as u16), s),
            event => self.0.handle(event, s),
        }
    }
}
impl Shop {
    /// What all servers counted, up to `now`.
    pub fn counts(&self, now: Time) -> Counts {
        let mut all = Counts::default();
        for p in &self.0.procs {
            if let Party::Server(s) = &p.logic {
                let mut s = s.clone();
                s.account(now);
                all.add(s.counts);
            }
        }
        all
    }
}

/// A run of the service.
pub fn start(setup: Setup, seed: u64) -> Engine<Shop> {
    let mut world: World<Party> = World::new(seed, Level::Story, |_| ("request", 0));
    let zero = SpanRange::exactly(Span::ZERO);
    let net = world.add_net("lan", zero, Chance::NEVER, Chance::NEVER, Span::secs(300));
    // Neighbours never age: who is who is not the question here.
    let parms = NeighParms {
        base_reachable_time: Span::secs(1_000_000_000),
        ..crate::scenario::types::Sysctl::default().neigh()
    };
    let mut sched = Scheduler::new();
    let source = Party::Source { setup, turn: setup.servers - 1, open: vec![0; setup.servers as usize] };
    let servers = (0..setup.servers).map(|n| (server_ip(n), Party::Server(Box::new(Server::new(setup, n)))));
    for (i, (ip, party)) in std::iter::once((Ip(0x0A00_0001), source)).chain(servers).enumerate() {
        let host = world.add_host(&format!("h{i}"), parms, zero, zero);
        world.plug(host, net, Cidr { ip, prefix: 24 });
        world.add_proc(host, "party", None, party);
        sched.at(Time::ZERO, Ev::Outer(i as u32));
    }
    Engine { model: Shop(world), sched }
}
