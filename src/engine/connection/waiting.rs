//! How a slot comes to its next request, and to its next connection.

use super::exchanges::{Exchange, Stand};
use super::{Connection, State, Step, Surroundings};
use crate::engine::pace::Wait;
use crate::engine::session::{Lane, Session};
use crate::engine::tally::Part;
use std::net::SocketAddr;

/// What a free slot does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It opens a connection to the address of this number, from there.
    Open(usize, Option<SocketAddr>),
    /// It waits.
    Wait(Wait),
    /// Nothing: there is no request left.
    Over,
}

impl<S: Session> Connection<S> {
    /// What the slot does next, now that it has no connection.
    pub fn next(&mut self, around: &mut Surroundings<S>) -> Next {
        let (index, now_ns) = (self.index(), around.now_ns);
        around.exchanges.make_room(self.slot.index);
        let slot = &mut around.slots[index];
        if !self.carries_request() {
            if around.pace.is_over(now_ns) {
                return Next::Over;
            }
            // Where another port or address is tried, the attempt goes on.
            if slot.is_new()
                && let Some(rest_ns) = slot.take_rest_ns(&mut around.pace)
            {
                return Next::Wait(Wait::Until(now_ns + rest_ns));
            }
            // In a closed loop a request begins when its connection may be opened.
            if !around.pace.is_open_loop()
                && let Some(due_ns) = slot.permit_ns(&mut around.pace, now_ns)
            {
                return Next::Wait(Wait::Until(due_ns));
            }
            if around.policy.holds {
                around.slots[index].part = around.pace.part(now_ns);
            } else {
                self.take(1, None, around);
                if !self.carries_request() {
                    return Next::Wait(Wait::InLine);
                }
            }
        }
        let slot = &mut around.slots[index];
        let pause_ns = slot.retry.take_pause_ns().map(|pause_ns| now_ns + pause_ns);
        if let Some(due_ns) = pause_ns.or_else(|| slot.permit_ns(&mut around.pace, now_ns)) {
            return Next::Wait(Wait::Until(due_ns));
        }
        let (address, source) = self.open(around);
        Next::Open(address, source)
    }

    /// The slot waits no more: what to do with its connection, `None` when it has none.
    pub fn wake(&mut self, around: &mut Surroundings<S>) -> Option<Step> {
        let slot = &mut around.slots[self.slot.index as usize];
        slot.wake();
        match self.state {
            State::Open if self.settling => Some(Step::Wait),
            State::Open => Some(self.proceed(false, around)),
            State::Idle => {
                // What it carries did not have to wait for it.
                if self.carries_request() {
                    slot.take();
                }
                None
            }
            // It is about to end, and is asked again then.
            _ => Some(Step::Wait),
        }
    }

    /// Takes up to `wanted` requests, and counts them as started. Those that are not the first of
    /// a batch belong to the same part of the run.
    pub(super) fn take(&mut self, wanted: Lane, only: Option<Part>, around: &mut Surroundings<S>) {
        let slot = &mut around.slots[self.slot.index as usize];
        // Whoever is idle the longest comes first, and that is not who became free just now.
        if only.is_none() && slot.free_ns().is_none() && around.pace.has_idle() {
            return;
        }
        let now_ns = around.now_ns;
        let intended_ns = &mut around.intended_ns;
        let grant = around.pace.take(wanted, only, now_ns, intended_ns);
        if grant.requests == 0 {
            return;
        }
        slot.part = grant.part;
        let free_ns = slot.free_ns().unwrap_or(now_ns);
        slot.take();
        let tally = around.tallies.of(grant.part);
        tally.start(grant.requests);
        let mut taken = 0;
        let lanes = around.exchanges.of_mut(self.slot.index).iter_mut();
        for exchange in lanes.filter(|exchange| exchange.stand == Stand::Free) {
            let due_ns = intended_ns.get(taken as usize).copied();
            if let Some(due_ns) = due_ns {
                tally.begin(due_ns, free_ns, now_ns);
            }
            *exchange = Exchange::taken(grant.part, due_ns);
            taken += 1;
            if taken == grant.requests {
                break;
            }
        }
        debug_assert_eq!(taken, grant.requests, "there is a lane for each");
        intended_ns.clear();
        self.flight.waiting += grant.requests;
    }
}
