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
        assert!(std::env::var("FIREDRILL_CI").as_deref() != Ok("1"), "FIREDRILL_CI=1, and crm_simulate 2.1.5 is not installed");
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
