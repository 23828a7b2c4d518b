//! What a worker does by the clock: how long a turn may wait, and when an interval is over.

use super::{Interval, Outlet, Worker};
use crate::engine::driver::{Driver, Patience};
use crate::engine::session::Session;

/// The longest wait in the kernel: how soon a signal to stop is seen.
const WAIT_NS_MAX: u64 = 100_000_000;

/// In a closed loop, how many completions are worth waiting for, and for how long. One wake-up for
/// several completions is what makes a busy generator cheap; the bounds keep the wait short
/// against the latency of a server that is worth measuring with many connections.
const WANT_MAX: u32 = 16;
const LINGER_NS: u64 = 100_000;

/// To close an interval takes as long as a request does. In an open loop it waits for a turn in which
/// there is nothing to do, for this part of the interval at most.
const INTERVAL_LATE_PART: u64 = 4;

/// While no counts have come back an interval goes on, and this part of it later it is looked
/// again.
const INTERVAL_AGAIN_PART: u64 = 10;

/// At most this part of the time is spent on looking at the ring instead of sleeping until a request
/// is due: the CPU may be somebody else's.
const LOOKING_PART: u64 = 8;

impl<D: Driver, S: Session> Worker<'_, D, S> {
    /// How long the next turn may wait, and for what: not at all when it `is_behind`, as there are
    /// slots that could start.
    pub(super) fn patience(&self, is_behind: bool) -> Patience {
        if is_behind {
            return Patience { want: 1, linger_ns: 0, timeout_ns: 0 };
        }
        let mut until_ns = self.around.now_ns + WAIT_NS_MAX;
        until_ns = until_ns.min(self.deadlines.next_ns()).min(self.next_interval_ns);
        until_ns = until_ns.min(self.part_end_ns);
        // In an open loop latencies come first: a late wake-up would be in them, and so would a wait
        // for other completions.
        let run_ns = self.around.now_ns - self.begin_ns;
        let may_look = self.looked_ns * LOOKING_PART <= run_ns;
        let (lead_ns, timeout_ns_min, want_max) = match self.around.pace.is_open_loop() {
            true if may_look => (self.lead.ns(), 0, 1),
            true => (0, 1_000, 1),
            false => (0, 1_000, WANT_MAX),
        };
        let request_ns = self.around.pace.next_due_ns().unwrap_or(u64::MAX);
        let due_ns = request_ns.min(self.next_rest_ns());
        until_ns = until_ns.min(due_ns.saturating_sub(lead_ns));
        let timeout_ns = until_ns.saturating_sub(self.around.now_ns).max(timeout_ns_min);
        Patience {
            want: (self.busy / 4).clamp(1, want_max),
            linger_ns: LINGER_NS.min(timeout_ns),
            timeout_ns,
        }
    }

    /// Lets an interval leave when it is over. While no counts have come back, the interval goes on:
    /// nothing is lost, it only comes later.
    pub(super) fn report(&mut self, outlet: &Outlet, busy: bool) {
        let Some(late_ns) = self.around.now_ns.checked_sub(self.next_interval_ns) else { return };
        let may_wait = late_ns < self.task.interval_ns / INTERVAL_LATE_PART;
        if self.around.pace.is_open_loop() && busy && may_wait {
            return;
        }
        let Ok(spare) = outlet.spares.try_recv() else {
            let again_ns = self.task.interval_ns / INTERVAL_AGAIN_PART;
            self.next_interval_ns = self.around.now_ns + again_ns;
            return;
        };
        let over = (self.around.now_ns - self.part_from_ns) / self.task.interval_ns;
        self.next_interval_ns = self.part_from_ns + (over + 1) * self.task.interval_ns;
        let part = self.around.tallies.now;
        let tally = self.around.tallies.current();
        let interval = Interval {
            worker: outlet.worker,
            part,
            number: over - 1,
            counters: tally.counters,
            total: tally.close_interval(spare),
            looked_ns: self.looked_ns,
        };
        // The channel has room for all the counts there are.
        let _ = outlet.intervals.try_send(interval);
    }
}
