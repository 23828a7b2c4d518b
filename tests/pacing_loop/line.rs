//! The line of due requests: where it is full, where a quota ends it, where nobody accepts.

use super::*;

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
        let task = Task { quota: Some(50.into()), ..every_ms(4, 1000, policy) };
        let outcome = served(task, &Watch::default(), steady(100 * US));
        assert_all_ended(&outcome, 50);
        assert_eq!((counters(&outcome).due, counters(&outcome).ok), (50, 50));
        let opening = if policy.requests_per_connection.is_some() { CONNECT } else { 0 };
        assert_eq!(outcome.end_ns - outcome.begin_ns, 49 * MS + 100 * US + opening);
    }
    // A server that is slower than the schedule answers all of them all the same.
    let task = Task { quota: Some(50.into()), ..every_ms(1, 1000, kept()) };
    let outcome = served(task, &Watch::default(), steady(5 * MS));
    assert_all_ended(&outcome, 50);
    assert_eq!((counters(&outcome).due, counters(&outcome).waited), (50, 49));
    assert_eq!(outcome.end_ns - outcome.begin_ns, CONNECT + 250 * MS);
    // And a schedule without an end.
    let forever = staged(2, &[RateStage::constant(f64::INFINITY, 1000.0)], kept());
    let task = Task { quota: Some(50.into()), duration_ns: None, ..forever };
    assert_all_ended(&served(task, &Watch::default(), steady(US)), 50);
}

#[test]
fn of_a_quota_of_due_requests_the_dropped_ones_are_not_started() {
    let task = Task { quota: Some(50.into()), ..with_backlog(0, every_ms(1, 1000, kept())) };
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
    let task = staged(1, &[RateStage::constant(1.0, 400.0)], policy());
    let outcome = served(task, &watch, refused);
    let Counters { due, started, failed, waited, dropped, .. } = counters(&outcome);
    assert_eq!((due, started, failed, waited, dropped), (400, 400, 400, 0, 0));
    let opens: Vec<u64> = (0..400).map(|n| n * 2500 * US).collect();
    assert_eq!(watch.seen().opens_ns(), opens);
    let refusal = Failure::errno(Phase::Connect, libc::ECONNREFUSED);
    assert_eq!(only_failure(&outcome.tallies.measured), refusal);

    // Twice as many as a slot that rests for 1 ms can try: the others wait.
    let watch = Watch::default();
    let outcome = served(staged(1, &[RateStage::constant(1.0, 2000.0)], policy()), &watch, refused);
    let opens = watch.seen().opens_ns();
    assert!(opens.windows(2).all(|pair| pair[1] - pair[0] == MS + US), "{opens:?}");
    let Counters { due, started, failed, .. } = counters(&outcome);
    assert_eq!((due, started, failed), (2000, 1000, 999 + 1));
    assert_eq!(waiting(&outcome), 1000);
}

#[test]
fn what_an_address_that_refuses_takes_is_in_the_time_of_the_request() {
    let watch = Watch::default();
    let task = Task { route: Route::new(2), ..every_ms(4, 100, kept()) };
    // The first address refuses after 2.5 ms, the second accepts after 2.5 ms.
    let outcome = served(task, &watch, |turn| match turn {
        Turn::Connect(0) => Some(Reply::new(2500 * US, Op::Connect, Err(libc::ECONNREFUSED))),
        Turn::Connect(_) => Some(Reply::new(2500 * US, Op::Connect, Ok(0))),
        turn => steady(100 * US)(turn),
    });
    let Counters { due, started, ok, failed, dropped, .. } = counters(&outcome);
    assert_eq!((due, started, ok, failed, dropped), (100, 100, 100, 0, 0));
    let tally = &outcome.tallies.measured;
    // Three refusals and the one that was under way: all slots had begun before it was known.
    let refused = tally.failed_by_address[0];
    assert!((3..=4).contains(&refused), "{refused}");
    assert_eq!(tally.total.count_between(5_000, 5_200), refused);
}
