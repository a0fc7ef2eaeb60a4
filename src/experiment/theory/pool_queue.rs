//! A pgpool, with every process of it, before a crowd of clients that come at random: its children and the kernel's accept queue are M/M/c/K.
//!
//! A client that the kernel does not answer goes at once, so that a dropped SYN is a lost arrival and not a delayed one. The network takes
//! microseconds, the server and the child's own work nothing: what is measured is the queue alone.

use crate::engine::exponential::{BOUND, span};
use crate::engine::{Chance, Engine, Model, Scheduler, Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip};
use crate::node::disk::End;
use crate::node::log::Level;
use crate::node::process::{Action, ConnId, HostId, Input, Pid, Process, Tcp, TcpOptions, Timer};
use crate::node::world::{Ev, World};
use crate::proto::pgpool::{Backend, Pgpool, Proc, Role, Setup, config, roles};
use crate::proto::postgres::msg::{Answer, Sql};
use crate::proto::postgres::sql::Catalog;
use crate::proto::{Cx, Files, Msg, Note};
use crate::scenario::types::Sysctl;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Clients that arrive at random, hold their sessions for a random time, and go at once if the kernel does not answer them.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    mean: Span,
    next: Time,
    /// What happens when, by connection: patience, or the end of the session.
    due: BTreeSet<(Time, u32, bool)>,
    open: BTreeMap<u32, (Time, bool)>,
    /// How many have come.
    pub arrivals: u64,
    /// Those of them whom the kernel did not answer.
    pub blocked: u64,
    /// The sum of the waits between the kernel's answer and pgpool's, in nanoseconds.
    pub waited: u64,
    /// Arrivals of a batch.
    batch: u64,
    /// The three figures at the end of each batch.
    pub batches: Vec<(u64, u64, u64)>,
}
const PATIENCE: Span = Span::ms(2);
const HOLD: Span = Span::secs(1);
impl Crowd {
    fn draw(mean: Span, ctx: &mut Cx<'_>) -> Span {
        span(mean, ctx.below(BOUND))
    }
    fn arm(&self, ctx: &mut Cx<'_>) {
        let due = self.due.first().map_or(Time::MAX, |d| d.0).min(self.next);
        ctx.set_timer(Timer(0), due.since(ctx.now));
    }
    fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => self.next = ctx.now + Span::secs(1),
            Input::Timer(_) => {
                while self.next <= ctx.now {
                    self.next += Self::draw(self.mean, ctx);
                    let to = Endpoint::new(Ip(0x0A00_0001), 9999);
                    let conn = ctx.connect(to, Plane::client, TcpOptions::default());
                    self.open.insert(conn.0, (ctx.now, false));
                    self.due.insert((ctx.now + PATIENCE, conn.0, false));
                    self.arrivals += 1;
                    if self.arrivals.is_multiple_of(self.batch) {
                        self.batches.push((self.arrivals, self.blocked, self.waited));
                    }
                }
                while self.due.first().is_some_and(|d| d.0 <= ctx.now) {
                    let Some((_, n, over)) = self.due.pop_first() else { break };
                    if over {
                        ctx.act(Action::Close(ConnId(n)));
                    } else if self.open.get(&n).is_some_and(|o| !o.1) {
                        self.blocked += 1;
                        self.open.remove(&n);
                        ctx.act(Action::Close(ConnId(n)));
                    }
                }
            }
            Input::Tcp(conn, Tcp::Connected) => {
                if let Some(o) = self.open.get_mut(&conn.0) {
                    *o = (ctx.now, true);
                }
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: false })));
            }
            Input::Tcp(conn, Tcp::Data(Msg::Sql(Sql::Ready(..)))) => {
                if let Some((since, _)) = self.open.remove(&conn.0) {
                    self.waited += ctx.now.since(since).0;
                }
                let hold = Self::draw(HOLD, ctx);
                self.due.insert((ctx.now + hold, conn.0, true));
            }
            _ => {}
        }
        self.arm(ctx);
    }
}

/// A process of this world.
#[derive(Clone, Debug)]
pub enum Node {
    /// One of pgpool's.
    Pool(Box<Proc>),
    /// A server that answers at once.
    Server,
    /// The clients.
    Crowd(Box<Crowd>),
}
impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = Files;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self {
            Node::Pool(p) => p.on(input, ctx),
            Node::Crowd(c) => c.on(input, ctx),
            Node::Server => match input {
                Input::Start => ctx.act(Action::Listen(5432, 1_000)),
                Input::Tcp(c, Tcp::Data(Msg::Sql(Sql::Startup { .. } | Sql::Login(_)))) => {
                    ctx.act(Action::TcpSend(c, Msg::Sql(Sql::Ready(ctx.host, false))));
                }
                Input::Tcp(c, Tcp::Data(Msg::Sql(Sql::Query(id, _)))) => {
                    ctx.act(Action::TcpSend(c, Msg::Sql(Sql::Done(id, Answer::Done))));
                }
                Input::Tcp(c, Tcp::Closed) => ctx.act(Action::Close(c)),
                _ => {}
            },
        }
    }
    fn reset(&mut self, end: End, files: &mut Files) {
        if let Node::Pool(p) = self {
            p.reset(end, &mut files.pgpool);
        }
    }
}
/// The world.
#[derive(Clone)]
struct Lab {
    world: World<Node>,
}
impl Model for Lab {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.world.log.entries.clear();
        match event {
            Ev::Outer(h) => self.world.boot_now(HostId(h as u16), s),
            event => self.world.handle(event, s),
        }
    }
}

/// pgpool with its defaults but for the 65th place, sessions of a second on the mean: arrivals per second, how many, and how many
/// make a batch.
pub fn play(lambda: u64, arrivals: u64, batch: u64, seed: u64) -> Crowd {
    let config = Pgpool {
        backend_clustering_mode: Some(config::Mode::Raw),
        accept_queue_plus_one: false,
        cpu_per_session: Span::ZERO,
        child_life_time: Span::ZERO,
        ..Pgpool::default()
    };
    let mut world = World::new(seed, Level::Off, crate::proto::label);
    let us = SpanRange::exactly(Span::us(1));
    let net = world.add_net("lan", us, Chance::NEVER, Chance::NEVER, Span::secs(300));
    for (i, name) in ["pool", "db", "crowd"].iter().enumerate() {
        let h = world.add_host(
            name,
            Sysctl::default().neigh(),
            SpanRange::exactly(Span::secs(1)),
            SpanRange::default(),
        );
        world.plug(h, net, Cidr { ip: Ip(0x0A00_0001 + i as u32), prefix: 24 });
    }
    let all = roles(&config, 1, 0);
    let backend = Backend {
        host: "db".into(),
        ip: Ip(0x0A00_0002),
        port: 5432,
        weight: 1,
        flag: config::Flag::default(),
    };
    let setup = Arc::new(Setup {
        backends: vec![backend],
        processes: all.iter().enumerate().map(|(i, r)| (*r, Pid(i as u16))).collect(),
        ..Setup::new(config, "pool", Ip(0x0A00_0001), Catalog::default())
    });
    for role in all {
        let parent = (role != Role::Parent).then_some(Pid(0));
        world.add_proc(
            HostId(0),
            &role.name("pgpool"),
            parent,
            Node::Pool(Box::new(Proc::new(role, &setup))),
        );
    }
    world.add_proc(HostId(1), "postgres", None, Node::Server);
    let mean = Span(1_000_000_000 / lambda);
    let crowd = world.add_proc(
        HostId(2),
        "crowd",
        None,
        Node::Crowd(Box::new(Crowd { mean, batch: batch.max(1), ..Crowd::default() })),
    );
    let mut sched = Scheduler::new();
    for h in 0..3 {
        sched.at(Time::ZERO, Ev::Outer(h));
    }
    let mut sim = Engine { model: Lab { world }, sched };
    loop {
        sim.run_until(sim.sched.now() + Span::secs(500));
        if let Node::Crowd(c) = &sim.model.world.proc(crowd).logic
            && c.arrivals >= arrivals
        {
            return (**c).clone();
        }
    }
}
