//! Every message in every language, with the same placeholders; every key that the source asks for exists.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::lang::{Lang, source};
use firedrill::scenario::embedded;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Keys with the set of their placeholders.
fn messages(lang: Lang) -> BTreeMap<String, BTreeSet<String>> {
    let resource = fluent_bundle::FluentResource::try_new(source(lang).to_owned());
    assert!(resource.is_ok(), "{lang:?}: {:?}", resource.err().map(|e| e.1));
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut last = String::new();
    for line in source(lang).lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        // A message that depends on a number goes on in further lines.
        let value = if line.starts_with([' ', '}']) {
            line
        } else {
            let (key, value) = line.split_once(" =").unwrap_or_else(|| panic!("{lang:?}: {line}"));
            assert!(all.insert(key.to_owned(), BTreeSet::new()).is_none(), "{lang:?}: {key} twice");
            key.clone_into(&mut last);
            value
        };
        let names = value
            .split('$')
            .skip(1)
            .map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap().to_owned());
        all.get_mut(&last).unwrap().extend(names);
    }
    all
}

#[test]
fn both_languages_have_the_same_messages_and_placeholders() {
    let (en, mut zh) = (messages(Lang::En), messages(Lang::Zh));
    for name in embedded::drills().iter().filter(|n| !n.starts_with("validation/")) {
        let key = format!("drill-{}", name.replace('/', "-"));
        assert!(zh.remove(&key).is_some(), "{key} is missing in zh.ftl");
    }
    let text = |m: &BTreeMap<String, BTreeSet<String>>| {
        m.iter().map(|(k, v)| format!("{k} {v:?}\n")).collect::<String>()
    };
    similar_asserts(&text(&en), &text(&zh));
}
fn similar_asserts(a: &str, b: &str) {
    assert!(a == b, "{}", similar::TextDiff::from_lines(a, b).unified_diff().header("en", "zh"));
}

fn sources(dir: &Path, out: &mut String) {
    for e in std::fs::read_dir(dir).unwrap() {
        let path = e.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|x| x == "rs") {
            out.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_message_is_used_and_every_key_exists() {
    let mut code = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let en = messages(Lang::En);
    let built = |key: &str| ["menu-", "link-", "help-"].iter().any(|p| key.starts_with(p));
    let unused: Vec<&String> =
        en.keys().filter(|k| !built(k) && !code.contains(&format!("\"{k}\""))).collect();
    assert!(unused.is_empty(), "nobody says {unused:?}");
    let asked = code.split("say!(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let missing: Vec<&str> = asked.filter(|k| *k != "vrrp-last" && !en.contains_key(*k)).collect();
    assert!(missing.is_empty(), "no message {missing:?}");
    assert!([1, 2, 3, 4, 5, 8].iter().all(|i| en.contains_key(&format!("menu-{i}"))));
    assert!((1..=7).all(|i| en.contains_key(&format!("link-{i}"))));
    assert!((1..=20).all(|i| i == 15 || en.contains_key(&format!("help-{i}"))));
}

/// In a process of its own, because a language is chosen once.
#[test]
fn a_story_and_a_screen_in_chinese() {
    let run = |args: &[&str]| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill")).args(args).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let story = run(&["--lang", "zh", "run", "keepalived/master-power-off"]);
    for line in [
        "MASTER 所在的主机断电。谁接管地址，客户端何时察觉？",
        "*    33.024  lb2   BACKUP -> MASTER，接管 10.0.0.100  最后一次收到通告在 29.414；3 x 1s + skew 0.609 s（优先级 100）",
        "+    33.043  app1  第一次成功                         中断 3.043 s",
    ] {
        assert!(story.contains(line), "{line}\n{story}");
    }
    let json = run(&["--lang", "zh", "run", "keepalived/master-power-off", "--format", "json"]);
    assert!(json.is_ascii(), "what machines read is English");
    let why = run(&["--lang", "zh", "why", "keepalived/master-power-off"]);
    assert!(why.contains("lb1 自 29.414 起没有发送通告"), "{why}");
}
