//! The request, written once before the run and only pointed at afterwards.
//!
//! Every request of a run has the same bytes, but for the last one of a connection, which may
//! announce that it is the last. So one block holds all that is ever sent, laid out so that each
//! batch of pipelined requests, with the announcing one at its end or without, is one slice:
//!
//! ```text
//!   plain   plain   plain   plain   closing        a pipeline of 4
//!  ├───────┼───────┼───────┼───────┼─────────┤
//!  ╰── a batch of 3 ───────╯
//!                  ╰─── 3, the last closes ──╯
//! ```
//!
//! A part that the plan can never need is not there: with a new connection for each request there
//! is one closing request and nothing else, so that a large body is kept once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

const USER_AGENT: &str = concat!("ringshot/", env!("CARGO_PKG_VERSION"));

/// What to ask for. All of it is checked before it comes here: it is copied as it is.
#[derive(Clone)]
pub struct Request {
    /// The method, in its exact case.
    pub method: String,
    /// Path and query, as they go into the request line (RFC 9112 §3.2.1).
    pub target: String,
    /// The value of `Host`: with the port where that is not the scheme's own.
    pub host: String,
    /// Further header fields. A `Host`, `User-Agent`, `Connection`, `Content-Length` or
    /// `Transfer-Encoding` among them stands in for the one that would be written here.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The content; it may be empty.
    pub body: Arc<[u8]>,
}

/// How the connections are used, as far as it shows in the bytes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// The most requests that one batch holds, at least 1.
    pub pipeline: u32,
    /// Some requests go out without `Connection: close`: another one follows on their connection,
    /// or it is the client that closes.
    pub keeps: bool,
    /// The last request of a connection carries `Connection: close`.
    pub announces_close: bool,
}

/// All the bytes that a run ever sends. Cloning it shares them.
#[derive(Clone)]
pub struct RequestBlock {
    pub(super) bytes: Arc<[u8]>,
    pub(super) layout: Layout,
    pub(super) asked: Asked,
}

/// Where the requests lie in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    plain_bytes: usize,
    /// The part of a request that follows its head.
    body_bytes: usize,
    /// 0 where no request announces the close.
    closing_bytes: usize,
    plain_count: u32,
}

/// What the method means for the length of the answer (RFC 9112 §6.3, items 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The answer has a head and nothing else.
    Head,
    /// A 2xx answer turns the connection into a tunnel, of which we take no notice.
    Connect,
    /// Any other method: the head of the answer tells.
    Content,
}

impl RequestBlock {
    /// Writes the block for `request`.
    pub fn new(request: &Request, reuse: Reuse) -> RequestBlock {
        // With a Connection header of the user's own, a last request is like any other.
        let announces = reuse.announces_close && !request.has("connection");
        let needs_plain = reuse.keeps || !announces;
        let plain_count = if needs_plain { reuse.pipeline.max(1) } else { 0 };
        let plain = request.head(false);
        let closing = if announces { request.head(true) } else { Vec::new() };

        let body_bytes = request.body.len();
        let layout = Layout {
            plain_bytes: plain.len() + body_bytes,
            body_bytes,
            closing_bytes: if announces { closing.len() + body_bytes } else { 0 },
            plain_count,
        };
        let mut bytes = Vec::with_capacity(layout.plains_end() + layout.closing_bytes);
        for _ in 0..plain_count {
            bytes.extend_from_slice(&plain);
            bytes.extend_from_slice(&request.body);
        }
        if announces {
            bytes.extend_from_slice(&closing);
            bytes.extend_from_slice(&request.body);
        }
        RequestBlock { bytes: bytes.into(), layout, asked: request.asked() }
    }
}

impl Layout {
    /// Where a batch of `exchanges` requests lies, the last of which is the `last` of its
    /// connection.
    pub(super) fn batch(&self, exchanges: u32, last: bool) -> Range<usize> {
        assert!(exchanges > 0, "a batch holds at least one request");
        let closes = last && self.closing_bytes > 0;
        let plain = exchanges - u32::from(closes);
        assert!(plain <= self.plain_count, "the block holds no batch of {exchanges}");
        let plain_bytes = plain as usize * self.plain_bytes;
        if closes {
            self.plains_end() - plain_bytes..self.plains_end() + self.closing_bytes
        } else {
            0..plain_bytes
        }
    }

    /// How many requests have their whole head within the first `bytes` of a connection: a peer may
    /// act on a head before the body is there. (The head of a closing request, the last of its
    /// connection, is a little longer than is reckoned here.)
    pub(super) fn reached(&self, bytes: u64) -> u64 {
        bytes.saturating_add(self.body_bytes as u64) / self.plain_bytes.max(1) as u64
    }

    /// The most requests of a batch.
    pub(super) fn batch_max(&self) -> u32 {
        self.plain_count.max(1)
    }

    fn plains_end(&self) -> usize {
        self.plain_bytes * self.plain_count as usize
    }
}

impl Request {
    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    fn asked(&self) -> Asked {
        match self.method.as_str() {
            "HEAD" => Asked::Head,
            "CONNECT" => Asked::Connect,
            _ => Asked::Content,
        }
    }

    /// A request for which the server expects content says so even when there is none
    /// (RFC 9110 §8.6); any other says so only when there is some.
    fn tells_its_length(&self) -> bool {
        let expects_content = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        (expects_content || !self.body.is_empty())
            && !self.has("content-length")
            && !self.has("transfer-encoding")
    }

    /// The bytes up to the body.
    fn head(&self, closes: bool) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut field = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        };
        if !self.has("host") {
            field("Host", self.host.as_bytes());
        }
        if !self.has("user-agent") {
            field("User-Agent", USER_AGENT.as_bytes());
        }
        for (name, value) in &self.headers {
            field(name, value);
        }
        if self.tells_its_length() {
            field("Content-Length", self.body.len().to_string().as_bytes());
        }
        if closes {
            field("Connection", b"close");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

impl fmt::Debug for Request {
    /// Without the values of the headers, where passwords live, and without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("host", &self.host)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for RequestBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBlock").field("layout", &self.layout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UA: &str = concat!("User-Agent: ringshot/", env!("CARGO_PKG_VERSION"), "\r\n");

    fn request(method: &str, headers: &[(&str, &str)], body: &str) -> Request {
        Request {
            method: method.into(),
            target: "/a?b=c".into(),
            host: "h:81".into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), value.as_bytes().to_vec()))
                .collect(),
            body: body.as_bytes().into(),
        }
    }

    fn text(block: &RequestBlock, exchanges: u32, last: bool) -> String {
        String::from_utf8(block.bytes[block.layout.batch(exchanges, last)].to_vec()).unwrap()
    }

    const KEPT: Reuse = Reuse { pipeline: 1, keeps: true, announces_close: false };
    const CLOSED: Reuse = Reuse { pipeline: 1, keeps: false, announces_close: true };

    #[test]
    fn the_bytes_of_a_request() {
        type Case<'a> = (&'a str, Request, Reuse, String);
        let host = "Host: h:81\r\n";
        let cases: &[Case] = &[
            (
                "a plain request",
                request("GET", &[], ""),
                KEPT,
                format!("GET /a?b=c HTTP/1.1\r\n{host}{UA}\r\n"),
            ),
            (
                "the last of its connection",
                request("GET", &[], ""),
                CLOSED,
                format!("GET /a?b=c HTTP/1.1\r\n{host}{UA}Connection: close\r\n\r\n"),
            ),
            (
                "with a body",
                request("POST", &[("X", "y")], "hello"),
                CLOSED,
                format!(
                    "POST /a?b=c HTTP/1.1\r\n{host}{UA}X: y\r\nContent-Length: 5\r\n\
                     Connection: close\r\n\r\nhello"
                ),
            ),
            (
                "an empty body where one is expected",
                request("PUT", &[], ""),
                KEPT,
                format!("PUT /a?b=c HTTP/1.1\r\n{host}{UA}Content-Length: 0\r\n\r\n"),
            ),
            (
                "a body where none is expected",
                request("DELETE", &[], "x"),
                KEPT,
                format!("DELETE /a?b=c HTTP/1.1\r\n{host}{UA}Content-Length: 1\r\n\r\nx"),
            ),
            (
                "the user's own length",
                request("POST", &[("content-length", "2")], "x"),
                KEPT,
                format!("POST /a?b=c HTTP/1.1\r\n{host}{UA}content-length: 2\r\n\r\nx"),
            ),
            (
                "the user's own transfer coding",
                request("POST", &[("TRANSFER-ENCODING", "chunked")], "0\r\n\r\n"),
                KEPT,
                format!(
                    "POST /a?b=c HTTP/1.1\r\n{host}{UA}TRANSFER-ENCODING: chunked\r\n\r\n0\r\n\r\n"
                ),
            ),
            (
                "the user's own Host, User-Agent and Connection",
                request("GET", &[("hOST", "z"), ("user-agent", "u"), ("connection", "x")], ""),
                CLOSED,
                "GET /a?b=c HTTP/1.1\r\nhOST: z\r\nuser-agent: u\r\nconnection: x\r\n\r\n".into(),
            ),
        ];
        for (name, request, reuse, expected) in cases {
            let block = RequestBlock::new(request, *reuse);
            assert_eq!(&text(&block, 1, !reuse.keeps), expected, "{name}");
            assert_eq!(block.bytes.len(), expected.len(), "{name}: nothing else is kept");
        }
    }

    #[test]
    fn every_batch_is_one_slice_and_only_its_last_request_closes() {
        let ask = request("POST", &[], "body");
        let plain = text(&RequestBlock::new(&ask, KEPT), 1, false);
        let closing = text(&RequestBlock::new(&ask, CLOSED), 1, true);
        let block =
            RequestBlock::new(&ask, Reuse { pipeline: 4, keeps: true, announces_close: true });
        for k in 1..=4 {
            assert_eq!(text(&block, k, false), plain.repeat(k as usize));
            assert_eq!(text(&block, k, true), plain.repeat(k as usize - 1) + &closing);
        }
    }

    #[test]
    fn a_request_has_reached_the_peer_with_the_end_of_its_head() {
        let ask = request("POST", &[], "body");
        let layout = RequestBlock::new(&ask, KEPT).layout;
        let (whole, head) = (layout.plain_bytes as u64, layout.plain_bytes as u64 - 4);
        for (bytes, reached) in [
            (0, 0),
            (head - 1, 0),
            (head, 1),
            // One byte more than was acknowledged may be counted.
            (whole + 1, 1),
            (whole + head - 1, 1),
            (whole + head, 2),
            (10 * whole, 10),
            (u64::MAX, u64::MAX / whole),
        ] {
            assert_eq!(layout.reached(bytes), reached, "{bytes}");
        }
        // Nothing of a closing request may be counted before the requests ahead of it are whole.
        let reuse = Reuse { pipeline: 4, keeps: true, announces_close: true };
        let layout = RequestBlock::new(&ask, reuse).layout;
        let all = layout.batch(4, true).len() as u64;
        assert_eq!(layout.reached(all), 4);
        assert_eq!(layout.reached(all - layout.closing_bytes as u64), 3);
    }

    #[test]
    fn nothing_announces_a_close_that_the_client_makes_itself() {
        let reuse = Reuse { pipeline: 2, keeps: true, announces_close: false };
        let block = RequestBlock::new(&request("GET", &[], ""), reuse);
        assert_eq!(text(&block, 2, true), text(&block, 2, false));
        assert!(!text(&block, 2, true).contains("close"));
    }

    #[test]
    fn a_users_connection_header_makes_all_requests_alike() {
        let reuse = Reuse { pipeline: 2, keeps: true, announces_close: true };
        let block = RequestBlock::new(&request("GET", &[("Connection", "x")], ""), reuse);
        assert_eq!(text(&block, 2, true), text(&block, 2, false));
        assert_eq!(block.bytes.len(), text(&block, 2, true).len());
    }

    #[test]
    #[should_panic(expected = "the block holds no batch of 3")]
    fn a_batch_beyond_the_pipeline_is_refused() {
        let reuse = Reuse { pipeline: 2, keeps: true, announces_close: true };
        RequestBlock::new(&request("GET", &[], ""), reuse).layout.batch(3, false);
    }

    #[test]
    fn a_password_in_a_header_is_not_printed() {
        let ask = request("GET", &[("Authorization", "Basic c2VjcmV0")], "");
        let printed = format!("{ask:?} {:?}", RequestBlock::new(&ask, KEPT));
        assert!(printed.contains("Authorization") && !printed.contains("c2VjcmV0"));
    }
}
