//! What can be wrong with a pgpool.

use super::Lint;
use crate::engine::Span;
use crate::proto::pgpool::Pgpool;
use crate::proto::pgpool::config::{Lifecheck, Management, Mode, SubMode, Version};
use crate::proto::pgpool::route::{Preferred, Redirect};
use crate::proto::postgres::Postgres;
use crate::proto::postgres::sql::{Command, Persistence, Verb};
use crate::scenario::diag::nearest;
use crate::scenario::syntax;
use crate::scenario::types::{Runs, Stack};

/// The processes of a pgpool, for faults.
pub(super) fn processes(p: &Pgpool) -> &'static [&'static str] {
    const PLAIN: [&str; 6] = [
        "pgpool",
        "pgpool/child",
        "pgpool/pcp",
        "pgpool/worker",
        "pgpool/health_check",
        "pgpool/follow_primary",
    ];
    const WATCHDOG: [&str; 10] = [
        "pgpool",
        "pgpool/child",
        "pgpool/pcp",
        "pgpool/worker",
        "pgpool/health_check",
        "pgpool/follow_primary",
        "pgpool/watchdog",
        "pgpool/lifecheck",
        "pgpool/heartbeat_sender",
        "pgpool/heartbeat_receiver",
    ];
    if p.use_watchdog { &WATCHDOG } else { &PLAIN }
}

/// The servers of a stack, by host.
fn servers(stack: &Stack) -> Vec<(&str, &Postgres)> {
    let mut all = Vec::new();
    for (name, h) in &stack.hosts {
        for r in &h.runs {
            if let Runs::Postgres(p) = r {
                all.push((name.as_str(), p));
            }
        }
    }
    all
}

pub(super) fn pgpool(l: &mut Lint<'_>, stack: &Stack, (path, _host): (&str, &str), p: &Pgpool) {
    let servers = servers(stack);
    let names = || servers.iter().map(|s| s.0);
    if servers.is_empty() {
        l.error(path, "no host of this stack runs PostgreSQL: there is nothing behind this pgpool", None);
    }
    for (i, b) in p.backends.iter().enumerate() {
        if !names().any(|n| n == b.host) {
            let help = nearest(&b.host, names()).map(|n| format!("did you mean `{n}`?"));
            let message = format!("`{}` runs no PostgreSQL", b.host);
            l.error(&format!("{path}.backends[{i}].host"), message, help);
        }
    }
    modes(l, path, p);
    ranges(l, path, p);
    lists(l, path, p, p.backends.len().max(servers.len()));
    let used = |n: &str| p.backends.is_empty() || p.backends.iter().any(|b| b.host == n);
    sizes(l, path, p, servers.iter().filter(|s| used(s.0)));
    no_effect(l, path, p);
    super::pgpool_recovery::commands(l, path, p, servers.iter().copied().filter(|s| used(s.0)));
    let unlogged =
        |s: &&(&str, &Postgres)| s.1.tables.values().any(|t| t.persistence == Persistence::Unlogged);
    if !p.check_unlogged_table
        && p.mode().has_primary()
        && let Some((name, _)) = servers.iter().find(unlogged)
    {
        let message = format!(
            "{name} has unlogged tables, which standbys do not: SELECTs of them fail where they are balanced to"
        );
        l.warn(&format!("{path}.check_unlogged_table"), message);
    }
}

/// Modes that exclude each other.
fn modes(l: &mut Lint<'_>, path: &str, p: &Pgpool) {
    let at = |f: &str| format!("{path}.{f}");
    let on = |s: Option<bool>| s == Some(true);
    let old = [
        ("replication_mode", p.replication_mode.is_some()),
        ("master_slave_mode", p.master_slave_mode.is_some()),
        ("parallel_mode", p.parallel_mode.is_some()),
    ];
    if p.backend_clustering_mode.is_some()
        && let Some((field, _)) = old.iter().find(|o| o.1)
    {
        let help = Some("4.2 put one setting in the place of the three switches".to_owned());
        l.error(&at(field), format!("`{field}` and `backend_clustering_mode` both say who replicates"), help);
    }
    if on(p.parallel_mode) && on(p.master_slave_mode) {
        let help = Some("pgpool-II 3.4 manual: parallel query needs replication_mode, and is incompatible with master/slave".to_owned());
        l.error(
            &at("parallel_mode"),
            "parallel query mode and master/slave mode cannot be used together",
            help,
        );
    }
    if on(p.replication_mode) && on(p.master_slave_mode) {
        let help = Some("either pgpool replicates, or somebody else does".to_owned());
        l.error(
            &at("master_slave_mode"),
            "replication_mode and master_slave_mode cannot be enabled at the same time",
            help,
        );
    }
    let parallel = p.mode() == Mode::ParallelQuery;
    if parallel {
        if on(p.parallel_mode) && (p.replication_mode == Some(false) || !p.load_balance_mode) {
            let field = if p.load_balance_mode { "replication_mode" } else { "load_balance_mode" };
            l.error(&at(field), "parallel query mode needs replication_mode and load_balance_mode", None);
        }
        l.warn(
            &at("parallel_mode"),
            "parallel query was deprecated in 3.4 and removed in 3.5.0 (2016-01-29): a museum piece",
        );
        if p.dist_def.is_empty() {
            l.warn(&at("dist_def"), "no table is partitioned: every query goes to node 0");
        }
    } else if !p.dist_def.is_empty() {
        l.warn(&at("dist_def"), "only parallel query mode has partitions");
    }
    if p.mode() == Mode::Slony && p.version == Version::V47 {
        let field = if p.backend_clustering_mode.is_some() {
            "backend_clustering_mode"
        } else {
            "master_slave_sub_mode"
        };
        let help = Some("set `version: \"4.6\"`, or another mode".to_owned());
        l.error(&at(field), "slony mode was retired in 4.7", help);
    }
    if p.master_slave_sub_mode.is_some() && !on(p.master_slave_mode) {
        let help = Some(format!(
            "`master_slave_mode: true`, or `backend_clustering_mode: {}`",
            match p.master_slave_sub_mode {
                Some(SubMode::Logical) => "logical_replication",
                Some(SubMode::Slony) => "slony",
                _ => "streaming_replication",
            }
        ));
        l.error(&at("master_slave_sub_mode"), "a sub mode without `master_slave_mode`", help);
    }
    let said = |f: &str| syntax::find(l.root, &at(f)).is_some();
    if p.use_watchdog
        && p.mode().replicates()
        && p.failover_when_quorum_exists
        && said("failover_when_quorum_exists")
    {
        let help = Some("every pgpool decides for itself there: leave it out".to_owned());
        l.error(
            &at("failover_when_quorum_exists"),
            "failover_when_quorum_exists is not allowed in native replication mode",
            help,
        );
    }
    lifecheck(l, path, p);
    let second = Span::secs(1);
    for (field, span, zero) in [
        ("wd_interval", p.wd_interval, false),
        ("wd_heartbeat_keepalive", p.wd_heartbeat_keepalive, false),
        ("wd_heartbeat_deadtime", p.wd_heartbeat_deadtime, false),
        ("wd_lost_node_removal_timeout", p.wd_lost_node_removal_timeout, true),
        ("wd_no_show_node_removal_timeout", p.wd_no_show_node_removal_timeout, true),
    ] {
        if span < second && !(zero && span.is_zero()) {
            let help = Some("pgpool-II manual, \"Watchdog\": whole seconds".to_owned());
            l.error(&at(field), format!("{field} goes from 1s"), help);
        }
    }
    if p.process_management_mode == Management::Dynamic {
        let help = Some("the children of `static` are all there from the start".to_owned());
        l.error(&at("process_management_mode"), "dynamic process management is not modelled", help);
    }
}

/// The lifecheck by queries.
fn lifecheck(l: &mut Lint<'_>, path: &str, p: &Pgpool) {
    let at = |f: &str| format!("{path}.{f}");
    if p.wd_lifecheck_method != Lifecheck::Query {
        for (field, set) in [
            ("wd_lifecheck_user", !p.wd_lifecheck_user.is_empty()),
            ("wd_lifecheck_password", !p.wd_lifecheck_password.is_empty()),
        ] {
            if set {
                l.warn(&at(field), format!("`{field}` is for `wd_lifecheck_method: query`"));
            }
        }
        return;
    }
    if p.wd_lifecheck_user.is_empty() {
        l.warn(
            &at("wd_lifecheck_method"),
            "without `wd_lifecheck_user` no session is opened: a lifecheck by queries never begins",
        );
    }
    if p.wd_lifecheck_dbname.is_empty() {
        let help = Some("`template1`, which is the default".to_owned());
        l.error(&at("wd_lifecheck_dbname"), "a lifecheck by queries needs a database", help);
    }
    if Command::parse(&p.wd_lifecheck_query).verb == Verb::Error {
        l.error(&at("wd_lifecheck_query"), format!("`{}` is no statement", p.wd_lifecheck_query), None);
    }
    if p.wd_life_point == 0 {
        let help = Some("pgpool-II manual, \"wd_life_point\": 3 by default".to_owned());
        l.error(&at("wd_life_point"), "a pgpool without lives is dead in the first round", help);
    }
}

fn ranges(l: &mut Lint<'_>, path: &str, p: &Pgpool) {
    let at = |f: &str| format!("{path}.{f}");
    let source = || Some("pgpool-II manual, \"Server Configuration\"".to_owned());
    for (field, n, low, high) in [
        ("num_init_children", u32::from(p.num_init_children), 1, 2_000),
        ("max_pool", u32::from(p.max_pool), 1, 1_000),
        ("listen_backlog_multiplier", p.listen_backlog_multiplier, 1, 10_000),
    ] {
        if !(low..=high).contains(&n) {
            l.error(&at(field), format!("{field} goes from {low} to {high}"), source());
        }
    }
    for (field, port) in [("port", p.port), ("pcp_port", p.pcp_port), ("wd_port", p.wd_port)] {
        if port == 0 {
            l.error(&at(field), "a port goes from 1 to 65535", None);
        }
    }
    if p.reserved_connections >= p.num_init_children {
        let message = format!(
            "reserved_connections = {} leaves no place of num_init_children = {}: every client is refused",
            p.reserved_connections, p.num_init_children
        );
        l.error(&at("reserved_connections"), message, source());
    }
}

/// Lists that contradict each other or cannot be read.
fn lists(l: &mut Lint<'_>, path: &str, p: &Pgpool, nodes: usize) {
    let at = |f: &str| format!("{path}.{f}");
    if !p.write_function_list.is_empty() && !p.read_only_function_list.is_empty() {
        let help = Some(
            "with a list of writing functions all others read, with a list of reading ones all others write"
                .to_owned(),
        );
        l.error(
            &at("read_only_function_list"),
            "write_function_list and read_only_function_list exclude each other",
            help,
        );
    }
    for (field, list) in [
        ("app_name_redirect_preference_list", &p.app_name_redirect_preference_list),
        ("database_redirect_preference_list", &p.database_redirect_preference_list),
        ("user_redirect_preference_list", &p.user_redirect_preference_list),
    ] {
        for (i, text) in list.iter().enumerate() {
            let place = at(&format!("{field}[{i}]"));
            match text.parse::<Redirect>() {
                Err(why) => l.error(&place, why, Some("for example \"postgres:primary(0.3)\"".to_owned())),
                Ok(r) => {
                    if let Preferred::Node(n) = r.to()
                        && usize::from(n) >= nodes
                    {
                        l.error(
                            &place,
                            format!("there is no node {n}: nodes go from 0 to {}", nodes.saturating_sub(1)),
                            None,
                        );
                    }
                }
            }
        }
    }
    for (i, text) in p.reset_query_list.iter().enumerate() {
        if Command::parse(text).verb == Verb::Error {
            l.error(&at(&format!("reset_query_list[{i}]")), format!("`{text}` is no statement"), None);
        }
    }
}

/// pgpool's places against the servers'.
fn sizes<'a>(
    l: &mut Lint<'_>,
    path: &str,
    p: &Pgpool,
    servers: impl Iterator<Item = &'a (&'a str, &'a Postgres)>,
) {
    let wanted = u32::from(p.num_init_children);
    let most = wanted.saturating_mul(u32::from(p.max_pool));
    for (name, s) in servers {
        let room = s.max_connections.saturating_sub(s.superuser_reserved_connections);
        let have = format!("max_connections - superuser_reserved_connections = {room} on {name}");
        if wanted > room {
            let field = format!("{path}.num_init_children");
            l.warn(
                &field,
                format!(
                    "num_init_children = {wanted} is more than {have}: sessions will be refused by the server"
                ),
            );
        } else if most > room {
            let field = format!("{path}.max_pool");
            l.warn(
                &field,
                format!("max_pool * num_init_children = {most} is more than {have}: kept connections use up the server's places"),
            );
        } else {
            continue;
        }
        return;
    }
}

/// Settings that do nothing, or not what they seem to.
fn no_effect(l: &mut Lint<'_>, path: &str, p: &Pgpool) {
    let at = |f: &str| format!("{path}.{f}");
    let delay = p.delay_threshold.0 > 0 || !p.delay_threshold_by_time.is_zero();
    let field = if p.delay_threshold.0 > 0 { "delay_threshold" } else { "delay_threshold_by_time" };
    if delay && p.mode() != Mode::StreamingReplication {
        l.warn(&at(field), "delays are known in streaming replication mode only");
    } else if delay && p.sr_check_period.is_zero() {
        l.warn(&at("sr_check_period"), "without the check no delay is ever known: no standby is too late");
    }
    if p.prefer_lower_delay_standby && !delay {
        l.warn(&at("prefer_lower_delay_standby"), "without `delay_threshold` no standby is too late");
    }
    let checks = !p.health_check_period.is_zero() && p.health_check_max_retries > 0;
    if checks && p.failover_on_backend_error {
        l.warn(
            &at("failover_on_backend_error"),
            "retries of the health check protect from nothing while a client's broken connection fails over at once (the manual: turn it off)",
        );
    }
    if p.health_check_period > Span::ZERO && p.health_check_timeout.is_zero() {
        l.warn(&at("health_check_timeout"), "a hung server is never noticed without a timeout");
    }
    let replicates = p.mode().replicates();
    for (field, set) in [
        ("replicate_select", p.replicate_select),
        ("replication_stop_on_mismatch", p.replication_stop_on_mismatch),
        ("failover_if_affected_tuples_mismatch", p.failover_if_affected_tuples_mismatch),
    ] {
        if set && !replicates {
            l.warn(&at(field), format!("`{field}` is for native replication and snapshot isolation"));
        }
    }
}
