//! What a person sees of a comparison: a line for each run as it is made, and at the end the table.

use crate::compare::document::{ComparisonDocument, ComparisonSetup, Round, ToolRow};
use crate::plan::describe::{self, Place};
use crate::words::quantities::{NOTHING, bytes, count, counted, cpu_list, rate, seconds, time_us};
use crate::words::say;
use crate::words::style::{Role, Style};
use crate::words::text::{escape, wrapped};
use std::io::{self, Write};

/// How wide the names of the tools are.
const NAME_WIDTH: usize = 8;

/// The columns of the table, and how wide each is with the space before it.
pub(crate) const COLUMNS: [(&str, usize); 10] = [
    ("requests/s", 10),
    ("CPU/req", 9),
    ("user", 9),
    ("ratio (min-max)", 17),
    ("memory", 8),
    ("p50", 8),
    ("p90", 8),
    ("p99", 8),
    ("max", 8),
    ("errors", 7),
];

/// Where the table is broken when it is wider than the terminal: before the latencies.
const BREAK: usize = 5;

/// What is compared, and how.
pub(crate) fn head(
    setup: &ComparisonSetup,
    rows: &[ToolRow],
    rounds: u32,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let able = rows.iter().filter(|row| row.installed && row.cannot.is_none());
    let names: Vec<&str> = able.map(|row| row.name.as_ref()).collect();
    let what = format!("Comparing {} on {}", names.join(", "), what_runs(setup));
    for line in wrapped(&what, style.width) {
        writeln!(out, "{}", style.paint(Role::Heading, &line))?;
    }
    for line in wrapped(&how_often(setup, rounds, names.len()), style.width.saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// The request and the connections.
pub(crate) fn what_runs(setup: &ComparisonSetup) -> String {
    let request = setup.load.request(&setup.load.target(setup.url.as_deref()));
    let connections = setup.load.words(Place::Connections).join(", ");
    format!("{}: {connections}", escape(&request))
}

/// Rounds, length and place.
pub(crate) fn how_often(setup: &ComparisonSetup, rounds: u32, tools: usize) -> String {
    let load = &setup.load;
    let each = match (load.requests, load.duration_s) {
        (Some(requests), _) => counted(requests, "request"),
        (None, duration_s) => seconds(duration_s.unwrap_or_default()),
    };
    let server = match (&setup.url, setup.server_cpus.as_slice()) {
        (Some(_), _) => String::new(),
        (None, []) => "; the server not pinned, new for every run".into(),
        (None, cpus) => format!("; the server on CPU {}, new for every run", cpu_list(cpus)),
    };
    let engine = match &setup.engine {
        Some(name) => {
            format!("; ringshot over {}", describe::engine(name, setup.ring_tier.as_deref()))
        }
        None => String::new(),
    };
    format!(
        "{} of {} of {each} each, {}{server}{engine}",
        counted(rounds.into(), "round"),
        counted(tools as u64, "run"),
        load.words(Place::Generator).join(", ")
    )
}

/// A sign of life, on standard error.
pub(crate) fn progress(round: u32, rounds: u32, name: &str, done: &Round) {
    let what = match (done.requests, done.cpu_us_per_request) {
        (Some(_), Some(us)) => {
            let per_s = done.requests_per_s.map_or(NOTHING.into(), rate);
            format!("{per_s:>11} requests/s  {:>8} CPU", time_us(us))
        }
        (Some(_), None) => "no answers".into(),
        _ => String::new(),
    };
    let note = done.note.as_deref().map(|note| format!("  {note}")).unwrap_or_default();
    say::plain(format_args!("  {round:>3}/{rounds}  {name:<9}{what}{note}"));
}

/// The cells of a row, one for each of [`COLUMNS`]; what a tool does not report is `-`.
pub(crate) fn cells(row: &ToolRow) -> Result<Vec<String>, String> {
    if !row.installed {
        return Err(format!("not installed: {}", row.install));
    }
    if let Some(reason) = &row.cannot {
        return Err(reason.clone());
    }
    let Some(medians) = &row.medians else {
        let note = row.rounds.iter().find_map(|round| round.note.clone());
        return Err(note.unwrap_or_else(|| "not run".into()));
    };
    let time = |us: Option<f64>| us.map_or(NOTHING.into(), time_us);
    let ratio = match (medians.ratio, medians.ratio_min, medians.ratio_max) {
        (Some(median), Some(min), Some(max)) => format!("{median:.2} ({min:.2}-{max:.2})"),
        _ => NOTHING.into(),
    };
    let latency = &medians.latency;
    Ok(vec![
        medians.requests_per_s.map_or(NOTHING.into(), rate),
        time(medians.cpu_us_per_request),
        time(medians.cpu_user_us_per_request),
        ratio,
        medians.memory_peak_bytes.map_or(NOTHING.into(), bytes),
        time(latency.p50_us),
        time(latency.p90_us),
        time(latency.p99_us),
        time(latency.max_us),
        count(medians.errors),
    ])
}

/// The name of a row, with a mark where the server has seen something else.
pub(crate) fn name(row: &ToolRow) -> String {
    format!("{}{}", row.name, if row.differs { " !" } else { "" })
}

/// The table, what it comes to, and what its numbers contain.
pub(crate) fn summary(
    document: &ComparisonDocument,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    writeln!(out)?;
    table(document, out, style)?;
    let mut text = |text: &str, role: Role, indent: usize| {
        for line in wrapped(text, style.width.saturating_sub(indent)) {
            writeln!(out, "{:indent$}{}", "", style.paint(role, &line))?;
        }
        Ok::<(), io::Error>(())
    };
    for sentence in &document.verdict {
        text(sentence, Role::Heading, 0)?;
    }
    for note in &document.notes {
        text(note, Role::Warning, 0)?;
    }
    text("What the numbers contain:", Role::Heading, 0)?;
    text(ABOUT, Role::Text, 2)?;
    for row in document.tools.iter().filter(|row| row.medians.is_some()) {
        text(&format!("{}: {}.", row.name, row.footnote), Role::Text, 2)?;
    }
    if document.interrupted {
        text("Interrupted: this is what was done up to then.", Role::Warning, 0)?;
    }
    Ok(())
}

fn table(document: &ComparisonDocument, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let whole: usize = NAME_WIDTH + COLUMNS.iter().map(|(_, width)| width).sum::<usize>();
    let lines = match whole <= style.width {
        true => vec![(0, COLUMNS.len())],
        false => vec![(0, BREAK), (BREAK, COLUMNS.len())],
    };
    let mut print = |name: &str, cells: &[String], role: Role| {
        for (at, &(from, to)) in lines.iter().enumerate() {
            let mut line = format!("{:<NAME_WIDTH$}", if at == 0 { name } else { "" });
            for (cell, (_, width)) in cells.iter().zip(COLUMNS).take(to).skip(from) {
                line += &format!("{cell:>width$}");
            }
            writeln!(out, "{}", style.paint(role, &line))?;
        }
        Ok::<(), io::Error>(())
    };
    print("", &COLUMNS.map(|(name, _)| name.to_owned()), Role::Heading)?;
    for (row, cells) in document.tools.iter().filter_map(|row| Some((row, cells(row).ok()?))) {
        print(&name(row), &cells, Role::Text)?;
    }
    // Without numbers, and so below those that have them.
    for (row, reason) in document.tools.iter().filter_map(|row| Some((row, cells(row).err()?))) {
        for (at, line) in
            wrapped(&reason, style.width.saturating_sub(NAME_WIDTH + 1)).iter().enumerate()
        {
            let name = if at == 0 { row.name.as_ref() } else { "" };
            writeln!(out, "{name:<NAME_WIDTH$} {}", style.paint(Role::Aside, line))?;
        }
    }
    writeln!(out)
}

/// What holds for all rows.
pub(crate) const ABOUT: &str = "Medians over the rounds, and the sum of their errors. CPU/req is the whole process's CPU time \
     for each answer, user the part of it in its own code; ratio is CPU/req over that of ringshot in \
     the same round; memory is the most that was resident; latencies and errors are what each tool \
     calls so.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::document::tests::{document, rows};
    use crate::plan::Description;

    fn page(document: &ComparisonDocument, width: usize) -> String {
        let mut out = Vec::new();
        summary(document, &mut out, Style { width, ..Style::PLAIN }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_is_broken_where_the_terminal_ends() {
        let mut rows = rows();
        rows.push(ToolRow {
            name: "ab".into(),
            installed: false,
            install: "apt install ab".into(),
            ..rows[1].clone()
        });
        rows.push(ToolRow {
            name: "hey".into(),
            cannot: Some("it cannot pipeline".into()),
            ..rows[1].clone()
        });
        rows[2].rounds.clear();
        rows[3].rounds.clear();
        let document = document(rows);
        for width in [80, 100] {
            let text = page(&document, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            assert!(text.contains("ab       not installed: apt install ab\n"), "{text}");
            assert!(text.contains("hey      it cannot pipeline\n"), "{text}");
        }
        let row = "wrk         20,000  60.8 µs  7.59 µs 1.50 (1.50-1.50) 8.00 MB";
        assert!(page(&document, 80).contains(&format!("{row}\n")), "{}", page(&document, 80));
    }

    #[test]
    fn a_tool_that_contradicts_the_server_is_marked() {
        let mut rows = rows();
        rows[1].rounds[1].differs = true;
        rows[1].rounds[1].note = Some("it says 2, the server saw 1".into());
        let text = page(&document(rows), 100);
        assert!(text.contains("\nwrk !  "), "{text}");
        assert!(text.contains("wrk (!): round 2: it says 2, the server saw 1."), "{text}");
    }

    #[test]
    fn what_runs_is_said_in_one_line() {
        let setup = document(rows()).plan;
        let expected = "GET the bundled server: 64 connections, a new one for every request, \
                        the server closes";
        assert_eq!(what_runs(&setup), expected);
        let expected = "3 rounds of 2 runs of 1 s each, 1 thread on CPU 1; the server on CPU 0, \
                        new for every run; ringshot over io_uring (direct)";
        assert_eq!(how_often(&setup, 3, 2), expected);
        let load = Description { requests_per_connection: None, pipeline: 16, ..setup.load };
        let kept = ComparisonSetup { load, ..setup };
        assert!(what_runs(&kept).ends_with("64 connections, keep-alive, 16 pipelined"));
    }
}
