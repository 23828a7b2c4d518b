//! The command line as typed: the flags and their help texts, nothing else. [`crate::plan`] decides
//! what they mean and words the errors, so most values stay text here.

pub mod tune;

use crate::plan::flags::tune::TuneArgs;
use crate::plan::{AddressChoice, redact};
use crate::words::text::escape;
use clap::error::{ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

/// A usage error in one line. `--help` has the usage.
pub fn usage_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return "an argument is not UTF-8; in a URL, percent-encode such bytes, as in %FF (see \
                --help)"
            .into();
    }
    let mut text = error.to_string();
    // A secret may stand where no argument was expected: behind a forgotten -H, as a URL of another
    // tool's command line.
    for (_, value) in error.context() {
        if let ContextValue::String(word) = value {
            text = text.replace(word, &redact(word));
        }
    }
    // The first paragraph says it.
    let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let words: Vec<&str> = what.split_whitespace().collect();
    // Arguments are repeated as they were typed.
    format!("{} (see --help)", escape(&words.join(" ")))
}

/// Opens new HTTP connections over io_uring, as fast as the machine can, and says what stopped it.
///
/// Without a URL, ringshot starts the bundled server on a free loopback port, on the other half of
/// the processors, and measures that.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    allow_negative_numbers = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    override_usage = "ringshot [OPTIONS] [URL]\n       ringshot search --slo LIMIT [OPTIONS] \
                      [URL]\n       ringshot compare [OPTIONS] [URL]\n       \
                      ringshot doctor [OPTIONS] [URL]\n       \
                      ringshot report [OPTIONS] FILE.json...\n       \
                      ringshot tune show|apply|revert [OPTIONS]\n       \
                      ringshot completions SHELL\n       ringshot man [COMMAND]",
    after_help = "Exit codes: 0 done; 1 could not run; 2 usage; 3 a limit was broken; 4 nothing \
                  succeeded; 129, 130, 143 interrupted (with a report)."
)]
pub struct Cli {
    /// A command other than a run
    #[command(subcommand)]
    pub command: Option<Command>,

    /// A run
    #[command(flatten)]
    pub run: RunArgs,
}

/// The commands other than a run.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Find the highest rate that keeps the limits (--slo): double it, then bisect
    ///
    /// Takes the flags of a run; --duration and --warmup apply to each step. The exit code is 3 if
    /// no rate keeps the limits.
    #[command(allow_negative_numbers = true, max_term_width = 100)]
    Search(Box<SearchArgs>),

    /// Compare with wrk, ab, hey, oha and h2load: interleaved rounds, same CPUs, one table
    ///
    /// Takes the flags of a run. If another tool cannot do what a flag asks for, ringshot refuses
    /// the flag, or the tool's row says so. A run that has only a number of requests (-n) ends at
    /// the latest after 300 s, one --timeout and 10 s more.
    #[command(allow_negative_numbers = true, max_term_width = 100)]
    Compare(Box<CompareArgs>),

    /// Show what on this machine would limit such a run, and the cure; exit code 3 if something
    /// would
    ///
    /// Takes the flags of a run and runs nothing.
    #[command(allow_negative_numbers = true, max_term_width = 100)]
    Doctor(Box<RunArgs>),

    /// Print saved results as Markdown: one as a report, several side by side or merged
    ///
    /// Without --report, the page goes to standard output, without plots. Files whose names differ
    /// only in a number at the end (a-1.json, a-2.json) are repeated runs of one thing. A
    /// difference counts as a change only if it exceeds the spread between them.
    #[command(max_term_width = 100)]
    Report(ReportArgs),

    /// Print completions for a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },

    /// Print the manual page of ringshot, or of one of its commands
    Man {
        /// search, doctor, tune show, ...
        command: Vec<String>,
    },

    /// Show, apply or revert the kernel settings that matter to such loads
    Tune(TuneArgs),
}

/// The flags of a report.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Documents of --json
    #[arg(value_name = "FILE.json", required = true)]
    pub files: Vec<std::path::PathBuf>,

    /// Merge the results of several machines that ran one test together: counts are added,
    /// histograms merged exactly
    #[arg(long)]
    pub merge: bool,

    /// Where the report goes
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The flags of a search.
#[derive(Clone, Debug, Args)]
pub struct SearchArgs {
    /// The rate to start with, per second
    #[arg(long, value_name = "N", default_value = "1000", allow_hyphen_values = true)]
    pub from: String,

    /// How long the search may take; a step takes a twentieth of it, 1s to 3s, unless --duration
    /// and --warmup set its length
    #[arg(long, value_name = "TIME", default_value = "2m", allow_hyphen_values = true)]
    pub budget: String,

    /// How close the answer has to be to the lowest rate that breaks a limit
    #[arg(long, value_name = "SHARE", default_value = "2%", allow_hyphen_values = true)]
    pub precision: String,

    /// Continue an earlier search, from its --json document
    #[arg(long, value_name = "FILE")]
    pub resume: Option<std::path::PathBuf>,

    /// What each step runs
    #[command(flatten)]
    pub run: RunArgs,
}

/// The flags of a comparison.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Tools to compare with; tools that are not installed are skipped, with a hint on how to
    /// install them
    #[arg(long, value_name = "LIST", default_value = "wrk,ab,hey,oha,h2load")]
    pub with: String,

    /// How many times to run each tool
    #[arg(long, value_name = "N", default_value = "5", allow_hyphen_values = true)]
    pub rounds: String,

    /// What each of them runs
    #[command(flatten)]
    pub run: RunArgs,
}

/// The flags of a run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// What to measure
    #[arg(value_name = "URL", help = "What to measure: http://host[:port]/path")]
    pub url: Option<String>,

    /// Concurrent connections, over all threads
    #[arg(short, long, value_name = "N", default_value = "64", allow_hyphen_values = true)]
    pub connections: String,

    /// Worker threads, one ring each [default: available cores; half of them with the bundled
    /// server]
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    pub threads: Option<String>,

    /// Stop after this time, as in 500ms, 10s, 2m [default: 10s unless --requests is given]
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    pub duration: Option<String>,

    /// Stop when this many requests have started and ended, failed ones included
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true)]
    pub requests: Option<String>,

    /// Reuse connections [default: a new connection for every request]
    #[arg(short, long)]
    pub keepalive: bool,

    /// Requests per connection, before a new one is opened
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    pub requests_per_connection: Option<String>,

    /// Requests sent at once on one connection; implies --keepalive
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    pub pipeline: Option<String>,

    /// Which side closes: server (asked with `Connection: close`), client (with a FIN) or rst
    /// (client, with a reset)
    #[arg(long, value_name = "WHO", default_value = "server")]
    pub close: String,

    /// The request's method [default: GET; POST with a body]
    #[arg(short, long, value_name = "METHOD")]
    pub method: Option<String>,

    /// A request header, `Name: value`, or @FILE with one per line (@- for standard input), which
    /// keeps secrets off the command line; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER|@FILE")]
    pub headers: Vec<String>,

    /// A request header with environment variables, as in 'Authorization: Bearer {{TOKEN}}'; may be
    /// repeated
    #[arg(long = "expand-header", value_name = "HEADER")]
    pub expand_headers: Vec<String>,

    /// The request's body
    #[arg(short, long, value_name = "TEXT", conflicts_with = "body_file")]
    pub body: Option<String>,

    /// A file with the request's body
    #[arg(long, value_name = "FILE")]
    pub body_file: Option<std::path::PathBuf>,

    /// Time limit for one request, connecting included
    #[arg(long, value_name = "TIME", default_value = "10s", allow_hyphen_values = true)]
    pub timeout: String,

    /// Which addresses of a name get connections: the first that accepts, or all in turn. If a name
    /// has several, ringshot tries them before the run, with one extra connection each
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    pub addresses: AddressChoice,

    /// Connect to this unix socket; the URL gives the Host header and the path
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<std::path::PathBuf>,

    /// Connect to the abstract unix socket of this name, which has no file
    #[arg(long, value_name = "NAME")]
    pub abstract_unix_socket: Option<std::ffi::OsString>,

    /// Source addresses, used in turn: a list, or a prefix such as 10.0.0.0/28 for all of its
    /// addresses on this machine; each has its own ports [default: the address of the route]
    #[arg(long, value_name = "LIST|CIDR")]
    pub source_ip: Option<String>,

    /// What chooses source ports: kernel; LOW-HIGH (ringshot, in rotation, only these); or auto
    /// (ringshot if this side gets TIME_WAIT or holds many connections, else the kernel)
    #[arg(long, value_name = "WHO", default_value = "auto", allow_hyphen_values = true)]
    pub source_ports: String,

    /// CPUs to pin the threads to: a list such as 0,2-3, or none [default: the first allowed CPUs;
    /// the second half of them with the bundled server]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,

    /// A limit that the run must keep, else the exit code is 3: 'p99<5ms' (of total; or
    /// service.p99, connect.p99, first_byte.p99), 'errors<0.1%', 'rate>20k', 'connections>20k'; may
    /// be repeated. Dropped and timed-out requests count as slower than every measured latency
    #[arg(long = "slo", value_name = "LIMIT")]
    pub slos: Vec<String>,

    /// The server's process; its CPU, memory and descriptors are watched, with those of its
    /// children [default: the process on this machine that listens on the target's port]
    #[arg(long, value_name = "PID", allow_hyphen_values = true)]
    pub watch_pid: Option<String>,

    /// I/O engine. `auto` uses io_uring, or epoll if io_uring is unavailable, and says why
    #[arg(long, value_name = "auto|io_uring|epoll", default_value = "auto")]
    pub engine: String,

    /// Highest tier of io_uring to use: direct, plain or basic
    #[arg(long, value_name = "TIER", default_value = "direct", hide = true)]
    pub ring_tier: String,

    /// Where the results go
    #[command(flatten)]
    pub output: OutputArgs,

    /// How the load comes
    #[command(flatten)]
    pub pacing: PacingArgs,
}

/// Where the results go, beside the summary.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write the result document to a file, or to standard output with -
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,

    /// Write a report in Markdown, with its plots as SVG files beside it
    #[arg(short = 'o', long, value_name = "FILE.md")]
    pub report: Option<std::path::PathBuf>,

    /// Write the percentiles of total in the format of HdrHistogram's tools (.hgrm), in
    /// milliseconds
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<std::path::PathBuf>,

    /// Write the numbers of every second as comma-separated values
    #[arg(long, value_name = "FILE")]
    pub csv: Option<std::path::PathBuf>,
}

/// How the load comes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load model")]
pub struct PacingArgs {
    /// Requests per second over all threads, due on schedule whether or not the server keeps up
    /// (open loop) [default: each connection sends its next request when it has its answer (closed
    /// loop)]
    #[arg(short = 'R', long, value_name = "N", allow_hyphen_values = true)]
    pub rate: Option<String>,

    /// A sequence of rates, with ramps as FROM..TO: 10s:1000,30s:1000..20000,10s:0
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub stages: Option<String>,

    /// How requests are spread in an open loop: constant, or poisson (at random) [default: constant]
    #[arg(long, value_name = "HOW")]
    pub arrivals: Option<String>,

    /// Seed of the random times, to repeat a run [default: a new one each time]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub seed: Option<String>,

    /// How many due requests may wait for a free connection in an open loop; further ones are
    /// dropped and counted [default: 1M]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub backlog: Option<String>,

    /// Start with one connection and reach all of them after this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub ramp_connections: Option<String>,

    /// Open at most this many connections per second, over all threads
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub connect_rate: Option<String>,

    /// How long each connection pauses between an answer and its next request in a closed loop: a
    /// time, or a range such as 100ms..1s
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub think: Option<String>,

    /// Run for this time first, and leave it out of every number
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    pub warmup: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_is_wrong_is_said_in_one_line_that_steers_no_terminal() {
        for (argument, text) in [
            ("--nothing", "unexpected argument '--nothing' found (see --help)"),
            ("--a\x1b[2J", r"unexpected argument '--a\x1b[2J' found (see --help)"),
            ("--a\nb", "unexpected argument '--a b' found (see --help)"),
            (
                "--body",
                "a value is required for '--body <TEXT>' but none was supplied (see --help)",
            ),
        ] {
            let error = Cli::try_parse_from(["ringshot", argument]).unwrap_err();
            assert_eq!(usage_line(&error), text);
        }
        let url = OsStr::from_bytes(b"http://a/\xff");
        let error = Cli::try_parse_from([OsStr::new("ringshot"), url]).unwrap_err();
        assert!(usage_line(&error).contains("percent-encode such bytes"), "{error}");
    }
}
