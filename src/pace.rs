//! When the next request is due, and whether there is to be one at all.
//!
//! In a closed loop a request is due as soon as its slot is free. Two things hold it back: the
//! quota (`--requests`) is used up, or the slot failed just now and rests.

use crate::failure::{Failure, Kind};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The shortest and the longest rest after a failed attempt; it doubles while a slot keeps failing.
const REST_MIN_NS: u64 = 1_000_000;
const REST_MAX_NS: u64 = 1_000_000_000;

/// The longest rest when no port was to be had: no server is to be spared, and a port may be free at
/// any moment.
const REST_PORT_MAX_NS: u64 = 32_000_000;

/// One worker's share of the load.
#[derive(Debug)]
pub struct Pace {
    /// Requests that may still be started; `None` for as many as the time allows.
    quota: Option<u64>,
    /// Slots that wait: when each is due, soonest first.
    resting: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Pace {
    /// A closed loop over `slots` slots that starts at most `quota` requests.
    pub fn closed_loop(slots: u32, quota: Option<u64>) -> Pace {
        Pace { quota, resting: BinaryHeap::with_capacity(slots as usize) }
    }

    /// Up to `wanted` requests may be started now: how many.
    pub fn take(&mut self, wanted: u32) -> u32 {
        let Some(left) = &mut self.quota else { return wanted };
        let granted = u64::from(wanted).min(*left);
        *left -= granted;
        granted as u32
    }

    /// Whether the quota is used up.
    pub fn is_over(&self) -> bool {
        self.quota == Some(0)
    }

    /// No request is started from here on.
    pub fn stop(&mut self) {
        self.quota = Some(0);
    }

    /// Lets a slot wait until `due_ns`.
    pub fn rest(&mut self, slot: u32, due_ns: u64) {
        self.resting.push(Reverse((due_ns, slot)));
    }

    /// The next slot whose rest is over.
    pub fn due(&mut self, now_ns: u64) -> Option<u32> {
        let &Reverse((due_ns, slot)) = self.resting.peek()?;
        (due_ns <= now_ns).then(|| {
            self.resting.pop();
            slot
        })
    }

    /// When the next rest is over.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.resting.peek().map(|Reverse((due_ns, _))| *due_ns)
    }
}

/// How long to rest after `failures` failed attempts in a row (at least one), the last of which was
/// `failure`.
pub fn rest_ns(failures: u32, failure: Failure) -> u64 {
    let longest_ns = match failure.kind {
        Kind::Errno(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => REST_PORT_MAX_NS,
        _ => REST_MAX_NS,
    };
    REST_MIN_NS.checked_shl(failures.saturating_sub(1).min(30)).unwrap_or(u64::MAX).min(longest_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Phase;

    #[test]
    fn a_quota_is_given_out_exactly() {
        let mut pace = Pace::closed_loop(2, Some(5));
        assert_eq!((pace.take(3), pace.take(3), pace.take(3)), (3, 2, 0));
        assert!(pace.is_over());
    }

    #[test]
    fn without_a_quota_everything_is_granted_until_stop() {
        let mut pace = Pace::closed_loop(1, None);
        assert_eq!(pace.take(7), 7);
        pace.stop();
        assert_eq!(pace.take(7), 0);
    }

    #[test]
    fn rests_end_in_the_order_in_which_they_are_due() {
        let mut pace = Pace::closed_loop(3, None);
        pace.rest(0, 30);
        pace.rest(1, 10);
        pace.rest(2, 20);
        assert_eq!(pace.next_due_ns(), Some(10));
        assert_eq!(
            (pace.due(9), pace.due(20), pace.due(20), pace.due(20)),
            (None, Some(1), Some(2), None)
        );
    }

    #[test]
    fn a_rest_doubles_from_a_millisecond_to_a_second() {
        let refused = Failure::errno(Phase::Connect, libc::ECONNREFUSED);
        for (failures, ns) in
            [(1, 1_000_000), (4, 8_000_000), (11, 1_000_000_000), (u32::MAX, 1_000_000_000)]
        {
            assert_eq!(rest_ns(failures, refused), ns);
        }
    }

    #[test]
    fn for_want_of_a_port_a_rest_stays_short() {
        let no_port = Failure::errno(Phase::Connect, libc::EADDRNOTAVAIL);
        assert_eq!((rest_ns(1, no_port), rest_ns(20, no_port)), (1_000_000, 32_000_000));
    }
}
