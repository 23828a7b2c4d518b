//! What is a change, and what is not.

use super::*;
use crate::report::console::sample;

/// A run with that rate; its p99 moves the other way.
fn run(requests_per_s: f64) -> Report {
    let mut report = sample::clean();
    report.rate.requests_per_s = requests_per_s;
    report.latency.total.p99_us = (60_000_000.0 / requests_per_s) as u64;
    report
}

fn named(name: &str, rates: &[f64]) -> Vec<(String, Report)> {
    let file = |at| format!("runs/{name}-{at}.json");
    rates.iter().enumerate().map(|(at, &rate)| (file(at), run(rate))).collect()
}

#[test]
fn files_that_differ_in_a_number_are_runs_of_one_thing() {
    let files = [
        "a-1.json",
        "a-2.json",
        "b_01.json",
        "b_02.json",
        "c1.json",
        "c2.json",
        "x/a-3.json",
        "7.json",
    ];
    let mut results = files.map(|file| (file.to_owned(), run(1.0))).to_vec();
    // Another plan is another thing.
    for connections in [64, 128] {
        let mut report = run(1.0);
        report.plan.connections = connections;
        results.push((format!("load-{connections}.json"), report));
    }
    let variants = group(results);
    let names: Vec<(&str, usize)> =
        variants.iter().map(|variant| (variant.name.as_str(), variant.runs.len())).collect();
    let one = |name| (name, 1);
    let singles = ["c1", "c2", "x/a-3", "7", "load-64", "load-128"].map(one);
    assert_eq!(names, [&[("a", 2), ("b", 2)], &singles[..]].concat());
}

#[test]
fn a_difference_within_the_spread_is_no_change() {
    for (before, after, expected) in [
        ([100.0, 102.0, 104.0], [103.0, 105.0, 107.0], Change::Within(3.0 / 102.0)),
        ([100.0, 102.0, 104.0], [110.0, 112.0, 114.0], Change::Changed(10.0 / 102.0)),
        // One noisy round is enough not to be sure.
        ([100.0, 102.0, 104.0], [90.0, 112.0, 114.0], Change::Within(10.0 / 102.0)),
    ] {
        let variants = group([named("a", &before), named("b", &after)].concat());
        let [one, other] =
            [&variants[0], &variants[1]].map(|variant| MEASURES[0].value(variant).unwrap());
        assert_eq!(Change::between(one, other), expected, "{before:?} {after:?}");
    }
}

#[test]
fn a_single_run_is_judged_by_its_own_interval_where_it_has_one() {
    let variants = group([named("a", &[23_449.0]), named("b", &[26_000.0])].concat());
    let of = |name: &str| {
        let measure = MEASURES.iter().find(|measure| measure.name == name).unwrap();
        Change::between(measure.value(&variants[0]).unwrap(), measure.value(&variants[1]).unwrap())
    };
    assert!(matches!(of("requests/s"), Change::Changed(_)));
    assert!(matches!(of("total p90"), Change::Unjudged(_)));
}

#[test]
fn the_page_marks_changes_and_names_what_differs() {
    let mut results = [named("before", &[100.0, 102.0]), named("after", &[150.0, 150.4])].concat();
    for (_, report) in &mut results[2..] {
        report.plan.connections = 128;
    }
    let variants = group(results);
    let command = vec!["ringshot".to_owned(), "report".to_owned()];
    let page = markdown(&variants, &command, &|_| String::new());
    assert!(page.starts_with("# `runs/before` against `runs/after`\n"), "{page}");
    assert!(page.contains("| requests/s | 101 (100 to 102) | 150 | **+49%** |"), "{page}");
    assert!(page.contains("| total p90 | 1.68 ms | 1.68 ms | 0%, within the spread |"), "{page}");
    assert!(page.contains("- plan.connections: 64, 128"), "{page}");
}

#[test]
fn from_nothing_to_something_is_a_change_without_a_percentage() {
    let (none, some) = (
        Value { median: 0.0, spread: Some(Range { low: 0.0, high: 0.0 }) },
        Value { median: 5.0, spread: Some(Range { low: 5.0, high: 5.0 }) },
    );
    assert_eq!(Change::between(none, some).text(), "**from none**");
    assert_eq!(Change::between(none, none).text(), "0%, within the spread");
    assert_eq!(Change::between(some, none).text(), "**-100%**");
}
