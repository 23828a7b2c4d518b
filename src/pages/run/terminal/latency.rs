//! The latency table, with what each row contains: a latency without its definition cannot be
//! compared with anybody else's.

use super::{INDENT, LABEL, TEXT};
use crate::result::{Latency, LatencySet};
use crate::words::quantities::{NOTHING, counted, time_us};
use crate::words::style::{Role, Style};
use crate::words::text::wrapped;
use std::io::{self, Write};

/// `1.23 ms` is seven columns; two keep it from its neighbour.
const COLUMN: usize = 9;

/// A column's name, its percentile if it is one, and where it gets its microseconds from.
pub(crate) type PercentileColumn = (&'static str, Option<f64>, fn(&Latency) -> Option<f64>);

/// In the order in which they are left out when the line is too short, last first.
pub(crate) const COLUMNS: [PercentileColumn; 7] = [
    ("p50", Some(50.0), |latency| latency.p50_us.map(|us| us as f64)),
    ("p90", Some(90.0), |latency| latency.p90_us.map(|us| us as f64)),
    ("p99", Some(99.0), |latency| latency.p99_us.map(|us| us as f64)),
    ("p99.9", Some(99.9), |latency| latency.p99_9_us.map(|us| us as f64)),
    ("max", None, |latency| latency.max_us.map(|us| us as f64)),
    ("mean", None, |latency| latency.mean_us),
    ("stdev", None, |latency| latency.stdev_us),
];

/// A latency, its name, and what it contains.
pub(crate) type LatencyRow<'a> = (&'static str, &'a Latency, &'static str);

/// Writes the table, and below it the definitions.
pub(crate) fn table(latency: &LatencySet, out: &mut impl Write, style: Style) -> io::Result<()> {
    let room = style.width.saturating_sub(INDENT + LABEL) / COLUMN;
    let columns = &COLUMNS[..room.clamp(1, COLUMNS.len())];
    let rows = rows(latency);

    let names: String = columns.iter().map(|(name, ..)| format!("{name:>COLUMN$}")).collect();
    let heading = format!("{:<LABEL$}{names}", "latency");
    writeln!(out, "\n{:INDENT$}{}", "", style.paint(Role::Heading, &heading))?;
    for (name, latency, _) in &rows {
        let cells: String =
            columns.iter().map(|column| format!("{:>COLUMN$}", cell(column, latency))).collect();
        writeln!(out, "{:INDENT$}{name:<LABEL$}{cells}", "")?;
    }
    writeln!(out)?;
    if rows.iter().any(|(_, latency, _)| columns.iter().any(|column| is_left_out(column, latency)))
    {
        let line = format!("{NOTHING:<LABEL$}  too few samples: not ten beyond this percentile");
        writeln!(out, "{:INDENT$}{}", "", style.paint(Role::Aside, &line))?;
    }
    let most = rows.iter().map(|(_, latency, _)| latency.count).max().unwrap_or(0);
    for (name, latency, definition) in &rows {
        let definition = definition_of(latency, definition, most);
        // Painted as a whole, name included: it is read once and then looked past.
        for (at, line) in wrapped(&definition, style.width.saturating_sub(TEXT)).iter().enumerate()
        {
            let name = if at == 0 { name } else { "" };
            let line = style.paint(Role::Aside, &format!("{name:<LABEL$}  {line}"));
            writeln!(out, "{:INDENT$}{line}", "")?;
        }
    }
    Ok(())
}

pub(crate) fn rows(latency: &LatencySet) -> Vec<LatencyRow<'_>> {
    // In a paced run the total starts when the request was due, not when it was sent.
    let total = match latency.uncorrected {
        Some(_) => "when it was due to last byte: all waiting is in it",
        None => "opening the connection to last byte; on a reused one like service",
    };
    let mut rows = vec![
        ("connect", &latency.connect, "open to established"),
        ("first_byte", &latency.first_byte, "request handed to the kernel to first response byte"),
        (
            "service",
            &latency.service,
            "request handed to the kernel to last byte: what wrk calls latency",
        ),
        ("total", &latency.total, total),
    ];
    if let Some(uncorrected) = &latency.uncorrected {
        rows.push((
            "uncorrected",
            uncorrected,
            "actual start to last byte: what total would be without the waiting before it",
        ));
    }
    rows
}

/// A value of a latency, as far as there are samples for it.
pub(crate) fn cell(column: &PercentileColumn, latency: &Latency) -> String {
    let (_, _, us) = column;
    us(latency).filter(|_| !is_left_out(column, latency)).map_or(NOTHING.into(), time_us)
}

/// A percentile with fewer than ten samples beyond it is hardly more than the maximum.
pub(crate) fn is_left_out(&(_, percentile, _): &PercentileColumn, latency: &Latency) -> bool {
    let supported = latency.percentile_supported.unwrap_or(0.0);
    latency.count > 0 && percentile.is_some_and(|percentile| percentile > supported)
}

/// The definition, with the number of samples where a row has far fewer than the others: the p99
/// of 64 handshakes beside a million responses is not what it looks like.
pub(crate) fn definition_of(latency: &Latency, definition: &str, most: u64) -> String {
    match latency.count {
        0 => format!("{definition} (no samples)"),
        few if few < most / 2 => format!("{definition} ({})", counted(few, "sample")),
        _ => definition.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    fn printed(latency: &LatencySet, width: usize) -> String {
        let mut out = Vec::new();
        table(latency, &mut out, Style { colour: false, width }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_as_many_as_fit() {
        let latency = sample::clean().latency;
        for (width, last) in [(100, "stdev"), (80, "stdev"), (75, "mean"), (60, "max"), (40, "p99")]
        {
            let text = printed(&latency, width);
            let mut lines = text.lines().skip(1);
            let heading = lines.next().unwrap();
            assert!(heading.ends_with(last), "{width}: {heading}");
            for row in lines.take(4) {
                assert_eq!(row.chars().count(), heading.chars().count(), "{row}");
            }
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn without_samples_there_are_no_numbers() {
        let none = Latency::default();
        let text = printed(&LatencySet { connect: none, ..sample::clean().latency }, 80);
        let row = text.lines().find(|line| line.starts_with("  connect ")).unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["connect", "-", "-", "-", "-", "-", "-", "-"]
        );
        assert!(text.contains("open to established (no samples)"));
    }

    #[test]
    fn few_samples_are_said() {
        let few = Latency { count: 64, ..sample::clean().latency.connect };
        let text = printed(&LatencySet { connect: few, ..sample::clean().latency }, 80);
        assert!(text.contains("open to established (64 samples)"), "{text}");
    }

    #[test]
    fn a_percentile_without_ten_samples_beyond_it_is_not_printed() {
        let few = Latency {
            count: 1_000,
            percentile_supported: Some(99.0),
            ..sample::clean().latency.connect
        };
        let text = printed(&LatencySet { connect: few, ..sample::clean().latency }, 80);
        let row = text.lines().find(|line| line.starts_with("  connect ")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[5..=8], ["128", "µs", "-", "793"], "{row}");
        assert!(text.contains("too few samples"), "{text}");
        assert!(!printed(&sample::clean().latency, 80).contains("too few"));
    }

    #[test]
    fn a_paced_run_defines_total_otherwise() {
        let mut latency = sample::clean().latency;
        assert!(printed(&latency, 80).contains("opening the connection to last byte"));
        latency.uncorrected = Some(latency.total.clone());
        let text = printed(&latency, 80);
        assert!(text.contains("when it was due to last byte"), "{text}");
        assert!(text.contains("  uncorrected  actual start to last byte"), "{text}");
    }
}
