//! How Pacemaker makes sure that a node is dead: levels, delays, devices that fail, lie or die with their victim, SBD under Pacemaker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "pacemaker_lab/mod.rs"]
mod pacemaker_lab;

use firedrill::engine::Span;
use firedrill::engine::random::Streams;
use firedrill::proto::crm::fenced::drawn;
use firedrill::scenario::load;
use pacemaker_lab::*;

const SEEDS: u64 = 30;
/// Time until which a cluster has settled.
const T: u64 = 60_000;

/// A cluster whose DC is h2, and the service on h1; its devices take exactly so long.
fn dc_on_h2(device: &str) -> Cluster {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c.device = device.to_owned();
    c
}
fn words(r: &firedrill::trace::run::Run, kind: &str) -> Vec<String> {
    marks(r, kind, "", T).into_iter().map(|m| m.1).collect()
}
/// The whole number of seconds in the words of a mark.
fn seconds(text: &str) -> u64 {
    let digits = |c: char| c.is_ascii_digit();
    let number =
        text.split(|c: char| !digits(c) && c != '.').filter_map(|w| w.parse::<f64>().ok()).next_back();
    number.unwrap_or_else(|| panic!("no number in `{text}`")) as u64
}

#[test]
fn pcm_12_ten_thousand_splits() {
    // Both sides decide at the same moment and wait W equally likely whole seconds; a kill takes less than one. The draws are those that the
    // fencers of h1 and h2 make in the run of a seed: the same streams, the same function.
    let draw = |seed: u64, host: &str, with_maximum: bool| {
        let mut streams = Streams::new(seed);
        let id = streams.named(&format!("draws of {host} pacemaker-fenced"));
        drawn(|n| streams.below(id, n), Span::ZERO, Span::secs(10), with_maximum)
    };
    for (with_maximum, w, sigma3) in [(true, 11.0, 0.0086), (false, 10.0, 0.0090)] {
        let (mut mutual, mut wins) = (0, [0_u32; 2]);
        for seed in 0..10_000 {
            let (a, b) = (draw(seed, "h1", with_maximum), draw(seed, "h2", with_maximum));
            mutual += u32::from(a == b);
            wins[0] += u32::from(a > b);
            wins[1] += u32::from(b > a);
        }
        let p = f64::from(mutual) / 10_000.0;
        assert!((p - 1.0 / w).abs() <= sigma3, "{p} with W = {w}");
        let half = (1.0 - 1.0 / w) / 2.0;
        for win in wins {
            assert!((f64::from(win) / 10_000.0 - half).abs() <= 0.015, "each side as often: {wins:?}");
        }
    }
    // And in whole runs: x_A and x_B are the same but for milliseconds, so who dies is what the draws say.
    let mut c = two();
    c.version = "3.0".into();
    c.device = "off_time: \"500ms\", confirm_time: \"0s\"".into();
    c.delay_h1 = "\"pcmk_delay_max\": \"10s\"".into();
    c.delay_h2 = c.delay_h1.clone();
    c.times = "re_ask: [1], re_ask_new_dc: [1], scheduler: \"50ms\", join: \"0s\", election: \"0s\"".into();
    let mut seen = [0; 2];
    for seed in 1..=SEEDS {
        let r = c.run(T + 22_000, vec![at(T, cut(&["h1"], &["h2"]))], seed);
        // The delay of an order is told by who gives it; none is told for zero seconds.
        let told = |by: &str| marks(&r, "fence_delayed", by, T).first().map_or(0, |m| seconds(&m.1));
        let (on_h2, on_h1) = (told("h1"), told("h2"));
        assert_eq!(Span::secs(on_h2), draw(seed, "h1", true), "h1 draws for its order on h2");
        assert_eq!(Span::secs(on_h1), draw(seed, "h2", true));
        let dead = words(&r, "power_cut");
        let is_dead = |h: &str| dead.iter().any(|d| d.contains(h));
        if on_h1 == on_h2 {
            assert!(is_dead("h1") && is_dead("h2"), "{on_h1} {on_h2}: {:#?}", story(&r));
            seen[0] += 1;
        } else {
            assert_eq!((is_dead("h1"), is_dead("h2")), (on_h1 < on_h2, on_h2 < on_h1), "{:#?}", story(&r));
            seen[1] += 1;
        }
    }
    assert!(seen[0] > 0 && seen[1] > 20, "{seen:?}");
}

#[test]
fn pcm_19_with_pacemaker_services_wait_for_msgwait() {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c.bmcs = false;
    c.sbd = "Sbd(devices: [\"disk1\"])".into();
    c.more_hosts = "\"disk1\": (networks: [\"mgmt\"], runs: [SbdDisk()]),".into();
    c.more_resources =
        "Primitive(id: \"fence-sbd\", agent: \"stonith:fence_sbd\", params: { \"devices\": \"disk1\" }),"
            .into();
    for seed in 1..=SEEDS {
        let t = T + seed * 137 % 2000;
        let r = c.run(t + 40_000, vec![at(t, freeze("h1", 60))], seed);
        // The victim stands still and never reads its slot: its own watchdog resets it 4 to 5 s after it was fed last.
        let reset = first(&r, "watchdog_reset", "h1", t);
        assert!((3_900..=5_000).contains(&reset), "{reset}");
        assert!(marks(&r, "poison_pill", "h1", t).is_empty());
        let asked = first(&r, "fence_requested", "h2", t);
        let written = first(&r, "pill_written", "", t);
        assert!(written - asked < 150, "{written} {asked}");
        let fenced = first(&r, "fenced", "", t);
        assert!((10_000..=10_050).contains(&(fenced - written)), "{fenced} {written}");
        let up = first(&r, "vip_up", "", t);
        assert!(up >= fenced && up < fenced + 500, "{up} {fenced}");
        assert!(marks(&r, "resource_started", "", t).iter().all(|s| s.0 >= written + 10_000));
        for i in ["ActiveTwice", "StartedBeforeFence", "SecondFence"] {
            assert!(broken(&r, i, 0).is_empty(), "{i}: {}", seen(&r, i));
        }
    }
    // A node that reads: cut off from the others but not from the disk, it takes the pill within a loop of a second.
    for seed in 1..=8 {
        let r = c.run(T + 40_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], seed);
        let (written, pill) = (first(&r, "pill_written", "", T), first(&r, "poison_pill", "h1", T));
        assert!(pill >= written && pill - written <= 1_020, "{written} {pill}");
        assert_eq!(marks(&r, "fenced", "", T).len(), 1, "{:#?}", story(&r));
        assert!(broken(&r, "SecondFence", 0).is_empty(), "one pill, one death: {}", seen(&r, "SecondFence"));
    }
}

#[test]
fn pcm_20_with_pacemaker_the_margin_is_three_seconds() {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c.bmcs = false;
    c.sbd = "Sbd()".into();
    c.properties = "\"stonith-watchdog-timeout\": \"-1\"".into();
    let mut margins = Vec::new();
    for seed in 1..=SEEDS {
        let t = T + seed * 137 % 2000;
        let r = c.run(t + 40_000, vec![at(t, cut(&["h1"], &["h2", "h3"]))], seed);
        let member = first(&r, "membership", "h2", t);
        let reset = first(&r, "watchdog_reset", "h1", t);
        assert!((4_000..=7_000).contains(&(reset - member)), "{reset} {member}");
        let fenced = first(&r, "fenced", "", t);
        let asked = first(&r, "watchdog_awaited", "", t);
        assert_eq!(fenced - asked, 10_000, "twice the 5 s of SBD_WATCHDOG_TIMEOUT");
        let up = first(&r, "vip_up", "", t);
        assert!(up >= fenced && up - member >= 10_000, "{up} {member}");
        margins.push(up - reset);
        for h in ["h2", "h3"] {
            assert!(marks(&r, "watchdog_reset", h, t).is_empty());
        }
        assert!(broken(&r, "ActiveTwice", 0).is_empty() && broken(&r, "StartedBeforeFence", 0).is_empty());
        assert!(broken(&r, "SecondFence", 0).is_empty(), "{}", seen(&r, "SecondFence"));
    }
    assert!(*margins.iter().min().unwrap() >= 3_000, "{margins:?}");
    // The time of the host's own sbd counts: 8 s make 16 s.
    c.sbd = "Sbd(watchdog_timeout: \"8s\")".into();
    let r = c.run(T + 60_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], 1);
    assert_eq!(first(&r, "fenced", "", T) - first(&r, "watchdog_awaited", "", T), 16_000);
}

#[test]
fn pcm_21_with_pacemaker_both_nodes_of_two_reset_themselves() {
    let mut c = two();
    c.bmcs = false;
    c.sbd = "Sbd()".into();
    c.properties = "\"stonith-watchdog-timeout\": \"-1\"".into();
    for seed in 1..=SEEDS / 2 {
        let r = c.run(T + 90_000, vec![at(T, cut(&["h1"], &["h2"]))], seed);
        for h in ["h1", "h2"] {
            let member = first(&r, "membership", h, T);
            let reset = first(&r, "watchdog_reset", h, T);
            assert!((4_000..=7_000).contains(&(reset - member)), "{h}: {reset} {member}");
            assert!(marks(&r, "fenced", h, T).is_empty(), "dead before the 10 s are over");
        }
        let gone = marks(&r, "watchdog_reset", "", T).iter().map(|m| m.0).max().unwrap();
        assert!(
            marks(&r, "vip_up", "", T + gone).is_empty(),
            "wait_for_all: nothing starts: {:#?}",
            story(&r)
        );
        assert!(broken(&r, "BothFenced", 0).is_empty(), "each did it to itself");
        assert_eq!(broken(&r, "SecondFence", 0).len(), 1);
    }
}

#[test]
fn stonith_watchdog_timeout_is_waited_to_the_millisecond_and_0_is_never() {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c.bmcs = false;
    c.sbd = "Sbd()".into();
    c.properties = "\"stonith-watchdog-timeout\": \"15s\"".into();
    for seed in 1..=5 {
        let r = c.run(T + 40_000, vec![at(T, off("h1"))], seed);
        let fenced = first(&r, "fenced", "", T);
        assert_eq!(fenced - first(&r, "watchdog_awaited", "", T), 15_000);
        assert!(marks(&r, "resource_started", "", T)[0].0 >= fenced);
    }
    // Without it (the default) nobody may assume that a watchdog has bitten.
    c.properties = String::new();
    let r = c.run(T + 60_000, vec![at(T, off("h1"))], 1);
    assert_eq!(marks(&r, "fence_failed", "", T).len(), 10, "{:#?}", story(&r));
    assert!(words(&r, "fence_failed")[0].contains("h1") && marks(&r, "vip_up", "", T).is_empty());
}

#[test]
fn mistakes_with_sbd_are_explained() {
    let lint = |c: &Cluster| {
        let stack = c.stack();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.ron"), c.text().replacen('(', "Stack(", 1)).unwrap();
        let path = dir.path().join("d.ron");
        std::fs::write(&path, "Drill(about: \"t\", stack: \"s.ron\", until: \"10s\")").unwrap();
        let _ = stack;
        load::load(path.to_str().unwrap(), &[], None)
            .err()
            .map(|reports| reports.iter().map(|r| r.render(false)).collect::<String>())
            .unwrap_or_default()
    };
    let mut c = trio();
    c.bmcs = false;
    c.sbd = "Sbd()".into();
    c.properties = "\"stonith-watchdog-timeout\": \"-1\"".into();
    assert_eq!(lint(&c), "");
    c.properties = "\"stonith-watchdog-timeout\": \"4s\"".into();
    assert!(lint(&c).contains("before the watchdog (5s) has reset the node"), "{}", lint(&c));
    c.sbd = String::new();
    assert!(lint(&c).contains("a node without sbd would be taken for dead"), "{}", lint(&c));
    let mut c = trio();
    c.more_resources = "Primitive(id: \"f\", agent: \"stonith:fence_sbd\"),".into();
    assert!(lint(&c).contains("the fence device `f` has no `devices`"), "{}", lint(&c));
    c.more_resources =
        "Primitive(id: \"f\", agent: \"stonith:fence_sbd\", params: { \"devices\": \"disk1\" }),".into();
    assert!(lint(&c).contains("h1 does not watch the disk `disk1`"), "{}", lint(&c));
}

/// Two levels for h1: its BMC, then an outlet of a PDU.
fn two_levels(bmc: &str) -> Cluster {
    let mut c = dc_on_h2(bmc);
    c.more_hosts = "\"pdu\": (networks: [\"mgmt\"], runs: [FenceDevice(kind: Pdu, hosts: [\"h1\", \"h2\", \"h3\"], off_time: \"2s\", on_time: \"0s\", confirm_time: \"0s\")]),".into();
    c.more_resources = "Primitive(id: \"outlets\", agent: \"stonith:fence_apc\", params: { \"ip\": \"pdu\", \"pcmk_host_list\": \"h1 h2 h3\" }),".into();
    c.topology = "(target: \"h1\", index: 1, devices: [\"fence-h1\"]), (target: \"h1\", index: 2, devices: [\"outlets\"])".into();
    c
}

#[test]
fn the_second_level_is_used_when_the_first_fails() {
    // The BMC works: the PDU is not asked at all.
    let works = two_levels("off_time: \"1s\", on_time: \"0s\", confirm_time: \"0s\"");
    let fails = two_levels("off_time: \"1s\", mode: Fails");
    for seed in 1..=8 {
        let r = works.run(T + 30_000, vec![at(T, off("h1"))], seed);
        let agents = words(&r, "fence_agent");
        assert!(agents.len() == 1 && agents[0].contains("fence-h1"), "{agents:?}");
        // It fails after 1 s, and the PDU is asked at once: 2 s more.
        let r = fails.run(T + 30_000, vec![at(T, off("h1"))], seed);
        let agents = marks(&r, "fence_agent", "", T);
        assert_eq!(agents.len(), 2, "{:#?}", story(&r));
        assert!(agents[0].1.contains("fence-h1") && agents[1].1.contains("outlets"), "{agents:?}");
        let second = agents[1].0 - agents[0].0;
        assert!((1_000..=1_050).contains(&second), "{second}");
        let fenced = first(&r, "fenced", "", T);
        assert!((2_000..=2_050).contains(&(fenced - agents[1].0)), "{fenced} {agents:?}");
        assert!(marks(&r, "fence_failed", "", T).is_empty(), "one order, which succeeded");
        assert!(broken(&r, "SecondFence", 0).is_empty());
    }
    // Both in one level: off by both, then on by both, and one fencing all the same.
    let mut both = two_levels("off_time: \"1s\", on_time: \"0s\", confirm_time: \"0s\"");
    both.topology = "(target: \"h1\", index: 1, devices: [\"fence-h1\", \"outlets\"])".into();
    let r = both.run(T + 30_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], 1);
    let agents = words(&r, "fence_agent");
    assert_eq!(agents.len(), 4, "{agents:?}");
    assert!(agents[..2].iter().all(|a| a.contains("off")) && agents[2..].iter().all(|a| !a.contains("off")));
    assert!(broken(&r, "SecondFence", 0).is_empty(), "{}", seen(&r, "SecondFence"));
}

#[test]
fn delays_add_up_and_are_waited_before_the_agent() {
    // pcmk_delay_base 3 s, pcmk_delay_max 6 s: 3 s and 0 to 2 s (2.1.5), 0 to 3 s (3.0).
    for (version, most) in [("2.1.5", 5), ("3.0", 6)] {
        let mut c = dc_on_h2("off_time: \"1s\"");
        c.version = version.into();
        c.delay_h1 = "\"pcmk_delay_base\": \"3s\", \"pcmk_delay_max\": \"6s\"".into();
        let mut drawn = std::collections::BTreeSet::new();
        for seed in 1..=SEEDS {
            let r = c.run(T + 25_000, vec![at(T, off("h1"))], seed);
            let (told, agent) = (first(&r, "fence_delayed", "", T), first(&r, "fence_agent", "", T));
            let (s, ms) = ((agent - told) / 1000, (agent - told) % 1000);
            assert!(ms <= 20, "whole seconds: {told} {agent}");
            drawn.insert(s);
        }
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), (3..=most).collect::<Vec<_>>(), "{version}");
    }
    // Only a base: no draw.
    let mut c = dc_on_h2("off_time: \"1s\"");
    c.delay_h1 = "\"pcmk_delay_base\": \"4s\"".into();
    for seed in 1..=5 {
        let r = c.run(T + 25_000, vec![at(T, off("h1"))], seed);
        let waited = first(&r, "fence_agent", "", T) - first(&r, "fence_delayed", "", T);
        assert!((4_000..=4_020).contains(&waited), "{waited}");
    }
    // priority-fencing-delay comes on top of the base, for the node with the higher priority and for nobody else.
    let mut c = two();
    c.device = "off_time: \"20s\", confirm_time: \"0s\"".into();
    c.properties = "\"priority-fencing-delay\": \"15s\"".into();
    c.meta = "\"priority\": \"10\"".into();
    c.delay_h1 = "\"pcmk_delay_base\": \"2s\"".into();
    c.delay_h2 = "\"pcmk_delay_base\": \"2s\"".into();
    for seed in 1..=8 {
        let r = c.run(T + 40_000, vec![at(T, cut(&["h1"], &["h2"]))], seed);
        let waited = |by: &str| first(&r, "fence_agent", by, T) - first(&r, "fence_delayed", by, T);
        let (on_h1, on_h2) = (waited("h2"), waited("h1"));
        assert!((17_000..=17_020).contains(&on_h1), "15 s and 2 s: {on_h1}");
        assert!((2_000..=2_020).contains(&on_h2), "{on_h2}");
    }
}

#[test]
fn a_device_that_lies_makes_two_of_one() {
    let mut c = dc_on_h2("mode: Lies, off_time: \"2s\"");
    c.properties = "\"no-quorum-policy\": \"freeze\"".into();
    for seed in 1..=8 {
        let r = c.run(T + 40_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], seed);
        assert_eq!((marks(&r, "device_lied", "", T).len(), marks(&r, "fenced", "", T).len()), (1, 1));
        let up = first(&r, "vip_up", "", T);
        let twice = broken(&r, "ActiveTwice", T);
        assert_eq!(twice, [(up, 40_000)], "{:#?}", story(&r));
        assert!(up > first(&r, "fenced", "", T), "it waited for a word that was worth nothing");
    }
}

#[test]
fn a_device_that_hangs_costs_its_power_timeout() {
    let c = dc_on_h2("mode: Hangs");
    let r = c.run(T + 100_000, vec![at(T, off("h1"))], 1);
    let (agent, failed) = (marks(&r, "fence_agent", "", T), marks(&r, "fence_failed", "", T));
    let took = failed[0].0 - agent[0].0;
    assert!((20_000..=21_050).contains(&took), "20 s of power_timeout, looked at once a second: {took}");
    assert!(marks(&r, "vip_up", "", T).is_empty());
}

#[test]
fn a_device_on_its_victims_supply_is_gone_with_it() {
    let mut c = dc_on_h2("off_time: \"1s\"");
    c.device = String::new();
    c.bmcs = false;
    for i in 1..=3 {
        let shares = if i == 1 { ", shares_power: \"h1\"" } else { "" };
        c.more_hosts +=
            &format!("\"bmc{i}\": (networks: [\"mgmt\"], runs: [FenceDevice(hosts: [\"h{i}\"]{shares})]),");
        c.more_resources += &format!(
            "Primitive(id: \"fence-h{i}\", agent: \"stonith:fence_ipmilan\", params: {{ \"ip\": \"bmc{i}\", \"pcmk_host_list\": \"h{i}\" }}),"
        );
    }
    for seed in 1..=5 {
        let r = c.run(T + 120_000, vec![at(T, off("h1"))], seed);
        let (agents, failed) = (marks(&r, "fence_agent", "", T), marks(&r, "fence_failed", "", T));
        assert_eq!((agents.len(), failed.len()), (10, 10), "{:#?}", story(&r));
        for (a, f) in agents.iter().zip(&failed) {
            assert!((5_000..=5_050).contains(&(f.0 - a.0)), "login_timeout: {a:?} {f:?}");
        }
        assert!(marks(&r, "vip_up", "", T).is_empty() && marks(&r, "device_asked", "bmc1", T).is_empty());
        // The same node cut off while it has power: its device works.
        let r = c.run(T + 40_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], seed);
        assert_eq!(marks(&r, "fenced", "", T).len(), 1);
    }
}
