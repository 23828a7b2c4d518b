//! Refusals before anything starts.

use std::fmt;

/// A flag whose value cannot be used: the flag, and what it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A plan that cannot run here: what is missing, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The obstacle.
    pub what: String,
    /// The cure.
    pub cure: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  cure: {}", self.what, self.cure)
    }
}

impl std::error::Error for Refusal {}
