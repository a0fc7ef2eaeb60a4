//! `firedrill play`: the player on a terminal, the story elsewhere.

use super::{BAD_INPUT, OK, Which, colour};
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
    /// Plain ASCII, no box drawing
    #[arg(long)]
    ascii: bool,
}

/// Plays.
pub(super) fn run(a: &PlayArgs) -> ExitCode {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return super::run::text(&a.which);
    }
    let l = match a.which.load() {
        Ok(l) => l,
        Err(code) => return code,
    };
    let seed = a.which.seed.unwrap_or(l.drill.seed);
    let look = Look { colour: colour(&std::io::stdout()), ascii: a.ascii };
    match crate::tui::app::play(Player::new(l, seed), look) {
        Ok(()) => ExitCode::from(OK),
        Err(e) => {
            eprintln!("error: the terminal cannot be used: {e}\nhelp: `firedrill run` prints the story");
            ExitCode::from(BAD_INPUT)
        }
    }
}
