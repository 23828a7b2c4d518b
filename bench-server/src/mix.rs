//! `/mix`: some answers slow, the others fast, in a share that is met exactly.
//!
//! Drawing lots would meet the share only on average, and no two runs would be alike.

use std::time::Duration;

/// What `/mix/FAST/SLOW/PERCENT` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mix {
    pub(crate) fast: Duration,
    pub(crate) slow: Duration,
    /// How many of a hundred answers are slow.
    pub(crate) percent: f64,
}

/// How many of the first `n` are among so many of a hundred, rounded to the nearest.
fn share_of(percent: f64, n: u64) -> u64 {
    // Multiplied first: dividing 29 by 100 is not exact, dividing 2900 is.
    (n as f64 * percent / 100.0).round() as u64
}

/// Where in its share a server is.
#[derive(Debug)]
pub(crate) struct Spread {
    answers: u64,
}

impl Spread {
    pub(crate) fn new() -> Self {
        Spread { answers: 0 }
    }

    /// The delay of the next answer.
    pub(crate) fn next(&mut self, mix: &Mix) -> Duration {
        if self.takes_next(mix.percent) { mix.slow } else { mix.fast }
    }

    /// Whether the next answer is one of so many of a hundred.
    ///
    /// Whenever the share is met by one more, this is one. So at no time are they more than half an
    /// answer off their share, and they come at even distances.
    pub(crate) fn takes_next(&mut self, percent: f64) -> bool {
        let before = share_of(percent, self.answers);
        self.answers += 1;
        share_of(percent, self.answers) > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the first `n` answers are slow.
    fn slow_ones(percent: f64, n: u64) -> Vec<bool> {
        let mix = Mix { fast: Duration::ZERO, slow: Duration::from_millis(1), percent };
        let mut spread = Spread::new();
        (0..n).map(|_| spread.next(&mix) == mix.slow).collect()
    }

    #[test]
    fn every_whole_share_is_exact_in_each_hundred() {
        for percent in 0..=100 {
            let slow = slow_ones(percent.into(), 1_000);
            for hundred in slow.chunks(100) {
                assert_eq!(hundred.iter().filter(|&&slow| slow).count(), percent as usize);
            }
        }
    }

    #[test]
    fn the_share_is_never_more_than_half_an_answer_off() {
        for percent in [0.0, 0.01, 0.1, 1.0, 12.5, 33.3, 50.0, 66.7, 99.9, 100.0] {
            let mut count = 0;
            for (n, slow) in (1..).zip(slow_ones(percent, 100_000)) {
                count += u64::from(slow);
                let share = n as f64 * percent / 100.0;
                assert!((count as f64 - share).abs() <= 0.500_001, "{percent} % of {n}: {count}");
            }
        }
    }

    #[test]
    fn slow_answers_come_at_even_distances() {
        for (percent, distances) in [(1.0, 100..=100), (30.0, 3..=4), (50.0, 2..=2)] {
            let slow = slow_ones(percent, 1_000);
            let places: Vec<usize> = (0..slow.len()).filter(|&at| slow[at]).collect();
            for pair in places.windows(2) {
                assert!(distances.contains(&(pair[1] - pair[0])), "{percent} %: {pair:?}");
            }
        }
    }
}
