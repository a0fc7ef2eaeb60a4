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
            Note::Detached { nodes, cause, cut } => {
                (say!("pgpool-detached", nodes = nodes), say!("pgpool-detached-why", cause = cause.words(), cut = cut))
            }
        }
    }
}
