//! The generic heartbeat cluster against its formulas, and fence devices alone: over enough seeds to see the spread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{MS, Span, Time};
use firedrill::node::log::Level;
use firedrill::scenario::load::{Loaded, load};
use firedrill::trace::run::{Run, run};
use std::io::Write;

/// What messages take, with room.
const EPS: u64 = 3 * MS;

fn drill(stack: &str, body: &str, sets: &[(&str, &str)]) -> Loaded {
    let mut file = tempfile::Builder::new().suffix(".ron").tempfile().unwrap();
    write!(file, "Drill(about: \"a test\", stack: \"{stack}\", {body})").unwrap();
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    match load(file.path().to_str().unwrap(), &sets, None) {
        Ok(l) => l,
        Err(reports) => panic!("{}", reports.iter().map(|r| r.render(false)).collect::<String>()),
    }
}
fn complaint(stack: &str, body: &str, sets: &[(&str, &str)]) -> String {
    let mut file = tempfile::Builder::new().suffix(".ron").tempfile().unwrap();
    write!(file, "Drill(about: \"a test\", stack: \"{stack}\", {body})").unwrap();
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    match load(file.path().to_str().unwrap(), &sets, None) {
        Ok(_) => String::new(),
        Err(reports) => reports.iter().map(|r| r.render(false)).collect(),
    }
}
fn runs(l: &Loaded, seeds: u64) -> Vec<Run> {
    (1..=seeds).map(|seed| run(&l.stack, &l.drill, seed, Level::Story, true)).collect()
}
fn fault(r: &Run, n: usize) -> Time {
    r.marks.iter().filter(|m| matches!(m.kind, "fault" | "healed")).nth(n - 1).expect("the fault fires").at
}
/// The marks of a kind at or after a time: host and moment.
fn marks<'a>(r: &'a Run, kind: &str, after: Time) -> Vec<(&'a str, Time)> {
    r.marks.iter().filter(|m| m.kind == kind && m.at >= after).map(|m| (r.host(m.host), m.at)).collect()
}
fn first(r: &Run, kind: &str, n: usize) -> Span {
    let at = fault(r, n);
    marks(r, kind, at).first().unwrap_or_else(|| panic!("no `{kind}`")).1.since(at)
}
fn inside(what: &str, times: &[Span], low: u64, high: u64, spread: u64) {
    for t in times {
        assert!(t.0 >= low * MS && t.0 <= high * MS + EPS, "{what}: {t}, expected {low}..{high} ms");
    }
    let (min, max) = (times.iter().min().unwrap().0, times.iter().max().unwrap().0);
    assert!(max - min >= spread * MS, "{what}: the spread is only {} ms", (max - min) / MS);
}

#[test]
fn silence_is_noticed_between_deadtime_less_keepalive_and_deadtime() {
    let l = drill("heartbeat-trio", r#"until: "40s", faults: [At("30s..31s", PowerOff(VipHolder))]"#, &[]);
    let rs = runs(&l, 60);
    let times: Vec<Span> = rs.iter().map(|r| first(r, "worker", 1)).collect();
    inside("takeover", &times, 2_000, 3_000, 800);
    // The figures of the sample `ha.cf`.
    let sets = [("heartbeat.keepalive", "2s"), ("heartbeat.deadtime", "30s"), ("heartbeat.initdead", "60s")];
    let l =
        drill("heartbeat-trio", r#"until: "140s", faults: [At("100s..102s", PowerOff(VipHolder))]"#, &sets);
    let times: Vec<Span> = runs(&l, 40).iter().map(|r| first(r, "worker", 1)).collect();
    inside("takeover with the sample's figures", &times, 28_000, 30_000, 1_500);
}

#[test]
fn the_first_to_announce_is_no_rule_when_all_count_from_the_same_heartbeat() {
    let l = drill("heartbeat-trio", r#"until: "40s", faults: [At("30s..31s", PowerOff(VipHolder))]"#, &[]);
    let rs = runs(&l, 60);
    // Delays are 0.2 to 0.6 ms: the two watchers announce less than that apart, and their claims cross.
    let two = rs.iter().filter(|r| marks(r, "worker", fault(r, 1)).len() == 2).count();
    assert!(two >= 55, "{two} of 60 races had two winners");
    for r in &rs {
        let w = marks(r, "worker", fault(r, 1));
        if w.len() == 2 {
            assert!(w[1].1.since(w[0].1).0 <= 600_000, "they crossed: {w:?}");
            assert_eq!(marks(r, "yields", fault(r, 1)).len(), 1, "one of them yields");
        }
    }
    // With a wait above the delay there is one winner, and it costs exactly that wait.
    let l = drill(
        "heartbeat-trio",
        r#"until: "40s", faults: [At("30s..31s", PowerOff(VipHolder))]"#,
        &[("heartbeat.claim_wait", "200ms")],
    );
    let rs = runs(&l, 60);
    let times: Vec<Span> = rs.iter().map(|r| first(r, "worker", 1)).collect();
    inside("takeover with claim_wait", &times, 2_200, 3_200, 800);
    assert!(rs.iter().all(|r| marks(r, "worker", fault(r, 1)).len() == 1), "one winner");
    assert!(rs.iter().all(|r| r.violations.is_empty()), "never two addresses");
}

#[test]
fn an_order_costs_one_stagger_a_place() {
    for (dead, place) in [(r#""n1""#, 1), (r#"Hosts(["n1", "n2"])"#, 2)] {
        let body = format!(r#"until: "40s", faults: [At("30s..31s", PowerOff({dead}))]"#);
        let rs = runs(&drill("heartbeat-order", &body, &[]), 40);
        let times: Vec<Span> = rs.iter().map(|r| first(r, "worker", 1)).collect();
        inside("takeover", &times, 2_000 + place * 1_000, 3_000 + place * 1_000, 700);
        assert!(rs.iter().all(|r| r.violations.is_empty()), "nobody collides");
    }
}

#[test]
fn a_random_wait_collides_as_often_as_the_formula_says() {
    // Two racers within [0, W], one delay d apart or less: 1 - (1 - d/W)^2. Both clocks start at the same instant here: a fixed delay.
    let sets = [("heartbeat.backoff", "10ms"), ("networks.lan.latency", "1ms")];
    let body = r#"until: "34s", faults: [At("30s..31s", PowerOff(VipHolder))]"#;
    let n = 200;
    let rs = runs(&drill("heartbeat-backoff", body, &sets), n);
    let two = rs.iter().filter(|r| marks(r, "worker", fault(r, 1)).len() == 2).count() as f64;
    let (p, n) = (1.0 - 0.9f64.powi(2), n as f64);
    let sigma = (n * p * (1.0 - p)).sqrt();
    assert!((two - n * p).abs() <= 3.0 * sigma, "{two} of {n}, expected {} +- {}", n * p, 3.0 * sigma);
}

#[test]
fn an_orderly_stop_is_told_and_only_the_race_is_left() {
    let body = r#"until: "40s", faults: [At("30s..31s", Stop("n1", "heartbeat"))]"#;
    let times: Vec<Span> =
        runs(&drill("heartbeat-order", body, &[]), 20).iter().map(|r| first(r, "worker", 1)).collect();
    inside("after a stop", &times, 1_000, 1_000, 0);
    // A kill is not told, and leaves the address where it is: two hosts have it.
    let body = r#"until: "60s", faults: [At("30s..31s", Kill("n1", "heartbeat"))]"#;
    for r in runs(&drill("heartbeat-order", body, &[]), 20) {
        assert!(
            r.violations.iter().any(|v| v.invariant == "DualVip" && v.to == r.end),
            "the address stays for good"
        );
    }
}

#[test]
fn a_partition_has_two_workers_until_it_heals() {
    let body = r#"until: "80s", faults: [At("30s..31s", Cut("n1", from: Hosts(["n2", "n3"]))), At("60s..61s", Heal)]"#;
    let rs = runs(&drill("heartbeat-order", body, &[]), 40);
    let times: Vec<Span> = rs.iter().map(|r| first(r, "worker", 1)).collect();
    inside("the second worker", &times, 3_000, 4_000, 700);
    let times: Vec<Span> = rs.iter().map(|r| first(r, "yields", 2)).collect();
    inside("one yields", &times, 0, 1_000, 400);
    for r in &rs {
        let v: Vec<_> = r.violations.iter().filter(|v| v.invariant == "DualVipAnywhere").collect();
        assert_eq!(v.len(), 1);
        assert!(v[0].to.since(fault(r, 2)).0 <= 1_000 * MS + EPS, "{}", v[0].to);
    }
    // Where no rule says who yields, it never ends.
    let sets = [("heartbeat.conflict", "Nobody")];
    let body = r#"until: "80s", faults: [At("30s..31s", Cut("n3", from: Hosts(["n1", "n2"]))), At("60s..61s", Heal)]"#;
    let rs = runs(&drill("heartbeat-backoff", body, &sets), 30);
    let cut: Vec<_> = rs.iter().filter(|r| marks(r, "worker", fault(r, 1)).len() == 1).collect();
    assert!(cut.len() >= 5, "n3 works or watches alone");
    for r in cut {
        assert!(r.violations.iter().any(|v| v.invariant == "DualVip" && v.to == r.end));
    }
}

#[test]
fn a_frozen_worker_goes_on_working_until_it_hears_the_other_one() {
    for how in [r#"Freeze("n1", for: "10s")"#, r#"Freeze("n1", mode: Queued, for: "10s")"#] {
        let body = format!(r#"until: "60s", faults: [At("30s..31s", {how})]"#);
        for r in runs(&drill("heartbeat-order", &body, &[]), 20) {
            let taken = first(&r, "worker", 1);
            inside("takeover", &[taken], 3_000, 4_000, 0);
            let yields = first(&r, "yields", 1);
            inside("yields", &[yields], 10_000, 10_000, 0);
            let v = r.violations.iter().find(|v| v.invariant == "DualVipAnywhere").expect("two addresses");
            let apart = v.to.since(fault(&r, 1)).0.abs_diff(yields.0);
            assert!(apart <= EPS, "two addresses until then: {apart}");
        }
    }
}

#[test]
fn a_better_node_that_comes_back_is_given_the_resource() {
    let body = r#"until: "120s", faults: [At("30s", PowerOff("n1")), At("40s", PowerOn("n1"))]"#;
    for r in runs(&drill("heartbeat-order", body, &[]), 10) {
        let back = marks(&r, "worker", fault(&r, 2));
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].0, "n1");
        // 30 s of boot, then at the first heartbeat.
        inside("failback", &[back[0].1.since(fault(&r, 2))], 30_000, 31_000, 0);
        assert!(r.violations.iter().all(|v| v.invariant != "DualVip"), "stopped before it is started");
    }
    let sets = [("heartbeat.auto_failback", "false")];
    for r in runs(&drill("heartbeat-order", body, &sets), 10) {
        assert!(marks(&r, "worker", fault(&r, 2)).is_empty(), "it stays where it is");
    }
}

#[test]
fn mistakes_of_heartbeat_nodes_and_fence_devices_are_explained() {
    let body = r#"until: "10s""#;
    for (sets, words) in [
        (&[("heartbeat.deadtime", "500ms")][..], "deadtime is not above keepalive"),
        (&[("heartbeat.vip", "10.0.0.2/24")][..], "10.0.0.2 is the own address of n2"),
        (&[("n1.heartbeat.priority", "0")][..], "count from 1"),
        (&[("n1.heartbeat.transport", "Mcast(\"10.0.0.1\")")][..], "no multicast group"),
        (&[("n1.heartbeat.interface", "lam")][..], "did you mean `lan`"),
    ] {
        let text = complaint("heartbeat-trio", body, sets);
        assert!(text.contains(words), "{words}\n{text}");
    }
    let text = complaint("heartbeat-trio", r#"until: "10s", faults: [At("5s", FenceMode("n1", Lies))]"#, &[]);
    assert!(text.contains("needs a stack with fence device"), "{text}");
}
