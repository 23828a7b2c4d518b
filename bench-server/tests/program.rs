//! The program: where it listens, how it ends, what a user reads when it does not work.

mod common;

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Output, Stdio},
};

use bench_server::Backend;
use common::{Client, backends, start};
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bench-server");

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

/// Starts a command that runs the program and returns it with the address it prints.
fn spawn(command: &mut Command) -> (Child, SocketAddr) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("listening on http://").expect(&line);
    (child, addr.strip_suffix('/').unwrap().parse().unwrap())
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn usage_errors_are_exit_code_2() {
    let cases: [(&[&str], &str); 9] = [
        (&["--listen", "nowhere"], "invalid socket address"),
        (&["--listen", "127.0.0.1"], "invalid socket address"),
        (&["--threads", "0"], "1 to 1024"),
        (&["--threads", "x"], "1 to 1024"),
        (&["--cpus", "3-1"], "backwards"),
        (&["--cpus", ""], "CPU"),
        (&["--backend", "apache"], "`hyper`, `uring` or `faulty`"),
        (&["--fast"], "--fast"),
        (&["extra"], "extra"),
    ];
    for (args, expected) in cases {
        let output = run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
    if !Backend::Uring.is_built_in() {
        let output = run(&["--backend", "uring"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("cargo feature `uring`"), "{stderr}");
    }
}

#[test]
fn what_cannot_run_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    // Another server of this kind would share the port if it were let.
    let server = start(Backend::Hyper, 1);
    let shareable = server.addr().to_string();
    let cases: [(&[&str], &str); 3] = [
        (&["--listen", &taken], "in use"),
        (&["--listen", &shareable], "in use"),
        (&["--listen", "127.0.0.1:0", "--cpus", "1023"], "cpu 1023"),
    ];
    for (args, expected) in cases {
        let output = run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    }
}

#[test]
fn signals_end_the_program_cleanly() {
    for end in [Signal::INT, Signal::TERM] {
        let args = ["--listen", "127.0.0.1:0", "--threads", "2", "--cpus", "none"];
        let (mut child, addr) = spawn(Command::new(PROGRAM).args(args));
        let mut client = Client::connect(addr);
        assert_eq!(client.get("/").status(), "200");
        signal(&child, end);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{end:?}");
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn running_out_of_descriptors_does_not_end_accepting() {
    for backend in backends() {
        let name = format!("{backend:?}").to_lowercase();
        let script = "ulimit -n 40; exec \"$0\" --listen 127.0.0.1:0 --threads 1 --backend \"$1\"";
        let (mut child, addr) = spawn(Command::new("sh").args(["-c", script, PROGRAM, &name]));
        let mut clients: Vec<Client> = (0..60).map(|_| Client::connect(addr)).collect();
        // Those that were let in are served.
        assert_eq!(clients[0].get("/").status(), "200", "{name}");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("accept failed"), "{name}: {line}");
        // Those that were not are, once there is room.
        let mut last = clients.pop().unwrap();
        drop(clients);
        assert_eq!(last.get("/").status(), "200", "{name}");
        let stats = last.get("/stats");
        assert!(!stats.text().contains("\"accept_errors\": 0"), "{name}: {}", stats.text());
        signal(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{name}");
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "{name}: said more than once");
    }
}
