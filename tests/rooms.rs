//! The rooms of `src/` stand in one order, top to bottom, and a room knows only those below it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Top to bottom.
const ROOMS: [&str; 14] = [
    "commands",
    "pages",
    "compare",
    "search",
    "findings",
    "result",
    "observe",
    "preflight",
    "plan",
    "tuning",
    "engine",
    "statistics",
    "kernel",
    "words",
];

const ROOMS_MAX: usize = 18;

#[test]
fn a_room_knows_only_those_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut rooms, mut arrows, mut up) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    visit(&src, &mut |path, text| {
        let inside = path.strip_prefix(&src).expect("it is in src");
        let room = inside.iter().next().and_then(|name| name.to_str()).expect("a name");
        if ["main.rs", "lib.rs"].contains(&room) {
            return;
        }
        let room = room.trim_end_matches(".rs");
        rooms.insert(room.to_owned());
        for (number, line) in text.lines().enumerate() {
            // What a comment refers to is not used.
            let code = line.split("//").next().unwrap_or_default();
            for used in code.split("crate::").skip(1) {
                let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let used = used.unwrap_or_default();
                // A room that is not in the list, or `crate::{`, stands above all.
                if used != room && floor(used) <= floor(room) {
                    up.push(format!("{}:{}: {room} uses {used}", inside.display(), number + 1));
                }
                arrows.insert(format!("{room} -> {used}"));
            }
        }
    });
    arrows.retain(|arrow| arrow.split(" -> ").collect::<BTreeSet<_>>().len() > 1);
    println!("{} rooms, {} arrows, {} of them up", rooms.len(), arrows.len(), up.len());
    assert!(up.is_empty(), "arrows up:\n{}", up.join("\n"));
    assert_eq!(rooms, ROOMS.map(String::from).into(), "the list has every room, and no other");
    assert!(rooms.len() <= ROOMS_MAX, "{} rooms", rooms.len());
}

/// Tests apart, which make boxes of their own.
#[test]
fn only_the_kernel_s_room_reads_what_the_kernel_shows_as_files() {
    // The probe of the ring asks why there is none.
    const EXCEPT: [&str; 1] = ["engine/driver/uring/tier.rs"];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    visit(&src, &mut |path, text| {
        let inside = path.strip_prefix(&src).expect("it is in src");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let reads = ["\"/proc/", "\"/sys/"].iter().any(|folder| code.contains(folder));
        let may = inside.starts_with("kernel")
            || inside.ends_with("tests.rs")
            || EXCEPT.iter().any(|except| inside == Path::new(except));
        assert!(may || !reads, "{} reads /proc or /sys", inside.display());
    });
}

/// How many rooms from the top.
fn floor(room: &str) -> usize {
    ROOMS.iter().position(|known| *known == room).map_or(0, |at| at + 1)
}

fn visit(directory: &Path, see: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).expect("a room") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, see);
        } else if path.extension().is_some_and(|end| end == "rs") {
            see(&path, &fs::read_to_string(&path).expect("a source file"));
        }
    }
}
