//! `firedrill run`.

use super::{BROKEN, INCONCLUSIVE, OK, Which, colour, print};
use crate::node::log::Level;
use crate::report::{json, story};
use crate::trace::run::run as play;
use crate::trace::verdict::Judgement;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::process::ExitCode;

/// How to print a run.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// A story for people
    Text,
    /// One JSON object
    Json,
    /// One JSON object a mark
    Jsonl,
}

/// Arguments of `run`.
#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    which: Which,
    /// How to print the run
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl RunArgs {
    /// Whether a machine reads the result.
    pub(super) fn machines(&self) -> bool {
        !matches!(self.format, Format::Text)
    }
}

/// The exit code of a verdict.
pub(super) fn code(verdict: Judgement) -> ExitCode {
    ExitCode::from(match verdict {
        Judgement::Pass => OK,
        Judgement::Fail => BROKEN,
        Judgement::Inconclusive => INCONCLUSIVE,
    })
}

/// Tells the story of a drill.
pub(super) fn text(which: &Which) -> ExitCode {
    run(&RunArgs { which: which.clone(), format: Format::Text })
}

/// Plays a drill.
pub(super) fn run(a: &RunArgs) -> ExitCode {
    let l = match a.which.load() {
        Ok(l) => l,
        Err(code) => return code,
    };
    let seed = a.which.seed.unwrap_or(l.drill.seed);
    let r = play(&l.stack, &l.drill, seed, Level::Story, true);
    match a.format {
        Format::Text => {
            let terminal = std::io::stdout().is_terminal();
            let width = if terminal { crossterm::terminal::size().map_or(0, |s| s.0 as usize) } else { 0 };
            let style = story::Style { colour: colour(&std::io::stdout()), width };
            print(&story::story(&l.drill_name, &l.stack_name, &l.drill, &r, style));
            if terminal {
                let name = &a.which.drill;
                let at =
                    r.marks.iter().find(|m| m.kind == "master" && r.first_fault().is_some_and(|f| m.at > f));
                let at = at.map_or(String::new(), |m| format!(" --at {}s", m.at));
                print(&(crate::say!("story-next", name = name, at = at) + "\n"));
            }
        }
        Format::Json => print(&format!("{:#}\n", json::run(&l.drill_name, &l.stack_name, &r))),
        Format::Jsonl => {
            let whole = json::run(&l.drill_name, &l.stack_name, &r);
            for m in whole["marks"].as_array().into_iter().flatten() {
                print(&format!("{m}\n"));
            }
        }
    }
    code(r.verdict.whole)
}
