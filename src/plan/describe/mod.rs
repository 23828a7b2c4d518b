//! What a load is, as one value: every document embeds it, every page takes its words from it, and
//! whatever compares two loads compares it. It is made here and nowhere else.
//!
//! ```text
//!   Plan ──► Description ──► plan in the documents of runs, searches and comparisons
//!                 │             (part: without the keys that a command sets itself)
//!                 └──► OPTIONS, an entry for each: its key, its words, what may differ
//!                         ├──► words: the lines of the pages
//!                         └──► differences: merge, report side by side, search --resume
//! ```
//!
//! A new option is a field here and an entry in [`OPTIONS`].

mod options;
pub(crate) mod part;
mod words;

pub(crate) use options::Place;
use options::{LoadOption, OPTIONS, Same};
pub(crate) use words::{engine, threads};

use super::Plan;
use crate::engine::pace::curve::Stage;
use crate::engine::ports::PortChoice;
use crate::words::Word;
use serde::{Deserialize, Serialize};

/// The load, as the plan was understood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Concurrent connections over all threads.
    pub connections: u32,
    /// Worker threads.
    pub threads: u32,
    /// The limit of time, if there is one.
    pub duration_s: Option<f64>,
    /// The limit of requests, if there is one.
    pub requests: Option<u64>,
    /// Requests on one connection; null for as many as it carries.
    pub requests_per_connection: Option<u64>,
    /// Requests handed over at once.
    pub pipeline: u32,
    /// Who closes: `server`, `client` or `rst`.
    pub close: Word,
    /// The request's method.
    pub method: String,
    /// The size of the request's body.
    pub body_bytes: u64,
    /// The time for one request.
    pub timeout_s: f64,
    /// The CPU of each thread; empty when they are not pinned.
    pub cpus: Vec<usize>,
    /// What was asked for: `auto`, `kernel` or `LOW-HIGH`.
    pub source_ports: String,
    /// The source addresses and prefixes that were asked for.
    pub source_ip: Vec<String>,
    /// The rate of an open loop; null in a closed loop, and where the rate changes.
    pub rate: Option<f64>,
    /// The rates of an open loop one after the other; empty in a closed loop.
    pub stages: Vec<StageSummary>,
    /// `constant` or `poisson`; null in a closed loop.
    pub arrivals: Option<Word>,
    /// What random times were drawn from; null when there were none.
    pub seed: Option<u64>,
    /// Due requests that might wait; null in a closed loop.
    pub backlog: Option<u64>,
    /// Over what time the connections of a closed loop started.
    pub ramp_connections_s: f64,
    /// The limit of new connections per second.
    pub connect_rate: Option<f64>,
    /// From and to how long each connection waited before a request of a closed loop.
    pub think_s: Option<[f64; 2]>,
    /// What came first and was not measured.
    pub warmup_s: f64,
    /// The process that was to be watched; null for the one that listens on the target's port.
    #[serde(default)]
    pub watch_pid: Option<u32>,
    /// Which addresses of a name connections go to: `first` or `all`.
    #[serde(default = "first")]
    pub addresses: Word,
    /// The unix socket that was asked for, its path or `@` and its name; null for TCP.
    #[serde(default)]
    pub unix_socket: Option<String>,
}

/// What documents mean that do not say it.
fn first() -> Word {
    "first".into()
}

/// A part of an open loop's plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// How long; null for as long as the run.
    pub duration_s: Option<f64>,
    /// Requests per second at its start.
    pub from_per_s: f64,
    /// Requests per second at its end.
    pub to_per_s: f64,
}

impl Description {
    /// The load of a plan on so many threads, on these CPUs.
    pub(crate) fn of(plan: &Plan, threads: u32, cpus: &[usize]) -> Description {
        let (pacing, policy) = (&plan.pacing, &plan.policy);
        let open = pacing.is_open_loop();
        Description {
            connections: plan.connections,
            threads,
            duration_s: plan.duration.map(|duration| duration.as_secs_f64()),
            requests: plan.requests,
            requests_per_connection: policy.requests_per_connection,
            pipeline: policy.pipeline,
            close: policy.close.name().into(),
            method: plan.method.clone(),
            body_bytes: plan.body.len() as u64,
            timeout_s: policy.timeout_ns as f64 / 1e9,
            cpus: cpus.to_vec(),
            source_ports: match &plan.source_ports {
                PortChoice::Auto => "auto".into(),
                PortChoice::Kernel => "kernel".into(),
                PortChoice::Within(range) => format!("{}-{}", range.start(), range.end()),
            },
            source_ip: plan.source_ips.names(),
            rate: match pacing.stages.as_slice() {
                [stage] if stage.from_per_s == stage.to_per_s => Some(stage.from_per_s),
                _ => None,
            },
            stages: pacing.stages.iter().map(StageSummary::of).collect(),
            arrivals: open.then(|| pacing.arrivals.name().into()),
            seed: pacing.is_random().then_some(pacing.seed),
            backlog: open.then_some(pacing.backlog),
            ramp_connections_s: pacing.ramp_connections.as_secs_f64(),
            connect_rate: pacing.connect_rate_per_s,
            think_s: pacing
                .think
                .as_ref()
                .map(|think| [think.start().as_secs_f64(), think.end().as_secs_f64()]),
            warmup_s: pacing.warmup.as_secs_f64(),
            watch_pid: plan.watch_pid,
            addresses: plan.addresses.name().into(),
            unix_socket: plan.unix_socket().map(ToString::to_string),
        }
    }

    /// Each option's name and value, but for those that not even two runs of one thing share.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&'static str, String)> {
        let kept = OPTIONS.iter().filter(|option| !matches!(option.same, Same::Never));
        kept.map(|option| (option.name, (option.value)(self)))
    }

    /// The first option in which another load differs: its name, and both values.
    pub(crate) fn difference(&self, other: &Description) -> Option<Difference> {
        let both = self.values().zip(other.values());
        both.map(|((name, one), (_, other))| (name, one, other))
            .find(|(_, one, other)| one != other)
    }

    /// The first option in which another load is not one of the same test, in which each machine
    /// has its own share of the connections and of the rate.
    pub(crate) fn test_difference(&self, other: &Description) -> Option<Difference> {
        let both = |option: &LoadOption| match option.same {
            Same::InTest => Some([self, other].map(option.value)),
            Same::InTestAs(part) => Some([self, other].map(part)),
            Same::InRepetitions | Same::Never => None,
        };
        let both = OPTIONS.iter().filter_map(|option| Some((option.name, both(option)?)));
        both.map(|(name, [one, other])| (name, one, other)).find(|(_, one, other)| one != other)
    }
}

/// The name of an option, and the two values.
pub(crate) type Difference = (&'static str, String, String);

impl StageSummary {
    fn of(&Stage { duration_s, from_per_s, to_per_s }: &Stage) -> StageSummary {
        let duration_s = Some(duration_s).filter(|s| s.is_finite());
        StageSummary { duration_s, from_per_s, to_per_s }
    }
}

#[cfg(test)]
pub(crate) mod tests;
