//! Names: what becomes of a change on its way through the caches, and what a program's connections make of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod scripted;

use firedrill::engine::{SEC, Span, Time};
use firedrill::node::process::HostId;
use firedrill::proto::app::Application;
use firedrill::proto::app::config::{Connections, NameCache, Pace};
use firedrill::proto::client::process::Outcome;
use firedrill::proto::dns::{Dns, Resolver};
use scripted::{Do, Run, Server, connect};

fn every(ms: u64) -> Application {
    Application {
        connect: connect("db.example"),
        writes: Some(Pace::Every(Span::ms(ms))),
        connections: Connections::PerOperation,
        start_after: Span::secs(1),
        ..Application::default()
    }
}
/// Two primaries, `db.example` on the first, an operator who moves it to the second.
struct Move {
    run: Run,
    old: HostId,
    new: HostId,
    dns: HostId,
}
fn two(seed: u64, ttl: u64) -> Move {
    let mut run = Run::new(seed);
    let (old, new) = (run.server(Server::new(Do::Primary)), run.server(Server::new(Do::Primary)));
    let dns = run.dns(Dns::default(), &[("db.example", &[old], Span::secs(ttl))]);
    Move { run, old, new, dns }
}
fn spread(all: &[Span]) -> (Span, Span, Span) {
    let mean = Span(all.iter().map(|s| s.0).sum::<u64>() / all.len() as u64);
    (*all.iter().min().unwrap(), mean, *all.iter().max().unwrap())
}

#[test]
fn net_01_a_jvm_follows_within_30_s() {
    let mut all = Vec::new();
    for seed in 0..60 {
        let Move { mut run, old, new, dns } = two(seed, 0);
        let app = run.app(Application { name_cache: NameCache::Jvm, ..every(100) }, &[dns]);
        let change = Span::ms(61_050 + seed * 507);
        run.change(change, dns, "db.example", &[new]);
        run.to(change + Span::secs(60));
        assert!(run.first_on(app, new).is_some(), "it follows");
        all.push(run.last_on(app, old).unwrap().since(Time(change.0)));
    }
    let (min, mean, max) = spread(&all);
    assert!(max <= Span::secs(30), "{max}");
    assert!(min < Span::secs(2) && max > Span::secs(28), "{min} {max}");
    assert!((13 * SEC..=17 * SEC).contains(&mean.0), "{mean}");
}

#[test]
fn net_02_for_ever_is_until_the_restart() {
    let Move { mut run, old, new, dns } = two(1, 0);
    let app = run.app(Application { name_cache: NameCache::JvmForever, ..every(500) }, &[dns]);
    run.change(Span::secs(60), dns, "db.example", &[new]);
    run.to(Span::secs(4 * 3_600));
    assert_eq!(run.first_on(app, new), None);
    assert!(run.last_on(app, old).unwrap() > Time::secs(4 * 3_600 - 1));
    let now = Span::secs(4 * 3_600);
    run.at(now, move |w, s| {
        let pid = w.host(app).procs[0];
        w.kill(pid, s);
        w.start_now(pid, s);
    });
    run.to(now + Span::secs(10));
    assert!(run.first_on(app, new).unwrap() >= Time(now.0), "the restart asks again");
}

#[test]
fn net_03_caches_add_up_to_90_s_and_never_more() {
    let mut all = Vec::new();
    for seed in 0..100 {
        let Move { mut run, old, new, dns } = two(seed, 60);
        let resolver = run.resolver(Resolver::default(), &[dns]);
        // The program starts at any phase of the resolver's cache.
        let start_after = Span::ms(1_000 + seed * 7_919 % 60_000);
        let app = run.app(Application { name_cache: NameCache::Jvm, start_after, ..every(100) }, &[resolver]);
        // Others ask as well, so that the resolver's cache is filled again soon after it has run out.
        run.app(every(700), &[resolver]);
        let change = Span::ms(600_000 + seed * 911);
        run.change(change, dns, "db.example", &[new]);
        run.to(change + Span::secs(120));
        assert!(run.first_on(app, new).is_some(), "it follows");
        all.push(run.last_on(app, old).unwrap().since(Time(change.0)));
    }
    let (min, mean, max) = spread(&all);
    assert!(max <= Span::secs(90), "{max}");
    assert!(min < Span::secs(12) && max > Span::secs(78), "{min} {max}");
    assert!((40 * SEC..=50 * SEC).contains(&mean.0), "{mean}");
}

#[test]
fn net_04_a_jvm_remembers_for_10_s_that_a_name_does_not_exist() {
    let mut run = Run::new(1);
    let db = run.server(Server::new(Do::Primary));
    let dns = run.dns(Dns::default(), &[]);
    let app = run.app(Application { name_cache: NameCache::Jvm, ..every(100) }, &[dns]);
    // The first lookup, at 1 s, fails.
    run.change(Span::secs(2), dns, "db.example", &[db]);
    run.to(Span::secs(30));
    let first = run.first_on(app, db).unwrap();
    assert!(first > Time::ms(10_900) && first <= Time::ms(11_100), "{first}");
    let before = run.ended(app).into_iter().filter(|(_, e)| e.sent < first);
    assert!(before.clone().count() > 90);
    before.for_each(|(_, e)| assert_eq!(e.outcome, Outcome::NoAddress));
}
