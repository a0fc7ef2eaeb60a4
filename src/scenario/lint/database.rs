//! What can be wrong with databases and their managers.

use super::Lint;
use crate::engine::{SEC, Span};
use crate::proto::patroni::Patroni;
use crate::proto::patroni::config::{Margin, Timing, WatchdogMode};
use crate::proto::postgres::Postgres;
use crate::proto::postgres::config::Size;
use crate::proto::postgres::data::SyncNames;
use crate::scenario::build::addresses;
use crate::scenario::diag::nearest;
use crate::scenario::types::{Runs, Stack};

pub(super) fn postgres(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), p: &Postgres) {
    let at = |field: &str| format!("{path}.{field}");
    let servers: Vec<&str> = stack
        .hosts
        .iter()
        .filter(|(_, h)| h.runs.iter().any(|r| matches!(r, Runs::Postgres(_))))
        .map(|(name, _)| name.as_str())
        .collect();
    let runs = stack.hosts.get(host).map_or(&[][..], |h| &h.runs);
    let managed = runs.iter().any(|r| matches!(r, Runs::Patroni(_)));
    if runs.iter().filter(|r| matches!(r, Runs::Postgres(_))).count() > 1 {
        l.error(path, "two PostgreSQL servers on one host share a data directory and a port", None);
    }
    let none = |what: &str, name: &str| {
        let help = nearest(name, servers.iter().copied()).map(|n| format!("did you mean `{n}`?"));
        (format!("{what} names `{name}`, which runs no PostgreSQL"), help)
    };
    if managed {
        for (field, set) in [
            ("primary_conninfo", p.primary_conninfo.is_some()),
            ("primary_slot_name", p.primary_slot_name.is_some()),
            ("synchronous_standby_names", !p.synchronous_standby_names.is_empty()),
        ] {
            if set {
                let help = Some("remove it, or remove Patroni from this host".to_owned());
                l.error(&at(field), format!("Patroni sets {field} on this host"), help);
            }
        }
    }
    if let Some(upstream) = &p.primary_conninfo {
        if upstream == host {
            l.error(&at("primary_conninfo"), "a server cannot follow itself", None);
        } else if !servers.contains(&upstream.as_str()) {
            let (message, help) = none("primary_conninfo", upstream);
            l.error(&at("primary_conninfo"), message, help);
        }
    } else if p.primary_slot_name.is_some() && !managed {
        l.warn(&at("primary_slot_name"), "a server without primary_conninfo uses no slot");
    }
    match p.synchronous_standby_names.parse::<SyncNames>() {
        Err(why) => {
            let source = Some("PostgreSQL documentation, `synchronous_standby_names`".to_owned());
            l.error(&at("synchronous_standby_names"), why, source);
        }
        Ok(SyncNames::First(n, names) | SyncNames::Any(n, names)) => {
            for name in names.iter().filter(|name| &***name != "*" && !servers.contains(&&***name)) {
                let (message, _) = none("synchronous_standby_names", name);
                l.warn(&at("synchronous_standby_names"), message);
            }
            if n as usize > names.len() && !names.iter().any(|name| &**name == "*") {
                let message = format!("{n} of {} names can never be enough: commits hang", names.len());
                l.warn(&at("synchronous_standby_names"), message);
            }
        }
        Ok(SyncNames::Empty | SyncNames::Star) => {}
    }
    let source = "PostgreSQL documentation, chapter \"Server Configuration\"";
    let day = Span::secs(86_400);
    for (field, value, min, max) in [
        ("wal_writer_delay", p.wal_writer_delay, Span::ms(1), Span::secs(10)),
        ("checkpoint_timeout", p.checkpoint_timeout, Span::secs(30), day),
        ("wal_retrieve_retry_interval", p.wal_retrieve_retry_interval, Span::ms(1), day),
        ("background_wal_interval", p.background_wal_interval, Span::ms(1), Span::secs(60)),
    ] {
        if value < min || value > max {
            l.error(
                &at(field),
                format!("{field} goes from {min} to {max}, not {value}"),
                Some(source.to_owned()),
            );
        }
    }
    for (field, value, least) in [
        ("max_wal_size", p.max_wal_size, Size::mb(32)),
        ("shared_buffers", p.shared_buffers, Size::kb(128)),
        ("checkpoint_rate", p.checkpoint_rate, Size::kb(1)),
        ("replay_rate", p.replay_rate, Size::kb(1)),
        ("recovery_rate", p.recovery_rate, Size::kb(1)),
        ("replication_bandwidth", p.replication_bandwidth, Size::kb(1)),
        ("socket_buffer", p.socket_buffer, Size::kb(4)),
        ("base_backup_rate", p.base_backup_rate, Size::kb(1)),
        ("rewind_rate", p.rewind_rate, Size::kb(1)),
    ] {
        if value < least {
            l.error(&at(field), format!("{field} is at least {least}, not {value}"), Some(source.to_owned()));
        }
    }
    for (field, value) in [
        ("max_connections", p.max_connections),
        ("max_wal_senders", p.max_wal_senders),
        ("max_replication_slots", p.max_replication_slots),
    ] {
        if value > 262_143 || (field == "max_connections" && value == 0) {
            l.error(&at(field), format!("{field} goes to 262143, not {value}"), Some(source.to_owned()));
        }
    }
    if p.superuser_reserved_connections >= p.max_connections {
        l.error(
            &at("superuser_reserved_connections"),
            format!(
                "{} of {} connections are reserved: nobody else gets in",
                p.superuser_reserved_connections, p.max_connections
            ),
            Some("superuser_reserved_connections is less than max_connections".to_owned()),
        );
    }
}

pub(super) fn patroni(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), p: &Patroni) {
    let at = |field: &str| format!("{path}.{field}");
    let Some(here) = stack.hosts.get(host) else { return };
    if !here.runs.iter().any(|r| matches!(r, Runs::Postgres(_))) {
        let help = Some("add `Postgres()` to the host's `runs`".to_owned());
        l.error(path, format!("Patroni manages the PostgreSQL of its host, and {host} runs none"), help);
    }
    if here.runs.iter().filter(|r| matches!(r, Runs::Patroni(_))).count() > 1 {
        l.error(path, "two Patronis on one host would manage the same PostgreSQL", None);
    }
    let etcd = stack.hosts.values().any(|h| h.runs.iter().any(|r| matches!(r, Runs::Etcd(_))));
    let agent = here.runs.iter().any(|r| matches!(r, Runs::Consul(_)));
    if !agent && !etcd {
        let help =
            "put `Etcd()` on some hosts, or `Consul()` on this one and `Consul(server: true)` on others";
        l.error(path, "Patroni has no DCS: without one there is never a primary", Some(help.to_owned()));
    }
    let seconds = [
        ("ttl", p.ttl),
        ("loop_wait", p.loop_wait),
        ("retry_timeout", p.retry_timeout),
        ("primary_start_timeout", p.primary_start_timeout),
        ("primary_stop_timeout", p.primary_stop_timeout),
        ("member_slots_ttl", p.member_slots_ttl),
    ];
    let mut whole = true;
    for (field, d) in seconds {
        if !d.0.is_multiple_of(SEC) {
            whole = false;
            l.error(&at(field), format!("{field} is a whole number of seconds, not {d}"), None);
        }
    }
    let set = Timing { ttl: p.ttl, loop_wait: p.loop_wait, retry_timeout: p.retry_timeout };
    let used = set.adjusted();
    if whole && used != set {
        let field =
            if used.ttl != set.ttl || used.retry_timeout == set.retry_timeout { "loop_wait" } else { "ttl" };
        l.warn(
            &at(field),
            format!(
                "Patroni applies ttl {}, loop_wait {}, retry_timeout {}: at least 20s, 1s and 3s, and \
                 loop_wait + 2 * retry_timeout must not exceed ttl (config.py)",
                used.ttl, used.loop_wait, used.retry_timeout
            ),
        );
    }
    if p.synchronous_node_count == 0 {
        l.error(&at("synchronous_node_count"), "synchronous_node_count goes from 1", None);
    }
    if p.thread_pool_size < 5 {
        l.warn(&at("thread_pool_size"), "Patroni uses at least 5 threads");
    }
    if p.scope.is_empty() || p.scope.contains('/') {
        l.error(&at("scope"), "the scope is the name of the cluster, without `/`", None);
    }
    watchdog(l, path, here.watchdog.is_some(), used, p);
    let members: Vec<&str> = stack
        .hosts
        .iter()
        .filter(|(_, h)| h.runs.iter().any(|r| matches!(r, Runs::Patroni(_))))
        .map(|(name, _)| name.as_str())
        .collect();
    if let Some(from) = &p.tags.replicatefrom {
        if from == host {
            l.error(&at("tags.replicatefrom"), format!("{host} cannot replicate from itself"), None);
        } else if !members.contains(&from.as_str()) {
            let help = nearest(from, members.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            l.error(&at("tags.replicatefrom"), format!("there is no member `{from}`"), help);
        }
    }
    callbacks(l, stack, path, p);
}

fn watchdog(l: &mut Lint<'_>, path: &str, device: bool, t: Timing, p: &Patroni) {
    let at = |field: &str| format!("{path}.{field}");
    if p.watchdog == WatchdogMode::Required && !device {
        l.warn(
            &at("watchdog"),
            "the host has no watchdog device: with `Required` it is never primary (give the host `watchdog: Softdog`)",
        );
    }
    let timeout = match p.safety_margin {
        Margin::Less(m) => t.ttl.saturating_sub(m),
        Margin::Half => Span::secs(t.ttl.0 / SEC / 2),
    };
    if device && p.watchdog != WatchdogMode::Off && timeout < t.loop_wait {
        l.warn(
            &at("safety_margin"),
            format!(
                "the watchdog's time is {timeout}, less than loop_wait {}: it cannot be used",
                t.loop_wait
            ),
        );
    }
    if let Margin::Less(m) = p.safety_margin
        && !m.0.is_multiple_of(SEC)
    {
        l.error(&at("safety_margin"), "safety_margin is a whole number of seconds, or \"-1\"", None);
    }
}

fn callbacks(l: &mut Lint<'_>, stack: &Stack, path: &str, p: &Patroni) {
    let at = |field: &str| format!("{path}.callbacks.{field}");
    let c = &p.callbacks;
    let all = addresses(stack);
    if let Some(net) = c.interface.as_ref().filter(|n| !stack.networks.contains_key(*n)) {
        let nets = stack.networks.keys().map(String::as_str);
        let help = nearest(net, nets).map(|n| format!("did you mean `{n}`?"));
        l.error(&at("interface"), format!("there is no network `{net}`"), help);
    }
    if let Some(vip) = c.vip {
        if let Some((_, owner, _)) = all.iter().find(|(.., a)| a.ip == vip.ip) {
            let help = Some("a virtual address belongs to no host".to_owned());
            l.error(&at("vip"), format!("{} is the own address of {owner}", vip.ip), help);
        } else if c.interface.is_none() && !all.iter().any(|(.., a)| a.contains(vip.ip)) {
            let help = Some("name its network with `interface`".to_owned());
            l.error(&at("vip"), format!("{} lies in no network's subnet", vip.ip), help);
        }
    }
    if let Some(server) = &c.dns_server
        && server.ip().is_none()
        && !stack.hosts.keys().any(|h| h.eq_ignore_ascii_case(&server.host))
    {
        let hosts = stack.hosts.keys().map(String::as_str);
        let help = nearest(&server.host, hosts).map(|n| format!("did you mean `{n}`?"));
        l.error(&at("dns_server"), format!("there is no host `{}`", server.host), help);
    }
    if c.dns_name.is_some() != c.dns_server.is_some() {
        let field = if c.dns_name.is_some() { "dns_name" } else { "dns_server" };
        l.error(&at(field), "`dns_name` and `dns_server` belong together", None);
    }
}
