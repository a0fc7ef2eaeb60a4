//! The machine-readable result of a run. The fields do not change meaning between releases.

use crate::engine::Time;
use crate::trace::metrics::{Metric, Metrics, Unit, Window, decimal, micros};
use crate::trace::run::Run;
use serde_json::{Value, json};

fn ms(t: Time) -> Value {
    number(micros(t), Unit::Ms)
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
    let m = Metrics::of(r);
    let because = |v: &crate::trace::run::Violation| -> Vec<String> {
        r.marks
            .iter()
            .filter(|m| m.at <= v.from && tells(m.kind))
            .rev()
            .take(3)
            .map(|m| format!("{} {} {}: {}", m.at, r.host(m.host), m.text, m.why))
            .collect()
    };
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
        "metrics": metrics(&m),
    })
}

/// The figures, by their names.
fn metrics(m: &Metrics) -> Value {
    let windows = |list: &[Window]| -> Value {
        list.iter()
            .map(|w| json!({"from_ms": number(w.0, Unit::Ms), "to_ms": number(w.1, Unit::Ms)}))
            .collect()
    };
    let mut all = serde_json::Map::new();
    all.insert("write_outages".to_owned(), windows(&m.write_outages));
    all.insert("read_outages".to_owned(), windows(&m.read_outages));
    for metric in Metric::ALL {
        all.insert(metric.name().to_owned(), number(m.get(metric), metric.unit()));
        if metric == Metric::FailedRequests {
            let errors = m.errors.iter().map(|(k, n)| (k.clone(), json!(n))).collect();
            all.insert("errors".to_owned(), Value::Object(errors));
        }
    }
    Value::Object(all)
}

/// A figure in its unit. A float is for reading only, nothing decides on it.
fn number(value: u64, unit: Unit) -> Value {
    match unit {
        Unit::Share => json!(value as f64 / 1e6),
        unit => serde_json::from_str(&decimal(value, unit.scale())).unwrap_or(json!(value / unit.scale())),
    }
}
