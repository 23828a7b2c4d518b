use super::*;
use crate::engine::session::Remarks;
use crate::engine::tally::Tallies;
use std::sync::mpsc;

/// An interval in which a worker has had `ok` answers since its begin, the latest in `us`.
fn interval(worker: usize, number: u64, ok: u64, us: u64) -> Interval {
    let mut total = LatencyCounts::default();
    total.record(us, 1);
    let counters = Counters { started: ok, ok, ..Counters::default() };
    Interval { worker, part: Part::Measured, number, counters, total, looked_ns: 0 }
}

fn collector(workers: usize) -> Collector {
    Collector::new((0..workers).map(|_| mpsc::channel().0).collect())
}

/// What a collector tells of: nothing but rows.
fn row(event: Event<'_>) -> (Part, Second, Counters) {
    match event {
        Event::Row(part, second, counters) => (part, second.clone(), *counters),
        other => panic!("a collector tells of rows, not of {other:?}"),
    }
}

#[test]
fn a_row_is_complete_when_all_workers_have_delivered_its_second() {
    let mut collector = collector(2);
    let mut rows = Vec::new();
    for number in 0..10 {
        for worker in [0, 1] {
            let interval = interval(worker, number, 5 * (number + 1), 100);
            collector.take(interval, &mut |event| {
                let (_, second, totals) = row(event);
                rows.push((second, totals.ok));
            });
        }
    }
    assert_eq!(rows.len(), 1);
    let (row, ok) = &rows[0];
    assert_eq!((row.t_s, row.ok, row.p50_us, *ok), (1.0, 100, Some(100), 100));
}

#[test]
fn a_worker_that_is_ahead_counts_for_its_own_interval() {
    let mut collector = collector(2);
    let mut rows = Vec::new();
    let mut take = |worker, number, ok| {
        let interval = interval(worker, number, ok, 100);
        collector.take(interval, &mut |event| {
            let (_, second, _) = row(event);
            rows.push((second.t_s, second.ok));
        });
    };
    // One delivers two seconds before the other its first; and that one skips numbers.
    take(0, 9, 10);
    take(0, 19, 30);
    take(1, 12, 7);
    take(1, 19, 8);
    assert_eq!(rows, [(2.0, 38)]);
}

#[test]
fn parts_are_kept_apart() {
    let mut collector = collector(1);
    let mut parts = Vec::new();
    for part in [Part::Warmup, Part::Measured] {
        let interval = Interval { part, ..interval(0, 9, 10, 100) };
        collector.take(interval, &mut |event| {
            let (part, second, _) = row(event);
            parts.push((part, second.ok));
        });
    }
    assert_eq!(parts, [(Part::Warmup, 10), (Part::Measured, 10)]);
}

/// What a worker leaves that ends after so many milliseconds.
fn outcome(end_ms: u64, ok: u64, last_us: u64) -> Outcome {
    let mut tallies = Tallies::new(1);
    tallies.measured.counters = Counters { started: ok, ok, ..Counters::default() };
    let mut last_interval = LatencyCounts::default();
    last_interval.record(last_us, 1);
    Outcome {
        tallies,
        last_interval,
        begin_ns: 0,
        measure_from_ns: 0,
        end_ns: end_ms * 1_000_000,
        unanswered_before: 0,
        unanswered_after: 0,
        looked_ns: 0,
        remarks: Remarks::default(),
    }
}

#[test]
fn a_worker_that_has_ended_counts_as_delivered() {
    let mut collector = collector(2);
    let mut rows = Vec::new();
    let mut tell = |event: Event<'_>| {
        let (_, second, totals) = row(event);
        rows.push((second.t_s, second.ok, second.max_us, totals.ok));
    };
    for number in 0..=20 {
        collector.take(interval(1, number, number + 1, 100), &mut tell);
        match number {
            0..12 => collector.take(interval(0, number, 100 * (number + 1), 100), &mut tell),
            // It was in the middle of an interval.
            15 => collector.end(0, &outcome(1250, 1250, 777), &mut tell),
            _ => {}
        }
    }
    collector.end(1, &outcome(2160, 22, 50), &mut tell);
    assert_eq!(rows, [(1.0, 1010, Some(100), 1010), (2.0, 260, Some(777), 1270)]);
    let rest = collector.rest(2.16).expect("two intervals are left");
    assert_eq!((rest.t_s, rest.ok, rest.max_us), (2.16, 2, Some(100)));
    let (series, _) = collector.finish(Some(rest));
    assert_eq!(series.rows().iter().map(|row| row.t_s).collect::<Vec<_>>(), [1.0, 2.0, 2.16]);
}

#[test]
fn the_end_of_the_time_makes_no_row_of_its_own() {
    // One has delivered the last interval, the other ends without; whoever comes first.
    for first in [0, 1] {
        let mut collector = collector(2);
        let mut rows = Vec::new();
        let mut tell = |event: Event<'_>| rows.push(row(event).1.t_s);
        for number in 0..10 {
            collector.take(interval(0, number, number + 1, 100), &mut tell);
            if number < 9 {
                collector.take(interval(1, number, number + 1, 100), &mut tell);
            }
        }
        for worker in [first, 1 - first] {
            collector.end(worker, &outcome(1000, 10, 100), &mut tell);
        }
        let rest = collector.rest(1.000_4);
        let (series, _) = collector.finish(rest);
        assert_eq!(series.rows().len(), 1, "{rows:?}");
        assert_eq!(series.rows()[0].ok, 20);
    }
}

#[test]
fn what_a_stalled_worker_holds_open_is_bounded() {
    let mut collector = collector(3);
    let mut rows = Vec::new();
    let mut tell = |event: Event<'_>| {
        let (_, second, _) = row(event);
        rows.push((second.t_s, second.ok));
    };
    for number in 0..1000 {
        for worker in [0, 1] {
            collector.take(interval(worker, number, number + 1, 100), &mut tell);
        }
        assert!(collector.measured.open.len() <= OPEN_MAX);
    }
    assert!(collector.free.len() <= OPEN_MAX + 3, "{}", collector.free.len());
    // It is back, with an interval of long ago, and then with the current one.
    collector.take(interval(2, 3, 7, 900), &mut tell);
    for worker in [0, 1, 2] {
        collector.take(interval(worker, 1000, 1001, 100), &mut tell);
    }
    assert_eq!(rows[..2], [(1.0, 20), (2.0, 20)]);
    // What was open when it came back is one row: nobody knows when it did what it tells.
    assert_eq!((rows.len(), rows[97], rows[98].0), (99, (98.0, 20), 100.1));
    assert_eq!(rows.iter().map(|(_, ok)| ok).sum::<u64>(), 3 * 1001);
    // Batches go on: all intervals that are complete.
    assert!(collector.measured.batches.confidence().is_some());
}

/// A run of a day, on a clock that does not wait.
#[test]
fn a_day_takes_no_more_memory_than_an_hour() {
    let mut collector = collector(2);
    let (mut rows, mut ok) = (0, 0);
    for second in 1..=86_400 {
        for worker in [0, 1] {
            let last = second * INTERVALS_PER_ROW - 1;
            let interval = interval(worker, last, 10 * second, 1 + second % 5000);
            collector.take(interval, &mut |event| {
                let (_, second, _) = row(event);
                rows += 1;
                ok += second.ok;
            });
        }
    }
    // Each second is told of.
    assert_eq!((rows, ok), (86_400, 2 * 864_000));
    let measured = &collector.measured;
    assert!(collector.free.len() + measured.open.len() <= OPEN_MAX, "counts of 188 kB each");
    let (series, batches) = collector.finish(None);
    assert_eq!((series.rows().len(), series.interval_s()), (2700, 32.0));
    assert_eq!(series.rows().iter().map(|row| row.ok).sum::<u64>(), ok);
    assert!(batches.confidence().expect("enough batches").batches <= 40);
}
