//! pgpool's watchdog on the network: elections, quorum, the virtual address, lost pgpools. Figures are those of the specification
//! (PGP-21 to PGP-29, 32, 36, 37), over many seeds, with both ends of each range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod pgpool_lab;
use pgpool_lab::{Played, Times, drill, drill_on, in_range, play, seen};

/// The default timing of the manual: 10 / 2 / 30.
const DEFAULT: &str = r#""pgpool.wd_interval": "10s", "pgpool.wd_heartbeat_keepalive": "2s", "pgpool.wd_heartbeat_deadtime": "30s","#;
/// No health checks, no clients: nobody but the watchdog notices anything.
const QUIET: &str = r#""pgpool.health_check_period": "0s", "application.autostart": "false","#;

/// When the last of these hosts lost its leader.
fn noticed(r: &Played, hosts: &[&str]) -> Option<f64> {
    hosts.iter().map(|h| r.after("leader_lost", h)).try_fold(0.0, |a: f64, t| Some(a.max(t?)))
}
/// The two clusters of an election, about half of the seeds each, and nothing between them.
fn two_clusters(t: &Times) {
    for v in &t.values {
        assert!((2.0..=3.3).contains(v) || (6.0..=7.6).contains(v), "{v} lies in neither cluster: {t}");
    }
    let fast = t.values.iter().filter(|v| **v < 4.5).count() as f64 / t.values.len() as f64;
    assert!((0.3..=0.7).contains(&fast), "{fast} of the elections are fast: {t}");
}

#[test]
fn pgp_25_a_killed_leader_is_noticed_at_once_and_the_address_follows_in_two_clusters() {
    let l = drill(QUIET, "90s", r#"At("45s..55s", Kill("n1", "pgpool", all: true))"#);
    two_clusters(&seen(&l, 100, |r| {
        let lost = noticed(r, &["n2", "n3"])?;
        in_range(lost, 0.0, 0.2, "noticed");
        assert_eq!(r.after("vip_down", "n1"), None, "a killed pgpool leaves its address");
        assert!(r.broken("DualVipAnywhere"));
        // Equal priorities: the pgpool that started earlier.
        assert_eq!(r.after("vip_up", "n3"), None, "n2 started before n3");
        Some(r.after("vip_up", "n2")? - lost)
    }));
    // The higher priority wins, although it started later.
    let set = format!(r#"{QUIET} "n3.pgpool.wd_priority": "2","#);
    let l = drill(&set, "90s", r#"At("45s..55s", Kill("n1", "pgpool", all: true))"#);
    two_clusters(&seen(&l, 60, |r| {
        assert_eq!(r.after("vip_up", "n2"), None, "n3 has the higher priority");
        Some(r.after("vip_up", "n3")? - noticed(r, &["n2", "n3"])?)
    }));
}

#[test]
fn pgp_26_a_lost_leader_host_is_noticed_by_silence() {
    let set = format!("{QUIET} {DEFAULT}");
    let l = drill(&set, "260s", r#"At("160s..171s", PowerOff("n1"))"#);
    let detected = std::sync::Mutex::new(Vec::new());
    let t = seen(&l, 100, |r| {
        let lost = noticed(r, &["n2", "n3"])?;
        // By heartbeats [29, 41], by the missing beacon [20, 40], whichever is first.
        in_range(r.after("leader_lost", "")?, 19.9, 41.1, "first noticed");
        detected.lock().unwrap().push(lost);
        r.after("vip_up", "")
    });
    let lost = Times { values: detected.into_inner().unwrap() };
    // The missing beacon is often first, so that the upper end is rare.
    assert!(lost.min() >= 19.9 && lost.min() <= 23.0 && lost.max() <= 41.1 && lost.max() >= 29.0, "{lost}");
    assert!(t.min() >= 22.0 && t.max() <= 47.5 + 5.0, "{t}");
    assert!(t.max() - t.min() > 8.0, "the phases of beacons and lifechecks are not seen: {t}");
    // With 1 / 1 / 3: [3, 5] for each survivor.
    let l = drill(QUIET, "90s", r#"At("45s..55s", PowerOff("n1"))"#);
    let t = seen(&l, 100, |r| r.after("leader_lost", ""));
    t.fill(3.0, 5.05, 0.6);
}

#[test]
fn pgp_27_a_higher_priority_does_not_take_the_lead_from_a_leader() {
    let set = format!(r#"{QUIET} "n3.pgpool.wd_priority": "9","#);
    let faults = r#"At("45s..55s", Stop("n3", "pgpool")), At("60s", Start("n3", "pgpool"))"#;
    let l = drill(&set, "120s", faults);
    let t = seen(&l, 30, |r| {
        assert_eq!(r.count("leader_elected", ""), 0, "the leader stays");
        assert_eq!(r.count("vip_down", "n1"), 0);
        r.from("joined", "n3", r.fault(2))
    });
    assert!(t.min() > 0.0);
}

#[test]
fn pgp_28_of_two_leaders_the_one_with_the_address_stays() {
    let faults = r#"At("45s..46s", Cut("n3", from: Everyone)), At("75s..85s", Heal())"#;
    let l = drill(QUIET, "140s", faults);
    let t = seen(&l, 60, |r| {
        let alone = r.after("leader_elected", "n3").expect("n3 leads alone");
        assert!(alone < r.fault(2));
        assert_eq!(r.count("vip_up", "n3"), 0, "without a quorum it takes no address");
        assert_eq!(r.count("vip_down", "n1"), 0, "the majority's leader stays");
        let joined = r.from("joined", "n3", r.fault(2))?;
        Some(joined - r.fault(2))
    });
    // A beacon, and its join; the connection that was under way during the cut comes back with its next SYN.
    assert!(t.min() >= 1.0 && t.max() <= 22.2, "{t}");
}

#[test]
fn pgp_29_nodes_that_went_in_order_count_unless_they_are_removed() {
    let stop = r#"At("45s..50s", Stop("n3", "pgpool")), At("55s..60s", Stop("n2", "pgpool"))"#;
    let kill = r#"At("45s..50s", Stop("n3", "pgpool")), At("55s..60s", Kill("n2", "pgpool", all: true))"#;
    let removes = format!(r#"{QUIET} "pgpool.wd_remove_shutdown_nodes": "true","#);
    // Off: one of three is no quorum. On: after one removal two are needed, so losing the second costs the quorum; with both gone in
    // order one of one is a quorum.
    for (set, faults, quorum) in
        [(QUIET, stop, false), (removes.as_str(), kill, false), (removes.as_str(), stop, true)]
    {
        let l = drill(set, "100s", faults);
        for seed in 1..=20 {
            let r = play(&l, seed);
            let lost = r.from("quorum_lost", "n1", r.fault(2)).is_some();
            assert_eq!(!lost, quorum, "seed {seed}, {set} {faults}");
            assert_eq!(r.from("vip_down", "n1", r.fault(2)).is_none(), quorum, "seed {seed}");
            assert_eq!(r.count("leader_elected", ""), 0, "it stays leader");
        }
    }
    // A node that was lost counts until wd_lost_node_removal_timeout.
    let set = format!(r#"{QUIET} "pgpool.wd_lost_node_removal_timeout": "20s","#);
    let l = drill(&set, "110s", r#"At("45s..46s", Kill("n3", "pgpool", all: true))"#);
    let t = seen(&l, 20, |r| r.after("revoked", "n1"));
    assert!(t.min() >= 20.0 && t.max() <= 21.2, "{t}");
}

#[test]
fn pgp_23_two_pgpools_have_no_quorum_when_one_is_lost() {
    let l = drill_on("pgpool-watchdog-two", QUIET, "120s", r#"At("45s..55s", PowerOff("n1"))"#);
    let t = seen(&l, 100, |r| {
        assert_eq!(r.after("vip_up", ""), None, "without a quorum nobody takes the address");
        Some(r.after("leader_elected", "n2")? - noticed(r, &["n2"])?)
    });
    // No election: JOINING runs out, INITIALIZING, and nobody answers the declaration.
    t.fill(9.0, 10.3, 0.9);
    // The survivor of a lost standby gives its address up at once.
    let l = drill_on("pgpool-watchdog-two", QUIET, "120s", r#"At("45s..55s", PowerOff("n2"))"#);
    let t = seen(&l, 40, |r| Some(r.after("vip_down", "n1")? - r.after("quorum_lost", "n1")?));
    assert!(t.min() >= 0.0 && t.max() <= 0.02, "{t}");
}

#[test]
fn pgp_24_half_votes_make_two_leaders_with_an_address() {
    let set = format!(r#"{QUIET} "pgpool.enable_consensus_with_half_votes": "true","#);
    let faults = r#"At("45s..55s", Cut("n1", from: "n2")), At("80s..90s", Heal())"#;
    let l = drill_on("pgpool-watchdog-two", &set, "150s", faults);
    let t = seen(&l, 60, |r| {
        assert!(r.broken("TwoPgpoolLeaders"), "both hold the address");
        let heal = r.fault(2);
        assert!(r.after("vip_down", "n1").is_none(), "the older leader keeps it throughout");
        // Rule 7.5: the older stays, the other gives the address up.
        let down = r.from("vip_down", "n2", heal).expect("n2 gives up");
        in_range(down - heal, 0.0, 22.2, "resolved");
        Some(r.after("vip_up", "n2")? - noticed(r, &["n2"])?)
    });
    t.fill(9.0, 10.4, 0.9);
}

#[test]
fn pgp_32_a_leader_that_reaches_no_trusted_server_ends() {
    let set = format!(r#"{QUIET} "pgpool.trusted_servers": "[\"cl\"]","#);
    let l = drill(&set, "120s", r#"At("45s..55s", Cut("n1", from: "cl"))"#);
    let t = seen(&l, 40, |r| {
        let dead = r.after("fatal", "n1")?;
        assert_eq!(r.count("fatal", ""), 1, "the others reach it");
        let vip = r.after("vip_up", "n2").or(r.after("vip_up", "n3")).expect("another takes the address");
        in_range(vip - dead, 1.0, 18.0, "the address follows");
        Some(dead)
    });
    // A ping gives up 10 s after its last packet, or 2 s after ARP has; a round begins every wd_interval after the last one's end.
    assert!(t.min() >= 2.0 && t.max() <= 10.0 + 12.0, "{t}");
}

#[test]
fn pgp_36_a_request_during_an_election_is_cancelled_and_comes_again_a_cycle_later() {
    let l = drill(r#""application.autostart": "false","#, "110s", r#"At("45s..57s", PowerOff("n1"))"#);
    let mut cancelled = 0;
    for seed in 1..=60 {
        let r = play(&l, seed);
        let Some(at) = r.after("cancelled", "") else { continue };
        let host = if r.after("cancelled", "n2") == Some(at) { "n2" } else { "n3" };
        cancelled += 1;
        // p + (n+1) x T + n x r = 5 + 2 x 3 + 1 = 12 s.
        let again = r.from("detected", host, at + 6.0);
        if let Some(again) = again {
            in_range(again - at, 11.9, 12.2, "the next request");
        }
        assert!(r.after("failover_command", "").is_none_or(|t| t > at), "nothing was queued");
    }
    assert!(cancelled > 10, "only {cancelled} of 60");
}

#[test]
fn pgp_37_the_lifecheck_begins_ten_intervals_after_joining() {
    let set = format!("{QUIET} {DEFAULT}");
    let l = drill(&set, "240s", r#"At("60s..90s", PowerOff("n2"))"#);
    for seed in 1..=20 {
        let r = play(&l, seed);
        let started = r.after("lifecheck_started", "n1").map_or(f64::INFINITY, |t| t);
        let silent = r.after("detected", "n1");
        assert!(silent.is_none_or(|t| t >= started), "seed {seed}: {silent:?} before {started}");
        assert!(r.after("node_lost", "n1").is_some_and(|t| t > 20.0), "beacons notice it in the end");
    }
    // Each node's lifecheck begins exactly ten intervals after it joined.
    let l = drill(&set, "200s", r#"At("199s", Heal())"#);
    for seed in 1..=10 {
        let r = play(&l, seed);
        for host in ["n2", "n3"] {
            let before = |kind: &str| {
                let m = r.run.marks.iter().find(|m| m.kind == kind && r.run.host(m.host) == host);
                m.map(|m| m.at.0 as f64 / 1e9).expect("a mark")
            };
            in_range(before("lifecheck_started") - before("joined"), 99.9, 100.2, host);
        }
    }
}

#[test]
fn pgp_21_a_backend_that_one_pgpool_cannot_reach_is_quarantined_there_and_comes_back() {
    let set = r#""application.autostart": "false", "pgpool.health_check_period": "10s", "pgpool.health_check_max_retries": "0", "pgpool.health_check_timeout": "3s","#;
    let faults = r#"At("45s..55s", Cut("n2", from: "n1", plane: client)), At("90s..95s", Heal())"#;
    let l = drill(set, "130s", faults);
    let t = seen(&l, 60, |r| {
        assert_eq!(r.count("failover_command", ""), 0, "nobody fails over");
        // The cut takes a database from the pgpool on either side of it: one vote for each of two nodes.
        assert_eq!(pgpool_lab::hosts_with(r, "quarantined"), ["n1", "n2"]);
        let back = r.from("backend_up", "n2", r.fault(2))? - r.fault(2);
        in_range(back, 0.0, 13.1, "attached again");
        r.after("quarantined", "n2")
    });
    // The second vote comes a cycle (10 + 3 s) after the first, which comes within 13 s.
    assert!(t.min() >= 15.9 && t.max() <= 26.2, "{t}");
}

/// The lifecheck asks queries, every ten seconds.
const QUERY: &str = r#""pgpool.wd_lifecheck_method": "query", "pgpool.wd_lifecheck_user": "\"nobody\"","#;

#[test]
fn a_lifecheck_by_queries_needs_three_rounds_without_an_answer() {
    let set = format!("{QUIET} {DEFAULT} {QUERY}");
    // Refused at once: the third failure comes 20 s after the first, which comes within 10 s.
    let l = drill(&set, "260s", r#"At("160s..171s", Kill("n2", "pgpool", all: true))"#);
    let t = seen(&l, 60, |r| {
        in_range(r.after("detected", "n1")?, 20.0, 30.2, "n1");
        r.after("detected", "n3")
    });
    t.fill(20.0, 30.2, 1.2);
    // With an interval of 1 s: [2, 3].
    let fast = format!("{QUIET} {QUERY}");
    let l = drill(&fast, "110s", r#"At("80s..90s", Kill("n2", "pgpool", all: true))"#);
    seen(&l, 60, |r| r.after("detected", "n3")).fill(2.0, 3.1, 0.25);
    // A host that is gone answers nothing: each round takes what a session may take to open (10 / 2 + 1 = 6 s), or what ARP needs.
    // (The sessions of the others would also find n2's server gone, and say so.)
    let quiet = format!(r#"{set} "pgpool.failover_on_backend_error": "false","#);
    let l = drill(&quiet, "300s", r#"At("160s..171s", PowerOff("n2"))"#);
    let t = seen(&l, 40, |r| r.after("detected", "n3"));
    assert!(t.min() >= 20.0 + 9.0 && t.max() <= 30.0 + 18.3, "{t}");
    // Its own pgpool is asked too: one that accepts and does not serve is dead for everybody and for itself.
    let one = format!(r#"{set} "n2.pgpool.num_init_children": "1","#);
    let l = drill(&one, "300s", r#"At("160s..171s", Pause("n2", "pgpool/child-0"))"#);
    let t = seen(&l, 40, |r| {
        assert!(r.after("detected", "n1").is_some() && r.after("detected", "n3").is_some());
        assert_eq!(r.count("fatal", ""), 1, "it ends");
        r.after("fatal", "n2")
    });
    // Three times 6 s and two pauses of 10 s, from the first round that begins after the fault.
    t.fill(38.0, 48.3, 1.5);
    // Nobody to log in as: it never begins, and notices nothing.
    let nobody = format!(r#"{QUIET} {DEFAULT} "pgpool.wd_lifecheck_method": "query","#);
    let l = drill(&nobody, "260s", r#"At("160s..171s", Kill("n2", "pgpool", all: true))"#);
    let r = play(&l, 1);
    let begun = r.run.marks.iter().any(|m| m.kind == "lifecheck_started");
    assert!(!begun && r.count("detected", "") == 0);
}
