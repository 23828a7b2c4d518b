//! A token bucket that says when, not only whether.
//!
//! Nothing fills and nobody counts tokens: each request is given the earliest turn that keeps the
//! rate (virtual scheduling, as in the generic cell rate algorithm of ATM). Turns are one interval
//! apart. A server that was idle may have some in the past: those are the tokens in the bucket.
//!
//! ```text
//! turn = max(now - slack, next)      slack: how far in the past the first turn may be
//! next = turn + interval             interval: 1 / rate
//! ```

use crate::clock::{Moment, NS_PER_S};

/// The bucket holds what comes in during this time, and at least one token.
const DEPTH_NS: u64 = 10_000_000;

/// The longest wait that is worth its place in the line.
const LINE_NS: u64 = 10 * NS_PER_S;

/// Times are kept in 2^-32 ns. With whole ones a rate could be off by half a thousandth: 700000 a
/// second are 1428.57 ns apart. Integers, since `f64` would get coarser with the machine's uptime.
const FRACTION_BITS: u32 = 32;

/// A time or a span in units of 2^-32 ns; 128 bits hold any, before zero as well.
type Fine = i128;

fn fine(ns: u64) -> Fine {
    Fine::from(ns) << FRACTION_BITS
}

/// Tells when each request has its turn.
#[derive(Debug)]
pub(crate) struct Bucket {
    interval: Fine,
    slack: Fine,
    next: Fine,
}

impl Bucket {
    /// A full bucket that lets `rate` requests per second through.
    pub(crate) fn new(rate: f64) -> Self {
        let interval = (fine(NS_PER_S) as f64 / rate) as Fine;
        // The first of the tokens is for a turn that is now, so that it takes no slack.
        let slack = (fine(DEPTH_NS) - interval).max(0);
        Bucket { interval, slack, next: Fine::MIN }
    }

    /// Takes the next turn and returns its time, which may have passed: then it is now.
    ///
    /// `None` if the line is too long; nothing is taken then.
    pub(crate) fn take(&mut self, now: Moment) -> Option<Moment> {
        let now = fine(now.ns);
        let turn = self.next.max(now - self.slack);
        if turn > now + fine(LINE_NS) {
            return None;
        }
        self.next = turn + self.interval;
        // Rounded up, since an answer may be late but not early.
        let ns = (turn + fine(1) - 1) >> FRACTION_BITS;
        Some(Moment { ns: ns.max(0) as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Where the clock of the tests stands first: an uptime of a year.
    const START: u64 = 365 * 24 * 3600 * NS_PER_S;

    fn at(ns: u64) -> Moment {
        Moment { ns: START + ns }
    }

    /// How many of 20000 requests at the same time find a token.
    fn tokens(bucket: &mut Bucket, now: Moment) -> usize {
        let turns = (0..20_000).map_while(|_| bucket.take(now));
        turns.take_while(|&turn| turn <= now).count()
    }

    #[test]
    fn the_rate_is_exact_in_the_long_run() {
        for rate in [0.1, 0.3, 1.0, 2.5, 500.0, 3333.0, 7_777.7, 333_333.0, 700_000.0, 1e6] {
            // Each request comes when the one before has its turn, for an hour or a million of them.
            let mut bucket = Bucket::new(rate);
            let first = bucket.take(at(0)).unwrap();
            let (mut last, mut turns) = (first, 0_u32);
            while turns < 1_000_000 && last < at(3600 * NS_PER_S) {
                last = bucket.take(last).unwrap();
                turns += 1;
            }
            let measured = f64::from(turns) / (last.ns - first.ns) as f64 * NS_PER_S as f64;
            // Both ends are rounded to a nanosecond, and are a second apart or more.
            assert!((measured / rate - 1.0).abs() < 1e-8, "{rate}: {measured}");
        }
    }

    #[test]
    fn a_burst_is_as_large_as_the_bucket() {
        // Rate, tokens in a full bucket: 10 ms worth, and at least one.
        let cases = [
            (0.1, 1),
            (50.0, 1),
            (100.0, 1),
            (150.0, 1),
            (200.0, 2),
            (500.0, 5),
            (550.0, 5),
            (10_000.0, 100),
            (1e6, 10_000),
        ];
        for (rate, depth) in cases {
            let mut bucket = Bucket::new(rate);
            assert_eq!(tokens(&mut bucket, at(0)), depth, "{rate}");
        }
        for (rate, depth) in cases {
            // It does not hold more after a long time.
            let mut bucket = Bucket::new(rate);
            bucket.take(at(0));
            assert_eq!(tokens(&mut bucket, at(3600 * NS_PER_S)), depth, "{rate}");
        }
    }

    #[test]
    fn no_span_of_time_sees_more_than_the_rate_and_a_bucket() {
        let (rate, depth) = (500.0, 5.0);
        let mut bucket = Bucket::new(rate);
        // Irregular requests, some in bursts, some after a pause; fewer than the limit or more.
        let (mut now, mut step) = (0, 1);
        let answers: Vec<u64> = (0..2_000)
            .map(|_| {
                step = step * 48_271 % 2_147_483_647;
                now += if step % 7 == 0 { step % (20 * MS) } else { step % 50_000 };
                bucket.take(at(now)).unwrap().ns.max(START + now)
            })
            .collect();
        for (i, &from) in answers.iter().enumerate() {
            for (count, &to) in (1..).zip(&answers[i..]) {
                let most = depth + rate * (to - from) as f64 / NS_PER_S as f64;
                assert!(f64::from(count) <= most + 1e-6, "{count} in {} ns", to - from);
            }
        }
    }

    #[test]
    fn turns_are_in_the_order_of_the_requests() {
        let mut bucket = Bucket::new(333_333.0);
        let mut last = bucket.take(at(0)).unwrap();
        for request in 1..100_000 {
            // Clocks of threads that came for the lock in another order than they read the time.
            let now = request * 2_000 - request % 3 * 1_500;
            let turn = bucket.take(at(now)).unwrap();
            assert!(turn > last, "{request}");
            last = turn;
        }
    }

    #[test]
    fn requests_at_a_lower_rate_never_wait() {
        let mut bucket = Bucket::new(500.0);
        for request in 0..10_000 {
            // Every 2.1 ms, off by up to a millisecond.
            let now = at(request * 2_100_000 + request * 7_919 % MS);
            assert!(bucket.take(now).unwrap() <= now, "{request}");
        }
    }

    #[test]
    fn a_long_line_refuses_without_taking_a_token() {
        let mut bucket = Bucket::new(2.0);
        // One at once, and those whose turn comes within 10 s, that moment included.
        for n in 0..=20 {
            assert_eq!(bucket.take(at(0)), Some(at(n * 500 * MS)));
        }
        for _ in 0..1_000 {
            assert_eq!(bucket.take(at(0)), None);
        }
        // The line has become shorter by one turn, and the refused have none before it.
        assert_eq!(bucket.take(at(500 * MS)), Some(at(10_500 * MS)));
        assert_eq!(bucket.take(at(500 * MS)), None);
    }

    #[test]
    fn a_clock_that_has_just_started_will_do() {
        let now = Moment { ns: 5 };
        assert_eq!(tokens(&mut Bucket::new(500.0), now), 5);
    }
}
