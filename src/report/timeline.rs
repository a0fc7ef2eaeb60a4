//! A run as a drawing: hosts as lanes, marks as numbered discs, outages and broken invariants as bars, faults as lines through all.

use super::svg::{Svg, fit, n};
use crate::engine::Time;
use crate::experiment::analysis::step;
use crate::say;
use crate::trace::marks::Mark;
use crate::trace::run::Run;

/// The kinds that are drawn.
const KINDS: [&str; 26] = [
    "fault",
    "healed",
    "promoted",
    "demoted",
    "master",
    "vip_up",
    "vip_down",
    "lease_expired",
    "leader_elected",
    "leader_lost",
    "watchdog_reset",
    "fence_requested",
    "fenced",
    "failover_started",
    "failover_done",
    "rejoined",
    "client_first_error",
    "client_resumed",
    "violation",
    "quorum_lost",
    "quorum_gained",
    "node_lost",
    "notified",
    "thawed",
    "booted",
    "backend_up",
];
/// Numbered marks of a drawing, at most.
const MOST: usize = 30;

/// The marks that are drawn, in order: those after the first fault, at most thirty.
pub fn chosen(run: &Run) -> Vec<&Mark> {
    let from = run.first_fault().unwrap_or(Time::ZERO);
    run.marks.iter().filter(|m| m.story && m.at >= from && KINDS.contains(&m.kind)).take(MOST).collect()
}

const WIDE: f64 = 760.0;

/// The drawing of a run.
pub fn timeline(run: &Run, title: &str) -> Svg {
    let marks = chosen(run);
    let mut hosts: Vec<usize> = marks.iter().filter_map(|m| m.host.map(|h| h.0 as usize)).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let first = run.first_fault().map_or(0.0, |t| t.0 as f64 / 1e9);
    let end = run.end.0 as f64 / 1e9;
    let from = (first - 5.0).max(0.0);
    let mut broken: Vec<&'static str> = Vec::new();
    for v in &run.violations {
        if !broken.contains(&v.invariant) {
            broken.push(v.invariant);
        }
    }
    broken.truncate(6);
    let bars = [say!("rep-writes"), say!("rep-reads")];
    let has_reads = !run.outages(false).is_empty();
    let top_rows = 1 + usize::from(has_reads) + broken.len();
    let (left, top, row, lane) = (118.0, 12.0, 20.0, 34.0);
    let lanes_at = top + row * top_rows as f64 + 10.0;
    let bottom = lanes_at + lane * hosts.len() as f64;
    let mut svg = Svg::new(WIDE, bottom + 40.0, title);
    let x = |t: f64| left + (t - from) / (end - from).max(0.001) * (WIDE - left - 16.0);
    let sec = |t: Time| t.0 as f64 / 1e9;
    let dx = step((end - from) * 1_000.0, 10) / 1_000.0;
    let mut t = (from / dx).ceil() * dx;
    while t <= end + 1e-9 {
        svg.line((x(t), top), (x(t), bottom), "grid");
        svg.text(x(t), bottom + 16.0, "soft m small", &n(t));
        t += dx;
    }
    svg.text((left + WIDE) / 2.0, bottom + 34.0, "soft m small", &say!("rep-seconds-run"));
    let line = |svg: &mut Svg, i: usize, name: &str, windows: &[(f64, f64)], class: &str| {
        let y = top + row * i as f64;
        svg.text(left - 8.0, y + 14.0, "e small", &fit(name, left - 14.0));
        svg.line((left, y + 17.0), (WIDE - 16.0, y + 17.0), "grid");
        for (a, b) in windows {
            let w = (x(*b) - x(*a)).max(2.0);
            svg.rect((x(*a), y + 4.0), (w, 12.0), class, &format!("{a:.3} - {b:.3} s"));
            if class == "bad" {
                svg.hatch((x(*a), y + 4.0), (w, 12.0));
            }
        }
    };
    let windows = |write: bool| -> Vec<(f64, f64)> {
        run.outages(write).iter().map(|o| (sec(o.from).max(from), sec(o.to))).collect()
    };
    line(&mut svg, 0, &bars[0], &windows(true), "f2");
    if has_reads {
        line(&mut svg, 1, &bars[1], &windows(false), "f5");
    }
    for (i, name) in broken.iter().enumerate() {
        let of: Vec<(f64, f64)> = run
            .violations
            .iter()
            .filter(|v| v.invariant == *name && sec(v.to) >= from)
            .map(|v| (sec(v.from).max(from), sec(v.to)))
            .collect();
        line(&mut svg, 1 + usize::from(has_reads) + i, name, &of, "bad");
    }
    for (i, h) in hosts.iter().enumerate() {
        let y = lanes_at + lane * i as f64 + lane / 2.0;
        svg.line((left, y), (WIDE - 16.0, y), "axis");
        svg.text(left - 8.0, y + 4.0, "e b", &fit(run.hosts.get(*h).map_or("", String::as_str), left - 14.0));
    }
    for m in &marks {
        let class = match m.kind {
            "fault" => "fault",
            "healed" => "heal",
            _ => continue,
        };
        svg.line((x(sec(m.at)), top), (x(sec(m.at)), bottom), class);
    }
    // Discs of one lane that would cover each other move aside, first to the right, then down.
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (k, m) in marks.iter().enumerate() {
        let lane_of = m.host.and_then(|h| hosts.iter().position(|x| *x == h.0 as usize));
        let y = lane_of.map_or(lanes_at - 4.0, |i| lanes_at + lane * i as f64 + lane / 2.0);
        let mut at = x(sec(m.at));
        while taken.iter().any(|t| (t.0 - at).abs() < 15.0 && (t.1 - y).abs() < 15.0) {
            at += 15.5;
        }
        let at = at.min(WIDE - 9.0);
        taken.push((at, y));
        let fill = match m.kind {
            "fault" | "violation" | "client_first_error" => "f6",
            "healed" | "client_resumed" | "rejoined" => "f3",
            "promoted" | "master" => "f1",
            _ => "f7",
        };
        svg.disc(at, y, 8.0, fill);
        svg.text(at, y + 3.6, "m small on", &(k + 1).to_string());
    }
    svg
}
