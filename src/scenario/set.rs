//! `--set PATH=VALUE`: the text of a file with values replaced or fields added, before it is read as strictly as ever.

use super::diag::{Diagnostic, Report, nearest};
use super::doc;
use super::syntax::{self, Arg, Kind, Node};

/// Applies overrides to a text, one after the other.
pub fn apply(file: &str, text: &str, sets: &[(String, String)]) -> Result<String, Report> {
    let mut text = text.to_owned();
    for (path, value) in sets {
        let Ok(root) = syntax::parse(&text) else { return Ok(text) };
        let edits = edits(&root, path, value).map_err(|(message, help)| Report {
            file: "--set".to_owned(),
            text: format!("{path}={value}"),
            list: vec![Diagnostic { message, span: 0..path.len(), help, warning: false }],
        })?;
        let mut edits = edits;
        edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        for (span, new) in edits {
            text.replace_range(span, &new);
        }
    }
    let _ = file;
    Ok(text)
}

/// Whether a stack has what an override names: a drill's own overrides may name daemons that another stack does without.
pub fn applies(text: &str, path: &str, value: &str) -> bool {
    syntax::parse(text).is_ok_and(|root| edits(&root, path, value).is_ok())
}

type Edit = (std::ops::Range<usize>, String);
type Wrong = (String, Option<String>);

fn edits(root: &Node, path: &str, value: &str) -> Result<Vec<Edit>, Wrong> {
    let steps: Vec<&str> = path.split('.').collect();
    let full = ["networks", "hosts", "about"];
    // `pacemaker.properties...` is the cluster's, `pacemaker.cpu_time` the daemon's.
    let cluster = steps[0] == "pacemaker"
        && steps.get(1).is_some_and(|f| {
            f.starts_with("resources[")
                || matches!(*f, "properties" | "rsc_defaults" | "op_defaults" | "times" | "version" | "cib")
        });
    if steps[0] == "drill" || full.contains(&steps[0]) || cluster {
        let path = path.strip_prefix("drill.").unwrap_or(path);
        let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
        if let Some(node) = syntax::find(root, path) {
            // The cluster's own settings are text, whatever they look like.
            let text = cluster && matches!(node.kind, Kind::Str(_)) && !value.starts_with('"');
            let value = if text { format!("{value:?}") } else { literal(field, value) };
            return Ok(vec![(node.span.clone(), value)]);
        }
        let parent = if parent.is_empty() { Some(root) } else { syntax::find(root, parent) };
        let Some(parent) = parent else { return Err((format!("there is no `{path}` to set"), None)) };
        return put(parent, &[field], value).map(|e| vec![e]);
    }
    // `keepalived.advert_int` on every host, or `lb1.keepalived.priority` on one.
    let hosts = match syntax::find(root, "hosts").map(|n| &n.kind) {
        Some(Kind::Map(pairs)) => pairs.as_slice(),
        _ => &[],
    };
    let host_name = |k: &Node| match &k.kind {
        Kind::Str(s) | Kind::Word(s) => s.clone(),
        _ => String::new(),
    };
    let one = hosts.iter().find(|(k, _)| host_name(k) == steps[0]);
    let rest = if one.is_some() { &steps[1..] } else { &steps[..] };
    if rest.len() == 1 && one.is_some() {
        return put(&one.ok_or((String::new(), None))?.1, rest, value).map(|e| vec![e]);
    }
    if rest.len() < 2 {
        let help = nearest(path, doc::paths()).map(|n| format!("did you mean `{n}`?"));
        return Err((
            format!("`{path}` names no knob: write DAEMON.KNOB, HOST.DAEMON.KNOB or a full path"),
            help,
        ));
    }
    let daemon = rest[0].to_lowercase();
    let known: Vec<&str> = doc::paths().collect();
    let knob = format!("{daemon}.{}", rest[1].split('[').next().unwrap_or(rest[1]));
    if !known.contains(&knob.as_str()) {
        let help = nearest(&knob, known.iter().copied()).map(|n| format!("did you mean `{n}`?"));
        let names: Vec<String> = hosts.iter().map(|(k, _)| host_name(k)).collect();
        let help = help.or_else(|| {
            nearest(steps[0], names.iter().map(String::as_str)).map(|n| format!("did you mean host `{n}`?"))
        });
        return Err((format!("there is no knob `{knob}`"), help));
    }
    let mut found = Vec::new();
    for (_, host) in hosts.iter().filter(|h| one.is_none_or(|o| host_name(&o.0) == host_name(&h.0))) {
        let Some(Node { kind: Kind::List(runs), .. }) = syntax::find(host, "runs") else { continue };
        for run in runs {
            if matches!(&run.kind, Kind::Struct(tag, _) if tag.to_lowercase() == daemon) {
                found.push(put(run, &rest[1..], value)?);
            }
        }
    }
    if found.is_empty() {
        return Err((format!("no host runs `{daemon}` in this stack"), None));
    }
    Ok(found)
}

/// Sets a field below a struct, adding it if it is not there.
fn put(node: &Node, steps: &[&str], value: &str) -> Result<Edit, Wrong> {
    let path = steps.join(".");
    if let Some(old) = syntax::find(node, &path) {
        return Ok((old.span.clone(), literal(steps[steps.len() - 1], value)));
    }
    let (field, parents) = steps.split_last().ok_or((String::new(), None))?;
    let parent = if parents.is_empty() { Some(node) } else { syntax::find(node, &parents.join(".")) };
    let wrong = || (format!("there is no `{path}` to set"), None);
    let Some(Node { span, kind: Kind::Struct(_, args) }) = parent else { return Err(wrong()) };
    let text = format!("{field}: {}", literal(field, value));
    let last: Option<&Arg> = args.last();
    Ok(match last {
        Some(arg) => (arg.span.end..arg.span.end, format!(", {text}")),
        None => (span.end - 1..span.end - 1, text),
    })
}

/// A value as RON: as it is if it reads as RON, in quotes otherwise.
fn literal(field: &str, value: &str) -> String {
    let number = value.parse::<i64>().is_ok();
    // A capital letter begins a word of the format, unless the field takes text.
    let text = doc::kind(field).is_some_and(|k| k.contains("String"));
    let capital = value.starts_with(|c: char| c.is_ascii_uppercase())
        && value.chars().all(|c| c.is_alphanumeric() || c == '_');
    let word = matches!(value, "true" | "false") || (capital && !text);
    let structured = value.starts_with(['[', '(', '{', '"']) || value.contains('(');
    if number || word || (structured && syntax::parse(value).is_ok()) {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}
