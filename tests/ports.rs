//! Source addresses and source ports, in network namespaces: who used which, as the server saw it.

mod support;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use support::netns::{Namespace, isolated};
use support::peers::{self, Listen, Peer};
use support::{ENGINES, assert_consistent, errors, findings, ringshot, server, went_over};

/// The range of most tests.
const PORTS: std::ops::RangeInclusive<u16> = 40000..=40999;

/// Runs the program, which must not lose a request, and returns its document.
fn run(arguments: &str) -> Value {
    // Without ports a run would take hours: attempts that fail rest before the next one. This is as
    // long as these tests may wait for a run.
    let document = run_any(&format!("{arguments} -d 55s"));
    assert_eq!(document["requests"]["failed"], 0, "{arguments}: {:?}", errors(&document));
    document
}

/// Runs the program to the end of a run.
fn run_any(arguments: &str) -> Value {
    let ran = ringshot(&format!("{arguments} --json -"));
    assert_eq!(ran.code, Some(0), "{arguments}: {}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    document
}

/// A thousand ports, each of them for one minute: what a distant server means to a client.
fn thousand_ports(namespace: &Namespace) {
    namespace.set("net.ipv4.tcp_tw_reuse", "0");
    namespace.set("net.ipv4.ip_local_port_range", "40000 40999");
}

/// How many connections each source port had.
fn by_port(clients: &[SocketAddr]) -> HashMap<u16, usize> {
    let mut ports = HashMap::new();
    for client in clients {
        *ports.entry(client.port()).or_insert(0) += 1;
    }
    ports
}

/// Somebody else's socket, bound to a port without SO_REUSEADDR.
fn bound(address: &str) -> Socket {
    let address: SocketAddr = address.parse().expect("an address");
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("a free port");
    socket
}

#[test]
fn a_thousand_ports_carry_ten_thousand_connections() {
    isolated(&[], |namespace| {
        thousand_ports(namespace);
        let server = server();
        let plan = "-c 16 -n 10000 --close client";
        let document = run(&format!("http://{}/ {plan}", server.addr()));
        assert_eq!(document["requests"]["ok"], 10000);
        assert_eq!(server.stats().connections, 10000);
        assert_eq!(namespace.counter("TcpActiveOpens"), 10000);
        assert_eq!(findings(&document), [""; 0]);
    });
}

#[test]
fn a_thousand_ports_go_round_over_every_engine() {
    for engine in ENGINES {
        isolated(&[], |namespace| {
            thousand_ports(namespace);
            let server = server();
            let plan = format!("-c 16 -t 2 -n 4000 --close client {engine}");
            let document = run(&format!("http://{}/ {plan}", server.addr()));
            if !went_over(engine, &document) {
                return;
            }
            assert_eq!(document["requests"]["ok"], 4000, "{engine}");
            assert_eq!(server.stats().connections, 4000, "{engine}");
        });
    }
}

#[test]
fn the_kernels_own_choice_ends_with_the_range() {
    isolated(&[], |namespace| {
        thousand_ports(namespace);
        let server = server();
        let plan = "-c 16 -n 20000 -d 4s --close client --source-ports kernel";
        let document = run_any(&format!("http://{}/ {plan}", server.addr()));
        let names: Vec<String> = errors(&document).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["connect/EADDRNOTAVAIL"]);
        let ok = document["requests"]["ok"].as_u64().expect("a count");
        assert!((999..=1000).contains(&ok), "{ok}");
        assert!(findings(&document).contains(&"ports_exhausted".to_owned()));
    });
}

#[test]
fn several_source_addresses_are_used_in_turn() {
    isolated(&[], |_| {
        for (list, expected) in [
            ("127.0.0.2", vec!["127.0.0.2"]),
            ("127.0.0.2,127.0.0.3", vec!["127.0.0.2", "127.0.0.3"]),
            // A number that the workers do not divide.
            ("127.0.0.2,127.0.0.3,127.0.0.4", vec!["127.0.0.2", "127.0.0.3", "127.0.0.4"]),
        ] {
            for flags in ["", "--close client", "--source-ports kernel", "-k"] {
                let peer = Peer::start(Listen::default(), peers::polite);
                run(&format!("{} -t 2 -c 24 -n 480 --source-ip {list} {flags}", peer.url()));
                let mut used: HashMap<IpAddr, usize> = HashMap::new();
                for client in peer.clients() {
                    *used.entry(client.ip()).or_insert(0) += 1;
                }
                let mut seen: Vec<String> = used.keys().map(IpAddr::to_string).collect();
                seen.sort();
                assert_eq!(seen, expected, "{list} {flags}");
                let (least, most) = (used.values().min(), used.values().max());
                assert!(most <= least.map(|least| least * 2).as_ref(), "{list} {flags}: {used:?}");
            }
        }
    });
}

#[test]
fn a_network_is_a_list_of_source_addresses() {
    isolated(&[], |_| {
        let peer = Peer::start(Listen::default(), peers::polite);
        run(&format!("{} -c 16 -n 400 --source-ip 127.0.1.0/29", peer.url()));
        let used: std::collections::HashSet<IpAddr> =
            peer.clients().iter().map(SocketAddr::ip).collect();
        // All of 127.0.0.0/8 is on every box, the first and the last address included.
        assert_eq!(used.len(), 8, "{used:?}");
        assert!(used.iter().all(|ip| ip.to_string().starts_with("127.0.1.")), "{used:?}");
    });
}

#[test]
fn two_source_addresses_have_twice_the_ports() {
    isolated(&[], |namespace| {
        thousand_ports(namespace);
        let server = server();
        let plan = "-c 16 -n 1600 --close client --source-ports kernel";
        run(&format!("http://{}/ {plan} --source-ip 127.0.0.2,127.0.0.3", server.addr()));
        assert_eq!(server.stats().connections, 1600);
    });
}

#[test]
fn ipv6_source_addresses_and_ports() {
    isolated(&[], |namespace| {
        if let Err(error) = TcpListener::bind("[::1]:0") {
            return eprintln!("skipped: no IPv6 here: {error}");
        }
        namespace.set("net.ipv4.tcp_tw_reuse", "0");
        let listen = Listen { address: "[::1]:0", ..Listen::default() };
        let peer = Peer::start(listen, peers::polite);
        for flags in ["", "--close client", "--close client --source-ports 40000-40999"] {
            run(&format!("{} -c 8 -n 1500 --source-ip ::1 {flags}", peer.url()));
        }
        let clients = peer.clients();
        assert!(clients.iter().all(|client| client.ip().to_string() == "::1"));
        assert!(clients[clients.len() - 1500..].iter().all(|last| PORTS.contains(&last.port())));
    });
}

#[test]
fn a_given_range_is_used_and_nothing_else() {
    for engine in ENGINES {
        isolated(&[], |_| {
            let peer = Peer::start(Listen::default(), peers::polite);
            let plan = "-c 16 -n 3000 --source-ports 40000-40999";
            for flags in ["--close client", "--close server", "--close rst"] {
                run(&format!("{} {plan} {flags} {engine}", peer.url()));
            }
            let ports = by_port(&peer.clients());
            assert!(ports.keys().all(|port| PORTS.contains(port)), "{engine}");
            assert!(ports.len() > 900, "{engine}: only {} ports", ports.len());
        });
    }
}

#[test]
fn reserved_ports_are_left_alone() {
    for flags in ["", "--source-ports 40000-40999"] {
        isolated(&[], |namespace| {
            thousand_ports(namespace);
            namespace.set("net.ipv4.ip_local_reserved_ports", "40100-40199,40500,40998");
            // Outside of the range.
            let listen = Listen { address: "127.0.0.1:8080", ..Listen::default() };
            let peer = Peer::start(listen, peers::polite);
            run(&format!("{} -c 16 -n 3000 --close client {flags}", peer.url()));
            let ports = by_port(&peer.clients());
            let reserved = |port: &u16| matches!(port, 40100..=40199 | 40500 | 40998);
            let used: Vec<&u16> = ports.keys().filter(|port| reserved(port)).collect();
            assert_eq!(used, [&0; 0], "{flags}");
            assert!(ports.keys().all(|port| PORTS.contains(port)), "{flags}");
        });
    }
}

#[test]
fn ports_in_use_are_skipped() {
    for engine in ENGINES {
        isolated(&[], |namespace| {
            thousand_ports(namespace);
            // Odd ports, which are the ones in rotation. The server itself is in the range: connecting from its port would meet itself.
            let listen = Listen { address: "127.0.0.1:40501", ..Listen::default() };
            let peer = Peer::start(listen, peers::polite);
            let _listening = TcpListener::bind("127.0.0.1:40011").expect("a free port");
            let _everywhere = TcpListener::bind("0.0.0.0:40021").expect("a free port");
            let _bound = bound("127.0.0.1:40031");
            let connected = bound("127.0.0.1:40041");
            connected.connect(&peer.address.into()).expect("a connection");

            let plan = format!("{} -c 16 -n 3000 --close client {engine}", peer.url());
            let document = run(&plan);
            let ports = by_port(&peer.clients());
            for port in [40011, 40021, 40031, 40501] {
                assert_eq!(ports.get(&port), None, "{engine}: {port}");
            }
            assert_eq!(ports.get(&40041), Some(&1), "{engine}: only the one that holds it");
            assert!(ports.len() > 480, "{engine}: only {} ports", ports.len());
            let skipped = document.pointer("/ports/skipped_in_use").and_then(Value::as_u64);
            // Three of them, once a lap of nearly 500 ports.
            assert!(skipped >= Some(12), "{engine}: {skipped:?}");
        });
    }
}

#[test]
fn bad_sources_are_refused_before_anything_is_sent() {
    isolated(&[], |namespace| {
        let server = server();
        let cases = [
            // For documentation (RFC 5737): on no box.
            ("--source-ip 192.0.2.1", "192.0.2.1"),
            ("--source-ip 127.0.0.1,192.0.2.1", "192.0.2.1"),
            ("--source-ip ::1", "--source-ip"), // the target is IPv4
            ("--source-ip 127.0.0.300", "--source-ip"),
            ("--source-ip 127.0.0.0/33", "--source-ip"),
            ("--source-ports 5000-4000", "--source-ports"),
            ("--source-ports 0-0", "--source-ports"),
            ("--source-ports 1-70000", "--source-ports"),
            ("--source-ports x", "--source-ports"),
        ];
        for (flags, expected) in cases {
            let ran = ringshot(&format!("http://{}/ -n 10 {flags}", server.addr()));
            assert_eq!(ran.code, Some(2), "{flags}: {}", ran.stderr);
            assert!(ran.stderr.contains(expected), "{flags}: {}", ran.stderr);
            assert!(!ran.stderr.contains("unexpected argument"), "{flags}: {}", ran.stderr);
            assert_eq!(ran.stdout, "", "{flags}");
        }
        assert_eq!(namespace.counter("TcpActiveOpens"), 0);
    });
}

#[test]
fn other_programs_still_get_a_port_at_once() {
    isolated(&[], |namespace| {
        thousand_ports(namespace);
        // Not one of the ports in rotation.
        let listen = Listen { address: "127.0.0.1:8080", ..Listen::default() };
        let peer = Peer::start(listen, peers::polite);
        run(&format!("{} -c 16 -n 5000 --close client", peer.url()));
        let (ours, _) = namespace.time_wait(8080);
        assert!(ours > 400, "every port in rotation is in TIME_WAIT: {ours}");
        // The kernel chooses none of them, for nobody: without the other half this would fail.
        let listener = TcpListener::bind("127.0.0.1:8081").expect("a free port");
        for number in 0..100 {
            let stream = std::net::TcpStream::connect(listener.local_addr().expect("bound"));
            drop(stream.unwrap_or_else(|error| panic!("connection {number}: {error}")));
            drop(listener.accept().expect("a connection"));
        }
        // Who binds port 0 looks at the other half first, and gets one all the same.
        for number in 0..20 {
            let listener = TcpListener::bind("127.0.0.1:0");
            drop(listener.unwrap_or_else(|error| panic!("listener {number}: {error}")));
        }
    });
}
