//! The report: what was done, the verdicts, the faults and every part of the run.

use super::Args;
use super::judge::{self, Check, NAMED, Outcome, Part};
use super::watch::Sample;
use bench_server::Fault;
use ringshot::result::Report;
use ringshot::words::quantities::{bytes, count, rate, seconds};
use std::fmt::Write;

/// The report in Markdown.
pub fn page(
    args: &Args,
    report: &Report,
    samples: &[Sample],
    outcome: &Outcome,
    checks: &[Check],
) -> String {
    let failed: Vec<&str> =
        checks.iter().filter(|check| !check.pass).map(|check| check.name).collect();
    let verdict = match failed.is_empty() {
        true => "**Passed**: nothing drifted, and every failure is a fault that was made.".into(),
        false => format!("**Failed**: {}.", failed.join(", ")),
    };
    let mut page = format!("# Soak\n\n{verdict}\n\n```\n{}\n```\n\n", command(args));
    let connections = if outcome.kept { "kept connections" } else { "a new one for every request" };
    let _ = writeln!(
        page,
        "{} requests in {}, {} connections, {connections}; {}{}; ringshot {}, begun {}, {}, Linux \
         {}, {} CPUs. Faults for {}% of the requests, {}.\n",
        count(outcome.requests.started),
        seconds(outcome.duration_s),
        outcome.connections,
        report.engine,
        report.ring_tier.as_ref().map_or(String::new(), |tier| format!(" ({tier})")),
        report.version,
        report.begun_at,
        report.host.cpu_model,
        report.host.kernel,
        report.host.cpus,
        args.faults,
        if args.switch.is_zero() {
            "all the time".into()
        } else {
            format!("off and on for {} each", seconds(args.switch.as_secs_f64()))
        },
    );
    table(&mut page, &["check", "verdict", "numbers"], checks.iter().map(check));
    faults(&mut page, outcome);
    parts(&mut page, judge::under_load(samples), outcome);
    let own = args.report.with_extension("run.md");
    let own = own.file_name().unwrap_or_default().to_string_lossy();
    let _ = writeln!(
        page,
        "ringshot's own report of the run: [{own}]({own}). Memory is what is resident; descriptors \
         are those of /proc, without the direct ones of a ring; connections are those that the \
         server has open at the end of a second."
    );
    page
}

/// What repeats it.
fn command(args: &Args) -> String {
    let mut words = vec!["benches/soak.sh".to_owned()];
    let time = |time| humantime::format_duration(time).to_string().replace(' ', "");
    match args.requests {
        Some(requests) => words.push(format!("--requests {requests}")),
        None => words.push(format!("--duration {}", time(args.duration))),
    }
    words.push(format!("--faults {} --switch {}", args.faults, time(args.switch)));
    words.push(format!("--connections {}", args.connections));
    if args.keepalive {
        words.push("--keepalive".into());
    }
    if !args.flags.is_empty() {
        let flags = args.flags.iter().map(String::as_str);
        words.push(format!("-- {}", shlex::try_join(flags).unwrap_or_default()));
    }
    words.join(" ")
}

fn check(check: &Check) -> Vec<String> {
    vec![format!("`{}`", check.name), check.verdict().into(), check.text.clone()]
}

fn faults(page: &mut String, outcome: &Outcome) {
    let called = |fault: Fault| {
        let name = NAMED.iter().find(|(_, kinds)| kinds.contains(&fault));
        name.map_or("an answer".into(), |(name, _)| format!("`{name}`"))
    };
    let rows = Fault::ALL.map(|fault| {
        vec![format!("`{}`", fault.name()), count(outcome.faults[fault]), called(fault)]
    });
    table(page, &["fault", "made by the server", "has to be called"], rows.into_iter());
}

fn parts(page: &mut String, samples: &[Sample], outcome: &Outcome) {
    let row = |part: Part| {
        let most = |of: fn(&Sample) -> u64| part.samples.iter().map(of).max().unwrap_or(0);
        let ends = (part.samples.first(), part.samples.last());
        let (from, to) = (ends.0.map_or(0.0, |s| s.t_s), ends.1.map_or(0.0, |s| s.t_s));
        let used = outcome.in_flight.iter().filter(|(t_s, _)| (from..=to).contains(t_s));
        vec![
            format!("{from:.0}-{to:.0}"),
            if part.faulty { count(part.faults) } else { "none".into() },
            rate(part.rate_per_s),
            used.map(|(_, n)| *n).max().unwrap_or(0).to_string(),
            most(|sample| sample.open).to_string(),
            bytes(most(|sample| sample.resident_bytes)),
            most(|sample| sample.descriptors).to_string(),
            most(|sample| sample.threads).to_string(),
        ]
    };
    let columns = [
        "seconds",
        "faults",
        "requests/s",
        "slots in use, at most",
        "connections, at most",
        "memory, at most",
        "descriptors",
        "threads",
    ];
    table(page, &columns, judge::parts(samples).into_iter().map(row));
}

fn table(page: &mut String, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(page, "| {} |", columns.join(" | "));
    let _ = writeln!(page, "|{}", "---|".repeat(columns.len()));
    for row in rows {
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
    page.push('\n');
}
