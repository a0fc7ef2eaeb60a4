//! How long many runs of a four-minute drill with a database, clients and checks take, beside the bare loop, side by side.
//!
//!     cargo bench --bench sweep              # five rounds
//!     cargo bench --bench sweep -- 1 200     # rounds, runs in each

#[allow(dead_code)]
mod workloads;

use firedrill::experiment::headless;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |i: usize, default: u64| args.get(i).and_then(|s| s.parse().ok()).unwrap_or(default);
    let (rounds, runs) = (number(0, 5), number(1, 400));
    let Ok(l) = firedrill::scenario::load::load("patroni/primary-power-off", &[], None) else { return };
    for _ in 0..rounds {
        let t = Instant::now();
        let mut events = 0;
        for seed in 0..runs {
            events += black_box(headless::run(&l.stack, &l.drill, seed)).events;
        }
        let secs = t.elapsed().as_secs_f64();
        println!("{:.3} ms a run, {:.1} ns an event", secs * 1e3 / runs as f64, secs * 1e9 / events as f64);
    }
}
