//! The counters agree with what a client counted, to the byte.

mod common;

use std::time::Duration;

use bench_server::{Backend, Server, Stats};
use common::{Client, backends, start};

fn read_over_http(server: &Server) -> String {
    Client::connect(server.addr()).get("/stats").text().to_string()
}

/// What `/stats` says while nothing has been held back.
fn without_delays(stats: Stats) -> String {
    let none = "\"delays\": {\"count\": 0, \"mean_us\": 0.0, \"p50_us\": 0, \"p90_us\": 0, \
                \"p99_us\": 0, \"max_us\": 0}";
    format!("{}, {none}}}\n", stats.to_json().strip_suffix("}\n").unwrap())
}

#[test]
fn connections_requests_and_bytes_are_exact() {
    for backend in backends() {
        let server = start(backend, 2);
        let (connections, requests) = (20, 5);
        let (mut sent, mut received) = (0, 0);
        for _ in 0..connections {
            let mut client = Client::connect(server.addr());
            for _ in 0..requests {
                client.get("/");
            }
            sent += client.sent;
            received += client.received;
            // Reading in between must not show, neither this way nor on the board.
            server.stats();
        }
        let expected = Stats {
            connections,
            requests: connections * requests,
            bytes_in: sent,
            bytes_out: received,
            ..Stats::default()
        };
        assert_eq!(server.stats(), expected, "{backend:?}");

        for reads in 1..=3 {
            let expected = Stats { stats_connections: reads, stats_requests: reads, ..expected };
            assert_eq!(read_over_http(&server), without_delays(expected), "{backend:?}");
        }
    }
}

#[test]
fn errors_are_requests_and_stats_on_a_used_connection_are_not() {
    for backend in backends() {
        let server = start(backend, 1);
        let mut client = Client::connect(server.addr());
        client.get("/none");
        client.get("/stats");
        client.get("/");
        let expected = Stats {
            connections: 1,
            requests: 2,
            bytes_in: client.sent,
            bytes_out: client.received,
            stats_connections: 0,
            stats_requests: 1,
            ..Stats::default()
        };
        assert_eq!(server.stats(), expected, "{backend:?}");
    }
}

#[test]
fn bodies_count_as_bytes() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    client.send(&vec![b'x'; 200_000]);
    client.response();
    client.get("/bytes/3000000");
    client.get("/chunked/300000");
    let stats = server.stats();
    assert_eq!((stats.bytes_in, stats.bytes_out), (client.sent, client.received));
    assert!(client.received > 3_500_000);
}

#[test]
fn the_document_is_json_with_the_fields_as_keys() {
    let server = start(Backend::Hyper, 1);
    let response = Client::connect(server.addr()).get("/stats");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let expected = "{\"connections\": 0, \"requests\": 0, \"bytes_in\": 0, \"bytes_out\": 0, \
                    \"stats_connections\": 1, \"stats_requests\": 1, \"accept_errors\": 0, \
                    \"faults\": {\"close\": 0, \"reset\": 0, \"reset_in_head\": 0, \"reset_in_body\": 0, \
                    \"stall\": 0, \"drip\": 0, \"garbage\": 0, \"lengths\": 0, \"short\": 0, \
                    \"surplus\": 0}, \
                    \"delays\": {\"count\": 0, \"mean_us\": 0.0, \"p50_us\": 0, \"p90_us\": 0, \
                    \"p99_us\": 0, \"max_us\": 0}}\n";
    assert_eq!(response.text(), expected);
}

#[test]
fn delays_are_on_record() {
    let server = start(Backend::Hyper, 2);
    assert!(server.delays().is_empty());
    // On connections of their own, so that both threads may have a part in it.
    let mut answers = 0;
    for path in ["/delay/20", "/", "/delay/20", "/delay/x", "/none", "/delay/30", "/delay/20"] {
        let status = Client::connect(server.addr()).get(path).status().to_string();
        answers += u64::from(status == "200" && path != "/");
        assert_eq!(server.delays().len(), answers, "{path}");
    }
    let delays = server.delays();
    // Multiples of what three digits tell apart here, so that nothing is lost to rounding.
    assert!(delays.min() >= 20_000, "{}", delays.min());
    assert!(delays.max() >= 30_000, "{}", delays.max());
    let expected = format!(
        "\"delays\": {{\"count\": 4, \"mean_us\": {:.1}, \"p50_us\": {}, \"p90_us\": {}, \
         \"p99_us\": {}, \"max_us\": {}}}}}\n",
        delays.mean(),
        delays.value_at_quantile(0.5),
        delays.value_at_quantile(0.9),
        delays.value_at_quantile(0.99),
        delays.max(),
    );
    let document = read_over_http(&server);
    assert!(document.ends_with(&expected), "{document} {expected}");
}

#[test]
fn a_slow_body_is_part_of_the_delay() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    client.send(b"POST /delay/0 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh");
    while server.stats().requests == 0 {
        std::thread::yield_now();
    }
    // Its only thread is done with the head once it answers this.
    Client::connect(server.addr()).get("/");
    std::thread::sleep(Duration::from_millis(20));
    client.send(b"i");
    assert_eq!(client.response().status(), "200");
    assert!(server.delays().min() >= 20_000, "{}", server.delays().min());
}
