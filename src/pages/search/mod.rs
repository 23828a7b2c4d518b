//! What a search says.

mod markdown;
pub mod terminal;

pub use markdown::{markdown, plots};
