//! The verbs over a real kernel, on every tier that it has.

use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

const PATIENCE: Patience = Patience { want: 1, linger_ns: 0, timeout_ns: 2_000_000_000 };

fn tiers() -> Vec<Features> {
    [Tier::Direct, Tier::Plain, Tier::Basic]
        .into_iter()
        .filter_map(|tier| {
            let features = probe(tier).expect("these tests need io_uring");
            if features.tier != tier {
                eprintln!("skipped: this kernel has no tier {tier:?}");
            }
            (features.tier == tier).then_some(features)
        })
        .collect()
}

fn driver(features: Features, addresses: &[SocketAddr], options: &[SocketOption]) -> UringDriver {
    UringDriver::new(Config {
        features,
        slots: 4,
        addresses: addresses.to_vec(),
        options: options.to_vec(),
        constant: b"constant".as_slice().into(),
        receive_buffer_bytes: 4096,
        epoch: Instant::now(),
    })
    .expect("a ring")
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

const SLOT: Slot = Slot { index: 2, generation: 5 };

/// Turns until one completion has come.
fn next(driver: &mut UringDriver) -> Completion {
    let mut completions = Vec::new();
    for _ in 0..10 {
        driver.turn(PATIENCE, &mut completions).expect("the ring works");
        if let Some(first) = completions.pop() {
            assert!(completions.is_empty(), "more than one completion: {completions:?}");
            return first;
        }
    }
    panic!("no completion");
}

fn opened(features: Features, options: &[SocketOption]) -> (UringDriver, TcpStream) {
    let (listener, address) = listener();
    let mut driver = driver(features, &[address], options);
    driver.open(SLOT, 0, None);
    let done = next(&mut driver);
    assert_eq!(done.token, Token { op: Op::Connect, slot: SLOT });
    assert_eq!(done.result.expect("established"), 0);
    (driver, listener.accept().expect("a connection").0)
}

#[test]
fn a_connection_lives_from_open_to_close() {
    for features in tiers() {
        let (mut driver, mut peer) = opened(features, &[]);
        let constant = driver.config.constant.clone();
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
        assert_eq!(peer.read(&mut request).expect("the end"), 0, "{features:?}");
        assert_eq!(driver.outstanding, 0, "{features:?}");
    }
}

#[test]
fn bytes_that_are_not_constant_are_copied_and_confirmed() {
    for features in tiers() {
        let (mut driver, mut peer) = opened(features, &[]);
        let bytes = vec![7u8; 10_000];
        let handover = driver.send(SLOT, &bytes);
        assert_eq!(handover, Handover { taken: 4096, confirmed: true });
        drop(bytes);
        let done = next(&mut driver);
        assert_eq!((done.token.op, done.result.expect("sent")), (Op::Send, 4096));
        let mut got = vec![0u8; 4096];
        peer.read_exact(&mut got).expect("the bytes");
        assert!(got.iter().all(|&byte| byte == 7));
    }
}

#[test]
fn bytes_can_be_counted_without_being_kept() {
    for features in tiers() {
        let (mut driver, mut peer) = opened(features, &[]);
        peer.write_all(&[1u8; 1000]).expect("sent");
        driver.receive(SLOT, Demand::Discard(600));
        let done = next(&mut driver);
        assert_eq!(done.result.expect("bytes"), 600);
        assert!(done.more, "400 are left");
        driver.receive(SLOT, Demand::Discard(u64::MAX));
        assert_eq!(next(&mut driver).result.expect("bytes"), 400);
    }
}

#[test]
fn a_refused_connection_is_one_completion_with_its_errno() {
    for features in tiers() {
        let (listener, address) = listener();
        drop(listener);
        let mut driver = driver(features, &[address], &[SocketOption::reset_on_close()]);
        for generation in 0..3 {
            let slot = Slot { generation, ..SLOT };
            driver.open(slot, 0, None);
            let done = next(&mut driver);
            assert_eq!(done.token, Token { op: Op::Connect, slot });
            let errno = done.result.expect_err("refused").raw_os_error();
            assert_eq!(errno, Some(libc::ECONNREFUSED), "{features:?}");
            driver.close(slot);
        }
        assert_eq!(driver.outstanding, 0);
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    listener().1.port()
}

fn reuse() -> SocketOption {
    SocketOption::int(libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
}

/// Each tier as it is, and as on a kernel that cannot bind in the ring.
fn ways_to_bind() -> Vec<Features> {
    let all = tiers().into_iter();
    all.flat_map(|features| match features.tier {
        Tier::Plain => vec![features, Features { bind_in_ring: false, ..features }],
        _ => vec![features],
    })
    .collect()
}

#[test]
fn a_connection_comes_from_where_it_was_told_to() {
    for features in ways_to_bind() {
        let (listener, address) = listener();
        let mut driver = driver(features, &[address], &[reuse()]);
        // The same source twice: the second takes the first one's TIME_WAIT over.
        let source = SocketAddr::from(([127, 0, 0, 7], free_port()));
        for generation in 0..2 {
            let slot = Slot { generation, ..SLOT };
            driver.open(slot, 0, Some(source));
            next(&mut driver).result.unwrap_or_else(|error| panic!("{error} {features:?}"));
            let (mut peer, from) = listener.accept().expect("a connection");
            assert_eq!(from, source, "{features:?}");
            driver.close(slot);
            driver.turn(Patience { timeout_ns: 1, ..PATIENCE }, &mut Vec::new()).expect("a turn");
            assert_eq!(peer.read(&mut [0u8; 1]).expect("the end"), 0);
        }
    }
}

#[test]
fn a_connection_comes_from_an_ipv6_source_too() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return eprintln!("skipped: no IPv6 here");
    };
    for features in ways_to_bind() {
        let mut driver = driver(features, &[listener.local_addr().expect("bound")], &[reuse()]);
        let source: SocketAddr = format!("[::1]:{}", free_port()).parse().expect("an address");
        driver.open(SLOT, 0, Some(source));
        next(&mut driver).result.expect("established");
        assert_eq!(listener.accept().expect("a connection").1, source, "{features:?}");
    }
}

#[test]
fn a_source_that_is_taken_fails_the_bind_and_connects_nobody() {
    for features in ways_to_bind() {
        let (listener, address) = listener();
        listener.set_nonblocking(true).expect("set");
        let mut driver = driver(features, &[address], &[reuse()]);
        // Somebody listens there: the target itself.
        driver.open(SLOT, 0, Some(address));
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Bind, "{features:?}");
        let errno = done.result.expect_err("in use").raw_os_error();
        assert_eq!(errno, Some(libc::EADDRINUSE), "{features:?}");
        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        assert_eq!(driver.outstanding, 0, "{features:?}");
        let nobody = listener.accept().expect_err("nobody has connected");
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock, "{features:?}");
    }
}

#[test]
fn an_option_that_fails_is_named_once() {
    for features in tiers() {
        let (_listener, address) = listener();
        let unknown = SocketOption::int(libc::IPPROTO_TCP, 9999, 1);
        let mut driver = driver(features, &[address], &[unknown, unknown]);
        driver.open(SLOT, 0, None);
        let done = next(&mut driver);
        assert_eq!(done.token.op, Op::Option, "{features:?}");
        let errno = done.result.expect_err("no such option").raw_os_error();
        assert_eq!(errno, Some(libc::ENOPROTOOPT), "{features:?}");
        driver.close(SLOT);
        assert_eq!(driver.outstanding, 0, "{features:?}");
    }
}

#[test]
fn a_receive_can_be_cancelled() {
    for features in tiers() {
        let (mut driver, _peer) = opened(features, &[]);
        driver.receive(SLOT, Demand::Read);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        driver.cancel(SLOT, Op::Receive);
        let errno = next(&mut driver).result.expect_err("cancelled").raw_os_error();
        assert_eq!(errno, Some(libc::ECANCELED), "{features:?}");
        assert_eq!(driver.outstanding, 0);
    }
}

#[test]
fn linger_zero_resets() {
    for features in tiers() {
        let (mut driver, mut peer) = opened(features, &[SocketOption::reset_on_close()]);
        driver.close(SLOT);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        let error = peer.read(&mut [0u8; 1]).expect_err("a reset");
        assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET), "{features:?}");
    }
}

#[test]
fn a_slot_is_used_again_and_again() {
    for features in tiers() {
        let (listener, address) = listener();
        let mut driver = driver(features, &[address], &[]);
        for generation in 0..50 {
            let slot = Slot { index: generation % 4, generation };
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
    for features in tiers() {
        let (mut driver, mut peer) = opened(features, &[]);
        driver.receive(SLOT, Demand::Read);
        driver.turn(Patience { timeout_ns: 1000, ..PATIENCE }, &mut Vec::new()).expect("a turn");
        drop(driver);
        assert_eq!(peer.read(&mut [0u8; 1]).expect("the end"), 0, "{features:?}");
    }
}

#[test]
fn dropping_the_driver_does_not_wait_for_sockets_that_were_never_connected() {
    for features in tiers() {
        let (_listener, address) = listener();
        let mut driver = driver(features, &[address], &[]);
        driver.open(SLOT, 0, None);
        let begin = Instant::now();
        drop(driver);
        assert!(begin.elapsed() < Duration::from_millis(500), "{features:?}");
    }
}
