//! What happens to a file.

use super::*;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixStream;
use std::thread;
use tempfile::TempDir;

const NEW: &str = "{}\n";

/// A directory of one test.
struct Directory(TempDir);

impl Directory {
    fn new(test: &str) -> Directory {
        let name = format!("ringshot-file-{test}-");
        Directory(tempfile::Builder::new().prefix(&name).tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn names(&self) -> Vec<OsString> {
        fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
    let directory = Directory::new("replace");
    let path = directory.join("run.json");
    fs::write(&path, "old and longer than nothing").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut old = File::open(&path).unwrap();

    write(NEW, &path).unwrap();

    assert_eq!(fs::read_to_string(&path).unwrap(), NEW);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // A program that had the old file open still reads it: it was not written to.
    assert_eq!(io::read_to_string(&mut old).unwrap(), "old and longer than nothing");
    assert_eq!(directory.names(), ["run.json"]);
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let directory = Directory::new("link");
    let (victim, link) = (directory.join("victim"), directory.join("run.json"));
    for (contents, leads_to) in [(Some("mine"), &victim), (None, &directory.join("nothing"))] {
        if let Some(contents) = contents {
            fs::write(&victim, contents).unwrap();
        }
        symlink(leads_to, &link).unwrap();

        write(NEW, &link).unwrap();

        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert!(!directory.join("nothing").exists());
        fs::remove_file(&link).unwrap();
    }
}

#[test]
fn other_names_of_a_file_keep_what_they_had() {
    let directory = Directory::new("hard-link");
    let (victim, link) = (directory.join("victim"), directory.join("run.json"));
    fs::write(&victim, "mine").unwrap();
    fs::hard_link(&victim, &link).unwrap();

    write(NEW, &link).unwrap();

    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(fs::read_to_string(&link).unwrap(), NEW);
}

#[test]
fn a_pipe_is_written_to_and_stays_one() {
    let directory = Directory::new("pipe");
    let pipe = directory.join("run.json");
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });

    check(&pipe).unwrap();
    write(NEW, &pipe).unwrap();

    assert_eq!(reader.join().unwrap(), NEW);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn what_took_the_place_of_a_pipe_is_not_written_to() {
    let directory = Directory::new("swapped");
    let (victim, pipe) = (directory.join("victim"), directory.join("run.json"));
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, &pipe).unwrap();
    let new = |out: &mut dyn Write| out.write_all(NEW.as_bytes());
    device(&pipe, new).unwrap_err();
    assert_eq!(
        device(&victim, new).unwrap_err().to_string(),
        "another program has just replaced it"
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
}

/// A user that is not root, and owns nothing.
const NOBODY: u32 = 65_534;

#[test]
fn what_somebody_else_has_planted_does_not_help_them() {
    if !geteuid().is_root() {
        assert!(
            std::env::var_os("RINGSHOT_TESTS_MUST_RUN").is_none(),
            "only root can plant a file of another user"
        );
        eprintln!("skipped: only root can plant a file of another user");
        return;
    }
    let directory = Directory::new("planted");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o1777)).unwrap();
    let path = directory.join("run.json");
    fs::write(&path, "").unwrap();
    chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o6777)).unwrap();

    write(NEW, &path).unwrap();

    let written = fs::metadata(&path).unwrap();
    assert_eq!(written.uid(), 0);
    assert_eq!(written.mode() & 0o7022, 0, "{:o}", written.mode());

    let pipe = directory.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    chown(&pipe, Some(NOBODY), Some(NOBODY)).unwrap();
    for refused in [check(&pipe), write(NEW, &pipe)] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("of another user"), "{error}");
    }
    // In a directory of one's own it is the user's choice.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    check(&pipe).unwrap();
}

#[test]
fn the_sticky_bit_is_known_beforehand() {
    // Owner of the file, user, owner of the directory, its mode.
    for (owner, user, directory_owner, mode, held) in [
        (1, 2, 0, 0o1777, true),
        (1, 2, 0, 0o777, false),
        (1, 1, 0, 0o1777, false),
        (1, 2, 2, 0o1777, false),
        (1, 0, 3, 0o1777, false),
        (0, 2, 0, 0o1777, true),
    ] {
        let [owner, user, directory_owner] = [owner, user, directory_owner].map(Uid::from_raw);
        assert_eq!(is_held(owner, user, directory_owner, mode), held, "{owner} {user} {mode:o}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_known_beforehand() {
    let directory = Directory::new("read-only");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();
    let checked = check(directory.join("run.json"));
    // Root may all the same.
    assert_eq!(checked.is_ok(), geteuid().is_root());
    assert_eq!(write(NEW, directory.join("run.json")).is_ok(), checked.is_ok());
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_error_names_the_file_and_the_reason() {
    let directory = Directory::new("errors");
    let missing = directory.join("no\x1bwhere/run.json");
    let error = write(NEW, &missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let at = shown(directory.path());
    assert_eq!(
        error.to_string(),
        format!(r"cannot write {at}/no\x1bwhere/run.json: there is no directory {at}/no\x1bwhere")
    );
    assert_eq!(check(&missing).unwrap_err().kind(), ErrorKind::NotFound);

    let error = write(NEW, directory.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {at}: it is a directory"));
    check(directory.join("run.json")).unwrap();
    check(directory.join("results/")).unwrap_err();
    check("-").unwrap();
    assert!(directory.names().is_empty());
}

#[test]
fn after_a_failure_nothing_half_written_is_left() {
    let directory = Directory::new("failure");
    let path = directory.join("run.json");
    // What appeared at the destination after the check cannot be renamed over.
    fs::create_dir(&path).unwrap();
    replace(&path, directory.path(), |out| out.write_all(b"{}")).unwrap_err();
    assert_eq!(directory.names(), ["run.json"]);
}

#[test]
fn devices_and_descriptors_are_written_to_as_they_are() {
    let (file, (socket, _other)) = (tempfile::tempfile().unwrap(), UnixStream::pair().unwrap());
    let ours = file.as_raw_fd();
    for device in ["/dev/null", &format!("/dev/fd/{ours}"), &format!("/proc/self/fd/{ours}")] {
        assert_eq!(
            Destination::of(Path::new(device)).unwrap(),
            Destination::Descriptor,
            "{device}"
        );
    }
    // Better known before the run than after it.
    let socket = format!("/dev/fd/{}", socket.as_raw_fd());
    for none in ["/dev/no.json", "/proc/no.json", "/dev/fd/999999", &socket, "/dev/fd/"] {
        check(none).expect_err(none);
    }
    write(NEW, "/dev/null").unwrap();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(write(NEW, "/dev/full").is_err());
}

#[test]
fn what_fails_half_way_leaves_the_file_as_it_was() {
    let directory = Directory::new("half");
    let path = directory.join("run.json");
    fs::write(&path, "old").unwrap();
    let half = |out: &mut dyn Write| {
        out.write_all(NEW.as_bytes())?;
        Err(io::Error::other("no more"))
    };
    let error = write_with(&path, half).unwrap_err().to_string();
    assert!(error.ends_with("run.json: no more"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
}
