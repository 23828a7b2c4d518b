//! Puts the workers' intervals together: to rows of a second, and to batches for the statistics.
//!
//! ```text
//!   worker 0   │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 ends         an interval is complete when all workers have
//!   worker 1   │ 0 │ 1 │ 2 │   │ 4 │ 5 │ 6 │ 7      delivered it who have not ended before; what one
//!               └─ complete ─┘   └── complete ─┘    leaves out it has put into its next one
//! ```
//!
//! This runs beside the workers, on a box with few CPUs on one of theirs. So counts (188 kB each) are
//! handed on rather than copied: those that a worker delivers become the interval's, and empty ones
//! go back in their place.

use super::second::Second;
use super::series::Series;
use super::{Event, INTERVAL, SPARES_PER_WORKER};
use crate::engine::tally::{Counters, LatencyCounts, Part};
use crate::engine::worker::{Interval, Outcome};
use crate::kernel;
use crate::statistics::{Batches, longest_us, percentile_us};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

/// Intervals in a row of the series.
const INTERVALS_PER_ROW: u64 = 10;

/// Intervals that may be open. The oldest of more is complete without the workers who are that late:
/// what they have done meanwhile is in the interval that they deliver next.
const OPEN_MAX: usize = 2 * INTERVALS_PER_ROW as usize;

/// A worker that ends this soon after an interval does not make another one.
const END_LATE_PART: u64 = 4;

/// What comes from the workers, of each part of the run.
pub(super) struct Collector {
    warmup: Gathering,
    measured: Gathering,
    spare_senders: Vec<Sender<LatencyCounts>>,
    /// Counts that are not in use at the moment, empty.
    free: Vec<LatencyCounts>,
}

impl Collector {
    /// For the workers at the other end of these channels, which get their first counts.
    pub(super) fn new(spare_senders: Vec<Sender<LatencyCounts>>) -> Collector {
        for sender in &spare_senders {
            for _ in 0..SPARES_PER_WORKER {
                let _ = sender.send(LatencyCounts::default());
            }
        }
        let [warmup, measured] = [0, 1].map(|_| Gathering::new(spare_senders.len()));
        Collector { warmup, measured, spare_senders, free: Vec::new() }
    }

    /// Takes an interval; `observe` is told of rows that it completes.
    pub(super) fn take(&mut self, interval: Interval, observe: &mut impl FnMut(Event<'_>)) {
        let (part, worker) = (interval.part, interval.worker);
        let gathering = match part {
            Part::Warmup => &mut self.warmup,
            Part::Measured => &mut self.measured,
        };
        gathering.take(interval, &mut self.free);
        gathering.settle(&mut self.free, &mut |second, counters| {
            observe(Event::Row(part, second, counters));
        });
        let spare = self.free.pop().unwrap_or_default();
        // The worker may be gone already.
        let _ = self.spare_senders[worker].send(spare);
    }

    /// Takes what a worker leaves: from now on nobody waits for it.
    pub(super) fn end(
        &mut self,
        worker: usize,
        outcome: &Outcome,
        observe: &mut impl FnMut(Event<'_>),
    ) {
        self.measured.end(worker, outcome, &mut self.free);
        self.measured.settle(&mut self.free, &mut |second, counters| {
            observe(Event::Row(Part::Measured, second, counters));
        });
    }

    /// All workers have ended: what is left of the measurement as a row, if there is something left,
    /// which is not in the series yet.
    pub(super) fn rest(&mut self, duration_s: f64) -> Option<Second> {
        let gathering = &mut self.measured;
        for piece in std::mem::take(&mut gathering.open).into_values() {
            gathering.counters.add(piece.counters);
            gathering.row.add(&piece.total);
        }
        let ended = |counters: &Counters| counters.ok + counters.failed;
        let is_left = ended(&gathering.closed) != ended(&gathering.counters);
        (is_left || gathering.series.rows().is_empty()).then(|| gathering.close_row(duration_s))
    }

    /// The rows of the measurement, with what was left, and its batches.
    pub(super) fn finish(mut self, rest: Option<Second>) -> (Series, Batches) {
        rest.into_iter().for_each(|second| self.measured.series.push(second));
        (self.measured.series, self.measured.batches)
    }
}

/// Intervals of one part of the run.
struct Gathering {
    workers: Vec<Delivery>,
    /// Those that are not complete, by number.
    open: BTreeMap<u64, Piece>,
    /// How many are complete, and the counts at their end.
    intervals: u64,
    counters: Counters,
    /// `total` of the row that is under way.
    row: LatencyCounts,
    /// The counts at the end of the latest row.
    closed: Counters,
    series: Series,
    batches: Batches,
}

/// What one worker has delivered.
#[derive(Clone, Copy, Default)]
struct Delivery {
    /// All its counts.
    counters: Counters,
    /// The number of the interval after the latest one.
    next: u64,
    /// Whether that was its last.
    ended: bool,
}

/// One interval, of those workers that have delivered it.
struct Piece {
    workers: usize,
    counters: Counters,
    total: LatencyCounts,
}

impl Gathering {
    fn new(workers: usize) -> Gathering {
        Gathering {
            workers: vec![Delivery::default(); workers],
            open: BTreeMap::new(),
            intervals: 0,
            counters: Counters::default(),
            row: LatencyCounts::default(),
            closed: Counters::default(),
            series: Series::default(),
            batches: Batches::new(INTERVAL),
        }
    }

    /// Takes an interval. Counts that are not needed any more go to `free`.
    fn take(&mut self, interval: Interval, free: &mut Vec<LatencyCounts>) {
        let Interval { worker, number, counters, mut total, .. } = interval;
        let piece = self.deliver(worker, number, counters, free);
        match piece.total.is_empty() {
            true => std::mem::swap(&mut piece.total, &mut total),
            false => piece.total.add(&total),
        }
        give_back(total, free);
    }

    /// Takes what a worker has counted since its latest interval.
    fn end(&mut self, worker: usize, outcome: &Outcome, free: &mut Vec<LatencyCounts>) {
        let interval_ns = INTERVAL.as_nanos() as u64;
        let ran_ns = outcome.end_ns.saturating_sub(outcome.measure_from_ns);
        let number = ran_ns.saturating_sub(interval_ns / END_LATE_PART) / interval_ns;
        let counters = outcome.tallies.measured.counters;
        let piece = self.deliver(worker, number, counters, free);
        piece.total.add(&outcome.last_interval);
        self.workers[worker].ended = true;
    }

    /// The interval that a worker delivers with `counters`; or a later one, if others could not wait
    /// for it.
    fn deliver(
        &mut self,
        worker: usize,
        number: u64,
        counters: Counters,
        free: &mut Vec<LatencyCounts>,
    ) -> &mut Piece {
        let number = number.max(self.intervals);
        let delivery = &mut self.workers[worker];
        let piece = self.open.entry(number).or_insert_with(|| Piece {
            workers: 0,
            counters: Counters::default(),
            total: free.pop().unwrap_or_default(),
        });
        piece.counters.add(counters.since(delivery.counters));
        piece.workers += usize::from(number >= delivery.next);
        (delivery.counters, delivery.next) = (counters, delivery.next.max(number + 1));
        piece
    }

    /// Completes what is complete, and tells of the rows.
    fn settle(
        &mut self,
        free: &mut Vec<LatencyCounts>,
        tell: &mut impl FnMut(&mut Second, &Counters),
    ) {
        // The last part of an interval belongs to the rest of the run.
        if self.workers.iter().all(|worker| worker.ended) {
            return;
        }
        let is_complete = |(number, piece): &(&u64, &Piece)| {
            let gone = |worker: &&Delivery| worker.ended && worker.next <= **number;
            piece.workers + self.workers.iter().filter(gone).count() >= self.workers.len()
        };
        if let Some((&number, _)) = self.open.iter().rev().find(is_complete) {
            self.complete(number, free, tell);
        }
        while self.open.len() > OPEN_MAX
            && let Some((&oldest, _)) = self.open.first_key_value()
        {
            self.complete(oldest, free, tell);
        }
    }

    /// All intervals up to this one are complete.
    fn complete(
        &mut self,
        number: u64,
        free: &mut Vec<LatencyCounts>,
        tell: &mut impl FnMut(&mut Second, &Counters),
    ) {
        let later = self.open.split_off(&(number + 1));
        let complete = std::mem::replace(&mut self.open, later).into_values();
        let Some(piece) = complete.reduce(|mut all, piece| {
            all.counters.add(piece.counters);
            all.total.add(&piece.total);
            give_back(piece.total, free);
            all
        }) else {
            return;
        };
        let units = (number + 1 - self.intervals) as u32;
        // With fewer workers it would be another load.
        if !self.workers.iter().any(|worker| worker.ended) {
            self.batches.push(units, piece.counters.ok, &piece.total);
        }
        self.counters.add(piece.counters);
        self.row.add(&piece.total);
        give_back(piece.total, free);
        let rows = |intervals: u64| intervals / INTERVALS_PER_ROW;
        let before = std::mem::replace(&mut self.intervals, number + 1);
        if rows(self.intervals) > rows(before) {
            let mut second = self.close_row(self.intervals as f64 * INTERVAL.as_secs_f64());
            tell(&mut second, &self.counters);
            self.series.push(second);
        }
    }

    /// The row that is under way.
    fn close_row(&mut self, end_s: f64) -> Second {
        let counters = self.counters;
        let delta = counters.since(std::mem::replace(&mut self.closed, counters));
        let total = self.row.histogram();
        self.row.reset();
        Second {
            t_s: (end_s * 1e6).round() / 1e6,
            requests: delta.ok + delta.failed,
            ok: delta.ok,
            failed: delta.failed,
            connections: delta.connections_opened,
            p50_us: percentile_us(&total, 50.0),
            p99_us: percentile_us(&total, 99.0),
            max_us: longest_us(&total),
            in_flight: counters.in_flight(),
            connect_mean_us: mean_us(delta.connect_ns, delta.connections_opened),
            time_wait: kernel::counters::time_wait(),
            ..Second::default()
        }
    }
}

/// Counts that are not needed any more.
fn give_back(mut counts: LatencyCounts, free: &mut Vec<LatencyCounts>) {
    counts.reset();
    free.push(counts);
}

/// A mean in microseconds to one decimal; `None` of nothing.
fn mean_us(sum_ns: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| (sum_ns as f64 / count as f64 / 100.0).round() / 10.0)
}

#[cfg(test)]
mod tests;
