//! What a user types, and what becomes of it: a file or a folder for each command.
//!
//! ```text
//!   flags ──► plan ──► [ run | search | compare | report | doctor | tune | man ] ──► emit
//!                        └ experiment: a plan on this machine      documents first, then the page
//! ```
//!
//! Only this room catches signals and chooses exit codes.

pub mod compare;
pub mod doctor;
mod emit;
pub mod man;
pub mod report;
pub mod run;
pub mod search;
mod signals;
pub mod tune;
