//! The processors of a host, as far as statements need them: work stands in one queue before them and is done in turn.
//!
//! A piece of work is an integer service time. **Not modelled:** priorities, time slices (work that has begun is done to its end), caches,
//! what other daemons need.

use crate::engine::{Span, Time};

/// The processors of a host.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// When each is free; none: there is no limit.
    free: Vec<Time>,
    /// The work that they have done.
    busy: Span,
}
impl Cpu {
    /// So many processors; 0: no limit.
    pub fn new(n: u16) -> Self {
        Cpu { free: vec![Time::ZERO; usize::from(n)], busy: Span::ZERO }
    }
    /// When work that arrives now will be done.
    pub fn take(&mut self, now: Time, need: Span) -> Time {
        self.busy += need;
        let Some(first) = self.free.iter_mut().min() else { return now + need };
        *first = (*first).max(now) + need;
        *first
    }
    /// The work that they have done so far.
    pub fn busy(&self) -> Span {
        self.busy
    }
    /// How many they are; 0: no limit.
    pub fn count(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processors_do_two_things_at_a_time() {
        let mut cpu = Cpu::new(2);
        let done: Vec<u64> = (0..5).map(|_| cpu.take(Time::ZERO, Span::ms(10)).as_ms()).collect();
        assert_eq!(done, [10, 10, 20, 20, 30]);
        let later = Time::ZERO + Span::ms(100);
        assert_eq!(cpu.take(later, Span::ms(10)).as_ms(), 110);
        assert_eq!(Cpu::default().take(later, Span::ms(7)).as_ms(), 107);
    }
}
