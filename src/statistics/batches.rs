//! The run in 20 to 40 batches of equal length, however long it gets.
//!
//! A batch takes pieces until it is long enough. When 40 are complete and another piece comes,
//! neighbours are merged and the length doubles ("dynamic batch means": Yeh and Schmeiser,
//! "Simulation output analysis via dynamic batch means", Winter Simulation Conference 2000):
//!
//! ```text
//!   length 1   │0│1│2│3│4│5│ ... │38│39│          40 complete, and a piece comes
//!   length 2   │0 1│2 3│4 5│ ... │38 39│40 ·      20 complete, one open
//! ```
//!
//! Memory is that of 40 histograms, whatever the run; those that a merge frees are used again.

use super::silence::{Gaps, Silence};
use super::{LatencyCounts, latency_histogram, percentile_us};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Complete batches that are kept; with one more, there would be twice as many as are needed.
pub(super) const BATCHES_MAX: usize = 40;

/// Complete batches below which nothing is said. Schmeiser (1982) finds that intervals become
/// wider and less stable with fewer than eight to ten, and the normal approximation of the trend
/// test is usual from about ten on.
pub(super) const BATCHES_MIN: usize = 10;

/// A percentile and how many samples every batch must have for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percentile {
    /// As in p99: 99.
    pub percent: f64,
    /// The fewest samples in a batch.
    pub samples_min: u64,
}

/// Ten samples on either side of the median in every batch.
pub(super) const P50: Percentile = Percentile { percent: 50.0, samples_min: 20 };

/// With fewer than 100 samples, the p99 of a batch is nothing but its longest latency: an estimate
/// of something else, which moves with the number of samples. From 100 on it is a percentile, if a
/// coarse one, and ten batches together have the thousand that [`super::enough_samples`] asks for.
pub(super) const P99: Percentile = Percentile { percent: 99.0, samples_min: 100 };

/// Latencies of a piece, in microseconds.
pub trait Samples {
    /// Adds them to a histogram.
    fn add_to(&self, sum: &mut Histogram<u64>);

    /// How many they are.
    fn count(&self) -> u64;

    /// A histogram for them: of the same shape every time.
    fn empty_histogram(&self) -> Histogram<u64>;
}

impl Samples for LatencyCounts {
    fn add_to(&self, sum: &mut Histogram<u64>) {
        self.add_to(sum);
    }

    fn count(&self) -> u64 {
        self.len()
    }

    fn empty_histogram(&self) -> Histogram<u64> {
        latency_histogram()
    }
}

impl Samples for Histogram<u64> {
    fn add_to(&self, sum: &mut Histogram<u64>) {
        sum.add(self).expect("all histograms have the same bounds");
    }

    fn count(&self) -> u64 {
        self.len()
    }

    fn empty_histogram(&self) -> Histogram<u64> {
        Histogram::new_from(self)
    }
}

/// A stretch of the run.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Its length, in units of the collector.
    pub units: u64,
    /// Requests that ended well.
    pub ok: u64,
    /// Latencies of the whole request, in microseconds.
    pub total: Histogram<u64>,
}

impl Batch {
    fn add(&mut self, units: u64, ok: u64, total: &impl Samples) {
        self.units += units;
        self.ok += ok;
        total.add_to(&mut self.total);
    }

    /// Requests that ended well, per unit of time.
    pub(crate) fn rate_per_unit(&self) -> f64 {
        self.ok as f64 / self.units as f64
    }
}

/// The run so far, in batches. Fed by the thread that collects, a piece an interval; asked when
/// the run is over.
#[derive(Clone, Debug)]
pub struct Batches {
    /// How long a unit is.
    unit: Duration,
    /// Units at which a batch is complete. None of `complete` is shorter.
    length_units: u64,
    /// In the order of time, at most [`BATCHES_MAX`].
    complete: Vec<Batch>,
    /// The one that pieces go to; shorter than `length_units`. Left out of all results.
    open: Option<Batch>,
    /// Histograms that a merge has freed, with their old contents.
    spare: Vec<Histogram<u64>>,
    /// How long the run is.
    units: u64,
    /// When requests ended well, and when there were answers of whatever kind.
    ok: Gaps,
    answers: Gaps,
}

impl Batches {
    /// Nothing yet, of a run that will come in pieces of `unit`.
    ///
    /// # Panics
    /// When the unit is zero: there would be no rate.
    pub fn new(unit: Duration) -> Batches {
        assert!(!unit.is_zero(), "a unit takes time");
        Batches {
            unit,
            length_units: 1,
            complete: Vec::with_capacity(BATCHES_MAX),
            open: None,
            spare: Vec::with_capacity(BATCHES_MAX / 2),
            units: 0,
            ok: Gaps::default(),
            answers: Gaps::default(),
        }
    }

    /// The next piece of the run: its length in units (usually 1), the requests in it that ended
    /// well, and the latencies in it.
    ///
    /// A piece is not split, so a long one makes its batch longer than the others. Allocates for
    /// the first 40 batches and never again.
    pub fn push(&mut self, units: u32, ok: u64, total: &impl Samples) {
        self.units += u64::from(units);
        self.ok.push(ok, units.into(), self.units);
        self.answers.push(total.count(), units.into(), self.units);
        let mut batch = match self.open.take() {
            Some(open) => open,
            None => {
                if self.complete.len() == BATCHES_MAX {
                    self.merge_neighbours();
                }
                self.empty_batch(total)
            }
        };
        batch.add(u64::from(units), ok, total);
        if batch.units >= self.length_units {
            self.complete.push(batch);
        } else {
            self.open = Some(batch);
        }
    }

    fn empty_batch(&mut self, shape: &impl Samples) -> Batch {
        let total = match self.spare.pop() {
            Some(mut used) => {
                used.reset();
                used
            }
            None => shape.empty_histogram(),
        };
        Batch { units: 0, ok: 0, total }
    }

    /// Makes one batch of every two, twice as long.
    fn merge_neighbours(&mut self) {
        for pair in 0..self.complete.len() / 2 {
            let (before, from_odd) = self.complete.split_at_mut(2 * pair + 1);
            let odd = &from_odd[0];
            before[2 * pair].add(odd.units, odd.ok, &odd.total);
            // The one that is swapped out has been merged in an earlier turn.
            self.complete.swap(pair, 2 * pair);
        }
        let merged = self.complete.drain(self.complete.len() / 2..);
        self.spare.extend(merged.map(|batch| batch.total));
        // Twice the length or more: if all pieces are longer than a unit, so are all batches, and
        // those to come shall be as long as they are.
        let shortest = self.complete.iter().map(|batch| batch.units).min();
        self.length_units = shortest.expect("half of the batches are left");
    }

    /// How long a unit is, in seconds.
    pub(super) fn unit_s(&self) -> f64 {
        self.unit.as_secs_f64()
    }

    /// The complete batches in the order of time; `None` if they are too few to say anything, or
    /// nothing was answered in the run.
    pub(super) fn enough(&self) -> Option<&[Batch]> {
        let any = self.ok.any() || self.answers.any();
        (any && self.complete.len() >= BATCHES_MIN).then_some(&*self.complete)
    }

    /// Whether any request ended well.
    pub(super) fn any_ok(&self) -> bool {
        self.ok.any()
    }

    /// Whether requests ceased to end well before the run was over, and whether answers ceased to
    /// come.
    pub(super) fn silences(&self) -> [Option<Silence>; 2] {
        [self.ok.silence(self.units), self.answers.silence(self.units)]
    }

    /// The length of a batch in units, the complete ones, the open one.
    #[cfg(test)]
    pub(super) fn parts(&self) -> (u64, &[Batch], Option<&Batch>) {
        (self.length_units, &self.complete, self.open.as_ref())
    }
}

/// The rate of every batch.
pub(super) fn rates_per_unit(batches: &[Batch]) -> Vec<f64> {
    batches.iter().map(Batch::rate_per_unit).collect()
}

/// A percentile of every batch in microseconds; `None` if there is a batch with too few samples.
pub(super) fn percentiles_us(batches: &[Batch], percentile: Percentile) -> Option<Vec<f64>> {
    batches
        .iter()
        .map(|batch| {
            percentile_us(&batch.total, percentile.percent)
                .filter(|_| batch.total.len() >= percentile.samples_min)
                .map(|us| us as f64)
        })
        .collect()
}
