//! The limit of requests (`-n`) over all workers.
//!
//! Nobody knows beforehand which worker is the fastest: its connections may be those that the server
//! answers first. So requests are not divided among the workers but taken from one count:
//!
//! ```text
//!   Quota      left: 9,876 ──────┬───────────────┐         exact over all workers
//!                      portion   │        portion │
//!   Allowance            reserve: 17      reserve: 1       one worker's
//!                          │ take           │ take
//!                        a slot           a slot
//! ```
//!
//! This is the one thing that workers share and write to after the start. It costs one atomic
//! operation a portion, and a portion is what a worker starts in about a millisecond: a fast worker
//! is seldom there, a slow one keeps nothing from the others. Towards the end portions shrink to a
//! single request, so that no worker sits on requests while others have none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a worker is to get by with a portion.
const PORTION_NS: u64 = 1_000_000;

/// The largest portion, unless more are started at once.
const PORTION_MAX: u64 = 256;

/// A portion is at most this part of what each worker would get if the rest were divided.
const PORTION_PART: u64 = 16;

/// Requests that may still be started or, in an open loop, come due. A clone is another end of the
/// same count.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Count>);

#[derive(Debug)]
struct Count {
    left: AtomicU64,
    /// When the last one was taken; 0 before.
    used_up_ns: AtomicU64,
    workers: u64,
}

impl Quota {
    /// So many requests for so many workers.
    pub fn new(requests: u64, workers: u32) -> Quota {
        Quota(Arc::new(Count {
            left: AtomicU64::new(requests),
            used_up_ns: AtomicU64::new(0),
            workers: workers.max(1).into(),
        }))
    }

    /// Requests that no worker has taken.
    pub fn left(&self) -> u64 {
        self.0.left.load(Ordering::Relaxed)
    }

    /// When the last request was taken, on the drivers' clock; 0 while some are left. Exact once the
    /// workers have ended.
    pub fn used_up_ns(&self) -> u64 {
        self.0.used_up_ns.load(Ordering::Relaxed)
    }

    /// Takes `least` requests, and up to `most` as long as there are plenty; fewer when no more are
    /// left.
    fn take(&self, least: u64, most: u64, now_ns: u64) -> u64 {
        let count = &self.0;
        let portion = |left: u64| {
            let fair = left / (count.workers * PORTION_PART);
            most.min(fair).max(least).min(left)
        };
        // Nothing else depends on what other workers have done: the count alone has to be right.
        let before = count.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left > 0).then(|| left - portion(left))
        });
        let Ok(before) = before else { return 0 };
        let taken = portion(before);
        if taken == before {
            count.used_up_ns.store(now_ns, Ordering::Relaxed);
        }
        taken
    }
}

/// The whole quota for a single worker.
impl From<u64> for Quota {
    fn from(requests: u64) -> Quota {
        Quota::new(requests, 1)
    }
}

/// One worker's end of a quota.
#[derive(Debug)]
pub(super) struct Allowance {
    quota: Quota,
    /// Taken, and not started.
    reserve: u64,
    /// The size of the latest portion, and when it was taken.
    portion: u64,
    taken_ns: u64,
}

impl Allowance {
    pub(super) fn new(quota: Quota) -> Allowance {
        Allowance { quota, reserve: 0, portion: 1, taken_ns: 0 }
    }

    /// Up to `wanted` requests may be started: how many.
    pub(super) fn take(&mut self, wanted: u64, now_ns: u64) -> u64 {
        let missing = wanted.saturating_sub(self.reserve);
        if missing > 0 {
            // At most twice as many as the time before, which grows fast enough.
            let lasted_ns = now_ns.saturating_sub(self.taken_ns).max(PORTION_NS / 2);
            let portion = self.portion.saturating_mul(PORTION_NS) / lasted_ns;
            self.portion = portion.clamp(1, PORTION_MAX).max(missing);
            self.taken_ns = now_ns;
            self.reserve += self.quota.take(missing, self.portion, now_ns);
        }
        let granted = wanted.min(self.reserve);
        self.reserve -= granted;
        granted
    }

    /// Whether nothing is left, for no worker.
    pub(super) fn is_used_up(&self) -> bool {
        self.reserve == 0 && self.quota.left() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_slow_worker_takes_what_it_starts_and_a_fast_one_a_millisecond_of_it() {
        let quota = Quota::new(1_000_000, 2);
        let [mut slow, mut fast] = [(); 2].map(|()| Allowance::new(quota.clone()));
        for at in 1..100 {
            assert_eq!(slow.take(1, at * 10 * MS), 1);
            assert_eq!(slow.reserve, 0, "ten milliseconds apart");
        }
        for at in 0..100_000 {
            assert_eq!(fast.take(1, at * 10_000), 1);
            assert!(fast.reserve < 2 * 100, "a hundred a millisecond: {}", fast.reserve);
        }
        assert!(fast.portion >= 50, "{}", fast.portion);
        // One that stalls has little, and takes little when it is back.
        assert_eq!(fast.take(200, 60_000 * MS), 200);
        assert!(fast.reserve < 200);
    }

    #[test]
    fn towards_the_end_nobody_keeps_a_reserve() {
        let quota = Quota::new(100_000, 4);
        let mut fast = Allowance::new(quota.clone());
        while fast.take(1, 0) == 1 {
            assert!(fast.reserve <= (quota.left() + fast.reserve + 1) / 64, "{fast:?}");
        }
        assert!(fast.is_used_up());
    }

    #[test]
    fn a_pipeline_gets_all_that_it_wants_at_once() {
        let quota = Quota::new(40, 8);
        let mut allowance = Allowance::new(quota);
        let granted: Vec<u64> = (0..4).map(|at| allowance.take(16, at)).collect();
        assert_eq!(granted, [16, 16, 8, 0]);
    }

    #[test]
    fn it_is_known_when_the_last_one_was_taken() {
        let quota = Quota::new(2, 2);
        let [mut one, mut other] = [(); 2].map(|()| Allowance::new(quota.clone()));
        assert_eq!((one.take(1, 5), quota.used_up_ns()), (1, 0));
        assert_eq!((other.take(1, 7), quota.used_up_ns()), (1, 7));
        assert_eq!((one.take(1, 9), quota.used_up_ns()), (0, 7));
    }

    proptest! {
        /// Whoever takes how many and when: all are given out, and no more.
        #[test]
        fn a_quota_is_exact_over_all_workers(
            requests in 0u64..5_000,
            takes in prop::collection::vec((0usize..4, 1u64..40, 0..3 * MS), 1..300),
        ) {
            let quota = Quota::new(requests, 4);
            let mut workers = [(); 4].map(|()| Allowance::new(quota.clone()));
            let (mut now_ns, mut granted) = (0, 0);
            for &(worker, wanted, after_ns) in takes.iter().cycle().take(10_000) {
                now_ns += after_ns;
                let before = workers.each_ref().map(|worker| worker.is_used_up());
                let got = workers[worker].take(wanted, now_ns);
                prop_assert!(got <= wanted && (got > 0) != before[worker]);
                granted += got;
            }
            let reserves: u64 = workers.iter().map(|worker| worker.reserve).sum();
            prop_assert_eq!(granted + reserves + quota.left(), requests);
            for worker in &mut workers {
                granted += worker.take(u64::from(u32::MAX), now_ns);
            }
            prop_assert_eq!(granted, requests);
        }
    }

    #[test]
    fn threads_get_all_of_it_between_them() {
        let quota = Quota::new(200_000, 4);
        let work = |mut allowance: Allowance| {
            let granted = (0..).map(|at| allowance.take(1, at * 2_000)).take_while(|got| *got > 0);
            granted.sum::<u64>()
        };
        let all: u64 = std::thread::scope(|scope| {
            let allowances = [(); 4].map(|()| Allowance::new(quota.clone()));
            let threads = allowances.map(|allowance| scope.spawn(move || work(allowance)));
            threads.map(|thread| thread.join().unwrap()).into_iter().sum()
        });
        assert_eq!(all, 200_000);
        assert_eq!(quota.left(), 0);
    }
}
