//! Bundles: containers that the cluster starts, each with an address and, for a resource inside, a connection to the node that it is.
//!
//! Of one `<bundle>` come, for every replica: the container (`NAME-podman-0`), the address (`NAME-ip-192.0.2.1`), the connection and node
//! (`NAME-0`), and an instance of a clone of the resource inside (`NAME-clone`, or `NAME-master` if it is promoted).
//!
//! Source: "Pacemaker Explained" 2.1, bundles. Defaults: `replicas` 1 or `promoted-max`, `replicas-per-host` 1, `promoted-max` 0, port 3121,
//! `host-netmask` 32.

use super::actions::by_action;
use super::model::{Discovery, Kind, Location, NodeIx, Role, RscIx, Sched, Slot, ord};
use super::remote::{Implied, connection, operation};
use super::score::INF;
use super::sets::boolean;
use super::story::Cause;
use super::unpack::at_least;
use super::xml::{Element, XmlError};
use std::sync::Arc;

/// Replicas that a bundle may have: probes order each of them after all the others.
pub const REPLICAS_MAX: i32 = 200;

const PORT: &str = "3121";
const KEY: &str = "/etc/pacemaker/authkey";
const LOGS: &str = "/var/log/pacemaker/bundles";
const DAEMON: &str = "/usr/sbin/pacemaker-remoted";

/// One replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replica {
    /// The container.
    pub container: RscIx,
    /// Its address.
    pub ip: Option<RscIx>,
    /// The connection to the node that it is.
    pub remote: Option<RscIx>,
    /// The instance inside.
    pub child: Option<RscIx>,
    /// The node.
    pub node: Option<NodeIx>,
}

/// What is special about a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bundle {
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// The clone of the resource inside.
    pub child: Option<RscIx>,
    /// Replicas.
    pub count: i32,
    /// Replicas on one host.
    pub per_host: i32,
}

struct Mount {
    source: String,
    target: String,
    options: Option<String>,
    subdirectory: bool,
}

/// A bundle's settings.
struct Settings<'a> {
    e: &'a Element,
    agent: &'a Element,
    promoted_max: i32,
    count: i32,
    per_host: i32,
    network: Option<&'a Element>,
    mounts: Vec<Mount>,
    ports: Vec<(String, String)>,
}

impl<'a> Settings<'a> {
    fn of(e: &'a Element) -> Option<Settings<'a>> {
        let agent = ["docker", "rkt", "podman"].iter().find_map(|a| e.child(a))?;
        let count = |names: &[&str], least: i32| {
            names.iter().find_map(|n| agent.get(n)).map_or(least, |v| at_least(v, least))
        };
        let promoted_max = count(&["promoted-max", "masters"], 0);
        let replicas = match agent.get("replicas") {
            None if promoted_max > 0 => promoted_max,
            _ => count(&["replicas"], 1),
        };
        let network = e.child("network");
        let mut ports = Vec::new();
        for p in network.iter().flat_map(|n| &n.children) {
            let (source, target) = match p.get("port") {
                Some(port) => (Some(port), p.get("internal-port")),
                None => (p.get("range"), None),
            };
            if let Some(source) = source.filter(|s| !s.is_empty()) {
                ports.push((source.to_owned(), target.unwrap_or(source).to_owned()));
            }
        }
        let mut mounts = Vec::new();
        for m in e.child("storage").iter().flat_map(|s| &s.children) {
            let source = m.get("source-dir").or_else(|| m.get("source-dir-root"));
            if let (Some(source), Some(target)) = (source, m.get("target-dir")) {
                mounts.push(Mount {
                    source: source.to_owned(),
                    target: target.to_owned(),
                    options: m.get("options").map(str::to_owned),
                    subdirectory: m.get("source-dir").is_none(),
                });
            }
        }
        let per_host = count(&["replicas-per-host"], 1);
        Some(Settings { e, agent, promoted_max, count: replicas, per_host, network, mounts, ports })
    }

    fn net(&self, key: &str) -> Option<&'a str> {
        self.network.and_then(|n| n.get(key))
    }

    /// Whether the resource inside can be reached.
    fn reachable(&mut self) -> bool {
        if self.net("ip-range-start").is_some() {
            return true;
        }
        if self.net("control-port").is_some() {
            self.per_host = self.per_host.min(1);
            return true;
        }
        false
    }

    /// The addresses of the replicas.
    fn addresses(&self) -> Vec<Option<String>> {
        let start = self.net("ip-range-start");
        let mut last: Option<String> = None;
        (0..self.count.max(0))
            .map(|_| {
                last = match &last {
                    Some(l) => next_address(l),
                    None => start.map(str::to_owned),
                };
                last.clone()
            })
            .collect()
    }

    /// The options by which containers find each other.
    fn hosts(&self, addresses: &[Option<String>]) -> String {
        let add_host = self.net("add-host").and_then(boolean) != Some(false) && self.agent.name != "rkt";
        addresses.iter().enumerate().filter_map(|(k, a)| a.as_ref().map(|a| (k, a))).fold(
            String::new(),
            |out, (k, a)| {
                let name = format!("{}-{k}", self.e.id());
                out + &if add_host {
                    format!(" --add-host={name}:{a}")
                } else {
                    format!(" --hosts-entry={a}={name}")
                }
            },
        )
    }

    /// The options with which the container is started, and the directories that are made for it.
    fn run_options(&self, k: usize, address: Option<&str>, hosts: &str) -> (String, String) {
        let rkt = self.agent.name == "rkt";
        let prefix = self.e.id();
        let (host, env) = if rkt { ("--hostname=", "--environment=") } else { ("-h ", "-e ") };
        let mut out = String::new();
        if self.agent.name == "docker" {
            out += " --restart=no";
        }
        if self.net("ip-range-start").is_some() {
            out += &format!(" {host}{prefix}-{k}");
        }
        out += &format!(" {env}PCMK_stderr=1");
        let net = self.agent.get("network");
        if let Some(net) = net {
            out += &format!(" --net={net}");
        }
        out += &format!(" {env}PCMK_remote_port={}", self.net("control-port").unwrap_or(PORT));
        let mut made = Vec::new();
        for (volume, m) in self.mounts.iter().enumerate() {
            let source = if m.subdirectory { format!("{}/{prefix}-{k}", m.source) } else { m.source.clone() };
            if m.subdirectory {
                made.push(source.clone());
            }
            let options = m.options.as_deref().unwrap_or_default();
            out += &if rkt {
                let comma = if m.options.is_some() { "," } else { "" };
                let target = &m.target;
                format!(
                    " --volume vol{volume},kind=host,source={source}{comma}{options} --mount volume=vol{volume},target={target}"
                )
            } else {
                let colon = if m.options.is_some() { ":" } else { "" };
                format!(" -v {source}:{}{colon}{options}", m.target)
            };
        }
        for (source, target) in &self.ports {
            out += &match (rkt, address) {
                (true, Some(a)) => format!(" --port={target}:{a}:{source}"),
                (true, None) => format!(" --port={target}:{source}"),
                (false, Some(a)) => format!(" -p {a}:{source}:{target}"),
                (false, None) if net == Some("host") => String::new(),
                (false, None) => format!(" -p {source}:{target}"),
            };
        }
        if let Some(options) = self.agent.get("options") {
            out += &format!(" {options}");
        }
        (out + " " + hosts, made.join(","))
    }

    fn container(&self, k: usize, address: Option<&str>, hosts: &str, inside: bool) -> Element {
        let agent = self.agent.name.as_str();
        let id = clean(&format!("{}-{agent}-{k}", self.e.id()));
        let (options, made) = self.run_options(k, address, hosts);
        let command = self.agent.get("run-command").or(inside.then_some(DAEMON));
        let parameters = [
            ("image", self.agent.get("image")),
            ("allow_pull", Some("true")),
            ("force_kill", Some("false")),
            ("reuse", Some("false")),
            ("run_opts", Some(options.as_str())),
            ("mount_points", Some(made.as_str())),
            ("run_cmd", command),
            ("monitor_cmd", Some("/bin/true")),
        ];
        self.primitive(&id, agent, k, &parameters)
    }

    fn address(&self, k: usize, address: &str) -> Element {
        let id = clean(&format!("{}-ip-{address}", self.e.id()));
        let parameters = [
            ("ip", Some(address)),
            ("nic", self.net("host-interface")),
            ("cidr_netmask", Some(self.net("host-netmask").unwrap_or("32"))),
        ];
        self.primitive(&id, "IPaddr2", k, &parameters)
    }

    fn primitive(&self, id: &str, agent: &str, k: usize, parameters: &[(&str, Option<&str>)]) -> Element {
        let set = format!("{}-attributes-{k}", self.e.id());
        let pairs = parameters.iter().filter_map(|(n, v)| {
            v.map(|v| Element::new("nvpair", &[("id", &format!("{set}-{n}")), ("name", n), ("value", v)]))
        });
        let mut e = Element::new(
            "primitive",
            &[("id", id), ("class", "ocf"), ("provider", "heartbeat"), ("type", agent)],
        )
        .with([
            Element::new("instance_attributes", &[("id", &set)]).with(pairs.collect::<Vec<_>>()),
            Element::new("operations", &[]).with([operation(id, "monitor", "60s", None)]),
        ]);
        e.line = self.e.line;
        e
    }

    /// The clone of the resource inside.
    fn clone_of(&self, inside: &Element) -> Element {
        let prefix = self.e.id();
        let name = if self.promoted_max > 0 { "master" } else { "clone" };
        let set = format!("{prefix}-clone-meta");
        let mut meta = vec![
            ("ordered", "true".to_owned()),
            ("clone-max", self.count.to_string()),
            ("clone-node-max", self.per_host.to_string()),
            ("globally-unique", (self.per_host > 1).to_string()),
        ];
        if self.promoted_max > 0 {
            meta.push(("promotable", "true".to_owned()));
            meta.push(("promoted-max", self.promoted_max.to_string()));
        }
        let pairs = meta.iter().map(|(n, v)| {
            Element::new("nvpair", &[("id", &format!("{set}-{n}")), ("name", n), ("value", v)])
        });
        let mut e = Element::new("clone", &[("id", &format!("{prefix}-{name}"))]).with([
            Element::new("meta_attributes", &[("id", &set)]).with(pairs.collect::<Vec<_>>()),
            inside.clone(),
        ]);
        e.line = self.e.line;
        e
    }
}

fn clean(id: &str) -> String {
    id.replace([':', '#'], ".")
}

/// The address after one; none if the third number would be above 254.
fn next_address(last: &str) -> Option<String> {
    let parts: Option<Vec<u32>> = last.split('.').map(|p| p.parse().ok()).collect();
    let [a, b, c, d] = parts?[..] else { return None };
    let (c, d) = match d {
        _ if c > 253 => return None,
        254.. => (c + 1, 1),
        d => (c, d + 1),
    };
    Some(format!("{a}.{b}.{c}.{d}"))
}

/// The nodes that a bundle will make.
pub(super) fn node_names(e: &Element) -> Vec<String> {
    let Some(mut s) = Settings::of(e) else { return Vec::new() };
    if e.child("primitive").is_none() || !s.reachable() {
        return Vec::new();
    }
    (0..s.count.min(REPLICAS_MAX)).map(|k| format!("{}-{k}", e.id())).collect()
}

impl Sched {
    /// The bundle around an outermost resource.
    pub(super) fn bundle_of(&self, r: RscIx) -> Option<RscIx> {
        self.rscs[r].parent.filter(|p| self.rscs[*p].kind == Kind::Bundle)
    }

    /// What a collection is judged by: the containers of a bundle, else what is in it.
    pub(super) fn instances(&self, r: RscIx) -> Vec<RscIx> {
        match &self.rscs[r].bundle {
            Some(b) => b.replicas.iter().map(|x| x.container).collect(),
            None => self.rscs[r].children.clone(),
        }
    }

    fn replicas(&self, r: RscIx) -> Vec<Replica> {
        self.rscs[r].bundle.as_ref().map(|b| b.replicas.clone()).unwrap_or_default()
    }

    /// The instance in the replica that a node is.
    pub(super) fn replica_child(&self, bundle: RscIx, n: NodeIx) -> Option<RscIx> {
        self.rscs[bundle].bundle.as_ref()?.replicas.iter().find(|x| x.node == Some(n))?.child
    }

    /// Makes the resources of a bundle.
    pub(super) fn unpack_bundle(&mut self, r: RscIx) -> Result<bool, XmlError> {
        let xml = self.rscs[r].xml.clone();
        let Some(mut s) = Settings::of(&xml) else {
            self.warn(&xml, "a bundle needs `<docker>`, `<podman>` or `<rkt>`");
            return Ok(false);
        };
        if s.count > REPLICAS_MAX {
            return Err(XmlError {
                line: xml.line,
                text: format!("more than {REPLICAS_MAX} replicas of a bundle"),
            });
        }
        if s.per_host == 1 {
            self.rscs[r].unique = false;
        }
        let inside = xml.child("primitive");
        let mut bundle = Bundle::default();
        let mut children: Vec<Option<RscIx>> = vec![None; usize::try_from(s.count).unwrap_or(0)];
        if let Some(inside) = inside {
            if !s.reachable() {
                self.warn(
                    &xml,
                    "the resource inside cannot be reached without `ip-range-start` or `control-port`",
                );
                return Ok(false);
            }
            let clone = s.clone_of(inside);
            let Some(child) = self.unpack(Arc::new(clone), Some(r), None)? else { return Ok(false) };
            bundle.child = Some(child);
            let has_log = s.mounts.iter().any(|m| m.target == "/var/log");
            let mount = |source: &str, target: &str, subdirectory| Mount {
                source: source.into(),
                target: target.into(),
                options: None,
                subdirectory,
            };
            s.mounts.push(mount(KEY, KEY, false));
            if !has_log {
                s.mounts.push(mount(LOGS, "/var/log", true));
            }
            let port = s.net("control-port").unwrap_or(PORT).to_owned();
            s.ports.push((port.clone(), port));
            children = self.rscs[child].children.iter().map(|c| Some(*c)).collect();
            for c in children.iter().flatten() {
                self.rscs[*c].exclusive_discovery = true;
                self.rscs[child].notify |= self.rscs[*c].notify;
            }
            if let Some(target) = children
                .last()
                .copied()
                .flatten()
                .and_then(|c| self.rscs[c].meta.get("container-attribute-target").cloned())
            {
                for x in [r, child] {
                    self.rscs[x].meta.insert("container-attribute-target".into(), target.clone());
                }
            }
        }
        (bundle.count, bundle.per_host) = (s.count, s.per_host);
        let addresses = s.addresses();
        let hosts = s.hosts(&addresses);
        for (k, child) in children.into_iter().enumerate() {
            let address = addresses.get(k).cloned().flatten();
            let Some(replica) = self.unpack_replica(r, &s, k, child, address.as_deref(), &hosts)? else {
                return Ok(false);
            };
            bundle.replicas.push(replica);
        }
        if let Some(c) = bundle.child {
            self.rscs[r].children.push(c);
        }
        self.rscs[r].bundle = Some(Box::new(bundle));
        Ok(true)
    }

    fn unpack_replica(
        &mut self,
        r: RscIx,
        s: &Settings<'_>,
        k: usize,
        child: Option<RscIx>,
        address: Option<&str>,
        hosts: &str,
    ) -> Result<Option<Replica>, XmlError> {
        let container = s.container(k, address, hosts, child.is_some());
        let Some(container) = self.unpack(Arc::new(container), Some(r), None)? else { return Ok(None) };
        self.rscs[r].children.push(container);
        let mut ip = None;
        if let Some(a) = address {
            ip = self.unpack(Arc::new(s.address(k, a)), Some(r), None)?;
            self.rscs[r].children.extend(ip);
        }
        let mut replica = Replica { container, ip, remote: None, child, node: None };
        if let Some(c) = child {
            let name = format!("{}-{k}", s.e.id());
            let id = self.rscs[container].id.clone();
            let implied = Implied {
                name: &name,
                container: &id,
                server: Some(address.unwrap_or("#uname")),
                port: Some(s.net("control-port").unwrap_or(PORT)),
                ..Implied::default()
            };
            let e = connection(implied, s.e.line);
            if !self.unpack_connection(r, c, &mut replica, e)? {
                return Ok(None);
            }
            if let Some(a) = address {
                self.rscs[c].meta.entry("external-ip".into()).or_insert_with(|| a.to_owned());
            }
            let (x, y) = (
                std::mem::take(&mut self.rscs[c].utilization),
                std::mem::take(&mut self.rscs[container].utilization),
            );
            self.rscs[container].utilization = x;
            self.rscs[c].utilization = y;
        }
        Ok(Some(replica))
    }

    fn unpack_connection(
        &mut self,
        r: RscIx,
        child: RscIx,
        replica: &mut Replica,
        e: Element,
    ) -> Result<bool, XmlError> {
        let Some(n) = self.nodes.iter().position(|d| d.name.eq_ignore_ascii_case(e.id())) else {
            return Ok(false);
        };
        if self.find_rsc(e.id()).is_some() {
            self.warn(&e, format!("`{}` is the name of a replica's node and of a resource", e.id()));
            return Ok(false);
        }
        self.hide_node(n);
        for top in self.top.clone() {
            self.disallow(top, n);
        }
        replica.node = Some(n);
        let slot = Slot { score: 500, count: 0, discovery: Discovery::Exclusive };
        self.rscs[child].allowed.0.fill(None);
        self.rscs[child].allowed.0[n] = Some(slot);
        if let Some(p) = self.rscs[child].parent {
            self.rscs[p].allowed.0[n] = Some(Slot { score: -INF, ..slot });
        }
        let Some(remote) = self.unpack(Arc::new(e), Some(r), None)? else { return Ok(false) };
        for m in self.rscs[remote].allowed.nodes().collect::<Vec<_>>() {
            if self.nodes[m].remote {
                self.ban(remote, m, &Cause::NoRemote);
            }
        }
        self.nodes[n].connection = Some(remote);
        self.nodes[n].attributes.insert("#kind".into(), "container".into());
        self.rscs[remote].container = Some(replica.container);
        self.rscs[remote].nested = true;
        self.rscs[r].children.push(remote);
        replica.remote = Some(remote);
        Ok(true)
    }

    fn disallow(&mut self, r: RscIx, n: NodeIx) {
        if let Some(slot) = self.rscs[r].allowed.slot(n) {
            slot.score = -INF;
            slot.discovery = Discovery::Never;
        }
        for c in self.rscs[r].children.clone() {
            self.disallow(c, n);
        }
    }

    /// Applies a location constraint to what a bundle is made of.
    pub(super) fn locate_replicas(&mut self, r: RscIx, location: &Location, zero: bool) {
        for x in self.replicas(r) {
            for c in [Some(x.container), x.ip].into_iter().flatten() {
                self.apply_location(c, location, zero);
            }
        }
        let child = self.rscs[r].bundle.as_ref().and_then(|b| b.child);
        if let Some(c) = child.filter(|_| location.role > Role::Started) {
            self.apply_location(c, location, zero);
            if let Some(l) = self.locations.iter().position(|l| l == location) {
                self.rscs[c].locations.insert(0, l);
            }
        }
    }

    /// Places a bundle: containers, addresses, connections, and what is inside.
    pub(super) fn assign_bundle(&mut self, r: RscIx, prefer: Option<NodeIx>) {
        let Some(bundle) = self.rscs[r].bundle.clone() else { return };
        self.rscs[r].placing = true;
        self.print_scores(r, "bundle");
        let containers = self.sorted_instances(r);
        self.distribute(r, &containers, bundle.count, bundle.per_host);
        for x in &bundle.replicas {
            if let Some(ip) = x.ip {
                self.assign(ip, prefer);
            }
            let Some(remote) = x.remote else { continue };
            let host = self.rscs[x.container].assigned.map(|(h, _)| h).filter(|h| self.nodes[*h].remote);
            if let Some(other) = host.and_then(|h| self.nodes[h].connection) {
                self.tie("child-remote-with-docker-remote", remote, other, INF);
            }
            self.assign(remote, prefer);
            let (Some(child), Some(n)) = (x.child, x.node) else { continue };
            for m in self.rscs[child].allowed.nodes().collect::<Vec<_>>() {
                if m != n {
                    self.ban(child, m, &Cause::Replica);
                } else if self.failed_too_often(child, m).is_none() {
                    self.set_score(child, m, INF, &Cause::Replica);
                }
            }
            let clone = self.parent_of(child);
            self.rscs[clone].placing = true;
            self.assign(child, Some(n));
            self.rscs[clone].placing = false;
        }
        if let Some(c) = bundle.child {
            for n in self.rscs[c].allowed.nodes().collect::<Vec<_>>() {
                let own = bundle.replicas.iter().any(|x| x.node == Some(n));
                self.set_score(c, n, if own { 0 } else { -INF }, &Cause::Replica);
            }
            self.assign(c, prefer);
        }
        self.rscs[r].placing = false;
        self.rscs[r].provisional = false;
    }

    fn set_score(&mut self, r: RscIx, n: NodeIx, score: i32, cause: &Cause) {
        let before = self.rscs[r].allowed.get(n).map(|s| s.score);
        if let Some(slot) = self.rscs[r].allowed.slot(n) {
            slot.score = score;
            self.tell(r, n, before, score, cause);
        }
    }

    /// What a bundle orders and ties within itself.
    pub(super) fn order_bundle(&mut self, r: RscIx) {
        let Some(bundle) = self.rscs[r].bundle.clone() else { return };
        let (shown_first, shown_then) = (ord::IMPLIES_FIRST_SHOWN, ord::IMPLIES_THEN_SHOWN);
        if let Some(c) = bundle.child {
            self.order_tasks(r, "start", c, "start", shown_first);
            self.order_tasks(r, "stop", c, "stop", shown_first);
            self.order_tasks(c, "running", r, "running", shown_then);
            self.order_tasks(c, "stopped", r, "stopped", shown_then);
        }
        for x in &bundle.replicas {
            let container = x.container;
            self.order_inside(container);
            self.order_tasks(r, "start", container, "start", ord::RUNNABLE_LEFT | shown_first);
            if let Some(child) = x.child {
                self.order_tasks(r, "stop", child, "stop", shown_first);
            }
            self.order_tasks(r, "stop", container, "stop", shown_first);
            self.order_tasks(container, "start", r, "running", shown_then);
            self.order_tasks(container, "stop", r, "stopped", shown_then);
            if let Some(ip) = x.ip {
                self.order_inside(ip);
                self.order_tasks(ip, "start", container, "start", ord::RUNNABLE_LEFT | ord::PRESERVE);
                self.order_tasks(container, "stop", ip, "stop", ord::IMPLIES_FIRST | ord::PRESERVE);
                self.tie("ip-with-docker", ip, container, INF);
            }
            if let Some(remote) = x.remote {
                self.order_inside(remote);
            }
        }
        let Some(c) = bundle.child else { return };
        self.order_inside(c);
        if self.rscs[c].promotable {
            self.order_promotable_restart(r);
            self.order_tasks(c, "demoted", r, "demoted", shown_then);
            self.order_tasks(r, "demote", c, "demote", shown_first);
            self.order_tasks(c, "promoted", r, "promoted", shown_then);
            self.order_tasks(r, "promote", c, "promote", shown_first);
        }
    }

    /// Makes the actions of a bundle.
    pub(super) fn act_bundle(&mut self, r: RscIx) {
        let Some(bundle) = self.rscs[r].bundle.clone() else { return };
        for x in &bundle.replicas {
            for p in [x.ip, Some(x.container), x.remote].into_iter().flatten() {
                self.make_actions(p);
            }
        }
        let containers = self.instances(r);
        self.act_instances(r, &containers);
        let Some(c) = bundle.child else { return };
        self.make_actions(c);
        if self.rscs[c].promotable {
            for (task, end) in [("promote", "promoted"), ("demote", "demoted")] {
                self.pseudo_of(r, task, true, true);
                let end = self.pseudo_of(r, end, true, true);
                self.acts[end].priority = INF;
            }
        }
    }

    /// Plans the probes of a bundle on a node.
    pub(super) fn probe_bundle(&mut self, r: RscIx, n: NodeIx) -> bool {
        let Some(bundle) = self.rscs[r].bundle.clone() else { return false };
        let mut any = false;
        for x in &bundle.replicas {
            any |= x.ip.is_some_and(|ip| self.probe(ip, n));
            any |= x.node == Some(n) && x.child.is_some_and(|c| self.probe(c, n));
            if self.probe(x.container, n) {
                any = true;
                let others =
                    bundle.replicas.iter().filter(|o| bundle.per_host == 1 && o.container != x.container);
                for other in others {
                    self.order_tasks(
                        x.container,
                        "monitor",
                        other.container,
                        "start",
                        ord::OPTIONAL | ord::SAME_NODE,
                    );
                }
            }
            let Some(remote) = x.remote else { continue };
            if self.probe(remote, n) {
                let key = self.key_of(remote, "monitor");
                if let Some(probe) = self.newest(remote, Some(&key), None, Some(n)) {
                    any = true;
                    let first = self.by_task(x.container, "start");
                    self.order(
                        first,
                        super::model::Side { rsc: Some(remote), ..by_action(probe) },
                        ord::PROBE,
                    );
                }
            }
        }
        any
    }

    /// Applies a colocation with a bundle to a primitive.
    pub(super) fn apply_with_bundle(&mut self, dependent: RscIx, bundle: RscIx, c: usize) {
        if self.rscs[bundle].provisional {
            return;
        }
        let constraint = self.colocations[c].clone();
        if self.rscs[constraint.dependent].kind > Kind::Group {
            match self.partner(dependent, bundle, Role::Unknown, false) {
                Some(i) => self.apply_colocation(dependent, i, c, true),
                None if constraint.score >= INF => {
                    self.force(dependent, None);
                }
                None => {}
            }
            return;
        }
        let mut places = Vec::new();
        for x in self.replicas(bundle) {
            if constraint.score < INF {
                self.apply_colocation(dependent, x.container, c, false);
                continue;
            }
            let Some(place) = self.place(x.container, false) else { continue };
            if self.any_in(x.container, &|r| r.blocked) {
                continue;
            }
            if constraint.primary_role >= Role::Promoted {
                let promoted = x.child.is_some_and(|c| self.rscs[c].next_role >= Role::Promoted);
                if !promoted {
                    continue;
                }
            }
            places.insert(0, place);
        }
        if constraint.score >= INF {
            self.exclude_others(dependent, &places, false);
        }
    }

    /// The instance in a replica whose container this is, on a node that is the replica's.
    pub(super) fn inside_of(&self, bundle: RscIx, container: RscIx, n: Option<NodeIx>) -> Option<RscIx> {
        let n = n?;
        let replicas = &self.rscs[bundle].bundle.as_ref()?.replicas;
        replicas.iter().find(|x| x.container == container && x.node == Some(n))?.child
    }

    /// The address of a bundle's connection whose own is that of its host: the host's name.
    pub(super) fn bundle_address(&self, r: RscIx) -> Option<String> {
        if !self.needs_address(r) {
            return None;
        }
        let bundle = self.rscs[r].parent?;
        let x = self.rscs[bundle].bundle.as_ref()?.replicas.iter().find(|x| x.remote == Some(r))?;
        let host = self.rscs[x.container].assigned.map(|(n, _)| n).or_else(|| self.current(x.container))?;
        Some(self.nodes[host].name.clone())
    }

    /// Whether the address of a connection is known only when its container has a place.
    pub(super) fn needs_address(&self, r: RscIx) -> bool {
        if !self.rscs[r].connection {
            return false;
        }
        let mut all = std::collections::BTreeMap::new();
        self.parameters(r, None, &mut all);
        all.get("addr").is_some_and(|a| a.eq_ignore_ascii_case("#uname"))
    }

    /// Adds what is in a bundle to the graph.
    pub(super) fn bundle_to_graph(&mut self, r: RscIx, graph: &mut Vec<super::graph::Step>) {
        let Some(bundle) = self.rscs[r].bundle.clone() else { return };
        if let Some(c) = bundle.child {
            self.add_resource(c, graph);
        }
        for x in &bundle.replicas {
            for p in [x.ip, Some(x.container), x.remote].into_iter().flatten() {
                self.add_resource(p, graph);
            }
        }
    }

    /// What a summary lists of a bundle, in its order.
    pub(super) fn bundle_parts(&self, r: RscIx) -> Vec<RscIx> {
        self.replicas(r).iter().flat_map(|x| [x.ip, Some(x.container), x.remote, x.child]).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_follow_each_other() {
        assert_eq!(super::next_address("192.168.122.131").as_deref(), Some("192.168.122.132"));
        assert_eq!(super::next_address("192.168.122.254").as_deref(), Some("192.168.123.1"));
        assert_eq!(super::next_address("fd00::1"), None);
    }
}
