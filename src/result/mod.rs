//! What a run says, as the document that it is kept in. A document is the one source of every page,
//! and stays readable: a key is never renamed, only added. Units come last in a name.
//!
//! ```text
//!   document     Report: all that a run says         host, addresses, latency, finding, slo: its parts
//!   earlier      what older documents mean           merge: several boxes' as one
//!   diagnosis    what the doctor says
//!
//!   json, csv, hdr, hgrm: how it is written
//! ```

mod addresses;
pub mod csv;
pub(crate) mod diagnosis;
mod document;
mod earlier;
mod finding;
pub mod hdr;
pub mod hgrm;
mod host;
pub mod json;
mod latency;
pub mod merge;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod slo;

pub use crate::engine::run::second::{HostSecond, Second, ServerSecond};
pub use crate::observe::Watch;
pub use addresses::{TargetAddress, addresses, addresses_used};
pub use document::*;
pub(crate) use earlier::forget_zeros;
pub use finding::{Finding, Severity};
pub use latency::{Latency, LatencySet};
