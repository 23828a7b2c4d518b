//! The run as it went: rate, failures and latencies over time.

use super::axis::{Axis, ends};
use super::chart::{BOLD, Band, Bar, Chart, HAIR, Pane, Point, THIN, line};
use super::columns::{Column, ColumnRates, columns, cut, reduced_s, rows};
use super::palette;
use crate::result::Report;
use crate::words::quantities::{NOTHING, count, latency_us, rate};

/// The rate of good answers, failures where there are any, and p50 and p99 of `total`, all over
/// time; `None` for a run without a single second.
pub(crate) fn over_time(report: &Report) -> Option<String> {
    let rows = rows(&report.series);
    let columns = columns(&rows);
    let end_s = columns.last()?.end_s();
    let (x, unit) = Axis::since_start(end_s);
    let failed: u64 = report.series.iter().fold(0, |sum, row| sum.saturating_add(row.failed));
    let panes = [rates(&columns), failures(&columns, failed), latencies(&columns)];
    let chart = Chart {
        title: "Rate and latency over time".into(),
        note: note(&columns, failed),
        summary: summary(report, &columns, failed),
        x,
        x_name: format!("{unit} since the start"),
        panes: panes.into_iter().flatten().collect(),
    };
    Some(chart.svg())
}

fn note(columns: &[Column<'_>], failed: u64) -> String {
    let failures = if failed > 0 { " and most failures" } else { "" };
    match reduced_s(columns) {
        Some(s) => format!(
            "Each point stands for {s} seconds: mean, lowest and highest rate, highest \
             latencies{failures}."
        ),
        None => "Each point is one second; a gap in the latencies is one without an answer.".into(),
    }
}

fn summary(report: &Report, columns: &[Column<'_>], failed: u64) -> String {
    let rates = || columns.iter().map(|column| column.rates(|row| row.ok));
    let low = rates().map(|rates| rates.low).reduce(f64::min).unwrap_or(0.0);
    let high = rates().map(|rates| rates.high).fold(0.0, f64::max);
    let slowest = report.series.iter().filter_map(|row| row.p99_us).max();
    format!(
        "{} requests/s on average, between {} and {} in {}; highest p99 of a second {}; {} failed",
        report.rate.requests_per_s.map_or(NOTHING.into(), rate),
        rate(low),
        rate(high),
        match report.series_interval_s {
            s if s > 1.0 => format!("{s:.0} seconds"),
            _ => "a second".into(),
        },
        latency_us(slowest),
        count(failed),
    )
}

fn rates(columns: &[Column<'_>]) -> Option<Pane> {
    let points = |column: &Column<'_>| (column.middle_s(), column.rates(|row| row.ok));
    Some(rate_pane("Requests per second (ok)", columns, points))
}

/// A pane of one rate, with its lowest and highest seconds where a point stands for several.
pub(super) fn rate_pane(
    heading: &str,
    columns: &[Column<'_>],
    point: impl Fn(&Column<'_>) -> (f64, ColumnRates),
) -> Pane {
    let ink = palette::series(0);
    let rates: Vec<(f64, ColumnRates)> = columns.iter().map(point).collect();
    let highest = rates.iter().map(|(_, rates)| rates.high).fold(0.0, f64::max);
    let mut pane = Pane::new(heading, Axis::counts(highest), 210);
    if reduced_s(columns).is_some() {
        let part = rates.iter().map(|(x, rates)| (*x, rates.low, rates.high)).collect();
        pane.bands.push(Band { ink, parts: vec![part] });
        // A single low among many seconds is too narrow to be seen by its shade alone.
        let lows = rates.iter().map(|(x, rates)| (*x, rates.low)).collect();
        pane.lines.push(line("", ink, HAIR, vec![lows]));
    }
    let means = rates.iter().map(|(x, rates)| (*x, rates.mean)).collect();
    pane.lines.push(line("", ink, BOLD, vec![means]));
    pane
}

fn failures(columns: &[Column<'_>], failed: u64) -> Option<Pane> {
    let bars = columns.iter().filter_map(|column| {
        let height = column.rates(|row| row.failed).high;
        (height > 0.0).then_some(Bar { from: column.begin_s(), to: column.end_s(), height })
    });
    let bars: Vec<Bar> = bars.collect();
    let highest = bars.iter().map(|bar| bar.height).fold(0.0, f64::max);
    let noun = if failed == 1 { "request" } else { "requests" };
    let heading = format!("Failed per second ({} {noun} in all)", count(failed));
    let mut pane = Pane::new(heading, Axis::extremes(highest), 70);
    pane.heading_ink = palette::FAILURE;
    pane.bars = bars;
    (highest > 0.0).then_some(pane)
}

fn latencies(columns: &[Column<'_>]) -> Option<Pane> {
    let p50 = |column: &Column<'_>| Some((column.middle_s(), column.highest(|row| row.p50_us)?));
    let p99 = |column: &Column<'_>| Some((column.middle_s(), column.highest(|row| row.p99_us)?));
    let p50: Vec<Vec<Point>> = cut(columns.iter().map(p50));
    let p99: Vec<Vec<Point>> = cut(columns.iter().map(p99));
    let range_us = ends(p50.iter().chain(&p99).flatten().map(|point| point.1))?;
    let mut pane = Pane::new("Latency (total), p50 and p99", Axis::times_us(range_us), 230);
    pane.lines.push(line("p99", palette::series(3), THIN + 1, p99));
    pane.lines.push(line("p50", palette::series(0), BOLD, p50));
    Some(pane)
}
