//! pgpool notices that a backend is gone, and fails over: health checks, other triggers, what is cut, what is promoted. Figures are those
//! of the specification (PGP-12 to PGP-20, 22, 35, 38), over many seeds, with both ends of each range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod pgpool_client;
mod pgpool_lab;
use firedrill::engine::Time;
use firedrill::proto::pgpool::note::Note as Pool;
use firedrill::scenario::types::{Fault, Target};
use pgpool_lab::{drill, in_range, play, seen, single};

#[test]
fn pgp_12_a_refusing_backend_is_detected_within_period_and_retries() {
    let hc = r#"health_check_period: "10s", health_check_max_retries: 3,"#;
    let l = single(hc, false, "80s", r#"At("40s..50s", Kill("db1", "postgres"))"#);
    let t = seen(&l, 100, |r| r.after("detected", "pool"));
    t.fill(2.8, 13.2, 0.6);
    // The values of the sample cluster: 5 s, three retries.
    let hc = r#"health_check_period: "5s", health_check_max_retries: 3,"#;
    let l = single(hc, false, "80s", r#"At("40s..50s", Kill("db1", "postgres"))"#);
    seen(&l, 60, |r| r.after("detected", "pool")).fill(2.8, 8.2, 0.6);
}

#[test]
fn pgp_13_dropped_packets_cost_the_connect_timeout_each_time() {
    let hc = r#"health_check_period: "10s", health_check_max_retries: 3,"#;
    let cut = r#"At("40s..50s", Cut("db1", from: "pool", plane: client))"#;
    let l = single(hc, false, "120s", cut);
    seen(&l, 100, |r| r.after("detected", "pool")).fill(42.8, 53.2, 0.6);
    // A server that accepts and does not answer costs the health check's own timeout: [83, 93].
    let l = single(hc, false, "160s", r#"At("40s..50s", Pause("db1", "postgres"))"#);
    seen(&l, 60, |r| r.after("detected", "pool")).fill(82.8, 93.2, 0.8);
}

#[test]
fn pgp_14_without_health_checks_and_clients_nobody_notices() {
    let l = single("", false, "1h", r#"At("40s..50s", Kill("db1", "postgres"))"#);
    for seed in 1..=3 {
        let r = play(&l, seed);
        assert_eq!(r.count("detected", ""), 0);
        assert_eq!(r.count("failover_started", ""), 0);
    }
}

/// How long writes failed.
fn outage(r: &pgpool_lab::Played) -> f64 {
    r.run.outages(true).iter().map(|w| w.gap().0).max().unwrap_or(0) as f64 / 1e9
}

#[test]
fn pgp_15_one_broken_session_is_enough_for_a_failover() {
    let set =
        r#"health_check_period: "10s", health_check_max_retries: 5, failover_on_backend_shutdown: false,"#;
    let l = single(set, true, "80s", r#"At("40s..50s", Kill("db1", "postgres"))"#);
    let t = seen(&l, 60, |r| {
        assert!(outage(r) < 2.0, "{}", outage(r));
        r.after("detected", "pool")
    });
    assert!(t.min() >= 0.0 && t.max() <= 0.3, "{t}");
}

#[test]
fn pgp_16_without_both_triggers_the_health_check_decides() {
    let both = r#"health_check_period: "10s", failover_on_backend_error: false, failover_on_backend_shutdown: false,"#;
    let l = single(both, true, "80s", r#"At("40s..50s", Kill("db1", "postgres"))"#);
    let t = seen(&l, 80, |r| r.after("detected", "pool"));
    assert!(t.min() >= 0.0 && t.max() <= 10.2, "{t}");
    assert!(t.max() > 8.0 && t.median() > 2.0, "the health check's phase is not seen: {t}");
}

/// `pg_ctl stop -m MODE` on the primary, with these triggers and no health check unless there is one.
fn shut_down(mode: &str, error: bool, shutdown: bool, more: &str) -> pgpool_lab::Loaded {
    let set = format!("failover_on_backend_error: {error}, failover_on_backend_shutdown: {shutdown}, {more}");
    single(&set, true, "80s", &format!(r#"At("40s..50s", PgCtlStop("db1", {mode}))"#))
}

#[test]
fn pgp_16_57p01_of_an_orderly_stop_fails_over_at_once_if_it_may() {
    // Both other ways of noticing are off: it is the sessions' 57P01 alone.
    for mode in ["fast", "immediate"] {
        let t = seen(&shut_down(mode, false, true, ""), 60, |r| {
            let m = r.run.marks.iter().find(|m| m.kind == "detected").expect("detected");
            assert!(m.why.contains("57P01"), "{}", m.why);
            assert_eq!(r.count("failover_command", ""), 1);
            r.after("detected", "pool")
        });
        assert!(t.min() >= 0.0 && t.max() <= 0.3, "{mode}: {t}");
    }
    // 4.3 has it on unless it is told otherwise, later versions off.
    for (version, on) in [("4.3", true), ("4.7", false)] {
        let set = format!(r#"version: "{version}", failover_on_backend_error: false,"#);
        let l = single(&set, true, "80s", r#"At("40s..50s", PgCtlStop("db1", fast))"#);
        for seed in 1..=5 {
            assert_eq!(play(&l, seed).after("detected", "pool").is_some_and(|t| t <= 0.3), on, "{version}");
        }
    }
    // Both off: the sessions end, and nobody is told ...
    let l = shut_down("fast", false, false, "");
    for seed in 1..=10 {
        let r = play(&l, seed);
        assert!(r.count("session_cut", "pool") > 0, "the session ends");
        assert_eq!(r.count("detected", "") + r.count("failover_started", ""), 0, "seed {seed}");
    }
    // ... but the health check, in its own time.
    let t = seen(&shut_down("fast", false, false, r#"health_check_period: "10s","#), 60, |r| {
        r.after("detected", "pool")
    });
    assert!(t.min() >= 0.0 && t.max() <= 10.3 && t.max() > 8.0 && t.median() > 2.0, "{t}");
    // A smart stop waits for the sessions, which are pgpool's: with clients that stay it never ends, and nothing is noticed.
    let l = shut_down("smart", true, true, "");
    for seed in 1..=10 {
        let r = play(&l, seed);
        assert_eq!(r.count("detected", ""), 0, "seed {seed}");
        assert_eq!(r.count("stopped", "db1"), 0, "seed {seed}");
        assert!(outage(&r) < 0.2, "{}", outage(&r));
    }
    // A standby that no session reads from may go unnoticed: both sessions read from db1 and db2.
    let set = r#"backends: [(host: "db1"), (host: "db2"), (host: "db3", weight: 0)], failover_on_backend_shutdown: true,"#;
    let l = single(set, true, "80s", r#"At("40s..50s", PgCtlStop("db3", fast))"#);
    for seed in 1..=10 {
        assert_eq!(play(&l, seed).count("detected", ""), 0, "seed {seed}");
    }
}

#[test]
fn pgp_17_exactly_the_sessions_that_read_from_a_lost_standby_end() {
    use pgpool_client::{Plan, secs};
    let quiet = "num_init_children: 16, health_check_period: \"5s\", failover_on_backend_error: false, \
                 failover_on_backend_shutdown: false, failover_command: Promote";
    let (mut ended, mut stayed) = (0, 0);
    for seed in 1..=20 {
        let mut lab = Plan::new(3, quiet)
            .app("reads: Pause(\"50ms\"), sessions: 10, statement_timeout: \"2s\", start_after: \"3s\"")
            .lab(seed);
        lab.to(20.0);
        // (Child, since when, node of its reads.)
        let sessions = |lab: &pgpool_client::Lab| -> Vec<(usize, Time, Option<u8>)> {
            let all = lab.shared().children.iter().enumerate();
            all.filter_map(|(n, c)| c.session.as_ref().map(|s| (n, s.1, c.balanced))).collect()
        };
        let before = sessions(&lab);
        assert_eq!(before.len(), 10);
        lab.fault(Fault::Kill {
            target: Target::Host("n3".to_owned()),
            process: "postgres".to_owned(),
            all: false,
        });
        lab.to(27.0);
        let down = lab.pool().find_map(|(at, n)| match n {
            Pool::Detached { .. } => Some(secs(at.since(Time::ZERO))),
            _ => None,
        });
        in_range(down.expect("detached") - 20.0, 0.0, 5.1, "refused: the next health check");
        let after = sessions(&lab);
        for s in &before {
            assert_eq!(
                after.contains(s),
                s.2 != Some(2),
                "seed {seed}: the session of child {} reads from {:?}",
                s.0,
                s.2
            );
            if s.2 == Some(2) { ended += 1 } else { stayed += 1 }
        }
        assert!(after.iter().all(|s| s.2 != Some(2)), "nobody reads from it any more");
        assert_eq!(after.len(), 10, "those that lost theirs have another");
    }
    assert!(ended > 30 && stayed > 90, "{ended} of {} end", ended + stayed);
}

#[test]
fn pgp_17_a_lost_standby_cuts_its_sessions_only_unless_it_fell_silent() {
    let hc = r#"health_check_period: "5s", health_check_timeout: "3s", connect_timeout: "3s", failover_on_backend_error: false, failover_on_backend_shutdown: false,"#;
    let cut = |r: &pgpool_lab::Played| {
        let m = r.run.marks.iter().find(|m| m.kind == "backend_down").expect("detached");
        m.why.clone()
    };
    let l = single(hc, true, "80s", r#"At("40s..50s", Kill("db3", "postgres"))"#);
    for seed in 1..=30 {
        let r = play(&l, seed);
        assert_eq!(r.count("failover_command", ""), 1, "it runs for a standby too");
        assert_eq!(r.count("new_primary", ""), 0);
        assert!(!r.run.marks.iter().any(|m| m.kind == "promoted" && m.at >= r.fault), "and promotes nobody");
    }
    let l = single(hc, true, "80s", r#"At("40s..50s", Cut("db3", from: "pool", plane: client))"#);
    for seed in 1..=10 {
        let r = play(&l, seed);
        assert!(cut(&r).contains('2'), "a silence cuts both sessions: {}", cut(&r));
    }
}

#[test]
fn pgp_18_the_smallest_number_is_promoted_even_if_it_is_behind() {
    // db2 does not receive for a while: db3 would be the better one.
    let faults = r#"At("40s..45s", Cut("db2", from: "db1", plane: replication)), At("50s..55s", Kill("db1", "postgres"))"#;
    let l = single(r#"health_check_period: "5s","#, true, "90s", faults);
    for seed in 1..=20 {
        let r = play(&l, seed);
        let promoted: Vec<&str> = r
            .run
            .marks
            .iter()
            .filter(|m| m.kind == "promoted" && m.at >= r.fault)
            .map(|m| r.run.host(m.host))
            .collect();
        assert_eq!(promoted, ["db2"], "seed {seed}");
        assert!(r.run.balance.lost > 50, "five seconds of writes are lost: {}", r.run.balance.lost);
    }
}

#[test]
fn pgp_19_without_a_promotion_the_search_goes_on_for_300_seconds() {
    let l = single(
        r#"health_check_period: "5s", failover_command: Nothing,"#,
        true,
        "400s",
        r#"At("40s..50s", Kill("db1", "postgres"))"#,
    );
    let t = seen(&l, 10, |r| {
        assert_eq!(r.count("new_primary", ""), 0);
        let started = r.after("failover_started", "pool")?;
        Some(r.after("failover_done", "pool")? - started)
    });
    assert!(t.min() >= 300.0 && t.max() <= 302.5, "{t}");
}

#[test]
fn pgp_20_a_detached_node_stays_down_unless_auto_failback_attaches_it() {
    let faults = r#"At("40s..45s", Kill("db3", "postgres")), At("50s..55s", Start("db3", "postgres"))"#;
    let l = single(r#"health_check_period: "5s","#, false, "1h", faults);
    assert_eq!(play(&l, 1).count("backend_up", ""), 0, "it never comes back by itself");
    let on = r#"health_check_period: "5s", auto_failback: true, sr_check_period: "10s","#;
    let l = single(on, false, "200s", faults);
    let t = seen(&l, 60, |r| {
        assert_eq!(r.count("backend_up", ""), 1);
        Some(r.after("backend_up", "pool")? - r.fault(2))
    });
    // It streams again within wal_retrieve_retry_interval, the worker looks every 10 s, the health check every 5 s.
    assert!(t.min() >= 0.0 && t.max() <= 10.0 + 5.0 + 5.5, "{t}");
    // Not twice within auto_failback_interval.
    let again = r#"At("40s..42s", Kill("db3", "postgres")), At("50s", Start("db3", "postgres")),
        At("75s..76s", Kill("db3", "postgres")), At("85s", Start("db3", "postgres"))"#;
    let l = single(on, false, "240s", again);
    for seed in 1..=20 {
        let r = play(&l, seed);
        let first = r.from("backend_up", "pool", r.fault(2)).expect("attached");
        let second = r.from("backend_up", "pool", r.fault(4)).expect("attached again");
        assert!(second - first >= 60.0, "seed {seed}: {}", second - first);
    }
}

#[test]
fn pgp_22_with_three_pgpools_the_second_fastest_detection_fails_over_once() {
    let l =
        drill(r#""application.autostart": "false","#, "100s", r#"At("45s..57s", Kill("n1", "postgres"))"#);
    let t = seen(&l, 100, |r| {
        assert_eq!(r.count("failover_command", ""), 1, "one command in total");
        let mut votes: Vec<f64> = ["n1", "n2", "n3"].iter().filter_map(|h| r.after("detected", h)).collect();
        votes.sort_by(f64::total_cmp);
        let command = r.after("failover_command", "")?;
        in_range(command - votes[1], 0.0, 0.2, "after the second");
        Some(command)
    });
    // Each needs [1, 6]; the second smallest of three.
    assert!(t.min() >= 1.0 && t.max() <= 6.2, "{t}");
    assert!(t.max() - t.min() > 2.5, "{t}");
}

#[test]
fn pgp_38_the_clients_of_the_leader_are_one_vote() {
    let kill = r#"At("45s..57s", Kill("n1", "postgres"))"#;
    let l = drill("", "100s", kill);
    let t = seen(&l, 60, |r| {
        in_range(r.after("quarantined", "n1")?, 0.0, 0.1, "quarantined at once");
        let others = r
            .after("detected", "n2")
            .into_iter()
            .chain(r.after("detected", "n3"))
            .fold(f64::INFINITY, f64::min);
        let command = r.after("failover_command", "")?;
        in_range(command - others, 0.0, 0.2, "after the first other");
        Some(command)
    });
    assert!(t.min() >= 0.9 && t.max() <= 6.3, "{t}");
    let l = drill(r#""pgpool.failover_require_consensus": "false","#, "100s", kill);
    let t = seen(&l, 20, |r| r.after("failover_command", ""));
    assert!(t.max() <= 0.3, "{t}");
    let l = drill(r#""pgpool.allow_multiple_failover_requests_from_node": "true","#, "100s", kill);
    let t = seen(&l, 20, |r| r.after("failover_command", ""));
    assert!(t.max() <= 0.4, "{t}");
}

#[test]
fn pgp_35_a_hung_primary_is_replaced_and_nobody_is_served() {
    let hc = r#"version: "4.3", sr_check_period: "2s", health_check_period: "5s", health_check_timeout: "3s", health_check_max_retries: 1, connect_timeout: "3s","#;
    let faults = r#"At("40s..50s", Pause("db1", "postgres")), At("75s", Resume("db1", "postgres"))"#;
    let l = single(hc, true, "110s", faults);
    let t = seen(&l, 60, |r| {
        let resumed = r.fault(2);
        assert!(r.after("failover_command", "pool")? < resumed);
        let new = r.after("new_primary", "pool")?;
        assert!(new >= resumed, "the search waits for the worker, which waits for the hung node: {new}");
        assert!(r.broken("SplitBrainAnywhere"), "then there are two primaries");
        r.after("detected", "pool")
    });
    t.fill(6.9, 12.1, 0.8);
}
