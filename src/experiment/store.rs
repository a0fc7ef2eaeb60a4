//! Where rows go: a JSONL file that grows by whole chunks, can be taken up again after an interruption, and is made into CSV or Parquet
//! at the end; and the merging of shards.
//!
//! A chunk is one write at the end of the file. What an interruption (or a full disk) leaves of a line without an end is cut off when the
//! sweep goes on, and the run is played again.

use super::results::{Columns, Header, Results};
use super::row::Row;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values.
    Csv,
    /// Apache Parquet.
    Parquet,
}
impl Form {
    /// The form that a file's name asks for.
    pub fn of(path: &Path) -> Form {
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Form::Csv,
            Some("parquet") => Form::Parquet,
            _ => Form::Jsonl,
        }
    }
}

/// A JSONL file that is being written.
pub struct Store {
    path: PathBuf,
    file: File,
    /// The next run to play.
    pub next: u64,
    /// Rows that were there already.
    pub found: u64,
}

/// Where the rows of a file are collected before it is written in another form.
pub fn part(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".part.jsonl");
    out.with_file_name(name)
}

impl Store {
    /// Opens a file for these results: a new one, or one that an interrupted sweep left. What is there is handed to `see`.
    pub fn open(path: &Path, header: &Header, mut see: impl FnMut(&Row)) -> Result<Store, String> {
        let name = path.display();
        let fail = |e: std::io::Error| format!("{name}: {e}");
        let range = header.range();
        if !path.exists() {
            let mut file = OpenOptions::new().append(true).create_new(true).open(path).map_err(fail)?;
            file.write_all(format!("{}\n", header.json()).as_bytes()).map_err(fail)?;
            return Ok(Store { path: path.to_owned(), file, next: range.start, found: 0 });
        }
        let mut lines = BufReader::new(File::open(path).map_err(fail)?);
        let mut line = Vec::new();
        let mut good: u64 = 0;
        let mut next = range.start;
        let mut first = true;
        loop {
            line.clear();
            let n = lines.read_until(b'\n', &mut line).map_err(fail)? as u64;
            if n == 0 {
                break;
            }
            let whole = line.ends_with(b"\n");
            let text = std::str::from_utf8(&line).ok().map(str::trim_end);
            if first {
                let theirs = text.and_then(|t| serde_json::from_str::<Header>(t).ok());
                match theirs {
                    Some(theirs) => same(header, &theirs).map_err(|why| {
                        format!("{name} has other results ({why}): give another --out, or remove it")
                    })?,
                    // The very first write was torn: it began like the header, and nothing else is there.
                    None if !whole && header.json().as_bytes().starts_with(&line) => break,
                    None => return Err(format!("{name} is there and has no results: give another --out")),
                }
                if !whole {
                    break;
                }
                first = false;
                good += n;
                continue;
            }
            let row = text.map_or(Err("not text".to_owned()), Row::from_json);
            match row {
                Ok(mut row) if whole && row.run == next && next < range.end => {
                    row.knobs.sort_by_key(|k| header.vary.iter().position(|v| v.path == k.0));
                    see(&row);
                    next += 1;
                    good += n;
                }
                _ if !whole => break,
                Ok(row) => {
                    let run = row.run;
                    return Err(format!(
                        "{name}: run {run} where {next} should be: the file was changed by something else"
                    ));
                }
                Err(why) => return Err(format!("{name}: a line in the middle is no row ({why})")),
            }
        }
        let file = OpenOptions::new().append(true).open(path).map_err(fail)?;
        file.set_len(good).map_err(fail)?;
        let mut store = Store { path: path.to_owned(), file, next, found: next - range.start };
        if good == 0 {
            store.put(format!("{}\n", header.json()).as_bytes())?;
        }
        Ok(store)
    }
    fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.file.write_all(bytes).map_err(|e| format!("{}: {e}", self.path.display()))
    }
    /// Adds a chunk.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), String> {
        let mut text = String::with_capacity(rows.len() * 1_200);
        for r in rows {
            text.push_str(&r.json());
            text.push('\n');
        }
        self.put(text.as_bytes())?;
        self.next += rows.len() as u64;
        Ok(())
    }
}

/// Whether two headers are of the very same part of the same results; an error says in what they differ.
fn same(a: &Header, b: &Header) -> Result<(), String> {
    if let Some(why) = a.differs(b) {
        return Err(why);
    }
    let shard = |h: &Header| h.shard.map_or("none".to_owned(), |(i, n)| format!("{i}/{n}"));
    if a.shard == b.shard { Ok(()) } else { Err(format!("shard: {} and {}", shard(a), shard(b))) }
}

/// Whether a finished file of these results is there already; an error if it is of others.
pub fn finished(path: &Path, header: &Header) -> Result<bool, String> {
    if !path.exists() {
        return Ok(false);
    }
    let theirs = Results::open(path).map_err(|why| format!("{why}: give another --out, or remove it"))?;
    same(header, &theirs.header).map_err(|why| {
        format!("{} has other results ({why}): give another --out, or remove it", path.display())
    })?;
    Ok(true)
}

/// Rows of several files in the order of their runs.
pub struct Merge {
    /// What they are of, together.
    pub header: Header,
    files: Vec<(Header, PathBuf)>,
}

impl Merge {
    /// Looks at the headers of shards: all of one sweep, each once, none missing.
    pub fn new(paths: &[PathBuf]) -> Result<Merge, String> {
        let mut files: Vec<(Header, PathBuf)> = Vec::new();
        for p in paths {
            let h = Results::open(p)?.header;
            if let Some((first, name)) = files.first()
                && let Some(why) = first.differs(&h)
            {
                return Err(format!(
                    "{} and {} are of different sweeps and cannot be mixed ({why})",
                    name.display(),
                    p.display()
                ));
            }
            files.push((h, p.clone()));
        }
        files.sort_by_key(|(h, _)| h.range().start);
        let Some((first, _)) = files.first() else { return Err("nothing to merge".to_owned()) };
        let header = Header { shard: None, ..first.clone() };
        let mut next = 0;
        for (h, p) in &files {
            let range = h.range();
            if range.start < next && !range.is_empty() {
                return Err(format!(
                    "{}: its runs from {} on are in another file too",
                    p.display(),
                    range.start
                ));
            }
            if range.start > next {
                return Err(format!("runs {next} to {} are in no file: a shard is missing", range.start - 1));
            }
            next = next.max(range.end);
        }
        if next < header.runs {
            return Err(format!("runs {next} to {} are in no file: a shard is missing", header.runs - 1));
        }
        Ok(Merge { header, files })
    }
    /// Hands every row over in order.
    pub fn each(&self, mut take: impl FnMut(Row) -> Result<(), String>) -> Result<(), String> {
        for (h, p) in &self.files {
            let mut next = h.range().start;
            for row in Results::open(p)? {
                let row = row?;
                if row.run != next {
                    return Err(format!("{}: run {} where {next} should be", p.display(), row.run));
                }
                next += 1;
                take(row)?;
            }
            if next != h.range().end {
                let missing = h.range().end - next;
                return Err(format!(
                    "{} is not finished: {missing} runs are missing; let its sweep go on first",
                    p.display()
                ));
            }
        }
        Ok(())
    }
}

/// Rows that can be walked through more than once.
pub type Walk<'a> = dyn Fn(&mut dyn FnMut(Row) -> Result<(), String>) -> Result<(), String> + 'a;

/// Writes rows in a form: CSV and Parquet need to know all columns before the first row, so the rows are walked through twice.
pub fn write(
    out: &mut (dyn Write + Send),
    form: Form,
    header: &Header,
    rows: &Walk<'_>,
) -> Result<(), String> {
    let fail = |e: std::io::Error| e.to_string();
    let mut out = BufWriter::new(out);
    if form == Form::Jsonl {
        out.write_all(format!("{}\n", header.json()).as_bytes()).map_err(fail)?;
        rows(&mut |row| out.write_all(format!("{}\n", row.json()).as_bytes()).map_err(fail))?;
        return out.flush().map_err(fail);
    }
    let mut columns = Columns::new(&header.vary);
    rows(&mut |row| {
        columns.see(&row);
        Ok(())
    })?;
    if form == Form::Parquet {
        return parquet(&mut out, header, &columns, rows);
    }
    let head = format!("# {}\n{}", header.json(), columns.csv_head());
    out.write_all(head.as_bytes()).map_err(fail)?;
    rows(&mut |row| out.write_all(columns.csv(&row).as_bytes()).map_err(fail))?;
    out.flush().map_err(fail)
}

#[cfg(feature = "parquet")]
use super::parquet::write as parquet;
#[cfg(not(feature = "parquet"))]
fn parquet(_: &mut dyn Write, _: &Header, _: &Columns, _: &Walk<'_>) -> Result<(), String> {
    Err(NO_PARQUET.to_owned())
}
/// What there is to say where Parquet was not built in.
pub const NO_PARQUET: &str =
    "this firedrill was built without Parquet: build it with `cargo build --release --features parquet`";
/// Whether Parquet was built in.
pub const PARQUET: bool = cfg!(feature = "parquet");

/// Writes a file in a form, under another name until it is whole.
pub fn write_file(path: &Path, form: Form, header: &Header, rows: &Walk<'_>) -> Result<(), String> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = File::create(&new).map_err(fail)?;
    let done = write(&mut file, form, header, rows).and_then(|()| file.sync_data().map_err(fail));
    if let Err(why) = done {
        let _ = std::fs::remove_file(&new);
        return Err(why);
    }
    std::fs::rename(&new, path).map_err(fail)
}

/// Whether a file begins like Parquet.
pub fn is_parquet(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && &magic == b"PAR1"
}
