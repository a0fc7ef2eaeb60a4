//! What Pacemaker's scheduler had decided when something of a resource or a node happened: its line of the summary, its reason, the scores.

use crate::node::log::What;
use crate::proto::crm::note::Note;
use crate::proto::pacemaker::history::base_name;
use crate::say;
use crate::trace::marks::Mark;
use crate::trace::run::Run;

/// The resource or the node that a fact is about.
fn about(n: &Note) -> Option<&str> {
    Some(match n {
        Note::Started { rsc, .. }
        | Note::Stopped { rsc, .. }
        | Note::Promoted { rsc, .. }
        | Note::Demoted { rsc, .. }
        | Note::VipUp { rsc, .. }
        | Note::VipDown { rsc, .. } => rsc,
        Note::FenceRequested { target, .. } | Note::Fenced { target, .. } => target,
        Note::Decided { line, .. } => &line.what,
        _ => return None,
    })
}

/// The decision behind a mark, one line to a fact; nothing if the mark is no doing of Pacemaker's.
pub(super) fn explain(r: &Run, m: &Mark) -> Vec<String> {
    let crm = |e: &crate::sim::LogEntry| match &e.what {
        What::Note(crate::proto::Note::Crm(n)) => Some((**n).clone()),
        _ => None,
    };
    let notes = r.log.iter().filter(|e| e.event == m.event && e.host == m.host).filter_map(crm);
    let Some(fact) = notes.filter(|n| n.mark() == Some(m.kind)).find(|n| n.text().0 == m.text) else {
        return Vec::new();
    };
    let Some(what) = about(&fact) else { return Vec::new() };
    let decided = |e: &crate::sim::LogEntry| match crm(e) {
        Some(Note::Decided { line, .. }) if line.what == what || base_name(&line.what) == what => Some(line),
        _ => None,
    };
    let before = r.log.iter().rev().filter(|e| e.at <= m.at);
    let Some((e, line)) = before.into_iter().find_map(|e| decided(e).map(|l| (e, l))) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if !matches!(fact, Note::Decided { .. }) {
        let (dc, at) = (r.host(e.host), e.at);
        let (change, what, details) = (&line.change, &line.what, &line.details);
        out.push(say!("why-crm-decided", dc = dc, at = at, change = change, what = what, details = details));
        if !line.reason.is_empty() {
            out.push(say!("why-crm-reason", reason = line.reason));
        }
    }
    let node = line.details.rsplit("-> ").next().unwrap_or_default().trim();
    for step in line.story.split("; ").filter(|s| !s.is_empty()) {
        out.push(say!("why-crm-score", node = node, step = step));
    }
    out
}
