//! What was known of an address when the run began.

use crate::engine::failure::Kind;
use std::time::Duration;

/// What an address came to before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked, or another one was faster.
    Unasked,
    /// It accepts.
    Accepts,
    /// It gave no answer in this time.
    Silent(Duration),
    /// The kernel's errno: it refuses, or there is no way to it.
    Fails(i32),
}

impl Answer {
    /// The word of the document; `None` where there was no answer to wait for.
    pub fn word(self) -> Option<String> {
        match self {
            Answer::Unasked => None,
            Answer::Accepts => Some("accepts".into()),
            Answer::Silent(_) => Some(Kind::Timeout.to_string()),
            Answer::Fails(errno) => Some(Kind::Errno(errno).to_string()),
        }
    }

    /// Whether it did not accept.
    pub fn is_no(self) -> bool {
        matches!(self, Answer::Silent(_) | Answer::Fails(_))
    }
}
