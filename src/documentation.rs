//! Completions and manual pages, made from the flags' own definitions ([`crate::cli`]): what is in
//! `--help` is in them.

use crate::cli::Cli;
use crate::plan::UsageError;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io;

/// The program's name, also where it is called by another.
const NAME: &str = "ringshot";

/// The completions for a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of the program, or of one of its commands, as roff.
///
/// # Errors
/// A command that there is not.
pub fn manual(command: Option<&str>) -> Result<String, UsageError> {
    let mut all = Cli::command();
    // Gives the commands their full names.
    all.build();
    let page = match command {
        None => all,
        Some(name) => all.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = all.get_subcommands().map(|known| known.get_name()).collect();
            let (name, names) = (name.escape_debug(), names.join(", "));
            UsageError(format!("man {name}: there is no such command; there are {names}"))
        })?,
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut roff)
        .map_err(|error| UsageError(format!("man: {error}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

/// Prints a text; a closed pipe is no failure.
///
/// # Errors
/// As [`crate::report::file::write()`].
pub fn print(text: &str) -> io::Result<u8> {
    crate::report::file::write(text, "-").map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

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
        let page = plain(&manual(None).unwrap());
        for flag in flags(&all) {
            assert!(page.contains(&format!("--{flag}")), "{flag}");
        }
        for command in all.get_subcommands() {
            let page = plain(&manual(Some(command.get_name())).unwrap());
            assert!(page.starts_with(".ie"), "{page}");
            for flag in flags(command) {
                assert!(page.contains(&format!("--{flag}")), "{} {flag}", command.get_name());
            }
        }
        assert!(manual(Some("no\x1bthing")).unwrap_err().0.contains("doctor"));
    }

    #[test]
    fn every_flag_and_command_is_completed() {
        let all = Cli::command();
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
