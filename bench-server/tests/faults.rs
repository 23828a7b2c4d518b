//! Every fault as a plain socket sees it, and how many of them the server says that it made.

mod common;

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bench_server::{Backend, Fault, Server};
use common::{Client, start};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
    /// It goes on, and nothing more comes.
    Silence,
}

/// After so long nothing more comes. Only who is stalled waits for it; shorter than a busy machine
/// may take for an answer, it would be found where there is no fault.
const SILENT: Duration = Duration::from_secs(2);

/// What comes in answer to one request, until the end or until there has been nothing for a while.
fn ask(addr: SocketAddr, path: &str) -> (String, End) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(SILENT)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break End::Fin,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break End::Silence,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => panic!("{e}"),
        }
    };
    (String::from_utf8(answer).unwrap(), end)
}

/// Waits for what the server sees a moment after its client has done it.
fn settles(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "it has not come to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn counts(server: &Server) -> Vec<u64> {
    let faults = server.stats().faults;
    Fault::ALL.map(|fault| faults[fault]).to_vec()
}

#[test]
fn every_fault_as_a_socket_sees_it() {
    let server = start(Backend::Faulty, 1);
    let whole = "Hello, World!";
    let head = "HTTP/1.1 200 OK\r\n";
    // Fault, how what comes begins, how it ends, how the connection ends.
    let cases = [
        (Fault::Close, "", "", End::Fin),
        (Fault::Reset, "", "", End::Reset),
        (Fault::ResetInHead, head, "content-", End::Reset),
        (Fault::ResetInBody, head, "Hello,", End::Reset),
        (Fault::Stall, "", "", End::Silence),
        (Fault::Drip, head, whole, End::Fin),
        (Fault::Garbage, "\x16\x03\x01", "\r\n\r\n", End::Fin),
        (Fault::Lengths, head, whole, End::Fin),
        (Fault::Short, head, whole, End::Fin),
        (Fault::Surplus, head, "Hello, World! And more.", End::Fin),
    ];
    assert_eq!(cases.map(|case| case.0), Fault::ALL);
    for round in 1..=2 {
        for (fault, start, rest, end) in cases {
            let (answer, ended) = ask(server.addr(), "/faulty/100");
            assert_eq!(ended, end, "{fault:?}: {answer:?}");
            assert!(answer.starts_with(start) && answer.ends_with(rest), "{fault:?}: {answer:?}");
            assert_eq!(server.stats().faults[fault], round, "{fault:?}");
            match fault {
                Fault::Short => assert!(answer.contains("content-length: 20\r\n\r\nHello")),
                Fault::Drip | Fault::Surplus => assert!(answer.contains("content-length: 13\r\n")),
                Fault::Lengths => assert_eq!(answer.matches("content-length: ").count(), 2),
                _ => {}
            }
        }
    }
    assert_eq!(counts(&server), [2; 10]);
    assert_eq!((server.stats().requests, server.stats().connections), (20, 20));
    // A stalled client that has left is not kept.
    settles(|| server.connections_open() == 0);
}

#[test]
fn the_share_is_exact_over_threads_and_connections() {
    let server = start(Backend::Faulty, 2);
    let mut clean = 0;
    for _ in 0..500 {
        let (answer, end) = ask(server.addr(), "/faulty/2");
        clean += u32::from(end == End::Fin && answer.ends_with("\r\n\r\nHello, World!"));
    }
    // Ten faults, once each; of them a drip, two lengths and one that is short look like that.
    assert_eq!(counts(&server), [1; 10]);
    assert_eq!(clean, 493);
    let stats = Client::connect(server.addr()).get("/stats");
    assert!(stats.text().contains("\"faults\": {\"close\": 1, \"reset\": 1, "), "{}", stats.text());
}

#[test]
fn a_kept_connection_goes_on_until_a_fault_ends_it() {
    let server = start(Backend::Faulty, 1);
    let mut client = Client::connect(server.addr());
    for _ in 0..49 {
        assert_eq!(client.get("/faulty/1").text(), "Hello, World!");
    }
    assert_eq!((server.stats().faults.total(), server.connections_open()), (0, 1));
    client.send(b"GET /faulty/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.rest(), b"");
    assert_eq!(server.stats().faults[Fault::Close], 1);
}

#[test]
fn a_drip_is_a_whole_answer_on_a_connection_that_goes_on() {
    let server = start(Backend::Faulty, 1);
    // The first five faults.
    (0..5).for_each(|_| drop(ask(server.addr(), "/faulty/100")));
    let mut client = Client::connect(server.addr());
    assert_eq!(client.get("/faulty/100").text(), "Hello, World!");
    assert_eq!(client.get("/").text(), "Hello, World!");
    assert_eq!(server.stats().faults[Fault::Drip], 1);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let server = start(Backend::Faulty, 1);
    let mut client = Client::connect(server.addr());
    for path in ["/faulty/101", "/faulty/1/30", "/faulty/1/0/1"] {
        let response = client.get(path);
        assert_eq!(response.status(), "400", "{path}");
        assert!(response.text().starts_with("expected /faulty/PERCENT"), "{}", response.text());
    }
    assert_eq!(client.get("/faulty").status(), "404");
    for backend in common::backends().into_iter().filter(|&backend| backend != Backend::Faulty) {
        let response = Client::connect(start(backend, 1).addr()).get("/faulty/1");
        assert_eq!((response.status(), response.text()), ("400", "only with --backend faulty\n"));
    }
}
