//! Every drill of `any/` on every database architecture: its faults find whom they mean, clients feel them, and the figures are what the timers of the
//! architecture make them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::node::log::Level;
use firedrill::scenario::{embedded, load};
use firedrill::trace::metrics::{Metric, Metrics};
use rayon::prelude::*;

const STACKS: [&str; 8] = [
    "pgpool-watchdog",
    "pgpool-scripts",
    "patroni-vip-on-hosts",
    "patroni-consul-haproxy",
    "patroni-dns",
    "pacemaker-postgres",
    "pacemaker-postgres-no-fencing",
    "keepalived-postgres",
];
/// Nobody there has a vote and no data.
const WITHOUT_WITNESS: [&str; 4] =
    ["pgpool-watchdog", "pgpool-scripts", "pacemaker-postgres-no-fencing", "keepalived-postgres"];
/// Whoever leads there is made sure of: by a lease, by fencing.
const SAFE: [&str; 4] =
    ["patroni-vip-on-hosts", "patroni-consul-haproxy", "patroni-dns", "pacemaker-postgres"];

/// How long writes are out when the primary's host goes, in seconds, and why.
fn failover(stack: &str) -> (u64, u64) {
    match stack {
        // The leader of the watchdog is on the same host: heartbeats 3 s, two lifechecks, an election of up to 8 s, then two health checks.
        "pgpool-watchdog" => (12, 32),
        // Two health checks (connect_timeout 3 s, a second between), 5 s from end to end, and the client's own 2 s.
        "pgpool-scripts" => (6, 15),
        // 20 s to 30 s of the lease, 4 s more with the leader of etcd on that host, 2.3 s of the race.
        "patroni-vip-on-hosts" => (20, 40),
        // The same with a Consul session (ttl 30 s, its invalidation up to twice that, no lock delay) and two checks of HAProxy.
        "patroni-consul-haproxy" => (22, 75),
        // A JVM that has cached the name for ever never comes back.
        "patroni-dns" => (100, 400),
        // Token 3.65 s, consensus 4.38 s, 0 s to 3 s for the CIB, 2 s to 6 s of the BMC, up to 2 s of the agent, the client's 2 s.
        "pacemaker-postgres" => (11, 23),
        // Token 3 s, consensus 3.6 s, the CIB, the agent, the client: nobody is shot.
        "pacemaker-postgres-no-fencing" => (7, 16),
        // Three adverts of 1 s and the skew, the promotion, the client.
        _ => (3, 8),
    }
}

#[test]
fn every_drill_for_any_stack_means_something_on_each() {
    let drills: Vec<String> = embedded::drills().into_iter().filter(|d| d.starts_with("any/")).collect();
    assert_eq!(drills.len(), 9, "{drills:?}");
    let pairs: Vec<(&str, &str)> =
        drills.iter().flat_map(|d| STACKS.iter().map(move |s| (d.as_str(), *s))).collect();
    let wrong: Vec<String> = pairs.par_iter().flat_map_iter(|(drill, stack)| judge(drill, stack)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judge(drill: &str, stack: &str) -> Vec<String> {
    let l = load::load(drill, &[], Some(stack)).unwrap_or_else(|r| panic!("{}", r[0].render(false)));
    let r = firedrill::trace::run::run(&l.stack, &l.drill, 1, Level::Story, false);
    let m = Metrics::of(&r);
    let mut wrong = Vec::new();
    let mut check = |ok: bool, what: &str| {
        if !ok {
            let figures: Vec<String> =
                Metric::ALL.iter().map(|f| format!("{} {}", f.name(), m.get(*f))).collect();
            wrong.push(format!("{drill} on {stack}: {what}: {}", figures.join(", ")));
        }
    };
    // Whom the faults mean.
    let faults: Vec<&str> =
        r.marks.iter().filter(|m| matches!(m.kind, "fault" | "healed")).map(|m| m.text.as_str()).collect();
    check(faults.len() == l.drill.faults.len(), "every fault has fired");
    let hosts = l.stack.hosts.values();
    let servers = hosts.filter(|h| h.runs.iter().any(|r| r.name() == "postgres")).count();
    for f in &faults {
        let two_standbys = drill == "any/rolling-restart" && f.contains("standby 2") && servers == 2;
        let no_witness = drill == "any/witness-lost" && WITHOUT_WITNESS.contains(&stack);
        let nobody = f.contains("= nobody");
        check(nobody == (two_standbys || no_witness), &format!("whom it means: {f}"));
    }
    // What clients feel.
    let outage = m.get(Metric::WriteOutageMax);
    let (open, lost) = (m.get(Metric::OpenOutages), m.get(Metric::LostWrites));
    check(m.get(Metric::AckedWrites) > 1_000, "clients write");
    let forever = stack == "patroni-dns";
    let inside = |(from, to): (u64, u64)| outage >= from * 1_000_000 && outage <= to * 1_000_000;
    let safe = SAFE.contains(&stack);
    let split = m.get(Metric::SplitBrain);
    match drill.trim_start_matches("any/") {
        "primary-power-off" => {
            check(inside(failover(stack)), "the time of a failover");
            check(m.get(Metric::Failovers) == 1, "one promotion");
            check((open > 0) == forever, "writes come back");
            // Whoever starts an old primary without asking has two of them: sixty seconds, from its boot at 180 s to the end.
            let two = matches!(stack, "pgpool-watchdog" | "pgpool-scripts" | "keepalived-postgres");
            check(two == (split > 0) && split <= 61_000_000, "the old primary returns");
            check(lost == 0, "nothing that was acknowledged was on one disk only");
        }
        "site-lost" if stack == "pacemaker-postgres" => {
            // The BMC stands in the same room: nothing can be made sure of before power is back, at 180 s, and the device answers.
            check(inside((118, 175)) && open == 0 && split == 0, "no fencing, no failover");
        }
        "site-lost" => {
            check(inside(failover(stack)), "the time of a failover");
            check(m.get(Metric::Failovers) == 1, "one promotion");
            check((open > 0) == forever, "writes come back");
        }
        "primary-cut-off" => {
            check(outage >= failover(stack).0 * 1_000_000, "the time of a failover");
            check(m.get(Metric::Failovers) == 1, "one promotion");
            check(safe == (split == 0), "who makes sure has one primary");
            check((open > 0) == forever, "writes come back");
        }
        "primary-frozen" => {
            check(outage >= failover(stack).0 * 1_000_000, "the time of a failover");
            check(m.get(Metric::Failovers) >= 1, "a promotion");
            // What wakes up after a minute stops when it looks at its lease, or it was shot; others go on as primary.
            check(safe == (split < 1_000_000), "who makes sure has one primary");
        }
        "link-flaps" => check(inside((3, 9)) && open == 0, "four seconds without the link"),
        "rolling-restart" => {
            // A reboot takes 32 s; whoever hands over is faster. A pgpool that has detached rebooted servers and does not take them back has none left.
            check(outage >= 1_000_000, "the primary is rebooted, too");
            let hands_over = matches!(
                stack,
                "patroni-consul-haproxy" | "pacemaker-postgres" | "pacemaker-postgres-no-fencing"
            );
            check(!hands_over || outage <= 10_000_000, "a handover");
            check(!safe || split == 0, "one primary");
            check(!(safe || hands_over) || lost == 0, "planned work loses nothing");
            check((open > 0) == (forever || stack == "pgpool-watchdog"), "writes come back");
        }
        "witness-lost" => {
            let needs = stack.starts_with("patroni");
            check(needs == (outage > 20_000_000), "who needs the vote stops");
            check(needs || outage == 0, "who does not goes on");
            check(lost == 0 && split == 0 && open == 0, "nothing is lost");
        }
        "slow-disk" => {
            // A write takes 0.4 s to 0.6 s instead of 1 ms for 90 s of the run.
            let usual = if stack == "pgpool-watchdog" {
                195 * 46
            } else if stack == "patroni-dns" {
                195 * 29
            } else {
                195 * 15
            };
            check(m.get(Metric::AckedWrites) < usual * 3 / 4, "writes are slow");
            check(open == 0 && lost == 0 && m.get(Metric::Failovers) == 0, "nothing fails over");
        }
        "packet-loss-5" => {
            check(outage < 10_000_000 && open == 0, "patience is enough");
            check(lost == 0 && split == 0 && m.get(Metric::Failovers) == 0, "nothing fails over");
        }
        other => check(false, &format!("no figures for {other}")),
    }
    wrong
}
