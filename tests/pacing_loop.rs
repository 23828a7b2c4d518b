//! When requests begin, over a scripted driver: open loop and closed loop, warm-up, stages, limits
//! of connecting. Time is virtual, so what is due at a microsecond begins at that microsecond, and
//! every latency has the value that arithmetic gives it.

#[path = "pacing_loop/bursts.rs"]
mod bursts;
#[path = "pacing_loop/closed.rs"]
mod closed;
#[path = "pacing_loop/line.rs"]
mod line;
#[path = "pacing_loop/open.rs"]
mod open;
#[path = "pacing_loop/random.rs"]
mod random;
#[path = "pacing_loop/resting.rs"]
mod resting;
#[path = "support/scripted.rs"]
mod scripted;
#[path = "pacing_loop/warmup.rs"]
mod warmup;

use hdrhistogram::Histogram;
use proptest::prelude::*;
use ringshot::engine::connection::Route;
use ringshot::engine::driver::Op;
use ringshot::engine::driver::script::Reply;
use ringshot::engine::failure::{Failure, Kind, Phase};
use ringshot::engine::pace::curve::{RateCurve, RateStage};
use ringshot::engine::pace::{Arrivals, Model, OpenLoop, Quota, Share};
use ringshot::engine::policy::{CloseMode, Policy};
use ringshot::engine::tally::{Counters, latency_histogram};
use ringshot::engine::worker::{Outcome, Task};
use scripted::{
    ANSWER, Fate, MS, S, Turn, US, Watch, answer, assert_all_ended, fate, only_failure, policy,
    served, served_confirming, served_late, served_until, steady, task,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long opening a connection takes, see [`steady`].
const CONNECT: u64 = 10 * US;

/// Connections are kept.
fn kept() -> Policy {
    Policy { requests_per_connection: None, ..policy() }
}

/// An open loop through these stages, without a limit of requests; a warm-up is the first of them.
fn staged(slots: u32, stages: &[RateStage], policy: Policy) -> Task {
    let seconds: f64 = stages.iter().map(|stage| stage.duration_s).sum();
    let open_loop = OpenLoop {
        curve: Arc::new(RateCurve::new(stages)),
        arrivals: Arrivals::Constant,
        backlog: 1_000_000,
    };
    Task {
        model: Model { open_loop: Some(open_loop), ..Model::default() },
        quota: None,
        duration_ns: Some((seconds * 1e9).round() as u64),
        ..task(slots, 1, policy)
    }
}

/// An open loop at a thousand a second: request n is due at n ms.
fn every_ms(slots: u32, ms: u64, policy: Policy) -> Task {
    staged(slots, &[RateStage::constant(ms as f64 / 1e3, 1000.0)], policy)
}

/// The same after a warm-up.
fn warmed_up(warmup_ms: u64, task: Task) -> Task {
    let duration_ns = task.duration_ns.map(|ns| ns - warmup_ms * MS);
    Task { warmup_ns: warmup_ms * MS, duration_ns, ..task }
}

fn with_backlog(backlog: u64, mut task: Task) -> Task {
    task.model.open_loop.as_mut().expect("an open loop").backlog = backlog;
    task
}

/// A closed loop without a limit of time.
fn closed(slots: u32, quota: u64, model: Model, policy: Policy) -> Task {
    Task { model, ..task(slots, quota, policy) }
}

/// The latencies were these times, each of them.
#[track_caller]
fn assert_times(histogram: &Histogram<u64>, times_ns: impl IntoIterator<Item = u64>) {
    let mut expected = latency_histogram();
    times_ns.into_iter().for_each(|ns| expected.record((ns + 500) / 1000).expect("in range"));
    let values = |histogram: &Histogram<u64>| -> Vec<(u64, u64)> {
        let recorded = histogram.iter_recorded();
        recorded.map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
    };
    assert_eq!(values(histogram), values(&expected), "microseconds, and how often");
}

fn counters(outcome: &Outcome) -> Counters {
    outcome.tallies.measured.counters
}

/// `due = started + dropped + waiting` of the measurement: the last of them.
fn waiting(outcome: &Outcome) -> u64 {
    let counters = counters(outcome);
    counters.due - counters.dropped - counters.started
}
