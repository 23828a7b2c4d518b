use super::*;
use crate::plan::flags::{Cli, Command};
use crate::search::Purpose;
use clap::Parser;
use std::path::PathBuf;

/// When and where.
fn after_21_s() -> SearchState {
    SearchState {
        begun_at: SystemTime::UNIX_EPOCH,
        took: Duration::from_secs(21),
        host: None,
        generator: None,
        resumed_steps: 0,
        errors: Vec::new(),
    }
}

/// A step in which everything but the limit is as it should be.
pub(crate) fn step(rate_per_s: f64, pass: bool) -> SearchStep {
    SearchStep {
        rate_per_s,
        purpose: Purpose::Bisection,
        pass,
        limits: vec![crate::result::slo::LimitOutcome {
            limit: "total.p99<5ms".into(),
            measured: Some(if pass { 2_000.0 } else { 9_000.0 }),
            bound: 5_000.0,
            samples: Some(1000),
            unit: "us".into(),
            pass,
            missing: None,
        }],
        kept_up: true,
        generator_limited: false,
        answered_per_s: rate_per_s,
        due: 1000,
        ok: 1000,
        failed: 0,
        dropped: 0,
        waited: 0,
        unanswered: 0,
        p50_us: Some(1_000),
        p90_us: Some(1_500),
        p99_us: Some(2_000),
        max_us: Some(9_000),
        uncorrected_p50_us: Some(900),
        slip_p99_us: Some(40),
        busy_ratio: 0.3,
        cpu_wait_ratio: Some(0.002),
        findings: Vec::new(),
    }
}

fn plan(arguments: &str) -> SearchPlan {
    let words = "ringshot search --slo p99<5ms".split(' ').chain(arguments.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Some(Command::Search(args)) => SearchPlan::new(&args, &[]).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn document_of(steps: &[SearchStep]) -> SearchDocument {
    SearchDocument::new(&plan("http://a/"), steps, &after_21_s(), false)
}

/// The edge between 2000 and 2030, confirmed.
fn edge() -> Vec<SearchStep> {
    [(1000.0, true), (2000.0, true), (2000.0, true), (2030.0, false), (2030.0, false)]
        .map(|(rate_per_s, pass)| step(rate_per_s, pass))
        .into()
}

#[test]
fn an_edge_is_the_answer() {
    let outcome = SearchResult::of(&edge(), &Bounds::default());
    let expected = SearchResult {
        complete: true,
        rate_per_s: Some(2000.0),
        next_broken_per_s: Some(2030.0),
        limited_by: Some(Limiter::Server),
    };
    assert_eq!(outcome, expected);
}

#[test]
fn without_an_answer_it_is_told_how_far_the_search_got() {
    let outcome = |steps: &[SearchStep]| {
        let outcome = SearchResult::of(steps, &Bounds::default());
        (outcome.complete, outcome.rate_per_s, outcome.next_broken_per_s)
    };
    assert_eq!(outcome(&[]), (false, None, None));
    assert_eq!(outcome(&edge()[..2]), (false, Some(2000.0), None));
    assert_eq!(outcome(&[step(1000.0, false)]), (false, None, Some(1000.0)));
    assert_eq!(
        outcome(&[step(1000.0, true), step(4000.0, false), step(8000.0, true)]),
        (false, Some(8000.0), None),
        "what broke once, below what has passed, may be an accident"
    );
}

#[test]
fn who_was_the_limit_is_told_by_the_steps_that_broke() {
    let limited_by = |change: fn(&mut SearchStep)| {
        let mut steps = edge();
        steps.iter_mut().filter(|step| !step.pass).for_each(change);
        SearchResult::of(&steps, &Bounds::default()).limited_by
    };
    assert_eq!(limited_by(|step| step.generator_limited = true), Some(Limiter::Generator));
    assert_eq!(limited_by(|step| step.waited = 900), Some(Limiter::Connections));
    // They also wait when the server takes longer.
    let slow = |step: &mut SearchStep| (step.waited, step.uncorrected_p50_us) = (900, Some(30_000));
    assert_eq!(limited_by(slow), Some(Limiter::Server));
}

#[test]
fn a_curve_has_the_median_of_each_rate_that_kept_the_limits() {
    let mut steps = edge();
    steps.push(SearchStep { p90_us: Some(4_000), ..step(2000.0, true) });
    steps.push(SearchStep { p90_us: Some(3_000), ok: 999, ..step(2000.0, true) });
    steps.push(step(8000.0, true));
    let point =
        |rate_per_s, p99_us| CurvePoint { rate_per_s, p50_us: 1_000, p90_us: 1_500, p99_us };
    let expected = [point(1000.0, Some(2_000)), point(2000.0, None)];
    assert_eq!(curve(&steps, &Bounds::default()), expected);
}

fn resume(file: &File, arguments: &str) -> Result<Vec<SearchStep>, String> {
    Earlier::read(&file.0).and_then(|earlier| earlier.steps(&plan(arguments)))
}

/// A file of one test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("ringshot-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_search_goes_on_from_its_document() {
    let text = crate::result::json::document(&document_of(&edge()));
    let file = File::new("search-whole", &text);
    assert_eq!(resume(&file, "http://a/").unwrap(), edge());
    let short = crate::result::json::document(&SearchDocument::new(
        &plan("--budget 30s http://a/"),
        &edge(),
        &after_21_s(),
        false,
    ));
    let short = File::new("search-short", &short);
    let times = Earlier::read(&short.0).unwrap().step_times().unwrap();
    assert_eq!(times, (Duration::from_millis(1250), Duration::from_millis(250)));
    // Where it may go on is up to the flags that do not change what a step is.
    assert!(resume(&file, "--budget 10m --precision 5% http://a/").is_ok());
    let other = resume(&file, "-c 5 http://a/").unwrap_err();
    assert!(other.contains("another plan (connections: 64 there, 5 here)"), "{other}");
    let other = resume(&file, "--unix-socket /run/app.sock http://a/").unwrap_err();
    assert!(other.contains("(unix socket: none there, /run/app.sock here)"), "{other}");
}

#[test]
fn a_step_of_an_earlier_version_has_no_latency_of_nothing() {
    let answered = SearchStep { slip_p99_us: Some(0), ..step(1000.0, true) };
    let mut same = answered.clone();
    same.bring_up_to_date();
    assert_eq!(same, answered);
    let zeros = [Some(0); 6];
    let [p50_us, p90_us, p99_us, max_us, uncorrected_p50_us, slip_p99_us] = zeros;
    let (due, ok) = (0, 0);
    let mut nothing = SearchStep { due, ok, p50_us, p90_us, p99_us, max_us, ..step(1000.0, false) };
    (nothing.uncorrected_p50_us, nothing.slip_p99_us) = (uncorrected_p50_us, slip_p99_us);
    nothing.bring_up_to_date();
    let SearchStep { p50_us, p90_us, p99_us, max_us, uncorrected_p50_us, slip_p99_us, .. } =
        nothing;
    assert_eq!([p50_us, p90_us, p99_us, max_us, uncorrected_p50_us, slip_p99_us], [None; 6]);
}

#[test]
fn a_file_that_is_no_search_is_named_with_the_reason() {
    let whole = crate::result::json::document(&document_of(&edge()));
    let rate = whole.replace("\"rate_per_s\": 1000.0", "\"rate_per_s\": -1.0");
    for (name, text, reason) in [
        ("search-cut", &whole[..whole.len() / 2], "not a whole JSON document"),
        ("search-run", r#"{"schema": "ringshot.run/1"}"#, "its schema is \"ringshot.run/1\""),
        ("search-none", "{}", "its schema is null"),
        ("search-steps", &whole.replace("\"pass\"", "\"past\""), "its steps cannot be read"),
        ("search-rate", &rate, "a rate that is not above 0"),
    ] {
        let file = File::new(name, text);
        let error = resume(&file, "http://a/").unwrap_err();
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
}

#[test]
fn its_plan_has_the_keys_that_others_rely_on() {
    let document = serde_json::to_value(document_of(&edge())).unwrap();
    let keys = "arrivals backlog body_bytes close connect_rate connections method pipeline slo step_s \
                requests_per_connection threads timeout_s unix_socket url warmup_s";
    for key in keys.split(' ') {
        assert!(document["plan"].get(key).is_some(), "{key}");
    }
    for key in ["duration_s", "rate", "stages", "cpus", "seed"] {
        assert_eq!(document["plan"].get(key), None, "a search sets it: {key}");
    }
    let read: SearchDocument = serde_json::from_value(document).unwrap();
    assert_eq!(read.plan, document_of(&edge()).plan);
}
