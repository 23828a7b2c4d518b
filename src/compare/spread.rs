//! Medians over a few rounds: one that went wrong does not move them.

use crate::statistics::median;

/// A median, and how far the rounds lie around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        Some(Spread {
            median: median(values.iter().copied())?,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    /// Whether a round lies further from the median than this part of it.
    pub(crate) fn leaves(&self, ratio: f64) -> bool {
        self.max > self.median * (1.0 + ratio) || self.min < self.median * (1.0 - ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_left_on_either_side() {
        let leaves = |values: &[f64]| Spread::of(values).unwrap().leaves(0.12);
        assert!(!leaves(&[1.0]));
        assert!(!leaves(&[1.0, 1.11, 0.89]));
        assert!(leaves(&[1.0, 1.13, 0.99]));
        assert!(leaves(&[1.0, 1.01, 0.87]));
        assert_eq!(Spread::of(&[]), None);
    }
}
