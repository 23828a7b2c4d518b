//! A protocol, without any I/O: which bytes to send, what the received bytes mean, and when one
//! exchange is done.
//!
//! ```text
//!            begin(n) ──► outgoing() ──► the socket ──► received(bytes) ──► Done | Broken | More
//!                             ▲                               │
//!                             └───────── sent(count) ◄────────┘
//! ```
//!
//! A session never sees a socket and a driver never sees a protocol, so a private protocol is one
//! type that implements [`Session`] (`examples/line_echo.rs` is a complete one). There is one
//! session per slot; it is used for all the connections of that slot, one after the other.

pub mod http1;

use crate::engine::failure::Kind;
use std::sync::Arc;

/// One slot's side of a protocol.
pub trait Session {
    /// What all the sessions of one worker have in common: prebuilt requests, caches. It never
    /// leaves the worker's thread.
    type Shared;

    /// A session for one slot, before its first connection.
    fn new(shared: &Self::Shared) -> Self;

    /// A block of bytes that never changes. What [`outgoing`](Session::outgoing) returns from
    /// within this block goes to the kernel as it is; everything else is copied first.
    fn constant(_shared: &Self::Shared) -> Arc<[u8]> {
        Arc::new([])
    }

    /// A new connection begins: forget the one before.
    fn reset(&mut self);

    /// Queues `exchanges` requests (one, unless pipelined) behind those already begun. With
    /// `last`, the connection carries no further request after these.
    fn begin(&mut self, exchanges: u32, last: bool);

    /// The bytes to send now; empty when there is nothing to say.
    fn outgoing<'a>(&'a self, shared: &'a Self::Shared) -> &'a [u8];

    /// The first `count` bytes of [`outgoing`](Session::outgoing) are on their way.
    fn sent(&mut self, count: usize);

    /// Takes bytes from the peer up to the end of one exchange. All of `bytes` is consumed unless
    /// the event is [`Event::Done`] or [`Event::Broken`]; what is left then belongs to the next
    /// exchange.
    fn received(&mut self, shared: &mut Self::Shared, bytes: &[u8]) -> Progress;

    /// How many of the bytes to come are only counted, whatever they are: the rest of a body of
    /// known length. The driver may throw that many away unseen. 0 when every byte matters.
    fn opaque(&self) -> u64 {
        0
    }

    /// `count` bytes, at most [`opaque`](Session::opaque), have gone by unseen.
    fn skipped(&mut self, _count: u64) -> Event {
        Event::More
    }

    /// How many of the connection's requests a peer can have understood that has at most the first
    /// `bytes` of what was sent on it. The others are sent again on another connection. All of them
    /// where a protocol cannot tell.
    fn reached(&self, _bytes: u64) -> u64 {
        u64::MAX
    }

    /// The peer closed its side while an answer was awaited: [`Event::Done`] where that ends an
    /// answer properly, else [`Event::Broken`] (as a rule with [`Kind::Eof`]).
    fn ended(&mut self) -> Event;

    /// What the sessions of one worker have to say for people when the run is over.
    fn remarks(_shared: &Self::Shared) -> Remarks {
        Remarks::default()
    }
}

/// What is worth knowing of the answers beside what is counted of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// What was wrong with the first answer that was [`Kind::Malformed`]: where, and which rule it
    /// breaks. Printable ASCII.
    pub malformed: Option<String>,
    /// Which limit the first answer met that was [`Kind::TooLarge`].
    pub too_large: Option<String>,
    /// Answers with a length that did not count, as they told their end in another way as well.
    pub overruled_lengths: u64,
}

impl Remarks {
    /// What was wrong with the first answer of this kind.
    pub fn detail(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Malformed => self.malformed.as_deref(),
            Kind::TooLarge => self.too_large.as_deref(),
            _ => None,
        }
    }
}

/// What [`Session::received`] made of the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many of the bytes were taken.
    pub consumed: usize,
    /// What they came to.
    pub event: Event,
}

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer is not whole yet.
    More,
    /// The answer is whole.
    Done(Answer),
    /// What came is no answer. The connection is of no further use.
    Broken(Kind),
}

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code, 0 in a protocol that has none.
    pub status: u16,
    /// Whether it is the answer that was wanted, or what is wrong with it.
    pub verdict: Result<(), Kind>,
    /// What becomes of the connection.
    pub next: Next,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It may carry another request.
    Reuse,
    /// The peer closes it, as it has said, and has not processed what was asked behind this.
    Close,
    /// It carries no further request than those that are under way: what the peer says of its
    /// answers cannot be relied on.
    Finish,
    /// It carries no further request, and nobody has said that it ends: it speaks another protocol.
    Leave,
}
