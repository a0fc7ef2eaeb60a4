//! The book of writes and reads: what was committed where, what clients were told, and what the newest history has of it.
//!
//! A write is known by its place, a branch of history and a position in it, so that whether a database has it is a question to the
//! database's history and not to a list of writes. The newest history is that of the server that was promoted last. When
//! that one takes no more writes and another server does, it is the other's: what decides between two primaries need not keep the newer timeline.

use crate::engine::{Span, Time};
use crate::node::log::What;
use crate::node::process::{HostId, Pid};
use crate::proto::postgres::history::History;
use crate::proto::postgres::msg::{Branch, Lsn, Place, WriteId};
use crate::proto::{Note, app, postgres};
use crate::sim::{LogEntry, World};

/// What a client was told of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Nothing yet.
    Nothing,
    /// That it is committed.
    Committed(Time),
    /// That it failed, or nothing at all before the client gave up.
    NoSuccess,
}

/// A write that a server committed.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Which.
    pub write: WriteId,
    /// Where in the history.
    pub place: Place,
    /// When.
    pub at: Time,
    /// On which host.
    pub host: HostId,
    /// What the client was told.
    pub told: Told,
}

/// The book.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    records: Vec<Record>,
    /// The furthest record of each branch.
    furthest: Vec<(Branch, Lsn)>,
    /// The last operation of each client that has a record.
    operations: Vec<(Pid, u32)>,
    /// The numbers of the records that the newest history does not have.
    outside: Vec<usize>,
    /// The numbers of the records of operations that had been tried before.
    again: Vec<usize>,
    newest: Option<(HostId, u32, History)>,
    /// The furthest place that a read saw, by branch: position and host.
    seen: Vec<(Branch, Lsn, HostId)>,
    /// A server that became writable without the key: it, and who had the key.
    pub(crate) without_key: Option<(HostId, Option<String>)>,
    /// The oldest state that a read saw: by how much it lagged behind what was committed.
    pub stale: Span,
    acked: u64,
    /// What pgpool did with writes, reads and clients.
    pub(crate) pool: super::pool::Book,
    lost: Option<(u64, Time, HostId)>,
}

/// How the book stands at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Balance {
    /// Writes that clients were told are committed.
    pub acked: u64,
    /// Those that the newest history does not have.
    pub lost: u64,
    /// How far back the loss goes: from the last acknowledged write before all that are lost to the last lost one, by the times of their
    /// acknowledgements. What a client was told in that time cannot be relied on.
    pub lost_window: Span,
    /// Writes that the newest history has although their clients were told of no success.
    pub phantom: u64,
    /// Operations that the newest history has more than once.
    pub duplicated: u64,
    /// By how much the oldest read lagged.
    pub stale_read: Span,
}

impl Ledger {
    /// Takes in what an event told; whether anything that invariants look at has changed.
    pub fn take(&mut self, e: &LogEntry, world: &World) -> bool {
        let (What::Note(note), Some(host)) = (&e.what, e.host) else { return false };
        let pool = self.pool.take(e, note, host, &self.records, world);
        pool | self.take_note(e, note, host, world)
    }
    fn take_note(&mut self, e: &LogEntry, note: &Note, host: HostId, world: &World) -> bool {
        match note {
            Note::Postgres(postgres::note::Note::Committed { write, place }) => {
                let record = Record { write: *write, place: *place, at: e.at, host, told: Told::Nothing };
                self.enter(record);
                false
            }
            Note::Postgres(postgres::note::Note::Primary { .. }) => {
                let control = &world.host(host).files.pg.control;
                let older = self.newest.as_ref().is_some_and(|n| n.1 > control.timeline);
                if !older {
                    self.newest = Some((host, control.timeline, control.history.clone()));
                    self.recount();
                }
                if crate::fault::roles::patroni(world, host).is_some() {
                    let owner = crate::fault::roles::key_owner(world);
                    if owner.as_deref() != Some(world.host(host).name.as_str()) {
                        self.without_key = Some((host, owner));
                    }
                }
                true
            }
            Note::App(app::note::Note::Acked { write, place }) => {
                self.acked += 1;
                let mut at = host;
                if let Some(r) = self.record(*write) {
                    r.told = Told::Committed(e.at);
                    at = r.host;
                }
                if !self.holds(*place) && !self.follows(*place, world) {
                    let (n, when, by) = self.lost.unwrap_or((0, e.at, at));
                    self.lost = Some((n + 1, when, by));
                    return true;
                }
                false
            }
            Note::App(app::note::Note::Unknown { write } | app::note::Note::Failed { write }) => {
                if let Some(r) = self.record(*write) {
                    r.told = Told::NoSuccess;
                }
                false
            }
            Note::App(app::note::Note::Seen { place, host }) => self.read(*place, *host, e.at),
            Note::Postgres(n) => n.mark().is_some(),
            Note::Patroni(n) => n.mark().is_some(),
            Note::Pgpool(n) => matches!(**n, crate::proto::pgpool::note::Note::Watchdog(_)),
            _ => false,
        }
    }
    fn enter(&mut self, record: Record) {
        let (write, place, number) = (record.write, record.place, self.records.len());
        raise(&mut self.furthest, place.branch, place.lsn);
        raise(&mut self.operations, write.client, write.operation);
        if !self.holds(place) {
            self.outside.push(number);
        }
        if write.attempt > 0 {
            self.again.push(number);
        }
        self.records.push(record);
    }
    /// The last record of a write.
    fn record(&mut self, write: WriteId) -> Option<&mut Record> {
        // Of most that failed there is none, and that is known without a search.
        let known = |(client, last): &(Pid, u32)| *client == write.client && write.operation <= *last;
        if !self.operations.iter().any(known) {
            return None;
        }
        self.records.iter_mut().rev().find(|r| r.write == write)
    }
    /// Whether the newest history has a place. Before the first promotion there is one history only.
    fn holds(&self, place: Place) -> bool {
        self.pool.independent || self.newest.as_ref().is_none_or(|n| n.2.contains(place))
    }
    /// A write that the newest history does not have was acknowledged: is it that another history has come into force? The server promoted
    /// last may be gone, stopped by whoever decided between two primaries, and another one writes on.
    fn follows(&mut self, place: Place, world: &World) -> bool {
        use crate::fault::roles;
        let Some(host) = roles::primary(world) else { return false };
        let control = &world.host(host).files.pg.control;
        let over =
            self.newest.as_ref().is_none_or(|n| control.timeline > n.1 || !roles::writable(world, n.0));
        if !over || !control.history.contains(place) {
            return false;
        }
        self.newest = Some((host, control.timeline, control.history.clone()));
        self.recount();
        true
    }
    /// Another history has come into force.
    fn recount(&mut self) {
        let outside = |i: &usize| !self.holds(self.records[*i].place);
        self.outside = (0..self.records.len()).filter(outside).collect();
        let mut lost: Option<(u64, Time, HostId)> = None;
        for r in self.outside() {
            if let Told::Committed(at) = r.told {
                let (n, when, by) = lost.unwrap_or((0, at, r.host));
                lost = Some((n + 1, when, by));
            }
        }
        self.lost = lost;
    }
    /// The writes that the newest history does not have.
    fn outside(&self) -> impl Iterator<Item = &Record> {
        self.outside.iter().map(|i| &self.records[*i])
    }
    fn read(&mut self, place: Place, host: HostId, now: Time) -> bool {
        match self.seen.iter_mut().find(|s| s.0 == place.branch) {
            Some(s) if s.1 < place.lsn => (s.1, s.2) = (place.lsn, host),
            Some(_) => {}
            None => self.seen.push((place.branch, place.lsn, host)),
        }
        if let Some(at) = self.unseen(place) {
            self.stale = self.stale.max(now.since(at));
        }
        !self.holds(place)
    }
    /// Since when the newest history had been told to be committed what a read up to this place did not see.
    fn unseen(&self, place: Place) -> Option<Time> {
        let newer = |p: Place| p.branch == place.branch && p.lsn > place.lsn;
        if !self.furthest.iter().any(|(branch, lsn)| newer(Place { branch: *branch, lsn: *lsn })) {
            return None;
        }
        let recent =
            self.records.iter().rev().take_while(|r| r.place.branch != place.branch || newer(r.place));
        recent.filter(|r| newer(r.place) && self.holds(r.place)).map(|r| r.at).min()
    }

    /// The server promoted last, and its timeline.
    pub fn newest(&self) -> Option<(HostId, u32)> {
        self.newest.as_ref().map(|n| (n.0, n.1))
    }
    /// Acknowledged writes that the newest history does not have: how many, when the first was acknowledged, and by which host.
    pub fn lost(&self) -> Option<(u64, Time, HostId)> {
        self.lost
    }
    /// A host on which a read saw what the newest history does not have.
    pub fn phantom_read(&self) -> Option<HostId> {
        let saw = |b: Branch, upto: Lsn| self.outside().any(|r| r.place.branch == b && r.place.lsn <= upto);
        self.seen.iter().find(|(b, lsn, _)| saw(*b, *lsn)).map(|s| s.2)
    }
    /// The first operation that the newest history has twice.
    pub fn duplicate(&self) -> Option<u32> {
        self.twice().next()
    }
    fn twice(&self) -> impl Iterator<Item = u32> + '_ {
        let again = self.again.iter().map(|i| (*i, &self.records[*i]));
        again.filter(|(_, r)| self.holds(r.place)).filter_map(|(i, r)| {
            let same = |o: &&Record| {
                o.write.client == r.write.client
                    && o.write.operation == r.write.operation
                    && o.write.attempt < r.write.attempt
                    && self.holds(o.place)
            };
            self.records[..i].iter().rev().find(same).map(|_| r.write.operation)
        })
    }
    fn lost_window(&self) -> Span {
        let acked = |r: &Record| if let Told::Committed(at) = r.told { Some(at) } else { None };
        let lost = || self.outside().filter_map(acked);
        let (Some(first), Some(last)) = (lost().min(), lost().max()) else { return Span::ZERO };
        let kept = self.records.iter().filter(|r| self.holds(r.place)).filter_map(acked);
        let before = kept.filter(|at| *at < first).max();
        last.since(before.unwrap_or(first))
    }
    /// The book's balance.
    pub fn balance(&self) -> Balance {
        let phantom = |r: &&Record| r.told == Told::NoSuccess && self.holds(r.place);
        Balance {
            acked: self.acked,
            lost: self.lost.map_or(0, |l| l.0),
            lost_window: self.lost_window(),
            phantom: self.records.iter().filter(phantom).count() as u64,
            duplicated: self.twice().count() as u64,
            stale_read: self.stale,
        }
    }
}

/// Remembers the largest value of each key.
fn raise<K: PartialEq, V: Ord>(list: &mut Vec<(K, V)>, key: K, value: V) {
    match list.iter_mut().find(|x| x.0 == key) {
        Some(x) if x.1 < value => x.1 = value,
        Some(_) => {}
        None => list.push((key, value)),
    }
}
