//! Invariants over databases: who accepts writes, who believes in its key, and what became of what clients were told.

use super::ledger::Ledger;
use crate::engine::Time;
use crate::fault::roles;
use crate::net::Plane;
use crate::node::process::HostId;
use crate::proto::Daemon;
use crate::say;
use crate::scenario::types::Invariant;
use crate::sim::World;

/// All of them.
pub(super) const ALL: [Invariant; 8] = [
    Invariant::SplitBrainAnywhere,
    Invariant::SplitBrain,
    Invariant::TwoLeaseHolders,
    Invariant::TwoPgpoolLeaders,
    Invariant::PromotionWithoutKey,
    Invariant::LostCommit,
    Invariant::PhantomRead,
    Invariant::DuplicateWrite,
];

fn names(world: &World, hosts: &[HostId]) -> String {
    hosts.iter().map(|h| world.host(*h).name.as_str()).collect::<Vec<_>>().join(&say!("and"))
}

/// Whether some client, on its own host or over the network, reaches a host.
fn reachable(world: &World, host: HostId) -> bool {
    let uses = |h: HostId| {
        roles::daemon(world, h, |d| {
            matches!(d, Daemon::App(_) | Daemon::Client(_) | Daemon::HAProxy(_)).then_some(())
        })
        .is_some()
    };
    roles::hosts(world)
        .filter(|h| uses(*h))
        .any(|c| c == host || (world.hears(c, host, Plane::client) && world.hears(host, c, Plane::client)))
}

/// What is wrong, if the invariant does not hold just now.
pub(super) fn check(world: &World, ledger: &Ledger, i: Invariant, now: Time) -> Option<String> {
    // Servers that each do their statements for themselves all take writes, and have no common history.
    let alone = matches!(
        i,
        Invariant::SplitBrain
            | Invariant::SplitBrainAnywhere
            | Invariant::LostCommit
            | Invariant::PhantomRead
    );
    if ledger.pool.independent && alone {
        return None;
    }
    let newest = || ledger.newest().map_or((String::new(), 0), |(h, t)| (world.host(h).name.clone(), t));
    match i {
        Invariant::SplitBrainAnywhere => {
            let two: Vec<HostId> = roles::primaries(world).collect();
            (two.len() > 1).then(|| say!("check-split-brain-anywhere", names = names(world, &two)))
        }
        Invariant::SplitBrain => {
            let two: Vec<HostId> = roles::primaries(world).filter(|h| reachable(world, *h)).collect();
            (two.len() > 1).then(|| say!("check-split-brain", names = names(world, &two)))
        }
        Invariant::TwoLeaseHolders => {
            let two: Vec<HostId> = roles::hosts(world).filter(|h| roles::believes(world, *h, now)).collect();
            (two.len() > 1).then(|| say!("check-two-leaders", names = names(world, &two)))
        }
        Invariant::TwoPgpoolLeaders => {
            let two: Vec<HostId> = roles::escalated_pgpools(world).collect();
            (two.len() > 1).then(|| say!("check-two-pgpools", names = names(world, &two)))
        }
        Invariant::PromotionWithoutKey => {
            let (host, owner) = ledger.without_key.as_ref()?;
            let name = &world.host(*host).name;
            let still = roles::writable(world, *host) && roles::key_owner(world).as_ref() != Some(name);
            let owner = owner.clone().unwrap_or_else(|| say!("check-nobody"));
            still.then(|| say!("check-no-key", host = name, owner = owner))
        }
        Invariant::LostCommit => {
            let (n, at, by) = ledger.lost()?;
            let (host, timeline) = newest();
            let by = &world.host(by).name;
            Some(say!("check-lost", n = n, host = host, timeline = timeline, at = at, by = by))
        }
        Invariant::PhantomRead => {
            let by = ledger.phantom_read()?;
            let (host, timeline) = newest();
            Some(say!("check-phantom-read", by = world.host(by).name, host = host, timeline = timeline))
        }
        Invariant::DuplicateWrite => {
            let operation = ledger.duplicate()?;
            Some(say!("check-duplicate", operation = operation, host = newest().0))
        }
        _ => None,
    }
}
