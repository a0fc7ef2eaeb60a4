//! Why something happened in a Pacemaker cluster: the last of each kind of step between the fault and it. Causes pass through so many messages (the CIB,
//! the process groups, the executors) that the chain of events itself would tell nothing.

use super::story::{Style, line};
use crate::engine::Time;
use crate::trace::marks::Mark;
use crate::trace::run::Run;
use unicode_width::UnicodeWidthStr;

/// What is explained this way.
const ASKED: [&str; 12] = [
    "violation",
    "resource_started",
    "resource_stopped",
    "promoted",
    "demoted",
    "vip_up",
    "vip_down",
    "arp_moved",
    "fenced",
    "fence_failed",
    "power_cut",
    "watchdog_reset",
];
/// The steps of a recovery.
const STEPS: [&str; 17] = [
    "fenced",
    "fence_failed",
    "thawed",
    "healed",
    "power_cut",
    "watchdog_reset",
    "poison_pill",
    "pill_written",
    "stops_feeding",
    "watchdog_awaited",
    "fence_agent",
    "fence_delayed",
    "fence_requested",
    "cib_asked_again",
    "node_lost",
    "quorum_lost",
    "resource_failed",
];

/// The steps that led to a mark, newest first, one line to a step; nothing if it is no cluster's.
pub(super) fn explain(r: &Run, m: &Mark) -> Vec<String> {
    if !ASKED.contains(&m.kind) || !r.marks.iter().any(|x| x.kind == "decided") {
        return Vec::new();
    }
    let before = |x: &&Mark| x.at <= m.at && x.event != m.event;
    let fault = r.marks.iter().filter(before).filter(|x| x.kind == "fault").map(|x| x.at).next_back();
    let from = fault.unwrap_or(Time::ZERO);
    let order = r.marks.iter().filter(before).rfind(|x| x.kind == "fence_requested" && x.at >= from);
    // What went before an order is of interest where it was given.
    let counts = |x: &Mark| {
        let early = matches!(x.kind, "node_lost" | "cib_asked_again");
        order.filter(|_| early).is_none_or(|o| x.host == o.host && x.at <= o.at)
    };
    let last =
        |kind: &str| r.marks.iter().filter(before).rfind(|x| x.kind == kind && x.at >= from && counts(x));
    let mut steps: Vec<&Mark> = STEPS.iter().filter_map(|k| last(k)).collect();
    steps.sort_by_key(|x| std::cmp::Reverse((x.at, x.event)));
    steps.iter().map(|x| line(x, r, x.text.width(), Style::default()).trim_end().to_owned()).collect()
}
