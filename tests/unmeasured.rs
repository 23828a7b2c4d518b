//! What was not measured: requests that ran out of time are longer than all that were measured, a
//! second without an answer has no latency, and a run that stopped is not steady.

mod support;

use serde_json::Value;
use std::time::Duration;
use support::peers::{self, Late, Listen, Peer};
use support::{assert_consistent, errors, hopefully, in_some_attempt, ringshot};

over_both_engines! {
    requests_that_time_out_break_limits,
    a_limit_of_the_first_byte_knows_of_answers_that_began,
    a_second_without_an_answer_has_no_latency,
    a_run_that_stopped_says_when,
}

fn outcome<'a>(document: &'a Value, limit: &str) -> &'a Value {
    let slo = document["slo"].as_array().expect("limits");
    slo.iter().find(|outcome| outcome["limit"] == limit).unwrap_or_else(|| panic!("no {limit}"))
}

/// Of a hundred requests every tenth is never answered; the others take milliseconds.
fn requests_that_time_out_break_limits(engine: &str) {
    let peer = Peer::start(Listen::default(), peers::late_every(10, Late::Silent));
    let limits = ["total.p99<30s", "service.p99<30s", "first_byte.p99<30s", "total.mean<30s"];
    let kept = ["total.p50<30s", "connect.p50<30s", "errors<20%"];
    let slo: String = limits.iter().chain(&kept).map(|limit| format!(" --slo {limit}")).collect();
    let plan = format!("{} -t 1 -c 4 -k -n 100 --timeout 300ms {slo} {engine}", peer.url());
    let ran = ringshot(&format!("{plan} --json -"));
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    // On a machine that stands still for so long, some more.
    let [(name, timed_out)] = &errors(&document)[..] else { panic!("{:?}", errors(&document)) };
    assert!(name == "response/timeout" && *timed_out >= 10, "{name}: {timed_out}");

    for limit in limits {
        let outcome = outcome(&document, limit);
        assert_eq!(outcome["pass"], false, "{outcome}");
        assert!(outcome["measured"].is_null(), "{outcome}");
        assert_eq!(outcome["missing"]["timed_out"], *timed_out, "{outcome}");
    }
    for limit in kept {
        let outcome = outcome(&document, limit);
        assert_eq!(outcome["pass"], true, "{outcome}");
    }
    // The page shows a percentile of those that were answered, and says why the limit is broken.
    let why = format!("count as longer than all that were measured: {timed_out} timed out");
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(&why), "{}", ran.stderr);
}

fn a_limit_of_the_first_byte_knows_of_answers_that_began(engine: &str) {
    let peer = Peer::start(Listen::default(), peers::late_every(10, Late::Stalled));
    let slo = "--slo first_byte.p99<30s --slo service.p99<30s";
    let plan = format!("{} -t 1 -c 4 -k -n 100 --timeout 1s {slo} {engine}", peer.url());
    let ran = ringshot(&format!("{plan} --json -"));
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    assert_eq!(errors(&document), [("response/timeout".to_owned(), 10)]);
    assert_eq!(document["latency"]["first_byte"]["count"], 100);
    assert_eq!(document["latency"]["service"]["count"], 90);
    assert_eq!(outcome(&document, "first_byte.p99<30s")["pass"], true, "{}", document["slo"]);
    assert_eq!(outcome(&document, "service.p99<30s")["pass"], false, "{}", document["slo"]);
}

/// The server answers, then nobody for two seconds and more, then everybody again.
fn a_second_without_an_answer_has_no_latency(engine: &str) {
    in_some_attempt(|| look_at_a_second_without_an_answer(engine));
}

fn look_at_a_second_without_an_answer(engine: &str) -> Result<(), String> {
    let habit = peers::pauses_after(200, Duration::from_millis(2300));
    let peer = Peer::start(Listen::default(), habit);
    let directory = tempfile::tempdir().expect("a directory of our own");
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let files = format!("--csv {} --report {}", path("run.csv"), path("run.md"));
    let plan = format!("{} -t 1 -c 2 -k -d 4500ms {files} {engine}", peer.url());
    let ran = ringshot(&format!("{plan} --json -"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);

    let rows = document["series"].as_array().expect("series");
    let text = std::fs::read_to_string(path("run.csv")).expect("the rows");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let at = |name: &str| lines[0].iter().position(|cell| *cell == name).expect("a column");
    let silent = rows.iter().filter(|row| row["ok"] == 0).count();
    hopefully(silent >= 1, || format!("no second was silent: {rows:?}"))?;
    for (row, cells) in rows.iter().zip(&lines[1..]) {
        for key in ["p50_us", "p99_us", "max_us"] {
            assert_eq!(row[key].is_null(), row["ok"] == 0, "{row}");
            assert_eq!(cells[at(key)].is_empty(), row["ok"] == 0, "{cells:?}");
        }
    }
    let plot = std::fs::read_to_string(path("run.rate.svg")).expect("a plot");
    assert!(plot.contains("a gap in the latencies is one without an answer"));
    Ok(())
}

fn a_run_that_stopped_says_when(engine: &str) {
    let habit = peers::pauses_after(400, Duration::from_secs(600));
    let peer = Peer::start(Listen::default(), habit);
    let slo = "--slo p99.9<30s --slo p50<30s";
    let ran = ringshot(&format!("{} -t 1 -c 4 -k -d 4s {slo} {engine} --json -", peer.url()));
    // The four that hang have not timed out, and have waited for longer than all others.
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    assert_eq!(document["requests"]["overdue"], 4, "{}", document["requests"]);
    assert_eq!(outcome(&document, "total.p99.9<30s")["pass"], false, "{}", document["slo"]);
    assert_eq!(outcome(&document, "total.p50<30s")["pass"], true, "{}", document["slo"]);
    let steadiness = &document["steadiness"];
    assert_eq!(steadiness["verdict"], "drifting", "{steadiness}");
    assert_eq!(steadiness["rate"]["change_ratio"], -1.0, "{steadiness}");
    let after_s = steadiness["no_answer_after_s"].as_f64().expect("it stopped");
    assert!((0.1..3.9).contains(&after_s), "{steadiness}");
    let said = format!("not steady: no answers after {after_s:.1} s");
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
}

/// A search does not call a rate sustained at which one request in ten is never answered.
#[test]
fn a_search_accepts_no_rate_at_which_requests_time_out() {
    let peer = Peer::start(Listen::default(), peers::late_every(10, Late::Silent));
    let steps = "-d 500ms --warmup 50ms --budget 4s --from 200 --timeout 100ms --slo p99<30s";
    let ran = ringshot(&format!("search {steps} -t 1 -c 64 -k {} --json -", peer.url()));
    let document: Value = serde_json::from_str(&ran.stdout).expect("the document");
    let steps = document["steps"].as_array().expect("steps");
    let count = |step: &Value, key: &str| step[key].as_u64().expect("a count");
    let bad = |step: &&Value| 50 * count(step, "failed") > count(step, "due");
    let bad: Vec<&Value> = steps.iter().filter(bad).collect();
    assert!(!bad.is_empty(), "{steps:?}");
    for step in bad {
        assert_eq!(step["pass"], false, "{step}");
        assert!(step["limits"][0]["missing"]["timed_out"].as_u64() > Some(0), "{step}");
    }
    assert!(ran.stderr.contains("timed out"), "{}", ran.stderr);
}
