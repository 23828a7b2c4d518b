//! From a free slot to an open connection, by way of other source ports and other addresses where the
//! first ones do not do.

use super::exchanges::close_ranks;
use super::retry::PortRetry;
use super::{Connection, Heard, PendingFailure, State, Step, Surroundings, errno, route};
use crate::engine::driver::Op;
use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::session::{Session, Stage};
use std::io;
use std::net::SocketAddr;

impl<S: Session> Connection<S> {
    /// Begins a connection for the requests that are carried; returns the number of the address to
    /// open, and where to open it from.
    pub(super) fn open(&mut self, around: &mut Surroundings<S>) -> (usize, Option<SocketAddr>) {
        debug_assert_eq!(self.state, State::Idle);
        debug_assert!(self.outstanding.is_empty());
        let now_ns = around.now_ns;
        self.slot = self.slot.next();
        self.state = State::Opening;
        self.outstanding.insert(Op::Connect);
        self.flight.open();
        if self.carries_request() {
            close_ranks(around.exchanges.of_mut(self.slot.index));
        }
        // Trying another port or address goes on with the same connection: its time has begun
        // already.
        let slot = &mut around.slots[self.slot.index as usize];
        slot.open();
        if slot.is_new() {
            self.opened_ns = now_ns;
            slot.address = around.route.next(now_ns) as u32;
        }
        let address = slot.address as usize;
        let attempt_ns = now_ns.saturating_add(around.route.attempt_ns(around.policy.timeout_ns));
        self.deadline_ns = attempt_ns.min(self.carried_end_ns(around));
        self.fault = PendingFailure::None;
        (address, around.ports.next(address))
    }

    pub(super) fn opened(
        &mut self,
        op: Op,
        result: io::Result<usize>,
        around: &mut Surroundings<S>,
    ) -> Step {
        if let Err(error) = result {
            let phase = match op {
                Op::Socket | Op::Option => Phase::Socket,
                Op::Bind => Phase::Bind,
                _ => Phase::Connect,
            };
            return self.not_opened(Failure::errno(phase, errno(&error)), around);
        }
        let now_ns = around.now_ns;
        let slot = &mut around.slots[self.slot.index as usize];
        let address = slot.address as usize;
        slot.retry = PortRetry::default();
        slot.tried = 0;
        around.route.accepted(address, now_ns);
        around.tallies.of(slot.part).connected(address, now_ns - self.opened_ns);
        self.state = State::Open;
        self.settling = false;
        self.heard = Heard::default();
        self.stage_from_ns = now_ns;
        // The time for a request includes connecting, and all addresses that were tried.
        self.session.open(&mut around.shared);
        self.deadline_ns = match self.flight.waiting {
            0 => self.stage_end_ns(around),
            _ => self.carried_end_ns(around),
        };
        self.proceed(false, around)
    }

    /// When the time is over for the stage that the connection is in, if it is in one.
    pub(super) fn stage_end_ns(&self, around: &Surroundings<S>) -> u64 {
        match self.session.stage() {
            Some(_) => self.opened_ns.saturating_add(around.policy.timeout_ns),
            None => u64::MAX,
        }
    }

    /// Whether the address that is tried is silent, and there is another one to try instead.
    pub(super) fn is_in_vain(&self, around: &Surroundings<S>) -> bool {
        let slot = &around.slots[self.slot.index as usize];
        let (address, now_ns) = (slot.address as usize, around.now_ns);
        around.route.is_silent(address, now_ns)
            && around.route.instead_of(address, slot.tried, now_ns).is_some()
    }

    pub(super) fn not_opened(&mut self, failure: Failure, around: &mut Surroundings<S>) -> Step {
        let now_ns = around.now_ns;
        let left_ns = self.carried_end_ns(around).saturating_sub(now_ns);
        let slot = &mut around.slots[self.slot.index as usize];
        let address = slot.address as usize;
        let lap = around.ports.tries(address);
        let tally = around.tallies.of(slot.part);
        if slot.retry.goes_on(failure, lap, left_ns, &mut tally.counters) {
            return self.close(now_ns);
        }
        slot.retry = PortRetry::default();
        tally.not_connected(address);
        if around.route.refused(address, failure, now_ns) {
            tally.lose(address, failure, now_ns);
        }
        let other = around.route.instead_of(address, slot.tried, now_ns);
        if let Some(other) = other.filter(|_| left_ns > 0 && route::is_of_the_address(failure)) {
            slot.address = other as u32;
            slot.tried += 1;
            return self.close(now_ns);
        }
        slot.tried = 0;
        self.fail(failure, around)
    }

    /// The connection has not come so far that it could carry an exchange.
    pub(super) fn set_up_failed(&mut self, kind: Kind, around: &mut Surroundings<S>) -> Step {
        let phase = match self.session.stage() {
            Some(Stage::Tls) => Phase::Tls,
            Some(Stage::Setup) | None => Phase::Setup,
        };
        self.fail(self.fault.failure().unwrap_or(Failure { phase, kind }), around)
    }
}
