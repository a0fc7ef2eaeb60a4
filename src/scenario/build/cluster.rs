//! Corosync clusters: all hosts with Corosync form one.

use super::{Plan, Site};
use crate::net::addr::Ip;
use crate::proto::Daemon;
use crate::proto::corosync::api::NodeId;
use crate::proto::corosync::config::{Corosync as Config, Qnetd as QnetdConfig, Transport};
use crate::proto::corosync::knet::{self, Net, Peer};
use crate::proto::corosync::nodes::Nodes;
use crate::proto::corosync::qdevice::Qdevice;
use crate::proto::corosync::qnetd::Qnetd;
use crate::proto::corosync::quorum::TieBreaker;
use crate::proto::corosync::{Corosync, Settings, T_KNET, quorum, srp};
use crate::scenario::types::{Host, Runs, Stack};
use crate::sim::World;

/// The Corosync of a host.
pub(in crate::scenario) fn config(host: &Host) -> Option<&Config> {
    host.runs.iter().find_map(|r| if let Runs::Corosync(c) = r { Some(c) } else { None })
}
/// The nodes of the cluster: host, id, settings.
pub(in crate::scenario) fn nodes(stack: &Stack) -> Vec<(&str, NodeId, &Config)> {
    let with = stack.hosts.iter().filter_map(|(name, h)| config(h).map(|c| (name.as_str(), c)));
    with.enumerate().map(|(i, (name, c))| (name, NodeId(c.nodeid.unwrap_or(i as u16 + 1)), c)).collect()
}
/// The networks of a node's links.
pub(in crate::scenario) fn links(stack: &Stack, host: &str, c: &Config) -> Vec<String> {
    let on = stack.hosts.get(host).and_then(|h| h.networks.clone());
    let all = || on.unwrap_or_else(|| stack.networks.keys().cloned().collect());
    let mut links = c.networks.clone().unwrap_or_else(all);
    links.truncate(if c.transport == Transport::udpu { 1 } else { knet::LINKS });
    links
}

fn peers(plan: &Plan<'_>) -> Vec<Peer> {
    let address = |net: &str, host: &str| {
        let found = plan.addresses.iter().find(|(n, h, _)| n == net && h == host);
        found.map_or(Ip::NONE, |(.., a)| a.ip)
    };
    let mut all: Vec<Peer> = nodes(plan.stack)
        .into_iter()
        .map(|(host, id, c)| {
            let links = links(plan.stack, host, c).iter().map(|n| address(n, host)).collect();
            Peer { id, links, name: host.into() }
        })
        .collect();
    all.sort_by_key(|p| p.id);
    all
}

fn settings(c: &Config, nodes: &[(&str, NodeId, &Config)]) -> Settings {
    let timers = c.timers(nodes.len());
    let count = nodes.len() as u32;
    let device_votes = c.device.as_ref().map_or(0, |d| d.votes(count));
    let sum: u32 = nodes.iter().map(|n| n.2.quorum_votes).sum::<u32>() + device_votes;
    let expected = c.expected_votes.unwrap_or(sum);
    let odd = expected % 2 == 1;
    let wait_for_all = c.wait_for_all();
    // Odd numbers need wait_for_all; a device is not compatible with either.
    let tie_breaker = (c.auto_tie_breaker && c.device.is_none() && (!odd || wait_for_all))
        .then(|| TieBreaker::parse(&c.auto_tie_breaker_node))
        .flatten();
    let one_vote = nodes.iter().all(|n| n.2.quorum_votes == 1);
    Settings {
        srp: srp::Settings {
            timers,
            join: c.join,
            merge: c.merge,
            warning: timers.token.ratio(u64::from(c.token_warning), 100),
            fail_recv: c.fail_recv_const,
            unchanged: c.seqno_unchanged_const,
            window: c.window_size,
            max_messages: c.max_messages,
            miss_count: c.miss_count_const,
            late_tail: None,
        },
        quorum: quorum::Settings {
            votes: c.quorum_votes as u16,
            expected: expected as u16,
            // two_node is switched off beside a tie breaker.
            two_node: c.two_node && !c.auto_tie_breaker,
            wait_for_all,
            tie_breaker,
            last_man_standing: c.last_man_standing && c.device.is_none() && one_vote,
            allow_downscale: c.allow_downscale,
            device_votes: device_votes as u16,
        },
        window: c.last_man_standing_window,
        device: c.device.as_ref().map_or_else(Default::default, |d| (d.timeout, d.sync_timeout)),
    }
}

/// The number that the late tails of this run come from: one draw for all nodes.
fn tails(world: &mut World) -> u64 {
    let of = |d: &Daemon| if let Daemon::Corosync(c) = d { c.late_tail() } else { None };
    world.procs.iter().find_map(|p| of(&p.logic)).unwrap_or_else(|| {
        let stream = world.streams.named("corosync/late_tail");
        world.streams.below(stream, u64::MAX)
    })
}
pub(super) fn corosync(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, c: &Config) {
    let nodes = nodes(plan.stack);
    let me = nodes.iter().find(|n| n.0 == site.host).map_or(NodeId(1), |n| n.1);
    let peers: std::sync::Arc<[Peer]> = peers(plan).into();
    let everyone: Nodes = peers.iter().map(|p| p.id).collect();
    let mut set = settings(c, &nodes);
    set.srp.late_tail = c.late_tail.then(|| tails(world));
    let knet = knet::Settings {
        transport: c.transport,
        interval: set.srp.timers.ping_interval,
        timeout: set.srp.timers.ping_timeout,
        pong_count: c.knet_pong_count,
    };
    let net = Net::new(me, knet, peers, T_KNET);
    let daemon = Corosync::new(me, set, net);
    world.add_proc(site.id, site.name, None, Daemon::Corosync(Box::new(daemon)));
    if let Some(device) = &c.device {
        let host = plan.ip(&device.host);
        let daemon = Qdevice::new(device.clone(), host, everyone, c.wait_for_all());
        world.add_proc(site.id, "corosync-qdevice", None, Daemon::Qdevice(Box::new(daemon)));
    }
}
pub(super) fn qnetd(world: &mut World, plan: &Plan<'_>, site: &Site<'_>, c: &QnetdConfig) {
    let names: Vec<(NodeId, std::sync::Arc<str>)> = peers(plan).into_iter().map(|p| (p.id, p.name)).collect();
    let daemon = Qnetd::new(c.dpd_interval_coefficient_tenths, names.into());
    world.add_proc(site.id, site.name, None, Daemon::Qnetd(Box::new(daemon)));
}
