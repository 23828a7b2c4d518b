//! Finding a head, and knowing it again.
//!
//! A server answers the same request with the same head, but for a date that moves once a second.
//! So the last head is kept with its meaning, and bytes that begin with it need no parsing:
//!
//! ```text
//! bytes  HTTP/1.1 200 OK\r\n ... \r\n\r\n  hello, world.  HTTP/1.1 200 OK\r\n ...
//!        ╰─ the bytes of the last head? ─╯╰─ its meaning ─╯
//! ```
//!
//! That is sound because a head ends at its first empty line, wherever the bytes come from: bytes
//! that begin with a whole head begin with that head and no other.

use super::fault::{Fault, Location};
use super::framing::{self, Framing, Meaning};
use super::request::Asked;
use crate::engine::failure::Kind;

/// The largest head.
pub(super) const HEAD_BYTES_MAX: usize = 256 << 10;
/// The largest head that is remembered. Reserved at the start, so that nothing grows later.
const REMEMBERED_BYTES_MAX: usize = 4 << 10;
/// How many bytes are asked at once whether a head may end among them.
const BLOCK_BYTES: usize = 32;
/// The part of a status line that no head can do without: `HTTP/1.1 200` and a byte behind it.
const STATUS_LINE_BYTES: usize = 13;

/// The heads of one worker's answers.
pub(super) struct Heads {
    asked: Asked,
    last: Vec<u8>,
    last_meaning: Option<Meaning>,
}

impl Heads {
    pub(super) fn new(asked: Asked) -> Heads {
        Heads { asked, last: Vec::with_capacity(REMEMBERED_BYTES_MAX), last_meaning: None }
    }

    /// The length and the meaning of the head that `bytes` begin with, if it is the last one.
    #[inline]
    pub(super) fn known(&self, bytes: &[u8]) -> Option<(usize, Meaning)> {
        let meaning = self.last_meaning?;
        bytes.starts_with(&self.last).then_some((self.last.len(), meaning))
    }

    /// Whether an answer has been understood before.
    pub(super) fn any(&self) -> bool {
        self.last_meaning.is_some()
    }

    /// The meaning of a whole head.
    pub(super) fn meaning<'h>(&mut self, head: &'h [u8]) -> Result<Meaning, Fault<'h>> {
        if let Some((length, meaning)) = self.known(head)
            && length == head.len()
        {
            return Ok(meaning);
        }
        let meaning = framing::meaning(head, self.asked)?;
        // An interim head comes before each answer or never: it would only drive the answer's out.
        if head.len() <= REMEMBERED_BYTES_MAX && meaning.framing != Framing::Interim {
            self.last.clear();
            self.last.extend_from_slice(head);
            self.last_meaning = Some(meaning);
        }
        Ok(meaning)
    }
}

/// Where the search for the end of a head stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search<'b> {
    /// The end is not there yet.
    More,
    /// The head is so many bytes long.
    Found(usize),
    /// So many bytes are enough to tell that this becomes no head.
    Broken(usize, Fault<'b>),
}

/// Searches `bytes`, which begin a head, for its end. The first `searched` of them have been
/// through here before, and only what is new is looked at.
pub(super) fn search(bytes: &[u8], searched: usize) -> Search<'_> {
    if let Some(at) = status_line_fault(bytes, searched) {
        let (place, rule) = match at {
            0..=4 => (Location::Start, "that is not HTTP"),
            5..=8 => (Location::Line(1), "the version is HTTP/1.0 or HTTP/1.1"),
            _ => (Location::Line(1), "a status is three digits from 100 on"),
        };
        return Search::Broken(at + 1, Fault { kind: Kind::Malformed, place, bytes, rule });
    }
    let within = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    // The end is at most three bytes long, so two of them may have been there before.
    match empty_line(within, searched.saturating_sub(2)) {
        Some(end) => Search::Found(end),
        None if within.len() == HEAD_BYTES_MAX => Search::Broken(HEAD_BYTES_MAX, TOO_LARGE),
        None => Search::More,
    }
}

const TOO_LARGE: Fault<'_> = Fault {
    kind: Kind::TooLarge,
    place: Location::Whole,
    bytes: &[],
    rule: "its head is larger than 256 KiB",
};

/// The first byte, not `searched` before, that no status line has in its place: a peer that does
/// not speak HTTP is found out by its first bytes and not by the silence after them.
fn status_line_fault(bytes: &[u8], searched: usize) -> Option<usize> {
    let start = bytes.iter().enumerate().take(STATUS_LINE_BYTES).skip(searched);
    let mut faults = start.filter(|&(at, &byte)| match at {
        0..=6 => byte != b"HTTP/1."[at],
        7 => !matches!(byte, b'0' | b'1'),
        8 => byte != b' ',
        // RFC 9110 §15: a status is from 100 to 599; what is above is refused later by its value.
        9 => !matches!(byte, b'1'..=b'9'),
        10 | 11 => !byte.is_ascii_digit(),
        // The reason may be missing, and its space with it.
        _ => !matches!(byte, b' ' | b'\r' | b'\n'),
    });
    faults.next().map(|(at, _)| at)
}

/// The end of the first empty line that begins behind a line end at `from` or later.
fn empty_line(bytes: &[u8], from: usize) -> Option<usize> {
    #[cfg(test)]
    super::tests::work::SEARCHED.with(|bytes_seen| {
        bytes_seen.set(bytes_seen.get() + (bytes.len() - from) as u64);
    });
    let mut at = from;
    while let Some(block) = bytes.get(at..at + BLOCK_BYTES + 2) {
        if may_end_in(block) {
            break;
        }
        at += BLOCK_BYTES;
    }
    (at..bytes.len()).find_map(|at| match bytes[at..] {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// Whether an empty line begins in a block, which has two bytes more than that. A line may end in
/// LF alone (RFC 9112 §2.2). Bytes and not booleans, and no branch: so the compiler makes it a few
/// wide comparisons, which halves what the search costs.
#[inline(always)]
fn may_end_in(block: &[u8]) -> bool {
    let (first, second, third) = (&block[..BLOCK_BYTES], &block[1..], &block[2..]);
    let is = |byte: u8, wanted: u8| u8::from(byte == wanted);
    let mut found = 0;
    for at in 0..BLOCK_BYTES {
        let empty = is(second[at], b'\n') | (is(second[at], b'\r') & is(third[at], b'\n'));
        found |= is(first[at], b'\n') & empty;
    }
    found != 0
}
