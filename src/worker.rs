//! One thread's loop over its slots: submit, wait, dispatch, start what is due.
//!
//! After the start nothing is allocated, locked or shared here: the worker owns its driver, its
//! connections and its tally, and what leaves during the run is one [`Interval`] a second through a
//! bounded channel, in histograms that come back to be used again.
//!
//! **Where the clock is read.** Once per turn, when the kernel comes back with completions. All
//! completions of a turn carry this time, and so does what is handed to the kernel in answer to
//! them. A latency thus includes the time that a completion waited for the others of its turn, and
//! that a request waited for the end of the turn: the generator makes a latency longer, never
//! shorter.

use crate::connection::{Connection, Policy, Route, Step, Surroundings};
use crate::driver::{Completion, Demand, Driver, Op, Patience, Token};
use crate::pace::Pace;
use crate::ports::Rotation;
use crate::session::Session;
use crate::tally::{Counters, Tally, latency_histogram};
use hdrhistogram::Histogram;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

/// The longest wait in the kernel: how soon a signal to stop is seen.
const WAIT_NS_MAX: u64 = 100_000_000;

/// How often deadlines are looked at: a twentieth of the timeout within these bounds.
const SWEEP_NS_MIN: u64 = 1_000_000;
const SWEEP_NS_MAX: u64 = 50_000_000;

/// In a closed loop, how many completions are worth waiting for, and for how long. One wake-up for
/// several completions is what makes a busy generator cheap; the bounds keep the wait short
/// against the latency of a server that is worth measuring with many connections.
const WANT_MAX: u32 = 16;
const LINGER_NS: u64 = 100_000;

/// While it is open which of the target's addresses accepts, the other slots look again this often.
const SCOUT_NS: u64 = 1_000_000;

/// What a worker is to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// How many slots.
    pub slots: u32,
    /// How many requests may be started.
    pub quota: Option<u64>,
    /// How long, from the start.
    pub duration_ns: Option<u64>,
    /// How many addresses the target has.
    pub addresses: usize,
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
    /// Which interval, counted from 0.
    pub number: u64,
    /// All counts up to now.
    pub counters: Counters,
    /// `total` of the responses in this interval.
    pub total: Histogram<u64>,
}

/// The worker's end of the two channels to the thread that collects.
#[derive(Debug)]
pub struct Outlet {
    /// Which worker this is.
    pub worker: usize,
    /// Takes intervals.
    pub intervals: SyncSender<Interval>,
    /// Brings their histograms back.
    pub spares: Receiver<Histogram<u64>>,
}

/// What a worker leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// All its numbers; intervals are closed.
    pub tally: Tally,
    /// `total` of the responses since the last interval that has left.
    pub last_interval: Histogram<u64>,
    /// When it began and ended, on the driver's clock.
    pub begin_ns: u64,
    /// See `begin_ns`.
    pub end_ns: u64,
}

/// One thread's loop.
pub struct Worker<'a, D: Driver, S: Session> {
    driver: D,
    connections: Vec<Connection<S>>,
    shared: S::Shared,
    pace: Pace,
    route: Route,
    ports: Rotation,
    tally: Tally,
    task: Task,
    stop: &'a AtomicBool,
    /// Slots with a connection or a rest before the next one.
    busy: u32,
    now_ns: u64,
    begin_ns: u64,
    next_sweep_ns: u64,
    next_interval_ns: u64,
    interval_number: u64,
}

impl<'a, D: Driver, S: Session> Worker<'a, D, S> {
    /// Allocates everything that the run needs.
    pub fn new(driver: D, shared: S::Shared, task: Task, stop: &'a AtomicBool) -> Self {
        let connections = (0..task.slots).map(|index| Connection::new(index, &shared)).collect();
        Worker {
            driver,
            connections,
            shared,
            pace: Pace::closed_loop(task.slots, task.quota),
            route: Route::new(task.addresses),
            ports: task.ports.clone(),
            tally: Tally::new(task.addresses),
            task,
            stop,
            busy: 0,
            now_ns: 0,
            begin_ns: 0,
            next_sweep_ns: 0,
            next_interval_ns: 0,
            interval_number: 0,
        }
    }

    /// Runs until the time is over, the quota is used up and answered, or `stop` is set.
    ///
    /// # Errors
    /// When the driver itself is broken.
    pub fn run(mut self, outlet: Option<&Outlet>) -> io::Result<Outcome> {
        self.begin();
        let mut completions = Vec::with_capacity(4 * self.task.slots as usize + 64);
        while !self.is_over() {
            self.driver.turn(self.patience(), &mut completions)?;
            self.now_ns = self.driver.now_ns();
            self.tally.counters.turns += 1;
            for completion in completions.drain(..) {
                self.dispatch(completion);
            }
            self.start_due();
            self.sweep();
            if let Some(outlet) = outlet {
                self.report(outlet);
            }
        }
        Ok(self.finish())
    }

    fn begin(&mut self) {
        self.now_ns = self.driver.now_ns();
        self.begin_ns = self.now_ns;
        self.tally.last_end_ns = self.now_ns;
        self.next_sweep_ns = self.now_ns + self.sweep_ns();
        self.next_interval_ns = self.now_ns + self.task.interval_ns;
        self.busy = self.task.slots;
        for slot in 0..self.task.slots {
            self.start(slot);
        }
    }

    fn is_over(&self) -> bool {
        let timed_out = self.task.duration_ns.is_some_and(|ns| self.now_ns >= self.begin_ns + ns);
        self.busy == 0 || timed_out || self.stop.load(Ordering::Relaxed)
    }

    fn finish(mut self) -> Outcome {
        self.tally.counters.overflows = self.driver.overflows();
        let in_flight: u32 = self.connections.iter().map(Connection::in_flight).sum();
        debug_assert_eq!(
            self.tally.counters.in_flight(),
            u64::from(in_flight),
            "a request is lost"
        );
        let last_interval = self.tally.close_interval(latency_histogram());
        let timed_out = self.busy > 0;
        let end_ns = if timed_out { self.now_ns } else { self.tally.last_end_ns };
        Outcome { tally: self.tally, last_interval, begin_ns: self.begin_ns, end_ns }
    }

    /// How long the next turn may wait, and for what.
    fn patience(&self) -> Patience {
        let mut until_ns = self.now_ns + WAIT_NS_MAX;
        until_ns = until_ns.min(self.next_sweep_ns).min(self.next_interval_ns);
        if let Some(due_ns) = self.pace.next_due_ns() {
            until_ns = until_ns.min(due_ns);
        }
        if let Some(duration_ns) = self.task.duration_ns {
            until_ns = until_ns.min(self.begin_ns + duration_ns);
        }
        let timeout_ns = until_ns.saturating_sub(self.now_ns).max(1_000);
        Patience {
            want: (self.busy / 4).clamp(1, WANT_MAX),
            linger_ns: LINGER_NS.min(timeout_ns),
            timeout_ns,
        }
    }

    fn dispatch(&mut self, completion: Completion) {
        let Token { op, slot } = completion.token;
        let Some(connection) = self.connections.get_mut(slot.index as usize) else {
            self.tally.counters.stale += 1;
            return;
        };
        if connection.slot() != slot {
            self.tally.counters.stale += 1;
            return;
        }
        let bytes = match (op, &completion.result) {
            (Op::Receive, &Ok(count)) => self.driver.received(slot, count),
            _ => &[],
        };
        let mut around = Surroundings {
            policy: &self.task.policy,
            shared: &mut self.shared,
            pace: &mut self.pace,
            route: &mut self.route,
            ports: &mut self.ports,
            tally: &mut self.tally,
            now_ns: self.now_ns,
        };
        let step = connection.complete(op, completion.result, bytes, completion.more, &mut around);
        match step {
            Some(step) => self.take(step, slot.index),
            None => self.tally.counters.stale += 1,
        }
    }

    /// Does what a connection asks for.
    fn take(&mut self, step: Step, index: u32) {
        match step {
            Step::Wait => {}
            Step::Exchange => {
                self.send(index);
                self.receive(index);
            }
            Step::Send => self.send(index),
            Step::Receive => self.receive(index),
            Step::Cancel => {
                let connection = &self.connections[index as usize];
                for op in connection.outstanding().iter() {
                    self.driver.cancel(connection.slot(), op);
                }
            }
            Step::Close => {
                self.driver.close(self.connections[index as usize].slot());
                self.start(index);
            }
        }
    }

    /// Hands over what there is to send, up to the first piece whose end will be told.
    fn send(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let slot = connection.slot();
        loop {
            let bytes = connection.outgoing(&self.shared);
            if bytes.is_empty() {
                return;
            }
            let handover = self.driver.send(slot, bytes);
            self.tally.counters.bytes_written += handover.taken as u64;
            connection.handed_over(handover.taken, handover.confirmed);
            if handover.confirmed {
                return;
            }
        }
    }

    fn receive(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let demand: Demand = connection.demand(&self.task.policy);
        self.driver.receive(connection.slot(), demand);
    }

    /// Opens a connection on a free slot, now or when its rest is over, unless there is nothing
    /// left to do.
    fn start(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if !connection.carries_request() {
            if self.pace.is_over() {
                self.busy -= 1;
                return;
            }
            if let Some(rest_ns) = connection.take_rest_ns() {
                self.pace.rest(index, self.now_ns + rest_ns);
                return;
            }
            // One slot finds out which address accepts; the others wait for it.
            if !self.route.may_open() {
                self.pace.rest(index, self.now_ns + SCOUT_NS);
                return;
            }
            let granted = self.pace.take(1);
            self.tally.start(granted);
        }
        if let Some(pause_ns) = connection.take_pause_ns() {
            self.pace.rest(index, self.now_ns + pause_ns);
            return;
        }
        let (address, source) =
            connection.open(&self.task.policy, &mut self.route, &mut self.ports, self.now_ns);
        self.driver.open(connection.slot(), address, source);
    }

    fn start_due(&mut self) {
        while let Some(slot) = self.pace.due(self.now_ns) {
            self.start(slot);
        }
    }

    fn sweep_ns(&self) -> u64 {
        (self.task.policy.timeout_ns / 20).clamp(SWEEP_NS_MIN, SWEEP_NS_MAX)
    }

    /// Ends what is past its deadline.
    fn sweep(&mut self) {
        if self.now_ns < self.next_sweep_ns {
            return;
        }
        self.next_sweep_ns = self.now_ns + self.sweep_ns();
        for index in 0..self.connections.len() {
            if self.connections[index].deadline_ns() > self.now_ns {
                continue;
            }
            let mut around = Surroundings {
                policy: &self.task.policy,
                shared: &mut self.shared,
                pace: &mut self.pace,
                route: &mut self.route,
                ports: &mut self.ports,
                tally: &mut self.tally,
                now_ns: self.now_ns,
            };
            let step = self.connections[index].expire(&mut around);
            self.take(step, index as u32);
        }
    }

    /// Lets an interval leave when it is over. While no histogram has come back, the interval goes
    /// on: nothing is lost, it only comes later.
    fn report(&mut self, outlet: &Outlet) {
        if self.now_ns < self.next_interval_ns {
            return;
        }
        let Ok(spare) = outlet.spares.try_recv() else { return };
        let elapsed_ns = self.now_ns - self.begin_ns;
        self.interval_number = elapsed_ns / self.task.interval_ns - 1;
        self.next_interval_ns = self.begin_ns + (self.interval_number + 2) * self.task.interval_ns;
        let interval = Interval {
            worker: outlet.worker,
            number: self.interval_number,
            counters: self.tally.counters,
            total: self.tally.close_interval(spare),
        };
        // The channel has room for all the histograms there are.
        let _ = outlet.intervals.try_send(interval);
    }
}
