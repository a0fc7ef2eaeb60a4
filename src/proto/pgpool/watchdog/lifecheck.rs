//! Whether the other pgpools are alive, by their heartbeats: the rule, without a network.
//!
//! A process of its own looks every `wd_interval` when each peer was heard last. It begins only after every peer has been heard, which it
//! tests at its start and then every ten `wd_interval`: the first test comes too early, so that it works from the second on. Source:
//! `wd_lifecheck.c`, `is_wd_lifecheck_ready`, `wd_check_heartbeat`.

use super::config::{Clock, secs_between};
use super::msg::NodeId;

/// A peer, as its heartbeats show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Heard {
    /// When a heartbeat arrived last.
    pub last: Option<Clock>,
}

/// What the lifecheck found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Found {
    /// No heartbeat for more than `wd_heartbeat_deadtime` whole seconds.
    Dead(NodeId),
    /// It is heard again.
    Alive(NodeId),
}

/// The lifecheck's memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lifecheck {
    /// It has begun.
    pub started: bool,
    /// Who is dead.
    dead: Vec<NodeId>,
}
impl Lifecheck {
    /// Whether every peer has been heard.
    pub fn ready(heard: &[(NodeId, Heard)]) -> bool {
        heard.iter().all(|h| h.1.last.is_some())
    }
    /// A look at all peers.
    pub fn look(&mut self, heard: &[(NodeId, Heard)], deadtime: i64, now: Clock) -> Vec<Found> {
        let mut found = Vec::new();
        for (node, h) in heard {
            let Some(last) = h.last else { continue };
            let silent = secs_between(now, last) > deadtime;
            let was = self.dead.contains(node);
            if silent && !was {
                self.dead.push(*node);
                found.push(Found::Dead(*node));
            } else if !silent && was {
                self.dead.retain(|d| d != node);
                found.push(Found::Alive(*node));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::SECOND;
    use super::*;

    #[test]
    fn a_peer_is_dead_after_more_than_deadtime_whole_seconds() {
        let mut l = Lifecheck::default();
        let heard = [(1, Heard { last: Some(0) }), (2, Heard::default())];
        assert!(!Lifecheck::ready(&heard));
        assert!(Lifecheck::ready(&heard[..1]));
        assert!(l.look(&heard, 3, 4 * SECOND - 1).is_empty());
        assert_eq!(l.look(&heard, 3, 4 * SECOND), [Found::Dead(1)]);
        assert!(l.look(&heard, 3, 9 * SECOND).is_empty(), "told once");
        let again = [(1, Heard { last: Some(9 * SECOND) })];
        assert_eq!(l.look(&again, 3, 10 * SECOND), [Found::Alive(1)]);
    }
}
