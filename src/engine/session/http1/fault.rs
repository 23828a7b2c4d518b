//! Why an answer is refused, in words that name the place and the rule.
//!
//! A fault is found without cost. Only the first one of its kind is put into words, as the others
//! are most likely the same:
//!
//! ```text
//! line 3 of the head, "X-Ver 7": a header line needs a colon
//! ╰──── place ──────╯ ╰ excerpt ╯ ╰───────── rule ──────────╯
//! ```

use crate::engine::failure::Kind;
use crate::engine::session::Remarks;
use std::fmt::Write;

/// The longest excerpt, after its bytes are escaped.
const EXCERPT_CHARS_MAX: usize = 80;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault<'b> {
    pub(super) kind: Kind,
    pub(super) place: Location,
    /// The bytes at fault, and perhaps some behind them.
    pub(super) bytes: &'b [u8],
    /// What should have been there.
    pub(super) rule: &'static str,
}

/// Where in an answer something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Its very first bytes, which are not those of HTTP.
    Start,
    /// A line of its head; the status line is the first.
    Line(usize),
    /// Between its chunks.
    Chunks,
    /// The rule says it.
    Whole,
}

impl Fault<'_> {
    /// Remembers the first fault of its kind. `is_http` tells that the peer has answered in HTTP
    /// before.
    pub(super) fn note(&self, remarks: &mut Remarks, is_http: bool) {
        let words = match self.kind {
            Kind::Malformed => &mut remarks.malformed,
            Kind::TooLarge => &mut remarks.too_large,
            _ => return,
        };
        if words.is_none() {
            *words = Some(self.words(is_http));
        }
    }

    #[cold]
    fn words(&self, is_http: bool) -> String {
        let (excerpt, rule) = (excerpt(self.bytes), self.rule);
        match self.place {
            Location::Whole => rule.into(),
            Location::Line(number) => format!("line {number} of the head, \"{excerpt}\": {rule}"),
            Location::Chunks => format!("in the chunked body, at \"{excerpt}\": {rule}"),
            Location::Start => {
                let question = match is_http {
                    false => "is this the right port?",
                    true => "is the answer before it longer than its head says?",
                };
                format!("an answer starts with \"{excerpt}\", and {rule}: {question}")
            }
        }
    }
}

/// The first line of some bytes, or its beginning, in printable ASCII.
fn excerpt(bytes: &[u8]) -> String {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // Each byte is one character at least.
    let shown = &line[..line.len().min(EXCERPT_CHARS_MAX)];
    let mut text = String::new();
    for &byte in shown {
        let escaped = std::ascii::escape_default(byte);
        if text.len() + escaped.len() > EXCERPT_CHARS_MAX {
            break;
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{escaped}");
    }
    if shown.escape_ascii().count() > text.len() || shown.len() < line.len() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "a rule";

    fn fault(place: Location, bytes: &[u8]) -> Fault<'_> {
        Fault { kind: Kind::Malformed, place, bytes, rule: RULE }
    }

    #[test]
    fn an_excerpt_is_short_and_steers_no_terminal() {
        let long = [b'x'; 500];
        let cases: [(&[u8], String); 6] = [
            (b"X-Ver 7\r\n", "X-Ver 7".into()),
            (b"a\nb", "a".into()),
            (b"\x1b[2J\x07\"\\\xff", r#"\x1b[2J\x07\"\\\xff"#.into()),
            (b"", String::new()),
            (&long, "x".repeat(80) + "..."),
            (&[0; 21], "\\x00".repeat(20) + "..."),
        ];
        for (bytes, expected) in cases {
            assert_eq!(excerpt(bytes), expected);
        }
    }

    #[test]
    fn the_first_fault_of_a_kind_is_kept() {
        let mut remarks = Remarks::default();
        fault(Location::Line(3), b"X 7").note(&mut remarks, true);
        fault(Location::Chunks, b"g").note(&mut remarks, true);
        let large = Fault { kind: Kind::TooLarge, ..fault(Location::Whole, b"") };
        large.note(&mut remarks, true);
        assert_eq!(remarks.malformed.unwrap(), "line 3 of the head, \"X 7\": a rule");
        assert_eq!(remarks.too_large.unwrap(), RULE);
    }

    #[test]
    fn only_who_has_never_spoken_http_may_be_on_another_port() {
        let words = |is_http| fault(Location::Start, b"SSH-2.0").words(is_http);
        assert!(words(false).starts_with("an answer starts with \"SSH-2.0\", and a rule: is this"));
        assert!(words(false).contains("port") && !words(true).contains("port"));
    }
}
