//! One thread's loop over its slots: submit, wait, dispatch, start what is due.
//!
//! After the start nothing is allocated, locked or shared here: the worker owns its driver, its
//! connections and its tally, and what leaves during the run is an [`Interval`] every so often
//! through a bounded channel, in counts that come back to be used again. The one exception is
//! `-n`: see [`crate::engine::pace::quota`].
//!
//! **Where the clock is read.** Once per turn, when the kernel comes back with completions. All
//! completions of a turn carry this time, and so does what is handed to the kernel in answer to
//! them. A turn is short, however much there is to do: it brings a portion of the completions
//! ([`COMPLETIONS_MAX`]), starts a portion of the slots that are
//! due, and looks at a portion of those whose time is over. The next turn, without a wait, has a clock of its
//! own. A latency thus includes the time that a completion waited for the others of its turn, and
//! that a request waited for the end of the turn: the generator makes a latency longer, never
//! shorter. In an open loop nothing waits for others: the kernel comes back with the first
//! completion, and the clock is read once more before requests that are due begin.

mod task;
mod timers;
mod timing;

use crate::engine::connection::{Connection, Exchanges, Next, Slot, Step, Surroundings};
use crate::engine::driver::{COMPLETIONS_MAX, Completion, Driver, Op, Token, prefetch};
use crate::engine::pace::{Lead, Pace, Wait};
use crate::engine::session::Session;
use crate::engine::tally::{Part, Tallies};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
pub use task::{Interval, Outcome, Outlet, Task};
use timers::Timers;

/// How many slots start in one turn, of those whose time has come. To connect takes the kernel some
/// 20 us: with more of them the last of a turn would be late by what the others took, and so would
/// the answers that arrive meanwhile.
const STARTS_MAX: usize = 32;

/// The same while completions wait for the next turn: what has been started comes first.
const STARTS_BEHIND_MAX: usize = 4;

/// How many deadlines that have passed are dealt with in one turn.
const EXPIRIES_MAX: usize = 64;

/// What of a connection a completion touches at most, in cache lines.
const HOT_LINES_MAX: usize = 4;

/// One thread's loop.
pub struct Worker<'a, D: Driver, S: Session> {
    driver: D,
    connections: Vec<Connection<S>>,
    around: Surroundings<S>,
    task: Task,
    stop: &'a AtomicBool,
    completions: Vec<Completion>,
    /// Slots that may have something to send.
    listed: Vec<u32>,
    /// Slots that neither wait nor have nothing left to do.
    busy: u32,
    /// How many slots have begun: in their order, each at its time.
    begun: u32,
    begin_ns: u64,
    measure_from_ns: u64,
    /// When the part that is under way began, and when it is over.
    part_from_ns: u64,
    part_end_ns: u64,
    rests: Timers,
    deadlines: Timers,
    next_interval_ns: u64,
    lead: Lead,
    looked_ns: u64,
    /// See [`Outcome`].
    looked_before_ns: u64,
    unanswered_before: u64,
    unanswered_after: Option<u64>,
    overflows_before: u64,
}

impl<'a, D: Driver, S: Session> Worker<'a, D, S> {
    /// Allocates everything that the run needs.
    pub fn new(driver: D, shared: S::Shared, task: Task, stop: &'a AtomicBool) -> Self {
        let Task { slots, connections, share, ref quota, ref model, .. } = task;
        Worker {
            driver,
            connections: (0..slots).map(|at| Connection::new(at, &shared)).collect(),
            around: Surroundings {
                policy: task.policy,
                shared,
                pace: Pace::new(model, share, slots, connections, quota.clone()),
                route: task.route.clone(),
                ports: task.ports.clone(),
                slots: (0..slots).map(|_| Slot::default()).collect(),
                exchanges: Exchanges::new(slots, task.policy.pipeline),
                intended_ns: Vec::with_capacity(task.policy.pipeline as usize),
                tallies: Tallies::new(task.route.addresses()),
                now_ns: 0,
            },
            completions: Vec::with_capacity(COMPLETIONS_MAX),
            listed: Vec::with_capacity(COMPLETIONS_MAX),
            task,
            stop,
            busy: 0,
            begun: 0,
            begin_ns: 0,
            measure_from_ns: 0,
            part_from_ns: 0,
            part_end_ns: 0,
            rests: Timers::new(slots),
            deadlines: Timers::new(slots),
            next_interval_ns: 0,
            lead: Lead::default(),
            looked_ns: 0,
            looked_before_ns: 0,
            unanswered_before: 0,
            unanswered_after: None,
            overflows_before: 0,
        }
    }

    /// Begins the load and lets it go on for the time of the warm-up, if there is one.
    ///
    /// # Errors
    /// When the driver itself is broken.
    pub fn warm_up(&mut self, outlet: Option<&Outlet>) -> io::Result<()> {
        self.around.now_ns = self.driver.now_ns();
        self.begin_ns = self.around.now_ns;
        self.measure_from_ns = self.begin_ns + self.task.warmup_ns;
        self.around.pace.begin(self.begin_ns, self.task.warmup_ns);
        self.enter(Part::Warmup, self.measure_from_ns);
        self.start_due(STARTS_MAX);
        self.flush();
        self.go_on(outlet)
    }

    /// Measures until the time is over, the quota is used up and answered, or `stop` is set.
    ///
    /// # Errors
    /// When the driver itself is broken.
    pub fn measure(self, outlet: Option<&Outlet>) -> io::Result<Outcome> {
        self.measure_with_driver(outlet).map(|(outcome, _)| outcome)
    }

    /// The same, and leaves the end of the driver, which is no part of the measurement and takes its
    /// time, to the caller.
    ///
    /// # Errors
    /// As [`Worker::measure`].
    pub fn measure_with_driver(mut self, outlet: Option<&Outlet>) -> io::Result<(Outcome, D)> {
        self.unanswered_before = self.around.tallies.unanswered();
        self.looked_before_ns = self.looked_ns;
        self.overflows_before = self.driver.overflows();
        let end_ns = self.task.duration_ns.map(|ns| self.measure_from_ns + ns);
        self.enter(Part::Measured, end_ns.unwrap_or(u64::MAX));
        self.go_on(outlet)?;
        Ok(self.finish())
    }

    /// A part of the run begins.
    fn enter(&mut self, part: Part, end_ns: u64) {
        self.around.tallies.now = part;
        (self.part_from_ns, self.part_end_ns) = match part {
            Part::Warmup => (self.begin_ns, end_ns),
            Part::Measured => (self.measure_from_ns, end_ns),
        };
        self.next_interval_ns = self.part_from_ns + self.task.interval_ns;
    }

    /// The loop, until the part that is under way is over.
    fn go_on(&mut self, outlet: Option<&Outlet>) -> io::Result<()> {
        while !self.is_over() {
            let mut completions = std::mem::take(&mut self.completions);
            let is_behind =
                self.around.pace.is_behind() || self.next_rest_ns() <= self.around.now_ns;
            let patience = self.patience(is_behind);
            self.driver.turn(patience, &mut completions)?;
            let turned_ns = self.driver.now_ns();
            let before_ns = std::mem::replace(&mut self.around.now_ns, turned_ns);
            let late_ns = self.around.now_ns.checked_sub(before_ns + patience.timeout_ns);
            // A turn that brought something took its time for that, and so did one that submitted a
            // portion of starts with others behind it.
            match (patience.timeout_ns, late_ns) {
                _ if !completions.is_empty() || is_behind => {}
                (0, _) => self.looked_ns += self.around.now_ns - before_ns,
                (1.., Some(late_ns)) => self.lead.learn(late_ns),
                (1.., None) => {}
            }
            let submit_before_ns = self.driver.submit_ns();
            // What came due while the slots were busy stands in line before one of them is free.
            self.around.pace.fill(self.around.now_ns, &mut self.around.tallies);
            let brought = completions.len();
            for completion in &completions {
                if let Some(connection) = self.connections.get(completion.token.slot.index as usize)
                {
                    prefetch(connection, HOT_LINES_MAX.min(size_of::<Connection<S>>() / 64));
                }
            }
            for completion in completions.drain(..) {
                self.dispatch(completion);
            }
            self.completions = completions;
            self.flush();
            let starts_max = if self.driver.has_more() { STARTS_BEHIND_MAX } else { STARTS_MAX };
            // In a closed loop nothing starts when the time is over, also where that was noticed late;
            // in an open one what was due before is started.
            let may_start =
                self.around.pace.is_open_loop() || self.around.now_ns < self.part_end_ns;
            let started = self.start_due(if may_start { starts_max } else { 0 });
            self.look_at_deadlines();
            self.flush();
            if let Some(outlet) = outlet {
                self.report(outlet, brought > 0 || started);
            }
            let counters = &mut self.around.tallies.current().counters;
            counters.turns += 1;
            counters.completions += brought as u64;
            counters.dispatch_ns += self.driver.now_ns() - turned_ns;
            counters.submit_ns += self.driver.submit_ns() - submit_before_ns;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.around.now_ns >= self.part_end_ns
            || self.is_done()
            || self.stop.load(Ordering::Relaxed)
    }

    /// Whether the quota is used up and answered.
    fn is_done(&self) -> bool {
        self.busy == 0
            && self.around.pace.is_over(self.around.now_ns)
            && self.around.tallies.in_flight() == 0
    }

    fn finish(mut self) -> (Outcome, D) {
        let overflows = self.driver.overflows() - self.overflows_before;
        self.around.tallies.measured.counters.overflows = overflows;
        let in_flight: u32 = self.connections.iter().map(Connection::in_flight).sum();
        debug_assert_eq!(
            self.around.tallies.in_flight(),
            u64::from(in_flight),
            "a request is lost"
        );
        let unanswered = self.around.tallies.unanswered();
        self.around.tallies.warmup.finish();
        let last_interval = self.around.tallies.measured.finish();
        let longest_ns = self.around.tallies.measured.total.max() * 1000;
        let overdue = |connection: &Connection<S>| {
            let exchanges = &self.around.exchanges;
            u64::from(connection.overdue(exchanges, self.around.now_ns, longest_ns))
        };
        let overdue = self.connections.iter().map(overdue).sum();
        self.around.tallies.measured.counters.overdue = overdue;
        let end_ns = if self.is_done() {
            // Without a share of the quota nothing has ended.
            self.around.tallies.measured.last_end_ns.max(self.measure_from_ns)
        } else {
            self.around.now_ns
        };
        let outcome = Outcome {
            remarks: S::remarks(&self.around.shared),
            tallies: self.around.tallies,
            last_interval,
            begin_ns: self.begin_ns,
            measure_from_ns: self.measure_from_ns.min(end_ns),
            end_ns,
            unanswered_before: self.unanswered_before,
            unanswered_after: self.unanswered_after.unwrap_or(unanswered),
            looked_ns: self.looked_ns - self.looked_before_ns,
        };
        (outcome, self.driver)
    }

    fn dispatch(&mut self, completion: Completion) {
        let Token { op, slot } = completion.token;
        let Some(connection) = self.connections.get_mut(slot.index as usize) else {
            self.around.tallies.current().counters.stale += 1;
            return;
        };
        if connection.slot() != slot {
            self.around.tallies.current().counters.stale += 1;
            return;
        }
        let bytes = match (op, &completion.result) {
            (Op::Receive, &Ok(count)) => self.driver.received(slot, count),
            _ => &[],
        };
        let step =
            connection.complete(op, completion.result, bytes, completion.more, &mut self.around);
        match step {
            Some(step) => self.take(step, slot.index),
            None => self.around.tallies.current().counters.stale += 1,
        }
    }

    /// The deadline of a slot may have changed.
    #[inline]
    fn note_deadline(&mut self, index: u32) {
        self.deadlines.set(index, self.connections[index as usize].deadline_ns());
    }

    /// Does what a connection asks for.
    fn take(&mut self, step: Step, index: u32) {
        match step {
            Step::Wait => self.note_deadline(index),
            // Its deadline is looked at when it is flushed.
            Step::Go => self.list(index),
            Step::Rest(wait) => {
                self.list(index);
                self.wait(index, wait);
            }
            Step::Ask(extent) => {
                self.driver.extent(self.connections[index as usize].slot(), extent);
                self.note_deadline(index);
            }
            Step::Cancel => {
                let connection = &self.connections[index as usize];
                for op in connection.outstanding().iter() {
                    self.driver.cancel(connection.slot(), op);
                }
                self.note_deadline(index);
            }
            Step::Close => {
                let connection = &self.connections[index as usize];
                self.driver.close(connection.slot());
                if !self.around.slots[index as usize].waits() {
                    self.start(index);
                } else if connection.is_wanted(&self.around.policy) {
                    // The next one does not wait with the slot.
                    self.around.pace.leave_line(index);
                    self.rests.forget(index);
                    self.resume(index);
                }
            }
        }
    }

    /// A slot may have something to send or to receive.
    fn list(&mut self, index: u32) {
        if self.connections[index as usize].list() {
            self.listed.push(index);
        }
    }

    /// Sends what the slots have gathered since the last time, in one piece each, and lets them
    /// receive.
    fn flush(&mut self) {
        let mut listed = std::mem::take(&mut self.listed);
        for index in listed.drain(..) {
            if self.connections[index as usize].unlist() {
                self.send(index);
                self.receive(index);
            }
            self.note_deadline(index);
        }
        self.listed = listed;
    }

    /// Hands over what there is to send, up to the first piece whose end will be told.
    fn send(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let slot = connection.slot();
        loop {
            let bytes = connection.outgoing(&mut self.around.shared);
            if bytes.is_empty() {
                return;
            }
            let handover = self.driver.send(slot, bytes);
            self.around.tallies.current().counters.bytes_written += handover.taken as u64;
            connection.handed_over(handover.taken, handover.confirmed, &mut self.around.shared);
            if handover.confirmed {
                return;
            }
        }
    }

    fn receive(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if let Some(demand) = connection.demand(&self.around.policy) {
            self.driver.receive(connection.slot(), demand);
        }
    }

    /// A slot without a connection goes on.
    fn start(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        match connection.next(&mut self.around) {
            Next::Open(address, source) => {
                self.driver.open(connection.slot(), address, source);
                self.note_deadline(index);
            }
            Next::Wait(wait) => self.wait(index, wait),
            Next::Over => self.busy -= 1,
        }
    }

    /// Lets a slot wait.
    fn wait(&mut self, index: u32, wait: Wait) {
        self.busy -= 1;
        self.around.slots[index as usize].wait(wait, self.around.now_ns);
        match wait {
            Wait::Until(due_ns) => self.rests.set(index, due_ns),
            Wait::InLine => self.around.pace.idle(index),
        }
    }

    /// The waiting of a slot is over.
    fn resume(&mut self, index: u32) {
        self.busy += 1;
        match self.connections[index as usize].wake(&mut self.around) {
            Some(step) => self.take(step, index),
            None => self.start(index),
        }
    }

    /// When the next slot begins, or has rested.
    fn next_rest_ns(&self) -> u64 {
        self.rests.next_ns().min(self.next_begin_ns())
    }

    fn next_begin_ns(&self) -> u64 {
        match self.begun < self.task.slots {
            true => self.around.pace.first_ns(self.begun),
            false => u64::MAX,
        }
    }

    /// The next slot to begin, or whose rest is over, if it is time.
    fn take_rested(&mut self) -> Option<u32> {
        if self.next_rest_ns() > self.around.now_ns {
            return None;
        }
        if self.next_begin_ns() <= self.rests.next_ns() {
            self.begun += 1;
            return Some(self.begun - 1);
        }
        let slot = self.rests.due(self.around.now_ns);
        self.rests.pop();
        slot
    }

    /// Wakes slots whose rest is over, and slots for which a request is due, at most so many; whether
    /// there were any.
    fn start_due(&mut self, starts_max: usize) -> bool {
        let mut left = starts_max;
        if self.around.pace.is_open_loop() {
            self.around.now_ns = self.driver.now_ns();
        }
        while left > 0
            && !self.driver.is_full()
            && let Some(slot) = self.take_rested()
        {
            self.resume(slot);
            left -= 1;
        }
        self.around.pace.fill(self.around.now_ns, &mut self.around.tallies);
        if self.unanswered_after.is_none() && self.around.pace.has_given_all(self.around.now_ns) {
            self.unanswered_after = Some(self.around.tallies.unanswered());
        }
        while left > 0
            && !self.driver.is_full()
            && let Some(slot) = self.around.pace.next_idle()
        {
            self.resume(slot);
            left -= 1;
        }
        left < starts_max
    }

    /// Ends what is past its deadline, and puts back what is not yet.
    fn look_at_deadlines(&mut self) {
        for _ in 0..EXPIRIES_MAX {
            let Some(slot) = self.deadlines.due(self.around.now_ns) else { return };
            self.deadlines.pop();
            if self.connections[slot as usize].deadline_ns() <= self.around.now_ns {
                let step = self.connections[slot as usize].expire(&mut self.around);
                self.take(step, slot);
            }
            self.note_deadline(slot);
        }
    }
}
