//! The invariants over pgpools, each where it breaks and where it holds; and the settings that exclude each other, with the place in the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod pgpool_lab;

use firedrill::scenario::load::{load, read};
use firedrill::scenario::types::{Drill, Stack};
use pgpool_lab::{Loaded, drill, drill_on, play, single};

/// Three servers that pgpool writes to, one program whose every operation is a write of some 40 ms.
fn native(pgpool: &str, statement: &str, faults: &str) -> Loaded {
    let server = |ms: u32| format!(r#"Postgres(cpu_per_write: "{ms}ms", cpu_per_begin: "{ms}ms")"#);
    let stack = format!(
        r#"Stack(about: "native replication", networks: {{ "lan": (latency: "100us..300us") }}, hosts: {{
            "n1": (runs: [{}]), "n2": (runs: [{}]), "n3": (runs: [{}]),
            "pool": (runs: [Pgpool(backend_clustering_mode: native_replication, num_init_children: 1, {pgpool})]),
            "cl": (runs: [Application(connect: "pool:9999", start_after: "3s", scripts: Pause("1ms"), script: ["{statement}"], statement_timeout: "5s")]),
        }})"#,
        server(5),
        server(7),
        server(9)
    );
    let drill = format!(r#"Drill(about: "test", stack: "x", until: "20s", faults: [{faults}])"#);
    let stack = read::<Stack>("stack.ron", &stack).unwrap_or_else(|r| panic!("{}", r.render(false))).0;
    let drill = read::<Drill>("drill.ron", &drill).unwrap_or_else(|r| panic!("{}", r.render(false))).0;
    Loaded { stack, drill }
}
/// In how many of so many runs an invariant broke.
fn breaks(l: &Loaded, invariant: &str, seeds: u64) -> u64 {
    (1..=seeds).filter(|s| play(l, *s).broken(invariant)).count() as u64
}

#[test]
fn two_pgpools_lead_and_both_have_the_address() {
    let quiet = r#""pgpool.health_check_period": "0s", "application.autostart": "false","#;
    let faults = r#"At("45s..55s", Cut("n1", from: Everyone))"#;
    // Two pgpools and half votes: each side of the cut goes on. Three: the leader alone gives the address up before another takes it.
    let half = format!(r#"{quiet} "pgpool.enable_consensus_with_half_votes": "true","#);
    let two = drill_on("pgpool-watchdog-two", &half, "100s", r#"At("45s..55s", Cut("n1", from: "n2"))"#);
    assert_eq!(breaks(&two, "TwoPgpoolLeaders", 10), 10);
    assert_eq!(breaks(&drill(quiet, "100s", faults), "TwoPgpoolLeaders", 20), 0);
    // With the default timing the majority may be first: [22, 47.5] s against [29, 41] s.
    let slow = format!(
        r#"{quiet} "pgpool.wd_interval": "10s", "pgpool.wd_heartbeat_keepalive": "2s", "pgpool.wd_heartbeat_deadtime": "30s","#
    );
    let l = drill(&slow, "240s", r#"At("160s..171s", Cut("n1", from: Everyone))"#);
    let n = breaks(&l, "TwoPgpoolLeaders", 40);
    assert!((1..40).contains(&n), "two addresses in {n} of 40");
}

#[test]
fn a_write_is_acknowledged_with_fewer_copies_than_the_mode_promises() {
    // A node is attached while a child stands still in the middle of a write: its session knows two of three.
    let faults = r#"At("5s", PcpDetachNode("pool", 2)), At("8s..9s", Pause("pool", "pgpool/child-0")),
        After("1s", Mark("fault", ""), PcpAttachNode("pool", 2)), At("12s", Resume("pool", "pgpool/child-0"))"#;
    let faults = faults.replace(r#"After("1s", Mark("fault", ""), "#, r#"At("11s", "#);
    let n = breaks(&native("", "INSERT INTO t VALUES (1)", &faults), "FewerCopies", 60);
    assert!((1..60).contains(&n), "in {n} of 60: the last commit was answered in time in about one of seven");
    // Nobody stands still: every session ends before the node is used again.
    let plain = r#"At("5s", PcpDetachNode("pool", 2)), At("11s..12s", PcpAttachNode("pool", 2))"#;
    assert_eq!(breaks(&native("", "INSERT INTO t VALUES (1)", plain), "FewerCopies", 20), 0);
    // The main node dies in the middle of anything: who was told of success has it on all that are left. (Measured: 0 missing.)
    let dies = r#"At("8s..9s", Kill("n1", "postgres"))"#;
    assert_eq!(breaks(&native("", "INSERT INTO t VALUES (1)", dies), "FewerCopies", 40), 0);
}

#[test]
fn a_select_goes_to_a_node_that_is_detached_or_too_late() {
    let late = r#"backends: [(host: "db1", weight: 0), (host: "db2"), (host: "db3", weight: 0)], delay_threshold: "4kB","#;
    let cut = r#"At("20s..25s", Cut("db2", from: "db1", plane: replication))"#;
    assert_eq!(breaks(&single(late, true, "60s", cut), "LateRead", 10), 10, "until the worker looks");
    assert_eq!(breaks(&single(late, true, "60s", r#"At("59s", Heal())"#), "LateRead", 10), 0);
    // Without a threshold no delay is too much, by pgpool's own rule.
    let any = late.replace(r#"delay_threshold: "4kB","#, "");
    assert_eq!(breaks(&single(&any, true, "60s", cut), "LateRead", 10), 0);
    // A node is detached under its readers: their sessions end before another SELECT could go there.
    let one = r#"backends: [(host: "db1", weight: 0), (host: "db2")],"#;
    let faults = r#"At("21500ms", PcpDetachNode("pool", 1))"#;
    assert_eq!(breaks(&single(one, true, "40s", faults), "LateRead", 20), 0);
}

#[test]
fn servers_that_pgpool_writes_to_diverge() {
    let none = r#"At("19s", Heal())"#;
    for (statement, breaks_it) in [
        ("INSERT INTO t VALUES (random())", true),
        ("INSERT INTO t VALUES (now())", false),
        ("INSERT INTO t VALUES (1)", false),
    ] {
        let n = breaks(&native("", statement, none), "Divergence", 5);
        assert_eq!(n, if breaks_it { 5 } else { 0 }, "{statement}");
    }
    // Attached again as it is, a node lacks what was written meanwhile: an attach copies nothing.
    let faults = r#"At("5s", PcpDetachNode("pool", 2)), At("11s..12s", PcpAttachNode("pool", 2))"#;
    assert_eq!(breaks(&native("", "INSERT INTO t VALUES (1)", faults), "Divergence", 10), 10);
}

#[test]
fn a_client_is_refused_although_the_queue_has_room() {
    let crowd = |pgpool: &str, sessions: u32| {
        let stack = format!(
            r#"Stack(about: "a crowd", networks: {{ "lan": () }}, hosts: {{
                "db1": (runs: [Postgres()]),
                "pool": (runs: [Pgpool(num_init_children: 4, {pgpool})]),
                "cl": (runs: [Application(connect: "pool:9999", start_after: "3s", sessions: {sessions}, connections: PerOperation, scripts: Pause("1ms"), script: ["SELECT pg_sleep(1)"], connect_timeout: "30s")]),
            }})"#
        );
        let drill = r#"Drill(about: "test", stack: "x", until: "8s", faults: [At("7s", Heal())])"#;
        let stack = read::<Stack>("stack.ron", &stack).unwrap_or_else(|r| panic!("{}", r.render(false))).0;
        let drill = read::<Drill>("drill.ron", drill).unwrap_or_else(|r| panic!("{}", r.render(false))).0;
        Loaded { stack, drill }
    };
    assert_eq!(breaks(&crowd("reserved_connections: 1", 8), "RefusedWithRoom", 5), 5);
    // Waiting is no refusal, and with a place to spare nobody is refused.
    assert_eq!(breaks(&crowd("", 8), "RefusedWithRoom", 5), 0);
    assert_eq!(breaks(&crowd("reserved_connections: 1", 3), "RefusedWithRoom", 5), 0);
}

// ---- settings that exclude each other -------------------------------------------------------------------------------

/// What is said of a stack whose pgpool's settings stand in lines of their own, from line 7 on, behind six blanks.
fn said(settings: &[&str], tables: &str) -> (bool, String) {
    let lines: String = settings.iter().map(|s| format!("      {s},\n")).collect();
    let stack = format!(
        "Stack(\n  about: \"test\",\n  networks: {{ \"lan\": () }},\n  hosts: {{\n    \"n1\": (runs: [Postgres(max_connections: 50, {tables})]),\n    \"pool\": (runs: [Pgpool(\n{lines}    )]),\n  }},\n)\n"
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stack.ron"), stack).unwrap();
    let path = dir.path().join("drill.ron");
    std::fs::write(&path, "Drill(about: \"test\", stack: \"stack.ron\", until: \"10s\")").unwrap();
    let all = |r: &[firedrill::scenario::diag::Report]| r.iter().map(|r| r.render(false)).collect::<String>();
    match load(path.to_str().unwrap(), &[], None) {
        Ok(l) => (false, all(&l.warnings)),
        Err(reports) => (true, all(&reports)),
    }
}

#[test]
fn settings_that_exclude_each_other_are_shown_in_their_place_with_the_reason() {
    for (settings, tables, refused, place, reasons) in [
        // Parallel query with master/slave.
        (
            &["master_slave_mode: true", "parallel_mode: true"][..],
            "",
            true,
            "stack.ron:8:22",
            &[
                "parallel query mode and master/slave mode cannot be used together",
                "parallel query needs replication_mode, and is incompatible with master/slave",
            ][..],
        ),
        // The two lists of functions: each says of all others what the other one says of its own.
        (
            &["write_function_list: [\"f\"]", "num_init_children: 4", "read_only_function_list: [\"g\"]"],
            "",
            true,
            "stack.ron:9:32",
            &[
                "write_function_list and read_only_function_list exclude each other",
                "with a list of writing functions all others read",
            ],
        ),
        // Unlogged tables, and nobody looks for them.
        (
            &["num_init_children: 4", "check_unlogged_table: false"],
            "tables: {\"u\": (persistence: Unlogged)}",
            false,
            "stack.ron:8:29",
            &["n1 has unlogged tables, which standbys do not"],
        ),
        // A quorum for failovers in native replication.
        (
            &[
                "backend_clustering_mode: native_replication",
                "use_watchdog: true",
                "failover_when_quorum_exists: true",
            ],
            "",
            true,
            "stack.ron:9:36",
            &[
                "failover_when_quorum_exists is not allowed in native replication mode",
                "every pgpool decides for itself there",
            ],
        ),
        // More children than the server has places; and more kept connections.
        (
            &["max_pool: 1", "num_init_children: 48"],
            "",
            false,
            "stack.ron:8:26",
            &[
                "num_init_children = 48 is more than max_connections - superuser_reserved_connections = 47 on n1",
            ],
        ),
        (
            &["num_init_children: 12", "max_pool: 4"],
            "",
            false,
            "stack.ron:8:17",
            &[
                "max_pool * num_init_children = 48 is more than max_connections - superuser_reserved_connections = 47",
            ],
        ),
    ] {
        let (error, text) = said(settings, tables);
        assert_eq!(error, refused, "{settings:?}\n{text}");
        assert!(text.contains(place), "{settings:?}: {place} in\n{text}");
        for reason in reasons {
            assert!(text.contains(reason), "{settings:?}: {reason} in\n{text}");
        }
    }
    // At the edge there is nothing to say.
    for settings in [&["max_pool: 1", "num_init_children: 47"][..], &["num_init_children: 11", "max_pool: 4"]]
    {
        assert_eq!(said(settings, ""), (false, String::new()), "{settings:?}");
    }
}

#[test]
fn a_lifecheck_by_queries_needs_a_user_a_database_and_a_statement() {
    let query = ["use_watchdog: true", "wd_lifecheck_method: query"];
    let with = |more: &[&'static str]| {
        said(&query.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>(), "")
    };
    let (error, text) = with(&[]);
    assert!(!error && text.contains("stack.ron:8:28") && text.contains("never begins"), "{text}");
    let user = "wd_lifecheck_user: \"nobody\"";
    assert!(!with(&[user]).1.contains("never begins"));
    for (setting, place, reason) in [
        ("wd_lifecheck_dbname: \"\"", "stack.ron:10:28", "needs a database"),
        ("wd_lifecheck_query: \"\"", "stack.ron:10:27", "is no statement"),
        ("wd_life_point: 0", "stack.ron:10:22", "dead in the first round"),
    ] {
        let (error, text) = with(&[user, setting]);
        assert!(error && text.contains(place) && text.contains(reason), "{setting}\n{text}");
    }
    let (error, text) = said(&["use_watchdog: true", user], "");
    assert!(!error && text.contains("is for `wd_lifecheck_method: query`"), "{text}");
}
