//! What a cell was measured with, and how two such environments differ.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cell was measured with. None of it is part of the identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Version of strait.
    pub strait: String,
    /// Version of burn, which runs the model.
    pub burn: String,
    /// Operating system and architecture, `linux x86_64`.
    pub os: String,
    /// Name of the processor.
    pub cpu: String,
    /// Device of the stages: `cpu`, `cuda:0 NVIDIA L4`; several are separated by commas.
    pub device: String,
    /// Why `auto` took the CPU although there is a GPU's driver; absent if that was not so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<String>,
    /// Threads of the model and the codecs.
    pub threads: usize,
    /// Commit of git that strait was built from; absent where it was built without git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether the sources differed from that commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// The compiler that strait was built with, `rustc 1.95.0 (…)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rustc: Option<String>,
    /// Features of the processor by which kernels are chosen (`avx2`, `avx512f`, `amx_bf16`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu_features: Vec<String>,
    /// Vector instructions that the model's kernels on the CPU used: `amx`, `avx512`, `avx2`, `neon` or `scalar`; absent
    /// where no stage ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_kernels: Option<String>,
    /// Folder that plugins came from, as the experiment file says; absent where none were needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins_dir: Option<PathBuf>,
    /// Windows that went through the model in one pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_windows: Option<usize>,
    /// Whether layers were read each time they ran instead of being kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub streaming: bool,
}

/// Consecutive windows that were measured under one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsEnvironment {
    /// The first of them.
    pub first: usize,
    /// The last of them.
    pub last: usize,
    /// What they were measured with.
    pub environment: Environment,
}

impl Environment {
    /// What is another in `other`, by name, with both values in words. What a record of an earlier release does not say
    /// is no difference.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        let pairs = self.facts().into_iter().zip(other.facts());
        let known = pairs.filter_map(|((name, a), (_, b))| Some((name, a?, b?)));
        known.filter(|(_, a, b)| a != b).collect()
    }

    /// Every fact that can bear on a digit, in words; `None` where it is not known.
    fn facts(&self) -> [(&'static str, Option<String>); 11] {
        let source = self.commit.as_ref().map(|commit| {
            let short: String = commit.chars().take(12).collect();
            if self.dirty == Some(true) { format!("{short} with changes") } else { short }
        });
        let features = Some(self.cpu_features.join(" ")).filter(|features| !features.is_empty());
        let held = if self.streaming { "read for each pass" } else { "kept" };
        [
            ("strait", Some(self.strait.clone())),
            ("commit", source),
            ("burn", Some(self.burn.clone())),
            ("rustc", self.rustc.clone()),
            ("os", Some(self.os.clone())),
            ("cpu", Some(self.cpu.clone())),
            ("cpu features", features),
            ("cpu kernels", self.cpu_kernels.clone()),
            ("device", Some(self.device.clone())),
            ("threads", Some(self.threads.to_string())),
            ("weights", Some(held.to_owned()).filter(|_| self.batch_windows.is_some())),
        ]
    }
}

/// A warning where windows were measured under different environments: which, and what changed.
pub(super) fn warning(environments: &[WindowsEnvironment]) -> Option<String> {
    let changes = environments.windows(2).map(|pair| {
        let differences = pair[0].environment.differences(&pair[1].environment);
        let differences = differences.iter().map(|(name, a, b)| format!("{name} {a}, then {b}"));
        let what = differences.collect::<Vec<_>>().join("; ");
        format!("from window {} on {what}", pair[1].first)
    });
    let changes: Vec<String> = changes.collect();
    let first = "its windows were not all measured under one environment";
    (!changes.is_empty()).then(|| format!("{first}: {}", changes.join("; ")))
}
