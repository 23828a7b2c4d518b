//! The story of a run: parse, plan, preflight, run, report, exit code.

use clap::Parser;
use ringshot::experiment::Experiment;
use ringshot::plan::Plan;
use ringshot::plan::flags::{self, Cli, Command, RunArgs};
use ringshot::report::console::{self, Page, Progress};
use ringshot::signals::Signals;
use ringshot::tuning::command as tune;
use ringshot::words::{UsageError, say};
use ringshot::{compare, doctor, documentation, render, search};
use std::error::Error;
use std::io;
use std::process::ExitCode;

const COULD_NOT_RUN: u8 = 1;
const USAGE: u8 = 2;
const LIMIT_BROKEN: u8 = 3;
const NOTHING_SUCCEEDED: u8 = 4;

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
        Some(Command::Search(args)) => search::command::run(args, &words),
        Some(Command::Compare(args)) => compare::command::run(args, &words),
        Some(Command::Report(args)) => render::run(args, &words),
        Some(Command::Completions { shell }) => {
            documentation::print(&documentation::completions(*shell)).map_err(Into::into)
        }
        Some(Command::Man { command }) => documentation::manual(command)
            .map_err(Into::into)
            .and_then(|page| documentation::print(&page).map_err(Into::into)),
        Some(Command::Tune(args)) => Ok(tune::run(args, &mut io::stdout(), &mut io::stderr())),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        say::line(&error);
        if error.is::<UsageError>() { USAGE } else { COULD_NOT_RUN }
    }))
}

fn parse() -> Result<Cli, u8> {
    Cli::try_parse().map_err(|error| {
        if error.use_stderr() {
            say::line(flags::usage_line(&error));
            return USAGE;
        }
        // --help or --version.
        match documentation::print(&error.to_string()) {
            Ok(done) => done,
            Err(error) => {
                say::line(error);
                COULD_NOT_RUN
            }
        }
    })
}

fn measure(plan: &Plan) -> Result<u8, Box<dyn Error>> {
    let experiment = Experiment::prepare(plan)?;
    let signals = Signals::catch()?;
    let duration_s = plan.duration.map(|duration| duration.as_secs_f64());
    let progress = Progress::on_stderr(duration_s, plan.requests);
    let report = experiment.run(plan, &signals, progress)?;
    // Whoever the page is for may have gone, and the terminal with them.
    let delivery = render::deliver(&plan.outputs, &report);
    Page::beside(&plan.outputs).show(|out, style| console::summary(&report, out, style));
    let broken = report.slo.iter().any(|outcome| !outcome.pass);
    Ok(delivery.code(match signals.exit_code() {
        Some(code) => code,
        None if report.requests.ok == 0 => NOTHING_SUCCEEDED,
        None if broken => LIMIT_BROKEN,
        None => 0,
    }))
}
