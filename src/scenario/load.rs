//! From a name or a path to a drill and its stack, with every mistake of a file at once.
//!
//! serde stops at the first mistake. To show them all, the innermost removable piece around a mistake is cut out of a copy and the
//! copy is read again; what is missing only because of such a cut is not reported.

use super::diag::{Diagnostic, Report, nearest};
use super::syntax::{self, Node};
use super::types::{Drill, Stack};
use super::{cib, embedded, lint, set};
use serde::de::DeserializeOwned;
use std::io::Read as _;
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
    /// The stack's CIB has something that is not modelled; `warnings` names it.
    pub unmodelled: bool,
}

fn options() -> ron::Options {
    use ron::extensions::Extensions as E;
    ron::Options::default()
        .with_default_extension(E::IMPLICIT_SOME | E::UNWRAP_NEWTYPES | E::UNWRAP_VARIANT_NEWTYPES)
        .with_recursion_limit(syntax::DEPTH * 2)
}

/// What could be made of a file.
pub struct Read<T> {
    /// The value. With mistakes in `list`, stand-ins take the place of what could not be read.
    pub value: Option<T>,
    /// The file as it was written.
    pub tree: Node,
    /// The mistakes.
    pub list: Vec<Diagnostic>,
}
impl<T> Read<T> {
    /// Adds what lint finds, except where the text itself is wrong: it would speak of a stand-in.
    fn and(mut self, lint: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let known: Vec<_> = self.list.iter().map(|d| d.span.clone()).collect();
        let news = |d: &Diagnostic| !known.iter().any(|k| k.start < d.span.end && d.span.start < k.end);
        self.list.extend(lint.into_iter().filter(news));
        self.list.sort_by_key(|d| d.span.start);
        self.list
    }
}

/// Reads one file of a kind, `Stack(...)` or `Drill(...)`, or says everything that is wrong with it.
pub fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<(T, Node), Report> {
    let r = read_all(file, text)?;
    match r.value {
        Some(value) if r.list.is_empty() => Ok((value, r.tree)),
        _ => Err(Report { file: file.to_owned(), text: text.to_owned(), list: r.list }),
    }
}

/// Reads as much of a file as can be read. An error is text that is not even RON.
pub fn read_all<T: DeserializeOwned>(file: &str, text: &str) -> Result<Read<T>, Report> {
    let root = syntax::parse(text).map_err(|e| {
        let help = text.trim().is_empty().then(|| "a scenario begins with `Stack(` or `Drill(`".to_owned());
        let list = vec![Diagnostic { message: e.message, span: e.span, help, warning: false }];
        Report { file: file.to_owned(), text: text.to_owned(), list }
    })?;
    let mut work = text.to_owned();
    let mut list: Vec<Diagnostic> = Vec::new();
    // Fields that were cut, with the struct they belonged to: that they are missing now is no mistake of the file.
    let mut cut: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    let mut stand_ins: Vec<std::ops::Range<usize>> = Vec::new();
    // Each cut reads the whole file again; a large one gets fewer, so that it stays below a second.
    let mut left = if text.len() > 100_000 { 5 } else { 50 };
    loop {
        let Ok(tree) = syntax::parse(&work) else { return Ok(Read { value: None, tree: root, list }) };
        let plain = syntax::plain(&work, &tree);
        let error = match options().from_str::<T>(&plain.text) {
            Ok(value) => return Ok(Read { value: Some(value), tree: root, list }),
            Err(e) => e,
        };
        let at = plain.back(offset(&plain.text, error.span.end.line, error.span.end.col));
        let start = plain.back(offset(&plain.text, error.span.start.line, error.span.start.col));
        let pieces = syntax::around(&tree, start.min(at));
        let (message, help) = match (&error.code, pieces.first().and_then(|p| p.field.as_ref())) {
            (ron::Error::IntegerOutOfBounds, Some((field, _))) => {
                (format!("`{field}` is out of its range"), super::doc::about(field))
            }
            _ => words(&error.code),
        };
        let missing = matches!(error.code, ron::Error::MissingStructField { .. });
        let own_doing = matches!(&error.code, ron::Error::MissingStructField { field, .. }
            if cut.iter().any(|(name, of)| name == *field && of.start <= start && start <= of.end));
        let inner = pieces.first().map(|p| p.span.clone());
        let tried =
            inner.as_ref().is_some_and(|p| stand_ins.iter().any(|s| p.start <= s.start && s.end <= p.end));
        if !own_doing && !tried {
            let mut span = start.min(at)..at.max(start);
            if let Some(piece) = &inner
                && (span.is_empty() || span.len() > piece.len())
                && !missing
            {
                span = piece.clone();
            }
            while !work.is_char_boundary(span.start) {
                span.start -= 1;
            }
            while !work.is_char_boundary(span.end) {
                span.end += 1;
            }
            // A struct that lacks a field is met again on the way out of it.
            let again = list
                .iter()
                .any(|d| d.message == message && span.start <= d.span.start && d.span.end <= span.end + 1);
            if !(missing && again) {
                list.push(Diagnostic { message, span, help, warning: false });
            }
        }
        left -= 1;
        if left == 0 {
            return Ok(Read { value: None, tree: root, list });
        }
        // A duration that cannot be read is one all the same: the rest of the file can be checked with another in its place.
        if !missing
            && !tried
            && let Some(value) = syntax::string_at(&tree, start.min(at))
            && let word =
                if work[..value.start].trim_end().ends_with("until:") { "\"30d\"" } else { "\"1s\"" }
            && value.len() >= word.len()
        {
            let blank = " ".repeat(value.len() - word.len());
            stand_ins.push(value.clone());
            work.replace_range(value, &format!("{word}{blank}"));
            continue;
        }
        // Blanks keep every other place where it was.
        let Some(found) = pieces.into_iter().find(|p| p.removable) else {
            return Ok(Read { value: None, tree: root, list });
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
    load_text(&drill_name, &file, text, overrides, other_stack)
}

/// The same for a text that has been read already; `file` is where its stack is looked for, and what messages name.
pub fn load_text(
    drill_name: &str,
    file: &str,
    text: String,
    overrides: &[(String, String)],
    other_stack: Option<&str>,
) -> Result<Loaded, Vec<Report>> {
    let (drill_name, file) = (drill_name.to_owned(), file.to_owned());
    let (stack_sets, drill_sets): (Vec<_>, Vec<_>) =
        overrides.iter().cloned().partition(|(path, _)| !path.starts_with("drill."));
    let text = set::apply(&file, &text, &drill_sets).map_err(|r| vec![r])?;
    let read_drill: Read<Drill> = read_all(&file, &text).map_err(|r| vec![r])?;
    let Some(drill) = read_drill.value.clone() else {
        return Err(vec![Report { file, list: read_drill.list, text }]);
    };
    let wanted = other_stack.unwrap_or(&drill.stack);
    // What the drill names stands beside the drill; what the command line names stands where the user is.
    let beside = Path::new(&file).parent().map(|p| p.join(wanted));
    let beside = beside.filter(|p| other_stack.is_none() && p.is_file());
    let found = match beside {
        Some(path) => text_of(&path.to_string_lossy(), "stack"),
        None => text_of(wanted, "stack"),
    };
    let (stack_name, stack_file, stack_text) = match found {
        Ok(found) => found,
        Err(mut r) => {
            if other_stack.is_none()
                && let Some(node) = syntax::find(&read_drill.tree, "stack")
            {
                r.list[0].span = node.span.clone();
                r = Report { file, list: read_drill.and(r.list), text };
            }
            return Err(vec![r]);
        }
    };
    // The drill's own settings are for its own stack: on another one those that name nothing there are left out, and told.
    let (mut sets, left_out): (Vec<(String, String)>, Vec<_>) = drill
        .set
        .clone()
        .into_iter()
        .partition(|(path, value)| other_stack.is_none() || set::applies(&stack_text, path, value));
    sets.extend(stack_sets);
    let mine =
        |read_drill: Read<Drill>, lint| Report { file, list: read_drill.and(lint), text: text.clone() };
    let of_stack = set::apply(&stack_file, &stack_text, &sets)
        .and_then(|text| Ok((read_all::<Stack>(&stack_file, &text)?, text)));
    let (read_stack, stack_text) = match of_stack {
        Ok(r) => r,
        Err(r) => {
            let drill = mine(read_drill, Vec::new());
            return Err([r, drill].into_iter().filter(|r| !r.list.is_empty()).collect());
        }
    };
    let Some(mut stack) = read_stack.value.clone() else {
        let theirs = Report { file: stack_file, list: read_stack.list, text: stack_text };
        let drill = mine(read_drill, Vec::new());
        return Err([theirs, drill].into_iter().filter(|r| !r.list.is_empty()).collect());
    };
    let found = cib::resolve(&mut stack, &read_stack.tree, &stack_text, &stack_file);
    let mut of_stack = lint::stack(&stack, &read_stack.tree);
    of_stack.extend(found.in_stack);
    let mut of_drill = lint::drill(&drill, &stack, &read_drill.tree);
    for (path, _) in left_out {
        let span = syntax::find(&read_drill.tree, "set").map_or(0..0, |n| n.span.clone());
        let message = format!("`{path}` is left out: the stack `{stack_name}` has nothing of that name");
        of_drill.push(super::diag::Diagnostic { message, span, help: None, warning: true });
    }
    let mut reports = vec![
        Report { file: stack_file, list: read_stack.and(of_stack), text: stack_text },
        mine(read_drill, of_drill),
    ];
    reports.extend(found.of_file);
    if reports.iter().any(Report::has_errors) {
        return Err(reports.into_iter().filter(|r| !r.list.is_empty()).collect());
    }
    let warnings = reports.into_iter().filter(|r| !r.list.is_empty()).collect();
    let unmodelled = found.unmodelled;
    Ok(Loaded { drill, stack, drill_name, stack_name, drill_text: text, warnings, unmodelled })
}

/// Checks a stack by itself.
pub fn check_stack(file: String, text: String) -> Report {
    check_stack_and_cib(file, text).0
}
/// Checks a stack by itself, and the file of its CIB, if it has one; and whether that has something that is not modelled.
pub fn check_stack_and_cib(file: String, text: String) -> (Report, Option<Report>, bool) {
    match read_all::<Stack>(&file, &text) {
        Err(r) => (r, None, false),
        Ok(mut r) => {
            let mut lint = Vec::new();
            let mut found = cib::Found::default();
            if let Some(stack) = &mut r.value {
                found = cib::resolve(stack, &r.tree, &text, &file);
                lint = lint::stack(stack, &r.tree);
            }
            lint.append(&mut found.in_stack);
            (Report { file, list: r.and(lint), text }, found.of_file, found.unmodelled)
        }
    }
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
