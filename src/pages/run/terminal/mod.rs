//! What a person reads: one calm page when the run is over ([`summary()`]).
//!
//! The page is a function of the report and a [`Style`]; what the terminal can do is asked once,
//! in the style's constructors. Nothing that came from a server or a user reaches a terminal
//! unescaped ([`crate::words::text::escape`]).
//!
//! ```text
//! GET http://127.0.0.1:8080/            what was run
//!   64 connections, keep-alive
//!
//!   requests     101,234 /s   ...       the numbers that were asked for
//!   limit        ...                    and what kept them from being higher
//!
//!   latency          p50      p99 ...   and each with what it contains
//!
//!   confidence, steadiness, Limits      how far to trust them, and whether they are good enough
//!
//!   status, Errors, Findings            what else there is to know, worst first
//!
//! Requests/sec:  101234.00              for scripts that know wrk
//! ```

pub(crate) mod headline;
pub(super) mod latency;
pub(super) mod trouble;
pub(super) mod trust;
pub(super) mod watched;

use crate::result::Report;
use crate::words::quantities::{NOTHING, wrk_binary};
use crate::words::style::Style;
use std::io::{self, Write};

/// How far the rows below a heading are moved in.
const INDENT: usize = 2;
/// The columns that names of rows take; `uncorrected` and `connections` are the longest.
const LABEL: usize = 11;

/// Where the text of a row begins.
const TEXT: usize = INDENT + LABEL + 2;

/// Writes the page.
pub fn summary(report: &Report, out: &mut impl Write, style: Style) -> io::Result<()> {
    headline::what_was_run(report, out, style)?;
    headline::numbers(report, out, style)?;
    watched::rows(report, out, style)?;
    latency::table(&report.latency, out, style)?;
    trust::rows(report, out, style)?;
    trust::limits(&report.slo, out, style)?;
    trouble::statuses(&report.status, out, style)?;
    trouble::errors(&report.errors, out, style)?;
    trouble::findings(&report.kernel.findings, out, style)?;
    last_two_lines(report, out)
}

/// Exactly as wrk prints them, digit for digit: scripts cut their numbers out of these lines.
fn last_two_lines(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out)?;
    let Some(requests_per_s) = report.rate.requests_per_s.filter(|_| report.duration_s > 0.0)
    else {
        let nothing = NOTHING;
        return writeln!(out, "Requests/sec: {nothing:>9}\nTransfer/sec: {nothing:>11}");
    };
    let bytes_per_s = report.bytes.read as f64 / report.duration_s;
    writeln!(out, "Requests/sec: {requests_per_s:9.2}")?;
    writeln!(out, "Transfer/sec: {:>10}B", wrk_binary(bytes_per_s))
}

/// A row with its name; further lines stand below the first.
fn row(out: &mut impl Write, name: &str, lines: &[String]) -> io::Result<()> {
    for (at, line) in lines.iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        writeln!(out, "{:INDENT$}{name:<LABEL$}  {line}", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
