//! Timelines: which stretches of WAL follow each other.
//!
//! Source: PostgreSQL documentation, "Timelines"; `timeline.c`. A history is the list of what was before, each with the position at which it
//! begins; two histories agree up to the position where they part.

use super::msg::{Branch, Lsn, Place};
use std::sync::Arc;

/// A stretch of a history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Segment {
    /// Its timeline's number.
    pub timeline: u32,
    /// Its branch.
    pub branch: Branch,
    /// Where it begins: the first position that belongs to it is the next one.
    pub start: Lsn,
}

/// A history, the oldest stretch first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct History(Arc<[Segment]>);

impl Default for History {
    fn default() -> Self {
        History(Arc::new([Segment { timeline: 1, branch: Branch(0), start: Lsn(0) }]))
    }
}

impl History {
    /// Its stretches.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
    fn last(&self) -> Segment {
        self.0.last().copied().unwrap_or(Segment { timeline: 1, branch: Branch(0), start: Lsn(0) })
    }
    /// The number of its last timeline.
    pub fn timeline(&self) -> u32 {
        self.last().timeline
    }
    /// Its last branch.
    pub fn branch(&self) -> Branch {
        self.last().branch
    }
    /// The stretch that a position belongs to.
    pub fn at(&self, lsn: Lsn) -> Segment {
        let mut found = self.0.first().copied().unwrap_or_else(|| self.last());
        for s in self.0.iter() {
            if s.start < lsn {
                found = *s;
            }
        }
        found
    }
    /// A position as a place.
    pub fn place(&self, lsn: Lsn) -> Place {
        Place { branch: self.at(lsn).branch, lsn }
    }
    /// Whether the place belongs to it, if it goes on for ever.
    pub fn contains(&self, place: Place) -> bool {
        self.0.iter().position(|s| s.branch == place.branch).is_some_and(|i| {
            place.lsn >= self.0[i].start && self.0.get(i + 1).is_none_or(|next| place.lsn <= next.start)
        })
    }
    /// It, and from here on something new.
    #[must_use]
    pub fn then(&self, timeline: u32, branch: Branch, start: Lsn) -> History {
        // A stretch that nothing was written to leaves no trace; numbers that were used stay used.
        History(self.0.iter().copied().chain([Segment { timeline, branch, start }]).collect())
    }
    /// The lines of a history file: the number of a timeline, and where it was left.
    pub fn lines(&self) -> impl Iterator<Item = (u32, Lsn)> + '_ {
        self.0.windows(2).filter(|w| w[0].timeline != w[1].timeline).map(|w| (w[0].timeline, w[1].start))
    }
    /// Where this timeline was left; nothing if it is the last one or none of the history's.
    pub fn switch_point(&self, timeline: u32) -> Option<Lsn> {
        self.lines().find(|(t, _)| *t == timeline).map(|l| l.1)
    }
    /// The last position up to which two histories that end at these positions are one.
    pub fn common(&self, end: Lsn, other: &History, other_end: Lsn) -> Lsn {
        let until = |h: &History, end: Lsn, i: usize| h.0.get(i + 1).map_or(end, |n| n.start.min(end));
        let mut common = Lsn(0);
        for (i, (a, b)) in self.0.iter().zip(other.0.iter()).enumerate() {
            if a.branch != b.branch {
                break;
            }
            let (x, y) = (until(self, end, i), until(other, other_end, i));
            common = x.min(y);
            if x != y {
                break;
            }
        }
        common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_agree_up_to_where_they_part() {
        let base = History::default();
        let b = base.then(2, Branch(1 << 16), Lsn(100));
        let c = base.then(2, Branch(2 << 16), Lsn(120));
        assert_eq!(b.common(Lsn(500), &c, Lsn(500)), Lsn(100));
        assert_eq!(base.common(Lsn(90), &b, Lsn(500)), Lsn(90));
        assert_eq!(base.common(Lsn(110), &b, Lsn(500)), Lsn(100));
        assert!(b.contains(base.place(Lsn(100))) && !b.contains(base.place(Lsn(101))));
        assert!(c.contains(base.place(Lsn(101))) && !c.contains(b.place(Lsn(101))));
        assert_eq!(b.place(Lsn(100)).branch, Branch(0), "the switch point belongs to what was before");
        assert_eq!(b.lines().collect::<Vec<_>>(), [(1, Lsn(100))]);
        let torn = b.then(2, Branch((1 << 16) + 1), Lsn(200));
        assert_eq!(torn.lines().count(), 1, "a crash adds no line");
        assert!(!torn.contains(b.place(Lsn(201))));
        assert_eq!(torn.switch_point(1), Some(Lsn(100)));
        assert_eq!(torn.switch_point(2), None);
    }
}
