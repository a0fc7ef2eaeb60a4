//! What can be wrong with the commands of a pgpool's failover and recovery.

use super::Lint;
use crate::engine::Span;
use crate::proto::pgpool::Pgpool;
use crate::proto::pgpool::config::{Command, Follow, IdleLimit, Mode};
use crate::proto::postgres::Postgres;

/// The commands, what they ask of servers and of each other.
pub(super) fn commands<'a>(
    l: &mut Lint<'_>,
    path: &str,
    p: &Pgpool,
    servers: impl Iterator<Item = (&'a str, &'a Postgres)> + Clone,
) {
    let at = |f: &str| format!("{path}.{f}");
    for (field, set, may) in [
        ("failover_command", p.failover_command, [Command::Promote, Command::Nothing]),
        ("failback_command", p.failback_command, [Command::Nothing, Command::Nothing]),
        ("recovery_1st_stage_command", p.recovery_1st_stage_command, [Command::BaseBackup, Command::Nothing]),
        ("recovery_2nd_stage_command", p.recovery_2nd_stage_command, [Command::CopyWal, Command::Nothing]),
    ] {
        if let Some(command) = set.filter(|c| !may.contains(c)) {
            let mut names: Vec<String> = may.iter().map(|c| format!("`{c:?}`")).collect();
            names.dedup();
            let help = Some(format!("{field}: {}", names.join(" or ")));
            l.error(&at(field), format!("{command:?} is not what a {field} does"), help);
        }
    }
    if p.follow_primary_command.is_some() && p.follow_master_command.is_some() {
        let help = Some("4.2 gave follow_master_command the name follow_primary_command".to_owned());
        l.error(&at("follow_master_command"), "two names of the same command", help);
    }
    let streams = p.mode() == Mode::StreamingReplication;
    let field =
        if p.follow_primary_command.is_some() { "follow_primary_command" } else { "follow_master_command" };
    match p.follow() {
        Some(_) if !streams => {
            l.warn(&at(field), format!("{field} is run in streaming replication mode only"));
        }
        Some(Follow::Rewind | Follow::RewindWithoutCheckpoint) => {
            let cannot = |s: &(&str, &Postgres)| !s.1.physics(false).can_rewind;
            if let Some((name, _)) = servers.clone().find(cannot) {
                l.warn(
                    &at(field),
                    format!("pg_rewind needs wal_log_hints or data_checksums on {name}: the command fails there, and the node stays detached"),
                );
            }
        }
        _ => {}
    }
    if p.follow().is_some() && streams && p.failover_command.is_none() {
        l.warn(
            &at(field),
            "without a failover_command nobody is promoted, and there is no new primary to follow",
        );
    }
    if let IdleLimit::After(limit) = p.client_idle_limit_in_recovery
        && limit >= p.recovery_timeout
    {
        l.warn(
            &at("client_idle_limit_in_recovery"),
            "client_idle_limit_in_recovery must be smaller than recovery_timeout: online recovery gives up before anybody is cut off",
        );
    }
    if p.recovery_timeout.0 % Span::secs(1).0 != 0 {
        l.error(&at("recovery_timeout"), "recovery_timeout is whole seconds", None);
    }
    let replicates = p.mode().replicates();
    if p.recovery_2nd_stage_command.is_some() && !replicates {
        l.warn(
            &at("recovery_2nd_stage_command"),
            "online recovery has a second stage in native replication and snapshot isolation only",
        );
    }
    if replicates && p.recovery_1st_stage_command.is_some() && p.recovery_2nd_stage_command.is_none() {
        l.warn(
            &at("recovery_1st_stage_command"),
            "without a second stage the recovered server stays a standby of the main node: it is attached, and every write fails on it",
        );
    }
    if !streams && !replicates && p.recovery_1st_stage_command.is_some() {
        l.warn(&at("recovery_1st_stage_command"), format!("{} mode has no online recovery", p.mode().name()));
    }
    if p.detach_false_primary && !streams {
        l.warn(
            &at("detach_false_primary"),
            "false primaries are looked for in streaming replication mode only",
        );
    } else if p.detach_false_primary && p.sr_check_period.is_zero() {
        l.warn(
            &at("detach_false_primary"),
            "with sr_check_period 0s false primaries are looked for once, when pgpool starts",
        );
    }
    if p.auto_failback {
        let why = if !streams {
            Some("nodes come back by themselves in streaming replication mode only")
        } else if p.sr_check_period.is_zero() {
            Some(
                "with sr_check_period 0s nobody sees that a standby streams again: it does not come back by itself",
            )
        } else if p.health_check_period.is_zero() {
            Some("the health check attaches nodes, and health_check_period is 0s")
        } else {
            None
        };
        if let Some(why) = why {
            l.warn(&at("auto_failback"), why);
        }
    }
}
