//! What the end-to-end tests share: running the program, and the two kinds of server.
#![allow(dead_code)] // each test file uses a part of it
#![allow(clippy::print_stderr)] // the harness catches it

pub mod cgroup;
pub mod conntrack;
pub mod hostile;
pub mod netns;
pub mod numbers;
pub mod peers;
pub mod unix_peer;

use bench_server::{Backend, Config, Server};
use serde_json::Value;
use std::cell::Cell;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
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
const PATIENCE: Duration = Duration::from_secs(120);

/// What the program has the resident set for, whatever its peers do: a few times what it takes for a
/// usual run, as pages may be large ones, and less than it would for keeping what they send.
const RESIDENT_BYTES_MAX: u64 = 128 << 20;

/// What a run of the program left behind.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The most memory that was resident.
    pub resident_bytes_max: u64,
}

impl Ran {
    /// The result document on standard output.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", self.stdout, self.stderr))
    }

    /// The same of a run that came to its end as it should, in what memory it may take.
    pub fn sane_document(&self) -> Value {
        // Done, nothing succeeded, or ended by SIGINT.
        assert!(matches!(self.code, Some(0 | 4 | 130)), "{:?}: {}", self.code, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(!self.stderr.contains('\x1b'), "bytes of the server reach the terminal");
        let resident = 1..RESIDENT_BYTES_MAX;
        assert!(resident.contains(&self.resident_bytes_max), "{} bytes", self.resident_bytes_max);
        let document = self.document();
        assert_consistent(&document);
        document
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

/// The program with an `/etc/hosts` of its own. Needs `unshare`, and the right to mount.
pub fn command_with_hosts(hosts: &Path, arguments: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
    command.args(["--mount", "sh", "-c", script]).arg(hosts);
    command.arg(env!("CARGO_BIN_EXE_ringshot")).args(arguments.split_whitespace());
    command
}

/// A run of the program that is under way.
pub struct Running {
    child: Child,
    name: String,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    resident_bytes_max: Cell<u64>,
}

impl Running {
    pub fn start(command: Command) -> Running {
        Running::start_with(command, Stdio::null())
    }

    pub fn start_with(mut command: Command, stdin: Stdio) -> Running {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = read_beside(child.stdout.take().expect("a pipe"));
        let stderr = read_beside(child.stderr.take().expect("a pipe"));
        let resident_bytes_max = Cell::new(0);
        Running { child, name: format!("{command:?}"), stdout, stderr, resident_bytes_max }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        // It may be gone before this process runs again.
        self.look();
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.expect("kill").success(), "{name}");
    }

    /// What wait4(2) tells of memory begins with that of this process.
    fn look(&self) {
        let before = self.resident_bytes_max.get();
        self.resident_bytes_max.set(before.max(peak_bytes(self.pid())));
    }

    /// Waits for its end, within [`PATIENCE`].
    pub fn finish(mut self) -> Ran {
        let give_up = Instant::now() + PATIENCE;
        let status = loop {
            self.look();
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > give_up {
                let _ = self.child.kill();
                panic!("hung: {}", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ran {
            code: status.code(),
            stdout: self.stdout.join().expect("UTF-8"),
            stderr: self.stderr.join().expect("UTF-8"),
            resident_bytes_max: self.resident_bytes_max.get(),
        }
    }
}

/// The most memory that a process had resident so far; 0 when it has ended, or is not the program
/// yet: what is on its way there still has the memory of this process.
fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    if !status.starts_with("Name:\tringshot\n") {
        return 0;
    }
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.map(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>());
    kib.map_or(0, |kib| kib.expect("a number") * 1024)
}

/// Reads a pipe to its end in a thread, so that nobody waits for room in it.
fn read_beside(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

/// Runs a command to its end, within [`PATIENCE`].
pub fn run_command(command: Command) -> Ran {
    Running::start(command).finish()
}

/// Runs a body over each engine, side by side: most of these runs wait most of the time.
pub fn on_every_engine(body: impl Fn(&'static str) + Sync) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::scope(|scope| {
        let start = |engine| {
            let thread = std::thread::Builder::new().name(name.clone());
            let body = &body;
            (engine, thread.spawn_scoped(scope, move || body(engine)).expect("a thread"))
        };
        let runs: Vec<_> = ENGINES.into_iter().map(start).collect();
        for (engine, run) in runs {
            if let Err(panic) = run.join() {
                eprintln!("over {engine}");
                std::panic::resume_unwind(panic);
            }
        }
    });
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
    assert_nothing_is_null(document);
}

/// What was not measured is null and never 0, and what was is a number: of every latency by its
/// count, of every second by its three latencies, which it has together, of shares by their whole.
pub fn assert_nothing_is_null(document: &Value) {
    let latencies = document["latency"].as_object().expect("latencies");
    let slip = document.pointer("/schedule/slip").filter(|slip| !slip.is_null());
    let named = latencies.iter().map(|(name, latency)| (name.as_str(), latency));
    for (name, latency) in named.chain(slip.map(|slip| ("slip", slip))) {
        let Some(keys) = latency.as_object() else { continue };
        let some = latency["count"].as_u64().expect("a count") > 0;
        for (key, value) in keys.iter().filter(|(key, _)| key.ends_with("_us")) {
            assert_eq!(value.is_number(), some, "{name}.{key}: {value}");
        }
    }
    for row in document["series"].as_array().expect("series") {
        let some = row["max_us"].is_number();
        for key in ["p50_us", "p99_us", "max_us"] {
            assert_eq!(row[key].is_number(), some, "{key} of {row}");
            assert_ne!(row[key].as_u64(), Some(0), "{key} of {row}");
        }
        assert!(some || row["ok"] == 0, "{row}");
    }
    let of = |pointer: &str| document.pointer(pointer).expect("a key");
    let ended = [of("/requests/ok"), of("/requests/failed")].iter().any(|count| **count != 0);
    assert_eq!(of("/rate/failed_ratio").is_number(), ended, "{}", document["rate"]);
    assert_eq!(of("/generator/cpu_us_per_request").is_number(), ended);
    let took_time = of("/duration_s").as_f64().expect("a time") > 0.0;
    assert_eq!(of("/rate/requests_per_s").is_number(), took_time, "{}", document["rate"]);
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
/// run beside this one, and may keep a server from closing in time.
pub fn findings(document: &Value) -> Vec<String> {
    let others = [
        "generator_saturated",
        "generator_starved",
        "generator_throttled",
        "other_connections",
        "server_ignores_close",
    ];
    let mut ids = all_findings(document);
    ids.retain(|id| !others.contains(&id.as_str()));
    ids
}

/// There is a finding of this id, with these words in its text, and with a cure.
pub fn assert_finding(document: &Value, id: &str, words: &[&str]) {
    let all = document.pointer("/kernel/findings").and_then(Value::as_array).expect("findings");
    let found = all.iter().find(|finding| finding["id"] == id);
    let found = found.unwrap_or_else(|| panic!("no {id} in {all:?}"));
    let text = found["text"].as_str().expect("a text");
    for word in words {
        assert!(text.to_lowercase().contains(word), "{id}: no {word:?} in {text:?}");
    }
    let cure = found["cure"].as_str().expect("a cure");
    assert!(!cure.is_empty(), "{id}: no cure");
    assert_pastes(id, cure);
    let severity = found["severity"].as_str().expect("a severity");
    assert!(["info", "warning", "error"].contains(&severity), "{id}: {severity}");
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
    let give_up = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < give_up, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether one attempt of a few holds: a busy machine spoils some, a bug all of them. Pauses between
/// them, longer and longer, as a noisy neighbour stays for a while.
pub fn in_some_attempt(attempt: impl Fn() -> Result<(), String>) {
    let mut reasons = Vec::new();
    while reasons.len() < 6 {
        match attempt() {
            Ok(()) => return,
            Err(reason) => {
                eprintln!("tried again: {reason}");
                reasons.push(reason);
            }
        }
        std::thread::sleep(Duration::from_millis(500) * reasons.len() as u32);
    }
    panic!("not once: {reasons:#?}");
}

/// For [`in_some_attempt`]: what is false may be true the next time.
pub fn hopefully(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The bundled server as a program of its own, which ends with this value.
pub struct ServerProcess {
    child: std::process::Child,
    /// Where it listens, as a URL.
    pub url: String,
}

impl ServerProcess {
    pub fn start(arguments: &str) -> ServerProcess {
        ServerProcess::start_at("127.0.0.1:0", arguments)
    }

    pub fn start_at(listen: &str, arguments: &str) -> ServerProcess {
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
        command.args(["--listen", listen]).args(arguments.split_whitespace());
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
