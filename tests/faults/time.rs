//! Time itself: the program is stopped for a while, or somebody sets the clock.

use super::support::hostile::Hostile;
use super::support::netns::skip;
use super::support::{Running, command, errors, on_every_engine};
use super::{BROKEN, LATE, interlude, number};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

const STOPPED: Duration = Duration::from_millis(600);

/// Waits until a run has come far enough to be stopped.
type UnderWay = fn(&Hostile);

/// Runs against a server that does no wrong, and is stopped once it has come so far.
fn stopped(flags: &str, is_under_way: UnderWay) -> Value {
    let server = Hostile::harmless();
    let run = Running::start(command(&format!("{} -c 4 -t 1 {flags} --json -", server.url())));
    is_under_way(&server);
    run.signal("STOP");
    std::thread::sleep(STOPPED);
    run.signal("CONT");
    let ran = run.finish();
    assert_eq!(ran.code, Some(0), "{flags}: {}", ran.stderr);
    let document = ran.sane_document();
    assert_eq!(errors(&document), [], "{flags}");
    document
}

/// What came due while the program was stopped is started after it, and its waiting is in `total`.
#[test]
fn stopped_in_an_open_loop() {
    on_every_engine(|engine| {
        let document = stopped(&format!("-R 200 -n 300 {engine}"), |server| server.wait_for(20));
        assert_eq!(document["requests"]["ok"], 300);
        assert_eq!(document["schedule"]["due"], 300);
        // 120 of 300 came due in these 600 ms: a third of all waited for more than 100 ms of it.
        let total_us = number(&document, "/latency/total/p75_us");
        let uncorrected_us = number(&document, "/latency/uncorrected/p75_us");
        assert!(total_us > 100_000, "{engine}: {total_us} us");
        assert!(uncorrected_us < total_us, "{engine}: {uncorrected_us} of {total_us} us");
        assert!(number(&document, "/latency/total/max_us") > 500_000, "{engine}");
    });
}

/// A closed loop ends when its time is over, by a clock that goes on meanwhile; at once when that was
/// while it was stopped.
#[test]
fn stopped_in_a_closed_loop() {
    on_every_engine(|engine| {
        // Of kept connections each has a request by then, whose answer is there after the stop.
        let under_way: [(&str, UnderWay); 2] =
            [("", |server| server.wait_for(20)), ("-k", |server| server.call_roll(4))];
        for (flags, is_under_way) in under_way {
            for (duration, least_s) in [("1500ms", 1.5), ("300ms", 0.3)] {
                let begin = Instant::now();
                let flags = format!("--think 10ms -d {duration} {flags} {engine}");
                let document = stopped(&flags, is_under_way);
                let duration_s = document["duration_s"].as_f64().expect("a duration");
                assert!(duration_s >= least_s, "{flags}: {duration_s}");
                assert!(duration_s <= begin.elapsed().as_secs_f64(), "{flags}: {duration_s}");
                // The time that it was stopped for does not come on top.
                assert!(duration_s < 1.5 + STOPPED.as_secs_f64(), "{flags}: {duration_s}");
                assert!(number(&document, "/requests/ok") > 0, "{flags}");
            }
        }
    });
}

/// Far enough from now to be known again.
const TEN_YEARS_S: i64 = 10 * 365 * 86_400;
const TEN_HOURS_S: i64 = 36_000;

/// Somebody sets the clock in the run, forwards and then back: it tells when a run began, and
/// nothing else.
#[test]
fn a_clock_that_is_set() {
    let directory = tempfile::tempdir().expect("a directory");
    let library = directory.path().join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock.c");
    let compiler =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    match compiler {
        Ok(status) => assert!(status.success(), "{source}"),
        Err(error) => return skip(&format!("cc: {error}")),
    }
    on_every_engine(|engine| {
        let step = directory.path().join(engine.replace(' ', "_"));
        let set = |seconds: i64| {
            // Replaced as a whole: never to be read half written.
            let new = step.with_extension("new");
            fs::write(&new, seconds.to_string())
                .and_then(|()| fs::rename(&new, &step))
                .expect("set");
        };
        set(TEN_YEARS_S);
        let server = Hostile::harmless();
        let mut command = command(&format!("{} {engine}", server.url()));
        command.env("LD_PRELOAD", &library).env("CLOCK_STEP", &step);
        let (begin, began_at) = (Instant::now(), SystemTime::now());
        let document = interlude(
            &server,
            LATE,
            command,
            |_| set(TEN_YEARS_S + TEN_HOURS_S),
            |_| set(TEN_YEARS_S - TEN_HOURS_S),
        );
        let longest = begin.elapsed();
        assert_eq!(errors(&document), [], "{engine}");
        let begun_at = document["begun_at"].as_str().expect("a time");
        let begun_at = humantime::parse_rfc3339(begun_at).expect("a time");
        let expected = began_at + Duration::from_secs(TEN_YEARS_S as u64);
        // To the millisecond.
        let early = expected.duration_since(begun_at).unwrap_or_default();
        let late = begun_at.duration_since(expected).unwrap_or_default();
        assert!(early < Duration::from_millis(2) && late < longest, "{engine}: {begun_at:?}");

        let duration_s = document["duration_s"].as_f64().expect("a duration");
        assert!(duration_s > BROKEN.as_secs_f64(), "{engine}: {duration_s}");
        assert!(duration_s < longest.as_secs_f64(), "{engine}: {duration_s}");
        assert!(number(&document, "/latency/total/max_us") < longest.as_micros() as u64);
        let rows = document["series"].as_array().expect("rows");
        let times: Vec<f64> = rows.iter().map(|row| row["t_s"].as_f64().expect("a time")).collect();
        assert!(times.is_sorted() && times.iter().all(|&t_s| t_s <= duration_s), "{times:?}");
    });
}
