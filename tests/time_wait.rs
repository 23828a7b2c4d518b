//! Who owns the sockets in TIME_WAIT, where there are many: the numbers are those of `/proc/net/tcp`,
//! and most of them are never listed.

mod support;

use ringshot::{Owner, time_wait};
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use support::eventually;
use support::netns::{Namespace, isolated};

/// Beyond what is listed without a second thought.
const MANY: usize = 2_600;

/// A listener that takes IPv4 and IPv6.
fn listen() -> (TcpListener, u16) {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).expect("a socket");
    socket.set_only_v6(false).expect("set");
    let any: SocketAddr = "[::]:0".parse().expect("an address");
    socket.bind(&any.into()).and_then(|()| socket.listen(128)).expect("a listener");
    let port = socket.local_addr().expect("bound").as_socket().expect("an address").port();
    (socket.into(), port)
}

/// Connections of which this side closes first.
fn leave(listener: &TcpListener, target: SocketAddr, first: Owner, count: usize) {
    for _ in 0..count {
        let client = TcpStream::connect_timeout(&target, Duration::from_secs(5)).expect("open");
        let (server, _) = listener.accept().expect("open");
        let (mut first, mut second) = match first {
            Owner::Client => (client, server),
            _ => (server, client),
        };
        first.shutdown(Shutdown::Write).expect("closed");
        assert_eq!(second.read(&mut [0]).expect("a FIN"), 0);
        drop(second);
        assert_eq!(first.read(&mut [0]).expect("a FIN"), 0);
    }
}

/// What clients and servers hold by both accounts, once the last FIN has had its answer. Ports that
/// come again take sockets over, so there are somewhat fewer than connections.
fn owned(namespace: &Namespace, target: SocketAddr) -> (usize, usize) {
    let count = || {
        let found = time_wait(&[target]).expect("the kernel tells");
        (found.client_owned() as usize, found.server_owned() as usize)
    };
    eventually("both accounts agree", || namespace.time_wait(target.port()) == count());
    count()
}

#[test]
fn many_are_counted_as_one_by_one() {
    // IPv4 inside a socket of IPv6 on the server's side, and IPv6 on both.
    for ip in ["127.0.0.1", "[::1]"] {
        for most in [Owner::Client, Owner::Server] {
            isolated(&[], |namespace| {
                let ((listener, port), (stranger, strange_port)) = (listen(), listen());
                let at = |port| format!("{ip}:{port}").parse::<SocketAddr>().expect("an address");
                let (target, strange) = (at(port), at(strange_port));
                let few = if most == Owner::Client { Owner::Server } else { Owner::Client };
                leave(&listener, target, few, 30);
                leave(&stranger, strange, Owner::Server, 50);
                leave(&listener, target, most, MANY);
                let (client, server) = owned(namespace, target);
                let (many, rest) = match most {
                    Owner::Client => (client, server),
                    _ => (server, client),
                };
                assert!(many > MANY - 400 && rest <= 30, "{ip} {most:?}: {many} {rest}");
                // Where the many are not the target's, they are listed.
                let (strange_client, strange_server) = owned(namespace, strange);
                assert!(strange_client == 0 && (20..=50).contains(&strange_server));
                let all = client + server + strange_server;
                for targets in [&[target][..], &[strange], &[strange, target]] {
                    let found = time_wait(targets).expect("the kernel tells");
                    assert_eq!(found.total() as usize, all, "{ip} {most:?} {targets:?}");
                }
                let found = time_wait(&[strange, target]).expect("the kernel tells");
                let of = |owner| {
                    let groups = found.by_destination.iter();
                    let ours =
                        groups.filter(|group| group.destination == target && group.owner == owner);
                    ours.map(|group| group.count as usize).sum::<usize>()
                };
                assert_eq!((of(Owner::Client), of(Owner::Server)), (client, server));
            });
        }
    }
}
