//! The seeds of the fuzz targets, and the inputs that once broke something, go through the targets'
//! functions: so they never rot, and nothing that was mended breaks again. What finds new ones is in
//! `fuzz/`.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

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
