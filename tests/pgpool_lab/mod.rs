//! Drills of pgpool out of text, played with many seeds, and their marks by kind and host.
#![allow(dead_code, unreachable_pub)] // Each test file uses its own part of it.

use firedrill::engine::Time;
use firedrill::node::log::Level;
use firedrill::scenario::load::{load_text, read};
use firedrill::scenario::types::{Drill, Stack};
use firedrill::trace::run::{Run, run};
use rayon::prelude::*;

/// A stack and a drill.
pub struct Loaded {
    pub stack: Stack,
    pub drill: Drill,
}
/// A drill on the stack of three, with settings and faults.
pub fn drill(set: &str, until: &str, faults: &str) -> Loaded {
    drill_on("pgpool-watchdog", set, until, faults)
}
/// A drill on a stack.
pub fn drill_on(stack: &str, set: &str, until: &str, faults: &str) -> Loaded {
    let text = format!(
        r#"Drill(about: "test", stack: "{stack}", until: "{until}", set: {{ {set} }}, faults: [{faults}])"#
    );
    let l =
        load_text("test", "test.ron", text, &[], None).unwrap_or_else(|r| panic!("{}", r[0].render(false)));
    Loaded { stack: l.stack, drill: l.drill }
}
/// One pgpool on a host of its own, databases on db1, db2 and db3, a writer and a reader on cl: with settings of pgpool, and whether
/// there are clients.
pub fn single(pgpool: &str, clients: bool, until: &str, faults: &str) -> Loaded {
    let app = |what: &str| {
        format!(
            r#"Application(connect: "pool:9999", start_after: "5s", {what}: Pause("20ms"), connect_timeout: "2s", tcp_user_timeout: "2s", statement_timeout: "2s")"#
        )
    };
    let command = if pgpool.contains("failover_command") { "" } else { "failover_command: Promote," };
    let runs = if clients { format!("{}, {}", app("writes"), app("reads")) } else { String::new() };
    let stack = format!(
        r#"Stack(about: "one pgpool", networks: {{ "lan": (latency: "100us..300us") }}, hosts: {{
            "db1": (runs: [Postgres()]),
            "db2": (runs: [Postgres(primary_conninfo: "db1")]),
            "db3": (runs: [Postgres(primary_conninfo: "db1")]),
            "pool": (runs: [Pgpool(num_init_children: 8, {command} {pgpool})]),
            "cl": (runs: [{runs}]),
        }})"#
    );
    let drill = format!(r#"Drill(about: "test", stack: "x", until: "{until}", faults: [{faults}])"#);
    let stack = read::<Stack>("stack.ron", &stack).unwrap_or_else(|r| panic!("{}", r.render(false))).0;
    let drill = read::<Drill>("drill.ron", &drill).unwrap_or_else(|r| panic!("{}", r.render(false))).0;
    Loaded { stack, drill }
}
/// A run, and what a test asks it. Times are in seconds after the first fault.
pub struct Played {
    pub run: Run,
    pub fault: Time,
}
impl Played {
    fn marks<'a>(&'a self, kind: &'a str, host: &'a str) -> impl Iterator<Item = f64> + 'a {
        let here = move |m: &&firedrill::trace::marks::Mark| {
            m.kind == kind && (host.is_empty() || self.run.host(m.host) == host)
        };
        self.run.marks.iter().filter(here).map(|m| (m.at.0 as f64 - self.fault.0 as f64) / 1e9)
    }
    /// The first mark of a kind on a host (`""`: any) after the first fault.
    pub fn after(&self, kind: &str, host: &str) -> Option<f64> {
        self.marks(kind, host).find(|t| *t >= 0.0)
    }
    /// The same.
    pub fn first(&self, kind: &str, host: &str) -> Option<f64> {
        self.after(kind, host)
    }
    /// The first one not before a time.
    pub fn from(&self, kind: &str, host: &str, from: f64) -> Option<f64> {
        self.marks(kind, host).find(|t| *t >= from)
    }
    /// How many there are after the first fault.
    pub fn count(&self, kind: &str, host: &str) -> usize {
        self.marks(kind, host).filter(|t| *t >= 0.0).count()
    }
    /// The words of the marks of a kind after the first fault.
    pub fn words(&self, kind: &str) -> Vec<String> {
        let after = |m: &&firedrill::trace::marks::Mark| m.kind == kind && m.at >= self.fault;
        self.run.marks.iter().filter(after).map(|m| m.text.clone()).collect()
    }
    /// The time of a fault, by its number from 1.
    pub fn fault(&self, n: usize) -> f64 {
        let of = |k: &str| k == "fault" || k == "healed";
        let m = self.run.marks.iter().filter(|m| of(m.kind)).nth(n - 1).expect("a fault");
        (m.at.0 as f64 - self.fault.0 as f64) / 1e9
    }
    /// Whether an invariant broke.
    pub fn broken(&self, invariant: &str) -> bool {
        self.run.violations.iter().any(|v| v.invariant == invariant)
    }
}
/// One run.
pub fn play(l: &Loaded, seed: u64) -> Played {
    let run = run(&l.stack, &l.drill, seed, Level::Story, false);
    let fault = run.marks.iter().find(|m| m.kind == "fault").map_or(Time::ZERO, |m| m.at);
    Played { run, fault }
}
/// The hosts on which a kind of mark came after the first fault.
pub fn hosts_with(p: &Played, kind: &str) -> Vec<String> {
    let mut all: Vec<String> = p
        .run
        .marks
        .iter()
        .filter(|m| m.kind == kind && m.at >= p.fault)
        .map(|m| p.run.host(m.host).to_owned())
        .collect();
    all.sort();
    all.dedup();
    all
}
/// Times of many runs.
pub struct Times {
    pub values: Vec<f64>,
}
impl Times {
    pub fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }
    pub fn max(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
    pub fn median(&self) -> f64 {
        let mut v = self.values.clone();
        v.sort_by(f64::total_cmp);
        v[v.len() / 2]
    }
    /// All values lie in the range, and they come as near to its ends as `near`.
    pub fn fill(&self, low: f64, high: f64, near: f64) {
        assert!(self.min() >= low && self.max() <= high, "outside {low}..{high}: {self}");
        assert!(self.min() <= low + near && self.max() >= high - near, "{low}..{high} is not filled: {self}");
    }
}
impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut v = self.values.clone();
        v.sort_by(f64::total_cmp);
        let some: Vec<String> = v.iter().map(|x| format!("{x:.2}")).collect();
        write!(f, "n={} {}", v.len(), some.join(" "))
    }
}
/// What many seeds give; a run that has no such time is a mistake, and its seed is told.
pub fn seen(l: &Loaded, seeds: u64, ask: impl Fn(&Played) -> Option<f64> + Sync) -> Times {
    let values = (1..=seeds)
        .into_par_iter()
        .map(|seed| {
            let p = play(l, seed);
            ask(&p).unwrap_or_else(|| panic!("seed {seed}: it never happened"))
        })
        .collect();
    Times { values }
}
pub fn in_range(v: f64, low: f64, high: f64, what: &str) {
    assert!((low..=high).contains(&v), "{what}: {v} lies outside {low}..{high}");
}
