//! `ringshot search` against servers whose capacity is known.

mod support;

use serde_json::Value;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use support::{hopefully, in_some_attempt, ringshot, run_command, server};

/// Steps that are shorter than those of a user: a capacity of thousands shows in a second, when 5% too
/// much load are as many requests as wait for 50 ms.
const STEPS: &str = "-d 1s --warmup 200ms --budget 45s --slo p99<50ms --slo errors<1%";

/// Where a step has a thousand requests in less.
const SHORT_STEPS: &str = "-d 700ms --warmup 150ms --budget 45s --slo p99<50ms --slo errors<1%";

/// One search at a time: what is measured to a few percent must not share the CPUs with another.
static ALONE: Mutex<()> = Mutex::new(());

/// Held for as long as a test loads a server. One that failed is no reason for others to.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(document: &Value, pointer: &str) -> f64 {
    document.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"))
}

#[test]
fn the_capacity_of_a_token_bucket_is_found() {
    let _alone = alone();
    let server = server();
    let capacity = 1_370.0;
    let url = format!("http://{}/limited/{capacity}", server.addr());
    in_some_attempt(|| {
        let begin = Instant::now();
        let ran = ringshot(&format!("search {SHORT_STEPS} -t 1 {url} --json -"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let document = ran.document();
        let found = number(&document, "/result/rate_per_s");
        let is_near = (found / capacity - 1.0).abs() < 0.05;
        hopefully(is_near, || format!("{found} of {capacity}\n{}", ran.stderr))?;
        hopefully(document["result"]["complete"] == true, || ran.stderr.clone())?;
        hopefully(begin.elapsed() < Duration::from_secs(60), || "it took its time".into())?;
        // For a server without a processor of its own the box may have been the limit.
        assert_ne!(document["result"]["limited_by"], "connections", "{}", ran.stderr);
        assert!(ran.stderr.contains("is the highest rate that keeps the limits"), "{}", ran.stderr);
        Ok(())
    });
}

#[test]
fn connections_that_are_all_busy_are_told_from_a_slow_server() {
    let _alone = alone();
    let server = server();
    // Four connections of 20 ms each: 200 requests per second, however fast the server is.
    let url = format!("http://{}/delay/20", server.addr());
    let plan = format!("search {STEPS} --precision 4% --from 150 -k -c 4 -t 1 {url} --json -");
    in_some_attempt(|| {
        let ran = ringshot(&plan);
        let document = ran.document();
        let found = number(&document, "/result/rate_per_s");
        let limited_by = &document["result"]["limited_by"];
        // In a second 5% more are ten requests, which are hard to tell from chance.
        let is_found = (180.0..=212.0).contains(&found) && *limited_by == "connections";
        hopefully(is_found, || format!("{found}, limited by {limited_by}\n{}", ran.stderr))
    });
}

#[test]
fn a_search_that_was_interrupted_goes_on_from_its_document() {
    let _alone = alone();
    let server = server();
    let url = format!("http://{}/limited/1500", server.addr());
    let file = std::env::temp_dir().join(format!("ringshot-search-{}.json", std::process::id()));
    let arguments = format!(
        "search {SHORT_STEPS} --precision 8% --from 1200 -t 1 {url} --json {}",
        file.display()
    );
    let mut child = support::command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let steps = |document: &Value| document["steps"].as_array().map_or(0, Vec::len);
    let read = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    let give_up = Instant::now() + Duration::from_secs(30);
    while steps(&read()) < 2 {
        assert!(Instant::now() < give_up, "no document after each step");
        std::thread::sleep(Duration::from_millis(20));
    }
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(stopped.expect("kill").success());
    assert_eq!(child.wait().expect("an exit code").code(), Some(130));
    let before = read();
    assert_eq!(
        (&before["interrupted"], &before["result"]["complete"]),
        (&true.into(), &false.into())
    );

    let ran = ringshot(&format!("{arguments} --resume {}", file.display()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let after = read();
    assert!(steps(&after) > steps(&before));
    assert_eq!(after["steps"][0], before["steps"][0], "the first steps are those of the file");
    // Wherever a noisy machine has led it: what it finds precisely is another test.
    assert!((number(&after, "/result/rate_per_s") / 1500.0 - 1.0).abs() < 0.5, "{}", ran.stdout);

    let other = ringshot(&format!("{arguments} -c 5 --resume {}", file.display()));
    assert_eq!(other.code, Some(1));
    assert!(
        other.stderr.contains("another plan (connections: 64 there, 5 here)"),
        "{}",
        other.stderr
    );
    let _ = std::fs::remove_file(&file);
}

#[test]
fn where_nothing_answers_the_search_ends_at_once() {
    let begin = Instant::now();
    let ran = ringshot(&format!("search {STEPS} http://127.0.0.1:1/"));
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stdout.contains("connect/ECONNREFUSED"), "{}", ran.stdout);
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn limits_that_no_rate_keeps_are_exit_code_3() {
    let _alone = alone();
    let server = server();
    let url = format!("http://{}/delay/20", server.addr());
    let steps = "-d 500ms --warmup 100ms --from 80 --slo p50<10ms";
    let ran = ringshot(&format!("search {steps} -t 1 {url}"));
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stdout.contains("No rate keeps the limits, not even 40.0/s."), "{}", ran.stdout);
}

#[test]
fn a_search_needs_a_limit() {
    let ran = run_command(support::command("search http://127.0.0.1:1/"));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--slo 'p99<5ms'"), "{}", ran.stderr);
}
