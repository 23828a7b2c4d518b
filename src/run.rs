//! From a load to its numbers: starts the workers, lets them go at the same moment, collects a row
//! a second, stops, merges.

use crate::connection::{CloseMode, Policy};
use crate::driver::uring::{self, Features, SocketOption, Tier, Unavailable, UringDriver};
use crate::kernel;
use crate::ports::Ports;
use crate::report::Second;
use crate::session::Session;
use crate::tally::{Counters, Tally, latency_histogram};
use crate::worker::{Interval, Outcome, Outlet, Task, Worker};
use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Condvar, Mutex};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// A row of the series.
const INTERVAL: Duration = Duration::from_secs(1);

/// Histograms on their way between a worker and this module.
const SPARES_PER_WORKER: usize = 3;

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
    /// The limit of time.
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
    /// What the ring can do.
    pub features: Features,
}

impl Load {
    /// A small load to change as needed: 16 connections on one thread, each kept alive, for a
    /// second, with the best ring that there is.
    ///
    /// # Errors
    /// When there is no ring.
    pub fn new(addresses: Vec<SocketAddr>) -> Result<Load, Unavailable> {
        Ok(Load {
            ports: Ports::kernel(addresses.len()),
            addresses,
            connections: 16,
            threads: 1,
            cpus: Vec::new(),
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
            features: uring::probe(Tier::Direct)?,
        })
    }
}

/// What a load came to.
#[derive(Debug)]
pub struct Measured {
    /// All threads' numbers.
    pub tally: Tally,
    /// From the common start to the end of the last worker.
    pub duration: Duration,
    /// The start, on the clock of the tally's times.
    pub begin_ns: u64,
    /// CPU time of each worker thread.
    pub threads: Vec<ThreadTime>,
    /// One row a second, and what was left of one at the end.
    pub series: Vec<Second>,
}

/// What one worker thread has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTime {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub sys: Duration,
    /// Wall time.
    pub wall: Duration,
}

impl ThreadTime {
    fn now() -> io::Result<(Duration, Duration)> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
        let micros = |time: nix::sys::time::TimeVal| {
            Duration::from_micros(time.num_microseconds().unsigned_abs())
        };
        Ok((micros(usage.user_time()), micros(usage.system_time())))
    }

    /// CPU time over wall time.
    pub fn busy_ratio(&self) -> f64 {
        let wall_s = self.wall.as_secs_f64();
        if wall_s > 0.0 { (self.user + self.sys).as_secs_f64() / wall_s } else { 0.0 }
    }
}

/// Runs a load. `shared` makes what the sessions of one worker have in common, on that worker's
/// thread; `observe` is called with every row and all counts up to it; `stop` ends the run early.
///
/// # Errors
/// When a worker cannot set up its ring, or its ring breaks.
pub fn run<S: Session>(
    load: &Load,
    shared: impl Fn() -> S::Shared + Sync,
    stop: &AtomicBool,
    mut observe: impl FnMut(&Second, &Counters),
) -> io::Result<Measured> {
    let epoch = Instant::now();
    let (interval_sender, intervals) =
        mpsc::sync_channel(SPARES_PER_WORKER * load.threads as usize);
    let (ready_sender, ready) = mpsc::channel();
    let gate = Gate::default();
    let mut spare_senders = Vec::new();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for index in 0..load.threads as usize {
            let (spare_sender, spares) = mpsc::channel();
            for _ in 0..SPARES_PER_WORKER {
                let _ = spare_sender.send(latency_histogram());
            }
            spare_senders.push(spare_sender);
            let outlet = Outlet { worker: index, intervals: interval_sender.clone(), spares };
            let seat = Seat { load, index, epoch, stop, gate: &gate, outlet };
            let (ready, shared) = (ready_sender.clone(), &shared);
            let worker = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn_scoped(scope, move || seat.work::<S>(shared, &ready));
            workers.push(worker.inspect_err(|_| gate.open(false))?);
        }
        drop((interval_sender, ready_sender));
        let all_ready: io::Result<()> = ready.iter().take(workers.len()).collect();
        gate.open(all_ready.is_ok());
        all_ready?;
        let mut collector = Collector::new(workers.len(), spare_senders);
        collector.collect(&intervals, &workers, &mut observe);
        let outcomes: Vec<(Outcome, ThreadTime)> = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"))
            .collect::<io::Result<_>>()?;
        Ok(merge(load, outcomes, collector))
    })
}

/// Holds the workers back until all of them are ready.
#[derive(Default)]
struct Gate {
    /// Whether to run, once that is known.
    run: Mutex<Option<bool>>,
    opened: Condvar,
}

impl Gate {
    fn open(&self, run: bool) {
        *self.run.lock().expect("nobody panics with the lock") = Some(run);
        self.opened.notify_all();
    }

    fn wait(&self) -> bool {
        let run = self.run.lock().expect("nobody panics with the lock");
        let run = self.opened.wait_while(run, |run| run.is_none());
        run.expect("nobody panics with the lock").unwrap_or(false)
    }
}

/// What a worker's thread is given.
struct Seat<'a> {
    load: &'a Load,
    index: usize,
    epoch: Instant,
    stop: &'a AtomicBool,
    gate: &'a Gate,
    outlet: Outlet,
}

impl Seat<'_> {
    /// The life of a worker's thread.
    fn work<S: Session>(
        self,
        shared: &(impl Fn() -> S::Shared + Sync),
        ready: &Sender<io::Result<()>>,
    ) -> io::Result<(Outcome, ThreadTime)> {
        let load = self.load;
        if !load.cpus.is_empty() {
            let id = load.cpus[self.index % load.cpus.len()];
            // Without the right to be pinned a thread still runs.
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        let shared = shared();
        let share = |all: u64| {
            let (threads, index) = (u64::from(load.threads), self.index as u64);
            all / threads + u64::from(index < all % threads)
        };
        let slots = share(u64::from(load.connections)) as u32;
        let driver = UringDriver::new(uring::Config {
            features: load.features,
            slots,
            addresses: load.addresses.clone(),
            options: [load.socket_options.clone(), load.ports.socket_options()].concat(),
            constant: S::constant(&shared),
            receive_buffer_bytes: load.receive_buffer_bytes,
            epoch: self.epoch,
        });
        let worker = driver.map(|driver| {
            let task = Task {
                slots,
                quota: load.requests.map(share),
                duration_ns: load.duration.map(|duration| duration.as_nanos() as u64),
                addresses: load.addresses.len(),
                ports: load.ports.rotation(self.index, load.threads as usize),
                policy: load.policy,
                interval_ns: INTERVAL.as_nanos() as u64,
            };
            Worker::<_, S>::new(driver, shared, task, self.stop)
        });
        let worker = match worker {
            Ok(worker) => worker,
            Err(error) => {
                let text = format!("cannot set up ring {}: {error}", self.index);
                let _ = ready.send(Err(io::Error::new(error.kind(), text)));
                return Err(error);
            }
        };
        let _ = ready.send(Ok(()));
        if !self.gate.wait() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let (begin, (user, sys)) = (Instant::now(), ThreadTime::now()?);
        let outcome = worker.run(Some(&self.outlet))?;
        let (user_end, sys_end) = ThreadTime::now()?;
        let wall = begin.elapsed();
        Ok((outcome, ThreadTime { user: user_end - user, sys: sys_end - sys, wall }))
    }
}

/// Puts the workers' intervals together to rows.
struct Collector {
    /// Intervals that not all workers have delivered yet, by number.
    open: BTreeMap<u64, Row>,
    /// The latest counts of each worker, and when the last row was made.
    latest: Vec<Counters>,
    reported: Counters,
    series: Vec<Second>,
    spare_senders: Vec<Sender<Histogram<u64>>>,
}

struct Row {
    workers: usize,
    total: Histogram<u64>,
}

impl Collector {
    fn new(workers: usize, spare_senders: Vec<Sender<Histogram<u64>>>) -> Collector {
        Collector {
            open: BTreeMap::new(),
            latest: vec![Counters::default(); workers],
            reported: Counters::default(),
            series: Vec::new(),
            spare_senders,
        }
    }

    fn collect(
        &mut self,
        intervals: &Receiver<Interval>,
        workers: &[ScopedJoinHandle<'_, io::Result<(Outcome, ThreadTime)>>],
        observe: &mut impl FnMut(&Second, &Counters),
    ) {
        loop {
            match intervals.recv_timeout(Duration::from_millis(20)) {
                Ok(interval) => self.take(interval, observe),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if workers.iter().all(|worker| worker.is_finished()) {
                while let Ok(interval) = intervals.try_recv() {
                    self.take(interval, observe);
                }
                return;
            }
        }
    }

    fn take(&mut self, interval: Interval, observe: &mut impl FnMut(&Second, &Counters)) {
        let workers = self.latest.len();
        let row = self
            .open
            .entry(interval.number)
            .or_insert_with(|| Row { workers: 0, total: latency_histogram() });
        row.workers += 1;
        row.total.add(&interval.total).expect("all histograms have the same bounds");
        self.latest[interval.worker] = interval.counters;
        // The worker may be gone already.
        let _ = self.spare_senders[interval.worker].send(interval.total);
        // A worker that skipped a number has put its counts into a later one.
        let complete = self
            .open
            .range(..=interval.number)
            .next_back()
            .is_some_and(|(_, row)| row.workers == workers);
        if complete {
            let end_s = (interval.number + 1) as f64 * INTERVAL.as_secs_f64();
            let mut total = latency_histogram();
            let later = self.open.split_off(&(interval.number + 1));
            for row in std::mem::replace(&mut self.open, later).into_values() {
                total.add(&row.total).expect("all histograms have the same bounds");
            }
            self.close_row(end_s, &total);
            if let Some(second) = self.series.last() {
                observe(second, &self.reported);
            }
        }
    }

    fn close_row(&mut self, end_s: f64, total: &Histogram<u64>) {
        let mut counters = Counters::default();
        for worker in &self.latest {
            counters.add(*worker);
        }
        let delta = counters.since(self.reported);
        self.reported = counters;
        self.series.push(Second {
            t_s: end_s,
            requests: delta.ok + delta.failed,
            ok: delta.ok,
            failed: delta.failed,
            connections: delta.connections_opened,
            p50_us: percentile_us(total, 50.0),
            p99_us: percentile_us(total, 99.0),
            max_us: total.max(),
            in_flight: counters.in_flight(),
            connect_mean_us: mean_us(delta.connect_ns, delta.connections_opened),
            time_wait: kernel::counters::time_wait(),
        });
    }
}

/// A mean in microseconds to one decimal; `None` of nothing.
fn mean_us(sum_ns: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| (sum_ns as f64 / count as f64 / 100.0).round() / 10.0)
}

/// A percentile of a histogram; 0 when it is empty.
pub fn percentile_us(histogram: &Histogram<u64>, percentile: f64) -> u64 {
    // The end of a bucket may lie beyond the longest value that was seen.
    histogram.value_at_percentile(percentile).min(histogram.max())
}

fn merge(load: &Load, outcomes: Vec<(Outcome, ThreadTime)>, mut collector: Collector) -> Measured {
    let mut tally = Tally::new(load.addresses.len());
    let mut rest = latency_histogram();
    for row in std::mem::take(&mut collector.open).into_values() {
        rest.add(&row.total).expect("all histograms have the same bounds");
    }
    let begin_ns = outcomes.iter().map(|(outcome, _)| outcome.begin_ns).min().unwrap_or(0);
    let end_ns = outcomes.iter().map(|(outcome, _)| outcome.end_ns).max().unwrap_or(0);
    for (index, (outcome, _)) in outcomes.iter().enumerate() {
        tally.merge(&outcome.tally);
        rest.add(&outcome.last_interval).expect("all histograms have the same bounds");
        collector.latest[index] = outcome.tally.counters;
    }
    let duration = Duration::from_nanos(end_ns.saturating_sub(begin_ns));
    if collector.reported.ok + collector.reported.failed
        != tally.counters.ok + tally.counters.failed
        || collector.series.is_empty()
    {
        collector.close_row(duration.as_secs_f64(), &rest);
    }
    Measured {
        tally,
        duration,
        begin_ns,
        threads: outcomes.into_iter().map(|(_, time)| time).collect(),
        series: collector.series,
    }
}
