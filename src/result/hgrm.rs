//! The percentiles of a latency as the tools of HdrHistogram read them (`.hgrm`): the table that
//! wrk2 prints and <https://hdrhistogram.github.io/HdrHistogram/plotFiles.html> plots. Values are
//! in milliseconds, as there.

use crate::words::quantities::NOTHING;
use hdrhistogram::Histogram;
use std::fmt::Write;

/// Steps on the way to each halving of the rest, as in wrk2.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The table of a histogram in microseconds.
pub fn table(histogram: &Histogram<u64>) -> String {
    let ms = |us: f64| us / 1e3;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut seen = 0u64;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        seen = seen.saturating_add(step.count_since_last_iteration());
        let quantile = step.quantile_iterated_to();
        let _ = writeln!(
            text,
            "{:12.3} {quantile:14.12} {seen:10} {:14.2}",
            ms(step.value_iterated_to() as f64),
            1.0 / (1.0 - quantile)
        );
    }
    let number = |us: f64| match histogram.is_empty() {
        true => NOTHING.into(),
        false => format!("{:.3}", ms(us)),
    };
    // The two numbers of the last line are of the implementation; readers skip the lines with #.
    let sub_buckets = 2 * 10u64.pow(histogram.sigfig().into());
    let sub_buckets = sub_buckets.next_power_of_two();
    let buckets = (histogram.high() / sub_buckets).next_power_of_two().ilog2() + 1;
    let _ = write!(
        text,
        "#[Mean    = {:>12}, StdDeviation   = {:>12}]\n\
         #[Max     = {:>12}, Total count    = {:12}]\n\
         #[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]\n",
        number(histogram.mean()),
        number(histogram.stdev()),
        number(histogram.max() as f64),
        histogram.len(),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::latency_histogram;

    #[test]
    fn a_table_reads_as_that_of_wrk2() {
        let mut histogram = latency_histogram();
        for us in [1_000; 99] {
            histogram.record(us).unwrap();
        }
        histogram.record(10_000).unwrap();
        let text = table(&histogram);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "       1.000 0.000000000000         99           1.00");
        let last = lines.iter().rfind(|line| !line.starts_with('#')).unwrap();
        assert_eq!(*last, "      10.007 1.000000000000        100            inf");
        assert!(
            text.contains("#[Max     =       10.007, Total count    =          100]"),
            "{text}"
        );
        // Every row: never less than the one before, and never more samples than there are.
        let rows: Vec<Vec<f64>> = lines[2..]
            .iter()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
            .collect();
        assert!(rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]), "{text}");
    }

    #[test]
    fn nothing_measured_is_a_table_without_rows() {
        let text = table(&latency_histogram());
        assert!(
            text.contains("#[Mean    =            -, StdDeviation   =            -]"),
            "{text}"
        );
        assert!(
            text.contains("#[Max     =            -, Total count    =            0]"),
            "{text}"
        );
        assert!(!text.contains("NaN"), "{text}");
    }
}
