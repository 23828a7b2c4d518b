//! A load in words, for every page. Texts of a document are as they are there: a page escapes them.

use super::{Description, OPTIONS, Place, StageSummary};
use crate::words::quantities::{counted, cpu_list, rate, seconds};

impl Description {
    /// What pages say at a place.
    pub(crate) fn words(&self, place: Place) -> Vec<String> {
        let said = OPTIONS.iter().filter_map(|option| option.said);
        said.filter(|(at, _)| *at == place).filter_map(|(_, words)| words(self)).collect()
    }

    /// `POST http://a/ with 5 kB of body`; the URL is that of the document.
    pub(crate) fn request(&self, url: &str) -> String {
        let request = format!("{} {url}", self.method);
        match self.words(Place::Request) {
            with if with.is_empty() => request,
            with => format!("{request} with {}", with.join(" and ")),
        }
    }

    /// `http://a/ at unix:/run/app.sock`, for pages without the address that accepted.
    pub(crate) fn target(&self, url: Option<&str>) -> String {
        let url = url.unwrap_or("the bundled server").to_owned();
        [vec![url], self.words(Place::Target)].concat().join(" ")
    }

    /// `for 1,000 requests or 10 s (8.32 s)`: the limits, and the time that it took where they do
    /// not say it.
    pub(crate) fn limits(&self, took_s: f64) -> String {
        let took = seconds(took_s);
        match self.words(Place::Limits).join(" or ") {
            limits if limits.is_empty() => format!("for {took}"),
            limits if self.requests.is_none() => format!("for {limits}"),
            limits => format!("for {limits} ({took})"),
        }
    }
}

/// The rates one after the other.
pub(super) fn open_loop(load: &Description) -> String {
    let stage = |stage: &StageSummary| {
        let StageSummary { duration_s, from_per_s, to_per_s } = *stage;
        let time = duration_s.map_or_else(String::new, |s| format!("{} ", seconds(s)));
        match from_per_s == to_per_s {
            true => format!("{time}at {}/s", rate(to_per_s)),
            false => format!("{time}from {}/s to {}/s", rate(from_per_s), rate(to_per_s)),
        }
    };
    let stages: Vec<String> = load.stages.iter().map(stage).collect();
    match load.rate {
        Some(per_s) => format!("open loop at {}/s", rate(per_s)),
        None if stages.is_empty() => "open loop".into(),
        None => format!("open loop: {}", stages.join(", then ")),
    }
}

/// How long the stages are.
pub(super) fn lengths(load: &Description) -> String {
    let length_s = |s: Option<f64>| s.map_or_else(|| "as long as the run".to_owned(), seconds);
    let lengths: Vec<String> = load.stages.iter().map(|stage| length_s(stage.duration_s)).collect();
    if lengths.is_empty() { "none".into() } else { lengths.join(", then ") }
}

/// `2 threads on CPUs 0,1`.
pub(crate) fn threads(threads: u32, pinned: &[usize]) -> String {
    let threads = counted(threads.into(), "thread");
    let cpus = cpu_list(pinned);
    match pinned.iter().all(|cpu| *cpu == pinned[0]) {
        true if cpus.is_empty() => format!("{threads}, not pinned"),
        true => format!("{threads} on CPU {cpus}"),
        false => format!("{threads} on CPUs {cpus}"),
    }
}

/// `io_uring (direct)`, `epoll`.
pub(crate) fn engine(name: &str, ring_tier: Option<&str>) -> String {
    match ring_tier {
        Some(tier) => format!("{name} ({tier})"),
        None => name.to_owned(),
    }
}
