//! ringshot beside the tools that people know: the same load, the same processors, one table.
//!
//! Numbers of two tools that were measured on different days, with other connections, or on a box
//! that had something else to do in between, cannot be compared. So all of them run here, one after
//! the other, in rounds:
//!
//! ```text
//!   round 1   ringshot wrk      hey      ab
//!   round 2   wrk      ab       ringshot hey         everybody comes first, and behind everybody
//!   round 3   ab       hey      wrk      ringshot
//!                │
//!                ├─ trial      one child: pinned, timed, its CPU from wait4, its memory
//!                ├─ tools/     its command line, and what its own output says
//!                └─ judge      does that fit to what the server, or the kernel, has seen?
//!                        │
//!   plan ──► trials ──► document: medians, ratios, sentences ──► page, Markdown, JSON
//! ```
//!
//! What a tool says stands in its row as that tool defines it; what it used is the kernel's count;
//! and where the two do not fit together, the row says so. A ratio is made within a round, because
//! what disturbs a box lasts longer than a run of seconds.
//!
//! The rounds are run by `commands/compare`, which also gives each run a fresh server, or one without
//! leftover ports of the run before.

pub(crate) mod document;
pub(crate) mod judge;
pub(crate) mod order;
pub(crate) mod plan;
mod spread;
pub(crate) mod tools;
pub(crate) mod trial;
mod verdict;

pub(crate) use document::{ComparisonDocument, SCHEMA};
pub use plan::ComparePlan;
