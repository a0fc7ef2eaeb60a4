//! What a pgpool tells: typed facts with their numbers, the marks that they are, and their words.

use super::config::Mode;
use super::msg::Cause;
use super::route::Rule;
use crate::engine::Span;
use crate::proto::postgres::msg::SqlState;
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
