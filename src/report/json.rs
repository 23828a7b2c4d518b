//! A document as JSON text.

use super::console::format;
use super::file;
use serde::Serialize;
use std::io;
use std::path::Path;

/// Writes the document to a file, or to standard output if the destination is `-`.
///
/// # Errors
/// As [`file::write()`].
pub fn write(value: &impl Serialize, destination: impl AsRef<Path>) -> io::Result<()> {
    file::write(&document(value), destination)
}

/// The document as text, with a newline at its end.
pub fn document(value: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(value).expect("every key is a string or a number");
    let mut safe = String::with_capacity(json.len() + 1);
    // JSON escapes C0 itself. The rest can only be inside of strings, and `-` may be a terminal.
    for c in json.chars() {
        match c {
            '\u{7f}'.. if format::steers(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    safe.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => safe.push(c),
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests;
