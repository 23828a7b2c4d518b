//! What the head of an answer says about everything after it.
//!
//! ```text
//! HTTP/1.1 200 OK          ─► status 200, this peer keeps connections
//! Content-Length: 13       ─► 13 bytes follow
//! Connection: close        ─► but this is the last answer on this one
//! ```
//!
//! Three header fields matter here: Content-Length, Transfer-Encoding and Connection. They are
//! taken strictly, as two readers that disagree on them disagree on where an answer ends. Of every
//! other line no more is asked than curl asks: a colon, and no NUL. None of them is kept, so there
//! may be as many as fit into a head.
//!
//! The order in which the rules are asked is that of RFC 9112 §6.3, and it is of consequence: what
//! has no body by its status is not examined for lengths that contradict each other.

use super::AfterAnswer;
use super::body::is_token;
use super::fault::{Fault, Location};
use super::request::Asked;
use crate::engine::failure::Kind;

/// A whole head, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) status: u16,
    /// What becomes of the connection after this exchange.
    pub(super) next: AfterAnswer,
    /// There is a length beside the chunks, and it does not count.
    pub(super) overruled: bool,
    pub(super) framing: Framing,
}

/// What comes after a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Another head: this one was not the answer yet (RFC 9110 §15.2).
    Interim,
    /// Nothing.
    Empty,
    /// So many bytes; never 0.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All that comes until the peer closes.
    UntilEof,
}

/// Understands a `head`, whole, with nothing after it, and with a status line that the search for
/// its end has found in order.
///
/// Folded lines are taken as RFC 9112 §5.2 tells a user agent to: as one.
pub(super) fn meaning(head: &[u8], asked: Asked) -> Result<Meaning, Fault<'_>> {
    #[cfg(test)]
    super::tests::work::PARSES.with(|parses| parses.set(parses.get() + 1));
    let digit = |at: usize| u16::from(head[at] - b'0');
    let (minor, status) = (digit(7), digit(9) * 100 + digit(10) * 10 + digit(11));
    if head.contains(&0) {
        return Err(nul(head));
    }
    let mut told = LengthFields::default();
    for field in fields(head) {
        told.note(field)?;
    }
    told.meaning(status, minor, asked)
}

/// A header field with its folded lines, or the status line.
#[derive(Clone, Copy)]
struct HeaderLine<'h> {
    /// The first line of a head is number 1.
    number: usize,
    /// Without its line end.
    bytes: &'h [u8],
}

impl<'h> HeaderLine<'h> {
    fn fault(self, rule: &'static str) -> Fault<'h> {
        Fault { kind: Kind::Malformed, place: Location::Line(self.number), bytes: self.bytes, rule }
    }
}

/// The header fields of a head.
fn fields(head: &[u8]) -> impl Iterator<Item = HeaderLine<'_>> {
    let line_end = |from: usize| head[from..].iter().position(|&byte| byte == b'\n');
    let mut next = line_end(0).map_or(head.len(), |end| end + 1);
    let mut number = 1;
    std::iter::from_fn(move || {
        let from = next;
        let first = number + 1;
        loop {
            next += line_end(next)? + 1;
            number += 1;
            // A line that begins with a blank goes on with the one before.
            if !matches!(head.get(next), Some(b' ' | b'\t')) {
                break;
            }
        }
        let bytes = &head[from..next - 1];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        (!bytes.is_empty()).then_some(HeaderLine { number: first, bytes })
    })
}

/// The line with the first NUL.
#[cold]
fn nul(head: &[u8]) -> Fault<'_> {
    let lines = head.split(|&byte| byte == b'\n').zip(1..);
    let line = lines
        .map(|(bytes, number)| HeaderLine { number, bytes })
        .find(|line| line.bytes.contains(&0));
    line.unwrap_or(HeaderLine { number: 1, bytes: head }).fault("a head has no NUL bytes")
}

const NAME_STANDS_ALONE: &str = "the name of this field stands directly before its colon";

/// A field that says where an answer ends, or whether another follows.
#[derive(Clone, Copy)]
enum Field {
    Connection,
    ContentLength,
    TransferEncoding,
}

impl Field {
    const ALL: [(&str, Field); 3] = [
        ("connection", Field::Connection),
        ("content-length", Field::ContentLength),
        ("transfer-encoding", Field::TransferEncoding),
    ];

    fn named(name: &[u8]) -> Option<Field> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Field::ALL.into_iter().find(|(known, _)| is(known)).map(|(_, field)| field)
    }

    /// Whether a name would be one of these to a peer that overlooks a byte which no name may have,
    /// such as a blank before the colon (RFC 9112 §5.1).
    fn is_disguised(name: &[u8]) -> bool {
        let usual = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.iter().all(usual) {
            return false;
        }
        let letters = || name.iter().filter(|&&byte| is_token(byte)).map(u8::to_ascii_lowercase);
        Field::ALL.iter().any(|(known, _)| letters().eq(known.bytes()))
    }
}

/// What the header fields tell, all of one name taken together (RFC 9110 §5.3).
#[derive(Default)]
struct LengthFields<'h> {
    close: bool,
    keep_alive: bool,
    length: Option<Result<u64, Fault<'h>>>,
    /// The last transfer coding, which is the one that frames the body, and where it stands.
    coding: Option<(Coding, HeaderLine<'h>)>,
}

/// A transfer coding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// Chunked with parameters, which it does not have (RFC 9112 §7.1).
    Faulty,
    /// No coding at all, as RFC 2616 had it.
    Identity,
    Other,
}

impl<'h> LengthFields<'h> {
    fn note(&mut self, line: HeaderLine<'h>) -> Result<(), Fault<'h>> {
        let end = line.bytes.iter().position(|&byte| byte == b':' || byte == b'\n');
        let Some(colon) = end.filter(|&at| line.bytes[at] == b':') else {
            return Err(line.fault("a header line needs a colon"));
        };
        let (name, value) = (&line.bytes[..colon], &line.bytes[colon + 1..]);
        let Some(field) = Field::named(name) else {
            return match Field::is_disguised(name) {
                true => Err(line.fault(NAME_STANDS_ALONE)),
                false => Ok(()),
            };
        };
        if has_controls(value) {
            return Err(line.fault("this field has no control characters"));
        }
        match field {
            Field::Connection => {
                for option in elements(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            Field::ContentLength => {
                for number in elements(value) {
                    self.length = Some(agreed(self.length, decimal(number), line));
                }
            }
            Field::TransferEncoding => {
                let codings = elements(value).filter(|coding| !coding.is_empty());
                let last = codings.map(Coding::of).rfind(|&coding| coding != Coding::Identity);
                self.coding = last.map(|coding| (coding, line)).or(self.coding);
            }
        }
        Ok(())
    }

    fn meaning(&self, status: u16, minor: u16, asked: Asked) -> Result<Meaning, Fault<'h>> {
        let framing = self.framing(status, minor, asked)?;
        let kept = !self.close && (minor > 0 || self.keep_alive);
        // After 101 and after a tunnel is granted, the connection speaks something else.
        let ours = status != 101 && !is_tunnel(status, asked);
        // Who believed the length is at another place of the connection now (RFC 9112 §6.3).
        let overruled = framing == Framing::Chunked && self.length.is_some();
        let next = match kept && framing != Framing::UntilEof {
            false => AfterAnswer::Close,
            true if !ours => AfterAnswer::Leave,
            true if overruled => AfterAnswer::Finish,
            true => AfterAnswer::Reuse,
        };
        Ok(Meaning { status, next, overruled, framing })
    }

    /// RFC 9112 §6.3, its items in their order.
    fn framing(&self, status: u16, minor: u16, asked: Asked) -> Result<Framing, Fault<'h>> {
        match status {
            // We never ask for an upgrade, so 101 is an answer, only not a wanted one.
            100 | 102..=199 => return Ok(Framing::Interim),
            101 | 204 | 304 => return Ok(Framing::Empty),
            _ if asked == Asked::Head || is_tunnel(status, asked) => return Ok(Framing::Empty),
            _ => {}
        }
        match (self.coding, self.length) {
            (Some((Coding::Faulty, line)), _) => Err(line.fault("chunked has no parameters")),
            // A peer of HTTP/1.0 does not know what it is saying (§6.1).
            (Some((_, line)), _) if minor == 0 => {
                Err(line.fault("HTTP/1.0 has no transfer codings"))
            }
            (Some((Coding::Chunked, _)), length) => {
                length.transpose()?;
                Ok(Framing::Chunked)
            }
            (Some((_, line)), Some(_)) => {
                Err(line.fault("beside a Content-Length, only chunked tells where the body ends"))
            }
            (Some(_), None) | (None, None) => Ok(Framing::UntilEof),
            (None, Some(length)) => Ok(match length? {
                0 => Framing::Empty,
                bytes => Framing::Length(bytes),
            }),
        }
    }
}

impl Coding {
    fn of(element: &[u8]) -> Coding {
        let name = element.split(|&byte| byte == b';').next().unwrap_or_default();
        let is = |known: &[u8]| name.trim_ascii().eq_ignore_ascii_case(known);
        match name.len() == element.len() {
            true if is(b"chunked") => Coding::Chunked,
            true if is(b"identity") => Coding::Identity,
            false if is(b"chunked") => Coding::Faulty,
            _ => Coding::Other,
        }
    }
}

fn is_tunnel(status: u16, asked: Asked) -> bool {
    asked == Asked::Connect && (200..=299).contains(&status)
}

/// The elements of a list (RFC 9110 §5.6.1). The line ends of a folded value are white space.
fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether a value has control characters other than a tab and the line ends of its folds.
fn has_controls(value: &[u8]) -> bool {
    value.iter().enumerate().any(|(at, byte)| match byte {
        b'\t' | b'\n' => false,
        b'\r' => value.get(at + 1) != Some(&b'\n'),
        byte => byte.is_ascii_control(),
    })
}

/// `1*DIGIT` and nothing else: no sign, no space, no more than fits (RFC 9112 §6.3, item 5).
fn decimal(digits: &[u8]) -> Option<u64> {
    let number = digits.iter().try_fold(0_u64, |number, &digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    number.filter(|_| !digits.is_empty())
}

/// Lengths may be repeated, as long as they agree.
fn agreed<'h>(
    before: Option<Result<u64, Fault<'h>>>,
    now: Option<u64>,
    line: HeaderLine<'h>,
) -> Result<u64, Fault<'h>> {
    match (before, now) {
        (Some(Err(fault)), _) => Err(fault),
        (_, None) => Err(line.fault("a length is a number below 2^64 in digits")),
        (Some(Ok(before)), Some(now)) if before != now => {
            Err(line.fault("a length that is told twice is the same"))
        }
        (_, Some(now)) => Ok(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"0018446744073709551615"), Some(u64::MAX));
        for bad in ["", "+1", "-1", "1 2", "0x1", "18446744073709551616", "1.0", "1e3"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn fields_are_numbered_by_their_lines_and_taken_with_their_folds() {
        let head = b"HTTP/1.1 200 OK\r\nA: b\n\tc\r\n d\r\n\x0bX: \r\r\n e\r\nB:\n\r\n";
        let read: Vec<(usize, &[u8])> =
            fields(head).map(|line| (line.number, line.bytes)).collect();
        let expected: [(usize, &[u8]); 3] =
            [(2, b"A: b\n\tc\r\n d"), (5, b"\x0bX: \r\r\n e"), (7, b"B:")];
        assert_eq!(read, expected);
    }
}
