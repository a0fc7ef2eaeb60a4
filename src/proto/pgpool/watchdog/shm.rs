//! What the watchdog's processes leave in the shared memory of their pgpool.

use super::config::Clock;
use super::lifecheck::Heard;
use super::msg::{NodeId, State};

/// The watchdog's part of the shared memory.
#[derive(Clone, Debug, Default)]
pub struct Shm {
    /// The state, once the watchdog has one.
    pub state: Option<State>,
    /// The quorum that it knows of: 1, 0, -1.
    pub quorum: i8,
    /// Whether this node has escalated.
    pub escalated: bool,
    /// The leader.
    pub leader: Option<NodeId>,
    /// When which peer was heard, by its number.
    pub heard: Vec<(NodeId, Heard)>,
    /// The watchdog ends by itself, and pgpool is to follow (`POOL_EXIT_FATAL`).
    pub fatal: bool,
}
impl Shm {
    /// A heartbeat arrived.
    pub fn hear(&mut self, node: NodeId, now: Clock) {
        match self.heard.iter_mut().find(|h| h.0 == node) {
            Some(h) => h.1.last = Some(now),
            None => self.heard.push((node, Heard { last: Some(now) })),
        }
    }
    /// Whether it has joined: as leader or as standby.
    pub fn joined(&self) -> bool {
        matches!(self.state, Some(State::Coordinator | State::Standby))
    }
}
