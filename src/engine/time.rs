//! Simulated time: unsigned nanoseconds, nothing else.
//!
//! [`Time`] is a point (nanoseconds since the start of the run), [`Span`] a length. Neither ever becomes a float;
//! text with units (`"150ms"`) is read and written here, because every floor above uses it.

use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const SEC: u64 = 1_000_000_000;

/// A length of time in nanoseconds, written with a unit: `"20us"`, `"150ms"`, `"1.5s"`, `"4m"`, `"2h"`, `"1d"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub u64);

/// A point of simulated time: nanoseconds since the start of the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// The longest length there is; used as "never".
    pub const MAX: Span = Span(u64::MAX);

    /// A length of `n` nanoseconds.
    pub const fn ns(n: u64) -> Self {
        Span(n)
    }
    /// A length of `n` microseconds.
    pub const fn us(n: u64) -> Self {
        Span(n * 1_000)
    }
    /// A length of `n` milliseconds.
    pub const fn ms(n: u64) -> Self {
        Span(n * MS)
    }
    /// A length of `n` seconds.
    pub const fn secs(n: u64) -> Self {
        Span(n * SEC)
    }
    /// The length in nanoseconds.
    pub const fn as_ns(self) -> u64 {
        self.0
    }
    /// The length in whole milliseconds, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / MS
    }
    /// `self * n`, at most [`Span::MAX`].
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Span(self.0.saturating_mul(n))
    }
    /// `self * num / den` without losing digits in between (`den` is not zero).
    #[must_use]
    pub const fn ratio(self, num: u64, den: u64) -> Self {
        Span(((self.0 as u128 * num as u128) / den as u128) as u64)
    }
    /// `self - other`, not below zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Span) -> Self {
        Span(self.0.saturating_sub(other.0))
    }
    /// Whether the length is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Time {
    /// The start of the run.
    pub const ZERO: Time = Time(0);
    /// A point that no run reaches; used as "never".
    pub const MAX: Time = Time(u64::MAX);

    /// The point `n` seconds after the start.
    pub const fn secs(n: u64) -> Self {
        Time(n * SEC)
    }
    /// The point `n` milliseconds after the start.
    pub const fn ms(n: u64) -> Self {
        Time(n * MS)
    }
    /// Nanoseconds since the start.
    pub const fn as_ns(self) -> u64 {
        self.0
    }
    /// Whole milliseconds since the start, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / MS
    }
    /// The length from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, d: Span) -> Time {
        Time(self.0.saturating_add(d.0))
    }
}
impl AddAssign<Span> for Time {
    fn add_assign(&mut self, d: Span) {
        *self = *self + d;
    }
}
impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, d: Span) -> Time {
        Time(self.0.saturating_sub(d.0))
    }
}
impl Add for Span {
    type Output = Span;
    fn add(self, d: Span) -> Span {
        Span(self.0.saturating_add(d.0))
    }
}
impl AddAssign for Span {
    fn add_assign(&mut self, d: Span) {
        *self = *self + d;
    }
}

impl fmt::Display for Time {
    /// Seconds with three digits: `33.023`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = (self.0 + MS / 2) / MS;
        f.pad(&format!("{}.{:03}", ms / 1000, ms % 1000))
    }
}
impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / SEC, self.0 % SEC)
    }
}
impl fmt::Display for Span {
    /// The shortest exact form with a unit: `150ms`, `1.5s`, `4m`, `200us`, `7ns`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        let text = if n == 0 {
            "0s".to_owned()
        } else if n.is_multiple_of(3_600 * SEC) {
            format!("{}h", n / (3_600 * SEC))
        } else if n.is_multiple_of(60 * SEC) {
            format!("{}m", n / (60 * SEC))
        } else if n >= SEC {
            decimal(n, SEC, "s")
        } else if n >= MS {
            decimal(n, MS, "ms")
        } else if n >= 1_000 {
            decimal(n, 1_000, "us")
        } else {
            format!("{n}ns")
        };
        f.pad(&text)
    }
}
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn decimal(n: u64, unit: u64, name: &str) -> String {
    let (whole, mut rest) = (n / unit, n % unit);
    if rest == 0 {
        return format!("{whole}{name}");
    }
    let mut digits = String::new();
    let mut scale = unit / 10;
    while rest > 0 {
        digits.push(char::from(b'0' + (rest / scale) as u8));
        rest %= scale;
        scale /= 10;
    }
    format!("{whole}.{digits}{name}")
}

/// Reads `"1.5s"`: digits, at most one point, a unit out of `ns us ms s m h d`.
impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim_start());
        if number.is_empty() {
            return Err(if text.starts_with('-') {
                "a duration cannot be negative".to_owned()
            } else {
                "expected a duration such as `150ms`, `2.5s` or `4m`".to_owned()
            });
        }
        let scale: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => MS,
            "s" => SEC,
            "m" | "min" => 60 * SEC,
            "h" => 3_600 * SEC,
            "d" => 86_400 * SEC,
            "" => return Err(format!("a duration needs a unit: write `{number}s` or `{number}ms`")),
            other => {
                return Err(format!("`{other}` is not a unit of time; use one of ns, us, ms, s, m, h, d"));
            }
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(format!("`{number}` is not a number"));
        }
        let too_long = || "this duration is longer than 584 years, the end of simulated time".to_owned();
        let mut total: u128 = 0;
        for c in whole.bytes() {
            total = total * 10 + u128::from(c - b'0');
            if total > u128::from(u64::MAX) {
                return Err(too_long());
            }
        }
        total *= u128::from(scale);
        let mut place = u128::from(scale);
        for c in fraction.bytes() {
            place /= 10;
            total += place * u128::from(c - b'0');
        }
        u64::try_from(total).map(Span).map_err(|_| too_long())
    }
}

/// Reads a unit type out of a RON string, with the type's own message when the value is of another kind.
pub(crate) fn from_text<'de, D, T>(d: D, what: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    struct Visitor<T>(&'static str, std::marker::PhantomData<T>);
    impl<T: FromStr<Err = String>> de::Visitor<'_> for Visitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: de::Error>(self, s: &str) -> Result<T, E> {
            s.parse().map_err(|why: String| E::custom(format!("`{s}`: {why}")))
        }
    }
    d.deserialize_any(Visitor(what, std::marker::PhantomData))
}

macro_rules! text_serde {
    ($t:ty, $what:literal) => {
        impl<'de> serde::Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::engine::time::from_text(d, $what)
            }
        }
        impl serde::Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
    };
}
pub(crate) use text_serde;
text_serde!(Span, "a duration in quotes with a unit, such as \"150ms\" or \"2.5s\"");

/// A range of lengths, `"200us..600us"`, both ends included; a single length stands for itself.
///
/// Where a range is drawn from, every value in it is equally likely.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SpanRange {
    /// The shortest length.
    pub min: Span,
    /// The longest length.
    pub max: Span,
}
impl SpanRange {
    /// Always exactly `d`.
    pub const fn exactly(d: Span) -> Self {
        SpanRange { min: d, max: d }
    }
    /// From `min` to `max`.
    pub const fn new(min: Span, max: Span) -> Self {
        SpanRange { min, max }
    }
}
impl FromStr for SpanRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((a, b)) = text.split_once("..") else {
            return Ok(SpanRange::exactly(text.parse()?));
        };
        let (min, max) = (a.parse()?, b.trim_start_matches('=').parse()?);
        if min > max {
            return Err(format!("the range runs backwards: {min} is longer than {max}"));
        }
        Ok(SpanRange { min, max })
    }
}
impl fmt::Display for SpanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}..{}", self.min, self.max) }
    }
}
impl fmt::Debug for SpanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
text_serde!(SpanRange, "a duration or a range in quotes, such as \"200us\" or \"200us..600us\"");

/// A probability as a ratio of integers, written `"0.5%"` or `"1/200"`: parts in 2^32, so that a draw needs no float.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Chance {
    /// Parts in a billion.
    pub ppb: u64,
}
impl Chance {
    /// Never.
    pub const NEVER: Chance = Chance { ppb: 0 };
    /// Always.
    pub const ALWAYS: Chance = Chance { ppb: 1_000_000_000 };
}
impl FromStr for Chance {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let hint = "expected a probability such as `0.5%` or `1/200`, from 0% to 100%";
        let text = text.trim();
        let ppb = if let Some((a, b)) = text.split_once('/') {
            let (a, b): (u64, u64) = match (a.trim().parse(), b.trim().parse()) {
                (Ok(a), Ok(b)) if b > 0 => (a, b),
                _ => return Err(hint.to_owned()),
            };
            u64::try_from(u128::from(a) * 1_000_000_000 / u128::from(b)).unwrap_or(u64::MAX)
        } else {
            let Some(number) = text.strip_suffix('%') else { return Err(hint.to_owned()) };
            // "0.5" percent has the shape of a duration of 0.5 x 10 ms = 10^7 ppb.
            let Span(ns) = format!("{}s", number.trim()).parse::<Span>().map_err(|_| hint.to_owned())?;
            ns / 100
        };
        if ppb > 1_000_000_000 { Err(hint.to_owned()) } else { Ok(Chance { ppb }) }
    }
}
impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.ppb * 100, 1_000_000_000, "%"))
    }
}
impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
text_serde!(Chance, "a probability in quotes, such as \"0.5%\" or \"1/200\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_the_same() {
        for (text, ns) in [
            ("0s", 0),
            ("7ns", 7),
            ("20us", 20_000),
            ("150ms", 150 * MS),
            ("1.5s", 1_500 * MS),
            ("4m", 240 * SEC),
            ("2h", 7_200 * SEC),
            ("0.25ms", 250_000),
        ] {
            assert_eq!(text.parse::<Span>().unwrap(), Span(ns), "{text}");
        }
        for ns in [0, 7, 20_000, 150 * MS, 1_500 * MS, 240 * SEC, 61 * SEC, 123_456_789, 3_600 * SEC] {
            assert_eq!(Span(ns).to_string().parse::<Span>().unwrap(), Span(ns));
        }
    }

    #[test]
    fn bad_spans_say_what_is_wrong() {
        for (text, part) in [
            ("10 parsecs", "not a unit"),
            ("-3s", "negative"),
            ("5", "needs a unit"),
            ("", "expected a duration"),
            ("1.2.3s", "not a number"),
            ("99999999999999999999s", "584 years"),
            ("600000000h", "584 years"),
        ] {
            let why = text.parse::<Span>().unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn chances_are_exact() {
        assert_eq!("0.5%".parse::<Chance>().unwrap().ppb, 5_000_000);
        assert_eq!("1/200".parse::<Chance>().unwrap().ppb, 5_000_000);
        assert_eq!("100%".parse::<Chance>().unwrap(), Chance::ALWAYS);
        assert!("101%".parse::<Chance>().is_err());
        assert_eq!(Chance { ppb: 5_000_000 }.to_string(), "0.5%");
    }
}
