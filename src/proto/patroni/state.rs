//! How Patroni names what its PostgreSQL is and does.

/// The role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    /// No data yet.
    #[default]
    Uninitialized,
    /// A standby.
    Replica,
    /// Told to promote, not yet seen to be a primary.
    Promoted,
    /// The primary.
    Primary,
    /// A former primary that was stopped.
    Demoted,
}
impl Role {
    /// As the REST interface and the member keys name it.
    pub const fn word(self) -> &'static str {
        match self {
            Role::Uninitialized => "uninitialized",
            Role::Replica => "replica",
            Role::Promoted => "promoted",
            Role::Primary => "primary",
            Role::Demoted => "demoted",
        }
    }
}

/// The state of the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[allow(missing_docs)] // They are Patroni's own names.
pub enum State {
    #[default]
    Stopped,
    Starting,
    Running,
    Stopping,
    Restarting,
    Crashed,
    StartFailed,
    StopFailed,
    RestartFailed,
    InitializingNewCluster,
    CreatingReplica,
}
impl State {
    /// As the REST interface and the member keys name it.
    pub const fn word(self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Restarting => "restarting",
            State::Crashed => "crashed",
            State::StartFailed => "start failed",
            State::StopFailed => "stop failed",
            State::RestartFailed => "restart failed",
            State::InitializingNewCluster => "initializing new cluster",
            State::CreatingReplica => "creating replica",
        }
    }
}
