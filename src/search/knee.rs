//! The rate from which more load mostly buys latency.
//!
//! The idea of V. Satopää, J. Albrecht, D. Irwin, B. Raghavan, "Finding a 'Kneedle' in a Haystack:
//! Detecting Knee Points in System Behavior", ICDCSW 2011, for a curve that rises and bends
//! upwards: both axes are brought to 0..1, and the knee is where the curve lies farthest below the
//! straight line between its ends.
//!
//! ```text
//!   1 │           ╱│       x = (rate - lowest) / (highest - lowest)
//!     │        ╱   │       y = the same of the logarithm of the latency
//!     │     ╱     .│
//!     │  ╱   │   . │       knee: the largest x - y
//!   0 │╱.....│..   │
//!     └──────┴─────┘
//!     0     knee   1
//! ```
//!
//! The latency is taken by its logarithm. That of an M/M/1 queue is 1/(1-rho) of the one without
//! load, without bound towards rho = 1, and on a linear axis the last point decides everything: the
//! knee of a curve from no load to rho = m comes out at 1 - sqrt(1-m), which is 0.78 for 0.95, 0.90
//! for 0.99 and 0.97 for 0.999; and where the last step was beyond saturation all other points are
//! flat beside it. With the logarithm it is at 1 - m / -ln(1-m): 0.68, 0.79 and 0.86. How close to
//! the edge the search happened to end matters much less, and an exponential rise, which looks the
//! same everywhere, has no knee.

/// Fewer points say nothing about a bend.
const POINTS_MIN: usize = 4;

/// A latency that does not even double over the whole curve is noise or a slope.
const RISE_MIN: f64 = 2.0;

/// How far the knee lies below the straight line, of 1, to be one.
const DISTANCE_MIN: f64 = 0.1;

/// The index of the knee in points of `(rate, latency)`, in any units, by rising rate, each rate
/// once. `None` when there are too few points or there is no knee, and when a latency is not
/// positive.
pub(crate) fn knee(points: &[(f64, f64)]) -> Option<usize> {
    let rising = rising(points);
    let (&(lowest, min), &(highest, max)) = (rising.first()?, rising.last()?);
    let rises = min > 0.0 && max.is_finite() && max >= RISE_MIN * min;
    if rising.len() < POINTS_MIN || !rises || lowest >= highest {
        return None;
    }
    let distance = |&(rate, latency): &(f64, f64)| {
        (rate - lowest) / (highest - lowest) - (latency / min).ln() / (max / min).ln()
    };
    let (index, farthest) = rising
        .iter()
        .map(distance)
        .enumerate()
        .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (farthest >= DISTANCE_MIN).then_some(index)
}

/// The points with latencies that never fall: each is at most the lowest of those at higher rates.
/// What is slow only at a low load (an idle CPU that has to wake up, a cold cache, noise) is no
/// bend of the curve that is looked for.
fn rising(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut rising = points.to_vec();
    let mut lowest = f64::INFINITY;
    for (_, latency) in rising.iter_mut().rev() {
        lowest = lowest.min(*latency);
        *latency = lowest;
    }
    rising
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mean time in an M/M/1 queue that serves 1/s: 1/(1-rho).
    fn queue(loads: &[f64]) -> Vec<(f64, f64)> {
        loads.iter().map(|rho| (*rho, 1.0 / (1.0 - rho))).collect()
    }

    fn knee_rate(points: &[(f64, f64)]) -> Option<f64> {
        knee(points).map(|index| points[index].0)
    }

    #[test]
    fn the_knee_of_a_queue_is_where_it_begins_to_be_long() {
        // What searches leave behind: doublings, bisections and the points of the curve.
        for loads in [
            &[0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98][..],
            &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 0.75, 0.9, 0.96, 0.98, 0.99],
            &[0.125, 0.25, 0.5, 0.7, 0.75, 0.84, 0.92, 0.96, 0.98, 0.999],
            &[0.1, 0.25, 0.5, 0.75, 0.85, 0.9, 0.99, 0.9999],
        ] {
            let rate = knee_rate(&queue(loads)).unwrap();
            assert!((0.7..=0.9).contains(&rate), "{rate} of {loads:?}");
        }
    }

    #[test]
    fn the_knee_is_where_the_formula_has_it() {
        let fine: Vec<f64> = (0..=990).map(|thousandths| f64::from(thousandths) / 1000.0).collect();
        let rate = knee_rate(&queue(&fine)).unwrap();
        let expected = 1.0 - 0.99 / -f64::ln(0.01);
        assert!((rate - expected).abs() < 0.002, "{rate} {expected}");
    }

    #[test]
    fn a_hockey_stick_bends_at_the_end_of_its_shaft() {
        let flat = [(100.0, 210.0), (200.0, 200.0), (400.0, 205.0), (800.0, 220.0)];
        let points: Vec<_> = flat.into_iter().chain([(900.0, 1_000_000.0)]).collect();
        assert_eq!(knee(&points), Some(3));
    }

    #[test]
    fn what_is_slow_without_load_is_no_bend() {
        let mut points = queue(&[0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98]);
        let expected = knee(&points);
        points[0].1 = 30.0;
        points[2].1 = 2.0;
        assert_eq!(knee(&points), expected);
    }

    #[test]
    fn without_a_bend_there_is_no_knee() {
        let over = |latency: fn(f64) -> f64| -> Vec<(f64, f64)> {
            (1..=10).map(|rate| (f64::from(rate), latency(f64::from(rate)))).collect()
        };
        for (name, points) in [
            ("nothing", vec![]),
            ("too few", queue(&[0.1, 0.5, 0.99])),
            ("flat", over(|_| 200.0)),
            ("nearly flat", over(|rate| if rate < 9.0 { 200.0 } else { 399.0 })),
            ("falling", over(|rate| 1000.0 / rate)),
            ("falling at last", over(|rate| if rate < 10.0 { rate.exp() } else { 1.0 })),
            ("a straight line", over(|rate| 100.0 * rate)),
            ("exponential", over(f64::exp)),
            ("without a latency", over(|rate| if rate < 5.0 { 0.0 } else { 1e6 })),
            ("one rate", vec![(1.0, 1.0), (1.0, 2.0), (1.0, 3.0), (1.0, 4.0)]),
        ] {
            assert_eq!(knee(&points), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_knee_is_an_inner_point_in_any_units(
            latencies in prop::collection::vec(1.0..1e6, 0..20), scale in 1e-3..1e3,
        ) {
            let points: Vec<_> = (1u32..).map(f64::from).zip(latencies).collect();
            let found = knee(&points);
            if let Some(index) = found {
                prop_assert!(index > 0 && index + 1 < points.len());
            }
            let other: Vec<_> = points.iter().map(|(rate, us)| (rate * 8.0, us * scale)).collect();
            prop_assert_eq!(knee(&other), found);
        }
    }
}
