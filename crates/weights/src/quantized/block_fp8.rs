//! FP8 with `weight_scale_inv` (DeepSeek-V3, Qwen3-FP8): one F32 scale for each block of a weight, or one for
//! the whole weight.
//!
//! The product is computed in f32 and rounded to the model's dtype, as Transformers and compressed-tensors
//! dequantize it. Despite its name, the scale multiplies.

use serde_json::Value;

use super::affine::{Affine, CodesPart, ScaleKind, ScalePart, Zeros};
use super::config::{self, Section};
use super::numbers::{E4M3, Precision};
use super::parts::Module;
use super::{Plan, WeightsError};

/// The `quantization_config` of `quant_method = "fp8"`.
pub(super) struct Config {
    /// Rows and columns of a block; `None` for one scale per tensor.
    block: Option<[usize; 2]>,
    precision: Precision,
}

impl Config {
    /// Reads the configuration and appends what is quantized besides weights to `weights_only`.
    pub(super) fn parse(
        section: &Section<'_>,
        model: &Value,
        weights_only: &mut Vec<String>,
    ) -> Result<Self, WeightsError> {
        let block = section.pair("weight_block_size")?;
        for (key, only) in [("fmt", "e4m3"), ("expert_dtype", "fp8")] {
            if let Some(found) = section.text(key)?
                && found != only
            {
                return Err(section.bad(key, &format!("\"{only}\""), &format!("\"{found}\"")));
            }
        }
        // Transformers quantizes inputs whether or not the configuration says how.
        match section.text("activation_scheme")? {
            None | Some("dynamic" | "static") => {
                weights_only.push("input activations fp8".to_owned())
            }
            Some(other) => {
                let expected = "\"dynamic\" or \"static\"";
                return Err(section.bad("activation_scheme", expected, &format!("\"{other}\"")));
            }
        }
        Ok(Self { block, precision: config::model_precision(model) })
    }

    /// Plans modules whose weight is F8_E4M3.
    pub(super) fn plan(&self, module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
        if module.dtype("weight") != Some("F8_E4M3") {
            return Ok(None);
        }
        let weight = module.need("weight", "fp8")?;
        let shape = weight.matrix(module)?;
        let [rows, columns] = shape;
        let name = if module.has("weight_scale_inv") { "weight_scale_inv" } else { "weight_scale" };
        let part = match module.take(name)? {
            Some(part) => part,
            None => return Err(module.missing("weight_scale_inv", "fp8")),
        };
        module.absorb(&["activation_scale", "input_scale"]);
        let (tile, format) = match self.block {
            Some(block) if part.shape.len() == 2 => {
                let tiles = [rows.div_ceil(block[0]), columns.div_ceil(block[1])];
                module.check(&part, &["F32", "BF16", "F8_E8M0", "U8"], &tiles)?;
                (block, format!("fp8 block {}x{}", block[0], block[1]))
            }
            _ => {
                module.check_dtype(&part, &["F32", "BF16", "F16"])?;
                module.check_single(&part)?;
                ([rows.max(1), columns.max(1)], "fp8 tensor".to_owned())
            }
        };
        let kind = match part.dtype.as_str() {
            "F8_E8M0" | "U8" => ScaleKind::PowerOfTwo,
            _ => ScaleKind::Plain,
        };
        let scale = ScalePart { part, kind, tile, per_row: columns.div_ceil(tile[1]) };
        let layout = Affine {
            codes: CodesPart::Bytes(weight, &E4M3),
            scale,
            zeros: Zeros::None,
            order: None,
            precision: self.precision,
        };
        Ok(Some(Plan { format, shape: shape.to_vec(), layout: Box::new(layout) }))
    }
}
