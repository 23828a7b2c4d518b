//! The highest rate that a server sustains: the question behind most load tests, and one that a
//! single run does not answer.
//!
//! `ringshot search URL --slo 'p99<5ms'` paces requests (open loop) at one rate after the other,
//! and each of these steps keeps the limits or breaks them.
//!
//! ```text
//!            ┌──────────────── a step is run ◄────────────────┐
//!            ▼                                                │
//!   table of trials ──► decide: the lowest rate that breaks, ─┴─► the answer ──► curve ──► knee
//!                       the highest below it that keeps
//! ```
//!
//! What is tried next follows from the table of the trials alone, in whatever order they were made.
//! So a search that was interrupted goes on from its file as if nothing had happened, and all of it
//! is tested against servers that are functions. The steps are run by `commands/search`.

mod decide;
pub(crate) mod document;
mod knee;
mod plan;
mod step;

pub(crate) use decide::{
    Bounds, Decision, Purpose, SearchVerdict, Trial, curve, generator_was_limit, next,
};
pub(crate) use document::{SCHEMA, SearchDocument, SearchState, StepGenerator};
pub(crate) use knee::knee;
pub use plan::SearchPlan;
pub(crate) use step::SearchStep;
