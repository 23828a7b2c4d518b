//! What the machine and the server do while ringshot measures: one reading at the start, one with
//! every row of the series, one at the end.
//!
//! ```text
//!   kernel::{machine, process,  ──► Reading Reading Reading ... ──► Sums ──► Second::{host, server}
//!            threads, cgroup}       begin   row     row       end       ├──► Watch
//!                                                                       └──► Pressure: ringshot itself
//! ```
//!
//! A reading takes time on the thread that collects the rows, which may share a CPU with what is
//! measured, so there is one per second. Measured, without optimisation and on two CPUs with other
//! work: 0.4 ms with a server of two threads, half of it for the machine.
//!
//! A server of many processes takes longer, so each reading is measured. After one of more than 2
//! ms of CPU time, the next nine leave out descriptors, threads, and all new children except the
//! first process'; they take a stat and a clock for each of at most 256 processes. Only the
//! readings before the first row and after the last one are thorough, and read at most 1,024
//! threads.

mod document;
mod own;
mod pace;
mod search;
mod server;
mod sums;

use crate::engine::run::second::Second;
use crate::engine::run::{ThreadTime, WORKER_THREAD};
use crate::kernel::cgroup::Groups;
use crate::kernel::machine::Machine;
use crate::kernel::process::{Depth, Usage};
use crate::kernel::threads::{self, Threads};
pub use document::Watch;
pub(crate) use document::{CpuLoad, NetworkLoad, ServerLoad};
pub(crate) use own::{OwnReading, Pressure, WorkerTime};
use pace::LookPace;
pub(crate) use search::ServerSearch;
pub(crate) use server::WatchedServer;
use std::time::{Duration, Instant};
pub(crate) use sums::{Reading, SecondRow, Sums};

/// Takes the readings, and keeps them.
#[derive(Debug)]
pub(crate) struct Watcher<'a> {
    epoch: Instant,
    searched: &'a ServerSearch,
    groups: Groups,
    workers: Option<Threads>,
    /// What each worker had used at the last reading: one that has ended has used that much.
    seen: Vec<WorkerTime>,
    sums: Option<Sums>,
    pace: LookPace,
}

impl<'a> Watcher<'a> {
    /// Watches the machine, and a server once one is found.
    pub(crate) fn new(searched: &'a ServerSearch) -> Watcher<'a> {
        Watcher {
            epoch: Instant::now(),
            searched,
            groups: Groups::own(),
            workers: None,
            seen: Vec::new(),
            sums: None,
            pace: LookPace::default(),
        }
    }

    /// The measurement starts: the workers run by then.
    pub(crate) fn begin(&mut self) {
        self.workers = Threads::named(WORKER_THREAD);
        self.look_at_workers();
        // A server that is found by now is read like everything else.
        self.searched.look();
        self.sums = Some(Sums::new(self.look(Depth::Thorough)));
    }

    /// A worker reports for how long it has looked for work and found none since it started.
    pub(crate) fn looked(&mut self, worker: usize, looked_ns: u64) {
        if self.seen.len() <= worker {
            self.seen.resize(worker + 1, WorkerTime::default());
        }
        self.seen[worker].looked_ns = looked_ns;
    }

    /// A second of the measurement is complete: fills it in.
    pub(crate) fn row(&mut self, second: &mut Second) {
        // Time in which the thread did not run costs nothing.
        self.search();
        let before = threads::own_cpu_time();
        self.look_at_workers();
        let reading = self.look(self.pace.depth());
        let took = before.zip(threads::own_cpu_time()).map(|(from, to)| to.saturating_sub(from));
        self.pace.looked(took.unwrap_or(Duration::ZERO));
        if let Some(sums) = &mut self.sums {
            fill_in(second, sums.add(reading));
        }
    }

    /// The run is over, and the workers have used this much: fills in the rest of the last second.
    pub(crate) fn end(&mut self, rest: Option<&mut Second>, threads: &[ThreadTime]) {
        self.search();
        let mut reading = self.look(Depth::Thorough);
        let Some(sums) = &mut self.sums else { return };
        reading.own = sums.own_at_end(threads, reading.own.throttling);
        match rest {
            Some(second) => fill_in(second, sums.add(reading)),
            None => {
                sums.amend_own(&reading);
                sums.add(reading);
            }
        }
    }

    /// Reports on the whole run, with this many answered requests; no `Watch` if nothing was
    /// measured, or too little for the kernel's clocks.
    pub(crate) fn finish(self, answered: u64) -> (Option<Watch>, Pressure) {
        let server = self.searched.server().map(WatchedServer::description);
        let Some(sums) = self.sums else { return (None, Pressure::default()) };
        let watch = sums.watch(server, answered);
        let server_search_complete = self.searched.is_complete();
        (watch.map(|watch| Watch { server_search_complete, ..watch }), sums.pressure())
    }

    fn look_at_workers(&mut self) {
        let each = self.workers.as_ref().map(Threads::each).unwrap_or_default();
        self.seen.resize(each.len(), WorkerTime::default());
        for (seen, now) in self.seen.iter_mut().zip(each) {
            if let Some(now) = now {
                (seen.ran_ns, seen.waited_ns) = (now.ran_ns, now.waited_ns);
            }
        }
    }

    /// A server that was found since the latest reading is watched from that moment on.
    fn search(&mut self) {
        if let Some((sums, found)) = self.sums.as_mut().zip(self.searched.look()) {
            let at_ns = found.at.saturating_duration_since(self.epoch).as_nanos() as u64;
            sums.find_server(at_ns, found.usage);
        }
    }

    fn look(&self, depth: Depth) -> Reading {
        Reading {
            at_ns: self.epoch.elapsed().as_nanos() as u64,
            machine: Machine::read(),
            server: self.searched.server().and_then(|server| server.usage(depth)),
            own: OwnReading { workers: self.seen.clone(), throttling: self.groups.throttling() },
        }
    }
}

fn fill_in(second: &mut Second, row: SecondRow) {
    let SecondRow { own, host, server } = row;
    *second = Second {
        generator_cpu_ratio: own.cpu_ratio,
        generator_cpu_wait_ratio: own.cpu_wait_ratio,
        generator_throttled_s: own.throttled_s,
        host,
        server,
        ..std::mem::take(second)
    };
}

/// The identity of a server, beside what it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// The number of its first process.
    pub pid: u32,
    pub name: String,
    pub found_by: &'static str,
    /// How many CPUs it may use.
    pub cpus: u32,
}

#[cfg(test)]
mod tests;
