//! Every option of a load, once: how documents and people call it, what it is in words, and which
//! runs have the same.

use super::{Description, StageSummary, words};
use crate::words::quantities::{bytes, count, counted, rate, seconds};
use Place::{Connections, Each, Generator, Limits, Model, Request, Target};
use Same::{InRepetitions, InTest, InTestAs, Never};

/// One option.
pub(super) struct LoadOption {
    /// Its key in documents.
    pub key: &'static str,
    /// Its name for a person.
    pub name: &'static str,
    /// Which runs have the same.
    pub same: Same,
    /// What it is, exactly: two loads differ when these texts do.
    pub value: fn(&Description) -> String,
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

/// In the order in which they are said and compared.
pub(super) const OPTIONS: &[LoadOption] = &[
    new("method", "method", InTest, |load| load.method.clone()),
    new("body_bytes", "body", InTest, |load| format!("{} bytes", load.body_bytes))
        .said(Request, |load| {
            some(load.body_bytes > 0, format!("{} of body", bytes(load.body_bytes)))
        }),
    new("unix_socket", "unix socket", InRepetitions, |load| or_none(load.unix_socket.as_ref()))
        .said(Target, |load| load.unix_socket.as_ref().map(|socket| format!("at unix:{socket}"))),
    new("connections", "connections", InRepetitions, |load| load.connections.to_string())
        .said(Connections, |load| Some(counted(load.connections.into(), "connection"))),
    new("requests_per_connection", "requests per connection", InTest, |load| {
        load.requests_per_connection.map_or("as many as it carries".into(), |n| n.to_string())
    })
    .said(Connections, |load| {
        Some(match load.requests_per_connection {
            None => "keep-alive".into(),
            Some(1) => "a new one for every request".into(),
            Some(n) => format!("{} requests per connection", count(n)),
        })
    }),
    new("pipeline", "pipeline", InTest, |load| load.pipeline.to_string())
        .said(Connections, |load| some(load.pipeline > 1, format!("{} pipelined", load.pipeline))),
    new("close", "close", InTest, |load| load.close.to_string()).said(Connections, |load| {
        let closes = match load.close.as_ref() {
            "client" => "the client closes",
            "rst" => "closed with a reset",
            _ => "the server closes",
        };
        // With plain keep-alive nothing closes before the end of the run.
        load.requests_per_connection.map(|_| closes.into())
    }),
    new("threads", "threads", InRepetitions, |load| load.threads.to_string())
        .said(Generator, |load| Some(words::threads(load.threads, &load.cpus))),
    new("cpus", "CPUs", InRepetitions, |load| list(load.cpus.iter(), ", ")),
    new("requests", "requests", InRepetitions, |load| or_none(load.requests))
        .said(Limits, |load| load.requests.map(|n| counted(n, "request"))),
    new("duration_s", "duration", InRepetitions, |load| or_none(load.duration_s.map(exactly)))
        .said(Limits, |load| load.duration_s.map(seconds)),
    new("rate", "rate", InRepetitions, |load| or_none(load.rate.map(|rate| format!("{rate}/s")))),
    new("stages", "stages", InTestAs(lengths), |load| {
        let all = load.stages.iter().map(|stage| {
            let StageSummary { from_per_s, to_per_s, .. } = stage;
            format!("{} from {from_per_s}/s to {to_per_s}/s", length(stage))
        });
        list(all, ", then ")
    })
    .said(Model, |load| {
        load.arrivals.as_ref().map(|_| match (load.rate, load.stages.as_slice()) {
            (Some(per_s), _) => format!("open loop at {}/s", rate(per_s)),
            (None, []) => "open loop".into(),
            (None, stages) => {
                let stages: Vec<String> = stages.iter().map(words::stage).collect();
                format!("open loop: {}", stages.join(", then "))
            }
        })
    }),
    new("arrivals", "arrivals", InTest, |load| {
        load.arrivals.as_deref().unwrap_or("none (closed loop)").into()
    })
    .said(Model, |load| {
        some(load.arrivals.as_deref() == Some("poisson"), "Poisson arrivals".into())
    }),
    new("backlog", "backlog", InRepetitions, |load| or_none(load.backlog)),
    new("ramp_connections_s", "ramp of connections", InTest, |load| {
        exactly(load.ramp_connections_s)
    })
    .said(Model, |load| {
        let ramp_s = load.ramp_connections_s;
        some(ramp_s > 0.0, format!("connections begin over {}", seconds(ramp_s)))
    }),
    new("connect_rate", "rate of new connections", InTestAs(capped), |load| {
        load.connect_rate.map_or("not limited".into(), |most| format!("{most}/s"))
    })
    .said(Model, |load| {
        load.connect_rate.map(|most| format!("at most {}/s are opened", rate(most)))
    }),
    new("think_s", "think time", InTest, |load| {
        or_none(load.think_s.map(|between| between.map(exactly).join(" to ")))
    })
    .said(Model, |load| {
        load.think_s.map(|[from, to]| match from == to {
            true => format!("{} between requests", seconds(from)),
            false => format!("{} to {} between requests", seconds(from), seconds(to)),
        })
    }),
    new("seed", "seed", Never, |load| or_none(load.seed))
        .said(Model, |load| load.seed.map(|seed| format!("seed {seed}"))),
    new("warmup_s", "warm-up", InTest, |load| exactly(load.warmup_s)),
    new("timeout_s", "timeout", InTest, |load| exactly(load.timeout_s))
        .said(Each, |load| Some(format!("{} for each", seconds(load.timeout_s)))),
    new("addresses", "addresses", InTest, |load| load.addresses.to_string()),
    new("source_ip", "source addresses", InRepetitions, |load| list(load.source_ip.iter(), ", ")),
    new("source_ports", "source ports", InRepetitions, |load| load.source_ports.clone()),
    new("watch_pid", "watched process", Never, |load| or_none(load.watch_pid)),
];

const fn new(
    key: &'static str,
    name: &'static str,
    same: Same,
    value: fn(&Description) -> String,
) -> LoadOption {
    LoadOption { key, name, same, value, said: None }
}

impl LoadOption {
    const fn said(self, place: Place, words: Said) -> LoadOption {
        LoadOption { said: Some((place, words)), ..self }
    }
}

/// Rates are added stage by stage, which needs stages that come together.
fn lengths(load: &Description) -> String {
    list(load.stages.iter().map(length), ", then ")
}

fn length(stage: &StageSummary) -> String {
    stage.duration_s.map_or_else(|| "as long as the run".into(), exactly)
}

/// A limit is added up, no limit is none.
fn capped(load: &Description) -> String {
    if load.connect_rate.is_some() { "limited" } else { "not limited" }.into()
}

fn some(is_said: bool, text: String) -> Option<String> {
    is_said.then_some(text)
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string())
}

fn list(values: impl Iterator<Item = impl ToString>, between: &str) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    if values.is_empty() { "none".into() } else { values.join(between) }
}

/// Not rounded: what differs by little differs.
fn exactly(s: f64) -> String {
    format!("{s} s")
}
