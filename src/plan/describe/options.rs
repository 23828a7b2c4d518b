//! Every option of a load, once: how documents and people call it, which runs have the same, and what
//! pages say of it.

use super::{Description, words};
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
