//! Much that is due at the same moment, where every connection costs the kernel 20 us: one turn does
//! a portion of it, and the next one has a later time.

use super::*;

/// What opening a connection takes of the worker's time.
const COST: u64 = 20 * US;

/// What some turns take: far less than all that is due.
const TURNS_NS: u64 = 10 * MS;

/// A server that answers at once, on a machine where opening takes a while.
fn costly(watch: &Watch) -> impl FnMut(Turn) -> Option<Reply> + use<> {
    let watch = watch.clone();
    move |turn| {
        if matches!(turn, Turn::Connect(_)) {
            watch.advance(COST);
        }
        steady(10 * US)(turn)
    }
}

#[test]
fn connections_that_begin_at_once_do_not_wait_for_each_other() {
    let watch = Watch::default();
    let task = closed(3000, 3000, Model::default(), policy());
    let outcome = served(task, &watch, costly(&watch));
    let connect = &outcome.tallies.measured.connect;
    assert!(connect.max() < TURNS_NS / US, "{} us", connect.max());
    assert!(connect.min() < MS / US, "{} us", connect.min());
    let total = &outcome.tallies.measured.total;
    assert!(total.max() < 2 * TURNS_NS / US, "{} us", total.max());
}

#[test]
fn a_timeout_shorter_than_the_burst_fails_nothing() {
    let watch = Watch::default();
    let policy = Policy { timeout_ns: 50 * MS, ..policy() };
    let outcome = served(closed(4000, 4000, Model::default(), policy), &watch, costly(&watch));
    assert!(watch.now_ns() > 80 * MS, "all of it takes longer than one request may");
    assert_eq!((counters(&outcome).ok, counters(&outcome).failed), (4000, 0));
}

#[test]
fn slots_that_think_equally_long_do_not_wait_for_each_other() {
    let watch = Watch::default();
    let model = Model { think_ns: Some(500 * MS..=500 * MS), ..Model::default() };
    let outcome = served(closed(2000, 6000, model, policy()), &watch, costly(&watch));
    let connect = &outcome.tallies.measured.connect;
    assert!(connect.max() < TURNS_NS / US, "{} us", connect.max());
}

#[test]
fn a_line_that_waits_for_free_slots_is_worked_off_in_portions() {
    let watch = Watch::default();
    // All of it comes due within a millisecond.
    let task = staged(2000, &[RateStage::constant(0.001, 2e6)], policy());
    let task = Task { duration_ns: Some(S), ..with_backlog(10_000, task) };
    let outcome = served(task, &watch, costly(&watch));
    assert_eq!(counters(&outcome).ok, 2000);
    let service = &outcome.tallies.measured.uncorrected;
    assert!(service.max() < TURNS_NS / US, "{} us", service.max());
}

#[test]
fn a_signal_is_seen_in_the_middle_of_a_burst() {
    let watch = Watch::default();
    let stop = Arc::new(AtomicBool::new(false));
    let mut habit = costly(&watch);
    let (signal, mut opened) = (Arc::clone(&stop), 0);
    let task = closed(3000, 3000, Model::default(), policy());
    served_until(task, &watch, &stop, move |turn| {
        opened += usize::from(matches!(turn, Turn::Connect(_)));
        signal.fetch_or(opened == 100, Ordering::Relaxed);
        habit(turn)
    });
    let opened = watch.seen().opened.len();
    assert!((100..200).contains(&opened), "{opened} connections were opened");
}
