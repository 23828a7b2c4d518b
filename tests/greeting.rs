//! A session that does all that a session may do, over the loop that knows nothing of it: over the
//! ring, over epoll, and over a script that does what a server rarely does.

#[path = "../examples/greeting.rs"]
mod example;
#[path = "support/scripted.rs"]
mod scripted;

use example::{Greeting, Manners, serve};
use ringshot::engine::driver::script::{Reply, ScriptDriver, Verb};
use ringshot::engine::driver::uring::Tier;
use ringshot::engine::driver::{EngineChoice, Op, SlotId};
use ringshot::engine::failure::{Failure, Kind, Phase};
use ringshot::engine::pace::Model;
use ringshot::engine::policy::Policy;
use ringshot::engine::run::{self, Load};
use ringshot::engine::worker::{Outcome, Task, Worker};
use scripted::{MS, S, US, policy, task};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

#[test]
fn it_works_over_both_engines() {
    for engine in [EngineChoice::IoUring, EngineChoice::Epoll] {
        let mut load = Load::new(vec![serve(300).expect("a port")]);
        let found = engine.find(Tier::Direct, load.threads, load.connections);
        load.engine = found.expect("these tests need io_uring").engine;
        (load.duration, load.requests) = (None, Some(10_000));
        load.policy.pipeline = 2;
        let manners = Manners { lanes: 2, heartbeat_ns: 1_000_000 };
        let stop = AtomicBool::new(false);
        let measured = run::run::<Greeting>(&load, || manners, &stop, |_| ()).expect("a run");
        let (tally, counters) = (&measured.tally, measured.tally.counters);
        let ended = (counters.started, counters.ok, counters.failed);
        assert_eq!(ended, (10_000, 10_000, 0), "{:?}", tally.errors);
        assert!(counters.messages >= 5_000, "{} news", counters.messages);
        // 300 answers for each connection, and no question lost at its end.
        assert!(counters.connections_opened >= 33, "{}", counters.connections_opened);
        assert_eq!(
            tally.stages[1].as_ref().map_or(0, |times| times.len()),
            counters.connections_opened
        );
    }
}

/// A server that a script plays: takes the lines of a slot, with the time, and says what comes when.
type Server<'a> = dyn FnMut(&str) -> Vec<(u64, &'static str)> + 'a;

/// Runs a load of `quota` questions, two at a time on one connection, against a server.
fn run_script(quota: u64, timeout_ns: u64, server: &mut Server<'_>) -> (Outcome, Vec<String>) {
    run_model(quota, timeout_ns, Model::default(), server)
}

/// The same under another model.
fn run_model(
    quota: u64,
    timeout_ns: u64,
    model: Model,
    server: &mut Server<'_>,
) -> (Outcome, Vec<String>) {
    let policy = Policy { requests_per_connection: None, pipeline: 2, timeout_ns, ..policy() };
    run_task(Task { model, ..task(1, quota, policy) }, server)
}

/// Holds a connection for so long, and asks nothing on it.
fn hold(duration_ns: u64, server: &mut Server<'_>) -> (Outcome, Vec<String>) {
    let policy = Policy { requests_per_connection: None, pipeline: 0, holds: true, ..policy() };
    run_task(Task { quota: None, duration_ns: Some(duration_ns), ..task(1, 0, policy) }, server)
}

fn run_task(task: Task, server: &mut Server<'_>) -> (Outcome, Vec<String>) {
    let mut said = Vec::new();
    let mut waiting: HashMap<u32, Vec<(u64, &'static str)>> = HashMap::new();
    let mut receives: HashMap<u32, bool> = HashMap::new();
    let script = |slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>| {
        let mut lines = Vec::new();
        match verb {
            Verb::Open(..) => {
                waiting.remove(&slot.index);
                receives.remove(&slot.index);
                replies.push(Reply::new(US, Op::Connect, Ok(0)));
                lines = server("");
            }
            Verb::Send(bytes) => {
                for line in std::str::from_utf8(bytes).expect("text").lines() {
                    said.push(line.to_owned());
                    lines.extend(server(line));
                }
            }
            Verb::Receive(_) => {
                receives.insert(slot.index, true);
            }
            _ => {}
        }
        let waiting = waiting.entry(slot.index).or_default();
        waiting.extend(lines);
        let receives = receives.entry(slot.index).or_default();
        if *receives && !waiting.is_empty() {
            let (after_ns, text) = waiting.remove(0);
            *receives = false;
            replies.push(Reply::bytes(after_ns, text.as_bytes().into()));
        }
    };
    let driver = ScriptDriver::new(task.slots, script).end_within(100_000);
    let manners = Manners { lanes: task.policy.pipeline, heartbeat_ns: 5 * MS };
    let stop = AtomicBool::new(false);
    let mut worker = Worker::<_, Greeting>::new(driver, manners, task, &stop);
    let outcome = worker.warm_up(None).and_then(|()| worker.measure(None)).expect("a script");
    (outcome, said)
}

#[test]
fn nothing_is_asked_before_the_server_has_spoken() {
    let (outcome, said) = run_script(2, 100 * MS, &mut |line| match line {
        "" => vec![(3 * MS, "HELLO\n")],
        "ASK 1" => vec![(MS, "ANSWER 1\nANSWER 0\n")],
        _ => vec![],
    });
    let tally = outcome.tallies.measured;
    assert_eq!(said, ["ASK 0", "ASK 1"]);
    assert_eq!((tally.counters.ok, tally.counters.failed), (2, 0));
    // The greeting is a time of its own, and in `total`.
    let greeting_us = tally.stages[1].as_ref().expect("there was a greeting").max();
    assert!((3000..3010).contains(&greeting_us), "{greeting_us}");
    assert!((1000..1010).contains(&tally.service.max()), "{}", tally.service.max());
    assert!(tally.total.min() >= 4000);
}

#[test]
fn each_answer_has_its_own_time_in_whatever_order_they_come() {
    let (outcome, _) = run_script(2, 100 * MS, &mut |line| match line {
        "" => vec![(0, "HELLO\n")],
        "ASK 1" => vec![(MS, "ANSWER 1\n"), (MS, "ANSWER 0\n")],
        _ => vec![],
    });
    let tally = outcome.tallies.measured;
    assert_eq!((tally.service.len(), tally.counters.ok), (2, 2));
    assert!((1000..1010).contains(&tally.service.min()), "{}", tally.service.min());
    assert!((2000..2010).contains(&tally.service.max()), "{}", tally.service.max());
}

#[test]
fn a_ping_is_answered_and_news_are_counted_while_nothing_and_while_something_is_asked() {
    let (outcome, said) = run_script(1, 100 * MS, &mut |line| match line {
        "" => vec![(0, "PING early\nHELLO\n")],
        "ASK 0" => vec![(MS, "PING 1\nNEWS a\n"), (MS, "NEWS b\nANSW"), (MS, "ER 0\n")],
        _ => vec![],
    });
    let counters = outcome.tallies.measured.counters;
    assert_eq!(said, ["PONG early", "ASK 0", "PONG 1"]);
    assert_eq!((counters.ok, counters.messages, counters.surplus), (1, 2, 0));
}

#[test]
fn what_was_not_processed_goes_to_another_connection_and_keeps_its_time() {
    let mut connections = 0;
    let (outcome, said) = run_script(2, 100 * MS, &mut |line| match line {
        "" => {
            connections += 1;
            vec![(0, "HELLO\n")]
        }
        "ASK 1" if connections == 1 => vec![(MS, "ANSWER 0\nBYE\n")],
        "ASK 0" if connections == 2 => vec![(MS, "ANSWER 0\n")],
        _ => vec![],
    });
    let tally = outcome.tallies.measured;
    assert_eq!(said, ["ASK 0", "ASK 1", "ASK 0"]);
    assert_eq!((tally.counters.ok, tally.counters.failed, tally.counters.resent), (2, 0, 1));
    assert_eq!(tally.counters.cut_short, 1);
    assert!(tally.total.max() >= 2000, "{}", tally.total.max());
}

#[test]
fn one_late_answer_fails_alone_and_is_counted_when_it_comes() {
    let (outcome, said) = run_script(3, 10 * MS, &mut |line| match line {
        "" => vec![(0, "HELLO\n")],
        "ASK 1" => vec![(8 * MS, "ANSWER 1\n")],
        "ASK 2" => vec![(4 * MS, "ANSWER 0\n"), (MS, "ANSWER 2\n")],
        _ => vec![],
    });
    let tally = outcome.tallies.measured;
    let timeout = Failure { phase: Phase::Response, kind: Kind::Timeout };
    assert_eq!((tally.counters.ok, tally.counters.failed, tally.counters.late), (2, 1, 1));
    assert_eq!(tally.errors[0].failure, timeout);
    assert_eq!(tally.counters.connections_opened, 1);
    assert!(said.iter().any(|line| line == "ALIVE"), "{said:?}");
}

#[test]
fn a_server_that_never_speaks_has_failed_in_the_setup() {
    let (outcome, said) = run_script(1, 10 * MS, &mut |_| vec![]);
    let tally = outcome.tallies.measured;
    let timeout = Failure { phase: Phase::Setup, kind: Kind::Timeout };
    assert_eq!((tally.counters.failed, tally.errors[0].failure), (1, timeout));
    assert!(said.is_empty());
    assert_eq!(tally.counters.connections_opened, 1);
}

#[test]
fn a_server_that_refuses_the_talk_fails_one_request_and_not_for_ever() {
    let (outcome, _) = run_script(1, 100 * MS, &mut |line| match line {
        "" => vec![(0, "BYE\n")],
        _ => vec![],
    });
    let tally = outcome.tallies.measured;
    let eof = Failure { phase: Phase::Setup, kind: Kind::Eof };
    assert_eq!((tally.counters.failed, tally.errors[0].failure), (1, eof));
}

#[test]
fn a_heartbeat_goes_out_while_nothing_is_heard() {
    let (outcome, said) = run_script(1, 100 * MS, &mut |line| match line {
        "" => vec![(0, "HELLO\n")],
        "ASK 0" => vec![(23 * MS, "ANSWER 0\n")],
        _ => vec![],
    });
    assert_eq!(outcome.tallies.measured.counters.ok, 1);
    assert_eq!(said, ["ASK 0", "ALIVE", "ALIVE", "ALIVE", "ALIVE"]);
}

#[test]
fn whatever_comes_while_a_slot_thinks_it_thinks_on() {
    let model = Model { think_ns: Some(20 * MS..=20 * MS), ..Model::default() };
    let (outcome, said) = run_model(4, 100 * MS, model, &mut |line| match line {
        "" => vec![(0, "HELLO\n")],
        "ASK 1" => vec![(MS, "ANSWER 1\nANSWER 0\n"), (5 * MS, "NEWS a\n"), (MS, "PING 1\n")],
        "ASK 3" => vec![(MS, "ANSWER 2\nANSWER 3\n")],
        _ => vec![],
    });
    let counters = outcome.tallies.measured.counters;
    assert_eq!((counters.ok, counters.messages), (4, 1));
    assert!(outcome.end_ns - outcome.begin_ns >= 22 * MS, "{}", outcome.end_ns);
    assert_eq!(said.iter().filter(|line| *line == "PONG 1").count(), 1);
}

#[test]
fn what_was_not_processed_does_not_wait_with_a_slot_that_has_nothing_else_to_ask() {
    let mut connections = 0;
    // With the third one the quota is used up, and there is room for a fourth.
    let (outcome, said) = run_script(3, 100 * MS, &mut |line| match line {
        "" => {
            connections += 1;
            vec![(0, "HELLO\n")]
        }
        "ASK 1" => vec![(MS, "ANSWER 0\n"), (MS, "ANSWER 1\n"), (MS, "BYE\n")],
        "ASK 0" if connections == 2 => vec![(MS, "ANSWER 0\n")],
        _ => vec![],
    });
    let counters = outcome.tallies.measured.counters;
    assert_eq!(said, ["ASK 0", "ASK 1", "ASK 2", "ASK 0"]);
    assert_eq!((counters.ok, counters.failed, counters.resent), (3, 0, 1));
    assert!(outcome.end_ns - outcome.begin_ns < 10 * MS);
}

#[test]
fn a_peer_that_takes_nothing_for_a_while_costs_no_turns_and_no_request() {
    let (outcome, said) = run_script(4, 10 * MS, &mut |line| match line {
        "" => vec![(0, "HELLO\n")],
        "ASK 1" => vec![(MS, "PAUSE\nANSWER 1\nANSWER 0\n"), (40 * MS, "RESUME\n")],
        "ASK 3" => vec![(MS, "ANSWER 2\nANSWER 3\n")],
        _ => vec![],
    });
    let counters = outcome.tallies.measured.counters;
    assert_eq!((counters.ok, counters.failed, counters.connections_opened), (4, 0, 1));
    assert!(outcome.end_ns - outcome.begin_ns >= 42 * MS);
    assert!(counters.turns < 100, "{} turns", counters.turns);
    assert!(said.iter().any(|line| line == "ALIVE"), "{said:?}");
}

#[test]
fn a_peer_that_takes_nothing_more_ends_no_run_late() {
    let (outcome, _) = run_script(2, 10 * MS, &mut |line| match line {
        "" => vec![(0, "HELLO\n")],
        "ASK 1" => vec![(MS, "PAUSE\nANSWER 1\nANSWER 0\n")],
        _ => vec![],
    });
    assert_eq!(outcome.tallies.measured.counters.ok, 2);
    assert!(outcome.end_ns - outcome.begin_ns < 2 * MS, "{}", outcome.end_ns);
}

#[test]
fn a_connection_is_held_without_a_request_and_takes_what_comes() {
    let (outcome, said) = hold(S, &mut |line| match line {
        "" => vec![(0, "HELLO\n"), (300 * MS, "NEWS a\n"), (300 * MS, "PING 1\nNEWS b\n")],
        _ => vec![],
    });
    let tally = &outcome.tallies.measured;
    let counters = tally.counters;
    assert_eq!((counters.started, counters.connections_opened, counters.messages), (0, 1, 2));
    assert!(tally.errors.is_empty() && tally.broken.is_empty(), "{:?}", tally.broken);
    // Its heartbeat goes on for as long as it lives: one in 5 ms.
    let alive = said.iter().filter(|line| *line == "ALIVE").count();
    assert!((180..=200).contains(&alive), "{alive}");
    assert_eq!(said.iter().filter(|line| *line == "PONG 1").count(), 1);
    assert_eq!((outcome.end_ns - outcome.begin_ns) / MS, 1000);
}

#[test]
fn a_held_connection_that_ends_is_opened_again_and_not_at_once() {
    let (outcome, _) = hold(S, &mut |line| match line {
        // The end of the stream.
        "" => vec![(0, "HELLO\n"), (MS, "")],
        _ => vec![],
    });
    let counters = outcome.tallies.measured.counters;
    // Its rests double from 1 ms on: ten of them make a second.
    assert!((5..=11).contains(&counters.connections_opened), "{}", counters.connections_opened);
    assert!(counters.closed_idle + 1 >= counters.connections_opened, "{}", counters.closed_idle);
    assert_eq!((counters.started, counters.failed), (0, 0));
}

#[test]
fn a_held_connection_that_is_never_set_up_has_failed_although_nothing_was_asked() {
    let (outcome, _) = hold(S, &mut |_| vec![]);
    let tally = &outcome.tallies.measured;
    let failures: Vec<Failure> = tally.broken.iter().map(|entry| entry.failure).collect();
    assert_eq!(failures, [Failure { phase: Phase::Setup, kind: Kind::Timeout }]);
    // One in the time of a timeout, and its rest.
    assert!((4..=10).contains(&tally.broken[0].count), "{:?}", tally.broken);
    assert_eq!((tally.counters.started, tally.counters.failed), (0, 0));
}

#[test]
fn a_held_connection_that_the_server_takes_leave_of_is_not_opened_again_at_once() {
    let (outcome, _) = hold(S, &mut |line| match line {
        "" => vec![(0, "HELLO\n"), (MS, "BYE\n")],
        _ => vec![],
    });
    let counters = outcome.tallies.measured.counters;
    assert!((5..=11).contains(&counters.connections_opened), "{}", counters.connections_opened);
}

#[test]
fn the_end_before_a_connection_is_set_up_is_its_failure_although_nothing_was_asked() {
    let (outcome, _) = hold(S, &mut |line| if line.is_empty() { vec![(MS, "")] } else { vec![] });
    let tally = &outcome.tallies.measured;
    let failures: Vec<Failure> = tally.broken.iter().map(|entry| entry.failure).collect();
    assert_eq!(failures, [Failure { phase: Phase::Setup, kind: Kind::Eof }]);
    assert_eq!((tally.counters.closed_idle, tally.counters.failed), (0, 0));
}

#[test]
fn a_pause_that_lasts_ends_when_others_have_used_up_the_quota() {
    // The first of two connections is paused after its first answers; the other one does the rest.
    let policy = Policy { requests_per_connection: None, pipeline: 2, ..policy() };
    let mut connections = 0;
    let mut paused = false;
    let (outcome, _) = run_task(Task { ..task(2, 20, policy) }, &mut |line| match line {
        "" => {
            connections += 1;
            vec![(0, "HELLO\n")]
        }
        "ASK 1" if !paused => {
            paused = true;
            vec![(MS, "ANSWER 0\nANSWER 1\nPAUSE\n")]
        }
        _ => {
            let number: u64 = line.strip_prefix("ASK ").map_or(0, |n| n.parse().expect("a number"));
            match number % 2 {
                1 => ANSWERS.get(number as usize / 2).map_or(vec![], |text| vec![(MS, *text)]),
                _ => vec![],
            }
        }
    });
    let counters = outcome.tallies.measured.counters;
    assert_eq!((connections, counters.ok, counters.failed), (2, 20, 0));
    assert!(outcome.end_ns - outcome.begin_ns < 300 * MS, "{}", outcome.end_ns);
}

/// Answers to two questions each.
const ANSWERS: [&str; 10] = [
    "ANSWER 0\nANSWER 1\n",
    "ANSWER 2\nANSWER 3\n",
    "ANSWER 4\nANSWER 5\n",
    "ANSWER 6\nANSWER 7\n",
    "ANSWER 8\nANSWER 9\n",
    "ANSWER 10\nANSWER 11\n",
    "ANSWER 12\nANSWER 13\n",
    "ANSWER 14\nANSWER 15\n",
    "ANSWER 16\nANSWER 17\n",
    "ANSWER 18\nANSWER 19\n",
];

#[test]
fn what_was_given_back_and_finds_no_room_is_out_of_time_at_its_time() {
    // The server gives back the second one, and takes no more while it is at the first.
    let (outcome, _) = run_script(2, 20 * MS, &mut |line| match line {
        "" => vec![(0, "HELLO\n")],
        "ASK 1" => vec![(MS, "NOT 1\n"), (10 * MS, "ANSWER 0\n")],
        _ => vec![],
    });
    let tally = &outcome.tallies.measured;
    assert_eq!((tally.counters.ok, tally.counters.failed), (1, 1));
    assert_eq!(tally.errors[0].failure.kind, Kind::Timeout);
    let end_ns = outcome.end_ns - outcome.begin_ns;
    assert!((20 * MS..22 * MS).contains(&end_ns), "{end_ns}");
}
