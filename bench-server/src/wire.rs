//! HTTP/1 as far as a server needs it that has two answers: bytes in, bytes out, no sockets.

use crate::{
    HELLO,
    faults::{Fault, Faulty, Turn},
    route::Route,
    stats::Meter,
};

/// Longest request head; beyond it the client is told so and the connection ends.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// More headers than any client sends that this server is meant for.
const HEADER_COUNT_MAX: usize = 64;

/// What to do with the connection after the answers so far have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Read,
    Close,
    /// The request after the answers so far meets a fault. If the connection outlives that, it goes
    /// on if it is kept.
    Misbehave {
        fault: Fault,
        keep_alive: bool,
    },
}

/// One connection's place in the stream of requests.
#[derive(Default)]
pub(crate) struct Wire {
    /// Bytes of a request body that are still to come and will be skipped.
    body_left: u64,
}

/// What of a request head matters.
struct Head {
    bytes: usize,
    body_bytes: u64,
    is_head: bool,
    keep_alive: bool,
    /// HTTP/1.0 clients close unless told that the server keeps the connection.
    is_http10: bool,
    route: Route,
}

/// Why a request cannot be answered: the status line that says so.
type Refusal = &'static str;

const MALFORMED: Refusal = "400 Bad Request";
const TOO_LARGE: Refusal = "431 Request Header Fields Too Large";
const UNSUPPORTED: Refusal = "501 Not Implemented";

impl Wire {
    /// Answers every complete request at the start of `input` and removes it, up to one for
    /// `/faulty` that `judge` has meet a fault: that one is removed, counted and not answered.
    pub(crate) fn advance(
        &mut self,
        input: &mut Vec<u8>,
        out: &mut Vec<u8>,
        meter: &Meter,
        mut judge: impl FnMut(Faulty) -> Turn,
    ) -> Next {
        let mut used = 0;
        let next = loop {
            used += self.skip_body(input.len() - used);
            let rest = &input[used..];
            if rest.is_empty() {
                break Next::Read;
            }
            match parse(rest) {
                Ok(None) if rest.len() < HEAD_BYTES_MAX => break Next::Read,
                Ok(Some(head)) => {
                    used += head.bytes;
                    self.body_left = head.body_bytes;
                    let keep_alive = head.keep_alive;
                    if let Some(fault) = answer(head, out, meter, &mut judge) {
                        meter.fault(fault);
                        break Next::Misbehave { fault, keep_alive };
                    }
                    if !keep_alive {
                        break Next::Close;
                    }
                }
                Ok(None) => break refuse(TOO_LARGE, out),
                Err(refusal) => break refuse(refusal, out),
            }
        };
        input.drain(..used);
        next
    }

    fn skip_body(&mut self, available: usize) -> usize {
        let skipped = self.body_left.min(available as u64);
        self.body_left -= skipped;
        skipped as usize
    }
}

/// Reads one request head; `None` means that it is not complete yet.
fn parse(input: &[u8]) -> Result<Option<Head>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let bytes = match request.parse(input) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(MALFORMED),
    };
    let is_http10 = request.version == Some(0);
    let mut head = Head {
        bytes,
        body_bytes: 0,
        is_head: request.method == Some("HEAD"),
        keep_alive: !is_http10,
        is_http10,
        route: request
            .path
            .map_or(Route::Unknown, |path| Route::parse(path.split('?').next().unwrap_or(path))),
    };
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("connection") {
            if has_token(header.value, b"close") {
                head.keep_alive = false;
            } else if is_http10 && has_token(header.value, b"keep-alive") {
                head.keep_alive = true;
            }
        } else if header.name.eq_ignore_ascii_case("content-length") {
            let digits = std::str::from_utf8(header.value).map_err(|_| MALFORMED)?;
            head.body_bytes = digits.trim().parse().map_err(|_| MALFORMED)?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(UNSUPPORTED);
        }
    }
    Ok(Some(head))
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// Counts a request and appends its answer, or returns the fault that it meets.
fn answer(
    head: Head,
    out: &mut Vec<u8>,
    meter: &Meter,
    judge: impl FnOnce(Faulty) -> Turn,
) -> Option<Fault> {
    if head.route == Route::Stats {
        let json = meter.stats_request();
        append(&head, "200 OK", "application/json", &json, out);
        return None;
    }
    meter.request();
    let turn = match head.route {
        Route::Hello => Turn::Answer,
        Route::Faulty(what) => judge(what),
        Route::Bad(advice) => Turn::Bad(advice),
        _ => {
            append(&head, "404 Not Found", "text/plain", "no such path\n", out);
            return None;
        }
    };
    match turn {
        // The answer that these backends exist for, ready made.
        Turn::Answer if head.keep_alive && !head.is_http10 && !head.is_head => {
            out.extend_from_slice(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\n\
                  Hello, World!",
            );
        }
        Turn::Answer => append(&head, "200 OK", "text/plain", HELLO, out),
        Turn::Bad(advice) => append(&head, "400 Bad Request", "text/plain", advice, out),
        Turn::Fault(fault) => return Some(fault),
    }
    None
}

fn append(head: &Head, status: &str, content_type: &str, body: &str, out: &mut Vec<u8>) {
    let connection = match (head.keep_alive, head.is_http10) {
        (false, _) => "connection: close\r\n",
        (true, true) => "connection: keep-alive\r\n",
        (true, false) => "",
    };
    let version = if head.is_http10 { "1.0" } else { "1.1" };
    let length = body.len();
    let text = format!(
        "HTTP/{version} {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         {connection}\r\n"
    );
    out.extend_from_slice(text.as_bytes());
    if !head.is_head {
        out.extend_from_slice(body.as_bytes());
    }
}

fn refuse(refusal: Refusal, out: &mut Vec<u8>) -> Next {
    let text = format!("HTTP/1.1 {refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    out.extend_from_slice(text.as_bytes());
    Next::Close
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Board, Lane};

    /// Feeds `input` in one piece and byte by byte, and insists on the same outcome.
    fn feed(input: &str) -> (String, Next) {
        let outcomes = [input.len(), 1].map(|piece| {
            let meter = Meter::open(&Lane::new(Board::new(1), 0));
            let (mut wire, mut pending, mut out) = (Wire::default(), Vec::new(), Vec::new());
            let mut next = Next::Read;
            for bytes in input.as_bytes().chunks(piece.max(1)) {
                pending.extend_from_slice(bytes);
                next = wire.advance(&mut pending, &mut out, &meter, |_| Turn::Answer);
                if next == Next::Close {
                    break;
                }
            }
            (String::from_utf8(out).unwrap(), next)
        });
        assert_eq!(outcomes[0], outcomes[1], "{input:?}");
        outcomes[0].clone()
    }

    #[test]
    fn requests_and_what_follows() {
        // Request, number of answers, status line of the first, what to do with the connection.
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", 1, "HTTP/1.1 200", Next::Read),
            ("GET /?q HTTP/1.1\r\n\r\n", 1, "HTTP/1.1 200", Next::Read),
            ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", 1, "HTTP/1.1 200", Next::Close),
            ("GET / HTTP/1.0\r\n\r\n", 1, "HTTP/1.0 200", Next::Close),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1, "HTTP/1.0 200", Next::Read),
            ("GET /x HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, "HTTP/1.1 404", Next::Read),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 1, "HTTP/1.1 200", Next::Read),
            ("POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n", 1, "HTTP/1.1 400", Next::Close),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                1,
                "HTTP/1.1 501",
                Next::Close,
            ),
            ("\0", 1, "HTTP/1.1 400", Next::Close),
            ("GET / HTTP/1.1\r\n", 0, "", Next::Read),
            ("", 0, "", Next::Read),
        ];
        for (input, answers, start, next) in cases {
            let (out, followed) = feed(input);
            assert_eq!(out.matches("HTTP/1.").count(), answers, "{input:?}: {out}");
            assert!(out.starts_with(start), "{input:?}: {out}");
            assert_eq!(followed, next, "{input:?}");
        }
    }

    #[test]
    fn a_body_is_skipped_and_the_next_request_found() {
        let post = "POST / HTTP/1.1\r\nContent-Length: 16\r\n\r\nGET / HTTP/1.1\r\n";
        let (out, _) = feed(&format!("{post}{post}"));
        assert_eq!(out.matches(HELLO).count(), 2);
    }

    #[test]
    fn an_endless_head_is_refused() {
        let meter = Meter::open(&Lane::new(Board::new(1), 0));
        let (mut input, mut out) = (b"GET /".to_vec(), Vec::new());
        input.resize(HEAD_BYTES_MAX, b'x');
        let next = Wire::default().advance(&mut input, &mut out, &meter, |_| Turn::Answer);
        assert_eq!(next, Next::Close);
        assert!(out.starts_with(b"HTTP/1.1 431"));
    }

    #[test]
    fn a_fault_comes_after_the_answers_before_it_and_leaves_what_follows() {
        let meter = Meter::open(&Lane::new(Board::new(1), 0));
        let request = "GET /faulty/50 HTTP/1.1\r\n\r\n";
        let (mut input, mut out) = (request.repeat(3).into_bytes(), Vec::new());
        let mut turns = [Turn::Answer, Turn::Fault(Fault::Drip)].into_iter();
        let mut judge = |_| turns.next().unwrap();
        let next = Wire::default().advance(&mut input, &mut out, &meter, &mut judge);
        assert_eq!(next, Next::Misbehave { fault: Fault::Drip, keep_alive: true });
        assert_eq!(String::from_utf8(out).unwrap().matches(HELLO).count(), 1);
        assert_eq!(input, request.as_bytes());
    }
}
