//! Pacemaker's scheduler against answers of the real one: stored cases, tier by tier, and, where `crm_simulate` is installed, new random
//! clusters. The cases of `placement/*.jsonl.gz` were generated, and answered by Pacemaker 2.1.5 (Debian 12).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

#[path = "placement/generate.rs"]
mod generate;
#[path = "placement/live.rs"]
mod live;
#[path = "placement/remote.rs"]
mod remote;

use firedrill::cli::place::{ORACLE_TIME, differences};
use firedrill::proto::pacemaker::cib::Cib;
use firedrill::proto::pacemaker::schedule;
use firedrill::proto::pacemaker::xml::{self, Element, XmlError};
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

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
    rules_tickets_health_and_failure_handling_agree "features"
    remote_nodes_guests_and_bundles_agree "remote"
}

/// The program, or nothing after a word why; in CI it must be there.
fn program() -> Option<String> {
    let found = live::program();
    if found.is_none() {
        assert!(
            std::env::var("FIREDRILL_CI").as_deref() != Ok("1"),
            "FIREDRILL_CI=1, and crm_simulate 2.1.5 is not installed"
        );
        println!("skipped: crm_simulate 2.1.5 is not installed (Debian's pacemaker-cli-utils)");
    }
    found
}

fn range(variable: &str, default: &str) -> std::ops::Range<u64> {
    let range = std::env::var(variable).unwrap_or_else(|_| default.into());
    let (first, end) = range.split_once("..").unwrap();
    first.parse().unwrap()..end.parse().unwrap()
}

/// New clusters, compared live. `FIREDRILL_CLUSTERS=FIRST..END` tries others.
#[test]
fn random_clusters_agree_with_crm_simulate() {
    let Some(program) = program() else { return };
    let (mut agree, mut unanswered, mut wrong) = (0, 0, Vec::new());
    for seed in range("FIREDRILL_CLUSTERS", "0..310") {
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

/// New clusters with remote nodes, guests and bundles, each through four states: what the program makes of one, disturbed, is the next.
/// `FIREDRILL_REMOTE=FIRST..END` tries others.
#[test]
fn random_remote_clusters_agree_with_crm_simulate() {
    let Some(program) = program() else { return };
    let (mut agree, mut unanswered, mut wrong) = (0, 0, Vec::new());
    for seed in range("FIREDRILL_REMOTE", "0..80") {
        let mut d = generate::Dice::new(seed + 1);
        let mut cib = remote::cluster(&mut d);
        for state in 0..4 {
            let Some((outcome, next)) = live::ask_and_save(&program, &cib) else {
                unanswered += 1;
                break;
            };
            let found = differences(&cib, &outcome, ORACLE_TIME);
            agree += usize::from(found.is_empty());
            wrong.extend(found.into_iter().map(|f| format!("{seed}, state {state}: {f}")));
            cib = remote::disturb(&mut d, &next);
        }
    }
    println!(
        "states of random clusters with remote nodes: {agree} agree, {} differ, {unanswered} without an answer",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unanswered * 10 < agree, "{unanswered} states without an answer");
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
    let cib = SMALL.replace("EXTRA", "<appliance id=\"box\"/>");
    let (code, out, err) = place(&[], &cib);
    assert_eq!(code, 0);
    assert!(err.contains("line 8: <appliance>") && err.lines().count() == 1, "{err}");
    assert!(out.contains("db"));
    let (code, out, err) = place(&["--strict"], &cib);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("error: -: line 8: <appliance>"), "{err}");
    for (what, line) in [
        (
            "<primitive id=\"x\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\" colour=\"red\"/>",
            "line 8: <primitive>: the attribute `colour`",
        ),
        ("<bundle id=\"box\"/>", "line 8: <bundle>: a bundle needs"),
        (
            "<primitive id=\"x\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\"><meta_attributes id=\"m\"><nvpair id=\"n\" name=\"container\" value=\"y\"/></meta_attributes></primitive>",
            "line 8: <primitive>: there is no resource `y` to run in",
        ),
        (
            "<primitive id=\"x\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\"><meta_attributes id=\"m\"><nvpair id=\"n\" name=\"requires\" value=\"unfencing\"/></meta_attributes></primitive>",
            "line 8: <nvpair>: unfencing is not modelled",
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
    let many = SMALL.replace("EXTRA", "<bundle id=\"b\"><podman image=\"i\" replicas=\"1000000\"/></bundle>");
    let (code, _, err) = place(&[], &many);
    assert!(code == 2 && err.contains("line 8: more than 200 replicas"), "{err}");
}

/// A CIB that something has happened to: bytes changed, lost, and copied elsewhere.
fn mangle(d: &mut generate::Dice, text: String) -> String {
    let mut text = text.into_bytes();
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
    String::from_utf8_lossy(&text).into_owned()
}

/// A tree in which something has happened to elements and attributes, so that it stays XML.
fn mangle_tree(d: &mut generate::Dice, e: &mut Element, words: &[String]) {
    for _ in 0..3 {
        if let (false, true) = (e.attributes.is_empty(), d.chance(2)) {
            let at = d.below(e.attributes.len());
            e.attributes[at].1.clone_from(&words[d.below(words.len())]);
        }
        if let (false, true) = (e.children.is_empty(), d.chance(2)) {
            let (from, to) = (d.below(e.children.len()), d.below(e.children.len()));
            match d.below(3) {
                0 => drop(e.children.remove(from)),
                1 => e.children.swap(from, to),
                _ => {
                    let copy = e.children[from].clone();
                    e.children[to].children.push(copy);
                }
            }
        }
    }
    e.children.iter_mut().for_each(|c| mangle_tree(d, c, words));
}

fn words(e: &Element, out: &mut Vec<String>) {
    out.extend(e.attributes.iter().map(|(_, v)| v.clone()));
    e.children.iter().for_each(|c| words(c, out));
}

/// `FIREDRILL_MANGLED=FIRST..END` tries others.
#[test]
fn any_mangled_cib_gives_an_answer_or_an_error() {
    let (mut answers, mut errors) = (0, 0);
    let mut put = |cib: Result<Cib, XmlError>| match cib.and_then(|c| schedule(&Arc::new(c), ORACLE_TIME)) {
        Ok(plan) => answers += usize::from(plan.lines().len() < 1_000_000),
        Err(e) => {
            assert!(e.line > 0 && !e.text.is_empty());
            errors += 1;
        }
    };
    for seed in range("FIREDRILL_MANGLED", "0..1500") {
        let mut d = generate::Dice::new(seed + 77);
        let text = if d.chance(50) { generate::cluster(&mut d, true) } else { remote::cluster(&mut d) };
        let mut tree = xml::parse(&text).unwrap();
        put(Cib::read(&mangle(&mut d, text)));
        let mut list: Vec<String> =
            ["", "-1", "0", "INFINITY", "99999999999999999999", "true", "#uname", ":", "a:0"]
                .map(str::to_owned)
                .to_vec();
        words(&tree, &mut list);
        mangle_tree(&mut d, &mut tree, &list);
        put(Cib::of(tree));
    }
    println!("{answers} answers, {errors} errors");
    assert!(answers > errors && errors > 0, "{answers} answers, {errors} errors");
}
