//! Whatever is typed: a plan, or one line that says what is wrong. A line of the input is an
//! argument. Nothing is read, and no name is resolved: arguments that name a file to read are left
//! out.

use clap::Parser;
use ringshot::commands::man;
use ringshot::engine::session::Session;
use ringshot::engine::session::http1::{Http1, RequestBlock, Shared};
use ringshot::plan::flags::{self, Cli, Command, RunArgs};
use ringshot::plan::{Endpoint, Outputs, Plan};
use ringshot::words::{UsageError, text};
use ringshot::{ComparePlan, SearchPlan};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What requests of a larger plan look like is not asked: they would have to be written.
const BLOCK_BYTES_MAX: u64 = 1 << 20;

/// Parses the arguments and makes the plan of them.
pub fn run(data: &[u8]) {
    let arguments = data.split(|&byte| byte == b'\n').map(OsStr::from_bytes);
    let words: Vec<&OsStr> = [OsStr::new("ringshot")].into_iter().chain(arguments).collect();
    let typed: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return is_one_line(&flags::usage_line(&error)),
        // The help, or the version.
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    keep_off_the_disk(&mut cli);
    let plan = match &cli.command {
        None => Plan::new(&cli.run, &typed).map_err(Into::into),
        Some(Command::Doctor(args)) => Plan::new(args, &typed).map_err(Into::into),
        Some(Command::Search(args)) => SearchPlan::new(args, &typed).map(|plan| plan.step),
        Some(Command::Compare(args)) => {
            ComparePlan::new(args, &typed).map(|plan| plan.run).map_err(Into::into)
        }
        Some(Command::Report(args)) => return judge(Outputs::new(&args.output)),
        Some(Command::Man { command }) => {
            return judge(man::manual(command));
        }
        Some(Command::Completions { .. } | Command::Tune(_)) => return,
    };
    if let Err(error) = &plan {
        is_one_line(&error.to_string());
    }
    if let Ok(plan) = plan {
        is_carried_out(&plan);
    }
}

fn judge<T>(result: Result<T, UsageError>) {
    if let Err(error) = result {
        is_one_line(&error.to_string());
    }
}

/// The words for a person are there, on one line, and steer no terminal.
fn is_one_line(text: &str) {
    assert!(!text.trim().is_empty(), "no word of what is wrong");
    assert!(!text.contains(text::steers), "{text:?}");
}

/// Takes out what would be read from a file.
fn keep_off_the_disk(cli: &mut Cli) {
    let run: &mut RunArgs = match &mut cli.command {
        Some(Command::Search(args)) => {
            args.resume = None;
            &mut args.run
        }
        Some(Command::Compare(args)) => &mut args.run,
        Some(Command::Doctor(args)) => args,
        _ => &mut cli.run,
    };
    run.body_file = None;
    run.headers.retain(|header| !header.starts_with('@'));
}

/// What follows from a plan without asking anybody: nothing typed becomes a second request.
fn is_carried_out(plan: &Plan) {
    assert!(plan.connections > 0 && plan.policy.pipeline > 0 && plan.policy.timeout_ns > 0);
    assert!(plan.requests != Some(0) && plan.threads != Some(0));
    assert!(plan.duration.is_some() || plan.requests.is_some(), "a run without an end");
    assert!(!plan.socket_options().is_empty());
    let Some(endpoint) = &plan.endpoint else { return };
    assert!(endpoint.port > 0 && !endpoint.host.is_empty());
    if let Some(credentials) = &endpoint.authorization {
        let tells = |word: &String| {
            let shown = Endpoint::parse(word);
            shown.is_ok_and(|shown| shown.authorization.as_ref() == Some(credentials))
        };
        // A password may be what is shown instead of one; a header may look like a URL.
        let is_header = |word: &String| plan.headers.iter().any(|(name, _)| word.contains(name));
        let mut words =
            plan.command.iter().filter(|word| !word.contains("***") && !is_header(word));
        assert_eq!(words.find(|word| tells(word)), None, "credentials are shown");
    }
    let request = plan.request(endpoint);
    let header_bytes: usize =
        request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let bytes = (header_bytes + request.target.len() + request.body.len()) as u64 + 1024;
    if bytes * u64::from(plan.policy.pipeline) > BLOCK_BYTES_MAX {
        return;
    }
    let block = RequestBlock::new(&request, plan.reuse());
    let shared = Shared::new(block);
    let sent = Http1::constant(&shared);
    let mut fields = vec![httparse::EMPTY_HEADER; request.headers.len() + 8];
    let mut parsed = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(_)) = parsed.parse(&sent) else {
        panic!("no request: {:?}", String::from_utf8_lossy(&sent));
    };
    assert_eq!(parsed.method, Some(&*request.method));
    assert_eq!(parsed.path, Some(&*request.target));
    let given = request.headers.len();
    assert!((given..=given + 4).contains(&parsed.headers.len()), "{:?}", parsed.headers);
}
