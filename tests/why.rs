//! The chain of causes that `why` tells: what was waited for, what did not come, and which fault took it away.
#![allow(clippy::unwrap_used)] // A test that meets the unexpected has failed.

use std::process::Command;

fn why(args: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["--lang", "en", "why"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    (out.status.code().unwrap(), text)
}

#[test]
fn a_takeover_names_the_last_advert_and_what_was_lost_since() {
    let (code, text) = why(&["keepalived/partition-and-heal"]);
    assert_eq!(code, 0);
    for line in [
        "the timer was last set by the advert of lb1 at 29.414; nothing has set it again since",
        "3 x adverts from lb1 lost: cut the holder of the address = lb1 | all but lb1 (fault 1 of 2)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("has sent no advert"), "it has sent three\n{text}");
}

#[test]
fn an_outage_without_a_dead_host_is_explained_by_the_cache() {
    let (_, text) = why(&["keepalived/heal-without-garp", "--at", "80.6s"]);
    for line in [
        "first success  outage 35.143 s",
        "frames from app1 to lb2 lost: 10.0.0.100 is not configured there",
        "45.465 StaleArp: app1 sends for 10.0.0.100 to lb2, but lb1 holds it (since 45.415)",
        "80.543 ARP: nobody answers for 10.0.0.100 (the last probe had no answer)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn an_event_is_found_by_its_number_or_its_neighbour_is_named() {
    let (_, text) = why(&["keepalived/master-power-off", "--at", "33.024s"]);
    let id = text.split("event ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let (code, same) = why(&["keepalived/master-power-off", "--event", &id]);
    assert_eq!((code, same), (0, text));
    let next = (id.parse::<u64>().unwrap() + 1_000_000).to_string();
    let (code, text) = why(&["keepalived/master-power-off", "--event", &next]);
    assert_eq!(code, 2);
    assert!(text.contains("left no mark; the nearest that did is"), "{text}");
}

#[test]
fn two_primaries_are_explained_and_what_a_watchdog_would_have_done() {
    let (code, text) = why(&["patroni/patroni-frozen-no-watchdog"]);
    assert_eq!(code, 0);
    for line in [
        "SplitBrainAnywhere: db2 and db3 accept writes",
        "takes writes on timeline 3",
        "owns the leader key",
        "etcd: lease expired, deleted /service/main/leader",
        "ttl 30s",
        "SIGSTOP to patroni",
        "no watchdog ran on db3. With one, its host would have been reset 25s after the last renewal",
        "5s before the lease ended",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let (_, text) = why(&["patroni/patroni-frozen-watchdog"]);
    assert!(text.contains("the watchdog resets the host"), "{text}");
}
