//! What a comparison is to be: the one load that every tool gets, who takes part, how often.

use super::tools::{self, Tool};
use crate::engine::ports::PortChoice;
use crate::plan::flags::{Cli, CompareArgs, RunArgs};
use crate::plan::{AddressChoice, Endpoint, Plan, parse, redact};
use crate::words::UsageError;
use clap::parser::ValueSource;
use clap::{Arg, Args, CommandFactory};
use std::cmp::Reverse;
use std::time::Duration;

/// More rounds than anybody waits for.
const ROUNDS_MAX: u32 = 1000;

/// How long a run may take that is limited by its requests alone.
const REQUESTS_TIME_MAX: Duration = Duration::from_secs(300);

/// What a run may take beyond its own time and one last timeout.
const GRACE: Duration = Duration::from_secs(10);

/// What a comparison is to be.
#[derive(Clone, Debug)]
pub struct ComparePlan {
    /// The load, as ringshot understands it.
    pub run: Plan,
    /// The load, flag by flag as it was typed: ringshot gets the same as a child.
    pub typed: Vec<String>,
    /// Who takes part beside ringshot.
    pub tools: Vec<&'static dyn Tool>,
    /// How often each of them runs.
    pub rounds: u32,
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    After(Duration),
    Requests(u64),
}

/// The load towards a target, as tools are given it.
#[derive(Clone, Debug)]
pub struct Mode {
    pub plan: Plan,
    pub endpoint: Endpoint,
    /// Threads, where the tool has them.
    pub threads: u32,
    /// Its headers beside the usual ones, credentials included.
    pub headers: Vec<(String, String)>,
    /// Those of their values that are not shown, and not passed as arguments where that can be
    /// avoided: others can read arguments.
    pub secrets: Vec<String>,
}

impl ComparePlan {
    /// Checks what was typed.
    ///
    /// # Errors
    /// The first value that cannot be used, with the flag's name and the accepted form; what other
    /// tools could not do in the same way.
    pub fn new(args: &CompareArgs, command: &[String]) -> Result<ComparePlan, UsageError> {
        refuse_what_others_lack(&args.run)?;
        let tools = named(&args.with)?;
        let rounds =
            parse::within_u32("--rounds", parse::count("--rounds", &args.rounds)?, ROUNDS_MAX)?;
        let run = Plan::new(&args.run, command)?;
        run.outputs.only(&["--json", "--report"], "compare")?;
        run.watches_nothing("compare")?;
        // What the tools are started with is text.
        if run.unix_socket().is_some_and(|socket| std::str::from_utf8(socket.bytes()).is_err()) {
            return Err(UsageError(
                "--unix-socket: a comparison needs a path in UTF-8; give a symbolic link to it"
                    .into(),
            ));
        }
        Ok(ComparePlan { run, typed: typed(command), tools, rounds })
    }

    /// How long one run may take before it has hung.
    pub fn limit(&self) -> Duration {
        let timeout = Duration::from_nanos(self.run.policy.timeout_ns);
        self.run.duration.unwrap_or(REQUESTS_TIME_MAX) + timeout + GRACE
    }
}

impl Mode {
    /// The load towards a target.
    pub fn of(plan: &Plan, endpoint: &Endpoint, threads: u32) -> Mode {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        let request = plan.request(endpoint);
        let secrets = plan.secrets(&request).into_iter().map(text).collect();
        let headers = request.headers.into_iter().map(|(name, value)| (name, text(value)));
        let headers = headers.collect();
        Mode { plan: plan.clone(), endpoint: endpoint.clone(), threads, headers, secrets }
    }

    /// What ends a run.
    pub fn stop(&self) -> Stop {
        match (self.plan.requests, self.plan.duration) {
            (Some(requests), _) => Stop::Requests(requests),
            (None, duration) => Stop::After(duration.unwrap_or_default()),
        }
    }

    /// The time for one request.
    pub fn timeout(&self) -> Duration {
        Duration::from_nanos(self.plan.policy.timeout_ns)
    }

    /// Whether source addresses or source ports were given.
    pub fn gives_sources(&self) -> bool {
        !self.plan.source_ips.names().is_empty()
            || matches!(self.plan.source_ports, PortChoice::Within(_))
    }

    /// Whether a value of a header is not shown.
    pub fn is_secret(&self, value: &str) -> bool {
        self.secrets.iter().any(|secret| secret == value)
    }

    /// An argument of a tool as it may be shown.
    pub fn shown(&self, word: &str) -> String {
        let of = |(name, value): &(String, String)| {
            let whole = self.is_secret(value) && word == format!("{name}: {value}");
            whole.then(|| format!("{name}: ***"))
        };
        match self.headers.iter().find_map(of) {
            Some(shown) => shown,
            None if self.is_secret(word) => "***".into(),
            None => match word.strip_prefix("--body=") {
                Some(body) => format!("--body=<{} bytes>", body.len()),
                None => redact(word),
            },
        }
    }

    /// What a tool has printed as it may be shown.
    pub fn scrubbed(&self, text: &str) -> String {
        // The longest first: one may be a part of another.
        let mut secrets: Vec<&String> = self.secrets.iter().collect();
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }

    /// Whether every request has a connection of its own.
    pub fn is_new_connections(&self) -> bool {
        self.plan.policy.requests_per_connection == Some(1)
    }
}

/// Every flag of the load that was typed, by its long name, but for those that a child is given
/// anew. In one word each: a value may start with a dash.
fn typed(command: &[String]) -> Vec<String> {
    const ANEW: [&str; 4] = ["threads", "cpus", "json", "report"];
    let typed = Cli::command().try_get_matches_from(command).ok();
    let Some(typed) = typed.as_ref().and_then(|typed| typed.subcommand_matches("compare")) else {
        return Vec::new();
    };
    let run = RunArgs::augment_args(clap::Command::new("run"));
    let is_typed = |arg: &&Arg| {
        typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
            && arg.get_long().is_some_and(|long| !ANEW.contains(&long))
    };
    let words = |arg: &Arg| -> Vec<String> {
        let long = arg.get_long().unwrap_or_default();
        let values = typed.get_raw(arg.get_id().as_str()).into_iter().flatten();
        match arg.get_action().takes_values() {
            true => values.map(|value| format!("--{long}={}", value.to_string_lossy())).collect(),
            false => vec![format!("--{long}")],
        }
    };
    run.get_arguments().filter(is_typed).flat_map(words).collect()
}

fn named(list: &str) -> Result<Vec<&'static dyn Tool>, UsageError> {
    let known = tools::names().join(",");
    let refuse = |why: String| {
        Err(UsageError(format!("--with {}: {why}; give some of {known}", list.escape_debug())))
    };
    let mut tools: Vec<&'static dyn Tool> = Vec::new();
    for name in list.split(',').map(str::trim) {
        let Some(tool) = tools::by_name(name) else {
            return refuse(format!("{} is not known", name.escape_debug()));
        };
        if tools.iter().any(|other| other.name() == name) {
            return refuse(format!("{name} is there twice"));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn refuse_what_others_lack(run: &RunArgs) -> Result<(), UsageError> {
    const CLOSED: &str = "a comparison is a closed loop, the only load that all of the tools know";
    const START: &str = "the other tools begin with all connections at once, and cannot slow down";
    const WARMUP: &str = "the other tools count from their first request on";
    let pacing = &run.pacing;
    for (flag, given, why) in [
        ("--rate", pacing.rate.is_some(), CLOSED),
        ("--stages", pacing.stages.is_some(), CLOSED),
        ("--arrivals", pacing.arrivals.is_some(), CLOSED),
        ("--seed", pacing.seed.is_some(), CLOSED),
        ("--backlog", pacing.backlog.is_some(), CLOSED),
        ("--think", pacing.think.is_some(), "the other tools know no pause between requests"),
        ("--ramp-connections", pacing.ramp_connections.is_some(), START),
        ("--connect-rate", pacing.connect_rate.is_some(), START),
        ("--warmup", pacing.warmup.is_some(), WARMUP),
        (
            "--addresses all",
            run.addresses == AddressChoice::All,
            "the other tools use one address of a name",
        ),
        ("--slo", !run.slos.is_empty(), "a comparison has a table, not a verdict on one tool"),
        (
            "--requests",
            run.requests.is_some() && run.duration.is_some(),
            "the other tools stop after a time or after so many requests; leave one out",
        ),
    ] {
        if given {
            return Err(UsageError(format!("{flag}: {why}")));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::plan::flags::Command;
    use clap::Parser;

    pub(crate) fn plan(arguments: &str) -> Result<ComparePlan, UsageError> {
        let words = "ringshot compare".split(' ').chain(arguments.split_whitespace());
        let words: Vec<String> = words.map(String::from).collect();
        let cli = Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{error}"));
        match cli.command {
            Some(Command::Compare(args)) => ComparePlan::new(&args, &words),
            other => panic!("{other:?}"),
        }
    }

    /// A load on two threads, towards `http://a:81/x`.
    pub(crate) fn mode(arguments: &str) -> Mode {
        let plan = plan(arguments).unwrap().run;
        Mode::of(&plan, &Endpoint::parse("http://a:81/x").unwrap(), 2)
    }

    #[test]
    fn all_tools_take_part_unless_some_are_named() {
        let names = |arguments: &str| -> Vec<_> {
            plan(arguments).unwrap().tools.iter().map(|tool| tool.name()).collect()
        };
        assert_eq!(names(""), ["wrk", "ab", "hey", "oha", "h2load"]);
        assert_eq!(names("--with oha,wrk"), ["oha", "wrk"]);
    }

    #[test]
    fn what_no_other_tool_does_is_refused() {
        for (arguments, text) in [
            ("-R 5", "--rate: a comparison is a closed loop"),
            ("--stages 1s:5", "--stages: a comparison is a closed loop"),
            ("--think 1s", "--think: the other tools know no pause"),
            ("--ramp-connections 1s", "--ramp-connections: the other tools begin with all"),
            ("--connect-rate 5", "--connect-rate: the other tools begin with all"),
            ("-w 1s", "--warmup: the other tools count from"),
            ("--addresses all", "--addresses all: the other tools use one address"),
            ("--slo p99<5ms", "--slo: a comparison has a table"),
            ("-n 100 -d 1s", "--requests: the other tools stop after a time or"),
            ("--rounds 0", "--rounds 0: give a whole number from 1 on"),
            ("--rounds 1001", "--rounds 1001: at most 1000"),
            ("--with wrk,curl", "--with wrk,curl: curl is not known; give some of wrk,ab,hey"),
            ("--with wrk,ab,wrk", "--with wrk,ab,wrk: wrk is there twice"),
            ("--with ,", "--with ,:  is not known"),
            ("--watch-pid 1", "--watch-pid"),
            ("--hdr a", "--hdr: `ringshot compare` writes only --json and --report"),
        ] {
            let error = plan(arguments).unwrap_err().0;
            assert!(error.starts_with(text), "{arguments}: {error}");
        }
    }

    #[test]
    fn no_tool_is_given_more_connections_than_requests() {
        // ab, hey and h2load would refuse.
        assert_eq!(mode("-n 10 -c 64").plan.connections, 10);
    }

    #[test]
    fn a_run_has_its_time_one_timeout_and_some_grace() {
        assert_eq!(plan("-d 2s --timeout 3s").unwrap().limit(), Duration::from_secs(15));
        assert_eq!(plan("-n 1000").unwrap().limit(), Duration::from_secs(320));
    }

    #[test]
    fn credentials_of_the_url_become_a_header() {
        let plan = plan("-d 1s http://me:secret@a/").unwrap().run;
        let mode = Mode::of(&plan, plan.endpoint.as_ref().unwrap(), 1);
        assert_eq!(mode.endpoint.url, "http://a/");
        assert_eq!(mode.headers, [("Authorization".into(), "Basic bWU6c2VjcmV0".into())]);
        assert_eq!(mode.shown("Authorization: Basic bWU6c2VjcmV0"), "Authorization: ***");
    }

    #[test]
    fn what_came_from_a_file_is_not_shown_whatever_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "X-Tenant: blue moon\nHost: inner").unwrap();
        let plan = plan(&format!("-d 1s -HX-Typed:red -H @{}", file.path().display())).unwrap().run;
        let mode = Mode::of(&plan, &Endpoint::parse("http://a/").unwrap(), 1);
        assert_eq!(mode.secrets, ["blue moon", "inner"]);
        for (word, shown) in [
            ("X-Tenant: blue moon", "X-Tenant: ***"),
            ("inner", "***"),
            ("X-Typed: red", "X-Typed: red"),
            ("-c", "-c"),
        ] {
            assert_eq!(mode.shown(word), shown);
        }
        assert_eq!(mode.scrubbed("bad header 'blue moon'"), "bad header '***'");
    }
}
