//! What was known of an address when the run began.

use crate::engine::failure::Kind;
use std::time::Duration;

/// What an address came to before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressAnswer {
    /// It was not asked, or another one was faster.
    Unasked,
    /// It accepts.
    Accepts,
    /// It gave no answer in this time.
    Silent(Duration),
    /// The kernel's errno: it refuses, or there is no way to it.
    Fails(i32),
}

impl AddressAnswer {
    /// The word of the document; `None` where there was no answer to wait for.
    pub fn word(self) -> Option<String> {
        match self {
            AddressAnswer::Unasked => None,
            AddressAnswer::Accepts => Some("accepts".into()),
            AddressAnswer::Silent(_) => Some(Kind::Timeout.to_string()),
            AddressAnswer::Fails(errno) => Some(Kind::Errno(errno).to_string()),
        }
    }

    /// Whether it did not accept.
    pub fn is_no(self) -> bool {
        matches!(self, AddressAnswer::Silent(_) | AddressAnswer::Fails(_))
    }
}
