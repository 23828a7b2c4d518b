//! Receive buffers: as many as a turn brings completions. A receive takes one when the socket has
//! something, and gives it back a turn after its completion was brought.
//!
//! ```text
//!   free: 5 0 3 ──► read ──► ready ──► brought by a turn (lent) ──► the next turn ──► free
//! ```
//!
//! The buffer that was given back last is the first to be used again: it is the one in the caches.

use crate::engine::driver::{BUFFER_GAP_BYTES, COMPLETIONS_MAX};

/// Buffers, and which of them are free.
pub(super) struct Pool {
    bytes: Vec<u8>,
    buffer_bytes: usize,
    free: Vec<u8>,
}

impl Pool {
    pub(super) fn new(buffer_bytes: usize) -> Pool {
        Pool {
            bytes: vec![0; COMPLETIONS_MAX * (buffer_bytes + BUFFER_GAP_BYTES)],
            buffer_bytes,
            free: (0..COMPLETIONS_MAX as u8).rev().collect(),
        }
    }

    pub(super) fn take(&mut self) -> Option<u8> {
        self.free.pop()
    }

    pub(super) fn give_back(&mut self, buffer: u8) {
        self.free.push(buffer);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    pub(super) fn buffer(&self, buffer: u8) -> &[u8] {
        let start = self.start(buffer);
        &self.bytes[start..start + self.buffer_bytes]
    }

    pub(super) fn buffer_mut(&mut self, buffer: u8) -> &mut [u8] {
        let start = self.start(buffer);
        &mut self.bytes[start..start + self.buffer_bytes]
    }

    fn start(&self, buffer: u8) -> usize {
        usize::from(buffer) * (self.buffer_bytes + BUFFER_GAP_BYTES)
    }

    /// How many of the buffers are not free.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        COMPLETIONS_MAX - self.free.len()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}
