//! Whether the run was the same from start to end.
//!
//! A mean over a drift is a number that no request had. Two questions are asked of the batches'
//! values, and only both together make a drift:
//!
//! - Is it real? The Mann-Kendall test counts, over all pairs of batches, how many rise and how
//!   many fall; it asks nothing of the distribution but that the order is by chance (Mann 1945;
//!   Kendall, "Rank Correlation Methods"). Batches that resemble their neighbours make it find
//!   trends too often, which [`super::Confidence::correlated`] tells.
//! - Does it matter? With enough requests, a change by a thousandth is real.
//!
//! ```text
//!   ........····''''''    slope     the ends of the line with the Theil-Sen slope
//!   ......''''''''''''    step      the median of the first third, that of the last
//! ```
//!
//! A run that ended in silence is not steady either, however short the silence was beside the run:
//! see [`super::silence`].

use super::batches::{Batches, P50, P99, percentiles_us, rates_per_unit};
use super::numbers::rounded;
use super::silence::Silence;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

/// The probability, under no trend at all, below which a trend is real.
const P_VALUE_MAX: f64 = 0.01;

/// The change of the rate from which on it matters.
const RATE_CHANGE_MIN: f64 = 0.05;

/// The change of a latency from which on it matters: percentiles vary more than rates.
const LATENCY_CHANGE_MIN: f64 = 0.10;

/// How the run went from start to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steadiness {
    /// `Drifting` if any of the three drifts. Three tests at 1% find something in at most about 3
    /// of 100 steady runs.
    pub verdict: SteadinessVerdict,
    /// Requests that ended well, per second.
    pub rate: Trend,
    /// The median latency; `None` when a batch has fewer than 20 samples.
    pub p50: Option<Trend>,
    /// The 99th percentile; `None` when a batch has fewer than 100 samples.
    pub p99: Option<Trend>,
    /// When the last request ended well, in seconds, if the run went on for longer after that than
    /// chance explains: then the rate has fallen by all of it.
    #[serde(default)]
    pub no_ok_after_s: Option<f64>,
    /// The same of answers with whatever status; `None` where there were some until the end.
    #[serde(default)]
    pub no_answer_after_s: Option<f64>,
}

/// Whether the run was steady.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SteadinessVerdict {
    /// Nothing has drifted that could be seen: its numbers describe all of the run.
    Steady,
    /// Rate or latency has drifted: the numbers are a mean over different things.
    Drifting,
}

/// What became of one value over the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// The change from start to end over the value at the start; +0.12 is a rise by 12%, and -1 a
    /// fall by all of it. It is the larger of a slope over the whole run and a step within it; over
    /// the mean if the value was 0 at the start.
    pub change_ratio: f64,
    /// The probability of a trend as clear as this, up or down, where there is none.
    pub p_value: f64,
    /// Whether it is real (`p_value` below 0.01) and matters (`change_ratio` at least 0.05 either
    /// way for a rate, 0.10 for a latency).
    pub drifts: bool,
}

impl Batches {
    /// Whether rate and latency have drifted; `None` with fewer than ten complete batches, and where
    /// no request ended well.
    pub fn steadiness(&self) -> Option<Steadiness> {
        let batches = self.enough().filter(|_| self.any_ok())?;
        let latency = |percentile| {
            let values_us = percentiles_us(batches, percentile)?;
            Some(Trend::of(&values_us, LATENCY_CHANGE_MIN))
        };
        let [no_ok, no_answer] = self.silences();
        let rate = Trend::of(&rates_per_unit(batches), RATE_CHANGE_MIN);
        let rate = no_ok.map_or(rate, |silence| rate.ended(silence));
        let (p50, p99) = (latency(P50), latency(P99));
        let drifting = [Some(rate), p50, p99].iter().flatten().any(|trend| trend.drifts);
        let verdict =
            if drifting { SteadinessVerdict::Drifting } else { SteadinessVerdict::Steady };
        let since_s = |silence: Silence| rounded(silence.since as f64 * self.unit_s(), 3);
        let (no_ok_after_s, no_answer_after_s) = (no_ok.map(since_s), no_answer.map(since_s));
        Some(Steadiness { verdict, rate, p50, p99, no_ok_after_s, no_answer_after_s })
    }
}

impl Trend {
    /// The trend of values in the order of time, none negative, at least three.
    fn of(values: &[f64], change_min: f64) -> Trend {
        let (score, variance) = mann_kendall(values);
        let p_value = two_sided_p_value(score, variance);
        let change_ratio = change_ratio(values);
        let drifts = p_value < P_VALUE_MAX && change_ratio.abs() >= change_min;
        Trend { change_ratio, p_value, drifts }
    }

    /// The same for a rate that fell to zero.
    fn ended(self, silence: Silence) -> Trend {
        let p_value = self.p_value.min(silence.p_value);
        Trend { change_ratio: -1.0, p_value, drifts: true }
    }
}

/// The score S (pairs that rise, less pairs that fall) and its variance when the order is by
/// chance, `(n(n-1)(2n+5) - Σ t(t-1)(2t+5)) / 18` with groups of t equal values (Kendall; also
/// Hirsch, Slack and Smith, Water Resources Research 18, 1982).
fn mann_kendall(values: &[f64]) -> (i64, f64) {
    let signs = pairs(values).map(|(_, earlier, later)| match later.total_cmp(&earlier) {
        std::cmp::Ordering::Less => -1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => 1,
    });
    let score = signs.sum();
    let term = |group: usize| (group * group.saturating_sub(1) * (2 * group + 5)) as f64;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|group| term(group.len())).sum();
    (score, (term(values.len()) - ties) / 18.0)
}

/// The normal approximation: `|S|` is moved by one towards 0, since S comes in steps (of two,
/// without ties).
fn two_sided_p_value(score: i64, variance: f64) -> f64 {
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (score.abs() - 1).max(0) as f64 / variance.sqrt();
    erfc(z / std::f64::consts::SQRT_2)
}

/// The change over the run relative to the value at its start; to the mean if that is 0; 0 if all
/// values are 0. Never below -1, as no value is below 0.
///
/// The slope alone would miss a step: with a step at 30% of the run, 58% of the pairs lie on one
/// side of it, and their median slope is that of the noise. The step alone would take a slope for
/// two thirds of what it is.
fn change_ratio(values: &[f64]) -> f64 {
    let change = |(begin, end): (f64, f64)| end - begin;
    let (line, step) = (line(values), step(values));
    let ends = if change(line).abs() >= change(step).abs() { line } else { step };
    let base = match ends.0 {
        0.0 => values.iter().sum::<f64>() / values.len() as f64,
        begin => begin,
    };
    if base > 0.0 { change(ends) / base } else { 0.0 }
}

/// The ends of the line with the median slope through the middle of the values, as far as there
/// were such values: what did not come in a line would end below 0, or above all that was seen.
fn line(values: &[f64]) -> (f64, f64) {
    let slope = theil_sen(values);
    let level = |(at, value): (usize, &f64)| value - slope * at as f64;
    let begin = median(values.iter().enumerate().map(level).collect());
    let end = begin + slope * values.len().saturating_sub(1) as f64;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    (begin.min(high).max(low), end.min(high).max(low))
}

/// The change from one value to the next: the median slope over all pairs (Theil 1950; Sen 1968).
/// Up to 29% of the values may be anything without moving it far.
fn theil_sen(values: &[f64]) -> f64 {
    median(pairs(values).map(|(steps, earlier, later)| (later - earlier) / steps).collect())
}

/// The medians of the first third and of the last.
fn step(values: &[f64]) -> (f64, f64) {
    let third = values.len() / 3;
    let (first, last) = (&values[..third], &values[values.len() - third..]);
    (median(first.to_vec()), median(last.to_vec()))
}

/// All pairs of an earlier and a later value, with the steps between them.
fn pairs(values: &[f64]) -> impl Iterator<Item = (f64, f64, f64)> {
    values.iter().enumerate().flat_map(|(index, &earlier)| {
        let later = values[index + 1..].iter();
        later.enumerate().map(move |(between, &later)| ((between + 1) as f64, earlier, later))
    })
}

/// The middle value, or the mean of the middle two; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => 0.0,
        (half, 0) => f64::midpoint(values[half - 1], values[half]),
        (half, _) => values[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sequence in Gilbert, "Statistical Methods for Environmental Pollution Monitoring" (1987),
    /// p. 212, where Z is 3.1. Six times 20; 23, 26 and 30 twice.
    const GILBERT: [f64; 22] = [
        20.0, 20.0, 20.0, 20.0, 15.0, 20.0, 20.0, 30.0, 27.0, 26.0, 23.0, 35.0, 25.0, 28.0, 70.0,
        26.0, 24.0, 34.0, 32.0, 23.0, 50.0, 30.0,
    ];

    #[test]
    fn score_variance_and_p_value_are_those_of_known_series() {
        let to_100: Vec<f64> = (1..=100).map(f64::from).collect();
        let cases: [(&[f64], i64, f64, f64); 6] = [
            // 22·21·49 = 22638; ties 6·5·17 + 3·(2·1·9) = 564; Z = 110 / √(22074 / 18).
            (&GILBERT, 111, 22074.0 / 18.0, 0.001_682_868_9),
            // The documented result of pyMannKendall: Z = 14.73869998.
            (&to_100, 4950, 112_750.0, 3.5e-49),
            // 3 pairs rise, 2 fall, one is even: 4·3·13 - 2·1·9 = 138; Z = 0.
            (&[1.0, 3.0, 2.0, 2.0], 1, 138.0 / 18.0, 1.0),
            // 0 rise, 10 fall: 5·4·15 / 18 = 16.67; Z = 9 / 4.0825 = 2.2045.
            (&[5.0, 4.0, 3.0, 2.0, 1.0], -10, 300.0 / 18.0, 0.027_486_34),
            (&[7.0, 7.0, 7.0], 0, 0.0, 1.0),
            (&[0.0, 0.0, 0.0], 0, 0.0, 1.0),
        ];
        for (values, score, variance, p_value) in cases {
            let (actual, spread) = mann_kendall(values);
            assert_eq!((actual, spread), (score, variance), "{values:?}");
            let p = two_sided_p_value(actual, spread);
            assert!((p - p_value).abs() <= 1e-8, "{values:?}: {p}");
        }
    }

    #[test]
    fn slopes_are_medians_over_pairs() {
        let cases: [(&[f64], f64); 4] = [
            (&[1.0, 3.0, 5.0, 7.0], 2.0),
            // One wild value does not count: the slopes are 1, 1, 1, 99/3, 97/2, 97.
            (&[1.0, 2.0, 3.0, 100.0], 17.0),
            (&[1.0, 2.0, 100.0, 4.0, 5.0], 1.0),
            (&[4.0, 4.0, 4.0], 0.0),
        ];
        for (values, expected) in cases {
            assert!((theil_sen(values) - expected).abs() < 1e-12, "{values:?}");
        }
    }

    #[test]
    fn a_change_is_that_of_a_slope_or_of_a_step_relative_to_the_begin() {
        let slope: Vec<f64> = (0..20).map(|index| 90.5 + f64::from(index)).collect();
        let step: Vec<f64> = (0..20).map(|index| if index < 6 { 80.0 } else { 100.0 }).collect();
        let late: Vec<f64> = (0..20).map(|index| if index < 11 { 0.0 } else { 6.0 }).collect();
        let reversed = |values: &[f64]| values.iter().rev().copied().collect::<Vec<f64>>();
        let cases = [
            // By 1 a batch, from 90.5 to 109.5.
            (reversed(&slope), -19.0 / 109.5),
            (slope, 19.0 / 90.5),
            (reversed(&step), -0.20),
            (step, 0.25),
            // By all of it, wherever it stops: not by the slope of where it did not.
            (reversed(&late), -1.0),
            // From nothing, over the mean of 2.7.
            (late, 6.0 / 2.7),
            (vec![0.0; 20], 0.0),
            (vec![3.0; 20], 0.0),
        ];
        for (values, expected) in cases {
            let actual = change_ratio(&values);
            assert!((actual - expected).abs() < 1e-12, "{values:?}: {actual}");
        }
    }

    proptest! {
        #[test]
        fn no_change_is_beyond_what_was_seen(values in prop::collection::vec(0.0..1e6, 3..50)) {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            let change = change_ratio(&values);
            prop_assert!(change >= -1.0 && change.is_finite(), "{change}");
            if low > 0.0 {
                prop_assert!(change <= high / low - 1.0 + 1e-9, "{change}");
                prop_assert!(change >= low / high - 1.0 - 1e-9, "{change}");
            }
        }
    }

    #[test]
    fn what_is_real_but_small_and_what_is_large_but_chance_is_no_drift() {
        let small: Vec<f64> = (0..20).map(|index| 1000.0 + f64::from(index)).collect();
        let chance = [100.0, 140.0, 90.0, 130.0, 110.0, 150.0, 80.0, 145.0, 120.0, 135.0];
        let (small, chance) =
            (Trend::of(&small, RATE_CHANGE_MIN), Trend::of(&chance, RATE_CHANGE_MIN));
        assert!(small.p_value < 1e-6 && !small.drifts, "{small:?}");
        assert!(chance.change_ratio > 0.05 && !chance.drifts, "{chance:?}");
    }
}
