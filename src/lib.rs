//! ringshot opens short HTTP connections over io_uring, tells the truth about what it measured,
//! and says why when the box itself is the limit.
//!
//! The rooms stand in their order, top to bottom: a room knows only those below it. Public is what
//! the program, the examples, the benches, the tests and the fuzz targets use, and nothing else.

#![deny(unsafe_code)]
#![warn(unreachable_pub)]

pub mod commands;
pub mod pages;

mod compare;
mod search;

mod findings;
pub mod result;

mod observe;
pub mod plan;
mod preflight;
mod tuning;

#[allow(unreachable_pub)]
pub mod engine;

mod statistics;

mod kernel;
pub mod words;

pub use compare::ComparePlan;
pub use kernel::Owner;
pub use kernel::sockets::time_wait;
pub use search::SearchPlan;
pub use tuning::cure;
