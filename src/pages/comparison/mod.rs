//! What a comparison with other tools says.

mod markdown;
pub mod terminal;

pub use markdown::{markdown, plots};
