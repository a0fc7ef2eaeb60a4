//! What can be wrong with Pacemaker and its cluster.

use super::Lint;
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::proto::crm::config::{Cluster, Constraint, Operator, Primitive};
use crate::proto::pacemaker::time::interval;
use crate::proto::sbd::Sbd;
use crate::scenario::build::crm::{nodes, sbd};
use crate::scenario::diag::nearest;
use crate::scenario::types::{Runs, Stack};

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
/// What agents there are.
const AGENTS: [&str; 4] =
    ["ocf:heartbeat:IPaddr2", "ocf:pacemaker:Dummy", "ocf:pacemaker:Stateful", "ocf:heartbeat:Dummy"];

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
    if let Some(text) = &c.cib {
        if let Err(e) = crate::proto::pacemaker::cib::Cib::read(text) {
            l.error("pacemaker.cib", format!("the CIB cannot be read: {e}"), None);
        }
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
    for (i, id) in ids.iter().enumerate() {
        if ids[..i].contains(id) {
            l.error("pacemaker.resources", format!("two resources have the id `{id}`"), None);
        }
    }
    for p in c.primitives() {
        primitive(l, stack, p);
    }
    let devices: Vec<&str> =
        c.primitives().iter().filter(|p| p.agent.starts_with("stonith:")).map(|p| p.id.as_str()).collect();
    for (i, k) in c.constraints.iter().enumerate() {
        let path = format!("pacemaker.constraints[{i}]");
        let (resources, node): (Vec<&String>, Option<&String>) = match k {
            Constraint::Location { rsc, node, .. } => (vec![rsc], Some(node)),
            Constraint::Colocation { rsc, with_rsc, .. } => (vec![rsc, with_rsc], None),
            Constraint::Order { first, then, .. } => (vec![first, then], None),
        };
        for r in resources {
            if !ids.contains(&r.as_str()) {
                l.error(&path, format!("there is no resource `{r}`"), suggest(r, &ids, "resources"));
            }
        }
        if let Some(n) = node.filter(|n| !names.contains(&n.as_str())) {
            l.error(&path, format!("there is no node `{n}`"), suggest(n, &names, "nodes"));
        }
        let score = match k {
            Constraint::Location { score, .. } | Constraint::Colocation { score, .. } => Some(score),
            Constraint::Order { .. } => None,
        };
        let word = |s: &str| s.trim_start_matches(['+', '-']).eq_ignore_ascii_case("INFINITY");
        if let Some(s) = score.filter(|s| !word(s) && s.parse::<i32>().map_or(true, |n| n.abs() > 1_000_000))
        {
            l.error(&path, format!("the score `{s}` is not from -INFINITY (-1000000) to INFINITY"), None);
        }
    }
    for (i, level) in c.fencing_topology.iter().enumerate() {
        let path = format!("pacemaker.fencing_topology[{i}]");
        if !(1..=9).contains(&level.index) {
            l.error(&path, format!("the index of a level goes from 1 to 9, not {}", level.index), None);
        }
        if !names.contains(&level.target.as_str()) {
            l.error(
                &path,
                format!("there is no node `{}`", level.target),
                suggest(&level.target, &names, "nodes"),
            );
        }
        for d in level.devices.iter().filter(|d| !devices.contains(&d.as_str())) {
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

fn primitive(l: &mut Lint<'_>, stack: &Stack, p: &Primitive) {
    let path = "pacemaker.resources";
    let parts: Vec<&str> = p.agent.split(':').collect();
    match parts.as_slice() {
        ["stonith", "fence_sbd"] => fence_sbd(l, stack, p),
        ["stonith", _] => match p.params.get("ip").or(p.params.get("ipaddr")) {
            None => l.error(
                path,
                format!("the fence device `{}` has no `ip`", p.id),
                Some("the host of its FenceDevice".to_owned()),
            ),
            Some(ip) if ip.parse::<Ip>().is_err() => {
                let is = |n: &&String| stack.hosts[*n].runs.iter().any(|r| matches!(r, Runs::FenceDevice(_)));
                let all: Vec<&str> = stack.hosts.keys().filter(is).map(String::as_str).collect();
                if !all.contains(&ip.as_str()) {
                    l.error(
                        path,
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
                l.error(path, format!("`{}`: no node has a process `{name}`", p.id), None);
            }
        }
        ["ocf", ..] if AGENTS.contains(&p.agent.as_str()) => {
            if p.agent.ends_with("IPaddr2") {
                match p.params.get("ip").map(|ip| ip.parse::<Ip>()) {
                    None => l.error(path, format!("`{}` has no `ip`", p.id), None),
                    Some(Err(_)) => l.error(path, format!("`{}`: `ip` is no address", p.id), None),
                    Some(Ok(_)) => {}
                }
            }
        }
        _ => {
            let help = suggest(&p.agent, &AGENTS, "agents; or systemd:PROCESS, stonith:AGENT");
            l.error(path, format!("`{}`: the agent `{}` is not modelled", p.id, p.agent), help);
        }
    }
}

/// `fence_sbd` writes to the disks that the nodes' `sbd` watches.
fn fence_sbd(l: &mut Lint<'_>, stack: &Stack, p: &Primitive) {
    let path = "pacemaker.resources";
    let Some(devices) = p.params.get("devices") else {
        let help = Some("`\"devices\": \"disk1\"`: the hosts of its `SbdDisk`s".to_owned());
        return l.error(path, format!("the fence device `{}` has no `devices`", p.id), help);
    };
    for (_, name, _) in nodes(stack) {
        let watched = sbd(stack, name).map(|s| s.devices.as_slice()).unwrap_or_default();
        for d in devices.split([',', ' ']).filter(|d| !d.is_empty() && !watched.iter().any(|w| w == d)) {
            let help = Some(format!("give it `Sbd(devices: [\"{d}\"])`"));
            l.error(path, format!("`{}`: {name} does not watch the disk `{d}`", p.id), help);
        }
    }
}

/// An operator's command of a drill.
pub(super) fn operator(l: &mut Lint<'_>, stack: &Stack, path: &str, o: &Operator) {
    let names: Vec<&str> = nodes(stack).iter().map(|n| n.1).collect();
    let ids = stack.pacemaker.as_ref().map(|c| c.ids()).unwrap_or_default();
    let (node, resource) = match o {
        Operator::Standby { node } | Operator::Unstandby { node } | Operator::Fence { node } => {
            (Some(node), None)
        }
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
