//! What becomes of a file.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

const NEW: &str = "{}\n";

/// A directory of one test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("ringshot-file-{}-{test}", process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<OsString> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
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
    // Who had the old file open still reads the old file: it was not written to.
    assert_eq!(io::read_to_string(&mut old).unwrap(), "old and longer than nothing");
    assert_eq!(directory.names(), ["run.json"]);
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let directory = Directory::new("link");
    let (victim, link) = (directory.join("victim"), directory.join("run.json"));
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, &link).unwrap();

    write(NEW, &link).unwrap();

    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
}

#[test]
fn a_temporary_name_that_is_taken_is_left_alone() {
    let directory = Directory::new("taken");
    let (path, victim) = (directory.join("run.json"), directory.join("victim"));
    let taken = directory.join(&format!(".run.json.{}-0.tmp", process::id()));
    symlink(&victim, &taken).unwrap();

    write(NEW, &path).unwrap();

    assert!(!victim.exists() && fs::symlink_metadata(&taken).unwrap().is_symlink());
    assert!(path.is_file());
}

#[test]
fn an_error_names_the_file_and_the_reason() {
    let directory = Directory::new("errors");
    let missing = directory.join("no\x1bwhere/run.json");
    let error = write(NEW, &missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let at = shown(&directory.0);
    assert_eq!(
        error.to_string(),
        format!(r"cannot write {at}/no\x1bwhere/run.json: there is no directory {at}/no\x1bwhere")
    );
    assert_eq!(check(&missing).unwrap_err().kind(), ErrorKind::NotFound);

    let error = write(NEW, &directory.0).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {at}: it is a directory"));
    check(directory.join("run.json")).unwrap();
    check("-").unwrap();
    assert!(directory.names().is_empty());
}

#[test]
fn after_a_failure_nothing_half_written_is_left() {
    let directory = Directory::new("failure");
    let path = directory.join("run.json");
    // What appeared at the destination after the check cannot be renamed over.
    fs::create_dir(&path).unwrap();
    replace(&path, &directory.0, "{}").unwrap_err();
    assert_eq!(directory.names(), ["run.json"]);
}

#[test]
fn devices_and_descriptors_are_written_to_as_they_are() {
    for device in ["/dev/null", "/dev/stdout", "/dev/fd/63", "/proc/self/fd/1"] {
        assert_eq!(Destination::of(Path::new(device)).unwrap(), Destination::InPlace, "{device}");
    }
    write(NEW, "/dev/null").unwrap();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(write(NEW, "/dev/full").is_err());
}
