//! The story of a run: time, host, what happened, why. Heartbeats are folded.

use crate::engine::Time;
use crate::say;
use crate::scenario::types::Drill;
use crate::trace::marks::Mark;
use crate::trace::run::Run;
use crate::trace::verdict::Judgement;
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// How a story is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Escape sequences for colour.
    pub colour: bool,
    /// Columns to keep within; the reason wraps. 0: do not wrap.
    pub width: usize,
}

/// The letter in front of a line, so that meaning is never in colour alone.
fn letter(kind: &str) -> char {
    match kind {
        "fault" => 'x',
        "healed" => 'h',
        "master" | "promoted" | "worker" => '*',
        "violation" => '!',
        "client_resumed" | "job_done" => '+',
        "job_started" => '>',
        "job_requeued" | "job_failed" | "job_timeout" | "job_node_fail" | "ranks_lost" | "node_lost" => '-',
        "client_first_error" => '-',
        _ => ' ',
    }
}
fn colour(kind: &str) -> &'static str {
    match kind {
        "fault" | "violation" | "client_first_error" => "\x1b[31m",
        "ranks_lost" | "node_lost" | "job_failed" | "job_timeout" | "job_node_fail" => "\x1b[31m",
        "master" | "promoted" | "worker" | "client_resumed" | "job_done" => "\x1b[32m",
        "healed" => "\x1b[36m",
        _ => "",
    }
}

/// The text at the left end of a column, wide characters counted as what they take.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let w = text.width();
    format!("{text}{}", " ".repeat(width.saturating_sub(w)))
}

/// The text at the right end of a column.
fn left(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// One line of the story (more, where the reason wraps).
pub fn line(m: &Mark, run: &Run, what_width: usize, style: Style) -> String {
    let hosts = run.hosts.iter().map(|h| h.width()).max().unwrap_or(4).max(4);
    let head = format!("{} {:>9}  {}  ", letter(m.kind), m.at.to_string(), pad(run.host(m.host), hosts));
    let mut text = format!("{head}{}", pad(&m.text, what_width));
    if !m.why.is_empty() {
        let indent = head.width() + what_width + 2;
        if style.width > 0 && m.text.width() + 2 + m.why.width() + head.width() > style.width {
            let _ = write!(text, "\n{}{}", " ".repeat(head.width() + 2), m.why);
        } else {
            let gap = indent.saturating_sub(text.width()).max(2);
            let _ = write!(text, "{}{}", " ".repeat(gap), m.why);
        }
    }
    let text: String = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let c = colour(m.kind);
    if style.colour && !c.is_empty() { format!("{c}{text}\x1b[0m") } else { text }
}

/// The whole story.
pub fn story(name: &str, stack: &str, drill: &Drill, run: &Run, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", say!("story-head", name = name, stack = stack, seed = run.seed));
    let _ = writeln!(out, "{}\n", crate::lang::about(name, &drill.about));
    let told: Vec<&Mark> = run.marks.iter().filter(|m| m.story).collect();
    let what_width = told.iter().map(|m| m.text.width()).filter(|w| *w <= 46).max().unwrap_or(20);
    let hosts = run.hosts.iter().map(|h| h.width()).max().unwrap_or(4).max(4);
    let hosts = hosts.max(say!("story-host").width());
    let _ = writeln!(
        out,
        "  {}  {}  {}{}",
        left(&say!("story-time"), 9),
        pad(&say!("story-host"), hosts),
        pad(&say!("story-what"), what_width + 2),
        say!("story-why")
    );
    let mut before = Time::ZERO;
    for m in &told {
        let folded = folded(run, before, m.at);
        if let Some(text) = folded {
            let _ = writeln!(out, "  {:>9}  {}  {text}", "", pad("", hosts));
        }
        let _ = writeln!(out, "{}", line(m, run, what_width, style));
        before = m.at;
    }
    if let Some(text) = folded(run, before, run.end) {
        let _ = writeln!(out, "  {:>9}  {}  {text}", "", pad("", hosts));
    }
    out.push('\n');
    out.push_str(&summary(run));
    for j in &run.verdict.each {
        let word = match j.verdict {
            Judgement::Pass => say!("story-pass"),
            Judgement::Fail => say!("story-fail"),
            Judgement::Inconclusive => say!("story-open"),
        };
        let _ = writeln!(out, "{word}  {}: {}", j.name, j.detail);
    }
    let verdict = match run.verdict.whole {
        Judgement::Pass => say!("story-pass"),
        Judgement::Fail => say!("story-fail"),
        Judgement::Inconclusive => say!("story-inconclusive"),
    };
    let digest = format!("{:016x}", run.digest);
    let _ =
        writeln!(out, "{}", say!("story-verdict", verdict = verdict, events = run.events, digest = digest));
    out
}

/// Adverts between two marks, if there are enough to be worth a line.
fn folded(run: &Run, from: Time, to: Time) -> Option<String> {
    let between: Vec<_> = run.adverts.iter().filter(|(_, at)| *at > from && *at < to).collect();
    if between.len() < 3 {
        return None;
    }
    let mut senders: Vec<(u16, usize)> = Vec::new();
    for (h, _) in &between {
        match senders.iter_mut().find(|s| s.0 == h.0) {
            Some(s) => s.1 += 1,
            None => senders.push((h.0, 1)),
        }
    }
    senders.sort_unstable();
    let parts: Vec<String> =
        senders.iter().map(|(h, n)| say!("story-folded-of", n = n, host = run.hosts[*h as usize])).collect();
    Some(say!("story-folded", parts = parts.join(&say!("story-comma"))))
}

/// What clients saw, in one line.
pub fn summary(run: &Run) -> String {
    let jobs = job_summary(run);
    // A cluster without clients has nothing to say of requests.
    if !jobs.is_empty() && run.requests.counts(true).1 == 0 && run.requests.counts(false).1 == 0 {
        return jobs;
    }
    jobs + &client_summary(run)
}
/// What became of the jobs of a batch cluster, in one line; nothing without jobs.
fn job_summary(run: &Run) -> String {
    let jobs = &run.jobs;
    if jobs.all.is_empty() {
        return String::new();
    }
    let time = |d: Option<crate::engine::Span>| Time(d.unwrap_or_default().0);
    let lost = Time(jobs.all.iter().map(|j| j.lost.0).sum());
    let (done, all) = (jobs.done(), jobs.all.len());
    let (makespan, wait) = (time(jobs.makespan()), time(jobs.mean_wait()));
    say!("story-jobs", done = done, all = all, makespan = makespan, wait = wait, lost = lost) + "\n"
}
fn client_summary(run: &Run) -> String {
    let (w, r) = (run.outages(true), run.outages(false));
    let longest = |o: &[crate::trace::outage::Outage]| o.iter().map(|o| o.length()).max().unwrap_or_default();
    let (ok, all) = run.requests.counts(true);
    let both = if w == r {
        say!("story-outage", time = Time(longest(&w).0), n = w.len())
    } else {
        say!("story-outages", w = Time(longest(&w).0), r = Time(longest(&r).0))
    };
    let dual = run.broken_ms("DualVipAnywhere");
    let clients = say!("story-summary", outage = both, dual = dual, ok = ok, all = all) + "\n";
    if !run.database {
        return clients;
    }
    let b = run.balance;
    let split = run.broken_ms("SplitBrainAnywhere");
    let (acked, lost, twice, phantom) = (b.acked, b.lost, b.duplicated, b.phantom);
    let line =
        say!("story-database", acked = acked, lost = lost, split = split, twice = twice, phantom = phantom);
    clients + &line + "\n"
}
