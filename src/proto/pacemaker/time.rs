//! Durations as configurations write them, and the dates of rules. The calendar is UTC.

use super::score::number;
use super::xml::Element;

/// A duration in milliseconds: a number with a unit (seconds if none), or an ISO 8601 duration such as `PT10S`. What is neither is 0.
pub fn interval(text: &str) -> u64 {
    let t = text.trim();
    if t.starts_with(['P', 'p']) {
        return iso_duration(t).unwrap_or(0).saturating_mul(1_000);
    }
    milliseconds(t).unwrap_or(0)
}

/// A number with a unit, in milliseconds.
pub fn milliseconds(text: &str) -> Option<u64> {
    let t = text.trim_start();
    let n = u64::try_from(number(t)?).ok()?;
    let unit = t
        .trim_start_matches(['+'])
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start()
        .to_ascii_lowercase();
    let (times, per) = match unit.as_str() {
        u if u.starts_with("ms") => (1, 1),
        u if u.starts_with("us") => (1, 1_000),
        u if u.starts_with('s') || u.is_empty() => (1_000, 1),
        u if u.starts_with('m') => (60_000, 1),
        u if u.starts_with('h') => (3_600_000, 1),
        _ => return None,
    };
    Some(n.saturating_mul(times) / per)
}

fn iso_duration(text: &str) -> Option<u64> {
    let (mut seconds, mut n, mut in_time, mut digits) = (0_u64, 0_u64, false, false);
    for c in text.chars().skip(1) {
        let unit = match (c.to_ascii_uppercase(), in_time) {
            ('T', _) => {
                in_time = true;
                continue;
            }
            ('0'..='9', _) => {
                n = n.saturating_mul(10).saturating_add(u64::from(c.to_digit(10)?));
                digits = true;
                continue;
            }
            ('Y', _) => 31_536_000,
            ('M', false) => 2_592_000,
            ('W', _) => 604_800,
            ('D', _) => 86_400,
            ('H', _) => 3_600,
            ('M', true) => 60,
            ('S', _) => 1,
            _ => return None,
        };
        seconds = seconds.saturating_add(n.saturating_mul(unit));
        n = 0;
    }
    digits.then_some(seconds)
}

/// A moment in the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Year.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: i64,
    /// Day, 1 to 31.
    pub day: i64,
    /// Seconds of the day.
    pub seconds: i64,
}

/// Days from 1970-01-01 to a date. Months may lie outside 1 to 12.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (y, m) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let shifted = if m <= 2 { y - 1 } else { y };
    let era = shifted.div_euclid(400);
    let in_era = shifted.rem_euclid(400);
    let of_year = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + of_year - 719_468
}

impl Clock {
    /// The calendar's view of seconds since 1970.
    pub fn of(at: i64) -> Clock {
        let n = at.div_euclid(86_400) + 719_468;
        let (era, rest) = (n.div_euclid(146_097), n.rem_euclid(146_097));
        let in_era = (rest - rest / 1_460 + rest / 36_524 - rest / 146_096) / 365;
        let of_year = rest - (365 * in_era + in_era / 4 - in_era / 100);
        let m = (5 * of_year + 2) / 153;
        let month = if m < 10 { m + 3 } else { m - 9 };
        let year = era * 400 + in_era + i64::from(month <= 2);
        Clock { year, month, day: of_year - (153 * m + 2) / 5 + 1, seconds: at.rem_euclid(86_400) }
    }

    /// Seconds since 1970.
    pub fn at(self) -> i64 {
        days(self.year, self.month, self.day) * 86_400 + self.seconds
    }

    fn yearday(self) -> i64 {
        days(self.year, self.month, self.day) - days(self.year, 1, 1) + 1
    }

    /// Monday is 1.
    fn weekday(self) -> i64 {
        (days(self.year, self.month, self.day) + 3).rem_euclid(7) + 1
    }

    /// The ISO week and its year.
    fn week(self) -> (i64, i64) {
        let thursday = days(self.year, self.month, self.day) + 4 - self.weekday();
        let year = Clock::of(thursday * 86_400).year;
        (year, (thursday - days(year, 1, 1)) / 7 + 1)
    }
}

/// A date: `2026-01-01`, with a time (`T12:00:00` or after a blank) and a zone (`Z`, `+01:00`). Without a zone it is UTC.
pub fn date(text: &str) -> Option<i64> {
    let t = text.trim();
    let (day, rest) = t.split_once(['T', ' ']).unwrap_or((t, ""));
    let mut parts = day.split('-');
    let mut part = || parts.next().and_then(|p| p.parse::<i64>().ok());
    let (year, month, d) = (part()?, part()?, part()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&d) || !(1..=9999).contains(&year) {
        return None;
    }
    let rest = rest.trim();
    let cut = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let of_day = |clock: &str| -> Option<i64> {
        let mut fields =
            clock.trim().split(':').map(|f| f.split('.').next().and_then(|f| f.parse::<i64>().ok()));
        let mut field = || fields.next().unwrap_or(Some(0));
        Some(field()? * 3_600 + field()? * 60 + field()?)
    };
    let clock = &rest[..cut];
    let seconds = if clock.trim().is_empty() { 0 } else { of_day(clock)? };
    let zone = match rest[cut..].chars().next() {
        Some('+') => of_day(&rest[cut + 1..])?,
        Some('-') => -of_day(&rest[cut + 1..])?,
        _ => 0,
    };
    Some(days(year, month, d) * 86_400 + seconds - zone)
}

fn after(start: i64, duration: &Element) -> i64 {
    let n = |k: &str| duration.get(k).and_then(number).unwrap_or(0).clamp(-100_000_000, 100_000_000);
    let c = Clock::of(start);
    let moved = Clock {
        year: c.year + n("years").clamp(-9_999, 9_999),
        month: c.month + n("months").clamp(-99_999, 99_999),
        ..c
    };
    moved.at() + (n("weeks") * 7 + n("days")) * 86_400 + n("hours") * 3_600 + n("minutes") * 60 + n("seconds")
}

fn bounds(e: &Element) -> (Option<i64>, Option<i64>) {
    let start = e.get("start").and_then(date);
    let end = e.get("end").and_then(date).or_else(|| Some(after(start?, e.child("duration")?)));
    (start, end)
}

/// Whether a date expression holds.
pub fn passes(e: &Element, now: i64) -> bool {
    let (start, end) = bounds(e);
    match e.get("operation").unwrap_or("in_range").to_ascii_lowercase().as_str() {
        "in_range" => {
            (start.is_some() || end.is_some())
                && start.is_none_or(|s| now >= s)
                && end.is_none_or(|x| now <= x)
        }
        "gt" => start.is_some_and(|s| now > s),
        "lt" => end.is_some_and(|x| now < x),
        "date_spec" => e.child("date_spec").is_some_and(|spec| calendar(spec, Clock::of(now))),
        _ => false,
    }
}

fn calendar(spec: &Element, c: Clock) -> bool {
    let (week_year, week) = c.week();
    let fields = [
        ("years", c.year),
        ("months", c.month),
        ("monthdays", c.day),
        ("hours", c.seconds / 3_600),
        ("minutes", c.seconds / 60 % 60),
        ("seconds", c.seconds % 60),
        ("yeardays", c.yearday()),
        ("weekyears", week_year),
        ("weeks", week),
        ("weekdays", c.weekday()),
    ];
    fields.iter().all(|(name, value)| spec.get(name).is_none_or(|range| within(range, *value)))
}

fn within(range: &str, value: i64) -> bool {
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let (low, high) = (low.trim(), high.trim());
    let side = |t: &str| if t.is_empty() { Some(None) } else { number(t).map(Some) };
    match (side(low), side(high)) {
        (Some(l), Some(h)) => l.is_none_or(|l| value >= l) && h.is_none_or(|h| value <= h),
        _ => true,
    }
}

/// The next moment at which a date expression somewhere in an element changes its mind.
pub fn next_change(e: &Element, now: i64, next: &mut Option<i64>) {
    if e.name == "date_expression" {
        let (start, end) = bounds(e);
        let at = match e.get("operation").unwrap_or("in_range") {
            "in_range" if start.is_some_and(|s| now < s) => start,
            "in_range" => end.filter(|x| now <= *x).map(|x| x + 1),
            "gt" => start.filter(|s| now <= *s).map(|s| s + 1),
            "lt" => end.filter(|x| now < *x),
            _ => None,
        };
        if let Some(at) = at {
            *next = Some(next.map_or(at, |n| n.min(at)));
        }
    }
    e.children.iter().for_each(|c| next_change(c, now, next));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_durations_are_read_as_they_are_written() {
        assert_eq!(date("2026-01-01T12:00:00Z"), Some(1_767_268_800));
        assert_eq!(date("2026-01-01 13:00:00 +01:00"), Some(1_767_268_800));
        assert_eq!(date("2026-13-01"), None);
        assert_eq!(Clock::of(1_767_268_800).at(), 1_767_268_800);
        assert_eq!(Clock::of(1_767_268_800).weekday(), 4);
        assert_eq!(Clock::of(1_767_268_800).week(), (2026, 1));
        assert_eq!(
            (interval("10s"), interval("2min"), interval("PT1M30S"), interval("3"), interval("x")),
            (10_000, 120_000, 90_000, 3_000, 0)
        );
    }
}
