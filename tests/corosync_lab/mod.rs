//! Clusters for the tests of Corosync, and what became of them.
#![allow(dead_code)]

use firedrill::engine::{Span, SpanRange, Time};
use firedrill::fault::roles;
use firedrill::node::log::{Level, What};
use firedrill::proto::corosync::Corosync;
use firedrill::proto::corosync::note::Note;
use firedrill::scenario::build::build;
use firedrill::scenario::types::{At, Drill, Fault, Stack, Target};
use firedrill::sim::Sim;
use firedrill::trace::run::{Run, run};

/// `n` nodes n1, n2, ... with the same settings, on so many networks.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) n: usize,
    pub(crate) settings: String,
    pub(crate) networks: usize,
    pub(crate) hosts: String,
    /// `sysctl` of the nodes.
    pub(crate) sysctl: &'static str,
    /// Settings of the networks.
    pub(crate) network: &'static str,
}
pub(crate) fn nodes(n: usize, settings: &str) -> Cluster {
    Cluster { n, settings: settings.to_owned(), networks: 1, hosts: String::new(), sysctl: "", network: "" }
}
impl Cluster {
    /// The same on networks where no packet overtakes another, as on a real segment.
    pub(crate) fn in_order(self) -> Cluster {
        Cluster { network: "latency: \"300us\"", ..self }
    }
    /// The same with neighbour caches that do not age: what is left is Corosync's own time. (A cut of more than 8 s can take an entry to
    /// FAILED, and one that is being asked for at the heal is asked for again up to a second later.)
    pub(crate) fn known(self) -> Cluster {
        Cluster { sysctl: "base_reachable_time: \"100h\"", ..self }
    }
    pub(crate) fn text(&self) -> String {
        let nets: String = (0..self.networks).map(|i| format!("\"net{i}\": ({}),", self.network)).collect();
        let host = |i| format!("\"n{i}\": (sysctl: ({}), runs: [Corosync({})]),", self.sysctl, self.settings);
        let hosts: String = (1..=self.n).map(host).collect();
        format!("(about: \"test\", networks: {{ {nets} }}, hosts: {{ {hosts} {} }})", self.hosts)
    }
    pub(crate) fn stack(&self) -> Stack {
        let text = self.text();
        firedrill::scenario::load::read("test", &text)
            .unwrap_or_else(|e| panic!("{}\n{text}", e.render(false)))
            .0
    }
    pub(crate) fn run(&self, until: u64, faults: Vec<At>, seed: u64) -> Run {
        run(&self.stack(), &drill(until, faults, seed), seed, Level::Story, true)
    }
    /// The same run with every frame in its log.
    pub(crate) fn full(&self, until: u64, faults: Vec<At>, seed: u64) -> Run {
        run(&self.stack(), &drill(until, faults, seed), seed, Level::Full, true)
    }
    /// The simulation itself, before its start.
    pub(crate) fn sim(&self, until: u64, faults: Vec<At>, seed: u64) -> Sim {
        build(&self.stack(), &drill(until, faults, seed), seed, Level::Story)
    }
}
fn drill(until: u64, faults: Vec<At>, seed: u64) -> Drill {
    Drill {
        about: String::new(),
        stack: String::new(),
        until: Span::ms(until),
        seed,
        set: std::collections::BTreeMap::new(),
        faults,
        expect: Vec::new(),
        measured: None,
    }
}
/// A fault at a time in milliseconds.
pub(crate) fn at(ms: u64, fault: Fault) -> At {
    At::At(SpanRange::exactly(Span::ms(ms)), fault)
}
/// A phase of the idle ring and of the pings for each seed, in milliseconds.
pub(crate) fn phase(seed: u64) -> u64 {
    seed * 137 % 2000
}
pub(crate) fn host(name: &str) -> Target {
    Target::Host(name.to_owned())
}
pub(crate) fn hosts(names: &[&str]) -> Target {
    Target::Hosts(names.iter().map(|n| (*n).to_owned()).collect())
}
pub(crate) fn off(name: &str) -> Fault {
    Fault::PowerOff { target: host(name) }
}
pub(crate) fn on(name: &str) -> Fault {
    Fault::PowerOn { target: host(name) }
}
pub(crate) fn process(name: &str) -> (Target, String) {
    (host(name), "corosync".to_owned())
}
pub(crate) fn cut(a: &[&str], b: &[&str]) -> Fault {
    Fault::Cut { target: hosts(a), from: hosts(b), plane: None }
}
pub(crate) fn heal() -> Fault {
    Fault::Heal { target: None }
}
/// The marks of a kind on a host from a time on, in milliseconds after it, with their words.
pub(crate) fn marks(r: &Run, kind: &str, on: &str, from: u64) -> Vec<(u64, String)> {
    let from = Time::ms(from);
    r.marks
        .iter()
        .filter(|m| m.kind == kind && m.at >= from && (on.is_empty() || r.host(m.host) == on))
        .map(|m| (m.at.since(from).as_ms(), m.text.clone()))
        .collect()
}
/// The first of them.
pub(crate) fn first(r: &Run, kind: &str, on: &str, from: u64) -> u64 {
    marks(r, kind, on, from).first().map_or_else(|| panic!("no {kind} on {on}: {:#?}", story(r)), |m| m.0)
}
/// What Corosync, its devices and their server told from a time on, marks or not: milliseconds after it, host, note.
pub(crate) fn notes(r: &Run, from: u64) -> Vec<(u64, String, Note)> {
    let from = Time::ms(from);
    let of = |e: &firedrill::node::log::Entry<firedrill::proto::Note>| match &e.what {
        What::Note(firedrill::proto::Note::Corosync(n)) if e.at >= from => {
            Some((e.at.since(from).as_ms(), r.host(e.host).to_owned(), (**n).clone()))
        }
        _ => None,
    };
    r.log.iter().filter_map(of).collect()
}
/// All marks, for a test that fails.
pub(crate) fn story(r: &Run) -> Vec<String> {
    r.marks.iter().map(|m| format!("{} {} {} {}", m.at, m.kind, r.host(m.host), m.text)).collect()
}
/// All values lie in the range, and they reach to its ends within `slack`.
pub(crate) fn spread(what: &str, values: &[u64], low: u64, high: u64, slack: u64) {
    let (min, max) = (values.iter().min().unwrap(), values.iter().max().unwrap());
    assert!(low <= *min && *max <= high, "{what}: {min} to {max}, not within {low} to {high}");
    assert!(*min <= low + slack && high - slack <= *max, "{what}: only {min} to {max} of {low} to {high}");
}
/// The Corosync of a host just now.
pub(crate) fn corosync<'a>(sim: &'a Sim, name: &str) -> &'a Corosync {
    let world = &sim.model.world;
    roles::corosync(world, world.find_host(name).unwrap()).unwrap_or_else(|| panic!("{name} runs none"))
}
/// Whether a node is quorate, at a time of the run in milliseconds.
pub(crate) fn quorate(sim: &mut Sim, ms: u64, names: &[&str]) -> Vec<bool> {
    sim.run_until(Time::ms(ms));
    let world = &sim.model.world;
    names.iter().map(|n| roles::quorate(world, world.find_host(n).unwrap())).collect()
}
