//! A head that is known again means what a parsed one means; and where another parser, which is
//! stricter, finds nothing wrong with it, both mean what that one says.
//!
//! ```text
//! byte 0   the method, whether the peer closes
//! rest     two connections, with a record separator (0x1e) between them
//! ```

use super::transcript::{Play, Transcript, block};
use ringshot::engine::failure::Kind;
use ringshot::engine::session::http1::{Parsed, Shared};

const SEPARATOR: u8 = 0x1e;

/// Heads with more fields are not shown to the other parser.
const FIELDS_MAX: usize = 2048;

/// Plays the connections to a worker that remembers, and to one that does not.
pub fn run(data: &[u8]) {
    let [choices, bytes @ ..] = data else { return };
    let block = block(["GET", "HEAD"][usize::from(choices % 2)]);
    let remembers = Play { closes: choices & 2 != 0, ..Play::default() };
    let forgets = Play { forgets: true, ..remembers };
    let mut worn = Shared::new(block.clone());
    let connections: Vec<&[u8]> = bytes.splitn(2, |&byte| byte == SEPARATOR).collect();
    // The second time each of them may meet the head of the other.
    for connection in connections.iter().chain(&connections) {
        let mut fresh = Shared::new(block.clone());
        let expected = forgets.play(&mut fresh, &block, [*connection]);
        let events = remembers.play(&mut worn, &block, [*connection]);
        assert_eq!(events, expected, "a head was known again");
        agrees_with_the_parser(connection, &expected);
    }
}

/// The parser takes any three digits for a status; the first one is at least 1 (RFC 9110 §15).
const STATUS_MIN: u16 = 100;

/// The parser passes over any number of line ends before a status line, where ours has a limit.
const BLANK_BYTES_MAX: usize = 8;

/// What frames an answer, in which more is refused than the other parser looks for.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// The first answer of a connection has the status that the parser finds, and a head at least; and
/// nothing is refused that is in order, but for what frames an answer.
fn agrees_with_the_parser(connection: &[u8], events: &Transcript) {
    let Some(&(end, event)) = events.first() else { return };
    let mut head = connection;
    loop {
        let mut fields = vec![httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let parsed = config.parse_response(&mut response, head);
        let Ok(httparse::Status::Complete(length)) = parsed else { return };
        let blank_bytes = head.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        head = &head[length..];
        let strange = response.code.is_some_and(|status| status < STATUS_MIN);
        if strange || blank_bytes > BLANK_BYTES_MAX {
            return;
        }
        // An answer follows that is none yet.
        if let Some(100 | 102..=199) = response.code {
            continue;
        }
        let head_bytes = (connection.len() - head.len()) as u64;
        let frames = |name: &str| FRAMING.iter().any(|known| name.eq_ignore_ascii_case(known));
        match event {
            Parsed::Done(answer, _) => {
                assert_eq!(response.code, Some(answer.status));
                assert!(head_bytes <= end, "the answer ends at {end}, its head at {head_bytes}");
            }
            Parsed::Broken(kind @ (Kind::Malformed | Kind::TooLarge)) if end <= head_bytes => {
                let fields = &response.headers;
                assert!(fields.iter().any(|field| frames(field.name)), "{kind}: {fields:?}");
            }
            _ => {}
        }
        return;
    }
}
