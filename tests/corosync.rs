//! COR-01 to COR-20: Corosync against the spec's numbers and what corosync 3.1.7 was measured to do; the order of messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "corosync_lab/mod.rs"]
mod corosync_lab;
#[path = "corosync_lab/order.rs"]
mod order;

use corosync_lab::*;
use firedrill::engine::{Span, Time};
use firedrill::node::log::{Level, What};
use firedrill::proto::corosync::note::Note;
use firedrill::scenario::types::{Fault, FreezeClock, FreezeMode};
use firedrill::trace::verdict::Judgement;

const SEEDS: u64 = 60;
const UDPU: &str = "transport: udpu, ";

/// What GATHER takes beside the consensus timeout: joins, the commit token, RECOVERY. (Measured: up to 60 ms.)
const FORMING: u64 = 60;
/// New membership and token loss on a survivor after a power-off, for many phases of the ring.
fn crashes(c: &Cluster, victim: &str, survivor: &str, until: u64) -> (Vec<u64>, Vec<u64>) {
    let mut all = (Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        let r = c.run(t + until, vec![at(t, off(victim))], seed);
        all.0.push(first(&r, "membership", survivor, t));
        all.1.push(first(&r, "detected", survivor, t));
        assert_eq!(marks(&r, "node_lost", survivor, t).len(), 1, "{:#?}", story(&r));
    }
    all
}
/// Between the loss of the token and the new membership lies the consensus timeout, and next to nothing else.
fn consensus((formed, lost): (&[u64], &[u64]), timeout: u64) {
    for (formed, lost) in formed.iter().zip(lost) {
        assert!((timeout..=timeout + FORMING).contains(&(formed - lost)), "{lost} {formed}");
    }
}

#[test]
fn cor_01_two_nodes_a_crash_costs_token_and_consensus() {
    for (victim, survivor) in [("n2", "n1"), ("n1", "n2")] {
        let (formed, lost) = crashes(&nodes(2, "two_node: true"), victim, survivor, 10_000);
        spread("token lost", &lost, 2430, 3010, 100);
        spread("membership", &formed, 6000, 6640, 120);
        consensus((&formed, &lost), 3600);
    }
}

#[test]
fn cor_02_three_nodes() {
    let (formed, lost) = crashes(&nodes(3, ""), "n3", "n1", 12_000);
    spread("token lost", &lost, 2950, 3660, 120);
    spread("membership", &formed, 7300, 8080, 150);
    consensus((&formed, &lost), 4380);
}

#[test]
fn cor_02_the_late_tail_is_one_draw_for_a_change() {
    let c = nodes(3, "late_tail: true");
    let mut late = [0; 2];
    for seed in 1..=2 * SEEDS {
        let t = 60_000 + phase(seed);
        for (i, fault) in [off("n3"), cut(&["n1", "n2"], &["n3"])].into_iter().enumerate() {
            let r = c.run(t + 12_000, vec![at(t, fault)], seed);
            let formed = ["n1", "n2"].map(|n| first(&r, "membership", n, t));
            assert!(formed.iter().all(|f| (7300..=9100).contains(f)), "{formed:?}");
            let gap = |n: &str| first(&r, "membership", n, t) - first(&r, "detected", n, t);
            late[i] += match gap("n1") {
                4380..=4440 => 0,
                4500..=5370 => 1,
                other => panic!("neither the consensus timeout nor the tail: {other}"),
            };
            if i == 1 {
                assert!(gap("n1").abs_diff(gap("n3")) <= FORMING, "{:#?}", story(&r));
            }
        }
    }
    // One in six of 120 changes is 20, with a standard deviation of 4.
    assert!(late.iter().all(|l| (8..=34).contains(l)), "{late:?}");
}

#[test]
fn cor_03_three_nodes_with_a_token_of_one_second() {
    let (formed, lost) = crashes(&nodes(3, "token: \"1000ms\""), "n2", "n3", 8_000);
    spread("token lost", &lost, 1330, 1660, 60);
    spread("membership", &formed, 3300, 3680, 80);
    consensus((&formed, &lost), 1980);
    let (old, _) = crashes(&nodes(3, "version: \"2.4\""), "n2", "n3", 8_000);
    spread("the default before 3.1", &old, 3300, 3680, 80);
}

#[test]
fn cor_04_a_clean_stop_tells_the_others() {
    let mut formed = Vec::new();
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        let stop = Fault::Stop { target: host("n2"), process: "corosync".to_owned() };
        let r = nodes(5, "").run(t + 10_000, vec![at(t, stop)], seed);
        for n in ["n1", "n3", "n4", "n5"] {
            formed.push(first(&r, "membership", n, t));
            assert_eq!(marks(&r, "membership", n, t).len(), 1, "{:#?}", story(&r));
            let words = &marks(&r, "node_lost", n, t)[0].1;
            assert!(words.contains("n2"), "{words}");
        }
        assert!(marks(&r, "detected", "", t).is_empty(), "no token was lost");
        assert!(marks(&r, "quorum_lost", "", t).is_empty());
    }
    assert!(formed.iter().all(|t| *t <= 500), "{formed:?}");
}

#[test]
fn cor_05_a_short_silence() {
    let freeze = Fault::Freeze {
        target: host("n3"),
        mode: FreezeMode::Lost,
        clock: FreezeClock::Runs,
        lasts: Some(firedrill::engine::SpanRange::exactly(Span::ms(2500))),
    };
    let (mut down, mut up, mut token) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        for stun in [false, true] {
            let mut faults = vec![at(t, cut(&["n3"], &["n1", "n2"])), at(t + 2500, heal())];
            if stun {
                faults = vec![at(t, freeze.clone())];
            }
            let r = nodes(3, UDPU).run(t + 20_000, faults.clone(), seed);
            assert!(marks(&r, "membership", "", t).is_empty(), "udpu: {:#?}", story(&r));
            let r = nodes(3, "").run(t + 20_000, faults, seed);
            for n in ["n1", "n2"] {
                down.push(first(&r, "link_down", n, t));
                up.push(first(&r, "link_up", n, t + 2500));
            }
            // An idle token rests at n1 and then goes n2, n3: n1 saw it a whole `hold` (685 ms) before n2 did, n3 just before n1. So n1 and n3
            // lose it, each once; n1's join takes n2 to GATHER before its own timer ends.
            let lost = ["n1", "n2", "n3"].map(|n| marks(&r, "detected", n, t).len());
            assert_eq!(lost, [1, 0, 1], "{:#?}", story(&r));
            token.push(first(&r, "detected", "n1", t));
            let last_up = marks(&r, "link_up", "", t + 2500).last().unwrap().0 + 2500;
            for n in ["n1", "n2", "n3"] {
                let all = marks(&r, "membership", n, t);
                assert_eq!(all.len(), 1, "{:#?}", story(&r));
                assert!(all[0].1.contains("3: n1, n2, n3"), "{all:?}");
                // With the last link up the next join (every 50 ms) is heard. Or the commit token was under way before: it is sent again after
                // `token_retransmit`, 869 ms.
                let formed = all[0].0;
                assert!((last_up..=last_up + 869 + FORMING).contains(&formed), "{last_up} {:#?}", story(&r));
            }
            assert!(marks(&r, "node_lost", "", t).is_empty(), "nobody leaves: {:#?}", story(&r));
            assert!(marks(&r, "quorum_lost", "", t).is_empty());
        }
    }
    spread("link down", &down, 990, 2010, 120);
    spread("link up again", &up, 2000, 3010, 150);
    spread("token lost", &token, 2950, 3660, 120);
}

/// Two nodes of udpu, and no packet between them for 3.5 s: the run, and when the ring was formed again.
fn silence(c: &Cluster, seed: u64) -> (u64, firedrill::trace::run::Run, u64) {
    let t = 60_000 + phase(seed);
    let r = c.run(t + 20_000, vec![at(t, cut(&["n1"], &["n2"])), at(t + 3500, heal())], seed);
    for n in ["n1", "n2"] {
        assert!((2400..=3010).contains(&first(&r, "detected", n, t)), "{:#?}", story(&r));
        let formed = marks(&r, "membership", n, t);
        assert!(formed.len() == 1 && formed[0].1.contains("2: n1, n2"), "{:#?}", story(&r));
    }
    assert!(marks(&r, "node_lost", "", t).is_empty());
    assert!(marks(&r, "quorum_lost", "", t).is_empty());
    let formed = ["n1", "n2"].map(|n| first(&r, "membership", n, t));
    (t, r, *formed.iter().max().unwrap())
}

#[test]
fn cor_06_the_token_is_lost_and_the_same_members_form_a_new_ring() {
    let c = nodes(2, &format!("{UDPU} two_node: true"));
    for seed in 1..=SEEDS {
        // The first join after the heal (every 50 ms) is all that is missing.
        let (t, _, formed) = silence(&c.clone().known(), seed);
        assert!((3500..=3500 + FORMING).contains(&formed), "{formed}");
        let faults = vec![at(t, cut(&["n1"], &["n2"])), at(t + 3500, heal())];
        let mut sim = c.sim(t + 20_000, faults, seed);
        sim.run_until(Time::ms(t));
        let before = corosync(&sim, "n1").ring();
        sim.run_until(Time::ms(t + 10_000));
        let after = [corosync(&sim, "n1").ring(), corosync(&sim, "n2").ring()];
        assert!(after[0] == after[1] && after[0].seq > before.seq, "{before:?} {after:?}");
    }
    // A neighbour entry whose last probe (of three, one a second) went unanswered in the cut has FAILED; the next join has it asked for again
    // at once, in vain, and then a second later, by which time the network is back. (The wait is rounded up to the kernel's timer wheel: 1.036 s.)
    let mut late = 0;
    for seed in 1..=6 * SEEDS {
        let (t, r, formed) = silence(&c, seed);
        if formed > 3500 + FORMING {
            let failed = |m: &(u64, String)| m.0 <= 3500;
            assert!(marks(&r, "arp_failed", "", t).iter().any(failed), "{:#?}", story(&r));
            assert!(formed <= 3500 + 1040 + FORMING, "{formed}");
            late += 1;
        }
    }
    // An entry's round is about 35 s (30 s reachable, 5 s of delay): it fails in the last half second of the cut in 1 of 70 runs, each node's.
    assert!((1..=25).contains(&late), "{late} of {}", 6 * SEEDS);
}

#[test]
fn cor_07_the_second_link_takes_over() {
    let c = Cluster { networks: 2, ..nodes(2, "two_node: true") };
    let mut down = Vec::new();
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        let fault = Fault::LinkDown { target: host("n2"), network: Some("net0".to_owned()) };
        let r = c.run(t + 20_000, vec![at(t, fault)], seed);
        assert!(marks(&r, "membership", "", t).is_empty(), "{:#?}", story(&r));
        assert!(marks(&r, "detected", "", t).is_empty());
        down.push(first(&r, "link_down", "n1", t));
    }
    // 1.5 s after the last pong, at the next look of a thread that looks every 200 ms.
    spread("link down", &down, 790, 1610, 100);
}

/// Four nodes, split in two halves.
fn halves(settings: &str, seed: u64) -> (u64, firedrill::trace::run::Run) {
    let t = 60_000 + phase(seed);
    (t, nodes(4, settings).run(t + 20_000, vec![at(t, cut(&["n1", "n2"], &["n3", "n4"]))], seed))
}

#[test]
fn cor_08_two_halves_of_four_are_both_without_quorum() {
    let mut lost = Vec::new();
    for seed in 1..=SEEDS {
        let (t, r) = halves("", seed);
        for n in ["n1", "n2", "n3", "n4"] {
            lost.push(first(&r, "quorum_lost", n, t));
            assert!(marks(&r, "membership", n, t)[0].1.contains(" 2: "));
        }
        assert!(marks(&r, "quorum_gained", "", t).is_empty());
    }
    spread("quorum lost", &lost, 8600, 9500, 200);
}

#[test]
fn cor_09_the_tie_breaker_keeps_one_half() {
    for (setting, winners, losers) in [
        ("lowest", ["n1", "n2"], ["n3", "n4"]),
        ("highest", ["n3", "n4"], ["n1", "n2"]),
        ("3 1", ["n3", "n4"], ["n1", "n2"]),
    ] {
        for seed in 1..=SEEDS / 3 {
            let settings = format!("auto_tie_breaker: true, auto_tie_breaker_node: \"{setting}\"");
            let (t, r) = halves(&settings, seed);
            for n in losers {
                assert!((8600..=9500).contains(&first(&r, "quorum_lost", n, t)));
            }
            for n in winners {
                assert!(marks(&r, "quorum_lost", n, t).is_empty(), "{:#?}", story(&r));
                assert_eq!(marks(&r, "membership", n, t).len(), 1);
            }
            assert!(r.violations.is_empty(), "{:?}", r.violations);
        }
    }
}

#[test]
fn cor_10_the_tie_breaker_in_an_odd_cluster() {
    let c = nodes(5, "auto_tie_breaker: true, wait_for_all: true");
    for seed in 1..=SEEDS / 3 {
        let t = 60_000 + phase(seed);
        // One is lost and stays away; then two against two.
        let split = cut(&["n1", "n2"], &["n3", "n4"]);
        let mut sim = c.sim(t + 60_000, vec![at(t, off("n5")), at(t + 20_000, split)], seed);
        assert_eq!(quorate(&mut sim, t + 19_000, &["n1", "n3"]), [true, true]);
        assert_eq!(quorate(&mut sim, t + 40_000, &["n1", "n2", "n3", "n4"]), [true, true, false, false]);
        // The lowest that is left counts.
        let split = cut(&["n2", "n3"], &["n4", "n5"]);
        let mut sim = c.sim(t + 60_000, vec![at(t, off("n1")), at(t + 20_000, split)], seed);
        assert_eq!(quorate(&mut sim, t + 40_000, &["n2", "n3", "n4", "n5"]), [true, true, false, false]);
        // Three against two at once: the two cannot know that the three are not quorate.
        let split = cut(&["n1", "n2"], &["n3", "n4", "n5"]);
        let mut sim = c.sim(t + 60_000, vec![at(t, split)], seed);
        let all = ["n1", "n2", "n3", "n4", "n5"];
        assert_eq!(quorate(&mut sim, t + 20_000, &all), [false, false, true, true, true]);
    }
}

#[test]
fn cor_11_two_node_leaves_both_halves_quorate() {
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        let r = nodes(2, "two_node: true").run(t + 20_000, vec![at(t, cut(&["n1"], &["n2"]))], seed);
        for n in ["n1", "n2"] {
            let formed = marks(&r, "membership", n, t);
            assert!(formed.len() == 1 && formed[0].1.contains(" 1: "), "{formed:?}");
            assert!((6000..=6640).contains(&formed[0].0));
        }
        assert!(marks(&r, "quorum_lost", "", t).is_empty(), "fencing has to decide");
    }
}

#[test]
fn cor_12_wait_for_all_a_node_that_boots_alone_is_not_quorate() {
    for seed in 1..=SEEDS / 3 {
        let faults = vec![
            at(60_000, off("n1")),
            at(60_000, off("n2")),
            at(61_000 + phase(seed), on("n1")),
            at(400_000, on("n2")),
        ];
        let c = nodes(2, "two_node: true");
        let mut sim = c.sim(500_000, faults.clone(), seed);
        for ms in [95_000, 120_000, 399_000, 429_000] {
            assert_eq!(quorate(&mut sim, ms, &["n1"]), [false], "at {ms}");
        }
        assert_eq!(corosync(&sim, "n1").votes().quorum, 1, "one vote would be enough, but it waits");
        assert_eq!(quorate(&mut sim, 436_000, &["n1", "n2"]), [true, true]);
        let r = nodes(2, "two_node: true, wait_for_all: false").run(120_000, faults[..3].to_vec(), seed);
        assert_eq!(marks(&r, "quorum_gained", "n1", 61_000).len(), 1, "without it it is quorate at once");
    }
}

/// Eight nodes, of which some die at times after a minute.
fn eight(seed: u64, deaths: &[(u64, &[&str])]) -> firedrill::sim::Sim {
    let t = 60_000 + phase(seed);
    let all = deaths.iter().flat_map(|(after, who)| who.iter().map(move |n| at(t + after, off(n))));
    nodes(8, "last_man_standing: true, wait_for_all: true").sim(t + 200_000, all.collect(), seed)
}
/// T_memb of eight nodes at most.
const EIGHT: u64 = 15_300;

#[test]
fn cor_13_last_man_standing_shrinks_the_cluster() {
    for seed in 1..=SEEDS / 3 {
        let t = 60_000 + phase(seed);
        // Each group dies when the window after the membership change before it is over.
        let step = EIGHT + 11_000;
        let mut sim = eight(seed, &[(0, &["n6", "n7", "n8"]), (step, &["n4", "n5"]), (2 * step, &["n3"])]);
        let state = |sim: &firedrill::sim::Sim| {
            let v = corosync(sim, "n1").votes();
            (v.quorum, v.expected, v.total, v.quorate)
        };
        sim.run_until(Time::ms(t + EIGHT));
        assert_eq!(state(&sim), (5, 8, 5, true));
        sim.run_until(Time::ms(t + step - 100));
        assert_eq!(state(&sim), (3, 5, 5, true), "ten seconds later five are expected");
        sim.run_until(Time::ms(t + 2 * step - 100));
        assert_eq!(state(&sim), (2, 3, 3, true));
        sim.run_until(Time::ms(t + 3 * step));
        assert_eq!(state(&sim), (2, 2, 2, true), "still quorate with two");
        assert!(corosync(&sim, "n2").quorate());
    }
}

#[test]
fn cor_14_losses_within_the_window_do_not_shrink_it() {
    for seed in 1..=SEEDS / 3 {
        let t = 60_000 + phase(seed);
        let mut sim = eight(seed, &[(0, &["n6", "n7", "n8"]), (EIGHT + 5_000, &["n4", "n5"])]);
        assert_eq!(quorate(&mut sim, t + EIGHT + 4_900, &["n1"]), [true]);
        // The second loss takes 15 s to be seen: the window of the first has to be counted from its own change.
        sim.run_until(Time::ms(t + 2 * EIGHT + 25_000));
        let v = corosync(&sim, "n1").votes();
        let (window, second) = (t + EIGHT + 10_000, t + 2 * EIGHT + 5_000);
        assert!(window < second, "so the window is over first");
        assert_eq!((v.total, v.expected), (3, 3), "expected votes went to five in time, then to three");

        // Both losses in one membership change: three of eight.
        let mut sim = eight(seed, &[(0, &["n6", "n7", "n8"]), (5_000, &["n4", "n5"])]);
        sim.run_until(Time::ms(t + 60_000));
        let v = corosync(&sim, "n1").votes();
        assert_eq!((v.total, v.expected, v.quorum, v.quorate), (3, 8, 5, false));
    }
}

/// Two nodes with a quorum device.
fn device(algorithm: &str, more: &str) -> Cluster {
    let device = format!("device: (host: \"q\", algorithm: {algorithm}), {more}");
    Cluster { hosts: "\"q\": (runs: [Qnetd()]),".to_owned(), ..nodes(2, &device) }
}

#[test]
fn cor_15_ffsplit_gives_its_vote_to_one_half() {
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        let r = device("ffsplit", "").run(t + 60_000, vec![at(t, cut(&["n1"], &["n2"]))], seed);
        let lost = marks(&r, "quorum_lost", "", t);
        assert_eq!(lost.len(), 1, "exactly one: {:#?}", story(&r));
        assert!((6000..=6640 + 30_000).contains(&lost[0].0));
        assert!(marks(&r, "quorum_lost", "n1", t).is_empty(), "the tie breaker is the lowest");
        assert!(r.violations.is_empty(), "{:?}", r.violations);
        let mut sim = device("ffsplit", "").sim(t + 60_000, vec![at(t, cut(&["n1"], &["n2"]))], seed);
        sim.run_until(Time::ms(t + 50_000));
        let (a, b) = (corosync(&sim, "n1").votes(), corosync(&sim, "n2").votes());
        assert_eq!(((a.total, a.quorate), (b.total, b.quorate)), ((2, true), (1, false)));
    }
}

#[test]
fn cor_16_the_death_of_the_server_alone_changes_nothing() {
    let mut gone = Vec::new();
    for seed in 1..=SEEDS {
        let t = 60_000 + seed * 977 % 8000;
        let r = device("ffsplit", "").run(t + 60_000, vec![at(t, off("q"))], seed);
        assert!(marks(&r, "quorum_lost", "", t).is_empty());
        assert!(marks(&r, "membership", "", t).is_empty());
        gone.extend(["n1", "n2"].map(|n| first(&r, "qdevice_no_vote", n, t)));
        let mut sim = device("ffsplit", "").sim(t + 60_000, vec![at(t, off("q"))], seed);
        assert_eq!(quorate(&mut sim, t + 50_000, &["n1", "n2"]), [true, true]);
        assert_eq!(corosync(&sim, "n1").votes().total, 2, "two of three");
    }
    // The echo that is sent after the death is missed by the next: 8 s to 16 s.
    spread("the device's vote", &gone, 8000, 16_010, 700);
}

#[test]
fn cor_17_the_server_and_a_node_together() {
    for seed in 1..=SEEDS {
        let t = 60_000 + seed * 977 % 8000;
        let r = device("ffsplit", "").run(t + 60_000, vec![at(t, off("q")), at(t, off("n2"))], seed);
        let formed = first(&r, "membership", "n1", t);
        let lost = first(&r, "quorum_lost", "n1", t);
        assert!((6000..=6640).contains(&formed), "{formed}");
        assert!(lost >= formed && lost <= formed + 30_100, "{formed} {lost}");
        assert!(lost >= 8000, "it waited for the device: {formed} {lost}");
    }
    // A device that does not answer at all: the whole of sync_timeout.
    let pause = |n: &str| Fault::Pause { target: host(n), process: "corosync-qdevice".to_owned() };
    for seed in 1..=5 {
        let t = 60_000 + phase(seed);
        let faults = vec![at(t, off("n2")), at(t, pause("n1"))];
        let r = device("ffsplit, timeout: \"60s\"", "").run(t + 60_000, faults, seed);
        let (formed, lost) = (first(&r, "membership", "n1", t), first(&r, "quorum_lost", "n1", t));
        assert!((30_000..=30_100).contains(&(lost - formed)), "{formed} {lost}");
    }
}

/// When all nodes of a split are in one ring again, after the heal.
fn merged(c: &Cluster, sides: (&[&str], &[&str]), after: u64) -> Vec<u64> {
    let all: Vec<String> = (1..=c.n).map(|i| format!("n{i}")).collect();
    let whole = format!("{}: {}", c.n, all.join(", "));
    let mut times = Vec::new();
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        let healed = t + after;
        let faults = vec![at(t, cut(sides.0, sides.1)), at(healed, heal())];
        let r = c.run(healed + 20_000, faults.clone(), seed);
        let last = all.iter().map(|n| marks(&r, "membership", n, healed).last().unwrap().clone());
        let last: Vec<(u64, String)> = last.collect();
        assert!(last.iter().all(|m| m.1.contains(&whole)), "{last:?}");
        times.push(last.iter().map(|m| m.0).max().unwrap());
        let mut sim = c.sim(healed + 20_000, faults, seed);
        sim.run_until(Time::ms(healed - 1));
        let before = corosync(&sim, "n1").ring().seq.max(corosync(&sim, &all[c.n - 1]).ring().seq);
        sim.run_until(Time::ms(healed + 19_000));
        let ring = corosync(&sim, "n1").ring();
        assert!(ring.seq > before && all.iter().all(|n| corosync(&sim, n).ring() == ring));
    }
    times
}

#[test]
fn cor_18_a_healed_split_becomes_one_ring() {
    let three: (&[&str], &[&str]) = (&["n1", "n2"], &["n3"]);
    let halves: (&[&str], &[&str]) = (&["n1", "n2"], &["n3", "n4"]);
    // The representative of an idle ring says that it exists once in each rotation, that is once in `hold` (685 ms with three nodes, 809 ms
    // with four): udpu.
    spread("udpu, 3", &merged(&nodes(3, UDPU).known(), three, 20_000), 0, 685 + FORMING, 150);
    spread("udpu, 4", &merged(&nodes(4, UDPU).known(), halves, 20_000), 0, 809 + FORMING, 150);
    // knet: a link is up with its third pong. Pings go every 912 ms (1075 ms with four nodes), on a grid of 200 ms: every 1.0 s and 1.2 s. So the
    // last link of all is up after two to three intervals; then as above, or, if the commit token was under way before that, with its next
    // repetition (`token_retransmit`, 869 ms and 1023 ms). Spec: 2 s to 4 s, measured with three nodes (2.7 s to 3.8 s, n=9).
    let knet = merged(&nodes(3, "").known(), three, 20_000);
    assert!(knet.iter().all(|t| (2000..=4000).contains(t)), "{knet:?}");
    spread("knet, 3", &knet, 2000, 3000 + 869 + FORMING, 600);
    spread("knet, 4", &merged(&nodes(4, "").known(), halves, 20_000), 2400, 3600 + 1023 + FORMING, 900);
}

#[test]
fn cor_18_where_the_neighbours_have_to_be_asked_for_first() {
    let three: (&[&str], &[&str]) = (&["n1", "n2"], &["n3"]);
    // The lab's partitions lasted about 22 s. Entries that are being asked for (once a second) are known up to a second after the heal; or up to a
    // second later still, if the third probe was the last one before the heal: the entry fails, and the next ping has it asked for. Pings that
    // waited for the entry go out together, so that a link can also be up earlier.
    let mut all = merged(&nodes(3, ""), three, 22_000);
    all.sort_unstable();
    let median = all[all.len() / 2];
    assert!((2800..=3400).contains(&median), "measured 3.1 s: {median}");
    assert!(all[0] >= 1000 && all[all.len() - 1] <= 3000 + 869 + 2100 + FORMING, "{all:?}");
    let measured = all.iter().filter(|t| (2000..=4000).contains(*t)).count();
    assert!(measured * 10 >= all.len() * 8, "{all:?}");
    let udpu = merged(&nodes(3, UDPU), three, 22_000);
    assert!(udpu.iter().all(|t| *t <= 1040 + FORMING || *t <= 2200), "{udpu:?}");
}

#[test]
fn cor_19_a_daemon_that_stood_still_comes_back() {
    for (transport, low, high) in [("", 2000, 3000), (UDPU, 0, 1000)] {
        let mut back = Vec::new();
        for seed in 1..=SEEDS {
            let t = 60_000 + phase(seed);
            let target = || host("n3");
            let process = || "corosync".to_owned();
            let faults = vec![
                at(t, Fault::Pause { target: target(), process: process() }),
                at(t + 20_000, Fault::Resume { target: target(), process: process() }),
            ];
            let r = nodes(3, transport).run(t + 40_000, faults, seed);
            assert!((7300..=8100).contains(&first(&r, "node_lost", "n1", t)), "{:#?}", story(&r));
            let paused = marks(&r, "process_pause", "", t);
            assert!(paused.len() == 1 && paused[0].0 == 20_000, "{paused:?}");
            let again = marks(&r, "membership", "n1", t + 20_000);
            assert!(again.last().unwrap().1.contains("3: n1, n2, n3"), "{:#?}", story(&r));
            back.push(again.last().unwrap().0);
        }
        assert!(back.iter().all(|b| (low..=high).contains(b)), "{transport} {back:?}");
    }
}

#[test]
fn cor_20_every_second_of_token_costs_more_than_two() {
    let (formed, lost) = crashes(&nodes(2, "two_node: true, token: \"10000ms\""), "n2", "n1", 30_000);
    spread("membership", &formed, 20_000, 22_040, 300);
    consensus((&formed, &lost), 12_000);
}

/// What lint says of a cluster.
fn lint(c: &Cluster) -> String {
    firedrill::scenario::load::check_stack("x.ron".to_owned(), format!("Stack{}", c.text())).render(false)
}

#[test]
fn lint_knows_what_cannot_work() {
    let two = |settings: &str| lint(&nodes(2, settings));
    assert!(
        two("two_node: true, device: (host: \"n1\")")
            .contains("two_node and a quorum device are not compatible")
    );
    assert!(
        two("two_node: true, auto_tie_breaker: true")
            .contains("auto_tie_breaker and two_node are not compatible")
    );
    assert!(two("device: (host: \"n1\")").contains("n1 does not run Qnetd"));
    assert!(two("").contains("two nodes without two_node"));
    assert!(two("two_node: true, wait_for_all: false").contains("they take turns"));
    let three = |settings: &str| lint(&nodes(3, settings));
    assert!(three("two_node: true").contains("two_node is for clusters of two nodes; this one has 3"));
    let refuses = "auto_tie_breaker: true, last_man_standing: true";
    assert!(three(refuses).contains("corosync refuses to start"), "{}", three(refuses));
    assert!(three("auto_tie_breaker: true").contains("needs wait_for_all; it is switched off"));
    assert!(three("last_man_standing: true, quorum_votes: 2").contains("needs one vote for each node"));
    assert!(
        three("auto_tie_breaker: true, auto_tie_breaker_node: \"first\"").contains("no tie breaker: `first`")
    );
    assert!(
        three("consensus: \"4s\"").contains("1.2 times the effective token"),
        "{}",
        three("consensus: \"4s\"")
    );
    assert!(three("token: \"10ms\"").contains("token is a whole number of ms from 30ms"));
    assert!(three("networks: [\"net\"]").contains("did you mean `net0`?"));
    assert!(three("nodeid: 2").contains("have the same nodeid 2"));
    assert!(three("tokn: \"1s\"").contains("token"), "{}", three("tokn: \"1s\""));
    assert!(three("version: \"4\"").contains("no version of corosync"));
    assert!(!three("").contains("error"), "{}", three(""));
    let device = Cluster {
        hosts: "\"q\": (runs: [Qnetd()]),".to_owned(),
        ..nodes(3, "device: (host: \"q\", votes: 2)")
    };
    assert!(lint(&device).contains("ffsplit works only if"));
}

#[test]
fn an_idle_ring_is_cheap() {
    let mut sim = nodes(3, "").sim(100_000, Vec::new(), 1);
    sim.run_until(Time::ms(40_000));
    let before = sim.sched.handled();
    sim.run_until(Time::ms(100_000));
    let each = (sim.sched.handled() - before) / 60;
    assert!(each < 60, "{each} events a second");
    assert_eq!(corosync(&sim, "n1").members().len(), 3);
}

#[test]
fn a_killed_daemon_breaks_its_clients_and_comes_back_with_the_number_of_its_ring() {
    for seed in 1..=10 {
        let t = 60_000 + phase(seed);
        let kill = Fault::Kill { target: host("n2"), process: "corosync".to_owned(), all: false };
        let start = Fault::Start { target: host("n2"), process: "corosync".to_owned() };
        let faults = vec![at(t, kill), at(t + 30_000, start)];
        let r = nodes(3, "").run(t + 60_000, faults.clone(), seed);
        assert!((7300..=8100).contains(&first(&r, "node_lost", "n1", t)), "no leave message: as a crash");
        let mut sim = nodes(3, "").sim(t + 60_000, faults, seed);
        sim.run_until(Time::ms(t - 1));
        let before = corosync(&sim, "n2").ring().seq;
        sim.run_until(Time::ms(t + 30_500));
        assert!(corosync(&sim, "n2").ring().seq > before, "the file outlives the process");
        sim.run_until(Time::ms(t + 40_000));
        assert_eq!(corosync(&sim, "n2").members().len(), 3);
    }
}

#[test]
fn a_killed_and_a_frozen_daemon_cost_what_a_crash_costs_and_a_stopped_one_nothing() {
    let (target, process) = process("n3");
    let kill = Fault::Kill { target: target.clone(), process: process.clone(), all: false };
    let pause = Fault::Pause { target: target.clone(), process: process.clone() };
    let stop = Fault::Stop { target: target.clone(), process: process.clone() };
    for fault in [kill, pause.clone(), stop] {
        let mut formed = Vec::new();
        for seed in 1..=SEEDS {
            let t = 60_000 + phase(seed);
            let r = nodes(3, "").run(t + 12_000, vec![at(t, fault.clone())], seed);
            formed.push(first(&r, "membership", "n1", t));
            assert_eq!(marks(&r, "node_lost", "n1", t).len(), 1);
            assert!(marks(&r, "quorum_lost", "", t).is_empty());
        }
        match fault {
            Fault::Stop { .. } => assert!(formed.iter().all(|f| *f <= FORMING), "{formed:?}"),
            _ => spread("membership", &formed, 7300, 8080, 150),
        }
    }
    // Half a second, shorter than any timeout: nothing at all.
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        let resume = Fault::Resume { target: target.clone(), process: process.clone() };
        let faults = vec![at(t, pause.clone()), at(t + 500, resume)];
        let r = nodes(3, "").run(t + 10_000, faults, seed);
        for kind in ["membership", "detected", "link_down", "process_pause"] {
            assert!(marks(&r, kind, "", t).is_empty(), "{:#?}", story(&r));
        }
    }
}

#[test]
fn a_representative_that_is_back_before_it_is_missed_has_left_all_the_same() {
    for (node, others) in [("n1", ["n2", "n3"]), ("n2", ["n1", "n3"])] {
        for seed in 1..=SEEDS / 3 {
            let t = 60_000 + phase(seed);
            let (target, process) = process(node);
            let kill = Fault::Kill { target: target.clone(), process: process.clone(), all: false };
            let faults = vec![at(t, kill), at(t + 1000, Fault::Start { target, process })];
            let r = nodes(3, "").run(t + 20_000, faults, seed);
            for n in others {
                // The others' links to it go down (two pings of one second without an answer) and come up with three pongs, 3 s to 4 s after
                // the death; the token is lost meanwhile. It comes from a ring of its own.
                let lost = marks(&r, "node_lost", n, t);
                assert!(lost.len() == 1 && lost[0].1.contains(node), "{:#?}", story(&r));
                assert!((3000..=4000 + 869 + FORMING).contains(&lost[0].0), "{:#?}", story(&r));
                let formed = &marks(&r, "membership", n, t)[0].1;
                let words = format!("3: n1, n2, n3; joined: {node}; left: {node}");
                assert!(formed.contains(&words), "{formed}");
            }
        }
    }
}

/// For each new membership from a time on, how long its node synchronised it, in milliseconds.
fn synchronised(r: &firedrill::trace::run::Run, from: u64) -> Vec<u64> {
    let all = notes(r, from);
    let mut took = Vec::new();
    for (i, (t, host, note)) in all.iter().enumerate() {
        let Note::Membership { ring, .. } = note else { continue };
        let next = all[i + 1..]
            .iter()
            .find(|(_, h, n)| h == host && matches!(n, Note::Synchronised { .. } | Note::Membership { .. }));
        match next {
            Some((end, _, Note::Synchronised { ring: of })) if of == ring => took.push(end - t),
            // Another membership came before it was ready.
            Some((_, _, Note::Membership { .. })) => {}
            other => panic!("{host} was never ready: {other:?} {:#?}", story(r)),
        }
    }
    took
}

#[test]
fn a_new_membership_is_of_use_at_once() {
    let (target, process) = process("n3");
    let stop = Fault::Stop { target, process };
    for seed in 1..=SEEDS {
        let t = 60_000 + phase(seed);
        for fault in [stop.clone(), off("n3"), cut(&["n1", "n2"], &["n3", "n4"])] {
            let faults = vec![at(t, fault.clone()), at(t + 20_000, heal())];
            let r = nodes(4, "").run(t + 40_000, faults, seed);
            let all = synchronised(&r, t);
            assert!(all.len() >= 3 && all.iter().all(|ms| *ms <= 20), "{fault:?}: {all:?}");
        }
    }
}

#[test]
fn the_shipped_drill_of_a_clean_stop_sees_the_end_of_the_synchronisation() {
    for name in ["corosync/clean-stop", "corosync/paused-daemon"] {
        let l = firedrill::scenario::load::load(name, &[], None).unwrap();
        for seed in 1..=20 {
            let r = firedrill::trace::run::run(&l.stack, &l.drill, seed, Level::Story, false);
            let failed = r.verdict.each.iter().filter(|j| j.verdict != Judgement::Pass);
            let failed: Vec<_> = failed.collect();
            assert!(failed.is_empty(), "{name}, seed {seed}: {failed:?}");
        }
    }
}

#[test]
fn the_token_warns_at_three_quarters_and_the_representative_tells_of_its_ring_in_each_rotation() {
    for (settings, warning) in
        [("", Some(2737)), ("token_warning: 50", Some(1825)), ("token_warning: 0", None)]
    {
        let r = nodes(3, settings).run(75_000, vec![at(60_000, off("n3"))], 1);
        let told = notes(&r, 60_000).into_iter().find_map(|(_, _, n)| match n {
            Note::TokenWarning { silent } => Some(silent.as_ms()),
            _ => None,
        });
        assert_eq!(told, warning, "{settings}");
    }
    for (settings, hold, merge) in
        [("", 685, 200), ("merge: \"100ms\"", 685, 100), ("hold: \"400ms\"", 400, 200)]
    {
        let r = nodes(3, settings).full(60_000, Vec::new(), 1);
        let r = &r;
        let of = |word: &'static str, on: &'static str, from: &'static str| {
            r.log.iter().filter_map(move |e| match &e.what {
                What::Frame(sender, sent, label)
                    if label.word == word && r.host(e.host) == on && r.host(Some(*sender)) == from =>
                {
                    Some((sent.as_ms(), e.at.as_ms()))
                }
                _ => None,
            })
        };
        let tokens: Vec<(u64, u64)> = of("token", "n1", "n3").collect();
        let told = of("merge detect", "n2", "n1").map(|f| f.0).filter(|sent| *sent >= 40_000);
        let told: Vec<u64> = told.collect();
        assert!(told.len() > 15, "{told:?}");
        for pair in told.windows(2) {
            assert!((hold..=hold + 5).contains(&(pair[1] - pair[0])), "{settings}: {pair:?}");
        }
        for at in told {
            let last = tokens.iter().rev().find(|t| t.1 <= at).map_or(0, |t| t.1);
            assert!((merge..=merge + 1).contains(&(at - last)), "{settings}: {last} {at}");
        }
    }
}

#[test]
fn the_window_of_last_man_standing_runs_from_the_change() {
    for seed in 1..=SEEDS / 6 {
        let t = 60_000 + phase(seed);
        let deaths: [(u64, &[&str]); 1] = [(0, &["n6", "n7", "n8"])];
        let all = deaths.iter().flat_map(|(after, who)| who.iter().map(move |n| at(t + after, off(n))));
        let r = nodes(8, "last_man_standing: true, wait_for_all: true").run(t + 30_000, all.collect(), seed);
        let formed = t + first(&r, "membership", "n1", t);
        let mut sim = eight(seed, &deaths);
        for (after, expected, quorum) in [(9_990, 8, 5), (10_010, 5, 3)] {
            sim.run_until(Time::ms(formed + after));
            let v = corosync(&sim, "n1").votes();
            assert_eq!(
                (v.expected, v.quorum, v.quorate),
                (expected, quorum, true),
                "{after} ms after the change"
            );
        }
    }
}

#[test]
fn the_device_and_its_server_are_given_up_by_their_own_timeouts() {
    let pause = Fault::Pause { target: host("n1"), process: "corosync-qdevice".to_owned() };
    let (mut vote, mut silent) = (Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let t = 60_000 + seed * 977 % 16_000;
        let r = device("ffsplit", "").run(t + 30_000, vec![at(t, pause.clone())], seed);
        // It polls every 5 s (half of `timeout`); the vote is gone 10 s after the last poll.
        vote.push(first(&r, "qdevice_no_vote", "n1", t));
        assert!(marks(&r, "quorum_lost", "", t).is_empty(), "{:#?}", story(&r));
        // It asks for an echo every 8 s; the server takes it for dead after 1.5 times that.
        for (after, host, note) in notes(&r, t) {
            if let Note::ClientSilent { silent: length, .. } = note {
                assert!(host == "q" && length.as_ms() == 12_000, "{length:?}");
                silent.push(after);
            }
        }
    }
    assert_eq!(silent.len(), SEEDS as usize);
    spread("the device's vote", &vote, 5000, 10_010, 500);
    spread("the server's patience", &silent, 4000, 12_010, 500);
}

#[test]
fn a_device_asks_for_its_server_every_connect_timeout() {
    let (target, process) = (host("q"), "qnetd".to_owned());
    let mut took = Vec::new();
    for seed in 1..=SEEDS / 2 {
        let t = 60_000 + phase(seed);
        let kill = Fault::Kill { target: target.clone(), process: process.clone(), all: false };
        let start = Fault::Start { target: target.clone(), process: process.clone() };
        let r = device("ffsplit", "").run(t + 60_000, vec![at(t, kill), at(t + 21_000, start)], seed);
        assert!(marks(&r, "quorum_lost", "", t).is_empty(), "{:#?}", story(&r));
        let told = notes(&r, t);
        for n in ["n1", "n2"] {
            let of =
                |want: fn(&Note) -> bool| told.iter().find(|(_, h, note)| h == n && want(note)).unwrap().0;
            assert!(of(|n| matches!(n, Note::Disconnected { silent: false })) <= 5);
            took.push(of(|n| matches!(n, Note::Connected)));
        }
    }
    // At first up to 4.5 s (0.9 of the cast interval); a refused connection is tried again 8 s after it was begun (0.8 of `timeout`): the server
    // is back after 21 s, and the third try (16 s to 20.5 s) is in vain.
    spread("connected again", &took, 24_000, 28_510, 700);
}

#[test]
fn the_half_that_had_the_vote_keeps_it() {
    for (keep, quorate) in [("", ["n2", "n1"]), ("keep_active_partition_tie_breaker: false, ", ["n1", "n2"])]
    {
        let device = format!("device: (host: \"q\", {keep}algorithm: ffsplit), ");
        let c = Cluster { hosts: "\"q\": (runs: [Qnetd()]),".to_owned(), ..nodes(2, &device) };
        for seed in 1..=10 {
            let t = 60_000 + phase(seed);
            // n1 sees nobody, so that n2 has the vote; then n1 sees the server again, but not n2.
            let back = t + 60_000;
            let faults =
                vec![at(t, cut(&["n1"], &["n2", "q"])), at(back, heal()), at(back, cut(&["n1"], &["n2"]))];
            let r = c.run(back + 60_000, faults.clone(), seed);
            assert!(r.violations.is_empty(), "{:?}", r.violations);
            let mut sim = c.sim(back + 60_000, faults, seed);
            let votes = |sim: &firedrill::sim::Sim, n: &str| corosync(sim, n).quorate();
            sim.run_until(Time::ms(back - 1));
            assert_eq!(["n1", "n2"].map(|n| votes(&sim, n)), [false, true]);
            sim.run_until(Time::ms(back + 50_000));
            assert_eq!(quorate.map(|n| votes(&sim, n)), [true, false], "{keep}");
        }
    }
}

#[test]
fn an_idle_token_goes_round_thirty_times_before_it_is_held() {
    for (settings, rounds) in [("", 30), ("seqno_unchanged_const: 10", 10)] {
        let r = nodes(3, settings).full(60_000, Vec::new(), 1);
        let frames = |word: &'static str| {
            r.log.iter().filter_map(move |e| match &e.what {
                What::Frame(_, sent, label) if label.word == word => Some((e.host, *sent)),
                _ => None,
            })
        };
        let last = frames("totem").map(|f| f.1).max().unwrap();
        // On their way from n1 to n2, until the first of `hold`.
        let n2 = r.hosts.iter().position(|h| h == "n2");
        let mut rests = frames("token").filter(|(h, sent)| *sent > last && h.map(|h| usize::from(h.0)) == n2);
        let first = rests.next().unwrap().1;
        let quick: Vec<Time> = rests.map(|f| f.1).take_while(|t| t.since(first) < Span::ms(400)).collect();
        assert!((rounds..=rounds + 1).contains(&quick.len()), "{settings}: {}", quick.len());
    }
}

#[test]
fn a_stranger_that_disagrees_restarts_gather_for_as_long_as_it_speaks() {
    let c = nodes(4, UDPU).known().in_order();
    for seed in 1..=SEEDS / 3 {
        let t = 60_000 + phase(seed);
        // n4 is alone. n3 dies; n2 dies after it has said whom it sees, so that n1 gives up n3 and waits for n2 in a second round; n4 comes.
        let healed = t + 11_000;
        let faults = vec![
            at(30_000, cut(&["n4"], &["n1", "n2", "n3"])),
            at(t, off("n3")),
            at(t + 6000, off("n2")),
            at(healed, heal()),
        ];
        let r = c.run(healed + 20_000, faults, seed);
        let formed = |n: &str| marks(&r, "membership", n, healed);
        // To n1 n4 is new: its time (5.16 s) begins again, and n4, which does not take over that n3 has failed, never agrees.
        let alone = &formed("n1")[0];
        assert!(alone.1.contains("1: n1"), "{:#?}", story(&r));
        assert!((5160..=5160 + 50 + FORMING).contains(&alone.0), "{:#?}", story(&r));
        // Each join of n1 (one in 50 ms) has n4 begin again. The last one says that n4 has failed: after another 5.16 s it goes on without n1.
        let other = &formed("n4")[0];
        assert!(other.1.contains("1: n4"), "{:#?}", story(&r));
        assert!((alone.0 + 5160 - 50..=alone.0 + 5160 + FORMING).contains(&other.0), "{:#?}", story(&r));
        // Then they are two rings that hear of each other.
        let both = &formed("n1")[1];
        assert!(both.1.contains("2: n1, n4") && both.0 <= other.0 + 809 + FORMING, "{:#?}", story(&r));
        assert!(r.events < 20_000, "no storm of answers: {}", r.events);
    }
}

#[test]
fn one_way_loss_is_a_cut_for_knet() {
    for seed in 1..=20 {
        let t = 60_000 + phase(seed);
        let fault = Fault::CutOneWay { target: host("n3"), to: hosts(&["n1", "n2"]), plane: None };
        let r = nodes(3, "").run(t + 40_000, vec![at(t, fault)], seed);
        assert!((7300..=8100).contains(&first(&r, "node_lost", "n1", t)));
        assert!((7300..=8700).contains(&first(&r, "quorum_lost", "n3", t)), "{:#?}", story(&r));
        assert!(r.violations.is_empty());
    }
}

#[test]
fn lms_keeps_a_single_node_that_sees_the_server() {
    let device = "device: (host: \"q\", algorithm: lms), wait_for_all: true";
    let c = Cluster { hosts: "\"q\": (runs: [Qnetd()]),".to_owned(), ..nodes(4, device) };
    for seed in 1..=10 {
        let t = 60_000 + phase(seed);
        let gone = ["n1", "n3", "n4"].map(|n| at(t, off(n)));
        let mut sim = c.sim(t + 60_000, gone.to_vec(), seed);
        // Just before the power goes: what happens at `t` has happened when the run has come to `t`.
        assert_eq!(quorate(&mut sim, t - 1, &["n1", "n2", "n3", "n4"]), [true; 4]);
        let v = corosync(&sim, "n2").votes();
        assert_eq!((v.total, v.quorum), (7, 4), "four nodes and three votes of the device");
        assert_eq!(quorate(&mut sim, t + 50_000, &["n2"]), [true]);
        // A split: the larger side has the vote.
        let mut sim = c.sim(t + 60_000, vec![at(t, cut(&["n1"], &["n2", "n3", "n4"]))], seed);
        assert_eq!(quorate(&mut sim, t + 50_000, &["n1", "n2", "n3", "n4"]), [false, true, true, true]);
    }
}
