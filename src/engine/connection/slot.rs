//! What a slot keeps from one connection to the next: whether it waits, and what it has tried.
//!
//! ```text
//!   the last request has ended ──► rest, think ──► take ──► permit ──► open, or the next batch
//!                                                   │ none is due
//!                                                   └──► wait in line, with or without a connection
//! ```

use super::exchanges::NEVER;
use super::retry::PortRetry;
use crate::engine::failure::Failure;
use crate::engine::pace::{self, Pace, Wait};
use crate::engine::tally::Part;

/// One slot.
#[derive(Debug)]
pub struct Slot {
    /// It waits until the worker wakes it.
    waits: bool,
    /// It has rested, and thought, since its last request.
    rested: bool,
    /// Its next connection may be opened.
    permitted: bool,
    /// The latest failed attempt had no source port.
    lacked_port: bool,
    /// What the latest requests belong to.
    pub(super) part: Part,
    /// Failed attempts in a row.
    failures: u32,
    /// Since when it waits for nothing but a request.
    free_ns: u64,
    /// Source ports that were taken when this connection tried them.
    pub(super) retry: PortRetry,
    /// The number of the address that this connection goes to.
    pub(super) address: u32,
    /// Other addresses that did not accept it before; a name has some thousands at most.
    pub(super) tried: u16,
}

impl Default for Slot {
    /// One that waits for its begin, and has nothing to rest from.
    fn default() -> Slot {
        Slot {
            waits: true,
            rested: true,
            permitted: false,
            lacked_port: false,
            part: Part::Measured,
            failures: 0,
            free_ns: NEVER,
            retry: PortRetry::default(),
            address: 0,
            tried: 0,
        }
    }
}

impl Slot {
    /// It begins a connection, or a request.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.rested = false;
    }

    /// Its attempt has come to an answer.
    #[inline]
    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Its attempt has failed.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failures = self.failures.saturating_add(1);
        self.lacked_port = pace::lacks_port(failure);
        self.rested = false;
    }

    /// How long it has to rest after a failed attempt, and to think before its next request. Said
    /// once.
    pub(super) fn take_rest_ns(&mut self, pace: &mut Pace) -> Option<u64> {
        if std::mem::replace(&mut self.rested, true) {
            return None;
        }
        let rest_ns = (self.failures > 0).then(|| pace.rest_ns(self.failures, self.lacked_port));
        rest_ns.max(pace.think_ns())
    }

    /// Whether its next connection is no further attempt at the one before.
    pub(super) fn is_new(&self) -> bool {
        self.retry.is_first() && self.tried == 0
    }

    /// Whether it may take a request: between two it thinks, if it is to, and while it waits,
    /// whatever happens on its connection is no reason to take one.
    #[inline]
    pub(super) fn may_take(&self, pace: &Pace) -> bool {
        !self.waits && (self.rested || !pace.thinks())
    }

    /// When the connection of the request that was taken may be opened, if not now. Asked once for
    /// each connection: it keeps the answer.
    pub(super) fn permit_ns(&mut self, pace: &mut Pace, now_ns: u64) -> Option<u64> {
        if self.permitted || !self.retry.is_first() {
            return None;
        }
        self.permitted = true;
        pace.permit_ns(now_ns)
    }

    /// Its connection is opened.
    pub(super) fn open(&mut self) {
        self.permitted = false;
        self.rested = false;
    }

    /// It waits from now on. What happens to its connection meanwhile does not wake it.
    pub fn wait(&mut self, wait: Wait, now_ns: u64) {
        self.waits = true;
        self.free_ns = if wait == Wait::InLine { now_ns } else { NEVER };
    }

    /// Whether it waits.
    #[inline]
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// It waits no more.
    pub(super) fn wake(&mut self) {
        self.waits = false;
    }

    /// Since when it has waited for nothing but a request, if it has.
    #[inline]
    pub(super) fn free_ns(&self) -> Option<u64> {
        (self.free_ns != NEVER).then_some(self.free_ns)
    }

    /// It waits for no request: it has one.
    #[inline]
    pub(super) fn take(&mut self) {
        self.free_ns = NEVER;
    }
}
