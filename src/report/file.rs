//! What a run leaves behind, written so that whoever reads a file finds a whole one: the new one, or
//! the one that was there before.
//!
//! A file is written under a temporary name beside its destination and then renamed over it. A
//! link at the destination is replaced, never followed: whoever can put a link into `/tmp` does
//! not get to choose which file a run by root overwrites. What is not a file at all (a pipe, a
//! terminal, `/dev/null`) is written to as it is, since to rename over a device would destroy it.

use super::console::format;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process;

/// Names for the temporary file that are tried before giving up: others may be left from runs
/// that were killed.
const NAMES_MAX: u32 = 16;

/// Where the text goes.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    /// `-`.
    Stdout,
    /// A pipe or device.
    InPlace,
    /// A file to be, in this directory.
    Replace(PathBuf),
}

/// Writes a text to a file, or to standard output if the destination is `-`.
///
/// # Errors
/// The destination and the reason, in words for a person.
pub fn write(text: &str, destination: impl AsRef<Path>) -> io::Result<()> {
    let path = destination.as_ref();
    match Destination::of(path)? {
        Destination::Stdout => to_stdout(text),
        Destination::InPlace => in_place(path, text),
        Destination::Replace(directory) => replace(path, &directory, text),
    }
    .map_err(|error| reworded(path, error.kind(), &error.to_string()))
}

/// Whether it is no file, but a pipe or a device that is written to as it is, or standard output.
pub fn is_stream(destination: &Path) -> bool {
    matches!(Destination::of(destination), Ok(Destination::InPlace | Destination::Stdout))
}

/// Whether two names are those of one file, which need not be there yet.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        let directory = path.parent().filter(|parent| *parent != Path::new(""));
        let directory = directory.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(directory.join(path.file_name()?))
    };
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// Whether [`write()`] stands a chance: better asked before a run of minutes than after it.
///
/// # Errors
/// As [`write()`].
pub fn check(destination: impl AsRef<Path>) -> io::Result<()> {
    Destination::of(destination.as_ref()).map(|_| ())
}

impl Destination {
    fn of(path: &Path) -> io::Result<Destination> {
        if path == Path::new("-") {
            return Ok(Destination::Stdout);
        }
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) => Path::new("."),
            None => return Err(reworded(path, ErrorKind::IsADirectory, "it is not a file name")),
        };
        let whole = directory.canonicalize().map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::NotFound => {
                    format!("there is no directory {}", shown(directory))
                }
                _ => format!("{}: {error}", shown(directory)),
            };
            reworded(path, error.kind(), &reason)
        })?;
        // The links in there (`/dev/stdout`, `/dev/fd/63`) are descriptors of this process.
        if whole == Path::new("/dev") || whole.starts_with("/proc") {
            return Ok(Destination::InPlace);
        }
        // Asks about a link itself, not about what it leads to.
        match fs::symlink_metadata(path).map(|found| found.file_type()) {
            Ok(found) if found.is_dir() => {
                Err(reworded(path, ErrorKind::IsADirectory, "it is a directory"))
            }
            Ok(found) if found.is_file() || found.is_symlink() => {
                Ok(Destination::Replace(directory.into()))
            }
            Ok(found) if found.is_fifo() || found.is_char_device() => Ok(Destination::InPlace),
            Ok(_) => Err(reworded(path, ErrorKind::InvalidInput, "it is not a file")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Destination::Replace(directory.into()))
            }
            Err(error) => Err(reworded(path, error.kind(), &error.to_string())),
        }
    }
}

/// A reader that has gone (`| head`) has read what it wanted.
fn to_stdout(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn in_place(path: &Path, text: &str) -> io::Result<()> {
    // `/dev/stdout` may lead to a file that already has something in it.
    OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())
}

/// Whoever looks sees the old file or the new one; after a failure only the old.
fn replace(path: &Path, directory: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let (mut file, temporary) = create_beside(directory, &name.to_os_string())?;
    let written = file
        .write_all(text.as_bytes())
        // Or a crash of the box could leave the new name on an empty file.
        .and_then(|()| file.sync_all())
        .and_then(|()| keep_mode(path, &file))
        .and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    })
}

/// A new file with a name of its own; `create_new` neither follows a link nor opens what is there.
fn create_beside(directory: &Path, name: &OsString) -> io::Result<(File, PathBuf)> {
    let mut attempt = 0;
    loop {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}.tmp", process::id()));
        let temporary = directory.join(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < NAMES_MAX => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A file that was readable by few stays so.
fn keep_mode(path: &Path, file: &File) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(before) if before.is_file() => file.set_permissions(before.permissions()),
        _ => Ok(()),
    }
}

fn reworded(path: &Path, kind: ErrorKind, reason: &str) -> io::Error {
    io::Error::new(kind, format!("cannot write {}: {reason}", shown(path)))
}

fn shown(path: &Path) -> String {
    format::escape(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
