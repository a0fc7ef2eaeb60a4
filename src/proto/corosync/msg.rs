//! What goes between hosts: totem's messages and knet's pings.

use super::api::{Group, Left, NodeId, RingId};
use super::nodes::Nodes;
use super::quorum::NodeInfo;
use crate::engine::Time;
use crate::proto::pacemaker::cpg::Payload;
use std::sync::Arc;

/// The token of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// Its ring.
    pub ring: RingId,
    /// The number of the last message sent.
    pub seq: u32,
    /// All nodes have received all messages up to this one (all-received-up-to).
    pub aru: u32,
    /// Grows at every hop: a token that was seen already is a repetition.
    pub token_seq: u32,
    /// Messages sent in the last rotation (flow control).
    pub fcc: u16,
    /// Who lowered `aru`; 0 is nobody.
    pub aru_addr: u16,
    /// In RECOVERY: somebody has old messages to send yet.
    pub retrans_flg: bool,
}

/// What the commit token says of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CommitEntry {
    /// The ring that it comes from.
    pub ring: RingId,
    /// What it received of that without a gap.
    pub aru: u32,
    /// What it delivered of that.
    pub high_delivered: u32,
    /// Whether it lacks nothing.
    pub received: bool,
}
/// The commit token: goes round twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The new ring.
    pub ring: RingId,
    /// Its members.
    pub members: Nodes,
    /// How many have filled in their entry.
    pub index: usize,
    /// In the order of ids.
    pub entries: Vec<CommitEntry>,
}

/// A message to all, in the order of `seq`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mcast {
    /// The ring.
    pub ring: RingId,
    /// Its number in the ring.
    pub seq: u32,
    /// The sender.
    pub from: NodeId,
    /// What it says.
    pub body: Body,
}
/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// A message to a group.
    Cpg(Group, Payload),
    /// The sender's process joins a group.
    CpgJoin(Group),
    /// It leaves it.
    CpgLeave(Group, Left),
    /// Votequorum's node information.
    Info(NodeInfo),
    /// Synchronisation of a new ring: node information, and the groups that the sender's processes are in.
    Sync(NodeInfo, Arc<[Group]>),
    /// The sender has synchronised what it has to (its quorum device has answered).
    Barrier,
    /// A message of an old ring, sent again in RECOVERY.
    Old(Arc<Mcast>),
}

/// A message between the hosts of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Totem {
    /// The token.
    Token(Token),
    /// The token with requests for messages that are missing.
    TokenRtr(Box<(Token, Vec<u32>)>),
    /// A message.
    Mcast(Arc<Mcast>),
    /// GATHER: whom the sender sees, and whom it takes for failed. `leave`: the sender goes.
    Join {
        /// The sender.
        from: NodeId,
        /// The number of its ring.
        ring_seq: u32,
        /// Whom it has heard of.
        proc: Nodes,
        /// Whom it has given up.
        failed: Nodes,
        /// It leaves.
        leave: bool,
    },
    /// The representative of a ring says that the ring exists.
    MergeDetect(RingId, NodeId),
    /// The commit token.
    Commit(Box<Commit>),
    /// Somebody has something to send: the representative shall not hold the token.
    HoldCancel(RingId),
    /// knet: are you there? (link, time of the sender's clock)
    Ping(u8, Time),
    /// knet: I am.
    Pong(u8, Time),
}

/// The word for a message, and a number that goes with it.
pub fn label(m: &Totem) -> (&'static str, u32) {
    match m {
        Totem::Token(t) => ("token", t.seq),
        Totem::TokenRtr(t) => ("token", t.0.seq),
        Totem::Mcast(m) => ("totem", m.seq),
        Totem::Join { leave: false, .. } => ("join", 0),
        Totem::Join { .. } => ("leave", 0),
        Totem::MergeDetect(ring, _) => ("merge detect", ring.seq),
        Totem::Commit(c) => ("commit token", c.ring.seq),
        Totem::HoldCancel(_) => ("hold cancel", 0),
        Totem::Ping(link, _) => ("knet ping", u32::from(*link)),
        Totem::Pong(link, _) => ("knet pong", u32::from(*link)),
    }
}
