//! The command: parse, dispatch, print the error, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    firedrill::cli::main()
}
