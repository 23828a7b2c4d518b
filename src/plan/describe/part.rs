//! A load in the document of a command that sets or refuses some of the options: their keys are not
//! there, and whoever reads the document finds the default under them.

use super::{Description, OPTIONS};
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::{Map, Value};

impl Description {
    /// As a document has it that leaves these keys out.
    pub(crate) fn without(&self, keys: &[&str]) -> Description {
        let mut all = members(self);
        all.retain(|key, _| !keys.contains(&key.as_str()));
        filled(all, keys).expect("it was one before")
    }
}

/// Writes the other keys.
pub(crate) fn serialize<S: Serializer>(
    load: &Description,
    left_out: &[&str],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let (members, mut map) = (members(load), serializer.serialize_map(None)?);
    for option in OPTIONS.iter().filter(|option| !left_out.contains(&option.key)) {
        map.serialize_entry(option.key, &members[option.key])?;
    }
    map.end()
}

/// Reads the other keys.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    left_out: &[&str],
    deserializer: D,
) -> Result<Description, D::Error> {
    filled(Map::deserialize(deserializer)?, left_out).map_err(D::Error::custom)
}

fn filled(
    mut members_told: Map<String, Value>,
    left_out: &[&str],
) -> serde_json::Result<Description> {
    let mut default = members(&Description::default());
    members_told.extend(left_out.iter().filter_map(|&key| default.remove_entry(key)));
    serde_json::from_value(members_told.into())
}

fn members(load: &Description) -> Map<String, Value> {
    match serde_json::to_value(load) {
        Ok(Value::Object(members)) => members,
        other => unreachable!("a struct is an object: {other:?}"),
    }
}
