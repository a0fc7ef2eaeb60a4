//! `firedrill list`, `lint`, `new` and `doc`: what needs no run.

use super::{BAD_INPUT, OK, complain, print};
use crate::scenario::diag::Report;
use crate::scenario::{doc, embedded, load};
use clap::Args;
use std::process::ExitCode;

pub(super) fn about(text: &str) -> String {
    let line = text.lines().find_map(|l| l.trim().strip_prefix("about: \""));
    line.map_or_else(String::new, |l| l.trim_end_matches(',').trim_end_matches('"').to_owned())
}

/// Lists drills and stacks.
pub(super) fn list() -> ExitCode {
    let mut out = String::from("drills (firedrill run NAME)\n");
    for name in embedded::drills() {
        out.push_str(&format!(
            "  {name:<40} {}\n",
            crate::lang::about(&name, &about(embedded::drill(&name).unwrap_or_default()))
        ));
    }
    out.push_str("\nstacks (--stack NAME)\n");
    for name in embedded::stacks() {
        out.push_str(&format!("  {name:<40} {}\n", about(embedded::stack(&name).unwrap_or_default())));
    }
    print(&out);
    ExitCode::from(OK)
}

/// Arguments of `lint`.
#[derive(Args)]
pub(super) struct LintArgs {
    /// Scenario files, or names of shipped ones
    #[arg(required = true)]
    files: Vec<String>,
    /// What is in a stack's CIB and not modelled is an error
    #[arg(long)]
    strict: bool,
}

/// Checks files.
pub(super) fn lint(a: &LintArgs) -> ExitCode {
    let mut bad = false;
    for f in &a.files {
        match lint_one(f) {
            Ok((warnings, unmodelled)) if a.strict && unmodelled => {
                bad = true;
                complain(&super::stricter(warnings));
            }
            Ok((warnings, _)) => {
                complain(&warnings);
                print(&format!("{f}: {}\n", if warnings.is_empty() { "ok" } else { "ok, with warnings" }));
            }
            Err(reports) => {
                bad = true;
                complain(&reports);
            }
        }
    }
    ExitCode::from(if bad { BAD_INPUT } else { OK })
}

fn lint_one(f: &str) -> Result<(Vec<Report>, bool), Vec<Report>> {
    let (_, file, text) = load::text_of(f, "drill")
        .or_else(|r| load::text_of(f, "stack").map_err(|_| r))
        .map_err(|r| vec![r])?;
    let stack = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with("//"))
        .is_some_and(|l| l.starts_with("Stack"));
    if !stack {
        return load::load(f, &[], None).map(|l| (l.warnings, l.unmodelled));
    }
    let (report, cib, unmodelled) = load::check_stack_and_cib(file, text);
    let mut reports: Vec<Report> = cib.into_iter().chain([report]).collect();
    reports.retain(|r| !r.list.is_empty());
    if reports.iter().any(Report::has_errors) { Err(reports) } else { Ok((reports, unmodelled)) }
}

/// Arguments of `new`.
#[derive(Args)]
pub(super) struct NewArgs {
    /// The stack that the drill is for
    #[arg(default_value = "keepalived-trio")]
    stack: String,
}

/// Prints a drill to start from.
pub(super) fn new(a: &NewArgs) -> ExitCode {
    if let Err(r) = load::text_of(&a.stack, "stack") {
        complain(&[r]);
        return ExitCode::from(BAD_INPUT);
    }
    print(&format!(
        "Drill(\n    about: \"what happens, and what to look for\",\n    stack: \"{}\",\n    until: \"60s\",\n    faults: [\n        At(\"30s\", PowerOff(VipHolder)),\n    ],\n    expect: [\n        Never(DualVip),\n        RequestsResume(within: \"5s\"),\n        Witness(Takeover),\n    ],\n)\n",
        a.stack
    ));
    ExitCode::from(OK)
}

/// Arguments of `doc`.
#[derive(Args)]
pub(super) struct DocArgs {
    /// The knob: `advert_int`, `keepalived.advert_int`, `Freeze`; without one, all
    knob: Option<String>,
}

/// Explains a knob.
pub(super) fn doc(a: &DocArgs) -> ExitCode {
    match a.knob.as_deref().map(doc::doc) {
        None => print(&doc::index()),
        Some(Ok(text)) => print(&text),
        Some(Err(why)) => {
            eprintln!("error: {why}");
            return ExitCode::from(BAD_INPUT);
        }
    }
    ExitCode::from(OK)
}
