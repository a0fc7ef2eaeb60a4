//! Stacks side by side, and the points of a sweep one below the other.

use super::story::pad;
use crate::experiment::results::Header;
use crate::experiment::row::Row;
use crate::experiment::stats::{Interval, Paired};
use crate::experiment::summary::{Group, Summary};
use crate::experiment::sweep::command;
use crate::say;
use crate::trace::metrics::Metric;
use crate::trace::verdict::Judgement;
use serde_json::{Value, json};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// Seconds from microseconds, with as many digits as can be meant.
fn seconds(us: u64) -> String {
    let ms = (us + 500) / 1_000;
    if ms < 100_000 {
        format!("{}.{:02}", ms / 1_000, ms % 1_000 / 10)
    } else {
        format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
    }
}
fn signed(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "+" };
    format!("{sign}{}", seconds(us.unsigned_abs()))
}
/// A share in percent, of parts in a million.
fn percent(parts: f64) -> String {
    format!("{:.2}%", parts / 10_000.0)
}
/// A value with its interval; an end that the runs are too few for is `-`.
fn cell<T: Copy>(i: Option<Interval<T>>, text: impl Fn(T) -> String) -> String {
    let Some(i) = i else { return "-".to_owned() };
    let end = |e: Option<T>| e.map_or("-".to_owned(), &text);
    if i.low.is_none() && i.high.is_none() {
        return text(i.value);
    }
    format!("{} {}..{}", text(i.value), end(i.low), end(i.high))
}
fn share(i: Option<Interval<f64>>) -> String {
    cell(i, |p| format!("{:.1}%", p * 100.0))
}

/// What stands in a line: its words, and a group's cell.
type Line = (String, Box<dyn Fn(&Group) -> String>);

/// The lines of the table of stacks.
fn lines() -> Vec<Line> {
    fn line(label: String, f: impl Fn(&Group) -> String + 'static) -> Line {
        (label, Box::new(f))
    }
    let head = |label: String| line(label, |_| String::new());
    let quantile = |m: Metric, permille: u32, name: &str| {
        line(format!("  {name}"), move |g| cell(g.quantile(m, permille), seconds))
    };
    let longest = |m: Metric| line(format!("  {}", say!("cmp-longest")), move |g| seconds(g.max(m)));
    let some = |m: Metric| line(format!("  {}", say!("cmp-in-runs")), move |g| share(g.some(m).1));
    let rto = Metric::WriteOutageMax;
    let available = |m: Metric, label: String| line(label, move |g| cell(g.mean(m), percent));
    vec![
        line(say!("cmp-expected"), |g| format!("{} / {}", g.verdicts(Judgement::Pass), g.runs())),
        head(say!("cmp-rto")),
        quantile(rto, 500, "p50"),
        quantile(rto, 950, "p95"),
        quantile(rto, 990, "p99"),
        line(format!("  {}", say!("cmp-max")), move |g| seconds(g.max(rto))),
        line(format!("  {}", say!("cmp-open")), |g| share(g.some(Metric::OpenOutages).1)),
        head(say!("cmp-rpo")),
        some(Metric::LostWrites),
        line(format!("  {}", say!("cmp-most")), |g| g.max(Metric::LostWrites).to_string()),
        line(format!("  {}", say!("cmp-window")), |g| seconds(g.max(Metric::LostWindow))),
        head(say!("cmp-split")),
        some(Metric::SplitBrain),
        longest(Metric::SplitBrain),
        head(say!("cmp-dual")),
        some(Metric::DualVip),
        longest(Metric::DualVip),
        available(Metric::WriteAvailability, say!("cmp-writes")),
        available(Metric::ReadAvailability, say!("cmp-reads")),
        line(say!("cmp-failovers"), |g| cell(g.mean(Metric::Failovers), |v| format!("{v:.2}"))),
    ]
}

/// The letter of a stack.
fn letter(i: usize) -> char {
    char::from(b'A' + (i % 26) as u8)
}

/// A table in blocks of as many columns as fit.
fn blocks(labels: &[String], columns: &[(String, Vec<String>)], width: usize, out: &mut String) {
    let label = labels.iter().map(|l| l.width()).max().unwrap_or(0);
    let cells = columns.iter().flat_map(|(head, cells)| cells.iter().chain([head]));
    let column = cells.map(|c| c.width()).max().unwrap_or(0);
    let fit = (width.saturating_sub(label) / (column + 2)).max(1);
    for (n, block) in columns.chunks(fit).enumerate() {
        if n > 0 {
            out.push('\n');
        }
        let mut line = |label_text: &str, cells: Vec<&str>| {
            let mut text = pad(label_text, label);
            for c in cells {
                text.push_str("  ");
                text.push_str(&pad(c, column));
            }
            out.push_str(text.trim_end());
            out.push('\n');
        };
        line("", block.iter().map(|c| c.0.as_str()).collect());
        for (i, l) in labels.iter().enumerate() {
            line(l, block.iter().map(|c| c.1[i].as_str()).collect());
        }
    }
}

/// The comparison for people.
pub fn text(header: &Header, summary: &Summary, drill: &str, width: usize) -> String {
    let mut out = String::new();
    let (from, to) = (header.seeds.0, header.seeds.1 - 1);
    let n = header.seeds.1 - header.seeds.0;
    let title = say!("cmp-title", drill = header.drill, n = n, from = from, to = to);
    out.push_str(&wrap(&title, width));
    out.push('\n');
    let names = header.stacks.iter().map(|s| s.name.width()).max().unwrap_or(0);
    for (i, s) in header.stacks.iter().enumerate() {
        let _ = writeln!(out, "  {}  {}  {}", letter(i), pad(&s.name, names), say!("cmp-hosts", n = s.hosts));
    }
    out.push('\n');
    let rows = lines();
    let labels: Vec<String> = rows.iter().map(|r| r.0.clone()).collect();
    let column = |(i, g): (usize, &Group)| {
        (letter(i).to_string(), rows.iter().map(|(_, cell)| cell(g)).collect::<Vec<_>>())
    };
    let columns: Vec<(String, Vec<String>)> = summary.groups.iter().enumerate().map(column).collect();
    blocks(&labels, &columns, width, &mut out);
    differences(summary, width, &mut out);
    let _ = writeln!(out, "\n{}", say!("cmp-worst"));
    for (i, g) in summary.groups.iter().enumerate() {
        if let Some(row) = g.worst() {
            let _ = writeln!(out, "  {}  {}", letter(i), bad(row));
            let _ = writeln!(out, "     {}", command(header, row, drill));
        }
    }
    out.push('\n');
    out.push_str(&wrap(&say!("cmp-method"), width));
    out
}

/// What was bad about a run.
fn bad(row: &Row) -> String {
    let get = |m| row.metrics.get(m);
    let mut all = vec![say!("cmp-worst-outage", time = seconds(get(Metric::WriteOutageMax)))];
    if get(Metric::OpenOutages) > 0 {
        all.push(say!("cmp-worst-open"));
    }
    if get(Metric::LostWrites) > 0 {
        let window = seconds(get(Metric::LostWindow));
        all.push(say!("cmp-worst-lost", n = get(Metric::LostWrites), window = window));
    }
    if get(Metric::SplitBrain) > 0 {
        all.push(say!("cmp-worst-split", time = seconds(get(Metric::SplitBrain))));
    }
    if get(Metric::DualVip) > 0 {
        all.push(say!("cmp-worst-dual", time = seconds(get(Metric::DualVip))));
    }
    all.join(&say!("cmp-comma"))
}

fn differences(summary: &Summary, width: usize, out: &mut String) {
    let Some((first, others)) = summary.groups.split_first() else { return };
    if others.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", say!("cmp-pairs"));
    let labels = [
        format!("  {}", say!("cmp-pairs-median")),
        format!("  {}", say!("cmp-pairs-mean")),
        format!("  {}", say!("cmp-pairs-counts")),
        format!("  {}", say!("cmp-pairs-writes")),
    ];
    let column = |(i, g): (usize, &Group)| {
        let p = g.minus(first, Metric::WriteOutageMax);
        let a = g.minus(first, Metric::WriteAvailability);
        let mean = |i: Interval<f64>| cell(Some(i), |v| signed(v.round() as i64));
        let cells = vec![
            p.as_ref().map_or("-".to_owned(), |p| cell(Some(p.median), signed)),
            p.as_ref().map_or("-".to_owned(), |p| mean(p.mean)),
            p.as_ref().map_or("-".to_owned(), |p| format!("{} / {} / {}", p.larger, p.smaller, p.pairs)),
            a.map_or("-".to_owned(), |a| cell(Some(a.mean), |v| format!("{:+.2}%", v / 10_000.0))),
        ];
        (format!("{} - {}", letter(i + 1), letter(0)), cells)
    };
    let columns: Vec<_> = others.iter().enumerate().map(column).collect();
    blocks(&labels, &columns, width, out);
}

/// Text in lines of at most a width, broken between words, or anywhere where a script has no blanks.
fn wrap(text: &str, width: usize) -> String {
    let (mut out, mut line) = (String::new(), String::new());
    for word in text.split_inclusive(' ') {
        if line.width() + word.trim_end().width() > width && !line.is_empty() {
            out.push_str(line.trim_end());
            out.push('\n');
            line.clear();
        }
        if word.width() <= width {
            line.push_str(word);
            continue;
        }
        for c in word.chars() {
            if line.width() + c.to_string().width() > width {
                out.push_str(&line);
                out.push('\n');
                line.clear();
            }
            line.push(c);
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

/// The points of a sweep, one a line.
pub fn points(header: &Header, summary: &Summary, drill: &str) -> String {
    let mut heads: Vec<String> = header.vary.iter().map(|v| v.path.clone()).collect();
    if header.stacks.len() > 1 {
        heads.insert(0, say!("cmp-stack"));
    }
    let fixed = ["cmp-runs", "cmp-short-expected", "cmp-short-p50", "cmp-short-p95", "cmp-short-max"];
    heads.extend(fixed.map(|k| say!(k)));
    heads.extend(["cmp-short-open", "cmp-short-lost", "cmp-short-split", "cmp-short-dual"].map(|k| say!(k)));
    let mut table = vec![heads];
    for g in &summary.groups {
        let mut cells: Vec<String> = g.knobs.iter().map(|k| k.1.clone()).collect();
        if header.stacks.len() > 1 {
            cells.insert(0, g.stack.clone());
        }
        let rto = |p| g.quantile(Metric::WriteOutageMax, p).map_or("-".to_owned(), |i| seconds(i.value));
        cells.push(g.runs().to_string());
        cells.push(g.verdicts(Judgement::Pass).to_string());
        cells.extend([rto(500), rto(950), rto(1000)]);
        let counted = [Metric::OpenOutages, Metric::LostWrites, Metric::SplitBrain, Metric::DualVip];
        cells.extend(counted.map(|m| g.some(m).0.to_string()));
        table.push(cells);
    }
    let widths: Vec<usize> =
        (0..table[0].len()).map(|i| table.iter().map(|r| r[i].width()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &table {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(c, w)| pad(c, *w)).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    let worst = summary.groups.iter().filter_map(Group::worst).filter(|r| r.verdict != Judgement::Pass);
    if let Some(row) = worst.max_by_key(|r| r.metrics.get(Metric::WriteOutageMax)) {
        let _ = writeln!(out, "{}\n  {}", say!("cmp-open-worst"), command(header, row, drill));
    }
    out
}

fn number(v: f64) -> Value {
    // Six digits behind the point are more than any interval is good for.
    json!((v * 1e6).round() / 1e6)
}
fn interval<T: Copy>(i: Option<Interval<T>>, f: impl Fn(T) -> Value) -> Value {
    let end = |e: Option<T>| e.map_or(Value::Null, &f);
    i.map_or(Value::Null, |i| json!({"value": f(i.value), "low": end(i.low), "high": end(i.high)}))
}
fn ms(us: u64) -> Value {
    number(us as f64 / 1e3)
}

/// The comparison as one JSON object. Intervals are of 95%.
pub fn json(header: &Header, summary: &Summary, drill: &str) -> Value {
    let stack = |(g, s): (&Group, &crate::experiment::results::Played)| {
        let outage = |m: Metric| {
            let q = |p| interval(g.quantile(m, p), ms);
            json!({"p50": q(500), "p95": q(950), "p99": q(990), "max": ms(g.max(m))})
        };
        let some = |m: Metric| {
            let (k, share) = g.some(m);
            json!({"runs": k, "share": interval(share, number)})
        };
        let mean = |m: Metric, scale: f64| interval(g.mean(m), |v| number(v / scale));
        json!({
            "stack": s.name,
            "hosts": s.hosts,
            "runs": g.runs(),
            "verdicts": {
                "pass": g.verdicts(Judgement::Pass),
                "fail": g.verdicts(Judgement::Fail),
                "inconclusive": g.verdicts(Judgement::Inconclusive),
            },
            "write_outage_ms": outage(Metric::WriteOutageMax),
            "open_outages": some(Metric::OpenOutages),
            "lost_writes": {"in": some(Metric::LostWrites), "max": g.max(Metric::LostWrites)},
            "lost_window_ms": outage(Metric::LostWindow),
            "split_brain": {"in": some(Metric::SplitBrain), "max_ms": ms(g.max(Metric::SplitBrain))},
            "dual_vip": {"in": some(Metric::DualVip), "max_ms": ms(g.max(Metric::DualVip))},
            "write_availability": mean(Metric::WriteAvailability, 1e6),
            "read_availability": mean(Metric::ReadAvailability, 1e6),
            "failovers": mean(Metric::Failovers, 1.0),
            "worst": g.worst().map(|r| json!({"seed": r.seed, "command": command(header, r, drill)})),
        })
    };
    let pair = |g: &Group, first: &Group, m: Metric, scale: f64| {
        let one = |p: Paired| {
            json!({
                "pairs": p.pairs, "larger": p.larger, "smaller": p.smaller,
                "median": interval(Some(p.median), |v| number(v as f64 / scale)),
                "mean": interval(Some(p.mean), |v| number(v / scale)),
            })
        };
        g.minus(first, m).map(one)
    };
    let paired: Vec<Value> = summary.groups.split_first().map_or(Vec::new(), |(first, others)| {
        let one = |g: &Group| {
            json!({
                "stack": g.stack,
                "minus": first.stack,
                "write_outage_ms": pair(g, first, Metric::WriteOutageMax, 1e3),
                "write_availability": pair(g, first, Metric::WriteAvailability, 1e6),
                "lost_writes": pair(g, first, Metric::LostWrites, 1.0),
            })
        };
        others.iter().map(one).collect()
    });
    json!({
        "version": header.version,
        "drill": header.drill,
        "drill_digest": header.drill_digest,
        "seeds": header.seeds,
        "stacks": summary.groups.iter().zip(&header.stacks).map(stack).collect::<Vec<_>>(),
        "paired": paired,
    })
}
