//! Physical replication slots of the members: created everywhere, advanced where they are not used, kept for a while for members that are
//! away.
//!
//! Source: `dcs/__init__.py` (`_get_members_slots`, `_build_retain_slots`), `postgresql/slots.py`. **Not modelled:** permanent and logical
//! slots.

use super::dcs;
use super::flow::{Flow, Frame, Op, Raised, Value};
use super::process::{Agent, ns};
use crate::proto::Cx;
use crate::proto::postgres::data;
use crate::proto::postgres::msg::{Lsn, Statement};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// `sync_replication_slots`; whether this is a primary.
    Sync(bool),
    Next(Vec<Statement>),
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        matches!(self, At::Next(_)) && matches!(raised, Raised::Postgres(_))
    }
}

impl Agent {
    pub(super) fn slots(&mut self, at: At, _: Value, _: &mut Cx<'_>) -> Flow {
        let mut list = match at {
            At::Sync(is_primary) => self.slot_changes(is_primary),
            At::Next(list) => list,
        };
        match list.pop() {
            Some(statement) => {
                self.info = None;
                Flow::Do(Op::Query(statement), Frame::Slots(At::Next(list)))
            }
            None => Flow::done(),
        }
    }
    /// What is to be done, last first.
    fn slot_changes(&self, is_primary: bool) -> Vec<Statement> {
        let (Some(cluster), Some(info)) = (&self.cluster, &self.info) else { return Vec::new() };
        if cluster.config.is_none() {
            return Vec::new();
        }
        let mut list = Vec::new();
        let wanted = self.wanted_slots(cluster, is_primary);
        for (name, slot) in &info.slots {
            if !wanted.contains_key(name) && !slot.active {
                list.push(Statement::DropSlot(name.clone()));
            }
        }
        for (name, (lsn, active)) in wanted {
            match info.slots.iter().find(|s| s.0 == name) {
                None => list.push(Statement::CreateSlot(name)),
                Some((_, slot)) if !active && slot.restart.is_some_and(|at| lsn > at.0) => {
                    list.push(Statement::AdvanceSlot(Box::new((name, Lsn(lsn)))));
                }
                Some(_) => {}
            }
        }
        list
    }
    /// The slots that there should be here: the position to advance them to, and whether somebody streams through them.
    fn wanted_slots(&self, c: &dcs::Cluster, is_primary: bool) -> BTreeMap<Arc<str>, (u64, bool)> {
        let mut wanted = BTreeMap::new();
        if !self.dynamic.use_slots {
            return wanted;
        }
        let me = self.me();
        let keeps = !self.dynamic.member_slots_ttl.is_zero();
        for m in c.members.iter().filter(|m| &*m.name != me && !m.data.tags.nostream) {
            let from = m.data.tags.replicatefrom.as_deref();
            let active = if is_primary {
                from.is_none_or(|f| f == me || c.member(f).is_none())
            } else {
                from == Some(me) && c.leader_name() != Some(&*m.name)
            };
            let here = if keeps { !self.nofailover() || from == Some(me) } else { active };
            if here {
                let published = c.status.slots.get(&m.name).copied().unwrap_or(0);
                let told = if from.is_some() { m.data.xlog_location.unwrap_or(0) } else { 0 };
                wanted.insert(m.name.clone(), (published.max(told), active));
            }
        }
        if !self.nofailover() {
            for name in c.status.retain_slots.iter().filter(|n| &***n != me) {
                wanted.entry(name.clone()).or_insert((0, true));
            }
        }
        wanted
    }

    /// `slots` and `retain_slots` of `/status`.
    pub(super) fn published_slots(&mut self, info: &data::Status, own: u64, ctx: &Cx<'_>) -> dcs::Status {
        let mut status = dcs::Status { optime: own, ..dcs::Status::default() };
        if self.dynamic.member_slots_ttl.is_zero() || !self.dynamic.use_slots {
            return status;
        }
        for (name, slot) in &info.slots {
            if let Some(at) = slot.restart {
                status.slots.insert(name.clone(), at.0);
            }
        }
        status.slots.insert(self.setup.name.clone(), own);
        if let Some(cluster) = &self.cluster {
            for name in status.slots.keys() {
                let known = cluster.member(name).is_some_and(|m| !m.data.tags.nostream);
                if known || **name == *self.setup.name {
                    self.retain_slots.insert(name.clone(), ctx.wall_clock);
                }
            }
        }
        let ttl = ns(self.dynamic.member_slots_ttl);
        self.retain_slots.retain(|_, seen| *seen + ttl > ctx.wall_clock);
        status.retain_slots = self.retain_slots.keys().cloned().collect();
        status
    }
    /// After an election the time of absent members begins anew.
    pub(super) fn reset_retention(&mut self, ctx: &Cx<'_>) {
        let names = self.cluster.as_ref().map(|c| c.status.retain_slots.clone()).unwrap_or_default();
        self.retain_slots = names.into_iter().map(|n| (n, ctx.wall_clock)).collect();
    }
}
