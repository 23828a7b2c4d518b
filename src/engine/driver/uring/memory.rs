//! The memory that the kernel reads from and writes to: one block for all slots.
//!
//! ```text
//!   receive   [ slot 0 ][ slot 1 ] ...   stride = buffer + one cache line
//!   send      [ slot 0 ][ slot 1 ] ...   only touched for bytes that are not constant
//!   sink      [            shared by all: bytes of which only the number matters            ]
//! ```
//!
//! The blocks come zeroed from the kernel page by page when they are first touched, so a slot
//! costs what it uses. The stride is odd in cache lines: buffers a whole page apart would all
//! compete for the same few cache sets.

use crate::engine::driver::prefetch::prefetch_at;
use crate::engine::driver::{BUFFER_GAP_BYTES, SINK_BYTES};
use std::mem::ManuallyDrop;

/// How much is copied for one send of bytes that are not constant.
const SEND_COPY_BYTES: usize = 4096;

/// A block that the kernel writes to behind the compiler's back: only ever touched through a
/// pointer, never as one slice.
struct Block {
    start: *mut u8,
    len: usize,
}

impl Block {
    fn new(len: usize) -> Block {
        Block { start: Box::into_raw(vec![0u8; len].into_boxed_slice()).cast(), len }
    }

    /// The address of `len` bytes from `offset` on.
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset <= self.len && len <= self.len - offset, "beyond the block");
        // SAFETY: within the allocation, as just checked.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` in `new` with this length, and freed only here.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.start, self.len)) });
    }
}

pub(super) struct Memory {
    receive: ManuallyDrop<Block>,
    send: ManuallyDrop<Block>,
    sink: ManuallyDrop<Block>,
    receive_buffer_bytes: usize,
    leaked: bool,
}

impl Memory {
    pub(super) fn new(slots: usize, receive_buffer_bytes: usize) -> Memory {
        let stride = receive_buffer_bytes + BUFFER_GAP_BYTES;
        Memory {
            receive: ManuallyDrop::new(Block::new(slots * stride)),
            send: ManuallyDrop::new(Block::new(slots * SEND_COPY_BYTES)),
            sink: ManuallyDrop::new(Block::new(SINK_BYTES)),
            receive_buffer_bytes,
            leaked: false,
        }
    }

    fn receive_offset(&self, index: usize) -> usize {
        index * (self.receive_buffer_bytes + BUFFER_GAP_BYTES)
    }

    /// Where the kernel puts what a slot receives.
    pub(super) fn receive_buffer(&self, index: usize) -> (*mut u8, usize) {
        let len = self.receive_buffer_bytes;
        (self.receive.at(self.receive_offset(index), len), len)
    }

    /// Somebody will read the begin of what a slot has received.
    #[inline]
    pub(super) fn prefetch_received(&self, index: usize) {
        prefetch_at(self.receive.start.wrapping_add(self.receive_offset(index)), 2);
    }

    /// The first `count` bytes of a slot's receive buffer. No receive may be under way there.
    pub(super) fn received(&self, index: usize, count: usize) -> &[u8] {
        let count = count.min(self.receive_buffer_bytes);
        let start = self.receive.at(self.receive_offset(index), count);
        // SAFETY: within the block, initialised (zeroed, then written by the kernel), and by the
        // driver's contract the kernel does not write there between a completed receive and the
        // next one, which needs `&mut` of the driver that this borrow hangs on.
        unsafe { std::slice::from_raw_parts(start, count) }
    }

    /// Where the kernel puts bytes that nobody reads; at most `count`.
    pub(super) fn sink(&self, count: u64) -> (*mut u8, usize) {
        let len = usize::try_from(count).unwrap_or(usize::MAX).min(SINK_BYTES);
        (self.sink.at(0, len), len)
    }

    /// Copies as many of the bytes as fit to the slot's own place, and returns that place.
    pub(super) fn copy_for_sending<'a>(&'a mut self, index: usize, bytes: &[u8]) -> &'a [u8] {
        let len = bytes.len().min(SEND_COPY_BYTES);
        let start = self.send.at(index * SEND_COPY_BYTES, len);
        // SAFETY: `start` has room for `len` bytes and `bytes` lies elsewhere; the kernel only
        // reads this place, and only while a send is under way, of which there is one per slot.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, len);
            std::slice::from_raw_parts(start, len)
        }
    }

    /// Keeps the blocks for ever: the kernel has not let go of them.
    pub(super) fn leak(&mut self) {
        self.leaked = true;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        // SAFETY: dropped once, here, and not used afterwards.
        unsafe {
            ManuallyDrop::drop(&mut self.receive);
            ManuallyDrop::drop(&mut self.send);
            ManuallyDrop::drop(&mut self.sink);
        }
    }
}
