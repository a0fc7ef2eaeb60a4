//! Hosts that lose power after exponentially distributed times and are repaired by crews, in a world of the real engine.

use crate::engine::random::StreamId;
use crate::engine::{Engine, Model, Scheduler, Span, SpanRange, Time, exponential};
use crate::node::log::Level;
use crate::node::process::HostId;
use crate::node::world::{Ev, Power};
use crate::proto::{Msg, label};
use crate::sim::World;
use std::collections::VecDeque;

/// A repair ends: the event's number is that of the host and this.
const REPAIRED: u32 = 1 << 16;

/// The plant.
#[derive(Clone)]
pub struct Plant {
    world: World,
    luck: Vec<StreamId>,
    mtbf: Span,
    mttr: Span,
    free_crews: u32,
    broken: VecDeque<u16>,
    /// Time with 0, 1, ... hosts down, in nanoseconds.
    pub down: Vec<u128>,
    /// When so many were down first.
    pub first: Vec<Option<Time>>,
    at: Time,
}

impl Plant {
    fn draw(&mut self, host: u16, mean: Span) -> Span {
        let word = self.world.streams.below(self.luck[host as usize], exponential::BOUND);
        exponential::span(mean, word)
    }
    fn count(&self) -> usize {
        self.world.hosts.iter().filter(|h| h.power == Power::Off).count()
    }
    /// Accounts for the time up to now.
    pub fn account(&mut self, now: Time) {
        let n = self.count();
        self.down[n] += u128::from(now.since(self.at).0);
        self.at = now;
    }
    fn repair(&mut self, s: &mut Scheduler<Ev<Msg>>) {
        while self.free_crews > 0
            && let Some(host) = self.broken.pop_front()
        {
            self.free_crews -= 1;
            let took = self.draw(host, self.mttr);
            s.after(took, Ev::Outer(REPAIRED + u32::from(host)));
        }
    }
}
impl Model for Plant {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.world.log.entries.clear();
        self.account(s.now());
        match event {
            Ev::Outer(n) if n >= REPAIRED => {
                let host = (n - REPAIRED) as u16;
                self.world.boot_now(HostId(host), s);
                self.free_crews += 1;
                let life = self.draw(host, self.mtbf);
                s.after(life, Ev::Outer(u32::from(host)));
                self.repair(s);
            }
            Ev::Outer(n) => {
                self.world.power_off(HostId(n as u16), s);
                let n_down = self.count();
                self.first[n_down].get_or_insert(s.now());
                self.broken.push_back(n as u16);
                self.repair(s);
            }
            other => self.world.handle(other, s),
        }
    }
}

/// A plant of `n` hosts, all up.
pub fn start(n: u16, mtbf: Span, mttr: Span, crews: u32, seed: u64) -> Engine<Plant> {
    let mut world = World::new(seed, Level::Story, label);
    let zero = SpanRange::exactly(Span::ZERO);
    let parms = crate::scenario::types::Sysctl::default().neigh();
    let luck = (0..n).map(|i| world.streams.named(&format!("plant/h{i}"))).collect();
    for i in 0..n {
        world.add_host(&format!("h{i}"), parms, zero, zero);
    }
    let mut sched = Scheduler::new();
    let mut plant = Plant {
        world,
        luck,
        mtbf,
        mttr,
        free_crews: crews,
        broken: VecDeque::new(),
        down: vec![0; n as usize + 1],
        first: vec![None; n as usize + 1],
        at: Time::ZERO,
    };
    for i in 0..n {
        plant.world.boot_now(HostId(i), &mut sched);
        let life = plant.draw(i, mtbf);
        sched.after(life, Ev::Outer(u32::from(i)));
    }
    Engine { model: plant, sched }
}
