//! A laboratory for pgpool: a stack out of RON text, faults at the moment that a test wants, and what the processes told.
#![allow(dead_code, unreachable_pub)] // Each test file uses its own part of it.

use firedrill::engine::{SEC, Span, Time};
use firedrill::node::log::{Level, What};
use firedrill::node::process::{HostId, Pid};
use firedrill::proto::client::process::{Note as Ended, Outcome};
use firedrill::proto::pgpool::note::Note as Pool;
use firedrill::proto::pgpool::route::Rule;
use firedrill::proto::pgpool::{Pgpool, Shared};
use firedrill::proto::postgres::TableState;
use firedrill::proto::{Daemon, Note};
use firedrill::scenario::load::read;
use firedrill::scenario::types::{Drill, Fault, Stack};
use firedrill::scenario::{build, lint};
use firedrill::sim::Sim;
use std::sync::Arc;

/// Database hosts `n1` to `n3`, a host `pool` with a pgpool, and hosts with programs.
#[derive(Clone)]
pub struct Plan {
    pub nodes: usize,
    /// The others stream from `n1`.
    pub streaming: bool,
    /// Settings of every PostgreSQL, and of single ones.
    pub postgres: String,
    pub own: Vec<(usize, String)>,
    pub pgpool: String,
    /// Programs: host `app`.
    pub apps: Vec<String>,
    pub latency: &'static str,
    /// What is said of database hosts.
    pub host: &'static str,
}
impl Plan {
    pub fn new(nodes: usize, pgpool: &str) -> Plan {
        Plan {
            nodes,
            streaming: true,
            postgres: String::new(),
            own: Vec::new(),
            pgpool: pgpool.to_owned(),
            apps: Vec::new(),
            latency: "100us..300us",
            host: "",
        }
    }
    pub fn native(pgpool: &str) -> Plan {
        let mode = format!("backend_clustering_mode: native_replication, {pgpool}");
        Plan { streaming: false, ..Plan::new(3, &mode) }
    }
    pub fn app(mut self, settings: &str) -> Plan {
        self.apps.push(format!("connect: \"pool:9999\", {settings}"));
        self
    }
    pub fn direct(mut self, settings: &str) -> Plan {
        self.apps.push(settings.to_owned());
        self
    }
    pub fn text(&self) -> String {
        let mut hosts = String::new();
        for n in 1..=self.nodes {
            let follows = if self.streaming && n > 1 { "primary_conninfo: \"n1\", " } else { "" };
            let own: String = self.own.iter().filter(|o| o.0 == n).map(|o| format!("{}, ", o.1)).collect();
            let (p, h) = (&self.postgres, self.host);
            hosts += &format!("\"n{n}\": (runs: [Postgres({follows}{own}{p})], {h}),\n");
        }
        hosts += &format!("\"pool\": (runs: [Pgpool({})]),\n", self.pgpool);
        let apps: Vec<String> = self.apps.iter().map(|a| format!("Application({a})")).collect();
        if !apps.is_empty() {
            hosts += &format!("\"app\": (runs: [{}]),\n", apps.join(", "));
        }
        let latency = self.latency;
        format!(
            "Stack(about: \"a test\", networks: {{\"lan\": (latency: \"{latency}\")}}, hosts: {{\n{hosts}}})"
        )
    }
    pub fn lab(&self, seed: u64) -> Lab {
        let text = self.text();
        let (stack, tree) = match read::<Stack>("stack.ron", &text) {
            Ok(r) => r,
            Err(r) => panic!("{}\n{text}", r.render(false)),
        };
        let found = lint::stack(&stack, &tree);
        if let Some(e) = found.iter().find(|d| !d.warning) {
            panic!("{}\n{text}", e.message);
        }
        let drill = "Drill(about: \"a test\", stack: \"here\", until: \"10d\")";
        let (drill, _) = read::<Drill>("drill.ron", drill).unwrap_or_else(|r| panic!("{}", r.render(false)));
        let sim = build::build(&stack, &drill, seed, Level::Story);
        Lab { sim, log: Vec::new(), full: Vec::new(), faults: 0 }
    }
}

/// A run.
pub struct Lab {
    pub sim: Sim,
    pub log: Vec<(Time, HostId, Note)>,
    /// SYNs that were dropped.
    pub full: Vec<Time>,
    faults: u16,
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
                    (_, What::QueueFull(..)) => self.full.push(e.at),
                    _ => continue,
                }
                news = true;
            }
            if news && stop(self) {
                return true;
            }
        }
    }
    pub fn to(&mut self, seconds: f64) {
        self.until(Time((seconds * SEC as f64) as u64), |_| false);
    }
    pub fn host(&self, name: &str) -> HostId {
        self.sim.model.world.find_host(name).unwrap_or_else(|| panic!("no host {name}"))
    }
    pub fn shared(&self) -> &Shared {
        &self.sim.model.world.host(self.host("pool")).files.pgpool
    }
    pub fn table(&self, host: &str, table: &str) -> TableState {
        let files = &self.sim.model.world.host(self.host(host)).files;
        files.pg.tables.get(table).copied().unwrap_or_default()
    }
    pub fn pid(&self, host: &str, name: &str) -> Pid {
        let h = self.host(host);
        self.sim.model.world.find_proc(h, name).unwrap_or_else(|| panic!("no process {name}"))
    }
    pub fn kill(&mut self, host: &str, name: &str) {
        let pid = self.pid(host, name);
        let Sim { model, sched } = &mut self.sim;
        model.world.kill(pid, sched);
        model.world.log.entries.clear();
    }
    pub fn fault(&mut self, fault: Fault) {
        self.faults += 1;
        let Sim { model, sched } = &mut self.sim;
        firedrill::fault::apply(&mut model.world, &fault, self.faults, &[], sched);
        // What is told at once is told too.
        let at = self.sim.sched.now();
        for e in self.sim.model.world.log.entries.drain(..) {
            if let (Some(host), What::Note(n)) = (e.host, e.what) {
                self.log.push((at, host, n));
            }
        }
    }
    /// What pgpool told.
    pub fn pool(&self) -> impl Iterator<Item = (Time, &Pool)> {
        self.log
            .iter()
            .filter_map(|(at, _, n)| if let Note::Pgpool(p) = n { Some((*at, &**p)) } else { None })
    }
    /// Where statements went: text, node (none: several), rule.
    pub fn routed(&self) -> Vec<(Time, Arc<str>, Option<u8>, Rule)> {
        self.pool()
            .filter_map(|(at, n)| match n {
                Pool::Routed { text, node, rule, .. } => Some((at, text.clone(), *node, *rule)),
                _ => None,
            })
            .collect()
    }
    /// Operations of programs that ended: when, and how.
    pub fn ended(&self) -> Vec<(Time, Ended)> {
        self.log
            .iter()
            .filter_map(|(at, _, n)| if let Note::Client(e) = n { Some((*at, *e)) } else { None })
            .collect()
    }
    /// How long each operation took, in seconds, and whether it was answered.
    pub fn took(&self) -> Vec<(f64, bool)> {
        let ok = |e: &Ended| matches!(e.outcome, Outcome::Ok(_));
        self.ended().iter().map(|(at, e)| (secs(at.since(e.sent)), ok(e))).collect()
    }
    /// Hits and misses of the caches, session by session: user, whether it was a hit.
    pub fn sessions(&self) -> Vec<(Arc<str>, bool)> {
        self.pool()
            .filter_map(|(_, n)| match n {
                Pool::Session { user, hit, .. } => Some((user.clone(), *hit)),
                _ => None,
            })
            .collect()
    }
    pub fn misses(&self) -> usize {
        self.sessions().iter().filter(|s| !s.1).count()
    }
}

/// Seconds as a number to compare.
pub fn secs(d: Span) -> f64 {
    d.0 as f64 / SEC as f64
}
/// A pgpool as it is configured by nobody.
pub fn defaults() -> Pgpool {
    Pgpool::default()
}
/// Whether a process of this kind is among those of a host.
pub fn is_pgpool(d: &Daemon) -> bool {
    matches!(d, Daemon::Pgpool(_))
}
