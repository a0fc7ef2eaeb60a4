//! Raft as the two stores run it: one model, with switches for what etcd's library and HashiCorp's library do differently.
//!
//! | switch | etcd (`raft/raft.go`) | HashiCorp (`raft.go`) |
//! |---|---|---|
//! | follower's timer | counts ticks since the last contact, fires after 10 to 19 of them | free-running, `[H, 2H)`; contact does not reset it |
//! | who may vote | whoever has not heard a leader for one election timeout | whoever believes in no leader |
//! | pre-vote | from 3.5 on | from 1.7 on |
//! | leader without a quorum | checks once an election timeout | lease since the quorum's last answer |
//!
//! The state machine of one member is [`machine::Raft`]. It knows no network, no clock and no disk: its owner hands it messages and timers and
//! carries out what it asks for. **Not modelled:** log compaction and snapshots of the state, changes of membership, learners, and TCP between
//! the members: their messages travel as datagrams, which a cut loses and a healed link carries at once.

pub mod durable;
pub mod machine;
pub mod msg;

pub use durable::Durable;
pub use machine::{Io, Out, Raft, Role};
pub use msg::{Entry, Hard, Member, Message};

use crate::engine::Span;

/// How the members of a cluster elect and keep a leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rules {
    /// Which library's timers.
    pub library: Library,
    /// Ask whether an election could be won before starting one.
    pub pre_vote: bool,
}

/// The library whose timers a member has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Library {
    /// etcd's: everything counts ticks of `heartbeat`; `election` is a whole number of them.
    Etcd {
        /// `--heartbeat-interval`. Default 100 ms.
        heartbeat: Span,
        /// `--election-timeout`. Default 1000 ms.
        election: Span,
        /// A leader that has not heard a quorum for an election timeout steps down, and members that hear a leader ignore candidates.
        check_quorum: bool,
    },
    /// HashiCorp's, as Consul uses it.
    Hashicorp {
        /// `HeartbeatTimeout`: Consul's default is 1 s x `raft_multiplier` 5.
        heartbeat: Span,
        /// `ElectionTimeout`: the same.
        election: Span,
        /// `LeaderLeaseTimeout`: 500 ms x 5.
        leader_lease: Span,
        /// `CommitTimeout`: 50 ms; an idle leader writes to a follower every one to two of them.
        commit: Span,
    },
}

impl Rules {
    /// etcd's defaults; `pre_vote` is off in 3.4 and on from 3.5 on.
    pub const fn etcd(pre_vote: bool) -> Rules {
        let library =
            Library::Etcd { heartbeat: Span::ms(100), election: Span::ms(1000), check_quorum: true };
        Rules { library, pre_vote }
    }
    /// Consul's, for a `raft_multiplier` of 1 to 10 (default 5).
    pub const fn consul(raft_multiplier: u64, pre_vote: bool) -> Rules {
        let library = Library::Hashicorp {
            heartbeat: Span::ms(1000 * raft_multiplier),
            election: Span::ms(1000 * raft_multiplier),
            leader_lease: Span::ms(500 * raft_multiplier),
            commit: Span::ms(50),
        };
        Rules { library, pre_vote }
    }
    /// The election timeout.
    pub const fn election(&self) -> Span {
        match self.library {
            Library::Etcd { election, .. } | Library::Hashicorp { election, .. } => election,
        }
    }
}

/// The smallest majority of `members`.
pub const fn quorum(members: usize) -> usize {
    members / 2 + 1
}
