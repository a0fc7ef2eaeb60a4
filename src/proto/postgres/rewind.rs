//! What is done to a data directory while no server runs on it: `initdb`, `pg_basebackup`, `pg_rewind`, recovery in single-user mode.
//!
//! Sources: app-pgrewind, app-pgbasebackup; for the question whether a rewind is needed `patroni/postgresql/rewind.py` 4.1.5. These are
//! what the tools do in the end; how long they take is told, so that whoever runs them can wait. **Not modelled:** archives
//! (`restore_command`), tablespaces, a source that changes its timeline meanwhile.

use super::config::span_of;
use super::data::{CHECKPOINT_RECORD, Checkpoint, DataDir, DbState, Identity, Status};
use super::history::History;
use super::msg::Lsn;
use crate::engine::Span;

/// What a node knows of its own position before it compares itself with a primary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Local {
    /// What it was.
    pub was: Was,
    /// Its timeline.
    pub timeline: u32,
    /// A standby's replayed position; of a primary that was stopped the end of its last checkpoint record; of one that crashed the end
    /// of its WAL.
    pub lsn: Lsn,
}
/// What a server was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Was {
    /// A standby.
    Standby,
    /// A primary that was shut down in order.
    ShutDownPrimary,
    /// A primary that was not.
    CrashedPrimary,
}
impl Local {
    /// What a running server says.
    pub fn running(status: &Status) -> Local {
        let was = if status.in_recovery { Was::Standby } else { Was::CrashedPrimary };
        let lsn = if status.in_recovery { status.replayed } else { status.insert };
        Local { was, timeline: status.timeline, lsn }
    }
}

/// Whether a rewind is needed, and why.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rewind {
    /// It can follow as it is.
    NotNeeded,
    /// Its timeline is higher than the primary's.
    HigherTimeline(u32, u32),
    /// It went further than where the primary's history left its timeline: its position, the switch point.
    PastSwitch(Lsn, Lsn),
    /// Its shutdown checkpoint does not end at the switch point: its end, the switch point.
    CheckpointElsewhere(Lsn, Lsn),
    /// The primary's history does not know its timeline.
    UnknownTimeline(u32),
}
impl Rewind {
    /// Whether it is.
    pub fn needed(self) -> bool {
        self != Rewind::NotNeeded
    }
}

/// Why `pg_rewind` or `pg_basebackup` cannot run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unable {
    /// A server runs on the directory.
    Running,
    /// The clusters have different system identifiers.
    OtherSystem,
    /// Neither `wal_log_hints` nor data checksums are on (or `full_page_writes` is off).
    NoHints,
    /// The WAL back to the last common checkpoint is gone on the target.
    WalRemoved,
    /// The directory is empty or was left by an interrupted run.
    Broken,
}

/// What `pg_rewind` found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Plan {
    /// "Source and target cluster are on the same timeline", or the target is an ancestor of the source: nothing to do. That is also what
    /// a source says that has not had a checkpoint since its promotion.
    Nothing,
    /// It will copy so many bytes.
    Copy {
        /// Where the histories part.
        divergence: Lsn,
        /// The last checkpoint before that.
        common: Checkpoint,
        /// Bytes.
        bytes: u64,
        /// How long it takes, a recovery in single-user mode included.
        takes: Span,
    },
}

impl DataDir {
    /// A new cluster.
    pub fn initdb(&mut self, system_id: u64) {
        *self = DataDir {
            system_id,
            conf: self.conf.clone(),
            physics: self.physics.clone(),
            host: self.host,
            branches: self.branches,
            ..DataDir::default()
        };
    }
    /// Removes everything but the configuration, as before a new base backup.
    pub fn remove(&mut self) {
        self.initdb(0);
    }

    /// How long `pg_basebackup` from this source takes.
    pub fn base_backup_takes(&self, source: &Identity) -> Span {
        let bytes = source.database_size + source.flush.since(source.checkpoint.redo);
        span_of(bytes, self.physics.base_backup_rate)
    }
    /// `pg_basebackup` begins: until it ends, the directory is of no use.
    pub fn base_backup_begins(&mut self) {
        self.remove();
        self.broken = true;
    }
    /// `pg_basebackup` has ended: a copy of the source, its WAL up to now included.
    pub fn base_backup(&mut self, source: &Identity) {
        self.become_copy(source, source.checkpoint, source.checkpoint.redo);
        self.system_id = source.system_id;
    }
    fn become_copy(&mut self, source: &Identity, from: Checkpoint, oldest: Lsn) {
        self.control.state = DbState::InArchiveRecovery;
        self.control.timeline = source.timeline;
        self.control.history = source.history.clone();
        self.control.checkpoint = from;
        self.control.min_recovery = source.flush;
        self.control.max_connections = source.max_connections;
        self.end = source.flush;
        self.flushed = source.flush;
        self.oldest = Lsn(oldest.0 / super::data::SEGMENT * super::data::SEGMENT);
        let (oldest, end) = (self.oldest, self.end);
        self.checkpoints = source.checkpoints.clone();
        self.checkpoints.retain(|c| c.lsn >= oldest && c.end <= end);
        self.tables = (*source.tables).clone();
        self.newest_timeline = self.newest_timeline.max(source.timeline);
        self.slots.clear();
        self.unconfirmed.clear();
        self.torn = false;
        self.broken = false;
        self.promote_signal = false;
    }

    /// Recovery in single-user mode: replays what is there and writes a shutdown checkpoint behind it. Returns how long it takes.
    pub fn single_user_recovery(&mut self) -> Span {
        if self.clean() || self.system_id == 0 {
            return Span::ZERO;
        }
        let takes = self.recovery_takes();
        self.go_on_writing();
        let redo = self.end;
        self.end = self.end.plus(CHECKPOINT_RECORD);
        self.flushed = self.end;
        let timeline = self.control.history.timeline();
        self.control.checkpoint = Checkpoint { lsn: redo, end: self.end, redo, timeline };
        self.add_checkpoint(self.control.checkpoint);
        self.control.timeline = timeline;
        self.control.state = DbState::ShutDown;
        self.control.min_recovery = Lsn(0);
        takes
    }
    /// How long [`Self::single_user_recovery`] takes.
    pub fn recovery_takes(&self) -> Span {
        if self.clean() {
            return Span::ZERO;
        }
        let bytes = self.end.since(self.control.checkpoint.redo);
        self.physics.startup_time + span_of(bytes, self.physics.recovery_rate)
    }

    /// What the control file tells of a server that does not run.
    pub fn local(&self) -> Local {
        let c = &self.control;
        let timeline = c.timeline;
        match c.state {
            DbState::ShutDown => {
                Local { was: Was::ShutDownPrimary, timeline: c.checkpoint.timeline, lsn: c.checkpoint.end }
            }
            DbState::ShutDownInRecovery | DbState::InArchiveRecovery => {
                Local { was: Was::Standby, timeline, lsn: c.min_recovery }
            }
            DbState::InProduction | DbState::ShuttingDown | DbState::InCrashRecovery => {
                Local { was: Was::CrashedPrimary, timeline, lsn: self.end }
            }
        }
    }
    /// Whether a node at this position must be rewound before it can follow the primary: by the timeline numbers and the primary's history,
    /// as Patroni decides it.
    pub fn needs_rewind(local: &Local, primary: &Identity) -> Rewind {
        if local.timeline > primary.timeline {
            return Rewind::HigherTimeline(local.timeline, primary.timeline);
        }
        if local.timeline == primary.timeline {
            return Rewind::NotNeeded;
        }
        let Some(switch) = primary.history.switch_point(local.timeline) else {
            return Rewind::UnknownTimeline(local.timeline);
        };
        match local.was {
            Was::Standby | Was::CrashedPrimary if local.lsn > switch => Rewind::PastSwitch(local.lsn, switch),
            Was::ShutDownPrimary if local.lsn != switch => Rewind::CheckpointElsewhere(local.lsn, switch),
            _ => Rewind::NotNeeded,
        }
    }

    /// What `pg_rewind` would do with this source: whether it can, what it copies, how long it takes. Nothing is changed.
    pub fn rewind_plan(&self, source: &Identity) -> Result<Plan, Unable> {
        if self.postmaster.is_some() {
            return Err(Unable::Running);
        }
        if self.broken || self.system_id == 0 {
            return Err(Unable::Broken);
        }
        if self.system_id != source.system_id {
            return Err(Unable::OtherSystem);
        }
        if !self.physics.can_rewind {
            return Err(Unable::NoHints);
        }
        // A target that was not stopped in order is recovered first.
        let mut target = self.clone();
        let recovery = target.single_user_recovery();
        if source.checkpoint.timeline == target.control.timeline {
            return Ok(Plan::Nothing);
        }
        let ours: &History = &target.control.history;
        let divergence = ours.common(target.end, &source.history, source.flush);
        if divergence == target.end {
            return Ok(Plan::Nothing);
        }
        let Some(common) = target.checkpoints.iter().rev().find(|c| c.lsn <= divergence).copied() else {
            return Err(Unable::WalRemoved);
        };
        let changed = target.end.since(common.lsn).min(source.database_size);
        let wal = source.flush.since(source.oldest);
        let bytes = changed + wal;
        let takes = recovery + self.physics.rewind_time + span_of(bytes, self.physics.rewind_rate);
        Ok(Plan::Copy { divergence, common, bytes, takes })
    }
    /// `pg_rewind` begins to copy: until it ends, the directory is of no use.
    pub fn rewind_begins(&mut self) {
        self.single_user_recovery();
        self.broken = true;
    }
    /// `pg_rewind` has ended: like a base backup of the source that began at the last common checkpoint.
    pub fn rewind(&mut self, source: &Identity, common: Checkpoint) {
        self.become_copy(source, common, common.redo.min(source.oldest));
    }
}
