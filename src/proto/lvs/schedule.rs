//! Which server gets a new connection: IPVS's schedulers, in whole numbers.
//!
//! Source: `net/netfilter/ipvs/ip_vs_{rr,wrr,lc,wlc,sed,nq,sh,dh}.c`. Servers are looked at in the order of the configuration, a
//! comparison is strict, so that the first of equals wins. A server of weight 0 and one that is over its limit get nothing new.
//!
//! The hashes are those of the kernels before 4.7, `address x 2654435761 mod 256`; later ones take other bits of another product.
//! **Not modelled:** mh, twos, lblc, lblcr, fo, ovf; the flags `sh-fallback` and `sh-port`; that a kernel puts a server that is added
//! in front of the others (here it has its place in the configuration).

use super::config::Algorithm;
use crate::net::addr::Ip;

/// What a scheduler knows of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// It is in the table.
    pub listed: bool,
    /// Its weight.
    pub weight: u32,
    /// Active connections.
    pub active: u32,
    /// Inactive connections.
    pub inactive: u32,
    /// Over its limit of connections.
    pub overload: bool,
}
impl Load {
    fn willing(&self) -> bool {
        self.listed && self.weight > 0 && !self.overload
    }
}

/// Buckets of a hash.
pub const BUCKETS: usize = 256;

/// The bucket of an address.
pub const fn bucket(ip: Ip) -> usize {
    ip.0.wrapping_mul(2_654_435_761) as usize % BUCKETS
}

/// A scheduler and what it remembers.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// Which one.
    pub algorithm: Algorithm,
    /// The server that round robin took last.
    last: Option<usize>,
    /// Weighted round robin: the weight that a server must have, and its steps.
    current: i64,
    step: i64,
    top: i64,
    /// Hashing: the server of each bucket.
    buckets: Vec<Option<u16>>,
}

impl Scheduler {
    /// A scheduler without servers.
    pub fn new(algorithm: Algorithm) -> Self {
        Scheduler { algorithm, last: None, current: 0, step: 1, top: 0, buckets: Vec::new() }
    }
    /// The server of each bucket (hashing only).
    pub fn buckets(&self) -> &[Option<u16>] {
        &self.buckets
    }

    /// Servers were added, removed or weighed anew.
    pub fn changed(&mut self, servers: &[Load]) {
        match self.algorithm {
            Algorithm::Wrr => {
                let weights = || servers.iter().filter(|s| s.listed).map(|s| i64::from(s.weight));
                let divisor = weights().filter(|w| *w > 0).fold(0, gcd).max(1);
                (self.last, self.step) = (None, divisor);
                self.top = (weights().max().unwrap_or(0) - (divisor - 1)).max(0);
                if self.current > self.top || self.current == 0 {
                    self.current = self.top;
                } else if divisor > 1 {
                    self.current = self.current / divisor * divisor + 1;
                }
            }
            Algorithm::Sh => self.fill(servers, |s| s.weight.max(1)),
            Algorithm::Dh => self.fill(servers, |_| 1),
            _ => {}
        }
    }
    /// Deals the buckets out: each server gets so many in a row, and so on from the first again.
    fn fill(&mut self, servers: &[Load], share: impl Fn(&Load) -> u32) {
        let listed: Vec<u16> = (0..servers.len()).filter(|i| servers[*i].listed).map(|i| i as u16).collect();
        self.buckets.clear();
        let mut turns = listed.iter().cycle().flat_map(|i| {
            let n = share(&servers[*i as usize]).min(BUCKETS as u32);
            std::iter::repeat_n(*i, n as usize)
        });
        for _ in 0..BUCKETS {
            self.buckets.push(turns.next());
        }
    }

    /// The server for a new connection.
    pub fn pick(&mut self, servers: &[Load], source: Ip, destination: Ip) -> Option<usize> {
        let willing = |i: &usize| servers[*i].willing();
        let all = || (0..servers.len()).filter(willing);
        match self.algorithm {
            Algorithm::Rr => {
                let n = servers.len();
                let start = self.last.map_or(0, |l| l + 1);
                let next = (0..n).map(|k| (start + k) % n).find(willing)?;
                self.last = Some(next);
                Some(next)
            }
            Algorithm::Wrr => self.weighted_round_robin(servers),
            Algorithm::Lc => least(all(), |i| (overhead(&servers[i]), 1)),
            Algorithm::Wlc => least(all(), |i| (overhead(&servers[i]), servers[i].weight)),
            Algorithm::Sed => shortest(servers, all()),
            Algorithm::Nq => all().find(|i| servers[*i].active == 0).or_else(|| shortest(servers, all())),
            Algorithm::Sh => self.bucket_of(source, servers),
            Algorithm::Dh => self.bucket_of(destination, servers),
        }
    }
    fn weighted_round_robin(&mut self, servers: &[Load]) -> Option<usize> {
        // Once through all weights finds every server that there is to find.
        let rounds = if self.step > 0 { self.top / self.step + 2 } else { 0 };
        for _ in 0..=rounds {
            let start = self.last.map_or(0, |l| l + 1);
            let heavy = |i: &usize| servers[*i].willing() && i64::from(servers[*i].weight) >= self.current;
            if let Some(i) = (start..servers.len()).find(heavy) {
                self.last = Some(i);
                return Some(i);
            }
            self.last = None;
            self.current -= self.step;
            if self.current <= 0 {
                self.current = self.top;
                if self.current == 0 {
                    return None;
                }
            }
        }
        None
    }
    /// A hash knows one server for an address; if that gets nothing, nobody does.
    fn bucket_of(&self, ip: Ip, servers: &[Load]) -> Option<usize> {
        let i = usize::from((*self.buckets.get(bucket(ip))?)?);
        servers.get(i)?.willing().then_some(i)
    }
}

/// 256 x active + inactive.
fn overhead(s: &Load) -> u64 {
    256 * u64::from(s.active) + u64::from(s.inactive)
}
fn shortest(servers: &[Load], all: impl Iterator<Item = usize>) -> Option<usize> {
    least(all, |i| (u64::from(servers[i].active) + 1, servers[i].weight))
}
/// The first server with the least cost over weight; compared crosswise, so that nothing is divided.
fn least(all: impl Iterator<Item = usize>, cost: impl Fn(usize) -> (u64, u32)) -> Option<usize> {
    let mut best: Option<(usize, u64, u32)> = None;
    for i in all {
        let (c, w) = cost(i);
        if best.is_none_or(|(_, bc, bw)| u128::from(bc) * u128::from(w) > u128::from(c) * u128::from(bw)) {
            best = Some((i, c, w));
        }
    }
    best.map(|b| b.0)
}
fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
