//! The experiment: the whole TOML file, with the lines its keys stand on.

mod cache;
mod cells;
mod check;
mod lines;
mod models;
mod parse;
mod partition;
mod paths;
mod plan;
mod sections;
mod side;
mod speed;
mod track;
mod validate;
mod write;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::cache::{CacheSection, CacheSpec, KvSection, OverrideSection, PressSection};
pub(crate) use self::cells::is_label;
pub use self::cells::{BASELINE_LABEL, CellSpec, NOISE_FLOOR_LABEL};
pub(crate) use self::lines::Lines;
pub use self::models::{ModelSection, Models, WeightsSection};
pub use self::partition::{Link, Partition};
pub use self::sections::{
    CompressorSection, DataSection, FitSection, MaxWindows, OutputSection, PartitionSection,
    PluginsSection, ProtocolSection, RunSection,
};
pub use self::side::{Aggregate, Metric, SideSection};
pub use self::speed::SpeedSection;
pub use self::track::{MlflowSection, TensorBoardSection, TrackSection, WandbSection};
use crate::{Place, SchemaError};

/// A strait experiment: one model, one text, one partition, and the codecs to compare on them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the experiment and of its folder under `results/`: lower-case letters, digits, `.`,
    /// `_` and `-`, beginning with a letter or digit.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]*$"))]
    pub name: String,
    /// The model and where it runs, or several of them (`[[model]]`): each is compared with the first.
    pub model: Models,
    /// The text that is scored.
    pub data: DataSection,
    /// How the text is cut into windows and which of their tokens are scored.
    #[serde(default)]
    pub protocol: ProtocolSection,
    /// Where the model is cut.
    #[serde(default)]
    pub partition: PartitionSection,
    /// Where the plugins are.
    #[serde(default)]
    pub plugins: PluginsSection,
    /// How the run is executed.
    #[serde(default)]
    pub run: RunSection,
    /// Where the results go.
    #[serde(default)]
    pub output: OutputSection,
    /// Which experiment trackers follow the run; none when left out.
    #[serde(default)]
    pub track: TrackSection,
    /// The codecs to compare with the baseline; none at all measures the baseline alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compressor: Vec<CompressorSection>,
    /// The text that codecs are calibrated with, for `strait fit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<FitSection>,
    /// How KV caches are compressed; for `[[cache]]`.
    #[serde(default)]
    pub kv: KvSection,
    /// Presses and codecs of the KV cache to compare with the baseline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<CacheSection>,
    /// Speed and memory of generation; not measured when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<SpeedSection>,
    /// Where each key stands in the file.
    #[serde(skip)]
    pub(crate) lines: Lines,
}

impl Experiment {
    /// The file this experiment was read from, as the caller named it.
    #[must_use]
    pub fn file(&self) -> &Path {
        Path::new(self.lines.file())
    }

    /// Where a key stands, by its path in the file: `model.source`, `compressor[0].params.bits`.
    /// For a key that is not written, the line of the nearest table around it.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        self.lines.place(key)
    }

    /// The line of a parameter of a compressor, in `params` or `sweep`; the compressor's own line
    /// if the parameter is not written.
    #[must_use]
    pub fn param_line(&self, compressor: usize, key: &str) -> usize {
        self.param_place(compressor, key).line
    }

    /// An error about a value of this file, for checks that need more than the file: the model's
    /// layers, the plugins, the devices.
    #[must_use]
    pub fn value_error(
        &self,
        key: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
        nearest: Option<String>,
    ) -> SchemaError {
        SchemaError::value(self.place(key), expected, found, nearest)
    }

    /// An error about a parameter of a compressor, as the plugin's parameter schema reports it.
    #[must_use]
    pub fn param_error(
        &self,
        compressor: usize,
        key: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
        nearest: Option<String>,
    ) -> SchemaError {
        SchemaError::value(self.param_place(compressor, key), expected, found, nearest)
    }

    fn param_place(&self, compressor: usize, key: &str) -> Place {
        let table = |name: &str| format!("compressor[{compressor}].{name}");
        let whole = Lines::join(&table("sweep"), key);
        let first = key.split('.').next().unwrap_or(key);
        let of_table = Lines::join(&table("sweep"), first);
        match [whole, of_table].iter().find(|swept| self.lines.has(swept)) {
            Some(swept) => self.place(swept),
            // A dot leads into the table of an inner codec.
            None => {
                self.place(&key.split('.').fold(table("params"), |t, key| Lines::join(&t, key)))
            }
        }
    }
}
