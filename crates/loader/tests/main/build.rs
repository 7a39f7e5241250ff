//! Builds the plugin files that the tests load, each once per run of the test binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use strait_loader::{HostServices, Plugin};
use tempfile::TempDir;

pub(crate) const HOST: HostServices = HostServices { threads: 3 };

/// Folder for everything that tests leave behind, inside the target folder.
pub(crate) fn target_tmp() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap()
}

/// The hostile plugin as everyone would build it.
pub(crate) fn hostile() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        // Not the folder of the running tests: a build with other features would replace the
        // libraries that they link.
        let target = target_tmp().join("plugins");
        cargo(repository(), &target, &["build", "--release", "--package", "strait-hostile"]);
        target.join("release/libstrait_hostile.so")
    })
}

/// The hostile plugin with `panic = "abort"` in its profile.
pub(crate) fn hostile_abort() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let target = target_tmp().join("abort");
        let profile = "profile.release.panic=\"abort\"";
        let package = ["--package", "strait-hostile"];
        let arguments = ["build", "--release", "--config", profile, package[0], package[1]];
        cargo(repository(), &target, &arguments);
        target.join("release/libstrait_hostile.so")
    })
}

/// Runs cargo without a network and fails the test with its output.
pub(crate) fn cargo(folder: &Path, target: &Path, arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(folder)
        .args(arguments)
        .arg("--offline")
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo {arguments:?} in {}:\n{}",
        folder.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A copy of the hostile plugin in a folder of its own, with its bytes changed by `change`.
pub(crate) fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> (TempDir, PathBuf) {
    let mut bytes = std::fs::read(hostile()).unwrap();
    change(&mut bytes);
    file(name, &bytes)
}

/// A file in a folder of its own.
pub(crate) fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The hostile plugin, loaded once for all tests that only call it.
pub(crate) fn plugin() -> Arc<Plugin> {
    static PLUGIN: OnceLock<Arc<Plugin>> = OnceLock::new();
    let open = || Arc::new(Plugin::open(hostile(), None, HOST).unwrap());
    Arc::clone(PLUGIN.get_or_init(open))
}
