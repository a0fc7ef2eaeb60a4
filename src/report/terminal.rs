//! Maps, quantiles, histograms and effects as text, 80 columns wide unless the terminal has more. Every meaning has a letter or a length.

use super::charts::{class, seconds};
use super::html::name;
use super::story::pad;
use super::study::{SHOWN, Study, quantiles};
use super::svg::n;
use crate::experiment::analysis::{Effect, bins};
use crate::experiment::map::{Class, Map};
use crate::experiment::nines::Answer;
use crate::experiment::row::Row;
use crate::say;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Escape sequences for colour.
    pub colour: bool,
    /// Only ASCII.
    pub ascii: bool,
    /// Columns.
    pub width: usize,
}

fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}
fn centre(text: &str, width: usize) -> String {
    let room = width.saturating_sub(text.width());
    format!("{}{text}{}", " ".repeat(room / 2), " ".repeat(room - room / 2))
}
/// The first columns of a text.
fn cut(text: &str, width: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.width() + unicode_width::UnicodeWidthChar::width(c).unwrap_or(0) > width {
            break;
        }
        out.push(c);
    }
    out
}

impl Look {
    fn paint(self, c: Class, text: &str) -> String {
        let code = match c {
            Class::Safe => "32",
            Class::Unavailable => "33",
            Class::Unsafe => "1;31",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A map, its legend, and every bad cell with the seed of its worst run. `command` plays a run again.
pub fn map(m: &Map, look: Look, command: impl Fn(&Row) -> String) -> String {
    let mut out = String::new();
    let label = m.ys.iter().map(|y| y.width()).max().unwrap_or(0).min(14);
    let bar = if look.ascii { "|" } else { "\u{2502}" };
    let room = look.width.saturating_sub(label + 3).max(10);
    let wide = (room / m.xs.len().max(1)).clamp(2, 9);
    let _ = writeln!(out, "{}", say!("rep-map-upwards", knob = m.knobs[1]));
    for (j, y) in m.ys.iter().enumerate().rev() {
        let _ = write!(out, "{} {bar}", right(&cut(y, label), label));
        for i in 0..m.xs.len() {
            let Some(c) = m.cell(i, j) else {
                out.push_str(&centre("", wide));
                continue;
            };
            let n = if c.class == Class::Unsafe { c.runs[1] } else { c.runs[2] };
            let share = format!("{} {n}/{}", c.class.letter(), c.runs[0]);
            let letter = c.class.letter().to_string();
            let text = if c.class == Class::Safe || share.width() >= wide { letter } else { share };
            out.push_str(&look.paint(c.class, &centre(&text, wide)));
        }
        out.push('\n');
    }
    let rule = if look.ascii { "-" } else { "\u{2500}" };
    let corner = if look.ascii { "+" } else { "\u{2514}" };
    let _ = writeln!(out, "{} {corner}{}", " ".repeat(label), rule.repeat(wide * m.xs.len()));
    let longest = m.xs.iter().map(|x| x.width()).max().unwrap_or(1);
    let every = (longest + 1).div_ceil(wide).max(1);
    let mut line = " ".repeat(label + 2);
    for x in m.xs.iter().step_by(every) {
        line += &centre(&cut(x, wide * every), wide * every);
    }
    let _ = writeln!(out, "{}  {}", line.trim_end(), m.knobs[0]);
    let legend: Vec<String> = [Class::Safe, Class::Unavailable, Class::Unsafe]
        .into_iter()
        .map(|c| look.paint(c, &format!("{} {}", c.letter(), class(c))))
        .collect();
    let _ = writeln!(out, "\n{}", legend.join("   "));
    let bad = m.bad();
    for (i, j, c) in &bad {
        let n = if c.class == Class::Unsafe { c.runs[1] } else { c.runs[2] };
        let seed = c.worst.as_ref().map_or(0, |w| w.1);
        let where_ = format!("{}={} {}={}", m.knobs[0], m.xs[*i], m.knobs[1], m.ys[*j]);
        let text = say!("rep-bad-cell", n = n, runs = c.runs[0], seed = seed);
        let _ = writeln!(out, "{} {where_}: {text}", c.class.letter());
    }
    if let Some((.., c)) = bad.first()
        && let Some((knobs, seed)) = c.worst.clone()
    {
        let row = Row { knobs, seed, ..Row::default() };
        let _ = writeln!(out, "{}", say!("rep-next", command = command(&row).replacen(" run ", " play ", 1)));
    }
    out
}

fn value(column: &str, v: f64) -> String {
    if Study::is_time(column) {
        seconds(v)
    } else if column.ends_with("_availability") {
        format!("{v:.6}")
    } else {
        n(v)
    }
}

/// Quantiles of a figure for every stack, with the seed of the greatest, and histograms.
pub fn distribution(study: &Study, metric: &str, look: Look) -> String {
    let mut out = String::new();
    let unit = if Study::is_time(metric) { format!(", {}", say!("rep-seconds")) } else { String::new() };
    let _ = writeln!(out, "{}{unit}\n", name(metric));
    let series: Vec<_> = study.series(metric).into_iter().filter(|s| !s.sorted.is_empty()).collect();
    let label = series.iter().map(|s| s.name.width()).max().unwrap_or(5).clamp(5, 28);
    let mut head = pad(&say!("rep-stack"), label);
    head += &right(&say!("rep-runs"), 7);
    for (_, word) in SHOWN {
        head += &right(word, 9);
    }
    let _ = writeln!(out, "{head}  {}", say!("rep-seed-of-max"));
    for s in &series {
        let Some(q) = quantiles(&s.sorted).map(|q| q.map(|q| q.value)) else { continue };
        let mut line = pad(&cut(&s.name, label), label) + &right(&s.sorted.len().to_string(), 7);
        for v in q {
            line += &right(&value(metric, v), 9);
        }
        let seed = study.run_with(&s.name, metric, q[4]).map_or(0, |r| r.seed);
        let _ = writeln!(out, "{line}  {seed}");
    }
    let low = series.iter().filter_map(|s| s.sorted.first()).fold(f64::INFINITY, |a, b| a.min(*b));
    let high = series.iter().filter_map(|s| s.sorted.last()).fold(0.0f64, |a, b| a.max(*b));
    if !low.is_finite() {
        return out;
    }
    let block = if look.ascii { "#" } else { "\u{2588}" };
    for s in &series {
        let _ = writeln!(out, "\n{}", s.name);
        let hist = bins(&s.sorted, (low, high), 12);
        let most = hist.iter().map(|b| b.count).max().unwrap_or(1).max(1);
        for b in hist {
            let text = format!("{} - {}", value(metric, b.from), value(metric, b.to));
            let bar = (b.count * (look.width.saturating_sub(30))).div_ceil(most);
            let _ = writeln!(
                out,
                "{} {}{}{}",
                right(&text, 19),
                block.repeat(bar),
                if b.count > 0 { " " } else { "" },
                b.count
            );
        }
    }
    out
}

/// Which setting moves a figure most.
pub fn effects(list: &[Effect], metric: &str, look: Look) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", say!("rep-effects-of", what = name(metric)));
    let label = list.iter().map(|e| e.knob.width()).max().unwrap_or(5).clamp(8, 30);
    let block = if look.ascii { "#" } else { "\u{2588}" };
    for e in list {
        let bar = (e.share * 20.0).round() as usize;
        let end = |x: &(String, f64)| format!("{} ({})", value(metric, x.1), x.0);
        let _ = writeln!(
            out,
            "{} {:>5.1}% {}  {} .. {}",
            pad(&cut(&e.knob, label), label),
            e.share * 100.0,
            pad(&block.repeat(bar), 20),
            end(&e.low),
            end(&e.high)
        );
    }
    let rest = (1.0 - list.iter().map(|e| e.share).sum::<f64>()).max(0.0);
    let _ = writeln!(out, "{} {:>5.1}%", pad(&say!("rep-rest-short"), label), rest * 100.0);
    let _ = writeln!(out, "{}", say!("rep-effects-method"));
    out
}

/// Availability over years, a line for each stack.
pub fn nines(answers: &[(String, usize, Answer)]) -> String {
    let label = answers.iter().map(|a| a.0.width()).max().unwrap_or(5).clamp(5, 28);
    let mut out = String::new();
    let head = [
        say!("rep-nines"),
        say!("rep-minutes"),
        say!("rep-plus-minus"),
        say!("rep-failover-part"),
        say!("rep-structure"),
        say!("rep-exact"),
        say!("rep-sigma"),
    ];
    let mut line = pad(&say!("rep-stack"), label);
    for h in &head {
        line += &right(h, 11.max(h.width() + 2));
    }
    let _ = writeln!(out, "{line}");
    let year = 365.0 * 24.0 * 60.0;
    for (stack, _, a) in answers {
        let failovers = a.unavailability.0 - a.structural.0;
        let off = if a.structural.1 > 0.0 { (a.structural.0 - a.exact) / a.structural.1 } else { 0.0 };
        let cells = [
            format!("{:.2}", a.nines()),
            format!("{:.2}", a.minutes()),
            format!("{:.2}", 1.96 * a.unavailability.1 * year),
            format!("{:.2}", failovers * year),
            format!("{:.2}", a.structural.0 * year),
            format!("{:.2}", a.exact * year),
            format!("{off:+.2}"),
        ];
        let mut line = pad(&cut(stack, label), label);
        for (c, h) in cells.iter().zip(&head) {
            line += &right(c, 11.max(h.width() + 2));
        }
        let _ = writeln!(out, "{line}");
    }
    out
}
