//! What the processes of a pgpool ask each other for.

use crate::node::process::Pid;

/// Why a node is to be degenerated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// A health check failed: refused or broken.
    HealthCheck,
    /// A health check failed: nothing came before its alarm.
    HealthCheckTimeout,
    /// A child could not connect to it for a client.
    Connect,
    /// A child could not read from it, or write to it, for a client.
    Error,
    /// It sent 57P01 or 57P02 to a client's session.
    Shutdown,
    /// Its answer was of another kind than that of the most.
    KindMismatch,
    /// It changed another number of rows than the most.
    TuplesMismatch,
    /// The worker found that the others do not follow it.
    FalsePrimary,
    /// An administrator (PCP).
    Admin,
    /// Another pgpool's decision, by the watchdog.
    Watchdog,
}
impl Cause {
    /// Whether the failure was a silence: then the sessions of all children are cut.
    pub const fn timed_out(self) -> bool {
        matches!(self, Cause::HealthCheckTimeout)
    }
}

/// What the parent is asked for (`POOL_REQUEST_KIND`). It works on one after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// `NODE_DOWN_REQUEST`: these nodes are to go.
    Down {
        /// Which.
        nodes: Vec<u8>,
        /// Why.
        cause: Cause,
        /// Who asks.
        by: Pid,
    },
    /// `NODE_QUARANTINE_REQUEST`.
    Quarantine {
        /// Which.
        nodes: Vec<u8>,
        /// Why.
        cause: Cause,
    },
    /// `NODE_UP_REQUEST`: a node is attached; `true`: it comes back from quarantine.
    Up(u8, bool),
    /// `PROMOTE_NODE_REQUEST`: this node is the primary from now on; `true`: the old one is detached first (`-s`).
    Promote(u8, bool),
    /// `CLOSE_IDLE_REQUEST`.
    CloseIdle,
    /// The watchdog's leader has told how it sees the backends, and which is primary.
    Sync(Vec<super::watchdog::msg::BackendState>, Option<u8>),
}

/// `pcp_*`: what an administrator asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pcp {
    /// `pcp_attach_node`.
    Attach(u8),
    /// `pcp_detach_node`; `true`: when the clients have gone (`-g`).
    Detach(u8, bool),
    /// `pcp_promote_node`; `true`: with a switchover (`-s`).
    Promote(u8, bool),
    /// `pcp_recovery_node`.
    Recovery(u8),
    /// `pcp_stop_pgpool`.
    Stop,
}

/// Everything that travels between processes of pgpools: inside a host by [`crate::node::process::Action::Tell`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Msg {
    /// An administrator's command.
    Pcp(Pcp),
    // ---- watchdog ----
    /// Between watchdogs.
    Wd(super::watchdog::msg::Packet),
    /// A heartbeat of this node.
    Beat(super::watchdog::msg::NodeId),
    /// A process asks its watchdog whether a change of backends may be made.
    Ask {
        /// What.
        kind: super::watchdog::msg::RequestKind,
        /// Which nodes.
        nodes: std::sync::Arc<[u8]>,
        /// Why.
        cause: Cause,
        /// `pcp_promote_node -s`.
        switchover: bool,
        /// Who asks.
        by: Pid,
    },
    /// The watchdog's answer.
    Verdict(super::watchdog::msg::Verdict),
    /// The lifecheck tells its watchdog that a node is dead, or alive again.
    NodeStatus(super::watchdog::msg::NodeId, bool),
    /// The parent tells its watchdog that it begins or ends a change.
    Indicate(bool),
    /// The watchdog tells the lifecheck that it has joined.
    Joined,
    /// The second stage of an online recovery begins or ends.
    Recovery(bool),
}
/// The word for a message.
pub fn label(m: &Msg) -> (&'static str, u32) {
    match m {
        Msg::Pcp(_) => ("PCP", 0),
        Msg::Wd(p) => (p.body.word(), p.id),
        Msg::Beat(n) => ("heartbeat", u32::from(*n)),
        Msg::Ask { .. }
        | Msg::Verdict(_)
        | Msg::NodeStatus(..)
        | Msg::Indicate(_)
        | Msg::Joined
        | Msg::Recovery(_) => ("IPC", 0),
    }
}
