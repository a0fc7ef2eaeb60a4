//! `firedrill compare`: the same faults at the same instants and the same clients on several stacks.

use super::sweep::{bad, collect, gone, on_threads, seeds, settings, to_file};
use super::{BAD_INPUT, OK, complain, print};
use crate::experiment::design::{Design, Kind};
use crate::experiment::store::{self, Form};
use crate::experiment::sweep::{Plan, Question};
use crate::report::compare;
use clap::{Args, ValueEnum};
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

/// How a comparison is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table
    Text,
    /// One JSON object
    Json,
    /// A header, then one JSON object a run, as `sweep` writes them
    Jsonl,
}

/// Arguments of `compare`.
#[derive(Args)]
pub(super) struct CompareArgs {
    /// A drill: a path, or the name of a shipped one (`firedrill list`)
    drill: String,
    /// The stacks, by name or path; the first is what the others are compared with
    #[arg(long, value_delimiter = ',', required = true, value_name = "A,B,..")]
    stacks: Vec<String>,
    /// How many seeds, or the first and the one after the last: `0..100`
    #[arg(long, default_value = "100", value_parser = seeds)]
    seeds: Range<u64>,
    /// Change a setting wherever a stack has it
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// How to print the comparison
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the rows of all runs to this file as well (.jsonl, .csv, .parquet); one that was interrupted is taken up again
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Columns of the table. Default: those of the terminal, 80 without one
    #[arg(long)]
    width: Option<usize>,
    /// Threads. Default: all cores
    #[arg(long)]
    threads: Option<usize>,
}
impl CompareArgs {
    /// Whether a machine reads the result.
    pub(super) fn machines(&self) -> bool {
        self.format != Format::Text
    }
}

/// Compares.
pub(super) fn run(a: &CompareArgs) -> ExitCode {
    let form = a.out.as_deref().map(Form::of);
    if form == Some(Form::Parquet) && !store::PARQUET {
        return bad(store::NO_PARQUET);
    }
    let (set, design) = match (settings(&a.set), Design::new(Kind::Grid, Vec::new(), 1)) {
        (Ok(set), Ok(design)) => (set, design),
        (Err(why), _) | (_, Err(why)) => return bad(&why),
    };
    let question = Question {
        drill: a.drill.clone(),
        stacks: a.stacks.iter().cloned().map(Some).collect(),
        set,
        design,
        seeds: a.seeds.clone(),
        shard: None,
        compare: true,
    };
    let plan = match Plan::new(question) {
        Ok(plan) => plan,
        Err(reports) => {
            complain(&reports);
            return ExitCode::from(BAD_INPUT);
        }
    };
    let rows = a.format == Format::Jsonl;
    if rows {
        print(&format!("{}\n", plan.header.json()));
    }
    let done = on_threads(a.threads, || match (&a.out, form) {
        (Some(out), Some(form)) if !rows => to_file(&plan, out, form),
        _ => collect(&plan, &mut |chunk| {
            let text: String =
                if rows { chunk.iter().map(|r| r.json() + "\n").collect() } else { String::new() };
            std::io::stdout().lock().write_all(text.as_bytes()).map_err(gone)
        }),
    });
    let summary = match done {
        Ok(summary) => summary,
        Err(code) => return code,
    };
    match a.format {
        Format::Text => {
            let terminal = std::io::stdout().is_terminal();
            let own =
                if terminal { crossterm::terminal::size().ok().map(|s| usize::from(s.0)) } else { None };
            let width = a.width.or(own).unwrap_or(80).max(40);
            print(&compare::text(&plan.header, &summary, &a.drill, width));
        }
        Format::Json => print(&format!("{:#}\n", compare::json(&plan.header, &summary, &a.drill))),
        Format::Jsonl => {}
    }
    ExitCode::from(OK)
}
