//! Which elements and attributes of a CIB mean something here. Nothing is ignored silently.

use super::model::{Sched, Warning};
use super::xml::Element;

/// Elements, what they may hold, and their attributes.
const KNOWN: &[(&str, &[&str], &[&str])] = &[
    (
        "cib",
        &["configuration", "status"],
        &[
            "crm_feature_set", "validate-with", "epoch", "num_updates", "admin_epoch", "have-quorum", "dc-uuid", "no-quorum-panic",
            "cib-last-written", "update-origin", "update-client", "update-user", "execution-date",
        ],
    ),
    (
        "configuration",
        &["crm_config", "nodes", "resources", "constraints", "rsc_defaults", "op_defaults", "tags", "acls", "alerts"],
        &[],
    ),
    ("crm_config", &["cluster_property_set"], &[]),
    ("cluster_property_set", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("meta_attributes", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("instance_attributes", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("utilization", &["nvpair", "rule"], &["id", "id-ref", "score"]),
    ("nvpair", &[], &["id", "id-ref", "name", "value"]),
    ("rule", &["rule", "expression", "date_expression", "rsc_expression", "op_expression"], &["id", "id-ref", "role", "score", "score-attribute", "boolean-op"]),
    ("expression", &[], &["id", "attribute", "operation", "value", "type", "value-source"]),
    ("date_expression", &["date_spec", "duration"], &["id", "operation", "start", "end"]),
    ("date_spec", &[], &["id", "years", "months", "monthdays", "hours", "minutes", "seconds", "yeardays", "weekyears", "weeks", "weekdays"]),
    ("duration", &[], &["id", "years", "months", "weeks", "days", "hours", "minutes", "seconds"]),
    ("rsc_expression", &[], &["id", "class", "provider", "type"]),
    ("op_expression", &[], &["id", "name", "interval"]),
    ("nodes", &["node"], &[]),
    ("node", &["instance_attributes", "utilization"], &["id", "uname", "type", "score", "description"]),
    ("resources", &["primitive", "group", "clone", "master", "template"], &[]),
    ("primitive", &["meta_attributes", "instance_attributes", "operations", "utilization"], &["id", "class", "provider", "type", "template", "description"]),
    ("template", &["meta_attributes", "instance_attributes", "operations", "utilization"], &["id", "class", "provider", "type", "description"]),
    ("group", &["meta_attributes", "instance_attributes", "primitive"], &["id", "description"]),
    ("clone", &["meta_attributes", "instance_attributes", "primitive", "group"], &["id", "description"]),
    ("master", &["meta_attributes", "instance_attributes", "primitive", "group"], &["id", "description"]),
    ("operations", &["op"], &["id", "id-ref"]),
    (
        "op",
        &["meta_attributes", "instance_attributes"],
        &["id", "name", "interval", "timeout", "role", "enabled", "on-fail", "description", "role_after_failure", "start-delay", "interval-origin", "record-pending"],
    ),
    ("rsc_defaults", &["meta_attributes", "instance_attributes"], &[]),
    ("op_defaults", &["meta_attributes"], &[]),
    ("constraints", &["rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket"], &[]),
    ("rsc_location", &["rule", "resource_set", "lifetime"], &["id", "rsc", "node", "score", "role", "resource-discovery", "rsc-pattern"]),
    (
        "rsc_colocation",
        &["resource_set", "lifetime"],
        &["id", "rsc", "with-rsc", "score", "rsc-role", "with-rsc-role", "node-attribute", "influence", "rsc-instance", "with-rsc-instance"],
    ),
    (
        "rsc_order",
        &["resource_set", "lifetime"],
        &["id", "first", "then", "first-action", "then-action", "kind", "symmetrical", "score", "require-all", "first-instance", "then-instance"],
    ),
    ("rsc_ticket", &["resource_set", "lifetime"], &["id", "rsc", "ticket", "rsc-role", "loss-policy"]),
    ("lifetime", &["rule"], &["id"]),
    ("resource_set", &["resource_ref"], &["id", "id-ref", "sequential", "require-all", "ordering", "action", "role", "score", "kind"]),
    ("resource_ref", &[], &["id"]),
    ("tags", &["tag"], &[]),
    ("tag", &["obj_ref"], &["id"]),
    ("obj_ref", &[], &["id"]),
    ("status", &["tickets"], &[]),
    ("tickets", &["ticket_state"], &[]),
    ("ticket_state", &[], &["id", "granted", "standby", "last-granted"]),
];

/// Parts that have no bearing on placement.
const ELSEWHERE: &[&str] = &["acls", "alerts"];

impl Sched {
    /// Tells what is in the CIB and means nothing here.
    pub(super) fn find_unknown(&mut self) {
        let cib = self.cib.clone();
        let mut warnings = Vec::new();
        look(&cib.root, &mut warnings);
        self.warnings.extend(warnings);
        for pair in unfencing(&cib.root) {
            self.warn(pair, "unfencing is not modelled: it counts as fencing");
        }
        self.warnings.sort_by_key(|w| w.line);
    }
}

fn look(e: &Element, out: &mut Vec<Warning>) {
    let Some((_, inner, attributes)) = KNOWN.iter().find(|(n, ..)| *n == e.name) else { return };
    let mut say = |line: u32, element: &str, text: String| out.push(Warning { line, element: element.to_owned(), text });
    for (k, _) in e.attributes.iter().filter(|(k, _)| !attributes.contains(&k.as_str()) && !k.starts_with("xml")) {
        say(e.line, &e.name, format!("the attribute `{k}` is not modelled"));
    }
    let strange: Vec<&Element> = e.children.iter().filter(|c| !inner.contains(&c.name.as_str())).collect();
    for c in strange {
        let id = if c.id().is_empty() { String::new() } else { format!(" `{}`", c.id()) };
        say(c.line, &c.name, format!("this element{id} is not modelled, so it is ignored"));
    }
    for c in e.children.iter().filter(|c| inner.contains(&c.name.as_str()) && !ELSEWHERE.contains(&c.name.as_str())) {
        look(c, out);
    }
}

fn unfencing(e: &Element) -> Vec<&Element> {
    let own = e.name == "nvpair" && matches!(e.get("name"), Some("requires" | "provides")) && e.get("value") == Some("unfencing");
    let mut out: Vec<&Element> = if own { vec![e] } else { Vec::new() };
    e.children.iter().for_each(|c| out.extend(unfencing(c)));
    out
}
