//! What a pgpool tells: typed facts with their numbers, the marks that they are, and their words.

use super::config::Mode;
use super::msg::Cause;
use crate::engine::Span;
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
            Note::PrimaryFound { .. } | Note::Stopping => return None,
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
            Note::NoPrimary { after } => (say!("pgpool-no-primary"), say!("pgpool-no-primary-why", after = after)),
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
            Note::FailoverDone { took } => (say!("pgpool-failover-done"), say!("pgpool-failover-done-why", took = took)),
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
            Note::Detached { nodes, cause, cut } => {
                (say!("pgpool-detached", nodes = nodes), say!("pgpool-detached-why", cause = cause.words(), cut = cut))
            }
        }
    }
}
