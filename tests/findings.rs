//! Findings, provoked for real in a network namespace, and runs that have none. (Those of what is
//! taken away in the run are in `faults`.)
//!
//! Each test asks the kernel's own counters first: they say that the cause was there. The finding
//! comes last. Counters start at zero with the namespace.

mod support;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use support::netns::{Namespace, isolated};
use support::peers::{self, Listen, Peer};
use support::{
    Running, all_findings, assert_consistent, assert_finding, command, conntrack, errors,
    eventually, findings, hopefully, in_some_attempt, server,
};

/// The largest connection tracking table that is worth filling: 64 MB of entries or so.
const CONNTRACK_MAX: u64 = 1 << 18;

/// Runs the program to its end and returns its document; that nothing succeeded is no surprise.
fn run(arguments: &str) -> Value {
    run_and(arguments, || ())
}

/// The same, and something happens meanwhile.
fn run_and(arguments: &str, happens: impl FnOnce()) -> Value {
    let run = Running::start(command(&format!("{arguments} --json -")));
    happens();
    let ran = run.finish();
    assert!(matches!(ran.code, Some(0 | 4)), "{arguments}: {:?} {}", ran.code, ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    document
}

/// A number of the document.
fn number(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer}"))
}

/// All failures are of one kind, and there are some; returns how many.
fn only_error(document: &Value, expected: &str) -> u64 {
    match &errors(document)[..] {
        [(name, count)] if name == expected => *count,
        others => panic!("{others:?} instead of {expected}"),
    }
}

/// Fewer ports than connections, each of them for one minute.
#[test]
fn ports_exhausted() {
    isolated(&[], |namespace| {
        namespace.set("net.ipv4.tcp_tw_reuse", "0");
        namespace.set("net.ipv4.ip_local_port_range", "40000 40899");
        let server = server();
        let plan = "-c 16 -n 950 --close client --source-ports kernel";
        let document = run(&format!("http://{}/ {plan}", server.addr()));

        let failed = only_error(&document, "connect/EADDRNOTAVAIL");
        // The server may have one of the ports.
        assert!((50..=51).contains(&failed), "{failed}");
        eventually("all in TIME_WAIT", || {
            (899..=900).contains(&namespace.time_wait(server.addr().port()).0)
        });
        assert_finding(&document, "ports_exhausted", &["port", "127.0.0.1", "time_wait"]);
    });
}

/// The kernel looks at every even port first, and from half of the range on at every one.
#[test]
fn port_search_slow() {
    isolated(&[], |namespace| {
        namespace.set("net.ipv4.tcp_tw_reuse", "0");
        namespace.set("net.ipv4.ip_local_port_range", "40000 53999");
        let server = server();
        // The last thousand is beyond the even ports.
        let plan = "-c 16 -n 8000 --close client --source-ports kernel";
        let document = run(&format!("http://{}/ {plan}", server.addr()));

        assert_eq!(number(&document, "/requests/failed"), 0, "{:?}", errors(&document));
        let connect = |key: &str| number(&document, &format!("/latency/connect/{key}"));
        let (p50, p99) = (connect("p50_us"), connect("p99_us"));
        assert!(p99 > 2 * p50, "connect: median {p50} us, p99 {p99} us");
        let (ours, _) = namespace.time_wait(server.addr().port());
        assert!(ours > 7500, "{ours} in TIME_WAIT");
        assert_eq!(namespace.counter("TcpExtTCPSynRetrans"), 0, "it is not the server");
        assert_finding(&document, "port_search_slow", &["port", "connect"]);
    });
}

/// The queue is full before the run: its first SYNs are dropped and sent again after one second.
#[test]
fn accept_queue_overflow() {
    isolated(&[], |namespace| {
        let peer = Peer::start(Listen { backlog: 16, ..Listen::deaf() }, peers::polite);
        let connect = |_| TcpStream::connect(peer.address).expect("a place in the queue");
        let _waiting: Vec<TcpStream> = (0..17).map(connect).collect();
        let document = run_and(&format!("{} -c 16 -n 300", peer.url()), || {
            eventually("all are dropped", || namespace.counter("TcpExtListenOverflows") >= 16);
            peer.listen();
        });

        assert_eq!(number(&document, "/requests/ok"), 300, "{:?}", errors(&document));
        assert!(namespace.counter("TcpExtTCPSynRetrans") >= 16);
        let longest = number(&document, "/latency/connect/max_us");
        assert!(longest > 950_000, "{longest} us");
        assert_finding(&document, "accept_queue_overflow", &["accept queue"]);
    });
}

/// The queue fills while handshakes are under way: the client believes in its connection, the
/// server has dropped the last step. `connect` looks well, and the first byte is late.
#[test]
fn accept_queue_overflow_behind_the_handshake() {
    isolated(&[], |namespace| {
        let peer = Peer::start(Listen { backlog: 4, ..Listen::deaf() }, peers::polite);
        let document = run_and(&format!("{} -c 16 -t 1 -n 300", peer.url()), || {
            eventually("some are dropped", || namespace.counter("TcpExtListenOverflows") > 0);
            std::thread::sleep(Duration::from_millis(300));
            peer.listen();
        });

        assert!(number(&document, "/requests/ok") >= 290, "{:?}", errors(&document));
        let longest = number(&document, "/latency/total/max_us");
        assert!(longest > 290_000, "{longest} us");
        assert_finding(&document, "accept_queue_overflow", &["accept queue"]);
    });
}

/// Every 20th SYN is lost on its way, and no queue is full.
#[test]
fn syn_retries() {
    isolated(&["nft"], |namespace| {
        let server = server();
        let port = server.addr().port();
        namespace.drop_incoming(&format!(
            "tcp dport {port} tcp flags & (syn | ack) == syn numgen inc mod 20 == 0"
        ));
        let document = run(&format!("http://{}/ -c 16 -n 100", server.addr()));

        assert_eq!(number(&document, "/requests/ok"), 100, "{:?}", errors(&document));
        assert!(namespace.counter("TcpExtTCPSynRetrans") >= 5);
        assert_eq!(namespace.counter("TcpExtListenOverflows"), 0);
        let longest = number(&document, "/latency/connect/max_us");
        assert!(longest > 950_000, "{longest} us");
        assert_finding(&document, "syn_retries", &["syn", "took about 1 s"]);
        assert!(!findings(&document).contains(&"accept_queue_overflow".to_owned()));
    });
}

/// The server resets after it has read the request.
#[test]
fn connection_resets() {
    isolated(&[], |namespace| {
        let peer = Peer::start(Listen::default(), peers::resets);
        let document = run(&format!("{} -c 8 -n 40", peer.url()));

        assert_eq!(only_error(&document, "receive/ECONNRESET"), 40);
        assert_eq!(namespace.counter("TcpOutRsts"), 40);
        assert_eq!(namespace.counter("TcpExtTCPAbortOnData"), 40);
        assert_finding(&document, "connection_resets", &["reset", "server"]);
    });
}

/// The server closes while the request lies unread in its socket.
#[test]
fn connection_resets_for_an_unread_request() {
    isolated(&[], |namespace| {
        let peer = Peer::start(Listen::default(), peers::closes_unread);
        let document = run(&format!("{} -c 8 -n 40", peer.url()));

        assert_eq!(only_error(&document, "receive/ECONNRESET"), 40);
        assert_eq!(namespace.counter("TcpOutRsts"), 40);
        assert_eq!(namespace.counter("TcpExtTCPAbortOnClose"), 40);
        assert_finding(&document, "connection_resets", &["reset", "server"]);
    });
}

/// Cookies for everybody: what a box looks like whose SYN queue is always full.
#[test]
fn syn_cookies() {
    isolated(&[], |namespace| {
        namespace.set("net.ipv4.tcp_syncookies", "2");
        let server = server();
        let document = run(&format!("http://{}/ -c 8 -n 100", server.addr()));

        assert_eq!(number(&document, "/requests/ok"), 100, "{:?}", errors(&document));
        assert_eq!(namespace.counter("TcpExtSyncookiesSent"), 100);
        assert_finding(&document, "syn_cookies", &["cookie"]);
    });
}

/// Eight handshakes hang because the server's answer is lost, and fill the queue of eight.
#[test]
fn syn_cookies_for_a_full_queue() {
    isolated(&["nft"], |namespace| {
        let peer = Peer::start(Listen { backlog: 8, ..Listen::default() }, peers::polite);
        let port = peer.address.port();
        namespace.drop_incoming(&format!(
            "tcp sport {port} tcp flags & (syn | ack) == syn | ack quota until 480 bytes"
        ));
        let document = run(&format!("{} -c 12 -n 200", peer.url()));

        assert_eq!(number(&document, "/requests/ok"), 200, "{:?}", errors(&document));
        assert!(namespace.counter("TcpExtSyncookiesSent") > 0);
        assert!(namespace.counter("TcpExtTCPReqQFullDoCookies") > 0);
        assert_finding(&document, "syn_cookies", &["cookie"]);
    });
}

/// A table with room for 200 more connections.
#[test]
fn conntrack_full() {
    isolated(&["nft"], |namespace| {
        namespace.track_connections();
        let limit = conntrack::limit(namespace);
        if limit > CONNTRACK_MAX {
            // Of this machine, and nobody's fault.
            return eprintln!("skipped: nf_conntrack_max is {limit}, too many to fill");
        }
        conntrack::fill(namespace, limit - 200).expect("a table that is nearly full");
        let server = server();
        let document = run(&format!("http://{}/ -c 8 -d 1500ms --timeout 400ms", server.addr()));

        let errors = errors(&document);
        assert!(errors.iter().any(|(name, _)| name == "connect/timeout"), "{errors:?}");
        assert!(number(&document, "/requests/ok") >= 150);
        assert!(namespace.conntrack("drop") > 0);
        assert_eq!(namespace.counter("TcpExtListenOverflows"), 0);
        assert_finding(&document, "conntrack_full", &["conntrack"]);
    });
}

#[test]
fn server_closes_early() {
    isolated(&[], |namespace| {
        let peer = Peer::start(Listen::default(), peers::closes_after(7));
        let document = run(&format!("{} -k -c 8 -n 700", peer.url()));

        assert_eq!(number(&document, "/requests/ok"), 700, "{:?}", errors(&document));
        let opened = number(&document, "/connections/opened");
        assert!((100..=107).contains(&opened), "{opened} connections");
        assert_eq!(namespace.counter("TcpActiveOpens"), opened);
        assert_finding(&document, "server_closes_early", &["closed"]);
    });
}

/// The plan says that the client closes first, and the server is faster.
#[test]
fn time_wait_other_side() {
    isolated(&[], |namespace| {
        let peer = Peer::start(Listen::default(), peers::closes_after(1));
        let document = run(&format!("{} --close client -c 8 -n 500", peer.url()));

        assert_eq!(number(&document, "/requests/ok"), 500, "{:?}", errors(&document));
        assert_eq!(document["connections"]["time_wait_owner"], "client", "as planned");
        eventually("TIME_WAIT", || namespace.time_wait(peer.address.port()) == (0, 500));
        assert_finding(&document, "time_wait_other_side", &["time_wait", "server"]);
    });
}

/// The plan says that the server closes, and it never does.
#[test]
fn time_wait_other_side_of_a_server_that_never_closes() {
    isolated(&[], |namespace| {
        let peer = Peer::start(Listen::default(), peers::never_closes);
        let document = run(&format!("{} -c 64 -n 300", peer.url()));

        assert_eq!(number(&document, "/requests/ok"), 300, "{:?}", errors(&document));
        assert_eq!(document["connections"]["time_wait_owner"], "server", "as planned");
        eventually("TIME_WAIT", || namespace.time_wait(peer.address.port()) == (300, 0));
        assert_finding(&document, "time_wait_other_side", &["time_wait", "this side"]);
        assert_finding(&document, "server_ignores_close", &["close"]);
    });
}

/// Head and body in two writes without TCP_NODELAY: all answers but the first of a connection wait
/// for a delayed ACK.
#[test]
fn nagle_delay() {
    isolated(&[], |namespace| {
        let habit = peers::in_two_pieces(false, Duration::ZERO);
        let peer = Peer::start(Listen::default(), habit);
        for engine in ["", "--engine epoll"] {
            in_some_attempt(|| {
                let before = namespace.counter("TcpExtDelayedACKs");
                let document = run(&format!("{} -k -c 2 -t 1 -n 60 {engine}", peer.url()));

                assert_eq!(number(&document, "/requests/ok"), 60, "{:?}", errors(&document));
                let delayed = namespace.counter("TcpExtDelayedACKs") - before;
                assert!(delayed >= 40, "{delayed} ACKs were delayed");
                // A machine that lets nobody run for 20 ms has other reasons.
                let between = |key: &str| number(&document, &format!("/latency/{key}/p50_us"));
                let between_us = between("service") - between("first_byte");
                hopefully((38_000..58_000).contains(&between_us), || format!("{between_us} us"))?;
                let found = all_findings(&document);
                hopefully(found.contains(&"nagle_delay".into()), || format!("{found:?}"))?;
                assert_finding(&document, "nagle_delay", &["nagle", "two pieces", "60 answers"]);
                Ok(())
            });
        }
    });
}

/// A server that sleeps between the two delays our ACKs as well, and nobody waits for them.
#[test]
fn a_server_that_is_slow_itself_is_no_nagle_delay() {
    isolated(&[], |namespace| {
        let habit = peers::in_two_pieces(true, Duration::from_millis(44));
        let peer = Peer::start(Listen::default(), habit);
        let document = run(&format!("{} -k -c 2 -t 1 -n 40", peer.url()));

        assert_eq!(number(&document, "/requests/ok"), 40, "{:?}", errors(&document));
        assert!(namespace.counter("TcpExtDelayedACKs") > 0, "so the counter is no proof");
        assert!(!findings(&document).contains(&"nagle_delay".to_owned()), "{document}");
    });
}

/// Somebody else connects meanwhile, to the same server.
#[test]
fn other_connections() {
    isolated(&[], |namespace| {
        let server = server();
        let document = run_and(&format!("http://{}/ -c 8 -d 1s", server.addr()), || {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(900) {
                connect_and_reset(server.addr());
                std::thread::sleep(Duration::from_millis(1));
            }
        });

        let own = number(&document, "/connections/opened");
        let all = namespace.counter("TcpActiveOpens");
        assert!(all > own + 20, "{own} of {all} connections are the run's");
        assert_finding(&document, "other_connections", &["connection"]);
    });
}

/// A connection that leaves nothing behind.
fn connect_and_reset(address: SocketAddr) {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_linger(Some(Duration::ZERO)).expect("an option");
    socket.connect(&address.into()).expect("a connection");
}

#[test]
fn a_clean_run_has_none() {
    let plans = [
        "-n 2000",
        "-n 2000 --close client",
        "-n 2000 --close rst",
        "-n 2000 -k",
        "-n 2000 -r 7",
        "-n 2000 -p 8",
        // The end of the time cuts connections off, with resets.
        "-d 300ms",
        "-d 300ms --close client",
        "-d 300ms -k",
    ];
    for plan in plans {
        isolated(&[], |namespace: &Namespace| {
            let server = server();
            let document = run(&format!("http://{}/ {plan}", server.addr()));

            assert_eq!(number(&document, "/requests/failed"), 0, "{plan}: {:?}", errors(&document));
            let opened = number(&document, "/connections/opened");
            let ours = namespace.counter("TcpActiveOpens");
            // At the end of the time some may be under way.
            let on_the_way = number(&document, "/requests/in_flight");
            assert!((opened..=opened + on_the_way).contains(&ours), "{plan}: {opened} of {ours}");
            // Beware of RetransSegs: a server that is slow to acknowledge makes probes, and that
            // is no loss.
            for counter in ["ListenOverflows", "ListenDrops", "TCPSynRetrans", "SyncookiesSent"] {
                let count = namespace.counter(&format!("TcpExt{counter}"));
                assert_eq!(count, 0, "{plan}: {counter}");
            }
            // Nobody else is in here; how busy the machine is, is another matter.
            let mut ids = all_findings(&document);
            ids.retain(|id| !id.starts_with("generator_") && id != "server_ignores_close");
            assert_eq!(ids, [""; 0], "{plan}");
        });
    }
}
