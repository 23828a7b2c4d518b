//! Which requests of a connection that has ended go to the next one, and which are lost.

use super::scripted::*;
use ringshot::engine::driver::script::{Reply, ScriptDriver, Verb};
use ringshot::engine::driver::{Extent, Op, SlotId};
use ringshot::engine::failure::{Failure, Kind, Phase};
use ringshot::engine::pace::Model;
use ringshot::engine::policy::{CloseMode, Policy};
use ringshot::engine::tally::Counters;
use ringshot::engine::worker::{Outcome, Task};
use std::sync::Arc;

fn kept(pipeline: u32) -> Policy {
    Policy { requests_per_connection: None, pipeline, ..policy() }
}

fn counters(outcome: &Outcome) -> Counters {
    outcome.tallies.measured.counters
}

/// The end of the stream.
fn end() -> Reply {
    Reply::bytes(5 * US, Arc::new([]))
}

/// A connection of a slot, as its script has it.
#[derive(Clone, Copy, Debug)]
struct At {
    /// Which one, from 0 on.
    connection: usize,
    /// Which of its receives, from 0 on.
    receive: usize,
}

/// One slot. `habit` says what a receive brings and what the kernel says of a connection; without
/// a word of it, a receive brings an answer to all of the latest requests.
fn talk(task: Task, mut habit: impl FnMut(At, Verb<'_>) -> Option<Reply>) -> Outcome {
    assert_eq!(task.slots, 1);
    let mut at = At { connection: 0, receive: 0 };
    let mut opened = 0;
    let mut asked = 0;
    let script = move |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| match verb {
        Verb::Open(..) => {
            at = At { connection: opened, receive: 0 };
            opened += 1;
            let reply = habit(at, verb);
            replies.push(reply.unwrap_or(Reply::new(10 * US, Op::Connect, Ok(0))));
        }
        Verb::Send(bytes) => {
            asked = bytes.windows(4).filter(|end| end == b"\r\n\r\n").count();
            replies.extend(habit(at, verb));
        }
        Verb::Receive(_) => {
            let reply = habit(at, verb);
            at.receive += 1;
            replies.push(reply.unwrap_or(Reply::bytes(20 * US, ANSWER.repeat(asked).into())));
        }
        Verb::Extent(_) => replies.extend(habit(at, verb)),
        verb => healthy(slot, verb, replies),
    };
    run_over(task, ScriptDriver::new(1, script).end_within(100_000))
}

/// On the first connection the first batch is answered, and the second one ends as `fault` says;
/// `bytes` have come as far as is asked.
fn second_batch(
    pipeline: u32,
    fault: impl Fn(Verb<'_>) -> Option<Reply>,
    expected: Extent,
    bytes: Result<usize, i32>,
) -> Outcome {
    let mut batches = 0;
    let quota = 4 * u64::from(pipeline);
    talk(task(1, quota, kept(pipeline)), |at, verb| match verb {
        Verb::Extent(extent) => {
            assert_eq!((at.connection, extent), (0, expected));
            Some(Reply::new(US, Op::Extent, bytes))
        }
        verb => {
            batches += u32::from(matches!(verb, Verb::Send(_)));
            if at.connection == 0 && batches == 2 { fault(verb) } else { None }
        }
    })
}

fn ends(verb: Verb<'_>) -> Option<Reply> {
    matches!(verb, Verb::Receive(_)).then(end)
}

#[test]
fn what_the_peer_had_is_lost_and_what_it_had_not_is_sent_again() {
    let first = 4 * REQUEST_BYTES;
    for (bytes, lost) in [
        (first, 0),
        // The byte of the SYN.
        (first + 1, 0),
        (first + REQUEST_BYTES - 1, 0),
        (first + REQUEST_BYTES, 1),
        (first + 3 * REQUEST_BYTES + 1, 3),
        (first + 4 * REQUEST_BYTES, 4),
    ] {
        let outcome = second_batch(4, ends, Extent::Acknowledged, Ok(bytes));
        assert_all_ended(&outcome, 16);
        let counters = counters(&outcome);
        assert_eq!((counters.failed, counters.lost), (lost, lost), "{bytes}");
        assert_eq!(counters.resent, 4 - lost, "{bytes}");
        assert_eq!(counters.closed_idle, u64::from(lost == 0), "{bytes}");
        if lost > 0 {
            assert_eq!(only_failure(&outcome.tallies.measured), Failure::response(Kind::Eof));
        }
    }
}

#[test]
fn where_the_kernel_does_not_say_nothing_is_sent_again() {
    let outcome = second_batch(1, ends, Extent::Acknowledged, Err(libc::EMFILE));
    assert_all_ended(&outcome, 4);
    assert_eq!(only_failure(&outcome.tallies.measured), Failure::response(Kind::Eof));
    let Counters { failed, resent, lost, .. } = counters(&outcome);
    assert_eq!((failed, resent, lost), (1, 0, 0), "nobody knows whether the peer had it");
}

#[test]
fn an_answer_that_was_begun_is_one_to_a_request_that_was_read() {
    let mut pieces = 0;
    let mut batches = 0;
    let outcome = talk(task(1, 8, kept(2)), |at, verb| match verb {
        // No byte of the batch was acknowledged, though that cannot be.
        Verb::Extent(_) => Some(Reply::new(US, Op::Extent, Ok(2 * REQUEST_BYTES))),
        Verb::Send(_) => {
            batches += 1;
            None
        }
        Verb::Receive(_) if at.connection == 0 && batches == 2 => {
            pieces += 1;
            Some(if pieces == 1 { Reply::bytes(US, ANSWER[..20].into()) } else { end() })
        }
        _ => None,
    });
    assert_all_ended(&outcome, 8);
    let Counters { failed, resent, lost, .. } = counters(&outcome);
    // It was answered in part: that is not the silence which `lost` counts.
    assert_eq!((failed, resent, lost), (1, 1, 0));
}

#[test]
fn after_a_reset_only_what_was_never_sent_is_known_to_be_unread() {
    let reset = |verb: Verb<'_>| match verb {
        Verb::Receive(_) => Some(Reply::new(US, Op::Receive, Err(libc::ECONNRESET))),
        _ => None,
    };
    let sent = second_batch(1, reset, Extent::Sent, Ok(2 * REQUEST_BYTES));
    let failure = Failure::errno(Phase::Receive, libc::ECONNRESET);
    assert_eq!(only_failure(&sent.tallies.measured), failure);
    let Counters { failed, resent, lost, .. } = counters(&sent);
    assert_eq!((failed, resent, lost), (1, 0, 0));

    let unsent = second_batch(1, reset, Extent::Sent, Ok(REQUEST_BYTES));
    let Counters { failed, resent, closed_idle, .. } = counters(&unsent);
    assert_eq!((failed, resent, closed_idle), (0, 1, 1));
}

/// A send takes the error of a reset away from the receive, which then reads an end.
#[test]
fn the_error_of_a_send_tells_a_reset_from_an_end() {
    for (errno, expected) in [
        (libc::ECONNRESET, Extent::Sent),
        (libc::EPIPE, Extent::Acknowledged),
        (libc::ETIMEDOUT, Extent::Sent),
    ] {
        let fault = |verb: Verb<'_>| match verb {
            Verb::Send(_) => Some(Reply::new(US, Op::Send, Err(errno))),
            verb => ends(verb),
        };
        let unread = second_batch(1, fault, expected, Ok(REQUEST_BYTES));
        let Counters { failed, resent, .. } = counters(&unread);
        assert_eq!((failed, resent), (0, 1), "{errno}");
        let read = second_batch(1, fault, expected, Ok(2 * REQUEST_BYTES));
        let failure = Failure::errno(Phase::Send, errno);
        assert_eq!(only_failure(&read.tallies.measured), failure);
        assert_eq!(counters(&read).resent, 0, "{errno}");
    }
}

#[test]
fn a_fresh_connection_that_ends_is_a_failure_and_nobody_asks_why() {
    let mut ended = false;
    let outcome = talk(task(1, 4, kept(2)), |_, verb| match verb {
        Verb::Receive(_) if !ended => {
            ended = true;
            Some(end())
        }
        Verb::Extent(_) => panic!("it has not served before"),
        _ => None,
    });
    assert_all_ended(&outcome, 4);
    let Counters { failed, resent, .. } = counters(&outcome);
    assert_eq!((failed, resent), (2, 0));
    assert_eq!(only_failure(&outcome.tallies.measured), Failure::response(Kind::Eof));
}

#[test]
fn a_request_that_is_sent_again_keeps_the_time_of_its_first_begin() {
    let outcome = second_batch(1, ends, Extent::Acknowledged, Ok(REQUEST_BYTES));
    let tally = &outcome.tallies.measured;
    // The end comes after 5 us and what it means 1 us later; then 10 us for a connection.
    assert_eq!(tally.total.max(), 5 + 1 + 10 + 20);
    assert_eq!(tally.service.max(), 20);
    assert_eq!(tally.connect.max(), 10);
}

#[test]
fn the_time_for_a_request_is_that_of_all_its_tries() {
    let mut batches = 0;
    let outcome = talk(task(1, 2, kept(1)), |_, verb| match verb {
        Verb::Send(_) => {
            batches += 1;
            None
        }
        // Of its 100 ms, 70 are over before the first connection ends; the second is silent.
        Verb::Receive(_) if batches == 2 => Some(Reply { after_ns: 70 * MS, ..end() }),
        Verb::Receive(_) if batches == 3 => Some(Reply { after_ns: 80 * MS, ..end() }),
        Verb::Extent(_) => Some(Reply::new(US, Op::Extent, Ok(REQUEST_BYTES))),
        _ => None,
    });
    assert_all_ended(&outcome, 2);
    assert_eq!(only_failure(&outcome.tallies.measured), Failure::response(Kind::Timeout));
    assert_eq!(counters(&outcome).resent, 1);
    assert!(outcome.end_ns - outcome.begin_ns < 120 * MS, "{}", outcome.end_ns);
}

#[test]
fn what_is_behind_an_announced_end_is_sent_again_and_fails_nobody() {
    // Three answers, of which the last one says that it is; whatever says so.
    let old = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    for last in [LAST, old] {
        for close in [CloseMode::Server, CloseMode::Client, CloseMode::Rst] {
            let plan = Policy { close, ..kept(4) };
            let cut = [ANSWER.repeat(2).as_slice(), last].concat();
            let outcome = talk(task(1, 40, plan), |at, verb| match verb {
                Verb::Receive(_) if at.receive == 0 => Some(Reply::bytes(US, cut.clone().into())),
                _ => None,
            });
            assert_all_ended(&outcome, 40);
            let all = counters(&outcome);
            // 4, 1 + 4, 1 + 4 ...: a batch of what is carried, and then one of new requests.
            assert_eq!((all.ok, all.failed), (40, 0), "{close:?}");
            assert_eq!((all.cut_short, all.cut_short_answers), (all.resent, 3 * all.resent));
            assert!(all.resent > 0 && all.closed_idle == 0, "{all:?}");
        }
    }
}

#[test]
fn an_answer_up_to_the_end_announces_it() {
    let outcome = talk(task(1, 6, kept(3)), |at, verb| match verb {
        Verb::Receive(_) => Some(match at.receive {
            0 => Reply::bytes(US, b"HTTP/1.1 200 OK\r\n\r\nup to the end"[..].into()),
            _ => end(),
        }),
        Verb::Extent(_) => panic!("it has been said"),
        _ => None,
    });
    assert_all_ended(&outcome, 6);
    let all = counters(&outcome);
    assert_eq!((all.ok, all.failed, all.connections_opened), (6, 0, 6));
    // Of three, two are carried, then one.
    assert_eq!((all.resent, all.cut_short, all.cut_short_answers), (6, 4, 4));
}

#[test]
fn who_answers_behind_the_announced_end_has_processed_what_it_was_not_to() {
    let more = [LAST, ANSWER].concat();
    let outcome = talk(task(1, 6, kept(3)), |at, verb| match verb {
        Verb::Receive(_) if at.connection == 0 => Some(Reply::bytes(US, more.clone().into())),
        _ => None,
    });
    assert_all_ended(&outcome, 6);
    let Counters { failed, resent, .. } = counters(&outcome);
    assert_eq!((failed, resent), (2, 0));
    assert_eq!(only_failure(&outcome.tallies.measured), Failure::response(Kind::Eof));
}

#[test]
fn a_limit_of_requests_holds_for_what_is_carried_too() {
    let plan = Policy { requests_per_connection: Some(6), ..kept(4) };
    let mut sent = Vec::new();
    let outcome = talk(task(1, 30, plan), |at, verb| match verb {
        Verb::Open(..) => {
            sent.push(0);
            None
        }
        Verb::Send(bytes) => {
            let requests = bytes.windows(4).filter(|end| end == b"\r\n\r\n").count();
            *sent.last_mut().expect("a connection") += requests;
            None
        }
        Verb::Receive(_) if at.receive == 0 => Some(Reply::bytes(US, LAST.into())),
        _ => None,
    });
    assert_all_ended(&outcome, 30);
    let all = counters(&outcome);
    assert_eq!((all.ok, all.failed), (30, 0));
    assert_eq!(sent.iter().sum::<usize>() as u64, all.started + all.resent);
    assert!(sent.iter().all(|&requests| (1..=6).contains(&requests)), "{sent:?}");
}

#[test]
fn all_that_is_carried_fails_with_the_connection_that_it_waits_for() {
    let outcome = talk(task(1, 8, kept(4)), |at, verb| match verb {
        Verb::Open(..) if at.connection == 1 => {
            Some(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)))
        }
        Verb::Receive(_) if at.connection == 0 => Some(Reply::bytes(US, LAST.into())),
        _ => None,
    });
    assert_all_ended(&outcome, 8);
    let refused = Failure::errno(Phase::Connect, libc::ECONNREFUSED);
    assert_eq!(only_failure(&outcome.tallies.measured), refused);
    let Counters { failed, resent, ok, .. } = counters(&outcome);
    assert_eq!((ok, failed, resent), (5, 3, 0));
}

#[test]
fn what_waits_for_a_new_connection_is_in_flight() {
    // One connection per second, and the run ends before the second one is allowed.
    let model = Model { connect_rate_per_s: Some(1.0), ..Model::default() };
    let limited = Task { quota: None, duration_ns: Some(500 * MS), model, ..task(1, 1, kept(4)) };
    let outcome = talk(limited, |_, verb| match verb {
        Verb::Receive(_) => Some(Reply::bytes(US, LAST.into())),
        _ => None,
    });
    let all = counters(&outcome);
    assert_eq!((all.started, all.ok, all.failed, all.in_flight()), (4, 1, 0, 3));
    assert_eq!(all.resent, 0, "none was sent again yet");
}

#[test]
fn nobody_waits_for_the_end_of_a_connection_that_speaks_something_else() {
    const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
    for pipeline in [1, 2] {
        let plan = Policy { close: CloseMode::Server, ..kept(pipeline) };
        let outcome = talk(task(1, 4, plan), |at, verb| match verb {
            Verb::Receive(_) if at.receive == 0 => Some(Reply::bytes(US, SWITCHED.into())),
            Verb::Receive(_) => panic!("waits for an end"),
            _ => None,
        });
        assert_all_ended(&outcome, 4);
        let all = counters(&outcome);
        assert_eq!((all.failed, all.resent, all.not_closed_by_peer, all.surplus), (4, 0, 0, 0));
    }
}
