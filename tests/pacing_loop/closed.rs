//! What holds connections back: think time, a ramp, a limit of connecting.

use super::*;

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
    let mut task = Task { quota: Some(2.into()), ..every_ms(1, 100, kept()) };
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

/// Requests are due just before the end, and the worker wakes behind it.
#[test]
fn nothing_starts_behind_an_end_that_is_noticed_late() {
    let model = Model { think_ns: Some(4 * MS..=4 * MS), ..Model::default() };
    let task = Task { quota: None, duration_ns: Some(10 * MS), ..closed(2, 1, model, kept()) };
    let watch = Watch::default();
    let outcome = served_late(task, &watch, 1500 * US, steady(100 * US));
    assert!(outcome.end_ns - outcome.begin_ns > 10 * MS, "the end was noticed late");
    // At 0 ms and at 5.6 ms; at 9.7 ms the next ones are due.
    assert_eq!(counters(&outcome).started, 4);
    assert!(watch.seen().asks_ns().iter().all(|&at_ns| at_ns < 10 * MS));
}
