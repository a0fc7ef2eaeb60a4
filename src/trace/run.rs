//! A run from beginning to end, and everything that is kept of it.

use super::marks::{Mark, mark};
use super::outage::{Outage, Requests};
use super::verdict::{Judge, Verdict};
use crate::check::ledger::Balance;
use crate::engine::{Span, Time};
use crate::node::log::{Level, What};
use crate::node::process::HostId;
use crate::proto::Note;
use crate::proto::client::process::Outcome;
use crate::proto::patroni;
use crate::proto::patroni::note::Dog;
use crate::proto::postgres::msg::SqlState;
use crate::scenario::types::{Drill, Stack, Witness};
use crate::sim::{LogEntry, Sim};

/// A broken invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// From when.
    pub from: Time,
    /// To when; the end of the run if it was never mended.
    pub to: Time,
    /// What was seen.
    pub detail: String,
}

/// What is kept of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Hosts by number.
    pub hosts: Vec<String>,
    /// Processes by number.
    pub processes: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// The end of the run.
    pub end: Time,
    /// The fingerprint.
    pub digest: u64,
    /// Events handled.
    pub events: u64,
    /// Marks, in order.
    pub marks: Vec<Mark>,
    /// Broken invariants, in order.
    pub violations: Vec<Violation>,
    /// Requests of clients.
    pub requests: Requests,
    /// The whole log, if it was asked for.
    pub log: Vec<LogEntry>,
    /// Jobs of a batch cluster.
    pub jobs: super::jobs::Jobs,
    /// Adverts sent: host and time.
    pub adverts: Vec<(HostId, Time)>,
    /// What happened that witnesses ask for.
    pub witnessed: Vec<Witness>,
    /// Renewals of the leader key: by which host, when, and what its watchdog was or would have been.
    pub renewals: Vec<(HostId, Time, Dog)>,
    /// What became of writes and reads of databases.
    pub balance: Balance,
    /// The stack has a database.
    pub database: bool,
    /// The primary at the moment before the first fault.
    pub old_primary: Option<HostId>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Run {
    /// How long after a fault (counted from 1) the first mark of a kind came, at that moment or later.
    pub fn first_mark(&self, kind: &str, fault: usize) -> Option<Span> {
        let faults = self.marks.iter().filter(|m| matches!(m.kind, "fault" | "healed"));
        let fault = faults.map(|m| m.at).nth(fault.saturating_sub(1))?;
        self.marks.iter().find(|m| m.kind == kind && m.at >= fault).map(|m| m.at.since(fault))
    }
    /// Windows without writes (reads).
    pub fn outages(&self, write: bool) -> Vec<Outage> {
        self.requests.outages(write, self.end)
    }
    /// How long an invariant was broken, in milliseconds.
    pub fn broken_ms(&self, invariant: &str) -> u64 {
        self.violations.iter().filter(|v| v.invariant == invariant).map(|v| v.to.since(v.from).as_ms()).sum()
    }
    /// The first fault, if there is one.
    pub fn first_fault(&self) -> Option<Time> {
        self.marks.iter().find(|m| m.kind == "fault").map(|m| m.at)
    }
    /// Host names of marks.
    pub fn host(&self, id: Option<HostId>) -> &str {
        id.and_then(|h| self.hosts.get(h.0 as usize)).map_or("", String::as_str)
    }
}

/// Collects what is kept while a run goes on.
#[derive(Clone, Debug)]
pub struct Collector {
    run: Run,
    judge: Judge,
    keep_log: bool,
    faults: usize,
    vip_up_after_fault: bool,
    /// The server that was promoted last.
    primary: Option<HostId>,
}

impl Collector {
    /// A collector for a run of this drill.
    pub fn new(sim: &Sim, drill: &Drill, keep_log: bool) -> Self {
        Self::of(sim, drill, keep_log, false)
    }
    fn of(sim: &Sim, drill: &Drill, keep_log: bool, brief: bool) -> Self {
        let world = &sim.model.world;
        Collector {
            run: Run {
                hosts: world.hosts.iter().map(|h| h.name.clone()).collect(),
                processes: world.procs.iter().map(|p| p.name.clone()).collect(),
                seed: world.streams.seed(),
                end: Time::ZERO + drill.until,
                digest: 0,
                events: 0,
                marks: Vec::new(),
                violations: Vec::new(),
                requests: Requests::default(),
                log: Vec::new(),
                jobs: super::jobs::Jobs::default(),
                adverts: Vec::new(),
                witnessed: Vec::new(),
                renewals: Vec::new(),
                balance: Balance::default(),
                database: sim.model.databases,
                old_primary: None,
                verdict: Verdict::default(),
            },
            judge: if brief { Judge::new(drill).brief() } else { Judge::new(drill) },
            keep_log,
            faults: drill.faults.len(),
            vip_up_after_fault: false,
            primary: None,
        }
    }
    fn witness(&mut self, w: Witness) {
        if !self.run.witnessed.contains(&w) {
            self.run.witnessed.push(w);
        }
    }
    /// Takes in what the last event did; most do nothing that is kept.
    #[inline]
    pub fn observe(&mut self, sim: &Sim) {
        let world = &sim.model.world;
        if world.changed || !world.log.entries.is_empty() {
            self.take(sim);
        }
    }
    #[inline(never)]
    fn take(&mut self, sim: &Sim) {
        let world = &sim.model.world;
        for e in &world.log.entries {
            match &e.what {
                What::Note(Note::Client(n)) => {
                    self.run.requests.add((e.host, e.pid), *n, e.at);
                    if !matches!(n.outcome, Outcome::Ok(_)) {
                        self.witness(Witness::ClientError);
                    }
                    if n.outcome == Outcome::Error(SqlState::ReadOnly) {
                        self.witness(Witness::ReadOnlyError);
                    }
                }
                What::Note(Note::Vrrp(crate::proto::vrrp::note::Note::AdvertSent { priority: 1.. })) => {
                    self.run.adverts.extend(e.host.map(|h| (h, e.at)));
                }
                What::Note(Note::Patroni(patroni::note::Note::Renewed(dog))) => {
                    self.run.renewals.extend(e.host.map(|h| (h, e.at, *dog)));
                }
                What::Note(Note::Batch(n)) => {
                    self.run.jobs.add(e.at, n);
                    if let Some(w) = batch_witness(n) {
                        self.witness(w);
                    }
                }
                What::Violation(name, detail) => self.run.violations.push(Violation {
                    invariant: name,
                    from: e.at,
                    to: self.run.end,
                    detail: detail.clone(),
                }),
                What::ViolationOver(name) => {
                    if let Some(v) = self.run.violations.iter_mut().rev().find(|v| v.invariant == *name) {
                        v.to = e.at;
                    }
                }
                What::Lost(_, _, crate::node::log::LostBy::Rule(_)) => self.witness(Witness::Dropped),
                What::ArpMoved(..) if !self.run.marks.is_empty() => self.witness(Witness::ArpMoved),
                _ => {}
            }
            if let Some(m) = mark(e, world, self.faults) {
                let faulted = self.run.marks.iter().any(|m| m.kind == "fault");
                if m.kind == "vip_up" && faulted {
                    self.vip_up_after_fault = true;
                    self.witness(Witness::Takeover);
                }
                if !faulted && m.kind == "fault" {
                    self.run.old_primary = self.primary;
                }
                let witness = match m.kind {
                    "master" | "detected" => Some(Witness::Detected),
                    "promoted" => Some(Witness::Promotion),
                    "demoted" => Some(Witness::Demotion),
                    "lease_expired" => Some(Witness::LeaseExpired),
                    "watchdog_reset" => Some(Witness::WatchdogReset),
                    "rejoined" => Some(Witness::Rejoined),
                    "failsafe_accepted" => Some(Witness::FailsafeAccepted),
                    "race_lost" => Some(Witness::RaceLost),
                    "membership" => Some(Witness::NewMembership),
                    "node_lost" => Some(Witness::NodeLost),
                    "rewound" => Some(Witness::Rewound),
                    _ => None,
                };
                if let Some(w) = witness.filter(|_| faulted) {
                    self.witness(w);
                }
                if m.kind == "promoted" {
                    self.primary = m.host;
                }
                let mut m = m;
                // In a stack whose hosts all talk to each other a dead one is missed again and again: told once by each.
                if m.kind == "arp_failed" && (self.run.database || sim.model.clusters) {
                    let again = |x: &Mark| x.kind == m.kind && x.host == m.host && x.text == m.text;
                    m.story = !self.run.marks.iter().any(again);
                }
                if m.kind == "backend_down" && faulted {
                    self.witness(Witness::Ejected);
                }
                if m.kind == "quorum_lost" && faulted {
                    self.witness(Witness::QuorumLost);
                }
                self.run.marks.push(m);
            }
            if self.keep_log {
                self.run.log.push(e.clone());
            }
        }
        self.judge.observe(sim);
    }
    /// The run is over.
    pub fn finish(mut self, sim: &Sim) -> Run {
        self.run.digest = sim.sched.digest();
        self.run.events = sim.sched.handled();
        self.run.requests.settle();
        self.run.balance = sim.model.watch.ledger.balance();
        if self.run.balance.lost > 0 {
            self.witness(Witness::LostWrite);
        }
        self.client_marks();
        let verdict = self.judge.verdict(&self.run);
        self.run.verdict = verdict;
        self.run
    }
    /// Where clients' requests began to fail and to succeed again.
    fn client_marks(&mut self) {
        for (host, pid) in self.run.requests.clients() {
            let of = |write| self.run.requests.outages_of((host, pid), write, self.run.end);
            let mut windows = of(true);
            for w in of(false) {
                if !windows.contains(&w) {
                    windows.push(w);
                }
            }
            windows.sort_by_key(|w| w.from);
            // A database's clients lose whole outages; where a pool loses some of its servers, failures come in spells.
            let spells = if self.run.database {
                windows.iter().flat_map(|w| super::partial::spells(std::slice::from_ref(w))).collect()
            } else {
                super::partial::spells(&windows)
            };
            for w in spells {
                let make = |at, kind, text: String, why: String| Mark {
                    at,
                    kind,
                    host,
                    pid,
                    text,
                    why,
                    event: crate::engine::EventId(0),
                    cause: crate::engine::EventId(0),
                    story: true,
                };
                let (failed, all) = self.run.requests.failed((host, pid), w.from, w.to);
                let why = if w.partial() {
                    crate::say!("mark-some-failed", failed = failed, all = all, to = w.to)
                } else {
                    String::new()
                };
                let first = make(w.from, "client_first_error", crate::say!("mark-first-failed"), why);
                self.run.marks.push(first);
                if w.over {
                    let what = if w.partial() { "mark-all-succeed" } else { "mark-first-success" };
                    let why = crate::say!("mark-outage", time = Time(w.longest.0));
                    self.run.marks.push(make(w.to, "client_resumed", crate::say!(what), why));
                }
            }
        }
        self.run.marks.sort_by_key(|m| m.at);
    }
}

/// What a batch cluster tells that witnesses ask for.
fn batch_witness(n: &crate::proto::batch::note::Note) -> Option<Witness> {
    use crate::proto::batch::note::{Ended, Note};
    use crate::proto::batch::plan::Why;
    Some(match n {
        Note::Started { why: Why::Before(..) | Why::Extra(..) | Why::Hole, .. } => Witness::Backfilled,
        Note::Requeued { .. } => Witness::Requeued,
        Note::Lost { .. } => Witness::WorkLost,
        Note::Checkpoint { .. } => Witness::Checkpointed,
        Note::Ended { how: Ended::Completed, .. } => Witness::JobDone,
        Note::Active { backup, silent, jobs } if *backup || silent.is_some() || *jobs > 0 => {
            Witness::ControllerBack
        }
        Note::Down { .. } => Witness::NodeDown,
        _ => return None,
    })
}

/// Runs a drill to its end. `keep_log` keeps every entry of the log, for `why` and the player.
pub fn run(stack: &Stack, drill: &Drill, seed: u64, level: Level, keep_log: bool) -> Run {
    let mut sim = crate::scenario::build::build(stack, drill, seed, level);
    let mut collector = Collector::new(&sim, drill, keep_log);
    let end = Time::ZERO + drill.until;
    while sim.step(end) {
        collector.observe(&sim);
    }
    collector.finish(&sim)
}

/// The same run, of which only figures, marks and the verdict are wanted, not since when what was expected held.
pub fn brief(stack: &Stack, drill: &Drill, seed: u64) -> Run {
    let mut sim = crate::scenario::build::build(stack, drill, seed, Level::Story);
    let mut collector = Collector::of(&sim, drill, false, true);
    let end = Time::ZERO + drill.until;
    while sim.step_here(end) {
        collector.observe(&sim);
    }
    // Nothing at all happened for the last seconds before a deadline: look all the time.
    if collector.judge.sure() { collector.finish(&sim) } else { run(stack, drill, seed, Level::Story, false) }
}
