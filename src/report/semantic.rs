//! What changed between two stories, as sentences: what happens later or earlier, no longer, newly, or for another reason.

use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::fmt::Write;

/// A line of a story, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Item {
    /// What stays the same when it moves: host and deed, or the name of an expectation.
    key: String,
    /// Milliseconds, if it has a time.
    at: Option<i64>,
    /// The reason, or what became of the expectation.
    rest: String,
}

fn time(word: &str) -> Option<i64> {
    let (s, ms) = word.split_once('.')?;
    if ms.len() != 3 {
        return None;
    }
    Some(s.parse::<i64>().ok()? * 1000 + ms.parse::<i64>().ok()?)
}

fn item(line: &str) -> Option<Item> {
    // The first column is a letter or a blank.
    let words: Vec<&str> = line.get(1..)?.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
    if let Some(at) = words.first().and_then(|w| time(w)) {
        let deed = if words.len() > 2 { format!("{}: {}", words[1], words[2]) } else { words[1..].join("") };
        return Some(Item { key: deed, at: Some(at), rest: words.get(3..).unwrap_or_default().join("  ") });
    }
    let folded = line.trim().starts_with("...");
    if folded || line.trim().is_empty() || line.starts_with("       time") {
        return None;
    }
    if let Some((events, _)) = line.split_once("   events ") {
        return Some(Item { key: "verdict".to_owned(), at: None, rest: events.to_owned() });
    }
    let (name, rest) = match line.split_once(": ") {
        Some((name, rest)) => {
            (name.get(4..).unwrap_or(name), format!("{} {rest}", name.get(..4).unwrap_or("")))
        }
        None => (line.split("   ").next().unwrap_or(line), line.to_owned()),
    };
    let name = name.trim();
    // The summary line begins with a figure that may change.
    let name = if line.starts_with("outage") { "summary" } else { name };
    Some(Item { key: name.to_owned(), at: None, rest })
}

fn seconds(ms: i64) -> String {
    let text = format!("{}.{:03}", ms.abs() / 1000, ms.abs() % 1000);
    crate::say!(if ms < 0 { "diff-earlier" } else { "diff-later" }, time = text)
}

/// The changes, one to a line; empty if the stories say the same (the digest may still differ).
pub fn changes(old: &str, new: &str) -> String {
    let (old, new): (Vec<Item>, Vec<Item>) =
        (old.lines().filter_map(item).collect(), new.lines().filter_map(item).collect());
    let keys = |items: &[Item]| items.iter().map(|i| i.key.clone()).collect::<Vec<_>>();
    let mut out = String::new();
    let at = |i: &Item| {
        i.at.map_or(String::new(), |ms| format!("{:>9}  ", format!("{}.{:03}", ms / 1000, ms % 1000)))
    };
    // Neighbours that move together are told once.
    let mut together: Option<(i64, usize)> = None;
    let close = |together: &mut Option<(i64, usize)>, out: &mut String| {
        if let Some((shift, n @ 2..)) = together.take() {
            let _ = writeln!(out, "             ... and {} more after it, also {}", n - 1, seconds(shift));
        }
    };
    for op in capture_diff_slices(Algorithm::Myers, &keys(&old), &keys(&new)) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            for (o, n) in old[old_index..old_index + len].iter().zip(&new[new_index..new_index + len]) {
                let shift = o.at.zip(n.at).map_or(0, |(a, b)| b - a);
                if shift != 0 && together.is_some_and(|(s, _)| s == shift) {
                    together = together.map(|(s, n)| (s, n + 1));
                } else if shift != 0 {
                    close(&mut together, &mut out);
                    together = Some((shift, 1));
                    let _ = writeln!(
                        out,
                        "  moved    {}{}: {} (was {})",
                        at(n),
                        n.key,
                        seconds(shift),
                        at(o).trim()
                    );
                } else {
                    close(&mut together, &mut out);
                    if o.rest != n.rest {
                        let _ = writeln!(
                            out,
                            "  changed  {}{}: {} (was: {})",
                            at(n),
                            n.key,
                            n.rest.trim(),
                            o.rest.trim()
                        );
                    }
                }
            }
            continue;
        }
        close(&mut together, &mut out);
        for o in &old[op.old_range()] {
            let _ = writeln!(out, "  gone     {}{}", at(o), o.key);
        }
        for n in &new[op.new_range()] {
            let why = if n.rest.is_empty() { String::new() } else { format!(" ({})", n.rest) };
            let _ = writeln!(out, "  new      {}{}{why}", at(n), n.key);
        }
    }
    close(&mut together, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::changes;

    const OLD: &str = "a drill\n\n       time  host  what happened   why\nx    30.000  lb1   power lost      fault 1 of 1\n*    33.024  lb2   becomes MASTER  no advert\n     33.024  lb2   5 ARPs          became MASTER\n+    33.040  app1  first success   outage 3.040 s\npass  requests resume within 5s: 3.040 s\nverdict: pass   events 25   digest 15ca\n";

    #[test]
    fn what_moves_together_is_told_once() {
        let new = OLD.replace("33.024", "33.524").replace("33.040", "33.540").replace("3.040 s", "3.540 s");
        assert_eq!(
            changes(OLD, &new),
            "  moved       33.524  lb2: becomes MASTER: 0.500 s later (was 33.024)\n             ... and 2 more after it, also 0.500 s later\n  changed  requests resume within 5s: pass 3.540 s (was: pass 3.040 s)\n"
        );
    }
    #[test]
    fn what_comes_and_goes_is_named() {
        let new = OLD
            .replace("*    33.024  lb2   becomes MASTER  no advert\n", "")
            .replace("verdict: pass", "verdict: FAIL");
        assert_eq!(
            changes(OLD, &new),
            "  gone        33.024  lb2: becomes MASTER\n  changed  verdict: verdict: FAIL (was: verdict: pass)\n"
        );
        let flash = OLD.replace("+    33.040", "!    33.030        StaleArp: app1\n+    33.040");
        assert_eq!(changes(OLD, &flash), "  new         33.030  StaleArp: app1\n", "what concerns no host");
        assert_eq!(changes(OLD, &OLD.replace("15ca", "15cb")), "", "a digest is no story");
    }
}
