//! What etcd's clients and members say.

use crate::engine::Span;
use crate::proto::raft;
use std::sync::Arc;

/// A key or a value.
pub type Text = Arc<str>;
/// A lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId(pub u64);

/// A key and what goes with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kv {
    /// The key.
    pub key: Text,
    /// Its value.
    pub value: Text,
    /// The revision that created it.
    pub create_revision: u64,
    /// The revision that last changed it.
    pub mod_revision: u64,
    /// The lease that it hangs on.
    pub lease: Option<LeaseId>,
}

/// A condition of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compare {
    /// `create_revision(key) == 0`.
    Absent(Text),
    /// `value(key) == value`.
    Value(Text, Text),
    /// `mod_revision(key) == revision`.
    ModRevision(Text, u64),
}
/// What a transaction does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Set a key.
    Put(Text, Text, Option<LeaseId>),
    /// Delete a key.
    Delete(Text),
    /// Another transaction; the outer one holds if this one does.
    Txn(Arc<Txn>),
}
/// A transaction: if all of `compare` hold, `then`, otherwise `otherwise`; all in one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Txn {
    /// Conditions.
    pub compare: Vec<Compare>,
    /// When they hold.
    pub then: Vec<Op>,
    /// When they do not.
    pub otherwise: Vec<Op>,
}

/// What a client asks a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// All keys that begin so; `serializable` is answered by the member as it knows them, perhaps late.
    Range {
        /// The beginning.
        prefix: Text,
        /// A local read.
        serializable: bool,
    },
    /// A transaction.
    Txn(Arc<Txn>),
    /// A lease of so many seconds under this number.
    LeaseGrant(LeaseId, u64),
    /// Start the lease's time anew.
    LeaseKeepAlive(LeaseId),
    /// End it, and its keys with it.
    LeaseRevoke(LeaseId),
    /// Tell changes of keys that begin so, as [`Reply::Changed`]; with a revision those from it on.
    Watch(Text, Option<u64>),
    /// Who is a member? Answered by the member as it knows them.
    MemberList,
    /// Hand the leadership to this member.
    MoveLeader(raft::Member),
}
/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Error {
    /// "etcdserver: request timed out".
    TimedOut,
    /// "context deadline exceeded": no leader took the proposal in time.
    DeadlineExceeded,
    /// "raft proposal dropped": the leader was lost while it was proposed.
    ProposalDropped,
    /// "requested lease not found".
    LeaseNotFound,
    /// "lease already exists".
    LeaseExists,
    /// "not leader".
    NotLeader,
}
/// What a member answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Keys, in order; the store's revision and the member's Raft term.
    Range(Arc<Vec<Kv>>, u64, u32),
    /// Whether the conditions (or those of the transaction in its place) held; the revision and the term.
    Txn(bool, u64, u32),
    /// The lease and its time in seconds, at least what the server allows; the term.
    Granted(LeaseId, u64, u32),
    /// So many members; the term.
    Members(u8, u32),
    /// It lives for so long again.
    KeptAlive(Span),
    /// Done.
    Done,
    /// What a revision changed: a key, and what it is now; the revision and the term.
    Changed(Arc<Vec<(Text, Option<Kv>)>>, u64, u32),
    /// It failed.
    Failed(Error),
}

/// A command of the replicated log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The member that a client asked, and its number for it.
    pub origin: (raft::Member, u32),
    /// What is to be done.
    pub act: Act,
}
/// What a command does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// A transaction.
    Txn(Arc<Txn>),
    /// A new lease.
    Grant(LeaseId, u64),
    /// The end of a lease.
    Revoke(LeaseId),
    /// Nothing: a linearizable read waits for it.
    Read,
}

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Msg {
    /// Between members.
    Raft(raft::Message<Command>),
    /// To the leader: a command of another member's client.
    Propose(Arc<Command>),
    /// To the leader: another member's client keeps a lease alive, under the member's number for it.
    Renew(u32, LeaseId),
    /// The leader's answer: the lease's time, or that there is none.
    Renewed(u32, Option<Span>),
    /// To the leader: an operator wants the leadership to go to this member.
    MoveLeader(raft::Member),
    /// A client asks, under its number for it.
    Request(u32, Request),
    /// The answer.
    Reply(u32, Reply),
}
