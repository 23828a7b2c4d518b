//! Where received bytes come to lie: in buffers that all slots share, or in a buffer of each slot.
//!
//! Shared buffers are the rule: what they cost does not grow with the slots, and they stay in the
//! caches. Where the kernel has no ring of them, each slot has its own.

use super::block::Buffers;
use super::ring::BufferRing;
use crate::engine::driver::prefetch::prefetch_at;
use io_uring::{Submitter, cqueue, squeue};

/// No buffer was named: of a completion that has none, and of all whose slots have their own.
pub const NO_BUFFER: u16 = u16::MAX;

pub enum ReceiveBuffers {
    Own(Buffers),
    Shared(BufferRing),
}

/// What a receive tells the kernel of its buffer.
pub struct Target {
    pub start: *mut u8,
    pub bytes: usize,
    pub flags: squeue::Flags,
}

impl ReceiveBuffers {
    /// Shares buffers if the slots `may_share` them and the kernel agrees.
    pub(super) fn new(
        submitter: &Submitter<'_>,
        slots: usize,
        buffer_bytes: usize,
        may_share: bool,
    ) -> ReceiveBuffers {
        if may_share && let Ok(ring) = BufferRing::new(submitter, slots, buffer_bytes) {
            return ReceiveBuffers::Shared(ring);
        }
        ReceiveBuffers::Own(Buffers::new(slots, buffer_bytes))
    }

    /// Where the kernel puts what a slot receives.
    pub fn target(&self, index: usize) -> Target {
        match self {
            ReceiveBuffers::Own(buffers) => Target {
                start: buffers.at(index),
                bytes: buffers.buffer_bytes(),
                flags: squeue::Flags::empty(),
            },
            ReceiveBuffers::Shared(ring) => Target {
                start: std::ptr::null_mut(),
                bytes: ring.buffers().buffer_bytes(),
                flags: squeue::Flags::BUFFER_SELECT,
            },
        }
    }

    /// Notes the buffer that a completion names, whatever its result is: it is the caller's until
    /// [`ReceiveBuffers::give_back`].
    pub fn lend(&mut self, flags: u32) -> u16 {
        match self {
            ReceiveBuffers::Own(_) => NO_BUFFER,
            ReceiveBuffers::Shared(ring) => ring.lend(flags).unwrap_or(NO_BUFFER),
        }
    }

    /// Gives back to the kernel what completions have named.
    pub fn give_back(&mut self) {
        if let ReceiveBuffers::Shared(ring) = self {
            ring.give_back();
        }
    }

    /// Receives found no buffer: there should be more.
    pub fn grow(&mut self) {
        if let ReceiveBuffers::Shared(ring) = self {
            ring.grow();
        }
    }

    /// How many buffers the kernel has, or has named in completions that were not looked at yet.
    pub fn not_lent(&self) -> usize {
        match self {
            ReceiveBuffers::Own(_) => 0,
            ReceiveBuffers::Shared(ring) => ring.not_lent(),
        }
    }

    /// The first `count` bytes that a slot has received, in the buffer that its completion named.
    pub fn received(&self, index: usize, buffer: u16, count: usize) -> &[u8] {
        let (buffers, at) = match self {
            ReceiveBuffers::Own(buffers) => (buffers, index),
            ReceiveBuffers::Shared(_) if buffer == NO_BUFFER => return &[],
            ReceiveBuffers::Shared(ring) => (ring.buffers(), buffer.into()),
        };
        // SAFETY: by the driver's contract the kernel does not write there between a completed
        // receive and the next one, or the next turn, both of which need `&mut` of the driver that
        // this borrow hangs on.
        unsafe { buffers.bytes(at, count) }
    }

    /// Somebody will read the begin of what a completion with these flags has brought.
    #[inline]
    pub fn prefetch(&self, index: usize, flags: u32) {
        match self {
            ReceiveBuffers::Own(buffers) => prefetch_at(buffers.at(index), 2),
            ReceiveBuffers::Shared(ring) => {
                if let Some(id) = cqueue::buffer_select(flags) {
                    prefetch_at(ring.buffers().at(id.into()), 2);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self, ring: &io_uring::IoUring) -> usize {
        match self {
            ReceiveBuffers::Own(_) => 0,
            ReceiveBuffers::Shared(buffers) => buffers.held(ring),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        match self {
            ReceiveBuffers::Own(buffers) => buffers.len(),
            ReceiveBuffers::Shared(ring) => ring.bytes(),
        }
    }
}
