//! What is at a limit and what is beyond it, and how much work and memory it takes.

use super::*;
use crate::engine::session::http1::{body, head};

/// Plays bytes that are too many to be cut everywhere: in one piece, by the byte, and around
/// `cuts`.
fn play_large(bytes: &[u8], cuts: &[usize]) -> Transcript {
    let whole = play(&mut shared("GET"), [bytes], false, false);
    assert_eq!(play(&mut shared("GET"), bytes.chunks(1), false, false), whole);
    for cut in cuts.iter().flat_map(|&cut| cut - 5..cut + 5).filter(|&cut| cut <= bytes.len()) {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(play(&mut shared("GET"), [front, back], false, false), whole, "cut at {cut}");
    }
    whole
}

/// A head of exactly `bytes` bytes.
fn head_of(bytes: usize) -> Vec<u8> {
    let (front, back) = ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: ", "\r\n\r\n");
    let filler = "x".repeat(bytes - front.len() - back.len());
    format!("{front}{filler}{back}").into_bytes()
}

#[test]
fn the_largest_head() {
    let max = head::HEAD_BYTES_MAX;
    let mut fits = head_of(max);
    fits.push(b'x');
    let events = play_large(&fits, &[1_000, max]);
    assert_eq!((events.len(), events[0].0, word(events[0].1)), (1, max as u64 + 1, "200".into()));

    let beyond = head_of(max + 1);
    assert_eq!(play_large(&beyond, &[1_000, max]), [(max as u64, Parsed::Broken(Kind::TooLarge))]);
}

#[test]
fn a_limit_is_named_by_what_met_it() {
    let (head, chunked) =
        ("HTTP/1.1 200 OK\r\nA: ", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (front, expected) in [
        (head.to_owned(), "its head is larger than 256 KiB"),
        (format!("{chunked}1;"), "the size line of a chunk is larger than 4 KiB"),
        (format!("{chunked}0\r\nA: "), "its trailers are larger than 64 KiB"),
    ] {
        let mut shared = shared("GET");
        let bytes = front + &"x".repeat(head::HEAD_BYTES_MAX);
        play(&mut shared, [bytes.as_bytes()], false, false);
        assert_eq!(Http1::remarks(&shared).too_large.as_deref(), Some(expected));
    }
}

#[test]
fn fields_are_not_counted() {
    let fields = "a:\n".repeat(80_000);
    let whole = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\nx");
    let events = play_large(whole.as_bytes(), &[100_000]);
    assert_eq!(
        (events.len(), events[0].0, word(events[0].1)),
        (1, whole.len() as u64, "200".into())
    );
}

#[test]
fn the_largest_lines_around_chunks() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (front, back, max, end) in [
        ("1;", "\r\n", body::CHUNK_LINE_BYTES_MAX, "x\r\n0\r\n\r\n"),
        ("A:", "\r\n\r\n", body::TRAILER_BYTES_MAX, ""),
    ] {
        let prefix = if end.is_empty() { format!("{head}0\r\n") } else { head.to_string() };
        let max = max as usize;
        for (bytes, fits) in [(max, true), (max + 1, false)] {
            let filler = "y".repeat(bytes - front.len() - back.len());
            let text = format!("{prefix}{front}{filler}{back}{end}");
            let events = play_large(text.as_bytes(), &[prefix.len() + max]);
            let expected = if fits {
                (text.len() as u64, "200".to_string())
            } else {
                ((prefix.len() + max + 1) as u64, "too_large".to_string())
            };
            assert_eq!(events.iter().map(|&(at, e)| (at, word(e))).collect::<Vec<_>>(), [expected]);
        }
    }
}

#[test]
fn a_dripping_head_costs_linear_work() {
    let head = head_of(head::HEAD_BYTES_MAX);
    let (parses, searched) = (work::PARSES.get(), work::SEARCHED.get());
    let mut session_shared = shared("GET");
    play(&mut session_shared, head.chunks(1), false, false);
    assert_eq!(work::PARSES.get() - parses, 1);
    assert!(work::SEARCHED.get() - searched <= 3 * head.len() as u64);
}

#[test]
fn the_memory_of_a_large_split_head_is_given_back() {
    let mut shared = shared("GET");
    let mut session = Http1::new(&shared);
    let head = head_of(head::HEAD_BYTES_MAX);
    for piece in head.chunks(1_400) {
        session.answer(&mut shared, piece);
    }
    assert!(shared.splits.take(&session.split).is_none());
    let (bytes, heads) = shared.splits.capacity();
    assert!(heads == 1 && bytes <= split::KEPT_BYTES, "{heads} heads keep {bytes} bytes");
    assert_eq!(session.opaque(), 1);
    assert!(size_of::<Http1>() <= 56, "{}", size_of::<Http1>());
}
