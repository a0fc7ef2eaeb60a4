//! SBD, "storage-based death": a node that may no longer run resets itself, because it reads so on a shared disk, or because a watchdog
//! is no longer fed.
//!
//! [`daemon`] is the `sbd` of a node: the inquisitor, which feeds the watchdog while its servants say that all is well, with a servant for
//! each disk, one for the cluster (membership and quorum) and one for Pacemaker. [`disk`] is a shared disk: slots, one a node, that hold a
//! message for that node.
//!
//! Sources: sbd(8); `src/sbd-inquisitor.c`, `sbd-common.c` (`quorum_read`, `quorum_write`), `sbd-md.c` (slots, `slot_msg`, `ping_via_slots`),
//! `sbd-cluster.c` (`two_node`, `qdevice sync_timeout`), `sbd-pacemaker.c` (`no-quorum-policy`). Defaults of `sbd create`: watchdog 5 s,
//! msgwait 10 s, allocate 2 s, loop 1 s; io 3 s; `SBD_WATCHDOG_TIMEOUT` 5 s without a disk.
//!
//! **With disks** a node feeds its watchdog while it reads the majority of its disks (of one or two: one is enough), or else while it is
//! quorate and Pacemaker is well. Fencing is a message in the victim's slot, on the majority of the disks (of two: on both); the victim
//! reads its slots once a `loop` and resets itself; the writer counts it as dead `msgwait` after the message is written, read or not.
//! **Without disks** a node feeds the watchdog while it is quorate and Pacemaker is well; the others count it as dead after
//! `stonith-watchdog-timeout`, which is the fencer's business.
//!
//! As a fence device `sbd` answers the agent (`fence_sbd`, with `devices`) of its own host, at the port of all fence devices.
//!
//! **Not modelled:** `SBD_STARTMODE=clean` (a node that finds a message in its slot starts and clears it), `SBD_DELAY_START`, crash dumps
//! (`-C`), the `test` and `exit` messages, watchdogs that refuse a timeout, `SBD_MOVE_TO_ROOT_CGROUP`, remote nodes, latency warnings
//! (`timeout_watchdog_warn`), SCSI reservations.

pub mod config;
pub mod daemon;
pub mod disk;
pub mod note;

pub use config::{Sbd, SbdDisk};

use std::sync::Arc;

/// The port of shared disks: iSCSI's.
pub const PORT: u16 = 3260;

/// What lies in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Slot {
    /// Nothing.
    #[default]
    Clear,
    /// `reset`.
    Reset,
    /// `off`.
    Off,
}
impl Slot {
    /// The word of `sbd message`.
    pub const fn word(self) -> &'static str {
        match self {
            Slot::Clear => "clear",
            Slot::Reset => "reset",
            Slot::Off => "off",
        }
    }
}

/// Between a node and a disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Io {
    /// Read this node's slot.
    Read {
        /// The asker's number.
        id: u32,
        /// The node.
        node: Arc<str>,
    },
    /// Write this into the node's slot.
    Write {
        /// The asker's number.
        id: u32,
        /// The node.
        node: Arc<str>,
        /// What.
        slot: Slot,
    },
    /// The disk has done it; what the slot holds now.
    Done {
        /// The asker's number.
        id: u32,
        /// The slot.
        slot: Slot,
    },
}
