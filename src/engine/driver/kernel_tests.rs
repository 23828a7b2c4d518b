//! The verbs over a real kernel: on every tier of the ring that it has, with receive buffers that
//! are shared and with those of each slot, and over epoll.

mod buffers;
mod unix_socket;

use super::epoll::EpollDriver;
use super::uring::{Features, Tier, UringDriver, probe};
use super::*;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

const PATIENCE: Patience = Patience { want: 1, linger_ns: 0, timeout_ns: 2_000_000_000 };
const CONSTANT: &[u8] = b"constant";

/// Enough of them to share buffers, where that can be.
const SLOTS: u32 = 4;

/// A driver under test, what it still owes a completion for, and what it has of memory.
trait Tested: Driver {
    fn outstanding(&self) -> u64;
    fn starving(&self) -> usize;
    fn buffers_held(&self) -> usize;
    fn memory_bytes(&self) -> usize;
    fn constant(&self) -> Arc<[u8]>;
}

impl Tested for UringDriver {
    fn outstanding(&self) -> u64 {
        UringDriver::outstanding(self)
    }

    fn starving(&self) -> usize {
        UringDriver::starving(self)
    }

    fn buffers_held(&self) -> usize {
        UringDriver::buffers_held(self)
    }

    fn memory_bytes(&self) -> usize {
        UringDriver::memory_bytes(self)
    }

    fn constant(&self) -> Arc<[u8]> {
        UringDriver::constant(self)
    }
}

impl Tested for EpollDriver {
    fn outstanding(&self) -> u64 {
        EpollDriver::outstanding(self)
    }

    fn starving(&self) -> usize {
        EpollDriver::starving(self)
    }

    fn buffers_held(&self) -> usize {
        EpollDriver::buffers_held(self)
    }

    fn memory_bytes(&self) -> usize {
        EpollDriver::memory_bytes(self)
    }

    fn constant(&self) -> Arc<[u8]> {
        EpollDriver::constant(self)
    }
}

fn engines() -> Vec<Engine> {
    let tiers = [Tier::Direct, Tier::Plain, Tier::Basic].into_iter();
    let rings = tiers.filter_map(|tier| {
        let features = probe(tier).expect("these tests need io_uring");
        if features.tier != tier {
            eprintln!("skipped: this kernel has no tier {tier:?}");
        }
        (features.tier == tier).then_some(features)
    });
    let rings = rings.flat_map(|features| {
        let own = Features { buffer_ring: false, ..features };
        [features, own].into_iter().take(if features.buffer_ring { 2 } else { 1 })
    });
    let rings = rings.map(Engine::IoUring);
    rings.chain([Engine::Epoll]).collect()
}

fn driver(
    engine: Engine,
    addresses: &[impl Into<Address> + Clone],
    options: &[SocketOption],
) -> Box<dyn Tested> {
    driver_of(SLOTS, engine, addresses, options)
}

/// Whether slots share receive buffers.
fn shares(engine: Engine) -> bool {
    !matches!(engine, Engine::IoUring(Features { buffer_ring: false, .. }))
}

fn driver_of(
    slots: u32,
    engine: Engine,
    addresses: &[impl Into<Address> + Clone],
    options: &[SocketOption],
) -> Box<dyn Tested> {
    let config = Config {
        slots,
        addresses: addresses.iter().cloned().map(Into::into).collect(),
        options: options.to_vec(),
        constant: CONSTANT.into(),
        receive_buffer_bytes: 4096,
        epoch: Instant::now(),
    };
    match engine {
        Engine::IoUring(features) => Box::new(UringDriver::new(config, features).expect("a ring")),
        Engine::Epoll => Box::new(EpollDriver::new(config).expect("an epoll instance")),
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A port that only the socket has which comes with it: nobody listens there, and no neighbour can.
fn bound(ip: IpAddr, reuse: bool) -> (Socket, SocketAddr) {
    let wanted = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(reuse).expect("set");
    socket.bind(&wanted.into()).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket().expect("of IP");
    (socket, address)
}

/// A target that refuses.
fn refusing() -> (Socket, SocketAddr) {
    bound(Ipv4Addr::LOCALHOST.into(), false)
}

/// A source for whoever sets [`reuse`], too: two may be bound to it as long as neither listens.
fn source(ip: IpAddr) -> (Socket, SocketAddr) {
    bound(ip, true)
}

const SLOT: SlotId = SlotId { index: 2, generation: 5 };

/// Turns until one completion has come.
fn next(driver: &mut Box<dyn Tested>) -> Completion {
    let mut completions = Vec::new();
    for _ in 0..10 {
        driver.turn(PATIENCE, &mut completions).expect("the driver works");
        if let Some(first) = completions.pop() {
            assert!(completions.is_empty(), "more than one completion: {completions:?}");
            return first;
        }
    }
    panic!("no completion");
}

fn opened(engine: Engine, options: &[SocketOption]) -> (Box<dyn Tested>, TcpStream) {
    let (listener, address) = listener();
    let mut driver = driver(engine, &[address], options);
    driver.open(SLOT, 0, None);
    let done = next(&mut driver);
    assert_eq!(done.token, Token { op: Op::Connect, slot: SLOT });
    assert_eq!(done.result.expect("established"), 0);
    (driver, listener.accept().expect("a connection").0)
}

#[test]
fn a_connection_lives_from_open_to_close() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[]);
        let constant = driver.constant();
        assert_eq!(driver.send(SLOT, &constant), Handover { taken: 8, confirmed: false });
        driver.receive(SLOT, Demand::Read);
        let mut request = [0u8; 8];
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        peer.read_exact(&mut request).expect("the request");
        assert_eq!(&request, b"constant");
        peer.write_all(b"answer").expect("sent");
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Receive);
        assert_eq!(driver.received(SLOT, done.result.expect("bytes")), b"answer");

        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        assert_eq!(peer.read(&mut request).expect("the end"), 0, "{engine:?}");
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
    }
}

#[test]
fn bytes_that_are_not_constant_arrive_whole() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[]);
        let bytes: Vec<u8> = (0..10_000).map(|at| at as u8).collect();
        let mut sent = 0;
        while sent < bytes.len() {
            // Whoever sends may forget the bytes at once.
            let piece = bytes[sent..].to_vec();
            let handover = driver.send(SLOT, &piece);
            drop(piece);
            sent += handover.taken;
            if handover.confirmed {
                assert_eq!(next(&mut driver).token.op, Op::Send, "{engine:?}");
            }
        }
        let mut got = vec![0u8; bytes.len()];
        peer.read_exact(&mut got).expect("the bytes");
        assert_eq!(got, bytes, "{engine:?}");
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
    }
}

/// Sends until the peer's and our buffers are full; how many bytes were handed over then.
fn fill(driver: &mut Box<dyn Tested>) -> usize {
    let bytes = vec![7u8; 100_000];
    let mut completions = Vec::new();
    let mut taken = 0;
    loop {
        let handover = driver.send(SLOT, &bytes);
        taken += handover.taken;
        let patience = Patience { timeout_ns: 100_000_000, ..PATIENCE };
        driver.turn(patience, &mut completions).expect("a turn");
        match completions.pop() {
            Some(done) => assert!(done.result.is_ok(), "{done:?}"),
            None if handover.confirmed => return taken,
            None => {}
        }
        completions.clear();
    }
}

#[test]
fn a_send_without_room_is_told_when_there_is_some() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[]);
        let taken = fill(&mut driver);
        assert_eq!(driver.outstanding(), 1, "{engine:?}");
        let reader = std::thread::spawn(move || {
            let mut got = vec![0u8; taken];
            peer.read_exact(&mut got).map(|()| got.iter().all(|&byte| byte == 7))
        });
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Send, "{engine:?}");
        done.result.expect("room");
        assert!(reader.join().expect("a reader").expect("all that was taken"), "{engine:?}");
    }
}

#[test]
fn a_send_without_room_can_be_cancelled() {
    for engine in engines() {
        let (mut driver, _peer) = opened(engine, &[]);
        fill(&mut driver);
        driver.cancel(SLOT, Op::Send);
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Send, "{engine:?}");
        // What had been sent of it until then may be told instead.
        if let Err(error) = done.result {
            assert_eq!(error.raw_os_error(), Some(libc::ECANCELED), "{engine:?}");
        }
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
        assert_eq!(driver.buffers_held(), 0, "{engine:?}");
    }
}

/// The kernel may exchange two sends on one socket once the first of them waits for room: so only one
/// that nothing was sent before goes untold.
#[test]
fn a_second_send_is_told_until_the_peer_has_been_heard() {
    let features = probe(Tier::Direct).expect("a ring");
    let (mut driver, peer) = opened(Engine::IoUring(features), &[]);
    let constant = driver.constant();
    assert!(!driver.send(SLOT, &constant).confirmed);
    assert!(driver.send(SLOT, &constant).confirmed);
    assert_eq!(next(&mut driver).token.op, Op::Send);
    (&peer).write_all(b"x").expect("a byte");
    driver.receive(SLOT, Demand::Read);
    assert_eq!(next(&mut driver).token.op, Op::Receive);
    assert!(!driver.send(SLOT, &constant).confirmed);
}

#[test]
fn a_quiet_send_that_waits_for_room_does_not_outlive_its_socket() {
    for engine in engines() {
        let (mut driver, peer) = opened(engine, &[SocketOption::reset_on_close()]);
        fill(&mut driver);
        driver.cancel(SLOT, Op::Send);
        assert_eq!(next(&mut driver).token.op, Op::Send, "{engine:?}");
        // Whoever answers has taken what came before: nothing need be told of the next send.
        (&peer).write_all(b"x").expect("a byte");
        driver.receive(SLOT, Demand::Read);
        assert_eq!(next(&mut driver).token.op, Op::Receive, "{engine:?}");
        let constant = driver.constant();
        let handover = driver.send(SLOT, &constant);
        assert_eq!(handover.confirmed, matches!(engine, Engine::Epoll), "{engine:?}");
        let brief = Patience { timeout_ns: 1000, ..PATIENCE };
        driver.turn(brief, &mut Vec::new()).expect("a turn");
        if handover.confirmed {
            driver.cancel(SLOT, Op::Send);
            assert_eq!(next(&mut driver).token.op, Op::Send, "{engine:?}");
        }
        driver.close(SLOT);
        // The peer has not made room, and sees the reset all the same.
        let end = Instant::now() + Duration::from_secs(10);
        while peer.take_error().expect("a socket").is_none() {
            assert!(Instant::now() < end, "{engine:?}: the socket is still open");
            driver.turn(brief, &mut Vec::new()).expect("a turn");
        }
    }
}

/// More than fits into the 31 bits in which the kernel counts.
#[test]
fn a_constant_of_more_than_two_gib_arrives_whole() {
    const BYTES: usize = (1 << 31) + 4097;
    let memory = procfs::Current::current().map(|memory: procfs::Meminfo| memory.mem_available);
    if memory.is_ok_and(|available| available.is_some_and(|bytes| bytes < 3 * BYTES as u64)) {
        eprintln!("skipped: there is no memory for a body of 2 GiB");
        return;
    }
    let constant: Arc<[u8]> = vec![0; BYTES].into();
    for engine in [probe(Tier::Direct).map(Engine::IoUring).expect("a ring"), Engine::Epoll] {
        let (listener, address) = listener();
        let reader = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("a connection");
            io::copy(&mut peer, &mut io::sink()).expect("all of it")
        });
        let config = Config {
            slots: SLOTS,
            addresses: vec![address.into()],
            options: Vec::new(),
            constant: constant.clone(),
            receive_buffer_bytes: 4096,
            epoch: Instant::now(),
        };
        let mut driver: Box<dyn Tested> = match engine {
            Engine::IoUring(features) => Box::new(UringDriver::new(config, features).expect("ok")),
            Engine::Epoll => Box::new(EpollDriver::new(config).expect("an epoll instance")),
        };
        driver.open(SLOT, 0, None);
        next(&mut driver).result.expect("established");
        let mut sent = 0;
        while sent < BYTES {
            let handover = driver.send(SLOT, &constant[sent..]);
            sent += handover.taken;
            if handover.confirmed {
                next(&mut driver).result.expect("sent");
            }
        }
        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        assert_eq!(reader.join().expect("a reader"), BYTES as u64, "{engine:?}");
    }
}

#[test]
fn a_send_to_a_peer_that_has_reset_fails_once() {
    for engine in engines() {
        let (mut driver, peer) = opened(engine, &[]);
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("set");
        drop(peer);
        // What is sent before the reset is there succeeds: a neighbour that starts a program may
        // hold a copy of the socket for a moment, and only the last one to be closed resets.
        let give_up = Instant::now() + Duration::from_secs(5);
        loop {
            let handover = driver.send(SLOT, &[1; 10]);
            assert!(handover.confirmed || handover.taken == 10, "{engine:?}");
            if handover.confirmed {
                let done = next(&mut driver);
                assert_eq!(done.token.op, Op::Send, "{engine:?}");
                if done.result.is_err() {
                    break;
                }
            }
            assert!(Instant::now() < give_up, "no reset: {engine:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
        assert_eq!(driver.buffers_held(), 0, "{engine:?}");
    }
}

#[test]
fn the_end_of_the_stream_is_told_with_the_last_bytes_and_after_them() {
    for engine in engines() {
        // On a busy machine the end may come a moment after the bytes: not three times in a row.
        let together = (0..3).any(|_| {
            let (mut driver, mut peer) = opened(engine, &[]);
            peer.write_all(b"last").expect("sent");
            // At once, even while a neighbour that starts a program holds a copy of the socket.
            peer.shutdown(Shutdown::Both).expect("shut down");
            drop(peer);
            driver.receive(SLOT, Demand::Read);
            let done = next(&mut driver);
            assert_eq!(done.result.expect("bytes"), 4, "{engine:?}");
            for _ in 0..2 {
                driver.receive(SLOT, Demand::Read);
                assert_eq!(next(&mut driver).result.expect("the end"), 0, "{engine:?}");
            }
            done.more
        });
        assert!(together, "the end: {engine:?}");
    }
}

#[test]
fn what_follows_urgent_data_is_not_missed() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[]);
        peer.write_all(b"abc").expect("sent");
        socket2::SockRef::from(&peer).send_out_of_band(b"!").expect("sent");
        peer.write_all(b"rest").expect("sent");
        let mut got = Vec::new();
        while got.len() < 7 {
            driver.receive(SLOT, Demand::Read);
            let count = next(&mut driver).result.expect("bytes");
            got.extend_from_slice(driver.received(SLOT, count));
        }
        assert_eq!(got, b"abcrest", "{engine:?}");
    }
}

#[test]
fn a_buffer_that_is_filled_exactly_says_whether_there_is_more() {
    for engine in engines() {
        for (bytes, more) in [(4096, false), (4097, true)] {
            let (mut driver, mut peer) = opened(engine, &[]);
            peer.write_all(&vec![1u8; bytes]).expect("sent");
            driver.receive(SLOT, Demand::Read);
            let done = next(&mut driver);
            assert_eq!(done.result.expect("bytes"), 4096, "{engine:?}");
            assert_eq!(done.more, more, "{engine:?}");
            // And the rest is not missed, whether or not it is there yet.
            driver.receive(SLOT, Demand::Read);
            if !more {
                peer.write_all(b"x").expect("sent");
            }
            assert_eq!(next(&mut driver).result.expect("bytes"), 1, "{engine:?}");
        }
    }
}

#[test]
fn bytes_can_be_counted_without_being_kept() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[]);
        peer.write_all(&[1u8; 1000]).expect("sent");
        driver.receive(SLOT, Demand::Discard(600));
        let done = next(&mut driver);
        assert_eq!(done.result.expect("bytes"), 600);
        assert!(done.more, "400 are left");
        driver.receive(SLOT, Demand::Discard(u64::MAX));
        assert_eq!(next(&mut driver).result.expect("bytes"), 400);
    }
}

/// An exchange of 8 bytes there and back; then what the peer does about the next 8, and how many bytes
/// the kernel says have come as far as that.
fn extent_after(
    engine: Engine,
    habit: fn(&mut Box<dyn Tested>, TcpStream),
    extent: Extent,
) -> usize {
    let (mut driver, mut peer) = opened(engine, &[]);
    let constant = driver.constant();
    driver.send(SLOT, &constant);
    driver.receive(SLOT, Demand::Read);
    driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
    peer.read_exact(&mut [0; 8]).expect("the request");
    peer.write_all(b"answered").expect("sent");
    assert_eq!(next(&mut driver).result.expect("bytes"), 8);
    habit(&mut driver, peer);
    driver.receive(SLOT, Demand::Read);
    let mut completions = Vec::new();
    while !completions.iter().any(|done: &Completion| done.token.op == Op::Receive) {
        driver.turn(PATIENCE, &mut completions).expect("the driver works");
    }
    assert!(matches!(completions.pop(), Some(Completion { result: Ok(0) | Err(_), .. })));
    driver.extent(SLOT, extent);
    let done = next(&mut driver);
    assert_eq!(done.token, Token { op: Op::Extent, slot: SLOT });
    driver.close(SLOT);
    driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
    assert_eq!(driver.outstanding(), 0, "{engine:?}");
    done.result.unwrap_or_else(|error| panic!("{error} over {engine:?}"))
}

fn send_once_more(driver: &mut Box<dyn Tested>) {
    let constant = driver.constant();
    driver.send(SLOT, &constant);
    driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
}

fn reset(peer: TcpStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("set");
}

#[test]
fn the_kernel_says_how_far_bytes_have_come() {
    type Habit = fn(&mut Box<dyn Tested>, TcpStream);
    let cases: [(&str, Habit, Extent, usize); 6] = [
        (
            "closed before they came",
            |driver, peer| {
                // Also while a neighbour that starts a program holds a copy of the socket.
                peer.shutdown(Shutdown::Both).expect("shut down");
                drop(peer);
                send_once_more(driver);
            },
            Extent::Acknowledged,
            8,
        ),
        (
            "read, then closed",
            |driver, mut peer| {
                send_once_more(driver);
                peer.read_exact(&mut [0; 8]).expect("the request");
                peer.shutdown(Shutdown::Both).expect("shut down");
            },
            Extent::Acknowledged,
            16,
        ),
        (
            "sent, then reset",
            |driver, mut peer| {
                send_once_more(driver);
                peer.read_exact(&mut [0; 8]).expect("the request");
                reset(peer);
            },
            Extent::Sent,
            16,
        ),
        (
            "reset before they were sent",
            |driver, peer| {
                reset(peer);
                send_once_more(driver);
            },
            Extent::Sent,
            8,
        ),
        ("nothing to send", |_, peer| reset(peer), Extent::Sent, 8),
        ("nothing sent", |_, peer| drop(peer), Extent::Acknowledged, 8),
    ];
    for engine in engines() {
        for (name, habit, extent, expected) in cases {
            let bytes = extent_after(engine, habit, extent);
            // The SYN may be one of them.
            assert!((expected..=expected + 1).contains(&bytes), "{name}: {bytes} over {engine:?}");
        }
    }
}

#[test]
fn a_refused_connection_is_one_completion_with_its_errno() {
    for engine in engines() {
        let (_bound, address) = refusing();
        let mut driver = driver(engine, &[address], &[SocketOption::reset_on_close()]);
        for generation in 0..3 {
            let slot = SlotId { generation, ..SLOT };
            driver.open(slot, 0, None);
            let done = next(&mut driver);
            assert_eq!(done.token, Token { op: Op::Connect, slot });
            let errno = done.result.expect_err("refused").raw_os_error();
            assert_eq!(errno, Some(libc::ECONNREFUSED), "{engine:?}");
            driver.close(slot);
        }
        assert_eq!(driver.outstanding(), 0);
    }
}

fn reuse() -> SocketOption {
    SocketOption::int(libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
}

/// Each tier as it is, and as on a kernel that cannot bind in the ring.
fn ways_to_bind() -> Vec<Engine> {
    let all = engines().into_iter();
    all.flat_map(|engine| match engine {
        Engine::IoUring(features) if features.tier == Tier::Plain => {
            vec![engine, Engine::IoUring(Features { bind_in_ring: false, ..features })]
        }
        _ => vec![engine],
    })
    .collect()
}

#[test]
fn a_connection_comes_from_where_it_was_told_to() {
    for engine in ways_to_bind() {
        let (listener, address) = listener();
        let mut driver = driver(engine, &[address], &[reuse()]);
        // The same source twice: the second takes the first one's TIME_WAIT over.
        let (_bound, source) = source(Ipv4Addr::new(127, 0, 0, 7).into());
        for generation in 0..2 {
            let slot = SlotId { generation, ..SLOT };
            driver.open(slot, 0, Some(source));
            next(&mut driver).result.unwrap_or_else(|error| panic!("{error} {engine:?}"));
            let (mut peer, from) = listener.accept().expect("a connection");
            assert_eq!(from, source, "{engine:?}");
            driver.close(slot);
            driver.turn(Patience { timeout_ns: 1, ..PATIENCE }, &mut Vec::new()).expect("a turn");
            assert_eq!(peer.read(&mut [0u8; 1]).expect("the end"), 0);
            // Also while a neighbour that starts a program holds a copy of the socket.
            peer.shutdown(Shutdown::Both).expect("shut down");
        }
    }
}

#[test]
fn a_connection_comes_from_an_ipv6_source_too() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return eprintln!("skipped: no IPv6 here");
    };
    for engine in ways_to_bind() {
        let mut driver = driver(engine, &[listener.local_addr().expect("bound")], &[reuse()]);
        let (_bound, source) = source(Ipv6Addr::LOCALHOST.into());
        driver.open(SLOT, 0, Some(source));
        next(&mut driver).result.expect("established");
        assert_eq!(listener.accept().expect("a connection").1, source, "{engine:?}");
    }
}

#[test]
fn a_source_that_is_taken_fails_the_bind_and_connects_nobody() {
    for engine in ways_to_bind() {
        let (listener, address) = listener();
        listener.set_nonblocking(true).expect("set");
        let mut driver = driver(engine, &[address], &[reuse()]);
        // Somebody listens there: the target itself.
        driver.open(SLOT, 0, Some(address));
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Bind, "{engine:?}");
        let errno = done.result.expect_err("in use").raw_os_error();
        assert_eq!(errno, Some(libc::EADDRINUSE), "{engine:?}");
        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
        let nobody = listener.accept().expect_err("nobody has connected");
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock, "{engine:?}");
    }
}

#[test]
fn an_option_that_fails_is_named_once() {
    for engine in engines() {
        let (_listener, address) = listener();
        let unknown = SocketOption::int(libc::IPPROTO_TCP, 9999, 1);
        let mut driver = driver(engine, &[address], &[unknown, unknown]);
        driver.open(SLOT, 0, None);
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Option, "{engine:?}");
        let errno = done.result.expect_err("no such option").raw_os_error();
        assert_eq!(errno, Some(libc::ENOPROTOOPT), "{engine:?}");
        driver.close(SLOT);
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
    }
}

/// Each of these attempts fails in several steps, and each step posts: twice as much as there is
/// room for. (No run comes this far: there only the making of sockets fails in the ring, and that
/// only once the whole box has no file left.)
#[test]
fn a_full_completion_queue_is_counted_and_nothing_is_lost() {
    const SLOTS: u32 = 512;
    for engine in engines() {
        // Nobody listens: the handshake fails at once, too.
        let (_bound, address) = refusing();
        let unknown = SocketOption::int(libc::IPPROTO_TCP, 9999, 1);
        let mut driver = driver_of(SLOTS, engine, &[address], &[unknown; 3]);
        for generation in 1..=3 {
            let slot = |index| SlotId { index, generation };
            (0..SLOTS).for_each(|index| driver.open(slot(index), 0, None));
            let mut completions = Vec::new();
            for _ in 0..100 {
                driver.turn(PATIENCE, &mut completions).expect("the driver works");
                if completions.len() == SLOTS as usize {
                    break;
                }
            }
            completions.sort_by_key(|done| done.token.slot.index);
            let told = completions.iter().map(|done| done.token);
            let expected = (0..SLOTS).map(|index| Token { op: Op::Option, slot: slot(index) });
            assert!(told.eq(expected), "{engine:?}: {} completions", completions.len());
            for done in completions {
                let errno = done.result.expect_err("no such option").raw_os_error();
                assert_eq!(errno, Some(libc::ENOPROTOOPT), "{engine:?}");
            }
            (0..SLOTS).for_each(|index| driver.close(slot(index)));
        }
        assert_eq!(driver.outstanding(), 0, "{engine:?}");
        let in_ring = matches!(engine, Engine::IoUring(features) if features.options_in_ring);
        assert_eq!(driver.overflows() > 0, in_ring, "{engine:?}");
    }
}

#[test]
fn a_receive_can_be_cancelled() {
    for engine in engines() {
        let (mut driver, _peer) = opened(engine, &[]);
        driver.receive(SLOT, Demand::Read);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        driver.cancel(SLOT, Op::Receive);
        let errno = next(&mut driver).result.expect_err("cancelled").raw_os_error();
        assert_eq!(errno, Some(libc::ECANCELED), "{engine:?}");
        assert_eq!(driver.outstanding(), 0);
    }
}

#[test]
fn linger_zero_resets() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[SocketOption::reset_on_close()]);
        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        let error = peer.read(&mut [0u8; 1]).expect_err("a reset");
        assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET), "{engine:?}");
    }
}

#[test]
fn a_slot_is_used_again_and_again() {
    for engine in engines() {
        let (listener, address) = listener();
        let mut driver = driver(engine, &[address], &[]);
        for generation in 0..50 {
            let slot = SlotId { index: generation % 4, generation };
            driver.open(slot, 0, None);
            let done = next(&mut driver);
            assert_eq!(done.token.slot, slot);
            done.result.expect("established");
            let (mut peer, _) = listener.accept().expect("a connection");
            driver.close(slot);
            driver.turn(Patience { timeout_ns: 1, ..PATIENCE }, &mut Vec::new()).expect("a turn");
            assert_eq!(peer.read(&mut [0u8; 1]).expect("the end"), 0);
        }
    }
}

#[test]
fn dropping_the_driver_ends_what_is_under_way() {
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[]);
        driver.receive(SLOT, Demand::Read);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        drop(driver);
        assert_eq!(peer.read(&mut [0u8; 1]).expect("the end"), 0, "{engine:?}");
    }
}

/// A driver that is dropped gives up after a second: what took less has come to its end.
const BEFORE_GIVING_UP: Duration = Duration::from_millis(900);

/// Of a small constant send nobody is told: dropping has to know by other means that it has ended.
#[test]
fn dropping_the_driver_gives_the_constant_back() {
    for engine in engines() {
        let (mut driver, _peer) = opened(engine, &[]);
        fill(&mut driver);
        driver.cancel(SLOT, Op::Send);
        next(&mut driver);
        let constant = driver.constant();
        // Without room for it: it waits in the ring.
        driver.send(SLOT, &constant);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        let begin = Instant::now();
        drop(driver);
        assert!(begin.elapsed() < BEFORE_GIVING_UP, "{engine:?}");
        // From 6.0 on the kernel says so; before, it is never given back.
        assert_eq!(Arc::strong_count(&constant), 1, "{engine:?}");
    }
}

#[test]
fn dropping_the_driver_does_not_wait_for_sockets_that_were_never_connected() {
    for engine in engines() {
        let (_listener, address) = listener();
        let mut driver = driver(engine, &[address], &[]);
        driver.open(SLOT, 0, None);
        let begin = Instant::now();
        drop(driver);
        assert!(begin.elapsed() < BEFORE_GIVING_UP, "{engine:?}");
    }
}
