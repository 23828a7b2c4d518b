//! A worker's thread: pinned, ready, let go together with the others, and what it has used.

use super::{INTERVAL, Load};
use crate::driver::epoll::EpollDriver;
use crate::driver::uring::UringDriver;
use crate::driver::{Config, Driver, Engine};
use crate::pace::{Quota, Share};
use crate::session::Session;
use crate::worker::{Outcome, Outlet, Task, Worker};
use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// What one worker thread has used while it measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTime {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub sys: Duration,
    /// Of that, time spent on looking whether there was something to do, in vain.
    pub looked: Duration,
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

    /// CPU time that was needed over wall time.
    pub fn busy_ratio(&self) -> f64 {
        let wall_s = self.wall.as_secs_f64();
        let needed = (self.user + self.sys).saturating_sub(self.looked);
        if wall_s > 0.0 { needed.as_secs_f64() / wall_s } else { 0.0 }
    }
}

/// Holds the workers back until all of them are ready.
#[derive(Default)]
pub(super) struct Gate {
    /// Whether to run, once that is known.
    run: Mutex<Option<bool>>,
    opened: Condvar,
}

impl Gate {
    pub(super) fn open(&self, run: bool) {
        *self.run.lock().expect("nobody panics with the lock") = Some(run);
        self.opened.notify_all();
    }

    fn wait(&self) -> bool {
        let run = self.run.lock().expect("nobody panics with the lock");
        let run = self.opened.wait_while(run, |run| run.is_none());
        run.expect("nobody panics with the lock").unwrap_or(false)
    }
}

/// One thread's part of `all`: all of them together have all of it.
pub(super) fn share(all: u64, index: u32, threads: u32) -> u64 {
    let (threads, index) = (u64::from(threads), u64::from(index));
    all / threads + u64::from(index < all % threads)
}

/// What a worker's thread is given.
pub(super) struct Seat<'a> {
    pub(super) load: &'a Load,
    pub(super) index: usize,
    pub(super) quota: Option<Quota>,
    pub(super) epoch: Instant,
    pub(super) stop: &'a AtomicBool,
    pub(super) gate: &'a Gate,
    pub(super) outlet: Outlet,
}

impl Seat<'_> {
    /// The life of a worker's thread.
    pub(super) fn work<S: Session>(
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
        if load.model.open_loop.is_some() {
            // The kernel may otherwise let every wait last 50 us longer, to save a wake-up.
            let _ = prctl::set_timerslack(1);
        }
        let shared = shared();
        let slots = share(load.connections.into(), self.index as u32, load.threads) as u32;
        let config = Config {
            slots,
            addresses: load.addresses.clone(),
            options: [load.socket_options.clone(), load.ports.socket_options()].concat(),
            constant: S::constant(&shared),
            receive_buffer_bytes: load.receive_buffer_bytes,
            epoch: self.epoch,
        };
        let task = Task {
            slots,
            connections: load.connections,
            share: Share { index: self.index as u32, of: load.threads },
            model: load.model.clone(),
            warmup_ns: load.warmup.as_nanos() as u64,
            quota: self.quota.clone(),
            duration_ns: load.duration.map(|duration| duration.as_nanos() as u64),
            addresses: load.addresses.len(),
            ports: load.ports.rotation(self.index, load.threads as usize),
            policy: load.policy,
            interval_ns: INTERVAL.as_nanos() as u64,
        };
        match load.engine {
            Engine::IoUring(features) => {
                self.drive::<_, S>(UringDriver::new(config, features), shared, task, ready)
            }
            Engine::Epoll => self.drive::<_, S>(EpollDriver::new(config), shared, task, ready),
        }
    }

    /// The same loop over either driver.
    fn drive<D: Driver, S: Session>(
        self,
        driver: io::Result<D>,
        shared: S::Shared,
        task: Task,
        ready: &Sender<io::Result<()>>,
    ) -> io::Result<(Outcome, ThreadTime)> {
        let driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                let (engine, index) = (self.load.engine.name(), self.index);
                let text = format!("cannot set up {engine} for thread {index}: {error}");
                let _ = ready.send(Err(io::Error::new(error.kind(), text)));
                return Err(error);
            }
        };
        let mut worker = Worker::<_, S>::new(driver, shared, task, self.stop);
        let _ = ready.send(Ok(()));
        if !self.gate.wait() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        worker.warm_up(Some(&self.outlet))?;
        let (begin, (user, sys)) = (Instant::now(), ThreadTime::now()?);
        let outcome = worker.measure(Some(&self.outlet))?;
        let (user_end, sys_end) = ThreadTime::now()?;
        let wall = begin.elapsed();
        let looked = Duration::from_nanos(outcome.looked_ns);
        let time = ThreadTime { user: user_end - user, sys: sys_end - sys, looked, wall };
        Ok((outcome, time))
    }
}
