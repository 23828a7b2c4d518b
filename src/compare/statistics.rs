//! Medians over a few rounds: one that went wrong does not move them.

/// The median; the mean of the middle two where there is no middle.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        _ => Some(sorted[middle]),
    }
}

/// A median, and how far the rounds lie around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Option<Spread> {
        Some(Spread {
            median: median(values.iter().copied())?,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    /// Whether a round lies further from the median than this part of it.
    pub(super) fn leaves(&self, ratio: f64) -> bool {
        self.max > self.median * (1.0 + ratio) || self.min < self.median * (1.0 - ratio)
    }
}

/// Cut to so many decimals: digits beyond those that were measured only look precise.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10f64.powi(decimals);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0], Some(3.0)),
            (&[4.0, 1.0], Some(2.5)),
            (&[9.0, 1.0, 2.0], Some(2.0)),
            (&[f64::NAN, 1.0], Some(1.0)),
        ] {
            assert_eq!(median(values.iter().copied()), expected, "{values:?}");
        }
    }

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
