//! Latencies of a short time, counted: in the buckets of [`latency_histogram`], but knowing which of
//! them are in use.
//!
//! ```text
//!   counts   0 0 0 0 3 9 5 2 0 1 0 0 0 ................ 0      23,552 of them, 188 kB
//!                    └── used ──┘                              what adding and emptying touches
//! ```
//!
//! Several times a second each worker hands out such counts, adds them to its own and takes empty
//! ones. To go through all buckets for that would cost little time but most of a CPU's cache.

use super::histogram::{LATENCY_US_MAX, latency_histogram};
use hdrhistogram::Histogram;
use std::ops::Range;

/// Buckets of the same width: a number of up to this many bits is known to the microsecond, and of
/// a longer one the upper bits.
const EXACT_BITS: u32 = 11;

/// Buckets that each further bit adds: half as many as before, as the other half are shorter numbers.
const HALF: usize = 1 << (EXACT_BITS - 1);

/// How often each latency was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyCounts {
    counts: Box<[u64]>,
    /// All others are 0.
    used: Range<usize>,
}

impl Default for LatencyCounts {
    fn default() -> LatencyCounts {
        LatencyCounts { counts: vec![0; index(LATENCY_US_MAX) + 1].into(), used: EMPTY }
    }
}

/// The range that is part of every other.
#[allow(clippy::reversed_empty_ranges)]
const EMPTY: Range<usize> = usize::MAX..0;

impl LatencyCounts {
    /// Counts a latency so often; one of more than an hour as an hour.
    #[inline]
    pub fn record(&mut self, us: u64, times: u64) {
        let at = index(us.min(LATENCY_US_MAX));
        self.counts[at] += times;
        self.used = self.used.start.min(at)..self.used.end.max(at + 1);
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &LatencyCounts) {
        let used = other.used.clone();
        if used.is_empty() {
            return;
        }
        let sums = self.counts[used.clone()].iter_mut();
        for (sum, more) in sums.zip(&other.counts[used.clone()]) {
            *sum += more;
        }
        self.used = self.used.start.min(used.start)..self.used.end.max(used.end);
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        if !self.is_empty() {
            self.counts[self.used.clone()].fill(0);
        }
        self.used = EMPTY;
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// How many latencies were counted.
    pub fn len(&self) -> u64 {
        self.seen().map(|(_, times)| times).sum()
    }

    /// Adds the counts to a histogram of the shape that all latencies have.
    pub fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (us, times) in self.seen() {
            histogram.saturating_record_n(us, times);
        }
    }

    /// The same as a histogram.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram = latency_histogram();
        self.add_to(&mut histogram);
        histogram
    }

    /// The latencies that were seen, shortest first, and how often.
    fn seen(&self) -> impl Iterator<Item = (u64, u64)> {
        let used = if self.is_empty() { 0..0 } else { self.used.clone() };
        let counts = self.counts[used.clone()].iter().copied();
        used.zip(counts).filter(|(_, times)| *times > 0).map(|(at, times)| (value(at), times))
    }
}

/// The bucket of a latency.
#[inline]
fn index(us: u64) -> usize {
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(EXACT_BITS);
    shift as usize * HALF + (us >> shift) as usize
}

/// The shortest latency of a bucket.
fn value(index: usize) -> u64 {
    let shift = (index / HALF).saturating_sub(1);
    ((index - shift * HALF) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn latency() -> impl Strategy<Value = u64> {
        // Of every magnitude, and around the powers of two.
        prop_oneof![
            (0u32..32, 0u64..1 << 32).prop_map(|(bits, us)| us >> bits),
            (0u32..33, 0u64..3).prop_map(|(bits, more)| ((1u64 << bits) + more).saturating_sub(1)),
            Just(LATENCY_US_MAX),
        ]
    }

    fn counted(latencies: &[(u64, u64)]) -> LatencyCounts {
        let mut counts = LatencyCounts::default();
        latencies.iter().for_each(|&(us, times)| counts.record(us, times));
        counts
    }

    proptest! {
        /// As if they had been recorded in a histogram, one by one, and after any reuse.
        #[test]
        fn the_buckets_are_those_of_a_histogram(
            first in prop::collection::vec((latency(), 1u64..1000), 0..40),
            then in prop::collection::vec((latency(), 1u64..1000), 0..40),
        ) {
            let mut expected = latency_histogram();
            let first_alone = counted(&first);
            let mut sum = counted(&then);
            for &(us, times) in first.iter().chain(&then) {
                expected.record_n(us.min(LATENCY_US_MAX), times).unwrap();
            }
            sum.add(&first_alone);
            prop_assert_eq!(sum.len(), expected.len());
            prop_assert_eq!(sum.histogram(), expected);

            sum.reset();
            prop_assert!(sum.is_empty() && sum == LatencyCounts::default());
            sum.add(&first_alone);
            prop_assert_eq!(sum, first_alone);
        }
    }

    #[test]
    fn a_bucket_has_its_shortest_latency() {
        for at in 0..LatencyCounts::default().counts.len() {
            assert_eq!(index(value(at)), at);
            assert!(at == 0 || index(value(at) - 1) == at - 1);
        }
    }
}
