//! Whether results are of one test: the same load on the same server, each recorded once.

use crate::result::{PlanSummary, Report};
use crate::words::quantities::seconds;
use crate::words::text::escape;

/// Why these results, each with its file, cannot become one.
pub(super) fn refusal(results: &[(String, Report)]) -> Option<String> {
    let alone = |(file, report): &(String, Report)| {
        let why = match report {
            Report { merged: Some(_), .. } => {
                "is a merged result itself: give the results that it was made from"
            }
            Report { target, .. } if target.bundled => {
                "is of the bundled server, of which each run has one of its own: start one \
                 server, and give its URL to all runs"
            }
            _ => return None,
        };
        Some(format!("{} {why}", escape(file)))
    };
    let twice = || {
        results.iter().enumerate().find_map(|(at, (file, report))| {
            let same = |(_, other): &&(String, Report)| is_same(other, report);
            let (other, _) = results[..at].iter().find(same)?;
            let [one, other] = [other, file].map(|file| escape(file));
            Some(format!("{one} and {other} are the same result: it would count twice"))
        })
    };
    let differs = || {
        let ((first_file, first), rest) = results.split_first()?;
        rest.iter().find_map(|(file, report)| {
            let what = difference(first, report)?;
            let [one, other] = [first_file, file].map(|file| escape(file));
            Some(format!("{one} and {other} are not of one test: {what}"))
        })
    };
    results.iter().find_map(alone).or_else(differs).or_else(twice)
}

/// Whether two documents are of one run. Those that do not tell their box or time are told apart by
/// what they measured.
fn is_same(one: &Report, other: &Report) -> bool {
    let told = |report: &Report| {
        (report.bytes.read, report.bytes.written, report.latency.total.hdr.clone())
    };
    (&one.host.name, &one.begun_at, &one.command, &one.requests)
        == (&other.host.name, &other.begun_at, &other.command, &other.requests)
        && told(one) == told(other)
}

/// In what two results are not of one test, if they are not.
fn difference(one: &Report, other: &Report) -> Option<String> {
    let of_both = load(one).into_iter().zip(load(other));
    of_both.into_iter().find_map(|((name, one), (_, other))| {
        (one != other).then(|| format!("{name}: {} and {}", escape(&one), escape(&other)))
    })
}

/// What is the same on all boxes of one test, as words.
fn load(report: &Report) -> [(&'static str, String); 16] {
    let plan = &report.plan;
    let is_open = plan.arrivals.is_some();
    let per_connection = match plan.requests_per_connection {
        Some(requests) => requests.to_string(),
        None => "as many as it carries".to_owned(),
    };
    let think = plan.think_s.map(|between| between.map(seconds).join(" to "));
    let capped = if plan.connect_rate.is_some() { "limited" } else { "not limited" };
    let limits: Vec<&str> = report.slo.iter().map(|outcome| outcome.limit.as_str()).collect();
    [
        ("method", plan.method.clone()),
        ("path", path(&report.target.url)),
        ("body", format!("{} bytes", plan.body_bytes)),
        ("requests per connection", per_connection),
        ("pipeline", plan.pipeline.to_string()),
        ("close", plan.close.to_string()),
        ("load model", if is_open { "open loop" } else { "closed loop" }.to_owned()),
        ("arrivals", plan.arrivals.as_deref().unwrap_or("none").to_owned()),
        ("stages", stages(plan)),
        ("think time", think.unwrap_or_else(|| "none".to_owned())),
        ("timeout", seconds(plan.timeout_s)),
        ("ramp of connections", seconds(plan.ramp_connections_s)),
        ("rate of new connections", capped.to_owned()),
        ("warm-up", seconds(plan.warmup_s)),
        ("limits", limits.join(" ")),
        ("addresses", plan.addresses.to_string()),
    ]
}

/// Path and query; the host may have another name from each box.
fn path(url: &str) -> String {
    url::Url::parse(url).map_or_else(
        |_| url.to_owned(),
        |url| url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
    )
}

/// Their lengths: rates are added stage by stage, which needs stages that come together.
fn stages(plan: &PlanSummary) -> String {
    let length_s = |s: Option<f64>| s.map_or_else(|| "as long as the run".to_owned(), seconds);
    let lengths: Vec<String> = plan.stages.iter().map(|stage| length_s(stage.duration_s)).collect();
    if lengths.is_empty() { "none".to_owned() } else { lengths.join(", then ") }
}
