//! Copies of bytes that are being sent: who hands bytes over may forget them at once, and the
//! kernel reads them later.
//!
//! ```text
//!   small   chunk [ 4 KiB ]·[ 4 KiB ]· ...   chunk ...     free: 17 2 9
//!   large   chunk [ 64 KiB ]·[ 64 KiB ]· ... chunk ...     free: 1
//! ```
//!
//! A send holds one block until its completion has come. The block that was given back last is the
//! first to be used again: it is the one in the caches. Chunks are made as they are needed, and
//! kept.

use super::block::Buffers;

/// A request head, and what else is short.
const SMALL_BYTES: usize = 4 * 1024;

/// A TLS record and more, or a piece of an upload.
const LARGE_BYTES: usize = 64 * 1024;

/// How many blocks are made at a time: 256 KiB and 1 MiB of them.
const SMALL_CHUNK_BLOCKS: u32 = 64;
const LARGE_CHUNK_BLOCKS: u32 = 16;

/// How many large blocks there are at most: a large send that finds none goes out in small pieces.
/// So a target that takes nothing does not make a large block of each connection.
const LARGE_BLOCKS_MAX: u32 = 1024;

/// A slot that holds no block.
pub const NO_BLOCK: u32 = u32::MAX;

/// In the number of a block: it is a large one.
const IS_LARGE: u32 = 1 << 31;

/// Blocks of one size.
struct Class {
    block_bytes: usize,
    chunk_blocks: u32,
    blocks_max: u32,
    chunks: Vec<Buffers>,
    /// The one that was given back last is the last.
    free: Vec<u32>,
}

impl Class {
    fn new(block_bytes: usize, chunk_blocks: u32, blocks_max: u32) -> Class {
        Class { block_bytes, chunk_blocks, blocks_max, chunks: Vec::new(), free: Vec::new() }
    }

    fn blocks(&self) -> u32 {
        self.chunks.len() as u32 * self.chunk_blocks
    }

    fn take(&mut self) -> Option<u32> {
        if self.free.is_empty() && self.blocks() < self.blocks_max {
            let from = self.blocks();
            self.chunks.push(Buffers::new(self.chunk_blocks as usize, self.block_bytes));
            self.free.reserve(self.blocks() as usize);
            self.free.extend((from..self.blocks()).rev());
        }
        self.free.pop()
    }

    fn at(&self, block: u32) -> *mut u8 {
        let (chunk, at) = (block / self.chunk_blocks, block % self.chunk_blocks);
        self.chunks[chunk as usize].at(at as usize)
    }
}

/// The blocks of all slots.
pub struct SendBlocks {
    small: Class,
    large: Class,
}

impl SendBlocks {
    pub(super) fn new() -> SendBlocks {
        SendBlocks {
            small: Class::new(SMALL_BYTES, SMALL_CHUNK_BLOCKS, IS_LARGE),
            large: Class::new(LARGE_BYTES, LARGE_CHUNK_BLOCKS, LARGE_BLOCKS_MAX),
        }
    }

    /// Copies as many of the bytes as fit into one block; the block's number, and the copy.
    pub fn copy(&mut self, bytes: &[u8]) -> (u32, &[u8]) {
        let large = if bytes.len() > SMALL_BYTES { self.large.take() } else { None };
        let (block, start, room) = match large {
            Some(block) => (block | IS_LARGE, self.large.at(block), LARGE_BYTES),
            None => {
                let block = self.small.take().expect("more blocks than there can be slots");
                (block, self.small.at(block), SMALL_BYTES)
            }
        };
        let len = bytes.len().min(room);
        // SAFETY: `start` has room for `len` bytes. The block was free, so the kernel does not read
        // it, and until it is given back nobody else writes to it. `bytes` lies elsewhere: the copy
        // that is returned here is only lent for as long as nothing else is copied.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, len);
            (block, std::slice::from_raw_parts(start, len))
        }
    }

    /// Takes a block back whose send has come to its end, however it did; of [`NO_BLOCK`] nothing.
    pub fn give_back(&mut self, block: u32) {
        match block {
            NO_BLOCK => {}
            _ if block & IS_LARGE != 0 => self.large.free.push(block & !IS_LARGE),
            _ => self.small.free.push(block),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        [&self.small, &self.large].iter().flat_map(|class| &class.chunks).map(Buffers::len).sum()
    }

    /// How many blocks are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let held = |class: &Class| class.blocks() as usize - class.free.len();
        held(&self.small) + held(&self.large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_that_was_given_back_last_is_used_first() {
        let mut blocks = SendBlocks::new();
        let (first, copy) = blocks.copy(b"abc");
        assert_eq!(copy, b"abc");
        let (second, _) = blocks.copy(&[7; SMALL_BYTES]);
        assert_ne!(first, second);
        blocks.give_back(first);
        assert_eq!(blocks.copy(b"d").0, first);
        blocks.give_back(NO_BLOCK);
        assert_eq!(blocks.held(), 2);
    }

    #[test]
    fn a_large_send_goes_in_pieces_of_a_block_and_in_small_ones_when_there_is_none() {
        let mut blocks = SendBlocks::new();
        let bytes = vec![7; LARGE_BYTES + 1];
        for _ in 0..LARGE_BLOCKS_MAX {
            let (block, copy) = blocks.copy(&bytes);
            assert!(block & IS_LARGE != 0 && copy.len() == LARGE_BYTES);
        }
        let (small, copy) = blocks.copy(&bytes);
        assert_eq!(copy.len(), SMALL_BYTES);
        blocks.give_back(small);
        blocks.give_back(3 | IS_LARGE);
        assert_eq!(blocks.copy(&bytes).0, 3 | IS_LARGE);
    }
}
