//! A result becomes a page: for a terminal, in Markdown, with plots. Nothing is worked out here, so
//! every number of a page is in its document.
//!
//! ```text
//!   run/           what a run says          terminal, markdown, plots
//!   search/        what a search found      terminal, markdown
//!   comparison/    ringshot and others      terminal, markdown
//!   side_by_side/  several runs             markdown
//!   doctor, tune                            terminal
//!
//!   plots          SVG       markdown       escaped text, tables       beside       files of plots
//! ```

pub(crate) mod beside;
pub mod comparison;
pub(crate) mod doctor;
mod markdown;
mod plots;
pub mod run;
pub mod search;
pub mod side_by_side;
pub(crate) mod tune;

pub use beside::Plot;
