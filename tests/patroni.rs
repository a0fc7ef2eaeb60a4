//! The behaviours of Patroni when something dies or is cut off, each by its number, over enough seeds to see the spread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod patroni_lab;

use firedrill::engine::{Span, Time};
use firedrill::net::Plane;
use firedrill::node::process::HostId;
use firedrill::proto::patroni::Kind;
use firedrill::proto::patroni::note::{Lost, Note as Pat};
use patroni_lab::{Lab, Plan, Store, mean, secs};

/// From the moment `t` to the next sight of the missing key, and to its next owner.
fn gone_and_owned(lab: &Lab, t: Time) -> (f64, f64, HostId) {
    let (gone, _) = lab.told(t, |_, n| matches!(n, Pat::KeyGone { .. })).expect("the key goes");
    let (owned, host) = lab.elected(t).expect("somebody takes it");
    (secs(gone.since(t)), secs(owned.since(t)), host)
}
fn inside(what: &str, value: f64, low: f64, high: f64) {
    assert!(value >= low && value <= high, "{what}: {value:.3}, expected {low}..{high}");
}
/// Power off the primary's host at a random time.
fn power_offs(plan: &Plan, seeds: std::ops::RangeInclusive<u64>) -> Vec<(f64, f64, bool)> {
    seeds
        .map(|seed| {
            let (mut lab, a) = plan.settled(seed);
            let t = lab.now();
            let with_dcs_leader = lab.dcs_leader() == Some(a);
            lab.power_off(a);
            lab.until(t + Span::secs(70), |l| l.promoted(t).is_some());
            let (gone, owned, _) = gone_and_owned(&lab, t);
            (gone, owned, with_dcs_leader)
        })
        .collect()
}

#[test]
fn pat_01_the_key_of_a_dead_host_goes_with_its_lease_and_a_replica_takes_it() {
    let (mut elsewhere, mut lost) = (0, 0);
    for (gone, owned, with_dcs_leader) in power_offs(&Plan::new(Store::Etcd), 1..=120) {
        if with_dcs_leader {
            lost += 1;
            inside("etcd leader lost: gone", gone, 31.9, 34.6);
            inside("etcd leader lost: owned", owned, 33.9, 37.0);
        } else {
            elsewhere += 1;
            inside("gone", gone, 20.0, 30.6);
            inside("owned", owned, 22.0, 33.0);
            inside("the poll of the dead host", owned - gone, 2.0, 2.1);
        }
    }
    assert!(elsewhere > 20 && lost > 20, "{elsewhere} {lost}");
    for (gone, owned, _) in power_offs(&Plan::new(Store::Consul), 1..=60) {
        inside("Consul: gone", gone, 20.0, 30.1);
        inside("Consul: owned", owned, 22.0, 33.0);
    }
    let mut lost = 0;
    for (gone, _, with_dcs_leader) in power_offs(&Plan::new(Store::ConsulHere), 1..=60) {
        if with_dcs_leader {
            lost += 1;
            inside("Consul leader lost: gone", gone, 34.9, 45.4);
        }
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn pat_02_expiry_is_uniform_over_the_phases_of_the_loop() {
    for (store, expected) in [(Store::EtcdApart, 25.25), (Store::Consul, 25.0)] {
        let times: Vec<f64> = power_offs(&Plan::new(store), 1..=200).iter().map(|t| t.0).collect();
        let m = mean(&times);
        assert!((m - expected).abs() <= 0.5, "{m}, expected {expected}");
        for quarter in 0..4 {
            let low = 20.0 + 2.5 * f64::from(quarter);
            let n = times.iter().filter(|t| **t >= low && **t < low + 2.5).count();
            assert!((30..=70).contains(&n), "{n} of 200 from {low} on");
        }
    }
}

#[test]
fn pat_03_who_refuses_connections_costs_no_poll() {
    let plan = Plan::new(Store::EtcdApart);
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        lab.kill(a, "patroni");
        lab.kill(a, "postgres");
        lab.run(45.0);
        let (gone, owned, _) = gone_and_owned(&lab, t);
        inside("owned", owned, 20.0, 31.0);
        inside("poll", owned - gone, 0.0, 0.25);
    }
    // Only Patroni: PostgreSQL streams on, and two replicas can each see the other ahead.
    let (mut at_once, mut refused) = (0, 0);
    for seed in 1..=100 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        lab.kill(a, "patroni");
        lab.run(60.0);
        let (gone, owned, _) = gone_and_owned(&lab, t);
        let behind = lab.log.iter().filter(|(at, ..)| secs(at.since(t)) < gone + 1.0 && *at >= t);
        let behind = behind
            .filter(|(.., n)| {
                matches!(n, firedrill::proto::Note::Patroni(Pat::RaceLost { why: Lost::Behind { .. } }))
            })
            .count();
        if owned - gone < 1.0 {
            at_once += 1;
            inside("owned", owned, 20.0, 31.0);
        } else {
            refused += 1;
            assert_eq!(behind, 2, "both found the other ahead");
            inside("one loop_wait later", owned - gone, 9.9, 10.4);
        }
        assert!(lab.writable(a), "the old PostgreSQL knows nothing of it");
        assert_eq!(lab.writables().len(), 2);
    }
    eprintln!("mutual refusals: {refused} of 100");
    assert!(at_once > 50 && refused > 0, "{at_once} at once, {refused} refused each other");
}

#[test]
fn pat_04_a_crashed_postgresql_is_started_where_it_was() {
    for seed in 1..=40 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let (t, timeline) = (lab.now(), lab.timeline(a));
        lab.kill(a, "postgres");
        for _ in 0..80 {
            assert_eq!(lab.rest(a, "/primary"), Some(200), "the lock counts, not PostgreSQL");
            lab.run(0.25);
        }
        let (noticed, _) = lab.told(t, |_, n| matches!(n, Pat::PostgresDead { .. })).expect("noticed");
        inside("noticed", secs(noticed.since(t)), 0.0, 10.1);
        let up = lab.mark(t, "recovered", a).expect("it recovers");
        inside("started", secs(up.since(noticed)), 0.3, 5.0);
        assert_eq!(lab.timeline(a), timeline);
        assert!(lab.elected(t).is_none(), "no failover");
        assert!(lab.writable(a));
    }
}

#[test]
fn pat_05_without_a_start_timeout_a_crash_is_a_failover() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "primary_start_timeout: \"0s\", use_pg_rewind: true".to_owned();
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        lab.kill(a, "postgres");
        lab.run(50.0);
        let (released, _) = lab.told(t, |_, n| matches!(n, Pat::KeyReleased)).expect("released");
        inside("released", secs(released.since(t)), 0.0, 10.5);
        let (promoted, b) = lab.promoted(t).expect("promoted");
        inside("promoted", secs(promoted.since(t)), 0.0, 14.0);
        assert_ne!(a, b);
        let rewound = lab.told(t, |_, n| matches!(n, Pat::Rewinding { .. }));
        assert!(rewound.is_none(), "its WAL had been streamed");
        assert_eq!(lab.streaming(b), 2, "the old one is a standby again");
    }
}

#[test]
fn pat_06_a_start_that_takes_too_long_is_a_failover_if_somebody_is_fit() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.postgres += ", recovery_rate: \"1kB\"";
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        lab.run(60.0);
        let t = lab.now();
        lab.kill(a, "postgres");
        lab.run(330.0);
        let (demoting, kind) = lab.demoting(t, a).expect("it gives up");
        assert_eq!(kind, Kind::Immediate);
        inside("failover", secs(demoting.since(t)), 300.0, 320.0);
        assert!(lab.promoted(t).is_some_and(|p| p.1 != a));
    }
    plan.nodes = 2;
    plan.own = vec![(2, "tags: (nofailover: true)".to_owned())];
    let (mut lab, a) = plan.settled(1);
    lab.run(60.0);
    let t = lab.now();
    lab.kill(a, "postgres");
    lab.run(700.0);
    assert!(lab.demoting(t, a).is_none(), "nobody may follow: it waits on");
}

#[test]
fn pat_07_a_patroni_that_is_back_before_the_lease_ends_keeps_its_lock() {
    for store in [Store::EtcdApart, Store::Consul] {
        for seed in 1..=20 {
            let (mut lab, a) = Plan::new(store).settled(seed);
            let (t, old) = (lab.now(), lab.key_session());
            lab.kill(a, "patroni");
            lab.run(10.0);
            lab.start(a, "patroni");
            lab.run(12.0);
            assert_eq!(lab.key().as_deref(), Some(lab.name(a)));
            assert_ne!(lab.key_session(), old, "the key hangs on the new session");
            assert!(lab.believes(a));
            lab.run(60.0);
            assert!(lab.elected(t).is_none() && lab.promoted(t).is_none(), "no failover");
            assert!(lab.writable(a));
        }
    }
}

#[test]
fn pat_08_a_stopped_patroni_leaves_two_primaries() {
    let mut late = 0;
    for seed in 1..=40 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let t = lab.now();
        lab.pause(a, "patroni");
        lab.run(50.0);
        let (promoted, b) = lab.promoted(t).expect("promoted");
        let after = secs(promoted.since(t));
        if after > 33.5 {
            late += 1;
            inside("after a mutual refusal", after, 32.0, 43.5);
        } else {
            inside("promoted", after, 22.0, 33.5);
        }
        assert!(lab.writable(a) && lab.writable(b), "both take writes");
        let c = lab.now();
        lab.resume(a, "patroni");
        lab.run(5.0);
        let (demoting, kind) = lab.demoting(c, a).expect("its first cycle");
        assert_eq!(kind, Kind::ImmediateNolock);
        inside("stopped", secs(demoting.since(c)), 0.0, 1.0);
        assert!(!lab.writable(a));
    }
    assert!(late < 20, "{late} of 40");
}

#[test]
fn pat_09_the_watchdog_resets_the_host_before_the_lease_ends() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.host = "watchdog: Softdog".to_owned();
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        assert!(lab.patroni(a).watchdog_runs());
        let t = lab.now();
        lab.pause(a, "patroni");
        let mut two = 0;
        for _ in 0..140 {
            lab.run(0.5);
            two += usize::from(lab.writables().len() > 1);
        }
        let reset = lab.resets.first().expect("reset");
        assert_eq!(reset.1, a);
        inside("reset", secs(reset.0.since(t)), 15.0, 25.0);
        let (gone, _, _) = gone_and_owned(&lab, t);
        inside("before the lease ends", gone - secs(reset.0.since(t)), 4.9, 5.7);
        assert_eq!(two, 0, "never two that take writes");
        assert!(lab.promoted(t).is_some());
    }
}

#[test]
fn pat_10_half_of_ttl_as_margin_and_no_slack_at_all() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.host = "watchdog: Softdog".to_owned();
    plan.patroni = "safety_margin: \"-1\"".to_owned();
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        lab.pause(a, "patroni");
        lab.run(20.0);
        inside("reset", secs(lab.resets.first().expect("reset").0.since(t)), 5.0, 15.0);
    }
    // ttl / 2 - loop_wait is below zero: the watchdog cannot be used, and without it there is to be no primary.
    plan.patroni =
        "safety_margin: \"-1\", loop_wait: \"16s\", retry_timeout: \"7s\", watchdog: Required".to_owned();
    let mut lab = plan.lab(1);
    lab.run(120.0);
    assert!(lab.writables().is_empty());
    let refused = lab.told(Time::ZERO, |_, n| matches!(n, Pat::RaceLost { why: Lost::Watchdog }));
    assert!(refused.is_some());
    // With retry_timeout 10 the timing rule cuts loop_wait to 10 first.
    plan.patroni = "safety_margin: \"-1\", loop_wait: \"16s\", watchdog: Required".to_owned();
    let (lab, a) = plan.settled(1);
    assert!(lab.writable(a) && lab.patroni(a).watchdog_runs());
    // Required, and no device.
    plan.host = String::new();
    let mut lab = plan.lab(2);
    lab.run(60.0);
    assert!(lab.writables().is_empty());
}

/// All members of etcd die.
fn dcs_dies(lab: &mut Lab) {
    for s in lab.stores() {
        lab.kill(s, "etcd");
    }
}

#[test]
fn pat_11_without_the_store_the_primary_stops_and_the_same_one_comes_back() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "use_pg_rewind: true".to_owned();
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        let (t, timeline) = (lab.now(), lab.timeline(a));
        dcs_dies(&mut lab);
        lab.run(60.0);
        let stopped = lab.mark(t, "demoted", a).expect("it stops taking writes");
        inside("stopped", secs(stopped.since(t)), 8.2, 22.9);
        assert_eq!(lab.demoting(t, a).map(|d| d.1), Some(Kind::Offline));
        assert!(lab.promoted(t).is_none(), "nobody is promoted");
        assert_eq!(lab.rest(a, "/primary"), Some(503));
        assert_eq!(lab.rest(a, "/replica"), Some(200), "it runs read-only");
        let back = lab.now();
        for s in lab.stores() {
            lab.start(s, "etcd");
        }
        lab.run(30.0);
        let (promoted, who) = lab.promoted(back).expect("promoted");
        assert_eq!(who, a, "the key survived, and with it its owner");
        inside("promoted", secs(promoted.since(back)), 0.0, 13.0);
        assert!(lab.elected(back).is_none(), "no race");
        assert_eq!(lab.timeline(a), timeline + 1);
    }
}

#[test]
fn pat_12_failsafe_mode_keeps_the_primary_as_long_as_all_agree() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "failsafe_mode: true".to_owned();
    for seed in 1..=10 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        dcs_dies(&mut lab);
        for _ in 0..600 {
            lab.run(0.5);
            assert!(lab.writable(a));
        }
        assert!(lab.told(t, |_, n| matches!(n, Pat::FailsafeAccepted { members: 2 })).is_some());
        assert_eq!(lab.rest(a, "/primary"), Some(200));
    }
}

#[test]
fn pat_13_failsafe_mode_needs_every_member() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "failsafe_mode: true".to_owned();
    let mut longest: f64 = 0.0;
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        dcs_dies(&mut lab);
        lab.run(60.0 + patroni_lab::phase(seed * 7));
        assert!(lab.writable(a));
        let t = lab.now();
        let b = lab.others(a)[0];
        lab.power_off(b);
        lab.run(30.0);
        let (demoting, kind) = lab.demoting(t, a).expect("it stops");
        assert_eq!(kind, Kind::Offline);
        longest = longest.max(secs(demoting.since(t)));
        inside("demoted", secs(demoting.since(t)), 0.0, 17.0);
    }
    assert!(longest > 10.0, "{longest}");
}

#[test]
fn pat_14_replicas_that_reach_the_store_hold_still_while_the_primary_says_it_goes_on() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "failsafe_mode: true".to_owned();
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        for s in lab.stores() {
            lab.cut_plane(a, s, Plane::dcs);
        }
        lab.run(19.5);
        assert!(lab.key().is_some());
        lab.run(11.5);
        assert!(lab.key().is_none(), "the lease is over");
        lab.run(90.0);
        assert!(lab.writable(a));
        assert!(lab.elected(t).is_none() && lab.promoted(t).is_none());
        // It stops saying so: now they race.
        let c = lab.now();
        lab.power_off(a);
        lab.run(50.0);
        assert!(lab.promoted(c).is_some_and(|p| p.1 != a));
    }
}

/// The primary's host is cut off from everybody; both sides' writable times.
fn cut_off(plan: &Plan, seed: u64) -> (f64, f64, bool) {
    let (mut lab, a) = plan.settled(seed);
    let t = lab.now();
    let with_dcs_leader = lab.dcs_leader() == Some(a);
    lab.cut(a);
    lab.run(90.0);
    let stops = lab.mark(t, "demoted", a).expect("it stops taking writes");
    let (promoted, _) = lab.promoted(t).expect("the others go on");
    assert!(promoted > stops, "seed {seed}: they never overlap");
    let (_, owned, _) = gone_and_owned(&lab, t);
    let ended = lab.mark(t, "stopped", a).expect("its server ends");
    inside("the server ends", secs(ended.since(t)), 55.0, 61.0);
    (secs(stops.since(t)), owned, with_dcs_leader)
}

#[test]
fn pat_15_a_primary_that_is_cut_off_stops_before_another_begins() {
    for seed in 1..=60 {
        let (stops, owned, with_dcs_leader) = cut_off(&Plan::new(Store::Etcd), seed);
        inside("etcd: stops", stops, 8.2, 22.7);
        if with_dcs_leader {
            inside("etcd leader cut off too: owned", owned, 33.9, 37.0);
        } else {
            inside("etcd: owned", owned, 22.0, 33.0);
        }
    }
    for seed in 1..=60 {
        let (stops, owned, _) = cut_off(&Plan::new(Store::Consul), seed);
        inside("Consul: stops", stops, 10.3, 22.9);
        inside("Consul: owned", owned, 22.0, 33.0);
    }
    // Failsafe mode: the members do not answer either, which costs two attempts of 2 s.
    let mut plan = Plan::new(Store::Etcd);
    plan.patroni = "failsafe_mode: true".to_owned();
    let mut waits = Vec::new();
    for seed in 1..=40 {
        let (stops, ..) = cut_off(&plan, seed);
        let (without, ..) = cut_off(&Plan::new(Store::Etcd), seed);
        inside("failsafe: stops", stops, 12.2, 26.7);
        waits.push(stops - without);
    }
    inside("later by", mean(&waits), 3.5, 4.5);
}
