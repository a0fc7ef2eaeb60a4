//! Many runs of a four-minute drill with a database, clients and checks beside the bare loop, in turn (A B A B), CPU seconds of one core.
//!
//!     cargo bench --bench sweep                         # five rounds of 100 runs of each drill and ten million bare events
//!     cargo bench --bench sweep -- 1 50                 # rounds, runs in each
//!     taskset -c 1 cargo bench --bench sweep            # without the rows for both cores
//!
//! What the project promises itself: two cores play 10,000 runs in the time in which one core's bare loop handles 600 million events, so
//! one run may cost what 120,000 bare events cost. "Ratio" is that cost over the run's: above 1 the promise is kept. The second ratio is of
//! wall time, with both cores at work on runs as a sweep has them: two busy cores of most machines are less than twice one. The bare loop
//! is the mesh of ten hosts (W2), and beside it the hold model with 1,000 processes (W1), which knows neither networks nor timers.

#[allow(dead_code)]
mod workloads;

use firedrill::experiment::headless;
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;
use workloads::{Done, w1_bare, w2_bare};

/// The memory of the program as it is shipped.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bare events that a run may cost.
const PROMISE: f64 = 600e6 / 10_000.0 * 2.0;

/// CPU seconds of this process, or wall seconds where the system does not tell.
fn cpu(start: &Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let ns = stat.split(' ').next().and_then(|s| s.parse::<u64>().ok());
    ns.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

/// Four-minute drills of Patroni with clients and checks, on these stacks.
const DRILLS: [(&str, &str); 4] = [
    ("patroni/primary-power-off", "patroni-etcd-haproxy"),
    ("any/primary-power-off", "patroni-vip-on-hosts"),
    ("any/primary-power-off", "patroni-dns"),
    ("any/primary-power-off", "patroni-consul-haproxy"),
];

fn main() {
    let start = Instant::now();
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |i: usize, default: u64| args.get(i).and_then(|s| s.parse().ok()).unwrap_or(default);
    let (rounds, runs) = (number(0, 5).max(1), number(1, 100).max(1));
    let per_event = |program: Box<dyn FnOnce() -> Done>| {
        let t = cpu(&start);
        let done = black_box(program());
        (cpu(&start) - t) / done.work as f64
    };
    let drills: Vec<_> = DRILLS
        .iter()
        .filter_map(|(drill, stack)| firedrill::scenario::load::load(drill, &[], Some(stack)).ok())
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let both = rayon::ThreadPoolBuilder::new().num_threads(2).build().ok().filter(|_| cores >= 2);
    let (mut w1, mut w2) = (Vec::new(), Vec::new());
    let mut run = vec![(Vec::new(), Vec::new(), 0); drills.len()];
    for round in 0..=rounds {
        let a = per_event(Box::new(w1_bare(1000, 5_000_000)));
        let b = per_event(Box::new(w2_bare(10)));
        for (l, (times, walls, events)) in drills.iter().zip(&mut run) {
            let play = |seed| black_box(headless::run(&l.stack, &l.drill, seed)).events;
            let t = cpu(&start);
            *events = (0..runs).map(play).sum::<u64>();
            // The first round is a warm-up.
            if round > 0 {
                times.push((cpu(&start) - t) / runs as f64);
            }
            if let Some(both) = &both {
                let t = Instant::now();
                black_box(both.install(|| (0..2 * runs).into_par_iter().map(play).sum::<u64>()));
                if round > 0 {
                    walls.push(t.elapsed().as_secs_f64() / (2 * runs) as f64);
                }
            }
        }
        if round > 0 {
            w1.push(a);
            w2.push(b);
        }
    }
    let bare = [("w2-10", median(w2)), ("w1-1000", median(w1))];
    for (name, bare) in bare {
        println!("{name:<8} {:.1} M bare events a second: 600 M in {:.0} s", 1e-6 / bare, bare * 600e6);
    }
    for ((drill, stack), (times, walls, events)) in DRILLS.iter().zip(run) {
        let (run, each) = (median(times), events as f64 / runs as f64);
        println!(
            "{drill} on {stack}: a run {:.2} ms, {each:.0} events, {:.0} ns an event",
            run * 1e3,
            run * 1e9 / each
        );
        let ratios = |allowed: f64, run: f64| -> String {
            let each: Vec<_> = bare.iter().map(|(n, b)| format!("{:.2} ({n})", b * allowed / run)).collect();
            each.join(", ")
        };
        println!("    10,000 runs on two cores in {:.0} s; ratio {}", run * 5_000.0, ratios(PROMISE, run));
        if !walls.is_empty() {
            let wall = median(walls);
            println!(
                "    wall time with both at work {:.0} s; ratio {}",
                wall * 10_000.0,
                ratios(PROMISE / 2.0, wall)
            );
        }
    }
}
