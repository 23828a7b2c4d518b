//! What the numbers of a run are worth: how far they would move in a repetition, whether the run
//! was the same from start to end, and whether a percentile has enough samples to be reported at
//! all.
//!
//! Requests that follow each other are alike (the same queue, the same neighbours, the same burst
//! of another program), so the textbook interval over single requests is far too narrow. Batch
//! means cuts the run into a few long batches instead: each has its own rate, p50 and p99, and over
//! long batches these are nearly independent and nearly normal. Everything here is made from them:
//!
//! ```text
//!   pieces    | | | | | | | | | | | | | | | |     one interval of the collector each
//!               └─┬─┘ └─┬─┘ └─┬─┘ └─┬─┘ ...
//!   batches      b0    b1    b2    b3  ...  bk    20 to 40 of equal length: ok, histogram
//!                 │     │     │     │       │
//!   values       x0    x1    x2    x3  ...  xk    a rate, a p50 or a p99
//!                 └─────┴──┬──┴─────┴───────┘
//!                          ├─ mean, spread        Confidence: the rate is 1,000/s ± 75/s
//!                          └─ order in time       Steadiness: it has fallen by 12% on the way
//! ```
//!
//! Twenty to forty, since little is gained by more than 30, and down to about ten little is lost:
//! Schmeiser, "Batch size effects in the analysis of simulation output", Operations Research 30
//! (1982). The length of a run is not known beforehand, so [`Batches`] doubles the length of its
//! batches whenever it has too many of them.

mod batches;
mod confidence;
mod counts;
mod histogram;
mod numbers;
mod silence;
mod trend;

pub(crate) use batches::Batches;
pub(crate) use confidence::{Confidence, Range};
pub use counts::LatencyCounts;
pub use histogram::latency_histogram;
pub(crate) use histogram::{LATENCY_US_MAX, longest_us, percentile_us};
pub(crate) use numbers::{median, rounded};
pub(crate) use trend::{Steadiness, SteadinessVerdict, Trend};

#[cfg(test)]
mod tests;

/// Samples beyond a percentile that make it worth saying.
pub(crate) const SAMPLES_BEYOND_MIN: u64 = 10;

/// Whether this many samples are enough for a percentile (99.9 for p99.9): ten must lie beyond it.
///
/// A percentile is an order statistic: of `count` samples, `count × (1 - p / 100)` lie beyond
/// it on average, and in an actual run a binomial number of them, whose relative standard error
/// is about `1 / √10`, 30%, when there are ten. With fewer, a handful of single requests decides.
///
/// Percentiles are distinguished to seven decimals; beyond that, and for 100 itself, there are
/// never enough.
pub(crate) fn enough_samples(count: u64, percentile: f64) -> bool {
    const BILLION: u128 = 1_000_000_000;
    // In whole billionths, since 1 - 99.9 / 100 is a little less than a thousandth.
    let beyond_per_billion = ((100.0 - percentile) * 1e7).round() as u128;
    u128::from(count) * beyond_per_billion >= u128::from(SAMPLES_BEYOND_MIN) * BILLION
}
