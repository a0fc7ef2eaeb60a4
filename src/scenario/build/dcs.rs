//! The distributed stores: etcd and Consul.

use super::{Plan, Site};
use crate::net::addr::Ip;
use crate::proto::Daemon;
use crate::proto::consul::msg::NodeId;
use crate::proto::consul::{self, Place, config::Consul};
use crate::proto::etcd::{self, config::Etcd};
use crate::proto::raft::{Library, Member, Rules};
use crate::scenario::types::Runs;
use crate::sim::World;

pub(super) fn etcd(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Etcd) {
    let hosts = plan.hosts_with(|r| matches!(r, Runs::Etcd(_)));
    let me = hosts.iter().position(|(h, _)| *h == site.host).unwrap_or(0);
    let library = Library::Etcd {
        heartbeat: config.heartbeat_interval,
        election: config.election_timeout,
        check_quorum: true,
    };
    let rules = Rules { library, pre_vote: config.pre_vote };
    let members = hosts.iter().map(|h| h.1).collect();
    let member = etcd::Etcd::new(etcd::Config { me: Member(me as u8), members, rules });
    world.add_proc(site.id, site.name, None, Daemon::Etcd(Box::new(member)));
}

pub(super) fn consul(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, config: &Consul) {
    let hosts = plan.hosts_with(|r| matches!(r, Runs::Consul(c) if c.server));
    let servers: Vec<Ip> = hosts.iter().map(|h| h.1).collect();
    let all = plan.hosts_with(|r| matches!(r, Runs::Consul(_)));
    let node = |name: &str| NodeId(all.iter().position(|(h, _)| *h == name).unwrap_or(0) as u16);
    let place = Place {
        me: node(site.host),
        nodes: all.iter().map(|(h, ip)| ((*h).into(), *ip)).collect(),
        servers: hosts.iter().map(|(h, _)| node(h)).collect(),
        session_ttl_min: config.session_ttl_min,
    };
    let daemon = if config.server {
        let me = hosts.iter().position(|(h, _)| *h == site.host).unwrap_or(0);
        let rules = Rules::consul(config.raft_multiplier, config.pre_vote);
        let server = consul::Server::new(consul::Config {
            me: Member(me as u8),
            servers,
            rules,
            rpc_hold_timeout: config.rpc_hold_timeout,
            expiry: config.session_expiry,
            place,
        });
        Daemon::ConsulServer(Box::new(server))
    } else {
        Daemon::ConsulAgent(consul::Agent::new(servers, place))
    };
    world.add_proc(site.id, site.name, None, daemon);
}
