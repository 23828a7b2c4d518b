//! What the program needs is taken away in the run, and given back: the server, descriptors, source
//! addresses and ports, the target's name.

use super::support::hostile::Hostile;
use super::support::netns::isolated;
use super::support::{
    Running, ServerProcess, all_findings, assert_finding, command, command_with_hosts, errors,
    eventually, on_every_engine, ringshot, run_command,
};
use super::{BROKEN, LATE, SOON, assert_errors, interlude, number};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_server_that_is_killed_and_restarted() {
    on_every_engine(|engine| {
        for flags in ["", "-k", "-p 4"] {
            isolated(&[], |namespace| {
                let mut server = ServerProcess::start("--threads 1");
                let address = server.url.trim_start_matches("http://").trim_end_matches('/');
                let address = address.to_owned();
                let port = address.rsplit_once(':').expect("a port").1.parse().expect("a number");
                // All slots are busy all the time.
                let plan = format!("-c 4 -t 1 -R 400 -d 60s {flags} {engine} --json -");
                let run = Running::start(command(&format!("{}delay/20 {plan}", server.url)));
                eventually("all slots serve", || namespace.established(port) == 4);
                server.kill();
                drop(server);
                eventually("all connections are gone", || namespace.established(port) == 0);
                std::thread::sleep(BROKEN);
                let _server = ServerProcess::start_at(&address, "--threads 1");
                eventually("all slots serve again", || namespace.established(port) == 4);
                run.signal("INT");
                let document = run.finish().sane_document();
                let names = [
                    "connect/ECONNREFUSED",
                    "connect/ECONNRESET",
                    "send/ECONNRESET",
                    "send/EPIPE",
                    "receive/ECONNRESET",
                    "response/eof",
                ];
                assert_errors(&document, &names);
                assert!(number(&document, "/requests/ok") > 0);
            });
        }
    });
}

/// Somebody lowers the limit of the running process. Direct descriptors are in a table of the
/// ring's own, which is as large as it was made.
#[test]
fn descriptors_exhausted() {
    on_every_engine(|engine| {
        isolated(&["prlimit"], |_| {
            let limit = |run: &Running, limit: &str| {
                let mut prlimit = Command::new("prlimit");
                prlimit.args(["--pid", &run.pid().to_string(), &format!("--nofile={limit}:")]);
                assert!(prlimit.status().expect("prlimit").success());
            };
            let server = Hostile::harmless();
            let command = command(&format!("{} {engine}", server.url()));
            let document =
                interlude(&server, LATE, command, |run| limit(run, "5"), |run| limit(run, "1000"));
            if document["ring_tier"] == "direct" {
                assert_eq!(errors(&document), []);
            } else {
                assert_errors(&document, &["socket/EMFILE"]);
                assert_finding(&document, "descriptors_exhausted", &["descriptor"]);
            }
        });
    });
}

/// The source address is taken away, as a virtual address that moves to another box and back.
#[test]
fn source_address_gone() {
    on_every_engine(|engine| {
        isolated(&[], |namespace| {
            let address = |verb: &str| namespace.ip(&format!("address {verb} 10.99.0.1/32 dev lo"));
            address("add");
            let server = Hostile::harmless();
            let command = command(&format!("{} --source-ip 10.99.0.1 {engine}", server.url()));
            let document =
                interlude(&server, SOON, command, |_| address("del"), |_| address("add"));
            // What was under way has nowhere to come back to.
            assert_errors(
                &document,
                &["bind/EADDRNOTAVAIL", "response/timeout", "connect/timeout"],
            );
            assert_finding(&document, "source_address_gone", &["source address"]);
        });
    });
}

/// Somebody listens on all ports that there are to connect from.
#[test]
fn source_ports_taken() {
    let cases = [
        ("--source-ports 40000-40007 --close rst", "bind/EADDRINUSE"),
        ("--source-ports kernel --close rst", "connect/EADDRNOTAVAIL"),
    ];
    on_every_engine(|engine| {
        for (flags, expected) in cases {
            isolated(&[], |namespace| {
                // Its port is none of those.
                namespace.set("net.ipv4.ip_local_port_range", "50000 50999");
                let server = Hostile::harmless();
                namespace.set("net.ipv4.ip_local_port_range", "40000 40007");
                let taken = std::cell::RefCell::new(Vec::new());
                let document = interlude(
                    &server,
                    LATE,
                    command(&format!("{} {flags} {engine}", server.url())),
                    |_| taken.borrow_mut().extend((40000..=40007).map(listen)),
                    |_| taken.borrow_mut().clear(),
                );
                assert_errors(&document, &[expected]);
                assert_finding(&document, "ports_exhausted", &["port", "127.0.0.1"]);
            });
        }
    });
}

/// A listener on a port from which connections go out: as soon as the kernel lets it have the port.
fn listen(port: u16) -> Socket {
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let attempt = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1)?;
        Ok::<_, std::io::Error>(socket)
    };
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        match attempt() {
            Ok(socket) => return socket,
            Err(error) if Instant::now() > give_up => panic!("{port}: {error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// A name is resolved once, before the start: what becomes of it later changes nothing in a run, nor
/// in the further steps of a search.
#[test]
fn a_name_that_stops_resolving() {
    on_every_engine(|engine| {
        isolated(&["unshare"], |_| {
            let hosts = tempfile::NamedTempFile::new().expect("a file");
            fs::write(hosts.path(), "127.0.0.1 fleeting.test\n").expect("written");
            let server = Hostile::harmless();
            let url = format!("http://fleeting.test:{}/", server.address.port());
            let plan = "--slo p99<5s --from 200 -d 300ms --warmup 50ms --budget 4s -t 1";
            let arguments = format!("search {plan} {url} {engine} --json -");
            let run = Running::start(command_with_hosts(hosts.path(), &arguments));
            server.wait_for_more(1);
            // In place: it is this file that is mounted.
            fs::write(hosts.path(), "").expect("written");
            let ran = run.finish();
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            let document = ran.document();
            let steps = document["steps"].as_array().expect("steps");
            assert!(steps.len() > 1, "{}", ran.stderr);
            assert!(steps.iter().all(|step| step["failed"] == 0), "{}", ran.stderr);

            let ran =
                run_command(command_with_hosts(hosts.path(), &format!("{url} -n 1 {engine}")));
            assert_eq!(ran.code, Some(1), "{}", ran.stderr);
            assert!(ran.stderr.contains("fleeting.test") && ran.stderr.contains("cure"));
        });
    });
}

#[test]
fn a_name_without_an_address_cannot_run() {
    // Where nobody can be asked, and nobody keeps it waiting.
    isolated(&[], |_| {
        let ran = ringshot("http://no-such-host.invalid/ -n 1");
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("no-such-host.invalid") && ran.stderr.contains("cure"));
    });
}

/// A part of the ports is in use: they are passed over, and nothing fails.
#[test]
fn a_part_of_the_source_ports_taken() {
    on_every_engine(|engine| {
        isolated(&[], |namespace| {
            // Its port is none of those.
            namespace.set("net.ipv4.ip_local_port_range", "50000 50999");
            let server = Hostile::harmless();
            let _taken: Vec<Socket> = (40000..=40005).map(listen).collect();
            let flags = "-c 4 -t 1 -n 40 --source-ports 40000-40011 --close rst";
            let ran = ringshot(&format!("{} {flags} {engine} --json -", server.url()));
            let document = ran.sane_document();
            assert_eq!(errors(&document), []);
            assert!(number(&document, "/ports/skipped_in_use") >= 6);
            assert_eq!(
                all_findings(&document).iter().filter(|id| *id == "ports_exhausted").count(),
                0
            );
        });
    });
}
