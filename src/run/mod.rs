//! From a load to its numbers: starts the workers, lets them go at the same moment, collects what
//! they send, stops, merges.
//!
//! ```text
//!   Load ──► seat: a pinned thread with a worker, one for each ──► Measured
//!                      │ an interval every 100 ms
//!                      └──► collector: a row a second, batches for the statistics
//!                              └──► Event: whoever wants to know while it lasts
//! ```

mod collector;
mod seat;

use crate::connection::{CloseMode, Policy};
use crate::driver::uring::Tier;
use crate::driver::{Engine, Found, SocketOption};
use crate::failure::{Failure, Kind};
use crate::kernel::Snapshot;
use crate::pace::Model;
use crate::ports::Ports;
use crate::report::Second;
use crate::session::{Remarks, Session};
use crate::statistics::Batches;
use crate::tally::{Counters, Part, Tallies, Tally};
use crate::watch::WORKER_THREAD;
use crate::worker::{Interval, Outcome, Outlet};
use collector::Collector;
pub use seat::ThreadTime;
use seat::{Gate, Seat};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// How often workers deliver: the statistics need several batches of a short run, too.
const INTERVAL: Duration = Duration::from_millis(100);

/// How soon the end of the workers is seen.
const LOOK: Duration = Duration::from_millis(20);

/// Histograms on their way between a worker and this module.
const SPARES_PER_WORKER: usize = 4;

/// What is to be done, in terms of sockets; which protocol, the caller says.
#[derive(Clone, Debug)]
pub struct Load {
    /// The target's addresses, best first.
    pub addresses: Vec<SocketAddr>,
    /// Concurrent connections over all threads.
    pub connections: u32,
    /// Worker threads, at most as many as connections.
    pub threads: u32,
    /// The CPU of each thread, in turn; empty to leave it to the scheduler.
    pub cpus: Vec<usize>,
    /// How the load comes.
    pub model: Model,
    /// How long it goes on before anything counts.
    pub warmup: Duration,
    /// The limit of time, after the warm-up.
    pub duration: Option<Duration>,
    /// The limit of requests.
    pub requests: Option<u64>,
    /// Where connections come from.
    pub ports: Ports,
    /// How connections behave.
    pub policy: Policy,
    /// What is set on every socket, beside what the choice of ports needs.
    pub socket_options: Vec<SocketOption>,
    /// The size of a slot's receive buffer.
    pub receive_buffer_bytes: usize,
    /// What it goes over.
    pub engine: Engine,
}

impl Load {
    /// A small load to change as needed: 16 connections on one thread, each kept alive, for a
    /// second, over the ring if there is one.
    pub fn new(addresses: Vec<SocketAddr>) -> Load {
        let (connections, threads) = (16, 1);
        Load {
            ports: Ports::kernel(addresses.len()),
            addresses,
            connections,
            threads,
            cpus: Vec::new(),
            model: Model::default(),
            warmup: Duration::ZERO,
            duration: Some(Duration::from_secs(1)),
            requests: None,
            policy: Policy {
                requests_per_connection: None,
                pipeline: 1,
                close: CloseMode::Client,
                timeout_ns: Duration::from_secs(10).as_nanos() as u64,
                discard_from_bytes: 4096,
            },
            socket_options: vec![SocketOption::int(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)],
            receive_buffer_bytes: 4096,
            engine: Found::auto(Tier::Direct, threads, connections).engine,
        }
    }
}

/// What a run tells while it lasts.
#[derive(Debug)]
pub enum Event<'a> {
    /// The measurement begins: at the common start, or when the warm-up is over.
    Begin,
    /// A row is complete, with all counts of its part of the run up to it.
    Row(Part, &'a Second, &'a Counters),
}

/// What a load came to.
#[derive(Debug)]
pub struct Measured {
    /// All threads' numbers.
    pub tally: Tally,
    /// The numbers of the warm-up, and how long it took; `None` when there was none.
    pub warmup: Option<(Tally, Duration)>,
    /// When the measurement began, by the clock on the wall.
    pub begun_at: SystemTime,
    /// From the common start, or the end of the warm-up, to the end of the last worker.
    pub duration: Duration,
    /// That start, on the clock of the tally's times.
    pub begin_ns: u64,
    /// In an open loop, requests that were due and not answered then, and at the end or, with a
    /// limit of requests, when the last of them came due.
    pub unanswered: (u64, u64),
    /// CPU time of each worker thread.
    pub threads: Vec<ThreadTime>,
    /// What the sessions have to say.
    pub remarks: Remarks,
    /// One row a second, and what was left of one at the end.
    pub series: Vec<Second>,
    /// The same in batches.
    pub batches: Batches,
    /// The kernel's counters at the end of the warm-up; `None` when there was none.
    pub counters_before: Option<Snapshot>,
}

/// Runs a load. `shared` makes what the sessions of one worker have in common, on that worker's
/// thread; `observe` is told what happens; `stop` ends the run early.
///
/// # Errors
/// When a worker cannot set up its ring, or its ring breaks.
pub fn run<S: Session>(
    load: &Load,
    shared: impl Fn() -> S::Shared + Sync,
    stop: &AtomicBool,
    mut observe: impl FnMut(Event<'_>),
) -> io::Result<Measured> {
    let (epoch, began) = (Instant::now(), SystemTime::now());
    let (interval_sender, intervals) =
        mpsc::sync_channel(SPARES_PER_WORKER * load.threads as usize);
    let (ready_sender, ready) = mpsc::channel();
    let gate = Gate::default();
    let mut spare_senders = Vec::new();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for index in 0..load.threads as usize {
            let (spare_sender, spares) = mpsc::channel();
            spare_senders.push(spare_sender);
            let outlet = Outlet { worker: index, intervals: interval_sender.clone(), spares };
            let seat = Seat { load, index, epoch, stop, gate: &gate, outlet };
            let (ready, shared) = (ready_sender.clone(), &shared);
            let worker = thread::Builder::new()
                .name(format!("{WORKER_THREAD}{index}"))
                .spawn_scoped(scope, move || seat.work::<S>(shared, &ready));
            workers.push(worker.inspect_err(|_| gate.open(false))?);
        }
        drop((interval_sender, ready_sender));
        let all_ready: io::Result<()> = ready.iter().take(workers.len()).collect();
        let mut collector = Collector::new(spare_senders);
        gate.open(all_ready.is_ok());
        all_ready?;
        let warm = Some(Instant::now() + load.warmup).filter(|_| !load.warmup.is_zero());
        if warm.is_none() {
            observe(Event::Begin);
        }
        let counters_before = collect(&mut collector, &intervals, &workers, warm, &mut observe);
        // A run that ended in its warm-up has measured nothing.
        let counters_before = counters_before.or_else(|| warm.map(|_| Snapshot::take()));
        let outcomes: Vec<(Outcome, ThreadTime)> = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"))
            .collect::<io::Result<_>>()?;
        let measured = merge(load, &outcomes, collector);
        let begun_at = began + Duration::from_nanos(measured.begin_ns);
        Ok(Measured { counters_before, begun_at, ..measured })
    })
}

type Running<'scope> = ScopedJoinHandle<'scope, io::Result<(Outcome, ThreadTime)>>;

/// Takes what the workers send until all have ended. Reads the kernel's counters when the warm-up is
/// over, at `warm`.
fn collect(
    collector: &mut Collector,
    intervals: &Receiver<Interval>,
    workers: &[Running<'_>],
    warm: Option<Instant>,
    observe: &mut impl FnMut(Event<'_>),
) -> Option<Snapshot> {
    let mut counters = None;
    loop {
        let left = warm.map(|warm| warm.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) && counters.is_none() {
            counters = Some(Snapshot::take());
            observe(Event::Begin);
        }
        let left = left.filter(|_| counters.is_none());
        match intervals.recv_timeout(left.unwrap_or(LOOK).min(LOOK)) {
            Ok(interval) => collector.take(interval, observe),
            Err(RecvTimeoutError::Disconnected) => return counters,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if workers.iter().all(|worker| worker.is_finished()) {
            while let Ok(interval) = intervals.try_recv() {
                collector.take(interval, observe);
            }
            return counters;
        }
    }
}

fn merge(load: &Load, outcomes: &[(Outcome, ThreadTime)], collector: Collector) -> Measured {
    let mut tally = Tally::new(load.addresses.len());
    let mut warmup = Tally::new(load.addresses.len());
    let (mut before, mut after) = (0, 0);
    for (outcome, _) in outcomes {
        tally.merge(&outcome.tallies.measured);
        warmup.merge(&outcome.tallies.warmup);
        before += outcome.unanswered_before;
        after += outcome.unanswered_after;
    }
    let outcomes_only: Vec<&Outcome> = outcomes.iter().map(|(outcome, _)| outcome).collect();
    let first =
        |time: fn(&Outcome) -> u64| outcomes_only.iter().map(|o| time(o)).min().unwrap_or(0);
    let (warmup_ns, begin_ns) = (first(|o| o.begin_ns), first(|o| o.measure_from_ns));
    // One that ended in its warm-up has measured nothing, however late that was.
    let measured = outcomes_only.iter().filter(|outcome| outcome.end_ns > outcome.measure_from_ns);
    let end_ns = measured.map(|outcome| outcome.end_ns).max().unwrap_or(begin_ns);
    let duration = Duration::from_nanos(end_ns.saturating_sub(begin_ns));
    let (series, batches) = collector.finish(&outcomes_only, duration.as_secs_f64());
    Measured {
        tally,
        warmup: (!load.warmup.is_zero())
            .then(|| (warmup, Duration::from_nanos(begin_ns.saturating_sub(warmup_ns)))),
        duration,
        begin_ns,
        unanswered: (before, after),
        threads: outcomes.iter().map(|(_, time)| *time).collect(),
        remarks: remarks(&outcomes_only),
        series,
        batches,
        counters_before: None,
        begun_at: SystemTime::UNIX_EPOCH,
    }
}

/// What the sessions of all workers have to say: of the faults, what the worker says that met the
/// first one.
fn remarks(outcomes: &[&Outcome]) -> Remarks {
    let detail = |kind| {
        let first_ns = |outcome: &&&Outcome| {
            let Tallies { warmup, measured, .. } = &outcome.tallies;
            let entries = warmup.errors.iter().chain(&measured.errors);
            let alike = entries.filter(|entry| entry.failure == Failure::response(kind));
            alike.map(|entry| entry.first_ns).min().unwrap_or(u64::MAX)
        };
        let told = outcomes.iter().filter(|outcome| outcome.remarks.detail(kind).is_some());
        told.min_by_key(first_ns)?.remarks.detail(kind).map(String::from)
    };
    Remarks {
        malformed: detail(Kind::Malformed),
        too_large: detail(Kind::TooLarge),
        overruled_lengths: outcomes.iter().map(|outcome| outcome.remarks.overruled_lengths).sum(),
    }
}
