//! The results of one test from several boxes as one: counts are added, histograms are merged
//! exactly, bucket by bucket, from what the documents carry. What cannot be merged is said.
//!
//! ```text
//!   box a   |----------------------------|          each by its own clock, which nobody compared
//!   box b      |----------------------------|
//!              |<------- common ------->|           rates are added: they stand for this part
//! ```

mod boxes;
mod histograms;
mod parts;
mod ports;
mod same_test;
mod series;
#[cfg(test)]
mod tests;

use super::{Report, SCHEMA};
use crate::result::{Finding, Severity};
use crate::statistics::rounded;
use crate::words::Word;
use crate::words::quantities::{per_s, seconds};
use crate::words::text::escape;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// With less in common, the sum of the rates is that of loads that did not come together.
const COMMON_RATIO_MIN: f64 = 0.9;

/// What a merged result was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// Every result.
    pub results: Vec<MergedResult>,
    /// Between the first begin and the last, by the clocks of the boxes; null when one did not tell.
    pub begins_apart_s: Option<f64>,
    /// The part of the longest run in which all were running, by these clocks; null likewise.
    pub common_ratio: Option<f64>,
}

/// One of the results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MergedResult {
    /// Its file.
    pub file: String,
    /// What was typed, without secrets.
    pub command: Vec<String>,
    /// The URL that it asked, without a password: the server's name may differ from box to box.
    #[serde(default)]
    pub target: String,
    /// The box's name for itself.
    pub host: String,
    /// When its measurement began.
    pub begun_at: String,
    /// How long it took.
    pub duration_s: f64,
    /// Requests that ended well, per second; null for a run that took no time.
    pub requests_per_s: Option<f64>,
    /// The median of its `total`; null, as the next one, when there was no answer.
    pub p50_us: Option<u64>,
    /// The 99th percentile of its `total`.
    pub p99_us: Option<u64>,
    /// CPU time over wall time of its busiest thread.
    pub busy_ratio: f64,
    /// What kept it from more; see `limited_by.who`.
    pub limited_by: Option<Word>,
}

/// Merges results; each comes with the name of its file.
///
/// # Errors
/// Results that are not of one test, that are the same, or that are merged or of the bundled server:
/// the files and the reason.
pub fn merge(results: &[(String, Report)], command: &[String]) -> Result<Report, String> {
    if results.is_empty() {
        return Err("there is nothing to merge".into());
    }
    if let Some(why) = same_test::refusal(results) {
        return Err(why);
    }
    let reports: Vec<&Report> = results.iter().map(|(_, report)| report).collect();
    let mut merged =
        parts::sum(&reports).map_err(|(at, why)| format!("{}: {why}", escape(&results[at].0)))?;
    merged.schema = SCHEMA.into();
    merged.version = env!("CARGO_PKG_VERSION").into();
    merged.command = command.to_vec();
    let times = times(&reports);
    let about = Merged {
        results: results.iter().map(|(file, report)| MergedResult::of(file, report)).collect(),
        begins_apart_s: times.map(|(apart_s, _)| apart_s),
        common_ratio: times.map(|(_, common)| common),
    };
    merged.kernel.findings.extend(not_together(&about));
    merged.kernel.findings.sort_by_key(|finding| finding.severity);
    merged.merged = Some(about);
    Ok(merged)
}

impl MergedResult {
    fn of(file: &str, report: &Report) -> MergedResult {
        MergedResult {
            file: file.to_owned(),
            command: report.command.clone(),
            target: report.target.url.clone(),
            host: report.host.name.clone(),
            begun_at: report.begun_at.clone(),
            duration_s: report.duration_s,
            requests_per_s: report.rate.requests_per_s,
            p50_us: report.latency.total.p50_us,
            p99_us: report.latency.total.p99_us,
            busy_ratio: report.generator.busy_ratio,
            limited_by: report.limited_by.as_ref().map(|limit| limit.who.clone()),
        }
    }
}

/// How far the begins are apart, in seconds, and the part of the longest run that all share; `None`
/// when a document has no time.
fn times(reports: &[&Report]) -> Option<(f64, f64)> {
    let begin_s = |report: &&Report| {
        let begun = humantime::parse_rfc3339(&report.begun_at).ok()?;
        Some(begun.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
    };
    let begins_s: Vec<f64> = reports.iter().map(begin_s).collect::<Option<_>>()?;
    let first_s = begins_s.iter().copied().fold(f64::INFINITY, f64::min);
    let last_s = begins_s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ends_s = begins_s.iter().zip(reports).map(|(begin_s, report)| begin_s + report.duration_s);
    let first_end_s = ends_s.fold(f64::INFINITY, f64::min);
    let longest_s = reports.iter().map(|report| report.duration_s).fold(0.0, f64::max);
    let common_s = (first_end_s - last_s).max(0.0);
    let common_ratio = if longest_s > 0.0 { common_s / longest_s } else { 0.0 };
    Some((rounded(last_s - first_s, 3), rounded(common_ratio, 3)))
}

/// The finding that rates were added of runs that did not load the server together.
fn not_together(about: &Merged) -> Option<Finding> {
    let (apart_s, common) = (about.begins_apart_s?, about.common_ratio?);
    (common < COMMON_RATIO_MIN).then(|| Finding {
        id: "merged_apart".into(),
        severity: Severity::Warning,
        text: format!(
            "by their clocks the runs began {} apart, and all were running for {:.0}% of the \
             longest: the sum of their rates is not what the server bore at any one time.",
            seconds(apart_s),
            common * 100.0
        ),
        cure: "begin them together (for example with `at` or by ssh), and set the clocks by NTP"
            .into(),
    })
}

/// How far the clocks can be relied on, and what could only be bounded, as sentences.
pub fn clocks(about: &Merged) -> String {
    let times = match (about.begins_apart_s, about.common_ratio) {
        (Some(apart_s), Some(common)) => format!(
            "By their own clocks, which nobody compared, the runs began {} apart and had {:.0}% of \
             the longest in common. Rates are added.",
            seconds(apart_s),
            common * 100.0
        ),
        _ => "When each of them began is not known: a document is of a version that did not tell. \
              Rates are added as if they had run together."
            .into(),
    };
    times
        + " The percentiles are those of one histogram of all; of a single second they are the \
             highest of the boxes'."
}

/// `a 12,345/s (generator), b 11,234/s (server)`, as evidence of what the limit was.
fn each(reports: &[&Report]) -> String {
    let one = |report: &&Report| {
        let who = report.limited_by.as_ref().map_or("unknown", |limit| &limit.who);
        format!("{} {} ({who})", boxes::name(report), per_s(report.rate.requests_per_s))
    };
    reports.iter().map(one).collect::<Vec<_>>().join(", ")
}
