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
/// A histogram of ours has up to 188 kB of counts; this is room for one of five digits.
const INNER_BYTES_MAX: u64 = 64 << 20;

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
    // The reader would set aside whatever length the text claims.
    let claimed = inner.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let counts = inner.len().saturating_sub(INNER_HEAD_BYTES);
    if claimed.is_none_or(|bytes| bytes as usize > counts) {
        return Err("its counts are cut off".into());
    }
    Deserializer::new()
        .deserialize(&mut &inner[..])
        .map_err(|error| format!("no histogram ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::latency_histogram;
    use proptest::prelude::*;

    #[test]
    fn a_claimed_length_is_not_believed() {
        let mut inner = vec![0; INNER_HEAD_BYTES];
        inner[..4].copy_from_slice(&0x1c84_9303u32.to_be_bytes());
        inner[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let mut bytes = vec![0; OUTER_BYTES];
        let mut deflated = flate2::read::ZlibEncoder::new(&inner[..], Default::default());
        deflated.read_to_end(&mut bytes).unwrap();
        assert_eq!(decode(&STANDARD.encode(bytes)).unwrap_err(), "its counts are cut off");
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
