//! What a reader wants to know first: a title and two sentences.

use super::of_findings;
use super::text::{code, plain, sentence};
use crate::report::console::format::{count, counted, rate, seconds, time_us};
use crate::report::console::{headline, trust};
use crate::report::{LimitedBy, Report};
use crate::statistics::enough_samples;

/// What was asked for, and what came of it.
pub(super) fn title(report: &Report) -> String {
    let what = match report.target.bundled {
        true => "The bundled server".to_owned(),
        false => code(&format!("{} {}", report.plan.method, report.target.url)),
    };
    match report.requests.ok {
        0 => format!("{what}: no request succeeded"),
        _ => format!("{what}: {} requests/s", rate(report.rate.requests_per_s)),
    }
}

/// How much at what latency; and what to think of it.
pub(super) fn sentences(report: &Report) -> Vec<String> {
    vec![how_much(report), what_of_it(report)]
}

fn how_much(report: &Report) -> String {
    let plan = &report.plan;
    let connections = [vec![counted(plan.connections.into(), "connection")], headline::mode(plan)];
    let connections = plain(&connections.concat().join(", "));
    let time = seconds(report.duration_s);
    let stopped = if report.interrupted { ", when it was interrupted" } else { "" };
    if report.requests.ok == 0 {
        let failed = counted(report.requests.failed, "request");
        return format!(
            "On {connections}, {failed} failed in {time}{stopped}, and none succeeded."
        );
    }
    let total = &report.latency.total;
    let p99 = match enough_samples(total.count, 99.0) {
        true => format!("a p99 of {}", time_us(total.p99_us as f64)),
        false => format!("a maximum of {}", time_us(total.max_us as f64)),
    };
    format!(
        "On {connections}, **{} requests per second** succeeded over {time}{stopped}, with a p50 \
         of {} and {p99} (`total`).",
        rate(report.rate.requests_per_s),
        time_us(total.p50_us as f64),
    )
}

fn what_of_it(report: &Report) -> String {
    let mut clauses = Vec::new();
    let broken: Vec<_> = report.slo.iter().filter(|outcome| !outcome.pass).collect();
    match broken.as_slice() {
        [] if report.slo.is_empty() => {}
        [] => clauses.push("All limits were kept".to_owned()),
        broken => {
            let broken = broken.iter().map(|outcome| {
                format!("{} ({})", code(&outcome.limit), plain(&trust::measured(outcome)))
            });
            clauses.push(format!("**Broken:** {}", broken.collect::<Vec<_>>().join(", ")));
        }
    }
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
    if let Some(findings) = of_findings(&report.kernel.findings) {
        clauses.push(format!("there is more to know ({findings} below)"));
    }
    let mut text = capitalized(&clauses.join("; "));
    if let Some(LimitedBy { who, evidence }) = &report.limited_by {
        if !text.is_empty() {
            text += ". ";
        }
        text += &format!("{}: {}", limit(who), sentence(evidence));
    }
    let end = if text.ends_with('.') || text.is_empty() { "" } else { "." };
    text + end
}

/// Who kept the numbers from being higher, as the begin of a sentence.
fn limit(who: &str) -> &'static str {
    match who {
        "generator" => "ringshot itself was the limit",
        "server" => "The server was the limit",
        "both" => "Server and ringshot were both at their limit",
        "box" => "The box was the limit",
        "connections" => "The number of connections was the limit",
        "schedule" => "The schedule was the limit",
        _ => "What was the limit cannot be seen from here",
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
