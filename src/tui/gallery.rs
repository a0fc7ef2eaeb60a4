//! What bare `firedrill` opens on a terminal: every drill with its question, and Enter to play it.

use super::view::{Look, block};
use crate::say;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

/// The gallery: names with what they are about, and which one is selected.
pub struct Gallery {
    /// Name and `about` of each drill.
    pub drills: Vec<(String, String)>,
    /// The selected one.
    pub selected: usize,
    /// What was typed to narrow the list.
    pub filter: String,
}

/// What a key asks of the gallery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// So many lines down (up if negative).
    Move(i64),
    /// A letter of the filter.
    Type(char),
    /// The last letter of the filter goes.
    Erase,
}

impl Gallery {
    /// A gallery of these drills, the first one selected.
    pub fn new(drills: Vec<(String, String)>) -> Self {
        Gallery { drills, selected: 0, filter: String::new() }
    }
    /// The drills that the filter leaves: every word of it occurs in the name or in the text.
    pub fn shown(&self) -> Vec<&(String, String)> {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let has = |d: &(String, String), w: &String| {
            d.0.to_lowercase().contains(w.as_str()) || d.1.to_lowercase().contains(w.as_str())
        };
        self.drills.iter().filter(|d| words.iter().all(|w| has(d, w))).collect()
    }
    /// The drill that Enter plays.
    pub fn chosen(&self) -> Option<&str> {
        self.shown().get(self.selected).map(|d| d.0.as_str())
    }
    /// Does what a key asks for.
    pub fn update(&mut self, c: Choice) {
        match c {
            Choice::Move(d) => {
                let last = self.shown().len().saturating_sub(1) as i64;
                self.selected = (self.selected as i64).saturating_add(d).clamp(0, last) as usize;
            }
            Choice::Type(c) => {
                self.filter.push(c);
                self.selected = 0;
            }
            Choice::Erase => {
                self.filter.pop();
                self.selected = 0;
            }
        }
    }
}

/// Draws the gallery.
pub fn draw(f: &mut Frame<'_>, g: &Gallery, look: Look) {
    let [head, list, about, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(5),
        Constraint::Length(1),
    ])
    .areas(f.area());
    let shown = g.shown();
    let count = say!("gallery-count", shown = shown.len(), all = g.drills.len());
    let narrowed = if g.filter.is_empty() {
        String::new()
    } else {
        format!("   {}", say!("gallery-only", filter = g.filter))
    };
    f.render_widget(Paragraph::new(format!(" {count}{narrowed}")), head);
    let rows = list.height.saturating_sub(2) as usize;
    // The selected line stays on the screen, with what surrounds it.
    let first = g.selected.saturating_sub(rows / 2).min(shown.len().saturating_sub(rows));
    let lines: Vec<Line<'_>> = shown
        .iter()
        .enumerate()
        .skip(first)
        .take(rows)
        .map(|(i, (name, text))| {
            let here = i == g.selected;
            let style = if here { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
            Line::styled(format!("{} {name:<40} {text}", if here { ">" } else { " " }), style)
        })
        .collect();
    let lines = if lines.is_empty() { vec![Line::raw(format!("  {}", say!("gallery-none")))] } else { lines };
    f.render_widget(Paragraph::new(lines).block(block(&say!("gallery-drills"), look)), list);
    let text = shown.get(g.selected).map_or("", |d| d.1.as_str());
    f.render_widget(
        Paragraph::new(text).wrap(Wrap { trim: true }).block(block(&say!("gallery-about"), look)),
        about,
    );
    f.render_widget(Paragraph::new(format!(" {}", say!("gallery-keys"))), keys);
}
