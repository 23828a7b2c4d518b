//! The tools that ringshot is compared with: one file each, and here what they have in common.
//!
//! ```text
//!   Mode ──► Tool::invocation ──► argv, files ──► (a trial) ──► Output ──► Tool::read ──► ToolReport
//!                │ or why it cannot                                            │ or what is wrong
//! ```
//!
//! All of it is pure: what a tool is given is a table in its tests, and what it prints is read from
//! samples that were recorded from the real thing, in `samples/`. A tool has a `footnote`, because
//! what one calls latency is not what another one does.

mod ab;
mod h2load;
mod hey;
mod oha;
mod ringshot;
mod text;
mod wrk;

use super::plan::{Mode, Stop};
use crate::engine::policy::CloseMode;
use crate::kernel::UnixSocket;
pub(crate) use ringshot::{
    FOOTNOTE as RINGSHOT_FOOTNOTE, invocation as invoke_ringshot, read as read_ringshot,
};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A load generator.
pub trait Tool: Debug + Sync {
    /// The name of its program.
    fn name(&self) -> &'static str;

    /// A command that installs it.
    fn install(&self) -> &'static str;

    /// The arguments that make it tell its version; none when it does not.
    fn version_arguments(&self) -> &'static [&'static str];

    /// What its latency contains, and what else is different about its numbers.
    fn footnote(&self) -> &'static str;

    /// Whether it can keep only one processor busy.
    fn has_one_thread(&self) -> bool {
        false
    }

    /// How it is told to do this; its files are to be written into `scratch`.
    ///
    /// # Errors
    /// Why it cannot.
    fn invocation(&self, mode: &Mode, scratch: &Path) -> Result<Invocation, String>;

    /// What it says about a run.
    ///
    /// # Errors
    /// What is missing in its output.
    fn read(&self, output: &Output) -> Result<ToolReport, String>;
}

/// How a tool is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Its arguments; no shell sees them.
    pub arguments: Vec<String>,
    /// Files that it reads, and their contents.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// A file that it writes.
    pub written: Option<PathBuf>,
    /// The script among its files as it can be shown: without the request's body.
    pub script: Option<String>,
}

/// What a tool printed.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// To standard output.
    pub stdout: String,
    /// To the file that it was told to write.
    pub written: String,
}

/// What a tool says about a run, in the same words for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolReport {
    /// Whole answers, whatever their status.
    pub requests: u64,
    /// Those that the tool does not call an error.
    pub ok: u64,
    /// What it counts as errors.
    pub errors: u64,
    /// How long it says that it took.
    pub duration_s: f64,
    /// What it calls latency.
    pub latency: ToolLatencies,
    /// Answers on connections that were kept, where it counts them.
    pub kept: Option<u64>,
}

/// Latencies, of which a tool may not report all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolLatencies {
    /// The median.
    pub p50_us: Option<f64>,
    /// The 90th percentile.
    pub p90_us: Option<f64>,
    /// The 99th percentile.
    pub p99_us: Option<f64>,
    /// The longest.
    pub max_us: Option<f64>,
}

impl ToolLatencies {
    /// None of them where nothing was answered: zeros would look like a fast server.
    fn unless_empty(self, requests: u64) -> ToolLatencies {
        if requests == 0 { ToolLatencies::default() } else { self }
    }
}

const ALL: [&dyn Tool; 5] = [&wrk::Wrk, &ab::Ab, &hey::Hey, &oha::Oha, &h2load::H2load];

/// The names of all tools.
pub(crate) fn names() -> Vec<&'static str> {
    ALL.iter().map(|tool| tool.name()).collect()
}

pub(crate) fn by_name(name: &str) -> Option<&'static dyn Tool> {
    ALL.into_iter().find(|tool| tool.name() == name)
}

/// Where a program is, on a PATH.
pub(crate) fn find(name: &str, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let runs = |program: &PathBuf| {
        let found = std::fs::metadata(program);
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    // An empty entry means the directory that one is in, where nobody wants to find a program.
    std::env::split_paths(path?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(runs)
}

/// The version in what a tool prints when it is asked for it: the first word that begins with a
/// digit, also behind a slash.
pub(crate) fn version(text: &str) -> Option<String> {
    let number = |word: &str| {
        let last = word.rsplit('/').next()?.trim_end_matches([',', ';']);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-+~:".contains(c);
        let fits = last.starts_with(|c: char| c.is_ascii_digit())
            && last.contains('.')
            && last.chars().all(plain);
        fits.then(|| last.to_owned())
    };
    text.lines().take(4).flat_map(str::split_whitespace).find_map(number)
}

/// What none of the tools can be told to do, whoever it is. With `--close server` all of them ask
/// for `Connection: close`; some then close as soon as the answer is whole, and who is first is a
/// race. With `--close client` that race must not be lost, and no tool has an option for it.
fn beyond(mode: &Mode) -> Result<(), String> {
    let refused = match (mode.plan.policy.requests_per_connection, mode.plan.policy.close) {
        (Some(2..), _) => "it cannot limit the requests on a connection (-r)",
        (Some(_), CloseMode::Client) => "it cannot be told to close first (--close client)",
        (Some(_), CloseMode::Rst) => "it cannot reset its connections (--close rst)",
        _ if mode.gives_sources() => {
            "it cannot choose source addresses and ports (--source-ip, --source-ports)"
        }
        _ => return Ok(()),
    };
    Err(refused.into())
}

/// A tool that has no unix sockets.
fn no_unix_socket(mode: &Mode) -> Result<(), String> {
    match mode.endpoint.socket {
        None => Ok(()),
        Some(_) => Err("it cannot connect to a unix socket (--unix-socket)".into()),
    }
}

/// The path of the unix socket, if there is one, for a tool that needs a path.
fn socket_path(mode: &Mode) -> Result<Option<&str>, String> {
    match &mode.endpoint.socket {
        None => Ok(None),
        Some(UnixSocket::File(path)) => Ok(path.to_str()),
        Some(UnixSocket::Abstract(_)) => {
            Err("it cannot connect to an abstract unix socket (--abstract-unix-socket)".into())
        }
    }
}

/// A tool that has no pipelining.
fn no_pipeline(mode: &Mode) -> Result<(), String> {
    match mode.plan.policy.pipeline {
        1 => Ok(()),
        _ => Err("it cannot pipeline (-p)".into()),
    }
}

/// A tool that takes a time in whole seconds only.
fn whole_seconds(duration: Duration) -> Result<u64, String> {
    match duration.subsec_nanos() {
        0 => Ok(duration.as_secs()),
        _ => Err("it takes only whole seconds (-d)".into()),
    }
}

/// A timeout in whole seconds is no shorter than the one that was asked for.
fn seconds_up(timeout: Duration) -> u64 {
    timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0)
}

/// Arguments as words, with those that stand between them.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `-H 'Name: value'` for each header but those of these names.
fn headers(mode: &Mode, except: &[&str]) -> Vec<String> {
    mode.headers
        .iter()
        .filter(|(name, _)| !except.iter().any(|other| name.eq_ignore_ascii_case(other)))
        .flat_map(|(name, value)| ["-H".to_owned(), format!("{name}: {value}")])
        .collect()
}

/// The value of a header that has an option of its own.
fn header<'a>(mode: &'a Mode, name: &str) -> Option<&'a str> {
    let found = mode.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::mode;
    use crate::plan::Endpoint;

    #[test]
    fn versions_are_found_in_what_the_tools_print() {
        for (text, expected) in [
            ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer", Some("4.1.0-3+b2")),
            ("wrk 4.2.0 [epoll] Copyright (C) 2012 Will Glozer", Some("4.2.0")),
            ("This is ApacheBench, Version 2.3 <$Revision$>\nCopyright 1996", Some("2.3")),
            ("h2load nghttp2/1.52.0", Some("1.52.0")),
            ("oha 1.16.0", Some("1.16.0")),
            ("\x1b]0;9.9\x07 nothing", None),
            ("", None),
        ] {
            assert_eq!(version(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_no_tool_can_do_is_said_by_each() {
        for (arguments, reason) in [
            ("-r 5", "limit the requests on a connection"),
            ("--close client", "cannot be told to close first"),
            ("--close rst", "cannot reset"),
            ("--source-ports 40000-49999", "source addresses and ports"),
            ("--source-ip 127.0.0.2", "source addresses and ports"),
        ] {
            for tool in ALL {
                let refused = tool.invocation(&mode(arguments), Path::new("/s")).unwrap_err();
                assert!(refused.contains(reason), "{}, {arguments}: {refused}", tool.name());
            }
        }
        // With connections that are kept, who closes them does not matter.
        for tool in ALL {
            assert!(tool.invocation(&mode("-k --close client -d 1s"), Path::new("/s")).is_ok());
        }
    }

    #[test]
    fn a_unix_socket_is_for_those_that_can_connect_to_one() {
        let mode = |socket| {
            let mode = mode("-k -d 1s");
            Mode { endpoint: Endpoint { socket: Some(socket), ..mode.endpoint }, ..mode }
        };
        let words = |tool: &dyn Tool, socket| {
            Ok(tool.invocation(&mode(socket), Path::new("/s"))?.arguments.join(" "))
        };
        for tool in ALL {
            let file = words(tool, UnixSocket::File("/run/app.sock".into()));
            let name: Result<String, String> = words(tool, UnixSocket::Abstract("app".into()));
            let (given, refused) = match tool.name() {
                "oha" => {
                    (Some("--unix-socket /run/app.sock http://a:81/x"), "an abstract unix socket")
                }
                "h2load" => {
                    (Some("-B unix:/run/app.sock http://a:81/x"), "an abstract unix socket")
                }
                _ => (None, "a unix socket"),
            };
            match given {
                Some(given) => assert!(file.as_ref().unwrap().ends_with(given), "{file:?}"),
                None => assert!(file.unwrap_err().contains("a unix socket"), "{}", tool.name()),
            }
            assert!(name.unwrap_err().contains(refused), "{}", tool.name());
        }
    }

    #[test]
    fn output_that_is_no_output_is_refused() {
        for garbage in ["", "\0\u{fffd}", "{}", "[1]", "requests: many", "Requests/sec: 1e99999"] {
            for tool in ALL {
                let output = Output { stdout: garbage.into(), written: garbage.into() };
                assert!(tool.read(&output).is_err(), "{}: {garbage}", tool.name());
            }
            let output = Output { stdout: garbage.into(), ..Output::default() };
            assert!(read_ringshot(&output).is_err(), "ringshot: {garbage}");
        }
    }

    #[test]
    fn a_program_is_a_file_that_can_be_run() {
        let path = std::env::var_os("PATH");
        assert!(find("sh", path.as_deref()).is_some_and(|program| program.is_absolute()));
        assert_eq!(find("passwd", Some("/etc".as_ref())), None, "not one to run");
        assert_eq!(find("sh", Some(":.".as_ref())), None);
    }
}
