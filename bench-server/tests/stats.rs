//! The counters agree with what a client counted, to the byte.

mod common;

use bench_server::{Backend, Server, Stats};
use common::{Client, backends, start};

fn read_over_http(server: &Server) -> String {
    Client::connect(server.addr()).get("/stats").text().to_string()
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
            assert_eq!(read_over_http(&server), expected.to_json(), "{backend:?}");
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
            accept_errors: 0,
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
                    \"stats_connections\": 1, \"stats_requests\": 1, \"accept_errors\": 0}\n";
    assert_eq!(response.text(), expected);
}
