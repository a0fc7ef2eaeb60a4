//! Many runs of one drill: every seed with every point of a design and every stack, on all cores, in an order that does not depend on
//! them.
//!
//! Run number n plays seed `from + n / k` with the n % k-th of the k combinations of stack and point (stacks outside, points inside): a
//! sweep that was interrupted has whole seeds. Runs are played in chunks; a chunk's rows are handed over when all of it is done, in
//! order, so that no more than a chunk is in memory.

use super::design::Design;
use super::headless;
use super::results::{FORMAT, Header, Played, Varied};
use super::row::Row;
use crate::scenario::diag::{Diagnostic, Report};
use crate::scenario::load::{Loaded, load, text_of};
use crate::scenario::set;
use crate::scenario::types::{Runs, Stack};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use xxhash_rust::xxh3::xxh3_64;

/// Scenarios that are kept ready; more points than that are read again when their turn comes.
const KEPT: usize = 1024;
/// So many points are looked at before anything is played.
const CHECKED: u64 = 512;
/// Runs in a chunk.
pub const CHUNK: u64 = 128;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// The drill: a path or a name.
    pub drill: String,
    /// Stacks by name or path; none is the drill's own.
    pub stacks: Vec<Option<String>>,
    /// Settings of `--set`.
    pub set: Vec<(String, String)>,
    /// What is varied.
    pub design: Design,
    /// Seeds.
    pub seeds: Range<u64>,
    /// The part of the runs: the i-th (from 1) of n.
    pub shard: Option<(u64, u64)>,
    /// It is a comparison of stacks: settings that a stack has nothing for are left out there.
    pub compare: bool,
}

/// A scenario ready to be played.
type Ready = Arc<(Loaded, Vec<(String, String)>)>;

/// A question that can be answered.
pub struct Plan {
    /// What the results are of.
    pub header: Header,
    /// What was suspicious in the files.
    pub warnings: Vec<Report>,
    question: Question,
    /// Scenarios by their place in the design, the last ones used.
    ready: Mutex<VecDeque<(u64, Ready)>>,
}

/// How many hosts a stack has apart from those that only use it.
pub fn hosts(stack: &Stack) -> u64 {
    let uses = |r: &Runs| matches!(r, Runs::Client(_) | Runs::Application(_) | Runs::Sbatch(_));
    stack.hosts.values().filter(|h| h.runs.is_empty() || !h.runs.iter().all(uses)).count() as u64
}

/// A mistake without a place in a file.
fn mistake(message: String, help: Option<&str>) -> Vec<Report> {
    let list = vec![Diagnostic { message, span: 0..0, help: help.map(str::to_owned), warning: false }];
    vec![Report { file: "command line".to_owned(), text: String::new(), list }]
}

impl Plan {
    /// Reads the scenarios; an error is everything that is wrong with them.
    pub fn new(question: Question) -> Result<Plan, Vec<Report>> {
        if question.seeds.is_empty() {
            let message = format!("no seeds: {}..{}", question.seeds.start, question.seeds.end);
            return Err(mistake(
                message,
                Some("write --seeds 0..100: the first seed, and the one after the last"),
            ));
        }
        if let Some((i, n)) = question.shard
            && (n == 0 || i == 0 || i > n)
        {
            return Err(mistake(format!("there is no shard {i}/{n}"), Some("shards are 1/n to n/n")));
        }
        let seeds = question.seeds.end - question.seeds.start;
        let combinations = question.design.points().saturating_mul(question.stacks.len() as u64);
        let Some(runs) = seeds.checked_mul(combinations).filter(|n| *n <= 1 << 40) else {
            return Err(mistake(
                format!("{seeds} seeds times {combinations} points are too many runs"),
                None,
            ));
        };
        let mut played: Vec<Played> = Vec::new();
        let (mut content, mut warnings, mut name) = (String::new(), Vec::new(), String::new());
        for stack in &question.stacks {
            let l = load(&question.drill, &settings(&question, stack.as_deref(), &[])?, stack.as_deref())?;
            if played.iter().any(|p| p.name == l.stack_name) {
                return Err(mistake(format!("the stack `{}` is named twice", l.stack_name), None));
            }
            content.push_str(&format!("{:?}{:?}", l.drill, l.stack));
            played.push(Played { name: l.stack_name, hosts: hosts(&l.stack) });
            warnings.extend(l.warnings);
            name = l.drill_name;
        }
        if question.compare {
            // A comparison's drill leaves out what another stack has nothing for: that is no news.
            warnings.clear();
        }
        let vary = question.design.knobs.iter();
        let header = Header {
            firedrill_results: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            drill: name,
            drill_digest: format!("{:016x}", xxh3_64(content.as_bytes())),
            stacks: played,
            set: question.set.iter().map(|(path, value)| format!("{path}={value}")).collect(),
            design: if question.compare { "compare".to_owned() } else { question.design.word() },
            design_seed: question.design.seed().filter(|_| !question.compare),
            vary: vary.map(|k| Varied { path: k.path.clone(), values: k.text.clone() }).collect(),
            seeds: (question.seeds.start, question.seeds.end),
            runs,
            shard: question.shard,
        };
        let plan = Plan { header, warnings, question, ready: Mutex::new(VecDeque::new()) };
        plan.check()?;
        Ok(plan)
    }
    /// Looks at the ends of every varied setting, and at all points if they are not many.
    fn check(&self) -> Result<(), Vec<Report>> {
        let design = &self.question.design;
        for stack in &self.question.stacks {
            for point in design.corners() {
                self.load(stack.as_deref(), &point)?;
            }
        }
        let all = design.points() * self.question.stacks.len() as u64;
        let bad: Vec<Option<Vec<Report>>> =
            (0..all.min(CHECKED)).into_par_iter().map(|i| self.scenario(i).err()).collect();
        // The first in the design's order, whichever thread was first.
        bad.into_iter().flatten().next().map_or(Ok(()), Err)
    }
    fn load(&self, stack: Option<&str>, point: &[(String, String)]) -> Result<Loaded, Vec<Report>> {
        load(&self.question.drill, &settings(&self.question, stack, point)?, stack).map_err(|mut reports| {
            if !point.is_empty() {
                let given: Vec<String> = point.iter().map(|(p, v)| format!("{p}={v}")).collect();
                for r in &mut reports {
                    r.file = format!("{} with {}", r.file, given.join(" "));
                }
            }
            reports
        })
    }
    /// The scenario at a place of the design.
    fn scenario(&self, place: u64) -> Result<Ready, Vec<Report>> {
        let lock = || self.ready.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, ready)) = lock().iter().find(|r| r.0 == place) {
            return Ok(ready.clone());
        }
        let points = self.question.design.points();
        let stack = &self.question.stacks[(place / points) as usize];
        let point = self.question.design.point(place % points);
        let loaded = self.load(stack.as_deref(), &point)?;
        let ready = Arc::new((loaded, point));
        let mut kept = lock();
        if kept.iter().all(|r| r.0 != place) {
            if kept.len() >= KEPT {
                kept.pop_front();
            }
            kept.push_back((place, ready.clone()));
        }
        Ok(ready)
    }
    /// Plays one run.
    pub fn run(&self, n: u64) -> Result<Row, Vec<Report>> {
        let places = self.question.design.points() * self.question.stacks.len() as u64;
        let seed = self.question.seeds.start + n / places;
        let ready = self.scenario(n % places)?;
        let (l, point) = &*ready;
        let r = headless::run(&l.stack, &l.drill, seed);
        Ok(Row::of(n, &l.drill_name, &l.stack_name, point, &r))
    }
    /// Plays runs from `next` to the end of the shard, chunk by chunk; `take` gets each chunk's rows in order and says whether to go on.
    pub fn play(&self, next: u64, mut take: impl FnMut(Vec<Row>) -> bool) -> Result<(), Vec<Report>> {
        let end = self.header.range().end;
        let mut at = next.max(self.header.range().start);
        while at < end {
            let upto = end.min(at + CHUNK);
            let rows: Vec<Result<Row, Vec<Report>>> =
                (at..upto).into_par_iter().map(|n| self.run(n)).collect();
            let rows = rows.into_iter().collect::<Result<Vec<Row>, _>>()?;
            if !take(rows) {
                return Ok(());
            }
            at = upto;
        }
        Ok(())
    }
    /// The command that opens one run in the player.
    pub fn command(&self, row: &Row) -> String {
        command(&self.header, row, &self.question.drill)
    }
}

/// The command that opens a run in the player.
pub fn command(header: &Header, row: &Row, drill: &str) -> String {
    let mut out = format!("firedrill play {}", quoted(drill));
    if header.stacks.len() > 1 || header.design == "compare" {
        out.push_str(&format!(" --stack {}", quoted(&row.stack)));
    }
    out.push_str(&format!(" --seed {}", row.seed));
    let vary = row.knobs.iter().map(|(path, value)| format!("{path}={value}"));
    let stack = (header.design == "compare").then(|| text_of(&row.stack, "stack").ok()).flatten();
    // On a stack that has nothing of the name a setting was left out, and is here.
    let fits = |s: &&String| {
        let (path, value) = s.split_once('=').unwrap_or((s.as_str(), ""));
        path.starts_with("drill.")
            || stack.as_ref().is_none_or(|(_, _, text)| set::applies(text, path, value))
    };
    for s in header.set.iter().filter(fits).cloned().chain(vary) {
        out.push_str(&format!(" --set {}", quoted(&s)));
    }
    out
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The settings of one scenario. In a comparison those for daemons that a stack does not have are left out; one that fits no stack
/// is a mistake, which reading the first stack tells.
fn settings(
    q: &Question,
    stack: Option<&str>,
    point: &[(String, String)],
) -> Result<Vec<(String, String)>, Vec<Report>> {
    let all: Vec<(String, String)> = q.set.iter().chain(point).cloned().collect();
    if !q.compare {
        return Ok(all);
    }
    let fits = |stack: Option<&str>, s: &(String, String)| {
        s.0.starts_with("drill.") || load(&q.drill, std::slice::from_ref(s), stack).is_ok()
    };
    let mut mine = Vec::new();
    for s in all {
        if fits(stack, &s) || !q.stacks.iter().any(|other| fits(other.as_deref(), &s)) {
            mine.push(s);
        }
    }
    Ok(mine)
}
