//! Documents that are nearly right: a good one, with some of its values exchanged. Bytes that are
//! changed at random rarely get past the parser.
//!
//! ```text
//! byte 0                 which document
//! then three bytes each  the value's place (two), what it becomes (one)
//! ```

use serde_json::{Value, json};

const DOCUMENTS: [&str; 5] = [
    include_str!("../../seeds/documents/run.json"),
    include_str!("../../seeds/documents/ports.json"),
    include_str!("../../seeds/documents/open-loop.json"),
    include_str!("../../seeds/documents/search.json"),
    include_str!("../../seeds/documents/comparison.json"),
];

/// More edits make less of a document.
const EDITS_MAX: usize = 12;

/// The document that the bytes describe.
pub(super) fn edited(data: &[u8]) -> Vec<u8> {
    let (which, edits) = data.split_first().unwrap_or((&0, &[]));
    let text = DOCUMENTS[usize::from(*which) % DOCUMENTS.len()];
    let mut document: Value = serde_json::from_str(text).expect("a seed");
    for edit in edits.chunks_exact(3).take(EDITS_MAX) {
        let mut left = u16::from_be_bytes([edit[0], edit[1]]).into();
        left %= places(&document);
        exchange(&mut document, &mut left, edit[2]);
    }
    serde_json::to_vec(&document).expect("keys are text")
}

/// How many values there are in a value, itself included.
fn places(value: &Value) -> usize {
    let inner = match value {
        Value::Array(values) => values.iter().map(places).sum(),
        Value::Object(members) => members.values().map(places).sum(),
        _ => 0,
    };
    1 + inner
}

/// Walks to the value that `left` others stand before, and changes it. Whether it was found.
fn exchange(value: &mut Value, left: &mut usize, how: u8) -> bool {
    if *left == 0 {
        change(value, how);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(values) => values.iter_mut().any(|value| exchange(value, left, how)),
        Value::Object(members) => members.values_mut().any(|value| exchange(value, left, how)),
        _ => false,
    }
}

fn change(value: &mut Value, how: u8) {
    const FLOATS: [f64; 12] =
        [0.0, -0.0, -1.0, 0.5, 1e-300, 5e-324, 1e18, 1e300, f64::MAX, f64::MIN, 9e15, 1e-9];
    const COUNTS: [u64; 12] = [
        0,
        1,
        2,
        10,
        255,
        65_535,
        1 << 31,
        u32::MAX as u64,
        1 << 53,
        1 << 63,
        u64::MAX / 2,
        u64::MAX,
    ];
    const WORDS: [&str; 12] = [
        "",
        "\u{1b}[2J",
        "\u{202e}a\u{2028}",
        "a|b\n\n# c",
        "```\n`",
        "[a](b) <c> &d;",
        "\u{e9}\u{301}",
        "server",
        "2026-11-22T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "-H 'a: b' \\",
        "%s\0",
    ];
    let at = usize::from(how / 2 % 12);
    let first = how & 1 == 0;
    match value {
        Value::Number(_) if first => *value = json!(FLOATS[at]),
        Value::Number(_) => *value = json!(COUNTS[at]),
        Value::String(_) => *value = json!(WORDS[at]),
        Value::Bool(is) => *is = !*is,
        Value::Null if first => *value = json!(FLOATS[at]),
        Value::Null => *value = json!(WORDS[at]),
        Value::Array(values) => match how % 4 {
            0 => values.clear(),
            1 => values.truncate(1),
            2 => values.reverse(),
            _ => values.extend(values.clone().into_iter().take(64)),
        },
        // A member is taken out.
        Value::Object(members) => {
            let name = members.keys().nth(usize::from(how) % members.len().max(1)).cloned();
            if let Some(name) = name {
                members.remove(&name);
            }
        }
    }
    // What may be null is one way or the other.
    if how == u8::MAX {
        *value = Value::Null;
    }
}
