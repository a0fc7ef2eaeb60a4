//! ARP and TCP as clients see them: the behaviours that need neither DNS nor a database, each by its number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{MS, SEC, Span, Time};
use firedrill::node::log::{Level, What};
use firedrill::proto::Note;
use firedrill::proto::client::process::{Note as Ended, Outcome};
use firedrill::scenario::load::load;
use firedrill::trace::run::{Run, run};

const PAIR: &str = r#"Stack(about: "a pair", networks: { "lan": (latency: "200us..600us") }, hosts: {
    "lb1": (addresses: { "lan": "10.0.0.1/24" }, runs: [HAProxy(), Keepalived(version: 3, priority: 150, vip: "10.0.0.100/24")]),
    "lb2": (addresses: { "lan": "10.0.0.2/24" }, runs: [HAProxy(), Keepalived(version: 3, priority: 100, vip: "10.0.0.100/24")]),
    "app1": (addresses: { "lan": "10.0.0.200/24" }, runs: [Client(connect: "10.0.0.100:80", CLIENT)]),
})"#;

fn play_stack(stack: &str, body: &str, seed: u64) -> Run {
    play_at(Level::Story, stack, body, seed)
}
fn play_at(level: Level, stack: &str, body: &str, seed: u64) -> Run {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stack.ron"), stack).unwrap();
    let drill = dir.path().join("drill.ron");
    std::fs::write(&drill, format!(r#"Drill(about: "a test", stack: "stack.ron", {body})"#)).unwrap();
    match load(drill.to_str().unwrap(), &[], None) {
        Ok(l) => run(&l.stack, &l.drill, seed, level, true),
        Err(reports) => panic!("{}", reports.iter().map(|r| r.render(false)).collect::<String>()),
    }
}
fn play(client: &str, body: &str, seed: u64) -> Run {
    play_stack(&PAIR.replace("CLIENT", client), body, seed)
}
/// Requests with the moment at which they ended.
fn requests(r: &Run) -> Vec<(Time, Ended)> {
    r.log
        .iter()
        .filter_map(|e| match &e.what {
            What::Note(Note::Client(n)) => Some((e.at, *n)),
            _ => None,
        })
        .collect()
}
fn close(what: &str, d: Span, ms: u64, slack_ms: u64) {
    let (low, high) = ((ms.saturating_sub(slack_ms)) * MS, (ms + slack_ms) * MS);
    assert!((low..=high).contains(&d.0), "{what}: {d}, expected {ms} ms +- {slack_ms}");
}

#[test]
fn net_07_a_new_connection_succeeds_at_the_next_syn() {
    for seed in 1..=20 {
        let r = play(
            r#"requests: Every("50ms"), timeout: "60s""#,
            r#"until: "60s", faults: [At("30s..31s", PowerOff("lb1"))]"#,
            seed,
        );
        let up = r.marks.iter().find(|m| m.kind == "vip_up" && r.host(m.host) == "lb2").unwrap().at;
        let fault = r.first_fault().unwrap();
        let late: Vec<_> = requests(&r)
            .into_iter()
            .filter(|(_, n)| n.sent > fault && n.sent < up && n.sent.as_ms() % 1000 < 50)
            .collect();
        assert!(late.len() >= 2, "{}", late.len());
        for (at, n) in late {
            assert!(matches!(n.outcome, Outcome::Ok(_)), "{n:?}");
            let took = at.since(n.sent).as_ms();
            let needed = up.since(n.sent).as_ms();
            let retry = [1_000, 3_000, 7_000].into_iter().find(|t| *t >= needed).unwrap();
            assert!((retry..retry + 10).contains(&took), "sent {}, took {took} ms, retry {retry}", n.sent);
        }
    }
}

#[test]
fn net_08_without_a_garp_the_arp_cache_decides() {
    let mut all = Vec::new();
    for seed in 1..=40 {
        let r = play(
            r#"requests: Every("20ms")"#,
            r#"until: "120s", faults: [At("30s", LoseGarps("lb2")), At("30s..31s", PowerOff("lb1"))]"#,
            seed,
        );
        let last = r.outages(true).into_iter().max_by_key(|o| o.length()).unwrap();
        assert!(last.over, "seed {seed}");
        all.push(last.length());
    }
    // Reachable 15-45 s after the last contact, delay 5 s, three probes; the timer wheel adds up to 2.3 s.
    let (min, max) = (all.iter().min().unwrap(), all.iter().max().unwrap());
    assert!(min.0 >= 23 * SEC && max.0 <= 56 * SEC, "{min} {max}");
    assert!(max.0 - min.0 > 15 * SEC, "the spread is that of the reachable time: {min} {max}");
    for seed in 1..=10 {
        let refreshed = play_stack(
            &PAIR
                .replace("CLIENT", r#"requests: Every("20ms")"#)
                .replace("version: 3", r#"version: 3, garp_master_refresh: "5s""#),
            r#"until: "90s", faults: [At("30s", LoseGarps("lb2")), At("30s..31s", PowerOff("lb1")), After("100ms", Mark("vip_up", "lb2"), Heal)]"#,
            seed,
        );
        let up = refreshed
            .marks
            .iter()
            .find(|m| m.kind == "vip_up" && refreshed.host(m.host) == "lb2")
            .unwrap()
            .at;
        let back = refreshed.outages(true)[0].to;
        assert!(back.since(up) <= Span::ms(5_040), "{}", back.since(up));
    }
}

#[test]
fn net_09_a_busy_connection_meets_the_new_host_at_its_next_retransmission() {
    for seed in 1..=20 {
        let r = play(
            r#"protocol: Session, requests: Every("20ms"), timeout: "60s""#,
            r#"until: "60s", faults: [At("30s", Loss("lb1", "0%")), After("1ms", Advert("lb1"), PowerOff("lb1"))]"#,
            seed,
        );
        let (at, first) =
            requests(&r).into_iter().find(|(_, n)| !matches!(n.outcome, Outcome::Ok(_))).unwrap();
        assert_eq!(first.outcome, Outcome::Reset, "seed {seed}");
        close("reset after the send", at.since(first.sent), 6_200, 5);
    }
}

#[test]
fn net_10_an_idle_connection_notices_when_it_sends() {
    let r = play(
        r#"protocol: Session, requests: Every("30s"), timeout: "20s""#,
        r#"until: "80s", faults: [At("40s..50s", PowerOff("lb1"))]"#,
        1,
    );
    let all = requests(&r);
    let (at, n) = all[2];
    assert_eq!((n.sent, n.outcome), (Time::secs(65), Outcome::Reset));
    assert!(at.since(n.sent) <= Span::ms(3), "one round trip: {}", at.since(n.sent));
}

#[test]
fn net_11_unacknowledged_data_fails_after_tcp_retries2_or_the_user_timeout() {
    for (option, ms) in [("", 924_600), (r#", tcp_user_timeout: "30s""#, 30_000)] {
        let r = play(
            &format!(r#"protocol: Session, requests: Every("30s"), timeout: "5000s"{option}"#),
            r#"until: "1200s", faults: [At("34s", PowerOff(Hosts(["lb1", "lb2"])))]"#,
            1,
        );
        let (at, n) = requests(&r).into_iter().find(|(_, n)| n.sent == Time::secs(35)).unwrap();
        assert_eq!(n.outcome, Outcome::Timeout);
        close("ETIMEDOUT", at.since(n.sent), ms, 50);
    }
}

const WAITING: &str =
    r#"faults: [At("34s", Pause("lb1", "haproxy")), At("36s", PowerOff(Hosts(["lb1", "lb2"])))]"#;

#[test]
fn net_12_who_waits_for_an_answer_waits_for_ever() {
    let r = play(
        r#"protocol: Session, requests: Every("100000s"), start_after: "35s", timeout: "90000s""#,
        &format!(r#"until: "7300s", {WAITING}"#),
        1,
    );
    assert_eq!(requests(&r).len(), 0, "more than two hours without news");
}

#[test]
fn net_13_keepalive_finds_out() {
    let r = play(
        r#"protocol: Session, requests: Every("100000s"), start_after: "35s", timeout: "90000s",
           keepalives: true, keepalives_idle: "10s", keepalives_interval: "5s", keepalives_count: 3"#,
        &format!(r#"until: "200s", {WAITING}"#),
        1,
    );
    let (at, n) = requests(&r)[0];
    assert_eq!(n.outcome, Outcome::Timeout);
    close("idle 10 + 3 x 5", at.since(n.sent), 25_000, 10);
}

#[test]
fn net_14_a_partition_is_felt_until_the_next_retransmission() {
    for seed in 1..=10 {
        let r = play(
            r#"protocol: Session, requests: Every("20ms"), timeout: "100s""#,
            r#"until: "90s", faults: [At("30s..30.02s", Cut("app1", from: Others(["app1"]))), At("50.02s", Heal)]"#,
            seed,
        );
        assert!(requests(&r).iter().all(|(_, n)| matches!(n.outcome, Outcome::Ok(_))), "no error");
        let stall = requests(&r).iter().map(|(at, n)| at.since(n.sent)).max().unwrap();
        close("visible stall", stall, 25_400, 25);
    }
}

#[test]
fn net_15_with_two_owners_the_last_arp_update_decides() {
    for seed in 1..=5 {
        let r = play(
            r#"requests: Every("20ms")"#,
            r#"until: "60s", faults: [At("30s..31s", CutOneWay("lb1", to: "lb2", plane: heartbeat))]"#,
            seed,
        );
        let moves: Vec<&str> = r
            .marks
            .iter()
            .filter(|m| m.kind == "arp_moved" && m.at > r.first_fault().unwrap() && r.host(m.host) == "app1")
            .map(|m| m.text.rsplit(' ').next().unwrap())
            .collect();
        assert!(moves.len() >= 2 && moves[0] == "lb2" && moves[1] == "lb1", "{moves:?}");
    }
}

#[test]
fn net_18_an_address_does_not_cross_subnets() {
    let stack = r#"Stack(about: "two segments", networks: { "a": (subnet: "10.0.0.0/24"), "b": (subnet: "10.0.1.0/24") }, hosts: {
        "lb1": (runs: [HAProxy(), Keepalived(version: 3, priority: 150, vip: "10.0.0.100/24", interface: "b")]),
        "lb2": (networks: ["b"], runs: [HAProxy(), Keepalived(version: 3, priority: 100, vip: "10.0.0.100/24", interface: "b")]),
        "app1": (networks: ["a"], runs: [Client(connect: "10.0.0.100:80", requests: Every("20ms"))]),
    })"#;
    let r = play_stack(stack, r#"until: "300s", faults: [At("30s", PowerOff("lb1"))]"#, 1);
    assert!(r.marks.iter().any(|m| m.kind == "vip_up" && r.host(m.host) == "lb2" && m.at > Time::secs(30)));
    let (before, after): (Vec<_>, Vec<_>) =
        requests(&r).into_iter().partition(|(_, n)| n.sent < Time::secs(30));
    assert!(before.iter().all(|(_, n)| matches!(n.outcome, Outcome::Ok(_))));
    assert!(!after.is_empty() && after.iter().all(|(_, n)| !matches!(n.outcome, Outcome::Ok(_))));
}

/// Linux draws the reachable time of an interface anew every 300 s (`neigh_periodic_work`); all its entries share it meanwhile.
/// Acknowledgements that are on their way when something happens to the host that they go to. Unless frames are written down they are no
/// events, and nobody must be able to tell.
#[test]
fn an_acknowledgement_under_way_is_lost_with_its_receiver() {
    let client = r#"protocol: Session, requests: Every("30s"), timeout: "5000s", tcp_user_timeout: "30s""#;
    let stack = PAIR.replace("CLIENT", client);
    for fault in [
        r#"LinkDown("app1")"#,
        r#"PowerOff("app1")"#,
        r#"Freeze("app1", for: "1s")"#,
        r#"Freeze("app1", for: "1s", clock: Stops)"#,
        r#"Freeze("app1", for: "1s", mode: Queued)"#,
        r#"LinkDown("lb1")"#,
        r#"PowerOff("lb1")"#,
        r#"Freeze("lb1", for: "50s")"#,
        r#"Stop("lb1", "keepalived")"#,
    ] {
        let body = format!(r#"until: "100s", faults: [At("35.0002s..35.0022s", {fault})]"#);
        let (mut lost, mut cut) = (0, 0);
        for seed in 1..=60 {
            let [brief, full] = [Level::Story, Level::Full].map(|level| play_at(level, &stack, &body, seed));
            let told = |r: &Run| -> Vec<_> {
                let frames = |w: &What<Note>| matches!(w, What::Frame(..) | What::Event(_));
                let log = r.log.iter().filter(|e| !frames(&e.what));
                log.map(|e| (e.at, e.event, e.cause, e.host, format!("{:?}", e.what))).collect()
            };
            assert_eq!(told(&brief), told(&full), "{fault}, seed {seed}");
            let under_way = brief.log.iter().any(|e| match &e.what {
                What::Lost(to, label, _) => label.word == "ACK" && fault.contains(brief.host(Some(*to))),
                _ => false,
            });
            lost += usize::from(under_way);
            if under_way && fault == r#"LinkDown("app1")"# {
                // What it sent is not acknowledged and never will be.
                let (at, n) = requests(&brief).into_iter().find(|(_, n)| n.sent == Time::secs(35)).unwrap();
                assert_eq!((n.outcome, at), (Outcome::Timeout, Time::secs(65)), "seed {seed}");
                cut += 1;
            }
        }
        let kept = fault.contains("Queued");
        assert_eq!(lost >= 5, !kept, "{fault}: an acknowledgement was lost in {lost} of 60 runs");
        assert!(cut == lost || !fault.starts_with(r#"LinkDown("app1"#));
    }
}

#[test]
fn a_reachable_time_lasts_300_s() {
    let dir = tempfile::tempdir().unwrap();
    let client = r#"protocol: Udp, requests: Every("100ms")"#;
    std::fs::write(dir.path().join("stack.ron"), PAIR.replace("CLIENT", client)).unwrap();
    let drill = dir.path().join("drill.ron");
    std::fs::write(&drill, r#"Drill(about: "a test", stack: "stack.ron", until: "3000s")"#).unwrap();
    let l = load(drill.to_str().unwrap(), &[], None).unwrap_or_else(|r| panic!("{}", r[0].render(false)));
    let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 1, Level::Off);
    let app = sim.model.world.find_host("app1").unwrap();
    let (mut since, mut times) = (None, Vec::new());
    for tenth in 100..30_000 {
        sim.run_until(Time(tenth * 100 * MS));
        let host = sim.model.world.host(app);
        let entry = host.neigh.iter().find(|(_, e)| e.ip.to_string() == "10.0.0.100").unwrap();
        match (entry.1.state == firedrill::net::arp::Nud::Reachable, since) {
            (true, None) => since = Some(tenth),
            (false, Some(from)) => {
                times.push((tenth - from) / 10);
                since = None;
            }
            _ => {}
        }
    }
    // The first had begun before it was looked at.
    let times = &times[1..];
    // Within 300 s an entry is confirmed several times and stays for the same time, but for the second that the timer wheel adds.
    let changes = times.windows(2).filter(|w| w[0].abs_diff(w[1]) > 3).count();
    assert!(times.len() > 50 && times.iter().all(|s| (15..=48).contains(s)), "{times:?}");
    assert!((7..=10).contains(&changes), "10 or 11 periods, {changes} changes: {times:?}");
}
