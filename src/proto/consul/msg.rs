//! What Consul's clients, agents and servers say.

use super::serf::Gossip;
use crate::engine::{Span, Time};
use crate::net::addr::{Endpoint, Ip};
use crate::proto::dns::msg::Dns;
use crate::proto::http::Http;
use crate::proto::raft;
use std::sync::Arc;

/// A key or a value.
pub type Text = Arc<str>;
/// A session (in Consul a UUID).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// What becomes of a session's keys when it is invalidated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Behavior {
    /// They lose their session and keep their value.
    #[default]
    Release,
    /// They are deleted.
    Delete,
}
/// A health check that a session may hang on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Check {
    /// `serfHealth`: gossip hears the node.
    Serf,
    /// `service:ID`: the check of a service of the node.
    Service(Text),
}
/// A node: an agent, server or client, by its place in the list of all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct NodeId(pub u16);
/// A service of a node with one HTTP check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its id, unique on the node.
    pub id: Text,
    /// Its name, as DNS knows it.
    pub name: Text,
    /// Its tags.
    pub tags: Vec<Text>,
    /// Its address.
    pub address: Ip,
    /// What the check gets: address and path (`GET http://ADDRESS/PATH`).
    pub check: (Endpoint, Text),
    /// The check's interval.
    pub interval: Span,
    /// A service that has been critical for so long is taken out; at least a minute.
    pub deregister_after: Span,
}
/// A session.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Session {
    /// The node of the agent that it was created through.
    pub node: Option<NodeId>,
    /// The checks of that node that it hangs on.
    pub checks: Arc<[Check]>,
    /// Its time: 10 s (`session_ttl_min`) to 86400 s. It ends twice this after the last renewal.
    pub ttl: Span,
    /// What becomes of its keys.
    pub behavior: Behavior,
    /// For so long after its invalidation nobody acquires its keys: 0 to 60 s, default 15 s.
    pub lock_delay: Span,
}
/// A key and what goes with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The key.
    pub key: Text,
    /// Its value.
    pub value: Text,
    /// The index of the command that last changed it.
    pub modify_index: u64,
    /// The session that holds it.
    pub session: Option<SessionId>,
}

/// Which server may answer a read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Consistency {
    /// The leader, which trusts its lease.
    #[default]
    Default,
    /// The leader, after it has heard from a quorum.
    Consistent,
    /// Any server, with or without a leader.
    Stale,
}
/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// `GET /v1/kv/PREFIX?recurse`. With an index it is answered when a key's index exceeds it, or after the wait.
    Get {
        /// The beginning.
        prefix: Text,
        /// Who may answer.
        consistency: Consistency,
        /// `index` and `wait`.
        blocking: Option<(u64, Span)>,
    },
    /// `PUT /v1/kv/KEY`.
    Put {
        /// The key.
        key: Text,
        /// The value.
        value: Text,
        /// `acquire=`.
        acquire: Option<SessionId>,
        /// `cas=`: the key's `ModifyIndex`; 0: it must not exist.
        cas: Option<u64>,
    },
    /// `PUT /v1/kv/KEY?release=`.
    Release(Text, SessionId),
    /// `DELETE /v1/kv/KEY`, with `cas=` if given.
    Delete(Text, Option<u64>),
    /// `PUT /v1/session/create`, under this number.
    SessionCreate(SessionId, Arc<Session>),
    /// `PUT /v1/session/renew/ID`.
    SessionRenew(SessionId),
    /// `PUT /v1/session/destroy/ID`.
    SessionDestroy(SessionId),
    /// `GET /v1/agent/self`: [`Reply::Agent`], out of the agent's own configuration.
    AgentSelf,
    /// `PUT /v1/agent/service/register`.
    ServiceRegister(Arc<Service>),
    /// `PUT /v1/agent/service/deregister/ID`.
    ServiceDeregister(Text),
    /// An agent asks for the addresses of a name, for its DNS interface; any server answers.
    Lookup(Text),
    /// An agent tells of a service of its node and whether its check passes; `None`: it is gone.
    Catalog(NodeId, Text, Option<(Arc<Service>, bool)>),
    /// The leader writes down what the gossip says of a node: alive or failed.
    Health(NodeId, bool),
    /// The leader takes a node out that has left.
    NodeGone(NodeId),
    /// `consul operator raft transfer-leader`.
    MoveLeader(raft::Member),
}
/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Error {
    /// 500 "No cluster leader".
    NoClusterLeader,
    /// 500 "invalid session".
    InvalidSession,
    /// 404: the session is gone.
    NotFound,
    /// 500: the session's time is below `session_ttl_min` or above a day.
    InvalidTtl,
    /// 500 "Missing node registration".
    MissingNode,
    /// 500: a check that the session is to hang on is missing or critical.
    CheckCritical,
    /// 500: no server answers the agent.
    NoServers,
}
/// What a client is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Keys, in order, and `X-Consul-Index`.
    Keys(Arc<Vec<Entry>>, u64),
    /// `true` or `false`.
    Done(bool),
    /// What `/v1/agent/self` says.
    Agent {
        /// `session_ttl_min`.
        session_ttl_min: Span,
    },
    /// The addresses of a name.
    Addresses(Arc<[Ip]>),
    /// It failed.
    Failed(Error),
}

/// A command of the replicated log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The leader's number for the request behind it.
    pub number: u32,
    /// When the leader wrote it, by its clock: lock-delay goes by it.
    pub at: Time,
    /// What is asked for; reads and renewals are no commands.
    pub act: Request,
}

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Msg {
    /// Between servers.
    Raft(raft::Message<Command>),
    /// A client asks its agent, an agent a server, a server the leader: the asker's number for it.
    Request(u32, Arc<Request>),
    /// The answer.
    Reply(u32, Reply),
    /// Between agents, on the LAN.
    Gossip(NodeId, Gossip),
    /// DNS, on the agents' own port.
    Dns(Dns),
    /// Health checks of services.
    Http(Http),
}
