//! What many runs say together, stack by stack or point by point: outages, losses, double masters, availability; how they differ pair by
//! pair; and the worst run of each.
//!
//! Of a run only a few numbers are kept.

use super::row::Row;
use super::stats::{Interval, Paired, mean, paired, quantile, share};
use crate::trace::metrics::Metric;
use crate::trace::verdict::Judgement;

/// What is kept of a run.
#[derive(Clone, Debug)]
struct Kept {
    seed: u64,
    figures: [u64; FIGURES.len()],
    verdict: Judgement,
}
/// The figures that are kept.
pub const FIGURES: [Metric; 9] = [
    Metric::WriteOutageMax,
    Metric::OpenOutages,
    Metric::LostWrites,
    Metric::LostWindow,
    Metric::SplitBrain,
    Metric::DualVip,
    Metric::WriteAvailability,
    Metric::ReadAvailability,
    Metric::Failovers,
];

/// Runs of one stack, or of one point of a design.
#[derive(Clone, Debug)]
pub struct Group {
    /// The stack.
    pub stack: String,
    /// The varied settings.
    pub knobs: Vec<(String, String)>,
    runs: Vec<Kept>,
    worst: Option<Row>,
}

impl Group {
    /// How many runs.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }
    /// The worst run: the one that lost most, then with the longest split brain, then without an end of its outage, then with the longest
    /// outage; of equals the first.
    pub fn worst(&self) -> Option<&Row> {
        self.worst.as_ref()
    }
    fn values(&self, m: Metric) -> Vec<u64> {
        let Some(i) = FIGURES.iter().position(|f| *f == m) else { return Vec::new() };
        self.runs.iter().map(|r| r.figures[i]).collect()
    }
    /// A quantile of a figure.
    pub fn quantile(&self, m: Metric, permille: u32) -> Option<Interval<u64>> {
        let mut all = self.values(m);
        all.sort_unstable();
        quantile(&all, permille)
    }
    /// The mean of a figure.
    pub fn mean(&self, m: Metric) -> Option<Interval<f64>> {
        mean(&self.values(m).into_iter().map(|v| i64::try_from(v).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    }
    /// The largest value.
    pub fn max(&self, m: Metric) -> u64 {
        self.values(m).into_iter().max().unwrap_or(0)
    }
    /// Runs in which a figure is more than nothing: how many, and the share of all.
    pub fn some(&self, m: Metric) -> (usize, Option<Interval<f64>>) {
        let k = self.values(m).into_iter().filter(|v| *v > 0).count();
        (k, share(k, self.runs.len()))
    }
    /// Runs by verdict.
    pub fn verdicts(&self, v: Judgement) -> usize {
        self.runs.iter().filter(|r| r.verdict == v).count()
    }
    /// How a figure differs from another group's, seed by seed: this minus that.
    pub fn minus(&self, other: &Group, m: Metric) -> Option<Paired> {
        let i = FIGURES.iter().position(|f| *f == m)?;
        let signed = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
        let pairs = other.runs.iter().zip(&self.runs).filter(|(a, b)| a.seed == b.seed);
        paired(pairs.map(|(a, b)| (signed(a.figures[i]), signed(b.figures[i]))))
    }
}

/// How bad a run is: larger is worse.
fn badness(r: &Row) -> [u64; 5] {
    let get = |m| r.metrics.get(m);
    let lost = get(Metric::LostWrites);
    [
        lost,
        get(Metric::SplitBrain),
        get(Metric::DualVip),
        get(Metric::OpenOutages),
        get(Metric::WriteOutageMax),
    ]
}

/// Groups in the order in which they appear.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The groups.
    pub groups: Vec<Group>,
    next: usize,
}

impl Summary {
    /// Takes in a row.
    pub fn add(&mut self, row: &Row) {
        // Rows come in the order of the design, so that the next group is nearly always the right one.
        let is = |g: &Group| g.stack == row.stack && g.knobs == row.knobs;
        let found = if self.groups.get(self.next).is_some_and(is) {
            Some(self.next)
        } else {
            self.groups.iter().position(is)
        };
        let i = found.unwrap_or_else(|| {
            let knobs = row.knobs.clone();
            self.groups.push(Group { stack: row.stack.clone(), knobs, runs: Vec::new(), worst: None });
            self.groups.len() - 1
        });
        self.next = (i + 1) % self.groups.len();
        let group = &mut self.groups[i];
        let figures = FIGURES.map(|m| row.metrics.get(m));
        group.runs.push(Kept { seed: row.seed, figures, verdict: row.verdict });
        if group.worst.as_ref().is_none_or(|w| badness(w) < badness(row)) {
            group.worst = Some(row.clone());
        }
    }
    /// All runs.
    pub fn runs(&self) -> usize {
        self.groups.iter().map(Group::runs).sum()
    }
    /// Runs by verdict.
    pub fn verdicts(&self, v: Judgement) -> usize {
        self.groups.iter().map(|g| g.verdicts(v)).sum()
    }
}
