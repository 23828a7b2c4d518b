//! What differs beside the results: how and where the variants were run, and how their runs went.

use super::Variant;
use crate::pages::markdown::code;
use crate::plan::describe;
use crate::result::{Report, Severity};
use crate::words::text::escape;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What each says of how and where it was run: options by their names, the rest by its key in the
/// document.
type SetupDifference = BTreeMap<String, String>;

/// What is not the same in all runs: `connections: 64, 128`, a value for each variant; where
/// its own runs differ, all of theirs: `engine: "epoll" or "io_uring", "io_uring"`.
pub(super) fn differences(variants: &[Variant]) -> Vec<String> {
    let setups: Vec<Vec<SetupDifference>> =
        variants.iter().map(|variant| variant.runs.iter().map(setup).collect()).collect();
    let keys: BTreeSet<&String> = setups.iter().flatten().flat_map(SetupDifference::keys).collect();
    let line = |key: &String| {
        let value =
            |setup: &SetupDifference| setup.get(key).map_or("none", String::as_str).to_owned();
        let of_each: Vec<BTreeSet<String>> =
            setups.iter().map(|runs| runs.iter().map(value).collect()).collect();
        let all: BTreeSet<&String> = of_each.iter().flatten().collect();
        (all.len() > 1).then(|| {
            let of_each = of_each.into_iter().map(|values| Vec::from_iter(values).join(" or "));
            escape(&format!("{key}: {}", of_each.collect::<Vec<_>>().join(", ")))
        })
    };
    keys.into_iter().filter_map(line).collect()
}

fn setup(run: &Report) -> SetupDifference {
    let plan = serde_json::to_value(&run.plan).unwrap_or_default();
    let mut setup: SetupDifference = describe::values(&plan).collect();
    // The port of the bundled server is another one each time.
    let url = match run.target.bundled {
        true => "the bundled server".into(),
        false => run.target.url.as_str().into(),
    };
    for (key, value) in [
        ("version", run.version.as_ref().into()),
        ("ring_tier", run.ring_tier.as_deref().into()),
        ("engine", run.engine.as_ref().into()),
        ("target.url", url),
        ("host", serde_json::to_value(&run.host).unwrap_or_default()),
    ] {
        flatten(key.to_owned(), value, &mut setup);
    }
    setup
}

/// `host.sysctls.net.core.somaxconn` is a line of its own.
fn flatten(key: String, value: Value, into: &mut SetupDifference) {
    match value {
        Value::Object(members) => {
            members
                .into_iter()
                .for_each(|(name, value)| flatten(format!("{key}.{name}"), value, into));
        }
        // As where it is not there.
        Value::Null => {}
        value => {
            into.insert(key, value.to_string());
        }
    }
}

/// The runs that did not go as they should, each with what speaks against it; as Markdown.
pub(super) fn troubles(variants: &[Variant]) -> Vec<String> {
    let runs = variants.iter().flat_map(|variant| variant.files.iter().zip(&variant.runs));
    let line = |(file, run): (&String, &Report)| {
        let interrupted = run.interrupted.then(|| "interrupted".to_owned());
        let grave = run.kernel.findings.iter().filter(|finding| finding.severity != Severity::Info);
        let ids =
            grave.map(|finding| format!("{} ({})", code(&finding.id), finding.severity.name()));
        let all: Vec<String> = interrupted.into_iter().chain(ids).collect();
        (!all.is_empty()).then(|| format!("{}: {}", code(file), all.join(", ")))
    };
    runs.filter_map(line).collect()
}
