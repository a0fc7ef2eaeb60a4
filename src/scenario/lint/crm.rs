//! What can be wrong with Pacemaker and its cluster.

use super::Lint;
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::proto::crm::cib;
use crate::proto::crm::config::{Cloned, Cluster, Constraint, Operator, Primitive, Resource};
use crate::proto::pacemaker::cib::Cib;
use crate::proto::pacemaker::time::interval;
use crate::proto::sbd::Sbd;
use crate::scenario::build::crm::{PGSQL, nodes, sbd};
use crate::scenario::cib::Remark;
use crate::scenario::diag::nearest;
use crate::scenario::types::{Runs, Stack};
use std::collections::BTreeMap;

/// Cluster properties that Pacemaker 2.1 and 3.0 know.
const PROPERTIES: [&str; 37] = [
    "batch-limit",
    "cluster-delay",
    "cluster-infrastructure",
    "cluster-name",
    "cluster-recheck-interval",
    "concurrent-fencing",
    "dc-deadtime",
    "enable-acl",
    "enable-startup-probes",
    "fence-reaction",
    "have-watchdog",
    "load-threshold",
    "maintenance-mode",
    "migration-limit",
    "no-quorum-policy",
    "node-action-limit",
    "node-health-base",
    "node-health-green",
    "node-health-red",
    "node-health-strategy",
    "node-health-yellow",
    "placement-strategy",
    "priority-fencing-delay",
    "remove-after-stop",
    "shutdown-lock",
    "shutdown-lock-limit",
    "start-failure-is-fatal",
    "startup-fencing",
    "stonith-action",
    "stonith-enabled",
    "stonith-max-attempts",
    "stonith-timeout",
    "stonith-watchdog-timeout",
    "stop-all-resources",
    "stop-orphan-actions",
    "stop-orphan-resources",
    "symmetric-cluster",
];
/// Meta attributes of resources, groups and clones that Pacemaker 2.1 and 3.0 know.
const META: [&str; 29] = [
    "allow-migrate",
    "allow-unhealthy-nodes",
    "clone-max",
    "clone-min",
    "clone-node-max",
    "container-attribute-target",
    "critical",
    "description",
    "failure-timeout",
    "globally-unique",
    "interleave",
    "is-managed",
    "maintenance",
    "master-max",
    "master-node-max",
    "migration-threshold",
    "multiple-active",
    "notify",
    "ordered",
    "priority",
    "promotable",
    "promoted-max",
    "promoted-node-max",
    "provides",
    "remote-node",
    "requires",
    "resource-stickiness",
    "restart-type",
    "target-role",
];
/// Operations.
const OPERATIONS: [&str; 12] = [
    "monitor",
    "start",
    "stop",
    "promote",
    "demote",
    "notify",
    "migrate_to",
    "migrate_from",
    "reload",
    "reload-agent",
    "validate-all",
    "meta-data",
];
/// Values of `on-fail`.
const ON_FAIL: [&str; 8] =
    ["ignore", "block", "stop", "restart", "fence", "standby", "demote", "restart-container"];
/// Roles.
const ROLES: [&str; 6] = ["Started", "Stopped", "Promoted", "Unpromoted", "Master", "Slave"];
/// What agents there are.
const AGENTS: [&str; 5] =
    ["ocf:heartbeat:IPaddr2", PGSQL, "ocf:pacemaker:Dummy", "ocf:pacemaker:Stateful", "ocf:heartbeat:Dummy"];

fn suggest(word: &str, all: &[&str], what: &str) -> Option<String> {
    nearest(word, all.iter().copied())
        .map(|n| format!("did you mean `{n}`?"))
        .or_else(|| Some(format!("{what}: {}", all.join(", "))))
}

/// Pacemaker on a host.
pub(super) fn pacemaker(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str)) {
    if !stack.hosts[host].runs.iter().any(|r| matches!(r, Runs::Corosync(_))) {
        l.error(
            path,
            "Pacemaker needs Corosync on the same host",
            Some("add `Corosync()` before it".to_owned()),
        );
    }
    if stack.pacemaker.is_none() {
        let help = Some("add `pacemaker: (resources: [...])` to the stack".to_owned());
        l.error(path, "there is no configuration of the cluster", help);
    }
}

/// The cluster.
pub(super) fn cluster(l: &mut Lint<'_>, stack: &Stack, c: &Cluster) {
    let names: Vec<&str> = nodes(stack).iter().map(|n| n.1).collect();
    if names.is_empty() {
        l.error(
            "pacemaker",
            "no host runs Pacemaker",
            Some("add `Corosync(), Pacemaker()` to the hosts".to_owned()),
        );
    }
    if !matches!(c.version(), (2, 1, 5..=9) | (3, 0, _)) {
        l.error(
            "pacemaker.version",
            format!("the version `{}` is not modelled", c.version),
            Some("2.1.5 (to 2.1.9), 3.0".to_owned()),
        );
    }
    // A CIB in XML is checked where it is read: `scenario::cib`.
    if c.cib.is_some() {
        return;
    }
    for name in c.properties.keys() {
        if !PROPERTIES.contains(&name.as_str()) {
            let help = suggest(name, &PROPERTIES, "cluster properties");
            l.error(
                &format!("pacemaker.properties.{name}"),
                format!("Pacemaker has no cluster property `{name}`"),
                help,
            );
        }
    }
    if let Some(policy) = c.properties.get("no-quorum-policy") {
        let all = ["stop", "freeze", "ignore", "demote", "suicide", "fence"];
        if !all.contains(&policy.as_str()) {
            let help = suggest(policy, &all, "one of");
            l.error(
                "pacemaker.properties.no-quorum-policy",
                format!("no-quorum-policy cannot be `{policy}`"),
                help,
            );
        }
    }
    let ids = c.ids();
    resources(l, stack, c);
    let devices: Vec<&str> =
        c.primitives().iter().filter(|p| p.agent.starts_with("stonith:")).map(|p| p.id.as_str()).collect();
    for (i, k) in c.constraints.iter().enumerate() {
        let path = format!("pacemaker.constraints[{i}]");
        let (resources, node): (Vec<(&str, &String)>, Option<&String>) = match k {
            Constraint::Location { rsc, node, .. } => (vec![("rsc", rsc)], Some(node)),
            Constraint::Colocation { rsc, with_rsc, .. } => {
                (vec![("rsc", rsc), ("with_rsc", with_rsc)], None)
            }
            Constraint::Order { first, then, .. } => (vec![("first", first), ("then", then)], None),
        };
        for (field, r) in resources {
            if !ids.contains(&r.as_str()) {
                let path = format!("{path}.{field}");
                l.error(&path, format!("there is no resource `{r}`"), suggest(r, &ids, "resources"));
            }
        }
        if let Some(n) = node.filter(|n| !names.contains(&n.as_str())) {
            let path = format!("{path}.node");
            l.error(&path, format!("there is no node `{n}`"), suggest(n, &names, "nodes"));
        }
        let score = match k {
            Constraint::Location { score, .. } | Constraint::Colocation { score, .. } => Some(score),
            Constraint::Order { .. } => None,
        };
        let word = |s: &str| s.trim_start_matches(['+', '-']).eq_ignore_ascii_case("INFINITY");
        if let Some(s) = score.filter(|s| !word(s) && s.parse::<i32>().map_or(true, |n| n.abs() > 1_000_000))
        {
            let path = format!("{path}.score");
            l.error(&path, format!("the score `{s}` is not from -INFINITY (-1000000) to INFINITY"), None);
        }
    }
    for (i, level) in c.fencing_topology.iter().enumerate() {
        let path = format!("pacemaker.fencing_topology[{i}]");
        if !(1..=9).contains(&level.index) {
            let path = format!("{path}.index");
            l.error(&path, format!("the index of a level goes from 1 to 9, not {}", level.index), None);
        }
        if !names.contains(&level.target.as_str()) {
            l.error(
                &format!("{path}.target"),
                format!("there is no node `{}`", level.target),
                suggest(&level.target, &names, "nodes"),
            );
        }
        for (j, d) in level.devices.iter().enumerate().filter(|(_, d)| !devices.contains(&d.as_str())) {
            let path = format!("{path}.devices[{j}]");
            l.error(&path, format!("there is no fence device `{d}`"), suggest(d, &devices, "devices"));
        }
    }
    let fencing = c.properties.get("stonith-enabled").is_none_or(|v| v != "false");
    let dogs: Vec<_> = names.iter().filter_map(|n| sbd(stack, n)).collect();
    if let Some(text) = c.properties.get("stonith-watchdog-timeout").filter(|t| t.trim() != "0") {
        watchdog(l, text, names.len(), &dogs);
    }
    if fencing && devices.is_empty() && dogs.is_empty() && !c.properties.contains_key("have-watchdog") {
        l.warn(
            "pacemaker",
            "fencing is on (stonith-enabled) and there is no fence device: Pacemaker starts nothing. Add one, or set `stonith-enabled` to \"false\"",
        );
    }
}

/// `stonith-watchdog-timeout`, for which every node needs an `sbd` whose watchdog is faster: Pacemaker does not start otherwise.
fn watchdog(l: &mut Lint<'_>, text: &str, nodes: usize, dogs: &[&Sbd]) {
    let path = "pacemaker.properties.stonith-watchdog-timeout";
    if dogs.len() < nodes {
        let help =
            Some("add `Sbd()` and `watchdog: Hardware` to the hosts, or take the property away".to_owned());
        l.error(path, "a node without sbd would be taken for dead, and nothing would reset it", help);
    }
    let slowest = dogs.iter().map(|d| d.watchdog_timeout).max().unwrap_or(Span::ZERO);
    let waits = Span::ms(interval(text));
    if !text.trim().starts_with('-') && waits <= slowest {
        let help = Some(format!("-1 is twice SBD_WATCHDOG_TIMEOUT: {}", slowest.times(2)));
        let text = format!(
            "the others would start its services after {waits}, before the watchdog ({slowest}) has reset the node"
        );
        l.error(path, text, help);
    }
}

/// What is wrong with a field of a primitive: the field, what, and what to do.
type Wrong = (String, String, Option<String>);

/// The resources, each at its own place.
fn resources(l: &mut Lint<'_>, stack: &Stack, c: &Cluster) {
    let mut ids: Vec<&str> = Vec::new();
    let id = |l: &mut Lint<'_>, path: &str, id: &'_ str| {
        if id.is_empty() || id.contains(char::is_whitespace) {
            l.error(&format!("{path}.id"), format!("`{id}` is no id of a resource"), None);
        }
    };
    let mut all: Vec<(String, &Primitive)> = Vec::new();
    let mut named: Vec<(String, &str)> = Vec::new();
    let mut metas: Vec<(String, &BTreeMap<String, String>)> = Vec::new();
    for (i, r) in c.resources.iter().enumerate() {
        let path = format!("pacemaker.resources[{i}]");
        let group = |path: &str, g: &'_ crate::proto::crm::config::Group| {
            (0..g.primitives.len()).map(|k| format!("{path}.primitives[{k}]")).collect::<Vec<_>>()
        };
        match r {
            Resource::Primitive(p) => all.push((path, p)),
            Resource::Group(g) => {
                all.extend(group(&path, g).into_iter().zip(&g.primitives));
                metas.push((format!("{path}.meta"), &g.meta));
                named.push((path, &g.id));
            }
            Resource::Clone(k) => {
                let of = format!("{path}.of");
                match &k.of {
                    Cloned::Primitive(p) => all.push((of, p)),
                    Cloned::Group(g) => {
                        all.extend(group(&of, g).into_iter().zip(&g.primitives));
                        metas.push((format!("{of}.meta"), &g.meta));
                        named.push((of, &g.id));
                    }
                }
                metas.push((format!("{path}.meta"), &k.meta));
                named.push((path, &k.id));
            }
        }
    }
    for (path, p) in &all {
        named.push((path.clone(), &p.id));
        metas.push((format!("{path}.meta"), &p.meta));
        for (field, message, help) in primitive(stack, p) {
            l.error(&format!("{path}.{field}"), message, help);
        }
        match p.agent.as_str() {
            PGSQL => pgsql(l, stack, p, path),
            "stonith:fence_sbd" => fence_sbd(l, stack, p, path),
            _ => {}
        }
    }
    for (path, name) in named {
        id(l, &path, name);
        if ids.contains(&name) {
            l.error(&format!("{path}.id"), format!("two resources have the id `{name}`"), None);
        }
        ids.push(name);
    }
    metas.push(("pacemaker.rsc_defaults".to_owned(), &c.rsc_defaults));
    for (path, meta) in metas {
        for name in meta.keys().filter(|n| !META.contains(&n.as_str())) {
            let near = nearest(name, META).map_or(String::new(), |n| format!(": did you mean `{n}`?"));
            l.warn(&format!("{path}.{name}"), format!("Pacemaker has no meta attribute `{name}`{near}"));
        }
    }
}

fn primitive(stack: &Stack, p: &Primitive) -> Vec<Wrong> {
    let mut out: Vec<Wrong> = Vec::new();
    let mut say =
        |field: &str, message: String, help: Option<String>| out.push((field.to_owned(), message, help));
    let parts: Vec<&str> = p.agent.split(':').collect();
    match parts.as_slice() {
        // Has its own lint, with the nodes.
        ["stonith", "fence_sbd"] => {}
        ["stonith", _] => match p.params.get("ip").or(p.params.get("ipaddr")) {
            None => say(
                "params",
                format!("the fence device `{}` has no `ip`", p.id),
                Some("the host of its FenceDevice".to_owned()),
            ),
            Some(ip) if ip.parse::<Ip>().is_err() => {
                let is = |n: &&String| stack.hosts[*n].runs.iter().any(|r| matches!(r, Runs::FenceDevice(_)));
                let all: Vec<&str> = stack.hosts.keys().filter(is).map(String::as_str).collect();
                if !all.contains(&ip.as_str()) {
                    let field = if p.params.contains_key("ip") { "params.ip" } else { "params.ipaddr" };
                    say(
                        field,
                        format!("`{}`: no host `{ip}` is a fence device", p.id),
                        suggest(ip, &all, "devices"),
                    );
                }
            }
            Some(_) => {}
        },
        ["systemd", name] => {
            let runs = |n: &&str| stack.hosts[*n].runs.iter().any(|r| r.name() == *name);
            let list = nodes(stack);
            if !list.iter().map(|n| n.1).any(|n| runs(&n)) {
                say("agent", format!("`{}`: no node has a process `{name}`", p.id), None);
            }
        }
        ["ocf", ..] if AGENTS.contains(&p.agent.as_str()) => {
            if p.agent.ends_with("IPaddr2") {
                match p.params.get("ip").map(|ip| ip.parse::<Ip>()) {
                    None => say("params", format!("`{}` has no `ip`", p.id), None),
                    Some(Err(_)) => say("params.ip", format!("`{}`: `ip` is no address", p.id), None),
                    Some(Ok(_)) => {}
                }
            }
        }
        _ => {
            let help = suggest(&p.agent, &AGENTS, "agents; or systemd:PROCESS, stonith:AGENT");
            say("agent", format!("`{}`: the agent `{}` is not modelled", p.id, p.agent), help);
        }
    }
    for (k, o) in p.op.iter().enumerate() {
        if !OPERATIONS.contains(&o.name.as_str()) {
            let help = suggest(&o.name, &OPERATIONS, "operations");
            say(&format!("op[{k}].name"), format!("`{}`: there is no operation `{}`", p.id, o.name), help);
        }
        if let Some(v) = o.on_fail.as_deref().filter(|v| !ON_FAIL.contains(v)) {
            let help = suggest(v, &ON_FAIL, "one of");
            say(&format!("op[{k}].on_fail"), format!("`{}`: on-fail cannot be `{v}`", p.id), help);
        }
        if let Some(v) = o.role.as_deref().filter(|v| !ROLES.contains(v)) {
            let help = suggest(v, &ROLES, "one of");
            say(&format!("op[{k}].role"), format!("`{}`: there is no role `{v}`", p.id), help);
        }
        let same = |x: &&crate::proto::crm::config::Operation| {
            x.name == o.name && x.interval == o.interval && !o.interval.is_zero()
        };
        if p.op[..k].iter().any(|x| same(&x)) {
            let help = Some(
                "Pacemaker knows them apart by their intervals: give the roles different ones".to_owned(),
            );
            say(&format!("op[{k}]"), format!("`{}`: two `{}` with the same interval", p.id, o.name), help);
        }
    }
    out
}

/// The most resources of a CIB that is simulated, and the most constraints: chains of them are followed one inside the other.
const RESOURCES: usize = 300;
const CONSTRAINTS: usize = 1_000;

/// A CIB in XML, against the stack.
pub(in crate::scenario) fn of_cib(stack: &Stack, cib: &Cib) -> Vec<Remark> {
    let mut out = Vec::new();
    let mut say = |line: u32, message: String, help: Option<String>, warning: bool| {
        out.push(Remark { line, message, help, warning });
    };
    let root = &cib.root;
    if !cib.nodes.is_empty() {
        let status = root.child("status").map_or(root.line, |s| s.line);
        say(
            status,
            "the status of a CIB is left out: the run begins with nothing started".to_owned(),
            None,
            true,
        );
    }
    let list = nodes(stack);
    let names: Vec<&str> = list.iter().map(|n| n.1).collect();
    for n in root.find("nodes").iter().flat_map(|l| l.all("node")) {
        let name = n.get("uname").unwrap_or_default();
        match list.iter().find(|x| x.1 == name) {
            Some((id, ..)) if n.id() != id.0.to_string() => {
                let message =
                    format!("the node `{name}` has the id {} here, and {} in the stack", n.id(), id.0);
                let help =
                    format!("write `Corosync(nodeid: {})` at the host, or `id=\"{}\"` here", n.id(), id.0);
                say(n.line, message, Some(help), false);
            }
            Some(_) => {}
            None => {
                let help = suggest(name, &names, "hosts with Pacemaker");
                say(
                    n.line,
                    format!("the stack has no host `{name}` with Pacemaker: it is fenced as never seen"),
                    help,
                    true,
                );
            }
        }
    }
    let elements = cib::ids(root);
    let constraints = root.find("constraints").map_or(0, |c| c.children.len());
    if elements.len() > RESOURCES || constraints > CONSTRAINTS {
        let message = format!(
            "{} resources and {constraints} constraints are more than the {RESOURCES} and {CONSTRAINTS} that a stack may have",
            elements.len()
        );
        say(root.line, message, Some("`firedrill place` takes more".to_owned()), false);
    }
    for (p, line) in cib::primitives(root) {
        for (_, message, help) in primitive(stack, &p) {
            say(line, message, help, false);
        }
    }
    if let Err(e) =
        crate::proto::pacemaker::schedule(&std::sync::Arc::new(cib.clone()), crate::proto::crm::EPOCH)
    {
        say(e.line, e.text, None, false);
    }
    out
}

/// PostgreSQL as a promotable clone.
fn pgsql(l: &mut Lint<'_>, stack: &Stack, p: &Primitive, path: &str) {
    let param = |name: &str| format!("{path}.params.{name}");
    let list = nodes(stack);
    let names: Vec<&str> = list.iter().map(|n| n.1).collect();
    let at = |n: &str, is: fn(&Runs) -> bool| stack.hosts[n].runs.iter().position(is);
    let server = |n: &str| at(n, |r| matches!(r, Runs::Postgres(_)));
    if !names.iter().any(|n| server(n).is_some()) {
        let help = Some("add `Postgres()` to the database nodes, before `Pacemaker()`".to_owned());
        l.error(path, format!("`{}`: no node has a PostgreSQL", p.id), help);
    }
    for n in &names {
        if server(n) > at(n, |r| matches!(r, Runs::Pacemaker(_))) {
            l.error(
                &format!("hosts.{n}.runs"),
                format!(
                    "`{}` of the cluster is this host's PostgreSQL, which stands after `Pacemaker`",
                    p.id
                ),
                Some("write `Postgres()` before `Pacemaker()`".to_owned()),
            );
        }
    }
    let modes = ["async", "sync"];
    match p.params.get("rep_mode").map(String::as_str) {
        Some(mode) if modes.contains(&mode) => {}
        Some(mode) => l.error(
            &param("rep_mode"),
            format!("`{}`: rep_mode `{mode}` is not modelled", p.id),
            suggest(mode, &modes, "one of"),
        ),
        None => l.error(
            path,
            format!("`{}` has no `rep_mode`: without one the agent knows no standbys", p.id),
            Some("\"rep_mode\": \"async\" or \"sync\"".to_owned()),
        ),
    }
    match p.params.get("master_ip").map(|ip| ip.parse::<Ip>()) {
        Some(Ok(_)) => {}
        Some(Err(_)) => l.error(&param("master_ip"), format!("`{}`: `master_ip` is no address", p.id), None),
        None => {
            let help = Some("the address that standbys connect to, which follows the primary".to_owned());
            l.error(path, format!("`{}` has no `master_ip`", p.id), help);
        }
    }
    let listed = p.params.get("node_list").map(String::as_str).unwrap_or_default();
    if listed.is_empty() {
        l.error(path, format!("`{}` has no `node_list`", p.id), Some("the database nodes".to_owned()));
    }
    for n in listed.split_whitespace().filter(|n| !names.iter().any(|x| x.eq_ignore_ascii_case(n))) {
        l.error(
            &param("node_list"),
            format!("`{}`: node_list has no node `{n}`", p.id),
            suggest(n, &names, "nodes"),
        );
    }
    let cluster = stack.pacemaker.as_deref();
    let of = cluster.and_then(|c| {
        c.resources.iter().find_map(|r| match r {
            Resource::Clone(c) if matches!(&c.of, Cloned::Primitive(x) if x.id == p.id) => Some(&c.meta),
            _ => None,
        })
    });
    let on = |k: &str| of.and_then(|m| m.get(k)).is_some_and(|v| v == "true");
    if !on("promotable") {
        let help =
            Some("a `Clone(meta: {\"promotable\": \"true\", \"notify\": \"true\"})` around it".to_owned());
        l.error(path, format!("`{}` has to be a promotable clone", p.id), help);
    } else if !on("notify") {
        l.warn(
            path,
            format!("`{}`: without `notify` the primary hears of its standbys only at its next monitor, and a demotion never removes PGSQL.lock", p.id),
        );
    }
}

/// `fence_sbd` writes to the disks that the nodes' `sbd` watches.
fn fence_sbd(l: &mut Lint<'_>, stack: &Stack, p: &Primitive, path: &str) {
    let Some(devices) = p.params.get("devices") else {
        let help = Some("`\"devices\": \"disk1\"`: the hosts of its `SbdDisk`s".to_owned());
        return l.error(path, format!("the fence device `{}` has no `devices`", p.id), help);
    };
    for (_, name, _) in nodes(stack) {
        let watched = sbd(stack, name).map(|s| s.devices.as_slice()).unwrap_or_default();
        for d in devices.split([',', ' ']).filter(|d| !d.is_empty() && !watched.iter().any(|w| w == d)) {
            let help = Some(format!("give it `Sbd(devices: [\"{d}\"])`"));
            let path = format!("{path}.params.devices");
            l.error(&path, format!("`{}`: {name} does not watch the disk `{d}`", p.id), help);
        }
    }
}

/// An operator's command of a drill.
pub(super) fn operator(l: &mut Lint<'_>, stack: &Stack, path: &str, o: &Operator) {
    let names: Vec<&str> = nodes(stack).iter().map(|n| n.1).collect();
    let of_text = |c: &Cluster| {
        let xml = Cib::read(c.cib.as_deref()?).ok()?;
        Some(cib::ids(&xml.root))
    };
    let all = stack
        .pacemaker
        .as_ref()
        .map(|c| of_text(c).unwrap_or_else(|| c.ids().into_iter().map(str::to_owned).collect()));
    let all = all.unwrap_or_default();
    let ids: Vec<&str> = all.iter().map(String::as_str).collect();
    let (node, resource) = match o {
        Operator::Standby { node }
        | Operator::Unstandby { node }
        | Operator::NodeMaintenance { node, .. }
        | Operator::Fence { node } => (Some(node), None),
        Operator::Move { resource, to } => (Some(to), Some(resource)),
        Operator::Ban { resource, node } => (Some(node), Some(resource)),
        Operator::Clear { resource } | Operator::Cleanup { resource } => (None, Some(resource)),
        Operator::Maintenance { .. } | Operator::Property { .. } => (None, None),
    };
    if let Some(n) = node.filter(|n| !names.contains(&n.as_str())) {
        l.error(path, format!("there is no node `{n}`"), suggest(n, &names, "nodes"));
    }
    if let Some(r) = resource.filter(|r| !ids.contains(&r.as_str())) {
        l.error(path, format!("there is no resource `{r}`"), suggest(r, &ids, "resources"));
    }
    if let Operator::Property { name, .. } = o
        && !PROPERTIES.contains(&name.as_str())
    {
        l.error(
            path,
            format!("Pacemaker has no cluster property `{name}`"),
            suggest(name, &PROPERTIES, "properties"),
        );
    }
}
