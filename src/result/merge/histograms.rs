//! The latencies of all results, bucket by bucket: the percentiles are those of one histogram.

use crate::result::{Latency, LatencySet, Report, hdr};
use hdrhistogram::Histogram;

/// Which result, and what is wrong with it.
pub(super) type Unusable = (usize, String);

/// The latencies of all results together.
pub(super) struct Histograms {
    pub(super) connect: Histogram<u64>,
    pub(super) first_byte: Histogram<u64>,
    pub(super) service: Histogram<u64>,
    pub(super) total: Histogram<u64>,
    pub(super) uncorrected: Option<Histogram<u64>>,
    pub(super) slip: Option<Histogram<u64>>,
}

impl Histograms {
    pub(super) fn of(reports: &[&Report]) -> Result<Histograms, Unusable> {
        let all = |name, of: fn(&Report) -> Option<&Latency>| together(reports, name, of);
        let some = |merged: Option<Histogram<u64>>| merged.ok_or((0, "has no latencies".into()));
        Ok(Histograms {
            connect: some(all("connect", |report| Some(&report.latency.connect))?)?,
            first_byte: some(all("first_byte", |report| Some(&report.latency.first_byte))?)?,
            service: some(all("service", |report| Some(&report.latency.service))?)?,
            total: some(all("total", |report| Some(&report.latency.total))?)?,
            uncorrected: all("uncorrected", |report| report.latency.uncorrected.as_ref())?,
            slip: all("slip", |report| report.schedule.as_ref().map(|kept| &kept.slip))?,
        })
    }

    pub(super) fn latencies(&self) -> LatencySet {
        LatencySet {
            connect: Latency::of(&self.connect),
            first_byte: Latency::of(&self.first_byte),
            service: Latency::of(&self.service),
            total: Latency::of(&self.total),
            uncorrected: self.uncorrected.as_ref().map(Latency::of),
        }
    }
}

/// One latency of all results; `None` where the first has none.
fn together(
    reports: &[&Report],
    name: &str,
    of: fn(&Report) -> Option<&Latency>,
) -> Result<Option<Histogram<u64>>, Unusable> {
    let mut merged: Option<Histogram<u64>> = None;
    for (at, report) in reports.iter().enumerate() {
        let Some(latency) = of(report) else { continue };
        let wrong = |why: &str| (at, format!("its histogram of {name}: {why}"));
        let histogram = hdr::decode(&latency.hdr).map_err(|why| wrong(&why))?;
        if histogram.len() != latency.count {
            return Err(wrong("it has not as many samples as its count says"));
        }
        merged = Some(match merged {
            None => histogram,
            // With other buckets the sum would be an estimate.
            Some(sum) if (sum.low(), sum.sigfig()) != (histogram.low(), histogram.sigfig()) => {
                return Err(wrong("it is of another precision than the first"));
            }
            Some(mut sum) => {
                sum.auto(true);
                sum.add(&histogram).map_err(|error| wrong(&error.to_string()))?;
                sum
            }
        });
    }
    Ok(merged)
}
