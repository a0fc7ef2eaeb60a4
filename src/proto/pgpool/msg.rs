//! What the processes of a pgpool ask each other for.

use crate::net::addr::Ip;
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
    /// `pcp_recovery_node`: online recovery ([`super::recovery`]).
    Recovery(u8),
    /// `pcp_stop_pgpool`.
    Stop,
}

/// What a script does on a database host, over ssh ([`super::remote`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Job {
    /// `ssh HOST ls /tmp`: does it work at all?
    Test,
    /// `follow_primary.sh`: stop the server, bring its data into line with the new primary's, start it as a standby.
    Follow {
        /// The new primary.
        primary: Ip,
        /// A base backup in place of `pg_rewind`.
        backup: bool,
    },
    /// `recovery_1st_stage`: a base backup of a server that does not run; `start`: it is started as a standby and catches up (native
    /// replication).
    BaseBackup {
        /// The source.
        from: Ip,
        /// Whether it is started.
        start: bool,
    },
    /// `pgpool_remote_start`.
    Start,
    /// `recovery_2nd_stage`: the standby of the first stage takes in what is left of the source's WAL, and is a server of its own.
    Promote {
        /// The source.
        from: Ip,
    },
    /// `pgpool_recovery(script, host)`: the script runs here and does its job there.
    Relay {
        /// Where.
        to: Ip,
        /// What.
        job: Box<Job>,
    },
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
    /// The second stage of an online recovery begins or ends: to the watchdog, and to children who wait in `accept`.
    Recovery(bool),
    /// The watchdog's answer: no client is left anywhere (`true`), or a pgpool's clients would not go.
    ClientsGone(bool),
    /// The follow-primary process takes the lock on the standbys' workers, or gives it back.
    FollowLock(bool),
    /// The parent tells the PCP process that a change is over (`pcp_worker_wakeup_request`).
    ChangeOver,
    // ---- scripts ----
    /// A script's job on a database host.
    Ssh(Job),
    /// Whether it was done.
    SshDone(bool),
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
        | Msg::Recovery(_)
        | Msg::ClientsGone(_)
        | Msg::FollowLock(_)
        | Msg::ChangeOver => ("IPC", 0),
        Msg::Ssh(_) | Msg::SshDone(_) => ("ssh", 0),
    }
}
