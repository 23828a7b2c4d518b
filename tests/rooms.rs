//! The rooms of `src/` are one-way: the engine knows nothing of plans, reports, findings or commands.

use std::fs;
use std::path::Path;

/// What a room may use, beside itself.
const MAY_USE: [(&str, &[&str]); 1] = [("engine", &["kernel", "statistics", "words"])];

#[test]
fn no_room_knows_what_stands_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, below) in MAY_USE {
        let mut files = 0;
        visit(&src.join(room), &mut |path, text| {
            files += 1;
            for (number, line) in text.lines().enumerate() {
                // What a comment refers to is not used.
                let code = line.split("//").next().unwrap_or_default();
                for used in code.split("crate::").skip(1) {
                    let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                    let used = used.unwrap_or_default();
                    let allowed = used == room || below.contains(&used);
                    assert!(allowed, "{}:{}: {room} uses {used}", path.display(), number + 1);
                }
            }
        });
        assert!(files > 10, "{room} has {files} files: it was not read");
    }
}

fn visit(directory: &Path, see: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).expect("a room") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, see);
        } else {
            see(&path, &fs::read_to_string(&path).expect("a source file"));
        }
    }
}
