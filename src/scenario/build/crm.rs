//! Pacemaker: all hosts with one form a cluster, with the nodes of Corosync.

use super::{Plan, Site, cluster};
use crate::net::addr::{Cidr, Ip};
use crate::node::process::Pid;
use crate::proto::Daemon;
use crate::proto::crm::msg::Daemon as Part;
use crate::proto::crm::{self, NodeId, Pacemaker, Place, Process};
use crate::proto::sbd::Sbd;
use crate::scenario::types::{Runs, Stack};
use crate::sim::World;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The agent that has the host's PostgreSQL.
pub(in crate::scenario) const PGSQL: &str = "ocf:heartbeat:pgsql";

fn pacemaker<'a>(stack: &'a Stack, host: &str) -> Option<&'a Pacemaker> {
    let runs = &stack.hosts.get(host)?.runs;
    runs.iter().find_map(|r| if let Runs::Pacemaker(p) = r { Some(p) } else { None })
}
/// The nodes of the cluster.
pub(in crate::scenario) fn nodes(stack: &Stack) -> Vec<(NodeId, &str, &Pacemaker)> {
    let nodes = cluster::nodes(stack).into_iter();
    nodes.filter_map(|(host, id, _)| pacemaker(stack, host).map(|p| (id, host, p))).collect()
}

/// The `sbd` of a host.
pub(in crate::scenario) fn sbd<'a>(stack: &'a Stack, host: &str) -> Option<&'a Sbd> {
    let runs = &stack.hosts.get(host)?.runs;
    runs.iter().find_map(|r| if let Runs::Sbd(s) = r { Some(s) } else { None })
}

pub(super) fn pacemakerd(
    world: &mut World,
    plan: &Plan<'_>,
    site: &Site<'_>,
    config: &Pacemaker,
    vips: &mut Vec<Ip>,
) {
    let mut cluster = plan.stack.pacemaker.as_deref().cloned().unwrap_or_default();
    let watchdog = sbd(plan.stack, site.host).map(|s| s.watchdog_timeout);
    if nodes(plan.stack).iter().any(|n| sbd(plan.stack, n.1).is_some()) {
        // The controller writes it down when it finds that `sbd` runs.
        cluster.properties.entry("have-watchdog".to_owned()).or_insert_with(|| "true".to_owned());
    }
    let cluster = &cluster;
    let all = nodes(plan.stack);
    let Some((me, ..)) = all.iter().find(|n| n.1 == site.host) else { return };
    let Ok(cib) = crm::cib::make(cluster, &all) else { return };
    let primitives: Vec<_> = crm::cib::primitives(&cib.root).into_iter().map(|p| p.0).collect();
    for p in &primitives {
        if let Some(ip) =
            p.params.get("ip").filter(|_| p.agent.contains("IPaddr")).and_then(|ip| ip.parse::<Ip>().ok())
            && !vips.contains(&ip)
        {
            vips.push(ip);
        }
    }
    let first = world.procs.len() as u16;
    // Services that the cluster starts are not started at boot; they stand before `Pacemaker` in the list.
    let services: BTreeMap<String, Pid> = world
        .host(site.id)
        .procs
        .iter()
        .filter(|p| world.proc(**p).parent.is_none())
        .map(|p| (world.proc(*p).name.clone(), *p))
        .collect();
    for p in &primitives {
        let name = if p.agent == PGSQL {
            Some("postgres")
        } else {
            p.agent.split_once(':').filter(|(class, _)| *class == "systemd").map(|(_, name)| name)
        };
        if let Some(pid) = name.and_then(|n| services.get(n)) {
            world.procs[pid.0 as usize].autostart = false;
        }
    }
    let nets: Vec<_> = world.host(site.id).nics.iter().map(|n| (n.net, n.primary)).collect();
    let device = |(name, host): (&String, &crate::scenario::types::Host)| {
        let is = host.runs.iter().any(|r| matches!(r, Runs::FenceDevice(_)));
        is.then(|| {
            // On a network that this host is on as well.
            let reach = |ip: Ip| nets.iter().any(|(_, n): &(_, Cidr)| n.contains(ip));
            let mine = plan.addresses.iter().filter(|(_, h, _)| h == name).map(|(.., a)| a.ip);
            (name.clone(), mine.clone().find(|ip| reach(*ip)).or(mine.into_iter().next()).unwrap_or(Ip::NONE))
        })
    };
    let place = Arc::new(Place {
        name: site.host.into(),
        nodes: all.iter().map(|(id, name, _)| (*id, (*name).into())).collect(),
        me: *me,
        ip: plan.ip(site.host),
        nets: nets.clone(),
        services,
        devices: plan.stack.hosts.iter().filter_map(device).collect(),
        times: cluster.times.clone(),
        version: cluster.version(),
        watchdog,
    });
    let children: Vec<(Part, Pid)> = (1..).zip(Part::CHILDREN).map(|(i, d)| (d, Pid(first + i))).collect();
    let parent = Process::Pacemakerd(crm::pacemakerd::Pacemakerd::new(place.clone(), children));
    let parent = world.add_proc(site.id, site.name, None, Daemon::Crm(Box::new(parent)));
    let times = cluster.primitives().iter().map(|p| (p.id.clone(), p.times.clone())).collect();
    let times = Arc::new(times);
    let first_cib = crm::cib::first(cib);
    let set = config.feature_set.as_deref().unwrap_or(cluster.feature_set());
    let mut parts = set.split('.').map(|p| p.parse().unwrap_or(0));
    let set = std::array::from_fn(|_| parts.next().unwrap_or(0));
    for part in Part::CHILDREN {
        let logic = match part {
            Part::Based => Process::Based(crm::based::Based::new(place.clone(), first_cib.clone())),
            Part::Fenced => Process::Fenced(crm::fenced::Fenced::new(place.clone())),
            Part::Execd => Process::Execd(crm::execd::Execd::new(place.clone(), Arc::clone(&times))),
            Part::Attrd => Process::Attrd(crm::attrd::Attrd::new(place.clone())),
            Part::Schedulerd => Process::Schedulerd(crm::schedulerd::Schedulerd::new(place.clone())),
            Part::Controld | Part::Pacemakerd => {
                Process::Controld(crm::controld::Controld::new(place.clone(), config.cpu_time, set))
            }
        };
        world.add_proc(site.id, part.name(), Some(parent), Daemon::Crm(Box::new(logic)));
    }
    // `pacemaker.service` comes after `corosync.service` and is stopped before it.
    let waits = |p: &Pid| {
        let x = world.proc(*p);
        let ring = matches!(x.logic, Daemon::Corosync(_) | Daemon::Qdevice(_));
        ring || x.parent == Some(parent) || !x.autostart && x.parent.is_none()
    };
    let last: Vec<Pid> = world.host(site.id).procs.iter().copied().filter(waits).collect();
    let host = &mut world.hosts[site.id.0 as usize];
    (host.stops_first, host.stops_last) = (Some(parent), last);
}
