//! Real sockets over loopback, and tables for what one process cannot arrange.

use super::*;
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Asks until the answer is the expected one, for a few seconds at most.
fn eventually<T>(mut ask: impl FnMut() -> T, expected: impl Fn(&T) -> bool) -> T {
    let begin = Instant::now();
    loop {
        let answer = ask();
        if expected(&answer) || begin.elapsed() > Duration::from_secs(5) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A listener on any port; `None` where this family is switched off.
fn listen(address: &str, backlog: i32) -> Option<(Socket, SocketAddr)> {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).ok()?;
    if address.is_ipv6() {
        socket.set_only_v6(false).ok()?;
    }
    socket.bind(&address.into()).ok()?;
    socket.listen(backlog).ok()?;
    let bound = socket.local_addr().ok()?.as_socket().unwrap();
    Some((socket, bound))
}

/// A listener on a port without old connections to these addresses: a program that had it before
/// may have left some.
fn listen_alone(address: &str, targets: &[&str]) -> Option<(Socket, SocketAddr)> {
    for _ in 0..100 {
        let (socket, bound) = listen(address, 8)?;
        let targets: Vec<_> =
            targets.iter().map(|ip| at(&format!("{ip}:{}", bound.port()))).collect();
        let left = time_wait(&targets).unwrap();
        if left.client_owned() + left.server_owned() == 0 {
            return Some((socket, bound));
        }
    }
    panic!("something is left of every port");
}

/// A connection, its ends closed in this order; both ends have seen the other's FIN.
fn connect_and_close(listener: &Socket, target: SocketAddr, first: Owner) {
    let client = TcpStream::connect_timeout(&target, Duration::from_secs(5)).unwrap();
    let server: TcpStream = listener.accept().unwrap().0.into();
    let (mut first, mut second) = match first {
        Owner::Client => (client, server),
        _ => (server, client),
    };
    for end in [&first, &second] {
        end.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    first.shutdown(Shutdown::Write).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap(), 0);
    drop(second);
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn whoever_closes_first_owns_the_time_wait() {
    // An address of IPv4 that no other test connects to.
    for ip in ["127.8.8.8", "[::1]"] {
        let Some((listener, target)) = listen_alone(&format!("{ip}:0"), &[ip]) else { continue };
        for first in [Owner::Client, Owner::Client, Owner::Server] {
            connect_and_close(&listener, target, first);
        }
        let found = eventually(
            || time_wait(&[target]).unwrap(),
            |found| (found.client_owned(), found.server_owned()) == (2, 1),
        );
        assert_eq!((found.client_owned(), found.server_owned()), (2, 1), "{found:?}");
        let ours: Vec<_> =
            found.by_destination.iter().filter(|group| group.destination == target).collect();
        assert_eq!((ours[0].owner, ours[0].count), (Owner::Client, 2));
        assert_eq!((ours[1].owner, ours[1].count), (Owner::Server, 1));
        assert!(found.total() >= 3);
    }
}

#[test]
fn a_dual_stack_server_speaks_ipv4() {
    let ips = ["127.8.8.9", "[::1]"];
    let Some((listener, bound)) = listen_alone("[::]:0", &ips) else { return };
    let target = at(&format!("127.8.8.9:{}", bound.port()));
    connect_and_close(&listener, target, Owner::Server);
    connect_and_close(&listener, target, Owner::Client);
    for given in [target, at(&format!("[::ffff:127.8.8.9]:{}", bound.port()))] {
        let found = eventually(
            || time_wait(&[given]).unwrap(),
            |found| (found.client_owned(), found.server_owned()) == (1, 1),
        );
        assert_eq!((found.client_owned(), found.server_owned()), (1, 1), "{found:?}");
        assert!(found.by_destination.iter().any(|group| group.destination == given));
    }
    let other = time_wait(&[at(&format!("[::1]:{}", bound.port()))]).unwrap();
    assert_eq!((other.client_owned(), other.server_owned()), (0, 0), "{other:?}");
}

#[test]
fn a_listener_has_a_backlog_and_a_queue() {
    // Once it is gone, another test may get the port, but hardly at this address of IPv4.
    for address in ["127.8.8.8:0", "[::1]:0"] {
        let Some((socket, bound)) = listen(address, 37) else { continue };
        let expected = Listener { backlog: 37, queued: 0, count: 1 };
        assert_eq!(super::listener(bound).unwrap(), Some(expected));

        let clients = [TcpStream::connect(bound).unwrap(), TcpStream::connect(bound).unwrap()];
        let expected = Listener { queued: 2, ..expected };
        let found =
            eventually(|| super::listener(bound).unwrap(), |found| *found == Some(expected));
        assert_eq!(found, Some(expected));
        drop(clients);
        drop(socket);
        let gone = eventually(|| super::listener(bound).unwrap(), Option::is_none);
        assert_eq!(gone, None);
    }
}

#[test]
fn a_listener_on_all_addresses_is_found_by_each() {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    for ip in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        assert!(listener(at(&format!("{ip}:{port}"))).unwrap().is_some(), "{ip}");
    }
    // An address for documentation, which no machine has, so a listener here has no part in it.
    assert_eq!(listener(at(&format!("192.0.2.1:{port}"))).unwrap(), None);

    let Some((_socket, bound)) = listen("[::]:0", 5) else { return };
    for ip in ["127.0.0.1", "[::1]", "[::]"] {
        let found = listener(at(&format!("{ip}:{}", bound.port()))).unwrap();
        assert_eq!(found, Some(Listener { backlog: 5, queued: 0, count: 1 }), "{ip}");
    }
}

fn row(local: &str, backlog: u32) -> SocketRow {
    let (local, remote) = (at(local), at("0.0.0.0:0"));
    SocketRow { local, remote, interface: 0, only_v6: false, queued: 1, backlog, inode: 7 }
}

#[test]
fn the_best_listener_is_asked() {
    let only_v6 = |row: SocketRow| SocketRow { only_v6: true, ..row };
    let on_link = |interface, row: SocketRow| SocketRow { interface, ..row };
    let (exact, any, any_v6) = (row("10.0.0.1:80", 1), row("0.0.0.0:80", 2), row("[::]:80", 3));
    let link = row("[fe80::1]:80", 4);
    let one = |backlog| Some(Listener { backlog, queued: 1, count: 1 });
    for (rows, address, expected) in [
        (vec![], "10.0.0.1:80", None),
        (vec![any, exact, any_v6], "10.0.0.1:80", one(1)),
        (vec![any_v6, exact, any], "10.0.0.2:80", one(2)),
        (vec![any_v6, exact], "10.0.0.2:80", one(3)),
        (vec![only_v6(any_v6), exact], "10.0.0.2:80", None),
        (vec![only_v6(any_v6), exact], "[2001:db8::1]:80", one(3)),
        (vec![any], "[2001:db8::1]:80", None),
        (vec![any], "10.0.0.1:81", None),
        (vec![on_link(2, link)], "[fe80::1%2]:80", one(4)),
        (vec![on_link(3, link)], "[fe80::1%2]:80", None),
        // Several share the port.
        (
            vec![any, row("0.0.0.0:80", 128), exact, row("0.0.0.0:80", 9)],
            "10.0.0.9:80",
            Some(Listener { backlog: 2, queued: 3, count: 3 }),
        ),
    ] {
        assert_eq!(choose(&rows, at(address)), expected, "{address} of {rows:?}");
    }
}

#[test]
fn sockets_are_grouped_by_the_service() {
    let targets = Targets(["10.0.0.2:40000", "0.0.0.0:8080"].map(|a| as_seen(at(a))).to_vec());
    let target = |number, owner| Group::Target { number, owner };
    for (local, remote, expected) in [
        ("10.0.0.1:2000", "10.0.0.2:40000", target(0, Owner::Client)),
        ("10.0.0.2:40000", "10.0.0.1:2000", target(0, Owner::Server)),
        // No address in particular is loopback.
        ("127.0.0.1:50000", "127.0.0.1:8080", target(1, Owner::Client)),
        // Not a target: the lower port passes for the service.
        ("10.0.0.1:50000", "10.0.0.3:5432", Group::Stranger(at("10.0.0.3:5432"))),
        ("10.0.0.1:22", "10.0.0.3:50000", Group::Stranger(at("10.0.0.1:22"))),
    ] {
        let row = SocketRow { remote: at(remote), ..row(local, 0) };
        assert_eq!(targets.group_of(&row), expected, "{local} {remote}");
    }
}

#[test]
fn the_largest_groups_are_named_and_targets_always() {
    let mut counts: Counts =
        (1..=12).map(|port| ((at(&format!("10.0.0.9:{port}")), Owner::Unknown), 100)).collect();
    counts.insert((at("10.0.0.2:80"), Owner::Client), 1);
    counts.insert((at("10.0.0.2:80"), Owner::Server), 1);
    counts.insert((at("10.0.0.8:53"), Owner::Unknown), 7000);
    let found = largest(counts);
    assert_eq!(found.by_destination.len(), STRANGERS_MAX + 2);
    assert_eq!(found.by_destination[0].destination, at("10.0.0.8:53"));
    assert_eq!(found.by_destination[1].destination, at("10.0.0.9:1"));
    assert_eq!((found.client_owned(), found.server_owned(), found.others), (1, 1, 500));
    assert_eq!(found.total(), 7000 + 1200 + 2);
}

#[test]
fn the_document_has_addresses_and_names() {
    let group = TimeWaitGroup { destination: at("[::1]:80"), owner: Owner::Client, count: 3 };
    let found = TimeWait { by_destination: vec![group], others: 4 };
    assert_eq!(
        serde_json::to_string(&found).unwrap(),
        r#"{"by_destination":[{"destination":"[::1]:80","owner":"client","count":3}],"others":4}"#
    );
}
