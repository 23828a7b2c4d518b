//! A long run that has to stay the same: ringshot against a server whose faults are switched on and
//! off, watched from outside, and judged.
//!
//! ```text
//!   bench-server (faulty, in this process) ◄── requests ── ringshot (a child)
//!        │ counts of requests, faults, connections           │ /proc: memory, descriptors, threads
//!        └──────────────► a Sample every second ◄────────────┘
//!                               │        the child's result document
//!                               ▼                 ▼
//!                             judge: a Check for each thing that must not drift
//!                               ▼
//!                             page: the report; exit code 1 when a check fails
//! ```
//!
//! The server knows how many faults of each kind it made, so what ringshot calls a failure is held
//! against it one by one. `benches/soak.sh` builds both programs and calls this one.

#![allow(clippy::print_stderr)]

// Its table of tests is in `tests/soak.rs`, which has this file as a module.
pub mod judge;
mod page;
pub mod watch;

use bench_server::{Backend, Config, Server};
use clap::Parser;
use judge::{Check, Outcome};
use ringshot::result::Report;
use ringshot::words::file;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// How long a run that has a number of requests may take.
const REQUESTS_TIME_MAX: Duration = Duration::from_secs(4 * 3600);

/// What ringshot may take beyond its time, for its reports.
const GRACE: Duration = Duration::from_secs(60);

/// Runs ringshot against a server that misbehaves, and fails when anything drifts.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak", max_term_width = 100)]
pub struct Args {
    /// How long, as in 30m or 180s
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
    pub duration: Duration,

    /// Stop after so many requests instead
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub requests: Option<u64>,

    /// How many of 100 requests meet a fault
    #[arg(long, value_name = "PERCENT", default_value = "1")]
    pub faults: f64,

    /// For how long there are none, and then for how long there are some; 0s for always
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub switch: Duration,

    /// Concurrent connections
    #[arg(long, short, value_name = "N", default_value = "64")]
    pub connections: u64,

    /// Reuse connections
    #[arg(long, short)]
    pub keepalive: bool,

    /// The program
    #[arg(long, value_name = "FILE", default_value = "target/release/ringshot")]
    pub ringshot: PathBuf,

    /// Where the report goes; ringshot's own is beside it
    #[arg(long, short = 'o', value_name = "FILE.md", default_value = "reports/soak.md")]
    pub report: PathBuf,

    /// Further flags of ringshot, such as `--close client`
    #[arg(last = true, value_name = "FLAGS")]
    pub flags: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(checks) if checks.iter().all(|check| check.pass) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs, judges, prints the verdict and writes the report.
///
/// # Errors
/// When there was nothing to judge, or the report cannot be written.
pub fn run(args: &Args) -> Result<Vec<Check>, Box<dyn Error>> {
    file::check(&args.report)?;
    let server = server()?;
    let (mut command, document) = command(args, &server);
    // The document of another run must not be taken for this one's.
    let _ = fs::remove_file(&document);
    let limit = if args.requests.is_some() { REQUESTS_TIME_MAX } else { args.duration } + GRACE;
    eprintln!("soak: {command:?}");
    let watched = watch::watch(&mut command, &server, limit)?;
    let report = read(&document).map_err(|error| {
        format!("ringshot left no document: {error}; it ended {}", watched.end())
    })?;
    let stats = server.stats();
    let outcome = Outcome {
        exit_code: watched.exit_code,
        wanted: args.requests,
        connections: args.connections,
        kept: args.keepalive,
        duration_s: report.duration_s,
        requests: report.requests,
        errors: (report.errors.iter())
            .map(|error| (format!("{}/{}", error.phase, error.kind), error.count))
            .collect(),
        in_flight: report.series.iter().map(|row| (row.t_s, row.in_flight)).collect(),
        server_requests: stats.requests,
        faults: stats.faults,
    };
    let checks = judge::judge(&watched.samples, &outcome);
    for check in &checks {
        eprintln!("{:6}  {:12}  {}", check.verdict(), check.name, check.text);
    }
    let page = page::page(args, &report, &watched.samples, &outcome, &checks);
    file::write(&page, &args.report)?;
    Ok(checks)
}

/// On the last CPU where there are several; ringshot begins with the first.
fn server() -> std::io::Result<Server> {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let last = cpus.last().filter(|_| cpus.len() > 1).map(|cpu| vec![cpu.id]);
    let listen = ([127, 0, 0, 1], 0).into();
    Server::start(Config { listen, threads: 1, cpus: last, backend: Backend::Faulty })
}

/// What to start, and where its document will be.
fn command(args: &Args, server: &Server) -> (Command, PathBuf) {
    let beside = |end: &str| args.report.with_extension(format!("run.{end}"));
    let mut path = format!("/faulty/{}", args.faults);
    if !args.switch.is_zero() {
        let seconds = args.switch.as_secs_f64();
        path.push_str(&format!("/{seconds}/{seconds}"));
    }
    let mut command = Command::new(&args.ringshot);
    command.arg(format!("http://{}{path}", server.addr()));
    // The stalls of the server are longer; a box that does not let it run for so long is too busy.
    command.args(["--timeout", "5s", "-c", &args.connections.to_string()]);
    if !args.flags.iter().any(|flag| flag.starts_with("-t") || flag.starts_with("--threads")) {
        command.args(["-t", "1"]);
    }
    if args.keepalive {
        command.arg("--keepalive");
    }
    let time = if args.requests.is_some() { REQUESTS_TIME_MAX } else { args.duration };
    command.args(["--duration", &format!("{}s", time.as_secs_f64())]);
    if let Some(requests) = args.requests {
        command.args(["--requests", &requests.to_string()]);
    }
    command.arg("--json").arg(beside("json")).arg("--report").arg(beside("md"));
    command.args(&args.flags).stdin(Stdio::null()).stdout(Stdio::null());
    (command, beside("json"))
}

fn read(document: &Path) -> Result<Report, Box<dyn Error>> {
    Ok(serde_json::from_slice(&fs::read(document)?)?)
}
