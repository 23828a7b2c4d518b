//! Which plots a report has, and what they are called.

use super::markdown::beside::Plot;
use super::plot;
use super::side_by_side::{Variant, totals};
use super::{Latency, Report};

/// Those of a run.
pub fn of_run(report: &Report) -> Vec<Plot> {
    [
        ("latency", "Latency by percentile", plot::latency::of_run(report)),
        ("rate", "Rate, latency and failures over time", plot::over_time(report)),
        ("connections", "Connections and TIME_WAIT over time", plot::connections(report)),
        ("cpu", "CPU over time", plot::cpu(report)),
    ]
    .into_iter()
    .filter_map(|(name, title, svg)| Some(Plot { name, title: title.into(), svg: svg? }))
    .collect()
}

/// That of a comparison.
pub fn of_variants(variants: &[Variant]) -> Vec<Plot> {
    let title = "Latency by percentile (total)";
    let totals = totals(variants);
    let named: Vec<(&str, &Latency)> =
        totals.iter().map(|(name, latency)| (name.as_str(), latency)).collect();
    let svg = plot::latency::of_runs(title, &named);
    svg.into_iter().map(|svg| Plot { name: "latency", title: title.into(), svg }).collect()
}
