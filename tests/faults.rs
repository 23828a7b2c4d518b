//! The program against a hostile server and a hostile kernel, over every engine: each case with the
//! exact errors that it has to end in.
//!
//! | module | what is wrong |
//! |---|---|
//! | `breaks` | the connection ends or falls silent, at every phase of a request |
//! | `kept` | a kept connection ends with answers owed: which requests are sent again |
//! | `answers` | the connection holds, and the bytes are wrong |
//! | `network` | packets are rejected or lost, there is no way, no room or no address |
//! | `resources` | what the program needs is taken away in the run and given back |
//! | `time` | the program is stopped, or its clock is set |
//!
//! In every case the program neither panics nor hangs, its document is consistent, its memory stays
//! within a bound, and no slot is lost: in the end the server sees as many connections at one time
//! as there are slots (see `support::hostile`).

#[path = "faults/answers.rs"]
mod answers;
#[path = "faults/breaks.rs"]
mod breaks;
#[path = "faults/kept.rs"]
mod kept;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/resources.rs"]
mod resources;
mod support;
#[path = "faults/time.rs"]
mod time;

use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use support::hostile::{Act, Habits, Hostile};
use support::{Running, all_findings, errors, on_every_engine, ringshot};

/// Connections at a time, at least.
const SLOTS_MIN: usize = 4;

/// What a faulty connection costs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// Nothing, and these findings are made.
    Nothing(&'static [&'static str]),
    /// So many failures of this name.
    Each(u64, &'static str),
    /// One failure, whose name depends on who is faster.
    OneOf(&'static [&'static str]),
}

/// A server that does one thing wrong.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    flags: &'static str,
    script: &'static [Act],
    loss: Loss,
}

/// Any of these when a reset races the request.
const RESET: &[&str] =
    &["connect/ECONNRESET", "send/ECONNRESET", "send/EPIPE", "receive/ECONNRESET"];

/// Runs the cases over each engine. Neighbours with the same flags and the same loss share a run,
/// as what they do wrong differs and what follows from it does not. When a run is not as expected,
/// each of them has to say for itself.
fn assert_cases(cases: &[Case], timeout: &str) {
    on_every_engine(|engine| {
        let flags = format!("--timeout {timeout} {engine}");
        let alike = |one: &Case, other: &Case| (one.flags, one.loss) == (other.flags, other.loss);
        for group in cases.chunk_by(alike) {
            let assertion = std::panic::AssertUnwindSafe(|| assert_group(group, &flags));
            if let Err(panic) = std::panic::catch_unwind(assertion) {
                group.iter().for_each(|case| assert_group(std::slice::from_ref(case), &flags));
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// One run, in which each slot meets two faulty connections before the good ones come.
fn assert_group(group: &[Case], flags: &str) {
    let Case { loss, flags: own_flags, .. } = group[0];
    let names: Vec<&str> = group.iter().map(|case| case.name).collect();
    let slots = group.len() * SLOTS_MIN.div_ceil(group.len());
    let faulty = 2 * slots;
    let scripts = group.iter().map(|case| case.script).collect();
    let server = Hostile::start(Habits { scripts, faulty, slots });
    // Up to two batches on each faulty connection, and as many on good ones.
    let pipeline = if own_flags.contains("-p 4") { 4 } else { 1 };
    let requests = 6 * slots * pipeline;
    let flags = format!("-c {slots} -t 1 -n {requests} {own_flags} {flags}");
    let ran = ringshot(&format!("{} {flags} --json -", server.url()));
    let what = format!("{names:?}: {flags}: {}", ran.stderr);
    assert_eq!(ran.code, Some(0), "{what}");
    let document = ran.sane_document();
    assert_eq!(document["requests"]["started"], requests, "{what}");
    assert_eq!(document["requests"]["in_flight"], 0, "{what}");
    let attempts =
        ["opened", "failed"].map(|key| number(&document, &format!("/connections/{key}")));
    assert_eq!(attempts.iter().sum::<u64>(), server.accepted() as u64, "{what}");
    let errors = errors(&document);
    match loss {
        Loss::Nothing(expected) => {
            assert_eq!(errors, [], "{what}");
            // Of the server's doing: the others say what the whole box did meanwhile, and it may have
            // kept a server from closing in time.
            let mut ids = all_findings(&document);
            ids.retain(|id| {
                let is_late = id == "server_ignores_close" && !expected.contains(&id.as_str());
                (id.starts_with("server_") || id == "surplus_bytes") && !is_late
            });
            assert_eq!(ids, expected, "{what}");
        }
        Loss::Each(count, error) => {
            assert_eq!(errors, [(error.to_owned(), count * faulty as u64)], "{what}");
        }
        Loss::OneOf(names) => {
            assert_eq!(document["requests"]["failed"], faulty, "{what}");
            let known = |error: &(String, u64)| names.contains(&error.0.as_str());
            assert!(errors.iter().all(known), "{what}");
        }
    }
}

/// For what loses requests on their way: until they are given up, their slots are not free.
const SOON: &str = "300ms";

/// For what is told at once: a machine that stands still for a while is no fault.
const LATE: &str = "10s";

/// A run in an open loop that is broken and mended on its way, and then goes on until the server
/// sees all slots again.
fn interlude(
    server: &Hostile,
    timeout: &str,
    mut command: Command,
    break_it: impl FnOnce(&Running),
    mend_it: impl FnOnce(&Running),
) -> Value {
    let plan = format!("-c {SLOTS_MIN} -t 1 -R 200 -d 60s --timeout {timeout} --json -");
    let run = Running::start({
        command.args(plan.split_whitespace());
        command
    });
    server.wait_for_more(20);
    break_it(&run);
    std::thread::sleep(BROKEN);
    mend_it(&run);
    server.wait_for_more(20);
    server.call_roll(SLOTS_MIN);
    run.signal("INT");
    let ran = run.finish();
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    ran.sane_document()
}

/// For how long something is broken: longer than what was under way then can take.
const BROKEN: Duration = Duration::from_millis(600);

/// There are failures of the first name, and none of a name that is not here.
fn assert_errors(document: &Value, names: &[&str]) {
    let errors = errors(document);
    let known = |(name, _): &(String, u64)| names.contains(&name.as_str());
    assert!(errors.iter().all(known), "{errors:?} beside {names:?}");
    assert!(errors.iter().any(|(name, _)| name == names[0]), "{errors:?} without {}", names[0]);
}

/// A number of the document.
fn number(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer}"))
}
