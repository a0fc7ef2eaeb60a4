//! Simulated against measured: every measured value inside the simulated 0.5-99.5% range, widened by the process time; the
//! measured median where medians of as many simulated runs lie.

use super::run::{Run, run};
use crate::engine::random::Streams;
use crate::engine::{MS, Time};
use crate::node::log::Level;
use crate::node::process::HostId;
use crate::scenario::types::{Drill, Measured, MeasuredMark, Stack};

/// One comparison.
#[derive(Clone, Debug)]
pub struct Row {
    /// The mark and what it is counted from.
    pub what: String,
    /// The measured figures.
    pub measured: String,
    /// The simulated ones.
    pub simulated: String,
    /// Whether they agree.
    pub agrees: bool,
    /// Why not.
    pub why: String,
}

/// A mark's time in microseconds after what it is counted from, in one run; `None` if it did not happen.
pub fn value(r: &Run, m: &MeasuredMark) -> Option<i64> {
    let (kind, arg) = m.what.split_once(' ').unwrap_or((m.what.as_str(), ""));
    let (from_kind, from_arg) = m.from.split_once(' ').unwrap_or((m.from.as_str(), ""));
    let us = |t: Time| (t.0 / 1_000) as i64;
    let faults: Vec<&super::marks::Mark> =
        r.marks.iter().filter(|m| matches!(m.kind, "fault" | "healed")).collect();
    let first = faults.first().map_or(Time::ZERO, |m| m.at);
    // `old` is the host that was primary when the first fault came, `new` any other.
    let on = |host: Option<HostId>, name: &str| match name {
        "" => true,
        "old" => host == r.old_primary,
        "new" => host != r.old_primary,
        name => r.host(host) == name,
    };
    // A back end's mark stands on the proxy; meant is the server, in the section of the primary.
    let server = |x: &super::marks::Mark, name: &str| {
        let old = r.host(r.old_primary);
        let is = |n: &str| x.text.split(' ').any(|w| w == format!("primary/{n}"));
        match name {
            "" => true,
            "old" => is(old),
            "new" => x.text.contains("primary/") && !is(old),
            name => is(name),
        }
    };
    // "leader_elected new patroni" names the process as well: the leader of the DCS is told under the same kind.
    let mark = |kind: &str, arg: &str, after: Time| {
        let (host, process) = arg.split_once(' ').unwrap_or((arg, ""));
        let by = |x: &super::marks::Mark| {
            process.is_empty()
                || x.pid.and_then(|p| r.processes.get(p.0 as usize)).is_some_and(|p| p == process)
        };
        if kind.starts_with("backend_") {
            return r.marks.iter().find(|x| x.kind == kind && server(x, host) && x.at >= after).map(|x| x.at);
        }
        r.marks.iter().find(|x| x.kind == kind && on(x.host, host) && by(x) && x.at >= after).map(|x| x.at)
    };
    let numbered =
        |n: &str| n.parse::<usize>().ok().and_then(|n| faults.get(n.wrapping_sub(1))).map(|m| m.at);
    let (from, lower) = match from_kind {
        "fault" => {
            let at = numbered(from_arg)?;
            (at, at)
        }
        // "last_advert lb1 2": the last before fault 2.
        "last_advert" => {
            let (host, n) = from_arg.split_once(' ').unwrap_or((from_arg, "1"));
            let fault = numbered(n)?;
            let at = r
                .adverts
                .iter()
                .rev()
                .find(|(h, at)| r.host(Some(*h)) == host && *at <= fault)
                .map(|a| a.1)?;
            (at, fault)
        }
        "start" => (Time::ZERO, Time::ZERO),
        other => {
            let at = mark(other, from_arg, first)?;
            (at, at)
        }
    };
    Some(match kind {
        "outage" | "gap" => {
            // "outage app1" is that host's; any other word asks for the first that does not begin before what it is counted from.
            let client = r.requests.clients().into_iter().find(|c| r.host(c.0) == arg);
            let windows = client.map_or_else(|| r.outages(true), |c| r.requests.outages_of(c, true, r.end));
            let w = windows.iter().filter(|w| w.to >= lower).find(|w| {
                arg.is_empty() || client.is_some() || w.last_ok + crate::engine::Span::ms(100) >= lower
            })?;
            if !w.over {
                return None;
            }
            (w.gap().0 / 1_000) as i64
        }
        "two_writable" => (r.broken_ms("SplitBrainAnywhere") * 1_000) as i64,
        "lost_writes" => r.balance.lost as i64 * 1_000,
        "two_holders" => (r.broken_ms("DualVipAnywhere") * 1_000) as i64,
        "garps" => {
            r.marks
                .iter()
                .filter(|x| x.kind == "garp" && r.host(x.host) == arg && x.at >= lower)
                .filter_map(|x| x.text.split(' ').next()?.parse::<i64>().ok())
                .sum::<i64>()
                * 1_000
        }
        kind => us(mark(kind, arg, lower)?) - us(from),
    })
}

/// Plays the drill with many seeds and compares.
pub fn compare(stack: &Stack, drill: &Drill, measured: &Measured, seeds: u32) -> Vec<Row> {
    use rayon::prelude::*;
    let runs: Vec<Vec<Option<i64>>> = (1..=u64::from(seeds))
        .into_par_iter()
        .map(|seed| {
            let r = run(stack, drill, seed, Level::Story, false);
            measured.marks.iter().map(|m| value(&r, m)).collect()
        })
        .collect();
    measured
        .marks
        .iter()
        .enumerate()
        .map(|(i, m)| {
            let mut seen: Vec<i64> = runs.iter().filter_map(|r| r[i]).collect();
            seen.sort_unstable();
            // A count has no process time.
            let slack = if m.what == "lost_writes" { 0 } else { measured.slack.0 as i64 / 1_000 };
            judge(m, &seen, seeds as usize, slack)
        })
        .collect()
}

fn quantile(sorted: &[i64], permille: usize) -> i64 {
    sorted[(sorted.len() - 1) * permille / 1000]
}
fn median(values: &mut [i64]) -> i64 {
    values.sort_unstable();
    let n = values.len();
    if n % 2 == 1 { values[n / 2] } else { (values[n / 2 - 1] + values[n / 2]) / 2 }
}

fn judge(m: &MeasuredMark, seen: &[i64], runs: usize, slack: i64) -> Row {
    let what = if m.what == "outage" || m.from == "fault 1" {
        m.what.clone()
    } else {
        format!("{} from {}", m.what, m.from)
    };
    if m.never {
        let n = m.n.unwrap_or(1);
        // So rare that n runs without it are no surprise: (1 - p)^n is at least 2.5%.
        let p = seen.len() as f64 / runs.max(1) as f64;
        let agrees = (1.0 - p).powi(n as i32) >= 0.025;
        let why = format!("it happened in {} of {runs} runs", seen.len());
        return Row {
            what,
            measured: format!("never in {n}"),
            simulated: format!("{} of {runs}", seen.len()),
            agrees,
            why,
        };
    }
    if seen.is_empty() {
        return Row {
            what,
            measured: String::new(),
            simulated: "never".to_owned(),
            agrees: false,
            why: "it never happened".to_owned(),
        };
    }
    let us = 1_000;
    let mut values: Vec<i64> = m.values_ms.iter().map(|v| v * us).collect();
    let mid = m.median_ms.map(|v| v * us).or_else(|| (!values.is_empty()).then(|| median(&mut values)));
    values.extend(m.min_ms.iter().chain(&m.max_ms).map(|v| v * us));
    let (low, high) = (quantile(seen, 5) - slack, quantile(seen, 995) + slack);
    let n = m.n.map_or(m.values_ms.len().max(1), |n| n as usize);
    let (min, max) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let text = |v: i64| v.div_euclid(us);
    let outside = values.iter().find(|v| **v < low || **v > high);
    let (mlow, mhigh) = medians(seen, n);
    let middle = mid.filter(|v| *v < mlow - slack || *v > mhigh + slack);
    let why = match (outside, middle) {
        (Some(v), _) => format!("{} ms lies outside {}..{}", text(*v), text(low), text(high)),
        (_, Some(v)) => format!("the median {} lies outside {}..{}", text(v), text(mlow), text(mhigh)),
        _ => String::new(),
    };
    Row {
        what,
        measured: format!("{} ({}..{}) n={n}", text(mid.unwrap_or(0)), text(min), text(max)),
        simulated: format!(
            "{} ({}..{})",
            text(quantile(seen, 500)),
            text(quantile(seen, 5)),
            text(quantile(seen, 995))
        ),
        agrees: why.is_empty(),
        why,
    }
}

/// Where medians of `n` simulated values lie 95% of the time.
fn medians(seen: &[i64], n: usize) -> (i64, i64) {
    let mut streams = Streams::new(1);
    let id = streams.named("validate/resample");
    let mut all: Vec<i64> = (0..1000)
        .map(|_| {
            let mut sample: Vec<i64> =
                (0..n).map(|_| seen[streams.below(id, seen.len() as u64) as usize]).collect();
            median(&mut sample)
        })
        .collect();
    all.sort_unstable();
    let _ = MS;
    (quantile(&all, 25), quantile(&all, 975))
}
