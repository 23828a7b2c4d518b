//! A client made of plain blocking sockets, so that the server is judged by the bytes it sends.

// Each test file compiles its own copy and uses a part of it.
#![allow(dead_code)]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bench_server::{Backend, Config, Server};

/// Far beyond anything these tests wait for; it only turns a hang into a failure.
const TIMEOUT: Duration = Duration::from_secs(10);

pub fn start(backend: Backend, threads: usize) -> Server {
    let listen = "127.0.0.1:0".parse().unwrap();
    Server::start(Config { listen, threads, cpus: None, backend }).unwrap()
}

/// The backends that can be tested: in this build and on this kernel.
pub fn backends() -> Vec<Backend> {
    let listen = "127.0.0.1:0".parse().unwrap();
    [Backend::Hyper, Backend::Uring, Backend::Faulty]
        .into_iter()
        .filter(|&backend| {
            let config = Config { listen, threads: 1, cpus: None, backend };
            backend != Backend::Uring || Server::start(config).is_ok()
        })
        .collect()
}

/// One response, taken apart as far as the tests look at it.
#[derive(Debug)]
pub struct Response {
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A connection that counts what went over it.
pub struct Client {
    stream: TcpStream,
    pending: Vec<u8>,
    pub sent: u64,
    pub received: u64,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Client { stream, pending: Vec::new(), sent: 0, received: 0 }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.sent += bytes.len() as u64;
    }

    /// Sends a request without a body and reads its answer.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        self.response()
    }

    /// Reads one response, with a body as its head announces it.
    pub fn response(&mut self) -> Response {
        let mut response = self.response_head();
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = self.chunks().concat();
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().unwrap();
            response.body = self.take(length);
        }
        response
    }

    /// Reads the head only; right for answers to HEAD.
    pub fn response_head(&mut self) -> Response {
        Response { head: self.until(b"\r\n\r\n"), body: Vec::new() }
    }

    /// Reads a chunked body and returns its chunks.
    pub fn chunks(&mut self) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        loop {
            let size = usize::from_str_radix(self.until(b"\r\n").trim(), 16).unwrap();
            let chunk = self.take(size);
            assert_eq!(self.take(2), b"\r\n");
            if size == 0 {
                return chunks;
            }
            chunks.push(chunk);
        }
    }

    /// Everything up to the end of the connection; fails if the end does not come.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.pending)
    }

    fn until(&mut self, mark: &[u8]) -> String {
        loop {
            if let Some(at) = self.pending.windows(mark.len()).position(|w| w == mark) {
                return String::from_utf8(self.take(at + mark.len())).unwrap();
            }
            assert!(self.fill(), "ended within {:?}", String::from_utf8_lossy(&self.pending));
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        while self.pending.len() < n {
            assert!(self.fill(), "ended {} bytes early", n - self.pending.len());
        }
        self.pending.drain(..n).collect()
    }

    fn fill(&mut self) -> bool {
        let mut buf = [0; 64 * 1024];
        // A socket with a timeout is not restarted after a signal; rings of this process send some.
        let n = loop {
            match self.stream.read(&mut buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => break result.unwrap(),
            }
        };
        self.pending.extend_from_slice(&buf[..n]);
        self.received += n as u64;
        n > 0
    }
}
