//! The data directory: what survives the server, and what Patroni reads and writes beside it.
//!
//! WAL that was written but not flushed survives a kill and is lost with the power. The control file, the timeline history, slots and the
//! configuration are small and are flushed when they are written. **Not modelled:** tables (their size apart), torn pages, archives.

use super::history::History;
use super::msg::{Branch, Lsn, Place, WriteId};
use crate::engine::{Span, Time};
use crate::net::addr::Ip;
use crate::node::disk::End;
use crate::node::process::Pid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The size of a WAL segment.
pub const SEGMENT: u64 = 16 << 20;
/// The size of a WAL page.
pub const PAGE: u64 = 8192;
/// What a checkpoint record takes.
pub const CHECKPOINT_RECORD: u64 = 120;
/// What an end-of-recovery record takes.
pub const END_OF_RECOVERY_RECORD: u64 = 48;
/// Where the WAL of a new cluster stands: behind what `initdb` and a base backup wrote.
pub const BEGIN: Lsn = Lsn(0x500_0000);
/// The system identifier of the cluster that every host of a stack holds from the start.
pub const SYSTEM: u64 = 7_000_000_000_000_000_001;

/// The state of the cluster that the control file tells (`pg_controldata`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DbState {
    /// `shut down`: a primary was stopped in order. It is set when the shutdown checkpoint is done, before the walsenders are.
    ShutDown,
    /// `shut down in recovery`: a standby was stopped in order.
    ShutDownInRecovery,
    /// `shutting down`.
    ShuttingDown,
    /// `in crash recovery`.
    InCrashRecovery,
    /// `in archive recovery`: a standby runs, or crashed.
    InArchiveRecovery,
    /// `in production`: a primary runs, or crashed.
    InProduction,
}

/// A checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Checkpoint {
    /// Where its record begins.
    pub lsn: Lsn,
    /// Where its record ends.
    pub end: Lsn,
    /// Where recovery from it begins.
    pub redo: Lsn,
    /// Its timeline.
    pub timeline: u32,
}

/// The control file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// What the cluster is doing, or was when it ended.
    pub state: DbState,
    /// The timeline.
    pub timeline: u32,
    /// The history that the WAL belongs to (the history files, in truth).
    pub history: History,
    /// The last checkpoint (a standby: restartpoint).
    pub checkpoint: Checkpoint,
    /// A standby lets nobody in before it has replayed up to here.
    pub min_recovery: Lsn,
    /// The primary's `max_connections`.
    pub max_connections: u32,
}

/// `synchronous_standby_names`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum SyncNames {
    /// Nobody is waited for.
    #[default]
    Empty,
    /// `FIRST n (a, b)`: the first n that are there.
    First(u32, Arc<[Arc<str>]>),
    /// `ANY n (a, b)`: any n.
    Any(u32, Arc<[Arc<str>]>),
    /// `*`: one, whoever it is.
    Star,
}

/// `primary_conninfo` and `primary_slot_name`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conninfo {
    /// The upstream.
    pub ip: Ip,
    /// `application_name`; nothing: the server's own name.
    pub application_name: Option<Arc<str>>,
    /// `primary_slot_name`.
    pub slot: Option<Arc<str>>,
}

/// The configuration that changes while a cluster lives; a server reads it at its start and at SIGHUP.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conf {
    /// Whom commits wait for.
    pub synchronous_standby_names: SyncNames,
    /// Whom a standby follows.
    pub primary_conninfo: Option<Conninfo>,
    /// `standby.signal` exists: the server starts as a standby.
    pub standby_signal: bool,
    /// `recovery_min_apply_delay`, if it is not the one of the server's own configuration.
    pub recovery_min_apply_delay: Option<Span>,
}

/// A replication slot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// WAL from here on is kept; nothing: the slot has not been used yet.
    pub restart: Option<Lsn>,
    /// A walsender uses it.
    pub active: bool,
    /// It lost its WAL.
    pub invalidated: bool,
}

/// What does not change while a server runs and what tools need: settings, sizes and rates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Physics {
    /// Hint bits are in the WAL, or pages have checksums, and whole pages are in the WAL after a checkpoint: `pg_rewind` is possible.
    pub can_rewind: bool,
    /// `wal_keep_size`.
    pub wal_keep_size: u64,
    /// `max_slot_wal_keep_size`.
    pub max_slot_wal_keep_size: Option<u64>,
    /// Bytes of the database without its WAL.
    pub database_size: u64,
    /// Bytes a second of `pg_basebackup`.
    pub base_backup_rate: u64,
    /// Bytes a second of `pg_rewind`.
    pub rewind_rate: u64,
    /// What `pg_rewind` takes before it copies.
    pub rewind_time: Span,
    /// Bytes a second of recovery.
    pub recovery_rate: u64,
    /// What a start takes at most, for a recovery in single-user mode.
    pub startup_time: Span,
}
impl Default for Physics {
    fn default() -> Self {
        super::config::Postgres::default().physics(false)
    }
}

/// A data directory, one on each database host. It exists from the start: every host of a stack has the same base backup on timeline 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataDir {
    /// The system identifier; 0: the directory is empty.
    pub system_id: u64,
    /// The control file.
    pub control: Control,
    /// The end of what is valid of the WAL on disk.
    pub end: Lsn,
    /// What of it survives a loss of power.
    pub flushed: Lsn,
    /// The oldest WAL that is left.
    pub oldest: Lsn,
    /// The configuration.
    pub conf: Conf,
    /// The signal file of `pg_ctl promote`, to be seen at SIGUSR1.
    pub promote_signal: bool,
    /// `postmaster.pid`: the server, while it exists.
    pub postmaster: Option<Pid>,
    /// Processes of the server that serve clients; a stop is safe when there are none.
    pub backends: u32,
    /// A `pg_rewind` or `pg_basebackup` was interrupted: the directory cannot be used.
    pub broken: bool,
    /// Replication slots.
    pub slots: BTreeMap<Arc<str>, Slot>,
    /// Settings, sizes and rates.
    pub physics: Physics,
    /// The checkpoints that are in the WAL, the oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// The highest timeline number that a history file here tells of.
    pub newest_timeline: u32,
    /// What is in tables, as far as this server has written them itself.
    pub tables: BTreeMap<Arc<str>, super::TableState>,
    /// Commits that were handed to the disk and not yet confirmed.
    pub(super) unconfirmed: Vec<(WriteId, Lsn)>,
    /// A crash took positions that had been given away: the WAL goes on on a new branch.
    pub(super) torn: bool,
    /// The host, and the branches that it began.
    pub(super) host: u16,
    pub(super) branches: u16,
}

impl Default for DataDir {
    fn default() -> Self {
        let lsn = Lsn(BEGIN.0 - CHECKPOINT_RECORD);
        let checkpoint = Checkpoint { lsn, end: BEGIN, redo: lsn, timeline: 1 };
        DataDir {
            system_id: SYSTEM,
            control: Control {
                state: DbState::ShutDown,
                timeline: 1,
                history: History::default(),
                checkpoint,
                min_recovery: Lsn(0),
                max_connections: 0,
            },
            end: BEGIN,
            flushed: BEGIN,
            oldest: Lsn(lsn.0 / SEGMENT * SEGMENT),
            conf: Conf::default(),
            promote_signal: false,
            postmaster: None,
            backends: 0,
            broken: false,
            slots: BTreeMap::new(),
            tables: BTreeMap::new(),
            physics: Physics::default(),
            checkpoints: vec![checkpoint],
            newest_timeline: 1,
            unconfirmed: Vec::new(),
            torn: false,
            host: 0,
            branches: 0,
        }
    }
}

impl DataDir {
    /// The end of its WAL as a place.
    pub fn place(&self) -> Place {
        self.control.history.place(self.end)
    }
    /// Whether the server was stopped in order, or never ran.
    pub fn clean(&self) -> bool {
        matches!(self.control.state, DbState::ShutDown | DbState::ShutDownInRecovery)
    }
    /// Bytes of WAL on disk.
    pub fn wal_bytes(&self) -> u64 {
        self.end.since(self.oldest)
    }
    /// Whether a commit is in what is here.
    pub fn contains(&self, place: Place) -> bool {
        place.lsn <= self.end && self.control.history.contains(place)
    }
    /// The server has ended.
    pub(super) fn ended(&mut self, end: End, inserted: Lsn) {
        if end == End::PowerLost {
            self.end = self.flushed;
        }
        self.torn |= inserted > self.end;
        let survives = self.end;
        self.unconfirmed.retain(|(_, lsn)| *lsn <= survives);
        self.postmaster = None;
        self.backends = 0;
        for slot in self.slots.values_mut() {
            slot.active = false;
        }
    }
    /// A new branch for the WAL that comes next.
    pub(super) fn branch_off(&mut self, timeline: u32) {
        self.branches += 1;
        let branch = Branch((u32::from(self.host) << 16) | u32::from(self.branches));
        self.torn = false;
        self.control.history = self.control.history.then(timeline, branch, self.end);
    }
    /// Writing goes on without a promotion: on the same timeline, but on a new branch if others may write, or have written, on this one.
    pub(super) fn go_on_writing(&mut self) {
        let last = self.control.history.branch();
        let mine = last.0 >> 16 == u32::from(self.host) && last != Branch(0);
        if self.torn || !mine {
            self.branch_off(self.control.history.timeline());
        }
    }
    /// Takes note of a checkpoint.
    pub(super) fn add_checkpoint(&mut self, c: Checkpoint) {
        if self.checkpoints.last().is_none_or(|last| last.end < c.end) {
            self.checkpoints.push(c);
        }
    }
    /// Removes the WAL that nothing needs any more after a checkpoint: what is before its redo point, except for what slots and
    /// `wal_keep_size` keep. Returns the slots that lost their WAL.
    pub(super) fn recycle(&mut self, redo: Lsn) -> Vec<Arc<str>> {
        let mut keep = redo.0;
        let mut lost = Vec::new();
        for (name, slot) in &mut self.slots {
            let Some(restart) = slot.restart.filter(|_| !slot.invalidated) else { continue };
            let floor = self.physics.max_slot_wal_keep_size.map_or(0, |max| self.end.0.saturating_sub(max));
            if restart.0 / SEGMENT < floor / SEGMENT && restart < redo {
                slot.invalidated = true;
                lost.push(name.clone());
                continue;
            }
            keep = keep.min(restart.0);
        }
        keep = keep.min(self.end.0.saturating_sub(self.physics.wal_keep_size));
        self.oldest = self.oldest.max(Lsn(keep / SEGMENT * SEGMENT));
        let oldest = self.oldest;
        self.checkpoints.retain(|c| c.lsn >= oldest);
        lost
    }
}

/// What a server says of itself to standbys and tools (`IDENTIFY_SYSTEM`, the control file, the history files).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster.
    pub system_id: u64,
    /// The timeline.
    pub timeline: u32,
    /// The history.
    pub history: History,
    /// How far its WAL is flushed.
    pub flush: Lsn,
    /// The oldest WAL that it has.
    pub oldest: Lsn,
    /// Its last checkpoint. `pg_rewind` believes the timeline in it.
    pub checkpoint: Checkpoint,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Bytes of its database.
    pub database_size: u64,
    /// Its `max_connections`.
    pub max_connections: u32,
    /// The checkpoints in its WAL.
    pub checkpoints: Vec<Checkpoint>,
    /// What is in its tables: a copy of its data has it too.
    pub tables: Arc<BTreeMap<Arc<str>, super::TableState>>,
}

/// How a walsender stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SenderState {
    /// It sends what the standby missed.
    Catchup,
    /// It has sent everything, and sends what is new.
    Streaming,
}
/// What a standby is for commits that wait.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SyncState {
    /// Nothing.
    Async,
    /// It would be waited for if one before it went away.
    Potential,
    /// It is waited for.
    Sync,
    /// It is one of those of whom some are waited for.
    Quorum,
}

/// A row of `pg_stat_replication`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standby {
    /// `application_name`.
    pub application_name: Arc<str>,
    /// `state`.
    pub state: SenderState,
    /// `sync_state`.
    pub sync_state: SyncState,
    /// `sent_lsn`.
    pub sent: Lsn,
    /// `write_lsn`.
    pub write: Lsn,
    /// `flush_lsn`.
    pub flush: Lsn,
    /// `replay_lsn`.
    pub replay: Lsn,
    /// `reply_time`.
    pub reply: Time,
}

/// What a server knows of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// The timeline: a primary's own, or the one that a standby receives.
    pub timeline: u32,
    /// The branch that its position is on.
    pub branch: Branch,
    /// A primary's `pg_current_wal_insert_lsn()`.
    pub insert: Lsn,
    /// A primary's `pg_current_wal_lsn()`, a standby's end of flushed WAL.
    pub flush: Lsn,
    /// What the walreceiver has written; 0 if there was none since the start.
    pub received: Lsn,
    /// `pg_last_wal_replay_lsn()`.
    pub replayed: Lsn,
    /// What the upstream said last that it has flushed (`latest_end_lsn`).
    pub latest_end: Lsn,
    /// The walreceiver streams.
    pub streaming: bool,
    /// From there (`pg_stat_wal_receiver`).
    pub upstream: Option<Ip>,
    /// The standbys.
    pub standbys: Vec<Standby>,
    /// `synchronous_standby_names` as it is in force.
    pub names: SyncNames,
    /// The timeline of the last checkpoint: a primary can be rewound from when it is its own.
    pub checkpoint_timeline: u32,
    /// Slots: name, restart position, whether a walsender uses it, whether it lost its WAL.
    pub slots: Vec<(Arc<str>, Slot)>,
    /// Ordinary and superuser sessions.
    pub sessions: u32,
    /// The history.
    pub history: History,
}
