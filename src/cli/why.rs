//! `firedrill why`: the chain of causes behind a moment.

use super::{BAD_INPUT, OK, Which, print};
use crate::engine::{Span, Time};
use crate::node::log::Level;
use crate::report::why::why;
use crate::trace::run::run as play;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `why`.
#[derive(Args)]
pub(super) struct WhyArgs {
    #[command(flatten)]
    which: Which,
    /// The moment, such as `33.023s`: the last mark at or before it (default: the first takeover after the first fault)
    #[arg(long)]
    at: Option<Span>,
    /// The event, by its number as `why` and `run --format jsonl` print it
    #[arg(long, conflicts_with = "at")]
    event: Option<u64>,
}

/// Explains a moment.
pub(super) fn run(a: &WhyArgs) -> ExitCode {
    let l = match a.which.load() {
        Ok(l) => l,
        Err(code) => return code,
    };
    let r = play(&l.stack, &l.drill, a.which.seed.unwrap_or(l.drill.seed), Level::Full, true);
    let first = r.first_fault().unwrap_or(Time::ZERO);
    // A time as printed has three digits; what happened within that millisecond is meant.
    if let Some(id) = a.event {
        let Some(m) = r.marks.iter().find(|m| m.event.0 == id) else {
            let near = r.marks.iter().rev().find(|m| m.event.0 < id && m.event.0 > 0);
            let hint = near
                .map_or(String::new(), |m| format!("; the nearest that did is {} at {}", m.event.0, m.at));
            eprintln!("error: event {id} left no mark{hint}");
            return ExitCode::from(BAD_INPUT);
        };
        print(&why(&r, m));
        return ExitCode::from(OK);
    }
    let chosen = match a.at {
        Some(at) => r.marks.iter().rfind(|m| m.story && m.at.0 <= at.0 + 500_000),
        None => {
            // What a person asks first: why were there two, why were writes lost, why did another one take over?
            let after = |m: &&crate::trace::marks::Mark| m.at >= first;
            let broken = |name: &str| {
                r.marks.iter().filter(after).find(|m| m.kind == "violation" && m.text.starts_with(name))
            };
            let kind = |kind: &str| r.marks.iter().filter(after).find(|m| m.kind == kind);
            broken("SplitBrain")
                .or_else(|| kind("promoted"))
                .or_else(|| kind("master"))
                .or_else(|| kind("resource_started"))
                .or_else(|| broken("Lost"))
                .or_else(|| kind("demoted"))
                .or_else(|| kind("violation"))
                .or_else(|| kind("fenced"))
                .or_else(|| kind("resource_started"))
                .or(r.marks.last())
        }
    };
    let Some(m) = chosen else {
        eprintln!("error: nothing has happened by then");
        return ExitCode::from(BAD_INPUT);
    };
    print(&why(&r, m));
    ExitCode::from(OK)
}
