//! What Consul tells.

use super::msg::{Check, Request, Text};
use crate::engine::{Span, Time};
use crate::net::addr::Ip;
use crate::say;
use std::sync::Arc;

/// From when a session's time counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// It was created then.
    Create(Time),
    /// It was renewed last then.
    Renewal(Time),
    /// The leader was elected then, and does not know how much was left: the whole time.
    Election(Time),
}
/// Why a session was invalidated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Its time was over: from when it counted, its TTL, and how long it took.
    Expired(Basis, Span, Span),
    /// A check that it hangs on has become critical on this node.
    Critical(Check, Text),
    /// The node has left the cluster.
    NodeLeft(Text),
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// It leads.
    Elected {
        /// Its term.
        term: u32,
    },
    /// It leads no longer.
    SteppedDown {
        /// The term.
        term: u32,
        /// Another leads, or a quorum does not answer.
        has_quorum: bool,
    },
    /// It has not heard its leader for the heartbeat time-out, and asks for votes.
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
        /// Of so many servers.
        servers: usize,
        /// Whom it follows.
        leader: Option<Ip>,
    },
    /// A session with keys was invalidated.
    Session {
        /// The keys that it held.
        keys: Arc<[Text]>,
        /// They were deleted, or let go.
        deleted: bool,
        /// Why.
        why: Ended,
    },
    /// The leader takes a node for failed, or for well again.
    Serf {
        /// The node.
        node: Text,
        /// Which.
        alive: bool,
    },
    /// The result of a service's check has changed.
    Check {
        /// The service.
        service: Text,
        /// What was asked for.
        path: Text,
        /// It passes.
        passing: bool,
        /// The status code, if there was one.
        status: Option<u16>,
    },
    /// A service was taken out because it was critical for too long.
    Reaped {
        /// The service.
        service: Text,
        /// Since when it was critical.
        since: Time,
        /// `deregister_critical_service_after`.
        limit: Span,
    },
    /// The leader hands over, as it was told.
    Moves(Ip),
    /// What an operator asked for.
    Operator(Arc<Request>),
}
impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match self {
            Note::Elected { .. } => Some("leader_elected"),
            Note::SteppedDown { .. } | Note::LeaderSilent { .. } => Some("leader_lost"),
            Note::Quorum { has: true, .. } => Some("quorum_gained"),
            Note::Quorum { has: false, .. } => Some("quorum_lost"),
            Note::Session { .. } => Some("lease_expired"),
            Note::Serf { alive: false, .. } => Some("node_lost"),
            _ => None,
        }
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Elected { term } => (say!("consul-elected", term = term), say!("consul-elected-why")),
            Note::SteppedDown { term, has_quorum: true } => {
                (say!("consul-stepped-down"), say!("consul-stepped-down-term", term = term))
            }
            Note::SteppedDown { .. } => (say!("consul-stepped-down"), say!("consul-stepped-down-quorum")),
            Note::LeaderSilent { leader, heard, now } => {
                let silent = now.since(*heard);
                (
                    say!("consul-leader-silent", leader = leader),
                    say!("consul-leader-silent-why", silent = Span::ms(silent.as_ms()), heard = heard),
                )
            }
            Note::Quorum { has: false, servers, .. } => {
                let needed = crate::proto::raft::quorum(*servers);
                (
                    say!("consul-quorum-lost"),
                    say!("consul-quorum-lost-why", needed = needed, servers = servers),
                )
            }
            Note::Quorum { has: true, leader, .. } => {
                let why = leader.map_or_else(String::new, |l| say!("consul-quorum-gained-why", leader = l));
                (say!("consul-quorum-gained"), why)
            }
            Note::Session { keys, deleted, why } => {
                let keys = keys.join(", ");
                let what = match deleted {
                    true => say!("consul-session-deleted", keys = keys),
                    false => say!("consul-session-released", keys = keys),
                };
                (what, ended(why))
            }
            Note::Serf { node, alive: false } => {
                (say!("consul-serf-failed", node = node), say!("consul-serf-failed-why"))
            }
            Note::Serf { node, alive: true } => {
                (say!("consul-serf-alive", node = node), say!("consul-serf-alive-why"))
            }
            Note::Check { service, path, passing, status } => {
                let what = match passing {
                    true => say!("consul-check-passing", service = service),
                    false => say!("consul-check-critical", service = service),
                };
                let why = match status {
                    Some(status) => say!("consul-check-status", path = path, status = status),
                    None => say!("consul-check-silent", path = path),
                };
                (what, why)
            }
            Note::Reaped { service, since, limit } => (
                say!("consul-reaped", service = service),
                say!("consul-reaped-why", since = since, limit = limit),
            ),
            Note::Moves(to) => (say!("consul-moves", to = to), say!("consul-operator-why")),
            Note::Operator(request) => {
                let what = match &**request {
                    Request::Put { key, value, .. } => say!("consul-operator-put", key = key, value = value),
                    Request::Delete(key, _) => say!("consul-operator-delete", key = key),
                    _ => say!("consul-operator"),
                };
                (what, say!("consul-operator-why"))
            }
        }
    }
}
fn ended(why: &Ended) -> String {
    match why {
        Ended::Expired(basis, ttl, took) => match basis {
            Basis::Create(at) => say!("consul-expired-create", at = at, ttl = ttl, took = took),
            Basis::Renewal(at) => say!("consul-expired-renewal", at = at, ttl = ttl, took = took),
            Basis::Election(at) => say!("consul-expired-election", at = at, ttl = ttl, took = took),
        },
        Ended::Critical(Check::Serf, node) => say!("consul-ended-serf", node = node),
        Ended::Critical(Check::Service(id), node) => say!("consul-ended-check", node = node, check = id),
        Ended::NodeLeft(node) => say!("consul-ended-left", node = node),
    }
}
