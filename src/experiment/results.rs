//! A file of rows: a header that says what was played, then one row a run in the order of the design.
//!
//! JSONL is the native form: the first line is the header, every other line a row. CSV has the header as a comment in its first line
//! (`# {...}`), then the names of the columns. Rows lack the columns that do not apply to them (a mark that never came): in CSV the cell
//! is empty. Files whose headers differ are never mixed.

use super::row::{Cell, Row};
use crate::trace::metrics::Metric;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// A stack that was played.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Played {
    /// Its name.
    pub name: String,
    /// How many hosts it has, those of clients not counted.
    pub hosts: u64,
}

/// A varied setting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Varied {
    /// Its path, as for `--set`.
    pub path: String,
    /// Its values as they were given: `20s..60s:5s` or `1,2,5`.
    pub values: String,
}

/// What a file of results is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub firedrill_results: u32,
    /// The version of firedrill.
    pub version: String,
    /// The drill's name.
    pub drill: String,
    /// A fingerprint of the drill and its stacks as they were read, settings included.
    pub drill_digest: String,
    /// The stacks.
    pub stacks: Vec<Played>,
    /// Settings of `--set`, the same in every run.
    pub set: Vec<String>,
    /// `grid`, `random:N`, `lhs:N`; `compare` for a comparison of stacks.
    pub design: String,
    /// The seed of a random design or a Latin hypercube; none for a grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design_seed: Option<u64>,
    /// The varied settings.
    pub vary: Vec<Varied>,
    /// The first seed, and the one after the last.
    pub seeds: (u64, u64),
    /// All runs of the design.
    pub runs: u64,
    /// Which part of the runs this file has: the i-th (from 1) of n; none if it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<(u64, u64)>,
}

impl Header {
    /// The header as the first line of a JSONL file, without the line's end.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
    /// The runs that the file has, as a range.
    pub fn range(&self) -> std::ops::Range<u64> {
        let (i, n) = self.shard.unwrap_or((1, 1));
        let at = |i: u64| (u128::from(self.runs) * u128::from(i) / u128::from(n.max(1))) as u64;
        at(i.saturating_sub(1))..at(i)
    }
    /// In what another header differs, the shard aside: the reason why two files cannot be mixed.
    pub fn differs(&self, other: &Header) -> Option<String> {
        let names = |h: &Header| h.stacks.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(",");
        let vary = |h: &Header| {
            h.vary.iter().map(|v| format!("{}={}", v.path, v.values)).collect::<Vec<_>>().join(" ")
        };
        let pairs: [(&str, String, String); 10] = [
            ("format", self.firedrill_results.to_string(), other.firedrill_results.to_string()),
            ("version of firedrill", self.version.clone(), other.version.clone()),
            ("drill", self.drill.clone(), other.drill.clone()),
            ("stacks", names(self), names(other)),
            ("settings", self.set.join(" "), other.set.join(" ")),
            ("content of the drill", self.drill_digest.clone(), other.drill_digest.clone()),
            ("design", self.design.clone(), other.design.clone()),
            ("seed of the design", format!("{:?}", self.design_seed), format!("{:?}", other.design_seed)),
            ("varied settings", vary(self), vary(other)),
            ("seeds", format!("{:?}", self.seeds), format!("{:?}", other.seeds)),
        ];
        pairs.into_iter().find(|(_, a, b)| a != b).map(|(what, a, b)| format!("{what}: {a} and {b}"))
    }
}

enum Form {
    Jsonl,
    Csv(Vec<String>),
}

/// A file of results, read row by row.
pub struct Results {
    /// What it is of.
    pub header: Header,
    name: String,
    lines: BufReader<File>,
    form: Form,
    line: u64,
}

impl Results {
    /// Opens a JSONL or CSV file of results.
    pub fn open(path: &Path) -> Result<Results, String> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| format!("{name}: {e}"))?;
        let mut lines = BufReader::new(file);
        let mut first = Vec::new();
        let read = (&mut lines).take(1 << 20).read_until(b'\n', &mut first);
        read.map_err(|e| format!("{name}: {e}"))?;
        if first.starts_with(b"PAR1") {
            return Err(format!("{name}: Parquet is written, not read: give the JSONL or CSV file"));
        }
        let first =
            String::from_utf8(first).map_err(|_| format!("{name}: these are no results of firedrill"))?;
        let text = first.trim_end();
        let json = text.strip_prefix("# ").unwrap_or(text);
        let header: Header = serde_json::from_str(json).map_err(|e| {
            let kind = json.contains("\"firedrill_results\"");
            let why = if kind { format!("a header of another format ({e})") } else { "no header".to_owned() };
            format!("{name}: these are no results that this version reads: {why}")
        })?;
        if header.firedrill_results != FORMAT {
            return Err(format!("{name}: format {}, this version reads {FORMAT}", header.firedrill_results));
        }
        let mut line = 1;
        let form = if text.starts_with('#') {
            let mut columns = String::new();
            lines.read_line(&mut columns).map_err(|e| format!("{name}: {e}"))?;
            line += 1;
            Form::Csv(split(columns.trim_end_matches(['\n', '\r'])).ok_or(format!("{name}:2: bad CSV"))?)
        } else {
            Form::Jsonl
        };
        Ok(Results { header, name, lines, form, line })
    }
    fn row(&self, text: &str) -> Result<Row, String> {
        let columns = match &self.form {
            Form::Jsonl => return Row::from_json(text).map(|row| self.in_order(row)),
            Form::Csv(columns) => columns,
        };
        let cells = split(text).filter(|c| c.len() == columns.len()).ok_or("bad CSV")?;
        let mut row = Row::default();
        for (name, cell) in columns.iter().zip(&cells).filter(|c| !c.1.is_empty()) {
            row.set(name, cell).ok_or_else(|| format!("bad `{name}`: {cell}"))?;
        }
        row.settle(columns.iter().map(String::as_str));
        Ok(self.in_order(row))
    }
    /// The settings in the order of the header.
    fn in_order(&self, mut row: Row) -> Row {
        row.knobs.sort_by_key(|k| self.header.vary.iter().position(|v| v.path == k.0));
        row
    }
}

impl Iterator for Results {
    type Item = Result<Row, String>;
    fn next(&mut self) -> Option<Result<Row, String>> {
        let mut text = String::new();
        loop {
            text.clear();
            self.line += 1;
            match self.lines.read_line(&mut text) {
                Ok(0) => return None,
                Ok(_) if text.trim().is_empty() => {}
                Ok(_) => break,
                Err(e) => return Some(Err(format!("{}:{}: {e}", self.name, self.line))),
            }
        }
        let row = self.row(text.trim_end_matches(['\n', '\r']));
        Some(row.map_err(|e| format!("{}:{}: {e}", self.name, self.line)))
    }
}

/// The cells of a line of CSV. No cell of ours has a line's end inside.
fn split(line: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut cell = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = None;
            while let Some((i, c)) = chars.next() {
                if c != '"' {
                    cell.push(c);
                } else if chars.peek().is_some_and(|n| n.1 == '"') {
                    cell.push('"');
                    chars.next();
                } else {
                    end = Some(i + 1);
                    break;
                }
            }
            cells.push(cell);
            rest = &quoted[end?..];
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            cells.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.is_empty().then_some(cells),
        }
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\"").replace(['\n', '\r'], " "))
    } else {
        cell.to_owned()
    }
}

/// The columns of a file whose rows do not all have the same: collected row by row, then in the order of a row, what varies by name.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    fixed: Vec<String>,
    errors: BTreeSet<String>,
    broken: BTreeSet<String>,
    marks: BTreeSet<String>,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// Words.
    Text,
    /// Whole numbers.
    Whole,
    /// Numbers.
    Number,
}

impl Columns {
    /// The columns that every row of these varied settings has.
    pub fn new(vary: &[Varied]) -> Columns {
        let mut fixed: Vec<String> = ["run", "drill", "stack", "seed"].map(str::to_owned).to_vec();
        fixed.extend(vary.iter().map(|v| format!("knob.{}", v.path)));
        fixed.extend(["digest", "verdict", "events", "simulated_ms", "first_fault_ms"].map(str::to_owned));
        fixed.extend(Metric::ALL.iter().map(|m| m.name().to_owned()));
        fixed.extend(["write_outages", "read_outages"].map(str::to_owned));
        Columns { fixed, ..Columns::default() }
    }
    /// Takes note of a row's columns.
    pub fn see(&mut self, row: &Row) {
        row.each(|name, _| {
            let set = match name.split_once('.') {
                Some(("error", _)) => &mut self.errors,
                Some(("broken", _)) => &mut self.broken,
                Some(("mark", _)) => &mut self.marks,
                _ => return,
            };
            if !set.contains(name) {
                set.insert(name.to_owned());
            }
        });
    }
    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        let all = self.fixed.iter().chain(&self.errors).chain(&self.broken).chain(&self.marks);
        all.map(String::as_str).collect()
    }
    /// What a column holds.
    pub fn holds(name: &str) -> Holds {
        match name {
            "drill" | "stack" | "digest" | "verdict" | "write_outages" | "read_outages" => Holds::Text,
            _ if name.starts_with("knob.") => Holds::Text,
            _ if name.ends_with("_ms") || name.ends_with("_availability") => Holds::Number,
            _ => Holds::Whole,
        }
    }
    /// The line of names.
    pub fn csv_head(&self) -> String {
        self.names().iter().map(|n| quoted(n)).collect::<Vec<_>>().join(",") + "\n"
    }
    /// A row's line.
    pub fn csv(&self, row: &Row) -> String {
        let mut given: Vec<(String, String)> = Vec::with_capacity(64);
        row.each(|name, cell: Cell<'_>| given.push((name.to_owned(), cell.text())));
        let cell = |n: &str| given.iter().find(|g| g.0 == n).map(|g| quoted(&g.1)).unwrap_or_default();
        self.names().into_iter().map(cell).collect::<Vec<_>>().join(",") + "\n"
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write as _;

    pub(crate) fn header() -> Header {
        Header {
            firedrill_results: FORMAT,
            version: "0.1.0".to_owned(),
            drill: "a/b".to_owned(),
            drill_digest: "00ff".to_owned(),
            stacks: vec![Played { name: "s".to_owned(), hosts: 3 }],
            set: Vec::new(),
            design: "grid".to_owned(),
            design_seed: None,
            vary: ["patroni.ttl", "a.b"]
                .map(|p| Varied { path: p.to_owned(), values: "1,2".to_owned() })
                .to_vec(),
            seeds: (0, 10),
            runs: 40,
            shard: None,
        }
    }

    #[test]
    fn both_forms_are_read_back() {
        let (a, h) = (super::super::row::tests::some(), header());
        let b = Row { run: 8, marks: vec![("fenced".to_owned(), 5)], ..a.clone() };
        let mut columns = Columns::new(&h.vary);
        columns.see(&a);
        columns.see(&b);
        let jsonl = format!("{}\n{}\n{}\n", h.json(), a.json(), b.json());
        let csv = format!("# {}\n{}{}{}", h.json(), columns.csv_head(), columns.csv(&a), columns.csv(&b));
        for text in [jsonl, csv] {
            let mut f = tempfile::NamedTempFile::new().unwrap();
            f.write_all(text.as_bytes()).unwrap();
            let r = Results::open(f.path()).unwrap();
            assert_eq!(r.header, h);
            assert_eq!(r.collect::<Result<Vec<_>, _>>().unwrap(), [a.clone(), b.clone()]);
        }
        for bad in ["", "PAR1", "{}\n", "hello\n", "# {}\n", "\u{feff}"] {
            let mut f = tempfile::NamedTempFile::new().unwrap();
            f.write_all(bad.as_bytes()).unwrap();
            assert!(Results::open(f.path()).is_err(), "{bad}");
        }
    }

    #[test]
    fn shards_have_every_run_once() {
        for n in 1..50 {
            let parts = (1..=n).map(|i| Header { shard: Some((i, n)), ..header() }.range());
            let all: Vec<u64> = parts.flatten().collect();
            assert_eq!(all, (0..40).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_differs_is_named() {
        assert_eq!(header().differs(&Header { shard: Some((1, 2)), ..header() }), None);
        let other = Header { version: "0.2.0".to_owned(), ..header() };
        assert_eq!(header().differs(&other).unwrap(), "version of firedrill: 0.1.0 and 0.2.0");
    }
}
