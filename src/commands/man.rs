//! Completions and manual pages, made from the flags' own definitions ([`crate::plan::flags`]), so
//! they contain everything in `--help`.

use crate::engine::driver::EngineChoice;
use crate::engine::pace::schedule::Arrivals;
use crate::engine::policy::CloseMode;
use crate::plan::flags::Cli;
use crate::words::{UsageError, exit, file};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::error::Error;

/// The program's name, also if the file is called something else.
const NAME: &str = "ringshot";

/// The completions for a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_values(), NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The flags, with the values of those that take one of a few words: they arrive as text and the
/// plan judges them, but a shell can offer them.
fn with_values() -> Command {
    let modes = [CloseMode::Server, CloseMode::Client, CloseMode::Rst].map(CloseMode::name);
    let arrivals = [Arrivals::Constant, Arrivals::Poisson].map(Arrivals::name);
    let engines = EngineChoice::ALL.map(EngineChoice::name);
    let offer = |command: Command| {
        command
            .mut_arg("close", |argument| argument.value_parser(modes))
            .mut_arg("arrivals", |argument| argument.value_parser(arrivals))
            .mut_arg("engine", |argument| argument.value_parser(engines))
    };
    ["search", "doctor", "compare"]
        .into_iter()
        .fold(offer(Cli::command()), |all, name| all.mut_subcommand(name, offer))
}

/// The manual page of the program, or of one of its commands (`tune show`), as roff.
///
/// # Errors
/// An unknown command.
pub fn manual(command: &[String]) -> Result<String, UsageError> {
    let mut all = Cli::command();
    // Gives the commands their full names.
    all.build();
    let mut page = &all;
    for name in command {
        page = page.find_subcommand(name).ok_or_else(|| {
            let names: Vec<&str> = page.get_subcommands().map(|known| known.get_name()).collect();
            let names = if names.is_empty() { "none".into() } else { names.join(", ") };
            let name = name.escape_debug();
            UsageError(format!("man {name}: there is no such command; the commands are {names}"))
        })?;
    }
    let mut roff = Vec::new();
    clap_mangen::Man::new(page.clone())
        .render(&mut roff)
        .map_err(|error| UsageError(format!("man: {error}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

/// Prints a text, or refuses; a closed pipe is no failure.
///
/// # Errors
/// The refusal; as [`file::write()`].
pub fn run(text: Result<String, UsageError>) -> Result<u8, Box<dyn Error>> {
    file::write(&text?, "-")?;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every flag of a command that is not hidden, without its dashes.
    fn flags(command: &Command) -> Vec<String> {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        shown.filter_map(|argument| argument.get_long().map(String::from)).collect()
    }

    #[test]
    fn every_flag_is_in_the_manual_of_its_command() {
        let mut all = Cli::command();
        all.build();
        let plain = |page: &str| page.replace("\\-", "-");
        let page = plain(&manual(&[]).unwrap());
        for flag in flags(&all) {
            assert!(page.contains(&format!("--{flag}")), "{flag}");
        }
        for command in all.get_subcommands() {
            let page = plain(&manual(&[command.get_name().to_owned()]).unwrap());
            assert!(page.starts_with(".ie"), "{page}");
            for flag in flags(command) {
                assert!(page.contains(&format!("--{flag}")), "{} {flag}", command.get_name());
            }
        }
        let nested = manual(&["tune".to_owned(), "show".to_owned()]).unwrap();
        assert!(nested.contains("ringshot\\-tune\\-show"), "{nested}");
        assert!(manual(&["no\x1bthing".to_owned()]).unwrap_err().0.contains("doctor"));
    }

    #[test]
    fn every_flag_and_command_is_completed() {
        let all = Cli::command();
        // Of a run, a search, the doctor and a comparison.
        for values in ["server client rst", "constant poisson", "auto io_uring epoll"] {
            assert_eq!(completions(Shell::Bash).matches(values).count() % 4, 0, "{values}");
            assert!(completions(Shell::Bash).contains(values), "{values}");
        }
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let script = completions(shell);
            for flag in flags(&all) {
                assert!(script.contains(&flag), "{shell}: {flag}");
            }
            for command in all.get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
