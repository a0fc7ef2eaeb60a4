//! PostgreSQL under Pacemaker (`ocf:heartbeat:pgsql`): every step of a failover from the timers that make it, the lock, the attributes, the modes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::Time;
use firedrill::node::log::{Level, What};
use firedrill::proto::Note;
use firedrill::proto::corosync::note::Note as Ring;
use firedrill::proto::crm::agents::pgsql::Fact;
use firedrill::proto::crm::note::Note as Crm;
use firedrill::proto::postgres::note::Note as Pg;
use firedrill::scenario::load;
use firedrill::trace::metrics::{Metric, Metrics};
use firedrill::trace::run::Run;

const SEEDS: u64 = 20;

/// A stack of the binary with some of its words changed, and a drill on it.
fn play(stack: &str, changes: &[(&str, &str)], drill: &str, seed: u64) -> Run {
    let mut text = firedrill::scenario::embedded::stack(stack).unwrap().to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let stack = load::read("stack.ron", &text).unwrap_or_else(|e| panic!("{}\n{text}", e.render(false))).0;
    let drill = format!("Drill(about: \"test\", stack: \"{}\", {drill})", "pacemaker-postgres");
    let l = load::load_text("test", "test.ron", drill, &[], None)
        .unwrap_or_else(|r| panic!("{}", r[0].render(false)));
    firedrill::trace::run::run(&stack, &l.drill, seed, Level::Story, true)
}
fn ms(t: Time) -> i64 {
    (t.0 / 1_000_000) as i64
}
/// When something was first told after a time, on a host or anywhere.
fn when(r: &Run, after: i64, is: impl Fn(&Note) -> bool) -> Option<(i64, String)> {
    r.log.iter().find_map(|e| match (&e.what, e.host) {
        (What::Note(n), Some(h)) if ms(e.at) >= after && is(n) => {
            Some((ms(e.at), r.hosts[usize::from(h.0)].clone()))
        }
        _ => None,
    })
}
fn crm(n: &Note, is: impl Fn(&Crm) -> bool) -> bool {
    matches!(n, Note::Crm(c) if is(c))
}
fn fact(n: &Note, is: impl Fn(&Fact) -> bool) -> bool {
    crm(n, |c| matches!(c, Crm::Pgsql { fact, .. } if is(fact)))
}
fn facts(r: &Run) -> Vec<(i64, String, Fact)> {
    r.log
        .iter()
        .filter_map(|e| match (&e.what, e.host) {
            (What::Note(Note::Crm(c)), Some(h)) => match &**c {
                Crm::Pgsql { fact, .. } => Some((ms(e.at), r.hosts[usize::from(h.0)].clone(), fact.clone())),
                _ => None,
            },
            _ => None,
        })
        .collect()
}
fn started(n: &Note, name: &str) -> bool {
    crm(n, |c| matches!(c, Crm::Started { rsc, .. } if **rsc == *name))
}
fn data(n: &Note, what: &str) -> bool {
    fact(n, |f| matches!(f, Fact::DataStatus { new, .. } if new == what))
}

#[test]
fn the_first_primary_is_found_by_four_looks_four_seconds_apart() {
    let mut first = std::collections::BTreeSet::new();
    for seed in 0..SEEDS {
        let r = play("pacemaker-postgres", &[], "until: \"60s\", faults: []", seed);
        let (up, _) = when(&r, 0, |n| started(n, "pgsql")).unwrap();
        let (right, who) = when(&r, 0, |n| fact(n, |f| *f == Fact::Newest)).unwrap();
        // The first look keeps what it sees, xlog_check_count (3) more find the same. Each begins 4 s after the end of the one before; it calls
        // some ten programs of 10 ms to 30 ms.
        assert!((12_300..14_200).contains(&(right - up)), "{seed}: {}", right - up);
        let (promoted, by) = when(&r, 0, |n| matches!(n, Note::Postgres(Pg::Primary { .. }))).unwrap();
        assert!((200..1_500).contains(&(promoted - right)), "{seed}: {}", promoted - right);
        first.insert(by.clone());
        assert!(r.violations.iter().all(|v| v.invariant != "SplitBrainAnywhere"), "{seed}");
        // The address comes after the promotion, and then the other one streams and may be promoted.
        let (vip, at) = when(&r, 0, |n| crm(n, |c| matches!(c, Crm::VipUp { .. }))).unwrap();
        assert!(vip > promoted && at == by, "{seed} {who}");
        let (streams, _) = when(&r, vip, |n| matches!(n, Note::Postgres(Pg::Streaming { .. }))).unwrap();
        // wal_retrieve_retry_interval 5 s, and up to 3 s for ARP to give up an attempt.
        assert!(streams - vip < 8_100, "{seed}: {}", streams - vip);
        let (seen, by_whom) = when(&r, streams, |n| data(n, "STREAMING|ASYNC")).unwrap();
        // The primary's monitor: every 3 s from end to end.
        assert!(seen - streams < 3_900, "{seed}: {}", seen - streams);
        assert_eq!(by_whom, by);
    }
    assert!(first.len() <= 2 && first.iter().all(|h| h.starts_with("db")), "{first:?}");
}

#[test]
fn a_failover_is_token_consensus_the_cib_the_device_and_one_second_of_the_agent() {
    let (mut seconds, mut at_once) = ([0; 4], 0);
    for seed in 0..SEEDS {
        let r = play(
            "pacemaker-postgres",
            &[(
                "FenceDevice(hosts",
                "FenceDevice(off_time: \"5s\", on_time: \"0s\", confirm_time: \"0s\", hosts",
            )],
            &format!("until: \"110s\", faults: [At(\"{}ms\", Crash(Primary))]", 60_000 + seed * 137),
            seed,
        );
        let t = 60_000 + seed as i64 * 137;
        // Corosync tells it: of a DC that is lost nobody in Pacemaker does before there is another one.
        let gone = |n: &Note| matches!(n, Note::Corosync(c) if matches!(**c, Ring::NodeLost { .. }));
        let (lost, _) = when(&r, t, gone).unwrap();
        // Token 3650 ms from the last token, which an idle ring holds for up to 685 ms, and consensus 4380 ms.
        assert!((7_340..8_080).contains(&(lost - t)), "{seed}: {}", lost - t);
        let (asked, _) = when(&r, t, |n| crm(n, |c| matches!(c, Crm::FenceRequested { .. }))).unwrap();
        // Whole seconds lost by asking for the CIB again; the rest: 0.2 s of election and the join if the DC is gone, the scheduler.
        let (s, rest) = ((asked - lost) / 1000, (asked - lost) % 1000);
        assert!(s <= 3 && (20..=700).contains(&rest), "{seed}: {}", asked - lost);
        seconds[s as usize] += 1;
        let (fenced, _) = when(&r, t, |n| crm(n, |c| matches!(c, Crm::Fenced { .. }))).unwrap();
        assert!((5_000..5_150).contains(&(fenced - asked)), "{seed}: {}", fenced - asked);
        let (writes, who) = when(&r, t, |n| matches!(n, Note::Postgres(Pg::Primary { .. }))).unwrap();
        // Nobody writes before the old primary is down for certain. The scheduler runs once more (20 ms to 90 ms), then the agent: its start, about
        // eight programs and 0.1 s for a permanent attribute, then the server's own 50 ms to 250 ms.
        assert!((300..1_000).contains(&(writes - fenced)), "{seed}: {}", writes - fenced);
        let took = r.log.iter().find_map(|e| match &e.what {
            What::Note(Note::Crm(c)) if ms(e.at) >= t => match &**c {
                Crm::Promoted { took, .. } => Some((ms(e.at), took.as_ms() as i64)),
                _ => None,
            },
            _ => None,
        });
        let (promoted, took) = took.unwrap();
        if promoted - writes < 900 {
            at_once += 1;
            assert!((450..950).contains(&took), "{seed}: {took}");
        } else {
            assert!((1_400..2_000).contains(&took), "{seed}: {took}");
        }
        let (vip, at) = when(&r, t, |n| crm(n, |c| matches!(c, Crm::VipUp { .. }))).unwrap();
        assert!((40..500).contains(&(vip - promoted)) && at == who, "{seed}: {}", vip - promoted);
        // The client: its session is broken by then, and it tries to connect for 2 s at a time; the try that succeeds counts from its begin.
        let m = Metrics::of(&r);
        let outage = m.get(Metric::WriteOutageMax) as i64 / 1000;
        assert!((vip - t - 2_100..vip - t + 2_300).contains(&outage), "{seed}: {outage} {}", vip - t);
        assert_eq!(m.get(Metric::SplitBrain), 0);
    }
    assert!(seconds.iter().filter(|n| **n > 0).count() >= 2, "{seconds:?}");
    assert!(at_once <= SEEDS / 4, "the second look is the rule: {at_once}");
}

#[test]
fn the_lock_keeps_an_old_primary_down_until_somebody_has_looked() {
    for seed in 0..8 {
        let drill = "until: \"200s\", faults: [At(\"60s\", Crash(Primary)), At(\"150s\", Rebuild(Databases)), At(\"152s\", Crm(Cleanup(resource: \"pgsql\")))]";
        let r = play("pacemaker-postgres", &[], drill, seed);
        let locked: Vec<(i64, String)> =
            facts(&r).into_iter().filter(|f| f.2 == Fact::Locked).map(|f| (f.0, f.1)).collect();
        let (first, old) = when(&r, 0, |n| matches!(n, Note::Postgres(Pg::Primary { .. }))).unwrap();
        assert!(first < 60_000);
        assert_eq!(locked.iter().map(|l| l.1.as_str()).collect::<Vec<_>>(), [old.as_str()], "{seed}");
        let (rebuilt, host) = when(&r, 150_000, |n| fact(n, |f| *f == Fact::Rebuilt { lock: true })).unwrap();
        assert_eq!((rebuilt, &host), (150_000, &old), "{seed}");
        let (streams, by) = when(&r, 152_000, |n| matches!(n, Note::Postgres(Pg::Streaming { .. }))).unwrap();
        assert!(by == old && streams < 160_000, "{seed}: {streams}");
        // A failed start is fatal: between the two it is not tried again.
        let failed = r
            .log
            .iter()
            .filter(|e| matches!(&e.what, What::Note(n) if crm(n, |c| matches!(c, Crm::OperationFailed { task, .. } if **task == *"start"))))
            .count();
        assert_eq!(failed, 1, "{seed}");
    }
}

#[test]
fn a_demotion_leaves_the_lock_when_a_standby_runs_and_removes_it_when_none_does() {
    for seed in 0..6 {
        let name = |r: &Run| when(r, 0, |n| matches!(n, Note::Postgres(Pg::Primary { .. }))).unwrap().1;
        let quiet = play("pacemaker-postgres", &[], "until: \"60s\", faults: []", seed);
        let primary = name(&quiet);
        let other = if primary == "db1" { "db2" } else { "db1" };
        // The primary's node goes to standby with the other one running.
        let drill = format!(
            "until: \"120s\", faults: [At(\"60s\", Crm(Standby(node: \"{primary}\"))), At(\"90s\", Crm(Unstandby(node: \"{primary}\")))]"
        );
        let r = play("pacemaker-postgres", &[], &drill, seed);
        assert_eq!(name(&r), primary);
        let f = facts(&r);
        let stays = f.iter().find(|f| matches!(&f.2, Fact::LockStays { standbys } if *standbys == other));
        assert!(stays.is_some_and(|s| s.1 == primary), "{seed}: {f:?}");
        assert!(f.iter().any(|f| f.0 >= 90_000 && f.1 == primary && f.2 == Fact::Locked), "{seed}: {f:?}");
        let (writes, by) = when(&r, 60_000, |n| matches!(n, Note::Postgres(Pg::Primary { .. }))).unwrap();
        assert_eq!(by, other);
        // A stop looks again after one second, a promotion too; nothing of token, consensus or fencing.
        assert!((1_300..5_500).contains(&(writes - 60_000)), "{seed}: {}", writes - 60_000);
        // The other one first: then nobody can have gone on without the primary.
        let drill = format!(
            "until: \"120s\", faults: [At(\"60s\", Crm(Standby(node: \"{other}\"))), At(\"75s\", Crm(Standby(node: \"{primary}\"))), At(\"90s\", Crm(Unstandby(node: \"{primary}\")))]"
        );
        let r = play("pacemaker-postgres", &[], &drill, seed);
        let f = facts(&r);
        assert!(f.iter().any(|f| f.0 >= 75_000 && f.1 == primary && f.2 == Fact::Unlocks), "{seed}: {f:?}");
        assert!(f.iter().all(|f| f.2 != Fact::Locked), "{seed}");
        // Alone, it is the newest by its own four looks: LATEST stayed in its permanent attribute.
        let (again, by) = when(&r, 90_000, |n| matches!(n, Note::Postgres(Pg::Primary { .. }))).unwrap();
        assert!(by == primary && (13_000..18_000).contains(&(again - 90_000)), "{seed}: {}", again - 90_000);
    }
}

#[test]
fn with_sync_commits_wait_for_the_standby_and_no_longer_when_it_is_gone() {
    let sync = ("\"rep_mode\": \"async\"", "\"rep_mode\": \"sync\"");
    let mut waited = 0;
    for seed in 0..12 {
        // The standby's server dies: its monitor restarts it; meanwhile the primary's monitor lets commits go.
        let drill = format!(
            "until: \"100s\", faults: [At(\"{}ms\", Kill(Standby(1), \"postgres\"))]",
            60_000 + seed * 251
        );
        let r = play("pacemaker-postgres", &[sync], &drill, seed);
        let t = 60_000 + seed as i64 * 251;
        let f = facts(&r);
        let on = f.iter().find(|f| matches!(&f.2, Fact::Synchronous { node: Some(_) })).unwrap();
        // It is made synchronous at the first look, and the second look, 2 s later in the same monitor, sees it and gives it 100.
        let (seen, _) = when(&r, on.0, |n| data(n, "STREAMING|SYNC")).unwrap();
        assert!((2_000..2_700).contains(&(seen - on.0)), "{seed}: {}", seen - on.0);
        if let Some(off) = f.iter().find(|f| f.0 >= t && f.2 == Fact::Synchronous { node: None }) {
            assert!(off.0 - t < 3_900, "{seed}: {}", off.0 - t);
            waited += 1;
        }
        let m = Metrics::of(&r);
        assert!(m.get(Metric::WriteOutageMax) / 1000 < 6_500, "{seed}: {}", m.get(Metric::WriteOutageMax));
        // A primary that dies has lost nothing that it had acknowledged.
        let r = play(
            "pacemaker-postgres",
            &[sync],
            "until: \"110s\", faults: [At(\"60s\", Crash(Primary))]",
            seed,
        );
        let m = Metrics::of(&r);
        assert_eq!((m.get(Metric::LostWrites), m.get(Metric::LostWindow)), (0, 0), "{seed}");
        assert_eq!(m.get(Metric::OpenOutages), 0, "{seed}");
    }
    assert!(waited >= 6, "{waited}");
}

#[test]
fn without_fencing_a_split_has_two_primaries_and_loses_what_one_of_them_said() {
    let cut = "until: \"180s\", faults: [At(\"60s\", Start(Primary, \"application\")), At(\"60s..64s\", Cut(Primary, from: Everyone)), At(\"110s\", Heal)]";
    for seed in 0..SEEDS {
        let (bare, fenced) = (
            play("pacemaker-postgres-no-fencing", &[], cut, seed),
            play("pacemaker-postgres", &[], cut, seed),
        );
        let (b, f) = (Metrics::of(&bare), Metrics::of(&fenced));
        // Two nodes: token 3 s, consensus 3.6 s, up to 3 s for the CIB, then a promotion: two primaries from 8 s after the cut to the heal.
        let split = b.get(Metric::SplitBrain) / 1000;
        assert!((34_000..46_000).contains(&split), "{seed}: {split}");
        assert!(b.get(Metric::LostWrites) > 100, "{seed}: {}", b.get(Metric::LostWrites));
        // One of two histories of some 40 s is thrown away.
        let window = b.get(Metric::LostWindow) / 1000;
        assert!((34_000..56_000).contains(&window), "{seed}: {window}");
        // With fencing the old one is shot before the new one writes; what the program on its host was told in between is lost.
        assert_eq!(f.get(Metric::SplitBrain), 0, "{seed}");
        let window = f.get(Metric::LostWindow) / 1000;
        assert!(window < 17_000, "{seed}: {window}");
    }
}

#[test]
fn a_server_that_does_not_stop_is_given_all_but_ten_seconds_of_the_timeout() {
    let r = play(
        "pacemaker-postgres",
        &[],
        "until: \"180s\", faults: [At(\"60s\", Pause(Primary, \"postgres\")), At(\"61s\", Crm(Standby(node: \"db1\"))), At(\"61s\", Crm(Standby(node: \"db2\")))]",
        1,
    );
    // stop_escalate is 90 s, the timeout of the demotion 60 s: 50 looks a second apart.
    let f = facts(&r);
    let hard = f.iter().find(|f| f.2 == Fact::Escalates { after: 50 }).unwrap_or_else(|| panic!("{f:?}"));
    // A server that stands still ends neither way: the demotion runs into its timeout, and the node is fenced.
    let (fence, _) = when(&r, hard.0, |n| crm(n, |c| matches!(c, Crm::FenceRequested { .. }))).unwrap();
    assert!((8_000..13_000).contains(&(fence - hard.0)), "{}", fence - hard.0);
}

#[test]
fn restart_on_promote_keeps_the_timeline() {
    for seed in 0..6 {
        let change = ("\"rep_mode\": \"async\"", "\"rep_mode\": \"async\", \"restart_on_promote\": \"true\"");
        let r = play(
            "pacemaker-postgres",
            &[change],
            "until: \"110s\", faults: [At(\"60s\", Crash(Primary))]",
            seed,
        );
        let timelines: Vec<u32> = r
            .log
            .iter()
            .filter_map(|e| match &e.what {
                What::Note(Note::Postgres(Pg::Primary { timeline, .. })) => Some(*timeline),
                _ => None,
            })
            .collect();
        assert_eq!(timelines, [1, 1], "{seed}");
        assert_eq!(Metrics::of(&r).get(Metric::OpenOutages), 0, "{seed}");
    }
}

#[test]
fn a_standby_that_fell_behind_is_not_promoted() {
    for seed in 0..6 {
        // Replication is cut until the primary has dropped the standby (wal_sender_timeout), then the primary dies and stays away.
        let drill = "until: \"220s\", faults: [At(\"60s\", Cut(Replicas, from: Primary, plane: replication)), At(\"140s\", Crash(Primary))]";
        let r = play("pacemaker-postgres", &[], drill, seed);
        let (dropped, _) = when(&r, 60_000, |n| data(n, "DISCONNECT")).unwrap();
        assert!((118_000..126_000).contains(&dropped), "{seed}: {dropped}");
        assert!(when(&r, 140_000, |n| matches!(n, Note::Postgres(Pg::Primary { .. }))).is_none(), "{seed}");
        assert!(
            when(&r, 140_000, |n| fact(
                n,
                |f| matches!(f, Fact::OutOfDate { status } if status == "DISCONNECT")
            ))
            .is_some()
        );
        assert_eq!(Metrics::of(&r).get(Metric::OpenOutages), 1, "{seed}: nobody has the data");
    }
}

#[test]
fn mistakes_of_the_agents_configuration_have_words() {
    let complain = |old: &str, new: &str| {
        let text = firedrill::scenario::embedded::stack("pacemaker-postgres").unwrap();
        assert!(text.contains(old), "{old}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stack.ron");
        std::fs::write(&file, text.replace(old, new)).unwrap();
        let drill = "pacemaker/postgres-primary-power-off";
        match load::load(drill, &[], file.to_str()) {
            Ok(l) => l.warnings.iter().map(|r| r.render(false)).collect::<String>(),
            Err(r) => r.iter().map(|r| r.render(false)).collect::<String>(),
        }
    };
    let params = "\"rep_mode\": \"async\", \"node_list\": \"db1 db2\", \"master_ip\": \"10.0.0.100\"";
    for (old, new, part) in [
        ("\"rep_mode\": \"async\"", "\"rep_mode\": \"asink\"", "rep_mode `asink` is not modelled"),
        (params, "\"rep_mode\": \"async\"", "has no `master_ip`"),
        (params, "\"rep_mode\": \"async\"", "has no `node_list`"),
        ("\"db1 db2\"", "\"db1 db3\"", "node_list has no node `db3`"),
        ("\"promotable\": \"true\"", "\"promotable\": \"false\"", "has to be a promotable clone"),
        (", \"notify\": \"true\"", "", "without `notify`"),
        (
            "Postgres(),\n                Pacemaker(),",
            "Pacemaker(),\n                Postgres(),",
            "stands after `Pacemaker`",
        ),
    ] {
        let said = complain(old, new);
        assert!(said.contains(part), "{part:?} in:\n{said}");
    }
}
