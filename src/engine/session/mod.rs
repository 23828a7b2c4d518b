//! A protocol, without any I/O and without a clock: which bytes to send, what the received bytes
//! mean, and which exchanges have ended.
//!
//! ```text
//!   open ──► room? ──► begin(lanes) ──► outgoing ──► the socket
//!              ▲                           ▲             │
//!              └──────── received(bytes) ──┴─────────────┘
//!                             └──► Events: passed, begun, done, failed, returned, surplus ...
//! ```
//!
//! After every call the connection sends what [`outgoing`](Session::outgoing) holds, begins
//! exchanges while there is [`room`](Session::room), and waits until
//! [`wake_ns`](Session::wake_ns). So a session may speak first, answer what nobody asked, carry
//! several exchanges that end in any order, and take its time before the first one.
//!
//! A session never sees a socket and a driver never sees a protocol, so a private protocol is one
//! type that implements [`Session`] (`examples/line_echo.rs` is a complete one, and
//! `examples/greeting.rs` one that makes use of everything). There is one session per slot; it is
//! used for all the connections of that slot, one after the other.

pub mod http1;

use crate::engine::failure::{Failure, Kind};
use std::ops::Range;
use std::sync::Arc;

/// One of a connection's places for an exchange under way, counted from 0.
pub type Lane = u32;

/// How far a connection has come before it carries exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The TLS handshake is over.
    Tls,
    /// What the protocol itself agrees on beforehand is: a greeting, an upgrade, a login.
    Setup,
}

/// Whether exchanges may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many, at least one.
    For(u32),
    /// None now.
    Full,
    /// None any more on this connection, which ends when those under way have ended.
    Ends,
    /// The same, and the peer closes it, as it has said.
    PeerEnds,
}

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code of HTTP, 0 in a protocol that has none.
    pub status: u16,
    /// The code of what is spoken over HTTP, or instead of it: that of gRPC, where 0 is the good one.
    pub code: Option<u16>,
    /// Whether it is the answer that was wanted, or what is wrong with it.
    pub verdict: Result<(), Kind>,
}

/// What a session tells while it takes bytes. All of it happens at the time of the turn.
pub trait Events {
    /// The time of the turn: monotonic nanoseconds since the start of the run.
    fn now_ns(&self) -> u64;
    /// The connection has come so far.
    fn passed(&mut self, stage: Stage);
    /// The first bytes of an answer have come. Telling it again changes nothing.
    fn begun(&mut self, lane: Lane);
    /// An answer is whole; its lane is free.
    fn done(&mut self, lane: Lane, answer: Answer);
    /// An exchange has failed, and the connection goes on; its lane is free.
    fn failed(&mut self, lane: Lane, failure: Failure);
    /// The peer has not processed this one: it is begun again, on another connection unless there is
    /// room for it on this one.
    fn returned(&mut self, lane: Lane);
    /// An answer to an exchange that is no more ([`Session::abandon`]).
    fn late(&mut self);
    /// Something that no exchange has asked for, and that the protocol allows.
    fn message(&mut self, bytes: usize);
    /// Bytes that no exchange has asked for, and that the protocol does not allow.
    fn surplus(&mut self);
}

/// One slot's side of a protocol.
pub trait Session: Sized {
    /// What all the sessions of one worker have in common: prebuilt requests, caches. It never
    /// leaves the worker's thread.
    type Shared;

    /// A session for one slot, before its first connection.
    fn new(shared: &Self::Shared) -> Self;

    /// A block of bytes that never changes. What [`outgoing`](Session::outgoing) returns from
    /// within this block goes to the kernel as it is; everything else is copied first. Only for a
    /// protocol that sends from it again once what it has sent before is answered: the end of such a
    /// send is not told, and the kernel may exchange two that wait for room.
    fn constant(_shared: &Self::Shared) -> Arc<[u8]> {
        Arc::new([])
    }

    /// The socket is connected: forget the connection before, and queue what opens the talk.
    fn open(&mut self, shared: &mut Self::Shared);

    /// Whether exchanges may begin.
    fn room(&self) -> Room;

    /// What is still to pass before the connection is what it is for: running out of time, and the
    /// peer's end, are called so.
    fn stage(&self) -> Option<Stage> {
        None
    }

    /// Queues an exchange for each of these lanes, which were free, and below the most exchanges that
    /// the policy allows at a time ([`pipeline`](crate::engine::policy::Policy::pipeline)); there was
    /// room for them. With
    /// `last`, the connection carries no further one after these.
    fn begin(&mut self, shared: &mut Self::Shared, lanes: Range<Lane>, last: bool);

    /// The time of an exchange is over. Whether the connection can go on without it: then its lane
    /// is free, and what comes for it is [`Events::late`].
    fn abandon(&mut self, _shared: &mut Self::Shared, _lane: Lane) -> bool {
        false
    }

    /// The bytes to send now; empty when there is nothing to say. Asked in every state, at the end of
    /// a turn, so that what is queued meanwhile goes out together; and not while a send is under way
    /// whose end will be told.
    fn outgoing<'a>(&'a mut self, shared: &'a mut Self::Shared) -> &'a [u8];

    /// The first `count` bytes of [`outgoing`](Session::outgoing) have been sent.
    fn sent(&mut self, shared: &mut Self::Shared, count: usize);

    /// Takes bytes from the peer, all of them, in every state.
    ///
    /// # Errors
    /// What is wrong with them. All exchanges under way fail with that, and the connection ends.
    fn received<E: Events>(
        &mut self,
        shared: &mut Self::Shared,
        bytes: &[u8],
        events: &mut E,
    ) -> Result<(), Failure>;

    /// How many of the bytes to come are only counted, whatever they are: the rest of a body of
    /// known length. The driver may throw that many away unseen. 0 when every byte matters.
    fn opaque(&self) -> u64 {
        0
    }

    /// `count` bytes, at most [`opaque`](Session::opaque), have gone by unseen.
    fn skipped<E: Events>(&mut self, _shared: &mut Self::Shared, _count: u64, _events: &mut E) {}

    /// The peer has closed its side while exchanges are under way, or before there could be any.
    /// Those that are under way afterwards have failed, or go to another connection where the
    /// kernel knows that the peer cannot have read them.
    fn ended<E: Events>(&mut self, _shared: &mut Self::Shared, _events: &mut E) {}

    /// How many of the connection's exchanges a peer can have understood that has at most the first
    /// `bytes` of what was sent on it. The others are sent again on another connection. All of them
    /// where a protocol cannot tell.
    fn reached(&self, _shared: &Self::Shared, _bytes: u64) -> u64 {
        u64::MAX
    }

    /// When [`wake`](Session::wake) is due, `u64::MAX` for never: heartbeats, the peer's liveness.
    /// What was due when it was called must not be due any more afterwards.
    fn wake_ns(&self) -> u64 {
        u64::MAX
    }

    /// The time is there.
    ///
    /// # Errors
    /// As [`received`](Session::received).
    fn wake<E: Events>(
        &mut self,
        _shared: &mut Self::Shared,
        _events: &mut E,
    ) -> Result<(), Failure> {
        Ok(())
    }

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
