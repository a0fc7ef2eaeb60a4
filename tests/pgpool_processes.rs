//! Every kind of process of a pgpool, killed, frozen and hung: who comes back and when, and what clients and peers see. The table is that of
//! the module `proto::pgpool` (specification, section 1; what the sources say of the watchdog's and the lifecheck's own children).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod pgpool_client;
mod pgpool_lab;

use firedrill::engine::Time;
use firedrill::net::Plane;
use firedrill::node::world::Life;
use firedrill::proto::client::process::Outcome;
use firedrill::proto::pgpool::note::Note as Pool;
use firedrill::scenario::types::{Fault, Target};
use pgpool_client::{Lab, Plan, secs};
use pgpool_lab::{drill, in_range, play, seen};

fn at(host: &str) -> Target {
    Target::Host(host.to_owned())
}
fn kill(host: &str, process: &str) -> Fault {
    Fault::Kill { target: at(host), process: process.to_owned(), all: false }
}
fn stop(hangs: bool, process: &str) -> Fault {
    let (target, process) = (at("pool"), process.to_owned());
    if hangs { Fault::Hang { target, process } } else { Fault::Pause { target, process } }
}
fn resume(process: &str) -> Fault {
    Fault::Resume { target: at("pool"), process: process.to_owned() }
}
fn life(lab: &Lab, process: &str) -> Life {
    lab.sim.model.world.proc(lab.pid("pool", process)).life
}
/// Failed operations since a time, and answered ones.
fn outcomes(lab: &Lab, since: f64) -> (Vec<Outcome>, usize) {
    let all: Vec<Outcome> = lab
        .ended()
        .iter()
        .filter(|(at, _)| secs(at.since(Time::ZERO)) >= since)
        .map(|(_, e)| e.outcome)
        .collect();
    let good = all.iter().filter(|o| matches!(o, Outcome::Ok(_))).count();
    (all.into_iter().filter(|o| !matches!(o, Outcome::Ok(_))).collect(), good)
}
/// When pgpool asked for a degeneration, after a time.
fn detected(lab: &Lab, since: f64) -> Option<f64> {
    let at = lab.pool().filter(|(_, n)| matches!(n, Pool::Degenerate { .. })).map(|(at, _)| at);
    at.map(|t| secs(t.since(Time::ZERO))).find(|t| *t >= since)
}
/// Three servers, a writer and a reader with a session each, only the health check looks for lost servers.
fn plan(pgpool: &str) -> Plan {
    let quiet = "failover_on_backend_error: false, failover_on_backend_shutdown: false";
    let app = |what: &str| format!("{what}: Pause(\"20ms\"), statement_timeout: \"2s\", start_after: \"3s\"");
    Plan::new(3, &format!("num_init_children: 4, {quiet}, {pgpool}")).app(&app("writes")).app(&app("reads"))
}
/// The children that have a session, by number.
fn serving(lab: &Lab) -> Vec<usize> {
    let c = &lab.shared().children;
    (0..c.len()).filter(|i| c[*i].session.is_some()).collect()
}

#[test]
fn a_killed_child_is_forked_again_and_costs_its_own_client_a_session() {
    for seed in 1..=10 {
        let mut lab = plan("").lab(seed);
        lab.to(6.0);
        let busy = serving(&lab);
        assert_eq!(busy.len(), 2);
        // An idle one first: nobody sees it.
        let idle = (0..4).find(|n| !busy.contains(n)).unwrap();
        lab.fault(kill("pool", &format!("pgpool/child-{idle}")));
        assert_eq!(life(&lab, &format!("pgpool/child-{idle}")), Life::Dead);
        lab.to(6.005);
        assert_eq!(life(&lab, &format!("pgpool/child-{idle}")), Life::Running, "forked within 2 ms");
        lab.to(7.0);
        assert!(outcomes(&lab, 6.0).0.is_empty());
        // One that serves: its client loses the session, at its next word at the latest, and finds another child.
        lab.fault(kill("pool", &format!("pgpool/child-{}", busy[0])));
        lab.to(7.005);
        assert_eq!(life(&lab, &format!("pgpool/child-{}", busy[0])), Life::Running);
        lab.to(7.2);
        assert_eq!(serving(&lab).len(), 2, "both have a session again");
        lab.to(8.0);
        let (bad, good) = outcomes(&lab, 7.0);
        assert_eq!(bad.len(), 1, "the other client sees nothing: {bad:?}");
        assert!(matches!(bad[0], Outcome::Reset | Outcome::Closed), "{bad:?}");
        assert!(good > 60, "{good}");
        assert_eq!(lab.shared().connected, 2);
        assert!(detected(&lab, 0.0).is_none(), "no server is blamed");
    }
}

#[test]
fn a_child_that_stands_still_keeps_its_client_waiting_and_takes_no_other() {
    for hangs in [false, true] {
        let mut lab = plan("").lab(2);
        lab.to(6.0);
        let child = format!("pgpool/child-{}", serving(&lab)[0]);
        lab.fault(stop(hangs, &child));
        lab.to(9.0);
        let (bad, _) = outcomes(&lab, 6.0);
        assert_eq!(bad, [Outcome::Timeout], "the statement timeout of 2 s ends the wait");
        if hangs {
            // Not even SIGKILL reaches it before the hang is over.
            lab.fault(kill("pool", &child));
            lab.to(9.5);
            assert_eq!(life(&lab, &child), Life::Hung);
            assert_eq!(lab.shared().children.iter().filter(|c| c.alive).count(), 4);
            lab.fault(resume(&child));
            assert_eq!(life(&lab, &child), Life::Dead);
            lab.to(9.505);
            assert_eq!(life(&lab, &child), Life::Running, "then it is forked again");
        } else {
            assert_eq!(life(&lab, &child), Life::Stopped);
            lab.fault(resume(&child));
        }
        lab.to(11.0);
        assert!(outcomes(&lab, 9.0).0.is_empty());
        assert_eq!(
            (serving(&lab).len(), lab.shared().connected),
            (2, 2),
            "it has noticed that its client is gone"
        );
    }
}

#[test]
fn while_all_children_stand_still_clients_queue_and_nobody_is_refused() {
    let app = "writes: Pause(\"20ms\"), statement_timeout: \"60s\", connect_timeout: \"60s\", sessions: 3, connections: PerOperation, start_after: \"3s\"";
    let mut lab = Plan::new(1, "num_init_children: 2").app(app).lab(1);
    lab.to(6.0);
    for n in 0..2 {
        lab.fault(stop(false, &format!("pgpool/child-{n}")));
    }
    lab.to(16.0);
    let before = outcomes(&lab, 6.1);
    assert_eq!((before.0.len(), before.1), (0, 0), "neither answers nor errors");
    for n in 0..2 {
        lab.fault(resume(&format!("pgpool/child-{n}")));
    }
    lab.to(18.0);
    let (bad, good) = outcomes(&lab, 16.0);
    assert!(bad.is_empty() && good > 50, "{bad:?} {good}");
    assert!(lab.full.is_empty(), "no SYN was dropped");
}

#[test]
fn pcp_worker_and_health_checks_come_back_and_begin_at_once() {
    for seed in 1..=5 {
        let mut lab = plan("health_check_period: \"10s\"").lab(seed);
        lab.to(8.0);
        let names = ["pcp", "worker", "health_check-0", "health_check-1", "health_check-2"];
        for (i, name) in names.iter().enumerate() {
            let name = format!("pgpool/{name}");
            lab.fault(kill("pool", &name));
            assert_eq!(life(&lab, &name), Life::Dead);
            lab.to(8.0 + 0.1 * i as f64 + 0.005);
            assert_eq!(life(&lab, &name), Life::Running, "{name}");
            lab.to(8.0 + 0.1 * (i + 1) as f64);
        }
        lab.to(30.0);
        assert!(outcomes(&lab, 8.0).0.is_empty(), "no client sees any of it");
        assert!(detected(&lab, 0.0).is_none());
    }
}

#[test]
fn a_health_check_that_is_killed_begins_its_tries_anew() {
    for seed in 1..=10 {
        let play = |when: Option<f64>| {
            let mut lab = plan("health_check_period: \"10s\", health_check_max_retries: 3").lab(seed);
            lab.to(20.0);
            lab.fault(kill("n1", "postgres"));
            if let Some(t) = when {
                lab.to(t);
                lab.fault(kill("pool", "pgpool/health_check-0"));
            }
            lab.to(50.0);
            detected(&lab, 20.0).expect("it is noticed")
        };
        let alone = play(None);
        in_range(alone - 20.0, 3.0, 13.1, "p + n x r");
        // A second and a half before its end it has failed twice. The new one needs 3 x 1 s from its fork.
        let killed = alone - 1.5;
        in_range(play(Some(killed)) - killed, 3.0, 3.02, "a full set of tries after the fork");
    }
}

#[test]
fn a_health_check_that_stands_still_notices_nothing_until_it_goes_on() {
    for hangs in [false, true] {
        for seed in 1..=5 {
            let mut lab = plan("health_check_period: \"5s\"").lab(seed);
            lab.to(20.0);
            lab.fault(stop(hangs, "pgpool/health_check-0"));
            lab.fault(kill("n1", "postgres"));
            lab.to(80.0);
            assert_eq!(detected(&lab, 20.0), None, "the others look at their own nodes");
            lab.fault(resume("pgpool/health_check-0"));
            lab.to(90.0);
            in_range(detected(&lab, 80.0).expect("noticed") - 80.0, 0.0, 0.1, "its timer was overdue");
        }
    }
}

#[test]
fn what_the_worker_knows_is_as_old_as_the_worker_is_idle() {
    // n2 gets all reads and stops receiving at 20.3 s; n1 writes 3 MB every second.
    let base = |seed: u64| {
        let pgpool = "backends: [(host: \"n1\", weight: 0), (host: \"n2\")], delay_threshold: \"1MB\"";
        let mut lab = Plan::new(2, pgpool)
            .app("reads: Pause(\"20ms\"), start_after: \"5s\"")
            .app("scripts: Every(\"1s\"), script: [\"INSERT INTO t VALUES (1)\"], wal_per_write: 3000000, start_after: \"5s\"")
            .lab(seed);
        lab.to(20.3);
        lab.fault(Fault::Cut { target: at("n2"), from: at("n1"), plane: Some(Plane::replication) });
        lab
    };
    let left = |lab: &Lab, since: f64| {
        let away = |r: &&(Time, std::sync::Arc<str>, Option<u8>, _)| {
            r.1.starts_with("SELECT") && r.2 == Some(0) && secs(r.0.since(Time::ZERO)) >= since
        };
        lab.routed().iter().find(away).map(|r| secs(r.0.since(Time::ZERO)))
    };
    for seed in 1..=5 {
        let mut lab = base(seed);
        lab.fault(stop(false, "pgpool/worker"));
        lab.to(60.0);
        assert_eq!(left(&lab, 20.3), None, "late reads for as long as nobody looks");
        lab.fault(resume("pgpool/worker"));
        lab.to(61.0);
        in_range(left(&lab, 60.0).expect("left") - 60.0, 0.0, 0.1, "the next look");
        // A worker that is forked again looks at once, not at the end of the ten seconds.
        let mut lab = base(seed);
        lab.to(22.5);
        if left(&lab, 20.3).is_none() {
            lab.fault(kill("pool", "pgpool/worker"));
            lab.to(23.0);
            in_range(left(&lab, 22.5).expect("left") - 22.5, 0.0, 0.1, "after the fork");
        }
    }
}

#[test]
fn pcp_commands_wait_for_a_pcp_that_stands_still_and_die_with_one_that_is_killed() {
    let detach = |graceful| Fault::PcpDetachNode { target: at("pool"), node: 2, graceful };
    for hangs in [false, true] {
        let mut lab = plan("").lab(1);
        lab.to(6.0);
        lab.fault(stop(hangs, "pgpool/pcp"));
        lab.fault(detach(false));
        lab.to(20.0);
        assert!(lab.shared().valid(2), "the command waits");
        lab.fault(resume("pgpool/pcp"));
        lab.to(20.2);
        assert!(!lab.shared().valid(2), "and is carried out then");
    }
    // `-g` waits for the clients; the wait ends with the process.
    let mut lab = plan("").lab(1);
    lab.to(6.0);
    lab.fault(detach(true));
    lab.to(10.0);
    lab.fault(kill("pool", "pgpool/pcp"));
    lab.to(11.0);
    lab.fault(Fault::Kill { target: at("app"), process: "application".into(), all: true });
    lab.to(20.0);
    assert!(lab.shared().valid(2), "nobody remembers the command");
}

#[test]
fn with_the_parent_everything_is_gone() {
    for seed in 1..=10 {
        let mut lab = plan("").lab(seed);
        lab.to(6.0);
        lab.fault(kill("pool", "pgpool"));
        lab.to(6.2);
        for n in ["", "/child-0", "/child-1", "/child-2", "/child-3", "/pcp", "/worker", "/health_check-0"] {
            assert_eq!(life(&lab, &format!("pgpool{n}")), Life::Dead, "pgpool{n}");
        }
        let (first, _) = outcomes(&lab, 6.0);
        assert!(first.len() >= 2, "both sessions are cut: {first:?}");
        lab.to(8.0);
        let (bad, good) = outcomes(&lab, 6.2);
        assert_eq!(good, 0);
        assert!(bad.iter().all(|o| matches!(o, Outcome::Reset)), "the port is closed: {bad:?}");
        assert!(lab.shared().parent.is_none());
        lab.fault(Fault::Start { target: at("pool"), process: "pgpool".into() });
        lab.to(8.2);
        assert!(lab.shared().parent.is_some());
        lab.to(10.0);
        assert!(outcomes(&lab, 8.2).1 > 50, "and it can be started again");
    }
}

#[test]
fn a_pgpool_that_stands_still_accepts_and_does_not_answer() {
    for hangs in [false, true] {
        let mut lab = plan("").lab(3);
        lab.to(6.0);
        lab.fault(stop(hangs, "pgpool"));
        lab.to(16.0);
        let (bad, good) = outcomes(&lab, 6.05);
        assert_eq!(good, 0);
        assert!(!bad.is_empty() && bad.iter().all(|o| *o == Outcome::Timeout), "nobody is refused: {bad:?}");
        lab.fault(resume("pgpool"));
        lab.to(18.0);
        assert!(outcomes(&lab, 16.5).1 > 50, "it goes on where it stood");
        assert!(outcomes(&lab, 17.0).0.is_empty());
    }
}

// ---- the watchdog's processes -----------------------------------------------------------------------------------------

/// No health checks, no clients: nobody but the watchdog notices anything. wd_interval 1 s, keepalive 1 s, deadtime 3 s.
const QUIET: &str = r#""pgpool.health_check_period": "0s", "application.autostart": "false","#;

#[test]
fn a_killed_watchdog_is_forked_again_gives_the_address_up_and_joins() {
    let l = drill(QUIET, "120s", r#"At("45s..55s", Kill("n1", "pgpool/watchdog"))"#);
    let t = seen(&l, 60, |r| {
        assert_eq!(r.count("failed", ""), 0, "death by a signal is no reason to end the pgpool");
        in_range(r.after("leader_lost", "n2")?, 0.0, 0.2, "its sockets were reset");
        in_range(r.after("vip_down", "n1")?, 0.0, 0.05, "its successor begins with the de-escalation");
        assert!(!r.broken("DualVipAnywhere"));
        let joined = r.after("joined", "n1").or_else(|| r.after("leader_elected", "n1"));
        assert!(joined.is_some(), "it is a member again");
        r.after("vip_up", "")
    });
    assert!(t.min() >= 1.9 && t.max() <= 20.0, "{t}");
    // A standby's: the leader loses it for as long as it takes to join again, and keeps quorum and address.
    let l = drill(QUIET, "120s", r#"At("45s..55s", Kill("n3", "pgpool/watchdog"))"#);
    let t = seen(&l, 40, |r| {
        assert_eq!(r.count("vip_down", "") + r.count("quorum_lost", "") + r.count("leader_elected", ""), 0);
        // Forked again before the leader has seen both sockets closed, it is taken for the one that it follows, and has to stand first.
        assert!(r.after("node_lost", "n1").is_none_or(|t| t <= 0.2));
        r.after("joined", "n3")
    });
    assert!(t.max() <= 12.0, "{t}");
}

#[test]
fn a_leader_whose_watchdog_stands_still_is_lost_by_its_beacons_only() {
    for fault in ["Pause", "Hang"] {
        let faults = format!(
            r#"At("45s..55s", {fault}("n1", "pgpool/watchdog")), At("110s", Resume("n1", "pgpool/watchdog"))"#
        );
        let l = drill(QUIET, "150s", &faults);
        let t = seen(&l, 60, |r| {
            assert_eq!(r.count("detected", ""), 0, "its heartbeats go on");
            assert!(r.from("vip_down", "n1", 0.0).is_none_or(|t| t >= r.fault(2)), "it holds the address");
            assert!(r.broken("DualVipAnywhere"), "and so does the new leader");
            // Two leaders meet: one address is left.
            let down = r.from("vip_down", "", r.fault(2)).expect("one gives it up");
            in_range(down - r.fault(2), 0.0, 12.2, "within a beacon");
            r.after("leader_lost", "")
        });
        // 30 s without a packet, looked at every 10 s; the last one may be 10 s old.
        assert!(t.min() >= 19.9 && t.max() <= 40.2 && t.max() - t.min() > 5.0, "{t}");
    }
}

#[test]
fn a_standby_whose_watchdog_stands_still_misses_four_beacons() {
    let l = drill(QUIET, "150s", r#"At("45s..55s", Pause("n3", "pgpool/watchdog"))"#);
    let t = seen(&l, 60, |r| {
        assert_eq!(r.count("quorum_lost", "") + r.count("vip_down", ""), 0, "two of three are left");
        r.after("node_lost", "n1")
    });
    // The first unanswered beacon comes within 10 s, the fourth 30 s later, its patience is 5 s.
    t.fill(34.9, 46.2, 2.0);
}

#[test]
fn a_lifecheck_that_is_killed_is_blind_for_ten_intervals() {
    let faults =
        r#"At("45s..55s", Kill("n2", "pgpool/lifecheck")), After("3s", Mark("fault", ""), PowerOff("n3"))"#;
    let l = drill(QUIET, "120s", faults);
    let t = seen(&l, 40, |r| {
        // n1's lifecheck sees the silence in [3, 5]; n2's not before it has begun again.
        in_range(r.from("detected", "n1", 3.0)? - 3.0, 2.9, 5.1, "the other one");
        let started = r.after("lifecheck_started", "n2")?;
        assert!(r.after("detected", "n2").is_none_or(|t| t >= started));
        Some(started)
    });
    // The first test after its fork comes before any heartbeat and fails; n3 is never heard again, so that a third of the seeds waits on.
    assert!(t.min() >= 10.0, "{t}");
    // With all alive it works again after exactly ten intervals, and nobody is lost.
    let l = drill(QUIET, "120s", r#"At("45s..55s", Kill("n2", "pgpool/lifecheck"))"#);
    let t = seen(&l, 40, |r| {
        assert_eq!(r.count("node_lost", "") + r.count("leader_lost", ""), 0);
        r.after("lifecheck_started", "n2")
    });
    assert!(t.min() >= 10.0 && t.max() <= 10.05, "{t}");
}

#[test]
fn a_lifecheck_that_stands_still_notices_nobody() {
    for fault in ["Pause", "Hang"] {
        let faults = format!(
            r#"At("45s..55s", {fault}("n2", "pgpool/lifecheck")), After("3s", Mark("fault", ""), PowerOff("n3")),
               After("30s", Mark("fault", ""), Resume("n2", "pgpool/lifecheck"))"#
        );
        let l = drill(QUIET, "120s", &faults);
        let t = seen(&l, 20, |r| {
            in_range(r.from("detected", "n1", 3.0)? - 3.0, 2.9, 5.1, "the other one");
            r.after("detected", "n2")
        });
        assert!(t.min() >= 33.0 && t.max() <= 33.2, "its next look is overdue: {t}");
    }
}

#[test]
fn heartbeats_that_miss_a_beat_lose_nobody_and_a_sender_that_stands_still_loses_its_node_for_one_peer() {
    // Forked again, it sleeps a second: with a keepalive of 1 s the gap is below the deadtime of 3 s.
    for process in
        ["heartbeat_sender-0", "heartbeat_sender-1", "heartbeat_receiver-0", "heartbeat_receiver-1"]
    {
        let l = drill(QUIET, "100s", &format!(r#"At("45s..55s", Kill("n1", "pgpool/{process}"))"#));
        for seed in 1..=10 {
            let r = play(&l, seed);
            assert_eq!(r.count("node_lost", "") + r.count("leader_lost", ""), 0, "{process}, seed {seed}");
        }
    }
    // The sender for n2 on n1: n2 hears nothing of its leader, everybody else hears all.
    for fault in ["Pause", "Hang"] {
        let faults = format!(
            r#"At("45s..55s", {fault}("n1", "pgpool/heartbeat_sender-0")), At("90s", Resume("n1", "pgpool/heartbeat_sender-0"))"#
        );
        let l = drill(QUIET, "140s", &faults);
        let t = seen(&l, 40, |r| {
            assert_eq!(r.count("detected", "n1") + r.count("detected", "n3"), 0);
            assert_eq!(
                r.count("vip_down", "n1") + r.count("vip_up", "n2"),
                0,
                "the leader keeps the address"
            );
            assert!(r.from("joined", "n2", r.fault(2)).is_some(), "heard again, it joins again");
            r.after("leader_lost", "n2")
        });
        t.fill(3.0, 5.05, 0.6);
    }
}

#[test]
fn a_node_whose_receivers_stand_still_believes_itself_alone() {
    let faults = r#"At("45s..55s", Pause("n2", "pgpool/heartbeat_receiver-0")), After("0s", Mark("fault", ""), Pause("n2", "pgpool/heartbeat_receiver-1"))"#;
    let l = drill(QUIET, "100s", faults);
    let t = seen(&l, 40, |r| {
        assert_eq!(r.count("vip_down", "n1") + r.count("vip_up", "n2"), 0, "alone it has no quorum");
        assert_eq!(r.count("detected", "n1") + r.count("detected", "n3"), 0);
        r.after("leader_lost", "n2")
    });
    t.fill(3.0, 5.05, 0.7);
}

#[test]
fn a_pgpool_that_stands_still_as_a_whole_is_lost_by_its_heartbeats_and_keeps_its_address() {
    for fault in ["Pause", "Hang"] {
        let l = drill(QUIET, "100s", &format!(r#"At("45s..55s", {fault}("n1", "pgpool"))"#));
        let t = seen(&l, 40, |r| {
            assert_eq!(r.count("vip_down", "n1"), 0);
            assert!(r.broken("DualVipAnywhere"));
            r.after("leader_lost", "")
        });
        t.fill(3.0, 5.05, 0.6);
    }
    // Killed alone, the parent takes its watchdog with it: the peers are told.
    let l = drill(QUIET, "100s", r#"At("45s..55s", Kill("n1", "pgpool"))"#);
    let t = seen(&l, 40, |r| {
        in_range(r.after("leader_lost", "n2")?, 0.0, 2.0, "noticed");
        r.after("vip_up", "")
    });
    assert!(t.min() >= 1.9 && t.max() <= 9.6, "{t}");
}

#[test]
fn a_health_check_gives_a_watchdog_that_stands_still_eight_seconds() {
    // n3 alone does not reach n2's server: a try costs 3 s, a cycle is 5 + 3 + 1 + 3 s after the answer to the last request.
    let next = |more: &str| {
        let faults = format!(
            r#"At("45s", Pause("n3", "pgpool/watchdog")), At("46s..56s", Cut("n2", from: "n3", plane: client)){more}"#
        );
        let l = drill(r#""application.autostart": "false","#, "100s", &faults);
        seen(&l, 20, |r| {
            let first = r.from("detected", "n3", r.fault(2))?;
            Some(r.from("detected", "n3", first + 0.1)? - first)
        })
    };
    let t = next("");
    assert!(t.min() >= 19.9 && t.max() <= 20.2, "its patience of 8 s and a cycle: {t}");
    // One that is killed answers nobody either, but its sockets are closed: at once.
    let t = next(r#", After("1s", Mark("detected", "n3"), Kill("n3", "pgpool/watchdog"))"#);
    assert!(t.min() >= 12.9 && t.max() <= 13.2, "a second, and a cycle: {t}");
}
