//! Configurations of schemas before 3.0, read as the cluster itself upgrades them: options with new names, defaults that have moved, and
//! settings of operations that became settings of resources.
//!
//! Source: the renamings announced in the release notes of Pacemaker 2.0, checked against `crm_simulate` 2.1.5.

use super::xml::Element;

/// Whether a document is of a schema that the cluster upgrades.
fn is_old(root: &Element) -> bool {
    let Some(schema) = root.get("validate-with") else { return true };
    if schema.starts_with("transitional") {
        return true;
    }
    schema
        .strip_prefix("pacemaker-")
        .and_then(|v| v.split('.').next())
        .is_some_and(|major| matches!(major, "0" | "1" | "2"))
}

/// Upgrades a document, if it is old.
pub(super) fn upgrade(root: &mut Element) {
    if !is_old(root) {
        return;
    }
    let Some(configuration) = root.children.iter_mut().find(|c| c.name == "configuration") else { return };
    let mut moved: [Vec<(&str, String)>; 2] = [Vec::new(), Vec::new()];
    for part in &mut configuration.children {
        match part.name.as_str() {
            "crm_config" => part.children.iter_mut().for_each(|set| options(set, &mut moved)),
            "nodes" => part.children.iter_mut().for_each(node),
            "resources" => part.children.iter_mut().for_each(resource),
            _ => {}
        }
    }
    for (place, list) in ["rsc_defaults", "op_defaults"].into_iter().zip(moved) {
        if list.is_empty() {
            continue;
        }
        let id = format!("upgraded-{place}");
        let pairs = list.iter().map(|(n, v)| pair(&id, n, v)).collect::<Vec<_>>();
        let set = Element::new("meta_attributes", &[("id", &id)]).with(pairs);
        match configuration.children.iter_mut().find(|c| c.name == place) {
            Some(defaults) => defaults.children.insert(0, set),
            None => configuration.children.push(Element::new(place, &[]).with([set])),
        }
    }
}

fn pair(prefix: &str, name: &str, value: &str) -> Element {
    Element::new("nvpair", &[("id", &format!("{prefix}-{name}")), ("name", name), ("value", value)])
}

/// Failures after which a node is banned, from the older weight of a failure: only the absolute one has a meaning today.
fn threshold(weight: &str) -> Option<&'static str> {
    (weight == "-INFINITY").then_some("1")
}

fn options(set: &mut Element, moved: &mut [Vec<(&'static str, String)>; 2]) {
    set.children.retain_mut(|p| {
        let Some(name) = p.get("name").map(|n| n.replace('_', "-")) else { return true };
        let value = p.get("value").unwrap_or_default().to_owned();
        match name.as_str() {
            "default-resource-stickiness" => moved[0].push(("resource-stickiness", value)),
            "is-managed-default" => moved[0].push(("is-managed", value)),
            "default-action-timeout" => moved[1].push(("timeout", value)),
            "default-resource-failure-stickiness" => {
                moved[0].extend(threshold(&value).map(|t| ("migration-threshold", t.to_owned())))
            }
            "default-migration-threshold"
            | "expected-quorum-votes"
            | "notification-agent"
            | "notification-recipient" => {}
            "transition-idle-timeout" => {
                p.set("name", "cluster-delay");
                return true;
            }
            _ => {
                let known = super::known::is_option(&name);
                if known && p.get("name") != Some(&name) {
                    p.set("name", &name);
                }
                return true;
            }
        }
        false
    });
}

fn node(e: &mut Element) {
    if e.get("type") == Some("normal") {
        e.set("type", "member");
    }
}

fn resource(e: &mut Element) {
    if !matches!(e.name.as_str(), "primitive" | "template") {
        return e.children.iter_mut().for_each(resource);
    }
    let mut requires = None;
    for part in &mut e.children {
        match part.name.as_str() {
            "meta_attributes" => meta(part),
            "operations" => {
                for op in part.children.iter_mut().filter(|o| o.name == "op") {
                    requires = operation(op).or(requires);
                }
            }
            _ => {}
        }
    }
    if let Some(value) = requires {
        let id = format!("upgraded-{}", e.id());
        e.children
            .push(Element::new("meta_attributes", &[("id", &id)]).with([pair(&id, "requires", &value)]));
    }
}

fn meta(set: &mut Element) {
    set.children.retain_mut(|p| {
        let name = p.get("name").unwrap_or_default().replace('_', "-");
        if name == "resource-failure-stickiness" {
            let Some(t) = p.get("value").and_then(threshold) else { return false };
            p.set("name", "migration-threshold");
            p.set("value", t);
        } else if matches!(
            name.as_str(),
            "isolation" | "isolation-host" | "isolation-instance" | "isolation-wrapper"
        ) {
            p.set("name", "target-role");
            p.set("value", "Stopped");
        }
        true
    });
}

/// What an operation says moves to where it is read today; what it requires is the resource's.
fn operation(op: &mut Element) -> Option<String> {
    let counts = matches!(op.get("name"), Some("start" | "promote"));
    let mut requires = op.get("requires").map(str::to_owned);
    op.attributes.retain(|(k, _)| k != "requires");
    let mut settings = Vec::new();
    for set in op
        .children
        .iter_mut()
        .filter(|c| matches!(c.name.as_str(), "meta_attributes" | "instance_attributes"))
    {
        let parameters = set.name == "instance_attributes";
        set.children.retain(|p| {
            let (name, value) = (p.get("name").unwrap_or_default(), p.get("value").unwrap_or_default());
            if name == "requires" {
                requires = Some(value.to_owned());
                return false;
            }
            let setting = matches!(
                name,
                "interval-origin"
                    | "start-delay"
                    | "enabled"
                    | "on-fail"
                    | "record-pending"
                    | "role"
                    | "timeout"
            );
            if parameters && setting {
                settings.push((name.to_owned(), value.to_owned()));
            }
            !(parameters && setting)
        });
    }
    if !settings.is_empty() {
        let id = format!("upgraded-{}", op.id());
        let pairs = settings.iter().map(|(n, v)| pair(&id, n, v)).collect::<Vec<_>>();
        op.children.push(Element::new("meta_attributes", &[("id", &id)]).with(pairs));
    }
    requires.filter(|_| counts)
}

#[cfg(test)]
mod tests {
    use super::super::xml::parse;

    #[test]
    fn old_options_become_defaults() {
        let text = "<cib validate-with='pacemaker-1.2'><configuration><crm_config><cluster_property_set id='o'>\
            <nvpair id='a' name='default-resource-stickiness' value='7'/><nvpair id='b' name='no_quorum_policy' value='ignore'/>\
            <nvpair id='c' name='default-resource-failure-stickiness' value='-INFINITY'/></cluster_property_set></crm_config>\
            <nodes><node id='1' uname='a' type='normal'/></nodes></configuration></cib>";
        let mut root = parse(text).unwrap();
        super::upgrade(&mut root);
        let pairs = |e: &str| {
            let found = root.find(e).unwrap().children[0].children.iter();
            found
                .map(|p| format!("{}={}", p.get("name").unwrap(), p.get("value").unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(pairs("crm_config"), ["no-quorum-policy=ignore"]);
        assert_eq!(pairs("rsc_defaults"), ["resource-stickiness=7", "migration-threshold=1"]);
        assert_eq!(root.find("node").unwrap().get("type"), Some("member"));
        let mut new = parse(&text.replace("pacemaker-1.2", "pacemaker-3.9")).unwrap();
        let before = new.clone();
        super::upgrade(&mut new);
        assert_eq!(new, before);
    }
}
