//! The files that a run leaves behind, written so that a reader always finds a complete one: the
//! new one, or the one that was there before.
//!
//! And so that root can write into `/tmp`: a user who plants something there cannot choose what is
//! overwritten, or who can read and write the result. Every output goes through here; the rules:
//!
//! ```text
//! what is there                what becomes of it
//! -                            standard output
//! nothing, or a file           a new file under a random name beside it, renamed over it as a whole
//! a link, dangling or not      replaced like a file; what it leads to is left alone
//! a file with hard links       replaced; the other names keep the old contents
//! a pipe, a terminal, a device written to as it is: to rename over it would destroy it
//!   of another user, where
//!   any user may create some   refused, as the kernel does with fs.protected_fifos
//! in /dev, /proc               a descriptor of ours (/dev/stdout, /dev/fd/63), or a device
//! a directory, a socket, a disk   refused, and what is missing in /dev and /proc
//! ```
//!
//! The mode is that of the umask, or that of the file before if it was ours; if it was another
//! user's, only what both allow. Directories on the way are taken as they are: links among them are
//! the user's choice (and what `fs.protected_symlinks` is for). [`check()`] reports before a run
//! what [`write()`] would refuse after it.

use super::text;
use nix::unistd::{AccessFlags, Uid, eaccess, geteuid};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of a directory in which every user may create files.
const WRITABLE_BY_ALL: u32 = 0o002;

/// What a directory has in which only the owner may replace a file.
const STICKY: u32 = 0o1000;

/// What is written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Where the text goes.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    /// `-`.
    Stdout,
    /// In `/dev` or `/proc`, where the links are descriptors of this process.
    Descriptor,
    /// A pipe or device elsewhere.
    Device,
    /// A file to be, in this directory.
    Replace(PathBuf),
}

/// Writes a text to a file, or to standard output if the destination is `-`.
///
/// # Errors
/// The destination and the reason, in words for a person.
pub fn write(text: &str, destination: impl AsRef<Path>) -> io::Result<()> {
    write_with(destination, |out| out.write_all(text.as_bytes()))
}

/// The same with what `content` writes, piece by piece.
///
/// # Errors
/// As [`write()`].
pub fn write_with(
    destination: impl AsRef<Path>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = destination.as_ref();
    match Destination::of(path)? {
        Destination::Stdout => to_stdout(content),
        Destination::Descriptor => descriptor(path, content),
        Destination::Device => device(path, content),
        Destination::Replace(directory) => replace(path, &directory, content),
    }
    .map_err(|error| told(path, &error))
}

/// In pieces of a size that a system call is worth.
fn buffered(
    out: impl Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    content(&mut out)?;
    out.flush()
}

/// Whether it is no file, but a pipe or a device that is written to as it is, or standard output.
pub fn is_stream(destination: &Path) -> bool {
    let destination = Destination::of(destination);
    destination.is_ok_and(|destination| !matches!(destination, Destination::Replace(_)))
}

/// Whether two names are those of one file, which need not be there yet.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let whole =
        |path: &Path| Some(directory_of(path)?.canonicalize().ok()?.join(path.file_name()?));
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// Whether [`write()`] can work: better checked before a run of minutes than after it.
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
        let Some(directory) = directory_of(path) else {
            return Err(reworded(path, ErrorKind::IsADirectory, "it is not a file name"));
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
        if whole == Path::new("/dev") || whole.starts_with("/proc") {
            let found = fs::metadata(path).map_err(|error| told(path, &error))?;
            return match found.is_file() || is_device(&found) {
                true => Ok(Destination::Descriptor),
                false => {
                    Err(reworded(path, ErrorKind::InvalidInput, "it is neither a file nor a pipe"))
                }
            };
        }
        let inside = fs::metadata(&whole).map_err(|error| told(path, &error))?;
        // Asks about a link itself, not about what it leads to.
        let found = match fs::symlink_metadata(path) {
            Ok(found) if is_device(&found) => {
                refuse_planted(path, &found, &inside)?;
                return Ok(Destination::Device);
            }
            Ok(found) if found.is_dir() => {
                return Err(reworded(path, ErrorKind::IsADirectory, "it is a directory"));
            }
            Ok(found) if !found.is_file() && !found.is_symlink() => {
                return Err(reworded(path, ErrorKind::InvalidInput, "it is not a file"));
            }
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(told(path, &error)),
        };
        eaccess(&whole, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| {
            let error = io::Error::from(errno);
            reworded(path, error.kind(), &format!("{}: {error}", shown(directory)))
        })?;
        let owner = |of: &Metadata| Uid::from_raw(of.uid());
        let held = |found| is_held(owner(&found), geteuid(), owner(&inside), inside.mode());
        match found.is_some_and(held) {
            true => Err(reworded(
                path,
                ErrorKind::PermissionDenied,
                "it belongs to another user, and in that directory no other user may replace it",
            )),
            false => Ok(Destination::Replace(directory.into())),
        }
    }
}

/// Where a file of this name is; `None` if it names no file. (`parent()` takes no notice of a slash at
/// the end.)
fn directory_of(path: &Path) -> Option<&Path> {
    match path.parent()? {
        _ if path.as_os_str().as_bytes().ends_with(b"/") => None,
        parent if parent == Path::new("") => Some(Path::new(".")),
        parent => Some(parent),
    }
}

/// What is written to as it is.
fn is_device(found: &Metadata) -> bool {
    found.file_type().is_fifo() || found.file_type().is_char_device()
}

/// A pipe that another user has put where every user may: that user decides who reads from it, and
/// whether it is read at all.
fn refuse_planted(path: &Path, found: &Metadata, directory: &Metadata) -> io::Result<()> {
    let is_ours = [geteuid().as_raw(), directory.uid()].contains(&found.uid());
    match directory.mode() & WRITABLE_BY_ALL == 0 || is_ours {
        true => Ok(()),
        false => Err(reworded(
            path,
            ErrorKind::PermissionDenied,
            "it is a pipe or device of another user, in a directory that every user may write to",
        )),
    }
}

/// Whether the kernel keeps a user from replacing a file of this owner.
fn is_held(owner: Uid, user: Uid, directory_owner: Uid, directory_mode: u32) -> bool {
    let may = user.is_root() || user == owner || user == directory_owner;
    directory_mode & STICKY != 0 && !may
}

/// A reader that has gone (`| head`) has read what it wanted.
fn to_stdout(content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match buffered(io::stdout().lock(), content) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn descriptor(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    // `/dev/stdout` may lead to a file that already has something in it.
    let file = OpenOptions::new().append(true).open(path)?;
    if file.metadata()?.file_type().is_block_device() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is a disk"));
    }
    buffered(file, content)
}

fn device(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // Its owner may have replaced it by a link or a file since the check.
    let file = OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if !is_device(&found) {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "another program has just replaced it",
        ));
    }
    if let Some(directory) = directory_of(path) {
        refuse_planted(path, &found, &fs::metadata(directory)?)?;
    }
    buffered(file, content)
}

/// A reader sees the old file or the new one; after a failure only the old. No existing file is
/// opened: neither by the temporary name, which is random and has to be new, nor by the other.
fn replace(
    path: &Path,
    directory: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".ringshot.")
        .suffix(".tmp")
        // Less the umask: unlike most temporary files, this one is to be read.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)?;
    buffered(&mut file, content)?;
    // Or a crash of the machine could leave the new name on an empty file.
    file.as_file().sync_all()?;
    keep_mode(path, file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// A file that few could read stays so. A file that another user has planted, writable by every
/// user or set to run as root, does not make this one so.
fn keep_mode(path: &Path, file: &File) -> io::Result<()> {
    let before = match fs::symlink_metadata(path) {
        Ok(before) if before.is_file() => before,
        _ => return Ok(()),
    };
    let ours = if before.uid() == geteuid().as_raw() { 0o777 } else { file.metadata()?.mode() };
    file.set_permissions(Permissions::from_mode(before.mode() & ours & 0o777))
}

fn told(path: &Path, error: &io::Error) -> io::Error {
    reworded(path, error.kind(), &error.to_string())
}

fn reworded(path: &Path, kind: ErrorKind, reason: &str) -> io::Error {
    io::Error::new(kind, format!("cannot write {}: {reason}", shown(path)))
}

fn shown(path: &Path) -> String {
    match path == Path::new("-") {
        true => "to standard output".into(),
        false => text::escape(&path.to_string_lossy()),
    }
}

#[cfg(test)]
mod tests;
