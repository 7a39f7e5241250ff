//! An author's first minutes, in a workspace outside the repository: generate a plugin, run its
//! conformance tests, build it, and find the library in place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

const ID: &str = "first-steps";

/// A workspace with this repository's settings, whose own crates lie in the repository. It holds
/// one plugin, as the repository does before an author adds another.
fn write_workspace(root: &Path, repository: &Path) {
    let manifest = fs::read_to_string(repository.join("Cargo.toml")).unwrap();
    let mut manifest: toml::Table = manifest.parse().unwrap();
    let members = toml::Value::try_from(["plugins/*"]).unwrap();
    let workspace = manifest["workspace"].as_table_mut().unwrap();
    workspace.insert("members".to_owned(), members);
    for (_, dependency) in workspace["dependencies"].as_table_mut().unwrap().iter_mut() {
        let Some(path) = dependency.get_mut("path") else { continue };
        let absolute = repository.join(path.as_str().unwrap());
        *path = toml::Value::from(absolute.to_str().unwrap());
    }
    fs::create_dir_all(root.join("plugins/raw/src")).unwrap();
    for file in ["plugins/raw/Cargo.toml", "plugins/raw/src/lib.rs"] {
        fs::copy(repository.join(file), root.join(file)).unwrap();
    }
    fs::write(root.join("Cargo.toml"), manifest.to_string()).unwrap();
    for file in ["rustfmt.toml", "clippy.toml"] {
        fs::copy(repository.join(file), root.join(file)).unwrap();
    }
    // The same versions of everything; cargo drops what is not needed.
    fs::copy(repository.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
}

/// Runs the command in the workspace and returns what it printed.
fn output_of(command: &mut Command, root: &Path) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugin");
    let output =
        command.current_dir(root).env("CARGO_TARGET_DIR", target).output().expect("it starts");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}:\n{text}");
    text
}

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments);
    command
}

#[test]
fn a_generated_plugin_passes_conformance_and_builds() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_workspace(root, repository);

    let said = output_of(&mut xtask(&["new-plugin", ID]), root);
    assert!(said.contains("cargo xtask build-plugin first-steps"), "{said}");
    assert!(root.join("plugins/first-steps/src/lib.rs").is_file());

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tests = output_of(
        Command::new(&cargo).args(["test", "--release", "-p", "strait-first-steps"]),
        root,
    );
    let passed: usize = tests.matches(" ... ok").count();
    assert!(passed >= 5, "expected the conformance tests to run:\n{tests}");

    let formatting = ["fmt", "-p", "strait-first-steps", "--", "--check"];
    output_of(Command::new(&cargo).args(formatting), root);
    let lints = ["clippy", "--release", "-p", "strait-first-steps", "--all-targets"];
    output_of(Command::new(&cargo).args(lints).args(["--", "-D", "warnings"]), root);

    let said = output_of(&mut xtask(&["build-plugin", ID]), root);
    let library = format!("libstrait_first_steps{}", std::env::consts::DLL_SUFFIX);
    assert!(said.contains(&library), "{said}");
    let bytes = fs::metadata(root.join("plugins").join(&library)).unwrap().len();
    assert!(said.contains(&format!("{bytes} bytes")), "{said}");

    let again = xtask(&["new-plugin", ID]).current_dir(root).output().unwrap();
    assert!(!again.status.success());
    let refused = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(refused.contains("plugins/first-steps exists already"), "{refused}");
}
