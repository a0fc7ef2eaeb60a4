//! SBD and fence devices by their numbers, over enough seeds to see the spread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{MS, Span, Time};
use firedrill::node::log::Level;
use firedrill::scenario::load::load;
use firedrill::trace::run::{Run, run};
use std::io::Write;

/// Runs a drill over seeds; `Err` is what lint says.
fn drill(stack: &str, body: &str, sets: &[(&str, &str)], seeds: u64) -> Result<Vec<Run>, String> {
    let dir = tempfile::tempdir().unwrap();
    let stack = if stack.starts_with("Stack") {
        std::fs::write(dir.path().join("s.ron"), stack).unwrap();
        "s.ron".to_owned()
    } else {
        stack.to_owned()
    };
    let path = dir.path().join("d.ron");
    let mut file = std::fs::File::create(&path).unwrap();
    write!(file, "Drill(about: \"a test\", stack: \"{stack}\", {body})").unwrap();
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let l = load(path.to_str().unwrap(), &sets, None)
        .map_err(|reports| reports.iter().map(|r| r.render(false)).collect::<String>())?;
    Ok((1..=seeds).map(|seed| run(&l.stack, &l.drill, seed, Level::Story, true)).collect())
}
fn runs(stack: &str, body: &str, seeds: u64) -> Vec<Run> {
    drill(stack, body, &[], seeds).unwrap_or_else(|e| panic!("{e}"))
}
fn at(r: &Run, kind: &str, host: &str) -> Vec<Time> {
    r.marks.iter().filter(|m| m.kind == kind && r.host(m.host) == host).map(|m| m.at).collect()
}
fn one(r: &Run, kind: &str, host: &str) -> Time {
    let all = at(r, kind, host);
    assert_eq!(all.len(), 1, "`{kind}` on {host}: {all:?}");
    all[0]
}
fn since(times: &[(Time, Time)]) -> Vec<Span> {
    times.iter().map(|(from, to)| to.since(*from)).collect()
}
fn inside(what: &str, times: &[Span], low: u64, high: u64, spread: u64) {
    for t in times {
        assert!(t.0 >= low * MS && t.0 <= high * MS, "{what}: {t}, expected {low}..{high} ms");
    }
    let (min, max) = (times.iter().min().unwrap().0, times.iter().max().unwrap().0);
    assert!(max - min >= spread * MS, "{what}: the spread is only {} ms", (max - min) / MS);
}

#[test]
fn pcm_19_a_pill_is_death_after_msgwait_read_or_not() {
    // A node that reads: it resets itself within a loop. A node that stands still never reads: its watchdog does it; both count as dead
    // 10 s after the message was written, never before.
    for (fault, reads) in [("", true), (r#"At("35s", Freeze("n3", for: "60s")),"#, false)] {
        let body = format!(r#"until: "120s", faults: [{fault} At("40s..41s", Fence("n3", by: "n1"))]"#);
        let rs = runs("sbd-disk", &body, 30);
        let dead: Vec<(Time, Time)> =
            rs.iter().map(|r| (one(r, "pill_written", "n1"), one(r, "msgwait_over", "n1"))).collect();
        inside("msgwait", &since(&dead), 10_000, 10_000, 0);
        for (r, (written, over)) in rs.iter().zip(dead) {
            assert_eq!(at(r, "poison_pill", "n3").len(), usize::from(reads), "only a node that runs reads");
            if reads {
                let pill = one(r, "poison_pill", "n3").since(written);
                assert!(pill.0 <= 1_020 * MS, "within a loop of 1 s: {pill}");
            }
            let gone = if reads { one(r, "poison_pill", "n3") } else { one(r, "watchdog_reset", "n3") };
            assert!(gone < over, "gone at {gone}, counted as dead at {over}");
        }
    }
}

#[test]
fn pcm_20_without_a_disk_an_isolated_node_is_gone_before_the_others_may_start() {
    let body = r#"until: "60s", faults: [At("30s..32s", Cut("n3", from: Hosts(["n1", "n2"])))]"#;
    let rs = runs("sbd-diskless-trio", body, 40);
    let mut times = Vec::new();
    for r in &rs {
        let lost =
            *at(r, "membership", "n3").iter().find(|t| **t > Time::secs(30)).expect("a new membership");
        let reset = one(r, "watchdog_reset", "n3");
        times.push((lost, reset));
        // Everybody forms a new membership at the same time; stonith-watchdog-timeout -1 is 10 s from there.
        let others =
            *at(r, "membership", "n1").iter().find(|t| **t > Time::secs(30)).expect("a new membership");
        let margin = (others + Span::secs(10)).since(reset);
        assert!(margin.0 >= 3_000 * MS, "the margin is {margin}");
        for quorate in ["n1", "n2"] {
            assert!(at(r, "watchdog_reset", quorate).is_empty(), "{quorate} has quorum");
        }
    }
    inside("reset after T_memb", &since(&times), 4_000, 7_000, 700);
}

#[test]
fn pcm_21_without_a_disk_two_nodes_both_reset_themselves() {
    let body = r#"until: "60s", faults: [At("30s..32s", Cut("n1", from: "n2"))]"#;
    for r in runs("sbd-diskless-two-node", body, 20) {
        for node in ["n1", "n2"] {
            let lost = *at(&r, "membership", node).iter().find(|t| **t > Time::secs(30)).expect("a new one");
            assert!(at(&r, "quorum_lost", node).is_empty(), "votequorum is content with one of two");
            inside("reset", &[one(&r, "watchdog_reset", node).since(lost)], 4_000, 7_000, 0);
        }
    }
}

#[test]
fn a_quorum_device_slower_than_the_watchdog_is_not_trusted_by_a_node_that_is_alone() {
    let stack = |sync: &str| {
        let device = format!("device: (host: \"q\", sync_timeout: \"{sync}\")");
        let node = format!("(watchdog: Hardware, runs: [Corosync({device}), Sbd()])");
        format!(
            "Stack(about: \"t\", networks: {{ \"lan\": () }}, hosts: {{ \"n1\": {node}, \"n2\": {node}, \"q\": (runs: [Qnetd()]) }})"
        )
    };
    // The default, 30 s, is longer than the watchdog of 5 s: the survivor resets itself as well. 4 s is shorter.
    for (sync, survives) in [("30s", false), ("4s", true)] {
        let body = r#"until: "100s", faults: [At("30s", PowerOff("n2"))]"#;
        for r in runs(&stack(sync), body, 5) {
            assert_eq!(at(&r, "watchdog_reset", "n1").is_empty(), survives, "sync_timeout {sync}");
        }
    }
}

#[test]
fn a_lost_disk_is_noticed_after_io_and_loop_and_kills_only_without_quorum() {
    let body = r#"until: "60s", faults: [At("30s..31s", Cut("disk1", from: Everyone, plane: storage))]"#;
    let rs = runs("sbd-disk", body, 30);
    let noticed: Vec<(Time, Time)> = rs
        .iter()
        .map(|r| (r.marks.iter().find(|m| m.kind == "fault").unwrap().at, one(r, "disk_lost", "n1")))
        .collect();
    // The last answer is 0 to 1 s old, and it counts for 3 + 1 s; the inquisitor looks once a second.
    inside("disk lost", &since(&noticed), 3_000, 5_000, 0);
    for r in &rs {
        for node in ["n1", "n2", "n3"] {
            assert_eq!(at(r, "survives_on_pacemaker", node).len(), 1);
            assert!(at(r, "watchdog_reset", node).is_empty());
        }
    }
    let both = r#"until: "60s", faults: [At("30s..31s", Cut("n3", from: Everyone))]"#;
    for r in runs("sbd-disk", both, 20) {
        assert_eq!(at(&r, "watchdog_reset", "n3").len(), 1, "neither disk nor quorum");
        assert!(at(&r, "watchdog_reset", "n1").is_empty() && at(&r, "watchdog_reset", "n2").is_empty());
    }
}

#[test]
fn sbd_that_dies_or_stands_still_is_the_death_of_its_node() {
    for fault in [r#"Kill("n1", "sbd")"#, r#"Pause("n1", "sbd")"#] {
        let body = format!(r#"until: "50s", faults: [At("30s..31s", {fault})]"#);
        let rs = runs("sbd-diskless-trio", &body, 30);
        let times: Vec<(Time, Time)> = rs
            .iter()
            .map(|r| (r.marks.iter().find(|m| m.kind == "fault").unwrap().at, one(r, "watchdog_reset", "n1")))
            .collect();
        // It was fed 0 to 1 s before.
        inside("reset", &since(&times), 4_000, 5_000, 600);
    }
    for r in runs("sbd-diskless-trio", r#"until: "50s", faults: [At("30s", Stop("n1", "sbd"))]"#, 3) {
        assert!(at(&r, "watchdog_reset", "n1").is_empty(), "an orderly end closes the watchdog");
    }
}

/// A node, its devices, and the device's settings.
fn fenced(devices: &str) -> String {
    format!(
        "Stack(about: \"t\", networks: {{ \"lan\": (), \"mgmt\": () }}, hosts: {{ \"db1\": (networks: [\"lan\"], runs: [HAProxy()]), {devices} }})"
    )
}

#[test]
fn a_device_cuts_the_power_in_its_own_time_and_gives_it_back() {
    let stack = fenced(r#""bmc": (networks: ["mgmt"], runs: [FenceDevice(hosts: ["db1"])])"#);
    let rs = runs(&stack, r#"until: "90s", faults: [At("30s", Fence("db1", by: "bmc"))]"#, 40);
    let from = Time::secs(30);
    let cut: Vec<Span> = rs.iter().map(|r| one(r, "power_cut", "bmc").since(from)).collect();
    inside("off", &cut, 1_000, 4_000, 2_000);
    for r in &rs {
        let (cut, back) = (one(r, "power_cut", "bmc"), one(r, "power_restored", "bmc"));
        inside("on", &[back.since(cut)], 1_000, 2_000, 0);
        let booted = one(r, "booted", "db1");
        assert_eq!(booted.since(back), Span::secs(30), "it boots");
    }
}

#[test]
fn devices_fail_hang_lie_and_lose_the_power_that_they_share() {
    for (mode, mark) in [("Fails", "device_failed"), ("Hangs", "device_hangs"), ("Lies", "device_lied")] {
        let stack = fenced(&format!(r#""bmc": (runs: [FenceDevice(hosts: ["db1"], mode: {mode})])"#));
        for r in runs(&stack, r#"until: "60s", faults: [At("30s", Fence("db1", by: "bmc"))]"#, 5) {
            assert_eq!(at(&r, mark, "bmc").len(), 1);
            assert!(at(&r, "power_cut", "bmc").is_empty() && at(&r, "booted", "db1").is_empty(), "{mode}");
        }
    }
    // A device that lives from its victim's supply is gone with it; one with a supply of its own is not.
    for (shares, works) in [(r#", shares_power: "db1""#, 0), ("", 1)] {
        let stack = fenced(&format!(r#""bmc": (runs: [FenceDevice(hosts: ["db1"]{shares})])"#));
        let body =
            r#"until: "60s", faults: [At("30s", PowerOff("db1")), At("40s", Fence("db1", by: "bmc"))]"#;
        for r in runs(&stack, body, 3) {
            assert_eq!(at(&r, "device_asked", "bmc").len(), works);
        }
    }
    // What the device itself does leaves it its power, whatever it shares.
    let stack = fenced(r#""bmc": (runs: [FenceDevice(hosts: ["db1"], shares_power: "db1")])"#);
    for r in runs(&stack, r#"until: "60s", faults: [At("30s", Fence("db1", by: "bmc"))]"#, 3) {
        assert_eq!(at(&r, "power_restored", "bmc").len(), 1);
    }
}

#[test]
fn a_host_with_two_supplies_is_off_when_both_outlets_are() {
    let pdu =
        |n: u32| format!(r#""pdu{n}": (runs: [FenceDevice(kind: Pdu, hosts: ["db1"], on_time: "20s")])"#);
    let stack = fenced(&format!("{}, {}", pdu(1), pdu(2)));
    for r in runs(&stack, r#"until: "80s", faults: [At("30s", Fence("db1", by: "pdu1"))]"#, 5) {
        assert_eq!(at(&r, "outlet_off", "pdu1").len(), 1);
        assert!(at(&r, "booted", "db1").is_empty(), "it has run on");
    }
    let body =
        r#"until: "90s", faults: [At("30s", Fence("db1", by: "pdu1")), At("31s", Fence("db1", by: "pdu2"))]"#;
    for r in runs(&stack, body, 5) {
        assert_eq!(at(&r, "booted", "db1").len(), 1, "off when both were");
    }
    // A switch takes the link and leaves the power.
    let stack = fenced(r#""sw": (networks: ["mgmt"], runs: [FenceDevice(kind: Switch, hosts: ["db1"])])"#);
    for r in runs(&stack, r#"until: "60s", faults: [At("30s", Fence("db1", by: "sw"))]"#, 3) {
        assert_eq!((at(&r, "power_cut", "sw").len(), at(&r, "booted", "db1").len()), (1, 0));
    }
}

#[test]
fn mistakes_are_explained() {
    let sbd =
        |node: &str| format!("Stack(about: \"t\", networks: {{ \"lan\": () }}, hosts: {{ \"n1\": {node} }})");
    let disk = |d: &str| sbd(&format!("(runs: [SbdDisk({d})])"));
    for (stack, words) in [
        (sbd("(runs: [Corosync(), Sbd()])"), "does not start without a watchdog"),
        (sbd("(watchdog: Hardware, runs: [Sbd()])"), "without disks sbd goes by quorum"),
        (sbd("(watchdog: Hardware, runs: [Sbd(devices: [\"dis\"])])"), "dis runs no `SbdDisk`"),
        (disk("timeout_msgwait: \"4s\""), "may outlive its death certificate"),
        (disk("timeout_loop: \"5s\""), "every node resets itself"),
        (fenced(r#""bmc": (runs: [FenceDevice(hosts: ["db2"])])"#), "did you mean `db1`"),
        (fenced(r#""bmc": (runs: [FenceDevice(hosts: ["bmc"])])"#), "would switch itself off"),
        (fenced(r#""bmc": (runs: [FenceDevice()])"#), "nobody's power"),
        (
            fenced(r#""bmc": (runs: [FenceDevice(hosts: ["db1"], off_time: "2h")])"#),
            "off_time goes from 0s to 1h",
        ),
    ] {
        let text = drill(&stack, r#"until: "10s""#, &[], 1).err().unwrap_or_default();
        assert!(text.contains(words), "{words}\n{text}");
    }
}
