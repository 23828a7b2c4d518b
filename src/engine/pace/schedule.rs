//! One worker's share of an open loop: when each of its requests is due.

use super::curve::RateCurve;
use std::sync::Arc;

/// How requests are spread around the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Constant,
    /// At random and independently of each other, as the requests of many users are: the time
    /// between two is exponentially distributed.
    Poisson,
}

impl Arrivals {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Arrivals::Constant => "constant",
            Arrivals::Poisson => "poisson",
        }
    }
}

/// Which worker of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Counted from 0.
    pub index: u32,
    /// How many workers there are.
    pub of: u32,
}

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share { index: 0, of: 1 };
}

/// The times at which one worker's requests are due, in nanoseconds after its begin.
///
/// With constant spacing the workers take turns, so that together they are evenly spaced; Poisson
/// arrivals at `1/of` of the rate each, independent of the others', are Poisson arrivals together.
#[derive(Clone, Debug)]
pub struct Schedule {
    curve: Arc<RateCurve>,
    arrivals: Arrivals,
    share: Share,
    random: fastrand::Rng,
    /// The number of the next request over all workers, at the unit rate.
    number: f64,
    next_ns: Option<u64>,
}

impl Schedule {
    /// A worker's share of the arrivals. The same seed gives the same times.
    pub fn new(curve: Arc<RateCurve>, arrivals: Arrivals, share: Share, seed: u64) -> Schedule {
        let random = fastrand::Rng::with_seed(seed.wrapping_add(share.index.into()));
        let mut schedule = Schedule { curve, arrivals, share, random, number: 0.0, next_ns: None };
        schedule.number = match arrivals {
            Arrivals::Constant => f64::from(share.index),
            Arrivals::Poisson => schedule.gap(),
        };
        schedule.next_ns = schedule.curve.time_ns(schedule.number);
        schedule
    }

    /// When the next request is due; `None` when there is none any more.
    pub fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.number += self.gap();
        self.next_ns = self.curve.time_ns(self.number);
    }

    /// To this worker's next request, at the unit rate.
    fn gap(&mut self) -> f64 {
        let unit = match self.arrivals {
            Arrivals::Constant => 1.0,
            // The inverse of the exponential distribution; 1 - u is never 0.
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln(),
        };
        unit * f64::from(self.share.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pace::curve::RateStage;

    fn times(arrivals: Arrivals, share: Share, seed: u64) -> Vec<u64> {
        let curve = Arc::new(RateCurve::new(&[RateStage::constant(10.0, 2000.0)]));
        let mut schedule = Schedule::new(curve, arrivals, share, seed);
        let mut times = Vec::new();
        while let Some(next_ns) = schedule.next_ns() {
            times.push(next_ns);
            schedule.advance();
        }
        times
    }

    fn of(workers: u32, arrivals: Arrivals, seed: u64) -> Vec<u64> {
        let shares = (0..workers).map(|index| Share { index, of: workers });
        let mut all: Vec<u64> = shares.flat_map(|share| times(arrivals, share, seed)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn workers_take_turns_at_constant_spacing() {
        let one = times(Arrivals::Constant, Share::WHOLE, 0);
        assert_eq!(one.len(), 20_000);
        assert_eq!(of(3, Arrivals::Constant, 0), one);
    }

    #[test]
    fn a_seed_repeats_poisson_arrivals() {
        assert_eq!(of(2, Arrivals::Poisson, 7), of(2, Arrivals::Poisson, 7));
        assert_ne!(of(2, Arrivals::Poisson, 7), of(2, Arrivals::Poisson, 8));
    }

    /// Counts in windows of 10 ms: mean and variance of a Poisson distribution are both 20, as is
    /// the number of gaps that are longer than the mean: 1/e.
    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_that_they_should() {
        for workers in [1, 3] {
            let times = of(workers, Arrivals::Poisson, 42);
            let mut windows = vec![0u32; 1000];
            for time_ns in &times {
                windows[(time_ns / 10_000_000) as usize] += 1;
            }
            let mean = times.len() as f64 / 1000.0;
            let squares: f64 = windows.iter().map(|&n| (f64::from(n) - mean).powi(2)).sum();
            assert!((mean - 20.0).abs() < 0.6, "{mean}");
            assert!((squares / 999.0 / mean - 1.0).abs() < 0.2, "{}", squares / 999.0);
            let long = times.windows(2).filter(|pair| pair[1] - pair[0] > 500_000).count();
            let share = long as f64 / times.len() as f64;
            assert!((share - (-1.0f64).exp()).abs() < 0.02, "{share}");
        }
    }
}
