//! The walreceiver of a standby: it asks its upstream for WAL, writes and flushes it, and tells how far it is.
//!
//! Sources: PostgreSQL 15, `walreceiver.c`, `xlogrecovery.c` (`WaitForWALToBecomeAvailable`, `rescanLatestTimeLine`). After a loss it is
//! started again at once if the last failure is longer ago than `wal_retrieve_retry_interval`, else when that is over. It replies when
//! what it has flushed changes (written: if the primary's commits wait for that), when a commit with `remote_apply` has been applied, and
//! every `wal_receiver_status_interval`. It writes nothing while a flush is under way. **Not modelled:** archives; the 100 ms steps of its
//! loop.

use super::data::Conninfo;
use super::msg::{Data, Lsn, Positions, Refusal, Start, Wal};
use super::note::{Lost, Note};
use super::process::{Phase, Postmaster, T_RECEIVER, T_REPLAY, T_STATUS};
use super::{PORT, data::SEGMENT};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Tcp, TcpOptions};
use crate::proto::{Cx, Msg};

/// Where the walreceiver is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Link {
    /// There is none.
    #[default]
    Off,
    /// It will be started again.
    Waiting,
    /// It connects.
    Connecting(ConnId),
    /// It has asked who the upstream is.
    Identifying(ConnId),
    /// It has asked for WAL.
    Starting(ConnId),
    /// It gets WAL.
    Streaming(ConnId),
}

/// A walreceiver.
#[derive(Clone, Debug, Default)]
pub(super) struct Receiver {
    link: Link,
    /// Whom it follows.
    upstream: Option<Conninfo>,
    last_fail: Option<Time>,
    last_recv: Time,
    last_sent: Time,
    asked: bool,
    doubtful: bool,
    /// How often it has tried to connect.
    pub(super) attempts: u32,
    /// It has streamed since the start of the server.
    pub(super) used: bool,
    /// Its own positions, which begin with a segment.
    written: Lsn,
    flushed: Lsn,
    /// What came while a flush was under way.
    pending: Option<(Lsn, Time)>,
    /// The flush under way: its number, how far it goes, when that was committed.
    pub(super) syncing: Option<(u16, Lsn, Time)>,
    /// What the upstream said last that it has flushed.
    pub(super) latest_end: Lsn,
    /// The primary waits until this has been applied.
    apply_wanted: Option<Lsn>,
    /// Why it was lost last: the same is not told twice.
    told: Option<Lost>,
}
impl Receiver {
    pub(super) fn conn(&self) -> Option<ConnId> {
        match self.link {
            Link::Off | Link::Waiting => None,
            Link::Connecting(c) | Link::Identifying(c) | Link::Starting(c) | Link::Streaming(c) => Some(c),
        }
    }
    pub(super) fn streams(&self) -> bool {
        matches!(self.link, Link::Streaming(_))
    }
    /// Its upstream has said something.
    fn heard(&mut self, now: Time) {
        self.last_recv = now;
        self.asked = false;
        self.doubtful = false;
    }
    /// Whom it follows.
    pub(super) fn from(&self) -> Option<Ip> {
        self.upstream.as_ref().map(|u| u.ip)
    }
}

impl Postmaster {
    fn ask(conn: ConnId, wal: Wal, ctx: &mut Cx<'_>) {
        ctx.act(Action::TcpSend(conn, Msg::Wal(Box::new(wal))));
    }
    /// Follows whom the configuration names.
    pub(super) fn receive(&mut self, ctx: &mut Cx<'_>) {
        let wanted = &ctx.files.pg.conf.primary_conninfo;
        if self.receiver.upstream == *wanted && self.receiver.link != Link::Off {
            return;
        }
        let wanted = wanted.clone();
        if let Some(conn) = self.receiver.conn() {
            ctx.act(Action::Close(conn));
        }
        if self.receiver.streams() {
            Self::tell(ctx, Note::ReceiverLost { why: Lost::Reconfigured });
        }
        self.receiver.told = None;
        self.receiver.upstream = wanted;
        self.connect(ctx);
    }
    fn connect(&mut self, ctx: &mut Cx<'_>) {
        let Some(upstream) = &self.receiver.upstream else {
            self.receiver.link = Link::Off;
            return ctx.cancel_timer(T_RECEIVER);
        };
        // libpq asks for keepalives with the times of the operating system.
        let keepalive = Some((Span::secs(7200), Span::secs(75), 9));
        let options = TcpOptions { keepalive, ..TcpOptions::default() };
        let conn = ctx.connect(Endpoint::new(upstream.ip, PORT), Plane::replication, options);
        self.receiver.link = Link::Connecting(conn);
        self.receiver.attempts += 1;
        ctx.cancel_timer(T_RECEIVER);
    }
    /// There is no walreceiver any more.
    pub(super) fn end_receiver(&mut self, ctx: &mut Cx<'_>) {
        if let Some(conn) = self.receiver.conn() {
            ctx.act(Action::Close(conn));
        }
        // What it has written is flushed; what it has not read yet is lost.
        self.receiver.pending = None;
        self.receiver.link = Link::Off;
        self.receiver.upstream = None;
        ctx.cancel_timer(T_RECEIVER);
        ctx.cancel_timer(T_STATUS);
    }
    fn lost(&mut self, why: Lost, ctx: &mut Cx<'_>) {
        let streamed = self.receiver.streams();
        if let Some(conn) = self.receiver.conn()
            && !matches!(why, Lost::Closed | Lost::Reset | Lost::NoAnswer | Lost::Unreachable)
        {
            ctx.act(Action::Close(conn));
        }
        if streamed || self.receiver.told.as_ref() != Some(&why) {
            Self::tell(ctx, Note::ReceiverLost { why: why.clone() });
        }
        self.receiver.told = Some(why);
        self.receiver.asked = false;
        self.receiver.doubtful = false;
        ctx.cancel_timer(T_STATUS);
        let pause = self.setup.config.wal_retrieve_retry_interval;
        let wait = self.receiver.last_fail.map_or(Span::ZERO, |at| pause.saturating_sub(ctx.now.since(at)));
        self.receiver.last_fail = Some(ctx.now + wait);
        self.receiver.link = Link::Waiting;
        ctx.set_timer(T_RECEIVER, wait.max(Span::us(1)));
    }

    /// Something happened on the connection to the upstream.
    pub(super) fn upstream(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        match news {
            Tcp::Connected => {
                self.receiver.link = Link::Identifying(conn);
                Self::ask(conn, Wal::Identify, ctx);
            }
            Tcp::Data(Msg::WalData(wal)) => {
                self.receiver.heard(ctx.now);
                self.received(&wal, ctx);
            }
            Tcp::Data(Msg::Wal(wal)) => {
                self.receiver.heard(ctx.now);
                self.upstream_says(conn, *wal, ctx);
            }
            Tcp::Closed => {
                ctx.act(Action::Close(conn));
                self.lost(Lost::Closed, ctx);
            }
            Tcp::Reset => self.lost(Lost::Reset, ctx),
            Tcp::TimedOut => self.lost(Lost::NoAnswer, ctx),
            Tcp::Unreachable => self.lost(Lost::Unreachable, ctx),
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
        }
    }
    fn upstream_says(&mut self, conn: ConnId, wal: Wal, ctx: &mut Cx<'_>) {
        match wal {
            Wal::Identity(identity) => {
                let data = &mut ctx.files.pg;
                if identity.system_id != data.system_id {
                    return self.lost(Lost::Refused(Refusal::OtherSystem), ctx);
                }
                let mine = data.control.history.timeline();
                if identity.timeline < mine {
                    return self.lost(Lost::Behind { theirs: identity.timeline, mine }, ctx);
                }
                // It fetches the history files that it does not have.
                data.newest_timeline = data.newest_timeline.max(identity.timeline);
                let name = self.receiver.upstream.as_ref().and_then(|u| u.application_name.clone());
                let start = Start {
                    system_id: data.system_id,
                    application_name: name.unwrap_or_else(|| self.setup.name.clone()),
                    slot: self.receiver.upstream.as_ref().and_then(|u| u.slot.clone()),
                    timeline: mine,
                    end: data.place(),
                };
                self.receiver.link = Link::Starting(conn);
                Self::ask(conn, Wal::Start(start), ctx);
            }
            Wal::Started(history, max_connections) => {
                let config = &self.setup.config;
                let paused = config.hot_standby && max_connections > config.max_connections;
                let data = &mut ctx.files.pg;
                data.control.timeline = history.timeline();
                data.control.history = history;
                data.control.max_connections = max_connections;
                let begin = Lsn(data.end.0 / SEGMENT * SEGMENT);
                let (timeline, lsn) = (data.control.timeline, data.end);
                let r = &mut self.receiver;
                r.link = Link::Streaming(conn);
                r.used = true;
                r.told = None;
                (r.written, r.flushed) = (begin, begin);
                r.last_sent = ctx.now;
                if paused && !self.replay.paused {
                    Self::tell(
                        ctx,
                        Note::ReplayPaused { theirs: max_connections, mine: config.max_connections },
                    );
                }
                self.replay.paused = paused;
                let ip = self.receiver.upstream.as_ref().map(|u| u.ip);
                Self::tell(ctx, Note::Streaming { from: ip.unwrap_or_default(), timeline, lsn });
                self.arm_receiver(ctx);
                // Its loop tells the positions within its first round, if no WAL comes before.
                ctx.set_timer(T_STATUS, Span::ms(100));
            }
            Wal::Refused(why) => self.lost(Lost::Refused(why), ctx),
            Wal::Keepalive(end, ask) => {
                self.receiver.latest_end = end;
                // In the middle of a flush it reads this only afterwards, when it replies anyway.
                if ask && self.receiver.syncing.is_none() {
                    self.tell_status(false, ctx);
                }
            }
            Wal::Done(true) => {
                self.receiver.link = Link::Identifying(conn);
                Self::ask(conn, Wal::Identify, ctx);
            }
            Wal::Done(false) => self.lost(Lost::Ended, ctx),
            Wal::Identify | Wal::Start(_) => {}
        }
    }
    fn received(&mut self, wal: &Data, ctx: &mut Cx<'_>) {
        if !self.receiver.streams() {
            return;
        }
        self.receiver.latest_end = wal.end;
        self.wal.commit_time = wal.time;
        if let Some(c) = wal.checkpoint {
            ctx.files.pg.add_checkpoint(c);
        }
        if wal.apply_feedback {
            self.receiver.apply_wanted = Some(wal.to);
        }
        let ago = ctx.wall_clock.saturating_sub(wal.time);
        let committed = Time(ctx.now.0.saturating_sub(u64::try_from(ago).unwrap_or(0)));
        if self.receiver.syncing.is_some() {
            // It is in the middle of a flush and reads this afterwards.
            self.receiver.pending = Some((wal.to, committed));
        } else {
            self.write_received(wal.to, committed, wal.write_feedback, ctx);
        }
    }
    fn write_received(&mut self, to: Lsn, committed: Time, feedback: bool, ctx: &mut Cx<'_>) {
        self.receiver.written = self.receiver.written.max(to);
        let data = &mut ctx.files.pg;
        data.end = data.end.max(to);
        if to <= data.flushed {
            // The beginning of the segment was here already.
            self.receiver.flushed = self.receiver.flushed.max(to);
            return self.tell_status(false, ctx);
        }
        if feedback {
            self.tell_status(false, ctx);
        }
        let tag = self.tag();
        self.receiver.syncing = Some((tag, to, committed));
        ctx.act(Action::Sync(tag));
    }
    /// What was received is safe.
    pub(super) fn received_synced(&mut self, ok: bool, ctx: &mut Cx<'_>) {
        let Some((_, to, committed)) = self.receiver.syncing.take() else { return };
        if !ok {
            let data = &mut ctx.files.pg;
            data.end = data.flushed;
            self.receiver.pending = None;
            if matches!(self.phase, Phase::Standby(_)) && self.receiver.conn().is_some() {
                self.lost(Lost::DiskFull, ctx);
            }
            return;
        }
        let data = &mut ctx.files.pg;
        data.flushed = data.flushed.max(to);
        self.receiver.flushed = self.receiver.flushed.max(to);
        if !matches!(self.phase, Phase::Standby(_)) {
            return;
        }
        self.replay.more(ctx.now, to, committed);
        self.tell_status(false, ctx);
        self.watch_replay(ctx);
        for i in (0..self.senders.len()).rev() {
            self.pump(i, ctx);
        }
        if let Some((to, committed)) = self.receiver.pending.take() {
            self.write_received(to, committed, false, ctx);
        }
    }
    /// Tells the upstream the positions.
    fn tell_status(&mut self, ask: bool, ctx: &mut Cx<'_>) {
        let Link::Streaming(conn) = self.receiver.link else { return };
        self.receiver.last_sent = ctx.now;
        ctx.cancel_timer(T_STATUS);
        let apply = self.replay.at(ctx.now);
        if self.receiver.apply_wanted.is_some_and(|lsn| lsn <= apply) {
            self.receiver.apply_wanted = None;
        }
        let (write, flush) = (self.receiver.written, self.receiver.flushed);
        ctx.act(Action::TcpSend(conn, Msg::WalStatus(Positions { write, flush, apply, ask })));
    }
    /// The first reply after the start of replication.
    pub(super) fn first_status(&mut self, ctx: &mut Cx<'_>) {
        self.tell_status(false, ctx);
    }

    /// Looks at replay again when the primary waits for it.
    fn watch_replay(&self, ctx: &mut Cx<'_>) {
        let Some(lsn) = self.receiver.apply_wanted else { return };
        if let Some(wait) = self.replay.wait_for(ctx.now, lsn) {
            ctx.set_timer(T_REPLAY, wait);
        }
    }
    pub(super) fn replay_timer(&mut self, ctx: &mut Cx<'_>) {
        if self.receiver.apply_wanted.is_some_and(|lsn| lsn <= self.replay.at(ctx.now)) {
            self.tell_status(false, ctx);
        } else {
            self.watch_replay(ctx);
        }
    }

    fn arm_receiver(&self, ctx: &mut Cx<'_>) {
        let config = &self.setup.config;
        let timeout = config.wal_receiver_timeout;
        let mut due = Time::MAX;
        if !config.wal_receiver_status_interval.is_zero() {
            due = self.receiver.last_sent + config.wal_receiver_status_interval;
        }
        if !timeout.is_zero() {
            let silent = if self.receiver.asked { timeout } else { Span(timeout.0 / 2) };
            due = due.min(self.receiver.last_recv + silent);
        }
        if due < Time::MAX {
            ctx.set_timer(T_RECEIVER, due.since(ctx.now).max(Span::us(1)));
        }
    }
    pub(super) fn receiver_timer(&mut self, ctx: &mut Cx<'_>) {
        match self.receiver.link {
            Link::Waiting => return self.connect(ctx),
            Link::Streaming(_) => {}
            _ => return,
        }
        if self.receiver.syncing.is_some() {
            // It cannot look at the time before the flush is over.
            return ctx.set_timer(T_RECEIVER, Span::ms(100));
        }
        let config = &self.setup.config;
        let (timeout, interval) = (config.wal_receiver_timeout, config.wal_receiver_status_interval);
        if !timeout.is_zero() && ctx.now >= self.receiver.last_recv + timeout {
            // A server that stood still first reads what has come meanwhile.
            if self.receiver.doubtful {
                return self.lost(Lost::Silent(timeout), ctx);
            }
            self.receiver.doubtful = true;
        } else if !timeout.is_zero()
            && !self.receiver.asked
            && ctx.now >= self.receiver.last_recv + Span(timeout.0 / 2)
        {
            self.receiver.asked = true;
            self.tell_status(true, ctx);
        }
        if !interval.is_zero() && ctx.now >= self.receiver.last_sent + interval {
            self.tell_status(false, ctx);
        }
        if self.restartpoint_due(ctx) {
            self.restartpoint(ctx);
        }
        self.arm_receiver(ctx);
    }
}
