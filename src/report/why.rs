//! The chain of causes behind a mark, in words: what it waited for, what did not come, which fault took it away.

use crate::engine::Time;
use crate::node::log::{LostBy, What};
use crate::report::story::{Style, line};
use crate::trace::marks::Mark;
use crate::trace::run::Run;

/// What was lost on the way to a host between two moments, and to what: absence explained.
fn absence(r: &Run, m: &Mark, from: Time) -> Vec<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for e in r.log.iter().filter(|e| e.at >= from && e.at <= m.at) {
        let What::Lost(to, label, why) = &e.what else { continue };
        if Some(*to) != m.host || label.word != "advert" {
            continue;
        }
        let reason = match why {
            LostBy::Rule(fault) => {
                let by = r.marks.iter().find(|m| m.event == *fault && m.kind == "fault");
                by.map_or("a rule of a fault".to_owned(), |f| format!("{} ({})", f.text, f.why))
            }
            LostBy::Chance => "random loss of the network".to_owned(),
            LostBy::HostDown => "the receiver was not awake".to_owned(),
            LostBy::NoCarrier => "no carrier".to_owned(),
            LostBy::NotHere(ip) => format!("{ip} is not configured there"),
        };
        let text = format!("adverts from {} lost: {reason}", r.host(e.host));
        match counts.iter_mut().find(|c| c.0 == text) {
            Some(c) => c.1 += 1,
            None => counts.push((text, 1)),
        }
    }
    counts.into_iter().map(|(t, n)| format!("{n} x {t}")).collect()
}

/// Explains a mark, one line to a cause. The run has to have been logged in full.
pub fn why(r: &Run, m: &Mark) -> String {
    let width = m.text.len();
    let mut out = format!("{}\n", line(m, r, width, Style::default()));
    out.push_str(&format!("  event {}, scheduled during event {}\n", m.event.0, m.cause.0));
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
                out.push_str(&format!("  <- the timer was last set by the advert of {from} at {}; nothing has set it again since\n", e.at));
                for line in absence(r, m, e.at) {
                    out.push_str(&format!("  <- {line}\n"));
                }
                let sent = r
                    .adverts
                    .iter()
                    .filter(|(h, at)| r.host(Some(*h)) == from && *at > e.at && *at < m.at)
                    .count();
                if sent == 0 {
                    out.push_str(&format!("  <- {from} has sent no advert since {}\n", e.at));
                }
            }
            None => out.push_str("  <- no advert has been heard on this host\n"),
        }
    }
    let mut seen = vec![m.event];
    let mut cause = m.cause;
    for _ in 0..8 {
        let Some(e) = r.marks.iter().find(|x| x.event == cause) else { break };
        if seen.contains(&e.event) {
            break;
        }
        seen.push(e.event);
        out.push_str(&format!("  <- scheduled during:{}\n", line(e, r, e.text.len(), Style::default())));
        cause = e.cause;
    }
    for f in r.marks.iter().filter(|x| x.kind == "fault" && x.at <= m.at).rev().take(2) {
        out.push_str(&format!("  <- {}\n", line(f, r, f.text.len(), Style::default()).trim()));
    }
    out
}
