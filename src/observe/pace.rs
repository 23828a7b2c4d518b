//! How much readings may cost.
//!
//! ```text
//!   begin     row    row    row ...................... row    row      end
//!   Thorough  Usual  Usual  Brief (nine after a dear one) Usual  Usual  Thorough
//! ```

use crate::kernel::process::Depth;
use std::time::Duration;

/// A reading that takes more CPU time than this is expensive.
const DEAR: Duration = Duration::from_millis(2);

/// This many brief ones make up for it.
const BRIEF: u32 = 9;

/// The kind of the next reading of the server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LookPace {
    brief_left: u32,
}

impl LookPace {
    pub(super) fn depth(self) -> Depth {
        if self.brief_left > 0 { Depth::Brief } else { Depth::Usual }
    }

    /// The reading took this much CPU time.
    pub(super) fn looked(&mut self, took: Duration) {
        self.brief_left = match self.brief_left {
            0 if took > DEAR => BRIEF,
            left => left.saturating_sub(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_brief_looks_follow_a_dear_one() {
        let dear = DEAR * 2;
        for (costs, expected) in [
            ([DEAR; 12], [Depth::Usual; 12]),
            (
                [dear; 12],
                [&[Depth::Brief; 9][..], &[Depth::Usual], &[Depth::Brief; 2]]
                    .concat()
                    .try_into()
                    .unwrap(),
            ),
        ] {
            let mut pace = LookPace::default();
            assert_eq!(pace.depth(), Depth::Usual);
            let depths = costs.map(|cost| {
                pace.looked(cost);
                pace.depth()
            });
            assert_eq!(depths, expected);
        }
    }
}
