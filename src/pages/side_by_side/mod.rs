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
//! what differs from one run to the next, and which is not used where the run says that it is too
//! narrow. What has neither is shown and not judged.

mod measure;
mod page;
mod setup;

use crate::pages::beside::Plot;
use crate::pages::plots;
use crate::plan::describe::difference;
use crate::result::{Latency, Report, hdr};
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
    /// The file of each.
    pub files: Vec<String>,
}

/// Puts the runs of one thing together: results of the same plan, target, version and box whose
/// files differ in a number behind a separator at the end (`a-1.json`, `a-2.json`). In the order in
/// which they were given.
pub fn group(results: Vec<(String, Report)>) -> Vec<Variant> {
    // Each with the name before the number.
    let mut groups: Vec<(Option<String>, Variant)> = Vec::new();
    for (file, report) in results {
        let numbered = name_before_number(&file);
        let same = |(name, variant): &&mut (Option<String>, Variant)| {
            // `load-64.json` and `load-128.json` are not runs of one thing.
            numbered.is_some() && *name == numbered && is_same_thing(&variant.runs[0], &report)
        };
        match groups.iter_mut().find(same) {
            Some((_, variant)) => {
                variant.runs.push(report);
                variant.files.push(file);
            }
            None => {
                let name = stem(&file);
                groups.push((numbered, Variant { name, runs: vec![report], files: vec![file] }));
            }
        }
    }
    let named = |(numbered, variant): (Option<String>, Variant)| {
        // A number that counts nothing is part of the name.
        let name = numbered.filter(|_| variant.runs.len() > 1);
        Variant { name: name.unwrap_or_else(|| variant.name.clone()), ..variant }
    };
    groups.into_iter().map(named).collect()
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

/// Whether the second is a repetition of the first, by what was asked for, of whom, and where.
fn is_same_thing(one: &Report, other: &Report) -> bool {
    let what = |report: &Report| {
        let url = Some(report.target.url.clone()).filter(|_| !report.target.bundled);
        (url, report.version.clone(), report.host.name.clone())
    };
    let [one_plan, other_plan] =
        [one, other].map(|report| serde_json::to_value(&report.plan).unwrap_or_default());
    what(one) == what(other) && difference(&one_plan, &other_plan).is_none()
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

/// Its plots, which the page refers to by their names.
pub fn plots(variants: &[Variant]) -> Vec<Plot> {
    let title = "Latency by percentile (total)";
    let totals = totals(variants);
    let named: Vec<(&str, &Latency)> =
        totals.iter().map(|(name, latency)| (name.as_str(), latency)).collect();
    let svg = plots::latency::of_runs(title, &named);
    svg.into_iter().map(|svg| Plot { name: "latency", title: title.into(), svg }).collect()
}

#[cfg(test)]
mod tests;
