//! Checks that tests do not ask for more features than the workspace without them.
//!
//! Cargo unifies the features requested by the packages of one command. If a dev-dependency enabled
//! one more feature below burn, `cargo test --workspace` would compile burn a second time after
//! `cargo build --workspace`, which takes many minutes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::{Violation, violation};
use crate::cargo;
use crate::workspace::Workspace;

const HOST: &str = "strait";

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    if workspace.packages.iter().all(|package| package.name != HOST) {
        return Ok(Vec::new());
    }
    let builds = tree(workspace, &["--workspace", "--edges", "normal,build"])?;
    let tests = tree(workspace, &["--workspace", "--edges", "normal,build,dev"])?;
    Ok(compare(&builds, &tests))
}

/// Lists one `name version|features` per line.
fn tree(workspace: &Workspace, selection: &[&str]) -> Result<String> {
    let output = cargo::command()
        .current_dir(&workspace.root)
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}|{f}"])
        .args(selection)
        .output()
        .context("cargo did not start")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("cargo tree printed something else than text")
}

fn compare(builds: &str, tests: &str) -> Vec<Violation> {
    let builds = feature_sets(builds);
    let tests = feature_sets(tests);
    let mut violations = Vec::new();
    for (package, sets) in &builds {
        let Some(known) = tests.get(package) else { continue };
        for features in sets.difference(known) {
            let known: Vec<_> = known.iter().map(|set| format!("[{set}]")).collect();
            let what = format!(
                "{package} has the features [{features}] in builds but {} in the tests",
                known.join(" and ")
            );
            let mend = "so what uses it is compiled twice: ask for the same features in a crate \
                        of the host";
            violations.push(violation("Cargo.lock", 1, what, mend));
        }
    }
    violations
}

/// The feature sets of each package; a package may be built for the host and for build scripts.
fn feature_sets(tree: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut sets: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in tree.lines() {
        let line = line.strip_suffix(" (*)").unwrap_or(line);
        if let Some((package, features)) = line.rsplit_once('|') {
            sets.entry(package).or_default().insert(features);
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_features_and_extra_packages_pass() {
        let builds = "burn v0.21.0|std\nserde v1.0.1|derive,std\nserde v1.0.1|std (*)\n\n";
        let tests =
            "criterion v0.8.0|\nburn v0.21.0|std\nserde v1.0.1|std\nserde v1.0.1|derive,std\n";
        assert_eq!(compare(builds, tests), []);
    }

    #[test]
    fn one_more_feature_in_the_tests_is_seen() {
        let builds = "ciborium v0.2.2|std\nburn v0.21.0|std (*)\n";
        let tests = "burn v0.21.0|std\nciborium v0.2.2|default,std\n";
        let found = compare(builds, tests);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "Cargo.lock:1: ciborium v0.2.2 has the features [std] in builds but [default,std] \
             in the tests; so what uses it is compiled twice: ask for the same features in a \
             crate of the host"
        );
    }
}
