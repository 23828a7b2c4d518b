//! All of it together, on runs that are made up: from a seed, so that they are the same every time.

use super::*;
use fastrand::Rng;
use hdrhistogram::Histogram;
use proptest::prelude::*;
use std::time::Duration;

const UNIT: Duration = Duration::from_millis(100);

/// A histogram of the usual precision up to 4 ms: the usual range would make the tests slow.
fn histogram(values_us: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 4000, 3).unwrap();
    for value_us in values_us {
        histogram.saturating_record(value_us);
    }
    histogram
}

/// A run from the number of answers and the latencies of every piece.
fn run(pieces: impl IntoIterator<Item = (u64, Histogram<u64>)>) -> Batches {
    let mut batches = Batches::new(UNIT);
    for (ok, total) in pieces {
        batches.push(1, ok, &total);
    }
    batches
}

/// A run without latencies.
fn run_of_rates(ok: impl IntoIterator<Item = u64>) -> Batches {
    run(ok.into_iter().map(|ok| (ok, histogram([]))))
}

/// Standard normal (Box and Muller).
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Exponential with a mean of 1.
fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// What is true of [`steady_run`].
const OK_PER_UNIT: f64 = 160.0;
const MEAN_US: f64 = 250.0;

/// Independent exponential latencies, numbers of answers that vary as a Poisson process does.
fn steady_run(rng: &mut Rng, pieces: usize) -> Batches {
    run((0..pieces).map(|_| {
        let ok = (OK_PER_UNIT + OK_PER_UNIT.sqrt() * normal(rng)).round() as u64;
        (ok, histogram((0..ok).map(|_| (MEAN_US * exponential(rng)).round() as u64)))
    }))
}

#[test]
fn samples_are_enough_when_ten_lie_beyond() {
    let cases = [
        (1000, 99.0, true),
        (999, 99.0, false),
        (10_000, 99.9, true),
        (9_999, 99.9, false),
        (100_000, 99.99, true),
        (99_999, 99.99, false),
        (1_000_000, 99.999, true),
        (999_999, 99.999, false),
        (20, 50.0, true),
        (19, 50.0, false),
        (0, 50.0, false),
        (100, 90.0, true),
        (99, 90.0, false),
        (u64::MAX, 100.0, false),
        (u64::MAX, 0.0, true),
    ];
    for (count, percentile, enough) in cases {
        assert_eq!(enough_samples(count, percentile), enough, "{count} for p{percentile}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_on_the_way_through_merges(
        pieces in prop::collection::vec((1..=3_u32, 0..1000_u64, 1..1000_u64), 1..300)
    ) {
        let mut all: Histogram<u64> = Histogram::new_with_bounds(1, 1000, 2).unwrap();
        let mut batches = Batches::new(UNIT);
        for &(units, ok, value_us) in &pieces {
            let mut total = Histogram::new_from(&all);
            total.record_n(value_us, ok).unwrap();
            all.add(&total).unwrap();
            batches.push(units, ok, &total);
        }
        let (length_units, complete, open) = batches.parts();
        let mut merged = (0, 0, Histogram::new_from(&all));
        for batch in complete.iter().chain(open) {
            merged.0 += batch.units;
            merged.1 += batch.ok;
            merged.2.add(&batch.total).unwrap();
        }
        let units = pieces.iter().map(|piece| u64::from(piece.0)).sum();
        let ok = pieces.iter().map(|piece| piece.1).sum();
        prop_assert_eq!(merged, (units, ok, all));
        prop_assert!(complete.len() >= pieces.len().min(20) && complete.len() <= 40);
        prop_assert!(complete.iter().all(|batch| batch.units >= length_units));
        prop_assert!(open.is_none_or(|batch| batch.units < length_units));
    }
}

#[test]
fn batches_double_as_the_run_gets_longer() {
    // Pieces, complete batches, units in each, units in the open one.
    let cases = [
        (9, 9, 1, 0),
        (40, 40, 1, 0),
        (41, 20, 2, 1),
        (42, 21, 2, 0),
        (80, 40, 2, 0),
        (81, 20, 4, 1),
        (1000, 31, 32, 8),
    ];
    for (pieces, complete_expected, units, open_units) in cases {
        let batches = run_of_rates((0..pieces).map(|_| 1));
        let (length_units, complete, open) = batches.parts();
        assert_eq!((length_units, complete.len()), (units, complete_expected), "{pieces}");
        assert!(complete.iter().all(|batch| (batch.units, batch.ok) == (units, units)));
        assert_eq!(open.map_or(0, |batch| batch.units), open_units, "{pieces}");
    }
}

#[test]
fn long_pieces_make_long_batches_of_equal_length() {
    let mut batches = Batches::new(UNIT);
    for _ in 0..50 {
        batches.push(5, 500, &histogram([]));
    }
    let confidence = batches.confidence().unwrap();
    assert_eq!((confidence.batches, confidence.batch_s), (25, 1.0));
    assert_eq!(confidence.rate_per_s, Range { low: 1000.0, high: 1000.0 });
}

#[test]
fn a_long_piece_among_short_ones_does_not_count_as_a_faster_one() {
    let mut batches = Batches::new(UNIT);
    for units in [1, 1, 1, 1, 3, 1, 1, 1, 1, 1] {
        batches.push(units, 100 * u64::from(units), &histogram([]));
    }
    let rate = batches.confidence().unwrap().rate_per_s;
    assert!((rate.low - 1000.0).abs() < 1e-6 && (rate.high - 1000.0).abs() < 1e-6, "{rate:?}");
}

#[test]
fn ten_batches_are_needed_and_the_open_one_is_none_of_them() {
    assert_eq!(run_of_rates([100; 9]).confidence(), None);
    assert_eq!(run_of_rates([100; 9]).steadiness(), None);
    assert!(run_of_rates([100; 10]).confidence().is_some());
    assert!(run_of_rates([100; 10]).steadiness().is_some());
    // 20 batches of two, and half of one that would stand out.
    let with_rest = run_of_rates((0..41).map(|index| if index < 40 { 100 } else { 9000 }));
    assert_eq!(with_rest.confidence().unwrap().rate_per_s, Range { low: 1000.0, high: 1000.0 });
}

#[test]
fn intervals_are_those_computed_by_hand() {
    // Rates of 900/s and 1,100/s: s = 100·√(10/9), s / √10 = 33.33, t = 2.262157.
    // All latencies 900 or 1,100 µs; of all together the median is 900, the p99 1,100. Around
    // either, half of the batches are 200 off: s = 200·√(5/9), s / √10 = 47.14.
    let batches = run((0..10).map(|index| {
        let (ok, value_us) = if index % 2 == 0 { (90, 900) } else { (110, 1100) };
        (ok, histogram([value_us; 100]))
    }));
    let confidence = batches.confidence().unwrap();
    assert_eq!((confidence.level, confidence.batches, confidence.batch_s), (0.95, 10, 0.1));
    let cases = [
        (confidence.rate_per_s, 1000.0, 75.4052),
        (confidence.p50_us.unwrap(), 900.0, 106.6391),
        (confidence.p99_us.unwrap(), 1100.0, 106.6391),
    ];
    for (range, center, half_width) in cases {
        assert!((range.low - (center - half_width)).abs() < 1e-3, "{range:?}");
        assert!((range.high - (center + half_width)).abs() < 1e-3, "{range:?}");
    }
    assert!(!confidence.correlated);
}

#[test]
fn an_interval_ends_at_zero_and_is_not_narrower_than_a_bucket() {
    let bursts = run_of_rates((0..10).map(|index| if index == 3 { 1000 } else { 0 }));
    assert_eq!(bursts.confidence().unwrap().rate_per_s.low, 0.0);
    // From 2,048 µs on, a bucket is 2 µs wide.
    for (value_us, bucket_us) in [(12, 1.0), (3000, 2.0)] {
        let equal = run((0..10).map(|_| (20, histogram([value_us; 20]))));
        let range = equal.confidence().unwrap().p50_us.unwrap();
        assert_eq!(range.high - range.low, 2.0 * bucket_us, "{value_us}");
    }
}

#[test]
fn a_percentile_needs_its_samples_in_every_batch() {
    let cases = [(19, false, false), (20, true, false), (99, true, false), (100, true, true)];
    for (samples, p50, p99) in cases {
        let batches = run((0..12).map(|index| {
            let samples = if index == 5 { samples } else { 500 };
            (500, histogram((0..samples).map(|_| 700)))
        }));
        let (confidence, steadiness) =
            (batches.confidence().unwrap(), batches.steadiness().unwrap());
        assert_eq!((confidence.p50_us.is_some(), confidence.p99_us.is_some()), (p50, p99));
        assert_eq!((steadiness.p50.is_some(), steadiness.p99.is_some()), (p50, p99));
    }
}

#[test]
fn intervals_cover_the_true_value_about_as_often_as_they_say() {
    let mut rng = Rng::with_seed(1982);
    let runs = 400;
    let mut covered = [0; 3];
    let mut correlated = 0;
    for _ in 0..runs {
        let confidence = steady_run(&mut rng, 20).confidence().unwrap();
        let cases = [
            (confidence.rate_per_s, OK_PER_UNIT / UNIT.as_secs_f64()),
            (confidence.p50_us.unwrap(), MEAN_US * 2_f64.ln()),
            (confidence.p99_us.unwrap(), MEAN_US * 100_f64.ln()),
        ];
        for (count, (range, truth)) in covered.iter_mut().zip(cases) {
            *count += u32::from(range.low <= truth && truth <= range.high);
        }
        correlated += u32::from(confidence.correlated);
    }
    for (count, what) in covered.into_iter().zip(["rate", "p50", "p99"]) {
        let ratio = f64::from(count) / f64::from(runs);
        assert!((0.90..=0.99).contains(&ratio), "{what}: {ratio}");
    }
    // Two tests at 1%.
    assert!(f64::from(correlated) <= 0.03 * f64::from(runs), "{correlated}");
}

#[test]
fn a_steady_run_is_found_steady() {
    let mut rng = Rng::with_seed(1945);
    let runs = 300;
    let (mut steady, mut drifts) = (0, [0; 3]);
    for _ in 0..runs {
        let steadiness = steady_run(&mut rng, 20).steadiness().unwrap();
        steady += u32::from(steadiness.verdict == SteadinessVerdict::Steady);
        let trends = [Some(steadiness.rate), steadiness.p50, steadiness.p99];
        for (count, trend) in drifts.iter_mut().zip(trends) {
            *count += u32::from(trend.unwrap().drifts);
        }
    }
    // By the tests' own terms, 99% for each and 97% for all three.
    assert!(drifts.iter().all(|&count| f64::from(count) <= 0.03 * f64::from(runs)), "{drifts:?}");
    assert!(f64::from(steady) >= 0.95 * f64::from(runs), "{steady} of {runs}");
}

#[test]
fn a_rate_that_resembles_its_neighbour_is_correlated() {
    let mut rng = Rng::with_seed(3);
    let mut level = 0.0;
    let batches = run_of_rates((0..30).map(|_| {
        level = 0.9 * level + normal(&mut rng);
        (1000.0 + 20.0 * level) as u64
    }));
    assert!(batches.confidence().unwrap().correlated);
}

/// The rate at a point of the run, from 0 to 1, with noise.
fn noisy_rates(rng: &mut Rng, noise: f64, rate: impl Fn(f64) -> f64) -> Batches {
    let pieces = 70;
    run_of_rates((0..pieces).map(|index| {
        let at = f64::from(index) / f64::from(pieces);
        (rate(at) * (1.0 + noise * normal(rng))).round() as u64
    }))
}

#[test]
fn a_rate_that_falls_or_rises_by_a_fifth_is_found() {
    let mut rng = Rng::with_seed(1968);
    for change in [-0.2, 0.2] {
        for _ in 0..50 {
            let drift = |at: f64| 10_000.0 * (1.0 + change * at);
            let steadiness = noisy_rates(&mut rng, 0.02, drift).steadiness().unwrap();
            assert_eq!(steadiness.verdict, SteadinessVerdict::Drifting, "{steadiness:?}");
            assert!((steadiness.rate.change_ratio - change).abs() < 0.05, "{steadiness:?}");
        }
    }
}

#[test]
fn a_step_early_in_the_run_is_found_with_and_without_noise() {
    let mut rng = Rng::with_seed(30);
    for noise in [0.0, 0.002, 0.02] {
        for _ in 0..50 {
            let step = |at: f64| if at < 0.3 { 10_000.0 } else { 8_000.0 };
            let steadiness = noisy_rates(&mut rng, noise, step).steadiness().unwrap();
            assert_eq!(steadiness.verdict, SteadinessVerdict::Drifting, "{steadiness:?}");
            assert!((steadiness.rate.change_ratio + 0.2).abs() < 0.05, "{steadiness:?}");
        }
    }
}

#[test]
fn a_run_that_ends_in_silence_or_in_failures_is_not_steady() {
    // (Pieces in which requests end well, pieces with answers) of 40 or, in batches of two, 80.
    for (pieces, ok, answers, no_ok, no_answer) in [
        (40, 8, 8, Some(0.8), Some(0.8)),
        (40, 12, 12, Some(1.2), Some(1.2)),
        (40, 2, 2, Some(0.2), Some(0.2)),
        (80, 65, 65, Some(6.5), Some(6.5)),
        (80, 65, 80, Some(6.5), None),
        (80, 80, 80, None, None),
    ] {
        let batches = run((0..pieces).map(|at| {
            let answers = if at < answers { 500 } else { 0 };
            (if at < ok { 500 } else { 0 }, histogram((0..answers).map(|_| 700)))
        }));
        let steadiness = batches.steadiness().unwrap();
        let silences = (steadiness.no_ok_after_s, steadiness.no_answer_after_s);
        assert_eq!(silences, (no_ok, no_answer), "{steadiness:?}");
        let expected =
            if no_ok.is_some() { SteadinessVerdict::Drifting } else { SteadinessVerdict::Steady };
        assert_eq!(steadiness.verdict, expected, "{steadiness:?}");
        let expected = if no_ok.is_some() { -1.0 } else { 0.0 };
        assert_eq!(steadiness.rate.change_ratio, expected, "{steadiness:?}");
    }
}

#[test]
fn a_run_in_which_nothing_ended_well_is_neither_steady_nor_not() {
    let nothing = run_of_rates([0; 40]);
    assert_eq!((nothing.confidence(), nothing.steadiness()), (None, None));
    let failures = run((0..40).map(|_| (0, histogram([700; 500]))));
    assert_eq!(failures.steadiness(), None);
    assert!(failures.confidence().unwrap().p50_us.is_some(), "answers with a latency");
}

#[test]
fn a_latency_that_grows_is_found_while_the_rate_stays() {
    let mut rng = Rng::with_seed(99);
    let batches = run((0..30).map(|index| {
        let mean_us = MEAN_US * (1.0 + 0.5 * f64::from(index) / 30.0);
        (300, histogram((0..300).map(|_| (mean_us * exponential(&mut rng)).round() as u64)))
    }));
    let steadiness = batches.steadiness().unwrap();
    assert_eq!(steadiness.verdict, SteadinessVerdict::Drifting);
    assert!(!steadiness.rate.drifts);
    assert!(steadiness.p50.unwrap().drifts && steadiness.p99.unwrap().drifts, "{steadiness:?}");
}

#[test]
fn results_are_written_with_their_units() {
    let batches = run_of_rates([100; 10]);
    let confidence = serde_json::to_value(batches.confidence()).unwrap();
    let range = serde_json::json!({ "low": 1000.0, "high": 1000.0 });
    let expected = serde_json::json!({
        "level": 0.95, "batches": 10, "batch_s": 0.1, "rate_per_s": range,
        "p50_us": null, "p99_us": null, "correlated": false,
    });
    assert_eq!(confidence, expected);
    let steadiness = serde_json::to_value(batches.steadiness()).unwrap();
    let trend = serde_json::json!({ "change_ratio": 0.0, "p_value": 1.0, "drifts": false });
    let expected = serde_json::json!({
        "verdict": "steady", "rate": trend, "p50": null, "p99": null,
        "no_ok_after_s": null, "no_answer_after_s": null,
    });
    assert_eq!(steadiness, expected);
}
