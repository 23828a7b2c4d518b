//! Results outlive whoever the page is for: closed descriptors, a full disk, a reader or a terminal
//! that has gone, and a result that cannot be written beside others that can. And nothing outlives a
//! comparison that is ended at once.

mod support;

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use support::{Ran, assert_consistent, command, eventually, run_command, server};
use tempfile::TempDir;

const FULL: &str = "No space left on device";

/// A directory of one test, with all the results of a run.
struct Results(TempDir);

impl Results {
    fn new(test: &str) -> Results {
        let name = format!("ringshot-outlive-{test}-");
        Results(tempfile::Builder::new().prefix(&name).tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The flags that ask for all of them.
    fn flags(&self) -> String {
        let [json, csv, hdr, report] = ["run.json", "run.csv", "run.hgrm", "run.md"];
        format!(
            "--json {} --csv {} --hdr {} --report {}",
            self.path(json),
            self.path(csv),
            self.path(hdr),
            self.path(report)
        )
    }

    /// All are there, none of them has anything of a page in it. Returns the document.
    fn whole(&self) -> Value {
        let document: Value = serde_json::from_str(&self.read("run.json")).expect("JSON alone");
        assert_consistent(&document);
        let csv = self.read("run.csv");
        let columns = |line: &str| line.split(',').count();
        let first = csv.lines().next().expect("names");
        assert!(first.starts_with("t_s,"), "{csv}");
        assert!(csv.lines().all(|line| columns(line) == columns(first)), "{csv}");
        let percentiles = self.read("run.hgrm");
        let rows = percentiles.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let cells = |line: &str| line.split_whitespace().count();
        assert!(
            rows.clone().count() > 1 && rows.clone().all(|row| cells(row) == 4),
            "{percentiles}"
        );
        let report = self.read("run.md");
        assert!(report.starts_with("# "), "{report}");
        let plots = report.matches(".svg)").count();
        assert!(plots > 0, "{report}");
        for link in report.split("](").skip(1).filter_map(|rest| rest.split_once(".svg)")) {
            assert!(self.read(&format!("{}.svg", link.0)).ends_with("</svg>\n"), "{}", link.0);
        }
        document
    }
}

/// The program, started by a shell that redirects its descriptors.
fn redirected(arguments: &str, redirections: &str) -> Command {
    behind("", arguments, redirections)
}

/// The program, started by a shell that does something before.
fn behind(before: &str, arguments: &str, redirections: &str) -> Command {
    let program = command(arguments);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{before} exec \"$0\" \"$@\" {redirections}"));
    shell.arg(program.get_program()).args(program.get_args());
    shell
}

/// The program, whose standard output is a pipe that nobody reads any more.
fn unread(arguments: &str) -> Ran {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut program = command(arguments);
    let program = program.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let output = program.spawn().expect("it starts").wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        resident_bytes_max: 0,
    }
}

#[test]
fn a_page_that_cannot_be_written_costs_no_result_and_no_exit_code() {
    let server = server();
    for (redirections, told) in [
        (">/dev/full", Some(format!("cannot write the page to standard output: {FULL}"))),
        ("2>/dev/full", None),
        (">/dev/full 2>&1", None),
        (">&-", None),
        ("2>&-", None),
        ("<&- >&- 2>&-", None),
        ("<&- >&- 2>/dev/full", None),
    ] {
        let results = Results::new("page");
        let arguments = format!("-n 200 -c 4 -t 2 http://{}/ {}", server.addr(), results.flags());
        let ran = run_command(redirected(&arguments, redirections));
        assert_eq!(ran.code, Some(0), "{redirections}: {}", ran.stderr);
        assert_eq!(results.whole()["requests"]["ok"], 200, "{redirections}");
        let words = ran.stderr.lines().filter(|line| line.starts_with("ringshot: cannot"));
        assert_eq!(words.count(), usize::from(told.is_some()), "{redirections}: {}", ran.stderr);
        let told = told.unwrap_or_default();
        assert!(ran.stderr.contains(&told), "{redirections}: {}", ran.stderr);
    }
    let results = Results::new("unread");
    let url = format!("http://{}/", server.addr());
    let ran = unread(&format!("-n 200 -c 4 -t 1 {url} {}", results.flags()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("cannot write"), "who has gone wants no more: {}", ran.stderr);
    results.whole();
}

#[test]
fn a_result_that_cannot_be_written_costs_no_other() {
    let server = server();
    let url = format!("http://{}/", server.addr());
    let results = Results::new("one");
    let (json, csv) = (results.path("run.json"), results.path("run.csv"));
    // A broken limit would be 3: the code that promises nothing goes first.
    let arguments = format!(
        "-n 200 -c 4 -t 1 --slo p50<1us {url} --report /dev/full --hdr /dev/fd/9 --json {json} \
         --csv {csv}"
    );
    let ran = run_command(redirected(&arguments, "9>/dev/full"));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("cannot")).collect();
    let expected = ["/dev/fd/9", "/dev/full"]
        .map(|place| format!("ringshot: cannot write {place}: {FULL} (os error 28)"));
    assert_eq!(lines, expected, "{}", ran.stderr);
    let document: Value = serde_json::from_str(&results.read("run.json")).expect("a document");
    assert_eq!(document["requests"]["ok"], 200);
    assert!(results.read("run.csv").starts_with("t_s,"));
    assert!(ran.stdout.contains("\nRequests/sec: "), "the page comes last: {}", ran.stdout);
    // The document is one of them, wherever it goes.
    let arguments = format!("-n 200 -c 4 -t 1 {url} --csv {csv} --json");
    fs::remove_file(results.at("run.csv")).expect("it is there");
    for (to, place) in [("/dev/full", "/dev/full"), ("-", "to standard output")] {
        let ran = run_command(redirected(&format!("{arguments} {to}"), ">/dev/full"));
        assert_eq!(ran.code, Some(1), "{to}: {}", ran.stderr);
        let expected = format!("ringshot: cannot write {place}: {FULL}");
        assert!(ran.stderr.contains(&expected), "{to}: {}", ran.stderr);
        assert!(results.read("run.csv").starts_with("t_s,"));
        fs::remove_file(results.at("run.csv")).expect("it is there");
    }
    // A reader that has gone is no failure of the run.
    let ran = unread(&format!("{arguments} -"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nRequests/sec: "), "{}", ran.stderr);
    assert!(results.read("run.csv").starts_with("t_s,"));
}

#[test]
fn a_file_beyond_the_limit_is_a_failure_of_that_file() {
    let results = Results::new("limit");
    let ran = run_command(behind("ulimit -f 0;", &format!("-n 20 -c 2 {}", results.flags()), ""));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for name in ["run.json", "run.csv", "run.hgrm", "run.md"] {
        let told = format!("ringshot: cannot write {}: File too large", results.path(name));
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
    }
    assert!(ran.stdout.contains("\nRequests/sec: "), "{}", ran.stdout);
    assert_eq!(fs::read_dir(results.0.path()).expect("a directory").count(), 0);
}

#[test]
fn every_command_ends_in_the_same_way() {
    let results = Results::new("commands");
    let run = results.path("run.json");
    let made = run_command(command(&format!("-n 20 -c 2 -t 1 --json {run}")));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let state = results.path("none");
    // What is printed is all that was asked for.
    for arguments in [
        "completions bash",
        "man",
        "--help",
        "--version",
        &format!("report {run}"),
        &format!("tune show --state-dir {state}"),
    ] {
        let ran = run_command(redirected(arguments, ">/dev/full"));
        assert_eq!(ran.code, Some(1), "{arguments}: {}", ran.stderr);
        let expected = format!("ringshot: cannot write to standard output: {FULL}");
        assert!(ran.stderr.starts_with(&expected), "{arguments}: {}", ran.stderr);
        assert_eq!(unread(arguments).code, Some(0), "{arguments}");
        assert_eq!(run_command(redirected(arguments, "2>&-")).code, Some(0), "{arguments}");
    }
    // What is printed is beside the result.
    let (json, report) = (results.path("other.json"), results.path("other.md"));
    for arguments in [
        format!("doctor http://127.0.0.1:1/ -c 4 --json {json}"),
        format!("search --slo p99<1s -d 500ms http://127.0.0.1:1/ --json {json} --report {report}"),
    ] {
        let usual = run_command(command(&arguments));
        let written = fs::read_dir(results.0.path()).expect("a directory").count();
        for redirections in [">/dev/full", ">&-", "2>&-", ">/dev/full 2>&1", "2>/dev/full"] {
            fs::remove_file(&json).expect("a document");
            let _ = fs::remove_file(&report);
            let ran = run_command(redirected(&arguments, redirections));
            assert_eq!(ran.code, usual.code, "{arguments} {redirections}: {}", ran.stderr);
            serde_json::from_str::<Value>(&results.read("other.json")).expect("JSON alone");
            let again = fs::read_dir(results.0.path()).expect("a directory").count();
            assert_eq!(again, written, "{arguments} {redirections}");
        }
        // A usage error has its code, whether somebody reads the line or not.
        let wrong = format!("{arguments} --close never");
        assert_eq!(run_command(redirected(&wrong, "2>/dev/full")).code, Some(2), "{arguments}");
    }
}

/// A terminal, and the program that runs in it.
struct Session {
    /// The side of who sits before it; closed, the terminal is gone.
    master: PtyMaster,
    child: Child,
}

impl Session {
    /// Starts the program as the leader of a session of its own on a new terminal.
    fn start(ignoring_hangup: bool, arguments: &str) -> Session {
        // Not for children, of this test or another: it has to be gone when it is closed here.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("to be used");
        let slave = ptsname_r(&master).expect("its name");
        let mut slave_flags = OpenOptions::new();
        slave_flags.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
        let slave: File = slave_flags.open(slave).expect("its other side");
        let program = command(arguments);
        let script = if ignoring_hangup { "trap '' HUP; exec \"$@\"" } else { "exec \"$@\"" };
        let mut session = Command::new("setsid");
        session.args(["--ctty", "sh", "-c", script, "sh"]);
        session.arg(program.get_program()).args(program.get_args()).env("TERM", "xterm");
        session.stdin(slave.try_clone().expect("a descriptor"));
        session.stdout(slave.try_clone().expect("a descriptor")).stderr(slave);
        let child = session.spawn().expect("setsid");
        Session { master, child }
    }

    /// Reads what is on the terminal until the text is there.
    fn await_text(&mut self, text: &str) {
        let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&seen).contains(text) {
            match self.master.read(&mut chunk) {
                Ok(length) if length > 0 => seen.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                end => panic!("{end:?} after {:?}", String::from_utf8_lossy(&seen)),
            }
        }
    }

    /// Closes the terminal, and sends a signal again and again until the program has ended.
    fn hang_up(mut self, signal: Option<Signal>) -> ExitStatus {
        drop(self.master);
        end(&mut self.child, signal)
    }
}

/// Waits for an end, and sends a signal again and again until it has come.
fn end(child: &mut Child, signal: Option<Signal>) -> ExitStatus {
    let give_up = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if Instant::now() > give_up {
            let _ = child.kill();
            panic!("it never ended");
        }
        if let Some(signal) = signal {
            // Not waited for yet, so the number is still its own.
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn results_outlive_the_terminal() {
    let server = server();
    let results = Results::new("terminal");
    let url = format!("http://{}/", server.addr());
    let arguments = format!("-d 60s -c 4 -t 1 {url} {}", results.flags());
    let mut session = Session::start(false, &arguments);
    session.await_text("/s  p99 ");
    // The kernel sends a SIGHUP, a shell that ends another one; as many as there may be are no more
    // than the first.
    let status = session.hang_up(Some(Signal::SIGHUP));
    assert_eq!(status.code(), Some(129));
    let document = results.whole();
    assert_eq!(document["interrupted"], true);
    assert!(document["requests"]["ok"].as_u64() > Some(0));
}

#[test]
fn a_run_that_ignores_the_hangup_goes_on_without_a_terminal() {
    let server = server();
    let results = Results::new("nohup");
    let url = format!("http://{}/", server.addr());
    let arguments = format!("-d 3s -c 4 -t 1 {url} {}", results.flags());
    let mut session = Session::start(true, &arguments);
    session.await_text("/s  p99 ");
    // From here on every write to the terminal fails.
    let status = session.hang_up(None);
    assert_eq!(status.code(), Some(0));
    assert_eq!(results.whole()["interrupted"], false);
}

/// A comparison with a tool that never ends, and that has started something which holds its output
/// open. Secrets are in temporary files of it.
struct Comparison {
    directory: Results,
    child: Child,
}

impl Comparison {
    fn start(test: &str) -> Comparison {
        let directory = Results::new(test);
        let wrk = directory.at("wrk");
        let script = "#!/bin/sh\n\
            case \"$1\" in --version|-V) echo 'fake 9.8.7'; exit 0;; esac\n\
            setsid sleep 60 & echo $! >\"$0.away\"\n\
            : >\"$0.hangs\"\n\
            while :; do sleep 1; done\n";
        fs::write(&wrk, script).expect("a script");
        fs::set_permissions(&wrk, Permissions::from_mode(0o755)).expect("a program");
        fs::create_dir(directory.at("tmp")).expect("a directory");
        // Nobody reads it: when the runs are over the comparison waits for a reader.
        nix::unistd::mkfifo(&directory.at("json"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let mut comparison = command(&format!(
            "compare --with wrk -d 1s -c 4 -t 1 -HCookie:a=s3cret --json {}",
            directory.path("json")
        ));
        let path = format!("{}:/usr/bin:/bin", directory.0.path().display());
        comparison.env("PATH", path).env("TMPDIR", directory.at("tmp"));
        comparison.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = comparison.spawn().expect("it starts");
        let comparison = Comparison { directory, child };
        eventually("the tool hangs", || comparison.directory.at("wrk.hangs").exists());
        assert!(comparison.secrets() > 0 && comparison.is_running());
        comparison
    }

    /// How many temporary files have the secret in them.
    fn secrets(&self) -> usize {
        files_below(&self.directory.at("tmp"))
            .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("s3cret")))
            .count()
    }

    /// Whether there is a process of the tool's program.
    fn is_running(&self) -> bool {
        let program = self.directory.path("wrk");
        fs::read_dir("/proc").expect("/proc").flatten().any(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == program.as_bytes())
        })
    }
}

impl Drop for Comparison {
    fn drop(&mut self) {
        let away = fs::read_to_string(self.directory.at("wrk.away")).unwrap_or_default();
        if let Ok(away) = away.trim().parse() {
            let _ = kill(Pid::from_raw(away), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn files_below(directory: &Path) -> Box<dyn Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    Box::new(entries.flat_map(|entry| match entry.path() {
        path if path.is_dir() => files_below(&path),
        path => Box::new(std::iter::once(path)),
    }))
}

#[test]
fn a_second_signal_leaves_neither_children_nor_secrets() {
    let mut comparison = Comparison::start("second");
    let status = end(&mut comparison.child, Some(Signal::SIGINT));
    assert_eq!(status.code(), Some(130));
    let left: Vec<_> = fs::read_dir(comparison.directory.at("tmp")).expect("it").collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!comparison.is_running());
}

#[test]
fn a_comparison_that_is_killed_takes_its_child_along() {
    let mut comparison = Comparison::start("killed");
    comparison.child.kill().expect("it runs");
    eventually("the tool is gone", || !comparison.is_running());
}
