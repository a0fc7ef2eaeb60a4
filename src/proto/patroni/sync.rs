//! Synchronous replication: which standbys commits wait for, and what `/sync` says of them.
//!
//! Source: `ha.py` (`process_sync_replication` and around), `postgresql/sync.py`. What must never be: a node that `/sync` lists and that
//! PostgreSQL does not wait for. So a node is added first to PostgreSQL and then to the DCS, and taken away the other way round.

use super::config::SynchronousMode;
use super::dcs::{self, SyncState};
use super::flow::{Flow, Frame, Op, Raised, Value};
use super::note::Note;
use super::process::{Agent, ns};
use super::quorum::{Nodes, Resolver, Step};
use super::{member, state};
use crate::engine::Span;
use crate::node::process::{Action, Signal};
use crate::proto::Cx;
use crate::proto::postgres::config::SynchronousCommit;
use crate::proto::postgres::data::{Status, SyncNames, SyncState as PgSync};
use std::sync::Arc;

/// How long PostgreSQL gets to take a new list into force before it is asked again.
const SETTLE: Span = Span::secs(2);
/// `while_not_sync_standby` looks so often.
const RELEASE_POLL: Span = Span::secs(2);

/// `SyncHandler`: since when the present list is in force.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct SyncHandler {
    names: SyncNames,
    /// The position at which it changed: who is to count as synchronous must have reached it.
    primary_flush_lsn: u64,
    /// Who has.
    ready: Nodes,
}

/// What replication looks like (`_SyncState`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Current {
    num: u32,
    sync: Nodes,
    confirmed: Nodes,
    active: Nodes,
}

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// `process_sync_replication`
    Process,
    ProcessRole,
    Disabled,
    // mode on
    Enabled(bool),
    MultiInfo,
    MultiState(Box<Multi>),
    MultiCommon(Box<Multi>),
    MultiSettled(Box<Multi>),
    MultiAgain(Box<Multi>),
    Written(Nodes),
    // quorum mode
    QuorumInfo(Box<Round>),
    QuorumStep(Box<Round>),
    QuorumWritten(Box<Round>, Nodes, u32),
    QuorumSlept(Box<Round>),
    /// `process_sync_replication_prepromote`
    PrePromote,
    PrePromoted,
    /// `while_not_sync_standby`
    WhileNotSyncStandby(Box<Frame>),
    Asked(Box<Frame>, i64),
    Looked(Box<Frame>, i64),
    Slept(Box<Frame>, i64),
    Restored,
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            At::Looked(..) => raised == Raised::Dcs,
            At::Restored => raised != Raised::Exit,
            _ => false,
        }
    }
}
fn go(at: At) -> Frame {
    Frame::Sync(at)
}

/// A pass of mode on.
#[derive(Clone, Debug)]
pub(super) struct Multi {
    sync: SyncState,
    voters: Nodes,
    current: Current,
    common: Nodes,
    picked: Nodes,
}
/// A pass of quorum mode.
#[derive(Clone, Debug)]
pub(super) struct Round {
    began: i64,
    sync: SyncState,
    steps: Vec<Step>,
    restart: bool,
}

impl Agent {
    pub(super) fn synchronous(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::Process => match self.dynamic.synchronous_mode {
                SynchronousMode::Off => {
                    let sync = self.sync_key();
                    if sync.is_empty() {
                        return Flow::done();
                    }
                    Flow::Do(Op::Dcs(dcs::Op::DeleteSync(sync.version)), go(At::Disabled))
                }
                SynchronousMode::On => self.enable(false),
                SynchronousMode::Quorum => {
                    Flow::Call(Frame::Member(member::At::IsPrimary), go(At::ProcessRole))
                }
            },
            At::Disabled => {
                if value.yes() {
                    self.set_sync_names(&[], 0, ctx);
                }
                Flow::done()
            }
            At::ProcessRole => {
                if !value.yes() {
                    return Flow::done();
                }
                // After a promotion standbys get `loop_wait` to come back.
                let began = self.promote_timestamp;
                if began == 0 {
                    self.promote_timestamp = ctx.wall_clock;
                }
                if began == 0 || Self::older(began, self.dynamic.timing.loop_wait, ctx) {
                    return self.enable(true);
                }
                Flow::done()
            }
            At::Enabled(quorum) => {
                if let Value::Sync(sync) = value {
                    let Some(sync) = sync else { return Flow::done() };
                    self.set_sync_key(sync);
                }
                if quorum {
                    let round = Round {
                        began: ctx.wall_clock,
                        sync: self.sync_key(),
                        steps: Vec::new(),
                        restart: false,
                    };
                    return Flow::Call(Frame::Member(member::At::Info), go(At::QuorumInfo(Box::new(round))));
                }
                Flow::Call(Frame::Member(member::At::Info), go(At::MultiInfo))
            }

            // ---- synchronous_mode: on ------------------------------------------------------------------------------------
            At::MultiInfo => {
                let Value::Info(info) = value else { return Flow::done() };
                let sync = self.sync_key();
                let current = self.current_state(&info);
                let voters: Nodes = sync.sync_standby.iter().cloned().collect();
                let m = Multi { sync, voters, picked: current.active.clone(), current, common: Nodes::new() };
                if m.sync.leader.as_deref() != Some(self.me()) {
                    let fresh = self.sync_state(&Nodes::new(), 0);
                    let op = dcs::Op::WriteSync(fresh, m.sync.version);
                    return Flow::Do(Op::Dcs(op), go(At::MultiState(Box::new(m))));
                }
                if m.picked == m.voters && m.voters != m.current.confirmed {
                    let fresh = self.sync_state(&m.current.confirmed, 0);
                    let op = dcs::Op::WriteSync(fresh, m.sync.version);
                    return Flow::Do(Op::Dcs(op), go(At::MultiState(Box::new(m))));
                }
                Flow::Go(go(At::MultiState(Box::new(m))))
            }
            At::MultiState(mut m) => {
                if let Value::Sync(sync) = value {
                    let Some(sync) = sync else { return Flow::done() };
                    m.voters = sync.sync_standby.iter().cloned().collect();
                    m.sync = sync;
                }
                if m.picked == m.voters
                    && m.voters == m.current.sync
                    && m.current.num as usize == m.picked.len()
                {
                    return Flow::done();
                }
                m.common = m.voters.intersection(&m.current.confirmed).cloned().collect();
                if m.common == m.voters {
                    return Flow::Go(go(At::MultiCommon(m)));
                }
                let state = self.sync_state(&m.common, 0);
                let op = dcs::Op::WriteSync(state, m.sync.version);
                Flow::Do(Op::Dcs(op), go(At::MultiCommon(m)))
            }
            At::MultiCommon(mut m) => {
                if let Value::Sync(sync) = value {
                    let Some(sync) = sync else { return Flow::done() };
                    m.sync = sync;
                }
                let picked: Vec<Arc<str>> = m.picked.iter().cloned().collect();
                let star = u32::from(picked.is_empty() && self.dynamic.synchronous_mode_strict);
                self.set_sync_names(&picked, star, ctx);
                if !picked.is_empty() && m.current.confirmed != m.picked {
                    return Flow::Do(Op::Sleep(SETTLE), go(At::MultiSettled(m)));
                }
                let confirmed = m.current.confirmed.clone();
                self.write_confirmed(&m, confirmed)
            }
            At::MultiSettled(m) => {
                self.info = None;
                Flow::Call(Frame::Member(member::At::Info), go(At::MultiAgain(m)))
            }
            At::MultiAgain(m) => {
                let Value::Info(info) = value else { return Flow::done() };
                let confirmed = self.current_state(&info).confirmed;
                self.write_confirmed(&m, confirmed)
            }
            At::Written(nodes) => {
                if let Value::Sync(Some(_)) = value {
                    let standbys = nodes.iter().cloned().collect::<Vec<_>>().join(", ").into();
                    self.note(Note::SyncStandbys { standbys, quorum: None }, ctx);
                }
                Flow::done()
            }

            // ---- synchronous_mode: quorum ----------------------------------------------------------------------------------
            At::QuorumInfo(mut round) => {
                let Value::Info(info) = value else { return Flow::done() };
                let current = self.current_state(&info);
                let leader = round.sync.leader.clone().unwrap_or_default_text();
                let steps = Resolver {
                    leader,
                    quorum: round.sync.quorum,
                    voters: round.sync.sync_standby.iter().cloned().collect(),
                    numsync: current.num,
                    sync: current.sync,
                    confirmed: current.confirmed.len() as u32,
                    active: current.active,
                    wanted: self.dynamic.synchronous_node_count,
                    leader_wanted: self.setup.name.clone(),
                }
                .steps();
                round.restart = matches!(steps.last(), Some(Step::Restart));
                round.steps = steps.into_iter().rev().collect();
                Flow::Go(go(At::QuorumStep(round)))
            }
            At::QuorumStep(mut round) => {
                let late = |extra: Span| {
                    Self::elapsed(round.began, ctx) + ns(extra) >= ns(self.dynamic.timing.loop_wait)
                };
                if late(Span::ZERO) {
                    return Flow::done();
                }
                match round.steps.pop() {
                    None if !round.restart || late(Span::secs(1)) => Flow::done(),
                    None => Flow::Do(Op::Sleep(Span::secs(1)), go(At::QuorumSlept(round))),
                    Some(Step::Restart) => Flow::Go(go(At::QuorumStep(round))),
                    Some(Step::Quorum(leader, quorum, voters)) => {
                        let state = SyncState {
                            version: None,
                            leader: Some(leader),
                            sync_standby: voters.iter().cloned().collect(),
                            quorum,
                        };
                        let op = dcs::Op::WriteSync(state, round.sync.version);
                        Flow::Do(Op::Dcs(op), go(At::QuorumWritten(round, voters, quorum)))
                    }
                    Some(Step::Sync(num, nodes)) => {
                        let num = num.max(self.dynamic.min_synchronous_nodes());
                        let nodes: Vec<Arc<str>> = nodes.into_iter().collect();
                        self.set_sync_names(&nodes, num, ctx);
                        Flow::Go(go(At::QuorumStep(round)))
                    }
                }
            }
            At::QuorumWritten(mut round, voters, quorum) => {
                let Value::Sync(Some(sync)) = value else { return Flow::done() };
                round.sync = sync;
                let standbys = voters.iter().cloned().collect::<Vec<_>>().join(", ").into();
                self.note(Note::SyncStandbys { standbys, quorum: Some(quorum) }, ctx);
                Flow::Go(go(At::QuorumStep(round)))
            }
            At::QuorumSlept(round) => {
                self.info = None;
                Flow::Call(Frame::Member(member::At::Info), go(At::QuorumInfo(round)))
            }

            // ---- before a promotion ----------------------------------------------------------------------------------------
            At::PrePromote => {
                let sync = self.sync_key();
                if !self.dynamic.is_synchronous_mode() {
                    if sync.is_empty() {
                        return Flow::bool(true);
                    }
                    return Flow::Do(Op::Dcs(dcs::Op::DeleteSync(sync.version)), go(At::PrePromoted));
                }
                if self.dynamic.is_quorum_commit_mode() {
                    let min = self.dynamic.min_synchronous_nodes();
                    let (mut nodes, mut num) = (Nodes::new(), min);
                    if !sync.is_empty() {
                        nodes = sync.sync_standby.iter().chain(&sync.leader).cloned().collect();
                        num = (nodes.len() as u32).saturating_sub(sync.quorum + 1);
                        if !nodes.remove(&self.setup.name) {
                            num += 1;
                        }
                    }
                    let nodes: Vec<Arc<str>> = nodes.into_iter().collect();
                    self.set_sync_names(&nodes, num, ctx);
                    return Flow::bool(true);
                }
                let op = dcs::Op::WriteSync(self.sync_state(&Nodes::new(), 0), sync.version);
                Flow::Do(Op::Dcs(op), go(At::PrePromoted))
            }
            At::PrePromoted => {
                let ok = match value {
                    Value::Sync(sync) => sync.is_some(),
                    value => value.yes() || !self.dynamic.is_synchronous_mode(),
                };
                if ok {
                    let min = self.dynamic.min_synchronous_nodes();
                    let num = if self.dynamic.is_synchronous_mode() { min } else { 0 };
                    self.set_sync_names(&[], num, ctx);
                }
                Flow::bool(ok)
            }

            // ---- a synchronous standby that wants to go asks first ------------------------------------------------------------
            At::WhileNotSyncStandby(what) => {
                if self.is_leader(ctx) || !self.dynamic.is_synchronous_mode() || self.config.tags.nosync {
                    return Flow::Go(*what);
                }
                self.disable_sync += 1;
                let began = ctx.wall_clock;
                Flow::Call(Frame::Member(member::At::Touch), go(At::Asked(what, began)))
            }
            At::Asked(what, began) => {
                if !value.yes() {
                    return Flow::Call(*what, go(At::Restored));
                }
                Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::Looked(what, began)))
            }
            At::Looked(what, began) => {
                let waits = match value {
                    Value::Cluster(c) => {
                        c.leader_name().is_some_and(|l| c.sync.leader.as_deref() == Some(l))
                            && c.sync.matches(self.me(), false)
                    }
                    _ => false,
                };
                if !waits || Self::older(began, self.dynamic.timing.loop_wait.times(2), ctx) {
                    return Flow::Call(*what, go(At::Restored));
                }
                Flow::Do(Op::Sleep(RELEASE_POLL), go(At::Slept(what, began)))
            }
            At::Slept(what, began) => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::Looked(what, began))),
            At::Restored => {
                self.disable_sync = self.disable_sync.saturating_sub(1);
                match value {
                    Value::Error(raised) => Flow::Raise(raised),
                    value => Flow::Return(value),
                }
            }
        }
    }

    fn sync_key(&self) -> SyncState {
        self.cluster.as_ref().map(|c| c.sync.clone()).unwrap_or_default()
    }
    fn set_sync_key(&mut self, sync: SyncState) {
        if let Some(cluster) = &self.cluster {
            let mut c = (**cluster).clone();
            c.sync = sync;
            self.cluster = Some(Arc::new(c));
        }
    }
    /// `/sync` with this member as the leader.
    fn sync_state(&self, standbys: &Nodes, quorum: u32) -> SyncState {
        SyncState {
            version: None,
            leader: Some(self.setup.name.clone()),
            sync_standby: standbys.iter().cloned().collect(),
            quorum,
        }
    }
    /// `_maybe_enable_synchronous_mode`.
    fn enable(&self, quorum: bool) -> Flow {
        let sync = self.sync_key();
        if !sync.is_empty() {
            return Flow::Go(go(At::Enabled(quorum)));
        }
        let op = dcs::Op::WriteSync(self.sync_state(&Nodes::new(), 0), sync.version);
        Flow::Do(Op::Dcs(op), go(At::Enabled(quorum)))
    }
    fn write_confirmed(&self, m: &Multi, confirmed: Nodes) -> Flow {
        if confirmed.is_empty() || confirmed == m.common {
            return Flow::done();
        }
        let op = dcs::Op::WriteSync(self.sync_state(&confirmed, 0), m.sync.version);
        Flow::Do(Op::Dcs(op), go(At::Written(confirmed)))
    }

    /// `set_synchronous_standby_names`: writes the list and reloads if it changed. No nodes and a number: `*`.
    pub(super) fn set_sync_names(&mut self, nodes: &[Arc<str>], num: u32, ctx: &mut Cx<'_>) {
        let names = if nodes.is_empty() {
            if num >= 1 { SyncNames::Star } else { SyncNames::Empty }
        } else if self.dynamic.is_quorum_commit_mode() {
            SyncNames::Any(num, nodes.into())
        } else {
            SyncNames::First(nodes.len() as u32, nodes.into())
        };
        if ctx.files.pg.conf.synchronous_standby_names != names {
            ctx.files.pg.conf.synchronous_standby_names = names;
            if self.running(ctx) && self.state == state::State::Running {
                ctx.act(Action::Signal(self.setup.postgres, Signal::Hup));
                self.info = None;
            }
        }
    }

    /// `current_state`: who streams, who is waited for, who has caught up with the list.
    fn current_state(&mut self, info: &Status) -> Current {
        let (num, listed) = match &info.names {
            SyncNames::First(n, names) | SyncNames::Any(n, names) => (*n, names.iter().cloned().collect()),
            SyncNames::Star | SyncNames::Empty => (0, Nodes::new()),
        };
        if self.sync.names != info.names {
            self.sync.names = info.names.clone();
            self.sync.ready.retain(|n| listed.contains(n));
            self.sync.primary_flush_lsn = member::position(info);
        }
        let Some(cluster) = self.cluster.clone() else { return Current::default() };
        let quorum = self.dynamic.is_quorum_commit_mode();
        // Members that run, may be synchronous and stream from here, the preferred first.
        let mut list: Vec<(i64, u8, u64, Arc<str>, bool, PgSync)> = Vec::new();
        for s in &info.standbys {
            let Some(m) = cluster.member(&s.application_name) else { continue };
            let tags = &m.data.tags;
            let priority = if tags.nosync { 0 } else { tags.sync_priority.unwrap_or(1) };
            let cascades = tags
                .replicatefrom
                .as_deref()
                .is_some_and(|from| info.standbys.iter().any(|u| *u.application_name == *from));
            if &*m.data.state != "running" || priority <= 0 || cascades {
                continue;
            }
            let lsn = match self.setup.synchronous_commit {
                SynchronousCommit::RemoteApply => s.replay,
                SynchronousCommit::RemoteWrite => s.write,
                _ => s.flush,
            };
            let lsn = member::bytes(lsn);
            if lsn == 0 {
                continue;
            }
            // The names of the states sort: async, potential, quorum, sync.
            let rank = match s.sync_state {
                PgSync::Async => 0,
                PgSync::Potential => 1,
                PgSync::Quorum => 2,
                PgSync::Sync => 3,
            };
            let nofailover = super::race::nofailover(tags);
            list.push((priority, rank, lsn, m.name.clone(), nofailover, s.sync_state));
        }
        list.sort_by_key(|l| std::cmp::Reverse((l.0, l.1, l.2)));
        let most =
            if list.len() > 1 { list.iter().map(|l| l.2).max().unwrap_or(0) } else { member::position(info) };
        for (_, _, lsn, name, _, state) in &list {
            if !listed.contains(name) {
                continue;
            }
            let caught_up = *lsn >= self.sync.primary_flush_lsn;
            let yes = if quorum {
                caught_up && *state == PgSync::Quorum
            } else {
                cluster.sync.matches(name, false) || (caught_up && *state == PgSync::Sync)
            };
            if yes {
                self.sync.ready.insert(name.clone());
            }
        }
        let mut current = Current { num, sync: listed, ..Current::default() };
        let count = self.dynamic.synchronous_node_count as usize;
        let max_lag = self.dynamic.maximum_lag_on_syncnode;
        list.sort_by_key(|l| l.4);
        for (_, _, lsn, name, nofailover, state) in list {
            if max_lag > 0 && most.saturating_sub(lsn) > max_lag as u64 {
                continue;
            }
            let ready = self.sync.ready.contains(&name);
            if quorum {
                if !nofailover || current.active.len() < count {
                    if ready {
                        current.confirmed.insert(name.clone());
                    }
                    current.active.insert(name);
                }
                continue;
            }
            if state == PgSync::Sync && ready {
                current.confirmed.insert(name.clone());
            }
            current.active.insert(name);
            if current.active.len() >= count {
                break;
            }
        }
        current
    }
}

/// A name or nothing.
trait OrEmpty {
    fn unwrap_or_default_text(self) -> Arc<str>;
}
impl OrEmpty for Option<Arc<str>> {
    fn unwrap_or_default_text(self) -> Arc<str> {
        self.unwrap_or_else(|| "".into())
    }
}
