use super::curve::RateStage;
use super::*;
use crate::engine::failure::Phase;

const MS: u64 = 1_000_000;

fn closed(slots: u32, quota: Option<u64>) -> Pace {
    Pace::new(&Model::default(), Share::WHOLE, slots, slots, quota.map(Quota::from))
}

/// A thousand requests a second for ten seconds.
fn open(slots: u32, backlog: u64, quota: Option<u64>) -> Pace {
    let curve = Arc::new(RateCurve::new(&[RateStage::constant(10.0, 1000.0)]));
    let open_loop = Some(OpenLoop { curve, arrivals: Arrivals::Constant, backlog });
    let mut pace = Pace::new(
        &Model { open_loop, ..Model::default() },
        Share::WHOLE,
        slots,
        slots,
        quota.map(Quota::from),
    );
    pace.begin(0, 0);
    (0..slots).for_each(|slot| pace.idle(slot));
    pace
}

fn take(pace: &mut Pace, wanted: u32) -> u32 {
    pace.take(wanted, None, 0, &mut Vec::new()).requests
}

#[test]
fn a_quota_is_given_out_exactly() {
    let mut pace = closed(2, Some(5));
    assert_eq!((take(&mut pace, 3), take(&mut pace, 3), take(&mut pace, 3)), (3, 2, 0));
    assert!(pace.is_over(0));
}

#[test]
fn a_warm_up_does_not_use_the_quota() {
    let mut pace = closed(1, Some(1));
    pace.begin(0, 100);
    let mut take = |now_ns| pace.take(1, None, now_ns, &mut Vec::new());
    assert_eq!(take(99), Grant { requests: 1, part: Part::Warmup });
    assert_eq!(take(100), Grant { requests: 1, part: Part::Measured });
    assert_eq!(take(101), Grant { requests: 0, part: Part::Measured });
    assert!(pace.is_over(101));
    // Nor is it over because there is no quota.
    let mut pace = closed(1, Some(0));
    pace.begin(0, 100);
    assert_eq!((pace.is_over(99), pace.is_over(100)), (false, true));
}

#[test]
fn a_rest_doubles_from_a_millisecond_to_a_second_in_a_closed_loop() {
    for (failures, ns) in
        [(1, 1_000_000), (4, 8_000_000), (11, 1_000_000_000), (u32::MAX, 1_000_000_000)]
    {
        assert_eq!(closed(1, None).rest_ns(failures, false), ns);
        assert_eq!(open(1, 1, None).rest_ns(failures, false), 1_000_000);
    }
}

#[test]
fn for_want_of_a_port_a_rest_stays_short() {
    let taken = |phase, errno| lacks_port(Failure::errno(phase, errno));
    assert!(taken(Phase::Connect, libc::EADDRNOTAVAIL) && taken(Phase::Bind, libc::EADDRINUSE));
    assert!(!taken(Phase::Connect, libc::ECONNREFUSED));
    assert_eq!((rest_ns(1, true), rest_ns(20, true)), (1_000_000, 32_000_000));
}

#[test]
fn due_requests_wait_in_line_and_keep_their_time() {
    let (mut pace, mut tallies) = (open(2, 100, None), Tallies::new(1));
    assert_eq!(pace.next_due_ns(), Some(0));
    pace.fill(4 * MS, &mut tallies);
    assert_eq!((tallies.measured.counters.due, pace.waiting()), (5, 5));
    assert_eq!((pace.next_idle(), pace.next_idle(), pace.next_idle()), (Some(0), Some(1), None));
    // No slot is idle: nothing to wake up for.
    assert_eq!(pace.next_due_ns(), None);
    let mut intended_ns = Vec::new();
    assert_eq!(pace.take(2, None, 4 * MS, &mut intended_ns).requests, 2);
    assert_eq!(pace.take(1, None, 4 * MS, &mut intended_ns).requests, 1);
    assert_eq!(intended_ns, [0, MS, 2 * MS]);
    pace.idle(1);
    assert_eq!(pace.next_idle(), Some(1));
    assert_eq!(pace.take(9, None, 4 * MS, &mut intended_ns).requests, 2);
    pace.idle(0);
    assert_eq!((pace.next_idle(), pace.next_due_ns()), (None, Some(5 * MS)));
}

#[test]
fn a_full_line_drops_and_counts() {
    let (mut pace, mut tallies) = (open(2, 3, None), Tallies::new(1));
    pace.fill(9 * MS, &mut tallies);
    let counters = tallies.measured.counters;
    assert_eq!((counters.due, counters.dropped, pace.waiting()), (10, 5, 5));
    // Without a line at all what finds no idle slot is dropped.
    let mut pace = open(1, 0, None);
    pace.fill(9 * MS, &mut tallies);
    assert_eq!(pace.waiting(), 1);
}

#[test]
fn a_quota_ends_a_schedule() {
    let (mut pace, mut tallies) = (open(1, 100, Some(3)), Tallies::new(1));
    pace.fill(9 * MS, &mut tallies);
    assert_eq!((tallies.measured.counters.due, pace.waiting()), (3, 3));
    assert!(!pace.is_over(9 * MS));
    assert_eq!(take(&mut pace, 9), 3);
    assert!(pace.is_over(9 * MS));
    assert_eq!(pace.next_due_ns(), None);
}

#[test]
fn what_was_due_in_the_warm_up_belongs_to_it() {
    let (mut pace, mut tallies) = (open(1, 100, Some(3)), Tallies::new(1));
    pace.begin(0, 2 * MS);
    pace.fill(9 * MS, &mut tallies);
    assert_eq!((tallies.warmup.counters.due, tallies.measured.counters.due), (2, 3));
    let mut intended_ns = Vec::new();
    let mut grant = |only| pace.take(9, only, 9 * MS, &mut intended_ns);
    assert_eq!(grant(None), Grant { requests: 2, part: Part::Warmup });
    assert_eq!(grant(Some(Part::Warmup)).requests, 0);
    assert_eq!(grant(None), Grant { requests: 3, part: Part::Measured });
    // Without a quota there are still those of the warm-up.
    let mut pace = open(1, 100, Some(0));
    pace.begin(0, 2 * MS);
    pace.fill(0, &mut tallies);
    assert_eq!(pace.next_due_ns(), Some(MS));
    pace.fill(MS, &mut tallies);
    assert_eq!((pace.waiting(), pace.next_due_ns()), (2, None));
}

#[test]
fn connections_are_opened_no_faster_than_allowed() {
    let model = Model { connect_rate_per_s: Some(1000.0), ..Model::default() };
    let mut pace = Pace::new(&model, Share::WHOLE, 4, 4, None);
    pace.begin(5 * MS, 0);
    assert_eq!(pace.permit_ns(5 * MS), None);
    assert_eq!(pace.permit_ns(5 * MS), Some(6 * MS));
    assert_eq!(pace.permit_ns(5 * MS), Some(7 * MS));
    // What was not used is not saved up.
    assert_eq!(pace.permit_ns(50 * MS), None);
    assert_eq!(pace.permit_ns(50 * MS), Some(51 * MS));
    assert_eq!(closed(1, None).permit_ns(0), None);
}

#[test]
fn slots_begin_one_after_the_other_over_the_ramp() {
    let model = Model { ramp_ns: 8 * MS, ..Model::default() };
    let begins = |index| {
        let mut pace = Pace::new(&model, Share { index, of: 2 }, 2, 4, None);
        pace.begin(MS, 0);
        [pace.first_ns(0), pace.first_ns(1)]
    };
    assert_eq!((begins(0), begins(1)), ([MS, 5 * MS], [3 * MS, 7 * MS]));
}

#[test]
fn thinking_stays_within_its_range() {
    let mut pace =
        Pace::new(&Model { think_ns: Some(3..=5), ..Model::default() }, Share::WHOLE, 1, 1, None);
    let mut seen: Vec<u64> = (0..100).filter_map(|_| pace.think_ns()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [3, 4, 5]);
    assert_eq!(closed(1, None).think_ns(), None);
}
