//! Response bodies that are never larger in memory than one static block.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// What `/bytes` and `/chunked` consist of, over and over.
static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// `/chunked/N` comes in at least this many chunks, as far as N allows.
const CHUNK_COUNT_MIN: u64 = 4;

/// A chunk that fits a few packets: many of them make up a long body, as streaming servers do.
const CHUNK_BYTES_MAX: u64 = 16 * 1024;

/// The body of a response.
pub(crate) enum Answer {
    /// All there is, at once; empty when taken or when there is none.
    Whole(Bytes),
    /// `left` bytes out of the block, with their number known in advance.
    Sized { left: u64 },
    /// `left` bytes out of the block in chunks of `chunk` bytes, with their number not told.
    Chunked { left: u64, chunk: u64 },
    /// The body of the request, as it arrives.
    Echo(Incoming),
}

impl Answer {
    pub(crate) fn empty() -> Self {
        Answer::Whole(Bytes::new())
    }

    pub(crate) fn text(text: &'static str) -> Self {
        Answer::Whole(Bytes::from_static(text.as_bytes()))
    }

    pub(crate) fn chunked(n: u64) -> Self {
        let chunk = n.div_ceil(CHUNK_COUNT_MIN).clamp(1, CHUNK_BYTES_MAX);
        Answer::Chunked { left: n, chunk }
    }
}

/// Takes up to `most` bytes off what is left to send.
fn next_block(left: &mut u64, most: u64) -> Option<Bytes> {
    let n = (*left).min(most).min(BLOCK.len() as u64);
    *left -= n;
    (n > 0).then(|| Bytes::from_static(&BLOCK[..n as usize]))
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let block = match self.get_mut() {
            Answer::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Answer::Sized { left } => next_block(left, u64::MAX),
            Answer::Chunked { left, chunk } => next_block(left, *chunk),
            Answer::Echo(incoming) => return Pin::new(incoming).poll_frame(cx),
        };
        Poll::Ready(block.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(bytes) => bytes.is_empty(),
            Answer::Sized { left } => *left == 0,
            // Even nothing is sent chunked: a body known to be at its end gets a Content-Length.
            Answer::Chunked { .. } => false,
            Answer::Echo(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Answer::Sized { left } => SizeHint::with_exact(*left),
            Answer::Chunked { .. } => SizeHint::default(),
            Answer::Echo(incoming) => incoming.size_hint(),
        }
    }
}
