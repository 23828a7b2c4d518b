//! What the box and the server do while ringshot measures: one look at the begin, one with every
//! row of the series, one at the end.
//!
//! ```text
//!   kernel::{machine, process} ──► Reading Reading Reading ... ──► Sums ──► Second::{host, server}
//!                                  begin   row     row       end       └──► Watch
//! ```
//!
//! Looking takes time on the thread that collects the rows, which may share a CPU with what is
//! measured, so it is done once a second. Measured, without optimisation and on two CPUs with other
//! work: 0.4 ms with a server of two threads, half of it for the box.

mod server;
mod sums;

use crate::kernel::machine::Machine;
use crate::kernel::process::{Threads, Usage};
use crate::report::{Second, Watch};
use crate::run::Measured;
pub use server::WatchedServer;
use std::time::Instant;
pub use sums::{Reading, Sums};

/// How the names of the worker threads begin.
pub const WORKER_THREAD: &str = "worker-";

/// Looks, and keeps what it saw.
#[derive(Debug)]
pub struct Watcher<'a> {
    epoch: Instant,
    server: Option<&'a WatchedServer>,
    workers: Option<Threads>,
    sums: Option<Sums>,
    rows: Vec<Row>,
}

/// What a row of the series is to have.
type Row = (Option<f64>, Option<crate::report::HostSecond>, Option<crate::report::ServerSecond>);

impl<'a> Watcher<'a> {
    /// Watches the box, and a server if there is one to be watched.
    pub fn new(server: Option<&'a WatchedServer>) -> Watcher<'a> {
        Watcher { epoch: Instant::now(), server, workers: None, sums: None, rows: Vec::new() }
    }

    /// The measurement begins: the workers run by then.
    pub fn begin(&mut self) {
        self.workers = Threads::named(WORKER_THREAD);
        self.sums = Some(Sums::new(self.look(true)));
    }

    /// A row of the measurement is complete.
    pub fn row(&mut self) {
        let reading = self.look(false);
        if let Some(sums) = &mut self.sums {
            self.rows.push(sums.add(reading));
        }
    }

    /// The run is over: fills the rows in and tells of the whole; `None` when nothing was measured,
    /// or too little for the clocks of the kernel.
    pub fn finish(mut self, measured: &mut Measured) -> Option<Watch> {
        let mut reading = self.look(true);
        let mut sums = self.sums.take()?;
        // The workers have ended, and said what they used.
        let used = measured.threads.iter().map(|time| (time.user + time.sys).as_nanos() as u64);
        reading.generator_ns =
            sums.generator_begin_ns().map(|begin_ns| begin_ns + used.sum::<u64>());
        let last = sums.add(reading);
        if measured.series.len() > self.rows.len() {
            self.rows.push(last);
        }
        for (second, row) in measured.series.iter_mut().zip(self.rows) {
            let (generator_cpu_ratio, host, server) = row;
            *second = Second { generator_cpu_ratio, host, server, ..std::mem::take(second) };
        }
        let counters = &measured.tally.counters;
        let server = self.server.map(WatchedServer::description);
        sums.watch(server, counters.ok + counters.failed)
    }

    fn look(&self, thoroughly: bool) -> Reading {
        Reading {
            at_ns: self.epoch.elapsed().as_nanos() as u64,
            machine: Machine::read(),
            server: self.server.and_then(|server| server.usage(thoroughly)),
            generator_ns: self
                .workers
                .as_ref()
                .and_then(|workers| workers.times().map(|times| times.values().sum())),
        }
    }
}

/// What a server is, beside what it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The number of its first process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// How it was found.
    pub found_by: &'static str,
    /// How many processes it has.
    pub processes: u32,
    /// How many CPUs it may use.
    pub cpus: u32,
}

#[cfg(test)]
mod tests;
