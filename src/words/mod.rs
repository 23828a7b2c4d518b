//! The base of all modules: how numbers, text, files and refusals are written. Nothing here knows
//! about runs.
//!
//! ```text
//!   quantities   1234 µs          ──► 1.23 ms
//!   text         \x1b[2J          ──► \x1b[2J, shown and not acted on; lines of a width
//!   style        what a terminal can show: colour, columns
//!   file         a new file, then its name: never half a result
//!   say          a line on standard error
//!   exit         the exit codes
//!   refusal      what is wrong with a flag, or in the way of a plan, and the cure
//! ```

pub mod exit;
pub mod file;
pub mod quantities;
mod refusal;
pub mod say;
pub mod style;
pub mod text;

pub use refusal::{Refusal, UsageError};
use std::borrow::Cow;

/// A word of a small vocabulary: a constant in a run, read from a saved document.
pub type Word = Cow<'static, str>;
