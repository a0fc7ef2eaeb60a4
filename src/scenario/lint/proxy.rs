//! What can be wrong with a proxy.

use super::Lint;
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::proto::haproxy::config::{HAProxy, OnMarkedDown, Section, Server};
use crate::proto::haproxy::setup::{Setup, expand};
use crate::proto::{patroni, postgres};
use crate::scenario::diag::nearest;
use crate::scenario::types::{Runs, Stack};

/// The most servers behind one HAProxy.
const SERVERS: usize = 1_000;

/// Whether a host of the stack runs something of a kind.
fn runs(stack: &Stack, host: &str, is: impl Fn(&Runs) -> bool) -> bool {
    stack.hosts.get(host).is_some_and(|h| h.runs.iter().any(is))
}
fn anybody(stack: &Stack, is: impl Fn(&Runs) -> bool + Copy) -> bool {
    stack.hosts.keys().any(|h| runs(stack, h, is))
}

pub(super) fn haproxy(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), h: &HAProxy) {
    let at = |f: &str| format!("{path}.{f}");
    if h.bind == 0 {
        l.error(&at("bind"), "a port goes from 1 to 65535", None);
    }
    if h.spread_checks > 50 {
        let help = Some("HAProxy configuration manual, `spread-checks`".to_owned());
        l.error(&at("spread_checks"), "spread_checks goes from 0 to 50 percent", help);
    }
    let members: Vec<&str> = stack
        .hosts
        .keys()
        .filter(|n| runs(stack, n, |r| matches!(r, Runs::Patroni(_))))
        .map(String::as_str)
        .collect();
    if h.patroni && members.is_empty() {
        l.error(&at("patroni"), "no host of this stack runs Patroni: there are no servers", None);
    }
    let servers: usize = h.listen.values().chain(h.backend.values()).map(|s| s.server.len()).sum();
    if servers + 2 * members.len() > SERVERS {
        l.error(path, format!("more than {SERVERS} servers behind one HAProxy"), None);
        return;
    }
    if !h.patroni && h.listen.is_empty() && h.frontend.is_empty() {
        if !h.backend.is_empty() {
            l.error(&at("backend"), "servers that nobody can reach: there is no `frontend`", None);
        }
        return;
    }
    sections(l, stack, path, h);
    ports(l, stack, (path, host), h, &members);
    let full = expand(h, &members);
    timeouts(l, path, h, &full);
    blind_checks(l, stack, path, h);
}

/// Every section by itself.
fn sections(l: &mut Lint<'_>, stack: &Stack, path: &str, h: &HAProxy) {
    let d = format!("{path}.defaults");
    for (field, set) in [("bind", h.defaults.bind.is_some()), ("server", !h.defaults.server.is_empty())] {
        if set {
            l.error(&format!("{d}.{field}"), format!("`defaults` has no `{field}`"), None);
        }
    }
    common(l, stack, &d, &h.defaults);
    for (name, s) in &h.listen {
        let at = format!("{path}.listen.{name}");
        if s.default_backend.is_some() {
            let help = Some("a `frontend` has one".to_owned());
            l.error(&format!("{at}.default_backend"), "a `listen` section has its own servers", help);
        }
        if s.server.is_empty() {
            l.warn(&at, format!("`{name}` has no server: clients are closed at once"));
        }
        common(l, stack, &at, s);
    }
    for (name, s) in &h.frontend {
        let at = format!("{path}.frontend.{name}");
        if !s.server.is_empty() {
            let help = Some("a `listen` section is both, a frontend and its servers".to_owned());
            l.error(&format!("{at}.server"), "a `frontend` has no servers: a `backend` has", help);
        }
        match s.default_backend.as_ref().or(h.defaults.default_backend.as_ref()) {
            None => l.warn(&at, format!("`{name}` has no default_backend: clients are closed at once")),
            Some(b) if !h.backend.contains_key(b) && !h.listen.contains_key(b) => {
                let names = h.backend.keys().chain(h.listen.keys());
                let help = nearest(b, names.map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
                l.error(&format!("{at}.default_backend"), format!("there is no backend `{b}`"), help);
            }
            Some(_) => {}
        }
        common(l, stack, &at, s);
    }
    for (name, s) in &h.backend {
        let at = format!("{path}.backend.{name}");
        if s.bind.is_some() {
            l.error(&format!("{at}.bind"), "a `backend` does not accept clients", None);
        }
        if h.listen.contains_key(name) {
            l.error(&at, format!("there is a `listen` section `{name}` too"), None);
        }
        let used = |f: &Section| f.default_backend.as_ref() == Some(name);
        if !h.frontend.values().chain([&h.defaults]).any(used) {
            l.warn(&at, format!("no frontend uses `{name}`"));
        }
        if s.server.is_empty() {
            l.warn(&at, format!("`{name}` has no server: clients are closed at once"));
        }
        common(l, stack, &at, s);
    }
}

/// What holds for every kind of section.
fn common(l: &mut Lint<'_>, stack: &Stack, path: &str, s: &Section) {
    if s.http_check_expect_status.is_some() && s.option_httpchk.is_none() && !path.ends_with(".defaults") {
        l.warn(
            &format!("{path}.http_check_expect_status"),
            "checks only connect: without `option_httpchk` nobody asks for a status",
        );
    }
    for (field, span) in [
        ("timeout_connect", s.timeout_connect),
        ("timeout_client", s.timeout_client),
        ("timeout_server", s.timeout_server),
        ("timeout_check", s.timeout_check),
        ("timeout_queue", s.timeout_queue),
    ] {
        long(l, path, field, span);
    }
    let d = format!("{path}.default_server");
    for (field, set) in
        [("name", s.default_server.name.is_some()), ("address", s.default_server.address.is_some())]
    {
        if set {
            l.error(&format!("{d}.{field}"), format!("servers have no {field} in common"), None);
        }
    }
    server(l, &d, &s.default_server);
    let mut names: Vec<&str> = Vec::new();
    for (i, one) in s.server.iter().enumerate() {
        let at = format!("{path}.server[{i}]");
        server(l, &at, one);
        let Some(address) = &one.address else {
            let help = Some("add `address: \"db1:5432\"`".to_owned());
            l.error(&at, "a server needs an address", help);
            continue;
        };
        let where_at = format!("{at}.address");
        if address.port == 0 {
            l.error(&where_at, "a port goes from 1 to 65535", None);
        }
        known(l, stack, &where_at, &address.host);
        let name = one.name.as_deref().unwrap_or(&address.host);
        if names.contains(&name) {
            let help = Some("give one of them a `name`".to_owned());
            l.error(&at, format!("two servers are called `{name}`"), help);
        }
        names.push(name);
        let check = one.check.or(s.default_server.check);
        if check != Some(true) && one.on_marked_down == Some(OnMarkedDown::ShutdownSessions) {
            l.warn(&format!("{at}.on_marked_down"), "without `check: true` the server never goes down");
        }
        let (agent, port) = (
            one.agent_check.or(s.default_server.agent_check),
            one.agent_port.or(s.default_server.agent_port),
        );
        if agent == Some(true) && port.is_none() {
            let help = Some("add `agent_port`".to_owned());
            l.error(&format!("{at}.agent_check"), "an agent needs a port", help);
        }
    }
}

/// HAProxy counts milliseconds in 31 bits.
fn long(l: &mut Lint<'_>, path: &str, field: &str, span: Option<Span>) {
    if span.is_some_and(|d| d > Span::ms(i32::MAX as u64)) {
        let help = Some("HAProxy configuration manual, time format: 31 bits of milliseconds".to_owned());
        l.error(&format!("{path}.{field}"), format!("{field} is at most 24.8 days"), help);
    }
}

/// The host of a server: of the stack, an address, or a name that DNS may know.
fn known(l: &mut Lint<'_>, stack: &Stack, path: &str, host: &str) {
    if host.parse::<Ip>().is_ok() || stack.hosts.contains_key(host) {
        return;
    }
    if anybody(stack, |r| matches!(r, Runs::Dns(_) | Runs::Resolver(_) | Runs::Consul(_)))
        && host.contains('.')
    {
        l.warn(
            path,
            format!(
                "the address of `{host}` is looked up once, at the start: a change of it is never noticed"
            ),
        );
        return;
    }
    let hosts: Vec<&str> = stack.hosts.keys().map(String::as_str).collect();
    let help = nearest(host, hosts.iter().copied()).map_or_else(
        || format!("hosts of this stack: {}", hosts.join(", ")),
        |n| format!("did you mean `{n}`?"),
    );
    l.error(path, format!("there is no host `{host}`"), Some(help));
}

/// The values of a server, or of what servers have in common.
fn server(l: &mut Lint<'_>, path: &str, s: &Server) {
    let source = || Some("HAProxy configuration manual, server options".to_owned());
    for (field, port) in [("port", s.port), ("agent_port", s.agent_port)] {
        if port == Some(0) {
            l.error(&format!("{path}.{field}"), "a port goes from 1 to 65535", None);
        }
    }
    if s.weight.is_some_and(|w| w > 256) {
        l.error(&format!("{path}.weight"), "a weight goes from 0 to 256", source());
    }
    for (field, n) in [("fall", s.fall), ("rise", s.rise), ("error_limit", s.error_limit)] {
        if n == Some(0) {
            l.error(&format!("{path}.{field}"), format!("{field} is 1 or more"), source());
        }
        if n.is_some_and(|n| n > 1_000_000) {
            l.error(&format!("{path}.{field}"), format!("{field} is 1000000 or less"), source());
        }
    }
    for (field, span) in [
        ("inter", s.inter),
        ("fastinter", s.fastinter),
        ("downinter", s.downinter),
        ("agent_inter", s.agent_inter),
    ] {
        if span.is_some_and(|d| d < Span::ms(1)) {
            l.error(&format!("{path}.{field}"), format!("{field} is 1ms or more"), source());
        }
        long(l, path, field, span);
    }
    long(l, path, "slowstart", s.slowstart);
    if s.maxqueue.is_some_and(|n| n > 0) && s.maxconn.is_none_or(|n| n == 0) && s.address.is_some() {
        l.warn(&format!("{path}.maxqueue"), "without `maxconn` nobody waits in the queue");
    }
}

/// Ports that clients connect to: each once, and not that of another daemon of the host.
fn ports(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), h: &HAProxy, members: &[&str]) {
    let full = expand(h, members);
    let mut taken: Vec<(u16, String)> = Vec::new();
    if runs(stack, host, |r| matches!(r, Runs::Postgres(_))) {
        taken.push((postgres::PORT, "PostgreSQL".to_owned()));
    }
    if runs(stack, host, |r| matches!(r, Runs::Patroni(_))) {
        taken.push((patroni::REST_PORT, "Patroni".to_owned()));
    }
    let kinds = [("listen", &full.listen), ("frontend", &full.frontend)];
    for (kind, name, s) in kinds.iter().flat_map(|(k, all)| all.iter().map(move |(n, s)| (k, n, s))) {
        let at = format!("{path}.{kind}.{name}");
        match s.bind {
            None => l.error(&at, format!("`{name}` needs a port: `bind: 5000`"), None),
            Some(0) => l.error(&format!("{at}.bind"), "a port goes from 1 to 65535", None),
            Some(port) => {
                if let Some((_, by)) = taken.iter().find(|t| t.0 == port) {
                    l.error(&format!("{at}.bind"), format!("port {port} belongs to {by} already"), None);
                }
                taken.push((port, format!("`{name}`")));
            }
        }
    }
}

/// HAProxy warns of sections without timeouts: a dead peer would hold its session for ever.
fn timeouts(l: &mut Lint<'_>, path: &str, h: &HAProxy, full: &HAProxy) {
    let setup = Setup::new(full, Vec::new(), &|_| None);
    let place = |name: &str, kinds: &[&'static str]| {
        let of = |k: &&str| match *k {
            "listen" => h.listen.contains_key(name),
            "frontend" => h.frontend.contains_key(name),
            _ => h.backend.contains_key(name),
        };
        kinds.iter().find(|k| of(k)).map_or_else(|| path.to_owned(), |k| format!("{path}.{k}.{name}"))
    };
    let mut missing: Vec<(String, String)> = Vec::new();
    for f in setup.fronts.iter().filter(|f| f.timeout_client.is_none()) {
        missing.push((place(&f.name, &["listen", "frontend"]), "timeout_client".to_owned()));
    }
    for b in &setup.backs {
        for (field, t) in [("timeout_connect", b.timeout_connect), ("timeout_server", b.timeout_server)] {
            if t.is_none() {
                missing.push((place(&b.name, &["listen", "backend"]), field.to_owned()));
            }
        }
    }
    missing.sort();
    let mut i = 0;
    while let Some((at, _)) = missing.get(i).cloned() {
        let fields: Vec<&str> = missing[i..].iter().take_while(|m| m.0 == at).map(|m| m.1.as_str()).collect();
        let n = fields.len();
        l.warn(&at, format!("without {} a session with a dead peer lasts for ever", fields.join(", ")));
        i += n;
    }
}

/// Checks that cannot tell a primary from a standby.
fn blind_checks(l: &mut Lint<'_>, stack: &Stack, path: &str, h: &HAProxy) {
    for (kind, all) in [("listen", &h.listen), ("backend", &h.backend)] {
        for (name, s) in all {
            let httpchk = s.option_httpchk.is_some() || h.defaults.option_httpchk.is_some();
            let agreed = |own: &Server, f: fn(&Server) -> Option<bool>| {
                f(own).or(f(&s.default_server)).or(f(&h.defaults.default_server)) == Some(true)
            };
            for (i, one) in s.server.iter().enumerate().filter(|(_, one)| agreed(one, |s| s.check)) {
                let Some(a) = &one.address else { continue };
                let port = one.port.or(s.default_server.port).or(h.defaults.default_server.port);
                let database = a.port == postgres::PORT && port.is_none_or(|p| p == postgres::PORT);
                if !database || !runs(stack, &a.host, |r| matches!(r, Runs::Patroni(_))) {
                    continue;
                }
                let what = if httpchk {
                    "PostgreSQL does not answer HTTP: every check of port 5432 fails; ask Patroni, `port: 8008`"
                } else {
                    "every database accepts connections on 5432: all nodes look UP, standbys too; ask Patroni \
                     with `option_httpchk: \"OPTIONS /primary\"` and `port: 8008`"
                };
                l.warn(&format!("{path}.{kind}.{name}.server[{i}]"), what);
            }
        }
    }
}
