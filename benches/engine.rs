//! The engine beside bare loops that do the same work, in turn (A B A B), as ratios of medians of CPU seconds.
//!
//!     taskset -c 1 cargo bench --bench engine               # all
//!     taskset -c 1 cargo bench --bench engine -- w2 5       # those whose name contains "w2", five rounds
//!     cargo bench --bench engine -- line w1-1000            # one line of the engine alone, to set beside another program
//!
//! "Target" is what the project promises itself; a ratio above it is good.

mod workloads;

use std::hint::black_box;
use std::time::Instant;
use workloads::*;

/// CPU seconds of this process, or wall seconds where the system does not tell.
fn cpu(start: &Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let ns = stat.split(' ').next().and_then(|s| s.parse::<u64>().ok());
    ns.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

type Program = Box<dyn FnOnce() -> Done>;
struct Pair {
    name: &'static str,
    target: f64,
    bare: fn() -> Program,
    engine: fn() -> Program,
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn main() {
    let start = Instant::now();
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let pairs = [
        Pair {
            name: "w1-1000",
            target: 1.0,
            bare: || Box::new(w1_bare(1000, 5_000_000)),
            engine: || Box::new(w1_engine(1000, 5_000_000)),
        },
        Pair {
            name: "w1-100000",
            target: 1.0,
            bare: || Box::new(w1_bare(100_000, 2_500_000)),
            engine: || Box::new(w1_engine(100_000, 2_500_000)),
        },
        Pair { name: "w2-3", target: 1.1, bare: || Box::new(w2_bare(3)), engine: || Box::new(w2_engine(3)) },
        Pair {
            name: "w2-10",
            target: 1.1,
            bare: || Box::new(w2_bare(10)),
            engine: || Box::new(w2_engine(10)),
        },
        Pair {
            name: "w2-100",
            target: 1.8,
            bare: || Box::new(w2_bare(100)),
            engine: || Box::new(w2_engine(100)),
        },
        Pair { name: "w3", target: 0.8, bare: || Box::new(w3_bare()), engine: || Box::new(w3_engine()) },
    ];
    let time = |program: Program| {
        let t = cpu(&start);
        let done = black_box(program());
        (cpu(&start) - t, done)
    };
    if args.first().is_some_and(|a| a == "line") {
        for p in pairs.iter().filter(|p| args.get(1).is_none_or(|a| p.name == a)) {
            let (secs, d) = time((p.engine)());
            println!(
                "peer=firedrill w={} secs={secs:.4} rate={:.0} check={}",
                p.name,
                d.work as f64 / secs,
                d.check
            );
        }
        return;
    }
    let wanted = args.first().cloned().unwrap_or_default();
    let rounds = args.get(1).and_then(|s| s.parse().ok()).unwrap_or(5);
    println!(
        "{:<10} {:>12} {:>12} {:>7} {:>8}   check values",
        "workload", "bare /s", "engine /s", "ratio", "target"
    );
    for p in pairs.iter().filter(|p| p.name.contains(&wanted)) {
        let (mut bare, mut engine, mut equal) = (Vec::new(), Vec::new(), true);
        for round in 0..=rounds {
            let (tb, b) = time((p.bare)());
            let (te, e) = time((p.engine)());
            equal &= b == e;
            if round > 0 {
                bare.push(b.work as f64 / tb);
                engine.push(e.work as f64 / te);
            }
        }
        let (b, e) = (median(bare), median(engine));
        println!(
            "{:<10} {b:>12.0} {e:>12.0} {:>6.2}x {:>7.1}x   {}",
            p.name,
            e / b,
            p.target,
            if equal { "equal" } else { "DIFFERENT" }
        );
    }
}
