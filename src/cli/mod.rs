//! Floor 12: the command line, one file a command.

mod compare;
mod list;
pub mod place;
mod play;
mod results;
mod run;
mod sweep;
mod test;
mod theory;
pub use test::golden;
mod validate;
mod why;

use crate::lang::Lang;
use crate::scenario::diag::Report;
use crate::scenario::load::{Loaded, load};
use clap::{Args, Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// As expected.
pub const OK: u8 = 0;
/// An expectation or an invariant is broken, or a snapshot differs.
pub const BROKEN: u8 = 1;
/// Bad usage or bad input.
pub const BAD_INPUT: u8 = 2;
/// A witness never occurred.
pub const INCONCLUSIVE: u8 = 3;

#[derive(Parser)]
#[command(
    name = "firedrill",
    version,
    about = "Rehearse a failover before you have one",
    propagate_version = true
)]
struct Cli {
    /// The language of stories and screens, `en` or `zh` (default: the locale; JSON and snapshots are English)
    #[arg(long, global = true, value_name = "LANG", value_parser = language)]
    lang: Option<Lang>,
    /// Draw screens in plain ASCII, without line characters
    #[arg(long, global = true)]
    ascii: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Play a drill to its end and tell its story
    Run(run::RunArgs),
    /// Step through a drill, forward and backward
    Play(play::PlayArgs),
    /// Explain what happened at a moment, and why
    Why(why::WhyArgs),
    /// Compare every scenario with its snapshot
    Test(test::TestArgs),
    /// Compare simulated with measured failovers, or with theory
    Validate(validate::ValidateArgs),
    /// Show where Pacemaker would put every resource of a CIB, and why
    Place(place::PlaceArgs),
    /// Show where two settings are safe, unsafe or unavailable
    Map(results::MapArgs),
    /// Quantiles and histograms of a figure, and which setting moves it most
    Stats(results::StatsArgs),
    /// Availability over years, out of the outages that a drill measured
    Nines(results::NinesArgs),
    /// Make one HTML page of results
    Report(results::ReportArgs),
    /// Play the same faults on several stacks and compare them
    Compare(compare::CompareArgs),
    /// Play a drill with many seeds and settings, a row for each run
    Sweep(sweep::SweepArgs),
    /// Check scenario files
    Lint(list::LintArgs),
    /// List drills and stacks
    List,
    /// Print a new drill to start from
    New(list::NewArgs),
    /// Explain a field or a knob
    Doc(list::DocArgs),
}

/// Which drill, and how.
#[derive(Args, Clone)]
pub struct Which {
    /// A drill: a path, or the name of a shipped one (`firedrill list`)
    pub drill: String,
    /// The seed of all randomness
    #[arg(long)]
    pub seed: Option<u64>,
    /// Play the drill on another stack
    #[arg(long)]
    pub stack: Option<String>,
    /// Change a setting: `keepalived.advert_int=200ms`, `lb1.keepalived.priority=90`, `drill.until=60s`
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// What is in the stack's CIB and not modelled is an error
    #[arg(long)]
    pub strict: bool,
}

impl Which {
    /// Loads it, or prints what is wrong.
    pub fn load(&self) -> Result<Loaded, ExitCode> {
        let mut sets = Vec::new();
        for s in &self.set {
            let Some((path, value)) = s.split_once('=') else {
                eprintln!("error: `--set {s}` has no `=`\nhelp: write `--set keepalived.advert_int=200ms`");
                return Err(ExitCode::from(BAD_INPUT));
            };
            sets.push((path.trim().to_owned(), value.trim().to_owned()));
        }
        match load(&self.drill, &sets, self.stack.as_deref()) {
            Ok(loaded) if self.strict && loaded.unmodelled => {
                complain(&stricter(loaded.warnings));
                Err(ExitCode::from(BAD_INPUT))
            }
            Ok(loaded) => {
                complain(&loaded.warnings);
                Ok(loaded)
            }
            Err(reports) => {
                complain(&reports);
                Err(ExitCode::from(BAD_INPUT))
            }
        }
    }
}

/// The warnings that `--strict` makes errors: what a CIB has and is not modelled.
fn stricter(mut reports: Vec<Report>) -> Vec<Report> {
    for d in reports.iter_mut().flat_map(|r| &mut r.list) {
        d.warning &= !d.message.contains("is not modelled");
    }
    reports
}

/// Prints reports to stderr.
pub fn complain(reports: &[Report]) {
    for r in reports {
        eprint!("{}", r.render(colour(&std::io::stderr())));
    }
}

/// Whether a stream takes colour: a terminal, and nobody said `NO_COLOR`.
pub fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Prints to stdout; a reader that went away is no error.
pub fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn language(tag: &str) -> Result<Lang, String> {
    Lang::of(tag).ok_or_else(|| format!("there is no language `{tag}`: en or zh"))
}

/// Runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // What machines read does not change with the locale.
    let machines = matches!(&cli.command, Some(Command::Test(_) | Command::Validate(_)))
        || matches!(&cli.command, Some(Command::Run(a)) if a.machines())
        || matches!(&cli.command, Some(Command::Place(a)) if a.machines())
        || matches!(&cli.command, Some(Command::Compare(a)) if a.machines())
        || matches!(&cli.command, Some(Command::Sweep(a)) if a.machines());
    let locale = || sys_locale::get_locale().and_then(|l| Lang::of(&l));
    crate::lang::choose(if machines { Lang::En } else { cli.lang.or_else(locale).unwrap_or(Lang::En) });
    match cli.command {
        Some(Command::Run(a)) => run::run(&a),
        Some(Command::Play(a)) => play::run(&a, cli.ascii),
        Some(Command::Why(a)) => why::run(&a),
        Some(Command::Test(a)) => test::run(&a),
        Some(Command::Validate(a)) => validate::run(&a),
        Some(Command::Place(a)) => place::run(&a),
        Some(Command::Map(a)) => results::map(&a, cli.ascii),
        Some(Command::Stats(a)) => results::stats(&a, cli.ascii),
        Some(Command::Nines(a)) => results::nines(&a),
        Some(Command::Report(a)) => results::report(&a),
        Some(Command::Compare(a)) => compare::run(&a),
        Some(Command::Sweep(a)) => sweep::run(&a),
        Some(Command::Lint(a)) => list::lint(&a),
        Some(Command::List) => list::list(),
        None => play::gallery(cli.ascii),
        Some(Command::New(a)) => list::new(&a),
        Some(Command::Doc(a)) => list::doc(&a),
    }
}
