//! What can be wrong with databases and their managers.

use super::Lint;
use crate::engine::Span;
use crate::proto::patroni::Patroni;
use crate::proto::postgres::Postgres;
use crate::proto::postgres::config::Size;
use crate::proto::postgres::data::SyncNames;
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
pub(super) fn patroni(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Patroni) {}
