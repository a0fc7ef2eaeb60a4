//! Directors and their servers.

use super::{Plan, Site};
use crate::net::addr::{Cidr, Ip};
use crate::node::forward::Quiet;
use crate::node::process::NetId;
use crate::proto::Daemon;
use crate::proto::lvs::checkers::Checkers;
use crate::proto::lvs::note::Names;
use crate::proto::lvs::server::RealServer;
use crate::proto::lvs::sync::SyncDaemon;
use crate::proto::lvs::{Lvs, WebServer};
use crate::sim::World;

pub(super) fn director(
    world: &mut World,
    plan: &Plan<'_>,
    site: &Site<'_>,
    config: &Lvs,
    vips: &mut Vec<Ip>,
) {
    let names = Names::new(plan.addresses.iter().map(|(_, h, a)| (a.ip, h.as_str().into())).collect());
    let nets: Vec<(NetId, Cidr)> = world.host(site.id).nics.iter().map(|n| (n.net, n.primary)).collect();
    for a in &config.addresses {
        if !vips.contains(&a.ip) {
            vips.push(a.ip);
        }
    }
    let services: Vec<Ip> = config.virtual_server.iter().map(|v| v.address.ip).collect();
    let net = nets.iter().find(|(_, n)| services.iter().any(|ip| n.contains(*ip))).or(nets.first());
    let net = net.map_or(NetId(0), |n| n.0);
    let checkers = Checkers::new(config.clone(), names, nets);
    world.add_proc(site.id, site.name, None, Daemon::Lvs(Box::new(checkers)));
    if config.sync_daemon {
        let daemon = SyncDaemon::new(net, services);
        world.add_proc(site.id, "ipvs-sync", None, Daemon::IpvsSync(daemon));
    }
}

pub(super) fn server(world: &mut World, _: &Plan<'_>, site: &Site<'_>, config: &WebServer) {
    let host = &mut world.hosts[site.id.0 as usize];
    let quiet = |ip: &Ip, tunnel| Quiet { ip: *ip, tunnel, arp: !config.arp_ignore };
    host.quiet.extend(config.lo.iter().map(|ip| quiet(ip, false)));
    host.quiet.extend(config.tunl0.iter().map(|ip| quiet(ip, true)));
    host.gateway = config.gateway.or(host.gateway);
    world.add_proc(site.id, site.name, None, Daemon::Server(Box::new(RealServer::new(config.clone()))));
}
