//! What else Patroni does: the REST interface, callbacks, an operator's commands, freezes, clocks, slots, new members.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod patroni_lab;

use firedrill::engine::{Span, Time};
use firedrill::net::Plane;
use firedrill::node::process::HostId;
use firedrill::node::process::Signal;
use firedrill::proto::http::Method;
use firedrill::proto::patroni::Kind;
use firedrill::proto::patroni::note::Note as Pat;
use firedrill::proto::patroni::rest::{Body, Reinitialize, Restart, Switchover};
use firedrill::proto::patroni::state::State;
use firedrill::scenario::types::{Fault, FreezeClock, FreezeMode, SignedSpan};
use patroni_lab::{Lab, Plan, Store, phase, secs};

fn inside(what: &str, value: f64, low: f64, high: f64) {
    assert!(value >= low && value <= high, "{what}: {value:.3}, expected {low}..{high}");
}
fn wish(lab: &Lab, leader: Option<HostId>, candidate: Option<HostId>) -> Switchover {
    let name = |h: HostId| lab.name(h).into();
    Switchover { leader: leader.map(name), candidate: candidate.map(name), scheduled_at: None }
}

#[test]
fn health_checks_answer_as_the_table_says() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.nodes = 4;
    plan.own = vec![(4, "tags: (noloadbalance: true, nofailover: true)".to_owned())];
    let (mut lab, a) = plan.settled(3);
    let b = lab.others(a)[0];
    let d = lab.host("db4");
    let cases: [(&str, [u16; 3]); 16] = [
        ("/", [200, 503, 503]),
        ("/primary", [200, 503, 503]),
        ("/read-write", [200, 503, 503]),
        ("/leader", [200, 503, 503]),
        ("/standby-leader", [503, 503, 503]),
        ("/replica", [503, 200, 503]),
        ("/replica?lag=1MB", [503, 200, 503]),
        ("/replica?tag_nofailover=true", [503, 503, 503]),
        ("/read-only", [200, 200, 503]),
        ("/health", [200, 200, 200]),
        ("/liveness", [200, 200, 200]),
        ("/readiness", [200, 200, 200]),
        ("/patroni", [200, 200, 200]),
        ("/sync", [503, 503, 503]),
        ("/async", [503, 200, 503]),
        ("/no-such-thing", [503, 503, 503]),
    ];
    for (path, expected) in cases {
        let got = [a, b, d].map(|h| lab.rest(h, path).unwrap_or(0));
        assert_eq!(got, expected, "{path}");
    }
    // A replica that lags more than it may is no longer read. The leader publishes its position once a cycle.
    lab.cut_plane(a, b, Plane::replication);
    lab.run(25.0);
    assert_eq!(lab.rest(b, "/replica?lag=100kB"), Some(503));
    assert_eq!(lab.rest(b, "/replica?lag=10MB"), Some(200));
    assert_eq!(lab.rest(b, "/replica"), Some(200));
    // Synchronous mode.
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "synchronous_mode: On".to_owned();
    let (mut lab, a) = plan.settled(5);
    lab.run(20.0);
    let others = lab.others(a);
    let got: Vec<_> = ["/sync", "/async", "/read-only-sync"]
        .map(|p| others.iter().filter(|h| lab.rest(**h, p) == Some(200)).count())
        .into_iter()
        .collect();
    assert_eq!(got, [1, 1, 1]);
    assert_eq!(lab.rest(a, "/read-only-sync"), Some(200));
}

#[test]
fn a_virtual_address_moves_with_the_role_and_is_announced() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "callbacks: (vip: \"10.0.0.100/24\")".to_owned();
    let has = |lab: &Lab, h: HostId| {
        lab.sim.model.world.host(h).addresses.iter().any(|(_, a)| a.ip.to_string() == "10.0.0.100")
    };
    for seed in 1..=20 {
        let (mut lab, a) = plan.settled(seed);
        assert!(has(&lab, a));
        assert_eq!(lab.dbs().iter().filter(|h| has(&lab, **h)).count(), 1);
        let b = lab.others(a)[0];
        let t = lab.now();
        let w = wish(&lab, Some(a), Some(b));
        lab.call(a, Method::POST, "/switchover", Some(Body::Switchover(w)));
        lab.run(20.0);
        assert!(has(&lab, b) && !has(&lab, a));
        // The old primary's stop takes the address away; the new one takes it when it is told to promote, before it can write.
        let down = lab.mark(t, "vip_down", a).expect("given back");
        let up = lab.mark(t, "vip_up", b).expect("taken");
        // Both scripts run for a moment of their own: the address may be on both hosts for that long.
        inside("taken after given back", up.0 as f64 / 1e9 - down.0 as f64 / 1e9, -0.15, 0.5);
        // A dead Patroni moves nothing: two hosts hold the address.
        let t = lab.now();
        lab.kill(b, "patroni");
        lab.run(60.0);
        assert!(lab.promoted(t).is_some());
        assert_eq!(lab.dbs().iter().filter(|h| has(&lab, **h)).count(), 2);
        lab.start(b, "patroni");
        lab.run(30.0);
        assert_eq!(lab.dbs().iter().filter(|h| has(&lab, **h)).count(), 1);
    }
}

#[test]
fn a_name_is_made_to_point_to_the_new_primary() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "callbacks: (dns_name: \"db\", dns_server: \"ns\")".to_owned();
    plan.more = "\"ns\": (runs: [Dns(records: {\"db\": (addresses: [\"db1\"])})]),".to_owned();
    for seed in 1..=10 {
        let (mut lab, a) = plan.settled(seed);
        let t = lab.now();
        lab.power_off(a);
        lab.run(50.0);
        let b = lab.promoted(t).expect("promoted").1;
        assert!(lab.told(t, |n, p| n == lab.name(b) && matches!(p, Pat::DnsUpdate { .. })).is_some());
        let ns = lab.host("ns");
        let own = lab.sim.model.world.host(b).nics[0].primary.ip;
        assert_eq!(lab.addresses(ns, "db"), [own]);
    }
}

#[test]
fn a_switchover_waits_for_its_time() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let b = lab.others(a)[1];
        let at = lab.now() + Span::secs(33);
        let w = Switchover { scheduled_at: Some(at.0 as i64), ..wish(&lab, Some(a), Some(b)) };
        lab.call(b, Method::POST, "/switchover", Some(Body::Switchover(w)));
        lab.run(45.0);
        let begun = lab.told(Time::ZERO, |_, n| matches!(n, Pat::Switchover { .. })).expect("it begins");
        inside("to the second", secs(begun.0.since(at)), 0.0, 0.1);
        assert_eq!(lab.promoted(at).expect("promoted").1, b);
    }
    // It can be taken back.
    let (mut lab, a) = Plan::new(Store::EtcdApart).settled(1);
    let b = lab.others(a)[1];
    let at = lab.now() + Span::secs(33);
    let w = Switchover { scheduled_at: Some(at.0 as i64), ..wish(&lab, Some(a), Some(b)) };
    lab.call(b, Method::POST, "/switchover", Some(Body::Switchover(w)));
    lab.run(5.0);
    lab.call(a, Method::DELETE, "/switchover", None);
    lab.run(60.0);
    assert!(lab.writable(a));
}

#[test]
fn an_operator_s_wish_is_refused_with_the_reason() {
    let (mut lab, a) = Plan::new(Store::EtcdApart).settled(2);
    let (b, c) = (lab.others(a)[0], lab.others(a)[1]);
    let status = |lab: &mut Lab, path: &str, w: Switchover| {
        let t = lab.now();
        lab.call(b, Method::POST, path, Some(Body::Switchover(w)));
        lab.run(4.0);
        let answer = lab.log.iter().filter(|(at, ..)| *at >= t).find_map(|(.., n)| match n {
            firedrill::proto::Note::Patroni(Pat::Answered { status, .. }) => Some(*status),
            _ => None,
        });
        answer.unwrap_or(0)
    };
    for (path, w, expected) in [
        ("/switchover", wish(&lab, None, Some(b)), 400),
        ("/failover", wish(&lab, None, None), 400),
        ("/switchover", wish(&lab, Some(a), Some(a)), 400),
        ("/switchover", wish(&lab, Some(b), Some(c)), 412),
        ("/switchover", Switchover { candidate: Some("db9".into()), ..wish(&lab, Some(a), None) }, 412),
        ("/switchover", Switchover { scheduled_at: Some(1), ..wish(&lab, Some(a), Some(b)) }, 422),
        ("/failover", Switchover { scheduled_at: Some(i64::MAX), ..wish(&lab, None, Some(b)) }, 400),
    ] {
        assert_eq!(status(&mut lab, path, w.clone()), expected, "{path} {w:?}");
    }
    assert!(lab.writable(a), "nothing has happened");
    // A failover names only whom it wants.
    let w = wish(&lab, None, Some(c));
    let t = lab.now();
    lab.call(b, Method::POST, "/failover", Some(Body::Switchover(w)));
    lab.run(30.0);
    assert_eq!(lab.promoted(t).expect("promoted").1, c);
}

#[test]
fn a_stopped_postgresql_hangs_the_loop_and_fails_over_like_a_dead_host() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let t = lab.now();
        lab.pause(a, "postgres");
        lab.run(5.0);
        assert_eq!(lab.rest(a, "/primary"), None, "the REST interface waits for PostgreSQL too");
        lab.run(50.0);
        let (gone, _) = lab.told(t, |_, n| matches!(n, Pat::KeyGone { .. })).expect("the lease ends");
        inside("gone", secs(gone.since(t)), 20.0, 30.6);
        let (promoted, _) = lab.promoted(t).expect("promoted");
        inside("promoted", secs(promoted.since(gone)), 2.0, 3.0);
        let c = lab.now();
        lab.resume(a, "postgres");
        lab.run(15.0);
        let (demoting, kind) = lab.demoting(c, a).expect("it sees that it has lost");
        assert_eq!(kind, Kind::ImmediateNolock);
        inside("at once", secs(demoting.since(c)), 0.0, 1.0);
        assert_eq!(lab.writables().len(), 1);
    }
}

#[test]
fn the_wall_clock_decides_how_long_a_leader_believes_in_itself() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        // Forward: it stops saying that it is primary until its next cycle, which the loop thinks is long overdue.
        let by = SignedSpan { negative: false, by: Span::secs(40) };
        lab.fault(Fault::ClockStep { target: lab.target(a), by });
        assert_eq!(lab.rest(a, "/primary"), Some(503));
        lab.run(11.0);
        assert_eq!(lab.rest(a, "/primary"), Some(200));
        assert!(lab.writable(a));
        // Back by more than the lease: the loop thinks that its next cycle is not due.
        let t = lab.now();
        let by = SignedSpan { negative: true, by: Span::secs(100) };
        lab.fault(Fault::ClockStep { target: lab.target(a), by });
        lab.run(60.0);
        assert!(lab.key().is_none() || lab.elected(t).is_some());
        assert!(lab.promoted(t).is_none(), "nobody is promoted: the primary answers");
        assert!(lab.writable(a));
    }
}

#[test]
fn a_frozen_host_stays_writable_until_it_has_looked_at_the_store() {
    for seed in 1..=20 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let t = lab.now();
        let (mode, clock) = (FreezeMode::Lost, FreezeClock::Runs);
        lab.fault(Fault::Freeze { target: lab.target(a), mode, clock, lasts: None });
        lab.run(45.0);
        assert!(lab.promoted(t).is_some_and(|p| p.1 != a));
        let c = lab.now();
        lab.fault(Fault::Thaw { target: lab.target(a) });
        lab.run(0.001);
        assert!(lab.writable(a), "it has not looked yet");
        assert_ne!(lab.rest(a, "/primary"), Some(200), "its own lease time is over");
        lab.run(30.0);
        assert!(!lab.writable(a));
        let (demoting, _) = lab.demoting(c, a).expect("it looks");
        inside("its first look", secs(demoting.since(c)), 0.0, 15.0);
    }
}

#[test]
fn a_pause_survives_the_end_of_patroni() {
    let (mut lab, a) = Plan::new(Store::EtcdApart).settled(4);
    lab.patch(a, "{\"pause\": true}");
    lab.run(12.0);
    lab.signal(a, Signal::Term);
    lab.run(5.0);
    assert!(lab.writable(a), "PostgreSQL is not touched");
    assert_eq!(lab.key().as_deref(), Some(lab.name(a)), "nor is the key");
    // The key goes with its lease; nobody is promoted.
    let t = lab.now();
    lab.run(60.0);
    assert!(lab.key().is_none() && lab.promoted(t).is_none());
    lab.start(a, "patroni");
    lab.run(20.0);
    assert_eq!(lab.key().as_deref(), Some(lab.name(a)), "a running primary takes a free lock");
    // DCS away: nothing.
    for s in lab.stores() {
        lab.kill(s, "etcd");
    }
    lab.run(60.0);
    assert!(lab.writable(a));
}

#[test]
fn new_members_are_made_from_the_leader_and_the_first_one_from_nothing() {
    let plan = Plan::new(Store::EtcdApart);
    for seed in 1..=10 {
        let mut lab = plan.lab(seed);
        for h in lab.dbs() {
            lab.sim.model.world.hosts[h.0 as usize].files.pg.remove();
        }
        let a = lab.settle(20.0);
        let made = lab.told(Time::ZERO, |n, p| n == lab.name(a) && matches!(p, Pat::Bootstrapping));
        assert!(made.is_some(), "one initialises");
        for b in lab.others(a) {
            let cloned = lab.told(Time::ZERO, |n, p| n == lab.name(b) && matches!(p, Pat::Cloned));
            assert!(cloned.is_some(), "the others copy it");
        }
        assert_eq!(lab.timeline(a), 1, "nothing was promoted");
        // An operator has one made anew.
        let b = lab.others(a)[0];
        let t = lab.now();
        let body = Body::Reinitialize(Reinitialize::default());
        lab.call(b, Method::POST, "/reinitialize", Some(body));
        lab.run(60.0);
        assert!(lab.told(t, |n, p| n == lab.name(b) && matches!(p, Pat::Cloned)).is_some());
        assert_eq!(lab.streaming(a), 2);
    }
}

#[test]
fn a_diverged_member_is_made_anew_if_it_may() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "remove_data_directory_on_diverged_timelines: true".to_owned();
    for seed in 1..=10 {
        let (mut lab, a) = plan.settled(seed);
        for b in lab.others(a) {
            lab.cut_plane(a, b, Plane::replication);
        }
        lab.run(1.0);
        lab.power_off(a);
        let t = lab.now();
        lab.run(60.0);
        let b = lab.promoted(t).expect("promoted").1;
        lab.heal();
        lab.power_on(a);
        lab.run(120.0);
        assert!(lab.told(t, |n, p| n == lab.name(a) && matches!(p, Pat::Cloned)).is_some());
        assert_eq!(lab.streaming(b), 2);
    }
}

#[test]
fn an_operator_s_restart_does_not_fail_over() {
    for seed in 1..=10 {
        let (mut lab, a) = Plan::new(Store::EtcdApart).settled(seed);
        let t = lab.now();
        lab.call(a, Method::POST, "/restart", Some(Body::Restart(Restart::default())));
        lab.run(20.0);
        assert!(lab.mark(t, "demoted", a).is_some() || lab.mark(t, "stopped", a).is_some());
        assert!(lab.writable(a) && lab.elected(t).is_none());
        let ok = lab.told(t, |_, n| matches!(n, Pat::Answered { status: 200, .. }));
        assert!(ok.is_some(), "seed {seed}");
        assert_eq!(lab.patroni(a).state(), State::Running);
    }
}

#[test]
fn strict_mode_waits_for_a_standby_and_ordinary_mode_does_not() {
    for strict in [false, true] {
        let mut plan = Plan::new(Store::EtcdApart);
        plan.nodes = 2;
        plan.patroni = format!("synchronous_mode: On, synchronous_mode_strict: {strict}");
        for seed in 1..=10 {
            let (mut lab, a) = plan.settled(seed);
            lab.run(15.0);
            let b = lab.others(a)[0];
            lab.kill(b, "patroni");
            lab.kill(b, "postgres");
            // Commits wait until the leader's next cycle has seen that it is gone.
            lab.run(15.0);
            let before = lab.end(a);
            lab.run(30.0);
            let names = &lab.sim.model.world.host(a).files.pg.conf.synchronous_standby_names;
            let star = *names == firedrill::proto::postgres::data::SyncNames::Star;
            assert_eq!(star, strict, "{names:?}");
            assert!(lab.end(a) >= before);
            lab.start(b, "patroni");
            lab.run(40.0);
            let sync = lab.patroni(a).cluster().expect("a view").sync.clone();
            assert!(sync.matches(lab.name(b), false), "it is synchronous again");
        }
    }
}

#[test]
fn the_slot_of_an_absent_member_is_kept_for_its_time() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "member_slots_ttl: \"120s\"".to_owned();
    for seed in 1..=5 {
        let (mut lab, a) = plan.settled(seed);
        let b = lab.others(a)[0];
        let slot = |lab: &Lab| lab.sim.model.world.host(a).files.pg.slots.contains_key(lab.name(b));
        lab.power_off(b);
        lab.run(130.0);
        assert!(slot(&lab), "its member key went after 30 s; 120 s from then it is still there");
        lab.run(60.0);
        assert!(!slot(&lab), "now it is gone");
    }
}

#[test]
fn a_member_can_replicate_from_another_one() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.own = vec![(3, "tags: (replicatefrom: \"db2\", nofailover: true)".to_owned())];
    let mut seen = 0;
    for seed in 1..=12 {
        let mut lab = plan.lab(seed);
        lab.run(60.0 + phase(seed));
        let a = lab.writables()[0];
        if lab.name(a) != "db1" {
            continue;
        }
        seen += 1;
        let (b, c) = (lab.host("db2"), lab.host("db3"));
        let upstream = lab.sim.model.world.host(c).files.pg.conf.primary_conninfo.clone();
        let of_b = lab.sim.model.world.host(b).nics[0].primary.ip;
        assert_eq!(upstream.map(|u| u.ip), Some(of_b));
        let slots = &lab.sim.model.world.host(b).files.pg.slots;
        assert!(slots.get("db3").is_some_and(|s| s.active), "through a slot there");
    }
    assert!(seen > 2, "{seen}");
}

#[test]
fn a_hung_kernel_task_holds_the_stop_up_and_the_watchdog_ends_it() {
    // PostgreSQL hangs in the kernel; the host is cut off from the store. Patroni cannot stop it, and cannot renew.
    for watchdog in [false, true] {
        let mut plan = Plan::new(Store::EtcdApart);
        plan.host = if watchdog { "watchdog: Softdog".to_owned() } else { String::new() };
        for seed in 1..=10 {
            let (mut lab, a) = plan.settled(seed);
            let t = lab.now();
            lab.fault(Fault::Hang { target: lab.target(a), process: "postgres".to_owned() });
            lab.run(60.0);
            assert!(lab.promoted(t).is_some_and(|p| p.1 != a));
            assert_eq!(lab.resets.len(), usize::from(watchdog));
            if watchdog {
                inside("reset", secs(lab.resets[0].0.since(t)), 15.0, 25.0);
            }
        }
    }
}

#[test]
fn a_stop_that_takes_too_long_is_made_harder() {
    // In synchronous mode a switchover whose walsenders wait for a silent standby is cut short.
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "synchronous_mode: On, primary_stop_timeout: \"5s\"".to_owned();
    let (mut lab, a) = plan.settled(3);
    lab.run(20.0);
    let sync = lab.patroni(a).cluster().expect("a view").sync.clone();
    let others = lab.others(a);
    let b = *others.iter().find(|h| sync.matches(lab.name(**h), false)).expect("synchronous");
    let c = *others.iter().find(|h| **h != b).unwrap();
    lab.cut_plane(a, c, Plane::replication);
    lab.run(1.0);
    let t = lab.now();
    let w = wish(&lab, Some(a), Some(b));
    lab.call(a, Method::POST, "/switchover", Some(Body::Switchover(w)));
    lab.run(20.0);
    assert_eq!(lab.promoted(t).expect("promoted").1, b);
    let harder = lab.told(t, |_, n| matches!(n, Pat::StopHarder { .. }));
    assert!(harder.is_some());
}

#[test]
fn a_frozen_patroni_takes_connections_until_its_queue_is_full() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.nodes = 9;
    let (mut lab, a) = plan.settled(1);
    lab.pause(a, "patroni");
    lab.run(60.0);
    // Eight replicas have asked it at the same moment, in the race.
    let full = lab.accept_queue(a);
    assert!(full >= 6, "{full}");
    // Who comes later does not even get a connection.
    for _ in 0..5 {
        let leader = lab.writables().into_iter().find(|h| *h != a).expect("a new leader");
        let w = wish(&lab, Some(leader), Some(a));
        lab.call(leader, Method::POST, "/switchover", Some(Body::Switchover(w)));
        lab.run(5.0);
    }
    assert_eq!(lab.accept_queue(a), full);
}

#[test]
fn the_history_of_timelines_is_kept_in_the_store() {
    let mut plan = Plan::new(Store::EtcdApart);
    plan.patroni = "check_timeline: true".to_owned();
    let (mut lab, _) = plan.settled(6);
    for _ in 0..3 {
        let a = lab.writables()[0];
        let b = lab.others(a)[1];
        let w = wish(&lab, Some(a), Some(b));
        lab.call(a, Method::POST, "/switchover", Some(Body::Switchover(w)));
        lab.run(25.0);
    }
    let a = lab.writables()[0];
    let history = lab.patroni(a).cluster().expect("a view").history.clone().expect("a history");
    assert_eq!(lab.timeline(a), 5);
    let timelines: Vec<u32> = history.lines.iter().map(|l| l.timeline).collect();
    assert_eq!(timelines, [1, 2, 3, 4]);
    assert!(history.lines.windows(2).all(|w| w[0].end < w[1].end && w[0].at < w[1].at));
    assert_eq!(history.lines[3].leader.as_deref(), Some(lab.name(a)));
}
