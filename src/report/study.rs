//! Results as they are reported on: rows of one or more files, grouped by stack, with the runs that stand out.

use super::charts::Series;
use crate::experiment::analysis::sorted;
use crate::experiment::map::Rules;
use crate::experiment::results::{Header, Results};
use crate::experiment::row::Row;
use crate::experiment::stats::{Interval, quantile};
use crate::scenario::load::{Loaded, load};
use crate::trace::metrics::{Metric, Unit};
use std::path::{Path, PathBuf};

/// Results.
pub struct Study {
    /// What was played.
    pub header: Header,
    /// The rows, in the order of the design.
    pub rows: Vec<Row>,
    /// The files, as they were named.
    pub files: Vec<String>,
}

/// The quantiles that are shown, in thousandths.
pub const SHOWN: [(u32, &str); 5] = [(50, "p5"), (500, "p50"), (950, "p95"), (990, "p99"), (1000, "max")];

impl Study {
    /// Reads files of results; files of different drills, versions or designs are refused.
    pub fn read(files: &[PathBuf]) -> Result<Study, String> {
        let mut study: Option<Study> = None;
        for path in files {
            let results = Results::open(path)?;
            let header = results.header.clone();
            let rows = results.collect::<Result<Vec<Row>, String>>()?;
            let name = path.display().to_string();
            match &mut study {
                None => study = Some(Study { header, rows, files: vec![name] }),
                Some(s) => {
                    if let Some(why) = s.header.differs(&header) {
                        let first = &s.files[0];
                        return Err(format!(
                            "{first} and {name} are results of different experiments: {why}"
                        ));
                    }
                    s.rows.extend(rows);
                    s.files.push(name);
                }
            }
        }
        let mut study = study.ok_or("no file of results was given")?;
        study.rows.sort_by_key(|r| r.run);
        study.rows.dedup_by_key(|r| r.run);
        if study.rows.is_empty() {
            return Err(format!("{}: there are no runs in it", study.files.join(", ")));
        }
        Ok(study)
    }
    /// The stacks, in the order of the header.
    pub fn stacks(&self) -> Vec<&str> {
        let known: Vec<&str> = self.header.stacks.iter().map(|s| s.name.as_str()).collect();
        let with_rows = known.into_iter().filter(|s| self.rows.iter().any(|r| r.stack == *s));
        with_rows.collect()
    }
    /// The rows of a stack.
    pub fn of<'a>(&'a self, stack: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |r| r.stack == stack)
    }
    /// The values of a figure, in order, a series for each stack.
    pub fn series(&self, column: &str) -> Vec<Series> {
        let stacks = self.stacks();
        let one = |s: &&str| Series {
            name: (*s).to_owned(),
            sorted: sorted(self.of(s).filter_map(|r| r.number(column))),
        };
        stacks.iter().map(one).collect()
    }
    /// The first run whose figure has this value.
    pub fn run_with(&self, stack: &str, column: &str, value: f64) -> Option<&Row> {
        self.rows.iter().find(|r| r.stack == stack && r.number(column) == Some(value))
    }
    /// The worst run of a stack: unsafe before unavailable before safe, then by the outage of writes, then by lost writes.
    pub fn worst(&self, stack: &str, rules: &Rules) -> Option<&Row> {
        let key = |r: &&Row| {
            let m = |m| r.metrics.get(m);
            (rules.class(r), m(Metric::WriteOutageMax), m(Metric::LostWrites), std::cmp::Reverse(r.run))
        };
        self.rows.iter().filter(|r| r.stack == stack).max_by_key(key)
    }
    /// The varied settings.
    pub fn knobs(&self) -> Vec<String> {
        self.header.vary.iter().map(|v| v.path.clone()).collect()
    }
    /// The command that plays a run again.
    pub fn command(&self, row: &Row) -> String {
        let mut text = format!(
            "firedrill run {} --stack {} --seed {}",
            shell(&self.header.drill),
            shell(&row.stack),
            row.seed
        );
        let varied = row.knobs.iter().map(|(k, v)| format!("{k}={v}"));
        for set in self.header.set.iter().cloned().chain(varied) {
            text += &format!(" --set {}", shell(&set));
        }
        text
    }
    /// The command that makes these results again; `-o` names the file.
    pub fn whole_command(&self) -> String {
        let h = &self.header;
        let file = self.files.first().map_or("results.jsonl", String::as_str);
        let file = Path::new(file).file_name().map_or("results.jsonl".into(), |f| f.to_string_lossy());
        let stacks: Vec<&str> = h.stacks.iter().map(|s| s.name.as_str()).collect();
        let mut text = if h.design == "compare" {
            let seeds = format!("{}..{}", h.seeds.0, h.seeds.1);
            format!(
                "firedrill compare {} --stacks {} --seeds {seeds}",
                shell(&h.drill),
                shell(&stacks.join(","))
            )
        } else {
            let seeds = format!("{}..{}", h.seeds.0, h.seeds.1);
            let stack = stacks.first().map_or(String::new(), |s| format!(" --stack {}", shell(s)));
            format!("firedrill sweep {}{stack} --seeds {seeds}", shell(&h.drill))
        };
        for v in &h.vary {
            text += &format!(" --vary {}", shell(&format!("{}={}", v.path, v.values)));
        }
        if !matches!(h.design.as_str(), "grid" | "compare") {
            text += &format!(" --design {}", h.design);
        }
        for set in &h.set {
            text += &format!(" --set {}", shell(set));
        }
        format!("{text} --out {}", shell(&file))
    }
    /// The drill on a stack, with the settings that all runs share and those of a row.
    pub fn load(&self, stack: &str, row: Option<&Row>) -> Option<Loaded> {
        let of_all = self.header.set.iter().filter_map(|s| s.split_once('='));
        let of_row = row.into_iter().flat_map(|r| r.knobs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let sets: Vec<(String, String)> =
            of_all.chain(of_row).map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect();
        load(&self.header.drill, &sets, Some(stack)).ok()
    }
    /// What a figure is of: its unit's scale in a table, and whether it is a time.
    pub fn is_time(column: &str) -> bool {
        column.ends_with("_ms") || Metric::ALL.iter().any(|m| m.name() == column && m.unit() == Unit::Ms)
    }
    /// All columns that some row has as a number, in order.
    pub fn columns(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for r in &self.rows {
            r.each(|name, cell| {
                if matches!(cell, crate::experiment::row::Cell::Figure(..)) && !all.iter().any(|a| a == name)
                {
                    all.push(name.to_owned());
                }
            });
        }
        all
    }
}

/// The shown quantiles of values in order, with their 95% intervals.
pub fn quantiles(sorted: &[f64]) -> Option<[Interval<f64>; SHOWN.len()]> {
    let first = quantile(sorted, SHOWN[0].0)?;
    let mut q = [first; SHOWN.len()];
    for (q, (p, _)) in q.iter_mut().zip(SHOWN) {
        *q = quantile(sorted, p)?;
    }
    Some(q)
}

/// A word for a shell.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(shell("any/primary-power-off"), "any/primary-power-off");
        assert_eq!(shell("a b"), "'a b'");
        assert_eq!(shell("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(shell(""), "''");
    }
}
