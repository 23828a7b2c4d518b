//! The record of `tune apply`: the old values, where they are from, and what replaced them.
//!
//! The file is whole or not there: written under another name, brought to the disk, renamed. It
//! exists from before the first change until after the last one is reverted, so whatever happens
//! in between, the old values are known.

use super::catalogue::{KnobKind, catalogue, numbers};
use super::trust;
use crate::words::Refusal;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the state is kept by default.
pub(crate) const DIRECTORY: &str = "/var/lib/ringshot";
const FILE: &str = "tune.json";
const SCHEMA: &str = "ringshot.tune/1";

/// What was applied, and what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
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

impl Record {
    /// What is about to be applied.
    pub(crate) fn new(
        applied_at_s: u64,
        profile: &str,
        network_namespace: String,
        boot_id: String,
        changes: Vec<Change>,
    ) -> Record {
        let (schema, profile) = (SCHEMA.into(), profile.into());
        Record { schema, applied_at_s, profile, network_namespace, boot_id, changes }
    }

    /// Whether `apply` could have written this: root will write the old values to files of these
    /// names.
    ///
    /// # Errors
    /// The first thing that it would not have written, as what follows "it".
    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!(
                "has the schema {:?}, and this version reads {SCHEMA}",
                self.schema
            ));
        }
        let set = |name: &str| {
            let knob = catalogue().knob(name);
            knob.is_some_and(|knob| knob.kind == KnobKind::Sysctl && knob.recommended.is_some())
        };
        for Change { name, old, new } in &self.changes {
            if !set(name) {
                return Err(format!("names {name:?}, which is not a setting that tune changes"));
            }
            if let Some(value) = [old, new].into_iter().find(|value| numbers(value).is_none()) {
                return Err(format!("has {value:?} as a value of {name}"));
            }
        }
        Ok(())
    }
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// Held while settings change; no other process changes them with the same store meanwhile.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl Store {
    /// A store in that directory, which need not exist yet.
    pub(crate) fn new(directory: &Path) -> Store {
        Store { directory: directory.into() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// What a command line needs to find this store again: nothing for the usual one.
    pub(crate) fn as_flag(&self) -> String {
        match self.directory == Path::new(DIRECTORY) {
            true => String::new(),
            false => format!(" --state-dir {}", self.directory.display()),
        }
    }

    /// Creates the directory where it is missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn create(&self) -> io::Result<()> {
        // Whatever the umask leaves open: who may write here says what root will write.
        DirBuilder::new().recursive(true).mode(0o755).create(&self.directory)
    }

    /// Takes the lock; `None` if another process has it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn lock(&self) -> io::Result<Option<Lock>> {
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
    /// A file that cannot be read, that others could have written, or that is not a state.
    pub(crate) fn load(&self) -> Result<Option<Record>, Refusal> {
        trust::directory(&self.directory)?;
        let path = self.path();
        let unread = |why: String| Refusal {
            what: format!("cannot read {}: {why}", path.display()),
            cure: "if it was damaged: restore by hand what can be read in it, then remove it"
                .into(),
        };
        // Neither through a link nor into a pipe, where it would wait.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(unread(
                    "it is a symbolic link, which ringshot does not follow as root".into(),
                ));
            }
            Err(error) => return Err(unread(error.to_string())),
        };
        trust::file(&file, &path)?;
        let text = io::read_to_string(file).map_err(|error| unread(error.to_string()))?;
        let state: Record =
            serde_json::from_str(&text).map_err(|error| unread(error.to_string()))?;
        match state.check() {
            Ok(()) => Ok(Some(state)),
            Err(why) => Err(Refusal {
                what: format!("cannot trust {}: it {why}; nothing was changed", path.display()),
                cure: "restore by hand what is right in it (sysctl -w NAME=OLD), then remove it"
                    .into(),
            }),
        }
    }

    /// Saves; it is on the disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; no state is left then.
    pub(crate) fn save(&self, state: &Record) -> io::Result<()> {
        let temporary = self.directory.join(format!(".{FILE}.tmp"));
        // What a killed process left there, or a link that was put there.
        let _ = fs::remove_file(&temporary);
        let mut text = serde_json::to_string_pretty(state).expect("names and values are text");
        text.push('\n');
        let mut new = OpenOptions::new();
        let written = new
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, self.path()))
            .and_then(|()| self.sync());
        written.inspect_err(|_| {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(self.path());
        })
    }

    /// Forgets what was saved.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.path())?;
        self.sync()
    }

    /// A name is on the disk only when its directory is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Seconds since 1970 as a date and time.
pub(crate) fn time(s: u64) -> String {
    let (days, of_day) = (s / 86_400, s % 86_400);
    // Years of 365.2425 days that start in March, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
impl crate::kernel::fake::FakeBox {
    /// Where it keeps what was applied.
    pub(crate) fn store(&self) -> Store {
        Store::new(&self.state_directory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeBox;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn state() -> Record {
        let change =
            Change { name: "net.core.somaxconn".into(), old: "128".into(), new: "16384".into() };
        Record::new(7, "client", "net:[1]".into(), "boot".into(), vec![change])
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
        for (from, to, why) in [
            ("net.core.somaxconn", "kernel.core_pattern", "it names \"kernel.core_pattern\""),
            ("net.core.somaxconn", "net./../kernel/core_pattern", "it names "),
            // In the catalogue, and never set.
            ("net.core.somaxconn", "net.ipv4.tcp_mem", "it names \"net.ipv4.tcp_mem\""),
            ("net.core.somaxconn", "nofile", "it names \"nofile\""),
            // A setting, and none of the catalogue.
            ("net.core.somaxconn", "net.ipv4.ip_forward", "it names \"net.ipv4.ip_forward\""),
            ("\"128\"", "\"|/bin/sh\"", "it has \"|/bin/sh\" as a value of net.core.somaxconn"),
            ("ringshot.tune/1", "ringshot.tune/2", "it has the schema \"ringshot.tune/2\""),
            ("{", "[", "cannot read "),
        ] {
            fake.file("state/tune.json", &text.replace(from, to));
            let refusal = fake.store().load().expect_err(to);
            assert!(refusal.what.contains("state/tune.json: "), "{refusal}");
            assert!(refusal.what.contains(why) && refusal.cure.contains("remove it"), "{refusal}");
        }
    }

    #[test]
    fn a_file_that_others_could_have_written_is_not_believed() {
        let fake = FakeBox::new(&[]);
        let (store, directory) = (fake.store(), fake.state_directory());
        store.create().expect("a directory");
        store.save(&state()).expect("saved");
        let refused = |mended: &dyn Fn()| {
            let refusal = store.load().expect_err("it is not to be trusted");
            mended();
            assert_eq!(store.load().expect("a state"), Some(state()), "{refusal}");
            refusal.to_string()
        };
        let mode = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        };
        for (path, open, usual) in [
            (&store.path(), 0o664, 0o644),
            (&store.path(), 0o646, 0o644),
            (&directory, 0o775, 0o755),
            // Sticky is enough on the way, where others have no business in root's directory.
            (&directory, 0o1777, 0o755),
            (&fake.root().to_owned(), 0o777, 0o755),
        ] {
            mode(path, open);
            let told = refused(&|| mode(path, usual));
            let shown = path.display();
            assert!(told.contains(&format!("other users can write to {shown} (mode {open:04o})")));
            assert!(told.contains(&format!("chmod go-w {shown}")), "{told}");
        }
        mode(fake.root(), 0o1777);
        assert_eq!(store.load().expect("as below /tmp"), Some(state()));
    }

    #[test]
    fn no_link_is_followed() {
        let fake = FakeBox::new(&[]);
        let store = fake.store();
        store.create().expect("a directory");
        store.save(&state()).expect("saved");
        let link = fake.root().join("link");
        for (leads_to, rest, behind) in [
            (fake.state_directory(), "", fake.state_directory()),
            (fake.root().to_owned(), "state", fake.state_directory()),
            ("/nowhere".into(), "", "DIR".into()),
        ] {
            symlink(&leads_to, &link).expect("a link");
            let told = Store::new(&link.join(rest)).load().expect_err("a link").to_string();
            assert!(told.contains(&format!("{} is a symbolic link", link.display())), "{told}");
            assert!(told.contains(&format!("--state-dir {}", behind.display())), "{told}");
            fs::remove_file(&link).expect("removed");
        }
        let (kept, path) = (fake.root().join("kept"), store.path());
        fs::rename(&path, &kept).expect("moved");
        symlink(&kept, &path).expect("a link");
        let told = store.load().expect_err("a link").to_string();
        assert!(told.contains("tune.json: it is a symbolic link"), "{told}");
        fs::remove_file(&path).expect("removed");
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        let told = store.load().expect_err("a pipe, and no hang").to_string();
        assert!(told.contains("tune.json is not a file"), "{told}");
    }

    #[test]
    fn what_is_somebody_else_s_is_not_believed() {
        if !nix::unistd::geteuid().is_root() {
            let must = std::env::var_os("RINGSHOT_TESTS_MUST_RUN").is_some();
            assert!(!must, "only root can give a file away");
            eprintln!("skipped: only root can give a file away");
            return;
        }
        const NOBODY: u32 = 65_534;
        let fake = FakeBox::new(&[]);
        let store = fake.store();
        store.create().expect("a directory");
        store.save(&state()).expect("saved");
        for path in [store.path(), fake.state_directory(), fake.root().to_owned()] {
            chown(&path, Some(NOBODY), None).expect("given away");
            let told = store.load().expect_err("somebody else's").to_string();
            let expected = format!("{} belongs to user {NOBODY} and not to root", path.display());
            assert!(told.contains(&expected), "{told}");
            chown(&path, Some(0), None).expect("taken back");
        }
        assert_eq!(store.load().expect("a state"), Some(state()));
    }

    #[test]
    fn what_is_saved_is_root_s_alone_whatever_the_umask() {
        let fake = FakeBox::new(&[]);
        let store = Store::new(&fake.root().join("deep/er"));
        store.create().expect("directories");
        store.save(&state()).expect("saved");
        for path in ["deep", "deep/er", "deep/er/tune.json"] {
            let mode = fs::metadata(fake.root().join(path)).expect("there").permissions().mode();
            assert_eq!(mode & 0o022, 0, "{path}: {mode:o}");
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
