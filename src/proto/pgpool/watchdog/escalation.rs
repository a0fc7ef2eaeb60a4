//! The virtual address: who takes it runs `if_up_cmd`, `arping` and a ping in a process of its own, who gives it up `if_down_cmd`.
//!
//! The address works as soon as it is configured; `arping -U -w 1` announces it then and a second later, and up to three pings follow,
//! which delay nothing. A de-escalation waits for an escalation that still runs (and the other way round), at most five seconds. A
//! pgpool that is killed leaves the address where it is. Source: `wd_escalation.c`, `wd_if.c`.

use super::config::WAIT_FOR_ESCALATION;
use crate::engine::{Span, Time};

/// How long `arping -w 1` and the pings run after the address is there.
const AFTER: Span = Span::secs(3);
/// When the second announcement leaves.
pub const ARPING_AGAIN: Span = Span::secs(1);

/// What is to be done with the address next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// `if_up_cmd`, and the first announcement.
    Up,
    /// The second announcement.
    Arping,
    /// `if_down_cmd`.
    Down,
}

/// The escalation and de-escalation processes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Escalation {
    /// When the process that runs last ends.
    until: Time,
    /// What is to be done, and when.
    queue: Vec<(Time, Step)>,
}
impl Escalation {
    /// The watchdog escalates (`up`) or the contrary; the commands need `takes`.
    pub fn run(&mut self, up: bool, takes: Span, now: Time) {
        let latest = now + WAIT_FOR_ESCALATION;
        let begin = if self.until > now { self.until.min(latest) } else { now };
        let at = begin + takes;
        if up {
            self.queue.push((at, Step::Up));
            self.queue.push((at + ARPING_AGAIN, Step::Arping));
            self.until = at + AFTER;
        } else {
            self.queue.push((at, Step::Down));
            self.until = at;
        }
    }
    /// When something is due next.
    pub fn next(&self) -> Option<Time> {
        self.queue.iter().map(|q| q.0).min()
    }
    /// What is due now, in order.
    pub fn due(&mut self, now: Time) -> Vec<Step> {
        self.queue.sort_by_key(|q| q.0);
        let due: Vec<Step> = self.queue.extract_if(.., |q| q.0 <= now).map(|q| q.1).collect();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_de_escalation_waits_for_the_pings_and_no_longer_than_five_seconds() {
        let mut e = Escalation::default();
        let start = Time::ZERO + Span::secs(100);
        e.run(true, Span::ms(5), start);
        assert_eq!(e.due(start + Span::ms(5)), [Step::Up]);
        e.run(false, Span::ms(5), start + Span::secs(1));
        assert_eq!(e.due(start + Span::secs(2)), [Step::Arping]);
        assert_eq!(e.next(), Some(start + Span::ms(3010)));
        assert_eq!(e.due(start + Span::secs(9)), [Step::Down]);
        e.run(false, Span::ms(5), start + Span::secs(20));
        assert_eq!(e.next(), Some(start + Span::ms(20_005)));
    }
}
