//! The histograms that all latencies are recorded in, and what is read from them.

use hdrhistogram::Histogram;

/// Latencies are recorded in microseconds up to one hour; a longer one counts as an hour.
pub(crate) const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Three significant digits: a bucket is at most 0.1% wide.
const SIGNIFICANT_DIGITS: u8 = 3;

/// An empty histogram of the shape that all latencies have.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants and valid")
}

/// A percentile of a histogram; `None` when it is empty.
pub(crate) fn percentile_us(histogram: &Histogram<u64>, percentile: f64) -> Option<u64> {
    // The end of a bucket may lie beyond the longest value that was seen.
    longest_us(histogram).map(|longest| histogram.value_at_percentile(percentile).min(longest))
}

/// The longest latency of a histogram; `None` when it is empty.
pub(crate) fn longest_us(histogram: &Histogram<u64>) -> Option<u64> {
    (!histogram.is_empty()).then(|| histogram.max())
}
