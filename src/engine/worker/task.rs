//! What a worker is given, and what it leaves: during the run, and at its end.

use crate::engine::connection::Route;
use crate::engine::pace::{Model, Quota, Share};
use crate::engine::policy::Policy;
use crate::engine::ports::Rotation;
use crate::engine::session::Remarks;
use crate::engine::tally::{Counters, LatencyCounts, Part, Tallies};
use std::sync::mpsc::{Receiver, SyncSender};

/// What a worker is to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// How many slots.
    pub slots: u32,
    /// How many slots all workers have.
    pub connections: u32,
    /// Which worker of how many.
    pub share: Share,
    /// How the load comes.
    pub model: Model,
    /// How long the load goes on before anything counts.
    pub warmup_ns: u64,
    /// How many requests may be started after the warm-up, as a rule by all workers together.
    pub quota: Option<Quota>,
    /// How long, from the end of the warm-up.
    pub duration_ns: Option<u64>,
    /// Where connections go to.
    pub route: Route,
    /// Where connections come from.
    pub ports: Rotation,
    /// How connections behave.
    pub policy: Policy,
    /// How often an interval leaves.
    pub interval_ns: u64,
}

/// What one worker has seen since the interval before.
#[derive(Debug)]
pub struct Interval {
    /// Which worker.
    pub worker: usize,
    /// Of which part of the run.
    pub part: Part,
    /// Which interval of that part, counted from 0.
    pub number: u64,
    /// All counts of that part up to now.
    pub counters: Counters,
    /// `total` of the responses in this interval.
    pub total: LatencyCounts,
    /// Time since the worker began that it spent on looking whether there was something to do, in
    /// vain.
    pub looked_ns: u64,
}

/// The worker's end of the two channels to the thread that collects.
#[derive(Debug)]
pub struct Outlet {
    /// Which worker this is.
    pub worker: usize,
    /// Takes intervals.
    pub intervals: SyncSender<Interval>,
    /// Brings their counts back, empty.
    pub spares: Receiver<LatencyCounts>,
}

/// What a worker leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// All its numbers; intervals are closed.
    pub tallies: Tallies,
    /// `total` of the responses since the last interval that has left.
    pub last_interval: LatencyCounts,
    /// When it began, when it began to measure and when it ended, on the driver's clock.
    pub begin_ns: u64,
    /// See `begin_ns`.
    pub measure_from_ns: u64,
    /// See `begin_ns`.
    pub end_ns: u64,
    /// In an open loop, requests that were due and not ended when the measurement began.
    pub unanswered_before: u64,
    /// The same at the end, or with a quota when it was used up.
    pub unanswered_after: u64,
    /// Time of the measurement spent on looking whether there was something to do, in vain.
    pub looked_ns: u64,
    /// What its sessions have to say.
    pub remarks: Remarks,
}
