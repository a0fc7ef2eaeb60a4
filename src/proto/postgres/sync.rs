//! Synchronous replication: whom a commit waits for, and when the wait ends.
//!
//! Sources: PostgreSQL 15, `syncrep.c`; documentation "Synchronous Replication". A commit waits after its local flush, so that it is durable
//! here before anybody else has it. Waits end in the order of the WAL, when a standby's reply says so; a change of
//! `synchronous_standby_names` is looked at with the next reply, an empty list ends all waits at once. A wait that is cut (cancel,
//! termination, fast stop) leaves the transaction committed here.

use super::config::SynchronousCommit;
use super::data::{SenderState, SyncNames, SyncState};
use super::msg::{Lsn, Place};
use super::note::{Note, WaitCut};
use super::process::Postmaster;
use super::sender::Sender;
use super::wal::Commit;
use crate::engine::{Span, Time};
use crate::node::process::ConnId;
use crate::proto::Cx;
use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;

impl FromStr for SyncNames {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(SyncNames::Empty);
        }
        let (head, list) = match text.split_once('(') {
            None => (None, text),
            Some((head, rest)) => {
                let Some(list) = rest.strip_suffix(')') else {
                    return Err("the list of names is not closed".to_owned());
                };
                (Some(head.trim()), list)
            }
        };
        let names: Vec<Arc<str>> = list.split(',').map(|n| n.trim().trim_matches('"').into()).collect();
        if names.iter().any(|n| n.is_empty() || n.contains([' ', '(', ')'])) {
            return Err("expected names such as `a, b`, `FIRST 1 (a, b)` or `ANY 1 (a, b)`".to_owned());
        }
        let names: Arc<[Arc<str>]> = names.into();
        let words: Vec<&str> = head.unwrap_or("").split_whitespace().collect();
        let (any, number) = match words[..] {
            [] => (false, "1"),
            [n] => (false, n),
            [word, n] if word.eq_ignore_ascii_case("any") => (true, n),
            [word, n] if word.eq_ignore_ascii_case("first") => (false, n),
            _ => return Err("expected `FIRST n (…)` or `ANY n (…)`".to_owned()),
        };
        let Some(n) = number.parse::<u32>().ok().filter(|n| *n > 0) else {
            return Err(format!("`{number}` is not a number of standbys from 1"));
        };
        Ok(match (any, n, &names[..]) {
            (false, 1, [one]) if &**one == "*" => SyncNames::Star,
            (false, ..) => SyncNames::First(n, names),
            (true, ..) => SyncNames::Any(n, names),
        })
    }
}

impl SyncNames {
    /// The rank of a standby of this name, from 1; nothing: it is not in the list.
    pub fn priority(&self, name: &str) -> Option<u32> {
        match self {
            SyncNames::Empty => None,
            SyncNames::Star => Some(1),
            SyncNames::First(_, names) | SyncNames::Any(_, names) => {
                names.iter().position(|n| **n == *name || &**n == "*").map(|i| i as u32 + 1)
            }
        }
    }
    /// How many standbys a commit waits for.
    pub fn needed(&self) -> usize {
        match self {
            SyncNames::Empty => 0,
            SyncNames::Star => 1,
            SyncNames::First(n, _) | SyncNames::Any(n, _) => *n as usize,
        }
    }
}

/// A commit that waits for standbys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wait {
    lsn: Lsn,
    conn: ConnId,
    query: u32,
    place: Place,
    since: Time,
}

/// The commits that wait for standbys.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    queue: VecDeque<Wait>,
    /// Everything up to here has been waited for.
    released: Lsn,
    /// It has been told that there are too few standbys.
    told: bool,
}

impl Postmaster {
    /// Whether the rule of the configuration makes commits wait for standbys.
    fn waits_for_standbys(&self) -> bool {
        self.names != SyncNames::Empty
            && !matches!(
                self.setup.config.synchronous_commit,
                SynchronousCommit::Off | SynchronousCommit::Local
            )
    }
    fn reached(&self, s: &Sender) -> Lsn {
        match self.setup.config.synchronous_commit {
            SynchronousCommit::RemoteWrite => s.write,
            SynchronousCommit::RemoteApply => s.apply,
            _ => s.flush,
        }
    }
    /// The walsenders that count, by rank, and their number as long as it is enough.
    fn candidates(&self) -> Vec<(u32, usize)> {
        let mut all: Vec<(u32, usize)> = self
            .senders
            .iter()
            .enumerate()
            .filter(|(_, s)| s.state == SenderState::Streaming && s.flush > Lsn(0))
            .filter_map(|(i, s)| Some((self.names.priority(&s.name)?, i)))
            .collect();
        all.sort_unstable();
        all
    }
    /// What a standby is for commits that wait.
    pub(super) fn sync_state(&self, i: usize) -> SyncState {
        let Some(rank) = self.senders.get(i).and_then(|s| self.names.priority(&s.name)) else {
            return SyncState::Async;
        };
        match self.names {
            SyncNames::Any(..) => SyncState::Quorum,
            _ => {
                let first = self.candidates().iter().take(self.names.needed()).any(|c| *c == (rank, i));
                if first { SyncState::Sync } else { SyncState::Potential }
            }
        }
    }
    /// How far commits may be acknowledged; nothing if there are too few standbys.
    fn releasable(&self) -> Option<Lsn> {
        let n = self.names.needed();
        let candidates = self.candidates();
        if candidates.len() < n || n == 0 {
            return None;
        }
        if matches!(self.names, SyncNames::Any(..)) {
            let mut all: Vec<Lsn> = candidates.iter().map(|c| self.reached(&self.senders[c.1])).collect();
            all.sort_unstable();
            return Some(all[all.len() - n]);
        }
        candidates.iter().take(n).map(|c| self.reached(&self.senders[c.1])).min()
    }
    /// Whether commits have been waiting for standbys for a second, or must wait for some that are not there.
    pub(super) fn blocked(&self, now: Time) -> bool {
        self.waits_for_standbys()
            && (self.waits.queue.front().is_some_and(|w| now.since(w.since) > Span::secs(1))
                || self.candidates().len() < self.names.needed())
    }

    /// A commit has been flushed here: it is over, or waits for standbys.
    pub(super) fn flushed_commit(&mut self, c: Commit, place: Place, ctx: &mut Cx<'_>) {
        if !self.waits_for_standbys() || c.lsn <= self.waits.released {
            return self.commit_over(c.conn, c.query, place, false, ctx);
        }
        // An interrupt that came during the flush is seen at the beginning of the wait.
        if self.clients.interrupted(c.conn) {
            return self.cut_wait(c.conn, c.query, place, ctx);
        }
        self.waits.queue.push_back(Wait { lsn: c.lsn, conn: c.conn, query: c.query, place, since: ctx.now });
        self.tell_if_blocked(ctx);
    }
    pub(super) fn tell_if_blocked(&mut self, ctx: &mut Cx<'_>) {
        let (have, need) = (self.candidates().len(), self.names.needed());
        if !self.waits.told && !self.waits.queue.is_empty() && have < need {
            self.waits.told = true;
            Self::tell(ctx, Note::SyncBlocked { have: have as u32, need: need as u32 });
        }
    }
    fn commit_over(&mut self, conn: ConnId, query: u32, place: Place, warned: bool, ctx: &mut Cx<'_>) {
        self.wal.visible = self.wal.visible.max(place.lsn);
        self.written(conn, query, place, warned, ctx);
    }
    /// A standby has replied: whether that ends waits. Only the reply of one that is waited for does.
    pub(super) fn release(&mut self, from: usize, ctx: &mut Cx<'_>) {
        if !self.waits_for_standbys() || !matches!(self.sync_state(from), SyncState::Sync | SyncState::Quorum)
        {
            return;
        }
        let Some(lsn) = self.releasable() else { return };
        self.waits.released = self.waits.released.max(lsn);
        self.release_up_to(lsn, ctx);
    }
    fn release_up_to(&mut self, lsn: Lsn, ctx: &mut Cx<'_>) {
        while let Some(w) = self.waits.queue.front().copied().filter(|w| w.lsn <= lsn) {
            self.waits.queue.pop_front();
            self.commit_over(w.conn, w.query, w.place, false, ctx);
        }
        if self.waits.queue.is_empty() && self.waits.told {
            self.waits.told = false;
            Self::tell(ctx, Note::SyncReleased);
        }
    }
    /// `synchronous_standby_names` has changed.
    pub(super) fn names_changed(&mut self, ctx: &mut Cx<'_>) {
        Self::tell(ctx, Note::NamesChanged { names: self.names.to_string() });
        if self.names == SyncNames::Empty {
            self.release_up_to(Lsn(u64::MAX), ctx);
        }
        self.tell_if_blocked(ctx);
    }
    /// The client cancelled, or the session is ended: the wait is cut, the transaction stays.
    fn cut_wait(&mut self, conn: ConnId, query: u32, place: Place, ctx: &mut Cx<'_>) {
        let ended = self.clients.ending(conn);
        let why = if ended { WaitCut::Terminated } else { WaitCut::Cancelled };
        Self::tell(ctx, Note::WaitCut { place, why });
        self.wal.visible = self.wal.visible.max(place.lsn);
        if ended {
            // No acknowledgement: the connection breaks.
            self.end_session(conn, ctx);
        } else {
            self.written(conn, query, place, true, ctx);
        }
    }
    /// Cuts the wait of a session, if it waits.
    pub(super) fn cut_wait_of(&mut self, conn: ConnId, ctx: &mut Cx<'_>) -> bool {
        let Some(i) = self.waits.queue.iter().position(|w| w.conn == conn) else { return false };
        if let Some(w) = self.waits.queue.remove(i) {
            self.cut_wait(w.conn, w.query, w.place, ctx);
        }
        if self.waits.queue.is_empty() {
            self.waits.told = false;
        }
        true
    }
    /// Forgets all waits: the server ends.
    pub(super) fn forget_waits(&mut self) {
        self.waits = Waits::default();
    }
}

impl std::fmt::Display for SyncNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SyncNames::Empty => f.write_str("''"),
            SyncNames::Star => f.write_str("*"),
            SyncNames::First(n, names) => write!(f, "FIRST {n} ({})", names.join(", ")),
            SyncNames::Any(n, names) => write!(f, "ANY {n} ({})", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_postgresql_reads_them() {
        for (text, printed) in [
            ("", "''"),
            ("a", "FIRST 1 (a)"),
            ("a, b", "FIRST 1 (a, b)"),
            ("2 (a, b)", "FIRST 2 (a, b)"),
            ("any 1 (a,b)", "ANY 1 (a, b)"),
            ("*", "*"),
        ] {
            assert_eq!(text.parse::<SyncNames>().unwrap().to_string(), printed);
        }
        assert!("FIRST 0 (a)".parse::<SyncNames>().is_err());
        assert!("FIRST 1 (a".parse::<SyncNames>().is_err());
        assert_eq!("a, *".parse::<SyncNames>().unwrap().priority("z"), Some(2));
    }
}
