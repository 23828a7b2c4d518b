//! `ringshot compare`: with the tools that are here, and with tools that misbehave.

mod support;

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Ran, command, run_command, server};

/// What wrk prints, with a number of requests of our choice.
fn wrk_output(requests: u64) -> String {
    format!(
        "echo '  Thread Stats   Avg      Stdev     Max   +/- Stdev'\n\
         echo '    Latency     2.01ms    1.58ms  11.84ms   77.63%'\n\
         echo '     50%    1.43ms'\n\
         echo '  {requests} requests in 1.00s, 371.42KB read'\n\
         echo 'Requests/sec:   {requests}.00'\n"
    )
}

/// A directory with programs that pass for the tools.
struct Fakes(PathBuf);

impl Fakes {
    fn new(name: &str, scripts: &[(&str, &str)]) -> Fakes {
        let path = std::env::temp_dir().join(format!("ringshot-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        for (tool, script) in scripts {
            let program = path.join(tool);
            // Asked for its version, a tool answers at once.
            let version = "case \"$1\" in --version|-V) echo 'fake 9.8.7'; exit 0;; esac";
            fs::write(&program, format!("#!/bin/sh\n{version}\n{script}\n")).expect("a script");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        Fakes(path)
    }

    /// The program with this directory as its PATH; the scripts use nothing but the shell's own.
    fn command(&self, arguments: &str) -> Command {
        let mut command = command(&format!("compare {arguments}"));
        command.env("PATH", &self.0);
        command
    }

    fn compare(&self, arguments: &str) -> Ran {
        run_command(self.command(arguments))
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn row<'a>(document: &'a Value, name: &str) -> &'a Value {
    let rows = document["tools"].as_array().expect("tools");
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no row of {name}"))
}

fn note(document: &Value, name: &str) -> String {
    row(document, name)["rounds"][0]["note"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn tools_that_misbehave_have_it_in_their_rows_and_the_others_stand() {
    let fakes = Fakes::new(
        "misbehaving",
        &[
            ("wrk", "echo 'cannot: \x1b[31mred' >&2; exit 3"),
            ("ab", "kill -11 $$"),
            ("hey", "echo '<html>'"),
            (
                "oha",
                "i=0; while [ $i -lt 200000 ]; do echo '{}{}{}{}{}{}{}{}{}{}'; i=$((i+1)); done",
            ),
        ],
    );
    let ran = fakes.compare("--rounds 1 -d 1s -c 4 -t 1 --json -");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    assert_eq!(document["schema"], "ringshot.compare/1");
    assert_eq!(note(&document, "wrk"), r"exit code 3: cannot: \x1b[31mred");
    assert!(note(&document, "ab").starts_with("ended by signal 11"), "{document}");
    assert!(note(&document, "hey").starts_with("its output has no"), "{document}");
    assert!(note(&document, "oha").starts_with("its output is no JSON"), "{document}");
    assert_eq!(row(&document, "wrk")["version"], "9.8.7");
    assert_eq!(row(&document, "h2load")["installed"], false);
    assert!(ran.stderr.contains("h2load is not installed: apt install nghttp2-client"));
    let ours = row(&document, "ringshot");
    assert!(ours["medians"]["requests_per_s"].as_f64().expect("a rate") > 0.0, "{ours}");
    assert!(ours["medians"]["memory_peak_bytes"].as_u64().expect("memory") > 1_000_000, "{ours}");
    assert!(ran.stderr.contains(r"exit code 3: cannot: \x1b[31mred"), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\x1b'), "{:?}", ran.stderr);
}

#[test]
fn a_tool_that_hangs_is_killed_and_the_next_one_runs() {
    let fakes = Fakes::new("hanging", &[("hey", "while :; do :; done"), ("wrk", &wrk_output(5))]);
    // A run has its time, one timeout and ten seconds more.
    let ran = fakes.compare("--with hey,wrk --rounds 1 -d 1s --timeout 1s -c 4 -t 1 --json -");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    assert_eq!(note(&document, "hey"), "killed after 12 s, because it did not end");
    assert_eq!(row(&document, "wrk")["rounds"][0]["requests"], 5);
}

#[test]
fn a_tool_that_says_more_than_the_server_has_seen_is_marked() {
    let fakes = Fakes::new("lying", &[("wrk", &wrk_output(5000))]);
    let ran = fakes.compare("--with wrk --rounds 2 -d 1s -c 4 -t 1 --json -");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    let wrk = row(&document, "wrk");
    assert_eq!((&wrk["differs"], &wrk["rounds"][0]["requests"]), (&true.into(), &5000.into()));
    assert_eq!(wrk["rounds"][0]["seen_by_server"]["requests"], 0);
    assert_eq!(
        note(&document, "wrk"),
        "it says that 5,000 requests were answered, the server saw 0"
    );
    assert!(ran.stderr.contains("\nwrk !  "), "{}", ran.stderr);
    let verdict = document["verdict"].to_string();
    assert!(!verdict.contains("wrk"), "it is no measure of anything: {verdict}");
    assert_eq!(row(&document, "ringshot")["differs"], false);
    assert_eq!(row(&document, "ringshot")["rounds"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_server_of_a_url_is_asked_and_credentials_are_never_shown() {
    let server = server();
    let fakes = Fakes::new("url", &[("wrk", &wrk_output(5000))]);
    let url = format!("http://me:secret@{}/", server.addr());
    let arguments = format!("--with wrk --rounds 1 -d 1s -k -c 4 -t 1 --json - {url}");
    let ran = fakes.compare(&format!("{arguments} -HCookie:a=hidden"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    for name in ["wrk", "ringshot"] {
        let seen = &row(&document, name)["rounds"][0]["seen_by_server"];
        assert_eq!(seen["by"], "stats", "{document}");
    }
    assert_eq!(row(&document, "wrk")["differs"], true);
    assert_eq!(row(&document, "ringshot")["differs"], false, "{document}");
    assert!(server.stats().requests > 0);
    for secret in ["secret", "hidden", "bWU6c2VjcmV0"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret}");
    }
}

#[test]
fn a_comparison_that_is_interrupted_kills_the_tool_and_reports_what_was_done() {
    // One run for the table, then one that would take an hour.
    let script =
        format!("{}[ -e \"$0.ran\" ] && while :; do :; done; : >\"$0.ran\"", wrk_output(9));
    let fakes = Fakes::new("interrupted", &[("wrk", &script)]);
    let report = fakes.0.join("report.md");
    let arguments = format!("--with wrk -d 1s -c 4 -t 1 --json - --report {}", report.display());
    let mut child = fakes.command(&arguments);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pid = child.id().to_string();
    // The second run of wrk begins when the first has left its mark and ended.
    let give_up = Instant::now() + Duration::from_secs(60);
    let hangs = || {
        let ran = fakes.0.join("wrk.ran").exists();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let mut commands = children
            .split_whitespace()
            .map(|child| fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default());
        // More CPU time than the first run, which only echoes, ever needs.
        ran && commands.any(|stat| {
            let ticks = stat.split_whitespace().nth(13).and_then(|ticks| ticks.parse::<u64>().ok());
            stat.contains("(wrk)") && ticks.is_some_and(|ticks| ticks > 10)
        })
    };
    while !hangs() {
        assert!(Instant::now() < give_up, "the second run never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let output = child.wait_with_output().expect("output");
    assert_eq!(output.status.code(), Some(130));
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(document["interrupted"], true);
    assert_eq!(row(&document, "wrk")["rounds"].as_array().map(Vec::len), Some(1), "{document}");
    let report = fs::read_to_string(report).expect("a report");
    assert!(report.contains("**interrupted**"), "{report}");
    let own = fakes.0.join("wrk");
    let left = fs::read_dir("/proc").expect("/proc").flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&*own.to_string_lossy())
    });
    assert!(!left, "the tool is still running");
}

#[test]
fn without_any_tool_there_is_nothing_to_compare_with() {
    let fakes = Fakes::new("none", &[]);
    let ran = fakes.compare("--with wrk,oha -d 1s");
    assert_eq!(ran.code, Some(1));
    for line in ["wrk is not installed: apt install wrk", "oha is not installed: cargo install oha"]
    {
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
    }
}

#[test]
fn what_was_measured_stands_although_a_later_run_cannot_be_prepared() {
    // It takes the directory away in which the script for its next run would have to be.
    let script = format!(
        "for word; do case \"$word\" in */wrk.lua) /bin/rm -r \"${{word%/*}}\";; esac; done\n{}",
        wrk_output(9)
    );
    let fakes = Fakes::new("unprepared", &[("wrk", &script)]);
    let ran = fakes.compare("--with wrk --rounds 2 -d 1s -c 2 -t 1 -p 4 -b login=secret --json -");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.document();
    let rounds = &row(&document, "wrk")["rounds"];
    assert_eq!(rounds[0]["requests"], 9, "{document}");
    assert!(rounds[1]["note"].as_str().is_some_and(|note| note.contains("wrk.lua cannot be wr")));
    let script = row(&document, "wrk")["script"].as_str().expect("a script");
    assert!(script.contains("wrk.body = <12 bytes>") && !script.contains("secret"), "{script}");
}

#[test]
fn where_nothing_answers_nothing_succeeds() {
    let fakes = Fakes::new("refused", &[("wrk", "echo 'unable to connect'; exit 1")]);
    let ran = fakes.compare("--with wrk --rounds 1 -d 1s -c 2 -t 1 http://127.0.0.1:1/ --json -");
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert_eq!(note(&ran.document(), "wrk"), "exit code 1: unable to connect");
}

#[test]
fn flags_that_no_other_tool_knows_are_usage_errors() {
    for (arguments, text) in [
        ("-R 100", "--rate: a comparison is a closed loop"),
        ("--rounds 0", "--rounds 0: give a whole number"),
        ("--with nobody", "nobody is not known; give some of wrk,ab,hey,oha,h2load"),
        ("--with wrk,wrk", "wrk is there twice"),
        ("--watch-pid 1", "`ringshot compare` does not watch a process"),
    ] {
        let ran = run_command(command(&format!("compare {arguments}")));
        assert_eq!(ran.code, Some(2), "{arguments}: {}", ran.stderr);
        assert!(ran.stderr.contains(text), "{arguments}: {}", ran.stderr);
    }
}

const KNOWN: [&str; 5] = ["wrk", "ab", "hey", "oha", "h2load"];

/// The tools that are here.
fn installed() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = |tool: &&str| std::env::split_paths(&path).any(|at| at.join(tool).is_file());
    KNOWN.into_iter().filter(here).collect()
}

#[test]
fn the_tools_that_are_here_say_what_the_server_has_seen() {
    let tools = installed();
    if tools.is_empty() {
        support::netns::skip("none of wrk, ab, hey, oha, h2load is installed");
        return;
    }
    let missing: Vec<&str> = KNOWN.into_iter().filter(|tool| !tools.contains(tool)).collect();
    if !missing.is_empty() {
        // Past the test harness, which would swallow it.
        let _ = writeln!(std::io::stderr(), "skipped: {}: not installed", missing.join(", "));
    }
    // wrk knows only a time, h2load opens new connections only with -n, pipelining is known to both.
    for (mode, rounds) in [("-d 1s", 1), ("-n 2000", 2), ("-k -d 1s", 1), ("-p 8 -d 1s", 1)] {
        // On a box that is busy a tool may have a timeout, or end late; not three times in a row.
        let mut found = Vec::new();
        let good = (0..3).any(|_| {
            found = complaints(&tools, mode, rounds);
            found.is_empty()
        });
        assert!(good, "{mode}: {found:#?}");
    }
}

/// Runs real tools, and returns what is not as it should be in their rows.
fn complaints(tools: &[&str], mode: &str, rounds: usize) -> Vec<String> {
    let with = tools.join(",");
    let ran = run_command(command(&format!(
        "compare --with {with} --rounds {rounds} {mode} -c 8 -t 1 --json -"
    )));
    assert_eq!(ran.code, Some(0), "{mode}: {}", ran.stderr);
    let document = ran.document();
    let is_wrong = |row: &&Value| {
        let told = row["rounds"].as_array().map_or(0, Vec::len);
        if row["cannot"].is_string() {
            return told != 0;
        }
        let medians = &row["medians"];
        told != rounds
            || medians["rounds"] != rounds
            || medians["errors"] != 0
            || row["differs"] != false
            || medians["ratio"].as_f64().is_none_or(|ratio| ratio <= 0.0)
    };
    let rows = tools.iter().chain(&["ringshot"]).map(|name| row(&document, name));
    rows.filter(is_wrong).map(Value::to_string).collect()
}
