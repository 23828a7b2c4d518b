//! Memory that the kernel reads from and writes to behind the compiler's back: only ever touched
//! through pointers, never as one slice.
//!
//! ```text
//!   Buffers   [ buffer 0 ]·[ buffer 1 ]·[ buffer 2 ]· ...   · = one cache line
//! ```
//!
//! A block comes zeroed from the kernel page by page when it is first touched, so it costs what is
//! used of it.

use crate::engine::driver::BUFFER_GAP_BYTES;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

/// The largest page of any machine: what must begin with a page is aligned to it.
const PAGE_BYTES_MAX: usize = 64 * 1024;

/// One piece of memory.
pub(super) struct Block {
    start: *mut u8,
    layout: Layout,
}

impl Block {
    pub(super) fn new(len: usize) -> Block {
        Block::aligned(len, 1)
    }

    /// One that begins with a page. It is touched at once: for what is small.
    pub(super) fn of_pages(len: usize) -> Block {
        Block::aligned(len, PAGE_BYTES_MAX)
    }

    fn aligned(len: usize, align: usize) -> Block {
        let layout = Layout::from_size_align(len.max(1), align).expect("less than half of memory");
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        Block { start, layout }
    }

    /// The address of `len` bytes from `offset` on.
    pub(super) fn at(&self, offset: usize, len: usize) -> *mut u8 {
        let size = self.layout.size();
        assert!(offset <= size && len <= size - offset, "beyond the block");
        // SAFETY: within the allocation, as just checked.
        unsafe { self.start.add(offset) }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `aligned` with this layout, and freed only here.
        unsafe { dealloc(self.start, self.layout) };
    }
}

/// Buffers of one size. They lie an odd number of cache lines apart: a whole page apart they would
/// all compete for the same few cache sets.
pub struct Buffers {
    block: Block,
    buffer_bytes: usize,
}

impl Buffers {
    pub(super) fn new(count: usize, buffer_bytes: usize) -> Buffers {
        Buffers { block: Block::new(count * (buffer_bytes + BUFFER_GAP_BYTES)), buffer_bytes }
    }

    /// How large each of them is.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// The address of the buffer number `at`.
    pub(super) fn at(&self, at: usize) -> *mut u8 {
        self.block.at(at * (self.buffer_bytes + BUFFER_GAP_BYTES), self.buffer_bytes)
    }

    /// The first `count` bytes of the buffer number `at`.
    ///
    /// # Safety
    /// As long as the slice lives, the kernel does not write there.
    pub(super) unsafe fn bytes(&self, at: usize, count: usize) -> &[u8] {
        let count = count.min(self.buffer_bytes);
        // SAFETY: within the block and initialised (zeroed, then written by the kernel); that
        // nobody writes there is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.at(at), count) }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.block.len()
    }
}
