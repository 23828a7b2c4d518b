//! When requests begin, over a scripted driver: open loop and closed loop, warm-up, stages, limits
//! of connecting. Time is virtual, so what is due at a microsecond begins at that microsecond, and
//! every latency has the value that arithmetic gives it.

#[path = "support/scripted.rs"]
mod scripted;

use hdrhistogram::Histogram;
use proptest::prelude::*;
use ringshot::connection::{CloseMode, Policy};
use ringshot::driver::Op;
use ringshot::driver::script::Reply;
use ringshot::failure::{Failure, Kind, Phase};
use ringshot::pace::curve::{RateCurve, Stage};
use ringshot::pace::{Arrivals, Model, OpenLoop, Share};
use ringshot::tally::{Counters, latency_histogram};
use ringshot::worker::{Outcome, Task};
use scripted::{
    ANSWER, Fate, MS, S, Turn, US, Watch, answer, assert_all_ended, fate, only_failure, policy,
    served, served_confirming, served_late, steady, task,
};
use std::collections::HashSet;
use std::sync::Arc;

/// How long opening a connection takes, see [`steady`].
const CONNECT: u64 = 10 * US;

/// Connections are kept.
fn kept() -> Policy {
    Policy { requests_per_connection: None, ..policy() }
}

/// An open loop through these stages, without a limit of requests; a warm-up is the first of them.
fn staged(slots: u32, stages: &[Stage], policy: Policy) -> Task {
    let seconds: f64 = stages.iter().map(|stage| stage.duration_s).sum();
    let open_loop = OpenLoop {
        curve: Arc::new(RateCurve::new(stages)),
        arrivals: Arrivals::Constant,
        backlog: 1_000_000,
    };
    Task {
        model: Model { open_loop: Some(open_loop), ..Model::default() },
        quota: None,
        duration_ns: Some((seconds * 1e9).round() as u64),
        ..task(slots, 1, policy)
    }
}

/// An open loop at a thousand a second: request n is due at n ms.
fn every_ms(slots: u32, ms: u64, policy: Policy) -> Task {
    staged(slots, &[Stage::constant(ms as f64 / 1e3, 1000.0)], policy)
}

/// The same after a warm-up.
fn warmed_up(warmup_ms: u64, task: Task) -> Task {
    let duration_ns = task.duration_ns.map(|ns| ns - warmup_ms * MS);
    Task { warmup_ns: warmup_ms * MS, duration_ns, ..task }
}

fn with_backlog(backlog: u64, mut task: Task) -> Task {
    task.model.open_loop.as_mut().expect("an open loop").backlog = backlog;
    task
}

/// A closed loop without a limit of time.
fn closed(slots: u32, quota: u64, model: Model, policy: Policy) -> Task {
    Task { model, ..task(slots, quota, policy) }
}

/// The latencies were these times, each of them.
#[track_caller]
fn assert_times(histogram: &Histogram<u64>, times_ns: impl IntoIterator<Item = u64>) {
    let mut expected = latency_histogram();
    times_ns.into_iter().for_each(|ns| expected.record((ns + 500) / 1000).expect("in range"));
    let values = |histogram: &Histogram<u64>| -> Vec<(u64, u64)> {
        let recorded = histogram.iter_recorded();
        recorded.map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
    };
    assert_eq!(values(histogram), values(&expected), "microseconds, and how often");
}

fn counters(outcome: &Outcome) -> Counters {
    outcome.tallies.measured.counters
}

/// `due = started + dropped + waiting` of the measurement: the last of them.
fn waiting(outcome: &Outcome) -> u64 {
    let counters = counters(outcome);
    counters.due - counters.dropped - counters.started
}

// An open loop.

#[test]
fn every_due_request_begins_at_its_time() {
    let watch = Watch::default();
    let outcome = served(every_ms(4, 1000, kept()), &watch, steady(200 * US));
    // Each slot's first request opens its connection.
    let begins = (0..1000).map(|n| if n < 4 { n * MS + CONNECT } else { n * MS });
    assert_eq!(watch.seen().asks_ns(), begins.collect::<Vec<_>>());
    // The slot that was idle the longest is next: they take turns.
    let slots: Vec<u32> = watch.seen().asked.iter().map(|&(_, slot, _)| slot).collect();
    assert_eq!(slots[..4].iter().collect::<HashSet<_>>().len(), 4);
    assert!((4..1000).all(|n| slots[n] == slots[n - 4]), "{slots:?}");

    let tally = &outcome.tallies.measured;
    let Counters { due, started, ok, dropped, waited, .. } = tally.counters;
    assert_eq!((due, started, ok, dropped, waited), (1000, 1000, 1000, 0, 0));
    assert_eq!((tally.slip.len(), tally.slip.max()), (1000, 0));
    let total = |n| if n < 4 { 210 * US } else { 200 * US };
    assert_times(&tally.total, (0..1000).map(total));
    // Everything began in time: there is nothing to correct.
    assert_times(&tally.uncorrected, (0..1000).map(total));
    assert_times(&tally.service, [200 * US; 1000]);
    assert_eq!(outcome.end_ns - outcome.begin_ns, S);
}

/// Late wake-ups are the generator's: in its slip, and in the total. After some of them it asks to
/// be woken as much earlier.
#[test]
fn a_late_wake_up_is_slip_and_is_learned_from() {
    let watch = Watch::default();
    let late_ns = 30 * US;
    let outcome = served_late(every_ms(4, 200, kept()), &watch, late_ns, steady(100 * US));
    let late: Vec<u64> = (0u64..).zip(watch.seen().asks_ns()).map(|(n, at)| at - n * MS).collect();
    // The first is due at once, and the next three open their connections.
    let slips: Vec<u64> =
        late.iter().enumerate().map(|(n, ns)| if n < 4 { ns - CONNECT } else { *ns }).collect();
    let tally = &outcome.tallies.measured;
    assert_times(&tally.slip, slips.iter().copied());
    assert_times(&tally.total, late.iter().map(|ns| ns + 100 * US));
    assert_eq!(tally.uncorrected.value_at_quantile(0.9), 100);
    assert_eq!(slips[..2], [0, late_ns]);
    assert!(slips[1..8].is_sorted_by(|one, next| one > next), "{slips:?}");
    assert!(slips[20..].iter().all(|&ns| ns <= 3 * US), "{slips:?}");
    assert_eq!(counters(&outcome).waited, 0, "a slot was free all the time");
}

#[test]
fn a_run_ends_at_its_time_although_nothing_happens() {
    // One request in the first second of ten, and nothing more.
    let stages = [Stage::constant(1.0, 1.0), Stage::constant(9.0, 0.0)];
    let outcome = served(staged(3, &stages, kept()), &Watch::default(), steady(US));
    assert_eq!((counters(&outcome).due, counters(&outcome).ok), (1, 1));
    assert_eq!(outcome.end_ns - outcome.begin_ns, 10 * S);
    // Not even one.
    let outcome =
        served(staged(3, &[Stage::constant(1.0, 0.0)], kept()), &Watch::default(), steady(US));
    assert_eq!((counters(&outcome).due, counters(&outcome).turns < 1000), (0, true));
    assert_eq!(outcome.end_ns - outcome.begin_ns, S);
}

/// A server that takes 100 us, and answers nothing from 100 ms to 200 ms.
fn stalling(watch: &Watch) -> impl FnMut(Turn) -> Option<Reply> {
    let watch = watch.clone();
    move |turn| {
        let now_ns = watch.now_ns();
        let stalls = (100 * MS..200 * MS).contains(&now_ns);
        steady(if stalls { 200 * MS - now_ns + 100 * US } else { 100 * US })(turn)
    }
}

/// Coordinated omission, and its correction. Four slots; requests 100 to 103 are under way when
/// the server stalls, those due from 104 ms on wait in line. When it goes on, four of them are
/// answered in each cycle, until number 203 finds a free slot at the time it is due.
///
/// A cycle is the service, and where each request has a connection of its own, opening it.
fn assert_stall(policy: Policy, opening_ns: u64) {
    let watch = Watch::default();
    let policy = Policy { timeout_ns: S, ..policy };
    let outcome = served(every_ms(4, 300, policy), &watch, stalling(&watch));
    let tally = &outcome.tallies.measured;
    let cycle = 100 * US + opening_ns;
    let over = 200 * MS + 100 * US;
    let begun_ended = |n: u64| match n {
        // A kept connection is opened by the first request on it.
        0..4 => (n * MS, n * MS + CONNECT + 100 * US),
        100..104 => (n * MS, over),
        104..203 => {
            let round = (n - 104) / 4;
            (over + round * cycle, over + (round + 1) * cycle)
        }
        _ => (n * MS, n * MS + cycle),
    };
    assert!(begun_ended(202).0 >= 202 * MS && begun_ended(202).0 + cycle <= 203 * MS);
    assert_times(&tally.total, (0..300).map(|n| begun_ended(n).1 - n * MS));
    let uncorrected = (0..300).map(|n| begun_ended(n).1 - begun_ended(n).0);
    assert_times(&tally.uncorrected, uncorrected);
    let Counters { due, started, ok, dropped, waited, .. } = tally.counters;
    assert_eq!((due, started, ok, dropped, waited), (300, 300, 300, 0, 202 - 103));
    // Waiting for the server is not the generator's lateness.
    assert_eq!(tally.slip.max(), 0);
    // A third of all requests was slow; only the corrected time shows it.
    assert!(tally.total.value_at_quantile(0.9) > 60_000);
    assert!(tally.uncorrected.value_at_quantile(0.9) < 150);
}

#[test]
fn a_stall_is_in_the_total_of_all_that_were_due_meanwhile_on_kept_connections() {
    assert_stall(kept(), 0);
}

#[test]
fn a_stall_is_in_the_total_of_all_that_were_due_meanwhile_on_new_connections() {
    assert_stall(policy(), CONNECT);
}

#[test]
fn a_pipelined_batch_takes_what_is_due_and_each_answer_has_its_own_time() {
    for pipeline in [8, 3, 2] {
        let watch = Watch::default();
        let policy = Policy { pipeline, ..kept() };
        let outcome = served(every_ms(1, 100, policy), &watch, steady(3500 * US));
        // One slot: the next batch begins when the one before is answered, with what is due then.
        let (mut now_ns, mut next, mut batches, mut totals) = (CONNECT, 0, Vec::new(), Vec::new());
        while now_ns < 100 * MS {
            let due = (now_ns / MS + 1).min(100);
            let batch = (due - next).min(pipeline.into());
            batches.push(batch as usize);
            now_ns += 3500 * US;
            if now_ns <= 100 * MS {
                totals.extend((next..next + batch).map(|n| now_ns - n * MS));
            }
            next += batch;
        }
        assert_eq!(watch.seen().batches(), batches, "{pipeline}");
        let answered = totals.len() as u64;
        assert_times(&outcome.tallies.measured.total, totals);
        // The batch is sent and answered as a whole, and the first one has opened the connection.
        let uncorrected = outcome.tallies.measured.uncorrected.clone();
        assert_eq!((uncorrected.len(), uncorrected.max()), (answered, 3511));
        assert_eq!((uncorrected.min(), uncorrected.count_at(3500)), (3500, answered - 1));
        assert_eq!((counters(&outcome).due, waiting(&outcome)), (100, 100 - next), "{pipeline}");
    }
}

#[test]
fn a_batch_on_a_new_connection_takes_what_came_due_while_it_was_opened() {
    let watch = Watch::default();
    let policy = Policy { requests_per_connection: Some(4), pipeline: 4, ..policy() };
    // Opening takes 2.5 ms, in which two more come due; then the third has half a connection left.
    let outcome = served(every_ms(1, 12, policy), &watch, |turn| match turn {
        Turn::Connect(_) => Some(Reply::new(2500 * US, Op::Connect, Ok(0))),
        turn => steady(100 * US)(turn),
    });
    // 0 to 2 at 2.5 ms, 3 at 3 ms, then 4 to 6 at 6.5 ms, and so on.
    let seen = watch.seen();
    assert_eq!(seen.batches(), [3, 1, 3, 1, 3, 1]);
    let asked_us = [2500, 3000, 6500, 7000, 10_500, 11_000];
    assert_eq!(seen.asks_ns(), asked_us.map(|us| us * US));
    assert_eq!(seen.opens_ns(), [0, 4 * MS, 8 * MS]);
    let totals_us = [2600, 1600, 600, 100].repeat(3);
    assert_times(&outcome.tallies.measured.total, totals_us.into_iter().map(|us| us * US));
}

#[test]
fn workers_take_turns() {
    let begins = |index| {
        let watch = Watch::default();
        let task = Task { share: Share { index, of: 2 }, ..every_ms(2, 100, kept()) };
        let outcome = served(task, &watch, steady(100 * US));
        assert_eq!(counters(&outcome).due, 50);
        watch.seen().asks_ns().split_off(2)
    };
    assert_eq!(begins(0), (2..50).map(|n| 2 * n * MS).collect::<Vec<_>>());
    assert_eq!(begins(1), (2..50).map(|n| (2 * n + 1) * MS).collect::<Vec<_>>());
}

#[test]
fn stages_have_their_number_of_requests_in_each_second() {
    let stages = [
        Stage::constant(1.0, 100.0),
        Stage::constant(1.0, 0.0),
        Stage { duration_s: 2.0, from_per_s: 0.0, to_per_s: 100.0 },
        Stage::constant(1.0, 50.0),
        Stage { duration_s: 1.0, from_per_s: 50.0, to_per_s: 0.0 },
    ];
    let watch = Watch::default();
    let outcome = served(staged(8, &stages, kept()), &watch, steady(100 * US));
    let mut seconds = [0; 6];
    watch.seen().asks_ns().iter().for_each(|at_ns| seconds[(at_ns / S) as usize] += 1);
    assert_eq!(seconds, [100, 0, 25, 75, 50, 25]);
    assert_eq!((counters(&outcome).due, counters(&outcome).ok), (275, 275));
    assert_eq!(outcome.tallies.measured.slip.max(), 0);
}

#[test]
fn poisson_arrivals_begin_when_their_schedule_says() {
    let run = |seed| {
        let watch = Watch::default();
        let mut task = staged(64, &[Stage::constant(2.0, 1000.0)], policy());
        task.model.seed = seed;
        task.model.open_loop.as_mut().expect("an open loop").arrivals = Arrivals::Poisson;
        let outcome = served(task, &watch, steady(100 * US));
        assert_eq!(counters(&outcome).waited, 0);
        assert_eq!(outcome.tallies.measured.slip.max(), 0);
        assert_eq!(counters(&outcome).due, watch.seen().opened.len() as u64);
        watch.seen().opens_ns()
    };
    let (one, same, other) = (run(7), run(7), run(8));
    assert_eq!(one, same);
    assert_ne!(one, other);
    // Five standard deviations of a Poisson distribution.
    assert!(one.len().abs_diff(2000) < 5 * 45, "{}", one.len());
}

// A kept connection without a request.

#[test]
fn a_connection_that_the_peer_closes_while_it_rests_costs_no_request() {
    let watch = Watch::default();
    // Half a millisecond before the next request is due.
    let outcome = served(every_ms(1, 1000, kept()), &watch, |turn| match turn {
        Turn::Idle => Some(Reply::bytes(400 * US, Arc::new([]))),
        turn => steady(100 * US)(turn),
    });
    let Counters { ok, failed, closed_idle, connections_opened, surplus, .. } = counters(&outcome);
    assert_eq!((ok, failed, surplus), (1000, 0, 0));
    assert_eq!((closed_idle, connections_opened), (1000, 1000));
    // It is opened again when there is something to ask for, not before.
    assert_eq!(watch.seen().opens_ns(), (0..1000).map(|n| n * MS).collect::<Vec<_>>());
    assert_times(&outcome.tallies.measured.total, [110 * US; 1000]);
}

#[test]
fn bytes_that_come_while_a_connection_rests_are_no_answer() {
    // What comes unasked is a whole answer, and it would pass for that of the next request.
    let outcome = served(every_ms(1, 1000, kept()), &Watch::default(), |turn| match turn {
        Turn::Idle => Some(Reply::bytes(400 * US, answer())),
        turn => steady(100 * US)(turn),
    });
    let Counters { ok, failed, surplus, connections_opened, closed_idle, bytes_read, .. } =
        counters(&outcome);
    assert_eq!((ok, failed, closed_idle), (1000, 0, 0));
    assert_eq!((surplus, connections_opened), (1000, 1000));
    assert_eq!(bytes_read, 2000 * ANSWER.len() as u64);
    assert_times(&outcome.tallies.measured.service, [100 * US; 1000]);
}

#[test]
fn a_reset_while_a_connection_rests_costs_no_request() {
    let outcome = served(every_ms(2, 100, kept()), &Watch::default(), |turn| match turn {
        Turn::Idle => Some(Reply::new(100 * US, Op::Receive, Err(libc::ECONNRESET))),
        turn => steady(100 * US)(turn),
    });
    let Counters { ok, failed, closed_idle, .. } = counters(&outcome);
    assert_eq!((ok, failed, closed_idle), (100, 0, 100));
}

#[test]
fn a_request_that_crosses_a_fin_is_sent_once_more_and_keeps_its_time() {
    let watch = Watch::default();
    // Every other time the FIN is on its way when the next request leaves, and arrives 100 us (the
    // first time 110 us) after it.
    let mut rests = 0;
    let outcome = served(every_ms(1, 1000, kept()), &watch, move |turn| match turn {
        Turn::Idle => {
            rests += 1;
            (rests % 2 == 1).then(|| Reply::bytes(MS, Arc::new([])))
        }
        turn => steady(100 * US)(turn),
    });
    let Counters { started, ok, failed, closed_idle, connections_opened, .. } = counters(&outcome);
    assert_eq!((started, ok, failed), (1000, 1000, 0));
    assert_eq!((closed_idle, connections_opened), (500, 501));
    assert_eq!(watch.seen().asked.len(), 1500);
    // From when it was due, both attempts included; the uncorrected time is that of the second.
    let total = |n: u64| match n {
        0 => 110 * US,
        1 => 110 * US + 110 * US,
        n if n % 2 == 1 => 100 * US + 110 * US,
        _ => 100 * US,
    };
    assert_times(&outcome.tallies.measured.total, (0..1000).map(total));
    let uncorrected = |n: u64| if n == 0 || n % 2 == 1 { 110 * US } else { 100 * US };
    assert_times(&outcome.tallies.measured.uncorrected, (0..1000).map(uncorrected));
}

// The line of due requests, and its ends.

#[test]
fn what_finds_no_room_in_line_is_dropped_and_counted() {
    let task = with_backlog(5, every_ms(1, 100, kept()));
    let outcome = served(task, &Watch::default(), steady(10 * MS));
    // Ten begin, one each 10 ms; five wait at the end.
    let Counters { due, started, ok, dropped, waited, .. } = counters(&outcome);
    assert_eq!((due, started, ok), (100, 10, 9));
    assert_eq!((dropped, waiting(&outcome), waited), (85, 5, 9));
    // The first five that wait have come at once, of the later ones the first after each begin.
    let began_with = [0, 1, 2, 3, 4, 5, 11, 21, 31];
    let ended = (1..).map(|k| CONNECT + k * 10 * MS);
    let totals = began_with.into_iter().zip(ended).map(|(n, ended_ns)| ended_ns - n * MS);
    assert_times(&outcome.tallies.measured.total, totals);
}

#[test]
fn without_a_line_a_request_is_dropped_when_every_slot_is_busy() {
    let watch = Watch::default();
    let task = with_backlog(0, every_ms(1, 100, kept()));
    // Each takes one and a half times as long as it is until the next.
    let outcome = served(task, &watch, steady(1500 * US));
    let Counters { due, started, dropped, waited, .. } = counters(&outcome);
    assert_eq!((due, started, dropped, waited, waiting(&outcome)), (100, 50, 50, 0, 0));
    let begins = (1..50).map(|n| 2 * n * MS);
    assert_eq!(watch.seen().asks_ns()[1..], begins.collect::<Vec<_>>());
    // With a slot more there is always a free one.
    let task = with_backlog(0, every_ms(2, 100, kept()));
    let outcome = served(task, &watch, steady(1500 * US));
    assert_eq!((counters(&outcome).started, counters(&outcome).dropped), (100, 0));
}

#[test]
fn a_quota_of_an_open_loop_is_exact_and_ends_with_the_last_answer() {
    for policy in [policy(), kept(), Policy { pipeline: 4, ..kept() }] {
        let task = Task { quota: Some(50), ..every_ms(4, 1000, policy) };
        let outcome = served(task, &Watch::default(), steady(100 * US));
        assert_all_ended(&outcome, 50);
        assert_eq!((counters(&outcome).due, counters(&outcome).ok), (50, 50));
        let opening = if policy.requests_per_connection.is_some() { CONNECT } else { 0 };
        assert_eq!(outcome.end_ns - outcome.begin_ns, 49 * MS + 100 * US + opening);
    }
    // A server that is slower than the schedule answers all of them all the same.
    let task = Task { quota: Some(50), ..every_ms(1, 1000, kept()) };
    let outcome = served(task, &Watch::default(), steady(5 * MS));
    assert_all_ended(&outcome, 50);
    assert_eq!((counters(&outcome).due, counters(&outcome).waited), (50, 49));
    assert_eq!(outcome.end_ns - outcome.begin_ns, CONNECT + 250 * MS);
    // And a schedule without an end.
    let forever = staged(2, &[Stage::constant(f64::INFINITY, 1000.0)], kept());
    let task = Task { quota: Some(50), duration_ns: None, ..forever };
    assert_all_ended(&served(task, &Watch::default(), steady(US)), 50);
}

#[test]
fn of_a_quota_of_due_requests_the_dropped_ones_are_not_started() {
    let task = Task { quota: Some(50), ..with_backlog(0, every_ms(1, 1000, kept())) };
    let outcome = served(task, &Watch::default(), steady(1500 * US));
    let Counters { due, started, ok, dropped, .. } = counters(&outcome);
    assert_eq!((due, started, ok, dropped), (50, 25, 25, 25));
}

#[test]
fn a_refused_connection_fails_its_request_and_the_schedule_goes_on() {
    let refused = |turn| match turn {
        Turn::Connect(_) => Some(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED))),
        turn => panic!("{turn:?} on no connection"),
    };
    let watch = Watch::default();
    // Each 2.5 ms, so that a rest of more than 2 ms would let one wait.
    let task = staged(1, &[Stage::constant(1.0, 400.0)], policy());
    let outcome = served(task, &watch, refused);
    let Counters { due, started, failed, waited, dropped, .. } = counters(&outcome);
    assert_eq!((due, started, failed, waited, dropped), (400, 400, 400, 0, 0));
    let opens: Vec<u64> = (0..400).map(|n| n * 2500 * US).collect();
    assert_eq!(watch.seen().opens_ns(), opens);
    let refusal = Failure::errno(Phase::Connect, libc::ECONNREFUSED);
    assert_eq!(only_failure(&outcome.tallies.measured), refusal);

    // Twice as many as a slot that rests for 1 ms can try: the others wait.
    let watch = Watch::default();
    let outcome = served(staged(1, &[Stage::constant(1.0, 2000.0)], policy()), &watch, refused);
    let opens = watch.seen().opens_ns();
    assert!(opens.windows(2).all(|pair| pair[1] - pair[0] == MS + US), "{opens:?}");
    let Counters { due, started, failed, .. } = counters(&outcome);
    assert_eq!((due, started, failed), (2000, 1000, 999 + 1));
    assert_eq!(waiting(&outcome), 1000);
}

#[test]
fn due_requests_wait_until_it_is_known_which_address_accepts() {
    let watch = Watch::default();
    let task = Task { addresses: 2, ..every_ms(4, 100, kept()) };
    // The first address refuses after 2.5 ms, the second accepts after 2.5 ms.
    let outcome = served(task, &watch, |turn| match turn {
        Turn::Connect(0) => Some(Reply::new(2500 * US, Op::Connect, Err(libc::ECONNREFUSED))),
        Turn::Connect(_) => Some(Reply::new(2500 * US, Op::Connect, Ok(0))),
        turn => steady(100 * US)(turn),
    });
    let Counters { due, started, ok, failed, dropped, .. } = counters(&outcome);
    assert_eq!((due, started, ok, failed, dropped), (100, 100, 100, 0, 0));
    let addresses: Vec<usize> = watch.seen().opened.iter().map(|&(.., at)| at).collect();
    assert_eq!(addresses.iter().filter(|&&at| at == 0).count(), 1);
    // Numbers 1 to 3 open theirs when it is known, after 5 ms; the first connection takes the others
    // meanwhile.
    let first_us = [5100, 6600, 5600, 4600, 1200, 300];
    let totals_us = first_us.into_iter().chain([100; 94]);
    assert_times(&outcome.tallies.measured.total, totals_us.map(|us| us * US));
}

// A closed loop that is held back.

#[test]
fn a_slot_thinks_between_an_answer_and_its_next_request() {
    let model = Model { think_ns: Some(5 * MS..=5 * MS), ..Model::default() };
    for policy in [kept(), policy()] {
        let watch = Watch::default();
        let task = closed(2, 100, model.clone(), policy);
        let outcome = served(task, &watch, steady(100 * US));
        assert_all_ended(&outcome, 100);
        let seen = watch.seen();
        let is_kept = policy.requests_per_connection.is_none();
        // The first ones begin at once; on a connection of its own a request begins with that.
        let cycle = if is_kept { 5100 * US } else { 5110 * US };
        let begins = if is_kept { seen.asks_ns() } else { seen.opens_ns() };
        let first = if is_kept { CONNECT } else { 0 };
        let expected: Vec<u64> = (0..100).map(|n| first + n / 2 * cycle).collect();
        assert_eq!(begins, expected);
        // Thinking is in no latency.
        assert_eq!(outcome.tallies.measured.total.max(), 110);
        assert_eq!(outcome.end_ns - outcome.begin_ns, first + 50 * cycle - 5 * MS);
    }
}

#[test]
fn thinking_is_drawn_from_its_range() {
    let gaps = |seed| {
        let watch = Watch::default();
        let model = Model { think_ns: Some(2 * MS..=5 * MS), seed, ..Model::default() };
        served(closed(1, 1000, model, kept()), &watch, steady(100 * US));
        let seen = watch.seen();
        let answered = seen.answered.iter().map(|&(at_ns, _)| at_ns);
        seen.asks_ns()[1..].iter().zip(answered).map(|(ask, answer)| ask - answer).collect()
    };
    let one: Vec<u64> = gaps(1);
    assert_eq!(one.len(), 999);
    // The end of a rest is looked for at most a microsecond too late.
    assert!(one.iter().all(|gap| (2 * MS..=5 * MS + US).contains(gap)), "{one:?}");
    let mean = one.iter().sum::<u64>() / 999;
    assert!(mean.abs_diff(3500 * US) < 150 * US, "{mean}");
    assert_eq!(one, gaps(1));
    assert_ne!(one, gaps(2));
}

#[test]
fn a_peer_that_closes_while_a_slot_thinks_costs_no_request() {
    let watch = Watch::default();
    let model = Model { think_ns: Some(5 * MS..=5 * MS), ..Model::default() };
    let outcome = served(closed(1, 50, model, kept()), &watch, |turn| match turn {
        Turn::Idle => Some(Reply::bytes(MS, Arc::new([]))),
        turn => steady(100 * US)(turn),
    });
    assert_all_ended(&outcome, 50);
    let Counters { ok, failed, closed_idle, connections_opened, .. } = counters(&outcome);
    assert_eq!((ok, failed, closed_idle, connections_opened), (50, 0, 49, 50));
    // It thinks to the end before it opens another connection.
    let opens: Vec<u64> = (0..50).map(|n| n * 5110 * US).collect();
    assert_eq!(watch.seen().opens_ns(), opens);
}

#[test]
fn a_failure_rests_no_shorter_than_it_thinks() {
    let watch = Watch::default();
    let model = Model { think_ns: Some(3 * MS..=3 * MS), ..Model::default() };
    served(closed(1, 5, model, policy()), &watch, |_| {
        Some(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)))
    });
    // 1, 2, 4 and 8 ms of rest, 3 ms of thinking.
    let opens = watch.seen().opens_ns();
    let gaps: Vec<u64> = opens.windows(2).map(|pair| pair[1] - pair[0] - US).collect();
    assert_eq!(gaps, [3 * MS, 3 * MS, 4 * MS, 8 * MS]);
}

/// The share of one of two workers, with two of four slots.
fn of_two(index: u32, task: Task) -> Task {
    Task { connections: 4, share: Share { index, of: 2 }, ..task }
}

#[test]
fn connections_begin_one_after_the_other_over_the_ramp() {
    let model = Model { ramp_ns: 8 * MS, ..Model::default() };
    let opens = |task: Task| {
        let watch = Watch::default();
        let outcome = served(task, &watch, steady(100 * US));
        assert_eq!(outcome.tallies.measured.total.max(), 110);
        watch.seen().opens_ns()
    };
    let whole = opens(closed(4, 400, model.clone(), kept()));
    assert_eq!(whole, [0, 2 * MS, 4 * MS, 6 * MS]);
    let shares = [0, 1].map(|index| opens(of_two(index, closed(2, 400, model.clone(), kept()))));
    assert_eq!(shares, [[0, 4 * MS], [2 * MS, 6 * MS]]);
}

#[test]
fn connections_are_opened_no_faster_than_allowed_in_a_closed_loop() {
    let model = Model { connect_rate_per_s: Some(1000.0), ..Model::default() };
    let run = |task: Task| {
        let watch = Watch::default();
        let outcome = served(task, &watch, steady(100 * US));
        // There, a request begins when its connection may be opened.
        assert_eq!(outcome.tallies.measured.total.max(), 110);
        watch.seen()
    };
    let every_ms: Vec<u64> = (0..100).map(|n| n * MS).collect();
    assert_eq!(run(closed(4, 100, model.clone(), policy())).opens_ns(), every_ms);
    // The limit is that of all workers: each has its turns.
    let shares: Vec<Vec<u64>> = [0, 1]
        .iter()
        .map(|&index| run(of_two(index, closed(2, 50, model.clone(), policy()))).opens_ns())
        .collect();
    let (even, odd): (Vec<u64>, Vec<u64>) =
        every_ms.iter().partition(|&at| (at / MS).is_multiple_of(2));
    assert_eq!(shares, [even, odd]);
    // On a kept connection nothing is held back any more.
    let kept = run(closed(4, 1000, model, kept()));
    assert_eq!(kept.opens_ns(), every_ms[..4]);
    let last_us = kept.asks_ns()[999] / US;
    assert!(last_us < 30_000, "{last_us}");
}

#[test]
fn waiting_for_a_connection_is_in_the_total_of_an_open_loop() {
    let watch = Watch::default();
    let mut task = every_ms(4, 99, policy());
    task.model.connect_rate_per_s = Some(500.0);
    let outcome = served(task, &watch, steady(100 * US));
    let opens = watch.seen().opens_ns();
    assert_eq!(opens, (0..50).map(|n| 2 * n * MS).collect::<Vec<_>>());
    // Number n was due at n ms and opened at 2 n ms.
    let totals = (0..50).map(|n| n * MS + 110 * US);
    assert_times(&outcome.tallies.measured.total, totals);
    assert_times(&outcome.tallies.measured.uncorrected, [110 * US; 50]);
    let Counters { due, started, ok, dropped, .. } = counters(&outcome);
    // Four slots have taken one that waits for its connection: they are in flight.
    assert_eq!((due, ok, started - ok, dropped), (99, 50, 4, 0));
    assert_eq!(waiting(&outcome), 45);
}

#[test]
fn a_request_that_is_sent_once_more_asks_for_its_connection_again() {
    let watch = Watch::default();
    let mut task = Task { quota: Some(2), ..every_ms(1, 100, kept()) };
    task.model.connect_rate_per_s = Some(100.0);
    let mut rests = 0;
    let outcome = served(task, &watch, move |turn| match turn {
        Turn::Idle => {
            rests += 1;
            (rests == 1).then(|| Reply::bytes(MS, Arc::new([])))
        }
        turn => steady(100 * US)(turn),
    });
    assert_all_ended(&outcome, 2);
    assert_eq!(watch.seen().opens_ns(), [0, 10 * MS]);
    assert_times(&outcome.tallies.measured.total, [110 * US, 9110 * US]);
}

// A warm-up.

#[test]
fn what_began_in_the_warm_up_of_a_closed_loop_stays_there() {
    let task = Task { warmup_ns: 10 * MS, ..closed(1, 5, Model::default(), kept()) };
    let watch = Watch::default();
    let outcome = served(task, &watch, steady(3 * MS));
    // The fourth begins at 9.01 ms and ends at 12.01 ms.
    let (warmup, measured) = (&outcome.tallies.warmup, &outcome.tallies.measured);
    assert_eq!((warmup.counters.started, warmup.counters.ok), (4, 4));
    assert_times(&warmup.total, [3010 * US, 3 * MS, 3 * MS, 3 * MS]);
    // The quota is that of the measurement.
    assert_all_ended(&outcome, 5);
    assert_times(&measured.total, [3 * MS; 5]);
    assert_eq!((warmup.counters.connections_opened, measured.counters.connections_opened), (1, 0));
    assert_eq!((warmup.connect.len(), measured.connect.len()), (1, 0));
    assert_eq!((outcome.begin_ns, outcome.measure_from_ns), (0, 10 * MS));
    assert_eq!(outcome.end_ns, CONNECT + 9 * 3 * MS);
    assert_eq!(outcome.unanswered_before, 0, "there is no such thing in a closed loop");
}

#[test]
fn what_was_due_in_the_warm_up_of_an_open_loop_stays_there() {
    let task = warmed_up(10, every_ms(4, 30, policy()));
    let outcome = served(task, &Watch::default(), steady(2900 * US));
    let (warmup, measured) = (&outcome.tallies.warmup, &outcome.tallies.measured);
    let Counters { due, started, ok, .. } = warmup.counters;
    assert_eq!((due, started, ok, warmup.counters.connections_opened), (10, 10, 10, 10));
    let Counters { due, started, ok, .. } = measured.counters;
    // Numbers 28 and 29 are under way at the end.
    assert_eq!((due, started, ok), (20, 20, 18));
    assert_times(&measured.total, [2910 * US; 18]);
    // Numbers 8 and 9, and number 10, which is due at that moment.
    assert_eq!(outcome.unanswered_before, 3);
    assert_eq!(outcome.end_ns - outcome.measure_from_ns, 20 * MS);
}

#[test]
fn a_line_that_the_warm_up_leaves_behind_is_its_own() {
    // The server needs three times as long as it has: at the end it is still at the warm-up.
    let task = warmed_up(10, every_ms(1, 30, kept()));
    let outcome = served(task, &Watch::default(), steady(3 * MS));
    let (warmup, measured) = (&outcome.tallies.warmup, &outcome.tallies.measured);
    assert_eq!((warmup.counters.due, warmup.counters.started, warmup.counters.ok), (10, 10, 9));
    assert_eq!((measured.counters.due, measured.counters.started), (20, 0));
    assert_eq!((measured.total.len(), measured.service.len()), (0, 0));
    // Three were answered when number 10 came due.
    assert_eq!((outcome.unanswered_before, waiting(&outcome)), (8, 20));

    // With a quota the run goes on until the measured ones are answered, too.
    let task =
        Task { quota: Some(20), duration_ns: None, ..warmed_up(10, every_ms(1, 30, kept())) };
    let outcome = served(task, &Watch::default(), steady(3 * MS));
    assert_all_ended(&outcome, 20);
    let ended = |n: u64| CONNECT + (n + 1) * 3 * MS;
    let totals = (10..30).map(|n| ended(n) - n * MS);
    assert_times(&outcome.tallies.measured.total, totals);
    assert_eq!(outcome.end_ns, ended(29));
}

#[test]
fn a_batch_belongs_to_one_part_of_the_run() {
    let watch = Watch::default();
    let policy = Policy { pipeline: 8, ..kept() };
    let task = warmed_up(5, every_ms(1, 14, policy));
    let outcome = served(task, &watch, steady(3500 * US));
    // At 7.01 ms numbers 4 to 7 are due, and the measurement begins with number 5.
    assert_eq!(watch.seen().batches(), [1, 3, 1, 6]);
    assert_eq!(outcome.tallies.warmup.counters.ok, 5);
    assert_eq!((counters(&outcome).due, counters(&outcome).started), (9, 6));
}

#[test]
fn a_failure_counts_where_its_request_was_due() {
    let fails_late = |turn| match turn {
        Turn::Answer(_) => Some(Reply::new(3 * MS, Op::Receive, Err(libc::ECONNRESET))),
        turn => steady(0)(turn),
    };
    // At 9 ms numbers 7, 8 and 9 of the warm-up are under way.
    let task = warmed_up(10, every_ms(8, 30, policy()));
    let outcome = served(task, &Watch::default(), fails_late);
    let (warmup, measured) = (&outcome.tallies.warmup, &outcome.tallies.measured);
    assert_eq!((warmup.counters.due, warmup.counters.failed), (10, 10));
    assert_eq!((measured.counters.due, measured.counters.failed), (20, 17));
    let reset = Failure::errno(Phase::Receive, libc::ECONNRESET);
    assert_eq!(warmup.errors[0].last_ns, 12 * MS + CONNECT);
    assert_eq!((only_failure(warmup), only_failure(measured)), (reset, reset));

    // In a closed loop the one that is under way when the measurement begins.
    let task = Task { warmup_ns: 10 * MS, ..closed(1, 1, Model::default(), policy()) };
    let outcome = served(task, &Watch::default(), fails_late);
    let (warmup, measured) = (&outcome.tallies.warmup, &outcome.tallies.measured);
    assert!(warmup.errors[0].last_ns > 10 * MS, "{:?}", warmup.errors);
    assert_eq!((measured.counters.started, measured.counters.failed), (1, 1));
}

#[test]
fn a_timeout_after_the_warm_up_of_what_began_in_it_is_not_measured() {
    let policy = Policy { timeout_ns: 8 * MS, ..policy() };
    let mut asked = 0;
    let task = Task { warmup_ns: 5 * MS, ..closed(1, 10, Model::default(), policy) };
    let outcome = served(task, &Watch::default(), move |turn| match turn {
        // The first is never answered.
        Turn::Answer(_) => {
            asked += 1;
            (asked > 1).then(|| Reply::bytes(100 * US, answer()))
        }
        turn => steady(0)(turn),
    });
    let timeout = Failure::response(Kind::Timeout);
    assert_eq!(only_failure(&outcome.tallies.warmup), timeout);
    assert_all_ended(&outcome, 10);
    assert_eq!((counters(&outcome).ok, outcome.tallies.warmup.counters.started), (10, 1));
}

#[test]
fn a_worker_without_a_share_of_the_quota_takes_part_in_the_warm_up() {
    // `--requests 1` over two workers: the second has none of it.
    let task = Task { warmup_ns: 10 * MS, ..closed(1, 0, Model::default(), kept()) };
    let outcome = served(task, &Watch::default(), steady(100 * US));
    assert_eq!((outcome.measure_from_ns, outcome.end_ns), (10 * MS, 10 * MS));
    assert!(outcome.tallies.warmup.counters.ok >= 99, "{:?}", outcome.tallies.warmup.counters);
    assert_eq!(counters(&outcome).started, 0);

    let task = Task { quota: Some(0), ..warmed_up(10, every_ms(1, 30, kept())) };
    let outcome = served(task, &Watch::default(), steady(100 * US));
    assert_eq!((outcome.measure_from_ns, outcome.end_ns), (10 * MS, 10 * MS));
    assert_eq!((outcome.tallies.warmup.counters.ok, counters(&outcome).due), (10, 0));
    assert_eq!(outcome.tallies.warmup.slip.max(), 0);
}

// Anything, at random.

/// A server that deals out fates until they are used up, then is healthy.
fn fateful(fates: Vec<Fate>) -> impl FnMut(Turn) -> Option<Reply> {
    let mut fates = fates.into_iter();
    move |turn| {
        let fate = fates.next().unwrap_or(Fate::Fine);
        let after_ns = if let Fate::Late(ns) = fate { ns } else { 20 * US };
        let reset = |op| Some(Reply::new(US, op, Err(libc::ECONNRESET)));
        match (turn, fate) {
            (_, Fate::Silence) => None,
            (Turn::Connect(_), Fate::Reset | Fate::Refused) => {
                Some(Reply::new(US, Op::Connect, Err(libc::ECONNREFUSED)))
            }
            (Turn::Connect(_), _) => Some(Reply::new(after_ns, Op::Connect, Ok(0))),
            (_, Fate::Reset | Fate::Refused) => reset(Op::Receive),
            (_, Fate::Eof) => Some(Reply::bytes(US, Arc::new([]))),
            // Meets a connection that rests, or the next request.
            (Turn::Idle, Fate::Late(_)) => Some(Reply::bytes(after_ns, Arc::new([]))),
            (Turn::Idle, Fate::Garbage | Fate::Short(_)) => Some(Reply::bytes(after_ns, answer())),
            (Turn::Idle, _) => None,
            (Turn::Answer(_), Fate::Garbage) => Some(Reply::bytes(US, b"\0\x01garbage"[..].into())),
            (Turn::Answer(requests), Fate::Short(end)) => {
                let bytes = ANSWER.repeat(requests);
                let end = end * requests;
                Some(Reply::bytes(after_ns, bytes[..end].into()))
            }
            (Turn::Answer(_), Fate::SendFails) => reset(Op::Send),
            (Turn::Answer(requests), _) => {
                Some(Reply::bytes(after_ns, ANSWER.repeat(requests).into()))
            }
        }
    }
}

fn stage() -> impl Strategy<Value = Stage> {
    let rate = || prop_oneof![1 => Just(0.0), 3 => 1.0..3000.0];
    (0.01..0.1, rate(), rate()).prop_map(|(duration_s, from_per_s, to_per_s)| Stage {
        duration_s,
        from_per_s,
        to_per_s,
    })
}

/// An open loop, or what holds a closed one back.
fn model() -> impl Strategy<Value = (Model, f64)> {
    let stages = prop::collection::vec(stage(), 1..4);
    let open = (stages, any::<bool>(), 0u64..20).prop_map(|(stages, poisson, backlog)| {
        let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
        let seconds = stages.iter().map(|stage| stage.duration_s).sum();
        let open_loop = OpenLoop { curve: Arc::new(RateCurve::new(&stages)), arrivals, backlog };
        (Model { open_loop: Some(open_loop), ..Model::default() }, seconds)
    });
    let think =
        prop::option::of((0..5 * MS, 0..5 * MS).prop_map(|(from, more)| from..=from + more));
    let closed = (think, 0..50 * MS, 0.01..0.3).prop_map(|(think_ns, ramp_ns, seconds)| {
        (Model { think_ns, ramp_ns, ..Model::default() }, seconds)
    });
    let connect_rate = prop::option::of(100.0..5000.0);
    (prop_oneof![open, closed], connect_rate, any::<u64>()).prop_map(
        |((model, seconds), connect_rate_per_s, seed)| {
            (Model { connect_rate_per_s, seed, ..model }, seconds)
        },
    )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let close = prop::sample::select(vec![CloseMode::Server, CloseMode::Client, CloseMode::Rst]);
    (close, prop::option::of(1u64..5), 1u32..5, MS..100 * MS).prop_map(
        |(close, requests_per_connection, pipeline, timeout_ns)| Policy {
            close,
            requests_per_connection,
            pipeline,
            timeout_ns,
            ..policy()
        },
    )
}

fn any_task() -> impl Strategy<Value = Task> {
    let share = (1u32..4, 0u32..4).prop_map(|(of, index)| Share { index: index % of, of });
    let warmup = prop_oneof![Just(0), 1..100 * MS];
    (model(), any_policy(), share, 1u32..6, warmup, prop::option::of(0u64..100), 1usize..3)
        .prop_map(|((model, seconds), policy, share, slots, warmup_ns, quota, addresses)| Task {
            connections: slots * share.of,
            share,
            model,
            warmup_ns,
            quota,
            duration_ns: Some((seconds * 1e9) as u64),
            addresses,
            ..task(slots, 1, policy)
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever comes in however the load comes: the run ends in time, every request is in one of
    /// the counts, and nothing that belongs to the warm-up is measured.
    #[test]
    fn every_request_is_accounted_for(
        task in any_task(), fates in prop::collection::vec(fate(), 0..200), confirms: bool,
    ) {
        let faults = fates.len() as u64;
        let run = if confirms { served_confirming } else { served };
        let outcome = run(task.clone(), &Watch::default(), fateful(fates));
        let end_ns = task.warmup_ns + task.duration_ns.expect("a limit of time");
        prop_assert!(outcome.end_ns <= end_ns + US, "{} {end_ns}", outcome.end_ns);

        let open_loop = task.model.open_loop.as_ref();
        for tally in [&outcome.tallies.warmup, &outcome.tallies.measured] {
            let Counters { due, dropped, waited, started, ok, failed, .. } = tally.counters;
            prop_assert!(waited <= started);
            prop_assert!(failed <= faults * u64::from(task.policy.pipeline));
            prop_assert_eq!(tally.total.len(), ok, "every whole answer is a good one");
            prop_assert_eq!(tally.service.len(), ok);
            match open_loop {
                None => prop_assert_eq!((due, dropped, waited, tally.uncorrected.len()), (0, 0, 0, 0)),
                Some(open_loop) => {
                    prop_assert_eq!((tally.slip.len(), tally.uncorrected.len()), (started, ok));
                    let room = open_loop.backlog.div_ceil(task.share.of.into());
                    let waiting = due.checked_sub(dropped + started).expect("due are the most");
                    prop_assert!(waiting <= room + u64::from(task.slots), "{waiting} of {room}");
                }
            }
        }
        let measured = counters(&outcome);
        match (task.quota, open_loop) {
            (Some(quota), None) => prop_assert!(measured.started <= quota),
            (Some(quota), Some(_)) => prop_assert!(measured.due <= quota),
            _ => {}
        }
    }

    /// With time enough the quota of a measurement is met to the last request, and once the server
    /// is well again every slot works.
    #[test]
    fn a_quota_is_met_however_the_load_comes(
        task in any_task(), fates in prop::collection::vec(fate(), 0..100), quota in 1u64..200,
    ) {
        let faults = fates.len() as u64;
        let mut task = Task { quota: Some(quota), duration_ns: None, ..task };
        if let Some(open_loop) = &mut task.model.open_loop {
            open_loop.curve = Arc::new(RateCurve::new(&[Stage::constant(f64::INFINITY, 500.0)]));
            open_loop.backlog = 1_000_000;
        }
        let outcome = served(task.clone(), &Watch::default(), fateful(fates));
        assert_all_ended(&outcome, quota);
        let Counters { due, ok, dropped, .. } = counters(&outcome);
        prop_assert_eq!(dropped, 0);
        prop_assert!(ok + faults * u64::from(task.policy.pipeline) >= quota, "{ok} of {quota}");
        if task.model.open_loop.is_some() {
            prop_assert_eq!(due, quota);
        }
        prop_assert_eq!(outcome.tallies.in_flight(), 0);
    }
}
