//! `sbd` and its disks.

use super::{Plan, Site, cluster};
use crate::net::addr::Ip;
use crate::proto::Daemon;
use crate::proto::sbd::daemon::{Daemon as Process, Setup};
use crate::proto::sbd::disk::Disk;
use crate::proto::sbd::{Sbd, SbdDisk};
use crate::scenario::types::{Host, Runs};
use crate::sim::World;
use std::sync::Arc;

fn header(host: &Host) -> Option<&SbdDisk> {
    host.runs.iter().find_map(|r| if let Runs::SbdDisk(d) = r { Some(d) } else { None })
}

pub(super) fn daemon(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Sbd) {
    // A disk is asked at its address on a network that the node is on too.
    let reach = |name: &str| {
        let common = plan.addresses.iter().find(|(n, h, _)| h == name && site.nets.iter().any(|s| s.0 == *n));
        common.map_or_else(|| plan.ip(name), |(.., a)| a.ip)
    };
    let disks: Vec<(Arc<str>, Ip)> = config.devices.iter().map(|d| (d.as_str().into(), reach(d))).collect();
    let first = config.devices.first().and_then(|d| plan.stack.hosts.get(d)).and_then(header);
    let corosync = plan.stack.hosts.get(site.host).and_then(cluster::config);
    let watchdog = first.map_or(config.watchdog_timeout, |d| d.timeout_watchdog);
    let slow_device = corosync.and_then(|c| c.device.as_ref()).is_some_and(|d| d.sync_timeout > watchdog);
    let runs = |h: &Host| h.runs.iter().any(|r| matches!(r, Runs::Pacemaker(_)));
    let pacemaker = plan.stack.hosts.get(site.host).is_some_and(runs);
    let policy = plan.stack.pacemaker.as_ref().and_then(|c| c.properties.get("no-quorum-policy"));
    let ignores_quorum = pacemaker && policy.is_some_and(|p| p == "ignore");
    let setup = Setup {
        node: site.host.into(),
        disks,
        watchdog,
        every: first.map_or(config.timeout_loop, |d| d.timeout_loop),
        msgwait: first.map_or(watchdog.times(2), SbdDisk::msgwait),
        corosync: corosync.is_some(),
        pacemaker: config.pacemaker && pacemaker,
        distrusts_alone: corosync.is_some_and(|c| c.two_node) || slow_device,
        ignores_quorum,
    };
    world.add_proc(site.id, site.name, None, Daemon::Sbd(Box::new(Process::new(config.clone(), setup))));
}
pub(super) fn disk(world: &mut World, site: &Site<'_>, config: &SbdDisk) {
    world.add_proc(site.id, site.name, None, Daemon::SbdDisk(Box::new(Disk::new(config.clone()))));
}
