//! The page as a whole: key lines, not every character.

use super::*;
use crate::result::{Report, sample};

fn page(report: &Report, style: Style) -> String {
    let mut out = Vec::new();
    summary(report, &mut out, style).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn assert_lines(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|printed| printed == *line), "no line {line:?} in\n{page}");
    }
}

#[test]
fn a_clean_run_is_read_at_a_glance() {
    let page = page(&sample::clean(), Style::PLAIN);
    assert_lines(
        &page,
        &[
            "GET http://127.0.0.1:8080/ (at 127.0.0.1:8080)",
            "  64 connections, a new one for every request, the server closes",
            "  2 threads on CPUs 0,1, io_uring (direct), for 10 s",
            "  requests     23,449 /s   234,500 ok, 0 failed, 64 in flight",
            "  connections  23,455 /s   234,564 opened, 0 failed, TIME_WAIT on the server",
            "  generator    40.2 µs CPU per request, busiest thread 47% busy",
            "  latency          p50      p90      p99    p99.9      max     mean    stdev",
            "  connect        61 µs    79 µs   128 µs   244 µs   793 µs  65.3 µs  13.5 µs",
            "  total        1.29 ms  1.68 ms  2.71 ms  5.16 ms  16.8 ms  1.38 ms   286 µs",
            "  connect      open to established",
            "  status       200: 234,500",
        ],
    );
    for absent in ["Errors", "Findings", "Interrupted", "saturated", "uncorrected", "\x1b"] {
        assert!(!page.contains(absent), "{absent:?} in\n{page}");
    }
    assert!(
        page.ends_with("\n\nRequests/sec:  23449.06\nTransfer/sec:      2.84MB\n"),
        "as wrk:\n{page}"
    );
}

#[test]
fn trouble_is_said_with_its_cure() {
    let page = page(&sample::troubled(), Style::PLAIN);
    assert_lines(
        &page,
        &[
            "Interrupted after 3.21 s: the numbers are of that time.",
            r"GET http://127.0.0.1:8080/\x1b[2J\u{202e} (at 127.0.0.1:8080)",
            "  requests     23,449 /s   87,600 ok, 12,345 failed (12%), 55 in flight",
            "  generator    40.2 µs CPU per request, busiest thread 97% busy: saturated",
            "  status       200: 87,600   404: 20   503: 325",
            "Errors",
            "  connect/EADDRNOTAVAIL  12,000 requests, from 1.2 s to 3.2 s",
            "    no source port is free for this target: --close server or rst, more source",
            "    addresses",
            "  verify/status  345 requests, at 0.5 s",
            "Findings",
            "  error    on 3 connections the server sent bytes that no request had asked for;",
            "           those connections were dropped.",
            "  warning  ringshot itself was the limit: a worker thread was busy 97% of the",
            "           → more threads: -t 4 (on CPUs that the server does not use)",
            "  info     the server closed 7.",
        ],
    );
    let order = ["Interrupted", "requests ", "latency ", "status ", "Errors", "Findings"];
    let at: Vec<_> = order.iter().map(|word| page.find(word)).collect();
    assert!(at.is_sorted() && at[0].is_some(), "{at:?}\n{page}");
}

#[test]
fn every_width_is_kept_and_colour_changes_no_letter() {
    for report in [sample::clean(), sample::troubled()] {
        for width in [64, 80, 100] {
            let plain = page(&report, Style { colour: false, width });
            for line in plain.lines() {
                assert!(line.chars().count() <= width, "{line:?} in {width}");
            }
            let coloured = page(&report, Style { colour: true, width });
            assert!(coloured.contains("\x1b[1m"));
            assert_eq!(uncoloured(&coloured), plain);
        }
    }
}

#[test]
fn what_a_server_or_user_wrote_cannot_steer_the_terminal() {
    const EVIL: &str = "\x1b]0;x\x07\u{9b}31m\u{202e}\r\n";
    let mut report = sample::troubled();
    report.target.url = EVIL.into();
    report.target.address = EVIL.into();
    report.plan.method = EVIL.into();
    report.errors[0].kind = EVIL.into();
    report.errors[0].advice = EVIL.into();
    report.errors[0].detail = Some(EVIL.into());
    report.kernel.findings[0].text = EVIL.into();
    report.kernel.findings[0].cure = EVIL.into();
    let page = page(&report, Style::PLAIN);
    assert!(!page.chars().any(|c| c != '\n' && crate::words::text::steers(c)), "{page:?}");
    assert!(page.contains(r"\x1b]0;x\x07"));
}

#[test]
fn a_long_url_is_cut_and_its_address_gets_a_line() {
    let mut report = sample::clean();
    report.target.url = format!("http://example.org/{}", "a".repeat(4000));
    report.target.bundled = true;
    let page = page(&report, Style::PLAIN);
    let mut lines = page.lines();
    let first = lines.next().unwrap();
    assert!(first.chars().count() == 80 && first.ends_with('…'), "{first}");
    assert_eq!(lines.next(), Some("  (the bundled server at 127.0.0.1:8080)"));
}

#[test]
fn a_run_without_time_or_requests_divides_by_nothing() {
    let mut report = sample::clean();
    report.duration_s = 0.0;
    report.requests = Default::default();
    report.rate = Default::default();
    report.generator.cpu_us_per_request = None;
    let page = page(&report, Style::PLAIN);
    assert!(page.contains("no request ended"));
    assert!(page.ends_with("Requests/sec:         -\nTransfer/sec:           -\n"), "{page}");
}

/// Without the sequences that `Style::paint` adds.
fn uncoloured(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').map_or("", |(_, rest)| rest))
}
