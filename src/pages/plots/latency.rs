//! Latency by percentile, as HdrHistogram plots it: each nine as wide as the one before, since what
//! users feel is in the last of them.
//!
//! A curve ends at its longest latency, which has a dot. Where fewer than ten samples lie beyond a
//! percentile it is dotted: another run would give another end.

use super::axis::{Axis, ends, sane};
use super::canvas::label;
use super::chart::{BOLD, Chart, Pane, PlotLine, Point, THIN, height_for, line};
use super::palette;
use crate::result::{Latency, Report, hdr};
use crate::statistics::SAMPLES_BEYOND_MIN;
use crate::words::quantities::{count, latency_us, time_us};

const HEIGHT: i32 = 480;

/// Of the lines of one run: the latencies of a fast server are nearly the same, and each is to be
/// seen below the one that is drawn upon it.
const WIDTHS: [u32; 5] = [BOLD, 9, 6, 3, 3];

/// All latencies of one run; `None` when there are none.
pub(crate) fn of_run(report: &Report) -> Option<String> {
    let set = &report.latency;
    let latencies = [
        ("connect", Some(&set.connect)),
        ("first_byte", Some(&set.first_byte)),
        ("service", Some(&set.service)),
        ("total", Some(&set.total)),
        ("uncorrected", set.uncorrected.as_ref()),
    ];
    let named: Vec<(&str, &Latency)> =
        latencies.into_iter().filter_map(|(name, latency)| Some((name, latency?))).collect();
    plot("Latency by percentile", &named, &WIDTHS)
}

/// One latency of several runs, each with its name; `None` when there are none. The title says
/// which latency it is.
pub(crate) fn of_runs(title: &str, runs: &[(&str, &Latency)]) -> Option<String> {
    plot(title, runs, &[BOLD])
}

/// Each line is as wide as its number says, and the last of the widths for all others.
fn plot(title: &str, named: &[(&str, &Latency)], widths: &[u32]) -> Option<String> {
    // Colours go by number, so that a latency has the same one in every report.
    let curves: Vec<(usize, &str, &Latency, Curve)> = named
        .iter()
        .enumerate()
        .filter_map(|(number, &(name, latency))| Some((number, name, latency, Curve::of(latency)?)))
        .collect();
    let all = || curves.iter().flat_map(|(.., curve)| curve.solid.iter().chain(&curve.tail));
    let end = ends(all().map(|point| point.0))?.1;
    let range_us = ends(all().map(|point| point.1))?;
    let height = height_for(curves.len(), HEIGHT);
    let mut pane = Pane::new("Latency", Axis::times_us(range_us), height);
    let mut summary = Vec::new();
    for (number, name, latency, curve) in &curves {
        let name = label(name, 28);
        summary.push(format!(
            "{name} median {}, p99 {}, longest {} of {} samples",
            latency_us(latency.p50_us),
            latency_us(latency.p99_us),
            latency_us(latency.max_us),
            count(latency.count),
        ));
        let width = widths.get(*number).or(widths.last()).copied().unwrap_or(BOLD);
        pane.lines.extend(curve.lines(*number, &name, width));
    }
    let chart = Chart {
        title: label(title, 80),
        note: "Each curve ends at its longest sample, the dot. Dotted: fewer than ten samples lie \
               beyond, and chance decides."
            .into(),
        summary: summary.join("; "),
        x: Axis::nines(end * 1.01),
        x_name: "percentile".into(),
        panes: vec![pane],
    };
    Some(chart.svg())
}

/// `(nines, microseconds)`, in steps: a percentile is a sample, not a place between two.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    /// As far as there are samples enough.
    solid: Vec<Point>,
    /// The rest, from where the other part ends.
    tail: Vec<Point>,
}

impl Curve {
    fn of(latency: &Latency) -> Option<Curve> {
        let (steps, samples) = match hdr::decode(&latency.hdr) {
            Ok(histogram) if !histogram.is_empty() => {
                let (all, longest) = (histogram.len(), histogram.max());
                let mut seen = 0u64;
                let steps = histogram.iter_recorded().map(|step| {
                    seen = seen.saturating_add(step.count_since_last_iteration());
                    (nines(all.saturating_sub(seen), all), step.value_iterated_to().min(longest))
                });
                (steps.collect::<Vec<_>>(), all)
            }
            _ => (named_percentiles(latency), latency.count),
        };
        (samples > 0).then(|| Curve::split(&steps, enough_until(samples)))
    }

    /// From steps that end at such percentiles.
    fn split(steps: &[(f64, u64)], enough_until: f64) -> Curve {
        let mut curve = Curve { solid: Vec::new(), tail: Vec::new() };
        let mut begin = 0.0;
        for &(end, us) in steps {
            let us = us.max(1) as f64;
            if begin < enough_until {
                curve.solid.extend([(begin, us), (end.min(enough_until), us)]);
            }
            if end > enough_until {
                if curve.tail.is_empty() {
                    curve.tail.extend(curve.solid.last().copied());
                }
                curve.tail.extend([(begin.max(enough_until), us), (end, us)]);
            }
            begin = end;
        }
        curve
    }

    fn lines(&self, number: usize, name: &str, width: u32) -> [PlotLine; 2] {
        let ink = palette::series(number);
        let last = self.tail.last().or(self.solid.last()).copied();
        let longest_us = last.map_or(0.0, |(_, us)| us);
        let tail = line("", palette::tail(ink), THIN + 1, vec![self.tail.clone()]);
        let label = format!("{name} {}", time_us(longest_us));
        let mut solid = line("", ink, width, vec![self.solid.clone()]);
        solid.label = label;
        solid.dots.extend(last);
        [tail, solid]
    }
}

/// The percentile beyond which so many of all samples lie, by its nines; the longest sample ends
/// at the middle of what it stands for.
fn nines(beyond: u64, all: u64) -> f64 {
    let part = if beyond == 0 { 0.5 / all as f64 } else { beyond as f64 / all as f64 };
    -part.log10()
}

/// The last percentile with enough samples beyond it.
fn enough_until(samples: u64) -> f64 {
    (samples as f64 / SAMPLES_BEYOND_MIN as f64).log10().max(0.0)
}

/// What a document tells beside the histogram, for one whose histogram cannot be read.
fn named_percentiles(latency: &Latency) -> Vec<(f64, u64)> {
    let last = nines(0, latency.count.max(1));
    let percentiles = [
        (0.5, latency.p50_us),
        (0.75, latency.p75_us),
        (0.9, latency.p90_us),
        (0.95, latency.p95_us),
        (0.99, latency.p99_us),
        (0.999, latency.p99_9_us),
        (0.9999, latency.p99_99_us),
    ];
    let steps = percentiles.map(|(part, us): (f64, _)| (-(1.0 - part).log10(), us));
    let within = steps.into_iter().filter(|(end, _)| sane(*end).is_some_and(|end| end < last));
    let known = within.chain([(last, latency.max_us)]);
    known.filter_map(|(end, us)| Some((end, us?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::latency_histogram;

    fn latency(values: &[(u64, u64)]) -> Latency {
        let mut histogram = latency_histogram();
        for &(us, times) in values {
            histogram.record_n(us, times).unwrap();
        }
        Latency::of(&histogram)
    }

    #[test]
    fn a_curve_is_the_percentiles() {
        let curve = Curve::of(&latency(&[(100, 900), (1000, 90), (5000, 10)])).unwrap();
        // Ten of a thousand lie beyond the 99th, and none beyond the longest.
        let expected = [(0.0, 100.0), (1.0, 100.0), (1.0, 1000.0), (2.0, 1000.0)];
        assert_eq!(curve.solid.len(), expected.len());
        for (point, expected) in curve.solid.iter().zip(expected) {
            assert!((point.0 - expected.0).abs() < 1e-9 && point.1 == expected.1, "{point:?}");
        }
        let end = 2000f64.log10();
        assert_eq!(
            curve.tail[..],
            [curve.solid[3], (2.0, 5000.0), (end, 5000.0)].map(|(x, y)| (x, histogram_value(y)))
        );
    }

    /// The value that a histogram has for a latency of three digits.
    fn histogram_value(us: f64) -> f64 {
        latency_histogram().highest_equivalent(us as u64) as f64
    }

    #[test]
    fn few_samples_are_a_tail_and_none_are_nothing() {
        let curve = Curve::of(&latency(&[(7, 3)])).unwrap();
        assert!(curve.solid.is_empty());
        assert_eq!(curve.tail, [(0.0, 7.0), (6f64.log10(), 7.0)]);
        assert_eq!(Curve::of(&latency(&[])), None);
    }

    #[test]
    fn without_a_histogram_the_named_percentiles_are_shown() {
        let mut latency = latency(&[(100, 900), (1000, 90), (5000, 10)]);
        latency.hdr = "HISTFAAA".into();
        let curve = Curve::of(&latency).unwrap();
        assert_eq!(curve.solid.first(), Some(&(0.0, 100.0)));
        assert_eq!(curve.tail.last().map(|end| end.1), latency.max_us.map(|us| us as f64));
    }
}
