//! Whether the contents of a state directory can be trusted: root will write what they say. As sshd
//! does with the files that it trusts, the whole path is checked, not only its end.
//!
//! ```text
//!   /                    a directory, no link; of root's (or of the owner of /);
//!   /var, /var/lib       no other user may write to it, or it is sticky, as /tmp is
//!   /var/lib/ringshot    the same, of root's or of the user's that asks, and never writable by others
//!   tune.json            a file, and the same
//! ```
//!
//! Once checked, no other user can change it before it is used.

use crate::words::Refusal;
use crate::words::text::escape;
use nix::unistd::geteuid;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Looks at a directory and the way to it, as far as it is there.
///
/// # Errors
/// The first part of the path that another user could have put there, or could exchange.
pub(crate) fn directory(path: &Path) -> Result<(), Refusal> {
    let unseen = |at: &Path, error: &io::Error| Refusal {
        what: format!("cannot look at {}: {error}", shown(at)),
        cure: ELSEWHERE.into(),
    };
    let path = std::path::absolute(path).map_err(|error| unseen(path, &error))?;
    // Without a slash at its end, which would follow a link.
    let path: PathBuf = path.components().collect();
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    let mut owner_of_all = ROOT;
    for at in way {
        let found = match fs::symlink_metadata(at) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unseen(at, &error)),
        };
        if at == Path::new("/") {
            // In a user namespace it belongs to a user outside, who can do anything anyway.
            owner_of_all = found.uid();
        }
        if found.is_symlink() {
            return Err(link(at, &path));
        }
        if !found.is_dir() {
            let what = format!("{} is not a directory", shown(at));
            return Err(Refusal { what, cure: ELSEWHERE.into() });
        }
        let (owners, sticky) = match at == path {
            true => (vec![ROOT, geteuid().as_raw()], false),
            false => (vec![ROOT, geteuid().as_raw(), owner_of_all], found.mode() & STICKY != 0),
        };
        judge(at, &found, &owners, sticky)?;
    }
    Ok(())
}

/// Looks at a file that was opened at this place.
///
/// # Errors
/// It is not a file, or another user could have written it.
pub(crate) fn file(file: &File, at: &Path) -> Result<(), Refusal> {
    let found = file.metadata().map_err(|error| Refusal {
        what: format!("cannot look at {}: {error}", shown(at)),
        cure: ELSEWHERE.into(),
    })?;
    match found.is_file() {
        true => judge(at, &found, &[ROOT, geteuid().as_raw()], false),
        false => Err(Refusal {
            what: format!("{} is not a file", shown(at)),
            cure: format!("remove it: rm {}", quoted(at)),
        }),
    }
}

/// The cure where nothing can be repaired in place.
const ELSEWHERE: &str = "a directory of root's, in which no other user may write: --state-dir DIR";

fn judge(at: &Path, found: &Metadata, owners: &[u32], sticky: bool) -> Result<(), Refusal> {
    if !owners.contains(&found.uid()) {
        return Err(Refusal {
            what: format!(
                "{} belongs to user {} and not to root, so its contents cannot be trusted",
                shown(at),
                found.uid()
            ),
            cure: ELSEWHERE.into(),
        });
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 && !sticky {
        return Err(Refusal {
            what: format!(
                "other users can write to {} (mode {:04o}), so its contents cannot be trusted",
                shown(at),
                found.mode() & 0o7777
            ),
            cure: format!(
                "if no one has tampered with it: chmod go-w {}; else {ELSEWHERE}",
                quoted(at)
            ),
        });
    }
    Ok(())
}

/// A link, with which another user could send root elsewhere.
fn link(at: &Path, whole: &Path) -> Refusal {
    let behind = at.canonicalize().map(|behind| match whole.strip_prefix(at) {
        Ok(rest) if rest != Path::new("") => behind.join(rest),
        _ => behind,
    });
    Refusal {
        what: format!("{} is a symbolic link, which ringshot does not follow as root", shown(at)),
        cure: match behind {
            Ok(behind) => format!("name its target: --state-dir {}", quoted(&behind)),
            Err(_) => ELSEWHERE.into(),
        },
    }
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = shown(path);
    shlex::try_quote(&text).map_or_else(|_| text.clone(), |quoted| quoted.into_owned())
}
