//! What each fuzz target does with its bytes, apart from the engine that finds them: the programs in
//! `fuzz_targets/` hand them over, and `tests/fuzz_seeds.rs` of the workspace replays the seeds through
//! the same functions in a plain `cargo test`.
//!
//! A function returns when all is well, and panics when a promise of ringshot is broken.

pub mod command_line;
pub mod documents;
pub mod fast_path;
pub mod framing;
pub mod machine;
pub mod talk;
mod transcript;

/// A target: what its bytes are given to.
pub type Target = fn(&[u8]);

/// All targets, by their names.
pub const TARGETS: [(&str, Target); 6] = [
    ("framing", framing::run),
    ("fast_path", fast_path::run),
    ("machine", machine::run),
    ("talk", talk::run),
    ("command_line", command_line::run),
    ("documents", documents::run),
];
