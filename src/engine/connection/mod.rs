//! One slot's state machine: a completion goes in, a step comes out. No system calls, no clock.
//!
//! ```text
//!            open             connected                 the last answer
//!   Idle ──────────► Opening ──────────► Open ───────────► Lingering
//!    ▲                  │                 │ ▲ ╲               │ (waits for the peer's FIN)
//!    │                  │ failed          │ ╰──╯ exchanges    │
//!    │                  ▼                 ▼                   │
//!    └────────────── Closing ◄───────── Asking ◄──────────────┘
//!      nothing outstanding
//! ```
//!
//! While it is `Open` a receive is always under way, and all that comes goes to the session. After
//! everything that happens the connection sends what the session has to say, and begins exchanges
//! where the session has room and the pace has requests. One that has neither an exchange nor a
//! request rests: a peer that closes it meanwhile costs no request.
//!
//! A kept connection that ends while it owes answers is `Asking` before it closes: the kernel says
//! which of the requests the peer cannot have read, and the next connection carries those (see
//! `resend`).
//!
//! Whatever happens, a slot comes back to `Idle`: a failed operation and a peer that went away lead
//! there by completions, silence leads there by the deadline. A slot leaves `Closing` only when the
//! kernel has answered every operation, because until then it may still write to the buffer.

mod begin;
mod exchanges;
mod opening;
mod outstanding;
mod resend;
mod retry;
mod route;
mod slot;
mod times;
mod told;
mod waiting;

use crate::engine::driver::{Demand, Extent, Op, SlotId};
use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::pace::{Pace, Wait};
use crate::engine::policy::{CloseMode, Policy};
use crate::engine::ports::Rotation;
use crate::engine::session::{Room, Session};
use crate::engine::tally::{Part, Tallies};
pub use exchanges::Exchanges;
use exchanges::{Exchange, Flight, NEVER, Stand};
pub use outstanding::Outstanding;
pub use route::Route;
pub use slot::Slot;
use std::io;
use told::{Heard, Told};
pub use waiting::Next;

/// How long a peer that was asked to close may take for it once its answer is whole.
const LINGER_NS: u64 = 200_000_000;

/// How often a connection that has no room looks whether there is anything left to do.
const PAUSE_LOOK_NS: u64 = 100_000_000;

/// How soon the kernel is asked again to end an operation.
const CANCEL_AGAIN_NS: u64 = 50_000_000;

/// What a connection needs of its worker.
pub struct Surroundings<S: Session> {
    /// The rules.
    pub policy: Policy,
    /// What the sessions share.
    pub shared: S::Shared,
    /// Whether more requests may be started.
    pub pace: Pace,
    /// Where to connect to.
    pub route: Route,
    /// Where to connect from.
    pub ports: Rotation,
    /// The slots.
    pub slots: Vec<Slot>,
    /// The exchanges of all slots.
    pub exchanges: Exchanges,
    /// When each of the requests was due that were taken last; empty between two turns.
    pub intended_ns: Vec<u64>,
    /// Where it is all counted.
    pub tallies: Tallies,
    /// The time of this turn.
    pub now_ns: u64,
}

/// What the worker has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until the next completion or the deadline.
    Wait,
    /// At the end of the turn, send what there is to send, and receive unless that is under way.
    Go,
    /// The same, and let the slot wait for its next request.
    Rest(Wait),
    /// Ask how far the bytes of the connection have come.
    Ask(Extent),
    /// End what is outstanding ([`Connection::outstanding`]).
    Cancel,
    /// Give the socket back; the slot is free.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Opening,
    Open,
    /// The peer has ended it, and owes answers: how far have the requests come?
    Asking,
    /// All is answered; the peer is to close.
    Lingering,
    /// Waiting for the kernel to answer what is outstanding.
    Closing,
}

/// What went wrong first, where it has no effect yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingFailure {
    None,
    /// Sending met this errno.
    Send(u16),
    /// Receiving did.
    Receive(u16),
    /// The peer's end.
    Eof,
}

impl PendingFailure {
    fn failure(self) -> Option<Failure> {
        match self {
            PendingFailure::None => None,
            PendingFailure::Send(errno) => Some(Failure::errno(Phase::Send, errno.into())),
            PendingFailure::Receive(errno) => Some(Failure::errno(Phase::Receive, errno.into())),
            PendingFailure::Eof => Some(Failure::response(Kind::Eof)),
        }
    }

    fn get_or_insert(&mut self, fault: PendingFailure) -> PendingFailure {
        if *self == PendingFailure::None {
            *self = fault;
        }
        *self
    }
}

/// The connection in a slot. All that a request on a kept one touches lies in two cache lines, where
/// the session is as small as that of HTTP/1.1.
#[derive(Debug)]
#[repr(align(64))]
pub struct Connection<S> {
    session: S,
    slot: SlotId,
    state: State,
    outstanding: Outstanding,
    /// The latest receive was one whose bytes nobody sees.
    discarding: bool,
    /// The socket has more although nothing is asked for: see what it is before asking again.
    settling: bool,
    /// It is on the worker's list of those that may have something to send.
    listed: bool,
    heard: Heard,
    /// An answer, if one comes all the same, has the last word, and so has the kernel where it knows
    /// that the requests were not read.
    fault: PendingFailure,
    /// Bytes of the session whose sending will be told; a send takes fewer than 2^31.
    sending_bytes: u32,
    flight: Flight,
    opened_ns: u64,
    /// When the stage began that the connection is in.
    stage_from_ns: u64,
    deadline_ns: u64,
}

/// Calls the session with a place for what it tells.
macro_rules! listener {
    ($connection:ident, $around:ident) => {
        Told {
            heard: &mut $connection.heard,
            flight: &mut $connection.flight,
            stage_from_ns: &mut $connection.stage_from_ns,
            slot: &mut $around.slots[$connection.slot.index as usize],
            lanes: $around.exchanges.of_mut($connection.slot.index),
            tallies: &mut $around.tallies,
            now_ns: $around.now_ns,
        }
    };
}
use listener;

impl<S: Session> Connection<S> {
    /// None yet, in this slot.
    pub fn new(index: u32, shared: &S::Shared) -> Connection<S> {
        Connection {
            session: S::new(shared),
            slot: SlotId { index, generation: 0 },
            state: State::Idle,
            outstanding: Outstanding::default(),
            discarding: false,
            settling: false,
            listed: false,
            heard: Heard::default(),
            fault: PendingFailure::None,
            sending_bytes: 0,
            flight: Flight::default(),
            opened_ns: 0,
            stage_from_ns: 0,
            deadline_ns: u64::MAX,
        }
    }

    /// The slot and the generation of its connection.
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    fn index(&self) -> usize {
        self.slot.index as usize
    }

    /// What the kernel has not answered yet.
    pub fn outstanding(&self) -> Outstanding {
        self.outstanding
    }

    /// Requests started on this slot and not ended.
    pub fn in_flight(&self) -> u32 {
        self.flight.waiting + self.flight.under_way
    }

    /// Those of the measurement among them that have waited for longer than this.
    pub fn overdue(&self, exchanges: &Exchanges, now_ns: u64, longest_ns: u64) -> u32 {
        let waits = |exchange: &&Exchange| {
            let begun_ns = match exchange.begun_ns {
                NEVER if self.state == State::Idle => return false,
                NEVER => self.opened_ns,
                begun_ns => begun_ns,
            };
            exchange.stand != Stand::Free
                && exchange.part == Part::Measured
                && now_ns.saturating_sub(begun_ns) > longest_ns
        };
        exchanges.of(self.slot.index).iter().filter(waits).count() as u32
    }

    /// Whether the next connection carries a request that has been started already.
    pub fn carries_request(&self) -> bool {
        self.flight.waiting > 0
    }

    /// Whether there is to be a next connection although the slot waits.
    pub fn is_wanted(&self, policy: &Policy) -> bool {
        self.carries_request() || policy.holds
    }

    /// When [`Connection::expire`] is due; `u64::MAX` for never.
    pub fn deadline_ns(&self) -> u64 {
        match self.state {
            State::Open => self.deadline_ns.min(self.session.wake_ns()),
            _ => self.deadline_ns,
        }
    }

    /// Puts it on the list of those that may have something to send; whether it was not there yet.
    pub fn list(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }

    /// Takes it off that list; whether it can still send and receive.
    pub fn unlist(&mut self) -> bool {
        self.listed = false;
        matches!(self.state, State::Open | State::Lingering)
    }

    /// The bytes to send now; none while a send is under way: the kernel may exchange two of them.
    pub fn outgoing<'a>(&'a mut self, shared: &'a mut S::Shared) -> &'a [u8] {
        match self.outstanding.contains(Op::Send) || self.fault != PendingFailure::None {
            true => &[],
            false => self.session.outgoing(shared),
        }
    }

    /// The driver took `taken` bytes over; `confirmed` when a completion will follow.
    pub fn handed_over(&mut self, taken: usize, confirmed: bool, shared: &mut S::Shared) {
        if confirmed {
            self.sending_bytes = taken as u32;
            self.outstanding.insert(Op::Send);
        } else {
            self.session.sent(shared, taken);
        }
    }

    /// What to receive next, unless a receive is under way.
    pub fn demand(&mut self, policy: &Policy) -> Option<Demand> {
        if self.outstanding.contains(Op::Receive) {
            return None;
        }
        let opaque = if self.state == State::Open { self.session.opaque() } else { 0 };
        self.discarding = opaque >= policy.discard_from_bytes;
        self.outstanding.insert(Op::Receive);
        Some(if self.discarding { Demand::Discard(opaque) } else { Demand::Read })
    }

    /// Takes a completion of this connection. `bytes` are those of a [`Demand::Read`]; `more`
    /// tells that the socket has more. `None` when no such operation was outstanding.
    pub fn complete(
        &mut self,
        op: Op,
        result: io::Result<usize>,
        bytes: &[u8],
        more: bool,
        around: &mut Surroundings<S>,
    ) -> Option<Step> {
        let expected = self.outstanding.remove(op);
        // A send that is not confirmed still tells of its failure.
        let late_send_failure = op == Op::Send
            && result.is_err()
            && !matches!(self.state, State::Idle | State::Opening);
        if !expected && !late_send_failure {
            return None;
        }
        Some(match (self.state, op) {
            (State::Closing, _) => self.settle_closing(),
            (State::Opening, op) => self.opened(op, result, around),
            (_, Op::Send) => self.sent(result, around),
            (State::Open | State::Lingering, Op::Receive) => match result {
                Ok(0) => self.ended(around),
                Ok(count) => {
                    around.tallies.current().counters.bytes_read += count as u64;
                    self.received(count, bytes, more, around)
                }
                Err(error) => self.broken(errno(&error), around),
            },
            (State::Asking, Op::Extent) => self.told(result, around),
            (_, _) => return None,
        })
    }

    fn sent(&mut self, result: io::Result<usize>, around: &mut Surroundings<S>) -> Step {
        match result {
            Ok(_) => {
                let count = std::mem::take(&mut self.sending_bytes) as usize;
                self.session.sent(&mut around.shared, count);
                match self.state {
                    State::Open if !self.settling => self.proceed(false, around),
                    _ => Step::Go,
                }
            }
            Err(error) => {
                self.fault.get_or_insert(PendingFailure::Send(errno(&error) as u16));
                // The peer may have answered before it broke off; the receive will tell.
                Step::Wait
            }
        }
    }

    fn received(
        &mut self,
        count: usize,
        bytes: &[u8],
        more: bool,
        around: &mut Surroundings<S>,
    ) -> Step {
        self.settling = false;
        let mut told = listener!(self, around);
        let taken = match self.discarding {
            true => {
                self.session.skipped(&mut around.shared, count as u64, &mut told);
                Ok(())
            }
            false => self.session.received(&mut around.shared, bytes, &mut told),
        };
        if let Err(failure) = taken {
            return self.fail(failure, around);
        }
        match self.state {
            State::Lingering if self.heard.surplus => self.close(around.now_ns),
            State::Lingering => Step::Go,
            _ => self.proceed(more, around),
        }
    }

    /// Goes on with an open connection after something has happened; the socket may have `more`.
    fn proceed(&mut self, more: bool, around: &mut Surroundings<S>) -> Step {
        self.look_at_returned(around);
        if self.heard.contract_broken {
            return self.fail(Failure::response(Kind::Contract), around);
        }
        let room = self.session.room();
        if self.flight.under_way == 0 {
            let is_fresh = self.flight.begun == 0 && self.flight.waiting > 0;
            // Broken on the way out, whatever has come in.
            if let Some(failure) = self.fault.failure() {
                return match is_fresh {
                    true => self.fail(failure, around),
                    false => self.close(around.now_ns),
                };
            }
            match room {
                // Another connection would come no further.
                Room::Ends | Room::PeerEnds if is_fresh => {
                    return self.set_up_failed(Kind::Eof, around);
                }
                Room::Ends | Room::PeerEnds if self.flight.begun == 0 => {
                    return self.ended_idle(around);
                }
                Room::Ends => return self.close(around.now_ns),
                Room::PeerEnds if self.flight.waiting > 0 => return self.close(around.now_ns),
                Room::PeerEnds => return self.leave(around),
                Room::Full if self.flight.waiting > 0 => {
                    self.deadline_ns = self.carried_end_ns(around);
                    return Step::Go;
                }
                Room::Full => {
                    let is_asked = self.flight.begun > 0 && self.has_had_its_share(&around.policy);
                    if is_asked || around.pace.is_over(around.now_ns) {
                        return self.close(around.now_ns);
                    }
                    // Others may use up the quota meanwhile.
                    let again_ns = match around.pace.has_quota() {
                        true => around.now_ns + PAUSE_LOOK_NS,
                        false => u64::MAX,
                    };
                    self.deadline_ns = self.stage_end_ns(around).min(again_ns);
                    return Step::Go;
                }
                Room::For(_) if self.flight.waiting > 0 => {}
                Room::For(_) => {
                    self.deadline_ns = u64::MAX;
                    if self.has_had_its_share(&around.policy) {
                        return self.leave(around);
                    }
                    if around.pace.is_over(around.now_ns) {
                        return self.close(around.now_ns);
                    }
                    if more {
                        self.settling = true;
                        self.deadline_ns = around.now_ns + LINGER_NS;
                        return Step::Go;
                    }
                }
            }
        }
        let Room::For(room) = room else { return Step::Go };
        // What cannot be sent is not begun.
        if self.fault != PendingFailure::None {
            return Step::Go;
        }
        self.take_and_begin(room, around)
    }

    /// All is answered that the connection was to carry.
    fn leave(&mut self, around: &Surroundings<S>) -> Step {
        if around.policy.close != CloseMode::Server {
            return self.close(around.now_ns);
        }
        self.state = State::Lingering;
        self.deadline_ns = around.now_ns + LINGER_NS;
        Step::Go
    }

    /// What is under way has failed, or what waits where nothing could be handed over (what has time
    /// left waits on where another was late), or the connection alone where nothing was asked; and it
    /// ends.
    fn fail(&mut self, failure: Failure, around: &mut Surroundings<S>) -> Step {
        let stand = if self.flight.begun > 0 { Stand::UnderWay } else { Stand::Waiting };
        let before = self.in_flight();
        for lane in 0..around.exchanges.of(self.slot.index).len() {
            if self.in_flight() == 0 {
                break;
            }
            let exchange = &around.exchanges.of(self.slot.index)[lane];
            let has_time = stand == Stand::Waiting
                && failure.kind == Kind::Timeout
                && self.end_ns(exchange, around) > around.now_ns;
            if exchange.stand == stand && !has_time {
                self.lose_lane(lane, failure, around);
            }
        }
        if before == 0 {
            around.tallies.current().break_off(failure, around.now_ns);
        }
        if before == 0 || self.in_flight() < before {
            around.slots[self.slot.index as usize].fail(failure);
        }
        self.close(around.now_ns)
    }

    /// An exchange has failed.
    fn lose_lane(&mut self, lane: usize, failure: Failure, around: &mut Surroundings<S>) {
        let exchange = &mut around.exchanges.of_mut(self.slot.index)[lane];
        let tally = around.tallies.of(exchange.part);
        let timed_out = failure.kind == Kind::Timeout && exchange.stand == Stand::UnderWay;
        if timed_out && exchange.first_byte_ns != NEVER {
            tally.stall(exchange.first_byte_ns - exchange.handed_ns);
        }
        tally.fail(failure, 1, around.now_ns);
        self.flight.end(exchange);
    }

    fn close(&mut self, now_ns: u64) -> Step {
        self.state = State::Closing;
        if self.outstanding.is_empty() {
            return self.settle_closing();
        }
        // `expire` cancels once more should the kernel not answer.
        self.deadline_ns = now_ns + CANCEL_AGAIN_NS;
        Step::Cancel
    }

    fn settle_closing(&mut self) -> Step {
        if !self.outstanding.is_empty() {
            return Step::Wait;
        }
        self.state = State::Idle;
        self.deadline_ns = u64::MAX;
        Step::Close
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::session::http1::Http1;

    /// What a turn touches of a kept connection lies in two cache lines, and an idle one is small.
    #[test]
    fn a_connection_is_two_cache_lines_and_its_slot_and_its_exchange_are_less_than_one_each() {
        assert_eq!((size_of::<Connection<Http1>>(), align_of::<Connection<Http1>>()), (128, 64));
        assert!(size_of::<Slot>() <= 32, "{}", size_of::<Slot>());
        assert!(size_of::<Exchange>() <= 40, "{}", size_of::<Exchange>());
    }
}
