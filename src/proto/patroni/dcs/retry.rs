//! Patroni's `Retry`: how often and how long a failing call is repeated.

use crate::engine::{Span, Time};

/// The delay before the second attempt.
const DELAY: Span = Span::ms(100);
/// The longest delay, jitter apart.
const MAX_DELAY: Span = Span::secs(1);
/// Jitter is drawn from 0, 0.01, ..., 0.80 s.
const JITTER_STEPS: u64 = 81;
const JITTER_STEP: Span = Span::ms(10);

/// A call that is repeated until a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// The deadline is so long after the first attempt.
    pub deadline: Span,
    delay: Span,
    stop: Time,
}
impl Retry {
    /// A call that begins now.
    pub fn new(deadline: Span, now: Time) -> Self {
        Retry { deadline, delay: DELAY, stop: now + deadline }
    }
    /// `Retry.__call__` begins anew: a call within the same operation has a whole deadline again.
    pub fn restart(&mut self, now: Time) {
        *self = Retry::new(self.deadline, now);
    }
    /// The deadline.
    pub fn stop(&self) -> Time {
        self.stop
    }
    /// `sleeptime`: the next wait, drawn anew.
    pub fn sleep_time(&self, below: impl FnOnce(u64) -> u64) -> Span {
        Span(self.delay.0 + below(JITTER_STEPS) * JITTER_STEP.0)
    }
    /// `update_delay`.
    pub fn back_off(&mut self) {
        self.delay = Span(self.delay.0 * 2).min(MAX_DELAY);
    }
    /// An attempt has failed: how long to sleep before the next one, or `None` if that would reach the deadline.
    pub fn failed(&mut self, now: Time, below: impl FnOnce(u64) -> u64) -> Option<Span> {
        let sleep = self.sleep_time(below);
        if now + sleep >= self.stop {
            return None;
        }
        self.back_off();
        Some(sleep)
    }
    /// `ensure_deadline`: whether at least so much is left.
    pub fn has(&self, left: Span, now: Time) -> bool {
        now + left <= self.stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_second() {
        let mut r = Retry::new(Span::secs(100), Time::ZERO);
        let delays: Vec<u64> = (0..6).filter_map(|_| r.failed(Time::ZERO, |_| 0)).map(Span::as_ms).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
    }
    #[test]
    fn a_sleep_that_reaches_the_deadline_is_not_slept() {
        let mut r = Retry::new(Span::secs(10), Time::ZERO);
        assert_eq!(r.failed(Time::ms(9_900), |_| 0), None, "at the deadline");
        assert_eq!(r.failed(Time::ms(9_899), |_| 0), Some(Span::ms(100)));
        assert_eq!(r.failed(Time::ms(9_000), |n| n - 1), None, "0.2 and 0.8");
    }
}
