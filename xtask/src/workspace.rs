//! The workspace as `cargo metadata --no-deps` describes it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo;

/// A Cargo workspace: its root, its target folder and its members.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    pub(crate) target_directory: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One member of the workspace.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    #[serde(default)]
    pub(crate) metadata: serde_json::Value,
}

/// One line of a `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]` table.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, otherwise `"dev"` or `"build"`.
    #[serde(default)]
    pub(crate) kind: Option<String>,
}

/// One library, binary, test or benchmark of a package.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) crate_types: Vec<String>,
}

impl Workspace {
    /// Reads the workspace that the current directory belongs to.
    pub(crate) fn load() -> Result<Self> {
        let output = cargo::command()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cargo did not start")?;
        if !output.status.success() {
            bail!("cargo metadata failed; run this inside the repository");
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata printed unexpected JSON")
    }

    /// A package's folder relative to the root, with `/` between its parts.
    pub(crate) fn folder(&self, package: &Package) -> String {
        let folder = package.manifest_path.parent().unwrap_or(Path::new(""));
        let relative = folder.strip_prefix(&self.root).unwrap_or(folder);
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    }
}

impl Package {
    /// The names of the dependencies that end up in the built artifact, which excludes
    /// dev-dependencies.
    pub(crate) fn linked_dependencies(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
            .map(|dependency| dependency.name.as_str())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A package at `/repo/<folder>` with `(name, kind)` dependencies, for the rules' tests.
    pub(crate) fn package(name: &str, folder: &str, dependencies: &[(&str, &str)]) -> Package {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| match *kind {
                "normal" => json!({"name": name, "kind": null}),
                kind => json!({"name": name, "kind": kind}),
            })
            .collect();
        serde_json::from_value(json!({
            "name": name,
            "manifest_path": format!("/repo/{folder}/Cargo.toml"),
            "dependencies": dependencies,
            "targets": [{"kind": ["cdylib", "rlib"], "crate_types": ["cdylib", "rlib"]}],
            "metadata": null,
        }))
        .unwrap()
    }

    pub(crate) fn workspace(packages: Vec<Package>) -> Workspace {
        Workspace {
            root: PathBuf::from("/repo"),
            target_directory: PathBuf::from("/repo/target"),
            packages,
        }
    }

    #[test]
    fn a_folder_is_relative_to_the_root() {
        let workspace = workspace(vec![package("strait-raw", "plugins/raw", &[])]);
        assert_eq!(workspace.folder(&workspace.packages[0]), "plugins/raw");
    }

    #[test]
    fn dev_dependencies_are_not_linked() {
        let package = package("a", "crates/a", &[("x", "normal"), ("y", "dev"), ("z", "build")]);
        assert_eq!(package.linked_dependencies().collect::<Vec<_>>(), ["x", "z"]);
    }
}
