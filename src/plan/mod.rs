//! What the user asked for. The flags arrive as text. This module checks them once, converts them
//! into units, and nothing changes them later. No other module judges a flag.
//!
//! ```text
//!   flags ──► parse, headers, body, url, pacing, limit, outputs ──► Plan ──► describe
//!     │           each refuses in one sentence what it cannot use     │
//!     └──► redaction: the command line as it may be shown ────────────┘
//! ```

mod body;
mod closing;
pub(crate) mod describe;
pub mod flags;
mod headers;
pub(crate) mod limit;
mod outputs;
mod pacing;
pub(crate) mod parse;
mod redaction;
mod unix_socket;
mod url;

use crate::engine::driver::uring::Tier;
use crate::engine::driver::{EngineChoice, SocketOption};
use crate::engine::policy::{CloseMode, Policy};
use crate::engine::ports::{PortChoice, SourceList};
use crate::engine::session::http1;
use crate::kernel::UnixSocket;
use crate::plan::flags::RunArgs;
use crate::plan::limit::Limit;
use crate::words::UsageError;
use crate::words::text::escape;
pub use describe::{Description, StageSummary};
use headers::Headers;
pub use outputs::{JsonOutput, Outputs, PLOTS, plot_file};
pub use pacing::Pacing;
pub(crate) use redaction::redact;
use std::sync::Arc;
use std::time::Duration;
pub use url::Endpoint;

/// How long a run takes by default.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// The receive buffer of a slot: a head and a small body; more for pipelined answers.
const RECEIVE_BYTES_MIN: usize = 4 * 1024;
const RECEIVE_BYTES_MAX: usize = 64 * 1024;
const RECEIVE_BYTES_PER_ANSWER: usize = 512;

/// All the requests of a pipelined batch lie in memory side by side.
const BATCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Slots are numbered within a thread.
const CONNECTIONS_MAX: u32 = 16_777_216;

/// The kernel gives no higher number to a process (`PID_MAX_LIMIT`).
const PID_MAX: u32 = 4_194_304;

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The command line, without secrets.
    pub command: Vec<String>,
    /// Where the plan differs from what was typed; reported before the run.
    pub notes: Vec<String>,
    /// The target; `None` for the bundled server.
    pub endpoint: Option<Endpoint>,
    /// Which of a name's addresses connections go to.
    pub addresses: AddressChoice,
    /// Concurrent connections over all threads: never more than there are requests for.
    pub connections: u32,
    /// Worker threads, if given.
    pub threads: Option<u32>,
    /// The limit of time.
    pub duration: Option<Duration>,
    /// The limit of requests.
    pub requests: Option<u64>,
    /// How the load comes.
    pub pacing: Pacing,
    /// What the run must keep.
    pub slos: Vec<Limit>,
    /// How connections behave.
    pub policy: Policy,
    /// The request, except for the host and the path, which [`Plan::request`] fills in.
    pub method: String,
    /// Headers beside the usual ones.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Their values that no output may show, because they came from a file or the environment.
    pub hidden_values: Vec<Vec<u8>>,
    /// The body, empty for none.
    pub body: Arc<[u8]>,
    /// The source addresses that were asked for.
    pub source_ips: SourceList,
    /// What chooses source ports.
    pub source_ports: PortChoice,
    /// Where to pin.
    pub cpus: CpuChoice,
    /// The process to watch; `None` for the one that listens on the target's port.
    pub watch_pid: Option<u32>,
    /// Where the results go.
    pub outputs: Outputs,
    /// The I/O engine.
    pub engine: EngineChoice,
    /// The best ring tier that may be used.
    pub ring_tier: Tier,
}

/// Where the worker threads run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuChoice {
    /// On CPUs of our choice.
    Auto,
    /// On these, in turn.
    List(Vec<usize>),
    /// Wherever the scheduler puts them.
    Unpinned,
}

/// Which of a name's addresses are to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AddressChoice {
    /// The first that accepts
    #[default]
    First,
    /// All that accept, in turn
    All,
}

impl AddressChoice {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            AddressChoice::First => "first",
            AddressChoice::All => "all",
        }
    }
}

impl Plan {
    /// Checks what was typed.
    ///
    /// # Errors
    /// The first value that cannot be used, with the flag's name and the accepted form.
    pub fn new(cli: &RunArgs, command: &[String]) -> Result<Plan, UsageError> {
        let pipeline = parse::optional_count("--pipeline", cli.pipeline.as_deref())?;
        let per_connection = parse::optional_count(
            "--requests-per-connection",
            cli.requests_per_connection.as_deref(),
        )?;
        let reuse = cli.keepalive || pipeline.is_some();
        let requests_per_connection = match per_connection {
            None if reuse => None,
            None => Some(1),
            given => given,
        };
        let pipeline = parse::within_u32("--pipeline", pipeline.unwrap_or(1), 65_536)?;
        let (body, has_body) = body::read(cli)?;
        let requests = parse::optional_count("--requests", cli.requests.as_deref())?;
        let given = cli.duration.as_deref().map(|text| parse::duration("--duration", text));
        let duration = match given.transpose()? {
            None if cli.pacing.stages.is_none() && requests.is_none() => Some(DURATION_DEFAULT),
            given => given,
        };
        let pacing = Pacing::new(&cli.pacing, duration)?;
        let slo = |text: &String| {
            Limit::parse(text).map_err(|accepted| {
                UsageError(format!("--slo {}: {accepted}", text.escape_debug()))
            })
        };
        let connections = parse::count("--connections", &cli.connections)?;
        let connections = parse::within_u32("--connections", connections, CONNECTIONS_MAX)?;
        let useful = useful_connections(connections, requests, &pacing);
        let threads = parse::optional_count("--threads", cli.threads.as_deref())?;
        let threads = threads.map(|n| parse::within_u32("--threads", n, 4096)).transpose()?;
        let watch_pid = parse::optional_count("--watch-pid", cli.watch_pid.as_deref())?;
        let watch_pid =
            watch_pid.map(|pid| parse::within_u32("--watch-pid", pid, PID_MAX)).transpose()?;
        let headers = Headers::of(cli)?;
        let close = parse::close_mode(&cli.close)?;
        let (close, close_note) = closing::resolve(close, requests_per_connection, &headers.all);
        let socket = unix_socket::asked(cli)?;
        // See `Features::for_unix_sockets`.
        let tier_max = if socket.is_some() { Tier::Plain } else { Tier::Direct };
        let endpoint = match &cli.url {
            Some(url) => Some(Endpoint { socket, ..Endpoint::parse(url)? }),
            None => None,
        };
        let sent_as = endpoint.as_ref().zip(cli.url.as_deref());
        let sent_as = sent_as.and_then(|(endpoint, typed)| endpoint.sent_as(typed));
        let length_note = body::length_note(&headers.all, body.len());
        let notes = sent_as.map(|note| escape(&note));
        let plan = Plan {
            command: redaction::command(command, cli),
            notes: notes.into_iter().chain(close_note).chain(length_note).collect(),
            endpoint,
            addresses: cli.addresses,
            connections: useful,
            threads,
            duration: duration.or(pacing.stages_duration()),
            requests,
            pacing,
            slos: cli.slos.iter().map(slo).collect::<Result<_, _>>()?,
            policy: Policy {
                requests_per_connection,
                pipeline,
                close,
                timeout_ns: parse::duration("--timeout", &cli.timeout)?.as_nanos() as u64,
                holds: false,
                discard_from_bytes: receive_buffer_bytes(pipeline) as u64,
            },
            method: parse::method(cli.method.as_deref(), has_body)?,
            headers: headers.all,
            hidden_values: headers.hidden,
            body,
            source_ips: match &cli.source_ip {
                Some(text) => SourceList::parse(text)?,
                None => SourceList::default(),
            },
            source_ports: parse::source_ports(&cli.source_ports)?,
            cpus: parse::cpus(cli.cpus.as_deref())?,
            watch_pid,
            outputs: Outputs::new(&cli.output)?,
            engine: parse::engine(&cli.engine)?,
            ring_tier: parse::ring_tier(&cli.ring_tier)?.min(tier_max),
        };
        unix_socket::check(&plan)?;
        plan.check_limits()?.check_batch()
    }

    /// Refuses a process to watch for a command that watches none.
    ///
    /// # Errors
    /// There is one.
    pub fn watches_nothing(&self, command: &str) -> Result<(), UsageError> {
        match self.watch_pid {
            Some(pid) => Err(UsageError(format!(
                "--watch-pid {pid}: `ringshot {command}` does not watch a process; leave it out"
            ))),
            None => Ok(()),
        }
    }

    fn check_limits(self) -> Result<Plan, UsageError> {
        let uncorrected = self.slos.iter().find(|limit| limit.is_of_uncorrected());
        match uncorrected.filter(|_| !self.pacing.is_open_loop()) {
            Some(limit) => Err(UsageError(format!(
                "--slo {limit}: only an open loop (--rate, --stages) has `uncorrected`; in a \
                 closed loop, use total"
            ))),
            None => Ok(self),
        }
    }

    fn check_batch(self) -> Result<Plan, UsageError> {
        let batch_bytes = u64::from(self.policy.pipeline) * (self.body.len() as u64 + 1024);
        if self.policy.pipeline > 1 && batch_bytes > BATCH_BYTES_MAX {
            return Err(UsageError(format!(
                "--pipeline {}: a batch with this body has {} MiB; at most {} MiB are accepted",
                self.policy.pipeline,
                batch_bytes >> 20,
                BATCH_BYTES_MAX >> 20
            )));
        }
        Ok(self)
    }

    /// Where connections go instead of the URL's host and port.
    pub fn unix_socket(&self) -> Option<&UnixSocket> {
        self.endpoint.as_ref()?.socket.as_ref()
    }

    /// The request, as the sessions send it to `endpoint`.
    pub fn request(&self, endpoint: &Endpoint) -> http1::Request {
        let mut headers = self.headers.clone();
        let given = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some(authorization) = &endpoint.authorization
            && !given("authorization")
        {
            headers.push(("Authorization".into(), authorization.clone().into_bytes()));
        }
        http1::Request {
            method: self.method.clone(),
            target: endpoint.target.clone(),
            host: endpoint.host_header.clone(),
            headers,
            body: self.body.clone(),
        }
    }

    /// The values of its headers that no output may show: those that came from a file or the
    /// environment, and those that are credentials by their name.
    pub fn secrets(&self, request: &http1::Request) -> Vec<Vec<u8>> {
        let secret = |(name, value): &&(String, Vec<u8>)| {
            !value.is_empty()
                && (redaction::is_secret_name(name) || self.hidden_values.contains(value))
        };
        request.headers.iter().filter(secret).map(|(_, value)| value.clone()).collect()
    }

    /// How the sessions reuse a connection.
    pub fn reuse(&self) -> http1::Reuse {
        let announces_close = self.policy.close == CloseMode::Server;
        http1::Reuse {
            pipeline: self.policy.pipeline,
            keeps: !announces_close || self.policy.requests_per_connection != Some(1),
            announces_close,
        }
    }

    /// The most bytes that one receive may return.
    pub fn receive_buffer_bytes(&self) -> usize {
        receive_buffer_bytes(self.policy.pipeline)
    }

    /// What is set on every socket.
    pub fn socket_options(&self) -> Vec<SocketOption> {
        if self.unix_socket().is_some() {
            // All of these are TCP's.
            return Vec::new();
        }
        let mut options = Vec::new();
        if self.policy.requests_per_connection == Some(1) {
            // The ACK that ends the handshake can travel with the request, which follows at once:
            // one packet and one wake-up of the server less.
            options.push(SocketOption::int(libc::IPPROTO_TCP, libc::TCP_QUICKACK, 0));
        } else {
            // A batch larger than a segment must not wait for the ACK of the segment before.
            options.push(SocketOption::int(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1));
        }
        if self.policy.close == CloseMode::Rst {
            options.push(SocketOption::reset_on_close());
        }
        options
    }
}

/// How many of the connections have a request to carry: with `-n 10`, the 11th would never be
/// opened. A warm-up has no limit of requests, and uses all of them.
fn useful_connections(connections: u32, requests: Option<u64>, pacing: &Pacing) -> u32 {
    let limit = requests.filter(|_| pacing.warmup.is_zero());
    limit.map_or(connections, |limit| u64::from(connections).min(limit) as u32)
}

/// Which side keeps TIME_WAIT under a policy.
pub fn time_wait_owner(policy: &Policy) -> &'static str {
    match policy.close {
        CloseMode::Rst => "nobody",
        CloseMode::Client => "client",
        // Without a last request on a connection, the server cannot be asked to close it.
        CloseMode::Server if policy.requests_per_connection.is_none() => "client",
        CloseMode::Server => "server",
    }
}

fn receive_buffer_bytes(pipeline: u32) -> usize {
    (pipeline as usize * RECEIVE_BYTES_PER_ANSWER).clamp(RECEIVE_BYTES_MIN, RECEIVE_BYTES_MAX)
}

#[cfg(test)]
mod tests;
