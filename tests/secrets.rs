//! Headers from files and the environment: they reach the server, and no output.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use support::peers::{Listen, Peer};
use support::{Ran, Running, command, run_command};

/// In every secret of these tests.
const SECRET: &str = "s3cret";

/// A server that lets only those in who know.
fn guarded() -> Peer {
    Peer::start(Listen::default(), |mut stream: TcpStream| {
        let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => head.extend_from_slice(&buffer[..count]),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let known = ["Authorization: Bearer s3cret-a b\r\n", "X-Tenant: s3cret-c\r\n"];
        let status = if known.iter().all(|line| head.contains(line)) { 200 } else { 403 };
        write!(stream, "HTTP/1.1 {status} Well\r\nContent-Length: 0\r\n\r\n")
    })
}

/// A directory with files of headers.
fn files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in [
        (
            "both",
            "# for the tests\r\nAuthorization: Bearer s3cret-a b\r\n\r\nX-Tenant: s3cret-c\r\n",
        ),
        ("tenant", "X-Tenant: s3cret-c"),
        ("wrong", "X-Tenant: s3cret-c\ns3cret without a name\n"),
    ] {
        fs::write(directory.path().join(name), text).expect("a file");
    }
    directory
}

fn assert_silent(what: &str, text: &str) {
    assert!(!text.contains(SECRET), "{what}: {text}");
}

#[test]
fn they_reach_the_server_and_no_output() {
    let (server, directory) = (guarded(), files());
    let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let from_environment = "Authorization: Bearer {{RINGSHOT_TEST_A}} b";
    let cases: [&[String]; 3] = [
        &["-H".into(), format!("@{}", at("both"))],
        &[format!("-H@{}", at("tenant")), format!("--expand-header={from_environment}")],
        &[
            "--expand-header".into(),
            from_environment.into(),
            "--expand-header=X-Tenant: {{RINGSHOT_TEST_C}}".into(),
        ],
    ];
    for flags in cases {
        let mut run = command("-n 40 -c 4 -t 1");
        run.arg(server.url()).args(flags);
        run.env("RINGSHOT_TEST_A", "s3cret-a").env("RINGSHOT_TEST_C", "s3cret-c");
        let outputs = [("--json", "run.json"), ("-o", "run.md"), ("--csv", "run.csv")];
        for (flag, name) in outputs {
            run.arg(flag).arg(at(name));
        }
        let ran = run_command(run);
        assert_eq!(ran.code, Some(0), "{flags:?}: {}", ran.stderr);
        assert!(ran.stdout.contains("40 ok, 0 failed"), "{flags:?}: {}", ran.stdout);
        assert_silent("stdout", &ran.stdout);
        assert_silent("stderr", &ran.stderr);
        for (_, name) in outputs {
            assert_silent(name, &fs::read_to_string(at(name)).expect("an output"));
        }
        if let Some(file) = flags.iter().find_map(|flag| flag.strip_prefix('@')) {
            let document = fs::read_to_string(at("run.json")).expect("a document");
            assert!(document.contains(&format!("\"@{file}\"")), "{document}");
        }
    }
}

#[test]
fn standard_input_will_do() {
    let (server, directory) = (guarded(), files());
    let both = fs::File::open(directory.path().join("both")).expect("a file");
    let run = command(&format!("-n 4 -c 1 {} -H @- --json -", server.url()))
        .stdin(both)
        .output()
        .expect("a run");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{stderr}");
    assert!(stdout.contains("\"ok\": 4,"), "{stdout}");
    assert_silent("all", &format!("{stdout}{stderr}"));
}

#[test]
fn errors_name_the_place_and_not_the_secret() {
    let directory = files();
    let wrong = directory.path().join("wrong");
    let wrong = wrong.to_str().expect("UTF-8");
    for (flags, expected) in [
        (["-H", &format!("@{wrong}")], format!("--header @{wrong}: line 2: give `Name: value`")),
        (["-H", "@/no/file"], "--header @/no/file: No such file".into()),
        (
            ["--expand-header", "A: {{RINGSHOT_TEST_NONE}}"],
            "--expand-header A: the variable RINGSHOT_TEST_NONE is not set; export it".into(),
        ),
    ] {
        let mut run = command("-n 1 http://127.0.0.1:1/");
        run.args(flags);
        let ran = run_command(run);
        assert_eq!(ran.code, Some(2), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with(&format!("ringshot: {expected}")), "{}", ran.stderr);
        assert_silent("stderr", &ran.stderr);
    }
}

/// A comparison with programs that tell what they were given, and whether a secret was in it.
fn compare(arguments: &[&str], stdin: Stdio) -> Ran {
    let fakes = tempfile::tempdir().expect("a directory");
    for tool in ["wrk", "hey"] {
        let script = r#"#!/bin/sh
case "$1" in --version|-V) echo 'fake 9.8.7'; exit 0;; esac
for word; do case $word in *.lua) mode=$(stat -c %a "${word%/*}");; esac; done
case "$*" in *s3cret*) echo "$* told" >&2;; *) echo "untold $mode" >&2;; esac
exit 3
"#;
        let program = fakes.path().join(tool);
        fs::write(&program, script).expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
    }
    let mut run: Command = command("compare --rounds 2 -d 1s -c 4 -t 1 --json - --with wrk,hey");
    run.args(arguments).env("PATH", format!("{}:/usr/bin:/bin", fakes.path().display()));
    Running::start_with(run, stdin).finish()
}

#[test]
fn a_comparison_hands_them_on_and_shows_none() {
    let (server, directory) = (guarded(), files());
    // Standard input is there once; each child has what was in it all the same.
    let both = fs::File::open(directory.path().join("both")).expect("a file");
    let ran = compare(&[&server.url(), "-H", "@-"], both.into());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_silent("stdout", &ran.stdout);
    assert_silent("stderr", &ran.stderr);
    assert!(ran.stderr.contains("hey can be given headers only as arguments"), "{}", ran.stderr);
    let document = ran.document();
    let row = |name: &str| {
        let rows = document["tools"].as_array().expect("tools");
        rows.iter().find(|row| row["name"] == name).expect("a row").clone()
    };
    let ours = row("ringshot");
    for round in ours["rounds"].as_array().expect("rounds") {
        assert!(round["ok"].as_u64().expect("a count") > 0 && round["errors"] == 0, "{round}");
    }
    assert!(ours["command"].to_string().contains("\"--header=@headers\""), "{ours}");
    // Its script is in a directory that nobody else can look into.
    assert_eq!(row("wrk")["rounds"][0]["note"], "exit code 3: untold 700");
    let hey = row("hey");
    let note = hey["rounds"][0]["note"].as_str().expect("a note");
    assert!(note.contains("X-Tenant: ***") && note.ends_with("told"), "{note}");
    assert!(hey["command"].to_string().contains("\"X-Tenant: ***\""), "{hey}");
}
