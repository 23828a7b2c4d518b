//! The seeds of the fuzz targets, and the inputs that once broke something, go through the targets'
//! functions: so they never rot, and nothing that was mended breaks again. What finds new ones is in
//! `fuzz/`.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn every_seed_passes_through_its_target() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, target) in fuzz::TARGETS {
        let mut replayed = 0;
        for entry in fs::read_dir(seeds.join(name)).expect("every target has seeds") {
            let path = entry.expect("an entry").path();
            // Captured, and shown when the target panics.
            println!("{}", path.display());
            target(&fs::read(&path).expect("a seed"));
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has no seeds");
    }
}

/// Whatever text a document of elsewhere has in place of ours, what is made of it shows that text
/// and does not obey it.
#[test]
fn no_text_of_a_document_steers_what_shows_it() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/documents");
    for name in ["run", "ports", "open-loop", "search", "comparison"] {
        let text = fs::read(seeds.join(name).with_extension("json")).expect("a seed");
        let document: Value = serde_json::from_slice(&text).expect("a document");
        let mut texts = Vec::new();
        pointers(&document, String::new(), &mut texts);
        assert!(texts.len() > 20, "{name} has texts");
        for pointer in texts {
            for hostile in ["\u{1b}[2J", "\u{202e}a\u{2028}", "a|b\n\n# c", "```\n`"] {
                let mut document = document.clone();
                *document.pointer_mut(&pointer).expect("it was there") = hostile.into();
                // Captured, and shown when the target panics.
                println!("{name}{pointer}: {hostile:?}");
                fuzz::documents::run(document.to_string().as_bytes());
            }
        }
    }
}

/// The JSON pointer of each text within a value.
fn pointers(value: &Value, at: String, texts: &mut Vec<String>) {
    match value {
        Value::String(_) => texts.push(at),
        Value::Array(values) => {
            values
                .iter()
                .enumerate()
                .for_each(|(n, one)| pointers(one, format!("{at}/{n}"), texts));
        }
        Value::Object(members) => members.iter().for_each(|(name, one)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            pointers(one, format!("{at}/{name}"), texts);
        }),
        _ => {}
    }
}
