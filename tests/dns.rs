//! Names: what becomes of a change on its way through the caches, and what a program's connections make of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod scripted;

use firedrill::engine::{SEC, Span, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Endpoint, Ip};
use firedrill::node::process::HostId;
use firedrill::proto::app::Application;
use firedrill::proto::app::config::{Connections, NameCache, Pace, Pool};
use firedrill::proto::app::note::Note as Told;
use firedrill::proto::client::process::Outcome;
use firedrill::proto::dns::{Dns, Resolver};
use scripted::{Do, Node, Run, Server, connect, ip};

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

#[test]
fn net_05_connections_of_a_pool_ignore_a_change_for_their_whole_life() {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for seed in 0..10 {
        let Move { mut run, old, new, dns } = two(seed, 0);
        let pool = Pool { maximum_pool_size: 4, ..Pool::default() };
        let app =
            run.app(Application { connections: Connections::Keep, pool: Some(pool), ..every(500) }, &[dns]);
        run.change(Span::secs(60), dns, "db.example", &[new]);
        run.to(Span::secs(1_900));
        // The connections were opened in the first moments; each lives for 30 min, or up to 2.5% less.
        first.push(run.first_on(app, new).unwrap());
        last.push(run.last_on(app, old).unwrap());
        let pinned: Vec<_> = run
            .told(app)
            .into_iter()
            .filter_map(
                |(_, n)| if let Told::Pinned { connections, .. } = n { Some(connections) } else { None },
            )
            .collect();
        assert_eq!(pinned, [3], "told once, when the first one has been replaced");
    }
    assert!(first.iter().all(|t| (Time::secs(1_755)..=Time::secs(1_800)).contains(t)), "{first:?}");
    assert!(last.iter().all(|t| (Time::secs(1_755)..=Time::secs(1_801)).contains(t)), "{last:?}");

    // And with no end of their lives, never.
    let Move { mut run, new, dns, .. } = two(1, 0);
    let pool = Pool { max_lifetime: Span::ZERO, ..Pool::default() };
    let app =
        run.app(Application { connections: Connections::Keep, pool: Some(pool), ..every(1_000) }, &[dns]);
    run.change(Span::secs(60), dns, "db.example", &[new]);
    run.to(Span::secs(4 * 3_600));
    assert_eq!(run.first_on(app, new), None);
}

/// What else on the program's host talks to the first server.
#[derive(Clone, Copy, PartialEq)]
enum Talk {
    Never,
    UntilTheLoss,
    Always,
}
/// One operation on `a,b`, `a` being lost at 60 s and the operation beginning a moment later: how long it took, and how it ended.
fn multi_host(seed: u64, timeout: u64, talk: Talk, cut: Option<Plane>) -> (Span, Outcome, HostId) {
    let mut run = Run::new(seed);
    let (a, b) = (run.server(Server::new(Do::Primary)), run.server(Server::new(Do::Primary)));
    let list = format!("{},{}", ip(a.0), ip(b.0));
    let once = Application {
        connect: connect(&list),
        connect_timeout: Span::secs(timeout),
        start_after: Span::ms(60_001),
        ..every(1_000_000)
    };
    let app = run.app(once, &[]);
    if talk != Talk::Never {
        let first = connect(&ip(a.0).to_string());
        let node = Application { connect: first, connect_timeout: Span::secs(2), ..every(500) };
        let other = run.also(app, Run::application(node, &[]));
        let until = if talk == Talk::Always { 400 } else { 60 };
        run.at(Span::secs(until), move |w, s| w.kill(other, s));
    }
    match cut {
        Some(plane) => run.cut(Span::secs(60), a, app, Some(plane)),
        None => run.power_off(Span::secs(60), a),
    }
    run.to(Span::secs(400));
    let (at, end) = run.ended(app)[0];
    (at.since(end.sent), end.outcome, b)
}

#[test]
fn net_06_libpq_goes_on_to_the_next_host_when_its_patience_or_the_kernels_ends() {
    let near = |d: Span, s: u64| d >= Span::secs(s) && d <= Span::ms(s * 1_000 + 100);
    for seed in 0..20 {
        // Black-holed: ARP is answered, packets to the port are lost.
        let (took, outcome, b) = multi_host(seed, 3, Talk::Never, Some(Plane::client));
        assert_eq!(outcome, Outcome::Ok(b));
        assert!(near(took, 3), "connect_timeout=3: {took}");
        let (took, outcome, b) = multi_host(seed, 0, Talk::Never, Some(Plane::client));
        assert_eq!(outcome, Outcome::Ok(b));
        assert!(near(took, 127), "tcp_syn_retries: {took}");
        // libpq makes 2 s of 1 s.
        let (took, ..) = multi_host(seed, 1, Talk::Never, Some(Plane::client));
        assert!(near(took, 2), "{took}");
        // The host is gone, on the same network, and nobody has talked to it: three unanswered broadcasts.
        let (took, outcome, b) = multi_host(seed, 0, Talk::Never, None);
        assert_eq!(outcome, Outcome::Ok(b));
        assert!((3_000..3_400).contains(&took.as_ms()), "{took}");
    }
    let (mut alone, mut busy) = (Vec::new(), Vec::new());
    for seed in 0..40 {
        // The host has an ARP entry that others keep in use: when that fails, the next SYN finds nobody, within 3 s.
        let (took, outcome, b) = multi_host(seed, 0, Talk::Always, None);
        assert_eq!(outcome, Outcome::Ok(b));
        busy.push(took.as_ms());
        // Only the waiting connection uses the entry: its SYNs, at 1, 3, 7, 15, 31 and 63 s, have to wear it out.
        let (took, outcome, b) = multi_host(seed, 0, Talk::UntilTheLoss, None);
        assert_eq!(outcome, Outcome::Ok(b));
        alone.push(took.as_ms());
    }
    for took in &alone {
        let at = |s: u64| (s * 1_000..s * 1_000 + 400).contains(took);
        assert!(at(34) || at(66) || at(127), "{alone:?}");
    }
    assert!(busy.iter().all(|t| (31_000..=66_400).contains(t)), "{busy:?}");
    assert!(busy.iter().sum::<u64>() < alone.iter().sum::<u64>(), "{busy:?} {alone:?}");
}

#[test]
fn net_16_haproxy_looks_a_server_up_once() {
    use firedrill::proto::Daemon;
    use firedrill::proto::haproxy::config::{Address, HAProxy, Section, Server as Line};
    use firedrill::proto::haproxy::process::Service;
    use firedrill::proto::haproxy::setup::Setup;
    let Move { mut run, old, new, dns } = two(1, 0);
    let line =
        Line { address: Some(Address { host: "db.example".to_owned(), port: 5432 }), ..Line::default() };
    let section = Section { bind: Some(5000), server: vec![line], ..Section::default() };
    let config = HAProxy { listen: [("primary".to_owned(), section)].into(), ..HAProxy::default() };
    let setup = Setup::new(&config, Some(Endpoint::new(ip(dns.0), 53)), &|_| None::<Ip>);
    let proxy = run.host(Node::Real(Daemon::HAProxy(Service::with(config, setup))));
    let through = connect(&format!("{}:5000", ip(proxy.0)));
    let app = run.app(Application { connect: through, ..every(500) }, &[]);
    let direct = run.app(every(500), &[dns]);
    run.change(Span::secs(60), dns, "db.example", &[new]);
    run.to(Span::secs(3_600));
    assert_eq!((run.first_on(app, new), run.last_on(direct, old)), (None, Some(Time::ms(59_500))));
    assert!(run.last_on(app, old).unwrap() > Time::secs(3_599));
    let ok = run.ended(app).iter().all(|(_, e)| e.outcome == Outcome::Ok(old));
    assert!(ok, "it serves from the old address as if nothing had happened");
}

/// Three Consul servers, two of them on the hosts of databases, which they check every 2 s and know as `primary.service.consul`. The
/// first database stops being the primary at 60 s, the second begins.
fn under_consul(seed: u64) -> (Run, [HostId; 3]) {
    use firedrill::proto::consul::msg::{Msg as Ask, NodeId, Request, Service};
    use firedrill::proto::consul::{Config, Place, Server as Consul};
    use firedrill::proto::raft::{Member, Rules};
    use firedrill::proto::{Daemon, Msg};
    use std::sync::Arc;
    let mut run = Run::new(seed);
    let change = Span::secs(60);
    let a = run.server(Server::new(Do::Primary).then(change, Do::Standby));
    let b = run.server(Server::new(Do::Standby).then(change, Do::Primary));
    let c = run.server(Server::new(Do::Standby));
    let hosts = [a, b, c];
    let nodes: Arc<[(Arc<str>, Ip)]> = hosts.iter().map(|h| (format!("h{}", h.0).into(), ip(h.0))).collect();
    for h in hosts {
        let config = Config {
            me: Member(h.0 as u8),
            servers: hosts.iter().map(|h| ip(h.0)).collect(),
            rules: Rules::consul(1, true),
            rpc_hold_timeout: Span::secs(7),
            expiry: firedrill::proto::consul::config::Expiry::Exact,
            place: Place {
                me: NodeId(h.0),
                nodes: nodes.clone(),
                servers: (0..3).map(NodeId).collect(),
                ..Place::alone()
            },
        };
        let consul = run.also(h, Node::Real(Daemon::ConsulServer(Box::new(Consul::new(config)))));
        if h == c {
            continue;
        }
        let service = Arc::new(Service {
            id: "pg".into(),
            name: "primary".into(),
            tags: Vec::new(),
            address: ip(h.0),
            check: (Endpoint::new(ip(h.0), 8008), "/primary".into()),
            interval: Span::secs(2),
            deregister_after: Span::secs(7_200),
        });
        run.at(Span::secs(20), move |w, s| {
            let ask = Ask::Request(0, Arc::new(Request::ServiceRegister(service.clone())));
            w.call(consul, Msg::Consul(Box::new(ask)), s);
        });
    }
    (run, hosts)
}

#[test]
fn net_17_consul_answers_with_ttl_0_and_an_isolated_server_with_what_it_last_knew() {
    for seed in 0..10 {
        let (mut run, [a, b, c]) = under_consul(seed);
        let name = Application {
            connect: connect("primary.service.consul"),
            start_after: Span::secs(40),
            ..every(100)
        };
        let consul = |h: HostId| Endpoint::new(ip(h.0), 8600);
        let asks = |h: HostId| Run::asking(name.clone(), &[consul(h)]);
        let (fresh, isolated) = (run.host(asks(b)), run.host(asks(c)));
        let jvm =
            run.host(Run::asking(Application { name_cache: NameCache::Jvm, ..name.clone() }, &[consul(b)]));
        // A resolver on the way takes what ends in `.consul` there, and keeps nothing of it.
        let resolver = run.forwarder(&[consul(b)]);
        let through = run.app(name.clone(), &[resolver]);
        for other in [a, b] {
            run.cut(Span::secs(50), c, other, None);
        }
        run.to(Span::secs(200));
        let change = Time::secs(60);
        for app in [fresh, through] {
            let first = run.first_on(app, b).unwrap().since(change);
            assert!(first <= Span::ms(2_200), "one interval of the check: {first}");
            let old =
                run.ended(app).iter().filter(|(_, e)| e.outcome == Outcome::Ok(a) && e.sent > change).count();
            assert_eq!(old, 0, "it takes no writes any more");
        }
        let late = run.first_on(jvm, b).unwrap().since(change);
        assert!(late <= Span::ms(32_300), "the JVM's own 30 s come on top: {late}");
        assert_eq!(run.first_on(isolated, b), None, "allow_stale: nobody tells it that it knows nothing new");
        let still: Vec<_> =
            run.ended(isolated).into_iter().filter(|(_, e)| e.sent > Time::secs(190)).collect();
        assert!(
            still.len() > 90 && still.iter().all(|(_, e)| matches!(e.outcome, Outcome::Error(_))),
            "{still:?}"
        );
    }
}

#[test]
fn a_resolver_counts_down_keeps_failures_and_answers_stale() {
    use firedrill::proto::Daemon;
    let cached = |run: &Run, resolver: HostId, at: u64| match run.daemon(resolver) {
        Daemon::Resolver(r) => r.cached("db.example", Time::secs(at)).map(|(ips, left)| (ips.to_vec(), left)),
        _ => panic!("no resolver"),
    };
    let Move { mut run, old, new, dns } = two(1, 60);
    let resolver = run.resolver(Resolver::default(), &[dns]);
    // A second resolver, as the cache of the program's host, gets what is left of the TTL.
    let host_cache = run.resolver(Resolver::default(), &[resolver]);
    let app = run.app(Application { start_after: Span::secs(41), ..every(1_000) }, &[host_cache]);
    run.app(every(100_000), &[resolver]);
    run.change(Span::secs(10), dns, "db.example", &[new]);
    run.to(Span::secs(42));
    // The resolver fetched it at 1 s; what was left at 41 s the host's cache got, and a second of that is over.
    let (addresses, left) = cached(&run, resolver, 42).unwrap();
    assert_eq!(addresses, [ip(old.0)]);
    assert!(left > Span::secs(19) && left < Span::ms(19_010), "{left}");
    let left = cached(&run, host_cache, 42).unwrap().1;
    assert!(left > Span::secs(18) && left < Span::ms(19_010), "{left}");
    run.to(Span::secs(70));
    let last = run.last_on(app, old).unwrap();
    assert!(last >= Time::secs(59) && last < Time::ms(61_010), "both end together: {last}");

    // A clamp keeps a short answer for longer.
    let Move { mut run, old, new, dns } = two(2, 5);
    let resolver = run.resolver(Resolver { min_cache_ttl: Span::secs(60), ..Resolver::default() }, &[dns]);
    let app = run.app(every(100), &[resolver]);
    run.change(Span::secs(2), dns, "db.example", &[new]);
    run.to(Span::secs(100));
    let last = run.last_on(app, old).unwrap();
    assert!((60_800..61_100).contains(&last.as_ms()), "{last}");

    // The server is gone: SERVFAIL after 10 s, or the old answer.
    for stale in [false, true] {
        let Move { mut run, old, dns, .. } = two(3, 5);
        let config = Resolver { stale_answer_enable: stale, ..Resolver::default() };
        let resolver = run.resolver(config, &[dns]);
        let app = run.app(Application { resolv_timeout: Span::secs(30), ..every(20_000) }, &[resolver]);
        run.power_off(Span::secs(2), dns);
        run.to(Span::secs(60));
        let all = run.ended(app);
        let expected = if stale { Outcome::Ok(old) } else { Outcome::NoAddress };
        assert_eq!(all[0].1.outcome, Outcome::Ok(old));
        assert_eq!(all[1].1.outcome, expected);
        let took = all[1].0.since(all[1].1.sent).as_ms();
        // The program's second question is answered at once: the resolver remembers a failure for 1 s.
        assert!((10_000..10_100).contains(&took), "{took}");
    }
}

#[test]
fn an_update_takes_its_time_and_survives_a_restart() {
    use firedrill::engine::SpanRange;
    let mut run = Run::new(1);
    let (old, new) = (run.server(Server::new(Do::Primary)), run.server(Server::new(Do::Primary)));
    let delay = SpanRange::exactly(Span::secs(30));
    let config = Dns { change_delay: delay, ..Dns::default() };
    let dns = run.dns(config, &[("db.example", &[old], Span::ZERO)]);
    let app = run.app(every(100), &[dns]);
    // DNS does not tell capitals from small letters, nor a name from one with the root's dot.
    run.change(Span::secs(10), dns, "DB.Example.", &[new]);
    run.at(Span::secs(20), move |w, s| {
        let pid = w.host(dns).procs[0];
        w.kill(pid, s);
        w.start_now(pid, s);
    });
    run.to(Span::secs(60));
    let (last, first) = (run.last_on(app, old).unwrap(), run.first_on(app, new).unwrap());
    assert!(last < Time::secs(40) && first >= Time::secs(40) && first < Time::ms(40_200), "{last} {first}");
    let moved: Vec<_> = run.told(app).into_iter().filter(|(_, n)| n.mark() == Some("client_moved")).collect();
    assert_eq!(moved.len(), 1);
}

#[test]
fn a_program_asks_its_nameservers_in_turn() {
    // The first of two is dead: 5 s for each lookup.
    let mut run = Run::new(1);
    let db = run.server(Server::new(Do::Primary));
    let (dead, dns) =
        (run.server(Server::new(Do::Silent)), run.dns(Dns::default(), &[("db.example", &[db], Span::ZERO)]));
    let app = run.app(every(20_000), &[dead, dns]);
    run.to(Span::secs(30));
    let (at, end) = run.ended(app)[0];
    assert_eq!(end.outcome, Outcome::Ok(db));
    assert!((5_000..5_010).contains(&at.since(end.sent).as_ms()));
    // Nobody answers: `timeout` x `attempts`.
    let mut run = Run::new(1);
    let dead = run.server(Server::new(Do::Silent));
    let app = run.app(every(20_000), &[dead]);
    run.to(Span::secs(30));
    let (at, end) = run.ended(app)[0];
    assert_eq!((end.outcome, at.since(end.sent)), (Outcome::NoAddress, Span::secs(10)));
}
