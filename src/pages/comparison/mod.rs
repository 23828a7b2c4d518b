//! What a comparison with other tools says.

mod markdown;
pub(crate) mod terminal;

pub use markdown::{markdown, plots};
