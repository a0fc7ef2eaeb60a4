//! pgpool's pool, routing and native replication, each behaviour by its number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod pgpool_client;

use firedrill::engine::{Span, Time};
use firedrill::experiment::theory::pool_queue;
use firedrill::net::Plane;
use firedrill::proto::client::process::Outcome;
use firedrill::proto::pgpool::config::Mode;
use firedrill::proto::pgpool::note::{EndWhy, Note as Pool};
use firedrill::proto::pgpool::route::Rule;
use firedrill::proto::postgres::msg::SqlState;
use firedrill::scenario::types::{Fault, Target};
use pgpool_client::{Plan, defaults, secs};

/// Programs that each hold a session for so long: all at once (within a millisecond), again and again.
fn holders(n: u32, seconds: &str) -> String {
    format!(
        "sessions: {n}, scripts: Pause(\"1ms\"), script: [\"SELECT pg_sleep({seconds})\"], \
         connections: PerOperation, start_after: \"5s\""
    )
}

#[test]
fn the_defaults_are_those_of_4_7() {
    let c = defaults();
    assert_eq!(
        (c.num_init_children, c.listen_backlog_multiplier, c.max_pool, c.reserved_connections),
        (32, 2, 4, 0)
    );
    assert_eq!((c.child_life_time, c.authentication_timeout), (Span::secs(300), Span::secs(60)));
    assert_eq!(
        (c.child_max_connections, c.connection_life_time, c.client_idle_limit),
        (0, Span::ZERO, Span::ZERO)
    );
    assert_eq!((c.sr_check_period, c.delay_threshold.0), (Span::secs(10), 0));
    assert_eq!((c.health_check_period, c.health_check_timeout), (Span::ZERO, Span::secs(20)));
    assert!(c.failover_on_backend_error && !c.shutdown_fails_over() && c.load_balance_mode);
    assert_eq!(c.mode(), Mode::StreamingReplication);
    let old = |text: &str| ron::from_str::<firedrill::proto::pgpool::Pgpool>(text).unwrap();
    assert!(old("(version: \"4.3\")").shutdown_fails_over());
    for (text, mode) in [
        ("(replication_mode: Some(true))", Mode::NativeReplication),
        ("(master_slave_mode: Some(true))", Mode::Slony),
        ("(master_slave_mode: Some(true), master_slave_sub_mode: Some(stream))", Mode::StreamingReplication),
        ("(parallel_mode: Some(true), replication_mode: Some(true))", Mode::ParallelQuery),
        ("(replication_mode: Some(false))", Mode::Raw),
        ("(backend_clustering_mode: Some(raw))", Mode::Raw),
    ] {
        assert_eq!(old(text).mode(), mode, "{text}");
    }
}

#[test]
fn pgp_01_the_33rd_client_waits_without_an_error() {
    for seed in 1..=5 {
        let mut lab = Plan::new(1, "").app(&holders(33, "2")).lab(seed);
        lab.to(9.5);
        let took = lab.took();
        assert!(took.iter().all(|t| t.1), "nobody sees an error");
        assert!(took[..32].iter().all(|t| (2.0..2.2).contains(&t.0)), "{took:?}");
        // It was first in the queue when the first session ended.
        let late: Vec<f64> = took[32..].iter().map(|t| t.0).filter(|t| *t > 2.2).collect();
        assert!((4.0..4.2).contains(&late[0]), "{late:?}");
        assert!(lab.full.is_empty());
    }
}

#[test]
fn pgp_02_a_syn_that_finds_the_queue_full_is_dropped_and_comes_again() {
    for (plus_one, clients, drops) in [("false", 96, 0), ("false", 97, 4), ("true", 97, 0), ("true", 98, 4)] {
        let mut lab =
            Plan::new(1, &format!("accept_queue_plus_one: {plus_one}")).app(&holders(clients, "12")).lab(1);
        lab.to(16.0);
        // The kernel of the client tries again 1, 3 and 7 s after the first SYN.
        let at: Vec<u64> =
            lab.full.iter().map(|t| (secs(t.since(Time::ZERO)) - 5.0).round() as u64).collect();
        assert_eq!(at, if drops == 0 { vec![] } else { vec![0, 1, 3, 7] }, "{plus_one} {clients}");
        assert!(lab.took().is_empty());
    }
}

#[test]
fn pgp_03_reserved_connections_refuse_the_last_place() {
    for seed in 1..=5 {
        let mut lab = Plan::new(1, "reserved_connections: 1").app(&holders(32, "3")).lab(seed);
        lab.to(7.5);
        let refused: Vec<_> = lab.ended();
        assert!(!refused.is_empty());
        for (at, e) in &refused {
            assert_eq!(e.outcome, Outcome::Error(SqlState::TooManyConnections));
            assert!(secs(at.since(e.sent)) < 0.2);
        }
        assert_eq!(lab.shared().children.iter().filter(|c| c.session.is_some()).count(), 31);
        lab.to(8.2);
        assert_eq!(lab.took().iter().filter(|t| t.1).count(), 31, "the others are not affected");
    }
}

fn visits(users: &[&str], pause: &str, seconds: f64, pgpool: &str, seed: u64) -> pgpool_client::Lab {
    let users: Vec<String> = users.iter().map(|u| format!("\"{u}\"")).collect();
    let app = format!(
        "users: [{}], scripts: Pause(\"{pause}\"), script: [\"SELECT 1\"], connections: PerOperation, start_after: \"5s\"",
        users.join(", ")
    );
    let mut lab = Plan::new(1, pgpool).app(&app).lab(seed);
    lab.to(seconds);
    lab
}

#[test]
fn pgp_04_the_slot_released_in_the_earliest_second_is_evicted() {
    let lab = visits(&["k1", "k2", "k3", "k4", "k5", "k2", "k6"], "1500ms", 16.0, "num_init_children: 1", 1);
    let hits: Vec<bool> = lab.sessions().iter().take(7).map(|s| s.1).collect();
    assert_eq!(hits, [false, false, false, false, false, true, false]);
    let evicted: Vec<String> = lab
        .pool()
        .filter_map(|(_, n)| if let Pool::Evicted { user, .. } = n { Some(user.to_string()) } else { None })
        .take(2)
        .collect();
    assert_eq!(evicted, ["k1", "k3"]);
    // All within one second: always the lowest slot. a and c drive each other out, b stays.
    let mut counts = Vec::new();
    for seed in 1..=10 {
        let lab = visits(&["a", "b", "c"], "1ms", 20.0, "num_init_children: 1, max_pool: 2", seed);
        let first: Vec<_> = lab.sessions().into_iter().take(60).collect();
        let misses = first.iter().filter(|s| !s.1).count();
        counts.push(misses);
        assert!(first.iter().skip(3).filter(|s| &*s.0 == "b").filter(|s| s.1).count() >= 15);
    }
    // At the turn of a second another slot may be the oldest, once.
    assert!(counts.iter().all(|n| (40..=46).contains(n)) && counts.contains(&41), "{counts:?}");
}

#[test]
fn pgp_05_caches_are_private_to_children() {
    for seed in 1..=5 {
        let lab = visits(&["a"], "20ms", 8.0, "num_init_children: 2", seed);
        let first = lab.sessions();
        assert!(first.len() > 50);
        assert_eq!(lab.misses(), 2, "one for each child");
    }
    // Four children with room for one: 46.7 of the first 60 with a uniform choice (0.757 of all in the long run, and more while the
    // children are empty), 60 with taking turns. (Measured: 48.)
    let misses: Vec<f64> = (1..=60)
        .map(|seed| {
            let lab = visits(&["a", "b", "c"], "20ms", 9.0, "num_init_children: 4, max_pool: 1", seed);
            lab.sessions().iter().take(60).filter(|s| !s.1).count() as f64
        })
        .collect();
    let mean = misses.iter().sum::<f64>() / misses.len() as f64;
    assert!((mean - 46.67).abs() < 1.3, "{mean} {misses:?}");
    let fifo =
        visits(&["a", "b", "c"], "20ms", 9.0, "num_init_children: 4, max_pool: 1, child_choice: Fifo", 1);
    assert!(fifo.sessions().iter().take(60).filter(|s| !s.1).count() >= 58);
    let lifo = visits(&["a"], "20ms", 9.0, "num_init_children: 4, max_pool: 1, child_choice: Lifo", 1);
    assert_eq!(lifo.misses(), 1, "the last one to come is the first to go");
}

#[test]
fn pgp_06_connections_to_some_databases_are_never_kept() {
    for (database, kept) in [("postgres", false), ("template1", false), ("regression", false), ("app2", true)]
    {
        let app = format!(
            "database: \"{database}\", scripts: Pause(\"50ms\"), script: [\"SELECT 1\"], connections: PerOperation, start_after: \"5s\""
        );
        let mut lab = Plan::new(1, "num_init_children: 1").app(&app).lab(1);
        lab.to(8.0);
        let all = lab.sessions();
        assert!(all.len() > 30);
        let misses = all.iter().filter(|s| !s.1).count();
        assert_eq!(misses, if kept { 1 } else { all.len() }, "{database}");
    }
    let off = visits(&["a"], "50ms", 8.0, "num_init_children: 1, connection_cache: false", 1);
    assert_eq!(off.misses(), off.sessions().len());
}

#[test]
fn a_kept_connection_that_broke_costs_a_second() {
    let mut lab = Plan::new(1, "num_init_children: 1, failover_on_backend_error: false")
        .app("scripts: Pause(\"8s\"), script: [\"SELECT 1\"], connections: PerOperation, start_after: \"5s\"")
        .lab(1);
    lab.to(7.0);
    assert_eq!(lab.misses(), 1);
    lab.fault(Fault::Kill { target: Target::Host("n1".into()), process: "postgres".into(), all: false });
    lab.to(8.0);
    lab.fault(Fault::Start { target: Target::Host("n1".into()), process: "postgres".into() });
    lab.to(16.0);
    assert!(lab.pool().any(|(_, n)| matches!(n, Pool::CacheBroken { .. })));
    let took = lab.took();
    assert!(took[1].1 && (1.0..1.1).contains(&took[1].0), "{took:?}");
}

#[test]
fn life_times_act_within_a_second_and_a_bit() {
    let mut seen = Vec::new();
    for seed in 1..=20 {
        let mut lab = Plan::new(1, "num_init_children: 1, connection_life_time: \"3s\"")
            .app("scripts: Pause(\"60s\"), script: [\"SELECT 1\"], connections: PerOperation, start_after: \"5s\"")
            .lab(seed);
        lab.to(6.0);
        assert_eq!(lab.shared().children[0].cached.len(), 1);
        let released = secs(lab.ended()[0].0.since(Time::ZERO));
        while !lab.shared().children[0].cached.is_empty() {
            let next = secs(lab.now().since(Time::ZERO)) + 0.01;
            lab.to(next);
        }
        seen.push(secs(lab.now().since(Time::ZERO)) - released);
    }
    assert!(seen.iter().all(|t| (3.0..=4.25).contains(t)), "{seen:?}");
    assert!(seen.iter().any(|t| *t > 3.7) && seen.iter().any(|t| *t < 3.5), "{seen:?}");
    // Five sessions for each fork: 20 connects over two children use 5 connections. (Measured.)
    let lab = visits(&["a"], "100ms", 12.0, "num_init_children: 2, child_max_connections: 5", 1);
    let first: Vec<_> = lab.sessions().into_iter().take(20).collect();
    let misses = first.iter().filter(|s| !s.1).count();
    assert!((4..=6).contains(&misses), "{misses}");
    // A client that says nothing, in a transaction or not, is cut; one whose statement runs is not.
    let mut lab = Plan::new(1, "client_idle_limit: \"2s\"")
        .app("scripts: Pause(\"10s\"), script: [\"BEGIN\", \"SELECT pg_sleep(4)\"], start_after: \"5s\"")
        .lab(1);
    lab.to(9.5);
    assert!(lab.took()[0].1);
    lab.to(12.5);
    let cut: Vec<Time> = lab
        .pool()
        .filter(|(_, n)| matches!(n, Pool::SessionEnds { why: EndWhy::IdleLimit, .. }))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(cut.len(), 1);
    let after = secs(cut[0].since(lab.ended()[0].0));
    assert!((2.0..=3.25).contains(&after), "{after}");
}

/// Two nodes, all reads of one session.
fn spread(
    weights: (u32, u32),
    more: &str,
    script: &str,
    sessions: u32,
    seed: u64,
) -> (f64, u64, pgpool_client::Lab) {
    let pgpool = format!(
        "backends: [(host: \"n1\", weight: {}), (host: \"n2\", weight: {})], num_init_children: 4, {more}",
        weights.0, weights.1
    );
    let app = format!(
        "scripts: Pause(\"1ms\"), script: [{script}], connections: PerOperation, start_after: \"5s\""
    );
    let mut lab = Plan { latency: "10us", ..Plan::new(2, &pgpool) }.app(&app).lab(seed);
    lab.sim.model.world.log.level = firedrill::node::log::Level::Story;
    let enough = |l: &pgpool_client::Lab| {
        let b = &l.shared().backends;
        b.len() == 2 && b[0].selects + b[1].selects >= u64::from(sessions)
    };
    lab.until(Time::ZERO + Span::secs(600), enough);
    let b = &lab.shared().backends;
    let all = b[0].selects + b[1].selects;
    (b[1].selects as f64 / all as f64, all, lab)
}

#[test]
fn pgp_07_sessions_are_spread_by_weight_and_stay_on_their_node() {
    let (share, all, lab) = spread((1, 3), "", "\"SELECT * FROM t\"", 10_000, 1);
    assert!(all >= 10_000);
    assert!((share - 0.75).abs() < 3.0 * 0.00433, "{share}");
    drop(lab);
    // All SELECTs of a session hit one node; drawn anew for each statement they do not.
    for (level, one) in [("false", true), ("true", false)] {
        let three = "\"SELECT 1\", \"SELECT 2\", \"SELECT 3\", \"SELECT 4\"";
        let (share, _, lab) =
            spread((1, 1), &format!("statement_level_load_balance: {level}"), three, 2_000, 2);
        let routed = lab.routed();
        let same = routed.chunks_exact(4).filter(|s| s.iter().all(|r| r.2 == s[0].2)).count();
        let sessions = routed.len() / 4;
        if one {
            assert_eq!(same, sessions);
        } else {
            // One in eight stays on one node by chance: 500 sessions, sigma 7.4.
            assert!((same as f64 - sessions as f64 / 8.0).abs() < 23.0, "{same} of {sessions}");
        }
        assert!((share - 0.5).abs() < if one { 0.07 } else { 0.034 }, "{share}");
    }
    // Weight 0 is never chosen, and without balancing everything goes to the primary.
    assert_eq!(spread((0, 1), "", "\"SELECT 1\"", 200, 3).0, 1.0);
    assert_eq!(spread((1, 1), "load_balance_mode: false", "\"SELECT 1\"", 200, 3).0, 0.0);
}

/// Where the statements of one session go, with all reads to the standby (node 1): `P`, `S`, or `B` for both.
fn ways(pgpool: &str, postgres: &str, script: &[&str]) -> (String, Vec<Rule>) {
    let pgpool = format!("backends: [(host: \"n1\", weight: 0), (host: \"n2\")], {pgpool}");
    let script: Vec<String> = script.iter().map(|s| format!("\"{s}\"")).collect();
    let app = format!("scripts: Pause(\"100s\"), script: [{}], start_after: \"5s\"", script.join(", "));
    let mut lab = Plan { postgres: postgres.to_owned(), ..Plan::new(2, &pgpool) }.app(&app).lab(1);
    lab.to(10.0);
    let routed = lab.routed();
    assert_eq!(routed.len(), script.len(), "{script:?} {routed:?}");
    assert!(lab.took()[0].1, "{script:?}");
    let way = |n: Option<u8>| n.map_or('B', |n| if n == 0 { 'P' } else { 'S' });
    (routed.iter().map(|r| way(r.2)).collect(), routed.iter().map(|r| r.3).collect())
}

#[test]
fn pgp_08_reads_after_a_write_in_the_transaction_go_to_the_primary() {
    let script = [
        "BEGIN",
        "SELECT * FROM t",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t",
        "COMMIT",
        "SELECT * FROM t",
    ];
    let (ways, rules) = ways("", "", &script);
    assert_eq!(ways, "BSPPBS");
    assert_eq!(rules[3], Rule::WroteInTransaction);
}

#[test]
fn pgp_09_disable_load_balance_on_write_in_all_its_values() {
    let script = [
        "BEGIN",
        "SELECT * FROM t",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t",
        "COMMIT",
        "SELECT * FROM t",
        "BEGIN",
        "SELECT * FROM t",
        "COMMIT",
    ];
    let auto = ["INSERT INTO t VALUES (1)", "SELECT * FROM t"];
    let savepoint = ["BEGIN", "SAVEPOINT a", "SELECT * FROM t", "COMMIT"];
    let locking = ["BEGIN", "SELECT * FROM t FOR UPDATE", "SELECT * FROM t", "COMMIT"];
    for (value, a, b, c, d) in [
        ("transaction", "BSPPBSBSB", "PS", "BBPB", "BPPB"),
        ("trans_transaction", "BSPPBSBPB", "PS", "BBPB", "BPPB"),
        ("always", "BSPPBPBPB", "PP", "BBPB", "BPPB"),
        ("off", "BSPSBSBSB", "PS", "BBSB", "BPSB"),
    ] {
        let value = format!("disable_load_balance_on_write: {value}");
        assert_eq!(ways(&value, "", &script).0, a, "{value}");
        assert_eq!(ways(&value, "", &auto).0, b, "{value}");
        assert_eq!(ways(&value, "", &savepoint).0, c, "{value}");
        assert_eq!(ways(&value, "", &locking).0, d, "{value}");
    }
    let adaptive = [
        "BEGIN",
        "INSERT INTO t2 VALUES (1)",
        "SELECT * FROM t",
        "SELECT * FROM t2",
        "SELECT * FROM t3",
        "COMMIT",
        "SELECT * FROM t2",
    ];
    let settings = "disable_load_balance_on_write: dml_adaptive, \
                    dml_adaptive_object_relationship_list: {\"t2\": [\"t3\"]}";
    assert_eq!(ways(settings, "", &adaptive).0, "BPSPPBS");
    let (w, rules) = ways("disable_load_balance_on_write: dml_adaptive_global", "", &auto);
    assert_eq!((w.as_str(), rules[1]), ("PP", Rule::DmlAdaptiveGlobal));
}

#[test]
fn pgp_10_a_late_standby_is_left_at_the_next_check() {
    let (mut left, mut back) = (Vec::new(), Vec::new());
    for seed in 1..=12 {
        for prefer in [false, true] {
            let pgpool = format!(
                "backends: [(host: \"n1\", weight: 0), (host: \"n2\")], delay_threshold: \"1MB\", \
                 prefer_lower_delay_standby: {prefer}"
            );
            let mut lab = Plan::new(2, &pgpool)
                .app("reads: Pause(\"20ms\"), start_after: \"5s\"")
                .app("scripts: Every(\"4s\"), script: [\"INSERT INTO t VALUES (1)\"], wal_per_write: 3000000, start_after: \"20s\"")
                .lab(seed);
            let cut = 15.0 + seed as f64 * 0.83;
            lab.to(cut);
            let cut = |on: bool| {
                let n = |n: &str| Target::Host(n.to_owned());
                if on {
                    Fault::Cut { target: n("n2"), from: n("n1"), plane: Some(Plane::replication) }
                } else {
                    Fault::Heal { target: None }
                }
            };
            lab.fault(cut(true));
            lab.to(60.0);
            let reads: Vec<_> = lab.routed().into_iter().filter(|r| &*r.1 == "SELECT * FROM t").collect();
            let first = reads.iter().find(|r| r.2 == Some(0)).expect("it leaves").0;
            // The write that made it late: the first that was committed behind the cut.
            let wrote = lab.routed().into_iter().filter(|r| r.1.starts_with("INSERT")).map(|r| r.0);
            let fault = Time((15.0 * 1e9 + seed as f64 * 0.83e9) as u64);
            let late = wrote.filter(|t| *t > fault).min().expect("a write");
            left.push(secs(first.since(late)));
            assert!(
                reads.iter().any(|r| r.0 > late && r.0 < first && r.2 == Some(1)),
                "late reads go on until then"
            );
            lab.fault(cut(false));
            lab.to(130.0);
            let in_time = lab.pool().find(|(at, n)| {
                *at > Time::ZERO + Span::secs(60) && matches!(n, Pool::Late { late: false, .. })
            });
            let in_time = in_time.expect("the worker sees it in time again").0;
            let reads = lab.routed();
            let again = reads.iter().find(|r| r.0 > Time::ZERO + Span::secs(60) && r.2 == Some(1));
            if prefer {
                assert!(again.is_none(), "the session's node has become the primary");
            } else {
                back.push(secs(again.expect("it comes back").0.since(in_time)));
            }
        }
    }
    assert!(left.iter().all(|t| *t <= 10.2), "{left:?}");
    assert!(left.iter().any(|t| *t < 4.0) && left.iter().any(|t| *t > 6.0), "{left:?}");
    assert!(back.iter().all(|t| *t <= 0.1), "with the worker's next look, not before: {back:?}");
    // Without a threshold it is never left.
    let mut lab = Plan::new(2, "backends: [(host: \"n1\", weight: 0), (host: \"n2\")]")
        .app("reads: Pause(\"50ms\"), start_after: \"5s\"")
        .app("scripts: Every(\"1s\"), script: [\"INSERT INTO t VALUES (1)\"], wal_per_write: 3000000, start_after: \"5s\"")
        .lab(1);
    lab.to(10.0);
    lab.fault(Fault::Cut {
        target: Target::Host("n2".into()),
        from: Target::Host("n1".into()),
        plane: Some(Plane::replication),
    });
    lab.to(100.0);
    assert!(lab.routed().iter().filter(|r| r.1.starts_with("SELECT")).all(|r| r.2 == Some(1)));
}

#[test]
fn pgp_11_what_only_the_primary_gets() {
    let postgres = "tables: {\"u\": (persistence: Unlogged)}, functions: {\"f_stable\": Stable, \"f_vol\": Volatile, \
                    \"f_write\": Writing, \"f_lies\": Lies}";
    for (text, way, rule) in [
        ("SELECT * FROM t", "S", Rule::Balanced),
        ("SELECT now()", "S", Rule::Balanced),
        ("SELECT f_stable(1)", "S", Rule::Balanced),
        ("SELECT * FROM information_schema.tables", "S", Rule::Balanced),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "S", Rule::Balanced),
        ("SHOW server_version", "S", Rule::Balanced),
        ("COPY (SELECT * FROM t) TO stdout", "S", Rule::Balanced),
        ("SELECT nextval('s')", "P", Rule::Volatile),
        ("SELECT currval('s')", "P", Rule::Volatile),
        ("SELECT random()", "P", Rule::Volatile),
        ("SELECT pg_is_in_recovery()", "P", Rule::Volatile),
        ("SELECT f_vol()", "P", Rule::Volatile),
        ("SELECT f_write()", "P", Rule::Volatile),
        ("SELECT * FROM t FOR UPDATE", "P", Rule::PrimaryOnly),
        ("SELECT * FROM t FOR SHARE", "P", Rule::PrimaryOnly),
        ("SELECT * FROM pg_class", "P", Rule::Catalog),
        ("SELECT * FROM u", "P", Rule::UnloggedTable),
        ("EXPLAIN SELECT * FROM t", "P", Rule::Explain),
        ("EXPLAIN ANALYZE SELECT * FROM t", "P", Rule::Explain),
        ("SELECT 1; SELECT 2", "P", Rule::Several),
        ("/* hello */ SELECT 1", "P", Rule::Comment),
        ("/*NO LOAD BALANCE*/ SELECT 1", "P", Rule::Comment),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM x", "P", Rule::PrimaryOnly),
        ("UPDATE t SET a = 1", "P", Rule::PrimaryOnly),
        ("LOCK TABLE t", "P", Rule::PrimaryOnly),
        ("SET work_mem = 1", "B", Rule::Both),
    ] {
        let (w, rules) = ways("", postgres, &[text]);
        assert_eq!((w.as_str(), rules[0]), (way, rule), "{text}");
    }
    assert_eq!(ways("", "", &["BEGIN", "SAVEPOINT a", "SELECT 1", "COMMIT"]).0, "BBPB");
    let serializable = ["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 1", "COMMIT"];
    assert_eq!(ways("", "", &serializable).0, "PPB", "its COMMIT goes to both all the same");
    assert_eq!(ways("", "", &["CREATE TEMP TABLE x (a int)", "SELECT * FROM x", "SELECT * FROM t"]).0, "PPS");
    assert_eq!(ways("", "", &["PREPARE p AS SELECT * FROM t", "EXECUTE p"]).0, "SS");
    assert_eq!(ways("", "", &["PREPARE p AS SELECT * FROM pg_class", "EXECUTE p"]).0, "PP");
    // Lists of functions.
    let list = "write_function_list: [\"f_lies\"]";
    for (text, way) in [("SELECT f_lies()", "P"), ("SELECT f_vol()", "S"), ("SELECT random()", "S")] {
        assert_eq!(ways(list, postgres, &[text]).0, way, "{text}");
    }
    let list = "read_only_function_list: [\"f_vol\"]";
    for (text, way) in [("SELECT f_vol()", "S"), ("SELECT f_stable(1)", "P"), ("SELECT 1", "S")] {
        assert_eq!(ways(list, postgres, &[text]).0, way, "{text}");
    }
    let comments = "allow_sql_comments: true";
    assert_eq!(ways(comments, "", &["/*NO LOAD BALANCE*/ SELECT 1"]).0, "S", "the hint is without effect");
    let pattern = "primary_routing_query_pattern_list: [\"SELECT \\\\* FROM orders.*\"]";
    assert_eq!(ways(pattern, "", &["SELECT * FROM orders", "SELECT * FROM t"]).0, "PS");
    let redirect = "database_redirect_preference_list: [\"ap.*:primary\"]";
    assert_eq!(ways(redirect, "", &["SELECT * FROM t"]), ("P".to_owned(), vec![Rule::Balanced]));
}

#[test]
fn redirect_lists_have_their_priorities_and_ratios() {
    let lists = "app_name_redirect_preference_list: [\"psql:0(0.3)\"], database_redirect_preference_list: [\"app:1\"]";
    let app = |name: &str| {
        let pgpool = format!(
            "backends: [(host: \"n1\"), (host: \"n2\"), (host: \"n3\")], num_init_children: 2, {lists}"
        );
        let app = format!(
            "application_name: \"{name}\", scripts: Pause(\"1ms\"), script: [\"SELECT 1\"], connections: PerOperation, start_after: \"5s\""
        );
        let mut lab = Plan { latency: "10us", ..Plan::new(3, &pgpool) }.app(&app).lab(7);
        lab.to(30.0);
        let b = &lab.shared().backends;
        let all: u64 = b.iter().map(|b| b.selects).sum();
        assert!(all > 2_000, "{all}");
        b.iter().map(|b| b.selects as f64 / all as f64).collect::<Vec<_>>()
    };
    assert_eq!(app("other"), [0.0, 1.0, 0.0], "the database's entry");
    let shares = app("psql");
    // 30% on node 0; when that is missed it is left out, and the others share by weight.
    for (got, want) in shares.iter().zip([0.3, 0.35, 0.35]) {
        assert!((got - want).abs() < 0.035, "{shares:?}");
    }
}

/// Three servers that need 5, 7 and 9 ms for a statement.
fn native(pgpool: &str) -> Plan {
    let ms = |n: u32| format!("cpu_per_write: \"{n}ms\", cpu_per_begin: \"{n}ms\"");
    let own = vec![(1, ms(5)), (2, ms(7)), (3, ms(9))];
    let pgpool = format!("cpu_per_statement: \"0us\", cpu_per_session: \"0us\", {pgpool}");
    Plan { own, latency: "1us", host: "disk: \"0us\"", ..Plan::native(&pgpool) }
}

#[test]
fn pgp_30_the_main_node_first_then_the_others_and_commit_the_other_way() {
    let mut lab = native("")
        .app("scripts: Pause(\"10s\"), script: [\"BEGIN\", \"UPDATE t SET a = 1\", \"COMMIT\"], start_after: \"5s\"")
        .app("scripts: Pause(\"10s\"), script: [\"UPDATE t SET a = 1\"], start_after: \"8s\"")
        .lab(1);
    lab.to(10.0);
    let at: Vec<f64> = lab.routed().iter().map(|r| secs(r.0.since(Time::ZERO)) * 1e3).collect();
    let ended: Vec<f64> = lab.ended().iter().map(|(t, _)| secs(t.since(Time::ZERO)) * 1e3).collect();
    let near = |got: f64, want: f64| assert!((got - want).abs() < 0.1, "{got} instead of {want} ms");
    near(at[1] - at[0], 9.0); // BEGIN: all at once
    near(at[2] - at[1], 14.0); // 5 + max(7, 9)
    near(ended[0] - at[2], 14.0); // max(7, 9) + 5
    near(ended[1] - at[3], 37.0); // wrapped in BEGIN and COMMIT
}

#[test]
fn pgp_31_the_main_node_dies_between_the_commits() {
    for seed in 1..=5 {
        let mut lab = native("failover_on_backend_error: false")
            .app("scripts: Pause(\"60s\"), script: [\"BEGIN\", \"INSERT INTO t VALUES (1)\", \"COMMIT\"], start_after: \"5s\"")
            .lab(seed);
        let committing = |l: &pgpool_client::Lab| l.routed().last().is_some_and(|r| &*r.1 == "COMMIT");
        assert!(lab.until(Time::ZERO + Span::secs(10), committing));
        let now = secs(lab.now().since(Time::ZERO));
        lab.to(now + 0.0095); // the others have committed, the main node has just been asked
        assert_eq!((lab.table("n2", "t").rows, lab.table("n3", "t").rows), (1, 1));
        lab.kill("n1", "postgres");
        lab.to(12.0);
        assert!(!lab.took()[0].1, "the client is told of no success");
        lab.fault(Fault::Start { target: Target::Host("n1".into()), process: "postgres".into() });
        lab.to(120.0);
        let rows: Vec<u64> = ["n1", "n2", "n3"].iter().map(|h| lab.table(h, "t").rows).collect();
        assert_eq!(rows[0] + 1, rows[1], "nothing repairs it: {rows:?}");
        assert_eq!(rows[1], rows[2]);
    }
}

#[test]
fn native_replication_rewrites_the_time_and_not_random_numbers() {
    let run = |value: &str, mode: &str| {
        let pgpool = format!("backend_clustering_mode: {mode}");
        let mut lab = Plan { streaming: false, ..Plan::new(3, &pgpool) }
            .app(&format!(
                "scripts: Pause(\"100ms\"), script: [\"INSERT INTO t VALUES ({value})\"], start_after: \"5s\""
            ))
            .lab(3);
        lab.to(8.0);
        let t: Vec<_> = ["n1", "n2", "n3"].iter().map(|h| lab.table(h, "t")).collect();
        assert!(t[0].rows > 20 && t.iter().all(|x| x.rows == t[0].rows));
        (t[0].sum, t[1].sum, t[2].sum)
    };
    for mode in ["native_replication", "snapshot_isolation"] {
        let (a, b, c) = run("now()", mode);
        assert!(a == b && b == c);
        let (a, b, c) = run("random()", mode);
        assert!(a != b && b != c && a != c, "three different values");
    }
    // A sequence gives every node its own number; the lock makes all nodes count in one order.
    for (lock, same) in [("true", true), ("false", false)] {
        let mut lab = Plan {
            postgres: "tables: {\"t\": (serial: true)}".to_owned(),
            ..Plan::native(&format!("insert_lock: {lock}"))
        }
        .app("scripts: Pause(\"2ms\"), script: [\"INSERT INTO t VALUES (1)\"], sessions: 8, start_after: \"5s\"")
        .lab(1);
        lab.to(8.0);
        let t: Vec<_> = ["n1", "n2", "n3"].iter().map(|h| lab.table(h, "t").sum).collect();
        let now = lab.shared().children.iter().any(|c| c.busy);
        assert_eq!(!now && t[0] == t[1] && t[1] == t[2] || now && same, same, "insert_lock: {lock}");
    }
}

#[test]
fn answers_that_differ_are_rolled_back_everywhere() {
    // Rows differ: five were deleted on node 2 only. Then an UPDATE touches another number of rows there.
    for (kind, setting, degenerates) in [
        ("rows", "", false),
        ("rows", "failover_if_affected_tuples_mismatch: true", true),
        ("rows", "replication_stop_on_mismatch: true", false),
        ("table", "", false),
        ("table", "replication_stop_on_mismatch: true", true),
        ("table", "failover_if_affected_tuples_mismatch: true", false),
    ] {
        let (spoil, statement) = match kind {
            "rows" => ("DELETE FROM t WHERE a = 1", "UPDATE t SET a = 2"),
            _ => ("DROP TABLE t", "INSERT INTO t VALUES (1)"),
        };
        let mut lab = Plan { postgres: "tables: {\"t\": (rows: 100)}".to_owned(), ..Plan::native(setting) }
            .direct(&format!(
                "connect: \"n3\", scripts: Pause(\"100s\"), script: [\"{spoil}\"], start_after: \"3s\""
            ))
            .app(&format!("scripts: Pause(\"100s\"), script: [\"{statement}\"], start_after: \"5s\""))
            .lab(1);
        lab.to(8.0);
        let took = lab.took();
        assert!(took[0].1 && !took[1].1, "{kind} {setting}");
        let t: Vec<_> = ["n1", "n2", "n3"].iter().map(|h| lab.table(h, "t").rows).collect();
        assert_eq!((t[0], t[1]), (0, 0), "nothing was written: the table is as it began");
        let mismatch = lab.pool().find_map(|(_, n)| match n {
            Pool::Mismatch { nodes, degenerates, .. } => Some((nodes.to_string(), *degenerates)),
            _ => None,
        });
        assert_eq!(mismatch, Some(("2 (n3)".to_owned(), degenerates)), "{kind} {setting}");
        assert_eq!(lab.shared().valid(2), !degenerates, "{kind} {setting}");
    }
}

#[test]
fn parallel_query_is_a_museum_piece() {
    let pgpool = "parallel_mode: true, replication_mode: true, dist_def: {\"orders\": \"id\"}";
    let mut lab = Plan { streaming: false, ..Plan::new(3, pgpool) }
        .app("scripts: Every(\"100ms\"), script: [\"SELECT * FROM orders\"], start_after: \"5s\"")
        .app("scripts: Every(\"100ms\"), script: [\"SELECT * FROM t\"], start_after: \"5s\"")
        .lab(1);
    lab.to(10.0);
    assert!(lab.took().iter().all(|t| t.1));
    lab.kill("n3", "postgres");
    lab.to(20.0);
    let lost = lab.pool().filter(|(_, n)| matches!(n, Pool::PartitionLost { .. })).count();
    assert!(lost > 30, "any lost node fails the table's queries: {lost}");
    assert!(lab.shared().valid(2), "there is no failover");
    let late: Vec<bool> = lab
        .ended()
        .iter()
        .filter(|e| e.0 > Time::ZERO + Span::secs(12))
        .map(|e| matches!(e.1.outcome, Outcome::Ok(_)))
        .collect();
    assert!(late.iter().any(|ok| *ok), "a table that is not partitioned is on node 0");
}

// ---- the queue against theory ---------------------------------------------------------------------------------------

#[test]
fn pgp_34_the_queue_is_that_of_m_m_c_k() {
    use rayon::prelude::*;
    // c = 32, K = 96, offered 32 Erlang: P_block = 0.0139326, Lq = 28.9798. A million arrivals for each seed, after a warm-up.
    let batches: Vec<(f64, f64)> = (1..=4u64)
        .into_par_iter()
        .flat_map_iter(|seed| {
            let all = pool_queue::play(32, 1_020_000, 10_000, seed).batches;
            // Batch means without the first ones: consecutive clients are correlated.
            let means = all.windows(2).skip(2).map(|w| {
                let (n, blocked, waited) = (w[1].0 - w[0].0, w[1].1 - w[0].1, w[1].2 - w[0].2);
                // Little: the mean queue is what was waited in the time of the batch.
                (blocked as f64 / n as f64, waited as f64 / 1e9 / (n as f64 / 32.0))
            });
            means.collect::<Vec<_>>()
        })
        .collect();
    assert!(batches.len() >= 4 * 99);
    for (name, exact, values) in [
        ("P_block", 0.013_932_6, batches.iter().map(|b| b.0).collect::<Vec<f64>>()),
        ("Lq", 28.979_8, batches.iter().map(|b| b.1).collect()),
    ] {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let error = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
        assert!((mean - exact).abs() <= 3.0 * error, "{name}: {mean} +- {error}, not {exact}");
        assert!(error < exact * 0.05, "{name}: {error} is no precision");
    }
}

// ---- what pgpool refuses ---------------------------------------------------------------------------------------------

#[test]
fn what_pgpool_refuses_is_refused_here_with_its_reason() {
    use firedrill::scenario::lint;
    use firedrill::scenario::load::read;
    use firedrill::scenario::types::Stack;
    let found = |pgpool: &str| {
        let text = Plan { streaming: false, ..Plan::new(2, pgpool) }.text();
        let (stack, tree) =
            read::<Stack>("stack.ron", &text).unwrap_or_else(|r| panic!("{}", r.render(false)));
        let list = lint::stack(&stack, &tree);
        list.into_iter().map(|d| (d.warning, d.message, text[d.span].to_owned())).collect::<Vec<_>>()
    };
    for (pgpool, warning, words, span) in [
        ("parallel_mode: true, master_slave_mode: true", false, "cannot be used together", "true"),
        ("replication_mode: true, master_slave_mode: true", false, "at the same time", "true"),
        ("replication_mode: true, backend_clustering_mode: raw", false, "both say who replicates", "true"),
        ("parallel_mode: true, replication_mode: false", false, "needs replication_mode", "false"),
        ("backend_clustering_mode: slony", false, "retired in 4.7", "slony"),
        ("process_management_mode: dynamic", false, "not modelled", "dynamic"),
        (
            "write_function_list: [\"f\"], read_only_function_list: [\"g\"]",
            false,
            "exclude each other",
            "[\"g\"]",
        ),
        ("database_redirect_preference_list: [\"app\"]", false, "name:node", "app"),
        ("database_redirect_preference_list: [\"app:5\"]", false, "there is no node 5", "app:5"),
        ("reserved_connections: 32", false, "every client is refused", "32"),
        ("num_init_children: 0", false, "goes from 1 to 2000", "0"),
        ("backends: [(host: \"n7\")]", false, "runs no PostgreSQL", "n7"),
        ("num_init_children: 200", true, "is more than max_connections", "200"),
        ("max_pool: 8", true, "kept connections use up", "8"),
        ("sr_check_period: \"0s\", delay_threshold: \"1MB\"", true, "no delay is ever known", "0s"),
        (
            "health_check_period: \"5s\", health_check_max_retries: 3, failover_on_backend_error: true",
            true,
            "protect from nothing",
            "true",
        ),
        (
            "use_watchdog: true, backend_clustering_mode: native_replication, failover_when_quorum_exists: true",
            false,
            "not allowed in native replication",
            "true",
        ),
    ] {
        let list = found(pgpool);
        let hit = list.iter().find(|d| d.1.contains(words));
        let Some((w, _, s)) = hit else { panic!("{pgpool}: {list:?}") };
        assert_eq!((*w, s.trim_matches('"')), (warning, span), "{pgpool}");
    }
    let text = Plan::new(2, "num_init_childern: 5").text();
    let report = read::<Stack>("stack.ron", &text).expect_err("an unknown setting").render(false);
    assert!(report.contains("num_init_children"), "{report}");
}
