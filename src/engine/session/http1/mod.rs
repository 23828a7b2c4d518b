//! HTTP/1.1: a batch of prebuilt requests out, and the end of each answer found.
//!
//! A load generator wants two things from an answer: where it ends, and whether it is the one that
//! was wanted. So nothing is kept of it but its status, and a body is only counted:
//!
//! ```text
//!             ╭──── interim answer (1xx) ────╮
//!             ▼                              │
//!  begin ─► Start ─► Head (if it is split) ──┴──► Body ─► Done
//!             │                              │             ▲
//!             ╰── whole head in one piece ───┴─ no body ───╯
//! ```
//!
//! Where the bytes are split is the network's affair: any split gives the same events.
//!
//! `request` is what goes out, `head` where a head ends, `framing` what it means, `body` what
//! comes after it, `fault` what is said of an answer that breaks the rules.

mod body;
mod fault;
mod framing;
mod head;
mod request;
#[cfg(test)]
mod tests;

pub use request::{Request, RequestBlock, Reuse};

use super::{Answer, Event, Next, Progress, Remarks, Session};
use crate::engine::failure::Kind;
use body::{Body, Chunked, Stand};
use fault::{Fault, Place};
use framing::{Framing, Meaning};
use head::{Heads, Search};
use std::ops::Range;
use std::sync::Arc;

/// The most line ends, in bytes, before a status line. Nothing allows them there, but some servers
/// put one behind a body, where only a pipelining client meets it.
const BLANK_BYTES_MAX: u8 = 8;
/// How much of a split head is copied at a time: a body behind it should not come along.
const SPLIT_STEP_BYTES: usize = 1 << 10;
/// A slot keeps the memory of its split heads up to here, so that it is not allocated again.
const SPLIT_BYTES_KEPT: usize = 4 << 10;

/// What the sessions of one worker have in common.
pub struct Shared {
    block: RequestBlock,
    heads: Heads,
    remarks: Remarks,
}

impl Shared {
    /// A worker's share of `block`.
    pub fn new(block: RequestBlock) -> Shared {
        let heads = Heads::new(block.asked);
        Shared { block, heads, remarks: Remarks::default() }
    }

    /// An answer is refused.
    #[cold]
    fn refuse(&mut self, fault: Fault<'_>) -> Event {
        fault.note(&mut self.remarks, self.heads.any());
        Event::Broken(fault.kind)
    }
}

/// One slot's side of HTTP/1.1.
pub struct Http1 {
    layout: request::Layout,
    /// The part of the block that is still to be sent.
    unsent: Range<usize>,
    stage: Stage,
    /// The head so far, where it came in pieces; else empty.
    split: Vec<u8>,
    /// What is known of the answer whose body is under way.
    status: u16,
    next: Next,
}

/// What the next byte belongs to.
enum Stage {
    /// Line ends before a head; as a rule there are none.
    Start { blank_bytes: u8, after_cr: bool },
    /// A head.
    Head,
    /// A body.
    Body(Body),
}

/// No byte of an answer is there.
const AT_START: Stage = Stage::Start { blank_bytes: 0, after_cr: false };

impl Session for Http1 {
    type Shared = Shared;

    fn new(shared: &Shared) -> Http1 {
        Http1 {
            layout: shared.block.layout,
            unsent: 0..0,
            stage: AT_START,
            split: Vec::new(),
            status: 0,
            next: Next::Leave,
        }
    }

    fn constant(shared: &Shared) -> Arc<[u8]> {
        Arc::clone(&shared.block.bytes)
    }

    fn reset(&mut self) {
        self.unsent = 0..0;
        self.stage = AT_START;
        self.forget_split();
    }

    /// One batch at a time: the one before is sent and answered.
    fn begin(&mut self, exchanges: u32, last: bool) {
        debug_assert!(self.unsent.is_empty(), "the batch before is still being sent");
        debug_assert!(matches!(self.stage, Stage::Start { .. }), "an answer is under way");
        self.unsent = self.layout.batch(exchanges, last);
    }

    #[inline]
    fn outgoing<'a>(&'a self, shared: &'a Shared) -> &'a [u8] {
        &shared.block.bytes[self.unsent.clone()]
    }

    #[inline]
    fn sent(&mut self, count: usize) {
        debug_assert!(count <= self.unsent.len());
        self.unsent.start += count;
    }

    #[inline]
    fn received(&mut self, shared: &mut Shared, bytes: &[u8]) -> Progress {
        let mut at = 0;
        if let Stage::Start { blank_bytes: 0, .. } = self.stage
            && let Some((head_bytes, meaning)) = shared.heads.known(bytes)
        {
            let body_bytes = match meaning.framing {
                Framing::Empty => Some(0),
                Framing::Length(length) => usize::try_from(length).ok(),
                _ => None,
            };
            // The usual answer ends here: a head like the last one, and its body right behind it.
            if let Some(body_bytes) = body_bytes
                && body_bytes <= bytes.len() - head_bytes
            {
                let event = done(meaning.status, meaning.next);
                return Progress { consumed: head_bytes + body_bytes, event };
            }
            self.after_head(shared, meaning);
            at = head_bytes;
        }
        self.advance(shared, bytes, at)
    }

    #[inline]
    fn opaque(&self) -> u64 {
        match &self.stage {
            Stage::Body(body) => body.opaque(),
            _ => 0,
        }
    }

    fn skipped(&mut self, count: u64) -> Event {
        let Stage::Body(body) = &mut self.stage else { return Event::More };
        // Nothing is looked at, so there is nothing to find fault with.
        if body.skipped(count) == Stand::Whole { self.whole() } else { Event::More }
    }

    fn reached(&self, bytes: u64) -> u64 {
        self.layout.reached(bytes)
    }

    fn ended(&mut self) -> Event {
        match self.stage {
            Stage::Body(Body::UntilEof) => self.whole(),
            _ => Event::Broken(Kind::Eof),
        }
    }

    fn remarks(shared: &Shared) -> Remarks {
        shared.remarks.clone()
    }
}

impl Http1 {
    /// Takes `bytes` from `at` on, up to the end of an exchange.
    #[inline(never)]
    fn advance(&mut self, shared: &mut Shared, bytes: &[u8], mut at: usize) -> Progress {
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (taken, event) = match &mut self.stage {
                Stage::Start { .. } => self.take_blank(shared, rest[0]),
                Stage::Head => self.take_head(shared, rest),
                Stage::Body(body) => match body.take(rest) {
                    (taken, Stand::More) => (taken, Event::More),
                    (taken, Stand::Whole) => (taken, self.whole()),
                    (taken, Stand::Broken(kind, rule)) => {
                        let place =
                            if kind == Kind::TooLarge { Place::Whole } else { Place::Chunks };
                        let bytes = &rest[taken - 1..];
                        (taken, shared.refuse(Fault { kind, place, bytes, rule }))
                    }
                },
            };
            at += taken;
            if event != Event::More {
                return Progress { consumed: at, event };
            }
        }
        Progress { consumed: at, event: Event::More }
    }

    /// Takes a byte of a line end before a head, or finds that the head begins.
    fn take_blank(&mut self, shared: &mut Shared, byte: u8) -> (usize, Event) {
        let Stage::Start { blank_bytes, after_cr } = &mut self.stage else {
            unreachable!("only ever called before a head");
        };
        let rule = match byte {
            b'\n' | b'\r' if *blank_bytes == BLANK_BYTES_MAX => {
                "more than 8 bytes of line ends stand before its status line"
            }
            b'\n' | b'\r' if !*after_cr || byte == b'\n' => {
                *blank_bytes += 1;
                *after_cr = byte == b'\r';
                return (1, Event::More);
            }
            _ if *after_cr => "a CR without its LF stands before its status line",
            _ => {
                self.stage = Stage::Head;
                return (0, Event::More);
            }
        };
        let fault = Fault { kind: Kind::Malformed, place: Place::Whole, bytes: &[], rule };
        (1, shared.refuse(fault))
    }

    /// Takes bytes of a head. They are copied only where its end is not among them.
    fn take_head(&mut self, shared: &mut Shared, bytes: &[u8]) -> (usize, Event) {
        let before = self.split.len();
        if before == 0 {
            return match head::search(bytes, 0) {
                Search::Found(end) => match shared.heads.meaning(&bytes[..end]) {
                    Ok(meaning) => (end, self.after_head(shared, meaning)),
                    Err(fault) => (end, shared.refuse(fault)),
                },
                Search::Broken(taken, fault) => (taken, shared.refuse(fault)),
                Search::More => {
                    self.split.extend_from_slice(bytes);
                    (bytes.len(), Event::More)
                }
            };
        }
        let taken = bytes.len().min(SPLIT_STEP_BYTES);
        self.split.extend_from_slice(&bytes[..taken]);
        match head::search(&self.split, before) {
            Search::Found(end) => match shared.heads.meaning(&self.split[..end]) {
                Ok(meaning) => {
                    self.forget_split();
                    (end - before, self.after_head(shared, meaning))
                }
                Err(fault) => (end - before, shared.refuse(fault)),
            },
            Search::Broken(end, fault) => (end - before, shared.refuse(fault)),
            Search::More => (taken, Event::More),
        }
    }

    fn forget_split(&mut self) {
        self.split.clear();
        self.split.shrink_to(SPLIT_BYTES_KEPT);
    }

    /// Turns to what comes after a head.
    fn after_head(&mut self, shared: &mut Shared, meaning: Meaning) -> Event {
        (self.status, self.next) = (meaning.status, meaning.next);
        shared.remarks.overruled_lengths += u64::from(meaning.overruled);
        self.stage = match meaning.framing {
            Framing::Interim => AT_START,
            Framing::Empty => return self.whole(),
            Framing::Length(left) => Stage::Body(Body::Length { left }),
            Framing::Chunked => Stage::Body(Body::Chunked(Chunked::new())),
            Framing::UntilEof => Stage::Body(Body::UntilEof),
        };
        Event::More
    }

    fn whole(&mut self) -> Event {
        self.stage = AT_START;
        done(self.status, self.next)
    }
}

/// A whole answer, wanted where its status is that of a success or a redirection.
#[inline]
fn done(status: u16, next: Next) -> Event {
    let verdict = if (200..=399).contains(&status) { Ok(()) } else { Err(Kind::Status) };
    Event::Done(Answer { status, verdict, next })
}
