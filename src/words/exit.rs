//! The exit codes that `--help` promises.

/// Done.
pub const DONE: u8 = 0;
/// It could not run, or a result is not where it should be.
pub const COULD_NOT: u8 = 1;
/// A flag has a value that cannot be used.
pub const USAGE: u8 = 2;
/// A limit was broken, or would be.
pub const LIMIT_BROKEN: u8 = 3;
/// No request succeeded.
pub const NOTHING_SUCCEEDED: u8 = 4;
