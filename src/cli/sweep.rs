//! `firedrill sweep`: many runs, a row for each.

use super::{BAD_INPUT, BROKEN, INCONCLUSIVE, OK, complain, print};
use crate::experiment::design::{Design, Kind, Knob};
use crate::experiment::results::Results;
use crate::experiment::row::Row;
use crate::experiment::store::{self, Form, Merge, Store};
use crate::experiment::summary::Summary;
use crate::experiment::sweep::{Plan, Question};
use crate::report::compare;
use crate::trace::verdict::Judgement;
use clap::{Args, ValueEnum};
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// The form of rows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rows {
    /// A header, then one JSON object a run
    Jsonl,
    /// Comma-separated values, the header as a comment in the first line
    Csv,
    /// Apache Parquet (needs a build with `--features parquet`)
    Parquet,
}
impl Rows {
    const fn form(self) -> Form {
        match self {
            Rows::Jsonl => Form::Jsonl,
            Rows::Csv => Form::Csv,
            Rows::Parquet => Form::Parquet,
        }
    }
}

/// Arguments of `sweep`.
#[derive(Args)]
pub(super) struct SweepArgs {
    /// A drill: a path, or the name of a shipped one (`firedrill list`)
    #[arg(required_unless_present = "merge")]
    drill: Option<String>,
    /// The first seed, and the one after the last: `0..1000`; or one number N for `0..N`
    #[arg(long, default_value = "0..100", value_parser = seeds)]
    seeds: Range<u64>,
    /// Vary a setting: `patroni.ttl=20s..60s:5s`, `patroni.loop_wait=5s,10s`, `networks.lan.latency=100us..300us,5ms..9ms`,
    /// `drill.faults[0][0]=60s..70s:1s` (the time of the first fault)
    #[arg(long, value_name = "KNOB=VALUES")]
    vary: Vec<String>,
    /// How points are chosen: `grid`, `random:N`, `lhs:N` (Latin hypercube)
    #[arg(long, default_value = "grid", value_parser = kind)]
    design: Kind,
    /// The seed of a random design
    #[arg(long, default_value_t = 1)]
    design_seed: u64,
    /// Play the drill on another stack
    #[arg(long)]
    stack: Option<String>,
    /// Change a setting in every run, as in `run`
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Play only the I-th of N parts (1/N to N/N). Taken from SLURM_ARRAY_TASK_ID and _COUNT, or from JOB_COMPLETION_INDEX and
    /// JOB_COMPLETIONS (the Kubernetes job's `completions`), if they are set
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Put the files of all shards together: what comes out is, byte for byte, what one machine would have written
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with_all = ["drill", "vary", "shard", "set", "stack"])]
    merge: Vec<PathBuf>,
    /// Write the rows to this file; one that an interrupted sweep left is taken up again
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// The form of the rows. Default: what the name of the file says (.csv, .parquet), JSONL otherwise; without a file and a form only
    /// the table is printed
    #[arg(long, value_enum)]
    format: Option<Rows>,
    /// Threads. Default: all cores
    #[arg(long)]
    threads: Option<usize>,
    /// Exit with 1 if a run is not as its drill expects, with 3 if one is inconclusive
    #[arg(long)]
    strict: bool,
}
impl SweepArgs {
    /// Whether a machine reads what is printed.
    pub(super) fn machines(&self) -> bool {
        self.out.is_none() && self.format.is_some()
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse()
}

/// `0..100`, or `100`.
pub(super) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let help =
        || format!("`{text}`: write 0..100, the first seed and the one after the last, or a number of seeds");
    let number = |t: &str| t.trim().parse::<u64>().map_err(|_| help());
    let range = match text.split_once("..") {
        Some((from, to)) => match to.strip_prefix('=') {
            Some(last) => number(from)?..number(last)?.checked_add(1).ok_or_else(help)?,
            None => number(from)?..number(to)?,
        },
        None => 0..number(text)?,
    };
    if range.is_empty() { Err(format!("`{text}` has no seed in it")) } else { Ok(range) }
}

/// `PATH=VALUE` of `--set`.
pub(super) fn settings(given: &[String]) -> Result<Vec<(String, String)>, String> {
    let one = |s: &String| {
        let (path, value) = s.split_once('=').ok_or_else(|| {
            format!("`--set {s}` has no `=`\nhelp: write `--set keepalived.advert_int=200ms`")
        })?;
        Ok((path.trim().to_owned(), value.trim().to_owned()))
    };
    given.iter().map(one).collect()
}

/// Prints what is wrong.
pub(super) fn bad(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(BAD_INPUT)
}

/// The part of the runs that the environment of a batch system asks for, and where that was found.
fn environment(var: impl Fn(&str) -> Option<String>) -> Result<Option<(u64, u64, &'static str)>, String> {
    let number = |name: &str| match var(name) {
        None => Ok(None),
        Some(text) => text
            .trim()
            .parse::<u64>()
            .map(Some)
            .map_err(|_| format!("{name} is `{text}`, which is no number")),
    };
    if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
        let count = number("SLURM_ARRAY_TASK_COUNT")?
            .ok_or("SLURM_ARRAY_TASK_ID is set, SLURM_ARRAY_TASK_COUNT is not")?;
        let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let i = id.checked_sub(first).map(|d| d / step + 1).filter(|i| *i <= count);
        let i = i.ok_or_else(|| {
            format!("SLURM_ARRAY_TASK_ID is {id}, but there are {count} tasks from {first} on")
        })?;
        return Ok(Some((i, count, "SLURM_ARRAY_TASK_ID")));
    }
    if let Some(index) = number("JOB_COMPLETION_INDEX")? {
        let count = number("JOB_COMPLETIONS")?.ok_or(
            "JOB_COMPLETION_INDEX is set, but Kubernetes does not tell a job how many there are: set JOB_COMPLETIONS to its \
             `completions`, or give --shard",
        )?;
        if index >= count {
            return Err(format!("JOB_COMPLETION_INDEX is {index}, JOB_COMPLETIONS is {count}"));
        }
        return Ok(Some((index + 1, count, "JOB_COMPLETION_INDEX")));
    }
    Ok(None)
}

fn shard(a: &SweepArgs) -> Result<Option<(u64, u64)>, String> {
    let Some(text) = &a.shard else {
        let found = environment(|name| std::env::var(name).ok())?;
        if let Some((i, n, name)) = found {
            eprintln!("{}", crate::say!("sweep-shard-from", i = i, n = n, name = name));
        }
        return Ok(found.map(|(i, n, _)| (i, n)));
    };
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parts.map(Some).ok_or_else(|| format!("`--shard {text}`: write 1/4 for the first of four parts"))
}

/// Tells how far it is, on stderr: in place on a terminal, now and then otherwise.
pub(super) struct Progress {
    start: Instant,
    told: Instant,
    first: u64,
    terminal: bool,
    wrote: bool,
}
impl Progress {
    /// Progress of runs from this one on.
    pub(super) fn new(first: u64) -> Progress {
        let now = Instant::now();
        Progress { start: now, told: now, first, terminal: std::io::stderr().is_terminal(), wrote: false }
    }
    /// So many of so many runs are done.
    pub(super) fn tell(&mut self, done: u64, all: u64) {
        let every = if self.terminal { 0.2 } else { 10.0 };
        if self.told.elapsed().as_secs_f64() < every && done < all {
            return;
        }
        if !self.terminal && !self.wrote && done == all {
            return;
        }
        self.told = Instant::now();
        let secs = self.start.elapsed().as_secs_f64();
        let rate = (done - self.first) as f64 / secs.max(1e-3);
        let left = ((all - done) as f64 / rate.max(1e-9)).ceil() as u64;
        let left = format!("{}:{:02}:{:02}", left / 3600, left / 60 % 60, left % 60);
        let rate = format!("{rate:.1}");
        let text = crate::say!("sweep-progress", done = done, all = all, rate = rate, left = left);
        let mut err = std::io::stderr().lock();
        let _ = if self.terminal { write!(err, "\r\x1b[K{text}") } else { writeln!(err, "{text}") };
        self.wrote = true;
    }
    /// The line is finished.
    pub(super) fn end(&self) {
        if self.terminal && self.wrote {
            eprintln!();
        }
    }
}

/// Runs something on so many threads.
pub(super) fn on_threads<T: Send>(threads: Option<usize>, work: impl FnOnce() -> T + Send) -> T {
    match threads.map(|n| rayon::ThreadPoolBuilder::new().num_threads(n.clamp(1, 1024)).build()) {
        Some(Ok(pool)) => pool.install(work),
        _ => work(),
    }
}

/// Sweeps.
pub(super) fn run(a: &SweepArgs) -> ExitCode {
    let form = a.format.map(Rows::form).or_else(|| a.out.as_deref().map(Form::of));
    if form == Some(Form::Parquet) && !store::PARQUET {
        return bad(store::NO_PARQUET);
    }
    if !a.merge.is_empty() {
        return merge(a, form);
    }
    let plan = match plan(a) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let drill = a.drill.clone().unwrap_or_default();
    let done = on_threads(a.threads, || match (&a.out, form) {
        (Some(out), Some(form)) => to_file(&plan, out, form),
        (_, Some(form)) => to_stdout(&plan, form),
        _ => collect(&plan, &mut |_| Ok(())),
    });
    let summary = match done {
        Ok(summary) => summary,
        Err(code) => return code,
    };
    if !a.machines() {
        print(&compare::points(&plan.header, &summary, &drill));
    }
    verdict(&summary, a.strict)
}

fn verdict(summary: &Summary, strict: bool) -> ExitCode {
    ExitCode::from(if strict && summary.verdicts(Judgement::Fail) > 0 {
        BROKEN
    } else if strict && summary.verdicts(Judgement::Inconclusive) > 0 {
        INCONCLUSIVE
    } else {
        OK
    })
}

fn plan(a: &SweepArgs) -> Result<Plan, ExitCode> {
    let knobs = a.vary.iter().map(|v| v.parse::<Knob>()).collect::<Result<Vec<_>, _>>();
    let design = knobs.and_then(|k| Design::new(a.design, k, a.design_seed)).map_err(|why| bad(&why))?;
    let question = Question {
        drill: a.drill.clone().unwrap_or_default(),
        stacks: vec![a.stack.clone()],
        set: settings(&a.set).map_err(|why| bad(&why))?,
        design,
        seeds: a.seeds.clone(),
        shard: shard(a).map_err(|why| bad(&why))?,
        compare: false,
    };
    let plan = Plan::new(question).map_err(|reports| {
        complain(&reports);
        ExitCode::from(BAD_INPUT)
    })?;
    complain(&plan.warnings);
    Ok(plan)
}

/// Plays everything from `next` on; `take` gets chunks.
pub(super) fn play(
    plan: &Plan,
    next: u64,
    take: &mut dyn FnMut(&[Row]) -> Result<(), String>,
) -> Result<(), ExitCode> {
    let range = plan.header.range();
    let mut progress = Progress::new(next - range.start);
    let mut wrong = None;
    let played = plan.play(next, |rows| {
        let upto = rows.last().map_or(next, |r| r.run + 1);
        if let Err(why) = take(&rows) {
            wrong = Some(why);
            return false;
        }
        progress.tell(upto - range.start, range.end - range.start);
        true
    });
    progress.end();
    if let Err(reports) = played {
        complain(&reports);
        return Err(ExitCode::from(BAD_INPUT));
    }
    match wrong {
        None => Ok(()),
        // The reader of stdout went away: that is no error.
        Some(why) if why.is_empty() => Err(ExitCode::from(OK)),
        Some(why) => Err(bad(&why)),
    }
}

pub(super) fn collect(
    plan: &Plan,
    take: &mut dyn FnMut(&[Row]) -> Result<(), String>,
) -> Result<Summary, ExitCode> {
    let mut summary = Summary::default();
    play(plan, plan.header.range().start, &mut |rows| {
        rows.iter().for_each(|r| summary.add(r));
        take(rows)
    })?;
    Ok(summary)
}

/// All rows of a file, as often as they are wanted.
pub(super) fn walk(
    path: &Path,
) -> impl Fn(&mut dyn FnMut(Row) -> Result<(), String>) -> Result<(), String> + '_ {
    move |take| {
        for row in Results::open(path)? {
            take(row?)?;
        }
        Ok(())
    }
}

/// Plays into a file, going on where an earlier sweep stopped.
pub(super) fn to_file(plan: &Plan, out: &Path, form: Form) -> Result<Summary, ExitCode> {
    let mut summary = Summary::default();
    let native = form == Form::Jsonl;
    if !native && store::is_parquet(out) {
        return Err(bad(&format!("{} is there already: give another --out, or remove it", out.display())));
    }
    if !native && store::finished(out, &plan.header).map_err(|why| bad(&why))? {
        walk(out)(&mut |row| {
            summary.add(&row);
            Ok(())
        })
        .map_err(|why| bad(&why))?;
        eprintln!("{}", crate::say!("sweep-finished", file = out.display()));
        return Ok(summary);
    }
    let part = if native { out.to_owned() } else { store::part(out) };
    let mut store = Store::open(&part, &plan.header, |row| summary.add(row)).map_err(|why| bad(&why))?;
    let range = plan.header.range();
    if store.next == range.end && native && store.found > 0 {
        eprintln!("{}", crate::say!("sweep-finished", file = out.display()));
    } else if store.found > 0 {
        let all = range.end - range.start;
        eprintln!("{}", crate::say!("sweep-resumed", file = part.display(), done = store.found, all = all));
    }
    let next = store.next;
    play(plan, next, &mut |rows| {
        rows.iter().for_each(|r| summary.add(r));
        store.add(rows)
    })?;
    if !native {
        store::write_file(out, form, &plan.header, &walk(&part)).map_err(|why| bad(&why))?;
        let _ = std::fs::remove_file(&part);
    }
    Ok(summary)
}

/// Why stdout cannot be written to; nothing if its reader went away.
pub(super) fn gone(e: std::io::Error) -> String {
    if e.kind() == std::io::ErrorKind::BrokenPipe { String::new() } else { e.to_string() }
}

/// Plays to stdout. Forms that need to know all columns first are written when all runs are over.
fn to_stdout(plan: &Plan, form: Form) -> Result<Summary, ExitCode> {
    let mut out = std::io::stdout();
    if form == Form::Jsonl {
        let _ = writeln!(out, "{}", plan.header.json());
        return collect(plan, &mut |rows| {
            let text: String = rows.iter().map(|r| r.json() + "\n").collect();
            out.write_all(text.as_bytes()).map_err(gone)
        });
    }
    let file = std::env::temp_dir().join(format!("firedrill-{}.part.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let mut store = Store::open(&file, &plan.header, |_| ()).map_err(|why| bad(&why))?;
    let summary = collect(plan, &mut |rows| store.add(rows));
    let written = store::write(&mut out, form, &plan.header, &walk(&file));
    let _ = std::fs::remove_file(&file);
    written.map_err(|why| bad(&why))?;
    summary
}

fn merge(a: &SweepArgs, form: Option<Form>) -> ExitCode {
    let merged = match Merge::new(&a.merge) {
        Ok(m) => m,
        Err(why) => return bad(&why),
    };
    if let Some(out) = &a.out
        && a.merge.iter().any(|m| m.canonicalize().ok().is_some_and(|m| out.canonicalize().ok() == Some(m)))
    {
        return bad(&format!("{} is one of the files to merge: give another --out", out.display()));
    }
    let form = form.unwrap_or(Form::Jsonl);
    let rows = |take: &mut dyn FnMut(Row) -> Result<(), String>| merged.each(take);
    let written = match &a.out {
        Some(out) => store::write_file(out, form, &merged.header, &rows),
        None => store::write(&mut std::io::stdout(), form, &merged.header, &rows),
    };
    match written {
        Ok(()) => ExitCode::from(OK),
        Err(why) => bad(&why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Result<Option<(u64, u64, &'static str)>, String> {
        environment(|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1.to_owned()))
    }

    #[test]
    fn batch_systems_say_which_part_it_is() {
        assert_eq!(env(&[]), Ok(None));
        let slurm = |id| {
            [("SLURM_ARRAY_TASK_ID", id), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "1")]
        };
        assert_eq!(env(&slurm("1")), Ok(Some((1, 4, "SLURM_ARRAY_TASK_ID"))));
        assert_eq!(env(&slurm("4")), Ok(Some((4, 4, "SLURM_ARRAY_TASK_ID"))));
        assert!(env(&slurm("5")).is_err() && env(&slurm("0")).is_err() && env(&slurm("x")).is_err());
        // --array=0-12:4 has the tasks 0, 4, 8, 12.
        let mut stepped = vec![("SLURM_ARRAY_TASK_ID", "8"), ("SLURM_ARRAY_TASK_COUNT", "4")];
        stepped.extend([("SLURM_ARRAY_TASK_MIN", "0"), ("SLURM_ARRAY_TASK_STEP", "4")]);
        assert_eq!(env(&stepped), Ok(Some((3, 4, "SLURM_ARRAY_TASK_ID"))));
        let job = [("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "3")];
        assert_eq!(env(&job), Ok(Some((1, 3, "JOB_COMPLETION_INDEX"))));
        assert!(env(&job[..1]).unwrap_err().contains("JOB_COMPLETIONS"));
    }

    #[test]
    fn seeds_are_a_range_or_a_number() {
        assert_eq!((seeds("3..7"), seeds("5"), seeds("3..=7")), (Ok(3..7), Ok(0..5), Ok(3..8)));
        for text in ["", "7..3", "3..3", "0", "a..b", "-1..3", "0..=18446744073709551615"] {
            assert!(seeds(text).is_err(), "{text}");
        }
    }
}
