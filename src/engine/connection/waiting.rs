//! How a slot waits, and how it comes to its next request.
//!
//! ```text
//!   the last request has ended ──► rest, think ──► take ──► permit ──► open, or the next batch
//!                                                   │ none is due
//!                                                   └──► wait, with or without a connection
//! ```

use super::exchanges::{Exchange, Stand};
use super::{Connection, State, Step, Surroundings};
use crate::engine::pace::Pace;
use crate::engine::session::{Lane, Session};
use crate::engine::tally::Part;

impl<S: Session> Connection<S> {
    /// How long the slot has to rest after a failed attempt, and to think before its next request.
    /// Told once.
    pub fn take_rest_ns(&mut self, pace: &mut Pace) -> Option<u64> {
        if std::mem::replace(&mut self.rested, true) {
            return None;
        }
        let failure = self.latest_failure.filter(|_| self.failures > 0);
        let rest_ns = failure.map(|failure| pace.rest_ns(self.failures, failure));
        rest_ns.max(pace.think_ns())
    }

    /// The slot waits from now on until its rest is over. What happens to its connection meanwhile
    /// does not wake it.
    pub fn wait(&mut self) {
        (self.waits, self.free_ns) = (true, None);
    }

    /// The slot waits from now on for a request to be due.
    pub fn wait_in_line(&mut self, now_ns: u64) {
        (self.waits, self.free_ns) = (true, Some(now_ns));
    }

    /// Whether the slot waits.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// The slot waits no more: what to do with its connection, `None` when it has none.
    pub fn wake(&mut self, around: &mut Surroundings<S>) -> Option<Step> {
        self.waits = false;
        match self.state {
            State::Open => Some(self.proceed(false, around)),
            State::Idle => {
                // What it carries did not have to wait for it.
                if self.carries_request() {
                    self.free_ns = None;
                }
                None
            }
            // It is about to end, and is asked again then.
            _ => Some(Step::Wait),
        }
    }

    /// A free slot takes its next request, if there is one, for its next connection.
    pub fn take_request(&mut self, around: &mut Surroundings<S>) -> bool {
        self.take(1, None, around);
        self.flight.waiting > 0
    }

    /// Takes up to `wanted` requests, and counts them as started. Those that are not the first of
    /// a batch belong to the same part of the run.
    pub(super) fn take(&mut self, wanted: Lane, only: Option<Part>, around: &mut Surroundings<S>) {
        // Whoever is idle the longest comes first, and that is not who became free just now.
        if only.is_none() && self.free_ns.is_none() && around.pace.has_idle() {
            return;
        }
        let now_ns = around.now_ns;
        let intended_ns = &mut around.intended_ns;
        let grant = around.pace.take(wanted, only, now_ns, intended_ns);
        if grant.requests == 0 {
            return;
        }
        self.part = grant.part;
        let free_ns = self.free_ns.take().unwrap_or(now_ns);
        let tally = around.tallies.of(grant.part);
        tally.start(grant.requests);
        let mut intended_ns = intended_ns.drain(..);
        let mut left = grant.requests;
        let lanes = around.exchanges.of_mut(self.slot.index).iter_mut();
        for exchange in lanes.filter(|exchange| exchange.stand == Stand::Free) {
            if left == 0 {
                break;
            }
            let due_ns = intended_ns.next();
            if let Some(due_ns) = due_ns {
                tally.begin(due_ns, free_ns, now_ns);
            }
            *exchange = Exchange::taken(grant.part, due_ns);
            left -= 1;
        }
        debug_assert_eq!(left, 0, "there is a lane for each");
        self.flight.waiting += grant.requests;
    }

    /// When the connection of the request that was taken may be opened, if not now. Asked once for
    /// each connection: it keeps the answer.
    pub fn permit_ns(&mut self, pace: &mut Pace, now_ns: u64) -> Option<u64> {
        if self.permitted || !self.retry.is_first() {
            return None;
        }
        self.permitted = true;
        pace.permit_ns(now_ns)
    }
}
