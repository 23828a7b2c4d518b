//! A worker's thread: pinned, ready, let go together with the others, and what it has used.

use super::{INTERVAL, Load};
use crate::engine::driver::epoll::EpollDriver;
use crate::engine::driver::uring::UringDriver;
use crate::engine::driver::{Config, Driver, Engine};
use crate::engine::pace::{Quota, Share};
use crate::engine::session::Session;
use crate::engine::worker::{Outcome, Outlet, Task, Worker};
use crate::kernel::threads;
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
    /// CPU time in user mode. The kernel takes samples of a few milliseconds to tell it from the
    /// time in the kernel; the sum of the two is exact.
    pub user: Duration,
    /// CPU time in the kernel.
    pub sys: Duration,
    /// How long it could have run and had no CPU; `None` where the kernel does not tell.
    pub waited: Option<Duration>,
    /// CPU time that was spent on looking whether there was something to do, in vain.
    pub looked: Duration,
    /// Wall time.
    pub wall: Duration,
}

impl ThreadTime {
    /// CPU time of both kinds.
    pub fn cpu(&self) -> Duration {
        self.user + self.sys
    }

    /// CPU time that was needed over wall time.
    pub fn busy_ratio(&self) -> f64 {
        self.over_wall(self.cpu().saturating_sub(self.looked))
    }

    /// Time for which it waited for a CPU over wall time.
    pub fn wait_ratio(&self) -> Option<f64> {
        self.waited.map(|waited| self.over_wall(waited).min(1.0))
    }

    /// Both: all of the time for which it had something to do, over wall time.
    pub fn demand_ratio(&self) -> f64 {
        (self.busy_ratio() + self.wait_ratio().unwrap_or(0.0)).min(1.0)
    }

    fn over_wall(&self, time: Duration) -> f64 {
        let wall_s = self.wall.as_secs_f64();
        if wall_s > 0.0 { time.as_secs_f64() / wall_s } else { 0.0 }
    }
}

/// What the kernel says about a thread at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// CPU time.
    exact: Duration,
    /// Its parts, as far as samples tell them.
    user: Duration,
    sys: Duration,
    waited: Option<Duration>,
}

impl Clock {
    /// Of the calling thread.
    fn now() -> io::Result<Clock> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
        let micros = |time: nix::sys::time::TimeVal| {
            Duration::from_micros(time.num_microseconds().unsigned_abs())
        };
        let (user, sys) = (micros(usage.user_time()), micros(usage.system_time()));
        let exact = threads::own_cpu_time().unwrap_or(user + sys);
        Ok(Clock { exact, user, sys, waited: threads::own_wait() })
    }

    /// What the thread has used since an earlier moment: the exact sum in the proportion of the
    /// samples. Without a sample all of it counts as time in the kernel, where most of it is.
    fn since(&self, before: &Clock) -> ThreadTime {
        let exact = self.exact.saturating_sub(before.exact);
        let (user, sys) =
            (self.user.saturating_sub(before.user), self.sys.saturating_sub(before.sys));
        let sampled_s = (user + sys).as_secs_f64();
        let share = if sampled_s > 0.0 { user.as_secs_f64() / sampled_s } else { 0.0 };
        let user = exact.mul_f64(share).min(exact);
        let waited = self.waited.zip(before.waited);
        ThreadTime {
            user,
            sys: exact - user,
            waited: waited.map(|(now, before)| now.saturating_sub(before)),
            ..ThreadTime::default()
        }
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
            route: load.route.of_worker(self.index),
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
        let (begin, before) = (Instant::now(), Clock::now()?);
        let (outcome, driver) = worker.measure_with_driver(Some(&self.outlet))?;
        let used = Clock::now()?.since(&before);
        let wall = begin.elapsed();
        drop(driver);
        let looked = Duration::from_nanos(outcome.looked_ns);
        Ok((outcome, ThreadTime { looked, wall, ..used }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_sum_is_exact_and_its_parts_are_in_proportion() {
        let before = Clock { exact: MS * 7, user: MS * 4, sys: MS * 4, waited: Some(MS) };
        for (exact, user, sys, expected) in [
            (100, 4, 12, (25, 75)),
            (100, 0, 4, (0, 100)),
            (100, 8, 0, (100, 0)),
            // Too short for a sample.
            (1, 0, 0, (0, 1)),
        ] {
            let now = Clock {
                exact: before.exact + MS * exact,
                user: before.user + MS * user,
                sys: before.sys + MS * sys,
                waited: Some(MS * 3),
            };
            let used = now.since(&before);
            assert_eq!((used.user, used.sys), (MS * expected.0, MS * expected.1));
            assert_eq!((used.cpu(), used.waited), (MS * exact, Some(MS * 2)));
            assert_eq!(now.since(&Clock { waited: None, ..before }).waited, None);
        }
    }

    #[test]
    fn what_a_thread_needed_is_what_it_ran_and_waited_but_not_what_it_looked() {
        let time = ThreadTime {
            sys: MS * 30,
            waited: Some(MS * 60),
            looked: MS * 10,
            wall: MS * 100,
            ..ThreadTime::default()
        };
        let near = |ratio: f64, expected: f64| (ratio - expected).abs() < 1e-9;
        assert!(near(time.busy_ratio(), 0.2) && near(time.wait_ratio().unwrap(), 0.6));
        assert!(near(time.demand_ratio(), 0.8));
        let unknown = ThreadTime { waited: None, ..time };
        assert!(unknown.wait_ratio().is_none() && near(unknown.demand_ratio(), 0.2));
        assert_eq!(ThreadTime::default().busy_ratio(), 0.0);
    }
}
