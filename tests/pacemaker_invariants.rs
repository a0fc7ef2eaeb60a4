//! The invariants of clusters under Pacemaker: each is broken where it must be, and holds where the cluster is right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "pacemaker_lab/mod.rs"]
mod pacemaker_lab;

use firedrill::proto::crm::config::Operator;
use firedrill::scenario::types::{Fault, Target};
use pacemaker_lab::*;

/// Time until which a cluster of three has settled.
const T: u64 = 60_000;
const ALL: [&str; 7] = [
    "ActiveTwice",
    "StartedBeforeFence",
    "ForbiddenNode",
    "ServiceWithoutQuorum",
    "BothFenced",
    "SecondFence",
    "FenceAfterHeal",
];

/// A cluster whose DC is h2, and the service on h1.
fn dc_on_h2() -> Cluster {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c
}
fn split() -> firedrill::scenario::types::At {
    at(T, cut(&["h1"], &["h2", "h3"]))
}
fn kill(name: &str, process: &str) -> Fault {
    Fault::Kill { target: host(name), process: process.to_owned(), all: false }
}

#[test]
fn a_correct_cluster_breaks_none() {
    // A split with policy stop and fencing, a loss of power of the node with the service, of the DC, a crash, a stop that fails.
    for (n, faults) in [
        vec![split()],
        vec![at(T, off("h1"))],
        vec![at(T, off("h2"))],
        vec![at(T, freeze("h1", 40))],
        vec![at(T, dies("h1", "vip"))],
        vec![at(T, fails("h1", "vip", "stop")), at(T + 500, crm(Operator::Standby { node: "h1".into() }))],
        vec![at(T, crm(Operator::Ban { resource: "vip".into(), node: "h1".into() }))],
    ]
    .into_iter()
    .enumerate()
    {
        for seed in 1..=8 {
            let r = dc_on_h2().run(T + 120_000, faults.clone(), seed);
            for i in ALL {
                assert!(broken(&r, i, 0).is_empty(), "{n} {seed} {i}: {}\n{:#?}", seen(&r, i), story(&r));
            }
        }
    }
}

#[test]
fn active_twice_from_the_second_start_to_the_repair() {
    let mut c = trio();
    c.properties = "\"stonith-enabled\": \"false\", \"no-quorum-policy\": \"ignore\"".into();
    for seed in 1..=10 {
        let r = c.run(T + 60_000, vec![split(), at(T + 25_000, heal())], seed);
        let twice = broken(&r, "ActiveTwice", T);
        let (up, down) = (first(&r, "vip_up", "", T), first(&r, "vip_down", "", T));
        assert_eq!(twice, [(up, down)], "{:#?}", story(&r));
        assert!(seen(&r, "ActiveTwice").contains("vip is active on h1"), "{}", seen(&r, "ActiveTwice"));
    }
    // A frozen host is no alibi: it holds the address until it is dead.
    c.properties = "\"stonith-enabled\": \"false\"".into();
    let r = c.run(T + 90_000, vec![at(T, freeze("h1", 40))], 1);
    let twice = broken(&r, "ActiveTwice", T);
    assert!(twice.len() == 1 && twice[0].0 < 13_000 && twice[0].1 > 40_000, "{twice:?}");
    // A service that somebody starts by hand on another node: Pacemaker watches it where it put it, and nowhere else.
    let mut c = trio();
    c.more_resources = "Clone(id: \"st-clone\", of: Primitive(id: \"st\", agent: \"ocf:pacemaker:Stateful\"), meta: { \"promotable\": \"true\" }),".into();
    let r = c.run(T + 30_000, vec![split()], 1);
    assert!(broken(&r, "ActiveTwice", 0).is_empty(), "a clone may be active on all, and one is promoted");
}

#[test]
fn two_promoted_instances_are_active_twice() {
    let mut c = trio();
    c.properties = "\"stonith-enabled\": \"false\", \"no-quorum-policy\": \"ignore\"".into();
    c.more_resources = "Clone(id: \"st-clone\", of: Primitive(id: \"st\", agent: \"ocf:pacemaker:Stateful\"), meta: { \"promotable\": \"true\" }),".into();
    c.more_constraints =
        "Location(rsc: \"st-clone\", node: \"h1\", score: \"50\", role: Some(\"Promoted\")),".into();
    c.meta = "\"target-role\": \"Stopped\"".into();
    let r = c.run(T + 20_000, vec![split()], 1);
    assert!(seen(&r, "ActiveTwice").contains("st is promoted on h1"), "{:#?}", story(&r));
    let early = seen(&r, "StartedBeforeFence");
    assert!(early.starts_with("st was started on h") && early.contains("confirmed that h1"), "{early}");
}

#[test]
fn a_start_before_the_fence_is_one_even_if_the_node_is_dead() {
    let mut c = dc_on_h2();
    c.properties = "\"stonith-enabled\": \"false\"".into();
    for seed in 1..=8 {
        let r = c.run(T + 30_000, vec![at(T, off("h1"))], seed);
        let early = broken(&r, "StartedBeforeFence", T);
        let started = first(&r, "resource_started", "", T);
        assert_eq!(early.len(), 1, "{:#?}", story(&r));
        assert_eq!(early[0].0, started);
        assert!(broken(&r, "ActiveTwice", 0).is_empty(), "it is dead: luck");
    }
    // It ends when the node is back in one membership with the others.
    let r =
        c.run(T + 90_000, vec![at(T, off("h1")), at(T + 20_000, Fault::PowerOn { target: host("h1") })], 1);
    let early = broken(&r, "StartedBeforeFence", T);
    assert!(early.len() == 1 && (50_000..60_000).contains(&early[0].1), "30 s to boot: {early:?}");
    // A device that lies: the fencing is confirmed, so nothing began too early; and yet the service runs twice.
    let mut c = dc_on_h2();
    c.properties = "\"no-quorum-policy\": \"freeze\"".into();
    c.device = "mode: Lies".into();
    let r = c.run(T + 30_000, vec![split()], 1);
    assert!(broken(&r, "StartedBeforeFence", 0).is_empty(), "{}", seen(&r, "StartedBeforeFence"));
    assert_eq!(broken(&r, "ActiveTwice", 0).len(), 1, "{:#?}", story(&r));
}

#[test]
fn where_its_score_is_minus_infinity() {
    let ban = || crm(Operator::Ban { resource: "vip".into(), node: "h1".into() });
    // In maintenance the ban is written down, and nothing moves.
    let on = || crm(Operator::Maintenance { on: true });
    let maintenance =
        vec![at(T, on()), at(T + 5_000, ban()), at(T + 20_000, crm(Operator::Maintenance { on: false }))];
    for seed in 1..=5 {
        let r = dc_on_h2().run(T + 40_000, maintenance.clone(), seed);
        let there = broken(&r, "ForbiddenNode", T);
        assert_eq!(there.len(), 1, "{:#?}", story(&r));
        assert!(there[0].0 > 5_000 && there[0].0 < 5_300, "as soon as the DC is idle again: {there:?}");
        assert!(there[0].1 >= 20_000 && there[0].1 < 20_600, "until the DC acts: {there:?}");
        assert!(seen(&r, "ForbiddenNode").contains("vip runs on h1"), "{}", seen(&r, "ForbiddenNode"));
    }
    // A stop that fails without fencing: it is blocked, and stays.
    let mut c = dc_on_h2();
    c.properties = "\"stonith-enabled\": \"false\"".into();
    let r = c.run(T + 40_000, vec![at(T, fails("h1", "vip", "stop")), at(T + 1_000, ban())], 1);
    let there = broken(&r, "ForbiddenNode", T);
    assert!(there.len() == 1 && there[0].1 == 40_000, "to the end: {there:?} {:#?}", story(&r));
}

#[test]
fn service_without_quorum() {
    // freeze: what runs goes on, until the node is shot; broken a second after its DC has come to rest.
    let mut c = dc_on_h2();
    c.properties = "\"no-quorum-policy\": \"freeze\"".into();
    c.device = "off_time: \"20s\", confirm_time: \"0s\"".into();
    for seed in 1..=8 {
        let r = c.run(T + 60_000, vec![split()], seed);
        let without = broken(&r, "ServiceWithoutQuorum", T);
        let lost = first(&r, "quorum_lost", "h1", T);
        let shot = first(&r, "power_cut", "", T);
        assert_eq!(without.len(), 1, "{:#?}", story(&r));
        let after = without[0].0 - lost;
        assert!((1_000..=3_500).contains(&after), "{after}");
        assert_eq!(without[0].1, shot);
    }
    // stop: it is being stopped, all the time.
    let mut c = dc_on_h2();
    c.device = "off_time: \"20s\"".into();
    for seed in 1..=8 {
        let r = c.run(T + 60_000, vec![split()], seed);
        assert!(broken(&r, "ServiceWithoutQuorum", 0).is_empty(), "{:#?}", story(&r));
    }
    // Corosync is killed: its Pacemaker ends, and nobody is left who could stop the address.
    let mut c = dc_on_h2();
    c.properties = "\"stonith-enabled\": \"false\"".into();
    let r = c.run(T + 30_000, vec![at(T, kill("h1", "corosync"))], 1);
    let without = broken(&r, "ServiceWithoutQuorum", T);
    assert!(without.len() == 1 && (1_000..=1_100).contains(&without[0].0), "{without:?}");
    assert_eq!(broken(&r, "ActiveTwice", 0).len(), 1, "and the others start it: {:#?}", story(&r));
}

#[test]
fn two_nodes_fence_each_other() {
    let mut c = two();
    // The kill takes longer than what one side can be ahead of the other.
    c.device = "off_time: \"5s\", confirm_time: \"0s\"".into();
    for seed in 1..=8 {
        let r = c.run(T + 20_000, vec![at(T, cut(&["h1"], &["h2"]))], seed);
        let cuts = marks(&r, "power_cut", "", T);
        assert_eq!(cuts.len(), 2, "{:#?}", story(&r));
        let both = broken(&r, "BothFenced", T);
        assert_eq!((both.len(), both[0].0), (1, cuts[1].0), "from the second shot on");
        assert_eq!(broken(&r, "SecondFence", T)[0].0, cuts[1].0);
    }
    // A delay that protects one: one dies.
    c.delay_h1 = "\"pcmk_delay_base\": \"8s\"".into();
    for seed in 1..=8 {
        let r = c.run(T + 30_000, vec![at(T, cut(&["h1"], &["h2"]))], seed);
        assert!(broken(&r, "BothFenced", 0).is_empty() && broken(&r, "SecondFence", 0).is_empty());
    }
}

#[test]
fn an_incident_ends_when_the_cluster_is_whole() {
    // Two nodes lost at once are two fencings in one incident; the same one after the other, with time to come back, are two incidents.
    let r = dc_on_h2().run(T + 30_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], 1);
    assert!(broken(&r, "SecondFence", 0).is_empty());
    let again = vec![split(), at(T + 30_000, heal()), at(T + 120_000, cut(&["h1"], &["h2", "h3"]))];
    let r = dc_on_h2().run(T + 160_000, again, 1);
    assert_eq!(marks(&r, "fenced", "", T).len(), 2, "{:#?}", story(&r));
    assert!(broken(&r, "SecondFence", 0).is_empty(), "{}", seen(&r, "SecondFence"));
    // Without the healing the node boots, is alone and harmless: still one.
    let mut c = two();
    c.settings = vec![String::new(); 2];
    let r = c.run(T + 120_000, vec![at(T, cut(&["h1"], &["h2"]))], 1);
    assert!(marks(&r, "power_cut", "", T).len() <= 2, "wait_for_all ends the loop: {:#?}", story(&r));
}

#[test]
fn an_order_older_than_the_healing() {
    let mut c = dc_on_h2();
    c.device = "off_time: \"8s\", confirm_time: \"0s\"".into();
    for seed in 1..=8 {
        // The membership is lost at 8.0 s, the network heals at 9 s, the device is done 8 s after it was asked.
        let r = c.run(T + 40_000, vec![split(), at(T + 9_000, heal())], seed);
        let shot = first(&r, "power_cut", "", T);
        let late = broken(&r, "FenceAfterHeal", T);
        assert_eq!((late.len(), late[0].0), (1, shot), "{:#?}", story(&r));
        assert!(seen(&r, "FenceAfterHeal").contains("h1 was fenced by h"), "{}", seen(&r, "FenceAfterHeal"));
        // A node that stood still and is awake again.
        let r = c.run(T + 40_000, vec![at(T, freeze("h1", 9))], seed);
        assert_eq!(broken(&r, "FenceAfterHeal", T).len(), 1, "{:#?}", story(&r));
        // Not healed, or lost for another reason than the network.
        let r = c.run(T + 40_000, vec![split()], seed);
        assert!(broken(&r, "FenceAfterHeal", 0).is_empty(), "{}", seen(&r, "FenceAfterHeal"));
        let r = c.run(T + 40_000, vec![at(T, kill("h1", "corosync"))], seed);
        assert_eq!(marks(&r, "power_cut", "", T).len(), 1, "{:#?}", story(&r));
        assert!(broken(&r, "FenceAfterHeal", 0).is_empty(), "{}", seen(&r, "FenceAfterHeal"));
    }
}

#[test]
fn roles_of_a_cluster() {
    // The leader of a Pacemaker cluster is its DC, the primary where something is promoted, otherwise who has the address.
    let power_off = |target| at(T, Fault::PowerOff { target });
    let hit = |r: &firedrill::trace::run::Run| marks(r, "fault", "", T)[0].1.clone();
    let r = dc_on_h2().run(T + 20_000, vec![power_off(Target::Leader)], 1);
    assert!(hit(&r).contains("h2"), "{}", hit(&r));
    assert_ne!(last_dc(&r), "h2", "another one is elected");
    let r = dc_on_h2().run(T + 20_000, vec![power_off(Target::VipHolder)], 1);
    assert!(hit(&r).contains("h1"), "{}", hit(&r));
    let r = dc_on_h2().run(T + 20_000, vec![power_off(Target::Standby(2))], 1);
    assert!(hit(&r).contains("h3"), "{}", hit(&r));
    let mut c = dc_on_h2();
    c.more_resources = "Clone(id: \"st-clone\", of: Primitive(id: \"st\", agent: \"ocf:pacemaker:Stateful\"), meta: { \"promotable\": \"true\" }),".into();
    c.more_constraints =
        "Location(rsc: \"st-clone\", node: \"h3\", score: \"50\", role: Some(\"Promoted\")),".into();
    let r = c.run(T + 20_000, vec![power_off(Target::Primary)], 1);
    assert!(hit(&r).contains("h3"), "{}", hit(&r));
    let r = c.run(T + 20_000, vec![power_off(Target::Replicas)], 1);
    assert!(hit(&r).contains("h1, h2"), "{}", hit(&r));
}

#[test]
fn why_tells_the_steps_from_the_fault_to_the_start() {
    let r = dc_on_h2().run(T + 30_000, vec![at(T, off("h1"))], 1);
    let up = r.marks.iter().find(|m| m.kind == "vip_up" && m.at.as_ms() > T).unwrap();
    let text = firedrill::report::why::why(&r, up);
    // Newest first; what is not there is not in order either.
    let steps = [
        "h1 is fenced",
        "h1 has no power",
        "fence-h1 is run",
        "h1 is to be fenced",
        "h1 is lost",
        "power lost",
    ];
    let places: Vec<Option<usize>> = steps.iter().map(|s| text.find(s)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{text}");
}
