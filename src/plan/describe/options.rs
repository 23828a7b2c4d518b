//! Every option of a load, once: what the plan makes of it, how documents and people call it, which
//! runs have the same, and what pages say of it.

use super::words;
use crate::engine::pace::curve::RateStage;
use crate::engine::ports::PortChoice;
use crate::plan::Plan;
use crate::words::Word;
use crate::words::quantities::{bytes, count, counted, rate, seconds};
use Place::{Connections, Each, Generator, Limits, Model, Request, Target};
use Same::{InRepetitions, InTest, InTestAs, Never};
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
}

impl StageSummary {
    fn of(&RateStage { duration_s, from_per_s, to_per_s }: &RateStage) -> StageSummary {
        let duration_s = Some(duration_s).filter(|s| s.is_finite());
        StageSummary { duration_s, from_per_s, to_per_s }
    }
}

/// In the order in which they are said.
pub(super) const OPTIONS: &[LoadOption] = &[
    silent("method", "method", InTest),
    said("body_bytes", "body", InTest, Request, |load| {
        (load.body_bytes > 0).then(|| format!("{} of body", bytes(load.body_bytes)))
    }),
    said("unix_socket", "unix socket", InRepetitions, Target, |load| {
        load.unix_socket.as_ref().map(|socket| format!("at unix:{socket}"))
    }),
    said("connections", "connections", InRepetitions, Connections, |load| {
        Some(counted(load.connections.into(), "connection"))
    }),
    said(
        "requests_per_connection",
        "requests per connection",
        InTestAs(|load| match load.requests_per_connection {
            Some(requests) => requests.to_string(),
            None => "as many as it carries".into(),
        }),
        Connections,
        |load| {
            Some(match load.requests_per_connection {
                None => "keep-alive".into(),
                Some(1) => "a new one for every request".into(),
                Some(n) => format!("{} requests per connection", count(n)),
            })
        },
    ),
    said("pipeline", "pipeline", InTest, Connections, |load| {
        (load.pipeline > 1).then(|| format!("{} pipelined", load.pipeline))
    }),
    said("close", "close", InTest, Connections, |load| {
        let closes = match load.close.as_ref() {
            "client" => "the client closes",
            "rst" => "closed with a reset",
            _ => "the server closes",
        };
        // With plain keep-alive nothing closes before the end of the run.
        load.requests_per_connection.map(|_| closes.into())
    }),
    said("threads", "threads", InRepetitions, Generator, |load| {
        Some(words::threads(load.threads, &load.cpus))
    }),
    silent("cpus", "CPUs", InRepetitions),
    said("requests", "requests", InRepetitions, Limits, |load| {
        load.requests.map(|n| counted(n, "request"))
    }),
    said("duration_s", "duration", InRepetitions, Limits, |load| load.duration_s.map(seconds)),
    silent("rate", "rate", InRepetitions),
    // Rates are added stage by stage, which needs stages that come together.
    said("stages", "stages", InTestAs(words::lengths), Model, |load| {
        load.arrivals.as_ref().map(|_| words::open_loop(load))
    }),
    said("arrivals", "arrivals", InTest, Model, |load| {
        (load.arrivals.as_deref()? == "poisson").then(|| "Poisson arrivals".into())
    }),
    silent("backlog", "backlog", InRepetitions),
    said("ramp_connections_s", "ramp of connections", InTest, Model, |load| {
        let ramp_s = Some(load.ramp_connections_s).filter(|&s| s > 0.0)?;
        Some(format!("connections begin over {}", seconds(ramp_s)))
    }),
    said(
        "connect_rate",
        "rate of new connections",
        InTestAs(|load| load.connect_rate.map_or("not limited", |_| "limited").into()),
        Model,
        |load| Some(format!("at most {}/s are opened", rate(load.connect_rate?))),
    ),
    said("think_s", "think time", InTest, Model, |load| {
        load.think_s.map(|[from, to]| match from == to {
            true => format!("{} between requests", seconds(from)),
            false => format!("{} to {} between requests", seconds(from), seconds(to)),
        })
    }),
    said("seed", "seed", Never, Model, |load| load.seed.map(|seed| format!("seed {seed}"))),
    silent("warmup_s", "warm-up", InTest),
    said("timeout_s", "timeout", InTest, Each, |load| {
        Some(format!("{} for each", seconds(load.timeout_s)))
    }),
    silent("addresses", "addresses", InTest),
    silent("source_ip", "source addresses", InRepetitions),
    silent("source_ports", "source ports", InRepetitions),
    silent("watch_pid", "watched process", Never),
];

/// One option.
pub(super) struct LoadOption {
    /// Its key in documents.
    pub key: &'static str,
    /// Its name for a person.
    pub name: &'static str,
    /// Which runs have the same.
    pub same: Same,
    /// Where pages say it, and how.
    pub said: Option<(Place, Said)>,
}

/// An option in words; nothing of what goes without saying.
type Said = fn(&Description) -> Option<String>;

/// Which runs have the same value of an option.
pub(super) enum Same {
    /// Those on all machines of one test, which `report --merge` adds up.
    InTest,
    /// Those have this much of it in common.
    InTestAs(fn(&Description) -> String),
    /// Only the repetitions on one machine.
    InRepetitions,
    /// Not even these: it is drawn or started anew.
    Never,
}

/// Where pages say an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// With the request, behind `with`.
    Request,
    /// Behind the URL.
    Target,
    /// How many connections there are, and how they are used.
    Connections,
    /// How the load comes, where it is not a closed loop as fast as the server answers.
    Model,
    /// What ends the run, behind `for`.
    Limits,
    /// What makes the load.
    Generator,
    /// What each request is given.
    Each,
}

const fn silent(key: &'static str, name: &'static str, same: Same) -> LoadOption {
    LoadOption { key, name, same, said: None }
}

const fn said(
    key: &'static str,
    name: &'static str,
    same: Same,
    place: Place,
    words: Said,
) -> LoadOption {
    LoadOption { key, name, same, said: Some((place, words)) }
}
