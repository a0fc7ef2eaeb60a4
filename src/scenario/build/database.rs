//! Databases and their managers.

use super::{Plan, Site};
use crate::net::addr::Endpoint;
use crate::node::process::Pid;
use crate::proto::Daemon;
use crate::proto::patroni::process::{Dcs, Setup};
use crate::proto::patroni::{Agent, Patroni};
use crate::proto::postgres::data::{Conninfo, DbState, Slot};
use crate::proto::postgres::sql::Catalog;
use crate::proto::postgres::{Postgres, Postmaster};
use crate::proto::{consul, dns, etcd};
use crate::scenario::types::Runs;
use crate::sim::World;
use std::sync::Arc;

/// Whether Patroni manages the PostgreSQL of this host.
fn managed(plan: &Plan<'_>, host: &str) -> bool {
    plan.stack.hosts.get(host).is_some_and(|h| h.runs.iter().any(|r| matches!(r, Runs::Patroni(_))))
}

pub(super) fn postgres(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Postgres) {
    let managed = managed(plan, site.host);
    let catalog = Arc::new(Catalog::new(config.tables.clone(), config.functions.clone()));
    let setup = crate::proto::postgres::Setup { config: config.clone(), name: site.host.into(), catalog };
    let pid = world.add_proc(
        site.id,
        site.name,
        None,
        Daemon::Postgres(Box::new(Postmaster::new(Arc::new(setup)))),
    );
    // Patroni starts it; it outlives a Patroni that is killed.
    world.procs[pid.0 as usize].autostart = !managed;
    let data = &mut world.hosts[site.id.0 as usize].files.pg;
    data.physics = config.physics(managed);
    if managed {
        return;
    }
    data.conf.synchronous_standby_names = config.synchronous_standby_names.parse().unwrap_or_default();
    // The slots that its standbys will use exist.
    for runs in plan.stack.hosts.values().flat_map(|h| &h.runs) {
        if let Runs::Postgres(other) = runs
            && other.primary_conninfo.as_deref() == Some(site.host)
            && let Some(slot) = &other.primary_slot_name
        {
            data.slots.insert(slot.as_str().into(), Slot::default());
        }
    }
    if let Some(upstream) = &config.primary_conninfo {
        let slot = config.primary_slot_name.as_deref().map(Into::into);
        data.conf.primary_conninfo = Some(Conninfo { ip: plan.ip(upstream), application_name: None, slot });
        data.conf.standby_signal = true;
        data.control.state = DbState::ShutDownInRecovery;
    }
}

/// The process number of the PostgreSQL of a host. Processes are numbered in the order of hosts and daemons, a keepalived counting twice.
pub(super) fn postgres_pid(plan: &Plan<'_>, host: &str) -> Pid {
    let mut n = 0;
    for (name, h) in &plan.stack.hosts {
        for r in &h.runs {
            if name == host && matches!(r, Runs::Postgres(_)) {
                return Pid(n);
            }
            n += match r {
                Runs::Keepalived(_) | Runs::Slurmd(_) => 2,
                Runs::Lvs(l) if l.sync_daemon => 2,
                Runs::Pgpool(p) => super::pgpool::processes(plan, name, p).len() as u16,
                _ => 1,
            };
        }
    }
    Pid(n)
}

pub(super) fn patroni(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Patroni) {
    let here = &plan.stack.hosts[site.host];
    let members = plan.hosts_with(|r| matches!(r, Runs::Patroni(_)));
    let etcd = plan.hosts_with(|r| matches!(r, Runs::Etcd(_)));
    let ip = plan.ip(site.host);
    let dcs = if here.runs.iter().any(|r| matches!(r, Runs::Consul(_))) {
        Dcs::Consul(Endpoint::new(ip, consul::server::HTTP_PORT))
    } else {
        Dcs::Etcd(etcd.iter().map(|h| Endpoint::new(h.1, etcd::member::CLIENT_PORT)).collect())
    };
    let vip_net = config.callbacks.vip.and_then(|vip| {
        let inside = |(net, host, a): &&(String, String, crate::net::addr::Cidr)| {
            host == site.host && config.callbacks.interface.as_ref().map_or(a.contains(vip.ip), |i| i == net)
        };
        let (net, ..) = plan.addresses.iter().find(inside)?;
        site.nets.iter().find(|n| n.0 == *net).map(|n| n.1)
    });
    let dns_server = config.callbacks.dns_server.as_ref().and_then(|d| {
        let named = plan.stack.hosts.keys().find(|h| h.eq_ignore_ascii_case(&d.host));
        let ip = d.ip().or_else(|| named.map(|h| plan.ip(h)))?;
        Some(Endpoint::new(ip, d.port.unwrap_or(dns::PORT)))
    });
    let synchronous_commit = here
        .runs
        .iter()
        .find_map(|r| if let Runs::Postgres(p) = r { Some(p.synchronous_commit) } else { None })
        .unwrap_or_default();
    let setup = Setup {
        vip_net,
        dns_server,
        synchronous_commit,
        name: site.host.into(),
        ip,
        postgres: postgres_pid(plan, site.host),
        dcs,
        members: members.iter().map(|(h, ip)| ((*h).into(), *ip)).collect(),
    };
    world.add_proc(site.id, site.name, None, Daemon::Patroni(Box::new(Agent::new(config.clone(), setup))));
}
