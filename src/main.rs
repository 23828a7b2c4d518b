//! The story of a run: parse, plan, preflight, run, report, exit code.

use clap::Parser;
use ringshot::cli::{Cli, Command, RunArgs};
use ringshot::doctor;
use ringshot::driver::uring;
use ringshot::kernel::Moment;
use ringshot::plan::{Endpoint, JsonOutput, Plan, UsageError};
use ringshot::preflight::Refusal;
use ringshot::preflight::checks::{self, Check, Verdict};
use ringshot::preflight::cpus::Placement;
use ringshot::preflight::ground::Ground;
use ringshot::preflight::host::HostFacts;
use ringshot::report::assemble::Circumstances;
use ringshot::report::console::format::{cpu_list, wrapped};
use ringshot::report::console::{self, Progress, Style};
use ringshot::report::{Report, json};
use ringshot::run::{self, Load, Measured};
use ringshot::session::http1::{Http1, RequestBlock, Shared};
use ringshot::tuning::command as tune;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const COULD_NOT_RUN: u8 = 1;
const USAGE: u8 = 2;
const LIMIT_BROKEN: u8 = 3;
const NOTHING_SUCCEEDED: u8 = 4;
/// A shell's convention for a process that a signal has ended.
const SIGNALLED: u8 = 128;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    let plan = |args: &RunArgs| Plan::new(args, &words).map_err(Box::<dyn Error>::from);
    let done = match &cli.command {
        None => plan(&cli.run).and_then(|plan| measure(&plan)),
        Some(Command::Doctor(args)) => plan(args).and_then(|plan| doctor::run(&plan)),
        Some(Command::Tune(args)) => Ok(tune::run(args, &mut io::stdout(), &mut io::stderr())),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        eprintln!("ringshot: {error}");
        if error.is::<UsageError>() { USAGE } else { COULD_NOT_RUN }
    }))
}

fn parse() -> Result<Cli, u8> {
    Cli::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // --help or --version; a closed pipe is no failure of ours.
            let _ = error.print();
            return 0;
        }
        // The first paragraph says what is wrong; usage is in --help.
        let text = error.to_string();
        let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let words: Vec<&str> = what.split_whitespace().collect();
        eprintln!("ringshot: {} (see --help)", words.join(" "));
        USAGE
    })
}

fn measure(plan: &Plan) -> Result<u8, Box<dyn Error>> {
    let ground = Ground::survey(plan, uring::probe(plan.ring_tier)?)?;
    if let Some(JsonOutput::File(path)) = &plan.json {
        json::check(path)?;
    }
    for note in &ground.placement.notes {
        eprintln!("ringshot: {note}");
    }
    let (_server, endpoint) = match &plan.endpoint {
        Some(endpoint) => (None, endpoint.clone()),
        None => bundled_server(&ground.placement).map(|(server, at)| (Some(server), at))?,
    };
    let load = ground.load(plan, &endpoint)?;
    let host = HostFacts::detect(ground.descriptors, &load.addresses, &load.ports);
    warn(&ground.examine(plan, &load, &host))?;

    let signals = Signals::catch()?;
    let before = Moment::now(&load.addresses);
    let measured = run_load(plan, &load, &endpoint, &signals.stop)?;
    let after = Moment::now(&load.addresses);

    let report = Report::new(
        &Circumstances {
            plan,
            url: &endpoint.url,
            load: &load,
            cpus: &ground.cpus,
            interrupted: signals.received().is_some(),
            before: &before,
            after: &after,
            host: &host,
        },
        &measured,
    );
    write(plan, &report)?;
    Ok(match signals.received() {
        Some(signal) => SIGNALLED + signal,
        None if report.requests.ok == 0 => NOTHING_SUCCEEDED,
        None if report.slo.iter().any(|outcome| !outcome.pass) => LIMIT_BROKEN,
        None => 0,
    })
}

/// Starts the server that is measured when no URL is given.
fn bundled_server(
    placement: &Placement,
) -> Result<(bench_server::Server, Endpoint), Box<dyn Error>> {
    let start = |port: u16| {
        bench_server::Server::start(bench_server::Config {
            listen: (Ipv4Addr::LOCALHOST, port).into(),
            threads: placement.server_threads,
            cpus: placement.server.clone(),
            ..Default::default()
        })
    };
    // An earlier run may have left all of the kernel's ports in TIME_WAIT: then any other will do.
    let server = match start(0) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            (10_000..10_100).map(start).find(Result::is_ok).unwrap_or(Err(error))
        }
        started => started,
    }
    .map_err(|error| format!("cannot start the bundled server: {error}"))?;
    let endpoint = Endpoint::parse(&format!("http://{}/", server.addr()))?;
    let place = match &placement.server {
        Some(cpus) => format!("on CPU {}", cpu_list(cpus)),
        None => "not pinned".into(),
    };
    eprintln!("ringshot: no URL given: measuring the bundled server, {} ({place})", endpoint.url);
    Ok((server, endpoint))
}

/// Says what will limit the run, before it starts; refuses what cannot run.
fn warn(checks: &[Check]) -> Result<(), Refusal> {
    checks::refuse(checks)?;
    let width = Style::stderr().width;
    for check in checks.iter().filter(|check| check.verdict == Verdict::Limits) {
        let what = format!("ringshot: {} ({}): {}", check.knob, check.current, check.why);
        let cure = format!("cure: {}", check.cure);
        let lines =
            [wrapped(&what, width.saturating_sub(2)), wrapped(&cure, width.saturating_sub(2))];
        eprintln!("{}\n  {}", lines[0].join("\n  "), lines[1].join("\n  "));
    }
    Ok(())
}

fn run_load(
    plan: &Plan,
    load: &Load,
    endpoint: &Endpoint,
    stop: &AtomicBool,
) -> io::Result<Measured> {
    let block = RequestBlock::new(&plan.request(endpoint), plan.reuse());
    let shared = || Shared::new(block.clone());
    let duration_s = load.duration.map(|duration| duration.as_secs_f64());
    let mut progress = Progress::on_stderr(duration_s, load.requests);
    let measured = run::run::<Http1>(load, shared, stop, |part, second, counters| {
        progress.tick(part, second, counters);
    });
    progress.finish();
    measured
}

/// The summary for people, and the document. With the document on standard output, everything for
/// people goes to standard error.
fn write(plan: &Plan, report: &Report) -> io::Result<()> {
    let shown = match plan.json {
        Some(JsonOutput::Stdout) => {
            console::summary(report, &mut io::stderr().lock(), Style::stderr())
        }
        _ => console::summary(report, &mut io::stdout().lock(), Style::stdout()),
    };
    // Nobody listens any more: no failure of the run.
    if let Err(error) = shown
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(error);
    }
    match &plan.json {
        Some(JsonOutput::Stdout) => json::write(report, "-"),
        Some(JsonOutput::File(path)) => json::write(report, path),
        None => Ok(()),
    }
}

/// The first signal ends the run and leaves a report, the second one ends the process.
struct Signals {
    stop: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for signal in [SIGINT, SIGTERM] {
            let code = i32::from(SIGNALLED) + signal;
            // Looks at `stop` before the next line sets it, so it acts on the second signal.
            signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone())?;
            signal_hook::flag::register(signal, stop.clone())?;
            signal_hook::flag::register_usize(signal, number.clone(), signal as usize)?;
        }
        Ok(Signals { stop, number })
    }

    fn received(&self) -> Option<u8> {
        match self.number.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as u8),
        }
    }
}
