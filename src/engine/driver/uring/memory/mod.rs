//! The memory that the kernel reads from and writes to. None of it belongs to a slot that waits:
//!
//! ```text
//!   receive   [ 0 ]·[ 1 ]· ...   taken by the kernel when bytes have come, given back a turn later
//!   send      [ 0 ]·[ 1 ]· ...   held by a send of bytes that are not constant
//!   sink      [    shared by all: bytes of which only the number matters    ]
//! ```

mod block;
mod receive;
mod ring;
mod send;

use crate::engine::driver::SINK_BYTES;
use block::Block;
use io_uring::Submitter;
pub(super) use receive::{NO_BUFFER, ReceiveBuffers, Target};
pub(super) use ring::{BufferRing, GROUP};
pub(super) use send::{NO_BLOCK, SendBlocks};

pub(super) struct Memory {
    pub(super) receive: ReceiveBuffers,
    pub(super) send: SendBlocks,
    sink: Block,
}

impl Memory {
    /// For so many slots of the ring that this submitter is of.
    pub(super) fn new(
        submitter: &Submitter<'_>,
        slots: usize,
        receive_buffer_bytes: usize,
        may_share: bool,
    ) -> Memory {
        Memory {
            receive: ReceiveBuffers::new(submitter, slots, receive_buffer_bytes, may_share),
            send: SendBlocks::new(),
            sink: Block::new(SINK_BYTES),
        }
    }

    /// Where the kernel puts bytes that nobody reads; at most `count`.
    pub(super) fn sink(&self, count: u64) -> (*mut u8, usize) {
        let len = usize::try_from(count).unwrap_or(usize::MAX).min(SINK_BYTES);
        (self.sink.at(0, len), len)
    }
}

#[cfg(test)]
impl Memory {
    /// What all of it would take if it were touched.
    pub(super) fn bytes(&self) -> usize {
        self.receive.bytes() + self.send.bytes() + self.sink.len()
    }

    /// How many buffers are neither the kernel's nor free.
    pub(super) fn held(&self, ring: &io_uring::IoUring) -> usize {
        self.receive.held(ring) + self.send.held()
    }
}
