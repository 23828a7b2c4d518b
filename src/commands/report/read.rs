//! Reads saved documents back. If a file is not a complete ringshot document, the error names it
//! and says why, before anything is written.

use crate::compare;
use crate::result::{Report, SCHEMA, hdr};
use crate::search;
use crate::words::text::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Earlier versions kept every second: a day on a machine of 64 CPUs has half as much.
const BYTES_MAX: u64 = 256 << 20;

/// A document of ours.
#[derive(Clone, Debug)]
pub enum Saved {
    /// Of a run.
    Run(Box<Report>),
    /// Of a search.
    Search(Box<search::SearchDocument>),
    /// Of a comparison with other tools.
    Comparison(Box<compare::ComparisonDocument>),
}

/// Reads a document.
///
/// # Errors
/// The file and the reason, for a person.
pub fn read(path: &Path) -> Result<Saved, String> {
    let saved = bytes(path).and_then(|text| parse(&text));
    saved.map_err(|reason| format!("{}: {reason}", escape(&path.to_string_lossy())))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    match text.len() as u64 > BYTES_MAX {
        true => {
            Err(format!("is larger than {} MiB, so it is not a result document", BYTES_MAX >> 20))
        }
        false => Ok(text),
    }
}

/// Understands the bytes of a document.
///
/// # Errors
/// The reason, for a person, as what follows the name of the file.
pub fn parse(text: &[u8]) -> Result<Saved, String> {
    let head: Head = parsed(text).map_err(|error| match error.is_eof() {
        true if text.is_empty() => "is empty".to_owned(),
        true => {
            format!(
                "ends in the middle of a JSON document ({}): was the program that wrote it \
                 stopped?",
                told(error)
            )
        }
        false if error.is_data() => format!("{NOT_OURS} (it is not a JSON object)"),
        false => format!("is not a JSON document ({})", told(error)),
    })?;
    match head.schema.as_ref().and_then(Value::as_str) {
        Some(SCHEMA) => run(text),
        Some(search::SCHEMA) => found(text),
        Some(compare::SCHEMA) => {
            document(text).map(|compared| Saved::Comparison(Box::new(compared)))
        }
        Some(schema) => Err(format!(
            "has the schema \"{}\"; this version reads \"{SCHEMA}\", \"{}\" and \"{}\"",
            escape(schema),
            search::SCHEMA,
            compare::SCHEMA
        )),
        None => Err(format!("{NOT_OURS}: it has no \"schema\" such as \"{SCHEMA}\"")),
    }
}

const NOT_OURS: &str = "is not a ringshot result document";

/// What every document of ours has.
#[derive(Deserialize)]
struct Head {
    schema: Option<Value>,
}

fn run(text: &[u8]) -> Result<Saved, String> {
    let mut report: Report = document(text)?;
    let set = &report.latency;
    let slip = report.schedule.as_ref().map(|schedule| &schedule.slip);
    let all = [
        ("connect", Some(&set.connect)),
        ("first_byte", Some(&set.first_byte)),
        ("service", Some(&set.service)),
        ("total", Some(&set.total)),
        ("uncorrected", set.uncorrected.as_ref()),
        ("slip", slip),
    ];
    for (name, latency) in all.into_iter().filter_map(|(name, latency)| Some((name, latency?))) {
        let histogram = hdr::decode(&latency.hdr);
        let histogram = histogram.map_err(|why| format!("the histogram of {name}: {why}"))?;
        if histogram.len() != latency.count {
            let (has, says) = (histogram.len(), latency.count);
            return Err(format!(
                "the histogram of {name} has {has} samples, but its count is {says}"
            ));
        }
    }
    report.bring_up_to_date();
    Ok(Saved::Run(Box::new(report)))
}

fn found(text: &[u8]) -> Result<Saved, String> {
    let mut found: search::SearchDocument = document(text)?;
    found.steps.iter_mut().for_each(search::SearchStep::bring_up_to_date);
    let bounds = &found.bounds;
    let rates = found.steps.iter().map(|step| step.rate_per_s);
    let mut rates = rates.chain([bounds.first_per_s, bounds.lowest_per_s]);
    let are_rates = rates.all(|rate| rate.is_finite() && rate > 0.0);
    let is_a_range = bounds.lowest_per_s <= search::Bounds::default().highest_per_s;
    match are_rates && is_a_range && bounds.precision_ratio > 0.0 {
        true => Ok(Saved::Search(Box::new(found))),
        false => Err("has a rate that is not a valid number".into()),
    }
}

fn document<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    parsed(text).map_err(|error| format!("does not match its schema ({})", told(error)))
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text)
}

/// The parser's message, which may quote the file.
fn told(error: serde_json::Error) -> String {
    escape(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Latency, json, sample};
    use crate::statistics::latency_histogram;

    /// A document as a run writes it: with histograms that are some.
    fn whole() -> String {
        let mut report = sample::troubled();
        let mut histogram = latency_histogram();
        histogram.record_n(900, 1000).unwrap();
        let set = &mut report.latency;
        for latency in [&mut set.connect, &mut set.first_byte, &mut set.service, &mut set.total] {
            *latency = Latency::of(&histogram);
        }
        json::document(&report)
    }

    fn read_text(name: &str, text: &str) -> Result<Saved, String> {
        let path =
            std::env::temp_dir().join(format!("ringshot-read-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let saved = read(&path);
        std::fs::remove_file(&path).unwrap();
        let start = format!("{}: ", path.display());
        saved.map_err(|error| {
            error.strip_prefix(&start).unwrap_or_else(|| panic!("no name in {error}")).to_owned()
        })
    }

    #[test]
    fn a_document_of_an_earlier_version_is_read_as_well_as_it_can_be() {
        let mut document: Value = serde_json::from_str(&whole()).unwrap();
        let members = document.as_object_mut().unwrap();
        for key in ["begun_at", "watch", "limited_by", "merged"] {
            members.remove(key);
        }
        members["rate"].as_object_mut().unwrap().remove("failed_ratio");
        let Saved::Run(report) = read_text("earlier", &document.to_string()).unwrap() else {
            panic!("a run");
        };
        let failed_ratio = report.rate.failed_ratio.unwrap();
        assert!((failed_ratio - 12_345.0 / 99_945.0).abs() < 1e-6);
        assert_eq!(report.begun_at, "");
    }

    fn refused(name: &str, text: &str) -> String {
        read_text(name, text).expect_err(name)
    }

    #[test]
    fn what_is_not_ours_is_refused_with_the_reason() {
        let whole = whole();
        for (name, text, reason) in [
            ("empty", "", "is empty"),
            ("text", "Requests/sec: 12", "is not a JSON document"),
            ("half", &whole[..whole.len() / 2], "ends in the middle"),
            ("other", "{\"a\": 1}", "is not a ringshot result document"),
            ("list", "[]", "is not a ringshot result document"),
            (
                "cut",
                &whole.replace("\"hdr\": \"H", "\"hdr\": \"!"),
                "the histogram of connect: no base64",
            ),
            (
                "word",
                &whole.replace("\"severity\": \"warning\"", "\"severity\": \"\\u001b[2J\""),
                r"\x1b[2J",
            ),
            ("newer", "{\"schema\": \"ringshot.run/2\"}", "has the schema \"ringshot.run/2\""),
            ("hollow", "{\"schema\": \"ringshot.run/1\"}", "does not match its schema"),
            ("doctor", "{\"schema\": \"ringshot.doctor/1\"}", "this version reads"),
        ] {
            let error = refused(name, text);
            assert!(error.contains(reason), "{name}: {error}");
        }
        let error = read(Path::new("/no/such\x1bfile.json")).unwrap_err();
        assert!(error.starts_with(r"/no/such\x1bfile.json: cannot be read"), "{error}");
    }
}
