//! What a connection costs in system calls, counted by strace: over the ring one `io_uring_enter` per
//! turn and no other, over epoll one for each thing that has to be done.

mod support;

use std::process::Command;
use support::{eventually, run_command, server};

/// System calls of the worker's thread that a run of 200 and one of 4200 connections may differ by,
/// beside the ring's own: memory, and now and then a lock. One call more for each connection would be
/// 4000.
const OTHERS_MAX: u64 = 200;

/// Over epoll: socket, one option, connect, epoll_ctl, send, receive, the end of the stream, close,
/// before which a debug build asks fcntl(2); and now and then a receive that comes too early.
const CALLS_OF_EPOLL_MAX: u64 = 11;

#[test]
fn a_connection_costs_no_system_call_of_its_own() {
    let flags = "--engine io_uring";
    let Some(((few, _), (many, enters))) = count(flags, 200).zip(count(flags, 4200)) else {
        return;
    };
    let more = many.saturating_sub(few);
    assert!(more < OTHERS_MAX, "4000 more connections cost {more} more system calls");
    assert!(enters > 0 && enters < 4200 * 3, "{enters} io_uring_enter for 4200 connections");
}

#[test]
fn over_epoll_a_connection_costs_one_call_for_each_thing_to_do() {
    let flags = "--engine epoll";
    let Some(((few, _), (many, waits))) = count(flags, 200).zip(count(flags, 4200)) else { return };
    let more = many.saturating_sub(few);
    assert!(more < 4000 * CALLS_OF_EPOLL_MAX + OTHERS_MAX, "4000 connections cost {more} calls");
    assert!(waits > 0 && waits < 4200 * 3, "{waits} waits for 4200 connections");
}

/// All system calls of a run's worker thread but those that wait for the kernel, and those; `None`
/// without strace. (What the thread beside it reads of the box depends on how long the run takes.)
fn count(flags: &str, requests: u64) -> Option<(u64, u64)> {
    if Command::new("strace").arg("-V").output().is_err() {
        support::netns::skip("strace is not installed");
        return None;
    }
    let server = server();
    let logs = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("strace");
    command.args(["-ff", "-o"]).arg(logs.path().join("thread"));
    command.arg(env!("CARGO_BIN_EXE_ringshot")).arg(format!("http://{}/", server.addr()));
    command.args(["-c", "32", "-t", "1", "-n", &requests.to_string()]).args(flags.split(' '));
    let ran = run_command(command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    eventually("all are accepted", || server.stats().connections == requests);
    let of_thread = |entry: std::io::Result<std::fs::DirEntry>| {
        let log = std::fs::read_to_string(entry.expect("an entry").path()).expect("a log");
        let is_wait = |line: &&str| {
            ["io_uring_enter(", "epoll_pwait2("].iter().any(|name| line.starts_with(name))
        };
        let (waits, others): (Vec<&str>, Vec<&str>) = log.lines().partition(is_wait);
        (others.len() as u64, waits.len() as u64)
    };
    let threads = std::fs::read_dir(logs.path()).expect("logs").map(of_thread);
    threads.max_by_key(|&(_, waits)| waits)
}
