//! What on this box would limit a plan.

use crate::plan::AddressChoice;
use crate::preflight::checks::CheckVerdict;
use crate::result::diagnosis::Diagnosis;
use crate::words::quantities::counted;
use crate::words::style::{Role, Style};
use crate::words::text::{escape, wrapped};
use std::io::{self, Write};

/// Which of several addresses a run would use; empty for one.
fn addresses(diagnosis: &Diagnosis, choice: AddressChoice) -> String {
    let used = match choice {
        _ if diagnosis.addresses.len() < 2 => return String::new(),
        AddressChoice::First => "the first that accepts (--addresses all: all that accept)",
        AddressChoice::All => "all that accept",
    };
    let ips: Vec<String> =
        diagnosis.addresses.iter().map(|address| address.ip().to_string()).collect();
    format!("{} addresses: {}; a run uses {used}", ips.len(), ips.join(", "))
}

/// Knob, current value and need in a row; below it why, and the cure where one is needed.
pub(crate) fn page(
    diagnosis: &Diagnosis,
    choice: AddressChoice,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    const VERDICT: usize = 8;
    let mut url = escape(diagnosis.url.as_deref().unwrap_or("the bundled server"));
    if let Some(socket) = &diagnosis.unix_socket {
        url += &format!(" at unix:{}", escape(socket));
    }
    writeln!(out, "{}", style.paint(Role::Heading, &format!("Plan against {url}")))?;
    for line in wrapped(&addresses(diagnosis, choice), style.width.saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  source ports: {}\n", diagnosis.source_ports)?;
    for check in &diagnosis.checks {
        let (word, role) = match check.verdict {
            CheckVerdict::Prevents => ("prevents", Role::Bad),
            CheckVerdict::Limits => ("limits", Role::Warning),
            CheckVerdict::Fits => ("fits", Role::Good),
        };
        let word = style.paint(role, &format!("{word:<VERDICT$}"));
        let name = style.paint(Role::Heading, check.knob);
        let left = 2 + VERDICT + 2;
        let room = style.width.saturating_sub(left + 2);
        let (current, needed) = (&check.current, &check.needed);
        let wide = check.knob.len() + current.len() + needed.len() + "; needed: : ".len() > room;
        let gap = if wide { format!("\n{:left$}", "") } else { "; ".into() };
        writeln!(out, "  {word}  {name}: {current}{gap}needed: {needed}")?;
        for line in wrapped(&check.why, room) {
            writeln!(out, "{:left$}{line}", "")?;
        }
        for (at, line) in wrapped(&check.cure, room).iter().enumerate() {
            writeln!(out, "{:left$}{} {line}", "", if at == 0 { "→" } else { " " })?;
        }
    }
    let amiss = diagnosis.checks.iter().filter(|check| check.verdict != CheckVerdict::Fits).count();
    match amiss {
        0 => writeln!(out, "\nNothing on this box would limit this plan."),
        n => writeln!(out, "\n{} would limit this plan.", counted(n as u64, "setting")),
    }
}
