//! Second by second after each one's begin.
//!
//! ```text
//!   rows of a      1.0   2.0  ...  9.0  10.0004
//!   rows of b      1.0   2.0  ...  9.0  10.0  10.0007      also where the rest has a row of its own
//!   second           1     2  ...    9    10               first each one's rows, then over all
//! ```
//!
//! Counts are added over the rows and over the results. A gauge is what it was at the end of the
//! second: of one result the last, and only over the results a sum. Where one has longer rows, as
//! of more than an hour, all get rows of that length.

use super::boxes;
use crate::engine::run::series::{Series, row_of};
use crate::result::{Report, Second};
use crate::statistics::rounded;
use std::collections::BTreeMap;

/// A percentile of one row cannot be merged without its histogram: it is the highest of the
/// results', which that of all does not exceed.
pub(super) fn series(reports: &[&Report]) -> Series {
    let intervals_s = reports.iter().map(|report| report.series_interval_s);
    let interval_s = intervals_s.fold(1.0, f64::max);
    let mut rows: BTreeMap<u64, Vec<Second>> = BTreeMap::new();
    for report in reports {
        for (at, row) in of_one(&report.series, interval_s) {
            rows.entry(at).or_default().push(row);
        }
    }
    let boxes_differ = boxes::are_all_different(reports);
    let of_all = |rows: Vec<Second>| {
        // A box whose run is over still has its sockets, which nobody counts.
        let is_whole = boxes_differ && rows.len() == reports.len();
        let time_wait = |sum: u64, row: &Second| Some(sum.saturating_add(row.time_wait?));
        let time_wait = is_whole.then(|| rows.iter().try_fold(0, time_wait)).flatten();
        let cpu_ratio: Option<f64> = rows.iter().map(|row| row.generator_cpu_ratio).sum();
        let in_flight = rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.in_flight));
        // Results of one box may be of one control group, so these do not add up.
        let throttled = rows.iter().filter_map(|row| row.generator_throttled_s);
        let generator_throttled_s = throttled.reduce(f64::max);
        // Boxes and servers are those of each result.
        let sum = rows.into_iter().reduce(|sum, row| sum.joined(0.0, row, 0.0)).unwrap_or_default();
        Second {
            in_flight,
            time_wait,
            generator_cpu_ratio: cpu_ratio.map(|ratio| rounded(ratio, 3)),
            generator_throttled_s,
            host: None,
            server: None,
            ..sum
        }
    };
    let mut series = Series::of(interval_s);
    rows.into_values().map(of_all).for_each(|row| series.push(row));
    series
}

/// One row for each interval.
fn of_one(series: &[Second], interval_s: f64) -> BTreeMap<u64, Second> {
    let mut rows: BTreeMap<u64, Second> = BTreeMap::new();
    let mut begin_s = 0.0;
    for row in series {
        let at = row_of(row.t_s, interval_s) as u64;
        let row_s = row.t_s - begin_s;
        let joined = match rows.remove(&at) {
            Some(sum) => {
                let sum_s = begin_s - (at as f64 - 1.0) * interval_s;
                sum.joined(sum_s, row.clone(), row_s)
            }
            None => row.clone(),
        };
        rows.insert(at, joined);
        begin_s = row.t_s;
    }
    rows
}
