//! A member that is not the leader: following, coming back after a crash, the question whether its history has diverged.
//!
//! Source: `ha.py` (`follow`, `recover`, `_get_node_to_follow`, `_handle_rewind_or_reinitialize`), `postgresql/rewind.py`.

use super::dcs::{self, Cluster};
use super::demote::{self, Kind};
use super::flow::{Flow, Frame, Op, Raised, Value};
use super::note::Note;
use super::process::{Agent, Task};
use super::server::{self, FollowArgs, StartArgs};
use super::state::{Role, State};
use super::{manual, member};
use crate::net::addr::{Endpoint, Ip};
use crate::proto::postgres::data::{DataDir, DbState, Status};
use crate::proto::postgres::msg::{Answer, Statement};
use crate::proto::postgres::rewind::{Local, Was};
use crate::proto::{Cx, postgres};
use std::sync::Arc;

/// `REWIND_STATUS`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum RewindState {
    /// Nothing is known.
    #[default]
    Initial,
    /// This primary has run a checkpoint since its promotion.
    Checkpoint,
    /// It is to be found out.
    Check,
    /// It is needed.
    Need,
    /// It is not needed.
    NotNeed,
    /// It was done.
    Success,
    /// It failed.
    Failed,
}
/// The rewind machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Rewind {
    pub(super) state: RewindState,
    /// A `CHECKPOINT` is under way.
    pub(super) checkpointing: bool,
}
impl Rewind {
    fn executed(self) -> bool {
        self.state > RewindState::NotNeed
    }
}

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// `follow`; the reason for which a primary here would be demoted.
    Follow {
        why: &'static str,
        refresh: bool,
    },
    FollowView(&'static str),
    FollowRole(&'static str),
    FollowRewind,
    FollowAgain,
    FollowReloaded,
    /// `recover`
    Recover,
    RecoverRenewed,
    RecoverPossible,
    RecoverData(bool),
    RecoverView,
    RecoverRewind,
    /// `_handle_rewind_or_reinitialize`: `True` if something was begun.
    RewindOrReinit,
    RewindChecked(Box<dcs::cluster::Member>),
    /// `rewind_or_reinitialize_needed_and_possible`
    CheckDiverged(Box<dcs::cluster::Member>),
    CheckLocal(Box<dcs::cluster::Member>),
    CheckLeader(Box<dcs::cluster::Member>, Option<Arc<Status>>),
    CheckIdentity(Option<Arc<Status>>),
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            At::CheckLocal(_) | At::CheckLeader(..) => matches!(raised, Raised::Postgres(_)),
            _ => false,
        }
    }
}
fn go(at: At) -> Frame {
    Frame::Follow(at)
}

/// `_get_node_to_follow`: the name, and the address if its key tells one.
pub(super) fn node_in(agent: &Agent, cluster: &Cluster) -> Option<(Arc<str>, Option<Ip>)> {
    let tags = &agent.config.tags;
    if tags.nostream {
        return None;
    }
    let name: Arc<str> = match &tags.replicatefrom {
        Some(from) if **from != *agent.me() => cluster.member(from)?.name.clone(),
        _ => cluster.leader_name()?.into(),
    };
    if *name == *agent.me() {
        return None;
    }
    let ip = cluster.member(&name).and_then(|m| m.data.conn_ip()).or_else(|| agent.ip_of(&name));
    Some((name, ip))
}
pub(super) fn node_to_follow(agent: &Agent) -> Option<(Arc<str>, Option<Ip>)> {
    node_in(agent, agent.cluster.as_ref()?)
}

impl Agent {
    pub(super) fn follow(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::Follow { why, refresh: true } => {
                Flow::Call(Frame::Member(member::At::Load), go(At::FollowView(why)))
            }
            At::Follow { why, refresh: false } => Flow::Go(go(At::FollowView(why))),
            At::FollowView(why) => Flow::Call(Frame::Member(member::At::IsPrimary), go(At::FollowRole(why))),
            At::FollowRole(why) => {
                let is_primary = value.yes();
                if self.is_paused() {
                    let rewind = matches!(self.rewind.state, RewindState::Check | RewindState::Need);
                    if !rewind || self.is_unlocked() {
                        self.role = if is_primary { Role::Primary } else { Role::Replica };
                        if is_primary || node_to_follow(self).is_none() {
                            return Flow::done();
                        }
                    }
                } else if is_primary {
                    return Flow::Go(demote::to(Kind::ImmediateNolock, why));
                }
                Flow::Call(go(At::RewindOrReinit), go(At::FollowRewind))
            }
            At::FollowRewind if value.yes() => Flow::done(),
            At::FollowRewind => {
                let node = node_to_follow(self);
                let wanted = node.clone().and_then(|n| n.1).map(|ip| self.conninfo(ip));
                // A leader without an address: nothing changes.
                let unknown = node.is_some() && wanted.is_none();
                let conf = &ctx.files.pg.conf;
                if !unknown && (conf.primary_conninfo != wanted || !conf.standby_signal) {
                    let reload = conf.standby_signal;
                    if let Some((name, _)) = &node {
                        self.note(Note::Following { leader: name.clone() }, ctx);
                    }
                    self.trigger_check_diverged();
                    let args = FollowArgs { node: node.and_then(|n| n.1), timeout: None, reload };
                    let follow = Frame::Server(server::At::Follow(args));
                    if reload {
                        return Flow::Call(follow, go(At::FollowReloaded));
                    }
                    self.background(Task::ChangingConninfo, follow);
                    return Flow::done();
                }
                if let (Some(mine), Some(leaders)) = (self.last_timeline, self.leader_timeline)
                    && mine < leaders
                {
                    self.trigger_check_diverged();
                    return Flow::Call(go(At::RewindOrReinit), go(At::FollowAgain));
                }
                Flow::done()
            }
            At::FollowAgain | At::FollowReloaded => Flow::done(),

            // ---- §9 ----------------------------------------------------------------------------------------------------
            At::Recover if self.has_lock() => {
                Flow::Call(Frame::Member(member::At::UpdateLock(false)), go(At::RecoverRenewed))
            }
            At::Recover => Flow::Go(go(At::RecoverData(false))),
            At::RecoverRenewed => {
                let renewed = value.yes();
                if renewed && self.dynamic.primary_start_timeout.is_zero() {
                    return Flow::Call(
                        Frame::Manual(manual::At::FailoverPossible { lsn: None, exclude: false }),
                        go(At::RecoverPossible),
                    );
                }
                Flow::Go(go(At::RecoverData(renewed)))
            }
            At::RecoverPossible if value.yes() => {
                self.disable_watchdog(ctx);
                Flow::Go(demote::to(Kind::Immediate, "pat-why-crashed"))
            }
            At::RecoverPossible => Flow::Go(go(At::RecoverData(false))),
            At::RecoverData(renewed) => {
                let timeout = self.dynamic.primary_start_timeout;
                let state = ctx.files.pg.control.state;
                if renewed
                    && !timeout.is_zero()
                    && Self::was_primary(state)
                    && self.state == State::Crashed
                    && self.role == Role::Primary
                    && !ctx.files.pg.conf.standby_signal
                {
                    // It was a primary a moment ago, and still is: it is started as it is.
                    let args = StartArgs { role: None, timeout: Some(timeout), block_callbacks: false };
                    if self.background(Task::StartingPrimary, Frame::Server(server::At::Start(args))) {
                        self.recovering = true;
                        self.note(Note::StartingPrimary { timeout }, ctx);
                        return Flow::done();
                    }
                }
                self.disable_watchdog(ctx);
                let crashed =
                    matches!(state, DbState::InProduction | DbState::ShuttingDown | DbState::InCrashRecovery);
                if crashed && self.crash_recovery(ctx) {
                    return Flow::done();
                }
                Flow::Call(Frame::Member(member::At::Load), go(At::RecoverView))
            }
            At::RecoverView => {
                if self.has_lock() {
                    self.rewind.state = RewindState::Initial;
                    return self.start_as_replica(None, ctx);
                }
                if !self.rewind.executed() {
                    self.trigger_check_diverged();
                }
                Flow::Call(go(At::RewindOrReinit), go(At::RecoverRewind))
            }
            At::RecoverRewind if value.yes() => Flow::done(),
            At::RecoverRewind => {
                if self.dynamic.is_synchronous_mode() {
                    self.set_sync_names(&[], 0, ctx);
                }
                let node = node_to_follow(self).and_then(|n| n.1);
                self.start_as_replica(node, ctx)
            }

            // ---- §8, rejoin --------------------------------------------------------------------------------------------
            At::RewindOrReinit => {
                let leader = self.cluster.as_ref().and_then(|c| c.leader_member()).cloned();
                match leader {
                    Some(leader) => {
                        let leader = Box::new(leader);
                        Flow::Call(go(At::CheckDiverged(leader.clone())), go(At::RewindChecked(leader)))
                    }
                    None => Flow::bool(false),
                }
            }
            At::RewindChecked(leader) => {
                let Some(ip) = leader.data.conn_ip().filter(|_| value.yes()) else {
                    return Flow::bool(false);
                };
                if self.dynamic.use_pg_rewind {
                    if !self.running(ctx)
                        && ctx.files.pg.control.state == DbState::InArchiveRecovery
                        && self.crash_recovery(ctx)
                    {
                        return Flow::bool(true);
                    }
                    let rewind = server::At::Rewind(leader.name.clone(), ip);
                    self.background(Task::Rewind, Frame::Server(rewind));
                    return Flow::bool(true);
                }
                if self.config.remove_data_directory_on_diverged_timelines {
                    self.background(Task::Reinitialize, Frame::Server(server::At::Reinitialize(false)));
                    return Flow::bool(true);
                }
                Flow::bool(false)
            }
            At::CheckDiverged(leader) => {
                if *leader.name != *self.setup.name && self.rewind.state == RewindState::Check {
                    return Flow::Go(go(At::CheckLocal(leader)));
                }
                Flow::bool(self.rewind.state == RewindState::Need)
            }
            At::CheckLocal(leader) => match value {
                Value::Info(info) => Flow::Go(go(At::CheckLeader(leader, Some(info)))),
                Value::Error(_) if !self.is_starting() => Flow::bool(false),
                Value::Nothing if self.running(ctx) => {
                    Flow::Call(Frame::Member(member::At::Info), go(At::CheckLocal(leader)))
                }
                _ => Flow::Go(go(At::CheckLeader(leader, None))),
            },
            At::CheckLeader(leader, info) => match value {
                Value::Nothing => {
                    // Only a real primary tells where histories part.
                    let Some(ip) = leader.data.conn_ip().filter(|_| &*leader.data.role == "primary") else {
                        return Flow::bool(false);
                    };
                    let leader_sql = Endpoint::new(ip, postgres::PORT);
                    Flow::Do(Op::Once(leader_sql, Statement::IsInRecovery), go(At::CheckLeader(leader, info)))
                }
                Value::Answer(Answer::InRecovery(false)) => match leader.data.conn_ip() {
                    Some(ip) => Flow::Do(Op::Identify(ip), go(At::CheckIdentity(info))),
                    None => Flow::bool(false),
                },
                _ => Flow::bool(false),
            },
            At::CheckIdentity(info) => {
                let Value::Identity(Some(identity)) = value else { return Flow::bool(false) };
                let local = match &info {
                    Some(i) => Local { was: Was::Standby, timeline: i.timeline, lsn: i.replayed },
                    None => ctx.files.pg.local(),
                };
                let need = DataDir::needs_rewind(&local, &identity).needed();
                self.rewind.state = if need { RewindState::Need } else { RewindState::NotNeed };
                if need && !self.dynamic.use_pg_rewind {
                    self.note(Note::Diverged, ctx);
                }
                Flow::bool(need)
            }
        }
    }

    /// `_handle_crash_recovery`: single-user mode, once.
    fn crash_recovery(&mut self, ctx: &mut Cx<'_>) -> bool {
        if self.crash_recovery_started.is_some() || !(self.is_unlocked() || self.dynamic.use_pg_rewind) {
            return false;
        }
        self.crash_recovery_started = Some(ctx.wall_clock);
        self.note(Note::CrashRecovery, ctx);
        self.background(Task::CrashRecovery, Frame::Server(server::At::CrashRecovery))
    }
    fn start_as_replica(&mut self, node: Option<Ip>, ctx: &mut Cx<'_>) -> Flow {
        let args = FollowArgs { node, timeout: None, reload: false };
        if self.background(Task::RestartingAfterFailure, Frame::Server(server::At::Follow(args))) {
            self.recovering = true;
            self.note(Note::StartingReplica, ctx);
        }
        Flow::done()
    }
}
