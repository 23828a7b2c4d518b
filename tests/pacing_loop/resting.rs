//! A kept connection without a request, and what its peer does meanwhile.

use super::*;

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
    // From when it was due, both attempts included; and it began with the first of them.
    let total = |n: u64| match n {
        0 => 110 * US,
        1 => 110 * US + 110 * US,
        n if n % 2 == 1 => 100 * US + 110 * US,
        _ => 100 * US,
    };
    assert_times(&outcome.tallies.measured.total, (0..1000).map(total));
    assert_times(&outcome.tallies.measured.uncorrected, (0..1000).map(total));
    assert_eq!(counters(&outcome).resent, 500);
}
