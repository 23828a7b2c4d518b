//! Which engine a run goes over, and what is said where the ring cannot be had: a filter of system
//! calls answers `io_uring_setup` as kernels and containers do.

mod support;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;
use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use support::{Ran, assert_consistent, command, findings, run_command, server};

/// Runs the program where `io_uring_setup` fails with `errno`.
fn without_ring(errno: i32, command: Command) -> Ran {
    let rules = BTreeMap::from([(libc::SYS_io_uring_setup, vec![])]);
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        answer,
        ARCH.try_into().expect("an architecture with seccomp"),
    );
    let filter: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    // A filter holds for the thread that set it, and for its children.
    let run = std::thread::spawn(move || {
        seccompiler::apply_filter(&filter).expect("no_new_privs is enough");
        run_command(command)
    });
    run.join().expect("the program ran")
}

/// What each answer means, and what helps.
const REASONS: [(i32, &str, &str); 3] = [
    (libc::EPERM, "a seccomp filter forbids it", "seccomp=unconfined"),
    (libc::ENOSYS, "a seccomp filter", "seccomp=unconfined"),
    (libc::ENOMEM, "not enough memory", "more memory"),
];

#[test]
fn auto_falls_back_to_epoll_aloud() {
    let server = server();
    for (errno, reason, cure) in REASONS {
        let ran = without_ring(
            errno,
            command(&format!("http://{}/ -c 8 -n 500 --engine auto --json -", server.addr())),
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let said = words(&ran.stderr);
        assert!(said.contains("io_uring cannot be used") && said.contains("epoll"), "{said}");
        assert!(said.contains(reason) && said.contains(cure), "{said}");
        let document = ran.document();
        assert_consistent(&document);
        assert_eq!(document["engine"], "epoll");
        assert_eq!(document["ring_tier"], Value::Null);
        assert_eq!(document["requests"]["ok"], 500);
        assert_eq!(findings(&document), ["io_uring_unavailable"]);
        let all = document["kernel"]["findings"].as_array().expect("findings");
        let finding = all.iter().find(|finding| finding["id"] == "io_uring_unavailable");
        let finding = finding.expect("it is there");
        assert!(finding["text"].as_str().expect("a text").contains(reason), "{finding}");
        assert!(finding["cure"].as_str().expect("a cure").contains(cure), "{finding}");
    }
}

#[test]
fn asked_for_the_ring_it_does_not_run_without() {
    for (errno, reason, cure) in REASONS {
        let ran = without_ring(errno, command("http://127.0.0.1:9/ -n 1 --engine io_uring"));
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let said = words(&ran.stderr);
        assert!(said.contains(reason) && said.contains(cure), "{said}");
        assert!(said.contains("--engine epoll"), "{said}");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn asked_for_epoll_it_says_nothing_of_the_ring() {
    let server = server();
    let plan = format!("http://{}/ -c 8 -n 500 --engine epoll --json -", server.addr());
    let ran = without_ring(libc::EPERM, command(&plan));
    assert_eq!((ran.code, ran.stderr.contains("io_uring")), (Some(0), false), "{}", ran.stderr);
    assert_eq!(findings(&ran.document()), [""; 0]);
}

#[test]
fn the_doctor_says_what_a_plan_would_go_over() {
    let verdict = |flags: &str| {
        let ran = without_ring(libc::EPERM, command(&format!("doctor {flags} --json -")));
        let checks = ran.document()["checks"].clone();
        let engine = checks
            .as_array()
            .and_then(|checks| checks.iter().find(|check| check["knob"] == "engine").cloned());
        engine.unwrap_or_else(|| panic!("no engine in {checks}"))["verdict"].clone()
    };
    assert_eq!(verdict("--engine auto"), "limits");
    assert_eq!(verdict("--engine io_uring"), "prevents");
    assert_eq!(verdict("--engine epoll"), "fits");
}

#[test]
fn a_comparison_says_what_it_compares() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let tool = directory.path().join("wrk");
    std::fs::write(&tool, "#!/bin/sh\nexit 1\n").expect("a script");
    std::fs::set_permissions(&tool, Permissions::from_mode(0o755)).expect("a program");
    let compare = |flags: &str| {
        let url = format!("http://{}/", server.addr());
        let plan = format!("compare {url} --with wrk --rounds 1 -d 1s -c 4 {flags} --json -");
        let mut compare = command(&plan);
        compare.env("PATH", directory.path());
        without_ring(libc::EPERM, compare)
    };
    let ran = compare("--engine auto");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    assert_eq!(
        (&document["plan"]["engine"], &document["plan"]["ring_tier"]),
        (&"epoll".into(), &Value::Null)
    );
    assert_eq!(document["tools"][0]["rounds"][0]["errors"], 0);
    let notes = document["notes"].to_string();
    assert!(notes.contains("epoll") && notes.contains("seccomp=unconfined"), "{notes}");
    let ran = compare("--engine io_uring");
    assert_eq!((ran.code, ran.stdout), (Some(1), String::new()), "{}", ran.stderr);
    assert!(words(&ran.stderr).contains("a seccomp filter forbids it"), "{}", ran.stderr);
}

#[test]
fn a_word_that_names_no_engine_is_refused() {
    let ran = support::ringshot("--engine kqueue");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("auto, io_uring or epoll"), "{}", ran.stderr);
}

/// A text without the line breaks that its width has made.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
