//! The replicated state: keys, revisions, leases.

use super::msg::{Act, Compare, Error, Kv, LeaseId, Op, Text, Txn};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What all members agree on, once they have applied the same commands.
#[derive(Clone, Debug, Default)]
pub struct Store {
    keys: BTreeMap<Text, Kv>,
    leases: BTreeMap<LeaseId, u64>,
    revision: u64,
    /// The last changes with their revisions, for watches that begin in the past.
    history: VecDeque<(u64, Arc<Changes>)>,
}
/// What a command changed: keys and what they are now.
pub type Changes = Vec<(Text, Option<Kv>)>;
/// So many revisions are kept for watches.
const HISTORY: usize = 256;

impl Store {
    /// Counts changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }
    /// Leases and their times in seconds.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, u64)> + '_ {
        self.leases.iter().map(|(id, ttl)| (*id, *ttl))
    }
    /// The time of a lease, in seconds.
    pub fn lease(&self, id: LeaseId) -> Option<u64> {
        self.leases.get(&id).copied()
    }
    /// Keys that begin with `prefix`.
    pub fn range(&self, prefix: &str) -> Vec<Kv> {
        self.keys.values().filter(|kv| kv.key.starts_with(prefix)).cloned().collect()
    }
    /// What was changed from a revision on.
    pub fn since(&self, revision: u64) -> impl Iterator<Item = &(u64, Arc<Changes>)> {
        self.history.iter().filter(move |h| h.0 >= revision)
    }
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Kv> {
        self.keys.get(key)
    }
    /// Remembers what a command changed.
    pub fn remember(&mut self, changes: &Arc<Changes>) {
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((self.revision, changes.clone()));
    }
    /// Applies a command: whether a transaction's conditions held, or why the command failed.
    pub fn apply(&mut self, act: &Act, changes: &mut Changes) -> Result<bool, Error> {
        match act {
            Act::Txn(txn) => {
                if !self.leases_exist(txn) {
                    return Err(Error::LeaseNotFound);
                }
                let revision = self.revision + 1;
                let holds = self.txn(txn, revision, changes);
                self.revision += u64::from(!changes.is_empty());
                Ok(holds)
            }
            Act::Grant(id, ttl) => match self.leases.contains_key(id) {
                true => Err(Error::LeaseExists),
                false => {
                    self.leases.insert(*id, *ttl);
                    Ok(true)
                }
            },
            Act::Revoke(id) => {
                if self.leases.remove(id).is_none() {
                    return Err(Error::LeaseNotFound);
                }
                let gone: Vec<Text> =
                    self.keys.values().filter(|kv| kv.lease == Some(*id)).map(|kv| kv.key.clone()).collect();
                self.revision += u64::from(!gone.is_empty());
                for key in gone {
                    self.keys.remove(&key);
                    changes.push((key, None));
                }
                Ok(true)
            }
            Act::Read => Ok(true),
        }
    }
    fn holds(&self, txn: &Txn) -> bool {
        txn.compare.iter().all(|c| match c {
            Compare::Absent(key) => !self.keys.contains_key(key),
            Compare::Value(key, value) => self.keys.get(key).is_some_and(|kv| kv.value == *value),
            Compare::ModRevision(key, n) => self.keys.get(key).is_some_and(|kv| kv.mod_revision == *n),
        })
    }
    /// Whether the leases of what is to be written exist.
    fn leases_exist(&self, txn: &Txn) -> bool {
        let ops = if self.holds(txn) { &txn.then } else { &txn.otherwise };
        ops.iter().all(|op| match op {
            Op::Put(_, _, lease) => lease.is_none_or(|id| self.leases.contains_key(&id)),
            Op::Delete(_) => true,
            Op::Txn(inner) => self.leases_exist(inner),
        })
    }
    fn txn(&mut self, txn: &Txn, revision: u64, changes: &mut Changes) -> bool {
        let mut holds = self.holds(txn);
        let ops = if holds { &txn.then } else { &txn.otherwise };
        for op in ops {
            match op {
                Op::Put(key, value, lease) => {
                    let create_revision = self.keys.get(key).map_or(revision, |kv| kv.create_revision);
                    let kv = Kv {
                        key: key.clone(),
                        value: value.clone(),
                        create_revision,
                        mod_revision: revision,
                        lease: *lease,
                    };
                    self.keys.insert(key.clone(), kv.clone());
                    changes.push((key.clone(), Some(kv)));
                }
                Op::Delete(key) => {
                    if self.keys.remove(key).is_some() {
                        changes.push((key.clone(), None));
                    }
                }
                Op::Txn(inner) => holds |= self.txn(inner, revision, changes),
            }
        }
        holds
    }
}
