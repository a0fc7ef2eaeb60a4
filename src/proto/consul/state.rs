//! The replicated state: keys, and the sessions that hold them.

use super::msg::{Behavior, Entry, Error, Request, Session, SessionId, Text};
use crate::engine::{Span, Time};
use std::collections::BTreeMap;

/// What all servers agree on, once they have applied the same commands.
#[derive(Clone, Debug, Default)]
pub struct State {
    keys: BTreeMap<Text, Entry>,
    sessions: BTreeMap<SessionId, Session>,
    /// Until when a key is not acquired.
    delays: BTreeMap<Text, Time>,
    index: u64,
    /// The index of the last deletion: a blocking query on a key that is gone must see it.
    deleted: u64,
}

/// The shortest time of a session that a server takes: `session_ttl_min`.
pub const SESSION_TTL_MIN: Span = Span::secs(10);
/// The longest.
pub const SESSION_TTL_MAX: Span = Span::secs(86_400);
/// The longest lock-delay.
pub const MAX_LOCK_DELAY: Span = Span::secs(60);

impl State {
    /// Keys that begin with `prefix`, and the index that a blocking query goes on from.
    pub fn keys(&self, prefix: &str) -> (Vec<Entry>, u64) {
        let found: Vec<Entry> = self.keys.values().filter(|e| e.key.starts_with(prefix)).cloned().collect();
        let index = found.iter().map(|e| e.modify_index).max().unwrap_or(0).max(self.deleted).max(1);
        (found, index)
    }
    /// A session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }
    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, s)| (*id, s))
    }
    /// The index of the last change.
    pub fn index(&self) -> u64 {
        self.index
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
                Ok(true)
            }
            Request::Delete(key, cas) => {
                let known = self.keys.get(key).map_or(0, |e| e.modify_index);
                if cas.is_some_and(|c| c != known) {
                    return Ok(false);
                }
                if self.keys.remove(key).is_some() {
                    self.deleted = index;
                }
                Ok(true)
            }
            Request::SessionCreate(id, session) => {
                let mut session = Session::clone(session);
                session.lock_delay = session.lock_delay.min(MAX_LOCK_DELAY);
                self.sessions.insert(*id, session);
                Ok(true)
            }
            Request::SessionDestroy(id) => {
                self.invalidate(index, at, *id);
                Ok(true)
            }
            Request::Get { .. }
            | Request::SessionRenew(_)
            | Request::AgentSelf
            | Request::ServiceRegister(_)
            | Request::ServiceDeregister(_) => Ok(false),
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
        Ok(true)
    }
    /// The session's keys go, or lose it, in one transaction; its lock-delay begins.
    fn invalidate(&mut self, index: u64, at: Time, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let held: Vec<Text> =
            self.keys.values().filter(|e| e.session == Some(id)).map(|e| e.key.clone()).collect();
        for key in held {
            if !session.lock_delay.is_zero() {
                self.delays.insert(key.clone(), at + session.lock_delay);
            }
            match session.behavior {
                Behavior::Delete => {
                    self.keys.remove(&key);
                    self.deleted = index;
                }
                Behavior::Release => {
                    if let Some(e) = self.keys.get_mut(&key) {
                        e.session = None;
                        e.modify_index = index;
                    }
                }
            }
        }
    }
}
