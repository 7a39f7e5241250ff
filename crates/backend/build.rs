//! Gives this crate the name of the build: host and library must agree on it, because what they exchange are plain Rust
//! types. It names the compiler and a hash of the sources that define those types.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

/// The folders and files that define what crosses, seen from this crate. Some are missing in a published package, which its
/// version names instead.
const SOURCES: [&str; 4] = ["src", "../ops/src", "../vocabulary/src", "../../Cargo.lock"];

fn main() {
    let mut files = BTreeMap::new();
    for source in SOURCES {
        let path = Path::new(source);
        if path.exists() {
            println!("cargo::rerun-if-changed={source}");
            read(path, &mut files);
        }
    }
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    let variable = |name| std::env::var(name).unwrap_or_default();
    let rustc = Command::new(variable("RUSTC")).arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!(
        "cargo::rustc-env=STRAIT_BACKEND_BUILD={} {} {} {:016x}",
        variable("CARGO_PKG_VERSION"),
        rustc.unwrap_or_default(),
        variable("TARGET"),
        hasher.finish()
    );
}

fn read(path: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            read(&entry.path(), files);
        }
    } else if let Ok(bytes) = std::fs::read(path) {
        files.insert(path.display().to_string(), bytes);
    }
}
