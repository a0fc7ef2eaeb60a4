//! Many runs: the same bytes whatever the threads, the interruptions and the shards; the same luck on every stack; words for every mistake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::experiment::headless;
use firedrill::experiment::results::Results;
use firedrill::experiment::row::Row;
use firedrill::node::log::{Level, What};
use firedrill::proto::Note;
use firedrill::scenario::{embedded, load};
use firedrill::trace::metrics::Metrics;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn firedrill(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    c.args(args).stdin(Stdio::null()).env("LC_ALL", "C");
    for name in ["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"] {
        c.env_remove(name);
    }
    c
}
fn output(args: &[&str]) -> Output {
    firedrill(args).output().unwrap()
}
fn ok(args: &[&str]) -> String {
    let out = output(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}
fn path(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}
fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
fn rows(path: &str) -> Vec<Row> {
    Results::open(Path::new(path)).unwrap().map(Result::unwrap).collect()
}

/// A short sweep: ten seconds of a pair, two settings of six points.
const SHORT: [&str; 8] = [
    "sweep",
    "keepalived/master-power-off",
    "--set",
    "drill.until=35s",
    "--vary",
    "keepalived.advert_int=500ms..1s:250ms",
    "--vary",
    "networks.lan.latency=200us..600us,1ms..2ms",
];
fn short<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SHORT.iter().chain(more).copied().collect()
}

#[test]
fn rows_are_in_order_and_the_same_for_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for threads in ["1", "2", "5"] {
        for form in ["jsonl", "csv"] {
            let out = path(&dir, &format!("{threads}.{form}"));
            ok(&short(&["--seeds", "7..31", "--threads", threads, "--out", &out]));
            all.push((form, bytes(&out)));
        }
    }
    for form in ["jsonl", "csv"] {
        let mine: Vec<&Vec<u8>> = all.iter().filter(|a| a.0 == form).map(|a| &a.1).collect();
        assert!(mine.iter().all(|m| *m == mine[0]), "{form}");
    }
    let rows = rows(&path(&dir, "1.jsonl"));
    assert_eq!(rows, self::rows(&path(&dir, "5.csv")), "both forms say the same");
    assert_eq!(rows.len(), 24 * 6);
    for (n, r) in rows.iter().enumerate() {
        assert_eq!((r.run, r.seed), (n as u64, 7 + n as u64 / 6));
        assert_eq!(r.knob("keepalived.advert_int"), Some(["500ms", "750ms", "1s"][n % 6 / 2]));
        assert_eq!(r.knob("networks.lan.latency"), Some(["200us..600us", "1ms..2ms"][n % 2]));
    }
    // The first advert that is missed decides: three intervals and the skew, from the last advert on, which came up to one before.
    for r in &rows {
        let interval = [500.0, 750.0, 1000.0][(r.run % 6 / 2) as usize];
        let master = r.number("mark.master_ms").unwrap();
        assert!(master > 2.0 * interval && master < 4.0 * interval, "{master} at {interval}");
    }
}

#[test]
fn a_row_is_the_run() {
    let l = load::load("patroni/primary-power-off", &[], None).unwrap();
    let r = firedrill::trace::run::run(&l.stack, &l.drill, 3, Level::Story, true);
    let json = firedrill::report::json::run(&l.drill_name, &l.stack_name, &r);
    let row: serde_json::Value =
        serde_json::from_str(&Row::of(0, &l.drill_name, &l.stack_name, &[], &r).json()).unwrap();
    for name in ["drill", "stack", "seed", "digest", "events", "simulated_ms", "verdict"] {
        assert_eq!(row[name], json[name], "{name}");
    }
    for (name, value) in json["metrics"].as_object().unwrap() {
        if name == "errors" {
            for (kind, n) in value.as_object().unwrap().iter().filter(|e| e.1 != 0) {
                assert_eq!(row[&format!("error.{kind}")], *n, "{kind}");
            }
        } else if value.is_array() {
            let pairs: Vec<[f64; 2]> = serde_json::from_value(row[name].clone()).unwrap();
            let of = |v: &serde_json::Value, k: &str| v[k].as_f64().unwrap();
            let theirs: Vec<[f64; 2]> =
                value.as_array().unwrap().iter().map(|w| [of(w, "from_ms"), of(w, "to_ms")]).collect();
            assert_eq!(pairs, theirs, "{name}");
        } else {
            assert_eq!(row[name].as_f64(), value.as_f64(), "{name}");
        }
    }
    let marks = json["marks"].as_array().unwrap();
    let at = |m: &serde_json::Value| m["at_ms"].as_f64().unwrap();
    let fault = at(marks.iter().find(|m| m["kind"] == "fault").unwrap());
    assert_eq!(row["first_fault_ms"].as_f64(), Some(fault));
    for kind in
        ["promoted", "leader_elected", "lease_expired", "client_first_error", "client_resumed", "healed"]
    {
        let first =
            marks.iter().find(|m| m["kind"] == kind && at(m) >= fault).unwrap_or_else(|| panic!("{kind}"));
        let mine = row[&format!("mark.{kind}_ms")].as_f64().unwrap();
        assert!((mine - (at(first) - fault)).abs() < 0.002, "{kind}: {mine}");
    }
}

#[test]
fn a_run_without_a_story_is_the_same_run() {
    for name in embedded::drills() {
        let l = load::load(&name, &[], None).unwrap();
        for seed in [l.drill.seed, 11] {
            let (told, quiet) = (
                firedrill::trace::run::run(&l.stack, &l.drill, seed, Level::Story, false),
                headless::run(&l.stack, &l.drill, seed),
            );
            assert_eq!((told.digest, told.events), (quiet.digest, quiet.events), "{name} {seed}");
            assert_eq!(Metrics::of(&told), Metrics::of(&quiet), "{name} {seed}");
            let marks = |r: &firedrill::trace::run::Run| {
                r.marks.iter().map(|m| (m.at, m.kind, m.host)).collect::<Vec<_>>()
            };
            assert_eq!(marks(&told), marks(&quiet), "{name} {seed}");
            let each =
                |r: &firedrill::trace::run::Run| r.verdict.each.iter().map(|e| e.verdict).collect::<Vec<_>>();
            assert_eq!(each(&told), each(&quiet), "{name} {seed}");
        }
    }
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, torn) = (path(&dir, "whole.jsonl"), path(&dir, "torn.jsonl"));
    ok(&short(&["--seeds", "60", "--out", &whole]));
    let wanted = bytes(&whole);
    // Killed in the middle.
    let killed = path(&dir, "killed.jsonl");
    let mut child = firedrill(&short(&["--seeds", "60", "--threads", "1", "--out", &killed]))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let size = || std::fs::metadata(&killed).map_or(0, |m| m.len());
    while size() < 20_000 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(size() > 0 && size() < wanted.len() as u64, "it was in the middle");
    ok(&short(&["--seeds", "60", "--out", &killed]));
    assert_eq!(bytes(&killed), wanted);
    // Fewer from here on: more than one chunk all the same.
    std::fs::remove_file(&whole).unwrap();
    ok(&short(&["--seeds", "25", "--out", &whole]));
    let wanted = bytes(&whole);
    // Torn anywhere: in the header, at its end, in the first row, at a line's end, before the last newline.
    let header = wanted.iter().position(|b| *b == b'\n').unwrap() + 1;
    let second = header + wanted[header..].iter().position(|b| *b == b'\n').unwrap() + 1;
    for cut in
        [0, 1, header - 1, header, header + 1, second - 1, second, second + 9, wanted.len() - 1, wanted.len()]
    {
        std::fs::write(&torn, &wanted[..cut]).unwrap();
        let out = output(&short(&["--seeds", "25", "--out", &torn]));
        assert!(out.status.success(), "{cut}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(bytes(&torn), wanted, "{cut}");
    }
    // The table is that of all runs, those found among them.
    let table = |file: &str| ok(&short(&["--seeds", "25", "--out", file]));
    assert_eq!(table(&torn), ok(&short(&["--seeds", "25"])));
}

#[test]
fn a_sweep_into_csv_goes_on_too() {
    let dir = tempfile::tempdir().unwrap();
    let (native, csv) = (path(&dir, "a.jsonl"), path(&dir, "a.csv"));
    ok(&short(&["--seeds", "5", "--out", &native]));
    let part = PathBuf::from(format!("{csv}.part.jsonl"));
    let half = bytes(&native).len() / 2;
    std::fs::write(&part, &bytes(&native)[..half]).unwrap();
    let out = output(&short(&["--seeds", "5", "--out", &csv]));
    assert!(String::from_utf8_lossy(&out.stderr).contains("going on after"), "{out:?}");
    assert!(!part.exists());
    assert_eq!(bytes(&csv), ok(&short(&["--seeds", "5", "--format", "csv"])).into_bytes());
    let again = output(&short(&["--seeds", "5", "--out", &csv]));
    assert!(String::from_utf8_lossy(&again.stderr).contains("complete already"), "{again:?}");
}

#[test]
fn merged_shards_are_the_unsharded_file() {
    let dir = tempfile::tempdir().unwrap();
    for form in ["jsonl", "csv"] {
        let whole = path(&dir, &format!("whole.{form}"));
        ok(&short(&["--seeds", "3..8", "--out", &whole]));
        for n in [1, 2, 3, 7, 40] {
            let files: Vec<String> = (1..=n).map(|i| path(&dir, &format!("{i}-of-{n}.{form}"))).collect();
            for (i, file) in files.iter().enumerate() {
                let shard = format!("{}/{n}", i + 1);
                ok(&short(&["--seeds", "3..8", "--shard", &shard, "--out", file]));
            }
            let merged = path(&dir, &format!("merged-{n}.{form}"));
            // In any order.
            let mut args = vec!["sweep", "--out", &merged, "--merge"];
            args.extend(files.iter().rev().map(String::as_str));
            ok(&args);
            assert_eq!(bytes(&merged), bytes(&whole), "{n} shards as {form}");
        }
    }
    // A database's clients fail in several ways, and the names of those are columns too.
    let databases = |more: &[&str]| {
        let sweep = ["sweep", "patroni/primary-power-off", "--seeds", "0..2", "--out"];
        ok(&[&sweep, more].concat());
    };
    let (whole, merged) = (path(&dir, "db.jsonl"), path(&dir, "db-merged.jsonl"));
    let parts = [path(&dir, "db-1.jsonl"), path(&dir, "db-2.jsonl")];
    databases(&[&whole]);
    databases(&[&parts[0], "--shard", "1/2"]);
    databases(&[&parts[1], "--shard", "2/2"]);
    ok(&["sweep", "--out", &merged, "--merge", &parts[0], &parts[1]]);
    assert!(rows(&whole).iter().all(|r| r.metrics.errors.len() > 1), "{:?}", rows(&whole));
    assert_eq!(bytes(&merged), bytes(&whole));
    // What a batch system says of the part is the same as saying it.
    let (said, told) = (path(&dir, "said.jsonl"), path(&dir, "2-of-3.jsonl"));
    for (id, count) in
        [("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"), ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS")]
    {
        let mut c = firedrill(&short(&["--seeds", "3..8", "--out", &said]));
        assert!(c.env(id, "1").env(count, "3").output().unwrap().status.success());
        assert_eq!(bytes(&said), bytes(&told), "{id}");
        std::fs::remove_file(&said).unwrap();
    }
    let (one, two, three) =
        (path(&dir, "1-of-3.jsonl"), path(&dir, "2-of-3.jsonl"), path(&dir, "3-of-3.jsonl"));
    let whole = path(&dir, "whole.jsonl");
    let refused = |files: &[&str], part: &str| {
        let mut args = vec!["sweep", "--merge"];
        args.extend(files);
        let out = output(&args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "{part:?} in: {said}");
    };
    refused(&[&one, &three], "a shard is missing");
    refused(&[&one, &two], "a shard is missing");
    refused(&[&one, &two, &two, &three], "in another file too");
    refused(&[&one, &whole], "in another file too");
    let other = path(&dir, "other.jsonl");
    ok(&short(&["--seeds", "3..9", "--shard", "2/3", "--out", &other]));
    refused(&[&one, &other, &three], "cannot be mixed (seeds: (3, 8) and (3, 9))");
    let older = path(&dir, "older.jsonl");
    let text = String::from_utf8(bytes(&two)).unwrap();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version));
    std::fs::write(&older, text.replacen(&version, "\"version\":\"0.0.9\"", 1)).unwrap();
    refused(&[&one, &older, &three], "version of firedrill");
    let torn = path(&dir, "torn.jsonl");
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&torn, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    refused(&[&one, &torn, &three], "not finished: 1 runs are missing");
    refused(&[&one, "/nonexistent.jsonl"], "nonexistent");
    refused(&["Cargo.toml"], "no results");
}

#[test]
fn every_mistake_has_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let there = path(&dir, "there.jsonl");
    ok(&["sweep", "keepalived/master-power-off", "--seeds", "2", "--out", &there]);
    let notes = path(&dir, "notes.txt");
    std::fs::write(&notes, "shopping list\n").unwrap();
    let power_off = "patroni/primary-power-off";
    let cases: &[(&[&str], &[&str])] = &[
        (&["patroni/primary-power-of"], &["did you mean `patroni/primary-power-off`?"]),
        (
            &[power_off, "--vary", "patroni.tll=20s,30s"],
            &["no knob `patroni.tll`", "did you mean `patroni.ttl`?"],
        ),
        (&[power_off, "--vary", "patroni.ttl=20s..30s"], &["has no step", "--design random:N or lhs:N"]),
        (&[power_off, "--vary", "patroni.ttl"], &["has no `=`"]),
        (&[power_off, "--vary", "patroni.ttl=20..30:5"], &["expected a duration in quotes with a unit"]),
        (&[power_off, "--vary", "patroni.ttl=30s..20s:5s"], &["backwards"]),
        (&[power_off, "--vary", "client.ttl=1"], &["no knob `client.ttl`"]),
        (
            &["keepalived/master-power-off", "--vary", "keepalived.priority=250..260:1"],
            &["`priority` is out of its range", "1 to 255", "keepalived.conf(5)", "keepalived.priority=260"],
        ),
        (&[power_off, "--set", "patroni.ttl"], &["has no `=`"]),
        (&[power_off, "--seeds", "9..3"], &["no seed in it"]),
        (&[power_off, "--seeds", "x"], &["the first seed"]),
        (&[power_off, "--design", "sobol:7"], &["grid, random:N or lhs:N"]),
        (&[power_off, "--design", "lhs:7"], &["needs a --vary"]),
        (&[power_off, "--shard", "0/3"], &["1/n to n/n"]),
        (&[power_off, "--shard", "4/3"], &["1/n to n/n"]),
        (&[power_off, "--shard", "3"], &["write 1/4"]),
        (&[power_off, "--stack", "patroni-etcd-haprox"], &["did you mean `patroni-etcd-haproxy`?"]),
        (&[power_off, "--seeds", "2", "--out", &there], &["other results (drill: ", "give another --out"]),
        (
            &["keepalived/master-power-off", "--seeds", "3", "--out", &there],
            &["other results (seeds: (0, 3) and (0, 2))"],
        ),
        (&["keepalived/master-power-off", "--out", &notes], &["is there and has no results"]),
        (
            &["keepalived/master-power-off", "--seeds", "2", "--out", "/nonexistent/x.jsonl"],
            &["/nonexistent/x.jsonl"],
        ),
        (&[], &["required"]),
    ];
    for (args, parts) in cases {
        let args: Vec<&str> = ["sweep"].iter().chain(*args).copied().collect();
        let out = output(&args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        for part in *parts {
            assert!(said.contains(part), "{args:?}: {part:?} in:\n{said}");
        }
    }
    assert_eq!(bytes(&notes), b"shopping list\n");
    for (args, part) in [
        (["--stacks", "patroni-etcd-haproxy,patroni-consul"], "there is no stack"),
        (["--stacks", "patroni-etcd-haproxy,patroni-etcd-haproxy"], "named twice"),
        (["--stacks", "patroni-etcd-haproxy,lvs-nat"], ""),
    ] {
        let out = output(&["compare", power_off, args[0], args[1]]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(said.contains(part), "{args:?}: {said}");
        assert!(part.is_empty() || out.status.code() == Some(2), "{args:?}: {said}");
    }
}

#[test]
fn stacks_meet_the_same_faults_and_the_same_clients() {
    // One client that comes by chance, faults at times drawn from a range; stacks with two and with three hosts.
    let dir = tempfile::tempdir().unwrap();
    let drill = path(&dir, "drill.ron");
    let text = r#"Drill(
        about: "The master's power goes at a time that is drawn, and comes back.",
        stack: "keepalived-trio",
        until: "30s",
        set: { "client.requests": "Poisson(\"20ms\")" },
        faults: [At("10s..15s", PowerOff(VipHolder)), At("16s..25s", PowerOn(Everyone))],
    )"#;
    std::fs::write(&drill, text).unwrap();
    let seen = |stack: &str, seed: u64| {
        let l = load::load(&drill, &[], Some(stack)).unwrap_or_else(|r| panic!("{}", r[0].render(false)));
        let r = firedrill::trace::run::run(&l.stack, &l.drill, seed, Level::Story, true);
        let mut sent: Vec<u64> = r
            .log
            .iter()
            .filter_map(|e| match &e.what {
                What::Note(Note::Client(n)) => Some(n.sent.0),
                _ => None,
            })
            .collect();
        sent.sort_unstable();
        let faults: Vec<u64> =
            r.marks.iter().filter(|m| matches!(m.kind, "fault" | "healed")).map(|m| m.at.0).collect();
        (sent, faults, r.digest)
    };
    let mut times = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (a, b) = (seen("keepalived-trio", seed), seen("keepalived-pair", seed));
        assert!(a.0.len() > 1_000, "{}", a.0.len());
        // Requests whose answer was still out at the end are not told of: on some stack there may be fewer at the very end.
        let n = a.0.partition_point(|t| *t < 28_000_000_000);
        assert_eq!(a.0[..n], b.0[..n], "seed {seed}: the same arrivals");
        assert_eq!(a.1, b.1, "seed {seed}: the same faults");
        assert_eq!(a.1.len(), 2);
        assert_ne!(a.2, b.2, "two stacks are two runs");
        times.insert(a.1[0]);
    }
    assert_eq!(times.len(), 20, "each seed has its own times");
}

#[test]
fn a_comparison_says_the_same_on_any_number_of_threads_and_in_both_languages() {
    let stacks = "patroni-etcd-haproxy,patroni-consul-haproxy,patroni-vip-on-hosts";
    let base = ["compare", "patroni/primary-power-off", "--stacks", stacks, "--seeds", "8"];
    let with = |more: &[&str]| ok(&base.iter().chain(more).copied().collect::<Vec<_>>());
    let text = with(&["--threads", "1"]);
    assert_eq!(text, with(&["--threads", "3"]));
    for line in text.lines().filter(|l| !l.contains("firedrill play")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(text.matches("firedrill play patroni/primary-power-off --stack ").count(), 3);
    let wide = with(&["--width", "140"]);
    assert!(wide.lines().count() < text.lines().count() && wide.contains("C - A"));
    let zh = with(&["--lang", "zh"]);
    assert!(zh.contains("同一种子的差") && zh.contains("写可用性"), "{zh}");
    let json = with(&["--format", "json", "--lang", "zh"]);
    assert_eq!(json, with(&["--format", "json", "--threads", "2"]));
    let v: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(v["stacks"].as_array().unwrap().len(), 3);
    assert_eq!((&v["stacks"][0]["hosts"], &v["stacks"][1]["hosts"]), (&4.into(), &8.into()));
    assert_eq!(v["paired"][1]["write_outage_ms"]["pairs"], 8);
    // The rows are those of a sweep over the stacks, and the table's median is one of them.
    let jsonl = with(&["--format", "jsonl"]);
    let rows: Vec<Row> = jsonl.lines().skip(1).map(|l| Row::from_json(l).unwrap()).collect();
    assert_eq!(rows.len(), 24);
    assert!(
        rows.chunks(3).all(|c| c.iter().all(|r| r.seed == c[0].seed && r.first_fault == c[0].first_fault))
    );
    let mut rto: Vec<f64> =
        rows.iter().step_by(3).map(|r| r.number("write_outage_max_ms").unwrap()).collect();
    rto.sort_by(f64::total_cmp);
    assert_eq!(v["stacks"][0]["write_outage_ms"]["p50"]["value"].as_f64(), Some(rto[3]));
    assert_eq!(v["stacks"][0]["write_outage_ms"]["max"].as_f64(), Some(rto[7]));
    // The worst run is opened with its seed.
    let worst = &v["stacks"][0]["worst"];
    let seed = worst["seed"].as_u64().unwrap();
    assert!(worst["command"].as_str().unwrap().ends_with(&format!("--seed {seed}")));
    let row = rows.iter().step_by(3).find(|r| r.seed == seed).unwrap();
    assert_eq!(row.number("write_outage_max_ms"), Some(rto[7]));
}

#[test]
fn the_header_says_with_which_seed_the_points_were_drawn() {
    let head = |more: &[&str]| {
        let args = [
            "sweep",
            "keepalived/master-power-off",
            "--set",
            "drill.until=40s",
            "--seeds",
            "1",
            "--format",
            "jsonl",
        ];
        let vary = ["--vary", "keepalived.advert_int=500ms..1s:100ms"];
        let text = ok(&args.iter().chain(&vary).chain(more).copied().collect::<Vec<_>>());
        let head: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        head["design_seed"].clone()
    };
    assert_eq!(head(&["--design", "lhs:2"]), 1);
    assert_eq!(head(&["--design", "random:2", "--design-seed", "7"]), 7);
    assert!(
        ok(&[
            "sweep",
            "keepalived/master-power-off",
            "--set",
            "drill.until=40s",
            "--seeds",
            "1",
            "--format",
            "jsonl"
        ])
        .lines()
        .next()
        .is_some_and(|l| !l.contains("design_seed")),
        "a grid draws nothing"
    );
}

#[test]
fn a_split_brain_is_found_where_the_watchdog_is_off() {
    // Without a watchdog a frozen Patroni leaves its PostgreSQL writable when the lease runs out; with it the host resets itself.
    let split = |drill: &str| {
        let text = ok(&["sweep", drill, "--seeds", "12", "--format", "jsonl"]);
        let rows = text.lines().skip(1).map(|l| Row::from_json(l).unwrap());
        rows.filter(|r| r.number("split_brain_ms").unwrap() > 0.0).count()
    };
    assert_eq!(
        (split("patroni/patroni-frozen-no-watchdog"), split("patroni/patroni-frozen-watchdog")),
        (12, 0)
    );
}

#[test]
fn strict_tells_by_the_exit_code() {
    let code = |more: &[&str]| {
        let args = ["sweep", "patroni/primary-power-off", "--seeds", "4", "--set", "patroni.ttl=40s"];
        output(&args.iter().chain(more).copied().collect::<Vec<_>>()).status.code()
    };
    assert_eq!((code(&[]), code(&["--strict"])), (Some(0), Some(1)));
}
