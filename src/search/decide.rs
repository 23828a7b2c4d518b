//! Which rate to try next, and when the answer is known.
//!
//! Doubling finds a rate that breaks the limits, or halving one that keeps them; bisection brings
//! the two together; then either has to show once more that it was no accident.
//!
//! ```text
//!   tried    1000  2000  4000  2830  3360  3080  3220  3150  3180      3180  3220
//!   kept       y     y     n     y     n     y     n     y     y         y     n
//!            doubling........  bisection........................      confirmation
//!
//!   sorted   1000  2000  2830  3080  3150  3180 | 3220  3360  4000
//!   kept       y     y     y     y     y    yy  |  nn     n     n    found: 3180; 3220 breaks
//! ```
//!
//! One vote is enough to go on with, as most votes are right and a wrong one is found out at the
//! edge: sooner or later everything is squeezed against it, and its confirmation outvotes it. Only
//! the edge itself is expensive.
//!
//! - The verdict on a rate is the majority of its trials. A tie is no verdict, and is broken before
//!   anything else.
//! - The edge lies below the *lowest* rate that breaks the limits, whatever passed above it: a
//!   server that fails at 4000/s does not sustain 8000/s.
//! - The search ends. A new rate is above all others or below all others (by about a factor of 2),
//!   or lies in the middle half of a gap wider than the precision, so gaps stay wider than its
//!   fourth root; and no rate is tried after `agreeing` equal votes, thus `2 * agreeing - 1` times
//!   at most.

use serde::{Deserialize, Serialize};

/// What the search knows of one run at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Requests per second that the run was paced at; positive and finite.
    pub rate_per_s: f64,
    /// Whether it kept all limits.
    pub pass: bool,
    /// Whether ringshot itself, and not the server, was the limit.
    pub generator_limited: bool,
}

/// Where to search, and how precisely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The rate to begin with, in requests per second.
    pub first_per_s: f64,
    /// How far apart the two ends of the edge may be: 0.02 for 2% of the rate.
    pub precision_ratio: f64,
    /// No lower rate is tried, in requests per second; above 0.
    pub lowest_per_s: f64,
    /// No higher rate is tried, in requests per second; not below `lowest_per_s`.
    pub highest_per_s: f64,
    /// How many equal votes either end of the edge needs, and no rate is tried again after;
    /// 0 counts as 1.
    pub agreeing: u32,
}

impl Default for Bounds {
    /// From 1000/s on, to 2%, best of three at the edge.
    fn default() -> Bounds {
        Bounds {
            first_per_s: 1000.0,
            precision_ratio: 0.02,
            lowest_per_s: 1.0,
            highest_per_s: 1e7,
            agreeing: 2,
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Run a trial and add it to the table.
    Try {
        /// In requests per second.
        rate_per_s: f64,
        /// What it is for.
        purpose: Purpose,
    },
    /// The answer is known.
    Done(SearchVerdict),
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Everything has passed so far, or nothing has been tried.
    Doubling,
    /// Nothing has passed so far.
    Halving,
    /// Between a rate that passed and one that did not.
    Bisection,
    /// A rate that the answer depends on, once more.
    Confirmation,
    /// Not for the answer, but for the latencies over the load: see [`curve`].
    Curve,
}

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SearchVerdict {
    /// The edge.
    Found {
        /// The highest rate that keeps the limits, in requests per second.
        rate_per_s: f64,
        /// The lowest one that breaks them, in requests per second.
        next_broken_per_s: f64,
    },
    /// The limits are broken at any load.
    NothingPasses {
        /// The lowest rate that was tried, in requests per second.
        lowest_per_s: f64,
    },
    /// No load was high enough.
    NothingBreaks {
        /// The highest rate that was tried, in requests per second.
        highest_per_s: f64,
    },
}

/// What all trials at one rate say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opinion {
    Passes,
    Breaks,
    Tied,
}

/// All trials at one rate.
#[derive(Clone, Copy, Debug)]
struct TriedRate {
    per_s: f64,
    opinion: Opinion,
    /// Whether it has been tried often enough.
    settled: bool,
}

impl TriedRate {
    fn of(trials: &[Trial], agreeing: usize) -> TriedRate {
        let passes = trials.iter().filter(|trial| trial.pass).count();
        let breaks = trials.len() - passes;
        let settled = passes.max(breaks) >= agreeing;
        let opinion = match passes.cmp(&breaks) {
            std::cmp::Ordering::Greater => Opinion::Passes,
            std::cmp::Ordering::Less => Opinion::Breaks,
            // Only a table from elsewhere has this many; what is not sure is not sustained.
            std::cmp::Ordering::Equal if settled => Opinion::Breaks,
            std::cmp::Ordering::Equal => Opinion::Tied,
        };
        TriedRate { per_s: trials[0].rate_per_s, opinion, settled }
    }

    fn once_more(&self) -> Decision {
        Decision::Try { rate_per_s: self.per_s, purpose: Purpose::Confirmation }
    }
}

/// The rates that were tried, lowest first.
fn rates(trials: &[Trial], agreeing: u32) -> Vec<TriedRate> {
    let mut sorted = trials.to_vec();
    sorted.sort_by(|one, other| one.rate_per_s.total_cmp(&other.rate_per_s));
    sorted
        .chunk_by(|one, other| one.rate_per_s == other.rate_per_s)
        .map(|trials| TriedRate::of(trials, agreeing.max(1) as usize))
        .collect()
}

/// The next trial, or the answer. Depends on nothing but the trials so far, in any order.
pub(crate) fn next(trials: &[Trial], bounds: &Bounds) -> Decision {
    let Bounds { first_per_s, precision_ratio, lowest_per_s, highest_per_s, agreeing } = *bounds;
    debug_assert!(0.0 < lowest_per_s && lowest_per_s <= highest_per_s, "{bounds:?}");
    let go = |rate_per_s, purpose| Decision::Try { rate_per_s, purpose };

    let rates = rates(trials, agreeing);
    if rates.is_empty() {
        return go(first_per_s.max(lowest_per_s).min(highest_per_s), Purpose::Doubling);
    }
    let breaks = rates.iter().position(|rate| rate.opinion == Opinion::Breaks);
    let (below, above) = rates.split_at(breaks.unwrap_or(rates.len()));
    if let Some(tied) = below.iter().find(|rate| rate.opinion == Opinion::Tied) {
        return tied.once_more();
    }

    // All that is below the lowest rate that breaks passes, so these two are neighbours.
    let (low, high) = (below.last(), above.first());
    if let Some(high) = high {
        // Rather one trial more than a bisection below a rate that broke by accident.
        let contradicted = above.iter().any(|rate| rate.opinion == Opinion::Passes);
        if contradicted && !high.settled {
            return high.once_more();
        }
    }
    match (low, high) {
        (Some(low), None) if low.per_s < highest_per_s => {
            return go(readable(2.0 * low.per_s, 3).min(highest_per_s), Purpose::Doubling);
        }
        (None, Some(high)) if high.per_s > lowest_per_s => {
            return go(readable(high.per_s / 2.0, 3).max(lowest_per_s), Purpose::Halving);
        }
        (Some(low), Some(high)) if high.per_s / low.per_s > 1.0 + precision_ratio => {
            if let Some(middle_per_s) = between(low.per_s, high.per_s) {
                return go(middle_per_s, Purpose::Bisection);
            }
        }
        _ => {}
    }

    // Nothing new is left to try: this is the edge, unless it was an accident.
    if let Some(doubtful) = [low, high].into_iter().flatten().find(|rate| !rate.settled) {
        return doubtful.once_more();
    }
    Decision::Done(match (low, high) {
        (Some(low), Some(high)) => {
            SearchVerdict::Found { rate_per_s: low.per_s, next_broken_per_s: high.per_s }
        }
        (Some(low), None) => SearchVerdict::NothingBreaks { highest_per_s: low.per_s },
        (None, Some(high)) => SearchVerdict::NothingPasses { lowest_per_s: high.per_s },
        (None, None) => unreachable!("there are rates, and none of them is tied"),
    })
}

/// What is known before the answer is: the highest rate that keeps the limits, and the lowest above
/// it that breaks them. A rate that broke once counts only where no higher one has passed.
pub(crate) fn so_far(trials: &[Trial], bounds: &Bounds) -> (Option<f64>, Option<f64>) {
    let rates = rates(trials, bounds.agreeing);
    let passes = |rate: &TriedRate| rate.opinion == Opinion::Passes;
    let broken = rates.iter().enumerate().find(|&(at, rate)| {
        let contradicted = rates[at..].iter().any(passes);
        rate.opinion == Opinion::Breaks && (rate.settled || !contradicted)
    });
    let below = &rates[..broken.map_or(rates.len(), |(at, _)| at)];
    let kept = below.iter().rev().find(|rate| passes(rate));
    (kept.map(|rate| rate.per_s), broken.map(|(_, rate)| rate.per_s))
}

/// Rounded to so many significant digits.
fn readable(rate_per_s: f64, digits: usize) -> f64 {
    format!("{rate_per_s:.*e}", digits - 1).parse().expect("this is how numbers are written")
}

/// The geometric mean in as few digits as it takes to stay well away from both ends, three at
/// least; `None` when six are not enough, which is more precise than any measurement.
fn between(low_per_s: f64, high_per_s: f64) -> Option<f64> {
    let middle_per_s = (low_per_s * high_per_s).sqrt();
    // The middle half of the gap, on the logarithmic scale.
    let margin = (high_per_s / low_per_s).powf(0.25);
    (3..=6)
        .map(|digits| readable(middle_per_s, digits))
        .find(|rate| (low_per_s * margin..=high_per_s / margin).contains(rate))
}

/// Whether ringshot and not the server set the upper end: most of the trials that broke the limits
/// there were limited by the generator. Then the server may sustain more than was found.
pub(crate) fn generator_was_limit(trials: &[Trial], broken_per_s: f64) -> bool {
    let broken = || trials.iter().filter(|trial| trial.rate_per_s == broken_per_s && !trial.pass);
    2 * broken().filter(|trial| trial.generator_limited).count() > broken().count()
}

/// Shares of the found rate that a curve of latency over load needs, the most telling ones first:
/// whoever has no time for all of them still has a curve.
const CURVE_SHARES: [f64; 5] = [0.5, 0.75, 0.25, 0.9, 0.1];

/// A trial this close to a point of the curve stands for it.
const CURVE_TOLERANCE_RATIO: f64 = 0.08;

/// The next rate worth trying for the curve of latency over load, in requests per second; `None`
/// when the trials cover it. These trials belong to the table like all others: one of them that
/// breaks the limits makes [`next`] go on.
pub(crate) fn curve(trials: &[Trial], found_per_s: f64) -> Option<f64> {
    CURVE_SHARES.iter().map(|share| readable(share * found_per_s, 3)).find(|point_per_s| {
        let distance = |trial: &Trial| (trial.rate_per_s - point_per_s).abs();
        !trials.iter().any(|trial| distance(trial) <= CURVE_TOLERANCE_RATIO * point_per_s)
    })
}

#[cfg(test)]
mod tests;
