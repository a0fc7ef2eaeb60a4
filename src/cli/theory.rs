//! `firedrill validate theory`: simulated against exact.

use super::validate::ValidateArgs;
use super::{BAD_INPUT, BROKEN, OK, print};
use crate::experiment::theory::compare::{Effort, Row, cases};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Six significant digits, as far as they go.
fn digits(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let before = x.abs().log10().floor() as i32;
    if !(-4..=8).contains(&before) {
        return format!("{x:.4e}");
    }
    format!("{x:.*}", usize::try_from(5 - before).unwrap_or(0))
}

fn line(r: &Row) -> String {
    let off = if r.standard_error > 0.0 { (r.simulated - r.exact) / r.standard_error } else { 0.0 };
    let verdict = if r.agrees { "agrees" } else { "DIFFERS" };
    let interval = format!("{}..{}", digits(r.interval[0]), digits(r.interval[1]));
    format!(
        "{:<42} {:<13} {:>12} {:>12} {:>25} {:>+6.2} {:>5}  {verdict}\n",
        r.case,
        r.quantity,
        digits(r.exact),
        digits(r.simulated),
        interval,
        off,
        r.replications
    )
}

/// Compares.
pub(super) fn run(a: &ValidateArgs) -> ExitCode {
    let effort =
        Effort { replications: a.replications.max(30), customers: a.customers.max(100), seed: a.seed };
    let mut rows = Vec::new();
    let json = a.format == super::validate::Format::Json;
    if !json {
        print(&format!(
            "{:<42} {:<13} {:>12} {:>12} {:>25} {:>6} {:>5}  verdict\n",
            "case", "quantity", "exact", "simulated", "mean -3..+3 std. errors", "off", "n"
        ));
    }
    let all = cases();
    let of = all.len();
    let watched = std::io::stderr().is_terminal();
    for (i, (_, play)) in all.into_iter().enumerate() {
        if watched {
            eprint!("\r{} of {of} cases ", i + 1);
        }
        // Cases with the same draws would err together.
        let own = Effort { seed: effort.seed + 1_000_000 * i as u64, ..effort };
        match play(own) {
            Ok(more) => {
                if watched {
                    eprint!("\r                 \r");
                }
                for r in more {
                    if !json {
                        print(&line(&r));
                    }
                    rows.push(r);
                }
            }
            Err(e) => {
                eprintln!("error: {e}");
                return ExitCode::from(BAD_INPUT);
            }
        }
        let _ = std::io::stderr().flush();
    }
    let differ = rows.iter().filter(|r| !r.agrees).count();
    if json {
        let value = serde_json::json!({ "rows": rows, "agree": rows.len() - differ, "differ": differ });
        print(&format!("{value:#}\n"));
    } else {
        print(&format!("{} of {} agree within 3 standard errors\n", rows.len() - differ, rows.len()));
    }
    ExitCode::from(if differ > 0 { BROKEN } else { OK })
}
