//! A head that is known again means what a parsed one means; and both mean what the parser beneath
//! says.
//!
//! ```text
//! byte 0   the method, whether the peer closes
//! rest     two connections, with a record separator (0x1e) between them
//! ```

use super::transcript::{Play, Transcript, block};
use ringshot::session::Event;
use ringshot::session::http1::Shared;

const SEPARATOR: u8 = 0x1e;

/// More fields than any head that is accepted has.
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

/// The first answer of a connection has the status that the parser finds, and a head at least.
fn agrees_with_the_parser(connection: &[u8], events: &Transcript) {
    let Some(&(end, Event::Done(answer))) = events.first() else { return };
    let mut head = connection;
    loop {
        let mut fields = vec![httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let parsed = config.parse_response(&mut response, head);
        let Ok(httparse::Status::Complete(length)) = parsed else {
            panic!("an answer whose head the parser refuses: {parsed:?}");
        };
        head = &head[length..];
        match response.code {
            // An answer follows that is none yet.
            Some(100 | 102..=199) => continue,
            code => assert_eq!(code, Some(answer.status)),
        }
        let head_bytes = (connection.len() - head.len()) as u64;
        assert!(head_bytes <= end, "the answer ends at {end}, its head at {head_bytes}");
        return;
    }
}
