//! Where limits begin and end to be kept.

use super::*;
use crate::statistics::latency_histogram;
use proptest::prelude::*;

fn histogram(latencies_us: &[u64]) -> Histogram<u64> {
    let mut histogram = latency_histogram();
    latencies_us.iter().for_each(|us| histogram.record(*us).unwrap());
    histogram
}

/// A run of 10 s: `total` from 100 to 1000 us, half of it `service`, one connection a request.
fn check(text: &str) -> LimitOutcome {
    let total: Vec<u64> = (1..=10).map(|tenth| tenth * 100).collect();
    let service: Vec<u64> = total.iter().map(|us| us / 2).collect();
    let (total, service, empty) = (histogram(&total), histogram(&service), latency_histogram());
    let numbers = Numbers {
        connect: &empty,
        first_byte: &empty,
        service: &service,
        total: &total,
        uncorrected: None,
        ok: 990,
        failed: 10,
        unanswered: 0,
        timed_out: TimedOut::default(),
        dropped: 0,
        requests_per_s: Some(99.0),
        connections_per_s: Some(99.6),
    };
    Limit::parse(text).unwrap().check(&numbers)
}

#[test]
fn a_limit_is_kept_up_to_its_bound() {
    for (text, measured, pass) in [
        ("max<1ms", 1000.0, false),
        ("max<=1ms", 1000.0, true),
        ("max<1000.001us", 1000.0, true),
        ("min>100us", 100.0, false),
        ("min>=100us", 100.0, true),
        ("p50<500us", 500.0, false),
        ("p50<=500us", 500.0, true),
        ("p99.99<=1ms", 1000.0, true),
        ("service.p50<=250us", 250.0, true),
        ("mean<=550us", 550.0, true),
        ("errors<1%", 0.01, false),
        ("errors<=1%", 0.01, true),
        ("errors<=0.01", 0.01, true),
        ("rate>99", 99.0, false),
        ("rate>=99", 99.0, true),
        ("rate<100", 99.0, true),
        ("connections>=99.6", 99.6, true),
        ("connections>99.6", 99.6, false),
    ] {
        let outcome = check(text);
        assert_eq!((outcome.measured, outcome.pass), (Some(measured), pass), "{text}");
    }
}

#[test]
fn an_outcome_says_what_was_compared() {
    let expected = |limit: &str, measured, bound, unit: &'static str, samples| LimitOutcome {
        limit: limit.to_owned(),
        measured: Some(measured),
        bound,
        unit: unit.into(),
        pass: true,
        samples,
        missing: (unit == "us").then(Missing::default),
    };
    assert_eq!(check("max<2ms"), expected("total.max<2ms", 1000.0, 2000.0, "us", Some(10)));
    assert_eq!(check("errors<5%"), expected("errors<5%", 0.01, 0.05, "ratio", Some(1000)));
    assert_eq!(check("rate>0.05k"), expected("rate>50", 99.0, 50.0, "per_s", None));
}

#[test]
fn without_a_measurement_no_limit_is_kept() {
    for (text, samples) in [
        ("connect.p99<1s", Some(0)),
        ("first_byte.min<1s", Some(0)),
        ("uncorrected.mean<1s", None),
        ("uncorrected.max>=0s", None),
    ] {
        let outcome = check(text);
        assert_eq!((outcome.measured, outcome.samples), (None, samples), "{text}");
        assert!(!outcome.pass, "{text}");
    }
    let empty = latency_histogram();
    let nothing = Numbers {
        connect: &empty,
        first_byte: &empty,
        service: &empty,
        total: &empty,
        uncorrected: Some(&empty),
        ok: 0,
        failed: 0,
        unanswered: 0,
        timed_out: TimedOut::default(),
        dropped: 0,
        requests_per_s: Some(0.0),
        connections_per_s: Some(0.0),
    };
    for text in ["errors<=0%", "rate>=0", "rate<100", "connections<100", "uncorrected.p99<1s"] {
        let outcome = Limit::parse(text).unwrap().check(&nothing);
        assert_eq!((outcome.measured, outcome.pass), (None, false), "{text}");
    }
    let dropped = Numbers { dropped: 5, requests_per_s: None, ..nothing };
    let outcome = Limit::parse("p50<1s").unwrap().check(&dropped);
    assert_eq!((outcome.measured, outcome.pass, outcome.samples), (None, false, Some(0)));
    let measured = |text: &str| Limit::parse(text).unwrap().check(&dropped).measured;
    assert_eq!((measured("errors<1%"), measured("rate>1")), (Some(1.0), None));
}

#[test]
fn requests_that_were_not_answered_are_longer_than_all_that_were() {
    let mut total = latency_histogram();
    for us in 1..=1000 {
        total.record(us).unwrap();
    }
    let numbers = |unanswered| Numbers {
        connect: &total,
        first_byte: &total,
        service: &total,
        total: &total,
        uncorrected: Some(&total),
        ok: 1000,
        failed: 0,
        dropped: 0,
        unanswered,
        timed_out: TimedOut::default(),
        requests_per_s: Some(1000.0),
        connections_per_s: Some(1000.0),
    };
    let measured =
        |limit: &str, unanswered| Limit::parse(limit).unwrap().check(&numbers(unanswered)).measured;
    // Of 1,000 answered and 1,000 that were not, the median is the slowest that was.
    assert_eq!(measured("p50<1s", 0), Some(500.0));
    assert_eq!(measured("p50<1s", 1000), Some(1000.0));
    assert_eq!(measured("p51<1s", 1000), None);
    assert_eq!(measured("max<1s", 1), None);
    // From when a request was sent nothing is known of those that were not.
    assert_eq!(measured("service.p51<1s", 1000), Some(510.0));
    assert_eq!(measured("errors<1%", 1000), Some(0.5));
    assert!(!Limit::parse("p51<1s").unwrap().check(&numbers(1000)).pass);
}

/// 90 requests of 1 ms in every latency, and others that have none.
fn check_without(text: &str, dropped: u64, unanswered: u64, timed_out: TimedOut) -> LimitOutcome {
    let times = histogram(&[1000; 90]);
    let numbers = Numbers {
        connect: &times,
        first_byte: &times,
        service: &times,
        total: &times,
        uncorrected: Some(&times),
        ok: 90,
        failed: timed_out.connecting + timed_out.handed_over(),
        dropped,
        unanswered,
        timed_out,
        requests_per_s: Some(90.0),
        connections_per_s: Some(90.0),
    };
    Limit::parse(text).unwrap().check(&numbers)
}

#[test]
fn what_has_no_latency_counts_as_longer_where_it_has_begun() {
    let none = TimedOut::default();
    let connecting = TimedOut { connecting: 10, ..none };
    let waiting = TimedOut { waiting: 10, ..none };
    let answering = TimedOut { answering: 10, ..none };
    let [total, uncorrected, connect, first_byte, service] =
        ["total", "uncorrected", "connect", "first_byte", "service"];
    for (dropped, unanswered, timed_out, broken) in [
        (0, 0, none, &[][..]),
        (10, 0, none, &[total]),
        (0, 10, none, &[total]),
        (0, 0, connecting, &[total, uncorrected, connect]),
        (0, 0, waiting, &[total, uncorrected, first_byte, service]),
        (0, 0, answering, &[total, uncorrected, service]),
    ] {
        for latency in [total, uncorrected, connect, first_byte, service] {
            let breaks = broken.contains(&latency);
            let check = |statistic: &str| {
                let text = format!("{latency}.{statistic}<1s");
                check_without(&text, dropped, unanswered, timed_out)
            };
            let name = format!("{latency}: {dropped} {unanswered} {timed_out:?}");
            assert_eq!(check("p91").pass, !breaks, "{name}");
            assert_eq!(check("mean").pass, !breaks, "{name}");
            assert_eq!(check("max").measured.is_none(), breaks, "{name}");
            // The tenth part of them is missing, and the longest of the others is the 90th of 100.
            assert!(check("p90").pass && check("min").pass, "{name}");
            let missing = check("p99").missing.expect("it is a latency");
            assert_eq!(missing.count(), if breaks { 10 } else { 0 }, "{name}");
        }
    }
}

#[test]
fn each_request_counts_once_and_its_cause_is_told() {
    let timed_out = TimedOut { connecting: 1, waiting: 2, answering: 4 };
    let outcome = check_without("p99<1s", 1200, 30, timed_out);
    let missing = Missing { dropped: 1200, timed_out: 7, unanswered: 30 };
    assert_eq!((outcome.missing, outcome.samples), (Some(missing), Some(90)));
    assert_eq!(missing.causes().as_deref(), Some("1,200 dropped, 7 timed out, 30 not answered"));
    assert_eq!(Missing::default().causes(), None);
    // What timed out has failed already.
    let errors = check_without("errors<1%", 1200, 30, timed_out);
    assert_eq!(errors.samples, Some(90 + 7 + 1200 + 30));
    assert_eq!(errors.missing, None);
}

proptest! {
    #[test]
    fn more_that_is_missing_never_mends_a_limit(
        counts in prop::array::uniform3(0u64..200), more in 0u64..200, percent in 1u32..1000,
    ) {
        let text = format!("p{}<1500us", f64::from(percent) / 10.0);
        let [dropped, unanswered, waiting] = counts;
        let timed_out = |waiting| TimedOut { waiting, ..TimedOut::default() };
        let pass = |dropped, unanswered, waiting| {
            check_without(&text, dropped, unanswered, timed_out(waiting)).pass
        };
        let before = pass(dropped, unanswered, waiting);
        prop_assert!(before || !pass(dropped + more, unanswered, waiting));
        prop_assert!(before || !pass(dropped, unanswered + more, waiting));
        prop_assert!(before || !pass(dropped, unanswered, waiting + more));
    }
}
