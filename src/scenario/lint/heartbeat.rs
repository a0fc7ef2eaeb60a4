//! What can be wrong with a heartbeat node.

use super::Lint;
use crate::engine::Span;
use crate::net::addr::Cidr;
use crate::proto::heartbeat::Heartbeat;
use crate::proto::heartbeat::config::{Race, Transport};
use crate::scenario::diag::nearest;
use crate::scenario::types::{Runs, Stack};

pub(super) fn node(
    l: &mut Lint<'_>,
    stack: &Stack,
    all: &[(String, String, Cidr)],
    (path, host): (&str, &str),
    h: &Heartbeat,
) {
    let at = |field: &str| format!("{path}.{field}");
    match h.vip {
        None => {
            l.error(path, "nodes without a resource", Some("add `vip: \"10.0.0.100/24\"`".to_owned()));
        }
        Some(vip) => {
            if let Some((_, owner, _)) = all.iter().find(|(.., a)| a.ip == vip.ip) {
                let help = Some("the resource belongs to no host".to_owned());
                l.error(&at("vip"), format!("{} is the own address of {owner}", vip.ip), help);
            }
        }
    }
    if let Some(net) = h.interface.as_ref().filter(|n| !stack.networks.contains_key(*n)) {
        let help =
            nearest(net, stack.networks.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
        l.error(&at("interface"), format!("there is no network `{net}`"), help);
    }
    let day = Span::secs(86_400);
    for (field, span) in [("keepalive", h.keepalive), ("deadtime", h.deadtime), ("initdead", h.initdead)] {
        if !(Span::ms(10)..=day).contains(&span) {
            l.error(&at(field), format!("{field} goes from 10ms to 1d"), Some("ha.cf(5)".to_owned()));
        }
    }
    for (field, span) in [("stagger", h.stagger), ("backoff", h.backoff), ("claim_wait", h.claim_wait)] {
        if span > day {
            l.error(&at(field), format!("{field} goes from 0s to 1d"), None);
        }
    }
    if h.deadtime <= h.keepalive {
        let help = Some(format!("one lost heartbeat is enough then; {} or more", h.keepalive.times(3)));
        l.error(&at("deadtime"), "deadtime is not above keepalive", help);
    } else if h.deadtime < h.keepalive.times(2) {
        l.warn(&at("deadtime"), "one lost heartbeat starts a race: deadtime is below twice keepalive");
    }
    if h.initdead < h.deadtime {
        l.warn(&at("initdead"), "initdead is below deadtime; ha.cf(5) asks for twice deadtime at least");
    }
    if h.udpport == 0 {
        l.error(&at("udpport"), "udpport goes from 1 to 65535", None);
    }
    if let Transport::Mcast(ip) = h.transport
        && (!ip.is_multicast() || ip == crate::net::addr::Ip::BROADCAST)
    {
        l.error(&at("transport"), format!("{ip} is no multicast group"), Some("224.0.0.0/4".to_owned()));
    }
    if h.priority == 0 {
        l.error(&at("priority"), "priorities count from 1, the best", None);
    }
    let others = stack.hosts.iter().filter(|(name, _)| *name != host).flat_map(|(n, o)| {
        o.runs.iter().filter_map(move |r| if let Runs::Heartbeat(o) = r { Some((n, o)) } else { None })
    });
    for (name, o) in others.filter(|(_, o)| o.vip == h.vip) {
        if o.race == Race::Priority
            && h.race == Race::Priority
            && o.priority == h.priority
            && host < name.as_str()
        {
            l.warn(&at("priority"), format!("{host} and {name} have the same priority: they race"));
        }
        if o.udpport != h.udpport || o.transport != h.transport {
            l.warn(
                &at("udpport"),
                format!("{host} and {name} do not hear each other: port or transport differ"),
            );
        }
    }
}
