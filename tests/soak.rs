//! The judge of `examples/soak`, in a table of everything that may drift; and a short soak, of which
//! only what is exact is judged.

#[path = "../examples/soak/main.rs"]
#[allow(dead_code)] // its own main
mod soak;

use bench_server::FaultCounts;
use clap::Parser;
use ringshot::result::Requests;
use soak::judge::{Check, Outcome, judge, parts};
use soak::watch::Sample;

/// Six minutes at 1,000 requests a second, half a minute without faults and half a minute with ten a
/// second, in turn; then some seconds in which the reports are written.
fn good() -> (Vec<Sample>, Outcome) {
    let mut samples = vec![];
    let (mut requests, mut faults) = (0, 0);
    for second in 1..=363_u64 {
        if second <= 360 {
            requests += 1_000;
            faults += if (second - 1) / 30 % 2 == 1 { 10 } else { 0 };
        }
        samples.push(Sample {
            t_s: second as f64,
            resident_bytes: 10 << 20,
            descriptors: 10 + second % 3,
            threads: 4,
            open: 50 + second % 15,
            requests,
            faults,
        });
    }
    let outcome = Outcome {
        exit_code: Some(0),
        wanted: Some(360_000),
        connections: 64,
        kept: false,
        duration_s: 360.0,
        requests: Requests {
            started: 360_000,
            ok: 358_560,
            failed: 1_440,
            in_flight: 0,
            resent: 0,
            overdue: 0,
        },
        errors: vec![
            ("receive/ECONNRESET".into(), 540),
            ("response/eof".into(), 360),
            ("response/malformed".into(), 360),
            ("response/timeout".into(), 180),
        ],
        in_flight: (1..=360_u64).map(|second| (second as f64, 50 + second % 15)).collect(),
        server_requests: 360_000,
        faults: FaultCounts::from([180; 10]),
    };
    (samples, outcome)
}

fn failed(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|check| !check.pass).map(|check| check.name).collect()
}

#[test]
fn every_drift_is_found_and_nothing_else() {
    type Change = fn(&mut Vec<Sample>, &mut Outcome);
    let cases: &[(&str, Change, &[&str])] = &[
        ("nothing", |_, _| (), &[]),
        (
            "a little memory",
            |s, _| s[100..].iter_mut().for_each(|s| s.resident_bytes += 2 << 20),
            &[],
        ),
        (
            "memory",
            |s, _| s[100..].iter_mut().for_each(|s| s.resident_bytes += (2 << 20) + 1),
            &["memory"],
        ),
        ("memory once", |s, _| s[200].resident_bytes = 1 << 30, &["memory"]),
        ("memory of the reports", |s, _| s[360].resident_bytes = 1 << 30, &[]),
        ("less memory", |s, _| s[100..].iter_mut().for_each(|s| s.resident_bytes = 1), &[]),
        (
            "descriptors",
            |s, _| s[150..].iter_mut().for_each(|s| s.descriptors += 3),
            &["descriptors"],
        ),
        (
            "fewer of them",
            |s, _| s[150..].iter_mut().for_each(|s| s.descriptors = 9),
            &["descriptors"],
        ),
        ("threads", |s, _| s[150..].iter_mut().for_each(|s| s.threads += 1), &["threads"]),
        (
            "slots",
            |_, o| o.in_flight[200..].iter_mut().for_each(|(_, n)| *n = (*n).min(62)),
            &["slots"],
        ),
        ("a slot that rests", |_, o| o.in_flight[200..].iter_mut().for_each(|(_, n)| *n -= 1), &[]),
        (
            "the rate",
            |s, _| {
                // From the last part without faults on.
                let slow = s[300].requests;
                for (after, sample) in s[300..360].iter_mut().enumerate() {
                    sample.requests = slow + 690 * after as u64;
                }
                s[360..].iter_mut().for_each(|sample| sample.requests = slow + 690 * 59);
            },
            &["rate"],
        ),
        (
            "a part with faults that is slow",
            |s, _| {
                for second in 30..60 {
                    s[second].requests = s[29].requests + 100 * (second as u64 - 29);
                }
            },
            &[],
        ),
        (
            "silence",
            |s, _| (100..106).for_each(|second| s[second].requests = s[99].requests),
            &["answered"],
        ),
        ("too few", |_, o| o.wanted = Some(360_001), &["answered"]),
        ("an exit code", |_, o| o.exit_code = Some(4), &["answered"]),
        ("killed", |_, o| o.exit_code = None, &["answered"]),
        ("the identity", |_, o| o.requests.ok += 1, &["identity", "agreement"]),
        ("the names", |_, o| o.requests.failed += 1, &["identity", "agreement"]),
        ("an unseen request", |_, o| o.server_requests -= 1, &["agreement"]),
        ("a request too many", |_, o| o.server_requests += 1, &["agreement"]),
        (
            "a fault unnoticed",
            |_, o| (o.requests.ok, o.requests.failed, o.errors[0].1) = (358_561, 1_439, 539),
            &["receive/ECONNRESET"],
        ),
        (
            "a fault noticed at the end",
            |_, o| {
                let in_flight = 1;
                o.requests = Requests { failed: 1_439, in_flight, ..o.requests };
                o.errors[3].1 = 179;
            },
            &[],
        ),
        (
            "another name",
            |_, o| {
                o.errors[1].1 -= 1;
                o.errors.push(("connect/ETIMEDOUT".into(), 1));
            },
            &["response/eof", "other"],
        ),
        (
            "a failure that was no fault",
            |_, o| (o.requests.ok, o.requests.failed, o.errors[3].1) = (358_559, 1_441, 181),
            &["response/timeout"],
        ),
        (
            "sent again on kept connections",
            |s, o| {
                o.kept = true;
                o.requests.resent = 180;
                o.server_requests += 180;
                s.iter_mut().for_each(|sample| sample.open = 64);
            },
            &[],
        ),
        (
            "kept connections lost",
            |s, o| {
                o.kept = true;
                s.iter_mut().for_each(|sample| sample.open = 64);
                s[250..].iter_mut().for_each(|sample| sample.open = 63);
            },
            &["slots"],
        ),
        ("hardly watched", |s, _| s.truncate(3), &["drift"]),
        ("not watched", |s, _| s.clear(), &["drift"]),
    ];
    for (what, change, expected) in cases {
        let (mut samples, mut outcome) = good();
        change(&mut samples, &mut outcome);
        let checks = judge(&samples, &outcome);
        assert_eq!(failed(&checks), *expected, "{what}: {checks:?}");
    }
}

#[test]
fn a_run_with_faults_all_the_time_is_compared_by_thirds() {
    let (mut samples, outcome) = good();
    for (second, sample) in samples.iter_mut().enumerate() {
        sample.faults = 10 * second as u64;
    }
    assert_eq!(failed(&judge(&samples, &outcome)), [""; 0]);
    let slow = samples[200].requests;
    for (after, sample) in samples[200..].iter_mut().enumerate() {
        sample.requests = slow + 690 * after as u64;
    }
    assert_eq!(failed(&judge(&samples, &outcome)), ["rate"]);
}

#[test]
fn parts_are_where_faults_begin_and_end() {
    let (samples, _) = good();
    let parts = parts(&samples[..90]);
    let told: Vec<_> =
        parts.iter().map(|part| (part.faulty, part.faults, part.rate_per_s)).collect();
    assert_eq!(told, [(false, 0, 1000.0), (true, 300, 1000.0), (false, 0, 1000.0)]);
}

/// Runs a soak, of which only what is exact is judged: it is short, and this box does other things.
fn adds_up(flags: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("soak.md");
    let mut words = vec!["soak", "--requests", "1500", "-c", "24", "--ringshot"];
    words.extend([env!("CARGO_BIN_EXE_ringshot"), "--report", output.to_str().expect("UTF-8")]);
    words.extend(flags.split(' '));
    let args = soak::Args::try_parse_from(&words).unwrap_or_else(|error| panic!("{error}"));
    let checks = soak::run(&args).expect("a run");
    let noisy = ["drift", "memory", "descriptors", "threads", "slots", "rate"];
    let wrong: Vec<_> =
        checks.iter().filter(|check| !check.pass && !noisy.contains(&check.name)).collect();
    assert!(wrong.is_empty(), "{flags}: {wrong:?}");
    let page = std::fs::read_to_string(&output).expect("a report");
    assert!(page.contains("| `identity` | pass | 1500 started = "), "{page}");
    // All kinds of faults were met.
    assert!(!page.contains("` | 0 | "), "{page}");
    assert!(page.contains("[soak.run.md](soak.run.md)"), "{page}");
    assert!(output.with_extension("run.md").exists());
}

#[test]
fn a_short_soak_adds_up() {
    adds_up("--switch 0s --faults 4");
}

#[test]
fn a_short_soak_of_kept_connections_adds_up() {
    adds_up("--switch 0s --faults 4 --keepalive");
}
