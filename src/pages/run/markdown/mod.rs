//! The report: what a colleague reads in a pull request or a review, without having seen the run.
//! The same numbers as on the console, in the same order, with what a reader needs who was not
//! there: the verdict first, the command, the box, the definitions, plots.
//!
//! ```text
//!   # title, verdict in two sentences
//!   the command
//!   ## Setup        target, load, box, settings
//!   ## Result       rates, latencies with definitions, over time, how far to trust them, limits
//!   ## Errors, ## Findings       each with its cure
//! ```
//!
//! Every number in it is in the result document (a test looks for each): nothing is worked out here.

pub(crate) mod setup;
mod verdict;

use super::terminal::latency::{COLUMNS, LatencyRow, cell, definition_of, is_left_out, rows};
use super::terminal::{headline, trouble, trust, watched};
use crate::words::quantities::{NOTHING, bytes, count, counted, latency_us, rate, seconds};
use crate::words::style::Role;

use crate::pages::markdown::Align::{Left, Right};
use crate::pages::markdown::{block, code, plain, sentence, shell, table};
use crate::result::merge::{self, MergedResult};
use crate::result::slo::LimitOutcome;
use crate::result::{Bytes, Error, Finding, LatencySet, Report, Severity};

/// The report of a run; `image` gives the Markdown of a plot, empty where there is none.
pub fn markdown(report: &Report, image: &dyn Fn(&str) -> String) -> String {
    let mut text = format!("# {}\n\n", verdict::title(report));
    text += &format!("{}\n\n", verdict::sentences(report).join(" "));
    text += &block(&shell(&report.command));
    text += &format!("\n## Setup\n\n{}", setup::table(report));
    text += &merged(report);
    text += &format!("\n## Result\n\n{}", numbers(report));
    text += &format!("\n### Latency\n\n{}", latencies(&report.latency));
    text += &image("latency");
    let over_time = ["rate", "connections", "cpu"].map(image).concat();
    if !over_time.is_empty() {
        text += &format!("\n### Over time\n{over_time}");
    }
    text += &trusted(report);
    text += &limits(&report.slo);
    text += &statuses(report);
    text += &errors(&report.errors);
    text += &findings(&report.kernel.findings);
    text
}

/// Painted pieces of the console in one cell.
fn cell_of(pieces: &[(Role, String)]) -> String {
    let strong = |(role, text): &(Role, String)| match role {
        Role::Bad | Role::Warning => format!("**{}**", plain(text)),
        _ => plain(text),
    };
    pieces.iter().map(strong).collect::<Vec<_>>().join(", ")
}

fn strong_rate(per_s: Option<f64>) -> String {
    per_s.map_or(NOTHING.into(), |per_s| format!("**{}**", rate(per_s)))
}

fn numbers(report: &Report) -> String {
    let (requests, connections) = (&report.requests, &report.connections);
    let words = |text: String| (Role::Text, text);
    let mut of_requests = vec![
        words(format!("{} ok", count(requests.ok))),
        headline::failed(requests.failed, requests.ok.saturating_add(requests.failed)),
        words(format!("{} in flight", count(requests.in_flight))),
    ];
    of_requests.extend(headline::resent(requests.resent));
    let mut rows = vec![
        vec!["requests".into(), strong_rate(report.rate.requests_per_s), cell_of(&of_requests)],
        vec![
            "connections".into(),
            strong_rate(report.rate.connections_per_s),
            cell_of(&[
                words(format!("{} opened", count(connections.opened))),
                headline::failed(
                    connections.failed,
                    connections.opened.saturating_add(connections.failed),
                ),
                words(headline::time_wait(&connections.time_wait_owner)),
            ]),
        ],
    ];
    if let Some(schedule) = &report.schedule {
        let kept = headline::schedule_kept(schedule);
        rows.push(vec!["schedule".into(), String::new(), cell_of(&kept)]);
    }
    let generator = headline::generator(report);
    rows.push(vec!["generator".into(), String::new(), cell_of(&generator)]);
    if let Some(watch) = &report.watch {
        let server = watch.server.as_ref().map(watched::of_server);
        let server = server.map(|pieces| vec!["server".into(), String::new(), cell_of(&pieces)]);
        rows.extend(server);
        rows.push(vec!["box".into(), String::new(), cell_of(&watched::of_box(watch))]);
    }
    if let Some(limit) = &report.limited_by {
        rows.push(vec!["limit".into(), String::new(), sentence(&watched::sentence(limit))]);
    }
    let Bytes { read, written } = report.bytes;
    let transfer = format!("{} received, {} sent", bytes(read), bytes(written));
    rows.push(vec!["transfer".into(), String::new(), plain(&transfer)]);
    table(&[("", Left), ("per second", Right), ("", Left)], &rows)
}

/// What each box contributed, where the result is of several.
fn merged(report: &Report) -> String {
    let Some(merged) = &report.merged else { return String::new() };
    let row = |result: &MergedResult| {
        vec![
            code(&result.file),
            plain(&result.host),
            // Documents of versions that did not tell have none.
            Some(&result.target)
                .filter(|url| !url.is_empty())
                .map_or(NOTHING.into(), |url| code(url)),
            setup::when(&result.begun_at).unwrap_or_default(),
            seconds(result.duration_s),
            result.requests_per_s.map_or(NOTHING.into(), rate),
            latency_us(result.p50_us),
            latency_us(result.p99_us),
            format!("{:.0}%", result.busy_ratio * 100.0),
            code(&shell(&result.command)),
        ]
    };
    let columns = [
        ("result", Left),
        ("box", Left),
        ("target", Left),
        ("begun", Left),
        ("took", Right),
        ("requests/s", Right),
        ("p50", Right),
        ("p99", Right),
        ("busiest thread", Right),
        ("command", Left),
    ];
    let rows: Vec<_> = merged.results.iter().map(row).collect();
    format!("\n## Merged from\n\n{}\n{}\n", table(&columns, &rows), merge::clocks(merged))
}

fn latencies(latency: &LatencySet) -> String {
    let columns: Vec<_> = [("", Left), ("samples", Right)]
        .into_iter()
        .chain(COLUMNS.iter().map(|(name, ..)| (*name, Right)))
        .collect();
    let latencies = rows(latency);
    let cells: Vec<Vec<String>> = latencies
        .iter()
        .map(|(name, latency, _)| {
            [code(name), count(latency.count)]
                .into_iter()
                .chain(COLUMNS.iter().map(|column| cell(column, latency)))
                .collect()
        })
        .collect();
    let mut text = table(&columns, &cells);
    text.push('\n');
    let most = latencies.iter().map(|(_, latency, _)| latency.count).max().unwrap_or(0);
    for (name, latency, definition) in &latencies {
        text +=
            &format!("- {}: {}\n", code(name), plain(&definition_of(latency, definition, most)));
    }
    let left_out = |(_, latency, _): &LatencyRow<'_>| {
        COLUMNS.iter().any(|column| is_left_out(column, latency))
    };
    if latencies.iter().any(left_out) {
        text += &format!("- {NOTHING}: too few samples, not ten beyond this percentile\n");
    }
    text
}

/// How far the rate and the latencies can be trusted.
fn trusted(report: &Report) -> String {
    let Some(confidence) = &report.confidence else { return String::new() };
    let mut text = "\n### How far to trust it\n\n".to_owned();
    text += &format!("- confidence: {}\n", cell_of(&trust::intervals(confidence)));
    if let Some(steadiness) = &report.steadiness {
        text += &format!("- steadiness: {}\n", cell_of(&trust::verdict(steadiness)));
    }
    text
}

fn limits(limits: &[LimitOutcome]) -> String {
    if limits.is_empty() {
        return String::new();
    }
    let row = |outcome: &LimitOutcome| {
        let few = trust::few_samples(outcome).map(|few| format!(" (of only {few})"));
        let longer = trust::longer(outcome).map(|longer| format!("; {longer}"));
        vec![
            if outcome.pass { "pass".into() } else { "**broken**".into() },
            code(&outcome.limit),
            plain(
                &[Some(trust::measured(outcome)), few, longer]
                    .map(Option::unwrap_or_default)
                    .concat(),
            ),
        ]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    let columns = [("", Left), ("limit", Left), ("measured", Left)];
    format!("\n### Limits\n\n{}", table(&columns, &rows))
}

fn statuses(report: &Report) -> String {
    if report.status.is_empty() {
        return String::new();
    }
    let row = |(code, n): (&u16, &u64)| vec![code.to_string(), count(*n)];
    let rows: Vec<_> = report.status.iter().map(row).collect();
    format!("\n### Status\n\n{}", table(&[("status", Right), ("responses", Right)], &rows))
}

/// What failed, and what to do about it.
pub(crate) fn errors(errors: &[Error]) -> String {
    if errors.is_empty() {
        return String::new();
    }
    let row = |error: &Error| {
        let detail = error.detail.as_deref().map(|text| plain(text) + "; ");
        vec![
            code(&format!("{}/{}", error.phase, error.kind)),
            count(error.count),
            trouble::when(error),
            detail.unwrap_or_default() + &sentence(&error.advice),
        ]
    };
    let rows: Vec<_> = errors.iter().map(row).collect();
    let columns = [("error", Left), ("requests", Right), ("when", Left), ("what to do", Left)];
    format!("\n## Errors\n\n{}", table(&columns, &rows))
}

fn findings(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let mut text = "\n## Findings\n\n".to_owned();
    for Finding { id, severity, text: what, cure } in findings {
        let word = severity.name();
        text += &format!("- **{word}** ({}): {}", code(id), sentence(what));
        text += &match cure.is_empty() {
            true => "\n".to_owned(),
            false => format!("  \n  **Cure:** {}\n", sentence(cure)),
        };
    }
    text
}

/// `1 finding`, for the verdict.
fn of_findings(findings: &[Finding]) -> Option<String> {
    let grave = findings.iter().filter(|finding| finding.severity != Severity::Info).count();
    (grave > 0).then(|| counted(grave as u64, "finding"))
}

#[cfg(test)]
mod tests;
