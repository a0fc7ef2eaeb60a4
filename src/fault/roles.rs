//! Who is what in a database stack, seen from outside: what the world is, not what a process believes.

use crate::node::process::{HostId, Pid};
use crate::node::world::Life;
use crate::proto::postgres::Postmaster;
use crate::proto::postgres::msg::{Lsn, Place};
use crate::proto::{Daemon, patroni};
use crate::sim::World;

/// All hosts.
pub fn hosts(world: &World) -> impl Iterator<Item = HostId> + '_ {
    (0..world.hosts.len()).map(|i| HostId(i as u16))
}
/// The process of a host that is of a kind, if it has one.
pub fn daemon<'a, T>(
    world: &'a World,
    host: HostId,
    is: impl Fn(&'a Daemon) -> Option<T>,
) -> Option<(Pid, T)> {
    world.host(host).procs.iter().find_map(|p| is(&world.proc(*p).logic).map(|t| (*p, t)))
}
/// The database server of a host.
pub fn postmaster(world: &World, host: HostId) -> Option<(Pid, &Postmaster)> {
    daemon(world, host, |d| if let Daemon::Postgres(p) = d { Some(&**p) } else { None })
}
/// Whether a host has a database server, running or not.
pub fn has_postgres(world: &World, host: HostId) -> bool {
    postmaster(world, host).is_some()
}
/// The Patroni of a host.
pub fn patroni(world: &World, host: HostId) -> Option<(Pid, &patroni::Agent)> {
    daemon(world, host, |d| if let Daemon::Patroni(p) = d { Some(&**p) } else { None })
}
/// What the pgpool of a host was told.
pub fn pgpool(world: &World, host: HostId) -> Option<&crate::proto::pgpool::Setup> {
    use crate::proto::pgpool::Proc;
    daemon(world, host, |d| match d {
        Daemon::Pgpool(p) => match &**p {
            Proc::Parent(p) => Some(p.setup()),
            _ => None,
        },
        _ => None,
    })
    .map(|(_, s)| s)
}
/// Whether the servers of a pgpool each do their statements for themselves: no one's data follows from another's.
pub fn independent(world: &World) -> bool {
    hosts(world).filter_map(|h| pgpool(world, h)).any(|s| !s.mode.has_primary())
}
/// The database server of a host that is awake, if it runs.
fn server(world: &World, host: HostId) -> Option<&Postmaster> {
    let (pid, p) = postmaster(world, host).filter(|_| super::awake(world, host))?;
    (world.proc(pid).life == Life::Running).then_some(p)
}
/// Whether a host's server accepts writes just now.
pub fn writable(world: &World, host: HostId) -> bool {
    server(world, host).is_some_and(Postmaster::writable)
}
/// The hosts whose servers accept writes.
pub fn primaries(world: &World) -> impl Iterator<Item = HostId> + '_ {
    hosts(world).filter(|h| writable(world, *h))
}
/// The primary: of two, the one on the newest timeline.
pub fn primary(world: &World) -> Option<HostId> {
    primaries(world).max_by_key(|h| (timeline(world, *h), std::cmp::Reverse(*h)))
}
/// The timeline of a host's data directory.
pub fn timeline(world: &World, host: HostId) -> u32 {
    world.host(host).files.pg.control.timeline
}
/// Whether a host's server runs in recovery and takes connections.
pub fn is_replica(world: &World, host: HostId) -> bool {
    server(world, host).is_some_and(Postmaster::in_recovery)
}
/// The replicas: servers in recovery; where pgpool does every statement on every server, all but the first that takes writes.
pub fn replicas(world: &World) -> Vec<HostId> {
    if independent(world) {
        return primaries(world).filter(|h| Some(*h) != primary(world)).collect();
    }
    hosts(world).filter(|h| is_replica(world, *h)).collect()
}
/// Whether a standby streams, and there is a primary that accepts writes.
pub fn streams(world: &World, host: HostId) -> bool {
    server(world, host).is_some_and(Postmaster::streaming) && primaries(world).next().is_some()
}
/// How many standbys do.
pub fn standbys(world: &World) -> usize {
    let streaming = hosts(world).filter(|h| server(world, *h).is_some_and(Postmaster::streaming)).count();
    if streaming > 0 && primaries(world).next().is_some() { streaming } else { 0 }
}
/// The place up to which a standby has received WAL.
pub fn received(world: &World, host: HostId) -> Place {
    postmaster(world, host).map_or_else(Place::default, |(_, p)| p.has_up_to(&world.host(host).files.pg))
}
/// The standby that has received most, the first by name among equals.
pub fn most_advanced(world: &World) -> Option<HostId> {
    let key = |h: &HostId| -> (u32, Lsn, std::cmp::Reverse<HostId>) {
        (timeline(world, *h), received(world, *h).lsn, std::cmp::Reverse(*h))
    };
    hosts(world).filter(|h| is_replica(world, *h)).max_by_key(key)
}
/// The first standby that the primary waits for.
pub fn sync_standby(world: &World) -> Option<HostId> {
    let (_, p) = postmaster(world, primary(world)?)?;
    let name = p.sync_standby()?;
    hosts(world).find(|h| *world.host(*h).name == *name)
}
/// Whether a host runs a member of the DCS.
pub fn is_store(world: &World, host: HostId) -> bool {
    store(world, host).is_some()
}
/// The member of the DCS on a host.
pub fn store(world: &World, host: HostId) -> Option<Pid> {
    daemon(world, host, |d| matches!(d, Daemon::Etcd(..) | Daemon::ConsulServer(..)).then_some(()))
        .map(|(pid, ())| pid)
}
/// What on a host has a vote in who is primary, and no data: a member of the DCS, a server of quorum devices, a node of the Corosync cluster
/// without a database where others have one.
pub fn arbiter(world: &World, host: HostId) -> Option<Pid> {
    let is =
        |h: HostId, f: fn(&Daemon) -> bool| daemon(world, h, |d| f(d).then_some(())).map(|(pid, ())| pid);
    let node = |h| is(h, |d| matches!(d, Daemon::Corosync(_)));
    let witness = || {
        let others = hosts(world).any(|h| has_postgres(world, h) && node(h).is_some());
        node(host).filter(|_| others && !has_postgres(world, host))
    };
    store(world, host).or_else(|| is(host, |d| matches!(d, Daemon::Qnetd(_)))).or_else(witness)
}
/// What stands on a host between clients and servers: HAProxy, pgpool.
pub fn is_proxy(world: &World, host: HostId) -> bool {
    daemon(world, host, |d| matches!(d, Daemon::HAProxy(_) | Daemon::Pgpool(_)).then_some(())).is_some()
}
/// Whether two hosts stand in the same site.
pub fn same_site(world: &World, a: HostId, b: HostId) -> bool {
    a == b || (world.host(a).site.is_some() && world.host(a).site == world.host(b).site)
}
/// Whether a member of the DCS leads, and its term.
fn leads(world: &World, host: HostId) -> Option<u32> {
    use crate::proto::raft::Role;
    let pid = store(world, host)?;
    if !super::runs(world, pid) {
        return None;
    }
    match &world.proc(pid).logic {
        Daemon::Etcd(e) => (e.raft().role() == Role::Leader).then(|| e.raft().term()),
        Daemon::ConsulServer(c) => (c.raft().role() == Role::Leader).then(|| c.raft().term()),
        _ => None,
    }
}
/// The host whose member leads the DCS: of two, the one with the newer term.
pub fn store_leader(world: &World) -> Option<HostId> {
    hosts(world).filter_map(|h| leads(world, h).map(|t| (t, h))).max().map(|(_, h)| h)
}
/// The member that holds the leader key, as the members of the DCS that are furthest know it.
pub fn key_owner(world: &World) -> Option<String> {
    let furthest = hosts(world).filter_map(|h| store(world, h)).max_by_key(|pid| {
        let applied = match &world.proc(*pid).logic {
            Daemon::Etcd(e) => e.store().revision(),
            Daemon::ConsulServer(c) => c.state().index(),
            _ => 0,
        };
        (applied, std::cmp::Reverse(*pid))
    })?;
    match &world.proc(furthest).logic {
        Daemon::Etcd(e) => e
            .store()
            .range("/")
            .into_iter()
            .find(|kv| kv.key.ends_with("/leader"))
            .map(|kv| kv.value.to_string()),
        Daemon::ConsulServer(c) => {
            let (keys, _) = c.state().keys("");
            keys.into_iter()
                .find(|e| e.key.ends_with("/leader") && e.session.is_some())
                .map(|e| e.value.to_string())
        }
        _ => None,
    }
}
/// The host's Patroni, as far as it runs, believes that it holds the leader key.
pub fn believes(world: &World, host: HostId, now: crate::engine::Time) -> bool {
    patroni(world, host)
        .is_some_and(|(pid, p)| super::runs(world, pid) && p.believes_leader(world.wall_clock(host, now)))
}

/// The Corosync of a host, if it runs and does not stand still.
pub fn corosync(world: &World, host: HostId) -> Option<&crate::proto::corosync::Corosync> {
    let (pid, c) = daemon(world, host, |d| if let Daemon::Corosync(c) = d { Some(&**c) } else { None })?;
    super::runs(world, pid).then_some(c)
}
/// Whether a host's Corosync runs and tells its clients that there is quorum.
pub fn quorate(world: &World, host: HostId) -> bool {
    corosync(world, host).is_some_and(|c| c.quorate())
}
/// The hosts whose pgpool leads its watchdog: those that have escalated first.
pub fn pgpool_leaders(world: &World) -> impl Iterator<Item = HostId> + '_ {
    use crate::proto::pgpool::watchdog::msg::State;
    let leads = move |h: &HostId| {
        let s = &world.host(*h).files.pgpool;
        super::awake(world, *h) && s.parent.is_some() && s.wd.state == Some(State::Coordinator)
    };
    let escalated = |h: &HostId| world.host(*h).files.pgpool.wd.escalated;
    let first = hosts(world).filter(move |h| leads(h) && escalated(h));
    first.chain(hosts(world).filter(move |h| leads(h) && !escalated(h)))
}
/// The hosts whose pgpool leads its watchdog and has the virtual address by right.
pub fn escalated_pgpools(world: &World) -> impl Iterator<Item = HostId> + '_ {
    pgpool_leaders(world).filter(|h| world.host(*h).files.pgpool.wd.escalated)
}
/// The DC of a Pacemaker cluster: of two partitions', the one that is quorate.
pub fn dc(world: &World) -> Option<HostId> {
    hosts(world)
        .filter(|h| super::crm::is_dc(world, *h))
        .max_by_key(|h| (quorate(world, *h), std::cmp::Reverse(*h)))
}
/// Whether Pacemaker is set up on a host.
pub fn has_pacemaker(world: &World, host: HostId) -> bool {
    daemon(world, host, |d| matches!(d, Daemon::Crm(_)).then_some(())).is_some()
}
/// The hosts on which an agent has started (or, with `promoted`, promoted) an instance of something that can be promoted.
pub fn instances(world: &World, promoted: bool) -> impl Iterator<Item = HostId> + '_ {
    let any = move |h: &HostId| {
        let names = super::crm::promotable(world);
        let mut files = world.host(*h).files.crm.run.iter();
        files.any(|(name, f)| f.running && f.promoted == promoted && names.iter().any(|n| n == name))
    };
    hosts(world).filter(move |h| super::awake(world, *h) && any(h))
}
