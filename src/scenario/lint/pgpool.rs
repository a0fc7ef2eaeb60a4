//! What can be wrong with a pgpool.

use super::Lint;
use crate::proto::pgpool::Pgpool;
use crate::scenario::diag::nearest;
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

pub(super) fn pgpool(l: &mut Lint<'_>, stack: &Stack, (path, _host): (&str, &str), p: &Pgpool) {
    let servers: Vec<&str> = stack
        .hosts
        .iter()
        .filter(|(_, h)| h.runs.iter().any(|r| matches!(r, Runs::Postgres(_))))
        .map(|(name, _)| name.as_str())
        .collect();
    for (i, b) in p.backends.iter().enumerate() {
        if !servers.contains(&b.host.as_str()) {
            let help = nearest(&b.host, servers.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            let message = format!("`{}` runs no PostgreSQL", b.host);
            l.error(&format!("{path}.backends[{i}].host"), message, help);
        }
    }
}
