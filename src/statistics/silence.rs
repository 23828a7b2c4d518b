//! Whether a run ended in silence: nothing came any more, for longer than chance explains.
//!
//! ```text
//!   pieces    x x x . x x . . x x x . . . . . . . . .     x: something came
//!                         └ gap     └ silence
//! ```
//!
//! If things come at random and as often at the end as before, the lengths of all gaps, the silence
//! among them, are about exponential (of regular things they differ less, so that the test says too
//! little rather than too much). Then the silence is `f` times as long as the longest of `k` gaps
//! with the probability `Π i / (i + f)` for `i` from 1 to `k`: with 13 of them, twice in 1%.

/// The probability, if nothing has changed, below which the silence is one.
const P_VALUE_MAX: f64 = 0.01;

/// How much longer than the longest gap it is at least: what comes in bursts is not random.
const LONGER_MIN: f64 = 2.0;

/// The part of the run from which on it matters.
const PART_MIN: f64 = 0.05;

/// More gaps make a small probability no smaller than matters.
const GAPS_MAX: u64 = 10_000;

/// When something came, in units of the collector.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    count: u64,
    /// The end of the piece of the latest.
    until: u64,
    /// The longest time without any before that.
    longest_gap: u64,
}

/// The end of what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Silence {
    /// When it started.
    pub since: u64,
    /// The probability that it is one by chance.
    pub p_value: f64,
}

impl Gaps {
    /// This many came in a piece that ends at `end` and is `units` long.
    pub(crate) fn push(&mut self, count: u64, units: u64, end: u64) {
        if count > 0 {
            let begin = end.saturating_sub(units);
            self.longest_gap = self.longest_gap.max(begin.saturating_sub(self.until));
            self.count = self.count.saturating_add(count);
            self.until = end;
        }
    }

    pub(crate) fn any(&self) -> bool {
        self.count > 0
    }

    /// The silence in which a run of this length ended, if it did.
    pub(crate) fn silence(&self, end: u64) -> Option<Silence> {
        let silent = end.saturating_sub(self.until) as f64;
        // What is shorter than a piece is not seen.
        let longer = silent / self.longest_gap.max(1) as f64;
        if !self.any() || longer < LONGER_MIN || silent < PART_MIN * end as f64 {
            return None;
        }
        let gaps = 1..=self.count.min(GAPS_MAX);
        let p_value = gaps.map(|gap| gap as f64 / (gap as f64 + longer)).product();
        (p_value < P_VALUE_MAX).then_some(Silence { since: self.until, p_value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many came in each unit of a run.
    fn silence(counts: impl IntoIterator<Item = u64>) -> Option<u64> {
        let mut arrivals = Gaps::default();
        let mut end = 0;
        for count in counts {
            end += 1;
            arrivals.push(count, 1, end);
        }
        arrivals.silence(end).map(|silence| silence.since)
    }

    #[test]
    fn a_run_ends_in_silence_when_nothing_came_for_longer_than_before() {
        let stopped = |after: u64, count| (0..40).map(move |at| count * u64::from(at < after));
        for (name, counts, expected) in [
            ("killed after 0.8 s of 4 s", stopped(8, 1000).collect(), Some(8)),
            ("killed after 3 s", stopped(30, 1000).collect(), Some(30)),
            ("killed after a moment", stopped(1, 1000).collect(), Some(1)),
            ("killed when nearly over", stopped(39, 1000).collect(), None),
            ("to the end", vec![7; 40], None),
            ("nothing at all", vec![0; 40], None),
            // Every second for a tenth of it, and the run ends just before the next time.
            ("bursts", (0..49).map(|at| 64 * u64::from(at % 10 == 9)).collect(), None),
            (
                "bursts that stop",
                (0..80).map(|at| 64 * u64::from(at % 10 == 9 && at < 50)).collect(),
                Some(50),
            ),
            ("a pause like the one before", [[1; 10], [0; 10]].repeat(2).concat(), None),
            ("a single answer", (0..40).map(|at| u64::from(at == 5)).collect(), None),
            (
                "few, by chance",
                (0..100).map(|at| u64::from([10, 20, 35].contains(&at))).collect(),
                None,
            ),
        ] {
            let counts: Vec<u64> = counts;
            assert_eq!(silence(counts), expected, "{name}");
        }
    }

    #[test]
    fn chance_is_found_to_be_one_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(1837);
        let runs = 2000;
        let found = (0..runs).filter(|_| {
            let rate = 0.02 + 0.3 * random.f64();
            silence((0..200).map(|_| u64::from(random.f64() < rate))).is_some()
        });
        let found = found.count();
        assert!(found <= 2 * runs / 100, "{found} of {runs}");
    }
}
