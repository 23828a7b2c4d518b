//! What bytes mean, and that it does not matter how they are cut.
//!
//! A case is the bytes with a `|` where an exchange ends (or where it is found out that it never
//! will), an `@` at the end where the peer closes, and the events in words. It is played in one
//! piece, in every two pieces, by the byte, with and without skipping bodies unseen, and on a
//! worker that has seen it all before.

mod framing;
mod limits;
mod properties;

use super::*;

/// Counts of what was done, for the tests that are about the amount of work.
pub(super) mod work {
    use std::cell::Cell;
    thread_local! {
        pub static PARSES: Cell<u64> = const { Cell::new(0) };
        pub static SEARCHED: Cell<u64> = const { Cell::new(0) };
    }
}

fn shared(method: &str) -> Shared {
    let request = Request {
        method: method.into(),
        target: "/".into(),
        host: "h".into(),
        headers: Vec::new(),
        body: Arc::new([]),
    };
    let reuse = Reuse { pipeline: 1, keeps: true, announces_close: true };
    Shared::new(RequestBlock::new(&request, reuse))
}

/// The events of a connection, each with the number of bytes up to there. It ends at the first
/// [`Parsed::Broken`]; a [`Parsed::More`] at its end says that an answer is under way.
type Transcript = Vec<(u64, Parsed)>;

/// Plays `pieces` to a session. With `skips`, what may be skipped is, as a driver would do it.
fn play<'a>(
    shared: &mut Shared,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    skips: bool,
    closes: bool,
) -> Transcript {
    let mut session = Http1::new(shared);
    let (mut events, mut at) = (Vec::new(), 0_u64);
    let mut under_way = false;
    for mut piece in pieces {
        while !piece.is_empty() {
            let opaque = if skips { session.opaque() } else { 0 };
            let progress = if opaque > 0 {
                let consumed = piece.len().min(usize::try_from(opaque).unwrap_or(usize::MAX));
                Taken { consumed, event: session.skip(consumed as u64) }
            } else {
                session.answer(shared, piece)
            };
            assert!(progress.consumed <= piece.len());
            at += progress.consumed as u64;
            piece = &piece[progress.consumed..];
            under_way = progress.event == Parsed::More;
            match progress.event {
                Parsed::More => assert!(piece.is_empty() || skips),
                Parsed::Done(..) => events.push((at, progress.event)),
                Parsed::Broken(_) => {
                    events.push((at, progress.event));
                    return events;
                }
            }
        }
    }
    if closes {
        events.push((at, session.end()));
    } else if under_way {
        events.push((at, Parsed::More));
    }
    events
}

fn word(event: Parsed) -> String {
    match event {
        Parsed::More => "more".into(),
        Parsed::Broken(kind) => kind.to_string(),
        Parsed::Done(Answer { status, verdict, .. }, next) => {
            let verdict = verdict.map_or_else(|kind| format!(" {kind}"), |()| String::new());
            format!(
                "{status}{verdict}{}",
                match next {
                    AfterAnswer::Reuse => "",
                    AfterAnswer::Close => " last",
                    AfterAnswer::Finish => " finish",
                    AfterAnswer::Leave => " left",
                }
            )
        }
    }
}

fn check(name: &str, method: &str, marked: &str, expected: &[&str]) {
    let (marked, closes) =
        marked.strip_suffix('@').map_or((marked, false), |without| (without, true));
    let text = marked.replace('|', "");
    let bytes = text.as_bytes();
    let parts: Vec<&str> = marked.split('|').collect();
    let mut ends: Vec<u64> = Vec::new();
    for part in &parts[..parts.len() - 1] {
        ends.push(ends.last().unwrap_or(&0) + part.len() as u64);
    }
    let mut worn = shared(method);
    let whole = play(&mut worn, [bytes], false, closes);
    assert_eq!(whole.iter().map(|&(_, event)| word(event)).collect::<Vec<_>>(), expected, "{name}");
    let found = whole.iter().filter(|(_, event)| *event != Parsed::More).map(|&(at, _)| at);
    assert_eq!(found.collect::<Vec<_>>(), ends, "{name}: where the events are");

    for skips in [false, true] {
        for cut in 0..=bytes.len() {
            let (front, back) = bytes.split_at(cut);
            let fresh = play(&mut shared(method), [front, back], skips, closes);
            assert_eq!(fresh, whole, "{name}: cut at {cut}, skips {skips}");
            let again = play(&mut worn, [front, back], skips, closes);
            assert_eq!(again, whole, "{name}: again, cut at {cut}, skips {skips}");
        }
        for shared in [&mut shared(method), &mut worn] {
            let dripped = play(shared, bytes.chunks(1), skips, closes);
            assert_eq!(dripped, whole, "{name}: by the byte, skips {skips}");
        }
    }
}

#[test]
fn a_batch_goes_out_piece_by_piece() {
    let request = Request {
        method: "GET".into(),
        target: "/".into(),
        host: "h".into(),
        headers: Vec::new(),
        body: Arc::new([]),
    };
    let reuse = Reuse { pipeline: 3, keeps: true, announces_close: true };
    let mut shared = Shared::new(RequestBlock::new(&request, reuse));
    let constant = Http1::constant(&shared);
    let mut session = Http1::new(&shared);
    assert!(session.outgoing(&mut shared).is_empty());
    session.begin(&mut shared, 0..2, true);
    let batch = session.outgoing(&mut shared).to_vec();
    assert!(constant.as_ptr_range().contains(&session.outgoing(&mut shared).as_ptr()));
    assert!(batch.ends_with(b"Connection: close\r\n\r\n"));
    session.sent(&mut shared, 10);
    assert_eq!(session.outgoing(&mut shared), &batch[10..]);
    session.sent(&mut shared, batch.len() - 10);
    assert!(session.outgoing(&mut shared).is_empty());
    session.begin(&mut shared, 0..3, false);
    session.sent(&mut shared, 1);
    session.open(&mut shared);
    assert!(session.outgoing(&mut shared).is_empty(), "what was half sent is forgotten");
    session.begin(&mut shared, 0..1, true);
    assert!(batch.ends_with(session.outgoing(&mut shared)));
}

#[test]
fn a_new_connection_forgets_what_was_half_received() {
    let mut shared = shared("GET");
    for half in ["HTTP/1.1 2", "HTTP/1.1 200 OK\r\n\r\nabc", "\r", "HTTP/1.1 100 C\r\n\r\n"] {
        let mut session = Http1::new(&shared);
        session.begin(&mut shared, 0..1, false);
        assert_eq!(session.answer(&mut shared, half.as_bytes()).event, Parsed::More);
        session.open(&mut shared);
        session.begin(&mut shared, 0..1, false);
        let whole = b"HTTP/1.1 204 N\r\n\r\n";
        let progress = session.answer(&mut shared, whole);
        assert_eq!((progress.consumed, word(progress.event)), (whole.len(), "204".into()));
    }
}
