//! Simulated beside exact: each case is played many times, and the mean of the replications has to lie within three standard errors.
//!
//! A replication of a queue is one long run without its warm-up; replications are independent, so that their spread gives the error
//! (waits within a run are correlated and would not). Replications run on all cores; results are in the order of their seeds.

use super::queue_world::{self, Choice, Counts, Service, Setup};
use super::queues::{MMc, MMcK};
use super::{availability, checkpoint, detection, plant, pool_queue, queues};
use crate::engine::{Span, SpanRange, Time};
use crate::node::log::Level;
use crate::scenario::types::{At, Drill, Fault, Stack, Target};
use crate::trace::run::{Run, run};
use rayon::prelude::*;

/// How much is played.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Independent replications of each case, 30 or more.
    pub replications: u32,
    /// Customers of a replication of a queue.
    pub customers: u32,
    /// The seed of the first replication.
    pub seed: u64,
}
impl Default for Effort {
    fn default() -> Self {
        Effort { replications: 40, customers: 20_000, seed: 1 }
    }
}

/// A quantity, exact and simulated.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// What is played.
    pub case: String,
    /// What is measured.
    pub quantity: &'static str,
    /// The formula's value.
    pub exact: f64,
    /// The mean of the replications.
    pub simulated: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The mean and three standard errors on each side.
    pub interval: [f64; 2],
    /// Replications.
    pub replications: usize,
    /// The exact value lies in the interval.
    pub agrees: bool,
}

/// Mean and standard error.
pub fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (var / n).sqrt())
}

/// Compares replications with the exact value.
pub fn row(case: &str, quantity: &'static str, exact: f64, values: &[f64]) -> Row {
    let (simulated, e) = mean_and_error(values);
    // Rounding of sums: a quantity without any spread is met to twelve digits.
    let slack = exact.abs() * 1e-12;
    Row {
        case: case.to_owned(),
        quantity,
        exact,
        simulated,
        standard_error: e,
        interval: [simulated - 3.0 * e, simulated + 3.0 * e],
        replications: values.len(),
        agrees: (simulated - exact).abs() <= 3.0 * e + slack,
    }
}

/// Plays `n` replications on all cores; results in the order of the seeds.
pub fn replicate<T: Send>(effort: Effort, play: impl Fn(u64) -> T + Sync) -> Vec<T> {
    (0..u64::from(effort.replications)).into_par_iter().map(|i| play(effort.seed + i)).collect()
}

fn nanos(seconds: f64) -> Span {
    Span((seconds * 1e9).round() as u64)
}

// ---- queues ---------------------------------------------------------------------------------------------------------

/// A service of rate 1 per worker.
fn setup(lambda: f64, workers: u32) -> Setup {
    Setup {
        arrivals: nanos(1.0 / lambda),
        service: Span::secs(1),
        kind: Service::Exponential,
        servers: 1,
        workers,
        room: None,
        choice: Choice::Turn,
        refuses: None,
    }
}
/// What a replication counted after its warm-up, and for how many seconds.
fn play(setup: Setup, effort: Effort, seed: u64) -> (Counts, f64) {
    let long = setup.arrivals.times(u64::from(effort.customers));
    let warm = Time::ZERO + long.ratio(1, 4);
    let end = warm + long;
    let mut sim = queue_world::start(setup, seed);
    sim.run_until(warm);
    let before = sim.model.counts(warm);
    sim.run_until(end);
    (sim.model.counts(end).since(before), long.0 as f64 / 1e9)
}
fn all(setup: Setup, effort: Effort) -> Vec<(Counts, f64)> {
    replicate(effort, |seed| play(setup, effort, seed))
}
fn each(runs: &[(Counts, f64)], f: impl Fn(&Counts, f64) -> f64) -> Vec<f64> {
    runs.iter().map(|(c, t)| f(c, *t)).collect()
}
fn share(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64
}
fn mean_wait(c: &Counts) -> f64 {
    c.wait as f64 / 1e9 / c.begun.max(1) as f64
}

/// M/M/c.
pub fn mmc(c: u32, load: f64, effort: Effort) -> Vec<Row> {
    let q = MMc { lambda: load, mu: 1.0, c };
    let runs = all(setup(load, c), effort);
    let case = format!("M/M/{c} load {load}");
    vec![
        row(&case, "P(wait)", q.p_wait(), &each(&runs, |c, _| share(c.waited, c.begun))),
        row(&case, "Wq", q.wq(), &each(&runs, |c, _| mean_wait(c))),
        row(&case, "Lq", q.lq(), &each(&runs, |c, t| c.queue as f64 / 1e9 / t)),
        row(&case, "P(Wq > 1)", q.p_wait_longer(1.0), &each(&runs, |c, _| share(c.long, c.begun))),
    ]
}
/// M/M/c/K.
pub fn mmck(c: u32, k: u32, load: f64, effort: Effort) -> Vec<Row> {
    let q = MMcK { queue: MMc { lambda: load, mu: 1.0, c }, k };
    let runs = all(Setup { room: Some(k), ..setup(load, c) }, effort);
    let case = format!("M/M/{c}/{k} load {load}");
    vec![
        row(&case, "P(no room)", q.p_block(), &each(&runs, |c, _| share(c.blocked, c.came))),
        row(&case, "Lq", q.lq(), &each(&runs, |c, t| c.queue as f64 / 1e9 / t)),
    ]
}
/// pgpool as it is configured by nobody: 32 children, 64 places in the kernel's queue.
pub fn pgpool(lambda: u32, effort: Effort) -> Vec<Row> {
    let q = MMcK { queue: MMc { lambda: f64::from(lambda), mu: 1.0, c: 32 }, k: 96 };
    let customers = u64::from(effort.customers);
    let warm = customers / 4;
    let runs = replicate(effort, |seed| {
        let crowd = pool_queue::play(u64::from(lambda), warm + customers, warm, seed);
        // The first batch is the warm-up.
        let begin = crowd.batches.first().copied().unwrap_or_default();
        let came = (crowd.arrivals - begin.0).max(1) as f64;
        let blocked = (crowd.blocked - begin.1) as f64 / came;
        // Little: the mean queue is what was waited in that time.
        let waited = (crowd.waited - begin.2) as f64 / 1e9;
        (blocked, waited * f64::from(lambda) / came)
    });
    let case = format!("pgpool, M/M/32/96 load {lambda}");
    vec![
        row(&case, "P(no room)", q.p_block(), &runs.iter().map(|r| r.0).collect::<Vec<_>>()),
        row(&case, "Lq", q.lq(), &runs.iter().map(|r| r.1).collect::<Vec<_>>()),
    ]
}
/// Four servers with a queue each, chosen at random, at this utilisation.
pub fn split(rho: f64, effort: Effort) -> Row {
    let runs = all(Setup { servers: 4, choice: Choice::Random, ..setup(4.0 * rho, 1) }, effort);
    let exact = MMc { lambda: rho, mu: 1.0, c: 1 }.w();
    row(&format!("4 x M/M/1 at random, rho {rho}"), "W", exact, &each(&runs, |c, _| mean_wait(c) + 1.0))
}
/// M/D/1.
pub fn constant(rho: f64, effort: Effort) -> Row {
    let runs = all(Setup { kind: Service::Constant, ..setup(rho, 1) }, effort);
    row(
        &format!("M/D/1 load {rho}"),
        "Wq",
        queues::mg1_wait(rho, 1.0, 1.0),
        &each(&runs, |c, _| mean_wait(c)),
    )
}
/// One of `n` servers refuses everything for `d` seconds.
pub fn black_hole(lambda: f64, n: u32, d: u64, fewest: bool, effort: Effort) -> Row {
    // The others are never idle: each has room for all, and 100 times a server's share is open at any time.
    let setup = Setup {
        arrivals: nanos(1.0 / lambda),
        service: Span::secs(u64::from(n) * 100),
        kind: Service::Exponential,
        servers: n,
        workers: 2_000,
        room: None,
        choice: if fewest { Choice::Fewest } else { Choice::Turn },
        refuses: Some(1),
    };
    let values = replicate(effort, |seed| {
        let mut sim = queue_world::start(setup, seed);
        // Until then every other server has something to do.
        let warm = Time::secs(10);
        sim.run_until(warm);
        let before = sim.model.counts(warm);
        let end = warm + Span::secs(d);
        sim.run_until(end);
        sim.model.counts(end).since(before).refused as f64
    });
    let (name, exact) = if fewest {
        ("fewest connections", queues::losses_black_hole(lambda, d as f64))
    } else {
        ("in turn", queues::losses_in_turn(lambda, n, d as f64))
    };
    row(&format!("1 of {n} refuses for {d} s, {lambda}/s, {name}"), "requests lost", exact, &values)
}

// ---- availability ---------------------------------------------------------------------------------------------------

/// The shares of the time with so many of `n` hosts down.
fn shares(n: u16, mtbf: f64, mttr: f64, crews: u32, effort: Effort) -> Vec<Vec<f64>> {
    let long = Time::ZERO + nanos(mtbf * f64::from(effort.customers) / 10.0);
    let runs = replicate(effort, |seed| {
        let mut sim = plant::start(n, nanos(mtbf), nanos(mttr), crews, seed);
        // Ten repairs long, what was up at the start is still to be seen.
        let warm = Time::ZERO + nanos(mttr * 10.0);
        sim.run_until(warm);
        sim.model.account(warm);
        let before = sim.model.down.clone();
        sim.run_until(long);
        sim.model.account(long);
        let total = long.since(warm).0 as f64;
        sim.model.down.iter().zip(&before).map(|(a, b)| (a - b) as f64 / total).collect::<Vec<f64>>()
    });
    (0..=n as usize).map(|j| runs.iter().map(|r| r[j]).collect()).collect()
}
/// n hosts with crews: the probabilities of the birth-death process.
pub fn birth_death(n: u16, crews: u32, effort: Effort) -> Vec<Row> {
    let exact = availability::birth_death(u32::from(n), 0.001, crews, 0.1);
    let names = ["0 down", "1 down", "2 down", "3 down"];
    // All of three are down six millionths of the time: about one spell a run, too few for an error of the mean that can be believed.
    let longer = if n > 2 { 20 } else { 1 };
    let effort = Effort { customers: effort.customers.saturating_mul(longer), ..effort };
    shares(n, 1000.0, 10.0, crews, effort)
        .iter()
        .zip(exact)
        .zip(names)
        .map(|((v, e), name)| row(&format!("{n} hosts, {crews} crews, MTBF 1000, MTTR 10"), name, e, v))
        .collect()
}
/// k of n hosts, each repaired at once.
pub fn k_of_n(k: u16, n: u16, effort: Effort) -> Row {
    let v = shares(n, 900.0, 100.0, u32::from(n), effort);
    let up: Vec<f64> = (0..v[0].len()).map(|i| (0..=(n - k) as usize).map(|j| v[j][i]).sum()).collect();
    let exact = availability::k_of_n(u32::from(k), u32::from(n), 0.9);
    row(&format!("{k} of {n} hosts, A = 0.9"), "availability", exact, &up)
}
/// From all up to fewer than `k` of `n` up, one crew.
pub fn mttf(k: u16, n: u16, effort: Effort) -> Row {
    let each = 25;
    let values = replicate(effort, |seed| {
        let sum: f64 = (0..each)
            .map(|i| {
                let mut sim = plant::start(n, Span::secs(1000), Span::secs(10), 1, seed * 1000 + i);
                while sim.model.first[(n - k + 1) as usize].is_none() && sim.step(Time::MAX) {}
                sim.model.first[(n - k + 1) as usize].map_or(0.0, |t| t.0 as f64 / 1e9)
            })
            .sum();
        sum / each as f64
    });
    let exact = availability::mttf(u32::from(k), u32::from(n), 0.001, 0.1);
    row(&format!("{k} of {n} hosts, 1 crew, MTBF 1000, MTTR 10"), "MTTF", exact, &values)
}

// ---- jobs -----------------------------------------------------------------------------------------------------------

/// A cluster of `n` nodes with one job, as the scenario files would say it.
pub fn job_cluster(n: u32, node: &str, job: &str) -> Result<Stack, String> {
    let nodes: String = (1..=n).map(|i| format!("\"n{i}\": (runs: [Slurmd({node})]),")).collect();
    // Nobody is asked whether it lives, and nothing else happens: the job alone is in question.
    let text = format!(
        "(about: \"\", networks: {{ \"lan\": (latency: \"0s\") }}, hosts: {{
            \"ctl\": (runs: [Slurmctld(scheduler_type: Easy, slurmd_timeout: \"0s\", batch_sched_delay: \"0s\")]),
            \"login\": (runs: [Sbatch(jobs: [({job})])]), {nodes} }})"
    );
    stack_of(&text)
}
fn stack_of(text: &str) -> Result<Stack, String> {
    crate::scenario::load::read("theory", text).map(|s| s.0).map_err(|e| e.render(false))
}
/// A drill of this length with these faults.
pub fn plain_drill(until: Span, faults: Vec<At>) -> Drill {
    Drill {
        about: String::new(),
        stack: String::new(),
        until,
        seed: 1,
        set: std::collections::BTreeMap::new(),
        faults,
        expect: Vec::new(),
        measured: None,
    }
}
/// How long the job was on its nodes, in seconds.
fn on_nodes(r: &Run) -> f64 {
    let stay = r.jobs.all.first().and_then(|j| j.stays.first());
    stay.and_then(|s| Some(s.to?.since(s.from))).map_or(f64::NAN, |d| d.0 as f64 / 1e9)
}
/// The wall time of a job on one node of mean time between failures `m`, restarted there; all in seconds. `tau` 0: no checkpoints.
pub fn job_times(m: f64, c: f64, r: f64, tau: f64, work: f64, effort: Effort) -> Result<Vec<f64>, String> {
    let span = |s: f64| nanos(s).to_string();
    let job = format!(
        "run: \"{}\", on_failure: Restart, checkpoint_interval: \"{}\", checkpoint_cost: \"{}\", restart_cost: \"{}\"",
        span(work),
        span(tau),
        span(c),
        span(r)
    );
    let stack = job_cluster(1, &format!("mtbf: \"{}\"", span(m)), &job)?;
    let drill = plain_drill(Span::secs(584 * 365 * 86_400), Vec::new());
    Ok(replicate(effort, |seed| on_nodes(&run_to_the_job(&stack, &drill, seed))))
}
/// A run that ends with its job: nothing is of interest after it.
fn run_to_the_job(stack: &Stack, drill: &Drill, seed: u64) -> Run {
    let mut sim = crate::scenario::build::build(stack, drill, seed, Level::Story);
    let mut collector = crate::trace::run::Collector::new(&sim, drill, false);
    let end = Time::ZERO + drill.until;
    while sim.step(end) {
        collector.observe(&sim);
        let over = sim.model.world.log.entries.iter().any(|e| {
            matches!(&e.what, crate::node::log::What::Note(crate::proto::Note::Batch(n)) if n.mark() == Some("job_done"))
        });
        if over {
            break;
        }
    }
    collector.finish(&sim)
}
/// A job with checkpoints (wall time over work), or without.
pub fn job(m: f64, c: f64, r: f64, tau: f64, stretches: u32, effort: Effort) -> Result<Row, String> {
    let (case, exact, work) = if tau > 0.0 {
        let case = format!("job M={m} C={c} R={r} tau={tau}");
        (case, checkpoint::wall(m, c, r, tau, 1.0), tau * f64::from(stretches))
    } else {
        let work = f64::from(stretches);
        (
            format!("job M={m} R={r} work={work}, no checkpoint"),
            checkpoint::wall_without(m, r, work) / work,
            work,
        )
    };
    let more = Effort { replications: effort.replications * 10, ..effort };
    let times = job_times(m, c, r, tau, work, more)?;
    Ok(row(&case, "wall/work", exact, &times.iter().map(|t| t / work).collect::<Vec<_>>()))
}
/// A node is powered off at a random moment: the time to DOWN.
pub fn slurm_down(effort: Effort) -> Result<Row, String> {
    let stack = stack_of(
        "Stack(about: \"\", networks: { \"lan\": () }, hosts: { \"ctl\": (runs: [Slurmctld()]), \"n1\": (runs: [Slurmd()]) })",
    )?;
    let off = Fault::PowerOff { target: Target::Host("n1".to_owned()) };
    let at = SpanRange::new(Span::secs(1000), Span::secs(1200));
    let drill = plain_drill(Span::secs(1700), vec![At::At(at, off)]);
    let more = Effort { replications: effort.replications * 5, ..effort };
    let values = replicate(more, |seed| {
        let r = run(&stack, &drill, seed, Level::Story, false);
        let at =
            |kind: &str| r.marks.iter().find(|m| m.kind == kind).map_or(f64::NAN, |m| m.at.0 as f64 / 1e9);
        at("node_lost") - at("fault")
    });
    Ok(row("Slurm node, SlurmdTimeout 300", "time to DOWN", detection::slurm_down(300.0).0, &values))
}

/// A case: its group, and what plays it.
type Case = (&'static str, Box<dyn Fn(Effort) -> Result<Vec<Row>, String>>);

/// All cases.
pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for (c, load) in [(1, 0.8), (2, 1.6), (3, 2.0), (4, 3.2), (8, 6.4), (10, 8.0), (32, 25.6)] {
        all.push(("queues", Box::new(move |e| Ok(mmc(c, load, e)))));
    }
    for (c, k, load) in [(4, 4, 3.2), (4, 12, 3.2), (2, 6, 2.4), (32, 96, 30.0), (32, 96, 32.0)] {
        all.push(("queues", Box::new(move |e| Ok(mmck(c, k, load, e)))));
    }
    all.push(("queues", Box::new(|e| Ok(pgpool(32, e)))));
    for rho in [0.5, 0.7, 0.8] {
        all.push(("queues", Box::new(move |e| Ok(vec![split(rho, e)]))));
    }
    all.push(("queues", Box::new(|e| Ok(vec![constant(0.8, e)]))));
    for (n, crews) in [(1, 1), (2, 1), (2, 2), (3, 1)] {
        all.push(("availability", Box::new(move |e| Ok(birth_death(n, crews, e)))));
    }
    for (k, n) in [(2, 3), (3, 4), (3, 5)] {
        all.push(("availability", Box::new(move |e| Ok(vec![k_of_n(k, n, e)]))));
    }
    for (k, n) in [(1, 2), (2, 3)] {
        all.push(("availability", Box::new(move |e| Ok(vec![mttf(k, n, e)]))));
    }
    for (m, c, r, tau, n) in [
        (10_000.0, 30.0, 60.0, 774.6, 100),
        (86_400.0, 60.0, 120.0, 3219.94, 100),
        (21_600.0, 300.0, 600.0, 3600.0, 100),
        (900.0, 300.0, 600.0, 546.0, 20),
        (50.0, 0.0, 0.0, 0.0, 100),
        (43_200.0, 0.0, 3600.0, 0.0, 86_400),
    ] {
        all.push(("checkpoints", Box::new(move |e| Ok(vec![job(m, c, r, tau, n, e)?]))));
    }
    all.push(("detection", Box::new(|e| Ok(vec![slurm_down(e)?]))));
    for fewest in [false, true] {
        all.push(("losses", Box::new(move |e| Ok(vec![black_hole(100.0, 4, 5, fewest, e)]))));
    }
    all
}
