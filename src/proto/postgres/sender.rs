//! Walsenders: what a server sends to its standbys.
//!
//! Sources: PostgreSQL 15, `walsender.c`; documentation "Replication" (`wal_sender_timeout`). A walsender sends what is flushed, at once, as
//! fast as the network takes it, and ends when its standby has not replied for `wal_sender_timeout`. At a stop it ends when its standby has
//! flushed everything. **Not modelled:** logical replication, `hot_standby_feedback`.

use super::config::{SynchronousCommit, span_of};
use super::data::{Checkpoint, Identity, SEGMENT, SenderState};
use super::msg::{Data, Lsn, Positions, Refusal, Start, Wal};
use super::note::{Note, SenderGone};
use super::process::{Phase, Postmaster, Step, Stop, T_PACE, T_SENDERS};
use crate::engine::{Span, Time};
use crate::node::process::{Action, ConnId};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// A walsender.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    conn: ConnId,
    pub(super) name: Arc<str>,
    slot: Option<Arc<str>>,
    pub(super) state: SenderState,
    pub(super) sent: Lsn,
    pub(super) write: Lsn,
    pub(super) flush: Lsn,
    pub(super) apply: Lsn,
    pub(super) last_reply: Time,
    /// A reply has been asked for.
    asked: bool,
    /// Its time is over, unless a reply waits to be read.
    doubtful: bool,
    /// The network takes the next byte then.
    free: Time,
    /// What is being handed to the network.
    sending: Option<(Lsn, Lsn)>,
    started: Lsn,
}

/// The largest piece, unless the network takes more in [`SLICE`].
const PIECE: u64 = 128 << 10;
/// Pieces that take less than this are sent without waiting for the network.
const SLICE: Span = Span::us(100);
/// How long large pieces take.
const LONG: Span = Span::ms(20);

impl Postmaster {
    fn send(conn: ConnId, wal: Wal, ctx: &mut Cx<'_>) {
        ctx.act(Action::TcpSend(conn, Msg::Wal(Box::new(wal))));
    }
    /// What the server is.
    pub fn identity(&self, ctx: &Cx<'_>) -> Identity {
        self.copied(&ctx.files.pg)
    }
    /// What a copy of its directory that ends now has.
    pub fn copied(&self, data: &super::DataDir) -> Identity {
        Identity {
            system_id: data.system_id,
            timeline: data.control.history.timeline(),
            history: data.control.history.clone(),
            flush: if self.phase == Phase::Primary { self.wal.flush } else { data.flushed },
            oldest: data.oldest,
            checkpoint: data.control.checkpoint,
            in_recovery: self.phase != Phase::Primary,
            database_size: data.physics.database_size,
            max_connections: self.setup.config.max_connections,
            checkpoints: data.checkpoints.clone(),
            tables: Arc::new(data.tables.clone()),
        }
    }
    /// What a standby says, or a tool.
    pub(super) fn standby_says(&mut self, conn: ConnId, wal: Wal, ctx: &mut Cx<'_>) {
        match wal {
            Wal::Identify => {
                if let Some(why) = self.no_senders() {
                    Self::send(conn, Wal::Refused(why), ctx);
                    return ctx.act(Action::Close(conn));
                }
                let identity = Arc::new(self.identity(ctx));
                Self::send(conn, Wal::Identity(identity), ctx);
            }
            Wal::Start(start) => match self.start_sender(conn, &start, ctx) {
                Ok(()) => {}
                Err(why) => {
                    Self::send(conn, Wal::Refused(why), ctx);
                    ctx.act(Action::Close(conn));
                }
            },
            Wal::Identity(_) | Wal::Started(..) | Wal::Refused(_) | Wal::Keepalive(..) | Wal::Done(_) => {}
        }
    }
    fn no_senders(&self) -> Option<Refusal> {
        match self.phase {
            _ if self.stop.is_some() => Some(Refusal::ShuttingDown),
            Phase::Off | Phase::Launching | Phase::Recovering(_) => Some(Refusal::StartingUp),
            Phase::Opening if !self.replay.is_hot() => Some(Refusal::StartingUp),
            _ => None,
        }
    }
    fn start_sender(&mut self, conn: ConnId, start: &Start, ctx: &mut Cx<'_>) -> Result<(), Refusal> {
        if let Some(why) = self.no_senders() {
            return Err(why);
        }
        if self.senders.len() as u32 >= self.setup.config.max_wal_senders {
            return Err(Refusal::TooMany);
        }
        let flush = self.flushed(ctx);
        let data = &mut ctx.files.pg;
        if start.system_id != data.system_id {
            return Err(Refusal::OtherSystem);
        }
        let slot = match &start.slot {
            None => None,
            Some(name) => Some(match data.slots.get_mut(name) {
                None => return Err(Refusal::NoSlot),
                Some(s) if s.active => return Err(Refusal::SlotActive),
                Some(s) if s.invalidated => return Err(Refusal::SlotInvalidated),
                Some(s) => s,
            }),
        };
        let history = &data.control.history;
        if !history.contains(start.end) {
            let timelines = history.segments().iter().any(|s| s.timeline == start.timeline);
            let switch = history.switch_point(start.timeline);
            // The numbers tell if this timeline was left before the standby's position, or is not known here.
            let by_number = !timelines || switch.is_some_and(|s| start.end.lsn > s);
            return Err(Refusal::Diverged { by_number, at: switch.unwrap_or(flush) });
        }
        if start.end.lsn > flush {
            return Err(Refusal::Ahead(flush));
        }
        // Streaming begins with the segment.
        let from = Lsn(start.end.lsn.0 / SEGMENT * SEGMENT);
        if from < data.oldest {
            return Err(Refusal::Removed(data.oldest));
        }
        if let Some(slot) = slot {
            slot.active = true;
            slot.restart.get_or_insert(from);
        }
        Self::send(conn, Wal::Started(data.control.history.clone(), self.setup.config.max_connections), ctx);
        self.senders.push(Sender {
            conn,
            name: start.application_name.clone(),
            slot: start.slot.clone(),
            state: SenderState::Catchup,
            sent: from,
            write: Lsn(0),
            flush: Lsn(0),
            apply: Lsn(0),
            last_reply: ctx.now,
            asked: false,
            doubtful: false,
            free: ctx.now,
            sending: None,
            started: from,
        });
        if self.senders.len() == 1 {
            self.arm_senders(ctx);
        }
        self.pump(self.senders.len() - 1, ctx);
        Ok(())
    }

    /// Sends what there is to send.
    pub(super) fn pump(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let limit = self.flushed(ctx);
        match self.senders.get_mut(i) {
            Some(s) if s.sending.is_none() && s.sent >= limit => s.state = SenderState::Streaming,
            Some(s) if s.sending.is_none() => self.send_up_to(limit, i, ctx),
            _ => {}
        }
    }
    fn send_up_to(&mut self, limit: Lsn, i: usize, ctx: &mut Cx<'_>) {
        let (window, rate) =
            (self.setup.config.socket_buffer.0, self.setup.config.replication_bandwidth.0.max(1));
        let piece =
            PIECE.max(u64::try_from(u128::from(rate) * u128::from(LONG.0) / 1_000_000_000).unwrap_or(PIECE));
        let piece = piece.min(window);
        while let Some(s) = self.senders.get_mut(i) {
            if s.sent >= limit {
                s.state = SenderState::Streaming;
                return;
            }
            if s.sent.since(s.write.max(s.started)) >= window {
                return;
            }
            let to = Lsn(limit.0.min(s.sent.0 + piece));
            let from = std::mem::replace(&mut s.sent, to);
            s.free = s.free.max(ctx.now) + span_of(to.since(from), rate);
            let wait = s.free.since(ctx.now);
            if wait > SLICE {
                s.sending = Some((from, to));
                return self.arm_pace(ctx);
            }
            self.deliver(i, from, to, ctx);
        }
    }
    fn arm_pace(&self, ctx: &mut Cx<'_>) {
        if let Some(at) = self.senders.iter().filter(|s| s.sending.is_some()).map(|s| s.free).min() {
            ctx.set_timer(T_PACE, at.since(ctx.now));
        }
    }
    /// The network has taken a piece.
    pub(super) fn paced(&mut self, ctx: &mut Cx<'_>) {
        for i in (0..self.senders.len()).rev() {
            let Some(s) = self.senders.get_mut(i) else { continue };
            if s.free > ctx.now {
                continue;
            }
            if let Some((from, to)) = s.sending.take() {
                self.deliver(i, from, to, ctx);
                self.pump(i, ctx);
            }
        }
        self.arm_pace(ctx);
    }
    fn deliver(&self, i: usize, from: Lsn, to: Lsn, ctx: &mut Cx<'_>) {
        let Some(s) = self.senders.get(i) else { return };
        let level = self.setup.config.synchronous_commit;
        let since = |c: &&Checkpoint| c.end > from;
        let recent = ctx.files.pg.checkpoints.iter().rev().take_while(since);
        let checkpoint = recent.into_iter().find(|c| c.end <= to).copied();
        let data = Data {
            from,
            to,
            end: self.flushed(ctx),
            time: self.wal.commit_time,
            write_feedback: level == SynchronousCommit::RemoteWrite,
            apply_feedback: level == SynchronousCommit::RemoteApply,
            checkpoint,
        };
        ctx.act(Action::TcpSend(s.conn, Msg::WalData(Arc::new(data))));
    }

    /// A standby tells its positions.
    pub(super) fn standby_is(&mut self, conn: ConnId, at: Positions, ctx: &mut Cx<'_>) {
        let Some(i) = self.senders.iter().position(|s| s.conn == conn) else { return };
        let s = &mut self.senders[i];
        s.write = at.write;
        s.flush = at.flush;
        s.apply = at.apply;
        s.last_reply = ctx.now;
        s.asked = false;
        s.doubtful = false;
        if let Some(slot) = s.slot.as_ref().and_then(|name| ctx.files.pg.slots.get_mut(name))
            && at.flush > Lsn(0)
        {
            slot.restart = Some(at.flush);
        }
        if at.ask {
            Self::send(conn, Wal::Keepalive(self.flushed(ctx), false), ctx);
        }
        self.pump(i, ctx);
        self.release(i, ctx);
        self.finish_sender(i, ctx);
        self.maybe_leave(ctx);
    }

    /// A walsender ends with these words.
    pub(super) fn dismiss(&mut self, i: usize, word: Wal, ctx: &mut Cx<'_>) {
        let s = self.senders.remove(i);
        let goes_on = word == Wal::Done(true);
        Self::send(s.conn, word, ctx);
        if !goes_on {
            ctx.act(Action::Close(s.conn));
        }
        Self::free_slot(s.slot.as_deref(), ctx);
    }
    fn free_slot(slot: Option<&str>, ctx: &mut Cx<'_>) {
        if let Some(slot) = slot.and_then(|name| ctx.files.pg.slots.get_mut(name)) {
            slot.active = false;
        }
    }
    /// At a stop: a walsender whose standby has flushed everything ends, another one asks for a reply.
    pub(super) fn finish_sender(&mut self, i: usize, ctx: &mut Cx<'_>) {
        if !matches!(self.stop, Some(Stop { step: Step::Senders, .. })) {
            return;
        }
        let end = self.flushed(ctx);
        let Some(s) = self.senders.get_mut(i) else { return };
        if s.sent >= end && s.flush >= s.sent && s.sending.is_none() {
            self.dismiss(i, Wal::Done(false), ctx);
        } else if !s.asked && s.sent >= end {
            s.asked = true;
            let conn = s.conn;
            Self::send(conn, Wal::Keepalive(end, true), ctx);
        }
    }
    fn gone(&mut self, i: usize, why: SenderGone, ctx: &mut Cx<'_>) {
        let s = self.senders.remove(i);
        Self::free_slot(s.slot.as_deref(), ctx);
        if why == SenderGone::Timeout {
            ctx.act(Action::Close(s.conn));
        }
        let silent = ctx.now.since(s.last_reply);
        Self::tell(ctx, Note::SenderGone { name: s.name, why, silent });
        self.tell_if_blocked(ctx);
        self.maybe_leave(ctx);
    }
    /// A standby's connection has ended.
    pub(super) fn standby_gone(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        if let Some(i) = self.senders.iter().position(|s| s.conn == conn) {
            self.gone(i, SenderGone::Closed, ctx);
        }
    }

    fn arm_senders(&self, ctx: &mut Cx<'_>) {
        let timeout = self.setup.config.wal_sender_timeout;
        if timeout.is_zero() {
            return;
        }
        let due = |s: &Sender| s.last_reply + if s.asked { timeout } else { Span(timeout.0 / 2) };
        if let Some(at) = self.senders.iter().map(due).min() {
            ctx.set_timer(T_SENDERS, at.since(ctx.now).max(Span::us(1)));
        }
    }
    /// Looks at how long standbys have been silent.
    pub(super) fn sender_timer(&mut self, ctx: &mut Cx<'_>) {
        let timeout = self.setup.config.wal_sender_timeout;
        let end = self.flushed(ctx);
        for i in (0..self.senders.len()).rev() {
            let s = &mut self.senders[i];
            if ctx.now >= s.last_reply + timeout {
                // A server that stood still first reads what has come meanwhile.
                if s.doubtful {
                    self.gone(i, SenderGone::Timeout, ctx);
                } else {
                    s.doubtful = true;
                }
            } else if !s.asked && ctx.now >= s.last_reply + Span(timeout.0 / 2) {
                s.asked = true;
                let conn = s.conn;
                Self::send(conn, Wal::Keepalive(end, true), ctx);
            }
        }
        self.arm_senders(ctx);
    }
}
