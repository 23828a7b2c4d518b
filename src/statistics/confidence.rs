//! How far a number of the run would move if the run were done again: confidence intervals from
//! the spread between batches.
//!
//! ```text
//!   x0  x1  x2 ... xk-1           the batches' own values
//!   X                             the value of all of them together
//!   s² = Σ (xi - X)² / (k - 1)    their spread around it
//!   X ± t(k - 1) · s / √k         the interval
//! ```
//!
//! With means, X is the mean of the x, and this is the classical method of batch means (Law,
//! "Simulation Modeling and Analysis"). A percentile of all the samples is not the mean of the
//! batches' percentiles, which are biased the more the fewer samples they have. To centre on the
//! percentile of all and to take the spread around that is "sectioning": Asmussen and Glynn,
//! "Stochastic Simulation" (2007), III.5b; Nakayama, "Confidence intervals for quantiles using
//! sectioning when applying variance-reduction techniques", ACM TOMACS 24 (2014).

use super::batches::{Batch, Batches, P50, P99, Percentile, percentiles_us, rates_per_unit};
use super::percentile_us;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// How often an interval covers the true value.
const LEVEL: f64 = 0.95;

/// The 1% point of the standard normal distribution, one-sided.
const NORMAL_ONE_PERCENT: f64 = 2.33;

/// Intervals that cover the true value in 95 of 100 runs like this one, if this one was steady.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// How often the intervals cover the true value: 0.95.
    pub level: f64,
    /// Batches that they are made from.
    pub batches: usize,
    /// The length of a batch in seconds.
    pub batch_s: f64,
    /// Requests that ended well, per second, up to the end of the last complete batch.
    pub rate_per_s: Range,
    /// The median latency in microseconds; `None` when a batch has fewer than 20 samples.
    pub p50_us: Option<Range>,
    /// The 99th percentile in microseconds; `None` when a batch has fewer than 100 samples.
    pub p99_us: Option<Range>,
    /// Neighbouring batches resemble each other (in rate or median) more than chance allows, at
    /// 1%: the intervals are narrower than they should be. A longer run has longer batches, and
    /// those resemble each other less; unless it drifts.
    pub correlated: bool,
}

/// An interval, with its ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The lower end, at least 0.
    pub low: f64,
    pub high: f64,
}

impl Range {
    fn around(center: f64, half_width: f64) -> Range {
        Range { low: (center - half_width).max(0.0), high: center + half_width }
    }
}

impl Batches {
    /// The intervals; `None` with fewer than ten complete batches.
    pub fn confidence(&self) -> Option<Confidence> {
        let batches = self.enough()?;
        let units: u64 = batches.iter().map(|batch| batch.units).sum();
        let rates = rates_per_unit(batches);
        let all = together(batches);
        let p50s_us = percentiles_us(batches, P50);
        let p99s_us = percentiles_us(batches, P99);
        Some(Confidence {
            level: LEVEL,
            batches: batches.len(),
            batch_s: units as f64 / batches.len() as f64 * self.unit_s(),
            rate_per_s: rate(batches, self.unit_s()),
            p50_us: p50s_us.as_deref().map(|values_us| percentile(values_us, &all, P50)),
            p99_us: p99s_us.map(|values_us| percentile(&values_us, &all, P99)),
            correlated: [Some(rates), p50s_us].iter().flatten().any(|values| correlated(values)),
        })
    }
}

/// The latencies of all batches.
fn together(batches: &[Batch]) -> Histogram<u64> {
    let mut all = Histogram::new_from(&batches[0].total);
    for batch in batches {
        all.add(&batch.total).expect("all histograms have the same bounds");
    }
    all
}

/// The interval of the rate. Batches are of equal length but for a piece that could not be split,
/// so the rate is a ratio of sums, and the spread is that of `ok - rate × units` (Cochran,
/// "Sampling Techniques", on ratio estimators). With equal lengths this is `s / √k` of the rates.
fn rate(batches: &[Batch], unit_s: f64) -> Range {
    let count = batches.len() as f64;
    let units: u64 = batches.iter().map(|batch| batch.units).sum();
    let ok: u64 = batches.iter().map(|batch| batch.ok).sum();
    let per_unit = ok as f64 / units as f64;
    let residuals = batches.iter().map(|batch| batch.ok as f64 - per_unit * batch.units as f64);
    let error = (spread(residuals) * count).sqrt() / units as f64;
    Range::around(per_unit / unit_s, t_quantile(batches.len()) * error / unit_s)
}

/// The interval of a percentile, by sectioning, from that of every batch. It is never narrower than
/// a bucket of the histogram on either side, which cannot distinguish such values.
fn percentile(values_us: &[f64], all: &Histogram<u64>, percentile: Percentile) -> Range {
    let center_us = percentile_us(all, percentile.percent).expect("every batch has samples");
    let residuals = values_us.iter().map(|value_us| value_us - center_us as f64);
    let error_us = (spread(residuals) / values_us.len() as f64).sqrt();
    let bucket_us = all.equivalent_range(center_us) as f64;
    let half_width_us = (t_quantile(values_us.len()) * error_us).max(bucket_us);
    Range::around(center_us as f64, half_width_us)
}

/// The mean square of these residuals, with one degree of freedom lost to their center.
fn spread(residuals: impl ExactSizeIterator<Item = f64>) -> f64 {
    let freedom = residuals.len() as f64 - 1.0;
    residuals.map(|residual| residual * residual).sum::<f64>() / freedom
}

/// Where Student's t with one degree of freedom less than there are batches leaves half of
/// `1 - LEVEL` on either side.
fn t_quantile(batches: usize) -> f64 {
    StudentsT::new(0.0, 1.0, batches as f64 - 1.0)
        .expect("there are at least ten batches")
        .inverse_cdf(0.5 + LEVEL / 2.0)
}

/// Whether neighbours resemble each other more than 1% of independent series do: their lag-1
/// autocorrelation is then about normal with variance `1 / k` (Box and Jenkins, "Time Series
/// Analysis").
fn correlated(values: &[f64]) -> bool {
    lag_1_autocorrelation(values) > NORMAL_ONE_PERCENT / (values.len() as f64).sqrt()
}

/// `Σ (xi - m)(xi+1 - m) / Σ (xi - m)²` with the mean m; 0 when all are equal.
fn lag_1_autocorrelation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let products: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_is_that_of_the_tables() {
        let cases = [(10, 2.262157), (20, 2.093024), (30, 2.045230), (40, 2.022691)];
        for (batches, expected) in cases {
            assert!((t_quantile(batches) - expected).abs() < 1e-6, "{batches} batches");
        }
    }

    #[test]
    fn autocorrelation_is_that_of_hand_made_series() {
        let cases: [(&[f64], f64); 4] = [
            // Deviations -1.5, -0.5, 0.5, 1.5: products 0.75 - 0.25 + 0.75, squares 5.
            (&[1.0, 2.0, 3.0, 4.0], 0.25),
            // Deviations ±1: three products of -1, four squares.
            (&[1.0, 3.0, 1.0, 3.0], -0.75),
            (&[5.0, 5.0, 5.0], 0.0),
            (&[0.0, 0.0], 0.0),
        ];
        for (values, expected) in cases {
            assert!((lag_1_autocorrelation(values) - expected).abs() < 1e-12, "{values:?}");
        }
    }

    #[test]
    fn only_neighbours_that_are_alike_are_correlated() {
        let slope: Vec<f64> = (0..20).map(f64::from).collect();
        let saw: Vec<f64> = (0..20).map(|index| f64::from(index % 2)).collect();
        assert!(correlated(&slope));
        assert!(!correlated(&saw));
        assert!(!correlated(&[7.0; 20]));
    }
}
