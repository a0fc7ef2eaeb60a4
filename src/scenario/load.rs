//! From a name or a path to a drill and its stack, with every mistake of a file at once.
//!
//! serde stops at the first mistake. To show them all, the innermost removable piece around a mistake is cut out of a copy and the
//! copy is read again; what is missing only because of such a cut is not reported.

use super::diag::{Diagnostic, Report, nearest};
use super::syntax::{self, Node};
use super::types::{Drill, Stack};
use super::{embedded, lint, set};
use serde::de::DeserializeOwned;
use std::io::Read;
use std::path::Path;

/// A drill with its stack, ready to be built.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The drill.
    pub drill: Drill,
    /// Its stack.
    pub stack: Stack,
    /// The drill's name.
    pub drill_name: String,
    /// The stack's name.
    pub stack_name: String,
    /// The drill's text, overrides included.
    pub drill_text: String,
    /// What is suspicious.
    pub warnings: Vec<Report>,
}

fn options() -> ron::Options {
    use ron::extensions::Extensions as E;
    ron::Options::default()
        .with_default_extension(E::IMPLICIT_SOME | E::UNWRAP_NEWTYPES | E::UNWRAP_VARIANT_NEWTYPES)
        .with_recursion_limit(syntax::DEPTH * 2)
}

/// Reads one file of a kind, `Stack(...)` or `Drill(...)`.
pub fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<(T, Node), Report> {
    let fail = |list| Report { file: file.to_owned(), text: text.to_owned(), list };
    let root = syntax::parse(text).map_err(|e| {
        let help = text.trim().is_empty().then(|| "a scenario begins with `Stack(` or `Drill(`".to_owned());
        fail(vec![Diagnostic { message: e.message, span: e.span, help, warning: false }])
    })?;
    let mut work = text.to_owned();
    let mut list: Vec<Diagnostic> = Vec::new();
    // Fields that were cut, with the struct they belonged to: that they are missing now is no mistake of the file.
    let mut cut: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    // Each cut reads the whole file again; a large one gets fewer, so that it stays below a second.
    let mut left = if text.len() > 100_000 { 5 } else { 50 };
    loop {
        let Ok(tree) = syntax::parse(&work) else { return Err(fail(list)) };
        let plain = syntax::plain(&work, &tree);
        let error = match options().from_str::<T>(&plain.text) {
            Ok(value) if list.is_empty() => return Ok((value, root)),
            Ok(_) => return Err(fail(list)),
            Err(e) => e,
        };
        let at = plain.back(offset(&plain.text, error.span.end.line, error.span.end.col));
        let start = plain.back(offset(&plain.text, error.span.start.line, error.span.start.col));
        let (message, help) = words(&error.code);
        let pieces = syntax::around(&tree, start.min(at));
        let missing = matches!(error.code, ron::Error::MissingStructField { .. });
        let own_doing = matches!(&error.code, ron::Error::MissingStructField { field, .. }
            if cut.iter().any(|(name, of)| name == *field && of.start <= start && start <= of.end));
        if !own_doing {
            let mut span = start.min(at)..at.max(start);
            if let Some(piece) = pieces.first()
                && (span.is_empty() || span.len() > piece.span.len())
                && !missing
            {
                span = piece.span.clone();
            }
            while !work.is_char_boundary(span.start) {
                span.start -= 1;
            }
            while !work.is_char_boundary(span.end) {
                span.end += 1;
            }
            list.push(Diagnostic { message, span, help, warning: false });
        }
        left -= 1;
        // Blanks keep every other place where it was.
        let Some(found) = pieces.into_iter().find(|p| p.removable).filter(|_| left > 0) else {
            return Err(fail(list));
        };
        cut.extend(found.field);
        let piece = found.span;
        let mut end = piece.end;
        let rest = &work[end..];
        let comma = rest.trim_start().starts_with(',');
        if comma {
            end += rest.len() - rest.trim_start().len() + 1;
        }
        let blank: String =
            work[piece.start..end].chars().flat_map(|c| std::iter::repeat_n(' ', c.len_utf8())).collect();
        work.replace_range(piece.start..end, &blank);
    }
}

/// The byte offset of a line and a column, both counted from 1, the column in characters.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[start.min(text.len())..];
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i)
}

/// ron's error in our words, and what to do.
fn words(code: &ron::Error) -> (String, Option<String>) {
    let suggest = |found: &str, expected: &[&str]| {
        nearest(found, expected.iter().copied())
            .map(|n| format!("did you mean `{n}`?"))
            .or_else(|| (!expected.is_empty()).then(|| format!("one of: {}", expected.join(", "))))
    };
    match code {
        ron::Error::NoSuchStructField { expected, found, outer } => {
            let of = outer.as_ref().map_or(String::new(), |o| format!(" of `{o}`"));
            (format!("unknown field `{found}`{of}"), suggest(found, expected))
        }
        ron::Error::NoSuchEnumVariant { expected, found, outer } => {
            let of = outer.as_ref().map_or(String::new(), |o| format!(" for `{o}`"));
            (format!("unknown word `{found}`{of}"), suggest(found, expected))
        }
        ron::Error::MissingStructField { field, outer } => {
            let of = outer.as_ref().map_or(String::new(), |o| format!(" of `{o}`"));
            (
                format!("the field `{field}`{of} is missing"),
                Some(format!("add `{field}: ...`; see `firedrill doc {field}`")),
            )
        }
        ron::Error::InvalidValueForType { expected, found } => {
            (format!("expected {expected}, found {found}"), None)
        }
        other => (other.to_string(), None),
    }
}

/// Reads, checks and completes a drill: by path or by the name of an embedded one.
pub fn load(
    name: &str,
    overrides: &[(String, String)],
    other_stack: Option<&str>,
) -> Result<Loaded, Vec<Report>> {
    let (drill_name, file, text) = text_of(name, "drill").map_err(|r| vec![r])?;
    let (stack_sets, drill_sets): (Vec<_>, Vec<_>) =
        overrides.iter().cloned().partition(|(path, _)| !path.starts_with("drill."));
    let text = set::apply(&file, &text, &drill_sets).map_err(|r| vec![r])?;
    let (drill, drill_tree): (Drill, Node) = read(&file, &text).map_err(|r| vec![r])?;
    let wanted = other_stack.unwrap_or(&drill.stack);
    // What the drill names stands beside the drill; what the command line names stands where the user is.
    let beside = Path::new(&file).parent().map(|p| p.join(wanted));
    let beside = beside.filter(|p| other_stack.is_none() && p.is_file());
    let (stack_name, stack_file, stack_text) = match beside {
        Some(path) => text_of(&path.to_string_lossy(), "stack"),
        None => text_of(wanted, "stack"),
    }
    .map_err(|mut r| {
        if other_stack.is_none()
            && let Some(node) = syntax::find(&drill_tree, "stack")
        {
            r.file.clone_from(&file);
            r.text.clone_from(&text);
            r.list[0].span = node.span.clone();
        }
        vec![r]
    })?;
    let mut sets: Vec<(String, String)> = drill.set.clone().into_iter().collect();
    sets.extend(stack_sets);
    let stack_text = set::apply(&stack_file, &stack_text, &sets).map_err(|r| vec![r])?;
    let (stack, stack_tree): (Stack, Node) = read(&stack_file, &stack_text).map_err(|r| vec![r])?;
    let reports = vec![
        Report { file: stack_file, list: lint::stack(&stack, &stack_tree), text: stack_text },
        Report { file, list: lint::drill(&drill, &stack, &drill_tree), text: text.clone() },
    ];
    if reports.iter().any(Report::has_errors) {
        return Err(reports.into_iter().filter(|r| !r.list.is_empty()).collect());
    }
    let warnings = reports.into_iter().filter(|r| !r.list.is_empty()).collect();
    Ok(Loaded { drill, stack, drill_name, stack_name, drill_text: text, warnings })
}

/// The text of a drill or a stack: its name, its file, its text.
pub fn text_of(name: &str, kind: &str) -> Result<(String, String, String), Report> {
    let path = Path::new(name);
    if name.ends_with(".ron") || path.is_file() {
        let mut bytes = Vec::new();
        // One byte more than allowed is enough to know; a device that never ends is not read to its end.
        std::fs::File::open(path)
            .and_then(|f| f.take(syntax::SIZE as u64 + 1).read_to_end(&mut bytes))
            .map_err(|e| {
                let help = Some("see `firedrill list`".to_owned());
                Report::whole(name, format!("cannot read {name}: {e}"), help)
            })?;
        if bytes.len() > syntax::SIZE {
            return Err(Report::whole(name, "the file is larger than 1 MiB".to_owned(), None));
        }
        let mut text = String::from_utf8(bytes).map_err(|e| {
            Report::whole(name, format!("not UTF-8 from byte {} on", e.utf8_error().valid_up_to()), None)
        })?;
        // Some editors begin a file with a byte order mark.
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        let stem = path.file_stem().map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
        return Ok((stem, name.to_owned(), text));
    }
    let (text, names, folder) = if kind == "stack" {
        (embedded::stack(name), embedded::stacks(), "scenarios/stacks")
    } else {
        (embedded::drill(name), embedded::drills(), "scenarios/drills")
    };
    match text {
        Some(text) => Ok((name.to_owned(), format!("{folder}/{name}.ron"), text.to_owned())),
        None => {
            let near = nearest(name, names.iter().map(String::as_str))
                .or_else(|| names.iter().map(String::as_str).find(|n| n.rsplit('/').next() == Some(name)));
            let help =
                near.map_or("`firedrill list` shows them all".to_owned(), |n| format!("did you mean `{n}`?"));
            Err(Report::whole(name, format!("there is no {kind} `{name}`"), Some(help)))
        }
    }
}
