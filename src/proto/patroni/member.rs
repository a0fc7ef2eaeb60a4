//! What the HA loop does again and again: reading the view, asking PostgreSQL, renewing the lock, telling of itself.

use super::config::Tags;
use super::dcs::cluster::Tags as Keys;
use super::dcs::{self, Cluster, MemberData};
use super::flow::{Flow, Frame, HA, Op, Raised, Value};
use super::note::Note;
use super::process::{Agent, Task, ns};
use super::state::{Role, State};
use crate::engine::{MS, Span};
use crate::net::addr::Ip;
use crate::proto::Cx;
use crate::proto::postgres::data::Status;
use crate::proto::postgres::msg::{Answer, Lsn, Statement};
use std::sync::Arc;

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// `load_cluster_from_dcs`.
    Load,
    Loaded,
    /// What PostgreSQL says of itself; asked once a cycle.
    Info,
    InfoAsked(bool),
    InfoAgain,
    /// `is_primary`.
    IsPrimary,
    IsPrimaryKnown,
    /// `touch_member`.
    Touch,
    TouchInfo,
    Touched,
    /// `update_lock`; whether with the position.
    UpdateLock(bool),
    UpdateLockInfo,
    UpdateLockDone,
    /// `release_leader_key_voluntarily`; the position to leave behind.
    Release(Option<u64>),
    Released,
    ReleasedTouched,
    /// `_delete_leader`.
    DeleteLeader(Option<u64>),
    Deleted,
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            At::InfoAsked(_) | At::IsPrimaryKnown | At::TouchInfo | At::UpdateLockInfo => {
                matches!(raised, Raised::Postgres(_))
            }
            _ => false,
        }
    }
}
fn go(at: At) -> Frame {
    Frame::Member(at)
}

/// A position as a number of bytes.
pub(super) fn bytes(lsn: Lsn) -> u64 {
    lsn.0
}
/// `last_operation`: a primary's flushed position; a standby's received (or written) or replayed one, whichever is further.
pub(super) fn position(info: &Status) -> u64 {
    if info.in_recovery { bytes(info.received).max(bytes(info.replayed)) } else { bytes(info.flush) }
}

impl Agent {
    pub(super) fn member(&mut self, t: usize, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::Load => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::Loaded)),
            At::Loaded => {
                if let Value::Cluster(cluster) = value {
                    self.view(cluster, ctx);
                }
                Flow::done()
            }
            At::Info => {
                if t == HA {
                    if let Some(info) = &self.info {
                        return Flow::Return(Value::Info(info.clone()));
                    }
                    if self.info_failed {
                        return Flow::Raise(Raised::Postgres(super::sql::Failed::NoSession));
                    }
                }
                Flow::Do(Op::Query(Statement::Status), go(At::InfoAsked(false)))
            }
            At::InfoAgain => Flow::Do(Op::Query(Statement::Status), go(At::InfoAsked(true))),
            At::InfoAsked(again) => match value {
                Value::Answer(Answer::Status(info)) => {
                    if t == HA {
                        self.info = Some(info.clone());
                    }
                    Flow::Return(Value::Info(info))
                }
                // The query is tried twice.
                Value::Error(_) if !again && self.running(ctx) => {
                    let sleep = Span(100 * MS + ctx.below(81) * 10 * MS);
                    Flow::Do(Op::Sleep(sleep), go(At::InfoAgain))
                }
                Value::Error(raised) => {
                    if t == HA {
                        self.info_failed = true;
                    }
                    Flow::Raise(raised)
                }
                _ => Flow::Raise(Raised::Postgres(super::sql::Failed::NoSession)),
            },
            At::IsPrimary => Flow::Call(go(At::Info), go(At::IsPrimaryKnown)),
            At::IsPrimaryKnown => Flow::bool(match value {
                Value::Info(info) => !info.in_recovery,
                // It cannot say: what was known last counts.
                _ => self.running(ctx) && self.role == Role::Primary,
            }),
            At::Touch => {
                let asks = self.task.is_none() || self.task == Some(Task::Promote);
                let up = matches!(self.state, State::Running | State::Restarting | State::Starting);
                if asks && up {
                    Flow::Call(go(At::Info), go(At::TouchInfo))
                } else {
                    Flow::Go(go(At::TouchInfo))
                }
            }
            At::TouchInfo => {
                let info = if let Value::Info(info) = &value { Some(&**info) } else { None };
                let data = self.member_data(info);
                Flow::Do(Op::Dcs(dcs::Op::TouchMember(Arc::new(data))), go(At::Touched))
            }
            At::Touched => Flow::Return(value),
            At::UpdateLock(false) => self.renew(None),
            At::UpdateLock(true) => Flow::Call(go(At::Info), go(At::UpdateLockInfo)),
            At::UpdateLockInfo => {
                let status = match &value {
                    Value::Info(info) => Some(self.published_slots(info, position(info), ctx)),
                    _ => None,
                };
                if let Some(status) = &status {
                    self.last_wal_lsn = Some(status.optime);
                }
                self.renew(status)
            }
            At::UpdateLockDone => {
                let yes = value.yes();
                if !yes && self.is_leader(ctx) {
                    self.note(Note::LeaderLost { why: "pat-lost-renewal" }, ctx);
                }
                self.set_is_leader(yes, ctx);
                if yes {
                    self.keepalive(ctx);
                }
                Flow::bool(yes)
            }
            At::Release(lsn) => Flow::Call(go(At::DeleteLeader(lsn)), go(At::Released)),
            At::Released => {
                self.note(Note::KeyReleased, ctx);
                Flow::Call(go(At::Touch), go(At::ReleasedTouched))
            }
            At::ReleasedTouched => Flow::done(),
            At::DeleteLeader(lsn) => {
                self.set_is_leader(false, ctx);
                let leader = self.cluster.as_ref().and_then(|c| c.leader.clone());
                Flow::Do(Op::Dcs(dcs::Op::DeleteLeader { leader, optime: lsn }), go(At::Deleted))
            }
            At::Deleted => {
                self.dcs.reset_cluster();
                Flow::Return(value)
            }
        }
    }

    fn renew(&self, status: Option<dcs::Status>) -> Flow {
        let failsafe = self.dynamic.failsafe_mode.then(|| self.failsafe_config());
        let Some(leader) = self.cluster.as_ref().and_then(|c| c.leader.clone()) else {
            return Flow::Go(go(At::UpdateLockDone));
        };
        Flow::Do(Op::Dcs(dcs::Op::UpdateLeader { leader, status, failsafe }), go(At::UpdateLockDone))
    }
    /// `/failsafe`: all members and this one.
    fn failsafe_config(&self) -> dcs::Failsafe {
        let mut all = dcs::Failsafe::new();
        for m in self.cluster.iter().flat_map(|c| &c.members) {
            if !m.data.api_url.is_empty() {
                all.insert(m.name.clone(), m.data.api_url.clone());
            }
        }
        all.entry(self.setup.name.clone()).or_insert_with(|| self.api_url.clone());
        all
    }

    /// A view has been read.
    pub(super) fn view(&mut self, cluster: Arc<Cluster>, ctx: &mut Cx<'_>) {
        let unlocked = cluster.is_unlocked();
        if !unlocked || self.old_cluster.is_none() {
            self.old_cluster = Some(cluster.clone());
        }
        let was = self.cluster.as_ref().and_then(|c| c.leader_name().map(Arc::<str>::from));
        self.cluster = Some(cluster.clone());
        if unlocked
            && self.dynamic.failsafe_mode
            && self.failsafe_active(ctx.wall_clock)
            && let Some(name) = &self.failsafe.name
        {
            // The real leader, which has lost the DCS, has said that it goes on.
            let mut enriched = (*cluster).clone();
            enriched.leader = Some(dcs::Leader { version: 0, session: None, name: name.clone() });
            self.cluster = Some(Arc::new(enriched));
        }
        if !self.has_lock() {
            if self.is_leader(ctx) {
                self.note(Note::LeaderLost { why: "pat-lost-view" }, ctx);
            }
            self.set_is_leader(false, ctx);
        }
        let now = self.cluster.as_ref().and_then(|c| c.leader_name().map(Arc::<str>::from));
        if let (Some(was), None) = (&was, &now)
            && **was != *self.setup.name
        {
            self.note(Note::KeyGone { leader: was.clone() }, ctx);
        }
        if let Some(now) = &now
            && self.told.leader.as_ref() != Some(now)
        {
            self.told.leader = Some(now.clone());
        }
        self.leader_timeline =
            self.cluster.as_ref().and_then(|c| c.leader_member()).and_then(|m| m.data.timeline);
    }

    /// The address of a member's PostgreSQL, as its key tells it.
    pub(super) fn ip_of(&self, name: &str) -> Option<Ip> {
        let from_key = self.cluster.as_ref().and_then(|c| c.member(name)).and_then(|m| m.data.conn_ip());
        from_key.or_else(|| if self.failsafe.name.as_deref() == Some(name) { self.failsafe.ip } else { None })
    }

    /// What this member tells of itself.
    fn member_data(&mut self, info: Option<&Status>) -> MemberData {
        let word = |s: &str| Arc::<str>::from(s);
        let mut data = MemberData {
            conn_url: self.conn_url.clone(),
            api_url: self.api_url.clone(),
            state: word(self.state.word()),
            role: word(self.role.word()),
            tags: self.effective_tags(),
            pause: self.is_paused(),
            ..MemberData::default()
        };
        if let Some(info) = info {
            let position = position(info);
            self.last_wal_lsn = Some(position);
            data.xlog_location = Some(position);
            if info.in_recovery {
                data.receive_lsn = Some(bytes(info.received)).filter(|n| *n > 0);
                data.replay_lsn = Some(bytes(info.replayed)).filter(|n| *n > 0);
                if info.streaming {
                    data.replication_state = Some("streaming".into());
                }
                self.last_timeline = Some(info.timeline);
            }
            data.timeline = Some(info.timeline);
        }
        data
    }
    fn effective_tags(&self) -> Keys {
        let t: &Tags = &self.config.tags;
        let mut tags = Keys {
            nofailover: t.nofailover,
            failover_priority: t.failover_priority,
            nosync: t.nosync,
            sync_priority: t.sync_priority,
            noloadbalance: t.noloadbalance,
            clonefrom: t.clonefrom,
            nostream: t.nostream,
            replicatefrom: t.replicatefrom.as_deref().map(Arc::from),
        };
        if self.disable_sync > 0 {
            tags.nosync = true;
            tags.sync_priority = Some(0);
        }
        tags
    }
    /// So long ago, by the wall clock.
    pub(super) fn elapsed(since: i64, ctx: &Cx<'_>) -> i64 {
        ctx.wall_clock - since
    }
    /// Whether a time of the wall clock is longer ago than a span.
    pub(super) fn older(since: i64, span: Span, ctx: &Cx<'_>) -> bool {
        Self::elapsed(since, ctx) > ns(span)
    }
}
