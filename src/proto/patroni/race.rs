//! With a leader and without: the race for the lock, and what its holder and the others do in a healthy cluster.
//!
//! Source: `ha.py` (`process_unhealthy_cluster`, `is_healthiest_node`, `_is_healthiest_node`, `process_healthy_cluster`,
//! `enforce_primary_role`, `update_cluster_history`).

use super::dcs::cluster::{Tags, TimelineHistory};
use super::dcs::{self, Key};
use super::demote::{self, Kind};
use super::fetch::{Ask, Said};
use super::flow::{CHECKPOINT, Flow, Frame, Op, Raised, Value};
use super::follow::RewindState;
use super::note::{Lost, Note};
use super::process::{Agent, Task, ns};
use super::rest::Body;
use super::server;
use super::state::Role;
use super::{follow, manual, member, sync};
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::proto::Cx;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Somebody else gets time to take the lock.
const STEP_BACK: Span = Span::secs(2);

/// With whom a node compares itself.
#[derive(Clone, Debug)]
pub(super) struct Rivals {
    pub(super) members: Vec<(Arc<str>, Ip)>,
    pub(super) check_lag: bool,
    /// The former leader.
    pub(super) leader: Option<Arc<str>>,
}

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    // `process_unhealthy_cluster`
    Unhealthy,
    Judged,
    SteppedBack,
    Acquired,
    Cleaned,
    AcquiredLoaded,
    // `is_healthiest_node`
    Healthiest,
    HealthiestManual,
    HealthiestRole,
    HealthiestPrimary,
    HealthiestAsked,
    // `_is_healthiest_node`
    Compare(Box<Rivals>),
    ComparePosition(Box<Rivals>),
    Compared(Box<Rivals>, u64),
    // `process_healthy_cluster`
    Healthy,
    HealthyPaused,
    Renewed,
    RenewFailed,
    ManualDone,
    CheckpointRole,
    Deleted,
    // `enforce_primary_role`
    Enforce(&'static str),
    EnforceUnguarded,
    EnforceRole(&'static str),
    EnforceSynced,
    EnforceHistory,
    EnforcePromote(&'static str),
    Return,
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, _: Raised) -> bool {
        false
    }
}
fn go(at: At) -> Frame {
    Frame::Race(at)
}

/// What a member said, as far as the race goes (`_MemberStatus`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pub(super) in_recovery: bool,
    pub(super) position: u64,
    pub(super) timeline: u32,
    pub(super) nofailover: bool,
    pub(super) priority: i64,
    pub(super) watchdog_failed: bool,
}
impl Peer {
    /// Nothing: it is not reachable, or did not say its position.
    pub(super) fn of(said: &Said) -> Option<Peer> {
        let (_, body) = said.answer.as_ref()?;
        let Body::Status(s) = &**body.as_ref()? else { return None };
        if !s.xlog {
            return None;
        }
        let in_recovery = s.location.is_none() && s.role != Role::Primary;
        Some(Peer {
            in_recovery,
            position: if in_recovery { s.received.max(s.replayed) } else { 0 },
            timeline: s.timeline,
            nofailover: s.nofailover,
            priority: s.failover_priority,
            watchdog_failed: s.watchdog_failed,
        })
    }
    /// `failover_limitation` is `None`.
    pub(super) fn may_lead(&self) -> bool {
        !self.nofailover && !self.watchdog_failed
    }
}

/// Whether a member may never lead.
pub(super) fn nofailover(tags: &Tags) -> bool {
    tags.nofailover || tags.failover_priority.is_some_and(|p| p <= 0)
}

impl Agent {
    pub(super) fn race(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::Unhealthy => Flow::Call(go(At::Healthiest), go(At::Judged)),
            At::Judged if value.yes() => Flow::Do(Op::Dcs(dcs::Op::Acquire), go(At::Acquired)),
            At::Judged => {
                let wanted = self.failover().is_some_and(|f| f.candidate.is_some());
                if wanted || (self.nofailover() && !self.is_paused()) {
                    self.trigger_check_diverged();
                    return Flow::Do(Op::Sleep(STEP_BACK), go(At::SteppedBack));
                }
                Flow::Go(go(At::SteppedBack))
            }
            At::SteppedBack => {
                let why = if self.nofailover() { "pat-why-nofailover" } else { "pat-why-not-healthiest" };
                Flow::Go(Frame::Follow(follow::At::Follow { why, refresh: true }))
            }
            At::Acquired => {
                let won = value.yes();
                self.set_is_leader(won, ctx);
                if !won {
                    self.note(Note::RaceLost { why: Lost::TooLate }, ctx);
                    let why = "pat-why-too-late";
                    return Flow::Go(Frame::Follow(follow::At::Follow { why, refresh: true }));
                }
                self.note(Note::Elected { why: "pat-elected-race" }, ctx);
                self.reset_retention(ctx);
                let Some(f) = self.failover().cloned() else { return Flow::Go(go(At::Cleaned)) };
                let (text, version) = if self.is_paused() && f.leader.is_some() && f.candidate.is_some() {
                    let text = dcs::cluster::Failover::text(None, f.candidate.as_deref(), f.scheduled_at);
                    (text, Some(f.version))
                } else {
                    (dcs::cluster::Failover::text(None, None, None), None)
                };
                Flow::Do(Op::Dcs(dcs::Op::Set(Key::Failover, text, version)), go(At::Cleaned))
            }
            At::Cleaned => Flow::Call(Frame::Member(member::At::Load), go(At::AcquiredLoaded)),
            At::AcquiredLoaded => Flow::Go(go(At::Enforce("pat-promote-acquired"))),

            // ---- §5.1 --------------------------------------------------------------------------------------------------
            At::Healthiest => {
                if self.released_leader_key.is_some_and(|t| Self::elapsed(t, ctx) < self.ttl()) {
                    return self.lose(Lost::BackOff, ctx);
                }
                if self.is_paused()
                    && !self.nofailover()
                    && self.failover().is_some_and(|f| f.scheduled_at.is_none())
                {
                    return Flow::Call(Frame::Manual(manual::At::NoLeader), go(At::HealthiestManual));
                }
                Flow::Go(go(At::HealthiestRole))
            }
            At::HealthiestManual => match value {
                Value::Bool(b) => Flow::bool(b),
                _ => Flow::Go(go(At::HealthiestRole)),
            },
            At::HealthiestRole if self.is_starting() => self.lose(Lost::Starting, ctx),
            At::HealthiestRole => Flow::Call(Frame::Member(member::At::IsPrimary), go(At::HealthiestPrimary)),
            At::HealthiestPrimary if value.yes() => {
                if self.is_paused() {
                    let own: Arc<str> = ctx.files.pg.system_id.to_string().into();
                    return Flow::bool(self.initialize_key().is_none_or(|i| i.is_empty() || i == own));
                }
                let mine = self.info.as_ref().map_or(0, |i| i.timeline);
                let clusters = self.cluster_timeline();
                if mine < clusters {
                    return self.lose(Lost::OldTimeline { mine, clusters }, ctx);
                }
                Flow::bool(true)
            }
            At::HealthiestPrimary => {
                if self.is_paused() {
                    return self.lose(Lost::Paused, ctx);
                }
                if self.nofailover() {
                    return self.lose(Lost::NoFailover, ctx);
                }
                if let Some(f) = self.failover() {
                    if f.leader.is_some() && self.sync_active() && !self.in_sync(true) {
                        return self.lose(Lost::NotSync, ctx);
                    }
                    return Flow::Call(Frame::Manual(manual::At::NoLeader), go(At::HealthiestAsked));
                }
                if !self.watchdog_healthy(ctx) {
                    return self.lose(Lost::Watchdog, ctx);
                }
                self.rivals(ctx)
            }
            At::HealthiestAsked => Flow::bool(value.yes()),

            // ---- §5.2 --------------------------------------------------------------------------------------------------
            At::Compare(rivals) => {
                Flow::Call(Frame::Member(member::At::Info), go(At::ComparePosition(rivals)))
            }
            At::ComparePosition(rivals) => {
                let Value::Info(info) = value else { return Flow::bool(false) };
                self.last_timeline = Some(info.timeline);
                let mine = member::position(&info);
                let optime = self.cluster.as_ref().map_or(0, |c| c.status.optime);
                let lag = optime.saturating_sub(mine);
                if rivals.check_lag && lag > self.dynamic.maximum_lag_on_failover {
                    return self.lose(Lost::Lag { lag, most: self.dynamic.maximum_lag_on_failover }, ctx);
                }
                let clusters = self.cluster_timeline();
                if self.dynamic.check_timeline && info.timeline < clusters {
                    return self.lose(Lost::OldTimeline { mine: info.timeline, clusters }, ctx);
                }
                let asked: Vec<(Arc<str>, Ip)> = rivals
                    .members
                    .iter()
                    .filter(|(n, _)| **n != *self.setup.name)
                    .filter(|(n, _)| !self.member_nofailover(n) || self.votes(n))
                    .cloned()
                    .collect();
                Flow::Do(Op::Fetch(Ask::Status, asked), go(At::Compared(rivals, mine)))
            }
            At::Compared(rivals, mine) => {
                let Value::Said(said) = value else { return Flow::bool(false) };
                match self.compare(&rivals, mine, &said) {
                    Ok(yes) => Flow::bool(yes),
                    Err(lost) => self.lose(lost, ctx),
                }
            }

            // ---- §6 ----------------------------------------------------------------------------------------------------
            At::Healthy if !self.has_lock() => {
                let why = "pat-why-no-lock";
                Flow::Go(Frame::Follow(follow::At::Follow { why, refresh: false }))
            }
            At::Healthy if self.is_paused() => {
                Flow::Call(Frame::Member(member::At::IsPrimary), go(At::HealthyPaused))
            }
            At::HealthyPaused if !value.yes() => {
                if self.failover().is_some_and(|f| f.candidate.as_deref() == Some(self.me())) {
                    // It waits until it is primary. The lock is renewed all the same by nobody; the operator is there.
                    return Flow::done();
                }
                Flow::Call(Frame::Member(member::At::DeleteLeader(None)), go(At::Deleted))
            }
            At::Deleted => Flow::done(),
            At::Healthy | At::HealthyPaused => {
                Flow::Call(Frame::Member(member::At::UpdateLock(true)), go(At::Renewed))
            }
            At::Renewed if value.yes() => {
                Flow::Call(Frame::Manual(manual::At::FromLeader), go(At::ManualDone))
            }
            At::Renewed => Flow::Call(Frame::Member(member::At::IsPrimary), go(At::RenewFailed)),
            At::RenewFailed => {
                if value.yes() && !self.is_paused() {
                    return Flow::Go(demote::to(Kind::ImmediateNolock, "pat-why-renewal"));
                }
                Flow::done()
            }
            At::ManualDone if value.yes() => Flow::done(),
            At::ManualDone => Flow::Call(Frame::Member(member::At::IsPrimary), go(At::CheckpointRole)),
            At::CheckpointRole => {
                if value.yes() {
                    self.ensure_checkpoint();
                }
                Flow::Go(go(At::Enforce("pat-promote-had")))
            }

            // ---- §6.2 --------------------------------------------------------------------------------------------------
            At::Enforce(why) => {
                if !self.is_paused() {
                    if !self.guard.running() && !self.activate_watchdog(ctx) {
                        return Flow::Call(Frame::Member(member::At::IsPrimary), go(At::EnforceUnguarded));
                    }
                    if self.response == Some(false) {
                        self.released_leader_key = Some(ctx.wall_clock);
                        self.response = None;
                        self.note(Note::PrePromoteFailed, ctx);
                        return Flow::Call(Frame::Member(member::At::Release(None)), go(At::Return));
                    }
                }
                Flow::Call(Frame::Member(member::At::IsPrimary), go(At::EnforceRole(why)))
            }
            At::EnforceUnguarded if value.yes() => Flow::Go(demote::to(Kind::Immediate, "pat-why-watchdog")),
            At::EnforceUnguarded => Flow::Call(Frame::Member(member::At::Release(None)), go(At::Return)),
            At::EnforceRole(_) if value.yes() => {
                self.role = Role::Primary;
                Flow::Call(Frame::Sync(sync::At::Process), go(At::EnforceSynced))
            }
            At::EnforceRole(_) if matches!(self.role, Role::Primary | Role::Promoted) => {
                Flow::Go(Frame::Sync(sync::At::Process))
            }
            At::EnforceRole(why) => {
                Flow::Call(Frame::Sync(sync::At::PrePromote), go(At::EnforcePromote(why)))
            }
            At::EnforceSynced => match self.history(ctx) {
                Some(text) => {
                    Flow::Do(Op::Dcs(dcs::Op::Set(Key::History, text, None)), go(At::EnforceHistory))
                }
                None => Flow::done(),
            },
            At::EnforceHistory | At::Return => Flow::done(),
            At::EnforcePromote(why) => {
                if !value.yes() {
                    return Flow::done();
                }
                self.failsafe.last_update = 0;
                self.last_timeline = None;
                self.response = None;
                self.response_cancelled = false;
                if self.background(Task::Promote, Frame::Server(server::At::Promote)) {
                    self.note(Note::Promoting { why }, ctx);
                }
                Flow::done()
            }
        }
    }

    fn lose(&self, why: Lost, ctx: &mut Cx<'_>) -> Flow {
        self.note(Note::RaceLost { why }, ctx);
        Flow::bool(false)
    }
    pub(super) fn nofailover(&self) -> bool {
        self.config.tags.priority() <= 0
    }
    fn member_nofailover(&self, name: &str) -> bool {
        let known = |c: &Arc<dcs::Cluster>| c.member(name).map(|m| nofailover(&m.data.tags));
        self.cluster
            .as_ref()
            .and_then(known)
            .or_else(|| self.old_cluster.as_ref().and_then(known))
            .unwrap_or(false)
    }
    /// `cluster.timeline`: one more than the last line of `/history`.
    pub(super) fn cluster_timeline(&self) -> u32 {
        let Some(h) = self.cluster.as_ref().and_then(|c| c.history.as_ref()) else { return 0 };
        h.lines.last().map_or(u32::from(&*h.value == "[]"), |l| l.timeline + 1)
    }
    /// `sync_mode_is_active`.
    pub(super) fn sync_active(&self) -> bool {
        self.dynamic.is_synchronous_mode() && self.cluster.as_ref().is_some_and(|c| !c.sync.is_empty())
    }
    fn quorum_active(&self) -> bool {
        self.dynamic.is_quorum_commit_mode() && self.sync_active()
    }
    /// Whether this member is in `/sync`.
    pub(super) fn in_sync(&self, check_leader: bool) -> bool {
        self.cluster.as_ref().is_some_and(|c| c.sync.matches(self.me(), check_leader))
    }
    /// Whether a node's word counts in quorum mode.
    fn votes(&self, name: &str) -> bool {
        self.quorum_active() && self.cluster.as_ref().is_some_and(|c| c.sync.matches(name, true))
    }

    /// Step 8 and 9 of §5.1: with whom to compare.
    fn rivals(&self, ctx: &mut Cx<'_>) -> Flow {
        let mut all: BTreeMap<Arc<str>, Ip> = BTreeMap::new();
        for m in self.old_cluster.iter().flat_map(|c| &c.members) {
            if let Some(ip) = m.data.api_ip() {
                all.insert(m.name.clone(), ip);
            }
        }
        if self.dynamic.failsafe_mode
            && let Some(failsafe) = self.dcs.failsafe()
        {
            if !failsafe.is_empty() && !failsafe.contains_key(&self.setup.name) {
                return self.lose(Lost::NotInFailsafe, ctx);
            }
            all.extend(failsafe.iter().filter_map(|(n, url)| Some((n.clone(), dcs::cluster::ip_of(url)?))));
        }
        for m in self.cluster.iter().flat_map(|c| &c.members) {
            if let Some(ip) = m.data.api_ip() {
                all.insert(m.name.clone(), ip);
            }
        }
        if self.sync_active() {
            if !self.dynamic.is_quorum_commit_mode() && !self.in_sync(true) {
                return self.lose(Lost::NotSync, ctx);
            }
            let cluster = self.cluster.clone();
            all.retain(|n, _| cluster.as_ref().is_some_and(|c| c.sync.matches(n, true)));
        }
        let leader = self.old_cluster.as_ref().and_then(|c| c.leader_name().map(Arc::from));
        let rivals = Rivals { members: all.into_iter().collect(), check_lag: true, leader };
        Flow::Go(go(At::Compare(Box::new(rivals))))
    }

    /// §5.2: what the answers mean.
    fn compare(&self, rivals: &Rivals, mine: u64, said: &[Said]) -> Result<bool, Lost> {
        let Some(cluster) = &self.cluster else { return Ok(false) };
        let quorum_mode = self.quorum_active();
        let former = if self.sync_active() { cluster.sync.leader.clone() } else { rivals.leader.clone() };
        let mut votes: i64 = if self.votes(self.me()) { 0 } else { -1 };
        let mut ahead = 0;
        for s in said {
            let Some(peer) = Peer::of(s).filter(Peer::may_lead) else { continue };
            if !peer.in_recovery {
                return Err(Lost::PrimaryAlive { name: s.name.clone() });
            }
            if mine < peer.position {
                ahead += 1;
                if !self.sync_active() || cluster.sync.leader.as_deref() != Some(&*s.name) {
                    return Err(Lost::Behind { name: s.name.clone(), theirs: peer.position, mine });
                }
            } else if peer.position > 0 {
                let votes_too = self.votes(&s.name);
                let low = mine == peer.position
                    && self.config.tags.priority() < peer.priority
                    && former.as_deref() != Some(&*s.name);
                if low && (!quorum_mode || votes_too) {
                    let (theirs, mine) = (peer.priority, self.config.tags.priority());
                    return Err(Lost::Priority { name: s.name.clone(), theirs, mine });
                }
                votes += i64::from(votes_too);
            }
        }
        let needed = i64::from(cluster.sync.quorum);
        let alone = ahead == 0 && cluster.sync.leader.as_deref() == Some(self.me());
        if quorum_mode && votes < needed && !alone {
            return Err(Lost::Quorum { votes: votes.max(0) as u32, needed: needed as u32 });
        }
        Ok(true)
    }

    /// `ensure_checkpoint_after_promote`: others may only be rewound when the new timeline is in the control file.
    fn ensure_checkpoint(&mut self) {
        if self.rewind.state == RewindState::Checkpoint || self.rewind.checkpointing {
            return;
        }
        if self.info.as_ref().is_some_and(|i| i.checkpoint_timeline == i.timeline) {
            self.rewind.state = RewindState::Checkpoint;
        } else if self.threads[CHECKPOINT].idle() {
            self.rewind.checkpointing = true;
            self.spawn(CHECKPOINT, Frame::Server(server::At::Checkpoint));
        }
    }

    /// `update_cluster_history`: the new text of `/history`, if it changes.
    fn history(&self, ctx: &Cx<'_>) -> Option<Arc<str>> {
        let timeline = self.info.as_ref()?.timeline;
        let cluster = self.cluster.as_ref()?;
        let lines = cluster.history.as_ref().map(|h| &h.lines[..]).unwrap_or_default();
        if timeline == 1 {
            return (!lines.is_empty()).then(|| "[]".into());
        }
        if lines.last().is_some_and(|l| l.timeline + 1 == timeline && l.leader.is_some()) {
            return None;
        }
        let segments = &ctx.files.pg.control.history.segments();
        let mut new: Vec<dcs::cluster::HistoryLine> = Vec::new();
        for pair in segments.windows(2) {
            let (old, next) = (&pair[0], &pair[1]);
            let end = member::bytes(next.start);
            let known = lines.iter().find(|l| l.timeline == old.timeline && l.end == end);
            let last = next.timeline == timeline;
            new.push(dcs::cluster::HistoryLine {
                timeline: old.timeline,
                end,
                reason: "no recovery target specified".into(),
                at: known.and_then(|l| l.at).or(last.then_some(ctx.wall_clock)),
                leader: known.and_then(|l| l.leader.clone()).or(last.then(|| self.setup.name.clone())),
            });
        }
        let keep = self.dynamic.max_timelines_history as usize;
        if keep > 0 && new.len() > keep {
            new.drain(..new.len() - keep);
        }
        (!new.is_empty()).then(|| TimelineHistory::text(&new))
    }
    /// Whether a time of the wall clock lies in the future by less than this.
    pub(super) fn due_in(at: i64, ctx: &Cx<'_>) -> i64 {
        let _ = ns;
        at - ctx.wall_clock
    }
}
