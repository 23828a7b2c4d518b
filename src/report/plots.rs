//! Which plots a report has, and what they are called.

use super::markdown::beside::Plot;
use super::plot::{self, BarRow, LoadPoint};
use super::side_by_side::{Variant, totals};
use super::{Latency, Report};
use crate::{compare, search};

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

/// That of a search.
pub fn of_search(document: &search::Document) -> Vec<Plot> {
    let points: Vec<LoadPoint> = search::points(document)
        .iter()
        .map(|point| LoadPoint {
            rate_per_s: point.rate_per_s,
            p50_us: point.p50_us,
            p90_us: point.p90_us,
        })
        .collect();
    let knee_per_s = document.knee.map(|knee| knee.rate_per_s);
    let svg = plot::curve(&points, knee_per_s, document.result.rate_per_s);
    svg.into_iter()
        .map(|svg| Plot { name: "curve", title: "Latency over load".into(), svg })
        .collect()
}

/// That of a comparison with other tools.
pub fn of_comparison(document: &compare::Document) -> Vec<Plot> {
    let bar = |row: &compare::Row| {
        let median_us = row.medians.as_ref()?.cpu_us_per_request?;
        let rounds = row.rounds.iter().filter_map(|round| round.cpu_us_per_request);
        let (low, high) =
            rounds.fold((median_us, median_us), |(low, high), us| (low.min(us), high.max(us)));
        Some(BarRow { label: row.name.to_string(), median: median_us, low, high })
    };
    let rows: Vec<BarRow> = document.tools.iter().filter_map(bar).collect();
    let title = "CPU per request";
    let svg = plot::bars(title, "µs of CPU per request", &rows);
    svg.into_iter().map(|svg| Plot { name: "cpu", title: title.into(), svg }).collect()
}
