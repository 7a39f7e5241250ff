//! Tells the binary which commit it is built from, whether the sources differ from it, and which compiler builds it, so
//! that every record can say so. Without git, or outside of a checkout, the binary does not know, and builds all the same.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(rustc) = output(&std::env::var("RUSTC").unwrap_or_default(), &["--version"]) {
        println!("cargo::rustc-env=STRAIT_RUSTC={rustc}");
    }
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return };
    println!("cargo::rustc-env=STRAIT_COMMIT={commit}");
    let sources = ["--", "../../crates", "../../Cargo.toml", "../../Cargo.lock"];
    let status = [&["status", "--porcelain", "--untracked-files=no"], &sources[..]].concat();
    if let Some(changes) = git(&status) {
        println!("cargo::rustc-env=STRAIT_DIRTY={}", !changes.is_empty());
    }
    watch();
}

/// What changes the answers: another commit, another branch, another source. A file that is not there would run this
/// script at every build.
fn watch() {
    let mut watched = vec!["../../Cargo.toml".to_owned(), "../../Cargo.lock".to_owned()];
    let of_git = ["HEAD", "refs/heads", "packed-refs"];
    watched.extend(of_git.iter().filter_map(|name| git(&["rev-parse", "--git-path", name])));
    for entry in std::fs::read_dir("..").into_iter().flatten().flatten() {
        watched.push(entry.path().join("src").display().to_string());
    }
    for path in watched.iter().filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What git says, without touching its index.
fn git(arguments: &[&str]) -> Option<String> {
    output("git", &[&["--no-optional-locks"], arguments].concat())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
