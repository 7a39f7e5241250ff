//! The quantization of a whole checkpoint, decided once from its configuration.

use std::path::Path;

use serde_json::Value;

use super::config::{self, Section};
use super::parts::Module;
use super::{Plan, WeightsError, awq, bitsandbytes, block_fp8, compressed_tensors, gptq, modelopt};
use crate::tensor::StoredTensor;

/// The methods that can be read, as messages list them.
const METHODS: &str = "compressed-tensors, modelopt, fp8, gptq, awq, bitsandbytes";

/// Ends of names that only quantized checkpoints have.
const MARKS: [&str; 6] = [
    ".weight_packed",
    ".qweight",
    ".weight_scale",
    ".weight_scale_inv",
    ".SCB",
    ".weight.quant_map",
];

/// How weights are quantized.
pub(super) enum Scheme {
    /// They are not.
    None,
    CompressedTensors(compressed_tensors::Config),
    ModelOpt(modelopt::Config),
    BlockFp8(block_fp8::Config),
    Gptq(gptq::Config),
    Awq(awq::Config),
    BitsAndBytes,
}

impl Scheme {
    /// Reads `quantization_config`. Without one, tensors of quantized weights are refused: their meaning is unknown.
    pub(super) fn new(
        path: &Path,
        model: &Value,
        tensors: &[StoredTensor],
    ) -> Result<Self, WeightsError> {
        let Some((key, value)) = model.as_object().and_then(config::section_of) else {
            return match tensors
                .iter()
                .find(|tensor| MARKS.iter().any(|mark| tensor.info.name.ends_with(mark)))
            {
                None => Ok(Self::None),
                Some(tensor) => Err(WeightsError::QuantizationConfig {
                    path: path.to_path_buf(),
                    key: "quantization_config".to_owned(),
                    expected: "an object in config.json that says what the quantized tensors mean"
                        .to_owned(),
                    found: format!("none, but a tensor \"{}\"", tensor.info.name),
                }),
            };
        };
        let section = Section::new(path, key, value)?;
        let method = section.text("quant_method")?;
        Ok(match method {
            // Older files of compressed-tensors name no method.
            Some("compressed-tensors") => {
                Self::CompressedTensors(compressed_tensors::Config::parse(&section)?)
            }
            None if section.get("config_groups").is_some() => {
                Self::CompressedTensors(compressed_tensors::Config::parse(&section)?)
            }
            Some("modelopt" | "modelopt_fp4" | "modelopt_mixed") => {
                Self::ModelOpt(modelopt::Config::parse(&section, model)?)
            }
            Some("fp8") => Self::BlockFp8(block_fp8::Config::parse(&section, model)?),
            Some("gptq") => Self::Gptq(gptq::Config::parse(&section)?),
            Some("awq") => Self::Awq(awq::Config::parse(&section)?),
            Some("bitsandbytes") => Self::BitsAndBytes,
            other => {
                let found = other.map_or("nothing".to_owned(), |other| format!("\"{other}\""));
                return Err(section.bad("quant_method", METHODS, &found));
            }
        })
    }

    /// What `module`'s tensors make, if it is quantized.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        match self {
            Self::None => Ok(None),
            Self::CompressedTensors(config) => config.plan(module),
            Self::ModelOpt(config) => config.plan(module),
            Self::BlockFp8(config) => config.plan(module),
            Self::Gptq(config) => config.plan(module),
            Self::Awq(config) => config.plan(module),
            Self::BitsAndBytes => bitsandbytes::plan(module),
        }
    }
}
