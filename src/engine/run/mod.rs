//! From a load to its numbers: starts the workers, lets them go at the same moment, collects what
//! they send, stops, merges.
//!
//! ```text
//!   Load ──► seat: a pinned thread with a worker, one for each ──► Measured
//!                      │ an interval every 100 ms
//!                      └──► collector: a row a second, batches for the statistics
//!                              └──► Event: whoever wants to know while it lasts
//! ```
//!
//! What is collected while the load lasts takes CPU time from a worker where there are not more CPUs
//! than workers. So that is done on a thread of its own, which has a lower priority than they have.

pub mod answer;
mod collector;
mod seat;
pub mod second;
pub mod series;

use crate::engine::connection::Route;
use crate::engine::driver::uring::Tier;
use crate::engine::driver::{Address, Engine, Found, SocketOption};
use crate::engine::failure::{Failure, Kind};
use crate::engine::pace::{Arrivals, Model, Quota};
use crate::engine::policy::{CloseMode, Policy};
use crate::engine::ports::Ports;
use crate::engine::session::{Remarks, Session};
use crate::engine::tally::{Counters, Part, Tallies, Tally};
use crate::engine::worker::{Interval, Outcome, Outlet};
use crate::kernel::Snapshot;
use crate::statistics::Batches;
use answer::AddressAnswer;
use collector::Collector;
pub use seat::ThreadTime;
use seat::{Gate, Seat};
use second::Second;
use series::Series;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// How the names of the worker threads begin.
pub const WORKER_THREAD: &str = "worker-";

/// How often workers deliver: the statistics need several batches of a short run, too.
const INTERVAL: Duration = Duration::from_millis(100);

/// How soon the end of the workers is seen.
const LOOK: Duration = Duration::from_millis(20);

/// Counts on their way between a worker and this module.
const SPARES_PER_WORKER: usize = 4;

/// The nice value of the collecting thread: a tenth of a CPU that a worker keeps busy is enough for
/// it, and with less the rows would come late.
const COLLECTOR_NICE: i32 = 10;

/// What is to be done, in terms of sockets; which protocol, the caller says.
#[derive(Clone, Debug)]
pub struct Load {
    /// The target's addresses, best first.
    pub addresses: Vec<Address>,
    /// What each of them answered before the run.
    pub answers: Vec<AddressAnswer>,
    /// Which of them connections go to.
    pub route: Route,
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
    /// The limit of requests, over all threads.
    pub requests: Option<u64>,
    /// Where connections come from.
    pub ports: Ports,
    /// How connections behave.
    pub policy: Policy,
    /// What is set on every socket, beside what the choice of ports needs.
    pub socket_options: Vec<SocketOption>,
    /// How many bytes a receive brings at most.
    pub receive_buffer_bytes: usize,
    /// What it goes over.
    pub engine: Engine,
}

impl Load {
    /// A small load to change as needed: 16 connections on one thread, each kept alive, for a
    /// second, over the ring if there is one.
    pub fn new(addresses: Vec<impl Into<Address>>) -> Load {
        let addresses: Vec<Address> = addresses.into_iter().map(Into::into).collect();
        let (connections, threads) = (16, 1);
        Load {
            ports: Ports::kernel(addresses.len()),
            answers: vec![AddressAnswer::Unasked; addresses.len()],
            route: Route::new(addresses.len()),
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
                holds: false,
                discard_from_bytes: 4096,
            },
            socket_options: vec![SocketOption::int(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)],
            receive_buffer_bytes: 4096,
            engine: Found::auto(Tier::Direct, threads, connections).engine,
        }
    }
}

/// What a run tells while it lasts, on the thread that collects.
#[derive(Debug)]
pub enum Event<'a> {
    /// The measurement begins: at the common start, or when the warm-up is over.
    Begin,
    /// A worker has delivered an interval: the worker, and for how long it has looked in vain for
    /// something to do since it began.
    Looked(usize, u64),
    /// A second is complete, with all counts of its part of the run up to it. What an observer adds
    /// to it is in the series.
    Row(Part, &'a mut Second, &'a Counters),
    /// All workers have ended, and have used so much; with what is left of a second, if there is
    /// something left.
    End(Option<&'a mut Second>, &'a [ThreadTime]),
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
    /// The sums of the threads' own rates.
    pub rates: Rates,
    /// A row for each second, or for several of them, and what was left of one at the end.
    pub series: Series,
    /// The same in batches.
    pub batches: Batches,
    /// The kernel's counters at the end of the warm-up; `None` when there was none.
    pub counters_before: Option<Snapshot>,
}

/// The sums of the threads' own rates: what each thread counted over the time that it worked. That is
/// from the start to its last answer or, where a limit of requests ended the run, at least until the
/// last of them was given out: up to then every thread may get one. Only waiting for the answers of
/// other threads is no part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Requests that ended well; `None` when nothing was measured.
    pub requests_per_s: Option<f64>,
    /// Connections established; likewise.
    pub connections_per_s: Option<f64>,
}

impl Rates {
    /// Adds those of a thread that measured for `worked_ns`; of no time there is no rate.
    fn add(&mut self, counters: &Counters, worked_ns: u64) {
        if worked_ns > 0 {
            let per_s = |count: u64| count as f64 * 1e9 / worked_ns as f64;
            *self.requests_per_s.get_or_insert(0.0) += per_s(counters.ok);
            *self.connections_per_s.get_or_insert(0.0) += per_s(counters.connections_opened);
        }
    }
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
    observe: impl FnMut(Event<'_>) + Send,
) -> io::Result<Measured> {
    let (epoch, began) = (Instant::now(), SystemTime::now());
    let (interval_sender, intervals) =
        mpsc::sync_channel(SPARES_PER_WORKER * load.threads as usize);
    let (ready_sender, ready) = mpsc::channel();
    let gate = Gate::default();
    let quotas = quotas(load);
    let mut spare_senders = Vec::new();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for index in 0..load.threads as usize {
            let (spare_sender, spares) = mpsc::channel();
            spare_senders.push(spare_sender);
            let outlet = Outlet { worker: index, intervals: interval_sender.clone(), spares };
            let quota = quotas.get(index).cloned();
            let seat = Seat { load, index, quota, epoch, stop, gate: &gate, outlet };
            let (ready, shared) = (ready_sender.clone(), &shared);
            let worker = thread::Builder::new()
                .name(format!("{WORKER_THREAD}{index}"))
                .spawn_scoped(scope, move || seat.work::<S>(shared, &ready));
            workers.push(worker.inspect_err(|_| gate.open(false))?);
        }
        drop((interval_sender, ready_sender));
        let all_ready: io::Result<()> = ready.iter().take(workers.len()).collect();
        all_ready.inspect_err(|_| gate.open(false))?;
        let running = Running {
            workers: workers.into_iter().enumerate().collect(),
            intervals,
            collector: Collector::new(spare_senders),
            ended: Vec::new(),
            observe,
        };
        let (gate, quotas) = (&gate, &quotas);
        let collector = move || {
            gate.open(true);
            running.follow(load, quotas)
        };
        let collecting = thread::Builder::new().name(COLLECTOR_THREAD.into());
        let collecting = collecting.spawn_scoped(scope, collector);
        let collecting = collecting.inspect_err(|_| gate.open(false))?;
        let measured = collecting.join().expect("the collector does not panic")?;
        let begun_at = began + Duration::from_nanos(measured.begin_ns);
        Ok(Measured { begun_at, ..measured })
    })
}

/// Lets the workers go before this thread. Who may not be nice is no worse off than before.
fn make_way() {
    if rustix::process::getpriority_process(None).is_ok_and(|nice| nice < COLLECTOR_NICE) {
        let _ = rustix::process::setpriority_process(None, COLLECTOR_NICE);
    }
}

/// What limits the requests of each worker; empty without a limit.
///
/// As a rule they all take from one count. With constant spacing it is known beforehand whose turn
/// each request is: the workers' shares come due at the same time whatever the server does, and a
/// worker that is late by a moment has to start its own requests all the same.
fn quotas(load: &Load) -> Vec<Quota> {
    let (Some(requests), threads) = (load.requests, load.threads) else { return Vec::new() };
    let open_loop = load.model.open_loop.as_ref();
    if open_loop.is_some_and(|open_loop| open_loop.arrivals == Arrivals::Constant) {
        let share = |index| Quota::new(seat::share(requests, index, threads), 1);
        return (0..threads).map(share).collect();
    }
    vec![Quota::new(requests, threads); threads as usize]
}

/// The thread that takes what the workers send.
const COLLECTOR_THREAD: &str = "collector";

type Ended = io::Result<(Outcome, ThreadTime)>;

/// A load while it lasts.
struct Running<'scope, O> {
    /// Those that have not ended, with their numbers.
    workers: Vec<(usize, ScopedJoinHandle<'scope, Ended>)>,
    intervals: Receiver<Interval>,
    collector: Collector,
    ended: Vec<(usize, Ended)>,
    observe: O,
}

impl<O: FnMut(Event<'_>)> Running<'_, O> {
    /// Takes what the workers send until all have ended, and merges what they leave.
    fn follow(mut self, load: &Load, quotas: &[Quota]) -> io::Result<Measured> {
        let warm = Some(Instant::now() + load.warmup).filter(|_| !load.warmup.is_zero());
        if warm.is_none() {
            (self.observe)(Event::Begin);
        }
        make_way();
        let counters_before = self.collect(warm);
        // A run that ended in its warm-up has measured nothing.
        let counters_before = counters_before.or_else(|| warm.map(|_| Snapshot::take()));
        let Running { mut ended, mut collector, mut observe, .. } = self;
        ended.sort_by_key(|(index, _)| *index);
        let outcomes: Vec<_> =
            ended.into_iter().map(|(_, ended)| ended).collect::<io::Result<_>>()?;
        let (outcomes, threads): (Vec<Outcome>, Vec<ThreadTime>) = outcomes.into_iter().unzip();
        let measured = Measured { counters_before, ..merge(load, &outcomes, quotas) };
        let mut rest = collector.rest(measured.duration.as_secs_f64());
        observe(Event::End(rest.as_mut(), &threads));
        let (series, batches) = collector.finish(rest);
        Ok(Measured { threads, series, batches, ..measured })
    }

    /// Until all have ended. Reads the kernel's counters when the warm-up is over, at `warm`.
    fn collect(&mut self, warm: Option<Instant>) -> Option<Snapshot> {
        let mut counters = None;
        while !self.workers.is_empty() {
            let left = warm.map(|warm| warm.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) && counters.is_none() {
                counters = Some(Snapshot::take());
                (self.observe)(Event::Begin);
            }
            let left = left.filter(|_| counters.is_none());
            let all_gone = match self.intervals.recv_timeout(left.unwrap_or(LOOK).min(LOOK)) {
                Ok(interval) => {
                    self.take(interval);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let ended = |worker: &mut (_, ScopedJoinHandle<'_, _>)| worker.1.is_finished();
            let ended: Vec<_> = self.workers.extract_if(.., |w| all_gone || ended(w)).collect();
            ended.into_iter().for_each(|(index, worker)| self.end(index, worker));
        }
        counters
    }

    fn take(&mut self, interval: Interval) {
        (self.observe)(Event::Looked(interval.worker, interval.looked_ns));
        self.collector.take(interval, &mut self.observe);
    }

    fn end(&mut self, index: usize, worker: ScopedJoinHandle<'_, Ended>) {
        // What it sent before it ended.
        while let Ok(interval) = self.intervals.try_recv() {
            self.take(interval);
        }
        let ended = worker.join().expect("a worker does not panic");
        if let Ok((outcome, _)) = &ended {
            self.collector.end(index, outcome, &mut self.observe);
        }
        self.ended.push((index, ended));
    }
}

/// All threads' numbers, without what was collected.
fn merge(load: &Load, outcomes: &[Outcome], quotas: &[Quota]) -> Measured {
    let mut tally = Tally::new(load.addresses.len());
    let mut warmup = Tally::new(load.addresses.len());
    let (mut unanswered, mut rates) = ((0, 0), Rates::default());
    let used_up_ns = quotas.iter().map(Quota::used_up_ns).max().unwrap_or(0);
    for outcome in outcomes {
        tally.merge(&outcome.tallies.measured);
        warmup.merge(&outcome.tallies.warmup);
        unanswered.0 += outcome.unanswered_before;
        unanswered.1 += outcome.unanswered_after;
        let worked_ns = outcome.end_ns.max(used_up_ns).saturating_sub(outcome.measure_from_ns);
        rates.add(&outcome.tallies.measured.counters, worked_ns);
    }
    let first = |time: fn(&Outcome) -> u64| outcomes.iter().map(time).min().unwrap_or(0);
    let (warmup_ns, begin_ns) = (first(|o| o.begin_ns), first(|o| o.measure_from_ns));
    // One that ended in its warm-up has measured nothing, however late that was.
    let measured = outcomes.iter().filter(|outcome| outcome.end_ns > outcome.measure_from_ns);
    let end_ns = measured.map(|outcome| outcome.end_ns).max().unwrap_or(begin_ns);
    Measured {
        tally,
        warmup: (!load.warmup.is_zero())
            .then(|| (warmup, Duration::from_nanos(begin_ns.saturating_sub(warmup_ns)))),
        duration: Duration::from_nanos(end_ns.saturating_sub(begin_ns)),
        begin_ns,
        unanswered,
        rates,
        threads: Vec::new(),
        remarks: remarks(outcomes),
        series: Series::default(),
        batches: Batches::new(INTERVAL),
        counters_before: None,
        begun_at: SystemTime::UNIX_EPOCH,
    }
}

/// What the sessions of all workers have to say: of the faults, what the worker says that met the
/// first one.
fn remarks(outcomes: &[Outcome]) -> Remarks {
    let detail = |kind| {
        let first_ns = |outcome: &&Outcome| {
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

#[cfg(test)]
mod tests;
