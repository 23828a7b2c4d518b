//! The body of a request: where it comes from, and whether the user's own headers agree with it.

use crate::plan::flags::RunArgs;
use crate::words::UsageError;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

/// How much is read from a device, which may have no end.
const DEVICE_BYTES_MAX: u64 = 1024 * 1024;

/// The bytes, and whether a body was asked for.
pub(super) fn read(cli: &RunArgs) -> Result<(Arc<[u8]>, bool), UsageError> {
    match (&cli.body, &cli.body_file) {
        (Some(text), _) => Ok((text.as_bytes().into(), true)),
        (None, Some(path)) => {
            let told =
                |error: io::Error| UsageError(format!("--body-file {}: {error}", path.display()));
            Ok((from_file(path).map_err(told)?.into(), true))
        }
        (None, None) => Ok((Arc::new([]), false)),
    }
}

fn from_file(path: &Path) -> io::Result<Vec<u8>> {
    let named =
        |error: io::Error| io::Error::other(format!("{error}; give the name of a readable file"));
    let mut file = File::open(path).map_err(named)?;
    let mut bytes = Vec::new();
    if file.metadata().is_ok_and(|about| about.file_type().is_char_device()) {
        file.take(DEVICE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(named)?;
        if bytes.len() as u64 > DEVICE_BYTES_MAX {
            return Err(io::Error::other("it is a device with more than 1 MiB; give a file"));
        }
        return Ok(bytes);
    }
    file.read_to_end(&mut bytes).map_err(named)?;
    Ok(bytes)
}

/// What to report before the run about a `Content-Length` that is not that of the body: a server
/// waits for the missing bytes, or takes surplus bytes for the next request.
pub(super) fn length_note(headers: &[(String, Vec<u8>)], body_bytes: usize) -> Option<String> {
    let of = |wanted: &'static str| {
        headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    if of("transfer-encoding").next().is_some() {
        return None;
    }
    let (_, value) = of("content-length").find(|(_, value)| {
        let value = str::from_utf8(value.trim_ascii()).ok();
        value.and_then(|value| value.parse().ok()) != Some(body_bytes)
    })?;
    Some(format!(
        "the Content-Length header says {}, but the body has {body_bytes} bytes, so the server \
         will wait for a different body; leave the header out, ringshot sends the right one",
        value.trim_ascii().escape_ascii()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_not_that_of_the_body_is_said() {
        for (headers, body_bytes, said) in [
            (&[("Content-Length", "5")][..], 5, None),
            (&[("content-length", " 5 ")], 5, None),
            (&[], 5, None),
            (&[("Content-Length", "5")], 2, Some("says 5, but the body has 2 bytes")),
            (&[("content-length", "a\x1bc")], 2, Some("says a\\x1bc, but")),
            (&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")], 2, None),
        ] {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect();
            let note = length_note(&headers, body_bytes);
            assert_eq!(note.is_some(), said.is_some(), "{headers:?}: {note:?}");
            assert!(note.unwrap_or_default().contains(said.unwrap_or("")), "{headers:?}");
        }
    }

    #[test]
    fn a_device_without_an_end_is_refused_and_an_empty_one_is_not() {
        assert!(from_file(Path::new("/dev/null")).unwrap().is_empty());
        let endless = from_file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(endless.contains("device") && endless.contains("give a file"), "{endless}");
        let missing = from_file(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(missing.contains("give the name of a readable file"), "{missing}");
    }
}
