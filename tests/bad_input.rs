//! Any bytes as a scenario: a diagnostic that says what to do, never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::scenario::load::{load, read};
use firedrill::scenario::types::{Drill, Stack};
use proptest::prelude::*;

const STACK: &str = include_str!("../scenarios/stacks/keepalived-trio.ron");
const DRILL: &str = include_str!("../scenarios/drills/keepalived/partition-and-heal.ron");

fn complaint(text: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drill.ron");
    std::fs::write(&path, text).unwrap();
    match load(path.to_str().unwrap(), &[], None) {
        Ok(_) => String::new(),
        Err(reports) => reports.iter().map(|r| r.render(false)).collect(),
    }
}

#[test]
fn every_mistake_has_its_sentence() {
    let with = |a: &str, b: &str| {
        assert!(DRILL.contains(a), "{a}");
        DRILL.replace(a, b)
    };
    for (text, parts) in [
        (String::new(), vec!["expected a value", "begins with `Stack(` or `Drill(`"]),
        (with("until: \"80s\"", "until: \"10 parsecs\""), vec!["parsecs", "not a unit of time"]),
        (with("until: \"80s\"", "until: \"-3s\""), vec!["cannot be negative"]),
        (with("until: \"80s\"", "until: \"99999999999999999999s\""), vec!["584 years"]),
        (with("until: \"80s\"", "until: 80"), vec!["a duration in quotes"]),
        (with("until: \"80s\"", "untli: \"80s\""), vec!["unknown field `untli`", "did you mean `until`?"]),
        (with("until: \"80s\"", "until: \"40s\""), vec!["after the end of the run"]),
        (with("Cut(", "Cuts("), vec!["unknown word `Cuts`", "did you mean `Cut`?"]),
        (with("\"lb2\", Backup", "\"lb22\", Backup"), vec!["there is no host `lb22`", "did you mean"]),
        (
            with("stack: \"keepalived-trio\"", "stack: \"keepalived-tri\""),
            vec!["there is no stack", "did you mean `keepalived-trio`?"],
        ),
        (with("faults: [", "faults: [["), vec!["expected `,`"]),
        ("(".repeat(100_000), vec!["64 levels"]),
        ("x".repeat(2_000_000), vec!["larger than 1 MiB"]),
    ] {
        let said = complaint(text.as_bytes());
        for part in parts {
            assert!(
                said.contains(part),
                "expected {part:?} in:\n{}",
                said.chars().take(2_000).collect::<String>()
            );
        }
    }
    assert!(complaint(&[0xff, 0xfe, 0x00]).contains("not UTF-8"));
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once() {
    let text = DRILL
        .replace("until: \"80s\"", "until: \"80 s0\"")
        .replace("Cut(", "Cuts(")
        .replace("Witness(", "Witnes(")
        .replace("\"lb2\", Backup", "\"lb22\", Backup");
    let said = complaint(text.as_bytes());
    // The last is a mistake of meaning: it is seen although `until` cannot be read.
    for part in ["80 s0", "`Cuts`", "`Witnes`", "there is no host `lb22`"] {
        assert!(said.contains(part), "expected {part:?} in:\n{said}");
    }
}

#[test]
fn duplicate_addresses_and_unknown_knobs_are_found() {
    let twice: Result<(Stack, _), _> = read("x", STACK);
    assert!(twice.is_ok());
    let set = |path: &str, value: &str| match load(
        "keepalived/master-power-off",
        &[(path.to_owned(), value.to_owned())],
        None,
    ) {
        Ok(_) => String::new(),
        Err(r) => r.iter().map(|r| r.render(false)).collect(),
    };
    assert!(set("keepalived.advert_itn", "1s").contains("did you mean `keepalived.advert_int`?"));
    assert!(set("keepalived.version", "7").contains("there is no VRRP version 7"));
    assert!(set("keepalived.vip", "10.0.0.1/24").contains("own address of lb1"));
    assert!(set("hosts.lb2.addresses", r#"{ "lan": "10.0.0.1/24" }"#).contains("same address"));
    assert_eq!(set("keepalived.advert_int", "200ms"), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        complaint(&bytes);
    }
    #[test]
    fn a_changed_scenario_is_survived(at in 0usize..700, len in 0usize..30, new in "[ -~é世\"()\\[\\]{}:,]{0,12}") {
        for text in [STACK, DRILL] {
            let mut text = text.to_owned();
            let mut from = at.min(text.len());
            while !text.is_char_boundary(from) { from -= 1; }
            let mut to = (from + len).min(text.len());
            while !text.is_char_boundary(to) { to += 1; }
            text.replace_range(from..to, &new);
            let _ = read::<Stack>("x", &text);
            if let Ok((_, _)) = read::<Drill>("x", &text) { complaint(text.as_bytes()); }
        }
    }
}
