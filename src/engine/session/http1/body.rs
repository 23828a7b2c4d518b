//! The bytes after a head: counted, never kept.
//!
//! ```text
//! Length     ─ n bytes ─► whole
//! Chunked    size [;extension] CRLF ─ data ─ CRLF ... 0 CRLF [trailer lines] CRLF ─► whole
//! UntilEof   ─ any bytes ─► whole when the peer closes
//! ```
//!
//! A chunked body (RFC 9112 §7.1) is read by the byte, but for its data. So a split cannot change
//! what it means: there is no place where more than one byte is looked at.

use crate::engine::failure::Kind;

/// The longest chunk-size line, its extensions and its line end included.
pub(super) const CHUNK_LINE_BYTES_MAX: u32 = 4 << 10;
/// The largest trailer section, its closing empty line included.
pub(super) const TRAILER_BYTES_MAX: u32 = 64 << 10;

/// A body that has begun, and is not whole yet.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes are to come; never 0.
    Length { left: u64 },
    /// Chunks are to come.
    Chunked(Chunked),
    /// Whatever comes, up to the peer's close.
    UntilEof,
}

/// Where a body stands after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyState {
    More,
    Whole,
    /// Why, and what should have been there.
    Broken(Kind, &'static str),
}

impl Body {
    /// Takes the body's part of `bytes`, and says how many bytes that was. With
    /// [`BodyState::Broken`], the last one taken is the one at fault.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, BodyState) {
        match self {
            Body::Length { left } => {
                let taken = fitting(*left, bytes.len());
                *left -= taken as u64;
                (taken, if *left == 0 { BodyState::Whole } else { BodyState::More })
            }
            Body::Chunked(chunked) => chunked.take(bytes),
            Body::UntilEof => (bytes.len(), BodyState::More),
        }
    }

    /// How many of the bytes to come need not be looked at.
    pub(super) fn opaque(&self) -> u64 {
        match self {
            Body::Length { left } => *left,
            Body::Chunked(Chunked { step: ChunkStep::Data, left, .. }) => *left,
            Body::Chunked(_) => 0,
            Body::UntilEof => u64::MAX,
        }
    }

    /// `count` of the [`opaque`](Body::opaque) bytes have gone by.
    pub(super) fn skipped(&mut self, count: u64) -> BodyState {
        debug_assert!(count <= self.opaque());
        match self {
            Body::Length { left } => {
                *left = left.saturating_sub(count);
                if *left == 0 { BodyState::Whole } else { BodyState::More }
            }
            Body::Chunked(chunked) => {
                chunked.pass_data(count);
                BodyState::More
            }
            Body::UntilEof => BodyState::More,
        }
    }
}

/// How many of the `available` bytes belong to the `left` ones.
fn fitting(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

/// A chunked body, decoded only as far as it takes to find its end.
#[derive(Debug)]
pub(super) struct Chunked {
    step: ChunkStep,
    /// The size line of the chunk, or the trailer section: how long it is so far.
    line_bytes: u32,
    /// The chunk's size as far as it is read, then its data as far as it is still to come.
    left: u64,
}

/// Which byte is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkStep {
    /// The first digit of a chunk's size.
    SizeStart,
    /// A further digit, or what ends the digits.
    Size,
    /// White space behind the size; RFC 9112 §7.1.1 allows it before an extension, and some
    /// servers pad with it.
    Padding,
    Extension,
    /// The LF that has to follow the CR of the size line.
    SizeLf,
    /// Data; never with nothing left.
    Data,
    /// The line end behind the data.
    DataEnd,
    DataLf,
    /// The first line of the trailer section, which may be the empty one.
    TrailerStart,
    /// Any further line of it, which may continue the one before.
    FieldStart,
    Name,
    Value,
    ValueLf,
    /// The LF that has to follow the CR of the empty line.
    LastLf,
}

impl Chunked {
    pub(super) fn new() -> Chunked {
        Chunked { step: ChunkStep::SizeStart, line_bytes: 0, left: 0 }
    }

    fn take(&mut self, bytes: &[u8]) -> (usize, BodyState) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.step == ChunkStep::Data {
                let taken = fitting(self.left, bytes.len() - at);
                self.pass_data(taken as u64);
                at += taken;
                continue;
            }
            at += 1;
            match self.framing_byte(byte) {
                BodyState::More => {}
                end => return (at, end),
            }
        }
        (at, BodyState::More)
    }

    fn pass_data(&mut self, count: u64) {
        self.left = self.left.saturating_sub(count);
        if self.left == 0 {
            self.step = ChunkStep::DataEnd;
        }
    }

    /// One byte of what is around the data. A line may end in LF alone (RFC 9112 §2.2); a CR
    /// without its LF is never taken for anything.
    fn framing_byte(&mut self, byte: u8) -> BodyState {
        use ChunkStep::*;
        self.line_bytes += 1;
        if self.line_bytes > self.limit().0 {
            return BodyState::Broken(Kind::TooLarge, self.limit().1);
        }
        self.step = match (self.step, byte) {
            (SizeStart | Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if self.left >> 60 != 0 {
                    return BodyState::Broken(
                        Kind::Malformed,
                        "a chunk is smaller than 2^64 bytes",
                    );
                }
                self.left = self.left << 4 | hex_value(byte);
                Size
            }
            (Size | Padding, b' ' | b'\t') => Padding,
            (Size | Padding, b';') => Extension,
            (Size | Padding | Extension, b'\r') => SizeLf,
            (Size | Padding | Extension | SizeLf, b'\n') => return self.size_line_ends(),
            (Extension, b'\t' | b' '..=b'~' | 0x80..) => Extension,
            (DataEnd, b'\r') => DataLf,
            (DataEnd | DataLf, b'\n') => {
                *self = Chunked::new();
                SizeStart
            }
            (TrailerStart | FieldStart, b'\r') => LastLf,
            (TrailerStart | FieldStart | LastLf, b'\n') => return BodyState::Whole,
            (FieldStart, b' ' | b'\t') => Value,
            (TrailerStart | FieldStart | Name, byte) if is_token(byte) => Name,
            (Name, b':') => Value,
            (Value, b'\r') => ValueLf,
            (Value | ValueLf, b'\n') => FieldStart,
            (Value, b'\t' | b' '..=b'~' | 0x80..) => Value,
            (step, _) => return BodyState::Broken(Kind::Malformed, step.rule()),
        };
        BodyState::More
    }

    fn size_line_ends(&mut self) -> BodyState {
        self.line_bytes = 0;
        self.step = if self.left == 0 { ChunkStep::TrailerStart } else { ChunkStep::Data };
        BodyState::More
    }

    /// How long the line or section may be that is under way, and what it is when it is longer.
    fn limit(&self) -> (u32, &'static str) {
        use ChunkStep::*;
        match self.step {
            TrailerStart | FieldStart | Name | Value | ValueLf | LastLf => {
                (TRAILER_BYTES_MAX, "its trailers are larger than 64 KiB")
            }
            _ => (CHUNK_LINE_BYTES_MAX, "the size line of a chunk is larger than 4 KiB"),
        }
    }
}

impl ChunkStep {
    /// What has to be there.
    fn rule(self) -> &'static str {
        use ChunkStep::*;
        match self {
            SizeStart => "a chunk starts with its size in hexadecimal digits",
            Size | Padding => "the size of a chunk is hexadecimal digits, then a line end or `;`",
            Extension => "a chunk's extension has no control characters",
            Data | DataEnd => {
                "a line end follows the data of a chunk, which is longer than its size"
            }
            TrailerStart | FieldStart | Name => {
                "an empty line ends the chunks, or a trailer of the form `Name: value`"
            }
            Value => "a trailer has no control characters",
            SizeLf | DataLf | ValueLf | LastLf => "a CR is followed by its LF",
        }
    }
}

fn hex_value(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    })
}

/// RFC 9110 §5.6.2. A trailer line without a name is not let through: where a server forgets the
/// empty line, the head of the next answer would be swallowed as trailers.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
