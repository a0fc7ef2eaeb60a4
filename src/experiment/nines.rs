//! Availability over years, out of outages that drills measured and failures that are drawn.
//!
//! Every host of the stack but those of clients fails after a time out of an exponential distribution (`mtbf`) and is repaired after
//! another (`mttr`), independently, each with its own repair. At any moment the service *can* run if a database host is up, a majority of
//! the voters (members of the DCS, pgpools with a watchdog; if there are any), and a proxy (HAProxy, pgpool; if there is one): that is
//! the structure. When the primary's host fails and the
//! service can still run, clients lose it for as long as one run of the drill, drawn with equal chances, says; another host that is up
//! becomes primary. When it cannot run, it is out until repairs make it possible. Outages that overlap count once.
//!
//! Between two failures or repairs nothing changes and nothing can happen in this model: time jumps from one to the next, which skips
//! nothing, so that a year costs a handful of steps. Lengths are drawn in whole nanoseconds from named streams.
//!
//! **Not modelled:** failures of links and disks, of several hosts together (a site), of repairs; the time in which an address moves from
//! one proxy to another; load; that an outage after a second failure may be longer than the drill's.

use super::theory::availability::k_of_n;
use crate::engine::Span;
use crate::engine::exponential::exponential;
use crate::engine::random::{StreamId, Streams};
use crate::scenario::types::{Runs, Stack};
use rayon::prelude::*;

/// A simulated year, of 365 days.
pub const YEAR: Span = Span::secs(365 * 24 * 3600);

/// What a host is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Part {
    /// It has a database.
    pub database: bool,
    /// It has a member of the DCS.
    pub store: bool,
    /// It has a proxy.
    pub proxy: bool,
}

/// What of a stack has to be up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Structure {
    /// Its hosts, in the order of their names; those that only use the service are left out.
    pub parts: Vec<Part>,
}
impl Structure {
    /// The structure of a stack.
    pub fn of(stack: &Stack) -> Structure {
        let parts = stack.hosts.values().map(|h| {
            let has = |f: fn(&Runs) -> bool| h.runs.iter().any(f);
            Part {
                database: has(|r| matches!(r, Runs::Postgres(_))),
                store: has(|r| match r {
                    Runs::Etcd(_) => true,
                    Runs::Consul(c) => c.server,
                    Runs::Pgpool(p) => p.use_watchdog,
                    _ => false,
                }),
                proxy: has(|r| matches!(r, Runs::HAProxy(_) | Runs::Pgpool(_))),
            }
        });
        Structure { parts: parts.filter(|p| *p != Part::default()).collect() }
    }
    /// Whether the service can run on the hosts that are up.
    pub fn works(&self, up: &[bool]) -> bool {
        let count = |f: fn(&Part) -> bool| {
            let all = self.parts.iter().filter(|p| f(p)).count();
            let here = self.parts.iter().zip(up).filter(|(p, up)| f(p) && **up).count();
            (here, all)
        };
        let (databases, _) = count(|p| p.database);
        let (stores, all_stores) = count(|p| p.store);
        let (proxies, all_proxies) = count(|p| p.proxy);
        databases > 0 && (all_stores == 0 || stores > all_stores / 2) && (all_proxies == 0 || proxies > 0)
    }
    /// The share of the time in which the service can run, exactly: the sum over all sets of hosts that are up.
    pub fn exact(&self, a: f64) -> f64 {
        let n = self.parts.len().min(20);
        let mut sum = 0.0;
        for set in 0u32..1 << n {
            let up: Vec<bool> = (0..n).map(|i| set >> i & 1 == 1).collect();
            if self.works(&up) {
                sum += a.powi(set.count_ones() as i32) * (1.0 - a).powi(n as i32 - set.count_ones() as i32);
            }
        }
        sum
    }
    /// The same by the birth-death formula, where all hosts are alike: at least k of them.
    pub fn alike(&self, a: f64) -> Option<f64> {
        let n = self.parts.len() as u32;
        let first = self.parts.first()?;
        let k = if first.store { n / 2 + 1 } else { 1 };
        self.parts.iter().all(|p| p == first).then(|| k_of_n(k, n, a))
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// What has to be up.
    pub structure: Structure,
    /// Mean time to a host's failure.
    pub mtbf: Span,
    /// Mean time to its repair.
    pub mttr: Span,
    /// Outages of one failure of the primary's host, in nanoseconds.
    pub outages: Vec<u64>,
    /// Lives of the cluster, and years of each; at most 500 years.
    pub lives: u32,
    /// Years of each.
    pub years: u32,
    /// The seed.
    pub seed: u64,
}

/// What a life was like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Life {
    /// Time without service, in nanoseconds.
    pub out: u128,
    /// The part of it in which the service could not run.
    pub structural: u128,
    /// Failures of the primary's host that were survived.
    pub failovers: u64,
    /// Times that the service could not run.
    pub breakdowns: u64,
    /// Steps that were taken.
    pub steps: u64,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The lives.
    pub lives: Vec<Life>,
    /// The length of a life, in nanoseconds.
    pub length: u64,
    /// The share of the time without service, and the standard error of it over the lives.
    pub unavailability: (f64, f64),
    /// The part of it in which the service could not run, and its standard error.
    pub structural: (f64, f64),
    /// What the structure gives exactly.
    pub exact: f64,
}
impl Answer {
    /// The availability in nines: 3 is 99.9%.
    pub fn nines(&self) -> f64 {
        -self.unavailability.0.log10()
    }
    /// Minutes a year without service.
    pub fn minutes(&self) -> f64 {
        self.unavailability.0 * 365.0 * 24.0 * 60.0
    }
}

struct World<'a> {
    q: &'a Question,
    streams: Streams,
    hosts: Vec<StreamId>,
    luck: StreamId,
    up: Vec<bool>,
    /// When each host changes next.
    next: Vec<u64>,
    primary: Option<usize>,
    /// The service is out until then, as far as failovers go.
    back: u64,
    life: Life,
}

impl World<'_> {
    fn draw(&mut self, host: usize, mean: Span) -> u64 {
        let word = self.streams.below(self.hosts[host], u64::MAX);
        exponential(word, mean).0.max(1)
    }
    /// One of the database hosts that are up.
    fn elect(&mut self) -> Option<usize> {
        let parts = &self.q.structure.parts;
        let can: Vec<usize> = (0..parts.len()).filter(|i| parts[*i].database && self.up[*i]).collect();
        if can.is_empty() {
            return None;
        }
        can.get(self.streams.below(self.luck, can.len() as u64) as usize).copied()
    }
    /// What the time from `from` to `to`, in which nothing changes, was for clients.
    fn account(&mut self, from: u64, to: u64) {
        if !self.q.structure.works(&self.up) {
            self.life.structural += u128::from(to - from);
            self.life.out += u128::from(to - from);
        } else if self.back > from {
            self.life.out += u128::from(self.back.min(to) - from);
        }
    }
    fn run(mut self) -> Life {
        let end = YEAR.0.saturating_mul(u64::from(self.q.years));
        let mut now = 0;
        while let Some((host, at)) = self.next.iter().copied().enumerate().min_by_key(|n| n.1) {
            let to = at.min(end);
            self.account(now, to);
            now = to;
            if at >= end {
                break;
            }
            self.life.steps += 1;
            let worked = self.q.structure.works(&self.up);
            self.up[host] = !self.up[host];
            let mean = if self.up[host] { self.q.mtbf } else { self.q.mttr };
            self.next[host] = now.saturating_add(self.draw(host, mean));
            let works = self.q.structure.works(&self.up);
            if worked && !works {
                self.life.breakdowns += 1;
            }
            let lost = self.primary == Some(host) && !self.up[host];
            if lost || self.primary.is_none() || (works && !worked) {
                self.primary = if works { self.elect() } else { None };
            }
            if lost && works {
                self.life.failovers += 1;
                let n = self.q.outages.len() as u64;
                if n > 0 {
                    let i = self.streams.below(self.luck, n) as usize;
                    self.back = self.back.max(now.saturating_add(self.q.outages[i]));
                }
            }
        }
        self.life
    }
}

/// Mean and standard error.
fn estimate(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

/// Plays the lives. The answer is the same for any number of threads.
pub fn play(q: &Question) -> Answer {
    let n = q.structure.parts.len();
    let one = |life: u32| {
        let mut streams =
            Streams::new(q.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(life)));
        let hosts = (0..n).map(|i| streams.tagged("nines/host", i as u64)).collect();
        let luck = streams.named("nines/luck");
        let mut w = World {
            q,
            streams,
            hosts,
            luck,
            up: vec![true; n],
            next: Vec::new(),
            primary: None,
            back: 0,
            life: Life::default(),
        };
        w.next = (0..n).map(|i| w.draw(i, q.mtbf)).collect();
        w.primary = w.elect();
        w.run()
    };
    let lives: Vec<Life> = (0..q.lives).into_par_iter().map(one).collect();
    let length = YEAR.0.saturating_mul(u64::from(q.years));
    let share = |f: fn(&Life) -> u128| estimate(lives.iter().map(move |l| f(l) as f64 / length as f64));
    let a = super::theory::availability::steady(q.mtbf.0 as f64, q.mttr.0 as f64);
    Answer {
        unavailability: share(|l| l.out),
        structural: share(|l| l.structural),
        exact: 1.0 - q.structure.exact(a),
        length,
        lives,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(parts: &[Part], outages: Vec<u64>) -> Question {
        Question {
            structure: Structure { parts: parts.to_vec() },
            mtbf: Span::secs(30 * 24 * 3600),
            mttr: Span::secs(24 * 3600),
            outages,
            lives: 200,
            years: 50,
            seed: 1,
        }
    }
    const NODE: Part = Part { database: true, store: true, proxy: false };
    const BARE: Part = Part { database: true, store: false, proxy: false };
    const PROXY: Part = Part { database: false, store: false, proxy: true };

    #[test]
    fn the_structure_agrees_with_birth_and_death_within_three_sigma() {
        for parts in [vec![BARE], vec![BARE; 2], vec![NODE; 3], vec![NODE; 5], vec![NODE; 2]] {
            let q = question(&parts, Vec::new());
            let a = play(&q);
            let alike = 1.0 - q.structure.alike(30.0 / 31.0).unwrap();
            assert!((a.exact - alike).abs() < 1e-12, "{} {alike}", a.exact);
            let off = (a.unavailability.0 - alike) / a.unavailability.1;
            assert!(off.abs() < 3.0, "{parts:?}: {} {alike} {off}", a.unavailability.0);
            assert_eq!(a.unavailability, a.structural);
        }
    }
    #[test]
    fn a_proxy_in_front_is_in_series() {
        let q = question(&[NODE, NODE, NODE, PROXY], Vec::new());
        let x: f64 = 30.0 / 31.0;
        let want = 1.0 - k_of_n(2, 3, x) * x;
        let a = play(&q);
        assert!((a.exact - want).abs() < 1e-12);
        assert!(((a.unavailability.0 - want) / a.unavailability.1).abs() < 3.0);
    }
    #[test]
    fn failovers_add_their_rate_times_their_length() {
        // One of two hosts is primary; it fails while the other is up. Theory's first order: rate of failures times outage, and both down.
        let (short, long) = (20_000_000_000u64, 40_000_000_000u64);
        let q = question(&[BARE; 2], vec![short, long]);
        let a = play(&q);
        let total = 200.0 * 50.0 * 365.0;
        let failovers: u64 = a.lives.iter().map(|l| l.failovers).sum();
        // The rate at which the primary's host fails while the other is up: p0 lambda + p1 lambda with p1 = all states with one down, halves
        // of which have the primary... the one that is up is primary then, and its failure is a breakdown. So p0 lambda.
        let p0 = (30.0f64 / 31.0).powi(2);
        let want = total * p0 / 30.0;
        assert!((failovers as f64 - want).abs() < 3.0 * want.sqrt(), "{failovers} {want}");
        let extra = a.unavailability.0 - a.structural.0;
        let expected = p0 * 30.0 / (30.0 * 24.0 * 3600.0);
        assert!((extra / expected - 1.0).abs() < 0.02, "{extra} {expected}");
    }
    #[test]
    fn the_same_question_has_the_same_answer() {
        let q = question(&[NODE; 3], vec![1_000_000_000]);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| play(&q));
        assert_eq!(one.lives, play(&q).lives);
        assert_ne!(one.lives, play(&Question { seed: 2, ..q }).lives);
    }
}
