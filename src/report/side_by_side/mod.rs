//! Runs beside each other: what has changed, and what is no more than the difference between two
//! runs of the same thing.
//!
//! ```text
//!   before-1.json before-2.json before-3.json    a variant: files that differ in a number at the end
//!   after-1.json  after-2.json  after-3.json     another
//!
//!            before                after
//!   p99      1.77 ms (1.70-1.91)   2.40 ms (2.31-2.52)   +36%: changed
//!            median  lowest-highest
//! ```
//!
//! A difference of the medians is called a change when it is larger than the spread (highest minus
//! lowest) of either variant. A variant of one run has no spread between runs; then the 95%
//! interval stands for it that the run itself gives for its rate, p50 and p99, which does not know
//! what differs from one run to the next. What has neither is shown and not judged.

mod page;

use super::console::format::{escape, percent_change, rate, time_us};
use super::{Latency, PlanSummary, Report, hdr};
use crate::statistics::Range;
use hdrhistogram::Histogram;
pub use page::markdown;
use std::path::Path;

/// Results of the same thing, run once or several times.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What the names of its files have in common.
    pub name: String,
    /// Its runs.
    pub runs: Vec<Report>,
}

/// Puts the runs of one thing together: results of the same plan whose files differ in a number
/// behind a separator at the end (`a-1.json`, `a-2.json`). In the order in which they were given.
pub fn group(results: Vec<(String, Report)>) -> Vec<Variant> {
    // The name before the number, and the first file.
    let mut groups: Vec<(Option<String>, String, Vec<Report>)> = Vec::new();
    for (file, report) in results {
        let numbered = name_before_number(&file);
        let same = |(name, _, runs): &&mut (Option<String>, String, Vec<Report>)| {
            // `load-64.json` and `load-128.json` are not runs of one thing.
            numbered.is_some() && *name == numbered && is_same_plan(&runs[0], &report)
        };
        match groups.iter_mut().find(same) {
            Some((_, _, runs)) => runs.push(report),
            None => groups.push((numbered, file, vec![report])),
        }
    }
    let variant = |(numbered, file, runs): (Option<String>, String, Vec<Report>)| {
        // A number that counts nothing is part of the name.
        let name = numbered.filter(|_| runs.len() > 1).unwrap_or_else(|| stem(&file));
        Variant { name, runs }
    };
    groups.into_iter().map(variant).collect()
}

fn stem(file: &str) -> String {
    Path::new(file).with_extension("").to_string_lossy().into_owned()
}

/// `runs/before-2.json` is the second of `runs/before`.
fn name_before_number(file: &str) -> Option<String> {
    let stem = stem(file);
    let bare = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = bare.strip_suffix(['-', '_', '.'])?;
    let is_name = !name.is_empty() && !name.ends_with('/');
    (bare.len() < stem.len() && is_name).then(|| name.to_owned())
}

fn is_same_plan(one: &Report, other: &Report) -> bool {
    let plan = |report: &Report| {
        let plan = PlanSummary { seed: None, ..report.plan.clone() };
        serde_json::to_value(plan).unwrap_or_default()
    };
    plan(one) == plan(other)
}

/// A number of a run that variants are compared by.
struct Measure {
    name: &'static str,
    /// As it is written.
    text: fn(f64) -> String,
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
            of: |report| supported(&report.latency.total, $percentile, |total| total.$field),
            interval: $interval,
        }
    };
}

const MEASURES: [Measure; 13] = [
    Measure {
        name: "requests/s",
        text: rate,
        of: |report| Some(report.rate.requests_per_s),
        interval: |report| report.confidence.as_ref().map(|confidence| confidence.rate_per_s),
    },
    Measure {
        name: "connections/s",
        text: rate,
        of: |report| Some(report.rate.connections_per_s),
        interval: |_| None,
    },
    Measure {
        name: "failed requests",
        text: rate,
        of: |report| Some(report.requests.failed as f64),
        interval: |_| None,
    },
    percentile!("total p50", p50_us, 50.0, |report| report.confidence.as_ref()?.p50_us),
    percentile!("total p75", p75_us, 75.0, |_| None),
    percentile!("total p90", p90_us, 90.0, |_| None),
    percentile!("total p95", p95_us, 95.0, |_| None),
    percentile!("total p99", p99_us, 99.0, |report| report.confidence.as_ref()?.p99_us),
    percentile!("total p99.9", p99_9_us, 99.9, |_| None),
    percentile!("total p99.99", p99_99_us, 99.99, |_| None),
    Measure {
        name: "total max",
        text: time_us,
        of: |report| supported(&report.latency.total, 0.0, |total| total.max_us),
        interval: |_| None,
    },
    Measure {
        name: "connect p50",
        text: time_us,
        of: |report| supported(&report.latency.connect, 50.0, |connect| connect.p50_us),
        interval: |_| None,
    },
    Measure {
        name: "generator CPU per request",
        text: time_us,
        of: |report| {
            let ended = report.requests.ok + report.requests.failed;
            (ended > 0).then_some(report.generator.cpu_us_per_request)
        },
        interval: |_| None,
    },
];

/// A percentile that has samples beyond it.
fn supported(latency: &Latency, percentile: f64, value: fn(&Latency) -> u64) -> Option<f64> {
    let enough = latency.percentile_supported.unwrap_or(0.0) >= percentile;
    (latency.count > 0 && enough).then(|| value(latency) as f64)
}

/// A measure of a variant.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Value {
    median: f64,
    /// Between its runs or, of a single run, what it knows itself.
    spread: Option<Range>,
}

impl Measure {
    /// `None` when a run does not have it.
    fn value(&self, variant: &Variant) -> Option<Value> {
        let mut values: Vec<f64> = variant.runs.iter().map(self.of).collect::<Option<_>>()?;
        values.sort_by(f64::total_cmp);
        let (&low, &high) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        let spread = match variant.runs.as_slice() {
            [one] => (self.interval)(one),
            _ => Some(Range { low, high }),
        };
        Some(Value { median, spread })
    }
}

/// What became of a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// It differs by more than runs of the same thing do; by which part of the first.
    Changed(f64),
    /// It does not.
    Within(f64),
    /// Nobody knows how much runs of the same thing differ.
    Unjudged(f64),
}

impl Change {
    fn between(one: Value, other: Value) -> Change {
        let difference = other.median - one.median;
        // From nothing to something is not a part of anything, but it is a change.
        let part = match (one.median, difference) {
            (_, 0.0) => 0.0,
            (0.0, more) => more.signum() * f64::INFINITY,
            (median, difference) => difference / median,
        };
        match one.spread.zip(other.spread) {
            None => Change::Unjudged(part),
            Some((a, b)) => match difference.abs() > (a.high - a.low).max(b.high - b.low) {
                true => Change::Changed(part),
                false => Change::Within(part),
            },
        }
    }

    fn text(self) -> String {
        match self {
            Change::Changed(part) => format!("**{}**", percent_change(part)),
            Change::Within(part) => format!("{}, within the spread", percent_change(part)),
            Change::Unjudged(part) => percent_change(part),
        }
    }
}

/// What a value looks like, with its spread.
fn text(measure: &Measure, value: Option<Value>) -> String {
    let Some(Value { median, spread }) = value else { return "-".into() };
    let ends = spread.map(|range| [range.low, range.high].map(measure.text));
    let ends = ends.filter(|[low, high]| low != high);
    let spread = ends.map(|[low, high]| format!(" ({low} to {high})"));
    (measure.text)(median) + &spread.unwrap_or_default()
}

/// `total` of all runs of each variant together, by its name; without those that cannot be read.
pub fn totals(variants: &[Variant]) -> Vec<(String, Latency)> {
    let together = |variant: &Variant| {
        let mut all: Option<Histogram<u64>> = None;
        for run in &variant.runs {
            let one = hdr::decode(&run.latency.total.hdr).ok()?;
            match &mut all {
                None => all = Some(one),
                Some(all) => {
                    all.auto(true);
                    all.add(&one).ok()?;
                }
            }
        }
        Some((variant.name.clone(), Latency::of(&all?)))
    };
    variants.iter().filter_map(together).collect()
}

/// What differs in how and where the variants were run: `plan.connections: 64, 128`.
fn differences(variants: &[Variant]) -> Vec<String> {
    let setups: Vec<serde_json::Value> =
        variants.iter().map(|variant| setup(&variant.runs)).collect();
    let Some(first) = setups.first().and_then(serde_json::Value::as_object) else {
        return Vec::new();
    };
    let mut keys: Vec<&String> = first.keys().collect();
    for setup in setups.iter().filter_map(serde_json::Value::as_object) {
        keys.extend(setup.keys().filter(|key| !first.contains_key(*key)));
    }
    keys.dedup();
    let values = |key: &&&String| {
        let all: Vec<&serde_json::Value> =
            setups.iter().map(|setup| &setup[key.as_str()]).collect();
        all.iter().any(|value| *value != all[0]).then(|| {
            let all: Vec<String> = all.iter().map(|value| escape(&value.to_string())).collect();
            format!("{key}: {}", all.join(", "))
        })
    };
    keys.iter().filter_map(|key| values(&key)).collect()
}

/// What the first of its runs says about how and where it was run, flat.
fn setup(runs: &[Report]) -> serde_json::Value {
    let Some(run) = runs.first() else { return serde_json::Value::Null };
    let mut flat = serde_json::Map::new();
    flat.insert("version".into(), run.version.as_ref().into());
    flat.insert("ring_tier".into(), run.ring_tier.as_ref().into());
    flat.insert("engine".into(), run.engine.as_ref().into());
    // The port of the bundled server is another one each time.
    if !run.target.bundled {
        flat.insert("target.url".into(), run.target.url.as_str().into());
    }
    for (name, part) in
        [("plan", serde_json::to_value(&run.plan)), ("host", serde_json::to_value(&run.host))]
    {
        if let Ok(serde_json::Value::Object(members)) = part {
            let named = members.into_iter().filter(|(key, _)| key != "seed");
            flat.extend(named.map(|(key, value)| (format!("{name}.{key}"), value)));
        }
    }
    flat.into()
}

#[cfg(test)]
mod tests;
