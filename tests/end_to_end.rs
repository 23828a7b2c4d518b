//! The program against the bundled server: counts that equal the server's own, on every tier.

mod support;

use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use support::{ENGINES, errors, eventually, findings, measure, ringshot, server, went_over};

over_both_engines! {
    a_status_outside_200_to_399_fails_verification_and_is_still_timed,
    a_delay_is_measured_as_it_is,
    a_connection_header_that_asks_nobody_to_close_leaves_closing_to_the_client,
    the_time_ends_a_run_at_once,
    without_a_url_the_bundled_server_is_measured,
    every_address_of_a_name_is_a_candidate,
    more_connections_than_descriptors_are_refused_with_the_numbers,
    a_signal_ends_the_run_with_a_report,
}

#[test]
fn counts_equal_the_servers_own_in_every_mode_over_every_engine() {
    // The last connection of a slot need not be used up: up to 15 more than the quotient. Requests go to
    // the thread that asks for them, so the slots of one that is late need none.
    let modes = [
        ("", 1000..=1000, "server"),
        ("--close client", 1000..=1000, "client"),
        ("--close rst", 1000..=1000, "nobody"),
        ("-k", 1..=16, "client"),
        ("-r 7", 143..=158, "server"),
        ("-r 7 --close rst", 143..=158, "nobody"),
        ("-p 1", 1..=16, "client"),
        ("-p 8", 1..=16, "client"),
        ("-r 16 -p 8", 63..=78, "server"),
    ];
    for engine in ENGINES {
        for (flags, connections, owner) in modes.clone() {
            let server = server();
            let url = format!("http://{}/", server.addr());
            let flags = format!("{url} -c 16 -t 2 -n 1000 {engine} {flags}");
            let document = measure(&flags);
            if !went_over(engine, &document) {
                break;
            }
            let count = |pointer: &str| document.pointer(pointer).and_then(Value::as_u64);
            assert_eq!(count("/requests/ok"), Some(1000), "{flags}: {:?}", errors(&document));
            assert_eq!(count("/requests/started"), Some(1000), "{flags}");
            let opened = count("/connections/opened").expect("a count");
            assert!(connections.contains(&opened), "{flags}: {opened} connections");
            assert_eq!(document["connections"]["time_wait_owner"], owner, "{flags}");
            assert_eq!(document["status"]["200"], 1000, "{flags}");
            assert_eq!(findings(&document), [""; 0], "{flags}");
            let stats = server.stats();
            assert_eq!(stats.connections, opened, "{flags}");
            assert_eq!(stats.requests, 1000, "{flags}");
            assert_eq!(Some(stats.bytes_in), count("/bytes/written"), "{flags}");
            assert_eq!(Some(stats.bytes_out), count("/bytes/read"), "{flags}");
        }
    }
}

#[test]
fn bodies_of_every_kind_and_size_are_whole() {
    for engine in ENGINES {
        let server = server();
        let cases = [
            ("/bytes/0", "-k"),
            ("/bytes/5000000", "-k"),
            ("/bytes/100000", "-p 4"),
            ("/chunked/300000", "-k"),
            ("/chunked/10", "-p 4"),
            ("/bytes/70000", ""),
            ("/close", "-k"),
            ("/", "-m HEAD -k"),
            ("/bytes/1000", "-m HEAD -p 4"),
            ("/status/204", "-k"),
            ("/status/304", "-k"),
            ("/echo", "-k -b hello"),
        ];
        for (path, flags) in cases {
            let url = format!("http://{}{path}", server.addr());
            let requests = if path == "/bytes/5000000" { 4 } else { 16 };
            let document = measure(&format!("{url} -c 4 -t 1 -n {requests} {engine} {flags}"));
            let ok = document.pointer("/requests/ok").and_then(Value::as_u64);
            assert_eq!(ok, Some(requests), "{path} {flags} {engine}: {:?}", errors(&document));
            assert_eq!(findings(&document), [""; 0], "{path} {flags}");
        }
    }
}

#[test]
fn a_large_request_body_arrives_whole() {
    let body = vec![b'x'; 3_000_000];
    let path = std::env::temp_dir().join(format!("ringshot-body-{}", std::process::id()));
    std::fs::write(&path, &body).expect("a file");
    for engine in ENGINES {
        let server = server();
        let url = format!("http://{}/echo", server.addr());
        let file = path.display();
        let document = measure(&format!("{url} -c 2 -t 1 -n 6 {engine} --body-file {file}"));
        assert_eq!(document["requests"]["ok"], 6, "{:?}", errors(&document));
        assert!(document.pointer("/bytes/read").and_then(Value::as_u64) > Some(6 * 3_000_000));
    }
    std::fs::remove_file(&path).expect("removed");
}

fn a_status_outside_200_to_399_fails_verification_and_is_still_timed(engine: &str) {
    let server = server();
    let url = format!("http://{}/status/503", server.addr());
    let ran = ringshot(&format!("{url} -n 20 -c 2 --json - {engine}"));
    assert_eq!(ran.code, Some(4), "nothing succeeded");
    let document = ran.document();
    assert_eq!(errors(&document), [("verify/status".to_owned(), 20)]);
    assert_eq!(document["status"]["503"], 20);
    assert_eq!(document["latency"]["service"]["count"], 20);
}

fn a_delay_is_measured_as_it_is(engine: &str) {
    let server = server();
    let url = format!("http://{}/delay/20", server.addr());
    let document = measure(&format!("{url} -c 4 -t 1 -n 100 {engine}"));
    let service = |key: &str| document["latency"]["service"][key].as_u64().expect("a latency");
    // How close the median comes is measured by hand (see docs/measurements.md); this machine may be busy.
    assert!((20_000..40_000).contains(&service("min_us")), "{}", service("min_us"));
}

fn a_connection_header_that_asks_nobody_to_close_leaves_closing_to_the_client(engine: &str) {
    let header = "--header=Connection:Keep-Alive,Upgrade";
    let close = "--header=Connection:keep-alive,Close";
    let cases = [
        ("", header, "client", true),
        ("-r 5", header, "client", true),
        ("", close, "server", false),
        ("-k", header, "client", false),
        ("--close rst", header, "nobody", false),
    ];
    for (flags, header, owner, said) in cases {
        let server = server();
        let url = format!("http://{}/", server.addr());
        let ran = ringshot(&format!("{url} -c 4 -t 1 -n 100 {flags} {header} {engine} --json -"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let document = ran.document();
        assert_eq!(document["requests"]["ok"], 100, "{flags}: {:?}", errors(&document));
        assert_eq!(document["connections"]["time_wait_owner"], owner, "{flags}");
        // Nobody waits for a server that was not asked.
        let ignored = support::all_findings(&document).contains(&"server_ignores_close".to_owned());
        assert!(!ignored || owner == "server", "{flags}: {}", ran.stderr);
        assert_eq!(ran.stderr.contains("the Connection header"), said, "{}", ran.stderr);
    }
}

fn the_time_ends_a_run_at_once(engine: &str) {
    let server = server();
    let url = format!("http://{}/delay/10000", server.addr());
    let ran = ringshot(&format!("{url} -c 4 -d 300ms --json - {engine}"));
    assert_eq!(ran.code, Some(4), "nothing succeeded");
    let document = ran.document();
    support::assert_consistent(&document);
    assert_eq!(document["requests"]["in_flight"], 4);
    let duration_s = document["duration_s"].as_f64().expect("a number");
    // An answer would take 10 s.
    assert!((0.3..5.0).contains(&duration_s), "{duration_s}");
}

fn without_a_url_the_bundled_server_is_measured(engine: &str) {
    let ran = ringshot(&format!("-d 500ms -c 8 {engine}"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("bundled server"), "{}", ran.stderr);
    for line in ["Requests/sec:", "Transfer/sec:"] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
}

fn every_address_of_a_name_is_a_candidate(engine: &str) {
    // localhost is ::1 first on most machines, and the server is only on 127.0.0.1.
    let server = server();
    let url = format!("http://localhost:{}/", server.addr().port());
    let document = measure(&format!("{url} -c 8 -n 200 {engine}"));
    assert_eq!(document["requests"]["ok"], 200, "{:?}", errors(&document));
    assert_eq!(document["target"]["address"], server.addr().to_string());
    assert_eq!(document["connections"]["opened"], 200);
    // With several addresses one connection before the run says that this one accepts.
    let addresses = document["target"]["addresses"].as_array().expect("addresses");
    assert_eq!(server.stats().connections, 200 + u64::from(addresses.len() > 1));
}

#[test]
fn ipv6_works() {
    let listen = "[::1]:0".parse().expect("an address");
    let config = bench_server::Config { listen, threads: 1, ..Default::default() };
    let server = match bench_server::Server::start(config) {
        Ok(server) => server,
        Err(error) => return eprintln!("skipped: no IPv6 here: {error}"),
    };
    for engine in ENGINES {
        let url = format!("http://{}/", server.addr());
        let document = measure(&format!("{url} -c 4 -n 100 {engine}"));
        assert_eq!(document["requests"]["ok"], 100);
    }
}

#[test]
fn a_password_is_sent_and_never_shown() {
    let server = server();
    let url = format!("http://user:hunter2@{}/", server.addr());
    let ran = ringshot(&format!("{url} -n 10 --json -"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"));
    // The header makes the requests longer than they are without.
    let plain = measure(&format!("http://{}/ -n 10", server.addr()));
    let written = |document: &Value| document["bytes"]["written"].as_u64().expect("a count");
    assert_eq!(written(&ran.document()) - written(&plain), 10 * 39);
}

fn more_connections_than_descriptors_are_refused_with_the_numbers(engine: &str) {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_ringshot");
    let plan = format!("http://127.0.0.1:9/ -c 200 -t 1 {engine}");
    command.args(["-c", &format!("ulimit -n 100; exec {program} {plan}")]);
    let ran = support::run_command(command);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    // Direct descriptors, which not every ring has, count in their own table; each of the others
    // has a number, and so has the ring or the epoll instance.
    let direct = engine.contains("io_uring") && ran.stderr.contains("need 200");
    let needed = direct || ran.stderr.contains("need 233");
    assert!(needed && ran.stderr.contains("100 are allowed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("ulimit"), "{}", ran.stderr);
}

#[test]
fn a_document_file_is_written_beside_the_summary() {
    let server = server();
    let path = std::env::temp_dir().join(format!("ringshot-json-{}", std::process::id()));
    let ran = ringshot(&format!("http://{}/ -n 10 --json {}", server.addr(), path.display()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("Requests/sec:"));
    let text = std::fs::read_to_string(&path).expect("the document");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["schema"], "ringshot.run/1");
    std::fs::remove_file(&path).expect("removed");

    let ran = ringshot(&format!("http://{}/ -n 10 --json /nonexistent/x.json", server.addr()));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("/nonexistent/x.json"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "", "refused before the run");
}

#[test]
fn bad_input_is_one_line_and_exit_2() {
    let cases = [
        ("https://127.0.0.1/", "scheme https"),
        ("http://127.0.0.1:70000/", "1-65535"),
        ("-c 0", "--connections 0"),
        ("-d -5s", "--duration -5s"),
        ("--timeout 0", "--timeout 0"),
        ("--body-file /nonexistent", "--body-file /nonexistent"),
        ("--no-such-flag", "--no-such-flag"),
        ("-b a --body-file b", "--body"),
    ];
    for (arguments, expected) in cases {
        let ran = ringshot(arguments);
        assert_eq!(ran.code, Some(2), "{arguments}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{arguments}: {}", ran.stderr);
        assert_eq!(ran.stderr.trim().lines().count(), 1, "{arguments}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
}

fn a_signal_ends_the_run_with_a_report(engine: &str) {
    let server = server();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut command =
            support::command(&format!("http://{}/ -d 30s --json - {engine}", server.addr()));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
        let child = command.spawn().expect("the program starts");
        let before = server.stats().requests;
        eventually("requests are answered", || server.stats().requests > before + 100);
        let sent = std::time::Instant::now();
        let target = child.id().to_string();
        let kill = Command::new("kill").args([&format!("-{signal}"), &target]).status();
        assert!(kill.expect("kill").success());
        let output = child.wait_with_output().expect("output");
        // The run would take 30 s.
        assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
        assert_eq!(output.status.code(), Some(code));
        let document: Value = serde_json::from_slice(&output.stdout).expect("the document");
        support::assert_consistent(&document);
        assert_eq!(document["interrupted"], true);
        assert!(document["requests"]["ok"].as_u64() > Some(0));
    }
}
