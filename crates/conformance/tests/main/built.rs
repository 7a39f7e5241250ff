//! The plugins of this repository as built files.

use std::path::{Path, PathBuf};
use std::process::Command;

use strait_conformance::{CHECKS, check_library};

/// Builds the four plugins, in the target folder and profile of this test, and returns the folder of
/// their files.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<test>
    let folder = test.ancestors().nth(2).unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--lib", "--profile", profile, "--target-dir"]);
    cargo.arg(folder.parent().unwrap());
    for plugin in ["raw", "cast", "affine", "blockfloat"] {
        cargo.args(["--package", &format!("strait-{plugin}")]);
    }
    assert!(cargo.status().unwrap().success(), "building the plugins failed");
    folder.to_path_buf()
}

#[test]
fn every_plugin_of_this_repository_passes_as_a_file() {
    let folder = built();
    for plugin in ["raw", "cast", "affine", "blockfloat"] {
        let file = format!(
            "{}strait_{plugin}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        let report = check_library(&folder.join(file)).unwrap();
        report.assert_passed();
        assert_eq!(report.outcomes.len(), CHECKS.len(), "{plugin}");
        assert!(report.outcomes.iter().all(|outcome| outcome.codec == plugin));
    }
}

#[test]
fn a_file_that_is_no_plugin_is_an_error() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(check_library(&file).unwrap_err().to_string().contains("Cargo.toml"));
    assert!(check_library(Path::new("no-such-file.so")).is_err());
}
