//! Checks that every dependency comes from where `deny.toml` allows, under a licence that it allows.

use anyhow::{Context, Result};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use super::tree::Tree;
use super::{Violation, violation};
use crate::cargo;
use crate::workspace::Workspace;

const FILE: &str = "deny.toml";

/// The part of cargo-deny's file that is checked here. That program checks the rest.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Dependency>,
}

/// One package of the lock file.
#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    version: String,
    #[serde(default)]
    license: Option<String>,
    /// `registry+URL`; `None` for the workspace's own.
    #[serde(default)]
    source: Option<String>,
}

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Result<Vec<Violation>> {
    if !tree.exists(FILE) {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(workspace.root.join(FILE)).context("reading deny.toml")?;
    let output = cargo::command()
        .current_dir(&workspace.root)
        .args(["metadata", "--locked", "--format-version", "1"])
        .output()
        .context("cargo did not start")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata printed unexpected JSON")?;
    let deny = toml::from_str(&text).context("deny.toml")?;
    Ok(metadata.packages.iter().flat_map(|package| broken(&deny, package)).collect())
}

/// What a package breaks.
fn broken(deny: &Deny, package: &Dependency) -> Vec<Violation> {
    let name = format!("{} {}", package.name, package.version);
    let mut violations = Vec::new();
    let mut add =
        |what: String, mend: &str| violations.push(violation("Cargo.lock", 1, what, mend));
    if let Some(source) = &package.source {
        let registry = source.strip_prefix("registry+");
        if registry.is_none_or(|url| !deny.sources.allow_registry.iter().any(|known| known == url))
        {
            add(format!("{name} comes from {source}"), "depend on a release of crates.io");
        }
    }
    if deny.bans.deny.contains(&package.name) {
        add(format!("{name} is banned in {FILE}"), "turn off the feature that brings it");
    }
    let license = package.license.as_deref().unwrap_or("none");
    let allowed = Expression::parse_mode(license, ParseMode::LAX).is_ok_and(|expression| {
        expression.evaluate(|wanted| is_allowed(deny, &wanted.to_string()))
    });
    if !allowed {
        let mend = "choose another crate, or allow the licence in deny.toml if it suits MIT and Apache-2.0";
        add(format!("{name} has the licence {license}"), mend);
    }
    violations
}

fn is_allowed(deny: &Deny, license: &str) -> bool {
    deny.licenses.allow.iter().any(|known| known == license)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, license: Option<&str>, source: Option<&str>) -> Vec<String> {
        let deny: Deny = toml::from_str(
            "[licenses]\nallow = ['MIT', 'Apache-2.0 WITH LLVM-exception', 'Unicode-3.0']\n\
             [bans]\ndeny = ['openssl-sys']\n[sources]\nallow-registry = ['https://crates']",
        )
        .unwrap();
        let package = Dependency {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        broken(&deny, &package).iter().map(|violation| violation.what.clone()).collect()
    }

    #[test]
    fn licences_are_expressions() {
        let fine = [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
        ];
        for license in fine {
            assert_eq!(found("a", Some(license), None), [""; 0], "{license}");
        }
        for license in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "Apache-2.0", "Mine"] {
            assert_eq!(
                found("a", Some(license), None),
                [format!("a 1.0.0 has the licence {license}")]
            );
        }
        assert_eq!(found("a", None, None), ["a 1.0.0 has the licence none"]);
    }

    #[test]
    fn sources_and_names_are_those_of_the_file() {
        let of = |name, source| found(name, Some("MIT"), Some(source));
        assert_eq!(of("a", "registry+https://crates"), [""; 0]);
        assert_eq!(of("a", "git+https://x/y"), ["a 1.0.0 comes from git+https://x/y"]);
        assert_eq!(
            of("a", "registry+https://other"),
            ["a 1.0.0 comes from registry+https://other"]
        );
        let banned = of("openssl-sys", "registry+https://crates");
        assert_eq!(banned, ["openssl-sys 1.0.0 is banned in deny.toml"]);
    }
}
