//! The plugins of this repository as built files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use strait_conformance::{CHECKS, PRESS_CHECKS, check_library};

/// The plugins, each with the codecs in its file.
const PLUGINS: [(&str, &[&str]); 12] = [
    ("raw", &["raw"]),
    ("cast", &["cast"]),
    ("affine", &["affine"]),
    ("blockfloat", &["blockfloat", "mx", "nvfp4"]),
    ("ggml", &["ggml"]),
    ("hivemind", &["hivemind"]),
    ("hqq", &["hqq"]),
    // These have other codecs inside, from the files above.
    ("hadamard", &["hadamard", "exl3"]),
    ("outlier", &["outlier.columns", "outlier.tokens", "outlier.values"]),
    ("delta", &["delta"]),
    ("importance", &["mixed", "channels"]),
    ("lowrank", &["lowrank", "pca"]),
];

/// Builds the plugins and returns the folder of their files.
///
/// In a target folder of its own: a library that is both cdylib and rlib has no hash in its name, so
/// another choice of packages, with other features, would replace the one that tests link.
fn built() -> PathBuf {
    static ONCE: OnceLock<PathBuf> = OnceLock::new();
    ONCE.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--release", "--offline", "--lib", "--target-dir"]);
    cargo.arg(&target);
    let presses = PRESSES.iter().map(|(plugin, _)| *plugin);
    for plugin in PLUGINS.iter().map(|(plugin, _)| *plugin).chain(presses) {
        cargo.args(["--package", &format!("strait-{plugin}")]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("release")
}

/// Plugins with the presses in their files.
const PRESSES: [(&str, usize); 4] = [
    ("presses-attention", 6),
    ("presses-basic", 6),
    ("presses-compactor", 3),
    ("presses-expected", 2),
];

#[test]
fn every_press_of_this_repository_passes_as_a_file() {
    let folder = built();
    for (plugin, presses) in PRESSES {
        let name = format!("strait_{}", plugin.replace('-', "_"));
        let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let report = check_library(&folder.join(format!("{prefix}{name}{suffix}"))).unwrap();
        report.assert_passed();
        assert_eq!(report.outcomes.len(), presses * PRESS_CHECKS.len(), "{plugin}");
    }
}

#[test]
fn every_plugin_of_this_repository_passes_as_a_file() {
    let folder = built();
    for (plugin, codecs) in PLUGINS {
        let file = format!(
            "{}strait_{plugin}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        let report = check_library(&folder.join(file)).unwrap();
        report.assert_passed();
        assert_eq!(report.outcomes.len(), codecs.len() * CHECKS.len(), "{plugin}");
        let known = |codec: &str| codecs.contains(&codec);
        assert!(report.outcomes.iter().all(|outcome| known(&outcome.codec)), "{plugin}");
    }
}

#[test]
fn a_file_that_is_no_plugin_is_an_error() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(check_library(&file).unwrap_err().to_string().contains("Cargo.toml"));
    assert!(check_library(Path::new("no-such-file.so")).is_err());
}
