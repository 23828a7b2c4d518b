//! The top of the page: what was run, and the numbers for which it was.

use super::{INDENT, TEXT, row};
use crate::findings;
use crate::plan::describe::{self, Place};
use crate::result::{PortsSummary, Report, Requests, ScheduleSummary, Warmup};
use crate::statistics::enough_samples;
use crate::words::quantities::{NOTHING, count, latency_us, rate, seconds, time_us};
use crate::words::style::{Role, Style};
use crate::words::text::{escape, shortened, wrapped};
use std::io::{self, Write};

/// A little waiting for a CPU is in every run, as a wake-up is never at once.
const WAIT_SHOWN_RATIO: f64 = 0.05;

/// The first lines: the request, and how it was repeated.
pub(crate) fn what_was_run(report: &Report, out: &mut impl Write, style: Style) -> io::Result<()> {
    let plan = &report.plan;
    let request = escape(&plan.request(&report.target.url));
    // The document has it whole: here a very long URL would push the numbers off the screen.
    let request = shortened(&request, style.width);
    let server = if report.target.bundled { "the bundled server at " } else { "at " };
    let address = format!("({server}{})", escape(&report.target.address));
    let fits = request.chars().count() + 1 + address.chars().count() <= style.width;
    let (request, address) =
        (style.paint(Role::Heading, &request), style.paint(Role::Aside, &address));
    match fits {
        true => writeln!(out, "{request} {address}")?,
        false => writeln!(out, "{request}\n{:INDENT$}{address}", "")?,
    }
    let room = style.width.saturating_sub(INDENT);
    for line in report.target.addresses_used.iter().flat_map(|used| wrapped(&escape(used), room)) {
        writeln!(out, "{:INDENT$}{line}", "")?;
    }
    let engine = escape(&describe::engine(&report.engine, report.ring_tier.as_deref()));
    let limits = plan.limits(report.duration_s);
    for pieces in [
        plan.words(Place::Connections),
        [plan.words(Place::Generator), vec![engine, limits]].concat(),
        plan.words(Place::Model),
    ] {
        let pieces: Vec<_> = pieces.into_iter().map(|piece| (Role::Text, piece)).collect();
        for line in style.flow(&pieces, ", ", style.width.saturating_sub(INDENT)) {
            writeln!(out, "{:INDENT$}{line}", "")?;
        }
    }
    for line in
        wrapped(&source_ports(&report.ports, &plan.source_ip), style.width.saturating_sub(INDENT))
    {
        writeln!(out, "{:INDENT$}{line}", "")?;
    }
    if let Some(warmup) = &report.warmup {
        for line in wrapped(&warmed_up(warmup), style.width.saturating_sub(INDENT)) {
            writeln!(out, "{:INDENT$}{line}", "")?;
        }
    }
    if report.interrupted {
        let took = seconds(report.duration_s);
        let text = format!("Interrupted after {took}: the numbers are of that time.");
        writeln!(out, "\n{}", style.paint(Role::Warning, &text))?;
    }
    writeln!(out)
}

/// Rates with the counts behind them, and what they cost.
pub(crate) fn numbers(report: &Report, out: &mut impl Write, style: Style) -> io::Result<()> {
    let (requests, connections) = (&report.requests, &report.connections);
    let mut of_requests = vec![
        (Role::Text, format!("{} ok", count(requests.ok))),
        failed(requests.failed, requests.ok.saturating_add(requests.failed)),
        (Role::Text, format!("{} in flight", count(requests.in_flight))),
    ];
    of_requests.extend(resent(requests.resent));
    let of_connections = vec![
        (Role::Text, format!("{} opened", count(connections.opened))),
        failed(connections.failed, connections.opened.saturating_add(connections.failed)),
        (Role::Text, time_wait(&connections.time_wait_owner)),
    ];
    let measured = |per_s: Option<f64>| per_s.map_or(NOTHING.into(), rate);
    let request_rate = measured(report.rate.requests_per_s);
    let connection_rate = measured(report.rate.connections_per_s);
    let width = request_rate.len().max(connection_rate.len());
    for (name, rate, counts) in
        [("requests", request_rate, of_requests), ("connections", connection_rate, of_connections)]
    {
        let rate = format!("{rate:>width$} /s");
        let gap = 3;
        let left = rate.len() + gap;
        let mut lines = style.flow(&counts, ", ", style.width.saturating_sub(TEXT + left));
        for (at, line) in lines.iter_mut().enumerate() {
            match at {
                0 => *line = format!("{}{:gap$}{line}", style.paint(Role::Number, &rate), ""),
                _ => *line = format!("{:left$}{line}", ""),
            }
        }
        row(out, name, &lines)?;
    }
    if let Some(schedule) = &report.schedule {
        let kept = style.flow(&schedule_kept(schedule), ", ", style.width.saturating_sub(TEXT));
        row(out, "schedule", &kept)?;
    }
    let cost = style.flow(&generator(report), ", ", style.width.saturating_sub(TEXT));
    row(out, "generator", &cost)
}

/// Requests that went out more than once, if there were any.
pub(crate) fn resent(requests: u64) -> Option<(Role, String)> {
    (requests > 0).then(|| (Role::Text, format!("{} resent", count(requests))))
}

/// What was left out of the numbers.
pub(crate) fn warmed_up(warmup: &Warmup) -> String {
    let Requests { ok, failed, in_flight, .. } = warmup.requests;
    let unanswered = match in_flight {
        0 => String::new(),
        n => format!(", {} unanswered", count(n)),
    };
    let [p50, p99, max] = [warmup.p50_us, warmup.p99_us, warmup.max_us].map(latency_us);
    let p99 = if enough_samples(ok, 99.0) { format!("p99 {p99}, ") } else { String::new() };
    let latency = if ok > 0 { format!(", p50 {p50}, {p99}max {max}") } else { String::new() };
    format!(
        "left out: {} of warm-up with {} ok, {} failed{unanswered}{latency}",
        seconds(warmup.duration_s),
        count(ok),
        count(failed),
    )
}

/// Whether what was due was begun, and in time.
pub(crate) fn schedule_kept(schedule: &ScheduleSummary) -> Vec<(Role, String)> {
    let [p99, max] = [schedule.slip.p99_us, schedule.slip.max_us].map(latency_us);
    let dropped = match schedule.dropped {
        0 => (Role::Text, "0 dropped".into()),
        n => (Role::Bad, format!("{} dropped", count(n))),
    };
    let waited = match schedule.waited {
        0 => (Role::Text, "none waited for a connection".into()),
        n => (Role::Text, format!("{} waited for a connection", count(n))),
    };
    let mut pieces = vec![(Role::Text, format!("{} due", count(schedule.due))), dropped, waited];
    if schedule.waiting > 0 {
        let text = format!("{} still waiting at the end", count(schedule.waiting));
        pieces.push((Role::Warning, text));
    }
    let p99 = match enough_samples(schedule.slip.count, 99.0) {
        true => format!("p99 {p99}, "),
        false => String::new(),
    };
    if schedule.slip.count > 0 {
        pieces.push((Role::Text, format!("begun late by {p99}max {max}")));
    }
    pieces
}

/// Who chose the source ports, from what, and why; and what was passed over.
pub(crate) fn source_ports(ports: &PortsSummary, asked: &[String]) -> String {
    let range = format!("{}-{}", ports.low, ports.high);
    let from = match (ports.sources.as_slice(), asked.is_empty()) {
        (_, true) => String::new(),
        ([one], _) => format!(" of {one}"),
        (many, _) => format!(" of {} addresses", count(many.len() as u64)),
    };
    let left_out = match ports.skipped_reserved {
        0 => String::new(),
        n => format!(", {} reserved or the target's own", count(n.into())),
    };
    let skipped: Vec<String> =
        [(ports.skipped_in_use, "in use"), (ports.skipped_closing, "still open or closing")]
            .into_iter()
            .filter(|&(times, _)| times > 0)
            .map(|(times, word)| format!("{} times {word}", count(times)))
            .collect();
    let skipped = match skipped.is_empty() {
        true => String::new(),
        false => format!("; passed over: {}", skipped.join(", ")),
    };
    let why = escape(&ports.why);
    match ports.method.as_ref() {
        "rotation" => {
            let usable = count(ports.usable.into());
            format!("source ports: {usable} of {range}{from} in rotation{left_out}, {why}{skipped}")
        }
        "none" => format!("source ports: none, {why}"),
        _ => format!("source ports: the kernel's choice{from}, {why}"),
    }
}

pub(crate) fn failed(failed: u64, of: u64) -> (Role, String) {
    match failed {
        0 => (Role::Text, "0 failed".into()),
        // A document may say anything.
        n => {
            let share = n as f64 / of.max(1) as f64;
            (Role::Bad, format!("{} failed ({})", count(n), percent(share)))
        }
    }
}

/// A share, never rounded to none or to all.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p < 0.1 => "< 0.1%".into(),
        p if p < 10.0 => format!("{p:.1}%"),
        p if p > 99.5 && p < 100.0 => "> 99%".into(),
        p => format!("{p:.0}%"),
    }
}

pub(crate) fn time_wait(owner: &str) -> String {
    match owner {
        "server" => "TIME_WAIT on the server".into(),
        "client" => "TIME_WAIT on this side".into(),
        _ => "no TIME_WAIT".into(),
    }
}

pub(crate) fn generator(report: &Report) -> Vec<(Role, String)> {
    let generator = &report.generator;
    let cost = match generator.cpu_us_per_request {
        None => "no request ended".into(),
        Some(us) => format!("{} CPU per request", time_us(us)),
    };
    let thread = if generator.threads == 1 { "thread" } else { "busiest thread" };
    let busy = format!("{thread} {:.0}% busy", generator.busy_ratio * 100.0);
    let busy = match generator.saturated {
        true => (Role::Warning, format!("{busy}: saturated")),
        false => (Role::Text, busy),
    };
    let mut pieces = vec![(Role::Text, cost), busy];
    if generator.cpu_wait_peak_ratio.is_some_and(|ratio| ratio >= WAIT_SHOWN_RATIO) {
        pieces.extend(findings::waited(generator).map(|waited| (Role::Text, waited)));
    }
    if let Some(stopped_s) = generator.throttled_s.filter(|&stopped_s| stopped_s > 0.0) {
        let text = format!("stopped by its CPU quota for {}", seconds(stopped_s));
        pieces.push((Role::Warning, text));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    #[test]
    fn what_the_generator_waited_for_is_shown_where_it_matters() {
        let mut report = sample::clean();
        assert_eq!(generator(&report).len(), 2);
        let own = &mut report.generator;
        (own.cpu_wait_ratio, own.cpu_wait_peak_ratio) = (Some(0.73), Some(0.96));
        own.throttled_s = Some(2.56);
        let text: Vec<String> = generator(&report).into_iter().map(|(_, text)| text).collect();
        assert_eq!(text[2], "waited for a CPU for 73% of the time (96% of its worst second)");
        assert_eq!(text[3], "stopped by its CPU quota for 2.56 s");
    }

    #[test]
    fn who_chose_the_ports_and_why_is_one_line() {
        let mut ports = sample::clean().ports;
        assert_eq!(
            source_ports(&ports, &[]),
            "source ports: the kernel's choice, as the server keeps TIME_WAIT"
        );
        let over_unix = PortsSummary {
            method: "none".into(),
            why: crate::engine::ports::Ports::none().why.into(),
            ..ports.clone()
        };
        assert_eq!(source_ports(&over_unix, &[]), "source ports: none, as a unix socket has none");
        ports.method = "rotation".into();
        (ports.usable, ports.why) = (14_116, "as this side keeps TIME_WAIT".into());
        let line = source_ports(&ports, &[]);
        assert_eq!(
            line,
            "source ports: 14,116 of 32768-60999 in rotation, as this side keeps TIME_WAIT"
        );
        assert!(line.len() + INDENT <= 80);
        (ports.skipped_reserved, ports.skipped_in_use) = (3, 1_200);
        ports.sources.push("127.0.0.2".into());
        assert_eq!(
            source_ports(&ports, &["127.0.0.0/30".into()]),
            "source ports: 14,116 of 32768-60999 of 2 addresses in rotation, 3 reserved or the \
             target's own, as this side keeps TIME_WAIT; passed over: 1,200 times in use"
        );
    }

    #[test]
    fn a_schedule_says_what_it_did_not_keep() {
        let schedule = sample::paced().schedule.unwrap();
        let text = |schedule: &ScheduleSummary| {
            let pieces: Vec<String> =
                schedule_kept(schedule).into_iter().map(|(_, text)| text).collect();
            pieces.join(", ")
        };
        assert_eq!(
            text(&schedule),
            "10,000 due, 0 dropped, none waited for a connection, begun late by p99 44 µs, max 273 µs"
        );
        let late = ScheduleSummary { dropped: 7, waiting: 1_000, waited: 20, ..schedule };
        assert!(
            text(&late).contains("7 dropped, 20 waited for a connection, 1,000 still waiting"),
            "{}",
            text(&late)
        );
    }

    #[test]
    fn a_share_is_never_rounded_to_none_or_to_all() {
        for (share, text) in
            [(1e-9, "< 0.1%"), (0.012, "1.2%"), (0.5, "50%"), (0.9999, "> 99%"), (1.0, "100%")]
        {
            assert_eq!(percent(share), text);
        }
    }
}
