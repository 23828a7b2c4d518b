//! The lower part of the page: statuses, and what went wrong with what to do about it. A clean
//! run has one line of it.

use super::{INDENT, TEXT, row};
use crate::result::{Error, Finding, Severity};
use crate::words::quantities::{count, counted};
use crate::words::style::{Role, Style};
use crate::words::text::{escape, wrapped};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The columns of the word that names a finding's severity; `warning` is the longest.
const SEVERITY: usize = 7;

/// Complete responses by status.
pub(crate) fn statuses(
    status: &BTreeMap<u16, u64>,
    out: &mut impl Write,
    style: Style,
) -> io::Result<()> {
    let pieces: Vec<_> = status
        .iter()
        .map(|(code, n)| {
            let expected = (200..400).contains(code);
            let role = if expected { Role::Good } else { Role::Bad };
            (role, format!("{code}: {}", count(*n)))
        })
        .collect();
    if pieces.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    row(out, "status", &style.flow(&pieces, "   ", style.width.saturating_sub(TEXT)))
}

/// Failed requests, the most frequent kind first.
pub(crate) fn errors(errors: &[Error], out: &mut impl Write, style: Style) -> io::Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.paint(Role::Heading, "Errors"))?;
    for error in errors {
        let name = style.paint(Role::Bad, &escape(&format!("{}/{}", error.phase, error.kind)));
        let requests = counted(error.count, "request");
        writeln!(out, "{:INDENT$}{name}  {requests}, {}", "", when(error))?;
        for text in error.detail.iter().chain([&error.advice]) {
            for line in wrapped(&escape(text), style.width.saturating_sub(2 * INDENT)) {
                writeln!(out, "{:1$}{line}", "", 2 * INDENT)?;
            }
        }
    }
    Ok(())
}

/// Sentences with a cure, worst first.
pub(crate) fn findings(findings: &[Finding], out: &mut impl Write, style: Style) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.paint(Role::Heading, "Findings"))?;
    let left = INDENT + SEVERITY + 2;
    let room = style.width.saturating_sub(left);
    for finding in findings {
        let role = match finding.severity {
            Severity::Error => Role::Bad,
            Severity::Warning => Role::Warning,
            Severity::Info => Role::Aside,
        };
        let word = style.paint(role, &format!("{:<SEVERITY$}", finding.severity.name()));
        let mut text = wrapped(&escape(&finding.text), room).into_iter();
        writeln!(out, "{:INDENT$}{word}  {}", "", text.next().unwrap_or_default())?;
        for line in text {
            writeln!(out, "{:left$}{line}", "")?;
        }
        let cure = wrapped(&escape(&finding.cure), room.saturating_sub(2));
        for (at, line) in cure.iter().enumerate() {
            writeln!(out, "{:left$}{} {line}", "", if at == 0 { "→" } else { " " })?;
        }
    }
    Ok(())
}

/// When in the run: a burst at the start has another reason than a failure that stays.
pub(crate) fn when(error: &Error) -> String {
    let [first, last] = [error.first_s, error.last_s].map(|s| format!("{s:.1} s"));
    if first == last { format!("at {first}") } else { format!("from {first} to {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_statuses_are_broken_between_items() {
        let status: BTreeMap<u16, u64> = (200..220).map(|code| (code, 1_012_340)).collect();
        let mut out = Vec::new();
        statuses(&status, &mut out, Style::PLAIN).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(text.matches("1,012,340").count(), 20);
        assert_eq!(text.matches("status").count(), 1);
        assert!(text.lines().skip(2).all(|line| line.starts_with("               2")), "{text}");
    }

    #[test]
    fn without_trouble_nothing_is_said() {
        let mut out = Vec::new();
        statuses(&BTreeMap::new(), &mut out, Style::PLAIN).unwrap();
        errors(&[], &mut out, Style::PLAIN).unwrap();
        findings(&[], &mut out, Style::PLAIN).unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn what_was_wrong_stands_before_what_to_do() {
        let error = Error {
            phase: "response".into(),
            kind: "malformed".into(),
            count: 20,
            first_s: 0.0,
            last_s: 0.0,
            detail: Some("line 3 of the head, \"X-Ver 7\": a header line needs a colon".into()),
            advice: "look at it".into(),
        };
        let mut out = Vec::new();
        errors(&[error], &mut out, Style::PLAIN).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().rev().take(2).map(str::trim).collect();
        let detail = "line 3 of the head, \"X-Ver 7\": a header line needs a colon";
        assert_eq!(lines, ["look at it", detail], "{text}");
    }

    #[test]
    fn a_moment_is_not_a_span() {
        let error = |first_s, last_s| Error {
            phase: "connect".into(),
            kind: "ECONNREFUSED".into(),
            count: 1,
            first_s,
            last_s,
            detail: None,
            advice: String::new(),
        };
        assert_eq!(when(&error(0.01, 9.93)), "from 0.0 s to 9.9 s");
        assert_eq!(when(&error(3.21, 3.22)), "at 3.2 s");
    }
}
