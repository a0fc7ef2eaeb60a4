//! The behaviours of load-balancing directors, each by its number, over enough seeds to see the spread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{MS, SEC, Span, Time};
use firedrill::net::addr::{Endpoint, Ip};
use firedrill::node::forward::{Flag, Packet, Verdict};
use firedrill::node::log::Level;
use firedrill::proto::lvs::config::{Algorithm, Kind, Lvs};
use firedrill::proto::lvs::note::{Names, Note};
use firedrill::proto::lvs::schedule::{BUCKETS, Load, Scheduler, bucket};
use firedrill::proto::lvs::state::State;
use firedrill::proto::lvs::table::{Dest, Ipvs, service};
use firedrill::scenario::load::{Loaded, load_text};
use firedrill::trace::run::{Run, run};

/// Process and network time that a detection may take beyond the formula.
const EPS: u64 = 20 * MS;

fn drill(stack: &str, body: &str, sets: &[(&str, &str)]) -> Loaded {
    let text = format!("Drill(about: \"a test\", stack: \"{stack}\", {body})");
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    match load_text("test", "test.ron", text, &sets, None) {
        Ok(l) => l,
        Err(reports) => panic!("{}", reports.iter().map(|r| r.render(false)).collect::<String>()),
    }
}
fn runs(l: &Loaded, seeds: u64) -> Vec<Run> {
    (1..=seeds).map(|seed| run(&l.stack, &l.drill, seed, Level::Story, false)).collect()
}
/// The first mark of a kind at or after a time whose words begin like this.
fn mark(r: &Run, kind: &str, words: &str, after: Time) -> Option<Time> {
    r.marks.iter().find(|m| m.kind == kind && m.text.starts_with(words) && m.at >= after).map(|m| m.at)
}
fn marks(r: &Run, kind: &str) -> usize {
    r.marks.iter().filter(|m| m.kind == kind).count()
}
fn fault(r: &Run, n: usize) -> Time {
    r.marks.iter().filter(|m| matches!(m.kind, "fault" | "healed")).nth(n - 1).expect("the fault fires").at
}
fn failures(r: &Run) -> u64 {
    let (ok, all) = r.requests.counts(true);
    all - ok
}
/// From the first fault to the mark, over seeds: all within the range, and the range is really used.
fn detections(l: &Loaded, kind: &str, words: &str, low_ms: u64, high_ms: u64, spread_ms: u64) {
    let times: Vec<u64> = runs(l, 60)
        .iter()
        .map(|r| mark(r, kind, words, fault(r, 1)).expect("it is noticed").since(fault(r, 1)).0)
        .collect();
    for t in &times {
        assert!(*t >= low_ms * MS && *t <= high_ms * MS + EPS, "{} ms, expected {low_ms}..{high_ms}", t / MS);
    }
    let (min, max) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(max - min >= spread_ms * MS, "the spread is only {} ms", (max - min) / MS);
}

/// The settings of the only virtual service of `lvs-nat`.
fn vs(knob: &str) -> String {
    format!("hosts.lb1.runs[0].virtual_server[0].{knob}")
}

// ---- schedulers --------------------------------------------------------------------------------------------------------

/// Servers that nothing ever leaves, and the letters of those that so many connections go to.
fn sequence(algorithm: Algorithm, weights: &[u32], n: usize) -> (String, Vec<u32>) {
    let mut servers: Vec<Load> =
        weights.iter().map(|w| Load { listed: true, weight: *w, ..Load::default() }).collect();
    let mut scheduler = Scheduler::new(algorithm);
    scheduler.changed(&servers);
    let mut letters = String::new();
    for _ in 0..n {
        let i = scheduler.pick(&servers, Ip(1), Ip(2)).expect("a server");
        servers[i].active += 1;
        letters.push(char::from(b'A' + i as u8));
    }
    (letters, servers.iter().map(|s| s.active).collect())
}
fn expect(algorithm: Algorithm, weights: &[u32], letters: &str) {
    assert_eq!(sequence(algorithm, weights, letters.len()).0, letters, "{algorithm:?} {weights:?}");
}

#[test]
fn lbv_01_weighted_round_robin_takes_heavy_servers_in_bursts() {
    expect(Algorithm::Wrr, &[4, 3, 2], "AABABCABCAABABCABC");
    expect(Algorithm::Wrr, &[5, 1, 1], "AAAAABCAAAAABC");
    expect(Algorithm::Wrr, &[6, 3], "AABAABAAB");
    expect(Algorithm::Wrr, &[3, 0, 1], "AAACAAAC");
    let mut none = Scheduler::new(Algorithm::Wrr);
    let servers = [Load { listed: true, ..Load::default() }; 3];
    none.changed(&servers);
    assert_eq!(none.pick(&servers, Ip(1), Ip(2)), None, "weight 0 gets nothing");
}

#[test]
fn lbv_02_least_connections_and_expected_delay_compare_crosswise() {
    expect(Algorithm::Lc, &[1, 2, 3], "ABCABCABCABC");
    expect(Algorithm::Wlc, &[1, 2, 3], "ABCCBCABCCBC");
    assert_eq!(sequence(Algorithm::Wlc, &[1, 2, 3], 12).1, [2, 4, 6]);
    expect(Algorithm::Sed, &[1, 2, 3], "CBCABCCBCABC");
    expect(Algorithm::Nq, &[1, 2, 3], "ABCCBCCBCABC");
    expect(Algorithm::Wlc, &[3, 1, 1], "ABCAAABCAA");
    expect(Algorithm::Sed, &[3, 1, 1], "AAABCAAABC");
    expect(Algorithm::Nq, &[3, 1, 1], "ABCAAAAABC");
}

#[test]
fn inactive_connections_weigh_a_256th_and_overloaded_servers_get_nothing() {
    let server = |active, inactive| Load { listed: true, weight: 1, active, inactive, overload: false };
    let mut lc = Scheduler::new(Algorithm::Lc);
    assert_eq!(lc.pick(&[server(1, 0), server(0, 255)], Ip(1), Ip(2)), Some(1));
    assert_eq!(lc.pick(&[server(1, 0), server(0, 256)], Ip(1), Ip(2)), Some(0), "the first of equals");
    assert_eq!(lc.pick(&[server(1, 0), server(0, 257)], Ip(1), Ip(2)), Some(0));
    let mut sed = Scheduler::new(Algorithm::Sed);
    assert_eq!(sed.pick(&[server(1, 0), server(0, 9_999)], Ip(1), Ip(2)), Some(1), "no inactive term");
    for algorithm in
        [Algorithm::Rr, Algorithm::Wrr, Algorithm::Lc, Algorithm::Wlc, Algorithm::Sed, Algorithm::Nq]
    {
        let mut servers = [server(0, 0), server(5, 5), server(9, 9)];
        servers[0].overload = true;
        servers[2].weight = 0;
        let mut s = Scheduler::new(algorithm);
        s.changed(&servers);
        for _ in 0..3 {
            assert_eq!(s.pick(&servers, Ip(1), Ip(2)), Some(1), "{algorithm:?}");
        }
        servers[1].listed = false;
        s.changed(&servers);
        assert_eq!(s.pick(&servers, Ip(1), Ip(2)), None, "{algorithm:?}");
    }
}

#[test]
fn lbv_03_round_robin_counts_differ_by_one_at_most() {
    for arrivals in [10_000, 9_999, 9_998, 9_997] {
        let counts = sequence(Algorithm::Rr, &[1; 4], arrivals).1;
        let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(max - min <= 1 && counts.iter().sum::<u32>() as usize == arrivals, "{counts:?}");
    }
    // The same through a director, with handshakes and answers.
    let l = drill("lvs-nat", r#"until: "105s""#, &[]);
    let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 1, Level::Off);
    while sim.step(Time::secs(105)) {}
    let director = sim.model.world.find_host("lb1").unwrap();
    let table = &sim.model.world.host(director).files.ipvs;
    let counts: Vec<u64> = table.services()[0].dests.iter().map(|d| d.scheduled).collect();
    assert_eq!(counts, [2_500; 4]);
}

#[test]
fn lbv_04_least_connections_evens_out_the_connections() {
    let l = drill(
        "lvs-nat",
        r#"until: "2000s""#,
        &[
            (&vs("lb_algo"), "Wlc"),
            ("server.workers", "64"),
            ("server.service_time", "200ms"),
            ("server.distribution", "Exponential"),
            ("client.requests", r#"Poisson("50ms")"#),
            ("client.timeout", "10s"),
        ],
    );
    let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 3, Level::Off);
    let director = sim.model.world.find_host("lb1").unwrap();
    let (warm_up, batch, batches) = (Time::secs(200), 60 * SEC, 30usize);
    // The integral of each server's active connections over each batch, in connection-seconds.
    let mut area = vec![[0f64; 4]; batches];
    let mut before = warm_up;
    while sim.step(Time::secs(2000)) {
        let now = sim.sched.now();
        if now > warm_up {
            let k = (before.since(warm_up).0 / batch) as usize;
            if k < batches {
                let dests = &sim.model.world.host(director).files.ipvs.services()[0].dests;
                for (a, d) in area[k].iter_mut().zip(dests) {
                    *a += now.since(before).0 as f64 / 1e9 * f64::from(d.load.active);
                }
            }
            before = now;
        }
    }
    let seconds = batch as f64 / 1e9;
    for (i, j) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        let differences: Vec<f64> = area.iter().map(|a| (a[i] - a[j]) / seconds).collect();
        let n = batches as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let deviation = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let error = (deviation / n).sqrt();
        assert!(
            mean.abs() <= 3.0 * error,
            "servers {i} and {j} differ by {mean:.4}, 3 sigma {:.4}",
            3.0 * error
        );
    }
    // 20 a second for 200 ms each: 4 in all, 1 on each.
    let each = area.iter().map(|a| a[0]).sum::<f64>() / seconds / batches as f64;
    assert!((0.9..1.1).contains(&each), "{each}");
}

// ---- checks ------------------------------------------------------------------------------------------------------------

#[test]
fn lbv_05_keepalived_defaults_notice_a_dead_process_within_61_s() {
    let l = drill(
        "lvs-nat",
        r#"until: "240s", faults: [At("100s..160s", Kill("web2", "server"))]"#,
        &[(&vs("delay_loop"), "60s"), ("client.requests", r#"Every("5s")"#)],
    );
    detections(&l, "backend_down", "web2", 1_000, 61_000, 45_000);
    // And it is back with the first check after the repair.
    let l = drill(
        "lvs-nat",
        r#"until: "240s", faults: [At("100s..160s", Start("web2", "server"))]"#,
        &[(&vs("delay_loop"), "60s"), ("client.requests", r#"Every("5s")"#)],
    );
    assert!(runs(&l, 3).iter().all(|r| marks(r, "backend_up") == 0), "it was up");
    let l = drill(
        "lvs-nat",
        r#"until: "300s", faults: [At("20s", Kill("web2", "server")), At("120s..180s", Start("web2", "server"))]"#,
        &[(&vs("delay_loop"), "60s"), ("client.requests", r#"Every("5s")"#)],
    );
    let times: Vec<u64> = runs(&l, 40)
        .iter()
        .map(|r| mark(r, "backend_up", "web2", fault(r, 2)).expect("up again").since(fault(r, 2)).0)
        .collect();
    assert!(times.iter().all(|t| *t <= 60 * SEC + EPS), "{times:?}");
    assert!(times.iter().any(|t| *t > 40 * SEC) && times.iter().any(|t| *t < 20 * SEC), "{times:?}");
}

#[test]
fn lbv_06_a_silent_server_costs_a_timeout_for_every_attempt() {
    let l = drill(
        "lvs-nat",
        r#"until: "90s", faults: [At("50s..56s", Cut("lb1", from: "web2", plane: rest))]"#,
        &[(&vs("delay_loop"), "6s"), (&vs("retry"), "2"), ("client.requests", r#"Every("5s")"#)],
    );
    detections(&l, "backend_down", "web2", 17_000, 23_000, 4_500);
    let defaults = drill(
        "lvs-nat",
        r#"until: "240s", faults: [At("100s..160s", Cut("lb1", from: "web2", plane: rest))]"#,
        &[(&vs("delay_loop"), "60s"), ("client.requests", r#"Every("5s")"#)],
    );
    detections(&defaults, "backend_down", "web2", 11_000, 71_000, 45_000);
    let refused = drill(
        "lvs-nat",
        r#"until: "90s", faults: [At("50s..56s", Kill("web2", "server"))]"#,
        &[(&vs("delay_loop"), "6s"), (&vs("retry"), "2"), ("client.requests", r#"Every("5s")"#)],
    );
    detections(&refused, "backend_down", "web2", 2_000, 8_000, 4_500);
}

#[test]
fn lbv_09_one_lost_check_ejects_nobody() {
    // A check's SYN is repeated after 1 s and 3 s; three lost ones make one lost check of 5 s.
    let one = r#"[(address: "10.0.1.11:80", check: [TCP_CHECK()])]"#;
    let lost = |n: u32| {
        drill(
            "lvs-nat",
            &format!(r#"until: "90s", faults: [At("30s..36s", DropNext("lb1", count: {n}, plane: rest))]"#),
            &[(&vs("real_server"), one), ("client.requests", r#"Every("5s")"#)],
        )
    };
    for r in runs(&lost(3), 20) {
        assert_eq!(
            (marks(&r, "detected"), marks(&r, "backend_down")),
            (1, 0),
            "one failed, its repetition did not"
        );
    }
    for r in runs(&lost(6), 20) {
        assert_eq!((marks(&r, "detected"), marks(&r, "backend_down")), (1, 1), "two lost are too many");
    }
}

#[test]
fn http_and_scripts_check_what_they_say() {
    let with = |check: &str, body: &str| {
        let servers = format!(
            r#"[(address: "10.0.1.11:80", check: [{check}]), (address: "10.0.1.12:80", check: [{check}])]"#
        );
        drill("lvs-nat", body, &[(&vs("real_server"), &servers), ("client.requests", r#"Every("5s")"#)])
    };
    // HTTP_GET repeats after 3 s.
    let l = with("HTTP_GET()", r#"until: "60s", faults: [At("30s..36s", Kill("web2", "server"))]"#);
    detections(&l, "backend_down", "web2", 3_000, 9_000, 4_000);
    // A stopped process accepts, but does not answer: TCP_CHECK is content, HTTP_GET is not.
    let stopped = r#"until: "60s", faults: [At("30s", Pause("web2", "server"))]"#;
    assert!(runs(&with("TCP_CHECK()", stopped), 5).iter().all(|r| marks(r, "backend_down") == 0));
    assert!(runs(&with("HTTP_GET()", stopped), 5).iter().all(|r| marks(r, "backend_down") == 1));
    let wrong = with("HTTP_GET(status_code: 204)", r#"until: "60s""#);
    assert!(runs(&wrong, 5).iter().all(|r| marks(r, "backend_down") == 2), "200 is not 204");
    // MISC_CHECK does not repeat by itself: [0, delay_loop].
    let script = r#"until: "60s", faults: [At("30s..36s", Kill("web2", "server"))]"#;
    detections(&with("MISC_CHECK(script: Connects)", script), "backend_down", "web2", 0, 6_000, 4_000);
    let local = with(r#"MISC_CHECK(script: Running("lvs"))"#, r#"until: "60s""#);
    assert!(runs(&local, 3).iter().all(|r| marks(r, "backend_down") == 0));
    let local = with(r#"MISC_CHECK(script: Running("nothing"))"#, r#"until: "60s""#);
    assert!(runs(&local, 3).iter().all(|r| marks(r, "backend_down") == 2));
}

#[test]
fn alpha_starts_with_nobody_and_inhibit_keeps_a_failed_server_at_weight_zero() {
    let l = drill("lvs-nat", r#"until: "60s""#, &[(&vs("alpha"), "true")]);
    for r in runs(&l, 10) {
        assert_eq!((marks(&r, "backend_up"), marks(&r, "quorum_gained")), (4, 1));
        let first = mark(&r, "backend_up", "web", Time::ZERO).unwrap();
        assert!(first >= Time::secs(1) && first <= Time::ms(7_020), "warm-up up to 6 s after 1 s: {first}");
    }
    let l = drill(
        "lvs-nat",
        r#"until: "60s", faults: [At("30s", Kill("web2", "server"))]"#,
        &[(&vs("inhibit_on_failure"), "true")],
    );
    let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 1, Level::Off);
    while sim.step(Time::secs(60)) {}
    let director = sim.model.world.find_host("lb1").unwrap();
    let d = &sim.model.world.host(director).files.ipvs.services()[0].dests[1];
    assert!(d.load.listed && d.load.weight == 0);
}

// ---- what clients feel -------------------------------------------------------------------------------------------------

#[test]
fn lbv_10_a_fast_failing_server_costs_its_share_and_least_connections_all() {
    // Detection takes 1 s to 9 s, 5 s on average: 100 a second x 1/4 x 5 s = 125 refused.
    let body = r#"until: "60s", faults: [At("30s..38s", Kill("web2", "server"))]"#;
    let long = [
        ("server.workers", "64"),
        ("server.service_time", "1s"),
        ("client.timeout", "10s"),
        ("client.requests", r#"Poisson("10ms")"#),
    ];
    let delay = vs("delay_loop");
    let algorithm = vs("lb_algo");
    let with = |algo: &'static str, quick: bool| {
        let mut sets = vec![(delay.as_str(), "8s"), (algorithm.as_str(), algo)];
        sets.extend(long.iter().filter(|(k, _)| !quick || k.starts_with("client")));
        drill("lvs-nat", body, &sets)
    };
    let seeds = 40;
    let (mut total, mut expected) = (0f64, 0f64);
    for r in runs(&with("Rr", true), seeds) {
        let d = mark(&r, "backend_down", "web2", fault(&r, 1)).unwrap().since(fault(&r, 1));
        let share = d.0 as f64 / 1e9 * 25.0;
        let refused = failures(&r) as f64;
        assert!((refused - share).abs() <= 3.0 * share.sqrt() + 2.0, "{refused} refused, expected {share}");
        total += refused;
        expected += share;
    }
    assert!((total - expected).abs() <= 3.0 * expected.sqrt(), "{total} refused, expected {expected}");
    // Uniform detection of 5 s on average: 125 with a standard error of 25 x 8/sqrt(12)/sqrt(40) and the arrivals' own.
    let mean = total / seeds as f64;
    let error = ((25.0f64 * 8.0).powi(2) / 12.0 / seeds as f64 + 125.0 / seeds as f64).sqrt();
    assert!((mean - 125.0).abs() <= 3.0 * error, "{mean:.1} refused on average, 3 sigma {:.1}", 3.0 * error);
    // The one that fails fast always has the fewest connections: it gets everybody.
    for algo in ["Lc", "Wlc", "Sed"] {
        for r in runs(&with(algo, false), 3) {
            let t = fault(&r, 1);
            let d = mark(&r, "backend_down", "web2", t).unwrap().since(t);
            let (failed, all) = {
                let client = r.requests.clients()[0];
                r.requests.failed(client, t, t + d)
            };
            // After a second the others are idle too; then old connections weigh a little.
            assert!(failed * 100 >= all * 85, "{algo}: {failed} of {all}");
            let bound = d.0 as f64 / 1e9 * 100.0;
            assert!(failed as f64 <= bound + 3.0 * bound.sqrt(), "{algo}: {failed} of at most {bound}");
        }
    }
}

#[test]
fn a_black_hole_needs_to_see_the_reset() {
    // With DR the director never sees the RST: the connection stays in SYN_RECV and counts, so the dead server looks busy.
    let l = drill(
        "lvs-pair",
        r#"until: "60s", faults: [At("30s", Kill("web2", "server"))]"#,
        &[
            ("hosts.lb1.runs[1].virtual_server[0].lb_algo", "Wlc"),
            ("server.workers", "64"),
            ("server.service_time", "500ms"),
            ("client.timeout", "10s"),
        ],
    );
    for r in runs(&l, 3) {
        let t = fault(&r, 1);
        let d = mark(&r, "backend_down", "web2", t).unwrap().since(t);
        let client = r.requests.clients()[0];
        let (failed, all) = r.requests.failed(client, t, t + d);
        assert!(failed * 100 <= all * 60, "{failed} of {all}");
    }
}

fn table(config: &str) -> Ipvs {
    let c: Lvs = ron::Options::default()
        .with_default_extension(
            ron::extensions::Extensions::IMPLICIT_SOME | ron::extensions::Extensions::UNWRAP_VARIANT_NEWTYPES,
        )
        .from_str(config)
        .unwrap();
    let mut t = Ipvs::default();
    t.configure(&c, &Names::default());
    let v = &c.virtual_server[0];
    let n = t.add_service(service(v));
    for r in &v.real_server {
        t.add(n, &Dest::new(r.address, r.lb_kind.unwrap_or(v.lb_kind), r.weight));
    }
    t
}
const VIP: Endpoint = Endpoint::new(Ip(0x0A00_0064), 80);
fn client(n: u32, port: u16) -> Endpoint {
    Endpoint::new(Ip(0x0A00_0000 + n), port)
}
fn send(t: &mut Ipvs, from: Endpoint, flag: Flag, now: Time) -> (Option<Ip>, Verdict, Vec<Note>) {
    let mut notes = Vec::new();
    let verdict = t.forward(&Packet { from, to: VIP, flag, local: true }, now, &mut notes);
    let via = if let Verdict::Forward { via, .. } = verdict { Some(via) } else { None };
    (via, verdict, notes)
}
fn config(more: &str, service: &str) -> String {
    format!(
        r#"(virtual_server: [(address: "10.0.0.100:80", lb_algo: Rr, {service} real_server: [
            (address: "10.0.1.11:80"), (address: "10.0.1.12:80"), (address: "10.0.1.13:80"), (address: "10.0.1.14:80"),
        ])], {more})"#
    )
}
const WEB1: Endpoint = Endpoint::new(Ip(0x0A00_010B), 80);

#[test]
fn lbv_12_a_template_holds_a_client_on_a_quiesced_server() {
    for (expires, stays) in [(false, true), (true, false)] {
        let text =
            config(&format!("expire_quiescent_template: {expires}"), r#"persistence_timeout: "300s","#);
        let mut t = table(&text);
        let first = send(&mut t, client(1, 1000), Flag::Syn, Time::secs(1)).0;
        assert_eq!(first, Some(WEB1.ip));
        assert_eq!(send(&mut t, client(1, 1001), Flag::Syn, Time::secs(2)).0, first, "persistence");
        assert_ne!(send(&mut t, client(2, 1000), Flag::Syn, Time::secs(2)).0, first, "another client");
        t.set_weight(0, WEB1, 0);
        let again = send(&mut t, client(1, 1002), Flag::Syn, Time::secs(3)).0;
        assert_eq!(again == first, stays, "expire_quiescent_template {expires}");
        assert_eq!(
            send(&mut t, client(1, 1000), Flag::Ack, Time::secs(3)).0,
            first,
            "the old connection goes on"
        );
        for n in 3..9 {
            assert_ne!(send(&mut t, client(n, 1000), Flag::Syn, Time::secs(4)).0, first, "no new client");
        }
    }
    // And in a world.
    for (expires, n) in [("false", 1), ("true", 0)] {
        let l = drill(
            "lvs-persistent",
            r#"until: "80s", faults: [At("40s", Weight("lb1", server: "web1", weight: 0))]"#,
            &[("lvs.expire_quiescent_template", expires)],
        );
        for r in runs(&l, 3) {
            assert_eq!((marks(&r, "sticks"), marks(&r, "remapped")), (n, 1 - n), "{expires}");
            assert_eq!(failures(&r), 0);
        }
    }
}

#[test]
fn a_template_lives_as_long_as_connections_hang_on_it() {
    let mut t = table(&config("", r#"persistence_timeout: "50s","#));
    send(&mut t, client(1, 1000), Flag::Syn, Time::secs(0));
    send(&mut t, client(1, 1000), Flag::Ack, Time::secs(0));
    send(&mut t, client(1, 1000), Flag::Fin, Time::secs(1));
    assert_eq!((t.templates(), t.connections()), (1, 1));
    // CLOSE_WAIT lasts 60 s, to 61 s. At 50 s the template finds the connection and looks again at 110 s.
    send(&mut t, client(9, 1), Flag::Ack, Time::secs(60));
    assert_eq!((t.templates(), t.connections()), (1, 1));
    send(&mut t, client(9, 1), Flag::Ack, Time::secs(109));
    assert_eq!((t.templates(), t.connections()), (1, 0));
    send(&mut t, client(9, 1), Flag::Ack, Time::secs(110));
    assert_eq!((t.templates(), t.connections()), (0, 0));
    // With a mask of 24 bits the neighbours of a client share its template.
    let mut t = table(&config("", r#"persistence_timeout: "50s", persistence_granularity: 24,"#));
    let first = send(&mut t, client(1, 1000), Flag::Syn, Time::ZERO).0;
    assert_eq!(send(&mut t, client(77, 1000), Flag::Syn, Time::ZERO).0, first);
    assert_ne!(send(&mut t, client(256, 1000), Flag::Syn, Time::ZERO).0, first);
}

#[test]
fn lbv_13_a_hash_knows_one_server_and_no_other() {
    let servers = [Load { listed: true, weight: 1, ..Load::default() }; 4];
    let mut sh = Scheduler::new(Algorithm::Sh);
    sh.changed(&servers);
    let source = Ip(0x0A00_003B);
    let home = sh.pick(&servers, source, Ip(2)).unwrap();
    assert_eq!(home, bucket(source) % 4);
    for broken in [Load { weight: 0, ..servers[home] }, Load { overload: true, ..servers[home] }] {
        let mut now = servers;
        now[home] = broken;
        for _ in 0..10 {
            assert_eq!(sh.pick(&now, source, Ip(2)), None, "refused, never rerouted");
        }
    }
    // A process that died is still in the table: all its clients are refused, and nobody else's, until the check has noticed.
    let l = drill(
        "lvs-hash",
        r#"until: "90s", faults: [At("30s", Kill("web4", "server"))]"#,
        &[(&vs("delay_loop"), "60s")],
    );
    for r in runs(&l, 5) {
        let gone = mark(&r, "backend_down", "web4", fault(&r, 1)).unwrap_or(Time::secs(90));
        for c in r.requests.clients() {
            let (failed, all) = r.requests.failed(c, fault(&r, 1), gone);
            let own = ["app4", "app8"].contains(&r.host(c.0));
            assert_eq!(failed, if own { all } else { 0 }, "{}", r.host(c.0));
        }
    }
    // Weight 0 is no way out either: refused with ICMP, not sent elsewhere.
    let l = drill(
        "lvs-hash",
        r#"until: "60s", faults: [At("30s", Weight("lb1", server: "web4", weight: 0))]"#,
        &[],
    );
    for r in runs(&l, 3) {
        for c in r.requests.clients() {
            let (failed, all) = r.requests.failed(c, Time::secs(30), Time::secs(60));
            assert!(failed == 0 || failed == all, "{}: {failed} of {all}", r.host(c.0));
        }
        assert!(failures(&r) > 0);
    }
}

#[test]
fn lbv_14_one_server_less_moves_three_quarters_of_the_clients() {
    let moved = |n: usize, gone: usize| {
        let servers = vec![Load { listed: true, weight: 1, ..Load::default() }; n];
        let mut before = Scheduler::new(Algorithm::Sh);
        before.changed(&servers);
        let mut fewer = servers.clone();
        fewer[gone].listed = false;
        let mut after = Scheduler::new(Algorithm::Sh);
        after.changed(&fewer);
        let differ = before.buckets().iter().zip(after.buckets()).filter(|(a, b)| a != b).count();
        (differ * 1000 + BUCKETS / 2) / BUCKETS
    };
    for (n, last, first) in [(4, 742, 754), (3, 664, 672), (8, 863, 891)] {
        assert_eq!((moved(n, n - 1), moved(n, 0)), (last, first), "{n} servers");
    }
    // Weights are so many buckets in a row.
    let weights = [2u32, 1].map(|w| Load { listed: true, weight: w, ..Load::default() });
    let mut sh = Scheduler::new(Algorithm::Sh);
    sh.changed(&weights);
    assert_eq!(sh.buckets()[..6], [Some(0), Some(0), Some(1), Some(0), Some(0), Some(1)]);
    let mut dh = Scheduler::new(Algorithm::Dh);
    dh.changed(&weights);
    assert_eq!(dh.buckets()[..4], [Some(0), Some(1), Some(0), Some(1)]);
    // Six of eight clients of the drill.
    let l = drill("lvs-hash", r#"until: "60s", faults: [At("30s", Kill("web4", "server"))]"#, &[]);
    assert!(runs(&l, 3).iter().all(|r| marks(r, "remapped") == 6));
}

#[test]
fn lbv_15_packets_of_a_removed_server_are_dropped_and_the_flow_returns_with_it() {
    for (back_after, alive) in [(890, true), (905, false)] {
        let mut t = table(&config("", ""));
        let c = client(1, 1000);
        send(&mut t, c, Flag::Syn, Time::ZERO);
        let (via, ..) = send(&mut t, c, Flag::Ack, Time::ZERO);
        assert_eq!((via, t.connection(c, VIP)), (Some(WEB1.ip), Some((WEB1, State::Established))));
        t.remove(0, WEB1);
        let (_, verdict, notes) = send(&mut t, c, Flag::Ack, Time::secs(1));
        assert_eq!(verdict, Verdict::Drop);
        assert!(matches!(notes[..], [Note::Gone { expires: false, .. }]));
        t.add(0, &Dest::new(WEB1, Kind::NAT, 1));
        let (via, _, notes) = send(&mut t, c, Flag::Ack, Time::secs(back_after));
        assert_eq!(via == Some(WEB1.ip), alive, "{back_after} s");
        assert_eq!(matches!(notes[..], [Note::Back { .. }]), alive);
    }
    // expire_nodest_conn 1: the packet ends the flow, and the host itself answers it with RST.
    let mut t = table(&config("expire_nodest_conn: true", ""));
    let c = client(1, 1000);
    send(&mut t, c, Flag::Syn, Time::ZERO);
    send(&mut t, c, Flag::Ack, Time::ZERO);
    t.remove(0, WEB1);
    assert_eq!(send(&mut t, c, Flag::Ack, Time::secs(1)).1, Verdict::Pass);
    assert_eq!(t.connection(c, VIP), None);
    // In a world: a session over a check that fails for a while.
    for (expires, lost) in [("false", false), ("true", true)] {
        let l = drill(
            "lvs-nat",
            r#"until: "120s", faults: [At("30s", Cut("lb1", from: "web1", plane: rest)), At("60s", Heal)]"#,
            &[
                ("client.protocol", "Session"),
                ("client.requests", r#"Every("1s")"#),
                ("client.timeout", "100s"),
                ("lvs.expire_nodest_conn", expires),
            ],
        );
        for r in runs(&l, 3) {
            assert_eq!((marks(&r, "backend_down"), marks(&r, "backend_up")), (1, 1));
            assert_eq!((marks(&r, "flow_stalled"), marks(&r, "flow_resumed")), (1, usize::from(!lost)));
            assert_eq!(failures(&r) > 0, lost, "reset, or late answers");
        }
    }
}

#[test]
fn lbv_16_the_sorry_server_comes_below_2_and_goes_at_4() {
    let kills = |n: usize| {
        (1..=n).map(|i| format!(r#"At("{}s", Kill("web{i}", "server")),"#, 20 + i)).collect::<String>()
    };
    let starts = |n: usize| {
        (1..=n).map(|i| format!(r#"At("{}s", Start("web{i}", "server")),"#, 60 + 10 * i)).collect::<String>()
    };
    let with = |down: usize, up: usize| {
        drill("lvs-sorry", &format!(r#"until: "120s", faults: [{}{}]"#, kills(down), starts(up)), &[])
    };
    // Three of five are gone: 2 is not below 3 - 1.
    assert!(runs(&with(3, 0), 5).iter().all(|r| marks(r, "quorum_lost") == 0));
    for r in runs(&with(4, 2), 5) {
        assert_eq!((marks(&r, "quorum_lost"), marks(&r, "quorum_gained")), (1, 0), "3 is below 3 + 1");
        let lost = mark(&r, "quorum_lost", "", Time::ZERO).unwrap();
        assert!(r.marks.iter().filter(|m| m.kind == "backend_down" && m.at <= lost).count() == 4);
    }
    for r in runs(&with(4, 3), 5) {
        assert_eq!((marks(&r, "quorum_lost"), marks(&r, "quorum_gained")), (1, 1));
        let gained = mark(&r, "quorum_gained", "", Time::ZERO).unwrap();
        assert!(gained >= fault(&r, 7) && gained.since(fault(&r, 7)) <= Span::secs(3) + Span(EPS));
    }
    // While it stands in, it has everything: even the live server gets nothing.
    let l = with(4, 0);
    let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 1, Level::Off);
    while sim.step(Time::secs(60)) {}
    let director = sim.model.world.find_host("lb1").unwrap();
    let scheduled = |sim: &firedrill::sim::Sim| -> Vec<u64> {
        let table = &sim.model.world.host(director).files.ipvs;
        table.services()[0].dests.iter().map(|d| d.scheduled).collect()
    };
    let before = scheduled(&sim);
    while sim.step(Time::secs(100)) {}
    let after = scheduled(&sim);
    assert_eq!(before[..5], after[..5]);
    assert!(after[5] > before[5]);
}

// ---- directors ---------------------------------------------------------------------------------------------------------

#[test]
fn lbv_17_a_pair_loses_its_flows_without_the_sync_daemon_and_keeps_them_with_it() {
    let body = r#"until: "60s", faults: [At("30s..31s", PowerOff("lb1"))]"#;
    let mut spread = Vec::new();
    for r in runs(&drill("lvs-pair", body, &[("lvs.sync_daemon", "false")]), 40) {
        let up = mark(&r, "vip_up", "", fault(&r, 1)).unwrap().since(fault(&r, 1)).0;
        assert!((2_600 * MS..=3_610 * MS).contains(&up), "{}", up / MS);
        spread.push(up);
        let of = |host: &str| {
            let c = r.requests.clients().into_iter().find(|c| r.host(c.0) == host).unwrap();
            r.requests.outages_of(c, true, r.end)
        };
        // New connections are back with the address, the flow is reset by a director that never heard of it.
        let news = of("app1");
        assert_eq!(news.len(), 1);
        assert!((2_580 * MS..=3_650 * MS).contains(&news[0].length().0), "{}", news[0].length());
        let reset = mark(&r, "no_entry", "answers app2 with RST", fault(&r, 1)).expect("reset");
        assert!(reset.since(fault(&r, 1)).0 >= up, "by the new director");
        assert_eq!(of("app2").len(), 1);
    }
    assert!(spread.iter().max().unwrap() - spread.iter().min().unwrap() > 700 * MS);
    for r in runs(&drill("lvs-pair", body, &[]), 40) {
        assert!(mark(&r, "flow_taken_over", "takes over the flow of app2", fault(&r, 1)).is_some());
        let c = r.requests.clients().into_iter().find(|c| r.host(c.0) == "app2").unwrap();
        assert!(r.requests.outages_of(c, true, r.end).is_empty(), "the session goes on");
    }
}

#[test]
fn lbv_18_a_single_director_is_a_single_point_of_failure() {
    let l = drill("lvs-nat", r#"until: "60s", faults: [At("30s", PowerOff("lb1"))]"#, &[]);
    for r in runs(&l, 5) {
        let (failed, all) = r.requests.failed(r.requests.clients()[0], Time::secs(30), Time::secs(59));
        assert!(all > 2_800 && failed == all, "{failed} of {all}");
    }
    let l = drill("lvs-nat", r#"until: "60s", faults: [At("30s", PowerOff("web1"))]"#, &[]);
    assert!(runs(&l, 3).iter().all(|r| failures(r) < 500), "one of four servers is not");
}

#[test]
fn killing_the_checkers_freezes_the_table_and_stopping_them_empties_it() {
    // Nobody looks any more: the dead server keeps its share to the end.
    let l = drill(
        "lvs-nat",
        r#"until: "60s", faults: [At("30s", Kill("lb1", "lvs")), At("40s", Kill("web2", "server"))]"#,
        &[],
    );
    for r in runs(&l, 2) {
        let c = r.requests.clients()[0];
        assert_eq!(r.requests.failed(c, Time::secs(30), Time::ms(39_900)).0, 0, "the kernel goes on");
        let (failed, all) = r.requests.failed(c, Time::secs(40), Time::secs(60));
        assert!((failed * 4).abs_diff(all) <= 8, "{failed} of {all}");
        assert_eq!(marks(&r, "backend_down"), 0);
    }
    let l = drill("lvs-nat", r#"until: "60s", faults: [At("30s", Stop("lb1", "lvs"))]"#, &[]);
    for r in runs(&l, 2) {
        let (failed, all) = r.requests.failed(r.requests.clients()[0], Time::secs(30), Time::secs(59));
        assert_eq!(failed, all);
    }
}

#[test]
fn all_three_ways_to_forward_work_and_the_arp_problem_is_one() {
    let ok = |l: &Loaded| {
        let r = run(&l.stack, &l.drill, 1, Level::Story, false);
        let (ok, all) = r.requests.counts(true);
        (ok, all)
    };
    let nat = drill("lvs-nat", r#"until: "20s""#, &[]);
    let (good, all) = ok(&nat);
    assert!(good + 2 >= all && good > 1_400);
    let dr = drill("lvs-pair", r#"until: "20s""#, &[]);
    let (good, all) = ok(&dr);
    assert!(good + 2 >= all && good > 700, "{good} of {all}");
    let tun = |server: &str| {
        drill(
            "lvs-pair",
            r#"until: "20s""#,
            &[
                ("hosts.lb1.runs[1].virtual_server[0].lb_kind", "TUN"),
                ("hosts.lb2.runs[1].virtual_server[0].lb_kind", "TUN"),
                ("server.lo", "[]"),
                (server, r#"["10.0.0.100"]"#),
            ],
        )
    };
    let (good, all) = ok(&tun("server.tunl0"));
    assert!(good + 2 >= all && good > 700, "{good} of {all}");
    let (good, _) = ok(&tun("server.lo"));
    assert_eq!(good, 0, "without the tunnel the server drops the packets");
    // A server that answers ARP for the virtual address: some clients talk to it and not to the director.
    let passed_by = |ignore: &str| {
        let l = drill("lvs-pair", r#"until: "15s""#, &[("server.arp_ignore", ignore)]);
        let by = |seed: u64| {
            let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, seed, Level::Off);
            while sim.step(Time::secs(15)) {}
            let world = &sim.model.world;
            let director = world.find_host("lb1").unwrap();
            let dests = &world.host(director).files.ipvs.services()[0].dests;
            // Of 500 requests; a client that found a server instead of the director does without it.
            dests.iter().map(|d| d.scheduled).sum::<u64>() < 400
        };
        (1..=20).filter(|seed| by(*seed)).count()
    };
    assert_eq!(passed_by("true"), 0);
    let n = passed_by("false");
    assert!((8..20).contains(&n), "the first of four answers wins, three of them are wrong: {n} of 20");
    // NAT needs the way back.
    let lost = drill("lvs-nat", r#"until: "20s""#, &[("server.gateway", "None")]);
    assert_eq!(ok(&lost).0, 0);
}

// ---- queues ------------------------------------------------------------------------------------------------------------

/// The mean time in the system over batches, and its standard error, in units of the mean service time of 10 ms.
fn sojourn(servers: &str, seconds: u64) -> (f64, f64) {
    let text = format!(
        r#"Stack(about: "queues", networks: {{ "lan": (latency: "100us") }}, hosts: {{ {servers} }})"#
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queues.ron");
    std::fs::write(&path, text).unwrap();
    let body = format!(r#"until: "{seconds}s""#);
    let l = drill(path.to_str().unwrap(), &body, &[]);
    let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 7, Level::Off);
    let totals = |sim: &firedrill::sim::Sim| {
        sim.model.world.procs.iter().fold((0u64, 0u128), |(n, t), p| match &p.logic {
            firedrill::proto::Daemon::Server(s) => (n + s.totals().served, t + s.totals().sojourn),
            _ => (n, t),
        })
    };
    let batches = 40;
    let step = seconds * SEC / (batches + 2);
    // Two batches of warm-up.
    let mut last = (0, 0);
    let mut means = Vec::new();
    for k in 1..=batches + 2 {
        while sim.step(Time(k * step)) {}
        let now = totals(&sim);
        if k > 2 {
            means.push((now.1 - last.1) as f64 / (now.0 - last.0) as f64 / 1e7);
        }
        last = now;
    }
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}
fn queue(name: &str, workers: u32, interval: &str) -> String {
    let n: u32 = name.bytes().map(u32::from).sum::<u32>() % 100;
    format!(
        r#""s{name}": (addresses: {{ "lan": "10.0.0.{n}/24" }}, runs: [Server(workers: {workers}, service_time: "10ms", distribution: Exponential, queue: 100000)]),
        "c{name}": (runs: [Client(connect: "10.0.0.{n}:80", protocol: Udp, requests: Poisson("{interval}"), timeout: "1000s", start_after: "1ms")]),"#
    )
}
fn agrees((mean, error): (f64, f64), exact: f64) {
    assert!((mean - exact).abs() <= 3.0 * error, "{mean:.4} +- {error:.4}, exactly {exact}");
    assert!(error < exact * 0.1, "the error {error:.4} says nothing about {exact}");
}

#[test]
fn lbv_19_one_queue_for_four_beats_four_queues() {
    // 3.2 per service time: one queue before four workers, or four queues that share the arrivals at random.
    agrees(sojourn(&queue("a", 4, "3125us"), 1_200), 1.745_541);
    let four: String = ["a", "b", "c", "d"].iter().map(|n| queue(n, 1, "12500us")).collect();
    agrees(sojourn(&four, 2_400), 5.0);
}

#[test]
fn lbv_21_ejection_moves_the_load_to_the_others() {
    // 70% of four is 93% of three.
    agrees(sojourn(&queue("a", 4, "3571428ns"), 1_200), 1.357_212);
    agrees(sojourn(&queue("a", 3, "3571428ns"), 6_000), 5.383);
    // 80% of four is 107% of three: the queue grows by 0.2 per service time.
    let text = queue("a", 3, "3125us");
    let text = format!(r#"Stack(about: "q", networks: {{ "lan": () }}, hosts: {{ {text} }})"#);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queues.ron");
    std::fs::write(&path, text).unwrap();
    let l = drill(path.to_str().unwrap(), r#"until: "500s""#, &[]);
    let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 1, Level::Off);
    let waiting = |sim: &firedrill::sim::Sim| {
        sim.model.world.procs.iter().fold(0, |n, p| match &p.logic {
            firedrill::proto::Daemon::Server(s) => n + s.load().0,
            _ => n,
        })
    };
    while sim.step(Time::secs(100)) {}
    let before = waiting(&sim) as f64;
    while sim.step(Time::secs(500)) {}
    // 40,000 service times; arrivals and services vary by sqrt(6.2 x 40,000).
    let growth = (waiting(&sim) as f64 - before) / 40_000.0;
    assert!((growth - 0.2).abs() <= 3.0 * (6.2f64 / 40_000.0).sqrt(), "{growth}");
}

#[test]
fn a_pair_with_nat_moves_address_and_gateway_together() {
    let l = drill("lvs-nat-pair", r#"until: "60s", faults: [At("30s..31s", PowerOff("lb1"))]"#, &[]);
    for r in runs(&l, 5) {
        for c in r.requests.clients() {
            let longest = r.requests.outages_of(c, true, r.end).iter().map(|o| o.length()).max();
            let longest = longest.unwrap_or_default();
            assert!(longest <= Span::ms(3_700), "{}: {longest}", r.host(c.0));
        }
        assert!(mark(&r, "flow_taken_over", "takes over the flow of app2", fault(&r, 1)).is_some());
    }
}

#[test]
fn the_sync_daemon_is_two_to_three_seconds_late() {
    // A connection that began a second before its director died is unknown to the other one.
    for (start, known) in [("25s", true), ("29s", false)] {
        let l = drill(
            "lvs-pair",
            r#"until: "60s", faults: [At("30s", PowerOff("lb1"))]"#,
            &[("app2.client.start_after", start)],
        );
        for r in runs(&l, 5) {
            let taken = mark(&r, "flow_taken_over", "takes over the flow of app2", fault(&r, 1));
            let reset = mark(&r, "no_entry", "answers app2 with RST", fault(&r, 1));
            assert_eq!((taken.is_some(), reset.is_some()), (known, !known), "{start}");
        }
    }
}
