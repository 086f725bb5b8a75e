//! Commands other than serving.

pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod replay;
pub(crate) mod token;

use std::io::Write as _;

/// Prints a line of data to standard output; an error when nobody reads it any more.
pub(crate) fn print(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// Prints a line for the person at the terminal to standard error.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
