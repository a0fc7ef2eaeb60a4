//! What members of a cluster say to each other, and what each keeps on its disk.

use std::sync::Arc;

/// A member of a cluster, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct Member(pub u8);

/// An entry of the log; without a command it is the one that a new leader begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry<C> {
    /// The term of the leader that wrote it.
    pub term: u32,
    /// What it does.
    pub command: Option<C>,
}

/// What must be on disk before a member answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hard<C> {
    /// The highest term seen.
    pub term: u32,
    /// Whom it voted for in that term.
    pub vote: Option<Member>,
    /// The log; the entry of index `i` stands at `i - 1`.
    pub log: Vec<Entry<C>>,
    /// etcd keeps what it knows to be committed, and applies it at its start; HashiCorp's library waits for a leader.
    pub commit: u32,
}
impl<C> Default for Hard<C> {
    fn default() -> Self {
        Hard { term: 0, vote: None, log: Vec::new(), commit: 0 }
    }
}

/// Which kind of vote is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ballot {
    /// Would you vote for me?
    Pre,
    /// Vote for me.
    Real,
    /// Vote for me although you hear a leader: it told me to.
    Transfer,
}

/// What a member says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message<C> {
    /// RequestVote.
    Vote {
        /// The candidate's term; for [`Ballot::Pre`] the one that it would have.
        term: u32,
        /// Index of its last entry.
        last_index: u32,
        /// Term of its last entry.
        last_term: u32,
        /// The kind of vote.
        ballot: Ballot,
    },
    /// The answer.
    VoteReply {
        /// The voter's term; for a granted [`Ballot::Pre`] the one asked for.
        term: u32,
        /// Yes.
        granted: bool,
        /// It answers [`Ballot::Pre`].
        pre: bool,
    },
    /// AppendEntries; without entries it is a heartbeat.
    Append {
        /// The leader's term.
        term: u32,
        /// Index of the entry before these.
        prev: u32,
        /// Its term.
        prev_term: u32,
        /// What the leader knows to be committed.
        commit: u32,
        /// The entries.
        entries: Option<Arc<Vec<Entry<C>>>>,
    },
    /// The answer.
    AppendReply {
        /// The follower's term.
        term: u32,
        /// The logs agree up to `matched`; otherwise they may, and the leader tries from there.
        ok: bool,
        /// An index.
        matched: u32,
    },
    /// Start an election at once: the leader hands over.
    TimeoutNow {
        /// The leader's term.
        term: u32,
    },
}
