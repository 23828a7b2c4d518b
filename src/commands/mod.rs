//! The commands that a user types: a file or a folder for each.
//!
//! ```text
//!   flags ──► plan ──► [ run | search | compare | report | doctor | tune | man ] ──► emit
//!                        └ experiment: a plan on this machine      documents first, then the page
//! ```
//!
//! Only this module catches signals and chooses exit codes.

pub mod compare;
pub mod doctor;
mod emit;
pub mod man;
pub mod report;
pub mod run;
pub mod search;
mod signals;
pub mod tune;
