//! The knobs of etcd, under their own names and with their own defaults.

use crate::engine::Span;
use serde::{Deserialize, Serialize};

/// A member of etcd: the hosts of a stack that run one form a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Etcd {
    /// `--heartbeat-interval`. Default 100 ms.
    pub heartbeat_interval: Span,
    /// `--election-timeout`, a whole number of heartbeat intervals. Default 1000 ms.
    pub election_timeout: Span,
    /// `--pre-vote`: default true since 3.5; 3.4 has it off.
    pub pre_vote: bool,
}
impl Default for Etcd {
    fn default() -> Self {
        Etcd { heartbeat_interval: Span::ms(100), election_timeout: Span::ms(1000), pre_vote: true }
    }
}
