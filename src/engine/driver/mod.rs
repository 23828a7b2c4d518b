//! The seam to the kernel: a few verbs on a slot, and completions.
//!
//! ```text
//!   worker ── open send receive extent close cancel ──►  driver  ──►  kernel
//!   worker ◄── Completion { token, result } ────  turn()  ◄──  kernel
//! ```
//!
//! [`Driver::turn`] makes sure that what was asked for is under way, waits, and delivers
//! completions. The worker is generic over the driver, so the same loop runs over the ring
//! ([`uring`]), over readiness and system calls where there is no ring ([`epoll`]) and, in tests
//! and benches, over a script without a kernel ([`script`]).

mod engine;
pub mod epoll;
mod extent;
mod option;
mod prefetch;
pub mod script;
pub mod uring;

pub use crate::kernel::{Address, UnixSocket};
pub use engine::{Engine, EngineChoice, Found};
pub use option::SocketOption;
pub use prefetch::prefetch;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// The right to use one of the driver's places, for one connection: the index of the slot and the
/// generation of the connection in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId {
    /// Which place, counted from 0.
    pub index: u32,
    /// Which of the connections that this place has had; at most [`SlotId::GENERATION_MAX`].
    pub generation: u32,
}

impl SlotId {
    /// Generations wrap around after this one: 2^28 connections later nothing of an earlier one
    /// is left in the kernel.
    pub const GENERATION_MAX: u32 = (1 << 28) - 1;

    /// The same place, for its next connection.
    pub fn next(self) -> SlotId {
        SlotId { generation: (self.generation + 1) & SlotId::GENERATION_MAX, ..self }
    }
}

/// What a completion is the completion of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// `open`, failed where the socket is made.
    Socket = 1,
    /// `open`, failed where an option is set.
    Option = 2,
    /// `open`, failed where the source address is bound.
    Bind = 3,
    /// `open`, established or failed in the handshake.
    Connect = 4,
    /// `send`.
    Send = 5,
    /// `receive`.
    Receive = 6,
    /// `close`; only ever seen by the driver.
    Close = 7,
    /// `cancel`; only ever seen by the driver.
    Cancel = 8,
    /// `extent`.
    Extent = 9,
}

impl Op {
    const ALL: [Op; 9] = [
        Op::Socket,
        Op::Option,
        Op::Bind,
        Op::Connect,
        Op::Send,
        Op::Receive,
        Op::Close,
        Op::Cancel,
        Op::Extent,
    ];
}

/// Operation, slot and generation in the 64 bits that the kernel hands back untouched.
///
/// ```text
///   63      60 59                        32 31                         0
///   [   op   ] [        generation        ] [          index           ]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The operation.
    pub op: Op,
    /// Whose it was.
    pub slot: SlotId,
}

impl Token {
    /// The 64 bits that go to the kernel.
    pub fn to_bits(self) -> u64 {
        (self.op as u64) << 60
            | u64::from(self.slot.generation & SlotId::GENERATION_MAX) << 32
            | u64::from(self.slot.index)
    }

    /// Reads them back; `None` when no token of ours has these bits.
    pub fn from_bits(bits: u64) -> Option<Token> {
        let op = *Op::ALL.get(((bits >> 60) as usize).checked_sub(1)?)?;
        let generation = (bits >> 32) as u32 & SlotId::GENERATION_MAX;
        Some(Token { op, slot: SlotId { index: bits as u32, generation } })
    }
}

/// The end of one queued operation.
#[derive(Debug)]
pub struct Completion {
    /// Which operation, of which connection.
    pub token: Token,
    /// How many bytes (0 for `open`; 0 for `receive` is the end of the stream), or the error.
    pub result: io::Result<usize>,
    /// After a `receive`: the socket is known to have more already, bytes or the end of the stream.
    pub more: bool,
}

/// How [`Driver::send`] took the bytes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// How many of them it took.
    pub taken: usize,
    /// Whether a completion will say that they are sent. Without it, only a failure is told.
    pub confirmed: bool,
}

/// What a `receive` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Bytes that somebody will read ([`Driver::received`]).
    Read,
    /// At most this many bytes of which only the number matters.
    Discard(u64),
}

/// How far bytes have come that were handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// They have been sent.
    Sent,
    /// The peer's kernel has acknowledged them.
    #[default]
    Acknowledged,
}

/// When a turn comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Completions worth waiting for; one is enough once `linger_ns` is over.
    pub want: u32,
    /// How long to hold out for more than one completion.
    pub linger_ns: u64,
    /// When to come back without any; 0 for a look without waiting.
    pub timeout_ns: u64,
}

/// How many completions a turn brings at most; the others wait for the next one, which has a time of
/// its own. The worker answers each with up to a handful of operations, and all of them together fit
/// into a submission queue of [`uring`].
pub const COMPLETIONS_MAX: usize = 64;

/// The most bytes that one send or receive takes: the kernel counts them in 31 bits, and the ring
/// takes their number in 32.
const TRANSFER_BYTES_MAX: usize = 1 << 30;

/// Where bytes go that nobody reads: large enough to empty a socket buffer at once, small enough to
/// stay in the second-level cache.
const SINK_BYTES: usize = 256 * 1024;

/// A cache line between two buffers: a whole page apart they would all compete for the same few
/// cache sets.
const BUFFER_GAP_BYTES: usize = 64;

/// What a driver over a kernel is built from.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many slots, numbered from 0.
    pub slots: u32,
    /// The target's addresses, as `open` numbers them.
    pub addresses: Vec<Address>,
    /// What is set on each socket.
    pub options: Vec<SocketOption>,
    /// The bytes that are sent without a copy.
    pub constant: Arc<[u8]>,
    /// How many bytes a receive brings at most.
    pub receive_buffer_bytes: usize,
    /// What `now_ns` counts from.
    pub epoch: Instant,
}

/// A source address with the scope that a link-local one needs: that of the target.
pub(crate) fn scoped(source: SocketAddr, target: &Address) -> SocketAddr {
    match (source, target) {
        (SocketAddr::V6(mut source), Address::Inet(SocketAddr::V6(target)))
            if source.ip().is_unicast_link_local() =>
        {
            source.set_scope_id(target.scope_id());
            source.into()
        }
        _ => source,
    }
}

/// The kernel, as the worker sees it. Verbs never block and never fail: what goes wrong comes back
/// as a completion.
pub trait Driver {
    /// Monotonic nanoseconds since the start of the run.
    fn now_ns(&self) -> u64;

    /// Opens a connection to the target's address number `address`, from `source` if there is one
    /// (port 0 leaves the port to the kernel). Exactly one completion follows: [`Op::Connect`], or
    /// the operation that failed before it.
    fn open(&mut self, slot: SlotId, address: usize, source: Option<SocketAddr>);

    /// Hands bytes to the socket. A completion follows when the handover says so or when sending
    /// fails.
    fn send(&mut self, slot: SlotId, bytes: &[u8]) -> Handover;

    /// Asks for bytes. Exactly one completion follows. One at a time per slot.
    fn receive(&mut self, slot: SlotId, demand: Demand);

    /// The bytes of the latest completed [`Demand::Read`], `count` of them. Valid until the next
    /// `turn`, which gives the buffer to whoever receives next, or the next `receive` on this slot.
    fn received(&self, slot: SlotId, count: usize) -> &[u8];

    /// Asks the kernel how many bytes of this connection have come as far as `extent`; one more than
    /// that may be counted, and never one less. Exactly one completion follows ([`Op::Extent`]),
    /// with an error where the kernel does not say. May cost system calls: for what is rare.
    fn extent(&mut self, slot: SlotId, extent: Extent);

    /// Gives the socket back. No completion follows; an `open` queued later comes after it.
    /// Nothing else may be outstanding on the slot.
    fn close(&mut self, slot: SlotId);

    /// Asks the kernel to end an operation early; the operation's own completion follows.
    fn cancel(&mut self, slot: SlotId, op: Op);

    /// Whether completions are there that the latest turn did not bring.
    fn has_more(&self) -> bool {
        false
    }

    /// Whether there is no room for what another slot may ask for within this turn.
    fn is_full(&self) -> bool {
        false
    }

    /// Submits what is queued, waits, and appends what has completed, at most [`COMPLETIONS_MAX`] of
    /// it: what is left does not let the next turn wait. An error here is the end of the run: the
    /// driver itself is broken.
    fn turn(&mut self, patience: Patience, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// Time for which the kernel took over operations between two turns, as there was no more room
    /// for them; all up to now.
    fn submit_ns(&self) -> u64 {
        0
    }

    /// How often the completion queue was full: the generator's own fault, never the server's.
    fn overflows(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod kernel_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_survives_the_kernel(
            op in 0..Op::ALL.len(), index: u32, generation in 0..=SlotId::GENERATION_MAX,
        ) {
            let token = Token { op: Op::ALL[op], slot: SlotId { index, generation } };
            prop_assert_eq!(Token::from_bits(token.to_bits()), Some(token));
        }

        #[test]
        fn foreign_bits_are_no_token(bits in 0u64..1 << 60) {
            prop_assert_eq!(Token::from_bits(bits), None);
            prop_assert_eq!(Token::from_bits(bits | 15 << 60), None);
        }
    }

    #[test]
    fn a_generation_wraps_within_its_bits() {
        let last = SlotId { index: 7, generation: SlotId::GENERATION_MAX };
        assert_eq!(last.next(), SlotId { index: 7, generation: 0 });
    }
}
