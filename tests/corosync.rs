//! COR-01 to COR-20: Corosync against the spec's numbers and what corosync 3.1.7 was measured to do; the order of messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "corosync_lab/mod.rs"]
mod corosync_lab;
#[path = "corosync_lab/order.rs"]
mod order;

use corosync_lab::*;
use firedrill::engine::{Span, Time};
use firedrill::scenario::types::{Fault, FreezeClock, FreezeMode};

const SEEDS: u64 = 60;
const UDPU: &str = "transport: udpu, ";

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

#[test]
fn cor_01_two_nodes_a_crash_costs_token_and_consensus() {
    for (victim, survivor) in [("n2", "n1"), ("n1", "n2")] {
        let (formed, lost) = crashes(&nodes(2, "two_node: true"), victim, survivor, 10_000);
        spread("token lost", &lost, 2430, 3010, 100);
        spread("membership", &formed, 6000, 6640, 120);
    }
}

#[test]
fn cor_02_three_nodes() {
    let (formed, lost) = crashes(&nodes(3, ""), "n3", "n1", 12_000);
    spread("token lost", &lost, 2950, 3660, 120);
    spread("membership", &formed, 7300, 8080, 150);
}

#[test]
fn cor_03_three_nodes_with_a_token_of_one_second() {
    let (formed, lost) = crashes(&nodes(3, "token: \"1000ms\""), "n2", "n3", 8_000);
    spread("token lost", &lost, 1330, 1660, 60);
    spread("membership", &formed, 3300, 3680, 80);
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
    let (mut down, mut up) = (Vec::new(), Vec::new());
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
            let mut tokens = 0;
            for n in ["n1", "n2"] {
                down.push(first(&r, "link_down", n, t));
                up.push(first(&r, "link_up", n, t + 2500));
                tokens += marks(&r, "detected", n, t).len();
                let all = marks(&r, "membership", n, t);
                assert_eq!(all.len(), 1, "{:#?}", story(&r));
                assert!(all[0].1.contains("3: n1, n2, n3"), "{all:?}");
            }
            // Part B, membership: OPERATIONAL --token loss / join message--> GATHER. The first whose token timer ends sends its join, and that
            // takes the other to GATHER before its own timer ends: one of the two at least loses the token, each at most once.
            assert!((1..=2).contains(&tokens), "the token is lost: {:#?}", story(&r));
            assert!(marks(&r, "node_lost", "", t).is_empty(), "nobody leaves: {:#?}", story(&r));
            assert!(marks(&r, "quorum_lost", "", t).is_empty());
        }
    }
    spread("link down", &down, 990, 2010, 120);
    spread("link up again", &up, 2000, 3010, 150);
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

#[test]
fn cor_18_a_healed_split_becomes_one_ring() {
    for transport in ["", UDPU] {
        let mut healed = Vec::new();
        for seed in 1..=SEEDS {
            let t = 60_000 + phase(seed);
            let faults = vec![at(t, cut(&["n1", "n2"], &["n3", "n4"])), at(t + 20_000, heal())];
            let c = nodes(4, transport);
            let r = c.run(t + 40_000, faults.clone(), seed);
            for n in ["n1", "n2", "n3", "n4"] {
                healed.push(first(&r, "quorum_gained", n, t + 20_000));
                let last = marks(&r, "membership", n, t + 20_000);
                assert!(last.last().unwrap().1.contains("4: n1, n2, n3, n4"), "{last:?}");
            }
            let mut sim = c.sim(t + 40_000, faults, seed);
            sim.run_until(Time::ms(t + 19_000));
            let before = corosync(&sim, "n1").ring().seq.max(corosync(&sim, "n3").ring().seq);
            sim.run_until(Time::ms(t + 39_000));
            let ring = corosync(&sim, "n1").ring();
            assert!(ring.seq > before && ring == corosync(&sim, "n4").ring());
        }
        let first = if transport == UDPU { 0 } else { 2000 };
        assert!(healed.iter().all(|h| *h >= first), "with knet the links come up first: {healed:?}");
    }
}

#[test]
fn cor_19_a_daemon_that_stood_still_comes_back() {
    for (transport, low, high) in [("", 2000, 3100), (UDPU, 0, 1000)] {
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
            let again = marks(&r, "membership", "n1", t + 20_000);
            assert!(again.last().unwrap().1.contains("3: n1, n2, n3"), "{:#?}", story(&r));
            back.push(again.last().unwrap().0);
        }
        assert!(back.iter().all(|b| (low..=high).contains(b)), "{transport} {back:?}");
    }
}

#[test]
fn cor_20_every_second_of_token_costs_more_than_two() {
    let (formed, _) = crashes(&nodes(2, "two_node: true, token: \"10000ms\""), "n2", "n1", 30_000);
    spread("membership", &formed, 20_000, 22_040, 300);
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
