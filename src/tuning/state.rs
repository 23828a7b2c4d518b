//! What `tune apply` has to remember: the old values, where they are from, and what replaced them.
//!
//! The file is whole or not there: written under another name, brought to the disk, renamed. It
//! exists from before the first change until after the last one is reverted, so whatever happens
//! in between, the old values are known.

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where the state is kept unless told otherwise.
pub const DIRECTORY: &str = "/var/lib/ringshot";
const FILE: &str = "tune.json";
const SCHEMA: &str = "ringshot.tune/1";

/// What was applied, and what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    schema: String,
    /// Seconds since 1970.
    pub applied_at_s: u64,
    /// What was asked for, in words.
    pub profile: String,
    /// Whose settings were changed.
    pub network_namespace: String,
    /// In which life of the kernel.
    pub boot_id: String,
    /// The changes, in the order in which they are made.
    pub changes: Vec<Change>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// As `sysctl` has it.
    pub name: String,
    /// What was set before.
    pub old: String,
    /// What is set instead.
    pub new: String,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spaced = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}: {} -> {}", self.name, spaced(&self.old), spaced(&self.new))
    }
}

impl State {
    /// What is about to be applied.
    pub fn new(
        applied_at_s: u64,
        profile: &str,
        network_namespace: String,
        boot_id: String,
        changes: Vec<Change>,
    ) -> State {
        let (schema, profile) = (SCHEMA.into(), profile.into());
        State { schema, applied_at_s, profile, network_namespace, boot_id, changes }
    }

    /// Whether everything in it is what [`State::new`] is given: the values will be written by
    /// root.
    fn is_sound(&self) -> bool {
        let name = |name: &str| {
            let known = name.starts_with("net.") || name.starts_with("fs.");
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
            known && name.chars().all(plain) && !name.contains("..")
        };
        let value = |value: &str| super::catalogue::numbers(value).is_some();
        self.schema == SCHEMA
            && self
                .changes
                .iter()
                .all(|change| name(&change.name) && value(&change.old) && value(&change.new))
    }
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// Held while settings are changed; nobody else changes them with the same store meanwhile.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl Store {
    /// A store in that directory, which need not exist yet.
    pub fn new(directory: &Path) -> Store {
        Store { directory: directory.into() }
    }

    /// The state file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// What a command line needs to find this store again: nothing for the usual one.
    pub fn as_flag(&self) -> String {
        match self.directory == Path::new(DIRECTORY) {
            true => String::new(),
            false => format!(" --state-dir {}", self.directory.display()),
        }
    }

    /// Creates the directory where it is missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)
    }

    /// Keeps others out; `None` when somebody is in.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        // The directory itself is locked, so nothing is left behind.
        let directory = File::open(&self.directory)?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Lock(lock))),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }

    /// What was saved, if anything.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not a state.
    pub fn load(&self) -> io::Result<Option<State>> {
        let text = match fs::read_to_string(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match serde_json::from_str::<State>(&text) {
            Ok(state) if state.is_sound() => Ok(Some(state)),
            Ok(_) => Err(io::Error::new(ErrorKind::InvalidData, "it is not a state of this tool")),
            Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }

    /// Saves; it is on the disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; no state is left then.
    pub fn save(&self, state: &State) -> io::Result<()> {
        let temporary = self.directory.join(format!(".{FILE}.tmp"));
        // What a killed process left there, or a link that somebody put there.
        let _ = fs::remove_file(&temporary);
        let mut text = serde_json::to_string_pretty(state).expect("names and values are text");
        text.push('\n');
        let written = File::create_new(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, self.path()))
            .and_then(|()| self.sync());
        written.inspect_err(|_| {
            // The first error is the one to tell.
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(self.path());
        })
    }

    /// Forgets what was saved.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.path())?;
        self.sync()
    }

    /// A name is on the disk only when its directory is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::fake::FakeBox;

    fn state() -> State {
        let change =
            Change { name: "net.core.somaxconn".into(), old: "128".into(), new: "16384".into() };
        State::new(7, "client", "net:[1]".into(), "boot".into(), vec![change])
    }

    #[test]
    fn what_was_saved_is_loaded_and_forgotten() {
        let fake = FakeBox::new(&[]);
        let store = fake.store();
        assert_eq!(store.load().expect("no state"), None);
        store.create().expect("a directory");
        store.save(&state()).expect("saved");
        assert_eq!(store.load().expect("a state"), Some(state()));
        store.remove().expect("removed");
        assert_eq!(store.load().expect("no state"), None);
    }

    #[test]
    fn what_is_not_a_state_is_not_believed() {
        let fake = FakeBox::new(&[]);
        let text = serde_json::to_string(&state()).expect("text");
        for (from, to) in [
            ("net.core.somaxconn", "kernel.core_pattern"),
            ("net.core.somaxconn", "net./../kernel/core_pattern"),
            ("\"128\"", "\"|/bin/sh\""),
            ("ringshot.tune/1", "ringshot.tune/2"),
            ("{", "["),
        ] {
            fake.file("state/tune.json", &text.replace(from, to));
            let error = fake.store().load().expect_err(to);
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{to}");
        }
    }

    #[test]
    fn one_at_a_time() {
        let fake = FakeBox::new(&[]);
        let store = fake.store();
        store.create().expect("a directory");
        let held = store.lock().expect("no error").expect("nobody else");
        assert!(store.lock().expect("no error").is_none());
        drop(held);
        assert!(store.lock().expect("no error").is_some());
    }
}
