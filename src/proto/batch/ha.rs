//! Two controllers: the second one stands by, and takes over when the first has been silent.
//!
//! The one in charge writes a sign of life to `StateSaveLocation` every `SlurmctldTimeout`/4, at least every 30 s. The backup asks it every
//! `SlurmctldTimeout`/3, and then looks whether the last answer or sign of life is older than `SlurmctldTimeout`: so that it takes over
//! between 3/4 and 4/3 of it after the end of the first. A controller that comes back asks for the control.

use super::controller::{BACKFILL, BEAT, Controller, LIMIT, PERIODIC, PING, PROBE, Role, Tag};
use super::msg::{Answer, Ask};
use super::note::Note;
use super::rpc::answer;
use super::state::{NodeRecord, Saved};
use crate::engine::{SEC, Span};
use crate::node::process::ConnId;
use crate::proto::Cx;
use std::sync::Arc;

impl Controller {
    /// Whether there are two.
    fn pair(&self) -> bool {
        self.cluster.controllers.len() > 1
    }
    fn others(&self) -> Arc<[crate::net::addr::Endpoint]> {
        let all = &self.cluster.controllers;
        all.iter().enumerate().filter(|(i, _)| *i != self.me).map(|(_, e)| *e).collect()
    }
    fn probe_interval(&self) -> Span {
        Span::secs((self.config.slurmctld_timeout.0 / SEC / 3).max(1))
    }
    pub(super) fn begin(&mut self, ctx: &mut Cx<'_>) {
        Self::listen(ctx);
        if self.me > 0 {
            self.stand_by(false, ctx);
        } else if self.pair() {
            self.role = Role::Taking;
            self.calls.ask(self.others(), Ask::GiveBack, self.patience(), Tag::GiveBack, ctx);
        } else if self.cluster.nfs.is_some() {
            self.load(ctx);
        } else {
            let saved = self.disk.get().clone();
            self.active(saved, None, ctx);
        }
    }
    fn load(&mut self, ctx: &mut Cx<'_>) {
        self.role = Role::Taking;
        if let Some(nfs) = self.cluster.nfs.clone() {
            self.calls.ask(nfs, Ask::Load, self.patience(), Tag::Load, ctx);
        }
    }
    fn stand_by(&mut self, asked: bool, ctx: &mut Cx<'_>) {
        self.role = Role::Standby;
        self.sign = ctx.now;
        Self::tell(Note::Standby { asked }, ctx);
        ctx.set_timer(PROBE, self.probe_interval());
    }
    /// The backup asks, and looks at the sign of life.
    pub(super) fn probe(&mut self, ctx: &mut Cx<'_>) {
        if self.role != Role::Standby {
            return;
        }
        ctx.set_timer(PROBE, self.probe_interval());
        self.calls.ask(self.others(), Ask::Probe, self.patience(), Tag::Probe, ctx);
        match self.cluster.nfs.clone() {
            Some(nfs) => self.calls.ask(nfs, Ask::ReadHeartbeat, self.patience(), Tag::ReadBeat, ctx),
            None => self.look(ctx),
        }
    }
    /// Is the last sign too old?
    fn look(&mut self, ctx: &mut Cx<'_>) {
        if ctx.now.since(self.sign) >= self.config.slurmctld_timeout {
            self.load(ctx);
        }
    }
    pub(super) fn standby_answered(&mut self, tag: Tag, answer: Option<Answer>, ctx: &mut Cx<'_>) {
        match (self.role, tag, answer) {
            (Role::Standby, Tag::Probe, Some(_)) => self.sign = self.sign.max(ctx.now),
            (Role::Standby, Tag::ReadBeat, Some(Answer::Heartbeat(at))) => {
                self.sign = self.sign.max(at.unwrap_or(self.sign));
                self.look(ctx);
            }
            (Role::Taking, Tag::GiveBack, _) if self.cluster.nfs.is_some() => self.load(ctx),
            (Role::Taking, Tag::GiveBack, _) => {
                let saved = self.disk.get().clone();
                self.active(saved, None, ctx);
            }
            (Role::Taking, Tag::Load, Some(Answer::Saved(saved))) => {
                let silent = (self.me > 0).then(|| ctx.now.since(self.sign));
                self.active(saved, silent, ctx);
            }
            (Role::Taking, Tag::Save, _) if self.claimant.is_some() => self.given_back(ctx),
            // Without the state nobody can be in charge: it is tried again.
            (Role::Taking, Tag::Load, _) => self.load(ctx),
            _ => {}
        }
    }
    /// In charge from now on.
    fn active(&mut self, saved: Option<Arc<Saved>>, silent: Option<Span>, ctx: &mut Cx<'_>) {
        self.role = Role::Active;
        let fresh = saved.is_none() && silent.is_none();
        if let Some(saved) = saved {
            self.jobs.clone_from(&saved.jobs);
            self.nodes.clone_from(&saved.nodes);
            self.next = saved.next;
        }
        self.nodes.resize_with(self.cluster.nodes.len(), NodeRecord::new);
        for n in &mut self.nodes {
            n.known = false;
            n.responding = false;
            n.answered = Self::second(ctx.now);
        }
        for j in &mut self.jobs {
            // Whether a script arrived is not known: its node will tell.
            j.launching = false;
        }
        self.last_pass = Some(ctx.now);
        self.wanted = false;
        if silent.is_some() {
            self.not_before = ctx.now + self.config.takeover_schedule_delay;
        }
        if !fresh || self.pair() {
            let live = self.jobs.iter().filter(|j| j.on_nodes()).count() as u32;
            Self::tell(Note::Active { backup: self.me > 0, jobs: live, silent }, ctx);
        }
        self.began = ctx.now;
        self.armed = [false; 10];
        self.tick(ctx);
        if !self.config.slurmd_timeout.is_zero() {
            ctx.set_timer(PING, Span::secs((self.config.slurmd_timeout.0 / SEC / 3).max(1)));
        }
        self.last_round = Some(Self::second(ctx.now));
        self.round = super::controller::Round::default();
        self.round(None, ctx);
        if self.pair() {
            self.heartbeat(ctx);
        }
        self.schedule(ctx);
    }
    pub(super) fn heartbeat(&mut self, ctx: &mut Cx<'_>) {
        let every = Span(self.config.slurmctld_timeout.0 / 4).min(Span::secs(30));
        ctx.set_timer(BEAT, every);
        if let Some(nfs) = self.cluster.nfs.clone() {
            self.calls.ask(nfs, Ask::Heartbeat(ctx.now), every, Tag::Beat, ctx);
        }
    }
    /// The first controller is back and wants the control.
    pub(super) fn give_back(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        if self.role != Role::Active {
            self.sign = ctx.now;
            if self.role == Role::Taking {
                self.role = Role::Standby;
            }
            return answer(conn, Answer::Done, ctx);
        }
        for t in [LIMIT, PERIODIC, BACKFILL, PING, BEAT] {
            ctx.cancel_timer(t);
        }
        self.role = Role::Taking;
        self.claimant = Some(conn);
        match self.cluster.nfs.clone() {
            Some(nfs) => self.calls.ask(nfs, Ask::Save(self.state()), self.patience(), Tag::Save, ctx),
            None => self.given_back(ctx),
        }
    }
    pub(super) fn given_back(&mut self, ctx: &mut Cx<'_>) {
        if let Some(conn) = self.claimant.take() {
            answer(conn, Answer::Done, ctx);
        }
        self.stand_by(true, ctx);
    }
}
