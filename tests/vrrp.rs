//! The behaviours of VRRP and keepalived, each by its number, over enough seeds to see the spread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{MS, SEC, Span, Time};
use firedrill::node::log::Level;
use firedrill::scenario::load::{Loaded, load};
use firedrill::trace::run::{Run, run};
use std::io::Write;

/// Process time that a takeover may take beyond the formula.
const EPS: u64 = 20 * MS;

fn drill(stack: &str, body: &str, sets: &[(&str, &str)]) -> Loaded {
    let mut file = tempfile::Builder::new().suffix(".ron").tempfile().unwrap();
    write!(file, "Drill(about: \"a test\", stack: \"{stack}\", {body})").unwrap();
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    match load(file.path().to_str().unwrap(), &sets, None) {
        Ok(l) => l,
        Err(reports) => panic!("{}", reports.iter().map(|r| r.render(false)).collect::<String>()),
    }
}
fn runs(l: &Loaded, seeds: u64) -> Vec<Run> {
    (1..=seeds).map(|seed| run(&l.stack, &l.drill, seed, Level::Story, true)).collect()
}
/// The first mark of a kind on a host at or after a time.
fn mark(r: &Run, kind: &str, host: &str, after: Time) -> Option<Time> {
    r.marks.iter().find(|m| m.kind == kind && r.host(m.host) == host && m.at >= after).map(|m| m.at)
}
fn fault(r: &Run, n: usize) -> Time {
    r.marks.iter().filter(|m| matches!(m.kind, "fault" | "healed")).nth(n - 1).expect("the fault fires").at
}
fn last_advert(r: &Run, host: &str, before: Time) -> Time {
    r.adverts
        .iter()
        .rev()
        .find(|(h, at)| r.host(Some(*h)) == host && *at <= before)
        .expect("adverts before")
        .1
}
fn within(what: &str, d: Span, low_ms: u64, high_ms: u64) {
    assert!(d.0 >= low_ms * MS && d.0 <= high_ms * MS + EPS, "{what}: {d}, expected {low_ms}..{high_ms} ms");
}
/// Takeovers of `host` after the first fault, over seeds; all inside the range, and the range is really used.
fn takeovers(l: &Loaded, host: &str, low: u64, high: u64, spread: u64) {
    let times: Vec<Span> = runs(l, 60)
        .iter()
        .map(|r| mark(r, "vip_up", host, fault(r, 1)).expect("takeover").since(fault(r, 1)))
        .collect();
    for t in &times {
        within("takeover", *t, low, high);
    }
    let (min, max) = (times.iter().min().unwrap().0, times.iter().max().unwrap().0);
    assert!(max - min >= spread * MS, "the spread is only {} ms", (max - min) / MS);
}

#[test]
fn vrp_01_power_off_is_noticed_after_the_master_down_time() {
    let l = drill("keepalived-trio", r#"until: "40s", faults: [At("30s..31s", PowerOff("lb1"))]"#, &[]);
    takeovers(&l, "lb2", 2_609, 3_610, 800);
    for r in runs(&l, 20) {
        let from = last_advert(&r, "lb1", fault(&r, 1));
        within("from the last advert", mark(&r, "vip_up", "lb2", from).unwrap().since(from), 3_609, 3_610);
    }
    let own_link =
        drill("keepalived-trio", r#"until: "40s", faults: [At("30s..31s", LinkDown("lb1"))]"#, &[]);
    takeovers(&own_link, "lb2", 2_609, 3_610, 800);
}

#[test]
fn vrp_02_a_clean_stop_costs_only_the_skew() {
    let l =
        drill("keepalived-trio", r#"until: "40s", faults: [At("30s..31s", Stop("lb1", "keepalived"))]"#, &[]);
    takeovers(&l, "lb2", 609, 610, 0);
}

#[test]
fn vrp_03_the_third_host_never_becomes_master() {
    let l = drill(
        "keepalived-trio",
        r#"until: "60s", faults: [At("30s..31s", PowerOff("lb1"))]"#,
        &[("lb2.keepalived.priority", "120"), ("lb3.keepalived.priority", "100")],
    );
    for r in runs(&l, 30) {
        assert!(mark(&r, "master", "lb2", fault(&r, 1)).is_some());
        assert_eq!(mark(&r, "master", "lb3", Time::ZERO), None);
    }
}

#[test]
fn vrp_04_of_two_equal_challengers_the_higher_address_remains() {
    let l = drill(
        "keepalived-trio",
        r#"until: "40s", faults: [At("30s..31s", PowerOff("lb1"))]"#,
        &[
            ("lb2.keepalived.priority", "100"),
            ("lb3.keepalived.priority", "100"),
            ("networks.lan.latency", "1ms"),
        ],
    );
    for r in runs(&l, 30) {
        let t = fault(&r, 1);
        let (b, c) = (mark(&r, "master", "lb2", t).unwrap(), mark(&r, "master", "lb3", t).unwrap());
        assert!(b.since(c).0.max(c.since(b).0) <= MS, "both timers run out within the delay");
        let gone = mark(&r, "backup", "lb2", b).expect("the lower address leaves");
        within("the second master", gone.since(b), 0, 1_002);
        assert_eq!(mark(&r, "backup", "lb3", t), None);
    }
}

#[test]
fn vrp_05_fast_adverts_are_noticed_fast() {
    let l = drill(
        "keepalived-trio",
        r#"until: "32s", faults: [At("30s..30.1s", PowerOff("lb1"))]"#,
        &[("keepalived.advert_int", "100ms")],
    );
    takeovers(&l, "lb2", 260, 361, 80);
}

#[test]
fn vrp_06_v3_adopts_the_masters_interval_and_v2_refuses_another() {
    let v3 = drill(
        "keepalived-pair",
        r#"until: "60s", faults: [At("30s..33s", PowerOff("lb1"))]"#,
        &[("lb1.keepalived.advert_int", "3s")],
    );
    for r in runs(&v3, 20) {
        let from = last_advert(&r, "lb1", fault(&r, 1));
        within("10.83 s", mark(&r, "vip_up", "lb2", fault(&r, 1)).unwrap().since(from), 10_828, 10_829);
    }
    let v2 = drill(
        "keepalived-pair",
        r#"until: "60s""#,
        &[("keepalived.version", "2"), ("lb1.keepalived.advert_int", "3s")],
    );
    let r = run(&v2.stack, &v2.drill, 1, Level::Story, true);
    assert!(mark(&r, "bad_advert", "lb2", Time::ZERO).is_some());
    let both = r.violations.iter().find(|v| v.invariant == "TwoMasters").expect("two masters");
    assert_eq!(both.to, Time::secs(60), "permanently");
}

#[test]
fn vrp_07_the_better_host_listens_for_its_own_master_down_time() {
    let l = drill(
        "keepalived-pair",
        r#"until: "80s", faults: [At("30s", PowerOff("lb1")), At("40s..41s", PowerOn("lb1"))]"#,
        &[],
    );
    for r in runs(&l, 30) {
        let start = mark(&r, "backup", "lb1", fault(&r, 2)).unwrap();
        within("takes over", mark(&r, "vip_up", "lb1", start).unwrap().since(start), 3_414, 3_415);
        let dual: u64 =
            r.violations.iter().filter(|v| v.invariant == "DualVip").map(|v| v.to.since(v.from).0).sum();
        assert!(dual <= MS + EPS, "overlap {dual} ns");
    }
}

#[test]
fn vrp_08_nopreempt_stays_backup() {
    let l = drill(
        "keepalived-pair",
        r#"until: "300s", faults: [At("30s", PowerOff("lb1")), At("40s", PowerOn("lb1"))]"#,
        &[("lb1.keepalived.nopreempt", "true")],
    );
    for r in runs(&l, 5) {
        assert_eq!(mark(&r, "master", "lb1", fault(&r, 2)), None);
    }
}

#[test]
fn vrp_09_preempt_delay_begins_with_the_first_lower_advert() {
    for (delay, low, high) in [("10s", 12_410, 13_420), ("5s", 7_410, 8_420)] {
        let l = drill(
            "keepalived-pair",
            r#"until: "100s", faults: [At("30s", PowerOff("lb1")), At("40s..41s", PowerOn("lb1"))]"#,
            &[("lb1.keepalived.preempt_delay", delay)],
        );
        for r in runs(&l, 30) {
            let start = mark(&r, "backup", "lb1", fault(&r, 2)).unwrap();
            let up = mark(&r, "vip_up", "lb1", start).unwrap();
            within("takes over", up.since(start), low, high);
            let first = mark(&r, "preempt_delay", "lb1", start).unwrap();
            let k = if delay == "10s" { 9_000 } else { 4_000 };
            within("f + k x M + MDI", up.since(first), k + 3_413, k + 3_415);
        }
    }
}

const WEIGHT: &str = r#"[(script: Running("haproxy"), interval: "1s", fall: 2, rise: 2, weight: W)]"#;
fn with_weight(weight: i32, rest: &str) -> Loaded {
    let script = WEIGHT.replace('W', &weight.to_string());
    let body = format!(r#"until: "60s", faults: [At("30s..31s", Kill("lb1", "haproxy"))]{rest}"#);
    drill("keepalived-pair", &body, &[("keepalived.track_script", &script)])
}

#[test]
fn vrp_10_a_small_weight_changes_nothing() {
    for r in runs(&with_weight(-20, ""), 10) {
        assert!(mark(&r, "priority", "lb1", fault(&r, 1)).is_some());
        assert_eq!(mark(&r, "master", "lb2", Time::ZERO), None);
    }
}

#[test]
fn vrp_11_a_large_weight_costs_the_check_and_a_whole_master_down_time() {
    let l = with_weight(-60, "");
    takeovers(&l, "lb2", 3_610, 5_630, 800);
    for r in runs(&l, 20) {
        let t = fault(&r, 1);
        let lower = mark(&r, "priority", "lb1", t).unwrap();
        let first = r.adverts.iter().find(|(h, at)| r.host(Some(*h)) == "lb1" && *at >= lower).unwrap().1;
        let up = mark(&r, "vip_up", "lb2", t).unwrap();
        within("from the first lower advert", up.since(first), 2_608, 2_610);
        within("lb1 leaves", mark(&r, "backup", "lb1", up).unwrap().since(up), 0, 1);
    }
}

#[test]
fn vrp_12_a_backup_with_nopreempt_never_takes_over_from_a_weak_master() {
    let script = WEIGHT.replace('W', "-60");
    let l = drill(
        "keepalived-pair",
        r#"until: "300s", faults: [At("30s..31s", Kill("lb1", "haproxy"))]"#,
        &[("keepalived.track_script", &script), ("lb2.keepalived.nopreempt", "true")],
    );
    for r in runs(&l, 5) {
        assert_eq!(mark(&r, "master", "lb2", Time::ZERO), None);
    }
}

#[test]
fn vrp_13_weight_zero_is_fault_and_costs_the_check_and_the_skew() {
    let l = drill(
        "keepalived-pair",
        r#"until: "60s", faults: [At("30s..31s", Kill("lb1", "haproxy"))]"#,
        &[("keepalived.track_script", r#"[(script: Running("haproxy"), interval: "1s", fall: 3)]"#)],
    );
    for r in runs(&l, 40) {
        let t = fault(&r, 1);
        let f = mark(&r, "fault_state", "lb1", t).unwrap();
        within("FAULT", f.since(t), 2_000, 3_010);
        within("then the skew", mark(&r, "vip_up", "lb2", f).unwrap().since(f), 609, 610);
    }
}

#[test]
fn vrp_14_a_partition_makes_two_masters() {
    let l =
        drill("keepalived-pair", r#"until: "50s", faults: [At("30s..31s", Cut("lb1", from: "lb2"))]"#, &[]);
    for r in runs(&l, 30) {
        let v = r.violations.iter().find(|v| v.invariant == "TwoMasters").unwrap();
        within("two masters", v.from.since(fault(&r, 1)), 2_609, 3_610);
        assert_eq!(v.to, Time::secs(50));
    }
}

#[test]
fn vrp_15_healing_leaves_one_master_and_sometimes_nobody_tells_the_clients() {
    let l = drill(
        "keepalived-pair",
        r#"until: "120s", faults: [At("30s", Cut("lb1", from: Others(["lb1"]))), At("45s..46s", Heal)]"#,
        &[],
    );
    let mut silent = 0;
    let all = runs(&l, 100);
    for r in &all {
        let heal = fault(r, 2);
        let gone = mark(r, "backup", "lb2", heal).expect("the lower one leaves");
        within("one master", gone.since(heal), 0, 611);
        let garps: Vec<Time> = r
            .marks
            .iter()
            .filter(|m| m.kind == "garp" && r.host(m.host) == "lb1" && m.at >= heal)
            .map(|m| m.at)
            .collect();
        let stale = r.outages(true).iter().any(|o| o.from >= heal && o.length() > Span::secs(10));
        match garps.as_slice() {
            [] => {
                silent += 1;
                assert!(stale, "seed {}: clients wait for their ARP cache", r.seed);
            }
            [now, later] => {
                within("5 at once", now.since(heal), 0, 611);
                within("5 more", later.since(*now), 5_000, 5_000);
                assert!(!stale);
            }
            other => panic!("{other:?}"),
        }
    }
    // 1 - Skew/M = 0.39 of 100 runs: standard deviation 4.9.
    assert!((24..=54).contains(&silent), "{silent} of {} healings were silent", all.len());
}

#[test]
fn vrp_16_a_sync_group_leaves_and_comes_together() {
    let stack = r#"Stack(about: "a test", networks: { "lan": (), "wan": () }, hosts: {
        "a": (runs: [KEEP150]), "b": (runs: [KEEP100]) })"#;
    let keep = |p: u32| {
        format!(
            r#"Keepalived(version: 3, priority: {p}, vip: "10.0.0.100/24", interface: "lan",
            vrrp_instance: {{ "VI_2": (vip: "10.0.1.100/24", interface: "wan") }}, vrrp_sync_group: {{ "G": ["VI_1", "VI_2"] }})"#
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("two-nets.ron");
    std::fs::write(&path, stack.replace("KEEP150", &keep(150)).replace("KEEP100", &keep(100))).unwrap();
    let file = dir.path().join("drill.ron");
    std::fs::write(
        &file,
        r#"Drill(about: "t", stack: "two-nets.ron", until: "60s", faults: [At("30s..31s", LinkDown("a", network: "lan"))])"#,
    )
    .unwrap();
    let l = load(file.to_str().unwrap(), &[], None).expect("loads");
    for r in runs(&l, 20) {
        let t = fault(&r, 1);
        let faults =
            r.marks.iter().filter(|m| m.kind == "fault_state" && r.host(m.host) == "a" && m.at == t).count();
        assert_eq!(faults, 2, "both instances leave");
        let ups: Vec<Time> = r
            .marks
            .iter()
            .filter(|m| m.kind == "vip_up" && r.host(m.host) == "b" && m.at >= t)
            .map(|m| m.at)
            .collect();
        assert_eq!(ups.len(), 2, "both instances come");
        assert_eq!(ups[0], ups[1], "together");
        within("when the silent one's timer ends", ups[0].since(t), 2_609, 3_610);
    }
}

#[test]
fn vrp_17_the_effective_priority_ends_at_254() {
    let l = drill(
        "keepalived-pair",
        r#"until: "20s""#,
        &[
            ("lb1.keepalived.priority", "250"),
            ("lb1.keepalived.track_script", r#"[(script: Running("haproxy"), weight: 10)]"#),
        ],
    );
    let sim = {
        let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 1, Level::Story);
        sim.run_until(Time::secs(20));
        sim
    };
    let priority = sim.model.world.procs.iter().find_map(|p| match &p.logic {
        firedrill::proto::Daemon::Vrrp(v, ..) => v.instances().first().map(|i| i.effective_priority()),
        _ => None,
    });
    assert_eq!(priority, Some(254));
}

#[test]
fn vrp_18_two_lost_adverts_are_tolerated_and_four_are_not() {
    for (lost, switch) in [(1, false), (2, false), (4, true)] {
        let body = format!(r#"until: "50s", faults: [At("30s..31s", DropNext("lb1", {lost}, heartbeat))]"#);
        for r in runs(&drill("keepalived-pair", &body, &[]), 20) {
            assert_eq!(
                mark(&r, "master", "lb2", fault(&r, 1)).is_some(),
                switch,
                "{lost} lost, seed {}",
                r.seed
            );
        }
    }
}

#[test]
fn vrp_19_a_one_way_link_makes_masters_that_answer_each_other() {
    let l = drill(
        "keepalived-trio",
        r#"until: "60s", faults: [At("30s..31s", CutOneWay("lb1", to: Hosts(["lb2", "lb3"]), plane: heartbeat))]"#,
        &[],
    );
    for r in runs(&l, 10) {
        let t = fault(&r, 1);
        let b = mark(&r, "master", "lb2", t).unwrap();
        within("lb2", b.since(t), 2_609, 3_610);
        assert_eq!(mark(&r, "backup", "lb1", t), None, "the higher stays");
        let heard = r
            .adverts
            .iter()
            .filter(|(h, at)| r.host(Some(*h)) == "lb2" && *at >= b && at.0 < 59 * SEC)
            .count();
        let answers = r
            .marks
            .iter()
            .filter(|m| {
                m.kind == "garp" && r.host(m.host) == "lb1" && m.why.contains("lower-priority") && m.at >= b
            })
            .count();
        assert!(answers >= heard, "{answers} bursts for {heard} adverts");
    }
}

#[test]
fn vrp_20_a_frozen_master_keeps_its_address_and_never_notices() {
    let l = drill(
        "keepalived-trio",
        r#"until: "60s", faults: [At("30s..31s", Pause("lb1", "keepalived")), After("3s", Mark("vip_up", "lb2"), Resume("lb1", "keepalived"))]"#,
        &[],
    );
    for r in runs(&l, 20) {
        let (t, back) = (fault(&r, 1), fault(&r, 2));
        within("takeover", mark(&r, "vip_up", "lb2", t).unwrap().since(t), 2_609, 3_610);
        assert!(r.violations.iter().any(|v| v.invariant == "DualVip" && v.to.since(v.from) > Span::secs(2)));
        within("lb2 leaves", mark(&r, "backup", "lb2", back).unwrap().since(back), 0, 1);
        assert!(mark(&r, "garp", "lb1", back).is_some(), "it answers the queued adverts");
        assert_eq!(mark(&r, "master", "lb1", t), None, "it has been master all the time");
    }
    // A stunned host hears nothing meanwhile: nobody sends a gratuitous ARP.
    let stun =
        drill("keepalived-trio", r#"until: "100s", faults: [At("30s..31s", Freeze("lb1", for: "5s"))]"#, &[]);
    for r in runs(&stun, 20) {
        let thaw = mark(&r, "thawed", "lb1", Time::ZERO).unwrap();
        within("lb2 leaves", mark(&r, "backup", "lb2", thaw).unwrap().since(thaw), 0, 1);
        assert_eq!(mark(&r, "garp", "lb1", thaw), None);
        let worst = r.outages(true).iter().filter(|o| o.to > thaw).map(|o| o.to.since(thaw)).max().unwrap();
        assert!((22 * SEC..=57 * SEC).contains(&worst.0), "seed {}: {worst}", r.seed);
    }
    let parent =
        drill("keepalived-trio", r#"until: "40s", faults: [At("30s..31s", Kill("lb1", "keepalived"))]"#, &[]);
    takeovers(&parent, "lb2", 609, 610, 0);
    let child = drill(
        "keepalived-trio",
        r#"until: "60s", faults: [At("30s..31s", Kill("lb1", "keepalived/vrrp"))]"#,
        &[],
    );
    for r in runs(&child, 30) {
        let t = fault(&r, 1);
        let gone = mark(&r, "vip_down", "lb1", t).unwrap();
        within("the new child removes the address", gone.since(t), 40, 300);
        let own = mark(&r, "vip_up", "lb1", gone).unwrap();
        match mark(&r, "vip_up", "lb2", t) {
            Some(peer) if peer < own => {
                within("the peer is first, and is preempted", own.since(gone), 3_414, 3_415)
            }
            _ => within("the own timer is first", own.since(gone), 3_414, 3_415),
        }
    }
}

/// Spec A3: of two owners the one with the higher address waits for two of its own adverts and 1.2 intervals, and then gives in.
#[test]
fn the_higher_of_two_owners_lowers_itself() {
    let owner = [("lb1.keepalived.priority", "255"), ("lb2.keepalived.priority", "255")];
    for r in runs(&drill("keepalived-pair", r#"until: "20s""#, &owner), 20) {
        assert_eq!(mark(&r, "master", "lb1", Time::ZERO), Some(Time::ZERO), "an owner does not wait");
        assert_eq!(mark(&r, "master", "lb2", Time::ZERO), Some(Time::ZERO));
        let lowered = mark(&r, "priority", "lb2", Time::ZERO).expect("lb2 has the higher address");
        // It hears lb1 at 0, sends at 1 and 2 s, waits to 3.2 s; the next advert of lb1 is that of 4 s.
        assert_eq!(lowered.0 / 10_000_000, 400, "{lowered}");
        assert_eq!(mark(&r, "backup", "lb2", lowered), Some(lowered));
        assert_eq!(mark(&r, "backup", "lb1", Time::ZERO), None, "the lower address stays");
    }
}

#[test]
fn a_reboot_says_goodbye_and_comes_back() {
    let l = drill("keepalived-pair", r#"until: "80s", faults: [At("30s", Reboot("lb1"))]"#, &[]);
    for r in runs(&l, 20) {
        // Priority 0 on SIGTERM: lb2 waits its skew only, 0.609 s.
        let took = mark(&r, "master", "lb2", fault(&r, 1)).unwrap().since(fault(&r, 1));
        assert!((609..=612).contains(&took.as_ms()), "{took}");
        // 2 s to the end of the kernel, 30 s to the daemons.
        assert_eq!(mark(&r, "booted", "lb1", fault(&r, 1)).unwrap().to_string(), "62.000");
    }
}
