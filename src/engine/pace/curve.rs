//! A rate over time, in straight pieces: steps and ramps.
//!
//! ```text
//!   requests/s            the area up to a moment is how many requests are due by then;
//!     │    ┌───╲          the inverse, `time_ns`, says when number N is due
//!     │  ╱ │    ╲
//!     └─┴──┴─────┴── t
//! ```
//!
//! Every arrival process is one of unit rate whose clock runs as fast as the curve is high ("time
//! rescaling": Çinlar, Introduction to Stochastic Processes, 1975, section 4.7). So one function
//! makes constant spacing, Poisson arrivals, steps and ramps, and no error adds up.

/// A piece of a curve: the rate goes from one value to another in a straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateStage {
    /// How long; infinite for a stage without an end.
    pub duration_s: f64,
    /// Requests per second at its begin.
    pub from_per_s: f64,
    /// Requests per second at its end.
    pub to_per_s: f64,
}

impl RateStage {
    /// The same rate all the time.
    pub fn constant(duration_s: f64, rate_per_s: f64) -> RateStage {
        RateStage { duration_s, from_per_s: rate_per_s, to_per_s: rate_per_s }
    }

    /// How many requests come due in it.
    fn requests(&self) -> f64 {
        // Half of an infinite time is infinite, and no time at all of a rate of zero.
        let mean_per_s = (self.from_per_s + self.to_per_s) / 2.0;
        if mean_per_s > 0.0 { self.duration_s * mean_per_s } else { 0.0 }
    }

    /// After what part of the stage, in seconds, `requests` of its requests have come due: the
    /// solution of `from·t + slope·t²/2 = requests`, in the form that loses no digits where the
    /// slope is small.
    fn time_s(&self, requests: f64) -> f64 {
        let slope = (self.to_per_s - self.from_per_s) / self.duration_s;
        let square = self.from_per_s * self.from_per_s + 2.0 * slope * requests;
        2.0 * requests / (self.from_per_s + square.max(0.0).sqrt())
    }
}

/// Stages one after the other.
#[derive(Clone, Debug)]
pub struct RateCurve {
    /// Each with what has come before it: seconds and requests.
    pieces: Vec<(f64, f64, RateStage)>,
    requests: f64,
}

/// A request that would come due less than this before the end is due after it: sums of fractions
/// of seconds are not exact.
const ROUNDING: f64 = 1e-6;

impl RateCurve {
    /// These stages in this order.
    pub fn new(stages: &[RateStage]) -> RateCurve {
        let (mut begin_s, mut requests) = (0.0, 0.0);
        let mut pieces = Vec::with_capacity(stages.len());
        for stage in stages {
            if stage.requests() > 0.0 {
                pieces.push((begin_s, requests, *stage));
            }
            begin_s += stage.duration_s;
            requests += stage.requests();
        }
        RateCurve { pieces, requests }
    }

    /// The highest rate.
    pub fn peak_per_s(&self) -> f64 {
        let rates = self.pieces.iter().map(|(_, _, stage)| stage.from_per_s.max(stage.to_per_s));
        rates.fold(0.0, f64::max)
    }

    /// When request `number`, counted from 0 (between two requests where it is a fraction), is due
    /// after the begin; `None` when there are not so many.
    pub fn time_ns(&self, number: f64) -> Option<u64> {
        if number > self.requests - ROUNDING {
            return None;
        }
        let at = self.pieces.partition_point(|&(_, before, _)| before <= number).checked_sub(1)?;
        let (begin_s, before, stage) = &self.pieces[at];
        let within = if number > *before { stage.time_s(number - before) } else { 0.0 };
        Some(((begin_s + within) * 1e9).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due(curve: &RateCurve) -> Vec<u64> {
        (0..).map_while(|number| curve.time_ns(f64::from(number))).collect()
    }

    #[test]
    fn a_constant_rate_is_spaced_to_the_nanosecond_and_ends_in_time() {
        let curve = RateCurve::new(&[RateStage::constant(10.0, 3000.0)]);
        let due = due(&curve);
        assert_eq!(due.len(), 30_000);
        assert_eq!((due[0], due[1], due[2], due[3000]), (0, 333_333, 666_667, 1_000_000_000));
        // No error adds up, not in a day.
        let day = RateCurve::new(&[RateStage::constant(f64::INFINITY, 3000.0)]);
        assert_eq!(day.time_ns(3000.0 * 86_400.0), Some(86_400_000_000_000));
    }

    #[test]
    fn steps_ramps_and_pauses_follow_each_other() {
        let curve = RateCurve::new(&[
            RateStage::constant(1.0, 10.0),
            RateStage::constant(2.0, 0.0),
            RateStage { duration_s: 4.0, from_per_s: 0.0, to_per_s: 10.0 },
            RateStage { duration_s: 4.0, from_per_s: 10.0, to_per_s: 0.0 },
            RateStage::constant(1.0, 0.0),
        ]);
        assert_eq!(due(&curve).len(), 10 + 20 + 20);
        assert_eq!(curve.time_ns(9.0), Some(900_000_000));
        // Number 10 begins the ramp; 5 of its 20 have come due after half of its time.
        assert_eq!(curve.time_ns(10.0), Some(3_000_000_000));
        assert_eq!(curve.time_ns(15.0), Some(5_000_000_000));
        assert_eq!(curve.time_ns(30.0), Some(7_000_000_000));
        assert_eq!(curve.time_ns(45.0), Some(9_000_000_000));
        assert_eq!(curve.time_ns(50.0), None);
    }

    #[test]
    fn without_a_rate_nothing_is_ever_due() {
        assert_eq!(RateCurve::new(&[RateStage::constant(10.0, 0.0)]).time_ns(0.0), None);
        assert_eq!(RateCurve::new(&[]).time_ns(0.0), None);
    }

    fn stage() -> impl Strategy<Value = RateStage> {
        (0.01f64..100.0, 0.0f64..10_000.0, 0.0f64..10_000.0).prop_map(
            |(duration_s, from_per_s, to_per_s)| RateStage { duration_s, from_per_s, to_per_s },
        )
    }

    proptest! {
        #[test]
        fn time_is_the_inverse_of_the_area(
            stages in prop::collection::vec(stage(), 1..5), share in 0.0f64..1.0,
        ) {
            let curve = RateCurve::new(&stages);
            let number = share * curve.requests;
            let Some(time_ns) = curve.time_ns(number) else { return Ok(()) };
            let (mut left_s, mut area) = (time_ns as f64 / 1e9, 0.0);
            for stage in &stages {
                let t = left_s.min(stage.duration_s);
                let slope = (stage.to_per_s - stage.from_per_s) / stage.duration_s;
                area += stage.from_per_s * t + slope * t * t / 2.0;
                left_s -= t;
            }
            // A nanosecond of the highest rate, and the rounding of the sums.
            prop_assert!((area - number).abs() < 1e-4, "{area} {number}");
        }

        #[test]
        fn later_requests_are_due_later(stages in prop::collection::vec(stage(), 1..5)) {
            let curve = RateCurve::new(&stages);
            let some = (0..1000).map(|k| f64::from(k) * curve.requests / 1000.0);
            let due: Vec<_> = some.filter_map(|number| curve.time_ns(number)).collect();
            prop_assert!(due.is_sorted());
        }
    }
}
