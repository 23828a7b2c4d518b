//! Which requests of a connection that has ended are sent again, on the next one.
//!
//! ```text
//!   the end was announced in an answer ──► what was asked behind it was not processed ─► again
//!   the end came unannounced, on a connection that has answered before:
//!        requests   1 answered   2 answered   3     4        5        6
//!        bytes     ──────────────────────────────────────┤ as far as the peer has them
//!                                             ╰ lost ╯   ╰── not read: again ──╯
//! ```
//!
//! A peer that closes a connection which it takes for idle sends its FIN before it has the request:
//! the FIN does not acknowledge it, and what answers it is a RST. When the request came first, the
//! FIN acknowledges it: the peer had it, and did not answer (a close with unread bytes sends a RST
//! and no FIN). A RST without a FIN acknowledges nothing, and may come after the peer has read what
//! it never acknowledged: then only what was not sent at all is known not to have been read.
//!
//! So nothing is sent twice that the peer may have processed, whatever the method.
//!
//! One case looks like a loss and is none: a peer that closes only its own side (`shutdown`) and
//! acknowledges what comes afterwards, before this side has looked. It counts as a failure.

use super::exchanges::{Exchange, NEVER, Stand};
use super::{Connection, PendingFailure, State, Step, Surroundings, Told, listener};
use crate::engine::driver::{Extent, Op};
use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::session::Session;
use std::io;

/// A held connection that has lived for longer does not count among failed attempts in a row.
const LIVED_NS: u64 = 1_000_000_000;

impl<S: Session> Connection<S> {
    /// When the time is over for the requests that are carried to the next connection.
    pub(super) fn carried_end_ns(&self, around: &Surroundings<S>) -> u64 {
        let lanes = around.exchanges.of(self.slot.index).iter();
        let carried = lanes.filter(|exchange| exchange.stand == Stand::Waiting);
        let first_ns = carried.map(|exchange| self.end_ns(exchange, around)).min();
        first_ns.unwrap_or(self.opened_ns.saturating_add(around.policy.timeout_ns))
    }

    /// When the time of an exchange is over: one that was never handed over waits for the connection
    /// since that was opened.
    pub(super) fn end_ns(&self, exchange: &Exchange, around: &Surroundings<S>) -> u64 {
        let begun_ns = if exchange.begun_ns == NEVER { self.opened_ns } else { exchange.begun_ns };
        begun_ns.saturating_add(around.policy.timeout_ns)
    }

    /// The peer has closed its side.
    pub(super) fn ended(&mut self, around: &mut Surroundings<S>) -> Step {
        if self.in_flight() == 0 {
            return match self.session.stage() {
                Some(_) => self.set_up_failed(Kind::Eof, around),
                None => self.ended_idle(around),
            };
        }
        let mut told = listener!(self, around);
        self.session.ended(&mut around.shared, &mut told);
        self.look_at_returned(around);
        if self.heard.contract_broken {
            return self.fail(Failure::response(Kind::Contract), around);
        }
        if self.flight.begun == 0 {
            return self.set_up_failed(Kind::Eof, around);
        }
        if self.flight.under_way == 0 {
            return self.close(around.now_ns);
        }
        // A send that meets a reset takes the error away, and leaves what looks like an end without
        // one. After a FIN it meets EPIPE.
        let extent = match self.fault {
            PendingFailure::None => Extent::Acknowledged,
            PendingFailure::Send(errno) if i32::from(errno) == libc::EPIPE => Extent::Acknowledged,
            _ => Extent::Sent,
        };
        self.cut_off(PendingFailure::Eof, extent, around)
    }

    /// The connection is gone, and nothing was asked on it.
    pub(super) fn ended_idle(&mut self, around: &mut Surroundings<S>) -> Step {
        if self.state != State::Lingering {
            around.tallies.current().counters.closed_idle += 1;
            // One that is held is opened again, and not at once.
            if around.policy.holds {
                let slot = &mut around.slots[self.slot.index as usize];
                if around.now_ns.saturating_sub(self.opened_ns) > LIVED_NS {
                    slot.succeed();
                }
                slot.fail(Failure::response(Kind::Eof));
            }
        }
        self.close(around.now_ns)
    }

    /// Counts what the peer has said that it did not process.
    pub(super) fn look_at_returned(&mut self, around: &mut Surroundings<S>) {
        if std::mem::take(&mut self.heard.returned) {
            let part = around.slots[self.slot.index as usize].part;
            let counters = &mut around.tallies.of(part).counters;
            counters.cut_short += 1;
            counters.cut_short_answers += self.flight.answered;
        }
    }

    /// The socket broke.
    pub(super) fn broken(&mut self, errno: i32, around: &mut Surroundings<S>) -> Step {
        let failure = Failure::errno(Phase::Receive, errno);
        match self.in_flight() {
            0 if self.session.stage().is_none() => self.ended_idle(around),
            _ if self.flight.begun == 0 => {
                self.fail(self.fault.failure().unwrap_or(failure), around)
            }
            _ if self.flight.under_way == 0 => self.close(around.now_ns),
            _ => self.cut_off(PendingFailure::Receive(errno as u16), Extent::Sent, around),
        }
    }

    /// The connection has ended without a word, and answers are owed. The peer can have read what
    /// has come as far as `extent`.
    fn cut_off(
        &mut self,
        fault: PendingFailure,
        extent: Extent,
        around: &mut Surroundings<S>,
    ) -> Step {
        let fault = self.fault.get_or_insert(fault);
        // A fresh connection was not closed for being idle.
        if self.flight.answered == 0
            && let Some(failure) = fault.failure()
        {
            return self.fail(failure, around);
        }
        self.state = State::Asking;
        self.outstanding.insert(Op::Extent);
        Step::Ask(extent)
    }

    /// The kernel says how many bytes of the connection the peer can have.
    pub(super) fn told(&mut self, bytes: io::Result<usize>, around: &mut Surroundings<S>) -> Step {
        // Where the kernel does not say, nothing shows that they were not read.
        let known = bytes.is_ok();
        let reached =
            bytes.map_or(u64::MAX, |bytes| self.session.reached(&around.shared, bytes as u64));
        let failure = self.fault.failure().unwrap_or(Failure::response(Kind::Eof));
        let (mut lost, mut begun) = (0, 0);
        for lane in 0..around.exchanges.of(self.slot.index).len() {
            let one = around.exchanges.of(self.slot.index)[lane];
            let has_begun = one.first_byte_ns != NEVER;
            if one.stand == Stand::UnderWay && (has_begun || u64::from(one.serial) < reached) {
                lost += 1;
                begun += u64::from(has_begun);
                self.lose_lane(lane, failure, around);
            }
        }
        let slot = &mut around.slots[self.slot.index as usize];
        if lost > 0 {
            slot.fail(failure);
        }
        let counters = &mut around.tallies.of(slot.part).counters;
        match failure.phase {
            _ if lost == 0 => counters.closed_idle += 1,
            Phase::Response if known => counters.lost += lost - begun,
            _ => {}
        }
        // The others go to the next connection, and keep their times; this one ends.
        for exchange in around.exchanges.of_mut(self.slot.index) {
            if exchange.stand == Stand::UnderWay {
                self.flight.carry(exchange);
            }
        }
        self.close(around.now_ns)
    }
}
