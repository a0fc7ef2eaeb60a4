//! The bodies of requests and answers of the REST interface.

use super::state::{Role, State};
use crate::engine::Span;
use crate::net::addr::Ip;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Text, for whoever reads only the status code.
    Text(String),
    /// What `/patroni` and the health checks tell.
    Status(Status),
    /// `POST /failsafe`: a leader that has lost the DCS asks whether it may go on.
    Failsafe(Failsafe),
    /// The answer "Accepted" to it, with the position in the header `lsn`.
    Accepted(Option<u64>),
    /// `POST /switchover` and `POST /failover`.
    Switchover(Switchover),
    /// `PATCH /config` and its answer: JSON text; `null` removes a key.
    Config(Arc<str>),
    /// `POST /restart`.
    Restart(Restart),
    /// `POST /reinitialize`.
    Reinitialize(Reinitialize),
}
impl Body {
    /// A text.
    pub fn text(s: &str) -> Self {
        Body::Text(s.to_owned())
    }
}

/// What a member tells of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// `state`; `None` is "unknown".
    pub state: Option<State>,
    /// `role`.
    pub role: Role,
    /// `xlog` is there: PostgreSQL answered.
    pub xlog: bool,
    /// `xlog.location`: a primary's position.
    pub location: Option<u64>,
    /// `xlog.received_location`.
    pub received: u64,
    /// `xlog.replayed_location`.
    pub replayed: u64,
    /// `timeline`.
    pub timeline: u32,
    /// `replication_state` is "streaming".
    pub streaming: bool,
    /// The tag `nofailover`.
    pub nofailover: bool,
    /// The tag `failover_priority`.
    pub failover_priority: i64,
    /// A watchdog is required and cannot be used.
    pub watchdog_failed: bool,
    /// `pause`.
    pub pause: bool,
    /// `cluster_unlocked`.
    pub cluster_unlocked: bool,
    /// `failsafe_mode_is_active`.
    pub failsafe_mode_is_active: bool,
    /// `sync_standby`.
    pub sync_standby: bool,
    /// `quorum_standby`.
    pub quorum_standby: bool,
}

/// The body of `POST /failsafe`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failsafe {
    /// The leader.
    pub name: Arc<str>,
    /// Its address (of `conn_url` and `api_url`).
    pub ip: Ip,
    /// Its slots and their positions, its own position under its own name.
    pub slots: BTreeMap<Arc<str>, u64>,
}

/// The body of `POST /switchover` (with the leader) and `POST /failover` (without).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Switchover {
    /// The leader that is to step down.
    pub leader: Option<Arc<str>>,
    /// Who is to follow.
    pub candidate: Option<Arc<str>>,
    /// When, in nanoseconds of the wall clock.
    pub scheduled_at: Option<i64>,
}

/// The body of `POST /restart`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restart {
    /// If it takes longer, it is a failover. Default: `primary_start_timeout`.
    pub timeout: Option<Span>,
    /// When, in nanoseconds of the wall clock. Default: now.
    pub schedule: Option<i64>,
    /// Only members in this role.
    pub role: Option<Role>,
}

/// The body of `POST /reinitialize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reinitialize {
    /// A long action that is under way is cancelled first.
    pub force: bool,
    /// Not from a `clonefrom` member.
    pub from_leader: bool,
}
