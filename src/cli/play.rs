//! `firedrill play`: the player on a terminal, the story elsewhere.

use super::{BAD_INPUT, OK, Which, colour};
use crate::scenario::embedded;
use crate::tui::gallery::Gallery;
use crate::tui::model::Player;
use crate::tui::view::Look;
use clap::Args;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Arguments of `play`.
#[derive(Args)]
pub(super) struct PlayArgs {
    #[command(flatten)]
    which: Which,
}

/// Plays.
pub(super) fn run(a: &PlayArgs, ascii: bool) -> ExitCode {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return super::run::text(&a.which);
    }
    let l = match a.which.load() {
        Ok(l) => l,
        Err(code) => return code,
    };
    let seed = a.which.seed.unwrap_or(l.drill.seed);
    let look = Look { colour: colour(&std::io::stdout()), ascii };
    match crate::tui::app::play(Player::new(l, seed), look) {
        Ok(()) => ExitCode::from(OK),
        Err(e) => {
            eprintln!("error: the terminal cannot be used: {e}\nhelp: `firedrill run` prints the story");
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// The gallery on a terminal, the list elsewhere. After a drill the gallery comes back.
pub(super) fn gallery(ascii: bool) -> ExitCode {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return super::list::list();
    }
    let mut names = embedded::drills();
    // Drills to learn from first, then the ones that repeat a measurement.
    names.sort_by_key(|n| (n.starts_with("validation/"), n.clone()));
    let about =
        |n: &String| crate::lang::about(n, &super::list::about(embedded::drill(n).unwrap_or_default()));
    let mut gallery = Gallery::new(names.iter().map(|n| (n.clone(), about(n))).collect());
    let look = Look { colour: colour(&std::io::stdout()), ascii };
    loop {
        let drill = match crate::tui::app::choose(&mut gallery, look) {
            Ok(Some(drill)) => drill,
            Ok(None) => return ExitCode::from(OK),
            Err(e) => {
                eprintln!(
                    "error: the terminal cannot be used: {e}\nhelp: `firedrill list` prints the drills"
                );
                return ExitCode::from(BAD_INPUT);
            }
        };
        let which = Which { drill, seed: None, stack: None, set: Vec::new(), strict: false };
        let code = run(&PlayArgs { which }, ascii);
        if code != ExitCode::from(OK) {
            return code;
        }
    }
}
