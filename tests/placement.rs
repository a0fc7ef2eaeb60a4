//! Pacemaker's scheduler against answers of the real one: stored cases, tier by tier, and, where `crm_simulate` is installed, new random
//! clusters. The cases of `placement/*.jsonl.gz` were generated, and answered by Pacemaker 2.1.5 (Debian 12).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "placement/generate.rs"]
mod generate;
#[path = "placement/live.rs"]
mod live;

use firedrill::cli::place::{ORACLE_TIME, differences};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

fn cases(tier: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/placement/{tier}.jsonl.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn tier(name: &str) {
    let cases = cases(name);
    let mut wrong = Vec::new();
    let mut agree = 0;
    for c in &cases {
        let found = differences(c["cib"].as_str().unwrap(), &c["outcome"], ORACLE_TIME);
        agree += usize::from(found.is_empty());
        wrong.extend(found.into_iter().map(|f| format!("{}: {f}", c["id"].as_str().unwrap())));
    }
    println!("{name}: {agree} of {} agree", cases.len());
    assert_eq!(agree, cases.len(), "{name}: {agree} of {} agree\n{}", cases.len(), wrong.join("\n"));
}

macro_rules! tiers {
    ($($test:ident $name:literal)*) => { $(#[test] fn $test() { tier($name); })* };
}
tiers! {
    location_agrees "location"
    colocation_agrees "colocation"
    ordering_agrees "ordering"
    groups_agree "groups"
    clones_agree "clones"
    failures_agree "failures"
    quorum_agrees "quorum"
    maintenance_agrees "maintenance"
    fencing_agrees "fencing"
    utilization_agrees "utilization"
    promotable_agrees "promotable"
    migration_agrees "migration"
    mixed_core_agrees "mixed-core"
    mixed_all_agrees "mixed-all"
}

/// New clusters, compared live. `FIREDRILL_CLUSTERS=FIRST..END` tries others.
#[test]
fn random_clusters_agree_with_crm_simulate() {
    let Some(program) = live::program() else {
        assert!(
            std::env::var("FIREDRILL_CI").as_deref() != Ok("1"),
            "FIREDRILL_CI=1, and crm_simulate 2.1.5 is not installed"
        );
        println!("skipped: crm_simulate 2.1.5 is not installed (Debian's pacemaker-cli-utils)");
        return;
    };
    let range = std::env::var("FIREDRILL_CLUSTERS").unwrap_or_else(|_| "0..300".into());
    let (first, end) = range.split_once("..").unwrap();
    let (mut agree, mut unanswered, mut wrong) = (0, 0, Vec::new());
    for seed in first.parse::<u64>().unwrap()..end.parse().unwrap() {
        let cib = generate::cluster(&mut generate::Dice::new(seed + 1), seed % 3 == 2);
        let Some(outcome) = live::ask(&program, &cib) else {
            unanswered += 1;
            continue;
        };
        let found = differences(&cib, &outcome, ORACLE_TIME);
        agree += usize::from(found.is_empty());
        wrong.extend(found.into_iter().map(|f| format!("{seed}: {f}")));
    }
    println!("random clusters: {agree} agree, {} differ, {unanswered} without an answer", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unanswered * 20 < agree, "{unanswered} clusters without an answer");
}

const SMALL: &str = r#"<cib crm_feature_set="3.16.1" have-quorum="1" dc-uuid="1" execution-date="1767268800">
<configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="a"/><node id="2" uname="b"/></nodes>
<resources>
<primitive id="db" class="ocf" provider="heartbeat" type="Dummy"/>
<primitive id="vip" class="ocf" provider="heartbeat" type="Dummy"/>
EXTRA
</resources>
<constraints>
<rsc_location id="likes-b" rsc="db" node="b" score="50"/>
<rsc_colocation id="together" rsc="vip" with-rsc="db" score="INFINITY"/>
</constraints>
</configuration>
<status>
<node_state id="1" uname="a" in_ccm="true" crmd="online" join="member" expected="member"/>
<node_state id="2" uname="b" in_ccm="true" crmd="online" join="member" expected="member"/>
</status>
</cib>
"#;

fn place(args: &[&str], cib: &str) -> (i32, String, String) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["place", "-"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(cib.as_bytes());
    let out = child.wait_with_output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

#[test]
fn place_prints_actions_scores_and_their_stories() {
    let cib = SMALL.replace("EXTRA", "");
    let (code, out, err) = place(&["--format", "json"], &cib);
    assert_eq!((code, err.as_str()), (0, ""));
    let v: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(v["summary"][0], "Start      db      (     b )");
    assert_eq!(v["summary"][1], "Start      vip     (     b )");
    assert_eq!(v["final"]["vip"]["b"], "Started");
    assert_eq!(v["scores"]["assign"]["vip"]["a"], -1_000_000);
    let stories = v["stories"].as_array().unwrap();
    let why = |rsc: &str, node: &str| {
        let s = stories.iter().find(|s| s["resource"] == rsc && s["node"] == node).unwrap();
        s["steps"].as_array().unwrap().last().unwrap()["rule"].as_str().unwrap().to_owned()
    };
    assert!(why("vip", "a").contains("together") && why("vip", "a").contains("db"), "{}", why("vip", "a"));
    assert!(why("db", "b").contains("likes-b"), "{}", why("db", "b"));
    let ran: Vec<&str> =
        v["executed"].as_array().unwrap().iter().map(|r| r["task"].as_str().unwrap()).collect();
    assert_eq!(ran, ["monitor", "monitor", "monitor", "monitor", "start", "start"]);
    let (_, text, _) = place(&[], &cib);
    assert!(text.starts_with("Transition Summary:\n  * Start      db      (     b )\n"), "{text}");
    assert!(place(&["--rsc", "vip"], &cib).1.contains("vip on a: -INFINITY"));
}

#[test]
fn what_is_not_modelled_is_named_with_its_line() {
    let cib = SMALL.replace("EXTRA", "<bundle id=\"box\"/>");
    let (code, out, err) = place(&[], &cib);
    assert_eq!(code, 0);
    assert!(err.contains("line 8: <bundle>") && err.lines().count() == 1, "{err}");
    assert!(out.contains("db"));
    let (code, out, err) = place(&["--strict"], &cib);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("error: -: line 8: <bundle>"), "{err}");
    for (what, line) in [
        (
            "<primitive id=\"x\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\" colour=\"red\"/>",
            "line 8: <primitive>: the attribute `colour`",
        ),
        (
            "<primitive id=\"x\" class=\"ocf\" provider=\"pacemaker\" type=\"remote\"/>",
            "line 8: <primitive>: `x`: Pacemaker Remote",
        ),
        ("<group id=\"g\"/>", "line 8: <group>: group `g` has no member"),
    ] {
        let (_, _, err) = place(&[], &SMALL.replace("EXTRA", what));
        assert!(err.contains(line), "{err}");
    }
    let (_, _, err) = place(&[], &SMALL.replace("EXTRA", "").replace("rsc=\"db\"", "rsc=\"nobody\""));
    assert!(err.contains("line 11: <rsc_location>: there is no resource `nobody`"), "{err}");
}

#[test]
fn bad_input_is_refused_with_a_line() {
    for (text, says) in [
        ("not XML at all", "line 1"),
        ("<cib>\n<configuration>\n</cib>", "line 3"),
        ("<html/>", "this is no CIB"),
        ("<cib/>", "no `<configuration>`"),
        ("<!DOCTYPE c [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>\n<cib x=\"&b;\"/>", "DOCTYPE"),
        ("<cib x=\"&b;\"/>", "b"),
    ] {
        let (code, out, err) = place(&[], text);
        assert_eq!((code, out.as_str()), (2, ""), "{text}: {err}");
        assert!(err.starts_with("error: -: ") && err.contains(says), "{text}: {err}");
    }
    let deep = format!("<cib><configuration>{}", "<rule>".repeat(100_000));
    assert_eq!(place(&[], &deep).0, 2);
    let many = SMALL.replace(
        "EXTRA",
        "<clone id=\"c\"><meta_attributes id=\"m\"><nvpair id=\"n\" name=\"clone-max\" value=\"2000000000\"/></meta_attributes><primitive id=\"p\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\"/></clone>",
    );
    let (code, _, err) = place(&[], &many);
    assert!(code == 2 && err.contains("line 8: more than"), "{err}");
}

#[test]
fn any_mangled_cib_gives_an_answer_or_an_error() {
    use firedrill::proto::pacemaker::{cib::Cib, schedule};
    let mut d = generate::Dice::new(77);
    for round in 0..400 {
        let mut text = generate::cluster(&mut d, true).into_bytes();
        for _ in 0..=d.below(6) {
            let at = d.below(text.len());
            match d.below(4) {
                0 => text[at] = b"0123456789-:<>\"'/ ABCabc"[d.below(23)],
                1 => {
                    text.remove(at);
                }
                2 => {
                    let end = (at + d.below(400)).min(text.len());
                    text.drain(at..end);
                }
                _ => {
                    let end = (at + d.below(400)).min(text.len());
                    let part = text[at..end].to_vec();
                    let to = d.below(text.len());
                    text.splice(to..to, part);
                }
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Ok(cib) = Cib::read(&text) {
            let _ = schedule(&std::sync::Arc::new(cib), ORACLE_TIME).map(|p| p.lines().len() + round);
        }
    }
}
