//! Switchover and failover as an operator asks for them, and whether there is anybody to fail over to.
//!
//! Source: `ha.py` (`is_failover_possible`, `get_failover_candidates`, `process_manual_failover_from_leader`,
//! `manual_failover_process_no_leader`, `should_run_scheduled_action`).

use super::dcs::cluster::Failover;
use super::dcs::{self, Key};
use super::demote::{self, Kind};
use super::fetch::Ask;
use super::flow::{Flow, Frame, Op, Raised, Value};
use super::member;
use super::note::{Lost, Note};
use super::process::{Agent, Task, ns};
use super::race::{self, Peer, Rivals, nofailover};
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::proto::Cx;
use std::sync::Arc;

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// `is_failover_possible`: whether somebody healthy is not behind (or has this position); without the candidate of `/failover`.
    FailoverPossible {
        lsn: Option<u64>,
        exclude: bool,
    },
    PossibleSaid {
        lsn: Option<u64>,
        exclude: bool,
    },
    /// `process_manual_failover_from_leader`: `True` if it began.
    FromLeader,
    FromLeaderRole,
    Due,
    Judged,
    Cleaned,
    Stale,
    /// `manual_failover_process_no_leader`.
    NoLeader,
    NoLeaderPaused,
    NoLeaderRemoved,
    CandidateSaid,
    Others,
    FormerLeader,
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, _: Raised) -> bool {
        false
    }
}
fn go(at: At) -> Frame {
    Frame::Manual(at)
}

impl Agent {
    pub(super) fn manual(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::FailoverPossible { lsn, exclude } => {
                let candidates = self.candidates(exclude);
                Flow::Do(Op::Fetch(Ask::Status, candidates), go(At::PossibleSaid { lsn, exclude }))
            }
            At::PossibleSaid { lsn, exclude } => {
                let Value::Said(said) = value else { return Flow::bool(false) };
                let optime = self.cluster.as_ref().map_or(0, |c| c.status.optime);
                let clusters = self.cluster_timeline();
                let fit = |p: &Peer| match lsn {
                    _ if !p.may_lead() => false,
                    Some(lsn) if lsn > 0 && p.position < lsn => false,
                    None if optime.saturating_sub(p.position) > self.dynamic.maximum_lag_on_failover => false,
                    _ => !self.dynamic.check_timeline || p.timeline >= clusters,
                };
                let votes = said.iter().filter_map(Peer::of).filter(fit).count() as i64 - 1;
                let named = self.failover().is_some_and(|f| f.candidate.is_some()) && !exclude;
                if self.dynamic.is_quorum_commit_mode() && self.sync_active() && !named {
                    let quorum = self.cluster.as_ref().map_or(0, |c| i64::from(c.sync.quorum));
                    if votes < quorum {
                        return Flow::bool(false);
                    }
                }
                Flow::bool(votes >= 0)
            }

            At::FromLeader if self.failover().is_none() => Flow::done(),
            At::FromLeader if self.is_paused() => {
                Flow::Call(Frame::Member(member::At::IsPrimary), go(At::FromLeaderRole))
            }
            At::FromLeaderRole if !value.yes() => Flow::done(),
            At::FromLeader | At::FromLeaderRole => {
                let Some(at) = self.failover().and_then(|f| f.scheduled_at) else {
                    return Flow::Go(go(At::Due));
                };
                if self.is_paused() {
                    return Flow::done();
                }
                let delta = Self::due_in(at, ctx);
                let loop_wait = self.dynamic.timing.loop_wait;
                if delta > ns(loop_wait) {
                    return Flow::done();
                }
                if delta < -ns(loop_wait.ratio(3, 2)) {
                    self.note(Note::SwitchoverStale, ctx);
                    return Flow::Do(Op::Dcs(self.clear_failover()), go(At::Stale));
                }
                Flow::Do(Op::Sleep(Span(delta.max(0) as u64)), go(At::Due))
            }
            At::Stale => Flow::done(),
            At::Due => {
                let Some(f) = self.failover().cloned() else { return Flow::done() };
                let me = self.setup.name.clone();
                if f.leader.as_ref().is_some_and(|l| *l != me) {
                    self.note(Note::SwitchoverRefused { why: "pat-refused-leader" }, ctx);
                } else if f.candidate.as_ref() == Some(&me) {
                    self.note(Note::SwitchoverRefused { why: "pat-refused-self" }, ctx);
                } else if f.candidate.is_none() && self.is_paused() {
                    self.note(Note::SwitchoverRefused { why: "pat-refused-paused" }, ctx);
                } else {
                    return Flow::Call(
                        go(At::FailoverPossible { lsn: None, exclude: false }),
                        go(At::Judged),
                    );
                }
                Flow::Do(Op::Dcs(self.clear_failover()), go(At::Cleaned))
            }
            At::Judged if value.yes() => {
                let candidate = self.failover().and_then(|f| f.candidate.clone());
                let why = "pat-why-switchover";
                if self.background(Task::DemoteGraceful, demote::to(Kind::Graceful, why)) {
                    self.note(Note::Switchover { candidate }, ctx);
                }
                Flow::bool(true)
            }
            At::Judged => {
                self.note(Note::SwitchoverRefused { why: "pat-refused-nobody" }, ctx);
                Flow::Do(Op::Dcs(self.clear_failover()), go(At::Cleaned))
            }
            At::Cleaned => Flow::done(),

            At::NoLeader => {
                let Some(f) = self.failover().cloned() else { return Flow::done() };
                let Some(candidate) = f.candidate else {
                    return if self.is_paused() { Flow::bool(false) } else { Flow::Go(go(At::Others)) };
                };
                if *candidate == *self.setup.name {
                    return Flow::bool(true);
                }
                let member = self.cluster.as_ref().and_then(|c| c.member(&candidate));
                if self.is_paused() {
                    if member.is_none() {
                        return Flow::Call(Frame::Member(member::At::IsPrimary), go(At::NoLeaderPaused));
                    }
                    return Flow::bool(false);
                }
                let quorum = self.dynamic.is_quorum_commit_mode();
                if self.dynamic.is_synchronous_mode() && !quorum && !self.in_sync(true) {
                    return Flow::bool(false);
                }
                match member.and_then(|m| Some((m.name.clone(), m.data.api_ip()?))) {
                    Some(m) => Flow::Do(Op::Fetch(Ask::Status, vec![m]), go(At::CandidateSaid)),
                    None => Flow::Go(go(At::Others)),
                }
            }
            At::NoLeaderPaused if value.yes() => {
                Flow::Do(Op::Dcs(self.clear_failover()), go(At::NoLeaderRemoved))
            }
            At::NoLeaderPaused => Flow::bool(false),
            At::NoLeaderRemoved => Flow::done(),
            At::CandidateSaid => {
                let Value::Said(said) = value else { return Flow::bool(false) };
                if said.iter().filter_map(Peer::of).any(|p| p.may_lead()) {
                    let name = said[0].name.clone();
                    self.note(Note::RaceLost { why: Lost::Candidate { name } }, ctx);
                    return Flow::bool(false);
                }
                Flow::Go(go(At::Others))
            }
            At::Others => {
                let Some(f) = self.failover().cloned() else { return Flow::bool(false) };
                if f.leader.as_deref() == Some(self.me()) {
                    let exclude = f.candidate.is_some();
                    return Flow::Call(go(At::FailoverPossible { lsn: None, exclude }), go(At::FormerLeader));
                }
                let Some(cluster) = &self.cluster else { return Flow::bool(false) };
                let sync = self.sync_active();
                let members = cluster
                    .members
                    .iter()
                    .filter(|m| Some(&m.name) != f.leader.as_ref())
                    .filter(|m| !sync || cluster.sync.matches(&m.name, false))
                    .filter_map(|m| Some((m.name.clone(), m.data.api_ip()?)))
                    .collect();
                let rivals = Rivals { members, check_lag: false, leader: None };
                Flow::Go(Frame::Race(race::At::Compare(Box::new(rivals))))
            }
            // It takes the lock back only if nobody else is healthy.
            At::FormerLeader => Flow::bool(!value.yes()),
        }
    }

    /// The empty `/failover`, if it is still the one that was read.
    fn clear_failover(&self) -> dcs::Op {
        let version = self.cluster.as_ref().and_then(|c| c.failover.as_ref()).map(|f| f.version);
        dcs::Op::Set(Key::Failover, Failover::text(None, None, None), version)
    }
    /// `get_failover_candidates`.
    fn candidates(&self, exclude: bool) -> Vec<(Arc<str>, Ip)> {
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let f = self.failover();
        let wanted = f.and_then(|f| f.candidate.as_deref());
        let sync_only = self.sync_active() && f.is_none_or(|f| f.leader.is_some());
        let eligible = |m: &&dcs::cluster::Member| {
            let name = &*m.name;
            name != self.me()
                && (!exclude || wanted != Some(name))
                && (!sync_only || cluster.sync.matches(name, false))
                && !nofailover(&m.data.tags)
                && (exclude || wanted.is_none_or(|w| w == name))
        };
        let list = cluster.members.iter().filter(eligible);
        list.filter_map(|m| Some((m.name.clone(), m.data.api_ip()?))).collect()
    }
}
