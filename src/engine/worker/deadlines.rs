//! When each slot's time is over.
//!
//! A deadline lies beside those of the other slots and not in its connection: a look at it takes an
//! eighth of a cache line instead of one. They are looked at in portions, a lap within a twentieth of
//! the timeout, so that no turn is held up by the number of slots.

use std::ops::Range;

/// How long a lap takes: a twentieth of the timeout within these bounds.
const LAP_NS_MIN: u64 = 1_000_000;
const LAP_NS_MAX: u64 = 50_000_000;

/// How many deadlines one look takes: some 2 us where they come from the second-level cache.
const PORTION: usize = 4096;

/// The slots' deadlines, `u64::MAX` for none.
#[derive(Debug)]
pub(super) struct Deadlines {
    ns: Vec<u64>,
    /// What is left of the look under way.
    portion: Range<usize>,
    next_look_ns: u64,
    /// From one look to the next.
    gap_ns: u64,
}

impl Deadlines {
    /// None yet, of so many slots that each have `timeout_ns` for a request.
    pub(super) fn new(slots: u32, timeout_ns: u64) -> Deadlines {
        let lap_ns = (timeout_ns / 20).clamp(LAP_NS_MIN, LAP_NS_MAX);
        let looks = (slots as usize).div_ceil(PORTION).max(1) as u64;
        Deadlines {
            ns: vec![u64::MAX; slots as usize],
            portion: 0..0,
            next_look_ns: 0,
            gap_ns: lap_ns / looks,
        }
    }

    #[inline]
    pub(super) fn set(&mut self, index: u32, deadline_ns: u64) {
        self.ns[index as usize] = deadline_ns;
    }

    /// When to look next.
    pub(super) fn next_look_ns(&self) -> u64 {
        self.next_look_ns
    }

    /// The next slot of this look whose deadline has passed; `None` when the look is over, or none
    /// is due. Whoever stops before that goes on with the same look later.
    pub(super) fn next_passed(&mut self, now_ns: u64) -> Option<u32> {
        if now_ns < self.next_look_ns {
            return None;
        }
        if self.portion.is_empty() {
            let from = if self.portion.end < self.ns.len() { self.portion.end } else { 0 };
            self.portion = from..(from + PORTION).min(self.ns.len());
        }
        let rest = &self.ns[self.portion.clone()];
        match rest.iter().position(|&deadline_ns| deadline_ns <= now_ns) {
            Some(at) => {
                self.portion.start += at + 1;
                let passed = (self.portion.start - 1) as u32;
                if self.portion.is_empty() {
                    self.next_look_ns = now_ns + self.gap_ns;
                }
                Some(passed)
            }
            None => {
                self.portion.start = self.portion.end;
                self.next_look_ns = now_ns + self.gap_ns;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_NS: u64 = 1_000_000_000;

    fn passed(deadlines: &mut Deadlines, now_ns: u64) -> Vec<u32> {
        std::iter::from_fn(|| deadlines.next_passed(now_ns)).collect()
    }

    #[test]
    fn a_deadline_is_seen_once_its_lap_comes_by() {
        let mut deadlines = Deadlines::new(3, TIMEOUT_NS);
        assert!(passed(&mut deadlines, 1).is_empty());
        deadlines.set(1, 10);
        deadlines.set(2, 30_000_000_000);
        assert!(passed(&mut deadlines, 20).is_empty(), "not before the next look");
        assert_eq!(passed(&mut deadlines, 60_000_000), [1]);
        deadlines.set(1, u64::MAX);
        assert!(passed(&mut deadlines, 120_000_000).is_empty());
    }

    #[test]
    fn a_lap_over_many_slots_sees_each_of_them_in_its_time() {
        let slots = 5 * PORTION as u32 / 2;
        let mut deadlines = Deadlines::new(slots, TIMEOUT_NS);
        (0..slots).for_each(|index| deadlines.set(index, 5));
        let (mut seen, mut now_ns) = (Vec::new(), 10);
        while now_ns < LAP_NS_MAX {
            let few: Vec<u32> = passed(&mut deadlines, now_ns);
            assert!(few.len() <= PORTION);
            seen.extend(few);
            now_ns = deadlines.next_look_ns();
        }
        assert_eq!(seen, (0..slots).collect::<Vec<_>>());
    }

    #[test]
    fn a_look_that_stops_early_goes_on_where_it_stopped() {
        let mut deadlines = Deadlines::new(10, TIMEOUT_NS);
        (0..10).for_each(|index| deadlines.set(index, 5));
        let first: Vec<u32> = (0..4).filter_map(|_| deadlines.next_passed(10)).collect();
        assert_eq!(deadlines.next_look_ns(), 0, "the look is not over");
        (0..4).for_each(|index| deadlines.set(index, u64::MAX));
        let rest = passed(&mut deadlines, 11);
        assert_eq!([first, rest].concat(), (0..10).collect::<Vec<_>>());
    }
}
