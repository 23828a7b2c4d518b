//! What each path answers, seen from a raw socket.

mod common;

use std::{net::Shutdown, time::Instant};

use bench_server::{Backend, HELLO};
use common::{Client, backends, start};

#[test]
fn get_on_one_connection() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    // Path, status, Content-Type, length of the body.
    let cases = [
        ("/", "200", Some("text/plain"), 13),
        ("/?query", "200", Some("text/plain"), 13),
        ("/bytes/0", "200", Some("application/octet-stream"), 0),
        ("/bytes/1", "200", Some("application/octet-stream"), 1),
        ("/bytes/65537", "200", Some("application/octet-stream"), 65_537),
        ("/bytes/5000000", "200", Some("application/octet-stream"), 5_000_000),
        ("/chunked/0", "200", Some("application/octet-stream"), 0),
        ("/chunked/100000", "200", Some("application/octet-stream"), 100_000),
        ("/delay/0", "200", Some("text/plain"), 13),
        ("/mix/0/1/50", "200", Some("text/plain"), 13),
        ("/limited/100", "200", Some("text/plain"), 13),
        ("/status/200", "200", None, 0),
        ("/status/204", "204", None, 0),
        ("/status/304", "304", None, 0),
        ("/status/404", "404", None, 0),
        ("/status/503", "503", None, 0),
        ("/status/999", "999", None, 0),
        ("/echo", "200", Some("application/octet-stream"), 0),
    ];
    for (path, status, content_type, length) in cases {
        let response = client.get(path);
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.header("content-type"), content_type, "{path}");
        assert_eq!(response.body.len(), length, "{path}");
        let bodiless = matches!(status, "204" | "304");
        let sized = response.header("content-length").is_some();
        assert_eq!(sized, !bodiless && !path.starts_with("/chunked"), "{path}");
        assert_eq!(response.header("connection"), None, "{path}");
    }
    for path in ["/none", "/bytes", "/mix", "/limited", "/stats/"] {
        assert_eq!(client.get(path).status(), "404", "{path}");
    }
    let bad = [
        "/bytes/x",
        "/bytes/1073741825",
        "/chunked/-1",
        "/delay/x",
        "/mix/1/2",
        "/mix/1/2/101",
        "/limited/0",
        "/limited/1000001",
        "/status/100",
    ];
    for path in bad {
        let response = client.get(path);
        assert_eq!(response.status(), "400", "{path}");
        assert!(response.text().starts_with("expected "), "{path}");
    }
}

#[test]
fn chunked_comes_in_several_chunks() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    for (n, chunks) in [(0, 0), (1, 1), (2, 2), (100, 4), (65_536, 4), (100_000, 7)] {
        client.send(format!("GET /chunked/{n} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        assert_eq!(client.response_head().header("transfer-encoding"), Some("chunked"), "{n}");
        let sizes: Vec<usize> = client.chunks().iter().map(Vec::len).collect();
        assert_eq!((sizes.iter().sum(), sizes.len()), (n, chunks), "{n}: {sizes:?}");
    }
}

#[test]
fn head_announces_but_does_not_send() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    let cases = [
        ("/", "200", "content-length", "13"),
        ("/bytes/1000", "200", "content-length", "1000"),
        ("/bytes/1000000000", "200", "content-length", "1000000000"),
        ("/chunked/1000", "200", "content-type", "application/octet-stream"),
        ("/none", "404", "content-length", "13"),
        ("/delay/0.5", "200", "content-length", "13"),
    ];
    for (path, status, name, value) in cases {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        let response = client.response_head();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.header(name), Some(value), "{path}");
    }
    client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client.response_head();
    assert_eq!(client.rest(), b"");
}

#[test]
fn hello_in_every_way_to_ask_for_it() {
    for backend in backends() {
        let server = start(backend, 2);
        // Request, version and status of the answer, whether the connection ends after it.
        let cases = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", false),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 200", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", true),
            ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200", true),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 200", false),
        ];
        for (request, start, ends) in cases {
            let mut client = Client::connect(server.addr());
            client.send(request.as_bytes());
            let response = client.response();
            assert!(response.head.starts_with(start), "{backend:?} {request:?}: {response:?}");
            assert_eq!(response.text(), HELLO, "{backend:?} {request:?}");
            if !ends {
                assert_eq!(client.get("/").text(), HELLO, "{backend:?} {request:?}");
                client.stream().shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(client.rest(), b"", "{backend:?} {request:?}");
        }
        let mut client = Client::connect(server.addr());
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response_head().header("content-length"), Some("13"), "{backend:?}");
        assert_eq!(client.rest(), b"", "{backend:?}");
        assert_eq!(Client::connect(server.addr()).get("/none").status(), "404", "{backend:?}");
        if backend == Backend::Uring {
            for path in ["/delay/1", "/mix/1/2/50", "/limited/10"] {
                assert_eq!(Client::connect(server.addr()).get(path).status(), "404", "{path}");
            }
        }
    }
}

#[test]
fn sixteen_pipelined_requests() {
    for backend in backends() {
        let server = start(backend, 1);
        let mut client = Client::connect(server.addr());
        let request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
        for _ in 0..3 {
            // Cut within a request, so that the server may see a part of the last one.
            let batch = request.repeat(16);
            let (first, second) = batch.split_at(batch.len() - 9);
            client.send(first.as_bytes());
            client.send(second.as_bytes());
            for _ in 0..16 {
                assert_eq!(client.response().text(), HELLO, "{backend:?}");
            }
        }
        let last = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        client.send(format!("{}{last}", request.repeat(15)).as_bytes());
        let rest = String::from_utf8(client.rest()).unwrap();
        assert_eq!(rest.matches(HELLO).count(), 16, "{backend:?}");
    }
}

#[test]
fn close_ends_the_connection() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    let response = client.get("/close");
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(response.text(), HELLO);
    assert_eq!(client.rest(), b"");
}

#[test]
fn chunked_for_http10_ends_with_the_connection() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    client.send(b"GET /chunked/50000 HTTP/1.0\r\n\r\n");
    assert_eq!(client.response_head().header("transfer-encoding"), None);
    assert_eq!(client.rest().len(), 50_000);
}

#[test]
fn echo_returns_the_body() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    for method in ["POST", "PUT", "GET", "DELETE", "QUERY"] {
        for length in [0, 1, 100_000] {
            let body: Vec<u8> = (0..length).map(|i| b'a' + (i % 26) as u8).collect();
            let head =
                format!("{method} /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n");
            client.send(format!("{head}\r\n").as_bytes());
            client.send(&body);
            let response = client.response();
            let announced = length.to_string();
            assert_eq!(response.header("content-length"), Some(&*announced), "{method} {length}");
            assert!(response.body == body, "{method} {length}");
        }
    }
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(b"5\r\nHello\r\n2\r\n, \r\n6\r\nWorld!\r\n0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.text(), HELLO);
}

#[test]
fn a_body_that_nobody_asked_for_does_not_cost_the_connection() {
    for backend in backends() {
        let server = start(backend, 1);
        let mut client = Client::connect(server.addr());
        for _ in 0..2 {
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
            client.send(&vec![b'x'; 300_000]);
            assert_eq!(client.response().text(), HELLO, "{backend:?}");
        }
        assert_eq!(server.stats().connections, 1, "{backend:?}");
    }
}

#[test]
fn half_closed_clients_get_their_answer() {
    for backend in backends() {
        let server = start(backend, 1);
        let path = if backend == Backend::Hyper { "/delay/2" } else { "/" };
        let mut client = Client::connect(server.addr());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.response().text(), HELLO, "{backend:?}");
        assert_eq!(client.rest(), b"", "{backend:?}");
    }
}

#[test]
fn delay_is_neither_early_nor_a_millisecond_late() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    for (path, ms) in [("/delay/0.5", 0.5), ("/delay/7", 7.0), ("/delay/20", 20.0)] {
        // Never early. Late whenever the machine is busy, so that the best of some tries counts.
        let tries: Vec<f64> = (0..10)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(client.get(path).text(), HELLO);
                start.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        let best = tries.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(best >= ms, "{path}: {tries:?}");
        assert!(best < ms + 50.0, "{path}: {tries:?}");
        println!("{path}: best of {} is {best:.3} ms", tries.len());
    }
}
