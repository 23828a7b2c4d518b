//! The latencies of a run.

use super::hdr;
use crate::statistics::{enough_samples, longest_us, percentile_us, rounded};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The latencies, each with its own histogram.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatencySet {
    /// Open to established.
    pub connect: Latency,
    /// Request handed to the kernel to first response byte.
    pub first_byte: Latency,
    /// Request handed to the kernel to last response byte.
    pub service: Latency,
    /// Opening the connection to last response byte; on a reused connection as `service`. In an open
    /// loop: when the request was due to last response byte.
    pub total: Latency,
    /// In an open loop, what `total` would be in a closed one: from when the request actually
    /// began.
    pub uncorrected: Option<Latency>,
}

/// One latency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The shortest; null when there is none, as are all the others.
    pub min_us: Option<u64>,
    /// The mean.
    pub mean_us: Option<f64>,
    /// The standard deviation.
    pub stdev_us: Option<f64>,
    /// The median.
    pub p50_us: Option<u64>,
    /// 75% are not longer.
    pub p75_us: Option<u64>,
    /// 90% are not longer.
    pub p90_us: Option<u64>,
    /// 95% are not longer.
    pub p95_us: Option<u64>,
    /// 99% are not longer.
    pub p99_us: Option<u64>,
    /// 99.9% are not longer.
    pub p99_9_us: Option<u64>,
    /// 99.99% are not longer.
    pub p99_99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
    /// The highest of these percentiles with at least ten samples beyond it; null when there is
    /// none. A higher one says little more than the maximum does.
    pub percentile_supported: Option<f64>,
    /// The whole histogram in microseconds: HdrHistogram V2, deflated, base64.
    pub hdr: String,
}

impl Latency {
    /// Reads a histogram in microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |percentile| percentile_us(histogram, percentile);
        let some = !histogram.is_empty();
        Latency {
            count: histogram.len(),
            min_us: some.then(|| histogram.min()),
            mean_us: some.then(|| rounded(histogram.mean(), 3)),
            stdev_us: some.then(|| rounded(histogram.stdev(), 3)),
            p50_us: at(50.0),
            p75_us: at(75.0),
            p90_us: at(90.0),
            p95_us: at(95.0),
            p99_us: at(99.0),
            p99_9_us: at(99.9),
            p99_99_us: at(99.99),
            max_us: longest_us(histogram),
            percentile_supported: [99.99, 99.9, 99.0, 95.0, 90.0, 75.0, 50.0]
                .into_iter()
                .find(|&percentile| enough_samples(histogram.len(), percentile)),
            hdr: hdr::encode(histogram),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::latency_histogram;

    #[test]
    fn an_empty_histogram_has_no_numbers() {
        let hdr = hdr::encode(&latency_histogram());
        let expected = Latency { hdr, ..Latency::default() };
        assert_eq!(Latency::of(&latency_histogram()), expected);
        let document = serde_json::to_value(expected).unwrap();
        let numbers = document.as_object().unwrap().iter().filter(|(_, value)| value.is_number());
        assert_eq!(numbers.map(|(key, _)| key).collect::<Vec<_>>(), ["count"]);
    }

    #[test]
    fn the_whole_histogram_travels_in_the_document() {
        let mut histogram = latency_histogram();
        for us in [1, 50, 50, 900, 3_000_000] {
            histogram.record(us).unwrap();
        }
        let latency = Latency::of(&histogram);
        assert_eq!(hdr::decode(&latency.hdr).unwrap(), histogram);
        assert_eq!((latency.min_us, latency.p50_us), (Some(1), Some(50)));
    }
}
