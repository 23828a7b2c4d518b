//! A merge is what one run on all boxes would have recorded.

use super::*;
use crate::report::console::sample;
use crate::report::{Latency, hdr};
use crate::tally::latency_histogram;
use hdrhistogram::Histogram;
use proptest::prelude::*;

/// A result of that box with these latencies.
fn result(host: &str, total_us: &[u64]) -> (String, Report) {
    let mut report = sample::clean();
    report.host.name = host.into();
    report.plan.seed = None;
    let latency = Latency::of(&histogram(total_us));
    report.requests.ok = latency.count;
    report.requests.started = latency.count;
    report.requests.in_flight = 0;
    for place in [
        &mut report.latency.connect,
        &mut report.latency.first_byte,
        &mut report.latency.service,
        &mut report.latency.total,
    ] {
        *place = latency.clone();
    }
    (format!("{host}.json"), report)
}

fn histogram(values_us: &[u64]) -> Histogram<u64> {
    let mut histogram = latency_histogram();
    for &us in values_us {
        histogram.record(us).unwrap();
    }
    histogram
}

fn command() -> Vec<String> {
    vec!["ringshot".into(), "report".into(), "--merge".into()]
}

proptest! {
    // A histogram has 188 kB, and each case makes a dozen of them.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn percentiles_are_those_of_one_histogram(
        boxes in prop::collection::vec(prop::collection::vec(1u64..60_000_000, 1..300), 2..5),
    ) {
        let results: Vec<_> = boxes
            .iter()
            .enumerate()
            .map(|(at, values_us)| result(&format!("box-{at}"), values_us))
            .collect();
        let merged = merge(&results, &command()).unwrap();
        let all = Latency::of(&histogram(&boxes.concat()));
        prop_assert_eq!(&merged.latency.total, &all);
        prop_assert_eq!(hdr::decode(&merged.latency.service.hdr).unwrap(), histogram(&boxes.concat()));
        prop_assert_eq!(merged.requests.ok, all.count);
    }
}

#[test]
fn counts_are_added_and_rates_with_them() {
    let [one, other] = [result("a", &[100; 50]), result("b", &[300; 70])];
    let merged = merge(&[one.clone(), other], &command()).unwrap();
    assert_eq!(merged.requests.started, 120);
    assert_eq!(merged.rate.requests_per_s, 2.0 * one.1.rate.requests_per_s);
    assert_eq!(merged.plan.connections, 2 * one.1.plan.connections);
    assert_eq!(merged.status[&200], 2 * one.1.status[&200]);
    assert_eq!(merged.kernel.counters.get("TcpActiveOpens"), 2 * 234_564);
    assert_eq!(merged.series[0].ok, 2 * one.1.series[0].ok);
    assert_eq!(merged.host.name, "a, b");
    assert!(merged.confidence.is_none() && merged.steadiness.is_none());
}

#[test]
fn two_results_of_one_box_saw_the_same_kernel() {
    let (mut one, mut other) = (result("a", &[1]), result("a", &[2]));
    one.1.begun_at = "2026-01-31T12:00:00.000Z".into();
    other.1.begun_at = "2026-01-31T12:00:00.500Z".into();
    let merged = merge(&[one, other], &command()).unwrap();
    assert_eq!(merged.kernel.counters.get("TcpActiveOpens"), 234_564);
    assert_eq!(merged.kernel.time_wait.peak, Some(131_072));
    assert_eq!(merged.series[0].time_wait, None);
}

#[test]
fn clocks_are_compared_and_doubted() {
    let at = |host, begun_at: &str| {
        let mut result = result(host, &[100; 20]);
        result.1.begun_at = begun_at.into();
        result.1.duration_s = 10.0;
        result
    };
    let noon = at("a", "2026-01-31T12:00:00.000Z");
    let near = merge(&[noon.clone(), at("b", "2026-01-31T12:00:00.250Z")], &command()).unwrap();
    let about = near.merged.unwrap();
    assert_eq!((about.begins_apart_s, about.common_ratio), (Some(0.25), Some(0.975)));
    assert!(near.kernel.findings.is_empty());
    assert!(clocks(&about).contains("began 250 ms apart and had 98% of the longest in common"));

    let far = merge(&[noon.clone(), at("b", "2026-01-31T12:01:00.000Z")], &command()).unwrap();
    assert_eq!(far.kernel.findings[0].id, "merged_apart");
    assert_eq!(far.merged.unwrap().common_ratio, Some(0.0));

    let untold = merge(&[noon, at("b", "")], &command()).unwrap().merged.unwrap();
    assert_eq!(untold.begins_apart_s, None);
    assert!(clocks(&untold).contains("is not known"));
}

#[test]
fn what_is_not_one_test_is_refused_with_the_files() {
    let one = result("a", &[100]);
    let mut other = result("b", &[100]);
    other.1.plan.close = "rst".into();
    let error = merge(&[one.clone(), other], &command()).unwrap_err();
    assert_eq!(error, "a.json and b.json are not of one test: close: server and rst");

    let error = merge(&[one.clone(), one.clone()], &command()).unwrap_err();
    assert!(error.contains("are the same result"), "{error}");

    let mut broken = result("b", &[100]);
    broken.1.latency.total.hdr = "nothing".into();
    let error = merge(&[one.clone(), broken], &command()).unwrap_err();
    assert!(error.starts_with("b.json: its histogram of total:"), "{error}");

    let mut other = result("b", &[100]);
    other.1.latency.total.count += 1;
    let error = merge(&[one, other], &command()).unwrap_err();
    assert!(error.contains("not as many samples"), "{error}");
}
