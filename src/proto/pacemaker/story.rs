//! Why a score is what it is: every change of a table is told, with the rule that made it.

use super::model::{NodeIx, RscIx, Sched};
use super::score::show;
use crate::say;

/// A rule that changed a score.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The cluster's default: allowed everywhere.
    Symmetric,
    /// The connection to a guest may be anywhere: its guest decides.
    Connection,
    /// Nodes of Pacemaker Remote run no connections, no fence devices, and no guests.
    NoRemote,
    /// It belongs on the node that its container makes.
    Container,
    /// It is the resource of a bundle: its place is the node of its own replica.
    Replica,
    /// A location constraint.
    Location(String),
    /// It runs there.
    Stickiness,
    /// It failed there too often.
    Failures {
        /// Failures.
        count: i32,
        /// `migration-threshold`.
        threshold: i32,
    },
    /// It runs there and is not managed.
    NotManaged,
    /// A stop failed there.
    StopFailed,
    /// It is not in the configuration.
    Orphan,
    /// `on-fail=migrate`.
    OnFailMigrate,
    /// `on-fail=stop`.
    OnFailStop,
    /// The agent says that it cannot run there.
    HardError,
    /// The agent says that it cannot run anywhere.
    FatalError,
    /// A probe could not run there.
    ProbeFailed,
    /// `multiple-active=stop_only`.
    MultipleActive,
    /// `target-role=Stopped`, or another reason to stop.
    TargetRole,
    /// All instances that the clone may have are placed.
    CloneMax,
    /// The node has too little room for it and what must be with it.
    Capacity,
    /// A ticket.
    Ticket(String),
    /// The node's health.
    Health,
    /// Discovery is exclusive, and elsewhere.
    Exclusive,
    /// A node that shut down keeps it.
    ShutdownLock,
    /// It depends on another one.
    With {
        /// The colocation.
        id: String,
        /// The other.
        other: String,
        /// The score.
        score: i32,
    },
    /// Another one depends on it and wishes this.
    Wish {
        /// The colocation.
        id: String,
        /// The other.
        other: String,
        /// The score.
        score: i32,
    },
    /// A colocation was taken back, because it left no node.
    TakenBack(String),
    /// The node cannot run an instance of the clone: not available, not allowed, or full.
    NoInstance,
    /// An instance could not stay where it is: the table is as before that try.
    Retried,
    /// A promotion score of the agent.
    PromotionScore,
    /// The index by which instances are promoted.
    PromotionIndex,
}

/// A change of a score.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tale {
    /// The resource.
    pub rsc: RscIx,
    /// The node.
    pub node: NodeIx,
    /// The score before; none if the node was not in the table.
    pub before: Option<i32>,
    /// The score after.
    pub after: i32,
    /// The rule.
    pub cause: Cause,
}

impl Cause {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Cause::Symmetric => say!("pcm-symmetric"),
            Cause::Connection => say!("pcm-connection"),
            Cause::NoRemote => say!("pcm-no-remote"),
            Cause::Container => say!("pcm-container"),
            Cause::Replica => say!("pcm-replica"),
            Cause::Location(id) => say!("pcm-location", id = id),
            Cause::Stickiness => say!("pcm-stickiness"),
            Cause::Failures { count, threshold } => {
                say!("pcm-failures", count = show(*count), threshold = show(*threshold))
            }
            Cause::NotManaged => say!("pcm-not-managed"),
            Cause::StopFailed => say!("pcm-stop-failed"),
            Cause::Orphan => say!("pcm-orphan"),
            Cause::OnFailMigrate => say!("pcm-on-fail-migrate"),
            Cause::OnFailStop => say!("pcm-on-fail-stop"),
            Cause::HardError => say!("pcm-hard-error"),
            Cause::FatalError => say!("pcm-fatal-error"),
            Cause::ProbeFailed => say!("pcm-probe-failed"),
            Cause::MultipleActive => say!("pcm-multiple-active"),
            Cause::TargetRole => say!("pcm-target-role"),
            Cause::CloneMax => say!("pcm-clone-max"),
            Cause::Capacity => say!("pcm-capacity"),
            Cause::Ticket(ticket) => say!("pcm-ticket", ticket = ticket),
            Cause::Health => say!("pcm-health"),
            Cause::Exclusive => say!("pcm-exclusive"),
            Cause::ShutdownLock => say!("pcm-shutdown-lock"),
            Cause::With { id, other, score } => {
                say!("pcm-with", id = id, other = other, score = show(*score))
            }
            Cause::Wish { id, other, score } => {
                say!("pcm-wish", id = id, other = other, score = show(*score))
            }
            Cause::TakenBack(id) => say!("pcm-taken-back", id = id),
            Cause::NoInstance => say!("pcm-no-instance"),
            Cause::Retried => say!("pcm-retried"),
            Cause::PromotionScore => say!("pcm-promotion-score"),
            Cause::PromotionIndex => say!("pcm-promotion-index"),
        }
    }
}

impl Sched {
    /// The story of the scores of a resource on a node, in order.
    pub fn story(&self, r: RscIx, node: NodeIx) -> Vec<&Tale> {
        self.tales.iter().filter(|t| t.rsc == r && t.node == node).collect()
    }
}
