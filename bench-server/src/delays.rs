//! How long answers were really held back.
//!
//! What a load generator measures of `/delay` can only be as good as the delay was. On a busy
//! machine a timer is served late, and that is the server's doing: here is how late.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

/// Values are kept to a thousandth of themselves.
const DIGITS: u8 = 3;

/// The records of all threads.
#[derive(Debug)]
pub(crate) struct Delays {
    threads: Box<[Record]>,
}

/// One thread's record, on cache lines of its own. The lock is contended only by whoever sums up.
#[derive(Debug)]
#[repr(align(128))]
struct Record(Mutex<Histogram<u64>>);

impl Record {
    fn lock(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delays {
    pub(crate) fn new(threads: usize) -> Self {
        Delays { threads: (0..threads).map(|_| Record(Mutex::new(empty()))).collect() }
    }

    pub(crate) fn record(&self, thread: usize, held: Duration) {
        // It grows as needed; there is no value too large for it.
        let _ = self.threads[thread].lock().record(held.as_micros() as u64);
    }

    pub(crate) fn sum(&self) -> Histogram<u64> {
        let mut sum = empty();
        for thread in &self.threads {
            // It grows as needed.
            let _ = sum.add(&*thread.lock());
        }
        sum
    }
}

/// It starts small and grows with the longest delay: 16 KiB up to 2 ms, 190 KiB up to an hour.
fn empty() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("a number of digits that the crate takes")
}

/// What `/stats` tells of a record.
pub(crate) fn to_json(delays: &Histogram<u64>) -> String {
    format!(
        "{{\"count\": {}, \"mean_us\": {:.1}, \"p50_us\": {}, \"p90_us\": {}, \"p99_us\": {}, \
         \"max_us\": {}}}",
        delays.len(),
        delays.mean(),
        delays.value_at_quantile(0.5),
        delays.value_at_quantile(0.9),
        delays.value_at_quantile(0.99),
        delays.max(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_has_what_every_thread_recorded() {
        let delays = Delays::new(3);
        let hour = Duration::from_secs(3600);
        for (thread, held) in [(0, 0), (0, 1), (2, 500), (2, 1_000)] {
            delays.record(thread, Duration::from_micros(held));
        }
        let expected = "{\"count\": 4, \"mean_us\": 375.2, \"p50_us\": 1, \"p90_us\": 1000, \
                        \"p99_us\": 1000, \"max_us\": 1000}";
        assert_eq!(to_json(&delays.sum()), expected);

        delays.record(1, hour);
        let sum = delays.sum();
        assert_eq!(sum.len(), 5);
        assert!(sum.max().abs_diff(hour.as_micros() as u64) <= 3_600_000, "{}", sum.max());
    }

    #[test]
    fn an_empty_record_is_all_zero() {
        let expected = "{\"count\": 0, \"mean_us\": 0.0, \"p50_us\": 0, \"p90_us\": 0, \
                        \"p99_us\": 0, \"max_us\": 0}";
        assert_eq!(to_json(&Delays::new(1).sum()), expected);
    }
}
