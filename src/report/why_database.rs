//! Why a database did what it did: the decisions between the fault and the moment, each with its reason, and what would have prevented two
//! primaries.

use crate::node::process::HostId;
use crate::report::story::{Style, line};
use crate::say;
use crate::trace::marks::Mark;
use crate::trace::run::Run;
use unicode_width::UnicodeWidthStr;

/// The kinds of marks that decisions are.
const SPINE: [&str; 13] = [
    "fault",
    "healed",
    "lease_expired",
    "leader_elected",
    "leader_lost",
    "demoted",
    "promoted",
    "detected",
    "watchdog_reset",
    "backend_down",
    "quorum_lost",
    "quorum_gained",
    "key_released",
];
/// The most decisions that are told.
const TOLD: usize = 14;

/// What led to a mark, the latest first, and what a watchdog would have done about two primaries.
pub(super) fn explain(r: &Run, m: &Mark) -> Vec<String> {
    let since = r.first_fault().unwrap_or(m.at);
    let before = |x: &&Mark| x.at >= since && x.at <= m.at && !std::ptr::eq(*x, m) && SPINE.contains(&x.kind);
    let spine: Vec<&Mark> = r.marks.iter().filter(before).collect();
    let told = spine.iter().rev().take(TOLD).map(|x| {
        let text = line(x, r, x.text.width(), Style::default());
        text.trim_start_matches(|c: char| c.is_whitespace() || "x*!h-+".contains(c)).to_owned()
    });
    let mut lines: Vec<String> = told.collect();
    if m.kind == "violation"
        && m.text.starts_with("SplitBrain")
        && let Some(host) = r.old_primary
    {
        lines.extend(watchdog(r, m, host));
    }
    lines
}

/// What a watchdog did, or would have done, on the host of the old primary.
fn watchdog(r: &Run, m: &Mark, host: HostId) -> Option<String> {
    let host_name = r.host(Some(host));
    let (_, at, dog) = r.renewals.iter().rev().find(|(h, at, _)| *h == host && *at <= m.at)?;
    let reset = *at + dog.timeout;
    let end = *at + dog.ttl;
    Some(if dog.running {
        say!("why-watchdog-runs", host = host_name, at = at, timeout = dog.timeout)
    } else {
        say!(
            "why-watchdog-would",
            host = host_name,
            at = at,
            timeout = dog.timeout,
            reset = reset,
            end = end,
            margin = end.since(reset)
        )
    })
}
