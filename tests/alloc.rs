//! In the steady state an event costs no allocation. One test in a binary of its own: the allocator counts the whole process.

#![allow(clippy::unwrap_used)]

use firedrill::engine::{Engine, Model, Scheduler, Span, Time, TimerId};
use firedrill::node::log::Level;
use firedrill::scenario::build::build;
use firedrill::scenario::load::load;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Ten nodes beat to each other every 100 ms; every beat arms a timer again.
struct Mesh {
    timers: Vec<TimerId>,
    beats: u64,
}
#[derive(Clone)]
enum Ev {
    Beat(usize),
    Heard(usize),
    Silent,
}
impl Model for Mesh {
    type Event = Ev;
    fn handle(&mut self, event: Ev, sched: &mut Scheduler<Ev>) {
        match event {
            Ev::Beat(node) => {
                self.beats += 1;
                for peer in (0..10).filter(|p| *p != node) {
                    sched.after(Span::us(900 + peer as u64), Ev::Heard(peer * 10 + node));
                }
                sched.after(Span::ms(100), Ev::Beat(node));
            }
            Ev::Heard(pair) => {
                let at = sched.now() + Span::ms(500);
                sched.arm(self.timers[pair], at);
            }
            Ev::Silent => unreachable!("every beat arrives"),
        }
    }
}

/// Without the test harness, whose own threads allocate when they please.
fn main() {
    the_engine();
    the_whole_world();
    println!("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

/// Three hosts with keepalived, a service and TCP clients: adverts, ARP, connections opened and closed.
fn the_whole_world() {
    let loaded = load("keepalived/master-power-off", &[], None).unwrap();
    let mut sim = build(&loaded.stack, &loaded.drill, 1, Level::Off);
    sim.run_until(Time::ZERO + Span::secs(15));
    let (handled, region) = (sim.sched.handled(), Region::new(GLOBAL));
    sim.run_until(Time::ZERO + Span::secs(29));
    let change = region.change();
    let events = sim.sched.handled() - handled;
    assert!(events > 5_000, "{events}");
    assert_eq!((change.allocations, change.reallocations), (0, 0), "in {events} events");
}

fn the_engine() {
    let mut engine = Engine::new(Mesh { timers: Vec::new(), beats: 0 });
    engine.model.timers = (0..100).map(|_| engine.sched.new_timer(Ev::Silent)).collect();
    for node in 0..10 {
        engine.sched.after(Span::ms(10 * node as u64), Ev::Beat(node));
    }
    engine.run_until(Time::ZERO + Span::secs(10));
    let (handled, region) = (engine.sched.handled(), Region::new(GLOBAL));
    engine.run_until(Time::ZERO + Span::secs(1000));
    let change = region.change();
    assert_eq!(
        engine.sched.handled() - handled,
        990 * 10 * 10 * 10,
        "990 s, 10 beats a second, 1 + 9 events"
    );
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}
