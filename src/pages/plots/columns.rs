//! The seconds of a run, as many to a column as leave the columns wide enough to be seen: a run of
//! an hour has more rows than a picture has pixels.
//!
//! ```text
//!   rows      | | | | | | | | | | | | | | | ¦      the last one may be shorter than a second
//!   columns   |     |     |     |     |     ¦      the mean, the lowest or the highest of their rows
//! ```

use super::axis::sane;
use crate::result::Second;

/// Columns of a plot, at most: about two pixels each.
const COLUMNS_MAX: usize = 300;

/// What is later is no time of a run, but a document that somebody made up.
const TIME_S_MAX: f64 = 1e9;

/// A last row that is shorter than this part of the one before it is too short for a rate of its
/// own.
const SHORT_RATIO: f64 = 0.25;

/// A second, and how long it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlotRow<'a> {
    begin_s: f64,
    second: &'a Second,
    /// Whether it is too short for a rate of its own.
    short: bool,
}

/// Rows that are shown as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a>(&'a [PlotRow<'a>]);

/// A rate, and those of the lowest and the highest row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ColumnRates {
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The rows in their order in time; what does not come after the one before is left out.
pub(super) fn rows(series: &[Second]) -> Vec<PlotRow<'_>> {
    let mut rows: Vec<PlotRow<'_>> = Vec::with_capacity(series.len());
    let mut begin_s = 0.0;
    for second in series {
        let later = sane(second.t_s).filter(|end_s| *end_s > begin_s && *end_s <= TIME_S_MAX);
        if let Some(end_s) = later {
            rows.push(PlotRow { begin_s, second, short: false });
            begin_s = end_s;
        }
    }
    if let [.., before, last] = &mut rows[..] {
        last.short = last.length_s() < SHORT_RATIO * before.length_s();
    }
    rows
}

/// The columns that the rows make.
pub(super) fn columns<'a>(rows: &'a [PlotRow<'a>]) -> Vec<Column<'a>> {
    let (whole, short) = match rows {
        [whole @ .., last] if last.short => (whole, 1),
        all => (all, 0),
    };
    let size = whole.len().div_ceil(COLUMNS_MAX).max(1);
    let ends = (1..=whole.len().div_ceil(size)).map(|at| (at * size).min(whole.len()));
    ends.scan(0, |begin, end| {
        let last = if end == whole.len() { end + short } else { end };
        let column = Column(&rows[*begin..last]);
        *begin = end;
        Some(column)
    })
    .collect()
}

/// How many seconds a column is about, when they are more than one.
pub(super) fn reduced_s(columns: &[Column<'_>]) -> Option<u64> {
    let [first, ..] = columns else { return None };
    let rows = first.0.iter().filter(|row| !row.short).count();
    (rows > 1).then(|| (first.end_s() - first.begin_s()).round() as u64)
}

impl PlotRow<'_> {
    fn length_s(&self) -> f64 {
        self.second.t_s - self.begin_s
    }
}

impl Column<'_> {
    pub(super) fn begin_s(&self) -> f64 {
        self.0[0].begin_s
    }

    pub(super) fn end_s(&self) -> f64 {
        self.0[self.0.len() - 1].second.t_s
    }

    pub(super) fn middle_s(&self) -> f64 {
        (self.begin_s() + self.end_s()) / 2.0
    }

    fn seconds(&self) -> impl Iterator<Item = &Second> {
        self.0.iter().map(|row| row.second)
    }

    /// How often something was counted, per second.
    pub(super) fn rates(&self, count: impl Fn(&Second) -> u64) -> ColumnRates {
        let total: f64 = self.seconds().map(|second| count(second) as f64).sum();
        let mean = sane(total / (self.end_s() - self.begin_s())).unwrap_or(0.0);
        let long = self.0.iter().filter(|row| !row.short);
        let each = long.filter_map(|row| sane(count(row.second) as f64 / row.length_s()));
        each.fold(ColumnRates { mean, low: mean, high: mean }, |rates, rate| ColumnRates {
            mean,
            low: rates.low.min(rate),
            high: rates.high.max(rate),
        })
    }

    /// The highest value of a row; `None` where no row has one.
    pub(super) fn highest(&self, value: impl Fn(&Second) -> Option<u64>) -> Option<f64> {
        self.seconds().filter_map(value).max().map(|highest| highest as f64)
    }

    /// The mean of the rows that have a value.
    pub(super) fn mean(&self, value: impl Fn(&Second) -> Option<f64>) -> Option<f64> {
        let values = self.seconds().filter_map(|second| value(second).and_then(sane));
        let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }
}

/// Points, cut where there is none.
pub(super) fn cut<T>(points: impl IntoIterator<Item = Option<T>>) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match (point, runs.last_mut()) {
            (Some(point), Some(run)) => run.push(point),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(t_s: f64, ok: u64) -> Second {
        Second { t_s, ok, ..Second::default() }
    }

    fn rates(series: &[Second]) -> Vec<ColumnRates> {
        columns(&rows(series)).iter().map(|column| column.rates(|row| row.ok)).collect()
    }

    #[test]
    fn a_rate_is_per_second_of_the_row() {
        let alone = |rate| ColumnRates { mean: rate, low: rate, high: rate };
        assert_eq!(rates(&[]), []);
        assert_eq!(rates(&[second(0.5, 10)]), [alone(20.0)]);
        assert_eq!(rates(&[second(1.0, 10), second(1.5, 10)]), [alone(10.0), alone(20.0)]);
        // 3 requests in 5 ms are no 600/s.
        let with_rest = rates(&[second(1.0, 10), second(1.005, 3)]);
        assert_eq!(with_rest.len(), 1);
        assert!((with_rest[0].mean - 13.0 / 1.005).abs() < 1e-9);
        assert_eq!((with_rest[0].low, with_rest[0].high), (10.0, with_rest[0].mean));
    }

    #[test]
    fn no_row_is_lost_among_many() {
        for (seconds, worst) in
            [(1, 0), (299, 7), (300, 299), (301, 300), (3600, 1801), (86_400, 5)]
        {
            let mut series: Vec<Second> =
                (0..seconds).map(|at| second(at as f64 + 1.0, 100)).collect();
            series[worst].ok = 0;
            series[worst].max_us = Some(9);
            let rows = rows(&series);
            let columns = columns(&rows);
            assert!(columns.len() <= COLUMNS_MAX, "{seconds}");
            assert_eq!(columns.iter().map(|column| column.0.len()).sum::<usize>(), seconds);
            assert_eq!(
                columns.iter().filter(|column| column.rates(|row| row.ok).low == 0.0).count(),
                1
            );
            let highest = |column: &Column<'_>| column.highest(|row| row.max_us) == Some(9.0);
            assert_eq!(columns.iter().filter(|column| highest(column)).count(), 1);
        }
    }

    #[test]
    fn rows_out_of_time_are_left_out() {
        let times = [1.0, f64::NAN, 0.5, 1.0, 2.0, f64::INFINITY, -3.0, 1e300];
        let series: Vec<Second> = times.iter().map(|&t_s| second(t_s, 1)).collect();
        let kept: Vec<f64> = rows(&series).iter().map(|row| row.second.t_s).collect();
        assert_eq!(kept, [1.0, 2.0]);
    }

    #[test]
    fn a_line_is_cut_where_there_is_nothing() {
        assert_eq!(cut([None, Some(1), Some(2), None, None, Some(3)]), [vec![1, 2], vec![3]]);
        assert!(cut::<u8>([None, None]).is_empty());
    }
}
