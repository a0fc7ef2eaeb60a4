//! What a sweep or a comparison keeps of a run: one flat row, the same in JSONL, CSV and Parquet.
//!
//! | column | what |
//! |---|---|
//! | `run` | the number of the run in its design, from 0 |
//! | `drill`, `stack`, `seed` | what was played |
//! | `knob.PATH` | a varied setting, as text (`knob.patroni.ttl`) |
//! | `digest` | the fingerprint that `firedrill run` prints for the same drill, stack, settings and seed |
//! | `verdict` | `pass`, `fail` or `inconclusive` |
//! | `events`, `simulated_ms` | the size of the run |
//! | `first_fault_ms` | the moment of the first fault; absent if there was none |
//! | the names of [`Metric`] | as in `run --format json` |
//! | `write_outages`, `read_outages` | windows, `[[from_ms, to_ms], ..]`; in CSV and Parquet `from-to from-to` |
//! | `error.KIND` | requests that failed so; absent if none |
//! | `broken.INVARIANT_ms` | how long an invariant was broken; absent if never, 0 if for less than half a microsecond |
//! | `mark.KIND_ms` | the first mark of that kind, counted from the first fault, at that moment or later; absent if it never came. Without a fault: counted from the start |

use crate::engine::Time;
use crate::trace::metrics::{Metric, Metrics, Unit, Window, decimal, micros};
use crate::trace::run::Run;
use crate::trace::verdict::Judgement;
use std::fmt::Write as _;

/// A run's row. Times are in microseconds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// The number of the run in its design, from 0.
    pub run: u64,
    /// The drill.
    pub drill: String,
    /// The stack.
    pub stack: String,
    /// The seed.
    pub seed: u64,
    /// The varied settings: path and value, in the order of the header.
    pub knobs: Vec<(String, String)>,
    /// The fingerprint.
    pub digest: u64,
    /// The verdict.
    pub verdict: Judgement,
    /// Events handled.
    pub events: u64,
    /// The end of the run.
    pub simulated: u64,
    /// The first fault.
    pub first_fault: Option<u64>,
    /// The figures.
    pub metrics: Metrics,
    /// The first mark of each kind after the first fault, counted from it; in the order of the kinds.
    pub marks: Vec<(String, u64)>,
}

/// The value of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cell<'a> {
    /// Words.
    Text(&'a str),
    /// A figure in the parts of its unit.
    Figure(u64, Unit),
    /// A fingerprint, written in sixteen hexadecimal digits.
    Digest(u64),
    /// Windows of time.
    Windows(&'a [Window]),
}

impl Cell<'_> {
    /// The value as plain text, for CSV.
    pub fn text(&self) -> String {
        match self {
            Cell::Text(t) => (*t).to_owned(),
            Cell::Figure(v, unit) => decimal(*v, unit.scale()),
            Cell::Digest(d) => format!("{d:016x}"),
            Cell::Windows(list) => {
                let one = |w: &Window| format!("{}-{}", decimal(w.0, 1_000), decimal(w.1, 1_000));
                list.iter().map(one).collect::<Vec<_>>().join(" ")
            }
        }
    }
    fn json(&self, out: &mut String) {
        match self {
            Cell::Text(t) => out.push_str(&serde_json::Value::from(*t).to_string()),
            Cell::Figure(..) => out.push_str(&self.text()),
            Cell::Digest(d) => {
                let _ = write!(out, "\"{d:016x}\"");
            }
            Cell::Windows(list) => {
                out.push('[');
                for (i, w) in list.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    let _ = write!(out, "{comma}[{},{}]", decimal(w.0, 1_000), decimal(w.1, 1_000));
                }
                out.push(']');
            }
        }
    }
}

impl Row {
    /// What is kept of a run.
    pub fn of(run: u64, drill: &str, stack: &str, knobs: &[(String, String)], r: &Run) -> Row {
        let first = r.first_fault();
        let from = first.unwrap_or(Time::ZERO);
        let mut marks: Vec<(String, u64)> = Vec::new();
        for m in r.marks.iter().filter(|m| m.at >= from && m.kind != "fault") {
            if let Err(i) = marks.binary_search_by(|x| x.0.as_str().cmp(m.kind)) {
                marks.insert(i, (m.kind.to_owned(), micros(Time(m.at.since(from).0))));
            }
        }
        let mut row = Row {
            run,
            drill: drill.to_owned(),
            stack: stack.to_owned(),
            seed: r.seed,
            knobs: knobs.to_vec(),
            digest: r.digest,
            verdict: r.verdict.whole,
            events: r.events,
            simulated: micros(r.end),
            first_fault: first.map(micros),
            metrics: Metrics::of(r),
            marks,
        };
        row.by_name();
        row
    }
    /// Puts the open lists (errors, invariants, marks) in the order of their names. A row that was read has no other order, because
    /// JSON objects have none, and a merged file has to be the one that a single machine writes.
    fn by_name(&mut self) {
        self.metrics.errors.retain(|e| e.1 > 0);
        self.metrics.errors.sort_unstable();
        self.metrics.broken.sort_unstable();
        self.marks.sort_unstable();
    }
    /// Every column that the row has, in order.
    pub fn each(&self, mut f: impl FnMut(&str, Cell<'_>)) {
        let count = |n| Cell::Figure(n, Unit::Count);
        f("run", count(self.run));
        f("drill", Cell::Text(&self.drill));
        f("stack", Cell::Text(&self.stack));
        f("seed", count(self.seed));
        for (path, value) in &self.knobs {
            f(&format!("knob.{path}"), Cell::Text(value));
        }
        f("digest", Cell::Digest(self.digest));
        f("verdict", Cell::Text(verdict(self.verdict)));
        f("events", count(self.events));
        f("simulated_ms", Cell::Figure(self.simulated, Unit::Ms));
        if let Some(at) = self.first_fault {
            f("first_fault_ms", Cell::Figure(at, Unit::Ms));
        }
        for m in Metric::ALL {
            f(m.name(), Cell::Figure(self.metrics.get(m), m.unit()));
        }
        f("write_outages", Cell::Windows(&self.metrics.write_outages));
        f("read_outages", Cell::Windows(&self.metrics.read_outages));
        for (kind, n) in self.metrics.errors.iter().filter(|e| e.1 > 0) {
            f(&format!("error.{kind}"), count(*n));
        }
        for (name, us) in &self.metrics.broken {
            f(&format!("broken.{name}_ms"), Cell::Figure(*us, Unit::Ms));
        }
        for (kind, us) in &self.marks {
            f(&format!("mark.{kind}_ms"), Cell::Figure(*us, Unit::Ms));
        }
    }
    /// The row as one JSON object, without a line's end.
    pub fn json(&self) -> String {
        let mut out = String::with_capacity(1_024);
        self.each(|name, cell| {
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&serde_json::Value::from(name).to_string());
            out.push(':');
            cell.json(&mut out);
        });
        out.push('}');
        out
    }
    /// A row from a JSON object.
    pub fn from_json(line: &str) -> Result<Row, String> {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let object = value.as_object().ok_or("not an object")?;
        let mut row = Row::default();
        for (name, value) in object {
            let text = match value {
                serde_json::Value::String(s) => s.clone(),
                serde_json::Value::Array(list) => windows(list).ok_or_else(|| format!("bad `{name}`"))?,
                other => other.to_string(),
            };
            row.set(name, &text).ok_or_else(|| format!("bad `{name}`: {text}"))?;
        }
        row.settle(object.keys().map(String::as_str));
        Ok(row)
    }
    /// Orders what a file may give in another order: the columns decide about the knobs.
    pub(super) fn settle<'a>(&mut self, columns: impl Iterator<Item = &'a str>) {
        let order: Vec<&str> = columns.filter_map(|c| c.strip_prefix("knob.")).collect();
        self.knobs.sort_by_key(|k| order.iter().position(|o| *o == k.0));
        self.by_name();
    }
    /// Sets a column from its text; `None` if the text is no value of that column or nobody knows it.
    pub(super) fn set(&mut self, name: &str, text: &str) -> Option<()> {
        let figure = |unit: Unit| parse(text, unit.scale());
        let ms_of = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix("_ms");
        match name {
            "run" => self.run = text.parse().ok()?,
            "drill" => self.drill = text.to_owned(),
            "stack" => self.stack = text.to_owned(),
            "seed" => self.seed = text.parse().ok()?,
            "digest" => self.digest = u64::from_str_radix(text, 16).ok()?,
            "verdict" => {
                let all = [Judgement::Pass, Judgement::Inconclusive, Judgement::Fail];
                self.verdict = all.into_iter().find(|v| verdict(*v) == text)?;
            }
            "events" => self.events = text.parse().ok()?,
            "simulated_ms" => self.simulated = figure(Unit::Ms)?,
            "first_fault_ms" => self.first_fault = Some(figure(Unit::Ms)?),
            "write_outages" => self.metrics.write_outages = parse_windows(text)?,
            "read_outages" => self.metrics.read_outages = parse_windows(text)?,
            _ => {
                if let Some(m) = Metric::ALL.into_iter().find(|m| m.name() == name) {
                    self.metrics.set(m, figure(m.unit())?);
                } else if let Some(path) = name.strip_prefix("knob.") {
                    self.knobs.push((path.to_owned(), text.to_owned()));
                } else if let Some(kind) = name.strip_prefix("error.") {
                    self.metrics.errors.push((kind.to_owned(), text.parse().ok()?));
                } else if let Some(invariant) = ms_of("broken.") {
                    self.metrics.broken.push((invariant.to_owned(), figure(Unit::Ms)?));
                } else if let Some(kind) = ms_of("mark.") {
                    self.marks.push((kind.to_owned(), figure(Unit::Ms)?));
                } else {
                    return None;
                }
            }
        }
        Some(())
    }
    /// A column as a number, for charts: milliseconds, a share of one, a count. `None` if the run has no such column or it is text.
    pub fn number(&self, name: &str) -> Option<f64> {
        let mut found = None;
        self.each(|column, cell| {
            if let Cell::Figure(v, unit) = cell
                && column == name
            {
                found = Some(v as f64 / unit.scale() as f64);
            }
        });
        found
    }
    /// The value of a varied setting.
    pub fn knob(&self, path: &str) -> Option<&str> {
        self.knobs.iter().find(|k| k.0 == path).map(|k| k.1.as_str())
    }
    /// The first mark of a kind after the first fault, in microseconds.
    pub fn mark(&self, kind: &str) -> Option<u64> {
        self.marks.iter().find(|m| m.0 == kind).map(|m| m.1)
    }
}

/// A verdict's word.
pub const fn verdict(v: Judgement) -> &'static str {
    match v {
        Judgement::Pass => "pass",
        Judgement::Inconclusive => "inconclusive",
        Judgement::Fail => "fail",
    }
}

/// A decimal number in parts.
fn parse(text: &str, scale: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = scale.ilog10() as usize;
    if part.len() > digits || !part.bytes().all(|b| b.is_ascii_digit()) {
        // A number in the notation of another program: `1e-6`.
        let value = text.parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0)?;
        return Some((value * scale as f64).round() as u64);
    }
    let Ok(whole) = whole.parse::<u64>() else {
        let value = text.parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0)?;
        return Some((value * scale as f64).round() as u64);
    };
    let part: u64 = format!("{part:0<digits$}").parse().unwrap_or(0);
    whole.checked_mul(scale)?.checked_add(part)
}

fn parse_windows(text: &str) -> Option<Vec<Window>> {
    let one = |w: &str| {
        let (from, to) = w.split_once('-')?;
        Some((parse(from, 1_000)?, parse(to, 1_000)?))
    };
    text.split(' ').filter(|w| !w.is_empty()).map(one).collect()
}

fn windows(list: &[serde_json::Value]) -> Option<String> {
    let one = |w: &serde_json::Value| match w.as_array()?.as_slice() {
        [from, to] => Some(format!("{from}-{to}")),
        _ => None,
    };
    Some(list.iter().map(one).collect::<Option<Vec<_>>>()?.join(" "))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn some() -> Row {
        let mut metrics = Metrics::default();
        metrics.set(Metric::WriteOutageMax, 12_345_678);
        metrics.set(Metric::WriteAvailability, 1);
        metrics.set(Metric::ReadAvailability, 1_000_000);
        metrics.set(Metric::LostWrites, 3);
        metrics.write_outages = vec![(60_000_000, 72_345_678), (100_000_001, 240_000_000)];
        metrics.errors = vec![("08006".to_owned(), 2), ("timeout".to_owned(), 7)];
        metrics.broken = vec![("SplitBrain".to_owned(), 400)];
        Row {
            run: 7,
            drill: "a/b".to_owned(),
            stack: "quo\"ted, stack".to_owned(),
            seed: u64::MAX,
            knobs: vec![
                ("patroni.ttl".to_owned(), "20s".to_owned()),
                ("a.b".to_owned(), "x,\"y\"".to_owned()),
            ],
            digest: 0xfeed,
            verdict: Judgement::Inconclusive,
            events: 99,
            simulated: 240_000_000,
            first_fault: Some(60_000_000),
            metrics,
            marks: vec![("demoted".to_owned(), 0), ("promoted".to_owned(), 22_100_050)],
        }
    }

    #[test]
    fn a_row_survives_json() {
        let row = some();
        let text = row.json();
        assert!(
            text.contains("\"mark.promoted_ms\":22100.05,")
                || text.contains("\"mark.promoted_ms\":22100.05}")
        );
        assert!(text.contains("\"write_availability\":0.000001,\"read_availability\":1,"));
        assert!(text.contains("\"write_outages\":[[60000,72345.678],[100000.001,240000]]"));
        // JSON knows no order of its fields: a file's header does.
        let mut sorted = row.clone();
        sorted.knobs.sort();
        assert_eq!(Row::from_json(&text), Ok(sorted));
        assert_eq!(row.number("mark.promoted_ms"), Some(22_100.05));
        assert_eq!(row.number("mark.fenced_ms"), None);
        assert_eq!(row.knob("a.b"), Some("x,\"y\""));
    }

    #[test]
    fn bad_rows_are_refused() {
        for bad in
            ["", "[]", "{\"run\":-1}", "{\"verdict\":\"maybe\"}", "{\"what\":1}", "{\"write_outages\":[[1]]}"]
        {
            assert!(Row::from_json(bad).is_err(), "{bad}");
        }
    }
}
