//! The CIB of a stack in XML: it stands in the stack itself, or in a file beside it.

use super::diag::{Diagnostic, Report, nearest};
use super::syntax::{self, Node};
use super::types::Stack;
use super::{embedded, lint};
use crate::proto::pacemaker::cib::Cib;
use crate::proto::pacemaker::xml::BYTES_MAX;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// What was found about the CIB of a stack.
#[derive(Default)]
pub(super) struct Found {
    /// What is wrong in the stack's own text.
    pub in_stack: Vec<Diagnostic>,
    /// What is wrong in the file of the CIB.
    pub of_file: Option<Report>,
    /// The CIB has something that is not modelled.
    pub unmodelled: bool,
}

/// Something about a line of a CIB.
pub(super) struct Remark {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// It is only suspicious.
    pub warning: bool,
}

/// Reads the CIB that a stack names, puts its text in the place of the name, and checks it. `file` is the stack's: a path is relative to it.
pub(super) fn resolve(stack: &mut Stack, tree: &Node, text: &str, file: &str) -> Found {
    let mut found = Found::default();
    let Some(said) = stack.pacemaker.as_ref().and_then(|c| c.cib.clone()) else { return found };
    let span = syntax::find(tree, "pacemaker.cib").map_or(0..0, |n| n.span.clone());
    let inline = said.trim_start().starts_with('<');
    let xml = if inline { Ok(said.clone()) } else { beside(&said, file, text) };
    let xml = match xml {
        Ok(xml) => xml,
        Err(why) => {
            let help = near(&said, file).map_or_else(
                || {
                    "write the path of a file, relative to this one, or the XML itself: \"<cib ...>\""
                        .to_owned()
                },
                |n| format!("did you mean `{n}`?"),
            );
            let message = format!("cannot read the CIB `{said}`: {why}");
            found.in_stack.push(Diagnostic { message, span, help: Some(help), warning: false });
            return found;
        }
    };
    let mut remarks = Vec::new();
    match Cib::read(&xml) {
        Err(e) => remarks.push(Remark {
            line: e.line,
            message: format!("the CIB cannot be read: {}", e.text),
            help: None,
            warning: false,
        }),
        Ok(cib) => {
            found.unmodelled = !cib.unknown.is_empty();
            remarks.extend(cib.unknown.iter().map(|w| Remark {
                line: w.line,
                message: format!("`<{}>`: {}", w.element, w.text),
                help: None,
                warning: true,
            }));
            remarks.extend(lint::of_cib(stack, &cib));
        }
    }
    remarks.sort_by_key(|r| r.line);
    let say = |r: Remark, span| Diagnostic { message: r.message, span, help: r.help, warning: r.warning };
    if inline {
        let lines = inside(text, &span);
        let line =
            |n: u32| lines.get((n as usize).saturating_sub(1)).cloned().unwrap_or_else(|| span.clone());
        found.in_stack.extend(remarks.into_iter().map(|r| {
            let at = line(r.line);
            say(r, at)
        }));
    } else if !remarks.is_empty() {
        let list = remarks.into_iter().map(|r| {
            let at = line_of(&xml, r.line);
            say(r, at)
        });
        let name = path_of(&said, file).to_string_lossy().replace('\\', "/");
        found.of_file = Some(Report { file: name, list: list.collect(), text: xml.clone() });
    }
    if let Some(c) = &mut stack.pacemaker {
        c.cib = Some(xml);
    }
    found
}

/// The path of a file that a stack names, without `.` and `..` as far as they can go.
fn path_of(said: &str, file: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in Path::new(file).parent().unwrap_or(Path::new("")).join(said).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(path.components().next_back(), Some(Component::Normal(_))) => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}
/// A stack that travels in the binary has its files there too.
fn shipped(file: &str, text: &str) -> bool {
    file.strip_prefix("scenarios/").and_then(embedded::file).is_some_and(|t| t == text)
}
fn beside(said: &str, file: &str, text: &str) -> Result<String, String> {
    let path = path_of(said, file);
    let name = path.to_string_lossy().replace('\\', "/");
    if shipped(file, text)
        && let Some(found) = name.strip_prefix("scenarios/").and_then(embedded::file)
    {
        return Ok(found.to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .and_then(|f| f.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| format!("{name}: {e}"))?;
    if bytes.len() > BYTES_MAX {
        return Err(format!("{name} is larger than {BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes)
        .map_err(|e| format!("{name} is not UTF-8 from byte {} on", e.utf8_error().valid_up_to()))
}
/// A file of a similar name where the named one should be.
fn near(said: &str, file: &str) -> Option<String> {
    let path = path_of(said, file);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .take(1000)
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".xml") || n.ends_with(".cib"))
        .collect();
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    let found = nearest(&wanted, names.iter().map(String::as_str))?.to_owned();
    Some(said.strip_suffix(&wanted).map_or_else(|| found.clone(), |front| format!("{front}{found}")))
}

/// Where a line of a text stands, without the blanks at its ends.
fn line_of(text: &str, line: u32) -> Range<usize> {
    let mut start = 0;
    for (n, l) in (1..).zip(text.split_inclusive('\n')) {
        if n == line {
            let front = l.len() - l.trim_start().len();
            return start + front..start + l.trim_end().len().max(front);
        }
        start += l.len();
    }
    start..start
}
/// Where the lines of a string of the file stand: its line breaks are those of the file, and `\n`.
fn inside(text: &str, span: &Range<usize>) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut lines, mut start, mut at) = (Vec::new(), span.start + 1, span.start + 1);
    let end = span.end.saturating_sub(1).min(bytes.len());
    while at < end {
        let wide = bytes[at] == b'\\' && at + 1 < end;
        if bytes[at] == b'\n' || (wide && bytes[at + 1] == b'n') {
            lines.push(start..at);
            start = at + if wide { 2 } else { 1 };
        }
        at += if wide { 2 } else { 1 };
    }
    lines.push(start..end.max(start));
    let trim = |r: Range<usize>| {
        let l = text.get(r.clone()).unwrap_or_default();
        let front = l.len() - l.trim_start().len();
        r.start + front..r.start + l.trim_end().len().max(front)
    };
    lines.into_iter().map(trim).collect()
}
