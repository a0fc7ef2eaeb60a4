//! pgpool-II and its processes.

use super::{Plan, Site};
use crate::net::addr::Ip;
use crate::node::process::Pid;
use crate::proto::Daemon;
use crate::proto::pgpool::config::Flag;
use crate::proto::pgpool::remote::{Remote, RemoteSetup};
use crate::proto::pgpool::{Backend, Pgpool, Proc, Role, Setup, roles};
use crate::proto::postgres::sql::Catalog;
use crate::scenario::types::Runs;
use crate::sim::World;
use std::sync::Arc;

/// The backends of a pgpool: those that it names, or every host that runs PostgreSQL.
fn backends(plan: &Plan<'_>, config: &Pgpool) -> Vec<Backend> {
    if config.backends.is_empty() {
        let all = plan.hosts_with(|r| matches!(r, Runs::Postgres(_)));
        let backend = |(host, ip): (&str, Ip)| Backend {
            host: host.into(),
            ip,
            port: crate::proto::postgres::PORT,
            weight: 1,
            flag: Flag::default(),
        };
        return all.into_iter().map(backend).collect();
    }
    let named = |b: &crate::proto::pgpool::config::Backend| Backend {
        host: b.host.as_str().into(),
        ip: plan.ip(&b.host),
        port: b.port,
        weight: b.weight,
        flag: b.flag,
    };
    config.backends.iter().map(named).collect()
}
/// The other pgpools with a watchdog.
fn peers(plan: &Plan<'_>, host: &str) -> Vec<(Arc<str>, Ip)> {
    let all = plan.hosts_with(|r| matches!(r, Runs::Pgpool(p) if p.use_watchdog));
    all.into_iter().filter(|(h, _)| *h != host).map(|(h, ip)| (h.into(), ip)).collect()
}
/// What processes a pgpool has.
pub(super) fn processes(plan: &Plan<'_>, host: &str, config: &Pgpool) -> Vec<Role> {
    roles(config, backends(plan, config).len(), peers(plan, host).len())
}

pub(super) fn pgpool(
    world: &mut World,
    plan: &Plan<'_>,
    site: &Site<'_>,
    config: &Pgpool,
    vips: &mut Vec<Ip>,
) {
    if let Some(vip) = config.delegate_ip
        && !vips.contains(&vip.ip)
    {
        vips.push(vip.ip);
    }
    let first = world.procs.len() as u16;
    let all = processes(plan, site.host, config);
    let backends = backends(plan, config);
    // Tables and functions are what the first node's catalog says.
    let server = backends.first().and_then(|b| plan.stack.hosts.get(&*b.host));
    let postgres = server
        .and_then(|h| h.runs.iter().find_map(|r| if let Runs::Postgres(p) = r { Some(p) } else { None }));
    let catalog = postgres.map(|p| Catalog::new(p.tables.clone(), p.functions.clone())).unwrap_or_default();
    let setup = Arc::new(Setup {
        backends,
        processes: all.iter().enumerate().map(|(i, r)| (*r, Pid(first + i as u16))).collect(),
        peers: peers(plan, site.host),
        nets: site.nets.to_vec(),
        trusted: config.trusted_servers.iter().map(|h| h.parse().unwrap_or_else(|_| plan.ip(h))).collect(),
        ..Setup::new(config.clone(), site.host, plan.ip(site.host), catalog)
    });
    for role in all {
        let parent = (role != Role::Parent).then_some(Pid(first));
        let logic = Daemon::Pgpool(Box::new(Proc::new(role, &setup)));
        world.add_proc(site.id, &role.name(site.name), parent, logic);
    }
}

/// What the scripts of pgpools need on the database hosts: a process each, behind all others, if there is such a script.
pub(super) fn remotes(world: &mut World, plan: &Plan<'_>) {
    let scripts = |r: &Runs| matches!(r, Runs::Pgpool(p) if p.has_scripts());
    let config = plan.stack.hosts.values().flat_map(|h| &h.runs).find(|r| scripts(r));
    let Some(Runs::Pgpool(config)) = config else { return };
    for (host, ip) in plan.hosts_with(|r| matches!(r, Runs::Postgres(_))) {
        let Some(id) = world.find_host(host) else { continue };
        let postgres = super::database::postgres_pid(plan, host);
        let setup = Arc::new(RemoteSetup::new(host, ip, postgres, config));
        let logic = Daemon::Pgpool(Box::new(Proc::Remote(Remote::new(setup))));
        world.add_proc(id, "sshd", None, logic);
    }
}
