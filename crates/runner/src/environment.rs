//! What a run is measured with.

use strait_schema::Environment;

/// The version of burn that the workspace pins.
const BURN: &str = "0.21.0";

/// What a binary was built from and with, as its build script found out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Build {
    /// Commit of git; `None` where it was built without git.
    pub commit: Option<&'static str>,
    /// Whether the sources differed from it.
    pub dirty: Option<bool>,
    /// What `rustc --version` says.
    pub rustc: Option<&'static str>,
}

/// Features of a processor by which kernels of strait, of its plugins or of the libraries below them are chosen, as Linux
/// names them.
const FEATURES: [&str; 12] = [
    "sse4_1",
    "avx",
    "f16c",
    "fma",
    "avx2",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
];

/// What does not depend on the experiment. Devices have been opened.
pub(crate) fn environment(threads: usize, build: &Build) -> Environment {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Environment {
        strait: env!("CARGO_PKG_VERSION").to_owned(),
        burn: BURN.to_owned(),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: of_first(&info, "model name").unwrap_or("unknown").to_owned(),
        passed_over: strait_model::passed_over().map(str::to_owned),
        threads,
        commit: build.commit.map(str::to_owned),
        dirty: build.dirty,
        rustc: build.rustc.map(str::to_owned),
        cpu_features: features(&info),
        ..Environment::default()
    }
}

/// What `/proc/cpuinfo` says of the first processor.
fn of_first<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    let value = info.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'));
    value.map(|(_, value)| value.trim())
}

fn features(info: &str) -> Vec<String> {
    let flags: Vec<&str> = of_first(info, "flags").unwrap_or_default().split(' ').collect();
    FEATURES.iter().filter(|feature| flags.contains(feature)).map(|&name| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{BURN, features, of_first};

    #[test]
    fn name_and_features_are_those_of_the_first_processor() {
        let info = "processor\t: 0\nmodel name\t: A B\nflags\t\t: fpu fma avx2 avx512fx\n\nmodel name\t: C\n";
        assert_eq!(of_first(info, "model name"), Some("A B"));
        assert_eq!(features(info), ["fma", "avx2"]);
        assert_eq!(features(""), [""; 0]);
    }

    #[test]
    fn the_version_of_burn_is_the_one_in_the_lock_file() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        assert!(lock.contains(&format!("name = \"burn-tensor\"\nversion = \"{BURN}\"\n")));
    }
}
