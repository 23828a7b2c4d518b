//! What a session tells becomes counts and latencies at once.

use super::exchanges::{Exchange, Flight, NEVER, Stand};
use super::slot::Slot;
use crate::engine::failure::{Failure, Phase};
use crate::engine::session::{Answer, Events, Lane, Stage};
use crate::engine::tally::{Latencies, Tallies};

/// What a connection has to act upon once the session has taken what came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Bytes that nobody may send.
    pub(super) surplus: bool,
    /// The peer has not processed an exchange.
    pub(super) returned: bool,
    /// The session has named an exchange that it does not have.
    pub(super) contract_broken: bool,
}

/// Takes what a session tells of one connection.
pub(super) struct Told<'a> {
    pub(super) heard: &'a mut Heard,
    pub(super) flight: &'a mut Flight,
    pub(super) stage_from_ns: &'a mut u64,
    pub(super) lanes: &'a mut [Exchange],
    pub(super) slot: &'a mut Slot,
    pub(super) tallies: &'a mut Tallies,
    pub(super) now_ns: u64,
}

impl Told<'_> {
    /// The exchange of a lane, which is under way unless the session breaks its contract.
    #[inline]
    fn under_way(&mut self, lane: Lane) -> Option<&mut Exchange> {
        let exchange = self.lanes.get_mut(lane as usize);
        let exchange = exchange.filter(|exchange| exchange.stand == Stand::UnderWay);
        debug_assert!(exchange.is_some(), "no exchange is under way in lane {lane}");
        self.heard.contract_broken |= exchange.is_none();
        exchange
    }
}

impl Events for Told<'_> {
    #[inline]
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn passed(&mut self, stage: Stage) {
        let took_ns = self.now_ns - *self.stage_from_ns;
        self.tallies.current().passed(stage, took_ns);
        *self.stage_from_ns = self.now_ns;
    }

    #[inline]
    fn begun(&mut self, lane: Lane) {
        let now_ns = self.now_ns;
        if let Some(exchange) = self.under_way(lane)
            && exchange.first_byte_ns == NEVER
        {
            exchange.first_byte_ns = now_ns;
        }
    }

    #[inline]
    fn done(&mut self, lane: Lane, answer: Answer) {
        let now_ns = self.now_ns;
        let Some(exchange) = self.under_way(lane) else { return };
        let Exchange { part, intended_ns, begun_ns, handed_ns, first_byte_ns, .. } = *exchange;
        exchange.stand = Stand::Free;
        self.flight.under_way -= 1;
        self.flight.answered += 1;
        self.slot.succeed();
        let since_begun_ns = now_ns - begun_ns;
        let since_due_ns = (intended_ns != NEVER).then(|| now_ns - intended_ns);
        let tally = self.tallies.of(part);
        tally.respond(
            answer.status,
            Latencies {
                first_byte_ns: first_byte_ns.min(now_ns) - handed_ns,
                service_ns: now_ns - handed_ns,
                total_ns: since_due_ns.unwrap_or(since_begun_ns),
                // Those of a batch that were not due yet when it began did begin later.
                uncorrected_ns: since_due_ns.map(|since_due_ns| since_begun_ns.min(since_due_ns)),
            },
        );
        if let Some(code) = answer.code {
            tally.note_code(code);
        }
        match answer.verdict {
            Ok(()) => tally.succeed(now_ns),
            Err(kind) => tally.fail(Failure { phase: Phase::Verify, kind }, 1, now_ns),
        }
    }

    fn failed(&mut self, lane: Lane, failure: Failure) {
        let now_ns = self.now_ns;
        let Some(exchange) = self.under_way(lane) else { return };
        let part = exchange.part;
        exchange.stand = Stand::Free;
        self.flight.under_way -= 1;
        self.slot.fail(failure);
        self.tallies.of(part).fail(failure, 1, now_ns);
    }

    fn returned(&mut self, lane: Lane) {
        if self.under_way(lane).is_some() {
            self.flight.carry(&mut self.lanes[lane as usize]);
            self.heard.returned = true;
        }
    }

    fn late(&mut self) {
        self.tallies.current().counters.late += 1;
    }

    fn message(&mut self, _bytes: usize) {
        self.tallies.current().counters.messages += 1;
    }

    fn surplus(&mut self) {
        self.heard.surplus = true;
        self.tallies.current().counters.surplus += 1;
    }
}
