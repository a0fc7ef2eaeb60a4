//! Which elements and attributes of a CIB mean something here. Nothing is ignored silently.

use super::model::{Sched, Warning};
use super::xml::Element;

/// The attributes of a container.
const CONTAINER: &[&str] = &[
    "image",
    "promoted-max",
    "masters",
    "replicas",
    "replicas-per-host",
    "run-command",
    "network",
    "options",
];

/// Elements, what they may hold, and their attributes.
const KNOWN: &[(&str, &[&str], &[&str])] = &[
    (
        "cib",
        &["configuration", "status"],
        &[
            "crm_feature_set",
            "validate-with",
            "epoch",
            "num_updates",
            "admin_epoch",
            "have-quorum",
            "dc-uuid",
            "no-quorum-panic",
            "cib-last-written",
            "update-origin",
            "update-client",
            "update-user",
            "execution-date",
        ],
    ),
    (
        "configuration",
        &[
            "crm_config",
            "nodes",
            "resources",
            "constraints",
            "rsc_defaults",
            "op_defaults",
            "tags",
            "acls",
            "alerts",
        ],
        &[],
    ),
    ("crm_config", &["cluster_property_set"], &[]),
    ("cluster_property_set", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("meta_attributes", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("instance_attributes", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("utilization", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("nvpair", &[], &["id", "id-ref", "name", "value"]),
    (
        "rule",
        &["rule", "expression", "date_expression", "rsc_expression", "op_expression"],
        &["id", "id-ref", "role", "score", "score-attribute", "boolean-op"],
    ),
    ("expression", &[], &["id", "attribute", "operation", "value", "type", "value-source"]),
    ("date_expression", &["date_spec", "duration"], &["id", "operation", "start", "end"]),
    (
        "date_spec",
        &[],
        &[
            "id",
            "years",
            "months",
            "monthdays",
            "hours",
            "minutes",
            "seconds",
            "yeardays",
            "weekyears",
            "weeks",
            "weekdays",
        ],
    ),
    ("duration", &[], &["id", "years", "months", "weeks", "days", "hours", "minutes", "seconds"]),
    ("rsc_expression", &[], &["id", "class", "provider", "type"]),
    ("op_expression", &[], &["id", "name", "interval"]),
    ("nodes", &["node"], &[]),
    ("node", &["instance_attributes", "utilization"], &["id", "uname", "type", "score", "description"]),
    ("resources", &["primitive", "group", "clone", "master", "template", "bundle"], &[]),
    (
        "primitive",
        &["meta_attributes", "instance_attributes", "operations", "utilization"],
        &["id", "class", "provider", "type", "template", "description"],
    ),
    (
        "template",
        &["meta_attributes", "instance_attributes", "operations", "utilization"],
        &["id", "class", "provider", "type", "description"],
    ),
    ("group", &["meta_attributes", "instance_attributes", "primitive"], &["id", "description"]),
    ("clone", &["meta_attributes", "instance_attributes", "primitive", "group"], &["id", "description"]),
    ("master", &["meta_attributes", "instance_attributes", "primitive", "group"], &["id", "description"]),
    (
        "bundle",
        &["meta_attributes", "docker", "podman", "rkt", "network", "storage", "primitive"],
        &["id", "description"],
    ),
    ("docker", &[], CONTAINER),
    ("podman", &[], CONTAINER),
    ("rkt", &[], CONTAINER),
    (
        "network",
        &["port-mapping"],
        &["ip-range-start", "control-port", "host-interface", "host-netmask", "add-host"],
    ),
    ("port-mapping", &[], &["id", "port", "internal-port", "range"]),
    ("storage", &["storage-mapping"], &[]),
    ("storage-mapping", &[], &["id", "source-dir", "source-dir-root", "target-dir", "options"]),
    ("operations", &["op"], &["id", "id-ref"]),
    (
        "op",
        &["meta_attributes", "instance_attributes"],
        &[
            "id",
            "name",
            "interval",
            "timeout",
            "role",
            "enabled",
            "on-fail",
            "description",
            "role_after_failure",
            "start-delay",
            "interval-origin",
            "record-pending",
        ],
    ),
    ("rsc_defaults", &["meta_attributes", "instance_attributes"], &[]),
    ("op_defaults", &["meta_attributes"], &[]),
    ("constraints", &["rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket"], &[]),
    (
        "rsc_location",
        &["rule", "resource_set", "lifetime"],
        &["id", "rsc", "node", "score", "role", "resource-discovery", "rsc-pattern"],
    ),
    (
        "rsc_colocation",
        &["resource_set", "lifetime"],
        &[
            "id",
            "rsc",
            "with-rsc",
            "score",
            "rsc-role",
            "with-rsc-role",
            "node-attribute",
            "influence",
            "rsc-instance",
            "with-rsc-instance",
        ],
    ),
    (
        "rsc_order",
        &["resource_set", "lifetime"],
        &[
            "id",
            "first",
            "then",
            "first-action",
            "then-action",
            "kind",
            "symmetrical",
            "score",
            "require-all",
            "first-instance",
            "then-instance",
        ],
    ),
    ("rsc_ticket", &["resource_set", "lifetime"], &["id", "rsc", "ticket", "rsc-role", "loss-policy"]),
    ("lifetime", &["rule"], &["id"]),
    (
        "resource_set",
        &["resource_ref"],
        &["id", "id-ref", "sequential", "require-all", "ordering", "action", "role", "score", "kind"],
    ),
    ("resource_ref", &[], &["id"]),
    ("tags", &["tag"], &[]),
    ("tag", &["obj_ref"], &["id"]),
    ("obj_ref", &[], &["id"]),
    ("status", &["node_state", "tickets"], &[]),
    (
        "node_state",
        &["transient_attributes", "lrm"],
        &[
            "id",
            "uname",
            "in_ccm",
            "crmd",
            "join",
            "expected",
            "crm-debug-origin",
            "node_fenced",
            "node_in_maintenance",
            "remote_node",
            "maintenance",
        ],
    ),
    ("transient_attributes", &["instance_attributes"], &["id"]),
    ("lrm", &["lrm_resources"], &["id"]),
    ("lrm_resources", &["lrm_resource"], &[]),
    ("lrm_resource", &["lrm_rsc_op"], &["id", "class", "provider", "type", "container", "shutdown-lock"]),
    (
        "lrm_rsc_op",
        &[],
        &[
            "id",
            "operation_key",
            "operation",
            "crm-debug-origin",
            "crm_feature_set",
            "transition-key",
            "transition-magic",
            "exit-reason",
            "on_node",
            "call-id",
            "rc-code",
            "op-status",
            "interval",
            "last-rc-change",
            "last-run",
            "exec-time",
            "queue-time",
            "op-digest",
            "op-force-restart",
            "op-restart-digest",
            "op-secure-params",
            "op-secure-digest",
            "migrate_source",
            "migrate_target",
        ],
    ),
    ("tickets", &["ticket_state"], &[]),
    ("ticket_state", &[], &["id", "granted", "standby", "last-granted"]),
];

/// Parts that have no bearing on placement.
const ELSEWHERE: &[&str] = &["acls", "alerts"];

/// Cluster options that are modelled, or have no bearing on placement.
const OPTIONS: &[&str] = &[
    "no-quorum-policy",
    "symmetric-cluster",
    "maintenance-mode",
    "start-failure-is-fatal",
    "enable-startup-probes",
    "shutdown-lock",
    "shutdown-lock-limit",
    "stonith-enabled",
    "stonith-action",
    "concurrent-fencing",
    "startup-fencing",
    "priority-fencing-delay",
    "stop-all-resources",
    "stop-orphan-resources",
    "stop-orphan-actions",
    "remove-after-stop",
    "node-health-strategy",
    "node-health-base",
    "node-health-green",
    "node-health-yellow",
    "node-health-red",
    "placement-strategy",
    "have-watchdog",
    "cluster-name",
    "batch-limit",
    "stonith-timeout",
    "stonith-max-attempts",
    "stonith-watchdog-timeout",
    "cluster-delay",
    "dc-deadtime",
    "cluster-recheck-interval",
    "cluster-ipc-limit",
    "cluster-infrastructure",
    "dc-version",
    "load-threshold",
    "node-action-limit",
    "migration-limit",
    "election-timeout",
    "shutdown-escalation",
    "join-integration-timeout",
    "join-finalization-timeout",
    "transition-delay",
    "fence-reaction",
    "pe-error-series-max",
    "pe-warn-series-max",
    "pe-input-series-max",
    "last-lrm-refresh",
    "enable-acl",
    "default-resource-stickiness",
    "default-action-timeout",
    "is-managed-default",
    "node-pending-timeout",
];

/// Whether a cluster option is known.
pub(super) fn is_option(name: &str) -> bool {
    OPTIONS.contains(&name)
}

/// What is in a CIB and means nothing here, by line.
pub(super) fn unknown(root: &Element) -> Vec<Warning> {
    let mut out = Vec::new();
    look(root, &mut out);
    pairs(root, "", &mut out);
    out.sort_by_key(|w| w.line);
    out
}

impl Sched {
    /// Tells what is in the CIB and means nothing here.
    pub(super) fn find_unknown(&mut self) {
        self.warnings.extend(self.cib.unknown.iter().cloned());
        self.warnings.sort_by_key(|w| w.line);
    }
}

fn look(e: &Element, out: &mut Vec<Warning>) {
    let Some((_, inner, attributes)) = KNOWN.iter().find(|(n, ..)| *n == e.name) else { return };
    let mut say = |line: u32, element: &str, text: String| {
        out.push(Warning { line, element: element.to_owned(), text })
    };
    for (k, _) in
        e.attributes.iter().filter(|(k, _)| !attributes.contains(&k.as_str()) && !k.starts_with("xml"))
    {
        say(e.line, &e.name, format!("the attribute `{k}` is not modelled"));
    }
    let strange: Vec<&Element> = e.children.iter().filter(|c| !inner.contains(&c.name.as_str())).collect();
    for c in strange {
        let id = if c.id().is_empty() { String::new() } else { format!(" `{}`", c.id()) };
        say(c.line, &c.name, format!("this element{id} is not modelled, so it is ignored"));
    }
    for c in e
        .children
        .iter()
        .filter(|c| inner.contains(&c.name.as_str()) && !ELSEWHERE.contains(&c.name.as_str()))
    {
        look(c, out);
    }
}

/// Options and values that mean something to Pacemaker and nothing here.
fn pairs(e: &Element, holder: &str, out: &mut Vec<Warning>) {
    let mut say = |text: String| out.push(Warning { line: e.line, element: e.name.clone(), text });
    if let ("nvpair", Some(name)) = (e.name.as_str(), e.get("name")) {
        let unfencing = matches!(name, "requires" | "provides") && e.get("value") == Some("unfencing");
        if holder == "cluster_property_set" && !OPTIONS.contains(&name) {
            say(format!("the cluster option `{name}` is not modelled"));
        } else if unfencing {
            say("unfencing is not modelled: it counts as fencing".into());
        }
    }
    e.children.iter().for_each(|c| pairs(c, &e.name, out));
}
