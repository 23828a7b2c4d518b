//! What the head of an answer says about everything after it.
//!
//! ```text
//! HTTP/1.1 200 OK          ─► status 200, this peer keeps connections
//! Content-Length: 13       ─► 13 bytes follow
//! Connection: close        ─► but this is the last answer on this one
//! ```
//!
//! Four header fields matter here and all others are only checked for their form. The order in
//! which the rules are asked is that of RFC 9112 §6.3, and it is of consequence: what has no body
//! by its status is not examined for lengths that contradict each other.

use super::request::Asked;
use crate::failure::Kind;
use crate::session::Next;
use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Response, Status};

/// Where a head has more fields than the first, the usual array holds.
const FIELDS_USUAL: usize = 32;
/// The most fields in one head.
pub(super) const FIELDS_MAX: usize = 1024;

/// A whole head, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) status: u16,
    /// What becomes of the connection after this exchange.
    pub(super) next: Next,
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

/// Understands a `head`, whole and with nothing after it.
///
/// Folded lines are taken as RFC 9112 §5.2 tells a user agent to: as one. White space between a
/// field's name and its colon is not taken, because peers disagree on what it makes of
/// `Transfer-Encoding : chunked` (RFC 9112 §5.1).
pub(super) fn meaning(head: &[u8], asked: Asked) -> Result<Meaning, Kind> {
    match parse(head, asked, &mut [EMPTY_HEADER; FIELDS_USUAL]) {
        Err(Error::TooManyHeaders) => meaning_of_many(head, asked),
        Err(_) => Err(Kind::Malformed),
        Ok(meaning) => meaning,
    }
}

/// The same with room for every head we take; apart, to keep its large frame off the usual path.
#[cold]
#[inline(never)]
fn meaning_of_many(head: &[u8], asked: Asked) -> Result<Meaning, Kind> {
    match parse(head, asked, &mut [EMPTY_HEADER; FIELDS_MAX]) {
        Err(Error::TooManyHeaders) => Err(Kind::TooLarge),
        Err(_) => Err(Kind::Malformed),
        Ok(meaning) => meaning,
    }
}

/// The outer error is one of form, the inner one of content.
fn parse<'h>(
    head: &'h [u8],
    asked: Asked,
    fields: &mut [Header<'h>],
) -> Result<Result<Meaning, Kind>, Error> {
    #[cfg(test)]
    super::tests::work::PARSES.with(|parses| parses.set(parses.get() + 1));
    let mut config = ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let mut response = Response::new(fields);
    let whole = config.parse_response(&mut response, head)? == Status::Complete(head.len());
    let (true, Some(status), Some(minor)) = (whole, response.code, response.version) else {
        return Ok(Err(Kind::Malformed));
    };
    let mut told = Told::default();
    for field in response.headers.iter() {
        told.note(field.name, field.value);
    }
    Ok(told.meaning(status, minor, asked))
}

/// What the header fields tell, all of one name taken together (RFC 9110 §5.3).
#[derive(Default)]
struct Told {
    close: bool,
    keep_alive: bool,
    length: Option<Result<u64, Kind>>,
    coding: Option<Coding>,
}

/// The last transfer coding, which is the one that frames the body.
#[derive(Clone, Copy)]
enum Coding {
    Chunked,
    /// Chunked with parameters, which it does not have (RFC 9112 §7.1).
    Faulty,
    Other,
}

impl Told {
    fn note(&mut self, name: &str, value: &[u8]) {
        if name.eq_ignore_ascii_case("connection") {
            for option in elements(value) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.eq_ignore_ascii_case("content-length") {
            for number in elements(value) {
                self.length = Some(agreed(self.length, decimal(number)));
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let mut codings = elements(value).filter(|coding| !coding.is_empty());
            let before = self.coding.unwrap_or(Coding::Other);
            self.coding = Some(codings.next_back().map_or(before, Coding::of));
        }
    }

    fn meaning(&self, status: u16, minor: u8, asked: Asked) -> Result<Meaning, Kind> {
        let framing = self.framing(status, minor, asked)?;
        let kept = !self.close && (minor > 0 || self.keep_alive);
        // After 101 and after a tunnel is granted, the connection speaks something else.
        let ours = status != 101 && !is_tunnel(status, asked);
        let next = match kept && framing != Framing::UntilEof {
            false => Next::Close,
            true if ours => Next::Reuse,
            true => Next::Leave,
        };
        Ok(Meaning { status, next, framing })
    }

    /// RFC 9112 §6.3, its items in their order.
    fn framing(&self, status: u16, minor: u8, asked: Asked) -> Result<Framing, Kind> {
        match status {
            // We never ask for an upgrade, so 101 is an answer, only not a wanted one.
            100 | 102..=199 => return Ok(Framing::Interim),
            101 | 204 | 304 => return Ok(Framing::Empty),
            _ if asked == Asked::Head || is_tunnel(status, asked) => return Ok(Framing::Empty),
            _ => {}
        }
        match (self.coding, self.length) {
            // Of the two ways out that §6.3 leaves, the one that cannot be desynchronised. And a
            // peer of HTTP/1.0 does not know what it is saying (§6.1).
            (Some(_), Some(_)) | (Some(Coding::Faulty), None) => Err(Kind::Malformed),
            (Some(_), None) if minor == 0 => Err(Kind::Malformed),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::Other), None) | (None, None) => Ok(Framing::UntilEof),
            (None, Some(length)) => Ok(match length? {
                0 => Framing::Empty,
                bytes => Framing::Length(bytes),
            }),
        }
    }
}

impl Coding {
    fn of(element: &[u8]) -> Coding {
        match element.split(|&byte| byte == b';').next() {
            Some(name) if !name.trim_ascii().eq_ignore_ascii_case(b"chunked") => Coding::Other,
            Some(name) if name.len() == element.len() => Coding::Chunked,
            _ => Coding::Faulty,
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

/// `1*DIGIT` and nothing else: no sign, no space, no more than fits (RFC 9112 §6.3, item 5).
fn decimal(digits: &[u8]) -> Result<u64, Kind> {
    let number = digits.iter().try_fold(0_u64, |number, &digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    number.filter(|_| !digits.is_empty()).ok_or(Kind::Malformed)
}

/// Lengths may be repeated, as long as they agree.
fn agreed(before: Option<Result<u64, Kind>>, now: Result<u64, Kind>) -> Result<u64, Kind> {
    match before {
        Some(before) if before != now => Err(Kind::Malformed),
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        assert_eq!(decimal(b"0"), Ok(0));
        assert_eq!(decimal(b"0018446744073709551615"), Ok(u64::MAX));
        for bad in ["", "+1", "-1", "1 2", "0x1", "18446744073709551616", "1.0", "1e3"] {
            assert_eq!(decimal(bad.as_bytes()), Err(Kind::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_number_of_fields_up_to_the_limit_is_legal() {
        for (fields, expected) in [
            (FIELDS_USUAL, Ok(204)),
            (FIELDS_USUAL + 1, Ok(204)),
            (FIELDS_MAX, Ok(204)),
            (FIELDS_MAX + 1, Err(Kind::TooLarge)),
        ] {
            let head = format!("HTTP/1.1 204 No\r\n{}\r\n", "a: b\r\n".repeat(fields));
            let read = meaning(head.as_bytes(), Asked::Content).map(|meaning| meaning.status);
            assert_eq!(read, expected, "{fields}");
        }
    }
}
