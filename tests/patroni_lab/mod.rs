//! A laboratory for Patroni: a stack out of RON text, faults at the moment that a test wants, and what the processes told.
#![allow(dead_code, unreachable_pub)] // Each test file uses its own part of it.

use firedrill::engine::{MS, SEC, Span, Time};
use firedrill::fault;
use firedrill::net::Plane;
use firedrill::node::log::{Level, What};
use firedrill::node::process::{HostId, Signal};
use firedrill::node::world::{Life, Power};
use firedrill::proto::consul::msg as consul;
use firedrill::proto::etcd::msg as etcd;
use firedrill::proto::http::{Http, Method};
use firedrill::proto::patroni::note::Note as Pat;
use firedrill::proto::patroni::rest::Body;
use firedrill::proto::patroni::{Agent, Kind};
use firedrill::proto::postgres::Postmaster;
use firedrill::proto::raft::{Member, Role as RaftRole};
use firedrill::proto::{Daemon, Msg, Note};
use firedrill::scenario::load::read;
use firedrill::scenario::types::{Drill, Fault, Stack, Target};
use firedrill::scenario::{build, lint};
use firedrill::sim::Sim;
use std::sync::Arc;

/// Which DCS a stack has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A member of etcd beside each Patroni.
    Etcd,
    /// Members of etcd on hosts of their own.
    EtcdApart,
    /// Consul servers on hosts of their own, an agent beside each Patroni.
    Consul,
    /// A Consul server beside each Patroni.
    ConsulHere,
}

/// A stack of database hosts `db1`, `db2`, ...: settings of Patroni and PostgreSQL for all, and for single hosts.
pub struct Plan {
    pub store: Store,
    pub nodes: usize,
    pub patroni: String,
    pub postgres: String,
    /// Settings of one Patroni: host, settings.
    pub own: Vec<(usize, String)>,
    /// Settings of a database host.
    pub host: String,
    pub sysctl: String,
    pub dcs: String,
    /// More hosts.
    pub more: String,
}
impl Plan {
    pub fn new(store: Store) -> Plan {
        Plan {
            store,
            nodes: 3,
            patroni: String::new(),
            postgres: "background_wal_rate: \"20kB\", background_wal_interval: \"150ms\"".to_owned(),
            own: Vec::new(),
            host: String::new(),
            // The ARP entry of a dead host outlives its lease: to connect to it takes the whole timeout.
            sysctl: "base_reachable_time: \"120s\"".to_owned(),
            dcs: String::new(),
            more: String::new(),
        }
    }
    pub fn text(&self) -> String {
        let mut hosts = String::new();
        for n in 1..=self.nodes {
            let own: String = self.own.iter().filter(|o| o.0 == n).map(|o| format!("{}, ", o.1)).collect();
            let dcs = match self.store {
                Store::Etcd => format!("Etcd({}), ", self.dcs),
                Store::EtcdApart => String::new(),
                Store::Consul => "Consul(), ".to_owned(),
                Store::ConsulHere => format!("Consul(server: true, {}), ", self.dcs),
            };
            let (patroni, postgres, host, sysctl) = (&self.patroni, &self.postgres, &self.host, &self.sysctl);
            hosts += &format!(
                "\"db{n}\": (runs: [{dcs}Postgres({postgres}), Patroni({own}{patroni})], \
                 sysctl: ({sysctl}), {host}),\n"
            );
        }
        if matches!(self.store, Store::EtcdApart | Store::Consul) {
            for n in 1..=3 {
                let daemon = match self.store {
                    Store::Consul => format!("Consul(server: true, {})", self.dcs),
                    _ => format!("Etcd({})", self.dcs),
                };
                hosts += &format!("\"dcs{n}\": (runs: [{daemon}]),\n");
            }
        }
        hosts += &self.more;
        format!("Stack(about: \"a test\", networks: {{\"lan\": ()}}, hosts: {{\n{hosts}}})")
    }
    pub fn stack(&self) -> (Stack, Vec<String>) {
        let text = self.text();
        let (stack, tree) = match read::<Stack>("stack.ron", &text) {
            Ok(r) => r,
            Err(r) => panic!("{}", r.render(false)),
        };
        let found = lint::stack(&stack, &tree);
        if let Some(e) = found.iter().find(|d| !d.warning) {
            panic!("{}\n{text}", e.message);
        }
        (stack, found.into_iter().map(|d| d.message).collect())
    }
    pub fn lab(&self, seed: u64) -> Lab {
        let (stack, _) = self.stack();
        let drill = "Drill(about: \"a test\", stack: \"here\", until: \"10d\")";
        let (drill, _) = read::<Drill>("drill.ron", drill).unwrap_or_else(|r| panic!("{}", r.render(false)));
        let sim = build::build(&stack, &drill, seed, Level::Story);
        Lab { sim, log: Vec::new(), resets: Vec::new(), faults: 0, seed }
    }
    /// A run in which a cluster stands and some random time has gone by since.
    pub fn settled(&self, seed: u64) -> (Lab, HostId) {
        let mut lab = self.lab(seed);
        lab.settle(12.0 + phase(seed));
        let a = lab.writables()[0];
        (lab, a)
    }
}

/// A run.
pub struct Lab {
    pub sim: Sim,
    pub log: Vec<(Time, HostId, Note)>,
    /// Hosts that their watchdog reset.
    pub resets: Vec<(Time, HostId)>,
    faults: u16,
    pub seed: u64,
}

/// Between 0 and 10 s, evenly spread over the seeds.
pub fn phase(seed: u64) -> f64 {
    (seed as f64 * 0.618_033_988_749_895).fract() * 10.0
}

/// Seconds as a number to compare.
pub fn secs(d: Span) -> f64 {
    d.0 as f64 / SEC as f64
}
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

impl Lab {
    pub fn now(&self) -> Time {
        self.sim.sched.now()
    }
    /// Lets it run to this time, or until the condition holds.
    pub fn until(&mut self, limit: Time, mut stop: impl FnMut(&Lab) -> bool) -> bool {
        loop {
            if !self.sim.step(limit) {
                self.sim.run_until(limit);
                return false;
            }
            let mut news = false;
            for e in &self.sim.model.world.log.entries {
                match (e.host, &e.what) {
                    (Some(host), What::Note(n)) => self.log.push((e.at, host, n.clone())),
                    (Some(host), What::WatchdogReset(_)) => self.resets.push((e.at, host)),
                    _ => continue,
                }
                news = true;
            }
            if news && stop(self) {
                return true;
            }
        }
    }
    pub fn to(&mut self, at: Time) {
        self.until(at, |_| false);
    }
    pub fn run(&mut self, seconds: f64) {
        let at = self.now() + Span((seconds * SEC as f64) as u64);
        self.to(at);
    }
    /// The host of this name.
    pub fn host(&self, name: &str) -> HostId {
        let all = &self.sim.model.world.hosts;
        HostId(all.iter().position(|h| h.name == name).unwrap_or_else(|| panic!("no host {name}")) as u16)
    }
    pub fn name(&self, host: HostId) -> &str {
        &self.sim.model.world.host(host).name
    }
    fn daemon(&self, host: HostId, is: impl Fn(&Daemon) -> bool) -> Option<usize> {
        let world = &self.sim.model.world;
        world.host(host).procs.iter().map(|p| p.0 as usize).find(|p| is(&world.procs[*p].logic))
    }
    pub fn patroni(&self, host: HostId) -> &Agent {
        let i = self.daemon(host, |d| matches!(d, Daemon::Patroni(_))).expect("a Patroni");
        match &self.sim.model.world.procs[i].logic {
            Daemon::Patroni(a) => a,
            _ => unreachable!(),
        }
    }
    pub fn postgres(&self, host: HostId) -> &Postmaster {
        let i = self.daemon(host, |d| matches!(d, Daemon::Postgres(_))).expect("a PostgreSQL");
        match &self.sim.model.world.procs[i].logic {
            Daemon::Postgres(p) => p,
            _ => unreachable!(),
        }
    }
    pub fn dbs(&self) -> Vec<HostId> {
        let world = &self.sim.model.world;
        (0..world.hosts.len() as u16)
            .map(HostId)
            .filter(|h| self.daemon(*h, |d| matches!(d, Daemon::Patroni(_))).is_some())
            .collect()
    }
    /// Whether its PostgreSQL takes writes, not counting one whose host is off.
    pub fn writable(&self, host: HostId) -> bool {
        self.sim.model.world.host(host).power == Power::On && self.postgres(host).writable()
    }
    pub fn writables(&self) -> Vec<HostId> {
        self.dbs().into_iter().filter(|h| self.writable(*h)).collect()
    }
    pub fn wall(&self, host: HostId) -> i64 {
        self.now().0 as i64 + self.sim.model.world.host(host).clock_offset
    }
    /// Whether the host's Patroni believes to hold the lock.
    pub fn believes(&self, host: HostId) -> bool {
        self.patroni(host).believes_leader(self.wall(host))
    }
    /// The host whose store leads.
    pub fn dcs_leader(&self) -> Option<HostId> {
        let world = &self.sim.model.world;
        let alive = |h: HostId| world.host(h).power == Power::On;
        (0..world.hosts.len() as u16).map(HostId).filter(|h| alive(*h)).find(|h| {
            world.host(*h).procs.iter().any(|p| {
                let proc = world.proc(*p);
                proc.life == Life::Running
                    && match &proc.logic {
                        Daemon::Etcd(e) => e.raft().role() == RaftRole::Leader,
                        Daemon::ConsulServer(c) => c.raft().role() == RaftRole::Leader,
                        _ => false,
                    }
            })
        })
    }
    /// What the stores say of the leader key: the newest of what their members have applied.
    pub fn key(&self) -> Option<String> {
        let world = &self.sim.model.world;
        let mut best: (u64, Option<String>) = (0, None);
        for p in &world.procs {
            if p.life != Life::Running {
                continue;
            }
            match &p.logic {
                Daemon::Etcd(e) => {
                    let s = e.store();
                    if s.revision() >= best.0 {
                        let kv = s.range("/service/main/leader");
                        best = (s.revision(), kv.first().map(|k| k.value.to_string()));
                    }
                }
                Daemon::ConsulServer(c) => {
                    let s = c.state();
                    if s.index() >= best.0 {
                        let (keys, _) = s.keys("service/main/leader");
                        best = (s.index(), keys.first().map(|k| k.value.to_string()));
                    }
                }
                _ => {}
            }
        }
        best.1
    }
    /// The lease or session of the leader key.
    pub fn key_session(&self) -> Option<u64> {
        let world = &self.sim.model.world;
        world.procs.iter().filter(|p| p.life == Life::Running).find_map(|p| match &p.logic {
            Daemon::Etcd(e) => e.store().get("/service/main/leader")?.lease.map(|l| l.0),
            Daemon::ConsulServer(c) => c.state().keys("service/main/leader").0.first()?.session.map(|s| s.0),
            _ => None,
        })
    }
    /// An operator's request to an etcd member.
    pub fn etcd(&mut self, ask: etcd::Request) {
        let leader = self.dcs_leader().expect("a leader");
        let i = self.daemon(leader, |d| matches!(d, Daemon::Etcd(..))).expect("an etcd");
        let msg = Msg::Etcd(Box::new(etcd::Msg::Request(0, ask)));
        let Sim { model, sched } = &mut self.sim;
        model.world.call(firedrill::node::process::Pid(i as u16), msg, sched);
    }
    /// Deletes a key below `/service/main/`.
    pub fn delete(&mut self, key: &str) {
        let leader = self.dcs_leader().expect("a leader");
        if let Some(i) = self.daemon(leader, |d| matches!(d, Daemon::ConsulServer(..))) {
            let ask = consul::Request::Delete(format!("service/main/{key}").as_str().into(), None);
            let msg = Msg::Consul(Box::new(consul::Msg::Request(0, Arc::new(ask))));
            let Sim { model, sched } = &mut self.sim;
            return model.world.call(firedrill::node::process::Pid(i as u16), msg, sched);
        }
        let op = etcd::Op::Delete(format!("/service/main/{key}").as_str().into());
        self.etcd(etcd::Request::Txn(Arc::new(etcd::Txn { then: vec![op], ..etcd::Txn::default() })));
    }
    /// Moves the leadership of etcd to the n-th member.
    pub fn move_leader(&mut self, n: u8) {
        self.etcd(etcd::Request::MoveLeader(Member(n)));
    }
    /// What the REST interface of a host answers to this health check now.
    pub fn rest(&mut self, host: HostId, path: &str) -> Option<u16> {
        let from = self.now();
        self.call(host, Method::GET, path, None);
        let answered = |l: &Lab| {
            l.log.iter().rev().take_while(|(at, ..)| *at >= from).find_map(|(_, h, n)| match n {
                Note::Patroni(Pat::Answered { status, .. }) if *h == host => Some(*status),
                _ => None,
            })
        };
        self.until(from + Span::secs(2), |l| answered(l).is_some());
        answered(self)
    }
    /// Changes the dynamic configuration.
    pub fn patch(&mut self, host: HostId, json: &str) {
        self.call(host, Method::PATCH, "/config", Some(Body::Config(json.into())));
    }
    /// Cuts one plane between two hosts.
    pub fn cut_plane(&mut self, a: HostId, b: HostId, plane: Plane) {
        self.fault(Fault::Cut { target: self.target(a), from: self.target(b), plane: Some(plane) });
    }
    /// Where the WAL of a host ends.
    pub fn end(&self, host: HostId) -> u64 {
        self.sim.model.world.host(host).files.pg.end.0
    }
    pub fn timeline(&self, host: HostId) -> u32 {
        self.sim.model.world.host(host).files.pg.control.history.timeline()
    }
    /// The other database hosts.
    pub fn others(&self, host: HostId) -> Vec<HostId> {
        self.dbs().into_iter().filter(|h| *h != host).collect()
    }
    /// Hosts of the store that run no Patroni.
    pub fn stores(&self) -> Vec<HostId> {
        let dbs = self.dbs();
        (0..self.sim.model.world.hosts.len() as u16).map(HostId).filter(|h| !dbs.contains(h)).collect()
    }
    /// Applies a fault now.
    pub fn fault(&mut self, f: Fault) {
        self.faults += 1;
        let n = self.faults;
        let Sim { model, sched } = &mut self.sim;
        model.world.log.entries.clear();
        fault::apply(&mut model.world, &f, n, &[], sched);
    }
    pub fn target(&self, host: HostId) -> Target {
        Target::Host(self.name(host).to_owned())
    }
    pub fn power_off(&mut self, host: HostId) {
        self.fault(Fault::PowerOff { target: self.target(host) });
    }
    pub fn power_on(&mut self, host: HostId) {
        self.fault(Fault::PowerOn { target: self.target(host) });
    }
    pub fn kill(&mut self, host: HostId, process: &str) {
        self.fault(Fault::Kill { target: self.target(host), process: process.to_owned(), all: true });
    }
    pub fn start(&mut self, host: HostId, process: &str) {
        self.fault(Fault::Start { target: self.target(host), process: process.to_owned() });
    }
    pub fn pause(&mut self, host: HostId, process: &str) {
        self.fault(Fault::Pause { target: self.target(host), process: process.to_owned() });
    }
    pub fn resume(&mut self, host: HostId, process: &str) {
        self.fault(Fault::Resume { target: self.target(host), process: process.to_owned() });
    }
    /// Cuts a host off from everybody.
    pub fn cut(&mut self, host: HostId) {
        self.fault(Fault::Cut { target: self.target(host), from: Target::Everyone, plane: None });
    }
    pub fn heal(&mut self) {
        self.fault(Fault::Heal { target: None });
    }
    pub fn signal(&mut self, host: HostId, signal: Signal) {
        let i = self.daemon(host, |d| matches!(d, Daemon::Patroni(_))).expect("a Patroni");
        let Sim { model, sched } = &mut self.sim;
        model.world.signal(firedrill::node::process::Pid(i as u16), signal, sched);
    }
    /// An operator's call on a host's Patroni.
    pub fn call(&mut self, host: HostId, method: Method, path: &str, body: Option<Body>) {
        let i = self.daemon(host, |d| matches!(d, Daemon::Patroni(_))).expect("a Patroni");
        let msg = Msg::Http(Http::Request(method, path.into(), body.map(Arc::new)));
        let Sim { model, sched } = &mut self.sim;
        model.world.call(firedrill::node::process::Pid(i as u16), msg, sched);
    }
    /// The first note of Patroni at or after a time that fits, and its host.
    pub fn told(&self, after: Time, fits: impl Fn(&str, &Pat) -> bool) -> Option<(Time, HostId)> {
        let mine = self.log.iter().filter(|(at, ..)| *at >= after);
        mine.filter_map(|(at, h, n)| match n {
            Note::Patroni(p) if fits(self.name(*h), p) => Some((*at, *h)),
            _ => None,
        })
        .next()
    }
    /// When somebody became owner of the key by the race.
    pub fn elected(&self, after: Time) -> Option<(Time, HostId)> {
        self.told(after, |_, n| matches!(n, Pat::Elected { .. }))
    }
    /// When a PostgreSQL was promoted.
    pub fn promoted(&self, after: Time) -> Option<(Time, HostId)> {
        let it = self.log.iter().filter(|(at, ..)| *at >= after);
        it.filter(|(.., n)| matches!(n, Note::Postgres(p) if p.mark() == Some("promoted")))
            .map(|(at, h, _)| (*at, *h))
            .next()
    }
    pub fn mark(&self, after: Time, kind: &str, host: HostId) -> Option<Time> {
        let it = self.log.iter().filter(|(at, h, _)| *at >= after && *h == host);
        it.filter(|(.., n)| n.mark() == Some(kind)).map(|(at, ..)| *at).next()
    }
    pub fn demoting(&self, after: Time, host: HostId) -> Option<(Time, Kind)> {
        self.log.iter().filter(|(at, h, _)| *at >= after && *h == host).find_map(|(at, _, n)| match n {
            Note::Patroni(Pat::Demoting { kind, .. }) => Some((*at, *kind)),
            _ => None,
        })
    }
    /// Runs until a cluster stands: one primary, all others streaming, at least `settle` seconds longer.
    pub fn settle(&mut self, settle: f64) -> HostId {
        let all = self.dbs().len();
        let up = |l: &Lab| {
            let w = l.writables();
            w.len() == 1
                && l.dbs().iter().filter(|h| l.patroni(**h).state().word() == "running").count() == all
                && l.streaming(w[0]) == all - 1
        };
        for _ in 0..240 {
            if up(self) {
                self.run(settle);
                return self.writables()[0];
            }
            self.run(0.5);
        }
        self.dump(Time::ZERO);
        panic!("no cluster: {:?}", self.writables());
    }
    /// How many standbys a primary has.
    pub fn streaming(&self, host: HostId) -> usize {
        let primary = self.sim.model.world.host(host);
        let all = self.dbs().into_iter().filter(|h| *h != host);
        all.filter(|h| {
            let pg = &self.sim.model.world.host(*h).files.pg;
            pg.control.timeline == primary.files.pg.control.timeline
                && primary.files.pg.slots.get(self.name(*h)).is_some_and(|s| s.active)
        })
        .count()
    }
    /// What the DNS server of a host says of a name.
    pub fn addresses(&self, host: HostId, name: &str) -> Vec<firedrill::net::addr::Ip> {
        let i = self.daemon(host, |d| matches!(d, Daemon::Dns(_))).expect("a DNS server");
        match &self.sim.model.world.procs[i].logic {
            Daemon::Dns(d) => d.addresses(name).to_vec(),
            _ => unreachable!(),
        }
    }
    /// Connections that wait for a stopped Patroni.
    pub fn accept_queue(&self, host: HostId) -> usize {
        use firedrill::node::process::{Input, Tcp};
        let i = self.daemon(host, |d| matches!(d, Daemon::Patroni(_))).expect("a Patroni");
        let inbox = &self.sim.model.world.procs[i].inbox;
        inbox.iter().filter(|i| matches!(i, Input::Tcp(_, Tcp::Accepted { .. }))).count()
    }
    /// The story since a time, for a test that fails.
    pub fn dump(&self, after: Time) {
        for (at, h, n) in self.log.iter().filter(|(at, ..)| *at >= after) {
            let (what, why) = n.text();
            if n.mark().is_some() || matches!(n, Note::Patroni(_)) {
                eprintln!("{at} {} {what} | {why}", self.name(*h));
            }
        }
    }
    pub fn ms(d: Span) -> u64 {
        d.0 / MS
    }
}
