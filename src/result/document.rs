//! The document of a run (`"schema": "ringshot.run/1"`).

use super::addresses::TargetAddress;
use super::finding::Finding;
use super::latency::{Latency, LatencySet};
use super::{merge, slo};
use crate::engine::run::second::Second;
use crate::engine::tally::Tally;
use crate::kernel;
use crate::observe::Watch;
use crate::plan::Description;

use crate::statistics::{Confidence, Steadiness, rounded};
use crate::words::Word;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name and version of the document's shape.
pub const SCHEMA: &str = "ringshot.run/1";

/// Everything that a run has to say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: Word,
    /// The version of ringshot.
    pub version: Word,
    /// What was typed, without secrets.
    pub command: Vec<String>,
    /// What was measured.
    pub target: Target,
    /// How.
    pub plan: Description,
    /// Where.
    pub host: Host,
    /// The driver's name: `io_uring` or `epoll`.
    pub engine: Word,
    /// The set of ring features in use; null without a ring.
    pub ring_tier: Option<Word>,
    /// Whether a signal ended the run.
    pub interrupted: bool,
    /// When the measurement began: this box's clock, UTC, as in `2026-01-31T12:00:00.000Z`; empty in
    /// documents of versions that did not tell.
    #[serde(default)]
    pub begun_at: String,
    /// From the first connection, or the end of the warm-up, to the last response, or to the end of
    /// the time.
    pub duration_s: f64,
    /// What was excluded from all the other numbers; null without `--warmup`.
    pub warmup: Option<Warmup>,
    /// Requests: `started = ok + failed + in_flight`.
    pub requests: Requests,
    /// How an open loop kept its schedule; null in a closed loop.
    pub schedule: Option<ScheduleSummary>,
    /// Connections.
    pub connections: Connections,
    /// Where connections came from.
    pub ports: PortsSummary,
    /// Bytes on the connections, heads included.
    pub bytes: Bytes,
    /// Rates over the times that the threads worked: see [`crate::engine::run::Rates`].
    pub rate: Rate,
    /// The limits that the run had to keep.
    pub slo: Vec<slo::LimitOutcome>,
    /// How far rate and latency can be trusted; null for a run that was too short to tell.
    pub confidence: Option<Confidence>,
    /// Whether they stayed the same; null for a run that was too short to tell, or whose load was
    /// meant to change.
    pub steadiness: Option<Steadiness>,
    /// Complete responses by status code.
    pub status: BTreeMap<u16, u64>,
    /// Failed requests by phase and kind, most frequent first.
    pub errors: Vec<Error>,
    /// Latencies of complete responses, whatever their status.
    pub latency: LatencySet,
    /// What the generator itself used.
    pub generator: Generator,
    /// What the kernel and the counters say about the run.
    pub kernel: Kernel,
    /// What the box and the server did meanwhile; null where `/proc` does not tell.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// What kept the numbers from being higher; null when nothing was measured, or nothing that was
    /// explains them.
    #[serde(default)]
    pub limited_by: Option<LimitedBy>,
    /// What this was merged from; null for the result of one run.
    #[serde(default)]
    pub merged: Option<merge::Merged>,
    /// The length of a row of `series` in seconds: 1, or in a run of more than an hour 2, 4, 8 and so
    /// on, so that there are never more than [`crate::engine::run::series::ROWS_MAX`].
    #[serde(default = "one_second")]
    pub series_interval_s: f64,
    /// One row a second, or an interval.
    pub series: Vec<Second>,
}

/// What documents mean that do not tell the length of their rows.
fn one_second() -> f64 {
    1.0
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The URL, without a password.
    pub url: String,
    /// The address that accepted, `ip:port`, or `unix:` and the path of a unix socket (`@` and its name
    /// for an abstract one); the first candidate when none has.
    pub address: String,
    /// Whether it is the server that ringshot brings along.
    pub bundled: bool,
    /// Whether it is on this box.
    pub local: bool,
    /// All addresses of its name, in the order in which they are tried; empty in documents of versions
    /// that did not tell.
    #[serde(default)]
    pub addresses: Vec<TargetAddress>,
    /// Which of several addresses got the load, in words; null for one.
    #[serde(default)]
    pub addresses_used: Option<String>,
}

/// What was excluded from all the other numbers: requests that were due in the warm-up, whenever
/// they ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Warmup {
    /// How long it took.
    pub duration_s: f64,
    /// Its requests.
    pub requests: Requests,
    /// Connections opened for them.
    pub connections_opened: u64,
    /// The median of their `total`; null, as the other two, when there was no answer.
    pub p50_us: Option<u64>,
    /// The 99th percentile of their `total`.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
}

/// How an open loop kept its schedule: `due = started + dropped + waiting`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScheduleSummary {
    /// Requests that came due.
    pub due: u64,
    /// Those that found no room in the line of waiting requests, and were never started.
    pub dropped: u64,
    /// Those that still waited for a free connection at the end.
    pub waiting: u64,
    /// Those that were started and had to wait for a free connection.
    pub waited: u64,
    /// Due requests without an answer, warm-up included, when the measurement began.
    pub unanswered_before: u64,
    /// And at its end.
    pub unanswered_after: u64,
    /// Whether the server answered as fast as requests came due, within 1%.
    pub kept_up: bool,
    /// How late ringshot began requests for which a connection was free.
    pub slip: Latency,
}

/// Where connections came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortsSummary {
    /// Who chose the ports: `kernel` or `rotation`; `none` for a unix socket, with 0 in what follows.
    pub method: Word,
    /// Why, as the end of a sentence.
    pub why: Word,
    /// The source addresses towards the target.
    pub sources: Vec<String>,
    /// The range that ports were chosen from.
    pub low: u16,
    /// See `low`.
    pub high: u16,
    /// The ports of it that may be used.
    pub usable: u32,
    /// Ports of it left to other programs.
    pub left_to_others: u32,
    /// Ports left out because they are reserved, or the target's own.
    pub skipped_reserved: u32,
    /// Times that a port was passed over because somebody listens or is bound there.
    pub skipped_in_use: u64,
    /// Times that a port was passed over because its last connection was open, or not in TIME_WAIT
    /// yet.
    pub skipped_closing: u64,
}

/// The box.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    /// The name that it has for itself.
    #[serde(default)]
    pub name: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu_model: String,
    /// Processors that this process may use.
    pub cpus: usize,
    /// How the first of them chooses its frequency; null where the kernel does not tell, as in most
    /// virtual machines.
    #[serde(default)]
    pub governor: Option<String>,
    /// All of its memory.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// How many CPUs' time ringshot's control group may use; null without a limit.
    #[serde(default)]
    pub cpu_quota: Option<f64>,
    /// How much memory it may have; likewise.
    #[serde(default)]
    pub memory_limit_bytes: Option<u64>,
    /// Descriptors that this process may have.
    #[serde(default)]
    pub descriptors: Option<u64>,
    /// Kernel settings that matter to such loads, as the kernel prints them.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

/// Counts of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Started.
    pub started: u64,
    /// Complete, and verified.
    pub ok: u64,
    /// Ended in any other way.
    pub failed: u64,
    /// Not ended when the run was over.
    pub in_flight: u64,
    /// Sent again on another connection, as they had not been processed: `started + resent` is what
    /// the server can have seen. 0 in documents of versions that did not count them.
    #[serde(default)]
    pub resent: u64,
    /// Of those in flight, the ones that had waited for longer than any answer took: the limits count
    /// them. 0 in documents of versions that did not count them.
    #[serde(default)]
    pub overdue: u64,
}

impl Requests {
    /// Those of a thread, or of all.
    pub fn of(tally: &Tally) -> Requests {
        Requests {
            started: tally.counters.started,
            ok: tally.counters.ok,
            failed: tally.counters.failed,
            in_flight: tally.counters.in_flight(),
            resent: tally.counters.resent,
            overdue: tally.counters.overdue,
        }
    }
}

/// Counts of connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// Established.
    pub opened: u64,
    /// Attempts that did not get that far.
    pub failed: u64,
    /// Who keeps TIME_WAIT: `server`, `client` or `nobody`.
    pub time_wait_owner: Word,
}

/// Counts of bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Bytes {
    /// Received.
    pub read: u64,
    /// Handed to the kernel.
    pub written: u64,
}

/// Rates: sums of the threads' own, each over the time that the thread worked; null for a run that
/// took no time, such as one that ended in its warm-up.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Rate {
    /// Requests that ended well.
    pub requests_per_s: Option<f64>,
    /// Connections established.
    pub connections_per_s: Option<f64>,
    /// Failed requests, of those that ended; null when none did.
    #[serde(default)]
    pub failed_ratio: Option<f64>,
    /// Failed attempts to connect, of all that ended; likewise.
    #[serde(default)]
    pub connections_failed_ratio: Option<f64>,
}

impl Rate {
    /// Rates and shares of these counts.
    pub fn of(requests: &Requests, opened: u64, failed: u64, per_s: [Option<f64>; 2]) -> Rate {
        let share = |part: u64, rest: u64| {
            let all = part as f64 + rest as f64;
            (all > 0.0).then(|| rounded(part as f64 / all, 6))
        };
        let [requests_per_s, connections_per_s] = per_s.map(|per_s| Some(rounded(per_s?, 2)));
        Rate {
            requests_per_s,
            connections_per_s,
            failed_ratio: share(requests.failed, requests.ok),
            connections_failed_ratio: share(failed, opened),
        }
    }
}

/// One kind of failure in one phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Error {
    /// How far the request had come.
    pub phase: Word,
    /// The errno's name, or a word of the vocabulary.
    pub kind: String,
    /// How many requests.
    pub count: u64,
    /// When it happened first, in seconds after the start.
    pub first_s: f64,
    /// When it happened last.
    pub last_s: f64,
    /// What was wrong with the first response that failed like this: where, and which rule it
    /// breaks; null where the kind says it all.
    #[serde(default)]
    pub detail: Option<String>,
    /// What to do about it.
    pub advice: String,
}

/// What kept the numbers from being higher, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitedBy {
    /// `generator`, `server`, `both` (of them), `box`, `connections` (all waited for answers, and
    /// nobody was busy), `schedule` (a rate of the plan that was kept), or `unseen` (a server that is
    /// not on this box or not shown, or the way to it).
    pub who: Word,
    /// The numbers that say so, as a sentence.
    pub evidence: String,
}

/// What the generator used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Generator {
    /// Worker threads.
    pub threads: u32,
    /// CPU time of the worker threads in user mode.
    pub cpu_user_s: f64,
    /// CPU time of the worker threads in the kernel, which on loopback includes the server's half
    /// of every packet.
    pub cpu_sys_s: f64,
    /// CPU time of both kinds per request that ended; null when none did.
    pub cpu_us_per_request: Option<f64>,
    /// CPU time over wall time of the busiest thread.
    pub busy_ratio: f64,
    /// Time for which a thread could have run and had no CPU, over wall time: of the thread that
    /// waited the longest; null, as below, where the kernel does not tell.
    #[serde(default)]
    pub cpu_wait_ratio: Option<f64>,
    /// The same of its worst second.
    #[serde(default)]
    pub cpu_wait_peak_ratio: Option<f64>,
    /// Time for which a thread ran or waited for a CPU, over wall time: of the thread and the second
    /// with the most.
    #[serde(default)]
    pub demand_peak_ratio: Option<f64>,
    /// How long a quota stopped ringshot's control group, summed over the CPUs that it ran on.
    #[serde(default)]
    pub throttled_s: Option<f64>,
    /// Whether the generator, not the server, was the limit: a thread ran or waited for nearly all
    /// of a second.
    pub saturated: bool,
    /// Where the threads' time went; null in documents of earlier versions.
    #[serde(default, rename = "loop")]
    pub turns: Option<Turns>,
}

/// Where the time of the worker threads went, summed over them. A turn is one way into the kernel and
/// what its completions and new requests come to: see docs/accuracy.md.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Turns {
    /// How many there were.
    pub turns: u64,
    /// Operations that the kernel completed in them.
    pub completions: u64,
    /// Time in ringshot's own code between two ways into the kernel, by the clock.
    pub dispatch_s: f64,
    /// The part of it in which the kernel took over operations that had no more room in the queue.
    pub submit_s: f64,
    /// Time in the kernel with something to do; on loopback with the server's half of every packet.
    pub kernel_s: f64,
    /// Time in the kernel with nothing to do.
    pub idle_s: f64,
}

/// What the kernel and the counters say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kernel {
    /// What it counted during the run, in the whole network namespace, by the names that nstat
    /// uses. A counter that this kernel does not have is not there.
    pub counters: kernel::SystemCounters,
    /// Sockets in TIME_WAIT in the whole network namespace.
    pub time_wait: TimeWaitCounts,
    /// Where they lead, and who owns them.
    pub time_wait_sockets: TimeWaitSockets,
    /// Sentences with a cure, worst first.
    pub findings: Vec<Finding>,
}

/// How many sockets were in TIME_WAIT; null when the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TimeWaitCounts {
    /// Before the run.
    pub before: Option<u64>,
    /// At the end of a second, at most.
    pub peak: Option<u64>,
    /// After the run.
    pub after: Option<u64>,
}

/// Which sockets were in TIME_WAIT; null when the kernel does not tell.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TimeWaitSockets {
    /// Before the run.
    pub before: Option<kernel::TimeWait>,
    /// After the run.
    pub after: Option<kernel::TimeWait>,
}
