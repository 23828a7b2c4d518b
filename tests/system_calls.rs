//! One `io_uring_enter` per turn and no other system call per connection, counted by strace.

mod support;

use std::process::Command;
use support::{eventually, run_command, server};

/// System calls that a run of 200 and one of 4200 connections may differ by, beside the ring's own:
/// waiting threads, memory, the collector's wake-ups.
const OTHERS_MAX: u64 = 400;

#[test]
fn a_connection_costs_no_system_call_of_its_own() {
    if Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("skipped: strace is not installed");
    }
    let (few, _) = count(200);
    let (many, enters) = count(4200);
    let more = many.saturating_sub(few);
    assert!(more < OTHERS_MAX, "4000 more connections cost {more} more system calls");
    assert!(enters > 0 && enters < 4200 * 3, "{enters} io_uring_enter for 4200 connections");
}

/// All system calls of a run of the program but `io_uring_enter`, and those.
fn count(requests: u64) -> (u64, u64) {
    let server = server();
    let summary = std::env::temp_dir().join(format!("ringshot-strace-{}", std::process::id()));
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(&summary).arg(env!("CARGO_BIN_EXE_ringshot"));
    command.arg(format!("http://{}/", server.addr()));
    command.args(["-c", "32", "-t", "1", "-n", &requests.to_string()]);
    let ran = run_command(command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    eventually("all are accepted", || server.stats().connections == requests);
    let table = std::fs::read_to_string(&summary).expect("strace's table");
    let _ = std::fs::remove_file(&summary);
    let (mut others, mut enters) = (0, 0);
    // % time, seconds, usecs/call, calls, [errors], syscall
    for line in table.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(calls)) = (columns.last(), columns.get(3)) else { continue };
        match (calls.parse::<u64>(), *name) {
            (Ok(calls), "io_uring_enter") => enters += calls,
            (Ok(calls), name) if name != "total" => others += calls,
            _ => {}
        }
    }
    (others, enters)
}
