//! Starting and stopping a server in this process.
//!
//! Apart from the tests of the program: while those start a process, it holds copies of this one's
//! sockets for a moment, and a port is not free when its server has stopped.

mod common;

use std::{
    io::{ErrorKind, Read},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use bench_server::{Backend, Config, Server};
use common::{Client, backends, start};

#[test]
fn stop_ends_open_connections_soon_and_frees_the_port() {
    for backend in backends() {
        // An address of its own, so that no other test can be given the port once it is free.
        let listen = "127.7.7.7:0".parse().unwrap();
        let config = Config { listen, threads: 2, cpus: None, backend };
        let server = Server::start(config.clone()).unwrap();
        let addr = server.addr();
        let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(addr)).collect();
        for client in &mut clients {
            client.get("/");
        }
        // One of them in the middle of a request.
        clients[0].send(b"GET / HT");
        let start = Instant::now();
        server.stop();
        // A hundredth of this on an idle machine, at most.
        assert!(start.elapsed() < Duration::from_secs(10), "{backend:?}: {:?}", start.elapsed());
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{backend:?}");
        for client in &mut clients {
            let ended = client.stream().read(&mut [0; 1]);
            assert!(matches!(ended, Ok(0) | Err(_)), "{backend:?}");
        }
        let again = Config { listen: addr, ..config };
        assert_eq!(Server::start(again).unwrap().addr(), addr);
    }
}

#[test]
fn a_delayed_answer_does_not_hold_up_the_stop() {
    let server = start(Backend::Hyper, 1);
    let mut client = Client::connect(server.addr());
    client.send(b"GET /delay/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    // Until the server has it.
    while server.stats().requests == 0 {
        std::thread::yield_now();
    }
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn impossible_configurations_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let good = Config { listen: "127.0.0.1:0".parse().unwrap(), threads: 2, ..Config::default() };
    let cases = [
        (Config { threads: 0, ..good.clone() }, "thread"),
        (Config { cpus: Some(vec![]), ..good.clone() }, "empty list"),
        (Config { cpus: Some(vec![1023]), ..good.clone() }, "cpu 1023"),
        (Config { listen: taken, ..good }, "in use"),
    ];
    for (config, expected) in cases {
        let error = Server::start(config).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_pinned_server_serves() {
    let cpus = Some(vec![core_affinity::get_core_ids().unwrap()[0].id]);
    for backend in backends() {
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config { listen, threads: 3, cpus: cpus.clone(), backend };
        let server = Server::start(config).unwrap();
        assert_eq!(Client::connect(server.addr()).get("/").status(), "200");
    }
}
