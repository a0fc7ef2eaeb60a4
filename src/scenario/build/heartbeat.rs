//! Nodes of a generic heartbeat cluster.

use super::{Plan, Site};
use crate::net::addr::Ip;
use crate::proto::Daemon;
use crate::proto::heartbeat::{Heartbeat, Node};
use crate::proto::lvs::note::Names;
use crate::sim::World;

pub(super) fn node(
    world: &mut World,
    plan: &Plan<'_>,
    site: &Site<'_>,
    config: &Heartbeat,
    vips: &mut Vec<Ip>,
) {
    let Some(vip) = config.vip else { return };
    if !vips.contains(&vip.ip) {
        vips.push(vip.ip);
    }
    let names = Names::new(plan.addresses.iter().map(|(_, h, a)| (a.ip, h.as_str().into())).collect());
    let nics = &world.host(site.id).nics;
    let named = config.interface.as_ref().and_then(|n| site.nets.iter().find(|s| s.0 == *n)).map(|s| s.1);
    let nic = nics.iter().find(|n| Some(n.net) == named);
    let nic = nic.or_else(|| nics.iter().find(|n| n.primary.contains(vip.ip))).or(nics.first());
    let Some((net, own)) = nic.map(|n| (n.net, n.primary.ip)) else { return };
    let node = Node::new(config.clone(), names, net, own);
    world.add_proc(site.id, site.name, None, Daemon::Heartbeat(Box::new(node)));
}
