//! Fence devices, and what they are wired to.

use super::{Plan, Site};
use crate::node::process::{HostId, NetId};
use crate::proto::Daemon;
use crate::proto::fence::config::DeviceKind;
use crate::proto::fence::{Device, FenceDevice};
use crate::proto::lvs::note::Names;
use crate::scenario::types::{Runs, Stack};
use crate::sim::World;
use std::sync::Arc;

type Port = (Arc<str>, HostId, Vec<NetId>);

pub(super) fn device(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &FenceDevice) {
    let names = Names::new(plan.addresses.iter().map(|(_, h, a)| (a.ip, h.as_str().into())).collect());
    let own: Vec<&str> = site.nets.iter().map(|n| n.0.as_str()).collect();
    let shut = |host: &str| -> Vec<NetId> {
        let on = |net: &&String| plan.addresses.iter().any(|(n, h, _)| *n == **net && h == host);
        let wanted = |net: &&String| {
            if config.networks.is_empty() {
                !own.contains(&net.as_str())
            } else {
                config.networks.contains(*net)
            }
        };
        let all = plan.stack.networks.keys().enumerate();
        all.filter(|(_, n)| on(n) && wanted(n)).map(|(i, _)| NetId(i as u16)).collect()
    };
    // Hosts have their numbers in the order of their names, those that come later too.
    let number = |host: &str| plan.stack.hosts.keys().position(|h| h == host).map(|i| HostId(i as u16));
    let ports: Vec<Port> =
        config.all_ports().filter_map(|(p, h)| Some((p.into(), number(h)?, shut(h)))).collect();
    let device = Device::new(config.clone(), names, ports);
    world.add_proc(site.id, site.name, None, Daemon::Fence(Box::new(device)));
}

/// Plugs the hosts into the outlets of their devices, and devices into the supplies that they live from.
pub(super) fn wire(world: &mut World, stack: &Stack) {
    for (name, host) in &stack.hosts {
        let Some(id) = world.find_host(name) else { continue };
        for runs in &host.runs {
            let Runs::FenceDevice(f) = runs else { continue };
            world.hosts[id.0 as usize].fed_by = f.shares_power.as_ref().and_then(|h| world.find_host(h));
        }
    }
    for i in 0..world.procs.len() {
        let Daemon::Fence(d) = &world.procs[i].logic else { continue };
        if d.kind() != DeviceKind::Pdu {
            continue;
        }
        let hosts: Vec<HostId> = d.hosts().collect();
        for h in hosts {
            world.hosts[h.0 as usize].outlets.push((crate::node::process::Pid(i as u16), true));
        }
    }
    for h in 0..world.hosts.len() {
        let outlets = world.hosts[h].outlets.clone();
        for (pid, _) in outlets.iter().filter(|_| outlets.len() > 1) {
            if let Daemon::Fence(d) = &mut world.procs[pid.0 as usize].logic {
                d.shares(HostId(h as u16));
            }
        }
    }
}
