//! The story of a run: time, host, what happened, why. Heartbeats are folded.

use crate::engine::Time;
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
        "master" => '*',
        "violation" => '!',
        "client_resumed" => '+',
        "client_first_error" => '-',
        _ => ' ',
    }
}
fn colour(kind: &str) -> &'static str {
    match kind {
        "fault" | "violation" | "client_first_error" => "\x1b[31m",
        "master" | "client_resumed" => "\x1b[32m",
        "healed" => "\x1b[36m",
        _ => "",
    }
}

fn pad(text: &str, width: usize) -> String {
    let w = text.width();
    format!("{text}{}", " ".repeat(width.saturating_sub(w)))
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
    let _ = writeln!(out, "{name}   stack {stack}   seed {}", run.seed);
    let _ = writeln!(out, "{}\n", drill.about);
    let told: Vec<&Mark> = run.marks.iter().filter(|m| m.story).collect();
    let what_width = told.iter().map(|m| m.text.width()).filter(|w| *w <= 46).max().unwrap_or(20);
    let hosts = run.hosts.iter().map(|h| h.width()).max().unwrap_or(4).max(4);
    let _ =
        writeln!(out, "  {:>9}  {}  {}why", "time", pad("host", hosts), pad("what happened", what_width + 2));
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
            Judgement::Pass => "pass",
            Judgement::Fail => "FAIL",
            Judgement::Inconclusive => "????",
        };
        let _ = writeln!(out, "{word}  {}: {}", j.name, j.detail);
    }
    let verdict = match run.verdict.whole {
        Judgement::Pass => "pass",
        Judgement::Fail => "FAIL",
        Judgement::Inconclusive => "inconclusive",
    };
    let _ = writeln!(out, "verdict: {verdict}   events {}   digest {:016x}", run.events, run.digest);
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
        senders.iter().map(|(h, n)| format!("{n} of {}", run.hosts[*h as usize])).collect();
    Some(format!("... adverts folded: {}", parts.join(", ")))
}

/// What clients saw, in one line.
pub fn summary(run: &Run) -> String {
    let (w, r) = (run.outages(true), run.outages(false));
    let longest = |o: &[crate::trace::outage::Outage]| o.iter().map(|o| o.length()).max().unwrap_or_default();
    let (ok, all) = run.requests.counts(true);
    let both = if w == r {
        format!("outage {} s (reads and writes, {} in all)", Time(longest(&w).0), w.len())
    } else {
        format!("outage of writes {} s, of reads {} s", Time(longest(&w).0), Time(longest(&r).0))
    };
    format!("{both}   two holders {} ms   requests {ok} of {all}\n", run.broken_ms("DualVipAnywhere"))
}
