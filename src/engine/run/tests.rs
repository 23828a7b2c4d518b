use super::*;
use crate::engine::pace::{OpenLoop, Pace, Share, curve::RateCurve};
use crate::engine::tally::{LatencyCounts, Tallies};
use std::net::SocketAddr;
use std::sync::Arc;

const S: u64 = 1_000_000_000;

/// What a worker leaves that began to measure at 5 s.
fn outcome(ok: u64, connections_opened: u64, end_ns: u64) -> Outcome {
    let mut tallies = Tallies::new(1);
    let counters = &mut tallies.measured.counters;
    (counters.started, counters.ok) = (ok, ok);
    counters.connections_opened = connections_opened;
    Outcome {
        tallies,
        last_interval: LatencyCounts::default(),
        begin_ns: 5 * S,
        measure_from_ns: 5 * S,
        end_ns: 5 * S + end_ns,
        unanswered_before: 0,
        unanswered_after: 0,
        looked_ns: 0,
        remarks: Remarks::default(),
    }
}

fn load(requests: Option<u64>) -> Load {
    let addresses: Vec<SocketAddr> = vec!["127.0.0.1:80".parse().unwrap()];
    Load { requests, threads: 2, ..Load::new(addresses) }
}

/// Takes all of a quota, the last one at `now_ns`.
fn use_up(quota: &Quota, now_ns: u64) {
    let mut pace = Pace::new(&Model::default(), Share::WHOLE, 1, 1, Some(quota.clone()));
    while pace.take(1, None, now_ns, &mut Vec::new()).requests > 0 {}
}

#[test]
fn a_rate_is_the_sum_of_the_threads_own() {
    // The time was over at almost the same moment.
    let outcomes = [outcome(1000, 10, 10 * S), outcome(3000, 30, 10 * S + S / 100)];
    let measured = merge(&load(None), &outcomes, &[]);
    assert_eq!(measured.duration, Duration::from_millis(10_010));
    let expected = 100.0 + 3000.0 / 10.01;
    let rates = measured.rates;
    assert!((rates.requests_per_s.unwrap() - expected).abs() < 1e-9, "{rates:?}");
    assert!((rates.connections_per_s.unwrap() - expected / 100.0).abs() < 1e-9);
    // Of a run that ended in its warm-up there is none.
    let nothing = merge(&load(None), &[outcome(0, 0, 0), outcome(0, 0, 0)], &[]);
    assert_eq!((nothing.rates, nothing.duration), (Rates::default(), Duration::ZERO));
}

#[test]
fn a_thread_works_until_the_last_request_is_given_out() {
    // One waited for 8 s for an answer that came late: that is not the time of the other.
    let load = load(Some(300));
    let quotas = quotas(&load);
    use_up(&quotas[0], 5 * S + 2 * S);
    let measured = merge(&load, &[outcome(200, 0, 2 * S), outcome(100, 0, 10 * S)], &quotas);
    assert_eq!(measured.rates.requests_per_s, Some(100.0 + 10.0));
    assert_eq!(measured.duration, Duration::from_secs(10));

    // One had an answer at once and thought about its next request until there was none: it has not
    // done a thousand a second.
    let quotas = super::quotas(&load);
    use_up(&quotas[1], 5 * S + 10 * S);
    let measured = merge(&load, &[outcome(2, 0, 10 * S), outcome(1, 0, S / 1000)], &quotas);
    assert!((measured.rates.requests_per_s.unwrap() - 0.3).abs() < 1e-9);

    // And one without any has none.
    let quotas = super::quotas(&load);
    use_up(&quotas[1], 5 * S);
    let measured = merge(&load, &[outcome(1, 1, S / 1000), outcome(0, 0, 0)], &quotas);
    assert_eq!(measured.rates.requests_per_s, Some(1000.0));
}

#[test]
fn a_quota_is_divided_only_where_it_is_known_whose_turn_a_request_is() {
    let open_loop = |arrivals| {
        let curve = Arc::new(RateCurve::new(&[]));
        Some(OpenLoop { curve, arrivals, backlog: 0 })
    };
    for (open_loop, expected) in [
        (None, [5, 5]),
        (open_loop(Arrivals::Poisson), [5, 5]),
        (open_loop(Arrivals::Constant), [3, 2]),
    ] {
        let model = Model { open_loop, ..Model::default() };
        let quotas = quotas(&Load { model, ..load(Some(5)) });
        assert_eq!([quotas[0].left(), quotas[1].left()], expected);
        use_up(&quotas[0], 1);
        let left = if expected[0] == 5 { 0 } else { expected[1] };
        assert_eq!(quotas[1].left(), left);
    }
    assert!(quotas(&load(None)).is_empty());
}
