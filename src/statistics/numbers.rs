//! What every table of numbers needs.

/// The median; the mean of the middle two where there is no middle. Values that are not numbers are
/// left out.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        _ => Some(sorted[middle]),
    }
}

/// Cut to this many decimals: digits beyond those that were measured only look precise.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
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
    fn a_number_is_cut_to_its_decimals() {
        for (value, decimals, expected) in
            [(1.236, 2, 1.24), (1.234, 2, 1.23), (-1.5, 0, -2.0), (7.0, 6, 7.0)]
        {
            assert_eq!(rounded(value, decimals), expected);
        }
    }
}
