//! What a watchdog has to tell.

use super::msg::State;
use super::quorum::By;
use crate::net::addr::Ip;
use crate::say;
use std::sync::Arc;

/// By what a peer was found to be lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lost {
    /// Its connections are closed.
    NotReachable,
    /// It does not answer a forwarded request.
    NoReply,
    /// Nothing can be sent.
    SendFailure,
    /// It misses beacons.
    MissedBeacons,
    /// The lifecheck says so.
    Lifecheck,
    /// It went in order.
    Shutdown,
    /// The leader has not been heard of for 30 seconds.
    NoBeacon,
}
impl Lost {
    const fn key(self) -> &'static str {
        match self {
            Lost::NotReachable => "wd-lost-unreachable",
            Lost::NoReply => "wd-lost-no-reply",
            Lost::SendFailure => "wd-lost-send",
            Lost::MissedBeacons => "wd-lost-missed",
            Lost::Lifecheck => "wd-lost-lifecheck",
            Lost::Shutdown => "wd-lost-shutdown",
            Lost::NoBeacon => "wd-lost-beacon",
        }
    }
}

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Note {
    /// It is something else now.
    State { from: State, to: State },
    /// It is the leader that the others accepted.
    Leader { standbys: usize, quorum: i8 },
    /// A standby was accepted.
    Joined { leader: Arc<str> },
    /// A standby joined this leader.
    Standby { node: Arc<str>, standbys: usize },
    /// A peer is lost.
    Lost { node: Arc<str>, why: Lost, leader: bool },
    /// A peer is back.
    Found { node: Arc<str> },
    /// The quorum changed.
    Quorum { now: i8, standbys: usize, members: usize },
    /// A peer no longer counts as a member.
    Revoked { node: Arc<str> },
    /// A vote was counted.
    Vote { backend: u8, by: Arc<str>, votes: usize, needed: usize, again: bool },
    /// There are enough votes.
    Consensus { backend: u8, votes: usize },
    /// A request was rejected.
    NoQuorum { backend: u8, by: Arc<str> },
    /// A vote object grew too old.
    VoteExpired { backend: u8, votes: usize },
    /// The leader resigns: its vote found no others.
    Resigns,
    /// A request was cancelled.
    Cancelled { state: State },
    /// A candidate was refused.
    Refused { by: Arc<str>, has_leader: bool },
    /// Two leaders meet.
    SplitBrain { other: Arc<str>, stays: bool, by: By },
    /// The virtual address was configured.
    VipUp { vip: Ip },
    /// It was taken away.
    VipDown { vip: Ip },
    /// The lifecheck works from now on.
    LifecheckStarted,
    /// No heartbeat came.
    Silent { node: Arc<str>, deadtime: u64 },
    /// It has used up its lives (`wd_lifecheck_method = query`).
    Unanswered { node: Arc<str>, points: u32 },
    /// Heartbeats come again.
    Heard { node: Arc<str> },
    /// No trusted server answers.
    Untrusted,
    /// The watchdog ends, and pgpool with it.
    Fatal { state: State },
}

impl Note {
    /// The stable kind of mark that it is.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::State { .. } => "wd_state",
            Note::Leader { .. } => "leader_elected",
            Note::Joined { .. } => "joined",
            Note::Lost { leader: true, .. } => "leader_lost",
            Note::Lost { .. } => "node_lost",
            Note::Found { .. } => "node_found",
            Note::Quorum { now: -1, .. } => "quorum_lost",
            Note::Quorum { .. } => "quorum_gained",
            Note::Revoked { .. } => "revoked",
            Note::Vote { .. } => "vote",
            Note::Consensus { .. } => "consensus",
            Note::NoQuorum { .. } => "rejected",
            Note::VoteExpired { .. } => "vote_expired",
            Note::Resigns => "resigned",
            Note::Cancelled { .. } => "cancelled",
            Note::Refused { .. } => "refused",
            Note::SplitBrain { .. } => "two_leaders",
            Note::VipUp { .. } => "vip_up",
            Note::VipDown { .. } => "vip_down",
            Note::LifecheckStarted => "lifecheck_started",
            Note::Silent { .. } | Note::Unanswered { .. } | Note::Untrusted => "detected",
            Note::Heard { .. } => "heard",
            Note::Fatal { .. } => "fatal",
            Note::Standby { .. } => return None,
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        let none = String::new;
        match self {
            Note::State { from, to } => {
                (say!("wd-state", to = to.name()), say!("wd-state-why", from = from.name()))
            }
            Note::Leader { standbys, quorum } => {
                (say!("wd-leader"), say!(quorum_key(*quorum), standbys = standbys))
            }
            Note::Joined { leader } => (say!("wd-joined"), say!("wd-joined-why", leader = leader)),
            Note::Standby { node, standbys } => {
                (say!("wd-standby", node = node, standbys = standbys), none())
            }
            Note::Lost { node, why, leader } => {
                let key = if *leader { "wd-leader-lost" } else { "wd-node-lost" };
                (say!(key, node = node), say!(why.key()))
            }
            Note::Found { node } => (say!("wd-found", node = node), none()),
            Note::Quorum { now, standbys, members } => {
                let key = if *now < 0 { "wd-quorum-lost" } else { "wd-quorum" };
                (say!(key), say!("wd-quorum-why", live = standbys + 1, members = members + 1))
            }
            Note::Revoked { node } => (say!("wd-revoked", node = node), say!("wd-revoked-why")),
            Note::Vote { backend, by, votes, needed, again } => {
                let why = if *again { "wd-vote-again" } else { "wd-vote-why" };
                (say!("wd-vote", by = by, backend = backend), say!(why, votes = votes, needed = needed))
            }
            Note::Consensus { backend, votes } => {
                (say!("wd-consensus", backend = backend), say!("wd-consensus-why", votes = votes))
            }
            Note::NoQuorum { backend, by } => {
                (say!("wd-no-quorum", backend = backend, by = by), say!("wd-no-quorum-why"))
            }
            Note::VoteExpired { backend, votes } => {
                (say!("wd-expired", backend = backend), say!("wd-expired-why", votes = votes))
            }
            Note::Resigns => (say!("wd-resigns"), say!("wd-resigns-why")),
            Note::Cancelled { state } => {
                (say!("wd-cancelled"), say!("wd-cancelled-why", state = state.name()))
            }
            Note::Refused { by, has_leader } => {
                let why = if *has_leader { "wd-refused-leader" } else { "wd-refused-priority" };
                (say!("wd-refused", by = by), say!(why))
            }
            Note::SplitBrain { other, stays, by } => {
                let what = if *stays { "wd-split-stays" } else { "wd-split-goes" };
                let why = match by {
                    By::Escalated => "wd-split-escalated",
                    By::Quorum => "wd-split-quorum",
                    By::Standbys => "wd-split-standbys",
                    By::Age => "wd-split-age",
                };
                (say!(what, other = other), say!(why))
            }
            Note::VipUp { vip } => (say!("wd-vip-up", vip = vip), say!("wd-vip-up-why")),
            Note::VipDown { vip } => (say!("wd-vip-down", vip = vip), say!("wd-vip-down-why")),
            Note::LifecheckStarted => (say!("wd-lifecheck"), say!("wd-lifecheck-why")),
            Note::Silent { node, deadtime } => {
                (say!("wd-silent", node = node), say!("wd-silent-why", deadtime = deadtime))
            }
            Note::Unanswered { node, points } => {
                (say!("wd-unanswered", node = node), say!("wd-unanswered-why", points = points))
            }
            Note::Heard { node } => (say!("wd-heard", node = node), none()),
            Note::Untrusted => (say!("wd-untrusted"), say!("wd-untrusted-why")),
            Note::Fatal { state } => (say!("wd-fatal"), say!("wd-fatal-why", state = state.name())),
        }
    }
}

const fn quorum_key(quorum: i8) -> &'static str {
    if quorum < 0 { "wd-leader-alone" } else { "wd-leader-quorum" }
}
