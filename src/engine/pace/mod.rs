//! When the next request is due, and whether there is to be one at all.
//!
//! ```text
//!   closed loop   a slot is free ──► (rest or think) ──► its next request
//!
//!   open loop     Schedule ──► line of due requests ──► a free slot, the one idle the longest
//!                                     │ full
//!                                     └──► dropped, and counted
//! ```
//!
//! In a closed loop a request is due as soon as its slot is free. In an open one it is due when the
//! schedule says so, whether or not a slot is free: it then waits in line, and its waiting is in
//! `total`. Four things hold a slot back in either: the quota (`--requests`) is used up, it failed
//! just now and rests, it thinks (`--think`), or it may not open a connection yet
//! (`--connect-rate`).

pub mod curve;
mod lead;
pub mod quota;
pub mod schedule;

use crate::engine::failure::{Failure, Kind};
use crate::engine::tally::{Part, Tallies};
use curve::RateCurve;
pub use lead::Lead;
use quota::Allowance;
pub use quota::Quota;
pub use schedule::{Arrivals, Schedule, Share};
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The shortest and the longest rest after a failed attempt; it doubles while a slot keeps failing.
const REST_MIN_NS: u64 = 1_000_000;
const REST_MAX_NS: u64 = 1_000_000_000;

/// The longest rest when no port was to be had: no server is to be spared, and a port may be free at
/// any moment.
const REST_PORT_MAX_NS: u64 = 32_000_000;

/// How a load comes, over all workers. The default is a closed loop as fast as the server answers.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Requests come by a schedule; `None` for a closed loop.
    pub open_loop: Option<OpenLoop>,
    /// How long a slot of a closed loop waits between an answer and its next request.
    pub think_ns: Option<RangeInclusive<u64>>,
    /// Over what time the slots of a closed loop begin, one after the other.
    pub ramp_ns: u64,
    /// At most so many connections are opened per second.
    pub connect_rate_per_s: Option<f64>,
    /// What random times are drawn from.
    pub seed: u64,
}

/// Requests that come by a schedule.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    /// How many per second, and when; a warm-up included.
    pub curve: Arc<RateCurve>,
    /// How they are spread around that.
    pub arrivals: Arrivals,
    /// How many due requests may wait for a free slot.
    pub backlog: u64,
}

/// Why a slot waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It rests, thinks, or may not open a connection before then.
    Until(u64),
    /// No request is due for it.
    InLine,
}

/// Requests that may be started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How many.
    pub requests: u32,
    /// What they belong to.
    pub part: Part,
}

/// One worker's share of the load.
#[derive(Debug)]
pub struct Pace {
    /// Requests of the measurement that may still be started, or in an open loop come due; `None`
    /// for as many as the time allows.
    quota: Option<Allowance>,
    /// When the measurement begins.
    measure_from_ns: u64,
    begin_ns: u64,
    line: Option<Line>,
    think_ns: Option<RangeInclusive<u64>>,
    random: fastrand::Rng,
    permits: Option<Permits>,
    /// Nanoseconds between the begins of two slots.
    ramp_step_ns: f64,
    share: Share,
}

/// An open loop's two queues, of which one is always empty after [`Pace::next_idle`] said `None`.
#[derive(Debug)]
struct Line {
    schedule: Schedule,
    /// When each waiting request was due, oldest first.
    due: VecDeque<u64>,
    backlog: usize,
    /// Slots without a request, idle the longest first: all of them are used, and in turn.
    idle: VecDeque<u32>,
}

/// Opens connections no faster than this.
#[derive(Debug)]
struct Permits {
    gap_ns: f64,
    next_ns: f64,
}

impl Pace {
    /// A worker's share of a load over `slots` slots of its own and `connections` of all workers,
    /// that starts requests of `quota` once the warm-up is over.
    pub fn new(
        model: &Model,
        share: Share,
        slots: u32,
        connections: u32,
        quota: Option<Quota>,
    ) -> Pace {
        let of = f64::from(share.of);
        let line = model.open_loop.as_ref().map(|open_loop| {
            let backlog = open_loop.backlog.div_ceil(share.of.into()) as usize;
            Line {
                schedule: Schedule::new(
                    open_loop.curve.clone(),
                    open_loop.arrivals,
                    share,
                    model.seed,
                ),
                // Memory that is never touched costs nothing.
                due: VecDeque::with_capacity(backlog + slots as usize),
                backlog,
                idle: VecDeque::with_capacity(slots as usize),
            }
        });
        Pace {
            quota: quota.map(Allowance::new),
            measure_from_ns: 0,
            begin_ns: 0,
            line,
            think_ns: model.think_ns.clone(),
            // Not the numbers that the schedule draws.
            random: fastrand::Rng::with_seed(!model.seed.wrapping_add(share.index.into())),
            permits: model.connect_rate_per_s.map(|rate_per_s| {
                let gap_ns = 1e9 / rate_per_s;
                Permits { gap_ns: gap_ns * of, next_ns: gap_ns * f64::from(share.index) }
            }),
            ramp_step_ns: model.ramp_ns as f64 / f64::from(connections.max(1)),
            share,
        }
    }

    /// The worker begins, and measures after `warmup_ns`.
    pub fn begin(&mut self, now_ns: u64, warmup_ns: u64) {
        self.begin_ns = now_ns;
        self.measure_from_ns = now_ns + warmup_ns;
        if let Some(permits) = &mut self.permits {
            permits.next_ns += now_ns as f64;
        }
    }

    /// When a slot is to begin.
    pub fn first_ns(&self, slot: u32) -> u64 {
        let place = f64::from(slot) * f64::from(self.share.of) + f64::from(self.share.index);
        self.begin_ns + (place * self.ramp_step_ns) as u64
    }

    /// Whether requests come by a schedule.
    pub fn is_open_loop(&self) -> bool {
        self.line.is_some()
    }

    /// Up to `wanted` requests may be started now by a slot: how many. In an open loop those that are due,
    /// and when each of them was is appended to `intended_ns`. All of them belong to one part of
    /// the run, to `only` where that is given.
    pub fn take(
        &mut self,
        wanted: u32,
        only: Option<Part>,
        now_ns: u64,
        intended_ns: &mut Vec<u64>,
    ) -> Grant {
        let Some(line) = &mut self.line else {
            let part = self.part(now_ns);
            let requests = match (&mut self.quota, part) {
                _ if only.is_some_and(|only| only != part) => 0,
                (Some(quota), Part::Measured) => quota.take(wanted.into(), now_ns) as u32,
                _ => wanted,
            };
            return Grant { requests, part };
        };
        let measure_from_ns = self.measure_from_ns;
        let part_of = |due_ns: u64| Part::at(due_ns, measure_from_ns);
        let part = only.or(line.due.front().map(|&due_ns| part_of(due_ns)));
        let part = part.unwrap_or(Part::Measured);
        let mut requests = 0;
        while requests < wanted
            && let Some(&due_ns) = line.due.front()
            && part_of(due_ns) == part
        {
            line.due.pop_front();
            intended_ns.push(due_ns);
            requests += 1;
        }
        Grant { requests, part }
    }

    /// Lets the requests that are due by now stand in line, as far as it has room.
    pub fn fill(&mut self, now_ns: u64, tallies: &mut Tallies) {
        let Some(line) = &mut self.line else { return };
        while let Some(due_ns) = line.schedule.next_ns().map(|ns| self.begin_ns + ns)
            && due_ns <= now_ns
        {
            let part = Part::at(due_ns, self.measure_from_ns);
            if let (Some(quota), Part::Measured) = (&mut self.quota, part)
                && quota.take(1, now_ns) == 0
            {
                return;
            }
            line.schedule.advance();
            let counters = &mut tallies.of(part).counters;
            counters.due += 1;
            // Those for which a slot is free do not have to wait.
            if line.due.len() < line.backlog + line.idle.len() {
                line.due.push_back(due_ns);
            } else {
                counters.dropped += 1;
            }
        }
    }

    /// A slot without a request waits for the next one that is due.
    pub fn idle(&mut self, slot: u32) {
        if let Some(line) = &mut self.line {
            line.idle.push_back(slot);
        }
    }

    /// A slot waits for a request no more, although none was due. A search, for what is rare: that a
    /// connection ends which carries a request while its slot waits, or which is held.
    pub fn leave_line(&mut self, slot: u32) {
        if let Some(line) = &mut self.line {
            line.idle.retain(|&idle| idle != slot);
        }
    }

    /// Whether a slot waits for a request.
    pub fn has_idle(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.idle.is_empty())
    }

    /// The next slot to take a due request, while there are both.
    pub fn next_idle(&mut self) -> Option<u32> {
        let line = self.line.as_mut()?;
        if line.due.is_empty() { None } else { line.idle.pop_front() }
    }

    /// Due requests that wait for a free slot.
    pub fn waiting(&self) -> u64 {
        self.line.as_ref().map_or(0, |line| line.due.len() as u64)
    }

    /// Whether the quota is used up. A warm-up has none.
    pub fn has_given_all(&self, now_ns: u64) -> bool {
        self.is_used_up() && self.part(now_ns) == Part::Measured
    }

    /// Whether the number of requests is limited.
    pub fn has_quota(&self) -> bool {
        self.quota.is_some()
    }

    fn is_used_up(&self) -> bool {
        self.quota.as_ref().is_some_and(Allowance::is_used_up)
    }

    /// Whether the quota is used up and nothing waits.
    pub fn is_over(&self, now_ns: u64) -> bool {
        self.has_given_all(now_ns) && self.waiting() == 0
    }

    /// What a moment belongs to.
    pub fn part(&self, now_ns: u64) -> Part {
        Part::at(now_ns, self.measure_from_ns)
    }

    /// Whether slots think between two requests.
    pub fn thinks(&self) -> bool {
        self.think_ns.is_some()
    }

    /// How long a slot thinks before its next request.
    pub fn think_ns(&mut self) -> Option<u64> {
        let range = self.think_ns.clone()?;
        Some(self.random.u64(range))
    }

    /// When a connection may be opened, if not now. Each answer is for one connection.
    pub fn permit_ns(&mut self, now_ns: u64) -> Option<u64> {
        let permits = self.permits.as_mut()?;
        let due_ns = permits.next_ns.max(now_ns as f64);
        permits.next_ns = due_ns + permits.gap_ns;
        let due_ns = due_ns as u64;
        (due_ns > now_ns).then_some(due_ns)
    }

    /// Whether requests are due for which slots are idle.
    pub fn is_behind(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.due.is_empty() && !line.idle.is_empty())
    }

    /// When the next request comes due for which a slot is idle.
    pub fn next_due_ns(&self) -> Option<u64> {
        let line = self.line.as_ref().filter(|line| !line.idle.is_empty());
        let due_ns = line.and_then(|line| line.schedule.next_ns()).map(|ns| self.begin_ns + ns);
        due_ns.filter(|&ns| !self.is_used_up() || self.part(ns) == Part::Warmup)
    }

    /// How long a slot rests after `failures` failed attempts in a row (at least one), the last of
    /// which `lacked_port`. In an open loop the schedule is the pace, also of failures: a rest then
    /// stays as short as it begins.
    pub fn rest_ns(&self, failures: u32, lacked_port: bool) -> u64 {
        if self.is_open_loop() { REST_MIN_NS } else { rest_ns(failures, lacked_port) }
    }
}

/// How long to rest after `failures` failed attempts in a row (at least one), the last of which
/// `lacked_port`.
pub fn rest_ns(failures: u32, lacked_port: bool) -> u64 {
    let longest_ns = if lacked_port { REST_PORT_MAX_NS } else { REST_MAX_NS };
    REST_MIN_NS.checked_shl(failures.saturating_sub(1).min(30)).unwrap_or(u64::MAX).min(longest_ns)
}

/// Whether an attempt failed as there was no source port for it.
pub fn lacks_port(failure: Failure) -> bool {
    matches!(failure.kind, Kind::Errno(libc::EADDRNOTAVAIL | libc::EADDRINUSE))
}

#[cfg(test)]
mod tests;
