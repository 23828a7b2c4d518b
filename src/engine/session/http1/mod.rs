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
//! comes after it, `split` what is kept of a head in pieces, `fault` what is said of an answer that
//! breaks the rules.

mod body;
mod fault;
mod framing;
mod head;
mod request;
mod split;
#[cfg(test)]
mod tests;

pub use request::{Request, RequestBlock, Reuse};

use super::{Answer, Events, Lane, Remarks, Room, Session};
use crate::engine::failure::{Failure, Kind};
use body::{Body, BodyState, Chunked};
use fault::{Fault, Location};
use framing::{Framing, Meaning};
use head::{Heads, Search};
use split::{Split, Splits};
use std::ops::Range;
use std::sync::Arc;

/// The most line ends, in bytes, before a status line. Nothing allows them there, but some servers
/// put one behind a body, where only a pipelining client meets it.
const BLANK_BYTES_MAX: u8 = 8;
/// How much of a split head is copied at a time: a body behind it should not come along.
const SPLIT_STEP_BYTES: usize = 1 << 10;

/// What the sessions of one worker have in common.
pub struct Shared {
    block: RequestBlock,
    heads: Heads,
    splits: Splits,
    remarks: Remarks,
}

impl Shared {
    /// A worker's share of `block`.
    pub fn new(block: RequestBlock) -> Shared {
        let heads = Heads::new(block.asked);
        Shared { block, heads, splits: Splits::default(), remarks: Remarks::default() }
    }

    /// An answer is refused.
    #[cold]
    fn refuse(&mut self, fault: Fault<'_>) -> Parsed {
        fault.note(&mut self.remarks, self.heads.any());
        Parsed::Broken(fault.kind)
    }
}

/// One slot's side of HTTP/1.1.
pub struct Http1 {
    /// The part of the block that is still to be sent.
    unsent: Range<usize>,
    /// Requests of the batch under way, and how many of them are answered.
    batch: Lane,
    answered: Lane,
    /// What becomes of the connection once they all are.
    after: Room,
    stage: ParseState,
    /// The head so far, where it came in pieces.
    split: Split,
    /// What is known of the answer whose body is under way.
    status: u16,
    next: AfterAnswer,
}

/// What the next byte belongs to.
enum ParseState {
    /// Line ends before a head; as a rule there are none.
    Start { blank_bytes: u8, after_cr: bool },
    /// A head.
    Head,
    /// A body.
    Body(Body),
}

/// No byte of an answer is there.
const AT_START: ParseState = ParseState::Start { blank_bytes: 0, after_cr: false };

/// What [`Http1::answer`] made of the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many of the bytes were taken.
    pub consumed: usize,
    /// What they came to.
    pub event: Parsed,
}

/// Where an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// It is not whole yet.
    More,
    /// It is whole.
    Done(Answer, AfterAnswer),
    /// What came is no answer. The connection is of no further use.
    Broken(Kind),
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAnswer {
    /// It may carry another request.
    Reuse,
    /// The peer closes it, as it has said, and has not processed what was asked behind this.
    Close,
    /// It carries no further request than those that are under way: what the peer says of its
    /// answers cannot be relied on.
    Finish,
    /// It carries no further request, and nobody has said that it ends: it speaks another protocol.
    Leave,
}

impl Session for Http1 {
    type Shared = Shared;

    fn new(shared: &Shared) -> Http1 {
        Http1 {
            unsent: 0..0,
            batch: 0,
            answered: 0,
            after: Room::For(shared.block.layout.batch_max()),
            stage: AT_START,
            split: Split::default(),
            status: 0,
            next: AfterAnswer::Leave,
        }
    }

    fn constant(shared: &Shared) -> Arc<[u8]> {
        Arc::clone(&shared.block.bytes)
    }

    fn open(&mut self, shared: &mut Shared) {
        self.unsent = 0..0;
        (self.batch, self.answered) = (0, 0);
        self.after = Room::For(shared.block.layout.batch_max());
        self.stage = AT_START;
        shared.splits.forget(&mut self.split);
    }

    /// One batch at a time. Whoever answers before it has read all of a request is not asked again:
    /// where the next one would begin, it would read the rest of this one.
    #[inline]
    fn room(&self) -> Room {
        match self.answered == self.batch {
            false => Room::Full,
            true if self.unsent.is_empty() => self.after,
            true => Room::Ends,
        }
    }

    fn begin(&mut self, shared: &mut Shared, lanes: Range<Lane>, last: bool) {
        debug_assert!(self.unsent.is_empty(), "the batch before is still being sent");
        debug_assert!(matches!(self.stage, ParseState::Start { .. }), "an answer is under way");
        debug_assert_eq!(lanes.start, 0, "nothing is under way");
        (self.batch, self.answered) = (lanes.end, 0);
        self.unsent = shared.block.layout.batch(lanes.end, last);
    }

    #[inline]
    fn outgoing<'a>(&'a mut self, shared: &'a mut Shared) -> &'a [u8] {
        &shared.block.bytes[self.unsent.clone()]
    }

    #[inline]
    fn sent(&mut self, _shared: &mut Shared, count: usize) {
        debug_assert!(count <= self.unsent.len());
        self.unsent.start += count;
    }

    #[inline]
    fn received<E: Events>(
        &mut self,
        shared: &mut Shared,
        bytes: &[u8],
        events: &mut E,
    ) -> Result<(), Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.answered == self.batch {
                // Nothing is asked, so this answers nothing (RFC 9112 §6.3, last paragraph but one:
                // such data must not be taken for a separate response).
                self.after = Room::Ends;
                events.surplus();
                return Ok(());
            }
            let progress = self.answer(shared, rest);
            rest = &rest[progress.consumed..];
            self.tell(progress.event, !rest.is_empty(), events)?;
        }
        Ok(())
    }

    #[inline]
    fn opaque(&self) -> u64 {
        match &self.stage {
            ParseState::Body(body) => body.opaque(),
            _ => 0,
        }
    }

    fn skipped<E: Events>(&mut self, _shared: &mut Shared, count: u64, events: &mut E) {
        let event = self.skip(count);
        let fault = self.tell(event, false, events);
        debug_assert!(
            fault.is_ok(),
            "nothing is looked at, so there is nothing to find fault with"
        );
    }

    fn ended<E: Events>(&mut self, _shared: &mut Shared, events: &mut E) {
        let event = self.end();
        if let Parsed::Done(..) = event {
            let fault = self.tell(event, false, events);
            debug_assert!(fault.is_ok(), "an answer that ends with its connection announces that");
        }
    }

    fn reached(&self, shared: &Shared, bytes: u64) -> u64 {
        shared.block.layout.reached(bytes)
    }

    fn remarks(shared: &Shared) -> Remarks {
        shared.remarks.clone()
    }
}

impl Http1 {
    /// Passes on what an answer has come to; whether there is `more` behind it.
    #[inline]
    fn tell<E: Events>(
        &mut self,
        event: Parsed,
        more: bool,
        events: &mut E,
    ) -> Result<(), Failure> {
        let lane = self.answered;
        let (answer, next) = match event {
            Parsed::Done(answer, next) => (answer, next),
            Parsed::More => {
                events.begun(lane);
                return Ok(());
            }
            Parsed::Broken(kind) => return Err(Failure::response(kind)),
        };
        events.done(lane, answer);
        self.answered += 1;
        let is_last = self.answered == self.batch;
        match next {
            AfterAnswer::Reuse => return Ok(()),
            AfterAnswer::Finish => self.after = Room::Ends,
            AfterAnswer::Close if is_last => self.after = Room::PeerEnds,
            // Whoever says so and goes on all the same has processed what it was not to.
            AfterAnswer::Close if !more => {
                (self.answered..self.batch).for_each(|lane| events.returned(lane));
                self.answered = self.batch;
                self.after = Room::Ends;
            }
            AfterAnswer::Close | AfterAnswer::Leave => return Err(Failure::response(Kind::Eof)),
        }
        Ok(())
    }

    /// Takes bytes of one answer. All of `bytes` is consumed unless the event is [`Parsed::Done`] or
    /// [`Parsed::Broken`]; what is left then belongs to the next one.
    #[inline]
    pub fn answer(&mut self, shared: &mut Shared, bytes: &[u8]) -> Taken {
        let mut at = 0;
        if let ParseState::Start { blank_bytes: 0, .. } = self.stage
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
                return Taken { consumed: head_bytes + body_bytes, event };
            }
            self.after_head(shared, meaning);
            at = head_bytes;
        }
        self.advance(shared, bytes, at)
    }

    /// So many bytes of a body have gone by unseen ([`Session::opaque`]).
    pub fn skip(&mut self, count: u64) -> Parsed {
        let ParseState::Body(body) = &mut self.stage else { return Parsed::More };
        if body.skipped(count) == BodyState::Whole { self.whole() } else { Parsed::More }
    }

    /// The peer has closed its side while an answer was awaited.
    pub fn end(&mut self) -> Parsed {
        match self.stage {
            ParseState::Body(Body::UntilEof) => self.whole(),
            _ => Parsed::Broken(Kind::Eof),
        }
    }

    /// Takes `bytes` from `at` on, up to the end of an exchange.
    #[inline(never)]
    fn advance(&mut self, shared: &mut Shared, bytes: &[u8], mut at: usize) -> Taken {
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (taken, event) = match &mut self.stage {
                ParseState::Start { .. } => self.take_blank(shared, rest[0]),
                ParseState::Head => self.take_head(shared, rest),
                ParseState::Body(body) => match body.take(rest) {
                    (taken, BodyState::More) => (taken, Parsed::More),
                    (taken, BodyState::Whole) => (taken, self.whole()),
                    (taken, BodyState::Broken(kind, rule)) => {
                        let place =
                            if kind == Kind::TooLarge { Location::Whole } else { Location::Chunks };
                        let bytes = &rest[taken - 1..];
                        (taken, shared.refuse(Fault { kind, place, bytes, rule }))
                    }
                },
            };
            at += taken;
            if event != Parsed::More {
                return Taken { consumed: at, event };
            }
        }
        Taken { consumed: at, event: Parsed::More }
    }

    /// Takes a byte of a line end before a head, or finds that the head begins.
    fn take_blank(&mut self, shared: &mut Shared, byte: u8) -> (usize, Parsed) {
        let ParseState::Start { blank_bytes, after_cr } = &mut self.stage else {
            unreachable!("only ever called before a head");
        };
        let rule = match byte {
            b'\n' | b'\r' if *blank_bytes == BLANK_BYTES_MAX => {
                "more than 8 bytes of line ends stand before its status line"
            }
            b'\n' | b'\r' if !*after_cr || byte == b'\n' => {
                *blank_bytes += 1;
                *after_cr = byte == b'\r';
                return (1, Parsed::More);
            }
            _ if *after_cr => "a CR without its LF stands before its status line",
            _ => {
                self.stage = ParseState::Head;
                return (0, Parsed::More);
            }
        };
        let fault = Fault { kind: Kind::Malformed, place: Location::Whole, bytes: &[], rule };
        (1, shared.refuse(fault))
    }

    /// Takes bytes of a head. They are copied only where its end is not among them.
    fn take_head(&mut self, shared: &mut Shared, bytes: &[u8]) -> (usize, Parsed) {
        let Some(mut head) = shared.splits.take(&self.split) else {
            return match head::search(bytes, 0) {
                Search::Found(end) => match shared.heads.meaning(&bytes[..end]) {
                    Ok(meaning) => (end, self.after_head(shared, meaning)),
                    Err(fault) => (end, shared.refuse(fault)),
                },
                Search::Broken(taken, fault) => (taken, shared.refuse(fault)),
                Search::More => {
                    shared.splits.begin(&mut self.split, bytes);
                    (bytes.len(), Parsed::More)
                }
            };
        };
        let before = head.len();
        let taken = bytes.len().min(SPLIT_STEP_BYTES);
        head.extend_from_slice(&bytes[..taken]);
        let (end, found) = match head::search(&head, before) {
            Search::Found(end) => (end, shared.heads.meaning(&head[..end])),
            Search::Broken(end, fault) => (end, Err(fault)),
            Search::More => {
                shared.splits.put(&self.split, head);
                return (taken, Parsed::More);
            }
        };
        let event = match found {
            Ok(meaning) => self.after_head(shared, meaning),
            Err(fault) => shared.refuse(fault),
        };
        shared.splits.put(&self.split, head);
        shared.splits.forget(&mut self.split);
        (end - before, event)
    }

    /// Turns to what comes after a head.
    fn after_head(&mut self, shared: &mut Shared, meaning: Meaning) -> Parsed {
        (self.status, self.next) = (meaning.status, meaning.next);
        shared.remarks.overruled_lengths += u64::from(meaning.overruled);
        self.stage = match meaning.framing {
            Framing::Interim => AT_START,
            Framing::Empty => return self.whole(),
            Framing::Length(left) => ParseState::Body(Body::Length { left }),
            Framing::Chunked => ParseState::Body(Body::Chunked(Chunked::new())),
            Framing::UntilEof => ParseState::Body(Body::UntilEof),
        };
        Parsed::More
    }

    fn whole(&mut self) -> Parsed {
        self.stage = AT_START;
        done(self.status, self.next)
    }
}

/// A whole answer, wanted where its status is that of a success or a redirection.
#[inline]
fn done(status: u16, next: AfterAnswer) -> Parsed {
    let verdict = if (200..=399).contains(&status) { Ok(()) } else { Err(Kind::Status) };
    Parsed::Done(Answer { status, code: None, verdict }, next)
}
