//! Expectations and their verdicts: pass, fail, or inconclusive when a witness never occurred.

use super::run::Run;
use crate::check::invariants::{GRACE, name, role};
use crate::engine::{Span, Time};
use crate::fault::roles;
use crate::node::process::HostId;
use crate::proto::vrrp::machine;
use crate::say;
use crate::scenario::types::{Condition, Drill, Expect, Role};
use crate::sim::Sim;

/// How something was judged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// As expected.
    #[default]
    Pass,
    /// The run means nothing: something that had to happen did not.
    Inconclusive,
    /// Not as expected.
    Fail,
}

/// An expectation and how it was judged.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Judged {
    /// The expectation in words.
    pub name: String,
    /// How.
    pub verdict: Judgement,
    /// What was seen.
    pub detail: String,
}

/// The verdict over a run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The whole: the worst of all.
    pub whole: Judgement,
    /// Each expectation.
    pub each: Vec<Judged>,
}

/// Watches conditions while a run goes on.
#[derive(Clone, Debug)]
pub struct Judge {
    expect: Vec<Expect>,
    /// For each expectation with a condition: when it held first, and when it did not although it should have.
    met: Vec<Option<Time>>,
    missed: Vec<Option<Time>>,
    /// Only the last word of an `Eventually` is wanted: looking begins so long before its time.
    window: Span,
    /// For each `Eventually`: it was looked at inside the window.
    looked: Vec<bool>,
    /// The first and the last moment at which any condition counts.
    span: Option<(Time, Time)>,
}

impl Judge {
    /// A judge of this drill.
    pub fn new(drill: &Drill) -> Self {
        Self::within(drill.expect.clone(), Span::MAX)
    }
    fn within(expect: Vec<Expect>, window: Span) -> Self {
        let n = expect.len();
        let spans = expect.iter().filter_map(|e| match e {
            Expect::Eventually { by, .. } => Some((by.saturating_sub(window), *by)),
            Expect::Always { from, to, .. } => Some((*from, to.unwrap_or(Span::MAX))),
            _ => None,
        });
        let whole = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let span = whole.map(|(from, to)| (Time::ZERO + from, Time::ZERO + to));
        Judge { expect, met: vec![None; n], missed: vec![None; n], window, looked: vec![false; n], span }
    }
    /// The same for a run of which only the verdict is wanted, not since when something held: of an `Eventually` the last moments count.
    #[must_use]
    pub fn brief(self) -> Self {
        Self::within(self.expect, Span::secs(10))
    }
    /// Whether the verdict of a brief judge counts: there was something to look at in each of the windows.
    pub fn sure(&self) -> bool {
        self.window == Span::MAX
            || self
                .expect
                .iter()
                .zip(&self.looked)
                .all(|(e, l)| *l || !matches!(e, Expect::Eventually { .. }))
    }
    /// Looks at the world after an event.
    pub fn observe(&mut self, sim: &Sim) {
        let now = sim.sched.now();
        if self.span.is_some_and(|(from, to)| from <= now && now <= to) {
            self.look(now, sim);
        }
    }
    fn look(&mut self, now: Time, sim: &Sim) {
        for (i, e) in self.expect.iter().enumerate() {
            match e {
                Expect::Eventually { state, by } => {
                    if now + self.window < Time::ZERO + *by {
                        continue;
                    }
                    self.looked[i] |= now <= Time::ZERO + *by;
                    if now <= Time::ZERO + *by && holds(sim, state) {
                        self.met[i].get_or_insert(now);
                    } else if now <= Time::ZERO + *by {
                        // It has to hold at some moment, and the last word counts: a role that was left again does not.
                        self.met[i] = None;
                    }
                }
                Expect::Always { state, from, to } => {
                    let inside = now >= Time::ZERO + *from && to.is_none_or(|t| now <= Time::ZERO + t);
                    if inside && !holds(sim, state) {
                        self.missed[i].get_or_insert(now);
                    }
                }
                _ => {}
            }
        }
    }
    /// Judges a run that is over.
    pub fn verdict(&self, run: &Run) -> Verdict {
        let each: Vec<Judged> = self.expect.iter().enumerate().map(|(i, e)| self.judge(i, e, run)).collect();
        let whole = each.iter().map(|j| j.verdict).max().unwrap_or_default();
        Verdict { whole, each }
    }
    fn judge(&self, i: usize, e: &Expect, run: &Run) -> Judged {
        let (name, ok, detail) = match e {
            Expect::Never(inv) => {
                let dual = matches!(
                    inv,
                    crate::scenario::types::Invariant::DualVip
                        | crate::scenario::types::Invariant::TwoMasters
                );
                let grace = if dual { GRACE } else { Span::ZERO };
                let bad =
                    run.violations.iter().find(|v| v.invariant == name(*inv) && v.to.since(v.from) > grace);
                let detail = window(bad);
                (say!("verdict-never", name = name(*inv)), bad.is_none(), detail)
            }
            Expect::Sometimes(inv) => {
                let seen = run.violations.iter().find(|v| v.invariant == name(*inv));
                let detail = window(seen);
                (say!("verdict-sometimes", name = name(*inv)), seen.is_some(), detail)
            }
            Expect::RequestsResume { within } => resumes(run, "verdict-requests", &[true, false], *within),
            Expect::WritesResume { within } => resumes(run, "verdict-writes", &[true], *within),
            Expect::ReadsResume { within } => resumes(run, "verdict-reads", &[false], *within),
            Expect::Outage { between } => {
                let longest = run
                    .outages(true)
                    .iter()
                    .chain(&run.outages(false))
                    .map(|o| o.length())
                    .max()
                    .unwrap_or_default();
                let ok = longest >= between.min && longest <= between.max;
                (
                    say!("verdict-longest", between = between),
                    ok,
                    say!("verdict-it-was", time = Time(longest.0)),
                )
            }
            Expect::Failures { min, max } => {
                let (ok, all) = run.requests.counts(true);
                let (reads_ok, reads) = run.requests.counts(false);
                let n = (all - ok).max(reads - reads_ok);
                (
                    say!("verdict-failures", min = min, max = max),
                    (*min..=*max).contains(&n),
                    say!("verdict-failures-were", n = n),
                )
            }
            Expect::Answers { min, max } => {
                let n = run.requests.counts(true).0 + run.requests.counts(false).0;
                (
                    say!("verdict-answers", min = min, max = max),
                    (*min..=*max).contains(&n),
                    say!("verdict-answers-were", n = n),
                )
            }
            Expect::Marks { kind, min, max } => {
                let from = run.first_fault().unwrap_or(Time::ZERO);
                let n = run.marks.iter().filter(|m| m.kind == kind && m.at >= from).count() as u64;
                (
                    say!("verdict-marks", kind = kind, min = min, max = max),
                    (*min..=*max).contains(&n),
                    say!("verdict-marks-were", n = n),
                )
            }
            Expect::Eventually { state, by } => {
                let detail =
                    self.met[i].map_or_else(|| say!("verdict-did-not"), |t| say!("verdict-since", at = t));
                (say!("verdict-by", state = words(state), by = by), self.met[i].is_some(), detail)
            }
            Expect::Always { state, from, .. } => {
                let detail =
                    self.missed[i].map_or_else(|| say!("verdict-did"), |t| say!("verdict-not-at", at = t));
                (say!("verdict-from-on", state = words(state), from = from), self.missed[i].is_none(), detail)
            }
            Expect::FirstMark { kind, between, fault } => {
                let after = run.first_mark(kind, *fault);
                let ok = after.is_some_and(|d| d >= between.min && d <= between.max);
                let detail = after
                    .map_or_else(|| say!("verdict-did-not"), |d| say!("verdict-after", time = Time(d.0)));
                (say!("verdict-first-mark", kind = kind, between = between), ok, detail)
            }
            Expect::NoMark { kind, fault } => {
                let after = run.first_mark(kind, *fault);
                let detail = after
                    .map_or_else(|| say!("verdict-did-not"), |d| say!("verdict-after", time = Time(d.0)));
                (say!("verdict-no-mark", kind = kind), after.is_none(), detail)
            }
            Expect::LostWrites { min, max } => {
                let n = run.balance.lost;
                let name = if *max == u64::MAX {
                    say!("verdict-at-least", min = min)
                } else {
                    say!("verdict-lost-writes", min = min, max = max)
                };
                (name, n >= *min && n <= *max, say!("verdict-were", n = n))
            }
            Expect::Happens { kind, word, between } => {
                let named = named(run, kind, word);
                let inside = named
                    .iter()
                    .find(|m| m.at >= Time::ZERO + between.min && m.at <= Time::ZERO + between.max);
                let detail = at(inside.or(named.first()).copied());
                let name = say!("verdict-happens", kind = kind, word = word, between = between);
                (name, inside.is_some(), detail)
            }
            Expect::HappensNot { kind, word } => {
                let named = named(run, kind, word);
                let name = say!("verdict-happens-not", kind = kind, word = word);
                (name, named.is_empty(), at(named.first().copied()))
            }
            Expect::Witness(w) => {
                let seen = run.witnessed.contains(w);
                let verdict = if seen { Judgement::Pass } else { Judgement::Inconclusive };
                let detail = say!(if seen { "verdict-happened" } else { "verdict-proves-nothing" });
                return Judged {
                    name: say!("verdict-witness", name = format!("{w:?}").to_lowercase()),
                    verdict,
                    detail,
                };
            }
        };
        Judged { name, verdict: if ok { Judgement::Pass } else { Judgement::Fail }, detail }
    }
}

/// The marks of a kind whose words name something, a job or a host.
fn named<'a>(run: &'a Run, kind: &str, word: &str) -> Vec<&'a super::marks::Mark> {
    let names = |text: &str| {
        text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))).any(|w| w == word)
    };
    run.marks
        .iter()
        .filter(|m| m.kind == kind && (word.is_empty() || run.host(m.host) == word || names(&m.text)))
        .collect()
}

fn at(m: Option<&super::marks::Mark>) -> String {
    m.map_or_else(|| say!("verdict-never-happened"), |m| say!("verdict-at", at = m.at))
}
fn window(v: Option<&super::run::Violation>) -> String {
    v.map_or_else(
        || say!("verdict-never-happened"),
        |v| say!("verdict-window", from = v.from, to = v.to, detail = v.detail),
    )
}
fn resumes(run: &Run, what: &str, writes: &[bool], within: Span) -> (String, bool, String) {
    let all: Vec<_> = writes.iter().flat_map(|w| run.outages(*w)).collect();
    let worst = all.iter().max_by_key(|o| o.length());
    let ok = all.iter().all(|o| o.length() <= within);
    let detail = worst.map_or_else(
        || say!("verdict-no-outage"),
        |o| say!("verdict-longest-from", time = Time(o.length().0), from = o.from),
    );
    (say!(what, within = within), ok, detail)
}

/// Whether a condition holds just now.
pub fn holds(sim: &Sim, c: &Condition) -> bool {
    let world = &sim.model.world;
    let on = |host: &str, f: &dyn Fn(HostId) -> bool| world.find_host(host).is_some_and(f);
    let has = |id: HostId| sim.model.vips.iter().any(|v| world.holders(*v).any(|h| h == id));
    match c {
        Condition::InPool(director, server) | Condition::NotInPool(director, server) => {
            pooled(sim, director, server) == Some(matches!(c, Condition::InPool(..)))
        }
        Condition::ClientsWait(host, n) => on(host, &|id| {
            world.host(id).tcp.shared.values().map(|l| l.queue.len()).sum::<usize>() >= *n as usize
        }),
        Condition::HoldsVip(host) => on(host, &has),
        Condition::NoVip(host) => on(host, &|id| !has(id)),
        Condition::SomePrimary => roles::primary(world).is_some(),
        Condition::NoPrimary => roles::primary(world).is_none(),
        Condition::Streaming(host) => on(host, &|id| roles::streams(world, id)),
        Condition::Standbys(n) => roles::standbys(world) == *n as usize,
        Condition::Quorate(host) => on(host, &|id| roles::quorate(world, id)),
        Condition::NotQuorate(host) => on(host, &|id| !roles::quorate(world, id)),
        Condition::Members(host, n) => {
            on(host, &|id| roles::corosync(world, id).is_some_and(|c| c.settled() && c.members().len() == *n))
        }
        Condition::Role(host, r) => on(host, &|id| match r {
            Role::Master => role(world, id) == Some(machine::Role::Master),
            Role::Backup => role(world, id) == Some(machine::Role::Backup),
            Role::Fault => role(world, id) == Some(machine::Role::Fault),
            Role::Primary => roles::writable(world, id),
            Role::Replica => roles::is_replica(world, id),
        }),
    }
}

fn words(c: &Condition) -> String {
    match c {
        Condition::Role(h, r) => say!("verdict-role", host = h, role = format!("{r:?}")),
        Condition::HoldsVip(h) => say!("verdict-holds", host = h),
        Condition::NoVip(h) => say!("verdict-not-holds", host = h),
        Condition::SomePrimary => say!("verdict-some-primary"),
        Condition::NoPrimary => say!("verdict-no-primary"),
        Condition::Streaming(h) => say!("verdict-streaming", host = h),
        Condition::Standbys(n) => say!("verdict-standbys", n = n),
        Condition::InPool(d, s) => say!("verdict-in-pool", host = d, server = s),
        Condition::NotInPool(d, s) => say!("verdict-not-in-pool", host = d, server = s),
        Condition::Quorate(h) => say!("cond-quorate", host = h),
        Condition::NotQuorate(h) => say!("cond-not-quorate", host = h),
        Condition::Members(h, n) => say!("cond-members", host = h, count = n),
        Condition::ClientsWait(host, n) => say!("verdict-clients-wait", host = host, n = n),
    }
}

/// Whether a director gives a server new connections; `None` if one of them does not exist.
fn pooled(sim: &Sim, director: &str, server: &str) -> Option<bool> {
    let world = &sim.model.world;
    let table = &world.host(world.find_host(director)?).files.ipvs;
    let nics = &world.host(world.find_host(server)?).nics;
    let mut dests = table.services().iter().filter(|s| s.present).flat_map(|s| &s.dests);
    Some(
        dests
            .any(|d| d.load.listed && d.load.weight > 0 && nics.iter().any(|n| n.primary.ip == d.address.ip)),
    )
}
