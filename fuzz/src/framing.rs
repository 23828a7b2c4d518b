//! Where bytes are cut is the network's affair: any cut gives the same events at the same places.
//!
//! ```text
//! byte 0   the method, whether what may be skipped is, whether the peer closes
//! byte 1   where the cuts are; with 0 there is one behind every byte
//! rest     what the peer sends
//! ```

use super::transcript::{Play, block};
use ringshot::engine::session::http1::Shared;

/// Plays the bytes whole and in pieces.
pub fn run(data: &[u8]) {
    let [choices, cuts, bytes @ ..] = data else { return };
    let block = block(["GET", "HEAD", "POST", "CONNECT"][usize::from(choices % 4)]);
    let fresh = || Shared::new(block.clone());
    let closes = choices & 4 != 0;
    let whole = Play { closes, ..Play::default() };
    let expected = whole.play(&mut fresh(), &block, [bytes]);

    let cut = Play { skips: choices & 8 != 0, ..whole };
    let mut worn = fresh();
    // The second time the worker has seen it all before.
    for _ in 0..2 {
        let events = cut.play(&mut worn, &block, Pieces { bytes, state: u32::from(*cuts) });
        assert_eq!(events, expected, "cut, with skips {}", cut.skips);
    }
}

/// The bytes in pieces whose lengths follow from one number.
struct Pieces<'a> {
    bytes: &'a [u8],
    state: u32,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.bytes.is_empty() {
            return None;
        }
        let mut length = 1;
        if self.state != 0 {
            // The constants of Numerical Recipes. Short pieces are the more interesting ones.
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) | 1;
            let bits = self.state >> 28;
            length = 1 + (self.state >> 8) as usize % (1 << (bits % 8));
        }
        let (piece, rest) = self.bytes.split_at(length.min(self.bytes.len()));
        self.bytes = rest;
        Some(piece)
    }
}
