//! The machine-readable result of a run. The fields do not change meaning between releases.

use crate::engine::{MS, Time};
use crate::trace::outage::Outage;
use crate::trace::run::Run;
use serde_json::{Value, json};

fn ms(t: Time) -> Value {
    // Three decimals are microseconds; a float is for reading only, nothing decides on it.
    let us = (t.0 + 500) / 1_000;
    if us.is_multiple_of(1_000) {
        json!(us / 1_000)
    } else {
        serde_json::from_str(&format!("{}.{:03}", us / 1_000, us % 1_000)).unwrap_or(json!(t.0 / MS))
    }
}
fn windows(list: &[Outage]) -> Value {
    list.iter().map(|o| json!({"from_ms": ms(o.from), "to_ms": ms(o.to)})).collect()
}

/// What a broken invariant is explained by: faults, and decisions about who serves.
fn tells(kind: &str) -> bool {
    let kinds = [
        "fault",
        "healed",
        "master",
        "promoted",
        "leader_elected",
        "lease_expired",
        "demoted",
        "watchdog_reset",
    ];
    kinds.contains(&kind)
}

/// One object for the whole run.
pub fn run(name: &str, stack: &str, r: &Run) -> Value {
    let (w, rd) = (r.outages(true), r.outages(false));
    let longest = |o: &[Outage]| o.iter().map(|o| o.length()).max().map_or(json!(0), |d| ms(Time(d.0)));
    let (ok, all) = r.requests.counts(true);
    let (rok, rall) = r.requests.counts(false);
    // Availability in millionths, computed in integers and printed as a fraction.
    let share =
        |ok: u64, all: u64| json!((ok * 1_000_000).checked_div(all).unwrap_or(1_000_000) as f64 / 1e6);
    let because = |v: &crate::trace::run::Violation| -> Vec<String> {
        r.marks
            .iter()
            .filter(|m| m.at <= v.from && tells(m.kind))
            .rev()
            .take(3)
            .map(|m| format!("{} {} {}: {}", m.at, r.host(m.host), m.text, m.why))
            .collect()
    };
    let first = r.first_fault();
    let takeovers = r.marks.iter().filter(|m| m.kind == "vip_up" && first.is_some_and(|f| m.at >= f)).count();
    let promotions =
        r.marks.iter().filter(|m| m.kind == "promoted" && first.is_some_and(|f| m.at >= f)).count();
    json!({
        "drill": name,
        "stack": stack,
        "seed": r.seed,
        "digest": format!("{:016x}", r.digest),
        "events": r.events,
        "simulated_ms": r.end.as_ms(),
        "verdict": r.verdict.whole,
        "expectations": r.verdict.each,
        "violations": r.violations.iter().map(|v| json!({
            "invariant": v.invariant, "from_ms": ms(v.from), "to_ms": ms(v.to), "detail": v.detail, "because": because(v),
        })).collect::<Vec<_>>(),
        "marks": r.marks.iter().map(|m| json!({
            "at_ms": ms(m.at),
            "kind": m.kind,
            "host": r.host(m.host),
            "process": m.pid.and_then(|p| r.processes.get(p.0 as usize)),
            "text": m.text,
            "cause": m.why,
            "event": m.event.0,
            "caused_by": m.cause.0,
        })).collect::<Vec<_>>(),
        "metrics": {
            "write_outages": windows(&w),
            "read_outages": windows(&rd),
            "write_outage_max_ms": longest(&w),
            "read_outage_max_ms": longest(&rd),
            "acked_writes": if r.database { r.balance.acked } else { ok },
            "lost_writes": r.balance.lost,
            "phantom_writes": r.balance.phantom,
            "duplicated_writes": r.balance.duplicated,
            "stale_read_max_ms": ms(Time(r.balance.stale_read.0)),
            "failed_requests": all - ok,
            "errors": r.requests.errors().iter().map(|(k, n)| ((*k).to_owned(), json!(n))).collect::<serde_json::Map<_, _>>(),
            "split_brain_ms": r.broken_ms("SplitBrainAnywhere"),
            "dual_vip_ms": r.broken_ms("DualVipAnywhere"),
            "write_availability": share(ok, all),
            "read_availability": share(rok, rall),
            "failovers": if r.database { promotions } else { takeovers },
        },
    })
}
