//! What is set, what would suit a load of short connections, and what ringshot has applied.

use crate::kernel::sysctl::same;
use crate::kernel::system::{Setting, System};
use crate::tuning::apply::{BOX_WIDE, Elsewhere, is_box_wide};
use crate::tuning::catalogue::{Catalogue, Knob, KnobGroup, KnobKind};
use crate::tuning::obsolete::Obsolete;
use crate::tuning::state::{Record, Store, time};
use crate::words::quantities::{NOTHING, counted};
use crate::words::style::{Role as Ink, Style};
use crate::words::text::{escape, wrapped};
use std::io::{self, Write};

const RECOMMENDED: &str = "recommended";

/// A knob as it is here.
#[derive(Clone, Debug)]
pub(crate) struct KnobRow<'a> {
    pub group: &'a KnobGroup,
    pub knob: &'a Knob,
    /// What is set, or [`NOTHING`].
    pub now: String,
    pub verdict: KnobVerdict,
}

/// How a value compares with the recommended one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnobVerdict {
    /// As recommended, or better.
    Fine,
    /// `tune apply` would change it.
    Differs,
    /// Set by `tune apply`.
    Applied,
    /// Set by `tune apply`, and by somebody else since.
    ChangedSince,
    /// It differs, and cannot be written from here.
    ReadOnly,
    /// It differs, and is not this network namespace's to set.
    BoxWide,
    /// It is not here.
    Absent,
    /// There is no value to compare with, only a rule.
    ByRule,
}

/// All rows for these knobs.
pub(crate) fn rows<'a>(
    system: &System,
    catalogue: &'a Catalogue,
    wanted: impl Fn(&Knob) -> bool,
    applied: Option<&Record>,
) -> Vec<KnobRow<'a>> {
    let mut rows = Vec::new();
    for group in &catalogue.groups {
        for knob in group.knobs.iter().filter(|knob| wanted(knob)) {
            let (now, verdict) = compare(system, knob, applied);
            rows.push(KnobRow { group, knob, now, verdict });
        }
    }
    rows
}

fn compare(system: &System, knob: &Knob, applied: Option<&Record>) -> (String, KnobVerdict) {
    let reading = match knob.kind {
        KnobKind::Sysctl => system.read(&knob.name),
        KnobKind::Limit => match system.open_files() {
            Some((_, hard)) => Setting::Value(hard),
            None => Setting::Missing,
        },
        KnobKind::Tool => return (NOTHING.into(), KnobVerdict::ByRule),
    };
    let (now, writable) = match reading {
        Setting::Value(now) => (now, true),
        Setting::ReadOnly(now) => (now, false),
        Setting::Missing | Setting::Unreadable(_) => return (NOTHING.into(), KnobVerdict::Absent),
    };
    let change = applied
        .and_then(|state| state.changes.iter().find(|change| change.name == knob.name))
        .map(|change| same(&change.new, &now));
    let sysctl = knob.kind == KnobKind::Sysctl;
    let elsewhere = sysctl && is_box_wide(&knob.name) && !system.in_initial_namespace();
    let verdict = match (change, knob.target(&now)) {
        (Some(true), _) => KnobVerdict::Applied,
        (Some(false), _) => KnobVerdict::ChangedSince,
        (None, _) if knob.recommended.is_none() => KnobVerdict::ByRule,
        (None, None) => KnobVerdict::Fine,
        (None, Some(_)) if !writable => KnobVerdict::ReadOnly,
        (None, Some(_)) if elsewhere => KnobVerdict::BoxWide,
        (None, Some(_)) => KnobVerdict::Differs,
    };
    (readable(&now), verdict)
}

/// On one line, and what means "no limit" in so many words.
fn readable(value: &str) -> String {
    match value.split_whitespace().collect::<Vec<_>>().join(" ") {
        nothing if nothing.is_empty() => NOTHING.into(),
        most if most == i64::MAX.to_string() || most == u64::MAX.to_string() => "unlimited".into(),
        value => value,
    }
}

impl KnobVerdict {
    fn words(self) -> (Ink, &'static str) {
        match self {
            KnobVerdict::Fine => (Ink::Good, "fine"),
            KnobVerdict::Differs => (Ink::Warning, "differs"),
            KnobVerdict::Applied => (Ink::Good, "applied"),
            KnobVerdict::ChangedSince => (Ink::Warning, "changed since"),
            KnobVerdict::ReadOnly => (Ink::Aside, "read-only"),
            KnobVerdict::BoxWide => (Ink::Aside, "whole box"),
            KnobVerdict::Absent => (Ink::Aside, "not here"),
            KnobVerdict::ByRule => (Ink::Aside, "by rule"),
        }
    }
}

/// The table: those with a recommended value by group, then the names of the others.
pub(crate) fn table(rows: &[KnobRow<'_>], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let valued: Vec<&KnobRow<'_>> =
        rows.iter().filter(|row| row.knob.recommended.is_some()).collect();
    let width =
        |text: fn(&KnobRow<'_>) -> usize| valued.iter().map(|row| text(row)).max().unwrap_or(0);
    let name = width(|row| row.knob.name.len());
    let now = width(|row| row.now.len()).max("now".len());
    let wanted = width(|row| recommended(row.knob).chars().count()).max(RECOMMENDED.len());
    let verdict = width(|row| row.verdict.words().1.len());
    let fits = 2 + name + 2 + now + 2 + wanted + 2 + verdict <= style.width;
    if fits && !valued.is_empty() {
        let heading = format!("  {:name$}  {:now$}  {RECOMMENDED}", "", "now");
        writeln!(out, "{}", style.paint(Ink::Aside, &heading))?;
    }
    let mut group = "";
    for row in &valued {
        if row.group.title != group {
            group = &row.group.title;
            writeln!(out, "{}", style.paint(Ink::Heading, group))?;
        }
        let (ink, word) = row.verdict.words();
        let (word, aim) = (style.paint(ink, word), recommended(row.knob));
        let (key, is) = (&row.knob.name, &row.now);
        match fits {
            true => writeln!(out, "  {key:name$}  {is:now$}  {aim:wanted$}  {word}")?,
            false => writeln!(out, "  {key}\n    {is}, recommended {aim}: {word}")?,
        }
    }
    let ruled: Vec<(Ink, String)> = rows
        .iter()
        .filter(|row| row.knob.recommended.is_none() && row.knob.kind == KnobKind::Sysctl)
        .map(|row| match row.now.as_str() {
            NOTHING => (Ink::Text, row.knob.name.clone()),
            now => (Ink::Text, format!("{} = {now}", row.knob.name)),
        })
        .collect();
    if !ruled.is_empty() {
        let heading = "By rule, without a value to copy";
        writeln!(out, "{}", style.paint(Ink::Heading, heading))?;
        for line in style.flow(&ruled, ", ", style.width.saturating_sub(2)) {
            writeln!(out, "  {line}")?;
        }
    }
    box_wide(rows, style, out)
}

/// What `tune apply` skips here although it could be written.
fn box_wide(rows: &[KnobRow<'_>], style: Style, out: &mut dyn Write) -> io::Result<()> {
    for row in rows.iter().filter(|row| row.verdict == KnobVerdict::BoxWide) {
        writeln!(out)?;
        paragraph(&format!("{} {BOX_WIDE}.", row.knob.name), style, out)?;
    }
    Ok(())
}

fn recommended(knob: &Knob) -> String {
    let value = knob.recommended.clone().unwrap_or_default();
    match knob.change {
        crate::tuning::catalogue::Adjustment::Exact => value,
        _ => format!("≥ {value}"),
    }
}

/// What the knobs of a group have in common; then rule, reason, risk and kernels of each.
pub(crate) fn explain(rows: &[KnobRow<'_>], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut group = "";
    for row in rows {
        if row.group.title != group {
            group = &row.group.title;
            writeln!(out, "\n{}", style.paint(Ink::Heading, group))?;
            paragraph(&row.group.prose, style, out)?;
        }
        let knob = row.knob;
        writeln!(out, "\n{}", style.paint(Ink::Heading, &knob.name))?;
        let default = knob.default.as_deref().filter(|default| !default.is_empty());
        let parts = [
            ("default", default.unwrap_or(NOTHING)),
            ("why", &knob.why),
            ("rule", &knob.rule),
            ("risk", &knob.risk),
            ("kernels", &knob.kernels),
        ];
        for (label, text) in parts {
            let mut label = format!("{label:7}");
            for line in wrapped(text, style.width.saturating_sub(11)) {
                writeln!(out, "  {}  {line}", style.paint(Ink::Aside, &label))?;
                label = " ".repeat(7);
            }
        }
    }
    Ok(())
}

/// What to do next, in sentences.
pub(crate) fn advice(
    rows: &[KnobRow<'_>],
    apply: &str,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let count = |kind, verdict| {
        rows.iter().filter(|row| row.knob.kind == kind && row.verdict == verdict).count() as u64
    };
    let mut sentences = Vec::new();
    match count(KnobKind::Sysctl, KnobVerdict::Differs) {
        0 => sentences.push("Nothing for `ringshot tune apply` to do.".to_owned()),
        differing => sentences.push(format!(
            "{} {}: `{apply}` sets what differs, as root, and `ringshot tune revert` puts it back.",
            counted(differing, "setting"),
            if differing == 1 { "differs" } else { "differ" }
        )),
    }
    if count(KnobKind::Limit, KnobVerdict::Differs) > 0 {
        sentences.push(
            "Limits are not set by tune: copy kernel-tuning/limits.d/60-ringshot.conf to \
             /etc/security/limits.d/ and log in again, or `ulimit -Hn` as root."
                .into(),
        );
    }
    for sentence in sentences {
        writeln!(out)?;
        paragraph(&sentence, style, out)?;
    }
    Ok(())
}

/// What `tune apply` left, if anything.
pub(crate) fn applied(
    store: &Store,
    state: &Record,
    elsewhere: Option<Elsewhere>,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (since, flag) = (time(state.applied_at_s), store.as_flag());
    let sentence = match elsewhere {
        Some(Elsewhere::Boot) => format!(
            "Applied at {since} and undone by the restart since: `ringshot tune revert \
             --forget{flag}` removes the record."
        ),
        Some(Elsewhere::Namespace) => format!(
            "Applied at {since} in another network namespace, {}: not here.",
            state.network_namespace
        ),
        None => format!(
            "Applied at {since} ({}), in force until `ringshot tune revert{flag}` or a restart:",
            state.profile
        ),
    };
    writeln!(out)?;
    paragraph(&sentence, style, out)?;
    for change in &state.changes {
        writeln!(out, "  {change}")?;
    }
    Ok(())
}

/// Lines of the box's files that do not help; each says why.
pub(crate) fn obsolete(found: &[Obsolete], style: Style, out: &mut dyn Write) -> io::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let heading = "Lines of this box's files that do not help, or that harm";
    writeln!(out, "\n{}", style.paint(Ink::Heading, heading))?;
    for one in found {
        let place = format!("{}:{}", one.file.display(), one.line);
        writeln!(out, "  {}  {}", escape(&place), style.paint(Ink::Warning, &escape(&one.name)))?;
        for line in wrapped(&one.text, style.width.saturating_sub(4)) {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

/// A sentence in lines of the page's width.
pub(crate) fn paragraph(text: &str, style: Style, out: &mut dyn Write) -> io::Result<()> {
    wrapped(text, style.width).iter().try_for_each(|line| writeln!(out, "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line() {
        for (value, text) in [
            ("32768\t60999", "32768 60999"),
            ("", "-"),
            ("9223372036854775807", "unlimited"),
            ("18446744073709551615", "unlimited"),
        ] {
            assert_eq!(readable(value), text);
        }
    }

    #[test]
    fn a_time_is_a_date() {
        for (s, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_000_000_000, "2001-09-09 01:46:40 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(time(s), text, "{s}");
        }
    }
}
