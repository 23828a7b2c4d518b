//! Every dependency may be passed on, and none is there twice: the lists are those of `deny.toml`,
//! which says why, and which cargo-deny reads as well.

use serde::Deserialize;
use spdx::{Expression, ParseMode};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The part of `deny.toml` that is checked here.
#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

/// A version that may be there beside another.
#[derive(Deserialize)]
struct Skip {
    /// `name@version`.
    #[serde(rename = "crate")]
    package: String,
}

/// What `cargo metadata` tells of a package.
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Nothing for what is not for tests or build scripts alone.
    kind: Option<String>,
    optional: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

fn deny() -> Deny {
    let text = include_str!("../deny.toml");
    toml::from_str(text).expect("deny.toml is well formed")
}

/// All packages of the workspace on this platform, those that only tests use included.
fn packages() -> Vec<Package> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"])
        .arg(platform)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("a document");
    metadata.packages
}

/// Whether the allowed licences are enough for the expression.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // Some still write MIT/Apache-2.0.
    let parsed = Expression::parse_mode(expression, ParseMode::LAX);
    parsed.is_ok_and(|parsed| {
        parsed.evaluate(|requirement| allowed.contains(&requirement.to_string()))
    })
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed: BTreeSet<String> = deny().licenses.allow.into_iter().collect();
    let packages = packages();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    for Package { name, version, license, .. } in packages {
        let license = license.unwrap_or_default();
        assert!(is_allowed(&license, &allowed), "{name} {version}: {license:?}; see deny.toml");
    }
}

#[test]
fn an_expression_is_read_as_it_is_meant() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "Zlib".to_owned()]);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("(MIT OR Apache-2.0) AND Zlib", true),
        ("Apache-2.0/MIT", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("", false),
        ("see the file", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn no_dependency_is_there_twice_without_a_reason() {
    let mut skipped: BTreeSet<String> =
        deny().bans.skip.into_iter().map(|skip| skip.package).collect();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Package { name, version, .. } in packages() {
        if !skipped.remove(&format!("{name}@{version}")) {
            versions.entry(name).or_default().push(version);
        }
    }
    let twice: Vec<_> = versions.into_iter().filter(|(_, versions)| versions.len() > 1).collect();
    assert!(twice.is_empty(), "more than one version of {twice:?}; see deny.toml");
    assert!(skipped.is_empty(), "deny.toml excuses what is not there: {skipped:?}");
}

/// A lock file.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    /// Names, with a version behind them where there is more than one.
    #[serde(default)]
    dependencies: Vec<String>,
}

const CURE: &str = "`cp Cargo.lock fuzz/ && cargo metadata --manifest-path fuzz/Cargo.toml` puts \
                    fuzz/Cargo.lock right";

fn lock(text: &str) -> Vec<Locked> {
    let lock: Lock = toml::from_str(text).expect("a lock file");
    lock.package
}

#[test]
fn the_fuzz_targets_are_built_from_the_same_versions() {
    let theirs = lock(include_str!("../fuzz/Cargo.lock"));
    let mut ours: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Locked { name, version, .. } in lock(include_str!("../Cargo.lock")) {
        ours.entry(name).or_default().insert(version);
    }
    for Locked { name, version, .. } in &theirs {
        let same = ours.get(name).is_none_or(|ours| ours.contains(version));
        assert!(same, "{name} {version} is not what ringshot is built from; {CURE}");
    }
}

#[test]
fn the_fuzz_targets_know_what_ringshot_depends_on() {
    for name in ["ringshot", "bench-server"] {
        let ours = packages().into_iter().find(|package| package.name == name).expect(name);
        let needed: BTreeSet<String> = ours
            .dependencies
            .into_iter()
            .filter(|dependency| dependency.kind.is_none() && !dependency.optional)
            .map(|dependency| dependency.name)
            .collect();
        let theirs = lock(include_str!("../fuzz/Cargo.lock"));
        let theirs = theirs.into_iter().find(|package| package.name == name).expect(name);
        let first = |text: &String| text.split(' ').next().unwrap_or_default().to_owned();
        let known: BTreeSet<String> = theirs.dependencies.iter().map(first).collect();
        assert_eq!(known, needed, "{name}: {CURE}");
    }
}
