//! The numbers that variants are compared by, and what makes a difference a change.

use super::Variant;
use crate::pages::run::terminal::headline;
use crate::result::{Latency, Report};
use crate::statistics::{Confidence, Range, median};
use crate::words::quantities::{percent_change, rate, time_us};

/// A smaller part of the first is no change, however alike the runs were: nobody acts on it, and the
/// buckets of a histogram are up to a fifth as wide.
const CHANGE_RATIO_MIN: f64 = 0.005;

/// What is recorded in whole microseconds moves from one to the next by rounding alone.
const STEP_US: f64 = 1.0;

/// A number of a run that variants are compared by.
pub(super) struct Measure {
    pub(super) name: &'static str,
    /// As it is written.
    text: fn(f64) -> String,
    /// The steps in which it was recorded.
    step: f64,
    of: fn(&Report) -> Option<f64>,
    /// What a single run knows of its own accuracy.
    interval: fn(&Report) -> Option<Range>,
}

/// A percentile of `total`, as far as there are samples for it.
macro_rules! percentile {
    ($name:literal, $field:ident, $percentile:expr, $interval:expr) => {
        Measure {
            name: $name,
            text: time_us,
            step: STEP_US,
            of: |report| supported(&report.latency.total, $percentile, |total| total.$field),
            interval: $interval,
        }
    };
}

pub(super) const MEASURES: [Measure; 13] = [
    Measure {
        name: "requests/s",
        text: rate,
        step: 0.0,
        of: |report| report.rate.requests_per_s,
        interval: |report| Some(trusted(report)?.rate_per_s),
    },
    Measure {
        name: "connections/s",
        text: rate,
        step: 0.0,
        of: |report| report.rate.connections_per_s,
        interval: |_| None,
    },
    Measure {
        name: "failed requests",
        text: share,
        step: 0.0,
        of: failed_ratio,
        interval: |_| None,
    },
    percentile!("total p50", p50_us, 50.0, |report| trusted(report)?.p50_us),
    percentile!("total p75", p75_us, 75.0, |_| None),
    percentile!("total p90", p90_us, 90.0, |_| None),
    percentile!("total p95", p95_us, 95.0, |_| None),
    percentile!("total p99", p99_us, 99.0, |report| trusted(report)?.p99_us),
    percentile!("total p99.9", p99_9_us, 99.9, |_| None),
    percentile!("total p99.99", p99_99_us, 99.99, |_| None),
    Measure {
        name: "total max",
        text: time_us,
        step: STEP_US,
        of: |report| supported(&report.latency.total, 0.0, |total| total.max_us),
        interval: |_| None,
    },
    Measure {
        name: "connect p50",
        text: time_us,
        step: STEP_US,
        of: |report| supported(&report.latency.connect, 50.0, |connect| connect.p50_us),
        interval: |_| None,
    },
    Measure {
        name: "generator CPU per request",
        text: time_us,
        step: 0.0,
        of: |report| report.generator.cpu_us_per_request,
        interval: |_| None,
    },
];

/// What a run knows of its own accuracy; not where it says that its intervals are too narrow.
fn trusted(report: &Report) -> Option<&Confidence> {
    report.confidence.as_ref().filter(|confidence| !confidence.correlated)
}

/// Of the requests that ended: runs need not be of one length. `None` when none did.
fn failed_ratio(report: &Report) -> Option<f64> {
    let [ok, failed] = [report.requests.ok, report.requests.failed].map(|count| count as f64);
    (ok + failed > 0.0).then(|| failed / (ok + failed))
}

fn share(ratio: f64) -> String {
    if ratio == 0.0 { "0%".into() } else { headline::percent(ratio) }
}

/// A percentile that has samples beyond it.
fn supported(
    latency: &Latency,
    percentile: f64,
    value: fn(&Latency) -> Option<u64>,
) -> Option<f64> {
    let enough = latency.percentile_supported.unwrap_or(0.0) >= percentile;
    value(latency).filter(|_| enough).map(|us| us as f64)
}

/// A measure of a variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) median: f64,
    /// Between its runs or, of a single run, what it knows itself.
    pub(super) spread: Option<Range>,
}

impl Measure {
    /// `None` when a run does not have it.
    pub(super) fn value(&self, variant: &Variant) -> Option<Value> {
        let values: Vec<f64> = variant.runs.iter().map(self.of).collect::<Option<_>>()?;
        let spread = match variant.runs.as_slice() {
            [one] => (self.interval)(one),
            _ => Some(Range {
                low: values.iter().copied().fold(f64::INFINITY, f64::min),
                high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            }),
        };
        Some(Value { median: median(values)?, spread })
    }

    /// What became of it; `None` when one of them does not have it.
    pub(super) fn change(&self, from: &Variant, to: &Variant) -> Option<Difference> {
        Some(Difference::between(self.value(from)?, self.value(to)?, self.step))
    }

    /// What it looks like, with its spread.
    pub(super) fn text(&self, value: Option<Value>) -> String {
        let Some(Value { median, spread }) = value else { return "-".into() };
        let ends = spread.map(|range| [range.low, range.high].map(self.text));
        let ends = ends.filter(|[low, high]| low != high);
        let spread = ends.map(|[low, high]| format!(" ({low} to {high})"));
        (self.text)(median) + &spread.unwrap_or_default()
    }
}

/// What became of a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Difference {
    /// It differs by more than runs of the same thing do; by which part of the first.
    Changed(f64),
    /// It does not.
    Within(f64),
    /// Nobody knows how much runs of the same thing differ.
    Unjudged(f64),
}

impl Difference {
    /// Of a measure that is recorded in such steps.
    pub(super) fn between(one: Value, other: Value, step: f64) -> Difference {
        let difference = other.median - one.median;
        // From nothing to something is not a part of anything, but it is a change.
        let part = match (one.median, difference) {
            (_, 0.0) => 0.0,
            (0.0, more) => more.signum() * f64::INFINITY,
            (median, difference) => difference / median,
        };
        let Some((a, b)) = one.spread.zip(other.spread) else { return Difference::Unjudged(part) };
        let least = step.max(one.median.abs() * CHANGE_RATIO_MIN);
        match difference.abs() > (a.high - a.low).max(b.high - b.low).max(least) {
            true => Difference::Changed(part),
            false => Difference::Within(part),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Difference::Changed(part) => format!("**{}**", percent_change(part)),
            Difference::Within(part) => format!("{}, within the spread", percent_change(part)),
            Difference::Unjudged(part) => percent_change(part),
        }
    }
}
