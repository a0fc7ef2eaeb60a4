//! A queue of numbers that come out in order, the smallest first: what an event loop waits for.
//!
//! The upper half of a number is a time in nanoseconds. Time is cut into slices; the numbers of the present slice lie sorted, those of the
//! next seconds in a wheel of one list a slice, unsorted until their slice comes, and those beyond in a heap. Nearly everything that is
//! scheduled happens within milliseconds, and nearly every timer within seconds, so that a heap is hardly ever asked: what is soon is put
//! into its place among few, what is later costs a link, and a sort of few when its slice comes. A present slice with very much in it
//! falls back on a heap of its own.
//!
//! Source: the idea of sorting only what comes next is that of calendar queues (Brown 1988) and ladder queues (Tang, Goh, Thng 2005).

use dary_heap::QuaternaryHeap;
use std::cmp::Reverse;

/// Slices in the wheel.
const SLICES: usize = 1024;
/// As many numbers of the present slice are kept sorted by putting each into its place.
const FEW: usize = 64;
const NONE: u32 = u32::MAX;

/// See the module. A slice is 2^`WIDTH` ns: so wide that a few numbers lie in it, which are sorted when it comes.
#[derive(Clone)]
pub(super) struct Queue<const WIDTH: u32> {
    count: usize,
    /// The present slice; nothing waits for an earlier one.
    now: u64,
    /// Numbers of slices up to the present one, the smallest at the end.
    front: Vec<u128>,
    /// More of them.
    crowd: QuaternaryHeap<Reverse<u128>>,
    /// The first link of each slice's list, and which lists have one.
    heads: Vec<u32>,
    some: [u64; SLICES / 64],
    links: Vec<(u128, u32)>,
    free: u32,
    /// Numbers of slices beyond the wheel, or that were beyond it when they came.
    far: QuaternaryHeap<Reverse<u128>>,
}

impl<const WIDTH: u32> Queue<WIDTH> {
    #[inline]
    fn slice(key: u128) -> u64 {
        (key >> 64) as u64 >> WIDTH
    }
    pub(super) fn new() -> Self {
        Queue {
            count: 0,
            now: 0,
            front: Vec::with_capacity(FEW),
            crowd: QuaternaryHeap::new(),
            heads: vec![NONE; SLICES],
            some: [0; SLICES / 64],
            links: Vec::new(),
            free: NONE,
            far: QuaternaryHeap::new(),
        }
    }
    pub(super) fn len(&self) -> usize {
        self.count
    }
    /// The smallest number; `u128::MAX` if there is none.
    #[inline]
    pub(super) fn peek(&self) -> u128 {
        let front = self.front.last().copied().unwrap_or(u128::MAX);
        if self.crowd.is_empty() { front } else { front.min(self.crowd.peek().map_or(u128::MAX, |k| k.0)) }
    }
    #[inline]
    pub(super) fn push(&mut self, key: u128) {
        let slice = Self::slice(key);
        if self.count == 0 {
            self.now = slice;
        }
        self.count += 1;
        if slice > self.now {
            self.later(key, slice);
        } else if self.front.len() < FEW {
            // It is one of the next few: those before it move up.
            let mut i = self.front.len();
            self.front.push(key);
            while i > 0 && self.front[i - 1] < key {
                self.front[i] = self.front[i - 1];
                i -= 1;
            }
            self.front[i] = key;
        } else {
            self.crowd.push(Reverse(key));
        }
    }
    fn later(&mut self, key: u128, slice: u64) {
        if slice - self.now >= SLICES as u64 {
            self.far.push(Reverse(key));
            return;
        }
        let place = slice as usize % SLICES;
        let link = (key, self.heads[place]);
        self.heads[place] = self.free;
        if let Some(l) = self.links.get_mut(self.free as usize) {
            self.free = l.1;
            *l = link;
        } else {
            self.heads[place] = self.links.len() as u32;
            self.links.push(link);
        }
        self.some[place / 64] |= 1 << (place % 64);
    }
    /// Takes the smallest number, which [`Queue::peek`] has told.
    #[inline]
    pub(super) fn pop(&mut self) {
        let taken = if self.crowd.is_empty() { self.front.pop() } else { self.pop_crowded() };
        self.count -= usize::from(taken.is_some());
        if self.front.is_empty() && self.crowd.is_empty() && self.count > 0 {
            self.turn();
        }
    }
    fn pop_crowded(&mut self) -> Option<u128> {
        let crowd = self.crowd.peek().is_some_and(|c| self.front.last().is_none_or(|f| c.0 < *f));
        if crowd { self.crowd.pop().map(|k| k.0) } else { self.front.pop() }
    }
    /// The next slice in which there is anything becomes the present one.
    fn turn(&mut self) {
        let wheel = self.next_in_wheel();
        let far = self.far.peek().map(|k| Self::slice(k.0));
        let Some(now) = wheel.into_iter().chain(far).min() else { return };
        self.now = now;
        if wheel == Some(now) {
            let place = now as usize % SLICES;
            self.some[place / 64] &= !(1 << (place % 64));
            let mut i = std::mem::replace(&mut self.heads[place], NONE);
            while let Some(l) = self.links.get_mut(i as usize) {
                self.front.push(l.0);
                let next = std::mem::replace(&mut l.1, self.free);
                self.free = i;
                i = next;
            }
        }
        while let Some(k) = self.far.peek().map(|k| k.0).filter(|k| Self::slice(*k) == now) {
            self.far.pop();
            self.front.push(k);
        }
        self.front.sort_unstable_by(|a, b| b.cmp(a));
    }
    /// The first slice after the present one that has a list.
    fn next_in_wheel(&self) -> Option<u64> {
        let first = (self.now + 1) as usize % SLICES;
        // The word of the first place twice: its upper part at the beginning, its lower part at the end.
        for n in 0..=SLICES / 64 {
            let word = (first / 64 + n) % (SLICES / 64);
            let mut bits = self.some[word];
            if n == 0 {
                bits &= u64::MAX << (first % 64);
            }
            if bits != 0 {
                let place = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (place + SLICES - first) % SLICES;
                return Some(self.now + 1 + ahead as u64);
            }
        }
        None
    }
    /// All numbers, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u128> + '_ {
        let lists = self.heads.iter().flat_map(|head| {
            std::iter::successors(self.links.get(*head as usize), |l| self.links.get(l.1 as usize))
        });
        let heaps = self.crowd.iter().chain(&self.far).map(|k| k.0);
        self.front.iter().copied().chain(lists.map(|l| l.0)).chain(heaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Random work against an ordered set: delays of nothing, of microseconds, of seconds and of minutes, and bursts at one instant.
    #[test]
    fn what_comes_out_is_what_an_ordered_set_gives() {
        agrees::<20>();
        agrees::<23>();
        agrees::<26>();
    }
    fn agrees<const WIDTH: u32>() {
        for seed in 1..=20u64 {
            let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut draw = move |bound: u64| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((u128::from(x) * u128::from(bound)) >> 64) as u64
            };
            let (mut queue, mut set, mut now) = (Queue::<WIDTH>::new(), BTreeSet::new(), 0u64);
            for n in 0..20_000u128 {
                let most = if seed % 2 == 0 { 20 } else { 3_000 };
                if set.len() < 2 || (set.len() < most && draw(2) == 0) {
                    let delay = match draw(8) {
                        0 => 0,
                        1..=3 => draw(1_000_000),
                        4 => draw(20_000_000),
                        5 | 6 => draw(9_000_000_000),
                        _ => draw(300_000_000_000),
                    };
                    let key = (u128::from(now + delay) << 64) | n;
                    queue.push(key);
                    set.insert(key);
                } else {
                    let least = set.pop_first().unwrap();
                    assert_eq!(queue.peek(), least, "seed {seed}, step {n}");
                    queue.pop();
                    now = (least >> 64) as u64;
                }
                assert_eq!(queue.len(), set.len());
                if n % 1_000 == 0 {
                    let mut all: Vec<u128> = queue.iter().collect();
                    all.sort_unstable();
                    assert_eq!(all, set.iter().copied().collect::<Vec<_>>());
                }
            }
            while let Some(least) = set.pop_first() {
                assert_eq!(queue.peek(), least);
                queue.pop();
            }
            assert_eq!((queue.peek(), queue.len()), (u128::MAX, 0));
        }
    }
}
