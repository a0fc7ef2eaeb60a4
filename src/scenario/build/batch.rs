//! Batch clusters: all hosts of a kind belong to one cluster.

use super::{Plan, Site};
use crate::net::addr::Endpoint;
use crate::node::process::Pid;
use crate::proto::Daemon;
use crate::proto::batch::{Cluster, Controller, FileServer, NodeDaemon, Steps, User, msg};
use crate::proto::batch::{Nfs, Sbatch, Slurmctld, Slurmd};
use crate::scenario::types::Runs;
use crate::sim::World;

/// The nodes in the order of their names, numbers in them counting as numbers: n2 comes before n10.
fn nodes<'a>(plan: &Plan<'a>) -> Vec<(&'a str, crate::net::addr::Ip)> {
    let mut hosts: Vec<(&'a str, crate::net::addr::Ip)> = plan
        .stack
        .hosts
        .iter()
        .filter(|(_, h)| h.runs.iter().any(|r| matches!(r, Runs::Slurmd(_))))
        .map(|(name, _)| (name.as_str(), plan.ip(name)))
        .collect();
    hosts.sort_by_key(|(name, _)| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        (stem.to_owned(), name[stem.len()..].parse::<u64>().unwrap_or(0), (*name).to_owned())
    });
    hosts
}
/// The controllers, the first one first.
fn controllers<'a>(plan: &'a Plan<'_>) -> Vec<(&'a str, crate::net::addr::Ip)> {
    let mut all = plan.hosts_with(|r| matches!(r, Runs::Slurmctld(c) if !c.backup));
    all.extend(plan.hosts_with(|r| matches!(r, Runs::Slurmctld(c) if c.backup)));
    all
}
fn cluster(plan: &Plan<'_>) -> Cluster {
    let nfs = plan.hosts_with(|r| matches!(r, Runs::Nfs(_)));
    Cluster {
        controllers: controllers(plan).iter().map(|c| Endpoint::new(c.1, msg::CONTROLLER)).collect(),
        nodes: nodes(plan).iter().map(|(name, ip)| ((*name).into(), Endpoint::new(*ip, msg::NODE))).collect(),
        nfs: nfs.first().map(|n| [Endpoint::new(n.1, msg::NFS)].into()),
    }
}

pub(super) fn slurmctld(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Slurmctld) {
    let me = controllers(plan).iter().position(|c| c.0 == site.host).unwrap_or(0);
    let controller = Controller::new(config.clone(), cluster(plan), me);
    world.add_proc(site.id, site.name, None, Daemon::Slurmctld(Box::new(controller)));
}
pub(super) fn slurmd(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Slurmd) {
    let me = nodes(plan).iter().position(|n| n.0 == site.host).unwrap_or(0) as u16;
    let steps = Pid(world.procs.len() as u16 + 1);
    let daemon = NodeDaemon::new(config.clone(), cluster(plan), me, steps);
    world.add_proc(site.id, site.name, None, Daemon::Slurmd(Box::new(daemon)));
    let steps = Steps::new(cluster(plan), me, config.mtbf);
    let pid = world.add_proc(site.id, "slurmstepd", None, Daemon::Steps(Box::new(steps)));
    // The node's daemon starts it for the first job; it outlives that daemon.
    world.procs[pid.0 as usize].autostart = false;
}
pub(super) fn sbatch(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Sbatch) {
    let user = User::new(config.clone(), cluster(plan));
    world.add_proc(site.id, site.name, None, Daemon::Sbatch(Box::new(user)));
}
pub(super) fn nfs(world: &mut World, _: &Plan<'_>, site: &Site<'_>, config: &Nfs) {
    world.add_proc(site.id, site.name, None, Daemon::Nfs(Box::new(FileServer::new(config.clone()))));
}
