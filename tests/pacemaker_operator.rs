//! Pacemaker as an operator meets it: orders, maintenance, failures by `on-fail`, quorum policies, daemons that are killed, and CIBs in XML.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "pacemaker_lab/mod.rs"]
mod pacemaker_lab;

use firedrill::engine::{Span, Time};
use firedrill::node::log::Level;
use firedrill::proto::Daemon;
use firedrill::proto::crm::Process;
use firedrill::proto::crm::config::Operator;
use firedrill::proto::pacemaker::cib::Cib;
use firedrill::scenario::build::build;
use firedrill::scenario::load::check_stack;
use firedrill::scenario::types::{At, Drill, Fault};
use firedrill::trace::run::Run;
use pacemaker_lab::*;
use std::sync::Arc;

/// Time until which a cluster of three has settled.
const T: u64 = 60_000;
const SEEDS: u64 = 6;

/// Three nodes whose DC is h2; the address prefers h1.
fn cluster() -> Cluster {
    let mut c = trio();
    c.settings[1] = "cpu_time: \"5s\"".into();
    c
}
/// The CIB as h2 has it at a moment.
fn cib_at(c: &Cluster, faults: &[At], ms: u64) -> Arc<Cib> {
    let drill = Drill {
        about: String::new(),
        stack: String::new(),
        until: Span::ms(ms + 1_000),
        seed: 1,
        set: std::collections::BTreeMap::new(),
        faults: faults.to_vec(),
        expect: Vec::new(),
        measured: None,
    };
    let mut sim = build(&c.stack(), &drill, 1, Level::Story);
    sim.run_until(Time::ms(ms));
    let world = &sim.model.world;
    let on_h2 = |p: &&firedrill::node::world::Proc<Daemon>| world.host(p.host).name == "h2";
    let based = world.procs.iter().filter(on_h2).find_map(|p| match &p.logic {
        Daemon::Crm(c) => match &**c {
            Process::Based(b) => Some(b.cib().cib.clone()),
            _ => None,
        },
        _ => None,
    });
    based.unwrap()
}
/// The constraint of an id, as `rsc role node score`.
fn constraint(cib: &Cib, id: &str) -> Option<String> {
    let e = cib.root.find("constraints")?.children.iter().find(|c| c.id() == id)?;
    Some(["rsc", "role", "node", "score"].map(|k| e.get(k).unwrap_or("-")).join(" "))
}
/// The fail counts of a node, `name=value`.
fn fail_counts(cib: &Cib, node: &str) -> Vec<String> {
    let state = cib.nodes.iter().find(|s| s.name == node).unwrap();
    let pairs = state.attributes.iter().flat_map(|a| &a.children).flat_map(|s| &s.children);
    let counts = pairs.filter(|p| p.get("name").unwrap().starts_with("fail-count-"));
    counts.map(|p| format!("{}={}", p.get("name").unwrap(), p.get("value").unwrap())).collect()
}
/// The hosts of marks of a kind from a time on.
fn on<'a>(r: &'a Run, kind: &str, from: u64) -> Vec<&'a str> {
    r.marks.iter().filter(|m| m.kind == kind && m.at >= Time::ms(from)).map(|m| r.host(m.host)).collect()
}
fn operator(command: Operator) -> Fault {
    crm(command)
}

// ---- commands ------------------------------------------------------------------------------------------------------

#[test]
fn an_orderly_stop_moves_resources_first_and_fences_nobody() {
    for seed in 1..=SEEDS {
        let t = T + seed * 337;
        let r = cluster().run(t + 45_000, vec![at(t, stop("h1")), at(t + 20_000, start("h1"))], seed);
        assert!(
            on(&r, "fence_requested", t).is_empty() && on(&r, "membership", t).is_empty(),
            "{:#?}",
            story(&r)
        );
        let (down, up) = (first(&r, "vip_down", "h1", t), first(&r, "vip_up", "", t));
        assert!((60..=300).contains(&down), "the DC's decision 20 to 90 ms, the stop 20 to 60 ms: {down}");
        assert!(up > down && up - down < 80, "{down} {up}");
        let lost = first(&r, "node_lost", "h2", t);
        assert!(lost >= down, "resources first: {lost} {down}");
        assert!(marks(&r, "node_lost", "h2", t)[0].1.contains("h1"));
        let back = first(&r, "node_joined", "h2", t + 20_000);
        assert!((200..=700).contains(&back), "startup 200 to 600 ms: {back}");
        assert_eq!(on(&r, "vip_up", t + 20_000), ["h1"], "stickiness 0: it goes home");
    }
}

#[test]
fn a_dc_that_stops_goes_last_and_is_replaced_without_a_fence() {
    for seed in 1..=SEEDS {
        let t = T + seed * 337;
        // h1 is the DC, and has the address.
        let r = trio().run(t + 30_000, vec![at(t, stop("h1"))], seed);
        assert!(on(&r, "fence_requested", t).is_empty(), "{:#?}", story(&r));
        let (up, election) = (first(&r, "vip_up", "", t), first(&r, "election", "", t));
        assert!(up < election, "everything is done before it leaves: {up} {election}");
        let dc = first(&r, "leader_elected", "h2", t);
        assert!((200..=235).contains(&(dc - election)), "{dc} {election}");
        assert_eq!(on(&r, "vip_up", t).len(), 1);
        // A DC without resources costs nothing at all.
        let r = cluster().run(t + 30_000, vec![at(t, stop("h2"))], seed);
        assert!(
            on(&r, "vip_down", t).is_empty() && on(&r, "fence_requested", t).is_empty(),
            "{:#?}",
            story(&r)
        );
        assert_eq!(on(&r, "leader_elected", t), ["h1"]);
    }
}

#[test]
fn maintenance_leaves_everything_alone_and_looks_when_it_ends() {
    let node = |on| Operator::NodeMaintenance { node: "h1".into(), on };
    let whole = |on| Operator::Maintenance { on };
    let all: [&dyn Fn(bool) -> Operator; 2] = [&node, &whole];
    for command in all {
        for seed in 1..=SEEDS {
            let faults = vec![
                at(T, operator(command(true))),
                at(T + 5_000, dies("h1", "vip")),
                at(T + 65_000, operator(command(false))),
            ];
            let r = cluster().run(T + 90_000, faults, seed);
            let quiet = |kind: &str| {
                marks(&r, kind, "", T).into_iter().filter(|m| m.0 > 5_001 && m.0 < 65_000).count()
            };
            for kind in
                ["vip_up", "vip_down", "resource_started", "resource_stopped", "resource_failed", "decided"]
            {
                assert_eq!(quiet(kind), 0, "{kind}: {:#?}", story(&r));
            }
            // The monitor begins anew, at once and not an interval later.
            let found = first(&r, "resource_failed", "h1", T + 65_000);
            assert!(found <= 400, "{found}");
            let up = first(&r, "vip_up", "h1", T + 65_000);
            assert!(up > found && up - found <= 400, "{up}");
        }
    }
    // Elsewhere life goes on: the dummy on h3 is repaired while h1 is in maintenance.
    let mut c = cluster();
    c.dummy = true;
    let faults = vec![at(T, operator(node(true))), at(T + 5_000, dies("h3", "other"))];
    let r = c.run(T + 20_000, faults, 1);
    assert_eq!(on(&r, "resource_started", T), ["h3"], "{:#?}", story(&r));
}

#[test]
fn pacemaker_stops_in_maintenance_and_its_resources_run_on() {
    let faults = vec![at(T, operator(Operator::Maintenance { on: true })), at(T + 5_000, stop("h1"))];
    let r = cluster().run(T + 60_000, faults, 1);
    assert!(on(&r, "vip_down", T).is_empty() && on(&r, "fence_requested", T).is_empty(), "{:#?}", story(&r));
    assert!(first(&r, "node_lost", "h2", T + 5_000) < 400);
}

#[test]
fn standby_and_back() {
    for seed in 1..=SEEDS {
        let h1 = || "h1".to_owned();
        let faults = vec![
            at(T, operator(Operator::Standby { node: h1() })),
            at(T + 20_000, operator(Operator::Unstandby { node: h1() })),
        ];
        let r = cluster().run(T + 40_000, faults, seed);
        let hosts = on(&r, "vip_up", T);
        assert!(hosts.len() == 2 && hosts[0] != "h1" && hosts[1] == "h1", "{:#?}", story(&r));
        assert!(first(&r, "vip_up", "", T) <= 400 && on(&r, "fence_requested", T).is_empty());
        assert!(on(&r, "node_lost", T).is_empty(), "the node stays in the cluster");
    }
}

#[test]
fn move_ban_and_clear_write_the_constraints_of_crm_resource() {
    let vip = || "vip".to_owned();
    let faults = vec![
        at(T, operator(Operator::Move { resource: vip(), to: "h3".into() })),
        at(T + 10_000, operator(Operator::Clear { resource: vip() })),
        at(T + 20_000, operator(Operator::Ban { resource: vip(), node: "h1".into() })),
        at(T + 30_000, operator(Operator::Move { resource: vip(), to: "h1".into() })),
    ];
    let c = cluster();
    let r = c.run(T + 40_000, faults.clone(), 1);
    let hosts = on(&r, "vip_up", T);
    assert_eq!((hosts.len(), hosts[0], hosts[1], hosts[3]), (4, "h3", "h1", "h1"), "{:#?}", story(&r));
    assert_ne!(hosts[2], "h1", "banned");
    let moved = cib_at(&c, &faults, T + 9_000);
    assert_eq!(constraint(&moved, "cli-prefer-vip").as_deref(), Some("vip Started h3 INFINITY"));
    let cleared = cib_at(&c, &faults, T + 19_000);
    assert_eq!(constraint(&cleared, "cli-prefer-vip"), None);
    let banned = cib_at(&c, &faults, T + 29_000);
    assert_eq!(constraint(&banned, "cli-ban-vip-on-h1").as_deref(), Some("vip Started h1 -INFINITY"));
    // A move to a banned node takes the ban away, as the tool does.
    let back = cib_at(&c, &faults, T + 39_000);
    assert_eq!(constraint(&back, "cli-ban-vip-on-h1"), None);
    assert_eq!(constraint(&back, "cli-prefer-vip").as_deref(), Some("vip Started h1 INFINITY"));
}

#[test]
fn cleanup_forgets_failures_and_probes_again() {
    let mut c = cluster();
    c.meta = "\"migration-threshold\": \"1\"".into();
    c.more_resources = "Group(id: \"g\", primitives: [Primitive(id: \"d\", agent: \"ocf:pacemaker:Dummy\", meta: { \"migration-threshold\": \"1\" }, op: [(name: \"monitor\", interval: \"1s\")])]),".into();
    c.more_constraints = "Location(rsc: \"g\", node: \"h3\", score: \"100\"),".into();
    for resource in ["vip", "g"] {
        let (home, inner) = if resource == "vip" { ("h1", "vip") } else { ("h3", "d") };
        let faults = vec![
            at(T, dies(home, inner)),
            at(T + 30_000, operator(Operator::Cleanup { resource: resource.into() })),
        ];
        let before = cib_at(&c, &faults, T + 29_000);
        let every = if resource == "vip" { 10_000 } else { 1_000 };
        assert_eq!(fail_counts(&before, home), [format!("fail-count-{inner}#monitor_{every}=1")]);
        let r = c.run(T + 50_000, faults.clone(), 1);
        let started: Vec<_> = r
            .marks
            .iter()
            .filter(|m| m.kind == "resource_started" && m.at >= Time::ms(T) && m.text.starts_with(inner))
            .map(|m| (r.host(m.host), m.at >= Time::ms(T + 30_000)))
            .collect();
        assert_eq!(started.len(), 2, "{:#?}", story(&r));
        assert!(started[0].0 != home && !started[0].1, "one failure bans: {started:?}");
        assert_eq!(started[1], (home, true), "and the cleanup brings it home");
        let after = cib_at(&c, &faults, T + 40_000);
        assert!(fail_counts(&after, home).is_empty(), "{:?}", fail_counts(&after, home));
        let state = after.nodes.iter().find(|s| s.name == home).unwrap();
        let history = state.histories.iter().find(|h| h.id == inner).unwrap();
        assert!(history.ops.iter().all(|o| !o.id.ends_with("last_failure_0")), "{history:?}");
    }
}

#[test]
fn cleanup_lifts_a_block() {
    let mut c = cluster();
    c.monitor = "(name: \"monitor\", interval: \"10s\", on_fail: \"block\")".into();
    let faults = vec![
        at(T, dies("h1", "vip")),
        at(T + 40_000, operator(Operator::Cleanup { resource: "vip".into() })),
    ];
    let r = c.run(T + 60_000, faults, 1);
    let ups = marks(&r, "vip_up", "", T);
    assert!(ups.len() == 1 && (40_000..=41_500).contains(&ups[0].0), "{ups:?}: {:#?}", story(&r));
}

#[test]
fn an_operator_fences_a_node() {
    let mut c = cluster();
    c.device = "off_time: \"2s\", on_time: \"0s\", confirm_time: \"0s\"".into();
    let r = c.run(T + 30_000, vec![at(T, operator(Operator::Fence { node: "h1".into() }))], 1);
    let (cut, done) = (first(&r, "power_cut", "", T), first(&r, "fenced", "", T));
    assert!((2_000..=2_100).contains(&cut) && done >= cut, "{cut} {done}: {:#?}", story(&r));
    assert_ne!(on(&r, "vip_up", T)[0], "h1");
    assert_eq!(on(&r, "fenced", T).len(), 1, "the cluster knows that it was fenced and does not do it again");
}

// ---- failures ------------------------------------------------------------------------------------------------------

#[test]
fn on_fail_in_all_values() {
    let run = |value: &str, seed: u64| {
        let mut c = cluster();
        c.monitor = format!("(name: \"monitor\", interval: \"2s\", on_fail: \"{value}\")");
        // Not so long that a fenced node is back.
        c.run(T + 20_000, vec![at(T + seed * 137, dies("h1", "vip"))], seed)
    };
    for seed in 1..=3 {
        let from = T + seed * 137;
        for (value, up, stopped, fenced) in [
            ("ignore", vec![], 0, 0),
            ("block", vec![], 0, 0),
            ("stop", vec![], 1, 0),
            ("restart", vec!["h1"], 1, 0),
            ("fence", vec!["other"], 0, 1),
            ("standby", vec!["other"], 1, 0),
        ] {
            let r = run(value, seed);
            let found: Vec<&str> =
                on(&r, "vip_up", from).into_iter().map(|h| if h == "h1" { h } else { "other" }).collect();
            assert_eq!(found, up, "{value}: {:#?}", story(&r));
            let stops = marks(&r, "resource_stopped", "h1", from);
            assert_eq!(
                stops.iter().filter(|m| m.1.starts_with("vip")).count(),
                stopped,
                "{value}: {:#?}",
                story(&r)
            );
            assert_eq!(on(&r, "fenced", from).len(), fenced, "{value}: {:#?}", story(&r));
            assert!(first(&r, "resource_failed", "h1", from) <= 2_050, "{value}");
        }
        // `standby` sends everything away, `fence` waits for the fence.
        let r = run("fence", seed);
        assert!(first(&r, "vip_up", "", from) > first(&r, "fenced", "", from));
    }
}

#[test]
fn on_fail_demote_steps_down_and_is_promoted_again() {
    let mut c = cluster();
    c.more_resources = "Clone(id: \"st-clone\", meta: { \"promotable\": \"true\" }, of: Primitive(id: \"st\", agent: \"ocf:pacemaker:Stateful\", op: [
        (name: \"monitor\", interval: \"5s\", role: \"Promoted\", on_fail: \"demote\"), (name: \"monitor\", interval: \"7s\", role: \"Unpromoted\")])),"
        .into();
    let r = c.run(T, vec![], 1);
    let home = on(&r, "promoted", 0)[0].to_owned();
    let broken = || at(T, fails(&home, "st", "monitor"));
    let r = c.run(T + 10_000, vec![broken()], 1);
    let failed = first(&r, "resource_failed", &home, T);
    assert!(failed <= 5_100, "{failed}");
    // While it fails, it is promoted again and again; here it fails once.
    assert!(on(&r, "promoted", T).len() > 2, "{:#?}", story(&r));
    let works = Fault::AgentWorks { target: host(&home), resource: "st".into() };
    let r = c.run(T + 40_000, vec![broken(), at(T + failed + 5, works)], 1);
    assert_eq!(on(&r, "demoted", T), [home.as_str()], "{:#?}", story(&r));
    assert_eq!(on(&r, "promoted", T), [home.as_str()], "{:#?}", story(&r));
    assert!(on(&r, "resource_stopped", T).is_empty(), "{:#?}", story(&r));
    assert!(first(&r, "promoted", "", T) > first(&r, "demoted", "", T));
}

#[test]
fn failures_expire_by_failure_timeout_and_the_recheck_notices() {
    for (timeout, back) in [("30s", 30_000), ("2min", 120_000)] {
        let mut c = cluster();
        c.meta = format!("\"migration-threshold\": \"1\", \"failure-timeout\": \"{timeout}\"");
        let r = c.run(T + 180_000, vec![at(T, dies("h1", "vip"))], 3);
        let failed = first(&r, "resource_failed", "h1", T);
        let ups = marks(&r, "vip_up", "", T);
        assert_eq!(on(&r, "vip_up", T).last(), Some(&"h1"), "{:#?}", story(&r));
        let home = ups[1].0 - failed;
        assert!((back..=back + 3_500).contains(&home), "{timeout}: {home}");
    }
    // Without failure-timeout the ban stays.
    let mut c = cluster();
    c.meta = "\"migration-threshold\": \"1\"".into();
    let r = c.run(T + 180_000, vec![at(T, dies("h1", "vip"))], 3);
    assert_eq!(on(&r, "vip_up", T).len(), 1, "{:#?}", story(&r));
}

#[test]
fn cluster_recheck_interval_tries_a_failed_fencing_again() {
    let mut c = cluster();
    c.device = "mode: Fails".into();
    c.properties = "\"cluster-recheck-interval\": \"2min\"".into();
    let r = c.run(T + 340_000, vec![at(T, off("h1"))], 3);
    let failed: Vec<u64> = marks(&r, "fence_failed", "", T).into_iter().map(|m| m.0).collect();
    assert_eq!(failed.len(), 12, "10 at once, then one each recheck: {failed:?}");
    let gaps = (failed[10] - failed[9], failed[11] - failed[10]);
    assert!((120_500..=127_000).contains(&gaps.0) && (120_500..=127_000).contains(&gaps.1), "{gaps:?}");
}

// ---- quorum --------------------------------------------------------------------------------------------------------

#[test]
fn no_quorum_policy_in_all_values() {
    let run = |policy: &str, fencing: bool, seed: u64| {
        let mut c = cluster();
        let off = if fencing { "" } else { "\"stonith-enabled\": \"false\", " };
        c.properties = format!("{off}\"no-quorum-policy\": \"{policy}\"");
        c.device = "off_time: \"20s\"".into();
        c.more_resources = "Clone(id: \"st-clone\", meta: { \"promotable\": \"true\", \"promoted-max\": \"3\" }, of: Primitive(id: \"st\", agent: \"ocf:pacemaker:Stateful\")),".into();
        c.run(T + 30_000, vec![at(T, cut(&["h1"], &["h2", "h3"]))], seed)
    };
    for seed in 1..=3 {
        let gone = |r: &Run, kind: &str| marks(r, kind, "h1", T).len();
        let r = run("stop", false, seed);
        let memb = first(&r, "membership", "h1", T);
        assert!((30..=2_300).contains(&(first(&r, "vip_down", "h1", T) - memb)), "{:#?}", story(&r));
        assert_eq!(gone(&r, "demoted"), 1);
        for policy in ["freeze", "ignore"] {
            let r = run(policy, false, seed);
            assert_eq!((gone(&r, "vip_down"), gone(&r, "demoted")), (0, 0), "{policy}: {:#?}", story(&r));
        }
        // What can be demoted goes on as unpromoted, the rest stops.
        let r = run("demote", false, seed);
        assert_eq!((gone(&r, "vip_down"), gone(&r, "demoted")), (1, 1), "{:#?}", story(&r));
        let stopped = marks(&r, "resource_stopped", "h1", T);
        assert!(stopped.iter().all(|m| !m.1.starts_with("st")), "{stopped:?}");
        // The new name and the old one: the partition has itself fenced.
        for policy in ["suicide", "fence"] {
            let r = run(policy, true, seed);
            let asked = marks(&r, "fence_requested", "h1", T);
            assert!(asked.len() == 1 && asked[0].1.starts_with("h1"), "{policy}: {asked:?} {:#?}", story(&r));
        }
        for policy in ["stop", "freeze", "demote"] {
            let r = run(policy, true, seed);
            assert_eq!(gone(&r, "fence_requested"), 0, "{policy}: without quorum nobody is fenced");
        }
    }
}

#[test]
fn suicide_is_for_those_who_have_had_quorum() {
    let mut c = trio();
    c.properties = "\"no-quorum-policy\": \"suicide\"".into();
    let r = c.run(T, vec![at(1, off("h2")), at(1, off("h3"))], 1);
    assert_eq!(on(&r, "leader_elected", 0), ["h1"]);
    assert!(on(&r, "fence_requested", 0).is_empty(), "{:#?}", story(&r));
}

// ---- daemons -------------------------------------------------------------------------------------------------------

#[test]
fn each_daemon_killed_on_a_node_that_is_not_the_dc() {
    for daemon in ["pacemaker-attrd", "pacemaker-fenced", "pacemaker-schedulerd", "pacemakerd"] {
        for seed in 1..=SEEDS {
            let r =
                cluster().run(T + 40_000, vec![at(T, kill("h1", daemon)), at(T + 10_000, start("h1"))], seed);
            for kind in ["node_lost", "vip_down", "fence_requested", "election", "daemon_lost"] {
                assert!(on(&r, kind, T).is_empty(), "{daemon}, {kind}: {:#?}", story(&r));
            }
            let again = on(&r, "respawned", T).len();
            assert_eq!(again, usize::from(daemon != "pacemakerd"), "{daemon}: {:#?}", story(&r));
        }
    }
    // Without these the controller ends, and its peers see a member without a controller.
    let (mut fenced, mut healed) = (0, 0);
    for (daemon, respawns) in [("pacemaker-controld", 1), ("pacemaker-execd", 2), ("pacemaker-based", 4)] {
        for seed in 1..=SEEDS * 2 {
            let r = cluster().run(T + 60_000, vec![at(T, kill("h1", daemon))], seed);
            assert_eq!(on(&r, "respawned", T).len(), respawns, "{daemon}: {:#?}", story(&r));
            assert!(first(&r, "node_lost", "h2", T) < 100);
            let asked = marks(&r, "fence_requested", "h2", T);
            let joined = first(&r, "node_joined", "h2", T);
            if asked.is_empty() {
                healed += 1;
                assert!((200..=2_000).contains(&joined), "{joined}");
                assert!(on(&r, "vip_down", T).is_empty(), "found running by probes: {:#?}", story(&r));
            } else {
                fenced += 1;
                assert!(asked[0].0 < joined, "asked before it was back: {asked:?} {joined}");
                assert_eq!(on(&r, "fenced", T).len(), 1);
            }
        }
    }
    assert!(healed > fenced, "the DC mostly loses a second or more asking again: {healed} {fenced}");
}

#[test]
fn each_daemon_killed_on_the_dc() {
    for daemon in ["pacemaker-attrd", "pacemaker-fenced", "pacemakerd"] {
        let r = cluster().run(T + 40_000, vec![at(T, kill("h2", daemon))], 1);
        assert!(
            on(&r, "election", T).is_empty() && on(&r, "fence_requested", T).is_empty(),
            "{:#?}",
            story(&r)
        );
    }
    // The scheduler is needed where the DC is: its controller ends, and another one is elected.
    for (daemon, respawns) in [
        ("pacemaker-schedulerd", 2),
        ("pacemaker-controld", 1),
        ("pacemaker-execd", 2),
        ("pacemaker-based", 4),
    ] {
        for seed in 1..=SEEDS {
            let r = cluster().run(T + 60_000, vec![at(T, kill("h2", daemon))], seed);
            assert!(first(&r, "election", "h1", T) < 100, "{daemon}: {:#?}", story(&r));
            assert!(first(&r, "leader_elected", "", T) <= 1_500, "{daemon}: {:#?}", story(&r));
            assert!(on(&r, "respawned", T).len() >= respawns, "{daemon}: {:#?}", story(&r));
            assert!(on(&r, "vip_down", T).is_empty(), "h1 is not concerned: {:#?}", story(&r));
        }
    }
}

#[test]
fn a_killed_attrd_forgets_the_failures_of_its_node() {
    let mut c = cluster();
    c.meta = "\"migration-threshold\": \"3\"".into();
    let faults = vec![at(T, dies("h1", "vip")), at(T + 20_000, kill("h1", "pacemaker-attrd"))];
    assert_eq!(fail_counts(&cib_at(&c, &faults, T + 19_000), "h1"), ["fail-count-vip#monitor_10000=1"]);
    assert!(fail_counts(&cib_at(&c, &faults, T + 25_000), "h1").is_empty());
    // Another node's attrd knows nothing of it that it could lose.
    let faults = vec![at(T, dies("h1", "vip")), at(T + 20_000, kill("h3", "pacemaker-attrd"))];
    assert_eq!(fail_counts(&cib_at(&c, &faults, T + 25_000), "h1"), ["fail-count-vip#monitor_10000=1"]);
}

#[test]
fn a_killed_fencer_fails_the_monitors_of_its_devices() {
    let mut c = cluster();
    c.more_resources = "Primitive(id: \"watched\", agent: \"stonith:fence_ipmilan\", params: { \"ip\": \"bmc2\", \"pcmk_host_list\": \"h2\" }, op: [(name: \"monitor\", interval: \"60s\")]),".into();
    c.more_constraints = "Location(rsc: \"watched\", node: \"h3\", score: \"INFINITY\"),".into();
    let r = c.run(T + 30_000, vec![at(T, kill("h3", "pacemaker-fenced"))], 1);
    let failed = marks(&r, "resource_failed", "h3", T);
    assert!(failed[0].0 <= 5 && failed[0].1.contains("watched"), "at once, not after 60 s: {failed:?}");
    let stopped = marks(&r, "resource_stopped", "h3", T);
    assert!(stopped.iter().any(|m| m.1.starts_with("watched")), "and recovered: {:#?}", story(&r));
    assert!(on(&r, "fence_requested", T).is_empty(), "{:#?}", story(&r));
}

#[test]
fn without_corosync_resources_run_on_until_the_fence() {
    for seed in 1..=SEEDS {
        let t = T + seed * 337;
        let r = cluster().run(t + 40_000, vec![at(t, kill("h1", "corosync"))], seed);
        assert!(first(&r, "corosync_lost", "h1", t) <= 10);
        let memb = first(&r, "membership", "h2", t);
        assert!((7_300..=8_200).contains(&memb), "token + consensus: {memb}");
        let asked = first(&r, "fence_requested", "h2", t) - memb;
        assert!(asked <= 3_300, "{asked}");
        let cut = first(&r, "power_cut", "", t);
        assert!(
            marks(&r, "vip_down", "h1", t).iter().all(|m| m.0 >= cut),
            "it answered all the time: {:#?}",
            story(&r)
        );
        let up = first(&r, "vip_up", "", t);
        assert!(up > first(&r, "fenced", "", t));
    }
    // Without fencing two have the address.
    let mut c = cluster();
    c.properties = "\"stonith-enabled\": \"false\"".into();
    let r = c.run(T + 30_000, vec![at(T, kill("h1", "corosync"))], 1);
    assert!(on(&r, "vip_down", T).is_empty() && on(&r, "vip_up", T).len() == 1, "{:#?}", story(&r));
}

// ---- CIBs in XML ---------------------------------------------------------------------------------------------------

const CIB: &str =
    "<cib crm_feature_set='3.16.1' validate-with='pacemaker-3.9' epoch='7' num_updates='0' admin_epoch='0'>
  <configuration>
    <crm_config>
      <cluster_property_set id='cib-bootstrap-options'>
        <nvpair id='o1' name='stonith-enabled' value='false'/>
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id='1' uname='h1'/>
      <node id='2' uname='h2'/>
    </nodes>
    <resources>
      <primitive id='vip' class='ocf' provider='heartbeat' type='IPaddr2'>
        <instance_attributes id='a'><nvpair id='a1' name='ip' value='10.0.0.100'/></instance_attributes>
        <operations><op id='m' name='monitor' interval='2s'/></operations>
      </primitive>
    </resources>
    <constraints>
      <rsc_location id='l' rsc='vip' node='h1' score='100'/>
    </constraints>
  </configuration>
</cib>
";
fn stack(cib: &str) -> String {
    let hosts: String = (1..=3)
        .map(|i| format!("        \"h{i}\": (runs: [Corosync(networks: [\"lan\"]), Pacemaker()]),\n"))
        .collect();
    format!(
        "Stack(\n    about: \"test\",\n    networks: {{ \"lan\": (subnet: \"10.0.0.0/24\") }},\n    hosts: {{\n{hosts}    }},\n    pacemaker: (\n        cib: {cib:?},\n    ),\n)\n"
    )
}
/// A folder with a stack and the files that it names.
fn folder(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("firedrill-{name}-{}", std::process::id()));
    std::fs::create_dir_all(path.join("cibs")).unwrap();
    for (name, text) in files {
        std::fs::write(path.join(name), text).unwrap();
    }
    path
}
fn firedrill(args: &[&str]) -> (Option<i32>, String, String) {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill")).args(args).output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[test]
fn a_cib_in_xml_is_simulated_from_the_stack_and_from_a_file() {
    let drill = "Drill(about: \"t\", stack: \"stack.ron\", until: \"120s\", faults: [At(\"60s\", ResourceDies(\"h1\", \"vip\")), At(\"80s\", Crm(Ban(resource: \"vip\", node: \"h1\")))], expect: [
        Happens(\"resource_started\", \"vip\", \"20s..30s\"), Eventually(HoldsVip(\"h1\"), by: \"64s\"), Eventually(NoVip(\"h1\"), by: \"81s\")])";
    let inline = folder("inline", &[("stack.ron", &stack(CIB)), ("drill.ron", drill)]);
    let beside = folder(
        "beside",
        &[("stack.ron", &stack("cibs/lab.xml")), ("cibs/lab.xml", CIB), ("drill.ron", drill)],
    );
    let mut digests = Vec::new();
    for path in [inline, beside] {
        // Relative to the stack's file, wherever the user stands.
        let (code, out, err) = firedrill(&["run", &path.join("drill.ron").to_string_lossy()]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        digests.push(out.lines().last().unwrap().to_owned());
        let (code, _, err) = firedrill(&["lint", "--strict", &path.join("stack.ron").to_string_lossy()]);
        assert_eq!(code, Some(0), "{err}");
    }
    assert_eq!(digests[0], digests[1], "the same cluster");
}

#[test]
fn what_is_wrong_with_a_cib_is_told_with_file_line_and_element() {
    let lint = |name: &str, cib: &str, flags: &[&str]| {
        let path = folder(name, &[("stack.ron", &stack("cibs/lab.xml")), ("cibs/lab.xml", cib)]);
        let file = path.join("stack.ron");
        let file = file.to_string_lossy();
        firedrill(&[&["lint", &*file], flags].concat())
    };
    // A misspelt attribute of the CIB: a warning, or an error with --strict, as with `place`.
    let odd = CIB.replace("uname='h1'/>", "uname='h1' colour='red'/>");
    let (code, _, err) = lint("odd", &odd, &[]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        err.contains("warning") && err.contains("lab.xml:9:") && err.contains("`colour` is not modelled"),
        "{err}"
    );
    let (code, _, err) = lint("odd-strict", &odd, &["--strict"]);
    assert!(code == Some(2) && err.contains("error: `<node>`"), "{code:?} {err}");
    for (name, from, to, words) in [
        ("closed", "</resources>", "", vec!["lab.xml:", "this is not XML"]),
        ("bomb", "<cib ", "<!DOCTYPE l [<!ENTITY a 'ha'>]>\n<cib ", vec!["lab.xml:1:", "DOCTYPE"]),
        (
            "agent",
            "type='IPaddr2'",
            "type='IPadr2'",
            vec!["lab.xml:13:", "IPadr2", "did you mean `ocf:heartbeat:IPaddr2`"],
        ),
        (
            "node",
            "id='2' uname='h2'",
            "id='7' uname='h2'",
            vec!["lab.xml:10:", "the id 7 here, and 2 in the stack", "nodeid: 7"],
        ),
        ("gone", "uname='h2'", "uname='h9'", vec!["lab.xml:10:", "no host `h9`"]),
    ] {
        let (code, _, err) = lint(name, &CIB.replace(from, to), &[]);
        assert_eq!(code, Some(if name == "gone" { 0 } else { 2 }), "{name}: {err}");
        assert!(words.iter().all(|w| err.contains(w)), "{name}: {err}");
    }
    // No such file: the place in the stack, and what is there instead.
    let path = folder("missing", &[("stack.ron", &stack("cibs/lap.xml")), ("cibs/lab.xml", CIB)]);
    let (code, _, err) = firedrill(&["lint", &path.join("stack.ron").to_string_lossy()]);
    assert!(
        code == Some(2) && err.contains("stack.ron:10:14") && err.contains("did you mean `cibs/lab.xml`"),
        "{err}"
    );
    // In the stack's own text: the line of the file.
    let (code, _, err) = {
        let path = folder(
            "own",
            &[("stack.ron", &stack(&CIB.replace("type='IPaddr2'", "type='X'")).replace("\\n", "\n"))],
        );
        firedrill(&["lint", &path.join("stack.ron").to_string_lossy()])
    };
    assert!(code == Some(2) && err.contains("stack.ron:22:"), "the thirteenth line of the string: {err}");
}

#[test]
fn a_large_cib_is_refused_and_a_long_chain_runs() {
    let many = |n: usize| {
        let dummies: String = (0..n)
            .map(|i| format!("<primitive id='d{i}' class='ocf' provider='pacemaker' type='Dummy'/>\n"))
            .collect();
        let orders: String = (1..n)
            .map(|i| format!("<rsc_order id='o{i}' first='d{}' then='d{i}'/><rsc_colocation id='c{i}' rsc='d{i}' with-rsc='d{}' score='INFINITY'/>\n", i - 1, i - 1))
            .collect();
        CIB.replace("</resources>", &format!("{dummies}</resources>"))
            .replace("</constraints>", &format!("{orders}</constraints>"))
    };
    let refused = check_stack("s.ron".into(), stack(&many(600))).render(false);
    assert!(refused.contains("are more than the 300"), "{refused}");
    // In a thread of a test, which has a small stack.
    let text = stack(&many(200));
    let report = check_stack("s.ron".into(), text).render(false);
    assert!(report.is_empty(), "{report}");
}

// ---- places in the file --------------------------------------------------------------------------------------------

#[test]
fn lint_points_at_the_very_field() {
    let text = |resources: &str| {
        let hosts = "        \"h1\": (runs: [Corosync(), Pacemaker()]),\n        \"h2\": (runs: [Corosync(), Pacemaker()]),\n        \"h3\": (runs: [Corosync(), Pacemaker()]),\n        \"bmc\": (runs: [FenceDevice(kind: Pdu, hosts: [\"h1\", \"h2\", \"h3\"])]),\n";
        format!(
            "Stack(\n    about: \"t\",\n    networks: {{ \"lan\": (subnet: \"10.0.0.0/24\") }},\n    hosts: {{\n{hosts}    }},\n    pacemaker: (\n        resources: [\n{resources}        ],\n    ),\n)\n"
        )
    };
    let fence =
        "            Primitive(id: \"f\", agent: \"stonith:fence_ipmilan\", params: { \"ip\": \"bmc\" }),\n";
    // Where the last occurrence of a word stands: line and column.
    let place = |file: &str, word: &str| {
        let at = file.rfind(word).unwrap();
        let line = file[..at].matches('\n').count() + 1;
        format!("s.ron:{line}:{}", at - file[..at].rfind('\n').unwrap())
    };
    for (line, word, words) in [
        (
            "Primitive(id: \"a\", agent: \"ocf:pacemaker:Dumy\"),",
            "\"ocf:pacemaker:Dumy\"",
            "did you mean `ocf:pacemaker:Dummy`",
        ),
        (
            "Primitive(id: \"a\", agent: \"ocf:heartbeat:IPaddr2\", params: { \"ip\": \"10.0\" }),",
            "\"10.0\"",
            "no address",
        ),
        (
            "Group(id: \"g\", primitives: [\n  Primitive(id: \"f\", agent: \"ocf:pacemaker:Dummy\"),\n]),",
            "\"f\"",
            "two resources have the id `f`",
        ),
        (
            "Clone(id: \"c\", of: Group(id: \"g\", primitives: [Primitive(id: \"a\", agent: \"ocf:pacemaker:Dummy\", op: [(name: \"monitr\")])])),",
            "\"monitr\"",
            "did you mean `monitor`",
        ),
        (
            "Primitive(id: \"a\", agent: \"ocf:pacemaker:Dummy\", op: [(name: \"monitor\", interval: \"5s\", on_fail: \"restrt\")]),",
            "\"restrt\"",
            "did you mean `restart`",
        ),
        (
            "Primitive(id: \"a\", agent: \"ocf:pacemaker:Dummy\", meta: { \"migration-treshold\": \"3\" }),",
            "\"3\"",
            "did you mean `migration-threshold`",
        ),
        (
            "Primitive(id: \"a\", agent: \"stonith:fence_ipmilan\", params: { \"ip\": \"bcm\" }),",
            "\"bcm\"",
            "did you mean `bmc`",
        ),
        (
            "Primitive(id: \"a\", agent: \"systemd:nginx\"),",
            "\"systemd:nginx\"",
            "no node has a process `nginx`",
        ),
    ] {
        let file = text(&format!("{fence}            {line}\n"));
        let place = place(&file, word);
        let report = check_stack("s.ron".into(), file).render(false);
        assert!(report.contains(&place) && report.contains(words), "{place} {words}\n{report}");
        assert_eq!(report.matches("s.ron:").count(), 1, "{report}");
    }
    let file = text(fence).replace("        ],\n    ),", "        ],\n        constraints: [\n            Location(rsc: \"f\", node: \"h4\", score: \"1e3\"),\n            Order(first: \"f\", then: \"ff\"),\n        ],\n    ),");
    for (word, words) in
        [("\"h4\"", "no node `h4`"), ("\"1e3\"", "the score `1e3`"), ("\"ff\"", "no resource `ff`")]
    {
        let place = place(&file, word);
        let report = check_stack("s.ron".into(), file.clone()).render(false);
        assert!(report.contains(&place) && report.contains(words), "{place} {words}\n{report}");
    }
}

// ---- why, and place ------------------------------------------------------------------------------------------------

#[test]
fn why_tells_the_schedulers_story_of_a_start() {
    let (code, text, _) = firedrill(&["--lang", "en", "why", "pacemaker/node-power-off", "--at", "20.9s"]);
    assert_eq!(code, Some(0));
    for words in
        ["the scheduler, asked by h2 at", "score on h1: location constraint location-web-h1-100 -> 100"]
    {
        assert!(text.contains(words), "{words}\n{text}");
    }
    // Without `--at`: the first start after the fault.
    let (_, text, _) = firedrill(&["--lang", "en", "why", "pacemaker/node-power-off"]);
    assert!(text.contains("is started") && text.contains("Move vip (h1 -> "), "{text}");
}

#[test]
fn place_takes_the_cib_of_a_run() {
    let place = |at: &str| {
        let (code, out, err) = firedrill(&["place", "--run", "pacemaker/node-power-off", "--at", at]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        out
    };
    let before = place("50s");
    assert!(before.contains("vip             Started h1") && !before.contains("Fence"), "{before}");
    // h1 is lost, and the DC still asks again for the CIB.
    let lost = place("69s");
    assert!(lost.contains("Fence (reboot) h1") && !lost.contains("vip             Started h1"), "{lost}");
    let (code, _, err) = firedrill(&["place", "--run", "keepalived/master-power-off", "--at", "5s"]);
    assert!(code == Some(2) && err.contains("no Pacemaker runs in"), "{err}");
    let (code, _, err) = firedrill(&["place", "--run", "pacemaker/node-power-off", "--at", "soon"]);
    assert!(code == Some(2) && err.contains("a moment is `65s`"), "{err}");
}
