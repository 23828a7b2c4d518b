//! The CPU time of ringshot itself: how much its worker threads ran, how long they waited for a
//! CPU, and for how long a quota stopped them.
//!
//! A thread that could run and does not is late, and the latencies include all of that. The mean
//! over a run hides it, above all if the load rises towards the end, so the worst second is kept
//! too.

use crate::engine::run::ThreadTime;
use crate::kernel::cgroup::{Throttled, Throttling};
use std::time::Duration;

/// A shorter row cannot be the worst second: a single time slice of another program would fill it.
const SECOND_NS_MIN: u64 = 500_000_000;

/// What one worker has used since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerTime {
    pub ran_ns: u64,
    /// How long it could have run and had no CPU; `None` where the kernel does not report it.
    pub waited_ns: Option<u64>,
    /// CPU time spent looking for work that was not there.
    pub looked_ns: u64,
}

/// All that is known at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnReading {
    /// Each worker; none where the kernel does not show threads.
    pub workers: Vec<WorkerTime>,
    /// What quotas did; `None` where the kernel does not report it.
    pub throttling: Option<Throttling>,
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OwnSecond {
    /// CPU time of all workers over wall time: 1 is one CPU.
    pub cpu_ratio: Option<f64>,
    /// Time for which the worker that waited the longest waited for a CPU, over wall time.
    pub cpu_wait_ratio: Option<f64>,
    /// How long a quota stopped ringshot's control group, summed over the CPUs that it ran on.
    pub throttled_s: Option<f64>,
}

/// What happened in the whole measurement, beside what the workers report themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pressure {
    /// In the second in which a worker waited the longest, the part for which it did.
    pub wait_peak_ratio: Option<f64>,
    /// In the second in which a worker had the most to do, the part for which it ran or waited.
    pub demand_peak_ratio: Option<f64>,
    /// What quotas did; `None` where the kernel does not report it.
    pub throttled: Option<Throttled>,
}

/// What happened since the first reading.
#[derive(Clone, Debug)]
pub(super) struct OwnSums {
    first: OwnReading,
    /// The reading before the latest, and how far apart they are.
    before: Option<(OwnReading, u64)>,
    latest: OwnReading,
    wait_peak_ratio: Option<f64>,
    demand_peak_ratio: Option<f64>,
}

impl OwnSums {
    pub(super) fn new(first: OwnReading) -> OwnSums {
        OwnSums {
            latest: first.clone(),
            first,
            before: None,
            wait_peak_ratio: None,
            demand_peak_ratio: None,
        }
    }

    /// The last reading: the workers have ended, and reported themselves what they used.
    pub(super) fn at_end(
        &self,
        threads: &[ThreadTime],
        throttling: Option<Throttling>,
    ) -> OwnReading {
        let ns = |time: Duration| time.as_nanos() as u64;
        let ended = |(begin, used): (&WorkerTime, &ThreadTime)| WorkerTime {
            ran_ns: begin.ran_ns + ns(used.cpu()),
            waited_ns: begin.waited_ns.zip(used.waited).map(|(begin_ns, used)| begin_ns + ns(used)),
            looked_ns: begin.looked_ns + ns(used.looked),
        };
        let workers = self.first.workers.iter().zip(threads).map(ended).collect();
        OwnReading { workers, throttling }
    }

    /// Takes the next reading, and returns what happened since the one before.
    pub(super) fn add(&mut self, reading: OwnReading, apart_ns: u64) -> OwnSecond {
        let before = std::mem::replace(&mut self.latest, reading);
        let second = self.since(&before, apart_ns);
        self.before = Some((before, apart_ns));
        second
    }

    /// Takes a reading in place of the latest, this much later: a worker that had ended by then
    /// could not be seen.
    pub(super) fn amend(&mut self, reading: OwnReading, later_ns: u64) -> OwnSecond {
        let (before, apart_ns) = self.before.take().unwrap_or((self.latest.clone(), 0));
        self.latest = before;
        self.add(reading, apart_ns + later_ns)
    }

    /// What happened up to the latest reading.
    fn since(&mut self, before: &OwnReading, apart_ns: u64) -> OwnSecond {
        let spans = || before.workers.iter().zip(&self.latest.workers);
        let ran = |(from, to): (&WorkerTime, &WorkerTime)| to.ran_ns.saturating_sub(from.ran_ns);
        let waited = |(from, to): (&WorkerTime, &WorkerTime)| {
            Some(to.waited_ns?.saturating_sub(from.waited_ns?))
        };
        let needed = |(from, to): (&WorkerTime, &WorkerTime)| {
            let looked_ns = to.looked_ns.saturating_sub(from.looked_ns);
            ran((from, to)).saturating_sub(looked_ns) + waited((from, to)).unwrap_or(0)
        };
        let of_one = |ns: u64| ratio(ns, apart_ns).min(1.0);
        let second = OwnSecond {
            cpu_ratio: spans().map(ran).reduce(|sum, ns| sum + ns).map(|ns| ratio(ns, apart_ns)),
            cpu_wait_ratio: spans().filter_map(waited).max().map(of_one),
            throttled_s: throttled(before, &self.latest).map(Throttled::seconds),
        };
        let demand = spans().map(needed).max().map(of_one);
        if apart_ns >= SECOND_NS_MIN {
            self.wait_peak_ratio = highest(self.wait_peak_ratio, second.cpu_wait_ratio);
            self.demand_peak_ratio = highest(self.demand_peak_ratio, demand);
        }
        second
    }

    pub(super) fn pressure(&self) -> Pressure {
        Pressure {
            wait_peak_ratio: self.wait_peak_ratio,
            demand_peak_ratio: self.demand_peak_ratio,
            throttled: throttled(&self.first, &self.latest),
        }
    }
}

fn throttled(from: &OwnReading, to: &OwnReading) -> Option<Throttled> {
    Some(to.throttling.as_ref()?.since(from.throttling.as_ref()?))
}

/// The higher of what is known.
fn highest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

/// Digits beyond a thousandth are noise.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e3).round() / 1e3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn reading(workers: &[(u64, u64, u64)]) -> OwnReading {
        let worker = |&(ran, waited, looked): &(u64, u64, u64)| WorkerTime {
            ran_ns: ran * MS,
            waited_ns: Some(waited * MS),
            looked_ns: looked * MS,
        };
        OwnReading { workers: workers.iter().map(worker).collect(), throttling: None }
    }

    #[test]
    fn the_worst_second_of_the_busiest_thread_is_kept() {
        let mut sums = OwnSums::new(reading(&[(5, 5, 5), (0, 0, 0)]));
        let second = sums.add(reading(&[(105, 705, 5), (900, 10, 120)]), 1000 * MS);
        assert_eq!((second.cpu_ratio, second.cpu_wait_ratio), (Some(1.0), Some(0.7)));
        // Of the two the first: ran 100 and waited 700, while the other needed 780 and waited 10.
        assert_eq!(sums.pressure().demand_peak_ratio, Some(0.8));
        // A quiet second, and what was left of one: of neither is the worst.
        sums.add(reading(&[(205, 705, 5), (950, 10, 120)]), 1000 * MS);
        sums.add(reading(&[(305, 705, 5), (950, 109, 120)]), 100 * MS);
        let pressure = sums.pressure();
        assert_eq!((pressure.wait_peak_ratio, pressure.demand_peak_ratio), (Some(0.7), Some(0.8)));
        assert_eq!(pressure.throttled, None);
    }

    #[test]
    fn what_is_not_known_of_a_thread_is_left_out() {
        let unknown = |ran_ns| OwnReading {
            workers: vec![WorkerTime { ran_ns, waited_ns: None, looked_ns: 0 }],
            throttling: None,
        };
        let mut sums = OwnSums::new(unknown(0));
        let second = sums.add(unknown(500 * MS), 1000 * MS);
        assert_eq!((second.cpu_ratio, second.cpu_wait_ratio), (Some(0.5), None));
        assert_eq!(sums.pressure().wait_peak_ratio, None);
        assert_eq!(sums.pressure().demand_peak_ratio, Some(0.5));
        let mut sums = OwnSums::new(OwnReading::default());
        assert_eq!(sums.add(OwnReading::default(), 1000 * MS), OwnSecond::default());
        assert_eq!(sums.pressure(), Pressure::default());
    }

    #[test]
    fn one_that_waits_for_longer_than_a_second_is_not_late_twice() {
        // The kernel counts a wait when it is over.
        let mut sums = OwnSums::new(reading(&[(0, 0, 0)]));
        sums.add(reading(&[(0, 0, 0)]), 1000 * MS);
        let second = sums.add(reading(&[(1, 1900, 0)]), 1000 * MS);
        assert_eq!(second.cpu_wait_ratio, Some(1.0));
    }

    #[test]
    fn a_worker_that_had_ended_when_it_was_looked_at_is_seen_in_the_end() {
        let mut sums = OwnSums::new(reading(&[(0, 0, 0)]));
        sums.add(reading(&[(300, 100, 0)]), 1000 * MS);
        let blind = sums.add(reading(&[(300, 100, 0)]), 990 * MS);
        assert_eq!(blind.cpu_ratio, Some(0.0));
        let second = sums.amend(reading(&[(700, 300, 0)]), 10 * MS);
        assert_eq!((second.cpu_ratio, second.cpu_wait_ratio), (Some(0.4), Some(0.2)));
        assert_eq!(sums.pressure().demand_peak_ratio, Some(0.6));
    }

    #[test]
    fn the_end_is_what_the_threads_say_of_themselves() {
        let sums = OwnSums::new(reading(&[(5, 5, 1)]));
        let used = ThreadTime {
            user: Duration::from_millis(10),
            sys: Duration::from_millis(20),
            waited: Some(Duration::from_millis(7)),
            looked: Duration::from_millis(2),
            wall: Duration::from_millis(100),
        };
        assert_eq!(sums.at_end(&[used], None), reading(&[(35, 12, 3)]));
    }
}
