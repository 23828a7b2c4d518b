//! What more load costs: latency over the rate, from the steps of a search.

use super::axis::{Axis, ends, sane};
use super::chart::{BOLD, Chart, Mark, Pane, Point, line};
use super::palette;
use crate::words::quantities::{rate, time_us};

/// Latencies at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LoadPoint {
    pub rate_per_s: f64,
    pub p50_us: u64,
    pub p90_us: u64,
}

/// Room above the curve, for the names of what is marked.
const ROOM_RATIO: f64 = 1.6;

/// Latency over load, with the knee and the highest rate that keeps the limits marked, where there
/// are such; `None` without a point.
pub(crate) fn curve(
    points: &[LoadPoint],
    knee_per_s: Option<f64>,
    highest_per_s: Option<f64>,
) -> Option<String> {
    let mut points: Vec<LoadPoint> = points.to_vec();
    points.retain(|point| sane(point.rate_per_s).is_some());
    points.sort_by(|one, other| one.rate_per_s.total_cmp(&other.rate_per_s));
    let values = |us: fn(&LoadPoint) -> u64| -> Vec<Point> {
        points.iter().map(|point| (point.rate_per_s, us(point).max(1) as f64)).collect()
    };
    let (p50, p90) = (values(|point| point.p50_us), values(|point| point.p90_us));
    let (shortest, longest) = ends(p50.iter().chain(&p90).map(|point| point.1))?;
    let marks = [("highest that keeps the limits", highest_per_s), ("knee", knee_per_s)];
    let marks: Vec<Mark> = marks
        .into_iter()
        .filter_map(|(name, x)| {
            let x = x.and_then(sane)?;
            Some(Mark { x, label: format!("{name}: {}/s", rate(x)) })
        })
        .collect();
    let rates = points.iter().map(|point| point.rate_per_s);
    let highest = ends(rates.chain(marks.iter().map(|mark| mark.x)))?.1;
    let mut pane =
        Pane::new("Latency (total)", Axis::times_us((shortest, longest * ROOM_RATIO)), 480);
    for (name, number, width, points) in [("p90", 1, BOLD - 1, p90), ("p50", 0, BOLD, p50)] {
        let mut line = line(name, palette::series(number), width, vec![points.clone()]);
        line.dots = points;
        pane.lines.push(line);
    }
    let named: Vec<String> = marks.iter().map(|mark| mark.label.clone()).collect();
    pane.marks = marks;
    let last = points.last()?;
    let chart = Chart {
        title: "Latency over load".into(),
        note: "Each dot is a step of the search: the medians over its repetitions.".into(),
        summary: format!(
            "at {}/s the median is {} and p90 {}; {}",
            rate(last.rate_per_s),
            time_us(last.p50_us as f64),
            time_us(last.p90_us as f64),
            named.join("; "),
        ),
        x: Axis::counts(highest),
        x_name: "requests per second".into(),
        panes: vec![pane],
    };
    Some(chart.svg())
}
