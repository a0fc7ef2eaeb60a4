//! What uses a service: applications, and the DNS servers on their way.

use super::{Plan, Site};
use crate::net::addr::{Endpoint, Ip};
use crate::proto::Daemon;
use crate::proto::app::{App, Application, Place, Setup, Target};
use crate::proto::dns::authority::Entry;
use crate::proto::dns::name::{HostPort, normal};
use crate::proto::dns::recursor::Upstream;
use crate::proto::dns::stub::ResolvConf;
use crate::proto::dns::{self, Authority, Dns, Recursor, Resolver};
use crate::proto::postgres;
use crate::scenario::types::Runs;
use crate::sim::World;
use std::sync::Arc;

impl Plan<'_> {
    /// The address of a host by name, or what is an address already.
    fn address(&self, host: &str) -> Option<Ip> {
        let named = self.stack.hosts.keys().find(|h| h.eq_ignore_ascii_case(host));
        host.parse().ok().or_else(|| named.map(|h| self.ip(h)))
    }
    fn endpoints(&self, list: &[HostPort], port: u16) -> Vec<Endpoint> {
        let at = |p: &HostPort| Some(Endpoint::new(self.address(&p.host)?, p.port.unwrap_or(port)));
        list.iter().filter_map(at).collect()
    }
    /// The DNS servers of a host's programs: its own resolver, all resolvers, or the authoritative servers.
    fn nameservers(&self, host: &str) -> Vec<Endpoint> {
        let port = |(_, ip): &(&str, Ip)| Endpoint::new(*ip, dns::PORT);
        let resolvers = self.hosts_with(|r| matches!(r, Runs::Resolver(_)));
        if let Some(own) = resolvers.iter().find(|(h, _)| *h == host) {
            return vec![port(own)];
        }
        let servers = self.hosts_with(|r| matches!(r, Runs::Dns(_)));
        let list = if resolvers.is_empty() { servers } else { resolvers };
        list.iter().map(port).collect()
    }
}

pub(super) fn dns(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Dns) {
    let entry = |(name, record): (&String, &dns::config::Record)| Entry {
        name: normal(name).into(),
        addresses: record.addresses.iter().filter_map(|a| plan.address(a)).collect(),
        ttl: record.ttl,
    };
    let zone = config.records.iter().map(entry).collect();
    let config = Dns { zone: normal(&config.zone), ..config.clone() };
    world.add_proc(site.id, site.name, None, Daemon::Dns(Authority::new(config, zone)));
}

pub(super) fn resolver(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Resolver) {
    let mut zones: Vec<(Arc<str>, Vec<Endpoint>)> = Vec::new();
    for (host, h) in &plan.stack.hosts {
        for r in &h.runs {
            let Runs::Dns(d) = r else { continue };
            let (zone, server) = (normal(&d.zone), Endpoint::new(plan.ip(host), dns::PORT));
            match zones.iter_mut().find(|z| *z.0 == *zone) {
                Some(z) => z.1.push(server),
                None => zones.push((zone.into(), vec![server])),
            }
        }
    }
    zones.sort_by_key(|(zone, _)| std::cmp::Reverse(zone.len()));
    let mut consul = plan.endpoints(&config.consul, dns::CONSUL_PORT);
    if consul.is_empty() {
        let hosts = plan.hosts_with(|r| matches!(r, Runs::Consul(_)));
        let own = hosts.iter().find(|(h, _)| *h == site.host);
        let list = own.map_or(hosts.as_slice(), std::slice::from_ref);
        consul = list.iter().map(|(_, ip)| Endpoint::new(*ip, dns::CONSUL_PORT)).collect();
    }
    let upstream = Upstream { zones, forward: plan.endpoints(&config.forward, dns::PORT), consul };
    world.add_proc(site.id, site.name, None, Daemon::Resolver(Recursor::new(config.clone(), upstream)));
}

pub(super) fn application(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Application) {
    let target = |p: &HostPort| {
        let place = match plan.address(&p.host) {
            Some(ip) => Place::At(ip),
            None if p.host == "localhost" => Place::At(plan.ip(site.host)),
            None => Place::Named(p.host.as_str().into()),
        };
        Target { place, port: p.port.unwrap_or(postgres::PORT) }
    };
    let nameservers = if config.nameservers.is_empty() {
        plan.nameservers(site.host)
    } else {
        plan.endpoints(&config.nameservers, dns::PORT)
    };
    let resolv = ResolvConf { nameservers, timeout: config.resolv_timeout, attempts: config.resolv_attempts };
    let setup = Setup { targets: config.connect.0.iter().map(target).collect(), resolv };
    let app = Daemon::App(Box::new(App::new(config.clone(), setup)));
    let pid = world.add_proc(site.id, site.name, None, app);
    world.procs[pid.0 as usize].autostart = config.autostart;
}
