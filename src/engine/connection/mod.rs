//! One slot's state machine: a completion goes in, a step comes out. No system calls, no clock.
//!
//! ```text
//!            open                    answers whole, more to ask
//!   Idle ──────────► Opening ──────► Exchanging ◄──────────► Settling, Resting
//!    ▲                  │                │ │                    │
//!    │                  │ failed         │ │ the last answer    │ the peer has closed,
//!    │                  ▼                │ ▼                    │ or sent too much
//!    └────────────── Closing ◄───────────┴─ Lingering ◄─────────┘
//!      nothing outstanding                 (waits for the peer's FIN)
//! ```
//!
//! A kept connection that ends while it owes answers is `Asking` before it closes: the kernel says
//! which of the requests the peer cannot have read, and the next connection carries those (see
//! `resend`).
//!
//! An open connection without a request (its next one is not due yet, or the slot thinks) is
//! `Resting`, with a receive under way: a peer that closes it meanwhile costs no request.
//!
//! Whatever happens, a slot comes back to `Idle`: a failed operation and a peer that went away lead
//! there by completions, silence leads there by the deadline. A slot leaves `Closing` only when the
//! kernel has answered every operation, because until then it may still write to the buffer.

mod outstanding;
mod resend;
mod retry;
mod route;
mod waiting;

use crate::engine::driver::{Demand, Extent, Op, Slot};
use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::pace::Pace;
use crate::engine::policy::{CloseMode, Policy};
use crate::engine::ports::Rotation;
use crate::engine::session::{Answer, Event, Next, Session};
use crate::engine::tally::{Latencies, Part, Tallies};
pub use outstanding::Outstanding;
use retry::PortRetry;
pub use route::Route;
use std::io;
use std::net::SocketAddr;

/// How long a peer that was asked to close may take for it once its answer is whole.
const LINGER_NS: u64 = 200_000_000;

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
    /// Send [`Connection::outgoing`] and receive the answer.
    Exchange,
    /// Send what is left of [`Connection::outgoing`].
    Send,
    /// Receive ([`Connection::demand`]).
    Receive,
    /// Receive unless that is under way, and wait for the slot's next turn to ask for a request.
    Rest,
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
    Exchanging,
    /// The socket has more although nothing is asked for: see what it is before asking again.
    Settling,
    /// The peer has ended it, and owes answers: how far have the requests come?
    Asking,
    /// All is answered, and the next request is not there yet.
    Resting,
    /// All is answered; the peer is to close.
    Lingering,
    /// Waiting for the kernel to answer what is outstanding.
    Closing,
}

/// One slot and the connection in it.
#[derive(Debug)]
pub struct Connection<S> {
    session: S,
    slot: Slot,
    state: State,
    outstanding: Outstanding,
    /// The latest receive was one whose bytes nobody sees.
    discarding: bool,
    /// Bytes of the answer that is awaited have come.
    answer_begun: bool,
    /// The peer will not answer another request here.
    exhausted: bool,
    /// The slot has rested, and thought, since its last request.
    rested: bool,
    /// The slot waits until the worker wakes it.
    waits: bool,
    /// Since when it waits for nothing but a request.
    free_ns: Option<u64>,
    /// The next connection may be opened.
    permitted: bool,
    /// Requests that were started and have to be sent on a new connection.
    carried: u32,
    /// They have been sent on another one before, and began then.
    again: bool,
    /// Source ports that were taken when this connection tried them.
    retry: PortRetry,
    /// The number of the address that this connection goes to.
    address: u32,
    /// Other addresses that did not accept it before.
    tried: u32,
    /// Requests handed over at once, and how many of them the peer has not answered.
    batch: u32,
    owed: u32,
    /// What they belong to.
    part: Part,
    /// In an open loop, when each of them was due.
    intended_ns: Vec<u64>,
    /// Failed attempts in a row.
    failures: u32,
    /// The latest of them.
    latest_failure: Option<Failure>,
    /// Answers that have come on this connection.
    answered: u64,
    /// Requests begun on this connection.
    begun: u64,
    opened_ns: u64,
    /// When the current batch began, or the one that is carried: the first one of a connection has
    /// waited for it, and one that is sent again began when it was sent first.
    begun_ns: u64,
    /// When the current batch was handed over.
    handed_ns: u64,
    /// When the first byte of the awaited answer came.
    first_byte_ns: u64,
    deadline_ns: u64,
    /// What went wrong first. An answer, if one comes all the same, has the last word, and so has the
    /// kernel where it knows that the requests were not read.
    fault: Option<Failure>,
}

impl<S: Session> Connection<S> {
    /// A free slot, which has nothing to rest from. In an open loop up to `intended` requests are
    /// handed over at once.
    pub fn new(index: u32, intended: usize, shared: &S::Shared) -> Connection<S> {
        Connection {
            session: S::new(shared),
            slot: Slot { index, generation: 0 },
            state: State::Idle,
            outstanding: Outstanding::default(),
            discarding: false,
            answer_begun: false,
            exhausted: false,
            rested: true,
            waits: false,
            free_ns: None,
            permitted: false,
            carried: 0,
            again: false,
            retry: PortRetry::default(),
            address: 0,
            tried: 0,
            batch: 0,
            owed: 0,
            part: Part::Measured,
            intended_ns: Vec::with_capacity(intended),
            failures: 0,
            latest_failure: None,
            answered: 0,
            begun: 0,
            opened_ns: 0,
            begun_ns: 0,
            handed_ns: 0,
            first_byte_ns: 0,
            deadline_ns: u64::MAX,
            fault: None,
        }
    }

    /// The slot and the generation of its connection.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// What the kernel has not answered yet.
    pub fn outstanding(&self) -> Outstanding {
        self.outstanding
    }

    /// Requests started on this slot and not ended.
    pub fn in_flight(&self) -> u32 {
        self.owed + self.carried
    }

    /// Those of the measurement among them that have waited for longer than this.
    pub fn overdue(&self, now_ns: u64, longest_ns: u64) -> u32 {
        let opening = self.state == State::Opening && !self.again;
        let begun_ns = if opening { self.opened_ns } else { self.begun_ns };
        let waits = self.part == Part::Measured && now_ns.saturating_sub(begun_ns) > longest_ns;
        if waits { self.in_flight() } else { 0 }
    }

    /// When every source port was still closing: how long to wait before the request that is
    /// carried tries again. Told once.
    pub fn take_pause_ns(&mut self) -> Option<u64> {
        self.retry.take_pause_ns()
    }

    /// Whether the next connection carries a request that has been started already.
    pub fn carries_request(&self) -> bool {
        self.carried > 0
    }

    /// When [`Connection::expire`] is due; `u64::MAX` for never.
    pub fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// The bytes to send now.
    pub fn outgoing<'a>(&'a self, shared: &'a S::Shared) -> &'a [u8] {
        self.session.outgoing(shared)
    }

    /// What to receive next.
    pub fn demand(&mut self, policy: &Policy) -> Demand {
        let opaque = if self.state == State::Exchanging { self.session.opaque() } else { 0 };
        self.discarding = opaque >= policy.discard_from_bytes;
        self.outstanding.insert(Op::Receive);
        if self.discarding { Demand::Discard(opaque) } else { Demand::Read }
    }

    /// Begins a connection for the requests that are carried; returns the number of the address to
    /// open, and where to open it from.
    pub fn open(
        &mut self,
        policy: &Policy,
        route: &mut Route,
        ports: &mut Rotation,
        now_ns: u64,
    ) -> (usize, Option<SocketAddr>) {
        debug_assert_eq!(self.state, State::Idle);
        debug_assert!(self.outstanding.is_empty());
        self.session.reset();
        self.slot = self.slot.next();
        self.state = State::Opening;
        self.outstanding.insert(Op::Connect);
        self.permitted = false;
        self.rested = false;
        self.exhausted = false;
        self.answer_begun = false;
        (self.answered, self.begun) = (0, 0);
        // Trying another port or address goes on with the same connection: its time has begun
        // already.
        if self.retry.is_first() && self.tried == 0 {
            self.opened_ns = now_ns;
            self.address = route.next(now_ns) as u32;
        }
        let address = self.address as usize;
        let attempt_ns = now_ns.saturating_add(route.attempt_ns(policy.timeout_ns));
        self.deadline_ns = attempt_ns.min(self.carried_end_ns(policy));
        self.fault = None;
        (address, ports.next(address))
    }

    /// The driver took `taken` bytes over; `confirmed` when a completion will follow.
    pub fn handed_over(&mut self, taken: usize, confirmed: bool) {
        self.session.sent(taken);
        if confirmed {
            self.outstanding.insert(Op::Send);
        }
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
            (_, Op::Send) => self.sent(result),
            (State::Exchanging, Op::Receive) => match result {
                Ok(0) => self.ended(around),
                Ok(count) if self.discarding => {
                    around.tallies.current().counters.bytes_read += count as u64;
                    let event = self.session.skipped(count as u64);
                    self.advance(event, &[], more, around)
                }
                Ok(_) => self.received(bytes, more, around),
                Err(error) => self.broken(errno(&error), around),
            },
            (State::Asking, Op::Extent) => self.told(result, around),
            // Nothing is owed any more: bytes are too many, anything else is the end.
            (State::Settling | State::Resting | State::Lingering, Op::Receive) => {
                let counters = &mut around.tallies.current().counters;
                match result {
                    Ok(count @ 1..) => {
                        counters.bytes_read += count as u64;
                        counters.surplus += 1;
                    }
                    _ if self.state != State::Lingering => counters.closed_idle += 1,
                    _ => {}
                }
                self.close()
            }
            (_, _) => return None,
        })
    }

    /// The deadline has passed.
    pub fn expire(&mut self, around: &mut Surroundings<S>) -> Step {
        match self.state {
            State::Idle | State::Resting => Step::Wait,
            State::Opening => {
                let end_ns = self.carried_end_ns(&around.policy);
                if around.now_ns < end_ns && !self.is_in_vain(around) {
                    self.deadline_ns = end_ns;
                    return Step::Wait;
                }
                self.not_opened(Failure { phase: Phase::Connect, kind: Kind::Timeout }, around)
            }
            State::Exchanging | State::Asking => {
                let sending = self.outstanding.contains(Op::Send);
                let phase = if sending { Phase::Send } else { Phase::Response };
                let timeout = Failure { phase, kind: Kind::Timeout };
                if self.answer_begun && self.fault.is_none() {
                    around.tallies.of(self.part).stall(self.first_byte_ns - self.handed_ns);
                }
                self.fail(self.fault.unwrap_or(timeout), around)
            }
            State::Lingering => {
                around.tallies.current().counters.not_closed_by_peer += 1;
                self.close()
            }
            State::Settling => self.close(),
            // The kernel has not answered the cancellation: ask again.
            State::Closing => self.close(),
        }
    }

    fn opened(&mut self, op: Op, result: io::Result<usize>, around: &mut Surroundings<S>) -> Step {
        if let Err(error) = result {
            let phase = match op {
                Op::Socket | Op::Option => Phase::Socket,
                Op::Bind => Phase::Bind,
                _ => Phase::Connect,
            };
            return self.not_opened(Failure::errno(phase, errno(&error)), around);
        }
        let address = self.address as usize;
        self.retry = PortRetry::default();
        self.tried = 0;
        around.route.accepted(address, around.now_ns);
        around.tallies.of(self.part).connected(address, around.now_ns - self.opened_ns);
        // What is sent again has begun at one time, and nothing new is sent with it.
        let extra = match self.again {
            true => 0,
            false => self.batch_size(&around.policy).saturating_sub(self.carried),
        };
        let extra = if extra > 0 { self.take(extra, Some(self.part), around) } else { 0 };
        let requests = std::mem::take(&mut self.carried) + extra;
        self.begin_batch(requests, around);
        Step::Exchange
    }

    /// Whether the address that is tried is silent, and there is another one to try instead.
    fn is_in_vain(&self, around: &Surroundings<S>) -> bool {
        let (address, now_ns) = (self.address as usize, around.now_ns);
        around.route.is_silent(address, now_ns)
            && around.route.instead_of(address, self.tried, now_ns).is_some()
    }

    fn not_opened(&mut self, failure: Failure, around: &mut Surroundings<S>) -> Step {
        let (address, now_ns) = (self.address as usize, around.now_ns);
        let lap = around.ports.tries(address);
        let left_ns = self.carried_end_ns(&around.policy).saturating_sub(now_ns);
        let tally = around.tallies.of(self.part);
        if self.retry.goes_on(failure, lap, left_ns, &mut tally.counters) {
            return self.close();
        }
        self.retry = PortRetry::default();
        tally.not_connected(address);
        if around.route.refused(address, failure, now_ns) {
            tally.lose(address, failure, now_ns);
        }
        let other = around.route.instead_of(address, self.tried, now_ns);
        if let Some(other) = other.filter(|_| left_ns > 0 && route::is_of_the_address(failure)) {
            self.address = other as u32;
            self.tried += 1;
            return self.close();
        }
        self.tried = 0;
        self.again = false;
        self.owed = std::mem::take(&mut self.carried);
        self.fail(failure, around)
    }

    fn sent(&mut self, result: io::Result<usize>) -> Step {
        match result {
            Ok(_) if self.state == State::Exchanging => Step::Send,
            Ok(_) => Step::Wait,
            Err(error) => {
                let failure = Failure::errno(Phase::Send, errno(&error));
                self.fault.get_or_insert(failure);
                // The peer may have answered before it broke off; the receive will tell.
                Step::Wait
            }
        }
    }

    fn received(&mut self, bytes: &[u8], more: bool, around: &mut Surroundings<S>) -> Step {
        around.tallies.current().counters.bytes_read += bytes.len() as u64;
        let mut bytes = bytes;
        loop {
            if !self.answer_begun {
                self.answer_begun = true;
                self.first_byte_ns = around.now_ns;
            }
            let progress = self.session.received(&mut around.shared, bytes);
            bytes = &bytes[progress.consumed..];
            let goes_on = |answer: Answer| matches!(answer.next, Next::Reuse | Next::Finish);
            let between_answers = matches!(progress.event, Event::Done(answer) if goes_on(answer))
                && self.owed > 1
                && !bytes.is_empty();
            if !between_answers {
                return self.advance(progress.event, bytes, more, around);
            }
            if let Event::Done(answer) = progress.event {
                self.count(answer, around);
            }
        }
    }

    /// Goes on after the bytes at hand are used up, except `rest`, which nobody has asked for.
    fn advance(
        &mut self,
        event: Event,
        rest: &[u8],
        more: bool,
        around: &mut Surroundings<S>,
    ) -> Step {
        let answer = match event {
            Event::More => return Step::Receive,
            Event::Broken(kind) => return self.fail(Failure::response(kind), around),
            Event::Done(answer) => answer,
        };
        self.count(answer, around);
        match answer.next {
            Next::Finish if self.owed == 0 && rest.is_empty() => return self.close(),
            Next::Reuse | Next::Finish => {}
            // Whoever says so and goes on all the same has processed what it was not to.
            Next::Close if self.owed > 0 && rest.is_empty() => return self.cut_short(around),
            Next::Close if self.owed == 0 => self.exhausted = true,
            Next::Close | Next::Leave => return self.fail(Failure::response(Kind::Eof), around),
        }
        if !rest.is_empty() && self.owed == 0 {
            around.tallies.current().counters.surplus += 1;
            return self.close();
        }
        if self.owed > 0 {
            return Step::Receive;
        }
        self.next_batch(more, around)
    }

    /// All that was asked for is answered.
    fn next_batch(&mut self, more: bool, around: &mut Surroundings<S>) -> Step {
        let half_sent = self.outstanding.contains(Op::Send)
            || self.fault.is_some()
            || !self.session.outgoing(&around.shared).is_empty();
        if half_sent {
            return self.close();
        }
        let wanted = self.batch_size(&around.policy);
        if self.exhausted || wanted == 0 || around.pace.is_over(around.now_ns) {
            let peer_closes = self.exhausted || wanted == 0;
            if around.policy.close != CloseMode::Server || !peer_closes {
                return self.close();
            }
            self.state = State::Lingering;
            self.deadline_ns = around.now_ns + LINGER_NS;
            return Step::Receive;
        }
        if more {
            self.state = State::Settling;
            self.deadline_ns = around.now_ns + LINGER_NS;
            return Step::Receive;
        }
        // Between two requests the slot thinks, if it is to.
        let granted =
            if self.rested || !around.pace.thinks() { self.take(wanted, None, around) } else { 0 };
        if granted == 0 {
            (self.state, self.deadline_ns) = (State::Resting, u64::MAX);
            return Step::Rest;
        }
        self.begin_batch(granted, around);
        if self.outstanding.contains(Op::Receive) { Step::Send } else { Step::Exchange }
    }

    /// How many requests the connection takes at once now; 0 when it has had its share.
    fn batch_size(&self, policy: &Policy) -> u32 {
        match policy.requests_per_connection {
            None => policy.pipeline,
            Some(limit) => (limit - self.begun).min(u64::from(policy.pipeline)) as u32,
        }
    }

    fn begin_batch(&mut self, requests: u32, around: &mut Surroundings<S>) {
        self.state = State::Exchanging;
        self.rested = false;
        (self.batch, self.owed) = (requests, requests);
        self.begun += u64::from(requests);
        self.answer_begun = false;
        self.handed_ns = around.now_ns;
        // The time for a request includes connecting, and all addresses that were tried.
        if std::mem::take(&mut self.again) {
            around.tallies.of(self.part).counters.resent += u64::from(requests);
        } else {
            self.begun_ns = if self.answered == 0 { self.opened_ns } else { around.now_ns };
        }
        self.deadline_ns = self.begun_ns.saturating_add(around.policy.timeout_ns);
        self.session.begin(requests, self.batch_size(&around.policy) == 0);
    }

    /// One answer is whole.
    fn count(&mut self, answer: Answer, around: &mut Surroundings<S>) {
        let now_ns = around.now_ns;
        let since_begun_ns = now_ns - self.begun_ns;
        let intended_ns = self.intended_ns.get((self.batch - self.owed) as usize);
        let tally = around.tallies.of(self.part);
        tally.respond(
            answer.status,
            Latencies {
                first_byte_ns: self.first_byte_ns - self.handed_ns,
                service_ns: now_ns - self.handed_ns,
                total_ns: intended_ns.map_or(since_begun_ns, |intended_ns| now_ns - intended_ns),
                // Those of a batch that were not due yet when it began did begin later.
                uncorrected_ns: intended_ns.map(|&due_ns| since_begun_ns.min(now_ns - due_ns)),
            },
        );
        match answer.verdict {
            Ok(()) => tally.succeed(now_ns),
            Err(kind) => tally.fail(Failure { phase: Phase::Verify, kind }, 1, now_ns),
        }
        self.owed -= 1;
        self.answered += 1;
        self.failures = 0;
        // A further answer at hand has come at the same moment.
        self.answer_begun = false;
    }

    /// What is owed has failed (nothing may be), and the connection ends.
    fn fail(&mut self, failure: Failure, around: &mut Surroundings<S>) -> Step {
        self.lose(self.owed, failure, around);
        self.close()
    }

    /// The first `requests` of those that are owed have failed.
    fn lose(&mut self, requests: u32, failure: Failure, around: &mut Surroundings<S>) {
        if requests > 0 {
            around.tallies.of(self.part).fail(failure, requests, around.now_ns);
            self.owed -= requests;
            self.failures = self.failures.saturating_add(1);
            self.latest_failure = Some(failure);
        }
    }

    fn close(&mut self) -> Step {
        self.state = State::Closing;
        // `expire` cancels once more at the next sweep should the kernel not answer.
        self.deadline_ns = 0;
        if self.outstanding.is_empty() { self.settle_closing() } else { Step::Cancel }
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
