//! Charts: quantile curves, histograms, maps, bars. Each is a drawing with its figures beside it in a table that the caller writes.

use super::svg::{SERIES, Svg, fit, n, width};
use crate::experiment::analysis::{Effect, bins, step};
use crate::experiment::map::{Class, Map};
use crate::experiment::stats::rank;
use crate::say;

/// A series: its name and its values in order.
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its values, in order.
    pub sorted: Vec<f64>,
}

/// Milliseconds as seconds for people, without more digits than they mean.
pub fn seconds(ms: f64) -> String {
    let s = ms / 1_000.0;
    let text = if s >= 100.0 { format!("{s:.1}") } else { format!("{s:.2}") };
    if s == 0.0 { "0".to_owned() } else { text }
}

/// A tick's label: seconds without needless digits.
fn tick(ms: f64) -> String {
    let s = format!("{:.3}", ms / 1_000.0);
    s.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const WIDE: f64 = 760.0;

/// Labels at the right end of curves, moved apart so that none covers another.
fn apart(mut at: Vec<(f64, usize)>, low: f64, high: f64) -> Vec<(f64, usize)> {
    at.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for i in 1..at.len() {
        at[i].0 = at[i].0.max(at[i - 1].0 + 15.0);
    }
    let over = at.last().map_or(0.0, |l| (l.0 - high).max(0.0));
    for i in (0..at.len()).rev() {
        let limit = if i + 1 < at.len() { at[i + 1].0 - 15.0 } else { high };
        at[i].0 = (at[i].0 - over).min(limit).max(low);
    }
    at
}

/// Quantile curves: across, the share of the runs; upwards, the value that this share does not exceed.
pub fn quantiles(series: &[Series], title: &str, unit: &str) -> Svg {
    let label = series.iter().map(|s| width(&s.name)).fold(40.0, f64::max).min(230.0);
    let (left, right, top, high) = (58.0, label + 26.0, 34.0, 260.0);
    let mut svg = Svg::new(WIDE, top + high + 46.0, title);
    let most = series.iter().filter_map(|s| s.sorted.last()).fold(0.0f64, |a, b| a.max(*b)).max(1.0);
    let dy = step(most, 5);
    let ceiling = (most / dy).ceil() * dy;
    let plot = WIDE - left - right;
    let x = |p: f64| left + p * plot;
    let y = |v: f64| top + high - v / ceiling * high;
    svg.text(left - 46.0, 18.0, "soft", unit);
    let mut v = 0.0;
    while v <= ceiling * 1.0001 {
        svg.line((left, y(v)), (left + plot, y(v)), if v == 0.0 { "axis" } else { "grid" });
        svg.text(left - 8.0, y(v) + 4.0, "soft e", &tick(v));
        v += dy;
    }
    for p in [0.0, 0.25, 0.5, 0.75, 0.9, 1.0] {
        svg.line((x(p), top + high), (x(p), top + high + 4.0), "axis");
        svg.text(x(p), top + high + 18.0, "soft m", &format!("{}%", n(p * 100.0)));
    }
    svg.text(x(0.5), top + high + 38.0, "soft m", &say!("rep-share-of-runs"));
    let mut ends = Vec::new();
    for (i, s) in series.iter().enumerate() {
        let class = i % SERIES + 1;
        let n = s.sorted.len();
        let points: Vec<(f64, f64)> = if n <= 200 {
            let steps = s.sorted.iter().enumerate();
            steps
                .flat_map(|(k, v)| [(x(k as f64 / n as f64), y(*v)), (x((k + 1) as f64 / n as f64), y(*v))])
                .collect()
        } else {
            let curve = (0..=200u32).filter_map(|k| {
                let value = s.sorted.get(rank(n, k * 5))?;
                Some((x(f64::from(k) / 200.0), y(*value)))
            });
            curve.collect()
        };
        svg.path(&points, &format!("l l{class}"));
        if let Some(last) = points.last() {
            svg.disc(last.0, last.1, 3.0, &format!("f{class}"));
            ends.push((last.1 + 4.0, i));
        }
    }
    for (at, i) in apart(ends, top + 4.0, top + high + 4.0) {
        let class = i % SERIES + 1;
        svg.path(&[(left + plot + 7.0, at - 4.0), (left + plot + 19.0, at - 4.0)], &format!("l l{class}"));
        svg.text(left + plot + 24.0, at, "", &fit(&series[i].name, right - 26.0));
    }
    svg
}

/// Histograms above each other over the same values.
pub fn histograms(series: &[Series], title: &str, unit: &str) -> Svg {
    let (left, right, top, row) = (58.0, 20.0, 8.0, 84.0);
    let low = series.iter().filter_map(|s| s.sorted.first()).fold(f64::INFINITY, |a, b| a.min(*b));
    let high = series.iter().filter_map(|s| s.sorted.last()).fold(0.0f64, |a, b| a.max(*b));
    let range = if low.is_finite() { (low, high) } else { (0.0, 1.0) };
    let all: Vec<_> = series.iter().map(|s| bins(&s.sorted, range, 40)).collect();
    let mut svg = Svg::new(WIDE, top + row * series.len() as f64 + 42.0, title);
    let plot = WIDE - left - right;
    let Some((from, to)) = all.first().and_then(|b| Some((b.first()?.from, b.last()?.to))) else {
        return svg;
    };
    let x = |v: f64| left + (v - from) / (to - from) * plot;
    for (i, (s, hist)) in series.iter().zip(&all).enumerate() {
        let base = top + row * (i + 1) as f64;
        let most = hist.iter().map(|b| b.count).max().unwrap_or(0).max(1) as f64;
        svg.text(left, base - row + 16.0, "b", &fit(&s.name, plot));
        svg.line((left, base), (left + plot, base), "axis");
        for b in hist.iter().filter(|b| b.count > 0) {
            let h = b.count as f64 / most * (row - 30.0);
            let tip = say!("rep-bin", from = tick(b.from), to = tick(b.to), n = b.count);
            svg.rect(
                (x(b.from) + 0.5, base - h),
                (x(b.to) - x(b.from) - 1.0, h),
                &format!("f{}", i % SERIES + 1),
                &tip,
            );
        }
        svg.text(left - 8.0, base - row + 34.0, "soft e small", &n(most));
        svg.text(left - 8.0, base, "soft e small", "0");
    }
    let bottom = top + row * series.len() as f64;
    let dx = step(to - from, 8);
    let mut v = (from / dx).ceil() * dx;
    while v <= to * 1.0001 {
        svg.line((x(v), bottom), (x(v), bottom + 4.0), "axis");
        svg.text(x(v), bottom + 18.0, "soft m", &tick(v));
        v += dx;
    }
    svg.text(left + plot / 2.0, bottom + 36.0, "soft m", unit);
    svg
}

/// A class in words.
pub fn class(c: Class) -> String {
    match c {
        Class::Safe => say!("rep-safe"),
        Class::Unavailable => say!("rep-unavailable"),
        Class::Unsafe => say!("rep-unsafe"),
    }
}

/// A map.
pub fn map(m: &Map, title: &str) -> Svg {
    let label = m.ys.iter().map(|y| width(y)).fold(30.0, f64::max).min(150.0);
    let (left, top) = (label + 24.0, 40.0);
    let cell = ((WIDE - left - 16.0) / m.xs.len().max(1) as f64).clamp(22.0, 92.0);
    let tall = if cell >= 52.0 { 40.0 } else { 24.0 };
    let (plot, high) = (cell * m.xs.len() as f64, tall * m.ys.len() as f64);
    let mut svg = Svg::new(WIDE.max(left + plot + 16.0), top + high + 84.0, title);
    svg.text(12.0, 20.0, "b", &m.knobs[1]);
    for (j, y) in m.ys.iter().enumerate() {
        let at = top + high - tall * (j + 1) as f64;
        svg.text(left - 8.0, at + tall / 2.0 + 4.0, "soft e", &fit(y, label));
        for i in 0..m.xs.len() {
            let x = left + cell * i as f64;
            let (corner, size) = ((x + 1.0, at + 1.0), (cell - 2.0, tall - 2.0));
            let Some(c) = m.cell(i, j) else {
                svg.rect(corner, size, "none", "");
                continue;
            };
            let (fill, ink) = match c.class {
                Class::Safe => ("ok", "okink"),
                Class::Unavailable => ("warn", "warnink"),
                Class::Unsafe => ("bad", "badink"),
            };
            let worst = c.worst.as_ref().map_or(0, |w| w.1);
            let tip = say!(
                "rep-cell",
                x = format!("{} {}", m.knobs[0], m.xs[i]),
                y = format!("{} {}", m.knobs[1], y),
                class = class(c.class),
                bad = c.runs[1],
                slow = c.runs[2],
                runs = c.runs[0],
                seed = worst
            );
            svg.rect(corner, size, fill, &tip);
            match c.class {
                Class::Unsafe => svg.hatch(corner, size),
                Class::Unavailable => svg.dots(corner, size),
                Class::Safe => {}
            }
            let middle = x + cell / 2.0;
            if tall < 30.0 {
                svg.text(middle, at + 16.0, &format!("m b {ink}"), &c.class.letter().to_string());
                continue;
            }
            let share = match c.class {
                Class::Safe => c.class.letter().to_string(),
                Class::Unavailable => format!("- {}/{}", c.runs[2], c.runs[0]),
                Class::Unsafe => format!("X {}/{}", c.runs[1], c.runs[0]),
            };
            let y = if c.class == Class::Safe { at + 24.0 } else { at + 17.0 };
            svg.text(middle, y, &format!("m b {ink}"), &share);
            if c.class != Class::Safe {
                svg.text(middle, at + 32.0, &format!("m small {ink}"), &say!("rep-seed", seed = worst));
            }
        }
    }
    let every = (m.xs.iter().map(|x| width(x)).fold(0.0, f64::max) / (cell - 4.0)).ceil().max(1.0) as usize;
    for (i, x) in m.xs.iter().enumerate().filter(|(i, _)| i % every == 0) {
        svg.text(left + cell * (i as f64 + 0.5), top + high + 18.0, "soft m", x);
    }
    svg.text(left + plot / 2.0, top + high + 38.0, "b m", &m.knobs[0]);
    let mut at = left;
    for (c, fill, ink) in [
        (Class::Safe, "ok", "okink"),
        (Class::Unavailable, "warn", "warnink"),
        (Class::Unsafe, "bad", "badink"),
    ] {
        let y = top + high + 54.0;
        svg.rect((at, y), (22.0, 16.0), fill, "");
        match c {
            Class::Unsafe => svg.hatch((at, y), (22.0, 16.0)),
            Class::Unavailable => svg.dots((at, y), (22.0, 16.0)),
            Class::Safe => {}
        }
        svg.text(at + 11.0, y + 12.0, &format!("m b {ink}"), &c.letter().to_string());
        let words = class(c);
        svg.text(at + 28.0, y + 12.0, "", &words);
        at += 28.0 + width(&words) + 24.0;
    }
    svg
}

/// Which setting moves a figure most: a bar each, and the rest.
pub fn effects(list: &[Effect], title: &str) -> Svg {
    let label = list.iter().map(|e| width(&e.knob)).fold(width(&say!("rep-rest")), f64::max).min(240.0);
    let (left, row) = (label + 16.0, 28.0);
    let mut svg = Svg::new(WIDE, row * (list.len() + 1) as f64 + 12.0, title);
    let plot = WIDE - left - 60.0;
    let rest = (1.0 - list.iter().map(|e| e.share).sum::<f64>()).max(0.0);
    let bars = list.iter().map(|e| (e.knob.clone(), e.share, "f1")).chain([(say!("rep-rest"), rest, "f7")]);
    for (i, (name, share, fill)) in bars.enumerate() {
        let y = 6.0 + row * i as f64;
        svg.text(left - 8.0, y + 16.0, "e", &fit(&name, label));
        svg.rect((left, y + 4.0), (share * plot, 16.0), fill, "");
        svg.text(left + share * plot + 6.0, y + 16.0, "soft", &format!("{:.0}%", share * 100.0));
    }
    svg
}
