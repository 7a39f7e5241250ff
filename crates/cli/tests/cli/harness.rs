//! A folder for one test with plugins, an experiment file, and the binary under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Builds the plugins once and returns the folder that holds their libraries.
fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Not the folder of the running tests: a build with other features would replace the
        // libraries that they link.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
        for id in [
            "raw",
            "cast",
            "affine",
            "blockfloat",
            "hostile",
            "presses-basic",
            "presses-attention",
            "presses-compactor",
            "presses-expected",
            "hqq",
            "lowrank",
            "importance",
        ] {
            let output = Command::new(env!("CARGO"))
                .current_dir(root())
                .args(["build", "--release", "--locked", "--offline", "--lib", "--package"])
                .arg(format!("strait-{id}"))
                .env("CARGO_TARGET_DIR", &target)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        target.join("release")
    })
}

/// A folder of its own for one test.
pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    /// With the libraries of these plugins in `plugins/`.
    pub(crate) fn new(plugins: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("plugins")).unwrap();
        for id in plugins {
            let name = format!("libstrait_{}.so", id.replace('-', "_"));
            std::fs::copy(libraries().join(&name), dir.path().join("plugins").join(&name)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes `test.toml`: the small model on a short text, followed by `more`.
    pub(crate) fn experiment(&self, more: &str) {
        let model = root().join("assets/models/wiki-4m");
        let text = format!(
            "name = \"test\"\n\
             [model]\nsource = {model:?}\ndevice = \"cpu\"\n\
             [data]\nsource = \"wikitext-2-raw\"\nfirst_k_tokens = 1500\n\
             [protocol]\nwindow = 256\nstride = 128\n{more}"
        );
        self.write("test.toml", &text);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// `strait …` in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strait"));
        command.current_dir(self.path()).args(arguments).env("NO_COLOR", "1");
        command
    }

    /// `strait run test.toml …`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let assets = root().join("assets");
        let assets = assets.to_str().unwrap();
        let all = [&["run", "test.toml", "--assets", assets], arguments].concat();
        self.command(&all).output().unwrap()
    }

    /// Runs and expects success; returns what went to standard error.
    pub(crate) fn run_ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?}\n{stderr}", output.status);
        stderr
    }

    /// Runs `strait …`, expects success, and gives the largest resident set that was seen, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_kib(&self, arguments: &[&str]) -> usize {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
            peak = peak.max(kib.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(child.wait().unwrap().success());
        peak
    }

    /// The records of an experiment's folder by label.
    pub(crate) fn records(&self, folder: &str) -> Vec<(String, Value)> {
        let mut records: Vec<(String, Value)> = std::fs::read_dir(self.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| {
                let record: Value =
                    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                (record["label"].as_str().unwrap().to_owned(), record)
            })
            .collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        records
    }

    pub(crate) fn record(&self, folder: &str, label: &str) -> Value {
        let records = self.records(folder);
        let found = records.iter().find(|(name, _)| name == label);
        found.unwrap_or_else(|| panic!("no record {label:?} in {records:?}")).1.clone()
    }
}

/// The sum of negative log-likelihoods of every window, exactly as stored.
pub(crate) fn nll(record: &Value) -> Vec<String> {
    let windows = record["windows"].as_array().unwrap();
    windows.iter().map(|window| window["sums"]["a"].to_string()).collect()
}
