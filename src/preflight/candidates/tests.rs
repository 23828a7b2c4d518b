//! The race on a clock of its own, and once over real sockets.

use super::*;
use crate::kernel::UnixSocket;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

const MS: Duration = Duration::from_millis(1);

/// What becomes of an attempt, and after how many milliseconds; `None` for silence.
type Fate = Option<(u32, Result<(), i32>)>;

/// Addresses with their fates, and when each was tried.
struct Script {
    fates: Vec<Fate>,
    now: Duration,
    tried: Vec<(usize, Duration)>,
    ended: Vec<usize>,
}

impl Attempts for Script {
    fn now(&self) -> Duration {
        self.now
    }

    fn begin(&mut self, number: usize) {
        self.tried.push((number, self.now));
    }

    fn wait(&mut self, until: Duration) -> Vec<(usize, Result<(), i32>)> {
        assert!(until > self.now, "it looks without waiting");
        let ends = self.tried.iter().filter_map(|&(number, begun)| {
            let (after, result) = self.fates[number]?;
            Some((begun + after * MS, number, result))
        });
        let next = ends.filter(|(_, number, _)| !self.ended.contains(number)).min();
        match next.filter(|&(at, ..)| at <= until) {
            None => {
                self.now = until;
                Vec::new()
            }
            Some((at, number, result)) => {
                self.now = self.now.max(at);
                self.ended.push(number);
                vec![(number, result)]
            }
        }
    }
}

/// The answers, and when each address was tried in milliseconds.
fn raced(choice: AddressChoice, fates: &[Fate]) -> (Vec<AddressAnswer>, Vec<u128>, Duration) {
    let (now, fates) = (Duration::ZERO, fates.to_vec());
    let mut script = Script { fates, now, tried: Vec::new(), ended: Vec::new() };
    let answers = race(script.fates.len(), choice, 1000 * MS, &mut script);
    let numbers: Vec<usize> = script.tried.iter().map(|&(number, _)| number).collect();
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "in order, each once");
    (answers, script.tried.iter().map(|(_, at)| at.as_millis()).collect(), script.now)
}

const ACCEPTS: Fate = Some((1, Ok(())));
const REFUSES: Fate = Some((1, Err(libc::ECONNREFUSED)));
const SILENT: Fate = None;

fn silent(ms: u32) -> AddressAnswer {
    AddressAnswer::Silent(ms * MS)
}

#[test]
fn the_first_that_accepts_wins_and_others_are_left_alone() {
    let refused = AddressAnswer::Fails(libc::ECONNREFUSED);
    let slow = |ms| Some((ms, Ok(())));
    for (fates, answers, tried) in [
        (vec![ACCEPTS, ACCEPTS], vec![AddressAnswer::Accepts, AddressAnswer::Unasked], vec![0]),
        // A refusal gives way at once, silence after a quarter of a second.
        (vec![REFUSES, ACCEPTS], vec![refused, AddressAnswer::Accepts], vec![0, 1]),
        (vec![SILENT, ACCEPTS], vec![silent(251), AddressAnswer::Accepts], vec![0, 250]),
        (
            vec![SILENT, REFUSES, SILENT, ACCEPTS, SILENT],
            vec![silent(502), refused, silent(251), AddressAnswer::Accepts, AddressAnswer::Unasked],
            vec![0, 250, 251, 501],
        ),
        // One that is slow may still be the first, and the second has not had its time.
        (
            vec![slow(260), slow(20)],
            vec![AddressAnswer::Accepts, AddressAnswer::Unasked],
            vec![0, 250],
        ),
        (vec![slow(400), slow(20)], vec![silent(270), AddressAnswer::Accepts], vec![0, 250]),
    ] {
        let (found, at, _) = raced(AddressChoice::First, &fates);
        assert_eq!((found, at), (answers, tried), "{fates:?}");
    }
}

#[test]
fn when_none_accepts_it_ends_with_a_reason_for_each() {
    let (answers, _, took) = raced(AddressChoice::First, &[REFUSES, REFUSES]);
    assert_eq!((answers, took), (vec![AddressAnswer::Fails(libc::ECONNREFUSED); 2], 2 * MS));
    let (answers, tried, took) = raced(AddressChoice::First, &[SILENT, SILENT]);
    assert_eq!((answers, tried), (vec![silent(1250), silent(1000)], vec![0, 250]));
    assert_eq!(took, 1250 * MS);
}

#[test]
fn all_are_tried_at_once_and_waited_for() {
    let slow = Some((600, Ok(())));
    let (answers, tried, took) = raced(AddressChoice::All, &[ACCEPTS, REFUSES, slow]);
    let refused = AddressAnswer::Fails(libc::ECONNREFUSED);
    assert_eq!(
        (answers, tried),
        (vec![AddressAnswer::Accepts, refused, AddressAnswer::Accepts], vec![0; 3])
    );
    assert_eq!(took, 600 * MS);
    let (answers, _, took) = raced(AddressChoice::All, &[ACCEPTS, SILENT]);
    assert_eq!((answers, took), (vec![AddressAnswer::Accepts, silent(1000)], 1000 * MS));
}

#[test]
fn families_take_turns_from_the_first_one_on() {
    let order = |texts: &[&str]| -> Vec<String> {
        let all = texts.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect();
        interleaved(all).iter().map(|address| address.ip().to_string()).collect()
    };
    assert_eq!(order(&["::1", "::2", "::3", "10.0.0.1"]), ["::1", "10.0.0.1", "::2", "::3"]);
    assert_eq!(order(&["10.0.0.1", "10.0.0.2", "::1"]), ["10.0.0.1", "::1", "10.0.0.2"]);
    assert_eq!(order(&["10.0.0.2", "10.0.0.1"]), ["10.0.0.2", "10.0.0.1"]);
    assert_eq!(order(&[]), [""; 0]);
}

#[test]
fn real_sockets_are_asked_and_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Bound and not listening: no other program gets the port.
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    deaf.bind(&any.into()).unwrap();
    let refuses = deaf.local_addr().unwrap().as_socket().unwrap();
    let mut load = Load::new(vec![refuses, listener.local_addr().unwrap()]);
    find(&mut load, AddressChoice::First);
    assert_eq!(load.answers, [AddressAnswer::Fails(libc::ECONNREFUSED), AddressAnswer::Accepts]);
    assert_eq!(load.route.of_worker(0).addresses(), 2);
    let (mut accepted, _) = listener.accept().unwrap();
    assert_eq!(std::io::Read::read(&mut accepted, &mut [0]).unwrap(), 0, "not a byte");

    // With one address, none is asked.
    let mut load = Load::new(vec![listener.local_addr().unwrap()]);
    find(&mut load, AddressChoice::All);
    listener.set_nonblocking(true).unwrap();
    assert_eq!(load.answers, [AddressAnswer::Unasked]);
    assert!(listener.accept().is_err());
}

#[test]
fn a_unix_socket_is_not_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let socket = Address::from(UnixSocket::File(path));
    let mut load = Load::new(vec![socket.clone()]);
    find(&mut load, AddressChoice::First);
    assert_eq!(
        (load.answers.as_slice(), load.route.addresses()),
        (&[AddressAnswer::Unasked][..], 1)
    );
    assert_eq!((in_use(&load), none_accepts(&load)), (vec![socket], None));
    assert!(listener.accept().is_err());
}
