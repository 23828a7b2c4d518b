//! What a load is, as one value: every document embeds it, every page takes its words from it, and
//! whatever compares two loads compares it. It is made here and nowhere else.
//!
//! ```text
//!   Plan ──► Description ──► plan in the documents of runs, searches and comparisons
//!                 │             (part: without the keys that a command sets itself)
//!                 └──► OPTIONS, an entry for each: its key, its words, what may differ
//!                         ├──► words: the lines of the pages
//!                         └──► difference: merge, report side by side, search --resume
//! ```
//!
//! A new option is a field here and an entry in [`OPTIONS`].

mod options;
pub(crate) mod part;
mod words;

pub(crate) use options::Place;
use options::Same::{InRepetitions, InTest, InTestAs, Never};
use options::{LoadOption, OPTIONS};
pub(crate) use words::{engine, threads};

use super::Plan;
use crate::engine::pace::curve::Stage;
use crate::engine::ports::PortChoice;
use crate::words::Word;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

    /// The first option in which another load is not one of the same test, in which each machine
    /// has its own share of the connections and of the rate.
    pub(crate) fn test_difference(&self, other: &Description) -> Option<Difference> {
        let all = [self, other].map(part::members);
        let both = |option: &LoadOption| match option.same {
            InTest => Some(all.each_ref().map(|all| text(option.key, &all[option.key]))),
            InTestAs(part) => Some([self, other].map(part)),
            InRepetitions | Never => None,
        };
        let both = OPTIONS.iter().filter_map(|option| Some((option.name, both(option)?)));
        both.map(|(name, [one, other])| (name.into(), one, other)).find(differ)
    }
}

/// The name of an option, and the two values.
pub(crate) type Difference = (String, String, String);

fn differ((_, one, other): &Difference) -> bool {
    one != other
}

/// Name and value of each option in the plan of a document, but for those that not even two runs of
/// one thing share.
pub(crate) fn values(plan: &Value) -> impl Iterator<Item = (String, String)> {
    named(plan).map(|(name, key, value)| (name, text(key, value)))
}

/// The first option of a plan that another one has not, both as in a document.
pub(crate) fn difference(plan: &Value, other: &Value) -> Option<Difference> {
    let all =
        named(plan).map(|(name, key, value)| (name, text(key, value), text(key, &other[key])));
    all.into_iter().find(differ)
}

fn named(plan: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
    plan.as_object().into_iter().flatten().filter_map(|(key, value)| {
        match OPTIONS.iter().find(|option| option.key == key) {
            Some(LoadOption { same: Never, .. }) => None,
            Some(option) => Some((option.name.into(), key.as_str(), value)),
            None => Some((key.replace('_', " "), key.as_str(), value)),
        }
    })
}

/// What is under a key, which has the unit, exactly: what differs by little differs.
fn text(key: &str, value: &Value) -> String {
    let unit = [("_per_s", "/s"), ("_s", " s"), ("_bytes", " bytes")];
    let unit = unit.iter().find(|(end, _)| key.ends_with(end)).map_or("", |(_, unit)| unit);
    match value {
        Value::Null => "none".into(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // `10 s`, not `10.0 s`.
            Some(fraction) => format!("{fraction}{unit}"),
            None => format!("{number}{unit}"),
        },
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(|one| text(key, one)).collect();
            format!("[{}]", all.join(", "))
        }
        Value::Object(all) => {
            let all: Vec<String> = all.iter().map(|(key, one)| text(key, one)).collect();
            all.join(" ")
        }
        Value::Bool(is_so) => is_so.to_string(),
    }
}

impl StageSummary {
    fn of(&Stage { duration_s, from_per_s, to_per_s }: &Stage) -> StageSummary {
        let duration_s = Some(duration_s).filter(|s| s.is_finite());
        StageSummary { duration_s, from_per_s, to_per_s }
    }
}

#[cfg(test)]
pub(crate) mod tests;
