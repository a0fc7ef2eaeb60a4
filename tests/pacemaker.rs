//! PCM-01 to PCM-22: Pacemaker against the spec's numbers and what Pacemaker 2.1.5 was measured to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "pacemaker_lab/mod.rs"]
mod pacemaker_lab;

use firedrill::proto::crm::config::Operator;
use pacemaker_lab::*;

const SEEDS: u64 = 30;
/// Time until which a cluster of three has settled.
const T: u64 = 60_000;

#[test]
fn pcm_01_equal_candidates_the_first_name_wins() {
    for seed in 1..=5 {
        let r = trio().run(45_000, vec![], seed);
        assert_eq!(last_dc(&r), "h1", "{:#?}", story(&r));
    }
}

#[test]
fn pcm_02_the_oldest_feature_set_wins() {
    let mut c = trio();
    c.settings[2] = "feature_set: \"3.15.0\"".into();
    let r = c.run(45_000, vec![], 1);
    assert_eq!(last_dc(&r), "h3", "{:#?}", story(&r));
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    assert_eq!(last_dc(&c.run(45_000, vec![], 1)), "h2", "more CPU time");
}

#[test]
fn pcm_03_a_node_alone_waits_dc_deadtime_and_starts_nothing() {
    for seed in 1..=5 {
        let r = trio().run(60_000, vec![at(1, off("h2")), at(1, off("h3"))], seed);
        let dc = first(&r, "leader_elected", "h1", 0);
        assert!((20_000..=22_000).contains(&dc), "{dc}");
        assert!(marks(&r, "resource_started", "", 0).is_empty(), "inquorate: {:#?}", story(&r));
        assert!(marks(&r, "fence_requested", "", 0).is_empty(), "nor does it fence");
    }
}

#[test]
fn pcm_04_a_dead_node_is_fenced_and_then_its_services_start() {
    let mut seconds = [0; 4];
    for seed in 1..=SEEDS {
        let mut c = trio();
        c.settings[1] = "cpu_time: \"5s\"".into();
        c.device = "off_time: \"5s\", on_time: \"0s\", confirm_time: \"0s\"".into();
        let t = T + seed * 137 % 2000;
        let r = c.run(t + 30_000, vec![at(t, off("h1"))], seed);
        let member = first(&r, "membership", "h2", t);
        let asked = first(&r, "fence_requested", "h2", t) - member;
        let (j, rest) = (asked / 1000, asked % 1000);
        assert!(j <= 3 && (20..=250).contains(&rest), "{asked}");
        seconds[j as usize] += 1;
        let fenced = first(&r, "fenced", "", t);
        let began = first(&r, "fence_agent", "", t);
        assert!((5_000..=5_100).contains(&(fenced - began)), "{fenced} {began}");
        let started = first(&r, "resource_started", "", t);
        assert!(started > fenced && started < fenced + 500, "{started} {fenced}");
    }
    assert!(seconds[2] > SEEDS / 3 && seconds[0] + seconds[1] > 0, "mostly two seconds: {seconds:?}");
}

#[test]
fn pcm_05_a_dead_dc_is_replaced_first() {
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let t = T + seed * 137 % 2000;
        let r = trio().run(t + 30_000, vec![at(t, off("h1"))], seed);
        let member = first(&r, "membership", "h2", t);
        let dc = first(&r, "leader_elected", "h2", t) - member;
        assert!(dc <= 300, "{dc}");
        let asked = first(&r, "fence_requested", "h2", t) - member;
        assert!((300..=2000).contains(&asked), "{asked}");
        all.push(asked);
    }
    assert!(all.iter().filter(|a| **a >= 1000).count() as u64 > SEEDS / 2, "{all:?}");
}

#[test]
fn pcm_06_fencing_that_fails_moves_nothing() {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c.device = "mode: Fails".into();
    let r = c.run(T + 240_000, vec![at(T, off("h1"))], 3);
    assert_eq!(marks(&r, "fence_failed", "", T).len(), 10, "{:#?}", story(&r));
    assert!(marks(&r, "resource_started", "", T).is_empty());
    let r = c.run(T + 16 * 60_000 + 240_000, vec![at(T, off("h1"))], 3);
    assert_eq!(marks(&r, "fence_failed", "", T).len(), 11, "once more at the recheck");
}

#[test]
fn pcm_07_without_fencing_both_sides_run() {
    let mut c = trio();
    c.properties = "\"stonith-enabled\": \"false\", \"no-quorum-policy\": \"ignore\"".into();
    for seed in 1..=SEEDS / 3 {
        let r = c.run(T + 60_000, vec![at(T, cut(&["h1"], &["h2", "h3"])), at(T + 25_000, heal())], seed);
        let member = first(&r, "membership", "h2", T);
        let up = first(&r, "vip_up", "", T) - member;
        assert!((400..=3_500).contains(&up), "{up}");
        let down = first(&r, "vip_down", "", T);
        assert!((27_000..=31_000).contains(&down), "both, until after the heal: {down}: {:#?}", story(&r));
        assert_eq!(marks(&r, "vip_down", "", T).len(), 2, "stopped on both");
        assert_eq!(marks(&r, "vip_up", "", T + down).len(), 1, "started once");
    }
}

#[test]
fn pcm_08_policy_stop_on_the_cut_off_side() {
    for seed in 1..=SEEDS / 3 {
        let mut c = trio();
        c.settings[1] = "cpu_time: \"5s\"".into();
        c.device = "off_time: \"20s\"".into();
        let r = c.run(T + 40_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], seed);
        let member = first(&r, "membership", "h1", T);
        let stops = first(&r, "resource_stopped", "h1", T) - member;
        assert!((30..=2_300).contains(&stops), "{stops}");
        let asked = first(&r, "fence_requested", "h2", T);
        assert!(asked > 7_300 && asked < 11_700, "{asked}");
        assert!(marks(&r, "fence_requested", "h1", T).is_empty(), "without quorum nobody outside is fenced");
    }
}

#[test]
fn pcm_09_policy_freeze_keeps_what_runs() {
    let mut c = trio();
    c.properties = "\"no-quorum-policy\": \"freeze\"".into();
    c.settings[1] = "cpu_time: \"5s\"".into();
    let r = c.run(T + 30_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], 2);
    assert!(marks(&r, "resource_stopped", "h1", T).is_empty(), "{:#?}", story(&r));
    assert_eq!(marks(&r, "fenced", "", T).len(), 1);
}

#[test]
fn pcm_10_a_base_delay_decides_who_lives() {
    for seed in 1..=SEEDS / 2 {
        let mut c = two();
        c.delay_h1 = "\"pcmk_delay_base\": \"5s\"".into();
        let r = c.run(T + 25_000, vec![at(T, cut(&["h1"], &["h2"]))], seed);
        let cut = marks(&r, "power_cut", "", T);
        assert_eq!(cut.len(), 1, "{:#?}", story(&r));
        assert!(cut[0].1.contains("h2"), "the delay protects h1: {cut:?}");
    }
}

#[test]
fn pcm_11_without_delays_either_side_wins() {
    let (mut dead, mut both) = ([0; 2], 0);
    for seed in 1..=SEEDS {
        let t = T + seed * 137 % 2000;
        let r = two().run(t + 14_000, vec![at(t, cut(&["h1"], &["h2"]))], seed);
        let cut = marks(&r, "power_cut", "", t);
        let of = |h: &str| cut.iter().any(|c| c.1.contains(h));
        dead[0] += u64::from(of("h1"));
        dead[1] += u64::from(of("h2"));
        both += u64::from(of("h1") && of("h2"));
        assert!(!cut.is_empty(), "{:#?}", story(&r));
    }
    assert!(dead[0] > 0 && dead[1] > 0 && both < SEEDS, "{dead:?} {both}");
}

#[test]
fn pcm_12_random_delays() {
    use firedrill::proto::crm::fenced::drawable;
    assert_eq!((drawable(0, 10, true), drawable(0, 10, false)), (11, 10));
    assert_eq!((drawable(10, 10, true), drawable(5, 10, true), drawable(5, 10, false)), (0, 6, 5));
    // W equally likely whole seconds on both sides: mutual if they are the same, with a kill that takes less than a second.
    for (version, w) in [("3.0", 11_u64), ("2.1.5", 10)] {
        let mut drawn = std::collections::BTreeSet::new();
        for seed in 1..=SEEDS {
            let mut c = two();
            c.version = version.into();
            c.delay_h1 = "\"pcmk_delay_max\": \"10s\"".into();
            c.delay_h2 = c.delay_h1.clone();
            let r = c.run(T + 9_500, vec![at(T, cut(&["h1"], &["h2"]))], seed);
            for (_, text) in marks(&r, "fence_delayed", "", T) {
                let number: String = text
                    .chars()
                    .rev()
                    .skip_while(|c| !c.is_ascii_digit())
                    .take_while(char::is_ascii_digit)
                    .collect();
                drawn.insert(number.chars().rev().collect::<String>().parse::<u64>().unwrap());
            }
        }
        assert!(drawn.iter().all(|d| *d < w && *d > 0) && drawn.len() > 5, "{version}: {drawn:?}");
        assert_eq!(drawn.contains(&10), w == 11, "{version}: {drawn:?}");
    }
}

#[test]
fn pcm_13_priority_fencing_delay() {
    let mut c = two();
    c.properties = "\"priority-fencing-delay\": \"15s\"".into();
    c.meta = "\"priority\": \"10\"".into();
    let mut waited = 0;
    for seed in 1..=8 {
        let r = c.run(T + 25_000, vec![at(T, cut(&["h1"], &["h2"]))], seed);
        let delayed = marks(&r, "fence_delayed", "h2", T);
        waited += delayed.len();
        assert!(delayed.iter().all(|d| d.1.contains("15")), "{:#?}", story(&r));
        let cut = marks(&r, "power_cut", "", T);
        assert!(cut.len() == 1 && cut[0].1.contains("h2"), "{cut:?}");
    }
    assert!(waited > 0, "h2 asks before it is shot, sometimes");
}

#[test]
fn pcm_14_without_a_monitor_nobody_notices() {
    let mut c = trio();
    c.monitor = String::new();
    let r = c.run(T + 10 * 60_000, vec![at(T, dies("h1", "vip"))], 1);
    assert!(
        marks(&r, "resource_failed", "", T).is_empty() && marks(&r, "vip_up", "", T).is_empty(),
        "{:#?}",
        story(&r)
    );
}

#[test]
fn pcm_15_a_monitor_finds_it_and_it_is_restarted_in_place() {
    let mut found = Vec::new();
    for seed in 1..=SEEDS {
        let t = T + seed * 337 % 10_000;
        let r = trio().run(t + 20_000, vec![at(t, dies("h1", "vip"))], seed);
        let seen = first(&r, "resource_failed", "h1", t);
        assert!(seen <= 10_100, "{seen}");
        found.push(seen);
        let up = first(&r, "vip_up", "h1", t);
        assert!(up > seen && up < seen + 700, "{up} {seen}");
        assert!(marks(&r, "fenced", "", t).is_empty());
    }
    assert!(*found.iter().min().unwrap() < 1_500 && *found.iter().max().unwrap() > 8_500, "{found:?}");
}

#[test]
fn pcm_16_migration_threshold_and_failure_timeout() {
    let mut c = trio();
    c.meta = "\"migration-threshold\": \"2\", \"failure-timeout\": \"60s\"".into();
    c.location = true;
    let r = c.run(T + 150_000, vec![at(T, dies("h1", "vip")), at(T + 20_000, dies("h1", "vip"))], 4);
    let ups = marks(&r, "vip_up", "", T);
    assert!(ups.len() == 3, "{:#?}", story(&r));
    let hosts: Vec<String> = r
        .marks
        .iter()
        .filter(|m| m.kind == "vip_up" && m.at.as_ms() >= T)
        .map(|m| r.host(m.host).to_owned())
        .collect();
    assert_eq!(hosts[0], "h1", "the first failure: in place");
    assert_ne!(hosts[1], "h1", "the second one bans the node");
    assert_eq!(
        hosts[2], "h1",
        "60 s after the second failure it may come back, and the location wants it to"
    );
    let second = marks(&r, "resource_failed", "h1", T)[1].0;
    let back = ups[2].0 - second;
    assert!((60_000..=63_500).contains(&back), "{back}");
}

#[test]
fn pcm_17_a_start_that_fails_moves_at_once() {
    let faults = vec![at(T, fails("h1", "vip", "start")), at(T + 1_000, dies("h1", "vip"))];
    let r = trio().run(T + 40_000, faults, 1);
    let up = r.marks.iter().find(|m| m.kind == "vip_up" && m.at.as_ms() > T).unwrap();
    assert_ne!(r.host(up.host), "h1", "{:#?}", story(&r));
    assert_eq!(marks(&r, "resource_failed", "h1", T).len(), 2, "the monitor, then the start, once");
}

#[test]
fn pcm_18_a_stop_that_fails() {
    let faults = || {
        vec![at(T, fails("h1", "vip", "stop")), at(T + 1_000, crm(Operator::Standby { node: "h1".into() }))]
    };
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    let r = c.run(T + 30_000, faults(), 1);
    assert_eq!(marks(&r, "fenced", "", T).len(), 1, "{:#?}", story(&r));
    c.properties = "\"stonith-enabled\": \"false\"".into();
    let r = c.run(T + 30_000, faults(), 1);
    assert!(
        marks(&r, "fenced", "", T).is_empty() && marks(&r, "vip_up", "", T).is_empty(),
        "blocked: {:#?}",
        story(&r)
    );
}

#[test]
fn pcm_22_an_unrelated_start_waits_for_every_fence() {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c.device = "off_time: \"5s\", on_time: \"0s\", confirm_time: \"0s\"".into();
    // The dummy fails on h3 while h1 is being fenced: its restart on h3 has nothing to do with h1.
    c.dummy = true;
    for seed in 1..=5 {
        let r = c.run(T + 40_000, vec![at(T, off("h1")), at(T + 8_000, dies("h3", "other"))], seed);
        let fenced = first(&r, "fenced", "", T);
        let started: Vec<u64> = marks(&r, "resource_started", "", T).into_iter().map(|m| m.0).collect();
        assert!(
            !started.is_empty() && started.iter().all(|s| *s > fenced),
            "{started:?} {fenced}: {:#?}",
            story(&r)
        );
    }
}
