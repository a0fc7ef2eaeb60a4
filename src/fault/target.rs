//! Who a fault hits: names and roles, looked up when it fires.

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
            Daemon::Vrrp(v, _) => v.instances().first().map(|i| i.effective_priority()),
            _ => None,
        })
        .unwrap_or(0)
}
fn has_vrrp(world: &World, host: HostId) -> bool {
    world.host(host).procs.iter().any(|p| matches!(world.proc(*p).logic, Daemon::Vrrp(..)))
}
fn has_client(world: &World, host: HostId) -> bool {
    world.host(host).procs.iter().any(|p| matches!(world.proc(*p).logic, Daemon::Client(_)))
}
fn all(world: &World) -> impl Iterator<Item = HostId> + '_ {
    (0..world.hosts.len()).map(|i| HostId(i as u16))
}

/// The hosts that a target stands for just now, in order.
pub fn resolve(world: &World, target: &Target, vips: &[Ip]) -> Vec<HostId> {
    let holder = || {
        let mut holders: Vec<HostId> = vips.first().map(|v| world.holders(*v).collect()).unwrap_or_default();
        holders.sort_by_key(|h| std::cmp::Reverse(priority(world, *h)));
        holders.first().copied()
    };
    match target {
        Target::Host(name) => world.find_host(name).into_iter().collect(),
        Target::Hosts(names) => names.iter().filter_map(|n| world.find_host(n)).collect(),
        Target::Others(names) => all(world).filter(|h| !names.contains(&world.host(*h).name)).collect(),
        Target::Everyone => all(world).collect(),
        Target::Clients => all(world).filter(|h| has_client(world, *h)).collect(),
        Target::VipHolder | Target::Leader | Target::Primary => holder().into_iter().collect(),
        Target::Standby(n) => {
            let holder = holder();
            let mut standby: Vec<HostId> = all(world)
                .filter(|h| has_vrrp(world, *h) && Some(*h) != holder && super::awake(world, *h))
                .collect();
            standby.sort_by_key(|h| (std::cmp::Reverse(priority(world, *h)), *h));
            standby.get((*n as usize).saturating_sub(1)).copied().into_iter().collect()
        }
        Target::MostAdvanced => Vec::new(),
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
        Target::Leader => say!("target-leader"),
        Target::MostAdvanced => say!("target-most-advanced"),
    }
}
