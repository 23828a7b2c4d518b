//! Words for people, on a standard error that may be closed, full, or a terminal that has gone.
//!
//! `eprintln!` panics when its text cannot be written, and a panic ends a release build before the
//! results of its run are on the disk. A lint (`Cargo.toml`) refuses it. Every message while
//! ringshot works goes through this module; pages do not.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a message to standard error, after the program's name.
pub fn line(text: impl Display) {
    plain(format_args!("ringshot: {text}"));
}

/// Writes a message to standard error as it is, and ends the line.
pub fn plain(text: impl Display) {
    // In one piece, so that it does not mix with what others write there.
    let line = format!("{text}\n");
    // A failure has no other place where it could be reported.
    let _ = io::stderr().write_all(line.as_bytes());
}
