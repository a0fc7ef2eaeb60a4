//! What `sbd` tells.

use super::Slot;
use crate::engine::{Span, Time};
use crate::say;
use std::sync::Arc;

/// Why a node may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sick {
    /// Its side has no quorum.
    Quorum,
    /// It has quorum on paper, but is alone: `two_node`, or a quorum device whose `sync_timeout` is longer than the watchdog.
    Alone,
    /// Corosync is gone.
    NoCorosync,
    /// Pacemaker is gone.
    NoPacemaker,
}
impl Sick {
    /// In words.
    pub fn text(self) -> String {
        match self {
            Sick::Quorum => say!("sbd-sick-quorum"),
            Sick::Alone => say!("sbd-sick-alone"),
            Sick::NoCorosync => say!("sbd-sick-corosync"),
            Sick::NoPacemaker => say!("sbd-sick-pacemaker"),
        }
    }
}

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words of each fact.
pub enum Note {
    /// It watches the node.
    Started { disks: usize, watchdog: Span },
    /// A disk does not answer.
    DiskLost { disk: Arc<str>, last: Time },
    /// It answers again.
    DiskBack { disk: Arc<str> },
    /// The majority of the disks is gone, but the cluster is well.
    Survives,
    /// The watchdog is no longer fed.
    StopsFeeding { why: Option<Sick>, disks: bool, timeout: Span },
    /// All is well again in time.
    FeedsAgain,
    /// It read its death in its slot.
    Pill { slot: Slot, disk: Arc<str> },
    /// A message was written for another node.
    Written { node: Arc<str>, slot: Slot, disks: usize, of: usize, msgwait: Span },
    /// The message could not be written.
    NotWritten { node: Arc<str>, disks: usize, of: usize },
    /// `msgwait` is over.
    Dead { node: Arc<str>, msgwait: Span },
    /// SIGTERM.
    Stopping,
}
impl Note {
    /// The stable kind of mark that the fact is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Started { .. } => return None,
            Note::DiskLost { .. } => "disk_lost",
            Note::DiskBack { .. } => "disk_back",
            Note::Survives => "survives_on_pacemaker",
            Note::StopsFeeding { .. } => "stops_feeding",
            Note::FeedsAgain => "feeds_again",
            Note::Pill { .. } => "poison_pill",
            Note::Written { .. } => "pill_written",
            Note::NotWritten { .. } => "pill_failed",
            Note::Dead { .. } => "msgwait_over",
            Note::Stopping => "stopping",
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Started { disks, watchdog } => {
                (say!("sbd-started"), say!("sbd-started-why", disks = disks, time = watchdog))
            }
            Note::DiskLost { disk, last } => {
                (say!("sbd-disk-lost", disk = disk), say!("sbd-disk-lost-why", last = last))
            }
            Note::DiskBack { disk } => (say!("sbd-disk-back", disk = disk), String::new()),
            Note::Survives => (say!("sbd-survives"), say!("sbd-survives-why")),
            Note::StopsFeeding { why, disks, timeout } => {
                let why = why.map_or_else(String::new, Sick::text);
                let why = if *disks { say!("sbd-stops-disks", why = why) } else { why };
                (say!("sbd-stops-feeding", time = timeout), why)
            }
            Note::FeedsAgain => (say!("sbd-feeds-again"), String::new()),
            Note::Pill { slot, disk } => {
                (say!("sbd-pill", slot = slot.word()), say!("sbd-pill-why", disk = disk))
            }
            Note::Written { node, slot, disks, of, msgwait } => (
                say!("sbd-written", slot = slot.word(), node = node),
                say!("sbd-written-why", node = node, disks = disks, of = of, msgwait = msgwait),
            ),
            Note::NotWritten { node, disks, of } => {
                (say!("sbd-not-written", node = node), say!("sbd-not-written-why", disks = disks, of = of))
            }
            Note::Dead { node, msgwait } => {
                (say!("sbd-dead", node = node), say!("sbd-dead-why", msgwait = msgwait))
            }
            Note::Stopping => (say!("sbd-stopping"), "SIGTERM".to_owned()),
        }
    }
}
