//! The startup process of a standby: one process that applies WAL, as fast as `replay_rate`.
//!
//! Its position is computed when somebody looks, so that a standby that keeps up costs no event. **Not modelled:** conflicts with queries,
//! prefetching, what records have in them.

use super::config::span_of;
use super::msg::Lsn;
use crate::engine::{Span, Time};
use std::collections::VecDeque;

/// Where replay stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Replay {
    base: Lsn,
    since: Time,
    target: Lsn,
    rate: u64,
    /// Clients are let in.
    hot: bool,
    /// It stands still: the primary has more connections than this standby has room for.
    pub(super) paused: bool,
    /// `recovery_min_apply_delay`.
    pub(super) delay: Span,
    /// What waits for the delay: its end, and when it was committed by this host's clock.
    queue: VecDeque<(Lsn, Time)>,
}

impl Replay {
    /// What has been applied when clients are let in, what there is, the rate.
    pub(super) fn new(base: Lsn, target: Lsn, rate: u64) -> Self {
        Replay { base, target, rate: rate.max(1), ..Replay::default() }
    }
    /// Clients are let in.
    pub(super) fn begin(&mut self, now: Time) {
        self.since = now;
        self.hot = true;
    }
    pub(super) fn is_hot(&self) -> bool {
        self.hot
    }
    /// What has been applied by now.
    pub(super) fn at(&self, now: Time) -> Lsn {
        // What waits for a delay that is over by now counts from the moment at which it was.
        let mut base = (self.base, self.since, self.target);
        for (lsn, committed) in &self.queue {
            let due = *committed + self.delay;
            if due > now || self.paused {
                break;
            }
            base = self.aim(base, due, *lsn);
        }
        self.position(base, now)
    }
    fn position(&self, (base, since, target): (Lsn, Time, Lsn), now: Time) -> Lsn {
        let done = u128::from(now.since(since).0) * u128::from(self.rate) / 1_000_000_000;
        target.min(base.plus(u64::try_from(done).unwrap_or(u64::MAX))).max(base)
    }
    fn aim(&self, from: (Lsn, Time, Lsn), at: Time, target: Lsn) -> (Lsn, Time, Lsn) {
        if target <= from.2 {
            return from;
        }
        let here = self.position(from, at);
        if here >= from.2 { (here, at.max(from.1), target) } else { (from.0, from.1, target) }
    }
    /// Takes over what is due.
    fn advance(&mut self, now: Time) {
        while let Some((lsn, committed)) = self.queue.front().copied() {
            let due = committed + self.delay;
            if due > now || self.paused {
                break;
            }
            self.queue.pop_front();
            (self.base, self.since, self.target) = self.aim((self.base, self.since, self.target), due, lsn);
        }
    }
    /// More has been flushed, committed at that time by this host's clock.
    pub(super) fn more(&mut self, now: Time, lsn: Lsn, committed: Time) {
        self.advance(now);
        if self.delay.is_zero() && !self.paused && self.queue.is_empty() {
            (self.base, self.since, self.target) = self.aim((self.base, self.since, self.target), now, lsn);
        } else {
            self.queue.push_back((lsn, committed));
            self.advance(now);
        }
    }
    /// Everything up to here is to be applied at once: a promotion waits for it.
    pub(super) fn hurry(&mut self, now: Time, end: Lsn) {
        self.paused = false;
        self.advance(now);
        self.queue.clear();
        self.delay = Span::ZERO;
        (self.base, self.since, self.target) = self.aim((self.base, self.since, self.target), now, end);
    }
    /// How long what may be applied now will take.
    pub(super) fn left(&self, now: Time) -> Span {
        span_up(self.target.since(self.position((self.base, self.since, self.target), now)), self.rate)
    }
    /// When this position will have been applied, as far as that is known now: at the latest then something must be looked at again.
    pub(super) fn wait_for(&self, now: Time, lsn: Lsn) -> Option<Span> {
        let at = self.at(now);
        if at >= lsn {
            return Some(Span::ZERO);
        }
        if self.target > at {
            return Some(span_up(self.target.min(lsn).since(at), self.rate).max(Span::us(1)));
        }
        self.queue
            .front()
            .filter(|_| !self.paused)
            .map(|(_, c)| (*c + self.delay).since(now).max(Span::us(1)))
    }
}

fn span_up(bytes: u64, rate: u64) -> Span {
    let span = span_of(bytes, rate);
    if bytes == 0 { span } else { Span(span.0 + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replay_is_as_fast_as_its_rate_and_waits_for_the_delay() {
        let mut r = Replay::new(Lsn(0), Lsn(0), 1_000);
        r.begin(Time::ZERO);
        r.more(Time::secs(1), Lsn(2_000), Time::secs(1));
        assert_eq!(r.at(Time::secs(2)), Lsn(1_000));
        r.more(Time::secs(2), Lsn(3_000), Time::secs(2));
        assert_eq!(r.at(Time::ms(3_500)), Lsn(2_500));
        assert_eq!(r.at(Time::secs(9)), Lsn(3_000));
        r.delay = Span::secs(5);
        r.more(Time::secs(10), Lsn(4_000), Time::secs(10));
        assert_eq!(r.at(Time::secs(14)), Lsn(3_000));
        assert_eq!(r.at(Time::ms(15_500)), Lsn(3_500));
        assert_eq!(r.wait_for(Time::secs(14), Lsn(4_000)), Some(Span::secs(1)));
        r.hurry(Time::secs(14), Lsn(4_000));
        assert_eq!(r.at(Time::secs(15)), Lsn(4_000));
        assert!(r.left(Time::secs(14)) >= Span::secs(1));
    }
}
