//! Invariants over a pgpool: what it did with writes, reads and clients, against what the servers hold.

use super::ledger::Record;
use crate::engine::{Span, Time};
use crate::fault::roles;
use crate::node::process::{HostId, Pid};
use crate::proto::pgpool::Setup;
use crate::proto::pgpool::config::Mode;
use crate::proto::pgpool::note::Note as Pool;
use crate::proto::postgres::msg::{Place, WriteId};
use crate::proto::{Note, app, pgpool};
use crate::say;
use crate::scenario::types::Invariant;
use crate::sim::{LogEntry, World};

/// All of them.
pub(super) const ALL: [Invariant; 5] = [
    Invariant::FewerCopies,
    Invariant::LateRead,
    Invariant::Divergence,
    Invariant::RefusedWithRoom,
    Invariant::OwnWriteUnseen,
];
/// How many of the last commits are looked through for copies of a write.
const RECENT: usize = 64;

/// How long an answer may be on its way from a pgpool to its client.
const ON_ITS_WAY: Span = Span::ms(2);

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// Servers each do their statements for themselves (raw, native replication, snapshot isolation, parallel query).
    pub(crate) independent: bool,
    /// There is a pgpool that writes to several servers, as far as that has been asked for.
    replicates: Option<bool>,
    /// A write with fewer copies than were promised: how many, of how many, when.
    fewer: Option<(usize, usize, Time)>,
    /// A read that went to a server that was detached, or this far behind.
    late: Option<(HostId, Option<u64>, Time)>,
    /// A client was refused while so many places of the queue were taken, of so many.
    refused: Option<(usize, u32, Time)>,
    /// When which node was attached.
    attached: Vec<(HostId, Time)>,
    /// The last write of each client.
    own: Vec<(Pid, Place)>,
    /// A client did not see its own write, by so many bytes.
    unseen: Option<(Pid, u64, Time)>,
}

/// The pgpool that a host's programs use: the first that there is.
fn pool(world: &World) -> Option<(HostId, &Setup)> {
    roles::hosts(world).find_map(|h| roles::pgpool(world, h).map(|s| (h, s)))
}
/// The same, if it writes to several servers.
fn replicating(world: &World) -> Option<(HostId, &Setup)> {
    pool(world).filter(|(_, s)| s.mode.replicates())
}
/// The host of a node.
fn node(world: &World, setup: &Setup, n: u8) -> Option<HostId> {
    world.find_host(&setup.backends.get(usize::from(n))?.host)
}

impl Book {
    /// Takes in what an event told; whether anything that invariants look at has changed.
    pub(super) fn take(
        &mut self,
        e: &LogEntry,
        note: &Note,
        host: HostId,
        records: &[Record],
        world: &World,
    ) -> bool {
        match note {
            Note::App(app::note::Note::Acked { write, place }) => {
                self.acked(*write, *place, records, world, e.at);
                self.independent
            }
            Note::App(app::note::Note::Seen { place, .. }) => {
                let Some(me) = e.pid else { return false };
                // Of a program with several sessions nobody can say which of them wrote.
                if !one_session(world, me) {
                    return false;
                }
                let own = self.own.iter().find(|o| o.0 == me).map(|o| o.1);
                let behind = own.filter(|o| o.branch == place.branch).map_or(0, |o| o.lsn.since(place.lsn));
                if behind > 0 && self.unseen.is_none() {
                    self.unseen = Some((me, behind, e.at));
                }
                behind > 0
            }
            Note::Pgpool(p) => match &**p {
                Pool::Routed { select: true, node: Some(n), .. } => self.read(*n, host, world, e.at),
                Pool::Attached { node: named, .. } => {
                    let Some(setup) = roles::pgpool(world, host) else { return false };
                    let is = |n: &u8| pgpool::names(setup, &[*n]) == *named;
                    let number = (0..setup.backends.len() as u8).find(is);
                    let server = number.and_then(|n| node(world, setup, n));
                    self.attached.extend(server.map(|h| (h, e.at)));
                    false
                }
                Pool::Refused { .. } => {
                    let Some(setup) = roles::pgpool(world, host) else { return false };
                    let port = setup.config.port;
                    let taken = world.host(host).tcp.shared.get(&port).map_or(0, |l| l.queue.len());
                    let room = setup.config.backlog();
                    if taken <= room as usize && self.refused.is_none() {
                        self.refused = Some((taken, room, e.at));
                    }
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }
    fn acked(&mut self, write: WriteId, place: Place, records: &[Record], world: &World, at: Time) {
        match self.own.iter_mut().find(|o| o.0 == write.client) {
            Some(o) => o.1 = place,
            None => self.own.push((write.client, place)),
        }
        if !*self.replicates.get_or_insert_with(|| replicating(world).is_some()) {
            return;
        }
        let Some((pool, setup)) = replicating(world) else { return };
        // An answer that was on its way when a node was attached promised nothing about that node.
        let new = |h: &HostId| self.attached.iter().any(|a| a.0 == *h && at.since(a.1) < ON_ITS_WAY);
        let nodes = world.host(pool).files.pgpool.attached().filter_map(|n| node(world, setup, n));
        let attached: Vec<HostId> = nodes.filter(|h| !new(h)).collect();
        let has = |h: &&HostId| records.iter().rev().take(RECENT).any(|r| r.write == write && r.host == **h);
        let copies = attached.iter().filter(has).count();
        // A program may also speak to a server directly: then nothing was promised.
        if copies > 0 && copies < attached.len() && through_pool(world, write.client) {
            self.fewer.get_or_insert((copies, attached.len(), at));
        }
    }
    fn read(&mut self, n: u8, host: HostId, world: &World, at: Time) -> bool {
        let Some(setup) = roles::pgpool(world, host) else { return false };
        let shared = &world.host(host).files.pgpool;
        let Some(server) = node(world, setup, n) else { return false };
        if !shared.valid(n) {
            self.late.get_or_insert((server, None, at));
            return true;
        }
        let most = setup.config.delay_threshold.0;
        let watched = setup.mode == Mode::StreamingReplication
            && most > 0
            && setup.config.delay_threshold_by_time.is_zero()
            && shared.primary != Some(n);
        let primary = shared.primary.filter(|_| watched).and_then(|p| node(world, setup, p));
        let shows = |h: HostId| roles::postmaster(world, h).map(|(_, p)| p.shows(world.clock(h, at)));
        let behind = primary.and_then(shows).zip(shows(server)).map_or(0, |(p, s)| p.since(s));
        if watched && behind > most {
            self.late.get_or_insert((server, Some(behind), at));
            return true;
        }
        false
    }
}
/// Whether a program has one session.
fn one_session(world: &World, client: Pid) -> bool {
    matches!(&world.proc(client).logic, crate::proto::Daemon::App(a) if a.sessions().count() == 1)
}
/// Whether a program connects to a pgpool.
fn through_pool(world: &World, client: Pid) -> bool {
    match &world.proc(client).logic {
        crate::proto::Daemon::App(a) => a.sessions().any(|(to, _)| {
            let here = |h: &HostId| roles::pgpool(world, *h).is_some_and(|s| s.config.port == to.port);
            roles::hosts(world).any(|h| here(&h))
        }),
        _ => false,
    }
}

/// What is wrong, if the invariant does not hold just now.
pub(super) fn check(world: &World, book: &Book, i: Invariant) -> Option<String> {
    let name = |h: HostId| world.host(h).name.as_str();
    match i {
        Invariant::FewerCopies => {
            let (have, of, at) = book.fewer?;
            Some(say!("check-fewer-copies", have = have, of = of, at = at))
        }
        Invariant::LateRead => {
            let (h, behind, at) = book.late?;
            Some(match behind {
                Some(bytes) => say!("check-late-read", host = name(h), bytes = bytes, at = at),
                None => say!("check-detached-read", host = name(h), at = at),
            })
        }
        Invariant::RefusedWithRoom => {
            let (taken, room, at) = book.refused?;
            Some(say!("check-refused", taken = taken, room = room, at = at))
        }
        Invariant::OwnWriteUnseen => {
            let (client, bytes, at) = book.unseen?;
            let host = name(world.proc(client).host);
            Some(say!("check-own-write", host = host, bytes = bytes, at = at))
        }
        Invariant::Divergence => diverged(world),
        _ => None,
    }
}

/// Whether a replicating pgpool is at work: then its servers may differ for a moment.
pub(super) fn busy(world: &World) -> bool {
    let Some((host, _)) = replicating(world) else { return false };
    world.host(host).files.pgpool.children.iter().any(|c| c.busy || c.transaction)
}

/// Attached servers of a replicating pgpool that differ while none of its sessions is at work.
fn diverged(world: &World) -> Option<String> {
    let (host, setup) = replicating(world)?;
    let shared = &world.host(host).files.pgpool;
    let servers: Vec<HostId> = shared.attached().filter_map(|n| node(world, setup, n)).collect();
    let first = *servers.first()?;
    let tables = |h: HostId| &world.host(h).files.pg.tables;
    let same = |h: &HostId| {
        let mut all = tables(first).keys().chain(tables(*h).keys());
        let of = |h: HostId, t: &str| tables(h).get(t).copied().unwrap_or_default();
        all.all(|t| {
            let (a, b) = (of(first, t), of(*h, t));
            (a.sum, a.dropped) == (b.sum, b.dropped)
        })
    };
    let other = servers.iter().find(|h| !same(h))?;
    let (a, b) = (&world.host(first).name, &world.host(*other).name);
    Some(say!("check-divergence", a = a, b = b))
}
