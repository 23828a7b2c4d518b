//! The box and the server, watched: who it is, what it used, and who was the limit.

mod support;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::Stdio;
use support::{ServerProcess, all_findings, command, measure, ringshot};

fn number(document: &Value, pointer: &str) -> f64 {
    let found = document.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{pointer} in {:#}", document["watch"]))
}

/// Whether it was the server of this number, found in this way, and worked.
#[track_caller]
fn assert_watched(document: &Value, found_by: &str, pid: Option<u32>) {
    let found = &document["watch"]["server"];
    assert_eq!(found["found_by"], found_by, "{found:#}");
    assert_eq!(found["name"], "bench-server", "{found:#}");
    assert!(pid.is_none_or(|pid| found["pid"] == pid), "{found:#}");
    assert_eq!((&found["processes"], &found["ended"]), (&1.into(), &false.into()), "{found:#}");
    let cpu_s = number(document, "/watch/server/cpu_s");
    let ratio = number(document, "/watch/server/cpu_ratio");
    let busiest = number(document, "/watch/server/busiest_thread_ratio");
    // Threads are read a moment after their process, in which they go on.
    assert!(cpu_s > 0.0 && busiest > 0.0 && busiest <= ratio + 0.05, "{found:#}");
    assert!(
        (cpu_s / number(document, "/watch/server/watched_s") - ratio).abs() < 0.01,
        "{found:#}"
    );
    assert!(number(document, "/watch/server/memory_peak_bytes") > 1e6, "{found:#}");
    assert!(number(document, "/watch/server/descriptors_peak") > 3.0, "{found:#}");
}

/// Whether every row has the box, the workers and the server.
#[track_caller]
fn assert_rows(document: &Value) {
    let rows = document["series"].as_array().expect("rows");
    let cpus = document["watch"]["cpus"].as_array().expect("CPUs").len();
    assert!(!rows.is_empty() && cpus > 0);
    let mut packets = 0.0;
    for row in rows {
        let busy = row["host"]["cpu_busy_ratio"].as_array().expect("CPUs");
        assert_eq!(busy.len(), cpus, "{row:#}");
        let within =
            |ratio: &Value| ratio.as_f64().is_some_and(|ratio| (0.0..=1.0).contains(&ratio));
        assert!(busy.iter().all(within), "{row:#}");
        assert!(number(row, "/generator_cpu_ratio") > 0.0, "{row:#}");
        assert!(number(row, "/server/cpu_ratio") > 0.0, "{row:#}");
        packets += number(row, "/host/receive_packets");
    }
    // The rows are the whole, and each request was at least a packet.
    assert_eq!(packets, number(document, "/watch/network/receive_packets"));
    assert!(packets >= number(document, "/requests/ok"));
    // The workers say what they used, the rows what the kernel said of them meanwhile. On a box
    // with other work a row may be taken late, and is then of a longer time than it says.
    let used = number(document, "/generator/cpu_user_s") + number(document, "/generator/cpu_sys_s");
    let mut begin_s = 0.0;
    let mut seen = 0.0;
    for row in rows {
        let end_s = number(row, "/t_s");
        seen += number(row, "/generator_cpu_ratio") * (end_s - begin_s);
        begin_s = end_s;
    }
    assert!((0.6..1.5).contains(&(seen / used)), "{seen} s of {used} s");
}

/// Measures until something holds of the document, which on a box with other work may take a while.
#[track_caller]
fn measure_until(flags: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let found = (0..8).map(|_| measure(flags)).find(holds);
    found.unwrap_or_else(|| panic!("it never holds: {flags}"))
}

/// Whether every row has a look of its own: one that comes late is too close to the next.
fn was_looked_at_every_second(document: &Value) -> bool {
    let rows = document["series"].as_array().expect("rows");
    rows.iter().all(|row| row["host"].is_object())
}

/// A port that stays taken when whoever listens there has ended: no other test's server comes in its
/// place. A server that is told to can listen beside this socket, which does not listen itself.
fn kept_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("set");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket().expect("of IPv4");
    (socket, address)
}

/// Whether the box had other work, or gave less than its time.
fn was_crowded(document: &Value) -> bool {
    number(document, "/watch/cpu_busy_ratio") >= 0.8
        || number(document, "/watch/cpu_steal_ratio") >= 0.1
}

/// Whether ringshot itself was not let run, or was late: then it, or the box, is the limit.
fn was_starved(document: &Value) -> bool {
    let own = ["generator_starved", "generator_throttled", "schedule_slip"];
    all_findings(document).iter().any(|id| own.contains(&id.as_str()))
}

#[test]
fn the_bundled_server_is_watched_in_this_process() {
    // Two whole rows and a short one, unless the box had other work for half a second.
    let document = measure_until("-k -c 8 -d 2500ms", |document| {
        document["series"].as_array().map(Vec::len) == Some(3)
            && was_looked_at_every_second(document)
    });
    assert_watched(&document, "bundled", None);
    assert_rows(&document);
}

#[test]
fn who_listens_on_the_port_is_found() {
    let server = ServerProcess::start("--threads 2");
    let flags = format!("{} -c 8 -d 1500ms --warmup 300ms", server.url);
    // A machine with other work finds the server in the run only, and not in all of its rows.
    let document = measure_until(&flags, |document| {
        was_looked_at_every_second(document) && document["series"][0]["server"].is_object()
    });
    assert_eq!(document["watch"]["server_search_complete"], true);
    assert_watched(&document, "listener", Some(server.pid()));
    assert_rows(&document);
    assert_eq!(document["plan"]["watch_pid"], Value::Null);
    // Its main thread waits for a signal.
    assert_eq!(document["watch"]["server"]["threads"], 3);
}

#[test]
fn a_process_that_is_asked_for_is_watched_instead() {
    let (listener, other) =
        (ServerProcess::start("--threads 1"), ServerProcess::start("--threads 1"));
    let flags = format!("{} -c 8 -d 500ms --watch-pid", listener.url);
    let document = measure(&format!("{flags} {}", listener.pid()));
    assert_watched(&document, "--watch-pid", Some(listener.pid()));
    assert_eq!(document["plan"]["watch_pid"], listener.pid());
    let document = measure(&format!("{flags} {}", other.pid()));
    assert_eq!(document["watch"]["server"]["pid"], other.pid());
    assert_eq!(number(&document, "/watch/server/cpu_s"), 0.0, "it has nothing to do");
}

#[test]
fn a_process_that_is_not_there_is_refused_before_the_run() {
    // No process has the highest number that there can be: the kernel counts up to one below it.
    for (flags, why) in [
        ("--watch-pid 4194304", "there is no such process here"),
        ("--watch-pid 0", "--watch-pid"),
        ("--watch-pid 4194305", "--watch-pid"),
        ("--watch-pid nginx", "--watch-pid"),
        ("--watch-pid -1", "--watch-pid"),
    ] {
        let ran = ringshot(&format!("{flags} -d 100ms"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{flags}: {}", ran.stderr);
        assert!(ran.stderr.contains(why) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
    for command in ["doctor", "search --slo p99<1s"] {
        let ran = ringshot(&format!("{command} --watch-pid 1"));
        assert_eq!(ran.code, Some(2), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("does not watch a process"), "{command}: {}", ran.stderr);
    }
}

#[test]
fn a_server_that_is_killed_was_watched_as_long_as_it_lived() {
    let (_kept, address) = kept_port();
    let mut server = ServerProcess::start_at(&address.to_string(), "--threads 1");
    let pid = server.pid();
    let mut run = command(&format!("{} -c 4 -d 3s --json - --watch-pid {pid}", server.url));
    let mut run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // The row of the first second: `1.0 s`, or later on a box with other work.
    let is_row = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.parse::<f64>().is_ok()) && words.next() == Some("s")
    };
    let mut rows = BufReader::new(run.stderr.take().expect("a pipe")).lines();
    assert!(rows.any(|line| is_row(&line.expect("text"))));
    server.kill();
    rows.for_each(drop);
    let mut text = String::new();
    run.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
    assert_eq!(run.wait().expect("it ends").code(), Some(0));
    let document: Value = serde_json::from_str(&text).expect("a document");
    let watched = &document["watch"]["server"];
    assert_eq!((&watched["pid"], &watched["ended"]), (&server.pid().into(), &true.into()));
    let rows = document["series"].as_array().expect("rows");
    assert!(rows[0]["server"].is_object() && rows[0]["host"].is_object());
    // The last look, unless it came right after another one.
    let last = rows.iter().rfind(|row| row["host"].is_object()).expect("the first one");
    assert!(last["server"].is_null(), "{last:#}");
    assert!(number(&document, "/watch/server/watched_s") < 2.9, "{watched:#}");
    assert_eq!(document["limited_by"]["who"], "server", "{:#}", document["limited_by"]);
}

#[test]
fn who_was_the_limit_is_said_with_numbers() {
    let server = ServerProcess::start("--threads 1");
    let url = server.url.trim_end_matches('/');
    let flags = format!("{url}/delay/20 -c 4 -t 1 -d 1s --watch-pid {}", server.pid());
    // After a long stall the answers do not come to what the connections could have had.
    let document = measure_until(&flags, |document| document["limited_by"].is_object());
    let limit = &document["limited_by"];
    let text = limit["evidence"].as_str().expect("a sentence");
    match limit["who"].as_str() {
        Some("generator" | "box") if was_starved(&document) => {}
        // Whoever waits for an answer need not wait for a CPU, but may.
        Some("box") => assert!(was_crowded(&document), "{limit:#} {:#}", document["watch"]),
        who => {
            assert_eq!(who, Some("connections"), "{limit:#} {:#}", document["watch"]);
            assert!(text.contains("all 4 connections waited for answers, "), "{text}");
        }
    }
    assert!(text.ends_with('.'), "{text}");
    let flags = format!("{url}/ -R 100 -c 16 -t 1 -d 1s");
    let document = measure_until(&flags, |document| {
        document["schedule"]["kept_up"] == true && !was_starved(document)
    });
    let limit = &document["limited_by"];
    assert_eq!(limit["who"], "schedule", "{limit:#} {:#}", document["watch"]);
    let text = limit["evidence"].as_str().expect("a sentence");
    let evidence = format!("as fast as the {} requests came due", document["schedule"]["due"]);
    assert!(text.contains(&evidence) && text.ends_with('.'), "{text}");
    let ran = ringshot("http://127.0.0.1:1/ -d 200ms --json -");
    assert_eq!(ran.document()["limited_by"], Value::Null, "nothing was answered");
}

#[test]
fn with_a_thousand_requests_under_way_somebody_is_busy() {
    let server = ServerProcess::start("--threads 1");
    let flags = format!("{} -p 16 -c 64 -t 1 -d 1s --watch-pid {}", server.url, server.pid());
    let document = measure(&flags);
    let saturated = (
        number(&document, "/generator/demand_peak_ratio") >= 0.92,
        number(&document, "/watch/server/busiest_thread_ratio") >= 0.92,
    );
    // Other tests run beside this one, and may leave neither a CPU.
    let expected: &[&str] = match saturated {
        (true, true) => &["both"],
        (true, false) => &["generator", "both"],
        (false, true) => &["server", "both"],
        (false, false) => &["server", "generator", "both", "box"],
    };
    let who = document["limited_by"]["who"].as_str();
    let numbers = format!("{:#} {:#}", document["limited_by"], document["watch"]);
    if was_starved(&document) {
        return assert!(matches!(who, Some("generator" | "box")), "{numbers}");
    }
    assert!(who.is_some_and(|who| expected.contains(&who)), "{numbers}");
    assert!(who != Some("box") || was_crowded(&document), "{numbers}");
}
