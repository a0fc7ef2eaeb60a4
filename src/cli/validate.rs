//! `firedrill validate`: simulated against measured, and with `theory` against exact.

use super::{BAD_INPUT, BROKEN, OK, complain, print};
use crate::scenario::{embedded, load};
use crate::trace::measure::{Row, compare};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `validate`.
#[derive(Args)]
pub(super) struct ValidateArgs {
    /// Drills with a `measured` block: names, prefixes (`keepalived`) or paths; without any, all. Or `theory`: queues, availability,
    /// checkpoints and losses against their formulas
    drills: Vec<String>,
    /// Runs of each drill
    #[arg(long, default_value_t = 1000)]
    seeds: u32,
    /// theory: independent replications of each case, 30 or more
    #[arg(long, default_value_t = 40)]
    pub(super) replications: u32,
    /// theory: customers of a replication of a queue
    #[arg(long, default_value_t = 20_000)]
    pub(super) customers: u32,
    /// theory: the seed of the first replication
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// theory: text, or JSON for machines
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

/// How the comparison is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

/// Compares.
pub(super) fn run(a: &ValidateArgs) -> ExitCode {
    if a.drills == ["theory"] {
        return super::theory::run(a);
    }
    let all: Vec<String> = embedded::drills().into_iter().filter(|n| n.starts_with("validation/")).collect();
    let mut names = Vec::new();
    for w in &a.drills {
        let prefix = format!("validation/{}", w.trim_start_matches("validation/").trim_end_matches('/'));
        let found: Vec<_> =
            all.iter().filter(|n| **n == prefix || n.starts_with(&format!("{prefix}/"))).cloned().collect();
        if found.is_empty() { names.push(w.clone()) } else { names.extend(found) }
    }
    if a.drills.is_empty() {
        names = all;
    }
    let mut bad = false;
    print(&format!(
        "{:<39} {:<40} {:>26} {:>26}  verdict\n",
        "drill", "mark", "measured ms", "simulated 0.5%..99.5% ms"
    ));
    for name in names {
        let l = match load::load(&name, &[], None) {
            Ok(l) => l,
            Err(reports) => {
                complain(&reports);
                return ExitCode::from(BAD_INPUT);
            }
        };
        let Some(measured) = &l.drill.measured else {
            eprintln!("error: {name} has no `measured` block");
            return ExitCode::from(BAD_INPUT);
        };
        for Row { what, measured, simulated, agrees, why } in compare(&l.stack, &l.drill, measured, a.seeds) {
            bad |= !agrees;
            let short = name.trim_start_matches("validation/");
            let verdict = if agrees { "agrees".to_owned() } else { format!("DIFFERS: {why}") };
            print(&format!("{short:<39} {what:<40} {measured:>26} {simulated:>26}  {verdict}\n"));
        }
    }
    ExitCode::from(if bad { BROKEN } else { OK })
}
