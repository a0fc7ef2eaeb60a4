//! What can be wrong with a director and its servers.

use super::Lint;
use crate::engine::Span;
use crate::net::addr::{Cidr, Endpoint, Ip};
use crate::proto::lvs::config::{Check, Kind, RealServer, Schedule, Transport, VirtualServer};
use crate::proto::lvs::{Lvs, WebServer};
use crate::proto::vrrp::config::Keepalived;
use crate::scenario::types::{Runs, Stack};

/// Network, host, address.
type Addresses = [(String, String, Cidr)];

pub(super) fn director(
    l: &mut Lint<'_>,
    stack: &Stack,
    all: &Addresses,
    (path, host): (&str, &str),
    c: &Lvs,
) {
    let at = |f: &str| format!("{path}.{f}");
    if c.virtual_server.is_empty() {
        l.error(path, "a director without a virtual service", Some("add `virtual_server: [..]`".to_owned()));
    }
    if c.virtual_server.len() > 100 {
        l.error(&at("virtual_server"), "more than 100 virtual services", None);
    }
    if c.sync_period > 0 && c.sync_threshold >= c.sync_period {
        let help = Some("ipvs-sysctl: sync_threshold".to_owned());
        l.error(&at("sync_threshold"), "sync_threshold is below sync_period", help);
    }
    for (i, a) in c.addresses.iter().enumerate() {
        if let Some((_, other, _)) = all.iter().find(|(.., b)| b.ip == a.ip) {
            l.error(&at(&format!("addresses[{i}]")), format!("{} is the own address of {other}", a.ip), None);
        }
    }
    let mut checks = 0;
    for (i, v) in c.virtual_server.iter().enumerate() {
        let at = |f: &str| format!("{path}.virtual_server[{i}]{f}");
        let same = |w: &&VirtualServer| w.address == v.address && w.protocol == v.protocol;
        if c.virtual_server[..i].iter().any(|w| same(&w)) {
            l.error(&at(".address"), format!("{} is there twice", v.address), None);
        }
        if !has(stack, c, host, v.address.ip) {
            l.warn(
                &at(".address"),
                format!("{host} never has {}: neither keepalived nor `addresses` gives it", v.address.ip),
            );
        }
        service(l, &at, v);
        for (k, r) in v.real_server.iter().enumerate() {
            let at = |f: &str| format!("{path}.virtual_server[{i}].real_server[{k}]{f}");
            if v.real_server[..k].iter().any(|o| o.address == r.address) {
                l.error(&at(".address"), format!("{} is there twice", r.address), None);
            }
            real_server(l, stack, all, &at, v, r);
            checks += r.check.len();
        }
        if let Some(s) = v.sorry_server {
            reaches(l, stack, all, &at(".sorry_server"), v, s, v.lb_kind);
            if v.real_server.iter().any(|r| r.address == s) {
                l.error(&at(".sorry_server"), "the sorry server is one of the real servers", None);
            }
        }
    }
    if checks > 10_000 {
        l.error(&at("virtual_server"), "more than 10000 checks", None);
    }
}

fn service(l: &mut Lint<'_>, at: &impl Fn(&str) -> String, v: &VirtualServer) {
    if v.address.port == 0 {
        l.error(&at(".address"), "a port goes from 1 to 65535", None);
    }
    if v.real_server.is_empty() {
        l.error(&at(".real_server"), "a service without servers", None);
    }
    if v.real_server.len() > 1000 {
        l.error(&at(".real_server"), "more than 1000 servers", None);
    }
    if v.quorum == 0 {
        l.error(&at(".quorum"), "quorum is 1 or more", Some("keepalived.conf(5)".to_owned()));
    } else if v.hysteresis >= v.quorum {
        let help = Some("keepalived.conf(5): hysteresis".to_owned());
        l.error(&at(".hysteresis"), "hysteresis is below quorum", help);
    }
    let sum: u64 = v.real_server.iter().map(|r| u64::from(r.weight)).sum();
    if u64::from(v.quorum) + u64::from(v.hysteresis) > sum {
        l.warn(
            &at(".quorum"),
            format!(
                "the servers weigh {sum} together: a lost quorum of {} + {} never comes back",
                v.quorum, v.hysteresis
            ),
        );
    }
    if !(1..=32).contains(&v.persistence_granularity) {
        l.error(&at(".persistence_granularity"), "persistence_granularity goes from 1 to 32 bits", None);
    }
    if v.delay_loop < Span::ms(1) {
        l.error(&at(".delay_loop"), "delay_loop is 1ms or more", Some("keepalived: 1s and more".to_owned()));
    }
    if v.connect_timeout < Span::ms(1) {
        l.error(&at(".connect_timeout"), "connect_timeout is 1ms or more", None);
    }
}

fn real_server(
    l: &mut Lint<'_>,
    stack: &Stack,
    all: &Addresses,
    at: &impl Fn(&str) -> String,
    v: &VirtualServer,
    r: &RealServer,
) {
    if r.weight > 65_535 {
        l.error(&at(".weight"), "weight goes from 0 to 65535", Some("keepalived.conf(5)".to_owned()));
    }
    if r.lthreshold > r.uthreshold {
        l.error(&at(".lthreshold"), "lthreshold is not above uthreshold", None);
    }
    reaches(l, stack, all, &at(".address"), v, r.address, r.lb_kind.unwrap_or(v.lb_kind));
    for (n, check) in r.check.iter().enumerate() {
        let at = |f: &str| at(&format!(".check[{n}]{f}"));
        let own: &Schedule = match check {
            Check::TCP_CHECK(s) => s,
            Check::HTTP_GET(h) => {
                if !h.path.starts_with('/') {
                    l.error(&at(""), "a path begins with `/`", None);
                }
                &h.schedule
            }
            Check::MISC_CHECK(m) => &m.schedule,
        };
        let small = |d: Option<Span>| d.is_some_and(|d| d < Span::ms(1));
        if small(own.delay_loop) || small(own.connect_timeout) {
            l.error(&at(""), "delay_loop and connect_timeout are 1ms or more", None);
        }
        if v.protocol == Transport::Udp && matches!(check, Check::TCP_CHECK(_)) {
            l.warn(&at(""), "a TCP check of a UDP service needs something that listens on TCP");
        }
    }
}

/// Whether packets to a server can get there and answers back.
fn reaches(
    l: &mut Lint<'_>,
    stack: &Stack,
    all: &Addresses,
    path: &str,
    v: &VirtualServer,
    server: Endpoint,
    kind: Kind,
) {
    let Some((_, host, _)) = all.iter().find(|(.., a)| a.ip == server.ip) else {
        l.warn(path, format!("no host has the address {}", server.ip));
        return;
    };
    let servers: Vec<&WebServer> = stack.hosts[host]
        .runs
        .iter()
        .filter_map(|r| if let Runs::Server(s) = r { Some(s) } else { None })
        .collect();
    let vip = v.address.ip;
    match kind {
        Kind::NAT if servers.iter().all(|s| s.gateway.is_none()) && !servers.is_empty() => {
            l.warn(
                path,
                format!("{host} has no `gateway`: its answers do not pass the director, and NAT needs that"),
            );
        }
        Kind::DR if !servers.iter().any(|s| s.lo.contains(&vip) || s.tunl0.contains(&vip)) => {
            l.warn(
                path,
                format!("{host} does not have {vip} on `lo`: it drops what the director sends (DR)"),
            );
        }
        Kind::TUN if !servers.iter().any(|s| s.tunl0.contains(&vip)) => {
            l.warn(
                path,
                format!("{host} does not have {vip} on `tunl0`: it drops what the director sends (TUN)"),
            );
        }
        _ => {}
    }
    if kind != Kind::NAT && server.port != v.address.port {
        let help = Some("only NAT rewrites ports".to_owned());
        l.error(path, format!("{kind:?} cannot change port {} into {}", v.address.port, server.port), help);
    }
}

/// Whether a director can ever have an address.
fn has(stack: &Stack, c: &Lvs, host: &str, ip: Ip) -> bool {
    let of = |k: &Keepalived| {
        let more = k.vrrp_instance.values().flat_map(|i| i.vip.iter().chain(&i.virtual_ipaddress));
        k.vip.iter().chain(&k.virtual_ipaddress).chain(more).any(|a| a.ip == ip)
    };
    c.addresses.iter().any(|a| a.ip == ip)
        || stack.hosts[host].runs.iter().any(|r| matches!(r, Runs::Keepalived(k) if of(k)))
        || super::addresses(stack).iter().any(|(_, h, a)| h == host && a.ip == ip)
}

pub(super) fn server(l: &mut Lint<'_>, all: &Addresses, (path, host): (&str, &str), s: &WebServer) {
    let at = |f: &str| format!("{path}.{f}");
    if s.bind == 0 {
        l.error(&at("bind"), "a port goes from 1 to 65535", None);
    }
    if !(1..=60_000).contains(&s.workers) {
        l.error(&at("workers"), "workers goes from 1 to 60000", None);
    }
    if let Some(g) = s.gateway
        && !all.iter().any(|(_, h, a)| h == host && a.contains(g))
    {
        l.error(&at("gateway"), format!("{g} is on no network of {host}"), None);
    }
    let quiet = s.lo.len() + s.tunl0.len();
    if !s.arp_ignore && quiet > 0 {
        l.warn(
            &at("arp_ignore"),
            "this server answers ARP for the virtual address: clients may pass the director by",
        );
    }
}
