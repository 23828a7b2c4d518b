//! One run at one rate, and whether the rate was kept.

use super::{Purpose, Trial};
use crate::result::slo::LimitOutcome;
use crate::result::{Finding, Report, forget_zeros};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Findings that say that ringshot or its box, and not the server, was the limit.
const OF_THE_GENERATOR: [&str; 9] = [
    "generator_throttled",
    "generator_starved",
    "generator_saturated",
    "schedule_slip",
    "completion_queue_overflow",
    "descriptors_exhausted",
    "ports_exhausted",
    "port_search_slow",
    "source_address_gone",
];

/// The longest pause after a step that broke the limits.
const AFTERMATH_S_MAX: f64 = 3.0;

/// One run at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchStep {
    /// The rate at which requests were due.
    pub rate_per_s: f64,
    /// What the step was for.
    pub purpose: Purpose,
    /// Whether all limits were kept, and the server kept up with the rate.
    pub pass: bool,
    /// The limits, and what was measured.
    pub limits: Vec<LimitOutcome>,
    /// Whether requests were answered as fast as they came due.
    pub kept_up: bool,
    /// Whether ringshot or its box was the limit.
    pub generator_limited: bool,
    /// Requests per second that ended well.
    pub answered_per_s: f64,
    /// Requests that came due.
    pub due: u64,
    /// Those that ended well.
    pub ok: u64,
    /// Those that ended in any other way.
    pub failed: u64,
    /// Those that were never started.
    pub dropped: u64,
    /// Those that waited for a free connection.
    pub waited: u64,
    /// Those that were due and not answered when the step ended.
    pub unanswered: u64,
    /// The median of `total`; null, as all latencies, when there was no answer.
    pub p50_us: Option<u64>,
    /// The 90th percentile of `total`.
    pub p90_us: Option<u64>,
    /// The 99th percentile of `total`.
    pub p99_us: Option<u64>,
    /// The longest `total`.
    pub max_us: Option<u64>,
    /// The median of `uncorrected`.
    pub uncorrected_p50_us: Option<u64>,
    /// How late ringshot began one request in a hundred, or more of them; null when it began none.
    pub slip_p99_us: Option<u64>,
    /// CPU time over wall time of the busiest worker thread.
    pub busy_ratio: f64,
    /// Time for which a worker thread could have run and had no CPU, over wall time, of the one that
    /// waited the longest; null where the kernel does not tell.
    #[serde(default)]
    pub cpu_wait_ratio: Option<f64>,
    /// The ids of the findings.
    pub findings: Vec<String>,
}

impl SearchStep {
    pub fn of(rate_per_s: f64, purpose: Purpose, report: &Report) -> SearchStep {
        let schedule = report.schedule.as_ref();
        let kept_up = schedule.is_some_and(|schedule| schedule.kept_up);
        let is_generators = |finding: &Finding| OF_THE_GENERATOR.contains(&finding.id.as_ref());
        let (total, uncorrected) = (&report.latency.total, report.latency.uncorrected.as_ref());
        SearchStep {
            rate_per_s,
            purpose,
            pass: kept_up && report.requests.ok > 0 && report.slo.iter().all(|limit| limit.pass),
            limits: report.slo.clone(),
            kept_up,
            generator_limited: report.kernel.findings.iter().any(is_generators),
            // It took time, or nothing was answered in it.
            answered_per_s: report.rate.requests_per_s.unwrap_or(0.0),
            due: schedule.map_or(0, |schedule| schedule.due),
            ok: report.requests.ok,
            failed: report.requests.failed,
            dropped: schedule.map_or(0, |schedule| schedule.dropped),
            waited: schedule.map_or(0, |schedule| schedule.waited + schedule.waiting),
            unanswered: schedule.map_or(0, |schedule| schedule.unanswered_after),
            p50_us: total.p50_us,
            p90_us: total.p90_us,
            p99_us: total.p99_us,
            max_us: total.max_us,
            uncorrected_p50_us: uncorrected.and_then(|latency| latency.p50_us),
            slip_p99_us: schedule.and_then(|schedule| schedule.slip.p99_us),
            busy_ratio: report.generator.busy_ratio,
            cpu_wait_ratio: report.generator.cpu_wait_ratio,
            findings: report.kernel.findings.iter().map(|found| found.id.to_string()).collect(),
        }
    }

    /// Forgets the zeros that earlier versions had where nothing was measured.
    pub fn bring_up_to_date(&mut self) {
        let SearchStep { p50_us, p90_us, p99_us, max_us, uncorrected_p50_us, .. } = self;
        forget_zeros([p50_us, p90_us, p99_us, uncorrected_p50_us, max_us]);
        if self.due.saturating_sub(self.dropped) == 0 {
            self.slip_p99_us = None;
        }
    }

    /// As far as the decision about the next step goes.
    pub fn trial(&self) -> Trial {
        Trial {
            rate_per_s: self.rate_per_s,
            pass: self.pass,
            generator_limited: self.generator_limited,
        }
    }

    /// How long the server may need for what it was left with, at the pace that it had.
    pub fn aftermath(&self) -> Duration {
        let seconds = self.unanswered as f64 / self.answered_per_s.max(1.0);
        Duration::from_secs_f64(if self.pass { 0.0 } else { seconds.min(AFTERMATH_S_MAX) })
    }

    /// Whether most requests waited for a connection.
    pub fn connections_were_busy(&self) -> bool {
        self.waited * 2 > self.due
    }
}
