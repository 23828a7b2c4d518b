//! What is a change, and what is not.

use super::measure::{Difference, MEASURES, Measure, Value};
use super::*;
use crate::result::{Finding, Severity, sample};
use crate::statistics::Range;

/// A run with that rate; its p99 moves the other way.
fn run(requests_per_s: f64) -> Report {
    let mut report = sample::clean();
    report.rate.requests_per_s = Some(requests_per_s);
    report.latency.total.p99_us = Some((60_000_000.0 / requests_per_s) as u64);
    report
}

fn named(name: &str, rates: &[f64]) -> Vec<(String, Report)> {
    let file = |at| format!("runs/{name}-{at}.json");
    rates.iter().enumerate().map(|(at, &rate)| (file(at), run(rate))).collect()
}

fn measure(name: &str) -> &'static Measure {
    MEASURES.iter().find(|measure| measure.name == name).unwrap()
}

fn change(name: &str, variants: &[Variant]) -> Difference {
    measure(name).change(&variants[0], &variants[1]).unwrap()
}

fn page(variants: &[Variant]) -> String {
    markdown(variants, &["ringshot".to_owned(), "report".to_owned()], &|_| String::new())
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
        ([100.0, 102.0, 104.0], [103.0, 105.0, 107.0], Difference::Within(3.0 / 102.0)),
        ([100.0, 102.0, 104.0], [110.0, 112.0, 114.0], Difference::Changed(10.0 / 102.0)),
        // One noisy round is enough not to be sure.
        ([100.0, 102.0, 104.0], [90.0, 112.0, 114.0], Difference::Within(10.0 / 102.0)),
    ] {
        let variants = group([named("a", &before), named("b", &after)].concat());
        let change = MEASURES[0].change(&variants[0], &variants[1]);
        assert_eq!(change, Some(expected), "{before:?} {after:?}");
    }
}

#[test]
fn a_single_run_is_judged_by_its_own_interval_where_it_has_one() {
    let variants = group([named("a", &[23_449.0]), named("b", &[26_000.0])].concat());
    assert!(matches!(change("requests/s", &variants), Difference::Changed(_)));
    assert!(matches!(change("total p90", &variants), Difference::Unjudged(_)));

    // Not where the run itself says that its interval is too narrow.
    let mut variants = variants;
    variants[1].runs[0].confidence.as_mut().unwrap().correlated = true;
    assert!(matches!(change("requests/s", &variants), Difference::Unjudged(_)));
    let page = page(&variants);
    assert!(page.contains("The intervals of `runs/b-0` are left out"), "{page}");
}

#[test]
fn the_page_marks_changes_and_names_what_differs() {
    let mut results = [named("before", &[100.0, 102.0]), named("after", &[150.0, 150.4])].concat();
    for (_, report) in &mut results[2..] {
        report.plan.connections = 128;
    }
    let variants = group(results);
    let page = page(&variants);
    assert!(page.starts_with("# `runs/before` against `runs/after`\n"), "{page}");
    assert!(page.contains("| requests/s | 101 (100 to 102) | 150 | **+49%** |"), "{page}");
    assert!(page.contains("| total p90 | 1.68 ms | 1.68 ms | 0%, within the spread |"), "{page}");
    assert!(page.contains("- connections: 64, 128"), "{page}");
}

#[test]
fn from_nothing_to_something_is_a_change_without_a_percentage() {
    let (none, some) = (
        Value { median: 0.0, spread: Some(Range { low: 0.0, high: 0.0 }) },
        Value { median: 5.0, spread: Some(Range { low: 5.0, high: 5.0 }) },
    );
    assert_eq!(Difference::between(none, some, 0.0).text(), "**from none**");
    assert_eq!(Difference::between(none, none, 0.0).text(), "0%, within the spread");
    assert_eq!(Difference::between(some, none, 0.0).text(), "**-100%**");
}

#[test]
fn what_rounding_does_is_no_change() {
    let exactly = |median| Value { median, spread: Some(Range { low: median, high: median }) };
    for (one, other, step, changed) in [
        // From one whole microsecond to the next, and one more.
        (61.0, 62.0, 1.0, false),
        (61.0, 63.0, 1.0, true),
        (61.0, 62.0, 0.0, true),
        // Half a percent.
        (10_000.0, 10_050.0, 1.0, false),
        (10_000.0, 9_950.0, 0.0, false),
        (10_000.0, 10_051.0, 0.0, true),
    ] {
        let change = Difference::between(exactly(one), exactly(other), step);
        assert_eq!(matches!(change, Difference::Changed(_)), changed, "{one} {other}: {change:?}");
    }
    let mut variants = group([named("a", &[100.0; 2]), named("b", &[100.0; 2])].concat());
    for run in &mut variants[1].runs {
        run.latency.connect.p50_us = run.latency.connect.p50_us.map(|us| us + 1);
        run.generator.cpu_us_per_request = run.generator.cpu_us_per_request.map(|us| us * 1.01);
    }
    assert!(matches!(change("connect p50", &variants), Difference::Within(_)));
    assert!(matches!(change("generator CPU per request", &variants), Difference::Changed(_)));
}

#[test]
fn failures_are_compared_by_their_share() {
    let mut variants = group([named("a", &[100.0; 2]), named("b", &[100.0; 2])].concat());
    // Ten times as long, and ten times as many.
    for (variant, times) in variants.iter_mut().zip([1, 10]) {
        for run in &mut variant.runs {
            run.requests.ok = 970 * times;
            run.requests.failed = 30 * times;
        }
    }
    assert_eq!(change("failed requests", &variants), Difference::Within(0.0));
    let page = page(&variants);
    assert!(page.contains("| failed requests | 3.0% | 3.0% | 0%, within"), "{page}");
    variants[1].runs.iter_mut().for_each(|run| run.requests.failed = 0);
    assert_eq!(change("failed requests", &variants), Difference::Changed(-1.0));
}

#[test]
fn a_verdict_says_what_was_judged() {
    let verdict = |variants: &[Variant]| page(variants).lines().nth(2).unwrap().to_owned();
    let several = |rate| named("b", &[rate; 3]);
    let changed = verdict(&group([named("a", &[100.0; 3]), several(200.0)].concat()));
    assert!(changed.starts_with("`runs/b` has changed from `runs/a`: requests/s **+100%**"));
    let within = verdict(&group([named("a", &[100.0; 3]), several(100.0)].concat()));
    assert_eq!(
        within,
        "`runs/b` differs from `runs/a` by no more than runs of the same thing do, in any number \
         below."
    );
    let mut singles = group([named("a", &[23_449.0]), named("b", &[23_449.0])].concat());
    assert_eq!(
        verdict(&singles),
        "`runs/b-0` differs from `runs/a-0` by no more than the 95% interval of a single run, in \
         requests/s, total p50, total p99; nothing else could be judged."
    );
    // Too short for intervals, and as different as can be.
    for (run, rate) in singles.iter_mut().flat_map(|variant| &mut variant.runs).zip([1.0, 1e6]) {
        run.confidence = None;
        run.rate.requests_per_s = Some(rate);
    }
    let unjudged = verdict(&singles);
    assert!(unjudged.starts_with("Whether `runs/b-0` differs from `runs/a-0` cannot be judged"));
    assert!(unjudged.contains("Run each several times"), "{unjudged}");
}

#[test]
fn two_runs_are_called_only_two() {
    let variants = group([named("a", &[100.0; 2]), named("b", &[100.0; 3])].concat());
    let page = page(&variants);
    assert!(page.contains("The spread is of only 2 runs of `runs/a`: a third"), "{page}");
}

/// What makes a run another one.
type Edit = fn(&mut Report);

#[test]
fn what_was_asked_of_another_server_or_box_is_no_repetition() {
    let edits: [(&str, Edit, usize); 9] = [
        ("nothing", |_| (), 1),
        ("seed", |report| report.plan.seed = Some(7), 1),
        ("watched process", |report| report.plan.watch_pid = Some(812), 1),
        ("URL", |report| report.target.url = "http://127.0.0.1:8081/".into(), 2),
        ("version", |report| report.version = "0.0.9".into(), 2),
        ("box", |report| report.host.name = "other".into(), 2),
        ("plan", |report| report.plan.pipeline = 16, 2),
        ("unix socket", |report| report.plan.unix_socket = Some("/run/app.sock".into()), 2),
        ("kernel", |report| report.host.kernel = "6.19.0".into(), 1),
    ];
    for (what, edit, groups) in edits {
        let mut results = named("a", &[100.0, 100.0]);
        edit(&mut results[1].1);
        assert_eq!(group(results).len(), groups, "{what}");
    }
    // The bundled server has another port each time.
    let mut results = named("a", &[100.0, 100.0]);
    for (port, (_, report)) in results.iter_mut().enumerate() {
        report.target.bundled = true;
        report.target.url = format!("http://127.0.0.1:{}/", 40_000 + port);
    }
    assert_eq!(group(results).len(), 1);
}

#[test]
fn what_differs_is_listed_setting_by_setting_and_within_a_variant() {
    let mut variants = group([named("a", &[100.0; 2]), named("b", &[100.0; 2])].concat());
    variants[0].runs[1].engine = "epoll".into();
    for run in &mut variants[1].runs {
        run.host.sysctls.insert("net.core.somaxconn".into(), "128".into());
        run.host.sysctls.insert("net.ipv4.tcp_tw_reuse".into(), "1".into());
        run.plan.seed = Some(1);
        run.plan.watch_pid = Some(1);
    }
    let page = page(&variants);
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("- ")).collect();
    assert_eq!(
        lines,
        [
            r#"- engine: "epoll" or "io_uring", "io_uring""#,
            r#"- host.sysctls.net.core.somaxconn: "4096", "128""#,
            r#"- host.sysctls.net.ipv4.tcp_tw_reuse: none, "1""#,
        ]
    );
}

#[test]
fn runs_that_did_not_go_well_are_named() {
    let mut variants = group([named("a", &[100.0; 2]), named("b", &[100.0; 2])].concat());
    assert!(!page(&variants).contains("Not all runs went well"));
    let finding = |id: &str, severity| Finding {
        id: id.to_owned().into(),
        severity,
        text: "a sentence.".into(),
        cure: String::new(),
    };
    variants[0].runs[1].interrupted = true;
    variants[1].runs[0].kernel.findings = vec![
        finding("generator_saturated", Severity::Warning),
        finding("server_closes_early", Severity::Info),
    ];
    let page = page(&variants);
    assert!(page.contains("- `runs/a-1.json`: interrupted\n"), "{page}");
    assert!(page.contains("- `runs/b-0.json`: `generator_saturated` (warning)\n"), "{page}");
}
