//! Applications: what they make of errors, silence and changes of role; pools, retries, lists of hosts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod scripted;

use firedrill::engine::{Span, Time};
use firedrill::net::Plane;
use firedrill::node::process::HostId;
use firedrill::proto::app::Application;
use firedrill::proto::app::config::{
    AfterError, Attrs, Connections, Driver, Evict, LoadBalance, OnTimeout, Pace, Pool,
};
use firedrill::proto::app::note::Note as Told;
use firedrill::proto::client::process::{Kind, Outcome};
use firedrill::proto::postgres::msg::SqlState;
use scripted::{Do, Run, Server, connect, ip, writes};

/// The measured client: one INSERT, 60 ms pause, 2 s of patience for connecting and for a statement, reconnecting at once.
fn measured(list: &str) -> Application {
    Application {
        connect: connect(list),
        connect_timeout: Span::secs(2),
        statement_timeout: Span::secs(2),
        writes: Some(Pace::Pause(Span::ms(60))),
        start_after: Span::secs(1),
        ..Application::default()
    }
}
fn at(host: HostId) -> String {
    ip(host.0).to_string()
}
fn both(a: HostId, b: HostId) -> String {
    format!("{},{}", at(a), at(b))
}
/// Outcomes that follow each other, with their number.
fn runs(all: &[Outcome]) -> Vec<(Outcome, usize)> {
    let mut list: Vec<(Outcome, usize)> = Vec::new();
    for o in all {
        match list.last_mut() {
            Some((last, n)) if last == o => *n += 1,
            _ => list.push((*o, 1)),
        }
    }
    list
}
fn outcomes(run: &Run, app: HostId) -> Vec<Outcome> {
    run.ended(app).iter().map(|(_, e)| e.outcome).collect()
}
fn count(run: &Run, app: HostId, is: impl Fn(&Told) -> bool) -> usize {
    run.told(app).iter().filter(|(_, n)| is(n)).count()
}

#[test]
fn the_measured_client_writes_pauses_and_logs_every_attempt() {
    let mut run = Run::new(1);
    let db = run.server(
        Server::new(Do::Primary).then(Span::secs(10), Do::Shutdown).then(Span::secs(15), Do::Primary),
    );
    let app = run.app(measured(&at(db)), &[]);
    run.to(Span::secs(20));
    let all = run.ended(app);
    // 60 ms pause and a round trip.
    let gaps: Vec<u64> = all.windows(2).take(100).map(|w| w[1].1.sent.since(w[0].1.sent).as_ms()).collect();
    assert!(gaps.iter().all(|g| (60..63).contains(g)), "{gaps:?}");
    let kinds = runs(&outcomes(&run, app));
    let [up, down, refused, again] = kinds[..] else { panic!("{kinds:?}") };
    assert_eq!(up.0, Outcome::Ok(db));
    assert_eq!((down.0, down.1), (Outcome::Error(SqlState::AdminShutdown), 1), "noticed at the next use");
    assert_eq!(refused.0, Outcome::Error(SqlState::CannotConnectNow));
    assert!((78..=84).contains(&refused.1), "5 s of attempts every 60 ms: {}", refused.1);
    assert_eq!(again.0, Outcome::Ok(db));
    // Every acknowledged write, and no other, has its place.
    let acked = count(&run, app, |n| matches!(n, Told::Acked { .. }));
    assert_eq!(acked, run.scripted(db).done.len());
    assert_eq!(count(&run, app, |n| matches!(n, Told::Unknown { .. })), 1);
    assert_eq!(count(&run, app, |n| matches!(n, Told::Failed { .. })), refused.1);
}

#[test]
fn its_patience_ends_after_two_seconds_and_it_connects_anew() {
    let mut run = Run::new(1);
    let db = run
        .server(Server::new(Do::Primary).then(Span::secs(10), Do::Silent).then(Span::secs(30), Do::Primary));
    let app = run.app(measured(&at(db)), &[]);
    run.to(Span::secs(40));
    let late: Vec<_> = run.ended(app).into_iter().filter(|(_, e)| e.outcome == Outcome::Timeout).collect();
    // The first while a statement is under way, the others while the session begins.
    assert!((9..=10).contains(&late.len()), "{}", late.len());
    assert!(late.iter().all(|(at, e)| (2_000..2_003).contains(&at.since(e.sent).as_ms())), "{late:?}");
    assert_eq!(count(&run, app, |n| matches!(n, Told::Unknown { .. })), 1, "only the statement was sent");
}

#[test]
fn an_error_of_the_database_costs_the_session_or_not() {
    for keep in [false, true] {
        let mut run = Run::new(1);
        let db = run.server(Server::new(Do::Primary).then(Span::secs(5), Do::Standby));
        let after_error = if keep { AfterError::Keep } else { AfterError::Reconnect };
        let app = run.app(Application { after_error, ..measured(&at(db)) }, &[]);
        run.to(Span::secs(10));
        let kinds = runs(&outcomes(&run, app));
        assert_eq!(kinds[1].0, Outcome::Error(SqlState::ReadOnly));
        let sessions = run.scripted(db).accepted;
        assert_eq!(sessions == 1, keep, "{sessions}");
    }
}

#[test]
fn what_is_tried_again_after_an_unknown_outcome_can_happen_twice() {
    for (retries_unknown, copies) in [(0, 1), (2, 3)] {
        let mut run = Run::new(1);
        let db = run.server(
            Server::new(Do::Primary).then(Span::ms(5_010), Do::Vanish).then(Span::ms(5_500), Do::Primary),
        );
        let pace = Some(Pace::Every(Span::secs(1)));
        let app = run.app(
            Application {
                retries_unknown,
                backoff: Span::ms(200),
                writes: pace,
                start_after: Span::ms(5_050),
                ..measured(&at(db))
            },
            &[],
        );
        run.to(Span::secs(9));
        let first: Vec<_> =
            run.scripted(db).done.iter().filter(|w| w.operation == 0).map(|w| w.attempt).collect();
        assert_eq!(first, (0..copies).collect::<Vec<u16>>(), "an INSERT each time");
        let end = run.ended(app)[0];
        if copies == 1 {
            assert_eq!(end.1.outcome, Outcome::Closed);
        } else {
            // Tries at 0, +200 ms and +400 ms after the failure before; the last one is answered.
            assert_eq!(end.1.outcome, Outcome::Ok(db));
            assert!((600..620).contains(&end.0.since(end.1.sent).as_ms()));
        }
        assert_eq!(
            count(&run, app, |n| matches!(n, Told::Unknown { write } if write.operation == 0)),
            copies.min(2) as usize
        );
    }
}

#[test]
fn what_certainly_failed_is_tried_again_with_longer_and_longer_waits() {
    let mut run = Run::new(1);
    let db = run.server(Server::new(Do::Starting).then(Span::secs(6), Do::Primary));
    let retry =
        Application { retries: 10, backoff: Span::ms(100), backoff_max: Span::secs(1), ..measured(&at(db)) };
    let app = run.app(retry, &[]);
    run.to(Span::secs(9));
    let end = run.ended(app)[0];
    assert_eq!(end.1.outcome, Outcome::Ok(db));
    // 0.1 + 0.2 + 0.4 + 0.8 + 1 + 1 + 1 + 1 = 5.5 s.
    assert!((5_500..5_520).contains(&end.0.since(end.1.sent).as_ms()), "{}", end.0);
    assert_eq!(run.scripted(db).done[0].attempt, 8);
    let failed = count(&run, app, |n| matches!(n, Told::Failed { write } if write.operation == 0));
    assert_eq!(failed, 8);
}

#[test]
fn a_cancelled_statement_has_a_known_end_if_the_server_answers() {
    let mut run = Run::new(1);
    let db = run.server(Server::new(Do::Primary).takes(Span::secs(3)));
    let cancel = Application {
        on_statement_timeout: OnTimeout::Cancel,
        connect_timeout: Span::secs(10), // The session begins as slowly.
        ..measured(&at(db))
    };
    let app = run.app(cancel, &[]);
    run.to(Span::secs(10));
    assert!(
        run.ended(app).iter().all(|(_, e)| e.outcome == Outcome::Ok(db)),
        "the answer came within 2 + 2 s"
    );
    let mut run = Run::new(1);
    let db = run.server(Server::new(Do::Primary).then(Span::secs(5), Do::Silent));
    let app = run.app(Application { on_statement_timeout: OnTimeout::Cancel, ..measured(&at(db)) }, &[]);
    run.to(Span::secs(10));
    let late = run.ended(app).into_iter().find(|(_, e)| e.outcome == Outcome::Timeout).unwrap();
    assert!((4_000..4_010).contains(&late.0.since(late.1.sent).as_ms()));
}

// ---- lists of hosts ------------------------------------------------------------------------------------------------

#[test]
fn target_session_attrs_chooses_among_the_servers() {
    for (attrs, roles, expected) in [
        (Attrs::Any, [Do::Standby, Do::Primary], Ok(0)),
        (Attrs::ReadWrite, [Do::Standby, Do::Primary], Ok(1)),
        (Attrs::Primary, [Do::Standby, Do::Primary], Ok(1)),
        (Attrs::ReadOnly, [Do::Primary, Do::Standby], Ok(1)),
        (Attrs::Standby, [Do::Primary, Do::Standby], Ok(1)),
        (Attrs::PreferStandby, [Do::Primary, Do::Standby], Ok(1)),
        (Attrs::PreferStandby, [Do::Primary, Do::Primary], Ok(0)),
        (Attrs::ReadWrite, [Do::Standby, Do::Standby], Err(Outcome::NoServer)),
        (Attrs::Standby, [Do::Primary, Do::Primary], Err(Outcome::NoServer)),
        // "Cannot connect now" leads on; any other error of a server is libpq's last word.
        (Attrs::Any, [Do::Starting, Do::Primary], Ok(1)),
        (Attrs::Any, [Do::Full, Do::Primary], Err(Outcome::Error(SqlState::TooManyConnections))),
        (Attrs::Any, [Do::Hang, Do::Primary], Err(Outcome::Closed)),
        (Attrs::Any, [Do::Starting, Do::Starting], Err(Outcome::Error(SqlState::CannotConnectNow))),
    ] {
        let mut run = Run::new(1);
        let hosts = roles.map(|r| run.server(Server::new(r)));
        let reads = Some(Pace::Every(Span::secs(1)));
        let c = measured(&both(hosts[0], hosts[1]));
        let app = run.app(Application { target_session_attrs: attrs, writes: None, reads, ..c }, &[]);
        run.to(Span::ms(1_500));
        let end = run.ended(app)[0].1;
        assert_eq!(end.kind, Kind::Read);
        let expected = expected.map_or_else(|o| o, |i: usize| Outcome::Ok(hosts[i]));
        assert_eq!(end.outcome, expected, "{attrs:?} {roles:?}");
    }
}

#[test]
fn pgjdbc_remembers_for_ten_seconds_which_host_failed() {
    // The first host swallows packets: libpq pays for it with every connection, pgJDBC once in 10 s.
    let slow = |driver: Driver| {
        let mut run = Run::new(1);
        let (a, b) = (run.server(Server::new(Do::Primary)), run.server(Server::new(Do::Primary)));
        let c = measured(&both(a, b));
        let app = run.app(
            Application {
                driver,
                connections: Connections::PerOperation,
                writes: Some(Pace::Pause(Span::ms(500))),
                ..c
            },
            &[],
        );
        run.cut(Span::ms(500), a, app, Some(Plane::client));
        run.to(Span::secs(61));
        let all = run.ended(app);
        assert!(all.iter().all(|(_, e)| e.outcome == Outcome::Ok(b)));
        let slow = all.iter().filter(|(at, e)| at.since(e.sent) >= Span::secs(2)).count();
        (slow, all.len())
    };
    let (slow_ones, all) = slow(Driver::Libpq);
    assert_eq!(slow_ones, all);
    let (slow_ones, all) = slow(Driver::PgJdbc);
    assert!((5..=6).contains(&slow_ones) && all > 80, "{slow_ones} of {all}");
    // Errors of a server do not stop it.
    let mut run = Run::new(1);
    let (a, b) = (run.server(Server::new(Do::Full)), run.server(Server::new(Do::Primary)));
    let app = run.app(Application { driver: Driver::PgJdbc, ..measured(&both(a, b)) }, &[]);
    run.to(Span::secs(3));
    assert_eq!(run.ended(app)[0].1.outcome, Outcome::Ok(b));
    // A standby that became the primary within the 10 s is found, because no host is left to try otherwise.
    let mut run = Run::new(1);
    let a = run.server(Server::new(Do::Primary).then(Span::secs(5), Do::Standby));
    let b = run.server(Server::new(Do::Standby).then(Span::secs(5), Do::Primary));
    let c = measured(&both(a, b));
    let app = run.app(Application { driver: Driver::PgJdbc, target_session_attrs: Attrs::Primary, ..c }, &[]);
    run.to(Span::secs(10));
    let kinds = runs(&outcomes(&run, app));
    assert_eq!((kinds[1].0, kinds[1].1), (Outcome::Error(SqlState::ReadOnly), 1), "{kinds:?}");
    assert_eq!((kinds[2].0, kinds.len()), (Outcome::Ok(b), 3));
}

#[test]
fn random_hosts_share_the_load_and_addresses_of_a_name_are_all_tried() {
    let mut run = Run::new(1);
    let (a, b) = (run.server(Server::new(Do::Primary)), run.server(Server::new(Do::Primary)));
    let c = measured(&both(a, b));
    let app = run.app(
        Application { load_balance_hosts: LoadBalance::Random, connections: Connections::PerOperation, ..c },
        &[],
    );
    run.to(Span::secs(60));
    let on_a = outcomes(&run, app).iter().filter(|o| **o == Outcome::Ok(a)).count();
    let all = outcomes(&run, app).len();
    assert!(on_a * 10 > all * 4 && on_a * 10 < all * 6, "{on_a} of {all}");

    // A name with two addresses, the first without a server: refused, and on.
    for (driver, ok) in [(Driver::Libpq, true), (Driver::PgJdbc, false)] {
        let mut run = Run::new(1);
        let b = run.server(Server::new(Do::Primary));
        let dns = run.dns(firedrill::proto::dns::Dns::default(), &[]);
        let app = run.app(Application { driver, ..measured("db.example") }, &[dns]);
        run.change(Span::ms(500), dns, "db.example", &[dns, b]);
        run.to(Span::secs(3));
        let expected = if ok { Outcome::Ok(b) } else { Outcome::Reset };
        assert_eq!(run.ended(app)[0].1.outcome, expected, "{driver:?}: pgJDBC takes one address of a name");
    }
}

// ---- pools ---------------------------------------------------------------------------------------------------------

fn pooled(list: &str, pool: Pool) -> Application {
    let every = Some(Pace::Every(Span::ms(20)));
    Application { pool: Some(pool), writes: every, statement_timeout: Span::ZERO, ..measured(list) }
}

#[test]
fn a_pool_opens_its_connections_one_by_one_and_makes_operations_wait() {
    let mut run = Run::new(1);
    let db = run.server(Server::new(Do::Primary).takes(Span::ms(100)));
    let pool = Pool { maximum_pool_size: 3, connection_timeout: Span::ms(500), ..Pool::default() };
    let app = run.app(pooled(&at(db), pool), &[]);
    run.to(Span::ms(900));
    assert_eq!(run.scripted(db).accepted, 3, "minimumIdle is filled before the first operation");
    run.to(Span::secs(10));
    // 50 operations come each second, three connections do 30.
    let all = outcomes(&run, app);
    let busy = all.iter().filter(|o| **o == Outcome::Busy).count();
    assert!(busy > 120 && all.len() - busy > 250, "{busy} of {}", all.len());
    let waits = run
        .ended(app)
        .iter()
        .filter(|(_, e)| e.outcome == Outcome::Busy)
        .map(|(at, e)| at.since(e.sent))
        .max();
    assert_eq!(waits, Some(Span::ms(500)));
    assert_eq!(run.scripted(db).accepted, 3);
}

#[test]
fn a_pool_tests_before_use_what_has_rested() {
    for test_on_borrow in [true, false] {
        let mut run = Run::new(1);
        let db = run.server(
            Server::new(Do::Primary).then(Span::secs(5), Do::Shutdown).then(Span::secs(6), Do::Primary),
        );
        let pool = Pool { maximum_pool_size: 3, test_on_borrow, ..Pool::default() };
        let slow = Application { writes: Some(Pace::Every(Span::secs(10))), ..pooled(&at(db), pool) };
        let app = run.app(slow, &[]);
        run.to(Span::secs(60));
        let bad: Vec<_> = outcomes(&run, app).into_iter().filter(|o| *o != Outcome::Ok(db)).collect();
        if test_on_borrow {
            assert_eq!(bad, [], "all three dead ones are found and replaced");
            assert!(run.scripted(db).tests > 2);
        } else {
            assert_eq!(bad, [Outcome::Error(SqlState::AdminShutdown); 3], "each dead one costs an operation");
        }
    }
}

#[test]
fn a_pool_stays_with_a_server_that_became_read_only_unless_told_otherwise() {
    for (evict, max_lifetime, back) in [
        (Evict::Hikari, Span::ZERO, None),
        (Evict::Hikari, Span::secs(60), Some((58, 62))),
        (Evict::AnyError, Span::ZERO, Some((10, 11))),
    ] {
        let mut run = Run::new(1);
        let a = run.server(Server::new(Do::Primary).then(Span::secs(10), Do::Standby));
        let b = run.server(Server::new(Do::Standby).then(Span::secs(10), Do::Primary));
        let pool = Pool { maximum_pool_size: 2, evict, max_lifetime, ..Pool::default() };
        let c = pooled(&both(a, b), pool);
        let app = run.app(Application { target_session_attrs: Attrs::Primary, ..c }, &[]);
        run.to(Span::secs(120));
        let first = run.first_on(app, b).map(|t| t.as_ms() / 1000);
        assert_eq!(first.is_some(), back.is_some(), "{evict:?}");
        if let (Some(at), Some((low, high))) = (first, back) {
            assert!((low..=high).contains(&at), "{evict:?}: {at}");
        }
    }
}

#[test]
fn one_server_that_swallows_packets_holds_up_the_whole_pool() {
    let mut run = Run::new(1);
    let a = run.server(Server::new(Do::Primary));
    let pool = Pool { maximum_pool_size: 5, connection_timeout: Span::secs(5), ..Pool::default() };
    let c = Application {
        connect_timeout: Span::secs(10),
        tcp_user_timeout: Span::secs(3),
        ..pooled(&at(a), pool)
    };
    let app = run.app(c, &[]);
    run.cut(Span::secs(20), a, app, Some(Plane::client));
    run.heal(Span::secs(50));
    run.to(Span::secs(90));
    let all = run.ended(app);
    // What was under way breaks after 3 s, the rest waits 5 s for a connection that does not come.
    assert!(all.iter().any(|(_, e)| e.outcome == Outcome::Timeout));
    assert!(all.iter().filter(|(_, e)| e.outcome == Outcome::Busy).count() > 500);
    let first = all
        .iter()
        .filter(|(at, e)| *at > Time::secs(50) && matches!(e.outcome, Outcome::Ok(_)))
        .map(|(at, _)| *at)
        .min();
    // A try that began in the dark goes on with its next SYN, after 1, 3 or 7 s.
    assert!(first.unwrap() <= Time::secs(58), "{first:?}");
}

#[test]
fn an_open_loop_does_not_wait_for_a_slow_answer() {
    let mut run = Run::new(1);
    let db = run
        .server(Server::new(Do::Primary).then(Span::secs(10), Do::Silent).then(Span::secs(20), Do::Primary));
    let c = measured(&at(db));
    let app = run.app(Application { writes: Some(Pace::Every(Span::ms(100))), max_sessions: 15, ..c }, &[]);
    run.to(Span::ms(30_050));
    let all = writes(&run.ended(app));
    assert_eq!(all.len(), 291, "one every 100 ms from 1 s on");
    let (late, busy) = (
        all.iter().filter(|e| e.outcome == Outcome::Timeout).count(),
        all.iter().filter(|e| e.outcome == Outcome::Busy).count(),
    );
    // 15 places, each held for 2 s: 7.5 operations a second, and 2.5 that find no place.
    assert!((70..=80).contains(&late) && (20..=30).contains(&busy), "{late} {busy}");
    let open = match run.daemon(app) {
        firedrill::proto::Daemon::App(a) => a.sessions().count(),
        _ => panic!("no application"),
    };
    assert_eq!(open, 1, "`sessions` stay open");
}

// ---- scenarios -----------------------------------------------------------------------------------------------------

const STACK: &str = r#"Stack(about: "two databases and who uses them", networks: { "lan": () }, hosts: {
    "app1": (runs: [Application(connect: "db.example", writes: Pause("60ms"), reads: Every("100ms"), connect_timeout: "2s",
        statement_timeout: "2s", connections: PerOperation, name_cache: Jvm)]),
    "app2": (runs: [Application(connect: ["db2", "db1:5432"], target_session_attrs: ReadWrite, writes: Every("100ms"),
        pool: (maximum_pool_size: 2))]),
    "cache": (runs: [Resolver()]),
    "db1": (runs: [Postgres(), Application(connect: "localhost", writes: Pause("150ms"), start_after: "0s", autostart: false)]),
    "db2": (runs: [Postgres(primary_conninfo: "db1")]),
    "ns": (runs: [Dns(zone: "example", records: { "db.example": (addresses: ["db1"], ttl: "60s") })]),
})"#;

fn load(stack: &str, drill: &str) -> Result<firedrill::scenario::load::Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stack.ron"), stack).unwrap();
    let path = dir.path().join("drill.ron");
    std::fs::write(&path, format!(r#"Drill(about: "a test", stack: "stack.ron", {drill})"#)).unwrap();
    firedrill::scenario::load::load(path.to_str().unwrap(), &[], None)
        .map_err(|reports| reports.iter().map(|r| r.render(false)).collect())
}

#[test]
fn applications_of_a_scenario_use_its_postgresql() {
    use firedrill::node::log::{Level, What};
    use firedrill::proto::Note;
    let drill =
        r#"until: "60s", faults: [At("20s", Start("db1", "application")), At("40s", PowerOff("db1"))]"#;
    let l = load(STACK, drill).unwrap_or_else(|e| panic!("{e}"));
    assert!(l.warnings.is_empty(), "{}", l.warnings.iter().map(|r| r.render(false)).collect::<String>());
    let r = firedrill::trace::run::run(&l.stack, &l.drill, 1, Level::Story, true);
    let ended = |host: &str| -> Vec<(Time, firedrill::proto::client::process::Note)> {
        let here = r.log.iter().filter(|e| e.host.is_some_and(|h| r.hosts[h.0 as usize] == host));
        here.filter_map(|e| if let What::Note(Note::Client(n)) = &e.what { Some((e.at, *n)) } else { None })
            .collect()
    };
    let ok = |o: Outcome| matches!(o, Outcome::Ok(h) if r.hosts[h.0 as usize] == "db1");
    for host in ["app1", "app2"] {
        let early: Vec<_> =
            ended(host).into_iter().filter(|(at, _)| *at > Time::secs(10) && *at < Time::secs(40)).collect();
        assert!(early.len() > 200 && early.iter().all(|(_, n)| ok(n.outcome)), "{host}: {early:?}");
    }
    // The local program runs from the fault on, and ends with its host.
    let local = ended("db1");
    assert!(local[0].0 > Time::secs(20) && local[0].0 < Time::ms(20_100), "{}", local[0].0);
    assert!(
        (120..=133).contains(&local.len()) && local.last().unwrap().0 < Time::secs(40),
        "{}",
        local.len()
    );
    // Nobody takes writes any more; the standby still refuses them as what it is.
    let late: Vec<Outcome> =
        ended("app1").iter().filter(|(_, n)| n.sent > Time::secs(41)).map(|(_, n)| n.outcome).collect();
    assert!(late.iter().all(|o| matches!(o, Outcome::Timeout | Outcome::Unreachable)), "{late:?}");
    // Acknowledged writes are committed writes.
    let acked: Vec<_> = r
        .log
        .iter()
        .filter_map(|e| match &e.what {
            What::Note(Note::App(Told::Acked { write, place })) => Some((*write, *place)),
            _ => None,
        })
        .collect();
    let committed: Vec<_> = r
        .log
        .iter()
        .filter_map(|e| match &e.what {
            What::Note(Note::Postgres(firedrill::proto::postgres::note::Note::Committed {
                write,
                place,
            })) => Some((*write, *place)),
            _ => None,
        })
        .collect();
    assert!(
        acked.len() > 500 && acked.iter().all(|a| committed.contains(a)),
        "{} {}",
        acked.len(),
        committed.len()
    );
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let with = |a: &str, b: &str| {
        assert!(STACK.contains(a), "{a}");
        STACK.replace(a, b)
    };
    let app2 = r#"connect: ["db2", "db1:5432"]"#;
    for (stack, parts) in [
        (with(app2, "connect: []"), vec!["this application connects to nothing", "connect: \"db1,db2\""]),
        (with(app2, r#"connect: "db3""#), vec!["there is no host or name `db3`", "did you mean `db"]),
        (
            with(app2, r#"connect: "db.exmaple""#),
            vec!["there is no host or name `db.exmaple`", "did you mean `db.example`?"],
        ),
        (with(app2, r#"connect: "primary.service.consul""#), vec!["no host of the stack runs Consul"]),
        (with(app2, r#"connect: "db1:0""#), vec!["a port goes from 1 to 65535"]),
        (with(app2, r#"connect: 7"#), vec!["places such as"]),
        (with("maximum_pool_size: 2", "maximum_pool_size: 0"), vec!["maximum_pool_size goes from 1 to 1000"]),
        (
            with("maximum_pool_size: 2", r#"max_lifetime: "10s""#),
            vec!["max_lifetime is 30s or more", "HikariCP"],
        ),
        (
            with("maximum_pool_size: 2", r#"connection_timeout: "0s""#),
            vec!["connection_timeout is 250ms or more"],
        ),
        (with(r#"Pause("60ms")"#, r#"Pause("0s")"#), vec!["at most every 1ms"]),
        (with("name_cache: Jvm", "sessions: 0"), vec!["sessions goes from 1 to 1000"]),
        (with("name_cache: Jvm", r#"nameservers: ["dns1"]"#), vec!["there is no host `dns1`"]),
        (with("name_cache: Jvm", r#"pool: ()"#), vec!["a pool keeps its connections"]),
        (with(r#"ttl: "60s""#, r#"ttl: "1500ms""#), vec!["a whole number of seconds, not 1.5s"]),
        (with(r#"ttl: "60s""#, r#"ttl: "8d""#), vec!["ttl", "from 0s to", "max-cache-ttl"]),
        (
            with(r#"zone: "example""#, r#"zone: "example.org""#),
            vec!["`db.example` is not in the zone `example.org`"],
        ),
        (with(r#"addresses: ["db1"]"#, r#"addresses: ["db9"]"#), vec!["there is no host `db9`"]),
        (with("Resolver()", r#"Resolver(forward: ["cache"])"#), vec!["would ask itself"]),
        (with("Resolver()", "Resolver(), Dns()"), vec!["two servers on port 53 of cache"]),
        (
            with("Resolver()", r#"Resolver(min_cache_ttl: "60s", max_cache_ttl: "30s")"#),
            vec!["min_cache_ttl (1m) is above max_cache_ttl (30s)"],
        ),
        (
            with("Resolver()", r#"Resolver(resolver_query_timeout: "100s")"#),
            vec!["from 301ms to 30s, not 100s"],
        ),
    ] {
        let said = load(&stack, r#"until: "10s""#).err().unwrap_or_default();
        for part in parts {
            assert!(said.contains(part), "expected {part:?} in:\n{said}");
        }
    }
    let warned = |stack: &str| {
        let l = load(stack, r#"until: "10s""#).unwrap_or_else(|e| panic!("{e}"));
        l.warnings.iter().map(|r| r.render(false)).collect::<String>()
    };
    assert!(
        warned(&with(app2, r#"connect: "new.example""#))
            .contains("does not exist until an update creates it")
    );
    assert!(
        warned(&with(r#"connect_timeout: "2s""#, r#"connect_timeout: "1s""#)).contains("libpq waits for 2s")
    );
    assert!(
        warned(
            &with("name_cache: Jvm", "on_statement_timeout: Cancel")
                .replace(r#"statement_timeout: "2s","#, "")
        )
        .contains("nothing is ever cancelled")
    );
}
