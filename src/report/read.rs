//! Saved documents, read back: what is no whole document of ours is refused with the file's name and
//! the reason, before anything is written.

use super::console::format::escape;
use super::{Report, SCHEMA};
use crate::{compare, search};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No run of days has a larger one: what is larger is something else.
const BYTES_MAX: u64 = 1 << 30;

/// A document of ours.
#[derive(Clone, Debug)]
pub enum Saved {
    /// Of a run.
    Run(Box<Report>),
    /// Of a search.
    Search(Box<search::Document>),
    /// Of a comparison with other tools.
    Comparison(Box<compare::Document>),
}

/// Reads a document.
///
/// # Errors
/// The file and the reason, for a person.
pub fn read(path: &Path) -> Result<Saved, String> {
    parse(path).map_err(|reason| format!("{}: {reason}", escape(&path.to_string_lossy())))
}

fn parse(path: &Path) -> Result<Saved, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("has more than {} MiB: that is no result document", BYTES_MAX >> 20));
    }
    let value: Value = serde_json::from_slice(&text).map_err(|error| match error.is_eof() {
        true if text.is_empty() => "is empty".to_owned(),
        true => format!("ends in the middle of a JSON document ({error}): was its writer stopped?"),
        false => format!("is no JSON document ({error})"),
    })?;
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => document(value).map(|run| Saved::Run(Box::new(run))),
        Some(search::SCHEMA) => document(value).map(|found| Saved::Search(Box::new(found))),
        Some(compare::SCHEMA) => {
            document(value).map(|compared| Saved::Comparison(Box::new(compared)))
        }
        Some(schema) => Err(format!(
            "has the schema \"{}\"; this version reads \"{SCHEMA}\", \"{}\" and \"{}\"",
            escape(schema),
            search::SCHEMA,
            compare::SCHEMA
        )),
        None => Err(format!(
            "is no result document of ringshot: it has no \"schema\" such as \"{SCHEMA}\""
        )),
    }
}

fn document<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value)
        .map_err(|error| format!("does not hold what its schema promises ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::console::sample;
    use crate::report::json;

    fn refused(name: &str, text: &str) -> String {
        let path =
            std::env::temp_dir().join(format!("ringshot-read-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let error = read(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let start = format!("{}: ", path.display());
        error.strip_prefix(&start).unwrap_or_else(|| panic!("no name in {error}")).to_owned()
    }

    #[test]
    fn what_is_not_ours_is_refused_with_the_reason() {
        let whole = json::document(&sample::clean());
        for (name, text, reason) in [
            ("empty", "", "is empty"),
            ("text", "Requests/sec: 12", "is no JSON document"),
            ("half", &whole[..whole.len() / 2], "ends in the middle"),
            ("other", "{\"a\": 1}", "is no result document of ringshot"),
            ("list", "[]", "is no result document of ringshot"),
            ("newer", "{\"schema\": \"ringshot.run/2\"}", "has the schema \"ringshot.run/2\""),
            ("hollow", "{\"schema\": \"ringshot.run/1\"}", "does not hold what its schema"),
            ("doctor", "{\"schema\": \"ringshot.doctor/1\"}", "this version reads"),
        ] {
            let error = refused(name, text);
            assert!(error.starts_with(reason) || error.contains(reason), "{name}: {error}");
        }
        let error = read(Path::new("/no/such\x1bfile.json")).unwrap_err();
        assert!(error.starts_with(r"/no/such\x1bfile.json: cannot be read"), "{error}");
    }
}
