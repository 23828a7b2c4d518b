//! Answers that come when they are due: which of them, in which order, and not before.
//!
//! A busy machine makes anything late, so that only lower bounds on time are strict.

mod common;

use std::time::{Duration, Instant};

use bench_server::{Backend, Server};
use common::{Client, start};

/// Sends a request and returns when the server has it.
fn send(server: &Server, path: &str) -> Client {
    let before = server.stats().requests;
    let mut client = Client::connect(server.addr());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    while server.stats().requests == before {
        std::thread::yield_now();
    }
    client
}

#[test]
fn a_mix_has_its_share_of_slow_answers() {
    let server = start(Backend::Hyper, 2);
    let start = Instant::now();
    // Several connections, so that both threads are likely to have a part in it.
    let mut clients = [(); 5].map(|()| Client::connect(server.addr()));
    for _ in 0..20 {
        for client in &mut clients {
            assert_eq!(client.get("/mix/0/256/10").status(), "200");
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(10 * 256));
    let delays = server.delays();
    // 256 ms is a bound between values that three digits tell apart, and longer than a busy machine
    // lets a fast answer wait.
    let fast = delays.count_between(0, 255_999);
    assert_eq!((fast, delays.len() - fast), (90, 10));
}

/// How long it takes to get 300 answers at 500 a second, with 30 requests at any time.
fn three_hundred_answers() -> Duration {
    let server = start(Backend::Hyper, 2);
    let request = b"GET /limited/500 HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut clients: Vec<Client> = (0..30).map(|_| Client::connect(server.addr())).collect();
    let start = Instant::now();
    for client in &mut clients {
        client.send(request);
    }
    for round in 1..=10 {
        for client in &mut clients {
            assert_eq!(client.response().status(), "200");
            if round < 10 {
                client.send(request);
            }
        }
    }
    let took = start.elapsed();
    assert_eq!(server.delays().len(), 300);
    took
}

#[test]
fn a_limit_is_met_within_a_few_percent() {
    // Five tokens are there at first, the others take 2 ms each.
    let least = Duration::from_millis(2 * (300 - 5));
    // Never earlier. Later when the machine is so busy that the line empties, so that the best of
    // some tries counts.
    let mut tries = Vec::new();
    for _ in 0..5 {
        let took = three_hundred_answers();
        assert!(took >= least, "{took:?}");
        if took < least.mul_f64(1.05) {
            return;
        }
        tries.push(took);
    }
    panic!("none within 5 % of {least:?}: {tries:?}");
}

#[test]
fn a_limit_keeps_the_order() {
    // One thread, since two may be late by different times.
    let server = start(Backend::Hyper, 1);
    let mut clients: Vec<Client> = (0..15).map(|_| send(&server, "/limited/100")).collect();
    for three in clients.chunks_mut(3) {
        // When the last of them has its answer, the others' must be there as well.
        assert_eq!(three[2].response().status(), "200");
        for earlier in &mut three[..2] {
            earlier.stream().set_nonblocking(true).unwrap();
            assert_eq!(earlier.response().status(), "200");
        }
    }
}

#[test]
fn a_line_that_is_too_long_is_a_503_at_once() {
    // One thread, so that the requests have their places in the order in which they are counted.
    let server = start(Backend::Hyper, 1);
    let mut first = send(&server, "/limited/0.1");
    assert_eq!(first.response().status(), "200");
    // Its turn is in 10 s.
    let second = send(&server, "/limited/0.1");
    for _ in 0..3 {
        let response = Client::connect(server.addr()).get("/limited/0.1");
        assert_eq!(response.status(), "503");
        assert_eq!(response.text(), "more than 10 s of requests are waiting\n");
    }
    // The second still waits and is not on record.
    assert_eq!(server.delays().len(), 4);
    drop(second);
    // Other rates have lines of their own.
    assert_eq!(Client::connect(server.addr()).get("/limited/0.2").status(), "200");
}

#[test]
fn too_many_mixes_and_rates_are_refused() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    for (path, name) in [("/mix/0/0/", "mixes"), ("/limited/", "rates")] {
        for n in 1..=64 {
            assert_eq!(client.get(&format!("{path}{n}")).status(), "200", "{path}{n}");
        }
        let response = client.get(&format!("{path}65"));
        assert_eq!(response.status(), "400");
        assert_eq!(response.text(), format!("expected at most 64 different {name}\n"));
        assert_eq!(client.get(&format!("{path}64")).status(), "200");
    }
    assert_eq!(server.delays().len(), 2 * 65);
}
