//! A warm-up is kept out of the measurement, and the measurement out of it.

use super::*;

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
    let task = Task {
        quota: Some(20.into()),
        duration_ns: None,
        ..warmed_up(10, every_ms(1, 30, kept()))
    };
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

    let task = Task { quota: Some(0.into()), ..warmed_up(10, every_ms(1, 30, kept())) };
    let outcome = served(task, &Watch::default(), steady(100 * US));
    assert_eq!((outcome.measure_from_ns, outcome.end_ns), (10 * MS, 10 * MS));
    assert_eq!((outcome.tallies.warmup.counters.ok, counters(&outcome).due), (10, 0));
    assert_eq!(outcome.tallies.warmup.slip.max(), 0);
}
