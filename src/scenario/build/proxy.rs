//! Proxies.

use super::{Plan, Site};
use crate::net::addr::Endpoint;
use crate::proto::haproxy::config::HAProxy;
use crate::proto::haproxy::process::Service;
use crate::proto::haproxy::setup::{Setup, expand};
use crate::proto::{Daemon, dns};
use crate::scenario::types::Runs;
use crate::sim::World;

pub(super) fn haproxy(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &HAProxy) {
    let service = if config.patroni || !config.listen.is_empty() || !config.frontend.is_empty() {
        let patroni: Vec<&str> =
            plan.hosts_with(|r| matches!(r, Runs::Patroni(_))).into_iter().map(|(h, _)| h).collect();
        let known = |host: &str| plan.stack.hosts.contains_key(host).then(|| plan.ip(host));
        let setup = Setup::new(&expand(config, &patroni), nameservers(plan, site.host), &known);
        Service::with(config.clone(), setup)
    } else {
        Service::new(config.clone())
    };
    world.add_proc(site.id, site.name, None, Daemon::HAProxy(service));
}

/// Who answers a host's questions for names: a resolver of its own, all resolvers, or the authoritative servers.
fn nameservers(plan: &Plan<'_>, host: &str) -> Vec<Endpoint> {
    let mut servers = plan.hosts_with(|r| matches!(r, Runs::Resolver(_)));
    if servers.iter().any(|(h, _)| *h == host) {
        servers.retain(|(h, _)| *h == host);
    } else if servers.is_empty() {
        servers = plan.hosts_with(|r| matches!(r, Runs::Dns(_)));
    }
    servers.into_iter().map(|(_, ip)| Endpoint::new(ip, dns::PORT)).collect()
}
