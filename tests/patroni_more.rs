//! The behaviours of Patroni in the race, in its modes, under an operator's hand, and of etcd and Consul under it, each by its number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod patroni_lab;

use firedrill::engine::{Span, Time};
use firedrill::net::Plane;
use firedrill::node::process::{HostId, Signal};
use firedrill::proto::http::Method;
use firedrill::proto::patroni::note::{Lost, Note as Pat};
use firedrill::proto::patroni::rest::{Body, Switchover};
use firedrill::proto::patroni::state::{Role, State};
use firedrill::scenario::types::{Fault, SignedSpan};
use patroni_lab::{Lab, Plan, Store, mean, secs};

fn inside(what: &str, value: f64, low: f64, high: f64) {
    assert!(value >= low && value <= high, "{what}: {value:.3}, expected {low}..{high}");
}
/// A host that lags: it gets no WAL for so long.
fn starve(lab: &mut Lab, a: HostId, hosts: &[HostId], seconds: f64) {
    for h in hosts {
        lab.cut_plane(a, *h, Plane::replication);
    }
    lab.run(seconds);
}

#[test]
fn pat_16_a_byte_too_far_behind_is_too_far() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.own = vec![(3, "tags: (nofailover: true)".to_owned())];
    for seed in 1..=20 {
        for too_far in [false, true] {
            let (mut lab, a) = plan.settled(seed);
            let others = lab.others(a);
            let b = *others.iter().find(|h| lab.name(**h) != "db3").unwrap();
            starve(&mut lab, a, &others, 25.0);
            let t = lab.now();
            lab.power_off(a);
            lab.run(5.0);
            let optime = lab.patroni(b).cluster().expect("a view").status.optime;
            let lag = optime - lab.end(b);
            assert!(lag > 100_000, "{lag}");
            let most = lag - u64::from(too_far);
            lab.patch(b, &format!("{{\"maximum_lag_on_failover\": {most}}}"));
            if too_far {
                lab.run(200.0);
                assert!(lab.elected(t).is_none(), "nobody may, for ever");
                let why = lab.told(t, |_, n| matches!(n, Pat::RaceLost { why: Lost::Lag { .. } }));
                assert!(why.is_some_and(|w| w.1 == b));
            } else {
                lab.run(45.0);
                assert!(lab.elected(t).is_some_and(|e| e.1 == b), "just near enough");
            }
        }
    }
}

#[test]
fn pat_17_who_answers_with_more_wal_wins_who_does_not_answer_may_lose() {
    let plan = Plan::new(Store::EtcdApart);
    let mut behind_won = 0;
    for seed in 1..=40 {
        for apart in [false, true] {
            let (mut lab, a) = plan.settled(seed);
            let (b, c) = (lab.others(a)[0], lab.others(a)[1]);
            starve(&mut lab, a, &[c], 5.0);
            let t = lab.now();
            lab.power_off(a);
            if apart {
                lab.cut_plane(b, c, Plane::rest);
            }
            assert!(lab.end(b) > lab.end(c) + 50_000);
            lab.run(45.0);
            let winner = lab.promoted(t).expect("promoted").1;
            if apart {
                behind_won += usize::from(winner == c);
            } else {
                assert_eq!(winner, b, "seed {seed}: the one with more");
            }
        }
    }
    assert!(behind_won > 5 && behind_won < 35, "{behind_won} of 40");
}

#[test]
fn pat_18_priority_breaks_ties_and_nothing_else() {
    let mut plan = Plan::new(Store::EtcdApart);
    let priority = |n: usize| (n, format!("tags: (failover_priority: {n})"));
    plan.own = vec![priority(1), priority(2), priority(3)];
    plan.postgres = "background_wal_rate: \"0B\"".to_owned();
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        lab.power_off(a);
        lab.run(45.0);
        let winner = lab.promoted(t).expect("promoted").1;
        assert_eq!(Some(&winner), lab.others(a).last(), "the higher priority");
    }
    plan.postgres = Plan::new(Store::EtcdApart).postgres;
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        let (low, high) = (lab.others(a)[0], lab.others(a)[1]);
        starve(&mut lab, a, &[high], 5.0);
        let t = lab.now();
        lab.power_off(a);
        lab.run(45.0);
        assert_eq!(lab.promoted(t).expect("promoted").1, low, "more WAL counts more");
    }
}

#[test]
fn pat_19_a_key_deleted_by_hand_goes_back_to_the_living_primary() {
    for (store, longest) in [(Store::Consul, 10.1), (Store::EtcdApart, 0.1)] {
        let mut alive = 0;
        for seed in 1..=40 {
            let (mut lab, a) = Plan::new(store).settled(seed);
            let t = lab.now();
            lab.delete("leader");
            lab.run(12.0);
            let (owned, who) = lab.elected(t).expect("taken again");
            assert_eq!(who, a);
            // On etcd the deletion wakes the leader too; on Consul its next cycle comes when it comes.
            inside("taken again", secs(owned.since(t)), 0.0, longest);
            assert!(lab.promoted(t).is_none() && lab.writable(a));
            let told = lab.told(t, |_, n| matches!(n, Pat::RaceLost { why: Lost::PrimaryAlive { .. } }));
            alive += usize::from(told.is_some_and(|t| t.1 != a));
        }
        assert!(alive > 10, "{alive} of 40 replicas were told that it is alive");
    }
}

#[test]
fn pat_20_a_hanging_loop_with_a_living_rest_interface_blocks_everybody() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let t = lab.now();
        let until = Span((lab.patroni(a).leader_expiry() - lab.wall(a)) as u64);
        lab.signal(a, Signal::Thread(0, true));
        lab.to(Time((t + until).0 - 200_000_000));
        assert_eq!(lab.rest(a, "/primary"), Some(200));
        lab.to(Time((t + until).0 + 200_000_000));
        assert_eq!(lab.rest(a, "/primary"), Some(503), "the last renewal and ttl");
        let (gone, _) = lab.told(t, |_, n| matches!(n, Pat::KeyGone { .. })).unwrap_or_else(|| {
            lab.run(1.0);
            lab.told(t, |_, n| matches!(n, Pat::KeyGone { .. })).expect("the lease ends")
        });
        inside("the lease ends", secs(gone.since(t)), 20.0, 30.6);
        lab.run(120.0);
        assert!(lab.promoted(t).is_none() && lab.elected(t).is_none(), "a primary answers");
        assert!(lab.writable(a));
        lab.signal(a, Signal::Thread(0, false));
        lab.run(5.0);
        assert!(lab.elected(t).is_some_and(|e| e.1 == a), "it takes it again");
    }
}

#[test]
fn pat_21_a_clean_stop_hands_over_without_loss() {
    for seed in 1..=40 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let t = lab.now();
        lab.signal(a, Signal::Term);
        lab.run(20.0);
        let (promoted, b) = lab.promoted(t).expect("promoted");
        let stopped = lab.mark(t, "stopped", a).expect("stopped");
        inside("after the stop", secs(promoted.since(stopped)), 0.5, 4.0);
        let old = lab.sim.model.world.host(a).files.pg.place();
        assert!(lab.sim.model.world.host(b).files.pg.contains(old), "all its WAL is there");
    }
}

#[test]
fn pat_22_a_switchover_goes_to_the_candidate_and_needs_no_rewind() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "use_pg_rewind: true".to_owned();
    let mut times = Vec::new();
    for seed in 1..=40 {
        let (mut lab, a) = plan.settled(seed);
        let b = lab.others(a)[seed as usize % 2];
        let t = lab.now();
        let wish = Switchover {
            leader: Some(lab.name(a).into()),
            candidate: Some(lab.name(b).into()),
            scheduled_at: None,
        };
        lab.call(a, Method::POST, "/switchover", Some(Body::Switchover(wish)));
        lab.run(30.0);
        let (promoted, who) = lab.promoted(t).expect("promoted");
        assert_eq!(who, b);
        inside("promoted", secs(promoted.since(t)), 1.1, 3.0);
        times.push(secs(promoted.since(t)));
        assert!(lab.told(t, |_, n| matches!(n, Pat::Rewinding { .. })).is_none());
        assert_eq!(lab.streaming(b), 2);
        let ok = lab.told(t, |_, n| matches!(n, Pat::Answered { status: 200, .. }));
        assert!(ok.is_some(), "the API says so");
    }
    inside("mean", mean(&times), 1.4, 2.4);
}

/// Mode on: the synchronous standby and the other one.
fn sync_pair(lab: &Lab, a: HostId) -> (HostId, HostId) {
    let sync = lab.patroni(a).cluster().expect("a view").sync.clone();
    let others = lab.others(a);
    let is = |h: &&HostId| sync.sync_standby.iter().any(|s| **s == *lab.name(**h));
    let b = *others.iter().find(is).expect("a synchronous standby");
    (b, *others.iter().find(|h| **h != b).unwrap())
}

#[test]
fn pat_23_only_a_synchronous_standby_may_follow() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "synchronous_mode: On, use_pg_rewind: true".to_owned();
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        lab.run(15.0);
        let (b, _) = sync_pair(&lab, a);
        let t = lab.now();
        lab.power_off(a);
        lab.run(45.0);
        assert_eq!(lab.promoted(t).expect("promoted").1, b);
    }
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        lab.run(15.0);
        let (b, c) = sync_pair(&lab, a);
        let t = lab.now();
        lab.power_off(b);
        lab.power_off(a);
        lab.run(120.0);
        assert!(lab.promoted(t).is_none(), "C may lack acknowledged commits");
        assert!(lab.told(t, |_, n| matches!(n, Pat::RaceLost { why: Lost::NotSync })).is_some());
        let back = lab.now();
        lab.power_on(a);
        lab.run(90.0);
        assert_eq!(lab.promoted(back).expect("promoted").1, a);
        assert!(lab.writable(a) && !lab.writable(c));
    }
}

#[test]
fn pat_24_a_candidate_needs_enough_votes() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.nodes = 4;
    plan.patroni = "synchronous_mode: Quorum, synchronous_node_count: 2".to_owned();
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        lab.run(25.0);
        let sync = lab.patroni(a).cluster().expect("a view").sync.clone();
        assert_eq!((sync.sync_standby.len(), sync.quorum), (3, 1), "seed {seed}: {sync:?}");
        let others = lab.others(a);
        let t = lab.now();
        lab.power_off(others[1]);
        lab.power_off(others[2]);
        lab.power_off(a);
        lab.run(100.0);
        assert!(lab.promoted(t).is_none(), "one vote is missing");
        let why = lab.told(t, |_, n| matches!(n, Pat::RaceLost { why: Lost::Quorum { .. } }));
        assert!(why.is_some_and(|w| w.1 == others[0]));
        let back = lab.now();
        lab.power_on(others[1]);
        lab.run(90.0);
        assert!(lab.promoted(back).is_some(), "now there are enough");
    }
}

#[test]
fn pat_25_a_nofailover_replica_never_leads() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.nodes = 2;
    plan.own = vec![(2, "tags: (nofailover: true)".to_owned())];
    for seed in 1..=10 {
        let (mut lab, a) = plan.settled(seed);
        assert_eq!(lab.name(a), "db1");
        let t = lab.now();
        lab.power_off(a);
        lab.run(200.0);
        assert!(lab.elected(t).is_none());
        let b = lab.host("db2");
        assert_eq!(lab.rest(b, "/replica"), Some(200), "it goes on being read");
    }
}

#[test]
fn pat_26_nothing_happens_in_a_paused_cluster_before_it_is_resumed() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let b = lab.others(a)[0];
        lab.patch(a, "{\"pause\": true}");
        lab.run(12.0);
        assert!(lab.dbs().iter().all(|h| lab.patroni(*h).paused()));
        let t = lab.now();
        lab.power_off(a);
        lab.run(150.0);
        assert!(lab.elected(t).is_none(), "no promotion");
        let c = lab.now();
        lab.patch(b, "{\"pause\": null}");
        lab.run(20.0);
        let (promoted, _) = lab.promoted(c).expect("promoted");
        inside("after the resume", secs(promoted.since(c)), 0.0, 13.0);
    }
}

#[test]
fn pat_27_times_that_do_not_fit_are_corrected_and_the_run_says_so() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "ttl: \"20s\"".to_owned();
    let (_, warnings) = plan.stack();
    assert!(warnings.iter().any(|w| w.contains("loop_wait 1s, retry_timeout 9s")), "{warnings:?}");
    let (lab, a) = plan.settled(1);
    let timing = lab.told(Time::ZERO, |_, n| {
        matches!(n, Pat::Timing { ttl, loop_wait, retry_timeout }
            if (ttl.0, loop_wait.0, retry_timeout.0) == (20_000_000_000, 1_000_000_000, 9_000_000_000))
    });
    assert!(timing.is_some());
    assert!(lab.writable(a));
    // The loop really runs once a second.
    let (mut lab, a) = plan.settled(2);
    let mut began = Vec::new();
    for _ in 0..100 {
        lab.run(0.1);
        began.push(lab.patroni(a).cycle_began());
    }
    began.dedup();
    assert!((9..=12).contains(&began.len()), "{} cycles in 10 s", began.len());
    plan.patroni = String::new();
    assert!(plan.stack().1.is_empty(), "{:?}", plan.stack().1);
}

#[test]
fn pat_28_an_old_primary_with_wal_that_nobody_has_must_be_rewound() {
    for rewind in [false, true] {
        let mut plan = Plan::new(Store::EtcdApart);
        plan.patroni = format!("use_pg_rewind: {rewind}");
        for seed in 1..=20 {
            let (mut lab, a) = plan.settled(seed);
            let others = lab.others(a);
            starve(&mut lab, a, &others, 1.0);
            lab.power_off(a);
            let t = lab.now();
            lab.run(60.0);
            let b = lab.promoted(t).expect("promoted").1;
            lab.heal();
            lab.power_on(a);
            lab.run(90.0);
            assert_eq!(lab.patroni(a).state(), State::Running, "it runs");
            assert_eq!(lab.patroni(a).role(), Role::Replica);
            let rewound = lab.told(t, |_, n| matches!(n, Pat::Rewound { ok: true, .. }));
            assert_eq!(rewound.is_some(), rewind);
            assert_eq!(lab.streaming(b), if rewind { 2 } else { 1 }, "seed {seed}, rewind {rewind}");
        }
    }
}

#[test]
fn pat_29_a_replica_without_the_store_goes_on_replicating() {
    for store in [Store::EtcdApart, Store::Consul] {
        for seed in 1..=10 {
            let (mut lab, a) = Plan::new(store).settled(seed);
            let b = lab.others(a)[0];
            let t = lab.now();
            for s in lab.stores() {
                lab.cut_plane(b, s, Plane::dcs);
            }
            lab.run(60.0);
            let before = lab.end(b);
            assert_eq!(lab.rest(b, "/replica"), Some(200));
            lab.run(10.0);
            assert!(lab.end(b) > before, "it still gets WAL");
            assert!(lab.elected(t).is_none() && lab.promoted(t).is_none());
        }
    }
}

#[test]
fn pat_30_the_lock_comes_before_the_promotion() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "pre_promote: (run_time: \"3s\")".to_owned();
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        lab.power_off(a);
        lab.until(t + Span::secs(60), |l| l.elected(t).is_some());
        let (owned, b) = lab.elected(t).expect("owned");
        lab.run(1.0);
        assert_eq!(lab.rest(b, "/primary"), Some(200), "the proxy sends writers already");
        assert!(!lab.writable(b), "and they are refused");
        lab.run(8.0);
        let (promoted, _) = lab.promoted(t).expect("promoted");
        inside("the script and the promotion", secs(promoted.since(owned)), 3.05, 3.6);
    }
    // The script fails: the lock is given back, and the node stays away for a ttl.
    plan.patroni = "pre_promote: (run_time: \"1s\", ok: false)".to_owned();
    let mut lab = plan.lab(1);
    lab.run(100.0);
    assert!(lab.writables().is_empty());
    assert!(lab.told(Time::ZERO, |_, n| matches!(n, Pat::PrePromoteFailed)).is_some());
    assert!(lab.told(Time::ZERO, |_, n| matches!(n, Pat::RaceLost { why: Lost::BackOff })).is_some());
}

// ---- etcd and Consul under Patroni ---------------------------------------------------------------------------------------

#[test]
fn etc_09_a_cut_off_primary_reads_its_cache_and_fails_at_the_renewal() {
    for seed in 1..=60 {
        let (mut lab, a) = Plan::new(Store::Etcd).settled(seed);
        let t = lab.now();
        lab.cut(a);
        lab.run(25.0);
        let (demoting, _) = lab.demoting(t, a).expect("it gives up");
        inside("decision", secs(demoting.since(t)), 8.2, 21.7);
        // It never saw anybody else's key, nor none.
        let lost =
            lab.told(t, |n, p| n == lab.name(a) && matches!(p, Pat::LeaderLost { why: "pat-lost-view" }));
        assert!(lost.is_none());
    }
}

#[test]
fn etc_10_a_cut_off_replica_believes_its_cache_and_does_not_race() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let b = lab.others(a)[0];
        let t = lab.now();
        for s in lab.stores() {
            lab.cut_plane(b, s, Plane::dcs);
        }
        lab.run(2.0);
        lab.power_off(a);
        lab.run(27.0);
        let mine = |n: &Pat| matches!(n, Pat::KeyGone { .. } | Pat::RaceLost { .. } | Pat::Elected { .. });
        let saw = lab.told(t, |n, p| n == lab.name(b) && mine(p));
        assert!(saw.is_none(), "seed {seed}: {saw:?}");
        let seen = lab.patroni(b).cluster().expect("a view").leader_name().map(str::to_owned);
        assert_eq!(seen.as_deref(), Some(lab.name(a)), "it believes in the dead one");
    }
}

#[test]
fn etc_11_the_loops_of_replicas_follow_that_of_the_leader() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        for _ in 0..40 {
            // The leader publishes a new position in each of its cycles.
            lab.run(1.0);
            let leader = lab.patroni(a).cycle_began();
            for b in lab.others(a) {
                let replica = lab.patroni(b).cycle_began();
                if lab.now().since(leader) > Span::ms(200) {
                    assert!(replica >= leader, "{replica} {leader}");
                    inside("behind the leader", secs(replica.since(leader)), 0.0, 0.1);
                }
            }
        }
    }
    // Consul's replicas have phases of their own.
    let mut apart = 0;
    for seed in 1..=10 {
        let (mut lab, a) = Plan::new(Store::Consul).settled(seed);
        lab.run(30.0);
        let b = lab.others(a)[0];
        let (x, y) = (lab.patroni(a).cycle_began(), lab.patroni(b).cycle_began());
        apart += usize::from(x.since(y).max(y.since(x)) > Span::ms(500));
    }
    assert!(apart >= 3, "{apart} of 10");
}

#[test]
fn etc_12_who_releases_a_lock_that_is_no_longer_his_deletes_nothing() {
    for seed in 1..=10 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let t = lab.now();
        lab.pause(a, "patroni");
        lab.run(50.0);
        let b = lab.promoted(t).expect("promoted").1;
        // Its clock is set back: it still believes to hold the lock, and stops.
        let by = SignedSpan { negative: true, by: Span::secs(100) };
        lab.fault(Fault::ClockStep { target: lab.target(a), by });
        lab.signal(a, Signal::Term);
        lab.resume(a, "patroni");
        let c = lab.now();
        lab.run(15.0);
        assert!(lab.told(c, |n, p| n == lab.name(a) && matches!(p, Pat::KeyReleased)).is_none());
        assert_eq!(lab.key().as_deref(), Some(lab.name(b)), "the successor's key is still there");
        assert!(lab.writable(b) && !lab.writable(a));
    }
}

#[test]
fn etc_13_a_member_that_lags_is_not_believed() {
    // A member is cut off from the others, which then elect a leader of a higher term. Patronis that have talked to both never go back
    // to what the lagging one says.
    let mut plan = Plan::new(Store::EtcdApart);
    plan.dcs = "pre_vote: true".to_owned();
    for seed in 1..=10 {
        let (mut lab, a) = plan.settled(seed);
        let stores = lab.stores();
        let leader = lab.dcs_leader().expect("a leader");
        let lagging = *stores.iter().find(|s| **s != leader).unwrap();
        for s in stores.iter().filter(|s| **s != lagging) {
            lab.cut_plane(lagging, *s, Plane::dcs);
        }
        let next = stores.iter().position(|s| *s != leader && *s != lagging).unwrap();
        lab.move_leader(next as u8);
        lab.run(20.0);
        // A switchover that the lagging member does not hear of.
        let b = lab.others(a)[0];
        let wish = Switchover {
            leader: Some(lab.name(a).into()),
            candidate: Some(lab.name(b).into()),
            scheduled_at: None,
        };
        let t = lab.now();
        lab.call(b, Method::POST, "/switchover", Some(Body::Switchover(wish)));
        lab.run(40.0);
        assert_eq!(lab.promoted(t).map(|p| p.1), Some(b), "seed {seed}");
        for _ in 0..60 {
            lab.run(1.0);
            assert_eq!(lab.writables(), [b], "nobody follows the old view");
        }
    }
}

#[test]
fn csl_13_a_dead_agent_does_not_end_the_session_by_gossip() {
    for seed in 1..=40 {
        let (mut lab, a) = Plan::new(Store::Consul).settled(seed);
        let t = lab.now();
        lab.kill(a, "consul");
        lab.run(60.0);
        let (demoting, _) = lab.demoting(t, a).expect("its own requests fail");
        inside("demoted", secs(demoting.since(t)), 8.2, 20.3);
        let (gone, _) = lab.told(t, |_, n| matches!(n, Pat::KeyGone { .. })).expect("the key goes");
        inside("gone", secs(gone.since(t)), 20.0, 30.1);
        assert!(lab.promoted(t).is_some_and(|p| p.1 != a));
    }
}
