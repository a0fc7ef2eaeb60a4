//! Asks the installed `crm_simulate`.

use firedrill::proto::pacemaker::score;
use firedrill::proto::pacemaker::xml::{Element, parse};
use serde_json::{Map, Value, json};
use std::process::Command;

/// The program, if it is there in the version that is modelled.
pub(crate) fn program() -> Option<String> {
    ["crm_simulate", "/usr/sbin/crm_simulate"].into_iter().map(str::to_owned).find(|p| {
        let out = Command::new(p).arg("--version").output();
        out.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("Pacemaker 2.1.5"))
    })
}

/// The answer to a CIB, in the form of the stored cases; none if the program broke off.
pub(crate) fn ask(program: &str, cib: &str) -> Option<Value> {
    ask_and_save(program, cib).map(|(outcome, _)| outcome)
}

/// The same, and the CIB after the transition.
pub(crate) fn ask_and_save(program: &str, cib: &str) -> Option<(Value, String)> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cib.xml");
    std::fs::write(&file, cib).unwrap();
    let out = Command::new(program)
        .args(["-S", "-s", "--output-as=xml", "-t", "2026-01-01T12:00:00Z", "-x"])
        .arg(&file)
        .arg("-O")
        .arg(dir.path().join("next.xml"))
        .output()
        .unwrap();
    let root = parse(&String::from_utf8_lossy(&out.stdout)).ok()?;
    root.child("revised_cluster_status")?;
    let text = |e: &Element, k: &str| e.get(k).unwrap_or_default().to_owned();
    let mut scores: Map<String, Value> = Map::new();
    let mut put = |by: &str, rsc: String, node: String, score: i32| {
        scores.entry(by).or_insert_with(|| json!({}))[rsc][node] = json!(score);
    };
    for e in root.child("allocations").map(|a| a.children.as_slice()).unwrap_or_default() {
        let score = score::parse(&text(e, "score"));
        let by = match e.get("function") {
            Some("pcmk__primitive_assign") => "assign",
            Some("pcmk__group_assign") => "group",
            Some("pcmk__clone_allocate") => "clone",
            None => "promotion",
            _ => continue,
        };
        put(by, text(e, "id"), text(e, "node"), score);
    }
    let (mut actions, mut node_actions) = (Vec::new(), Vec::new());
    for e in root.child("actions").map(|a| a.children.as_slice()).unwrap_or_default() {
        let row: Map<String, Value> = e.attributes.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        if e.name == "rsc_action" {
            actions.push(Value::Object(row))
        } else {
            node_actions.push(Value::Object(row))
        }
    }
    let mut executed = Vec::new();
    for e in root.child("transition").map(|a| a.children.as_slice()).unwrap_or_default() {
        match e.name.as_str() {
            "rsc_action" => {
                let mut row = vec![json!(text(e, "resource")), json!(text(e, "op")), json!(text(e, "node"))];
                row.extend(e.get("interval").map(|i| json!(i.parse::<u64>().unwrap())));
                executed.push(Value::Array(row));
            }
            "fencing_action" => executed.push(json!([format!("!{}", text(e, "op")), text(e, "target")])),
            "cluster_action" => executed.push(json!([format!("!{}", text(e, "task")), text(e, "node")])),
            _ => {}
        }
    }
    let asked = parse(cib).ok()?;
    let outcome = json!({
        "start": places(&asked, root.child("cluster_status")?), "final": places(&asked, root.child("revised_cluster_status")?),
        "actions": actions, "node_actions": node_actions, "scores": scores, "executed": executed,
    });
    let next = std::fs::read_to_string(dir.path().join("next.xml")).ok()?;
    Some((outcome, next))
}

/// What the program does not list is nowhere.
fn places(cib: &Element, status: &Element) -> Value {
    fn names(e: &Element, out: &mut Map<String, Value>) {
        if e.name == "primitive" {
            out.insert(e.id().to_owned(), json!({}));
        }
        e.children.iter().for_each(|c| names(c, out));
    }
    fn walk(e: &Element, out: &mut Map<String, Value>) {
        if e.name == "resource" {
            let id = e.get("id").unwrap();
            let bare = id.split(':').next().unwrap();
            let place = out.entry(bare).or_insert_with(|| json!({}));
            for n in e.all("node") {
                let name = n.get("name").unwrap();
                let role = e.get("role").unwrap();
                let roles = match place[name].as_str() {
                    Some(more) => format!("{more}+{role}"),
                    None => role.to_owned(),
                };
                place[name] = json!(roles);
            }
        }
        e.children.iter().for_each(|c| walk(c, out));
    }
    let mut out = Map::new();
    if let Some(r) = cib.find("resources") {
        names(r, &mut out);
    }
    if let Some(r) = status.child("resources") {
        walk(r, &mut out);
    }
    Value::Object(out)
}
