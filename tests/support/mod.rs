//! What the end-to-end tests share: running the program, and the two kinds of server.
#![allow(dead_code)] // each test file uses a part of it

pub mod conntrack;
pub mod faults;
pub mod netns;
pub mod numbers;
pub mod peers;

use bench_server::{Backend, Config, Server};
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The flags for every driver that there is: the ring in each of its tiers, and epoll.
pub const ENGINES: [&str; 4] = [
    "--engine io_uring --ring-tier direct",
    "--engine io_uring --ring-tier plain",
    "--engine io_uring --ring-tier basic",
    "--engine epoll",
];

/// Whether a run went over the engine that was asked for; says so when a kernel lacks a tier, and a
/// test is skipped for it.
pub fn went_over(engine: &str, document: &Value) -> bool {
    let tier = document["ring_tier"].as_str();
    let name = document["engine"].as_str().expect("an engine");
    assert!(engine.contains(&format!("--engine {name}")), "{engine}: {name}");
    let as_asked = tier.is_none_or(|tier| engine.contains(&format!("--ring-tier {tier}")));
    if !as_asked {
        eprintln!("skipped: this kernel has no ring as in {engine}, only {tier:?}");
    }
    as_asked
}

/// Lists the tests of a file that are to run over both engines: one body, which takes the flags,
/// becomes a test in each of two modules.
#[macro_export]
macro_rules! over_both_engines {
    ($($test:ident),* $(,)?) => {
        mod over_io_uring {
            $(#[test] fn $test() { super::$test("--engine io_uring"); })*
        }
        mod over_epoll {
            $(#[test] fn $test() { super::$test("--engine epoll"); })*
        }
    };
}

/// Longer than any run of these tests takes; what is still there then has hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run of the program left behind.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The result document on standard output.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", self.stdout, self.stderr))
    }
}

/// The program, with arguments as a shell would split them. Where they leave it open, the run goes
/// over the engine that `RINGSHOT_TESTS_ENGINE` names.
pub fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringshot"));
    let words: Vec<&str> = arguments.split_whitespace().collect();
    command.args(&words);
    let without = ["report", "tune", "completions", "man", "help", "--help", "--version"];
    let runs = words.first().is_none_or(|first| !without.contains(first));
    let open = !words.iter().any(|word| word.starts_with("--engine") || *word == "--ring-tier");
    if let Ok(engine) = std::env::var("RINGSHOT_TESTS_ENGINE")
        && runs
        && open
    {
        command.args(["--engine", &engine]);
    }
    command
}

/// Runs a command to its end, within [`PATIENCE`].
pub fn run_command(mut command: Command) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("hung: {command:?}");
    };
    let Output { status, stdout, stderr } = output.expect("output");
    Ran {
        code: status.code(),
        stdout: String::from_utf8(stdout).expect("UTF-8"),
        stderr: String::from_utf8(stderr).expect("UTF-8"),
    }
}

/// Runs the program to its end.
pub fn ringshot(arguments: &str) -> Ran {
    run_command(command(arguments))
}

/// Runs the program, which must end well, and returns its result document; checks what holds for
/// every document.
pub fn measure(arguments: &str) -> Value {
    let ran = ringshot(&format!("{arguments} --json -"));
    assert_eq!(ran.code, Some(0), "{arguments}: {}", ran.stderr);
    let document = ran.document();
    assert_consistent(&document);
    document
}

/// What holds for every document.
pub fn assert_consistent(document: &Value) {
    let count = |pointer: &str| {
        document.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}"))
    };
    assert_eq!(
        count("/requests/started"),
        count("/requests/ok") + count("/requests/failed") + count("/requests/in_flight"),
        "the identity"
    );
    let errors = document["errors"].as_array().expect("errors");
    let listed: u64 = errors.iter().map(|error| error["count"].as_u64().expect("a count")).sum();
    assert_eq!(listed, count("/requests/failed"), "one entry for each failure: {errors:?}");
    let rows = document["series"].as_array().expect("series");
    for (key, total) in [("ok", "/requests/ok"), ("failed", "/requests/failed")] {
        let sum: u64 = rows.iter().map(|row| row[key].as_u64().expect("a count")).sum();
        assert_eq!(sum, count(total), "the series adds up: {key}");
    }
    assert_eq!(count("/latency/connect/count"), count("/connections/opened"));
    let statuses: u64 = document["status"]
        .as_object()
        .expect("status")
        .values()
        .map(|count| count.as_u64().expect("a count"))
        .sum();
    assert_eq!(count("/latency/total/count"), statuses);
}

/// `phase/kind` of each error and its count.
pub fn errors(document: &Value) -> Vec<(String, u64)> {
    let entry = |error: &Value| {
        let text = |key: &str| error[key].as_str().expect("text").to_owned();
        (format!("{}/{}", text("phase"), text("kind")), error["count"].as_u64().expect("a count"))
    };
    document["errors"].as_array().expect("errors").iter().map(entry).collect()
}

/// The ids of all findings.
pub fn all_findings(document: &Value) -> Vec<String> {
    let findings = document.pointer("/kernel/findings").and_then(Value::as_array);
    let id = |finding: &Value| finding["id"].as_str().expect("an id").to_owned();
    findings.expect("findings").iter().map(id).collect()
}

/// The ids of the findings, without those that depend on what else this machine does: other tests
/// run beside this one.
pub fn findings(document: &Value) -> Vec<String> {
    let mut ids = all_findings(document);
    ids.retain(|id| !["generator_saturated", "other_connections"].contains(&id.as_str()));
    ids
}

/// What stands in backticks is accepted by a shell.
pub fn assert_pastes(id: &str, cure: &str) {
    let pieces: Vec<&str> = cure.split('`').collect();
    assert!(pieces.len() % 2 == 1, "{id}: a backtick is missing in {cure:?}");
    for command in pieces.iter().skip(1).step_by(2) {
        let parsed = Command::new("bash").args(["-nc", command]).output().expect("bash");
        assert!(parsed.status.success(), "{id}: {command:?} is no command");
    }
}

/// The bundled server, in this process.
pub fn server() -> Server {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Server::start(Config { listen, threads: 1, cpus: None, backend: Backend::Hyper })
        .expect("a server")
}

/// Waits until a condition holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < give_up, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The bundled server as a program of its own, which ends with this value.
pub struct ServerProcess {
    child: std::process::Child,
    /// Where it listens, as a URL.
    pub url: String,
}

impl ServerProcess {
    pub fn start(arguments: &str) -> ServerProcess {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_ringshot"));
        let program = program.with_file_name("bench-server");
        if !program.exists() {
            // `cargo test --test NAME` builds only the programs of the package that NAME is in.
            let mut build = Command::new(env!("CARGO"));
            build.current_dir(env!("CARGO_MANIFEST_DIR")).args([
                "build",
                "-q",
                "-p",
                "bench-server",
            ]);
            assert!(build.status().expect("cargo").success(), "bench-server cannot be built");
        }
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0"]).args(arguments.split_whitespace());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("text");
        let url = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        ServerProcess { child, url }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// At once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
