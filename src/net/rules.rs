//! What faults do to links: an ordered list of rules, each with a verdict, the first that decides wins.

use super::Plane;
use crate::engine::{Chance, EventId, SpanRange};

/// A set of hosts by number.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct HostSet(Vec<u16>);
impl HostSet {
    /// These hosts.
    pub fn new(mut hosts: Vec<u16>) -> Self {
        hosts.sort_unstable();
        hosts.dedup();
        HostSet(hosts)
    }
    /// Whether `host` is one of them.
    #[inline]
    pub fn has(&self, host: u16) -> bool {
        self.0.binary_search(&host).is_ok()
    }
    /// The hosts, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().copied()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a rule does to a frame.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// It is lost.
    Drop,
    /// It is lost with this probability.
    Loss(Chance),
    /// It is lost, and so are the next ones, until the count is used up.
    DropNext(u32),
    /// It takes longer.
    Delay(SpanRange),
    /// It arrives twice, with this probability.
    Duplicate(Chance),
    /// It is held back with this probability.
    Reorder(Chance, SpanRange),
    /// It is lost if it is a gratuitous ARP.
    LoseGarps,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// Senders.
    pub from: HostSet,
    /// Receivers.
    pub to: HostSet,
    /// Only this plane.
    pub plane: Option<Plane>,
    /// What happens.
    pub effect: Effect,
    /// The fault that installed the rule.
    pub by: EventId,
}
impl Rule {
    /// Whether the rule is about a frame of this plane between these hosts.
    #[inline]
    pub fn matches(&self, from: u16, to: u16, plane: Plane) -> bool {
        self.plane.is_none_or(|p| p == plane) && self.from.has(from) && self.to.has(to)
    }
}
