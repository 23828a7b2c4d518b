//! A load in the document of a command that sets or refuses some of the options: their keys are not
//! there, and whoever reads the document finds the default under them. They are named in one text.

use super::Description;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

impl Description {
    /// As a document has it that leaves these keys out.
    pub(crate) fn without(&self, left_out: &str) -> Description {
        filled(members(self), left_out).expect("it was one before")
    }
}

/// Writes the other keys.
pub(crate) fn serialize<S: Serializer>(
    load: &Description,
    left_out: &str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut members = members(load);
    members.retain(|key, _| left_out.split(' ').all(|left_out| left_out != key));
    members.serialize(serializer)
}

/// Reads the other keys.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    left_out: &str,
    deserializer: D,
) -> Result<Description, D::Error> {
    filled(Map::deserialize(deserializer)?, left_out).map_err(D::Error::custom)
}

fn filled(mut given: Map<String, Value>, left_out: &str) -> serde_json::Result<Description> {
    let mut default = members(&Description::default());
    given.extend(left_out.split(' ').filter_map(|key| default.remove_entry(key)));
    serde_json::from_value(given.into())
}

/// All keys and values.
pub(super) fn members(load: &Description) -> Map<String, Value> {
    match serde_json::to_value(load) {
        Ok(Value::Object(members)) => members,
        other => unreachable!("a struct is an object: {other:?}"),
    }
}
