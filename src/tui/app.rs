//! The only file that opens the terminal: it gives it back whatever happens.

use super::gallery::{self, Choice, Gallery};
use super::model::{Action, Ask, Player};
use super::view::{Look, draw};
use crossterm::event::{
    self, DisableMouseCapture, EnableMouseCapture, Event, KeyCode, KeyEventKind, KeyModifiers, MouseEvent,
    MouseEventKind,
};
use std::io;
use std::time::{Duration, Instant};

/// What a key means while the last line asks for something.
fn answer(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Char(c) => Action::Type(c),
        KeyCode::Backspace => Action::Erase,
        KeyCode::Enter => Action::Submit,
        KeyCode::Esc => Action::Back,
        _ => return None,
    })
}

/// What the mouse means: the wheel is time, a click selects a host or a moment.
fn mouse(m: MouseEvent, size: ratatui::layout::Size) -> Option<Action> {
    let side = if size.width >= 120 { 34 } else { 24 };
    match m.kind {
        MouseEventKind::ScrollDown => Some(Action::Events(1)),
        MouseEventKind::ScrollUp => Some(Action::Events(-1)),
        MouseEventKind::Down(_) if m.row + 2 == size.height => {
            let width = u64::from(size.width.saturating_sub(3).max(1));
            Some(Action::Permille(u64::from(m.column.saturating_sub(1)) * 1000 / width))
        }
        MouseEventKind::Down(_) if m.column < side && m.row >= 2 => {
            Some(Action::SelectHost(usize::from(m.row - 2)))
        }
        _ => None,
    }
}

fn action(code: KeyCode, mods: KeyModifiers, menu: bool) -> Option<Action> {
    let shift = mods.contains(KeyModifiers::SHIFT);
    Some(match code {
        KeyCode::Char(c) if menu && super::inject::KEYS.contains(c) => {
            Action::Choose(super::inject::KEYS.find(c).unwrap_or_default())
        }
        KeyCode::Right if shift => Action::Millis(1000),
        KeyCode::Left if shift => Action::Millis(-1000),
        KeyCode::Right | KeyCode::Char('.' | 'l') => Action::Events(1),
        KeyCode::Left | KeyCode::Char(',' | 'h') => Action::Events(-1),
        KeyCode::Char('L') => Action::Millis(1000),
        KeyCode::Char('H') => Action::Millis(-1000),
        KeyCode::Char(']') => Action::Mark(true),
        KeyCode::Char('[') => Action::Mark(false),
        KeyCode::Char('v') => Action::Violation(true),
        KeyCode::Char('V') => Action::Violation(false),
        KeyCode::Char('g') | KeyCode::Home => Action::End(false),
        KeyCode::Char('G') | KeyCode::End => Action::End(true),
        KeyCode::Char(' ') => Action::Toggle,
        KeyCode::Char('>') => Action::Speed(true),
        KeyCode::Char('<') => Action::Speed(false),
        KeyCode::Tab | KeyCode::Down | KeyCode::Char('j') => Action::Select(true),
        KeyCode::BackTab | KeyCode::Up | KeyCode::Char('k') => Action::Select(false),
        KeyCode::Char('i') => Action::Inject,
        KeyCode::Char('o') => Action::OtherEnd,
        KeyCode::Char('c') => Action::OfHost(true),
        KeyCode::Char('C') => Action::OfHost(false),
        KeyCode::Char('&') => Action::Only,
        KeyCode::Char('m') => Action::Bookmark,
        KeyCode::Char('\'') => Action::ToBookmark,
        KeyCode::Char('!') => Action::Why,
        KeyCode::Char('F') => Action::Fork,
        KeyCode::Char('B') => Action::NextBranch,
        KeyCode::Char('d') => Action::Diff,
        KeyCode::Char('y') => Action::Repro,
        KeyCode::Char('/') => Action::Ask(Ask::Search),
        KeyCode::Char(':') => Action::Ask(Ask::Goto),
        KeyCode::Char('n') => Action::Found(true),
        KeyCode::Char('N') => Action::Found(false),
        KeyCode::Char('r') if mods.contains(KeyModifiers::CONTROL) => Action::Redo,
        KeyCode::Char('u' | 'z') => Action::Undo,
        KeyCode::Char('Z') => Action::Redo,
        KeyCode::Char('s') => Action::Save,
        KeyCode::Char('p') => Action::Panel,
        KeyCode::Char('e') => Action::Fold,
        KeyCode::Char('?') => Action::Help,
        KeyCode::Esc => Action::Back,
        _ => return None,
    })
}

/// Plays until the user quits.
pub fn play(mut player: Player, look: Look) -> io::Result<()> {
    // `try_init` installs a panic hook that gives the terminal back first.
    let mut terminal = ratatui::try_init()?;
    let panics = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let _ = crossterm::execute!(io::stdout(), DisableMouseCapture);
        panics(info);
    }));
    let result = (|| {
        crossterm::execute!(io::stdout(), EnableMouseCapture)?;
        let mut before = Instant::now();
        loop {
            terminal.draw(|f| draw(f, &player, look))?;
            let wait = if player.playing { Duration::from_millis(33) } else { Duration::from_millis(500) };
            if event::poll(wait)? {
                let wanted = match event::read()? {
                    Event::Key(k) if k.kind == KeyEventKind::Press => {
                        let ctrl_c =
                            k.code == KeyCode::Char('c') && k.modifiers.contains(KeyModifiers::CONTROL);
                        if ctrl_c || (k.code == KeyCode::Char('q') && player.ask.is_none()) {
                            return Ok(());
                        }
                        if player.ask.is_some() {
                            answer(k.code)
                        } else {
                            action(k.code, k.modifiers, player.menu)
                        }
                    }
                    Event::Mouse(m) => mouse(m, terminal.size()?),
                    _ => None,
                };
                if let Some(a) = wanted {
                    player.update(a);
                }
            }
            let now = Instant::now();
            player.tick(u64::try_from((now - before).as_millis()).unwrap_or(0).min(200));
            before = now;
        }
    })();
    let _ = crossterm::execute!(io::stdout(), DisableMouseCapture);
    ratatui::restore();
    result
}

/// Lets the user choose a drill; nothing if the user leaves.
pub fn choose(gallery: &mut Gallery, look: Look) -> io::Result<Option<String>> {
    let mut terminal = ratatui::try_init()?;
    let result = (|| {
        loop {
            terminal.draw(|f| gallery::draw(f, gallery, look))?;
            let Event::Key(k) = event::read()? else { continue };
            if k.kind != KeyEventKind::Press {
                continue;
            }
            let control = k.modifiers.contains(KeyModifiers::CONTROL);
            match k.code {
                KeyCode::Char('c') if control => return Ok(None),
                KeyCode::Esc => return Ok(None),
                KeyCode::Enter => {
                    if let Some(name) = gallery.chosen() {
                        return Ok(Some(name.to_owned()));
                    }
                }
                KeyCode::Down | KeyCode::Tab => gallery.update(Choice::Move(1)),
                KeyCode::Up | KeyCode::BackTab => gallery.update(Choice::Move(-1)),
                KeyCode::PageDown => gallery.update(Choice::Move(10)),
                KeyCode::PageUp => gallery.update(Choice::Move(-10)),
                KeyCode::Home => gallery.update(Choice::Move(i64::MIN / 2)),
                KeyCode::End => gallery.update(Choice::Move(i64::MAX / 2)),
                KeyCode::Backspace => gallery.update(Choice::Erase),
                KeyCode::Char(c) if !control => gallery.update(Choice::Type(c)),
                _ => {}
            }
        }
    })();
    ratatui::restore();
    result
}
