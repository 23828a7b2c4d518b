//! Receive buffers that all slots share. The kernel takes one when bytes have come, and the
//! completion names it: a connection that waits owns none.
//!
//! ```text
//!              head: the kernel takes here      tail: we give back here
//!                     ▼                           ▼
//!   entries  [  ·  ][ 3 ][ 0 ][ 7 ] ... [ 1 ][  ·  ][  ·  ]
//!   buffers  [ 0 ]·[ 1 ]·[ 2 ]· ...                        what entries point to
//!   lent     2 5 6 4                                       what completions have named
//! ```
//!
//! The kernel takes the buffers in turn, so all of them pass through the caches. Hence there are
//! few at first, and only where they run out more are put into use.

use super::block::{Block, Buffers};
use crate::engine::driver::COMPLETIONS_MAX;
use io_uring::types::BufRingEntry;
use io_uring::{Submitter, cqueue};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// The number of the ring's only group of buffers.
pub const GROUP: u16 = 0;

/// How many buffers there are at most: enough for several turns' completions, and for answers of a
/// few hundred bytes they still fit into the second-level cache.
const BUFFERS_MAX: usize = 256;

/// How large all of them together are at most, where [`COMPLETIONS_MAX`] of them are not larger.
const BYTES_MAX: usize = 4 * 1024 * 1024;

pub struct BufferRing {
    /// Shared with the kernel, which reads it.
    entries: Block,
    /// Where the next one is given back, counted without an end.
    tail: u16,
    buffers: Buffers,
    /// How many of the buffers are in use, and how many may be; both are powers of two.
    count: u16,
    count_max: u16,
    /// Named by completions since the last time that buffers were given back.
    lent: Vec<u16>,
}

impl BufferRing {
    /// Buffers for so many slots, registered with the ring that this submitter is of.
    ///
    /// # Errors
    /// The kernel's answer: it has no such thing, or nobody may have it.
    pub fn new(
        submitter: &Submitter<'_>,
        slots: usize,
        buffer_bytes: usize,
    ) -> io::Result<BufferRing> {
        let by_bytes = 1 << (BYTES_MAX / buffer_bytes.max(1)).max(COMPLETIONS_MAX).ilog2();
        let count_max = slots.next_power_of_two().min(by_bytes).min(BUFFERS_MAX);
        let mut ring = BufferRing {
            entries: Block::of_pages(count_max * size_of::<BufRingEntry>()),
            tail: 0,
            buffers: Buffers::new(count_max, buffer_bytes),
            count: 0,
            count_max: count_max as u16,
            lent: Vec::with_capacity(count_max),
        };
        let start = ring.entry(0) as u64;
        // SAFETY: so many entries begin there, at a page, and they stay until nothing is under way
        // that could take one: before that the driver frees nothing, or leaks it. (The kernel keeps
        // the pages, besides.)
        unsafe { submitter.register_buf_ring_with_flags(start, ring.count_max, GROUP, 0)? };
        ring.put_into_use(COMPLETIONS_MAX.min(count_max) as u16);
        Ok(ring)
    }

    fn entry(&self, at: u16) -> *mut BufRingEntry {
        let bytes = size_of::<BufRingEntry>();
        self.entries.at(usize::from(at & (self.count_max - 1)) * bytes, bytes).cast()
    }

    /// Writes a buffer behind the tail, where the kernel does not look before
    /// [`BufferRing::publish`] moves it.
    fn put(&mut self, id: u16) {
        let entry = self.entry(self.tail);
        // SAFETY: an entry of the block, aligned and initialised (zeroed). The kernel does not read
        // it until the tail is beyond it, as no more buffers are there than entries. The three
        // fields do not overlap the tail, which lies in the first entry.
        unsafe {
            (*entry).set_addr(self.buffers.at(id.into()) as u64);
            (*entry).set_len(self.buffers.buffer_bytes() as u32);
            (*entry).set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel have what was put into the ring.
    fn publish(&self) {
        // SAFETY: the first entry of the ring, initialised.
        let tail = unsafe { BufRingEntry::tail(self.entry(0)) };
        // SAFETY: aligned, in the block, and only written here; the kernel reads it.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn put_into_use(&mut self, more: u16) {
        (self.count..self.count + more).for_each(|id| self.put(id));
        self.count += more;
        self.publish();
    }

    /// Puts as many again into use, where more may be.
    pub(super) fn grow(&mut self) {
        self.put_into_use(self.count.min(self.count_max - self.count));
    }

    /// Notes the buffer that a completion with these flags names: it is lent until
    /// [`BufferRing::give_back`].
    pub(super) fn lend(&mut self, flags: u32) -> Option<u16> {
        let id = cqueue::buffer_select(flags)?;
        self.lent.push(id);
        Some(id)
    }

    /// Gives all buffers back that are lent.
    pub(super) fn give_back(&mut self) {
        if self.lent.is_empty() {
            return;
        }
        let mut lent = std::mem::take(&mut self.lent);
        lent.drain(..).for_each(|id| self.put(id));
        self.lent = lent;
        self.publish();
    }

    /// How many buffers the kernel has, or has named in completions that were not looked at yet.
    pub(super) fn not_lent(&self) -> usize {
        usize::from(self.count) - self.lent.len()
    }

    pub(super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }
}

#[cfg(test)]
impl BufferRing {
    /// How many buffers the kernel does not have, by its own account where it gives one (6.8).
    pub(super) fn held(&self, ring: &io_uring::IoUring) -> usize {
        use std::os::fd::AsRawFd;
        const REGISTER_PBUF_STATUS: libc::c_uint = 26;
        // struct io_uring_buf_status: the group, and where the kernel takes the next buffer.
        let mut status = [0_u32; 10];
        status[0] = GROUP.into();
        let (number, fd) = (libc::SYS_io_uring_register, ring.as_raw_fd());
        // SAFETY: the kernel reads and writes one such structure.
        let answer =
            unsafe { libc::syscall(number, fd, REGISTER_PBUF_STATUS, status.as_mut_ptr(), 1) };
        match answer {
            0 => usize::from(self.count - self.tail.wrapping_sub(status[1] as u16)),
            _ => self.lent.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.len() + self.buffers.len()
    }
}
