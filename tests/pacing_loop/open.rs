//! An open loop: requests begin when they are due, and what it measures when the server stalls.

use super::*;

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
    let stages = [RateStage::constant(1.0, 1.0), RateStage::constant(9.0, 0.0)];
    let outcome = served(staged(3, &stages, kept()), &Watch::default(), steady(US));
    assert_eq!((counters(&outcome).due, counters(&outcome).ok), (1, 1));
    assert_eq!(outcome.end_ns - outcome.begin_ns, 10 * S);
    // Not even one.
    let outcome =
        served(staged(3, &[RateStage::constant(1.0, 0.0)], kept()), &Watch::default(), steady(US));
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
        RateStage::constant(1.0, 100.0),
        RateStage::constant(1.0, 0.0),
        RateStage { duration_s: 2.0, from_per_s: 0.0, to_per_s: 100.0 },
        RateStage::constant(1.0, 50.0),
        RateStage { duration_s: 1.0, from_per_s: 50.0, to_per_s: 0.0 },
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
        let mut task = staged(64, &[RateStage::constant(2.0, 1000.0)], policy());
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
