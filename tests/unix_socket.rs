//! The program over unix sockets, against a server that counts.

mod support;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use support::netns::skip;
use support::unix_peer::{Habits, UnixPeer};
use support::{
    ENGINES, assert_consistent, assert_finding, errors, eventually, findings, measure, ringshot,
    run_command,
};

over_both_engines! {
    a_name_without_a_file_is_connected_to,
    a_full_queue_is_named_and_no_request_vanishes,
    a_server_that_goes_away_in_a_run_is_counted,
    a_request_that_the_server_drops_is_a_failure,
    a_kept_connection_that_the_server_closes_is_opened_again,
    an_open_loop_is_kept,
    bodies_that_no_buffer_holds_are_whole,
}

fn count(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}"))
}

/// What holds for every document of a unix socket.
fn assert_over(peer: &UnixPeer, document: &Value) {
    let address = format!("unix:{}", peer.path().display());
    assert_eq!(document["target"]["address"], *address);
    assert_eq!(document["target"]["url"], "http://localhost/");
    assert_eq!(document["target"]["local"], true);
    let addresses = document["target"]["addresses"].as_array().expect("a list");
    assert_eq!((addresses.len(), &addresses[0]["address"]), (1, &address.into()), "{addresses:?}");
    assert_eq!(addresses[0]["before"], Value::Null, "it was not asked");
    assert_eq!(addresses[0]["opened"], document["connections"]["opened"]);
    assert_eq!(document["target"]["addresses_used"], Value::Null);
    assert_eq!(document["connections"]["time_wait_owner"], "nobody");
    assert_eq!(document["ports"]["method"], "none");
    assert_eq!(document["ports"]["usable"], 0);
    assert_eq!(document["ports"]["sources"], serde_json::json!([]));
}

#[test]
fn counts_equal_the_servers_own_in_every_mode_over_every_engine() {
    // The last connection of a slot need not be used up: up to 15 more than the quotient. Requests go to
    // the thread that asks for them, so the slots of one that is late need none.
    let modes = [
        ("", 1000..=1000),
        ("--close client", 1000..=1000),
        ("-k", 1..=16),
        ("-r 7", 143..=158),
        ("-p 8", 1..=16),
        ("-r 16 -p 8", 63..=78),
    ];
    for engine in ENGINES {
        for (flags, connections) in modes.clone() {
            let peer = UnixPeer::start(Habits::default());
            let document =
                measure(&format!("{} -c 16 -t 2 -n 1000 {engine} {flags}", peer.target()));
            assert_over(&peer, &document);
            assert_eq!(count(&document, "/requests/ok"), 1000, "{flags}: {:?}", errors(&document));
            let opened = count(&document, "/connections/opened");
            assert!(connections.contains(&opened), "{flags}: {opened} connections");
            assert_eq!(findings(&document), [""; 0], "{engine} {flags}");
            // One that was never used may still wait to be accepted.
            eventually("all are accepted", || peer.connections() == opened);
            assert_eq!(peer.requests(), 1000, "{engine} {flags}");
            let connect = &document["latency"]["connect"];
            assert_eq!(count(connect, "/count"), opened, "connecting is measured");
            assert!(count(connect, "/max_us") > 0, "{connect}");
            // Direct descriptors cannot be connected by connect(2).
            let tier = document["ring_tier"].as_str();
            assert!([Some("plain"), Some("basic"), None].contains(&tier), "{tier:?}");
        }
    }
}

fn a_name_without_a_file_is_connected_to(engine: &str) {
    let peer = UnixPeer::start_abstract(Habits::default());
    let name = peer.path().display();
    let flags = format!("--abstract-unix-socket {name} http://localhost/ -c 8 -n 200 {engine}");
    let document = measure(&flags);
    assert_eq!(document["target"]["address"], format!("unix:@{name}"));
    assert_eq!(count(&document, "/requests/ok"), 200);
    assert_eq!((peer.connections(), peer.requests()), (200, 200));
}

fn a_full_queue_is_named_and_no_request_vanishes(engine: &str) {
    // Two connections fit into the queue of a server that accepts nobody.
    let peer = UnixPeer::start(Habits { backlog: 1, deaf: true, ..Habits::default() });
    let ran =
        ringshot(&format!("{} -t 1 -c 4 -n 8 --timeout 500ms --json - {engine}", peer.target()));
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    let names: Vec<(String, u64)> = errors(&document);
    let of = |name: &str| names.iter().find(|(known, _)| known == name).map_or(0, |(_, n)| *n);
    // Closed connections stay in the queue until they are accepted.
    assert_eq!((of("connect/EAGAIN"), of("response/timeout")), (6, 2), "{names:?}");
    let document_errors = document["errors"].as_array().expect("errors");
    let advice = document_errors.iter().find(|error| error["kind"] == "EAGAIN").expect("it");
    let advice = advice["advice"].as_str().expect("text");
    assert!(advice.contains("listen queue") && advice.contains("somaxconn"), "{advice}");
    assert_finding(&document, "accept_queue_overflow", &["listen queue", "backlog is 1", "6"]);
    assert_eq!(count(&document, "/connections/opened"), 2);
    assert_eq!(count(&document, "/connections/failed"), 6);
    assert!(ran.stderr.contains("listen backlog"), "said beforehand: {}", ran.stderr);
}

fn a_server_that_goes_away_in_a_run_is_counted(engine: &str) {
    let peer = UnixPeer::start(Habits { vanishes_at: 20, ..Habits::default() });
    let document = measure(&format!("{} -t 1 -c 1 -n 26 {engine}", peer.target()));
    assert_eq!(errors(&document), [("connect/ENOENT".to_owned(), 6)]);
    assert_eq!(count(&document, "/requests/ok"), 20);
    assert_eq!(count(&document, "/connections/failed"), 6);
    assert_eq!((peer.connections(), peer.requests()), (20, 20));
}

fn a_request_that_the_server_drops_is_a_failure(engine: &str) {
    let peer = UnixPeer::start(Habits { drops_after: 1, ..Habits::default() });
    let ran = ringshot(&format!("{} -t 1 -c 2 -n 20 --json - {engine}", peer.target()));
    let document = ran.document();
    assert_consistent(&document);
    assert_eq!(errors(&document), [("response/eof".to_owned(), 20)]);
    assert_eq!((peer.connections(), peer.requests()), (20, 20));
}

fn a_kept_connection_that_the_server_closes_is_opened_again(engine: &str) {
    let peer = UnixPeer::start(Habits { closes_after: 5, ..Habits::default() });
    // A pause, so that the end of the connection is there before the next request.
    let flags = "-k -t 1 -c 2 -n 40 --think 20ms";
    let document = measure(&format!("{} {flags} {engine}", peer.target()));
    assert_eq!(count(&document, "/requests/ok"), 40, "{:?}", errors(&document));
    let opened = count(&document, "/connections/opened");
    assert_eq!((peer.connections(), peer.requests()), (opened, 40));
    assert!((8..=10).contains(&opened), "{opened}");
    assert_eq!(findings(&document), ["server_closes_early"]);
}

fn an_open_loop_is_kept(engine: &str) {
    let peer = UnixPeer::start(Habits::default());
    let document = measure(&format!("{} -c 8 -R 200 -n 100 {engine}", peer.target()));
    assert_eq!(count(&document, "/requests/ok"), 100);
    assert_eq!(count(&document, "/schedule/due"), 100);
    assert_eq!((peer.connections(), peer.requests()), (100, 100));
}

fn bodies_that_no_buffer_holds_are_whole(engine: &str) {
    const BYTES: u64 = 3 << 20;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("body");
    std::fs::write(&file, vec![b'x'; BYTES as usize]).expect("written");
    for flags in ["", "-k", "-p 2"] {
        let peer = UnixPeer::start(Habits { body_bytes: BYTES as usize, ..Habits::default() });
        // The server answers one request before it reads the next, so two of them at a time would
        // wait for each other.
        let body = match flags {
            "-p 2" => String::new(),
            _ => format!("--body-file {}", file.display()),
        };
        let document = measure(&format!("{} -c 2 -n 8 {body} {flags} {engine}", peer.target()));
        assert_eq!(count(&document, "/requests/ok"), 8, "{flags}: {:?}", errors(&document));
        let sent = if body.is_empty() { 0 } else { 8 * BYTES };
        assert_eq!((peer.requests(), peer.body_bytes()), (8, sent), "{flags}");
        assert!(count(&document, "/bytes/read") > 8 * BYTES, "{flags}");
    }
}

#[test]
fn a_search_and_a_limit_work() {
    let peer = UnixPeer::start(Habits::default());
    let flags = "--slo errors<1% --from 50 --budget 2s -d 200ms -c 4 --json -";
    let ran = ringshot(&format!("search {} {flags}", peer.target()));
    let document = ran.document();
    let address = format!("unix:{}", peer.path().display());
    assert_eq!(document["generator"]["address"], address, "{}", ran.stderr);
    let steps = document["steps"].as_array().expect("steps");
    assert!(!steps.is_empty() && peer.requests() > 0, "{}", ran.stderr);
}

#[test]
fn the_servers_process_is_found_by_its_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("python.sock");
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(64)\n\
        while True:\n    \
            c = s.accept()[0]\n    \
            try:\n        \
                c.recv(4096)\n        \
                c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n    \
            except OSError: pass\n    \
            c.close()\n";
    let mut python = std::process::Command::new("python3");
    let Ok(mut server) = python.args(["-c", script]).arg(&path).spawn() else {
        return skip("python3 is not installed");
    };
    eventually("it listens", || path.exists());
    let target = format!("--unix-socket {} http://localhost/", path.display());
    let found = |document: &Value| {
        let server = document.pointer("/watch/server").filter(|server| server.is_object())?;
        Some((server["pid"].clone(), server["found_by"].clone()))
    };
    let result = std::panic::catch_unwind(|| {
        support::in_some_attempt(|| {
            let document = measure(&format!("{target} -t 1 -c 4 -d 500ms"));
            // A machine with very many processes is not searched to the end.
            support::hopefully(found(&document).is_some(), || document["watch"].to_string())?;
            assert_eq!(found(&document), Some((server.id().into(), "listener".into())));
            Ok(())
        });
    });
    server.kill().and_then(|()| server.wait()).expect("it ran");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn the_doctor_looks_at_the_queue_and_not_at_ports() {
    let peer = UnixPeer::start(Habits { backlog: 16, ..Habits::default() });
    let examine = |flags: &str| {
        let ran = ringshot(&format!("doctor {} {flags} --json -", peer.target()));
        (ran.document(), ran.code)
    };
    let (document, code) = examine("-c 17");
    assert_eq!((code, &document["fits"]), (Some(0), &true.into()), "{document}");
    assert_eq!(document["unix_socket"], peer.path().to_str().expect("UTF-8"));
    assert_eq!(document["addresses"], serde_json::json!([]));
    assert_eq!(document["source_ports"], "none, as a unix socket has none");
    let knobs = |document: &Value| -> Vec<String> {
        let checks = document["checks"].as_array().expect("checks").iter();
        let mut knobs: Vec<String> =
            checks.map(|check| check["knob"].as_str().expect("a knob").to_owned()).collect();
        knobs.sort();
        knobs
    };
    assert_eq!(knobs(&document), ["engine", "listen backlog", "nofile"]);
    let (document, code) = examine("-c 18 --close client");
    assert_eq!((code, &document["fits"]), (Some(3), &false.into()), "{document}");
    let check = &document["checks"][0];
    assert_eq!((&check["knob"], &check["current"]), (&"listen backlog".into(), &"16".into()));
    let cure = check["cure"].as_str().expect("a cure");
    assert!(cure.contains("listen(fd, 18)"), "{cure}");
    support::assert_pastes("listen backlog", cure);
    assert_eq!(peer.connections(), 0, "nothing was run");
}

#[test]
fn what_cannot_be_used_is_one_clear_line_before_the_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(at("file"), "").expect("written");
    let (url, long) = ("http://localhost/", "x".repeat(108));
    let socket = format!("--unix-socket {}", at("file"));
    for (arguments, code, words) in [
        (format!("--unix-socket {} {url}", at("none")), 1, "there is no unix socket"),
        (format!("{socket} {url}"), 1, "is a file, not a unix socket"),
        (format!("doctor {socket} {url}"), 1, "is a file, not a unix socket"),
        (format!("search --slo p99<1s {socket} {url}"), 1, "is a file, not a unix socket"),
        (format!("--unix-socket {long} {url}"), 2, "it has 108 bytes, but the address of a unix"),
        (format!("--abstract-unix-socket {long} {url}"), 2, "it has 108 bytes"),
        (format!("{socket} --abstract-unix-socket a {url}"), 2, "leave one out"),
        (socket.clone(), 2, "the URL is missing"),
        (format!("{socket} {url} --close rst"), 2, "it has no reset; give --close client"),
        (format!("{socket} {url} --source-ip 127.0.0.1"), 2, "it has no addresses"),
        (format!("{socket} {url} --addresses all"), 2, "there is only one; leave it out"),
        (format!("{socket} {url} --source-ports kernel"), 2, "it has no ports"),
        (format!("{socket} {url} --source-ports 40000-40999"), 2, "it has no ports"),
        (format!("{socket} https://localhost/"), 2, "the scheme https is not supported"),
        ("http://unix:/run/a.sock:/x".into(), 2, "--unix-socket /run/a.sock http://localhost/x"),
        ("unix:///run/a.sock".into(), 2, "--unix-socket /run/a.sock http://localhost/"),
    ] {
        let ran = ringshot(&arguments);
        assert_eq!(ran.code, Some(code), "{arguments}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{arguments}: {}", ran.stderr);
        let lines = if code == 1 { 2 } else { 1 };
        assert_eq!(ran.stderr.lines().count(), lines, "{arguments}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments}");
    }
}

/// As another user, since root may do everything.
#[test]
fn a_missing_right_is_named_before_the_run() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can run a program as another user");
    }
    let peer = UnixPeer::start(Habits::default());
    let directory = peer.path().parent().expect("a directory");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    // The program itself lies where others may not look.
    let program = directory.join("ringshot");
    std::fs::copy(env!("CARGO_BIN_EXE_ringshot"), &program).expect("a copy");
    mode(&program, 0o755);
    let refused = |words: &str| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(&program).args(peer.target().split(' ')).args(["-n", "1"]);
        let ran = run_command(command);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(words) && ran.stderr.contains("cure:"), "{}", ran.stderr);
    };
    if std::process::Command::new("setpriv").arg("--version").output().is_err() {
        return skip("setpriv is not installed");
    }
    mode(directory, 0o755);
    mode(peer.path(), 0o755);
    refused("no permission to connect to the unix socket");
    assert_eq!(peer.connections(), 0);
}

#[test]
fn a_comparison_leaves_out_who_cannot_connect_to_it() {
    let peer = UnixPeer::start(Habits::default());
    let ran = ringshot(&format!(
        "compare --with wrk,h2load --rounds 1 -k -d 1s -t 1 -c 4 --json - {}",
        peer.target()
    ));
    if ran.code == Some(1) && ran.stderr.contains("nothing to compare with") {
        return skip("neither wrk nor h2load is installed");
    }
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    for row in document["tools"].as_array().expect("rows") {
        let (name, cannot) = (row["name"].as_str().expect("a name"), &row["cannot"]);
        if row["installed"] == false {
            continue;
        }
        match name {
            "wrk" => assert!(cannot.as_str().expect("why").contains("--unix-socket"), "{row}"),
            _ => {
                assert!(cannot.is_null(), "{row}");
                assert!(row["rounds"][0]["ok"].as_u64().expect("a count") > 0, "{row}");
            }
        }
    }
    assert!(peer.connections() >= 4);
}
