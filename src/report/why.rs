//! The chain of causes behind a mark, in words: what it waited for, what did not come, which fault took it away.

use crate::engine::Time;
use crate::node::log::{LostBy, What};
use crate::node::process::HostId;
use crate::report::story::{Style, line};
use crate::say;
use crate::trace::marks::Mark;
use crate::trace::run::Run;
use unicode_width::UnicodeWidthStr;

/// Why a frame did not arrive, in words.
fn reason(r: &Run, why: &LostBy) -> String {
    match why {
        LostBy::Rule(fault) => {
            let by = r.marks.iter().find(|m| m.event == *fault && m.kind == "fault");
            by.map_or(say!("why-rule"), |f| format!("{} ({})", f.text, f.why))
        }
        LostBy::Chance => say!("why-chance"),
        LostBy::HostDown => say!("why-asleep"),
        LostBy::NoCarrier => say!("why-carrier"),
        LostBy::NotHere(ip) => say!("why-not-here", ip = ip),
    }
}

/// What became of the frames of a client between two moments, and what its ARP cache learned meanwhile.
fn of_client(r: &Run, client: HostId, from: Time, to: Time) -> Vec<String> {
    let mut counts: Vec<(HostId, String, usize)> = Vec::new();
    for e in r.log.iter().filter(|e| e.at >= from && e.at <= to && e.host == Some(client)) {
        let What::Lost(to, _, why) = &e.what else { continue };
        let reason = reason(r, why);
        match counts.iter_mut().find(|c| c.0 == *to && c.1 == reason) {
            Some(c) => c.2 += 1,
            None => counts.push((*to, reason, 1)),
        }
    }
    let lost = counts.into_iter().map(|(to, reason, n)| {
        let (from, to) = (r.host(Some(client)), r.host(Some(to)));
        say!("why-frames-lost", n = n, from = from, to = to, reason = reason)
    });
    let tells = |m: &&Mark| {
        m.at >= from
            && m.at <= to
            && (m.kind == "violation" && m.text.starts_with("StaleArp")
                || m.host == Some(client) && matches!(m.kind, "arp_moved" | "arp_failed"))
    };
    let told = |m: &Mark| {
        let why = if m.why.is_empty() { String::new() } else { format!(" ({})", m.why) };
        format!("{} {}{why}", m.at, m.text)
    };
    let arp = r.marks.iter().filter(tells).map(told);
    lost.chain(arp).collect()
}

/// What was lost on the way to a host between two moments, and to what: absence explained.
fn absence(r: &Run, m: &Mark, from: Time) -> Vec<String> {
    let mut counts: Vec<(String, String, usize)> = Vec::new();
    for e in r.log.iter().filter(|e| e.at >= from && e.at <= m.at) {
        let What::Lost(to, label, why) = &e.what else { continue };
        if Some(*to) != m.host || label.word != "advert" {
            continue;
        }
        let reason = reason(r, why);
        let from = r.host(e.host).to_owned();
        match counts.iter_mut().find(|c| c.0 == from && c.1 == reason) {
            Some(c) => c.2 += 1,
            None => counts.push((from, reason, 1)),
        }
    }
    counts
        .into_iter()
        .map(|(from, reason, n)| say!("why-lost", n = n, from = from, reason = reason))
        .collect()
}

/// Explains a mark, one line to a cause. The run has to have been logged in full.
pub fn why(r: &Run, m: &Mark) -> String {
    let width = m.text.width();
    let mut out = format!("{}\n", line(m, r, width, Style::default()));
    if m.event.0 > 0 {
        out.push_str(&format!("  {}\n", say!("why-event", id = m.event.0, cause = m.cause.0)));
    }
    let is = |kind: &str| m.kind == kind;
    if let Some(client) = m.host.filter(|_| is("client_first_error") || is("client_resumed")) {
        let mine = |kind: &str, x: &&Mark| x.kind == kind && x.host == Some(client);
        let first = r.marks.iter().rev().find(|x| mine("client_first_error", x) && x.at <= m.at);
        let end = r.marks.iter().find(|x| mine("client_resumed", x) && x.at >= m.at);
        let (from, to) = (first.map_or(m.at, |x| x.at), end.map_or(r.end, |x| x.at));
        for line in of_client(r, client, from, to) {
            out.push_str(&format!("  <- {line}\n"));
        }
    }
    // From what it waited for to what did not come.
    let heard = r.log.iter().rev().find(|e| {
        e.at <= m.at
            && e.event != m.event
            && e.host == m.host
            && matches!(&e.what, What::Frame(_, _, label) if label.word == "advert" && label.number > 0)
    });
    if m.kind == "master" {
        match heard {
            Some(e) => {
                let from = if let What::Frame(h, ..) = &e.what { r.host(Some(*h)) } else { "" };
                out.push_str(&format!("  <- {}\n", say!("why-timer", from = from, at = e.at)));
                for line in absence(r, m, e.at) {
                    out.push_str(&format!("  <- {line}\n"));
                }
                let sent = r
                    .adverts
                    .iter()
                    .filter(|(h, at)| r.host(Some(*h)) == from && *at > e.at && *at < m.at)
                    .count();
                if sent == 0 {
                    out.push_str(&format!("  <- {}\n", say!("why-silent", from = from, at = e.at)));
                }
            }
            None => out.push_str(&format!("  <- {}\n", say!("why-never"))),
        }
    }
    if r.database && m.host.is_none_or(|_| !is("client_first_error") && !is("client_resumed")) {
        for line in super::why_database::explain(r, m) {
            out.push_str(&format!("  <- {line}\n"));
        }
        return out;
    }
    for line in super::why_cluster::explain(r, m) {
        out.push_str(&format!("  <- {line}\n"));
    }
    for line in super::why_steps::explain(r, m) {
        out.push_str(&format!("  <- {line}\n"));
    }
    let mut seen = vec![m.event];
    let mut cause = m.cause;
    for _ in 0..8 {
        let Some(e) = r.marks.iter().find(|x| x.event == cause && cause.0 > 0) else { break };
        if seen.contains(&e.event) {
            break;
        }
        seen.push(e.event);
        out.push_str(&format!(
            "  <- {}{}\n",
            say!("why-during"),
            line(e, r, e.text.width(), Style::default())
        ));
        cause = e.cause;
    }
    for f in r.marks.iter().filter(|x| x.kind == "fault" && x.at <= m.at && x.event != m.event).rev().take(2)
    {
        out.push_str(&format!("  <- {}\n", line(f, r, f.text.width(), Style::default()).trim()));
    }
    out
}
