//! Pacemaker clusters for tests, and what became of them.
#![allow(dead_code)]

use firedrill::engine::{Span, SpanRange, Time};
use firedrill::node::log::Level;
use firedrill::proto::crm::config::Operator;
use firedrill::scenario::types::{At, Drill, Fault, FreezeClock, FreezeMode, Stack, Target};
use firedrill::trace::run::{Run, run};

/// Nodes h1, h2, ... with a BMC each, and an address.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) n: usize,
    pub(crate) version: String,
    pub(crate) settings: Vec<String>,
    pub(crate) properties: String,
    pub(crate) device: String,
    pub(crate) monitor: String,
    pub(crate) meta: String,
    pub(crate) delay_h1: String,
    pub(crate) delay_h2: String,
    pub(crate) location: bool,
    pub(crate) dummy: bool,
    /// A BMC for each node, with a fence device for it.
    pub(crate) bmcs: bool,
    /// `Sbd(..)` on every node, with a watchdog; or nothing.
    pub(crate) sbd: String,
    /// Hosts, resources, constraints and levels besides the usual ones.
    pub(crate) more_hosts: String,
    pub(crate) more_resources: String,
    pub(crate) more_constraints: String,
    pub(crate) topology: String,
    /// `times:` of the cluster.
    pub(crate) times: String,
    /// `rsc_defaults`.
    pub(crate) defaults: String,
}
fn nodes(n: usize) -> Cluster {
    Cluster {
        n,
        version: "2.1.5".into(),
        settings: vec![String::new(); n],
        properties: String::new(),
        device: String::new(),
        monitor: "(name: \"monitor\", interval: \"10s\")".into(),
        meta: String::new(),
        delay_h1: String::new(),
        delay_h2: String::new(),
        location: false,
        dummy: false,
        bmcs: true,
        sbd: String::new(),
        more_hosts: String::new(),
        more_resources: String::new(),
        more_constraints: String::new(),
        topology: String::new(),
        times: String::new(),
        defaults: String::new(),
    }
}
pub(crate) fn trio() -> Cluster {
    nodes(3)
}
pub(crate) fn two() -> Cluster {
    let mut c = nodes(2);
    c.device = "off_time: \"20ms..200ms\", confirm_time: \"0s\"".into();
    c
}
impl Cluster {
    pub(crate) fn text(&self) -> String {
        let two = if self.n == 2 { ", two_node: true" } else { "" };
        let mut hosts = String::new();
        let mut resources = String::new();
        for i in 1..=self.n {
            let own = &self.settings[i - 1];
            let (dog, sbd) = match self.sbd.as_str() {
                "" => ("", String::new()),
                sbd => ("watchdog: Hardware, ", format!("{sbd}, ")),
            };
            hosts += &format!(
                "\"h{i}\": ({dog}runs: [Corosync(networks: [\"lan\"]{two}), {sbd}Pacemaker({own})]),"
            );
            if !self.bmcs {
                continue;
            }
            hosts += &format!(
                "\"bmc{i}\": (networks: [\"mgmt\"], runs: [FenceDevice(hosts: [\"h{i}\"], {})]),",
                self.device
            );
            let delay = [&self.delay_h1, &self.delay_h2].get(i - 1).map_or("", |d| d.as_str());
            resources += &format!(
                "Primitive(id: \"fence-h{i}\", agent: \"stonith:fence_ipmilan\", params: {{ \"ip\": \"bmc{i}\", \"pcmk_host_list\": \"h{i}\", {delay} }}),"
            );
        }
        resources += &format!(
            "Primitive(id: \"vip\", agent: \"ocf:heartbeat:IPaddr2\", params: {{ \"ip\": \"10.0.0.100\" }}, op: [{}], meta: {{ {} }}),",
            self.monitor, self.meta
        );
        let mut constraints = "Location(rsc: \"vip\", node: \"h1\", score: \"100\"),".to_owned();
        if self.dummy {
            resources += "Primitive(id: \"other\", agent: \"ocf:pacemaker:Dummy\", op: [(name: \"monitor\", interval: \"1s\")]),";
            constraints += "Location(rsc: \"other\", node: \"h3\", score: \"100\"),";
        }
        hosts += &self.more_hosts;
        resources += &self.more_resources;
        constraints += &self.more_constraints;
        format!(
            "(about: \"test\", networks: {{ \"lan\": (subnet: \"10.0.0.0/24\"), \"mgmt\": (subnet: \"10.9.0.0/24\") }}, hosts: {{ {hosts} }},
              pacemaker: (version: \"{}\", properties: {{ {} }}, rsc_defaults: {{ {} }}, resources: [{resources}], constraints: [{constraints}], fencing_topology: [{}], times: ({})))",
            self.version, self.properties, self.defaults, self.topology, self.times
        )
    }
    pub(crate) fn stack(&self) -> Stack {
        let text = self.text();
        firedrill::scenario::load::read("test", &text)
            .unwrap_or_else(|e| panic!("{}\n{text}", e.render(false)))
            .0
    }
    pub(crate) fn run(&self, until: u64, faults: Vec<At>, seed: u64) -> Run {
        let drill = Drill {
            about: String::new(),
            stack: String::new(),
            until: Span::ms(until),
            seed,
            set: std::collections::BTreeMap::new(),
            faults,
            expect: Vec::new(),
            measured: None,
        };
        run(&self.stack(), &drill, seed, Level::Story, true)
    }
}
pub(crate) fn at(ms: u64, fault: Fault) -> At {
    At::At(SpanRange::exactly(Span::ms(ms)), fault)
}
pub(crate) fn host(name: &str) -> Target {
    Target::Host(name.to_owned())
}
pub(crate) fn hosts(names: &[&str]) -> Target {
    Target::Hosts(names.iter().map(|n| (*n).to_owned()).collect())
}
pub(crate) fn off(name: &str) -> Fault {
    Fault::PowerOff { target: host(name) }
}
pub(crate) fn cut(a: &[&str], b: &[&str]) -> Fault {
    Fault::Cut { target: hosts(a), from: hosts(b), plane: None }
}
pub(crate) fn heal() -> Fault {
    Fault::Heal { target: None }
}
pub(crate) fn dies(on: &str, resource: &str) -> Fault {
    Fault::ResourceDies { target: host(on), resource: resource.to_owned() }
}
pub(crate) fn fails(on: &str, resource: &str, operation: &str) -> Fault {
    Fault::AgentFails {
        target: host(on),
        resource: resource.to_owned(),
        operation: operation.to_owned(),
        hangs: false,
    }
}
pub(crate) fn crm(command: Operator) -> Fault {
    Fault::Crm { command }
}
pub(crate) fn freeze(name: &str, seconds: u64) -> Fault {
    let lasts = Some(SpanRange::exactly(Span::secs(seconds)));
    Fault::Freeze { target: host(name), mode: FreezeMode::Lost, clock: FreezeClock::Runs, lasts }
}
/// When an invariant was broken: from and to, in milliseconds after this.
pub(crate) fn broken(r: &Run, invariant: &str, from: u64) -> Vec<(u64, u64)> {
    let ms = |t: Time| t.since(Time::ms(from)).as_ms();
    r.violations.iter().filter(|v| v.invariant == invariant).map(|v| (ms(v.from), ms(v.to))).collect()
}
/// What was seen of it.
pub(crate) fn seen(r: &Run, invariant: &str) -> String {
    r.violations
        .iter()
        .filter(|v| v.invariant == invariant)
        .map(|v| v.detail.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}
/// The marks of a kind on a host from a time on, in milliseconds after it, with their words.
pub(crate) fn marks(r: &Run, kind: &str, on: &str, from: u64) -> Vec<(u64, String)> {
    let from = Time::ms(from);
    r.marks
        .iter()
        .filter(|m| m.kind == kind && m.at >= from && (on.is_empty() || r.host(m.host) == on))
        .map(|m| (m.at.since(from).as_ms(), m.text.clone()))
        .collect()
}
/// The first of them.
pub(crate) fn first(r: &Run, kind: &str, on: &str, from: u64) -> u64 {
    marks(r, kind, on, from).first().map_or_else(|| panic!("no {kind} on {on}: {:#?}", story(r)), |m| m.0)
}
/// The host of the last DC that was elected.
pub(crate) fn last_dc(r: &Run) -> String {
    let m = r
        .marks
        .iter()
        .rev()
        .find(|m| m.kind == "leader_elected")
        .unwrap_or_else(|| panic!("no DC: {:#?}", story(r)));
    r.host(m.host).to_owned()
}
pub(crate) fn stop(on: &str) -> Fault {
    Fault::Stop { target: host(on), process: "pacemakerd".to_owned() }
}
pub(crate) fn start(on: &str) -> Fault {
    Fault::Start { target: host(on), process: "pacemakerd".to_owned() }
}
pub(crate) fn kill(on: &str, process: &str) -> Fault {
    Fault::Kill { target: host(on), process: process.to_owned(), all: false }
}
/// All marks, for a test that fails.
pub(crate) fn story(r: &Run) -> Vec<String> {
    r.marks.iter().map(|m| format!("{} {} {} {} ({})", m.at, m.kind, r.host(m.host), m.text, m.why)).collect()
}
