//! A merge is what one run on all boxes would have recorded.

use super::*;
use crate::kernel::{Owner, TimeWait, TimeWaitGroup};
use crate::plan::StageSummary;
use crate::result::sample::{self, histogram, result};
use crate::result::{Latency, Second, hdr};
use proptest::prelude::*;
use serde_json::Value;

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
    assert_eq!(merged.rate.requests_per_s, one.1.rate.requests_per_s.map(|per_s| 2.0 * per_s));
    assert_eq!(merged.plan.connections, 2 * one.1.plan.connections);
    assert_eq!(merged.status[&200], 2 * one.1.status[&200]);
    assert_eq!(merged.kernel.counters.get("TcpActiveOpens"), 2 * 234_564);
    assert_eq!(merged.series[0].ok, 2 * one.1.series[0].ok);
    assert_eq!(merged.host.name, "a, b");
    assert!(merged.confidence.is_none() && merged.steadiness.is_none());
}

#[test]
fn two_results_of_one_box_saw_the_same_kernel() {
    let sockets = TimeWait { by_destination: Vec::new(), others: 7 };
    let of_box = |host, total_us| {
        let mut result = result(host, &[total_us]);
        result.1.kernel.time_wait_sockets.after = Some(sockets.clone());
        result
    };
    let merged = merge(&[of_box("a", 1), of_box("a", 2)], &command()).unwrap();
    assert_eq!(merged.kernel.counters.get("TcpActiveOpens"), 234_564);
    assert_eq!(merged.kernel.time_wait.peak, Some(131_072));
    assert_eq!(merged.kernel.time_wait_sockets.after, None);
    assert_eq!(merged.series[0].time_wait, None);

    let merged = merge(&[of_box("a", 1), of_box("b", 2)], &command()).unwrap();
    assert_eq!(merged.kernel.time_wait.peak, Some(2 * 131_072));
    assert_eq!(merged.kernel.time_wait_sockets.after.unwrap().others, 14);
    assert_eq!(merged.series[0].time_wait, Some(2 * 23_460));
}

#[test]
fn of_a_box_without_a_name_nobody_knows_which_it_is() {
    let merged = merge(&[result("", &[1]), result("", &[2])], &command()).unwrap();
    assert!(merged.kernel.counters.0.is_empty());
    assert_eq!(merged.kernel.time_wait.peak, None);
    assert_eq!(merged.series[0].time_wait, None);
    assert_eq!(merged.host.memory_bytes, None);
    assert_eq!(merged.host.name, "");
    let evidence = merged.limited_by.unwrap().evidence;
    assert!(evidence.contains("a box without a name 23,449/s (connections)"), "{evidence}");
}

#[test]
fn a_short_last_row_belongs_to_the_second_before() {
    let row = |t_s, ok, in_flight, time_wait, generator_cpu_ratio| Second {
        t_s,
        ok,
        in_flight,
        time_wait: Some(time_wait),
        generator_cpu_ratio: Some(generator_cpu_ratio),
        connections: ok,
        connect_mean_us: (ok > 0).then_some(50.0),
        ..Second::default()
    };
    let of_box = |host, last_s, more: Option<Second>| {
        let mut result = result(host, &[100]);
        let ended = row(last_s, 1, 63, 101, 1.0);
        result.1.series = [row(1.0, 10, 64, 50, 0.5), row(2.0, 20, 64, 100, 0.5), ended].to_vec();
        result.1.series.extend(more);
        result
    };
    let longer = of_box("b", 2.000_7, Some(row(3.0, 5, 60, 150, 0.25)));
    let series = merge(&[of_box("a", 2.000_4, None), longer], &command()).unwrap().series;
    let seen = |row: &Second| (row.t_s, row.ok, row.in_flight, row.time_wait);
    assert_eq!(
        series.iter().map(seen).collect::<Vec<_>>(),
        [
            (1.0, 20, 128, Some(100)),
            // Gauges are those of the end of the second, and counts those of all of it.
            (2.000_7, 42, 126, Some(202)),
            // The box whose run was over did not count its sockets any more.
            (3.0, 5, 60, None),
        ]
    );
    let cpu: Vec<_> = series.iter().map(|row| row.generator_cpu_ratio.unwrap()).collect();
    assert_eq!(cpu, [1.0, 1.001, 0.25]);
    assert_eq!(series[1].connect_mean_us, Some(50.0));
}

#[test]
fn waiting_is_that_of_the_worst_and_what_quotas_did_does_not_add_up() {
    let waits = |host: &str, ratio, throttled_s: Option<f64>, rest_s| {
        let mut result = result(host, &[100]);
        let report = &mut result.1;
        let own = &mut report.generator;
        (own.cpu_wait_ratio, own.demand_peak_ratio) = (Some(ratio), None);
        own.throttled_s = throttled_s;
        report.host.cpu_quota = throttled_s.map(|_| 0.5);
        let row = |t_s, throttled_s| Second {
            t_s,
            generator_cpu_wait_ratio: Some(ratio),
            generator_throttled_s: throttled_s,
            ..Second::default()
        };
        report.series = vec![row(1.0, throttled_s), row(1.0 + rest_s, Some(0.125))];
        result
    };
    let results = [waits("a", 0.25, Some(0.5), 0.01), waits("b", 0.75, None, 0.02)];
    let merged = merge(&results, &command()).unwrap();
    let own = &merged.generator;
    assert_eq!((own.cpu_wait_ratio, own.throttled_s), (Some(0.75), Some(0.5)));
    assert_eq!((own.demand_peak_ratio, merged.host.cpu_quota), (None, None));
    let rows = merged.series.iter();
    let rows: Vec<_> =
        rows.map(|row| (row.generator_cpu_wait_ratio, row.generator_throttled_s)).collect();
    assert_eq!(rows, [(Some(0.75), Some(0.625))]);
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
    // A box without a name may measure the same count twice in the same way, but not the same.
    let same_count = |total_us| {
        let mut result = result("", &[total_us]);
        result.1.begun_at = String::new();
        result
    };
    assert!(merge(&[same_count(100), same_count(200)], &command()).is_ok());
    assert!(merge(&[same_count(100), same_count(100)], &command()).is_err());

    let mut broken = result("b", &[100]);
    broken.1.latency.total.hdr = "nothing".into();
    let error = merge(&[one.clone(), broken], &command()).unwrap_err();
    assert!(error.starts_with("b.json: its histogram of total:"), "{error}");

    let mut other = result("b", &[100]);
    other.1.latency.total.count += 1;
    let error = merge(&[one, other], &command()).unwrap_err();
    assert!(error.contains("not as many samples"), "{error}");
}

/// What makes a result another one.
type Edit = fn(&mut Report);

#[test]
fn what_the_load_was_must_be_the_same() {
    let stage = |s: f64| StageSummary { duration_s: Some(s), from_per_s: 1.0, to_per_s: 1.0 };
    let open = |report: &mut Report| {
        report.plan.arrivals = Some("constant".into());
        report.plan.stages = vec![stage(10.0)];
    };
    let edits: [(Edit, &str); 9] = [
        (|report| report.target.url += "?a=1", "path: / and /?a=1"),
        (|report| report.plan.think_s = Some([0.1, 0.2]), "think time: none and [0.1 s, 0.2 s]"),
        (|report| report.plan.timeout_s = 1.0, "timeout: 10 s and 1 s"),
        (|report| report.plan.ramp_connections_s = 2.0, "ramp of connections: 0 s and 2 s"),
        (|report| report.plan.warmup_s = 2.0, "warm-up: 0 s and 2 s"),
        (|report| report.plan.connect_rate = Some(9.0), "connections: not limited and limited"),
        (|report| report.plan.arrivals = Some("poisson".into()), "arrivals: constant and poisson"),
        (|report| report.plan.stages[0].duration_s = Some(5.0), "stages: 10 s and 5 s"),
        (
            |report| report.plan.stages.push(report.plan.stages[0]),
            "stages: 10 s and 10 s, then 10 s",
        ),
    ];
    for (edit, says) in edits {
        let (mut one, mut other) = (result("a", &[100]), result("b", &[100]));
        open(&mut one.1);
        open(&mut other.1);
        edit(&mut other.1);
        let error = merge(&[one, other], &command()).unwrap_err();
        assert!(error.ends_with(says), "{error}");
    }
}

#[test]
fn what_is_merged_or_had_a_server_of_its_own_is_refused() {
    let [a, b] = ["a", "b"].map(|host| result(host, &[100]));
    let merged = ("both.json".to_owned(), merge(&[a.clone(), b.clone()], &command()).unwrap());
    let error = merge(&[a.clone(), merged], &command()).unwrap_err();
    assert!(error.starts_with("both.json is a merged result itself"), "{error}");

    let mut bundled = b;
    bundled.1.target.bundled = true;
    let error = merge(&[a, bundled], &command()).unwrap_err();
    assert!(error.starts_with("b.json is of the bundled server"), "{error}");
}

/// Puts the number in the place of every count of the document, but for those of its histograms.
fn with_every_count(report: &Report, number: u64) -> Report {
    fn replace(value: &mut Value, number: u64) {
        match value {
            Value::Number(n) if n.is_u64() => *n = number.into(),
            Value::Array(items) => items.iter_mut().for_each(|item| replace(item, number)),
            Value::Object(members) => members.values_mut().for_each(|item| replace(item, number)),
            _ => {}
        }
    }
    let mut document = serde_json::to_value(report).unwrap();
    let kept = ["latency", "schedule", "plan", "generator", "ports", "watch", "host"];
    for (_, value) in document
        .as_object_mut()
        .unwrap()
        .iter_mut()
        .filter(|(key, _)| !kept.contains(&key.as_str()))
    {
        replace(value, number);
    }
    let slip = document["schedule"]["slip"].take();
    replace(&mut document["schedule"], number);
    document["schedule"]["slip"] = slip;
    document["host"]["memory_bytes"] = number.into();
    document["plan"]["requests"] = number.into();
    document["plan"]["backlog"] = number.into();
    // These have fewer bits.
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    document["plan"]["connections"] = small.into();
    document["plan"]["threads"] = small.into();
    document["generator"]["threads"] = small.into();
    for key in ["usable", "left_to_others", "skipped_reserved"] {
        document["ports"][key] = small.into();
    }
    document["ports"]["skipped_in_use"] = number.into();
    serde_json::from_value(document).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn counts_beyond_all_numbers_are_the_highest(
        numbers in prop::collection::vec(
            prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), Just(0), any::<u64>()],
            2..4,
        ),
    ) {
        let of_box = |(at, &number): (usize, &u64)| {
            let (file, mut report) = result(&format!("box-{at}"), &[100; 20]);
            let latency = report.latency.total.clone();
            report.warmup = sample::paced().warmup;
            report.schedule = sample::paced().schedule;
            report.schedule.as_mut().unwrap().slip = latency;
            report.errors = sample::troubled().errors;
            report.slo = sample::troubled().slo;
            let owner = Owner::Client;
            let destination = "127.0.0.1:80".parse().unwrap();
            let sockets =
                TimeWait { by_destination: vec![TimeWaitGroup { destination, owner, count: 1 }], others: 1 };
            report.kernel.time_wait_sockets.after = Some(sockets);
            (file, with_every_count(&report, number))
        };
        let results: Vec<_> = numbers.iter().enumerate().map(of_box).collect();
        let merged = merge(&results, &command()).unwrap();
        let all = numbers.iter().fold(0u64, |sum, number| sum.saturating_add(*number));
        prop_assert_eq!(merged.requests.failed, all);
        prop_assert_eq!(merged.errors[0].count, all);
        prop_assert_eq!(merged.status[&200], all);
        prop_assert_eq!(merged.kernel.counters.get("TcpActiveOpens"), all);
        prop_assert_eq!(merged.kernel.time_wait_sockets.after.unwrap().others, all);
        prop_assert_eq!(merged.series[0].in_flight, all);
        prop_assert_eq!(merged.schedule.unwrap().due, all);
    }
}
