//! What a pgpool tells: typed facts with their numbers, the marks that they are, and their words.

use super::config::{Follow, Mode};
use super::msg::Cause;
use super::route::Rule;
use crate::engine::Span;
use crate::proto::postgres::msg::SqlState;
use crate::proto::postgres::rewind::Unable;
use crate::say;
use std::sync::Arc;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Note {
    // ---- parent ----
    /// It takes clients.
    Ready { children: u16, port: u16, mode: Mode },
    /// It has found the primary before it forked anybody.
    PrimaryFound { node: Arc<str>, took: Span },
    /// It has not, and goes on without one.
    NoPrimary { after: Span },
    /// It stops when the last session has ended.
    Stopping,
    /// The watchdog died, and everything with it.
    WatchdogDied,
    /// A process asks for nodes to be degenerated.
    Degenerate { nodes: Arc<str>, cause: Cause },
    /// Nodes are detached; so many sessions are cut.
    Detached { nodes: Arc<str>, cause: Cause, cut: u32 },
    // ---- failover and watchdog ----
    /// The parent begins a failover; the new main node.
    FailoverStarted { nodes: Arc<str>, main: Arc<str> },
    /// `failover_command` runs; whether it promotes.
    Command { promotes: bool },
    /// The search found a primary, so long after the beginning.
    NewPrimary { node: Arc<str>, took: Span },
    /// The change is over.
    FailoverDone { took: Span },
    /// Nodes are in quarantine; so many sessions are cut.
    Quarantined { nodes: Arc<str>, primary: bool, cut: u32 },
    /// A node is attached, or back from quarantine.
    Attached { node: Arc<str>, quarantine: bool, cut: u32 },
    /// The leader's view was taken over.
    Synced { gone: Arc<str>, primary: Option<Arc<str>>, cut: u32 },
    /// The watchdog and what belongs to it.
    Watchdog(super::watchdog::note::Note),
    // ---- what comes after a failover, and online recovery ----
    /// All nodes but the new primary are detached for `follow_primary_command`.
    FollowDetached { nodes: Arc<str>, primary: Arc<str>, command: Follow },
    /// The follow-primary process and its command.
    Follow { node: Arc<str>, primary: Arc<str>, old: Arc<str>, step: FollowStep, took: Span },
    /// `failback_command` runs.
    Failback { node: Arc<str> },
    /// A script on a database host.
    Remote(RemoteStep),
    /// Online recovery of a node begins.
    RecoveryBegins { node: Arc<str>, from: Arc<str> },
    /// A stage's script runs.
    RecoveryStage { node: Arc<str>, second: bool },
    /// Nobody is taken in any more; so many clients are to go.
    DoorClosed { clients: u32 },
    /// They have gone.
    ClientsGone { took: Span },
    /// They have not, but a limit makes the counter unbelievable.
    CounterReset { clients: u32 },
    /// The node is attached; how long the door was closed.
    Recovered { node: Arc<str>, took: Span, closed: Option<Span> },
    /// It failed.
    RecoveryFailed { node: Arc<str>, why: RecoveryWhy, took: Span },
    /// `pcp_detach_node -g` has given up.
    NotDetached { nodes: Arc<str>, clients: u32 },
    // ---- children ----
    /// A session begins; `took`: since it was accepted.
    Session { child: u16, user: Arc<str>, database: Arc<str>, hit: bool, balanced: Option<u8>, took: Span },
    /// A session is broken off.
    SessionEnds { child: u16, why: EndWhy },
    /// A client was refused (`reserved_connections`).
    Refused { child: u16, connected: u32, reserved: u32 },
    /// What was kept for this login goes, to make room.
    Evicted { child: u16, user: Arc<str>, database: Arc<str> },
    /// A kept connection is broken.
    CacheBroken { child: u16, node: Arc<str> },
    /// A child ends because it is old.
    ChildOld { child: u16, served: u32 },
    /// A standby that could not be connected to is left out.
    StandbySkipped { child: u16, node: Arc<str> },
    /// Where a statement goes; no node: to several.
    Routed { child: u16, text: Arc<str>, node: Option<u8>, all: bool, rule: Rule, select: bool },
    /// Nodes answered differently.
    Mismatch { child: u16, nodes: Arc<str>, cause: Cause, degenerates: bool },
    /// A partition is on a node that is not there.
    PartitionLost { child: u16 },
    // ---- worker ----
    /// A standby is too late for reads from now on, or not any more.
    Late { node: Arc<str>, late: bool, bytes: u64, time: Span },
}

/// How far `follow_primary_command` is with a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum FollowStep {
    Begins,
    /// The node's server does not answer `pg_isready`.
    Skipped,
    /// It is done, and `pcp_attach_node` has been called.
    Attaches,
    Failed,
}
/// What a script does on a database host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum RemoteStep {
    NothingToRewind,
    Rewinds {
        bytes: u64,
        takes: Span,
    },
    CannotRewind(Unable),
    Backup {
        bytes: u64,
        takes: Span,
    },
    /// `pg_ctl -w start` is content.
    Started {
        took: Span,
    },
    /// The standby of the first stage follows; `true`: nothing was on its way at a look, else the script has given up looking.
    CaughtUp(bool),
    Promoted,
    /// The source does not say who it is.
    NoSource,
    NotStopped,
    NotStarted,
    NotPromoted,
    /// A base backup over a server that runs.
    Runs,
}
impl RemoteStep {
    fn text(self) -> (String, String) {
        let failed = |why: &str| (say!("pgpool-remote-failed"), say!(why));
        match self {
            RemoteStep::NothingToRewind => (say!("pgpool-remote-nothing"), say!("pgpool-remote-nothing-why")),
            RemoteStep::Rewinds { bytes, takes } => {
                (say!("pgpool-remote-rewind", takes = takes), say!("pgpool-remote-copies", mb = mb(bytes)))
            }
            RemoteStep::CannotRewind(why) => failed(match why {
                Unable::Running => "pgpool-remote-runs",
                Unable::OtherSystem => "pgpool-rewind-system",
                Unable::NoHints => "pgpool-rewind-hints",
                Unable::WalRemoved => "pgpool-rewind-removed",
                Unable::Broken => "pgpool-rewind-broken",
            }),
            RemoteStep::Backup { bytes, takes } => {
                (say!("pgpool-remote-backup", takes = takes), say!("pgpool-remote-copies", mb = mb(bytes)))
            }
            RemoteStep::Started { took } => {
                (say!("pgpool-remote-started"), say!("pgpool-remote-started-why", took = took))
            }
            RemoteStep::CaughtUp(true) => {
                (say!("pgpool-remote-caught-up"), say!("pgpool-remote-caught-up-why"))
            }
            RemoteStep::CaughtUp(false) => {
                (say!("pgpool-remote-not-caught-up"), say!("pgpool-remote-not-caught-up-why"))
            }
            RemoteStep::Promoted => (say!("pgpool-remote-promoted"), say!("pgpool-remote-promoted-why")),
            RemoteStep::NoSource => failed("pgpool-remote-no-source"),
            RemoteStep::NotStopped => failed("pgpool-remote-not-stopped"),
            RemoteStep::NotStarted => failed("pgpool-remote-not-started"),
            RemoteStep::NotPromoted => failed("pgpool-remote-not-promoted"),
            RemoteStep::Runs => failed("pgpool-remote-runs"),
        }
    }
}
fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
/// Why an online recovery failed, or did not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum RecoveryWhy {
    NoSuchNode,
    /// The mode has no recovery.
    Mode,
    /// It is the primary.
    Primary,
    /// It is attached.
    Alive,
    /// Another recovery is under way.
    Busy,
    /// There is no main node, or it does not answer.
    NoMain,
    /// The session with it broke.
    MainLost,
    /// A stage's script failed; `true`: the second.
    Stage(bool),
    /// So many clients did not go.
    Clients(u32),
    /// Those of another pgpool did not.
    OtherClients,
    /// `pgpool_remote_start` failed.
    Start,
    /// The new server lets nobody in.
    NotUp,
}
impl RecoveryWhy {
    fn words(self) -> String {
        match self {
            RecoveryWhy::NoSuchNode => say!("pgpool-recovery-no-node"),
            RecoveryWhy::Mode => say!("pgpool-recovery-mode"),
            RecoveryWhy::Primary => say!("pgpool-recovery-primary"),
            RecoveryWhy::Alive => say!("pgpool-recovery-alive"),
            RecoveryWhy::Busy => say!("pgpool-recovery-busy"),
            RecoveryWhy::NoMain => say!("pgpool-recovery-no-main"),
            RecoveryWhy::MainLost => say!("pgpool-recovery-main-lost"),
            RecoveryWhy::Stage(false) => say!("pgpool-recovery-first"),
            RecoveryWhy::Stage(true) => say!("pgpool-recovery-second"),
            RecoveryWhy::Clients(n) => say!("pgpool-recovery-clients", clients = n),
            RecoveryWhy::OtherClients => say!("pgpool-recovery-others"),
            RecoveryWhy::Start => say!("pgpool-recovery-start"),
            RecoveryWhy::NotUp => say!("pgpool-recovery-not-up"),
        }
    }
}

/// Why a session was broken off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum EndWhy {
    /// A server could not be connected to.
    NoBackend(u8),
    /// There is no server.
    NoNode,
    /// A server's connection broke, or it said so.
    BackendLost(u8, Option<SqlState>),
    /// `client_idle_limit`.
    IdleLimit,
    /// `client_idle_limit_in_recovery`.
    RecoveryLimit,
    /// `authentication_timeout`.
    Authentication,
    /// Servers answered differently.
    Mismatch,
}
impl EndWhy {
    fn words(self) -> String {
        match self {
            EndWhy::NoBackend(n) => say!("pgpool-end-connect", node = n),
            EndWhy::NoNode => say!("pgpool-end-none"),
            EndWhy::BackendLost(n, Some(code)) => say!("pgpool-end-said", node = n, code = code.code()),
            EndWhy::BackendLost(n, None) => say!("pgpool-end-broke", node = n),
            EndWhy::IdleLimit => say!("pgpool-end-idle"),
            EndWhy::RecoveryLimit => say!("pgpool-end-recovery"),
            EndWhy::Authentication => say!("pgpool-end-auth"),
            EndWhy::Mismatch => say!("pgpool-end-mismatch"),
        }
    }
}
impl From<Note> for crate::proto::Note {
    fn from(note: Note) -> Self {
        crate::proto::Note::Pgpool(Box::new(note))
    }
}

impl Cause {
    /// The cause in words.
    pub fn words(self) -> String {
        say!(match self {
            Cause::HealthCheck => "pgpool-cause-health",
            Cause::HealthCheckTimeout => "pgpool-cause-health-timeout",
            Cause::Connect => "pgpool-cause-connect",
            Cause::Error => "pgpool-cause-error",
            Cause::Shutdown => "pgpool-cause-shutdown",
            Cause::KindMismatch => "pgpool-cause-kind",
            Cause::TuplesMismatch => "pgpool-cause-tuples",
            Cause::FalsePrimary => "pgpool-cause-false",
            Cause::Admin => "pgpool-cause-admin",
            Cause::Watchdog => "pgpool-cause-watchdog",
        })
    }
}

impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Ready { .. } => "pool_ready",
            Note::Degenerate { .. } => "detected",
            Note::Detached { .. } => "backend_down",
            Note::WatchdogDied => "failed",
            Note::NoPrimary { .. } => "no_primary",
            Note::FailoverStarted { .. } => "failover_started",
            Note::Command { .. } => "failover_command",
            Note::NewPrimary { .. } => "new_primary",
            Note::FailoverDone { .. } => "failover_done",
            Note::Quarantined { .. } => "quarantined",
            Note::Attached { .. } => "backend_up",
            Note::Synced { .. } => "synced",
            Note::FollowDetached { .. } => "follow_detached",
            Note::Follow { step, .. } => match step {
                FollowStep::Begins => "follow_primary",
                FollowStep::Skipped => "follow_skipped",
                FollowStep::Attaches => "follow_done",
                FollowStep::Failed => "follow_failed",
            },
            Note::Failback { .. } => "failback_command",
            Note::Remote(_) => "script",
            Note::RecoveryBegins { .. } => "recovery_started",
            Note::RecoveryStage { second: false, .. } => "first_stage",
            Note::RecoveryStage { second: true, .. } => "second_stage",
            Note::DoorClosed { .. } => "door_closed",
            Note::ClientsGone { .. } | Note::CounterReset { .. } => "clients_gone",
            Note::Recovered { .. } => "recovery_done",
            Note::RecoveryFailed { .. } => "recovery_failed",
            Note::NotDetached { .. } => "not_detached",
            Note::Watchdog(n) => return n.mark(),
            Note::Refused { .. } => "client_refused",
            Note::SessionEnds { .. } => "session_cut",
            Note::Evicted { .. } => "cache_evicted",
            Note::CacheBroken { .. } => "cache_broken",
            Note::Mismatch { .. } => "mismatch",
            Note::PartitionLost { .. } => "partition_lost",
            Note::Late { late: true, .. } => "too_late",
            Note::Late { late: false, .. } => "in_time",
            Note::StandbySkipped { .. } => "standby_skipped",
            Note::PrimaryFound { .. }
            | Note::Stopping
            | Note::Session { .. }
            | Note::ChildOld { .. }
            | Note::Routed { .. } => return None,
        })
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Ready { children, port, mode } => (
                say!("pgpool-ready", port = port),
                say!("pgpool-ready-why", mode = mode.name(), children = children),
            ),
            Note::PrimaryFound { node, took } => {
                (say!("pgpool-primary", node = node), say!("pgpool-primary-why", took = took))
            }
            Note::NoPrimary { after } => {
                (say!("pgpool-no-primary"), say!("pgpool-no-primary-why", after = after))
            }
            Note::Stopping => (say!("pgpool-stopping"), say!("pgpool-stopping-why")),
            Note::WatchdogDied => (say!("pgpool-watchdog-died"), say!("pgpool-watchdog-died-why")),
            Note::Degenerate { nodes, cause } => (say!("pgpool-degenerate", nodes = nodes), cause.words()),
            Note::FailoverStarted { nodes, main } => {
                (say!("pgpool-failover", nodes = nodes), say!("pgpool-failover-why", main = main))
            }
            Note::Command { promotes } => {
                let why = if *promotes { "pgpool-command-promotes" } else { "pgpool-command-nothing" };
                (say!("pgpool-command"), say!(why))
            }
            Note::NewPrimary { node, took } => {
                (say!("pgpool-new-primary", node = node), say!("pgpool-new-primary-why", took = took))
            }
            Note::FailoverDone { took } => {
                (say!("pgpool-failover-done"), say!("pgpool-failover-done-why", took = took))
            }
            Note::Quarantined { nodes, primary, cut } => {
                let why = if *primary { "pgpool-quarantined-primary" } else { "pgpool-quarantined-why" };
                (say!("pgpool-quarantined", nodes = nodes), say!(why, cut = cut))
            }
            Note::Attached { node, quarantine, cut } => {
                let why = if *quarantine { "pgpool-attached-quarantine" } else { "pgpool-attached-why" };
                (say!("pgpool-attached", node = node), say!(why, cut = cut))
            }
            Note::Synced { gone, primary, cut } => {
                let primary = primary.as_deref().unwrap_or("-");
                (say!("pgpool-synced"), say!("pgpool-synced-why", gone = gone, primary = primary, cut = cut))
            }
            Note::FollowDetached { nodes, primary, command } => (
                say!("pgpool-follow-detached", nodes = nodes),
                say!("pgpool-follow-detached-why", primary = primary, command = format!("{command:?}")),
            ),
            Note::Follow { node, primary, old, step, took } => match step {
                FollowStep::Begins => (
                    say!("pgpool-follow", node = node),
                    say!("pgpool-follow-why", primary = primary, old = old),
                ),
                FollowStep::Skipped => {
                    (say!("pgpool-follow-skipped", node = node), say!("pgpool-follow-skipped-why"))
                }
                FollowStep::Attaches => {
                    (say!("pgpool-follow-done", node = node), say!("pgpool-follow-done-why", took = took))
                }
                FollowStep::Failed => {
                    (say!("pgpool-follow-failed", node = node), say!("pgpool-follow-failed-why"))
                }
            },
            Note::Failback { node } => (say!("pgpool-failback"), say!("pgpool-failback-why", node = node)),
            Note::Remote(step) => step.text(),
            Note::RecoveryBegins { node, from } => {
                (say!("pgpool-recovery", node = node), say!("pgpool-recovery-why", from = from))
            }
            Note::RecoveryStage { node, second } => {
                let key = if *second { "pgpool-stage-2" } else { "pgpool-stage-1" };
                let why = if *second { "pgpool-stage-2-why" } else { "pgpool-stage-1-why" };
                (say!(key, node = node), say!(why))
            }
            Note::DoorClosed { clients } => {
                (say!("pgpool-door-closed"), say!("pgpool-door-closed-why", clients = clients))
            }
            Note::ClientsGone { took } => {
                (say!("pgpool-clients-gone"), say!("pgpool-clients-gone-why", took = took))
            }
            Note::CounterReset { clients } => {
                (say!("pgpool-counter", clients = clients), say!("pgpool-counter-why"))
            }
            Note::Recovered { node, took, closed } => (
                say!("pgpool-recovered", node = node, took = took),
                match closed {
                    Some(closed) => say!("pgpool-recovered-door", closed = closed),
                    None => say!("pgpool-recovered-why"),
                },
            ),
            Note::RecoveryFailed { node, why, took } if took.is_zero() => {
                (say!("pgpool-recovery-refused", node = node), why.words())
            }
            Note::RecoveryFailed { node, why, took } => {
                (say!("pgpool-recovery-failed", node = node, took = took), why.words())
            }
            Note::NotDetached { nodes, clients } => (
                say!("pgpool-not-detached", nodes = nodes),
                say!("pgpool-recovery-clients", clients = clients),
            ),
            Note::Watchdog(n) => n.text(),
            Note::Session { child, user, database, hit, balanced, took } => {
                let key = if *hit { "pgpool-session-hit" } else { "pgpool-session-miss" };
                let reads =
                    balanced.map_or_else(|| say!("pgpool-reads-primary"), |n| say!("pgpool-reads", node = n));
                (
                    say!("pgpool-session", child = child, user = user, database = database),
                    format!("{}; {reads}", say!(key, took = took)),
                )
            }
            Note::SessionEnds { child, why } => (say!("pgpool-session-cut", child = child), why.words()),
            Note::Refused { child, connected, reserved } => (
                say!("pgpool-refused", child = child),
                say!("pgpool-refused-why", connected = connected, reserved = reserved),
            ),
            Note::Evicted { child, user, database } => (
                say!("pgpool-evicted", child = child, user = user, database = database),
                say!("pgpool-evicted-why"),
            ),
            Note::CacheBroken { child, node } => {
                (say!("pgpool-cache-broken", child = child, node = node), say!("pgpool-cache-broken-why"))
            }
            Note::ChildOld { child, served } => {
                (say!("pgpool-child-old", child = child), say!("pgpool-child-old-why", served = served))
            }
            Note::StandbySkipped { child, node } => {
                (say!("pgpool-skipped", child = child, node = node), say!("pgpool-skipped-why"))
            }
            Note::Routed { child, text, node, all, rule, .. } => {
                let to = match node {
                    Some(n) => say!("pgpool-to-node", node = n),
                    None if *all => say!("pgpool-to-all"),
                    None => say!("pgpool-to-both"),
                };
                (say!("pgpool-routed", child = child, text = text, to = to), super::session::why(*rule))
            }
            Note::Mismatch { child, nodes, cause, degenerates } => {
                let key = if *degenerates { "pgpool-mismatch-stop" } else { "pgpool-mismatch-go-on" };
                (
                    say!("pgpool-mismatch", child = child, nodes = nodes),
                    format!("{}; {}", cause.words(), say!(key)),
                )
            }
            Note::PartitionLost { child } => {
                (say!("pgpool-partition", child = child), say!("pgpool-partition-why"))
            }
            Note::Late { node, late, bytes, time } => {
                let key = if *late { "pgpool-late" } else { "pgpool-in-time" };
                (say!(key, node = node), say!("pgpool-late-why", bytes = bytes, time = time))
            }
            Note::Detached { nodes, cause, cut } => (
                say!("pgpool-detached", nodes = nodes),
                say!("pgpool-detached-why", cause = cause.words(), cut = cut),
            ),
        }
    }
}
