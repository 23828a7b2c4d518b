//! Changing settings so that they can be put back: all of them or none, and exactly as they were.
//!
//! ```text
//!   none --- save state ---> saved --- write all ---> applied
//!    ^                         |  a write fails         |
//!    |<--- remove state <------+  (what was written     |
//!    |                            is put back first)    |
//!    +<--- remove state <------- put back all <---------+  revert; also after a crash in between
//! ```
//!
//! There is a state file whenever a value may differ from its old one, so a crash at any point
//! leaves what `revert` needs.

use super::catalogue::{Knob, KnobKind, numbers};
use super::state::{self, Change, Lock, Record, Store};
use crate::kernel::sysctl::same;
use crate::kernel::system::{Setting, System};
use crate::words::Refusal;
use std::io;

/// What would be done, from what is set now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Planned {
    pub changes: Vec<Change>,
    /// Fine as they are.
    pub kept: Vec<String>,
    /// Not to be had here: the name, and why.
    pub skipped: Vec<(String, String)>,
}

/// A change that did not come about as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApplyFailure {
    /// The obstacle, and the cure.
    pub refusal: Refusal,
    /// What was written on the way nevertheless: the restored values, in that order.
    pub written: Vec<Change>,
}

/// A setting after `revert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// It had the applied value and has its old one again.
    Back(Change),
    /// It had a value that is neither: another program had changed it. It has its old one again.
    FromOthers(Change),
    /// It had its old value already.
    Unchanged(String),
    /// This kernel no longer has it: its module was unloaded.
    Gone(String),
}

impl From<Refusal> for ApplyFailure {
    fn from(refusal: Refusal) -> ApplyFailure {
        ApplyFailure { refusal, written: Vec::new() }
    }
}

/// What there is to do for these knobs; nothing is changed.
pub(crate) fn plan<'a>(system: &System, knobs: impl IntoIterator<Item = &'a Knob>) -> Planned {
    let mut planned = Planned::default();
    let first = system.in_initial_namespace();
    for knob in knobs {
        if knob.kind != KnobKind::Sysctl || knob.recommended.is_none() {
            continue;
        }
        let name = knob.name.clone();
        match system.read(&name) {
            Setting::Value(old) if numbers(&old).is_none() => {
                planned.skipped.push((name, format!("{old:?} does not have the expected form")));
            }
            Setting::Value(old) => match knob.target(&old) {
                Some(_) if !first && is_box_wide(&name) => {
                    planned.skipped.push((name, BOX_WIDE.into()));
                }
                Some(new) => planned.changes.push(Change { name, old, new }),
                None => planned.kept.push(name),
            },
            Setting::ReadOnly(value) if knob.target(&value).is_none() => planned.kept.push(name),
            Setting::ReadOnly(_) => planned.skipped.push((name, READ_ONLY.into())),
            Setting::Missing => planned.skipped.push((name, MISSING.into())),
            Setting::Unreadable(why) => planned.skipped.push((name, why)),
        }
    }
    planned
}

/// Why a knob is skipped that has no file.
pub(crate) const MISSING: &str =
    "not in this kernel, not in this network namespace, or its module is not loaded";
/// Why a knob is skipped whose file cannot be written.
pub(crate) const READ_ONLY: &str = "read-only here: it belongs to the initial network namespace";
/// Why a knob of the whole machine is skipped in a network namespace other than the first: the
/// state is tied to the namespace, and the value would outlive it with nothing left to restore it.
pub(crate) const BOX_WIDE: &str =
    "belongs to the whole machine: apply it outside of this network namespace";

/// Whether a sysctl is the same one in all network namespaces.
pub(crate) fn is_box_wide(name: &str) -> bool {
    !name.starts_with("net.")
}

/// Sets the knobs, all or none. The old values are on the disk before the first one changes.
///
/// # Errors
/// Why not; every setting is as it was before, unless the refusal says otherwise.
pub(crate) fn apply(
    system: &System,
    store: &Store,
    knobs: &[&Knob],
    profile: &str,
    now_s: u64,
) -> Result<Planned, ApplyFailure> {
    permitted(system, "apply")?;
    unapplied(system, store)?;
    let planned = plan(system, knobs.iter().copied());
    if planned.changes.is_empty() {
        return Ok(planned);
    }
    writable(system, &planned.changes)?;
    store.create().map_err(|error| storage(store, "create", &error))?;
    let _lock = lock(store)?;
    // Another process may have been faster than the lock.
    unapplied(system, store)?;
    let planned = plan(system, knobs.iter().copied());
    let state = Record::new(
        now_s,
        profile,
        system.network_namespace().map_err(no_proc)?,
        system.boot_id().map_err(no_proc)?,
        planned.changes.clone(),
    );
    store.save(&state).map_err(|error| storage(store, "write", &error))?;
    for (at, change) in planned.changes.iter().enumerate() {
        if let Err(why) = system.write(&change.name, &change.new) {
            return Err(roll_back(system, store, &planned.changes[..=at], &why));
        }
    }
    Ok(planned)
}

/// Restores what was written, the knob that failed included: it may hold something else by now.
fn roll_back(system: &System, store: &Store, touched: &[Change], why: &str) -> ApplyFailure {
    let failed = &touched[touched.len() - 1];
    let what = format!("cannot set {} to {}: {why}", failed.name, failed.new);
    let (mut written, mut stuck) = (Vec::new(), Vec::new());
    for change in touched.iter().rev() {
        match restore(system, change) {
            Ok(Restored::Back(back) | Restored::FromOthers(back)) => written.push(back),
            Ok(_) => {}
            Err(why) => stuck.push(format!("{}: {why}", change.name)),
        }
    }
    let refusal = if !stuck.is_empty() {
        Refusal {
            what: format!("{what}; and these could not be restored: {}", stuck.join("; ")),
            cure: format!(
                "ringshot tune revert{}, which still has their old values",
                store.as_flag()
            ),
        }
    } else if let Err(error) = store.remove() {
        let Refusal { what: unremoved, .. } = storage(store, "remove", &error);
        Refusal {
            what: format!("{what}; every setting is as it was before, but {unremoved}"),
            cure: format!(
                "`ringshot tune revert{}` removes the record once that is possible again",
                store.as_flag()
            ),
        }
    } else {
        Refusal {
            what: format!("{what}; every setting is as it was before"),
            cure: "leave it out: name the others with --knob NAME".into(),
        }
    };
    ApplyFailure { refusal, written }
}

/// Puts every setting back to the value that was saved.
///
/// # Errors
/// Nothing to revert, or not from here; or some settings could not be put back, and then the state
/// is kept for another try.
pub(crate) fn revert(system: &System, store: &Store) -> Result<Vec<Restored>, ApplyFailure> {
    permitted(system, "revert")?;
    let nothing = || nothing(store, "revert");
    store.load()?.ok_or_else(nothing)?;
    let _lock = lock(store)?;
    let state = store.load()?.ok_or_else(nothing)?;
    revertible(system, store, &state)?;
    let (mut restored, mut stuck) = (Vec::new(), Vec::new());
    for change in state.changes.iter().rev() {
        match restore(system, change) {
            Ok(done) => restored.push(done),
            Err(why) => stuck.push(format!("{}: {why}", change.name)),
        }
    }
    if !stuck.is_empty() {
        let refusal = Refusal {
            what: format!("could not restore {}", stuck.join("; ")),
            cure: format!("the old values are still in {}: try again", store.path().display()),
        };
        let written = restored
            .into_iter()
            .filter_map(|done| match done {
                Restored::Back(back) | Restored::FromOthers(back) => Some(back),
                Restored::Unchanged(_) | Restored::Gone(_) => None,
            })
            .collect();
        return Err(ApplyFailure { refusal, written });
    }
    store.remove().map_err(|error| storage(store, "remove", &error))?;
    Ok(restored)
}

/// Removes the state and changes no setting: for a state whose settings are gone by themselves.
///
/// # Errors
/// There is none, its settings are still in force here, or it cannot be removed.
pub(crate) fn forget(system: &System, store: &Store) -> Result<(), Refusal> {
    permitted(system, "revert --forget")?;
    let nothing = || nothing(store, "forget");
    store.load()?.ok_or_else(nothing)?;
    let _lock = lock(store)?;
    let state = store.load()?.ok_or_else(nothing)?;
    if elsewhere(system, &state).map_err(no_proc)?.is_none() {
        return Err(Refusal {
            what: format!(
                "the settings of {} are still in force here; the record was kept",
                state::time(state.applied_at_s)
            ),
            cure: format!("`ringshot tune revert{}` restores them", store.as_flag()),
        });
    }
    store.remove().map_err(|error| storage(store, "remove", &error))
}

/// The names of those settings that do not have the applied value.
pub(crate) fn deviating(system: &System, state: &Record) -> Vec<String> {
    let applied = |change: &&Change| match system.read(&change.name) {
        Setting::Value(now) => same(&now, &change.new),
        _ => false,
    };
    let deviating = state.changes.iter().filter(|change| !applied(change));
    deviating.map(|change| change.name.clone()).collect()
}

/// What keeps a state from being current here, if anything does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// The kernel has been restarted since, and has forgotten the settings.
    Boot,
    /// The settings are another network namespace's.
    Namespace,
}

/// Whether a state speaks of this kernel and this network namespace.
///
/// # Errors
/// No `/proc`.
pub(crate) fn elsewhere(system: &System, state: &Record) -> io::Result<Option<Elsewhere>> {
    Ok(if system.boot_id()? != state.boot_id {
        Some(Elsewhere::Boot)
    } else if system.network_namespace()? != state.network_namespace {
        Some(Elsewhere::Namespace)
    } else {
        None
    })
}

fn restore(system: &System, change: &Change) -> Result<Restored, String> {
    let found = match system.read(&change.name) {
        Setting::Value(found) => found,
        Setting::Missing => return Ok(Restored::Gone(change.name.clone())),
        Setting::ReadOnly(_) => return Err(READ_ONLY.into()),
        Setting::Unreadable(why) => return Err(why),
    };
    if same(&found, &change.old) {
        return Ok(Restored::Unchanged(change.name.clone()));
    }
    system.write(&change.name, &change.old)?;
    let ours = same(&found, &change.new);
    let back = Change { name: change.name.clone(), old: found, new: change.old.clone() };
    Ok(if ours { Restored::Back(back) } else { Restored::FromOthers(back) })
}

fn permitted(system: &System, action: &str) -> Result<(), Refusal> {
    match system.privileged() {
        true => Ok(()),
        false => Err(Refusal {
            what: format!("not permitted: tune {action} needs root; nothing was changed"),
            cure: format!("sudo ringshot tune {action}"),
        }),
    }
}

/// Refuses where no setting at all can be written: leaving one out would not help.
fn writable(system: &System, changes: &[Change]) -> Result<(), Refusal> {
    let refused = |change: &Change| system.writable(&change.name).err();
    let Some(refused) = changes.iter().map(refused).collect::<Option<Vec<String>>>() else {
        return Ok(());
    };
    let names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
    let why = refused.first().map_or("", String::as_str);
    Err(Refusal {
        what: format!("cannot set {}: {why}; nothing was changed", names.join(", ")),
        cure: "in a container, set them from the host, with the PID of one of its processes: \
               `nsenter --target PID --net ringshot tune apply`"
            .into(),
    })
}

/// Refuses to apply on top of applied settings.
fn unapplied(system: &System, store: &Store) -> Result<(), Refusal> {
    let Some(state) = store.load()? else { return Ok(()) };
    let flag = store.as_flag();
    let since = state::time(state.applied_at_s);
    Err(match elsewhere(system, &state).map_err(no_proc)? {
        Some(Elsewhere::Boot) => Refusal {
            what: format!("settings of {since} are recorded, but a restart has undone them since"),
            cure: format!("ringshot tune revert --forget{flag}, then apply again"),
        },
        Some(Elsewhere::Namespace) => Refusal {
            what: format!(
                "settings of {since} are applied in another network namespace, {}",
                state.network_namespace
            ),
            cure: "revert there first, or use another state directory: --state-dir DIR".into(),
        },
        None => {
            let deviating = deviating(system, &state);
            let half = match deviating.is_empty() {
                true => String::new(),
                false => format!(
                    ", and only half of them are left: {} no longer as applied",
                    deviating.join(", ")
                ),
            };
            Refusal {
                what: format!("already applied at {since} ({}){half}", state.profile),
                cure: format!("ringshot tune revert{flag}, then apply again"),
            }
        }
    })
}

fn revertible(system: &System, store: &Store, state: &Record) -> Result<(), Refusal> {
    let since = state::time(state.applied_at_s);
    match elsewhere(system, state).map_err(no_proc)? {
        None => Ok(()),
        Some(Elsewhere::Boot) => Err(Refusal {
            what: format!(
                "the machine was restarted after {since}: the kernel has its own values again, and \
                 nothing was changed"
            ),
            cure: format!(
                "ringshot tune revert --forget{}, which only removes the record",
                store.as_flag()
            ),
        }),
        Some(Elsewhere::Namespace) => Err(Refusal {
            what: format!(
                "the settings of {since} belong to another network namespace: {}, and this is {}; \
                 nothing was changed",
                state.network_namespace,
                system.network_namespace().map_err(no_proc)?
            ),
            cure: "revert there (nsenter --net=...); use --forget if it no longer exists".into(),
        }),
    }
}

fn nothing(store: &Store, verb: &str) -> Refusal {
    Refusal {
        what: format!("nothing to {verb}: there is no {}", store.path().display()),
        cure: "--state-dir DIR, if the settings were applied with it".into(),
    }
}

fn lock(store: &Store) -> Result<Lock, Refusal> {
    let locked = store.lock().map_err(|error| storage(store, "lock", &error))?;
    locked.ok_or_else(|| Refusal {
        what: "another ringshot tune is running".into(),
        cure: "wait for it".into(),
    })
}

fn storage(store: &Store, verb: &str, error: &io::Error) -> Refusal {
    Refusal {
        what: format!("cannot {verb} {}: {error}", store.path().display()),
        cure: "a directory on a disk that root may write to: --state-dir DIR".into(),
    }
}

pub(crate) fn no_proc(error: io::Error) -> Refusal {
    Refusal { what: format!("cannot read /proc: {error}"), cure: "mount -t proc proc /proc".into() }
}

#[cfg(test)]
mod tests;
