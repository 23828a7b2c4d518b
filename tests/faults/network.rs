//! What lies between: packets are rejected or lost, there is no way, no room, no address.

use super::support::hostile::{Habits, Hostile};
use super::support::netns::isolated;
use super::support::{
    Running, command, command_with_hosts, errors, eventually, findings, on_every_engine, ringshot,
    run_command,
};
use super::{SLOTS_MIN, SOON, assert_errors, interlude, number};
use socket2::{Domain, Socket, Type};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};

/// The first eight packets of a kind do not get through.
#[test]
fn a_firewall_in_the_way() {
    const SYN: &str = "dport PORT tcp flags & (syn | ack) == syn";
    const REQUEST: &str = "dport PORT tcp flags & psh == psh";
    /// What becomes of a request to nobody.
    const HINT: &str = "response/timeout";
    const ANSWER: &str = "sport PORT tcp flags & psh == psh";
    // The first name is what it should be. On loopback the message comes while connect(2) still
    // holds the socket, for which it is no more than a hint; a ring of Linux 6.13 or later takes
    // it for the end of the handshake.
    let cases: [(&str, &str, &[&str]); 8] = [
        (SYN, "reject with tcp reset", &["connect/ECONNREFUSED"]),
        (SYN, "reject with icmp type port-unreachable", &["connect/ECONNREFUSED", HINT]),
        (SYN, "reject with icmp type host-unreachable", &["connect/EHOSTUNREACH", HINT]),
        (SYN, "reject with icmp type net-unreachable", &["connect/ENETUNREACH", HINT]),
        (SYN, "reject with icmp type admin-prohibited", &["connect/EHOSTUNREACH", HINT]),
        (SYN, "drop", &["connect/timeout"]),
        (REQUEST, "reject with tcp reset", &["receive/ECONNRESET"]),
        // Only the server hears of it.
        (ANSWER, "reject with tcp reset", &["response/timeout"]),
    ];
    on_every_engine(|engine| {
        isolated(&["nft"], |namespace| {
            for (packets, verdict, expected) in cases {
                let habits = Habits { scripts: Vec::new(), faulty: 0, slots: SLOTS_MIN };
                let server = Hostile::start(habits);
                let packets = packets.replace("PORT", &server.address.port().to_string());
                // The number of a packet, from 0 on.
                let first_eight = format!("tcp {packets} numgen inc mod 100000 < 8");
                namespace.filter_incoming(&first_eight, verdict);
                let plan = "-c 4 -t 1 -n 24 --timeout 800ms";
                let ran = ringshot(&format!("{} {plan} {engine} --json -", server.url()));
                let document = ran.sane_document();
                let what = format!("{packets} {verdict} {engine}");
                let [(name, 8)] = &errors(&document)[..] else {
                    panic!("{what}: {:?}", errors(&document));
                };
                let over_epoll = document["engine"] == "epoll";
                let known = if over_epoll { &expected[..1] } else { expected };
                assert!(known.contains(&name.as_str()), "{what}: {name}");
                assert_eq!(document["requests"]["ok"], 16, "{what}");
            }
        });
    });
}

/// There is no way to the server for a while.
#[test]
fn a_route_in_the_run() {
    let routes = [
        ("unreachable", "connect/EHOSTUNREACH"),
        ("prohibit", "connect/EACCES"),
        ("blackhole", "connect/EINVAL"),
        // On to the next table, in which there is none.
        ("throw", "connect/ENETUNREACH"),
    ];
    on_every_engine(|engine| {
        isolated(&[], |namespace| {
            // All of this network is here, each address with a route of its own.
            namespace.ip("route add local 192.0.2.0/24 dev lo");
            for (number, (route, expected)) in routes.into_iter().enumerate() {
                let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
                let habits = Habits { scripts: Vec::new(), faulty: 0, slots: 0 };
                let server = Hostile::listen(habits, listener);
                let (address, port) = (format!("192.0.2.{number}"), server.address.port());
                let document = interlude(
                    &server,
                    SOON,
                    command(&format!("http://{address}:{port}/ {engine}")),
                    |_| namespace.ip(&format!("route add {route} {address} table local")),
                    |_| namespace.ip(&format!("route del {route} {address} table local")),
                );
                // What was under way lost its way too.
                assert_errors(&document, &[expected, "response/timeout", "connect/timeout"]);
            }
        });
    });
}

/// The queue of the listener is full before the run, and somebody begins to accept in it.
#[test]
fn a_listener_with_a_full_backlog() {
    on_every_engine(|engine| {
        isolated(&[], |namespace| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
            socket.bind(&any.into()).and_then(|()| socket.listen(4)).expect("a listener");
            let listener: TcpListener = socket.into();
            let address = listener.local_addr().expect("bound");
            // The kernel admits one more than was asked for.
            let connect = |_| TcpStream::connect(address).expect("a place in the queue");
            let waiting: Vec<TcpStream> = (0..5).map(connect).collect();
            // Before the kernel sends a SYN again, after a second.
            let plan = "-c 4 -t 1 -n 48 --timeout 700ms";
            let run =
                Running::start(command(&format!("http://{address}/ {plan} {engine} --json -")));
            eventually("the kernel drops SYNs", || namespace.counter("TcpExtListenOverflows") >= 8);
            drop(waiting);
            Hostile::listen(Habits { scripts: Vec::new(), faulty: 0, slots: SLOTS_MIN }, listener);
            let document = run.finish().sane_document();
            assert_errors(&document, &["connect/timeout"]);
            // One a SYN; the last ones before the server woke up had theirs dropped too.
            let failed = number(&document, "/requests/failed");
            assert_eq!(failed, namespace.counter("TcpExtListenOverflows"), "{engine}");
            assert_eq!(number(&document, "/requests/ok"), 48 - failed);
            assert!(findings(&document).contains(&"accept_queue_overflow".to_owned()));
        });
    });
}

/// IPv6 is switched off.
#[test]
fn an_address_family_that_is_missing() {
    on_every_engine(|engine| {
        isolated(&["unshare"], |namespace| {
            namespace.set("net.ipv6.conf.all.disable_ipv6", "1");
            let server = Hostile::harmless();
            let port = server.address.port();
            let plan = format!("-c 4 -t 1 -n 24 {engine} --json -");
            let ran = ringshot(&format!("http://[::1]:{port}/ {plan}"));
            assert_eq!(ran.code, Some(4), "{}", ran.stderr);
            let document = ran.sane_document();
            assert_eq!(errors(&document), [("connect/EADDRNOTAVAIL".to_owned(), 24)]);
            // It is not for want of ports.
            assert_eq!(findings(&document), ["no_source_address"]);

            // A name that has the other one too.
            let mut hosts = tempfile::NamedTempFile::new().expect("a file");
            writeln!(hosts, "::1 both.test\n127.0.0.1 both.test").expect("written");
            let arguments = format!("http://both.test:{port}/ {plan}");
            let document =
                run_command(command_with_hosts(hosts.path(), &arguments)).sane_document();
            assert_eq!(errors(&document), []);
            assert_eq!(document["requests"]["ok"], 24);
            assert_eq!(findings(&document), [""; 0]);
        });
    });
}
