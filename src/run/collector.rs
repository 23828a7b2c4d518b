//! Puts the workers' intervals together: to rows of a second, and to batches for the statistics.
//!
//! This runs beside the workers, on a box with few CPUs on one of theirs. So histograms (188 kB
//! each) are handed on rather than copied: the one that a worker delivers becomes the interval's,
//! and another one goes back in its place.

use super::{Event, INTERVAL, SPARES_PER_WORKER};
use crate::kernel;
use crate::report::Second;
use crate::statistics::Batches;
use crate::tally::{Counters, Part, latency_histogram, longest_us, percentile_us};
use crate::worker::{Interval, Outcome};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::mpsc::Sender;

/// Intervals in a row of the series.
const INTERVALS_PER_ROW: u64 = 10;

/// What comes from the workers, of each part of the run.
pub(super) struct Collector {
    warmup: Gathering,
    measured: Gathering,
    spare_senders: Vec<Sender<Histogram<u64>>>,
    /// Histograms that nobody needs at the moment.
    free: Vec<Histogram<u64>>,
}

impl Collector {
    /// For the workers at the other end of these channels, which get their first histograms.
    pub(super) fn new(spare_senders: Vec<Sender<Histogram<u64>>>) -> Collector {
        for sender in &spare_senders {
            for _ in 0..SPARES_PER_WORKER {
                let _ = sender.send(latency_histogram());
            }
        }
        let [warmup, measured] = [0, 1].map(|_| Gathering::new(spare_senders.len()));
        Collector { warmup, measured, spare_senders, free: Vec::new() }
    }

    /// Takes an interval; `observe` is told of a row that it completes.
    pub(super) fn take(&mut self, interval: Interval, observe: &mut impl FnMut(Event<'_>)) {
        let (part, worker) = (interval.part, interval.worker);
        let gathering = match part {
            Part::Warmup => &mut self.warmup,
            Part::Measured => &mut self.measured,
        };
        if gathering.take(interval, &mut self.free)
            && let Some(second) = gathering.series.last()
        {
            observe(Event::Row(part, second, &gathering.closed));
        }
        let spare = self.free.pop().unwrap_or_else(latency_histogram);
        // The worker may be gone already.
        let _ = self.spare_senders[worker].send(spare);
    }

    /// The run is over: the rows of the measurement, with what was left of one, and its batches.
    pub(super) fn finish(
        mut self,
        outcomes: &[&Outcome],
        duration_s: f64,
    ) -> (Vec<Second>, Batches) {
        let gathering = &mut self.measured;
        let mut counters = Counters::default();
        for piece in std::mem::take(&mut gathering.open).into_values() {
            gathering.add_to_row(&piece.total);
        }
        for outcome in outcomes {
            gathering.add_to_row(&outcome.last_interval);
            counters.add(outcome.tallies.measured.counters);
        }
        let ended = |counters: &Counters| counters.ok + counters.failed;
        if ended(&gathering.closed) != ended(&counters) || gathering.series.is_empty() {
            gathering.close_row(duration_s, counters);
        }
        (self.measured.series, self.measured.batches)
    }
}

/// Intervals of one part of the run.
struct Gathering {
    workers: usize,
    /// Those that not all workers have delivered yet, by number.
    open: BTreeMap<u64, Piece>,
    /// How many are complete, and the counts at their end.
    intervals: u64,
    complete: Counters,
    /// `total` of the row that is under way.
    row: Histogram<u64>,
    /// The counts at the end of the latest row.
    closed: Counters,
    series: Vec<Second>,
    batches: Batches,
}

/// One interval, of those workers that have delivered it.
struct Piece {
    workers: usize,
    counters: Counters,
    total: Histogram<u64>,
}

impl Piece {
    fn add(&mut self, total: Histogram<u64>, free: &mut Vec<Histogram<u64>>) {
        self.total.add(&total).expect("all histograms have the same bounds");
        free.push(total);
    }
}

impl Gathering {
    fn new(workers: usize) -> Gathering {
        Gathering {
            workers,
            open: BTreeMap::new(),
            intervals: 0,
            complete: Counters::default(),
            row: latency_histogram(),
            closed: Counters::default(),
            series: Vec::new(),
            batches: Batches::new(INTERVAL),
        }
    }

    /// Takes an interval; whether it completes a row. Histograms that are not needed any more go to
    /// `free`.
    fn take(&mut self, interval: Interval, free: &mut Vec<Histogram<u64>>) -> bool {
        let Interval { number, counters, total, .. } = interval;
        let workers = match self.open.entry(number) {
            Entry::Vacant(place) => place.insert(Piece { workers: 1, counters, total }).workers,
            Entry::Occupied(mut place) => {
                let piece = place.get_mut();
                piece.workers += 1;
                piece.counters.add(counters);
                piece.add(total, free);
                piece.workers
            }
        };
        if workers < self.workers {
            return false;
        }
        // A worker that skipped a number has put its counts into a later one.
        let later = self.open.split_off(&(number + 1));
        let complete = std::mem::replace(&mut self.open, later);
        let Some(Piece { counters, total, .. }) =
            complete.into_values().reduce(|earlier, mut last| {
                last.add(earlier.total, free);
                last
            })
        else {
            return false;
        };
        let units = (number + 1 - self.intervals) as u32;
        self.batches.push(units, counters.since(self.complete).ok, &total);
        self.add_to_row(&total);
        free.push(total);
        let rows = |intervals: u64| intervals / INTERVALS_PER_ROW;
        let completes_row = rows(number + 1) > rows(self.intervals);
        (self.intervals, self.complete) = (number + 1, counters);
        if completes_row {
            self.close_row((number + 1) as f64 * INTERVAL.as_secs_f64(), counters);
        }
        completes_row
    }

    fn add_to_row(&mut self, total: &Histogram<u64>) {
        self.row.add(total).expect("all histograms have the same bounds");
    }

    fn close_row(&mut self, end_s: f64, counters: Counters) {
        let delta = counters.since(self.closed);
        self.closed = counters;
        self.series.push(Second {
            t_s: (end_s * 1e6).round() / 1e6,
            requests: delta.ok + delta.failed,
            ok: delta.ok,
            failed: delta.failed,
            connections: delta.connections_opened,
            p50_us: percentile_us(&self.row, 50.0),
            p99_us: percentile_us(&self.row, 99.0),
            max_us: longest_us(&self.row),
            in_flight: counters.in_flight(),
            connect_mean_us: mean_us(delta.connect_ns, delta.connections_opened),
            time_wait: kernel::counters::time_wait(),
            ..Second::default()
        });
        self.row.reset();
    }
}

/// A mean in microseconds to one decimal; `None` of nothing.
fn mean_us(sum_ns: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| (sum_ns as f64 / count as f64 / 100.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// An interval in which a worker has had `ok` answers since its begin, the latest in `us`.
    fn interval(worker: usize, number: u64, ok: u64, us: u64) -> Interval {
        let mut total = latency_histogram();
        total.record(us).unwrap();
        let counters = Counters { started: ok, ok, ..Counters::default() };
        Interval { worker, part: Part::Measured, number, counters, total }
    }

    fn collector(workers: usize) -> Collector {
        Collector::new((0..workers).map(|_| mpsc::channel().0).collect())
    }

    /// What a collector tells of: nothing but rows.
    fn row(event: Event<'_>) -> (Part, Second, Counters) {
        match event {
            Event::Row(part, second, counters) => (part, second.clone(), *counters),
            Event::Begin => panic!("a collector does not begin a measurement"),
        }
    }

    #[test]
    fn a_row_is_complete_when_all_workers_have_delivered_its_second() {
        let mut collector = collector(2);
        let mut rows = Vec::new();
        for number in 0..10 {
            for worker in [0, 1] {
                let interval = interval(worker, number, 5 * (number + 1), 100);
                collector.take(interval, &mut |event| {
                    let (_, second, totals) = row(event);
                    rows.push((second, totals.ok));
                });
            }
        }
        assert_eq!(rows.len(), 1);
        let (row, ok) = &rows[0];
        assert_eq!((row.t_s, row.ok, row.p50_us, *ok), (1.0, 100, Some(100), 100));
    }

    #[test]
    fn a_worker_that_is_ahead_counts_for_its_own_interval() {
        let mut collector = collector(2);
        let mut rows = Vec::new();
        let mut take = |worker, number, ok| {
            let interval = interval(worker, number, ok, 100);
            collector.take(interval, &mut |event| {
                let (_, second, _) = row(event);
                rows.push((second.t_s, second.ok));
            });
        };
        // One delivers two seconds before the other its first; and that one skips numbers.
        take(0, 9, 10);
        take(0, 19, 30);
        take(1, 12, 7);
        take(1, 19, 8);
        assert_eq!(rows, [(2.0, 38)]);
    }

    #[test]
    fn parts_are_kept_apart() {
        let mut collector = collector(1);
        let mut parts = Vec::new();
        for part in [Part::Warmup, Part::Measured] {
            let interval = Interval { part, ..interval(0, 9, 10, 100) };
            collector.take(interval, &mut |event| {
                let (part, second, _) = row(event);
                parts.push((part, second.ok));
            });
        }
        assert_eq!(parts, [(Part::Warmup, 10), (Part::Measured, 10)]);
    }
}
