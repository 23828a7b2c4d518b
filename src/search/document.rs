//! The document of a search: every step, what they come to, and the way back from the file.

use super::{Bounds, Next, SearchPlan, Step, Trial, Verdict, decide, generator_was_limit, knee};
use crate::connection::CloseMode;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The name and version of the document's shape.
pub const SCHEMA: &str = "ringshot.search/1";

/// A server that answers as fast as at a low load, within this factor, is not the limit.
const AS_FAST: f64 = 1.5;

/// What a search has to say.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of ringshot.
    pub version: &'static str,
    /// What was typed, without secrets.
    pub command: Vec<String>,
    /// What every step had in common; a search can be resumed that has the same.
    pub plan: Setup,
    /// Where it searched.
    pub bounds: BoundsSummary,
    /// How long it took, without what it was resumed from.
    pub took_s: f64,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// What was found.
    pub result: Outcome,
    /// Where more load begins to cost more latency than before; null where there is no bend.
    pub knee: Option<Knee>,
    /// Every step, in the order in which they were made.
    pub steps: Vec<Step>,
}

/// What every step has in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setup {
    /// The URL, without a password; null for the bundled server, whose port changes.
    pub url: Option<String>,
    /// The limits, in their canonical form.
    pub slo: Vec<String>,
    /// The request's method.
    pub method: String,
    /// The size of the request's body.
    pub body_bytes: u64,
    /// Concurrent connections over all threads.
    pub connections: u32,
    /// Requests on one connection; null for as many as it carries.
    pub requests_per_connection: Option<u64>,
    /// Requests handed over at once.
    pub pipeline: u32,
    /// Who closes: `server`, `client` or `rst`.
    pub close: &'static str,
    /// `constant` or `poisson`.
    pub arrivals: &'static str,
    /// The limit of new connections per second.
    pub connect_rate: Option<f64>,
    /// How long a step was measured.
    pub step_s: f64,
    /// How long it ran before that.
    pub warmup_s: f64,
}

/// Where a search looks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BoundsSummary {
    /// The rate that it begins with.
    pub first_per_s: f64,
    /// The lowest that it would try.
    pub lowest_per_s: f64,
    /// How near the answer is to the first rate that breaks a limit.
    pub precision_ratio: f64,
    /// How long it might take.
    pub budget_s: f64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether the answer is as precise, and as well confirmed, as was asked for.
    pub complete: bool,
    /// The highest rate that keeps the limits; null when none has.
    pub rate_per_s: Option<f64>,
    /// The lowest rate above it that does not; null when all have kept them.
    pub next_broken_per_s: Option<f64>,
    /// What broke them there; null when nothing has.
    pub limited_by: Option<LimitedBy>,
}

/// What keeps the rate from being higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitedBy {
    /// The server, or what lies on the way to it.
    Server,
    /// ringshot, or its box.
    Generator,
    /// All connections were busy, and the server answered as fast as at a low load.
    Connections,
}

/// Where more load begins to cost more latency than before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Knee {
    /// The rate.
    pub rate_per_s: f64,
    /// The 99th percentile of `total` there.
    pub p99_us: u64,
}

impl Document {
    /// What the steps come to.
    pub fn new(plan: &SearchPlan, steps: &[Step], took: Duration, interrupted: bool) -> Document {
        Document {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            command: plan.step.command.clone(),
            plan: Setup::of(plan),
            bounds: BoundsSummary {
                first_per_s: plan.bounds.first_per_s,
                lowest_per_s: plan.bounds.lowest_per_s,
                precision_ratio: plan.bounds.precision_ratio,
                budget_s: plan.budget.as_secs_f64(),
            },
            took_s: (took.as_secs_f64() * 1e3).round() / 1e3,
            interrupted,
            result: Outcome::of(steps, &plan.bounds),
            knee: bend(steps, &plan.bounds),
            steps: steps.to_vec(),
        }
    }
}

impl Setup {
    fn of(plan: &SearchPlan) -> Setup {
        let step = &plan.step;
        Setup {
            url: step.endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
            slo: step.slos.iter().map(ToString::to_string).collect(),
            method: step.method.clone(),
            body_bytes: step.body.len() as u64,
            connections: step.connections,
            requests_per_connection: step.policy.requests_per_connection,
            pipeline: step.policy.pipeline,
            close: match step.policy.close {
                CloseMode::Server => "server",
                CloseMode::Client => "client",
                CloseMode::Rst => "rst",
            },
            arrivals: step.pacing.arrivals.name(),
            connect_rate: step.pacing.connect_rate_per_s,
            step_s: step.duration.map_or(0.0, |duration| duration.as_secs_f64()),
            warmup_s: step.pacing.warmup.as_secs_f64(),
        }
    }
}

impl Outcome {
    /// What is known after these steps: the answer, or as far as it got.
    pub fn of(steps: &[Step], bounds: &Bounds) -> Outcome {
        let trials: Vec<Trial> = steps.iter().map(Step::trial).collect();
        let (complete, verdict) = match decide::next(&trials, bounds) {
            Next::Done(verdict) => (true, Some(verdict)),
            Next::Try { .. } => (false, so_far(&trials)),
        };
        let (rate_per_s, next_broken_per_s) = match verdict {
            None => (None, None),
            Some(Verdict::Found { rate_per_s, next_broken_per_s }) => {
                (Some(rate_per_s), Some(next_broken_per_s))
            }
            Some(Verdict::NothingPasses { lowest_per_s }) => (None, Some(lowest_per_s)),
            Some(Verdict::NothingBreaks { highest_per_s }) => (Some(highest_per_s), None),
        };
        let limited_by =
            verdict.zip(next_broken_per_s).map(
                |(verdict, broken_per_s)| match generator_was_limit(&trials, &verdict) {
                    true => LimitedBy::Generator,
                    false if connections_were_limit(steps, broken_per_s) => LimitedBy::Connections,
                    false => LimitedBy::Server,
                },
            );
        Outcome { complete, rate_per_s, next_broken_per_s, limited_by }
    }
}

/// What a search that is not done knows: the lowest rate that has broken, and the highest below it
/// that has not.
fn so_far(trials: &[Trial]) -> Option<Verdict> {
    let rates = |pass: bool| {
        trials.iter().filter(move |trial| trial.pass == pass).map(|trial| trial.rate_per_s)
    };
    let broken = rates(false).reduce(f64::min);
    let kept = rates(true).filter(|&rate| broken.is_none_or(|broken| rate < broken));
    match (kept.reduce(f64::max), broken) {
        (Some(rate_per_s), Some(next_broken_per_s)) => {
            Some(Verdict::Found { rate_per_s, next_broken_per_s })
        }
        (Some(highest_per_s), None) => Some(Verdict::NothingBreaks { highest_per_s }),
        (None, Some(lowest_per_s)) => Some(Verdict::NothingPasses { lowest_per_s }),
        (None, None) => None,
    }
}

/// Whether, where the limits were broken, requests waited for connections while the server answered
/// as fast as it does at the lowest rate.
fn connections_were_limit(steps: &[Step], broken_per_s: f64) -> bool {
    let lowest = steps.iter().filter(|step| step.pass && step.service_p50_us > 0);
    let Some(lowest) = lowest.min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s)) else {
        return false;
    };
    let mut broken = steps.iter().filter(|step| step.rate_per_s == broken_per_s && !step.pass);
    let fast_us = lowest.service_p50_us as f64 * AS_FAST;
    broken.all(|step| step.connections_were_busy() && step.service_p50_us as f64 <= fast_us)
}

/// Rates that kept the limits, each with the median of its p99s, by rising rate.
pub(super) fn curve(steps: &[Step], bounds: &Bounds) -> Vec<(f64, u64)> {
    let highest_per_s = Outcome::of(steps, bounds).rate_per_s.unwrap_or(0.0);
    let mut by_rate: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.pass && step.rate_per_s <= highest_per_s) {
        // Positive numbers are ordered like their bits.
        by_rate.entry(step.rate_per_s.to_bits()).or_default().push(step.p99_us);
    }
    let median = |mut p99s: Vec<u64>| {
        p99s.sort_unstable();
        p99s[(p99s.len() - 1) / 2]
    };
    by_rate.into_iter().map(|(rate, p99s)| (f64::from_bits(rate), median(p99s))).collect()
}

fn bend(steps: &[Step], bounds: &Bounds) -> Option<Knee> {
    let curve = curve(steps, bounds);
    let points: Vec<(f64, f64)> =
        curve.iter().map(|&(rate_per_s, p99_us)| (rate_per_s, p99_us as f64)).collect();
    let (rate_per_s, p99_us) = curve[knee(&points)?];
    Some(Knee { rate_per_s, p99_us })
}

/// The steps of an earlier search, from its document.
///
/// # Errors
/// A file that cannot be read, is no document of a search, or of one with another plan: named, with
/// the reason.
pub fn resume(path: &Path, plan: &SearchPlan) -> Result<Vec<Step>, String> {
    let refuse = |reason: String| format!("cannot resume {}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let document: Value = serde_json::from_str(&text)
        .map_err(|error| refuse(format!("it is not a whole JSON document ({error})")))?;
    if document["schema"] != SCHEMA {
        return Err(refuse(format!(
            "its schema is {} and not \"{SCHEMA}\", as of a search by this version",
            document["schema"]
        )));
    }
    let ours = serde_json::to_value(Setup::of(plan)).expect("every key is a string");
    for (key, value) in ours.as_object().into_iter().flatten() {
        let theirs = &document["plan"][key];
        if theirs != value {
            return Err(refuse(format!(
                "it is of another plan ({key}: {theirs} there, {value} here); use the same flags"
            )));
        }
    }
    let steps: Vec<Step> = serde_json::from_value(document["steps"].clone())
        .map_err(|error| refuse(format!("its steps cannot be read ({error})")))?;
    match steps.iter().any(|step| !step.rate_per_s.is_finite() || step.rate_per_s <= 0.0) {
        true => Err(refuse("a step has a rate that is not above 0".into())),
        false => Ok(steps),
    }
}

#[cfg(test)]
pub(super) mod tests;
