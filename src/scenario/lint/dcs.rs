//! What can be wrong with a distributed store.

use super::Lint;
use crate::engine::{MS, SEC, Span};
use crate::proto::consul::config::Consul;
use crate::proto::etcd::config::Etcd;
use crate::proto::raft::quorum;
use crate::scenario::types::{Runs, Stack};

/// As many members as a cluster may have here; more only make writes slower.
const MOST_MEMBERS: usize = 7;
/// As many Consul agents as a stack may have.
const MOST_AGENTS: usize = 64;
/// etcd's longest election time-out.
const MOST_ELECTION: Span = Span::secs(50);

fn on_hosts<'a>(stack: &'a Stack, is: impl Fn(&Runs) -> bool + 'a) -> impl Iterator<Item = &'a str> {
    let count = move |h: &crate::scenario::types::Host| h.runs.iter().filter(|r| is(r)).count();
    stack.hosts.iter().flat_map(move |(name, h)| std::iter::repeat_n(name.as_str(), count(h)))
}

/// How many there are, and what they bear; told once, at the first of them.
fn size(l: &mut Lint<'_>, (path, host): (&str, &str), members: &[&str], words: (&str, &str)) {
    let (product, kind) = words;
    let n = members.len();
    if members.iter().filter(|m| **m == host).count() > 1 {
        l.error(path, format!("{host} runs {product} twice"), Some("the port can be taken once".to_owned()));
    }
    if members.first() != Some(&host) {
        return;
    }
    let needed = quorum(n);
    match n {
        1 => l.warn(path, format!("one {kind}: when it is lost, nobody can hold the lock")),
        2 => l.warn(
            path,
            format!("two {kind}s: the quorum is 2, so that the loss of either stops both; take three"),
        ),
        n if n > MOST_MEMBERS => l.error(
            path,
            format!("{n} {kind}s: there can be {MOST_MEMBERS}"),
            Some("three bear the loss of one, five of two; more only make writes slower".to_owned()),
        ),
        n if n.is_multiple_of(2) => l.warn(
            path,
            format!(
                "{n} {kind}s: the quorum is {needed}, so that they bear the loss of {}, like {}",
                n - needed,
                n - 1
            ),
        ),
        _ => {}
    }
}

pub(super) fn etcd(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), e: &Etcd) {
    let members: Vec<&str> = on_hosts(stack, |r| matches!(r, Runs::Etcd(_))).collect();
    size(l, (path, host), &members, ("etcd", "etcd member"));
    let at = |f: &str| format!("{path}.{f}");
    let (heartbeat, election) = (e.heartbeat_interval, e.election_timeout);
    if heartbeat < Span::ms(1) || !heartbeat.0.is_multiple_of(MS) {
        let help = "etcd: --heartbeat-interval in milliseconds".to_owned();
        l.error(
            &at("heartbeat_interval"),
            "heartbeat_interval is a whole number of ms, 1ms or more",
            Some(help),
        );
        return;
    }
    if election.0 < 5 * heartbeat.0 {
        l.error(
            &at("election_timeout"),
            format!(
                "election_timeout is at least five times heartbeat_interval ({heartbeat}), not {election}"
            ),
            Some("etcd refuses to start otherwise; ten times is usual".to_owned()),
        );
    } else if !election.0.is_multiple_of(heartbeat.0) {
        l.error(
            &at("election_timeout"),
            format!("election_timeout is a whole number of heartbeat_interval ({heartbeat}), not {election}"),
            Some("etcd counts it in ticks of heartbeat_interval".to_owned()),
        );
    }
    if election > MOST_ELECTION {
        l.error(
            &at("election_timeout"),
            format!("election_timeout is at most {MOST_ELECTION}"),
            Some("etcd refuses more".to_owned()),
        );
    }
    let differs = stack.hosts.values().flat_map(|h| &h.runs).any(
        |r| matches!(r, Runs::Etcd(o) if (o.heartbeat_interval, o.election_timeout) != (heartbeat, election)),
    );
    if differs && members.first() == Some(&host) {
        l.warn(path, "the members have different election timers: the shortest of them calls all elections");
    }
}

pub(super) fn consul(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), c: &Consul) {
    let servers: Vec<&str> = on_hosts(stack, |r| matches!(r, Runs::Consul(c) if c.server)).collect();
    let agents: Vec<&str> = on_hosts(stack, |r| matches!(r, Runs::Consul(_))).collect();
    let at = |f: &str| format!("{path}.{f}");
    if servers.is_empty() && agents.first() == Some(&host) {
        l.error(
            path,
            "Consul without a server: agents only forward, so that no session and no lock can exist",
            Some("set `server: true` on three of the hosts".to_owned()),
        );
    }
    if agents.iter().filter(|a| **a == host).count() > 1 {
        l.error(
            path,
            format!("{host} runs Consul twice"),
            Some("one agent a host, server or not".to_owned()),
        );
    } else if c.server {
        size(l, (path, host), &servers, ("Consul", "Consul server"));
    }
    if agents.len() > MOST_AGENTS && agents.first() == Some(&host) {
        l.error(path, format!("{} Consul agents: there can be {MOST_AGENTS}", agents.len()), None);
    }
    if !(1..=10).contains(&c.raft_multiplier) {
        l.error(
            &at("raft_multiplier"),
            format!("raft_multiplier goes from 1 to 10, not {}", c.raft_multiplier),
            Some(
                "Consul: performance.raft_multiplier; 5 is the default, 1 the advice for production"
                    .to_owned(),
            ),
        );
    }
    if !(SEC..=86_400 * SEC).contains(&c.session_ttl_min.0) {
        l.error(
            &at("session_ttl_min"),
            format!("session_ttl_min goes from 1s to 1d, not {}", c.session_ttl_min),
            Some("a session lasts at most 86400 s".to_owned()),
        );
    }
    if c.rpc_hold_timeout.is_zero() || c.rpc_hold_timeout > Span::secs(3600) {
        l.error(&at("rpc_hold_timeout"), "rpc_hold_timeout goes from 1ns to 1h", None);
    }
    let differs = stack
        .hosts
        .values()
        .flat_map(|h| &h.runs)
        .any(|r| matches!(r, Runs::Consul(o) if o.server && o.raft_multiplier != c.raft_multiplier));
    if c.server && differs && servers.first() == Some(&host) {
        l.warn(&at("raft_multiplier"), "the servers have different raft_multipliers");
    }
}
