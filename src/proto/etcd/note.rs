//! What etcd tells.

use super::msg::{Op, Text, Txn};
use crate::engine::{Span, Time};
use crate::net::addr::Ip;
use crate::say;
use std::sync::Arc;

/// From when a lease's time counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// It was granted then.
    Grant(Time),
    /// It was kept alive last then.
    Renewal(Time),
    /// The leader was elected then, and does not know how much was left: the whole time, and this much more.
    Election(Time, Span),
}
impl Basis {
    /// The instant.
    pub fn at(self) -> Time {
        match self {
            Basis::Grant(at) | Basis::Renewal(at) | Basis::Election(at, _) => at,
        }
    }
    /// What comes on top of the lease's time.
    pub fn more(self) -> Span {
        if let Basis::Election(_, more) = self { more } else { Span::ZERO }
    }
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// It leads.
    Elected {
        /// Its term.
        term: u32,
        /// So many leases begin anew.
        leases: usize,
    },
    /// It leads no longer.
    SteppedDown {
        /// The term.
        term: u32,
        /// Another leads, or a quorum does not answer.
        has_quorum: bool,
    },
    /// It has not heard its leader for an election timeout, and stands for election.
    LeaderSilent {
        /// The leader.
        leader: Ip,
        /// When it was heard.
        heard: Time,
        /// Now.
        now: Time,
    },
    /// A quorum answers it again, or not any more.
    Quorum {
        /// Which.
        has: bool,
        /// Of so many members.
        members: usize,
        /// Whom it follows.
        leader: Option<Ip>,
    },
    /// The time of a lease was over: its keys are gone.
    Expired {
        /// The keys.
        keys: Arc<[Text]>,
        /// From when its time counted.
        basis: Basis,
        /// Its time.
        ttl: Span,
    },
    /// The leader hands over, as it was told.
    Moves(Ip),
    /// What an operator wrote or deleted.
    Operator(Arc<Txn>),
}
impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match self {
            Note::Elected { .. } => Some("leader_elected"),
            Note::SteppedDown { .. } | Note::LeaderSilent { .. } => Some("leader_lost"),
            Note::Quorum { has: true, .. } => Some("quorum_gained"),
            Note::Quorum { has: false, .. } => Some("quorum_lost"),
            Note::Expired { .. } => Some("lease_expired"),
            Note::Moves(_) | Note::Operator(_) => None,
        }
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Elected { term, leases } => {
                (say!("etcd-elected", term = term), say!("etcd-elected-why", leases = leases))
            }
            Note::SteppedDown { term, has_quorum: true } => {
                (say!("etcd-stepped-down"), say!("etcd-stepped-down-term", term = term))
            }
            Note::SteppedDown { .. } => (say!("etcd-stepped-down"), say!("etcd-stepped-down-quorum")),
            Note::LeaderSilent { leader, heard, now } => {
                let silent = now.since(*heard);
                (
                    say!("etcd-leader-silent", leader = leader),
                    say!("etcd-leader-silent-why", silent = Span::ms(silent.as_ms()), heard = heard),
                )
            }
            Note::Quorum { has: false, members, .. } => {
                let needed = crate::proto::raft::quorum(*members);
                (say!("etcd-quorum-lost"), say!("etcd-quorum-lost-why", needed = needed, members = members))
            }
            Note::Quorum { has: true, leader, .. } => {
                let why = leader.map_or_else(String::new, |l| say!("etcd-quorum-gained-why", leader = l));
                (say!("etcd-quorum-gained"), why)
            }
            Note::Expired { keys, basis, ttl } => {
                let keys = keys.join(", ");
                let why = match basis {
                    Basis::Grant(at) => say!("etcd-expired-grant", at = at, ttl = ttl),
                    Basis::Renewal(at) => say!("etcd-expired-renewal", at = at, ttl = ttl),
                    Basis::Election(at, more) => {
                        say!("etcd-expired-election", at = at, ttl = ttl, more = more)
                    }
                };
                (say!("etcd-expired", keys = keys), why)
            }
            Note::Moves(to) => (say!("etcd-moves", to = to), say!("etcd-operator-why")),
            Note::Operator(txn) => {
                let what = |op: &Op| match op {
                    Op::Put(key, value, _) => say!("etcd-operator-put", key = key, value = value),
                    Op::Delete(key) => say!("etcd-operator-delete", key = key),
                    Op::Txn(_) => String::new(),
                };
                let all: Vec<String> = txn.then.iter().map(what).collect();
                (all.join(", "), say!("etcd-operator-why"))
            }
        }
    }
}
