//! The checkpointer: how far back recovery must begin, and which WAL may go.
//!
//! Sources: PostgreSQL 15, `xlog.c` (`CreateCheckPoint`, `CreateRestartPoint`, `KeepLogSeg`), `checkpointer.c`; documentation "WAL
//! Configuration". A checkpoint begins after `checkpoint_timeout`, or when so much WAL has been written that `max_wal_size` would be
//! exceeded, and is spread over `checkpoint_completion_target` of that; what somebody asks for is done at once. **Not modelled:** what
//! checkpoints do to the disk's other work.

use super::config::span_of;
use super::data::{CHECKPOINT_RECORD, Checkpoint, PAGE};
use super::msg::{Answer, Lsn, Sql, SqlState};
use super::note::Note;
use super::process::{Phase, Postmaster, T_CHECKPOINT};
use crate::engine::{Span, Time};
use crate::node::process::ConnId;
use crate::proto::Cx;

/// A checkpointer.
#[derive(Clone, Debug, Default)]
pub(super) struct Checkpointer {
    /// When the last checkpoint began.
    pub(super) started: Time,
    /// The one under way: where recovery from it begins, when it will be done.
    running: Option<(Lsn, Time)>,
    /// Its record is on its way to the disk.
    pub(super) record: Option<Checkpoint>,
    /// Who waits for it.
    waiting: Vec<(ConnId, u32)>,
}
impl Checkpointer {
    /// A session is ended.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.waiting.retain(|w| w.0 != conn);
    }
}

impl Postmaster {
    /// How long a checkpoint takes that somebody waits for, after so many bytes of WAL.
    pub(super) fn checkpoint_takes(&self, bytes: u64, ctx: &mut Cx<'_>) -> Span {
        let config = &self.setup.config;
        let dirty = bytes.min(config.shared_buffers.0);
        Self::draw(config.checkpoint_time, ctx) + span_of(dirty, config.checkpoint_rate.0)
    }
    /// The server has become a primary; after a promotion a checkpoint is asked for.
    pub(super) fn checkpoints_start(&mut self, promoted: bool, ctx: &mut Cx<'_>) {
        self.checkpointer.started = ctx.now;
        if promoted {
            self.begin_checkpoint(false, ctx);
        } else {
            ctx.set_timer(T_CHECKPOINT, self.setup.config.checkpoint_timeout);
        }
    }
    fn begin_checkpoint(&mut self, at_once: bool, ctx: &mut Cx<'_>) {
        let redo = self.wal.insert;
        let since = redo.since(ctx.files.pg.control.checkpoint.redo);
        let takes = if at_once {
            self.checkpoint_takes(since, ctx)
        } else {
            // Every page is followed by a pause of 100 ms as long as there is time.
            let config = &self.setup.config;
            let pages = since.min(config.shared_buffers.0) / PAGE + 1;
            let most =
                config.checkpoint_timeout.ratio(config.checkpoint_completion_target.ppb, 1_000_000_000);
            Span::ms(100).times(pages).min(most)
        };
        self.checkpointer.started = ctx.now;
        self.checkpointer.running = Some((redo, ctx.now + takes));
        ctx.set_timer(T_CHECKPOINT, takes);
    }
    pub(super) fn checkpoint_timer(&mut self, ctx: &mut Cx<'_>) {
        if self.phase != Phase::Primary || self.stop.is_some_and(|s| s.step != super::process::Step::Clients)
        {
            return;
        }
        match self.checkpointer.running {
            Some((redo, due)) if due <= ctx.now => self.end_checkpoint(redo, ctx),
            Some(_) => {}
            None if self.wal.insert == ctx.files.pg.control.checkpoint.end => {
                // Nothing has happened since the last one.
                self.checkpointer.started = ctx.now;
                ctx.set_timer(T_CHECKPOINT, self.setup.config.checkpoint_timeout);
            }
            None => self.begin_checkpoint(false, ctx),
        }
    }
    fn end_checkpoint(&mut self, redo: Lsn, ctx: &mut Cx<'_>) {
        self.checkpointer.running = None;
        let lsn = self.wal.insert;
        let end = lsn.plus(CHECKPOINT_RECORD);
        let timeline = ctx.files.pg.control.history.timeline();
        self.checkpointer.record = Some(Checkpoint { lsn, end, redo, timeline });
        self.append(CHECKPOINT_RECORD, ctx);
        self.request_flush(end, ctx);
    }
    /// `CHECKPOINT`.
    pub(super) fn checkpoint_for(&mut self, conn: ConnId, query: u32, ctx: &mut Cx<'_>) {
        match self.phase {
            Phase::Primary => {
                self.occupy(conn);
                self.checkpointer.waiting.push((conn, query));
                self.begin_checkpoint(true, ctx);
            }
            _ => {
                self.restartpoint(ctx);
                self.answer(conn, Sql::Done(query, Answer::Done), ctx);
            }
        }
    }
    /// After so much WAL a checkpoint begins, so that `max_wal_size` is not exceeded before it ends.
    fn enough_wal(&self) -> u128 {
        let whole = 1_000_000_000u128;
        let target = u128::from(self.setup.config.checkpoint_completion_target.ppb);
        u128::from(self.setup.config.max_wal_size.0) * whole / (whole + target)
    }
    /// Whether a standby's restartpoint is due.
    pub(super) fn restartpoint_due(&self, ctx: &Cx<'_>) -> bool {
        let data = &ctx.files.pg;
        ctx.now >= self.checkpointer.started + self.setup.config.checkpoint_timeout
            || u128::from(data.flushed.since(data.control.checkpoint.redo)) >= self.enough_wal()
    }
    /// WAL has been inserted: whether there is so much that a checkpoint must begin, or end.
    pub(super) fn wal_grew(&mut self, ctx: &mut Cx<'_>) {
        if self.phase != Phase::Primary || self.stop.is_some() {
            return;
        }
        let target = self.setup.config.checkpoint_completion_target.ppb;
        let whole = 1_000_000_000u128;
        let trigger = self.enough_wal();
        match self.checkpointer.running {
            None => {
                let redo = ctx.files.pg.control.checkpoint.redo;
                if self.checkpointer.record.is_none() && u128::from(self.wal.insert.since(redo)) >= trigger {
                    self.begin_checkpoint(false, ctx);
                }
            }
            Some((redo, due)) => {
                let most = trigger * u128::from(target) / whole;
                if u128::from(self.wal.insert.since(redo)) >= most && due > ctx.now {
                    self.checkpointer.running = Some((redo, ctx.now));
                    ctx.set_timer(T_CHECKPOINT, Span::ZERO);
                }
            }
        }
    }
    /// The WAL is flushed: whether that ends a checkpoint.
    pub(super) fn checkpoint_flushed(&mut self, ctx: &mut Cx<'_>) {
        let Some(c) = self.checkpointer.record.filter(|c| c.end <= self.wal.flush) else { return };
        self.checkpointer.record = None;
        let data = &mut ctx.files.pg;
        data.control.checkpoint = c;
        data.add_checkpoint(c);
        let lost = data.recycle(c.redo);
        for slot in lost {
            Self::tell(ctx, Note::SlotInvalidated { slot });
        }
        if self.checkpointer.running.is_some() {
            // Somebody asked for another one meanwhile.
            return;
        }
        for (conn, query) in std::mem::take(&mut self.checkpointer.waiting) {
            self.answer(conn, Sql::Done(query, Answer::Done), ctx);
        }
        let next = (self.checkpointer.started + self.setup.config.checkpoint_timeout).since(ctx.now);
        ctx.set_timer(T_CHECKPOINT, next.max(Span::us(1)));
    }
    /// The disk had no room for its record.
    pub(super) fn checkpoint_failed(&mut self, ctx: &mut Cx<'_>) {
        if self.checkpointer.record.take().is_some() {
            ctx.set_timer(T_CHECKPOINT, self.setup.config.checkpoint_timeout);
        }
        if let Some((redo, _)) = &mut self.checkpointer.running {
            *redo = (*redo).min(self.wal.insert);
        }
        for (conn, query) in std::mem::take(&mut self.checkpointer.waiting) {
            self.fail(conn, query, SqlState::DiskFull, ctx);
        }
    }
    /// A standby's restartpoint: recovery may begin with the last checkpoint that it has applied.
    pub(super) fn restartpoint(&mut self, ctx: &mut Cx<'_>) {
        self.checkpointer.started = ctx.now;
        let applied = self.replay.at(ctx.now);
        let data = &mut ctx.files.pg;
        let Some(c) = data.checkpoints.iter().rev().find(|c| c.end <= applied).copied() else { return };
        if c.end > data.control.checkpoint.end {
            data.control.checkpoint = c;
            data.control.min_recovery = data.control.min_recovery.max(applied);
            for slot in data.recycle(c.redo) {
                Self::tell(ctx, Note::SlotInvalidated { slot });
            }
        }
    }
}
