//! The connection holds, and what comes is wrong, or only unusual.

use super::support::hostile::ANSWER;
use super::support::hostile::Act::*;
use super::{Act, Case, Loss, Loss::*, assert_cases};

/// Each of these is the whole answer, after which the server waits.
fn assert_answers(answers: &[(&'static str, &'static [u8])], loss: Loss) {
    let case = |&(name, bytes): &(&'static str, &'static [u8])| {
        let script: &'static [Act] = Vec::leak(vec![Read, Write(bytes), Hold]);
        Case { name, flags: "", script, loss }
    };
    assert_cases(&answers.iter().map(case).collect::<Vec<_>>(), "3s");
}

#[test]
fn answers_that_are_none() {
    let answers: [(&str, &[u8]); 7] = [
        (
            "another protocol, and a terminal's",
            b"\x1b[2J\x1b]0;owned\x07 220 smtp.example ESMTP\r\n",
        ),
        ("another version", b"HTTP/2 200\r\n\r\n"),
        ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
        ("a NUL", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: \0\r\n\r\nhello"),
        ("a field without a colon", b"HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\nhello"),
        ("a space before its colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"),
        ("nothing but empty lines", b"\r\n\r\n\r\n\r\n\r\n\r\n"),
    ];
    assert_answers(&answers, Each(1, "response/malformed"));
}

#[test]
fn lengths_that_are_none() {
    let answers: [(&str, &[u8]); 14] = [
        (
            "beside a coding that is not chunked",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        ),
        ("two", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("two in a list", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"),
        ("negative", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
        ("signed", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
        ("hexadecimal", b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"),
        ("empty", b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello"),
        ("overflow", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello"),
        ("chunk: no digit", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        ("chunk: negative", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
        (
            "chunk: overflow",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        ),
        (
            "chunk: too short",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "chunk: too long",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nhello\r\n0\r\n\r\n",
        ),
        ("chunk: an empty size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"),
    ];
    assert_answers(&answers, Each(1, "response/malformed"));
}

#[test]
fn lengths_that_are_not_kept() {
    const TOO_LONG: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhello";
    const TOO_SHORT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello";
    const LONGEST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nhello";
    let surplus = Nothing(&["surplus_bytes"]);
    let eof = Each(1, "response/eof");
    let case = |name, flags, script, loss| Case { name, flags, script, loss };
    let cases = [
        case("too long", "", &[Read, Write(TOO_LONG)], eof),
        case("the longest", "", &[Read, Write(LONGEST)], eof),
        case("too short", "", &[Read, Write(TOO_SHORT), Hold], surplus),
        case("too short on a kept connection", "-k", &[Read, Write(TOO_SHORT), Hold], surplus),
        case("surplus bytes", "", &[Read, Write(ANSWER), Pause, Write(b"and more"), Hold], surplus),
        case("two answers for one", "-k", &[Read, Write(TWICE), Hold], surplus),
        case("six answers for four", "-p 4", &[Read, Read, Read, Read, Write(SIX), Hold], surplus),
        case(
            "four asked, the first answer is the last",
            "-p 4",
            &[Read, Write(LAST), Hold],
            Nothing(&[]),
        ),
    ];
    assert_cases(&cases, "3s");
}

const TWICE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
    HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// In one piece, as a client that has its four and asks again takes what comes then for an answer.
const SIX: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
    HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
    HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
    HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

#[test]
fn beyond_every_limit() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let too_large = Each(1, "response/too_large");
    let case = |name, script| Case { name, flags: "", script, loss: too_large };
    let cases = [
        case("fields", &[Read, Write(HEAD), Flood(b"X-Padding: 0123456789012345678901\r\n")]),
        case("one field", &[Read, Write(HEAD), Write(b"X: "), Flood(&[b'x'; 1024])]),
        case("a chunk's extension", &[Read, Write(CHUNKED), Write(b"5;"), Flood(&[b'x'; 1024])]),
        case(
            "trailers",
            &[Read, Write(CHUNKED), Write(b"0\r\n"), Flood(b"X-Trailer: 0123456\r\n")],
        ),
    ];
    assert_cases(&cases, "3s");
}

#[test]
fn an_unwanted_status() {
    let answers: [(&str, &[u8]); 3] = [
        ("not found", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        ("switched", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        ("beyond what there is", b"HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n"),
    ];
    let case = |&(name, bytes): &(&'static str, &'static [u8])| {
        let script: &'static [Act] = Vec::leak(vec![Read, Write(bytes)]);
        Case { name, flags: "", script, loss: Each(1, "verify/status") }
    };
    assert_cases(&answers.iter().map(case).collect::<Vec<_>>(), "3s");
}

#[test]
fn what_is_only_unusual_is_no_failure() {
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n";
    const BARE: &[u8] = b"HTTP/1.1 200\nContent-Length: 5, 5\nContent-Length: 5\n\nhello";
    const ODD: &[u8] = b"HTTP/1.1 200 OK\r\nX-Flag : true\r\n(odd): \x01\r\n: \r\n\
        Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello";
    const BOTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    const FOUR: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let fields = "ab:\n".repeat(50_000);
    let many = format!("HTTP/1.1 200 OK\n{fields}Content-Length: 5\n\nhello").into_bytes();
    let many: &'static [Act] = Vec::leak(vec![Read, Write(Vec::leak(many))]);
    let well = Nothing(&[]);
    let both = Nothing(&["server_both_framings"]);
    let ignores = Nothing(&["server_ignores_close"]);
    let case = |name, flags, script, loss| Case { name, flags, script, loss };
    let cases = [
        case("a drip", "", &[Read, Drip(ANSWER)], well),
        case("a drip of chunks", "", &[Read, Drip(CHUNKED)], well),
        case("interim answers", "", &[Read, Write(INTERIM), Pause, Write(ANSWER)], well),
        case("bare line ends, equal lengths", "", &[Read, Write(BARE)], well),
        case("odd fields", "", &[Read, Write(ODD)], well),
        case("odd fields, kept", "-r 2", &[Read, Write(ODD), Read, Write(ODD)], well),
        case("thousands of fields", "", many, well),
        case("chunks beside a length", "", &[Read, Write(BOTH)], both),
        case("the same, kept", "-k", &[Read, Write(BOTH), Hold], both),
        case("the same, pipelined", "-p 4", &[Read, Read, Read, Read, Write(FOUR), Hold], both),
        case("before the request is read", "", &[Await, Write(ANSWER), Read], well),
        case("before there is a request", "", &[Write(ANSWER), Read], well),
        case("before it, and it is never read", "", &[Write(ANSWER), Await], well),
        case("never closes", "", &[Read, Write(ANSWER), Hold], ignores),
    ];
    assert_cases(&cases, "3s");
}
