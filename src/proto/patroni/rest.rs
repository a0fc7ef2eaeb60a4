//! The bodies of requests and answers of the REST interface.

use std::sync::Arc;

/// A body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// POST /switchover, /failover.
    Switchover {
        /// The leader.
        leader: Option<Arc<str>>,
        /// The candidate.
        candidate: Option<Arc<str>>,
    },
    /// PATCH /config.
    Pause(bool),
}
