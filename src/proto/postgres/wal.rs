//! A primary's write-ahead log: insert, write, flush; commits that wait for the flush; the WAL writer.
//!
//! Sources: PostgreSQL 15, `xlog.c` (`XLogFlush`, `XLogBackgroundFlush`, `XLogSetAsyncXactLSN`). One flush is under way at a time, and the
//! next one takes everything that was inserted meanwhile (group commit). What was written survives a kill, what was flushed a loss of
//! power. With `synchronous_commit = off` whole pages are written at once, and the WAL writer flushes them at its next round, the page that
//! is not full at the round after that. **Not modelled:** page headers, full-page images, `commit_delay`, a WAL buffer that is too small,
//! the WAL writer's long sleep when nothing happens.

use super::config::SynchronousCommit;
use super::data::PAGE;
use super::msg::{Lsn, SqlState, WriteId};
use super::note::Note;
use super::process::{Phase, Postmaster, T_BACKGROUND, T_WRITER};
use crate::engine::{Span, Time};
use crate::node::process::{Action, ConnId};
use crate::proto::Cx;
use std::collections::VecDeque;

/// A commit that waits for the flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Commit {
    pub(super) lsn: Lsn,
    pub(super) write: WriteId,
    pub(super) conn: ConnId,
    pub(super) query: u32,
}

/// The WAL of a primary.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    /// The end of what has been inserted.
    pub(super) insert: Lsn,
    /// Written to the operating system.
    pub(super) written: Lsn,
    /// Flushed to the disk.
    pub(super) flush: Lsn,
    /// The last asynchronous commit.
    pub(super) asynchronous: Lsn,
    /// Somebody waits for a flush up to here.
    want: Lsn,
    /// The flush under way: its number, how far it goes.
    pub(super) flushing: Option<(u16, Lsn)>,
    /// Commits that wait for the flush, in their order.
    pub(super) commits: VecDeque<Commit>,
    /// What a new reader sees: the last commit that is over.
    pub(super) visible: Lsn,
    /// When the last commit was inserted, by the wall clock.
    pub(super) commit_time: i64,
    /// The WAL writer's rounds.
    round: Option<Time>,
    writer_armed: bool,
    /// The background WAL since then, and how much of it has been inserted.
    background: (Time, u64),
}

impl Postmaster {
    /// From now on this server writes WAL, behind what there is.
    pub(super) fn begin_writing(&mut self, ctx: &Cx<'_>) {
        let end = ctx.files.pg.end;
        self.wal = Writer { insert: end, written: end, flush: end, visible: end, ..Writer::default() };
        self.wal.asynchronous = end;
        self.wal.commit_time = ctx.wall_clock;
    }
    /// Inserts so many bytes, in whole words of 8. Returns where they end.
    pub(super) fn append(&mut self, bytes: u64, ctx: &mut Cx<'_>) -> Lsn {
        self.wal.insert = self.wal.insert.plus(bytes.max(1).div_ceil(8) * 8);
        self.wal_grew(ctx);
        self.wal.insert
    }
    fn out_of_room(&mut self, ctx: &mut Cx<'_>) -> bool {
        let room = self.setup.config.wal_disk;
        let full = room.is_some_and(|room| self.wal.insert.since(ctx.files.pg.oldest) >= room.0);
        if full {
            self.panic("pg-no-room", ctx);
        }
        full
    }
    /// A client's write: it gets its place.
    pub(super) fn write(
        &mut self,
        (conn, query): (ConnId, u32),
        write: WriteId,
        bytes: u32,
        ctx: &mut Cx<'_>,
    ) {
        if self.phase != Phase::Primary {
            return self.fail(conn, query, SqlState::ReadOnly, ctx);
        }
        if self.out_of_room(ctx) {
            return;
        }
        self.wal.commit_time = ctx.wall_clock;
        let lsn = self.append(u64::from(bytes), ctx);
        if self.setup.config.synchronous_commit == SynchronousCommit::Off {
            self.committed_asynchronously(lsn, ctx);
            let place = ctx.files.pg.control.history.place(lsn);
            Self::tell(ctx, Note::Committed { write, place });
            self.applied(conn, ctx);
            self.wal.visible = self.wal.visible.max(lsn);
            self.written(conn, query, place, false, ctx);
        } else {
            self.wal.commits.push_back(Commit { lsn, write, conn, query });
            self.occupy(conn);
            self.request_flush(lsn, ctx);
        }
    }
    fn committed_asynchronously(&mut self, lsn: Lsn, ctx: &mut Cx<'_>) {
        self.wal.asynchronous = lsn;
        // A page that is full is written at once.
        let full = Lsn(lsn.0 / PAGE * PAGE);
        if full > self.wal.written {
            self.wal.written = full;
            ctx.files.pg.end = full;
        }
        if !self.wal.writer_armed {
            self.wal.writer_armed = true;
            let period = self.setup.config.wal_writer_delay.0.max(1);
            let phase = match self.wal.round {
                Some(round) => Span(period - ctx.now.since(round).0 % period),
                None => Span(1 + ctx.below(period)),
            };
            self.wal.round = Some(ctx.now + phase);
            ctx.set_timer(T_WRITER, phase);
        }
    }
    /// A round of the WAL writer: whole pages, or, if there are no new ones, up to the last commit.
    pub(super) fn wal_writer(&mut self, ctx: &mut Cx<'_>) {
        self.wal.writer_armed = false;
        let mut target = Lsn(self.wal.insert.0 / PAGE * PAGE);
        if target <= self.wal.flush {
            target = self.wal.asynchronous;
        }
        if target > self.wal.flush && self.wal.flushing.is_none() {
            self.flush(target, ctx);
        }
        if self.wal.asynchronous > self.wal.flush {
            self.wal.writer_armed = true;
            let period = self.setup.config.wal_writer_delay;
            self.wal.round = Some(ctx.now + period);
            ctx.set_timer(T_WRITER, period);
        }
    }
    /// Somebody waits for a flush up to here.
    pub(super) fn request_flush(&mut self, lsn: Lsn, ctx: &mut Cx<'_>) {
        self.wal.want = self.wal.want.max(lsn);
        if self.wal.flushing.is_none() && self.wal.want > self.wal.flush {
            self.flush(self.wal.insert, ctx);
        }
    }
    fn flush(&mut self, target: Lsn, ctx: &mut Cx<'_>) {
        let tag = self.tag();
        self.wal.flushing = Some((tag, target));
        self.wal.written = self.wal.written.max(target);
        ctx.files.pg.end = self.wal.written;
        ctx.act(Action::Sync(tag));
    }
    pub(super) fn wal_synced(&mut self, ok: bool, ctx: &mut Cx<'_>) {
        let Some((_, target)) = self.wal.flushing.take() else { return };
        if !ok {
            return self.disk_full(ctx);
        }
        self.wal.flush = self.wal.flush.max(target);
        ctx.files.pg.flushed = self.wal.flush;
        while let Some(c) = self.wal.commits.front().copied().filter(|c| c.lsn <= target) {
            self.wal.commits.pop_front();
            let place = ctx.files.pg.control.history.place(c.lsn);
            Self::tell(ctx, Note::Committed { write: c.write, place });
            self.applied(c.conn, ctx);
            self.flushed_commit(c, place, ctx);
        }
        self.checkpoint_flushed(ctx);
        self.flushed_up_to(target, ctx);
        for i in (0..self.senders.len()).rev() {
            self.pump(i, ctx);
        }
        self.maybe_end(ctx);
        // What was inserted meanwhile is flushed together.
        if self.wal.flushing.is_none() && self.wal.want > self.wal.flush {
            self.flush(self.wal.insert, ctx);
        }
    }
    /// The disk has no room: the transactions that wait fail (their tables could not grow), and nothing of them stays. What was promised
    /// already cannot be kept any other way than by ending.
    fn disk_full(&mut self, ctx: &mut Cx<'_>) {
        let promised = self.wal.asynchronous > self.wal.flush;
        if promised || self.phase != Phase::Primary || self.stop.is_some() {
            return self.panic("pg-disk-full", ctx);
        }
        Self::tell(ctx, Note::DiskFull);
        let flush = self.wal.flush;
        self.wal.insert = flush;
        self.wal.written = flush;
        self.wal.want = flush;
        ctx.files.pg.end = flush;
        self.checkpoint_failed(ctx);
        for c in std::mem::take(&mut self.wal.commits) {
            self.fail(c.conn, c.query, SqlState::DiskFull, ctx);
        }
    }

    /// Others begin to write.
    pub(super) fn background_starts(&mut self, ctx: &mut Cx<'_>) {
        if self.setup.config.background_wal_rate.0 > 0 {
            self.wal.background = (ctx.now, 0);
            ctx.set_timer(T_BACKGROUND, self.setup.config.background_wal_interval);
        }
    }
    /// What others wrote in the last interval is committed.
    pub(super) fn background(&mut self, ctx: &mut Cx<'_>) {
        if self.phase != Phase::Primary {
            return;
        }
        ctx.set_timer(T_BACKGROUND, self.setup.config.background_wal_interval);
        // The clients of a blocked primary do not write on and on.
        if self.blocked(ctx.now) || self.out_of_room(ctx) {
            self.wal.background = (ctx.now, 0);
            return;
        }
        let (since, done) = self.wal.background;
        let ns = u128::from(ctx.now.since(since).0);
        let all = (ns * u128::from(self.setup.config.background_wal_rate.0) / 1_000_000_000) as u64;
        if all <= done {
            return;
        }
        self.wal.background.1 = all;
        self.wal.commit_time = ctx.wall_clock;
        let lsn = self.append(all - done, ctx);
        if self.setup.config.synchronous_commit == SynchronousCommit::Off {
            self.committed_asynchronously(lsn, ctx);
        } else {
            self.request_flush(lsn, ctx);
        }
    }
}
