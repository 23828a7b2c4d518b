//! A histogram as a document carries it: HdrHistogram's V2 encoding, deflated, in base64, which
//! that library reads in every language.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use std::io::Read;

/// The cookie of the deflated form, and the length of what follows.
const OUTER_BYTES: usize = 8;
/// What the inner form has before its counts.
const INNER_HEAD_BYTES: usize = 40;
/// As many digits as ringshot records: with these, the widest range has 56,320 counts. With five it
/// would be 50 MB for each latency of each document.
const DIGITS_MAX: u32 = 3;
/// Those counts, nine bytes each at most, and the head are half of it.
const INNER_BYTES_MAX: u64 = 1 << 20;

/// No histogram of a document has more than this part of what can be counted.
const COUNTED_PART: u64 = 1 << 16;

/// The histogram as text.
pub fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .expect("writing to memory does not fail");
    STANDARD.encode(bytes)
}

/// The way back.
///
/// # Errors
/// Why it is no histogram.
pub fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("no base64 ({error})"))?;
    let deflated = bytes.get(OUTER_BYTES..).ok_or("too short for a histogram")?;
    let mut inner = Vec::new();
    let inflated = ZlibDecoder::new(deflated).take(INNER_BYTES_MAX).read_to_end(&mut inner);
    inflated.map_err(|error| format!("cannot be inflated ({error})"))?;
    let number = |at: usize| inner.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    // The reader would set aside whatever length the text claims.
    let claimed = number(4);
    let counts = inner.len().saturating_sub(INNER_HEAD_BYTES);
    if claimed.is_none_or(|bytes| bytes as usize > counts) {
        return Err("its counts are cut off".into());
    }
    if number(12).is_none_or(|digits| digits > DIGITS_MAX) {
        return Err(format!("it has more than the {DIGITS_MAX} digits that ringshot records"));
    }
    // The one number that the reader would overflow on.
    if inner[INNER_HEAD_BYTES..].windows(9).any(|bytes| bytes == [0xff; 9]) {
        return Err("it has a count beyond all numbers".into());
    }
    let histogram: Histogram<u64> = Deserializer::new()
        .deserialize(&mut &inner[..])
        .map_err(|error| format!("no histogram ({error})"))?;
    // Or sums of two of them, and percentiles, would overflow.
    let counts = histogram.iter_recorded().map(|step| u128::from(step.count_at_value()));
    match counts.sum::<u128>() > u128::from(u64::MAX / COUNTED_PART) {
        true => Err("it has more samples than anybody can count".into()),
        false => Ok(histogram),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::latency_histogram;
    use proptest::prelude::*;

    #[test]
    fn a_claimed_length_is_not_believed() {
        assert_eq!(
            decode(&deflated(&inner(u32::MAX, 3, &[]))).unwrap_err(),
            "its counts are cut off"
        );
    }

    #[test]
    fn neither_are_sizes_and_counts_that_no_run_has() {
        for (inner, reason) in [
            (inner(0, 5, &[]), "more than the 3 digits"),
            (inner(9, 3, &[0xff; 9]), "beyond all numbers"),
            (inner(2, 3, &[0x80, 0x80]), "no histogram"),
            (vec![0; 2 * INNER_BYTES_MAX as usize], "no histogram"),
        ] {
            let error = decode(&deflated(&inner)).unwrap_err();
            assert!(error.contains(reason), "{error:?}, not {reason:?}");
        }
        assert_eq!(decode(&deflated(&inner(1, 3, &[2]))).unwrap().len(), 1);
    }

    /// From 1 to the highest number, whatever the counts.
    fn inner(claimed: u32, digits: u32, counts: &[u8]) -> Vec<u8> {
        let head = [0x1c84_9313, claimed, 0, digits].map(u32::to_be_bytes).concat();
        let range = [1u64.to_be_bytes(), u64::MAX.to_be_bytes(), 1f64.to_be_bytes()].concat();
        [&head, &range, counts].concat()
    }

    fn deflated(inner: &[u8]) -> String {
        let mut bytes = vec![0; OUTER_BYTES];
        bytes[..4].copy_from_slice(&0x1c84_9314u32.to_be_bytes());
        bytes[4..].copy_from_slice(&[0, 0xff, 0xff, 0xff]);
        let mut deflated = flate2::read::ZlibEncoder::new(inner, Default::default());
        deflated.read_to_end(&mut bytes).unwrap();
        STANDARD.encode(bytes)
    }

    proptest! {
        #[test]
        fn a_histogram_comes_back(values in prop::collection::vec(1u64..10_000_000, 0..200)) {
            let mut histogram = latency_histogram();
            for us in values {
                histogram.record(us).unwrap();
            }
            prop_assert_eq!(decode(&encode(&histogram)).unwrap(), histogram);
        }

        #[test]
        fn foreign_text_is_an_error_and_no_panic(text in ".*", bytes in any::<Vec<u8>>()) {
            let _ = decode(&text);
            prop_assert!(decode(&STANDARD.encode(bytes)).is_err());
        }

        #[test]
        fn so_is_one_with_a_byte_changed(at in 0usize..200, to in any::<u8>()) {
            let mut histogram = latency_histogram();
            histogram.record_n(900, 1000).unwrap();
            let mut bytes = STANDARD.decode(encode(&histogram)).unwrap();
            let length = bytes.len();
            bytes[at % length] = to;
            let _ = decode(&STANDARD.encode(bytes));
        }
    }
}
