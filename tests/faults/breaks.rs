//! The connection ends, or nothing more comes: at every phase of a request.

use super::support::hostile::Act::*;
use super::support::hostile::{ANSWER, Refused};
use super::support::{errors, on_every_engine, ringshot};
use super::{Case, Loss::*, RESET, assert_cases};
use std::io::Write as _;

const HEAD_BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Le";
const BODY_BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
const CHUNK_BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe";
const CHUNK_WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
const UNTIL_EOF: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nhello";
const BLOCK: &[u8] = &[b'x'; 64 << 10];

const fn case(
    name: &'static str,
    flags: &'static str,
    script: &'static [super::Act],
    loss: super::Loss,
) -> Case {
    Case { name, flags, script, loss }
}

#[test]
fn a_reset_at_every_phase() {
    let reset = Each(1, "receive/ECONNRESET");
    let early = Nothing(&["server_closes_early"]);
    let cases = [
        case("on accept", "", &[Reset], OneOf(RESET)),
        case("request unread", "", &[Await, Reset], reset),
        case("closed with the request unread", "", &[Await], reset),
        case("after the request", "", &[Read, Reset], reset),
        case("in the head", "", &[Read, Write(HEAD_BEGUN), Pause, Reset], reset),
        case("right behind half a head", "", &[Read, Write(HEAD_BEGUN), Reset], reset),
        case("in the body", "", &[Read, Write(BODY_BEGUN), Pause, Reset], reset),
        case("right behind half a body", "", &[Read, Write(BODY_BEGUN), Reset], reset),
        case("in a chunk", "", &[Read, Write(CHUNK_BEGUN), Pause, Reset], reset),
        case("in a body that ends with it", "", &[Read, Write(UNTIL_EOF), Pause, Reset], reset),
        case(
            "between pipelined answers",
            "-p 4",
            &[Read, Read, Read, Read, Write(ANSWER), Write(ANSWER), Pause, Reset],
            Each(2, "receive/ECONNRESET"),
        ),
        case("after a second request", "-k", &[Read, Write(ANSWER), Read, Reset], reset),
        case("after the answer", "", &[Read, Write(ANSWER), Pause, Reset], Nothing(&[])),
        case("right behind the answer", "", &[Read, Write(ANSWER), Reset], Nothing(&[])),
        case("while idle", "-k --think 150ms", &[Read, Write(ANSWER), Reset], early),
    ];
    assert_cases(&cases, "3s");
}

#[test]
fn the_end_of_the_stream_at_every_phase() {
    let eof = Each(1, "response/eof");
    let early = Nothing(&["server_closes_early"]);
    const AT_ONCE: &[&str] =
        &["response/eof", "send/ECONNRESET", "send/EPIPE", "receive/ECONNRESET"];
    let cases = [
        // The request meets a socket that is closed already, or one that is about to be.
        case("on accept", "", &[], OneOf(AT_ONCE)),
        case("on accept, and reads on", "", &[Finish, Hold], eof),
        case("request unread", "", &[Await, Finish, Hold], eof),
        case("after the request", "", &[Read], eof),
        case("in the head", "", &[Read, Write(HEAD_BEGUN)], eof),
        case("in the body", "", &[Read, Write(BODY_BEGUN)], eof),
        case("in the body, and reads on", "", &[Read, Write(BODY_BEGUN), Finish, Hold], eof),
        case("in a chunk", "", &[Read, Write(CHUNK_BEGUN)], eof),
        case("between chunks", "", &[Read, Write(CHUNK_WHOLE)], eof),
        case("before the trailers", "", &[Read, Write(CHUNK_WHOLE), Write(b"0\r\n")], eof),
        case(
            "between pipelined answers",
            "-p 4",
            &[Read, Read, Read, Read, Write(ANSWER), Write(ANSWER), Finish, Hold],
            Each(2, "response/eof"),
        ),
        case("after the answer", "", &[Read, Write(ANSWER), Finish, Hold], Nothing(&[])),
        case(
            "of a body that ends with it",
            "",
            &[Read, Write(UNTIL_EOF), Finish, Hold],
            Nothing(&[]),
        ),
        case(
            "the client is to close",
            "--close client",
            &[Read, Write(ANSWER), Finish, Hold],
            Nothing(&[]),
        ),
        case("after a second request", "-k", &[Read, Write(ANSWER), Read], eof),
        case("while idle", "-k", &[Read, Last(ANSWER), Hold], early),
    ];
    assert_cases(&cases, "3s");
}

#[test]
fn silence_at_every_phase() {
    let silent = Each(1, "response/timeout");
    let cases = [
        case("reads nothing", "", &[Ignore], silent),
        case("after the request", "", &[Read, Hold], silent),
        case("in the head", "", &[Read, Write(HEAD_BEGUN), Hold], silent),
        case("in the body", "", &[Read, Write(BODY_BEGUN), Hold], silent),
        case("in a chunk", "", &[Read, Write(CHUNK_BEGUN), Hold], silent),
        case("between chunks", "", &[Read, Write(CHUNK_WHOLE), Hold], silent),
        case(
            "between pipelined answers",
            "-p 4",
            &[Read, Read, Read, Read, Write(ANSWER), Write(ANSWER), Hold],
            Each(2, "response/timeout"),
        ),
        case("after a second request", "-k", &[Read, Write(ANSWER), Read, Hold], silent),
    ];
    assert_cases(&cases, "1500ms");
}

/// Something comes all the time, and it is never the end.
#[test]
fn an_answer_without_an_end() {
    let late = Each(1, "response/timeout");
    const LONG: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n";
    const UNTIL_EOF: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let cases = [
        case("fields now and then", "", &[Read, Write(HEAD_BEGUN), Trickle(b"x")], late),
        case("a body now and then", "", &[Read, Write(LONG), Trickle(b"x")], late),
        case("interim answers now and then", "", &[Read, Trickle(INTERIM)], late),
        case("interim answers in a flood", "", &[Read, Flood(INTERIM)], late),
        case("a body in a flood", "", &[Read, Write(LONG), Flood(BLOCK)], late),
        case("a body up to the end, in a flood", "", &[Read, Write(UNTIL_EOF), Flood(BLOCK)], late),
    ];
    assert_cases(&cases, "1500ms");
}

/// The request is larger than all buffers on its way.
#[test]
fn a_large_request_that_nobody_reads() {
    let mut body = tempfile::NamedTempFile::new().expect("a file");
    body.write_all(&vec![b'x'; 5 << 20]).expect("written");
    let flags = format!("--body-file {}", body.path().display());
    let flags: &'static str = String::leak(flags);
    let unsent = Each(1, "send/timeout");
    // A socket tells of a reset once: to the send that is under way, or to the receive beside it, for
    // which the stream has ended otherwise.
    let broken = OneOf(&["send/ECONNRESET", "send/EPIPE", "receive/ECONNRESET", "response/eof"]);
    let cases = [
        case("reset in the middle of it", flags, &[Await, Reset], broken),
        case("answered unread", flags, &[Await, Write(ANSWER), Finish, Ignore], Nothing(&[])),
    ];
    // The good requests have to come through, too, on whatever else this machine does.
    assert_cases(&cases, "10s");
    assert_cases(&[case("never read", flags, &[Ignore], unsent)], "6s");
}

#[test]
fn nobody_listens() {
    on_every_engine(|engine| {
        let refused = Refused::bind();
        let ran = ringshot(&format!("http://{}/ -c 4 -n 20 {engine} --json -", refused.address));
        assert_eq!(ran.code, Some(4), "{}", ran.stderr);
        let document = ran.sane_document();
        assert_eq!(errors(&document), [("connect/ECONNREFUSED".to_owned(), 20)]);
        assert_eq!(document["connections"]["failed"], 20);
        let advice = document["errors"][0]["advice"].as_str().expect("advice");
        assert!(advice.contains("is the server running"), "{advice}");
        assert!(ran.stderr.contains("ECONNREFUSED"), "{}", ran.stderr);
        assert!(ran.stderr.contains("is the server running"), "{}", ran.stderr);
    });
}
