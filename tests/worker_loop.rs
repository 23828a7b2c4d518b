//! The whole loop (worker, connection, session, pace, tally) over a scripted driver: completions
//! that come late, in another order, short, broken, twice, for somebody else, or never.
//!
//! The driver itself asserts what a kernel would punish: no slot is opened or closed while an
//! operation is under way on it, and there is one receive and one send at a time.

#[path = "worker_loop/resent.rs"]
mod resent;
#[path = "support/scripted.rs"]
mod scripted;

use proptest::prelude::*;
use ringshot::engine::connection::Route;
use ringshot::engine::driver::script::{Reply, ScriptDriver, Verb};
use ringshot::engine::driver::{Extent, Op, SlotId};
use ringshot::engine::failure::{Failure, Kind, Phase};
use ringshot::engine::pace::Quota;
use ringshot::engine::policy::{CloseMode, Policy};
use ringshot::engine::ports::{Method, Ports, Rotation};
use ringshot::engine::tally::Counters;
use ringshot::engine::worker::Task;
use scripted::{
    ANSWER, Fate, LAST, MS, REQUEST_BYTES, S, US, Watch, answer, assert_all_ended, fate, healthy,
    only_failure, policy, run, run_over, served, steady, task,
};
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

/// The first `count` receives (or opens) go wrong, the later ones go right.
fn failing_first(
    count: usize,
    op: Op,
    mut wrong: impl FnMut(&mut Vec<Reply>),
) -> impl FnMut(SlotId, Verb<'_>, &mut Vec<Reply>) {
    let mut left = count;
    move |slot, verb, replies| {
        let hit =
            matches!((verb, op), (Verb::Open(..), Op::Connect) | (Verb::Receive(_), Op::Receive));
        if hit && left > 0 {
            left -= 1;
            wrong(replies);
        } else {
            healthy(slot, verb, replies);
        }
    }
}

/// A rotation over so many ports of 127.0.0.1.
fn rotation(ports: u16) -> Rotation {
    let ports = Ports {
        method: Method::Rotation,
        usable: (40_000..40_000 + ports).collect(),
        sources: vec![vec!["127.0.0.1".parse().unwrap()]],
        ..Ports::kernel(1)
    };
    ports.rotation(0, 1)
}

#[test]
fn a_taken_port_is_passed_over_and_is_no_failure() {
    let mut opened = Vec::new();
    let task = Task { ports: rotation(100), ..task(2, 300, policy()) };
    let outcome = run(task, |slot, verb, replies| match verb {
        // Somebody listens on every seventh, and every fifth is not in TIME_WAIT yet.
        Verb::Open(_, source) => {
            let port = source.expect("a source").port();
            let taken = match (port % 7, port % 5) {
                (0, _) => Some((Op::Bind, libc::EADDRINUSE)),
                (_, 0) => Some((Op::Connect, libc::EADDRNOTAVAIL)),
                _ => None,
            };
            match taken {
                Some((op, errno)) => replies.push(Reply::new(US, op, Err(errno))),
                None => {
                    opened.push(port);
                    healthy(slot, verb, replies);
                }
            }
        }
        _ => healthy(slot, verb, replies),
    });
    assert_all_ended(&outcome, 300);
    let counters = outcome.tallies.measured.counters;
    assert_eq!((counters.ok, counters.failed, counters.connections_failed), (300, 0, 0));
    assert!(counters.ports_in_use > 30 && counters.ports_closing > 30, "{counters:?}");
    // A connection that had to try again took that much longer.
    assert_eq!(outcome.tallies.measured.connect.min(), 10);
    assert!(
        outcome.tallies.measured.connect.max() >= 11,
        "{}",
        outcome.tallies.measured.connect.max()
    );
    let first_lap: HashSet<_> = opened[..60].iter().collect();
    assert_eq!(first_lap.len(), 60, "no port comes twice before all have had their turn");
}

#[test]
fn when_every_port_is_taken_the_request_fails_within_one_lap() {
    let task = Task { ports: rotation(10), ..task(1, 3, policy()) };
    let mut opens = 0;
    let outcome = run(task, |_, verb, replies| {
        if let Verb::Open(..) = verb {
            opens += 1;
            replies.push(Reply::new(US, Op::Bind, Err(libc::EADDRINUSE)));
        }
    });
    assert_all_ended(&outcome, 3);
    assert_eq!(
        only_failure(&outcome.tallies.measured),
        Failure::errno(Phase::Bind, libc::EADDRINUSE)
    );
    assert_eq!((opens, outcome.tallies.measured.counters.connections_failed), (33, 3));
}

#[test]
fn when_every_port_is_still_closing_the_request_waits_for_one() {
    let task = Task { ports: rotation(4), ..task(4, 12, policy()) };
    // A port is free again 5 ms after it was opened.
    let (mut now_us, mut free_us) = (0u64, std::collections::HashMap::new());
    let outcome = run(task, |slot, verb, replies| match verb {
        Verb::Open(_, source) => {
            now_us += 100;
            let port = source.expect("a source").port();
            if free_us.get(&port).is_some_and(|&free| free > now_us) {
                replies.push(Reply::new(100 * US, Op::Connect, Err(libc::EADDRNOTAVAIL)));
            } else {
                free_us.insert(port, now_us + 5_000);
                healthy(slot, verb, replies);
            }
        }
        _ => healthy(slot, verb, replies),
    });
    assert_all_ended(&outcome, 12);
    let counters = outcome.tallies.measured.counters;
    assert_eq!((counters.ok, counters.failed, counters.connections_failed), (12, 0, 0));
    assert!(outcome.tallies.measured.connect.max() >= 1_000, "the pause is in the latency");
}

#[test]
fn ports_that_never_become_free_fail_with_their_reason_in_time() {
    let task = Task { ports: rotation(4), ..task(1, 2, policy()) };
    let outcome = run(task, |_, verb, replies| {
        if let Verb::Open(..) = verb {
            replies.push(Reply::new(US, Op::Connect, Err(libc::EADDRNOTAVAIL)));
        }
    });
    assert_all_ended(&outcome, 2);
    assert_eq!(
        only_failure(&outcome.tallies.measured),
        Failure::errno(Phase::Connect, libc::EADDRNOTAVAIL)
    );
    // Two requests of 100 ms each, and a rest between them.
    assert!(outcome.end_ns - outcome.begin_ns < 250 * MS);
}

#[test]
fn the_kernels_own_choice_is_not_questioned() {
    let mut opens = 0;
    let outcome = run(task(1, 3, policy()), |_, verb, replies| {
        if let Verb::Open(_, source) = verb {
            assert_eq!(source, None);
            opens += 1;
            replies.push(Reply::new(US, Op::Connect, Err(libc::EADDRNOTAVAIL)));
        }
    });
    assert_eq!(
        only_failure(&outcome.tallies.measured),
        Failure::errno(Phase::Connect, libc::EADDRNOTAVAIL)
    );
    assert_eq!(opens, 3);
}

#[test]
fn trying_ports_ends_with_the_time_for_the_request() {
    let policy = Policy { timeout_ns: 20 * MS, ..policy() };
    let task = Task { ports: rotation(1000), ..task(1, 1, policy) };
    let outcome = run(task, |_, verb, replies| {
        if let Verb::Open(..) = verb {
            replies.push(Reply::new(MS, Op::Connect, Err(libc::EADDRNOTAVAIL)));
        }
    });
    assert_all_ended(&outcome, 1);
    assert!(outcome.end_ns - outcome.begin_ns < 30 * MS);
}

#[test]
fn a_healthy_server_answers_everything() {
    let outcome = run(task(4, 1000, policy()), healthy);
    assert_all_ended(&outcome, 1000);
    let counters = outcome.tallies.measured.counters;
    assert_eq!((counters.ok, counters.connections_opened), (1000, 1000));
    assert_eq!(counters.bytes_read, 1000 * ANSWER.len() as u64);
    // 1000 exchanges of 30 us on 4 slots, on the script's clock.
    assert_eq!(outcome.end_ns - outcome.begin_ns, 250 * 30 * US);
    assert_eq!(outcome.tallies.measured.service.max(), 20);
    assert_eq!(outcome.tallies.measured.total.max(), 30);
    assert_eq!(outcome.tallies.measured.connect.max(), 10);
}

#[test]
fn keep_alive_opens_one_connection_per_slot() {
    let keep = Policy { requests_per_connection: None, ..policy() };
    let outcome = run(task(4, 1000, keep), healthy);
    assert_all_ended(&outcome, 1000);
    assert_eq!(outcome.tallies.measured.counters.connections_opened, 4);
    // On a reused connection the whole request takes as long as its service.
    assert_eq!(outcome.tallies.measured.total.value_at_percentile(50.0), 20);
}

#[test]
fn requests_per_connection_are_counted_out() {
    let seven = Policy { requests_per_connection: Some(7), ..policy() };
    let outcome = run(task(1, 70, seven), healthy);
    assert_eq!(outcome.tallies.measured.counters.connections_opened, 10);
}

#[test]
fn a_pipelined_batch_is_answered_in_pieces_of_any_size() {
    let batch = Policy { requests_per_connection: None, pipeline: 5, ..policy() };
    // 5 answers in receives of 17 bytes.
    let stream: Vec<u8> = ANSWER.repeat(1000);
    let mut at = 0;
    let script = move |_: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        Verb::Open(..) => replies.push(Reply::new(US, Op::Connect, Ok(0))),
        Verb::Receive(_) => {
            // Never more than what is owed: the batch ends at a multiple of five answers.
            let batch_end = (at / (5 * ANSWER.len()) + 1) * 5 * ANSWER.len();
            let end = (at + 17).min(batch_end);
            replies.push(Reply::bytes(US, stream[at..end].into()));
            at = end;
        }
        _ => {}
    };
    let outcome = run(task(1, 250, batch), script);
    assert_all_ended(&outcome, 250);
    assert_eq!(
        (
            outcome.tallies.measured.counters.ok,
            outcome.tallies.measured.counters.connections_opened
        ),
        (250, 1)
    );
}

#[test]
fn a_refused_connection_rests_and_tries_again() {
    let script = failing_first(3, Op::Connect, |replies| {
        replies.push(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)));
    });
    let outcome = run(task(1, 10, policy()), script);
    assert_all_ended(&outcome, 10);
    assert_eq!(
        (outcome.tallies.measured.counters.ok, outcome.tallies.measured.counters.failed),
        (7, 3)
    );
    assert_eq!(
        only_failure(&outcome.tallies.measured),
        Failure::errno(Phase::Connect, libc::ECONNREFUSED)
    );
    assert_eq!(outcome.tallies.measured.counters.connections_failed, 3);
    // It rested for 1, 2 and 4 ms.
    assert!(outcome.end_ns - outcome.begin_ns >= 7 * MS);
    assert!(outcome.end_ns - outcome.begin_ns < 8 * MS);
}

#[test]
fn a_server_that_is_never_there_ends_nothing_but_the_requests() {
    let outcome = run(task(3, 30, policy()), |_, verb, replies| {
        if let Verb::Open(..) = verb {
            replies.push(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)));
        }
    });
    assert_all_ended(&outcome, 30);
    assert_eq!(outcome.tallies.measured.counters.failed, 30);
}

#[test]
fn every_step_of_opening_names_its_phase() {
    let cases = [
        (Op::Socket, libc::EMFILE, Phase::Socket),
        (Op::Option, libc::ENOPROTOOPT, Phase::Socket),
        (Op::Bind, libc::EADDRINUSE, Phase::Bind),
        (Op::Connect, libc::ENETUNREACH, Phase::Connect),
    ];
    for (op, errno, phase) in cases {
        let script = failing_first(1, Op::Connect, |replies| {
            replies.push(Reply::new(US, op, Err(errno)));
        });
        let outcome = run(task(2, 10, policy()), script);
        assert_all_ended(&outcome, 10);
        assert_eq!(only_failure(&outcome.tallies.measured), Failure::errno(phase, errno));
    }
}

#[test]
fn what_can_happen_to_an_answer_fails_one_request_and_no_slot() {
    type Wrong = fn(&mut Vec<Reply>);
    let cases: [(&str, Wrong, Failure); 5] = [
        (
            "reset",
            |replies| replies.push(Reply::new(US, Op::Receive, Err(libc::ECONNRESET))),
            Failure::errno(Phase::Receive, libc::ECONNRESET),
        ),
        (
            "eof",
            |replies| replies.push(Reply::bytes(US, Arc::new([]))),
            Failure::response(Kind::Eof),
        ),
        (
            "garbage",
            |replies| replies.push(Reply::bytes(US, b"SSH-2.0-x\r\n"[..].into())),
            Failure::response(Kind::Malformed),
        ),
        // Never answered: the deadline cancels it.
        ("silence", |_| {}, Failure::response(Kind::Timeout)),
        (
            "status",
            |replies| {
                let bytes = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
                replies.push(Reply::bytes(US, bytes[..].into()));
            },
            Failure { phase: Phase::Verify, kind: Kind::Status },
        ),
    ];
    for (name, wrong, expected) in cases {
        let outcome = run(task(2, 50, policy()), failing_first(5, Op::Receive, wrong));
        assert_all_ended(&outcome, 50);
        assert_eq!(only_failure(&outcome.tallies.measured), expected, "{name}");
        assert_eq!(outcome.tallies.measured.counters.failed, 5, "{name}");
    }
}

#[test]
fn of_an_answer_that_stalls_the_first_byte_is_known() {
    for (begin, first_bytes) in [(&ANSWER[..20], 53), (b"", 50)] {
        // The rest is awaited with another receive, and that is never answered.
        let mut stalled: Vec<SlotId> = Vec::new();
        let outcome = run(task(1, 53, policy()), |slot, verb, replies| match verb {
            Verb::Receive(_) if stalled.contains(&slot) => {}
            Verb::Receive(_) if stalled.len() < 3 => {
                stalled.push(slot);
                if !begin.is_empty() {
                    replies.push(Reply::bytes(7 * US, begin.into()));
                }
            }
            _ => healthy(slot, verb, replies),
        });
        assert_all_ended(&outcome, 53);
        let measured = &outcome.tallies.measured;
        assert_eq!(only_failure(measured), Failure::response(Kind::Timeout));
        assert_eq!((measured.counters.failed, measured.service.len()), (3, 50));
        assert_eq!(measured.first_byte.len(), first_bytes);
    }
}

#[test]
fn a_handshake_without_an_answer_times_out() {
    let outcome = run(task(2, 20, policy()), failing_first(2, Op::Connect, |_| {}));
    assert_all_ended(&outcome, 20);
    let timeout = Failure { phase: Phase::Connect, kind: Kind::Timeout };
    assert_eq!(
        (only_failure(&outcome.tallies.measured), outcome.tallies.measured.counters.failed),
        (timeout, 2)
    );
}

#[test]
fn a_kernel_that_ignores_a_cancellation_is_asked_again() {
    // The first receive is never answered, and neither is its first cancellation.
    let mut cancels = 0;
    let mut ignored = false;
    let outcome = run(task(1, 5, policy()), |slot, verb, replies| match verb {
        Verb::Receive(_) if !ignored => ignored = true,
        Verb::Cancel(_) => cancels += 1,
        verb => healthy(slot, verb, replies),
    });
    assert_all_ended(&outcome, 5);
    assert_eq!((outcome.tallies.measured.counters.failed, cancels), (1, 1));
}

#[test]
fn a_failed_send_is_named_when_no_answer_comes() {
    let mut first = true;
    let script = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        Verb::Send(_) if std::mem::take(&mut first) => {
            replies.push(Reply::new(US, Op::Send, Err(libc::EPIPE)));
            replies.push(Reply::new(2 * US, Op::Receive, Err(libc::ECONNRESET)));
        }
        Verb::Receive(_) if replies.is_empty() => healthy(slot, verb, replies),
        verb => healthy(slot, verb, replies),
    };
    let outcome = run(task(1, 5, policy()), script);
    assert_all_ended(&outcome, 5);
    assert_eq!(only_failure(&outcome.tallies.measured), Failure::errno(Phase::Send, libc::EPIPE));
    // The healthy answer to the receive that had been reset already came for nobody.
    assert_eq!(outcome.tallies.measured.counters.stale, 1);
}

#[test]
fn an_answer_that_came_before_the_send_failed_counts() {
    let mut first = true;
    let script = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| {
        if matches!(verb, Verb::Send(_)) && std::mem::take(&mut first) {
            replies.push(Reply::new(US, Op::Send, Err(libc::EPIPE)));
        }
        healthy(slot, verb, replies);
    };
    let outcome = run(task(1, 5, policy()), script);
    assert_eq!(outcome.tallies.measured.counters.ok, 5);
}

#[test]
fn completions_of_earlier_connections_are_counted_and_ignored() {
    let script = |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| {
        healthy(slot, verb, replies);
        if let Verb::Open(..) = verb {
            let earlier = SlotId { generation: slot.generation.wrapping_sub(1), ..slot };
            let foreign = SlotId { index: 99, generation: 0 };
            for stranger in [earlier, foreign] {
                replies.push(Reply {
                    slot: Some(stranger),
                    ..Reply::new(US, Op::Receive, Err(libc::ECONNRESET))
                });
            }
        }
    };
    // Places enough for the stranger.
    let outcome = run_over(task(2, 10, policy()), ScriptDriver::new(100, script));
    assert_eq!(
        (outcome.tallies.measured.counters.ok, outcome.tallies.measured.counters.failed),
        (10, 0)
    );
    assert_eq!(outcome.tallies.measured.counters.stale, 20);
}

#[test]
fn confirmed_sends_hold_a_slot_until_they_are_answered() {
    let script = |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| {
        healthy(slot, verb, replies);
        if let Verb::Send(bytes) = verb {
            // Told of long after the answer.
            replies.push(Reply::new(MS, Op::Send, Ok(bytes.len())));
        }
    };
    let outcome = run_over(task(2, 10, policy()), ScriptDriver::new(2, script).confirm_sends());
    assert_all_ended(&outcome, 10);
    assert_eq!(outcome.tallies.measured.counters.ok, 10);
}

#[test]
fn the_peer_is_waited_for_when_it_is_to_close_but_not_for_ever() {
    let server = Policy { close: CloseMode::Server, ..policy() };
    let mut receives = HashSet::new();
    let script = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        // The second receive of a connection is the one for the FIN, which never comes.
        Verb::Receive(_) if !receives.insert((slot.index, slot.generation)) => {}
        verb => healthy(slot, verb, replies),
    };
    let outcome = run(task(1, 3, server), script);
    assert_all_ended(&outcome, 3);
    assert_eq!(
        (
            outcome.tallies.measured.counters.ok,
            outcome.tallies.measured.counters.not_closed_by_peer
        ),
        (3, 3)
    );
    // The run ends with the last answer, not with the last wait.
    assert!(outcome.end_ns - outcome.begin_ns < 600 * MS);
}

#[test]
fn a_reused_connection_that_was_closed_while_idle_is_replaced_without_a_failure() {
    let keep = Policy { requests_per_connection: None, ..policy() };
    // Every connection answers once, then closes without a word.
    let mut answered = HashSet::new();
    let script = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        Verb::Receive(_) if !answered.insert((slot.index, slot.generation)) => {
            replies.push(Reply::bytes(US, Arc::new([])));
        }
        // The peer's kernel has the first request and no byte of the second.
        Verb::Extent(extent) => {
            assert_eq!(extent, Extent::Acknowledged);
            replies.push(Reply::new(US, Op::Extent, Ok(REQUEST_BYTES + 1)));
        }
        verb => healthy(slot, verb, replies),
    };
    let outcome = run(task(2, 20, keep), script);
    assert_all_ended(&outcome, 20);
    assert_eq!(
        (outcome.tallies.measured.counters.ok, outcome.tallies.measured.counters.failed),
        (20, 0)
    );
    let Counters { closed_idle, resent, lost, .. } = outcome.tallies.measured.counters;
    assert_eq!((closed_idle, resent, lost), (18, 18, 0));
}

#[test]
fn unanswered_requests_of_a_batch_fail_each() {
    let batch = Policy { requests_per_connection: None, pipeline: 4, ..policy() };
    let mut receives = 0;
    let outcome = run(task(1, 8, batch), |slot, verb, replies| match verb {
        Verb::Receive(_) => {
            receives += 1;
            match receives {
                1 => replies.push(Reply::bytes(US, ANSWER.repeat(3).into())),
                2 => replies.push(Reply::bytes(US, Arc::new([]))),
                _ => replies.push(Reply::bytes(US, ANSWER.repeat(4).into())),
            }
        }
        verb => healthy(slot, verb, replies),
    });
    assert_all_ended(&outcome, 8);
    assert_eq!(
        (outcome.tallies.measured.counters.ok, outcome.tallies.measured.counters.failed),
        (7, 1)
    );
    assert_eq!(only_failure(&outcome.tallies.measured), Failure::response(Kind::Eof));
}

#[test]
fn bytes_that_nobody_asked_for_end_the_connection_and_are_no_answer() {
    let keep = Policy { requests_per_connection: None, ..policy() };
    let twice = run(task(1, 10, keep), |slot, verb, replies| match verb {
        Verb::Receive(_) => replies.push(Reply::bytes(US, ANSWER.repeat(2).into())),
        verb => healthy(slot, verb, replies),
    });
    assert_eq!(
        (twice.tallies.measured.counters.ok, twice.tallies.measured.counters.surplus),
        (10, 10)
    );
    assert_eq!(twice.tallies.measured.counters.connections_opened, 10);

    // The second answer lies in the socket when the first one is read.
    let mut receives = 0;
    let later = run(task(1, 10, keep), |slot, verb, replies| match verb {
        Verb::Receive(_) => {
            receives += 1;
            let more = receives % 2 == 1;
            replies.push(Reply { more, ..Reply::bytes(US, answer()) });
        }
        verb => healthy(slot, verb, replies),
    });
    assert_eq!(
        (later.tallies.measured.counters.ok, later.tallies.measured.counters.failed),
        (10, 0)
    );
    // The last answer of the run is not looked behind.
    assert_eq!(later.tallies.measured.counters.surplus, 9);
}

#[test]
fn a_request_that_an_address_refuses_goes_to_the_next_one() {
    let mut opened = Vec::new();
    let three = Task { route: Route::new(3), ..task(4, 40, policy()) };
    let outcome = run(three, |slot, verb, replies| match verb {
        Verb::Open(address, _) => {
            opened.push(address);
            let result = if address == 2 { Ok(0) } else { Err(libc::ECONNREFUSED) };
            replies.push(Reply::new(US, Op::Connect, result));
        }
        verb => healthy(slot, verb, replies),
    });
    assert_all_ended(&outcome, 40);
    let tally = &outcome.tallies.measured;
    assert_eq!((tally.counters.ok, tally.counters.failed), (40, 0));
    assert_eq!(tally.opened_by_address, [0, 0, 40]);
    // All four slots were at it when the third refusal came.
    assert_eq!(tally.failed_by_address, [4, 4, 0]);
    assert_eq!(opened.len(), 48);
    let lost = tally.lost_by_address[0].expect("it was given up");
    assert_eq!(lost.failure, Failure::errno(Phase::Connect, libc::ECONNREFUSED));
    assert_eq!(tally.lost_by_address[2], None);
    // What the refusals took is in the times of those that met them.
    assert_eq!(tally.connect.max(), 3);
}

#[test]
fn a_request_at_an_address_that_is_silent_goes_to_the_next_one_in_its_time() {
    let patient = Policy { timeout_ns: 10 * S, ..policy() };
    let two = Task { route: Route::new(2), ..task(2, 10, patient) };
    let outcome = run(two, |slot, verb, replies| {
        if !matches!(verb, Verb::Open(0, _)) {
            healthy(slot, verb, replies);
        }
    });
    assert_all_ended(&outcome, 10);
    let tally = &outcome.tallies.measured;
    assert_eq!((tally.counters.ok, tally.counters.failed), (10, 0));
    assert_eq!(
        (&tally.opened_by_address[..], &tally.failed_by_address[..]),
        (&[0, 10][..], &[2, 0][..])
    );
    // They have waited since they began.
    assert_eq!(tally.total.count_between(1_500_000, 1_600_000), 2);
    assert!(outcome.end_ns < 2 * S);
}

#[test]
fn an_address_that_dies_in_the_run_gives_way_to_another_one() {
    let (dies, opened) = (20, Cell::new(0));
    for silently in [false, true] {
        opened.set(0);
        let two = Task { route: Route::new(2), ..task(4, 100, policy()) };
        let two = Task { policy: Policy { timeout_ns: 10 * S, ..policy() }, ..two };
        let outcome = run(two, |slot, verb, replies| match verb {
            Verb::Open(0, _) if opened.get() >= dies => {
                if !silently {
                    replies.push(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)));
                }
            }
            Verb::Open(0, _) => {
                opened.set(opened.get() + 1);
                replies.push(Reply::new(US, Op::Connect, Ok(0)));
            }
            verb => healthy(slot, verb, replies),
        });
        assert_all_ended(&outcome, 100);
        let tally = &outcome.tallies.measured;
        assert_eq!((tally.counters.ok, tally.opened_by_address[0]), (100, dies), "{silently}");
        assert_eq!(tally.opened_by_address[1], 100 - dies);
        let kind = tally.lost_by_address[0].expect("it was given up").failure.kind;
        assert_eq!(kind == Kind::Timeout, silently);
    }
}

#[test]
fn an_address_that_is_only_slow_keeps_its_connections() {
    // One slot waits for 3 s, and the other one gets through meanwhile.
    let mut opened = 0;
    let two = Task { route: Route::new(2), ..task(2, 3000, policy()) };
    let two = Task { policy: Policy { timeout_ns: 10 * S, ..policy() }, ..two };
    let outcome = run(two, |slot, verb, replies| match verb {
        Verb::Open(..) => {
            opened += 1;
            let after_ns = if opened == 1 { 3 * S } else { MS };
            replies.push(Reply::new(after_ns, Op::Connect, Ok(0)));
        }
        verb => healthy(slot, verb, replies),
    });
    assert_all_ended(&outcome, 3000);
    let tally = &outcome.tallies.measured;
    assert_eq!(
        (&tally.opened_by_address[..], &tally.failed_by_address[..]),
        (&[3000, 0][..], &[0, 0][..])
    );
    assert_eq!(tally.total.count_between(3_000_000, 3_100_000), 1);
}

#[test]
fn when_no_address_accepts_requests_fail_with_the_last_errno() {
    let two = Task { route: Route::new(2), ..task(2, 6, policy()) };
    let outcome = run(two, |_, verb, replies| {
        if let Verb::Open(address, _) = verb {
            let errno = [libc::ENETUNREACH, libc::ECONNREFUSED][address];
            replies.push(Reply::new(US, Op::Connect, Err(errno)));
        }
    });
    assert_all_ended(&outcome, 6);
    let tally = &outcome.tallies.measured;
    let counts: Vec<_> = tally.errors.iter().map(|entry| (entry.failure, entry.count)).collect();
    let refused = Failure::errno(Phase::Connect, libc::ECONNREFUSED);
    let unreachable = Failure::errno(Phase::Connect, libc::ENETUNREACH);
    // Once both are known to be down, a request tries only one.
    assert_eq!(counts[0].0, refused);
    assert!(counts.iter().all(|(failure, _)| [refused, unreachable].contains(failure)));
    assert_eq!(tally.counters.failed, 6);
}

#[test]
fn all_addresses_in_turn_have_the_same_number_of_connections() {
    let route = Route::new(3).spread();
    for worker in 0..3 {
        let three = Task { route: route.of_worker(worker), ..task(4, 40, policy()) };
        let mut opened = Vec::new();
        let outcome = run(three, |slot, verb, replies| {
            if let Verb::Open(address, _) = verb {
                opened.push(address);
            }
            healthy(slot, verb, replies);
        });
        assert_all_ended(&outcome, 40);
        assert!((0..40).all(|at| opened[at] == (worker + at) % 3), "{opened:?}");
        assert_eq!(outcome.tallies.measured.opened_by_address[worker], 14);
    }
}

#[test]
fn of_all_addresses_in_turn_one_that_dies_is_left_out_and_asked_again() {
    let now_ns = Rc::new(Cell::new(0));
    let clock = now_ns.clone();
    // The second one refuses for a second.
    let script = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        Verb::Open(1, _) if (500 * MS..1500 * MS).contains(&clock.get()) => {
            replies.push(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)));
        }
        Verb::Open(..) => replies.push(Reply::new(MS, Op::Connect, Ok(0))),
        verb => healthy(slot, verb, replies),
    };
    let two = Task { route: Route::new(2).spread().of_worker(0), ..task(1, 3000, policy()) };
    let outcome = run_over(two, ScriptDriver::new(1, script).on_clock(now_ns));
    assert_all_ended(&outcome, 3000);
    let tally = &outcome.tallies.measured;
    assert_eq!(tally.counters.failed, 0);
    // Three refusals, and one a second later.
    assert_eq!(tally.failed_by_address[0], 0);
    assert!((3..=4).contains(&tally.failed_by_address[1]), "{:?}", tally.failed_by_address);
    let share = tally.opened_by_address[1] as f64 / 3000.0;
    assert!((0.2..0.4).contains(&share), "{share}");
}

#[test]
fn workers_share_a_quota_to_the_last_request() {
    for (quota, pipeline) in [(1000, 1), (1001, 4), (3, 1), (2, 4), (0, 1)] {
        let keeping = Policy { requests_per_connection: None, pipeline, ..policy() };
        let quota_of_all = Quota::new(quota, 3);
        let work = || {
            let quota = Some(quota_of_all.clone());
            let own = Task { quota, ..task(5, 0, keeping) };
            let outcome = served(own, &Watch::default(), steady(20 * US));
            assert_eq!(outcome.tallies.in_flight(), 0);
            outcome.tallies.measured.counters.ok
        };
        let all: u64 = std::thread::scope(|scope| {
            let workers = [(); 3].map(|()| scope.spawn(work));
            workers.map(|worker| worker.join().expect("it ends")).into_iter().sum()
        });
        assert_eq!((all, quota_of_all.left()), (quota, 0));
    }
}

#[test]
fn the_end_of_the_time_leaves_requests_in_flight() {
    let limited = Task { quota: None, duration_ns: Some(10 * MS), ..task(3, 1, policy()) };
    let outcome = run(limited, |slot, verb, replies| match verb {
        Verb::Receive(_) => {}
        verb => healthy(slot, verb, replies),
    });
    assert_eq!(outcome.tallies.measured.counters.in_flight(), 3);
    assert_eq!(outcome.end_ns - outcome.begin_ns, 10 * MS);
}

/// What hangs at the end has no latency, and is not forgotten for that: it has waited for longer than
/// any answer took. What is under way as usual has not.
#[test]
fn what_hangs_at_the_end_is_overdue() {
    for hanging in [0, 2] {
        let limited = Task { quota: None, duration_ns: Some(10 * MS), ..task(3, 1, policy()) };
        let mut answers = 0;
        let outcome = run(limited, |slot, verb, replies| match verb {
            Verb::Receive(_) if slot.index < hanging && answers >= 30 => {}
            verb => {
                answers += usize::from(matches!(verb, Verb::Receive(_)));
                healthy(slot, verb, replies);
            }
        });
        let counters = outcome.tallies.measured.counters;
        assert_eq!((counters.in_flight(), counters.overdue), (3, u64::from(hanging)));
    }
}

/// A server that deals out fates until they are used up, then is healthy.
fn fateful(fates: Vec<Fate>) -> impl FnMut(SlotId, Verb<'_>, &mut Vec<Reply>) {
    let mut fates = fates.into_iter();
    let mut half_read = std::collections::HashMap::new();
    move |slot, verb, replies| {
        if matches!(verb, Verb::Close | Verb::Cancel(_)) {
            return;
        }
        let fate = fates.next().unwrap_or(Fate::Fine);
        let late_ns = if let Fate::Late(ns) = fate { ns } else { 10 * US };
        match verb {
            Verb::Open(..) => match fate {
                Fate::Silence => {}
                Fate::Refused => {
                    replies.push(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)));
                }
                _ => replies.push(Reply::new(late_ns, Op::Connect, Ok(0))),
            },
            Verb::Send(_) => {
                half_read.remove(&slot.index);
                if let Fate::SendFails = fate {
                    replies.push(Reply::new(US, Op::Send, Err(libc::ECONNRESET)));
                }
            }
            Verb::Receive(_) => {
                let from = half_read.remove(&slot.index).unwrap_or(0);
                match fate {
                    Fate::Silence => {}
                    Fate::Reset | Fate::Refused => {
                        replies.push(Reply::new(US, Op::Receive, Err(libc::ECONNRESET)));
                    }
                    Fate::Eof => replies.push(Reply::bytes(US, Arc::new([]))),
                    Fate::Garbage => replies.push(Reply::bytes(US, b"\0\x01garbage"[..].into())),
                    Fate::Short(end) if end > from => {
                        half_read.insert(slot.index, end);
                        replies.push(Reply::bytes(late_ns, ANSWER[from..end].into()));
                    }
                    Fate::Last if from == 0 => replies.push(Reply::bytes(US, LAST.into())),
                    fate => {
                        replies.push(Reply::bytes(late_ns, ANSWER[from..].into()));
                        if let Fate::Stranger = fate {
                            let generation =
                                slot.generation.wrapping_sub(1) & SlotId::GENERATION_MAX;
                            let stranger = Some(SlotId { generation, ..slot });
                            let reply = Reply::new(0, Op::Receive, Err(libc::ECONNRESET));
                            replies.push(Reply { slot: stranger, ..reply });
                        }
                    }
                }
            }
            Verb::Extent(_) => {
                let bytes = if let Fate::Short(bytes) = fate { 8 * bytes } else { 0 };
                replies.push(Reply::new(late_ns, Op::Extent, Ok(bytes)));
            }
            Verb::Close | Verb::Cancel(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever happens to however many operations: the run ends, all requests have ended, and
    /// once the server is well again every slot works.
    #[test]
    fn every_slot_recovers(
        fates in proptest::collection::vec(fate(), 0..200),
        slots in 1u32..6,
        mode in 0usize..3,
        per_connection in proptest::option::of(1u64..6),
        pipeline in 1u32..4,
    ) {
        let close = [CloseMode::Server, CloseMode::Client, CloseMode::Rst][mode];
        let chaotic =
            Policy { close, requests_per_connection: per_connection, pipeline, ..policy() };
        let quota = 700;
        let faults = fates.len() as u64 * u64::from(pipeline);
        let outcome = run(task(slots, quota, chaotic), fateful(fates));
        assert_all_ended(&outcome, quota);
        let counters = outcome.tallies.measured.counters;
        prop_assert!(counters.failed <= faults, "{counters:?}");
        prop_assert!(counters.ok >= quota - faults, "{counters:?}");
    }
}

#[test]
fn the_loop_measures_its_own_time_and_none_of_the_kernels() {
    let watch = Watch::default();
    let clock = watch.clone();
    let policy = Policy { requests_per_connection: None, ..policy() };
    let mut respond = steady(20 * US);
    let outcome = served(task(1, 50, policy), &watch, move |turn| {
        // What the loop asks for while it is at it takes its time.
        if let scripted::Turn::Answer(_) = turn {
            clock.advance(3 * US);
        }
        respond(turn)
    });
    let counters = outcome.tallies.measured.counters;
    assert_eq!((counters.ok, counters.dispatch_ns), (50, 150 * US));
    // A connect, and an answer each.
    assert_eq!((counters.completions, counters.submit_ns), (51, 0));
    assert!(counters.turns >= 51, "{}", counters.turns);
}
