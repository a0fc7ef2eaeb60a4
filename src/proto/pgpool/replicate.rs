//! Native replication and snapshot isolation: how one statement reaches all nodes, and what is made of answers that differ.
//!
//! Source: `src/protocol/pool_process_query.c` (`pool_send_and_wait`, `pool_compare_nodes...`), `src/protocol/pool_proto_modules.c` (`SimpleQuery`,
//! `start_internal_transaction`, `end_internal_transaction`). A write goes to the main node first, and when that has answered to all others at once:
//! row locks are taken on the main node in the order of all sessions. COMMIT and ROLLBACK go the other way round, the main node last; there is
//! no two-phase commit. A write outside of a transaction is wrapped in BEGIN and COMMIT. An INSERT into a table with a SERIAL column is
//! preceded by a LOCK (`insert_lock`). In snapshot isolation no snapshot is taken between the first commit and the last.
//!
//! **Not modelled:** OIDs, large objects' locks (`lobj_lock_table`), the row lock on a sequence's relation that replaced LOCK TABLE in 3.x
//! (a table lock stands for it).

use super::shared::Shared;
use crate::proto::postgres::msg::{Answer, Sql, SqlState};

/// What a wave of statements is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// BEGIN around a single write.
    Begin,
    /// LOCK before an INSERT.
    Lock,
    /// The client's statement.
    Statement,
    /// The last of the client's statement: the answers of all nodes are compared.
    Compared,
    /// COMMIT on the nodes that are not the main one.
    CommitOthers,
    /// COMMIT on the main node.
    CommitMain,
    /// ROLLBACK on all, after answers that differed or an error.
    Rollback,
}

/// A wave: what, and to whom. The next one waits until all have answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wave {
    pub(super) kind: Kind,
    pub(super) nodes: Vec<u8>,
}
pub(super) fn wave(kind: Kind, nodes: impl IntoIterator<Item = u8>) -> Wave {
    Wave { kind, nodes: nodes.into_iter().collect() }
}

/// How answers differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Mismatch {
    /// Some did it, some did not: these are the fewer.
    Kind(Vec<u8>),
    /// Another number of rows: these are the fewer.
    Tuples(Vec<u8>),
}

/// The nodes that are in the minority by a property; on a tie those that are not with the main node.
fn minority<T: PartialEq>(of: &[(u8, T)], main: u8) -> Vec<u8> {
    let count = |v: &T| of.iter().filter(|(_, x)| x == v).count();
    let with_main = |v: &T| of.iter().any(|(n, x)| *n == main && x == v);
    let best = of.iter().map(|(_, v)| v).max_by_key(|v| (count(v), with_main(v)));
    of.iter().filter(|(_, v)| Some(v) != best).map(|(n, _)| *n).collect()
}

/// Compares the answers of all nodes: what data they hold is never compared.
pub(super) fn compare(answers: &[(u8, Sql)], main: u8) -> Option<Mismatch> {
    let kinds: Vec<(u8, bool)> = answers.iter().map(|(n, a)| (*n, matches!(a, Sql::Done(..)))).collect();
    let fewer = minority(&kinds, main);
    if !fewer.is_empty() {
        return Some(Mismatch::Kind(fewer));
    }
    let rows = |a: &Sql| if let Sql::Done(_, Answer::Changed(n)) = a { Some(*n) } else { None };
    let rows: Vec<(u8, Option<u32>)> = answers.iter().map(|(n, a)| (*n, rows(a))).collect();
    let fewer = minority(&rows, main);
    (!fewer.is_empty()).then_some(Mismatch::Tuples(fewer))
}

/// The first error among answers, the main node's before others.
pub(super) fn error(answers: &[(u8, Sql)], main: u8) -> Option<SqlState> {
    let of = |a: &Sql| if let Sql::Error(_, code) = a { Some(*code) } else { None };
    let own = answers.iter().find(|(n, _)| *n == main).and_then(|(_, a)| of(a));
    own.or_else(|| answers.iter().find_map(|(_, a)| of(a)))
}

/// What a session holds of the gates of snapshot isolation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Gate {
    #[default]
    None,
    /// It takes its snapshot: nobody commits meanwhile.
    Snapshot,
    /// It commits: nobody takes a snapshot meanwhile.
    Commit,
}
impl Gate {
    /// Goes through a gate, if the other one is not in use.
    pub(super) fn enter(self, shared: &mut Shared) -> bool {
        match self {
            Gate::None => true,
            Gate::Snapshot if shared.committing == 0 => {
                shared.snapshots += 1;
                true
            }
            Gate::Commit if shared.snapshots == 0 => {
                shared.committing += 1;
                true
            }
            Gate::Snapshot | Gate::Commit => false,
        }
    }
    /// Leaves it.
    pub(super) fn leave(self, shared: &mut Shared) {
        match self {
            Gate::None => {}
            Gate::Snapshot => shared.snapshots = shared.snapshots.saturating_sub(1),
            Gate::Commit => shared.committing = shared.committing.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewer_are_wrong_and_on_a_tie_those_without_the_main_node() {
        let ok = |n| (n, Sql::Done(0, Answer::Changed(3)));
        let bad = |n| (n, Sql::Error(0, SqlState::UndefinedTable));
        assert_eq!(compare(&[ok(0), ok(1), ok(2)], 0), None);
        assert_eq!(compare(&[ok(0), ok(1), bad(2)], 0), Some(Mismatch::Kind(vec![2])));
        assert_eq!(compare(&[bad(0), ok(1), ok(2)], 0), Some(Mismatch::Kind(vec![0])));
        assert_eq!(compare(&[ok(0), bad(1)], 0), Some(Mismatch::Kind(vec![1])));
        assert_eq!(compare(&[bad(0), bad(1)], 0), None);
        let five = (1, Sql::Done(0, Answer::Changed(5)));
        assert_eq!(compare(&[ok(0), five, ok(2)], 0), Some(Mismatch::Tuples(vec![1])));
    }
}
