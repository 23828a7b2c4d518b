//! Limits that a run has to keep, so that a pipeline can fail when a server has become slower:
//! `--slo 'p99<5ms' --slo 'errors<0.1%' --slo 'rate>20000'`.
//!
//! ```text
//!   text ──parse──► Limit ──check(Numbers)──► LimitOutcome: measured, bound, pass
//! ```
//!
//! A limit of which nothing was measured is broken: a run without a single answer must not pass
//! because nothing in it was slow. Likewise a request that was dropped, timed out or was left
//! unanswered has no latency, and counts as longer than all that were measured:
//!
//! ```text
//!               dropped  unanswered  timed out: connecting  sending, or without  in the middle
//!                                                           a byte of an answer  of its answer
//!   total          x         x                  x                   x                   x
//!   uncorrected                                 x                   x                   x
//!   connect                                     x
//!   first_byte                                                      x
//!   service                                                         x                   x
//! ```

mod numbers;

use crate::plan::limit::{LatencyName, Limit, Quantity, Relation, Statistic};
use crate::statistics::percentile_us;
use crate::words::quantities::count;
use hdrhistogram::Histogram;
pub(crate) use numbers::{Recorded, numbers};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What rounding may add to the percentile of the longest latency.
const ROUNDING: f64 = 1e-9;

/// The numbers of a run that limits can be about.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// Open to established, in microseconds.
    pub connect: &'a Histogram<u64>,
    /// Request handed over to first byte, in microseconds.
    pub first_byte: &'a Histogram<u64>,
    /// Request handed over to last byte, in microseconds.
    pub service: &'a Histogram<u64>,
    /// The whole request, in microseconds.
    pub total: &'a Histogram<u64>,
    /// The whole request from its actual start, in microseconds; `None` in a closed loop, where
    /// `total` starts there too.
    pub uncorrected: Option<&'a Histogram<u64>>,
    pub ok: u64,
    /// Requests that ended in any other way.
    pub failed: u64,
    /// Requests that were due and never started.
    pub dropped: u64,
    /// Requests that were due and had not ended, of a run that did not keep up with its rate.
    pub unanswered: u64,
    /// Requests that ran out of time; they are among the failed ones.
    pub timed_out: TimedOut,
    /// Requests that ended well, per second, as the report has it; `None` of a run that took no time.
    pub requests_per_s: Option<f64>,
    /// Connections established, likewise.
    pub connections_per_s: Option<f64>,
}

/// Requests that ran out of time, by how far they had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimedOut {
    /// They had no connection yet.
    pub connecting: u64,
    /// They were handed over, and no byte of an answer had come.
    pub waiting: u64,
    /// A part of the answer had come.
    pub answering: u64,
}

impl TimedOut {
    fn handed_over(&self) -> u64 {
        self.waiting.saturating_add(self.answering)
    }
}

/// Requests that have no latency and count as longer than all that were measured; nobody knows by
/// how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// They were due and never started.
    pub dropped: u64,
    /// They ran out of time.
    pub timed_out: u64,
    /// They were due and had not ended, of a run that did not keep up with its rate.
    pub unanswered: u64,
}

impl Missing {
    pub fn count(&self) -> u64 {
        self.dropped.saturating_add(self.timed_out).saturating_add(self.unanswered)
    }

    /// How they came about, as `1,200 dropped, 13 timed out`; `None` when there are none.
    pub fn causes(&self) -> Option<String> {
        let Missing { dropped, timed_out, unanswered } = *self;
        let causes: Vec<String> =
            [(dropped, "dropped"), (timed_out, "timed out"), (unanswered, "not answered")]
                .into_iter()
                .filter(|&(requests, _)| requests > 0)
                .map(|(requests, cause)| format!("{} {cause}", count(requests)))
                .collect();
        (!causes.is_empty()).then(|| causes.join(", "))
    }
}

/// Whether a run kept a limit, and by how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitOutcome {
    /// The limit in its canonical form.
    pub limit: String,
    /// What was measured, in `unit`; `None` when there was nothing to measure, or the value is that
    /// of one of the `missing`.
    pub measured: Option<f64>,
    /// What it is compared with, in `unit`.
    pub bound: f64,
    /// `us`, `ratio` or `per_s`.
    pub unit: Cow<'static, str>,
    /// Whether the limit was kept; never without a measurement.
    pub pass: bool,
    /// What `measured` was made from: latencies recorded, or for `errors` requests that ended.
    /// `None` for rates, and for a latency that the run does not have.
    pub samples: Option<u64>,
    /// What counts as longer than all samples; `None` for what is no latency, and in documents of
    /// versions that did not tell.
    #[serde(default)]
    pub missing: Option<Missing>,
}

impl Limit {
    /// Compares the numbers of a run with this limit.
    pub fn check(&self, numbers: &Numbers<'_>) -> LimitOutcome {
        let (measured, samples) = self.quantity.measure(numbers);
        LimitOutcome {
            limit: self.to_string(),
            measured,
            bound: self.bound,
            unit: self.quantity.unit().into(),
            pass: measured.is_some_and(|measured| self.relation.holds(measured, self.bound)),
            samples,
            missing: self.quantity.missing(numbers),
        }
    }
}

impl Quantity {
    /// The value in this quantity's unit, and the number of samples behind it.
    fn measure(self, numbers: &Numbers<'_>) -> (Option<f64>, Option<u64>) {
        let Numbers { ok, failed, dropped, unanswered, .. } = *numbers;
        // Saturating, since counts of a saved document can be any.
        let lost = failed.saturating_add(dropped).saturating_add(unanswered);
        let ended = ok.saturating_add(lost);
        // Of a run in which nothing ended, 0 errors are no merit and 0 per second no measurement.
        let of_some = |value: Option<f64>| value.filter(|_| ended > 0);
        match self {
            Quantity::Latency(latency, statistic) => {
                let Some(histogram) = latency.of(numbers) else { return (None, None) };
                let missing = latency.missing(numbers).count();
                (statistic.of(histogram, missing), Some(histogram.len()))
            }
            Quantity::Errors => (of_some(Some(lost as f64 / ended as f64)), Some(ended)),
            Quantity::Rate => (of_some(numbers.requests_per_s), None),
            Quantity::Connections => (of_some(numbers.connections_per_s), None),
        }
    }

    /// What a latency of the run does not have.
    fn missing(self, numbers: &Numbers<'_>) -> Option<Missing> {
        match self {
            Quantity::Latency(latency, _) => latency.of(numbers).map(|_| latency.missing(numbers)),
            _ => None,
        }
    }
}

impl LatencyName {
    /// The requests that have begun this latency, as it is defined, and not ended it.
    fn missing(self, numbers: &Numbers<'_>) -> Missing {
        let Numbers { dropped, unanswered, timed_out, .. } = *numbers;
        let handed_over = timed_out.handed_over();
        let timed_out = match self {
            LatencyName::Total | LatencyName::Uncorrected => {
                timed_out.connecting.saturating_add(handed_over)
            }
            LatencyName::Connect => timed_out.connecting,
            LatencyName::FirstByte => timed_out.waiting,
            LatencyName::Service => handed_over,
        };
        match self {
            // It begins when the request is due, whether or not that is ever started.
            LatencyName::Total => Missing { dropped, timed_out, unanswered },
            _ => Missing { timed_out, ..Missing::default() },
        }
    }

    fn of<'a>(self, numbers: &Numbers<'a>) -> Option<&'a Histogram<u64>> {
        match self {
            LatencyName::Total => Some(numbers.total),
            LatencyName::Service => Some(numbers.service),
            LatencyName::Connect => Some(numbers.connect),
            LatencyName::FirstByte => Some(numbers.first_byte),
            LatencyName::Uncorrected => numbers.uncorrected,
        }
    }
}

impl Statistic {
    /// The value in microseconds, as the report has it where nothing is missing; `None` of nothing,
    /// and of one of the `missing` samples, which are longer than all others.
    fn of(self, histogram: &Histogram<u64>, missing: u64) -> Option<f64> {
        if histogram.is_empty() {
            return None;
        }
        match self {
            Statistic::Min => Some(histogram.min() as f64),
            Statistic::Mean | Statistic::Max if missing > 0 => None,
            Statistic::Mean => Some(histogram.mean()),
            Statistic::Max => Some(histogram.max() as f64),
            Statistic::Percentile(percentile) => {
                let measured = histogram.len() as f64;
                let all = (measured + missing as f64) / measured;
                let among_measured = percentile * all;
                (missing == 0 || among_measured <= 100.0 + ROUNDING)
                    .then(|| percentile_us(histogram, among_measured.min(100.0)))
                    .flatten()
                    .map(|us| us as f64)
            }
        }
    }
}

impl Relation {
    fn holds(self, measured: f64, bound: f64) -> bool {
        match self {
            Relation::Below => measured < bound,
            Relation::AtMost => measured <= bound,
            Relation::Above => measured > bound,
            Relation::AtLeast => measured >= bound,
        }
    }
}

#[cfg(test)]
mod tests;
