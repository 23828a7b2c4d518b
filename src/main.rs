//! Parse, match the command, exit code.

use clap::Parser;
use ringshot::commands::{compare, doctor, man, report, run, search, tune};
use ringshot::plan::flags::{self, Cli, Command};
use ringshot::words::{UsageError, exit, say};
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    let done = match &cli.command {
        None => run::run(&cli.run, &words),
        Some(Command::Search(args)) => search::run(args, &words),
        Some(Command::Compare(args)) => compare::run(args, &words),
        Some(Command::Doctor(args)) => doctor::run(args, &words),
        Some(Command::Report(args)) => report::run(args, &words),
        Some(Command::Tune(args)) => Ok(tune::run(args, &mut io::stdout(), &mut io::stderr())),
        Some(Command::Completions { shell }) => man::run(Ok(man::completions(*shell))),
        Some(Command::Man { command }) => man::run(man::manual(command)),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        say::line(&error);
        if error.is::<UsageError>() { exit::USAGE } else { exit::COULD_NOT }
    }))
}

/// What was typed, or the exit code where that is no command, or asks for help.
fn parse() -> Result<Cli, u8> {
    Cli::try_parse().map_err(|error| {
        if error.use_stderr() {
            say::line(flags::usage_line(&error));
            return exit::USAGE;
        }
        // --help or --version.
        man::run(Ok(error.to_string())).unwrap_or_else(|error| {
            say::line(error);
            exit::COULD_NOT
        })
    })
}
