//! Which values of which settings are played: a grid, random points, or a Latin hypercube.
//!
//! A setting is varied over a range, `20s..60s:5s` (both ends included), or over a list, `10s,20s,1m`. In a list everything between two
//! commas is a value as it stands, so that ranges can be values: `100us..300us,1ms..2ms`. Numbers are whole inside (nanoseconds, or
//! billionths of what has no unit of time), so that `0.1..0.3:0.1` has exactly three values.
//!
//! Random designs draw from streams named after the settings: another setting, or another point, changes nothing in the others.
//! A Latin hypercube of N points cuts every range into N strata of equal size and puts exactly one point into each, in an order of its
//! own for each setting (McKay, Beckman and Conover 1979). Without a step, points of a random design are rounded to a thousandth of
//! their range, in powers of ten, so that they can be read.

use crate::engine::Span;
use crate::engine::random::Streams;
use std::fmt;
use std::str::FromStr;

/// How points are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// Every value with every other.
    #[default]
    Grid,
    /// So many points, each value equally likely.
    Random(u32),
    /// So many points, one in each stratum of each setting.
    Lhs(u32),
}
impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Kind, String> {
        let number = |n: &str| {
            let n = n.parse::<u32>().ok().filter(|n| (1..=1_000_000).contains(n));
            n.ok_or_else(|| format!("`{text}`: the number of points is 1 to 1000000"))
        };
        match text.split_once(':') {
            None if text == "grid" => Ok(Kind::Grid),
            Some(("random", n)) => Ok(Kind::Random(number(n)?)),
            Some(("lhs", n)) => Ok(Kind::Lhs(number(n)?)),
            _ => Err(format!("there is no design `{text}`: write grid, random:N or lhs:N")),
        }
    }
}
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Grid => f.write_str("grid"),
            Kind::Random(n) => write!(f, "random:{n}"),
            Kind::Lhs(n) => write!(f, "lhs:{n}"),
        }
    }
}

/// The unit of a number.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Unit {
    /// Nanoseconds.
    Time,
    /// Billionths, with what is written behind the number: `%`, or nothing.
    Plain(String),
}

/// A number with a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Quantity {
    value: i128,
    unit: Unit,
}
const BILLION: i128 = 1_000_000_000;

impl FromStr for Quantity {
    type Err = String;
    fn from_str(text: &str) -> Result<Quantity, String> {
        let text = text.trim();
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        if let Ok(span) = digits.parse::<Span>() {
            return Ok(Quantity { value: sign * i128::from(span.0), unit: Unit::Time });
        }
        let end = digits.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(digits.len());
        let (number, unit) = digits.split_at(end);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let good = !whole.is_empty() && whole.len() <= 18 && part.len() <= 9 && !part.contains('.');
        if !good || !matches!(unit, "" | "%") {
            return Err(format!("`{text}` is neither a number nor a duration"));
        }
        let value =
            whole.parse::<i128>().unwrap_or(0) * BILLION + format!("{part:0<9}").parse::<i128>().unwrap_or(0);
        Ok(Quantity { value: sign * value, unit: Unit::Plain(unit.to_owned()) })
    }
}
impl Quantity {
    fn text(value: i128, unit: &Unit) -> String {
        let sign = if value < 0 { "-" } else { "" };
        let value = value.unsigned_abs();
        match unit {
            Unit::Time => format!("{sign}{}", Span(u64::try_from(value).unwrap_or(u64::MAX))),
            Unit::Plain(unit) => {
                let (whole, part) = (value / BILLION as u128, value % BILLION as u128);
                let part = format!("{part:09}");
                let part = part.trim_end_matches('0');
                let point = if part.is_empty() { "" } else { "." };
                format!("{sign}{whole}{point}{part}{unit}")
            }
        }
    }
}

/// The values of a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Values {
    List(Vec<String>),
    /// From, to, step; without a step only random designs can take points from it.
    Range(i128, i128, Option<i128>, Unit),
}

/// A setting that is varied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Knob {
    /// Its path, as for `--set`.
    pub path: String,
    /// As it was given.
    pub text: String,
    values: Values,
}

/// The most values that a range may have in a grid.
const MOST: i128 = 1_000_000;

impl FromStr for Knob {
    type Err = String;
    fn from_str(given: &str) -> Result<Knob, String> {
        let Some((path, text)) = given.split_once('=') else {
            return Err(format!("`{given}` has no `=`: write KNOB=20s..60s:5s or KNOB=20s,30s"));
        };
        let (path, text) = (path.trim(), text.trim());
        if path.is_empty() || text.is_empty() {
            return Err(format!("`{given}`: write KNOB=20s..60s:5s or KNOB=20s,30s"));
        }
        let values = match text.split_once("..").filter(|_| !text.contains(',')) {
            Some((from, rest)) => range(text, from, rest)?,
            None => {
                let list: Vec<String> = list(text);
                if list.iter().any(String::is_empty) {
                    return Err(format!("`{text}`: a value is empty"));
                }
                if let Some(twice) = list.iter().enumerate().find(|(i, v)| list[..*i].contains(v)) {
                    return Err(format!("`{text}`: the value {} comes twice", twice.1));
                }
                Values::List(list)
            }
        };
        Ok(Knob { path: path.to_owned(), text: text.to_owned(), values })
    }
}

/// What stands between the commas outside of brackets and quotes.
fn list(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut out) = (0i32, false, vec![String::new()]);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 && !quoted {
            out.push(String::new());
        } else if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out.iter().map(|v| v.trim().to_owned()).collect()
}

fn range(text: &str, from: &str, rest: &str) -> Result<Values, String> {
    let (to, step) = rest.split_once(':').map_or((rest, None), |(to, step)| (to, Some(step)));
    let from: Quantity = from.parse()?;
    let to: Quantity = to.trim_start_matches('=').parse()?;
    if from.unit != to.unit {
        return Err(format!("`{text}`: both ends need the same kind of unit"));
    }
    if from.value > to.value {
        return Err(format!("`{text}`: the range runs backwards"));
    }
    let step = match step {
        None => None,
        Some(step) => {
            let step: Quantity = step.parse()?;
            if step.unit != from.unit {
                return Err(format!("`{text}`: the step needs the unit of the ends"));
            }
            if step.value <= 0 {
                return Err(format!("`{text}`: the step has to be more than nothing"));
            }
            if (to.value - from.value) / step.value >= MOST {
                return Err(format!("`{text}`: more than {MOST} values"));
            }
            Some(step.value)
        }
    };
    Ok(Values::Range(from.value, to.value, step, from.unit))
}

impl Knob {
    /// How many values a grid has of it; an error is a range without a step.
    fn count(&self) -> Result<u64, String> {
        match &self.values {
            Values::List(list) => Ok(list.len() as u64),
            Values::Range(from, to, Some(step), _) => Ok(((to - from) / step + 1) as u64),
            Values::Range(..) => Err(format!(
                "`{}={}` has no step: write {}:STEP, a list, or take --design random:N or lhs:N",
                self.path, self.text, self.text
            )),
        }
    }
    /// The i-th value of a grid.
    fn nth(&self, i: u64) -> String {
        match &self.values {
            Values::List(list) => list.get(i as usize).cloned().unwrap_or_default(),
            Values::Range(from, _, step, unit) => {
                Quantity::text(from + step.unwrap_or(0) * i128::from(i), unit)
            }
        }
    }
    /// The value at `numerator / denominator` of the way, which is less than the whole way.
    fn at(&self, numerator: u128, denominator: u128) -> String {
        match &self.values {
            Values::List(list) => {
                let i = list.len() as u128 * numerator / denominator;
                list.get(i as usize).cloned().unwrap_or_default()
            }
            Values::Range(from, to, step, unit) => {
                let width = (to - from).max(0) as u128;
                let step = step.unwrap_or_else(|| fine(width as i128)).max(1) as u128;
                let steps = width / step + 1;
                let i = steps * numerator / denominator;
                Quantity::text(from + (i * step) as i128, unit)
            }
        }
    }
    /// The first and the last value, for a first look whether they are possible.
    fn ends(&self) -> [String; 2] {
        match &self.values {
            Values::List(list) => [list.first(), list.last()].map(|v| v.cloned().unwrap_or_default()),
            Values::Range(from, to, step, unit) => {
                let last = from + step.map_or(to - from, |s| (to - from) / s * s);
                [Quantity::text(*from, unit), Quantity::text(last, unit)]
            }
        }
    }
    /// The values of a list or a stepped range.
    pub fn values(&self) -> Option<Vec<String>> {
        Some((0..self.count().ok()?).map(|i| self.nth(i)).collect())
    }
}

/// A power of ten that has the width a thousand times or more.
fn fine(width: i128) -> i128 {
    let mut step = 1;
    while width / (step * 10) >= 1_000 {
        step *= 10;
    }
    step
}

/// The points of a design.
#[derive(Clone, Debug)]
pub struct Design {
    /// How they are chosen.
    pub kind: Kind,
    /// The varied settings.
    pub knobs: Vec<Knob>,
    counts: Vec<u64>,
    seed: u64,
    points: u64,
    /// For each setting of a random design, each point's share of the way.
    shares: Vec<Vec<u64>>,
}

/// Shares are parts of this.
const WHOLE: u64 = 1 << 32;

impl Design {
    /// A design of these settings; `seed` is for random designs.
    pub fn new(kind: Kind, knobs: Vec<Knob>, seed: u64) -> Result<Design, String> {
        if let Some((i, k)) =
            knobs.iter().enumerate().find(|(i, k)| knobs[..*i].iter().any(|o| o.path == k.path))
        {
            let _ = i;
            return Err(format!("`{}` is varied twice", k.path));
        }
        let mut counts = Vec::new();
        let (points, shares) = match kind {
            Kind::Grid => {
                let mut points: u64 = 1;
                for k in &knobs {
                    counts.push(k.count()?);
                    points =
                        counts.last().and_then(|n| points.checked_mul(*n)).ok_or("the grid is too large")?;
                }
                (points, Vec::new())
            }
            Kind::Random(n) | Kind::Lhs(n) => {
                if knobs.is_empty() {
                    return Err(format!("--design {kind} needs a --vary"));
                }
                (u64::from(n), knobs.iter().map(|k| draw(kind, k, n, seed)).collect())
            }
        };
        Ok(Design { kind, knobs, counts, seed, points, shares })
    }
    /// The seed of a random design.
    pub fn seed(&self) -> Option<u64> {
        (self.kind != Kind::Grid).then_some(self.seed)
    }
    /// How many points.
    pub fn points(&self) -> u64 {
        self.points
    }
    /// The i-th point: path and value of each setting. In a grid the last setting moves fastest.
    pub fn point(&self, i: u64) -> Vec<(String, String)> {
        let mut values: Vec<(String, String)> = Vec::with_capacity(self.knobs.len());
        if self.kind == Kind::Grid {
            let mut rest = i;
            for (k, n) in self.knobs.iter().zip(&self.counts).rev() {
                values.push((k.path.clone(), k.nth(rest % n)));
                rest /= n;
            }
            values.reverse();
            return values;
        }
        for (k, shares) in self.knobs.iter().zip(&self.shares) {
            let share = shares.get(i as usize).copied().unwrap_or(0);
            values.push((k.path.clone(), k.at(u128::from(share), u128::from(WHOLE))));
        }
        values
    }
    /// Points at the ends of each setting, the others at their first value.
    pub fn corners(&self) -> Vec<Vec<(String, String)>> {
        let first = |k: &Knob| (k.path.clone(), k.ends()[0].clone());
        let base: Vec<(String, String)> = self.knobs.iter().map(first).collect();
        let mut all = vec![base.clone()];
        for (i, k) in self.knobs.iter().enumerate() {
            let mut other = base.clone();
            other[i].1 = k.ends()[1].clone();
            all.push(other);
        }
        all
    }
    /// The design's word in the header of its results.
    pub fn word(&self) -> String {
        if self.kind == Kind::Grid || self.seed == 1 {
            return self.kind.to_string();
        }
        format!("{} seed {}", self.kind, self.seed)
    }
}

/// Each point's share of the way for one setting.
fn draw(kind: Kind, knob: &Knob, n: u32, seed: u64) -> Vec<u64> {
    let mut streams = Streams::new(seed);
    let at = streams.named(&format!("design/{}/at", knob.path));
    let order = streams.named(&format!("design/{}/order", knob.path));
    let n64 = u64::from(n);
    let mut strata: Vec<u64> = (0..n64).collect();
    if let Kind::Lhs(_) = kind {
        for i in (1..strata.len()).rev() {
            let j = streams.below(order, i as u64 + 1) as usize;
            strata.swap(i, j);
        }
    }
    let mut share = |stratum: u64| {
        let inside = streams.below(at, WHOLE);
        match kind {
            // The share (stratum + inside) / n, rounded down: it stays in its stratum.
            Kind::Lhs(_) => {
                let exact = (u128::from(stratum) * u128::from(WHOLE) + u128::from(inside)) / u128::from(n64);
                // A stratum's lower end is rounded up, so that rounding never leaves it downwards.
                let lowest = (u128::from(stratum) * u128::from(WHOLE)).div_ceil(u128::from(n64));
                exact.max(lowest) as u64
            }
            _ => inside,
        }
    };
    strata.into_iter().map(&mut share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knob(text: &str) -> Knob {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }
    fn grid(texts: &[&str]) -> Vec<String> {
        let d = Design::new(Kind::Grid, texts.iter().map(|t| knob(t)).collect(), 1).unwrap();
        let text = |p: Vec<(String, String)>| p.into_iter().map(|v| v.1).collect::<Vec<_>>().join(" ");
        (0..d.points()).map(|i| text(d.point(i))).collect()
    }

    #[test]
    fn ranges_and_lists_have_their_values_exactly() {
        assert_eq!(grid(&["a.b=20s..30s:5s"]), ["20s", "25s", "30s"]);
        assert_eq!(grid(&["a.b=20s..33s:5s"]), ["20s", "25s", "30s"]);
        assert_eq!(grid(&["a.b=900ms..1s:50ms"]), ["900ms", "950ms", "1s"]);
        assert_eq!(grid(&["a.b=0.1..0.3:0.1"]), ["0.1", "0.2", "0.3"]);
        assert_eq!(grid(&["a.b=0%..2%:0.5%"]), ["0%", "0.5%", "1%", "1.5%", "2%"]);
        assert_eq!(grid(&["a.b=-2..2:2"]), ["-2", "0", "2"]);
        assert_eq!(grid(&["a.b=-1s..1s:1s"]), ["-1s", "0s", "1s"]);
        assert_eq!(grid(&["a.b=5..5:1"]), ["5"]);
        assert_eq!(grid(&["n.lan.latency=1us..2us,1ms..2ms"]), ["1us..2us", "1ms..2ms"]);
        assert_eq!(grid(&["a.b=Every(\"1s\"),F(1,2),\"x,y\""]), ["Every(\"1s\")", "F(1,2)", "\"x,y\""]);
        assert_eq!(grid(&["a=1,2", "b=x,y"]), ["1 x", "1 y", "2 x", "2 y"]);
        assert_eq!(grid(&[]), [""]);
    }

    #[test]
    fn bad_settings_say_what_is_wrong() {
        for (text, part) in [
            ("ttl", "has no `=`"),
            ("ttl=", "write KNOB="),
            ("=3", "write KNOB="),
            ("ttl=1..x:1", "neither a number nor a duration"),
            ("ttl=5..1:1", "backwards"),
            ("ttl=1s..5:1", "same kind of unit"),
            ("ttl=1s..5s:1", "unit of the ends"),
            ("ttl=1..5:0", "more than nothing"),
            ("ttl=0..1:0.0000001", "more than 1000000"),
            ("ttl=1,,2", "empty"),
            ("ttl=1,2,1", "twice"),
        ] {
            let why = text.parse::<Knob>().unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        let no_step = Design::new(Kind::Grid, vec![knob("a=1..2")], 1).unwrap_err();
        assert!(no_step.contains("has no step"), "{no_step}");
        assert!(Design::new(Kind::Lhs(4), vec![], 1).unwrap_err().contains("needs a --vary"));
        let twice = Design::new(Kind::Grid, vec![knob("a=1"), knob("a=2")], 1).unwrap_err();
        assert!(twice.contains("varied twice"));
        for bad in ["random", "lhs:0", "lhs:x", "lhs:1000001", "halton:3", ""] {
            assert!(bad.parse::<Kind>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_latin_hypercube_has_one_point_in_every_stratum_of_every_setting() {
        for n in [1u32, 2, 7, 100, 333] {
            for seed in 1..6 {
                let knobs = vec![knob("a=0s..1h"), knob("b=0..1")];
                let d = Design::new(Kind::Lhs(n), knobs, seed).unwrap();
                for shares in &d.shares {
                    let mut strata: Vec<u64> = shares
                        .iter()
                        .map(|s| (u128::from(*s) * u128::from(n) / u128::from(WHOLE)) as u64)
                        .collect();
                    strata.sort_unstable();
                    assert_eq!(strata, (0..u64::from(n)).collect::<Vec<_>>(), "n {n} seed {seed}");
                }
                if n > 6 {
                    assert_ne!(d.shares[0], d.shares[1], "each setting has an order of its own");
                }
            }
        }
        // With as many points as values, every value comes once.
        let d = Design::new(Kind::Lhs(9), vec![knob("a=20s..60s:5s"), knob("b=a,b,c")], 1).unwrap();
        let mut a: Vec<String> = (0..9).map(|i| d.point(i)[0].1.clone()).collect();
        a.sort_unstable();
        assert_eq!(a, ["1m", "20s", "25s", "30s", "35s", "40s", "45s", "50s", "55s"]);
        for c in ["a", "b", "c"] {
            assert_eq!((0..9).filter(|i| d.point(*i)[1].1 == c).count(), 3);
        }
    }

    #[test]
    fn random_points_cover_the_range_and_do_not_depend_on_other_settings() {
        let one = Design::new(Kind::Random(400), vec![knob("a=10s..20s")], 1).unwrap();
        let two = Design::new(Kind::Random(400), vec![knob("z=1,2"), knob("a=10s..20s")], 1).unwrap();
        let spans: Vec<u64> = (0..400).map(|i| one.point(i)[0].1.parse::<Span>().unwrap().0).collect();
        assert!(spans.iter().all(|s| (10_000_000_000..=20_000_000_000).contains(s)));
        assert!(
            *spans.iter().min().unwrap() < 10_200_000_000 && *spans.iter().max().unwrap() > 19_800_000_000
        );
        let mean = spans.iter().sum::<u64>() / 400;
        assert!((14_400_000_000..15_600_000_000).contains(&mean), "four standard errors of the mean: {mean}");
        for i in 0..400 {
            assert_eq!(one.point(i)[0], two.point(i)[1]);
        }
        let other = Design::new(Kind::Random(400), vec![knob("a=10s..20s")], 2).unwrap();
        assert_ne!(one.point(0), other.point(0));
        assert_eq!((one.word(), other.word()), ("random:400".to_owned(), "random:400 seed 2".to_owned()));
    }
}
