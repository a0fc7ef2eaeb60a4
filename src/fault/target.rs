//! Who a fault hits: names and roles, looked up when it fires.

use super::roles;
use crate::net::addr::Ip;
use crate::node::process::HostId;
use crate::proto::Daemon;
use crate::say;
use crate::scenario::types::Target;
use crate::sim::World;

/// Roles of a world that faults may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roles {
    /// Some stack process answers for a virtual address.
    Vip,
}

/// The effective VRRP priority of a host's first instance (0 without one).
fn priority(world: &World, host: HostId) -> u8 {
    let h = world.host(host);
    h.procs
        .iter()
        .find_map(|p| match &world.proc(*p).logic {
            Daemon::Vrrp(v, ..) => v.instances().first().map(|i| i.effective_priority()),
            _ => None,
        })
        .unwrap_or(0)
}
fn may_hold(world: &World, host: HostId) -> bool {
    let stands_by = |d: &Daemon| matches!(d, Daemon::Vrrp(..) | Daemon::Heartbeat(_) | Daemon::Crm(_));
    world.host(host).procs.iter().any(|p| stands_by(&world.proc(*p).logic))
}
fn has_client(world: &World, host: HostId) -> bool {
    world.host(host).procs.iter().any(|p| matches!(world.proc(*p).logic, Daemon::Client(_) | Daemon::App(_)))
}

/// The hosts that a target stands for just now, in order.
pub fn resolve(world: &World, target: &Target, vips: &[Ip]) -> Vec<HostId> {
    let holder = || {
        let mut holders: Vec<HostId> = vips.first().map(|v| world.holders(*v).collect()).unwrap_or_default();
        holders.sort_by_key(|h| std::cmp::Reverse(priority(world, *h)));
        holders.first().copied()
    };
    let primary = || roles::primary(world).or_else(|| roles::instances(world, true).next()).or_else(holder);
    match target {
        Target::Host(name) => world.find_host(name).into_iter().collect(),
        Target::Hosts(names) => names.iter().filter_map(|n| world.find_host(n)).collect(),
        Target::Others(names) => {
            roles::hosts(world).filter(|h| !names.contains(&world.host(*h).name)).collect()
        }
        Target::Everyone => roles::hosts(world).collect(),
        Target::Clients => roles::hosts(world).filter(|h| has_client(world, *h)).collect(),
        Target::VipHolder => holder().into_iter().collect(),
        Target::Primary => primary().into_iter().collect(),
        Target::Leader => roles::store_leader(world)
            .or_else(|| roles::pgpool_leaders(world).next())
            .or_else(|| roles::dc(world))
            .or_else(holder)
            .into_iter()
            .collect(),
        Target::Databases => roles::hosts(world).filter(|h| roles::has_postgres(world, *h)).collect(),
        Target::Replicas => {
            let servers = roles::replicas(world).into_iter();
            servers.chain(roles::instances(world, false)).collect()
        }
        Target::SyncStandby => roles::sync_standby(world).into_iter().collect(),
        Target::Stores => roles::hosts(world).filter(|h| roles::is_store(world, *h)).collect(),
        Target::Proxies => roles::hosts(world).filter(|h| roles::is_proxy(world, *h)).collect(),
        Target::Standby(n) if roles::hosts(world).any(|h| roles::has_postgres(world, h)) => {
            roles::replicas(world).get((*n as usize).saturating_sub(1)).copied().into_iter().collect()
        }
        Target::Standby(n) => {
            let holder = holder();
            let mut standby: Vec<HostId> = roles::hosts(world)
                .filter(|h| may_hold(world, *h) && Some(*h) != holder && super::awake(world, *h))
                .collect();
            standby.sort_by_key(|h| (std::cmp::Reverse(priority(world, *h)), *h));
            standby.get((*n as usize).saturating_sub(1)).copied().into_iter().collect()
        }
        Target::MostAdvanced => roles::most_advanced(world).into_iter().collect(),
        Target::PrimarySite => {
            let Some(primary) = primary() else { return Vec::new() };
            roles::hosts(world).filter(|h| roles::same_site(world, *h, primary)).collect()
        }
        Target::Arbiters => roles::hosts(world).filter(|h| roles::arbiter(world, *h).is_some()).collect(),
    }
}

/// A target in words.
pub(super) fn words(target: &Target) -> String {
    match target {
        Target::Host(h) => h.clone(),
        Target::Hosts(h) => h.join(", "),
        Target::Others(h) => say!("target-others", hosts = h.join(", ")),
        Target::VipHolder => say!("target-vip-holder"),
        Target::Standby(n) => say!("target-standby", n = n),
        Target::Everyone => say!("target-everyone"),
        Target::Clients => say!("target-clients"),
        Target::Primary => say!("target-primary"),
        Target::Databases => say!("target-databases"),
        Target::Replicas => say!("target-replicas"),
        Target::SyncStandby => say!("target-sync-standby"),
        Target::Stores => say!("target-stores"),
        Target::Proxies => say!("target-proxies"),
        Target::Leader => say!("target-leader"),
        Target::MostAdvanced => say!("target-most-advanced"),
        Target::PrimarySite => say!("target-primary-site"),
        Target::Arbiters => say!("target-arbiters"),
    }
}
