//! Reads from and writes to the machine. Everything lies under one root directory, so that a test
//! can have a machine of its own.

use crate::kernel::sysctl;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The machine.
#[derive(Clone, Debug)]
pub(crate) struct System {
    /// `/`, or where a test has its own.
    root: PathBuf,
    /// Whether this process may change settings.
    privileged: bool,
}

/// What a sysctl has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// The value, without the newline at its end.
    Value(String),
    /// A value that cannot be changed from here.
    ReadOnly(String),
    /// Not in this kernel, or not in this network namespace.
    Missing,
    /// It is there, and cannot be read.
    Unreadable(String),
}

impl System {
    /// The machine that this process runs on.
    pub(crate) fn this_box() -> System {
        System { root: "/".into(), privileged: nix::unistd::geteuid().is_root() }
    }

    /// A directory that looks like one.
    pub(crate) fn in_directory(root: &Path, privileged: bool) -> System {
        System { root: root.into(), privileged }
    }

    /// Whether this process may change settings, as far as its user goes.
    pub(crate) fn privileged(&self) -> bool {
        self.privileged
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn read(&self, name: &str) -> Setting {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let value = text.trim_end_matches('\n').to_owned();
                // Root may open any file, but no sysctl whose mode has no bit for writing.
                let mode = fs::metadata(&path).map_or(0, |found| found.permissions().mode());
                match mode & 0o222 {
                    0 => Setting::ReadOnly(value),
                    _ => Setting::Value(value),
                }
            }
            Err(error) if missing(&error) => Setting::Missing,
            Err(error) => Setting::Unreadable(error.to_string()),
        }
    }

    /// Writes a sysctl and looks whether the kernel took the value.
    ///
    /// # Errors
    /// The reason, in words for a person.
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), String> {
        self.write_file(name, value).map_err(|error| reason(&error))?;
        match self.read(name) {
            Setting::Value(now) if super::sysctl::same(&now, value) => Ok(()),
            Setting::Value(now) | Setting::ReadOnly(now) => {
                Err(format!("the kernel answers {now:?} after {value:?} was written"))
            }
            Setting::Missing => Err("it has gone".into()),
            Setting::Unreadable(why) => Err(why),
        }
    }

    /// Whether a sysctl can be opened for writing; nothing is written.
    ///
    /// # Errors
    /// The reason why not, in words for a person.
    pub(crate) fn writable(&self, name: &str) -> Result<(), String> {
        let opened = OpenOptions::new().write(true).open(self.path(name));
        opened.map(|_| ()).map_err(|error| reason(&error))
    }

    fn write_file(&self, name: &str, value: &str) -> io::Result<()> {
        // Never creates: there are no new files under /proc/sys.
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.path(name))?;
        // In one piece, or the kernel would take its parts for values.
        file.write_all(format!("{value}\n").as_bytes())
    }

    /// The limit of open files of this process, soft and hard.
    pub(crate) fn open_files(&self) -> Option<(String, String)> {
        let limits = fs::read_to_string(self.root.join("proc/self/limits")).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    }

    /// The network namespace of this process, as `net:[4026531840]`.
    ///
    /// # Errors
    /// No `/proc`.
    pub(crate) fn network_namespace(&self) -> io::Result<String> {
        let link = fs::read_link(self.root.join("proc/self/ns/net"))?;
        Ok(link.to_string_lossy().into_owned())
    }

    /// Whether this process is in the network namespace of the machine's first process. If that
    /// one's cannot be read, it is taken to be the same.
    pub(crate) fn in_initial_namespace(&self) -> bool {
        let namespace =
            |process| fs::read_link(self.root.join("proc").join(process).join("ns/net"));
        match (namespace("self"), namespace("1")) {
            (Ok(own), Ok(first)) => own == first,
            _ => true,
        }
    }

    /// Differs after each start of the kernel.
    ///
    /// # Errors
    /// No `/proc`.
    pub(crate) fn boot_id(&self) -> io::Result<String> {
        let id = fs::read_to_string(self.root.join("proc/sys/kernel/random/boot_id"))?;
        Ok(id.trim().into())
    }

    /// Whether there is a sysctl of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn path(&self, name: &str) -> PathBuf {
        // What is no name is no file either.
        self.root.join("proc/sys").join(sysctl::path(name).unwrap_or("-".into()))
    }
}

/// Why a sysctl cannot be written.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => format!("{error}: not from this user or namespace"),
        ErrorKind::ReadOnlyFilesystem => {
            format!("{error}: /proc/sys is mounted read-only here, as in most containers")
        }
        _ => error.to_string(),
    }
}

fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeBox;

    #[test]
    fn a_value_is_read_back_after_it_was_written() {
        let fake = FakeBox::new(&[("net.core.somaxconn", "128")]);
        let system = fake.system();
        assert_eq!(system.read("net.core.somaxconn"), Setting::Value("128".into()));
        assert_eq!(system.write("net.core.somaxconn", "4096"), Ok(()));
        assert_eq!(fake.value("net.core.somaxconn"), "4096");
        fake.swallows_writes("net.core.deaf");
        assert!(system.write("net.core.deaf", "1").is_err());
        assert_eq!(system.read("net.core.none"), Setting::Missing);
        assert!(system.write("net.core.none", "1").is_err());
        assert!(!system.has("net.core.none"), "no file is created");
    }

    #[test]
    fn the_first_process_tells_where_the_box_is() {
        let fake = FakeBox::new(&[]);
        assert!(fake.system().in_initial_namespace());
        fake.enter_namespace("net:[2]");
        assert!(!fake.system().in_initial_namespace());
        fake.hide_first_namespace();
        assert!(fake.system().in_initial_namespace(), "nothing to compare with");
    }

    #[test]
    fn the_real_box_has_a_boot_a_namespace_and_a_limit() {
        let system = System::this_box();
        assert_eq!(system.boot_id().expect("a boot id").len(), 36);
        assert!(system.network_namespace().expect("a namespace").starts_with("net:["));
        assert!(system.open_files().expect("a limit").1.parse::<u64>().is_ok());
        assert!(matches!(system.read("net.ipv4.tcp_tw_reuse"), Setting::Value(_)));
    }
}
