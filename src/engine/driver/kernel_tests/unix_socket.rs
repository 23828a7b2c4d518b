//! The same verbs to a unix socket.

use super::*;
use crate::engine::driver::UnixSocket;
use socket2::SockAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// A listener on a file in a directory of its own, with room for so many connections and one more.
struct Listening {
    listener: UnixListener,
    socket: UnixSocket,
    _directory: tempfile::TempDir,
}

fn listening(backlog: i32) -> Listening {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let listener = listener_at(&path, backlog);
    Listening { listener, socket: UnixSocket::File(path), _directory: directory }
}

fn listener_at(path: &Path, backlog: i32) -> UnixListener {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    listener.bind(&SockAddr::unix(path).expect("a short path")).expect("bound");
    listener.listen(backlog).expect("listens");
    std::os::fd::OwnedFd::from(listener).into()
}

fn opened(engine: Engine) -> (Box<dyn Tested>, UnixStream) {
    let at = listening(8);
    let mut driver = driver(engine, &[at.socket], &[]);
    driver.open(SLOT, 0, None);
    let done = next(&mut driver);
    assert_eq!(done.token, Token { op: Op::Connect, slot: SLOT });
    assert_eq!(done.result.expect("connected"), 0);
    (driver, at.listener.accept().expect("a connection").0)
}

fn errno(done: Completion) -> Option<i32> {
    assert_eq!(done.token, Token { op: Op::Connect, slot: SLOT });
    done.result.expect_err("an error").raw_os_error()
}

#[test]
fn a_connection_lives_from_open_to_close() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine);
        let constant = driver.constant();
        driver.send(SLOT, &constant);
        driver.receive(SLOT, Demand::Read);
        // Nothing is there yet, and the receive waits for it.
        let mut completions = Vec::new();
        let soon = Patience { timeout_ns: 20_000_000, ..PATIENCE };
        driver.turn(soon, &mut completions).expect("a turn");
        assert!(completions.is_empty(), "{engine:?}: {completions:?}");
        let mut request = [0u8; 8];
        peer.read_exact(&mut request).expect("the request");
        assert_eq!(&request, b"constant");
        peer.write_all(b"answer").expect("sent");
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Receive);
        assert_eq!(driver.received(SLOT, done.result.expect("bytes")), b"answer");
        // The peer's end is an end of the stream.
        drop(peer);
        driver.receive(SLOT, Demand::Read);
        assert_eq!(next(&mut driver).result.expect("the end"), 0, "{engine:?}");
        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
    }
}

#[test]
fn closing_is_seen_by_the_peer() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine);
        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        assert_eq!(peer.read(&mut [0; 8]).expect("the end"), 0, "{engine:?}");
        // The place is free for the next one.
        let at = listening(8);
        let mut driver = super::driver(engine, &[at.socket], &[]);
        for generation in 1..4 {
            let slot = SlotId { generation, ..SLOT };
            driver.open(slot, 0, None);
            next(&mut driver).result.expect("connected");
            driver.close(slot);
        }
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
    }
}

#[test]
fn a_full_queue_is_told_at_once_and_not_waited_for() {
    for engine in engines() {
        let Listening { listener, socket, .. } = &listening(0);
        let mut driver = driver(engine, std::slice::from_ref(socket), &[]);
        let first = SlotId { index: 0, generation: 1 };
        driver.open(first, 0, None);
        next(&mut driver).result.expect("there is room for one");
        driver.open(SLOT, 0, None);
        assert_eq!(errno(next(&mut driver)), Some(libc::EAGAIN), "{engine:?}");
        driver.close(SLOT);
        // And is no longer, when somebody accepts.
        let _peer = listener.accept().expect("a connection");
        let slot = SLOT.next();
        driver.open(slot, 0, None);
        next(&mut driver).result.expect("room again");
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
    }
}

#[test]
fn what_is_no_listener_is_told_as_what_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    drop(listener_at(&at("left"), 8));
    let _datagram = std::os::unix::net::UnixDatagram::bind(at("datagram")).expect("bound");
    std::fs::write(at("file"), "").expect("written");
    for engine in engines() {
        for (name, expected) in [
            ("missing", libc::ENOENT),
            ("left", libc::ECONNREFUSED),
            ("file", libc::ECONNREFUSED),
            ("datagram", libc::EPROTOTYPE),
        ] {
            let mut driver = driver(engine, &[UnixSocket::File(at(name))], &[]);
            driver.open(SLOT, 0, None);
            assert_eq!(errno(next(&mut driver)), Some(expected), "{engine:?} {name}");
            assert_eq!(driver.outstanding(), 0, "{engine:?} {name}");
        }
        let nobody = UnixSocket::Abstract("ringshot-nobody-listens".into());
        let mut driver = driver(engine, &[nobody], &[]);
        driver.open(SLOT, 0, None);
        assert_eq!(errno(next(&mut driver)), Some(libc::ECONNREFUSED), "{engine:?}");
    }
}

#[test]
fn a_peer_that_closes_without_reading_resets() {
    for engine in engines() {
        let (mut driver, peer) = opened(engine);
        driver.send(SLOT, CONSTANT);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        drop(peer);
        driver.receive(SLOT, Demand::Read);
        // The send is confirmed by some drivers.
        let mut completions = Vec::new();
        let received = loop {
            driver.turn(PATIENCE, &mut completions).expect("a turn");
            if let Some(at) = completions.iter().position(|done| done.token.op == Op::Receive) {
                break completions.swap_remove(at);
            }
        };
        let errno = received.result.expect_err("a reset").raw_os_error();
        assert_eq!(errno, Some(libc::ECONNRESET), "{engine:?}");
    }
}
