//! What a fence device tells.

use super::config::DeviceKind;
use super::msg::Command;
use crate::engine::Span;
use crate::proto::lvs::note::Who;
use crate::say;
use std::sync::Arc;

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words of each fact.
pub enum Note {
    /// An agent gave it a job.
    Asked { who: Who, command: Command, port: Arc<str> },
    /// The power (or the link) of a port is gone.
    Off { kind: DeviceKind, port: Arc<str>, took: Span },
    /// An outlet is off, but the host has another one.
    OneOutlet { port: Arc<str> },
    /// The power (or the link) of a port is back.
    On { kind: DeviceKind, port: Arc<str>, took: Span },
    /// It could not do it.
    Failed { command: Command, port: Arc<str> },
    /// It says that it has done it.
    Lied { command: Command, port: Arc<str> },
    /// It has the job and does nothing.
    Hangs { command: Command, port: Arc<str> },
    /// It has no such port.
    NoSuchPort { port: Arc<str> },
}
impl Note {
    /// The stable kind of mark that the fact is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Asked { command: Command::Status | Command::Monitor, .. } => return None,
            Note::Asked { .. } => "device_asked",
            Note::Off { .. } => "power_cut",
            Note::OneOutlet { .. } => "outlet_off",
            Note::On { .. } => "power_restored",
            Note::Failed { .. } | Note::NoSuchPort { .. } => "device_failed",
            Note::Lied { .. } => "device_lied",
            Note::Hangs { .. } => "device_hangs",
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Asked { who, command, port } => {
                (say!("fence-asked", who = who, command = command.word(), port = port), String::new())
            }
            Note::Off { kind: DeviceKind::Switch, port, took } => {
                (say!("fence-link-off", port = port), say!("fence-link-off-why", took = took))
            }
            Note::Off { port, took, .. } => {
                (say!("fence-off", port = port), say!("fence-off-why", took = took))
            }
            Note::OneOutlet { port } => (say!("fence-outlet", port = port), say!("fence-outlet-why")),
            Note::On { kind: DeviceKind::Switch, port, took } => {
                (say!("fence-link-on", port = port), say!("fence-on-why", took = took))
            }
            Note::On { port, took, .. } => (say!("fence-on", port = port), say!("fence-on-why", took = took)),
            Note::Failed { command, port } => {
                (say!("fence-failed", command = command.word(), port = port), say!("fence-failed-why"))
            }
            Note::Lied { command, port } => {
                (say!("fence-lied", command = command.word(), port = port), say!("fence-lied-why"))
            }
            Note::Hangs { command, port } => {
                (say!("fence-hangs", command = command.word(), port = port), say!("fence-hangs-why"))
            }
            Note::NoSuchPort { port } => (say!("fence-no-port", port = port), String::new()),
        }
    }
}
