//! Many connections and few buffers.

use super::*;
use crate::engine::driver::COMPLETIONS_MAX;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than there are shared buffers.
const MANY: u32 = 600;

const BRIEF: Patience = Patience { timeout_ns: 1000, ..PATIENCE };

/// All that is ready at once.
const ALL: Patience = Patience { want: MANY, linger_ns: 100_000_000, timeout_ns: 2_000_000_000 };

/// Connections on all slots of a driver, and their peers.
struct Crowd {
    driver: Box<dyn Tested>,
    listener: TcpListener,
    peers: Vec<TcpStream>,
}

fn slot(index: u32) -> SlotId {
    SlotId { index, generation: 1 }
}

/// What a peer answers: something else on each connection, and not of one length.
fn answer(slot: SlotId) -> Vec<u8> {
    let text = format!("answer to {} of {} ", slot.generation, slot.index);
    text.bytes().cycle().take(20 + slot.index as usize * 7 % 4000).collect()
}

fn crowd(slots: u32, engine: Engine) -> Crowd {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("as much as may be");
    let (listener, address) = listener();
    let driver = driver_of(slots, engine, &[address], &[]);
    let mut crowd = Crowd { driver, listener, peers: Vec::new() };
    crowd.peers = (0..slots).map(|index| crowd.open(slot(index))).collect();
    crowd
}

impl Crowd {
    fn open(&mut self, slot: SlotId) -> TcpStream {
        self.driver.open(slot, 0, None);
        next(&mut self.driver).result.expect("established");
        self.listener.accept().expect("a connection").0
    }

    /// A turn. Each of the receives that it brings has the right bytes, unless it was cancelled.
    /// Whose they were, and how many were cancelled.
    fn turn(&mut self, patience: Patience, engine: Engine) -> (Vec<SlotId>, usize) {
        let (mut told, mut cancelled) = (Vec::new(), 0);
        let mut completions = Vec::new();
        self.driver.turn(patience, &mut completions).expect("the driver works");
        assert!(completions.len() <= COMPLETIONS_MAX);
        for done in completions {
            let slot = done.token.slot;
            assert_eq!(done.token.op, Op::Receive, "{engine:?}");
            match done.result {
                Ok(count) => {
                    let got = self.driver.received(slot, count);
                    assert!(got == answer(slot), "{slot:?} got {} bytes: {engine:?}", got.len());
                }
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED), "{engine:?}");
                    cancelled += 1;
                }
            }
            told.push(slot);
        }
        (told, cancelled)
    }

    fn answer_all(&mut self) {
        for (index, peer) in (0..).zip(&mut self.peers) {
            peer.write_all(&answer(slot(index))).expect("sent");
        }
    }

    fn receive_all(&mut self) {
        (0..self.peers.len() as u32).for_each(|at| self.driver.receive(slot(at), Demand::Read));
    }

    /// Everything has come to its end.
    fn assert_quiet(&mut self, engine: Engine) {
        for _ in 0..2 {
            self.driver.turn(BRIEF, &mut Vec::new()).expect("a turn");
        }
        assert_eq!(self.driver.outstanding(), 0, "{engine:?}");
        assert_eq!(self.driver.starving(), 0, "{engine:?}");
        assert_eq!(self.driver.buffers_held(), 0, "{engine:?}");
    }
}

#[test]
fn more_receives_than_buffers_all_get_their_bytes() {
    for engine in engines() {
        let mut crowd = crowd(MANY, engine);
        crowd.answer_all();
        crowd.receive_all();
        let (mut told, mut starved) = (Vec::new(), false);
        for _ in 0..1000 {
            told.extend(crowd.turn(ALL, engine).0);
            starved |= crowd.driver.starving() > 0;
            if told.len() == MANY as usize {
                break;
            }
        }
        told.sort_by_key(|slot| slot.index);
        assert!(told.into_iter().eq((0..MANY).map(slot)), "{engine:?}");
        assert_eq!(starved, shares(engine), "{engine:?}");
        crowd.assert_quiet(engine);
    }
}

#[test]
fn a_receive_that_waits_for_a_buffer_can_be_cancelled_and_its_slot_used_again() {
    for engine in engines() {
        let mut crowd = crowd(MANY, engine);
        crowd.answer_all();
        crowd.receive_all();
        let mut waiting: Vec<SlotId> = (0..MANY).map(slot).collect();
        // Until some wait for a buffer; what the kernel has posted of others was not looked at yet.
        for _ in 0..3 {
            let (told, _) = crowd.turn(ALL, engine);
            waiting.retain(|slot| !told.contains(slot));
            if crowd.driver.starving() > 0 {
                break;
            }
        }
        assert_eq!(crowd.driver.starving() > 0, shares(engine), "{engine:?}");
        waiting.iter().for_each(|&slot| crowd.driver.cancel(slot, Op::Receive));
        let mut cancelled_in_all = 0;
        for _ in 0..1000 {
            let (told, cancelled) = crowd.turn(ALL, engine);
            cancelled_in_all += cancelled;
            // At once, while the driver may still have the slot in its line.
            for &slot in &told {
                waiting.retain(|&other| other != slot);
                crowd.driver.close(slot);
            }
            if waiting.is_empty() {
                break;
            }
        }
        assert!(waiting.is_empty(), "{engine:?}: {waiting:?} are not told of");
        assert!(!shares(engine) || cancelled_in_all > 0, "{engine:?}");
        // Those that were told of before are still open.
        (0..MANY).for_each(|index| crowd.driver.close(slot(index)));
        // Cancellations that came too late are told to the driver, too.
        while crowd.driver.has_more() {
            crowd.turn(BRIEF, engine);
        }
        for index in 0..MANY {
            let slot = slot(index).next();
            let mut peer = crowd.open(slot);
            peer.write_all(&answer(slot)).expect("sent");
            crowd.driver.receive(slot, Demand::Read);
            while crowd.turn(PATIENCE, engine).0.is_empty() {}
        }
        crowd.assert_quiet(engine);
    }
}

#[test]
fn dropping_the_driver_ends_receives_that_wait_for_a_buffer() {
    for engine in engines() {
        let mut crowd = crowd(MANY, engine);
        crowd.answer_all();
        crowd.receive_all();
        for _ in 0..2 {
            crowd.turn(ALL, engine);
        }
        let Crowd { driver, mut peers, .. } = crowd;
        let begin = Instant::now();
        drop(driver);
        assert!(begin.elapsed() < BEFORE_GIVING_UP, "{engine:?}");
        for peer in &mut peers {
            // What was not read makes a reset of the end.
            assert!(matches!(peer.read(&mut [0]), Ok(0) | Err(_)), "{engine:?}");
        }
    }
}

#[test]
fn slots_that_have_received_and_are_idle_own_no_memory() {
    const FEWER: u32 = 300;
    for engine in engines().into_iter().filter(|&engine| shares(engine)) {
        let bytes = [FEWER, 1000].map(|slots| {
            let mut crowd = crowd(slots, engine);
            for index in 0..slots {
                let slot = slot(index);
                crowd.peers[index as usize].write_all(&answer(slot)).expect("sent");
                crowd.driver.send(slot, &[1; 100]);
                crowd.driver.receive(slot, Demand::Read);
                let mut completions = Vec::new();
                while completions.iter().all(|done: &Completion| done.token.op != Op::Receive) {
                    crowd.driver.turn(PATIENCE, &mut completions).expect("a turn");
                }
            }
            crowd.assert_quiet(engine);
            crowd.driver.memory_bytes()
        });
        assert_eq!(bytes[0], bytes[1], "{engine:?}");
    }
}

#[test]
fn a_large_send_goes_out_in_large_pieces() {
    const BYTES: usize = 1 << 20;
    for engine in engines() {
        let (mut driver, mut peer) = opened(engine, &[]);
        let bytes: Vec<u8> = (0..BYTES).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; BYTES];
            peer.read_exact(&mut got).map(|()| got)
        });
        let (mut sent, mut handovers) = (0, 0);
        while sent < BYTES {
            let handover = driver.send(SLOT, &bytes[sent..]);
            (sent, handovers) = (sent + handover.taken, handovers + 1);
            if handover.confirmed {
                next(&mut driver).result.expect("sent");
            }
        }
        assert!(reader.join().expect("a reader").expect("all of it") == bytes, "{engine:?}");
        assert!(handovers <= 16 || engine == Engine::Epoll, "{handovers} over {engine:?}");
        assert_eq!(driver.buffers_held(), 0, "{engine:?}");
    }
}

/// The first send fails without a completion of its own, as long as the second has one.
#[test]
fn two_sends_to_a_peer_that_has_reset_are_told_of_once() {
    for engine in engines().into_iter().filter(|&engine| engine != Engine::Epoll) {
        // A neighbour that starts a program may hold a copy of the socket: not three times in a
        // row.
        let failed = (0..3).any(|_| {
            let (mut driver, peer) = opened(engine, &[]);
            reset(peer);
            std::thread::sleep(Duration::from_millis(5));
            let constant = driver.constant();
            assert!(!driver.send(SLOT, &constant).confirmed, "{engine:?}");
            assert!(driver.send(SLOT, b"copied").confirmed, "{engine:?}");
            let done = next(&mut driver);
            assert_eq!(done.token.op, Op::Send, "{engine:?}");
            driver.close(SLOT);
            let mut completions = Vec::new();
            driver.turn(BRIEF, &mut completions).expect("a turn");
            assert!(completions.is_empty(), "{engine:?}: {completions:?}");
            assert_eq!(driver.outstanding(), 0, "{engine:?}");
            assert_eq!(driver.buffers_held(), 0, "{engine:?}");
            done.result.is_err()
        });
        assert!(failed, "{engine:?}");
    }
}
