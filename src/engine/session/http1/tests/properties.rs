//! What holds for any bytes, cut anywhere.

use super::{Http1, play, shared, word};
use crate::engine::session::Session;
use crate::engine::session::http1::request::Asked;
use crate::engine::session::http1::{framing, head};
use proptest::prelude::*;

/// A usual answer, changed in a few places: most of what comes of it is nearly right.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let bases = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: u\r\n\r\n",
        "HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 3\n\nabc",
        "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\nConnection: close\r\n\r\n",
    ]);
    let bit = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        " ",
        ":",
        ",",
        "0",
        "5",
        ";",
        "\0",
        "\u{80}",
        "close",
        "X-Flag : true\r\n",
        "X-Ver 7\r\n",
        "Content-Length: 3\r\n",
        "Content-Length : 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "HTTP/1.1 200 OK\r\n",
        "",
    ]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, bit), 0..4);
    (bases, edits, 1_usize..3).prop_map(|(base, edits, times)| {
        let mut bytes = base.repeat(times).into_bytes();
        for (at, removed, inserted) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, inserted.bytes());
        }
        bytes
    })
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| &bytes[start..end]).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_known_head_means_what_a_new_one_means(
        first in mutated(), second in mutated(), method in "GET|HEAD|CONNECT",
    ) {
        let mut worn = shared(&method);
        play(&mut worn, [&first[..]], false, true);
        for bytes in [&second, &first, &first] {
            let fresh = play(&mut shared(&method), [&bytes[..]], false, true);
            prop_assert_eq!(play(&mut worn, [&bytes[..]], false, true), fresh);
        }
    }

    #[test]
    fn a_changed_byte_is_never_taken_for_the_known_head(
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let base = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 3\r\n\r\nabc".to_vec();
        let mut worn = shared("GET");
        play(&mut worn, [&base[..]], false, false);
        let mut changed = base;
        let at = at.index(changed.len());
        changed[at] = byte;
        let fresh = play(&mut shared("GET"), [&changed[..]], false, true);
        prop_assert_eq!(play(&mut worn, [&changed[..]], false, true), fresh);
    }

    #[test]
    fn a_cut_changes_nothing(
        bytes in mutated(), cuts in cuts(), skips in any::<bool>(), closes in any::<bool>(),
    ) {
        let whole = play(&mut shared("GET"), [&bytes[..]], false, closes);
        let pieces = play(&mut shared("GET"), cut(&bytes, &cuts), skips, closes);
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn garbage_is_consumed_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        front in prop::sample::select(vec![
            "", "HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:",
        ]),
        cuts in cuts(),
    ) {
        let bytes = [front.as_bytes(), &bytes].concat();
        let whole = play(&mut shared("GET"), [&bytes[..]], false, true);
        prop_assert_eq!(play(&mut shared("GET"), cut(&bytes, &cuts), true, true), whole);
    }

    #[test]
    fn a_refusal_has_words_that_steer_no_terminal(bytes in mutated(), cuts in cuts()) {
        let mut shared = shared("GET");
        let events = play(&mut shared, cut(&bytes, &cuts), false, false);
        let refused = events.last().is_some_and(|&(_, event)| word(event) == "malformed");
        let detail = Http1::remarks(&shared).malformed;
        prop_assert_eq!(detail.is_some(), refused);
        prop_assert!(detail.is_none_or(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~'))));
    }

    /// httparse and the search agree on where a head ends, or httparse finds fault with it; and
    /// what it finds none with has its status here, or is at fault in a field that frames.
    #[test]
    fn a_head_ends_where_the_parser_says(bytes in mutated()) {
        if let head::Search::Found(end) = head::search(&bytes, 0) {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            let mut config = httparse::ParserConfig::default();
            config.allow_obsolete_multiline_headers_in_responses(true);
            let Ok(parsed) = config.parse_response(&mut response, &bytes) else { return Ok(()) };
            prop_assert_eq!(parsed, httparse::Status::Complete(end));
            let framing = ["content-length", "transfer-encoding"];
            let frames =
                |name: &str| framing.iter().any(|known| name.eq_ignore_ascii_case(known));
            match framing::meaning(&bytes[..end], Asked::Content) {
                Ok(meaning) => prop_assert_eq!(Some(meaning.status), response.code),
                Err(_) => prop_assert!(response.headers.iter().any(|field| frames(field.name))),
            }
        }
    }

    #[test]
    fn what_is_encoded_in_chunks_ends_where_it_ends(
        chunks in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 1..300), "(;[ -~]{0,20})?", any::<bool>()), 0..6),
        trailers in prop::collection::vec("[a-zA-Z-]{1,8}:[ -~]{0,20}", 0..4),
        surplus in prop::collection::vec(any::<u8>(), 0..8),
        cuts in cuts(), skips in any::<bool>(),
    ) {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for (data, extension, upper) in &chunks {
            let size = data.len();
            let size = if *upper { format!("{size:X}") } else { format!("{size:03x}") };
            bytes.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
            bytes.extend_from_slice(data);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n");
        for trailer in &trailers {
            bytes.extend_from_slice(format!("{trailer}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let end = bytes.len() as u64;
        bytes.extend_from_slice(&surplus);

        let events = play(&mut shared("GET"), cut(&bytes, &cuts), skips, false);
        prop_assert_eq!((events[0].0, word(events[0].1)), (end, "200".to_string()));
    }
}
