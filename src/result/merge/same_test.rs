//! Whether results are of one test: the same load on the same server, each recorded once.

use crate::result::Report;
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
    let limits = |report: &Report| {
        let limits: Vec<&str> = report.slo.iter().map(|outcome| outcome.limit.as_str()).collect();
        limits.join(" ")
    };
    let [one_path, other_path] = [one, other].map(|report| path(&report.target.url));
    let beside =
        [("path".into(), one_path, other_path), ("limits".into(), limits(one), limits(other))];
    let beside = beside.into_iter().find(|(_, one, other)| one != other);
    let (name, one, other) = beside.or_else(|| one.plan.test_difference(&other.plan))?;
    Some(format!("{name}: {} and {}", escape(&one), escape(&other)))
}

/// Path and query; the host may have another name from each box.
fn path(url: &str) -> String {
    url::Url::parse(url).map_or_else(
        |_| url.to_owned(),
        |url| url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
    )
}
