//! The replicated state: keys, the sessions that hold them, and the catalog of nodes, checks and services.

use super::msg::{Behavior, Check, Entry, Error, NodeId, Request, Service, Session, SessionId, Text};
use crate::engine::{Span, Time};
use crate::net::addr::Ip;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// What all servers agree on, once they have applied the same commands.
#[derive(Clone, Debug, Default)]
pub struct State {
    keys: BTreeMap<Text, Entry>,
    sessions: BTreeMap<SessionId, Arc<Session>>,
    /// Until when a key is not acquired.
    delays: BTreeMap<Text, Time>,
    index: u64,
    /// The index at which a key last changed.
    changed: u64,
    /// Keys that were deleted, and the index of it: a blocking query on a key that is gone must see it.
    graves: BTreeMap<Text, u64>,
    /// Nodes, and whether their `serfHealth` passes.
    nodes: BTreeMap<NodeId, bool>,
    /// Services and whether their checks pass.
    services: BTreeMap<(NodeId, Text), (Arc<Service>, bool)>,
    /// Sessions that were invalidated since the owner last looked, with the keys that they held.
    pub(super) ended: Vec<Invalidated>,
}
/// A session that was invalidated.
#[derive(Clone, Debug)]
pub(super) struct Invalidated {
    pub(super) id: SessionId,
    pub(super) session: Arc<Session>,
    pub(super) keys: Vec<Text>,
}

/// The shortest time of a session that a server takes by default: `session_ttl_min`.
pub const SESSION_TTL_MIN: Span = Span::secs(10);
/// The longest.
pub const SESSION_TTL_MAX: Span = Span::secs(86_400);
/// The longest lock-delay.
pub const MAX_LOCK_DELAY: Span = Span::secs(60);

impl State {
    /// Keys that begin with `prefix`, and the index that a blocking query goes on from.
    pub fn keys(&self, prefix: &str) -> (Vec<Entry>, u64) {
        let found: Vec<Entry> = self.below(prefix).cloned().collect();
        (found, self.index_of(prefix))
    }
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.keys
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|e| e.1)
            .take_while(move |e| e.key.starts_with(prefix))
    }
    /// The index of the last change of a key that begins with `prefix`; without any the last change of a key at all.
    pub fn index_of(&self, prefix: &str) -> u64 {
        let changed = self.below(prefix).map(|e| e.modify_index).max();
        let graves = self
            .graves
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|g| g.0.starts_with(prefix));
        let deleted = graves.map(|g| *g.1).max();
        changed.max(deleted).unwrap_or(self.changed).max(1)
    }
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.keys.get(key)
    }
    /// A session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).map(|s| &**s)
    }
    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, s)| (*id, &**s))
    }
    /// The index of the last change.
    pub fn index(&self) -> u64 {
        self.index
    }
    /// Whether the gossip check of a node passes; `None`: it is not registered.
    pub fn node(&self, node: NodeId) -> Option<bool> {
        self.nodes.get(&node).copied()
    }
    /// All services with their nodes, and whether their checks pass.
    pub fn services(&self) -> impl Iterator<Item = (NodeId, &Service, bool)> {
        self.services.iter().map(|((node, _), (s, passing))| (*node, &**s, *passing))
    }
    /// What DNS answers: the addresses of a service, with this tag if given, whose checks and nodes pass.
    pub fn addresses(&self, tag: Option<&str>, name: &str) -> Vec<Ip> {
        let mut all: Vec<Ip> = self
            .services()
            .filter(|(node, s, passing)| {
                let tagged = tag.is_none_or(|t| s.tags.iter().any(|own| own.eq_ignore_ascii_case(t)));
                *passing && tagged && s.name.eq_ignore_ascii_case(name) && self.node(*node) != Some(false)
            })
            .map(|(_, s, _)| s.address)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Applies the command of Raft index `index` that the leader wrote at `at`.
    pub fn apply(&mut self, index: u64, at: Time, act: &Request) -> Result<bool, Error> {
        self.index = index;
        match act {
            Request::Put { key, value, acquire, cas } => self.put(index, at, key, value, *acquire, *cas),
            Request::Release(key, session) => {
                let Some(e) = self.keys.get_mut(key).filter(|e| e.session == Some(*session)) else {
                    return Ok(false);
                };
                e.session = None;
                e.modify_index = index;
                self.changed = index;
                Ok(true)
            }
            Request::Delete(key, cas) => {
                let known = self.keys.get(key).map_or(0, |e| e.modify_index);
                if cas.is_some_and(|c| c != known) {
                    return Ok(false);
                }
                if self.keys.remove(key).is_some() {
                    self.graves.insert(key.clone(), index);
                    self.changed = index;
                }
                Ok(true)
            }
            Request::SessionCreate(id, session) => {
                if let Some(node) = session.node {
                    let serf = self.nodes.get(&node).ok_or(Error::MissingNode)?;
                    for check in session.checks.iter() {
                        let passing = match check {
                            Check::Serf => *serf,
                            Check::Service(id) => self.services.get(&(node, id.clone())).is_some_and(|s| s.1),
                        };
                        if !passing {
                            return Err(Error::CheckCritical);
                        }
                    }
                }
                let mut session = session.clone();
                if session.lock_delay > MAX_LOCK_DELAY {
                    Arc::make_mut(&mut session).lock_delay = MAX_LOCK_DELAY;
                }
                self.sessions.insert(*id, session);
                Ok(true)
            }
            Request::SessionDestroy(id) => {
                self.invalidate(index, at, *id);
                Ok(true)
            }
            Request::Health(node, passing) => {
                self.nodes.insert(*node, *passing);
                if !passing {
                    self.critical(index, at, *node, Some(&Check::Serf));
                }
                Ok(true)
            }
            Request::NodeGone(node) => {
                self.nodes.remove(node);
                self.services.retain(|(n, _), _| n != node);
                self.critical(index, at, *node, None);
                Ok(true)
            }
            Request::Catalog(node, id, state) => {
                let key = (*node, id.clone());
                let passes = match state {
                    Some((service, passing)) => {
                        self.services.insert(key, (service.clone(), *passing));
                        *passing
                    }
                    None => {
                        self.services.remove(&key);
                        false
                    }
                };
                if !passes {
                    self.critical(index, at, *node, Some(&Check::Service(id.clone())));
                }
                Ok(true)
            }
            Request::Get { .. }
            | Request::SessionRenew(_)
            | Request::AgentSelf
            | Request::ServiceRegister(_)
            | Request::ServiceDeregister(_)
            | Request::Lookup(_)
            | Request::MoveLeader(_) => Ok(false),
        }
    }
    fn put(
        &mut self,
        index: u64,
        at: Time,
        key: &Text,
        value: &Text,
        acquire: Option<SessionId>,
        cas: Option<u64>,
    ) -> Result<bool, Error> {
        let known = self.keys.get(key);
        if cas.is_some_and(|c| c != known.map_or(0, |e| e.modify_index)) {
            return Ok(false);
        }
        let mut session = known.and_then(|e| e.session);
        if let Some(mine) = acquire {
            if !self.sessions.contains_key(&mine) {
                return Err(Error::InvalidSession);
            }
            let delayed = self.delays.get(key).is_some_and(|until| at < *until);
            if session.is_some_and(|s| s != mine) || (session.is_none() && delayed) {
                return Ok(false);
            }
            session = Some(mine);
        }
        let entry = Entry { key: key.clone(), value: value.clone(), modify_index: index, session };
        self.keys.insert(key.clone(), entry);
        self.changed = index;
        Ok(true)
    }
    /// A check of a node is critical, or (`None`) the node is gone: its sessions that hang on it end.
    fn critical(&mut self, index: u64, at: Time, node: NodeId, check: Option<&Check>) {
        let hangs = |s: &Session| s.node == Some(node) && check.is_none_or(|c| s.checks.contains(c));
        let over: Vec<SessionId> = self.sessions.iter().filter(|s| hangs(s.1)).map(|s| *s.0).collect();
        for id in over {
            self.invalidate(index, at, id);
        }
    }
    /// The session's keys go, or lose it, in one transaction; its lock-delay begins.
    fn invalidate(&mut self, index: u64, at: Time, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let keys: Vec<Text> =
            self.keys.values().filter(|e| e.session == Some(id)).map(|e| e.key.clone()).collect();
        if !keys.is_empty() {
            self.changed = index;
        }
        for key in &keys {
            if !session.lock_delay.is_zero() {
                self.delays.insert(key.clone(), at + session.lock_delay);
            }
            match session.behavior {
                Behavior::Delete => {
                    self.keys.remove(key);
                    self.graves.insert(key.clone(), index);
                }
                Behavior::Release => {
                    if let Some(e) = self.keys.get_mut(key) {
                        e.session = None;
                        e.modify_index = index;
                    }
                }
            }
        }
        self.ended.push(Invalidated { id, session, keys });
    }
}
