//! Nested cargo calls: always the release profile, artifacts found from cargo's own messages.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::workspace::{Package, Workspace};

/// Whether `Cargo.lock` may change: it may while an author adds a plugin, never in the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    MayChange,
    Locked,
}

/// What to take from a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    /// The shared library of a plugin.
    SharedLibrary,
    /// The program of a binary crate.
    Program,
}

/// The cargo that started this process, otherwise the one in `PATH`.
pub(crate) fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds one package in the release profile and returns the path of its product.
///
/// A library is built by itself: features of packages built together would be merged, and the same
/// source would give different bytes depending on its neighbours. A program has the features that the
/// tests give it, so that its dependencies are compiled once for both.
pub(crate) fn build(
    workspace: &Workspace,
    package: &Package,
    product: Product,
    lock: Lock,
) -> Result<PathBuf> {
    let mut cargo = command();
    cargo.current_dir(&workspace.root).args(["build", "--release"]);
    cargo.args(selection(&package.name, product));
    if lock == Lock::Locked {
        cargo.arg("--locked");
    }
    let found = |line: &str| product_path(line, &package.manifest_path, product);
    let path = last_found(cargo, found).with_context(|| format!("building {}", package.name))?;
    path.with_context(|| match product {
        Product::SharedLibrary => format!(
            "{} built no shared library; its Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]",
            package.name
        ),
        Product::Program => format!("{} built no program", package.name),
    })
}

/// The arguments that select a product.
pub(crate) fn selection(package: &str, product: Product) -> Vec<&str> {
    match product {
        Product::SharedLibrary => vec!["--package", package, "--lib"],
        Product::Program => vec!["--workspace", "--bin", package],
    }
}

/// Builds a package's integration test as `cargo test --workspace` does and returns its program.
pub(crate) fn build_test(workspace: &Workspace, package: &Package, test: &str) -> Result<PathBuf> {
    let mut cargo = command();
    cargo.current_dir(&workspace.root).args(["test", "--release", "--locked", "--workspace"]);
    cargo.args(["--no-run", "--test", test]);
    let found = |line: &str| product_path(line, &package.manifest_path, Product::Program);
    let path = last_found(cargo, found).with_context(|| format!("building the test {test}"))?;
    path.with_context(|| format!("{} has no test {test}", package.name))
}

/// Runs a build and returns the last path that `found` extracts from cargo's messages.
fn last_found(
    mut cargo: Command,
    found: impl Fn(&str) -> Option<PathBuf>,
) -> Result<Option<PathBuf>> {
    let mut child = cargo
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo did not start")?;
    let mut last = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            last = found(&line.context("reading cargo's messages")?).or(last);
        }
    }
    if !child.wait().context("waiting for cargo")?.success() {
        bail!("cargo failed; its messages are above");
    }
    Ok(last)
}

#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// The product's path if this line of cargo's output announces it.
fn product_path(line: &str, manifest: &Path, product: Product) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    if message.reason != "compiler-artifact" || message.manifest_path != manifest {
        return None;
    }
    match product {
        Product::Program => message.executable,
        Product::SharedLibrary => message.filenames.into_iter().find(|file| {
            file.extension().is_some_and(|found| found == std::env::consts::DLL_EXTENSION)
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn artifact(manifest: &str) -> String {
        json!({
            "reason": "compiler-artifact",
            "manifest_path": manifest,
            "filenames": [
                "/t/release/libstrait_raw.rlib",
                format!("/t/release/libstrait_raw.{}", std::env::consts::DLL_EXTENSION),
            ],
            "executable": "/t/release/strait",
        })
        .to_string()
    }

    #[test]
    fn the_product_is_read_from_the_packages_own_artifact() {
        let manifest = Path::new("/repo/plugins/raw/Cargo.toml");
        let own = artifact("/repo/plugins/raw/Cargo.toml");
        let library = product_path(&own, manifest, Product::SharedLibrary).unwrap();
        assert_eq!(library.extension().unwrap(), std::env::consts::DLL_EXTENSION);
        let program = product_path(&own, manifest, Product::Program).unwrap();
        assert_eq!(program, Path::new("/t/release/strait"));

        let other = artifact("/repo/plugins/cast/Cargo.toml");
        assert_eq!(product_path(&other, manifest, Product::SharedLibrary), None);
        let finished = r#"{"reason":"build-finished","success":true}"#;
        assert_eq!(product_path(finished, manifest, Product::SharedLibrary), None);
        assert_eq!(product_path("not JSON", manifest, Product::Program), None);
    }
}
