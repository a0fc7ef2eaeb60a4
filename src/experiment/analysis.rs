//! What rows say together: histograms, and which setting moves a figure most. (Quantiles are in [`super::stats`].)
//!
//! Sensitivity is the first-order effect of one setting: the share of the variance of the figure that goes when the setting is known,
//! Var(E[Y|X]) / Var(Y) (Sobol's S1, the correlation ratio). It is estimated from groups of runs with the same value; a setting with more
//! than twelve values is cut into ten groups of equal size. Chance alone would explain (k - 1) / (n - 1) of the variance with k groups of
//! n runs; that much is taken off (epsilon squared, Kelley 1935), so that a setting without effect shows about zero. What settings do
//! only together (interactions) is no first-order effect of any of them and stands under "the rest", with what the seed does.

use super::row::Row;
use crate::engine::{Span, SpanRange};

/// Values in order.
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut v: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
    v.sort_by(f64::total_cmp);
    v
}

/// The mean.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A bin of a histogram: from (inclusive), to (exclusive, the last one inclusive), how many.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bin {
    /// From.
    pub from: f64,
    /// To.
    pub to: f64,
    /// How many values.
    pub count: usize,
}

/// A step of 1, 2 or 5 times a power of ten with which a range has about `n` parts.
pub fn step(range: f64, n: usize) -> f64 {
    let raw = (range / n.max(1) as f64).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= raw * 0.999).unwrap_or(10.0);
    factor * power
}

/// A histogram over all values, with bins of the same round width, about `n` of them.
pub fn histogram(sorted: &[f64], n: usize) -> Vec<Bin> {
    let (Some(low), Some(high)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    bins(sorted, (*low, *high), n)
}

/// The same over a range that is given, so that several histograms can stand above each other.
pub fn bins(sorted: &[f64], (low, high): (f64, f64), n: usize) -> Vec<Bin> {
    let width = if high > low { step(high - low, n) } else { step(high.abs().max(1.0), 10) };
    let first = (low / width).floor();
    let count = ((high / width).floor() - first) as usize + 1;
    let mut out: Vec<Bin> = (0..count)
        .map(|i| (first + i as f64) * width)
        .map(|from| Bin { from, to: from + width, count: 0 })
        .collect();
    for v in sorted {
        let i = ((v / width).floor() - first).clamp(0.0, (count - 1) as f64) as usize;
        out[i].count += 1;
    }
    out
}

/// What one setting does to a figure.
#[derive(Clone, PartialEq, Debug)]
pub struct Effect {
    /// The setting.
    pub knob: String,
    /// The share of the variance that it explains alone, 0 to 1.
    pub share: f64,
    /// The value (or group of values) with the lowest mean, and that mean.
    pub low: (String, f64),
    /// The value with the highest mean, and that mean.
    pub high: (String, f64),
    /// How many groups there were.
    pub groups: usize,
}

/// A setting's value as a number: a duration (in milliseconds), a percentage, a plain number; of a range its middle.
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(s) = text.parse::<Span>() {
        return Some(s.0 as f64 / 1e6);
    }
    if let Ok(r) = text.parse::<SpanRange>() {
        return Some((r.min.0 as f64 + r.max.0 as f64) / 2e6);
    }
    text.trim_end_matches('%').parse().ok().filter(|x: &f64| x.is_finite())
}

/// The values of a setting that occur, in order: as numbers if all of them are, else as they came first.
pub fn values<'a>(rows: impl IntoIterator<Item = &'a Row>, knob: &str) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let mut all: Vec<String> = Vec::new();
    for r in rows {
        if let Some(v) = r.knob(knob)
            && seen.insert(v)
        {
            all.push(v.to_owned());
        }
    }
    if all.iter().all(|v| number(v).is_some()) {
        all.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
    }
    all
}

/// Groups of values of a setting: each value by itself, or, of more than `most`, `groups` of equal size. Value to group, and the names.
pub fn groups(values: &[String], most: usize, groups: usize) -> (Vec<usize>, Vec<String>) {
    let n = values.len();
    if n <= most {
        return ((0..n).collect(), values.to_vec());
    }
    let of: Vec<usize> = (0..n).map(|i| i * groups / n).collect();
    let name = |g: usize| {
        let first = of.iter().position(|x| *x == g).unwrap_or(0);
        let last = of.iter().rposition(|x| *x == g).unwrap_or(0);
        if first == last { values[first].clone() } else { format!("{} - {}", values[first], values[last]) }
    };
    let names = (0..groups).map(name).collect();
    (of, names)
}

/// The effect of every setting on a figure, the greatest first. Rows without the figure do not count.
pub fn sensitivity(rows: &[Row], knobs: &[String], metric: &str) -> Vec<Effect> {
    let known: Vec<(&Row, f64)> = rows.iter().filter_map(|r| Some((r, r.number(metric)?))).collect();
    let n = known.len() as f64;
    let Some(grand) = mean(&known.iter().map(|k| k.1).collect::<Vec<_>>()) else { return Vec::new() };
    let total: f64 = known.iter().map(|k| (k.1 - grand).powi(2)).sum();
    let mut effects: Vec<Effect> = Vec::new();
    for knob in knobs {
        let all = values(known.iter().map(|k| k.0), knob);
        let (of, names) = groups(&all, 12, 10);
        let mut sums = vec![(0.0f64, 0u32); names.len()];
        for (row, y) in &known {
            if let Some(i) = row.knob(knob).and_then(|v| all.iter().position(|a| a == v)) {
                sums[of[i]].0 += y;
                sums[of[i]].1 += 1;
            }
        }
        let means: Vec<(usize, f64)> = sums
            .iter()
            .enumerate()
            .filter(|(_, s)| s.1 > 0)
            .map(|(i, s)| (i, s.0 / f64::from(s.1)))
            .collect();
        let k = means.len() as f64;
        let between: f64 = means.iter().map(|(i, m)| f64::from(sums[*i].1) * (m - grand).powi(2)).sum();
        let within = (total - between).max(0.0) / (n - k).max(1.0);
        let share = if total > 0.0 { ((between - (k - 1.0) * within) / total).clamp(0.0, 1.0) } else { 0.0 };
        let by = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (means.iter().min_by(by), means.iter().max_by(by)) else { continue };
        let named = |m: &(usize, f64)| (names[m.0].clone(), m.1);
        effects.push(Effect {
            knob: knob.clone(),
            share,
            low: named(low),
            high: named(high),
            groups: means.len(),
        });
    }
    effects.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.knob.cmp(&b.knob)));
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::metrics::Metric;

    fn row(a: u64, b: u64, y: u64) -> Row {
        let knobs = vec![("a".to_owned(), format!("{a}s")), ("b".to_owned(), b.to_string())];
        let mut r = Row { knobs, ..Row::default() };
        r.metrics.set(Metric::WriteOutageMax, y * 1_000);
        r
    }

    #[test]
    fn bins_are_round_and_lose_nobody() {
        assert_eq!([step(7.0, 10), step(100.0, 10), step(2.4, 3), step(0.03, 10)], [1.0, 10.0, 1.0, 0.005]);
        let v = sorted((0..1000).map(|i| 20_000.0 + f64::from(i) * 17.3));
        let h = histogram(&v, 12);
        assert_eq!(h.iter().map(|b| b.count).sum::<usize>(), 1000);
        assert!(h.len() >= 8 && h.len() <= 14 && h[0].from == 20_000.0, "{h:?}");
        let one = histogram(&[3.0, 3.0], 10);
        assert_eq!(one.iter().map(|b| b.count).sum::<usize>(), 2);
    }

    #[test]
    fn the_setting_that_matters_is_found_and_chance_is_taken_off() {
        // y = 10 a + noise that neither setting knows.
        let mut rows = Vec::new();
        for i in 0..3_000u64 {
            let noise = (i * 2_654_435_761) % 1000 / 100;
            rows.push(row(i % 5, i / 5 % 7, 10 * (i % 5) + noise));
        }
        let e = sensitivity(&rows, &["b".to_owned(), "a".to_owned()], "write_outage_max_ms");
        assert_eq!([&e[0].knob, &e[1].knob], ["a", "b"]);
        // Var(10 a) = 200, the noise of 0..9 has 8.25: 0.960.
        assert!((e[0].share - 200.0 / 208.25).abs() < 0.005, "{e:?}");
        assert!(e[1].share < 0.005, "{e:?}");
        assert_eq!((e[0].low.0.as_str(), e[0].high.0.as_str()), ("0s", "4s"));
    }

    #[test]
    fn values_are_ordered_as_numbers() {
        let rows: Vec<Row> = [100, 9, 20].map(|a| row(a, a, 1)).to_vec();
        assert_eq!(values(&rows, "a"), ["9s", "20s", "100s"]);
        let all: Vec<String> = (0..40).map(|i| i.to_string()).collect();
        let (of, names) = groups(&all, 12, 10);
        assert_eq!((of[0], of[3], of[4], of[39]), (0, 0, 1, 9));
        assert_eq!(names[0], "0 - 3");
        assert_eq!(number("100us..300us"), Some(0.2));
    }
}
