//! Scales: where a value lies between the ends of an axis, and the round values that are named
//! beside it.
//!
//! ```text
//!   counts    0 ──────── 10,000 ──────── 20,000        from 0, in steps of 1, 2 or 5
//!   times     100 µs ────── 1 ms ─────── 10 ms         by factors when they differ much
//!   nines     0 ─ 50% ── 90% ──── 99% ──── 99.9%       each nine as wide as the one before
//! ```
//!
//! Whatever the values are, an axis has a length: no position is ever infinite.

use crate::words::quantities;

/// Numbers from a document are brought below this, so that no sum or product is infinite.
const VALUE_MAX: f64 = 1e18;

/// Times that differ by more than this are shown by factors.
const LINEAR_RATIO_MAX: f64 = 20.0;

/// Up to this ratio there is room for three names in a decade.
const FACTORS_RATIO_MAX: f64 = 500.0;

/// More decades than these are not named each.
const DECADES_MAX: usize = 8;

/// Steps of a linear axis.
const STEPS: f64 = 4.0;

/// A scale with its named values, the most important first.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    pub(super) logarithmic: bool,
    /// Values and their names.
    pub(super) ticks: Vec<(f64, String)>,
}

/// A number that can be shown: finite and not negative.
pub(super) fn sane(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value.min(VALUE_MAX))
}

/// The lowest and the highest of the values that can be shown.
pub(super) fn ends(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter_map(sane).fold(None, |ends, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

impl Axis {
    /// From 0 to at least that, in round steps.
    pub(super) fn counts(highest: f64) -> Axis {
        let highest = sane(highest).filter(|&highest| highest > 0.0).unwrap_or(1.0).max(1e-6);
        Axis::stepped(highest, round_step(highest / STEPS), &named)
    }

    /// From 0 to that, or to a step that is hardly more: for what ends where the axis does.
    fn counts_up_to(highest: f64, step: f64) -> Axis {
        let mut axis = Axis::stepped(highest, step, &named);
        axis.ticks.retain(|(value, _)| *value <= highest * 1.02);
        axis.high = axis.ticks.last().map_or(highest, |(value, _)| value.max(highest));
        axis
    }

    /// From 0 to exactly the highest, both named and nothing between: for a low pane.
    pub(super) fn extremes(highest: f64) -> Axis {
        let highest = sane(highest).filter(|&highest| highest > 0.0).unwrap_or(1.0).max(1e-6);
        let ticks = vec![
            (0.0, "0".into()),
            (highest, named(highest, if highest.fract() == 0.0 { 1.0 } else { highest / 10.0 })),
        ];
        Axis { low: 0.0, high: highest, logarithmic: false, ticks }
    }

    /// Parts of one, shown as percentages.
    pub(super) fn percentages(highest: f64) -> Axis {
        let mut axis = Axis::counts((highest * 100.0).max(1.0));
        for (value, name) in &mut axis.ticks {
            *value /= 100.0;
            name.push('%');
        }
        axis.high /= 100.0;
        axis
    }

    /// Microseconds from the shortest to the longest; from 0 where they do not differ much.
    pub(super) fn times_us((shortest, longest): (f64, f64)) -> Axis {
        // Less than a microsecond is nothing that was measured.
        let (shortest, longest) = (shortest.max(1.0), longest.max(1.0));
        if longest / shortest > LINEAR_RATIO_MAX {
            return Axis::times_by_factors(shortest, longest);
        }
        let unit = TIME_UNITS.iter().rev().find(|(size, _)| longest >= *size);
        let &(size, unit) = unit.unwrap_or(&TIME_UNITS[0]);
        let step = round_step(longest / STEPS).max(1.0);
        Axis::stepped(longest, step, &|us, step| match us {
            0.0 => "0".into(),
            us => format!("{} {unit}", named(us / size, step / size)),
        })
    }

    /// From the last of 1, 2 or 5 in a decade below the shortest to the first above the longest.
    fn times_by_factors(shortest: f64, longest: f64) -> Axis {
        let decades = shortest.log10().floor() as i32..=longest.log10().ceil() as i32;
        let round = |factors: &'static [f64], every: usize| {
            let decades = decades.clone().step_by(every).map(|exponent| 10f64.powi(exponent));
            decades.flat_map(move |decade| factors.iter().map(move |factor| factor * decade))
        };
        let mut ends = round(&[1.0, 2.0, 5.0], 1);
        let low = ends.clone().take_while(|us| *us <= shortest * 1.000_1).last();
        let high = ends.find(|us| *us >= longest * 0.999_9);
        let (low, high) = (low.unwrap_or(shortest), high.unwrap_or(longest));
        let factors: &[f64] =
            if longest / shortest <= FACTORS_RATIO_MAX { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks = round(factors, decades.clone().count().div_ceil(DECADES_MAX));
        let ticks = ticks.filter(|us| (low * 0.999..=high * 1.001).contains(us));
        let ticks = ticks.map(|us| (us, time_name(us))).collect();
        Axis { low, high, logarithmic: true, ticks }
    }

    /// Time since the start, and the name of its unit.
    pub(super) fn since_start(end_s: f64) -> (Axis, &'static str) {
        let end_s = end_s.max(1e-3);
        let units: [(f64, &str, &[f64]); 4] = [
            (86_400.0, "days", &[1.0, 2.0, 5.0, 10.0]),
            (3_600.0, "hours", &[0.5, 1.0, 2.0, 3.0, 6.0, 12.0]),
            (60.0, "minutes", &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0]),
            (1.0, "seconds", &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0]),
        ];
        let unit = units.into_iter().find(|(size, ..)| end_s >= 3.0 * size);
        let (size, name, steps) = unit.unwrap_or(units[3]);
        let end = end_s / size;
        let steps = steps.iter().copied().filter(|step| end / step >= 2.0);
        let step = steps.into_iter().find(|step| end / step <= 10.0);
        let mut axis = Axis::counts_up_to(end, step.unwrap_or_else(|| round_step(end / 6.0)));
        axis.high *= size;
        axis.ticks.iter_mut().for_each(|(value, _)| *value *= size);
        (axis, name)
    }

    /// Percentiles: 0 is the shortest, 1 the 90th, 2 the 99th, and so on.
    pub(super) fn nines(end: f64) -> Axis {
        let end = end.clamp(0.5, 20.0);
        let decades = (1..=end as u32).map(|nines| {
            let name = match nines {
                1 => "90%".to_owned(),
                2 => "99%".into(),
                more => format!("99.{}%", "9".repeat(more as usize - 2)),
            };
            (f64::from(nines), name)
        });
        let ticks = decades.chain([(2f64.log10(), "50%".into()), (0.0, "0%".into())]).collect();
        Axis { low: 0.0, high: end, logarithmic: false, ticks }
    }

    fn stepped(highest: f64, step: f64, name: &dyn Fn(f64, f64) -> String) -> Axis {
        let steps = (highest / step - 1e-9).ceil().clamp(1.0, 50.0);
        let ticks = (0..=steps as u32).map(|at| f64::from(at) * step);
        let ticks = ticks.map(|value| (value, name(value, step))).collect();
        Axis { low: 0.0, high: steps * step, logarithmic: false, ticks }
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper one.
    pub(super) fn position(&self, value: f64) -> f64 {
        let part = match self.logarithmic {
            true => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }
}

const TIME_UNITS: [(f64, &str); 3] = [(1.0, "µs"), (1e3, "ms"), (1e6, "s")];

/// A round time: `200 µs`, `1 ms`.
fn time_name(us: f64) -> String {
    let unit = TIME_UNITS.iter().rev().find(|(size, _)| us >= size * 0.999);
    let (size, unit) = unit.unwrap_or(&TIME_UNITS[0]);
    format!("{} {unit}", named(us / size, 1.0))
}

/// The round step that is nearest above.
fn round_step(step: f64) -> f64 {
    let decade = 10f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    steps.into_iter().find(|round| *round >= step * (1.0 - 1e-9)).unwrap_or(step)
}

/// A value on an axis of such steps, with no more decimals than tell the steps apart.
fn named(value: f64, step: f64) -> String {
    if value >= 1e12 {
        return format!("{value:.0e}");
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    match decimals {
        0 => quantities::count(value.round() as u64),
        _ if value == 0.0 => "0".into(),
        _ => format!("{value:.decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, name)| &**name).collect()
    }

    #[test]
    fn counts_go_from_zero_in_round_steps() {
        for (highest, expected) in [
            (0.0, vec!["0", "0.5", "1.0"]),
            (1.0, vec!["0", "0.5", "1.0"]),
            (3.0, vec!["0", "1", "2", "3"]),
            (23_450.0, vec!["0", "10,000", "20,000", "30,000"]),
            (0.07, vec!["0", "0.02", "0.04", "0.06", "0.08"]),
            (f64::INFINITY, vec!["0", "0.5", "1.0"]),
        ] {
            assert_eq!(names(&Axis::counts(highest)), expected, "{highest}");
        }
        assert_eq!(names(&Axis::percentages(1.9)), ["0%", "50%", "100%", "150%", "200%"]);
    }

    #[test]
    fn times_have_units_and_are_shown_by_factors_when_they_differ_much() {
        for ((shortest, longest), expected) in [
            ((300.0, 900.0), vec!["0", "500 µs", "1,000 µs"]),
            ((800.0, 1_800.0), vec!["0", "0.5 ms", "1.0 ms", "1.5 ms", "2.0 ms"]),
            ((0.0, 0.0), vec!["0", "1 µs"]),
            ((70.0, 3_000.0), vec!["50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]),
            ((9.0, 3e6), vec!["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"]),
        ] {
            assert_eq!(names(&Axis::times_us((shortest, longest))), expected, "{longest}");
        }
    }

    #[test]
    fn time_is_told_in_the_unit_that_fits() {
        for (end_s, unit, expected) in [
            (0.2, "seconds", vec!["0", "0.05", "0.10", "0.15", "0.20"]),
            (1.0, "seconds", vec!["0", "0.5", "1.0"]),
            (10.0, "seconds", vec!["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]),
            (3599.4, "minutes", vec!["0", "10", "20", "30", "40", "50", "60"]),
            (86_400.0, "hours", vec!["0", "3", "6", "9", "12", "15", "18", "21", "24"]),
        ] {
            let (axis, name) = Axis::since_start(end_s);
            assert_eq!((name, names(&axis)), (unit, expected), "{end_s}");
            assert!(axis.position(end_s) > 0.999);
        }
    }

    #[test]
    fn each_nine_is_as_wide_as_the_one_before() {
        let axis = Axis::nines(4.3);
        assert_eq!(names(&axis), ["90%", "99%", "99.9%", "99.99%", "50%", "0%"]);
        assert!((axis.position(2.0) - 2.0 * axis.position(1.0)).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn every_value_has_a_place_and_every_axis_names(one: f64, other: f64, value: f64) {
            let (low, high) = ends([one, other]).unwrap_or((0.0, 0.0));
            let times = Axis::times_us((low, high));
            let (since, _) = Axis::since_start(high);
            for axis in [times, since, Axis::counts(one), Axis::percentages(high), Axis::nines(one)] {
                prop_assert!((0.0..=1.0).contains(&axis.position(value)));
                prop_assert!((1..=52).contains(&axis.ticks.len()), "{axis:?}");
                prop_assert!(axis.high > axis.low);
            }
        }

        #[test]
        fn what_is_on_an_axis_is_within_it(low in 0.0..1e10f64, ratio in 1.0..1e8f64) {
            let axis = Axis::times_us((low, low * ratio));
            prop_assert!(axis.high >= low * ratio * 0.999);
            prop_assert!((2..=12).contains(&axis.ticks.len()), "{axis:?}");
        }
    }
}
