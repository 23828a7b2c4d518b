//! `ringshot tune`: shows, applies and reverts.

use crate::kernel::system::System;
use crate::pages::tune;
use crate::plan::flags::tune::{Action, Profile, Selection, TuneArgs};
use crate::tuning::apply::{self, ApplyFailure, Elsewhere, Planned, Restored};
use crate::tuning::catalogue::{Knob, KnobKind, KnobRole, catalogue};
use crate::tuning::obsolete;
use crate::tuning::state::{Record, Store};
use crate::words::style::Style;
use crate::words::{Refusal, exit};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

impl Profile {
    fn covers(self, knob: &Knob) -> bool {
        let roles: &[KnobRole] = match self {
            Profile::Client => &[KnobRole::Client, KnobRole::Host],
            Profile::Server => &[KnobRole::Server, KnobRole::Host],
            Profile::Host => &[KnobRole::Host],
            Profile::All => &[KnobRole::Client, KnobRole::Server, KnobRole::Host],
        };
        knob.roles.iter().any(|role| roles.contains(role))
    }
}

impl Selection {
    /// The names must be those of knobs.
    fn check(&self) -> Result<(), Refusal> {
        match self.knobs.iter().find(|name| catalogue().knob(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(Refusal {
                what: format!("--knob: {name:?} is not a setting of the catalogue"),
                cure: "`ringshot tune show --role all` lists them".into(),
            }),
        }
    }

    fn covers(&self, knob: &Knob) -> bool {
        match self.knobs.is_empty() {
            true => self.role.covers(knob),
            false => self.knobs.contains(&knob.name),
        }
    }

    /// Named knobs that `apply` could not set would be skipped silently.
    fn check_applicable(&self) -> Result<(), Refusal> {
        let named = self.knobs.iter().filter_map(|name| catalogue().knob(name));
        for knob in named {
            let name = &knob.name;
            let (what, cure) = match (knob.kind, &knob.recommended) {
                (KnobKind::Sysctl, Some(_)) => continue,
                (KnobKind::Sysctl, None) => ("has no recommended value", knob.rule.clone()),
                (KnobKind::Limit, _) => (
                    "is a limit, and tune does not set limits",
                    "kernel-tuning/limits.d/60-ringshot.conf in /etc/security/limits.d/".into(),
                ),
                (KnobKind::Tool, _) => ("is not a kernel setting", knob.rule.clone()),
            };
            return Err(Refusal { what: format!("--knob: {name} {what}"), cure });
        }
        Ok(())
    }

    /// As it is recorded.
    fn words(&self) -> String {
        match self.knobs.is_empty() {
            true => self.role.name().into(),
            false => self.knobs.join(", "),
        }
    }

    /// As it is typed.
    fn flags(&self) -> String {
        match self.knobs.is_empty() {
            true => format!(" --role {}", self.role.name()),
            false => self.knobs.iter().map(|name| format!(" --knob {name}")).collect(),
        }
    }
}

/// Does what was asked for on this machine and returns the exit code: 0 done, 1 not possible, 2
/// usage.
pub fn run(args: &TuneArgs, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    run_on(&System::this_box(), args, Style::stdout(), out, err)
}

fn run_on(
    system: &System,
    args: &TuneArgs,
    style: Style,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let store = Store::new(&args.state_dir);
    let default = Action::Show { selection: Selection::default(), explain: false };
    let action = args.action.as_ref().unwrap_or(&default);
    let checked = match action {
        Action::Show { selection, .. } => selection.check(),
        Action::Apply { selection } => selection.check().and(selection.check_applicable()),
        Action::Revert { .. } => Ok(()),
    };
    if let Err(refusal) = checked {
        return refuse(&refusal, exit::USAGE, err);
    }
    // The outcome is known before anything is printed, and holds whether printing works or not.
    let text = &mut Vec::new();
    let done = match action {
        Action::Show { selection, explain } => recorded(system, &store)
            .map_err(ApplyFailure::from)
            .map(|recorded| {
                show(system, &store, recorded.as_ref(), selection, *explain, style, text)
            })
            .map(|composed| composed.expect("memory takes what is written")),
        Action::Apply { selection } => apply(system, &store, selection, text),
        Action::Revert { forget: false } => revert(system, &store, text),
        Action::Revert { forget: true } => {
            apply::forget(system, &store).map_err(ApplyFailure::from).map(|()| {
                say(text, "the record is removed; no setting was changed");
            })
        }
    };
    let written = done.as_ref().err().map_or(&[][..], |failure| &failure.written);
    written.iter().for_each(|change| say(text, &format!("back: {change}")));
    let printed = out.write_all(text).and_then(|()| out.flush());
    let refused = done.err().map(|failure| refuse(&failure.refusal, exit::COULD_NOT, err));
    match printed {
        // A reader that has gone (`| head`) has read what it wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(err, &format!("ringshot: cannot write to standard output: {error}"));
            // `show` has no purpose but its output.
            let shows = matches!(action, Action::Show { .. });
            refused.unwrap_or(if shows { exit::COULD_NOT } else { exit::DONE })
        }
        _ => refused.unwrap_or(exit::DONE),
    }
}

/// The recorded settings, and whether they belong to another namespace.
fn recorded(
    system: &System,
    store: &Store,
) -> Result<Option<(Record, Option<Elsewhere>)>, Refusal> {
    let Some(state) = store.load()? else { return Ok(None) };
    let elsewhere = apply::elsewhere(system, &state).map_err(apply::no_proc)?;
    Ok(Some((state, elsewhere)))
}

fn show(
    system: &System,
    store: &Store,
    recorded: Option<&(Record, Option<Elsewhere>)>,
    selection: &Selection,
    explain: bool,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let here = match recorded {
        Some((state, None)) => Some(state),
        _ => None,
    };
    let rows = tune::rows(system, catalogue(), |knob| selection.covers(knob), here);
    tune::table(&rows, style, out)?;
    if explain {
        tune::explain(&rows, style, out)?;
    }
    match recorded {
        Some((state, elsewhere)) => tune::applied(store, state, *elsewhere, style, out)?,
        None => {
            let apply = format!("ringshot tune apply{}{}", selection.flags(), store.as_flag());
            tune::advice(&rows, &apply, style, out)?;
        }
    }
    if !explain {
        let flags = selection.flags();
        let sentence = format!("Reasons, rules and risks: `ringshot tune show{flags} --explain`.");
        tune::paragraph(&sentence, style, out)?;
    }
    tune::obsolete(&obsolete::scan(system.root()), style, out)
}

fn apply(
    system: &System,
    store: &Store,
    selection: &Selection,
    out: &mut dyn Write,
) -> Result<(), ApplyFailure> {
    let knobs: Vec<&Knob> = catalogue().knobs().filter(|knob| selection.covers(knob)).collect();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let planned = apply::apply(system, store, &knobs, &selection.words(), now_s)?;
    let Planned { changes, kept, skipped } = planned;
    for change in &changes {
        say(out, &change.to_string());
    }
    for (name, why) in &skipped {
        say(out, &format!("{name}: skipped: {why}"));
    }
    if !kept.is_empty() {
        say(out, &format!("already set well: {}", kept.join(", ")));
    }
    match changes.len() {
        0 => say(out, "nothing to change"),
        count => say(
            out,
            &format!(
                "{count} changed until a restart or `ringshot tune revert{}`; the old values are \
                 in {}",
                store.as_flag(),
                store.path().display()
            ),
        ),
    }
    Ok(())
}

fn revert(system: &System, store: &Store, out: &mut dyn Write) -> Result<(), ApplyFailure> {
    for restored in apply::revert(system, store)? {
        let line = match restored {
            Restored::Back(change) => change.to_string(),
            Restored::FromOthers(change) => {
                format!("{change} (it had been changed since it was applied)")
            }
            Restored::Unchanged(name) => format!("{name}: already has its old value"),
            Restored::Gone(name) => format!("{name}: no longer there, nothing to restore"),
        };
        say(out, &line);
    }
    say(out, "every setting is as `ringshot tune apply` found it");
    Ok(())
}

fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

fn refuse(refusal: &Refusal, code: u8, err: &mut dyn Write) -> u8 {
    say(err, &format!("ringshot: {refusal}"));
    code
}

#[cfg(test)]
mod tests;
