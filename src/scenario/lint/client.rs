//! What can be wrong with what uses a service: applications, and the DNS servers on their way.

use super::Lint;
use crate::engine::{SEC, Span};
use crate::net::addr::Ip;
use crate::proto::app::Application;
use crate::proto::app::config::{Connections, Driver, OnTimeout, Pace, Pool};
use crate::proto::dns::name::{HostPort, in_zone, normal};
use crate::proto::dns::{Dns, Resolver};
use crate::scenario::diag::nearest;
use crate::scenario::types::{Runs, Stack};

/// The longest TTL: BIND keeps nothing longer than this by default.
const WEEK: Span = Span::secs(7 * 86_400);

fn runs(stack: &Stack) -> impl Iterator<Item = (&str, &Runs)> {
    stack.hosts.iter().flat_map(|(host, h)| h.runs.iter().map(move |r| (host.as_str(), r)))
}
fn servers(stack: &Stack) -> impl Iterator<Item = &Dns> {
    runs(stack).filter_map(|(_, r)| if let Runs::Dns(d) = r { Some(d) } else { None })
}
fn is_host(stack: &Stack, name: &str) -> bool {
    stack.hosts.keys().any(|h| h.eq_ignore_ascii_case(name))
}

/// A place that is an address or a host of the stack.
fn host(l: &mut Lint<'_>, stack: &Stack, path: &str, name: &str) {
    if name.parse::<Ip>().is_err() && !is_host(stack, name) {
        let help = nearest(name, stack.hosts.keys().map(String::as_str)).map_or_else(
            || "write an address such as \"10.0.0.1\", or a host of the stack".to_owned(),
            |n| format!("did you mean `{n}`?"),
        );
        l.error(path, format!("there is no host `{name}`"), Some(help));
    }
}

/// A range of lengths, with the source of its bounds.
fn within(l: &mut Lint<'_>, path: &str, value: Span, (low, high): (Span, Span), source: &str) {
    if value < low || value > high {
        let field = path.rsplit('.').next().unwrap_or(path).to_owned();
        l.error(path, format!("{field} goes from {low} to {high}, not {value}"), Some(source.to_owned()));
    }
}
fn ttl(l: &mut Lint<'_>, path: &str, value: Span) {
    within(l, path, value, (Span::ZERO, WEEK), "BIND keeps no answer longer than a week (max-cache-ttl)");
    if !value.0.is_multiple_of(SEC) {
        l.error(
            path,
            format!("a TTL is a whole number of seconds, not {value}"),
            Some("RFC 1035".to_owned()),
        );
    }
}

/// Port 53 of a host belongs to one server.
fn alone(l: &mut Lint<'_>, stack: &Stack, path: &str, here: &str) {
    let on_53 = |r: &&Runs| matches!(r, Runs::Dns(_) | Runs::Resolver(_));
    if stack.hosts.get(here).is_some_and(|h| h.runs.iter().filter(on_53).count() > 1) {
        let help = "put the authoritative server and the resolver on two hosts".to_owned();
        l.error(path, format!("two servers on port 53 of {here}"), Some(help));
    }
}

pub(super) fn dns(l: &mut Lint<'_>, stack: &Stack, (path, here): (&str, &str), d: &Dns) {
    let zone = normal(&d.zone);
    for (name, record) in &d.records {
        let at = format!("{path}.records.{name}");
        if !name.parse::<HostPort>().is_ok_and(|p| p.port.is_none()) {
            l.error(&at, format!("`{name}` is not a name: letters, digits, `-`, `_` and dots"), None);
        } else if !in_zone(&normal(name), &zone) {
            let help = format!("give it a name that ends in `.{zone}`, or change `zone`");
            l.error(&at, format!("`{name}` is not in the zone `{zone}`"), Some(help));
        }
        record.addresses.iter().for_each(|a| host(l, stack, &at, a));
        ttl(l, &at, record.ttl);
    }
    ttl(l, &format!("{path}.negative_ttl"), d.negative_ttl);
    ttl(l, &format!("{path}.update_ttl"), d.update_ttl);
    alone(l, stack, path, here);
}

pub(super) fn resolver(l: &mut Lint<'_>, stack: &Stack, (path, here): (&str, &str), r: &Resolver) {
    let at = |f: &str| format!("{path}.{f}");
    for (field, list) in [("forward", &r.forward), ("consul", &r.consul)] {
        list.iter().for_each(|p| host(l, stack, &at(field), &p.host));
    }
    if r.forward.iter().any(|p| p.host.eq_ignore_ascii_case(here)) {
        l.error(&at("forward"), "the resolver would ask itself", None);
    }
    for (field, value) in [("min_cache_ttl", r.min_cache_ttl), ("min_ncache_ttl", r.min_ncache_ttl)] {
        ttl(l, &at(field), value);
        within(l, &at(field), value, (Span::ZERO, Span::secs(86_400)), "BIND itself allows 90s");
    }
    for (field, value) in [("max_cache_ttl", r.max_cache_ttl), ("max_ncache_ttl", r.max_ncache_ttl)] {
        ttl(l, &at(field), value);
    }
    for (low, high, least, most) in [
        ("min_cache_ttl", "max_cache_ttl", r.min_cache_ttl, r.max_cache_ttl),
        ("min_ncache_ttl", "max_ncache_ttl", r.min_ncache_ttl, r.max_ncache_ttl),
    ] {
        if least > most {
            l.error(&at(low), format!("{low} ({least}) is above {high} ({most})"), None);
        }
    }
    within(l, &at("servfail_ttl"), r.servfail_ttl, (Span::ZERO, Span::secs(30)), "BIND: servfail-ttl");
    let (ms, query) = (Span::ms(1), r.resolver_query_timeout);
    within(l, &at("resolver_retry_interval"), r.resolver_retry_interval, (ms, query), "not above the whole");
    let bounds = (Span::ms(301), Span::secs(30));
    within(l, &at("resolver_query_timeout"), query, bounds, "BIND: resolver-query-timeout");
    if r.resolver_nonbackoff_tries == 0 {
        l.error(&at("resolver_nonbackoff_tries"), "resolver_nonbackoff_tries is 1 or more", None);
    }
    let asks_nobody = r.forward.is_empty() && r.consul.is_empty() && servers(stack).next().is_none();
    if asks_nobody && !runs(stack).any(|(_, r)| matches!(r, Runs::Consul(_))) {
        l.warn(path, "this resolver knows nobody to ask: there is no `Dns` and no Consul, and no `forward`");
    }
    alone(l, stack, path, here);
}

/// A name that only DNS can know: whether some server does.
fn name(l: &mut Lint<'_>, stack: &Stack, path: &str, name: &str, a: &Application) {
    if in_zone(name, "consul") {
        if !runs(stack).any(|(_, r)| matches!(r, Runs::Consul(_))) {
            l.error(path, format!("nobody knows `{name}`: no host of the stack runs Consul"), None);
        } else if a.nameservers.is_empty() && !runs(stack).any(|(_, r)| matches!(r, Runs::Resolver(_))) {
            let help = "add a `Resolver()`, or `nameservers: [\"HOST:8600\"]`".to_owned();
            l.error(path, format!("no resolver takes questions for `{name}` to Consul"), Some(help));
        }
        return;
    }
    let known: Vec<String> = servers(stack).flat_map(|d| d.records.keys().map(|n| normal(n))).collect();
    if known.iter().any(|k| k == name) {
        return;
    }
    let names = known.iter().map(String::as_str).chain(stack.hosts.keys().map(String::as_str));
    let near = nearest(name, names);
    if servers(stack).any(|d| in_zone(name, &normal(&d.zone))) {
        let hint = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        l.warn(path, format!("`{name}` does not exist until an update creates it{hint}"));
    } else {
        let help = near.map_or_else(
            || "write an address, a host of the stack, or a name that a `Dns` has in its records".to_owned(),
            |n| format!("did you mean `{n}`?"),
        );
        l.error(path, format!("there is no host or name `{name}`"), Some(help));
    }
}

pub(super) fn application(l: &mut Lint<'_>, stack: &Stack, (path, _): (&str, &str), a: &Application) {
    let at = |f: &str| format!("{path}.{f}");
    if a.connect.0.is_empty() {
        let help = Some("for example `connect: \"10.0.0.100:5000\"` or `connect: \"db1,db2\"`".to_owned());
        l.error(path, "this application connects to nothing", help);
    }
    if a.connect.0.len() > 100 {
        l.error(&at("connect"), "more than 100 hosts", None);
    }
    for p in &a.connect.0 {
        if p.ip().is_none() && p.host != "localhost" && !is_host(stack, &p.host) {
            name(l, stack, &at("connect"), &p.host, a);
        }
    }
    a.nameservers.iter().for_each(|p| host(l, stack, &at("nameservers"), &p.host));
    if a.nameservers.len() > 3 {
        l.warn(&at("nameservers"), "resolv.conf(5): the first three are used");
    }
    let resolv = (Span::secs(1), Span::secs(30));
    within(l, &at("resolv_timeout"), a.resolv_timeout, resolv, "resolv.conf(5): at most 30");
    if !(1..=5).contains(&a.resolv_attempts) {
        let help = Some("resolv.conf(5): at most 5".to_owned());
        l.error(&at("resolv_attempts"), "resolv_attempts goes from 1 to 5", help);
    }
    for (field, pace) in [("writes", a.writes), ("reads", a.reads)] {
        if let Some(Pace::Every(span) | Pace::Pause(span)) = pace
            && span < Span::ms(1)
        {
            l.error(&at(field), "operations come at most every 1ms", None);
        }
    }
    if a.scripts.is_some() && (a.writes.is_some() || a.reads.is_some()) {
        let help = Some("give the other work to another `Application` of the host".to_owned());
        l.error(&format!("{path}.scripts"), "a program runs scripts, or writes and reads, not both", help);
    }
    if a.scripts.is_some() == a.script.is_empty() {
        l.error(
            &format!("{path}.script"),
            "`script` says what is run and `scripts` when: both are needed",
            None,
        );
    }
    for (i, text) in a.script.iter().enumerate() {
        if crate::proto::postgres::sql::Command::parse(text).verb == crate::proto::postgres::sql::Verb::Error
        {
            l.warn(&format!("{path}.script[{i}]"), "this is no statement that PostgreSQL can parse");
        }
    }
    if a.writes.is_none() && a.reads.is_none() && a.scripts.is_none() {
        l.warn(path, "this application does nothing: give it `writes`, `reads` or `scripts`");
    }
    for (field, n, low) in [
        ("sessions", a.sessions, 1),
        ("max_sessions", a.max_sessions, 1),
        ("retries", a.retries, 0),
        ("retries_unknown", a.retries_unknown, 0),
    ] {
        if !(low..=1000).contains(&n) {
            l.error(&at(field), format!("{field} goes from {low} to 1000"), None);
        }
    }
    if a.max_sessions < a.sessions && matches!(a.writes.or(a.reads), Some(Pace::Every(_))) {
        l.warn(
            &at("max_sessions"),
            format!("{} sessions are kept, but {} allowed", a.sessions, a.max_sessions),
        );
    }
    if !(1..=1_000_000_000).contains(&a.wal_per_write) {
        l.error(&at("wal_per_write"), "a write makes 1 to 1000000000 bytes of WAL", None);
    }
    if a.driver == Driver::Libpq && !a.connect_timeout.is_zero() && a.connect_timeout < Span::secs(2) {
        l.warn(&at("connect_timeout"), format!("libpq waits for 2s, not for {}", a.connect_timeout));
    }
    if a.on_statement_timeout == OnTimeout::Cancel && a.statement_timeout.is_zero() {
        l.warn(&at("on_statement_timeout"), "without `statement_timeout` nothing is ever cancelled");
    }
    if a.keepalives {
        let day = Span::secs(32_767);
        within(l, &at("keepalives_idle"), a.keepalives_idle, (Span::secs(1), day), "tcp(7): TCP_KEEPIDLE");
        let interval = a.keepalives_interval;
        within(l, &at("keepalives_interval"), interval, (Span::secs(1), day), "tcp(7): TCP_KEEPINTVL");
        if !(1..=127).contains(&a.keepalives_count) {
            let help = Some("tcp(7): TCP_KEEPCNT".to_owned());
            l.error(&at("keepalives_count"), "keepalives_count goes from 1 to 127", help);
        }
    }
    if a.backoff > a.backoff_max {
        l.warn(&at("backoff"), format!("no retry waits longer than `backoff_max`, {}", a.backoff_max));
    }
    if let Some(p) = &a.pool {
        pool(l, &at("pool"), p);
        if a.connections == Connections::PerOperation {
            l.error(
                &at("connections"),
                "a pool keeps its connections",
                Some("leave one of the two".to_owned()),
            );
        }
    }
}

fn pool(l: &mut Lint<'_>, path: &str, p: &Pool) {
    let at = |f: &str| format!("{path}.{f}");
    if !(1..=1000).contains(&p.maximum_pool_size) {
        l.error(&at("maximum_pool_size"), "maximum_pool_size goes from 1 to 1000", None);
    }
    if p.minimum_idle.is_some_and(|n| n > p.maximum_pool_size) {
        l.warn(
            &at("minimum_idle"),
            format!("HikariCP makes it {}, the size of the pool", p.maximum_pool_size),
        );
    }
    for (field, value) in
        [("connection_timeout", p.connection_timeout), ("validation_timeout", p.validation_timeout)]
    {
        if value < Span::ms(250) {
            l.error(
                &at(field),
                format!("{field} is 250ms or more, not {value}"),
                Some("HikariCP".to_owned()),
            );
        }
    }
    if !p.max_lifetime.is_zero() && p.max_lifetime < Span::secs(30) {
        let help = Some("HikariCP takes 30m instead of less; 0s is never".to_owned());
        l.error(&at("max_lifetime"), format!("max_lifetime is 30s or more, not {}", p.max_lifetime), help);
    }
    if !p.idle_timeout.is_zero() && p.idle_timeout < Span::secs(10) {
        let help = Some("HikariCP takes 10m instead of less; 0s is never".to_owned());
        l.error(&at("idle_timeout"), format!("idle_timeout is 10s or more, not {}", p.idle_timeout), help);
    }
}
