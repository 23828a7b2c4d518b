//! What a load is, as one value: every document embeds it, every page takes its words from it, and
//! whatever compares two loads compares it. It is made here and nowhere else.
//!
//! ```text
//!   Plan ──► Description ──► plan in the documents of runs, searches and comparisons
//!                 │             (part: without the keys that a command sets itself)
//!                 └──► OPTIONS, an entry for each: its key, its words, what may differ
//!                         ├──► words: the lines of the pages
//!                         └──► difference: merge, report side by side, search --resume
//! ```
//!
//! A new option is a field of [`Description`], and an entry in [`OPTIONS`] below it.

mod options;
pub(crate) mod part;
mod words;

pub(crate) use options::Place;
use options::Same::{InRepetitions, InTest, InTestAs, Never};
pub use options::{Description, StageSummary};
use options::{LoadOption, OPTIONS};
pub(crate) use words::{engine, threads};

use serde_json::Value;

impl Description {
    /// The first option in which another load is not one of the same test, in which each machine
    /// has its own share of the connections and of the rate.
    pub(crate) fn test_difference(&self, other: &Description) -> Option<Difference> {
        let all = [self, other].map(part::members);
        let both = |option: &LoadOption| match option.same {
            InTest => Some(all.each_ref().map(|all| text(option.key, &all[option.key]))),
            InTestAs(part) => Some([self, other].map(part)),
            InRepetitions | Never => None,
        };
        let both = OPTIONS.iter().filter_map(|option| Some((option.name, both(option)?)));
        both.map(|(name, [one, other])| (name.into(), one, other)).find(differ)
    }
}

/// The name of an option, and the two values.
pub(crate) type Difference = (String, String, String);

fn differ((_, one, other): &Difference) -> bool {
    one != other
}

/// Name and value of each option in the plan of a document, but for those that not even two runs of
/// one thing share.
pub(crate) fn values(plan: &Value) -> impl Iterator<Item = (String, String)> {
    named(plan).map(|(name, key, value)| (name, text(key, value)))
}

/// The first option of a plan that another one has not, both as in a document.
pub(crate) fn difference(plan: &Value, other: &Value) -> Option<Difference> {
    let all =
        named(plan).map(|(name, key, value)| (name, text(key, value), text(key, &other[key])));
    all.into_iter().find(differ)
}

fn named(plan: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
    plan.as_object().into_iter().flatten().filter_map(|(key, value)| {
        match OPTIONS.iter().find(|option| option.key == key) {
            Some(LoadOption { same: Never, .. }) => None,
            Some(option) => Some((option.name.into(), key.as_str(), value)),
            None => Some((key.replace('_', " "), key.as_str(), value)),
        }
    })
}

/// What is under a key, which has the unit, exactly: what differs by little differs.
fn text(key: &str, value: &Value) -> String {
    let unit = [("_per_s", "/s"), ("_s", " s"), ("_bytes", " bytes")];
    let unit = unit.iter().find(|(end, _)| key.ends_with(end)).map_or("", |(_, unit)| unit);
    match value {
        Value::Null => "none".into(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // `10 s`, not `10.0 s`.
            Some(fraction) => format!("{fraction}{unit}"),
            None => format!("{number}{unit}"),
        },
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(|one| text(key, one)).collect();
            format!("[{}]", all.join(", "))
        }
        Value::Object(all) => {
            let member = |(key, one): (&String, &Value)| {
                let name = key.split('_').next().unwrap_or_default();
                format!("{name} {}", text(key, one))
            };
            all.iter().map(member).collect::<Vec<_>>().join(" ")
        }
        Value::Bool(is_so) => is_so.to_string(),
    }
}

#[cfg(test)]
mod tests;
