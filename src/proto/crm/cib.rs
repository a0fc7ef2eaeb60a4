//! The CIB of a cluster: made from the stack's words, and changed by updates.

use super::NodeId;
use super::config::{Cloned, Cluster, Constraint, Group, Operator, Pacemaker, Primitive, Resource};
use super::msg::{Update, Versioned};
use crate::proto::pacemaker::cib::{Cib, NodeState};
use crate::proto::pacemaker::xml::{Element, XmlError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A block of name-value pairs, if there are any.
fn pairs(name: &str, id: &str, values: &BTreeMap<String, String>) -> Option<Element> {
    let pair = |(k, v): (&String, &String)| {
        Element::new("nvpair", &[("id", &format!("{id}-{k}")), ("name", k), ("value", v)])
    };
    (!values.is_empty()).then(|| Element::new(name, &[("id", id)]).with(values.iter().map(pair)))
}

fn primitive(p: &Primitive) -> Element {
    let parts: Vec<&str> = p.agent.split(':').collect();
    let mut e = Element::new("primitive", &[("id", &p.id)]);
    match parts.as_slice() {
        [class, provider, kind] => {
            e.set("class", class);
            e.set("provider", provider);
            e.set("type", kind);
        }
        [class, kind] => {
            e.set("class", class);
            e.set("type", kind);
        }
        _ => e.set("type", &p.agent),
    }
    e.children.extend(pairs("instance_attributes", &format!("{}-instance_attributes", p.id), &p.params));
    e.children.extend(pairs("meta_attributes", &format!("{}-meta_attributes", p.id), &p.meta));
    e.children.extend(pairs("utilization", &format!("{}-utilization", p.id), &p.utilization));
    let op = |o: &super::config::Operation| {
        let every = format!("{}ms", o.interval.as_ms());
        let role = o.role.as_deref().unwrap_or("");
        let mut op = Element::new(
            "op",
            &[("id", &format!("{}-{}-{every}{role}", p.id, o.name)), ("name", &o.name), ("interval", &every)],
        );
        if let Some(t) = o.timeout {
            op.set("timeout", &format!("{}ms", t.as_ms()));
        }
        for (k, v) in [("on-fail", &o.on_fail), ("role", &o.role)] {
            if let Some(v) = v {
                op.set(k, v);
            }
        }
        op
    };
    if !p.op.is_empty() {
        e.children.push(Element::new("operations", &[]).with(p.op.iter().map(op)));
    }
    e
}

fn group(g: &Group) -> Element {
    let mut e = Element::new("group", &[("id", &g.id)]);
    e.children.extend(pairs("meta_attributes", &format!("{}-meta_attributes", g.id), &g.meta));
    e.with(g.primitives.iter().map(primitive))
}

fn resource(r: &Resource) -> Element {
    match r {
        Resource::Primitive(p) => primitive(p),
        Resource::Group(g) => group(g),
        Resource::Clone(c) => {
            let mut e = Element::new("clone", &[("id", &c.id)]);
            e.children.extend(pairs("meta_attributes", &format!("{}-meta_attributes", c.id), &c.meta));
            e.with([match &c.of {
                Cloned::Primitive(p) => primitive(p),
                Cloned::Group(g) => group(g),
            }])
        }
    }
}

fn constraint(c: &Constraint) -> Element {
    let put = |e: &mut Element, list: &[(&str, &Option<String>)]| {
        for (k, v) in list {
            if let Some(v) = v {
                e.set(k, v);
            }
        }
    };
    match c {
        Constraint::Location { rsc, node, score, role, id } => {
            let id = id.clone().unwrap_or_else(|| format!("location-{rsc}-{node}-{score}"));
            let mut e =
                Element::new("rsc_location", &[("id", &id), ("rsc", rsc), ("node", node), ("score", score)]);
            put(&mut e, &[("role", role)]);
            e
        }
        Constraint::Colocation { rsc, with_rsc, score, rsc_role, with_rsc_role, id } => {
            let id = id.clone().unwrap_or_else(|| format!("colocation-{rsc}-{with_rsc}-{score}"));
            let mut e = Element::new(
                "rsc_colocation",
                &[("id", &id), ("rsc", rsc), ("with-rsc", with_rsc), ("score", score)],
            );
            put(&mut e, &[("rsc-role", rsc_role), ("with-rsc-role", with_rsc_role)]);
            e
        }
        Constraint::Order { first, then, first_action, then_action, kind, symmetrical, id } => {
            let id = id.clone().unwrap_or_else(|| format!("order-{first}-{then}"));
            let mut e = Element::new("rsc_order", &[("id", &id), ("first", first), ("then", then)]);
            put(&mut e, &[("first-action", first_action), ("then-action", then_action), ("kind", kind)]);
            if let Some(s) = symmetrical {
                e.set("symmetrical", if *s { "true" } else { "false" });
            }
            e
        }
    }
}

/// The CIB of a cluster with these nodes, before anything ran.
pub fn make(cluster: &Cluster, nodes: &[(NodeId, &str, &Pacemaker)]) -> Result<Cib, XmlError> {
    if let Some(text) = &cluster.cib {
        return of_text(text, nodes);
    }
    let config = Element::new("crm_config", &[]).with(pairs(
        "cluster_property_set",
        "cib-bootstrap-options",
        &cluster.properties,
    ));
    let node = |(id, name, p): &(NodeId, &str, &Pacemaker)| {
        let mut e = Element::new("node", &[("id", &id.0.to_string()), ("uname", name)]);
        e.children.extend(pairs("instance_attributes", &format!("nodes-{}", id.0), &p.attributes));
        e.children.extend(pairs("utilization", &format!("nodes-{}-utilization", id.0), &p.utilization));
        e
    };
    let mut configuration = Element::new("configuration", &[]).with([
        config,
        Element::new("nodes", &[]).with(nodes.iter().map(node)),
        Element::new("resources", &[]).with(cluster.resources.iter().map(resource)),
        Element::new("constraints", &[]).with(cluster.constraints.iter().map(constraint)),
    ]);
    if !cluster.fencing_topology.is_empty() {
        let level = |l: &super::config::FencingLevel| {
            let id = format!("fl-{}-{}", l.target, l.index);
            let (index, devices) = (l.index.to_string(), l.devices.join(","));
            Element::new(
                "fencing-level",
                &[("id", &id), ("target", &l.target), ("index", &index), ("devices", &devices)],
            )
        };
        configuration
            .children
            .push(Element::new("fencing-topology", &[]).with(cluster.fencing_topology.iter().map(level)));
    }
    let defaults = [
        ("op_defaults", "op-options", &cluster.op_defaults),
        ("rsc_defaults", "rsc-options", &cluster.rsc_defaults),
    ];
    for (name, id, values) in defaults {
        if let Some(set) = pairs("meta_attributes", id, values) {
            configuration.children.push(Element::new(name, &[]).with([set]));
        }
    }
    let root = Element::new(
        "cib",
        &[
            ("crm_feature_set", cluster.feature_set()),
            ("validate-with", "pacemaker-3.9"),
            ("have-quorum", "0"),
        ],
    );
    Cib::of(root.with([configuration, Element::new("status", &[])]))
}

/// A CIB as an operator has saved it, before anything ran: without its status, with all nodes that Corosync has, and with the sections that
/// an operator's commands write to.
fn of_text(text: &str, nodes: &[(NodeId, &str, &Pacemaker)]) -> Result<Cib, XmlError> {
    let mut cib = Cib::read(text)?;
    cib.nodes.clear();
    let root = Arc::make_mut(&mut cib.root);
    root.set("have-quorum", "0");
    root.attributes.retain(|(k, _)| k != "dc-uuid" && k != "no-quorum-panic" && k != "execution-date");
    if root.child("status").is_none() {
        root.children.push(Element::new("status", &[]));
    }
    let Some(c) = root.children.iter_mut().find(|c| c.name == "configuration") else { return Ok(cib) };
    for name in ["crm_config", "nodes", "resources", "constraints"] {
        if c.child(name).is_none() {
            c.children.push(Element::new(name, &[]));
        }
    }
    for list in c.children.iter_mut().filter(|c| c.name == "nodes") {
        for (id, name, _) in nodes {
            if !list.children.iter().any(|n| n.get("uname") == Some(name)) {
                list.children.push(Element::new("node", &[("id", &id.0.to_string()), ("uname", name)]));
            }
        }
    }
    Ok(cib)
}

/// The primitives of a CIB, as the stack would write them, and the lines where they stand. What a template says of a primitive is filled in.
pub fn primitives(root: &Element) -> Vec<(Primitive, u32)> {
    fn pairs_of(e: &Element, set: &str) -> BTreeMap<String, String> {
        let all = e.all(set).flat_map(|s| s.all("nvpair"));
        all.filter_map(|p| Some((p.get("name")?.to_owned(), p.get("value")?.to_owned()))).collect()
    }
    fn walk(e: &Element, list: &Element, out: &mut Vec<(Primitive, u32)>) {
        if e.name == "primitive" {
            let like = e.get("template").and_then(|t| list.all("template").find(|x| x.id() == t));
            let text = |k: &str| e.get(k).or_else(|| like?.get(k));
            let agent =
                ["class", "provider", "type"].iter().filter_map(|k| text(k)).collect::<Vec<_>>().join(":");
            let mut params = like.map(|t| pairs_of(t, "instance_attributes")).unwrap_or_default();
            params.extend(pairs_of(e, "instance_attributes"));
            out.push((Primitive { id: e.id().to_owned(), agent, params, ..Primitive::default() }, e.line));
        }
        e.children.iter().for_each(|c| walk(c, list, out));
    }
    let mut out = Vec::new();
    if let Some(list) = root.find("resources") {
        list.children.iter().filter(|c| c.name != "template").for_each(|c| walk(c, list, &mut out));
    }
    out
}

/// The ids of all resources of a CIB, collections included.
pub fn ids(root: &Element) -> Vec<String> {
    fn walk(e: &Element, out: &mut Vec<String>) {
        if matches!(e.name.as_str(), "primitive" | "group" | "clone" | "master" | "bundle") {
            out.push(e.id().to_owned());
        }
        e.children.iter().for_each(|c| walk(c, out));
    }
    let mut out = Vec::new();
    if let Some(list) = root.find("resources") {
        walk(list, &mut out);
    }
    out
}

/// The first version of a CIB.
pub fn first(cib: Cib) -> Versioned {
    Versioned { epoch: 1, updates: 0, cib: Arc::new(cib) }
}

/// The state of a node, made if there is none.
fn state<'a>(cib: &'a mut Cib, name: &str) -> Option<&'a mut NodeState> {
    if let Some(at) = cib.nodes.iter().position(|s| s.name == name) {
        return cib.nodes.get_mut(at);
    }
    let list = cib.root.find("nodes")?;
    let id = list.all("node").find(|n| n.get("uname") == Some(name))?.id().to_owned();
    cib.nodes.push(NodeState { id, name: name.to_owned(), ..NodeState::default() });
    cib.nodes.last_mut()
}

/// Makes changes. What comes out is the same on every node.
pub fn apply(v: &mut Versioned, updates: &[Update]) {
    for u in updates {
        match u {
            Update::Replace(new) => *v = new.clone(),
            Update::Mark { .. } => {}
            Update::Config(operator) => {
                configure(&mut Arc::make_mut(&mut v.cib).root, operator);
                v.epoch += 1;
                v.updates = 0;
            }
            Update::NodeAttribute { node, name, value } => {
                let root = Arc::make_mut(&mut Arc::make_mut(&mut v.cib).root);
                node_attribute(root, node, name, Some(value));
                v.epoch += 1;
                v.updates = 0;
            }
            other => {
                change(Arc::make_mut(&mut v.cib), other);
                v.updates += 1;
            }
        }
    }
}

fn change(cib: &mut Cib, u: &Update) {
    match u {
        Update::Node { node, in_ccm, crmd, join, expected } => {
            let Some(s) = state(cib, node) else { return };
            let word = |b: bool| if b { "true" } else { "false" };
            if let Some(b) = in_ccm {
                s.in_ccm = Some(word(*b).into());
            }
            if let Some(b) = crmd {
                s.crmd = Some(if *b { "online" } else { "offline" }.into());
            }
            if let Some(w) = join {
                s.join = Some((*w).into());
            }
            if let Some(w) = expected {
                s.expected = Some((*w).into());
            }
        }
        Update::Op { node, of, op, .. } => {
            let Some(s) = state(cib, node) else { return };
            let at = s.histories.iter().position(|h| h.id == of.id).unwrap_or_else(|| {
                s.histories.push((**of).clone());
                s.histories.len() - 1
            });
            let ops = &mut s.histories[at].ops;
            match ops.iter_mut().find(|o| o.id == op.id) {
                Some(o) => *o = (**op).clone(),
                None => ops.push((**op).clone()),
            }
        }
        Update::EraseHistory { node, rsc } => {
            if let Some(s) = state(cib, node) {
                s.histories.retain(|h| h.id != *rsc);
            }
        }
        Update::EraseOp { node, rsc, id } => {
            if let Some(h) = state(cib, node).and_then(|s| s.histories.iter_mut().find(|h| h.id == *rsc)) {
                h.ops.retain(|o| o.id != *id);
            }
        }
        Update::Lrm { node, histories } => {
            if let Some(s) = state(cib, node) {
                s.histories = histories.to_vec();
            }
        }
        Update::Attribute { node, name, value } => {
            let Some(s) = state(cib, node) else { return };
            let id = format!("status-{}", s.id);
            let holder = s.attributes.get_or_insert_with(|| {
                Arc::new(
                    Element::new("transient_attributes", &[("id", &s.id)])
                        .with([Element::new("instance_attributes", &[("id", &id)])]),
                )
            });
            let Some(set) = Arc::make_mut(holder).children.first_mut() else { return };
            set.children.retain(|p| p.get("name") != Some(name));
            if let Some(value) = value {
                set.children.push(Element::new(
                    "nvpair",
                    &[("id", &format!("{id}-{name}")), ("name", name), ("value", value)],
                ));
            }
        }
        Update::EraseAttributes { node } => {
            if let Some(s) = state(cib, node) {
                s.attributes = None;
            }
        }
        Update::EraseNode { node } => {
            if let Some(s) = state(cib, node) {
                s.histories.clear();
                s.attributes = None;
            }
        }
        Update::Cluster { quorate, dc } => {
            let root = Arc::make_mut(&mut cib.root);
            root.set("have-quorum", if *quorate { "1" } else { "0" });
            root.set("dc-uuid", dc);
        }
        Update::Config(_) | Update::Replace(_) | Update::Mark { .. } | Update::NodeAttribute { .. } => {}
    }
}

fn section<'a>(root: &'a mut Element, name: &str) -> Option<&'a mut Element> {
    let c = root.children.iter_mut().find(|c| c.name == "configuration")?;
    c.children.iter_mut().find(|c| c.name == name)
}

/// Sets a pair in the first set of an element, which is made if there is none.
fn set_pair(e: &mut Element, set: &str, id: &str, name: &str, value: Option<&str>) {
    if !e.children.iter().any(|c| c.name == set) {
        e.children.push(Element::new(set, &[("id", id)]));
    }
    let Some(list) = e.children.iter_mut().find(|c| c.name == set) else { return };
    list.children.retain(|p| p.get("name") != Some(name));
    if let Some(value) = value {
        list.children.push(Element::new(
            "nvpair",
            &[("id", &format!("{id}-{name}")), ("name", name), ("value", value)],
        ));
    }
}

/// A permanent attribute of a node.
fn node_attribute(root: &mut Element, node: &str, name: &str, value: Option<&str>) {
    let list = section(root, "nodes");
    if let Some(e) = list.and_then(|l| l.children.iter_mut().find(|n| n.get("uname") == Some(node))) {
        let id = format!("nodes-{}", e.id());
        set_pair(e, "instance_attributes", &id, name, value);
    }
}

fn configure(root: &mut Arc<Element>, operator: &Operator) {
    let root = Arc::make_mut(root);
    let constrain = |root: &mut Element, e: Element| {
        if let Some(list) = section(root, "constraints") {
            list.children.retain(|c| c.id() != e.id());
            list.children.push(e);
        }
    };
    match operator {
        Operator::Standby { node } | Operator::Unstandby { node } => {
            let value = matches!(operator, Operator::Standby { .. }).then_some("on");
            node_attribute(root, node, "standby", value);
        }
        Operator::NodeMaintenance { node, on } => {
            let list = section(root, "nodes");
            if let Some(e) = list.and_then(|l| l.children.iter_mut().find(|n| n.get("uname") == Some(node))) {
                let id = format!("nodes-{}", e.id());
                set_pair(e, "instance_attributes", &id, "maintenance", on.then_some("true"));
            }
        }
        Operator::Move { resource, to } => {
            // A ban of the new place would be stronger than the wish.
            let ban = format!("cli-ban-{resource}-on-{to}");
            if let Some(list) = section(root, "constraints") {
                list.children.retain(|c| c.id() != ban);
            }
            let id = format!("cli-prefer-{resource}");
            let e = Element::new(
                "rsc_location",
                &[("id", &id), ("rsc", resource), ("role", "Started"), ("node", to), ("score", "INFINITY")],
            );
            constrain(root, e);
        }
        Operator::Ban { resource, node } => {
            let id = format!("cli-ban-{resource}-on-{node}");
            let e = Element::new(
                "rsc_location",
                &[
                    ("id", &id),
                    ("rsc", resource),
                    ("role", "Started"),
                    ("node", node),
                    ("score", "-INFINITY"),
                ],
            );
            constrain(root, e);
        }
        Operator::Clear { resource } => {
            if let Some(list) = section(root, "constraints") {
                let (prefer, ban) = (format!("cli-prefer-{resource}"), format!("cli-ban-{resource}-on-"));
                list.children.retain(|c| c.id() != prefer && !c.id().starts_with(&ban));
            }
        }
        Operator::Maintenance { on } => {
            property(root, "maintenance-mode", if *on { "true" } else { "false" })
        }
        Operator::Property { name, value } => property(root, name, value),
        Operator::Cleanup { .. } | Operator::Fence { .. } => {}
    }
}

fn property(root: &mut Element, name: &str, value: &str) {
    if let Some(list) = section(root, "crm_config") {
        set_pair(list, "cluster_property_set", "cib-bootstrap-options", name, Some(value));
    }
}

/// The primitives that a resource stands for: itself, or what is in a group, a clone, a bundle.
pub fn primitives_of(root: &Element, id: &str) -> Vec<String> {
    fn walk(e: &Element, id: &str, inside: bool, out: &mut Vec<String>) {
        let inside = inside || e.id() == id;
        if e.name == "primitive" && inside {
            out.push(e.id().to_owned());
        }
        e.children.iter().for_each(|c| walk(c, id, inside, out));
    }
    let mut out = Vec::new();
    if let Some(list) = root.find("resources") {
        walk(list, id, false, &mut out);
    }
    out
}

/// A cluster property.
pub fn property_of<'a>(root: &'a Element, name: &str) -> Option<&'a str> {
    let sets = root.find("crm_config")?;
    sets.all("cluster_property_set")
        .flat_map(|s| s.all("nvpair"))
        .find(|p| p.get("name") == Some(name))?
        .get("value")
}
/// A transient attribute of a node.
pub fn transient<'a>(cib: &'a Cib, node: &str, name: &str) -> Option<&'a str> {
    let state = cib.nodes.iter().find(|s| s.name == node)?;
    let set = state.attributes.as_ref()?.children.first()?;
    set.children.iter().find(|p| p.get("name") == Some(name))?.get("value")
}
/// A permanent attribute of a node.
pub fn permanent<'a>(cib: &'a Cib, node: &str, name: &str) -> Option<&'a str> {
    let node = cib.root.find("nodes")?.all("node").find(|n| n.get("uname") == Some(node))?;
    let mut pairs = node.all("instance_attributes").flat_map(|s| s.all("nvpair"));
    pairs.find(|p| p.get("name") == Some(name))?.get("value")
}
/// Whether a node is online, as `crm_mon` sees it.
pub fn online(cib: &Cib, node: &str) -> bool {
    let is = |v: &Option<String>, w: &str| v.as_deref() == Some(w);
    cib.nodes
        .iter()
        .any(|s| s.name == node && is(&s.in_ccm, "true") && is(&s.crmd, "online") && is(&s.join, "member"))
}
