//! What a child keeps for later sessions: connections to all nodes at once, by user, database and protocol.
//!
//! Source: `src/protocol/pool_connection_pool.c` (`pool_get_cp`, `pool_create_cp`, `pool_backend_timer`). Of the slots that nobody uses the one with
//! the smallest `closetime` is evicted. `closetime` counts whole seconds and the comparison is strict, so that among equals the lowest
//! slot goes: within a second this is not "least recently used". The databases template0, template1, postgres and regression are never
//! kept.

use super::shared::Login;
use crate::engine::{Span, Time};
use crate::node::process::{ConnId, HostId};
use std::sync::Arc;

/// A connection to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The connection.
    pub conn: ConnId,
    /// The server behind it, and whether it said that it is in recovery; none before it has let the session in.
    pub server: Option<(HostId, bool)>,
    /// It is no more.
    pub broken: bool,
}

/// A slot: connections to all nodes that were attached when it was filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Whom it is for.
    pub login: Arc<Login>,
    /// By node number.
    pub links: Vec<Option<Link>>,
    /// When it was released last, in whole seconds.
    pub closetime: u64,
    /// The same to the nanosecond, for `connection_life_time`.
    pub released: Option<Time>,
}
impl Slot {
    /// The link of a connection: its node.
    pub fn node_of(&self, conn: ConnId) -> Option<u8> {
        self.links.iter().position(|l| l.is_some_and(|l| l.conn == conn)).map(|n| n as u8)
    }
    /// The link to a node.
    pub fn link(&self, node: u8) -> Option<&Link> {
        self.links.get(usize::from(node))?.as_ref()
    }
}

/// The slots of a child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache {
    /// `max_pool` of them.
    pub slots: Vec<Option<Slot>>,
}

/// Databases whose connections are never kept.
pub const NEVER: [&str; 4] = ["template0", "template1", "postgres", "regression"];

impl Cache {
    /// An empty cache.
    pub fn new(max_pool: u16) -> Self {
        Cache { slots: vec![None; usize::from(max_pool.max(1))] }
    }
    /// The slot for a login: user, database and protocol decide, nothing else.
    pub fn find(&self, login: &Login) -> Option<usize> {
        let same = |s: &Slot| {
            s.login.user == login.user
                && s.login.database == login.database
                && s.login.protocol == login.protocol
        };
        self.slots.iter().position(|s| s.as_ref().is_some_and(same))
    }
    /// Where a new session goes: an empty slot, or the one that is evicted.
    pub fn place(&self) -> usize {
        if let Some(empty) = self.slots.iter().position(Option::is_none) {
            return empty;
        }
        let time = |i: &usize| self.slots[*i].as_ref().map_or(0, |s| s.closetime);
        // The first of the smallest.
        (0..self.slots.len()).min_by_key(|i| (time(i), *i)).unwrap_or(0)
    }
    /// The slot and the node of a connection.
    pub fn owner(&self, conn: ConnId) -> Option<(usize, u8)> {
        self.slots.iter().enumerate().find_map(|(i, s)| Some((i, s.as_ref()?.node_of(conn)?)))
    }
    /// When the next slot has been unused for `life`.
    pub fn next_end(&self, life: Span, except: Option<usize>) -> Option<Time> {
        let ends = |(i, s): (usize, &Option<Slot>)| {
            let released = s.as_ref()?.released?;
            (Some(i) != except).then_some(released + life)
        };
        self.slots.iter().enumerate().filter_map(ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(user: &str, closetime: u64) -> Slot {
        let login = Login { user: user.into(), ..Login::default() };
        Slot { login: Arc::new(login), links: Vec::new(), closetime, released: None }
    }
    #[test]
    fn the_smallest_whole_second_is_evicted_and_among_equals_the_lowest_slot() {
        let mut cache = Cache::new(3);
        assert_eq!(cache.place(), 0);
        for (i, t) in [(0, 7), (1, 5), (2, 5)] {
            cache.slots[i] = Some(slot(["a", "b", "c"][i], t));
        }
        assert_eq!(cache.place(), 1);
        assert_eq!(cache.find(&Login { user: "c".into(), ..Login::default() }), Some(2));
        assert_eq!(cache.find(&Login { user: "c".into(), database: "x".into(), ..Login::default() }), None);
        assert_eq!(cache.find(&Login { user: "c".into(), protocol: 2, ..Login::default() }), None);
        // A run-time parameter is no part of the key.
        assert_eq!(
            cache.find(&Login { user: "c".into(), application: "x".into(), ..Login::default() }),
            Some(2)
        );
    }
}
