//! PostgreSQL: streaming, synchronous commits, timelines, promotion, the stop modes, recovery; three database hosts and a host of clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::{Chance, Engine, MS, Model, SEC, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::net::rules::{Effect, HostSet, Rule};
use firedrill::node::disk::End;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{Action, ConnId, HostId, Input, Pid, Process, Signal, Tcp, TcpOptions, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::proto::postgres::config::{Size, SynchronousCommit};
use firedrill::proto::postgres::data::{Conninfo, DataDir, DbState, Identity, SenderState, Standby, Status};
use firedrill::proto::postgres::msg::{Answer, Lsn, Place, Sql, SqlState, Statement, Wal, WriteId};
use firedrill::proto::postgres::note::{Lost, Note as Pg, Opened, SenderGone};
use firedrill::proto::postgres::rewind::{Plan, Rewind, Unable};
use firedrill::proto::postgres::{PORT, Postgres, Postmaster, Setup};
use firedrill::proto::{Cx, Files, Msg, Note};
use firedrill::scenario::types::Sysctl;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A client with one session: what it is told to say, and what it heard.
#[derive(Clone, Default)]
struct App {
    to: u16,
    superuser: bool,
    replication: bool,
    /// Every so often a write of so many bytes, whether or not the last one was answered.
    writes: Option<(Span, u32)>,
    conn: Option<ConnId>,
    ready: bool,
    next: u32,
    heard: Vec<(Time, Heard)>,
    identity: Option<Arc<Identity>>,
    sent: BTreeMap<u32, Time>,
}
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Sql(Sql),
    Closed,
    Reset,
    TimedOut,
}
impl App {
    fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                let to = Endpoint::new(ip(self.to), PORT);
                self.conn = Some(ctx.connect(to, Plane::client, TcpOptions::default()));
            }
            Input::Timer(_) => {
                if let Some((every, bytes)) = self.writes {
                    self.say(
                        Statement::Write(WriteId { client: ctx.me, operation: self.next, attempt: 0 }, bytes),
                        ctx,
                    );
                    ctx.set_timer(Timer(0), every);
                }
            }
            Input::Call(Msg::Sql(Sql::Query(_, statement))) => self.say(statement, ctx),
            Input::Call(msg) => ctx.act(Action::TcpSend(self.conn.unwrap(), msg)),
            Input::Tcp(conn, news) if Some(conn) == self.conn => match news {
                Tcp::Connected if self.replication => {
                    ctx.act(Action::TcpSend(conn, Msg::Wal(Box::new(Wal::Identify))));
                }
                Tcp::Connected => {
                    let hello = Sql::Startup { superuser: self.superuser };
                    ctx.act(Action::TcpSend(conn, Msg::Sql(hello)));
                }
                Tcp::Data(Msg::Sql(sql)) => {
                    if matches!(sql, Sql::Ready(..)) {
                        self.ready = true;
                        if let Some((every, _)) = self.writes {
                            ctx.set_timer(Timer(0), every);
                        }
                    }
                    self.heard.push((ctx.now, Heard::Sql(sql)));
                }
                Tcp::Data(Msg::Wal(wal)) => {
                    if let Wal::Identity(i) = *wal {
                        self.identity = Some(i);
                    }
                }
                Tcp::Closed => {
                    ctx.act(Action::Close(conn));
                    ctx.cancel_timer(Timer(0));
                    self.heard.push((ctx.now, Heard::Closed));
                }
                Tcp::Reset | Tcp::Unreachable => {
                    ctx.cancel_timer(Timer(0));
                    self.heard.push((ctx.now, Heard::Reset));
                }
                Tcp::TimedOut => self.heard.push((ctx.now, Heard::TimedOut)),
                _ => {}
            },
            _ => {}
        }
    }
    fn say(&mut self, statement: Statement, ctx: &mut Cx<'_>) {
        let n = self.next;
        self.next += 1;
        self.sent.insert(n, ctx.now);
        ctx.act(Action::TcpSend(self.conn.unwrap(), Msg::Sql(Sql::Query(n, statement))));
    }
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
enum Node {
    Pg(Box<Postmaster>),
    App(App),
}
impl Process for Node {
    type Msg = Msg;
    type Note = Note;
    type Files = Files;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self {
            Node::Pg(p) => p.on(input, ctx),
            Node::App(a) => a.on(input, ctx),
        }
    }
    fn reset(&mut self, end: End, files: &mut Files) {
        if let Node::Pg(p) = self {
            p.reset(end, &mut files.pg);
        }
    }
}
fn ip(n: u16) -> Ip {
    Ip(0x0A00_0001 + u32::from(n))
}

struct Lab {
    world: World<Node>,
    notes: Vec<(Time, HostId, Pg)>,
}
impl Lab {
    fn collect(&mut self) {
        for e in self.world.log.entries.drain(..) {
            if let (Some(host), What::Note(Note::Postgres(n))) = (e.host, e.what) {
                self.notes.push((e.at, host, n));
            }
        }
    }
}
impl Model for Lab {
    type Event = Ev<Msg>;
    fn handle(&mut self, event: Ev<Msg>, s: &mut Scheduler<Ev<Msg>>) {
        self.world.log.entries.clear();
        match event {
            Ev::Outer(n) if n < 100 => self.world.boot_now(HostId(n as u16), s),
            Ev::Outer(_) => {}
            event => self.world.handle(event, s),
        }
        self.collect();
    }
}

const A: u16 = 0;
const B: u16 = 1;
const C: u16 = 2;
const CLI: u16 = 3;
const NAMES: [&str; 4] = ["a", "b", "c", "cli"];

struct Run(Engine<Lab>);
impl Run {
    /// Host a is the primary, b and c follow it, each with a slot.
    fn new(seed: u64, config: impl Fn(u16, &mut Postgres)) -> Run {
        Run::with(seed, SpanRange::new(Span::us(100), Span::us(300)), config)
    }
    fn with(seed: u64, latency: SpanRange, config: impl Fn(u16, &mut Postgres)) -> Run {
        let mut world: World<Node> = World::new(seed, Level::Story, |_| ("message", 0));
        let net = world.add_net("lan", latency, Chance::NEVER, Chance::NEVER, Span::secs(300));
        let zero = SpanRange::exactly(Span::ZERO);
        for i in 0..4u16 {
            let h = world.add_host(NAMES[i as usize], Sysctl::default().neigh(), zero, zero);
            world.plug(h, net, Cidr { ip: ip(i), prefix: 24 });
            if i == CLI {
                continue;
            }
            let mut c = Postgres { wal_log_hints: Some(true), ..Postgres::default() };
            config(i, &mut c);
            let data = &mut world.hosts[i as usize].files.pg;
            data.physics = c.physics(false);
            if i == A {
                data.conf.synchronous_standby_names = c.synchronous_standby_names.parse().unwrap();
            } else {
                let slot = c.primary_slot_name.as_deref().map(Into::into);
                data.conf.primary_conninfo = Some(Conninfo { ip: ip(A), application_name: None, slot });
                data.conf.standby_signal = true;
                data.control.state = DbState::ShutDownInRecovery;
            }
            let setup = Setup { config: c, name: NAMES[i as usize].into(), catalog: Default::default() };
            world.add_proc(h, "postgres", None, Node::Pg(Box::new(Postmaster::new(Arc::new(setup)))));
        }
        let mut e = Engine::new(Lab { world, notes: Vec::new() });
        for i in 0..4 {
            e.sched.at(Time::ZERO, Ev::Outer(i));
        }
        Run(e)
    }
    fn now(&self) -> Time {
        self.0.sched.now()
    }
    fn to(&mut self, at: Time) {
        self.0.run_until(at);
    }
    fn on(&mut self, span: Span) {
        let at = self.now() + span;
        self.to(at);
    }
    /// Runs until something is so, in steps; panics after the span.
    fn until(&mut self, most: Span, what: impl Fn(&Run) -> bool) -> Time {
        let end = self.now() + most;
        while !what(self) {
            assert!(self.now() < end, "not within {most} at {}", self.now());
            self.on(Span::ms(1));
        }
        self.now()
    }
    fn op<T>(&mut self, f: impl FnOnce(&mut World<Node>, &mut Scheduler<Ev<Msg>>) -> T) -> T {
        self.0.model.world.log.entries.clear();
        let t = f(&mut self.0.model.world, &mut self.0.sched);
        self.0.model.collect();
        t
    }
    fn session(&mut self, to: u16) -> Pid {
        self.client(App { to, ..App::default() })
    }
    fn client(&mut self, app: App) -> Pid {
        self.op(|w, s| {
            let pid = w.add_proc(HostId(CLI), "app", None, Node::App(app));
            w.start_now(pid, s);
            pid
        })
    }
    fn writer(&mut self, to: u16, every: Span, bytes: u32) -> Pid {
        self.client(App { to, writes: Some((every, bytes)), ..App::default() })
    }
    fn app(&self, pid: Pid) -> &App {
        match &self.0.model.world.proc(pid).logic {
            Node::App(a) => a,
            Node::Pg(_) => panic!("no client"),
        }
    }
    fn heard(&self, pid: Pid) -> &[(Time, Heard)] {
        &self.app(pid).heard
    }
    fn last(&self, pid: Pid) -> Option<&Heard> {
        self.heard(pid).last().map(|h| &h.1)
    }
    fn ask(&mut self, pid: Pid, statement: Statement) {
        self.op(|w, s| w.call(pid, Msg::Sql(Sql::Query(0, statement)), s));
    }
    fn say(&mut self, pid: Pid, sql: Sql) {
        self.op(|w, s| w.call(pid, Msg::Sql(sql), s));
    }
    /// A write of 100 bytes on this session.
    fn write(&mut self, pid: Pid) {
        self.write_bytes(pid, 100);
    }
    fn write_bytes(&mut self, pid: Pid, bytes: u32) {
        let operation = self.app(pid).next;
        self.ask(pid, Statement::Write(WriteId { client: pid, operation, attempt: 0 }, bytes));
    }
    /// The answer to what is asked now.
    fn answer(&mut self, to: u16, statement: Statement) -> Sql {
        let pid = self.client(App { to, superuser: true, ..App::default() });
        self.until(Span::secs(1), |r| !r.heard(pid).is_empty());
        if !self.app(pid).ready {
            let (_, Heard::Sql(sql)) = &self.heard(pid)[0] else { panic!("{:?}", self.last(pid)) };
            return sql.clone();
        }
        self.ask(pid, statement);
        self.until(Span::secs(5), |r| r.heard(pid).len() > 1);
        let Some(Heard::Sql(sql)) = self.last(pid).cloned() else { panic!("{:?}", self.last(pid)) };
        self.op(|w, s| w.kill(pid, s));
        sql
    }
    fn status(&mut self, to: u16) -> Arc<Status> {
        match self.answer(to, Statement::Status) {
            Sql::Done(_, Answer::Status(s)) => s,
            other => panic!("{other:?}"),
        }
    }
    fn standby(&mut self, of: u16, name: &str) -> Option<Standby> {
        self.status(of).standbys.iter().find(|s| &*s.application_name == name).cloned()
    }
    fn streams(&mut self, of: u16, name: &str) -> bool {
        self.standby(of, name).is_some_and(|s| s.state == SenderState::Streaming)
    }
    fn identity(&mut self, of: u16) -> Arc<Identity> {
        let pid = self.client(App { to: of, replication: true, ..App::default() });
        self.until(Span::secs(1), |r| r.app(pid).identity.is_some());
        let identity = self.app(pid).identity.clone().unwrap();
        self.op(|w, s| w.kill(pid, s));
        identity
    }
    fn pg(&self, n: u16) -> &Postmaster {
        match &self.0.model.world.procs[n as usize].logic {
            Node::Pg(p) => p,
            Node::App(_) => panic!("no server"),
        }
    }
    fn data(&self, n: u16) -> &DataDir {
        &self.0.model.world.hosts[n as usize].files.pg
    }
    fn data_mut(&mut self, n: u16) -> &mut DataDir {
        &mut self.0.model.world.hosts[n as usize].files.pg
    }
    fn up(&self, n: u16) -> bool {
        self.data(n).postmaster.is_some()
    }
    fn signal(&mut self, n: u16, signal: Signal) {
        self.op(|w, s| w.signal(Pid(n), signal, s));
    }
    fn kill(&mut self, n: u16) {
        self.signal(n, Signal::Kill);
    }
    fn start(&mut self, n: u16) {
        self.op(|w, s| w.start_now(Pid(n), s));
    }
    fn freeze(&mut self, n: u16) {
        self.op(|w, _| w.pause(Pid(n), false));
    }
    fn thaw(&mut self, n: u16) {
        self.op(|w, s| w.resume(Pid(n), s));
    }
    fn power_off(&mut self, n: u16) {
        self.op(|w, s| w.power_off(HostId(n), s));
    }
    fn boot(&mut self, n: u16) {
        self.op(|w, s| w.boot_now(HostId(n), s));
    }
    fn promote(&mut self, n: u16) {
        self.data_mut(n).promote_signal = true;
        self.signal(n, Signal::Usr1);
    }
    fn follow(&mut self, n: u16, upstream: u16) {
        let slot = None;
        let data = self.data_mut(n);
        data.conf.primary_conninfo = Some(Conninfo { ip: ip(upstream), application_name: None, slot });
        data.conf.standby_signal = true;
        self.signal(n, Signal::Hup);
    }
    fn names(&mut self, n: u16, names: &str) {
        self.data_mut(n).conf.synchronous_standby_names = names.parse().unwrap();
        self.signal(n, Signal::Hup);
    }
    /// Cuts a host off from some others.
    fn cut(&mut self, n: u16, from: &[u16]) {
        let (a, b) = (HostSet::new(vec![n]), HostSet::new(from.to_vec()));
        let by = self.0.sched.current();
        for (from, to) in [(a.clone(), b.clone()), (b, a)] {
            let rule = Rule { from, to, plane: None, effect: Effect::Drop, by };
            self.0.model.world.rules.push(rule);
        }
    }
    fn heal(&mut self) {
        self.0.model.world.rules.clear();
    }
    fn notes(&self, host: u16) -> impl Iterator<Item = (Time, &Pg)> {
        self.0.model.notes.iter().filter(move |n| n.1 == HostId(host)).map(|n| (n.0, &n.2))
    }
    /// When the server of a host told something of a kind, at or after that time.
    fn told(&self, host: u16, since: Time, is: impl Fn(&Pg) -> bool) -> Option<Time> {
        self.notes(host).find(|(at, n)| *at >= since && is(n)).map(|n| n.0)
    }
    /// Acknowledged writes of a client.
    fn acked(&self, pid: Pid) -> Vec<(Time, Place)> {
        self.heard(pid)
            .iter()
            .filter_map(|(at, h)| match h {
                Heard::Sql(Sql::Done(_, Answer::Written(place, _))) => Some((*at, *place)),
                _ => None,
            })
            .collect()
    }
}
fn writable(r: &Run, n: u16) -> bool {
    r.pg(n).writable()
}
fn calm(r: &mut Run) {
    r.to(Time::secs(8));
    assert!(writable(r, A) && r.streams(A, "b") && r.streams(A, "c"));
}
fn secs(span: Span) -> f64 {
    span.0 as f64 / SEC as f64
}

#[test]
fn a_primary_and_two_standbys_come_up_and_a_write_reaches_all() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    let app = r.session(A);
    r.on(Span::ms(50));
    r.write(app);
    r.on(Span::ms(50));
    let acked = r.acked(app);
    assert_eq!(acked.len(), 1);
    for n in [A, B, C] {
        let Sql::Done(_, Answer::Seen(place)) = r.answer(n, Statement::Read) else { panic!("a read") };
        assert!(place.lsn >= acked[0].1.lsn, "{n}: {place:?}");
        assert!(r.data(n).contains(acked[0].1));
    }
    let s = r.status(B);
    assert!(s.in_recovery && s.streaming && s.timeline == 1);
    let events = r.0.sched.handled();
    for _ in 0..100 {
        r.write(app);
        r.on(Span::ms(20));
    }
    assert_eq!(r.acked(app).len(), 101);
    let each = (r.0.sched.handled() - events) / 100;
    assert!(each <= 16, "{each} events for a commit and two standbys");
    let events = r.0.sched.handled();
    r.on(Span::secs(600));
    let idle = r.0.sched.handled() - events;
    assert!(idle < 1_000, "{idle} events in ten idle minutes");
}

#[test]
fn pgr_01_the_loss_of_an_asynchronous_primary_is_what_was_not_received_rate_times_delay() {
    let mut lost = Vec::new();
    for seed in 1..=30u64 {
        for whole_line in [true, false] {
            let mut r = Run::with(seed, SpanRange::exactly(Span::ms(50)), |n, c| {
                if n == A {
                    c.background_wal_rate = Size(1_000_000);
                    c.background_wal_interval = Span::ms(1);
                }
            });
            r.to(Time(10 * SEC + seed * 7_001 * 1000));
            let acknowledged = r.data(A).flushed;
            let unreceived = acknowledged.since(r.data(B).end);
            assert!((48_000..=54_000).contains(&unreceived), "{unreceived} bytes under way");
            r.power_off(A);
            if whole_line {
                // What is under way is lost with the line.
                let net = r.0.model.world.hosts[B as usize].nics[0].net;
                r.op(|w, s| w.carrier(HostId(B), net, false, s));
            }
            r.on(Span::ms(200));
            let loss = acknowledged.since(r.data(B).end);
            assert!(loss <= unreceived, "{loss} of {unreceived}");
            if whole_line {
                // What had come and waited for a flush is written.
                assert!(loss + 3_000 >= unreceived, "{loss} of {unreceived}");
                lost.push(loss);
            } else {
                assert!(loss < 3_000, "what had left the host still arrives: {loss}");
            }
        }
    }
    let mean = lost.iter().sum::<u64>() / lost.len() as u64;
    assert!((49_000..=53_000).contains(&mean), "{mean}");
}

#[test]
fn pgr_02_a_frozen_synchronous_standby_stops_commits_until_it_goes_on_or_the_list_changes() {
    for seed in 1..=20 {
        for way in 0..2 {
            let mut r = Run::new(seed, |_, c| c.synchronous_standby_names = "FIRST 1 (b)".into());
            calm(&mut r);
            let app = r.session(A);
            r.on(Span::ms(50));
            r.write(app);
            r.on(Span::ms(50));
            assert_eq!(r.acked(app).len(), 1);
            r.on(Span(seed * 311 * MS));
            r.freeze(B);
            r.write(app);
            r.on(Span::secs(30));
            assert_eq!(r.acked(app).len(), 1, "it hangs");
            let flushed = r.data(A).flushed;
            let Sql::Done(_, Answer::Seen(seen)) = r.answer(A, Statement::Read) else { panic!("a read") };
            assert!(seen.lsn < flushed, "durable here, but not visible before the wait ends");
            let Sql::Done(_, Answer::Seen(seen)) = r.answer(C, Statement::Read) else { panic!("a read") };
            assert_eq!(seen.lsn, flushed, "a standby shows what it has replayed");
            let before = r.now();
            if way == 0 {
                r.thaw(B)
            } else {
                r.names(A, "")
            }
            r.on(Span::ms(20));
            let at = r.acked(app).get(1).expect("acknowledged").0;
            assert!(at.since(before) <= Span::ms(10));
            let Sql::Done(_, Answer::Seen(seen)) = r.answer(A, Statement::Read) else { panic!("a read") };
            assert_eq!(seen.lsn, flushed);
        }
    }
}

#[test]
fn pgr_03_a_killed_synchronous_standby_releases_nobody() {
    for seed in 1..=10 {
        let mut r = Run::new(seed, |_, c| c.synchronous_standby_names = "b".into());
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        r.kill(B);
        r.on(Span::ms(seed * 3));
        r.write(app);
        r.on(Span::secs(200));
        assert!(r.acked(app).is_empty());
        assert!(r.standby(A, "b").is_none(), "its walsender is gone");
        assert!(r.told(A, Time::ZERO, |n| matches!(n, Pg::SyncBlocked { have: 0, need: 1 })).is_some());
        r.names(A, "c");
        r.on(Span::ms(10_200));
        assert_eq!(r.acked(app).len(), 1, "c's next reply ends the wait");
    }
}

#[test]
fn pgr_04_any_goes_on_with_another_standby_first_only_when_the_walsender_is_dropped() {
    for seed in 1..=15 {
        let mut r = Run::new(seed, |_, c| c.synchronous_standby_names = "ANY 1 (b, c)".into());
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        r.freeze(B);
        r.write(app);
        r.on(Span::ms(20));
        assert_eq!(r.acked(app).len(), 1);

        let mut r = Run::new(seed, |_, c| c.synchronous_standby_names = "FIRST 1 (b, c)".into());
        calm(&mut r);
        let app = r.session(A);
        r.on(Span(seed * 700 * MS));
        let frozen = r.now();
        r.freeze(B);
        r.write(app);
        let other = r.session(A);
        r.on(Span::secs(48));
        assert!(r.acked(app).is_empty());
        r.until(Span::secs(13), |r| r.told(A, frozen, |n| matches!(n, Pg::SenderGone { .. })).is_some());
        let dropped = r.now();
        r.write(other);
        r.on(Span::ms(20));
        assert_eq!((r.acked(app).len(), r.acked(other).len()), (1, 1));
        assert!(r.acked(app)[0].0 >= Time(dropped.0 - MS));

        // RST: at once.
        let mut r = Run::new(seed, |_, c| c.synchronous_standby_names = "FIRST 1 (b, c)".into());
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        r.kill(B);
        r.on(Span::ms(1));
        r.write(app);
        r.on(Span::ms(20));
        assert_eq!(r.acked(app).len(), 1);
    }
}

#[test]
fn pgr_05_a_cancelled_wait_leaves_a_row_that_is_seen_and_may_be_lost() {
    for seed in 1..=10 {
        let mut r = Run::new(seed, |_, c| c.synchronous_standby_names = "b".into());
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        r.cut(A, &[B, C]);
        r.write(app);
        r.on(Span::secs(2));
        assert!(r.acked(app).is_empty());
        r.say(app, Sql::Cancel);
        r.on(Span::ms(5));
        let Some(Heard::Sql(Sql::Done(_, Answer::Written(place, true)))) = r.last(app).cloned() else {
            panic!("a warning: {:?}", r.last(app))
        };
        let Sql::Done(_, Answer::Seen(seen)) = r.answer(A, Statement::Read) else { panic!("a read") };
        assert!(seen.lsn >= place.lsn, "it is visible here");
        r.power_off(A);
        r.heal();
        r.promote(B);
        r.until(Span::secs(2), |r| writable(r, B));
        assert!(!r.data(B).contains(place), "and gone with the primary");
    }
}

#[test]
fn pgr_06_asynchronous_commits_lose_at_most_three_rounds_of_the_wal_writer() {
    let mut losers = 0;
    let mut worst = Span::ZERO;
    for seed in 1..=40u64 {
        for (every, bytes, power) in [(50, 24, false), (4, 3_000, false), (4, 3_000, true)] {
            let mut r = Run::new(seed, |_, c| c.synchronous_commit = SynchronousCommit::Off);
            calm(&mut r);
            let app = r.writer(A, Span::ms(every), bytes);
            r.on(Span::ms(3_000 + seed * 37));
            let crash = r.now();
            if power {
                r.power_off(A)
            } else {
                r.kill(A)
            }
            r.on(Span::ms(100));
            if power {
                r.boot(A)
            } else {
                r.start(A)
            }
            r.until(Span::secs(3), |r| writable(r, A));
            let acked = r.acked(app);
            let kept = acked.iter().filter(|(_, p)| r.data(A).contains(*p)).count();
            assert!(acked[..kept].iter().all(|(_, p)| r.data(A).contains(*p)), "no holes");
            if let Some((at, _)) = acked.get(kept) {
                let window = crash.since(*at);
                assert!(window <= Span::ms(600), "{window}");
                worst = worst.max(window);
                losers += 1;
            }
            assert_eq!(r.data(A).control.timeline, 1);
            // The places of what was lost are used again, but not taken for it.
            let app = r.writer(A, Span::ms(4), bytes);
            r.on(Span::secs(2));
            assert!(r.acked(app).len() > 100);
            r.on(Span::secs(1));
            assert!(acked[kept..].iter().all(|(_, p)| !r.data(A).contains(*p)));
        }
    }
    assert!(losers > 60, "{losers} of 120 crashes lost something");
    assert!(worst > Span::ms(200), "{worst}");
    // With `on` nothing acknowledged is ever lost by a crash.
    for seed in 1..=20u64 {
        for power in [false, true] {
            let mut r = Run::new(seed, |_, _| {});
            calm(&mut r);
            let app = r.writer(A, Span::ms(1), 500);
            r.on(Span(1_000 * MS + seed * 371_003));
            if power {
                r.power_off(A)
            } else {
                r.kill(A)
            }
            r.on(Span::ms(10));
            if power {
                r.boot(A)
            } else {
                r.start(A)
            }
            r.until(Span::secs(3), |r| writable(r, A));
            assert!(r.acked(app).iter().all(|(_, p)| r.data(A).contains(*p)));
        }
    }
}

/// Lets b hold so many megabytes that it has received and not replayed.
fn withheld(seed: u64, megabytes: u32) -> Run {
    let mut r = Run::new(seed, |n, c| {
        if n == B {
            c.recovery_min_apply_delay = Span::secs(3600);
        }
        c.synchronous_standby_names = "b".into();
    });
    calm(&mut r);
    let app = r.session(A);
    r.on(Span::ms(50));
    for _ in 0..megabytes / 2 {
        r.write_bytes(app, 2 << 20);
    }
    r.until(Span::secs(60), |r| r.acked(app).len() as u32 == megabytes / 2);
    r
}

#[test]
fn pgr_07_a_promotion_replays_what_was_received_before_it_writes() {
    let mut times = Vec::new();
    for seed in 1..=10 {
        let mut r = withheld(seed, 200);
        let s = r.status(B);
        assert_eq!(s.received.since(s.replayed), 200 << 20);
        r.power_off(A);
        r.promote(B);
        let start = r.now();
        r.on(Span::secs(1));
        // Reads work meanwhile, writes do not.
        assert!(matches!(r.answer(B, Statement::Read), Sql::Done(..)));
        let write = Statement::Write(WriteId { client: Pid(0), operation: 0, attempt: 0 }, 100);
        assert!(matches!(r.answer(B, write), Sql::Error(_, SqlState::ReadOnly)));
        let took = r.until(Span::secs(5), |r| writable(r, B)).since(start);
        assert!((2.0..=3.0).contains(&secs(took)), "{took}");
        times.push(took);
    }
    assert!(times.iter().max().unwrap().0 - times.iter().min().unwrap().0 > 50 * MS);
}

#[test]
fn pgr_08_each_promotion_is_a_timeline_more_and_a_restart_is_none() {
    let mut r = Run::new(3, |_, _| {});
    calm(&mut r);
    assert_eq!(r.status(A).timeline, 1);
    for clean in [true, false] {
        if clean {
            r.signal(A, Signal::Int)
        } else {
            r.kill(A)
        }
        r.until(Span::secs(2), |r| !r.up(A));
        r.start(A);
        r.until(Span::secs(2), |r| writable(r, A));
        assert_eq!((r.data(A).control.timeline, r.data(A).control.history.lines().count()), (1, 0));
    }
    r.on(Span::secs(6));
    r.power_off(A);
    r.promote(B);
    r.until(Span::secs(2), |r| writable(r, B));
    r.follow(C, B);
    r.on(Span::secs(1));
    let at = r.data(B).control.history.switch_point(1).unwrap();
    assert_eq!(r.status(B).timeline, 2);
    assert_eq!(r.status(C).timeline, 2);
    r.power_off(B);
    r.promote(C);
    r.until(Span::secs(2), |r| writable(r, C));
    assert_eq!(r.status(C).timeline, 3);
    let lines: Vec<(u32, Lsn)> = r.data(C).control.history.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], (1, at));
    assert_eq!(lines[1].0, 2);
    let promoted = r.told(C, Time::ZERO, |n| {
        matches!(n, Pg::Primary { timeline: 3, opened: Opened::Promoted { from: 2, .. }, .. })
    });
    assert!(promoted.is_some());
}

#[test]
fn pgr_09_a_standby_behind_the_switch_follows_and_one_beyond_it_never_streams() {
    for seed in 1..=10 {
        for ahead in [false, true] {
            let mut r = Run::new(seed, |_, _| {});
            calm(&mut r);
            let app = r.session(A);
            r.on(Span::ms(50));
            r.cut(if ahead { B } else { C }, &[A]);
            r.write(app);
            r.on(Span::ms(50));
            assert_eq!(r.data(B).end < r.data(C).end, ahead);
            r.power_off(A);
            r.heal();
            r.promote(B);
            r.until(Span::secs(2), |r| writable(r, B));
            r.follow(C, B);
            let before = r.pg(C).attempts();
            r.on(Span::secs(61));
            assert_eq!(r.streams(B, "c"), !ahead);
            if ahead {
                let tries = r.pg(C).attempts() - before;
                assert!((12..=13).contains(&tries), "every 5 s: {tries}");
                let diverged = |n: &Pg| n.mark() == Some("diverged");
                assert!(r.told(C, Time::ZERO, diverged).is_some());
                assert_eq!(r.notes(C).filter(|n| diverged(n.1)).count(), 1, "told once");
            } else {
                let ends = (r.data(B).end, r.data(C).end);
                assert_eq!(ends.0, ends.1);
            }
        }
    }
}

#[test]
fn pgr_10_extra_wal_needs_a_rewind_and_a_stop_that_was_received_does_not() {
    for seed in 1..=10 {
        for case in ["extra", "fast stop", "kill"] {
            let mut r = Run::new(seed, |_, _| {});
            calm(&mut r);
            let app = r.session(A);
            r.on(Span::ms(50));
            r.write(app);
            r.on(Span::ms(50));
            let mut gone = None;
            match case {
                "extra" => {
                    r.cut(A, &[B, C]);
                    r.write_bytes(app, 1);
                    r.on(Span::ms(50));
                    gone = Some(r.acked(app)[1].1);
                    r.kill(A);
                    r.heal();
                }
                "fast stop" => r.signal(A, Signal::Int),
                _ => r.kill(A),
            }
            r.until(Span::secs(2), |r| !r.up(A));
            r.on(Span::ms(50));
            r.promote(B);
            r.until(Span::secs(2), |r| writable(r, B));
            let Sql::Done(_, Answer::Done) = r.answer(B, Statement::Checkpoint) else { panic!("done") };
            r.follow(C, B);
            let identity = r.identity(B);
            let need = DataDir::needs_rewind(&r.data(A).local(), &identity);
            assert_eq!(need.needed(), case == "extra", "{case}: {need:?}");
            r.follow(A, B);
            if case == "extra" {
                assert!(matches!(need, Rewind::PastSwitch(..)));
                let Ok(Plan::Copy { common, takes, .. }) = r.data(A).rewind_plan(&identity) else {
                    panic!("a plan")
                };
                assert!(takes >= Span::secs(1));
                r.data_mut(A).rewind_begins();
                r.start(A);
                r.on(Span::secs(1));
                assert!(!r.up(A), "an interrupted rewind leaves nothing to start");
                r.data_mut(A).rewind(&identity, common);
            }
            r.start(A);
            r.until(Span::secs(8), |r| r.told(A, Time::secs(8), |n| n.mark() == Some("rejoined")).is_some());
            r.on(Span::ms(500));
            assert_eq!(r.data(A).end, r.data(B).end);
            assert!(r.streams(B, "a"), "{case}");
            if let Some(place) = gone {
                assert!(!r.data(A).contains(place), "what only the target had is lost");
            }
            assert!(r.data(A).contains(r.acked(app)[0].1));
        }
    }
}

#[test]
fn pgr_11_a_rewind_without_hint_bits_or_checksums_is_refused() {
    for (hints, checksums, ok) in [(false, false, false), (true, false, true), (false, true, true)] {
        let mut r = Run::new(1, |_, c| {
            c.wal_log_hints = Some(hints);
            c.data_checksums = checksums;
        });
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        r.cut(A, &[B, C]);
        r.write(app);
        r.on(Span::ms(50));
        r.kill(A);
        r.heal();
        r.promote(B);
        r.until(Span::secs(2), |r| writable(r, B));
        // Before the new primary has had a checkpoint, the rewind is deceived.
        let early = r.identity(B);
        if ok {
            assert_eq!(r.data(A).rewind_plan(&early), Ok(Plan::Nothing));
        }
        r.answer(B, Statement::Checkpoint);
        let now = r.identity(B);
        let plan = r.data(A).rewind_plan(&now);
        assert_eq!(plan.is_ok(), ok, "{plan:?}");
        if !ok {
            assert_eq!(plan, Err(Unable::NoHints));
        }
    }
}

#[test]
fn pgr_12_a_black_holed_standby_is_dropped_a_minute_after_its_last_reply() {
    let mut idle = Vec::new();
    for seed in 1..=40u64 {
        for load in [false, true] {
            let mut r = Run::new(seed, |_, _| {});
            calm(&mut r);
            if load {
                r.writer(A, Span::ms(50), 1000);
            }
            r.on(Span::ms(10_000 + seed * 257));
            let cut = r.now();
            r.cut(B, &[A]);
            r.on(Span::secs(62));
            let at = r
                .told(
                    A,
                    cut,
                    |n| matches!(n, Pg::SenderGone { name, why: SenderGone::Timeout, .. } if &**name == "b"),
                )
                .expect("dropped");
            let after = secs(at.since(cut));
            if load {
                assert!((59.9..=60.01).contains(&after), "{after}");
            } else {
                assert!(after > 49.9 && after <= 60.01, "{after}");
                idle.push(after);
            }
            assert!(r.told(A, cut, |n| matches!(n, Pg::SenderGone { name, .. } if &**name == "c")).is_none());
        }
    }
    let spread = idle.iter().fold(0.0f64, |m, x| m.max(*x)) - idle.iter().fold(99.0f64, |m, x| m.min(*x));
    assert!(spread > 8.0, "{spread}");
}

#[test]
fn pgr_13_a_short_cut_is_bridged_by_tcp_and_a_long_one_by_a_new_connection() {
    for seed in 1..=15u64 {
        let mut r = Run::new(seed, |_, _| {});
        calm(&mut r);
        r.writer(A, Span::ms(50), 1000);
        r.on(Span::ms(3_000 + seed * 137));
        let tries = r.pg(B).attempts();
        r.cut(B, &[A]);
        r.on(Span::secs(20));
        let behind = r.data(B).end;
        r.heal();
        let healed = r.now();
        let resumed = r.until(Span::secs(14), |r| r.data(B).end > behind);
        assert!(resumed.since(healed) <= Span::secs(13), "{}", resumed.since(healed));
        assert_eq!(r.pg(B).attempts(), tries, "the same connection");
        r.on(Span::secs(1));
        assert!(r.streams(A, "b"));

        let mut r = Run::new(seed, |_, _| {});
        calm(&mut r);
        r.writer(A, Span::ms(50), 1000);
        r.on(Span::ms(3_000 + seed * 137));
        let cut = r.now();
        r.cut(B, &[A]);
        r.on(Span::secs(70));
        r.heal();
        let healed = r.now();
        let again =
            r.until(Span::secs(30), |r| r.told(B, healed, |n| n.mark() == Some("rejoined")).is_some());
        let detected = r.told(B, cut, |n| matches!(n, Pg::ReceiverLost { .. })).unwrap();
        assert!((59.9..=60.2).contains(&secs(detected.since(cut))), "{}", detected.since(cut));
        assert!(again.since(healed) <= Span::ms(5_200), "{}", again.since(healed));
    }
}

#[test]
fn pgr_14_a_fast_stop_waits_for_a_frozen_standby_until_a_minute_after_its_last_reply() {
    for seed in 1..=15u64 {
        // A frozen synchronous standby.
        let mut r = Run::new(seed, |_, c| c.synchronous_standby_names = "b".into());
        calm(&mut r);
        let app = r.writer(A, Span::ms(100), 500);
        r.on(Span::ms(3_000 + seed * 217));
        let frozen = r.now();
        r.freeze(B);
        r.on(Span::secs(5));
        let acked = r.acked(app).len();
        let stop = r.now();
        r.signal(A, Signal::Int);
        r.on(Span::ms(990));
        assert!(r.heard(app).contains(&(r.heard(app).last().unwrap().0, Heard::Closed)), "clients are gone");
        assert!(r.heard(app).iter().any(|h| h.1 == Heard::Sql(Sql::Fatal(SqlState::AdminShutdown))));
        assert_eq!(r.acked(app).len(), acked, "the waits that were cut are not acknowledged");
        assert_eq!(r.data(A).backends, 0);
        assert_eq!(r.data(A).control.state, DbState::ShutDown, "the control file says so before the end");
        assert_eq!(r.answer(A, Statement::Read), Sql::Fatal(SqlState::CannotConnectNow));
        assert!(r.up(A));
        let end = r.until(Span::secs(60), |r| !r.up(A));
        let after = secs(end.since(frozen));
        assert!((59.8..=60.2).contains(&after), "{after} after the freeze");
        assert!(end.since(stop) < Span::secs(56));

        // A primary that is cut off, and stopped 15 s later.
        let mut r = Run::new(seed, |_, _| {});
        calm(&mut r);
        r.writer(A, Span::ms(100), 500);
        r.on(Span::ms(3_000 + seed * 217));
        let cut = r.now();
        r.cut(A, &[B, C, CLI]);
        r.on(Span::secs(15));
        r.signal(A, Signal::Int);
        let end = r.until(Span::secs(60), |r| !r.up(A));
        let after = secs(end.since(cut));
        assert!((59.8..=60.2).contains(&after), "{after} after the cut, not 75");

        // Standbys that answer: at once. Immediate: at once as well, whatever they do.
        for (signal, freeze) in [(Signal::Int, false), (Signal::Quit, true)] {
            let mut r = Run::new(seed, |_, _| {});
            calm(&mut r);
            let app = r.writer(A, Span::ms(100), 500);
            r.on(Span::ms(3_000 + seed * 217));
            if freeze {
                r.freeze(B);
            }
            let stop = r.now();
            r.signal(A, signal);
            let end = r.until(Span::secs(5), |r| !r.up(A));
            assert!(end.since(stop) <= Span::secs(1), "{}", end.since(stop));
            r.on(Span::ms(5));
            assert!(r.heard(app).iter().any(|h| h.1 == Heard::Sql(Sql::Fatal(SqlState::AdminShutdown))));
            assert_eq!(r.data(A).clean(), !freeze);
            if !freeze {
                assert_eq!(r.data(B).end, r.data(A).end, "the shutdown checkpoint was received");
                assert!(r.told(B, stop, |n| *n == Pg::ReceiverLost { why: Lost::Ended }).is_some());
            }
        }
    }
}

#[test]
fn pgr_15_the_98th_ordinary_session_fails_and_superusers_may_use_three_more() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    let open = |r: &mut Run, superuser| {
        let pid = r.client(App { to: A, superuser, ..App::default() });
        let start = r.now();
        r.until(Span::secs(1), |r| !r.heard(pid).is_empty());
        (pid, r.now().since(start))
    };
    let full = Some(&Heard::Sql(Sql::Fatal(SqlState::TooManyConnections))).cloned();
    let ordinary: Vec<Pid> = (0..97).map(|_| open(&mut r, false).0).collect();
    assert!(ordinary.iter().all(|p| r.app(*p).ready));
    let (pid, took) = open(&mut r, false);
    assert_eq!(r.heard(pid).first().map(|h| h.1.clone()), full, "the 98th");
    assert!(took <= Span::ms(3), "at once: {took}");
    for n in 98..=100 {
        let (pid, _) = open(&mut r, true);
        assert!(r.app(pid).ready, "superuser {n}");
    }
    let (pid, _) = open(&mut r, true);
    assert_eq!(r.heard(pid).first().map(|h| h.1.clone()), full, "the 101st");
    // A session that ends makes room.
    r.op(|w, s| w.kill(ordinary[5], s));
    r.op(|w, s| w.kill(ordinary[6], s));
    r.on(Span::ms(5));
    let (pid, _) = open(&mut r, true);
    assert!(r.app(pid).ready);
}

#[test]
fn pgr_16_writes_on_a_standby_fail_and_are_not_forwarded() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    let app = r.session(B);
    r.on(Span::ms(50));
    let end = r.data(A).end;
    r.write(app);
    let start = r.now();
    r.on(Span::ms(20));
    let Some((at, Heard::Sql(Sql::Error(0, SqlState::ReadOnly)))) = r.heard(app).last() else {
        panic!("{:?}", r.last(app))
    };
    assert!(at.since(start) <= Span::ms(2));
    assert_eq!(SqlState::ReadOnly.code(), "25006");
    assert_eq!(r.data(A).end, end);
    assert!(matches!(r.heard(app)[0].1, Heard::Sql(Sql::Ready(HostId(B), true))));
}

#[test]
fn pgr_17_crash_recovery_takes_as_long_as_the_wal_since_the_last_checkpoint() {
    for seed in 1..=5 {
        let mut r = Run::new(seed, |_, _| {});
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        for _ in 0..250 {
            r.write_bytes(app, 2 << 20);
        }
        r.until(Span::secs(10), |r| r.acked(app).len() == 250);
        assert_eq!(r.data(A).end.since(r.data(A).control.checkpoint.redo) >> 20, 500);
        r.until(Span::secs(10), |r| r.data(B).flushed == r.data(A).end);
        r.kill(A);
        r.on(Span::secs(1));
        r.start(A);
        let start = r.now();
        r.on(Span::secs(3));
        assert_eq!(r.answer(A, Statement::Read), Sql::Fatal(SqlState::CannotConnectNow));
        let took = r.until(Span::secs(5), |r| writable(r, A)).since(start);
        assert!((5.0..=5.8).contains(&secs(took)), "{took}");
        assert_eq!(r.status(A).timeline, 1);
        assert_eq!(r.status(A).history.lines().count(), 0);
        r.on(Span::secs(6));
        assert!(r.streams(A, "b"));
        // After the checkpoint at the end of recovery the next crash is short.
        r.kill(A);
        r.start(A);
        let start = r.now();
        let took = r.until(Span::secs(5), |r| writable(r, A)).since(start);
        assert!(took < Span::ms(500), "{took}");
    }
}

#[test]
fn pgr_18_the_slot_of_a_dead_standby_keeps_wal_at_the_rate_of_the_writes() {
    let kept = |slot: bool, limit: Option<Size>| {
        let mut r = Run::new(1, |n, c| {
            if n == A {
                c.background_wal_rate = Size::mb(10);
                c.background_wal_interval = Span::ms(100);
                c.max_wal_size = Size::mb(128);
                c.max_slot_wal_keep_size = limit;
            }
            if n == B && slot {
                c.primary_slot_name = Some("b".into());
            }
        });
        r.to(Time::ms(100));
        if slot {
            r.data_mut(A).slots.insert("b".into(), Default::default());
        }
        r.to(Time::secs(60));
        let before = r.data(A).wal_bytes();
        r.kill(B);
        r.to(Time::secs(360));
        let usage = r.data(A).wal_bytes() - before.min(r.data(A).wal_bytes());
        r.start(B);
        r.on(Span::secs(60));
        (usage >> 20, r.streams(A, "b"), r)
    };
    let (usage, streams, mut r) = kept(true, None);
    assert!((2_850..=3_050).contains(&usage), "300 s of 10 MB/s: {usage} MB");
    assert!(streams, "and the standby can go on");
    r.kill(B);
    r.on(Span::ms(10));
    assert_eq!(r.answer(A, Statement::DropSlot("b".into())), Sql::Done(0, Answer::Done));
    r.on(Span::secs(60));
    assert!(r.data(A).wal_bytes() >> 20 < 300, "without the slot it is removed at the next checkpoint");
    let (usage, streams, r) = kept(false, None);
    assert!(usage < 200, "without a slot: {usage} MB");
    assert!(!streams);
    let removed = |n: &Pg| matches!(n, Pg::ReceiverLost { why: Lost::Refused(why) } if matches!(why, firedrill::proto::postgres::msg::Refusal::Removed(_)));
    assert!(r.told(B, Time::ZERO, removed).is_some());
    let (usage, streams, r) = kept(true, Some(Size::gb(1)));
    assert!(usage < 1_300, "max_slot_wal_keep_size: {usage} MB");
    assert!(!streams);
    assert!(r.told(A, Time::ZERO, |n| n.mark() == Some("slot_lost")).is_some());
}

#[test]
fn two_that_are_started_as_primaries_write_two_histories_of_one_timeline() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    r.signal(B, Signal::Int);
    r.until(Span::secs(2), |r| !r.up(B));
    r.data_mut(B).conf.standby_signal = false;
    r.start(B);
    r.until(Span::secs(2), |r| writable(r, B));
    let (a, b) = (r.session(A), r.session(B));
    r.on(Span::ms(50));
    r.write(a);
    r.write_bytes(b, 40);
    r.on(Span::ms(50));
    let (in_a, in_b) = (r.acked(a)[0].1, r.acked(b)[0].1);
    assert!(r.data(A).contains(in_a) && !r.data(B).contains(in_a));
    assert!(r.data(B).contains(in_b) && !r.data(A).contains(in_b));
    assert_eq!((r.status(A).timeline, r.status(B).timeline), (1, 1), "the number tells nothing");
}

// ---- what the specification says in words ------------------------------------------------------------------------------

#[test]
fn remote_levels_wait_for_what_they_are_named_after() {
    for (level, stops_with_frozen_disk) in [
        (SynchronousCommit::Local, false),
        (SynchronousCommit::RemoteWrite, false),
        (SynchronousCommit::On, true),
        (SynchronousCommit::RemoteApply, true),
    ] {
        let mut r = Run::new(2, |_, c| {
            c.synchronous_commit = level;
            c.synchronous_standby_names = "b".into();
        });
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        let slow = SpanRange::exactly(Span::secs(5));
        r.op(|w, _| w.hosts[B as usize].disk.slow = Some(slow));
        r.write(app);
        r.on(Span::ms(100));
        assert_eq!(r.acked(app).is_empty(), stops_with_frozen_disk, "{level:?}");
        r.on(Span::secs(5));
        assert_eq!(r.acked(app).len(), 1, "{level:?}");
    }
    // What `remote_apply` acknowledged is seen on the standby; what `on` acknowledged may not be yet.
    for (level, seen_at_once) in [(SynchronousCommit::On, false), (SynchronousCommit::RemoteApply, true)] {
        let mut r = Run::new(2, |_, c| {
            c.synchronous_commit = level;
            c.synchronous_standby_names = "b".into();
            c.replay_rate = Size::mb(1);
        });
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        r.write_bytes(app, 1 << 20);
        r.until(Span::secs(3), |r| !r.acked(app).is_empty());
        let (at, place) = r.acked(app)[0];
        let Sql::Done(_, Answer::Seen(seen)) = r.answer(B, Statement::Read) else { panic!("a read") };
        assert_eq!(seen.lsn >= place.lsn, seen_at_once, "{level:?} at {at}");
    }
}

#[test]
fn commits_that_come_during_a_flush_share_the_next_one() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    let apps: Vec<Pid> = (0..40).map(|_| r.session(A)).collect();
    r.on(Span::ms(50));
    let slow = SpanRange::exactly(Span::ms(500));
    r.op(|w, _| w.hosts[A as usize].disk.slow = Some(slow));
    let start = r.now();
    for app in &apps {
        r.write(*app);
    }
    r.on(Span::ms(1_010));
    for app in apps {
        let acked = r.acked(app);
        assert!(acked[0].0.since(start) <= Span::ms(1_005), "one of two flushes");
    }
}

#[test]
fn a_full_disk_fails_writes_and_keeps_the_rest_working() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    let app = r.session(A);
    r.on(Span::ms(50));
    r.write(app);
    r.on(Span::ms(50));
    r.op(|w, _| w.hosts[A as usize].disk.full = true);
    let end = r.data(A).end;
    r.write(app);
    r.on(Span::ms(50));
    assert!(matches!(r.last(app), Some(Heard::Sql(Sql::Error(1, SqlState::DiskFull)))));
    assert_eq!(r.data(A).end, end, "nothing of it stays");
    assert!(matches!(r.answer(A, Statement::Read), Sql::Done(..)));
    r.op(|w, _| w.hosts[A as usize].disk.full = false);
    r.write(app);
    r.on(Span::ms(50));
    assert_eq!(r.acked(app).len(), 2);
    let committed = r.notes(A).filter(|n| matches!(n.1, Pg::Committed { .. })).count();
    assert_eq!(committed, 2);
}

#[test]
fn a_slot_can_fill_the_disk_and_end_the_server() {
    let mut r = Run::new(1, |n, c| {
        c.wal_disk = (n == A).then_some(Size::gb(1));
        c.max_wal_size = Size::mb(128);
        if n == A {
            c.background_wal_rate = Size::mb(20);
            c.background_wal_interval = Span::ms(100);
        }
    });
    r.to(Time::ms(50));
    r.data_mut(A).slots.insert("dead".into(), Default::default());
    r.data_mut(A).slots.get_mut("dead").unwrap().restart = Some(Lsn(0x500_0000));
    let end = r.until(Span::secs(60), |r| r.told(A, Time::ZERO, |n| matches!(n, Pg::Panic { .. })).is_some());
    assert!((48.0..=54.0).contains(&secs(end.since(Time::ZERO))), "{end}");
    r.on(Span::secs(1));
    assert!(!r.up(A) && !r.data(A).clean());
    r.start(A);
    r.on(Span::secs(20));
    assert!(!r.up(A), "recovery needs room as well");
}

#[test]
fn a_standby_that_comes_back_finds_its_slot_in_use_until_the_old_walsender_is_dropped() {
    for seed in 1..=10 {
        let mut r = Run::new(seed, |n, c| {
            c.primary_slot_name = (n == B).then(|| "b".into());
            // The dead connection is not given away by TCP either: its next retransmission is far off.
            c.wal_receiver_status_interval = Span::secs(10);
        });
        r.to(Time::ms(50));
        r.data_mut(A).slots.insert("b".into(), Default::default());
        r.to(Time::secs(30));
        assert!(r.streams(A, "b"));
        let cut = r.now();
        r.cut(B, &[A]);
        r.on(Span::ms(500));
        r.kill(B);
        r.on(Span::secs(1));
        r.heal();
        r.start(B);
        let back = r.until(Span::secs(70), |r| r.told(B, cut, |n| n.mark() == Some("rejoined")).is_some());
        let active = |n: &Pg| matches!(n, Pg::ReceiverLost { why: Lost::Refused(w) } if *w == firedrill::proto::postgres::msg::Refusal::SlotActive);
        assert!(r.told(B, cut, active).is_some());
        let dropped = r.told(A, cut, |n| matches!(n, Pg::SenderGone { .. })).unwrap();
        assert!(back >= dropped && back.since(dropped) <= Span::ms(5_010), "{}", back.since(dropped));
        assert!(dropped.since(cut) >= Span::secs(19), "{}", dropped.since(cut));
    }
}

#[test]
fn two_promotions_of_two_standbys_have_one_number_and_two_histories() {
    for seed in 1..=10 {
        let mut r = Run::new(seed, |_, _| {});
        calm(&mut r);
        let app = r.session(A);
        r.on(Span::ms(50));
        r.write(app);
        r.on(Span::ms(50));
        r.power_off(A);
        r.cut(B, &[C]);
        r.promote(B);
        r.promote(C);
        r.until(Span::secs(2), |r| writable(r, B) && writable(r, C));
        let (b, c) = (r.session(B), r.session(C));
        r.on(Span::ms(50));
        r.write(b);
        r.write_bytes(c, 50);
        r.on(Span::ms(50));
        assert_eq!((r.status(B).timeline, r.status(C).timeline), (2, 2));
        let (in_b, in_c) = (r.acked(b)[0].1, r.acked(c)[0].1);
        assert!(r.data(B).contains(in_b) && !r.data(C).contains(in_b));
        assert!(r.data(C).contains(in_c) && !r.data(B).contains(in_c));
        r.heal();
        // By the numbers c needs no rewind; it never streams all the same.
        r.answer(B, Statement::Checkpoint);
        let identity = r.identity(B);
        r.signal(C, Signal::Int);
        r.until(Span::secs(2), |r| !r.up(C));
        assert_eq!(DataDir::needs_rewind(&r.data(C).local(), &identity), Rewind::NotNeeded);
        r.follow(C, B);
        r.start(C);
        r.on(Span::secs(20));
        assert!(!r.streams(B, "c"));
        let hidden = |n: &Pg| {
            use firedrill::proto::postgres::msg::Refusal as R;
            matches!(
                n,
                Pg::ReceiverLost { why: Lost::Refused(R::Diverged { by_number: false, .. } | R::Ahead(_)) }
            )
        };
        assert!(r.told(C, Time::ZERO, hidden).is_some());
        // A base backup makes it a standby again.
        r.signal(C, Signal::Int);
        r.until(Span::secs(2), |r| !r.up(C));
        let conf = r.data(C).conf.clone();
        r.data_mut(C).base_backup_begins();
        r.data_mut(C).base_backup(&identity);
        assert_eq!(r.data(C).conf, conf);
        let takes = r.data(C).base_backup_takes(&identity);
        assert!((10.0..=10.5).contains(&secs(takes)), "1 GB at 100 MB/s: {takes}");
        r.start(C);
        r.on(Span::secs(7));
        assert!(r.streams(B, "c"));
        assert!(!r.data(C).contains(in_c) && r.data(C).contains(in_b));
    }
}

#[test]
fn a_standby_follows_its_upstream_through_a_promotion() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    r.follow(C, B);
    r.on(Span::secs(1));
    assert!(r.streams(B, "c"), "a standby sends as well");
    let app = r.session(A);
    r.on(Span::ms(50));
    r.write(app);
    r.on(Span::ms(50));
    assert_eq!(r.data(C).end, r.data(A).end);
    r.power_off(A);
    r.promote(B);
    r.until(Span::secs(2), |r| writable(r, B));
    r.on(Span::ms(200));
    assert!(r.streams(B, "c"));
    assert_eq!(r.status(C).timeline, 2);
    let b = r.session(B);
    r.on(Span::ms(50));
    r.write(b);
    r.on(Span::ms(50));
    assert_eq!(r.data(C).place(), r.data(B).place());
}

#[test]
fn a_standby_with_fewer_connections_stops_replaying_and_does_not_start_again() {
    let mut r = Run::new(1, |n, c| c.max_connections = if n == B { 50 } else { 100 });
    calm(&mut r);
    let app = r.session(A);
    r.on(Span::ms(50));
    r.write(app);
    r.on(Span::secs(1));
    let s = r.status(B);
    assert!(s.received > s.replayed, "received, not applied");
    r.signal(B, Signal::Int);
    r.until(Span::secs(2), |r| !r.up(B));
    r.start(B);
    r.on(Span::secs(1));
    assert!(!r.up(B));
    assert!(r.told(B, Time::ZERO, |n| matches!(n, Pg::CannotStart { .. })).is_some());
}

#[test]
fn a_smart_stop_waits_for_clients_and_a_fast_one_may_follow() {
    let mut r = Run::new(1, |_, _| {});
    calm(&mut r);
    let app = r.session(A);
    r.on(Span::ms(50));
    r.signal(A, Signal::Term);
    r.on(Span::secs(100));
    r.write(app);
    r.on(Span::ms(50));
    assert_eq!(r.acked(app).len(), 1, "who is in may go on");
    assert_eq!(r.answer(A, Statement::Read), Sql::Fatal(SqlState::CannotConnectNow));
    r.signal(A, Signal::Int);
    r.until(Span::secs(1), |r| !r.up(A));
    assert!(r.data(A).clean());
    assert_eq!(SqlState::CannotConnectNow.code(), "57P03");
}

#[test]
fn a_delayed_standby_shows_what_is_old() {
    let mut r = Run::new(1, |n, c| {
        if n == B {
            c.recovery_min_apply_delay = Span::secs(30);
        }
    });
    calm(&mut r);
    let app = r.session(A);
    r.on(Span::ms(50));
    r.write(app);
    r.on(Span::ms(50));
    let place = r.acked(app)[0].1;
    r.on(Span::ms(29_800));
    let seen = |r: &mut Run, n| match r.answer(n, Statement::Read) {
        Sql::Done(_, Answer::Seen(place)) => place,
        other => panic!("{other:?}"),
    };
    assert!(seen(&mut r, B).lsn < place.lsn);
    assert!(seen(&mut r, C).lsn >= place.lsn);
    r.on(Span::ms(400));
    assert!(seen(&mut r, B).lsn >= place.lsn);
}

#[test]
fn a_kill_during_a_flush_keeps_what_was_written_and_the_power_takes_it() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 1..=10 {
        for power in [false, true] {
            let mut r = Run::new(seed, |_, _| {});
            calm(&mut r);
            let app = r.session(A);
            r.on(Span::ms(50));
            let slow = SpanRange::exactly(Span::ms(500));
            r.op(|w, _| w.hosts[A as usize].disk.slow = Some(slow));
            r.write(app);
            r.on(Span::ms(100));
            if power {
                r.power_off(A)
            } else {
                r.kill(A)
            }
            r.on(Span::ms(5));
            assert!(r.acked(app).is_empty());
            if power {
                r.boot(A)
            } else {
                r.start(A)
            }
            r.until(Span::secs(5), |r| writable(r, A));
            // The ledger learns of what nobody was told.
            match r
                .notes(A)
                .find_map(|n| if let Pg::Committed { place, .. } = n.1 { Some(*place) } else { None })
            {
                Some(place) => {
                    assert!(!power && r.data(A).contains(place));
                    kept += 1;
                }
                None => lost += 1,
            }
        }
    }
    assert_eq!((kept, lost), (10, 10));
}

/// A primary, a standby of it with a slot, and a host beside them, as a file says it.
const STACK: &str = r#"Stack(
    about: "PostgreSQL by itself",
    networks: { "lan": (latency: "100us..300us", subnet: "10.0.0.0/24") },
    hosts: {
        "db1": (runs: [Postgres(synchronous_standby_names: "db2", wal_keep_size: "128MB")]),
        "db2": (runs: [Postgres(primary_conninfo: "db1", primary_slot_name: "db2")]),
    },
)"#;

#[test]
fn a_stack_without_patroni_says_who_follows_whom() {
    use firedrill::proto::Daemon;
    use firedrill::scenario::types::{Drill, Stack};
    use firedrill::scenario::{build, load};
    let (stack, _) = load::read::<Stack>("stack.ron", STACK).map_err(|r| r.render(false)).unwrap();
    let drill = "Drill(about: \"\", stack: \"\", until: \"60s\")";
    let (drill, _) = load::read::<Drill>("drill.ron", drill).map_err(|r| r.render(false)).unwrap();
    let mut sim = build::build(&stack, &drill, 1, Level::Story);
    sim.run_until(Time::secs(20));
    let w = &sim.model.world;
    let pg = |n: usize| match &w.procs[n].logic {
        Daemon::Postgres(p) => p,
        other => panic!("{other:?}"),
    };
    assert!(pg(0).writable() && !pg(1).writable());
    let slot = &w.hosts[0].files.pg.slots["db2"];
    assert!(slot.active && slot.restart == Some(w.hosts[1].files.pg.flushed));
    assert_eq!(w.hosts[0].files.pg.physics.wal_keep_size, 128 << 20);
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_reason() {
    let check = |from: &str, to: &str| {
        assert!(STACK.contains(from));
        firedrill::scenario::load::check_stack("stack.ron".into(), STACK.replace(from, to)).render(false)
    };
    assert_eq!(check("lan", "lan"), "");
    for (from, to, part) in [
        ("\"db2\", wal", "\"FIRST 0 (db2)\", wal", "not a number of standbys"),
        ("\"db2\", wal", "\"db3\", wal", "runs no PostgreSQL"),
        ("\"db2\", wal", "\"ANY 2 (db2)\", wal", "commits hang"),
        ("\"128MB\"", "\"128\"", "a size needs a unit"),
        ("\"128MB\"", "\"128MiB\"", "not a unit of size"),
        ("primary_conninfo: \"db1\"", "primary_conninfo: \"db11\"", "did you mean `db1`?"),
        ("primary_conninfo: \"db1\"", "primary_conninfo: \"db2\"", "cannot follow itself"),
        ("wal_keep_size: \"128MB\"", "max_connections: 3", "nobody else gets in"),
        ("wal_keep_size: \"128MB\"", "wal_writer_delay: \"20s\"", "from 1ms to 10s"),
        ("wal_keep_size: \"128MB\"", "replay_rate: \"0B\"", "at least 1kB"),
        (
            "[Postgres(synchronous_standby_names: \"db2\"",
            "[Patroni(), Postgres(synchronous_standby_names: \"db2\"",
            "Patroni sets",
        ),
    ] {
        let said = check(from, to);
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}
