//! What a search says.

mod markdown;
pub(crate) mod terminal;

pub use markdown::{markdown, plots};
