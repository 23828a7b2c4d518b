//! What a reader wants to know first: a title and two sentences.

use super::of_findings;
use crate::pages::markdown::{code, plain, sentence};
use crate::pages::run::terminal::{trust, watched};
use crate::plan::describe::Place;
use crate::result::Report;
use crate::statistics::enough_samples;
use crate::words::quantities::{NOTHING, count, counted, latency_us, rate, seconds};
use crate::words::text::shortened;

/// A longer URL pushes everything else out of sight; it is in the command.
const URL_CHARACTERS_MAX: usize = 80;

/// What was asked for, and what came of it.
pub(super) fn title(report: &Report) -> String {
    let what = match report.target.bundled {
        true => "The bundled server".to_owned(),
        false => {
            let request = format!("{} {}", report.plan.method, report.target.url);
            code(&shortened(&request, URL_CHARACTERS_MAX))
        }
    };
    match report.requests.ok {
        0 => format!("{what}: no request succeeded"),
        _ => format!("{what}: {} requests/s", requests(report)),
    }
}

/// How many a second.
fn requests(report: &Report) -> String {
    report.rate.requests_per_s.map_or(NOTHING.into(), rate)
}

/// How much at what latency; and what to think of it.
pub(super) fn sentences(report: &Report) -> [String; 2] {
    [how_much(report), what_of_it(report)]
}

fn how_much(report: &Report) -> String {
    let plan = &report.plan;
    let connections = plain(&plan.words(Place::Connections).join(", "));
    let time = seconds(report.duration_s);
    let stopped = if report.interrupted { ", when it was interrupted" } else { "" };
    if report.requests.ok == 0 {
        let failed = counted(report.requests.failed, "request");
        return format!(
            "On {connections}, {failed} failed in {time}{stopped}, and none succeeded."
        );
    }
    let asked = plan.rate.map(|due| format!(" of {}/s that were due", rate(due)));
    format!(
        "On {connections}, **{} requests per second** succeeded{} over {time}{stopped}, with {} \
         (`total`, of all complete responses).",
        requests(report),
        asked.unwrap_or_default(),
        latency(report),
    )
}

/// As far as there are samples for it.
fn latency(report: &Report) -> String {
    let total = &report.latency.total;
    let enough = |percentile| enough_samples(total.count, percentile);
    let max = format!("a maximum of {}", latency_us(total.max_us));
    let p50 = format!("a p50 of {}", latency_us(total.p50_us));
    match (enough(50.0), enough(99.0)) {
        (_, true) => format!("{p50} and a p99 of {}", latency_us(total.p99_us)),
        (true, _) => format!("{p50} and {max}"),
        _ => max,
    }
}

fn what_of_it(report: &Report) -> String {
    let mut clauses = Vec::new();
    let broken: Vec<_> = report.slo.iter().filter(|outcome| !outcome.pass).collect();
    match broken.as_slice() {
        [] if report.slo.is_empty() => {}
        [] => clauses.push("all limits were kept".to_owned()),
        broken => {
            let broken = broken.iter().map(|outcome| {
                format!("{} ({})", code(&outcome.limit), plain(&trust::measured(outcome)))
            });
            clauses.push(format!("**broken:** {}", broken.collect::<Vec<_>>().join(", ")));
        }
    }
    clauses.extend(left_out(report));
    match report.requests.failed {
        0 if report.requests.ok > 0 => clauses.push("no request failed".into()),
        0 => {}
        failed => {
            let most = report.errors.first();
            let most = most.map(|error| code(&format!("{}/{}", error.phase, error.kind)));
            let most = most.map(|name| format!(", most with {name}")).unwrap_or_default();
            clauses.push(format!("**{} failed**{most}", count(failed)));
        }
    }
    clauses.extend(of_findings(&report.kernel.findings).map(|n| format!("see {n} below")));
    let limit = report.limited_by.as_ref().map(watched::sentence);
    clauses.extend(limit.map(|limit| format!("the limit was {}", sentence(&limit))));
    let text = clauses.join("; ");
    let end = if text.ends_with('.') || text.is_empty() { "" } else { "." };
    capitalized(&text) + end
}

/// What an open loop should have done and has not.
fn left_out(report: &Report) -> Option<String> {
    let schedule = report.schedule.as_ref()?;
    match (schedule.dropped, schedule.kept_up) {
        (0, true) => None,
        (0, false) => Some(format!(
            "**the rate was not kept**, {} were unanswered at the end",
            counted(schedule.unanswered_after, "request")
        )),
        (dropped, _) => Some(format!("**{} were dropped**", counted(dropped, "due request"))),
    }
}

/// With a capital letter at its begin, also behind the mark of bold type.
fn capitalized(text: &str) -> String {
    let at = text.find(|c: char| c != '*').unwrap_or(0);
    let (marks, words) = text.split_at(at);
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    marks.to_owned() + &first.unwrap_or_default() + letters.as_str()
}
