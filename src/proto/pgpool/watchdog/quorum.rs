//! How many watchdogs a quorum needs, and which of two leaders stays.

use std::cmp::Ordering;

/// The remote nodes that a quorum needs, where `remote` of them are members: the local node counts as one more.
const fn remote_needed(remote: usize) -> usize {
    if remote.is_multiple_of(2) { remote / 2 } else { (remote - 1) / 2 }
}

/// The state of the quorum of a leader whom `standbys` of `remote` members have joined: 1 there, 0 on the edge (exactly half of an even
/// number, with `enable_consensus_with_half_votes`), -1 absent.
pub const fn status(remote: usize, standbys: usize, half_votes: bool) -> i8 {
    let needed = remote_needed(remote);
    if standbys > needed {
        1
    } else if standbys < needed {
        -1
    } else if remote.is_multiple_of(2) {
        1
    } else if half_votes {
        0
    } else {
        -1
    }
}

/// The votes that a failover needs where `remote` other nodes are members.
pub const fn votes(remote: usize, half_votes: bool) -> usize {
    remote_needed(remote) + 1 + if !remote.is_multiple_of(2) && !half_votes { 1 } else { 0 }
}

/// A leader, as far as it matters who of two stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// It has the virtual address.
    pub escalated: bool,
    /// Its quorum.
    pub quorum: i8,
    /// Its standbys.
    pub standbys: u8,
    /// Since when it leads, in whole seconds of the wall clock.
    pub since: i64,
}

/// By what one of two leaders stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum By {
    /// Only one of them has the virtual address.
    Escalated,
    /// Its quorum is better.
    Quorum,
    /// More standbys have joined it.
    Standbys,
    /// It has led for longer.
    Age,
}

/// Whether I stay, and by what. Equal in everything, each believes that it stays: "the older" is told by strictly less.
pub fn stays(me: Claim, other: Claim) -> (bool, By) {
    let order = [
        (me.escalated.cmp(&other.escalated), By::Escalated),
        (me.quorum.cmp(&other.quorum), By::Quorum),
        (me.standbys.cmp(&other.standbys), By::Standbys),
    ];
    for (cmp, by) in order {
        if cmp != Ordering::Equal {
            return (cmp == Ordering::Greater, by);
        }
    }
    (other.since >= me.since, By::Age)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N, live needed and votes by default, live needed and votes with half votes: the table of the manual, section
    /// "Watchdog quorum failover consensus".
    const TABLE: [(usize, usize, usize, usize, usize); 7] = [
        (1, 1, 1, 1, 1),
        (2, 2, 2, 1, 1),
        (3, 2, 2, 2, 2),
        (4, 3, 3, 2, 2),
        (5, 3, 3, 3, 3),
        (6, 4, 4, 3, 3),
        (7, 4, 4, 4, 4),
    ];

    #[test]
    fn quorum_and_votes_are_those_of_the_manual() {
        for (n, live, needed, live_half, needed_half) in TABLE {
            for (half, live, needed) in [(false, live, needed), (true, live_half, needed_half)] {
                let first = (1..=n).find(|l| status(n - 1, l - 1, half) >= 0);
                assert_eq!(first, Some(live), "{n} nodes, half votes {half}");
                assert_eq!(votes(n - 1, half), needed, "{n} nodes, half votes {half}");
            }
        }
        // On the edge is said of exactly half of an even number.
        assert_eq!((status(1, 0, true), status(1, 1, true), status(3, 1, true)), (0, 1, 0));
        assert_eq!((status(2, 0, true), status(2, 1, true), status(3, 0, true)), (-1, 1, -1));
    }

    #[test]
    fn of_two_leaders_the_first_difference_decides() {
        let base = Claim { escalated: true, quorum: 1, standbys: 1, since: 100 };
        let young = Claim { since: 200, ..base };
        assert_eq!(
            stays(base, Claim { escalated: false, quorum: 1, standbys: 9, since: 1 }),
            (true, By::Escalated)
        );
        assert_eq!(stays(Claim { quorum: 0, ..base }, young), (false, By::Quorum));
        assert_eq!(stays(Claim { standbys: 2, ..young }, base), (true, By::Standbys));
        assert_eq!(stays(young, base), (false, By::Age));
        assert_eq!(stays(base, young), (true, By::Age));
        assert_eq!(stays(base, base), (true, By::Age));
    }
}
