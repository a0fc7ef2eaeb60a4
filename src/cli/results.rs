//! `firedrill map`, `stats`, `nines` and `report`: what files of results say.

use super::{BAD_INPUT, BROKEN, OK, colour, print};
use crate::engine::Span;
use crate::experiment::analysis::sensitivity;
use crate::experiment::map::{Map, Rules};
use crate::experiment::nines::{self, Question, Structure};
use crate::experiment::row::Row;
use crate::report::charts;
use crate::report::html::{self, Options};
use crate::report::study::{Study, shell};
use crate::report::terminal::{self, Look};
use crate::scenario::diag::nearest;
use crate::trace::metrics::Metric;
use clap::Args;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Files of results.
#[derive(Args, Clone)]
pub(super) struct Files {
    /// Results of `sweep` or `compare`, JSONL or CSV; all shards of one experiment, or one file
    #[arg(required = true, value_name = "RESULTS")]
    files: Vec<PathBuf>,
}
impl Files {
    fn read(&self) -> Result<Study, ExitCode> {
        Study::read(&self.files).map_err(|e| fail(&e, None))
    }
}

/// When a run is unsafe, and when unavailable.
#[derive(Args, Clone)]
pub(super) struct Judge {
    /// A run is unsafe if this column is more than zero (can be given more than once)
    #[arg(long = "unsafe", value_name = "COLUMN", default_value = "split_brain_ms")]
    never: Vec<String>,
    /// A run is unavailable if a client's writes fail for longer, or are still failing at the end
    #[arg(long, value_name = "TIME", default_value = "60s")]
    outage: Span,
}
impl Judge {
    fn rules(&self, study: &Study) -> Result<Rules, ExitCode> {
        for c in &self.never {
            column(study, c)?;
        }
        Ok(Rules { never: self.never.clone(), outage_ms: self.outage.0 as f64 / 1e6 })
    }
}

fn fail(message: &str, help: Option<&str>) -> ExitCode {
    eprintln!("error: {message}");
    if let Some(help) = help {
        eprintln!("help: {help}");
    }
    ExitCode::from(BAD_INPUT)
}

/// Whether there may be such a column: a metric, or one that some row has, or a mark or invariant that simply never came.
fn column(study: &Study, name: &str) -> Result<(), ExitCode> {
    let metric = Metric::ALL.iter().any(|m| m.name() == name);
    let open = ["mark.", "broken.", "error."].iter().any(|p| name.starts_with(p));
    if metric || open {
        return Ok(());
    }
    let columns = study.columns();
    if columns.iter().any(|c| c == name) {
        return Ok(());
    }
    let help = nearest(name, columns.iter().map(String::as_str))
        .map_or_else(|| format!("columns: {}", columns.join(", ")), |n| format!("did you mean `{n}`?"));
    Err(fail(&format!("no run has a column `{name}`"), Some(&help)))
}

/// A varied setting: by its path, or by the end of it if only one ends so.
fn knob(study: &Study, asked: &str) -> Result<String, ExitCode> {
    let knobs = study.knobs();
    let ends: Vec<&String> =
        knobs.iter().filter(|k| *k == asked || k.ends_with(&format!(".{asked}"))).collect();
    match ends.as_slice() {
        [one] => Ok((*one).clone()),
        _ => {
            let help = nearest(asked, knobs.iter().map(String::as_str)).map_or_else(
                || {
                    if knobs.is_empty() {
                        "vary settings with `sweep --vary`".to_owned()
                    } else {
                        format!("varied: {}", knobs.join(", "))
                    }
                },
                |n| format!("did you mean `{n}`?"),
            );
            Err(fail(&format!("`{asked}` was not varied in these results"), Some(&help)))
        }
    }
}

fn look(ascii: bool) -> Look {
    let terminal = std::io::stdout().is_terminal();
    let width = if terminal { crossterm::terminal::size().map_or(80, |s| s.0 as usize) } else { 80 };
    Look { colour: colour(&std::io::stdout()), ascii, width: width.max(40) }
}

/// Writes a file so that a kill in between leaves the old one.
fn write(path: &Path, text: &str) -> Result<(), ExitCode> {
    let temporary = path.with_extension("tmp");
    let done = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    done.map_err(|e| fail(&format!("{}: {e}", path.display()), None))
}

/// Arguments of `map`.
#[derive(Args)]
pub(super) struct MapArgs {
    #[command(flatten)]
    files: Files,
    /// The setting across. Default: one of the two that explain most
    #[arg(long, value_name = "KNOB")]
    x: Option<String>,
    /// The setting upwards
    #[arg(long, value_name = "KNOB")]
    y: Option<String>,
    #[command(flatten)]
    judge: Judge,
    /// Draw the map into this file as well (several stacks: one after the other, `NAME-STACK.svg`)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Maps.
pub(super) fn map(a: &MapArgs, ascii: bool) -> ExitCode {
    done(map_of(a, ascii))
}
fn done(r: Result<ExitCode, ExitCode>) -> ExitCode {
    r.unwrap_or_else(|e| e)
}
fn axes(
    study: &Study,
    x: Option<&String>,
    y: Option<&String>,
    metric: &str,
) -> Result<(String, String), ExitCode> {
    let x = x.map(|x| knob(study, x)).transpose()?;
    let y = y.map(|y| knob(study, y)).transpose()?;
    let effects = sensitivity(&study.rows, &study.knobs(), metric);
    let other = |not: &str| effects.iter().map(|e| e.knob.clone()).find(|k| k != not);
    let pair = match (x, y) {
        (Some(x), Some(y)) => Some((x, y)),
        (Some(x), None) => other(&x).map(|y| (x, y)),
        (None, Some(y)) => other(&y).map(|x| (x, y)),
        (None, None) => html::axes(study, &effects, None),
    };
    match pair {
        Some((x, y)) if x == y => {
            Err(fail(&format!("both axes are `{x}`"), Some("give two different settings")))
        }
        Some(pair) => Ok(pair),
        None => Err(fail(
            "a map needs two varied settings",
            Some("`firedrill sweep DRILL --vary A=.. --vary B=..`"),
        )),
    }
}
fn map_of(a: &MapArgs, ascii: bool) -> Result<ExitCode, ExitCode> {
    let study = a.files.read()?;
    let rules = a.judge.rules(&study)?;
    let (x, y) = axes(&study, a.x.as_ref(), a.y.as_ref(), Metric::WriteOutageMax.name())?;
    let stacks = study.stacks();
    for stack in &stacks {
        let rows: Vec<Row> = study.of(stack).cloned().collect();
        let map = Map::of(&rows, &x, &y, &rules);
        let title = crate::say!("rep-map-of", stack = stack, x = x, y = y);
        print(&format!("{}: {title}\n\n", study.header.drill));
        print(&terminal::map(&map, look(ascii), |r| {
            study.command(&Row { stack: (*stack).to_owned(), ..r.clone() })
        }));
        if let Some(path) = &a.svg {
            let path = match stacks.len() {
                1 => path.clone(),
                _ => {
                    let stem = path.file_stem().map_or("map".into(), |s| s.to_string_lossy());
                    path.with_file_name(format!("{stem}-{}.svg", stack.replace(['/', '\\'], "-")))
                }
            };
            write(&path, &charts::map(&map, &title).file())?;
        }
    }
    Ok(ExitCode::from(OK))
}

/// Arguments of `stats`.
#[derive(Args)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    files: Files,
    /// The column: a metric, or the time of a mark (`mark.promoted_ms`)
    #[arg(long, default_value = "write_outage_max_ms", value_name = "COLUMN")]
    metric: String,
    /// Draw the quantile curves into this file as well
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Quantiles, histograms, and which setting matters.
pub(super) fn stats(a: &StatsArgs, ascii: bool) -> ExitCode {
    done(stats_of(a, ascii))
}
fn stats_of(a: &StatsArgs, ascii: bool) -> Result<ExitCode, ExitCode> {
    let study = a.files.read()?;
    column(&study, &a.metric)?;
    print(&terminal::distribution(&study, &a.metric, look(ascii)));
    if !study.knobs().is_empty() {
        let effects = sensitivity(&study.rows, &study.knobs(), &a.metric);
        print(&format!("\n{}", terminal::effects(&effects, &a.metric, look(ascii))));
    }
    if let Some(path) = &a.svg {
        let what = html::name(&a.metric);
        let unit = if Study::is_time(&a.metric) { crate::say!("rep-seconds") } else { what.clone() };
        let svg =
            charts::quantiles(&study.series(&a.metric), &crate::say!("rep-quantiles-of", what = what), &unit);
        write(path, &svg.file())?;
    }
    Ok(ExitCode::from(OK))
}

/// Arguments of `nines`.
#[derive(Args)]
pub(super) struct NinesArgs {
    #[command(flatten)]
    files: Files,
    /// Mean time to the failure of a host, in days
    #[arg(long, default_value_t = 180.0, value_name = "DAYS")]
    mtbf: f64,
    /// Mean time to its repair, in hours
    #[arg(long, default_value_t = 4.0, value_name = "HOURS")]
    mttr: f64,
    /// Lives of the cluster that are simulated
    #[arg(long, default_value_t = 400)]
    lives: u32,
    /// Years of each life, 1 to 500
    #[arg(long, default_value_t = 50)]
    years: u32,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The outage that a failure of the primary's host costs: a column of the results in milliseconds
    #[arg(long, default_value = "write_outage_max_ms", value_name = "COLUMN")]
    metric: String,
}

/// Availability over years.
pub(super) fn nines(a: &NinesArgs) -> ExitCode {
    done(nines_of(a))
}
fn nines_of(a: &NinesArgs) -> Result<ExitCode, ExitCode> {
    let study = a.files.read()?;
    column(&study, &a.metric)?;
    let time = |what: &str, n: f64, unit: u64, most: f64| {
        if n.is_finite() && n > 0.0 && n <= most {
            Ok(Span((n * 1e9 * unit as f64).round().max(1.0) as u64))
        } else {
            Err(fail(&format!("--{what} is more than 0 and at most {most}"), None))
        }
    };
    let (mtbf, mttr) = (time("mtbf", a.mtbf, 86_400, 36_500.0)?, time("mttr", a.mttr, 3_600, 87_600.0)?);
    if !(1..=500).contains(&a.years) || a.lives < 2 {
        return Err(fail(
            "--years is 1 to 500, --lives 2 or more",
            Some("a life is counted in nanoseconds, 64 bits of them"),
        ));
    }
    let mut answers = Vec::new();
    let mut off = false;
    for stack in study.stacks() {
        let l = study
            .load(stack, None)
            .ok_or_else(|| fail(&format!("the stack `{stack}` cannot be read here"), None))?;
        let structure = Structure::of(&l.stack);
        if !structure.parts.iter().any(|p| p.database) || structure.parts.len() > 20 {
            return Err(fail(
                &format!("`{stack}`: this needs a stack with databases, and at most 20 hosts"),
                None,
            ));
        }
        let outages =
            study.of(stack).filter_map(|r| r.number(&a.metric)).map(|ms| (ms * 1e6) as u64).collect();
        let q = Question { structure, mtbf, mttr, outages, lives: a.lives, years: a.years, seed: a.seed };
        let hosts = q.structure.parts.len();
        let answer = nines::play(&q);
        off |= (answer.structural.0 - answer.exact).abs() > 4.0 * answer.structural.1;
        answers.push((stack.to_owned(), hosts, answer));
    }
    let open = study.rows.iter().filter(|r| r.metrics.get(Metric::OpenOutages) > 0).count();
    print(&crate::say!(
        "rep-nines-asked",
        drill = study.header.drill,
        mtbf = a.mtbf,
        mttr = a.mttr,
        lives = a.lives,
        years = a.years
    ));
    print(&format!("\n\n{}\n{}\n", terminal::nines(&answers), crate::say!("rep-nines-method")));
    if open > 0 {
        print(&format!("{}\n", crate::say!("rep-nines-open", n = open)));
    }
    Ok(ExitCode::from(if off { BROKEN } else { OK }))
}

/// Arguments of `report`.
#[derive(Args)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    files: Files,
    /// The page
    #[arg(short, long, default_value = "report.html")]
    out: PathBuf,
    /// The setting across in maps
    #[arg(long, value_name = "KNOB", requires = "y")]
    x: Option<String>,
    /// The setting upwards in maps
    #[arg(long, value_name = "KNOB", requires = "x")]
    y: Option<String>,
    /// The column whose distribution is shown
    #[arg(long, default_value = "write_outage_max_ms", value_name = "COLUMN")]
    metric: String,
    #[command(flatten)]
    judge: Judge,
}

/// Makes the page.
pub(super) fn report(a: &ReportArgs) -> ExitCode {
    done(report_of(a))
}
fn report_of(a: &ReportArgs) -> Result<ExitCode, ExitCode> {
    let study = a.files.read()?;
    column(&study, &a.metric)?;
    let rules = a.judge.rules(&study)?;
    let axes = match (&a.x, &a.y) {
        (Some(x), Some(y)) => Some(axes(&study, Some(x), Some(y), &a.metric)?),
        _ => None,
    };
    let options = Options { rules, axes, metric: a.metric.clone() };
    let page = html::page(&study, &options, &command(a));
    write(&a.out, &page)?;
    print(&format!(
        "{}\n",
        crate::say!("rep-written", file = a.out.display(), kb = page.len().div_ceil(1_024))
    ));
    Ok(ExitCode::from(OK))
}

/// The command as it was given, without folders: the page is the same wherever it was made.
fn command(a: &ReportArgs) -> String {
    let file = |p: &PathBuf| shell(&p.file_name().map_or("results.jsonl".into(), |f| f.to_string_lossy()));
    let mut text = "firedrill report".to_owned();
    for f in &a.files.files {
        text += &format!(" {}", file(f));
    }
    for (name, value) in [("--x", &a.x), ("--y", &a.y)] {
        if let Some(v) = value {
            text += &format!(" {name} {}", shell(v));
        }
    }
    if a.metric != "write_outage_max_ms" {
        text += &format!(" --metric {}", shell(&a.metric));
    }
    if a.judge.never != ["split_brain_ms"] {
        for c in &a.judge.never {
            text += &format!(" --unsafe {}", shell(c));
        }
    }
    if a.judge.outage != Span::secs(60) {
        text += &format!(" --outage {}", a.judge.outage);
    }
    text + &format!(" -o {}", file(&a.out))
}
