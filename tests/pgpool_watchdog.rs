//! pgpool's watchdog on the network: elections, quorum, the virtual address, lost pgpools. Figures are those of the specification
//! (PGP-21 to PGP-29, 32, 36, 37), over many seeds, with both ends of each range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "pgpool_lab/mod.rs"]
mod pgpool_lab;
use pgpool_lab::{Times, drill, hosts_with, in_range, play, seen};

/// The default timing of the manual: 10 / 2 / 30.
const DEFAULT: &str = r#""pgpool.wd_interval": "10s", "pgpool.wd_heartbeat_keepalive": "2s", "pgpool.wd_heartbeat_deadtime": "30s","#;
/// No health checks: nobody but the watchdog notices anything.
const NO_CHECKS: &str = r#""pgpool.health_check_period": "0s","#;

/// The survivors' election: the shares of the fast cluster, and that nothing lies between the two.
fn two_clusters(t: &Times) {
    let fast = t.values.iter().filter(|v| **v < 4.5).count();
    for v in &t.values {
        assert!((2.0..=3.4).contains(v) || (6.0..=7.6).contains(v), "{v} lies in neither cluster: {t}");
    }
    let share = fast as f64 / t.values.len() as f64;
    assert!((0.25..=0.75).contains(&share), "{share} of the elections are fast: {t}");
}

#[test]
fn pgp_25_a_killed_leader_is_noticed_at_once_and_the_address_follows_in_two_clusters() {
    let l = drill(NO_CHECKS, "80s", r#"At("35s..45s", Kill(VipHolder, "pgpool", all: true))"#);
    let runs = seen(&l, 100, |r| {
        let lost = r.first("leader_lost", "n2")?.max(r.first("leader_lost", "n3")?);
        in_range(lost, 0.0, 0.2, "noticed");
        assert_eq!(r.after("vip_down", "n1"), None, "a killed pgpool leaves its address");
        // Equal priorities: the pgpool that started earlier.
        assert_eq!(r.after("vip_up", "n3"), None, "n2 started before n3");
        Some(r.first("vip_up", "n2")? - lost)
    });
    two_clusters(&runs);
    let higher = drill(
        &format!(r#"{NO_CHECKS} "hosts.n3.runs.1.Pgpool.wd_priority": "2","#),
        "80s",
        r#"At("35s..45s", Kill("n1", "pgpool", all: true))"#,
    );
    let runs = seen(&higher, 30, |r| {
        // With the higher priority n3 led from the start.
        Some(f64::from(r.first("leader_lost", "n2").is_none()))
    });
    assert_eq!(runs.min(), 0.0);
}
