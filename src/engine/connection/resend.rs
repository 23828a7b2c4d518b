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

use super::{Connection, Policy, State, Step, Surroundings};
use crate::engine::driver::{Extent, Op};
use crate::engine::failure::{Failure, Kind, Phase};
use crate::engine::session::{Event, Next, Session};
use std::io;

impl<S: Session> Connection<S> {
    /// When the time is over for the requests that are carried to the next connection.
    pub(super) fn carried_end_ns(&self, policy: &Policy) -> u64 {
        let begun_ns = if self.again { self.begun_ns } else { self.opened_ns };
        begun_ns.saturating_add(policy.timeout_ns)
    }

    /// The peer has closed its side while an answer was awaited.
    pub(super) fn ended(&mut self, around: &mut Surroundings<S>) -> Step {
        let kind = match self.session.ended() {
            Event::Done(answer) => {
                self.count(answer, around);
                return match answer.next {
                    Next::Close if self.owed > 0 => self.cut_short(around),
                    _ => self.fail(Failure::response(Kind::Eof), around),
                };
            }
            Event::Broken(kind) => kind,
            Event::More => Kind::Eof,
        };
        // A send that meets a reset takes the error away, and leaves what looks like an end without
        // one. After a FIN it meets EPIPE.
        let extent = match self.fault.map(|fault| fault.kind) {
            None | Some(Kind::Errno(libc::EPIPE)) => Extent::Acknowledged,
            Some(_) => Extent::Sent,
        };
        self.cut_off(Failure::response(kind), extent, around)
    }

    /// The peer has said that it answers no more, and owes answers.
    pub(super) fn cut_short(&mut self, around: &mut Surroundings<S>) -> Step {
        let counters = &mut around.tallies.of(self.part).counters;
        counters.cut_short += 1;
        counters.cut_short_answers += self.answered;
        self.carry_owed()
    }

    /// The socket broke while an answer was awaited.
    pub(super) fn broken(&mut self, errno: i32, around: &mut Surroundings<S>) -> Step {
        self.cut_off(Failure::errno(Phase::Receive, errno), Extent::Sent, around)
    }

    /// The connection has ended without a word, and answers are owed. The peer can have read what
    /// has come as far as `extent`.
    fn cut_off(&mut self, failure: Failure, extent: Extent, around: &mut Surroundings<S>) -> Step {
        let failure = *self.fault.get_or_insert(failure);
        // A fresh connection was not closed for being idle.
        if self.answered == 0 {
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
        let reached = bytes.map_or(u64::MAX, |bytes| self.session.reached(bytes as u64));
        let begun = u64::from(self.answer_begun);
        let lost = reached.saturating_sub(self.answered).max(begun).min(self.owed.into());
        let failure = self.fault.unwrap_or(Failure::response(Kind::Eof));
        let counters = &mut around.tallies.of(self.part).counters;
        match failure.phase {
            _ if lost == 0 => counters.closed_idle += 1,
            Phase::Response if known => counters.lost += lost - begun,
            _ => {}
        }
        self.lose(lost as u32, failure, around);
        self.carry_owed()
    }

    /// What is owed goes to the next connection, and keeps its times; this one ends.
    fn carry_owed(&mut self) -> Step {
        let answered = (self.batch - self.owed) as usize;
        self.intended_ns.drain(..answered.min(self.intended_ns.len()));
        self.carried = std::mem::take(&mut self.owed);
        self.again = self.carried > 0;
        self.close()
    }
}
