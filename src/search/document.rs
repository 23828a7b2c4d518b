//! The document of a search: every step, what they come to, and the way back from the file.

use super::{Bounds, Decision, SearchPlan, SearchStep, Trial, decide, generator_was_limit, knee};
use crate::plan::Description;
use crate::plan::describe::{difference, part};
use crate::result::{Error, Host, Report};
use crate::statistics::enough_samples;
use crate::words::Word;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The name and version of the document's shape.
pub(crate) const SCHEMA: &str = "ringshot.search/1";

/// A server that answers as fast as at a low load, within this factor, is not the limit.
const AS_FAST: f64 = 1.5;

/// What a search has to say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SearchDocument {
    /// The name and version of the document's shape.
    pub schema: Word,
    /// The version of ringshot.
    pub version: Word,
    /// What was typed, without secrets.
    pub command: Vec<String>,
    /// What every step had in common; a search can be resumed that has the same.
    pub plan: SearchSetup,
    /// Where it searched.
    pub bounds: BoundsSummary,
    /// When it began, or went on: this box's clock, UTC.
    #[serde(default)]
    pub begun_at: String,
    /// The box, once a step has been made.
    #[serde(default)]
    pub host: Option<Host>,
    /// What the steps were made with, once there is one; after a resumption, the later ones.
    #[serde(default)]
    pub generator: Option<StepGenerator>,
    /// How many of the steps came from an earlier search.
    #[serde(default)]
    pub resumed_steps: usize,
    /// How long it took, without what it was resumed from.
    pub took_s: f64,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// What was found.
    pub result: SearchResult,
    /// Where more load begins to cost more latency than before; null where there is no bend.
    pub knee: Option<Knee>,
    /// What failed, of the last step of a search in which nothing succeeded.
    #[serde(default)]
    pub errors: Vec<Error>,
    /// Every step, in the order in which they were made.
    pub steps: Vec<SearchStep>,
}

/// What the steps were made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepGenerator {
    /// The address that accepted, `ip:port`, or `unix:` and the path of a unix socket.
    pub address: String,
    /// The driver's name.
    pub engine: Word,
    /// The set of ring features in use; null without a ring.
    pub ring_tier: Option<Word>,
    /// Worker threads.
    pub threads: u32,
    /// The CPU of each thread; empty when they were not pinned.
    pub cpus: Vec<usize>,
}

impl StepGenerator {
    /// What a step was made with.
    pub fn of(report: &Report) -> StepGenerator {
        StepGenerator {
            address: report.target.address.clone(),
            engine: report.engine.clone(),
            ring_tier: report.ring_tier.clone(),
            threads: report.plan.threads,
            cpus: report.plan.cpus.clone(),
        }
    }
}

/// What every step has in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchSetup {
    /// The URL, without a password; null for the bundled server, whose port changes.
    pub url: Option<String>,
    /// The limits, in their canonical form.
    pub slo: Vec<String>,
    /// Worker threads, where they were given.
    pub threads: Option<u32>,
    /// How long a step was measured.
    pub step_s: f64,
    /// The rest of the load.
    #[serde(flatten, serialize_with = "write_load", deserialize_with = "read_load")]
    pub load: Description,
}

/// What a search sets itself, and what its documents do not say.
const LEFT_OUT: &str = "threads cpus duration_s requests source_ports source_ip rate stages seed \
    ramp_connections_s think_s watch_pid addresses";

fn write_load<S: Serializer>(load: &Description, serializer: S) -> Result<S::Ok, S::Error> {
    part::serialize(load, LEFT_OUT, serializer)
}

fn read_load<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Description, D::Error> {
    part::deserialize(LEFT_OUT, deserializer)
}

/// Where a search looks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Whether the answer is as precise, and as well confirmed, as was asked for.
    pub complete: bool,
    /// The highest rate that keeps the limits; null when none has.
    pub rate_per_s: Option<f64>,
    /// The lowest rate above it that does not; null when all have kept them.
    pub next_broken_per_s: Option<f64>,
    /// What broke them there; null when nothing has.
    pub limited_by: Option<Limiter>,
}

/// What keeps the rate from being higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limiter {
    /// The server, or what lies on the way to it.
    Server,
    /// ringshot, or its box.
    Generator,
    /// All connections were busy, and the server answered as fast as at a low load.
    Connections,
}

/// Where more load begins to cost more latency than before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// The rate.
    pub rate_per_s: f64,
    /// The 90th percentile of `total` there.
    pub p90_us: u64,
}

/// When and where a search was made.
#[derive(Clone, Debug)]
pub struct SearchState {
    /// When it began, or went on.
    pub begun_at: SystemTime,
    /// How long it has taken since.
    pub took: Duration,
    /// The box, once a step has been made.
    pub host: Option<Host>,
    /// What it was made with, likewise.
    pub generator: Option<StepGenerator>,
    /// How many steps came from an earlier search.
    pub resumed_steps: usize,
    /// What failed in the last step.
    pub errors: Vec<Error>,
}

impl SearchDocument {
    /// Whether there were steps, and none had an answer.
    pub fn nothing_succeeded(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.ok == 0)
    }

    /// What the steps come to.
    pub fn new(
        plan: &SearchPlan,
        steps: &[SearchStep],
        circumstances: &SearchState,
        interrupted: bool,
    ) -> SearchDocument {
        SearchDocument {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            command: plan.step.command.clone(),
            plan: SearchSetup::of(plan),
            bounds: BoundsSummary {
                first_per_s: plan.bounds.first_per_s,
                lowest_per_s: plan.bounds.lowest_per_s,
                precision_ratio: plan.bounds.precision_ratio,
                budget_s: plan.budget.as_secs_f64(),
            },
            begun_at: humantime::format_rfc3339_millis(circumstances.begun_at).to_string(),
            host: circumstances.host.clone(),
            generator: circumstances.generator.clone(),
            resumed_steps: circumstances.resumed_steps,
            took_s: (circumstances.took.as_secs_f64() * 1e3).round() / 1e3,
            interrupted,
            result: SearchResult::of(steps, &plan.bounds),
            knee: bend(steps, &plan.bounds),
            errors: match steps.iter().all(|step| step.ok == 0) {
                true => circumstances.errors.clone(),
                false => Vec::new(),
            },
            steps: steps.to_vec(),
        }
    }
}

impl From<BoundsSummary> for Bounds {
    fn from(summary: BoundsSummary) -> Bounds {
        Bounds {
            first_per_s: summary.first_per_s,
            lowest_per_s: summary.lowest_per_s,
            precision_ratio: summary.precision_ratio,
            ..Bounds::default()
        }
    }
}

impl SearchSetup {
    fn of(plan: &SearchPlan) -> SearchSetup {
        let step = &plan.step;
        SearchSetup {
            url: step.endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
            slo: step.slos.iter().map(ToString::to_string).collect(),
            threads: step.threads,
            step_s: step.duration.map_or(0.0, |duration| duration.as_secs_f64()),
            load: Description::of(step, 0, &[]).without(LEFT_OUT),
        }
    }
}

impl SearchResult {
    /// What is known after these steps: the answer, or as far as it got.
    pub fn of(steps: &[SearchStep], bounds: &Bounds) -> SearchResult {
        let trials: Vec<Trial> = steps.iter().map(SearchStep::trial).collect();
        let complete = matches!(decide::next(&trials, bounds), Decision::Done(_));
        let (rate_per_s, next_broken_per_s) = decide::so_far(&trials, bounds);
        let limited_by = next_broken_per_s.map(|broken_per_s| {
            match generator_was_limit(&trials, broken_per_s) {
                true => Limiter::Generator,
                false if connections_were_limit(steps, broken_per_s) => Limiter::Connections,
                false => Limiter::Server,
            }
        });
        SearchResult { complete, rate_per_s, next_broken_per_s, limited_by }
    }
}

/// Whether, where the limits were broken, requests waited for connections while the server answered
/// as fast as it does at the lowest rate.
fn connections_were_limit(steps: &[SearchStep], broken_per_s: f64) -> bool {
    let passed = steps.iter().filter(|step| step.pass);
    let known = passed.filter_map(|step| Some((step.rate_per_s, step.uncorrected_p50_us?)));
    let Some((_, lowest_us)) = known.min_by(|a, b| a.0.total_cmp(&b.0)) else { return false };
    let mut broken = steps.iter().filter(|step| step.rate_per_s == broken_per_s && !step.pass);
    let is_fast = |us: u64| us as f64 <= lowest_us as f64 * AS_FAST;
    broken.all(|step| step.connections_were_busy() && step.uncorrected_p50_us.is_some_and(is_fast))
}

/// A rate that kept the limits, with the medians over its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CurvePoint {
    /// The rate.
    pub rate_per_s: f64,
    /// The median of `total`.
    pub p50_us: u64,
    /// Its 90th percentile.
    pub p90_us: u64,
    /// Its 99th percentile; `None` where a step has too few samples for it.
    pub p99_us: Option<u64>,
}

/// The latencies over the load of a whole search, by rising rate.
pub(crate) fn points(document: &SearchDocument) -> Vec<CurvePoint> {
    curve(&document.steps, &Bounds::from(document.bounds))
}

/// The latencies over the load, by rising rate.
pub(crate) fn curve(steps: &[SearchStep], bounds: &Bounds) -> Vec<CurvePoint> {
    let highest_per_s = SearchResult::of(steps, bounds).rate_per_s.unwrap_or(0.0);
    let kept = steps.iter().filter(|step| step.pass && step.rate_per_s <= highest_per_s);
    let mut kept: Vec<&SearchStep> = kept.collect();
    kept.sort_by(|one, other| one.rate_per_s.total_cmp(&other.rate_per_s));
    kept.chunk_by(|one, other| one.rate_per_s == other.rate_per_s)
        .filter_map(|steps| {
            let median = |value: fn(&SearchStep) -> Option<u64>| {
                let mut values: Vec<u64> = steps.iter().filter_map(|step| value(step)).collect();
                values.sort_unstable();
                values.get(values.len().saturating_sub(1) / 2).copied()
            };
            let enough = steps.iter().all(|step| enough_samples(step.ok, 99.0));
            Some(CurvePoint {
                rate_per_s: steps[0].rate_per_s,
                p50_us: median(|step| step.p50_us)?,
                p90_us: median(|step| step.p90_us)?,
                p99_us: median(|step| step.p99_us).filter(|_| enough),
            })
        })
        .collect()
}

/// The 90th percentile: a step at a low rate has too few requests for the 99th.
fn bend(steps: &[SearchStep], bounds: &Bounds) -> Option<Knee> {
    let curve = curve(steps, bounds);
    let points: Vec<(f64, f64)> =
        curve.iter().map(|point| (point.rate_per_s, point.p90_us as f64)).collect();
    let CurvePoint { rate_per_s, p90_us, .. } = curve[knee(&points)?];
    Some(Knee { rate_per_s, p90_us })
}

/// An earlier search, as its document has it.
#[derive(Clone, Debug)]
pub struct Earlier {
    path: PathBuf,
    document: Value,
}

impl Earlier {
    /// Reads a document.
    ///
    /// # Errors
    /// A file that cannot be read or is no document of a search: named, with the reason.
    pub fn read(path: &Path) -> Result<Earlier, String> {
        let mut earlier = Earlier { path: path.into(), document: Value::Null };
        let text = std::fs::read_to_string(path).map_err(|error| earlier.refuse(error))?;
        earlier.document = serde_json::from_str(&text).map_err(|error| {
            earlier.refuse(format!("it is not a whole JSON document ({error})"))
        })?;
        match &earlier.document["schema"] {
            schema if schema == SCHEMA => Ok(earlier),
            other => Err(earlier.refuse(format!(
                "its schema is {other} and not \"{SCHEMA}\", as of a search by this version"
            ))),
        }
    }

    /// How long its steps were measured, and ran before that.
    pub fn step_times(&self) -> Option<(Duration, Duration)> {
        let time = |key: &str| {
            let seconds = self.document["plan"][key].as_f64()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        Some((time("step_s")?, time("warmup_s")?))
    }

    /// Its steps, to go on with.
    ///
    /// # Errors
    /// When it was of another plan.
    pub fn steps(&self, plan: &SearchPlan) -> Result<Vec<SearchStep>, String> {
        let ours = serde_json::to_value(SearchSetup::of(plan)).expect("every key is a string");
        if let Some((name, ours, theirs)) = difference(&ours, &self.document["plan"]) {
            return Err(self.refuse(format!(
                "it is of another plan ({name}: {theirs} there, {ours} here); use the same flags"
            )));
        }
        let mut steps: Vec<SearchStep> = serde_json::from_value(self.document["steps"].clone())
            .map_err(|error| self.refuse(format!("its steps cannot be read ({error})")))?;
        steps.iter_mut().for_each(SearchStep::bring_up_to_date);
        match steps.iter().any(|step| !step.rate_per_s.is_finite() || step.rate_per_s <= 0.0) {
            true => Err(self.refuse("a step has a rate that is not above 0")),
            false => Ok(steps),
        }
    }

    fn refuse(&self, reason: impl std::fmt::Display) -> String {
        format!("cannot resume {}: {reason}", self.path.display())
    }
}

#[cfg(test)]
pub(crate) mod tests;
