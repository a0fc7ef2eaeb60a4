//! Diagnostics that point into a file: line, column, caret, reason, suggestion.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::ops::Range;

/// The most diagnostics of a file that are printed: nobody reads more, and each is drawn from the whole text.
const SHOWN: usize = 50;

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub span: Range<usize>,
    /// What to do.
    pub help: Option<String>,
    /// It is only suspicious.
    pub warning: bool,
}

/// Everything wrong in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What is wrong.
    pub list: Vec<Diagnostic>,
}

impl Report {
    /// A report without a place: the file could not be read at all.
    pub fn whole(file: &str, message: String, help: Option<String>) -> Self {
        let list = vec![Diagnostic { message, span: 0..0, help, warning: false }];
        Report { file: file.to_owned(), text: String::new(), list }
    }
    /// Whether anything is more than suspicious.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| !d.warning)
    }
    /// The report for people.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for d in self.list.iter().take(SHOWN) {
            let level = if d.warning { Level::WARNING } else { Level::ERROR };
            let word = if d.warning { "warning" } else { "error" };
            if self.text.is_empty() {
                out.push_str(&format!("{word}: {}\n --> {}\n", d.message, self.file));
                if let Some(help) = &d.help {
                    out.push_str(&format!("help: {help}\n"));
                }
                out.push('\n');
                continue;
            }
            // A line that is too long to read is not shown, only named.
            let clip = |i: usize| {
                let mut i = i.min(self.text.len());
                while !self.text.is_char_boundary(i) {
                    i -= 1;
                }
                i
            };
            let (start, end) = (clip(d.span.start), clip(d.span.end.max(d.span.start)));
            let line_start = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
            let line_end = self.text[start..].find('\n').map_or(self.text.len(), |i| start + i);
            if line_end - line_start > 400 {
                let line = self.text[..start].matches('\n').count() + 1;
                let column = self.text[line_start..start].chars().count() + 1;
                out.push_str(&format!("{word}: {}\n --> {}:{line}:{column}\n", d.message, self.file));
                if let Some(help) = &d.help {
                    out.push_str(&format!("help: {help}\n"));
                }
                out.push('\n');
                continue;
            }
            let snippet = Snippet::source(self.text.as_str())
                .path(self.file.as_str())
                .fold(true)
                .annotation(AnnotationKind::Primary.span(start..end.min(line_end).max(start)));
            let mut group = level.primary_title(d.message.as_str()).element(snippet);
            if let Some(help) = &d.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        if self.list.len() > SHOWN {
            out.push_str(&format!("and {} more in {}\n\n", self.list.len() - SHOWN, self.file));
        }
        out
    }
}

/// The nearest of some names, if one is near (by edit distance in characters).
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + word.chars().count() / 3;
    names.into_iter().map(|n| (distance(word, n), n)).filter(|(d, _)| *d <= limit).min().map(|(_, n)| n)
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    if a.len().abs_diff(b.len()) > 8 || a.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
