//! The command: parse, dispatch, print the error, exit code.

use std::process::ExitCode;

/// A run asks for little memory and often; two threads that play runs should not meet over it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    firedrill::cli::main()
}
