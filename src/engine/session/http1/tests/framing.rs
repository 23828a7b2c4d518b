//! Where an answer ends and what it comes to, rule by rule.

use super::{Http1, check, play, shared, word};
use crate::engine::session::Session;

type Case<'a> = (&'a str, &'a str, String, &'a [&'a str]);

fn check_all(cases: &[Case]) {
    for (name, method, marked, expected) in cases {
        check(name, method, marked, expected);
    }
}

/// A case whose head is "HTTP/1.1 200 OK" and these fields, `;` between them.
fn ok<'a>(name: &'a str, fields: &str, rest: &str, expected: &'a [&'a str]) -> Case<'a> {
    let fields: String = fields.split_terminator(';').map(|field| format!("{field}\r\n")).collect();
    (name, "GET", format!("HTTP/1.1 200 OK\r\n{fields}\r\n{rest}"), expected)
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

#[test]
fn lengths() {
    check_all(&[
        ok("a length", "Content-Length: 5", "hello|", &["200"]),
        ok("a length of nothing", "Content-Length: 0", "|", &["200"]),
        ok("a body cut short", "Content-Length: 5", "hel", &["more"]),
        ok("a body cut short by the close", "Content-Length: 5", "hel|@", &["eof"]),
        ok("surplus is left alone", "Content-Length: 1", "a|\r\n\r\n", &["200", "more"]),
        ok("equal lengths", "Content-Length: 2;content-length: 2", "ab|", &["200"]),
        ok("a list of equal lengths", "Content-Length: 2, 02", "ab|", &["200"]),
        ok("differing lengths", "Content-Length: 2;Content-Length: 3", "|ab", &["malformed"]),
        ok("a list of differing lengths", "Content-Length: 2,3", "|ab", &["malformed"]),
        ok("a list with a hole", "Content-Length: 2,,2", "|ab", &["malformed"]),
        ok("an empty length", "Content-Length:", "|", &["malformed"]),
        ok("a sign", "Content-Length: +5", "|hello", &["malformed"]),
        ok("no number", "Content-Length: five", "|hello", &["malformed"]),
        ok("overflow", "Content-Length: 18446744073709551616", "|", &["malformed"]),
        ok("the largest length", "Content-Length: 18446744073709551615", "abc", &["more"]),
        ok("no length", "Server: x", "all|@", &["200 last"]),
        ok("no length, no body", "Server: x", "|@", &["200 last"]),
        ok("no length, no end yet", "Server: x", "all", &["more"]),
    ]);
}

#[test]
fn bodies_that_are_not_there() {
    let table: &[(&str, &str, &str, &[&str])] = &[
        ("HEAD", "HEAD", "200 OK\r\nContent-Length: 5\r\n\r\n|", &["200"]),
        ("HEAD, no length", "HEAD", "200 OK\r\n\r\n|", &["200"]),
        (
            "HEAD, both",
            "HEAD",
            "200 O\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n|",
            &["200"],
        ),
        ("HEAD, a wrong length", "HEAD", "200 OK\r\nContent-Length: x\r\n\r\n|", &["200"]),
        ("204", "GET", "204 No Content\r\n\r\n|", &["204"]),
        ("204 with a length", "GET", "204 No Content\r\nContent-Length: 5\r\n\r\n|", &["204"]),
        ("304", "GET", "304 Not Modified\r\nContent-Length: 5\r\n\r\n|", &["304"]),
        ("304 chunked", "GET", "304 N\r\nTransfer-Encoding: chunked\r\n\r\n|", &["304"]),
        ("304 of the last", "GET", "304 N\r\nConnection: close\r\n\r\n|", &["304 last"]),
        ("101", "GET", "101 Switching\r\nUpgrade: x\r\n\r\n|", &["101 status left"]),
        ("a tunnel", "CONNECT", "200 OK\r\nContent-Length: 5\r\n\r\n|", &["200 left"]),
        ("no tunnel", "CONNECT", "405 No\r\nContent-Length: 1\r\n\r\nx|", &["405 status"]),
    ];
    for (name, method, rest, expected) in table {
        check(name, method, &format!("HTTP/1.1 {rest}"), expected);
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx|";
    let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 7\r\n\r\n";
    let cont = "HTTP/1.1 100 Continue\r\n\r\n";
    for (name, marked, expected) in [
        ("one", format!("{cont}{ok}"), &["200"][..]),
        ("several, pipelined", format!("{cont}{early}{ok}{early}{early}{ok}"), &["200", "200"]),
        ("none behind it", cont.into(), &["more"]),
        ("the close behind it", format!("{cont}|@"), &["eof"]),
    ] {
        check(name, "GET", &marked, expected);
    }
    check("HEAD", "HEAD", &format!("{cont}HTTP/1.1 200 OK\r\n\r\n|"), &["200"]);
}

#[test]
fn chunks() {
    check_all(&[
        ok("one chunk", CHUNKED, "5\r\nhello\r\n0\r\n\r\n|", &["200"]),
        ok("no chunk", CHUNKED, "0\r\n\r\n|", &["200"]),
        ok("several", CHUNKED, "1\r\na\r\nA\r\n0123456789\r\n00\r\n\r\n|", &["200"]),
        ok("line ends in the data", CHUNKED, "6\r\n0\r\n\r\n!\r\n0\r\n\r\n|", &["200"]),
        ok("bare LF", CHUNKED, "1\na\n1\r\nb\n0\n\n|", &["200"]),
        ok("extensions", CHUNKED, "1;a=b;c=\"d;e\"\r\nx\r\n0 ; f\r\n\r\n|", &["200"]),
        ok("padding", CHUNKED, "1  \r\nx\r\n0\t\r\n\r\n|", &["200"]),
        ok("a trailer", CHUNKED, "0\r\nA: b\r\n\r\n|", &["200"]),
        ok("trailers, folded, bare LF", CHUNKED, "0\r\nA: b\r\n c\nD:\n\n|", &["200"]),
        ok("leading zeros", CHUNKED, "0000000000000000000001\r\nx\r\n0\r\n\r\n|", &["200"]),
        ok("pipelined", CHUNKED, "0\r\n\r\n|HTTP/1.1 204 N\r\n\r\n|", &["200", "204"]),
        ok("the largest chunk", CHUNKED, "ffffffffffffffff\r\nx", &["more"]),
        ok("overflow", CHUNKED, "10000000000000000|\r\nx", &["malformed"]),
        ok("no size", CHUNKED, "\r|\n", &["malformed"]),
        ok("no size but an extension", CHUNKED, ";|a\r\n", &["malformed"]),
        ok("a sign", CHUNKED, "-|1\r\n", &["malformed"]),
        ok("0x", CHUNKED, "0x|1\r\n", &["malformed"]),
        ok("space before the size", CHUNKED, " |1\r\n", &["malformed"]),
        ok("digits behind the padding", CHUNKED, "1 2|\r\n", &["malformed"]),
        ok("a CR alone", CHUNKED, "1\rx|\r\n", &["malformed"]),
        ok("a CR alone in an extension", CHUNKED, "1;a\rb|\r\n", &["malformed"]),
        ok("a control in an extension", CHUNKED, "1;\0|\r\n", &["malformed"]),
        ok("data beyond the chunk", CHUNKED, "1\r\nab|\r\n", &["malformed"]),
        ok("a CR alone behind the data", CHUNKED, "1\r\na\r0|\r\n", &["malformed"]),
        ok("a missing empty line", CHUNKED, "0\r\nHTTP/|1.1 200 OK\r\n", &["malformed"]),
        ok("a trailer without a name", CHUNKED, "0\r\n:|b\r\n\r\n", &["malformed"]),
        ok("a folded first trailer", CHUNKED, "0\r\n |b\r\n\r\n", &["malformed"]),
        ok("a CR alone in a trailer", CHUNKED, "0\r\na: b\rc|\r\n", &["malformed"]),
        ok("a CR alone at the end", CHUNKED, "0\r\n\r\r|\n", &["malformed"]),
        ok("a control in a trailer", CHUNKED, "0\r\na: \x7f|\r\n", &["malformed"]),
        ok("the close before the end", CHUNKED, "0\r\n|@", &["eof"]),
        ok("the close within data", CHUNKED, "5\r\nhel|@", &["eof"]),
    ]);
}

#[test]
fn transfer_codings() {
    let chunks = "0\r\n\r\n|";
    check_all(&[
        ok("any case", "transfer-encoding:  CHUNKED ", chunks, &["200"]),
        ok("chunked is the last of a list", "Transfer-Encoding: gzip, chunked", chunks, &["200"]),
        ok("of two lists", "Transfer-Encoding: gzip;Transfer-Encoding: chunked", chunks, &["200"]),
        ok("twice", "Transfer-Encoding: chunked;Transfer-Encoding: chunked", chunks, &["200"]),
        ok("a hole behind it", "Transfer-Encoding: chunked, ,", chunks, &["200"]),
        ok(
            "an empty list behind it",
            "Transfer-Encoding: chunked;Transfer-Encoding:",
            chunks,
            &["200"],
        ),
        ok("another is the last", "Transfer-Encoding: chunked, gzip", "0\r\n\r\n|@", &["200 last"]),
        ok("another alone", "Transfer-Encoding: gzip", "abc|@", &["200 last"]),
        ok("none", "Transfer-Encoding:", "abc|@", &["200 last"]),
        ok("none, by its old name", "Transfer-Encoding: Identity", "abc|@", &["200 last"]),
        ok(
            "none, beside a length",
            "Transfer-Encoding: identity;Content-Length: 1",
            "a|",
            &["200"],
        ),
        ok("none behind chunked", "Transfer-Encoding: chunked, identity", chunks, &["200"]),
        ok("none with a parameter", "Transfer-Encoding: identity;a", "|", &["malformed"]),
        ok("a name that contains it", "Transfer-Encoding: xchunked", "abc|@", &["200 last"]),
        ok(
            "with a length",
            "Transfer-Encoding: chunked;Content-Length: 5",
            chunks,
            &["200 finish"],
        ),
        ok(
            "a length before",
            "Content-Length: 0;Transfer-Encoding: chunked",
            chunks,
            &["200 finish"],
        ),
        ok("no length", "Transfer-Encoding: chunked;Content-Length: x", "|", &["malformed"]),
        ok(
            "another and a length",
            "Content-Length: 5;Transfer-Encoding: gzip",
            "|",
            &["malformed"],
        ),
        (
            "parameters",
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n|".into(),
            &["malformed"],
        ),
        (
            "in HTTP/1.0",
            "GET",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|0\r\n\r\n".into(),
            &["malformed"],
        ),
    ]);
}

#[test]
fn what_frames_an_answer_is_taken_strictly() {
    for field in [
        "Transfer-Encoding : chunked",
        "Content-Length\t: 0",
        "Connection : close",
        " Content-Length: 0",
        "\u{b}Content-Length: 0",
        "Content-\rLength: 0",
        "(connection): close",
        "Content-Length: 0\r",
        "Content-Length:\u{b}0",
        "Transfer-Encoding: chunked\u{7f}",
        "Connection: close\rx",
    ] {
        let (_, method, marked, expected) = ok(field, field, "|", &["malformed"]);
        check(field, method, &marked, expected);
    }
    // What the status rules out is looked at for its form only.
    check("HEAD", "HEAD", "HTTP/1.1 200 O\r\nContent-Length : x\r\n\r\n|", &["malformed"]);
}

#[test]
fn what_does_not_frame_an_answer_is_nobodys_business() {
    let fields = "X-Flag : true;: a;A: b\rc;\u{1}(x y): \u{b}\u{7f};X-Content-Length : 9;\
                  Content-Length-X : 9;Cönnection: close;Content_Length: 9";
    check_all(&[
        ok("odd fields", &format!("{fields};Content-Length: 2"), "ok|", &["200"]),
        ok("the first one begins with a blank", " A: b;Content-Length: 2", "ok|", &["200"]),
        ok("a name of nothing but a fold", "A: b;\t:;Content-Length: 2", "ok|", &["200"]),
        ("a CR in the reason", "GET", "HTTP/1.1 204\rNo\r\n\r\n|".into(), &["204"]),
    ]);
}

#[test]
fn what_is_refused_is_said_with_its_line_and_its_rule() {
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n{rest}\r\n\r\n");
    let chunks = |rest: &str| head("Transfer-Encoding: chunked") + rest;
    let after_one = |rest: &str| head("Content-Length: 1") + "x" + rest;
    for (bytes, expected) in [
        (head("X-Ver 7"), "line 4 of the head, \"X-Ver 7\": a header line needs a colon"),
        (head("X\r\n : y"), "line 4 of the head, \"X\": a header line needs a colon"),
        (head("X: \x1b[2J\0"), "line 4 of the head, \"X: \\x1b[2J\\x00\": a head has no NUL bytes"),
        (
            head("Content-Length : 1"),
            "line 4 of the head, \"Content-Length : 1\": the name of this",
        ),
        (
            head("Content-Length: 1\r\nB: c\r\ncontent-length: 2"),
            "line 6 of the head, \"content-len",
        ),
        (head("Content-Length: -1"), "line 4 of the head, \"Content-Length: -1\": a length is"),
        (
            head("Transfer-Encoding: chunked;a"),
            "line 4 of the head, \"Transfer-Encoding: chunked;a\": c",
        ),
        ("HTTP/2 200\r\n\r\n".into(), "line 1 of the head, \"HTTP/2 200\": the version is"),
        ("HTTP/1.1 20 O\r\n\r\n".into(), "line 1 of the head, \"HTTP/1.1 20 O\": a status is"),
        (
            "220 smtp\r\n".into(),
            "an answer starts with \"220 smtp\", and that is not HTTP: is this the \
                                 right port?",
        ),
        (
            after_one("y"),
            "an answer starts with \"y\", and that is not HTTP: is the answer before it",
        ),
        (chunks("1\r\nab\r\n"), "in the chunked body, at \"b\": a line end follows the data"),
        (chunks("g\r\n"), "in the chunked body, at \"g\": a chunk starts with its size"),
        ("\r\r".into(), "a CR without its LF stands before its status line"),
    ] {
        let mut worker = shared("GET");
        let events = play(&mut worker, [bytes.as_bytes()], false, false);
        assert_eq!(word(events.last().unwrap().1), "malformed", "{bytes:?}");
        let detail = Http1::remarks(&worker).malformed.expect("the first fault");
        assert!(detail.starts_with(expected), "{detail}");
        // A head that comes in pieces is refused in the same words.
        if expected.contains("of the head") && !expected.contains("line 1 ") {
            let mut other = shared("GET");
            play(&mut other, bytes.as_bytes().chunks(1), false, false);
            assert_eq!(Http1::remarks(&other).malformed, Some(detail));
        }
    }
}

#[test]
fn what_is_under_way_is_still_read_behind_a_length_that_does_not_count() {
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n";
    let marked = format!("{both}\r\n0\r\n\r\n|HTTP/1.1 204 N\r\n\r\n|");
    check("kept", "GET", &marked, &["200 finish", "204"]);
    let marked = format!("{both}Connection: close\r\n\r\n0\r\n\r\n|");
    check("closed", "GET", &marked, &["200 last"]);
}

#[test]
fn lengths_that_do_not_count_are_counted() {
    let mut shared = shared("GET");
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
    for head in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 Well\r\n"] {
        play(&mut shared, [(head.to_owned() + both).as_bytes()], false, false);
    }
    let alone = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    play(&mut shared, [&alone[..]], false, false);
    assert_eq!(Http1::remarks(&shared).overruled_lengths, 3);
}

#[test]
fn who_keeps_the_connection() {
    for (version, fields, expected) in [
        ("1.1", "", "204"),
        ("1.1", "Connection: keep-alive\r\n", "204"),
        ("1.1", "Connection: close\r\n", "204 last"),
        ("1.1", "connection:CLOSE\r\n", "204 last"),
        ("1.1", "Connection: a, Close ,b\r\n", "204 last"),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", "204 last"),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", "204 last"),
        ("1.1", "Connection: a,\r\n close\r\n", "204 last"),
        ("1.1", "Connection: closed\r\n", "204"),
        ("1.1", "X-Connection: close\r\n", "204"),
        ("1.0", "", "204 last"),
        ("1.0", "Connection: Keep-Alive\r\n", "204"),
        ("1.0", "Connection: keep-alive, close\r\n", "204 last"),
    ] {
        let marked = format!("HTTP/{version} 204 N\r\n{fields}\r\n|");
        check(&marked, "GET", &marked, &[expected]);
    }
    check(
        "until the close",
        "GET",
        "HTTP/1.0 200 OK\nConnection: keep-alive\n\nx|@",
        &["200 last"],
    );
}

#[test]
fn verdicts() {
    for (status, expected) in [
        (200, "200"),
        (201, "201"),
        (302, "302"),
        (399, "399"),
        (400, "400 status"),
        (503, "503 status"),
        (999, "999 status"),
    ] {
        let marked = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n|");
        check(&marked, "GET", &marked, &[expected]);
    }
}

#[test]
fn forms_of_a_head() {
    let body = "Content-Length: 0";
    let tail = format!("{body}\r\n\r\n|");
    let table: &[(&str, String, &[&str])] = &[
        ("bare LF", format!("HTTP/1.1 200 OK\n{body}\n\n|"), &["200"]),
        ("mixed line ends", format!("HTTP/1.1 200 OK\n{body}\r\n\n|"), &["200"]),
        ("LF, then CRLF", format!("HTTP/1.1 200 OK\r\n{body}\n\r\n|"), &["200"]),
        ("no reason", format!("HTTP/1.1 200 \r\n{tail}"), &["200"]),
        ("no reason and no space", format!("HTTP/1.1 200\r\n{tail}"), &["200"]),
        ("the same, bare LF", format!("HTTP/1.1 200\n{tail}"), &["200"]),
        ("a reason in UTF-8", format!("HTTP/1.1 200 schön\r\n{tail}"), &["200"]),
        ("no fields", "HTTP/1.1 204 N\r\n\r\n|".into(), &["204"]),
        ("a folded field", format!("HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n{tail}"), &["200"]),
        ("a fold of white space", format!("HTTP/1.1 200 OK\r\nA: b\r\n \r\n{tail}"), &["200"]),
        ("a folded length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 1\r\n\r\nx|".into(), &["200"]),
        (
            "a length in two",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 1\r\n\r\n|".into(),
            &["malformed"],
        ),
        ("an empty value", format!("HTTP/1.1 200 OK\r\nA:\r\n{tail}"), &["200"]),
        ("a CRLF before", format!("\r\nHTTP/1.1 200 OK\r\n{tail}"), &["200"]),
        ("four of them", format!("\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\n{tail}"), &["200"]),
        (
            "more of them",
            format!("\r\n\r\n\r\n\r\n\n|HTTP/1.1 200 OK\r\n{body}\r\n\r\n"),
            &["malformed"],
        ),
        (
            "between two",
            format!("HTTP/1.1 200 OK\r\n{tail}\n\r\nHTTP/1.1 200 OK\r\n{tail}"),
            &["200", "200"],
        ),
        ("a CR alone before", "\rH|TTP/1.1 200 OK\r\n\r\n".into(), &["malformed"]),
        ("two CR before", "\r\r|\n".into(), &["malformed"]),
        ("a first line folded", format!("HTTP/1.1 200 OK\r\n A b\r\n{tail}"), &["malformed"]),
        ("a line without a colon", format!("HTTP/1.1 200 OK\r\nA\r\n{tail}"), &["malformed"]),
        ("a colon in its fold", format!("HTTP/1.1 200 OK\r\nA\r\n : b\r\n{tail}"), &["malformed"]),
        ("a NUL", format!("HTTP/1.1 200 OK\r\nA: \0\r\n{tail}"), &["malformed"]),
        ("a NUL in the reason", format!("HTTP/1.1 200 \0\r\n{tail}"), &["malformed"]),
        ("half a head", "HTTP/1.1 200 OK\r\nA: b\r\n".into(), &["more"]),
        ("half a head and the close", "HTTP/1.1 200 OK\r\nA: b\r\n|@".into(), &["eof"]),
        ("nothing and the close", "|@".into(), &["eof"]),
    ];
    for (name, marked, expected) in table {
        check(name, "GET", marked, expected);
    }
}

#[test]
fn what_is_no_answer_is_refused_at_its_first_wrong_byte() {
    for marked in [
        "S|SH-2.0-OpenSSH_9.6\r\n",
        "2|20 mail ESMTP\r\n",
        "<|html>",
        "\0|",
        " |HTTP/1.1 200 OK\r\n\r\n",
        "h|ttp/1.1 200 OK\r\n\r\n",
        "HTTP/2| 200\r\n\r\n",
        "HTTP/1.2| 200 OK\r\n\r\n",
        "HTTP/1.1  |200 OK\r\n\r\n",
        "HTTP/1.1\t|200 OK\r\n\r\n",
        "HTTP/1.1 0|00 OK\r\n\r\n",
        "HTTP/1.1 20x| OK\r\n\r\n",
        "HTTP/1.1 20\r|\n\r\n",
        "HTTP/1.1 2000| OK\r\n\r\n",
        "HTTP/1.1 200:| OK\r\n\r\n",
        "HTT\n|\n",
    ] {
        check(marked, "GET", marked, &["malformed"]);
    }
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx|y|z";
    check("behind an answer", "GET", second, &["200", "malformed"]);
}
