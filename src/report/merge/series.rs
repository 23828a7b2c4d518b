//! Second by second after each one's begin.
//!
//! ```text
//!   rows of a      1.0   2.0  ...  10.0  10.0004      what was left at the end has a row of its own
//!   rows of b      1.0   2.0  ...  10.0  10.0007
//!   second           1     2  ...    10               first each one's rows, then over all
//! ```
//!
//! Counts are added over the rows and over the results. A gauge is what it was at the end of the
//! second: of one result the last, and only over the results a sum.

use super::boxes;
use crate::report::{Report, Second};
use crate::statistics::rounded;
use std::collections::BTreeMap;

/// What is left of a second at the end of a run belongs to the second before when it is shorter.
const REST_MAX_S: f64 = 0.05;

/// A percentile of one second cannot be merged without its histogram: it is the highest of the
/// results', which that of all does not exceed.
pub(super) fn series(reports: &[&Report]) -> Vec<Second> {
    let mut seconds: BTreeMap<u64, Vec<Second>> = BTreeMap::new();
    for report in reports {
        for (second, row) in of_one(&report.series) {
            seconds.entry(second).or_default().push(row);
        }
    }
    let boxes_differ = boxes::are_all_different(reports);
    let of_all = |rows: Vec<Second>| {
        // A box whose run is over still has its sockets, which nobody counts.
        let is_whole = boxes_differ && rows.len() == reports.len();
        let mut sum = rows.iter().fold(Second::default(), add_counts);
        sum.in_flight = rows.iter().fold(0, |sum, row| sum.saturating_add(row.in_flight));
        let time_wait = |sum: u64, row: &Second| Some(sum.saturating_add(row.time_wait?));
        sum.time_wait = is_whole.then(|| rows.iter().try_fold(0, time_wait)).flatten();
        let cpu_ratio: Option<f64> = rows.iter().map(|row| row.generator_cpu_ratio).sum();
        sum.generator_cpu_ratio = cpu_ratio.map(|ratio| rounded(ratio, 3));
        sum
    };
    seconds.into_values().map(of_all).collect()
}

/// A row for each second.
fn of_one(series: &[Second]) -> BTreeMap<u64, Second> {
    let mut rows: BTreeMap<u64, Second> = BTreeMap::new();
    let mut begin_s = 0.0;
    for row in series {
        let second = (row.t_s - REST_MAX_S).ceil().max(0.0) as u64;
        let sum = rows.entry(second).or_default();
        // The ratio is of the row's own length.
        let (sum_s, row_s) = ((begin_s - second as f64 + 1.0).max(0.0), row.t_s - begin_s);
        let cpu_ratio = match (sum.generator_cpu_ratio, row.generator_cpu_ratio) {
            (Some(sum), Some(row)) if sum_s + row_s > 0.0 => {
                Some((sum * sum_s + row * row_s.max(0.0)) / (sum_s + row_s.max(0.0)))
            }
            (sum, row) => row.or(sum),
        };
        *sum = Second {
            in_flight: row.in_flight,
            time_wait: row.time_wait,
            generator_cpu_ratio: cpu_ratio,
            ..add_counts(std::mem::take(sum), row)
        };
        begin_s = row.t_s;
    }
    rows
}

/// Adds what adds up, and keeps the highest of what does not; without the gauges.
fn add_counts(sum: Second, row: &Second) -> Second {
    let opening_us = |row: &Second| row.connect_mean_us.unwrap_or(0.0) * row.connections as f64;
    let connections = sum.connections.saturating_add(row.connections);
    let mean_us = (opening_us(&sum) + opening_us(row)) / connections as f64;
    Second {
        t_s: sum.t_s.max(row.t_s),
        requests: sum.requests.saturating_add(row.requests),
        ok: sum.ok.saturating_add(row.ok),
        failed: sum.failed.saturating_add(row.failed),
        connections,
        connect_mean_us: (connections > 0).then(|| rounded(mean_us, 1)),
        p50_us: sum.p50_us.max(row.p50_us),
        p99_us: sum.p99_us.max(row.p99_us),
        max_us: sum.max_us.max(row.max_us),
        ..Second::default()
    }
}
